package main

import (
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-go/gatehouse/examples/internal/trial"
)

// Two instances with one driver's Redis share one quota.
func TestHandler(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{Addr: trial.RedisAddr(t), ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = rdb.Close() })
	prefix := "test-" + rand.Text()
	instances := make([]http.Handler, 0, 2)
	for range 2 {
		h, err := handler(rdb, prefix, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		instances = append(instances, h)
	}
	for i := range 14 {
		want := http.StatusOK
		if i >= 10 {
			want = http.StatusTooManyRequests
		}
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		instances[i%2].ServeHTTP(w, r)
		if w.Code != want || w.Header().Get("RateLimit") == "" {
			t.Errorf("request %d: status = %d, RateLimit = %q, want %d", i, w.Code, w.Header().Get("RateLimit"), want)
		}
	}
	keys, err := rdb.Keys(t.Context(), prefix+"*").Result()
	if err != nil || len(keys) != 1 {
		t.Errorf("keys = %v, %v, want one", keys, err)
	}
}

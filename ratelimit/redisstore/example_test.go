package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/redisstore"
)

// Example limits a service while its Redis is down, and starts there, too: the
// limits hold for each instance by itself until Redis answers.
func Example() {
	// With go-redis:
	//
	//	rdb := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true, MaxRetries: -1})
	//	do := func(ctx context.Context, args ...any) (any, error) { return rdb.Do(ctx, args...).Result() }
	do := func(context.Context, ...any) (any, error) { return nil, errors.New("connection refused") }

	store, err := redisstore.New(redisstore.Config{Do: do})
	if err != nil {
		fmt.Println(err)
		return
	}
	perIP, err := ratelimit.New(ratelimit.Config{Name: "api", Limits: []string{"2 per minute; 100-H"}, Store: store})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := perIP.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	for range 3 {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		fmt.Println(w.Code, w.Header().Get("RateLimit"))
	}
	// Output:
	// 200 "api-minute";r=1;t=30
	// 200 "api-minute";r=0;t=30
	// 429 "api-minute";r=0;t=30
}

func ExampleNew_mistakes() {
	_, err := redisstore.New(redisstore.Config{Timeout: -1})
	fmt.Println(err)
	// Output:
	// redisstore: Do is nil, want a function that asks Redis
	// redisstore: Timeout is -1ns, want 0 to 10s
}

package main

import (
	"net/http"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/gatehouse-go/gatehouse/internal/benchmarks/internal/contest"
)

// TestThrottlers holds that every contestant bounds what is in flight before
// anything is measured, and that one which does not is noticed.
func TestThrottlers(t *testing.T) {
	t.Parallel()
	if err := checkThrottlers(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		handler func(inFlight *atomic.Int32, next http.Handler, w http.ResponseWriter, r *http.Request)
		want    string
	}{
		{"admits all", func(_ *atomic.Int32, next http.Handler, w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r)
		}, "answers 200 to a second request at once, want 503"},
		{"gives nothing back", func(inFlight *atomic.Int32, next http.Handler, w http.ResponseWriter, r *http.Request) {
			if inFlight.Add(1) > 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			next.ServeHTTP(w, r)
		}, "answers 503 to one request at a time, want 200"},
		{"refuses and lets in", func(inFlight *atomic.Int32, next http.Handler, w http.ResponseWriter, r *http.Request) {
			if inFlight.Add(1) > 1 {
				next.ServeHTTP(w, r)
				w.WriteHeader(http.StatusServiceUnavailable)
			} else {
				next.ServeHTTP(w, r)
			}
			inFlight.Add(-1)
		}, "lets in whom it refuses"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := throttler{refusal: http.StatusServiceUnavailable, build: func(int) (func(http.Handler) http.Handler, error) {
				var inFlight atomic.Int32
				return func(next http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { tt.handler(&inFlight, next, w, r) })
				}, nil
			}}
			if err := c.check(); err == nil || err.Error() != tt.want {
				t.Errorf("check = %v, want %s", err, tt.want)
			}
		})
	}
}

func TestJudgeThrottle(t *testing.T) {
	t.Parallel()
	res := results{
		key{throttleRow, "throttle"}:              contest.Result{Time: 50},
		key{throttleRow, "throttle with a queue"}: contest.Result{Time: 45},
		key{throttleRow, "chi Throttle"}:          contest.Result{Time: 300},
		key{throttleRow, "chi ThrottleBacklog"}:   contest.Result{Time: 200},
	}
	if got := res.judgeThrottle(); len(got) > 0 {
		t.Errorf("judgeThrottle = %q, want nothing", got)
	}
	res[key{throttleRow, "throttle"}] = contest.Result{Time: 52}
	want := []string{"throttle: throttle takes 52 ns, 0.26 of the 200 ns of chi ThrottleBacklog, want at most 0.25"}
	if got := res.judgeThrottle(); !slices.Equal(got, want) {
		t.Errorf("judgeThrottle = %q, want %q", got, want)
	}
}

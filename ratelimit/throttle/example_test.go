package throttle_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/gatehouse-go/gatehouse/ratelimit/throttle"
)

func Example() {
	inFlight, err := throttle.New(throttle.Config{
		Limit:    2,
		Reserve:  1,
		Critical: func(r *http.Request) bool { return r.URL.Path == "/healthz" },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var h http.Handler
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w
	}
	h = inFlight.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" { // two more come while it is answered
			refused := get("/orders")
			fmt.Printf("%d, Retry-After: %s\n", refused.Code, refused.Header().Get("Retry-After"))
			fmt.Println(get("/healthz").Code)
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	fmt.Println(get("/slow").Code)
	fmt.Println(get("/orders").Code)
	// Output:
	// 503, Retry-After: 1
	// 204
	// 204
	// 204
}

func ExampleNew_mistakes() {
	_, err := throttle.New(throttle.Config{Queue: 100, Reserve: 10})
	fmt.Println(err)
	// Output:
	// throttle: Limit is 0, want 1 to 1048576
	// throttle: MaxWait is 0s, want how long a request may wait in the Queue, up to 1m0s
	// throttle: Reserve is 10, want 0 to less than Limit
	// throttle: Critical is nil, want a function that says who gets the Reserve
}

// Work that goes on after its request was answered holds a permit of its own.
func ExampleThrottle_Acquire() {
	jobs, err := throttle.New(throttle.Config{Limit: 1, Queue: 1, MaxWait: time.Millisecond})
	if err != nil {
		fmt.Println(err)
		return
	}
	permit, err := jobs.Acquire(context.Background(), "", false)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer permit.Release()
	_, err = jobs.Acquire(context.Background(), "", false)
	if e, ok := errors.AsType[*throttle.Error](err); ok {
		fmt.Println(e.Reason, e.RetryAfter)
	}
	// Output: wait 1s
}

func ExampleThrottle_Stats() {
	inFlight, err := throttle.New(throttle.Config{Limit: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := inFlight.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		s := inFlight.Stats()
		fmt.Printf("%d of %d in flight, %d waiting\n", s.InFlight, s.Limit, s.Waiting)
	}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	// Output: 1 of 1 in flight, 0 waiting
}

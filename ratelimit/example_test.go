package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/ulule/limiter/v3"
	"github.com/ulule/limiter/v3/drivers/store/memory"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

func Example() {
	perIP, err := ratelimit.New(ratelimit.Config{Limits: []string{"2 per minute", "1000-H"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := perIP.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	for range 3 {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		fmt.Printf("%d %s %q\n", w.Code, w.Header().Get("RateLimit"), w.Header().Get("Retry-After"))
	}
	// Output:
	// 200 "minute";r=1;t=30 ""
	// 200 "minute";r=0;t=30 ""
	// 429 "minute";r=0;t=30 "30"
}

func ExampleNew_mistakes() {
	_, err := ratelimit.New(ratelimit.Config{
		Limits:   []string{"5 per fortnight"},
		Policies: []ratelimit.Policy{{Limit: 5}},
	})
	fmt.Println(err)
	// Output:
	// ratelimit: Limits[0] is "5 per fortnight", want "100 per minute", "10/s", "500 per 5 minutes" or "100-M", with numbers of 1 or more
	// ratelimit: Policies[0].Period is 0s, want 1ms to 366 days
}

// A limit that counts something else than requests: here the rows of an
// export, inside the handler that knows their number.
func ExampleLimiter_Take() {
	rows, err := ratelimit.New(ratelimit.Config{
		Policies: []ratelimit.Policy{{Name: "rows", Limit: 1000, Period: time.Hour}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	for _, cost := range []int64{700, 400, -200, 400} {
		res, err := rows.Take(ctx, "alice", cost)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(cost, res.OK, res.Remaining, res.RetryAfter.Round(time.Minute))
	}
	// Output:
	// 700 true 300 24m0s
	// 400 false 300 6m0s
	// -200 true 500 0s
	// 400 true 100 18m0s
}

func ExampleFromLimiter() {
	// Any store of ulule/limiter, such as its Redis driver.
	store := ratelimit.FromLimiter(memory.NewStoreWithOptions(limiter.StoreOptions{Prefix: "orders"}))
	l, err := ratelimit.New(ratelimit.Config{
		Limits: []string{"5-M"},
		Name:   "api", // tells this limiter's counters from others' in the store
		Store:  store,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	res, err := l.Take(context.Background(), "alice", 1)
	fmt.Println(res.OK, res.Policy, res.Remaining, err)
	// Output: true api-minute 4 <nil>
}

// Callers by who they are, and those without credentials by their address.
func ExampleKeyFunc() {
	byPrincipal, byAddr := ratelimit.ByPrincipal(), ratelimit.ByAddr()
	key := func(r *http.Request) (string, error) {
		key, err := byPrincipal(r)
		if errors.Is(err, ratelimit.ErrNoKey) {
			return byAddr(r)
		}
		return key, err
	}
	fmt.Println(key(httptest.NewRequest(http.MethodGet, "/", nil)))
	// Output: addr:192.0.2.1/32 <nil>
}

// A header that nobody verified is no key: each request brings another value,
// and each gets a fresh quota. Count by address there, or stand behind what
// verifies the header.
func ExampleByHeader_incorrect() {
	l, err := ratelimit.New(ratelimit.Config{Limits: []string{"1 per day"}, Key: ratelimit.ByHeader("X-Api-Key")})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := l.Handler(http.NotFoundHandler())
	for _, guess := range []string{"aaaa", "aaab", "aaac"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("X-Api-Key", guess)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// 404
	// 404
	// 404
}

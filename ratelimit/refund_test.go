package ratelimit_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// slowOrWrong answers /slow with 200, when it is released, and all else with 401.
func slowOrWrong(release <-chan struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-release
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
	})
}

// guessed asks until it is refused, and returns how often it was not.
func guessed(h http.Handler) (n int64) {
	for serve(h, httptest.NewRequest(http.MethodGet, "/wrong", nil)).Code == http.StatusUnauthorized {
		n++
	}
	return n
}

// What has come back with time must not come back twice: slow requests that will
// not count are no way to save up for a burst of those that do.
func TestSlowRequestsSaveNothingUp(t *testing.T) {
	t.Parallel()
	for _, p := range []ratelimit.Policy{
		{Limit: 5, Period: 400 * time.Millisecond},
		{Limit: 5, Period: 400 * time.Millisecond, Burst: 2},
		{Limit: 5, Period: 400 * time.Millisecond, Exact: true},
		{Limit: 5, Period: 400 * time.Millisecond, Backoff: time.Second},
	} {
		for name, store := range map[string]ratelimit.Store{"in process": nil, "Store": storeFunc(mustMemory(t).Take)} {
			t.Run(p.String()+" "+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					if store != nil {
						store = storeFunc(mustMemory(t).Take)
					}
					release := make(chan struct{})
					h := mustNew(t, ratelimit.Config{
						Name: "a", Policies: []ratelimit.Policy{p, {Name: "long", Limit: 1000, Period: time.Hour}}, Store: store,
						CountIf: func(status int) bool { return status == http.StatusUnauthorized },
						Key:     func(*http.Request) (string, error) { return "k", nil },
					}).Handler(slowOrWrong(release))
					var wg sync.WaitGroup
					for range 6 {
						for range 5 {
							wg.Go(func() { serve(h, httptest.NewRequest(http.MethodGet, "/slow", nil)) })
						}
						synctest.Wait()
						time.Sleep(p.Period)
					}
					time.Sleep(2 * time.Second) // also past a Backoff
					counted := guessed(h)
					close(release)
					wg.Wait()
					counted += guessed(h)
					burst := p.Burst
					if burst == 0 {
						burst = p.Limit
					}
					if counted > burst {
						t.Errorf("%d answers that count at once, want at most %d", counted, burst)
					}
				})
			})
		}
	}
}

// A refund goes to where it was taken, or nowhere.
func TestRefundsAfterAnOutage(t *testing.T) {
	t.Parallel()
	for _, failure := range []ratelimit.Failure{ratelimit.FailLocal, ratelimit.FailOpen} {
		t.Run(failure.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &counted{Store: mustMemory(t)}
				store.fail.Store(true)
				release := make(chan struct{})
				h := mustNew(t, ratelimit.Config{
					Name: "a", Limits: []string{"50 per hour"}, Store: store, OnStoreFailure: failure,
					CountIf: func(status int) bool { return status == http.StatusUnauthorized },
					Key:     func(*http.Request) (string, error) { return "k", nil },
				}).Handler(slowOrWrong(release))
				var wg sync.WaitGroup
				for range 50 {
					wg.Go(func() { serve(h, httptest.NewRequest(http.MethodGet, "/slow", nil)) })
				}
				synctest.Wait()
				store.fail.Store(false)
				time.Sleep(250 * time.Millisecond)
				got := guessed(h)
				close(release)
				wg.Wait()
				time.Sleep(time.Second) // the mark is over
				got += guessed(h)
				if got > 50 {
					t.Errorf("%d answers that count, want at most 50", got)
				}
			})
		})
	}
}

// Key: nil and Key: ByAddr() are the same.
func TestNilKeyIsByAddr(t *testing.T) {
	t.Parallel()
	m := mustMemory(t)
	a := mustNew(t, ratelimit.Config{Name: "a", Limits: []string{"2-H"}, Store: m}).Handler(ok)
	b := mustNew(t, ratelimit.Config{Name: "a", Limits: []string{"2-H"}, Store: m, Key: ratelimit.ByAddr()}).Handler(ok)
	for i, want := range []int{204, 204, 429, 429} {
		h := a
		if i%2 == 1 {
			h = b
		}
		if got := serve(h, from("[2001:db8::1]:1")).Code; got != want {
			t.Errorf("request %d: status = %d, want %d", i, got, want)
		}
	}
}

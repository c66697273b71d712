package ratelimit_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ulule/limiter/v3"
	"github.com/ulule/limiter/v3/drivers/store/memory"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// ululeMemory is ulule's own store, without its goroutine.
func ululeMemory() limiter.Store {
	return memory.NewStoreWithOptions(limiter.StoreOptions{Prefix: "test", CleanUpInterval: 0})
}

// A sharedStore counts without ever forgetting, and notes the keys.
type sharedStore struct {
	mu   sync.Mutex
	used map[string]int64
	keys []string
}

func (s *sharedStore) Take(_ context.Context, dst []ratelimit.Result, reqs []ratelimit.Request) ([]ratelimit.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used == nil {
		s.used = make(map[string]int64)
	}
	all := true
	for _, r := range reqs {
		s.keys = append(s.keys, r.Key)
		all = all && s.used[r.Policy.Name+"|"+r.Key]+max(1, r.Cost) <= r.Policy.Burst
	}
	for _, r := range reqs {
		key := r.Policy.Name + "|" + r.Key
		fits := s.used[key]+max(1, r.Cost) <= r.Policy.Burst
		if all || r.Cost < 0 {
			s.used[key] = max(0, s.used[key]+r.Cost)
		}
		res := ratelimit.Result{OK: fits || r.Cost < 0, Remaining: r.Policy.Burst - s.used[key], ResetAfter: r.Policy.Period}
		if res.Remaining < max(1, r.Cost) {
			res.RetryAfter = r.Policy.Period
		}
		dst = append(dst, res)
	}
	return dst, nil
}

// storeFunc is a Store of one function.
type storeFunc func(ctx context.Context, dst []ratelimit.Result, reqs []ratelimit.Request) ([]ratelimit.Result, error)

func (f storeFunc) Take(ctx context.Context, dst []ratelimit.Result, reqs []ratelimit.Request) ([]ratelimit.Result, error) {
	return f(ctx, dst, reqs)
}

func TestLimitersOnOneStoreShareCountersByName(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]ratelimit.Store{"shared": &sharedStore{}, "ulule": ratelimit.FromLimiter(ululeMemory())} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				limiter := func(name, policy string) *ratelimit.Limiter {
					return mustNew(t, ratelimit.Config{Policies: []ratelimit.Policy{{Name: policy, Limit: 2, Period: time.Hour}}, Name: name, Store: store})
				}
				a := limiter("a", "p")
				take(t, a, "k", 2)
				if take(t, limiter("a", "p"), "k", 1).OK {
					t.Error("a limiter of the same name has a counter of its own, want the same")
				}
				for _, other := range []*ratelimit.Limiter{limiter("b", "p"), limiter("a", "q"), limiter("a-p", "p"), limiter("a", "a-p")} {
					if !take(t, other, "k", 2).OK {
						t.Error("limiters of other names share the counter")
					}
				}
				if !take(t, a, "p:k", 1).OK || !take(t, a, "a:k", 1).OK {
					t.Error("a client's key passes for another counter")
				}
			})
		})
	}
}

// Whatever a client sends, its key in the Store stays short, and no two
// clients get the same.
func TestKeysInTheStoreAreBounded(t *testing.T) {
	t.Parallel()
	store := &sharedStore{}
	l := mustNew(t, ratelimit.Config{Limits: []string{"2-H"}, Name: strings.Repeat("n", 64), Store: store})
	long := strings.Repeat("x", 1<<20)
	for _, key := range []string{"short", long, long + "y", strings.Repeat("x", 128), strings.Repeat("x", 129)} {
		if !take(t, l, key, 2).OK {
			t.Errorf("key of %d bytes shares a counter", len(key))
		}
	}
	longest := slices.MaxFunc(store.keys, func(a, b string) int { return len(a) - len(b) })
	if len(longest) > 256 {
		t.Errorf("a key of %d bytes in the Store, want at most 256", len(longest))
	}
	digest := strings.TrimPrefix(store.keys[1], strings.Repeat("n", 64)+":")
	if !strings.HasPrefix(digest, "sha256:") {
		t.Fatalf("key = %q, want a digest", digest)
	}
	if !take(t, l, digest, 2).OK {
		t.Error("a key that looks like a digest passes for the long key")
	}
}

// Faults: ulule's middleware panics when its store fails, httprate answers 428
// with the error's text.
func TestStoreFailure(t *testing.T) {
	t.Parallel()
	canary := errors.New("dial redis://:canary@db")
	hangs := storeFunc(func(ctx context.Context, dst []ratelimit.Result, _ []ratelimit.Request) ([]ratelimit.Result, error) {
		<-ctx.Done()
		return dst, ctx.Err()
	})
	stores := map[string]ratelimit.Store{
		"error": storeFunc(func(_ context.Context, dst []ratelimit.Result, _ []ratelimit.Request) ([]ratelimit.Result, error) {
			return dst, canary
		}),
		"hangs": hangs,
		"too few results": storeFunc(func(_ context.Context, dst []ratelimit.Result, _ []ratelimit.Request) ([]ratelimit.Result, error) {
			return dst, nil
		}),
		"too many results": storeFunc(func(_ context.Context, dst []ratelimit.Result, reqs []ratelimit.Request) ([]ratelimit.Result, error) {
			return append(dst, make([]ratelimit.Result, len(reqs)+1)...), nil
		}),
		"ulule": ratelimit.FromLimiter(&brokenLimiterStore{err: canary}),
	}
	for storeName, store := range stores {
		for _, tt := range []struct {
			failure  ratelimit.Failure
			statuses []int
		}{
			{ratelimit.FailLocal, []int{204, 204, 429}},
			{ratelimit.FailClosed, []int{503, 503, 503}},
			{ratelimit.FailOpen, []int{204, 204, 204}},
		} {
			t.Run(storeName+" "+tt.failure.String(), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var seen decisions
					var log bytes.Buffer
					l := mustNew(t, ratelimit.Config{
						Limits: []string{"2-D"}, Name: "a", Store: store, OnStoreFailure: tt.failure,
						OnDecision: seen.add, Logger: slog.New(slog.NewTextHandler(&log, nil)),
					})
					h := l.Handler(ok)
					for i, want := range tt.statuses {
						w := serve(h, from("192.0.2.1:1"))
						if w.Code != want {
							t.Fatalf("request %d: status = %d, want %d", i, w.Code, want)
						}
						if strings.Contains(w.Body.String(), "canary") {
							t.Errorf("body = %s", w.Body)
						}
						if got := w.Header().Get("Retry-After"); (want >= 400) != (got != "") {
							t.Errorf("request %d: Retry-After = %q with status %d", i, got, want)
						}
						if got := w.Header().Get("RateLimit"); (tt.failure == ratelimit.FailLocal) != (got != "") {
							t.Errorf("request %d: RateLimit = %q", i, got)
						}
						if want == 503 && w.Header().Get("Cache-Control") != "no-store" {
							t.Error("503 without Cache-Control: no-store")
						}
					}
					degraded := 0
					for _, d := range seen.all {
						if d.Reason == ratelimit.ReasonDegraded && d.Effect == decision.Observe && d.Rule == tt.failure.String() && d.Detail != "" {
							degraded++
						}
						if strings.Contains(d.Detail, "canary") {
							t.Errorf("decision = %+v", d)
						}
					}
					if want := map[bool]int{true: 0, false: 3}[tt.failure == ratelimit.FailClosed]; degraded != want {
						t.Errorf("%d decisions recorded as degraded, want %d: %+v", degraded, want, seen.all)
					}
					if d := seen.last(t); tt.failure == ratelimit.FailClosed && (d.Effect != decision.Deny || d.Reason != ratelimit.ReasonStore || d.Status != 503) {
						t.Errorf("decision = %+v", d)
					}
					if strings.Contains(log.String(), "canary") {
						t.Errorf("log = %s", &log)
					}
					if got := strings.Count(log.String(), "the Store fails"); tt.failure != ratelimit.FailClosed && got != 1 {
						t.Errorf("the hint stands %d times in the log, want once:\n%s", got, &log)
					}
					res, err := l.Take(t.Context(), "k", 1)
					if tt.failure == ratelimit.FailClosed {
						if e, _ := errors.AsType[*ratelimit.Error](err); e == nil || e.Reason != ratelimit.ReasonStore || e.StatusCode() != 503 || res.OK {
							t.Errorf("Take = %+v, %v; want an *Error for the store", res, err)
						}
					} else if err != nil || !res.OK || !res.Degraded {
						t.Errorf("Take = %+v, %v; want it admitted and degraded", res, err)
					}
				})
			})
		}
	}
}

// The mirror knows what the Store counted when that fails, and after three
// failures nobody but one request each 250 ms asks it.
func TestTheStoreCountsAgainWhenItAnswersAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := mustMemory(t)
		down, calls := false, 0
		l := mustNew(t, ratelimit.Config{Limits: []string{"3-D"}, Name: "a", Store: storeFunc(
			func(ctx context.Context, dst []ratelimit.Result, reqs []ratelimit.Request) ([]ratelimit.Result, error) {
				if calls++; down {
					return dst, errors.New("down")
				}
				return shared.Take(ctx, dst, reqs)
			})})
		for i, tt := range []struct {
			down, ok, degraded bool
			calls              int
		}{
			{false, true, false, 1},
			{true, true, true, 1},
			{true, true, true, 1},
			{true, false, true, 1},
			{true, false, true, 0},
			{false, false, true, 0}, // nobody knows yet
		} {
			down, calls = tt.down, 0
			if res := take(t, l, "k", 1); res.OK != tt.ok || res.Degraded != tt.degraded || calls != tt.calls {
				t.Errorf("step %d: %+v after %d calls, want OK %t and Degraded %t after %d", i, res, calls, tt.ok, tt.degraded, tt.calls)
			}
		}
		down, calls = true, 0
		time.Sleep(250 * time.Millisecond)
		for range 3 {
			take(t, l, "k", 1)
		}
		if calls != 1 {
			t.Errorf("%d calls of a Store that is still down, want 1", calls)
		}
		down = false
		time.Sleep(250 * time.Millisecond)
		for i, want := range []bool{true, true, false} { // the Store has seen one
			if res := take(t, l, "k", 1); res.OK != want || res.Degraded {
				t.Errorf("%d after the outage: %+v, want OK %t and not Degraded", i, res, want)
			}
		}
		if got, want := l.Stats(), (ratelimit.Stats{Degraded: 8, StoreFailures: 4}); got != want {
			t.Errorf("Stats() = %+v, want %+v", got, want)
		}
	})
}

func mustMemory(tb testing.TB) *ratelimit.Memory {
	tb.Helper()
	m, err := ratelimit.NewMemory(ratelimit.MemoryConfig{})
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// A client that hangs up while the Store is asked must not get through, not
// even where failures admit; and the Store is told.
func TestHangingUpIsNoWayPast(t *testing.T) {
	t.Parallel()
	for _, failure := range []ratelimit.Failure{ratelimit.FailLocal, ratelimit.FailClosed, ratelimit.FailOpen} {
		t.Run(failure.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				told := make(chan struct{}, 1)
				h := mustNew(t, ratelimit.Config{Limits: []string{"2-D"}, Name: "a", OnStoreFailure: failure, Store: storeFunc(
					func(ctx context.Context, dst []ratelimit.Result, _ []ratelimit.Request) ([]ratelimit.Result, error) {
						<-ctx.Done()
						told <- struct{}{}
						return dst, ctx.Err()
					})}).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler ran") }))
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
				defer cancel()
				w := serve(h, from("192.0.2.1:1").WithContext(ctx))
				if w.Code != http.StatusServiceUnavailable {
					t.Errorf("status = %d, want 503", w.Code)
				}
				<-told
			})
		})
	}
}

// What a store says is bounded before clients see it.
func TestNonsenseOfAStoreStaysInside(t *testing.T) {
	t.Parallel()
	for _, res := range []ratelimit.Result{
		{OK: false, Remaining: -5, RetryAfter: -time.Hour, ResetAfter: -time.Hour},
		{OK: false, Remaining: 1 << 62, ResetAfter: 1 << 62},
		{OK: true, Remaining: -5},
		{OK: true, Remaining: -1 << 63, RetryAfter: -1 << 63, ResetAfter: 1<<63 - 1},
		{OK: true, Remaining: 1 << 62, RetryAfter: 1 << 62, ResetAfter: 1<<63 - 1, Policy: "\r\nx", Degraded: true},
	} {
		h := mustNew(t, ratelimit.Config{Limits: []string{"5-M"}, Name: "a", Store: storeFunc(
			func(_ context.Context, dst []ratelimit.Result, _ []ratelimit.Request) ([]ratelimit.Result, error) {
				return append(dst, res), nil
			})}).Handler(ok)
		w := serve(h, from("192.0.2.1:1"))
		if got := w.Header().Get("RateLimit"); !regexp.MustCompile(`^"a-minute";r=[0-5];t=[0-9]{1,15}$`).MatchString(got) {
			t.Errorf("%+v: RateLimit = %q", res, got)
		}
		if w.Code == http.StatusTooManyRequests && w.Header().Get("Retry-After") != "1" {
			t.Errorf("%+v: Retry-After = %q, want 1", res, w.Header().Get("Retry-After"))
		}
	}
}

func TestFromLimiterCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(300 * time.Millisecond) // windows need not begin on a second
		l := mustNew(t, ratelimit.Config{Limits: []string{"5 per minute"}, Name: "a", Store: ratelimit.FromLimiter(ululeMemory())})
		for _, step := range []struct {
			name      string
			cost      int64
			ok        bool
			remaining int64
		}{
			{"peek at a fresh key", 0, true, 5},
			{"give back what was never taken", -3, true, 5},
			{"take", 3, true, 2},
			{"too much for now", 3, false, 2},
			{"peek", 0, true, 2},
			{"the rest", 2, true, 0},
			{"nothing left", 1, false, 0},
			{"peek at nothing", 0, false, 0},
			{"give one back", -1, true, 1},
			{"give back far too much", -1 << 63, true, 5},
			{"and no more than the limit is there", 5, true, 0},
		} {
			res := take(t, l, "k", step.cost)
			if res.OK != step.ok || res.Remaining != step.remaining {
				t.Errorf("%s: Take(%d) = %+v, want OK %t and %d remaining", step.name, step.cost, res, step.ok, step.remaining)
			}
			if res.ResetAfter > time.Minute+time.Millisecond || (res.Remaining < 5) != (res.ResetAfter > 0) {
				t.Errorf("%s: ResetAfter = %v", step.name, res.ResetAfter)
			}
		}
		// The mirror does not know when a window ends, so it does not say.
		first := take(t, l, "k", 1)
		if res := take(t, l, "k", 1); res != first {
			t.Errorf("refused again: %+v, want %+v", res, first)
		}
		time.Sleep(first.RetryAfter)
		if !take(t, l, "k", 1).OK {
			t.Errorf("refused after RetryAfter %v", first.RetryAfter)
		}
	})
}

func TestFromLimiterThroughTheHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := mustNew(t, ratelimit.Config{Limits: []string{"2-S; 3-M"}, Name: "a", Store: ratelimit.FromLimiter(ululeMemory())}).Handler(ok)
		codes := make([]int, 0, 5)
		var w *httptest.ResponseRecorder
		for range 3 {
			w = serve(h, from("192.0.2.1:1"))
			codes = append(codes, w.Code)
		}
		time.Sleep(1100 * time.Millisecond)
		for range 2 {
			w = serve(h, from("192.0.2.1:1"))
			codes = append(codes, w.Code)
		}
		if want := []int{204, 204, 429, 204, 429}; !slices.Equal(codes, want) {
			t.Errorf("statuses = %v, want %v", codes, want)
		}
		if got, want := w.Header().Get("RateLimit"), `"a-minute";r=0;t=`+w.Header().Get("Retry-After"); got != want {
			t.Errorf("RateLimit = %s, want %s", got, want)
		}
	})
}

// Each policy's counter is a key of its own in the limiter.Store.
func TestFromLimiterPrefixesTheKeyByThePolicy(t *testing.T) {
	t.Parallel()
	store := &brokenLimiterStore{Store: ululeMemory()}
	take(t, mustNew(t, ratelimit.Config{Limits: []string{"2-S; 3-M"}, Name: "a", Store: ratelimit.FromLimiter(store)}), "k", 1)
	if want := []string{"second:a:k", "minute:a:k"}; !slices.Equal(store.incremented, want) {
		t.Errorf("keys = %q, want %q", store.incremented, want)
	}
}

// Another request may come between looking and taking: then what was taken is
// given back.
func TestFromLimiterGivesBackWhatARaceTook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := ululeMemory()
		store := &brokenLimiterStore{Store: inner}
		s := ratelimit.FromLimiter(store)
		l := mustNew(t, ratelimit.Config{Limits: []string{"5-S; 2-M"}, Name: "a", Store: s})
		store.before = func(key string) {
			if strings.HasPrefix(key, "minute:") { // somebody else takes the rest
				store.before = nil
				if _, err := inner.Increment(t.Context(), key, 2, limiter.Rate{Period: time.Minute, Limit: 2}); err != nil {
					t.Error(err)
				}
			}
		}
		if res := take(t, l, "k", 1); res.OK || res.Policy != "a-minute" || res.RetryAfter <= 0 {
			t.Errorf("Take = %+v, want the minute to refuse", res)
		}
		for key, want := range map[string]int64{"second:a:k": 0, "minute:a:k": 2} {
			state, err := inner.Peek(t.Context(), key, limiter.Rate{Period: time.Minute, Limit: 100})
			if err != nil || 100-state.Remaining != want {
				t.Errorf("%s counts %d (%v), want %d", key, 100-state.Remaining, err, want)
			}
		}
	})
}

// Fault: giving back into a window that has just begun leaves 8 of 5.
func TestFromLimiterNeverGivesBackIntoANewWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := ululeMemory()
		store := &brokenLimiterStore{Store: inner}
		l := mustNew(t, ratelimit.Config{Limits: []string{"5-S"}, Name: "a", Store: ratelimit.FromLimiter(store)})
		take(t, l, "k", 3)
		store.before = func(string) {
			store.before = nil
			time.Sleep(2 * time.Second) // the window ends after the look
		}
		if res := take(t, l, "k", -3); res.Remaining != 5 {
			t.Errorf("Take = %+v, want 5 remaining", res)
		}
		admitted := 0
		for range 20 {
			if take(t, l, "k", 1).OK {
				admitted++
			}
		}
		if admitted != 5 {
			t.Errorf("admitted = %d of the new window, want 5", admitted)
		}
	})
}

func TestFromLimiterFailsInTheMiddle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := ululeMemory()
		store := &brokenLimiterStore{Store: inner}
		l := mustNew(t, ratelimit.Config{Limits: []string{"5-S; 2-M"}, Name: "a", Store: ratelimit.FromLimiter(store), OnStoreFailure: ratelimit.FailClosed})
		store.before = func(key string) {
			if strings.HasPrefix(key, "minute:") {
				store.err = errors.New("down")
			} else {
				store.err = nil
			}
		}
		if res, err := l.Take(t.Context(), "k", 1); err == nil {
			t.Errorf("Take = %+v, want an error", res)
		}
		store.before, store.err = nil, nil
		if res := take(t, l, "k", 0); res.Remaining != 2 {
			t.Errorf("Take = %+v, want 2 remaining", res)
		}
		state, err := inner.Peek(t.Context(), "second:a:k", limiter.Rate{Period: time.Second, Limit: 5})
		if err != nil || state.Remaining != 5 {
			t.Errorf("the second has %d left (%v), want 5: it was given back", state.Remaining, err)
		}
		take(t, l, "k", 1)
		store.before = func(string) { store.err = errors.New("down") }
		if res, err := l.Take(t.Context(), "k", -1); err == nil {
			t.Errorf("giving back = %+v, want an error", res)
		}
	})
}

// brokenLimiterStore is a limiter.Store that things happen to.
type brokenLimiterStore struct {
	limiter.Store
	err         error
	before      func(key string) // before each increment
	incremented []string
}

func (s *brokenLimiterStore) Peek(ctx context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	if s.err != nil {
		return limiter.Context{}, s.err
	}
	return s.Store.Peek(ctx, key, rate)
}

func (s *brokenLimiterStore) Increment(ctx context.Context, key string, n int64, rate limiter.Rate) (limiter.Context, error) {
	if s.before != nil {
		s.before(key)
	}
	if s.err != nil {
		return limiter.Context{}, s.err
	}
	s.incremented = append(s.incremented, key)
	return s.Store.Increment(ctx, key, n, rate)
}

package ratelimit_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// A counted Store says how often it was asked, and may fail.
type counted struct {
	ratelimit.Store
	calls atomic.Int64
	fail  atomic.Bool
}

func (s *counted) Take(ctx context.Context, dst []ratelimit.Result, reqs []ratelimit.Request) ([]ratelimit.Result, error) {
	s.calls.Add(1)
	if s.fail.Load() {
		return dst, errors.New("down")
	}
	return s.Store.Take(ctx, dst, reqs)
}

// A client that the Store refused costs no round trip for a while, is told the
// same, and is admitted again not a moment later than the Store would.
func TestRefusedClientsAreNotAskedFor(t *testing.T) {
	t.Parallel()
	for _, p := range []ratelimit.Policy{
		{Limit: 3, Period: 3 * time.Second},
		{Limit: 3, Period: 300 * time.Millisecond},
		{Limit: 3, Period: 3 * time.Second, Exact: true},
		{Limit: 3, Period: 3 * time.Second, Backoff: time.Minute},
	} {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				shared := mustMemory(t)
				store := &counted{Store: shared}
				l := mustNew(t, ratelimit.Config{Name: "a", Policies: []ratelimit.Policy{p, {Name: "b", Limit: 100, Period: time.Hour}}, Store: store})
				alone := mustNew(t, ratelimit.Config{Name: "a", Policies: []ratelimit.Policy{p, {Name: "b", Limit: 100, Period: time.Hour}}})
				check := func(step string) ratelimit.Result {
					got, want := take(t, l, "k", 1), take(t, alone, "k", 1)
					if got.OK != want.OK || got.Remaining != want.Remaining || got.RetryAfter < want.RetryAfter || got.RetryAfter > want.RetryAfter+time.Microsecond {
						t.Errorf("%s: %+v, want %+v", step, got, want)
					}
					return got
				}
				for range 4 {
					check("taking")
				}
				store.calls.Store(0)
				for range 100 {
					check("refused")
				}
				if got := store.calls.Load(); got != 0 {
					t.Errorf("the Store was asked %d times for a client that it had refused, want 0", got)
				}
				for range 5 {
					res := check("waiting")
					time.Sleep(res.RetryAfter)
					if res = check("after the wait"); !res.OK {
						t.Errorf("refused after the wait: %+v", res)
					}
				}
				for range 4 {
					check("again")
				}
				// What was given back elsewhere is seen within a second.
				if _, err := shared.Take(t.Context(), nil, []ratelimit.Request{
					{Key: "a:k", Policy: ratelimit.Policy{Name: name(p), Limit: p.Limit, Period: p.Period, Burst: p.Limit, Exact: p.Exact, Backoff: p.Backoff}, Cost: -3},
				}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				if res := take(t, l, "k", 1); !res.OK {
					t.Errorf("a second after it was given back elsewhere: %+v, want OK", res)
				}
				// What is given back here is seen at once.
				for range 4 {
					take(t, l, "k", 1)
				}
				take(t, l, "k", -1)
				if res := take(t, l, "k", 1); !res.OK {
					t.Errorf("after giving back: %+v, want OK", res)
				}
			})
		})
	}
}

func name(p ratelimit.Policy) string {
	if p.Period < time.Second {
		return "300-milliseconds"
	}
	return "3-seconds"
}

// Whatever happened before, the mirror admits no more than the limits when the
// Store fails, and never more than the Store has left.
func TestTheMirrorIsWarm(t *testing.T) {
	t.Parallel()
	for _, p := range []ratelimit.Policy{
		{Limit: 10, Period: time.Minute},
		{Limit: 10, Period: time.Minute, Burst: 4},
		{Limit: 10, Period: time.Minute, Exact: true},
		{Limit: 10, Period: time.Minute, Backoff: time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(1, 1))
			for range 50 {
				store := &counted{Store: mustMemory(t)}
				l := mustNew(t, ratelimit.Config{Name: "a", Policies: []ratelimit.Policy{p}, Store: store, MaxKeys: 8})
				var last ratelimit.Result
				for range 1 + rnd.IntN(12) {
					time.Sleep(time.Duration(rnd.Int64N(int64(10 * time.Second))))
					last = take(t, l, "k", 1)
				}
				store.fail.Store(true)
				var admitted int64
				for range 20 {
					res := take(t, l, "k", 1)
					if res.OK {
						admitted++
					}
					if res.OK && !res.Degraded { // a refusal may be the Store's own, of a moment ago
						t.Fatalf("%v: %+v, want Degraded", p, res)
					}
				}
				if admitted > last.Remaining || admitted < last.Remaining-1 {
					t.Errorf("%v: %d admitted without the Store, which had %d left", p, admitted, last.Remaining)
				}
			}
		})
	}
}

// A refusal of much is none of little.
func TestWhatWasTooMuchMayBeEnough(t *testing.T) {
	t.Parallel()
	store := &counted{Store: mustMemory(t)}
	l := mustNew(t, ratelimit.Config{Name: "a", Limits: []string{"5-D"}, Store: store})
	for i, tt := range []struct {
		cost, left, calls int64
		ok                bool
	}{
		{3, 2, 1, true}, {3, 2, 1, false}, {3, 2, 0, false}, {2, 0, 1, true}, {1, 0, 0, false}, {-1, 1, 1, true}, {1, 0, 1, true},
	} {
		store.calls.Store(0)
		if res := take(t, l, "k", tt.cost); res.OK != tt.ok || res.Remaining != tt.left || store.calls.Load() != tt.calls {
			t.Errorf("%d: Take(%d) = %+v after %d calls, want OK %t, %d left, after %d", i, tt.cost, res, store.calls.Load(), tt.ok, tt.left, tt.calls)
		}
	}
}

// What was counted without the Store is not forgotten when it comes back for a
// moment, knowing less.
func TestTheMirrorForgetsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &counted{Store: mustMemory(t)}
		l := mustNew(t, ratelimit.Config{Name: "a", Limits: []string{"4-D"}, Store: store})
		take(t, l, "k", 1)
		store.fail.Store(true)
		take(t, l, "k", 1)
		take(t, l, "k", 1)
		store.fail.Store(false)
		take(t, l, "k", 1) // it knows of 2
		store.fail.Store(true)
		if res := take(t, l, "k", 1); !res.OK || res.Remaining != 0 {
			t.Errorf("the fourth: %+v, want OK and nothing left", res)
		}
		if res := take(t, l, "k", 1); res.OK {
			t.Errorf("the fifth: %+v, want it refused", res)
		}
	})
}

// Where there is no room for the mark of a client that was refused, no client's
// count gives way to it.
func TestMarksTakeNobodysPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &counted{Store: mustMemory(t)}
		l := mustNew(t, ratelimit.Config{Name: "a", Limits: []string{"1-D"}, Store: store, MaxKeys: 8})
		for i := range 8 {
			take(t, l, strconv.Itoa(i), 1)
		}
		for i := range 8 {
			take(t, l, strconv.Itoa(i), 1)
		}
		store.fail.Store(true)
		for i := range 8 {
			if res := take(t, l, strconv.Itoa(i), 1); res.OK {
				t.Errorf("client %d without the Store: %+v, want it refused", i, res)
			}
		}
	})
}

// The breaker counts failures in a row.
func TestFailuresNowAndThen(t *testing.T) {
	t.Parallel()
	store := &counted{Store: mustMemory(t)}
	l := mustNew(t, ratelimit.Config{Name: "a", Limits: []string{"100-D"}, Store: store})
	for i := range 20 {
		store.fail.Store(i%3 != 0)
		if take(t, l, "k", 1); store.calls.Load() != int64(i+1) {
			t.Fatalf("after %d requests the Store was asked %d times", i+1, store.calls.Load())
		}
	}
}

// While the Store does not answer, requests wait for it three times, then one
// each 250 ms does, and nobody gets a 5xx.
func TestAStoreThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		var seen decisions
		h := mustNew(t, ratelimit.Config{Name: "a", Limits: []string{"1000-S"}, OnDecision: seen.add, Store: storeFunc(
			func(ctx context.Context, dst []ratelimit.Result, _ []ratelimit.Request) ([]ratelimit.Result, error) {
				calls.Add(1)
				<-ctx.Done()
				return dst, ctx.Err()
			})}).Handler(ok)
		took := make([]time.Duration, 0, 8)
		for range 8 {
			start := time.Now()
			if got := serve(h, from("192.0.2.1:1")).Code; got != http.StatusNoContent {
				t.Errorf("status = %d, want 204", got)
			}
			took = append(took, time.Since(start))
		}
		if want := []time.Duration{time.Second, time.Second, time.Second, 0, 0, 0, 0, 0}; !slices.Equal(took, want) {
			t.Errorf("requests took %v, want %v", took, want)
		}
		time.Sleep(250 * time.Millisecond)
		var wg sync.WaitGroup
		calls.Store(0)
		for range 20 {
			wg.Go(func() { serve(h, from("192.0.2.1:1")) })
		}
		wg.Wait()
		if got := calls.Load(); got != 1 {
			t.Errorf("%d requests at once asked a Store that hangs, want 1", got)
		}
		var degraded int
		for _, d := range seen.all {
			if d.Effect == decision.Observe && d.Reason == ratelimit.ReasonDegraded {
				degraded++
			}
		}
		if degraded != 28 {
			t.Errorf("%d decisions are recorded as degraded, want all 28", degraded)
		}
	})
}

// Clients that hang up say nothing about the Store, and leave room for the next
// probe.
func TestHangingUpDoesNotBreak(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &counted{Store: mustMemory(t)}
		hang := true
		l := mustNew(t, ratelimit.Config{Name: "a", Limits: []string{"100-S"}, Store: storeFunc(
			func(ctx context.Context, dst []ratelimit.Result, reqs []ratelimit.Request) ([]ratelimit.Result, error) {
				if hang {
					<-ctx.Done()
					return dst, ctx.Err()
				}
				return store.Take(ctx, dst, reqs)
			})})
		gone := func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			if _, err := l.Take(ctx, "k", 1); err == nil {
				t.Error("a client that hung up got through")
			}
		}
		for range 10 {
			gone()
		}
		hang = false
		if res := take(t, l, "k", 1); res.Degraded {
			t.Errorf("after clients hung up: %+v, want the Store to be asked", res)
		}
		store.fail.Store(true)
		for range 3 {
			take(t, l, "k", 1)
		}
		time.Sleep(250 * time.Millisecond)
		hang = true
		gone() // while probing
		hang = false
		store.fail.Store(false)
		if res := take(t, l, "k", 1); res.Degraded {
			t.Errorf("after a probe hung up: %+v, want the Store to be asked", res)
		}
	})
}

// A Store that panics is one that fails, and what becomes of it is logged.
func TestAStoreThatPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := true
		shared := mustMemory(t)
		var log bytes.Buffer
		var seen decisions
		h := mustNew(t, ratelimit.Config{
			Name: "a", Limits: []string{"100-S"}, OnDecision: seen.add, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Store: storeFunc(func(ctx context.Context, dst []ratelimit.Result, reqs []ratelimit.Request) ([]ratelimit.Result, error) {
				if broken {
					panic("broken")
				}
				return shared.Take(ctx, dst, reqs)
			}),
		}).Handler(ok)
		for range 2 { // outages
			broken = true
			for range 5 {
				if got := serve(h, from("192.0.2.1:1")).Code; got != http.StatusNoContent {
					t.Errorf("status = %d, want 204", got)
				}
			}
			broken = false
			time.Sleep(250 * time.Millisecond)
			serve(h, from("192.0.2.1:1"))
		}
		if d := seen.all[0]; d.Reason != ratelimit.ReasonDegraded || !strings.HasPrefix(d.Detail, "the Store panicked at ") || !strings.Contains(d.Detail, "mirror_test.go:") {
			t.Errorf("decision = %+v, want degraded and where it panicked", d)
		}
		fails, again := strings.Count(log.String(), "the Store fails"), strings.Count(log.String(), "the Store answers again")
		if fails != 2 || again != 2 || strings.Contains(log.String(), "broken") {
			t.Errorf("the log tells of %d outages and %d ends, want 2 of each and no panic's value:\n%s", fails, again, &log)
		}
	})
}

// A request that asked before the breaker opened and fails late is no probe.
func TestOneProbeAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var inside, most atomic.Int64
		wait := make(chan time.Duration, 100)
		l := mustNew(t, ratelimit.Config{Name: "a", Limits: []string{"1000-S"}, Store: storeFunc(
			func(_ context.Context, dst []ratelimit.Result, _ []ratelimit.Request) ([]ratelimit.Result, error) {
				most.Store(max(most.Load(), inside.Add(1)))
				defer inside.Add(-1)
				time.Sleep(<-wait)
				return dst, errors.New("down")
			})})
		var wg sync.WaitGroup
		ask := func(takes time.Duration) {
			wait <- takes
			wg.Go(func() { take(t, l, "k", 1) })
			synctest.Wait()
		}
		ask(400 * time.Millisecond) // the straggler
		for range 3 {
			ask(0)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(300 * time.Millisecond)
		most.Store(0)
		for range 5 {
			wg.Go(func() { take(t, l, "k", 1) }) // one of them is the probe
		}
		wait <- 600 * time.Millisecond
		time.Sleep(200 * time.Millisecond) // the straggler has failed
		for range 5 {
			wg.Go(func() { take(t, l, "k", 1) })
		}
		synctest.Wait()
		if got := inside.Load(); got != 1 {
			t.Errorf("%d probes at once, want 1", got)
		}
		wg.Wait()
	})
}

// What the mirror says is counted from when the Store answered, not from when it
// was asked.
func TestTheMirrorIsNotEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := mustMemory(t)
		l := mustNew(t, ratelimit.Config{Name: "a", Limits: []string{"1 per 2 seconds"}, Store: storeFunc(
			func(ctx context.Context, dst []ratelimit.Result, reqs []ratelimit.Request) ([]ratelimit.Result, error) {
				time.Sleep(400 * time.Millisecond)
				dst, err := shared.Take(ctx, dst, reqs)
				time.Sleep(400 * time.Millisecond)
				return dst, err
			})})
		take(t, l, "k", 1)
		said := take(t, l, "k", 1)
		if again := take(t, l, "k", 1); again.OK || again.RetryAfter < said.RetryAfter {
			t.Errorf("the mirror says %+v, after the Store said %+v", again, said)
		}
	})
}

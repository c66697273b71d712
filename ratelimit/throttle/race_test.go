package throttle_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/throttle"
)

// Many goroutines come, wait, go away and panic. However they meet, no bound
// is passed, and in the end all permits are back.
func TestBoundsHoldUnderRaces(t *testing.T) {
	t.Parallel()
	critical := func(r *http.Request) bool { return r.Header.Get("X-Critical") != "" }
	key := func(r *http.Request) (string, error) {
		if k := r.Header.Get("X-Key"); k != "" {
			return k, nil
		}
		return "", ratelimit.ErrSkip
	}
	for _, tt := range []struct {
		name string
		cfg  throttle.Config
	}{
		{"limit", throttle.Config{Limit: 5}},
		{"reserve", throttle.Config{Limit: 5, Reserve: 2, Critical: critical}},
		{"queue", throttle.Config{Limit: 5, Queue: 6, MaxWait: time.Second}},
		{"queue and reserve", throttle.Config{Limit: 5, Queue: 12, MaxWait: time.Second, Reserve: 2, Critical: critical}},
		{"per key", throttle.Config{Limit: 5, PerKey: 2, Key: key}},
		{"adaptive", throttle.Config{Limit: 5, Adaptive: true, Min: 4, Queue: 6, MaxWait: time.Second, Reserve: 2, Critical: critical}},
		{"all", throttle.Config{Limit: 5, PerKey: 2, Key: key, Queue: 12, MaxWait: 200 * time.Microsecond, Reserve: 2, Critical: critical, Adaptive: true, Min: 4}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			const keys = 4
			th := mustNew(t, tt.cfg)
			var inFlight, ordinary, admitted, refused atomic.Int64
			var perKey [keys]atomic.Int64
			count := func(what string, n *atomic.Int64, limit int) {
				if got := n.Add(1); got > int64(limit) {
					t.Errorf("%d requests of %s at once, want at most %d", got, what, limit)
				}
			}
			h := th.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				admitted.Add(1)
				count("all", &inFlight, tt.cfg.Limit)
				defer inFlight.Add(-1)
				if r.Header.Get("X-Critical") == "" {
					count("ordinary ones", &ordinary, tt.cfg.Limit-tt.cfg.Reserve)
					defer ordinary.Add(-1)
				}
				if k := r.Header.Get("X-Key"); k != "" && tt.cfg.PerKey > 0 {
					n := &perKey[k[0]-'0']
					count("a key", n, tt.cfg.PerKey)
					defer n.Add(-1)
				}
				if waiting := th.Stats().Waiting; waiting > tt.cfg.Queue {
					t.Errorf("%d wait, want at most %d", waiting, tt.cfg.Queue)
				}
				runtime.Gosched()
				switch rand.IntN(10) {
				case 0:
					panic(http.ErrAbortHandler)
				case 1:
					runtime.Gosched()
				}
			}))
			request := func(ctx context.Context) {
				defer func() {
					if fault := recover(); fault != nil && fault != any(http.ErrAbortHandler) {
						panic(fault)
					}
				}()
				r := from("192.0.2.1:80")
				if rand.IntN(4) == 0 {
					r.Header.Set("X-Critical", "1")
				}
				if rand.IntN(8) > 0 {
					r.Header.Set("X-Key", fmt.Sprint(rand.IntN(keys)))
				}
				if rand.IntN(4) == 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithCancel(ctx)
					go cancel()
				}
				if serve(h, r.WithContext(ctx)).Code == http.StatusServiceUnavailable {
					refused.Add(1)
				}
			}
			var wg sync.WaitGroup
			for range 24 {
				wg.Go(func() {
					for range 300 {
						request(t.Context())
					}
				})
			}
			wg.Wait()
			checkIdle(t, th)
			if got := admitted.Load() + refused.Load(); got != 24*300 {
				t.Errorf("%d admitted and %d refused, want %d in all", admitted.Load(), refused.Load(), 24*300)
			}
			var counted uint64
			for _, n := range th.Stats().Refused {
				counted += n
			}
			if counted != uint64(refused.Load()) {
				t.Errorf("Stats counts %d refusals, want %d", counted, refused.Load())
			}
		})
	}
}

// A permit that is released by many at once comes back once.
func TestReleaseOnceUnderRaces(t *testing.T) {
	t.Parallel()
	th := mustNew(t, throttle.Config{Limit: 2})
	kept := mustAcquire(t, th, "", false)
	for range 500 {
		p := mustAcquire(t, th, "", false)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(p.Release)
		}
		wg.Wait()
		if got := th.Stats().InFlight; got != 1 {
			t.Fatalf("%d in flight, want 1", got)
		}
	}
	kept.Release()
	checkIdle(t, th)
}

// A request that saw that there is no permit must not wait for one that came
// back before it began to, nor take one that went meanwhile.
func TestNoWakeUpIsLost(t *testing.T) {
	t.Parallel()
	th := mustNew(t, throttle.Config{Limit: 1, Queue: 1, MaxWait: time.Minute})
	held := mustAcquire(t, th, "", false)
	if th.SettleAfter(held.Release) {
		t.Error("a request waits for a permit that came back before")
	}
	checkIdle(t, th)
	if th.SettleAfter(func() { held = mustAcquire(t, th, "", false) }) {
		t.Error("a request took a permit that was taken before")
	}
	held.Release()
	checkIdle(t, th)
}

// The same by chance: two share one permit.
func TestHandOverUnderRaces(t *testing.T) {
	t.Parallel()
	th := mustNew(t, throttle.Config{Limit: 1, Queue: 1, MaxWait: time.Minute})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range 10_000 {
				p, err := th.Acquire(t.Context(), "", false)
				if err != nil {
					t.Errorf("Acquire: %v", err)
					return
				}
				p.Release()
			}
		})
	}
	wg.Wait()
	checkIdle(t, th)
}

// Whoever comes between the release of a permit and the moment in which the
// first in line gets it does not get it instead: neither by the quick path nor
// by the lock.
func TestNobodyPassesTheLine(t *testing.T) {
	t.Parallel()
	th := mustNew(t, throttle.Config{Limit: 1, Queue: 2, MaxWait: time.Minute})
	held := mustAcquire(t, th, "", false)
	order := make(chan string, 2)
	var wg sync.WaitGroup
	come := func(name string) {
		wg.Go(func() {
			p, err := th.Acquire(t.Context(), "", false)
			if err != nil {
				t.Errorf("Acquire: %v", err)
			}
			order <- name
			p.Release()
		})
	}
	come("first")
	for th.Stats().Waiting == 0 {
		runtime.Gosched()
	}
	th.Locked(func() {
		come("second")
		time.Sleep(10 * time.Millisecond) // it waits for the lock by now, most probably
		wg.Go(held.Release)
		for th.Stats().InFlight == 1 {
			runtime.Gosched()
		}
		if th.Quick() {
			t.Error("a newcomer was admitted before the one who waits")
		}
	})
	wg.Wait()
	if got := <-order; got != "first" {
		t.Errorf("the %s was admitted before the first", got)
	}
	checkIdle(t, th)
}

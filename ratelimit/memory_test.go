package ratelimit_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

var policies = []ratelimit.Policy{
	{Limit: 1, Period: time.Second},
	{Limit: 10, Period: time.Second},
	{Limit: 10, Period: time.Second, Burst: 1},
	{Limit: 10, Period: time.Second, Burst: 25},
	{Limit: 7, Period: time.Second}, // not a whole number of nanoseconds each
	{Limit: 100, Period: time.Minute, Burst: 10},
	{Limit: 3, Period: time.Millisecond},
	{Limit: 999, Period: 366 * 24 * time.Hour},
}

// Fault: counters with fixed windows admit twice the limit within an instant.
// Whatever clients do, no stretch of one Period sees more than Limit+Burst-1,
// and the table decides as an exact bucket would.
func TestNoWindowAdmitsMoreThanTheBound(t *testing.T) {
	t.Parallel()
	for _, p := range policies {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			burst := p.Burst
			if burst == 0 {
				burst = p.Limit
			}
			unit := (p.Period + time.Duration(p.Limit) - 1) / time.Duration(p.Limit)
			for seed := range uint64(20) {
				rnd := rand.New(rand.NewPCG(seed, 1))
				table := ratelimit.NewClocked(8, p)
				var now time.Duration
				tokens := unit * time.Duration(burst) // the exact bucket, in units of time
				type admission struct {
					at   time.Duration
					cost int64
				}
				var admitted []admission
				for range 400 {
					var pause time.Duration
					switch rnd.IntN(4) {
					case 0: // at once
					case 1:
						pause = time.Duration(rnd.Int64N(int64(unit) + 1))
					case 2:
						pause = time.Duration(rnd.Int64N(int64(p.Period)))
					case 3: // as early as possible, or one too early
						_, ok, _ := table.TakeAt(now, "k", 0)
						res, _, _ := table.TakeAt(now, "k", 0)
						if pause = res[0].RetryAfter; !ok && rnd.IntN(2) == 0 {
							pause--
						}
					}
					now += pause
					tokens = min(tokens+pause, unit*time.Duration(burst))
					cost := int64(1)
					if rnd.IntN(3) == 0 {
						cost = 1 + rnd.Int64N(burst)
					}
					_, ok, _ := table.TakeAt(now, "k", cost)
					if want := tokens >= unit*time.Duration(cost); ok != want {
						t.Fatalf("seed %d: %d at %v: admitted = %t, the exact bucket says %t", seed, cost, now, ok, want)
					}
					if ok {
						tokens -= unit * time.Duration(cost)
						admitted = append(admitted, admission{now, cost})
					}
				}
				for i := range admitted {
					var sum int64
					for _, a := range admitted[i:] {
						if a.at >= admitted[i].at+p.Period {
							break
						}
						sum += a.cost
					}
					if sum > p.Limit+burst-1 {
						t.Fatalf("seed %d: %d admitted in the Period from %v, want at most %d", seed, sum, admitted[i].at, p.Limit+burst-1)
					}
				}
			}
		})
	}
}

func TestARequestIsAdmittedExactlyWhenPromised(t *testing.T) {
	t.Parallel()
	for _, p := range policies {
		table := ratelimit.NewClocked(8, p)
		var now time.Duration
		for i := range 200 {
			for {
				res, ok, _ := table.TakeAt(now, "k", 1)
				if ok {
					continue
				}
				wait := res[0].RetryAfter
				if _, ok, _ := table.TakeAt(now+wait-1, "k", 0); ok {
					t.Fatalf("%v: round %d: room 1 ns before RetryAfter %v", p, i, wait)
				}
				now += wait
				break
			}
			if _, ok, _ := table.TakeAt(now, "k", 1); !ok {
				t.Fatalf("%v: round %d: no room when RetryAfter was over", p, i)
			}
		}
		res, _, _ := table.TakeAt(now, "k", 0)
		fresh, _, _ := table.TakeAt(now, "other", 0)
		now += res[0].ResetAfter
		if got, _, _ := table.TakeAt(now, "k", 0); got[0] != fresh[0] {
			t.Errorf("%v: %+v when ResetAfter was over, want as for a fresh key %+v", p, got[0], fresh[0])
		}
	}
}

// Fault: in httprate a late increment for the previous window cleared all
// counters of all keys.
func TestLateRequestsLoseNoCount(t *testing.T) {
	t.Parallel()
	table := ratelimit.NewClocked(8, ratelimit.Policy{Limit: 5, Period: time.Minute}, ratelimit.Policy{Limit: 100, Period: time.Hour})
	for range 5 {
		table.TakeAt(10*time.Minute, "victim", 1)
	}
	for _, early := range []time.Duration{0, time.Second, 9 * time.Minute, 10*time.Minute - 1} {
		if res, ok, _ := table.TakeAt(early, "victim", 1); ok {
			t.Fatalf("victim at %v: %+v, want it refused", early, res)
		}
		if res, ok, _ := table.TakeAt(early, "other", 1); !ok {
			t.Fatalf("other at %v: %+v, want it admitted", early, res)
		}
	}
	for now, want := range map[time.Duration]int64{10 * time.Minute: 0, 10*time.Minute + 12*time.Second: 1, 11 * time.Minute: 5} {
		if res, _, _ := table.TakeAt(now, "victim", 0); res[0].Remaining != want {
			t.Errorf("the victim has %d left at %v, want %d as if nobody had been late", res[0].Remaining, now, want)
		}
	}
	// Concurrent requests bring their times in any order.
	rnd := rand.New(rand.NewPCG(1, 2))
	table = ratelimit.NewClocked(8, ratelimit.Policy{Limit: 20, Period: time.Minute})
	admitted := 0
	for range 2000 {
		if _, ok, _ := table.TakeAt(time.Minute+time.Duration(rnd.Int64N(int64(3*time.Second))), "k", 1); ok {
			admitted++
		}
	}
	if admitted < 20 || admitted > 21 { // 20, and the one that comes back within 3 s
		t.Errorf("admitted = %d, want 20 or 21", admitted)
	}
}

func TestGivingBackNeverRaisesAboveTheLimit(t *testing.T) {
	t.Parallel()
	for _, p := range policies {
		rnd := rand.New(rand.NewPCG(3, 4))
		table := ratelimit.NewClocked(8, p)
		full, _, _ := table.TakeAt(0, "fresh", 0)
		var now time.Duration
		for range 2000 {
			before, _, _ := table.TakeAt(now, "k", 0)
			cost := rnd.Int64N(2*full[0].Remaining+1) - full[0].Remaining
			after, ok, _ := table.TakeAt(now, "k", cost)
			peek, _, _ := table.TakeAt(now, "k", 0)
			switch {
			case peek[0].Remaining > full[0].Remaining || after[0].Remaining > full[0].Remaining:
				t.Fatalf("%v: %+v after %d, more than the %d of a fresh key", p, peek[0], cost, full[0].Remaining)
			case cost <= 0 && peek[0].ResetAfter > before[0].ResetAfter:
				t.Fatalf("%v: giving %d back moved the reset from %v to %v", p, -cost, before[0].ResetAfter, peek[0].ResetAfter)
			case !ok && peek[0] != before[0]:
				t.Fatalf("%v: refused, and yet %+v became %+v", p, before[0], peek[0])
			}
			now += time.Duration(rnd.Int64N(int64(p.Period) / p.Limit))
		}
	}
}

// Fault: throttled's LRU store, flooded with fresh keys, pardons an exhausted
// one; others grow without bound.
func TestFloodOfFreshKeysPardonsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := mustMemory(t)
		day := mustNew(t, ratelimit.Config{Limits: []string{"1000 per day"}, Name: "day", Store: shared})
		for limits, cfg := range map[string]ratelimit.Config{
			"one":      {Limits: []string{"5 per minute"}},
			"longer":   {Limits: []string{"5 per minute; 100 per hour"}},
			"much":     {Limits: []string{"5 per minute; 10 per day"}},
			"exact":    {Policies: []ratelimit.Policy{{Limit: 5, Period: time.Hour, Exact: true}}},
			"few rows": {Policies: []ratelimit.Policy{{Limit: 5, Period: time.Hour, Exact: true}, {Name: "many", Limit: 100, Period: time.Hour, Exact: true}}},
			"backoff":  {Policies: []ratelimit.Policy{{Limit: 5, Period: 15 * time.Minute, Backoff: time.Hour}}},
			"shared":   {Limits: []string{"5 per minute"}, Name: "minute", Store: shared},
		} {
			l := mustNew(t, cfg)
			exhausted := []string{"first", "second", "third"}
			for _, key := range exhausted {
				for range 5 {
					take(t, l, key, 1)
				}
			}
			n := 600_000
			if limits == "few rows" { // a tenth of them are as many for a tenth of the rows
				n /= 10
			}
			for i := range n {
				if !take(t, l, "fresh"+strconv.Itoa(i), 1).OK {
					t.Fatalf("fresh key %d refused", i)
				}
				if limits == "shared" {
					take(t, day, "fresh"+strconv.Itoa(i), 1)
				}
			}
			for _, key := range exhausted {
				if take(t, l, key, 1).OK {
					t.Errorf("%s: %s was admitted after the flood", limits, key)
				}
			}
		}
	})
}

// Fault: most limiters keep something of every client that they ever saw.
func TestAFloodLeavesTheHeapAlone(t *testing.T) { //nolint:paralleltest // the heap is everybody's
	for _, p := range []ratelimit.Policy{{Limit: 5, Period: time.Minute}, {Limit: 5, Period: time.Minute, Exact: true}} {
		l := mustNew(t, ratelimit.Config{Policies: []ratelimit.Policy{p}})
		take(t, l, "first", 1)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range 1_000_000 {
			take(t, l, "fresh"+strconv.Itoa(i), 1)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
			t.Errorf("%v: the heap grew by %d bytes, want less than 1 MiB", p, grown)
		}
		if got := l.Stats().Forgotten; got < 800_000 {
			t.Errorf("%v: Stats().Forgotten = %d, want most of the flood", p, got)
		}
		runtime.KeepAlive(l)
	}
}

// When every row of a set is in use, the one closest to its end gives way.
func TestTheClientThatWouldBeDoneSoonestIsForgotten(t *testing.T) {
	t.Parallel()
	table := ratelimit.NewClocked(8, ratelimit.Policy{Limit: 10, Period: 10 * time.Second})
	for i := range 8 {
		if _, _, crowded := table.TakeAt(0, strconv.Itoa(i), int64(2+i)); crowded {
			t.Fatalf("crowded with %d of 8", i+1)
		}
	}
	table.TakeAt(0, "stranger", 0) // peeking and giving back need no room
	table.TakeAt(0, "stranger", -1)
	if res, _, _ := table.TakeAt(0, "0", 0); res[0].Remaining != 8 {
		t.Errorf("client 0 has %d left, want 8", res[0].Remaining)
	}
	if _, _, crowded := table.TakeAt(0, "new", 1); !crowded {
		t.Error("not crowded with 9 of 8")
	}
	for i, want := range []int64{10, 7, 6, 5, 4, 3, 2, 1} { // 0 took 2 and was forgotten
		if res, _, _ := table.TakeAt(0, strconv.Itoa(i), 0); res[0].Remaining != want {
			t.Errorf("client %d has %d left, want %d", i, res[0].Remaining, want)
		}
	}
	// Rows that are done are free: nobody is forgotten for them.
	if _, _, crowded := table.TakeAt(3*time.Second, "newer", 1); crowded {
		t.Error("crowded although some are done")
	}
}

func TestTableSize(t *testing.T) {
	t.Parallel()
	for slots, want := range map[int]int{1: 8, 8: 8, 9: 16, 17: 32, 1000: 1024, 1 << 17: 1 << 17, 1<<17 + 1: 1 << 18} {
		if got, _ := ratelimit.NewClocked(slots, ratelimit.Policy{Limit: 1, Period: time.Second}).Rows(); got != want {
			t.Errorf("%d slots became %d, want %d", slots, got, want)
		}
	}
}

// 100 goroutines on one key: exactly the limit passes.
func TestConcurrentRequestsGetExactlyTheLimit(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]func() ratelimit.Store{
		"in process": func() ratelimit.Store { return nil },
		"shared":     func() ratelimit.Store { return &sharedStore{} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { // time stands still
				l := mustNew(t, ratelimit.Config{Limits: []string{"1000-M; 1500-H"}, Name: "a", Store: store()})
				var admitted atomic.Int64
				var wg sync.WaitGroup
				for range 100 {
					wg.Go(func() {
						for range 40 {
							res, err := l.Take(t.Context(), "k", 1)
							if err != nil {
								t.Error(err)
							}
							if res.OK {
								admitted.Add(1)
							}
						}
					})
				}
				wg.Wait()
				if got := admitted.Load(); got != 1000 {
					t.Errorf("admitted = %d of 4000, want 1000", got)
				}
			})
		})
	}
}

// Fault: ulule's memory store computes the end of a window before it locks,
// and windows come out too short.
func TestConcurrentAdmissionsAreAPeriodApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := mustNew(t, ratelimit.Config{Limits: []string{"1 per 3 ms"}})
		var mu sync.Mutex
		var last time.Time
		admitted := 0
		var wg sync.WaitGroup
		for i := range 16 {
			rnd := rand.New(rand.NewPCG(uint64(i), 5))
			wg.Go(func() {
				for range 300 {
					time.Sleep(time.Duration(rnd.Int64N(int64(2 * time.Millisecond))))
					mu.Lock() // so that the times noted are in the order of the decisions
					res, err := l.Take(t.Context(), "k", 1)
					if err != nil {
						t.Error(err)
					}
					if res.OK {
						if now := time.Now(); now.Sub(last) < 3*time.Millisecond {
							t.Errorf("two admissions %v apart", now.Sub(last))
						} else {
							last = now
						}
						admitted++
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if admitted < 50 {
			t.Errorf("admitted = %d, want about one in 3 ms", admitted)
		}
	})
}

func TestTakeAllocatesNothing(t *testing.T) {
	l := mustNew(t, ratelimit.Config{Limits: []string{"5-M; 100-H"}})
	keys := make([]string, 2000)
	for i := range keys {
		keys[i] = netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String()
	}
	i := 0
	if got := testing.AllocsPerRun(len(keys)-1, func() {
		if _, err := l.Take(t.Context(), keys[i%len(keys)], 1); err != nil {
			t.Fatal(err)
		}
		i++
	}); got != 0 {
		t.Errorf("a fresh key allocates %v times, want never", got)
	}
	if got := testing.AllocsPerRun(100, func() { _, _ = l.Take(t.Context(), "k", 1) }); got != 0 {
		t.Errorf("a refused key allocates %v times, want never", got)
	}
}

func TestPolicyString(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		p    ratelimit.Policy
		want string
	}{
		{ratelimit.Policy{Limit: 5, Period: time.Minute}, "5 per minute"},
		{ratelimit.Policy{Limit: 5, Period: 5 * time.Minute, Burst: 5}, "5 per 5 minutes"},
		{ratelimit.Policy{Limit: 5, Period: 24 * time.Hour, Burst: 2}, "5 per day (burst 2)"},
		{ratelimit.Policy{Limit: 5, Period: 1500 * time.Microsecond}, "5 per 1.5ms"},
	} {
		if got := fmt.Sprint(tt.p); got != tt.want {
			t.Errorf("String = %q, want %q", got, tt.want)
		}
	}
}

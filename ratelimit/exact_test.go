package ratelimit_test

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// An exact policy decides as a log of all admissions would: at most Limit in
// every Period, wherever it begins, and never fewer.
func TestExactPoliciesDecideAsALogWould(t *testing.T) {
	t.Parallel()
	for _, p := range []ratelimit.Policy{
		{Limit: 1, Period: time.Second, Exact: true},
		{Limit: 5, Period: 15 * time.Minute, Exact: true},
		{Limit: 32, Period: time.Second, Exact: true},
		{Limit: 100, Period: time.Millisecond, Exact: true},
	} {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(20) {
				rnd := rand.New(rand.NewPCG(seed, 1))
				m := ratelimit.NewClocked(8, p)
				var now time.Duration
				var log []time.Duration // each admitted 1
				for range 600 {
					switch rnd.IntN(4) {
					case 0: // at once
					case 1:
						now += time.Duration(rnd.Int64N(int64(p.Period) / p.Limit * 2))
					case 2:
						now += time.Duration(rnd.Int64N(int64(p.Period)))
					case 3: // as early as possible, or one too early
						res, ok, _ := m.TakeAt(now, "k", 0)
						now += res[0].RetryAfter
						if !ok && rnd.IntN(2) == 0 {
							now--
						}
					}
					log = slices.DeleteFunc(log, func(at time.Duration) bool { return at <= now-p.Period })
					cost := int64(1)
					switch rnd.IntN(6) {
					case 0:
						cost = 1 + rnd.Int64N(p.Limit)
					case 1:
						cost = -rnd.Int64N(p.Limit + 1)
					}
					res, ok, _ := m.TakeAt(now, "k", cost)
					switch want := int64(len(log))+max(1, cost) <= p.Limit; {
					case cost < 0:
						if !ok {
							t.Fatalf("seed %d: giving back is refused", seed)
						}
						log = log[min(len(log), int(-cost)):]
					case ok != want:
						t.Fatalf("seed %d: %d at %v: admitted = %t, the log says %t", seed, cost, now, ok, want)
					case ok:
						for range cost {
							log = append(log, now)
						}
					}
					if want := p.Limit - int64(len(log)); res[0].Remaining != want {
						t.Fatalf("seed %d: %d at %v: Remaining = %d, want %d", seed, cost, now, res[0].Remaining, want)
					}
					var reset time.Duration
					if len(log) > 0 {
						reset = log[len(log)-1] + p.Period - now
					}
					if res[0].ResetAfter != reset {
						t.Fatalf("seed %d: %d at %v: ResetAfter = %v, want %v", seed, cost, now, res[0].ResetAfter, reset)
					}
				}
			}
		})
	}
}

func TestExactPoliciesNeverRefuseASteadyClient(t *testing.T) {
	t.Parallel()
	for _, limit := range []int64{1, 4, 50, 100} {
		p := ratelimit.Policy{Limit: limit, Period: time.Minute, Exact: true}
		m := ratelimit.NewClocked(8, p)
		for i := range 5 * limit {
			if res, ok, _ := m.TakeAt(time.Duration(i)*p.Period/time.Duration(limit), "k", 1); !ok {
				t.Fatalf("%v: request %d at the rate: %+v, want it admitted", p, i, res)
			}
		}
	}
}

// What is given back may have been taken after others: these must not be
// forgotten in its place, or a Period would see more than Limit.
func TestExactPoliciesForgetTheOldest(t *testing.T) {
	t.Parallel()
	m := ratelimit.NewClocked(8, ratelimit.Policy{Limit: 2, Period: 10 * time.Second, Exact: true})
	m.TakeAt(0, "k", 1) // given back at 9.5 s
	m.TakeAt(9*time.Second, "k", 1)
	m.TakeAt(9500*time.Millisecond, "k", -1)
	for i, want := range []bool{true, false} {
		if _, ok, _ := m.TakeAt(10*time.Second, "k", 1); ok != want {
			t.Errorf("request %d at 10 s: admitted = %t, want %t", i, ok, want)
		}
	}
}

// Requests that run at once may be counted out of order.
func TestExactPoliciesKeepTheOrder(t *testing.T) {
	t.Parallel()
	m := ratelimit.NewClocked(8, ratelimit.Policy{Limit: 2, Period: 10 * time.Second, Exact: true})
	m.TakeAt(10*time.Second, "k", 1)
	m.TakeAt(5*time.Second, "k", 1) // late
	for at, want := range map[time.Duration]bool{15*time.Second + 1: false, 20*time.Second - 1: false} {
		if _, ok, _ := m.TakeAt(at, "k", 2); ok != want {
			t.Errorf("2 at %v: admitted = %t, want %t", at, ok, want)
		}
	}
}

// The memory of exact policies is bounded, whatever their Limit.
func TestTheMemoryOfExactPolicies(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int64]int{1: 1 << 17, 5: 1 << 17, 100: 1 << 14} {
		m := ratelimit.NewClocked(0, ratelimit.Policy{Limit: limit, Period: time.Second, Exact: true})
		if rows, bytes := m.Rows(); rows != want || bytes > 16<<20 {
			t.Errorf("Limit %d: room for %d in %d bytes, want %d in at most 16 MiB", limit, rows, bytes, want)
		}
	}
	m := ratelimit.NewClocked(8, ratelimit.Policy{Limit: 8, Period: time.Second, Exact: true})
	for i := range 100 { // all of them in 8 rows
		m.TakeAt(time.Duration(i)*time.Microsecond, string(rune('a'+i)), 8)
	}
	m.TakeAt(time.Millisecond, "fresh", 1)
	if res, _, _ := m.TakeAt(time.Millisecond, "fresh", 0); res[0].Remaining != 7 {
		t.Errorf("%d left of 8 after 1 in another's place, want 7", res[0].Remaining)
	}
}

// Limits beyond those that have rows of their own share them, and no client's
// counters take each other's place.
func TestManyLimitsInOneMemory(t *testing.T) {
	t.Parallel()
	m := ratelimit.NewClocked(8)
	for i := range 200 {
		m.With(ratelimit.Policy{Name: "p" + strconv.Itoa(i), Limit: 1, Period: time.Second})
	}
	if n := m.Shelves(); n > 64 {
		t.Errorf("%d limits have rows of their own, want at most 64", n)
	}
	c := m.With(ratelimit.Policy{Name: "p198", Limit: 10, Period: time.Second}, ratelimit.Policy{Name: "p199", Limit: 10, Period: 24 * time.Hour})
	for i := range 20 {
		at := time.Duration(i) * 1100 * time.Millisecond
		for other := range 7 {
			c.TakeAt(at, "other"+strconv.Itoa(other), 2)
		}
		if res, _, _ := c.TakeAt(at, "victim", 1); res[0].RetryAfter > time.Second {
			t.Fatalf("%d: RetryAfter = %v of a limit in a second", i, res[0].RetryAfter)
		}
	}
}

// A GCRA policy and an exact one take together or not at all.
func TestExactBesideOthers(t *testing.T) {
	t.Parallel()
	m := ratelimit.NewClocked(8, ratelimit.Policy{Name: "a", Limit: 2, Period: time.Second, Exact: true}, ratelimit.Policy{Name: "b", Limit: 3, Period: time.Hour})
	for i, tt := range []struct {
		at   time.Duration
		want bool
		left int64
	}{
		{0, true, 2}, {0, true, 1}, {0, false, 1}, {time.Second - 1, false, 1}, {time.Second, true, 0}, {3 * time.Second, false, 0},
	} {
		res, ok, _ := m.TakeAt(tt.at, "k", 1)
		if ok != tt.want || res[1].Remaining != tt.left {
			t.Errorf("%d: at %v: admitted = %t with %d left of b, want %t with %d", i, tt.at, ok, res[1].Remaining, tt.want, tt.left)
		}
	}
}

// The wait doubles each time that the quota is used up, and that is forgotten.
func TestBackoff(t *testing.T) {
	t.Parallel()
	p := ratelimit.Policy{Limit: 5, Period: 15 * time.Minute, Backoff: time.Hour}
	m := ratelimit.NewClocked(8, p)
	var now time.Duration
	for i := range 5 {
		if _, ok, _ := m.TakeAt(now, "k", 1); !ok {
			t.Fatalf("request %d is refused", i)
		}
	}
	for i, minutes := range []time.Duration{3, 6, 12, 24, 48, 60, 60, 60} {
		res, ok, _ := m.TakeAt(now, "k", 1)
		if want := minutes * time.Minute; ok || res[0].RetryAfter < want || res[0].RetryAfter > want+time.Microsecond {
			t.Fatalf("wait %d: admitted = %t, %v, want refused for %v", i, ok, res[0].RetryAfter, want)
		}
		now += res[0].RetryAfter
		if _, ok, _ := m.TakeAt(now-1, "k", 1); ok {
			t.Fatalf("wait %d: admitted 1 ns before it was over", i)
		}
		if _, ok, _ := m.TakeAt(now, "k", 1); !ok {
			t.Fatalf("wait %d: refused when it was over", i)
		}
	}
	res, _, _ := m.TakeAt(now, "k", 0)
	whole := now + res[0].ResetAfter

	// As long as it is not forgotten the wait goes on where it was.
	for range 5 {
		m.TakeAt(whole+time.Hour-time.Second, "k", 1)
	}
	if res, _, _ := m.TakeAt(whole+time.Hour-time.Second, "k", 1); res[0].RetryAfter < time.Hour-time.Microsecond {
		t.Errorf("RetryAfter = %v before it was forgotten, want 1h", res[0].RetryAfter)
	}
	res, _, _ = m.TakeAt(whole+time.Hour, "k", 0)
	whole = whole + time.Hour + res[0].ResetAfter
	for range 5 {
		m.TakeAt(whole+time.Hour+time.Second, "k", 1)
	}
	if res, _, _ := m.TakeAt(whole+time.Hour+time.Second, "k", 1); res[0].RetryAfter > 3*time.Minute+time.Microsecond {
		t.Errorf("RetryAfter = %v after it was forgotten, want 3m", res[0].RetryAfter)
	}
}

func TestGivingBackUndoesTheWait(t *testing.T) {
	t.Parallel()
	p := ratelimit.Policy{Limit: 2, Period: 2 * time.Minute, Backoff: time.Hour}
	m := ratelimit.NewClocked(8, p)
	m.TakeAt(0, "k", 1)
	m.TakeAt(0, "k", 1)  // a wait of 1 min begins
	m.TakeAt(0, "k", -1) // and is undone
	if res, ok, _ := m.TakeAt(0, "k", 1); !ok || res[0].RetryAfter > time.Minute+time.Microsecond {
		t.Errorf("after giving back: admitted = %t and then %v, want true and 1m", ok, res[0].RetryAfter)
	}
	var now time.Duration
	for range 6 { // longer and longer
		res, _, _ := m.TakeAt(now, "k", 0)
		now += res[0].RetryAfter
		m.TakeAt(now, "k", 1)
	}
	before, _, _ := m.TakeAt(now, "k", 0)
	m.TakeAt(now, "k", -1)
	if res, ok, _ := m.TakeAt(now, "k", 1); !ok || res[0].RetryAfter < before[0].RetryAfter || res[0].RetryAfter > before[0].RetryAfter+time.Microsecond {
		t.Errorf("after giving back what began a wait of %v: admitted = %t and then %v, want true and as before", before[0].RetryAfter, ok, res[0].RetryAfter)
	}
	m.TakeAt(0, "k", -2)
	fresh := ratelimit.NewClocked(8, p)
	want, _, _ := fresh.TakeAt(0, "k", 1)
	if got, _, _ := m.TakeAt(0, "k", 1); got[0] != want[0] {
		t.Errorf("after all was given back: %+v, want as for a fresh client %+v", got[0], want[0])
	}
}

func TestGivingBackDoesNotProlongTheMemory(t *testing.T) {
	t.Parallel()
	m := ratelimit.NewClocked(8, ratelimit.Policy{Limit: 1, Period: time.Minute, Backoff: time.Hour})
	m.TakeAt(0, "j", 1)
	m.TakeAt(time.Minute, "j", 1)
	m.TakeAt(4*time.Minute, "j", 1) // k = 2, 4 min
	quiet := 8 * time.Minute
	for now := quiet; now < quiet+2*time.Hour; now += 10 * time.Minute {
		m.With(ratelimit.Policy{Name: "minute", Limit: 2, Period: 2 * time.Minute, Backoff: time.Hour}).TakeAt(now, "j", -1)
	}
	m.TakeAt(quiet+2*time.Hour, "j", 1)
	if res, _, _ := m.TakeAt(quiet+2*time.Hour, "j", 0); res[0].RetryAfter > time.Minute+time.Microsecond {
		t.Errorf("RetryAfter = %v two hours later, want 1m", res[0].RetryAfter)
	}
}

// Whatever was taken and given back, an admission with it is one without it.
func TestGivingBackNeverGivesMoreThanWasTaken(t *testing.T) {
	t.Parallel()
	for _, p := range []ratelimit.Policy{
		{Limit: 5, Period: time.Minute},
		{Limit: 5, Period: time.Minute, Burst: 2},
		{Limit: 5, Period: time.Minute, Exact: true},
		{Limit: 5, Period: time.Minute, Backoff: time.Hour},
	} {
		for seed := range uint64(50) {
			rnd := rand.New(rand.NewPCG(seed, 2))
			with, without := ratelimit.NewClocked(8, p), ratelimit.NewClocked(8, p)
			var now time.Duration
			for range 100 {
				now += time.Duration(rnd.Int64N(int64(20 * time.Second)))
				if rnd.IntN(2) == 0 { // one that is taken and given back
					if _, ok, _ := with.TakeAt(now, "k", 1); ok {
						with.TakeAt(now+time.Duration(rnd.Int64N(int64(time.Second))), "k", -1)
					}
					continue
				}
				_, had, _ := with.TakeAt(now, "k", 1)
				if !had {
					continue
				}
				if _, should, _ := without.TakeAt(now, "k", 1); !should {
					t.Fatalf("%v: seed %d: admitted at %v, which would not have been without what was given back", p, seed, now)
				}
			}
		}
	}
}

package redisstore_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/report"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/redisstore"
)

// realTime is a store as New makes it.
func (s *server) realTime(t *testing.T) *redisstore.Store {
	t.Helper()
	return newStore(t, redisstore.Config{Do: s.do, Timeout: 10 * time.Second})
}

// Fault: a period that is rounded to no time left keys that lock a client for
// ever. Whatever is asked, no key is without an end.
func TestEveryKeyEnds(t *testing.T) {
	t.Parallel()
	for _, server := range servers {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, server)
			store := s.realTime(t)
			rnd := rand.New(rand.NewPCG(1, 4))
			all := append(slices.Clone(oracle),
				ratelimit.Policy{Name: "longest", Limit: 1, Period: 366 * 24 * time.Hour, Burst: 10},
				ratelimit.Policy{Name: "patient", Limit: 1, Period: 366 * 24 * time.Hour, Backoff: 366 * 24 * time.Hour},
				ratelimit.Policy{Name: "shortest", Limit: 1, Period: time.Millisecond},
				ratelimit.Policy{Name: "instant", Limit: 1, Period: time.Millisecond, Exact: true},
				ratelimit.Policy{Name: "tiny", Limit: 1, Period: time.Millisecond, Backoff: time.Millisecond},
				ratelimit.Policy{Name: "nanoseconds", Limit: 10_000, Period: time.Millisecond},
			)
			for range 2000 {
				picked := pick(rnd, all)
				least := slices.MinFunc(picked, func(a, b ratelimit.Policy) int { return int(a.Burst - b.Burst) }).Burst
				take(t, store, fmt.Sprint("k", rnd.IntN(20)), costOf(rnd, least), picked...)
				keys, _ := s.must(t, "KEYS", "*").([]any)
				for _, key := range keys {
					if ms, _ := s.must(t, "PTTL", key).(int64); ms == -1 || ms > 11*366*24*3600*1000 {
						t.Fatalf("PTTL %q = %d, want an end", key, ms)
					}
				}
			}
			if keys, _ := s.must(t, "KEYS", "*").([]any); len(keys) == 0 {
				t.Error("no key is left to look at")
			}
		})
	}
}

// A key ends when it says nothing any more, and not before.
func TestKeysLiveAsLongAsTheyMatter(t *testing.T) {
	t.Parallel()
	for _, server := range servers {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, server)
			store := s.realTime(t)
			for _, tt := range []struct {
				name     string
				cost     int64
				policies []ratelimit.Policy
				want     time.Duration
			}{
				{"one of five in a minute", 1, []ratelimit.Policy{perMinute}, 12 * time.Second},
				{"the farthest counts", 1, []ratelimit.Policy{{Name: "hour", Limit: 4, Period: time.Hour}, perMinute}, 15 * time.Minute},
				{"exact", 1, []ratelimit.Policy{{Name: "exact", Limit: 5, Period: time.Minute, Exact: true}}, time.Minute},
				{"backoff, not used up", 3, []ratelimit.Policy{{Name: "guess", Limit: 5, Period: time.Minute, Backoff: time.Hour}}, 36 * time.Second},
				{"backoff", 5, []ratelimit.Policy{{Name: "guess", Limit: 5, Period: time.Minute, Backoff: time.Hour}}, time.Hour + time.Minute},
				{"a year", 10, []ratelimit.Policy{{Name: "year", Limit: 1, Period: 366 * 24 * time.Hour, Burst: 10}}, 3660 * 24 * time.Hour},
			} {
				key := fresh()
				take(t, store, key, tt.cost, tt.policies...)
				if got := time.Duration(s.life(t, redisKey(key))) * time.Millisecond; got > tt.want+time.Second+time.Millisecond || got < tt.want-5*time.Second {
					t.Errorf("%s: the key lives for %v, want %v and a second", tt.name, got, tt.want)
				}
				take(t, store, key, -100, tt.policies...)
				if n := s.must(t, "EXISTS", redisKey(key)); n != int64(0) {
					t.Errorf("%s: forgotten, but there is still a key", tt.name)
				}
			}
		})
	}
}

// Peeking and being refused change nothing, and nothing is written for a
// client that gives back what it never took.
func TestWhatTakesNothingWritesNothing(t *testing.T) {
	t.Parallel()
	for _, server := range servers {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, server)
			c := newClock()
			store := s.at(t, c)
			one := ratelimit.Policy{Name: "one", Limit: 1, Period: time.Hour}
			guess := ratelimit.Policy{Name: "guess", Limit: 5, Period: time.Minute, Backoff: time.Hour}
			exact := ratelimit.Policy{Name: "exact", Limit: 5, Period: time.Minute, Exact: true}
			never := fresh()
			take(t, store, never, 0, one, guess, exact)
			take(t, store, never, -1, one, guess, exact)
			take(t, store, never, -100, one, guess, exact)
			if n := s.must(t, "EXISTS", redisKey(never)); n != int64(0) {
				t.Error("a client that took nothing has a key")
			}
			key := fresh()
			take(t, store, key, 1, one, guess, exact)
			before := s.must(t, "GET", redisKey(key))
			for range 3 {
				c.pass(time.Second)
				take(t, store, key, 0, one, guess, exact)
				if !take(t, store, key, 0, guess, exact)[0].OK {
					t.Fatal("peeking at what has room is refused")
				}
				if take(t, store, key, 1, guess, exact, one)[2].OK {
					t.Fatal("two of one admitted")
				}
			}
			if after := s.must(t, "GET", redisKey(key)); after != before {
				t.Errorf("the key holds %q, want %q", after, before)
			}
			c.pass(57 * time.Second)
			if r := take(t, store, key, 0, guess, exact); r[0].Remaining != 5 || r[1].Remaining != 5 {
				t.Errorf("refusals took from other limits: %+v", r)
			}
		})
	}
}

// Fault: giving back started a new window, or left 8 of 5.
func TestGivingBackNeverLeavesMore(t *testing.T) {
	t.Parallel()
	for _, server := range servers {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, server)
			for _, p := range []ratelimit.Policy{
				perMinute,
				{Name: "exact", Limit: 5, Period: time.Minute, Exact: true},
				{Name: "guess", Limit: 5, Period: time.Minute, Backoff: time.Hour},
			} {
				store, key := s.at(t, newClock()), fresh()
				for _, step := range []struct {
					name      string
					cost      int64
					ok        bool
					remaining int64
				}{
					{"give back what was never taken", -3, true, 5},
					{"take", 1, true, 4},
					{"give it back", -1, true, 5},
					{"and again", -1, true, 5},
					{"take", 3, true, 2},
					{"too much for now", 3, false, 2},
					{"the rest", 2, true, 0},
					{"nothing left", 1, false, 0},
					{"give one back", -1, true, 1},
					{"peek", 0, true, 1},
					{"take that", 1, true, 0},
					{"give back far too much", math.MinInt64, true, 5},
					{"and no more than the limit is there", 5, true, 0},
				} {
					r := take(t, store, key, step.cost, p)[0]
					if r.OK != step.ok || r.Remaining != step.remaining {
						t.Errorf("%v, %s: Take(%d) = %+v, want OK %t and %d remaining", &p, step.name, step.cost, r, step.ok, step.remaining)
					}
					if (r.Remaining < 5) != (r.ResetAfter > 0) {
						t.Errorf("%v, %s: %d remain, and all after %v", &p, step.name, r.Remaining, r.ResetAfter)
					}
				}
			}
		})
	}
}

// Forgetting a client forgets all, also what a higher limit admitted.
func TestForgettingAfterTheLimitWasLowered(t *testing.T) {
	t.Parallel()
	for _, server := range servers {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, server)
			for _, p := range []ratelimit.Policy{
				{Name: "a", Limit: 5, Period: time.Minute},
				{Name: "a", Limit: 5, Period: time.Minute, Exact: true},
				{Name: "a", Limit: 5, Period: time.Minute, Backoff: time.Hour},
			} {
				store, key := s.at(t, newClock()), fresh()
				take(t, store, key, 5, p)
				p.Limit = 2
				if r := take(t, store, key, -2, p)[0]; r.Remaining != 2 || r.ResetAfter != 0 {
					t.Errorf("%v: %+v, want as for a fresh client", &p, r)
				}
				if n := s.must(t, "EXISTS", redisKey(key)); n != int64(0) {
					t.Errorf("%v: there is still a key", &p)
				}
			}
		})
	}
}

// The wait doubles up to Backoff, and is forgotten when the quota has been
// whole for as long.
func TestBackoff(t *testing.T) {
	t.Parallel()
	for _, server := range servers {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, server)
			c := newClock()
			store, key := s.at(t, c), fresh()
			p := ratelimit.Policy{Name: "guess", Limit: 5, Period: 15 * time.Minute, Backoff: time.Hour}
			take(t, store, key, 4, p)
			waits := make([]time.Duration, 0, 7)
			var r ratelimit.Result
			for range 7 {
				r = take(t, store, key, 1, p)[0]
				waits = append(waits, r.RetryAfter)
				if take(t, store, key, 1, p)[0].OK {
					t.Fatal("admitted while it should wait")
				}
				c.pass(r.RetryAfter)
			}
			want := []time.Duration{3, 6, 12, 24, 48, 60, 60}
			for i := range want {
				want[i] *= time.Minute
			}
			if !slices.Equal(waits, want) {
				t.Errorf("waits = %v, want %v", waits, want)
			}
			for range 300 { // as often as an attacker likes
				r = take(t, store, key, 1, p)[0]
				if r.RetryAfter != time.Hour {
					t.Fatalf("RetryAfter = %v, want an hour", r.RetryAfter)
				}
				c.pass(r.RetryAfter)
			}
			c.pass(12*time.Minute + time.Hour - time.Microsecond) // whole after 12 minutes
			if r := take(t, store, key, 5, p)[0]; r.RetryAfter != 12*time.Minute+time.Hour {
				t.Errorf("shortly before it is forgotten: RetryAfter = %v, want %v", r.RetryAfter, 12*time.Minute+time.Hour)
			}
			c.pass(12*time.Minute + time.Hour)
			c.pass(time.Hour)
			if r := take(t, store, key, 5, p)[0]; r.RetryAfter != 15*time.Minute {
				t.Errorf("forgotten: RetryAfter = %v, want 15 minutes", r.RetryAfter)
			}
		})
	}
}

// An exact policy admits at most Limit in every Period, and never refuses a
// client that keeps to the rate.
func TestExact(t *testing.T) {
	t.Parallel()
	for _, server := range servers {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, server)
			p := ratelimit.Policy{Name: "exact", Limit: 5, Period: time.Second, Exact: true}
			c := newClock()
			store, key := s.at(t, c), fresh()
			for range 50 {
				if !take(t, store, key, 1, p)[0].OK {
					t.Fatal("a client that keeps to the rate is refused")
				}
				c.pass(p.Period / time.Duration(p.Limit))
			}
			c.pass(p.Period)
			rnd := rand.New(rand.NewPCG(2, 4))
			var admitted []int64
			for range 500 {
				c.pass(time.Duration(rnd.Int64N(int64(300 * time.Millisecond))))
				if cost := 1 + rnd.Int64N(2); take(t, store, key, cost, p)[0].OK {
					for range cost {
						admitted = append(admitted, c.us)
					}
				}
			}
			for i := range admitted[5:] {
				if admitted[i+5]-admitted[i] < p.Period.Microseconds() {
					t.Fatalf("6 within %d µs", admitted[i+5]-admitted[i])
				}
			}
			if len(admitted) < 300 {
				t.Errorf("only %d admitted", len(admitted))
			}
		})
	}
}

// Two versions of a service ask for different limits of the same clients, in
// any order: each limit goes on counting.
func TestLimitsOfOtherVersionsAreKept(t *testing.T) {
	t.Parallel()
	for _, server := range servers {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, server)
			c := newClock()
			store, key := s.at(t, c), fresh()
			hour := ratelimit.Policy{Name: "hour", Limit: 3, Period: time.Hour}
			exact := ratelimit.Policy{Name: "exact", Limit: 3, Period: time.Hour, Exact: true}
			guess := ratelimit.Policy{Name: "guess", Limit: 3, Period: time.Hour, Backoff: 3 * time.Hour}
			for _, version := range [][]ratelimit.Policy{{hour, exact, guess}, {perMinute, exact}, {guess}, {guess, perMinute, hour}} {
				take(t, store, key, 1, version...)
			}
			c.pass(time.Second)
			for _, p := range []struct {
				policy ratelimit.Policy
				want   int64
			}{{perMinute, 3}, {hour, 1}, {exact, 1}, {guess, 0}} {
				if r := take(t, store, key, 0, p.policy)[0]; r.Remaining != p.want {
					t.Errorf("%s: %d remain, want %d", title(&p.policy), r.Remaining, p.want)
				}
			}
			c.pass(time.Hour)
			take(t, store, key, 1, perMinute)
			if state, _ := s.must(t, "GET", redisKey(key)).(string); strings.Contains(state, "exact") || strings.Contains(state, "hour") || !strings.Contains(state, "guess") {
				t.Errorf("the key holds %q, want guess beside minute alone", state)
			}
			// An exact limit of the same name is another counter: what is kept
			// of it cannot be understood as the level of this one.
			if r := take(t, store, key, 0, ratelimit.Policy{Name: "minute", Limit: 5, Period: time.Minute, Exact: true})[0]; r.Remaining != 5 {
				t.Errorf("exact minute: %d remain, want 5", r.Remaining)
			}
		})
	}
}

// Whatever names policies get over time, a client's key stays small, and who
// asks is never the one that is forgotten.
func TestAKeyHoldsAtMost16Limits(t *testing.T) {
	t.Parallel()
	for _, server := range servers {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, server)
			store, key := s.at(t, newClock()), fresh()
			for i := range 100 {
				p := ratelimit.Policy{Name: fmt.Sprintf("%064d", i), Limit: 1, Period: time.Hour}
				if !take(t, store, key, 1, p)[0].OK || take(t, store, key, 1, p)[0].OK {
					t.Fatalf("policy %d does not count", i)
				}
			}
			if n, _ := s.must(t, "STRLEN", redisKey(key)).(int64); n > 16*80 {
				t.Errorf("the key has %d bytes", n)
			}
		})
	}
}

// A policy whose quota became smaller waits no longer than its own span.
func TestALevelIsNeverAboveWhatThePolicyAllows(t *testing.T) {
	t.Parallel()
	for _, server := range servers {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, server)
			c := newClock()
			store, key := s.at(t, c), fresh()
			take(t, store, key, 10, ratelimit.Policy{Name: "a", Limit: 10, Period: 10 * 24 * time.Hour})
			p := ratelimit.Policy{Name: "a", Limit: 5, Period: time.Minute}
			if r := take(t, store, key, 1, p)[0]; r.OK || r.RetryAfter != 12*time.Second || r.ResetAfter != time.Minute {
				t.Errorf("Take = %+v, want refused for 12 s", r)
			}
			c.pass(12 * time.Second)
			if !take(t, store, key, 1, p)[0].OK {
				t.Error("refused after RetryAfter")
			}
		})
	}
}

// Fault: a server whose clock is behind that of the one before it locks
// clients for the difference. Ours waits as if the clock had stood still.
func TestTheClockGoesBack(t *testing.T) {
	t.Parallel()
	for _, server := range servers {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, server)
			for _, p := range []ratelimit.Policy{
				perMinute,
				{Name: "exact", Limit: 5, Period: time.Minute, Exact: true},
				{Name: "guess", Limit: 5, Period: time.Minute, Backoff: time.Hour},
			} {
				c := newClock()
				store, key := s.at(t, c), fresh()
				wait := take(t, store, key, 5, p)[0].RetryAfter
				c.pass(-24 * time.Hour)
				if r := take(t, store, key, 0, p)[0]; r.OK || r.RetryAfter > wait {
					t.Errorf("%v, peek: %+v, want refused for at most %v", &p, r, wait)
				}
				if r := take(t, store, key, 1, p)[0]; r.OK || r.RetryAfter > wait {
					t.Errorf("%v: %+v, want refused for at most %v", &p, r, wait)
				}
				c.pass(wait)
				if r := take(t, store, key, 1, p)[0]; !r.OK {
					t.Errorf("%v: %+v when %v had passed, want admitted", &p, r, wait)
				}
			}
		})
	}
}

// A key with somebody else's value is an error, and stays as it is.
func TestForeignKeys(t *testing.T) {
	t.Parallel()
	for _, server := range servers {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, server)
			store := s.realTime(t)
			for _, value := range []string{"", "1", "g", "gh1", "gh2xxxxxxxx", "gh1xxxxxxxx\x01", strings.Repeat("x", 1<<16), `{"a":1}`} {
				key := fresh()
				s.must(t, "SET", redisKey(key), value)
				if results, err := store.Take(t.Context(), nil, requests(key, 1, perMinute)); err == nil {
					t.Errorf("%.20q: Take = %+v, want an error", value, results)
				} else if _, own := errors.AsType[report.Cause](err); !own && !strings.HasPrefix(value, "gh1") && !strings.HasPrefix(value, "gh2") {
					t.Errorf("%.20q: %v, want a cause", value, err)
				}
				if got := s.must(t, "GET", redisKey(key)); got != value {
					t.Errorf("%.20q was replaced by %.20q", value, got)
				}
			}
			key := fresh()
			s.must(t, "LPUSH", redisKey(key), "x")
			if _, err := store.Take(t.Context(), nil, requests(key, 1, perMinute)); err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
				t.Errorf("a list: %v, want WRONGTYPE", err)
			}
		})
	}
}

// Whatever bytes a key holds, Take is an error that leaves them alone, or
// counts from then on, with an end and within the policies' bounds.
func TestSpoiltStates(t *testing.T) {
	t.Parallel()
	for _, server := range servers {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, server)
			c := newClock()
			store := s.at(t, c)
			rnd := rand.New(rand.NewPCG(3, 4))
			policies := []ratelimit.Policy{
				perMinute,
				{Name: "guess", Limit: 5, Period: time.Minute, Backoff: time.Hour},
				{Name: "exact", Limit: 5, Period: time.Minute, Exact: true},
			}
			key := fresh()
			take(t, store, key, 4, policies...)
			take(t, store, key, 1, policies...)
			good, _ := s.must(t, "GET", redisKey(key)).(string)
			var failed, counted int
			for i := range 4000 {
				spoilt := spoil(rnd, []byte(good))
				s.must(t, "SET", redisKey(key), spoilt)
				asked := policies[:1+rnd.IntN(3)]
				results, err := store.Take(t.Context(), nil, requests(key, 1, asked...))
				state := s.must(t, "GET", redisKey(key))
				if err != nil {
					failed++
					if state != spoilt {
						t.Fatalf("%d: %q was replaced in spite of %v", i, spoilt, err)
					}
					continue
				}
				counted++
				for j, r := range results {
					if most := map[bool]time.Duration{true: 2 * time.Hour, false: time.Minute}[asked[j].Backoff > 0]; r.RetryAfter > most || r.ResetAfter > most || r.Remaining > 5 {
						t.Fatalf("%d: %q: %+v", i, spoilt, r)
					}
				}
				if state != spoilt {
					s.life(t, redisKey(key))
				}
				// Nobody is locked out: a while later there is room.
				c.pass(2 * time.Hour)
				if r, err := store.Take(t.Context(), nil, requests(key, 1, asked...)); err != nil || slices.ContainsFunc(r, func(r ratelimit.Result) bool { return !r.OK }) {
					t.Fatalf("%d: %q: two hours later %+v, %v", i, spoilt, r, err)
				}
				c.pass(-2 * time.Hour)
			}
			if failed < 500 || counted < 500 {
				t.Errorf("%d failed and %d counted, want many of both", failed, counted)
			}
		})
	}
}

// spoil changes a state a little.
func spoil(rnd *rand.Rand, b []byte) string {
	for range 1 + rnd.IntN(3) {
		i := rnd.IntN(len(b))
		if rnd.IntN(3) > 0 {
			i = min(len(b)-1, 3+rnd.IntN(len(b)))
		}
		switch rnd.IntN(6) {
		case 0:
			b[i] = byte(rnd.IntN(256))
		case 1:
			b[i] ^= 1 << rnd.IntN(8)
		case 2:
			b = append(b[:i:i], b[min(len(b), i+1+rnd.IntN(9)):]...)
		case 3:
			b = append(b[:i:i], append([]byte{byte(rnd.IntN(256))}, b[i:]...)...)
		case 4, 5: // a number
			odd := []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e300, -1e300, 0, 9e17, -9e17, rnd.NormFloat64() * 1e12}
			at := []int{3, len(b) - 8*(1+rnd.IntN(7)), i}[rnd.IntN(3)]
			if at >= 0 && at+8 <= len(b) {
				binary.LittleEndian.PutUint64(b[at:], math.Float64bits(odd[rnd.IntN(len(odd))]))
			}
		}
		if len(b) == 0 {
			return ""
		}
	}
	return string(b)
}

// A server that lost its scripts gets this one again, once.
func TestScriptFlush(t *testing.T) {
	t.Parallel()
	for _, server := range servers {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, server)
			var names []any
			store := newStore(t, redisstore.Config{Timeout: 10 * time.Second, Do: func(ctx context.Context, args ...any) (any, error) {
				names = append(names, args[0])
				return s.do(ctx, args...)
			}})
			key := fresh()
			take(t, store, key, 1, perMinute)
			take(t, store, key, 1, perMinute)
			s.must(t, "SCRIPT", "FLUSH")
			take(t, store, key, 1, perMinute)
			if r := take(t, store, key, 1, perMinute)[0]; r.Remaining != 1 {
				t.Errorf("%d remain of 5 after 4, want 1", r.Remaining)
			}
			if want := []any{"EVALSHA", "EVAL", "EVALSHA", "EVALSHA", "EVAL", "EVALSHA"}; !slices.Equal(names, want) {
				t.Errorf("commands = %v, want %v", names, want)
			}
		})
	}
}

// What the script asks of the server: the time, and one read and one write of
// the client's key, for any number of limits.
func TestScriptCallsLittle(t *testing.T) {
	t.Parallel()
	for _, server := range servers {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, server)
			store, key := s.realTime(t), fresh()
			take(t, store, key, 1, oracle[:8]...)
			s.must(t, "CONFIG", "RESETSTAT")
			const n = 10
			for range n {
				take(t, store, fresh(), 1, oracle[:8]...)
			}
			stats, _ := s.must(t, "INFO", "commandstats").(string)
			for _, want := range []string{"cmdstat_evalsha:calls=10,", "cmdstat_time:calls=10,", "cmdstat_get:calls=10,", "cmdstat_set:calls=10,"} {
				if !strings.Contains(stats, want) {
					t.Errorf("no %s in\n%s", want, stats)
				}
			}
			if got := strings.Count(stats, "cmdstat_"); got > 5 { // and CONFIG
				t.Errorf("%d kinds of commands, want 4 and CONFIG:\n%s", got, stats)
			}
		})
	}
}

// What is given back is bounded by what has not come back with time.
func TestGivingBackWithin(t *testing.T) {
	t.Parallel()
	for _, server := range servers {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, server)
			c := newClock()
			store := s.at(t, c)
			for _, p := range []ratelimit.Policy{perMinute, {Name: "guess", Limit: 5, Period: time.Minute, Backoff: time.Hour}} {
				key := fresh()
				take(t, store, key, 3, p) // 36 s
				back := func(within time.Duration) ratelimit.Result {
					reqs := requests(key, -1, p)
					reqs[0].Within = within
					results, err := store.Take(t.Context(), nil, reqs)
					if err != nil {
						t.Fatal(err)
					}
					return results[0]
				}
				if got := back(2 * time.Second).ResetAfter; got != 34*time.Second {
					t.Errorf("%s: ResetAfter = %v after 1 of 12 s was given back within 2 s, want 34s", p.Name, got)
				}
				if got := back(time.Hour).ResetAfter; got != 22*time.Second {
					t.Errorf("%s: ResetAfter = %v after 1 of 12 s was given back within an hour, want 22s", p.Name, got)
				}
			}
		})
	}
}

// The key of a busy client is not told anew how long to live each time, and yet
// never ends before its time.
func TestBusyKeysLiveOn(t *testing.T) {
	t.Parallel()
	for _, server := range servers {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, server)
			store, key := s.realTime(t), fresh()
			policies := []ratelimit.Policy{{Name: "much", Limit: 100, Period: time.Second}, {Name: "more", Limit: 10_000, Period: time.Minute}}
			renewed := 0
			last := int64(0)
			for range 150 {
				r := take(t, store, key, 1, policies...)
				if !r[0].OK || !r[1].OK {
					t.Fatalf("refused: %+v", r)
				}
				life := s.life(t, redisKey(key))
				if need := max(r[0].ResetAfter, r[1].ResetAfter).Milliseconds(); life < need {
					t.Fatalf("the key lives for %d ms, want at least %d", life, need)
				}
				if life > last {
					renewed++
				}
				last = life
				time.Sleep(15 * time.Millisecond)
			}
			if renewed > 20 {
				t.Errorf("its life was renewed %d times in %d, want now and then", renewed, 150)
			}
		})
	}
}

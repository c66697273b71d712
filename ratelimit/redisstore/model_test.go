package redisstore_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// A model is what the comment of ratelimit.Store's Take says, for one client,
// in whole nanoseconds.
type model struct {
	gcra  map[string]*bucket
	exact map[string][]time.Duration // when requests fitted
	ends  map[string]time.Duration   // when an exact policy knows nothing more
}

type bucket struct {
	zero    time.Duration // when the level is, or was, 0
	k       int
	backoff time.Duration
}

func newModel() *model {
	return &model{map[string]*bucket{}, map[string][]time.Duration{}, map[string]time.Duration{}}
}

func unitOf(p *ratelimit.Policy) time.Duration {
	return (p.Period + time.Duration(p.Limit) - 1) / time.Duration(p.Limit)
}

// micros is d as the store tells it.
func micros(d time.Duration) time.Duration { return (d + 999) / 1000 * 1000 }

func (m *model) take(now time.Duration, reqs []ratelimit.Request) (results []ratelimit.Result, wrote bool) {
	all := true
	for i := range reqs {
		ok, cut := m.fits(now, &reqs[i])
		all = all && ok
		wrote = wrote || cut
		results = append(results, ratelimit.Result{OK: ok})
	}
	cost := reqs[0].Cost
	for i := range reqs {
		if all && cost != 0 {
			m.add(now, &reqs[i].Policy, cost)
		}
		m.describe(now, &reqs[i], &results[i])
	}
	return results, cost != 0 && (all || wrote)
}

// level of the policy, whatever another one of its name has left.
func (m *model) level(now time.Duration, p *ratelimit.Policy) (level time.Duration, cut bool) {
	b := m.gcra[p.Name]
	if b == nil {
		return 0, false
	}
	u := unitOf(p)
	most := u * time.Duration(p.Burst)
	if p.Backoff > 0 {
		most += p.Backoff - u
	}
	level = max(0, b.zero-now)
	return min(level, most), level > most
}

func (m *model) young(now time.Duration, p *ratelimit.Policy) (young []time.Duration) {
	for _, t := range m.exact[p.Name] {
		if now-t < p.Period {
			young = append(young, t)
		}
	}
	return young
}

func (m *model) fits(now time.Duration, r *ratelimit.Request) (ok, cut bool) {
	n := max(1, r.Cost)
	if r.Policy.Exact {
		return r.Cost < 0 || int64(len(m.young(now, &r.Policy)))+n <= r.Policy.Limit, false
	}
	level, cut := m.level(now, &r.Policy)
	u := unitOf(&r.Policy)
	return r.Cost < 0 || level+time.Duration(n)*u <= time.Duration(r.Policy.Burst)*u, cut
}

func (m *model) add(now time.Duration, p *ratelimit.Policy, cost int64) {
	forget := cost <= -p.Burst
	if p.Exact {
		young := m.young(now, p)
		switch {
		case forget:
			young = nil
		case cost < 0:
			young = young[min(-cost, int64(len(young))):]
		}
		for range cost {
			young = append(young, now)
		}
		m.exact[p.Name] = young
		if m.ends[p.Name] = 0; len(young) > 0 {
			m.ends[p.Name] = young[len(young)-1] + p.Period
		}
		return
	}
	if forget {
		delete(m.gcra, p.Name)
		return
	}
	b := m.gcra[p.Name]
	if b == nil {
		b = &bucket{}
		m.gcra[p.Name] = b
	}
	level, _ := m.level(now, p)
	u := unitOf(p)
	span := u * time.Duration(p.Burst)
	if p.Backoff == 0 || now-b.zero >= p.Backoff {
		b.k = 0
	}
	b.backoff = p.Backoff
	switch {
	case cost > 0:
		level += time.Duration(cost) * u
		if p.Backoff > 0 && span-level < u {
			wait := u
			for range b.k {
				wait = min(2*wait, p.Backoff)
			}
			level = span - u + wait
			b.k++
		}
		b.zero = now + level
	case level > 0:
		if b.k > 0 && span-level < u {
			b.k--
		}
		b.zero = now + max(0, min(level, span)+time.Duration(cost)*u)
	}
}

func (m *model) describe(now time.Duration, r *ratelimit.Request, res *ratelimit.Result) {
	p, n := &r.Policy, max(1, r.Cost)
	if p.Exact {
		young := m.young(now, p)
		used := int64(len(young))
		res.Remaining = max(0, p.Limit-used)
		if i := used + n - p.Limit; i > 0 {
			res.RetryAfter = micros(young[i-1] + p.Period - now)
		}
		if used > 0 {
			res.ResetAfter = micros(young[used-1] + p.Period - now)
		}
		return
	}
	u := unitOf(p)
	span := u * time.Duration(p.Burst)
	level, _ := m.level(now, p)
	res.Remaining = int64(max(0, span-level) / u)
	res.RetryAfter = micros(max(0, level+time.Duration(n)*u-span))
	res.ResetAfter = micros(level)
}

// cut notes that levels above the most were written down.
func (m *model) cut(now time.Duration, policies []ratelimit.Policy) {
	for i := range policies {
		if b := m.gcra[policies[i].Name]; b != nil && !policies[i].Exact {
			if level, cut := m.level(now, &policies[i]); cut {
				b.zero = now + level
			}
		}
	}
}

// end is when nothing that is known of the client matters any more.
func (m *model) end() (end time.Duration) {
	for _, b := range m.gcra {
		e := b.zero
		if b.k > 0 {
			e += b.backoff
		}
		end = max(end, e)
	}
	for _, e := range m.ends {
		end = max(end, e)
	}
	return end
}

// The policies of the oracle. None spans more than 104 days, up to which the
// script is exact.
var oracle = []ratelimit.Policy{
	{Name: "second", Limit: 7, Period: time.Second},
	{Name: "minute", Limit: 100, Period: time.Minute, Burst: 10},
	{Name: "ms", Limit: 3, Period: time.Millisecond},
	{Name: "fast", Limit: 10_000_000, Period: time.Second, Burst: 5},
	{Name: "month", Limit: 9, Period: 30 * 24 * time.Hour},
	{Name: "guess", Limit: 5, Period: 15 * time.Minute, Backoff: time.Hour},
	{Name: "doubt", Limit: 3, Period: time.Second, Burst: 2, Backoff: 5 * time.Second},
	{Name: "login", Limit: 5, Period: time.Minute, Exact: true},
	{Name: "many", Limit: 100, Period: time.Second, Exact: true},
	{Name: "second", Limit: 4, Period: time.Second, Exact: true}, // not the same as the first
}

// TestAsTheCommentSays plays random costs, pauses and choices of policies to
// the script and to the model of what Store.Take says.
func TestAsTheCommentSays(t *testing.T) {
	t.Parallel()
	for _, server := range servers {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, server)
			for seed := range uint64(40) {
				rnd := rand.New(rand.NewPCG(seed, 4))
				c := newClock()
				start := c.us
				store, m, key := s.at(t, c), newModel(), fresh()
				some := slices.Clone(oracle)
				rnd.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
				some = some[:1+rnd.IntN(len(some))]
				var promise time.Duration
				for step := range 250 {
					now := time.Duration(c.us-start)*time.Microsecond + time.Hour
					picked := pick(rnd, some)
					least := slices.MinFunc(picked, func(a, b ratelimit.Policy) int { return int(a.Burst - b.Burst) }).Burst
					cost := costOf(rnd, least)
					reqs := requests(key, cost, picked...)
					want, wrote := m.take(now, reqs)
					if wrote {
						m.cut(now, picked)
					}
					got, err := store.Take(t.Context(), nil, reqs)
					if err != nil {
						t.Fatalf("seed %d, step %d: %v", seed, step, err)
					}
					promise = 0
					for i := range got {
						if got[i] != want[i] {
							t.Fatalf("seed %d, step %d: cost %d of %s:\n got %+v\nwant %+v", seed, step, cost, title(&picked[i]), got[i], want[i])
						}
						promise = max(promise, got[i].RetryAfter)
					}
					wantEnd(t, s, key, wrote, m.end()-now, fmt.Sprintf("seed %d, step %d: cost %d", seed, step, cost))
					switch rnd.IntN(6) {
					case 0, 1: // at once
					case 2:
						c.pass(time.Duration(rnd.Int64N(int64(unitOf(&picked[0])) + 1)))
					case 3:
						c.pass(promise)
					case 4:
						c.pass(max(0, promise-time.Microsecond))
					case 5:
						c.pass(time.Duration(rnd.Int64N(int64(3 * picked[0].Period))))
					}
				}
			}
		})
	}
}

func title(p *ratelimit.Policy) string { return p.Name + " " + p.String() }

// pick chooses up to 8 policies with different names; some have a limit of
// their own now.
func pick(rnd *rand.Rand, from []ratelimit.Policy) (picked []ratelimit.Policy) {
	for _, i := range rnd.Perm(len(from))[:min(8, 1+rnd.IntN(len(from)))] {
		p := from[i]
		if slices.ContainsFunc(picked, func(q ratelimit.Policy) bool { return q.Name == p.Name }) {
			continue
		}
		if rnd.IntN(20) == 0 && p.Backoff == 0 {
			p.Limit = max(1, p.Limit/2)
		}
		if p.Burst == 0 || p.Exact {
			p.Burst = p.Limit
		}
		picked = append(picked, p)
	}
	return picked
}

func costOf(rnd *rand.Rand, burst int64) int64 {
	switch rnd.IntN(8) {
	case 0:
		return 0
	case 1:
		return 1 + rnd.Int64N(burst)
	case 2:
		return -1
	case 3:
		if rnd.IntN(4) == 0 {
			return -1 - rnd.Int64N(2*burst)
		}
	}
	return 1
}

// wantEnd asserts that the key lives until it says nothing any more, if it was
// written.
func wantEnd(t *testing.T, s *server, key string, wrote bool, left time.Duration, what string) {
	t.Helper()
	if !wrote {
		return
	}
	ms, _ := s.must(t, "PTTL", redisKey(key)).(int64)
	if left <= 0 {
		if ms != -2 {
			t.Fatalf("%s: the key lives for %d ms, want it gone", what, ms-lag)
		}
		return
	}
	if want := int64((left+999_999)/1_000_000) + 1000; ms-lag > want || ms-lag < want-2000 {
		t.Fatalf("%s: the key lives for %d ms, want %d", what, ms-lag, want)
	}
}

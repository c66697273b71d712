package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ulule/limiter/v3"
)

// FromLimiter makes a [Store] of any store of ulule/limiter. Each policy has a
// counter of its own: its name and a colon precede the key.
//
// Such a store counts in windows that begin with a client's first request, and
// thus admits up to twice the Limit around the end of one; policies with a
// Burst need another Store. It is asked about one limit at a time, first
// whether all of them have room and then to take it: two calls for each limit.
// When another request comes between these, what was taken is given back, and
// until then a third may be refused that would have fitted. If a window ends
// just then, the next one may admit as many more as were given back.
func FromLimiter(store limiter.Store) Store { return &limiterStore{store} }

type limiterStore struct{ store limiter.Store }

func (s *limiterStore) Take(ctx context.Context, dst []Result, reqs []Request) ([]Result, error) {
	first := len(dst)
	all := true
	for i := range reqs {
		state, err := s.store.Peek(ctx, counter(&reqs[i]), rate(&reqs[i]))
		if err != nil {
			return dst[:first], err
		}
		need := max(1, reqs[i].Cost)
		ok := reqs[i].Cost < 0 || state.Remaining >= need
		all = all && ok
		dst = append(dst, windowResult(&reqs[i], state, ok))
	}
	if !all {
		return dst, nil
	}
	for i := range reqs {
		req, res := &reqs[i], &dst[first+i]
		switch {
		case req.Cost > 0:
			state, err := s.store.Increment(ctx, counter(req), req.Cost, rate(req))
			if err != nil {
				s.undo(ctx, reqs[:i])
				return dst[:first], err
			}
			*res = windowResult(req, state, !state.Reached)
			if state.Reached {
				s.undo(ctx, reqs[:i+1])
				return dst, nil
			}
		case req.Cost < 0:
			used := req.Policy.Limit - res.Remaining
			if n := min(used, -max(req.Cost, -req.Policy.Limit)); n > 0 {
				state, err := s.giveBack(ctx, req, n)
				if err != nil {
					return dst[:first], err
				}
				*res = windowResult(req, state, true)
			}
		}
	}
	return dst, nil
}

// undo gives back what was taken for a request that did not fit after all,
// even if its client has gone by now.
func (s *limiterStore) undo(ctx context.Context, reqs []Request) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	for i := range reqs {
		_, _ = s.giveBack(ctx, &reqs[i], reqs[i].Cost) // a failure leaves the client with less, not more
	}
}

// giveBack lowers the counter, but not below zero when its window has ended
// meanwhile: a new one would have room for more than the limit.
func (s *limiterStore) giveBack(ctx context.Context, req *Request, n int64) (limiter.Context, error) {
	state, err := s.store.Increment(ctx, counter(req), -n, rate(req))
	if err == nil && state.Remaining > req.Policy.Limit {
		state, err = s.store.Increment(ctx, counter(req), state.Remaining-req.Policy.Limit, rate(req))
	}
	return state, err
}

func counter(req *Request) string { return req.Policy.Name + ":" + req.Key }

func rate(req *Request) limiter.Rate {
	return limiter.Rate{Period: req.Policy.Period, Limit: req.Policy.Limit}
}

// windowResult describes a fixed window. Its end is known to the second,
// rounded down, and is no further away than a period and the grain of the
// store's clock.
func windowResult(req *Request, state limiter.Context, ok bool) Result {
	r := Result{OK: ok, Remaining: state.Remaining}
	if state.Remaining < req.Policy.Limit {
		r.ResetAfter = min(max(0, time.Until(time.Unix(state.Reset+1, 0))), req.Policy.Period+time.Millisecond)
	}
	if state.Remaining < max(1, req.Cost) {
		r.RetryAfter = r.ResetAfter
	}
	return r
}

// The methods of limiter.Store count, by the same algorithm, under keys of their
// own and for each Rate apart: a Memory serves middlewares of ulule/limiter that know no other stores.
// A Context's Reset is when all of the quota is back.

// Get takes 1 from the quota of key.
func (m *Memory) Get(ctx context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	return m.Increment(ctx, key, 1, rate)
}

// Peek takes nothing.
func (m *Memory) Peek(ctx context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	return m.Increment(ctx, key, 0, rate)
}

// Reset forgets key.
func (m *Memory) Reset(ctx context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	return m.Increment(ctx, key, -max(1, rate.Limit), rate)
}

// Increment takes count from the quota of key, all of it or nothing, or gives
// back what is negative. More than the limit never fits.
func (m *Memory) Increment(_ context.Context, key string, count int64, rate limiter.Rate) (limiter.Context, error) {
	if m == nil || m.start.IsZero() {
		return limiter.Context{}, errSpoilt
	}
	policy, faults := Policy{Limit: rate.Limit, Period: rate.Period}.complete()
	if len(faults) > 0 {
		return limiter.Context{}, fmt.Errorf("ratelimit: the Rate's %w", errors.Join(faults...))
	}
	cost := min(count, rate.Limit) // of more, nothing is taken
	policy.Name = policy.String()
	quotas := [1]quota{m.quota(&policy, "limiter.Store")}
	var buf [1]Result
	var results []Result
	if who := m.client(key); count > rate.Limit {
		results = m.weigh(m.now(), buf[:0], who, quotas[:], cost)
		results[0].OK = false
	} else {
		results, _ = m.take(m.now(), buf[:0], who, quotas[:], cost)
	}
	r := &results[0]
	return limiter.Context{
		Limit: rate.Limit, Remaining: r.Remaining,
		Reset: time.Now().Unix() + seconds(r.ResetAfter), Reached: !r.OK && count != 0,
	}, nil
}

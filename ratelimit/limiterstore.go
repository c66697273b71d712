package ratelimit

import (
	"context"
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

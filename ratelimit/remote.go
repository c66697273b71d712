package ratelimit

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/report"
)

// refusedFor is how long a refusal of the Store is believed at most: another
// process may give back what was taken.
const refusedFor = int64(time.Second)

// refused is what the mark of a client whom the Store refused differs by from
// its counters.
const refused = 0x9e3779b97f4a7c15

// longestWait is the longest that a client of any policy has to wait.
const longestWait = maxSpan + maxPeriod

var errBroken error = report.Cause("the Store failed before and is not asked")

// ask lets the Store decide, or the mirror of what it said. If the Store fails,
// how says so and there are no results.
func (l *Limiter) ask(ctx context.Context, dst []Result, p *plan, who client, cost int64) (results []Result, how course, refusal *Error) {
	now := l.memory.now()
	mark := mix(who.hash ^ refused)
	if l.memory.marked(mark, now) {
		// Levels only fall until somebody takes, so this is what it would say.
		results = l.memory.weigh(now, dst, who.hash, p.quotas, cost)
		if !results[tightest(results)].OK {
			return results, how, nil
		}
	}
	dst, err := l.call(ctx, dst, p, who.key, cost, nil, now)
	switch {
	case err == nil:
		now = l.memory.now() // it may have taken its time, and nobody may be told to come back too early
		for i := range dst {
			r := &dst[i]
			r.Remaining = max(0, r.Remaining)
			r.RetryAfter, r.ResetAfter = min(max(0, r.RetryAfter), longestWait), min(max(0, r.ResetAfter), longestWait)
		}
		t := &dst[tightest(dst)]
		if l.failure == FailLocal || !t.OK || cost < 0 { // nobody else looks into the mirror
			l.memory.mirror(now, who.hash, p.quotas, dst, cost <= 0)
		}
		// When a window of a plain store ends the mirror does not know.
		if !t.OK && !l.plainStore {
			l.memory.mark(mark, now+min(int64(t.RetryAfter), refusedFor), now)
		}
		return dst, how, nil
	case ctx.Err() != nil:
		// Not the Store's fault, and a client that hangs up must not gain by it.
		return nil, how, &Error{Reason: ReasonStore, Err: report.Cause("the context ended before the Store answered")}
	}
	l.stats.degraded.Add(1)
	if l.failure == FailClosed {
		return nil, how, &Error{Reason: ReasonStore, RetryAfter: time.Second, Err: err}
	}
	how.degraded = report.Detail(err)
	return nil, how, nil
}

// call asks the Store, unless the breaker is open, and appends what it says to
// dst. Where there is within, it is what Request.Within says for each policy, and
// those for which that is nothing are not asked.
func (l *Limiter) call(ctx context.Context, dst []Result, p *plan, key string, cost int64, within []time.Duration, now int64) (answer []Result, err error) {
	turn := l.breaker.ask(now)
	if !turn.granted {
		return nil, errBroken
	}
	defer func() {
		if recover() != nil {
			answer, err = nil, report.Cause("the Store panicked at "+report.PanicSite())
		}
		switch {
		case err == nil:
			if l.breaker.succeeded(turn) {
				l.report.Warn(ctx, "the Store answers again")
			}
		case ctx.Err() != nil:
			l.breaker.abandoned(turn)
		default:
			l.stats.failures.Add(1)
			if l.breaker.failed(turn, l.memory.now()) {
				l.report.Warn(ctx, "the Store fails, and OnStoreFailure decides", slog.String("failure", l.failure.String()), slog.String("cause", report.Detail(err)))
			}
		}
	}()
	room := rooms.Get().(*room) //nolint:forcetypeassert // nothing else is in it
	defer func() {
		clear(room.reqs[:])
		rooms.Put(room)
	}()
	reqs := room.reqs[:0]
	for i, policy := range p.policies {
		switch {
		case within == nil:
			reqs = append(reqs, Request{Key: key, Policy: policy, Cost: cost})
		case within[i] > 0:
			reqs = append(reqs, Request{Key: key, Policy: policy, Cost: cost, Within: within[i]})
		}
	}
	bounded := ctx
	if !l.bounded {
		var cancel context.CancelFunc
		bounded, cancel = context.WithTimeout(ctx, storeTimeout)
		defer cancel()
	}
	results, err := l.store.Take(bounded, room.results[:0:len(reqs)], reqs)
	if err != nil {
		return nil, err
	}
	if len(results) != len(reqs) {
		return nil, report.Causef("%d results for %d requests", len(results), len(reqs))
	}
	return append(dst, results...), nil
}

// A room is what a Store is asked in and answers in.
type room struct {
	reqs    [maxPolicies]Request
	results [maxPolicies]Result
}

var rooms = sync.Pool{New: func() any { return new(room) }} //nolint:gochecknoglobals // a pool

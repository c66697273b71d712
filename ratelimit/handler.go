package ratelimit

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/internal/pass"
	"github.com/gatehouse-go/gatehouse/internal/problem"
	"github.com/gatehouse-go/gatehouse/internal/report"
	"github.com/gatehouse-go/gatehouse/internal/respwriter"
)

// Handler lets requests through as often as the limits say. It panics if l is
// nil.
func (l *Limiter) Handler(next http.Handler) http.Handler {
	if l == nil {
		panic("ratelimit: Handler of a nil *Limiter")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		listening := l.report.Listening(ctx)
		p, who, cost, err := l.asked(r, listening)
		switch {
		case errors.Is(err, ErrSkip):
			l.report.Decision(ctx, decision.Decision{Effect: decision.Allow, Reason: "exempt"})
			pass.On(next, w, r)
			return
		case err != nil:
			l.hint(ctx, err)
			l.refuse(w, r, next, "", asError(err))
			return
		}
		var results []Result
		if len(p.policies) == 1 {
			var buf [1]Result
			results = buf[:0]
		} else {
			var buf [maxPolicies]Result
			results = buf[:0]
		}
		results, how, refusal := l.take(ctx, results, p, who, cost)
		if refusal != nil {
			l.refuse(w, r, next, "", refusal)
			return
		}
		if how != (course{}) {
			l.tell(ctx, how)
		}
		var rule string
		if len(results) > 0 {
			i := tightest(results)
			t := &results[i]
			rule = p.shown[i]
			switch {
			case !t.OK:
				l.exceeded(w, r, next, p, i, results)
				return
			case l.legacy:
				l.setFields(w.Header(), p, i, t, make([]string, 0, 5))
			case !l.hidden:
				l.setFields(w.Header(), p, i, t, make([]string, 0, 2))
			}
		}
		if listening {
			l.report.Decision(ctx, decision.Decision{Effect: decision.Allow, Rule: rule, Reason: "admitted"})
		}
		if l.countIf == nil {
			pass.On(next, w, r)
			return
		}
		l.conditional(next, w, r, l.taken(p, who, cost, results, how)) //nolint:contextcheck // it outlives the request's
	})
}

// asked returns what to ask the limits for r. The error is ErrSkip if nothing.
func (l *Limiter) asked(r *http.Request, listening bool) (p *plan, who client, cost int64, err error) {
	if l.exempt != nil && l.exempt(r) {
		return nil, client{}, 0, ErrSkip
	}
	if who, err = l.who(r, listening); err != nil {
		return nil, client{}, 0, err
	}
	p, cost = l.base, 1
	if l.plan != nil {
		if policies := l.plan(r); len(policies) > 0 {
			if p, err = l.planned(policies); err != nil {
				return nil, client{}, 0, &Error{Reason: ReasonMisuse, Err: err}
			}
		}
	}
	if l.cost != nil {
		switch cost = l.cost(r); {
		case cost == 0:
			return nil, client{}, 0, ErrSkip
		case cost < 0:
			return nil, client{}, 0, &Error{Reason: ReasonMisuse, Err: report.Causef("Cost returned %d, want 0 or more", cost)}
		case cost > l.maxCost:
			return nil, client{}, 0, &Error{Reason: ReasonCost, Err: report.Causef("a cost of %d, and MaxCost is %d", cost, l.maxCost)}
		}
	}
	return p, who, cost, nil
}

// conditional gives back what r took if its answer does not count. A handler
// that panics counts with the status 500 unless another one went out.
func (l *Limiter) conditional(next http.Handler, w http.ResponseWriter, r *http.Request, t *taken) {
	wrapped, rec := respwriter.Wrap(w, r, respwriter.Options{})
	status := http.StatusInternalServerError
	defer func() {
		if sent := rec.Status(); sent != 0 {
			status = sent
		}
		if rec.Hijacked() || l.countIf(status) {
			return
		}
		ctx := context.WithoutCancel(r.Context()) // the client may have gone by now
		if err := l.giveBack(ctx, t); err != nil {
			l.report.Hint(ctx, "refund", "the Store fails, and what a request took that did not count is not given back")
		}
	}()
	pass.On(next, wrapped, r)
	status = http.StatusOK // by net/http, if nobody else
}

// A taken is what a request took, and where.
type taken struct {
	plan  *plan
	who   client
	cost  int64
	local bool               // in this process, not in the Store
	ends  [maxPolicies]int64 // when it will have come back with time
}

func (l *Limiter) taken(p *plan, who client, cost int64, results []Result, how course) *taken {
	t := &taken{plan: p, who: who, cost: cost, local: l.store == nil || how.degraded != ""}
	now := l.memory.now()
	for i := range results {
		t.ends[i] = now + int64(results[i].ResetAfter)
	}
	return t
}

// giveBack gives back as much of what was taken as has not come back with time,
// to where it was taken. Without that, clients could take slowly and give back
// at once.
func (l *Limiter) giveBack(ctx context.Context, t *taken) error {
	now := l.memory.now()
	var buf [maxPolicies]time.Duration
	within := buf[:len(t.plan.policies)]
	some := false
	for i := range within {
		within[i] = time.Duration(max(0, t.ends[i]-now))
		some = some || within[i] > 0
	}
	switch {
	case !some:
		return nil
	case t.local:
		for i := range within {
			if within[i] > 0 {
				l.memory.giveBack(now, t.who.hash, &t.plan.quotas[i], -t.cost, within[i])
			}
		}
		return nil
	}
	results, err := l.call(ctx, nil, t.plan, t.who.key, -t.cost, within, now)
	if err != nil {
		return err
	}
	for i := range within {
		if within[i] > 0 {
			l.memory.mirror(now, t.who.hash, t.plan.quotas[i:i+1], results[:1], true)
			results = results[1:]
		}
	}
	return nil
}

// tell reports what an operator should know beside the decision.
func (l *Limiter) tell(ctx context.Context, how course) {
	if how.degraded != "" {
		l.report.Decision(ctx, decision.Decision{Effect: decision.Observe, Rule: l.failure.String(), Reason: ReasonDegraded, Detail: how.degraded})
	}
	if how.crowded {
		l.report.Hint(ctx, "keys", "more clients than MaxKeys: those with the least used quota are forgotten", slog.Int("max_keys", l.memory.maxKeys))
	}
}

// exceeded refuses a request whose quota is used up, by the limit i longest.
func (l *Limiter) exceeded(w http.ResponseWriter, r *http.Request, next http.Handler, p *plan, i int, results []Result) {
	var values []string // of this answer alone
	known := 0
	if h := w.Header(); !l.dryRun {
		before := len(h)
		values = make([]string, 0, 6+problem.Headers)
		known = l.setFields(h, p, i, &results[i], values)
		values = values[:known]
		if before > 0 { // they may describe another body
			known = 0
		}
	}
	violated := 0
	for k := range results {
		if !results[k].OK {
			violated++
		}
	}
	if violated == 1 && l.onError == nil && !l.dryRun { // nearly always
		l.stats.refused.Add(1)
		l.report.Decision(r.Context(), decision.Decision{
			Effect: decision.Deny, Rule: p.shown[i], Reason: ReasonQuota, Detail: string(p.causes[i]), Status: http.StatusTooManyRequests,
		})
		p.answers[i].Write(w, r, known, values)
		return
	}
	e := &Error{Reason: ReasonQuota, RetryAfter: max(results[i].RetryAfter, 1), Err: p.causes[i]}
	for k := range results {
		if !results[k].OK {
			e.Violated = append(e.Violated, p.shown[k])
		}
	}
	l.refuse(w, r, next, p.shown[i], e)
}

// asError makes any error of finding out what to count an *Error.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok && e != nil {
		return e
	}
	return &Error{Reason: ReasonKey, Err: err}
}

// hint tells the operator what is wired wrong when a request has no key.
func (l *Limiter) hint(ctx context.Context, err error) {
	if own, ok := errors.AsType[*keyError](err); ok && own.hint != "" {
		l.report.Hint(ctx, string(own.text), own.hint)
	}
}

// refuse answers r. The RateLimit fields are set already where there are any,
// and with them Retry-After. In a dry run r goes on.
func (l *Limiter) refuse(w http.ResponseWriter, r *http.Request, next http.Handler, rule string, err *Error) {
	l.stats.refused.Add(1)
	d := decision.Decision{Effect: decision.Deny, Rule: rule, Reason: err.Reason, Detail: report.Detail(err.Err), Status: err.StatusCode()}
	if l.dryRun {
		d.Effect = decision.Observe
		l.report.Decision(r.Context(), d)
		pass.On(next, w, r)
		return
	}
	if err.RetryAfter > 0 && err.Reason != ReasonQuota {
		w.Header().Set(fieldRetry, err.retryAfter())
	}
	l.report.Decision(r.Context(), d)
	if l.onError == nil {
		WriteError(w, r, err)
		return
	}
	l.onError(w, r, err)
}

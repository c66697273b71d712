package loginguard

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/internal/report"
	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// An Attempt is a guess that was admitted and counted. The first call of
// Succeed, Fail or Cancel decides what becomes of it, later ones do nothing. One
// that is dropped has failed. It is safe for concurrent use.
type Attempt struct {
	guard   *Guard
	in      *ledger
	keys    [counters]string
	held    [known]time.Time // until when it counts in the budgets that it drew on
	settled atomic.Bool
}

// Succeed says that the password was right. The budgets of address and account
// get back what the guess drew, the count of the account from this address is
// cleared, and the address is known to the account from now on. That is done
// even if ctx has ended.
//
// An error means that the Store failed, and that the guess may stay counted.
// The login may go on.
func (a *Attempt) Succeed(ctx context.Context) error {
	return a.end(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
		defer cancel()
		_, err := a.take(ctx, pair, -a.guard.policies[pair].Burst)
		return errors.Join(err, a.giveBack(ctx, budgets[address:]), a.remember(ctx))
	})
}

// Fail says that the password was wrong.
func (a *Attempt) Fail() { a.settled.Store(true) }

// Cancel says that the password was not checked: the database is down, or the
// client is gone. All budgets get back what the guess drew. That is done even
// if ctx has ended. An error means that the Store failed, and that the guess
// may stay counted.
func (a *Attempt) Cancel(ctx context.Context) error {
	return a.end(ctx, a.release)
}

// settle does what a handler's status means.
func (a *Attempt) settle(ctx context.Context, status int) {
	switch {
	case status >= 200 && status < 300:
		_ = a.Succeed(ctx) // reported
	case status >= 500, status == http.StatusTooManyRequests:
		_ = a.Cancel(ctx)
	default:
		a.Fail()
	}
}

// end settles the attempt unless it is, and reports what the Store failed with.
func (a *Attempt) end(ctx context.Context, settle func(context.Context) error) error {
	if a.settled.Swap(true) {
		return nil
	}
	err := settle(ctx)
	if err == nil {
		return nil
	}
	detail := report.Detail(err)
	a.guard.report.Decision(ctx, decision.Decision{Effect: decision.Observe, Reason: ReasonStore, Detail: detail})
	a.guard.report.Hint(ctx, ReasonStore, "the Store fails, and guesses that were right stay counted", slog.String("error_type", detail))
	return &Error{Reason: ReasonStore, Err: err}
}

// reserve draws on all budgets, or on none: then either the refusal tells why,
// or the Store failed with err.
//
// The pair comes first. Who hammers on a locked one must hold nothing of what
// others share, not even for a moment.
func (a *Attempt) reserve(ctx context.Context) (refusal *Error, err error) {
	bounded, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	for _, c := range budgets {
		res, err := a.draw(bounded, c, 1)
		switch {
		case err != nil:
			_ = a.release(ctx) // a failure leaves less, not more
			return nil, err
		case !res.OK:
			_ = a.release(ctx)
			return a.refusal(c, max(res.RetryAfter, a.wait(bounded, budgets[c+1:]))), nil
		}
	}
	return nil, nil
}

// draw takes cost from a budget, or says when that admits a guess. The one of
// the account admits all of them from known addresses.
func (a *Attempt) draw(ctx context.Context, c counter, cost int64) (ratelimit.Result, error) {
	res, err := a.take(ctx, c, cost)
	if err != nil {
		return res, err
	}
	if res.OK && cost > 0 {
		a.held[c] = time.Now().Add(res.ResetAfter)
	}
	if c == wide && !res.OK {
		mark, err := a.take(ctx, known, 0)
		if err != nil {
			return res, err
		}
		res.OK = mark.Remaining < a.guard.policies[known].Burst
	}
	return res, nil
}

// wait returns when all these budgets admit a guess: who comes back after the
// wait for one must not be sent away by another.
func (a *Attempt) wait(ctx context.Context, budgets []counter) (wait time.Duration) {
	for _, c := range budgets {
		if res, err := a.draw(ctx, c, 0); err == nil && !res.OK {
			wait = max(wait, res.RetryAfter)
		}
	}
	return wait
}

// release gives back what a guess drew that will not be made, even if ctx has
// ended.
func (a *Attempt) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	return a.giveBack(ctx, budgets[:])
}

// giveBack returns what the attempt drew on the budgets.
func (a *Attempt) giveBack(ctx context.Context, from []counter) error {
	var errs []error
	for _, c := range from {
		// What has come back with time must not come back twice.
		if left := time.Until(a.held[c]); left > 0 {
			_, err := a.ask(ctx, c, -1, left)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// remember makes the address known to the account. Each success raises a
// counter that falls by one in the time in which it is to be remembered, and
// there is room for two: after any success at least one is left.
func (a *Attempt) remember(ctx context.Context) error {
	mark, err := a.take(ctx, known, 1)
	if err != nil || !mark.OK || mark.Remaining == 0 {
		return err // it was known
	}
	place, err := a.take(ctx, places, 1)
	if err != nil || !place.OK {
		_, undo := a.take(ctx, known, -a.guard.policies[known].Burst)
		return errors.Join(err, undo)
	}
	return nil
}

// take asks the Store.
func (a *Attempt) take(ctx context.Context, c counter, cost int64) (ratelimit.Result, error) {
	return a.ask(ctx, c, cost, 0)
}

func (a *Attempt) ask(ctx context.Context, c counter, cost int64, within time.Duration) (ratelimit.Result, error) {
	reqs := []ratelimit.Request{{Key: a.keys[c], Policy: a.guard.policies[c], Cost: cost, Within: within}}
	results, err := a.in.store(c).Take(ctx, make([]ratelimit.Result, 0, 1), reqs)
	if err != nil {
		return ratelimit.Result{}, err
	}
	if len(results) != 1 {
		return ratelimit.Result{}, report.Causef("%d results for 1 request", len(results))
	}
	return results[0], nil
}

type contextKey struct{}

// NewContext returns a context that carries a.
func NewContext(ctx context.Context, a *Attempt) context.Context {
	return context.WithValue(ctx, contextKey{}, a)
}

// FromContext returns the Attempt that [Guard.Handler] began for the request.
func FromContext(ctx context.Context) (*Attempt, bool) {
	a, _ := ctx.Value(contextKey{}).(*Attempt)
	return a, a != nil
}

// Package ratelimit answers one question: how often?
//
// A [Limiter] counts the requests of each client against one or more limits
// and refuses those beyond with 429 and a Retry-After that is true.
//
//	perIP, err := ratelimit.New(ratelimit.Config{Limits: []string{"100 per minute", "2000-H"}})
//	…
//	http.ListenAndServe(addr, perIP.Handler(mux))
//
// Limits are written as in ulule/limiter ("100-M": S, M, H or D) or in words
// ("100 per minute", "10/s", "500 per 5 minutes"), and one string may hold
// several ("10/s; 1000/h"). A request passes if every limit admits it; one
// that is refused takes nothing from any.
//
// # How it counts
//
// By GCRA, a leaky bucket without a leaking goroutine: a client that was idle
// may send [Policy.Burst] requests at once, and gets one back every
// Period/Limit. In any stretch of one Period, wherever it begins, a limit
// admits at most Limit+Burst-1 requests; counters with fixed windows let
// 2·Limit through within an instant. Choose a smaller Burst for a tighter
// bound.
//
// Counts live in a table of fixed size in this process, 2 MiB by default, or
// in a [Store] that several processes share. When the table is full of clients
// it forgets the one that would be done soonest, so that a flood of fresh
// addresses does not pardon those that have used up their quota.
//
// # What clients are told
//
// Every answer to a request that was counted has RateLimit-Policy, the limits
// (q requests in w seconds, if these are whole ones), and RateLimit, the tightest of them: r requests may follow at once, and all of
// the quota is back after t seconds, or, where r is 0, the next request is
// admitted after t (draft-ietf-httpapi-ratelimit-headers). A refusal for a quota
// has Retry-After, too, the problem type quota-exceeded and the names of the limits
// in violated-policies. A request costs 1; for other costs, and to give back,
// call [Limiter.Take] with the key that the KeyFunc returns.
//
// # What it protects against
//
// Clients that ask too often: by accident, to guess, to scrape, to exhaust.
// IPv6 clients count by /64, and addresses come from package clientip, so no
// forwarding header is believed that no trusted proxy wrote. A request that
// cannot be attributed is refused, never let through uncounted.
//
// # What it does not
//
// It does not stop an attacker with many addresses or accounts, does not bound
// how many requests run at once, and does not replace the size and time limits
// of the server. Failed logins need limits of their own beside the one by
// address, since guessing may come from anywhere. When each of many clients
// in a flood uses up its whole quota, the table keeps the latest of them.
//
// # Where it stands
//
// The limit by address before whatever costs work (router, authentication),
// the limit by principal right behind authentication. Several limiters may
// stand in one chain; give each a Name, and the RateLimit fields of their
// answers form one list.
package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/internal/pass"
	"github.com/gatehouse-go/gatehouse/internal/report"
)

// Config configures a [Limiter]. One of Limits and Policies is required.
type Config struct {
	_ [0]func() // keyed literals only

	// Limits are those that a request must keep, all of them: "100 per
	// minute", "10/s; 1000/h", "100-M".
	Limits []string

	// Policies are further limits, for those that need a burst, a name or a
	// period that Limits cannot say. There may be up to 8 limits in all.
	Policies []Policy

	// Name tells this limiter from others. It stands before the names of its
	// limits in the RateLimit fields and in the audit trail, and in every key
	// in the Store: limiters that share a Store and a Name share their
	// counters, all others do not. It is required with a Store, and consists
	// of at most 64 letters, digits, '-', '_' and '.'.
	Name string

	// Key says whose request it is. If nil, it is ByAddr().
	Key KeyFunc

	// Store counts. If nil, the limiter counts by itself, in this process.
	Store Store

	// OnStoreFailure says what happens when the Store fails. If zero, limits
	// are counted in this process until the Store answers again.
	OnStoreFailure Failure

	// Slots is how many clients are remembered in this process, rounded up to
	// a power of two. If zero, it is 131,072: 2 MiB with one limit, and 1 MiB
	// for each further one.
	Slots int

	// OnDecision is called with each decision, also without an audit trail.
	OnDecision func(ctx context.Context, d decision.Decision)

	// ErrorHandler answers refused requests; err is an *Error. RateLimit,
	// RateLimit-Policy and Retry-After are already set where the request was
	// counted. If nil, it is WriteError.
	ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)

	// Logger is told of each refusal. If nil, nothing is logged.
	Logger *slog.Logger
}

// A Failure is what a Limiter does while its Store fails.
type Failure uint8

// The failure policies. A Store fails if it returns an error or does not
// answer within a second. What is decided without it is recorded as degraded.
const (
	FailLocal  Failure = iota // count in this process: each process admits the limits by itself
	FailClosed                // refuse with 503
	FailOpen                  // admit without counting
)

// String returns "local", "closed" or "open".
func (f Failure) String() string {
	switch f {
	case FailLocal:
		return "local"
	case FailClosed:
		return "closed"
	case FailOpen:
		return "open"
	}
	return "unknown"
}

const (
	maxPolicies  = 8
	defaultSlots = 1 << 17
	maxSlots     = 1 << 24
	storeTimeout = time.Second
)

// A Limiter admits each client's requests as often as its limits say.
// It owns no goroutine and needs no Close. It is safe for concurrent use.
type Limiter struct {
	name         string
	policies     []Policy // complete: with name and burst
	shown        []string // their names as clients see them
	policyHeader string
	key          KeyFunc
	store        Store  // nil: the table counts
	table        *table // nil: the Store counts and does not fail to here
	failure      Failure
	report       *report.Reporter
	onError      func(w http.ResponseWriter, r *http.Request, err error)
}

// New returns a Limiter that behaves in accordance with cfg.
// The error, if any, joins every mistake found in cfg.
func New(cfg Config) (*Limiter, error) {
	policies, errs := cfg.policies()
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("ratelimit: "+format, args...)) }
	if cfg.Name != "" && !validName(cfg.Name) {
		bad("Name is %q, want at most 64 letters, digits, '-', '_' and '.'", cfg.Name)
	}
	if cfg.Store != nil && cfg.Name == "" {
		bad("Name is empty, want a name for this limiter's counters in the Store")
	}
	if s, ok := cfg.Store.(*limiterStore); ok {
		if s == nil || s.store == nil {
			bad("Store is FromLimiter(nil), want a limiter.Store")
		}
		for _, p := range policies {
			if p.Burst != 0 && p.Burst != p.Limit {
				bad("Policies has %q with a Burst, want none with FromLimiter, whose stores know only a limit", p.Name)
			}
		}
	}
	if cfg.OnStoreFailure > FailOpen {
		bad("OnStoreFailure is %d, want FailLocal, FailClosed or FailOpen", cfg.OnStoreFailure)
	}
	if cfg.Slots < 0 || cfg.Slots > maxSlots {
		bad("Slots is %d, want 0 to %d", cfg.Slots, maxSlots)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	l := &Limiter{
		name:     cfg.Name,
		policies: policies,
		key:      cfg.Key,
		store:    cfg.Store,
		failure:  cfg.OnStoreFailure,
		report:   report.New("ratelimit", cfg.Logger, cfg.OnDecision),
		onError:  cfg.ErrorHandler,
	}
	for _, p := range policies {
		shown := p.Name
		if l.name != "" {
			shown = l.name + "-" + p.Name
		}
		l.shown = append(l.shown, shown)
	}
	l.policyHeader = policyField(l.shown, policies)
	if l.key == nil {
		l.key = ByAddr()
	}
	if l.onError == nil {
		l.onError = WriteError
	}
	if l.store == nil || l.failure == FailLocal {
		slots := cfg.Slots
		if slots == 0 {
			slots = defaultSlots
		}
		l.table = newTable(slots, policies)
	}
	return l, nil
}

// policies returns all limits of the configuration, complete.
func (cfg *Config) policies() (policies []Policy, errs []error) {
	for i, s := range cfg.Limits {
		parsed, err := parseLimits(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("ratelimit: Limits[%d] is %q, want %w", i, s, err))
		}
		policies = append(policies, parsed...)
	}
	for i, p := range cfg.Policies {
		complete, faults := p.complete()
		for _, err := range faults {
			errs = append(errs, fmt.Errorf("ratelimit: Policies[%d].%w", i, err))
		}
		policies = append(policies, complete)
	}
	switch {
	case len(policies) == 0 && len(errs) == 0:
		errs = append(errs, errors.New(`ratelimit: Limits is empty, want a limit such as "100 per minute"`))
	case len(policies) > maxPolicies:
		errs = append(errs, fmt.Errorf("ratelimit: Limits and Policies are %d limits, want at most %d", len(policies), maxPolicies))
	}
	for i, p := range policies {
		if p.Name != "" && slices.ContainsFunc(policies[:i], func(q Policy) bool { return q.Name == p.Name }) {
			errs = append(errs, fmt.Errorf("ratelimit: Limits and Policies have two limits called %q, want one, or Policies with names", p.Name))
		}
	}
	return policies, errs
}

// Take takes cost from the quota of key if every limit has that much left, and
// nothing otherwise. It returns the state of the limit that matters most: of
// the one that refuses longest, or else of the one with the least left.
//
// A cost of 0 takes nothing: the Result says whether 1 could be taken. A
// negative cost gives back what was taken before, and never more than that.
//
// An error is always an *Error and means that the request must not pass: the
// key is empty, the cost is more than a limit ever admits, ctx ended before the
// Store answered, or the Store failed and OnStoreFailure is FailClosed. That a
// quota is used up is no error.
func (l *Limiter) Take(ctx context.Context, key string, cost int64) (Result, error) {
	var buf [maxPolicies]Result
	results, how, err := l.take(ctx, buf[:0], key, cost)
	switch {
	case err != nil:
		return Result{}, err
	case len(results) == 0:
		return Result{OK: true, Degraded: how.degraded != ""}, nil
	}
	return *tightest(results), nil
}

// A course is how a decision came about. It is no part of the results, which
// stay on the stack for that.
type course struct {
	degraded string // what the Store failed with, "" if it did not
	crowded  bool   // a client was forgotten to make room
}

// take asks all limits and appends their results to dst; none if FailOpen
// admits without counting.
func (l *Limiter) take(ctx context.Context, dst []Result, key string, cost int64) ([]Result, course, *Error) {
	if key == "" {
		return nil, course{}, &Error{Reason: ReasonKey, Err: errEmptyKey}
	}
	for i := range l.policies {
		if cost > l.policies[i].Burst {
			return nil, course{}, &Error{
				Reason: ReasonCost, Violated: []string{l.shown[i]},
				Err: report.Causef("a cost of %d, and %q never admits more than %d", cost, l.shown[i], l.policies[i].Burst),
			}
		}
	}
	var how course
	if l.store != nil {
		results, err := l.ask(ctx, key, cost)
		switch {
		case err == nil:
			dst = append(dst, results...)
			l.label(dst, false)
			return dst, how, nil
		case ctx.Err() != nil:
			// Not the Store's fault, and a client that hangs up must not gain
			// by it.
			return nil, how, &Error{Reason: ReasonStore, Err: report.Cause("the context ended before the Store answered")}
		case l.failure == FailClosed:
			return nil, how, &Error{Reason: ReasonStore, RetryAfter: time.Second, Err: err}
		}
		how.degraded = report.Detail(err)
		if l.failure == FailOpen {
			return nil, how, nil
		}
	}
	dst, how.crowded = l.table.take(dst, key, cost)
	l.label(dst, how.degraded != "")
	return dst, how, nil
}

// ask lets the Store decide.
func (l *Limiter) ask(ctx context.Context, key string, cost int64) ([]Result, error) {
	key = storeKey(l.name, key)
	reqs := make([]Request, len(l.policies))
	for i, p := range l.policies {
		reqs[i] = Request{Key: key, Policy: p, Cost: cost}
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	results, err := l.store.Take(ctx, make([]Result, 0, len(reqs)), reqs)
	if err != nil {
		return nil, err
	}
	if len(results) != len(reqs) {
		return nil, report.Causef("%d results for %d requests", len(results), len(reqs))
	}
	return results, nil
}

// label fills in what stores leave out, and bounds what they say.
func (l *Limiter) label(results []Result, degraded bool) {
	for i := range results {
		r := &results[i]
		r.Policy, r.Limit, r.Degraded = l.shown[i], l.policies[i].Limit, degraded
		r.Remaining = max(0, r.Remaining)
		r.RetryAfter, r.ResetAfter = max(0, r.RetryAfter), max(0, r.ResetAfter)
	}
}

// tightest returns the result that a client should go by. It is not OK if any
// is not.
func tightest(results []Result) *Result {
	t := &results[0]
	for i := range results[1:] {
		if r := &results[1+i]; r.tighter(t) {
			t = r
		}
	}
	return t
}

// Handler lets requests through as often as the limits say. It panics if l is
// nil.
func (l *Limiter) Handler(next http.Handler) http.Handler {
	if l == nil {
		panic("ratelimit: Handler of a nil *Limiter")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		key, err := l.key(r)
		if err != nil {
			l.hint(ctx, err)
			l.refuse(w, r, "", &Error{Reason: ReasonKey, Err: err})
			return
		}
		var buf [maxPolicies]Result
		results, how, refusal := l.take(ctx, buf[:0], key, 1)
		if refusal != nil {
			l.refuse(w, r, "", refusal)
			return
		}
		if how != (course{}) {
			l.tell(ctx, how)
		}
		var rule string
		if len(results) > 0 {
			t := tightest(results)
			rule = t.Policy
			l.setFields(w.Header(), t)
			if !t.OK {
				l.refuse(w, r, rule, l.exceeded(results, t.RetryAfter))
				return
			}
		}
		l.report.Decision(ctx, decision.Decision{Effect: decision.Allow, Rule: rule, Reason: "admitted"})
		pass.On(next, w, r)
	})
}

// tell reports what an operator should know beside the decision.
func (l *Limiter) tell(ctx context.Context, how course) {
	if how.degraded != "" {
		l.report.Decision(ctx, decision.Decision{Effect: decision.Observe, Rule: l.failure.String(), Reason: ReasonDegraded, Detail: how.degraded})
		l.report.Hint(ctx, "store", "the Store fails, and OnStoreFailure decides", slog.String("failure", l.failure.String()), slog.String("error_type", how.degraded))
	}
	if how.crowded {
		l.report.Hint(ctx, "slots", "more clients than Slots: those with the least used quota are forgotten", slog.Int("slots", l.table.slots()))
	}
}

// exceeded is the refusal of a request whose quota is used up.
func (l *Limiter) exceeded(results []Result, retryAfter time.Duration) *Error {
	e := &Error{Reason: ReasonQuota, RetryAfter: max(retryAfter, 1)}
	text := make([]byte, 0, 128)
	for i := range results {
		if results[i].OK {
			continue
		}
		text = append(text, l.policies[i].String()...)
		text = append(text, "; "...)
		e.Violated = append(e.Violated, l.shown[i])
	}
	text = append(text, "the next in "...)
	text = append(text, e.RetryAfter.String()...)
	e.Err = report.Cause(text)
	return e
}

// hint tells the operator what is wired wrong when a request has no key.
func (l *Limiter) hint(ctx context.Context, err error) {
	if own, ok := errors.AsType[*keyError](err); ok && own.hint != "" {
		l.report.Hint(ctx, string(own.text), own.hint)
	}
}

// refuse answers r. The RateLimit fields are set already where there are any.
func (l *Limiter) refuse(w http.ResponseWriter, r *http.Request, rule string, err *Error) {
	h := w.Header()
	h.Set("Cache-Control", "no-store") // RFC 6585 section 4
	if err.RetryAfter > 0 {
		h.Set("Retry-After", err.retryAfter())
	}
	l.report.Decision(r.Context(), decision.Decision{
		Effect: decision.Deny, Rule: rule, Reason: err.Reason, Detail: report.Detail(err.Err), Status: err.StatusCode(),
	})
	l.onError(w, r, err)
}

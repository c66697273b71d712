// Package loginguard answers one question: may this password be tried?
//
// A [Guard] stands before whatever checks passwords and bounds how many wrong
// ones may be tried, of one account and of many.
//
//	guard, err := loginguard.New(loginguard.Config{Account: func(r *http.Request) (string, error) {
//		return r.PostFormValue("user"), nil
//	}})
//	…
//	mux.Handle("POST /login", guard.Handler(login)) // login answers 2xx, or else 401
//
// # How it counts
//
// Each guess draws on three budgets. It is refused if one of them is used up,
// and then draws on none.
//
//   - Of an account from an address: 5 in 15 minutes, then one at a time, after
//     a wait that doubles from 3 minutes to an hour. The owner, who is
//     elsewhere, does not notice.
//   - Of an address, for all accounts: 60 an hour. It stops who tries one
//     password on many accounts, where no account sees more than one.
//   - Of an account, from all addresses: 100 an hour. It slows who has many
//     addresses, and never locks: where the account's password was right in the
//     last 30 days, this budget refuses nobody, and elsewhere guesses are
//     admitted again at the rate.
//
// Counting comes before checking: of a hundred guesses at once five are
// checked. A right password gives back what it drew, and clears the count of
// the account from that address, but no other: logging in to an account of
// their own does not buy attackers guesses at others'. A check that did not
// happen gives back what it drew. Everything else counts, also a handler that
// panics: whether it knew the answer by then, and whether the client can make
// it panic, is unknown.
//
// IPv6 addresses count by /64, and all come from package clientip.
//
// # What it protects against
//
// Guessing the password of one account, trying few passwords on many accounts,
// and locking owners out by guessing wrong on purpose. An account that does
// not exist is counted and refused like any other. Names reach the Store, log
// and trail as digests only, which cannot be computed without the Secret.
//
// # What it does not
//
// It does not make answers alike: the handler must take the same work and give
// the same answer for unknown accounts. It does not stop who has a list of
// right passwords; that takes a second factor, and guesses at its codes want a
// Guard of their own. Owners who share an address with an attacker share their
// wait, and if they come from a new address while their account is guessed at
// from everywhere they may have to try more than once. And it admits no more
// logins at the same time from one address than the budget of that has left.
//
// # Where it stands
//
// Before the handler that checks the password, behind what decodes the request,
// and behind a limit by address ([ratelimit.Limiter]): a guess asks the Store
// three times before it is checked, and up to five times afterwards.
package loginguard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/internal/pass"
	"github.com/gatehouse-go/gatehouse/internal/report"
	"github.com/gatehouse-go/gatehouse/internal/respwriter"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/tlsredirect/clientip"
)

// Config configures a [Guard]. [Guard.Handler] requires Account, a Store
// requires Secret; any other zero field means the strictest behaviour.
type Config struct {
	_ [0]func() // keyed literals only

	// Account returns the name of the account that a request wants to log in
	// to. An error refuses the request, with the status of its StatusCode() int
	// or else 503; an empty name refuses it with 400. Log and trail tell no more
	// than the type of a foreign error.
	Account func(r *http.Request) (string, error)

	// Fold returns the one spelling under which guesses at an account are
	// counted. Whatever the service takes for the same account must fold to the
	// same, or each spelling brings a budget of its own; a database may ignore
	// accents, too. If nil, case and surrounding white space are ignored, and no
	// other Unicode equivalence is.
	Fold func(account string) string

	// PerPair, PerAddress and PerAccount are the budgets of wrong passwords: of
	// one account from one address, of one address, and of one account. If
	// zero, they are 5 per 15 minutes with a Backoff of an hour, 60 per hour and
	// 100 per hour. Their Name is the guard's business, and only PerPair may
	// have a Backoff: the others are shared with those who guess right.
	PerPair, PerAddress, PerAccount ratelimit.Policy

	// Store counts. If nil, the guard counts by itself, in this process. One of
	// ratelimit.FromLimiter knows no Backoff, and needs a PerPair without.
	Store ratelimit.Store

	// AllowLocalLimits counts in this process while the Store fails, with
	// budgets that begin anew: each instance of the service admits that many
	// guesses by itself. What was decided so is recorded as degraded. If false,
	// logins are refused with 503 until the Store answers.
	AllowLocalLimits bool

	// Secret keys the digests of accounts and addresses. It is required with a
	// Store, the same in all instances; if zero, it is random.
	Secret Secret

	// Name tells this guard's counters from those of others in the Store. It
	// consists of at most 64 letters, digits, '-', '_' and '.'. If empty, it is
	// "login".
	Name string

	// OnDecision is called with each decision, also without an audit trail.
	OnDecision func(ctx context.Context, d decision.Decision)

	// ErrorHandler answers refused requests; err is an *Error. Retry-After and
	// Cache-Control are already set. If nil, it is WriteError.
	ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)

	// Logger is told of each refusal. If nil, nothing is logged.
	Logger *slog.Logger
}

// storeTimeout is for all that a guess asks of the Store before it is checked,
// and again for all afterwards.
const storeTimeout = time.Second

// A Guard admits guesses at passwords. It owns no goroutine and needs no Close.
// It is safe for concurrent use.
type Guard struct {
	account  func(r *http.Request) (string, error)
	fold     func(account string) string
	digest   func(kind string, parts ...string) string
	name     string
	policies [counters]ratelimit.Policy
	main     *ledger
	local    *ledger // nil: there is none to fall back to
	report   *report.Reporter
	onError  func(w http.ResponseWriter, r *http.Request, err error)
}

// New returns a Guard that behaves in accordance with cfg.
// The error, if any, joins every mistake found in cfg.
func New(cfg Config) (*Guard, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("loginguard: "+format, args...)) }
	g := &Guard{
		account: cfg.Account,
		fold:    cfg.Fold,
		name:    cfg.Name,
		report:  report.New("loginguard", cfg.Logger, cfg.OnDecision),
		onError: cfg.ErrorHandler,
	}
	g.policies, errs = cfg.policies()
	if g.name == "" {
		g.name = "login"
	}
	if _, err := (ratelimit.Policy{Name: g.name, Limit: 1, Period: time.Second}).Complete(); err != nil {
		bad("%w", err)
	}
	if cfg.AllowLocalLimits && cfg.Store == nil {
		bad("AllowLocalLimits is true, want a Store that may fail")
	}
	if cfg.Store != nil && len(errs) == 0 {
		if err := checkStore(cfg.Store, g.policies[:known]); err != nil {
			bad("Store is unfit, want one that counts the budgets: %w", err)
		}
	}
	key := cfg.Secret.reveal()
	switch {
	case len(key) == 0 && cfg.Store != nil:
		bad("Secret is empty, want one, since the Store is shared")
	case cfg.Secret.key != nil && len(key) < minSecret:
		bad("Secret has %d bytes, want at least %d random ones", len(key), minSecret)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	g.digest = newDigest(key)
	if g.fold == nil {
		g.fold = fold
	}
	if g.onError == nil {
		g.onError = WriteError
	}
	if cfg.Store != nil {
		g.main = &ledger{guesses: cfg.Store, successes: cfg.Store}
	}
	var err error
	if g.main == nil {
		g.main, err = newLedger()
	} else if cfg.AllowLocalLimits {
		g.local, err = newLedger()
	}
	if err != nil {
		return nil, fmt.Errorf("loginguard: %w", err)
	}
	return g, nil
}

// Begin counts a guess at the password of an account. Call it before the
// password is checked, and then what fits of the Attempt's methods.
//
// An error is always an *Error and means that the password must not be
// checked, not even a right one: a budget is used up, the Store fails, addr is
// not valid or the account has no name.
func (g *Guard) Begin(ctx context.Context, account string, addr netip.Addr) (*Attempt, error) {
	a, refusal := g.begin(ctx, account, addr)
	if refusal != nil {
		g.refused(ctx, refusal)
		return nil, refusal
	}
	g.report.Decision(ctx, decision.Decision{Effect: decision.Allow, Reason: "admitted"})
	return a, nil
}

func (g *Guard) begin(ctx context.Context, account string, addr netip.Addr) (*Attempt, *Error) {
	bucket := clientip.Bucket(addr)
	if !bucket.IsValid() {
		g.report.Hint(ctx, ReasonNoAddress, "the client's address is unknown: behind a proxy make sure that it sends the header which clientip.Trust reads, and elsewhere set RemoteAddr")
		return nil, &Error{Reason: ReasonNoAddress, Err: report.Cause("no client address")}
	}
	account = g.fold(account)
	if account == "" {
		return nil, &Error{Reason: ReasonNoAccount, Err: errNoName}
	}
	keys := g.keys(account, bucket.String())
	a := &Attempt{guard: g, in: g.main, keys: keys}
	refusal, err := a.reserve(ctx)
	if err != nil && g.local != nil && ctx.Err() == nil {
		detail := report.Detail(err)
		g.report.Decision(ctx, decision.Decision{Effect: decision.Observe, Reason: ReasonDegraded, Detail: detail})
		g.report.Hint(ctx, ReasonDegraded, "the Store fails, and guesses are counted in this process", slog.String("error_type", detail))
		a = &Attempt{guard: g, in: g.local, keys: keys}
		refusal, err = a.reserve(ctx)
	}
	switch {
	case err == nil && refusal != nil:
		return nil, refusal
	case err == nil:
		return a, nil
	case ctx.Err() != nil: // not the Store's fault
		return nil, &Error{Reason: ReasonStore, Err: report.Cause("the context ended before the Store answered")}
	}
	return nil, &Error{Reason: ReasonStore, RetryAfter: time.Second, Err: err}
}

// Handler admits guesses to next, which checks the password and says by its
// status what came of it:
//
//   - 2xx: it was right.
//   - 5xx and 429: it was not checked, and does not count.
//   - Any other: it was wrong. That is 401 or 403, but OAuth's token endpoint
//     says 400, some forms 422, and a redirect may be the form's or the router's.
//   - A hijacked connection, a panic: it counts as wrong.
//
// A handler whose statuses mean something else, such as one that answers a
// right password with a redirect or a wrong one with the form and 200, must call
// a method of the [Attempt] in the request's context before it returns.
//
// Handler panics if g is nil or has no Account.
func (g *Guard) Handler(next http.Handler) http.Handler {
	if g == nil || g.account == nil {
		panic("loginguard: Handler of a nil *Guard, or of one without Account")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		account, err := g.account(r)
		if err != nil {
			refusal := &Error{Reason: ReasonNoAccount, Err: err}
			g.refused(ctx, refusal)
			g.refuse(w, r, refusal)
			return
		}
		addr, _ := clientip.FromRequest(r) // Begin refuses the zero Addr
		a, err := g.Begin(ctx, account, addr)
		if err != nil {
			g.refuse(w, r, err)
			return
		}
		w, rec := respwriter.Wrap(w, r, respwriter.Options{})
		pass.With(NewContext(ctx, a), next, w, r)
		status := rec.Status() // not deferred: a panic leaves the guess counted
		if status == 0 && !rec.Hijacked() {
			status = http.StatusOK // by net/http
		}
		a.settle(ctx, status)
	})
}

// refused reports a refusal.
func (g *Guard) refused(ctx context.Context, err *Error) {
	d := decision.Decision{Effect: decision.Deny, Reason: err.Reason, Detail: report.Detail(err.Err), Status: err.StatusCode()}
	g.report.Decision(ctx, d)
}

// refuse answers a request that was refused.
func (g *Guard) refuse(w http.ResponseWriter, r *http.Request, err error) {
	h := w.Header()
	h.Set("Cache-Control", "no-store") // RFC 6585 section 4
	if e, ok := errors.AsType[*Error](err); ok {
		e.setRetryAfter(h)
	}
	g.onError(w, r, err)
}

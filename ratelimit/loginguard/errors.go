package loginguard

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/problem"
	"github.com/gatehouse-go/gatehouse/internal/report"
)

// An Error is why a login was refused. Clients learn its status and when to
// come back, and not by which budget; Reason and Err are for operators.
type Error struct {
	// Reason is one of the Reason constants.
	Reason string

	// RetryAfter is when trying again may help; 0 if that does not depend on
	// time.
	RetryAfter time.Duration

	// Err is the cause. It holds neither names nor addresses unless a foreign
	// Account or Store put them there: accounts are told apart by a part of
	// their digest.
	Err error
}

// The reasons of this package.
const (
	ReasonPair      = "pair"       // 429: too many guesses at the account from the address
	ReasonAddress   = "address"    // 429: too many guesses from the address
	ReasonAccount   = "account"    // 429: too many guesses at the account
	ReasonNoAccount = "no_account" // 400, or for an error of Account the status that it asks for, or 503: it is not known whose login it is
	ReasonNoAddress = "no_address" // 503: it is not known where it comes from
	ReasonStore     = "store"      // 503: the Store could not be asked
	ReasonDegraded  = "degraded"   // no refusal: counted in this process
)

// Error returns a text for operators.
func (e *Error) Error() string {
	s := "loginguard: " + e.Reason
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// StatusCode returns the status that answers the error.
func (e *Error) StatusCode() int {
	switch e.Reason {
	case ReasonPair, ReasonAddress, ReasonAccount:
		return http.StatusTooManyRequests
	case ReasonNoAccount:
		return problem.Status(e.Err, http.StatusServiceUnavailable)
	}
	return http.StatusServiceUnavailable
}

// A noNameError is about an account without a name. To count it under its address alone
// would be a way around two budgets, and there is no password of it to check.
type noNameError struct{ report.Cause }

func (noNameError) StatusCode() int { return http.StatusBadRequest }
func (e noNameError) Unwrap() error { return e.Cause }

var errNoName error = noNameError{"the account has no name"}

// refusal is the Error of a guess that a budget does not admit.
func (a *Attempt) refusal(by counter, wait time.Duration) *Error {
	wait = max(wait, 1)
	digest := a.keys[wide][len(a.guard.name)+1:]
	return &Error{
		Reason: by.String(), RetryAfter: wait,
		Err: report.Causef("%v; the next in %v; account %s", a.guard.policies[by], wait, digest[:12]),
	}
}

// setRetryAfter rounds up: nobody may be told to come back too early.
func (e *Error) setRetryAfter(h http.Header) {
	if e.RetryAfter <= 0 {
		return
	}
	s := e.RetryAfter / time.Second
	if e.RetryAfter%time.Second > 0 {
		s++
	}
	h.Set("Retry-After", strconv.FormatInt(int64(s), 10))
}

// WriteError answers r with the problem that fits err, and with Retry-After
// where err is an *Error that has one. It is the default ErrorHandler, for those
// who change one case only, and answers what [Guard.Begin] refused. What clients
// read is fixed for each status: a text that told the budgets apart would tell
// attackers how far they are.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	if e, ok := errors.AsType[*Error](err); ok {
		e.setRetryAfter(w.Header())
	}
	p := problem.Problem{Status: problem.Status(err, http.StatusServiceUnavailable)}
	switch p.Status {
	case http.StatusTooManyRequests:
		p.Type = "https://iana.org/assignments/http-problem-types#abnormal-usage-detected"
		p.Title = "Request not satisfied due to detection of abnormal request pattern"
		p.Detail = "Too many failed logins. Try again later."
	case http.StatusBadRequest:
		p.Detail = "The request names no account."
	case http.StatusServiceUnavailable:
		p.Detail = "Logins cannot be checked at the moment. Try again later."
	}
	problem.Write(w, r, p)
}

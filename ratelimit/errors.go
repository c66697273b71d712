package ratelimit

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/problem"
	"github.com/gatehouse-go/gatehouse/internal/report"
)

// ErrNoKey is what a [KeyFunc] returns for a request that has no key of its
// kind. The KeyFuncs of this package return errors that wrap it.
var ErrNoKey error = report.Cause("no key")

// ErrSkip is what a [KeyFunc] returns for a request that is not to be counted.
var ErrSkip error = report.Cause("not counted")

// An Error is why a request was refused. Clients learn its status, which
// limits it violated and when to come back; Reason and Err are for operators.
type Error struct {
	// Reason is one of the Reason constants.
	Reason string

	// Violated are the names of the limits that refused.
	Violated []string

	// RetryAfter is when asking again may help; 0 if that does not depend on
	// time.
	RetryAfter time.Duration

	// Err is the cause. It holds neither the client's key nor a part of it
	// unless a foreign KeyFunc or Store put it there.
	Err error
}

// The reasons of this package.
const (
	ReasonQuota    = "quota"    // 429: a quota is used up
	ReasonCost     = "cost"     // 429: it costs more than a limit ever admits
	ReasonKey      = "key"      // 400 or 503: it is not known whose request it is
	ReasonMisuse   = "misuse"   // 503: Plan returned what New would refuse, or Cost less than 0
	ReasonStore    = "store"    // 503: the Store could not be asked
	ReasonDegraded = "degraded" // no refusal: decided without the Store

	// ReasonForwarded is no refusal: a header tells of another address than
	// the one that counts.
	ReasonForwarded = "untrusted_forwarding"
)

// Error returns a text for operators.
func (e *Error) Error() string {
	s := "ratelimit: " + e.Reason
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.RetryAfter > 0 {
		s += "; the next in " + e.RetryAfter.String()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// StatusCode returns the status that answers the error. For ReasonKey it is
// the one that the KeyFunc's error asks for, or 503.
func (e *Error) StatusCode() int {
	switch e.Reason {
	case ReasonQuota, ReasonCost:
		return http.StatusTooManyRequests
	case ReasonKey:
		return problem.Status(e.Err, http.StatusServiceUnavailable)
	}
	return http.StatusServiceUnavailable
}

// WriteError answers r with the problem that fits err. It is the default
// ErrorHandler, for those who change one case only. What clients read is
// fixed for each status; no text of err is in it.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	e, _ := errors.AsType[*Error](err)
	p := problem.Problem{Status: problem.Status(err, http.StatusServiceUnavailable)}
	switch p.Status {
	case http.StatusTooManyRequests:
		p = exceeded(e)
	case http.StatusBadRequest:
		p.Detail = "The request lacks what its quota is counted by, or has it more than once."
	case http.StatusServiceUnavailable:
		p.Detail = "The request could not be counted. Try again later."
	}
	problem.Write(w, r, p)
}

// exceeded is the problem of a quota; e may be nil.
func exceeded(e *Error) problem.Problem {
	p := problem.Problem{
		Status: http.StatusTooManyRequests,
		Type:   "https://iana.org/assignments/http-problem-types#quota-exceeded",
		Title:  "Request cannot be satisfied as assigned quota has been exceeded",
		Detail: "Too many requests. Try again later.",
	}
	if e != nil && e.Reason == ReasonCost {
		p.Detail = "The request asks for more than the quota ever admits."
	}
	if e != nil && len(e.Violated) > 0 {
		p.Extensions = []problem.Extension{{Name: "violated-policies", Value: &e.Violated}}
	}
	return p
}

func (e *Error) retryAfter() string { return strconv.FormatInt(seconds(e.RetryAfter), 10) }

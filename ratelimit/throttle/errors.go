package throttle

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/problem"
	"github.com/gatehouse-go/gatehouse/internal/report"
)

// An Error is why a request was refused. Clients learn its status and when to
// come back; Reason and Err are for operators.
type Error struct {
	// Reason is one of the Reason constants.
	Reason string

	// RetryAfter is when asking again may help, in whole seconds; 0 if that
	// does not depend on time.
	RetryAfter time.Duration

	// Err is the cause, if there is one: the KeyFunc's error, or that of the
	// context.
	Err error
}

// The reasons of this package. All are answered with 503, but ReasonKey with
// the status that the KeyFunc's error asks for, or else 503.
const (
	ReasonLimit     = "limit"      // Limit requests are in flight, and there is no Queue
	ReasonKeyLimit  = "key_limit"  // PerKey requests of the client are, and no more of it may wait
	ReasonQueueFull = "queue_full" // as many wait as may
	ReasonWait      = "wait"       // it waited for MaxWait, or until its context's deadline
	ReasonCanceled  = "canceled"   // the client went away while it waited
	ReasonKey       = "key"        // it is not known whose request it is
)

// reasons has them in the order of these indexes.
var reasons = [...]string{ReasonLimit, ReasonKeyLimit, ReasonQueueFull, ReasonWait, ReasonCanceled, ReasonKey} //nolint:gochecknoglobals // immutable

type reason int

const (
	overLimit reason = iota
	overKeyLimit
	queueFull
	waited
	canceled
	keyless
	none reason = -1
)

var errEmptyKey error = report.Cause("the key is empty")

// refusal counts a refusal and describes it.
func (t *Throttle) refusal(why reason, cause error) *Error {
	t.refused[why].Add(1)
	e := &Error{Reason: reasons[why], Err: cause}
	if why != keyless {
		e.RetryAfter = t.retry
	}
	return e
}

// Error returns a text for operators.
func (e *Error) Error() string {
	s := "throttle: " + e.Reason
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// StatusCode returns the status that answers the error.
func (e *Error) StatusCode() int {
	if e.Reason == ReasonKey {
		return problem.Status(e.Err, http.StatusServiceUnavailable)
	}
	return http.StatusServiceUnavailable
}

func (e *Error) retryAfter() string { return strconv.FormatInt(int64(e.RetryAfter/time.Second), 10) }

// WriteError answers r with the problem that fits err. It is the default
// ErrorHandler, for those who change one case only. What clients read is
// fixed for each status; no text of err is in it.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	p := problem.Problem{Status: problem.Status(err, http.StatusServiceUnavailable)}
	e, _ := errors.AsType[*Error](err)
	switch {
	case e != nil && e.Reason != ReasonKey:
		p.Type = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"
		p.Title = "Request cannot be satisfied due to temporary server capacity constraints"
		p.Detail = "Too many requests are being answered. Try again later."
	case p.Status == http.StatusBadRequest:
		p.Detail = "The request lacks what it is counted by, or has it more than once."
	case p.Status == http.StatusServiceUnavailable:
		p.Detail = "The request could not be counted. Try again later."
	}
	problem.Write(w, r, p)
}

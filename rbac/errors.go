package rbac

import (
	"net/http"

	"github.com/gatehouse-go/gatehouse/internal/problem"
)

// The reasons of refusals.
const (
	ReasonUnauthenticated = "unauthenticated" // nobody to ask about
	ReasonPermission      = "permission"      // the caller's roles do not have it
	ReasonUndecided       = "undecided"       // a handler answered without anybody having decided
	ReasonRedirect        = "redirect"        // so did a redirect, which may be a router's own
)

// An Error is why a request was refused.
type Error struct {
	// Reason is one of the Reason constants.
	Reason string

	// Permissions are the names of those that were required.
	Permissions []string
}

// Error returns a text for operators.
func (e *Error) Error() string { return "rbac: " + e.Reason }

// StatusCode returns the status that answers the error.
func (e *Error) StatusCode() int {
	switch e.Reason {
	case ReasonUnauthenticated:
		return http.StatusUnauthorized
	case ReasonPermission:
		return http.StatusForbidden
	case ReasonRedirect:
		return http.StatusNotFound
	}
	return http.StatusInternalServerError
}

// WriteError answers r with the problem that fits err. It is the default
// ErrorHandler, for those who change one case only. Which permission was
// missing is for operators to know.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	p := problem.Problem{Status: problem.Status(err, http.StatusInternalServerError)}
	switch p.Status {
	case http.StatusUnauthorized:
		p.Detail = "This resource needs credentials."
	case http.StatusForbidden:
		p.Detail = "You may not do this."
	case http.StatusNotFound:
		p.Detail = "There is nothing here."
	case http.StatusInternalServerError:
		p.Detail = "The service failed to decide about this request."
	}
	problem.Write(w, r, p)
}

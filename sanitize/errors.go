package sanitize

import (
	"errors"
	"net/http"

	"github.com/gatehouse-go/gatehouse/internal/problem"
)

// An Error is why a body was refused or a struct could not be cleaned.
type Error struct {
	// Reason is one of the Reason constants, and thus fit for a metric's label.
	Reason string

	// Faults are the places in a JSON document that are not acceptable, at most
	// 20 of them.
	Faults []Fault

	// Truncated tells that there are more.
	Truncated bool

	// Err is the cause. It never holds a value of the input.
	Err error
}

// A Fault is a place in a JSON document, and what is wrong there.
type Fault struct {
	// Pointer is a JSON pointer as a URI fragment (RFC 6901 section 6), such as
	// "#/items/0/note". Where that would be very long, it is the pointer of the
	// nearest enclosing value that is not.
	Pointer string `json:"pointer"`

	// Code is one of the Code constants.
	Code string `json:"code"`

	// Detail is a sentence for the client. It does not quote the value.
	Detail string `json:"detail"`
}

// The reasons, with the status that answers them.
const (
	ReasonRead      = "read"       // 400: could not be read
	ReasonSyntax    = "syntax"     // 400: not JSON, not UTF-8, more than one value
	ReasonDepth     = "depth"      // 400: nested too deeply
	ReasonSize      = "size"       // 413
	ReasonMediaType = "media_type" // 415: not JSON in UTF-8
	ReasonEncoding  = "encoding"   // 415: compressed
	ReasonDuplicate = "duplicate"  // 422: a member that is there twice
	ReasonUnclean   = "unclean"    // 422: holds what its policy removes
	ReasonTag       = "tag"        // 500: a struct tag that is no policy
	ReasonTarget    = "target"     // 500: a value that cannot be changed
)

// The codes of a Fault.
const (
	CodeControl   = "control"   // controls or direction overrides in a string
	CodeMarkup    = "markup"    // markup that the string's policy removes
	CodeName      = "name"      // controls, direction overrides or markup in a name
	CodeDuplicate = "duplicate" // a name that the object has already
)

// Error returns a text for operators.
func (e *Error) Error() string {
	s := "sanitize: " + e.Reason
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
	case ReasonMediaType, ReasonEncoding:
		return http.StatusUnsupportedMediaType
	case ReasonSize:
		return http.StatusRequestEntityTooLarge
	case ReasonRead, ReasonSyntax, ReasonDepth:
		return http.StatusBadRequest
	case ReasonDuplicate, ReasonUnclean:
		return http.StatusUnprocessableEntity
	}
	return http.StatusInternalServerError
}

// WriteError answers r with the problem that fits err. It is the default
// ErrorHandler, for those who change one case only. No text of err is in it
// beyond its Faults.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	p := problem.Problem{Status: problem.Status(err, http.StatusInternalServerError)}
	e, _ := errors.AsType[*Error](err)
	switch {
	case e != nil && e.Reason == ReasonRead:
		p.Detail = "The body could not be read."
	case e != nil && e.Reason == ReasonDepth:
		p.Detail = "The body is nested too deeply."
	case p.Status == http.StatusBadRequest:
		p.Detail = "The body is not well-formed JSON."
	case p.Status == http.StatusRequestEntityTooLarge:
		p.Detail = "The body is larger than this resource accepts."
	case p.Status == http.StatusUnsupportedMediaType:
		p.Detail = "The body must be JSON in UTF-8, and not compressed."
	case p.Status == http.StatusUnprocessableEntity:
		p.Detail = "The body holds what this resource does not accept."
	}
	if e != nil && len(e.Faults) > 0 {
		p.Extensions = append(p.Extensions, problem.Extension{Name: "errors", Value: e.Faults})
	}
	if e != nil && e.Truncated {
		p.Extensions = append(p.Extensions, problem.Extension{Name: "truncated", Value: true})
	}
	problem.Write(w, r, p)
}

package validate

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/gatehouse-go/gatehouse/internal/problem"
	"github.com/gatehouse-go/gatehouse/internal/report"
)

// maxAnswer is the most bytes that the list of faults takes in an answer,
// whatever was sent and however large MaxErrors is.
const maxAnswer = 15 << 10

// An Error is why a request was refused.
type Error struct {
	// Reason is one of the Reason constants and thus fit for a metric's label.
	// Where faults differ in kind, it is that of the first.
	Reason string

	// Faults are what is wrong with the body, decoding's first.
	Faults []Fault

	// Truncated tells that there are more faults than are listed.
	Truncated bool

	// Err is the cause, if it lies outside: an error of AfterDecode or of
	// reading the body.
	Err error
}

// A Fault is one thing that is wrong with a body. It never holds a value that
// was sent; names that were sent are in Pointer only.
type Fault struct {
	// Pointer is the place, a JSON Pointer as a URI fragment: "#/items/0/qty".
	Pointer string `json:"pointer"`

	// Code is the name of the rule that is broken, as in the validate tag, or
	// the Reason that the fault is.
	Code string `json:"code"`

	// Param is the parameter of the rule.
	Param string `json:"param,omitempty"`

	// Detail is a sentence about the value, in plain English.
	Detail string `json:"detail"`

	place string // Pointer for the trail: names that the client chose are *
}

// The reasons, with their status.
const (
	ReasonEmpty       = "empty"        // 400: no body
	ReasonRead        = "read"         // 400: the body broke off
	ReasonSyntax      = "syntax"       // 400: not JSON
	ReasonUTF8        = "utf8"         // 400: not UTF-8
	ReasonTrailing    = "trailing"     // 400: data behind the document
	ReasonDepth       = "depth"        // 400: nested too deep
	ReasonValues      = "values"       // 400: too many members and elements
	ReasonPath        = "path"         // 400: names too long for a type with rules beneath a map
	ReasonSize        = "size"         // 413: too many bytes
	ReasonMediaType   = "media_type"   // 415: not JSON, or not in UTF-8
	ReasonEncoding    = "encoding"     // 415: compressed
	ReasonUnknown     = "unknown"      // 422: a member that T does not have
	ReasonDuplicate   = "duplicate"    // 422: a member that occurs twice
	ReasonType        = "type"         // 422: a value that does not decode
	ReasonRule        = "rule"         // 422: a value that breaks a rule
	ReasonAfterDecode = "after_decode" // the status of AfterDecode's error, or 500
	ReasonPanic       = "panic"        // 500: AfterDecode, a rule or an UnmarshalJSON panicked
)

const reasonValid = "valid"

// Error returns a text for operators.
func (e *Error) Error() string {
	s := "validate: " + e.Reason
	if d := e.detail(); d != "" {
		s += ": " + d
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// StatusCode returns the status that answers the error.
func (e *Error) StatusCode() int {
	switch e.Reason {
	case ReasonEmpty, ReasonRead, ReasonSyntax, ReasonUTF8, ReasonTrailing, ReasonDepth, ReasonValues, ReasonPath:
		return http.StatusBadRequest
	case ReasonSize:
		return http.StatusRequestEntityTooLarge
	case ReasonMediaType, ReasonEncoding:
		return http.StatusUnsupportedMediaType
	case ReasonUnknown, ReasonDuplicate, ReasonType, ReasonRule:
		return http.StatusUnprocessableEntity
	case ReasonAfterDecode:
		return problem.Status(e.Err, http.StatusInternalServerError)
	}
	return http.StatusInternalServerError
}

// detail is for the audit trail and the log: where which rule was broken, and
// nothing that the client chose.
func (e *Error) detail() string {
	var b strings.Builder
	for i := range e.Faults {
		if b.Len() > 256 {
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		f := &e.Faults[i]
		b.WriteString(f.Code)
		if f.place != "" {
			b.WriteString(" " + f.place)
		}
	}
	if e.Truncated {
		b.WriteString(", …")
	}
	b.WriteString(report.Detail(e.Err))
	return b.String()
}

// WriteError answers r with the problem that fits err. It is the default
// ErrorHandler, for those who change one case only. Of err it shows the Faults
// of an *Error, as many as fit into 16 KiB, and no text of another error.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	p := problem.Problem{Status: problem.Status(err, http.StatusInternalServerError)}
	e, _ := errors.AsType[*Error](err)
	if e == nil {
		e = &Error{}
	}
	switch e.Reason {
	case ReasonEmpty:
		p.Detail = "This resource needs a JSON body."
	case ReasonRead:
		p.Detail = "The body could not be read to its end."
	case ReasonSyntax, ReasonUTF8, ReasonTrailing:
		p.Detail = "The body must be exactly one JSON document in UTF-8."
	case ReasonDepth, ReasonValues, ReasonPath, ReasonSize:
		p.Detail = "The body is larger than this resource accepts."
	case ReasonMediaType:
		p.Detail = "The body must be JSON in UTF-8, and Content-Type must say so once."
	case ReasonEncoding:
		p.Detail = "The body must not be compressed or otherwise encoded."
	default:
		switch {
		case p.Status == http.StatusUnprocessableEntity:
			p.Detail = "The body does not have the form that this resource expects."
		case p.Status < http.StatusInternalServerError:
			p.Detail = "The body was not accepted."
		}
	}
	faults, truncated := bounded(e.Faults)
	if truncated = truncated || e.Truncated; truncated {
		p.Detail += " It has more faults than are listed."
	}
	if len(faults) > 0 {
		p.Extensions = append(p.Extensions, problem.Extension{Name: "errors", Value: faults})
	}
	if truncated {
		p.Extensions = append(p.Extensions, problem.Extension{Name: "truncated", Value: true})
	}
	problem.Write(w, r, p)
}

// bounded returns the faults that fit into an answer, as JSON.
func bounded(faults []Fault) (list []json.RawMessage, truncated bool) {
	var size int
	for i := range faults {
		b, err := json.Marshal(&faults[i])
		if err != nil { // strings always marshal
			continue
		}
		if size += len(b) + 1; size > maxAnswer {
			return list, true
		}
		list = append(list, b)
	}
	return list, false
}

// panicked is the error for a panic in code that this package was given. What
// was thrown may hold what a client sent: only its type is told, and where.
func panicked(stage string, thrown any) *Error {
	return &Error{Reason: ReasonPanic, Err: report.Cause(fmt.Sprintf("%s panicked with %T at %s", stage, thrown, report.PanicSite()))}
}

package auth

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/problem"
	"github.com/gatehouse-go/gatehouse/internal/report"
)

// ErrNoCredentials is what an [Authenticator] returns for a request that
// carries no credentials of its kind.
var ErrNoCredentials error = report.Cause("no credentials")

// A Kind is what is wrong with a request, as far as its answer depends on it.
type Kind uint8

// The kinds, with their status and their error code of RFC 6750 section 3.1.
const (
	Invalid             Kind = iota // 401 invalid_token
	Missing                         // 401, no error code
	Malformed                       // 400 invalid_request
	InsufficientScope               // 403 insufficient_scope
	Unavailable                     // 503: keys or a store could not be asked
	Forbidden                       // 403, no error code: not from where this credential may be used
	StaleAuthentication             // 401 insufficient_user_authentication (RFC 9470)
)

// An Error is why a request was not admitted. Clients learn its Kind only,
// Reason and Err are for operators.
type Error struct {
	Kind Kind

	// Reason is from a closed set and thus fit for a metric's label: the
	// Reason constants, or a word of a foreign Authenticator.
	Reason string

	// Scopes are those that an InsufficientScope request lacks or needs.
	Scopes []string

	// ACR and MaxAge are what a StaleAuthentication request needs.
	ACR    []string
	MaxAge time.Duration

	// RetryAfter is when asking again may help, for Unavailable.
	RetryAfter time.Duration

	// Err is the cause. It never holds a credential. Log and trail tell no
	// more than the type of a foreign one, whose text may hold anything: what
	// operators should read goes into Reason, and the ErrorHandler gets all.
	Err error
}

// The reasons of this package.
const (
	ReasonMissing     = "missing"     // no credentials
	ReasonDuplicate   = "duplicate"   // more than one credential
	ReasonScheme      = "scheme"      // a scheme that nobody here speaks
	ReasonMalformed   = "malformed"   // not the syntax of its kind
	ReasonOversize    = "oversize"    // longer than any honest token
	ReasonAlgorithm   = "algorithm"   // none, not allowed, or not the key's
	ReasonType        = "typ"         // a token for another purpose
	ReasonCritical    = "crit"        // an extension that must be understood and is not
	ReasonKey         = "key"         // no key of that name
	ReasonSignature   = "signature"   // forged, or signed with another key
	ReasonClaims      = "claims"      // claims that are missing, doubled or of the wrong type
	ReasonIssuer      = "issuer"      // from somebody else
	ReasonAudience    = "audience"    // for somebody else
	ReasonExpired     = "expired"     // no longer valid
	ReasonNotYet      = "not_yet"     // not valid yet
	ReasonLifetime    = "lifetime"    // valid for longer than is accepted
	ReasonRevoked     = "revoked"     // taken back before its time
	ReasonBinding     = "binding"     // bound to a key whose proof is missing
	ReasonProof       = "dpop"        // a DPoP proof that proves nothing
	ReasonReplay      = "dpop_replay" // a DPoP proof that was used before
	ReasonNonce       = "dpop_nonce"  // a DPoP proof without a nonce of ours that is fresh
	ReasonOrigin      = "origin"      // a cookie from a page of somebody else's
	ReasonScope       = "scope"       // lacks a scope
	ReasonStale       = "stale"       // authenticated too long ago, or too weakly
	ReasonRefused     = "refused"     // by another Authenticator, which says no more
	ReasonUnavailable = "unavailable" // could not be checked
)

// Error returns a text for operators.
func (e *Error) Error() string {
	s := "auth: " + e.Reason
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error {
	if e == nil { // as an Authenticator may return it by mistake
		return nil
	}
	return e.Err
}

// StatusCode returns the status that answers the error.
func (e *Error) StatusCode() int {
	switch e.Kind {
	case Invalid, Missing, StaleAuthentication:
		return http.StatusUnauthorized
	case Malformed:
		return http.StatusBadRequest
	case InsufficientScope, Forbidden:
		return http.StatusForbidden
	case Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusServiceUnavailable
}

// WriteError answers r with the problem that fits err. It is the default
// ErrorHandler, for those who change one case only. What clients read is
// fixed for each status; no text of err is in it.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	p := problem.Problem{Status: problem.Status(err, http.StatusServiceUnavailable)}
	e, _ := errors.AsType[*Error](err)
	switch {
	case e != nil && e.Kind == Missing:
		p.Detail = "This resource needs credentials."
	case e != nil && e.Kind == StaleAuthentication:
		p.Detail = "This resource needs a more recent or stronger authentication."
	case e != nil && e.Kind == Forbidden:
		p.Detail = "The credentials may not be used here."
	case p.Status == http.StatusUnauthorized:
		p.Detail = "The credentials were not accepted."
	case p.Status == http.StatusBadRequest:
		p.Detail = "The request must carry exactly one well-formed credential."
	case p.Status == http.StatusForbidden:
		p.Detail = "The credentials do not reach far enough for this resource."
	case p.Status == http.StatusServiceUnavailable:
		p.Detail = "The credentials could not be checked. Try again later."
	}
	problem.Write(w, r, p)
}

// classify makes any error of an Authenticator an *Error: what a foreign one
// says with StatusCode counts, and all else could not be checked.
func classify(err error) *Error {
	if e, ok := errors.AsType[*Error](err); e != nil {
		return e
	} else if ok {
		return &Error{Kind: Unavailable, Reason: ReasonUnavailable, Err: report.Cause("an error that is a nil *Error")}
	}
	if errors.Is(err, ErrNoCredentials) {
		return &Error{Kind: Missing, Reason: ReasonMissing, Err: err}
	}
	e := &Error{Kind: Unavailable, Reason: ReasonUnavailable, Err: err}
	switch problem.Status(err, http.StatusServiceUnavailable) {
	case http.StatusUnauthorized:
		e.Kind, e.Reason = Invalid, ReasonRefused
	case http.StatusBadRequest:
		e.Kind, e.Reason = Malformed, ReasonMalformed
	case http.StatusForbidden:
		e.Kind, e.Reason = InsufficientScope, ReasonScope
	}
	return e
}

// challenge is the challenge for e under the scheme, with what the scheme adds
// itself behind (RFC 6750 section 3, RFC 9470 section 3, RFC 9449 section 7.1).
func (e *Error) challenge(scheme string, more ...string) string {
	if e.Kind == Invalid && scheme == schemeBearer && len(more) == 0 { // nearly all
		return `Bearer error="invalid_token"`
	}
	var params []string
	add := func(name, value string) {
		if value != "" {
			params = append(params, name+`="`+value+`"`)
		}
	}
	switch e.Kind {
	case Invalid:
		code := "invalid_token"
		if fault := e.proofFault(); fault != "" && scheme == schemeDPoP {
			code = fault
		}
		add("error", code)
	case Malformed:
		add("error", "invalid_request")
	case InsufficientScope:
		add("error", "insufficient_scope")
		add("scope", words(e.Scopes))
	case StaleAuthentication:
		add("error", "insufficient_user_authentication")
		add("acr_values", words(e.ACR))
		if e.MaxAge > 0 {
			add("max_age", strconv.FormatInt(int64(e.MaxAge/time.Second), 10))
		}
	case Missing, Unavailable, Forbidden:
	}
	if params = append(params, more...); len(params) == 0 {
		return scheme
	}
	return scheme + " " + strings.Join(params, ", ")
}

// words are those that may stand between quotes: they may be another
// Authenticator's.
func words(all []string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(all), func(s string) bool { return !isScopeToken(s) }), " ")
}

// proofFault is the error code for a fault of a DPoP proof, "" for another
// fault.
func (e *Error) proofFault() string {
	switch e.Reason {
	case ReasonNonce:
		return "use_dpop_nonce"
	case ReasonProof, ReasonReplay:
		return "invalid_dpop_proof"
	}
	return ""
}

func (e *Error) retryAfter() string {
	return strconv.FormatInt(max(1, int64((e.RetryAfter+time.Second-1)/time.Second)), 10)
}

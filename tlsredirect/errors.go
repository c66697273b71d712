package tlsredirect

import (
	"errors"
	"net/http"

	"github.com/gatehouse-go/gatehouse/internal/problem"
)

// The reasons for which requests pass.
const (
	ReasonTLS       = "tls"       // over TLS
	ReasonForwarded = "forwarded" // over TLS up to a trusted proxy
	ReasonHealth    = "health"    // one of Health
	ReasonACME      = "acme"      // a challenge for ACME
	ReasonLoopback  = "loopback"  // InsecureAllowLoopback
)

// ReasonRedirect is why a request was answered with 308.
const ReasonRedirect = "redirect"

// The reasons for which requests are refused.
const (
	ReasonHost        = "host"        // a host that is not one of Hosts, or not a host
	ReasonPlaintext   = "plaintext"   // over plain HTTP
	ReasonCredentials = "credentials" // over plain HTTP, with credentials
	ReasonTarget      = "target"      // over plain HTTP, and could not be put into a Location
	ReasonProto       = "proto"       // a trusted proxy did not say what the client spoke
	ReasonEarlyData   = "early_data"  // may have been replayed (RFC 8470)
	ReasonMisdirected = "misdirected" // over TLS, to a handler for plain HTTP
)

// An Error is why a request was refused.
type Error struct {
	// Reason is from a closed set: the Reason constants.
	Reason string

	// Credentials names what carried credentials over plain HTTP, as in
	// [PlaintextEvent].
	Credentials []string

	detail string // for operators; nothing that the client sent
}

// Error returns a text for operators.
func (e *Error) Error() string {
	if e.detail == "" {
		return "tlsredirect: " + e.Reason
	}
	return "tlsredirect: " + e.Reason + ": " + e.detail
}

// StatusCode returns the status that answers the error.
func (e *Error) StatusCode() int {
	switch e.Reason {
	case ReasonHost, ReasonMisdirected:
		return http.StatusMisdirectedRequest
	case ReasonEarlyData:
		return http.StatusTooEarly
	}
	return http.StatusForbidden
}

// WriteError answers r with the problem that fits err. It is the default
// ErrorHandler, for those who change one case only. What clients read is
// fixed for each reason; no text of err is in it.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	p := problem.Problem{Status: problem.Status(err, http.StatusInternalServerError)}
	if e, ok := errors.AsType[*Error](err); ok {
		switch e.Reason {
		case ReasonHost:
			p.Detail = "This service does not answer for the host that was asked for."
		case ReasonPlaintext, ReasonTarget:
			p.Detail = "This service is reached over HTTPS only. The request was not processed."
		case ReasonCredentials:
			p.Detail = "This service is reached over HTTPS only. The request was not processed, but its credentials travelled in clear: replace them."
		case ReasonProto:
			p.Detail = "The proxy in front of this service did not say how the client is connected. It must set X-Forwarded-Proto to http or https."
		case ReasonEarlyData:
			p.Detail = "The request came as TLS early data, which may be replayed. Send it again."
		case ReasonMisdirected:
			p.Detail = "Requests over HTTPS are not answered here."
		}
	}
	problem.Write(w, r, p)
}

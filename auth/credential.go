package auth

import (
	"net/http"
	"strings"

	"github.com/gatehouse-go/gatehouse/internal/report"
)

// BearerToken returns the token of r and its scheme, "Bearer" (RFC 6750) or
// "DPoP" (RFC 9449), for Authenticators. It looks in the Authorization header
// and nowhere else. The error is ErrNoCredentials where there is none or one of
// another scheme, and an *Error of Kind Malformed where there is not exactly
// one that is well formed.
func BearerToken(r *http.Request) (scheme, token string, err error) {
	values := r.Header["Authorization"]
	if len(values) == 0 {
		return "", "", ErrNoCredentials
	}
	if len(values) > 1 {
		return "", "", &Error{Kind: Malformed, Reason: ReasonDuplicate, Err: report.Causef("%d Authorization headers", len(values))}
	}
	given, token, ok := strings.Cut(values[0], " ")
	switch {
	case strings.EqualFold(given, "Bearer"):
		scheme = "Bearer"
	case strings.EqualFold(given, "DPoP"):
		scheme = "DPoP"
	default:
		return "", "", ErrNoCredentials
	}
	if !ok || token == "" || strings.ContainsAny(token, " \t,") {
		return "", "", &Error{Kind: Malformed, Reason: ReasonMalformed, Err: report.Cause("want one token after the scheme")}
	}
	if q := r.URL.RawQuery; q != "" && (strings.Contains(q, "access_token") || strings.Contains(q, "%")) && r.URL.Query().Has("access_token") {
		return "", "", &Error{Kind: Malformed, Reason: ReasonDuplicate, Err: report.Cause("a token in Authorization and another in the query")}
	}
	return scheme, token, nil
}

package auth

import (
	"net/http"
	"strings"

	"github.com/gatehouse-go/gatehouse/internal/report"
)

// The schemes of tokens. A cookie has none.
const (
	schemeBearer = "Bearer"
	schemeDPoP   = "DPoP"
	schemeCookie = ""
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
	case strings.EqualFold(given, schemeBearer):
		scheme = schemeBearer
	case strings.EqualFold(given, schemeDPoP):
		scheme = schemeDPoP
	default:
		return "", "", ErrNoCredentials
	}
	if !ok || token == "" || strings.IndexByte(token, ' ') >= 0 || strings.IndexByte(token, '\t') >= 0 || strings.IndexByte(token, ',') >= 0 {
		return "", "", &Error{Kind: Malformed, Reason: ReasonMalformed, Err: report.Cause("want one token after the scheme")}
	}
	if r.URL == nil { // made by hand
		return scheme, token, nil
	}
	if q := r.URL.RawQuery; q != "" && (strings.Contains(q, "access_token") || strings.Contains(q, "%")) && r.URL.Query().Has("access_token") {
		return "", "", &Error{Kind: Malformed, Reason: ReasonDuplicate, Err: report.Cause("a token in Authorization and another in the query")}
	}
	return scheme, token, nil
}

// isHostCookie reports whether name is that of a cookie which browsers send to
// the host that set it alone, and over TLS alone (RFC 6265bis section 4.1.3.2).
func isHostCookie(name string) bool {
	rest, ok := strings.CutPrefix(name, "__Host-")
	return ok && rest != "" && isToken(rest)
}

// isToken reports whether s is a token (RFC 9110 section 5.6.2).
func isToken(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
	})
}

// cookieToken returns the token in a cookie. Browsers send cookies along with
// whatever any page makes them send, so the page must be one of ours.
func cookieToken(r *http.Request, name string) (string, error) {
	cookies := r.CookiesNamed(name)
	switch {
	case len(cookies) == 0:
		return "", ErrNoCredentials
	case len(cookies) > 1:
		return "", &Error{Kind: Malformed, Reason: ReasonDuplicate, Err: report.Causef("%d cookies of one name", len(cookies))}
	case cookies[0].Value == "":
		return "", &Error{Kind: Malformed, Reason: ReasonMalformed, Err: report.Cause("an empty cookie")}
	case !sameOrigin(r):
		return "", &Error{Kind: Forbidden, Reason: ReasonOrigin, Err: report.Cause("a cookie with a request that no page of this origin made")}
	}
	return cookies[0].Value, nil
}

// sameOrigin reports whether a page of r's own origin made it. Every browser
// says so over TLS, in Sec-Fetch-Site (Fetch Metadata section 2.4), or in Origin
// (RFC 6454 section 7); who says nothing is no browser and can use the header.
func sameOrigin(r *http.Request) bool {
	switch site := r.Header["Sec-Fetch-Site"]; len(site) {
	case 0:
	case 1:
		// none: the user typed the address or followed a bookmark.
		return site[0] == "same-origin" || site[0] == "none" && isSafe(r.Method)
	default:
		return false
	}
	origins := r.Header["Origin"]
	if len(origins) != 1 {
		return false
	}
	host, ok := strings.CutPrefix(origins[0], "https://")
	return ok && r.Host != "" && strings.EqualFold(host, r.Host)
}

func isSafe(method string) bool { return method == http.MethodGet || method == http.MethodHead }

package tlsredirect

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A Plaintext is what becomes of requests over plain HTTP. Whatever it says,
// only GET and HEAD without body, without credentials and for one of Hosts are
// ever redirected, and all else is refused.
type Plaintext uint8

// The policies.
const (
	// RefuseAPI redirects what a person sent who typed an address: "/", and
	// whatever asks for HTML. A program that follows redirects never learns
	// that it sends its credentials in clear (OWASP ASVS 5.0 4.1.2).
	RefuseAPI Plaintext = iota

	// RedirectSafe redirects whatever is safe to redirect.
	RedirectSafe

	// RefuseAll redirects nothing.
	RefuseAll
)

// String returns the name of the policy.
func (p Plaintext) String() string {
	switch p {
	case RefuseAPI:
		return "RefuseAPI"
	case RedirectSafe:
		return "RedirectSafe"
	case RefuseAll:
		return "RefuseAll"
	}
	return "unknown"
}

// A PlaintextEvent tells of a request that was refused because it came over
// plain HTTP. Whoever listened on the way has read it.
type PlaintextEvent struct {
	Reason string // one of the Reason constants
	Status int    // of the refusal

	// Credentials names what carried credentials, never a value: headers, and
	// with a "?" in front query parameters. Those credentials should be
	// revoked; the hook finds them in the request.
	Credentials []string
}

// credentialHeaders are in canonical form.
var credentialHeaders = []string{ //nolint:gochecknoglobals // immutable
	"Authorization", "Proxy-Authorization", "Cookie", "X-Api-Key", "Api-Key", "Apikey", "X-Auth-Token", "X-Access-Token",
	"X-Csrf-Token", "X-Session-Token", "X-Vault-Token", "X-Amz-Security-Token", "Private-Token", "X-Goog-Api-Key",
}

var credentialParams = []string{ //nolint:gochecknoglobals // immutable
	"?access_token", "?api_key", "?api-key", "?apikey", "?auth", "?auth_token", "?client_secret", "?code", "?id_token", "?jwt", "?key",
	"?passwd", "?password", "?pwd", "?refresh_token", "?secret", "?session", "?sessionid", "?sig", "?signature", "?token",
}

// credentials names what in r carries credentials.
func credentials(r *http.Request) []string {
	var names []string
	for _, name := range credentialHeaders {
		if len(r.Header[name]) > 0 {
			names = append(names, name)
		}
	}
	if r.URL.User != nil { // http://user:password@host/ as a request target
		names = append(names, "userinfo")
	}
	for param := range strings.FieldsFuncSeq(r.URL.RawQuery, func(c rune) bool { return c == '&' || c == ';' }) {
		name, _, _ := strings.Cut(param, "=")
		if strings.ContainsAny(name, "%+") {
			name, _ = url.QueryUnescape(name) // "" if no server could read it either
		}
		for _, known := range credentialParams {
			if strings.EqualFold(name, known[1:]) && !slices.Contains(names, known) {
				names = append(names, known)
			}
		}
	}
	return names
}

// acceptsHTML reports whether the client asks for text/html by name, as
// browsers do and programs do not.
func acceptsHTML(r *http.Request) bool {
	for _, line := range r.Header["Accept"] {
		for entry := range strings.SplitSeq(line, ",") {
			mediaType, params, _ := strings.Cut(entry, ";")
			if strings.EqualFold(strings.Trim(mediaType, " \t"), "text/html") {
				q, weighted := strings.CutPrefix(strings.ToLower(strings.ReplaceAll(params, " ", "")), "q=0")
				return !weighted || strings.Trim(q, ".0") != "" // q=0 is "anything but"
			}
		}
	}
	return false
}

// plain decides about a request to host that came over plain HTTP.
func (rd *Redirector) plain(r *http.Request, host string) (location string, err *Error) {
	if names := credentials(r); len(names) > 0 {
		return "", &Error{Reason: ReasonCredentials, Credentials: names, detail: "carried " + strings.Join(names, ", ")}
	}
	refuse := func(detail string) (string, *Error) {
		return "", &Error{Reason: ReasonPlaintext, detail: detail}
	}
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return refuse("neither GET nor HEAD")
	case r.ContentLength != 0:
		return refuse("has a body")
	case rd.plaintext == RefuseAll:
		return refuse("nothing is redirected")
	case rd.plaintext == RefuseAPI && r.URL.Path != "/" && !acceptsHTML(r):
		return refuse("does not ask for HTML")
	}
	target, ok := requestTarget(r)
	if !ok {
		return "", &Error{Reason: ReasonTarget, detail: "the request target has bytes that no URL may have"}
	}
	return "https://" + host + rd.port + target, nil
}

// requestTarget returns path and query byte for byte as the client sent them:
// decoding and encoding again would ask for something else. What RFC 3986 has
// no place for is refused, since clients repair it each in a way of its own.
func requestTarget(r *http.Request) (string, bool) {
	target := r.RequestURI
	if target == "" { // a request that no server read
		target = r.URL.RequestURI()
	}
	if !strings.HasPrefix(target, "/") {
		// Absolute form, RFC 9112 section 3.2.2. Its host is r.Host already.
		_, rest, ok := strings.Cut(target, "://")
		if !ok {
			return "", false
		}
		target = "/"
		if i := strings.IndexAny(rest, "/?"); i >= 0 {
			target = rest[i:]
		}
		if target[0] == '?' {
			target = "/" + target
		}
	}
	query := false // where net/http lets a % stand for itself
	for i, c := range []byte(target) {
		query = query || c == '?'
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\\\"<>#", c) >= 0 || c == '%' && !query && !escapes(target[i:]) {
			return "", false
		}
	}
	return target, true
}

// escapes reports whether s begins with a percent-encoded byte.
func escapes(s string) bool {
	return len(s) >= 3 && isHex(s[1]) && isHex(s[2])
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }

package auth

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/gatehouse-go/gatehouse/internal/report"
)

// A target is an http or https URL without query and fragment, after the
// normalization of RFC 3986 sections 6.2.2 and 6.2.3: two that differ mean
// different things.
type target struct{ scheme, host, path string }

// parseTarget reads the URL in a proof. No dot segments are left in its path,
// so that no proof is for a request which has some: routers do not agree on
// what that asks for.
func parseTarget(s string) (target, bool) {
	t, ok := cutTarget(s)
	if !ok {
		return target{}, false
	}
	t.path = withoutDots(t.path)
	return t, true
}

// cutTarget is parseTarget, but for dot segments.
func cutTarget(s string) (t target, ok bool) {
	scheme, rest, ok := strings.Cut(s, "://")
	if t.scheme = strings.ToLower(scheme); !ok || t.scheme != "http" && t.scheme != "https" {
		return t, false
	}
	authority := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, rest = rest[:i], rest[i:]
	} else {
		rest = ""
	}
	if strings.ContainsFunc(authority, func(c rune) bool { return c <= ' ' || c > '~' || c == '@' }) {
		return t, false
	}
	if t.host = normalHost(t.scheme, authority); t.host == "" {
		return t, false
	}
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		rest = rest[:i]
	}
	t.path, ok = normalPath(rest)
	return t, ok
}

// normalHost returns a host in lower case and without the port that its scheme
// has anyway.
func normalHost(scheme, host string) string {
	host = strings.ToLower(host)
	port := ":443"
	if scheme == "http" {
		port = ":80"
	}
	return strings.TrimSuffix(strings.TrimSuffix(host, port), ":")
}

// normalPath returns a path with its hexadecimal digits in upper case and
// nothing encoded that need not be; false if it is none. What is beyond RFC
// 3986 and yet sent by browsers, such as brackets, stays as it is.
func normalPath(p string) (string, bool) {
	if p == "" {
		return "/", true
	}
	if p[0] != '/' {
		return "", false
	}
	for i := range len(p) {
		if c := p[i]; c <= ' ' || c > '~' || c == '#' || c == '?' || c == '\\' {
			return "", false
		}
	}
	if !strings.Contains(p, "%") {
		return p, true
	}
	b := make([]byte, 0, len(p))
	for i := 0; i < len(p); i++ {
		if p[i] != '%' {
			b = append(b, p[i])
			continue
		}
		if i+2 >= len(p) || !isHex(p[i+1]) || !isHex(p[i+2]) {
			return "", false
		}
		if c := unhex(p[i+1])<<4 | unhex(p[i+2]); unreserved(c) {
			b = append(b, c)
		} else {
			const digits = "0123456789ABCDEF"
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
		i += 2
	}
	return string(b), true
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return (c | 0x20) - 'a' + 10
}

// unreserved reports whether c means the same, encoded or not (RFC 3986
// section 2.3).
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

func hasDots(path string) bool {
	if !strings.Contains(path, "/.") {
		return false
	}
	return slices.ContainsFunc(strings.Split(path, "/"), func(s string) bool { return s == "." || s == ".." })
}

// withoutDots removes dot segments (RFC 3986 section 5.2.4).
func withoutDots(path string) string {
	if !hasDots(path) {
		return path
	}
	segments := strings.Split(path, "/")
	kept := segments[:1] // what is before the first slash: nothing
	for i, s := range segments[1:] {
		switch {
		case s != "." && s != "..":
			kept = append(kept, s)
			continue
		case s == ".." && len(kept) > 1:
			kept = kept[:len(kept)-1]
		}
		if i == len(segments)-2 {
			kept = append(kept, "")
		}
	}
	return strings.Join(kept, "/")
}

// parseOrigin reads Config.Origin.
func parseOrigin(s string) (target, error) {
	t, ok := cutTarget(s)
	switch {
	case !ok || strings.ContainsAny(s, "?#"):
		return t, fmt.Errorf("is %q, want such as %q", s, "https://api.example.com")
	case hasDots(t.path):
		return t, fmt.Errorf("is %q, want a path without dot segments", s)
	case t.scheme == "http" && !isLoopback(t.host):
		return t, fmt.Errorf("is %q, want https", s)
	}
	t.path = strings.TrimSuffix(t.path, "/")
	return t, nil
}

func isLoopback(host string) bool {
	if ap, err := netip.ParseAddrPort(host); err == nil {
		return ap.Addr().IsLoopback()
	}
	if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return addr.IsLoopback()
	}
	name, _, _ := strings.Cut(host, ":")
	return name == "localhost"
}

// target is the URL of r as its client knows it.
func (d *DPoP) target(r *http.Request) (t target, err error) {
	path, ok := requestPath(r)
	if !ok {
		return t, report.Cause("the request is for no path")
	}
	if d.origin != nil {
		t = *d.origin
		t.path += path
		return t, nil
	}
	if d.trust != nil {
		t.scheme, ok = d.trust.Scheme(r)
		if !ok {
			return t, report.Cause("the proxy does not say whether the request came over TLS: set Origin, or make it send X-Forwarded-Proto")
		}
	} else if t.scheme = "http"; r.TLS != nil {
		t.scheme = "https"
	}
	t.host, t.path = normalHost(t.scheme, r.Host), path
	return t, nil
}

// requestPath returns the normal path of the request line, which muxes and
// http.StripPrefix leave as it was.
func requestPath(r *http.Request) (string, bool) {
	line := r.RequestURI
	switch {
	case line == "" && r.URL != nil: // not from a server
		return normalPath(r.URL.EscapedPath())
	case strings.HasPrefix(line, "/"):
		line, _, _ = strings.Cut(line, "?")
		return normalPath(line)
	}
	t, ok := cutTarget(line)
	return t.path, ok
}

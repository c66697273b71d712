package tlsredirect_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/tlsredirect"
)

// FuzzParseHost: what is a host is one in its one form, which net/url reads
// back as it is, and which is no longer than what a DNS name may be.
func FuzzParseHost(f *testing.F) {
	for _, s := range []string{
		"example.com", "EXAMPLE.com.:8080", "0..", "[::1]:80", "[::ffff:192.0.2.1]", "192.0.2.1.", "127.1", "0x7f.1", "a:80:443", "a,b",
		"a%0d%0ab", "a@b", "[fe80::1%25eth0]", "xn--bcher-kva.example", "_dmarc.example.com", "-a", "a-", "", ".", "[", "ß", "1.2.3.4.5",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, ok := tlsredirect.ParseHost(s)
		if !ok {
			if h != "" {
				t.Errorf("%q is no host and gives %q", s, h)
			}
			return
		}
		if again, ok := tlsredirect.ParseHost(h); !ok || again != h {
			t.Errorf("%q gives %q, and that gives %q, %v", s, h, again, ok)
		}
		if h == "" || len(h) > 253 || h != strings.ToLower(h) || strings.HasSuffix(h, ".") {
			t.Errorf("%q gives %q, which is not the one form", s, h)
		}
		u, err := url.Parse("https://" + h + "/x")
		if err != nil || u.Host != h || u.Path != "/x" || u.User != nil || u.Port() != "" {
			t.Errorf("%q gives %q, which net/url reads as %+v, %v", s, h, u, err)
		}
	})
}

// FuzzLocation: whatever a client sends, a redirect leads to a host on the
// list, by https, on the right port, to what the client asked for.
func FuzzLocation(f *testing.F) {
	for _, s := range [][2]string{
		{"example.com", "/"},
		{"a.example.com:80", "//evil.com/"},
		{"[::1]", "/\\evil.com"},
		{"evil.com", "/x?y#z"},
		{"example.com@evil.com", "http://evil.com@example.com/"},
		{"example.com", "https://example.com?x"},
		{"example.com", "http://example.com/é"},
		{"example.com", "/a%2fb?c=%0d%0a"},
		{"EXAMPLE.COM.", "*"},
		{"example.com", "/%"},
		{"example.com", "/%2?%"},
	} {
		f.Add(s[0], s[1], s[1])
	}
	rd := newRedirector(f, tlsredirect.Config{
		Hosts: []string{"example.com", "*.example.com", "::1"}, HTTPSPort: 8443, Plaintext: tlsredirect.RedirectSafe,
	})
	f.Fuzz(func(t *testing.T, host, uri, query string) {
		u, err := url.ParseRequestURI(uri)
		if err != nil {
			u = &url.URL{Path: uri} // a router may have put anything there
		}
		u.RawQuery += query
		r := &http.Request{Method: http.MethodGet, Host: host, RequestURI: uri, URL: u, Header: http.Header{}, RemoteAddr: "192.0.2.1:1"}
		v, err := rd.Check(r)
		if err != nil {
			if v.Location != "" || v.Secure {
				t.Errorf("%q %q: %+v beside %v", host, uri, v, err)
			}
			return
		}
		if v.Secure || v.Location == "" {
			t.Fatalf("%q %q: %+v: plain HTTP passes", host, uri, v)
		}
		got, err := url.Parse(v.Location)
		if err != nil {
			t.Fatalf("%q %q: Location %q: %v", host, uri, v.Location, err)
		}
		name := got.Hostname()
		if name != "example.com" && !strings.HasSuffix(name, ".example.com") && name != "::1" {
			t.Errorf("%q %q: Location %q names %q", host, uri, v.Location, name)
		}
		if got.Scheme != "https" || got.User != nil || got.Port() != "8443" || got.Fragment != "" {
			t.Errorf("%q %q: Location %q", host, uri, v.Location)
		}
		target, ok := tlsredirect.RequestTarget(r)
		if !ok || !strings.HasSuffix(v.Location, ":8443"+target) {
			t.Errorf("%q %q: Location %q, want it to end with %q", host, uri, v.Location, target)
		}
		if strings.HasPrefix(uri, "/") && target != uri {
			t.Errorf("%q became %q", uri, target)
		}
		// Browsers take a backslash for a slash and skip control characters
		// (WHATWG URL section 4.4), and net/http would encode the rest.
		for _, c := range []byte(v.Location) {
			if c <= ' ' || c >= 0x7f || strings.IndexByte("\\\"<>#", c) >= 0 {
				t.Errorf("%q %q: Location %q has the byte %q", host, uri, v.Location, c)
			}
		}
	})
}

// FuzzForwardedProto: without TLS, nothing in a request of somebody whom
// nobody trusts makes it pass.
func FuzzForwardedProto(f *testing.F) {
	for _, s := range [][3]string{
		{"X-Forwarded-Proto", "https", "http"}, {"Forwarded", "proto=https", ""}, {"X-Forwarded-Ssl", "on", "on"}, {"X_forwarded_proto", "https", ""}, {"Host", "localhost", ""},
	} {
		f.Add(s[0], s[1], s[2])
	}
	rd := newRedirector(f, tlsredirect.Config{Hosts: []string{"example.com"}, Trust: newTrust(f, "10.0.0.0/8"), InsecureAllowLoopback: true})
	f.Fuzz(func(t *testing.T, name, first, second string) {
		for _, remote := range []string{"192.0.2.1:1", "127.0.0.1:1"} {
			r := request(http.MethodPost, "http://example.com/orders")
			r.RemoteAddr = remote
			r.Header.Add(name, first)
			r.Header.Add(name, second)
			if v, err := rd.Check(r); err == nil {
				t.Errorf("%s: %q, %q from %s: %+v, want a refusal", name, first, second, remote, v)
			}
		}
	})
}

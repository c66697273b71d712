package auth

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// FuzzCompact: what is taken apart is one spelling of three parts, and put
// together again it is what it was.
func FuzzCompact(f *testing.F) {
	for _, seed := range []string{
		"eyJhbGciOiJFUzI1NiJ9.e30.AAAA", "a.b.c", "..", "e30.e30.", "e30.e30.AB", "e30.e3\n0.AA", "e30=.e30.AA", "e30.e30.AA.AA.AA", "e30+.e30.AA", "{}", "",
	} {
		f.Add(seed)
	}
	form := regexp.MustCompile(`^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\z`)
	f.Fuzz(func(t *testing.T, s string) {
		c, err := split(s)
		if (err == nil) != (len(s) <= maxToken && form.MatchString(s)) {
			t.Fatalf("split(%q) = %v", s, err)
		}
		if err != nil {
			if shape := len(s) <= maxToken && strings.Count(s, ".") != 2; errors.Is(err, ErrNoCredentials) != shape {
				t.Errorf("split(%q) = %v, another's form: %t", s, err, shape)
			}
			return
		}
		payload, signature, err := c.decode()
		if err != nil {
			return
		}
		if again := c.header + "." + base64.RawURLEncoding.EncodeToString(payload) + "." + base64.RawURLEncoding.EncodeToString(signature); again != s || c.signed+"."+c.signature != s {
			t.Errorf("%q is %q again", s, again)
		}
	})
}

// FuzzAuthorization: a token is all that stands behind its scheme and one
// space, and no request has two.
func FuzzAuthorization(f *testing.F) {
	for _, seed := range [][2]string{
		{"Bearer abc", ""}, {"bearer  abc", ""}, {"DPoP a,b", ""}, {"Bearer", ""}, {"Basic eDp5", ""}, {"Bearer a\tb", ""}, {"Bearer a", "access_token=b"}, {"Bearer a", "%61ccess_token"}, {"", ""},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, header, query string) {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Header["Authorization"] = []string{header}
		r.URL.RawQuery = query
		scheme, token, err := BearerToken(r)
		given, rest, _ := strings.Cut(header, " ")
		ours := strings.EqualFold(given, "Bearer") || strings.EqualFold(given, "DPoP")
		switch e, _ := errors.AsType[*Error](err); {
		case err == nil:
			if !strings.EqualFold(scheme, given) || token != rest || token == "" || strings.ContainsAny(token, " \t,") || r.URL.Query().Has("access_token") {
				t.Errorf("BearerToken = %q, %q of %q with ?%s", scheme, token, header, query)
			}
		case errors.Is(err, ErrNoCredentials):
			if ours {
				t.Errorf("no credentials in %q", header)
			}
		case e == nil || e.Kind != Malformed || !ours:
			t.Errorf("BearerToken of %q = %v, want it malformed", header, err)
		}
		r.Header["Authorization"] = []string{header, header}
		if _, _, err := BearerToken(r); err == nil {
			t.Errorf("two times %q is one", header)
		}
	})
}

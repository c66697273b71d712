package authtest_test

import (
	"encoding/base64"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/authtest"
)

// Each broken token is refused, for the reason that it gives.
func TestBroken(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"ES256", "ES384", "ES512", "EdDSA", "PS384", "RS256"} {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { testBroken(t, alg) })
		})
	}
}

func testBroken(t *testing.T, alg string) {
	t.Helper()
	i := newIssuer(t, authtest.Config{Algorithm: alg})
	s := newService(t, discoverer(t, i))
	if w := s.get(i.Token(nil)); w.Code != http.StatusOK {
		t.Fatalf("status of a good token = %d, want 200", w.Code)
	}
	names := make(map[string]bool)
	for _, b := range i.Broken() {
		if names[b.Name] {
			t.Errorf("two tokens are called %q", b.Name)
		}
		names[b.Name] = true
		w := s.get(b.Token)
		want := http.StatusUnauthorized
		if s.last.Status == http.StatusBadRequest && b.Reason == auth.ReasonMalformed {
			want = http.StatusBadRequest
		}
		if w.Code != want || s.last.Reason != b.Reason {
			t.Errorf("%s: status %d, reason %q (%s), want %d, %q", b.Name, w.Code, s.last.Reason, s.last.Detail, want, b.Reason)
		}
	}
	if len(names) < 300 {
		t.Errorf("there are %d tokens, want hundreds", len(names))
	}
	// Nor does any of them cost the issuer anything.
	if discovery, jwks := i.Fetches(); discovery != 1 || jwks != 1 {
		t.Errorf("%d fetches of the metadata and %d of the keys, want one of each", discovery, jwks)
	}
}

// With one key, a token needs no kid; with two it does. Nor do several audiences
// make a difference.
func TestBrokenWithSeveralKeys(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, authtest.Config{Audience: []string{"api", "billing"}})
	one := len(i.Broken())
	i.Rotate()
	s := newService(t, verifier(t, i))
	two := i.Broken()
	if len(two) != one+2 {
		t.Errorf("there are %d tokens with one key and %d with two, want two more", one, len(two))
	}
	for _, b := range two {
		if s.get(b.Token); s.last.Reason != b.Reason {
			t.Errorf("%s: reason %q, want %q", b.Name, s.last.Reason, b.Reason)
		}
	}
}

// A token that is broken in two ways would prove nothing about either: those
// whose fault is in the claims are signed as they should be, and have no more
// claims than that one, and what goes with it, that differ from a good token's.
func TestBrokenTokensHaveOneFault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t, authtest.Config{})
		key := publicKey(t, i)
		good := part(t, i.Token(nil), 1)
		header := part(t, i.Token(nil), 0)
		seen := make(map[string]int)
		for _, b := range i.Broken() {
			parts := strings.Split(b.Token, ".")
			seen[b.Reason]++
			switch b.Reason {
			case auth.ReasonClaims, auth.ReasonIssuer, auth.ReasonAudience, auth.ReasonExpired, auth.ReasonNotYet, auth.ReasonBinding, auth.ReasonType, auth.ReasonCritical:
				signature, err := base64.RawURLEncoding.DecodeString(parts[2])
				if err != nil || len(parts) != 3 {
					t.Fatalf("%s is not well formed", b.Name)
				}
				if err := jwt.SigningMethodES256.Verify(parts[0]+"."+parts[1], signature, key); err != nil {
					t.Errorf("%s is not signed", b.Name)
				}
				if strings.HasPrefix(b.Name, "claims: ") || strings.Contains(b.Name, "1e400") { // not for encoding/json to read
					continue
				}
				for n, good := range []map[string]any{header, good} {
					changed := differences(good, part(t, b.Token, n))
					allowed := []string{"jti", strings.Fields(b.Name)[0], "exp", "iat", "x", "b64", "crit"}
					for _, name := range changed {
						if !slices.Contains(allowed, name) {
							t.Errorf("%s also changes %s", b.Name, name)
						}
					}
				}
			}
		}
		for _, reason := range []string{
			auth.ReasonMalformed, auth.ReasonOversize, auth.ReasonAlgorithm, auth.ReasonType, auth.ReasonCritical, auth.ReasonKey, auth.ReasonSignature,
			auth.ReasonClaims, auth.ReasonIssuer, auth.ReasonAudience, auth.ReasonExpired, auth.ReasonNotYet, auth.ReasonBinding,
		} {
			if seen[reason] < 4 {
				t.Errorf("%d tokens are broken by %s, want several", seen[reason], reason)
			}
		}
		time.Sleep(time.Hour) // a bubble's clock moves: they were good at their time
		if p, err := verifier(t, i).Verify(t.Context(), i.Token(nil)); err != nil {
			t.Errorf("Verify an hour later = %v, %v", p, err)
		}
	})
}

// differences are the names whose values differ.
func differences(a, b map[string]any) []string {
	var names []string
	for name := range a {
		if !reflect.DeepEqual(a[name], b[name]) {
			names = append(names, name)
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			names = append(names, name)
		}
	}
	return names
}

// A careless reader, golang-jwt with what its documentation shows, admits some:
// the tokens are not broken so badly that anybody would refuse them.
func TestBrokenTokensFoolTheCareless(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, authtest.Config{})
	key := publicKey(t, i)
	fooled := make(map[string]bool)
	for _, b := range i.Broken() {
		if _, err := jwt.Parse(b.Token, func(*jwt.Token) (any, error) { return key, nil }); err == nil {
			fooled[b.Reason] = true
		}
	}
	for _, reason := range []string{
		auth.ReasonMalformed, auth.ReasonType, auth.ReasonCritical, auth.ReasonKey, auth.ReasonClaims, auth.ReasonIssuer,
		auth.ReasonAudience, auth.ReasonBinding, auth.ReasonOversize, auth.ReasonNotYet,
	} {
		if !fooled[reason] {
			t.Errorf("no token that is broken by %s was admitted", reason)
		}
	}
}

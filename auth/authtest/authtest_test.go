package authtest_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/authtest"
	"github.com/gatehouse-go/gatehouse/auth/principal"
)

func newIssuer(tb testing.TB, cfg authtest.Config) *authtest.Issuer {
	tb.Helper()
	i, err := authtest.NewIssuer(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(i.Close)
	return i
}

// verifier is of a service called api that knows the issuer's present keys.
func verifier(tb testing.TB, i *authtest.Issuer) *auth.JWT {
	tb.Helper()
	return newJWT(tb, auth.JWTConfig{}, auth.Issuer{URL: i.URL(), Audience: []string{"api"}, Keys: auth.StaticJWKS(i.JWKS())})
}

// discoverer is of a service called api that finds the issuer's keys.
func discoverer(tb testing.TB, i *authtest.Issuer) *auth.JWT {
	tb.Helper()
	return newJWT(tb, auth.JWTConfig{HTTPClient: i.Client()}, auth.Issuer{URL: i.URL(), Audience: []string{"api"}})
}

func newJWT(tb testing.TB, cfg auth.JWTConfig, issuer auth.Issuer) *auth.JWT {
	tb.Helper()
	cfg.Issuers = []auth.Issuer{issuer}
	j, err := auth.NewJWT(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = j.Close() })
	return j
}

// A service is a handler behind a Gate that tells its decisions.
type service struct {
	http.Handler
	last decision.Decision
}

func newService(tb testing.TB, j *auth.JWT) *service {
	tb.Helper()
	s := new(service)
	gate, err := auth.New(auth.Config{
		Authenticators: []auth.Authenticator{j},
		OnDecision:     func(_ context.Context, d decision.Decision) { s.last = d },
	})
	if err != nil {
		tb.Fatal(err)
	}
	s.Handler = gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := principal.FromContext(r.Context())
		_, _ = io.WriteString(w, p.Subject)
	}))
	return s
}

func (s *service) get(token string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "https://api.test/orders", http.NoBody)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// fetch returns the body of a GET, and fails if it is no JSON object.
func fetch(tb testing.TB, c *http.Client, url string) (map[string]any, http.Header) {
	tb.Helper()
	r, err := c.Get(url)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	var m map[string]any
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil || r.StatusCode != http.StatusOK {
		tb.Fatalf("GET %s = %d, %v", url, r.StatusCode, err)
	}
	return m, r.Header
}

// part decodes a part of a token.
func part(tb testing.TB, token string, n int) map[string]any {
	tb.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[n])
	if err != nil {
		tb.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		tb.Fatal(err)
	}
	return m
}

func TestNewIssuerReportsEveryMistake(t *testing.T) {
	t.Parallel()
	_, err := authtest.NewIssuer(authtest.Config{
		URL: "issuer.test", Audience: []string{"api", ""}, Algorithm: "HS256",
		Clients:  map[string]authtest.Client{"": {}, "web": {Secret: "s3cret", Scopes: []string{"a b"}}},
		Metadata: map[string]any{"x": func() {}},
	})
	want := strings.Join([]string{
		`authtest: URL is "issuer.test", want one such as "https://issuer.test"`,
		`authtest: Audience has an empty name`,
		`authtest: Algorithm is "HS256", want one of ["ES256" "ES384" "ES512" "EdDSA" "PS256" "PS384" "PS512" "RS256" "RS384" "RS512"]`,
		`authtest: Clients[""] has an empty id or secret`,
		`authtest: Clients["web"].Scopes has "a b", want a scope-token`,
		`authtest: Metadata is not JSON: json: unsupported type: func()`,
	}, "\n")
	if err == nil || err.Error() != want {
		t.Errorf("NewIssuer =\n%v\nwant\n%s", err, want)
	}
	for _, u := range []string{"https://", "ftp://issuer.test", "https://issuer.test?x=y", "https://issuer.test/#x", "https://u@issuer.test", "https://issuer.test/?"} {
		if _, err := authtest.NewIssuer(authtest.Config{URL: u}); err == nil {
			t.Errorf("NewIssuer with the URL %q succeeded", u)
		}
	}
}

func TestTokensAreAdmitted(t *testing.T) {
	t.Parallel()
	for _, alg := range authtest.Algorithms() {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			i := newIssuer(t, authtest.Config{Algorithm: alg})
			j := verifier(t, i)
			p, err := j.Verify(t.Context(), i.Token(map[string]any{"scope": "orders:read"}))
			if err != nil {
				t.Fatal(err)
			}
			if p.Issuer != "https://issuer.test" || p.Subject != "alice" || p.ClientID != "web" || p.TokenID == "" || !p.HasScope("orders:read") {
				t.Errorf("principal = %+v", p)
			}
			if got := p.ExpiresAt.Sub(p.IssuedAt); got != 5*time.Minute {
				t.Errorf("lifetime = %v, want 5m", got)
			}
			raw := i.SignRaw([]byte(`{"alg":"`+alg+`"}`), []byte(fmt.Sprintf(`{"iss":"https://issuer.test","sub":"bob","aud":"api","exp":%d}`, time.Now().Unix()+60)))
			if p, err := j.Verify(t.Context(), raw); err != nil || p.Subject != "bob" {
				t.Errorf("Verify of a token from SignRaw = %v, %v", p, err)
			}
		})
	}
}

// RFC 9068 section 2.
func TestTokenIsOfTheProfile(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, authtest.Config{Subject: "carol", Audience: []string{"api", "billing"}})
	token := i.Token(map[string]any{"tier": "gold", "client_id": nil})
	header, claims := part(t, token, 0), part(t, token, 1)
	if want := map[string]any{"alg": "ES256", "kid": i.KeyID(), "typ": "at+jwt"}; !reflect.DeepEqual(header, want) {
		t.Errorf("header = %v, want %v", header, want)
	}
	if got, want := slices.Sorted(maps.Keys(claims)), []string{"aud", "exp", "iat", "iss", "jti", "sub", "tier"}; !slices.Equal(got, want) {
		t.Errorf("claims = %q, want %q", got, want)
	}
	if !reflect.DeepEqual(claims["aud"], []any{"api", "billing"}) || claims["sub"] != "carol" {
		t.Errorf("aud = %v, sub = %v", claims["aud"], claims["sub"])
	}
	if other := part(t, i.Token(nil), 1); other["jti"] == claims["jti"] {
		t.Error("two tokens have one jti")
	}
}

func TestSign(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, authtest.Config{})
	token := i.Sign(map[string]any{"typ": nil, "kid": "x", "y": 1}, map[string]any{"sub": "bob"})
	if got, want := part(t, token, 0), (map[string]any{"alg": "ES256", "kid": "x", "y": 1.0}); !reflect.DeepEqual(got, want) {
		t.Errorf("header = %v, want %v", got, want)
	}
	if got, want := part(t, token, 1), (map[string]any{"sub": "bob"}); !reflect.DeepEqual(got, want) {
		t.Errorf("claims = %v, want %v", got, want)
	}
	raw := i.SignRaw([]byte("no JSON"), []byte{0xff})
	if want := base64.RawURLEncoding.EncodeToString([]byte("no JSON")) + "._w."; !strings.HasPrefix(raw, want) {
		t.Errorf("SignRaw = %q, want it to begin with %q", raw, want)
	}
}

func TestDelegate(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, authtest.Config{})
	p, err := verifier(t, i).Verify(t.Context(), i.Delegate("alice", "shipper", "orders:read", "orders:list"))
	if err != nil {
		t.Fatal(err)
	}
	if p.Subject != "alice" || p.ClientID != "shipper" || !slices.Equal(p.Scopes, []string{"orders:read", "orders:list"}) || p.Kind != principal.User {
		t.Errorf("principal = %+v", p)
	}
	if p.Actor == nil || p.Actor.Subject != "shipper" {
		t.Errorf("Actor = %+v, want shipper", p.Actor)
	}
}

func TestMisusePanics(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, authtest.Config{})
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	for want, f := range map[string]func(){
		"authtest: Delegate without a subject or without a client":                                                                         func() { i.Delegate("alice", "") },
		`authtest: Delegate with the scope "a b", want a scope-token`:                                                                      func() { i.Delegate("alice", "web", "a b") },
		`authtest: Retire of "x", which is not published`:                                                                                  func() { i.Retire("x") },
		"authtest: json: unsupported type: func()":                                                                                         func() { i.Token(map[string]any{"x": func() {}}) },
		"authtest: Intercept with a middleware that returns nil":                                                                           func() { i.Intercept(func(http.Handler) http.Handler { return nil }) },
		"authtest: WithPrincipal with a Principal that lacks Issuer or Subject":                                                            func() { authtest.WithPrincipal(r, &principal.Principal{Subject: "alice"}) },
		`authtest: NewProofKey for "HS256", want one of ["ES256" "ES384" "ES512" "EdDSA" "PS256" "PS384" "PS512" "RS256" "RS384" "RS512"]`: func() { authtest.NewProofKey("HS256") },
	} {
		func() {
			defer func() {
				if got := recover(); got != want {
					t.Errorf("panic = %v, want %v", got, want)
				}
			}()
			f()
		}()
	}
	if _, err := verifier(t, i).Verify(t.Context(), i.Token(nil)); err != nil {
		t.Errorf("the issuer is broken by misuse: %v", err)
	}
}

func TestWithPrincipal(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	want := &principal.Principal{Issuer: "https://issuer.test", Subject: "alice"}
	if got, ok := principal.FromContext(authtest.WithPrincipal(r, want).Context()); !ok || got != want {
		t.Errorf("FromContext = %v, %v, want %v", got, ok, want)
	}
	if _, ok := principal.FromContext(r.Context()); ok {
		t.Error("the request that was handed over has a caller, too")
	}
}

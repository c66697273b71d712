package authtest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/authtest"
	"github.com/gatehouse-go/gatehouse/auth/principal"
)

func TestDiscovery(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		url, oidc, oauth string
	}{
		{"https://issuer.test", "https://issuer.test/.well-known/openid-configuration", "https://issuer.test/.well-known/oauth-authorization-server"},
		{"https://issuer.test/", "https://issuer.test/.well-known/openid-configuration", "https://issuer.test/.well-known/oauth-authorization-server"},
		{"https://issuer.test/a/b", "https://issuer.test/a/b/.well-known/openid-configuration", "https://issuer.test/.well-known/oauth-authorization-server/a/b"},
		{"https://issuer.test/{tenant}/v2.0", "https://issuer.test/%7Btenant%7D/v2.0/.well-known/openid-configuration", "https://issuer.test/.well-known/oauth-authorization-server/%7Btenant%7D/v2.0"},
	} {
		t.Run(tt.url, func(t *testing.T) {
			t.Parallel()
			i := newIssuer(t, authtest.Config{
				URL: tt.url, Algorithm: "EdDSA", Metadata: map[string]any{"subject_types_supported": nil, "x": 1},
				Clients: map[string]authtest.Client{"a": {Secret: "a", Scopes: []string{"r", "w"}}, "b": {Secret: "b", Scopes: []string{"r"}}},
			})
			base := strings.TrimSuffix(tt.url, "/")
			want := map[string]any{
				"issuer": tt.url, "jwks_uri": base + "/jwks", "token_endpoint": base + "/token",
				"token_endpoint_auth_methods_supported": []any{"client_secret_basic", "client_secret_post"},
				"grant_types_supported":                 []any{"client_credentials"},
				"response_types_supported":              []any{"none"},
				"id_token_signing_alg_values_supported": []any{"EdDSA"},
				"scopes_supported":                      []any{"r", "w"},
				"x":                                     1.0,
			}
			for _, u := range []string{tt.oidc, tt.oauth} {
				doc, header := fetch(t, i.Client(), u)
				if !reflect.DeepEqual(doc, want) {
					t.Errorf("metadata at %s = %v\nwant %v", u, doc, want)
				}
				if got := header.Get("Content-Type"); got != "application/json" {
					t.Errorf("Content-Type = %q", got)
				}
			}
			set, _ := fetch(t, i.Client(), want["jwks_uri"].(string))
			key := set["keys"].([]any)[0].(map[string]any)
			for name, want := range map[string]any{"kid": i.KeyID(), "alg": "EdDSA", "use": "sig", "kty": "OKP"} {
				if key[name] != want {
					t.Errorf("%s = %v, want %v", name, key[name], want)
				}
			}
			if _, ok := key["d"]; ok {
				t.Error("the JWKS has a private key")
			}
		})
	}
}

func TestCacheControl(t *testing.T) {
	t.Parallel()
	for maxAge, want := range map[time.Duration]string{0: "public, max-age=300", time.Minute: "public, max-age=60", -1: "no-store"} {
		i := newIssuer(t, authtest.Config{MaxAge: maxAge})
		if _, header := fetch(t, i.Client(), i.JWKSURL()); header.Get("Cache-Control") != want {
			t.Errorf("Cache-Control with MaxAge %v = %q, want %q", maxAge, header.Get("Cache-Control"), want)
		}
	}
}

func TestTokenEndpoint(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, authtest.Config{Clients: map[string]authtest.Client{
		"shipper":  {Secret: "s3cret +%/=é", Scopes: []string{"orders:read", "orders:write"}},
		"no:scope": {Secret: "x"},
	}})
	form := func(pairs ...string) url.Values {
		v := url.Values{"grant_type": {"client_credentials"}}
		for n := 0; n < len(pairs); n += 2 {
			v.Add(pairs[n], pairs[n+1])
		}
		return v
	}
	for _, tt := range []struct {
		name         string
		user, secret string // of Basic, encoded as in a form
		form         url.Values
		status       int
		want         string // the scope, or the error
	}{
		{"basic", "shipper", "s3cret +%/=é", form(), 200, "orders:read orders:write"},
		{"basic, one scope", "shipper", "s3cret +%/=é", form("scope", "orders:write"), 200, "orders:write"},
		{"basic, its client_id as well", "shipper", "s3cret +%/=é", form("client_id", "shipper"), 200, "orders:read orders:write"},
		{"post", "", "", form("client_id", "shipper", "client_secret", "s3cret +%/=é"), 200, "orders:read orders:write"},
		{"client without scopes", "no:scope", "x", form(), 200, ""},

		{"wrong secret", "shipper", "s3cret", form(), 401, "invalid_client"},
		{"empty secret", "shipper", "", form(), 401, "invalid_client"},
		{"unknown client", "nobody", "x", form(), 401, "invalid_client"},
		{"another's secret", "no:scope", "s3cret +%/=é", form(), 401, "invalid_client"},
		{"another client in the form", "shipper", "s3cret +%/=é", form("client_id", "no:scope"), 401, "invalid_client"},
		{"no client", "", "", form(), 401, "invalid_client"},
		{"post without a secret", "", "", form("client_id", "shipper"), 401, "invalid_client"},
		{"two ways", "shipper", "s3cret +%/=é", form("client_secret", "s3cret +%/=é"), 400, "invalid_request"},
		{"a parameter twice", "shipper", "s3cret +%/=é", form("scope", "orders:read", "scope", "orders:write"), 400, "invalid_request"},
		{"no grant type", "shipper", "s3cret +%/=é", url.Values{}, 400, "invalid_request"},
		{"another grant type", "shipper", "s3cret +%/=é", url.Values{"grant_type": {"password"}}, 400, "unsupported_grant_type"},
		{"a scope too many", "shipper", "s3cret +%/=é", form("scope", "orders:read admin"), 400, "invalid_scope"},
		{"an empty scope", "shipper", "s3cret +%/=é", form("scope", ""), 400, "invalid_scope"},
		{"too long", "shipper", "s3cret +%/=é", form("x", strings.Repeat("x", 70<<10)), 400, "invalid_request"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, i.TokenURL(), strings.NewReader(tt.form.Encode()))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if tt.user != "" {
				r.SetBasicAuth(url.QueryEscape(tt.user), url.QueryEscape(tt.secret))
			}
			w, err := i.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = w.Body.Close() }()
			var answer struct {
				AccessToken  string `json:"access_token"`
				TokenType    string `json:"token_type"`
				ExpiresIn    int    `json:"expires_in"`
				Scope, Error string
			}
			if err := json.NewDecoder(w.Body).Decode(&answer); err != nil {
				t.Fatal(err)
			}
			if got := answer.Scope + answer.Error; w.StatusCode != tt.status || got != tt.want {
				t.Errorf("answer = %d %q, want %d %q", w.StatusCode, got, tt.status, tt.want)
			}
			if got := w.Header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control = %q, want no-store", got)
			}
			if got := w.Header.Get("WWW-Authenticate") != ""; got != (tt.status == http.StatusUnauthorized) {
				t.Errorf("a challenge with %d: %v", tt.status, got)
			}
			if tt.status != http.StatusOK {
				if answer.AccessToken != "" {
					t.Error("a token beside an error")
				}
				return
			}
			if answer.TokenType != "Bearer" || answer.ExpiresIn != 300 {
				t.Errorf("answer = %+v", answer)
			}
			p, err := verifier(t, i).Verify(t.Context(), answer.AccessToken)
			if err != nil {
				t.Fatal(err)
			}
			id := tt.user + tt.form.Get("client_id")
			if p.Kind != principal.Client || !strings.HasPrefix(id, p.Subject) || p.ClientID != p.Subject || strings.Join(p.Scopes, " ") != tt.want {
				t.Errorf("principal = %+v", p)
			}
		})
	}
}

func TestOtherRequests(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, authtest.Config{URL: "https://issuer.test/a"})
	for request, want := range map[string]int{
		"GET /a/jwks": 200, "HEAD /a/jwks": 200, "POST /a/jwks": 404, "GET /jwks": 404, "GET /a/jwks/": 404, "GET /": 404,
		"GET /a/token": 405, "POST /token": 404, "DELETE /a/.well-known/openid-configuration": 404,
		"GET /.well-known/openid-configuration": 404, "GET /a/.well-known/oauth-authorization-server": 404,
	} {
		method, path, _ := strings.Cut(request, " ")
		r, err := http.NewRequestWithContext(t.Context(), method, "https://issuer.test"+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		w, err := i.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, w.Body)
		_ = w.Body.Close()
		if w.StatusCode != want {
			t.Errorf("%s = %d, want %d", request, w.StatusCode, want)
		}
	}
}

// A development server is printed like any other.
func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	const secret = "s3cret-of-the-shipper"
	cfg := authtest.Config{Clients: map[string]authtest.Client{"shipper": {Secret: secret, Scopes: []string{"orders:read"}}}}
	i := newIssuer(t, cfg)
	var out strings.Builder
	logger := slog.New(slog.NewTextHandler(&out, nil))
	jsonLogger := slog.New(slog.NewJSONHandler(&out, nil))
	for _, v := range []any{cfg, &cfg, cfg.Clients, cfg.Clients["shipper"], i, authtest.NewProofKey("")} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%q", "%x"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		logger.Info("x", "v", v)
		jsonLogger.Info("x", "v", v)
	}
	doc, err := json.Marshal(cfg.Clients)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(doc)
	if n := strings.Index(out.String(), secret); n >= 0 {
		t.Errorf("the secret is printed: …%.200s", out.String()[max(0, n-100):])
	}
	if n := strings.Index(out.String(), fmt.Sprintf("%x", secret)); n >= 0 {
		t.Error("the secret is printed in hexadecimal")
	}
	if !strings.Contains(out.String(), "orders:read") {
		t.Error("nothing of the configuration is printed")
	}
}

// What the package comment shows for a service is the whole of it.
func TestServiceRefusesWithoutTheIssuersKeys(t *testing.T) {
	t.Parallel()
	i, other := newIssuer(t, authtest.Config{}), newIssuer(t, authtest.Config{})
	s := newService(t, verifier(t, i))
	if w := s.get(other.Token(nil)); w.Code != http.StatusUnauthorized || s.last.Reason != auth.ReasonSignature {
		t.Errorf("a token of another issuer of the same name: %d, %s", w.Code, s.last.Reason)
	}
}

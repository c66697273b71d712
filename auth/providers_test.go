package auth_test

import (
	"bytes"
	"crypto"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/authtest"
	"github.com/gatehouse-go/gatehouse/auth/principal"
)

const (
	providers = "testdata/providers"
	testOnly  = "test-only-private-key.pem"
	tenant    = "d3b07384-d9a0-4c9b-8f3e-5a1c7e2b4f60"
	entraAPI  = "4c1e9f72-8a3b-4d65-b0c7-2e9f1a6d3b58"
)

// providersTime is shortly after every token in testdata was issued.
var providersTime = time.Date(2026, 3, 5, 10, 1, 0, 0, time.UTC)

func providerFile(tb testing.TB, name ...string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{providers}, name...)...))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// A providerToken is the header and the claims of a provider's token.
type providerToken struct{ Header, Claims json.RawMessage }

func readToken(tb testing.TB, dir, file string) providerToken {
	tb.Helper()
	var t providerToken
	if err := json.Unmarshal(providerFile(tb, dir, file), &t); err != nil {
		tb.Fatal(err)
	}
	return t
}

// signed is the token as the provider would send it.
func (t providerToken) signed(tb testing.TB, dir, key string) string {
	tb.Helper()
	block, _ := pem.Decode(providerFile(tb, dir, key))
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		tb.Fatal(err)
	}
	var header struct{ Alg string }
	if err := json.Unmarshal(t.Header, &header); err != nil {
		tb.Fatal(err)
	}
	return encode(tb, signer{method: jwt.GetSigningMethod(header.Alg), private: private}, compact(tb, t.Header), compact(tb, t.Claims))
}

// edit returns a token with other claims.
func (t providerToken) edit(tb testing.TB, edits object) providerToken {
	tb.Helper()
	var claims object
	if err := json.Unmarshal(t.Claims, &claims); err != nil {
		tb.Fatal(err)
	}
	t.Claims = json.RawMessage(claims.with(edits).json(tb))
	return t
}

func compact(tb testing.TB, doc json.RawMessage) string {
	tb.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, doc); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

// mapEntra reads what Entra calls otherwise: the client in v1.0, the token's
// id, and who is no user (oid and sub are one in tokens of an application).
func mapEntra(raw json.RawMessage, p *principal.Principal) error {
	var c struct{ AppID, UTI, OID string }
	if err := json.Unmarshal(raw, &c); err != nil {
		return err
	}
	p.TokenID = c.UTI
	if c.AppID != "" {
		p.ClientID = c.AppID
	}
	if c.OID == p.Subject {
		p.Kind = principal.Client
	}
	return nil
}

// mapAuth0 and mapKeycloak tell clients from users, where the subject is not
// the client_id.
func mapAuth0(_ json.RawMessage, p *principal.Principal) error {
	if p.Subject == p.ClientID+"@clients" {
		p.Kind = principal.Client
	}
	return nil
}

func mapKeycloak(raw json.RawMessage, p *principal.Principal) error {
	var c struct {
		Username string `json:"preferred_username"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return err
	}
	if p.ClientID != "" && c.Username == "service-account-"+strings.ToLower(p.ClientID) {
		p.Kind = principal.Client
	}
	return nil
}

// providerIssuers are the providers as a service called orders believes them,
// without their keys.
func providerIssuers() map[string]auth.Issuer {
	return map[string]auth.Issuer{
		"keycloak":   {URL: "https://sso.example.com/realms/shop", Audience: []string{"orders-api"}, RolesClaim: "realm_access.roles", Map: mapKeycloak},
		"entra-v1":   {URL: "https://sts.windows.net/{tenantid}/", Tenants: []string{tenant}, Audience: []string{"api://" + entraAPI}, RolesClaim: "roles", Map: mapEntra},
		"entra-v2":   {URL: "https://login.microsoftonline.com/{tenantid}/v2.0", Tenants: []string{tenant}, Audience: []string{entraAPI}, RolesClaim: "roles", Map: mapEntra},
		"okta":       {URL: "https://shop.okta.com/oauth2/aus1a2b3c4d5e6f7g8h9", Audience: []string{"api://orders"}, RolesClaim: "groups"},
		"auth0":      {URL: "https://shop.eu.auth0.com/", Audience: []string{"https://orders.example.com"}, RolesClaim: "https://shop.example.com/roles", Map: mapAuth0},
		"cognito":    {URL: "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_A1b2C3d4E", ClientIDs: []string{"3q7v9k2m5x8c1n4b6z0t", "8d2f6h1j4l7p0r3t5w9y"}, RolesClaim: "cognito:groups"},
		"google":     {URL: "https://accounts.google.com", Audience: []string{"123456789012-a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6.apps.googleusercontent.com", "https://orders-a1b2c3d4e5-ew.a.run.app"}},
		"google-iap": {URL: "https://cloud.google.com/iap", Audience: []string{"/projects/123456789012/global/backendServices/6543210987654321098"}},
	}
}

// jwksURLs are where providers publish keys, of whom a metadata document is
// not below iss.
var jwksURLs = map[string]string{
	"entra-v1":   "https://login.microsoftonline.com/common/discovery/keys",
	"google-iap": "https://www.gstatic.com/iap/verify/public_key-jwk",
}

// internet is every provider, in memory.
func internet(tb testing.TB) *http.Client {
	tb.Helper()
	documents := make(map[string][]byte)
	for dir, iss := range providerIssuers() {
		url := jwksURLs[dir]
		if url == "" {
			doc := providerFile(tb, dir, "discovery.json")
			var metadata struct {
				URI string `json:"jwks_uri"`
			}
			if err := json.Unmarshal(doc, &metadata); err != nil {
				tb.Fatal(err)
			}
			url = metadata.URI
			place := strings.TrimSuffix(strings.Replace(iss.URL, "{tenantid}", tenant, 1), "/") + "/.well-known/openid-configuration"
			documents[place] = doc
		}
		documents[url] = providerFile(tb, dir, "jwks.json")
	}
	network, err := authtest.NewIssuer(authtest.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(network.Close)
	network.Intercept(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			doc, ok := documents["https://"+r.Host+r.URL.Path]
			if !ok {
				tb.Errorf("nobody is at https://%s%s", r.Host, r.URL.Path)
			}
			_, _ = w.Write(doc)
		})
	})
	return network.Client()
}

// providerJWT knows these issuers, at the time of their tokens. Call it in a
// bubble.
func providerJWT(tb testing.TB, client *http.Client, issuers ...auth.Issuer) *auth.JWT {
	tb.Helper()
	j, err := auth.NewJWT(auth.JWTConfig{Issuers: issuers, HTTPClient: client})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = j.Close() })
	time.Sleep(time.Until(providersTime))
	return j
}

// providerCallers are the callers that the tokens in testdata speak for.
func providerCallers() map[string]*principal.Principal {
	issued := time.Date(2026, 3, 5, 10, 0, 0, 0, time.UTC)
	entra := func(p principal.Principal, lifetime time.Duration) *principal.Principal {
		p.Tenant, p.IssuedAt, p.ExpiresAt = tenant, issued.Add(-5*time.Minute), issued.Add(lifetime)
		return &p
	}
	const (
		v1, v2   = "https://sts.windows.net/" + tenant + "/", "https://login.microsoftonline.com/" + tenant + "/v2.0"
		spa, job = "1f2a7a0e-54b7-4c58-9a53-b0d1c2a9d7f5", "c0ffee00-6a4d-4f0e-8f58-0d7e2b9c4a61"
		jobOID   = "5d0a7c9e-1b2f-4e3d-8c6a-9f8e7d6c5b4a"
	)
	all := map[string]*principal.Principal{
		"keycloak/user.json": {
			Subject: "3b7f3a9e-8b53-4d64-a2a4-6f3d1c2e9b10", ClientID: "shop-spa", TokenID: "onrtac:0a5a4d70-3c1d-4b6e-9d0e-5f1f0f4b7c11",
			Scopes: []string{"openid", "orders:read", "profile", "email"}, Roles: []string{"offline_access", "default-roles-shop", "uma_authorization", "clerk"},
			ACR: "1", AuthTime: issued.Add(-2 * time.Minute), IssuedAt: issued, ExpiresAt: issued.Add(5 * time.Minute),
		},
		"keycloak/client.json": {
			Kind: principal.Client, Subject: "7f0f3d9c-1f76-4a8b-9c92-0c6a4b1d5e33", ClientID: "billing-job", TokenID: "trrtcc:9c7a2a1e-64b2-4c36-8c39-1f6e0e6c7d42",
			Scopes: []string{"profile", "email", "orders:read"}, Roles: []string{"offline_access", "default-roles-shop", "uma_authorization"},
			ACR: "1", IssuedAt: issued, ExpiresAt: issued.Add(5 * time.Minute),
		},
		"entra-v1/user.json": entra(principal.Principal{
			Issuer: v1, Subject: "l3x0bZ9fQm2T7vK1cYwRj5uN8dHsE4aPgLiOoXeVtB0", ClientID: spa, TokenID: "wK7cT2mXvUu9sLqY4n1RAA",
			Scopes: []string{"Orders.Read", "Orders.Write"}, Roles: []string{"Orders.Clerk"}, AMR: []string{"pwd", "mfa"}, ACR: "1",
		}, 75*time.Minute),
		"entra-v1/client.json": entra(principal.Principal{
			Kind: principal.Client, Issuer: v1, Subject: jobOID, ClientID: job, TokenID: "hV2nT9bXqkO1rZyWm3sJAA", Roles: []string{"Orders.Read.All"},
		}, time.Hour),
		"entra-v2/user.json": entra(principal.Principal{
			Issuer: v2, Subject: "Rk3vY0mQzE8sWc1tUo7nHxJ5bLpDgA2iVfXyTqKaN94", ClientID: spa, TokenID: "b3Jk8vXl0kGq6cWm1ZtDAA",
			Scopes: []string{"Orders.Read", "Orders.Write"}, Roles: []string{"Orders.Clerk"},
		}, 75*time.Minute),
		"entra-v2/client.json": entra(principal.Principal{
			Kind: principal.Client, Issuer: v2, Subject: jobOID, ClientID: job, TokenID: "ZpQ7xN3yTEmB5vRw2kLcAA", Roles: []string{"Orders.Read.All"},
		}, time.Hour),
		"okta/user.json": {
			Subject: "alice@example.com", ClientID: "0oa1b2c3d4e5f6g7h8i9", TokenID: "AT.tR7kVq2XwZ0mYsJc9PnLhB5uGfEdAaKo3iCvTxNyW8Q",
			Scopes: []string{"orders.read", "openid", "profile"}, Roles: []string{"Everyone", "Clerks"},
			AuthTime: issued.Add(-time.Minute), IssuedAt: issued, ExpiresAt: issued.Add(time.Hour),
		},
		"okta/client.json": {
			Kind: principal.Client, Subject: "0oa9i8h7g6f5e4d3c2b1", ClientID: "0oa9i8h7g6f5e4d3c2b1", TokenID: "AT.9Vx2LQpRk7sWnE3mTzYc5uJhGd8fBaK1oPiXeUrVtS0",
			Scopes: []string{"orders.read"}, IssuedAt: issued, ExpiresAt: issued.Add(time.Hour),
		},
		"auth0/user.json": {
			Subject: "auth0|65f0a1b2c3d4e5f60718293a", ClientID: "my0Q3m1eS6VbXr5tYcW8uJ2kLpN7aZdH",
			Scopes: []string{"openid", "profile", "email", "read:orders"}, Roles: []string{"clerk"}, IssuedAt: issued, ExpiresAt: issued.Add(24 * time.Hour),
		},
		"auth0/user-rfc9068.json": {
			Subject: "auth0|65f0a1b2c3d4e5f60718293a", ClientID: "my0Q3m1eS6VbXr5tYcW8uJ2kLpN7aZdH", TokenID: "Qp4sXn8kLw2VtZb6YhGdRc",
			Scopes: []string{"openid", "profile", "email", "read:orders"}, IssuedAt: issued, ExpiresAt: issued.Add(24 * time.Hour),
		},
		"auth0/client.json": {
			Kind: principal.Client, Subject: "T4uVwX9yZ0aB1cD2eF3gH4iJ5kL6mN7o@clients", ClientID: "T4uVwX9yZ0aB1cD2eF3gH4iJ5kL6mN7o",
			Scopes: []string{"read:orders", "write:orders"}, IssuedAt: issued, ExpiresAt: issued.Add(24 * time.Hour),
		},
		"cognito/user.json": {
			Subject: "a3e4d812-50f1-70b3-9c3a-6f0d2b1c4e58", ClientID: "3q7v9k2m5x8c1n4b6z0t", TokenID: "8e1f2d3c-4b5a-4968-8776-5a4b3c2d1e0f",
			Scopes: []string{"openid", "orders/read", "profile"}, Roles: []string{"clerks", "eu-central-1_A1b2C3d4E_Google"},
			AuthTime: issued, IssuedAt: issued, ExpiresAt: issued.Add(time.Hour),
		},
		"cognito/client.json": {
			Kind: principal.Client, Subject: "8d2f6h1j4l7p0r3t5w9y", ClientID: "8d2f6h1j4l7p0r3t5w9y", TokenID: "0f1e2d3c-4b5a-4697-8a7b-6c5d4e3f2a1b",
			Scopes: []string{"orders/read", "orders/write"}, AuthTime: issued, IssuedAt: issued, ExpiresAt: issued.Add(time.Hour),
		},
		"google/user.json": {
			Subject: "104729183746501928374", ClientID: "123456789012-a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6.apps.googleusercontent.com",
			TokenID: "9b1d4e7a2c5f8e0b3d6a9c2f5e8b1d4a7c0f3e6b", IssuedAt: issued, ExpiresAt: issued.Add(time.Hour),
		},
		"google/service.json": {
			Kind: principal.Client, Subject: "105812345678901234567", ClientID: "105812345678901234567", IssuedAt: issued, ExpiresAt: issued.Add(time.Hour),
		},
		"google-iap/user.json": {
			Subject: "accounts.google.com:104729183746501928374", IssuedAt: issued, ExpiresAt: issued.Add(10 * time.Minute),
		},
	}
	for file, p := range all {
		p.Scheme = "Bearer"
		if p.Issuer == "" {
			p.Issuer = providerIssuers()[filepath.Dir(file)].URL
		}
	}
	return all
}

// Tokens of the providers that people have are admitted, however the keys are
// found, for the callers that they speak for.
func TestProviders(t *testing.T) {
	t.Parallel()
	for file, want := range providerCallers() {
		dir, name := filepath.Split(file)
		dir = strings.TrimSuffix(dir, "/")
		iss := providerIssuers()[dir]
		sources := map[string]auth.KeySource{"document": auth.StaticJWKS(providerFile(t, dir, "jwks.json")), "discovery": {}}
		if url := jwksURLs[dir]; url != "" {
			sources["discovery"] = auth.JWKS(url)
		}
		for source, keys := range sources {
			t.Run(file+" by "+source, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					iss := iss
					iss.Keys = keys
					j := providerJWT(t, internet(t), iss)
					got, err := j.Verify(t.Context(), readToken(t, dir, name).signed(t, dir, testOnly))
					if err != nil {
						t.Fatal(err)
					}
					if !samePrincipal(got.WithClaims(nil), want.WithClaims(nil)) {
						t.Errorf("principal = %+v\nwant %+v", got.WithClaims(nil), want.WithClaims(nil))
					}
				})
			})
		}
	}
}

// One service may believe all of them: each key is its issuer's alone.
func TestAllProvidersAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		issuers := make([]auth.Issuer, 0, len(providerIssuers()))
		for dir, iss := range providerIssuers() {
			if url := jwksURLs[dir]; url != "" {
				iss.Keys = auth.JWKS(url)
			}
			issuers = append(issuers, iss)
		}
		j := providerJWT(t, internet(t), issuers...)
		if err := j.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		for file, want := range providerCallers() {
			dir, name := filepath.Split(file)
			dir = strings.TrimSuffix(dir, "/")
			token := readToken(t, dir, name)
			got, err := j.Verify(t.Context(), token.signed(t, dir, testOnly))
			if err != nil || !samePrincipal(got.WithClaims(nil), want.WithClaims(nil)) {
				t.Errorf("%s: Verify = %+v, %v", file, got, err)
			}
			for other := range providerIssuers() {
				if other == dir || strings.HasPrefix(other, "entra") && strings.HasPrefix(dir, "entra") { // which share their keys
					continue
				}
				// What the other says of a caller of this one: with its own kid,
				// and with this one's.
				foreign := token
				foreign.Header = readToken(t, other, "user.json").Header
				for _, forged := range []providerToken{foreign, token} {
					if forged.alg(t) != foreign.alg(t) {
						continue
					}
					if p, err := j.Verify(t.Context(), forged.signed(t, other, testOnly)); err == nil {
						t.Errorf("%s of %s was admitted with the key of %s: %v", name, dir, other, p)
					}
				}
			}
		}
	})
}

func (t providerToken) alg(tb testing.TB) string {
	tb.Helper()
	var header struct{ Alg string }
	if err := json.Unmarshal(t.Header, &header); err != nil {
		tb.Fatal(err)
	}
	return header.Alg
}

// What these providers also sign, and what they issue that is no JWT, admits
// nobody.
func TestProvidersOtherTokens(t *testing.T) {
	t.Parallel()
	const opaque = "ya29.a0AXeO80Qm3kTzV7xYwLp1nRcHbJd5sGfUoEiNq9tWvK2aZyX4uBhMgDlSjPrCeF6OiV8"
	for _, tt := range []struct {
		name, dir string
		token     func(t *testing.T) string
		want      string
	}{
		{"Keycloak's ID token", "keycloak", sample("keycloak", "id-token.json"), auth.ReasonAudience},
		{"Keycloak's default audience", "keycloak", edited("keycloak", "user.json", object{"aud": "account"}), auth.ReasonAudience},
		{"Keycloak without an audience", "keycloak", edited("keycloak", "user.json", object{"aud": nil}), auth.ReasonAudience},
		{"another realm of Keycloak", "keycloak", edited("keycloak", "user.json", object{"iss": "https://sso.example.com/realms/master"}), auth.ReasonIssuer},
		{"Keycloak bound by DPoP", "keycloak", edited("keycloak", "user.json", object{"cnf": object{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}), auth.ReasonBinding},

		{"another tenant of Entra", "entra-v2", edited("entra-v2", "user.json", object{"iss": "https://login.microsoftonline.com/11111111-2222-4333-8444-555555555555/v2.0", "tid": "11111111-2222-4333-8444-555555555555"}), auth.ReasonIssuer},
		{"another tenant of Entra in tid alone", "entra-v2", edited("entra-v2", "user.json", object{"tid": "11111111-2222-4333-8444-555555555555"}), auth.ReasonIssuer},
		{"Entra's template itself", "entra-v2", edited("entra-v2", "user.json", object{"iss": "https://login.microsoftonline.com/{tenantid}/v2.0"}), auth.ReasonIssuer},
		{"an Entra tenant by the key of personal accounts", "entra-v2", personalToken, auth.ReasonKey},
		{"Entra v1.0 for v2.0", "entra-v2", sample("entra-v1", "user.json"), auth.ReasonIssuer},
		{"Entra v2.0 for v1.0", "entra-v1", sample("entra-v2", "user.json"), auth.ReasonIssuer},
		{"Entra's token for Graph", "entra-v1", graphToken, auth.ReasonSignature},

		{"Okta's own server", "okta", sample("okta", "org-server.json"), auth.ReasonType},
		{"another server of Okta", "okta", edited("okta", "user.json", object{"iss": "https://shop.okta.com/oauth2/default"}), auth.ReasonIssuer},

		{"Auth0 for userinfo alone", "auth0", edited("auth0", "user.json", object{"aud": "https://shop.eu.auth0.com/userinfo"}), auth.ReasonAudience},
		{"Auth0 without the slash", "auth0", edited("auth0", "user.json", object{"iss": "https://shop.eu.auth0.com"}), auth.ReasonIssuer},
		{"Auth0 without an audience, which is encrypted", "auth0", func(*testing.T) string {
			return b64(`{"alg":"dir","enc":"A256GCM","iss":"https://shop.eu.auth0.com/"}`) + ".." + b64("0123456789ab") + "." + b64("ciphertext") + "." + b64("0123456789abcdef")
		}, auth.ReasonMalformed},

		{"Cognito's ID token", "cognito", func(t *testing.T) string {
			t.Helper()
			return readToken(t, "cognito", "id-token.json").signed(t, "cognito", "test-only-private-key-of-id-tokens.pem")
		}, auth.ReasonAudience},
		{"another client of Cognito", "cognito", edited("cognito", "user.json", object{"client_id": "0a1b2c3d4e5f6g7h8i9j"}), auth.ReasonAudience},
		{"no client of Cognito", "cognito", edited("cognito", "user.json", object{"client_id": nil}), auth.ReasonAudience},
		{"another pool of Cognito", "cognito", edited("cognito", "user.json", object{"iss": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Z9y8X7w6V"}), auth.ReasonIssuer},

		{"Google's access token", "google", func(*testing.T) string { return opaque }, auth.ReasonMalformed},
		{"Google's issuer without a scheme", "google", edited("google", "user.json", object{"iss": "accounts.google.com"}), auth.ReasonIssuer},
		{"another client of Google", "google", edited("google", "user.json", object{"aud": "123456789012-other.apps.googleusercontent.com"}), auth.ReasonAudience},
		{"another service of Google's proxy", "google-iap", edited("google-iap", "user.json", object{"aud": "/projects/123456789012/global/backendServices/1"}), auth.ReasonAudience},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				iss := providerIssuers()[tt.dir]
				iss.Keys = auth.StaticJWKS(providerFile(t, tt.dir, "jwks.json"))
				check(t, providerJWT(t, nil, iss), tt.token(t), tt.want)
			})
		})
	}
}

func sample(dir, name string) func(*testing.T) string {
	return edited(dir, name, nil)
}

func edited(dir, name string, edits object) func(*testing.T) string {
	return func(t *testing.T) string {
		t.Helper()
		return readToken(t, dir, name).edit(t, edits).signed(t, dir, testOnly)
	}
}

// personalToken says that it is of our tenant, and is signed with the key that
// Entra publishes beside for personal accounts alone.
func personalToken(t *testing.T) string {
	t.Helper()
	token := readToken(t, "entra-v2", "user.json")
	var header object
	if err := json.Unmarshal(token.Header, &header); err != nil {
		t.Fatal(err)
	}
	token.Header = json.RawMessage(header.with(object{"kid": "oUAfcYzAdTmcY24wPmMnW36fi3g"}).json(t))
	return token.signed(t, "entra-v2", "test-only-private-key-of-personal-accounts.pem")
}

// graphToken is for Microsoft's own services, which alone can verify it: what
// is signed has the digest of the nonce in the header in its place.
func graphToken(t *testing.T) string {
	t.Helper()
	token := readToken(t, "entra-v1", "user.json")
	var header object
	if err := json.Unmarshal(token.Header, &header); err != nil {
		t.Fatal(err)
	}
	const nonce = "q3Zs8Xv0LkTn5mWcYb1dRfHjGpEuAiOo"
	digest := sha256.Sum256([]byte(nonce))
	token.Header = json.RawMessage(header.with(object{"nonce": b64(string(digest[:]))}).json(t))
	parts := strings.Split(token.signed(t, "entra-v1", testOnly), ".")
	parts[0] = b64(header.with(object{"nonce": nonce}).json(t))
	return strings.Join(parts, ".")
}

// The documents in testdata are what their README says they are: of keys that
// their certificates, thumbprints, private keys and tokens belong to.
func TestProvidersTestdata(t *testing.T) {
	t.Parallel()
	for dir, iss := range providerIssuers() {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			var set struct{ Keys []map[string]any }
			if err := json.Unmarshal(providerFile(t, dir, "jwks.json"), &set); err != nil {
				t.Fatal(err)
			}
			var kids []string
			for _, jwk := range set.Keys {
				kids = append(kids, jwk["kid"].(string))
				chain, ok := jwk["x5c"].([]any)
				if !ok {
					continue
				}
				der, err := base64.StdEncoding.DecodeString(chain[0].(string))
				if err != nil {
					t.Fatal(err)
				}
				cert, err := x509.ParseCertificate(der)
				if err != nil {
					t.Fatal(err)
				}
				for name, value := range jwkOf(t, cert.PublicKey, nil) {
					if jwk[name] != value {
						t.Errorf("key %v: %s is not that of its certificate", jwk["kid"], name)
					}
				}
				one, two := sha1.Sum(der), sha256.Sum256(der)
				for name, want := range map[string]string{"x5t": b64(string(one[:])), "x5t#S256": b64(string(two[:]))} {
					if got, ok := jwk[name]; ok && got != want {
						t.Errorf("key %v: %s = %v, want %s", jwk["kid"], name, got, want)
					}
				}
			}
			files, err := filepath.Glob(filepath.Join(providers, dir, "*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				doc := providerFile(t, dir, filepath.Base(f))
				switch name := filepath.Base(f); {
				case name == "jwks.json":
				case name == "discovery.json":
					var metadata struct{ Issuer string }
					if err := json.Unmarshal(doc, &metadata); err != nil {
						t.Fatal(err)
					}
					if want := strings.Replace(iss.URL, "{tenantid}", tenant, 1); metadata.Issuer != want {
						t.Errorf("issuer = %q, want %q", metadata.Issuer, want)
					}
				case strings.HasPrefix(name, "test-only-private-key"):
					block, _ := pem.Decode(doc)
					private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
					if err != nil {
						t.Fatal(err)
					}
					public := jwkOf(t, private.(crypto.Signer).Public(), nil)
					if !slices.ContainsFunc(set.Keys, func(jwk map[string]any) bool {
						return jwk["n"] == public["n"] && reflect.DeepEqual(jwk["x"], public["x"])
					}) {
						t.Errorf("%s is of no key in the JWKS", name)
					}
				default:
					var header struct{ Kid string }
					if err := json.Unmarshal(readToken(t, dir, name).Header, &header); err != nil {
						t.Fatal(err)
					}
					if !slices.Contains(kids, header.Kid) {
						t.Errorf("%s is signed by the key %q, want one of %q", name, header.Kid, kids)
					}
				}
			}
		})
	}
}

package auth_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/auth"
)

// RFC 9728 section 3: the document, where it is, and who may read it.
func TestMetadata(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		identifier, path, location string
	}{
		{"https://api.example.com", "/.well-known/oauth-protected-resource", "https://api.example.com/.well-known/oauth-protected-resource"},
		{"https://api.example.com/", "/.well-known/oauth-protected-resource", "https://api.example.com/.well-known/oauth-protected-resource"},
		{"https://api.example.com:8443/mcp/v1", "/.well-known/oauth-protected-resource/mcp/v1", "https://api.example.com:8443/.well-known/oauth-protected-resource/mcp/v1"},
		{"https://api.example.com/mcp/", "/.well-known/oauth-protected-resource/mcp/", "https://api.example.com/.well-known/oauth-protected-resource/mcp/"},
		{"https://api.example.com/a%20b", "/.well-known/oauth-protected-resource/a%20b", "https://api.example.com/.well-known/oauth-protected-resource/a%20b"},
	} {
		g := newGate(t, auth.Config{Authenticators: []auth.Authenticator{newJWT(t, issuerOf(signerFor("ES256")))}, Resource: &auth.Resource{
			Identifier: tt.identifier, AuthorizationServers: []string{"https://id.example.com"}, Scopes: []string{"orders:read"}, Name: "Orders",
		}})
		if got := g.MetadataPath(); got != tt.path {
			t.Errorf("MetadataPath = %s, want %s", got, tt.path)
		}
		w := httptest.NewRecorder()
		g.Metadata().ServeHTTP(w, httptest.NewRequest(http.MethodGet, tt.path+"?x=1", http.NoBody))
		var got map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
			t.Fatalf("status = %d, %v, %v: %s", w.Code, w.Header(), err, w.Body)
		}
		want := map[string]any{
			"resource": tt.identifier, "authorization_servers": []any{"https://id.example.com"}, "scopes_supported": []any{"orders:read"},
			"bearer_methods_supported": []any{"header"}, "resource_name": "Orders",
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("document = %v, want %v", got, want)
		}
		if got, want := serve(g.Handler(whoami)).Header().Get("WWW-Authenticate"), `Bearer resource_metadata="`+tt.location+`"`; got != want {
			t.Errorf("challenge = %s, want %s", got, want)
		}
	}
}

func TestMetadataMethods(t *testing.T) {
	t.Parallel()
	g := newGate(t, auth.Config{Authenticators: []auth.Authenticator{&stub{}}, Resource: &auth.Resource{
		Identifier: "https://api.example.com/mcp", AuthorizationServers: []string{"https://id.example.com"},
		SigningAlgorithms: []string{"ES256"}, DPoPRequired: true, CertificateBound: true, Documentation: "https://example.com/docs",
	}})
	for _, tt := range []struct {
		method, path string
		status       int
		header       string
		body         bool
	}{
		{"GET", g.MetadataPath(), 200, "Content-Length", true},
		{"HEAD", g.MetadataPath(), 200, "Content-Length", false},
		{"OPTIONS", g.MetadataPath(), 204, "Access-Control-Allow-Methods", false},
		{"POST", g.MetadataPath(), 405, "Allow", false},
		{"GET", g.MetadataPath() + "/", 404, "Content-Type", true},
		{"GET", "/.well-known/oauth-protected-resource", 404, "Content-Type", true},
	} {
		r := httptest.NewRequest(tt.method, tt.path, http.NoBody)
		r.Header.Set("Access-Control-Request-Headers", "MCP-Protocol-Version")
		w := httptest.NewRecorder()
		g.Metadata().ServeHTTP(w, r)
		if w.Code != tt.status || w.Header().Get(tt.header) == "" || (w.Body.Len() > 0) != tt.body {
			t.Errorf("%s %s: status = %d, %v: %s", tt.method, tt.path, w.Code, w.Header(), w.Body)
		}
		if origin := w.Header().Get("Access-Control-Allow-Origin"); tt.status < 404 && origin != "*" {
			t.Errorf("%s: Access-Control-Allow-Origin = %q, want *", tt.method, origin)
		}
		if tt.body && tt.status == 200 && !strings.Contains(w.Body.String(), `"dpop_signing_alg_values_supported":["ES256"],"dpop_bound_access_tokens_required":true,"tls_client_certificate_bound_access_tokens":true`) {
			t.Errorf("document = %s", w.Body)
		}
	}
	none := newGate(t, auth.Config{Authenticators: []auth.Authenticator{&stub{}}})
	w := httptest.NewRecorder()
	none.Metadata().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/.well-known/oauth-protected-resource", http.NoBody))
	if w.Code != http.StatusNotFound || none.MetadataPath() != "" {
		t.Errorf("without a Resource: status = %d, path %q", w.Code, none.MetadataPath())
	}
}

// RFC 9728 section 5.1: in the challenges for tokens, behind their parameters.
func TestResourceInChallenges(t *testing.T) {
	t.Parallel()
	s := signerFor("ES256")
	d, err := auth.NewDPoP(auth.DPoPConfig{Algorithms: []string{"ES256"}})
	if err != nil {
		t.Fatal(err)
	}
	j, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{issuerOf(s)}, DPoP: d})
	if err != nil {
		t.Fatal(err)
	}
	basic := &stub{err: auth.ErrNoCredentials, challenge: []string{`Basic realm="own"`}}
	g := newGate(t, auth.Config{Authenticators: []auth.Authenticator{j, basic}, Realm: "r", Resource: &auth.Resource{
		Identifier: "https://api.example.com", AuthorizationServers: []string{"https://id.example.com"},
	}})
	const metadata = `resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"`
	good := "Bearer " + s.token(t, goodClaims())
	for _, tt := range []struct {
		name    string
		handler http.Handler
		request []string
		want    []string
	}{
		{"none", g.Handler(whoami), nil, []string{`Bearer realm="r", ` + metadata, `DPoP realm="r", algs="ES256", ` + metadata, `Basic realm="own"`}},
		{"bad token", g.Handler(whoami), []string{"Bearer " + s.token(t, goodClaims().with(object{"exp": 1}))}, []string{`Bearer realm="r", error="invalid_token", ` + metadata, `DPoP realm="r", algs="ES256", ` + metadata}},
		{"scope", g.Handler(g.RequireScope("admin")(whoami)), []string{good}, []string{`Bearer realm="r", error="insufficient_scope", scope="admin", ` + metadata}},
	} {
		got := serve(tt.handler, tt.request...).Header().Values("WWW-Authenticate")
		if tt.name != "none" { // what DPoP says of errors is its own test's
			got = slices.DeleteFunc(slices.Clone(got), func(c string) bool { return strings.HasPrefix(c, "DPoP ") })
			tt.want = tt.want[:1]
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: challenges = %q\nwant %q", tt.name, got, tt.want)
		}
	}
}

func TestResourceMistakes(t *testing.T) {
	t.Parallel()
	_, err := auth.New(auth.Config{Authenticators: []auth.Authenticator{&stub{}}, Resource: &auth.Resource{
		Identifier: "http://api.example.com", Scopes: []string{"a b"}, SigningAlgorithms: []string{"HS256"}, Documentation: "docs",
		AuthorizationServers: []string{"https://id.example.com#x", `https://id.example.com/"`},
	}})
	want := strings.Join([]string{
		`auth: Resource.Identifier is "http://api.example.com", want an https URL`,
		`auth: Resource.AuthorizationServers has "https://id.example.com#x", want no query and no fragment`,
		`auth: Resource.AuthorizationServers has "https://id.example.com/\"", want printable ASCII`,
		`auth: Resource.Scopes has "a b", want a scope-token`,
		`auth: Resource.SigningAlgorithms has "HS256", want names such as "ES256"`,
		`auth: Resource.Documentation is "docs", want a URL`,
	}, "\n")
	if err == nil || err.Error() != want {
		t.Errorf("New =\n%v\nwant\n%s", err, want)
	}
	_, err = auth.New(auth.Config{Authenticators: []auth.Authenticator{&stub{}}, Resource: &auth.Resource{}})
	if err == nil || !strings.Contains(err.Error(), `Identifier is "", want an https URL`) || !strings.Contains(err.Error(), "AuthorizationServers is empty") {
		t.Errorf("New of an empty Resource = %v", err)
	}
}

package auth_test

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/authtest"
	"github.com/gatehouse-go/gatehouse/auth/principal"
)

// These two stand for the identity provider.
var (
	providerKey = ed25519.NewKeyFromSeed([]byte("the seed of an example, 32 bytes"))
	publicPEM   = func() []byte {
		der, err := x509.MarshalPKIXPublicKey(providerKey.Public())
		if err != nil {
			panic(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	}()
)

func issue(scope string) string {
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"iss": "https://id.example.com", "sub": "alice", "aud": "orders", "scope": scope,
		"exp": time.Now().Add(5 * time.Minute).Unix(),
	})
	token.Header["kid"] = "2026-11"
	signed, err := token.SignedString(providerKey)
	if err != nil {
		panic(err)
	}
	return signed
}

func exampleGate() *auth.Gate {
	bearer, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{{
		URL:      "https://id.example.com",
		Audience: []string{"orders"},
		Keys:     auth.PEM("2026-11", publicPEM),
	}}})
	if err != nil {
		panic(err)
	}
	gate, err := auth.New(auth.Config{Authenticators: []auth.Authenticator{bearer}})
	if err != nil {
		panic(err)
	}
	return gate
}

func get(h http.Handler, path, token string) {
	r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"), w.Body)
}

func hello(w http.ResponseWriter, r *http.Request) {
	if p, ok := principal.FromContext(r.Context()); ok {
		_, _ = fmt.Fprintf(w, "hello %s", p.Subject)
		return
	}
	_, _ = fmt.Fprint(w, "hello stranger")
}

func ExampleGate() {
	gate := exampleGate()
	mux := http.NewServeMux()
	mux.Handle("GET /orders", gate.Handler(http.HandlerFunc(hello)))

	get(mux, "/orders", issue("orders:read"))
	get(mux, "/orders", "")
	// Output:
	// 200  hello alice
	// 401 Bearer {"type":"about:blank","title":"Unauthorized","status":401,"detail":"This resource needs credentials."}
}

func ExampleGate_Optional() {
	gate := exampleGate()
	mux := http.NewServeMux()
	mux.Handle("GET /", gate.Optional(http.HandlerFunc(hello)))

	get(mux, "/", issue(""))
	get(mux, "/", "")
	get(mux, "/", "rubbish") // bad credentials are not the same as none
	// Output:
	// 200  hello alice
	// 200  hello stranger
	// 401 Bearer error="invalid_token" {"type":"about:blank","title":"Unauthorized","status":401,"detail":"The credentials were not accepted."}
}

func ExampleGate_RequireScope() {
	gate := exampleGate()
	mux := http.NewServeMux()
	mux.Handle("GET /orders", gate.Handler(gate.RequireScope("orders:read")(http.HandlerFunc(hello))))

	get(mux, "/orders", issue("orders:read orders:write"))
	get(mux, "/orders", issue("orders:write"))
	// Output:
	// 200  hello alice
	// 403 Bearer error="insufficient_scope", scope="orders:read" {"type":"about:blank","title":"Forbidden","status":403,"detail":"The credentials do not reach far enough for this resource."}
}

// A payment wants a login that is not an hour old.
func ExampleGate_RequireRecent() {
	gate := exampleGate()
	mux := http.NewServeMux()
	mux.Handle("POST /payments", gate.Handler(gate.RequireRecent(time.Hour, "mfa")(http.HandlerFunc(hello))))

	r := httptest.NewRequest(http.MethodPost, "/payments", http.NoBody)
	r.Header.Set("Authorization", "Bearer "+issue(""))
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	// Output:
	// 401 Bearer error="insufficient_user_authentication", acr_values="mfa", max_age="3600"
}

// A client that knows nothing but the URL finds out where to get a token.
func ExampleGate_Metadata() {
	bearer, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{{
		URL:      "https://id.example.com",
		Audience: []string{"https://api.example.com/mcp"},
		Keys:     auth.PEM("2026-11", publicPEM),
	}}})
	if err != nil {
		panic(err)
	}
	gate, err := auth.New(auth.Config{
		Authenticators: []auth.Authenticator{bearer},
		Resource: &auth.Resource{
			Identifier:           "https://api.example.com/mcp",
			AuthorizationServers: []string{"https://id.example.com"},
		},
	})
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle(gate.MetadataPath(), gate.Metadata())
	mux.Handle("POST /mcp", gate.Handler(http.HandlerFunc(hello)))

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/mcp", http.NoBody))
	fmt.Println(w.Header().Get("WWW-Authenticate"))
	w = httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, gate.MetadataPath(), http.NoBody))
	fmt.Print(w.Body)
	// Output:
	// Bearer resource_metadata="https://api.example.com/.well-known/oauth-protected-resource/mcp"
	// {"resource":"https://api.example.com/mcp","authorization_servers":["https://id.example.com"],"bearer_methods_supported":["header"]}
}

// With no Keys, the issuer's metadata says where its keys are.
func ExampleJWT_Ready() {
	issuer, err := authtest.NewIssuer(authtest.Config{URL: "https://id.example.com"}) // in memory
	if err != nil {
		panic(err)
	}
	defer issuer.Close()
	bearer, err := auth.NewJWT(auth.JWTConfig{
		Issuers:    []auth.Issuer{{URL: "https://id.example.com", Audience: []string{"api"}}},
		HTTPClient: issuer.Client(), // leave it out in a service
	})
	if err != nil {
		panic(err)
	}
	defer func() { _ = bearer.Close() }()

	fmt.Println("ready:", bearer.Ready(context.Background()) == nil)
	p, err := bearer.Verify(context.Background(), issuer.Token(nil))
	fmt.Println(p.Subject, err)
	// Output:
	// ready: true
	// alice <nil>
}

// Optional decides nothing about who may come in. A handler behind it that does
// not look at the caller is open to everybody.
func ExampleGate_Optional_incorrect() {
	gate := exampleGate()
	mux := http.NewServeMux()
	mux.Handle("GET /admin", gate.Optional(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, "the secrets of the house")
	})))
	mux.Handle("GET /fixed", gate.Handler(http.HandlerFunc(hello)))

	get(mux, "/admin", "")
	get(mux, "/fixed", "")
	// Output:
	// 200  the secrets of the house
	// 401 Bearer {"type":"about:blank","title":"Unauthorized","status":401,"detail":"This resource needs credentials."}
}

// NewJWT tells every mistake at once.
func ExampleNewJWT() {
	_, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{{
		URL:  "https://id.example.com",
		Keys: auth.Secret([]byte("changeme")),
	}}})
	fmt.Println(err)
	// Output:
	// auth: Issuers[0].Audience is empty, want the names of this service
	// auth: Issuers[0].Keys: secret has 8 bytes, want at least 32 random ones
}

// The public half of a key pair is no secret: who would sign with it is anybody
// who has read it.
func ExampleSecret_incorrect() {
	_, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{{
		URL:      "https://id.example.com",
		Audience: []string{"orders"},
		Keys:     auth.Secret(publicPEM), // should be auth.PEM
	}}})
	fmt.Println(err)
	// Output:
	// auth: Issuers[0].Keys: secret is a public key or a key's document, want random bytes
}

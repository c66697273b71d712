package authtest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/authtest"
	"github.com/gatehouse-go/gatehouse/auth/principal"
)

func greet(w http.ResponseWriter, r *http.Request) {
	if p, ok := principal.FromContext(r.Context()); ok {
		_, _ = fmt.Fprintf(w, "hello %s", p.Subject)
	}
}

// A handler that reads the caller needs neither a token nor a Gate.
func ExampleWithPrincipal() {
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r = authtest.WithPrincipal(r, &principal.Principal{Issuer: "https://issuer.test", Subject: "alice"})
	w := httptest.NewRecorder()
	greet(w, r)
	fmt.Println(w.Code, w.Body)
	// Output: 200 hello alice
}

// A service is tested with its Gate, which finds the issuer's keys as it does
// elsewhere, by tokens that are good and by all those that are not.
func ExampleIssuer() {
	issuer, err := authtest.NewIssuer(authtest.Config{Audience: []string{"orders"}})
	if err != nil {
		panic(err)
	}
	defer issuer.Close()

	// The service, as it is elsewhere but for the way to its issuer.
	jwt, err := auth.NewJWT(auth.JWTConfig{
		Issuers:    []auth.Issuer{{URL: issuer.URL(), Audience: []string{"orders"}}},
		HTTPClient: issuer.Client(),
	})
	if err != nil {
		panic(err)
	}
	defer func() { _ = jwt.Close() }()
	gate, err := auth.New(auth.Config{Authenticators: []auth.Authenticator{jwt}})
	if err != nil {
		panic(err)
	}
	service := gate.Handler(gate.RequireScope("orders:read")(http.HandlerFunc(greet)))

	status := func(token string) int {
		r := httptest.NewRequest(http.MethodGet, "/orders", http.NoBody)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		service.ServeHTTP(w, r)
		return w.Code
	}
	fmt.Println(status(issuer.Token(map[string]any{"scope": "orders:read"})))
	fmt.Println(status(issuer.Token(nil))) // a good token without the scope
	fmt.Println(status(issuer.Delegate("alice", "shipper", "orders:read")))
	for _, broken := range issuer.Broken() {
		if code := status(broken.Token); code != http.StatusUnauthorized && code != http.StatusBadRequest {
			fmt.Println("admitted:", broken.Name)
		}
	}
	// Output:
	// 200
	// 403
	// 200
}

// A token that is bound to a key is good with a proof by that key, and worth
// nothing without.
func ExampleProofKey() {
	issuer, err := authtest.NewIssuer(authtest.Config{})
	if err != nil {
		panic(err)
	}
	defer issuer.Close()

	dpop, err := auth.NewDPoP(auth.DPoPConfig{Origin: "https://api.test"})
	if err != nil {
		panic(err)
	}
	jwt, err := auth.NewJWT(auth.JWTConfig{
		Issuers:    []auth.Issuer{{URL: issuer.URL(), Audience: []string{"api"}}},
		HTTPClient: issuer.Client(),
		DPoP:       dpop,
	})
	if err != nil {
		panic(err)
	}
	defer func() { _ = jwt.Close() }()
	gate, err := auth.New(auth.Config{Authenticators: []auth.Authenticator{jwt}})
	if err != nil {
		panic(err)
	}
	service := gate.Handler(http.HandlerFunc(greet))

	key := authtest.NewProofKey("")
	token := issuer.Token(map[string]any{"cnf": key.Confirmation()})
	for _, authorization := range []string{"DPoP " + token, "Bearer " + token} {
		r := httptest.NewRequest(http.MethodGet, "https://api.test/orders?page=2", http.NoBody)
		r.Header.Set("Authorization", authorization)
		r.Header.Set("DPoP", key.Proof(r.Method, r.URL.String(), token, nil))
		w := httptest.NewRecorder()
		service.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// 200
	// 401
}

// Requests can fail in the ways that a network fails.
func ExampleIssuer_Intercept() {
	issuer, err := authtest.NewIssuer(authtest.Config{})
	if err != nil {
		panic(err)
	}
	defer issuer.Close()

	issuer.Intercept(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	})
	r, err := issuer.Client().Get(issuer.JWKSURL())
	if err != nil {
		panic(err)
	}
	defer func() { _ = r.Body.Close() }()
	_, fetches := issuer.Fetches()
	fmt.Println(r.StatusCode, fetches)
	// Output: 503 1
}

package basic_test

import (
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/basic"
	"github.com/gatehouse-go/gatehouse/auth/principal"
)

// What Generate returned when the client was set up: the secret is with the
// client, its hash in the service's configuration.
const (
	exporterSecret = "SfvkZRpu0hV8gQm3tXzY8rWb2LdN6hJp4sGf7cEa9Ti"
	exporterHash   = "sha256:8f0655da56b0413ceec6bf16815398c01b246737b91551c3bd53740a879cb49f"
)

func get(h http.Handler, overTLS bool, name, secret string) {
	r := httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)
	if overTLS {
		r.TLS = &tls.ConnectionState{}
	}
	if name != "" {
		r.SetBasicAuth(name, secret)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"), strings.TrimSpace(w.Body.String()))
}

func hello(w http.ResponseWriter, r *http.Request) {
	if p, ok := principal.FromContext(r.Context()); ok {
		_, _ = fmt.Fprintf(w, "hello %s %v", p.Subject, p.Scopes)
	}
}

func Example() {
	hash, err := basic.ParseHash(exporterHash)
	if err != nil {
		panic(err)
	}
	clients, err := basic.New(basic.Config{
		Issuer:  "https://api.example.com",
		Realm:   "metrics",
		Clients: map[string]basic.Client{"exporter": {Secrets: []basic.Hash{hash}, Scopes: []string{"metrics:read"}}},
	})
	if err != nil {
		panic(err)
	}
	gate, err := auth.New(auth.Config{Authenticators: []auth.Authenticator{clients}})
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", gate.Handler(http.HandlerFunc(hello)))

	get(mux, true, "exporter", exporterSecret)
	get(mux, true, "exporter", "another secret of some length")
	get(mux, true, "", "")
	get(mux, false, "exporter", exporterSecret) // who listened has it now: it is time for a new one
	// Output:
	// 200  hello exporter [metrics:read]
	// 401 Basic realm="metrics", charset="UTF-8" {"type":"about:blank","title":"Unauthorized","status":401,"detail":"The credentials were not accepted."}
	// 401 Basic realm="metrics", charset="UTF-8" {"type":"about:blank","title":"Unauthorized","status":401,"detail":"This resource needs credentials."}
	// 400  {"type":"about:blank","title":"Bad Request","status":400,"detail":"The request must carry exactly one well-formed credential."}
}

// A secret is replaced without a moment in which the client is locked out: both
// are live until the client uses the new one.
func ExampleGenerate() {
	last, err := basic.ParseHash(exporterHash)
	if err != nil {
		panic(err)
	}
	secret, next := basic.Generate()
	_, err = basic.New(basic.Config{
		Issuer:  "https://api.example.com",
		Clients: map[string]basic.Client{"exporter": {Secrets: []basic.Hash{next, last}}},
	})
	fmt.Println(len(secret), len(next.Text()), next.Text() != last.Text(), err)
	// Output:
	// 43 71 true <nil>
}

// A store that does not know the name returns no error: an error is 503.
func ExampleConfig_lookup() {
	// row stands for a query of a database.
	row := func(_ context.Context, name string) (hash string, err error) {
		if name != "exporter" {
			return "", sql.ErrNoRows
		}
		return exporterHash, nil
	}
	clients, err := basic.New(basic.Config{
		Issuer: "https://api.example.com",
		Lookup: func(ctx context.Context, name string) (basic.Client, error) {
			text, err := row(ctx, name)
			if errors.Is(err, sql.ErrNoRows) {
				return basic.Client{}, nil
			}
			if err != nil {
				return basic.Client{}, err
			}
			hash, err := basic.ParseHash(text)
			return basic.Client{Secrets: []basic.Hash{hash}}, err
		},
	})
	if err != nil {
		panic(err)
	}
	gate, err := auth.New(auth.Config{Authenticators: []auth.Authenticator{clients}})
	if err != nil {
		panic(err)
	}
	h := gate.Handler(http.HandlerFunc(hello))
	get(h, true, "exporter", exporterSecret)
	get(h, true, "nobody", exporterSecret)
	// Output:
	// 200  hello exporter []
	// 401 Basic realm="https://api.example.com", charset="UTF-8" {"type":"about:blank","title":"Unauthorized","status":401,"detail":"The credentials were not accepted."}
}

// A password that a person made up has too little in it for SHA-256, which an
// attacker computes by the billion.
func ExampleNewHash_incorrect() {
	_, err := basic.NewHash("Summer2026!")
	fmt.Println(err)
	_, err = basic.NewHash("our exporter's very long passphrase")
	fmt.Println(err)
	// Output:
	// basic: secret has 11 characters, want 22 to 255
	// basic: secret has spaces or characters beyond ASCII, want it generated
}

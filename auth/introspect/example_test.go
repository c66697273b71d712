package introspect_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/introspect"
	"github.com/gatehouse-go/gatehouse/auth/principal"
)

func Example() {
	// What an authorization server does.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch id, _, _ := r.BasicAuth(); {
		case id != "orders-api":
			w.WriteHeader(http.StatusUnauthorized)
		case r.PostFormValue("token") == "2YotnFZFEjr1zCsicMWpAA":
			_, _ = fmt.Fprint(w, `{"active":true,"sub":"alice","aud":"orders","scope":"orders:read"}`)
		default:
			_, _ = fmt.Fprint(w, `{"active":false}`)
		}
	}))
	defer server.Close()

	tokens, err := introspect.New(introspect.Config{
		Endpoint:              server.URL, // https elsewhere
		Issuer:                "https://id.example.com",
		Audience:              []string{"orders"},
		Credentials:           introspect.ClientSecret("orders-api", "a secret from the environment"),
		InsecureAllowLoopback: true, // for this example
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = tokens.Close() }()
	gate, err := auth.New(auth.Config{Authenticators: []auth.Authenticator{tokens}})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := principal.FromContext(r.Context())
		_, _ = fmt.Fprintf(w, "%s may %v", p.Subject, p.Scopes)
	}))

	for _, token := range []string{"2YotnFZFEjr1zCsicMWpAA", "stolen-and-revoked"} {
		r := httptest.NewRequest(http.MethodGet, "/orders", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == http.StatusOK {
			fmt.Println(w.Body)
		} else {
			fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
		}
	}
	// Output:
	// alice may [orders:read]
	// 401 Bearer error="invalid_token"
}

// Who proves itself by a signed assertion makes one for each question.
func ExampleCredentialsFunc() {
	sign := func(context.Context) (string, error) { return "header.payload.signature", nil } // with a private key

	credentials := introspect.CredentialsFunc(func(ctx context.Context, form url.Values, _ http.Header) error {
		assertion, err := sign(ctx)
		if err != nil {
			return err
		}
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
		return nil
	})
	_, err := introspect.New(introspect.Config{
		Endpoint: "https://id.example.com/oauth2/introspect", Issuer: "https://id.example.com", Audience: []string{"orders"},
		Credentials: credentials,
	})
	fmt.Println(err)
	// Output: <nil>
}

// Without the names of this service every token that the server knows would do,
// also one that was issued to another service, which could use it here.
func ExampleNew_incorrect() {
	_, err := introspect.New(introspect.Config{
		Endpoint:    "http://id.example.com/oauth2/introspect",
		Issuer:      "https://id.example.com",
		Credentials: introspect.ClientSecret("orders-api", "a secret from the environment"),
	})
	fmt.Println(err)
	// Output:
	// introspect: Endpoint has the scheme "http", want https
	// introspect: Audience is empty, want the names of this service
}

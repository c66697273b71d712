package apikey_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/apikey"
	"github.com/gatehouse-go/gatehouse/auth/principal"
)

func hello(w http.ResponseWriter, r *http.Request) {
	if p, ok := principal.FromContext(r.Context()); ok {
		_, _ = fmt.Fprintf(w, "hello %s %v", p.Subject, p.Scopes)
	}
}

func get(h http.Handler, name, value string) {
	r := httptest.NewRequest(http.MethodGet, "/orders", http.NoBody)
	r.Header.Set(name, value)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"), strings.TrimSpace(w.Body.String()))
}

func Example() {
	ctx := context.Background()
	store := new(apikey.MemoryStore)

	// An admin's tool: the key goes to its owner, the record to the store.
	key, record, err := apikey.Generate(apikey.Grant{
		Prefix: "orders", Owner: "billing", Scopes: []string{"orders:read"}, Lifetime: 90 * 24 * time.Hour,
	})
	if err != nil {
		panic(err)
	}
	if err := store.Create(ctx, record); err != nil {
		panic(err)
	}

	// The service.
	keys, err := apikey.New(apikey.Config{Prefix: "orders", Issuer: "https://api.example.com", Store: store})
	if err != nil {
		panic(err)
	}
	defer keys.Close() //nolint:errcheck // always nil
	gate, err := auth.New(auth.Config{Authenticators: []auth.Authenticator{keys}, Realm: "orders"})
	if err != nil {
		panic(err)
	}
	h := gate.Handler(http.HandlerFunc(hello))

	get(h, "X-Api-Key", key.Reveal())
	get(h, "X-Api-Key", "orders_mistyped")
	if err := store.Revoke(ctx, record.ID); err != nil {
		panic(err)
	}
	get(h, "X-Api-Key", key.Reveal())
	// Output:
	// 200  hello billing [orders:read]
	// 401 ApiKey realm="orders", header="X-Api-Key" {"type":"about:blank","title":"Unauthorized","status":401,"detail":"The credentials were not accepted."}
	// 401 ApiKey realm="orders", header="X-Api-Key" {"type":"about:blank","title":"Unauthorized","status":401,"detail":"The credentials were not accepted."}
}

// Keys beside JWTs, as bearer tokens.
func Example_bearer() {
	store := new(apikey.MemoryStore)
	key, record, err := apikey.Generate(apikey.Grant{Prefix: "orders", Owner: "billing", Lifetime: 24 * time.Hour})
	if err != nil {
		panic(err)
	}
	if err := store.Create(context.Background(), record); err != nil {
		panic(err)
	}
	keys, err := apikey.New(apikey.Config{Prefix: "orders", Issuer: "https://api.example.com", Store: store, Header: "Authorization"})
	if err != nil {
		panic(err)
	}
	defer keys.Close() //nolint:errcheck // always nil
	jwt, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{{
		URL: "https://id.example.com", Audience: []string{"orders"},
		Keys: auth.Secret([]byte("kX93jd02lsPqW8eRt5yUiOaZxCvBnM71-Tg6Yh4Jq0Lw2Fd8Sv5Bz3Nc9Xm7Kp1R")),
	}}})
	if err != nil {
		panic(err)
	}
	defer jwt.Close() //nolint:errcheck // nothing to tell
	gate, err := auth.New(auth.Config{Authenticators: []auth.Authenticator{keys, jwt}})
	if err != nil {
		panic(err)
	}
	h := gate.Handler(http.HandlerFunc(hello))
	get(h, "Authorization", "Bearer "+key.Reveal())
	get(h, "Authorization", "Bearer eyJhbGciOiJIUzI1NiJ9.e30.AAAA")
	get(h, "X-Api-Key", key.Reveal())
	// Output:
	// 200  hello billing []
	// 401 Bearer error="invalid_token" {"type":"about:blank","title":"Unauthorized","status":401,"detail":"The credentials were not accepted."}
	// 401 Bearer {"type":"about:blank","title":"Unauthorized","status":401,"detail":"This resource needs credentials."}
}

// A new key replaces an old one without a gap: both are good until the old one is
// revoked, and both are the same caller.
func Example_rotation() {
	ctx := context.Background()
	store := new(apikey.MemoryStore)
	keys, err := apikey.New(apikey.Config{Prefix: "orders", Issuer: "https://api.example.com", Store: store})
	if err != nil {
		panic(err)
	}
	defer keys.Close() //nolint:errcheck // always nil
	issue := func() apikey.Key {
		key, record, err := apikey.Generate(apikey.Grant{Prefix: "orders", Owner: "billing", Lifetime: 90 * 24 * time.Hour})
		if err != nil {
			panic(err)
		}
		if err := store.Create(ctx, record); err != nil {
			panic(err)
		}
		return key
	}
	old := issue()
	fresh := issue()
	current, err := keys.Verify(ctx, fresh.Reveal())
	if err != nil {
		panic(err)
	}
	// Once billing uses the new one:
	records, err := store.List(ctx, "billing")
	if err != nil {
		panic(err)
	}
	for _, r := range records {
		if r.ID != current.TokenID {
			if err := store.Revoke(ctx, r.ID); err != nil {
				panic(err)
			}
		}
	}
	for _, key := range []apikey.Key{old, fresh} {
		_, err := keys.Verify(ctx, key.Reveal())
		fmt.Println(err == nil)
	}
	// Output:
	// false
	// true
}

// A key is in no log and no error by accident: to print it, say so.
func ExampleKey_incorrect() {
	key, _, err := apikey.Generate(apikey.Grant{Prefix: "orders", Owner: "billing", Lifetime: time.Hour})
	if err != nil {
		panic(err)
	}
	fmt.Println(strings.Contains(fmt.Sprintf("%+v", key), "orders_"))
	fmt.Println(strings.HasPrefix(key.Reveal(), "orders_"))
	// Output:
	// false
	// true
}

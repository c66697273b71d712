package rbac_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/gatehouse-go/gatehouse/auth/principal"
	"github.com/gatehouse-go/gatehouse/rbac"
)

func list(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("all orders")) }

// ask sends a request by a caller with these roles and prints the status. In a
// service, auth's Gate puts the caller into the context.
func ask(h http.Handler, method, path string, roles ...string) {
	r := httptest.NewRequest(method, path, nil)
	if len(roles) > 0 {
		r = r.WithContext(principal.NewContext(r.Context(), &principal.Principal{
			Issuer: "https://id.example.com", Subject: "ann", Roles: roles,
		}))
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(method, path, w.Code)
}

func Example() {
	var perms rbac.Catalog // both are package-level variables in a service
	read, write := perms.Define("orders:read", "Read orders"), perms.Define("orders:write", "Change orders")

	document, err := rbac.ParseDocument([]byte(`{
		"version": "2026-11-22",
		"roles": {
			"customer": {"allow": ["orders:read"]},
			"clerk":    {"inherits": ["customer"], "allow": ["orders:write"]}
		}
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	policy, err := rbac.New(rbac.Config{Catalog: &perms, Document: document})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("GET /orders", policy.Require(read)(http.HandlerFunc(list)))
	mux.Handle("PUT /orders", policy.Require(read, write)(http.HandlerFunc(list)))
	mux.Handle("GET /health", rbac.Public("says that the process lives")(http.HandlerFunc(list)))
	mux.HandleFunc("GET /export", list) // nobody thought of its permission
	h := policy.Handler(mux)

	ask(h, "GET", "/health")
	ask(h, "GET", "/orders")
	ask(h, "GET", "/orders", "customer")
	ask(h, "PUT", "/orders", "customer")
	ask(h, "PUT", "/orders", "clerk")
	ask(h, "GET", "/export", "clerk")
	ask(h, "GET", "/nowhere", "clerk")
	// Output:
	// GET /health 200
	// GET /orders 401
	// GET /orders 200
	// PUT /orders 403
	// PUT /orders 200
	// GET /export 500
	// GET /nowhere 404
}

// A check of the path beside the routes decides about another text than the
// router does, and forgets the routes that come later. Here the router's
// wildcard matches what the prefix does not.
func ExamplePolicy_Require_incorrect() {
	var perms rbac.Catalog
	manage := perms.Define("admin:manage", "Manage the service")
	policy, err := rbac.New(rbac.Config{Catalog: &perms, Document: &rbac.Document{
		Roles: map[string]rbac.Role{"admin": {Allow: []string{"admin:*"}}},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{tenant}/admin/orders", list)
	wrong := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.URL.Path) > 7 && r.URL.Path[:7] == "/admin/" { // incorrect
			policy.Require(manage)(mux).ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
	ask(wrong, "GET", "/acme/admin/orders", "customer")

	// The guard sees that nobody decided; the permission belongs to the route.
	ask(policy.Handler(wrong), "GET", "/acme/admin/orders", "customer")
	right := http.NewServeMux()
	right.Handle("GET /{tenant}/admin/orders", policy.Require(manage)(http.HandlerFunc(list)))
	ask(policy.Handler(right), "GET", "/acme/admin/orders", "customer")
	// Output:
	// GET /acme/admin/orders 200
	// GET /acme/admin/orders 500
	// GET /acme/admin/orders 403
}

func ExampleNew_mistakes() {
	var perms rbac.Catalog
	perms.Define("orders:read", "Read orders")
	_, err := rbac.New(rbac.Config{Catalog: &perms, Document: &rbac.Document{Roles: map[string]rbac.Role{
		"clerk": {Allow: []string{"orders:raed"}, Inherits: []string{"boss"}},
		"boss":  {Inherits: []string{"clerk"}},
	}}})
	fmt.Println(err)
	// Output:
	// rbac: Document: role "clerk" allows "orders:raed", which is no permission of the Catalog
	// rbac: Document: role "boss" inherits itself: "boss" → "clerk" → "boss"
}

// Can is for what depends on a permission without being a route of its own.
func ExamplePolicy_Can() {
	var perms rbac.Catalog
	read, prices := perms.Define("orders:read", "Read orders"), perms.Define("orders:prices", "See what we pay")
	policy, err := rbac.New(rbac.Config{Catalog: &perms, Document: &rbac.Document{Roles: map[string]rbac.Role{
		"clerk": {Allow: []string{"orders:read"}},
		"buyer": {Allow: []string{"orders:*"}},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := policy.Require(read)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println("with prices:", policy.Can(r.Context(), prices))
	}))
	ask(h, "GET", "/orders/7", "clerk")
	ask(h, "GET", "/orders/7", "buyer")
	// Output:
	// with prices: false
	// GET /orders/7 200
	// with prices: true
	// GET /orders/7 200
}

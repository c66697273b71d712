package principal_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/gatehouse-go/gatehouse/auth/principal"
)

// A handler's test sets the caller itself.
func ExampleNewContext() {
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, ok := principal.FromContext(r.Context())
		if !ok {
			http.Error(w, "nobody", http.StatusUnauthorized)
			return
		}
		_, _ = fmt.Fprintln(w, "hello", p.Subject)
	})

	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r = r.WithContext(principal.NewContext(r.Context(), &principal.Principal{
		Issuer: "https://id.example.com", Subject: "alice",
	}))
	w := httptest.NewRecorder()
	hello.ServeHTTP(w, r)
	fmt.Print(w.Body)
	// Output: hello alice
}

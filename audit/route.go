package audit

import (
	"net/http"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/internal/pass"
)

// Route is a middleware to stand inside of a router, behind its matching: it
// notes the pattern that the router left in the request, also when the handler
// panics. It is for routers that set [http.Request.Pattern], such as chi.
func Route(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pass.On(next, w, r)
	})
}

// RouteFunc is [Route] for routers that keep the pattern elsewhere: pattern is
// asked when the handler is done. It panics if pattern is nil.
func RouteFunc(pattern func(*http.Request) string) func(http.Handler) http.Handler {
	if pattern == nil {
		panic("audit: RouteFunc of nil")
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx := r.Context()
			defer func() { decision.SetRoute(ctx, pattern(r)) }()
			next.ServeHTTP(w, r)
		})
	}
}

// Package pass hands a request on to the next handler without losing what the
// handlers further in find out about it.
package pass

import (
	"context"
	"net/http"

	"github.com/gatehouse-go/gatehouse/audit/decision"
)

// With calls next with r under ctx. When next returns or panics it copies what
// routers and form parsers stored in the new request back into r: without the
// pattern an outer middleware would not know the route, without the form
// net/http would leave uploaded files on disk.
func With(ctx context.Context, next http.Handler, w http.ResponseWriter, r *http.Request) {
	inner := r.WithContext(ctx)
	defer func() {
		if inner.Pattern != "" {
			r.Pattern = inner.Pattern
		}
		if inner.MultipartForm != nil {
			r.MultipartForm = inner.MultipartForm
		}
		decision.SetRoute(ctx, inner.Pattern)
	}()
	next.ServeHTTP(w, inner)
}

// On calls next with r itself and notes the route when next is done.
func On(next http.Handler, w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	defer func() { decision.SetRoute(ctx, r.Pattern) }()
	next.ServeHTTP(w, r)
}

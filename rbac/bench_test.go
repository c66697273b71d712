package rbac_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gatehouse-go/gatehouse/rbac"
)

// scale is a service of some size: chains of eight roles that inherit, with
// three permissions of their own each.
type scale struct {
	policy  *rbac.Policy
	perms   []rbac.Perm
	allowed context.Context
	denied  context.Context
}

func document(roles, perms int) (*rbac.Catalog, []rbac.Perm, *rbac.Document) {
	catalog := new(rbac.Catalog)
	all := make([]rbac.Perm, perms)
	for i := range all {
		all[i] = catalog.Define(fmt.Sprintf("service%d:perm%d", i/10, i), "a permission")
	}
	doc := &rbac.Document{Roles: make(map[string]rbac.Role)}
	for i := range roles {
		var r rbac.Role
		for j := range 3 {
			r.Allow = append(r.Allow, all[1+(i*3+j)%(perms-1)].String()) // never the first
		}
		if i%8 > 0 {
			r.Inherits = []string{fmt.Sprintf("role%d", i-1)}
		}
		doc.Roles[fmt.Sprintf("role%d", i)] = r
	}
	doc.Roles["first"] = rbac.Role{Allow: []string{all[0].String()}}
	return catalog, all, doc
}

func newScale(tb testing.TB, roles, perms int) *scale {
	tb.Helper()
	catalog, all, doc := document(roles, perms)
	p, err := rbac.New(rbac.Config{Catalog: catalog, Document: doc})
	if err != nil {
		tb.Fatal(err)
	}
	mine := []string{"role0", "role7", "unknown", fmt.Sprintf("role%d", roles-1)}
	return &scale{p, all, as(append(mine, "first")...), as(append(mine, "role1")...)}
}

var sizes = []struct {
	name         string
	roles, perms int
}{{"small", 10, 100}, {"large", 1000, 10_000}}

func BenchmarkCan(b *testing.B) {
	for _, size := range sizes {
		s := newScale(b, size.roles, size.perms)
		for name, ctx := range map[string]context.Context{"allowed": s.allowed, "denied": s.denied} {
			b.Run(size.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if s.policy.Can(ctx, s.perms[0]) != (name == "allowed") {
						b.Fatal("wrong answer")
					}
				}
			})
		}
	}
}

func BenchmarkRequire(b *testing.B) {
	for _, size := range sizes {
		s := newScale(b, size.roles, size.perms)
		h := s.policy.Require(s.perms[0])(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		for name, ctx := range map[string]context.Context{"allowed": s.allowed, "denied": s.denied, "unknown": context.Background()} {
			b.Run(size.name+"/"+name, func(b *testing.B) {
				r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
				w := &discard{make(http.Header)}
				b.ReportAllocs()
				for b.Loop() {
					h.ServeHTTP(w, r)
				}
			})
		}
	}
}

func BenchmarkGuard(b *testing.B) {
	s := newScale(b, 10, 100)
	h := s.policy.Handler(s.policy.Require(s.perms[0])(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})))
	r := httptest.NewRequestWithContext(s.allowed, http.MethodGet, "/", nil)
	w := &discard{make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}

func BenchmarkNew(b *testing.B) {
	for _, size := range sizes {
		catalog, _, doc := document(size.roles, size.perms)
		b.Run(size.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := rbac.New(rbac.Config{Catalog: catalog, Document: doc}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// discard is a writer that costs nothing.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

// Command chi shows gatehouse on github.com/go-chi/chi.
//
//	go run -C examples ./chi
package main

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-go/gatehouse/audit"
	"github.com/gatehouse-go/gatehouse/examples/internal/shop"
	"github.com/gatehouse-go/gatehouse/rbac"
	"github.com/gatehouse-go/gatehouse/validate"
)

func main() { shop.Main(routes) }

func routes(s *shop.Shop) http.Handler {
	r := chi.NewRouter()
	r.Use(audit.Route) // chi copies the request, so its pattern must be fetched from inside
	r.With(rbac.Public("shows what a panic does")).Get("/crash", shop.Crash)
	r.Group(func(r chi.Router) {
		r.Use(s.Gate.Handler)
		r.With(s.Policy.Require(shop.Read)).Get("/orders", shop.List)
		r.With(s.Policy.Require(shop.Write), validate.Body[shop.NewOrder](s.Input)).Post("/orders", shop.Create)
		r.With(s.Policy.Require(shop.Read)).Get("/orders/{id}", shop.Show(id))
		r.With(s.Policy.Require(shop.Delete)).Delete("/orders/{id}", shop.Show(id))
	})
	return r
}

func id(r *http.Request) string { return chi.URLParam(r, "id") }

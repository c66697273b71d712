// Command servemux shows gatehouse on the standard library's http.ServeMux.
//
//	go run -C examples ./servemux
package main

import (
	"net/http"

	"github.com/gatehouse-go/gatehouse/examples/internal/shop"
	"github.com/gatehouse-go/gatehouse/rbac"
	"github.com/gatehouse-go/gatehouse/validate"
)

func main() { shop.Main(routes) }

func routes(s *shop.Shop) http.Handler {
	read := s.Policy.Require(shop.Read)
	write := s.Policy.Require(shop.Write)
	remove := s.Policy.Require(shop.Delete)
	body := validate.Body[shop.NewOrder](s.Input)

	mux := http.NewServeMux()
	mux.Handle("GET /crash", rbac.Public("shows what a panic does")(http.HandlerFunc(shop.Crash)))
	mux.Handle("GET /orders", s.Gate.Handler(read(http.HandlerFunc(shop.List))))
	mux.Handle("POST /orders", s.Gate.Handler(write(body(http.HandlerFunc(shop.Create)))))
	mux.Handle("GET /orders/{id}", s.Gate.Handler(read(shop.Show(id))))
	mux.Handle("DELETE /orders/{id}", s.Gate.Handler(remove(shop.Show(id))))
	return mux
}

func id(r *http.Request) string { return r.PathValue("id") }

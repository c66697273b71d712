// Command gorilla shows gatehouse on github.com/gorilla/mux.
//
//	go run -C examples ./gorilla
package main

import (
	"net/http"

	"github.com/gorilla/mux"

	"github.com/gatehouse-go/gatehouse/audit"
	"github.com/gatehouse-go/gatehouse/examples/internal/shop"
	"github.com/gatehouse-go/gatehouse/rbac"
	"github.com/gatehouse-go/gatehouse/validate"
)

func main() { shop.Main(routes) }

func routes(s *shop.Shop) http.Handler {
	r := mux.NewRouter()
	r.Use(audit.RouteFunc(pattern)) // gorilla/mux keeps its pattern to itself
	r.Handle("/crash", rbac.Public("shows what a panic does")(http.HandlerFunc(shop.Crash))).Methods(http.MethodGet)

	read := s.Policy.Require(shop.Read)
	write := s.Policy.Require(shop.Write)
	remove := s.Policy.Require(shop.Delete)
	body := validate.Body[shop.NewOrder](s.Input)
	api := r.NewRoute().Subrouter()
	api.Use(s.Gate.Handler)
	api.Handle("/orders", read(http.HandlerFunc(shop.List))).Methods(http.MethodGet)
	api.Handle("/orders", write(body(http.HandlerFunc(shop.Create)))).Methods(http.MethodPost)
	api.Handle("/orders/{id}", read(shop.Show(id))).Methods(http.MethodGet)
	api.Handle("/orders/{id}", remove(shop.Show(id))).Methods(http.MethodDelete)
	return r
}

func id(r *http.Request) string { return mux.Vars(r)["id"] }

func pattern(r *http.Request) string {
	template, _ := mux.CurrentRoute(r).GetPathTemplate() // "" for a route without a path
	return template
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/gatehouse-go/gatehouse/audit"
	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/auth/principal"
	"github.com/gatehouse-go/gatehouse/rbac"
	"github.com/gatehouse-go/gatehouse/validate"
)

var perms rbac.Catalog

// The permissions of the service, bound to routes in service.go and given to
// roles in policy.json.
var (
	ordersRead    = perms.Define("orders:read", "Read one's own orders")
	ordersWrite   = perms.Define("orders:write", "Create and change one's own orders")
	ordersReadAll = perms.Define("orders:read-all", "Read everybody's orders")
)

// orderInput is what a client may say about an order.
type orderInput struct {
	Item     string `json:"item" validate:"required,max=64"`
	Quantity int    `json:"quantity" validate:"min=1,max=100"`
	// A note is prose: markup in it goes before the rules are checked.
	Note string `json:"note" validate:"max=500" sanitize:"text"`
}

var errNotDecoded = errors.New("handler without its decoder")

func (s *service) create(w http.ResponseWriter, r *http.Request) {
	in, ok := validate.FromContext[orderInput](r.Context())
	who, known := principal.FromContext(r.Context())
	if !ok || !known {
		s.fail(w, r, errNotDecoded)
		return
	}
	o, err := s.store.add(r.Context(), order{Owner: who.ID(), Item: in.Item, Quantity: in.Quantity, Note: in.Note})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Location", "/orders/"+o.ID)
	writeJSON(w, http.StatusCreated, o)
}

func (s *service) list(w http.ResponseWriter, r *http.Request) {
	who, _ := principal.FromContext(r.Context())
	orders, err := s.store.ordersOf(r.Context(), who.ID(), r.URL.Query().Get("item"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, orders)
}

func (s *service) listAll(w http.ResponseWriter, r *http.Request) {
	orders, err := s.store.allOrders(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, orders)
}

// show answers 404 for somebody else's order, as if it did not exist.
func (s *service) show(w http.ResponseWriter, r *http.Request) {
	if o, ok := s.ownOrder(w, r, ordersReadAll); ok {
		writeJSON(w, http.StatusOK, o)
	}
}

func (s *service) change(w http.ResponseWriter, r *http.Request) {
	in, ok := validate.FromContext[orderInput](r.Context())
	if !ok {
		s.fail(w, r, errNotDecoded)
		return
	}
	o, ok := s.ownOrder(w, r, rbac.Perm{}) // nobody changes somebody else's
	if !ok {
		return
	}
	o.Item, o.Quantity, o.Note = in.Item, in.Quantity, in.Note
	if err := s.store.change(r.Context(), o); err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, o)
}

// ownOrder loads the order that the path names, if it is the caller's or the
// caller has the permission that makes up for it. Otherwise it has answered.
func (s *service) ownOrder(w http.ResponseWriter, r *http.Request, override rbac.Perm) (order, bool) {
	who, _ := principal.FromContext(r.Context())
	o, err := s.store.order(r.Context(), r.PathValue("id"))
	switch {
	case errors.Is(err, errAbsent):
		s.deny(w, r, decision.Decision{Layer: "orders", Reason: "absent", Status: http.StatusNotFound}, "There is no such order.")
	case err != nil:
		s.fail(w, r, err)
	case o.Owner != who.ID() && !s.policy.Can(r.Context(), override):
		s.deny(w, r, decision.Decision{Layer: "orders", Reason: "owner", Status: http.StatusNotFound}, "There is no such order.")
	default:
		return o, true
	}
	return order{}, false
}

// deny refuses a request for a reason of the service's own, which stands in
// the audit trail beside what the layers decided.
func (s *service) deny(w http.ResponseWriter, r *http.Request, d decision.Decision, detail string) {
	decision.Add(r.Context(), d)
	writeProblem(w, r, d.Status, detail)
}

// fail answers for an error. Its text may hold anything that a user sent, so
// the log gets its type.
func (s *service) fail(w http.ResponseWriter, r *http.Request, err error) {
	d := decision.Decision{Layer: "service", Reason: "error", Status: http.StatusInternalServerError}
	level := slog.LevelError
	if errors.Is(err, errBusy) || errors.Is(err, context.Canceled) { // nothing is broken
		d.Reason, d.Status, level = "unavailable", http.StatusServiceUnavailable, slog.LevelWarn
		w.Header().Set("Retry-After", "5")
	}
	s.log.LogAttrs(r.Context(), level, "request failed",
		slog.String("error", fmt.Sprintf("%T", err)), slog.String("request_id", audit.RequestID(r.Context())))
	s.deny(w, r, d, "The service failed to answer this request.")
}

// writeJSON answers with v. encoding/json escapes <, > and &, so that the
// answer is harmless even where it ends up in a page.
func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone: nobody to tell
}

func writeProblem(w http.ResponseWriter, r *http.Request, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"type": "about:blank", "title": http.StatusText(status), "status": status,
		"detail": detail, "request_id": audit.RequestID(r.Context()),
	})
}

package main

import (
	"encoding/json"
	"net/http"
	"sync"

	"github.com/gatehouse-go/gatehouse/auth/principal"
	"github.com/gatehouse-go/gatehouse/validate"
)

// A newOrder is what an application may say about an order.
type newOrder struct {
	Item string `json:"item" validate:"required,max=64" sanitize:"text"`
}

// An order is a user's, whichever application it came by.
type order struct {
	Item string `json:"item"`
	By   string `json:"by"`
}

// orders are kept in memory, the newest hundred of each user.
type orders struct {
	mu sync.Mutex
	of map[string][]order // principal.ID
}

func (s *service) list(w http.ResponseWriter, r *http.Request) {
	who, _ := principal.FromContext(r.Context())
	s.orders.mu.Lock()
	all := append([]order{}, s.orders.of[who.ID()]...)
	s.orders.mu.Unlock()
	writeJSON(w, http.StatusOK, all)
}

func (s *service) create(w http.ResponseWriter, r *http.Request) {
	who, known := principal.FromContext(r.Context())
	in, ok := validate.FromContext[newOrder](r.Context())
	if !known || !ok {
		http.Error(w, "The service failed to answer this request.", http.StatusInternalServerError)
		return
	}
	o := order{Item: in.Item, By: who.ClientID}
	s.orders.mu.Lock()
	if s.orders.of == nil {
		s.orders.of = make(map[string][]order)
	}
	all := s.orders.of[who.ID()]
	s.orders.of[who.ID()] = append(all[max(0, len(all)-99):], o)
	s.orders.mu.Unlock()
	writeJSON(w, http.StatusCreated, o)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone: nobody to tell
}

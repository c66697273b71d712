package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/examples/internal/trial"
)

// A line is what the tests look at in a line of the trail.
type line struct {
	Route, Outcome string
	Principal      *struct {
		Issuer, Subject, Kind string
		ClientID              string `json:"client_id"`
		Actor                 *struct{ Issuer, Subject string }
	}
	Decisions []struct{ Layer, Effect, Rule, Reason string }
}

// TestDelegation wants an application to do for a user what both may, and the
// trail to name both.
func TestDelegation(t *testing.T) {
	t.Parallel()
	issuer, err := newIssuer()
	if err != nil {
		t.Fatal(err)
	}
	defer issuer.Close()
	var trail bytes.Buffer
	s, err := newService(config{issuer: issuer.URL(), client: issuer.Client(), trail: &trail, log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}

	const (
		read, write  = "orders:read", "orders:write"
		insufficient = `Bearer error="insufficient_scope", scope="orders:`
	)
	tests := []struct {
		name, token, body   string
		status              int
		answer, challenge   string
		user, client, actor string // in the trail
		layer, reason       string // of the last decision
	}{
		{"a clerk's, with both scopes", issuer.Delegate("ann", "till", read, write), `{"item":"<b>tea</b>"}`, 201, `{"item":"tea","by":"till"}`, "", "ann", "till", "till", "validate", "valid"},
		{"the clerk's order by another application", issuer.Delegate("ann", "shipper", read), "", 200, `[{"item":"tea","by":"till"}]`, "", "ann", "shipper", "shipper", "rbac", "granted"},
		{"a clerk's without the scope", issuer.Delegate("ann", "shipper", read), `{"item":"tea"}`, 403, "", insufficient + `write"`, "ann", "shipper", "shipper", "auth", "scope"},
		{"a clerk's with the other scope", issuer.Delegate("ann", "shipper", write), "", 403, "", insufficient + `read"`, "ann", "shipper", "shipper", "auth", "scope"},
		{"a clerk's without any", issuer.Delegate("ann", "shipper"), "", 403, "", insufficient + `read"`, "ann", "shipper", "shipper", "auth", "scope"},
		{"an auditor's, with both scopes", issuer.Delegate("bob", "till", read, write), `{"item":"tea"}`, 403, "", "", "bob", "till", "till", "rbac", "permission"},
		{"an auditor's, who has no orders", issuer.Delegate("bob", "till", read, write), "", 200, `[]`, "", "bob", "till", "till", "rbac", "granted"},
		{"a stranger's, with both scopes", issuer.Delegate("eve", "till", read, write), "", 403, "", "", "eve", "till", "till", "rbac", "permission"},
		{"an application's own", issuer.Token(map[string]any{"sub": "ann", "client_id": "ann", "scope": read}), "", 403, "", "", "ann", "ann", "", "rbac", "permission"},
		{"for another service", issuer.Token(map[string]any{"sub": "ann", "aud": "invoices", "scope": read}), "", 401, "", `Bearer error="invalid_token"`, "", "", "", "auth", "audience"},
		{"that names no application", issuer.Token(map[string]any{"sub": "ann", "client_id": nil, "scope": read}), "", 401, "", `Bearer error="invalid_token"`, "", "", "", "auth", "claims"},
		{"none", "", "", 401, "", "Bearer", "", "", "", "auth", "missing"},
	}
	for _, tt := range tests {
		r := httptest.NewRequest(http.MethodGet, "https://localhost/orders", http.NoBody)
		if tt.body != "" {
			r = httptest.NewRequest(http.MethodPost, "https://localhost/orders", strings.NewReader(tt.body))
			r.Header.Set("Content-Type", "application/json")
		}
		if tt.token != "" {
			r.Header.Set("Authorization", "Bearer "+tt.token)
		}
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		if got := w.Header().Get("WWW-Authenticate"); w.Code != tt.status || got != tt.challenge {
			t.Errorf("%s: status = %d with %q, want %d with %q: %s", tt.name, w.Code, got, tt.status, tt.challenge, w.Body)
		}
		if got := strings.TrimSpace(w.Body.String()); tt.answer != "" && got != tt.answer {
			t.Errorf("%s: answer = %s, want %s", tt.name, got, tt.answer)
		}
	}

	if err := s.close(); err != nil { // the trail is complete
		t.Fatal(err)
	}
	lines := json.NewDecoder(&trail)
	for _, tt := range tests {
		var l line
		if err := lines.Decode(&l); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		last := l.Decisions[len(l.Decisions)-1]
		if last.Layer != tt.layer || last.Reason != tt.reason || (last.Effect == "deny") != (tt.status >= 400) || l.Route != "/orders" {
			t.Errorf("%s: the trail has %+v on %q, want %s for %s", tt.name, last, l.Route, tt.layer, tt.reason)
		}
		p := l.Principal
		if (p != nil) != (tt.user != "") {
			t.Errorf("%s: the principal is %+v, want %q", tt.name, p, tt.user)
		}
		if p == nil {
			continue
		}
		kind, actor := "user", ""
		if tt.actor == "" {
			kind = "client"
		}
		if p.Actor != nil {
			actor = p.Actor.Subject
		}
		if p.Issuer != issuer.URL() || p.Subject != tt.user || p.Kind != kind || p.ClientID != tt.client || actor != tt.actor || p.Actor != nil && p.Actor.Issuer != issuer.URL() {
			t.Errorf("%s: the principal is %+v by %+v, want the %s %s of %s by %s with the actor %q", tt.name, p, p.Actor, kind, tt.user, issuer.URL(), tt.client, tt.actor)
		}
	}
}

// TestPrintedLines runs each curl line that the service prints.
func TestPrintedLines(t *testing.T) {
	t.Parallel()
	trial.Curl(t, trial.Start(t, run, "-addr", "127.0.0.1:0").Banner, 6)
}

package decision_test

import (
	"context"
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/gatehouse-go/gatehouse/audit/decision"
)

func TestEffect(t *testing.T) {
	t.Parallel()
	if got := (decision.Decision{}).Effect; got != decision.Deny {
		t.Errorf("the zero Effect is %v, want deny", got)
	}
	for effect, want := range map[decision.Effect]string{
		decision.Deny: "deny", decision.Allow: "allow", decision.Modify: "modify", decision.Observe: "observe", 99: "unknown",
	} {
		b, err := json.Marshal(effect)
		if got := string(b); err != nil || got != `"`+want+`"` || effect.String() != want {
			t.Errorf("effect %d = %s, %s, %v; want %s", effect, effect, got, err, want)
		}
	}
}

func TestRecord(t *testing.T) {
	t.Parallel()
	record := decision.NewRecord("id-1")
	ctx := decision.NewContext(t.Context(), record)
	if got, ok := decision.FromContext(ctx); !ok || got != record {
		t.Error("FromContext does not find the record")
	}
	want := decision.Summary{
		RequestID: "id-1",
		Client:    netip.MustParseAddr("192.0.2.1"),
		Actor:     &decision.Actor{Issuer: "https://id.example.com", Subject: "alice"},
		Route:     "/orders/{id}",
		Decisions: []decision.Decision{
			{Layer: "auth", Effect: decision.Allow, Reason: "admitted"},
			{Layer: "rbac", Effect: decision.Deny, Rule: "orders:read", Reason: "permission", Status: 403},
		},
	}
	decision.SetClient(ctx, want.Client)
	decision.SetActor(ctx, decision.Actor{Issuer: "https://id.example.com", Subject: "not the last word"})
	decision.SetActor(ctx, *want.Actor)
	decision.SetRoute(ctx, "GET /orders/{id}")
	decision.SetRoute(ctx, "/orders/")
	for _, d := range want.Decisions {
		decision.Add(ctx, d)
	}
	if got := decision.RequestID(ctx); got != "id-1" {
		t.Errorf("RequestID = %q, want id-1", got)
	}
	if !record.Has("rbac") || record.Has("ratelimit") {
		t.Error("Has does not say who decided")
	}
	if got := record.Summary(); !reflect.DeepEqual(got, want) {
		t.Errorf("Summary = %+v, want %+v", got, want)
	}
	if got := record.Seal(); !reflect.DeepEqual(got, want) {
		t.Errorf("Seal = %+v, want %+v", got, want)
	}
}

// TestSealed: what comes late, from a goroutine that outlives its request,
// changes nothing, neither in the record nor in what Seal returned.
func TestSealed(t *testing.T) {
	t.Parallel()
	record := decision.NewRecord("id")
	ctx := decision.NewContext(t.Context(), record)
	decision.Add(ctx, decision.Decision{Layer: "auth"})
	sealed := record.Seal()
	before := decision.Summary{RequestID: "id", Decisions: []decision.Decision{{Layer: "auth"}}}

	decision.Add(ctx, decision.Decision{Layer: "late"})
	decision.SetActor(ctx, decision.Actor{Subject: "late"})
	decision.SetClient(ctx, netip.MustParseAddr("192.0.2.1"))
	decision.SetRoute(ctx, "/late")
	if !reflect.DeepEqual(sealed, before) {
		t.Errorf("Seal's summary became %+v, want %+v", sealed, before)
	}
	if got := record.Seal(); !reflect.DeepEqual(got, before) {
		t.Errorf("the record became %+v, want %+v", got, before)
	}
	// Appending to the summary does not write into the record.
	_ = append(sealed.Decisions, decision.Decision{Layer: "mine"})
	if got := record.Summary().Decisions; len(got) != 1 {
		t.Errorf("decisions = %+v, want one", got)
	}
}

func TestWithoutRecord(t *testing.T) {
	t.Parallel()
	for name, ctx := range map[string]context.Context{
		"none": t.Context(),
		"nil":  decision.NewContext(t.Context(), nil),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			decision.Add(ctx, decision.Decision{Layer: "auth"})
			decision.SetActor(ctx, decision.Actor{Subject: "alice"})
			decision.SetClient(ctx, netip.Addr{})
			decision.SetRoute(ctx, "/")
			if r, ok := decision.FromContext(ctx); ok || r != nil {
				t.Errorf("FromContext = %v, %v; want none", r, ok)
			}
			if got := decision.RequestID(ctx); got != "" {
				t.Errorf("RequestID = %q, want none", got)
			}
		})
	}
	var record *decision.Record
	record.Add(decision.Decision{Layer: "auth"})
	if record.Has("auth") {
		t.Error("a nil record has a decision")
	}
}

// TestBounds: nothing that a client sends makes a record grow.
func TestBounds(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", decision.MaxText) // two bytes each
	record := decision.NewRecord(long)
	ctx := decision.NewContext(t.Context(), record)
	const more = 10
	for range decision.MaxDecisions + more {
		decision.Add(ctx, decision.Decision{Layer: long, Rule: long, Reason: long, Detail: "x" + long})
	}
	decision.SetRoute(ctx, "/"+long)
	chain := decision.Actor{Issuer: long, Subject: long, Kind: long, Scheme: long, ClientID: long, Tenant: long, TokenID: long}
	for range 20 {
		inner := chain
		chain.Actor = &inner
	}
	decision.SetActor(ctx, chain)

	got := record.Seal()
	if len(got.Decisions) != decision.MaxDecisions || got.Dropped != more {
		t.Errorf("%d decisions and %d dropped, want %d and %d", len(got.Decisions), got.Dropped, decision.MaxDecisions, more)
	}
	texts := []string{got.RequestID, got.Route}
	for _, d := range got.Decisions {
		texts = append(texts, d.Layer, d.Rule, d.Reason, d.Detail)
	}
	depth := 0
	for a := got.Actor; a != nil; a = a.Actor {
		texts = append(texts, a.Issuer, a.Subject, a.Kind, a.Scheme, a.ClientID, a.Tenant, a.TokenID)
		depth++
	}
	if depth != 4 {
		t.Errorf("the chain of actors is %d long, want 4", depth)
	}
	for _, s := range texts {
		if len(s) > decision.MaxText || len(s) < decision.MaxText-1 || !utf8.ValidString(s) {
			t.Fatalf("a text has %d bytes, valid %v; want %d and whole runes", len(s), utf8.ValidString(s), decision.MaxText)
		}
	}
	if chain.Actor.Actor == nil || len(chain.Subject) != len(long) {
		t.Error("the caller's actor was changed")
	}
}

// TestCut also bounds bytes that are not UTF-8.
func TestCut(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		strings.Repeat("\x80", 300), strings.Repeat("\xff", 300), strings.Repeat("語", 100), strings.Repeat("😀", 100), strings.Repeat("a", 256),
	} {
		record := decision.NewRecord("")
		record.Add(decision.Decision{Detail: s})
		got := record.Seal().Decisions[0].Detail
		if !strings.HasPrefix(s, got) || len(got) > decision.MaxText || len(got) < min(len(s), decision.MaxText-utf8.UTFMax) {
			t.Errorf("%.8q… of %d bytes was cut to %d", s, len(s), len(got))
		}
	}
}

// TestRoute: the same text whatever the router.
func TestRoute(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]string{
		"":                                 "",
		"/":                                "/",
		"/orders/{id}":                     "/orders/{id}",     // chi, gorilla
		"GET /orders/{id}":                 "/orders/{id}",     // ServeMux
		"GET example.com/orders/{id}":      "/orders/{id}",     // with a host
		"example.com/":                     "/",                //
		"GET /orders/{$}":                  "/orders/",         // exactly that path
		"/files/{path...}":                 "/files/{path...}", //
		"POST  /two/spaces":                "/two/spaces",      //
		"/items/{id:[0-9]+}":               "/items/{id:[0-9]+}",
		"GET /" + strings.Repeat("x", 300): "/" + strings.Repeat("x", decision.MaxText-1),
	} {
		record := decision.NewRecord("")
		decision.SetRoute(decision.NewContext(t.Context(), record), pattern)
		if got := record.Seal().Route; got != want {
			t.Errorf("%q became %q, want %q", pattern, got, want)
		}
	}
}

// TestConcurrent is for the race detector: eight goroutines report while the
// record is sealed, and nothing that was not there when it was is in it.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	record := decision.NewRecord("id")
	ctx := decision.NewContext(t.Context(), record)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				decision.Add(ctx, decision.Decision{Layer: "auth"})
				decision.SetActor(ctx, decision.Actor{Subject: "alice"})
				decision.SetRoute(ctx, "/")
				record.Has("rbac")
				record.Summary()
			}
		})
	}
	sealed := record.Seal()
	n, dropped := len(sealed.Decisions), sealed.Dropped
	wg.Wait()
	if after := record.Summary(); len(after.Decisions) != n || after.Dropped != dropped {
		t.Errorf("%d decisions and %d dropped after sealing, want %d and %d", len(after.Decisions), after.Dropped, n, dropped)
	}
}

func BenchmarkAdd(b *testing.B) {
	b.Run("no record", func(b *testing.B) {
		ctx := b.Context()
		b.ReportAllocs()
		for b.Loop() {
			decision.Add(ctx, decision.Decision{Layer: "auth", Reason: "admitted"})
		}
	})
	b.Run("new record with two", func(b *testing.B) {
		ctx := b.Context()
		b.ReportAllocs()
		for b.Loop() {
			ctx := decision.NewContext(ctx, decision.NewRecord("id"))
			decision.Add(ctx, decision.Decision{Layer: "auth", Reason: "admitted"})
			decision.Add(ctx, decision.Decision{Layer: "rbac", Reason: "permission"})
		}
	})
}

// TestHasBeyondTheBound: who decided is known, also where there was no room
// for what was decided.
func TestHasBeyondTheBound(t *testing.T) {
	t.Parallel()
	r := decision.NewRecord("")
	for range 2 * decision.MaxDecisions {
		r.Add(decision.Decision{Layer: "first"})
	}
	if r.Has("rbac") || r.Has("") {
		t.Error("a layer is there that did not decide")
	}
	r.Add(decision.Decision{Layer: "rbac"})
	if !r.Has("rbac") || !r.Has("first") {
		t.Error("a layer that decided is not there")
	}
}

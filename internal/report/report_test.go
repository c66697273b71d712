package report_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/internal/report"
)

// lines returns a logger and what it wrote, a map for each line.
func lines(t *testing.T, level slog.Level) (*slog.Logger, func() []map[string]any) {
	t.Helper()
	var buf bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&buf, &slog.HandlerOptions{Level: level}))
	return log, func() []map[string]any {
		var all []map[string]any
		for line := range strings.Lines(buf.String()) {
			var m map[string]any
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				t.Fatal(err)
			}
			delete(m, "time")
			all = append(all, m)
		}
		return all
	}
}

func TestDecision(t *testing.T) {
	t.Parallel()
	log, logged := lines(t, slog.LevelInfo)
	var hooked []decision.Decision
	r := report.New("auth", log, func(_ context.Context, d decision.Decision) { hooked = append(hooked, d) })
	record := decision.NewRecord("id-1")
	ctx := decision.NewContext(t.Context(), record)

	given := []decision.Decision{
		{Layer: "somebody else", Effect: decision.Allow, Rule: "Bearer", Reason: "admitted"},
		{Effect: decision.Deny, Rule: "orders:read", Reason: "expired", Detail: "3s ago", Status: 401},
		{Effect: decision.Deny, Reason: "unavailable", Status: 503},
		{Effect: decision.Observe, Reason: "odd"},
		{Effect: decision.Modify, Reason: "cleaned"},
	}
	want := make([]decision.Decision, 0, len(given))
	for _, d := range given {
		r.Decision(ctx, d)
		d.Layer = "auth"
		want = append(want, d)
	}
	if got := record.Seal().Decisions; !reflect.DeepEqual(got, want) {
		t.Errorf("recorded %+v, want %+v", got, want)
	}
	if !reflect.DeepEqual(hooked, want) {
		t.Errorf("hook got %+v, want %+v", hooked, want)
	}
	wantLog := []map[string]any{
		{"level": "INFO", "msg": "auth: refused", "reason": "expired", "status": 401.0, "rule": "orders:read", "detail": "3s ago", "request_id": "id-1"},
		{"level": "ERROR", "msg": "auth: refused", "reason": "unavailable", "status": 503.0, "request_id": "id-1"},
	}
	if got := logged(); !reflect.DeepEqual(got, wantLog) {
		t.Errorf("logged %v, want %v", got, wantLog)
	}
}

// TestNobodyListens: without record, hook and log nothing is allocated.
func TestNobodyListens(t *testing.T) {
	r := report.New("auth", nil, nil)
	ctx := t.Context()
	d := decision.Decision{Effect: decision.Deny, Rule: "a", Reason: "b", Detail: "c", Status: 403}
	if got := testing.AllocsPerRun(100, func() {
		r.Decision(ctx, d)
		r.Hint(ctx, "cause", "message")
	}); got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}

func TestLevel(t *testing.T) {
	t.Parallel()
	log, logged := lines(t, slog.LevelError)
	r := report.New("auth", log, nil)
	r.Decision(t.Context(), decision.Decision{Reason: "expired", Status: 401})
	r.Hint(t.Context(), "cause", "message")
	if got := logged(); len(got) > 0 {
		t.Errorf("logged %v below the level", got)
	}
}

// TestInjection: what a client sent forges no line and turns no direction, in
// any of the places that are told.
func TestInjection(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"plain", "a b", "a b"},
		{"not ASCII", "naïve 語", "naïve 語"},
		{"line break", "a\r\nb", "a\ufffd\ufffdb"},
		{"escape", "a\x1b[31mb", "a\ufffd[31mb"},
		{"DEL and C1", "a\x7f\u009bb", "a\ufffd\ufffdb"},
		{"right-to-left override", "a\u202eb", "a\ufffdb"},
		{"line separator", "a\u2028b", "a\ufffdb"},
		{"zero width", "a\u200bb", "a\ufffdb"},
		{"not UTF-8", "a\xff\xfeb", "a\ufffd\ufffdb"},
		{"replacement character", "a\ufffdb", "a\ufffdb"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			log, logged := lines(t, slog.LevelInfo)
			var hooked decision.Decision
			r := report.New("auth", log, func(_ context.Context, d decision.Decision) { hooked = d })
			record := decision.NewRecord("")
			r.Decision(decision.NewContext(t.Context(), record), decision.Decision{Rule: tt.text, Detail: tt.text})
			got := record.Seal().Decisions[0]
			if got.Rule != tt.want || got.Detail != tt.want {
				t.Errorf("recorded %q and %q, want %q", got.Rule, got.Detail, tt.want)
			}
			if hooked.Rule != tt.want || hooked.Detail != tt.want {
				t.Errorf("hook got %q and %q, want %q", hooked.Rule, hooked.Detail, tt.want)
			}
			if line := logged()[0]; line["rule"] != tt.want || line["detail"] != tt.want {
				t.Errorf("logged %v, want %q", line, tt.want)
			}
		})
	}
}

func TestHintOncePerCause(t *testing.T) {
	t.Parallel()
	log, logged := lines(t, slog.LevelInfo)
	r := report.New("tlsredirect", log, nil)
	ctx := t.Context()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			r.Hint(ctx, "trust", "set Trust", slog.String("peer", "10.0.0.7"))
			r.Hint(ctx, "host", "set Hosts")
		})
	}
	wg.Wait()
	count := make(map[any]int)
	for _, line := range logged() {
		count[line["msg"]]++
		if line["level"] != "WARN" {
			t.Errorf("level = %v, want WARN", line["level"])
		}
	}
	if want := map[any]int{"tlsredirect: set Trust": 1, "tlsredirect: set Hosts": 1}; !reflect.DeepEqual(count, want) {
		t.Errorf("hints = %v, want %v", count, want)
	}
}

func BenchmarkDecisionUnheard(b *testing.B) {
	r := report.New("auth", nil, nil)
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		r.Decision(ctx, decision.Decision{Effect: decision.Allow, Rule: "Bearer", Reason: "admitted"})
	}
}

func TestDetail(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"none", nil, ""},
		{"own", report.Causef("%d headers", 2), "2 headers"},
		{"own, wrapped", fmt.Errorf("secret: %w", report.Cause("no key")), "no key"},
		{"foreign", errors.New("secret"), "*errors.errorString"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := report.Detail(tt.err); got != tt.want {
				t.Errorf("Detail = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestPanicSite(t *testing.T) {
	t.Parallel()
	if got := report.PanicSite(); got != "" {
		t.Errorf("PanicSite = %q without a panic", got)
	}
	var site string
	func() {
		defer func() { site, _ = report.PanicSite(), recover() }()
		_ = []int{}[len(site)]
	}()
	if !strings.Contains(site, "TestPanicSite") || !strings.Contains(site, "report_test.go:") {
		t.Errorf("PanicSite = %q, want this function and file", site)
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"Grüße, 世界 e\u0301", "Grüße, 世界 e\u0301"},
		{"a\nb\x1b[31m\x7f", "a\ufffdb\ufffd[31m\ufffd"},
		{"a\u202eb\u200bc\u2028d\u00a0e\ufe0ff\u3164g", "a\ufffdb\ufffdc\ufffdd\ufffde\ufffdf\ufffdg"},
		{"a\xffb", "a\ufffdb"},
	} {
		if got := report.Printable(tt.in); got != tt.want {
			t.Errorf("Printable(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

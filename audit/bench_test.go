package audit_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/audit"
	"github.com/gatehouse-go/gatehouse/audit/decision"
)

// discard is a writer with net/http's methods that costs nothing.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Flush()                      {}

// nowhere is io.Discard, which slog would have for a handler that does nothing.
type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

// layers is what a usual request does: two decisions, a caller, an answer.
var layers = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	decision.SetActor(ctx, decision.Actor{Issuer: "https://id.example.com", Subject: "ann", Kind: "user", Scheme: "Bearer"})
	decision.Add(ctx, decision.Decision{Layer: "auth", Effect: decision.Allow, Rule: "Bearer", Reason: "admitted"})
	decision.Add(ctx, decision.Decision{Layer: "rbac", Effect: decision.Allow, Rule: "orders:read", Reason: "granted"})
	_, _ = io.WriteString(w, "order 7")
})

func benchmark(b *testing.B, h http.Handler) {
	b.Helper()
	r := httptest.NewRequest(http.MethodGet, "/orders/7?q=x", nil)
	r.Pattern = "GET /orders/{id}"
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36")
	w := &discard{make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}

// BenchmarkHandler is the whole of it: the request's path and the encoding and
// writing of its line, which happen elsewhere.
func BenchmarkHandler(b *testing.B) {
	b.Run("bare", func(b *testing.B) { benchmark(b, layers) })
	b.Run("trail", func(b *testing.B) {
		trail, err := audit.New(audit.Config{Sinks: []audit.Sink{audit.Writer(io.Discard)}})
		if err != nil {
			b.Fatal(err)
		}
		benchmark(b, trail.Handler(layers))
		if err := trail.Close(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(trail.Stats().Lost)/float64(trail.Stats().Events), "lost/op")
	})
	b.Run("trail, refusing", func(b *testing.B) {
		trail, err := audit.New(audit.Config{Sinks: []audit.Sink{audit.Writer(io.Discard)}})
		if err != nil {
			b.Fatal(err)
		}
		benchmark(b, trail.Handler(http.NotFoundHandler()))
		if err := trail.Close(); err != nil {
			b.Fatal(err)
		}
	})
	// What a service writes without the library: no decisions of the layers,
	// no panics, raw direction overrides, and the last status wins.
	b.Run("slog by hand", func(b *testing.B) {
		log := slog.New(slog.NewJSONHandler(nowhere{}, nil))
		benchmark(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			begin := time.Now()
			rec := &byHand{ResponseWriter: w, status: http.StatusOK}
			layers.ServeHTTP(rec, r)
			log.LogAttrs(r.Context(), slog.LevelInfo, "request",
				slog.String("request_id", "PCYFQ3T4Z6SZ5ADHVYV6JYFU5S"), slog.String("client", r.RemoteAddr),
				slog.String("issuer", "https://id.example.com"), slog.String("subject", "ann"), slog.String("kind", "user"), slog.String("scheme", "Bearer"),
				slog.String("method", r.Method), slog.String("route", r.Pattern), slog.Int("status", rec.status), slog.Int("bytes", rec.bytes),
				slog.Duration("duration", time.Since(begin)), slog.String("auth", "allow"), slog.String("rbac", "allow"))
		}))
	})
}

type byHand struct {
	http.ResponseWriter
	status, bytes int
}

func (w *byHand) WriteHeader(status int) { w.status = status; w.ResponseWriter.WriteHeader(status) }
func (w *byHand) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.bytes += n
	return n, err
}

func BenchmarkLine(b *testing.B) {
	for name, s := range map[string]string{"plain": "https://id.example.com", "hostile": strings.Repeat("\u202e\x00\xff<", 64)} {
		b.Run(name, func(b *testing.B) {
			e := full(s, 7)
			e.Attrs = nil
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				buf = audit.AppendLine(buf[:0], e)
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}

func BenchmarkRecord(b *testing.B) {
	trail, err := audit.New(audit.Config{Sinks: []audit.Sink{audit.Writer(io.Discard)}})
	if err != nil {
		b.Fatal(err)
	}
	e := audit.Event{Type: "login", Outcome: audit.OK, Attrs: map[string]string{"user": "ann"}}
	b.ReportAllocs()
	for b.Loop() {
		_ = trail.Record(context.Background(), e) // an overflow costs as much
	}
	if err := trail.Close(); err != nil {
		b.Fatal(err)
	}
}

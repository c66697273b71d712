package audit

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/internal/report"
)

// A Sink keeps events. The Trail calls it from one goroutine at a time and
// closes it at the end.
type Sink interface {
	// Write keeps a batch. It must not retain b or anything in it, and should
	// give up when ctx is done.
	Write(ctx context.Context, b Batch) error
	Close() error
}

// A Batch is some events in order, each also as its line of JSON with the
// newline.
type Batch struct {
	Events []*Event
	Lines  [][]byte
}

// Writer returns a Sink that writes lines of JSON to w, a batch at a time.
// Closing the Sink does not close w.
func Writer(w io.Writer) Sink { return &writer{w: w} }

type writer struct {
	w    io.Writer
	buf  []byte
	torn bool // the last write ended within a line
}

func (s *writer) Write(_ context.Context, b Batch) error {
	s.buf = s.buf[:0]
	if s.torn { // or two lines would be one, and neither of them JSON
		s.buf = append(s.buf, '\n')
	}
	for _, l := range b.Lines {
		s.buf = append(s.buf, l...)
	}
	n, err := s.w.Write(s.buf)
	if n < len(s.buf) && err == nil {
		err = io.ErrShortWrite
	}
	if n > 0 && n <= len(s.buf) {
		s.torn = s.buf[n-1] != '\n'
	}
	if err != nil {
		return fmt.Errorf("audit: writer: %w", err)
	}
	return nil
}

func (s *writer) Close() error { return nil }

// Slog returns a Sink that hands each event to h as a record, with the members
// of the JSON line as attributes: at level Info if it went well, Warn if it was
// refused, Error if it failed. It is made for handlers that write JSON; others
// print the decisions in Go's own form. A handler that is also behind the
// packages' Loggers gets refusals twice.
func Slog(h slog.Handler) Sink { return &slogSink{h} }

type slogSink struct{ h slog.Handler }

func (s *slogSink) Write(ctx context.Context, b Batch) error {
	var first error
	for _, e := range b.Events {
		level := e.level()
		if !s.h.Enabled(ctx, level) {
			continue
		}
		r := slog.NewRecord(e.Time, level, "audit", 0)
		r.AddAttrs(e.attrs()...)
		if err := s.h.Handle(ctx, r); err != nil && first == nil {
			first = fmt.Errorf("audit: slog: %w", err)
		}
	}
	return first
}

func (s *slogSink) Close() error { return nil }

func (e *Event) level() slog.Level {
	switch e.Outcome {
	case Denied, Limited, Invalid, Aborted, ClientGone:
		return slog.LevelWarn
	case Failed, Panicked:
		return slog.LevelError
	case OK, NotFound, Hijacked:
	}
	if e.Type == TypeGap {
		return slog.LevelError
	}
	return slog.LevelInfo
}

func (e *Event) attrs() []slog.Attr {
	a := make(attrs, 0, 16)
	a.add(slog.Uint64("seq", e.Seq))
	a.text("type", e.Type)
	a.text("request_id", e.RequestID)
	if e.Client.IsValid() {
		a.text("client", e.Client.WithZone("").String())
	}
	a.actor("principal", e.Principal)
	if r := e.Request; r != nil {
		a.text("method", r.Method)
		a.add(slog.String("route", report.Printable(r.Route)))
		a.add(slog.Int("status", r.Status))
		a.add(slog.Int64("bytes", r.Bytes))
		a.add(slog.Int64("duration_us", r.Duration.Microseconds()))
		decisions := make([]attrDecision, len(r.Decisions))
		for i, d := range r.Decisions {
			decisions[i] = attrDecision{report.Printable(d.Layer), d.Effect.String(), report.Printable(d.Rule), report.Printable(d.Reason), report.Printable(d.Detail), d.Status}
		}
		a.add(slog.Any("decisions", decisions))
		if r.Dropped > 0 {
			a.add(slog.Int("decisions_dropped", r.Dropped))
		}
		a.text("panic", r.Panic)
		a.text("panic_at", r.PanicAt)
	}
	a.text("outcome", string(e.Outcome))
	if e.Lost > 0 {
		a.add(slog.Uint64("lost", e.Lost))
	}
	own := make(attrs, 0, len(e.Attrs))
	for _, k := range slices.Sorted(maps.Keys(e.Attrs)) {
		own.add(slog.String(report.Printable(k), report.Printable(e.Attrs[k])))
	}
	if len(own) > 0 {
		a.add(slog.GroupAttrs("attrs", own...))
	}
	return a
}

// An attrDecision is a list element, which slog's own attributes cannot be:
// one layer may decide several times.
type attrDecision struct {
	Layer  string `json:"layer"`
	Effect string `json:"effect"`
	Rule   string `json:"rule,omitempty"`
	Reason string `json:"reason,omitempty"`
	Detail string `json:"detail,omitempty"`
	Status int    `json:"status,omitempty"`
}

type attrs []slog.Attr

func (a *attrs) add(attr slog.Attr) { *a = append(*a, attr) }

func (a *attrs) text(key, value string) {
	if value != "" {
		a.add(slog.String(key, report.Printable(value)))
	}
}

func (a *attrs) actor(key string, who *decision.Actor) {
	if who == nil {
		return
	}
	g := make(attrs, 0, 8)
	g.add(slog.String("issuer", report.Printable(who.Issuer)))
	g.add(slog.String("subject", report.Printable(who.Subject)))
	g.text("kind", who.Kind)
	g.text("scheme", who.Scheme)
	g.text("client_id", who.ClientID)
	g.text("tenant", who.Tenant)
	g.text("token_id", who.TokenID)
	g.actor("actor", who.Actor)
	a.add(slog.GroupAttrs(key, g...))
}

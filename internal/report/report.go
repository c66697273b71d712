// Package report is how a package says what it decided: to the record of the
// request, to the user's hook and to the user's log, in one form for all.
package report

import (
	"context"
	"log/slog"
	"sync"

	"github.com/gatehouse-go/gatehouse/audit/decision"
)

// A Hook is the OnDecision field of every Config.
type Hook = func(ctx context.Context, d decision.Decision)

// A Reporter reports for one layer. It is safe for concurrent use.
type Reporter struct {
	layer string
	log   *slog.Logger
	hook  Hook
	told  sync.Map // causes of hints already given
}

// New returns a Reporter for the layer. Both log and hook may be nil.
func New(layer string, log *slog.Logger, hook Hook) *Reporter {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Reporter{layer: layer, log: log, hook: hook}
}

// Listening reports whether anybody is told of what happens to a request of that
// context.
func (r *Reporter) Listening(ctx context.Context) bool {
	if r.hook != nil || r.log.Enabled(ctx, slog.LevelError) {
		return true
	}
	_, recorded := decision.FromContext(ctx)
	return recorded
}

// Decision reports d, whose Layer it fills in. A refusal is also logged.
func (r *Reporter) Decision(ctx context.Context, d decision.Decision) {
	if _, recorded := decision.FromContext(ctx); !recorded && r.hook == nil && (d.Effect != decision.Deny || !r.log.Enabled(ctx, slog.LevelError)) {
		return // nobody listens
	}
	d.Layer = r.layer
	d.Rule, d.Reason, d.Detail = Printable(d.Rule), Printable(d.Reason), Printable(d.Detail)
	decision.Add(ctx, d)
	if r.hook != nil {
		r.hook(ctx, d)
	}
	if d.Effect != decision.Deny {
		return
	}
	level := slog.LevelInfo
	if d.Status >= 500 {
		level = slog.LevelError
	}
	if !r.log.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 6)
	attrs = append(attrs, slog.String("reason", d.Reason))
	if d.Status != 0 {
		attrs = append(attrs, slog.Int("status", d.Status))
	}
	for _, a := range [...]struct{ key, value string }{
		{"rule", d.Rule}, {"detail", d.Detail}, {"request_id", decision.RequestID(ctx)},
	} {
		if a.value != "" {
			attrs = append(attrs, slog.String(a.key, a.value))
		}
	}
	r.log.LogAttrs(ctx, level, r.layer+": refused", attrs...)
}

// Warn tells the operator something that happens seldom.
func (r *Reporter) Warn(ctx context.Context, message string, attrs ...slog.Attr) {
	r.log.LogAttrs(ctx, slog.LevelWarn, r.layer+": "+message, attrs...)
}

// Hint tells the operator, once for each cause, what to set. The cause must
// come from a closed set, for it is remembered.
func (r *Reporter) Hint(ctx context.Context, cause, message string, attrs ...slog.Attr) {
	if !r.log.Enabled(ctx, slog.LevelWarn) {
		return
	}
	if _, again := r.told.LoadOrStore(cause, struct{}{}); !again {
		r.log.LogAttrs(ctx, slog.LevelWarn, r.layer+": "+message, attrs...)
	}
}

// Package decision is how the layers of a service report what they decided
// about a request, and the record in which a request collects it.
//
// Facts flow in through a request's context and are immutable; what the layers
// found out flows out through the one [Record] in that context. Package audit
// puts it there and writes it down when the response is done. Without audit
// every function here is a cheap no-op, so a layer never asks whether anybody
// listens.
package decision

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// An Effect is what a layer did to the request.
type Effect uint8

// The effects. The zero value is Deny.
const (
	Deny    Effect = iota // refused it
	Allow                 // let it pass
	Modify                // let it pass, changed
	Observe               // noticed something, without a say in the matter
)

// String returns the effect in lower case.
func (e Effect) String() string {
	switch e {
	case Deny:
		return "deny"
	case Allow:
		return "allow"
	case Modify:
		return "modify"
	case Observe:
		return "observe"
	}
	return "unknown"
}

// MarshalText implements [encoding.TextMarshaler].
func (e Effect) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// A Decision is what one layer decided about one request.
// No field may hold a secret or the text of a foreign error.
type Decision struct {
	Layer  string // who decided: "auth", "rbac", …
	Effect Effect
	Rule   string // what it went by: a permission, a policy's name, a check
	Reason string // why, from a small closed set: "expired", "quota", …
	Detail string // the particulars, for operators
	Status int    // the status that the layer answered with; 0 if it did not answer
}

// An Actor is who a request was made by, as the record keeps it.
type Actor struct {
	Issuer   string
	Subject  string
	Kind     string
	Scheme   string
	ClientID string
	Tenant   string
	TokenID  string
	Actor    *Actor // who acted for Subject (RFC 8693 act)
}

// Bounds of a record. Nothing a client sends makes it grow beyond them.
const (
	MaxDecisions = 32  // further ones are counted, not kept
	MaxText      = 256 // bytes of any one string; the rest is cut off
	maxActors    = 4   // depth of a chain of actors
)

// A Summary is what a sealed record holds.
type Summary struct {
	RequestID string
	Client    netip.Addr // invalid if no layer knew it
	Actor     *Actor     // nil if nobody was authenticated
	Route     string     // the pattern that matched; "" if none did
	Decisions []Decision // in the order in which they were made
	Dropped   int        // decisions beyond MaxDecisions
}

// A Record collects what the layers find out about one request.
// It is safe for concurrent use, and must not be reused for another request.
type Record struct {
	requestID string

	mu        sync.Mutex
	sealed    bool
	client    netip.Addr
	actor     *Actor
	route     string
	decisions []Decision
	inline    [8]Decision
	dropped   int
	unkept    [4]string // layers of which no decision was kept
}

// NewRecord returns an empty record for the request named requestID.
func NewRecord(requestID string) *Record {
	r := &Record{requestID: cut(requestID)}
	r.decisions = r.inline[:0]
	return r
}

// Add appends d. It does nothing if r is nil or sealed.
func (r *Record) Add(d Decision) {
	if r == nil {
		return
	}
	d.Layer, d.Rule, d.Reason, d.Detail = cut(d.Layer), cut(d.Rule), cut(d.Reason), cut(d.Detail)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.sealed:
	case len(r.decisions) >= MaxDecisions:
		if i := slices.Index(r.unkept[:], ""); i >= 0 && !r.has(d.Layer) {
			r.unkept[i] = d.Layer
		}
		r.dropped++
	default:
		r.decisions = append(r.decisions, d)
	}
}

// Has reports whether the layer has made a decision.
func (r *Record) Has(layer string) bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.has(layer)
}

func (r *Record) has(layer string) bool {
	for i := range r.decisions {
		if r.decisions[i].Layer == layer {
			return true
		}
	}
	return layer != "" && slices.Contains(r.unkept[:], layer)
}

// Seal ends the record and returns what it holds. Whatever is added later, by
// a goroutine that outlives its request, changes nothing.
func (r *Record) Seal() Summary {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sealed = true
	return r.summary()
}

// Summary returns what the record holds so far.
func (r *Record) Summary() Summary {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.summary()
}

func (r *Record) summary() Summary {
	return Summary{
		RequestID: r.requestID,
		Client:    r.client,
		Actor:     r.actor,
		Route:     r.route,
		Decisions: slices.Clip(r.decisions),
		Dropped:   r.dropped,
	}
}

func (r *Record) set(f func()) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.sealed {
		f()
	}
}

type contextKey struct{}

// NewContext returns a context that carries r.
func NewContext(ctx context.Context, r *Record) context.Context {
	return context.WithValue(ctx, contextKey{}, r)
}

// FromContext returns the record in ctx, if there is one.
func FromContext(ctx context.Context) (*Record, bool) {
	r, _ := ctx.Value(contextKey{}).(*Record)
	return r, r != nil
}

// Add appends d to the record in ctx, if there is one that is not sealed.
func Add(ctx context.Context, d Decision) {
	r, _ := FromContext(ctx)
	r.Add(d)
}

// SetActor notes who makes the request. The last word counts.
func SetActor(ctx context.Context, a Actor) {
	r, ok := FromContext(ctx)
	if !ok {
		return
	}
	kept := a.bounded(maxActors)
	r.set(func() { r.actor = kept })
}

// SetClient notes the address that the request came from.
func SetClient(ctx context.Context, addr netip.Addr) {
	r, _ := FromContext(ctx)
	r.set(func() { r.client = addr })
}

// SetRoute notes the pattern of the route that matched. Routers nest, and the
// innermost knows best: the first pattern set while the handlers return stays.
// "" changes nothing.
//
// The text is the same whatever the router: without the method and host that
// [net/http.ServeMux] patterns begin with, and without its {$}.
func SetRoute(ctx context.Context, pattern string) {
	if pattern == "" {
		return
	}
	r, ok := FromContext(ctx)
	if !ok {
		return
	}
	pattern = cut(canonicalRoute(pattern))
	r.set(func() {
		if r.route == "" {
			r.route = pattern
		}
	})
}

// RequestID returns the id of the request that ctx belongs to, "" without a
// record.
func RequestID(ctx context.Context) string {
	if r, ok := FromContext(ctx); ok {
		return r.requestID
	}
	return ""
}

func canonicalRoute(pattern string) string {
	if i := strings.IndexByte(pattern, '/'); i > 0 {
		pattern = pattern[i:]
	}
	return strings.TrimSuffix(pattern, "{$}")
}

func (a Actor) bounded(depth int) *Actor {
	a.Issuer, a.Subject = cut(a.Issuer), cut(a.Subject)
	a.Kind, a.Scheme = cut(a.Kind), cut(a.Scheme)
	a.ClientID, a.Tenant, a.TokenID = cut(a.ClientID), cut(a.Tenant), cut(a.TokenID)
	if a.Actor != nil {
		if depth <= 1 {
			a.Actor = nil
		} else {
			a.Actor = a.Actor.bounded(depth - 1)
		}
	}
	return &a
}

// cut bounds s to MaxText bytes without splitting a rune.
func cut(s string) string {
	if len(s) <= MaxText {
		return s
	}
	n := MaxText
	for n > MaxText-utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return strings.Clone(s[:n])
}

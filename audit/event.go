package audit

import (
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-go/gatehouse/audit/decision"
)

// An Outcome is how a request truly ended.
type Outcome string

// The outcomes.
const (
	OK         Outcome = "ok"          // answered below 400
	Denied     Outcome = "denied"      // 401, 403, 421, or hidden behind a 404
	Limited    Outcome = "limited"     // 429
	Invalid    Outcome = "invalid"     // another 4xx
	NotFound   Outcome = "not_found"   // 404, 405, 410 that nobody decided on
	Failed     Outcome = "error"       // 5xx
	Panicked   Outcome = "panic"       // the handler panicked
	Aborted    Outcome = "aborted"     // the handler aborted the response (http.ErrAbortHandler)
	ClientGone Outcome = "client_gone" // the client left before it was answered
	Hijacked   Outcome = "hijacked"    // the handler took over the connection
)

// The types of the Trail's own events.
const (
	TypeRequest = "request" // one for each request
	TypeGap     = "gap"     // events were lost here
)

// Bounds of events.
const (
	maxAttrs  = 32
	maxAttr   = 1024 // bytes of a name or value
	maxMethod = 32
	maxActors = 4 // depth of a chain of actors
)

// An Event is one line of the trail. The Trail fills in whatever it knows
// itself: a user's event needs a Type, and may have an Outcome and Attrs.
// An Event that a Sink gets must not be modified.
type Event struct {
	Seq  uint64 // counts all events of a Trail, lost ones included
	Time time.Time
	Type string

	RequestID string
	Client    netip.Addr      // invalid if unknown
	Principal *decision.Actor // nil if nobody was authenticated
	Outcome   Outcome

	// Request is what only requests have.
	Request *Request

	// Lost is how many events are missing, in an event of TypeGap.
	Lost uint64

	// Attrs are a user's own. At most 32 are kept, and 1 KiB of each name and
	// value.
	Attrs map[string]string
}

// A Request is how one request was answered.
type Request struct {
	Method    string
	Route     string // the pattern that matched, "" if none did; never the path
	Status    int    // on the wire; 0 if no status went out
	Bytes     int64  // of the body on the wire
	Duration  time.Duration
	Decisions []decision.Decision
	Dropped   int // decisions beyond decision.MaxDecisions

	// Panic is the type of the value that the handler panicked with, and
	// PanicAt is where. The value itself may hold anything, so only
	// Config.OnPanic gets it.
	Panic   string
	PanicAt string
}

// size estimates the memory of a queued event.
func (e *Event) size() int {
	n := 256 + len(e.Type) + len(e.RequestID) + len(e.Outcome)
	for a := e.Principal; a != nil; a = a.Actor {
		n += 128 + len(a.Issuer) + len(a.Subject) + len(a.Kind) + len(a.Scheme) + len(a.ClientID) + len(a.Tenant) + len(a.TokenID)
	}
	for k, v := range e.Attrs {
		n += 64 + len(k) + len(v)
	}
	if r := e.Request; r != nil {
		n += 1024 // with the record that the decisions are part of
		n += len(r.Method) + len(r.Route) + len(r.Panic) + len(r.PanicAt)
		for i := range r.Decisions {
			d := &r.Decisions[i]
			n += 96 + len(d.Layer) + len(d.Rule) + len(d.Reason) + len(d.Detail)
		}
	}
	return n
}

// bounded returns a copy of a user's event that shares no memory with it and
// that nothing makes too large.
func (e Event) bounded() Event {
	e.Type, e.RequestID = cut(e.Type, maxAttr), cut(e.RequestID, decision.MaxText)
	e.Outcome = Outcome(cut(string(e.Outcome), maxMethod))
	e.Principal = boundedActor(e.Principal, maxActors)
	if len(e.Attrs) == 0 {
		e.Attrs = nil
		return e
	}
	kept := make(map[string]string, min(len(e.Attrs), maxAttrs))
	for _, k := range slices.Sorted(maps.Keys(e.Attrs)) {
		if len(kept) == maxAttrs {
			break
		}
		kept[cut(k, maxAttr)] = cut(e.Attrs[k], maxAttr)
	}
	e.Attrs = kept
	return e
}

func boundedActor(a *decision.Actor, depth int) *decision.Actor {
	if a == nil || depth == 0 {
		return nil
	}
	text := func(s string) string { return cut(s, decision.MaxText) }
	return &decision.Actor{
		Issuer: text(a.Issuer), Subject: text(a.Subject), Kind: text(a.Kind), Scheme: text(a.Scheme),
		ClientID: text(a.ClientID), Tenant: text(a.Tenant), TokenID: text(a.TokenID),
		Actor: boundedActor(a.Actor, depth-1),
	}
}

// cut returns at most n bytes of s, none of them half a character. It copies:
// s may be a small part of something large, which would wait in the queue too.
func cut(s string, n int) string {
	if len(s) > n {
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	return strings.Clone(strings.ToValidUTF8(s, "\ufffd"))
}

// method returns a request's method, which net/http cuts out of the whole
// request line.
func method(s string) string {
	switch s {
	case http.MethodGet:
		return http.MethodGet
	case http.MethodPost:
		return http.MethodPost
	}
	return cut(s, maxMethod)
}

// outcome names what an answer means.
func outcome(status int, decisions []decision.Decision) Outcome {
	switch {
	case status < 400:
		return OK
	case status >= 500:
		return Failed
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusMisdirectedRequest:
		return Denied
	case http.StatusTooManyRequests:
		return Limited
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone:
		for _, d := range decisions {
			if d.Effect == decision.Deny {
				return Denied
			}
		}
		return NotFound
	}
	return Invalid
}

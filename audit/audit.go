// Package audit answers one question: what happened, and can it be proved?
//
// A [Trail] writes one line of JSON for each request: who asked, from where,
// for what, what each layer decided and why, and how it truly ended, with the
// status and the bytes that went on the wire.
//
//	trail, err := audit.New(audit.Config{
//		Sinks: []audit.Sink{audit.Writer(file), audit.Slog(logger.Handler())},
//	})
//	…
//	defer trail.Close()
//	http.ListenAndServe(addr, trust.Handler(trail.Handler(mux)))
//
// A line, folded here:
//
//	{"seq":7,"time":"2026-11-22T22:04:05.000000Z","type":"request",
//	 "request_id":"PCYFQ3T4Z6SZ5ADHVYV6JYFU5S","client":"192.0.2.7",
//	 "principal":{"issuer":"https://id.example.com","subject":"ann","kind":"user","scheme":"Bearer"},
//	 "method":"GET","route":"/orders/{id}","status":403,"bytes":158,"duration_us":214,
//	 "decisions":[{"layer":"auth","effect":"allow","rule":"Bearer","reason":"admitted"},
//	  {"layer":"rbac","effect":"deny","rule":"orders:read","reason":"permission","status":403}],
//	 "outcome":"denied"}
//
// # What it protects against
//
// Requests that leave no trace: refusals of any layer, 404 and 405, panics,
// aborted, hijacked and abandoned responses all have their line. (What
// [http.Server] answers by itself never reaches a handler: malformed requests,
// an unknown Expect, and OPTIONS * unless DisableGeneralOptionsHandler is set,
// as tlsredirect.Run does.) Forged lines:
// no byte that a client sends reaches a line but as printable text. Leaks: no
// header, no query, no body, no path, no error text and no panic text is
// recorded; [Config.OnPanic] gets what a developer needs. Loss: what the sinks
// are too slow for is counted, missing in the sequence, and an event itself.
//
// # What it does not
//
// It does not prove that nobody changed the file afterwards, and a crash of
// the process loses what the sinks did not have yet; so does a handler that
// outlives Close. Status and bytes are what net/http was given to send: it
// tells nobody what a broken connection swallowed, nor what it had not sent yet
// when a handler panicked. For a hijacked connection the status is 101, unless
// the handler gave one before, whatever it wrote there itself.
//
// # Where it stands
//
// Around everything but [clientip.Trust.Handler]. It recovers panics: before
// the response started the client gets a 500 problem, afterwards the
// connection is cut so that the client sees the truncation.
//
// The route in a line is the pattern that matched, never the path. chi and
// gorilla/mux copy the request, so what they matched is not visible from
// outside: say router.Use(audit.Route) on chi, and on gorilla/mux
//
//	router.Use(audit.RouteFunc(func(r *http.Request) string {
//		pattern, _ := mux.CurrentRoute(r).GetPathTemplate()
//		return pattern
//	}))
//
// http.ServeMux needs nothing. Wildcards are told as the router writes them. Of
// muxes within muxes it is the innermost pattern, without the prefix that was
// stripped, if a layer of this library or Route stands there, and else the
// outermost.
//
// Request ids are always made here: one that a client sends in X-Request-Id is
// neither taken over nor recorded.
package audit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/internal/pass"
	"github.com/gatehouse-go/gatehouse/internal/problem"
	"github.com/gatehouse-go/gatehouse/internal/report"
	"github.com/gatehouse-go/gatehouse/internal/respwriter"
	"github.com/gatehouse-go/gatehouse/tlsredirect/clientip"
)

// Config configures a [Trail]. Sinks is required.
type Config struct {
	_ [0]func() // keyed literals only

	// Sinks get every event, one after the other: a slow one delays the rest.
	// The Trail closes them.
	Sinks []Sink

	// DrainTimeout bounds Close and Shutdown. If zero, it is 5 s.
	DrainTimeout time.Duration

	// OnPanic gets what a handler panicked with and where. The value may hold
	// anything, so it is neither in the trail nor in the log.
	OnPanic func(ctx context.Context, value any, stack []byte)

	// Logger is told of panics and of sinks that fail. If nil, nothing is
	// logged.
	Logger *slog.Logger
}

const defaultDrainTimeout = 5 * time.Second

// A Trail records what happens. It is safe for concurrent use.
// Call Close when done.
type Trail struct {
	queue   *queue
	drain   time.Duration
	onPanic func(ctx context.Context, value any, stack []byte)
	log     *slog.Logger
}

// New returns a Trail that behaves in accordance with cfg.
// The error, if any, joins every mistake found in cfg.
func New(cfg Config) (*Trail, error) {
	var errs []error
	if len(cfg.Sinks) == 0 {
		errs = append(errs, errors.New("audit: Sinks is empty, want at least one"))
	}
	for i, s := range cfg.Sinks {
		nothing := s == nil
		switch s := s.(type) {
		case *writer:
			nothing = s.w == nil
		case *slogSink:
			nothing = s.h == nil
		}
		if nothing {
			errs = append(errs, fmt.Errorf("audit: Sinks[%d] is nil, want a Sink", i))
		}
	}
	if cfg.DrainTimeout < 0 {
		errs = append(errs, fmt.Errorf("audit: DrainTimeout is %v, want 0 or more", cfg.DrainTimeout))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	t := &Trail{drain: cfg.DrainTimeout, onPanic: cfg.OnPanic, log: cfg.Logger}
	if t.drain == 0 {
		t.drain = defaultDrainTimeout
	}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	t.queue = newQueue(slices.Clone(cfg.Sinks), t.log)
	return t, nil
}

// Handler records each request when it is done, gives it an id, which the
// response has in X-Request-Id, and recovers panics. It panics if t is nil.
func (t *Trail) Handler(next http.Handler) http.Handler {
	if t == nil {
		panic("audit: Handler of a nil *Trail")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e := ending{trail: t, start: time.Now()}
		ctx := r.Context()
		var outer bool
		if e.record, outer = decision.FromContext(ctx); !outer {
			e.record = decision.NewRecord(rand.Text())
			e.ours = true
			ctx = decision.NewContext(ctx, e.record)
		}
		if addr, ok := clientip.FromRequest(r); ok {
			decision.SetClient(ctx, addr)
		}
		w.Header().Set("X-Request-Id", decision.RequestID(ctx))
		w, e.wire = respwriter.Wrap(w, r, respwriter.Options{})
		defer func() {
			// A nil value is not a panic but runtime.Goexit.
			e.panicked = recover()
			e.finish(ctx, w, r)
		}()
		pass.With(ctx, next, w, r)
		e.returned = true
	})
}

// An ending is what is known when a handler is done.
type ending struct {
	trail    *Trail
	record   *decision.Record
	ours     bool // the record was made here
	wire     *respwriter.Recorder
	start    time.Time
	returned bool
	panicked any
}

func (e *ending) finish(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	// One allocation: they wait in the queue together.
	recorded := new(struct {
		Event
		Request
	})
	event, request := &recorded.Event, &recorded.Request
	var how Outcome
	abort := false
	switch {
	case e.returned:
	case e.panicked == nil, e.panicked == http.ErrAbortHandler: //nolint:errorlint // net/http compares it like this
		how, abort = Aborted, e.panicked != nil
	default:
		how = Panicked
		request.Panic, request.PanicAt = typeName(e.panicked), report.PanicSite()
		e.trail.tell(ctx, e.panicked, request)
		abort = e.wire.Status() != 0 || !answered(w, r.WithContext(ctx))
	}
	gone := errors.Is(ctx.Err(), context.Canceled)
	request.Method = method(r.Method)
	request.Status, request.Bytes = e.wire.Status(), e.wire.Bytes()
	request.Duration = time.Since(e.start)
	silent := request.Status == 0 && e.returned
	if silent {
		request.Status = http.StatusOK // what net/http answers for a handler that wrote nothing
	}
	var summary decision.Summary
	if e.ours {
		summary = e.record.Seal()
	} else {
		summary = e.record.Summary() // who made it has not ended yet
	}
	request.Decisions, request.Dropped = summary.Decisions, summary.Dropped
	if r.Method != http.MethodConnect {
		// ServeMux redirects CONNECT, too, and has the path for a pattern then.
		request.Route = summary.Route
	}
	if how == "" {
		switch {
		case e.wire.Hijacked():
			how = Hijacked
		case gone && (silent || e.wire.Err() != nil):
			how = ClientGone
		default:
			how = outcome(request.Status, request.Decisions)
		}
	}
	event.Time, event.Type = e.start, TypeRequest
	event.RequestID, event.Client, event.Principal = summary.RequestID, summary.Client, summary.Actor
	event.Outcome, event.Request = how, request
	// A lost event is counted, and a gap in the trail.
	_ = e.trail.queue.add(event)
	if abort {
		panic(http.ErrAbortHandler)
	}
}

// answered answers for a handler that panicked, false if that panics too.
func answered(w http.ResponseWriter, r *http.Request) bool {
	return contained(func() error {
		// Headers of the answer that the handler did not come to give.
		for name := range w.Header() {
			switch strings.ToLower(name) {
			case "set-cookie", "clear-site-data", "location", "link", "refresh", "www-authenticate":
				delete(w.Header(), name)
			}
		}
		problem.Write(w, r, problem.Problem{
			Status: http.StatusInternalServerError,
			Detail: "The service failed to answer this request.",
		})
		return nil
	}) == nil
}

// tell tells developers of a panic.
func (t *Trail) tell(ctx context.Context, value any, request *Request) {
	log := func(message, kind, at string) {
		t.log.LogAttrs(ctx, slog.LevelError, message, slog.String("panic", kind),
			slog.String("panic_at", at), slog.String("request_id", decision.RequestID(ctx)))
	}
	_ = contained(func() error { // the line must be written whatever a log or hook does
		log("audit: a handler panicked", request.Panic, request.PanicAt)
		return nil
	})
	if t.onPanic == nil {
		return
	}
	stack := debug.Stack()
	if err := contained(func() error { t.onPanic(ctx, value, stack); return nil }); err != nil {
		_ = contained(func() error { log("audit: OnPanic panicked", err.Error(), ""); return nil })
	}
}

// Record adds an event of the user's own, such as a login. Request id, client
// and principal are those of the request that ctx belongs to, unless e has its
// own. The error is nil when the event is queued for the sinks.
func (t *Trail) Record(ctx context.Context, e Event) error {
	if e.Type == "" || e.Type == TypeRequest || e.Type == TypeGap {
		return fmt.Errorf("audit: event's Type is %q, want a name of its own", e.Type)
	}
	e = e.bounded()
	e.Request, e.Lost = nil, 0
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	if record, ok := decision.FromContext(ctx); ok {
		s := record.Summary()
		e.RequestID = s.RequestID
		if !e.Client.IsValid() {
			e.Client = s.Client
		}
		if e.Principal == nil {
			e.Principal = s.Actor
		}
	}
	return t.queue.add(&e)
}

// RequestID returns the id of the request that ctx belongs to, "" outside of a
// Trail's Handler.
func RequestID(ctx context.Context) string { return decision.RequestID(ctx) }

// Stats returns what became of the events so far.
func (t *Trail) Stats() Stats {
	t.queue.mu.Lock()
	defer t.queue.mu.Unlock()
	return t.queue.stats
}

// Shutdown takes no more events, hands those that wait to the sinks and closes
// the sinks, until ctx or Config.DrainTimeout ends. Shut the server down
// first.
func (t *Trail) Shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, t.drain)
	defer cancel()
	return t.queue.shutdown(ctx)
}

// Close is Shutdown without a context.
func (t *Trail) Close() error { return t.Shutdown(context.Background()) }

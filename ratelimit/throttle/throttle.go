// Package throttle answers one question: how many at once?
//
// A [Throttle] bounds the requests that are in flight, in all and for each
// client, and refuses those beyond with 503 and a Retry-After. Package ratelimit
// bounds how often clients ask; this one bounds what their answers hold at any
// moment: goroutines, memory, database connections.
//
//	inFlight, err := throttle.New(throttle.Config{
//		Limit:    200,             // what the service bears
//		PerKey:   20,              // of which one client address gets this much
//		Queue:    100,             // so many may wait
//		MaxWait:  2 * time.Second, // so long
//		Reserve:  10,              // permits that others leave to these:
//		Critical: func(r *http.Request) bool { return r.URL.Path == "/healthz" },
//	})
//	…
//	http.ListenAndServe(addr, inFlight.Handler(mux))
//
// # How it counts
//
// A request holds a permit while its handler runs, and gives it back exactly
// once, whether the handler returns, panics, ends its goroutine or lost its
// client. There are Limit permits. At most Limit-Reserve of them are with
// ordinary requests at any moment, so that at least Reserve are left to critical
// ones. Where nobody waits and PerKey is not set, taking a permit and giving it
// back are two atomic instructions. There is no goroutine and no Close.
//
// # Who waits
//
// Without a Queue a request for which there is no permit is refused at once.
// With one, it waits for MaxWait at most, and the first to come is the first to
// go. Newest first would answer more requests quickly when the queue is always
// full, but only by starving those that came earlier, and coming later and
// more often would pay. Here the queue and the wait are bounded instead:
// choose a Queue that the service works off within MaxWait. Critical requests go
// before ordinary ones, and of the Queue they have the same share to themselves
// as of the Limit.
//
// A client with PerKey requests in flight waits beside the queue, not in it, so
// nobody stands behind a request that may not go. One client may have PerKey
// requests waiting, but never more than half of the Queue, rounded up. Whose key is not
// bounded, because PerKey is not set, may fill the Queue.
//
// # What it protects against
//
// Overload: more requests at once than the service bears, slow requests that
// pile up, retries that do not stop, one client that takes all of it. Nothing
// that clients send makes it grow: a client is remembered, by a hash, while it
// has requests in flight or waiting.
//
// # What it does not
//
// It does not bound how often clients ask, nor how long one request may take: a
// client that sends its body slowly holds a permit while the handler reads, so
// set the time limits of the server too. It counts in this process alone. A
// handler that hijacks its connection gives its permit back when it returns, not
// when the connection ends; one that goes on in a goroutine of its own has to
// hold a permit from [Throttle.Acquire] there.
//
// # Where it stands
//
// Behind audit, which sees the refusals, and clientip, which knows whose the
// address is; behind the rate limit by address too, so that a flood is refused
// by its own quota with 429 and neither holds permits nor fills the queue; and
// before whatever costs work: router, authentication, bodies. A throttle by
// principal stands behind authentication, a second one beside that in front.
// Streams that stay open for long want a throttle of their own.
package throttle

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/internal/pass"
	"github.com/gatehouse-go/gatehouse/internal/report"
	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// Config configures a [Throttle]. Limit is required; with any other zero field
// a request beyond it is refused at once.
type Config struct {
	_ [0]func() // keyed literals only

	// Limit is how many requests may be in flight at once.
	Limit int

	// PerKey is how many of them may be of one client. If zero, clients are
	// not told apart.
	PerKey int

	// Key says whose request it is, where PerKey is set. If nil, it is
	// ratelimit.ByAddr(). A request for which it returns ratelimit.ErrSkip
	// counts in all but for no client; any other error refuses it.
	Key ratelimit.KeyFunc

	// Queue is how many requests may wait for a permit. If zero, none may.
	Queue int

	// MaxWait is how long one may wait, up to a minute. It is required with
	// Queue.
	MaxWait time.Duration

	// Reserve is how many of the Limit's permits only critical requests get.
	Reserve int

	// Critical reports whether r is critical. It is required with Reserve.
	// Critical requests go first: base it on what clients cannot choose for
	// other requests, such as the route or the principal, never on a header
	// alone.
	Critical func(r *http.Request) bool

	// Adaptive moves the number of permits between Min and Limit by how long
	// requests take: fewer when that rises, more when it is back to normal.
	// The type comment of [Throttle] has the formula.
	Adaptive bool

	// Min is required with Adaptive: from more than Reserve to Limit.
	Min int

	// RetryAfter is when refused clients are asked to come back, rounded up to
	// whole seconds, up to an hour. If zero, it is MaxWait, by when whoever
	// waits now has gone, and at least a second.
	RetryAfter time.Duration

	// OnDecision is called with each decision, also without an audit trail.
	OnDecision func(ctx context.Context, d decision.Decision)

	// ErrorHandler answers refused requests; err is an *Error. Retry-After and
	// Cache-Control are already set. If nil, it is WriteError.
	ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)

	// Logger is told of each refusal. If nil, nothing is logged.
	Logger *slog.Logger
}

const (
	maxLimit      = 1 << 20 // of Limit and Queue; counts has room for it
	maxMaxWait    = time.Minute
	maxRetryAfter = time.Hour
)

// A Throttle bounds the requests in flight. It owns no goroutine and needs no
// Close. It is safe for concurrent use.
//
// With Adaptive it begins with Limit permits and goes by the gradient of
// latency, as Netflix's concurrency-limits does. Latency is the time from
// permit to release, without the wait before it. A window ends with the first
// release 250 ms after it began, if that is the tenth at least. With short the
// mean latency in the window, and long the moving average of the windows over
// some five minutes,
//
//	gradient = 1.5 · long / short, no less than ½ and no more than 1
//	next     = limit · gradient + √limit
//	limit    = 0.8 · limit + 0.2 · next, no less than Min and no more than Limit
//
// so latency may rise by half before the limit falls, by a tenth per window at
// most. The root is the queue that is allowed to form further in; by it the
// limit grows back. A window that never had half of the limit in flight says
// nothing about the limit and leaves it. When latency falls below half of long,
// long follows by 5 % per window. A request counts for 4 · long at most: while
// fewer than one in six are slow, they do not lower the limit, however slow
// they are. Latency that stays high becomes normal after some minutes.
type Throttle struct {
	perKey    int64
	queue     int64 // for all
	ordinaryQ int64 // of which ordinary requests may fill this much
	keyQ      int64 // and those of one key this much
	reserve   int64
	maxWait   time.Duration
	retry     time.Duration // whole seconds
	key       ratelimit.KeyFunc
	seed      maphash.Seed
	critical  func(r *http.Request) bool
	start     time.Time
	limit     atomic.Int64 // written under mu
	report    *report.Reporter
	hooked    bool // somebody wants to hear of each decision
	onError   func(w http.ResponseWriter, r *http.Request, err error)

	// On a cache line of its own: it is what all requests write to.
	_      [64]byte
	counts atomic.Int64 // of type counts
	_      [56]byte

	refused [len(reasons)]atomic.Uint64

	mu              sync.Mutex
	lines           lines
	waitingOrdinary int64
	keys            map[uint64]*keyed
	free            *keyed
	adaptive        *gradient // nil: the limit is fixed
}

// New returns a Throttle that behaves in accordance with cfg.
// The error, if any, joins every mistake found in cfg.
func New(cfg Config) (*Throttle, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	limit, queue, perKey, reserve := int64(cfg.Limit), int64(cfg.Queue), int64(cfg.PerKey), int64(cfg.Reserve)
	t := &Throttle{
		perKey: perKey, queue: queue, reserve: reserve,
		ordinaryQ: queue - queue*reserve/limit,
		keyQ:      min(perKey, (queue+1)/2),
		maxWait:   cfg.MaxWait,
		retry:     cfg.RetryAfter,
		key:       cfg.Key, seed: maphash.MakeSeed(),
		critical: cfg.Critical,
		start:    time.Now(),
		report:   report.New("throttle", cfg.Logger, cfg.OnDecision),
		hooked:   cfg.OnDecision != nil,
		onError:  cfg.ErrorHandler,
		keys:     make(map[uint64]*keyed),
	}
	t.limit.Store(limit)
	if t.retry == 0 {
		t.retry = max(cfg.MaxWait, time.Second)
	}
	t.retry = (t.retry + time.Second - 1).Truncate(time.Second)
	if t.key == nil {
		t.key = ratelimit.ByAddr()
	}
	if cfg.Adaptive {
		t.adaptive = &gradient{min: float64(cfg.Min), max: float64(cfg.Limit), limit: float64(cfg.Limit)}
	}
	if t.onError == nil {
		t.onError = WriteError
	}
	return t, nil
}

func (cfg *Config) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("throttle: "+format, args...)) }
	if cfg.Limit < 1 || cfg.Limit > maxLimit {
		bad("Limit is %d, want 1 to %d", cfg.Limit, maxLimit)
	}
	if cfg.PerKey < 0 || cfg.PerKey > max(cfg.Limit, 0) {
		bad("PerKey is %d, want 0 to Limit", cfg.PerKey)
	}
	if cfg.Key != nil && cfg.PerKey == 0 {
		bad("PerKey is 0, want a limit for each Key")
	}
	if cfg.Queue < 0 || cfg.Queue > maxLimit {
		bad("Queue is %d, want 0 to %d", cfg.Queue, maxLimit)
	}
	switch {
	case cfg.MaxWait < 0 || cfg.MaxWait > maxMaxWait:
		bad("MaxWait is %v, want up to %v", cfg.MaxWait, maxMaxWait)
	case cfg.MaxWait == 0 && cfg.Queue > 0:
		bad("MaxWait is 0s, want how long a request may wait in the Queue, up to %v", maxMaxWait)
	case cfg.MaxWait > 0 && cfg.Queue == 0:
		bad("MaxWait is %v, want 0s without a Queue", cfg.MaxWait)
	}
	if cfg.Reserve < 0 || cfg.Reserve > 0 && cfg.Reserve >= cfg.Limit {
		bad("Reserve is %d, want 0 to less than Limit", cfg.Reserve)
	}
	switch {
	case cfg.Reserve > 0 && cfg.Critical == nil:
		bad("Critical is nil, want a function that says who gets the Reserve")
	case cfg.Reserve == 0 && cfg.Critical != nil:
		bad("Reserve is 0, want the permits that only Critical requests get")
	}
	switch {
	case !cfg.Adaptive && cfg.Min != 0:
		bad("Min is %d, want 0 without Adaptive", cfg.Min)
	case cfg.Adaptive && (cfg.Min < 1 || cfg.Min <= cfg.Reserve || cfg.Min > cfg.Limit):
		bad("Min is %d, want more than Reserve and at most Limit", cfg.Min)
	}
	if cfg.RetryAfter < 0 || cfg.RetryAfter > maxRetryAfter {
		bad("RetryAfter is %v, want up to %v", cfg.RetryAfter, maxRetryAfter)
	}
	return errors.Join(errs...)
}

// Handler lets as many requests in at once as there are permits. The
// ResponseWriter is passed on as it is. A client that goes away while it waits
// is answered like one that waited too long, in case that somebody listens
// still; next is not called. It panics if t is nil.
func (t *Throttle) Handler(next http.Handler) http.Handler {
	if t == nil {
		panic("throttle: Handler of a nil *Throttle")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		unit := ordinaryUnit
		if t.critical != nil && t.critical(r) {
			unit = criticalUnit
		}
		if t.perKey == 0 && t.adaptive == nil && t.quick(unit) { // nearly always
			defer t.giveBack(unit)
			t.serve(next, w, r)
			return
		}
		p, refusal := t.enter(r, unit)
		if refusal != nil {
			t.refuse(w, r, refusal)
			return
		}
		defer t.release(p)
		t.serve(next, w, r)
	})
}

// serve lets r, which holds a permit, through.
func (t *Throttle) serve(next http.Handler, w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	if _, recorded := decision.FromContext(ctx); !recorded && !t.hooked {
		next.ServeHTTP(w, r) // nobody listens, and saying nothing to nobody takes as long as all the rest
		return
	}
	t.report.Decision(ctx, decision.Decision{Effect: decision.Allow, Reason: "admitted"})
	pass.On(next, w, r)
}

// enter acquires a permit for r where that is not quick.
func (t *Throttle) enter(r *http.Request, unit counts) (permit, *Error) {
	var client uint64
	if t.perKey > 0 {
		key, err := t.key(r)
		switch {
		case errors.Is(err, ratelimit.ErrSkip):
		case err != nil:
			return permit{}, t.refusal(keyless, err)
		case key == "":
			return permit{}, t.refusal(keyless, errEmptyKey)
		default:
			client = t.client(key)
		}
	}
	return t.acquire(r.Context(), client, unit)
}

func (t *Throttle) refuse(w http.ResponseWriter, r *http.Request, err *Error) {
	values := [...]string{"no-store", err.retryAfter()} // of this answer alone
	h := w.Header()
	h["Cache-Control"] = values[0:1:1]
	if err.RetryAfter > 0 {
		h["Retry-After"] = values[1:2:2]
	}
	d := decision.Decision{Effect: decision.Deny, Reason: err.Reason, Status: err.StatusCode()}
	if err.Reason == ReasonKey {
		d.Detail = report.Detail(err.Err)
	}
	t.report.Decision(r.Context(), d)
	t.onError(w, r, err)
}

// Stats are the state of a [Throttle], and what it has refused since it was
// made.
type Stats struct {
	InFlight int
	Waiting  int
	Limit    int               // Config.Limit, or where Adaptive has moved it
	Refused  map[string]uint64 // by Reason; all of them are there
}

// Stats returns how many requests are in flight and waiting at one moment, and
// what else there is to tell.
func (t *Throttle) Stats() Stats {
	c := counts(t.counts.Load())
	s := Stats{int(c.inFlight()), int(c.waiting()), int(t.limit.Load()), make(map[string]uint64, len(reasons))}
	for i, reason := range reasons {
		s.Refused[reason] = t.refused[i].Load()
	}
	return s
}

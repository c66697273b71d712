package introspect

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/internal/outbound"
	"github.com/gatehouse-go/gatehouse/internal/report"
)

// The policy towards the endpoint, which the documentation of Introspector
// tells.
const (
	maxQuestions = 32   // at a time
	maxFlights   = 1024 // with those that wait for their turn
	maxQueue     = 2 * time.Second
	timeout      = 3 * time.Second
	pause        = time.Second
	recent       = 2 * time.Second // after an answer the endpoint is not down
	refusedTTL   = 5 * time.Second
	maxAnswer    = 64 << 10
)

// An asker asks the endpoint about tokens, and remembers what it said.
type asker struct {
	post  func(ctx context.Context, form url.Values, header http.Header) (*outbound.Response, error)
	prove func(ctx context.Context, form url.Values, header http.Header) error
	read  func(token string, body []byte) (*verdict, error)
	ttl   time.Duration // 0: nothing is remembered

	issuer string
	log    *slog.Logger

	turns chan struct{} // has a place for each question at a time

	mu             sync.Mutex
	known, refused *memory // apart, so that refused tokens evict no good ones
	flights        map[digest]*flight
	closed         bool

	// The endpoint is down from a failure until an answer. Then there is one
	// question at a time, the probe, and none before retryAt.
	down     *auth.Error
	retryAt  time.Time
	probing  bool
	answered time.Time // last

	life context.Context // ends with close
	end  context.CancelFunc
	done sync.WaitGroup
}

// A flight is a question under way, and whoever waits for its answer. It ends
// by itself: who asked first may be gone by then.
type flight struct {
	probe   bool
	started time.Time // zero: it had no turn
	landed  chan struct{}
	verdict *verdict
	err     *auth.Error
}

// ask returns the verdict about a token, a remembered one if there is one.
func (a *asker) ask(ctx context.Context, token string) (*verdict, error) {
	key := sha256.Sum256([]byte(token))
	a.mu.Lock()
	if v := a.remembered(key); v != nil {
		a.mu.Unlock()
		return v, nil
	}
	f := a.flights[key]
	if f == nil {
		var err *auth.Error
		if f, err = a.takeOff(key, token); err != nil { //nolint:contextcheck // a question outlives the request
			a.mu.Unlock()
			return nil, err
		}
	}
	a.mu.Unlock()
	select {
	case <-f.landed:
	case <-ctx.Done():
		return nil, unavailable(report.Cause("the caller gave up"), ctx.Err())
	}
	if f.err != nil {
		err := *f.err // each caller may do with it what it likes
		return nil, &err
	}
	return f.verdict, nil
}

func (a *asker) remembered(key digest) *verdict {
	now := time.Now()
	if v := a.known.get(key, now); v != nil {
		return v
	}
	return a.refused.get(key, now)
}

// takeOff begins to ask about a token, unless it would be of no use.
func (a *asker) takeOff(key digest, token string) (*flight, *auth.Error) {
	f := &flight{landed: make(chan struct{})}
	switch {
	case a.closed:
		return nil, unavailable(report.Cause("the Introspector is closed"), nil)
	case a.down != nil && (a.probing || time.Now().Before(a.retryAt)):
		return nil, a.pausing()
	case len(a.flights) >= maxFlights:
		return nil, unavailable(report.Cause("too many tokens are being asked about"), nil)
	case a.down != nil:
		f.probe, a.probing = true, true
	}
	a.flights[key] = f
	a.done.Add(1)
	go a.fly(f, key, token)
	return f, nil
}

// pausing refuses to ask an endpoint that is down.
func (a *asker) pausing() *auth.Error {
	return unavailable(report.Causef("not asked, for a moment ago: %s", report.Detail(a.down.Err)), nil)
}

func (a *asker) fly(f *flight, key digest, token string) {
	defer a.done.Done()
	f.err = unavailable(report.Cause("the question ended early"), nil)
	dead := false
	defer func() { // also if Credentials panic
		if recover() != nil {
			f.err, dead = unavailable(report.Cause("the Credentials panicked at "+report.PanicSite()), nil), true
		}
		a.land(f, key, dead)
	}()
	wait := time.NewTimer(maxQueue)
	defer wait.Stop()
	select {
	case a.turns <- struct{}{}:
		defer func() { <-a.turns }()
	case <-wait.C:
		f.err = unavailable(report.Cause("too many tokens are being asked about"), nil)
		return
	case <-a.life.Done():
		f.err = unavailable(report.Cause("the Introspector is closed"), nil)
		return
	}
	a.mu.Lock()
	if a.down != nil && !f.probe { // since it took off
		f.err = a.pausing()
		a.mu.Unlock()
		return
	}
	f.started = time.Now()
	a.mu.Unlock()
	f.verdict, f.err, dead = a.question(token)
}

// land takes the outcome of a flight. dead is that of an endpoint which others
// need not ask now.
func (a *asker) land(f *flight, key digest, dead bool) {
	a.mu.Lock()
	now := time.Now()
	delete(a.flights, key)
	if f.probe {
		a.probing = false
	}
	before := a.down
	switch {
	case f.started.IsZero() || a.closed:
	case !dead:
		a.answered, a.down = now, nil
	// Else the failure is its own, not the endpoint's: who sends tokens that it
	// chokes on must not stop the others.
	case !a.answered.After(f.started) && now.Sub(a.answered) > recent:
		a.down, a.retryAt = f.err, now.Add(pause)
	}
	if f.err == nil && a.ttl > 0 {
		v := f.verdict
		switch until := now.Add(a.ttl); {
		case v.refusal != nil:
			a.refused.put(key, remembered{v, now.Add(min(a.ttl, refusedTTL))})
		case v.dates.Expires.IsZero() || until.Before(v.dates.Expires):
			a.known.put(key, remembered{v, until})
		default:
			a.known.put(key, remembered{v, v.dates.Expires})
		}
	}
	after := a.down
	a.mu.Unlock()
	defer close(f.landed)
	switch {
	case before == nil && after != nil:
		a.log.LogAttrs(a.life, slog.LevelError, "introspect: the endpoint is down",
			slog.String("issuer", a.issuer), slog.String("detail", report.Detail(after.Err)))
	case before != nil && after == nil:
		a.log.LogAttrs(a.life, slog.LevelInfo, "introspect: the endpoint answers again", slog.String("issuer", a.issuer))
	}
}

// question asks the endpoint about a token (RFC 7662 section 2.1). dead says
// that another token would fare no better now.
func (a *asker) question(token string) (v *verdict, _ *auth.Error, dead bool) {
	ctx, cancel := context.WithTimeout(a.life, timeout)
	defer cancel()
	form := make(url.Values)
	// A nil Idempotency-Key is not sent. It lets net/http repeat the question
	// when a connection turns out to be closed: to ask twice is harmless.
	header := http.Header{"Idempotency-Key": nil}
	if err := a.prove(ctx, form, header); err != nil {
		return nil, unavailable(report.Cause("the Credentials could not be had"), err), true
	}
	header.Set("Accept", "application/json")
	form.Set("token", token)
	form.Set("token_type_hint", "access_token")
	resp, err := a.post(ctx, form, header)
	if err != nil {
		// outbound's texts may be told.
		return nil, unavailable(report.Causef("the introspection endpoint: %v", err), err), !errors.Is(err, outbound.ErrTooLarge)
	}
	switch s := resp.Status; s {
	case http.StatusOK:
	case http.StatusUnauthorized:
		return nil, unavailable(report.Cause("the introspection endpoint does not take this service's Credentials: status 401"), nil), true
	case http.StatusForbidden: // or a filter before the endpoint did not like the token
		return nil, unavailable(report.Cause("the introspection endpoint answered with status 403; do its Credentials permit this service to ask?"), nil), false
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return nil, unavailable(report.Causef("the introspection endpoint answered with status %d", s), nil), true
	default:
		// A client must not be able to stop all others with a token that the
		// endpoint chokes on.
		return nil, unavailable(report.Causef("the introspection endpoint answered with status %d", s), nil), false
	}
	v, err = a.read(token, resp.Body)
	if err != nil {
		return nil, unavailable(report.Causef("the introspection endpoint's answer: %v", err), nil), false
	}
	return v, nil, false
}

// close ends the questions under way. What is remembered stays of use.
func (a *asker) close() {
	a.mu.Lock()
	a.closed = true
	a.end()
	a.mu.Unlock()
	a.done.Wait()
}

func unavailable(cause report.Cause, err error) *auth.Error {
	e := &auth.Error{Kind: auth.Unavailable, Reason: auth.ReasonUnavailable, RetryAfter: pause, Err: cause}
	if err != nil {
		e.Err = fmt.Errorf("%w: %w", cause, err)
	}
	return e
}

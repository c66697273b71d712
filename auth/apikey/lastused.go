package apikey

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/report"
)

const (
	maxUses      = 1024 // that wait to be written
	touchTimeout = 5 * time.Second
	closeTimeout = 5 * time.Second
)

// A recorder writes last uses beside the requests, as the documentation of
// Authenticator tells.
type recorder struct {
	store    Store
	interval time.Duration
	log      *slog.Logger

	mu     sync.Mutex
	closed bool
	// When the last write of a key was tried, in two generations: a try is
	// remembered for an interval at least and two at most. Only good keys get
	// here, so there is no more to remember than there are keys.
	recent, older map[string]time.Time
	turned        time.Time

	queue chan use
	done  chan struct{} // is closed when run returns
	life  context.Context
	end   context.CancelFunc
}

type use struct {
	id string
	at time.Time
}

// newRecorder starts a goroutine that close ends.
func newRecorder(store Store, interval time.Duration, log *slog.Logger) *recorder {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r := &recorder{
		store: store, interval: interval, log: log,
		recent: make(map[string]time.Time), turned: time.Now(),
		queue: make(chan use, maxUses), done: make(chan struct{}),
	}
	r.life, r.end = context.WithCancel(context.Background())
	go r.run()
	return r
}

// used notes that a key was used now; the store says when it was used last.
func (r *recorder) used(id string, last, now time.Time) {
	if now.Sub(last) < r.interval { // most requests need no lock
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if now.Sub(r.turned) >= r.interval {
		r.recent, r.older, r.turned = make(map[string]time.Time), r.recent, now
	}
	for _, tried := range []map[string]time.Time{r.recent, r.older} {
		if at, ok := tried[id]; ok && now.Sub(at) < r.interval {
			return
		}
	}
	select {
	case r.queue <- use{id, now}:
		r.recent[id] = now
	default: // the next use gets its turn
	}
}

func (r *recorder) run() {
	defer close(r.done)
	failing := false
	for u := range r.queue {
		switch err := r.write(u); {
		case err != nil && !failing:
			failing = true
			r.log.LogAttrs(r.life, slog.LevelWarn, "apikey: last uses cannot be written", slog.String("detail", report.Detail(err)))
		case err == nil && failing:
			failing = false
			r.log.LogAttrs(r.life, slog.LevelInfo, "apikey: last uses are written again")
		}
	}
}

func (r *recorder) write(u use) (err error) {
	ctx, cancel := context.WithTimeout(r.life, touchTimeout)
	defer cancel()
	defer func() {
		if recover() != nil { // no request is there to fail, and the process must not
			err = report.Cause("Store.Touch panicked at " + report.PanicSite())
		}
	}()
	return r.store.Touch(ctx, u.id, u.at)
}

// close returns when the goroutine has ended: when the queue is empty, or when
// the time for that is over and the store has noticed.
func (r *recorder) close() {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		close(r.queue)
	}
	r.mu.Unlock()
	late := time.AfterFunc(closeTimeout, r.end)
	defer late.Stop()
	<-r.done
	r.end()
}

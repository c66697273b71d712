package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/gatehouse-go/gatehouse/audit/decision"
)

const (
	maxQueue    = 16 << 20 // bytes of events that wait for the sinks
	maxBatch    = 64 << 10 // bytes of lines, and at least one line
	sinkTimeout = 5 * time.Second
)

// ErrClosed is what [Trail.Record] returns after Shutdown or Close.
var ErrClosed = errors.New("audit: trail is closed")

// ErrOverflow is what [Trail.Record] returns when the sinks are so slow that
// the event was lost. The loss stands in the trail.
var ErrOverflow = errors.New("audit: queue is full")

// Stats counts what became of the events of a Trail.
type Stats struct {
	Events uint64 // recorded, lost ones included
	Lost   uint64 // for which the queue had no room, or that came after Close
	Failed uint64 // that a sink did not take, counted for each sink
}

// queue hands events to the sinks in their order, off the request's path.
// It never blocks a request: what does not fit is lost, and the loss is itself
// an event and a gap in seq.
type queue struct {
	sinks  []Sink
	broken []bool // the sinks whose last write failed; the writer's own
	log    *slog.Logger
	wake   chan struct{} // holds one token when there is work

	ctx    context.Context // of the sinks' writes
	cancel context.CancelFunc
	done   chan struct{} // closed when the writer has ended and closed the sinks
	err    error         // of closing them

	mu       sync.Mutex
	events   []*Event
	size     int
	stats    Stats
	reported uint64 // losses that a gap event has told
	closed   bool
}

func newQueue(sinks []Sink, log *slog.Logger) *queue {
	q := &queue{sinks: sinks, broken: make([]bool, len(sinks)), log: log, wake: make(chan struct{}, 1), done: make(chan struct{})}
	q.ctx, q.cancel = context.WithCancel(context.Background())
	go q.run()
	return q
}

func (q *queue) add(e *Event) error {
	size := e.size()
	q.mu.Lock()
	e.Seq = q.stats.Events
	q.stats.Events++
	var err error
	switch {
	case q.closed:
		q.stats.Lost++
		err = ErrClosed
	case q.size+size > maxQueue:
		q.stats.Lost++
		err = ErrOverflow
	default:
		q.events = append(q.events, e)
		q.size += size
	}
	q.mu.Unlock()
	if err == nil {
		q.signal()
	}
	return err
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take returns what waits, with a gap event behind it if something was lost.
func (q *queue) take(free []*Event) (events []*Event, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	events, q.events, q.size = q.events, free[:0], 0
	if lost := q.stats.Lost - q.reported; lost > 0 {
		q.reported += lost
		events = append(events, &Event{Seq: q.stats.Events, Time: time.Now(), Type: TypeGap, Lost: lost})
		q.stats.Events++
	}
	return events, q.closed
}

func (q *queue) run() {
	defer q.end()
	var (
		free  []*Event
		lines [][]byte
		buf   = make([]byte, 0, maxBatch+maxBatch/8) // behind all lines
	)
	for range q.wake {
		events, closed := q.take(free)
		for rest := events; len(rest) > 0; {
			lines, buf = lines[:0], buf[:0]
			for len(buf) < maxBatch && len(lines) < len(rest) {
				from := len(buf)
				buf = rest[len(lines)].appendLine(buf)
				lines = append(lines, buf[from:len(buf):len(buf)])
			}
			q.write(Batch{Events: rest[:len(lines)], Lines: lines})
			rest = rest[len(lines):]
		}
		if closed {
			return
		}
		clear(events)
		free = events
	}
}

// end closes the sinks, all of them, whatever one of them does.
func (q *queue) end() {
	defer close(q.done)
	defer q.cancel()
	var errs []error
	for i, s := range q.sinks {
		if err := contained(s.Close); err != nil {
			errs = append(errs, fmt.Errorf("audit: closing Sinks[%d]: %w", i, err))
		}
	}
	q.err = errors.Join(errs...)
}

func (q *queue) write(b Batch) {
	for i, s := range q.sinks {
		ctx, cancel := context.WithTimeout(q.ctx, sinkTimeout)
		err := contained(func() error { return s.Write(ctx, b) })
		cancel()
		if err != nil {
			q.mu.Lock()
			q.stats.Failed += uint64(len(b.Events))
			q.mu.Unlock()
		}
		if was := q.broken[i]; was != (err != nil) {
			q.broken[i] = !was
			q.tell(i, err)
		}
	}
}

// tell logs that a sink broke or works again. It is called once for each
// change: a sink that stays broken floods nothing.
func (q *queue) tell(sink int, err error) {
	_ = contained(func() error {
		if err == nil {
			q.log.LogAttrs(q.ctx, slog.LevelInfo, "audit: a sink works again", slog.Int("sink", sink))
		} else {
			q.log.LogAttrs(q.ctx, slog.LevelError, "audit: a sink fails", slog.Int("sink", sink), slog.String("error", cause(err)))
		}
		return nil
	})
}

// A panicError is what somebody else's code panicked with: its type, since
// the value may hold anything.
type panicError string

func (e panicError) Error() string { return "panic with a " + string(e) }

// contained calls f and makes a panic an error: the trail's goroutine is
// nobody's request, and a line must be written whatever a hook does.
func contained(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicError(typeName(v))
		}
	}()
	return f()
}

// cause names the error at the bottom of err, without its text, which may hold
// anything. The system's error numbers have fixed texts.
func cause(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			break
		}
		err = inner
	}
	name := typeName(err)
	if _, ours := err.(panicError); ours || name == "syscall.Errno" { //nolint:errorlint // it is the innermost
		return err.Error()
	}
	return name
}

// typeName returns the name of v's type.
func typeName(v any) string { return cut(fmt.Sprintf("%T", v), decision.MaxText) }

// shutdown takes no more events and waits until the sinks have what waits and
// are closed. When ctx ends before that, the sinks are told to give up.
func (q *queue) shutdown(ctx context.Context) error {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
	select {
	case <-q.done:
		return q.err
	case <-ctx.Done():
		q.cancel()
		return fmt.Errorf("audit: the sinks did not take all events in time: %w", context.Cause(ctx))
	}
}

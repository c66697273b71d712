package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-go/gatehouse/audit"
)

// A gate is a Sink that takes nothing until it is opened.
type gate struct {
	open   chan struct{}
	obeys  bool // gives up when its context ends
	closed atomic.Int32
	lines  []line
}

func (g *gate) Write(ctx context.Context, b audit.Batch) error {
	var done <-chan struct{}
	if g.obeys {
		done = ctx.Done()
	}
	select {
	case <-g.open:
	case <-done:
		return context.Cause(ctx)
	}
	for _, text := range b.Lines {
		var v line
		if err := json.Unmarshal(text, &v); err != nil {
			return err
		}
		g.lines = append(g.lines, v)
	}
	return nil
}

func (g *gate) Close() error { g.closed.Add(1); return nil }

func event() audit.Event {
	attrs := make(map[string]string)
	for i := range 32 {
		attrs[fmt.Sprint(i)] = strings.Repeat("x", 1024)
	}
	return audit.Event{Type: "bulk", Attrs: attrs}
}

// What does not fit is lost, counted, missing in seq, and an event.
func TestOverflow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		trail, err := audit.New(audit.Config{Sinks: []audit.Sink{g}})
		if err != nil {
			t.Fatal(err)
		}
		record := func() error { return trail.Record(t.Context(), event()) }
		accepted, lost := 0, 0
		for range 2 { // the first round goes to the sink, where it hangs
			if err := record(); err != nil {
				t.Fatal(err)
			}
			accepted++
			synctest.Wait()
		}
		for lost < 10 {
			switch err := record(); {
			case err == nil:
				accepted++
			case errors.Is(err, audit.ErrOverflow):
				lost++
			default:
				t.Fatal(err)
			}
			if accepted > 100_000 {
				t.Fatal("the queue has no bound")
			}
		}
		if n := accepted * 32 << 10; n > 32<<20 {
			t.Errorf("%d bytes waited, want at most 16 MiB or so", n)
		}
		close(g.open)
		synctest.Wait()
		if err := record(); err != nil {
			t.Errorf("Record after the jam: %v", err)
		}
		accepted++
		if err := trail.Close(); err != nil {
			t.Fatal(err)
		}
		seen := make(map[uint64]bool)
		var gaps, last uint64
		for i, l := range g.lines {
			if i > 0 && l.Seq <= last {
				t.Errorf("seq %d after %d", l.Seq, last)
			}
			last, seen[l.Seq] = l.Seq, true
			if l.Type == audit.TypeGap {
				gaps++
				if l.Lost != uint64(lost) || l.Time == "" {
					t.Errorf("gap of %d, want %d", l.Lost, lost)
				}
			}
		}
		if gaps != 1 || len(g.lines) != accepted+1 {
			t.Errorf("%d lines and %d gap events, want %d and 1", len(g.lines), gaps, accepted+1)
		}
		if missing := int(last) + 1 - len(seen); missing != lost {
			t.Errorf("%d numbers are missing, want %d", missing, lost)
		}
		want := audit.Stats{Events: uint64(accepted + lost + 1), Lost: uint64(lost)}
		if got := trail.Stats(); got != want {
			t.Errorf("Stats = %+v, want %+v", got, want)
		}
	})
}

// A sink that hangs delays no request, and is told of once.
func TestHangingSink(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log buffer
		g := &gate{open: make(chan struct{}), obeys: true}
		trail, out := newTrail(t, audit.Config{Sinks: []audit.Sink{g}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		h := trail.Handler(http.NotFoundHandler())
		begin := time.Now()
		for range 100 {
			if got := serve(h, get("/")).Code; got != http.StatusNotFound {
				t.Fatalf("status = %d, want 404", got)
			}
		}
		if d := time.Since(begin); d != 0 {
			t.Errorf("100 requests waited for %v, want no wait", d)
		}
		time.Sleep(time.Minute) // the sink gives up, again and again
		serve(h, get("/"))
		time.Sleep(time.Minute)
		if got := len(out); got != 101 {
			t.Errorf("the other sink has %d lines, want 101", got)
		}
		if got := trail.Stats(); got.Failed != 101 || got.Lost != 0 {
			t.Errorf("Stats = %+v, want 101 failed", got)
		}
		if n := strings.Count(log.String(), "a sink fails"); n != 1 {
			t.Errorf("%d log lines, want 1: %s", n, &log)
		}
		if text := log.String(); !strings.Contains(text, "context.deadlineExceededError") || !strings.Contains(text, "sink=0") {
			t.Errorf("log = %s, want the sink and the error's type", text)
		}
	})
}

// Errors and panics of a sink are counted, and logged when they begin and end.
func TestFailingSink(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var (
			log  buffer
			fail func() error
		)
		trail, out := newTrail(t, audit.Config{
			Sinks:  []audit.Sink{sinkFunc(func(context.Context, audit.Batch) error { return fail() })},
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		h := trail.Handler(http.NotFoundHandler())
		bad := errors.New("canary")
		for _, step := range []struct {
			fail func() error
			want string // in what is logged
		}{
			{func() error { return nil }, ""},
			{func() error { return fmt.Errorf("canary: %w", bad) }, `level=ERROR msg="audit: a sink fails" sink=0 error=*errors.errorString`},
			{func() error { return bad }, ""},
			{func() error { panic("canary") }, ""},
			{func() error { return nil }, `level=INFO msg="audit: a sink works again" sink=0`},
			{func() error { panic(bad) }, `level=ERROR msg="audit: a sink fails" sink=0 error="panic with a *errors.errorString"`},
			{func() error { return nil }, `works again`},
			{func() error { return &os.PathError{Op: "write", Path: "canary", Err: syscall.ENOSPC} }, `error="no space left on device"`},
			{func() error { return nil }, `works again`},
			{func() error { return (*hostileError)(nil) }, ``}, // its Unwrap panics: counted, if not told
		} {
			before := len(log.String())
			fail = step.fail
			serve(h, get("/"))
			synctest.Wait()
			if got := log.String()[before:]; step.want == "" && got != "" || !strings.Contains(got, step.want) {
				t.Errorf("log = %q, want %q", got, step.want)
			}
		}
		if strings.Contains(log.String(), "canary") {
			t.Errorf("the log has the text of an error: %s", &log)
		}
		if got, want := trail.Stats(), (audit.Stats{Events: 10, Failed: 6}); got != want {
			t.Errorf("Stats = %+v, want %+v", got, want)
		}
		if len(out) != 10 {
			t.Errorf("the other sink has %d lines, want 10", len(out))
		}
	})
}

type hostileError struct{ inner error }

func (e *hostileError) Error() string { return e.inner.Error() }
func (e *hostileError) Unwrap() error { return e.inner }

func TestClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		close(g.open)
		trail, err := audit.New(audit.Config{Sinks: []audit.Sink{g}})
		if err != nil {
			t.Fatal(err)
		}
		h := trail.Handler(http.NotFoundHandler())
		for range 1000 {
			serve(h, get("/"))
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if err := trail.Close(); err != nil {
					t.Errorf("Close = %v", err)
				}
			})
		}
		wg.Wait()
		if err := trail.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown after Close = %v", err)
		}
		if len(g.lines) != 1000 || g.closed.Load() != 1 {
			t.Errorf("%d lines, closed %d times, want 1000 and once", len(g.lines), g.closed.Load())
		}
		if err := trail.Record(t.Context(), audit.Event{Type: "late"}); !errors.Is(err, audit.ErrClosed) {
			t.Errorf("Record after Close = %v, want ErrClosed", err)
		}
		if got := serve(h, get("/")).Code; got != http.StatusNotFound {
			t.Errorf("status after Close = %d, want the handler's 404", got)
		}
		if got, want := trail.Stats(), (audit.Stats{Events: 1002, Lost: 2}); got != want {
			t.Errorf("Stats = %+v, want %+v", got, want)
		}
		// synctest fails the test if the trail's goroutine is still there.
	})
}

// Close waits no longer than it may. A sink that comes back later is closed
// then, and the goroutine ends.
func TestCloseIsBounded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		drain time.Duration
		obeys bool
		close func(*audit.Trail) error
		want  time.Duration
		err   error
	}{
		{"default", 0, false, (*audit.Trail).Close, 5 * time.Second, context.DeadlineExceeded},
		{"DrainTimeout", time.Second, false, (*audit.Trail).Close, time.Second, context.DeadlineExceeded},
		{"sink that obeys", time.Second, true, (*audit.Trail).Close, time.Second, context.DeadlineExceeded},
		{"sink that times out before", time.Minute, true, (*audit.Trail).Close, 5 * time.Second, nil},
		{"Shutdown's context", time.Hour, false, func(t *audit.Trail) error {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			return t.Shutdown(ctx)
		}, 2 * time.Second, context.DeadlineExceeded},
		{"Shutdown's context is longer", time.Second, false, func(t *audit.Trail) error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
			defer cancel()
			return t.Shutdown(ctx)
		}, time.Second, context.DeadlineExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := &gate{open: make(chan struct{}), obeys: tt.obeys}
				trail, err := audit.New(audit.Config{Sinks: []audit.Sink{g}, DrainTimeout: tt.drain})
				if err != nil {
					t.Fatal(err)
				}
				serve(trail.Handler(http.NotFoundHandler()), get("/"))
				synctest.Wait()
				begin := time.Now()
				if err := tt.close(trail); !errors.Is(err, tt.err) {
					t.Errorf("error = %v, want %v", err, tt.err)
				}
				if got := time.Since(begin); got != tt.want {
					t.Errorf("it took %v, want %v", got, tt.want)
				}
				if !tt.obeys {
					close(g.open)
				}
				synctest.Wait()
				if n := g.closed.Load(); n != 1 {
					t.Errorf("the sink was closed %d times, want once", n)
				}
				if err := trail.Close(); err != nil {
					t.Errorf("Close again = %v", err)
				}
			})
		})
	}
}

// All sinks are closed, whatever one of them does.
func TestCloseErrors(t *testing.T) {
	t.Parallel()
	bad := errors.New("bad")
	g := &gate{open: make(chan struct{})}
	trail, err := audit.New(audit.Config{Sinks: []audit.Sink{
		closer(func() error { return bad }), closer(func() error { panic("boom") }), g,
	}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err = trail.Close()
		if want := "audit: closing Sinks[0]: bad\naudit: closing Sinks[1]: panic with a string"; !errors.Is(err, bad) || err.Error() != want {
			t.Errorf("Close = %v, want %s", err, want)
		}
	}
	if n := g.closed.Load(); n != 1 {
		t.Errorf("the last sink was closed %d times, want once", n)
	}
}

type closer func() error

func (closer) Write(context.Context, audit.Batch) error { return nil }
func (c closer) Close() error                           { return c() }

// Batches are small, whatever waits: nobody needs a buffer for all of it.
func TestBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var (
			open    = make(chan struct{})
			largest int
			total   int
		)
		trail, err := audit.New(audit.Config{Sinks: []audit.Sink{sinkFunc(func(_ context.Context, b audit.Batch) error {
			<-open
			if len(b.Events) != len(b.Lines) {
				t.Errorf("%d events and %d lines", len(b.Events), len(b.Lines))
			}
			size := 0
			for i, l := range b.Lines {
				size += len(l)
				if !bytes.Contains(l, fmt.Appendf(nil, `{"seq":%d,`, b.Events[i].Seq)) || bytes.Count(l, []byte("\n")) != 1 || l[len(l)-1] != '\n' {
					t.Errorf("line %d = %q", i, l)
				}
			}
			largest, total = max(largest, size), total+len(b.Lines)
			return nil
		})}})
		if err != nil {
			t.Fatal(err)
		}
		h := trail.Handler(http.NotFoundHandler())
		for range 3000 {
			serve(h, get("/"))
		}
		close(open)
		if err := trail.Close(); err != nil {
			t.Fatal(err)
		}
		if total != 3000 || largest > 68<<10 {
			t.Errorf("%d lines in batches of up to %d bytes, want 3000 of up to 64 KiB", total, largest)
		}
	})
}

// A write that fails within a line must not make one line of two.
func TestWriterAfterTornLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		first int // bytes that the first write takes
		err   error
		want  int // lines that are JSON, of three
	}{
		{"nothing was written", 0, io.ErrClosedPipe, 2},
		{"half a line", 20, io.ErrClosedPipe, 2},
		{"half a line without an error", 20, nil, 2},
		{"everything, and an error", 1 << 20, io.ErrClosedPipe, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var log buffer
				out := &torn{first: tt.first, err: tt.err}
				trail, err := audit.New(audit.Config{Sinks: []audit.Sink{audit.Writer(out)}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
				if err != nil {
					t.Fatal(err)
				}
				for range 3 {
					serve(trail.Handler(http.NotFoundHandler()), get("/"))
					synctest.Wait()
				}
				if err := trail.Close(); err != nil {
					t.Fatal(err)
				}
				whole := 0
				for l := range strings.SplitSeq(out.String(), "\n") {
					if l != "" && json.Valid([]byte(l)) {
						whole++
					}
				}
				if whole != tt.want {
					t.Errorf("%d whole lines, want %d:\n%s", whole, tt.want, out)
				}
				if got := trail.Stats().Failed; got != 1 {
					t.Errorf("%d failed, want 1", got)
				}
				if !strings.Contains(log.String(), "error=*errors.errorString") {
					t.Errorf("log = %s, want the failure", &log)
				}
			})
		})
	}
}

type torn struct {
	bytes.Buffer
	first int
	err   error
	calls int
}

func (w *torn) Write(p []byte) (int, error) {
	if w.calls++; w.calls > 1 {
		return w.Buffer.Write(p)
	}
	n, _ := w.Buffer.Write(p[:min(w.first, len(p))])
	return n, w.err
}

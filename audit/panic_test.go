package audit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/audit"
)

type myError struct{ secret string }

func (e *myError) Error() string { return e.secret }

func boom(v any) { panic(v) }

func TestPanic(t *testing.T) {
	t.Parallel()
	var (
		none  map[string]int
		index = 7
	)
	for _, tt := range []struct {
		name    string
		handler func()
		value   string // what OnPanic gets, printed
		kind    string
		at      string // the beginning of panic_at
	}{
		{"string", func() { panic("canary") }, "canary", "string", "audit_test.TestPanic.func1 panic_test.go:"},
		{"in a function", func() { boom("canary") }, "canary", "string", "audit_test.boom panic_test.go:"},
		{"error", func() { boom(&myError{"canary"}) }, "canary", "*audit_test.myError", "audit_test.boom panic_test.go:"},
		{"nil", func() { boom(nil) }, (*runtime.PanicNilError)(nil).Error(), "*runtime.PanicNilError", "audit_test.boom panic_test.go:"},
		{"what cannot be compared", func() { boom([]string{"canary"}) }, "[canary]", "[]string", "audit_test.boom panic_test.go:"},
		{"wrapped ErrAbortHandler", func() { boom(fmt.Errorf("canary: %w", http.ErrAbortHandler)) }, "canary: net/http: abort Handler", "*fmt.wrapError", "audit_test.boom panic_test.go:"},
		{"nil map", func() { none["canary"] = 1 }, "assignment to entry in nil map", "runtime.plainError", "audit_test.TestPanic.func7 panic_test.go:"},
		{"index", func() { _ = []int{1}[index] }, "runtime error: index out of range [7] with length 1", "runtime.boundsError", "audit_test.TestPanic.func8 panic_test.go:"},
		{"nil pointer", func() { _ = (*myError)(nil).Error() }, "runtime error: invalid memory address or nil pointer dereference", "runtime.errorString", "audit_test.(*myError).Error panic_test.go:"},
		{"panic while panicking", func() {
			defer func() { boom("second canary") }()
			panic("first canary")
		}, "second canary", "string", "audit_test.boom panic_test.go:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var (
				log   buffer
				value any
				stack string
			)
			trail, out := newTrail(t, audit.Config{
				Logger:  slog.New(slog.NewTextHandler(&log, nil)),
				OnPanic: func(_ context.Context, v any, s []byte) { value, stack = v, string(s) },
			})
			w := serve(trail.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "br") // of the answer that is not given
				w.Header().Set("Set-Cookie", "session=canary")
				w.Header().Set("Location", "/canary")
				w.Header()["clear-site-data"] = []string{"canary"}
				tt.handler()
			})), get("/"))
			got := <-out
			at := strings.TrimPrefix(got.PanicAt, "github.com/gatehouse-go/gatehouse/")
			at = strings.TrimPrefix(at, "audit/")
			if got.Panic != tt.kind || !strings.HasPrefix(strings.TrimPrefix(at, "audit_test."), strings.TrimPrefix(tt.at, "audit_test.")) {
				t.Errorf("panic = %q at %q, want %q at %s…", got.Panic, at, tt.kind, tt.at)
			}
			if got.Outcome != audit.Panicked || got.Status != 500 || got.Bytes != int64(w.Body.Len()) {
				t.Errorf("outcome = %s %d %d bytes, want panic 500 %d bytes", got.Outcome, got.Status, got.Bytes, w.Body.Len())
			}
			if w.Code != 500 || w.Header().Get("Content-Type") != "application/problem+json" || w.Header().Get("Content-Encoding") != "" ||
				!strings.Contains(w.Body.String(), got.RequestID) || strings.Contains(w.Body.String(), "canary") || strings.Contains(fmt.Sprint(w.Header()), "canary") {
				t.Errorf("answer = %d %v %s, want a problem with the request's id", w.Code, w.Header(), w.Body)
			}
			if fmt.Sprint(value) != tt.value {
				t.Errorf("OnPanic got %v, want %s", value, tt.value)
			}
			if !strings.Contains(stack, "panic_test.go") {
				t.Errorf("OnPanic's stack does not lead here:\n%s", stack)
			}
			if text := log.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, got.RequestID) || !strings.Contains(text, "panic_test.go") || strings.Contains(text, "canary") {
				t.Errorf("log = %s, want the type and place", text)
			}
		})
	}
}

// The line is written and the client answered whatever a hook, a log or a
// writer does.
func TestPanicIsContained(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		cfg  audit.Config
		w    http.ResponseWriter
		want any // what goes on to net/http
	}{
		{"OnPanic panics", audit.Config{OnPanic: func(context.Context, any, []byte) { panic("again") }}, httptest.NewRecorder(), nil},
		{"Logger panics", audit.Config{Logger: slog.New(panicky{})}, httptest.NewRecorder(), nil},
		{
			"both panic",
			audit.Config{Logger: slog.New(panicky{}), OnPanic: func(context.Context, any, []byte) { panic("again") }},
			httptest.NewRecorder(), nil,
		},
		{"the writer panics", audit.Config{}, brokenWriter{httptest.NewRecorder()}, http.ErrAbortHandler},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			trail, out := newTrail(t, tt.cfg)
			func() {
				defer func() {
					if v := recover(); v != tt.want {
						t.Errorf("recovered %v, want %v", v, tt.want)
					}
				}()
				trail.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") })).ServeHTTP(tt.w, get("/"))
			}()
			if got := <-out; got.Outcome != audit.Panicked || got.Panic != "string" {
				t.Errorf("line = %+v, want the panic", got)
			}
			if w, ok := tt.w.(*httptest.ResponseRecorder); ok && w.Code != 500 {
				t.Errorf("status = %d, want 500", w.Code)
			}
		})
	}
}

type panicky struct{ slog.Handler }

func (panicky) Enabled(context.Context, slog.Level) bool  { return true }
func (panicky) Handle(context.Context, slog.Record) error { panic("in the log") }

type brokenWriter struct{ http.ResponseWriter }

func (brokenWriter) WriteHeader(int)           { panic("in the writer") }
func (brokenWriter) Write([]byte) (int, error) { panic("in the writer") }

// After the start the client must see that the answer is cut off, and the
// panic goes on as the one that net/http does not print.
func TestPanicAfterStart(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		value any
		want  audit.Outcome
	}{{"boom", audit.Panicked}, {errors.New("boom"), audit.Panicked}, {http.ErrAbortHandler, audit.Aborted}} {
		trail, out := newTrail(t, audit.Config{})
		w := httptest.NewRecorder()
		func() {
			defer func() {
				if v := recover(); v != http.ErrAbortHandler { //nolint:errorlint // net/http compares it like this
					t.Errorf("recovered %v, want ErrAbortHandler", v)
				}
			}()
			trail.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "hello")
				panic(tt.value)
			})).ServeHTTP(w, get("/"))
		}()
		if got := <-out; got.Outcome != tt.want || got.Status != 200 || got.Bytes != 5 || w.Body.String() != "hello" {
			t.Errorf("line = %s %d %d bytes of %q, want %s 200 5 bytes", got.Outcome, got.Status, got.Bytes, w.Body, tt.want)
		}
	}
}

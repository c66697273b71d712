package respwriter_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/respwriter"
)

// body is longer than every buffer between handler and wire.
var body = strings.Repeat("0123456789abcdef", 1<<16)

// A wire is what a client sees of an answer.
type wire struct {
	Informational []int
	Status        int
	Body          string
	Length        int64 // Content-Length, -1 without
	Trailer       http.Header
	Close         bool
	XTest         []string
	Failed        bool // the connection or stream was cut off
}

// A truth is what a Recorder says.
type truth struct {
	status   int
	bytes    int64
	hijacked bool
	blocked  bool
	failed   bool
}

// A server serves one handler by one protocol.
func start(t *testing.T, h2 bool, h http.Handler) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	if h2 {
		srv.EnableHTTP2 = true
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	return srv
}

func ask(t *testing.T, srv *httptest.Server, method string, send io.Reader) wire {
	t.Helper()
	got := wire{Length: -1}
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
			got.Informational = append(got.Informational, code)
			return nil
		},
	})
	req, err := http.NewRequestWithContext(ctx, method, srv.URL, send)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := srv.Client().Do(req)
	if err != nil {
		got.Failed = true
		return got
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		_ = resp.Body.(io.Closer).Close()
	} else {
		b, err := io.ReadAll(resp.Body)
		got.Body, got.Failed = string(b), err != nil
	}
	got.Status, got.Length, got.Close = resp.StatusCode, resp.ContentLength, resp.Close
	got.XTest = resp.Header["X-Test"]
	if len(resp.Trailer) > 0 {
		got.Trailer = resp.Trailer
	}
	return got
}

// recorded wraps h, and tells what the Recorder says when h is done.
func recorded(h http.Handler, opts func(w http.ResponseWriter) respwriter.Options) (http.Handler, <-chan truth) {
	truths := make(chan truth, 1)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner, rec := respwriter.Wrap(w, r, opts(w))
		defer func() {
			truths <- truth{rec.Status(), rec.Bytes(), rec.Hijacked(), rec.Blocked(), rec.Err() != nil}
		}()
		h.ServeHTTP(inner, r)
	}), truths
}

func watching(http.ResponseWriter) respwriter.Options { return respwriter.Options{} }

// TestWire runs each handler bare and wrapped over real connections: clients
// must see the same, and the Recorder must have seen what the clients saw.
func TestWire(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	write := func(w io.Writer, s string) { _, _ = io.WriteString(w, s) }
	for _, tt := range []struct {
		name    string
		method  string
		send    string
		handler http.HandlerFunc
		http1   truth
		http2   truth
	}{
		{
			name: "io.Copy",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.Copy(w, struct{ io.Reader }{strings.NewReader(body)})
			},
			http1: truth{status: 200, bytes: 1 << 20}, http2: truth{status: 200, bytes: 1 << 20},
		},
		{
			name:    "ServeFile",
			handler: func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) },
			http1:   truth{status: 200, bytes: 1 << 20}, http2: truth{status: 200, bytes: 1 << 20},
		},
		{
			name: "ServeContent of a range",
			handler: func(w http.ResponseWriter, r *http.Request) {
				r.Header.Set("Range", "bytes=10-19")
				http.ServeFile(w, r, file)
			},
			http1: truth{status: 206, bytes: 10}, http2: truth{status: 206, bytes: 10},
		},
		{
			name: "103 then 403",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusEarlyHints)
				w.WriteHeader(http.StatusForbidden)
				write(w, "no")
			},
			http1: truth{status: 403, bytes: 2}, http2: truth{status: 403, bytes: 2},
		},
		{
			name: "103 behind the final status",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusAccepted)
				w.WriteHeader(http.StatusEarlyHints)
			},
			http1: truth{status: 202}, http2: truth{status: 202},
		},
		{
			// HTTP/2 has no 101: it goes out as an informational response.
			name: "101 then 403",
			handler: func(w http.ResponseWriter, r *http.Request) {
				if r.ProtoMajor == 2 {
					w.WriteHeader(http.StatusSwitchingProtocols)
				}
				w.WriteHeader(http.StatusForbidden)
			},
			http1: truth{status: 403}, http2: truth{status: 403},
		},
		{
			name: "body then 500",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				write(w, "fine")
				w.WriteHeader(http.StatusInternalServerError)
			},
			http1: truth{status: 200, bytes: 4}, http2: truth{status: 200, bytes: 4},
		},
		{
			name: "201 then 500",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusCreated)
				w.WriteHeader(http.StatusInternalServerError)
			},
			http1: truth{status: 201}, http2: truth{status: 201},
		},
		{
			name: "Flush then 500",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.(http.Flusher).Flush()
				w.WriteHeader(http.StatusInternalServerError)
			},
			http1: truth{status: 200}, http2: truth{status: 200},
		},
		{
			name: "FlushError then 500",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				if err := http.NewResponseController(w).Flush(); err != nil {
					panic(err)
				}
				w.WriteHeader(http.StatusInternalServerError)
			},
			http1: truth{status: 200}, http2: truth{status: 200},
		},
		{
			name:    "panic",
			handler: func(http.ResponseWriter, *http.Request) { panic("test") },
		},
		{
			name:    "ErrAbortHandler",
			handler: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		},
		{
			name: "ErrAbortHandler in the body",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "10")
				write(w, "half.")
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			},
			http1: truth{status: 200, bytes: 5}, http2: truth{status: 200, bytes: 5},
		},
		{
			name:    "nothing", // net/http answers 200 when the handler is done
			handler: func(http.ResponseWriter, *http.Request) {},
		},
		{
			name:   "HEAD",
			method: http.MethodHead,
			handler: func(w http.ResponseWriter, _ *http.Request) {
				write(w, "hello")
				_, _ = io.Copy(w, struct{ io.Reader }{strings.NewReader("world")})
			},
			http1: truth{status: 200}, http2: truth{status: 200},
		},
		{
			name: "204 with a body",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusNoContent)
				write(w, "hello")
			},
			http1: truth{status: 204, failed: true}, http2: truth{status: 204, failed: true},
		},
		{
			name: "more than Content-Length",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "3")
				write(w, "abc")
				write(w, "def")
			},
			// net/http's HTTP/2 looks before the buffer, and sends all six.
			http1: truth{status: 200, bytes: 3, failed: true}, http2: truth{status: 200, bytes: 6},
		},
		{
			name: "trailers",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Trailer", "X-Sum")
				write(w, "hello")
				w.Header().Set("X-Sum", "5")
				w.Header().Set(http.TrailerPrefix+"X-Late", "yes")
			},
			http1: truth{status: 200, bytes: 5}, http2: truth{status: 200, bytes: 5},
		},
		{
			name: "headers set after the status",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Test", "before")
				w.WriteHeader(http.StatusTeapot)
				w.Header().Set("X-Test", "after")
			},
			http1: truth{status: 418}, http2: truth{status: 418},
		},
		{
			name: "WriteString",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.(io.StringWriter).WriteString("hello")
			},
			http1: truth{status: 200, bytes: 5}, http2: truth{status: 200, bytes: 5},
		},
		{
			name: "deadlines",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				rc := http.NewResponseController(w)
				err := errors.Join(rc.SetReadDeadline(time.Now().Add(time.Hour)), rc.SetWriteDeadline(time.Now().Add(time.Hour)))
				if err != nil {
					panic(err)
				}
				write(w, "set")
			},
			http1: truth{status: 200, bytes: 3}, http2: truth{status: 200, bytes: 3},
		},
		{
			name: "write deadline in the past",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				if err := http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0)); err != nil {
					panic(err)
				}
				w.WriteHeader(http.StatusTeapot)
			},
			http1: truth{status: 418}, http2: truth{status: 418},
		},
		{
			name: "full duplex",
			send: "hello",
			handler: func(w http.ResponseWriter, r *http.Request) {
				if err := http.NewResponseController(w).EnableFullDuplex(); err != nil && r.ProtoMajor == 1 {
					panic(err)
				}
				_ = http.NewResponseController(w).Flush()
				_, _ = io.Copy(w, r.Body)
			},
			http1: truth{status: 200, bytes: 5}, http2: truth{status: 200, bytes: 5},
		},
		{
			// Through Base net/http's own writer learns that it must close.
			name: "MaxBytesReader",
			send: body,
			handler: func(w http.ResponseWriter, r *http.Request) {
				_, err := io.ReadAll(http.MaxBytesReader(respwriter.Base(w), r.Body, 10))
				if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
					w.WriteHeader(http.StatusRequestEntityTooLarge)
				}
			},
			http1: truth{status: 413}, http2: truth{status: 413},
		},
		{
			name: "hijacked",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				conn, rw, err := http.NewResponseController(w).Hijack()
				if err != nil {
					w.WriteHeader(http.StatusNotImplemented)
					return
				}
				defer func() { _ = conn.Close() }()
				write(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n")
				_ = rw.Flush()
			},
			http1: truth{status: 101, hijacked: true}, http2: truth{status: 501},
		},
		{
			name: "status that HTTP does not have",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				defer func() {
					_ = recover()
					w.WriteHeader(http.StatusTeapot)
				}()
				w.WriteHeader(1000)
			},
			http1: truth{status: 418}, http2: truth{status: 418},
		},
	} {
		for proto, want := range map[string]truth{"HTTP/1.1": tt.http1, "HTTP/2": tt.http2} {
			t.Run(tt.name+" "+proto, func(t *testing.T) {
				t.Parallel()
				method := tt.method
				if method == "" {
					method = http.MethodGet
				}
				send := func() io.Reader {
					if tt.send == "" {
						return nil
					}
					return strings.NewReader(tt.send)
				}
				if tt.send != "" {
					method = http.MethodPost
				}
				h2 := proto == "HTTP/2"
				handler, truths := recorded(tt.handler, watching)
				bare := ask(t, start(t, h2, tt.handler), method, send())
				got := ask(t, start(t, h2, handler), method, send())
				if !reflect.DeepEqual(got, bare) {
					t.Errorf("wrapped: %v\nbare:    %v", brief(got), brief(bare))
				}
				rec := <-truths
				if rec != want {
					t.Errorf("recorder = %+v, want %+v", rec, want)
				}
				if got.Failed {
					return
				}
				if rec.status != got.Status && rec.status != 0 || rec.status == 0 && got.Status != http.StatusOK {
					t.Errorf("recorder's status = %d, on the wire %d", rec.status, got.Status)
				}
				if rec.bytes != int64(len(got.Body)) {
					t.Errorf("recorder's bytes = %d, on the wire %d", rec.bytes, len(got.Body))
				}
			})
		}
	}
}

func brief(w wire) wire {
	if len(w.Body) > 32 {
		w.Body = w.Body[:32] + "…"
	}
	return w
}

// TestInterfaces holds that a wrapped writer has the optional interfaces that
// the bare one has, and no other.
func TestInterfaces(t *testing.T) {
	t.Parallel()
	type set struct{ flusher, flushError, hijacker, readerFrom, pusher, stringWriter bool }
	of := func(w http.ResponseWriter) (s set) {
		_, s.flusher = w.(http.Flusher)
		_, s.flushError = w.(interface{ FlushError() error })
		_, s.hijacker = w.(http.Hijacker)
		_, s.readerFrom = w.(io.ReaderFrom)
		_, s.pusher = w.(http.Pusher)
		_, s.stringWriter = w.(io.StringWriter)
		return s
	}
	for proto, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			sets := make(chan set, 2)
			srv := start(t, h2, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				inner, _ := respwriter.Wrap(w, r, respwriter.Options{})
				twice, _ := respwriter.Wrap(inner, r, respwriter.Options{})
				if respwriter.Base(twice) != w {
					t.Error("Base is not net/http's writer")
				}
				sets <- of(twice)
				sets <- of(w)
			}))
			ask(t, srv, http.MethodGet, nil)
			if got, want := <-sets, <-sets; got != want {
				t.Errorf("wrapped = %+v, bare %+v", got, want)
			}
		})
	}
}

// plain is a writer with no optional interface.
type plain struct {
	header http.Header
	status int
	buf    bytes.Buffer
}

func (p *plain) Header() http.Header         { return p.header }
func (p *plain) WriteHeader(status int)      { p.status = status }
func (p *plain) Write(b []byte) (int, error) { return p.buf.Write(b) }

// opaque hides all optional interfaces of a writer but Unwrap.
type opaque struct{ w http.ResponseWriter }

func (o opaque) Header() http.Header         { return o.w.Header() }
func (o opaque) WriteHeader(status int)      { o.w.WriteHeader(status) }
func (o opaque) Write(b []byte) (int, error) { return o.w.Write(b) }
func (o opaque) Unwrap() http.ResponseWriter { return o.w }

func TestPlainWriter(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	base := &plain{header: make(http.Header)}
	w, rec := respwriter.Wrap(base, r, respwriter.Options{})
	if _, ok := w.(http.Flusher); ok {
		t.Error("the wrapped writer is a Flusher, the bare one is not")
	}
	if err := http.NewResponseController(w).Flush(); !errors.Is(err, http.ErrNotSupported) {
		t.Errorf("Flush = %v, want ErrNotSupported", err)
	}
	if got := rec.Status(); got != 0 {
		t.Errorf("status after a Flush that did nothing = %d, want 0", got)
	}
	if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, http.ErrNotSupported) {
		t.Errorf("Hijack = %v, want ErrNotSupported", err)
	}
	n, err := io.Copy(w, struct{ io.Reader }{strings.NewReader("hello")})
	if n != 5 || err != nil || base.buf.String() != "hello" || rec.Bytes() != 5 || rec.Status() != http.StatusOK {
		t.Errorf("Copy = %d, %v; wrote %q, recorded %d bytes with status %d", n, err, base.buf.String(), rec.Bytes(), rec.Status())
	}
}

// hijackable is a plain writer with Flush and Hijack, but without ReadFrom.
type hijackable struct{ plain }

func (*hijackable) Flush() {}
func (*hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, errors.New("taken")
}

func TestReadFromWithoutReaderFrom(t *testing.T) {
	t.Parallel()
	base := &hijackable{plain{header: make(http.Header)}}
	w, rec := respwriter.Wrap(base, httptest.NewRequest(http.MethodGet, "/", nil), respwriter.Options{})
	n, err := w.(io.ReaderFrom).ReadFrom(strings.NewReader("hello"))
	if n != 5 || err != nil || rec.Bytes() != 5 || base.buf.String() != "hello" {
		t.Errorf("ReadFrom = %d, %v; wrote %q, recorded %d bytes", n, err, base.buf.String(), rec.Bytes())
	}
}

// TestBefore holds that nothing of a refused response reaches the client,
// whatever the handler tries.
func TestBefore(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
	}{
		{"WriteHeader", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) }},
		{"Write", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("secret")) }},
		{"WriteString", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "secret") }},
		{"Copy", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.Copy(w, struct{ io.Reader }{strings.NewReader("secret")})
		}},
		{"Flush", func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() }},
		{"FlushError", func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() }},
		{"Flush under a wrapper that hides it", func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(opaque{w}).Flush()
		}},
		{"Hijack", func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				w.WriteHeader(http.StatusOK) // HTTP/2 has nothing to hijack
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
			_ = conn.Close()
		}},
		{"status that HTTP does not have, then Write", func(w http.ResponseWriter, _ *http.Request) {
			defer func() {
				_ = recover()
				_, _ = w.Write([]byte("secret"))
			}()
			w.WriteHeader(1000)
		}},
		{"all of it", func(w http.ResponseWriter, r *http.Request) {
			for range 2 {
				w.WriteHeader(http.StatusCreated)
				w.WriteHeader(http.StatusEarlyHints)
				_, _ = io.WriteString(w, "secret")
				_, _ = io.Copy(w, struct{ io.Reader }{strings.NewReader("secret")})
				_ = http.NewResponseController(w).Flush()
				_, _, _ = http.NewResponseController(w).Hijack()
			}
		}},
	} {
		for proto, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
			t.Run(tt.name+" "+proto, func(t *testing.T) {
				t.Parallel()
				handler, truths := recorded(tt.handler, func(w http.ResponseWriter) respwriter.Options {
					return respwriter.Options{Before: func(status int) bool {
						if status >= http.StatusBadRequest {
							return true
						}
						w.WriteHeader(http.StatusForbidden)
						_, _ = io.WriteString(w, "refused")
						return false
					}}
				})
				got := ask(t, start(t, h2, handler), http.MethodGet, nil)
				if got.Status != http.StatusForbidden || got.Body != "refused" || got.Failed {
					t.Errorf("got %+v, want 403 refused", got)
				}
				if rec := <-truths; !rec.blocked || rec.status != 0 || rec.bytes != 0 {
					t.Errorf("recorder = %+v, want it blocked with nothing written", rec)
				}
			})
		}
	}
}

// TestBeforeIsAskedUnderAForeignWrapper: a middleware that only has Unwrap
// stands beneath, and ResponseController would flush past the Recorder.
func TestBeforeIsAskedUnderAForeignWrapper(t *testing.T) {
	t.Parallel()
	rec := httptest.NewRecorder()
	w, _ := respwriter.Wrap(opaque{rec}, httptest.NewRequest(http.MethodGet, "/", nil), respwriter.Options{
		Before: func(int) bool { return false },
	})
	if err := http.NewResponseController(w).Flush(); !errors.Is(err, respwriter.ErrBlocked) {
		t.Errorf("Flush = %v, want ErrBlocked", err)
	}
	if rec.Flushed {
		t.Error("the response was flushed")
	}
}

// TestHijackUnderAForeignWrapper: nor is the connection given away past the
// Recorder.
func TestHijackUnderAForeignWrapper(t *testing.T) {
	t.Parallel()
	for _, allowed := range []bool{false, true} {
		var rec *respwriter.Recorder
		var err error
		done := make(chan struct{})
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(done)
			var wrapped http.ResponseWriter
			wrapped, rec = respwriter.Wrap(opaque{w}, r, respwriter.Options{Before: func(int) bool { return allowed }})
			var conn net.Conn
			if conn, _, err = http.NewResponseController(wrapped).Hijack(); err == nil {
				err = conn.Close()
			}
		}))
		resp, getErr := server.Client().Get(server.URL)
		if getErr == nil {
			_ = resp.Body.Close()
		}
		<-done
		server.Close()
		if allowed && err != nil || !allowed && !errors.Is(err, respwriter.ErrBlocked) {
			t.Errorf("allowed %t: Hijack = %v", allowed, err)
		}
		if rec.Hijacked() != allowed || rec.Blocked() == allowed {
			t.Errorf("allowed %t: hijacked = %t, blocked = %t", allowed, rec.Hijacked(), rec.Blocked())
		}
	}
}

// TestBeforeThatPanics: a response that was not allowed stays refused.
func TestBeforeThatPanics(t *testing.T) {
	t.Parallel()
	base := httptest.NewRecorder()
	w, rec := respwriter.Wrap(base, httptest.NewRequest(http.MethodGet, "/", nil), respwriter.Options{
		Before: func(int) bool { panic("test") },
	})
	func() {
		defer func() { _ = recover() }()
		w.WriteHeader(http.StatusOK)
	}()
	if _, err := io.WriteString(w, "secret"); !errors.Is(err, respwriter.ErrBlocked) {
		t.Errorf("Write = %v, want ErrBlocked", err)
	}
	if base.Body.Len() > 0 || !rec.Blocked() {
		t.Errorf("wrote %q, blocked = %v", base.Body, rec.Blocked())
	}
}

// TestBeforeIsAskedOnce for a response that goes out, with its status.
func TestBeforeIsAskedOnce(t *testing.T) {
	t.Parallel()
	var asked []int
	w, rec := respwriter.Wrap(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil), respwriter.Options{
		Before: func(status int) bool { asked = append(asked, status); return true },
	})
	w.WriteHeader(http.StatusEarlyHints)
	w.WriteHeader(http.StatusAccepted)
	w.WriteHeader(http.StatusInternalServerError)
	_, _ = io.WriteString(w, "hello")
	w.(http.Flusher).Flush()
	if len(asked) != 1 || asked[0] != http.StatusAccepted || rec.Status() != http.StatusAccepted {
		t.Errorf("asked for %v and recorded %d, want 202 once", asked, rec.Status())
	}
}

// TestPush: HTTP/2 push, which browsers dropped, is passed on.
func TestPush(t *testing.T) {
	t.Parallel()
	base := &pusher{ResponseRecorder: httptest.NewRecorder()}
	w, _ := respwriter.Wrap(base, httptest.NewRequest(http.MethodGet, "/", nil), respwriter.Options{})
	if err := w.(http.Pusher).Push("/style.css", nil); err != nil || base.pushed != "/style.css" {
		t.Errorf("Push = %v, pushed %q", err, base.pushed)
	}
}

type pusher struct {
	*httptest.ResponseRecorder
	pushed string
}

func (p *pusher) Push(target string, _ *http.PushOptions) error {
	p.pushed = target
	return nil
}

// TestClientGone: the first error of writing is kept.
func TestClientGone(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	handler, truths := recorded(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		for range 1 << 10 {
			if _, err := io.WriteString(w, body); err != nil {
				return
			}
		}
	}), watching)
	srv := start(t, false, handler)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	_ = resp.Body.Close()
	if rec := <-truths; !rec.failed || rec.status != http.StatusOK {
		t.Errorf("recorder = %+v, want an error and status 200", rec)
	}
}

func BenchmarkWrap(b *testing.B) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	base := &plain{header: make(http.Header)}
	p := []byte("hello")
	b.ReportAllocs()
	for b.Loop() {
		base.buf.Reset()
		w, rec := respwriter.Wrap(base, r, respwriter.Options{})
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write(p)
		if rec.Bytes() != int64(len(p)) {
			b.Fatal("wrong count")
		}
	}
}

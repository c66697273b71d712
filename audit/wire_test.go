package audit_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/audit"
)

// A wire is everything that a client sees of an answer.
type wire struct {
	status int
	all    string // informational responses, status, headers, body, trailers, and how it ended
}

func start(t *testing.T, h http.Handler, http2 bool) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = http2
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	if http2 {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	// One connection for each request: none is sent again when it is cut.
	srv.Client().Transport.(*http.Transport).DisableKeepAlives = !http2
	t.Cleanup(srv.Close)
	return srv
}

func exchange(t *testing.T, srv *httptest.Server, method, path string) wire {
	t.Helper()
	var (
		w   wire
		all strings.Builder
	)
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			delete(h, "X-Request-Id")
			fmt.Fprintln(&all, code, h)
			return nil
		},
	})
	r, err := http.NewRequestWithContext(ctx, method, srv.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := srv.Client().Transport.RoundTrip(r)
	if err != nil {
		return wire{0, "no answer"}
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	for _, name := range []string{"Date", "X-Request-Id"} {
		resp.Header.Del(name)
	}
	w.status = resp.StatusCode
	fmt.Fprintln(&all, resp.Proto, resp.Status, resp.Header, len(body), resp.Trailer, err != nil)
	if len(body) < 1000 {
		fmt.Fprintf(&all, "%s\n", body)
	}
	w.all = all.String()
	return w
}

// behaviours are ways to answer, and what is true of them. The peers that were
// measured get at least two of the first nine wrong each.
var behaviours = []struct {
	name    string
	method  string
	http1   bool // not on HTTP/2
	differs bool // the Trail answers for the handler
	handler func(w http.ResponseWriter, r *http.Request)

	status  int
	bytes   int64
	outcome audit.Outcome
}{
	{
		name: "io.Copy of 1 MiB", status: 200, bytes: 1 << 20, outcome: audit.OK,
		handler: func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.Copy(w, io.LimitReader(zeros{}, 1<<20))
		},
	},
	{
		name: "103, then 403", status: 403, outcome: audit.Denied,
		handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusForbidden)
		},
	},
	{
		name: "200 and a body, then 500", status: 200, bytes: 5, outcome: audit.OK,
		handler: func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "hello")
			w.WriteHeader(http.StatusInternalServerError)
		},
	},
	{
		name: "Flush, then 500", status: 200, outcome: audit.OK,
		handler: func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			w.WriteHeader(http.StatusInternalServerError)
		},
	},
	{
		name: "panic", status: 500, bytes: -1, outcome: audit.Panicked, differs: true,
		handler: func(http.ResponseWriter, *http.Request) { panic("boom") },
	},
	{
		name: "ErrAbortHandler", status: 0, outcome: audit.Aborted,
		handler: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	},
	{
		name: "nothing", status: 200, outcome: audit.OK,
		handler: func(http.ResponseWriter, *http.Request) {},
	},
	{
		name: "Hijack", status: 101, outcome: audit.Hijacked, http1: true,
		handler: func(w http.ResponseWriter, _ *http.Request) { upgrade(w.(http.Hijacker).Hijack()) },
	},
	{
		name: "ResponseController", status: 200, bytes: 5, outcome: audit.OK,
		handler: func(w http.ResponseWriter, r *http.Request) {
			rc := http.NewResponseController(w)
			for name, err := range map[string]error{
				"SetReadDeadline":  rc.SetReadDeadline(time.Now().Add(time.Minute)),
				"SetWriteDeadline": rc.SetWriteDeadline(time.Now().Add(time.Minute)),
				"Flush":            rc.Flush(),
				"EnableFullDuplex": rc.EnableFullDuplex(),
			} {
				if err != nil {
					panic(fmt.Sprintf("%s %s: %v", r.Proto, name, err))
				}
			}
			_, _ = io.WriteString(w, "hello")
		},
	},
	{
		name: "panic after the start", status: 200, bytes: 5, outcome: audit.Panicked,
		handler: func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "hello")
			w.(http.Flusher).Flush()
			panic("boom")
		},
	},
	{
		name: "ErrAbortHandler after the start", status: 200, bytes: 5, outcome: audit.Aborted,
		handler: func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "hello")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		},
	},
	{
		name: "panic after Hijack", status: 101, outcome: audit.Panicked, http1: true,
		handler: func(w http.ResponseWriter, _ *http.Request) {
			upgrade(w.(http.Hijacker).Hijack())
			panic("boom")
		},
	},
	{
		name: "a status that HTTP does not have", status: 500, bytes: -1, outcome: audit.Panicked, differs: true,
		handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(0) },
	},
	{
		name: "Goexit", status: 0, outcome: audit.Aborted,
		handler: func(http.ResponseWriter, *http.Request) { runtime.Goexit() },
	},
	{
		name: "HEAD", method: http.MethodHead, status: 200, outcome: audit.OK,
		handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") },
	},
	{
		name: "panic of HEAD", method: http.MethodHead, status: 500, outcome: audit.Panicked, differs: true,
		handler: func(http.ResponseWriter, *http.Request) { panic("boom") },
	},
	{
		name: "204 with a body", status: 204, outcome: audit.OK,
		handler: func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNoContent)
			_, _ = io.WriteString(w, "hello") // refused by net/http
		},
	},
	{
		name: "206", status: 206, bytes: 3, outcome: audit.OK,
		handler: func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("Range", "bytes=1-3")
			http.ServeContent(w, r, "a.txt", time.Time{}, strings.NewReader("hello"))
		},
	},
	{
		name: "302", status: 302, bytes: 29, outcome: audit.OK,
		handler: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/there", http.StatusFound) },
	},
	{
		name: "404", status: 404, bytes: 19, outcome: audit.NotFound,
		handler: http.NotFound,
	},
	{
		name: "trailers", status: 200, bytes: 5, outcome: audit.OK,
		handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-Declared")
			_, _ = io.WriteString(w, "hello")
			w.Header().Set("X-Declared", "1")
			w.Header().Set(http.TrailerPrefix+"X-Undeclared", "2")
		},
	},
	{
		name: "stream", status: 200, bytes: 30, outcome: audit.OK,
		handler: func(w http.ResponseWriter, _ *http.Request) {
			for range 10 {
				_, _ = w.Write([]byte("abc"))
				w.(http.Flusher).Flush()
			}
		},
	},
	{
		name: "shorter than promised", status: 200, bytes: 5, outcome: audit.OK,
		handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "hello")
		},
	},
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func upgrade(conn net.Conn, _ *bufio.ReadWriter, err error) {
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n")
	_ = conn.Close()
}

// TestWire compares each way to answer with and without a Trail on a real
// server, and the line with what was on the wire.
func TestWire(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		t.Run(map[bool]string{false: "HTTP1", true: "HTTP2"}[http2], func(t *testing.T) {
			t.Parallel()
			mux := http.NewServeMux()
			for i, b := range behaviours {
				mux.HandleFunc(fmt.Sprintf("/%d", i), b.handler)
			}
			trail, out := newTrail(t, audit.Config{})
			bare, audited := start(t, mux, http2), start(t, trail.Handler(mux), http2)
			for i, b := range behaviours {
				if b.http1 && http2 {
					continue
				}
				path := fmt.Sprintf("/%d", i)
				got := exchange(t, audited, b.method, path)
				if want := exchange(t, bare, b.method, path); !b.differs && got != want {
					t.Errorf("%s: the wire differs:\nwith    %s\nwithout %s", b.name, got.all, want.all)
				}
				if b.differs && got.status != b.status {
					t.Errorf("%s: status on the wire = %d, want %d", b.name, got.status, b.status)
				}
				line := <-out
				if line.Status != b.status || line.Outcome != b.outcome || b.bytes >= 0 && line.Bytes != b.bytes {
					t.Errorf("%s: line = %d, %d bytes, %s, want %d, %d bytes, %s", b.name, line.Status, line.Bytes, line.Outcome, b.status, b.bytes, b.outcome)
				}
				if line.Route != path || line.Client != "127.0.0.1" {
					t.Errorf("%s: line = %q from %q, want %q from 127.0.0.1", b.name, line.Route, line.Client, path)
				}
			}
		})
	}
}

// What a handler wrote before it panicked never looks like a whole answer.
func TestPanicAfterAWrite(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		trail, out := newTrail(t, audit.Config{})
		srv := start(t, trail.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, "hello")
			panic("boom")
		})), http2)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := srv.Client().Do(r)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
		}
		if err == nil {
			t.Errorf("HTTP/2 %t: %d and a whole body, want an error", http2, resp.StatusCode)
		}
		if got := <-out; got.Outcome != audit.Panicked || got.Status != http.StatusCreated || got.Bytes != 5 {
			t.Errorf("HTTP/2 %t: outcome = %s %d %d, want panic 201 5", http2, got.Outcome, got.Status, got.Bytes)
		}
		if http2 {
			continue
		}
		// HTTP/1.0 has no way to mark the end of a body but to close.
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
		all, _ := io.ReadAll(conn)
		_ = conn.Close()
		if len(all) > 0 {
			t.Errorf("HTTP/1.0: %q, want nothing", all)
		}
		<-out
	}
}

// A client that leaves is told from one that was answered.
func TestClientGone(t *testing.T) {
	entered := make(chan struct{}, 1)
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		status  int
	}{
		{"before an answer", func(_ http.ResponseWriter, r *http.Request) {
			entered <- struct{}{}
			<-r.Context().Done()
		}, 200}, // what net/http sends for a handler that is silent
		{"within the answer", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "hello")
			_ = http.NewResponseController(w).Flush()
			entered <- struct{}{}
			<-r.Context().Done()
			for {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}, 200},
	} {
		for _, http2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, %t", tt.name, http2), func(t *testing.T) {
				trail, out := newTrail(t, audit.Config{})
				srv := start(t, trail.Handler(tt.handler), http2)
				ctx, cancel := context.WithCancel(t.Context())
				go func() { <-entered; cancel() }()
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL, nil)
				if err != nil {
					t.Fatal(err)
				}
				if resp, err := srv.Client().Do(r); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
				if got := <-out; got.Outcome != audit.ClientGone || got.Status != tt.status {
					t.Errorf("outcome = %s %d, want client_gone %d", got.Outcome, got.Status, tt.status)
				}
			})
		}
	}
}

// A deadline of the service's own is no client that left.
func TestDeadlineIsNotClientGone(t *testing.T) {
	t.Parallel()
	trail, out := newTrail(t, audit.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	<-ctx.Done()
	serve(trail.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})), get("/").WithContext(ctx))
	if got := <-out; got.Outcome != audit.OK || got.Status != 200 {
		t.Errorf("outcome = %s %d, want ok 200", got.Outcome, got.Status)
	}
}

// A body that the handler did not read is not read by the Trail either
// (httplog reads all 256 MiB of it into memory).
func TestUnreadBodyIsNotDrained(t *testing.T) {
	const size = 256 << 20
	trail, out := newTrail(t, audit.Config{})
	refuse := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	t.Run("of the handler", func(t *testing.T) {
		var read atomic.Int64
		r := httptest.NewRequest(http.MethodPost, "/", counting{io.LimitReader(zeros{}, size), &read})
		serve(trail.Handler(refuse), r)
		if got := <-out; got.Status != 401 || read.Load() != 0 {
			t.Errorf("status = %d after %d bytes, want 401 after none", got.Status, read.Load())
		}
	})
	t.Run("of the connection", func(t *testing.T) {
		var read atomic.Int64
		srv := httptest.NewUnstartedServer(trail.Handler(refuse))
		srv.Listener = countingListener{srv.Listener, &read}
		srv.Start()
		defer srv.Close()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		resp, err := srv.Client().Post(srv.URL, "application/octet-stream", io.LimitReader(zeros{}, size))
		if err == nil { // else the connection was closed while we sent
			_ = resp.Body.Close()
		}
		got := <-out
		runtime.ReadMemStats(&after)
		if got.Status != 401 {
			t.Errorf("status = %d, want 401", got.Status)
		}
		if n := read.Load(); n > 1<<20 {
			t.Errorf("%d bytes were read, want what net/http reads by itself", n)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
			t.Errorf("%d bytes were allocated", n)
		}
	})
}

type counting struct {
	io.Reader
	n *atomic.Int64
}

func (c counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

type countingListener struct {
	net.Listener
	n *atomic.Int64
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return countingConn{c, l.n}, err
}

type countingConn struct {
	net.Conn
	n *atomic.Int64
}

func (c countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.n.Add(int64(n))
	return n, err
}

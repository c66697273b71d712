package throttle_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/audit"
	"github.com/gatehouse-go/gatehouse/ratelimit/throttle"
)

// Handler is what routers and chains take.
var _ func(*throttle.Throttle) func(http.Handler) http.Handler = func(t *throttle.Throttle) func(http.Handler) http.Handler { return t.Handler }

func TestResponseWriterIsPassedOn(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	h := mustNew(t, throttle.Config{Limit: 1}).Handler(http.HandlerFunc(func(got http.ResponseWriter, _ *http.Request) {
		if got != w {
			t.Errorf("the handler writes to a %T, want what was passed in", got)
		}
	}))
	h.ServeHTTP(w, from("192.0.2.1:80"))
}

// server serves h over HTTP/1.1 and HTTP/2 alike.
func server(t *testing.T, h http.Handler, http2 bool) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = http2
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func get(t *testing.T, s *httptest.Server, ctx context.Context) (*http.Response, error) { //nolint:revive // t comes first in tests
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s.Client().Do(r)
}

// status returns the status of an answer that has no body of interest.
func status(t *testing.T, s *httptest.Server) int {
	t.Helper()
	res, err := get(t, s, t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// A stream flows while it holds its permit, and the permit comes back with its
// end.
func TestStreams(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		th := mustNew(t, throttle.Config{Limit: 1})
		next := make(chan string)
		returned := make(chan struct{}, 1)
		inner := th.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for line := range next {
				_, _ = io.WriteString(w, line+"\n")
				if err := http.NewResponseController(w).Flush(); err != nil {
					t.Errorf("Flush: %v", err)
				}
			}
		}))
		s := server(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			inner.ServeHTTP(w, r)
			returned <- struct{}{}
		}), http2)
		next2 := []string{"one", "two"}
		go func() { next <- next2[0] }()
		res, err := get(t, s, t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		if want := map[bool]int{false: 1, true: 2}[http2]; res.ProtoMajor != want {
			t.Fatalf("HTTP/%d, want HTTP/%d", res.ProtoMajor, want)
		}
		lines := bufio.NewScanner(res.Body)
		for i, want := range next2 {
			if i > 0 {
				next <- want
			}
			if !lines.Scan() || lines.Text() != want {
				t.Fatalf("line %d = %q, want %q", i, lines.Text(), want)
			}
		}
		if got := status(t, s); got != http.StatusServiceUnavailable {
			t.Errorf("status beside the stream = %d, want 503", got)
		}
		<-returned
		close(next)
		<-returned
		if lines.Scan() || lines.Err() != nil {
			t.Errorf("the stream ends with %q, %v", lines.Text(), lines.Err())
		}
		checkIdle(t, th)
	}
}

// A client that goes away, from the queue or from its handler, leaves no
// permit behind.
func TestClientsGoAway(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		entered := make(chan struct{})
		refused := make(chan string, 1)
		th := mustNew(t, throttle.Config{Limit: 1, Queue: 1, MaxWait: time.Minute, ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			throttle.WriteError(w, r, err)
			refused <- reason(t, err)
		}})
		returned := make(chan struct{}, 2)
		inner := th.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(entered)
			<-r.Context().Done()
		}))
		s := server(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			inner.ServeHTTP(w, r)
			returned <- struct{}{}
		}), http2)
		leave := func() (context.CancelFunc, <-chan struct{}) {
			ctx, cancel := context.WithCancel(t.Context())
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				if res, err := get(t, s, ctx); err == nil {
					_ = res.Body.Close()
					t.Errorf("status = %d, want none", res.StatusCode)
				}
			}()
			return cancel, gone
		}
		cancelFirst, firstGone := leave()
		<-entered
		cancelSecond, secondGone := leave()
		for th.Stats().Waiting == 0 {
			time.Sleep(time.Millisecond)
		}
		cancelSecond()
		if got := <-refused; got != throttle.ReasonCanceled {
			t.Errorf("refused for %q, want %q", got, throttle.ReasonCanceled)
		}
		cancelFirst()
		<-returned
		<-returned
		<-firstGone
		<-secondGone
		checkIdle(t, th)
	}
}

// The permit of a hijacked connection ends with the handler.
func TestHijack(t *testing.T) {
	t.Parallel()
	th := mustNew(t, throttle.Config{Limit: 1})
	returned := make(chan struct{})
	inner := th.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("Hijack: %v", err)
			return
		}
		go func() {
			defer func() { _ = conn.Close() }()
			<-returned
			_, _ = rw.WriteString("HTTP/1.1 204 No Content\r\n\r\n")
			_ = rw.Flush()
		}()
	}))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(w, r)
		checkIdle(t, th)
		close(returned)
	}))
	defer s.Close()
	if got := status(t, s); got != http.StatusNoContent {
		t.Errorf("status = %d, want 204", got)
	}
}

// The trail tells of a refusal, with the status that the client saw, and knows
// the route of what was let in.
func TestAudit(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	trail, err := audit.New(audit.Config{Sinks: []audit.Sink{audit.Writer(&out)}})
	if err != nil {
		t.Fatal(err)
	}
	th := mustNew(t, throttle.Config{Limit: 1})
	mux := http.NewServeMux()
	mux.Handle("GET /orders/{id}", ok)
	h := trail.Handler(th.Handler(mux))
	serve(h, httptest.NewRequest(http.MethodGet, "/orders/7", nil))
	p := mustAcquire(t, th, "", false)
	serve(h, httptest.NewRequest(http.MethodGet, "/orders/8", nil))
	p.Release()
	if err := trail.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines, want 2:\n%s", len(lines), out.String())
	}
	for i, want := range [][]string{
		{`"layer":"throttle"`, `"reason":"admitted"`, `"/orders/{id}"`, `204`},
		{`"layer":"throttle"`, `"reason":"limit"`, `503`},
	} {
		for _, part := range want {
			if !strings.Contains(lines[i], part) {
				t.Errorf("line %d lacks %s:\n%s", i, part, lines[i])
			}
		}
	}
}

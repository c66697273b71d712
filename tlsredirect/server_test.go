package tlsredirect_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/tlsredirect"
	"github.com/gatehouse-go/gatehouse/tlsredirect/clientip"
)

// certificate returns httptest's certificate, which is for 127.0.0.1, ::1 and
// example.com, and a pool that trusts it.
func certificate(tb testing.TB) (tls.Certificate, *x509.CertPool) {
	tb.Helper()
	srv := httptest.NewTLSServer(application)
	defer srv.Close()
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	return srv.TLS.Certificates[0], pool
}

func serverConfig(tb testing.TB) (*tls.Config, *x509.CertPool) {
	tb.Helper()
	cert, pool := certificate(tb)
	config := tlsredirect.TLSConfig(tlsredirect.Intermediate)
	config.Certificates = []tls.Certificate{cert}
	return config, pool
}

// A service is a Server that runs.
type service struct {
	https, plain string // addresses
	pool         *x509.CertPool
	stop         context.CancelFunc
	done         <-chan error
}

// run starts s on free ports of the loopback interface.
func run(t *testing.T, s tlsredirect.Server) *service {
	t.Helper()
	config, pool := serverConfig(t)
	if s.TLS == nil {
		s.TLS = config
	}
	s.Addr = "127.0.0.1:0"
	if s.PlainHandler != nil {
		s.PlainAddr = "127.0.0.1:0"
	}
	type addrs struct{ https, plain net.Addr }
	ready := make(chan addrs, 1)
	s.OnReady = func(https, plain net.Addr) { ready <- addrs{https, plain} }
	ctx, cancel := context.WithCancel(context.Background()) // t's would end Run before Cleanup looks
	done := make(chan error, 1)
	go func() { done <- tlsredirect.Run(ctx, s) }()
	ended := make(chan error, 1)
	svc := &service{pool: pool, stop: cancel, done: ended}
	select {
	case a := <-ready:
		svc.https = a.https.String()
		if a.plain != nil {
			svc.plain = a.plain.String()
		}
	case err := <-done:
		t.Fatal(err)
	}
	finished := make(chan struct{})
	go func() {
		ended <- <-done
		close(finished)
	}()
	t.Cleanup(func() { cancel(); <-finished })
	return svc
}

// client speaks HTTP/2, or HTTP/1.1 only, and follows no redirects.
func (s *service) client(h2 bool) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: s.pool, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2: h2,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// An answer is a response that was read to its end.
type answer struct {
	*http.Response
	body string
}

func get(t *testing.T, c *http.Client, url string) answer {
	t.Helper()
	got, err := fetch(t.Context(), c, url)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func fetch(ctx context.Context, c *http.Client, url string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return answer{}, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return answer{resp, string(body)}, err
}

// TestRun serves both listeners, and sends HSTS over a real TLS connection by
// both protocols: a header that only a unit test ever sees protects nobody.
func TestRun(t *testing.T) {
	t.Parallel()
	rd := newRedirector(t, tlsredirect.Config{Hosts: []string{"127.0.0.1"}, HTTPSPort: 8443})
	svc := run(t, tlsredirect.Server{Handler: rd.Handler(application), PlainHandler: rd.PlainHandler()})
	for proto, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		client := svc.client(h2)
		resp := get(t, client, "https://"+svc.https+"/")
		if resp.Proto != proto || resp.StatusCode != http.StatusOK || resp.body != "app" {
			t.Errorf("%s: %s %d %q, want 200 app", proto, resp.Proto, resp.StatusCode, resp.body)
		}
		if got, want := resp.Header["Strict-Transport-Security"], []string{"max-age=63072000; includeSubDomains"}; !slices.Equal(got, want) {
			t.Errorf("%s: HSTS = %q, want %q", proto, got, want)
		}
		client.CloseIdleConnections()
	}
	client := svc.client(false)
	resp := get(t, client, "http://"+svc.plain+"/")
	if got, want := resp.Header.Get("Location"), "https://127.0.0.1:8443/"; resp.StatusCode != http.StatusPermanentRedirect || got != want {
		t.Errorf("plain: %d to %q, want 308 to %q", resp.StatusCode, got, want)
	}
	if got, ok := resp.Header["Strict-Transport-Security"]; ok {
		t.Errorf("plain: HSTS = %q, want none", got)
	}
	client.CloseIdleConnections()

	svc.stop()
	if err := <-svc.done; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	if conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", svc.https); err == nil {
		_ = conn.Close()
		t.Error("the listener is still open")
	}
}

// TestRunBehindProxy: plain HTTP alone, from a proxy that ends TLS.
func TestRunBehindProxy(t *testing.T) {
	t.Parallel()
	trust, err := clientip.New(clientip.Config{Proxies: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	rd := newRedirector(t, tlsredirect.Config{Hosts: []string{"127.0.0.1"}, Trust: trust})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	addr, done := make(chan net.Addr, 1), make(chan error, 1)
	go func() {
		done <- tlsredirect.Run(ctx, tlsredirect.Server{
			PlainAddr: "127.0.0.1:0", PlainHandler: rd.Handler(application),
			OnReady: func(https, plain net.Addr) {
				if https != nil {
					t.Errorf("https = %v, want nil", https)
				}
				addr <- plain
			},
		})
	}()
	url := "http://" + (<-addr).String() + "/"
	for proto, status := range map[string]int{"https": http.StatusOK, "": http.StatusForbidden} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if proto != "" {
			r.Header.Set("X-Forwarded-Proto", proto)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("X-Forwarded-Proto %q: status = %d, want %d", proto, resp.StatusCode, status)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

// TestTLSProfile: what a client that offers everything gets, and what one that
// offers only weak things does not.
func TestTLSProfile(t *testing.T) {
	t.Parallel()
	svc := run(t, tlsredirect.Server{Handler: application})
	var weak []uint16
	for _, suite := range tls.InsecureCipherSuites() {
		weak = append(weak, suite.ID)
	}
	for _, suite := range tls.CipherSuites() {
		if !strings.Contains(suite.Name, "GCM") && !strings.Contains(suite.Name, "CHACHA20") {
			weak = append(weak, suite.ID)
		}
	}
	for _, tt := range []struct {
		name   string
		config *tls.Config
		want   uint16 // 0: no connection
	}{
		{"everything", &tls.Config{}, tls.VersionTLS13},
		{"TLS 1.2", &tls.Config{MaxVersion: tls.VersionTLS12}, tls.VersionTLS12},
		{"TLS 1.1", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, 0},
		{"CBC and worse", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: weak}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.config.RootCAs = svc.pool
			tt.config.NextProtos = []string{"h2", "http/1.1"}
			conn, err := (&tls.Dialer{Config: tt.config}).DialContext(t.Context(), "tcp", svc.https)
			if err != nil {
				if tt.want != 0 {
					t.Error(err)
				}
				return
			}
			defer func() { _ = conn.Close() }()
			state := conn.(*tls.Conn).ConnectionState()
			if state.Version != tt.want || state.NegotiatedProtocol != "h2" {
				t.Errorf("%s with %q, want %s with h2", tls.VersionName(state.Version), state.NegotiatedProtocol, tls.VersionName(tt.want))
			}
			if name := tls.CipherSuiteName(state.CipherSuite); !strings.Contains(name, "GCM") && !strings.Contains(name, "CHACHA20") {
				t.Errorf("cipher suite %s, want an AEAD", name)
			}
			if tt.want == tls.VersionTLS13 && state.CurveID != tls.X25519MLKEM768 {
				t.Errorf("key exchange %v, want the post-quantum hybrid", state.CurveID)
			}
		})
	}
	if a, b := tlsredirect.TLSConfig(tlsredirect.Intermediate), tlsredirect.TLSConfig(tlsredirect.Intermediate); a == b || &a.CipherSuites[0] == &b.CipherSuites[0] {
		t.Error("two calls share a configuration")
	}
}

// TestGracefulShutdown: a request in flight finishes, new ones find nobody.
func TestGracefulShutdown(t *testing.T) {
	t.Parallel()
	for proto, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			entered, release := make(chan struct{}), make(chan struct{})
			svc := run(t, tlsredirect.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(entered)
				select {
				case <-release:
					_, _ = io.WriteString(w, "finished")
				case <-r.Context().Done():
					_, _ = io.WriteString(w, "cut off")
				}
			})})
			got := make(chan string, 1)
			go func() {
				a, err := fetch(t.Context(), svc.client(h2), "https://"+svc.https+"/")
				if err != nil {
					t.Error(err)
				}
				got <- a.body
			}()
			<-entered
			svc.stop()
			// Once nobody accepts any more, the shutdown is under way.
			for {
				conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", svc.https)
				if err != nil {
					break
				}
				_ = conn.Close()
			}
			select {
			case err := <-svc.done:
				t.Fatalf("Run = %v while a request was in flight", err)
			default:
			}
			close(release)
			if body := <-got; body != "finished" {
				t.Errorf("the request got %q, want it to finish", body)
			}
			if err := <-svc.done; err != nil {
				t.Errorf("Run = %v, want nil", err)
			}
		})
	}
}

// TestShutdownTimeout: a request that does not finish is cut off, and Run says
// so.
func TestShutdownTimeout(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	svc := run(t, tlsredirect.Server{
		ShutdownTimeout: time.Millisecond,
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(entered)
			<-r.Context().Done()
		}),
	})
	cut := make(chan error, 1)
	go func() {
		_, err := fetch(t.Context(), svc.client(false), "https://"+svc.https+"/")
		cut <- err
	}()
	<-entered
	svc.stop()
	err := <-svc.done
	if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "tlsredirect: requests were cut off after 1ms: ") {
		t.Errorf("Run = %v, want that requests were cut off", err)
	}
	if err := <-cut; err == nil {
		t.Error("the request was answered")
	}
}

// failing is a listener whose Accept fails when it is told to.
type failing struct {
	net.Listener
	fail   chan struct{}
	closed sync.Once
}

var errAccept = errors.New("accept failed")

func (l *failing) Accept() (net.Conn, error) {
	<-l.fail
	return nil, errAccept
}

func (l *failing) Close() error {
	l.closed.Do(func() { close(l.fail) })
	return l.Listener.Close()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

// TestListenerFails: the error of one listener ends the other.
func TestListenerFails(t *testing.T) {
	t.Parallel()
	config, _ := serverConfig(t)
	for _, tt := range []struct {
		name string
		make func(broken, sound net.Listener) tlsredirect.Server
		want string
	}{
		{"HTTPS", func(broken, sound net.Listener) tlsredirect.Server {
			return tlsredirect.Server{Listener: broken, PlainListener: sound}
		}, "tlsredirect: HTTPS: accept failed"},
		{"plain", func(broken, sound net.Listener) tlsredirect.Server {
			return tlsredirect.Server{Listener: sound, PlainListener: broken}
		}, "tlsredirect: plain HTTP: accept failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			broken, sound := &failing{Listener: listen(t), fail: make(chan struct{})}, listen(t)
			s := tt.make(broken, sound)
			s.Handler, s.PlainHandler, s.TLS = application, application, config
			s.OnReady = func(net.Addr, net.Addr) { broken.closed.Do(func() { close(broken.fail) }) }
			err := tlsredirect.Run(t.Context(), s)
			if !errors.Is(err, errAccept) || err.Error() != tt.want {
				t.Errorf("Run = %v, want %s", err, tt.want)
			}
			if _, err := sound.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("the other listener: %v, want it closed", err)
			}
		})
	}
}

// TestListenFails: nothing stays open.
func TestListenFails(t *testing.T) {
	t.Parallel()
	config, _ := serverConfig(t)
	taken := listen(t).Addr().String()
	for _, tt := range []struct {
		name string
		make func(given net.Listener) tlsredirect.Server
		want string
	}{
		{"HTTPS", func(given net.Listener) tlsredirect.Server {
			return tlsredirect.Server{Addr: taken, PlainListener: given}
		}, "tlsredirect: HTTPS: "},
		{"plain", func(given net.Listener) tlsredirect.Server {
			return tlsredirect.Server{Listener: given, PlainAddr: taken}
		}, "tlsredirect: plain HTTP: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			given := listen(t)
			s := tt.make(given)
			s.Handler, s.PlainHandler, s.TLS = application, application, config
			s.OnReady = func(net.Addr, net.Addr) { t.Error("OnReady was called") }
			if err := tlsredirect.Run(t.Context(), s); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("Run = %v, want %s…", err, tt.want)
			}
			if _, err := given.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("the other listener: %v, want it closed", err)
			}
		})
	}
}

// TestRunDone: a context that is done before Run serves nothing and is no error.
func TestRunDone(t *testing.T) {
	t.Parallel()
	config, _ := serverConfig(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	given, plain := listen(t), listen(t)
	err := tlsredirect.Run(ctx, tlsredirect.Server{Handler: application, TLS: config, Listener: given, PlainListener: plain, PlainHandler: application})
	if err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	for _, ln := range []net.Listener{given, plain} {
		if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a listener: %v, want it closed", err)
		}
	}
}

// TestUnusableTLS: what only net/http finds out is Run's error, too.
func TestUnusableTLS(t *testing.T) {
	t.Parallel()
	config, _ := serverConfig(t)
	config.CipherSuites = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384} // HTTP/2 needs AES_128
	given := listen(t)
	err := tlsredirect.Run(t.Context(), tlsredirect.Server{Handler: application, TLS: config, Listener: given})
	if err == nil || !strings.HasPrefix(err.Error(), "tlsredirect: HTTPS: ") {
		t.Errorf("Run = %v, want an error", err)
	}
	if _, err := given.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener: %v, want it closed", err)
	}
}

func TestServerMistakes(t *testing.T) {
	t.Parallel()
	config, _ := serverConfig(t)
	given := listen(t)
	old := config.Clone()
	old.MinVersion = tls.VersionTLS11
	for _, tt := range []struct {
		name string
		s    tlsredirect.Server
		want []string
	}{
		{"zero", tlsredirect.Server{}, []string{
			"tlsredirect: Server.Handler is nil, want the application",
			"tlsredirect: Server.TLS is nil, want TLSConfig with certificates",
			`tlsredirect: Server.Addr is "" and Listener is <nil>, want one of the two`,
		}},
		{"no certificates", tlsredirect.Server{Handler: application, Addr: ":0", TLS: tlsredirect.TLSConfig(tlsredirect.Intermediate)}, []string{
			"tlsredirect: Server.TLS has no certificates, want Certificates or GetCertificate",
		}},
		{"old TLS", tlsredirect.Server{Handler: application, Addr: ":0", TLS: old}, []string{
			"tlsredirect: Server.TLS.MinVersion is TLS 1.1, want TLS 1.2 or later",
		}},
		{"both addresses and listeners", tlsredirect.Server{Handler: application, TLS: config, Addr: ":1", Listener: given, PlainHandler: application, PlainAddr: ":2", PlainListener: given}, []string{
			`tlsredirect: Server.Addr is ":1" and Listener is *net.TCPListener, want one of the two`,
			`tlsredirect: Server.PlainAddr is ":2" beside a PlainListener, want one of the two`,
		}},
		{"plain address without handler", tlsredirect.Server{Handler: application, TLS: config, Addr: ":0", PlainAddr: ":2"}, []string{
			`tlsredirect: Server.PlainHandler is <nil>, PlainAddr is ":2" and PlainListener is <nil>, want a handler and where to serve it, or none of them`,
		}},
		{"plain handler without address", tlsredirect.Server{Handler: application, TLS: config, Addr: ":0", PlainHandler: application}, []string{
			`tlsredirect: Server.PlainHandler is http.HandlerFunc, PlainAddr is "" and PlainListener is <nil>, want a handler and where to serve it, or none of them`,
		}},
		{"negative limits", tlsredirect.Server{
			Handler: application, TLS: config, Addr: ":0",
			ReadHeaderTimeout: -1, ReadTimeout: -1, WriteTimeout: -1, IdleTimeout: -1, ShutdownTimeout: -1, MaxHeaderBytes: -1,
		}, []string{
			"tlsredirect: Server.ReadHeaderTimeout is -1ns, want more than 0, 0 for 5s",
			"tlsredirect: Server.ReadTimeout is -1ns, want more than 0, 0 for 30s",
			"tlsredirect: Server.WriteTimeout is -1ns, want more than 0, 0 for 1m0s",
			"tlsredirect: Server.IdleTimeout is -1ns, want more than 0, 0 for 2m0s",
			"tlsredirect: Server.ShutdownTimeout is -1ns, want more than 0, 0 for 25s",
			"tlsredirect: Server.MaxHeaderBytes is -1, want more than 0, 0 for 32 KiB",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := tlsredirect.Run(t.Context(), tt.s)
			if err == nil {
				t.Fatal("Run = nil, want an error")
			}
			if got, want := err.Error(), strings.Join(tt.want, "\n"); got != want {
				t.Errorf("Run:\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestServerLimits reads the limits from the server that serves the request.
func TestServerLimits(t *testing.T) {
	t.Parallel()
	type limits struct {
		header, read, write, idle time.Duration
		bytes                     int
	}
	of := func(r *http.Request) limits {
		s := r.Context().Value(http.ServerContextKey).(*http.Server)
		return limits{s.ReadHeaderTimeout, s.ReadTimeout, s.WriteTimeout, s.IdleTimeout, s.MaxHeaderBytes}
	}
	for _, tt := range []struct {
		name string
		s    tlsredirect.Server
		want limits
	}{
		{"defaults", tlsredirect.Server{}, limits{5 * time.Second, 30 * time.Second, 60 * time.Second, 120 * time.Second, 32 << 10}},
		{
			"set",
			tlsredirect.Server{ReadHeaderTimeout: time.Minute, ReadTimeout: 2 * time.Minute, WriteTimeout: 3 * time.Minute, IdleTimeout: 4 * time.Minute, MaxHeaderBytes: 8 << 10},
			limits{time.Minute, 2 * time.Minute, 3 * time.Minute, 4 * time.Minute, 8 << 10},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := make(chan limits, 1)
			h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- of(r) })
			tt.s.Handler, tt.s.PlainHandler = h, h
			svc := run(t, tt.s)
			for _, url := range []string{"https://" + svc.https, "http://" + svc.plain} {
				get(t, svc.client(false), url)
				if g := <-got; g != tt.want {
					t.Errorf("%s: %+v, want %+v", url, g, tt.want)
				}
			}
		})
	}
}

// TestHeadersTooLarge: MaxHeaderBytes is in force.
func TestHeadersTooLarge(t *testing.T) {
	t.Parallel()
	svc := run(t, tlsredirect.Server{Handler: application, PlainHandler: application})
	resp := raw(t, svc.plain, "GET / HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 40<<10)+"\r\n\r\n")
	if resp.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status = %d, want 431", resp.status)
	}
}

// syncBuffer is a bytes.Buffer for the log of a server.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// TestPanicValueIsNotLogged: the log has the stack of a panic that reached
// net/http, and nothing of its value.
func TestPanicValueIsNotLogged(t *testing.T) {
	t.Parallel()
	for proto, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			var log syncBuffer
			svc := run(t, tlsredirect.Server{
				Logger: slog.New(slog.NewJSONHandler(&log, nil)),
				Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
					panic(fmt.Errorf("canary one\npanic serving canary two\n\ngoroutine canary three"))
				}),
			})
			if a, err := fetch(t.Context(), svc.client(h2), "https://"+svc.https+"/"); err == nil {
				t.Errorf("status = %d, want a connection that breaks", a.StatusCode)
			}
			svc.stop()
			if err := <-svc.done; err != nil {
				t.Fatal(err)
			}
			var line struct{ Level, Msg, Stack string }
			if err := json.Unmarshal([]byte(log.String()), &line); err != nil {
				t.Fatalf("%v: %s", err, log.String())
			}
			if line.Level != "WARN" || !strings.HasSuffix(line.Msg, "panic serving a request") || !strings.Contains(line.Stack, "server_test.go") {
				t.Errorf("logged %+v, want a panic with its stack", line)
			}
			if strings.Contains(log.String(), "canary") {
				t.Errorf("the panic's value was logged: %s", log.String())
			}
		})
	}
}

// TestServerLog: what net/http has to say goes to the Logger.
func TestServerLog(t *testing.T) {
	t.Parallel()
	var log syncBuffer
	svc := run(t, tlsredirect.Server{Handler: application, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	resp := raw(t, svc.https, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if resp.status != http.StatusBadRequest {
		t.Errorf("plain HTTP to the TLS port: %d, want 400", resp.status)
	}
	svc.stop()
	if err := <-svc.done; err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "tlsredirect: http: TLS handshake error") {
		t.Errorf("logged %q, want the failed handshake", log.String())
	}
}

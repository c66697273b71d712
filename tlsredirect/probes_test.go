package tlsredirect_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gatehouse-go/gatehouse/tlsredirect"
)

// A rawAnswer is what came back on the wire.
type rawAnswer struct {
	status int
	header http.Header
	body   string
	closed bool // the server closed the connection behind the answer
}

// raw sends bytes as they are, which no HTTP client would, and reads one answer.
func raw(t *testing.T, addr, send string) rawAnswer {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	go func() { _, _ = io.WriteString(conn, send) }() // the server may close before it has read all
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return rawAnswer{resp.StatusCode, resp.Header, string(body), resp.Close}
}

// TestProbes sends requests that other redirecting middleware answers wrongly
// over real plain TCP connections, to the application behind Handler and to
// PlainHandler.
func TestProbes(t *testing.T) {
	t.Parallel()
	rd := newRedirector(t, tlsredirect.Config{Hosts: []string{"example.com", "::1"}, Health: []string{"/healthz"}})
	addrs := make(map[string]string)
	for name, h := range map[string]http.Handler{"Handler": rd.Handler(application), "PlainHandler": rd.PlainHandler()} {
		addrs[name] = run(t, tlsredirect.Server{Handler: application, PlainHandler: h}).plain
	}
	const browser = "Accept: text/html\r\n"
	for _, tt := range []struct {
		name     string
		send     string // Host: example.com and the empty line are added to heads without
		status   int
		location string
	}{
		// Host as an open redirect (GHSA-vrw8-fxc6-2r93).
		{"foreign host", "GET / HTTP/1.1\r\nHost: evil.com\r\n\r\n", 421, ""},
		{"foreign host, HTTP/1.0", "GET / HTTP/1.0\r\nHost: evil.com\r\n\r\n", 421, ""},
		{"no host, HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", 421, ""},
		{"empty host", "GET / HTTP/1.1\r\nHost: \r\n\r\n", 421, ""},
		{"two ports", "GET / HTTP/1.1\r\nHost: example.com:80:443\r\n\r\n", 421, ""},
		{"two hosts", "GET / HTTP/1.1\r\nHost: example.com,evil.com\r\n\r\n", 421, ""},
		{"two Host lines", "GET / HTTP/1.1\r\nHost: example.com\r\nHost: evil.com\r\n\r\n", 400, ""},
		{"encoded line break", "GET / HTTP/1.1\r\nHost: example.com%0d%0aX:y\r\n\r\n", 421, ""},
		{"userinfo", "GET / HTTP/1.1\r\nHost: example.com@evil.com\r\n\r\n", 400, ""},
		{"suffix", "GET / HTTP/1.1\r\nHost: example.com.evil.com\r\n\r\n", 421, ""},
		{"prefix", "GET / HTTP/1.1\r\nHost: notexample.com\r\n\r\n", 421, ""},
		{"port that is none", "GET / HTTP/1.1\r\nHost: example.com:99999\r\n\r\n", 421, ""},
		{"X-Forwarded-Host", "GET / HTTP/1.1\r\nX-Forwarded-Host: evil.com\r\n", 308, "https://example.com/"},
		{"X-Forwarded-Prefix and -Port", "GET / HTTP/1.1\r\nX-Forwarded-Prefix: //evil.com\r\nX-Forwarded-Port: 1\r\n", 308, "https://example.com/"},

		// Case (CVE-2026-27588), trailing dot (CVE-2022-23632), port, IPv6.
		{"upper case", "GET / HTTP/1.1\r\nHost: EXAMPLE.com\r\n\r\n", 308, "https://example.com/"},
		{"trailing dot", "GET / HTTP/1.1\r\nHost: example.com.\r\n\r\n", 308, "https://example.com/"},
		{"port", "GET / HTTP/1.1\r\nHost: example.com:8080\r\n\r\n", 308, "https://example.com/"},
		{"IPv6 and port", "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", 308, "https://[::1]/"},

		// Paths (GHSA-mqqf-5wvp-8fh8, GO-2022-1031, GO-2023-1567).
		{"two slashes", "GET //evil.com HTTP/1.1\r\n" + browser, 308, "https://example.com//evil.com"},
		{"slash and backslash", "GET /\\evil.com HTTP/1.1\r\n" + browser, 403, ""},
		{"encoded bytes stay", "GET /a%2fb?c=%0d%0a HTTP/1.1\r\n" + browser, 308, "https://example.com/a%2fb?c=%0d%0a"},
		{"raw bytes", "GET /\xc3\xa9 HTTP/1.1\r\n" + browser, 403, ""},
		{"http:// further on", "GET /x?u=http://example.com/ HTTP/1.1\r\n" + browser, 308, "https://example.com/x?u=http://example.com/"},

		// Absolute form over plain TCP is plain.
		{"absolute form, https", "GET https://example.com/p HTTP/1.1\r\n", 403, ""},
		{"absolute form, https, browser", "GET https://example.com/p HTTP/1.1\r\n" + browser, 308, "https://example.com/p"},
		{"absolute form, POST", "POST https://example.com/p HTTP/1.1\r\n", 403, ""},
		{"absolute form, foreign", "GET https://evil.com/p HTTP/1.1\r\n" + browser, 421, ""},
		{"absolute form, root", "GET http://example.com/ HTTP/1.1\r\n", 308, "https://example.com/"},
		{"absolute form, user", "GET http://u:p@example.com/ HTTP/1.1\r\n", 403, ""},
		{"authority form", "CONNECT example.com:443 HTTP/1.1\r\n", 403, ""},
		{"asterisk form", "OPTIONS * HTTP/1.1\r\n", 403, ""},
		{"asterisk form, GET", "GET * HTTP/1.1\r\n" + browser, 403, ""},

		// A client that claims TLS.
		{"X-Forwarded-Proto", "POST /p HTTP/1.1\r\nX-Forwarded-Proto: https\r\n", 403, ""},
		{"X-Forwarded-Proto twice", "POST /p HTTP/1.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Proto: https\r\n", 403, ""},
		{"X-Forwarded-Proto list", "POST /p HTTP/1.1\r\nX-Forwarded-Proto: https, https\r\n", 403, ""},
		{"Forwarded", "POST /p HTTP/1.1\r\nForwarded: proto=https\r\n", 403, ""},
		{"X_Forwarded_Proto", "POST /p HTTP/1.1\r\nX_Forwarded_Proto: https\r\n", 403, ""},
		{"X-Forwarded-Ssl", "POST /p HTTP/1.1\r\nX-Forwarded-Ssl: on\r\n", 403, ""},

		// What is not redirected.
		{"POST", "POST / HTTP/1.1\r\nContent-Length: 0\r\n", 403, ""},
		{"POST with a token", "POST / HTTP/1.1\r\nAuthorization: Bearer x\r\nContent-Length: 0\r\n", 403, ""},
		{"GET with a token", "GET / HTTP/1.1\r\nAuthorization: Bearer x\r\n" + browser, 403, ""},
		{"GET with a cookie", "GET / HTTP/1.1\r\nCookie: a=b\r\n" + browser, 403, ""},
		{"GET with a key in the query", "GET /?api_key=x HTTP/1.1\r\n" + browser, 403, ""},
		{"GET without Accept", "GET /p HTTP/1.1\r\n", 403, ""},
		{"root without Accept", "GET / HTTP/1.1\r\n", 308, "https://example.com/"},
		{"HEAD", "HEAD / HTTP/1.1\r\n", 308, "https://example.com/"},
		{"TRACE", "TRACE / HTTP/1.1\r\n", 403, ""},
		{"made-up method", "GETS / HTTP/1.1\r\n" + browser, 403, ""},
		{"GET with a body", "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + browser + "Host: example.com\r\n\r\n0\r\n\r\n", 403, ""},
		{"upgrade to a web socket", "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n", 403, ""},
		{"health", "GET /healthz HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n", 200, ""},
		{"health, POST", "POST /healthz HTTP/1.1\r\nContent-Length: 0\r\n", 403, ""},
	} {
		for name, addr := range addrs {
			// Where it says 400, net/http answers.
			t.Run(tt.name+" "+name, func(t *testing.T) {
				t.Parallel()
				send := tt.send
				if !strings.HasSuffix(send, "\r\n\r\n") {
					send += "Host: example.com\r\n\r\n"
				}
				if strings.HasPrefix(send, "HEAD") {
					send = strings.Replace(send, "HTTP/1.1\r\n", "HTTP/1.1\r\nConnection: close\r\n", 1)
				}
				got := raw(t, addr, send)
				if got.status != tt.status {
					t.Errorf("status = %d, want %d", got.status, tt.status)
				}
				if location := got.header.Get("Location"); location != tt.location {
					t.Errorf("Location = %q, want %q", location, tt.location)
				}
				if _, ok := got.header["Strict-Transport-Security"]; ok {
					t.Error("HSTS over plain HTTP")
				}
				if got.body == "app" && tt.status != 200 {
					t.Error("the application answered")
				}
				if tt.location != "" {
					if u, err := url.Parse(tt.location); err != nil || u.Hostname() != "example.com" && u.Hostname() != "::1" {
						t.Errorf("Location names %q, %v", u.Hostname(), err)
					}
				}
				if tt.status == 403 || tt.status == 421 {
					if !got.closed || got.header.Get("Cache-Control") != "no-store" || got.header.Get("Content-Type") != "application/problem+json" {
						t.Errorf("closed %v, header %v; want a problem that is not stored, and an end", got.closed, got.header)
					}
				}
			})
		}
	}
}

// countingListener counts the bytes that are read from its connections.
type countingListener struct {
	net.Listener
	read atomic.Int64
}

type countingConn struct {
	net.Conn
	read *atomic.Int64
}

func (l *countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countingConn{conn, &l.read}, nil
}

func (c countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

// TestRefusedBodyIsNotRead: net/http would read up to 256 KiB of a body behind
// the answer, and keep the client sending secrets.
func TestRefusedBodyIsNotRead(t *testing.T) {
	t.Parallel()
	ln := &countingListener{Listener: listen(t)}
	srv := httptest.NewUnstartedServer(newRedirector(t, tlsredirect.Config{Hosts: []string{"example.com"}}).Handler(application))
	_ = srv.Listener.Close()
	srv.Listener = ln
	closed := make(chan struct{})
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			close(closed)
		}
	}
	srv.Start()
	defer srv.Close()

	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	head := "POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 200000\r\n\r\n"
	if _, err := io.WriteString(conn, head); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	// The answer came before any of the body was sent, so nobody waited for
	// it. What comes now is not read either.
	_, _ = conn.Write(bytes.Repeat([]byte("secret"), 200000/6))
	<-closed
	if got := ln.read.Load(); got > int64(len(head))+4096 {
		t.Errorf("the server read %d bytes, want no more than the head and one buffer", got)
	}
	if resp.StatusCode != http.StatusForbidden || !resp.Close {
		t.Errorf("status = %d, close %v; want 403 and the end", resp.StatusCode, resp.Close)
	}
}

// TestForeignHostOverTLS: 421 over a real TLS connection, by both protocols.
func TestForeignHostOverTLS(t *testing.T) {
	t.Parallel()
	svc := run(t, tlsredirect.Server{Handler: newRedirector(t, tlsredirect.Config{Hosts: []string{"127.0.0.1"}}).Handler(application)})
	for proto, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+svc.https+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "evil.com"
		resp, err := svc.client(h2).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusMisdirectedRequest || resp.Proto != proto {
			t.Errorf("%s: %s %d, want 421", proto, resp.Proto, resp.StatusCode)
		}
	}
}

// TestRedirectLoopBehindProxy: a proxy that ends TLS and does not say so would
// send its clients round in circles.
func TestRedirectLoopBehindProxy(t *testing.T) {
	t.Parallel()
	rd := newRedirector(t, tlsredirect.Config{Hosts: []string{"example.com"}, Trust: newTrust(t, "127.0.0.1")})
	svc := run(t, tlsredirect.Server{Handler: application, PlainHandler: rd.Handler(application)})
	for _, tt := range []struct {
		header string
		status int
	}{
		{"", 403},
		{"X-Forwarded-Proto: https\r\n", 200},
		{"X-Forwarded-Proto: http\r\n", 308},
		{"X-Forwarded-Proto: https\r\nX-Forwarded-Proto: https\r\n", 403},
	} {
		got := raw(t, svc.plain, "GET / HTTP/1.1\r\nHost: example.com\r\n"+tt.header+"\r\n")
		if got.status != tt.status {
			t.Errorf("%q: status = %d, want %d", tt.header, got.status, tt.status)
		}
		if tt.status == 403 && !strings.Contains(got.body, "X-Forwarded-Proto") {
			t.Errorf("%q: %s does not explain itself", tt.header, got.body)
		}
		if got := got.header.Get("Strict-Transport-Security"); (got != "") != (tt.status == 200) {
			t.Errorf("%q: HSTS = %q", tt.header, got)
		}
	}
}

// TestLoopbackOverSockets: plain HTTP on this machine, with the option only.
func TestLoopbackOverSockets(t *testing.T) {
	t.Parallel()
	rd := newRedirector(t, tlsredirect.Config{InsecureAllowLoopback: true})
	svc := run(t, tlsredirect.Server{Handler: application, PlainHandler: rd.Handler(application)})
	for host, status := range map[string]int{"localhost": 200, svc.plain: 200, "api.example.com": 403, "evil.com": 421} {
		got := raw(t, svc.plain, "POST /x HTTP/1.1\r\nHost: "+host+"\r\nContent-Length: 0\r\n\r\n")
		if got.status != status {
			t.Errorf("Host %s: status = %d, want %d", host, got.status, status)
		}
	}
}

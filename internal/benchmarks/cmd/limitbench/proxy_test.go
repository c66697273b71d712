package main

import (
	"io"
	"net"
	"testing"
	"time"
)

// newEcho returns the address of a server that sends back what it gets, and
// what that is.
func newEcho(t *testing.T) (addr string, got <-chan byte) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	all := make(chan byte, 100)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				b := make([]byte, 1)
				for {
					if _, err := io.ReadFull(conn, b); err != nil {
						return
					}
					all <- b[0]
					if _, err := conn.Write(b); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String(), all
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func exchange(t *testing.T, conn net.Conn, sent string) {
	t.Helper()
	if _, err := io.WriteString(conn, sent); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(sent))
	if _, err := io.ReadFull(conn, b); err != nil || string(b) != sent {
		t.Fatalf("reply = %q, %v; want %q", b, err, sent)
	}
}

// TestProxyCounts holds that round trips are counted on all connections, and
// that a reply is never early.
func TestProxyCounts(t *testing.T) {
	t.Parallel()
	addr, _ := newEcho(t)
	const delay = 20 * time.Millisecond
	p, err := newProxy(addr, delay)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	for range 2 {
		conn := dial(t, p.addr)
		for _, sent := range []string{"a", "b", "reply in pieces"} {
			start := time.Now()
			exchange(t, conn, sent)
			if took := time.Since(start); took < delay {
				t.Errorf("a reply after %v, want %v or later", took, delay)
			}
		}
	}
	if got := p.trips.Load(); got != 6 {
		t.Errorf("%d round trips, want 6", got)
	}
}

// TestProxySeparates holds that a reply under way keeps no other connection
// from asking, and nobody from closing the proxy.
func TestProxySeparates(t *testing.T) {
	t.Parallel()
	addr, got := newEcho(t)
	p, err := newProxy(addr, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	conns := make([]net.Conn, 3)
	for i := range conns {
		conns[i] = dial(t, p.addr)
		if _, err := conns[i].Write([]byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
		if b := <-got; b != byte(i) {
			t.Fatalf("the server got %d, want %d", b, i)
		}
	}
	p.close()
	for _, conn := range conns {
		if b, err := io.ReadAll(conn); len(b) > 0 {
			t.Errorf("read %q, %v; want nothing", b, err)
		}
	}
}

func TestProxyWithoutServer(t *testing.T) {
	t.Parallel()
	p, err := newProxy("127.0.0.1:0", 0) // where nobody can be
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if b, err := io.ReadAll(dial(t, p.addr)); len(b) > 0 {
		t.Errorf("read %q, %v; want nothing", b, err)
	}
}

package outbound_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/gatehouse-go/gatehouse/internal/outbound"
)

func newClient(tb testing.TB, cfg outbound.Config) *outbound.Client {
	tb.Helper()
	c, err := outbound.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

// serve is a server on loopback, in clear, that the Client of local reaches.
func serve(tb testing.TB, h http.HandlerFunc) *httptest.Server {
	tb.Helper()
	s := httptest.NewServer(h)
	tb.Cleanup(s.Close)
	return s
}

func local(tb testing.TB) *outbound.Client {
	tb.Helper()
	return newClient(tb, outbound.Config{InsecureAllowLoopback: true})
}

// A wire is a connection that says it leads to addr. It records what is sent
// and answers nothing.
type wire struct {
	net.Conn
	addr net.Addr

	mu      sync.Mutex
	sent    int
	closed  bool
	touched chan struct{} // closed by the first Write, or by Close
}

func newWire(addr net.Addr) *wire { return &wire{addr: addr, touched: make(chan struct{})} }

type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }

func (w *wire) RemoteAddr() net.Addr { return w.addr }

func (w *wire) Read([]byte) (int, error) {
	<-w.touched
	return 0, io.EOF
}

func (w *wire) Write(p []byte) (int, error) {
	w.touch(len(p), false)
	return len(p), nil
}

func (w *wire) Close() error {
	w.touch(0, true)
	return nil
}

func (w *wire) touch(sent int, closed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sent == 0 && !w.closed {
		close(w.touched)
	}
	w.sent += sent
	w.closed = w.closed || closed
}

func (w *wire) state() (sent int, closed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent, w.closed
}

// dialing returns a Transport whose connections are all conn.
func dialing(conn net.Conn) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil },
	}}
}

// A pipe is a network in memory with one server, for bubbles of synctest.
type pipe struct {
	conns chan net.Conn
	done  chan struct{}
	close sync.Once
}

func newPipe(t *testing.T, h http.HandlerFunc) *pipe {
	t.Helper()
	p := &pipe{conns: make(chan net.Conn), done: make(chan struct{})}
	var handlers sync.WaitGroup
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handlers.Add(1)
		defer handlers.Done()
		h(w, r)
	})}
	go func() { _ = s.Serve(p) }()
	t.Cleanup(func() {
		_ = s.Close()
		synctest.Wait()
		handlers.Wait() // of those that sleep
	})
	return p
}

func (p *pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipe) Addr() net.Addr { return address("127.0.0.1:80") }

func (p *pipe) Close() error {
	p.close.Do(func() { close(p.done) })
	return nil
}

// client sends what it has to send through the pipe.
func (p *pipe) client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		near, far := net.Pipe()
		select {
		case p.conns <- far:
			return named{near}, nil
		case <-p.done:
			return nil, net.ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}}
}

func discard() *log.Logger { return log.New(io.Discard, "", 0) }

type named struct{ net.Conn }

func (named) RemoteAddr() net.Addr { return address("127.0.0.1:80") }

// A dns is a name server in memory that knows one name.
type dns struct {
	mu    sync.Mutex
	addrs []netip.Addr // of rebind.test
}

func (d *dns) set(addrs ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.addrs = nil
	for _, a := range addrs {
		d.addrs = append(d.addrs, netip.MustParseAddr(a))
	}
}

func (d *dns) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	go func() {
		for d.answer(far) == nil {
		}
		_ = far.Close()
	}()
	return near, nil
}

func (d *dns) answer(conn net.Conn) error {
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return err
	}
	query := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, query); err != nil {
		return err
	}
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return errors.Join(err, io.ErrUnexpectedEOF)
	}
	q := m.Questions[0]
	d.mu.Lock()
	addrs := d.addrs
	d.mu.Unlock()
	reply := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true}, Questions: m.Questions}
	if q.Name.String() != "rebind.test." || len(addrs) == 0 {
		addrs, reply.RCode = nil, dnsmessage.RCodeNameError
	}
	for _, a := range addrs {
		h := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 0}
		if q.Type == dnsmessage.TypeA && a.Is4() {
			h.Type = dnsmessage.TypeA
			reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
		}
		if q.Type == dnsmessage.TypeAAAA && a.Is6() {
			h.Type = dnsmessage.TypeAAAA
			reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	packed, err := reply.Pack()
	if err != nil {
		return err
	}
	_, err = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...))
	return err
}

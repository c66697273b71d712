package authtest

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// pipeBuffer is what one end may send before the other reads. With none, as
// net.Pipe has it, a client that sends an alert and a server that sends the
// rest of its handshake would wait for each other.
const pipeBuffer = 64 << 10

// pipe returns the two ends of a connection in memory.
func pipe(client, server net.Addr) (atClient, atServer *conn) {
	up, down := newStream(), newStream()
	return &conn{in: down, out: up, local: client, remote: server}, &conn{in: up, out: down, local: server, remote: client}
}

// A conn is one end of a connection.
type conn struct {
	in, out       *stream
	local, remote net.Addr
	host          string // that was dialled
}

func (c *conn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *conn) Write(p []byte) (int, error) { return c.out.write(p) }
func (c *conn) LocalAddr() net.Addr         { return c.local }
func (c *conn) RemoteAddr() net.Addr        { return c.remote }

func (c *conn) Close() error {
	c.in.change(func() { c.in.closed = true })
	c.out.change(func() { c.out.closed = true })
	return nil
}

func (c *conn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t) // never fails
	return c.SetWriteDeadline(t)
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.change(func() { c.in.readBy = t })
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.out.change(func() { c.out.writeBy = t })
	return nil
}

// A stream is one direction of a connection.
type stream struct {
	mu              sync.Mutex
	changed         chan struct{} // closed at the next change
	data            []byte
	closed          bool
	readBy, writeBy time.Time
}

func newStream() *stream { return &stream{changed: make(chan struct{})} }

func (s *stream) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.wake()
}

func (s *stream) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case past(s.readBy):
			return 0, os.ErrDeadlineExceeded
		case len(s.data) > 0:
			n := copy(p, s.data)
			s.data = s.data[n:]
			s.wake()
			return n, nil
		case s.closed:
			return 0, io.EOF
		}
		s.wait(s.readBy)
	}
}

func (s *stream) write(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch room := pipeBuffer - len(s.data); {
		case past(s.writeBy):
			return n, os.ErrDeadlineExceeded
		case s.closed:
			return n, io.ErrClosedPipe
		case len(p) == n:
			return n, nil
		case room > 0:
			more := p[n:min(n+room, len(p))]
			s.data = append(s.data, more...)
			n += len(more)
			s.wake()
			continue
		}
		s.wait(s.writeBy)
	}
}

// wait returns, with s locked as before, when something has changed or the time
// has come.
func (s *stream) wait(by time.Time) {
	changed := s.changed
	s.mu.Unlock()
	defer s.mu.Lock()
	if by.IsZero() {
		<-changed
		return
	}
	timer := time.NewTimer(time.Until(by))
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	}
}

func past(by time.Time) bool { return !by.IsZero() && !time.Now().Before(by) }

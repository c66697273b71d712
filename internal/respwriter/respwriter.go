// Package respwriter is the one response-writer wrapper of the library.
//
// It sees the status and the body bytes as they go on the wire and changes
// nothing: Flush, Hijack, ReadFrom, Push, informational responses, trailers
// and [http.ResponseController] work as they do on the writer beneath. It is
// allocated for each request and never pooled, since handlers may keep it in
// goroutines that outlive theirs.
//
// One thing no wrapper can pass on is an unexported method by which
// [http.MaxBytesReader] closes the connection: see [Base].
package respwriter

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
)

// ErrBlocked is what writing returns after [Options.Before] refused the
// response.
var ErrBlocked = errors.New("respwriter: response was refused")

// Options are what a middleware wants to do beyond watching.
type Options struct {
	// Before, if not nil, is called before the final status goes out, and again
	// if that came to nothing: a connection that could not be hijacked, a
	// status that HTTP does not have. False stops the response, and nothing
	// that the handler writes afterwards reaches the client. It may answer on
	// the writer beneath.
	Before func(status int) bool

	// Informational, if not nil, is asked before each informational response,
	// which may have headers too. False drops that one alone.
	Informational func() bool
}

// A Recorder tells what happened to a response. Its methods must not be called
// while the handler is still running.
type Recorder struct {
	base     http.ResponseWriter
	opts     Options
	head     bool // a HEAD response: its body does not go on the wire
	upgrades bool // 101 is final; HTTP/2 has no such status and sends it like any other 1xx
	status   int  // 0 until the final status went out
	bytes    int64
	hijacked bool
	blocked  bool
	err      error
}

// Wrap returns a writer for w and the Recorder that watches it.
func Wrap(w http.ResponseWriter, r *http.Request, opts Options) (http.ResponseWriter, *Recorder) {
	rec := &Recorder{base: w, opts: opts, head: r.Method == http.MethodHead, upgrades: r.ProtoMajor < 2}
	_, flush := w.(http.Flusher)
	hijack := hijacks(w)
	_, push := w.(http.Pusher)
	// net/http's two writers and the plain ones; a mixture that none of these
	// fits is still reached through Unwrap.
	switch {
	case flush && hijack:
		return http1{flusher{(*writer)(rec)}}, rec
	case flush && push:
		return http2{flusher{(*writer)(rec)}}, rec
	case flush:
		return flusher{(*writer)(rec)}, rec
	case hijack:
		return hijacker{(*writer)(rec)}, rec
	}
	return plain{(*writer)(rec)}, rec
}

// hijacks reports whether w or a writer beneath it gives the connection away:
// [http.ResponseController] would find that one, and pass by the Recorder.
func hijacks(w http.ResponseWriter) bool {
	for {
		if _, ok := w.(http.Hijacker); ok {
			return true
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return false
		}
		w = u.Unwrap()
	}
}

// Status returns the status on the wire, 0 if no final status went out.
func (r *Recorder) Status() int { return r.status }

// Bytes returns the number of body bytes on the wire.
func (r *Recorder) Bytes() int64 { return r.bytes }

// Hijacked reports whether the handler took over the connection.
func (r *Recorder) Hijacked() bool { return r.hijacked }

// Blocked reports whether [Options.Before] stopped the response.
func (r *Recorder) Blocked() bool { return r.blocked }

// Err returns the first error of writing to the client.
func (r *Recorder) Err() error { return r.err }

// Base returns the writer at the bottom of w, for http.MaxBytesReader: only
// net/http's own writer has the method by which it closes the connection after
// a body that was too large.
func Base(w http.ResponseWriter) http.ResponseWriter {
	for {
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = u.Unwrap()
	}
}

// begin asks whether the status that is about to go out may.
func (r *Recorder) begin(status int) bool {
	if r.blocked {
		return false
	}
	if r.status == 0 && r.opts.Before != nil {
		r.blocked = true // until it says otherwise, should it panic
		r.blocked = !r.opts.Before(status)
	}
	return !r.blocked
}

// latch keeps the first final status: the one on the wire.
func (r *Recorder) latch(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *Recorder) writeHeader(status int) {
	if status >= 100 && status < 200 && (status != http.StatusSwitchingProtocols || !r.upgrades) {
		if !r.blocked && (r.opts.Informational == nil || r.opts.Informational()) {
			r.base.WriteHeader(status)
		}
		return
	}
	if !r.begin(status) {
		return
	}
	r.base.WriteHeader(status) // panics on a status that HTTP does not have
	r.latch(status)
}

// implicit is what a first Write or ReadFrom means.
func (r *Recorder) implicit() bool {
	if !r.begin(http.StatusOK) {
		return false
	}
	r.latch(http.StatusOK)
	return true
}

func (r *Recorder) wrote(n int64, err error) {
	if !r.head {
		r.bytes += n
	}
	if err != nil && r.err == nil {
		r.err = err
	}
}

func (r *Recorder) write(p []byte) (int, error) {
	if !r.implicit() {
		return 0, ErrBlocked
	}
	n, err := r.base.Write(p)
	r.wrote(int64(n), err)
	return n, err
}

func (r *Recorder) writeString(s string) (int, error) {
	if !r.implicit() {
		return 0, ErrBlocked
	}
	n, err := io.WriteString(r.base, s)
	r.wrote(int64(n), err)
	return n, err
}

func (r *Recorder) readFrom(src io.Reader) (int64, error) {
	if !r.implicit() {
		return 0, ErrBlocked
	}
	var n int64
	var err error
	if rf, ok := r.base.(io.ReaderFrom); ok {
		n, err = rf.ReadFrom(src)
	} else {
		n, err = io.Copy(onlyWriter{r.base}, src)
	}
	r.wrote(n, err)
	return n, err
}

func (r *Recorder) flush() error {
	if !r.begin(http.StatusOK) {
		return ErrBlocked
	}
	err := http.NewResponseController(r.base).Flush()
	if !errors.Is(err, http.ErrNotSupported) {
		r.latch(http.StatusOK)
	}
	return err
}

func (r *Recorder) hijack() (net.Conn, *bufio.ReadWriter, error) {
	if !r.begin(http.StatusSwitchingProtocols) {
		return nil, nil, ErrBlocked
	}
	conn, rw, err := http.NewResponseController(r.base).Hijack()
	if err == nil {
		r.hijacked = true
		r.latch(http.StatusSwitchingProtocols)
	}
	return conn, rw, err
}

func (r *Recorder) push(target string, opts *http.PushOptions) error {
	p, ok := r.base.(http.Pusher)
	if !ok {
		return http.ErrNotSupported
	}
	return p.Push(target, opts)
}

type onlyWriter struct{ io.Writer }

package respwriter

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// Handlers ask a writer for its optional interfaces, so each shape has the
// methods of the writer that it stands for, or of one beneath it. All of them are one
// pointer wide: choosing one allocates nothing.
type (
	plain    struct{ *writer }
	hijacker struct{ *writer }
	flusher  struct{ *writer }
	http1    struct{ flusher }
	http2    struct{ flusher }
	writer   Recorder
)

func (w *writer) rec() *Recorder { return (*Recorder)(w) }

func (w *writer) Header() http.Header               { return w.base.Header() }
func (w *writer) Unwrap() http.ResponseWriter       { return w.base }
func (w *writer) WriteHeader(status int)            { w.rec().writeHeader(status) }
func (w *writer) Write(p []byte) (int, error)       { return w.rec().write(p) }
func (w *writer) WriteString(s string) (int, error) { return w.rec().writeString(s) }

// FlushError is for [http.ResponseController], which looks further in by
// Unwrap: without it, what it flushes there would be neither asked about nor
// recorded.
func (w *writer) FlushError() error { return w.rec().flush() }

func (w flusher) Flush() { _ = w.rec().flush() }

func (w http1) ReadFrom(src io.Reader) (int64, error) { return w.rec().readFrom(src) }

func (w hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.rec().hijack() }

func (w http1) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.rec().hijack() }

func (w http2) Push(target string, opts *http.PushOptions) error { return w.rec().push(target, opts) }

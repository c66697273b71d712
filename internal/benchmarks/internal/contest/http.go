package contest

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"time"
)

// ServerContext returns a context such as a server's.
func ServerContext() context.Context {
	ctx := context.WithValue(context.Background(), http.ServerContextKey, &http.Server{ReadHeaderTimeout: time.Second})
	return context.WithValue(ctx, http.LocalAddrContextKey, &net.TCPAddr{Port: 443})
}

// NewRequest returns a request with the headers that most clients send.
func NewRequest(ctx context.Context) *http.Request {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "https://api.example.com/orders?page=2", http.NoBody)
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Accept-Encoding", "gzip")
	r.Header.Set("User-Agent", "orders-client/1.4")
	return r
}

// A Writer keeps the status and the size of the body, and costs nothing.
type Writer struct {
	Status, Size int

	header http.Header
}

// NewWriter returns a Writer without an answer.
func NewWriter() *Writer { return &Writer{header: make(http.Header)} }

// Reset prepares w for another request. Its headers are gone; net/http would
// make a new map.
func (w *Writer) Reset() {
	w.Status, w.Size = 0, 0
	clear(w.header)
}

// Header implements [http.ResponseWriter].
func (w *Writer) Header() http.Header { return w.header }

// WriteHeader implements [http.ResponseWriter].
func (w *Writer) WriteHeader(status int) { w.Status = status }

// Write implements [http.ResponseWriter].
func (w *Writer) Write(b []byte) (int, error) {
	w.Size += len(b)
	return len(b), nil
}

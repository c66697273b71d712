package tlsredirect_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/tlsredirect"
)

// sink is a response writer that costs nothing.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }

// cases are requests by what becomes of them.
func cases(tb testing.TB) (http.Handler, map[string]*http.Request) {
	tb.Helper()
	rd := newRedirector(tb, tlsredirect.Config{Hosts: []string{"api.example.com"}, Trust: newTrust(tb, "10.0.0.0/8")})
	forwarded := request("GET", "http://api.example.com/orders/1", "X-Forwarded-Proto: https")
	forwarded.RemoteAddr = "10.0.0.1:1"
	return rd.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})), map[string]*http.Request{
		"TLS":            request("GET", "https://api.example.com/orders/1"),
		"proxied":        forwarded,
		"redirect":       request("GET", "http://api.example.com/orders/1?a=b", html),
		"refuse":         request("POST", "http://api.example.com/orders/1", "Authorization: Bearer x"),
		"foreign host":   request("GET", "https://evil.com/"),
		"hostile query":  request("GET", "http://api.example.com/?"+strings.Repeat("%61&", 8<<10), html),
		"hostile accept": request("GET", "http://api.example.com/x", "Accept: "+strings.Repeat("a,", 16<<10)),
	}
}

func BenchmarkHandler(b *testing.B) {
	h, requests := cases(b)
	for name, r := range requests {
		b.Run(name, func(b *testing.B) {
			w := &sink{make(http.Header)}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				h.ServeHTTP(w, r)
			}
		})
	}
}

// TestAllocations: on the way through, the one HSTS value of this response.
func TestAllocations(t *testing.T) {
	h, requests := cases(t)
	for name, want := range map[string]float64{"TLS": 1, "proxied": 1, "redirect": 2} {
		w := &sink{make(http.Header)}
		if got := testing.AllocsPerRun(100, func() {
			clear(w.header)
			h.ServeHTTP(w, requests[name])
		}); got > want {
			t.Errorf("%s: %v allocations, want at most %v", name, got, want)
		}
	}
}

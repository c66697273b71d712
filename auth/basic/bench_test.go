package basic_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/basic"
)

// A discard is a ResponseWriter that costs nothing.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// BenchmarkAuthenticate is the Authenticator alone.
func BenchmarkAuthenticate(b *testing.B) {
	known := clients(b)
	static := newBasic(b, basic.Config{Clients: known})
	lookup := newBasic(b, basic.Config{Lookup: func(_ context.Context, name string) (basic.Client, error) { return known[name], nil }})
	for _, bb := range []struct {
		name   string
		a      *basic.Authenticator
		header string
		want   string
	}{
		{"admitted", static, encode("billing:" + billing), ""},
		{"admitted by Lookup", lookup, encode("billing:" + billing), ""},
		{"wrong secret", static, encode("billing:" + metrics), "secret"},
		{"nobody", static, encode("nobody:" + billing), "client"},
		{"malformed", static, "Basic " + strings.Repeat("!", 512), "malformed"},
		{"oversize", static, "Basic " + strings.Repeat("A", 1<<20), "oversize"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			r := request(bb.header)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := bb.a.Authenticate(r); (err != nil) != (bb.want != "") || reason(err) != bb.want {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkGate is a request from end to end.
func BenchmarkGate(b *testing.B) {
	h := newGate(b, auth.Config{}, newBasic(b, basic.Config{})).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, bb := range []struct {
		name string
		r    *http.Request
		want int
	}{
		{"admitted", request(encode("billing:" + billing)), 200},
		{"wrong secret", request(encode("billing:" + metrics)), 401},
		{"plain HTTP", plain(encode("billing:" + billing)), 400},
	} {
		if got := serve(h, bb.r).Code; got != bb.want {
			b.Fatalf("%s: status = %d, want %d", bb.name, got, bb.want)
		}
		b.Run(bb.name, func(b *testing.B) {
			w := discard{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, bb.r)
			}
		})
	}
}

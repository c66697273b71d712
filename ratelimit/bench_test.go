package ratelimit_test

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// sink is a ResponseWriter that costs nothing but what is written to it.
type sink struct{ h http.Header }

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) WriteHeader(int)             {}

func BenchmarkHandler(b *testing.B) {
	requests := make([]*http.Request, 100_000)
	for i := range requests {
		requests[i] = from(fmt.Sprintf("10.%d.%d.%d:80", i>>16, i>>8&255, i&255))
	}
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for _, bb := range []struct {
		name     string
		limits   string
		requests []*http.Request
	}{
		{"allowed", "10000000-S", requests[:1]},
		{"denied", "1-D", requests[:1]},
		{"100k keys", "10000000-S", requests},
		{"two policies", "10000000-S; 10000000 per minute", requests[:1]},
		{"two policies, 100k keys", "10000000-S; 10000000 per minute", requests},
	} {
		b.Run(bb.name, func(b *testing.B) {
			h := mustNew(b, ratelimit.Config{Limits: []string{bb.limits}}).Handler(nothing)
			w := &sink{make(http.Header)}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				clear(w.h)
				h.ServeHTTP(w, bb.requests[i%len(bb.requests)])
			}
		})
	}
}

// BenchmarkHeaderSet is the part of BenchmarkHandler that nobody who sets two
// headers can avoid.
func BenchmarkHeaderSet(b *testing.B) {
	w := &sink{make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		w.Header().Set("Ratelimit", "x")
		w.Header().Set("Ratelimit-Policy", "y")
	}
}

func BenchmarkTake(b *testing.B) {
	keys := make([]string, 100_000)
	for i := range keys {
		keys[i] = "key " + strconv.Itoa(i)
	}
	for _, bb := range []struct {
		name   string
		limits string
		keys   []string
	}{
		{"allowed", "10000000-S", keys[:1]},
		{"denied", "1-D", keys[:1]},
		{"100k keys", "10000000-S", keys},
		{"two policies", "10000000-S; 10000000 per minute", keys[:1]},
	} {
		b.Run(bb.name, func(b *testing.B) {
			l := mustNew(b, ratelimit.Config{Limits: []string{bb.limits}})
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := l.Take(b.Context(), bb.keys[i%len(bb.keys)], 1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("parallel", func(b *testing.B) {
		l := mustNew(b, ratelimit.Config{Limits: []string{"10000000-S"}})
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				if _, err := l.Take(b.Context(), keys[i%len(keys)], 1); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

func BenchmarkParseLimits(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ratelimit.ParseLimits("10/s; 1000 per 5 minutes; 5-H"); err != nil {
			b.Fatal(err)
		}
	}
}

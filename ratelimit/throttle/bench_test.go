package throttle_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/throttle"
)

// sink is a ResponseWriter that costs nothing but what is written to it.
type sink struct{ h http.Header }

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) WriteHeader(int)             {}

var nothing = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})

func BenchmarkHandler(b *testing.B) {
	requests := make([]*http.Request, 10_000)
	for i := range requests {
		requests[i] = from(fmt.Sprintf("10.0.%d.%d:80", i>>8, i&255))
	}
	never := func(*http.Request) bool { return false }
	for _, bb := range []struct {
		name     string
		cfg      throttle.Config
		requests []*http.Request
	}{
		{"admitted", throttle.Config{Limit: 100}, requests[:1]},
		{"admitted, queue and reserve", throttle.Config{Limit: 100, Queue: 100, MaxWait: time.Second, Reserve: 10, Critical: never}, requests[:1]},
		{"admitted, per key", throttle.Config{Limit: 100, PerKey: 10, Key: func(*http.Request) (string, error) { return "alice", nil }}, requests[:1]},
		{"admitted, per address", throttle.Config{Limit: 100, PerKey: 10, Key: ratelimit.ByAddr()}, requests},
		{"admitted, adaptive", throttle.Config{Limit: 100, Adaptive: true, Min: 10}, requests[:1]},
	} {
		b.Run(bb.name, func(b *testing.B) {
			h := mustNew(b, bb.cfg).Handler(nothing)
			w := &sink{make(http.Header)}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				h.ServeHTTP(w, bb.requests[i%len(bb.requests)])
			}
		})
	}
	for _, bb := range []struct {
		name string
		cfg  throttle.Config
	}{
		{"refused", throttle.Config{Limit: 1}},
		{"refused, queue full", throttle.Config{Limit: 1, Queue: 1, MaxWait: time.Minute}},
		{"refused, per key", throttle.Config{Limit: 2, PerKey: 1}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			th := mustNew(b, bb.cfg)
			defer mustAcquire(b, th, "addr:10.0.0.0/32", false).Release()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			for i := range bb.cfg.Queue {
				go func() { _, _ = th.Acquire(ctx, "", false) }()
				for th.Stats().Waiting <= i {
					time.Sleep(time.Millisecond)
				}
			}
			h := th.Handler(nothing)
			w := &sink{make(http.Header)}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.h)
				h.ServeHTTP(w, requests[0])
			}
		})
	}
	b.Run("parallel", func(b *testing.B) {
		h := mustNew(b, throttle.Config{Limit: 100}).Handler(nothing)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			w := &sink{make(http.Header)}
			for pb.Next() {
				h.ServeHTTP(w, requests[0])
			}
		})
	})
}

// BenchmarkNothing is the part of BenchmarkHandler that is not ours.
func BenchmarkNothing(b *testing.B) {
	var h http.Handler = nothing
	w, r := &sink{make(http.Header)}, from("192.0.2.1:80")
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}

func BenchmarkAcquire(b *testing.B) {
	th := mustNew(b, throttle.Config{Limit: 100})
	b.ReportAllocs()
	for b.Loop() {
		mustAcquire(b, th, "", false).Release()
	}
}

// BenchmarkHandOver is what it costs to wait: two goroutines share one permit.
func BenchmarkHandOver(b *testing.B) {
	th := mustNew(b, throttle.Config{Limit: 1, Queue: 2, MaxWait: time.Minute})
	b.SetParallelism(1)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			p, err := th.Acquire(context.Background(), "", false)
			if err != nil {
				b.Error(err)
			}
			p.Release()
		}
	})
}

// What the quick path is for.
func TestAdmittingAllocatesNothing(t *testing.T) {
	h := mustNew(t, throttle.Config{Limit: 100, Queue: 10, MaxWait: time.Second}).Handler(nothing)
	w, r := &sink{make(http.Header)}, from("192.0.2.1:80")
	if got := testing.AllocsPerRun(100, func() { h.ServeHTTP(w, r) }); got != 0 {
		t.Errorf("%v allocations, want none", got)
	}
}

package loginguard_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gatehouse-go/gatehouse/ratelimit/loginguard"
)

func BenchmarkBegin(b *testing.B) {
	ctx := context.Background()
	for name, refused := range map[string]bool{"right": false, "refused": true} {
		b.Run(name, func(b *testing.B) {
			g := mustNew(b, loginguard.Config{})
			if refused {
				for range 5 {
					if _, err := g.Begin(ctx, "ann", home); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				a, err := g.Begin(ctx, "ann", home)
				if (err != nil) != refused {
					b.Fatal(err)
				}
				if err == nil {
					_ = a.Succeed(ctx)
				}
			}
		})
	}
}

func BenchmarkHandler(b *testing.B) {
	g := mustNew(b, loginguard.Config{Account: byHeader})
	h := g.Handler(status(http.StatusNoContent))
	r, _ := login("ann", "192.0.2.7:1234")
	r = r.WithContext(context.Background())
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
}

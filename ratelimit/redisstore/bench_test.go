package redisstore_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/redisstore"
)

// BenchmarkTake is what a Take costs beside the server and its client.
func BenchmarkTake(b *testing.B) {
	for _, n := range []int{1, 3, 8} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			policies := make([]ratelimit.Policy, n)
			var text string
			for i := range policies {
				policies[i] = ratelimit.Policy{Name: "minute-" + strconv.Itoa(i), Limit: 100, Period: time.Minute}
				text += result(1, 6e8)
			}
			var reply any = text
			s := newStore(b, redisstore.Config{Do: func(context.Context, ...any) (any, error) { return reply, nil }})
			reqs := requests("api:addr:192.0.2.1/32", 1, policies...)
			dst := make([]ratelimit.Result, 0, n)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Take(b.Context(), dst, reqs); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

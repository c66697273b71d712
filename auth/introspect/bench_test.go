package introspect_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/gatehouse-go/gatehouse/auth/introspect"
)

func benchmark(b *testing.B, answer string) *introspect.Introspector {
	b.Helper()
	i, err := introspect.New(introspect.Config{
		Endpoint: "https://id.example.com/introspect", Issuer: issuerURL, Audience: []string{service},
		Credentials: introspect.ClientSecret("a", "b"),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = i.Close() })
	i.Answer(func(string) string { return answer })
	return i
}

func bearer(token string) *http.Request { return request("Bearer " + token) }

// BenchmarkRemembered is a request with a token that is in use.
func BenchmarkRemembered(b *testing.B) {
	i := benchmark(b, good().json())
	r := bearer(opaque)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := i.Authenticate(r); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRememberedParallel is the same from all sides.
func BenchmarkRememberedParallel(b *testing.B) {
	i := benchmark(b, good().json())
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := bearer(opaque)
		for pb.Next() {
			if _, err := i.Authenticate(r); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkRefused is a request with a token that was refused a moment ago.
func BenchmarkRefused(b *testing.B) {
	i := benchmark(b, `{"active":false}`)
	r := bearer(opaque)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := i.Authenticate(r); err == nil {
			b.Fatal("admitted")
		}
	}
}

// BenchmarkDeclined is a request with a JWT.
func BenchmarkDeclined(b *testing.B) {
	i := benchmark(b, good().json())
	r := bearer("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := i.Authenticate(r); err == nil {
			b.Fatal("admitted")
		}
	}
}

// BenchmarkFlood is a request with a token that nobody saw before, but for the
// endpoint's part.
func BenchmarkFlood(b *testing.B) {
	i := benchmark(b, `{"active":false}`)
	r := bearer(opaque)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		r.Header["Authorization"][0] = fmt.Sprintf("Bearer junk%d", n)
		if _, err := i.Authenticate(r); err == nil {
			b.Fatal("admitted")
		}
	}
}

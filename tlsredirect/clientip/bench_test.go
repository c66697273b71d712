package clientip_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/tlsredirect/clientip"
)

func BenchmarkAddr(b *testing.B) {
	trust := newTrust(b, clientip.Config{Proxies: []string{"10.0.0.0/8", "192.168.0.0/16", "2001:db8:ffff::/48", "172.16.0.0/12"}})
	for _, bb := range []struct {
		name string
		r    *http.Request
	}{
		{"direct", from("198.51.100.7:1")},
		{"two hops", from("10.0.0.1:1", "X-Forwarded-For: 203.0.113.9, 10.1.1.1")},
		{"32 KiB of hops", from("10.0.0.1:1", "X-Forwarded-For: "+strings.Repeat("10.1.1.1,", 32<<10/9)+"10.1.1.1")},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := trust.Addr(bb.r); !ok {
					b.Fatal("no address")
				}
			}
		})
	}
}

func BenchmarkHandler(b *testing.B) {
	trust := newTrust(b, clientip.Config{Proxies: []string{"10.0.0.0/8"}})
	h := trust.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r, w := from("10.0.0.1:1", "X-Forwarded-For: 203.0.113.9"), httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}

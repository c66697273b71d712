package mtls_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/mtls"
)

// BenchmarkAuthenticate is the Authenticator alone: with a certificate that TLS
// verified when the connection was made, and with Roots, where each request
// costs a signature for each link.
func BenchmarkAuthenticate(b *testing.B) {
	w := newWorld(b)
	connection := func(name string, verified bool) *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.TLS = new(tls.ConnectionState)
		for _, der := range w.certs[name].Certificate {
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				b.Fatal(err)
			}
			r.TLS.PeerCertificates = append(r.TLS.PeerCertificates, cert)
		}
		if verified {
			r.TLS.VerifiedChains = [][]*x509.Certificate{append(slices.Clip(r.TLS.PeerCertificates), w.root.cert)}
		}
		return r
	}
	pinned, err := mtls.Thumbprint.Of(w.certs["good"].Leaf)
	if err != nil {
		b.Fatal(err)
	}
	for _, bb := range []struct {
		name string
		cfg  mtls.Config
		r    *http.Request
		want string
	}{
		{"admitted/SPIFFE", mtls.Config{}, connection("good", true), ""},
		{"admitted/DNS", mtls.Config{Identify: mtls.DNS, Callers: map[string]mtls.Caller{"billing.example.com": {}}}, connection("good", true), ""},
		{"admitted/Email", mtls.Config{Identify: mtls.Email, Callers: map[string]mtls.Caller{"billing@example.com": {}}}, connection("good", true), ""},
		{"admitted/Subject", mtls.Config{Identify: mtls.Subject, Callers: map[string]mtls.Caller{"CN=billing,O=Example": {}}}, connection("good", true), ""},
		{"admitted/Thumbprint", mtls.Config{Identify: mtls.Thumbprint, Callers: map[string]mtls.Caller{pinned[0]: {}}}, connection("good", true), ""},
		{"admitted/Roots", mtls.Config{Roots: w.root.pool()}, connection("good", false), ""},
		{"admitted/Roots, from below", mtls.Config{Roots: w.root.pool()}, connection("good, from below", false), ""},
		{"refused/unlisted", mtls.Config{}, connection("unlisted", true), "unlisted"},
		{"refused/unverified", mtls.Config{}, connection("good", false), "unverified"},
		{"refused/expired", mtls.Config{Roots: w.root.pool()}, connection("expired", false), "expired"},
		{"refused/other CA", mtls.Config{Roots: w.root.pool()}, connection("other CA of that name", false), "chain"},
		{"refused/from too far below", mtls.Config{Roots: w.root.pool()}, connection("from too far below", false), "chain"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			a := newMTLS(b, bb.cfg)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.Authenticate(bb.r); (err != nil) != (bb.want != "") || reason(err) != bb.want {
					b.Fatal(err)
				}
			}
		})
	}
}

// A discard is a ResponseWriter that costs nothing.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// BenchmarkGate is a request from end to end.
func BenchmarkGate(b *testing.B) {
	root := newCA(b, "root", nil)
	gate, err := auth.New(auth.Config{Authenticators: []auth.Authenticator{newMTLS(b, mtls.Config{})}})
	if err != nil {
		b.Fatal(err)
	}
	h := gate.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r, w := verified(root.issue(b).Leaf), discard{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}

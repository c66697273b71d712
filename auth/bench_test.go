package auth_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatehouse-go/gatehouse/auth"
)

// A discard is a ResponseWriter that costs nothing.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// BenchmarkGate is a request from end to end, beside golang-jwt's
// ParseWithClaims alone, with every check switched on.
func BenchmarkGate(b *testing.B) {
	type request struct {
		name  string
		alg   string
		token string
		want  int
	}
	requests := make([]request, 0, 8)
	for _, alg := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
		requests = append(requests, request{"admitted/" + alg, alg, signerFor(alg).token(b, goodClaims()), 200})
	}
	es, hs := signerFor("ES256"), signerFor("HS256")
	requests = append(
		requests,
		request{"refused/malformed", "ES256", "not.a.token", 401},
		request{"refused/dots", "ES256", strings.Repeat(".", 8<<10), 401},
		request{"refused/algorithm", "ES256", hs.token(b, goodClaims()), 401},
		request{"refused/expired", "ES256", es.token(b, goodClaims().with(object{"exp": time.Now().Unix() - 3600})), 401},
	)
	for _, rq := range requests {
		s := signerFor(rq.alg)
		g := newGate(b, auth.Config{Authenticators: []auth.Authenticator{newJWT(b, issuerOf(s))}})
		h := g.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		if got := serve(h, "Bearer "+rq.token).Code; got != rq.want {
			b.Fatalf("%s: status = %d, want %d", rq.name, got, rq.want)
		}
		b.Run(rq.name+"/gatehouse", func(b *testing.B) {
			r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
			r.Header.Set("Authorization", "Bearer "+rq.token)
			w := discard{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
		b.Run(rq.name+"/golang-jwt", func(b *testing.B) {
			parser := newRival(s).parser
			key := func(*jwt.Token) (any, error) { return s.verifyKey(), nil }
			b.ReportAllocs()
			for b.Loop() {
				var claims struct {
					jwt.RegisteredClaims
					Scope    string `json:"scope"`
					ClientID string `json:"client_id"`
				}
				if _, err := parser.ParseWithClaims(rq.token, &claims, key); (err == nil) != (rq.want == 200) {
					b.Fatal(err)
				}
			}
		})
	}
}

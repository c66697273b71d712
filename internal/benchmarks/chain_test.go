// Package benchmarks compares this library with its peers, side by side in one
// run. It is a module of its own so that no importer gets the peers.
package benchmarks_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/go-chi/httprate"
	"github.com/go-chi/jwtauth/v5"
	"github.com/go-playground/validator/v10"
	"github.com/golang-jwt/jwt/v5"
	"github.com/unrolled/secure"

	"github.com/gatehouse-go/gatehouse/audit"
	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/rbac"
	"github.com/gatehouse-go/gatehouse/sanitize"
	"github.com/gatehouse-go/gatehouse/tlsredirect"
	"github.com/gatehouse-go/gatehouse/tlsredirect/clientip"
	"github.com/gatehouse-go/gatehouse/validate"
)

type newOrder struct {
	Item     string `json:"item" validate:"required,max=64"`
	Quantity int    `json:"quantity" validate:"min=1,max=100"`
	Note     string `json:"note" validate:"max=500" sanitize:"text"`
}

const body = `{"item":"tea","quantity":2,"note":"please leave it at the door"}`

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// gatehouse is the whole stack: all seven packages.
func gatehouse(key ed25519.PublicKey) http.Handler {
	var perms rbac.Catalog
	write := perms.Define("orders:write", "Create orders")
	trust := must(clientip.New(clientip.Config{}))
	trail := must(audit.New(audit.Config{Sinks: []audit.Sink{audit.Writer(io.Discard)}}))
	redirect := must(tlsredirect.New(tlsredirect.Config{Hosts: []string{"example.com"}}))
	limit := must(ratelimit.New(ratelimit.Config{Limits: []string{"1000000-S"}}))
	bearer := must(auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{{
		URL: "https://id.example.com", Audience: []string{"orders"}, RolesClaim: "roles",
		Keys: auth.PublicKeys(map[string]crypto.PublicKey{"": key}),
	}}}))
	gate := must(auth.New(auth.Config{Authenticators: []auth.Authenticator{bearer}}))
	policy := must(rbac.New(rbac.Config{Catalog: &perms, Document: &rbac.Document{
		Roles: map[string]rbac.Role{"clerk": {Allow: []string{"orders:write"}}},
	}}))
	cleaner := must(sanitize.New(sanitize.Config{}))
	input := must(validate.New(validate.Config{AfterDecode: cleaner.CleanStruct}))

	r := chi.NewRouter()
	r.Use(audit.Route)
	r.With(gate.Handler, policy.Require(write), validate.Body[newOrder](input)).
		Post("/orders", func(w http.ResponseWriter, r *http.Request) {
			in, _ := validate.FromContext[newOrder](r.Context())
			created(w, in)
		})
	return trust.Handler(trail.Handler(redirect.Handler(limit.Handler(policy.Handler(r)))))
}

// peers is what the parts are commonly built from. It has no authorization, no
// cleaning and no strict decoding, and its log knows no decision.
func peers(key ed25519.PublicKey) http.Handler {
	check := validator.New(validator.WithRequiredStructEnabled())
	bearer := jwtauth.New("EdDSA", nil, key)
	r := chi.NewRouter()
	r.Use(
		middleware.RequestID,
		middleware.RequestLogger(&middleware.DefaultLogFormatter{Logger: log.New(io.Discard, "", log.LstdFlags), NoColor: true}),
		middleware.Recoverer,
		secure.New(secure.Options{SSLRedirect: true, AllowedHosts: []string{"example.com"}, STSSeconds: 63072000}).Handler,
		httprate.LimitBy(1_000_000, time.Second, func(r *http.Request) (string, error) { return r.RemoteAddr, nil }),
		jwtauth.Verifier(bearer),
		jwtauth.Authenticator(bearer),
	)
	r.Post("/orders", func(w http.ResponseWriter, r *http.Request) {
		var in newOrder
		dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
		dec.DisallowUnknownFields()
		if dec.Decode(&in) != nil || check.Struct(in) != nil {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
		created(w, &in)
	})
	return r
}

func created(w http.ResponseWriter, in *newOrder) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(in)
}

func bare(ed25519.PublicKey) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in newOrder
		if json.NewDecoder(r.Body).Decode(&in) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		created(w, &in)
	})
}

// BenchmarkChain sends a request that is served, one without a token and one
// with a forged token through each stack.
func BenchmarkChain(b *testing.B) {
	public, private := must2(ed25519.GenerateKey(rand.Reader))
	token := must(jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"iss": "https://id.example.com", "aud": "orders", "sub": "ann", "roles": []string{"clerk"},
		"exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(),
	}).SignedString(private))
	last := strings.LastIndexByte(token, '.') + 1
	forged := token[:last] + strings.Repeat("A", len(token)-last)
	for _, stack := range []struct {
		name  string
		build func(ed25519.PublicKey) http.Handler
		auth  bool
	}{
		{"bare", bare, false}, {"peers", peers, true}, {"gatehouse", gatehouse, true},
	} {
		h := stack.build(public)
		for _, tt := range []struct {
			name, authorization string
			status              int
		}{
			{"served", "Bearer " + token, http.StatusCreated},
			{"no token", "", http.StatusUnauthorized},
			{"forged token", "Bearer " + forged, http.StatusUnauthorized},
		} {
			if !stack.auth && tt.status != http.StatusCreated {
				continue
			}
			b.Run(stack.name+"/"+tt.name, func(b *testing.B) {
				r := httptest.NewRequest(http.MethodPost, "https://example.com/orders", nil)
				r.Header.Set("Content-Type", "application/json")
				if tt.authorization != "" {
					r.Header.Set("Authorization", tt.authorization)
				}
				r.ContentLength = int64(len(body))
				w := &discard{header: make(http.Header)}
				content := bytes.NewReader([]byte(body))
				b.ReportAllocs()
				for b.Loop() {
					content.Reset([]byte(body))
					r.Body = io.NopCloser(content)
					clear(w.header)
					h.ServeHTTP(w, r)
				}
				if w.status != tt.status {
					b.Fatalf("status = %d, want %d", w.status, tt.status)
				}
			})
		}
	}
}

func must2[A, B any](a A, b B, err error) (A, B) {
	if err != nil {
		panic(err)
	}
	return a, b
}

// discard is a writer that costs nothing itself.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

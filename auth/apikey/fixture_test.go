package apikey_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/apikey"
	"github.com/gatehouse-go/gatehouse/auth/principal"
)

const (
	issuer = "https://api.example.com"
	prefix = "orders"
	month  = 30 * 24 * time.Hour

	ownHeader    = `ApiKey header="X-Api-Key"`
	notAccepted  = `{"type":"about:blank","title":"Unauthorized","status":401,"detail":"The credentials were not accepted."}` + "\n"
	anotherToken = "opaque-token-of-another-kind"
)

var (
	_ auth.Authenticator = new(apikey.Authenticator)
	_ auth.Carrier       = new(apikey.Authenticator)
	_ apikey.Store       = new(apikey.MemoryStore)
	_ apikey.Store       = new(apikey.SQLStore)
)

func newKeys(tb testing.TB, cfg apikey.Config) *apikey.Authenticator {
	tb.Helper()
	if cfg.Issuer == "" {
		cfg.Issuer = issuer
	}
	if cfg.Prefix == "" {
		cfg.Prefix = prefix
	}
	if cfg.Store == nil {
		cfg.Store = new(apikey.MemoryStore)
	}
	a, err := apikey.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := a.Close(); err != nil {
			tb.Error(err)
		}
	})
	return a
}

// issue stores a new key of this owner and returns it.
func issue(tb testing.TB, store apikey.Store, owner string, scopes ...string) (string, apikey.Record) {
	tb.Helper()
	return issueFor(tb, store, apikey.Grant{Prefix: prefix, Owner: owner, Scopes: scopes, Lifetime: month})
}

func issueFor(tb testing.TB, store apikey.Store, g apikey.Grant) (string, apikey.Record) {
	tb.Helper()
	key, record := generate(tb, g)
	if err := store.Create(context.Background(), record); err != nil {
		tb.Fatal(err)
	}
	return key, record
}

func generate(tb testing.TB, g apikey.Grant) (string, apikey.Record) {
	tb.Helper()
	key, record, err := apikey.Generate(g)
	if err != nil {
		tb.Fatal(err)
	}
	return key.Reveal(), record
}

func newGate(tb testing.TB, cfg auth.Config, more ...auth.Authenticator) *auth.Gate {
	tb.Helper()
	cfg.Authenticators = append(cfg.Authenticators, more...)
	g, err := auth.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

// request is a GET with these headers: name, value, name, value.
func request(header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "https://api.example.com/orders", http.NoBody)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func withKey(key string) *http.Request { return request("X-Api-Key", key) }

func bearer(token string) *http.Request { return request("Authorization", "Bearer "+token) }

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

var whoami = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	subject := "-"
	if p, ok := principal.FromContext(r.Context()); ok {
		subject = p.Subject
	}
	_, _ = w.Write([]byte(subject))
})

func reason(err error) string {
	if e, ok := errors.AsType[*auth.Error](err); ok {
		return e.Reason
	}
	return ""
}

// edit puts c in the place of a character and mends the checksum: a key that is
// wrong and no typo.
func edit(key string, i int, c byte) string {
	b := []byte(key[:strings.LastIndexByte(key, '_')])
	b[i] = c
	return string(b) + "_" + apikey.Checksum(string(b))
}

// otherSecret is key with another secret.
func otherSecret(key string) string {
	i := len(prefix) + 1 + 16 + 1
	if key[i] == 'a' {
		return edit(key, i, 'b')
	}
	return edit(key, i, 'a')
}

// unknownID is key with another id.
func unknownID(key string) string {
	i := len(prefix) + 1
	if key[i] == 'a' {
		return edit(key, i, 'b')
	}
	return edit(key, i, 'a')
}

// typo is key with one character of the secret changed.
func typo(key string) string {
	b := []byte(key)
	i := len(b) - 20
	if b[i]++; b[i] == 'z'+1 || b[i] == '7'+1 {
		b[i] = 'a'
	}
	return string(b)
}

// A spy is a Store that counts, and does what a test wants in the place of the
// one that it wraps.
type spy struct {
	apikey.Store
	lookup func(ctx context.Context, id string) (apikey.Record, error)
	touch  func(ctx context.Context, id string, at time.Time) error

	mu      sync.Mutex
	lookups int
	touched map[string][]time.Time // also in vain
}

func (s *spy) Lookup(ctx context.Context, id string) (apikey.Record, error) {
	s.mu.Lock()
	s.lookups++
	s.mu.Unlock()
	if s.lookup != nil {
		return s.lookup(ctx, id)
	}
	return s.Store.Lookup(ctx, id)
}

func (s *spy) Touch(ctx context.Context, id string, at time.Time) error {
	s.mu.Lock()
	if s.touched == nil {
		s.touched = make(map[string][]time.Time)
	}
	s.touched[id] = append(s.touched[id], at)
	s.mu.Unlock()
	if s.touch != nil {
		return s.touch(ctx, id, at)
	}
	return s.Store.Touch(ctx, id, at)
}

// touches is how many writes there were of this key, of all for "".
func (s *spy) touches(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for key, all := range s.touched {
		if id == "" || key == id {
			n += len(all)
		}
	}
	return n
}

package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/authtest"
	"github.com/gatehouse-go/gatehouse/auth/principal"
)

// A cached is a Gate with a cache, and what it said last.
type cached struct {
	http.Handler
	said   decision.Decision
	proofs atomic.Int64 // of signature and claims: calls of Map
}

func newCached(tb testing.TB, cfg auth.JWTConfig) *cached {
	tb.Helper()
	c := new(cached)
	for i := range cfg.Issuers {
		cfg.Issuers[i].Map = func(json.RawMessage, *principal.Principal) error { c.proofs.Add(1); return nil }
	}
	if cfg.Cache == nil {
		cfg.Cache = &auth.TokenCache{}
	}
	j, err := auth.NewJWT(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = j.Close() })
	g := newGate(tb, auth.Config{Authenticators: []auth.Authenticator{j}, OnDecision: func(_ context.Context, d decision.Decision) { c.said = d }})
	c.Handler = g.Handler(whoami)
	return c
}

// try sends a token and wants a reason, "cached" and "admitted" apart.
func (c *cached) try(t *testing.T, token, want string) {
	t.Helper()
	serve(c, "Bearer "+token)
	got := c.said.Reason
	if c.said.Detail == "cached" {
		got = "cached"
	}
	if got != want {
		t.Errorf("reason = %q (%q), want %q", got, c.said.Detail, want)
	}
}

func TestCacheConfig(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		cache *auth.TokenCache
		want  string
	}{
		{&auth.TokenCache{Size: -1}, "auth: Cache.Size is -1, want 0 or more"},
		{&auth.TokenCache{TTL: -1}, "auth: Cache.TTL is -1ns, want 0 to 1m0s"},
		{&auth.TokenCache{TTL: time.Hour}, "auth: Cache.TTL is 1h0m0s, want 0 to 1m0s"},
	} {
		_, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{issuerOf(signerFor("ES256"))}, Cache: tt.cache})
		if err == nil || err.Error() != tt.want {
			t.Errorf("NewJWT = %v, want %s", err, tt.want)
		}
	}
}

func TestCacheIsOffByDefault(t *testing.T) {
	t.Parallel()
	s := signerFor("ES256")
	var said decision.Decision
	g := newGate(t, auth.Config{
		Authenticators: []auth.Authenticator{newJWT(t, issuerOf(s))},
		OnDecision:     func(_ context.Context, d decision.Decision) { said = d },
	})
	for range 2 {
		if serve(g.Handler(whoami), "Bearer "+s.token(t, goodClaims())); said.Reason != "admitted" || said.Detail != "" {
			t.Errorf("said %+v, want admitted", said)
		}
	}
}

// A token is remembered for as long as it is valid, TTL at most, and is another
// one if a single byte is another.
func TestCache(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := signerFor("ES256")
		c := newCached(t, auth.JWTConfig{Issuers: []auth.Issuer{issuerOf(s)}})
		now := time.Now().Unix()
		long, short := s.token(t, goodClaims()), s.token(t, goodClaims().with(object{"exp": now + 10, "sub": "bob"}))
		c.try(t, long, "admitted")
		c.try(t, long, "cached")
		c.try(t, short, "admitted")
		c.try(t, short, "cached")
		// Equal up to the last byte (CVE-2026-35030), and up to the signature.
		last := "AA"
		if strings.HasSuffix(long, last) {
			last = "AQ"
		}
		for _, other := range []string{long[:len(long)-2] + last, long[:strings.LastIndexByte(long, '.')+1] + strings.Repeat("A", 86)} {
			c.try(t, other, auth.ReasonSignature)
			c.try(t, other, auth.ReasonSignature) // what was refused is not remembered
		}
		c.try(t, long+"A", auth.ReasonSignature)
		c.try(t, long+"=", auth.ReasonMalformed)
		time.Sleep(39 * time.Second)
		c.try(t, short, "cached") // within the leeway
		c.try(t, long, "cached")
		time.Sleep(time.Second)
		c.try(t, short, auth.ReasonExpired)
		time.Sleep(20 * time.Second)
		c.try(t, long, "admitted") // after a minute
		c.try(t, long, "cached")
		if got := c.proofs.Load(); got != 3 {
			t.Errorf("%d proofs, want 3", got)
		}
	})
}

func TestCacheTTL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := signerFor("EdDSA")
		c := newCached(t, auth.JWTConfig{Issuers: []auth.Issuer{issuerOf(s)}, Cache: &auth.TokenCache{TTL: 5 * time.Second}})
		token := s.token(t, goodClaims())
		c.try(t, token, "admitted")
		time.Sleep(5*time.Second - 1)
		c.try(t, token, "cached")
		time.Sleep(time.Nanosecond)
		c.try(t, token, "admitted")
	})
}

// What may change from request to request is asked for each.
func TestCacheAsksAgain(t *testing.T) {
	t.Parallel()
	s := signerFor("RS256")
	l := new(list)
	var refusal error
	c := newCached(t, auth.JWTConfig{
		Issuers: []auth.Issuer{issuerOf(s)}, Revoked: l,
		Check: func(context.Context, *principal.Principal) error { return refusal },
	})
	token := s.token(t, goodClaims())
	c.try(t, token, "admitted")
	l.revoked = true
	c.try(t, token, auth.ReasonRevoked)
	l.revoked, l.err = false, errors.New("down")
	c.try(t, token, auth.ReasonUnavailable)
	l.err, refusal = nil, statusError(403)
	c.try(t, token, auth.ReasonScope)
	refusal = nil
	c.try(t, token, "cached")
	if len(l.asked) != 5 {
		t.Errorf("the list was asked %d times, want 5", len(l.asked))
	}
}

// A bound token that is remembered still needs its proof.
func TestCacheAsksForTheProof(t *testing.T) {
	t.Parallel()
	issuer, err := authtest.NewIssuer(authtest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer issuer.Close()
	d, err := auth.NewDPoP(auth.DPoPConfig{})
	if err != nil {
		t.Fatal(err)
	}
	c := newCached(t, auth.JWTConfig{
		Issuers: []auth.Issuer{{URL: issuer.URL(), Audience: []string{"api"}, Keys: auth.StaticJWKS(issuer.JWKS())}}, DPoP: d,
	})
	key := authtest.NewProofKey("ES256")
	token := issuer.Token(map[string]any{"cnf": key.Confirmation()})
	send := func(proof string) (int, string) {
		r := httptest.NewRequest(http.MethodGet, "https://api.example.com/orders", http.NoBody)
		r.Header.Set("Authorization", "DPoP "+token)
		if proof != "" {
			r.Header.Set("DPoP", proof)
		}
		w := httptest.NewRecorder()
		c.ServeHTTP(w, r)
		return w.Code, c.said.Detail
	}
	proof := key.Proof(http.MethodGet, "https://api.example.com/orders", token, nil)
	if status, detail := send(proof); status != 200 || detail != "" {
		t.Fatalf("first: status = %d, %q", status, detail)
	}
	if status, _ := send(proof); status != 401 || c.said.Reason != auth.ReasonReplay {
		t.Errorf("the same proof again: status = %d, reason %q, want dpop_replay", status, c.said.Reason)
	}
	if status, _ := send(""); status != 401 {
		t.Errorf("without a proof: status = %d, want 401", status)
	}
	if status, detail := send(key.Proof(http.MethodGet, "https://api.example.com/orders", token, nil)); status != 200 || detail != "cached" {
		t.Errorf("with a new proof: status = %d, %q, want it cached", status, detail)
	}
	c.try(t, token, auth.ReasonBinding)
}

// A key that is withdrawn takes the tokens along that it verified
// (CVE-2025-22149).
func TestCacheEndsWithItsKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		issuer, err := authtest.NewIssuer(authtest.Config{MaxAge: 5 * time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		defer issuer.Close()
		c := newCached(t, auth.JWTConfig{
			Issuers: []auth.Issuer{{URL: issuer.URL(), Audience: []string{"api"}}}, HTTPClient: issuer.Client(),
		})
		old := issuer.KeyID()
		token := issuer.Token(map[string]any{"exp": time.Now().Add(time.Hour).Unix()})
		c.try(t, token, "admitted")
		c.try(t, token, "cached")
		time.Sleep(4*time.Minute + 20*time.Second) // not due, but long enough to be forgotten
		c.try(t, token, "admitted")
		issuer.Rotate()
		issuer.Retire(old)
		time.Sleep(41 * time.Second) // remembered, and the keys are due
		c.try(t, token, auth.ReasonKey)
		// A new key, met by another token, ends it at once.
		token = issuer.Token(map[string]any{"exp": time.Now().Add(time.Hour).Unix()})
		c.try(t, token, "admitted")
		old = issuer.KeyID()
		issuer.Rotate()
		issuer.Retire(old)
		time.Sleep(11 * time.Second)
		c.try(t, token, "cached")
		c.try(t, issuer.Token(nil), "admitted")
		c.try(t, token, auth.ReasonKey)
	})
}

// Two issuers, one kid: what one vouches for is not remembered for the other
// (CVE-2025-59936).
func TestCacheKeepsIssuersApart(t *testing.T) {
	t.Parallel()
	s := signerFor("ES256")
	first, second := issuerOf(s), issuerOf(s)
	second.URL, second.Audience = "https://second.example", []string{"other"}
	one := newCached(t, auth.JWTConfig{Issuers: []auth.Issuer{first, second}})
	two := newCached(t, auth.JWTConfig{Issuers: []auth.Issuer{second}})
	token := s.token(t, goodClaims())
	one.try(t, token, "admitted")
	one.try(t, token, "cached")
	two.try(t, token, auth.ReasonIssuer)
}

// Many callers with one token at a time cost one proof.
func TestCacheSharesAProof(t *testing.T) {
	t.Parallel()
	s := signerFor("ES256")
	var proofs atomic.Int64
	iss := issuerOf(s)
	gate := make(chan struct{})
	iss.Map = func(json.RawMessage, *principal.Principal) error {
		proofs.Add(1)
		<-gate
		return nil
	}
	j, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{iss}, Cache: &auth.TokenCache{}})
	if err != nil {
		t.Fatal(err)
	}
	token := s.token(t, goodClaims())
	cancelled, cancel := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for range 50 {
		callers.Go(func() {
			if _, err := j.Verify(t.Context(), token); err != nil {
				t.Errorf("Verify = %v", err)
			}
		})
	}
	for proofs.Load() == 0 {
		runtime.Gosched()
	}
	cancel()
	if _, err := j.Verify(cancelled, token); reason(err) != auth.ReasonUnavailable {
		t.Errorf("Verify of a caller that gave up = %v, want unavailable", err)
	}
	close(gate)
	callers.Wait()
	if got := proofs.Load(); got != 1 {
		t.Errorf("%d proofs, want 1", got)
	}
}

// A flood of tokens that are used once neither evicts those in use nor grows
// memory: two generations of half the size.
func TestCacheIsBounded(t *testing.T) {
	s := signerFor("HS256")
	c := newCached(t, auth.JWTConfig{Issuers: []auth.Issuer{issuerOf(s)}, Cache: &auth.TokenCache{Size: 100}})
	hot := s.token(t, goodClaims())
	c.try(t, hot, "admitted")
	grown := func(n int) uint64 {
		for i := range n {
			c.try(t, s.token(t, goodClaims().with(object{"jti": fmt.Sprint(n, i), "x": strings.Repeat("x", 2000)})), "admitted")
			if i%20 == 0 {
				c.try(t, hot, "cached")
			}
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := grown(200)
	if after := grown(2000); after > before+1<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
}

// A panic of a user's function ends one request, not the token.
func TestCacheSurvivesAPanic(t *testing.T) {
	t.Parallel()
	s := signerFor("ES256")
	iss := issuerOf(s)
	fail := true
	iss.Map = func(json.RawMessage, *principal.Principal) error {
		if fail {
			panic("Map")
		}
		return nil
	}
	j, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{iss}, Cache: &auth.TokenCache{}})
	if err != nil {
		t.Fatal(err)
	}
	token := s.token(t, goodClaims())
	func() {
		defer func() { _ = recover() }()
		_, _ = j.Verify(t.Context(), token)
	}()
	fail = false
	check(t, j, token, "")
}

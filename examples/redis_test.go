package examples_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/principal"
	"github.com/gatehouse-go/gatehouse/examples/internal/trial"
)

// redisDo is what stores of this library take, as go-redis has it.
func redisDo(rdb *redis.Client) func(ctx context.Context, args ...any) (any, error) {
	return func(ctx context.Context, args ...any) (any, error) { return rdb.Do(ctx, args...).Result() }
}

// newRedis returns a client and a prefix that is nobody else's.
func newRedis(t *testing.T) (rdb *redis.Client, prefix string) {
	t.Helper()
	rdb = redis.NewClient(&redis.Options{Addr: trial.RedisAddr(t), ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb, "test-" + rand.Text() + ":"
}

// lives asserts that there is one key with the prefix, and for how long.
func lives(t *testing.T, rdb *redis.Client, prefix string, want time.Duration) {
	t.Helper()
	keys, err := rdb.Keys(t.Context(), prefix+"*").Result()
	if err != nil || len(keys) != 1 {
		t.Fatalf("keys %q, %v, want one", keys, err)
	}
	got, err := rdb.PTTL(t.Context(), keys[0]).Result()
	if err != nil || got > want+time.Second || got < want-time.Minute {
		t.Errorf("%s lives for %v, %v, want %v", keys[0], got, err, want)
	}
}

func TestRedisReplay(t *testing.T) {
	t.Parallel()
	rdb, prefix := newRedis(t)
	store, err := auth.NewRedisReplay(auth.RedisConfig{Do: redisDo(rdb), Prefix: prefix, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	use := func(owner, id string) bool {
		t.Helper()
		first, err := store.Use(t.Context(), owner, id, time.Now().Add(2*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		return first
	}
	if got := []bool{use("a", "1"), use("a", "1")}; !got[0] || got[1] {
		t.Errorf("first uses: %t, want true, false", got)
	}
	lives(t, rdb, prefix, 3*time.Minute)
	if got := []bool{use("b", "1"), use("a", "2"), use("b", "1")}; !got[0] || !got[1] || got[2] {
		t.Errorf("first uses of other names: %t, want true, true, false", got)
	}
	var first atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if ok, err := store.Use(t.Context(), "c", "1", time.Now().Add(time.Minute)); err != nil {
				t.Error(err)
			} else if ok {
				first.Add(1)
			}
		})
	}
	wg.Wait()
	if got := first.Load(); got != 1 {
		t.Errorf("%d of 32 were first, want one", got)
	}
}

// TestRedisDPoP sends one proof to two instances of a service.
func TestRedisDPoP(t *testing.T) {
	t.Parallel()
	rdb, prefix := newRedis(t)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	encoded := func(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
	x := encoded(public)
	ath, jkt := sha256.Sum256([]byte("the-token")), sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"`+x+`"}`))
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"jti": "1", "htm": "GET", "htu": "https://api.example.com/orders", "iat": time.Now().Unix(), "ath": encoded(ath[:]),
	})
	token.Header["typ"], token.Header["jwk"] = "dpop+jwt", map[string]string{"kty": "OKP", "crv": "Ed25519", "x": x}
	proof, err := token.SignedString(private)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", auth.ReasonReplay} {
		store, err := auth.NewRedisReplay(auth.RedisConfig{Do: redisDo(rdb), Prefix: prefix, Timeout: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		dpop, err := auth.NewDPoP(auth.DPoPConfig{Origin: "https://api.example.com", Replay: store})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodGet, "/orders", http.NoBody)
		r.Header.Set("DPoP", proof)
		got := ""
		if err := dpop.Check(r, "the-token", encoded(jkt[:])); err != nil {
			e, _ := errors.AsType[*auth.Error](err)
			got = e.Reason
		}
		if got != want {
			t.Errorf("instance %d: reason = %q, want %q", i, got, want)
		}
	}
}

func TestRedisRevocations(t *testing.T) {
	t.Parallel()
	rdb, prefix := newRedis(t)
	revocations, err := auth.NewRedisRevocations(auth.RedisConfig{Do: redisDo(rdb), Prefix: prefix, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	alice := &principal.Principal{Issuer: "https://id.example.com", Subject: "alice", TokenID: "1"}
	revoke := func(until time.Time) {
		t.Helper()
		if err := revocations.Revoke(t.Context(), alice.Issuer, alice.TokenID, until); err != nil {
			t.Fatal(err)
		}
	}
	revoked := func(p *principal.Principal) bool {
		t.Helper()
		got, err := revocations.Revoked(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if revoked(alice) {
		t.Error("revoked before anybody did")
	}
	const more = 6 * time.Minute // the leeway of a JWT, and that of clocks
	revoke(time.Now().Add(time.Hour))
	lives(t, rdb, prefix, time.Hour+more)
	revoke(time.Now().Add(-time.Hour))
	lives(t, rdb, prefix, time.Hour+more) // no shorter
	revoke(time.Now().Add(2 * time.Hour))
	lives(t, rdb, prefix, 2*time.Hour+more)
	if !revoked(alice) {
		t.Error("not revoked")
	}
	for _, p := range []*principal.Principal{
		{Issuer: "https://id.example.com", Subject: "alice", TokenID: "2"},
		{Issuer: "https://id.example.org", Subject: "alice", TokenID: "1"},
	} {
		if revoked(p) {
			t.Errorf("%s of %s is revoked", p.TokenID, p.Issuer)
		}
	}
	if err := revocations.Revoke(t.Context(), alice.Issuer, "3", time.Unix(253402300799, 0)); err != nil {
		t.Errorf("until the year 9999: %v", err)
	}
}

// TestRedisSilent: a Redis that takes connections and never answers is an
// error, in time.
func TestRedisSilent(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	rdb := redis.NewClient(&redis.Options{Addr: l.Addr().String(), ContextTimeoutEnabled: true})
	defer func() { _ = rdb.Close() }()
	store, err := auth.NewRedisReplay(auth.RedisConfig{Do: redisDo(rdb)})
	if err != nil {
		t.Fatal(err)
	}
	if first, err := store.Use(t.Context(), "a", "1", time.Now().Add(time.Minute)); first || err == nil {
		t.Errorf("Use = %t, %v, want an error", first, err)
	}
	alice := &principal.Principal{Issuer: "https://id.example.com", Subject: "alice", TokenID: "1"}
	revocations, err := auth.NewRedisRevocations(auth.RedisConfig{Do: redisDo(rdb)})
	if err != nil {
		t.Fatal(err)
	}
	if revoked, err := revocations.Revoked(t.Context(), alice); revoked || err == nil {
		t.Errorf("Revoked = %t, %v, want an error", revoked, err)
	}
}

package auth_test

import (
	"context"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/auth"
)

// CVE-2024-51744: that a token expired is its issuer's word, so it is not said
// of one whose signature is wrong. One fault has one reason.
func TestExpiredAndForged(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
		s := signerFor(alg)
		j := newJWT(t, issuerOf(s))
		expired := s.token(t, goodClaims().with(object{"exp": time.Now().Unix() - 3600}))
		check(t, j, expired, auth.ReasonExpired)
		last := strings.LastIndexByte(expired, '.') + 1
		check(t, j, expired[:last]+strings.Repeat("A", len(expired)-last), auth.ReasonSignature)
	}
}

// Whoever has an ES256 token can write its signature in another way. What was
// revoked is the token, not its bytes.
func TestRevokedTokenSignedAnotherWay(t *testing.T) {
	t.Parallel()
	s := signerFor("ES256")
	revocations, err := auth.NewRevocations(auth.RevocationsConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for _, cache := range []*auth.TokenCache{nil, {}} {
		j, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{issuerOf(s)}, Revoked: revocations, Cache: cache})
		if err != nil {
			t.Fatal(err)
		}
		jti := map[bool]string{true: "cached", false: "plain"}[cache != nil]
		good := s.token(t, goodClaims().with(object{"jti": jti}))
		i := strings.LastIndexByte(good, '.') + 1
		sig, err := base64.RawURLEncoding.DecodeString(good[i:])
		if err != nil {
			t.Fatal(err)
		}
		half := new(big.Int).SetBytes(sig[32:])
		half.Sub(p256Key().Params().N, half).FillBytes(sig[32:])
		other := good[:i] + b64(string(sig))
		p := check(t, j, good, "")
		check(t, j, other, "")
		if err := revocations.Revoke(t.Context(), p.Issuer, p.TokenID, p.ExpiresAt); err != nil {
			t.Fatal(err)
		}
		check(t, j, good, auth.ReasonRevoked)
		check(t, j, other, auth.ReasonRevoked)
	}
}

// CVE-2021-32701: what a token may do is judged for each route, also of a token
// that is remembered.
func TestScopesAreJudgedAfterTheCache(t *testing.T) {
	t.Parallel()
	s := signerFor("ES256")
	j, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{issuerOf(s)}, Cache: &auth.TokenCache{}})
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	g := newGate(t, auth.Config{Authenticators: []auth.Authenticator{j}, OnDecision: func(_ context.Context, d decision.Decision) {
		said = append(said, strings.TrimSpace(d.Reason+" "+d.Detail))
	}})
	token := "Bearer " + s.token(t, goodClaims().with(object{"scope": "orders:read"}))
	read, write := g.Handler(g.RequireScope("orders:read")(whoami)), g.Handler(g.RequireScope("orders:write")(whoami))
	for range 2 {
		if got := serve(read, token).Code; got != 200 {
			t.Errorf("reading: status = %d, want 200", got)
		}
		if got := serve(write, token).Code; got != 403 {
			t.Errorf("writing: status = %d, want 403", got)
		}
	}
	if got, want := strings.Join(said, ", "), `admitted, granted, admitted cached, scope lacks "orders:write", admitted cached, granted, admitted cached, scope lacks "orders:write"`; got != want {
		t.Errorf("decisions: %s\nwant: %s", got, want)
	}
}

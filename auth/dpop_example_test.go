package auth_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/principal"
)

// These stand for the client: its key, and the proof that it makes of each
// request (RFC 9449 section 4.2).
var clientKey = ed25519.NewKeyFromSeed([]byte("the seed of a client, 32 bytes !"))

func clientJWK() map[string]string {
	return map[string]string{"kty": "OKP", "crv": "Ed25519", "x": base64.RawURLEncoding.EncodeToString(clientKey.Public().(ed25519.PublicKey))}
}

func clientProof(id, method, url, token string) string {
	ath := sha256.Sum256([]byte(token))
	proof := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"jti": id, "htm": method, "htu": url, "iat": time.Now().Unix(), "ath": base64.RawURLEncoding.EncodeToString(ath[:]),
	})
	proof.Header["typ"], proof.Header["jwk"] = "dpop+jwt", clientJWK()
	signed, err := proof.SignedString(clientKey)
	if err != nil {
		panic(err)
	}
	return signed
}

// clientCNF is the cnf claim of the client's tokens.
func clientCNF() json.RawMessage {
	jwk, err := json.Marshal(clientJWK())
	if err != nil {
		panic(err)
	}
	jkt := sha256.Sum256(jwk)
	return json.RawMessage(`{"jkt":"` + base64.RawURLEncoding.EncodeToString(jkt[:]) + `"}`)
}

func ExampleBinding() {
	dpop, err := auth.NewDPoP(auth.DPoPConfig{Origin: "https://api.example.com"})
	if err != nil {
		panic(err)
	}
	binding := auth.Binding{DPoP: dpop}

	// An Authenticator verifies the token, which has the claim cnf, and then:
	check := func(r *http.Request, cnf json.RawMessage) {
		scheme, token, err := auth.BearerToken(r)
		if err == nil {
			err = binding.Check(r, scheme, token, cnf)
		}
		fmt.Println(scheme, err)
	}

	request := func(scheme, proof string) *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/orders", http.NoBody)
		r.Header.Set("Authorization", scheme+" the-token")
		r.Header.Set("DPoP", proof)
		return r
	}
	proof := clientProof("1", "GET", "https://api.example.com/orders", "the-token")
	check(request("DPoP", proof), clientCNF())
	check(request("DPoP", proof), clientCNF())   // somebody repeats it
	check(request("Bearer", proof), clientCNF()) // or has the token alone
	check(request("DPoP", clientProof("2", "POST", "https://api.example.com/orders", "the-token")), clientCNF())
	// Output:
	// DPoP <nil>
	// DPoP auth: dpop_replay: the proof was used before
	// Bearer auth: binding: the token wants a DPoP proof, and the scheme is not DPoP
	// DPoP auth: dpop: htm is not the method of the request
}

// Without Origin the name in Host counts, which is the sender's to choose. A
// server that a client trusts with its token, and which is not this one, could
// pass the client's proof on.
func ExampleNewDPoP_incorrect() {
	check := func(cfg auth.DPoPConfig) {
		dpop, err := auth.NewDPoP(cfg)
		if err != nil {
			panic(err)
		}
		r := httptest.NewRequest(http.MethodGet, "https://partner.example/orders", http.NoBody)
		r.Header.Set("Authorization", "DPoP the-token")
		r.Header.Set("DPoP", clientProof("1", "GET", "https://partner.example/orders", "the-token"))
		fmt.Println(auth.Binding{DPoP: dpop}.Check(r, "DPoP", "the-token", clientCNF()))
	}
	check(auth.DPoPConfig{}) // and nothing in front that refuses foreign hosts
	check(auth.DPoPConfig{Origin: "https://api.example.com"})
	// Output:
	// <nil>
	// auth: dpop: htu is not the URL of the request
}

func ExampleNewDPoP() {
	_, err := auth.NewDPoP(auth.DPoPConfig{
		Origin:     "http://api.example.com",
		MaxAge:     time.Hour,
		Algorithms: []string{"HS256"},
	})
	fmt.Println(err)
	// Output:
	// auth: Origin is "http://api.example.com", want https
	// auth: MaxAge is 1h0m0s, want 0 to 5m0s
	// auth: Algorithms has HS256, want algorithms with a public key
}

func ExampleRevocations() {
	revocations, err := auth.NewRevocations(auth.RevocationsConfig{})
	if err != nil {
		panic(err)
	}
	p := &principal.Principal{Issuer: "https://id.example.com", Subject: "alice", TokenID: "token-1", ExpiresAt: time.Now().Add(time.Hour)}

	// In the handler that logs out, or where a webhook of the issuer arrives:
	ctx := context.Background()
	if err := revocations.Revoke(ctx, p.Issuer, p.TokenID, p.ExpiresAt); err != nil {
		panic(err)
	}

	fmt.Println(revocations.Revoked(ctx, p))
	// Output:
	// true <nil>
}

func ExampleNewRedisReplay() {
	var rdb fakeRedis
	replay, err := auth.NewRedisReplay(auth.RedisConfig{
		Do:     rdb.do, // a closure over go-redis' rdb.Do(ctx, args...).Result()
		Prefix: "orders:",
	})
	if err != nil {
		panic(err)
	}
	dpop, err := auth.NewDPoP(auth.DPoPConfig{Origin: "https://api.example.com", Replay: replay})
	fmt.Println(dpop != nil, err)
	// Output:
	// true <nil>
}

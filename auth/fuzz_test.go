package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"testing"

	"github.com/gatehouse-go/gatehouse/auth"
)

// FuzzToken: whatever Gate admits, golang-jwt with every check admits too, and
// reads the same caller. The token is tried as it is, and header and payload
// under a right signature.
func FuzzToken(f *testing.F) {
	s := signerFor("HS256")
	g := newGate(f, auth.Config{Authenticators: []auth.Authenticator{newJWT(f, issuerOf(s))}})
	r := newRival(s)
	claims := object{"iss": issuerURL, "sub": "alice", "aud": service, "exp": 4102444800}
	header := `{"alg":"HS256","typ":"JWT"}`
	good := s.token(f, claims)
	f.Add(good, header, claims.json(f))
	f.Add(good+"=", `{"alg":"HS256","crit":["x"],"x":1}`, claims.with(object{"exp": nil, "EXP": 4102444800}).json(f))
	f.Add(good+"\r\n", `{"alg":"none"}`, claims.with(object{"nbf": 1e300, "iat": 1.5}).json(f))
	f.Add("..", `{"alg":"HS256","alg":"none"}`, `{"exp":1,`+claims.json(f)[1:])
	f.Add("", `{"\u0061lg":"HS256"}`, claims.with(object{"aud": []string{"x", service}, "act": object{"sub": "a"}, "cnf": object{}}).json(f))
	f.Add(good[:len(good)-1], `null`, `{"sub":"\ud800"}`)
	f.Fuzz(func(t *testing.T, token, header, payload string) {
		for _, token := range []string{token, encode(t, s, header, payload)} {
			p, err := admits(g, token)
			if (p == nil) != (err != nil) {
				t.Fatalf("Authenticate = %v, %v, want one of both", p, err)
			}
			if err != nil {
				if reason(err) == auth.ReasonUnavailable || reason(err) == "" {
					t.Errorf("reason = %q (%v), want the token's fault", reason(err), err)
				}
				continue
			}
			if err := r.check(token, p); err != nil {
				t.Errorf("Gate admits what golang-jwt does not: %v\n%s", err, token)
			}
		}
	})
}

// FuzzJWKS: a document that is accepted holds a key, and every key that is for
// signatures is public, strong and on its curve, by another way of looking.
func FuzzJWKS(f *testing.F) {
	for _, keys := range [][]object{
		{jwkOf(f, edKey.Public(), object{"kid": "a"})},
		{jwkOf(f, &p256Key().PublicKey, object{"kid": "a", "alg": "ES256"}), jwkOf(f, &rsaKey().PublicKey, object{"kid": "b", "use": "sig"})},
		{jwkOf(f, &p521Key().PublicKey, object{"key_ops": []string{"verify"}}), {"kty": "new"}},
		{jwkOf(f, &p256Key().PublicKey, object{}), jwkOf(f, &rsaKey().PublicKey, object{})},
		{{"kty": "oct", "k": b64(secret64)}},
		{jwkOf(f, edKey.Public(), object{"d": "AA"})},
		{jwkOf(f, &rsaKey().PublicKey, object{"e": "AQ"})},
	} {
		f.Add(jwks(f, keys...))
	}
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		_, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{{
			URL: issuerURL, Audience: []string{service}, Keys: auth.StaticJWKS(document),
		}}})
		if err != nil {
			return
		}
		var set struct {
			Keys []map[string]json.RawMessage `json:"keys"`
		}
		if err := json.Unmarshal(document, &set); err != nil {
			t.Fatalf("accepted what is not a JWKS: %v", err)
		}
		usable := 0
		kids := make(map[string]bool)
		for _, jwk := range set.Keys {
			member := func(name string) (s string) {
				_ = json.Unmarshal(jwk[name], &s)
				return s
			}
			number := func(name string) []byte {
				b, err := base64.RawURLEncoding.DecodeString(member(name))
				if err != nil {
					t.Fatalf("accepted a %s that is not base64url", name)
				}
				return b
			}
			kty, crv := member("kty"), member("crv")
			if kty == "oct" {
				t.Fatal("accepted a secret")
			}
			known := kty == "RSA" || kty == "EC" && (crv == "P-256" || crv == "P-384" || crv == "P-521") || kty == "OKP" && crv == "Ed25519"
			if known && jwk["d"] != nil {
				t.Fatal("accepted a private key")
			}
			if !known || member("use") == "enc" {
				continue
			}
			usable++
			kid := member("kid")
			if kid != "" && kids[kid] { // those without one differ by what they fit
				t.Fatalf("accepted kid %q twice", kid)
			}
			kids[kid] = true
			var key crypto.PublicKey
			switch kty {
			case "RSA":
				k := &rsa.PublicKey{N: new(big.Int).SetBytes(number("n")), E: int(new(big.Int).SetBytes(number("e")).Int64())}
				if bits := k.N.BitLen(); bits < 2048 || bits > 8192 || k.E < 3 || k.E&1 == 0 {
					t.Fatalf("accepted RSA with %d bits and exponent %d", bits, k.E)
				}
				key = k
			case "EC":
				curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[crv]
				k, err := ecdsa.ParseUncompressedPublicKey(curve, append(append([]byte{4}, number("x")...), number("y")...))
				if err != nil {
					t.Fatalf("accepted a point off %s", crv)
				}
				key = k
			case "OKP":
				key = ed25519.PublicKey(number("x"))
			}
			// Alone it passes as a key in Go, too.
			if _, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{{
				URL: issuerURL, Audience: []string{service}, Keys: auth.PublicKeys(map[string]crypto.PublicKey{"": key}),
			}}}); err != nil {
				t.Fatalf("accepted in a JWKS what PublicKeys refuses: %v", err)
			}
		}
		if usable == 0 {
			t.Fatal("accepted a JWKS without a key to verify with")
		}
	})
}

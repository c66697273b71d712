package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

const (
	issuer  = "https://id.example.com"
	service = "https://api.example.com"
	caller  = "6f1c7e9a-52a1-4a4e-8b5c-1f6f1f0f4d3e"
	kid     = "2026-11"
)

// The rows, by the token that is sent.
const (
	admitted       = "admitted"
	malformed      = "malformed"
	wrongAlgorithm = "wrong algorithm"
	unknownIssuer  = "unknown issuer"
	expired        = "expired"
	forged         = "forged"
	noToken        = "no token"
	withoutExp     = "a token without exp"
)

var algNames = []string{"HS256", "RS256", "ES256", "EdDSA"} //nolint:gochecknoglobals // immutable

var rows = []string{admitted, malformed, wrongAlgorithm, unknownIssuer, expired, forged} //nolint:gochecknoglobals // immutable

// unmeasured are only asked.
var unmeasured = []string{noToken, withoutExp} //nolint:gochecknoglobals // immutable

// An algorithm is one with a key, and what is signed with it.
type algorithm struct {
	name   string
	public any    // nil: secret
	secret []byte // of HS256
	jwks   []byte // the public key
	tokens map[string]string

	// bare checks the signature of the good token and does nothing else: it is
	// the cheapest way with the standard library, and gets everything decoded.
	bare func() bool
}

func newAlgorithm(name string) (*algorithm, error) {
	alg := &algorithm{name: name}
	private, err := alg.generate()
	if err != nil {
		return nil, err
	}
	if alg.public != nil {
		if alg.jwks, err = keySet(name, alg.public); err != nil {
			return nil, err
		}
	}
	if err := alg.sign(private); err != nil {
		return nil, err
	}
	return alg, alg.setBare()
}

// generate makes a key pair, or a secret, and returns what to sign with.
func (alg *algorithm) generate() (any, error) {
	switch alg.name {
	case "HS256":
		alg.secret = make([]byte, 32)
		_, err := rand.Read(alg.secret)
		return alg.secret, err
	case "RS256":
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, err
		}
		alg.public = &k.PublicKey
		return k, nil
	case "ES256":
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		alg.public = &k.PublicKey
		return k, nil
	case "EdDSA":
		public, private, err := ed25519.GenerateKey(rand.Reader)
		alg.public = public
		return private, err
	}
	return nil, fmt.Errorf("unknown algorithm %q", alg.name)
}

// keySet returns the JWK Set with one public key.
func keySet(alg string, public any) ([]byte, error) {
	jwk, err := jwkset.NewJWKFromKey(public, jwkset.JWKOptions{
		Metadata: jwkset.JWKMetadataOptions{ALG: jwkset.ALG(alg), KID: kid, USE: jwkset.UseSig},
	})
	if err != nil {
		return nil, err
	}
	store := jwkset.NewMemoryStorage()
	if err := store.KeyWrite(context.Background(), jwk); err != nil {
		return nil, err
	}
	return store.JSONPublic(context.Background())
}

// sign makes the token of each row. All but the malformed one are signed with
// the right key, but for a bit of the forged one, so that every contestant has
// to see what is wrong.
func (alg *algorithm) sign(private any) error {
	now := time.Now()
	claims := func(edit func(jwt.MapClaims)) jwt.MapClaims {
		c := jwt.MapClaims{
			"iss": issuer, "sub": caller, "aud": service, "jti": "f3b1c2d4e5a60718", "client_id": "web",
			"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(), "scope": "orders:read orders:write",
		}
		edit(c)
		return c
	}
	good := claims(func(jwt.MapClaims) {})
	other, otherKey := jwt.SigningMethod(jwt.SigningMethodHS256), any(alg.jwks) // the public key as a secret: RFC 8725 section 2.1
	if alg.public == nil {
		_, k, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		other, otherKey = jwt.SigningMethodEdDSA, k
	}
	method := jwt.GetSigningMethod(alg.name)
	alg.tokens = map[string]string{noToken: "", malformed: "not.a.token"}
	for _, t := range []struct {
		row    string
		method jwt.SigningMethod
		key    any
		claims jwt.MapClaims
	}{
		{admitted, method, private, good},
		{wrongAlgorithm, other, otherKey, good},
		{unknownIssuer, method, private, claims(func(c jwt.MapClaims) { c["iss"] = "https://id.example.org" })},
		{expired, method, private, claims(func(c jwt.MapClaims) { c["exp"] = now.Add(-time.Hour).Unix() })},
		{withoutExp, method, private, claims(func(c jwt.MapClaims) { delete(c, "exp") })},
	} {
		token := jwt.NewWithClaims(t.method, t.claims)
		if alg.public != nil {
			token.Header["kid"] = kid
		}
		signed, err := token.SignedString(t.key)
		if err != nil {
			return err
		}
		alg.tokens[t.row] = signed
	}
	signed, signature, err := alg.parts()
	if err != nil {
		return err
	}
	// Neither end: there a change might make a number that is out of range,
	// which is refused without any arithmetic.
	signature[len(signature)/2+8] ^= 1
	alg.tokens[forged] = signed + "." + base64.RawURLEncoding.EncodeToString(signature)
	return nil
}

// parts returns what is signed in the good token, and its signature.
func (alg *algorithm) parts() (signed string, signature []byte, err error) {
	token := alg.tokens[admitted]
	dot := strings.LastIndexByte(token, '.')
	signature, err = base64.RawURLEncoding.DecodeString(token[dot+1:])
	return token[:dot], signature, err
}

func (alg *algorithm) setBare() error {
	text, signature, err := alg.parts()
	if err != nil {
		return err
	}
	signed := []byte(text)
	switch k := alg.public.(type) {
	case nil:
		mac := hmac.New(sha256.New, alg.secret)
		sum := make([]byte, 0, sha256.Size)
		alg.bare = func() bool {
			mac.Reset()
			_, _ = mac.Write(signed)
			return hmac.Equal(mac.Sum(sum), signature)
		}
	case *rsa.PublicKey:
		alg.bare = func() bool {
			digest := sha256.Sum256(signed)
			return rsa.VerifyPKCS1v15(k, crypto.SHA256, digest[:], signature) == nil
		}
	case *ecdsa.PublicKey:
		half := len(signature) / 2
		der, err := asn1.Marshal(struct{ R, S *big.Int }{
			new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:]),
		})
		if err != nil {
			return err
		}
		alg.bare = func() bool {
			digest := sha256.Sum256(signed)
			return ecdsa.VerifyASN1(k, digest[:], der)
		}
	case ed25519.PublicKey:
		alg.bare = func() bool { return ed25519.Verify(k, signed, signature) }
	}
	return nil
}

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
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/principal"
)

const (
	issuerURL = "https://id.example.com"
	service   = "orders"
	secret64  = "kX93jd02lsPqW8eRt5yUiOaZxCvBnM71-Tg6Yh4Jq0Lw2Fd8Sv5Bz3Nc9Xm7Kp1R"
)

// A signer is a key pair, or a secret, and what it signs with. The keys are
// the same in each run, so that a fuzz corpus keeps its meaning.
type signer struct {
	method  jwt.SigningMethod
	private any
	public  crypto.PublicKey // nil: private is a secret
}

func (s signer) source() auth.KeySource {
	if secret, ok := s.private.([]byte); ok {
		return auth.Secret(secret)
	}
	return auth.PublicKeys(map[string]crypto.PublicKey{"": s.public})
}

// verifyKey is what golang-jwt takes.
func (s signer) verifyKey() any {
	if s.public == nil {
		return s.private
	}
	return s.public
}

var (
	rsaKey  = sync.OnceValue(func() *rsa.PrivateKey { return readRSA("testdata/cookbook/jwk/3_4.rsa_private_key.json") })
	p256Key = sync.OnceValue(func() *ecdsa.PrivateKey { return ecKey(elliptic.P256(), 32) })
	p384Key = sync.OnceValue(func() *ecdsa.PrivateKey { return ecKey(elliptic.P384(), 48) })
	p521Key = sync.OnceValue(func() *ecdsa.PrivateKey { return ecKey(elliptic.P521(), 66) })
	edKey   = ed25519.NewKeyFromSeed([]byte("0123456789abcdef0123456789abcdef"))
)

func signerFor(alg string) signer {
	switch method := jwt.GetSigningMethod(alg); method {
	case jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512:
		return signer{method: method, private: []byte(secret64)}
	case jwt.SigningMethodES256:
		return signer{method, p256Key(), &p256Key().PublicKey}
	case jwt.SigningMethodES384:
		return signer{method, p384Key(), &p384Key().PublicKey}
	case jwt.SigningMethodES512:
		return signer{method, p521Key(), &p521Key().PublicKey}
	case jwt.SigningMethodEdDSA:
		return signer{method, edKey, edKey.Public()}
	default:
		return signer{method, rsaKey(), &rsaKey().PublicKey}
	}
}

func ecKey(curve elliptic.Curve, size int) *ecdsa.PrivateKey {
	d := make([]byte, size)
	for i := 1; i < size; i++ { // below the order of each curve
		d[i] = byte(i)
	}
	k, err := ecdsa.ParseRawPrivateKey(curve, d)
	if err != nil {
		panic(err)
	}
	return k
}

func readRSA(path string) *rsa.PrivateKey {
	doc, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	var jwk struct{ N, E, D, P, Q string }
	if err := json.Unmarshal(doc, &jwk); err != nil {
		panic(err)
	}
	number := func(s string) *big.Int {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			panic(err)
		}
		return new(big.Int).SetBytes(b)
	}
	k := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: number(jwk.N), E: int(number(jwk.E).Int64())},
		D:         number(jwk.D), Primes: []*big.Int{number(jwk.P), number(jwk.Q)},
	}
	k.Precompute()
	if err := k.Validate(); err != nil {
		panic(err)
	}
	return k
}

// object is a JSON object.
type object map[string]any

// with returns a copy of o with the members of edits; nil removes one.
func (o object) with(edits object) object {
	c := object{}
	for _, m := range []object{o, edits} {
		for name, value := range m {
			if c[name] = value; value == nil {
				delete(c, name)
			}
		}
	}
	return c
}

// null is a JSON null, where nil would remove the member.
var null = json.RawMessage("null")

func (o object) json(tb testing.TB) string {
	tb.Helper()
	b, err := json.Marshal(o)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// goodClaims are what a valid token says.
func goodClaims() object {
	now := time.Now().Unix()
	return object{
		"iss": issuerURL, "sub": "alice", "aud": service, "jti": "token-1", "client_id": "web",
		"iat": now, "nbf": now, "exp": now + 3600, "scope": "orders:read orders:write",
	}
}

// encode signs a token of exactly these bytes.
func encode(tb testing.TB, s signer, header, payload string) string {
	tb.Helper()
	signed := b64(header) + "." + b64(payload)
	return signed + "." + signature(tb, s, signed)
}

func signature(tb testing.TB, s signer, signed string) string {
	tb.Helper()
	sig, err := s.method.Sign(signed, s.private)
	if err != nil {
		tb.Fatal(err)
	}
	return b64(string(sig))
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// token signs claims with the header that goes with s.
func (s signer) token(tb testing.TB, claims object) string {
	tb.Helper()
	return encode(tb, s, object{"alg": s.method.Alg(), "typ": "JWT"}.json(tb), claims.json(tb))
}

func newJWT(tb testing.TB, issuers ...auth.Issuer) *auth.JWT {
	tb.Helper()
	j, err := auth.NewJWT(auth.JWTConfig{Issuers: issuers})
	if err != nil {
		tb.Fatal(err)
	}
	return j
}

// issuerOf is the usual Issuer with the key of s, for the algorithm of s.
func issuerOf(s signer) auth.Issuer {
	return auth.Issuer{
		URL: issuerURL, Audience: []string{service}, Keys: s.source(), Algorithms: []string{s.method.Alg()},
	}
}

func newGate(tb testing.TB, cfg auth.Config) *auth.Gate {
	tb.Helper()
	g, err := auth.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

// serve sends a GET with these Authorization headers through h.
func serve(h http.Handler, authorization ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "https://api.example.com/orders", http.NoBody)
	for _, a := range authorization {
		r.Header.Add("Authorization", a)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// whoami answers with the caller's subject, "-" for nobody.
var whoami = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	subject := "-"
	if p, ok := principal.FromContext(r.Context()); ok {
		subject = p.Subject
	}
	_, _ = w.Write([]byte(subject))
})

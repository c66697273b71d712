package authtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

// generators make private keys by the algorithm that they are for.
var generators = func() map[string]func() (crypto.Signer, error) { //nolint:gochecknoglobals // immutable
	rsaKey := func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) }
	on := func(c elliptic.Curve) func() (crypto.Signer, error) {
		return func() (crypto.Signer, error) { return ecdsa.GenerateKey(c, rand.Reader) }
	}
	return map[string]func() (crypto.Signer, error){
		"RS256": rsaKey, "RS384": rsaKey, "RS512": rsaKey, "PS256": rsaKey, "PS384": rsaKey, "PS512": rsaKey,
		"ES256": on(elliptic.P256()), "ES384": on(elliptic.P384()), "ES512": on(elliptic.P521()),
		"EdDSA": func() (crypto.Signer, error) {
			_, k, err := ed25519.GenerateKey(rand.Reader)
			return k, err
		},
	}
}()

// Algorithms returns the algorithms that an Issuer and a ProofKey may have.
func Algorithms() []string { return slices.Sorted(maps.Keys(generators)) }

// A keyPair signs by one algorithm. Its private key is inside of functions,
// where nothing prints it.
type keyPair struct {
	kid, alg string
	public   crypto.PublicKey
	private  func() crypto.Signer
}

// generate panics as crypto/rand does when the system has no randomness.
func generate(alg, kid string) *keyPair {
	private, err := generators[alg]()
	if err != nil {
		panic(fmt.Sprintf("authtest: generating a key: %v", err))
	}
	return &keyPair{kid: kid, alg: alg, public: private.Public(), private: func() crypto.Signer { return private }}
}

// sign returns the token of these bytes.
func (k *keyPair) sign(header, payload []byte) string {
	return k.signAs(k.alg, encode(header)+"."+encode(payload))
}

// signAs signs by any algorithm that the key fits.
func (k *keyPair) signAs(alg, signed string) string {
	signature, err := jwt.GetSigningMethod(alg).Sign(signed, k.private())
	if err != nil {
		panic(fmt.Sprintf("authtest: signing with %s: %v", alg, err))
	}
	return signed + "." + encode(signature)
}

// jwk returns the public key as a JWK (RFC 7518 section 6, RFC 8037 section 2)
// with the members that its thumbprint is made of.
func (k *keyPair) jwk() map[string]any {
	switch p := k.public.(type) {
	case *rsa.PublicKey:
		return map[string]any{"kty": "RSA", "n": encode(p.N.Bytes()), "e": encode(big.NewInt(int64(p.E)).Bytes())}
	case *ecdsa.PublicKey:
		point, err := p.Bytes()
		if err != nil {
			panic(fmt.Sprintf("authtest: a key that is no point: %v", err))
		}
		x, y := point[1:1+len(point)/2], point[1+len(point)/2:]
		return map[string]any{"kty": "EC", "crv": p.Params().Name, "x": encode(x), "y": encode(y)}
	default:
		return map[string]any{"kty": "OKP", "crv": "Ed25519", "x": encode(p.(ed25519.PublicKey))}
	}
}

// thumbprint is that of RFC 7638: encoding/json sorts members as it asks.
func (k *keyPair) thumbprint() string {
	sum := sha256.Sum256(marshal(k.jwk()))
	return encode(sum[:])
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// marshal panics where a test hands over what is no JSON.
func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("authtest: %v", err))
	}
	return b
}

// Sign returns a token of these claims and no others, signed by the Issuer's
// key. The header is alg, kid and typ at+jwt with these edits; nil removes a
// parameter. Whatever the header says, key and algorithm of the signature stay
// the Issuer's. It panics if a value is not JSON.
func (i *Issuer) Sign(header, claims map[string]any) string {
	k := i.signer()
	return k.sign(marshal(edited(k.header(), header)), marshal(claims))
}

// SignRaw returns a token of these bytes.
func (i *Issuer) SignRaw(header, payload []byte) string { return i.signer().sign(header, payload) }

func (k *keyPair) header() map[string]any {
	return map[string]any{"alg": k.alg, "kid": k.kid, "typ": "at+jwt"}
}

func (i *Issuer) signer() *keyPair {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.current
}

// KeyID returns the kid of the key that signs.
func (i *Issuer) KeyID() string { return i.signer().kid }

// Rotate makes a new key, publishes it, signs with it from now on, and returns
// its kid. The old keys stay published until they are retired. A service that
// fetched the keys less than 10 s ago does not look again yet: sleep, in a
// synctest bubble.
func (i *Issuer) Rotate() string {
	k := generate(i.algorithm, "")
	i.mu.Lock()
	defer i.mu.Unlock()
	i.made++
	k.kid = fmt.Sprintf("key-%d", i.made)
	i.published = append(i.published, k)
	i.current = k
	return k.kid
}

// Retire takes a key out of the JWKS. If it is the one that signs, it goes on
// signing: tokens of a key that nobody may trust any more. It panics if no key
// of that kid is published.
func (i *Issuer) Retire(kid string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := len(i.published)
	i.published = slices.DeleteFunc(i.published, func(k *keyPair) bool { return k.kid == kid })
	if len(i.published) == n {
		panic(fmt.Sprintf("authtest: Retire of %q, which is not published", kid))
	}
}

// JWKS returns the published keys as a JWK Set (RFC 7517).
func (i *Issuer) JWKS() []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	keys := make([]any, 0, len(i.published))
	for _, k := range i.published {
		keys = append(keys, edited(k.jwk(), map[string]any{"kid": k.kid, "alg": k.alg, "use": "sig"}))
	}
	return marshal(map[string]any{"keys": keys})
}

package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
)

// thumbprintOf is the SHA-256 thumbprint of a public key (RFC 7638, and RFC
// 8037 section 2 for Ed25519); "" if it is none that verifies here. It is that
// of the key, however its JWK was spelled: every value below is base64url or
// one of ours, so there is nothing to escape.
func thumbprintOf(key any) string {
	var doc string
	switch k := key.(type) {
	case *rsa.PublicKey:
		doc = `{"e":"` + strict.EncodeToString(big.NewInt(int64(k.E)).Bytes()) + `","kty":"RSA","n":"` + strict.EncodeToString(k.N.Bytes()) + `"}`
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			return ""
		}
		x, y := point[1:1+len(point)/2], point[1+len(point)/2:]
		doc = `{"crv":"` + k.Curve.Params().Name + `","kty":"EC","x":"` + strict.EncodeToString(x) + `","y":"` + strict.EncodeToString(y) + `"}`
	case ed25519.PublicKey:
		doc = `{"crv":"Ed25519","kty":"OKP","x":"` + strict.EncodeToString(k) + `"}`
	default:
		return ""
	}
	sum := sha256.Sum256([]byte(doc))
	return strict.EncodeToString(sum[:])
}

package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"sync"

	"github.com/golang-jwt/jwt/v5"
)

type verifier func(signed string, signature []byte) error

// verifier returns what checks signatures with the key value: golang-jwt's
// Verify, and where that spends more than it needs to the same call of the
// standard library. A test holds one against the other.
func (a *algorithm) verifier(value any) verifier {
	switch m := a.method.(type) {
	case *jwt.SigningMethodHMAC:
		if secret, ok := value.([]byte); ok {
			return hmacVerifier(m, secret)
		}
	case *jwt.SigningMethodECDSA:
		if public, ok := value.(*ecdsa.PublicKey); ok {
			return ecdsaVerifier(m, public)
		}
	case *jwt.SigningMethodRSA: // not PSS
		if public, ok := value.(*rsa.PublicKey); ok {
			return rsaVerifier(m, public)
		}
	case *jwt.SigningMethodEd25519:
		if public, ok := value.(ed25519.PublicKey); ok {
			return ed25519Verifier(public)
		}
	}
	return func(signed string, signature []byte) error { return a.method.Verify(signed, signature, value) }
}

// hmacVerifier does not make a new HMAC for each token, which costs more than
// its use.
func hmacVerifier(m *jwt.SigningMethodHMAC, secret []byte) verifier {
	type state struct {
		mac     hash.Hash
		in, out []byte
	}
	states := sync.Pool{New: func() any { return &state{mac: hmac.New(m.Hash.New, secret)} }}
	return func(signed string, signature []byte) error {
		s := states.Get().(*state) //nolint:forcetypeassert // nothing else is in it
		defer states.Put(s)
		s.mac.Reset()
		s.in = append(s.in[:0], signed...)
		s.mac.Write(s.in)
		s.out = s.mac.Sum(s.out[:0])
		if !hmac.Equal(s.out, signature) {
			return jwt.ErrSignatureInvalid
		}
		return nil
	}
}

// ecdsaVerifier does not make big numbers of a signature, of which
// crypto/ecdsa makes ASN.1 again.
func ecdsaVerifier(m *jwt.SigningMethodECDSA, public *ecdsa.PublicKey) verifier {
	return func(signed string, signature []byte) error {
		if len(signature) != 2*m.KeySize {
			return jwt.ErrECDSAVerification
		}
		var sum [sha512.Size]byte
		var der [144]byte // 2 * (66 + 3) + 3 at most
		if !ecdsa.VerifyASN1(public, sumOf(m.Hash, signed, &sum), appendECDSASignature(der[:0], signature)) {
			return jwt.ErrECDSAVerification
		}
		return nil
	}
}

// rsaVerifier does not copy the text to hash it.
func rsaVerifier(m *jwt.SigningMethodRSA, public *rsa.PublicKey) verifier {
	return func(signed string, signature []byte) error {
		var sum [sha512.Size]byte
		return rsa.VerifyPKCS1v15(public, m.Hash, sumOf(m.Hash, signed, &sum), signature)
	}
}

// ed25519Verifier does not copy the text to memory of its own.
func ed25519Verifier(public ed25519.PublicKey) verifier {
	return func(signed string, signature []byte) error {
		var room [maxSigned]byte
		if !ed25519.Verify(public, bytesOf(signed, &room), signature) {
			return jwt.ErrEd25519Verification
		}
		return nil
	}
}

// sumOf returns the digest of signed, for which sum has room.
func sumOf(h crypto.Hash, signed string, sum *[sha512.Size]byte) []byte {
	var room [maxSigned]byte
	switch h {
	case crypto.SHA256:
		short := sha256.Sum256(bytesOf(signed, &room))
		return append(sum[:0], short[:]...)
	case crypto.SHA384:
		short := sha512.Sum384(bytesOf(signed, &room))
		return append(sum[:0], short[:]...)
	default: // golang-jwt has no fourth one
		*sum = sha512.Sum512(bytesOf(signed, &room))
		return sum[:]
	}
}

// maxSigned is what nearly all tokens are shorter than.
const maxSigned = 1 << 10

// bytesOf copies s, to room if it is short enough.
func bytesOf(s string, room *[maxSigned]byte) []byte { return append(room[:0], s...) }

// appendECDSASignature appends a signature of RFC 7518 section 3.4, r and s of
// one length, as the Ecdsa-Sig-Value of RFC 3279 section 2.2.3, which
// crypto/ecdsa parses and checks.
func appendECDSASignature(der, signature []byte) []byte {
	r, s := unsigned(signature[:len(signature)/2]), unsigned(signature[len(signature)/2:])
	size := integerSize(r) + integerSize(s)
	der = append(der, 0x30)
	if size >= 0x80 {
		der = append(der, 0x81)
	}
	der = append(der, byte(size)) //nolint:gosec // 141 at most
	for _, n := range [...][]byte{r, s} {
		der = append(der, 0x02, byte(integerSize(n)-2)) //nolint:gosec // 67 at most
		if n[0] >= 0x80 {
			der = append(der, 0)
		}
		der = append(der, n...)
	}
	return der
}

// unsigned returns n without leading zeros, but for the last byte.
func unsigned(n []byte) []byte {
	if n = bytes.TrimLeft(n, "\x00"); len(n) == 0 {
		return []byte{0}
	}
	return n
}

func integerSize(n []byte) int {
	if n[0] >= 0x80 {
		return 3 + len(n)
	}
	return 2 + len(n)
}

package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"
)

// TestVerifiersAgreeWithGolangJWT: for signatures right and wrong, of the right
// length and of others, with numbers at every edge.
func TestVerifiersAgreeWithGolangJWT(t *testing.T) {
	t.Parallel()
	const text = "header.payload"
	for name, a := range algorithms {
		var private, public any
		switch {
		case isHMAC(a):
			private = bytes.Repeat([]byte("0123456789abcdef"), 4)
			public = private
		case name == "ES256" || name == "ES384" || name == "ES512":
			curve := map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()}[name]
			k, err := ecdsa.GenerateKey(curve, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			private, public = k, &k.PublicKey
		case name == "RS256" || name == "RS384" || name == "RS512":
			k, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				t.Fatal(err)
			}
			private, public = k, &k.PublicKey
		default:
			continue // golang-jwt's own
		}
		verify := a.verifier(public)
		for i := range 64 {
			good, err := a.method.Sign(text, private)
			if err != nil {
				t.Fatal(err)
			}
			half := len(good) / 2
			cases := [][]byte{good, nil, good[1:], append([]byte{0}, good...), append(slices.Clip(good), 0), make([]byte, len(good))}
			for _, edit := range []func(b []byte){
				func(b []byte) { b[i%len(b)] ^= 1 },
				func(b []byte) { clear(b[:half]) },
				func(b []byte) { clear(b[half:]) },
				func(b []byte) { copy(b, bytes.Repeat([]byte{0xff}, half)) },
				func(b []byte) { copy(b[half:], bytes.Repeat([]byte{0xff}, half)) },
				func(b []byte) { b[0], b[half] = 0, 0 },
				func(b []byte) { b[0], b[half] = 0x80, 0x7f },
			} {
				b := bytes.Clone(good)
				edit(b)
				cases = append(cases, b)
			}
			for _, sig := range cases {
				ours, theirs := verify(text, sig), a.method.Verify(text, sig, public)
				if (ours == nil) != (theirs == nil) {
					t.Fatalf("%s: %x: ours = %v, golang-jwt's = %v", name, sig, ours, theirs)
				}
			}
			if verify(text, good) != nil || verify("other.payload", good) == nil {
				t.Fatalf("%s: the good signature is not, or another is", name)
			}
		}
	}
}

// FuzzECDSASignature: what is made of a signature is what encoding/asn1 makes
// of its numbers.
func FuzzECDSASignature(f *testing.F) {
	f.Add(make([]byte, 64))
	f.Add(bytes.Repeat([]byte{0xff}, 132))
	f.Add(append(make([]byte, 47), 1, 0x80))
	f.Fuzz(func(t *testing.T, signature []byte) {
		if len(signature) < 2 || len(signature) > 132 {
			return
		}
		signature = signature[:len(signature)/2*2]
		half := len(signature) / 2
		want, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])})
		if err != nil {
			t.Fatal(err)
		}
		if got := appendECDSASignature(nil, signature); !bytes.Equal(got, want) {
			t.Errorf("got %x, want %x", got, want)
		}
	})
}

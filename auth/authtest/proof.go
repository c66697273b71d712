package authtest

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"strings"
	"time"
)

// A ProofKey is a client's key pair with which it proves, by DPoP (RFC 9449),
// that a token is its own. It is safe for concurrent use.
type ProofKey struct{ key *keyPair }

// NewProofKey makes a key pair for one of [Algorithms], ES256 if it is empty.
// It panics if it is another.
func NewProofKey(algorithm string) *ProofKey {
	if algorithm == "" {
		algorithm = "ES256"
	}
	if _, ok := generators[algorithm]; !ok {
		panic(fmt.Sprintf("authtest: NewProofKey for %q, want one of %q", algorithm, Algorithms()))
	}
	return &ProofKey{generate(algorithm, "")}
}

// Thumbprint returns the key's thumbprint (RFC 7638).
func (k *ProofKey) Thumbprint() string { return k.key.thumbprint() }

// JWK returns the public key, as it stands in the header of a proof.
func (k *ProofKey) JWK() map[string]any { return k.key.jwk() }

// Confirmation returns the claim cnf that binds a token to the key:
//
//	issuer.Token(map[string]any{"cnf": key.Confirmation()})
func (k *ProofKey) Confirmation() map[string]any {
	return map[string]any{"jkt": k.Thumbprint()}
}

// CertificateConfirmation returns the claim cnf that binds a token to a
// client's certificate (RFC 8705 section 3.1).
func CertificateConfirmation(cert *x509.Certificate) map[string]any {
	sum := sha256.Sum256(cert.Raw)
	return map[string]any{"x5t#S256": encode(sum[:])}
}

// Proof returns a DPoP proof for a request of that method to that URL with that
// access token, "" for none: htm, htu, iat, jti and ath, with these edits; nil
// removes a claim. A query and a fragment of the URL are left out, as RFC 9449
// section 4.2 wants it.
func (k *ProofKey) Proof(method, url, accessToken string, edits map[string]any) string {
	if i := strings.IndexAny(url, "?#"); i >= 0 {
		url = url[:i]
	}
	claims := map[string]any{"htm": method, "htu": url, "iat": time.Now().Unix(), "jti": rand.Text()}
	if accessToken != "" {
		sum := sha256.Sum256([]byte(accessToken))
		claims["ath"] = encode(sum[:])
	}
	return k.Sign(nil, edited(claims, edits))
}

// Sign returns a proof of these claims and no others. The header is typ
// dpop+jwt, alg and jwk with these edits; nil removes a parameter. Whatever the
// header says, key and algorithm of the signature stay the ProofKey's. It
// panics if a value is not JSON.
func (k *ProofKey) Sign(header, claims map[string]any) string {
	good := map[string]any{"typ": "dpop+jwt", "alg": k.key.alg, "jwk": k.key.jwk()}
	return k.SignRaw(marshal(edited(good, header)), marshal(claims))
}

// SignRaw returns a proof of these bytes.
func (k *ProofKey) SignRaw(header, payload []byte) string { return k.key.sign(header, payload) }

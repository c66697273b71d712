package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

const (
	minRSABits   = 2048
	maxRSABits   = 8192
	minHMACBytes = 32 // RFC 7518 section 3.2, for HS256
)

// An algorithm is a signature algorithm of RFC 7518 or RFC 8037 and the keys
// that it goes with.
type algorithm struct {
	name   string
	method jwt.SigningMethod
	fits   func(key any) bool
}

var algorithms = func() map[string]*algorithm { //nolint:gochecknoglobals // immutable
	isRSA := func(k any) bool { _, ok := k.(*rsa.PublicKey); return ok }
	isEC := func(c elliptic.Curve) func(any) bool {
		return func(k any) bool { p, ok := k.(*ecdsa.PublicKey); return ok && p.Curve == c }
	}
	isEd := func(k any) bool { _, ok := k.(ed25519.PublicKey); return ok }
	isSecret := func(n int) func(any) bool {
		return func(k any) bool { s, ok := k.([]byte); return ok && len(s) >= n }
	}
	// golang-jwt's own PS methods accept a salt of any length.
	pss := func(m *jwt.SigningMethodRSAPSS) jwt.SigningMethod {
		return &jwt.SigningMethodRSAPSS{
			SigningMethodRSA: m.SigningMethodRSA,
			VerifyOptions:    &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash},
		}
	}
	all := make(map[string]*algorithm)
	for _, a := range []algorithm{
		{method: jwt.SigningMethodRS256, fits: isRSA},
		{method: jwt.SigningMethodRS384, fits: isRSA},
		{method: jwt.SigningMethodRS512, fits: isRSA},
		{method: pss(jwt.SigningMethodPS256), fits: isRSA},
		{method: pss(jwt.SigningMethodPS384), fits: isRSA},
		{method: pss(jwt.SigningMethodPS512), fits: isRSA},
		{method: jwt.SigningMethodES256, fits: isEC(elliptic.P256())},
		{method: jwt.SigningMethodES384, fits: isEC(elliptic.P384())},
		{method: jwt.SigningMethodES512, fits: isEC(elliptic.P521())},
		{method: jwt.SigningMethodEdDSA, fits: isEd},
		{method: jwt.SigningMethodHS256, fits: isSecret(minHMACBytes)},
		{method: jwt.SigningMethodHS384, fits: isSecret(48)},
		{method: jwt.SigningMethodHS512, fits: isSecret(64)},
	} {
		a.name = a.method.Alg()
		all[a.name] = &a
	}
	return all
}()

// A key verifies signatures by one algorithm (RFC 8725 section 3.1).
type key struct {
	kid   string
	alg   *algorithm
	value any
}

// A rawKey is a key as its source has it.
type rawKey struct {
	kid   string
	alg   string // "": the source does not say
	value any
}

// A KeySource describes where an issuer's keys come from. Its zero value is an
// error in NewJWT. It owns nothing and prints no key.
type KeySource struct{ src *source }

type source struct {
	load   func() ([]rawKey, []error)
	secret bool
}

// PublicKeys are keys by their kid. The kid "" is for tokens without one. A
// value is an *rsa.PublicKey of 2048 to 8192 bits, an *ecdsa.PublicKey on
// P-256, P-384 or P-521, or an ed25519.PublicKey.
func PublicKeys(keys map[string]crypto.PublicKey) KeySource {
	keys = maps.Clone(keys)
	return KeySource{&source{load: func() (raws []rawKey, errs []error) {
		for _, kid := range slices.Sorted(maps.Keys(keys)) {
			if err := checkPublic(keys[kid]); err != nil {
				errs = append(errs, fmt.Errorf("Keys: key %.64q %w", kid, err))
				continue
			}
			raws = append(raws, rawKey{kid: kid, value: keys[kid]})
		}
		return raws, errs
	}}}
}

// PEM is one public key in PEM: a block of type "PUBLIC KEY" (PKIX),
// "RSA PUBLIC KEY" (PKCS #1) or "CERTIFICATE", whose dates are not looked at.
func PEM(kid string, block []byte) KeySource {
	block = bytes.Clone(block)
	return KeySource{&source{load: func() ([]rawKey, []error) {
		value, err := parsePEM(block)
		if err == nil {
			err = checkPublic(value)
		}
		if err != nil {
			return nil, []error{fmt.Errorf("Keys: PEM %w", err)}
		}
		return []rawKey{{kid: kid, value: value}}, nil
	}}}
}

// Secret is one HMAC key for tokens without kid, shared with the issuer: at
// least 32 random bytes. Whoever can verify with it can also sign; prefer a
// key pair.
func Secret(secret []byte) KeySource {
	secret = bytes.Clone(secret)
	return KeySource{&source{secret: true, load: func() ([]rawKey, []error) {
		if err := checkSecret(secret); err != nil {
			return nil, []error{fmt.Errorf("Keys: Secret %w", err)}
		}
		return []rawKey{{value: secret}}, nil
	}}}
}

// StaticJWKS is a JWK Set document (RFC 7517 section 5). Keys of an unknown
// type and keys for encryption are skipped; private and symmetric keys, weak
// and malformed ones, and a kid that occurs twice are errors.
func StaticJWKS(document []byte) KeySource {
	document = bytes.Clone(document)
	return KeySource{&source{load: func() ([]rawKey, []error) { return parseJWKS(document) }}}
}

// keys loads the source's keys and gives each its algorithm, one of allowed.
func (s KeySource) keys(allowed []string) ([]key, []error) {
	if s.src == nil {
		return nil, []error{errors.New("Keys is empty, want PublicKeys, PEM, StaticJWKS or Secret")}
	}
	raws, errs := s.src.load()
	for _, name := range allowed {
		a, ok := algorithms[name]
		switch {
		case !ok:
			errs = append(errs, fmt.Errorf("Algorithms has %q, want names such as %q", name, "ES256"))
		case isHMAC(a) != s.src.secret:
			errs = append(errs, fmt.Errorf("Algorithms has %s, which does not go with the kind of Keys", name))
		}
	}
	if len(errs) > 0 {
		return nil, errs
	}
	if len(allowed) == 0 {
		allowed = []string{"RS256", "ES256", "ES384", "ES512", "EdDSA"}
		if s.src.secret {
			allowed = []string{"HS256"}
		}
	}
	if len(raws) == 0 {
		return nil, []error{errors.New("Keys holds no key to verify with")}
	}
	keys := make([]key, 0, len(raws))
	for _, raw := range raws {
		var fitting []*algorithm
		for _, name := range allowed {
			if a := algorithms[name]; a.fits(raw.value) && (raw.alg == "" || raw.alg == name) {
				fitting = append(fitting, a)
			}
		}
		switch {
		case len(fitting) == 1:
			keys = append(keys, key{raw.kid, fitting[0], raw.value})
		case raw.alg != "":
			errs = append(errs, fmt.Errorf("Keys: key %.64q is for %.32q, which is not one of Algorithms or does not fit it", raw.kid, raw.alg))
		case len(fitting) == 0:
			errs = append(errs, fmt.Errorf("Keys: key %.64q fits none of Algorithms %v", raw.kid, allowed))
		default:
			errs = append(errs, fmt.Errorf("Keys: key %.64q fits more than one of Algorithms %v, want one algorithm for each key", raw.kid, allowed))
		}
	}
	return keys, errs
}

func isHMAC(a *algorithm) bool {
	_, ok := a.method.(*jwt.SigningMethodHMAC)
	return ok
}

func parsePEM(data []byte) (any, error) {
	block, rest := pem.Decode(data)
	if block == nil {
		return nil, errors.New("has no block, want PUBLIC KEY")
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("has data behind its first block, want one key")
	}
	switch block.Type {
	case "PUBLIC KEY":
		k, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, errors.New("is not a PKIX public key")
		}
		return k, nil
	case "RSA PUBLIC KEY":
		k, err := x509.ParsePKCS1PublicKey(block.Bytes)
		if err != nil {
			return nil, errors.New("is not a PKCS #1 public key")
		}
		return k, nil
	case "CERTIFICATE":
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("is not a certificate")
		}
		return c.PublicKey, nil
	}
	return nil, fmt.Errorf("is a %.32q, want PUBLIC KEY", block.Type)
}

// checkPublic refuses keys that are not fit to verify signatures.
func checkPublic(k any) error {
	switch k := k.(type) {
	case *rsa.PublicKey:
		if k == nil || k.N == nil {
			break
		}
		switch bits := k.N.BitLen(); {
		case bits < minRSABits || bits > maxRSABits:
			return fmt.Errorf("has %d bits, want %d to %d", bits, minRSABits, maxRSABits)
		case k.E < 3 || k.E%2 == 0:
			return fmt.Errorf("has the exponent %d, want an odd one from 3", k.E)
		case k.N.Bit(0) == 0:
			return errors.New("has an even modulus")
		}
		return nil
	case *ecdsa.PublicKey:
		if k == nil || k.Curve == nil || k.X == nil || k.Y == nil {
			break
		}
		switch k.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
		default:
			return errors.New("is on a curve other than P-256, P-384 and P-521")
		}
		if _, err := k.Bytes(); err != nil {
			return errors.New("is not a point on its curve")
		}
		return nil
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return fmt.Errorf("has %d bytes, want %d", len(k), ed25519.PublicKeySize)
		}
		return nil
	case *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey:
		return errors.New("is a private key, want the public one")
	}
	return fmt.Errorf("is a %T, want *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey", k)
}

// samples are parts of the secrets that stand in tutorials, generators and
// example configurations, in lower case.
var samples = []string{ //nolint:gochecknoglobals // immutable
	"your-256-bit-secret", "your-384-bit-secret", "your-512-bit-secret", // jwt.io until 2025
	"a-string-secret-at-least-256-bits-long", // jwt.io since
	"a-valid-string-secret-that-is-at-least",
	"changeme", "change-me", "change_me", "changethis", "change-this", "change_this", "replaceme", "replace-me", "replace_me",
	"your-secret", "your_secret", "yoursecret", "your-super-secret", "your_super_secret", "your-jwt-secret", "your_jwt_secret",
	"my-secret", "my_secret", "mysecret", "super-secret", "super_secret", "supersecret", "secret-key", "secret_key", "secretkey",
	"jwt-secret", "jwt_secret", "jwtsecret", "thisisasecret", "this-is-a-secret", "top-secret", "topsecret",
	"some-secret", "keyboard cat", "keyboardcat", "password", "passw0rd", "0123456789abcdef", "abcdefghijklmnop", "qwertyuiop",
	"\x03\x23\x35\x6b\x2b\x0f\xa5\xbc", "aym1sysppbydfgzld3umj1qz", // RFC 7515 appendix A.1, as bytes and as text
}

func checkSecret(s []byte) error {
	if len(s) < minHMACBytes {
		return fmt.Errorf("has %d bytes, want at least %d random ones", len(s), minHMACBytes)
	}
	lower := make([]byte, len(s)) // not bytes.ToLower, which repairs UTF-8
	for i, b := range s {
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		lower[i] = b
	}
	for _, sample := range samples {
		if bytes.Contains(lower, []byte(sample)) {
			return errors.New("is a well-known sample, want random bytes")
		}
	}
	distinct := make(map[byte]bool)
	for _, b := range s {
		distinct[b] = true
	}
	// 32 random bytes have 30 distinct values on average, and 32 random
	// hexadecimal digits 14 of 16.
	if len(distinct) < 8 || periodic(s) {
		return errors.New("repeats itself, want random bytes")
	}
	return nil
}

// periodic reports whether s is some shorter string over and over.
func periodic(s []byte) bool {
	for p := 1; p <= len(s)/2; p++ {
		if bytes.Equal(s[p:], s[:len(s)-p]) {
			return true
		}
	}
	return false
}

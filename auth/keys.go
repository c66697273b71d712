package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatehouse-go/gatehouse/internal/report"
	"github.com/gatehouse-go/gatehouse/internal/strictjson"
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

// A key verifies signatures by one algorithm (RFC 8725 section 3.1). Its value
// is inside verify, where nothing can print it: package fmt follows pointers
// when their verb does not fit.
type key struct {
	kid    string
	alg    string
	issuer string // "": any that shares the set
	verify verifier
}

func newKey(kid string, a *algorithm, value any) key {
	return key{kid: kid, alg: a.name, verify: a.verifier(value)}
}

// A rawKey is a key as its source has it.
type rawKey struct {
	kid    string
	alg    string // "": the source does not say
	issuer string // "": any that shares the source
	value  any
}

// A KeySource describes where an issuer's keys come from. Its zero value is
// discovery: the issuer's metadata says where its JWK Set is. It owns nothing
// and prints no key.
type KeySource struct{ src *source }

// A source has load, for keys that are at hand, or url, for those that are not.
type source struct {
	load   func() ([]rawKey, []error)
	url    string
	secret bool
}

// remote reports whether the keys have to be fetched.
func (s KeySource) remote() bool { return s.src == nil || s.src.load == nil }

// JWKS is a JWK Set (RFC 7517 section 5) at a fixed place, an https URL. It is
// fetched when the first token needs it, and kept up to date; see [JWT].
func JWKS(url string) KeySource { return KeySource{&source{url: url}} }

// PublicKeys are keys by their kid. The kid "" is for tokens without one. A
// value is an *rsa.PublicKey of 2048 to 8192 bits, an *ecdsa.PublicKey on
// P-256, P-384 or P-521, or an ed25519.PublicKey.
func PublicKeys(keys map[string]crypto.PublicKey) KeySource {
	var raws []rawKey
	var errs []error
	for _, kid := range slices.Sorted(maps.Keys(keys)) {
		value, err := checkPublic(keys[kid])
		if err != nil {
			errs = append(errs, fmt.Errorf("key %.64q %w", kid, err))
			continue
		}
		raws = append(raws, rawKey{kid: kid, value: value})
	}
	return KeySource{&source{load: func() ([]rawKey, []error) { return raws, errs }}}
}

// PEM is one public key in PEM: a block of type "PUBLIC KEY" (PKIX),
// "RSA PUBLIC KEY" (PKCS #1) or "CERTIFICATE", whose dates are not looked at.
func PEM(kid string, block []byte) KeySource {
	block = bytes.Clone(block)
	return KeySource{&source{load: func() ([]rawKey, []error) {
		value, err := parsePEM(block)
		if err == nil {
			value, err = checkPublic(value)
		}
		if err != nil {
			return nil, []error{fmt.Errorf("PEM %w", err)}
		}
		return []rawKey{{kid: kid, value: value}}, nil
	}}}
}

// Secret is one HMAC key for tokens without kid (one with a kid has no key
// here), shared with the issuer: at
// least 32 random bytes. Whoever can verify with it can also sign; prefer a
// key pair.
func Secret(secret []byte) KeySource {
	secret = bytes.Clone(secret)
	return KeySource{&source{secret: true, load: func() ([]rawKey, []error) {
		if err := checkSecret(secret); err != nil {
			return nil, []error{fmt.Errorf("secret %w", err)}
		}
		return []rawKey{{value: secret}}, nil
	}}}
}

// StaticJWKS is a JWK Set document (RFC 7517 section 5). Keys of an unknown
// type and keys for encryption are skipped; private and symmetric keys, weak
// and malformed ones, and a kid that occurs twice are errors.
func StaticJWKS(document []byte) KeySource {
	document = bytes.Clone(document)
	return KeySource{&source{load: func() ([]rawKey, []error) {
		set, err := parseJWKS(document)
		if err != nil {
			return nil, []error{err}
		}
		var raws []rawKey
		var errs []error
		for _, k := range set {
			if k.err == nil {
				raws = append(raws, k.rawKey)
			} else if !k.foreign {
				errs = append(errs, k.err)
			}
		}
		return raws, errs
	}}}
}

// canonical returns the names of algorithms with RFC 8037's name for the one
// that RFC 9864 calls Ed25519.
func canonical(names []string) []string {
	names = slices.Clone(names)
	for i, name := range names {
		if name == "Ed25519" {
			names[i] = "EdDSA"
		}
	}
	return names
}

// checkAlgorithms tells what is wrong with the names in an Issuer's Algorithms.
func (s KeySource) checkAlgorithms(names []string) (errs []error) {
	for i, name := range names {
		a, ok := algorithms[name]
		switch {
		case !ok:
			errs = append(errs, fmt.Errorf("has %.32q, want names such as %q", name, "ES256"))
		case slices.Contains(names[:i], name):
			errs = append(errs, fmt.Errorf("has %s again, want each once", name))
		case isHMAC(a) != (s.src != nil && s.src.secret):
			errs = append(errs, fmt.Errorf("has %s, which does not go with the kind of Keys", name))
		}
	}
	return errs
}

// keys loads the keys at hand and gives each its algorithm, one of allowed.
func (s KeySource) keys(allowed []string) (*keySet, []error) {
	raws, errs := s.src.load()
	if len(raws) == 0 && len(errs) == 0 {
		return nil, []error{errors.New("no key to verify with")}
	}
	set, faults := newKeySet(raws, allowed)
	return set, append(errs, faults...)
}

// A keySet is the keys of one issuer. It is immutable.
type keySet struct {
	named   map[string]*key
	unnamed []*key
}

// newKeySet gives each key its algorithm. It leaves out, and tells of, each
// that has none or more than one.
func newKeySet(raws []rawKey, allowed []string) (*keySet, []error) {
	set := &keySet{named: make(map[string]*key)}
	var errs []error
	all := make([]*algorithm, len(raws))
	of := make(map[string]*algorithm) // by thumbprint
	twice := make(map[string]bool)
	for i := range raws {
		a, err := raws[i].algorithm(allowed)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all[i] = a
		if t := thumbprintOf(raws[i].value); of[t] != nil && of[t] != a && t != "" {
			twice[t] = true
		} else {
			of[t] = a
		}
	}
	for i, raw := range raws {
		a := all[i]
		if a == nil {
			continue
		}
		if twice[thumbprintOf(raw.value)] {
			errs = append(errs, fmt.Errorf("key %.64q is there for two algorithms, want one for each key", raw.kid))
			continue
		}
		k := newKey(raw.kid, a, raw.value)
		k.issuer = raw.issuer
		if raw.kid != "" {
			set.named[raw.kid] = &k
			continue
		}
		if slices.ContainsFunc(set.unnamed, func(other *key) bool { return other.alg == k.alg }) {
			errs = append(errs, fmt.Errorf("two keys for %s without a kid, want a kid for each", k.alg))
		}
		set.unnamed = append(set.unnamed, &k)
	}
	return set, errs
}

func (s *keySet) size() int { return len(s.named) + len(s.unnamed) }

// algorithm returns the one algorithm of a key (RFC 8725 section 3.1): its own
// if its source names one, and otherwise the one of allowed that fits.
func (raw *rawKey) algorithm(allowed []string) (*algorithm, error) {
	if len(allowed) == 0 {
		if a := algorithms[raw.alg]; a != nil && !isHMAC(a) && a.fits(raw.value) {
			return a, nil
		}
		allowed = []string{"RS256", "ES256", "ES384", "ES512", "EdDSA"}
		if _, secret := raw.value.([]byte); secret {
			allowed = []string{"HS256"}
		}
	}
	var fitting []*algorithm
	for _, name := range allowed {
		if a := algorithms[name]; a.fits(raw.value) && (raw.alg == "" || raw.alg == name) {
			fitting = append(fitting, a)
		}
	}
	switch {
	case len(fitting) == 1:
		return fitting[0], nil
	case raw.alg != "":
		return nil, fmt.Errorf("key %.64q is for %.32q, which is not one of Algorithms or does not fit it", raw.kid, raw.alg)
	case len(fitting) == 0:
		return nil, fmt.Errorf("key %.64q fits none of Algorithms %v", raw.kid, allowed)
	}
	return nil, fmt.Errorf("key %.64q fits more than one of Algorithms %v, want one algorithm for each key", raw.kid, allowed)
}

// What is wrong with a header that means no key of a set. With errNoKey a newer
// set may have it.
var (
	errNoKey          error = report.Cause("the issuer has no such key")
	errAmbiguous      error = report.Cause("no kid, and more than one key that fits")
	errOtherAlgorithm error = report.Cause("alg is not the key's")
)

// refuseKey makes an *Error of these.
func refuseKey(err error) *Error {
	if errors.Is(err, errOtherAlgorithm) {
		return invalid(ReasonAlgorithm, err)
	}
	return invalid(ReasonKey, err)
}

// find returns the one key that the header may mean: the key of its kid, or
// without a kid the only key that fits, of those without a kid if there are
// any.
func (s *keySet) find(h header) (*key, error) {
	if h.kid != "" {
		k := s.named[h.kid]
		switch {
		case k == nil:
			return nil, errNoKey
		case k.alg != h.alg:
			return nil, errOtherAlgorithm
		}
		return k, nil
	}
	var found *key
	n := 0
	consider := func(k *key) {
		if k.alg == h.alg {
			found = k
			n++
		}
	}
	for _, k := range s.unnamed {
		consider(k)
	}
	if len(s.unnamed) == 0 {
		for _, k := range s.named {
			consider(k)
		}
	}
	switch {
	case n == 1:
		return found, nil
	case n == 0 && s.size() == 1 || n == 0 && len(s.unnamed) > 0:
		return nil, errOtherAlgorithm
	case n == 0:
		return nil, errNoKey
	}
	return nil, errAmbiguous
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

// checkPublic refuses keys that are not fit to verify signatures, and returns
// a copy of the others.
func checkPublic(k any) (any, error) {
	switch k := k.(type) {
	case *rsa.PublicKey:
		if k != nil && k.N != nil {
			return checkRSA(k)
		}
	case *ecdsa.PublicKey:
		if k != nil && k.Curve != nil {
			return checkECDSA(k)
		}
	case ed25519.PublicKey:
		return checkEd25519(k)
	case *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey:
		return nil, errors.New("is a private key, want the public one")
	}
	return nil, fmt.Errorf("is an empty key or a %T, want *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey", k)
}

func checkRSA(k *rsa.PublicKey) (any, error) {
	switch bits := k.N.BitLen(); {
	case bits < minRSABits || bits > maxRSABits:
		return nil, fmt.Errorf("has %d bits, want %d to %d", bits, minRSABits, maxRSABits)
	case k.N.Sign() < 0 || k.N.Bit(0) == 0:
		return nil, errors.New("has a modulus that is even or negative")
	case k.E < 3 || k.E > math.MaxInt32 || k.E%2 == 0:
		return nil, fmt.Errorf("has the exponent %d, want an odd one from 3 to 2^31-1", k.E)
	case isROCA(k.N):
		return nil, errors.New("was generated by a library whose keys can be factored (ROCA, CVE-2017-15361)")
	}
	return &rsa.PublicKey{N: new(big.Int).Set(k.N), E: k.E}, nil
}

// isROCA reports whether a modulus has the fingerprint of CVE-2017-15361:
// modulo each small prime it is a power of 65537, as one modulus in 2^27 is by
// chance (Nemec et al., "The Return of Coppersmith's Attack", section 2.2).
func isROCA(n *big.Int) bool {
	for _, p := range [...]int64{
		3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83,
		89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
	} {
		rest := new(big.Int).Mod(n, big.NewInt(p)).Int64()
		power := int64(1)
		for power != rest {
			if power = power * 65537 % p; power == 1 {
				return false
			}
		}
	}
	return true
}

func checkECDSA(k *ecdsa.PublicKey) (_ any, err error) {
	switch k.Curve {
	case elliptic.P256(), elliptic.P384(), elliptic.P521():
	default:
		return nil, errors.New("is on a curve other than P-256, P-384 and P-521")
	}
	defer func() {
		if recover() != nil { // of Bytes, when a coordinate is nil
			err = errors.New("has no coordinates")
		}
	}()
	point, err := k.Bytes()
	if err != nil {
		return nil, errors.New("is not a point on its curve")
	}
	return ecdsa.ParseUncompressedPublicKey(k.Curve, point)
}

// checkEd25519 also refuses the points of small order, 32 zero bytes among
// them: a signature that fits such a key can be made without any private key.
func checkEd25519(k ed25519.PublicKey) (any, error) {
	if len(k) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("has %d bytes, want %d", len(k), ed25519.PublicKeySize)
	}
	// The curve is y²-x² = 1+dx²y² over the integers modulo 2²⁵⁵-19 (RFC 8032
	// section 5.1), and a key is y, the lowest byte first, with the sign of x
	// in the highest bit.
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	d := new(big.Int).ModInverse(big.NewInt(121666), p)
	d.Mod(d.Mul(d, big.NewInt(-121665)), p)
	number := slices.Clone(k)
	slices.Reverse(number)
	number[0] &= 0x7f
	y := new(big.Int).SetBytes(number)
	y2 := new(big.Int).Mul(y, y)
	num := new(big.Int).Sub(y2, big.NewInt(1))
	den := new(big.Int).Mul(y2, d)
	den.Add(den, big.NewInt(1))
	// x² = num/den, which has a root if num·den has.
	if y.Cmp(p) >= 0 || big.Jacobi(new(big.Int).Mod(new(big.Int).Mul(num, den), p), p) < 0 {
		return nil, errors.New("is not a point on its curve")
	}
	// y = 0 and y² = 1 are the points of order 1, 2 and 4. Twice a point of
	// order 8 has y = 0, so that one has x² = -y² and dy⁴+2y² = 1.
	eight := new(big.Int).Mul(d, y2)
	eight.Sub(eight.Mul(eight.Add(eight, big.NewInt(2)), y2), big.NewInt(1))
	eight.Mul(eight, num).Mul(eight, y)
	if eight.Mod(eight, p).Sign() == 0 {
		return nil, errors.New("is a point of small order, want one that was generated")
	}
	return slices.Clone(k), nil
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
	"\x84\x9b\x77\x21\x9d\xae\x68\xde", "hjtxiz2usn5kbqfbttnwbpdm", // RFC 7520 section 3.5
	"09d25e094faa6ca2556c818166b7a956",                                 // FastAPI's documentation
	"404e635266556a586e327235753878", "5367566b59703373367639792f423f", // tutorials for Spring
	"django-insecure", "insecure", "quick brown fox", "correct horse battery", "lorem ipsum", "hello world", "secretsecret",
}

func checkSecret(s []byte) error {
	if len(s) < minHMACBytes {
		return fmt.Errorf("has %d bytes, want at least %d random ones", len(s), minHMACBytes)
	}
	// Who generates 32 random bytes may hand them over as text; who copies a
	// sample may have encoded it.
	forms := [][]byte{s}
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString,
		base64.URLEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	} {
		if decoded, err := decode(string(bytes.TrimSpace(s))); err == nil {
			forms = append(forms, decoded)
		}
	}
	for _, form := range forms {
		if isSample(form) {
			return errors.New("is a well-known sample, want random bytes")
		}
		if repetitive(form) {
			return errors.New("repeats itself, want random bytes")
		}
	}
	if isKeyDocument(s) {
		return errors.New("is a public key or a key's document, want random bytes")
	}
	return nil
}

func isSample(s []byte) bool {
	lower := make([]byte, len(s)) // not bytes.ToLower, which repairs UTF-8
	for i, b := range s {
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		lower[i] = b
	}
	return slices.ContainsFunc(samples, func(sample string) bool { return bytes.Contains(lower, []byte(sample)) })
}

// repetitive reports whether s has few different bytes, is some shorter string
// over and over, or counts. 32 random bytes have 30 distinct values on average,
// and 32 random hexadecimal digits 14 of 16.
func repetitive(s []byte) bool {
	distinct := make(map[byte]bool)
	counts := true
	for i, b := range s {
		distinct[b] = true
		counts = counts && (i == 0 || b-s[i-1] == s[1]-s[0])
	}
	return len(distinct) < 8 || counts || periodic(s)
}

// isKeyDocument reports whether s is PEM, PKIX, PKCS #1 or a JWK: what the
// private part of a key pair is verified with is known to everybody.
func isKeyDocument(s []byte) bool {
	_, pkix := x509.ParsePKIXPublicKey(s)
	_, pkcs1 := x509.ParsePKCS1PublicKey(s)
	_, jwk := strictjson.Members(s)
	return bytes.Contains(s, []byte("-----BEGIN ")) || pkix == nil || pkcs1 == nil || jwk == nil
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

package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/gatehouse-go/gatehouse/internal/strictjson"
)

const maxJWKSKeys = 100

// A setKey is a key of a JWK Set, or why it is of no use.
type setKey struct {
	rawKey
	err     error
	foreign bool // not for us, and no mistake either
}

// parseJWKS takes a JWK Set (RFC 7517 section 5) apart. The error is the
// document's own.
func parseJWKS(document []byte) ([]setKey, error) {
	var set strictjson.Object
	if err := set.Parse(document); err != nil {
		return nil, fmt.Errorf("JWKS: %w", err)
	}
	var docs []json.RawMessage
	if json.Unmarshal(set.Get("keys"), &docs) != nil || docs == nil {
		return nil, errors.New(`JWKS has no array "keys"`)
	}
	if len(docs) > maxJWKSKeys {
		return nil, fmt.Errorf("JWKS has %d keys, want at most %d", len(docs), maxJWKSKeys)
	}
	keys := make([]setKey, len(docs))
	count := make(map[string]int)
	for i, doc := range docs {
		var k setKey
		k.rawKey, k.err = parseJWK(doc)
		if k.err != nil {
			k.foreign = errors.Is(k.err, errForeign)
			k.err = fmt.Errorf("JWKS key %d %w", i, k.err)
		}
		count[k.kid]++
		keys[i] = k
	}
	// Of two keys with one kid neither is the one that a token means, also if
	// one of them is of no use. The fault is told once.
	for i := range keys {
		k := &keys[i]
		if k.kid == "" || count[k.kid] < 2 {
			continue
		}
		told := slices.ContainsFunc(keys[:i], func(other setKey) bool { return other.kid == k.kid })
		k.err, k.foreign = fmt.Errorf("JWKS has kid %.64q twice", k.kid), told
	}
	return keys, nil
}

// errForeign is of a key that is not for verifying signatures, or of a kind
// that nobody here knows.
var errForeign = errors.New("is not for verifying signatures, or of an unknown kind")

// jwkNames are the members that are read, or that no public key has.
var jwkNames = []string{ //nolint:gochecknoglobals // immutable
	"kty", "use", "key_ops", "alg", "kid", "crv", "x", "y", "n", "e", "d", "p", "q", "dp", "dq", "qi", "oth", "k", "issuer",
}

// parseJWK decodes a public key (RFC 7517 section 4). With an error the rawKey
// has the kid, if that could be read.
func parseJWK(doc []byte) (rawKey, error) {
	var raw rawKey
	o := new(strictjson.Object)
	if err := o.Parse(doc); err != nil {
		return raw, fmt.Errorf("is malformed: %w", err)
	}
	var err error
	if raw.kid, err = o.OptionalText("kid"); err != nil {
		return raw, err
	}
	if err := o.Exact(jwkNames); err != nil {
		return raw, fmt.Errorf("is malformed: %w", err)
	}
	kty, err := o.Text("kty")
	if err != nil {
		return raw, err
	}
	switch kty {
	case "oct":
		return raw, errors.New("is symmetric, want public keys only")
	case "RSA", "EC", "OKP":
	default:
		return raw, errForeign
	}
	// RFC 7518 sections 6.2.2 and 6.3.2, and RFC 8037 section 2.
	for _, private := range [...]string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		if o.Has(private) {
			return raw, errors.New("has private members, want public keys only")
		}
	}
	use, err := o.OptionalText("use")
	switch {
	case err != nil:
		return raw, err
	case use == "enc":
		return raw, errForeign
	case use != "" && use != "sig":
		return raw, fmt.Errorf("has use %.32q, want sig", use)
	}
	if o.Has("key_ops") {
		ops, err := o.List("key_ops")
		if err != nil {
			return raw, err
		}
		if !slices.Contains(ops, "verify") {
			return raw, fmt.Errorf("has key_ops %.64q, want verify", ops[:min(len(ops), 8)])
		}
	}
	if raw.alg, err = o.OptionalText("alg"); err != nil {
		return raw, err
	}
	if raw.alg == "Ed25519" {
		raw.alg = "EdDSA"
	}
	// Entra ID publishes the keys of all its tenants together, and says of which
	// issuer each is, with {tenantid} where it is of any.
	if raw.issuer, err = o.OptionalText("issuer"); err != nil {
		return raw, err
	}
	if strings.Contains(raw.issuer, tenantVariable) {
		raw.issuer = ""
	}
	switch kty {
	case "RSA":
		raw.value, err = jwkRSA(o)
	case "EC":
		raw.value, err = jwkEC(o)
	case "OKP":
		raw.value, err = jwkOKP(o)
	}
	if err == nil {
		raw.value, err = checkPublic(raw.value)
	}
	return raw, err
}

// octets returns a member in base64url.
func octets(o *strictjson.Object, name string) ([]byte, error) {
	s, err := o.Text(name)
	if err != nil {
		return nil, err
	}
	b, err := strict.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("has a %s that is not base64url", name)
	}
	return b, nil
}

func jwkRSA(o *strictjson.Object) (any, error) {
	n, err := octets(o, "n")
	if err != nil {
		return nil, err
	}
	e, err := octets(o, "e")
	if err != nil {
		return nil, err
	}
	exponent := new(big.Int).SetBytes(e)
	if !exponent.IsInt64() || exponent.Int64() > 1<<31-1 {
		return nil, errors.New("has an exponent beyond 31 bits")
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}, nil
}

func jwkEC(o *strictjson.Object) (any, error) {
	crv, err := o.Text("crv")
	if err != nil {
		return nil, err
	}
	curve, ok := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[crv]
	if !ok {
		return nil, errForeign
	}
	x, err := octets(o, "x")
	if err != nil {
		return nil, err
	}
	y, err := octets(o, "y")
	if err != nil {
		return nil, err
	}
	size := (curve.Params().BitSize + 7) / 8
	if len(x) != size || len(y) != size {
		return nil, fmt.Errorf("has coordinates of %d and %d bytes, want %d", len(x), len(y), size)
	}
	k, err := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y))
	if err != nil {
		return nil, errors.New("is not a point on its curve")
	}
	return k, nil
}

func jwkOKP(o *strictjson.Object) (any, error) {
	crv, err := o.Text("crv")
	if err != nil {
		return nil, err
	}
	if crv != "Ed25519" {
		return nil, errForeign
	}
	x, err := octets(o, "x")
	if err != nil {
		return nil, err
	}
	return ed25519.PublicKey(x), nil
}

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

	"github.com/gatehouse-go/gatehouse/internal/strictjson"
)

const maxJWKSKeys = 100

// parseJWKS decodes a JWK Set (RFC 7517 section 5).
func parseJWKS(document []byte) (raws []rawKey, errs []error) {
	set, err := strictjson.Members(document)
	if err != nil {
		return nil, []error{fmt.Errorf("JWKS: %w", err)}
	}
	var jwks []json.RawMessage
	if json.Unmarshal([]byte(set["keys"]), &jwks) != nil || jwks == nil {
		return nil, []error{errors.New(`JWKS has no array "keys"`)}
	}
	if len(jwks) > maxJWKSKeys {
		return nil, []error{fmt.Errorf("JWKS has %d keys, want at most %d", len(jwks), maxJWKSKeys)}
	}
	seen := make(map[string]bool)
	for i, doc := range jwks {
		raw, err := parseJWK(doc)
		switch {
		case errors.Is(err, errSkip):
			continue
		case err != nil:
			errs = append(errs, fmt.Errorf("JWKS key %d %w", i, err))
			continue
		case seen[raw.kid]:
			errs = append(errs, fmt.Errorf("JWKS has kid %.64q twice", raw.kid))
		}
		seen[raw.kid] = true
		raws = append(raws, raw)
	}
	return raws, errs
}

// errSkip marks a key that is not for us, and no mistake either.
var errSkip = errors.New("auth: not a key to verify signatures with")

func parseJWK(doc []byte) (rawKey, error) {
	var raw rawKey
	m, err := strictjson.Members(doc)
	if err != nil {
		return raw, fmt.Errorf("is malformed: %w", err)
	}
	kty, err := text(m, "kty")
	if err != nil {
		return raw, err
	}
	switch kty {
	case "oct":
		return raw, errors.New("is symmetric, want public keys only")
	case "RSA", "EC", "OKP":
	default:
		return raw, errSkip
	}
	// RFC 7518 sections 6.2.2 and 6.3.2, and RFC 8037 section 2.
	for _, private := range [...]string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		if _, ok := m[private]; ok {
			return raw, errors.New("has private members, want public keys only")
		}
	}
	use, err := optionalText(m, "use")
	switch {
	case err != nil:
		return raw, err
	case use == "enc":
		return raw, errSkip
	case use != "" && use != "sig":
		return raw, fmt.Errorf("has use %.32q, want sig", use)
	}
	if _, ok := m["key_ops"]; ok {
		ops, err := list(m, "key_ops")
		if err != nil {
			return raw, err
		}
		if !slices.Contains(ops, "verify") {
			return raw, fmt.Errorf("has key_ops %.64q, want verify", ops)
		}
	}
	if raw.kid, err = optionalText(m, "kid"); err != nil {
		return raw, err
	}
	if raw.alg, err = optionalText(m, "alg"); err != nil {
		return raw, err
	}
	if raw.alg == "Ed25519" {
		raw.alg = "EdDSA"
	}
	switch kty {
	case "RSA":
		raw.value, err = jwkRSA(m)
	case "EC":
		raw.value, err = jwkEC(m)
	case "OKP":
		raw.value, err = jwkOKP(m)
	}
	if err == nil {
		raw.value, err = checkPublic(raw.value)
	}
	return raw, err
}

// octets returns a member in base64url.
func octets(m map[string]json.RawMessage, name string) ([]byte, error) {
	s, err := text(m, name)
	if err != nil {
		return nil, err
	}
	b, err := strict.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("has a %s that is not base64url", name)
	}
	return b, nil
}

func jwkRSA(m map[string]json.RawMessage) (any, error) {
	n, err := octets(m, "n")
	if err != nil {
		return nil, err
	}
	e, err := octets(m, "e")
	if err != nil {
		return nil, err
	}
	exponent := new(big.Int).SetBytes(e)
	if !exponent.IsInt64() || exponent.Int64() > 1<<31-1 {
		return nil, errors.New("has an exponent beyond 31 bits")
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}, nil
}

func jwkEC(m map[string]json.RawMessage) (any, error) {
	crv, err := text(m, "crv")
	if err != nil {
		return nil, err
	}
	curve, ok := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[crv]
	if !ok {
		return nil, errSkip
	}
	x, err := octets(m, "x")
	if err != nil {
		return nil, err
	}
	y, err := octets(m, "y")
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

func jwkOKP(m map[string]json.RawMessage) (any, error) {
	crv, err := text(m, "crv")
	if err != nil {
		return nil, err
	}
	if crv != "Ed25519" {
		return nil, errSkip
	}
	x, err := octets(m, "x")
	if err != nil {
		return nil, err
	}
	return ed25519.PublicKey(x), nil
}

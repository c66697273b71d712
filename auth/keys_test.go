package auth_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/auth"
)

// jwkOf is the JWK of a public key (RFC 7518 section 6, RFC 8037 section 2).
func jwkOf(tb testing.TB, key crypto.PublicKey, edits object) object {
	tb.Helper()
	switch k := key.(type) {
	case *rsa.PublicKey:
		e := binary.BigEndian.AppendUint32(nil, uint32(k.E))
		return object{"kty": "RSA", "n": b64(string(k.N.Bytes())), "e": b64(string(new(big.Int).SetBytes(e).Bytes()))}.with(edits)
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			tb.Fatal(err)
		}
		size := len(point) / 2
		return object{"kty": "EC", "crv": k.Params().Name, "x": b64(string(point[1 : 1+size])), "y": b64(string(point[1+size:]))}.with(edits)
	case ed25519.PublicKey:
		return object{"kty": "OKP", "crv": "Ed25519", "x": b64(string(k))}.with(edits)
	}
	tb.Fatalf("no JWK for a %T", key)
	return nil
}

func jwks(tb testing.TB, keys ...object) []byte {
	tb.Helper()
	return []byte(object{"keys": keys}.json(tb))
}

// A keyCase is a KeySource and what NewJWT has to say about it, "" for nothing.
type keyCase struct {
	name       string
	keys       auth.KeySource
	algorithms []string
	want       string
}

func (tt keyCase) run(t *testing.T) {
	t.Helper()
	_, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{{
		URL: issuerURL, Audience: []string{service}, Keys: tt.keys, Algorithms: tt.algorithms,
	}}})
	if got := fmt.Sprint(err); tt.want == "" && err != nil || tt.want != "" && got != "auth: Issuers[0].Keys: "+tt.want {
		t.Errorf("NewJWT = %s\nwant %q", got, tt.want)
	}
}

func runKeyCases(t *testing.T, cases []keyCase) {
	t.Helper()
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.run(t)
		})
	}
}

func TestPublicKeys(t *testing.T) {
	t.Parallel()
	one := func(k crypto.PublicKey) auth.KeySource { return auth.PublicKeys(map[string]crypto.PublicKey{"k": k}) }
	n := rsaKey().N
	bits := func(n int) *big.Int { // an odd number of n bits
		return new(big.Int).SetBit(big.NewInt(1), n-1, 1)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := p256Key().PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	x, y := new(big.Int).SetBytes(point[1:33]), new(big.Int).SetBytes(point[33:])
	runKeyCases(t, []keyCase{
		{"RSA", one(&rsaKey().PublicKey), nil, ""},
		{"P-256", one(&p256Key().PublicKey), nil, ""},
		{"P-384", one(&p384Key().PublicKey), nil, ""},
		{"P-521", one(&p521Key().PublicKey), nil, ""},
		{"Ed25519", one(edKey.Public()), nil, ""},
		{"RSA for PS256", one(&rsaKey().PublicKey), []string{"PS256", "ES256"}, ""},

		{"no map", auth.PublicKeys(nil), nil, "no key to verify with"},
		{"nil", one(nil), nil, `key "k" is an empty key or a <nil>, want *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey`},
		{"nil RSA", one((*rsa.PublicKey)(nil)), nil, `key "k" is an empty key or a *rsa.PublicKey, want *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey`},
		{"empty RSA", one(&rsa.PublicKey{}), nil, `key "k" is an empty key or a *rsa.PublicKey, want *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey`},
		{"RSA by value", one(rsaKey().PublicKey), nil, `key "k" is an empty key or a rsa.PublicKey, want *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey`},
		{"a secret", one([]byte(secret64)), nil, `key "k" is an empty key or a []uint8, want *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey`},
		{"private RSA", one(rsaKey()), nil, `key "k" is a private key, want the public one`},
		{"private ECDSA", one(p256Key()), nil, `key "k" is a private key, want the public one`},
		{"private Ed25519", one(edKey), nil, `key "k" is a private key, want the public one`},

		{"RSA of 512 bits", one(&rsa.PublicKey{N: bits(512), E: 65537}), nil, `key "k" has 512 bits, want 2048 to 8192`},
		{"RSA of 2047 bits", one(&rsa.PublicKey{N: bits(2047), E: 65537}), nil, `key "k" has 2047 bits, want 2048 to 8192`},
		{"RSA of 8193 bits", one(&rsa.PublicKey{N: bits(8193), E: 65537}), nil, `key "k" has 8193 bits, want 2048 to 8192`},
		{"RSA, exponent 0", one(&rsa.PublicKey{N: n}), nil, `key "k" has the exponent 0, want an odd one from 3 to 2^31-1`},
		{"RSA, exponent 1", one(&rsa.PublicKey{N: n, E: 1}), nil, `key "k" has the exponent 1, want an odd one from 3 to 2^31-1`},
		{"RSA, exponent 2", one(&rsa.PublicKey{N: n, E: 2}), nil, `key "k" has the exponent 2, want an odd one from 3 to 2^31-1`},
		{"RSA, exponent -3", one(&rsa.PublicKey{N: n, E: -3}), nil, `key "k" has the exponent -3, want an odd one from 3 to 2^31-1`},
		{"RSA, even exponent", one(&rsa.PublicKey{N: n, E: 65536}), nil, `key "k" has the exponent 65536, want an odd one from 3 to 2^31-1`},
		{"RSA, even modulus", one(&rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 2047), E: 3}), nil, `key "k" has a modulus that is even or negative`},
		{"RSA, negative modulus", one(&rsa.PublicKey{N: new(big.Int).Neg(n), E: 3}), nil, `key "k" has a modulus that is even or negative`},

		{"empty ECDSA", one(&ecdsa.PublicKey{}), nil, `key "k" is an empty key or a *ecdsa.PublicKey, want *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey`},
		{"ECDSA without coordinates", one(&ecdsa.PublicKey{Curve: elliptic.P256()}), nil, `key "k" has no coordinates`},
		{"ECDSA with one coordinate", one(ecPoint(elliptic.P256(), x, nil)), nil, `key "k" has no coordinates`},
		{"ECDSA at infinity", one(ecPoint(elliptic.P256(), new(big.Int), new(big.Int))), nil, `key "k" is not a point on its curve`},
		{"ECDSA off its curve", one(ecPoint(elliptic.P256(), x, x)), nil, `key "k" is not a point on its curve`},
		{"ECDSA on another curve", one(ecPoint(elliptic.P384(), x, y)), nil, `key "k" is not a point on its curve`},
		{"ECDSA, negative coordinate", one(ecPoint(elliptic.P256(), new(big.Int).Neg(x), y)), nil, `key "k" is not a point on its curve`},
		{"ECDSA on P-224", one(&p224.PublicKey), nil, `key "k" is on a curve other than P-256, P-384 and P-521`},

		{"empty Ed25519", one(ed25519.PublicKey{}), nil, `key "k" has 0 bytes, want 32`},
		{"long Ed25519", one(make(ed25519.PublicKey, 64)), nil, `key "k" has 64 bytes, want 32`},
		{"zero Ed25519", one(make(ed25519.PublicKey, 32)), nil, `key "k" is a point of small order, want one that was generated`},
		{"Ed25519 off its curve", one(append(ed25519.PublicKey{2}, make([]byte, 31)...)), nil, `key "k" is not a point on its curve`},
		{"Ed25519 beyond the field", one(ed25519.PublicKey(bytes.Repeat([]byte{0xff}, 32))), nil, `key "k" is not a point on its curve`},

		{"no algorithm that fits", one(edKey.Public()), []string{"RS256", "ES256"}, `key "k" fits none of Algorithms [RS256 ES256]`},
		{"P-384 for ES256", one(&p384Key().PublicKey), []string{"ES256"}, `key "k" fits none of Algorithms [ES256]`},
		{"two algorithms for one key", one(&rsaKey().PublicKey), []string{"RS256", "PS256"}, `key "k" fits more than one of Algorithms [RS256 PS256], want one algorithm for each key`},
	})
}

// ecPoint is a key that crypto/ecdsa would not make, through reflection because
// its coordinates are deprecated fields.
func ecPoint(curve elliptic.Curve, x, y *big.Int) *ecdsa.PublicKey {
	k := &ecdsa.PublicKey{Curve: curve}
	v := reflect.ValueOf(k).Elem()
	v.FieldByName("X").Set(reflect.ValueOf(x))
	v.FieldByName("Y").Set(reflect.ValueOf(y))
	return k
}

func TestPublicKeysReportsEveryKey(t *testing.T) {
	t.Parallel()
	keyCase{keys: auth.PublicKeys(map[string]crypto.PublicKey{
		"a": nil, "b": ed25519.PublicKey{}, "c": edKey.Public(), "d": &rsaKey().PublicKey, "e": edKey,
	}), algorithms: []string{"ES256"}, want: strings.Join([]string{
		`key "a" is an empty key or a <nil>, want *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey`,
		`key "b" has 0 bytes, want 32`,
		`key "e" is a private key, want the public one`,
		`key "c" fits none of Algorithms [ES256]`,
		`key "d" fits none of Algorithms [ES256]`,
	}, "\nauth: Issuers[0].Keys: ")}.run(t)
}

// The points of order 1, 2, 4 and 8, with either sign (RFC 7748 section 7, and
// "Taming the many EdDSAs", table 1). For the first, a signature of zeros and
// ones fits any message.
func TestEd25519OfSmallOrder(t *testing.T) {
	t.Parallel()
	for _, y := range []string{
		"0100000000000000000000000000000000000000000000000000000000000000",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"0000000000000000000000000000000000000000000000000000000000000000",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	} {
		k, err := hex.DecodeString(y)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			keyCase{
				keys: auth.StaticJWKS(jwks(t, jwkOf(t, ed25519.PublicKey(k), nil))),
				want: "JWKS key 0 is a point of small order, want one that was generated",
			}.run(t)
			k[31] ^= 0x80
		}
	}
	identity := append(ed25519.PublicKey{1}, make([]byte, 31)...)
	if !ed25519.Verify(identity, []byte("anything"), append(slices.Clone(identity), make([]byte, 32)...)) {
		t.Error("crypto/ed25519 refuses such a key by now: this check may go")
	}
	for i := range 64 { // honest keys pass
		seed := bytes.Repeat([]byte{byte(i)}, ed25519.SeedSize)
		keyCase{keys: auth.PublicKeys(map[string]crypto.PublicKey{"": ed25519.NewKeyFromSeed(seed).Public()})}.run(t)
	}
}

// A KeySource owns what it was given: changes afterwards count for nothing.
func TestKeySourcesCopy(t *testing.T) {
	t.Parallel()
	ed, hs, rs := signerFor("EdDSA"), signerFor("HS256"), signerFor("RS256")
	public := slices.Clone(edKey.Public().(ed25519.PublicKey))
	modulus := rsa.PublicKey{N: new(big.Int).Set(rsaKey().N), E: rsaKey().E}
	keys := map[string]crypto.PublicKey{"a": public, "b": &modulus}
	secret := []byte(secret64)
	document := jwks(t, jwkOf(t, ed.public, nil))
	block := pemOf(t, ed.public)
	sources := []auth.KeySource{auth.PublicKeys(keys), auth.Secret(secret), auth.StaticJWKS(document), auth.PEM("", block)}
	clear(keys)
	clear(public)
	clear(secret)
	clear(document)
	clear(block)
	modulus.N.SetInt64(15)
	claims := goodClaims()
	for i, tokens := range [][]string{
		{
			encode(t, ed, `{"alg":"EdDSA","kid":"a"}`, claims.json(t)),
			encode(t, rs, `{"alg":"RS256","kid":"b"}`, claims.json(t)),
		},
		{hs.token(t, claims)},
		{ed.token(t, claims)},
		{ed.token(t, claims)},
	} {
		j := newJWT(t, auth.Issuer{URL: issuerURL, Audience: []string{service}, Keys: sources[i]})
		for _, token := range tokens {
			check(t, j, token, "")
		}
	}
}

// CVE-2017-15361: primes of the form kM + 65537^a mod M, for a product M of
// small primes.
func TestROCA(t *testing.T) {
	t.Parallel()
	m := big.NewInt(1)
	for n := int64(2); n <= 701; n++ {
		if p := big.NewInt(n); p.ProbablyPrime(8) {
			m.Mul(m, p)
		}
	}
	prime := func(a int64) *big.Int {
		p := new(big.Int).Exp(big.NewInt(65537), big.NewInt(a), m)
		p.Add(p, new(big.Int).Mul(m, new(big.Int).Lsh(big.NewInt(3), uint(1022-m.BitLen()))))
		for !p.ProbablyPrime(8) {
			p.Add(p, m)
		}
		return p
	}
	weak := &rsa.PublicKey{N: new(big.Int).Mul(prime(11), prime(31)), E: 65537}
	keyCase{
		keys: auth.StaticJWKS(jwks(t, jwkOf(t, weak, object{"kid": "card"}))),
		want: "JWKS key 0 was generated by a library whose keys can be factored (ROCA, CVE-2017-15361)",
	}.run(t)
}

func pemOf(tb testing.TB, key crypto.PublicKey) []byte {
	tb.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func TestPEM(t *testing.T) {
	t.Parallel()
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	pkcs8, err := x509.MarshalPKCS8PrivateKey(edKey)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)} // its dates are long past
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, edKey.Public(), edKey)
	if err != nil {
		t.Fatal(err)
	}
	x25519, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	weak := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 1023, 1), E: 65537}
	good := pemOf(t, edKey.Public())
	runKeyCases(t, []keyCase{
		{"PKIX", auth.PEM("k", good), nil, ""},
		{"white space behind", auth.PEM("k", append(slices.Clone(good), " \r\n\n"...)), nil, ""},
		{"PKCS #1", auth.PEM("k", block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey))), nil, ""},
		{"certificate", auth.PEM("k", block("CERTIFICATE", certificate)), nil, ""},

		{"nothing", auth.PEM("k", nil), nil, "PEM has no block, want PUBLIC KEY"},
		{"text", auth.PEM("k", []byte("ssh-ed25519 AAAA")), nil, "PEM has no block, want PUBLIC KEY"},
		{"two blocks", auth.PEM("k", append(slices.Clone(good), good...)), nil, "PEM has data behind its first block, want one key"},
		{"private key", auth.PEM("k", block("PRIVATE KEY", pkcs8)), nil, `PEM is a "PRIVATE KEY", want PUBLIC KEY`},
		{"private key named public", auth.PEM("k", block("PUBLIC KEY", pkcs8)), nil, "PEM is not a PKIX public key"},
		{"broken PKIX", auth.PEM("k", block("PUBLIC KEY", []byte("x"))), nil, "PEM is not a PKIX public key"},
		{"broken PKCS #1", auth.PEM("k", block("RSA PUBLIC KEY", []byte("x"))), nil, "PEM is not a PKCS #1 public key"},
		{"broken certificate", auth.PEM("k", block("CERTIFICATE", []byte("x"))), nil, "PEM is not a certificate"},
		{"weak RSA", auth.PEM("k", block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(weak))), nil, "PEM has 1024 bits, want 2048 to 8192"},
		{"X25519", auth.PEM("k", pemOf(t, x25519.Public())), nil, "PEM is an empty key or a *ecdh.PublicKey, want *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey"},
	})
}

func TestStaticJWKS(t *testing.T) {
	t.Parallel()
	ed, ec, rs := jwkOf(t, edKey.Public(), nil), jwkOf(t, &p256Key().PublicKey, nil), jwkOf(t, &rsaKey().PublicKey, nil)
	set := func(keys ...object) auth.KeySource { return auth.StaticJWKS(jwks(t, keys...)) }
	text := func(document string) auth.KeySource { return auth.StaticJWKS([]byte(document)) }
	weak := new(big.Int).SetBit(big.NewInt(1), 1023, 1)
	many := slices.Repeat([]object{{"kty": "new"}}, 101)
	runKeyCases(t, []keyCase{
		{"all kinds", set(ed.with(object{"kid": "1"}), ec.with(object{"kid": "2"}), rs.with(object{"kid": "3"})), nil, ""},
		{"all members", set(rs.with(object{"kid": "1", "alg": "RS256", "use": "sig", "key_ops": []string{"verify"}, "x5t": "x", "x5c": []any{}})), nil, ""},
		{"alg chooses", set(rs.with(object{"kid": "1", "alg": "PS256"})), []string{"RS256", "PS256"}, ""},
		{"one key twice", set(rs.with(object{"kid": "1"}), rs.with(object{"kid": "2"})), nil, ""},
		{"one key for two algorithms", set(rs.with(object{"kid": "1", "alg": "PS256"}), rs.with(object{"kid": "2", "alg": "RS256"})), nil, strings.Join([]string{
			`key "1" is there for two algorithms, want one for each key`,
			`key "2" is there for two algorithms, want one for each key`,
		}, "\nauth: Issuers[0].Keys: ")},
		{"a member in another case", set(rs.with(object{"Use": "enc"})), nil, "JWKS key 0 is malformed: use is written in another case"},
		{"issuer number", set(rs.with(object{"issuer": 5})), nil, "JWKS key 0 issuer is not a string"},
		{"alg Ed25519", set(ed.with(object{"alg": "Ed25519"})), nil, ""},
		{"keys for others", set(ed, object{"kty": "new"}, rs.with(object{"use": "enc"}), ed.with(object{"crv": "X25519"}), ec.with(object{"crv": "secp256k1"})), nil, ""},
		{"100 keys", set(append(slices.Clone(many[:99]), ed)...), nil, ""},

		{"nothing", text(""), nil, "JWKS: not JSON from byte 0 on"},
		{"null", text("null"), nil, "JWKS: not a JSON object"},
		{"list", text("[]"), nil, "JWKS: not a JSON object"},
		{"one key alone", auth.StaticJWKS([]byte(ed.json(t))), nil, `JWKS has no array "keys"`},
		{"keys is null", text(`{"keys":null}`), nil, `JWKS has no array "keys"`},
		{"keys is an object", text(`{"keys":{}}`), nil, `JWKS has no array "keys"`},
		{"KEYS", text(`{"KEYS":[]}`), nil, `JWKS has no array "keys"`},
		{"keys twice", text(`{"keys":[],"keys":[]}`), nil, `JWKS: a member occurs twice: "keys"`},
		{"no key", set(), nil, `JWKS has no array "keys"`},
		{"empty list", text(`{"keys":[]}`), nil, "no key to verify with"},
		{"only keys for others", set(object{"kty": "new"}), nil, "no key to verify with"},
		{"101 keys", set(many...), nil, "JWKS has 101 keys, want at most 100"},

		{"not an object", text(`{"keys":[1]}`), nil, "JWKS key 0 is malformed: not a JSON object"},
		{"no kty", set(ed.with(object{"kty": nil})), nil, "JWKS key 0 kty is missing"},
		{"kty number", set(ed.with(object{"kty": 1})), nil, "JWKS key 0 kty is not a string"},
		{"kid number", set(ed.with(object{"kid": 1})), nil, "JWKS key 0 kid is not a string"},
		{"alg number", set(ed.with(object{"alg": 1})), nil, "JWKS key 0 alg is not a string"},
		{"kty twice", text(`{"keys":[{"kty":"oct","kty":"RSA"}]}`), nil, `JWKS: a member occurs twice: "kty"`},
		{"kid twice", set(ed.with(object{"kid": "a"}), ec.with(object{"kid": "a"})), nil, `JWKS has kid "a" twice`},
		{"kid twice, once for encryption", set(ed.with(object{"kid": "a"}), ec.with(object{"kid": "a", "use": "enc"})), nil, `JWKS has kid "a" twice`},
		{"kid twice, once of no use", set(ed.with(object{"kid": "a"}), object{"kty": "oct", "k": "AA", "kid": "a"}), nil, `JWKS has kid "a" twice`},
		{"no kid twice, for two algorithms", set(ed, ec), nil, ""},
		{"no kid twice, for one algorithm", set(ec, ec), nil, "two keys for ES256 without a kid, want a kid for each"},

		{"symmetric", set(object{"kty": "oct", "k": b64(secret64)}), nil, "JWKS key 0 is symmetric, want public keys only"},
		{"symmetric, said to be for encryption", set(object{"kty": "oct", "k": b64(secret64), "use": "enc"}), nil, "JWKS key 0 is symmetric, want public keys only"},
		{"private", set(ed.with(object{"d": b64("x")})), nil, "JWKS key 0 has private members, want public keys only"},
		{"private, said to be for encryption", set(rs.with(object{"d": b64("x"), "use": "enc"})), nil, "JWKS key 0 has private members, want public keys only"},
		{"a prime", set(rs.with(object{"p": b64("x")})), nil, "JWKS key 0 has private members, want public keys only"},

		{"use", set(ed.with(object{"use": "tls"})), nil, `JWKS key 0 has use "tls", want sig`},
		{"use number", set(ed.with(object{"use": 1})), nil, `JWKS key 0 use is not a string`},
		{"key_ops", set(ed.with(object{"key_ops": []string{"sign"}})), nil, `JWKS key 0 has key_ops ["sign"], want verify`},
		{"key_ops empty", set(ed.with(object{"key_ops": []string{}})), nil, `JWKS key 0 has key_ops [], want verify`},
		{"key_ops number", set(ed.with(object{"key_ops": 1})), nil, `JWKS key 0 key_ops is neither a string nor an array of strings`},
		{"alg of another kind", set(ec.with(object{"alg": "RS256"})), nil, `key "" is for "RS256", which is not one of Algorithms or does not fit it`},
		{"alg of another curve", set(ec.with(object{"alg": "ES384"})), nil, `key "" is for "ES384", which is not one of Algorithms or does not fit it`},
		{"alg HS256", set(ed.with(object{"alg": "HS256"})), nil, `key "" is for "HS256", which is not one of Algorithms or does not fit it`},
		{"alg none", set(ed.with(object{"alg": "none"})), nil, `key "" is for "none", which is not one of Algorithms or does not fit it`},
		{"alg that is not in the default for keys without one", set(rs.with(object{"alg": "PS256"})), nil, ""},
		{"alg that is not allowed", set(rs.with(object{"alg": "PS256"})), []string{"RS256"}, `key "" is for "PS256", which is not one of Algorithms or does not fit it`},

		{"RSA weak", set(rs.with(object{"n": b64(string(weak.Bytes()))})), nil, "JWKS key 0 has 1024 bits, want 2048 to 8192"},
		{"RSA even exponent", set(rs.with(object{"e": "AQAA"})), nil, "JWKS key 0 has the exponent 65536, want an odd one from 3 to 2^31-1"},
		{"RSA exponent 1", set(rs.with(object{"e": "AQ"})), nil, "JWKS key 0 has the exponent 1, want an odd one from 3 to 2^31-1"},
		{"RSA exponent too long", set(rs.with(object{"e": b64(strings.Repeat("\x01", 40))})), nil, "JWKS key 0 has an exponent beyond 31 bits"},
		{"RSA without n", set(rs.with(object{"n": nil})), nil, "JWKS key 0 n is missing"},
		{"RSA without e", set(rs.with(object{"e": nil})), nil, "JWKS key 0 e is missing"},
		{"RSA with padding", set(rs.with(object{"e": "AQAB=="})), nil, "JWKS key 0 has a e that is not base64url"},
		{"RSA n null", set(rs.with(object{"n": null})), nil, "JWKS key 0 n is not a string"},

		{"EC off its curve", set(ec.with(object{"y": ec["x"]})), nil, "JWKS key 0 is not a point on its curve"},
		{"EC of another curve", set(ec.with(object{"crv": "P-384"})), nil, "JWKS key 0 has coordinates of 32 and 32 bytes, want 48"},
		{"EC short", set(ec.with(object{"x": b64("x")})), nil, "JWKS key 0 has coordinates of 1 and 32 bytes, want 32"},
		{"EC without crv", set(ec.with(object{"crv": nil})), nil, "JWKS key 0 crv is missing"},
		{"EC without x", set(ec.with(object{"x": nil})), nil, "JWKS key 0 x is missing"},
		{"EC without y", set(ec.with(object{"y": nil})), nil, "JWKS key 0 y is missing"},
		{"Ed25519 short", set(ed.with(object{"x": b64("x")})), nil, "JWKS key 0 has 1 bytes, want 32"},
		{"Ed25519 without crv", set(ed.with(object{"crv": nil})), nil, "JWKS key 0 crv is missing"},
		{"Ed25519 without x", set(ed.with(object{"x": nil})), nil, "JWKS key 0 x is missing"},

		{"all at once", set(object{"kty": "oct"}, ed.with(object{"use": "x"}), rs.with(object{"alg": "ES256"})), nil, strings.Join([]string{
			"JWKS key 0 is symmetric, want public keys only",
			`JWKS key 1 has use "x", want sig`,
			`key "" is for "ES256", which is not one of Algorithms or does not fit it`,
		}, "\nauth: Issuers[0].Keys: ")},
	})
}

func TestSecret(t *testing.T) {
	t.Parallel()
	const sample, repeats, public = "secret is a well-known sample, want random bytes", "secret repeats itself, want random bytes",
		"secret is a public key or a key's document, want random bytes"
	hexadecimal := "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	der, err := x509.MarshalPKIXPublicKey(&p256Key().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	jwk := jwkOf(t, edKey.Public(), nil).json(t)
	runKeyCases(t, []keyCase{
		{"random", auth.Secret([]byte(secret64)), nil, ""},
		{"32 bytes", auth.Secret([]byte(secret64[:32])), nil, ""},
		{"hexadecimal", auth.Secret([]byte(hexadecimal)), nil, ""},
		{"HS512 with 64 bytes", auth.Secret([]byte(secret64)), []string{"HS512"}, ""},

		{"HS384 with 47 bytes", auth.Secret([]byte(secret64[:47])), []string{"HS384"}, `key "" fits none of Algorithms [HS384]`},
		{"HS512 with 63 bytes", auth.Secret([]byte(secret64[:63])), []string{"HS512"}, `key "" fits none of Algorithms [HS512]`},
		{"two algorithms", auth.Secret([]byte(secret64)), []string{"HS256", "HS512"}, `key "" fits more than one of Algorithms [HS256 HS512], want one algorithm for each key`},
		{"nil", auth.Secret(nil), nil, "secret has 0 bytes, want at least 32 random ones"},
		{"empty", auth.Secret([]byte{}), nil, "secret has 0 bytes, want at least 32 random ones"},
		{"31 bytes", auth.Secret([]byte(secret64[:31])), nil, "secret has 31 bytes, want at least 32 random ones"},
		{"zeros", auth.Secret(make([]byte, 32)), nil, repeats},
		{"one letter", auth.Secret(bytes.Repeat([]byte("x"), 64)), nil, repeats},
		{"one word", auth.Secret(bytes.Repeat([]byte("gatehouse"), 4)), nil, repeats},
		{"a random half twice", auth.Secret([]byte(secret64[:17] + secret64[:17])), nil, repeats},
		{"a random half, over and over", auth.Secret([]byte(strings.Repeat(secret64[:20], 3)[:41])), nil, repeats},
		{"seven letters", auth.Secret([]byte("abcdefgfedcbaabdgecfgacebdfgabcde")), nil, repeats},
		{"PEM of a public key", auth.Secret(pemOf(t, &rsaKey().PublicKey)), nil, public},
		{"PKIX of a public key", auth.Secret(der), nil, public},
		{"PKCS #1 of a public key", auth.Secret(x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey)), nil, public},
		{"JWK of a public key", auth.Secret([]byte(jwk)), nil, public},
	})
	for _, s := range []string{
		"your-256-bit-secret-your-256-bit-secret!", "YOUR-512-BIT-SECRET and then some more text",
		"a-string-secret-at-least-256-bits-long", "a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long",
		"changeme-changeme-9-changeme-changeme", "my_super_secret_key_that_nobody_knows", "thisisasecretthatisverylongindeed!",
		"0123456789abcdef0123456789ABCDEFxyz", "abcdefghijklmnopqrstuvwxyz012345", "correct-password-battery-staple-horse",
		"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
	} {
		keyCase{keys: auth.Secret([]byte(s)), want: sample}.run(t)
	}
	counting := make([]byte, 32)
	for i := range counting {
		counting[i] = byte(7 * i)
	}
	for s, want := range map[string]string{
		string(counting):             repeats,
		hex.EncodeToString(counting): repeats,
		base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("gatehouse"), 4)):  repeats,
		base64.StdEncoding.EncodeToString([]byte("your-256-bit-secret-encoded")): sample,
		hex.EncodeToString([]byte("your-256-bit-secret-your-256-bit")) + "\n":    sample,
		hex.EncodeToString([]byte("a-string-secret-at-least-256-bits-long")):     sample,
		"09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7":       sample, // FastAPI
		"404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970":       sample, // Spring
		"5367566B59703373367639792F423F4528482B4D6251655468576D5A71347437":       sample, // Spring
		"hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg":                            sample, // RFC 7520
		"django-insecure-3x!8v#k2^p0q9w7e5r4t6y1u":                               sample,
		"The quick brown fox jumps over the lazy dog":                            sample,
	} {
		keyCase{name: s, keys: auth.Secret([]byte(s)), want: want}.run(t)
	}
}

// A secret or a key that a Config holds is not in what prints or marshals it.
func TestNothingPrintsKeys(t *testing.T) {
	t.Parallel()
	block := pemOf(t, edKey.Public())
	document := jwks(t, jwkOf(t, edKey.Public(), object{"kid": "k"}))
	for name, keys := range map[string]auth.KeySource{
		"Secret": auth.Secret([]byte(secret64)), "PEM": auth.PEM("k", block), "StaticJWKS": auth.StaticJWKS(document),
		"PublicKeys": auth.PublicKeys(map[string]crypto.PublicKey{"k": edKey.Public()}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			iss := auth.Issuer{URL: issuerURL, Audience: []string{service}, Keys: keys}
			cfg := auth.JWTConfig{Issuers: []auth.Issuer{iss}}
			j := newJWT(t, iss)
			gateCfg := auth.Config{Authenticators: []auth.Authenticator{j}}
			g := newGate(t, gateCfg)
			var out bytes.Buffer
			for _, v := range []any{keys, &keys, iss, &iss, cfg, &cfg, j, *j, gateCfg, &gateCfg, g, []any{j, g, keys}} {
				for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
					fmt.Fprintf(&out, verb+"\n", v)
				}
				if b, err := json.Marshal(v); err == nil {
					out.Write(b)
				}
				slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
				slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
			}
			public := edKey.Public().(ed25519.PublicKey)
			for _, leak := range []string{
				secret64[:12], fmt.Sprintf("%x", secret64[:12]), base64.StdEncoding.EncodeToString([]byte(secret64[:12])),
				strings.Trim(fmt.Sprintf("%d", []byte(secret64[:12])), "[]"),
				fmt.Sprintf("%x", public[:12]), b64(string(public[:12])), strings.Trim(fmt.Sprintf("%d", public[:12]), "[]"),
				string(block[30:60]), strings.Trim(fmt.Sprintf("%d", block[30:60]), "[]"),
			} {
				if strings.Contains(out.String(), leak) {
					t.Errorf("%q is printed", leak)
				}
			}
			if !strings.Contains(out.String(), issuerURL) {
				t.Error("the URL of the issuer is not printed: this test looks at nothing")
			}
		})
	}
}

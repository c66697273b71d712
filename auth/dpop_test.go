package auth_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/internal/report"
	"github.com/gatehouse-go/gatehouse/tlsredirect/clientip"
)

const (
	boundToken  = "the.access.token"
	resourceURL = "https://api.example.com/orders"
)

var proofs atomic.Int64 // each has a jti of its own

// proofClaims are what a good proof for boundToken at resourceURL says.
func proofClaims() object {
	sum := sha256.Sum256([]byte(boundToken))
	return object{
		"htm": "GET", "htu": resourceURL, "iat": time.Now().Unix(), "ath": b64(string(sum[:])),
		"jti": fmt.Sprintf("proof-%d", proofs.Add(1)),
	}
}

// proofHeader is the header of a good proof.
func (s signer) proofHeader(tb testing.TB) object {
	tb.Helper()
	return object{"typ": "dpop+jwt", "alg": s.method.Alg(), "jwk": jwkOf(tb, s.public, nil)}
}

// proof is a good proof with these edits.
func (s signer) proof(tb testing.TB, header, claims object) string {
	tb.Helper()
	return encode(tb, s, s.proofHeader(tb).with(header).json(tb), proofClaims().with(claims).json(tb))
}

// jkt is the thumbprint of the key of s by encoding/json, which sorts the
// members as RFC 7638 wants them.
func (s signer) jkt(tb testing.TB) string {
	tb.Helper()
	sum := sha256.Sum256([]byte(jwkOf(tb, s.public, nil).json(tb)))
	return b64(string(sum[:]))
}

func newDPoP(tb testing.TB, cfg auth.DPoPConfig) *auth.DPoP {
	tb.Helper()
	d, err := auth.NewDPoP(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// withProofs is a request for resourceURL with these DPoP headers.
func withProofs(proofs ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, resourceURL, http.NoBody)
	r.Header["Dpop"] = proofs
	return r
}

// prove sends proofs for the token of s through d.
func prove(tb testing.TB, d *auth.DPoP, s signer, proofs ...string) error {
	tb.Helper()
	return d.Check(withProofs(proofs...), boundToken, s.jkt(tb))
}

// wantProof asserts that err has that reason, "" for none, and what clients
// and logs get to see of it.
func wantProof(tb testing.TB, name string, err error, want string) {
	tb.Helper()
	if got := reason(err); got != want {
		tb.Errorf("%s: reason = %q (%v), want %q", name, got, err, want)
		return
	}
	if e, ok := errors.AsType[*auth.Error](err); ok {
		kind := auth.Invalid
		if want == auth.ReasonUnavailable {
			kind = auth.Unavailable
		}
		if e.Kind != kind || e.Err == nil {
			tb.Errorf("%s: kind = %v, cause %v, want %v with a cause", name, e.Kind, e.Err, kind)
		}
		if text := e.Error(); strings.Contains(text, boundToken) || strings.Contains(text, "proof-") || strings.Contains(text, "eyJ") {
			tb.Errorf("%s: the error quotes the request: %s", name, text)
		}
	}
}

// A proofCase is a proof of the ES256 key and why it is refused, "" if not.
type proofCase struct {
	name           string
	header, claims object
	want           string
}

func checkProofs(t *testing.T, cfg auth.DPoPConfig, cases []proofCase) {
	t.Helper()
	s, d := signerFor("ES256"), newDPoP(t, cfg)
	for _, tt := range cases {
		wantProof(t, tt.name, prove(t, d, s, s.proof(t, tt.header, tt.claims)), tt.want)
	}
}

func TestDPoPAdmits(t *testing.T) {
	t.Parallel()
	all := []string{"ES256", "ES384", "ES512", "EdDSA", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"}
	d := newDPoP(t, auth.DPoPConfig{Algorithms: all})
	for _, alg := range all {
		s := signerFor(alg)
		wantProof(t, alg, prove(t, d, s, s.proof(t, nil, nil)), "")
	}
	ed := signerFor("EdDSA")
	wantProof(t, "Ed25519", prove(t, d, ed, ed.proof(t, object{"alg": "Ed25519"}, nil)), "")
	jwk := jwkOf(t, signerFor("ES256").public, object{"alg": "ES256", "use": "sig", "key_ops": []string{"verify"}, "ext": true, "kid": "1"})
	checkProofs(t, auth.DPoPConfig{}, []proofCase{
		{name: "media type", header: object{"typ": "application/dpop+jwt"}},
		{name: "typ in another case", header: object{"typ": "DPoP+JWT"}},
		{name: "more about the key", header: object{"jwk": jwk}},
		{name: "hints where else a key is", header: object{"kid": "other", "jku": "https://evil.example/keys", "x5u": "https://evil.example/cert", "x5c": []string{"AAAA"}}},
		{name: "more claims", claims: object{"x": object{"y": []any{1, "z"}}, "nonce": "of another server", "aud": "whatever"}},
		{name: "fraction of a second", claims: object{"iat": float64(time.Now().UnixMilli()) / 1000}},
	})
}

// TestDPoPVector is the request of RFC 9449 section 7.1, at its own time.
func TestDPoPVector(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/rfc9449_7.1.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Method, URL, DPoP, JKT string
		Token                  string `json:"access_token"`
		IAT                    int64
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(v.IAT, 0))) // a bubble begins in 2000
		d := newDPoP(t, auth.DPoPConfig{})
		r := httptest.NewRequest(v.Method, v.URL, http.NoBody)
		r.Header.Set("DPoP", v.DPoP)
		wantProof(t, "vector", d.Check(r, v.Token, v.JKT), "")
		wantProof(t, "again", d.Check(r, v.Token, v.JKT), auth.ReasonReplay)
		time.Sleep(2 * time.Minute)
		wantProof(t, "later", d.Check(r, v.Token, v.JKT), auth.ReasonProof)
	})
}

// TestThumbprint: RFC 7638 section 3.1, RFC 8037 appendix A.3, and what
// encoding/json makes of the other kinds of keys.
func TestThumbprint(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/rfc7638_3.1.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		JWK        json.RawMessage
		Thumbprint string
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	rfc8037 := []byte(`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`)
	for _, tt := range []struct {
		name string
		jwk  []byte
		want string
	}{
		{"RFC 7638", v.JWK, v.Thumbprint},
		{"RFC 8037", rfc8037, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"},
	} {
		if got, err := auth.ThumbprintOfJWK(tt.jwk); got != tt.want || err != nil {
			t.Errorf("%s: thumbprint = %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
	for _, alg := range []string{"RS256", "ES256", "ES384", "ES512", "EdDSA"} {
		if got, want := auth.Thumbprint(signerFor(alg).public), signerFor(alg).jkt(t); got != want {
			t.Errorf("%s: thumbprint = %q, want %q", alg, got, want)
		}
	}
	for _, none := range []any{nil, "key", []byte("secret"), &ecdsa.PublicKey{Curve: p256Key().Curve}} {
		func() {
			defer func() { _ = recover() }() // of a key that no JWK makes
			if got := auth.Thumbprint(none); got != "" {
				t.Errorf("thumbprint of a %T = %q", none, got)
			}
		}()
	}
}

func TestDPoPOneHeader(t *testing.T) {
	t.Parallel()
	s, d := signerFor("ES256"), newDPoP(t, auth.DPoPConfig{})
	one, two := s.proof(t, nil, nil), s.proof(t, nil, nil)
	wantProof(t, "none", prove(t, d, s), auth.ReasonProof)
	wantProof(t, "empty", prove(t, d, s, ""), auth.ReasonProof)
	wantProof(t, "two", prove(t, d, s, one, two), auth.ReasonProof)
	wantProof(t, "the same twice", prove(t, d, s, one, one), auth.ReasonProof)
	wantProof(t, "a list", prove(t, d, s, one+", "+two), auth.ReasonProof)
	wantProof(t, "one", prove(t, d, s, one), "")
}

func TestDPoPSize(t *testing.T) {
	t.Parallel()
	s, d := signerFor("EdDSA"), newDPoP(t, auth.DPoPConfig{})
	fill := func(n int) string { return s.proof(t, nil, object{"x": strings.Repeat("x", n)}) }
	const most = 8 << 10
	n := most - len(fill(0))
	for n > 0 && len(fill(n)) > most {
		n--
	}
	if got := len(fill(n + 2)); got <= most {
		t.Fatalf("the long proof has %d bytes", got)
	}
	wantProof(t, "long", prove(t, d, s, fill(n)), "")
	wantProof(t, "too long", prove(t, d, s, fill(n+2)), auth.ReasonProof)
}

func TestDPoPShape(t *testing.T) {
	t.Parallel()
	s, d := signerFor("EdDSA"), newDPoP(t, auth.DPoPConfig{})
	good := func() []string { return strings.Split(s.proof(t, nil, nil), ".") }
	join := func(parts ...string) string { return strings.Join(parts, ".") }
	for _, tt := range []struct {
		name  string
		proof func(p []string) string
	}{
		{"two parts", func(p []string) string { return join(p[0], p[1]) }},
		{"four parts", func(p []string) string { return join(p[0], p[1], p[2], p[2]) }},
		{"five parts", func(p []string) string { return join(p[0], "", "", p[1], p[2]) }},
		{"no header", func(p []string) string { return join("", p[1], p[2]) }},
		{"no payload", func(p []string) string { return join(p[0], "", p[2]) }},
		{"no signature", func(p []string) string { return join(p[0], p[1], "") }},
		{"dots", func([]string) string { return strings.Repeat(".", 8000) }},
		{"line break in the signature", func(p []string) string { return join(p[0], p[1], p[2][:4]+"\n"+p[2][4:]) }},
		{"line break behind", func(p []string) string { return join(p...) + "\r\n" }},
		{"padding", func(p []string) string { return join(p...) + "==" }},
		{"space", func(p []string) string { return " " + join(p...) }},
		{"standard alphabet", func(p []string) string { return join(p[0], p[1], "+/"+p[2][2:]) }},
		{"trailing bits", func(p []string) string { // 64 bytes leave four bits in the last letter
			last := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", p[2][len(p[2])-1])
			return join(p[0], p[1], p[2][:len(p[2])-1]) + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last|1])
		}},
		{"JSON serialization", func(p []string) string {
			return object{"protected": p[0], "payload": p[1], "signature": p[2]}.json(t)
		}},
	} {
		wantProof(t, tt.name, prove(t, d, s, tt.proof(good())), auth.ReasonProof)
	}
	wantProof(t, "untouched", prove(t, d, s, join(good()...)), "")
}

func TestDPoPStrictJSON(t *testing.T) {
	t.Parallel()
	s, d := signerFor("EdDSA"), newDPoP(t, auth.DPoPConfig{})
	header, claims := s.proofHeader(t).json(t), func() string { return proofClaims().json(t) }
	for _, tt := range []struct{ name, header, claims string }{
		{"doubled parameter", `{"alg":"none",` + header[1:], claims()},
		{"doubled member of jwk", strings.Replace(header, `"kty"`, `"x":"AA","kty"`, 1), claims()},
		{"header is null", `null`, claims()},
		{"header is a list", `[` + header + `]`, claims()},
		{"data behind the header", header + `{}`, claims()},
		{"parameter in another case", strings.Replace(header, `"alg"`, `"ALG"`, 1), claims()},
		{"doubled claim", header, `{"htm":"POST",` + claims()[1:]},
		{"doubled claim, escaped", header, `{"\u0068tm":"POST",` + claims()[1:]},
		{"claim in another case", header, strings.Replace(claims(), `"htm"`, `"HTM"`, 1)},
		{"claims are a string", header, `"x"`},
		{"half of a surrogate pair", header, strings.Replace(claims(), `"jti":"`, `"jti":"\ud800`, 1)},
		{"not UTF-8", header, strings.Replace(claims(), `"jti":"`, "\"jti\":\"\xff", 1)},
	} {
		wantProof(t, tt.name, prove(t, d, s, encode(t, s, tt.header, tt.claims)), auth.ReasonProof)
	}
	wantProof(t, "untouched", prove(t, d, s, encode(t, s, header, claims())), "")
}

func TestDPoPType(t *testing.T) {
	t.Parallel()
	checkProofs(t, auth.DPoPConfig{}, []proofCase{
		{name: "access token", header: object{"typ": "at+jwt"}, want: auth.ReasonProof},
		{name: "any token", header: object{"typ": "JWT"}, want: auth.ReasonProof},
		{name: "none", header: object{"typ": nil}, want: auth.ReasonProof},
		{name: "empty", header: object{"typ": ""}, want: auth.ReasonProof},
		{name: "null", header: object{"typ": null}, want: auth.ReasonProof},
		{name: "list", header: object{"typ": []string{"dpop+jwt"}}, want: auth.ReasonProof},
		{name: "another tree", header: object{"typ": "text/dpop+jwt"}, want: auth.ReasonProof},
		{name: "twice application", header: object{"typ": "application/application/dpop+jwt"}, want: auth.ReasonProof},
		{name: "parameter", header: object{"typ": "dpop+jwt; x"}, want: auth.ReasonProof},
		{name: "space", header: object{"typ": "dpop+jwt "}, want: auth.ReasonProof},
	})
}

// TestDPoPAlgorithmAllowed: also a right signature is refused if its algorithm
// is not wanted.
func TestDPoPAlgorithmAllowed(t *testing.T) {
	t.Parallel()
	es, rs := signerFor("ES256"), signerFor("RS384")
	d := newDPoP(t, auth.DPoPConfig{})
	wantProof(t, "RS384 is no default", prove(t, d, rs, rs.proof(t, nil, nil)), auth.ReasonProof)
	d = newDPoP(t, auth.DPoPConfig{Algorithms: []string{"EdDSA"}})
	wantProof(t, "ES256 where EdDSA is wanted", prove(t, d, es, es.proof(t, nil, nil)), auth.ReasonProof)
	// Who knows the public key can make a MAC with it.
	d = newDPoP(t, auth.DPoPConfig{})
	for _, secret := range [][]byte{pemOf(t, es.public), []byte(jwkOf(t, es.public, nil).json(t))} {
		hs := signer{method: jwt.SigningMethodHS256, private: secret}
		proof := encode(t, hs, es.proofHeader(t).with(object{"alg": "HS256"}).json(t), proofClaims().json(t))
		wantProof(t, "HS256", prove(t, d, es, proof), auth.ReasonProof)
	}
	none := signer{method: jwt.SigningMethodNone, private: jwt.UnsafeAllowNoneSignatureType}
	for _, alg := range []any{"none", "None", "", nil, null, []string{"ES256"}, "ES256 ", "es256", "A128KW"} {
		header := es.proofHeader(t).with(object{"alg": alg}).json(t)
		wantProof(t, fmt.Sprint(alg), prove(t, d, es, encode(t, none, header, proofClaims().json(t))+"AA"), auth.ReasonProof)
		wantProof(t, fmt.Sprint(alg), prove(t, d, es, encode(t, es, header, proofClaims().json(t))), auth.ReasonProof)
	}
}

// TestDPoPAlgorithmFitsKey: golang-jwt would verify ES512 with a key on P-256.
func TestDPoPAlgorithmFitsKey(t *testing.T) {
	t.Parallel()
	s, d := signerFor("ES256"), newDPoP(t, auth.DPoPConfig{})
	signed := b64(s.proofHeader(t).with(object{"alg": "ES512"}).json(t)) + "." + b64(proofClaims().json(t))
	h := crypto.SHA512.New()
	h.Write([]byte(signed))
	sum := h.Sum(nil)
	r1, s1, err := ecdsa.Sign(rand.Reader, p256Key(), sum)
	if err != nil {
		t.Fatal(err)
	}
	sig := append(r1.FillBytes(make([]byte, 66)), s1.FillBytes(make([]byte, 66))...)
	if err := jwt.SigningMethodES512.Verify(signed, sig, s.public); err != nil {
		t.Fatalf("golang-jwt refuses the signature: %v", err)
	}
	wantProof(t, "ES512 on P-256", prove(t, d, s, signed+"."+b64(string(sig))), auth.ReasonProof)
	wantProof(t, "EdDSA on P-256", prove(t, d, s, s.proof(t, object{"alg": "EdDSA"}, nil)), auth.ReasonProof)
	wantProof(t, "RS256 on P-256", prove(t, d, s, s.proof(t, object{"alg": "RS256"}, nil)), auth.ReasonProof)
}

func TestDPoPAlgorithmOfKey(t *testing.T) {
	t.Parallel()
	s, d := signerFor("RS256"), newDPoP(t, auth.DPoPConfig{})
	for alg, want := range map[string]string{"RS256": "", "PS256": auth.ReasonProof, "RS512": auth.ReasonProof, "none": auth.ReasonProof} {
		wantProof(t, alg, prove(t, d, s, s.proof(t, object{"jwk": jwkOf(t, s.public, object{"alg": alg})}, nil)), want)
	}
	ed := signerFor("EdDSA")
	wantProof(t, "Ed25519", prove(t, d, ed, ed.proof(t, object{"jwk": jwkOf(t, ed.public, object{"alg": "Ed25519"})}, nil)), "")
}

// TestDPoPPublicKey: each of these signatures is right, and each token is bound
// to the very key.
func TestDPoPPublicKey(t *testing.T) {
	t.Parallel()
	s, d := signerFor("EdDSA"), newDPoP(t, auth.DPoPConfig{})
	for _, tt := range []struct {
		name string
		jwk  any
	}{
		{"none", nil},
		{"null", null},
		{"text", "key"},
		{"list", []object{jwkOf(t, s.public, nil)}},
		{"empty", object{}},
		{"private", jwkOf(t, s.public, object{"d": b64(string(edKey.Seed()))})},
		{"private member of another type", jwkOf(t, s.public, object{"k": "AA"})},
		{"for encryption", jwkOf(t, s.public, object{"use": "enc"})},
		{"to sign", jwkOf(t, s.public, object{"key_ops": []string{"sign"}})},
		{"too short", jwkOf(t, s.public, object{"x": "AAAA"})},
		{"padded", jwkOf(t, s.public, object{"x": b64(string(edKey.Public().(ed25519.PublicKey))) + "="})},
	} {
		wantProof(t, tt.name, prove(t, d, s, s.proof(t, object{"jwk": tt.jwk}, nil)), auth.ReasonProof)
	}
	weakKey, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weak := signer{jwt.SigningMethodRS256, weakKey, &weakKey.PublicKey}
	wantProof(t, "RSA with 1024 bits", prove(t, d, weak, weak.proof(t, nil, nil)), auth.ReasonProof)
	secret := signer{method: jwt.SigningMethodHS256, private: []byte(secret64)}
	oct := encode(t, secret, object{"typ": "dpop+jwt", "alg": "HS256", "jwk": object{"kty": "oct", "k": b64(secret64)}}.json(t), proofClaims().json(t))
	wantProof(t, "a secret", prove(t, d, s, oct), auth.ReasonProof)
}

func TestDPoPCritical(t *testing.T) {
	t.Parallel()
	checkProofs(t, auth.DPoPConfig{}, []proofCase{
		{name: "crit", header: object{"crit": []string{"x"}, "x": 1}, want: auth.ReasonProof},
		{name: "empty crit", header: object{"crit": []string{}}, want: auth.ReasonProof},
		{name: "crit of what is known", header: object{"crit": []string{"typ"}}, want: auth.ReasonProof},
		{name: "null crit", header: object{"crit": null}, want: auth.ReasonProof},
		{name: "b64", header: object{"b64": true}, want: auth.ReasonProof},
		{name: "b64 is false", header: object{"b64": false}, want: auth.ReasonProof},
	})
}

func TestDPoPSignature(t *testing.T) {
	t.Parallel()
	s, d := signerFor("ES256"), newDPoP(t, auth.DPoPConfig{})
	_, otherKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ed := signerFor("EdDSA")
	forged := signer{jwt.SigningMethodEdDSA, otherKey, ed.public}
	wantProof(t, "another key's", prove(t, d, ed, forged.proof(t, nil, nil)), auth.ReasonProof)
	good, other := strings.Split(s.proof(t, nil, nil), "."), strings.Split(s.proof(t, nil, object{"htm": "POST"}), ".")
	wantProof(t, "another payload's", prove(t, d, s, good[0]+"."+good[1]+"."+other[2]), auth.ReasonProof)
	wantProof(t, "zeros", prove(t, d, s, good[0]+"."+good[1]+"."+b64(strings.Repeat("\x00", 64))), auth.ReasonProof)
	wantProof(t, "its own", prove(t, d, s, strings.Join(good, ".")), "")
	// Nothing is said about claims that nobody signed.
	err = prove(t, d, s, other[0]+"."+other[1]+"."+good[2])
	if err == nil || !strings.Contains(err.Error(), "signature") {
		t.Errorf("a forged proof with a wrong method: %v, want the signature to be the matter", err)
	}
}

func TestDPoPMethod(t *testing.T) {
	t.Parallel()
	checkProofs(t, auth.DPoPConfig{}, []proofCase{
		{name: "another", claims: object{"htm": "POST"}, want: auth.ReasonProof},
		{name: "another case", claims: object{"htm": "get"}, want: auth.ReasonProof},
		{name: "HEAD", claims: object{"htm": "HEAD"}, want: auth.ReasonProof},
		{name: "none", claims: object{"htm": nil}, want: auth.ReasonProof},
		{name: "empty", claims: object{"htm": ""}, want: auth.ReasonProof},
		{name: "null", claims: object{"htm": null}, want: auth.ReasonProof},
		{name: "list", claims: object{"htm": []string{"GET"}}, want: auth.ReasonProof},
	})
}

func TestDPoPURL(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		request, htu string
		want         bool
	}{
		{"https://api.example.com/orders", "https://api.example.com/orders", true},
		{"https://api.example.com/orders?a=1", "https://api.example.com/orders", true},
		{"https://api.example.com/orders", "https://api.example.com/orders?b=2#c", true},
		{"https://api.example.com/orders", "HTTPS://API.Example.COM/orders", true},
		{"https://API.example.com/orders", "https://api.example.com/orders", true},
		{"https://api.example.com/orders", "https://api.example.com:443/orders", true},
		{"https://api.example.com:443/orders", "https://api.example.com/orders", true},
		{"https://api.example.com/orders", "https://api.example.com:/orders", true},
		{"https://api.example.com:8443/orders", "https://api.example.com:8443/orders", true},
		{"https://[2001:db8::1]:443/orders", "https://[2001:DB8::1]/orders", true},
		{"http://api.example.com/orders", "http://api.example.com:80/orders", true},
		{"https://api.example.com/", "https://api.example.com", true},
		{"https://api.example.com/", "https://api.example.com?x", true},
		{"https://api.example.com/%6frders/%c3%a9", "https://api.example.com/orders/%C3%A9", true},
		{"https://api.example.com/orders/~a", "https://api.example.com/orders/%7ea", true},
		{"https://api.example.com/a%2fb", "https://api.example.com/a%2Fb", true},
		{"https://api.example.com/a[1]|'\"b", "https://api.example.com/a[1]|'\"b", true},
		{"https://api.example.com/orders", "https://api.example.com/x/../orders", true},
		{"https://api.example.com/orders/", "https://api.example.com/./orders/x/..", true},
		{"https://api.example.com/", "https://api.example.com/../..", true},
		{"https://api.example.com/a/b", "https://api.example.com/a//%2e%2E/b", true},
		{"https://api.example.com/.well-known/..x", "https://api.example.com/.well-known/..x", true},

		{"https://api.example.com/orders", "https://api.example.com/Orders", false},
		{"https://api.example.com/orders", "https://api.example.com/orders/", false},
		{"https://api.example.com/orders", "https://api.example.com//orders", false},
		{"https://api.example.com/orders", "https://api.example.com/", false},
		{"https://api.example.com/orders", "http://api.example.com/orders", false},
		{"https://api.example.com/orders", "https://api.example.com:80/orders", false},
		{"https://api.example.com/orders", "https://api.example.com:4430/orders", false},
		{"https://api.example.com/orders", "https://api.example.com./orders", false},
		{"https://api.example.com/orders", "https://evil.example/orders", false},
		{"https://api.example.com/orders", "https://u@api.example.com/orders", false},
		{"https://api.example.com/orders", "https://api.example.com@evil.example/orders", false},
		{"https://api.example.com/orders", "https:api.example.com/orders", false},
		{"https://api.example.com/orders", "https:/api.example.com/orders", false},
		{"https://api.example.com/orders", "https:///orders", false},
		{"https://api.example.com/orders", "//api.example.com/orders", false},
		{"https://api.example.com/orders", "/orders", false},
		{"https://api.example.com/orders", "", false},
		{"https://api.example.com/orders", " https://api.example.com/orders", false},
		{"https://api.example.com/orders", "https://api.example.com/orders ", false},
		{"https://api.example.com/orders", `https:\\api.example.com\orders`, false},
		{"https://api.example.com/orders", "https://api.example.com/orders%", false},
		{"https://api.example.com/orders", "https://api.example.com/orders%0", false},
		{"https://api.example.com/a%2Fb", "https://api.example.com/a/b", false},
		{"https://api.example.com/a/b", "https://api.example.com/a%2Fb", false},
		{"https://api.example.com/a%252Fb", "https://api.example.com/a%2Fb", false},
		{"https://api.example.com/a+b", "https://api.example.com/a%20b", false},
		{"https://bank.example.com/", "https://ban\u212a.example.com/", false},
		{"https://api.example.com/%C3%A9", "https://api.example.com/\u00e9", false},
	} {
		s, d := signerFor("EdDSA"), newDPoP(t, auth.DPoPConfig{})
		r := httptest.NewRequest(http.MethodGet, tt.request, http.NoBody)
		r.Header.Set("DPoP", s.proof(t, nil, object{"htu": tt.htu}))
		want := ""
		if !tt.want {
			want = auth.ReasonProof
		}
		wantProof(t, tt.htu+" for "+tt.request, d.Check(r, boundToken, s.jkt(t)), want)
	}
	checkProofs(t, auth.DPoPConfig{}, []proofCase{
		{name: "none", claims: object{"htu": nil}, want: auth.ReasonProof},
		{name: "null", claims: object{"htu": null}, want: auth.ReasonProof},
		{name: "list", claims: object{"htu": []string{resourceURL}}, want: auth.ReasonProof},
	})
}

// TestDPoPDotSegments: routers do not agree on what such a path means, so no
// proof is for it, whatever its htu.
func TestDPoPDotSegments(t *testing.T) {
	t.Parallel()
	s, d := signerFor("EdDSA"), newDPoP(t, auth.DPoPConfig{})
	for _, path := range []string{"/x/../orders", "/./orders", "/orders/..", "/orders/.", "/x/%2e%2E/orders", "/%2e/orders"} {
		for _, htu := range []string{"https://api.example.com" + path, resourceURL, "https://api.example.com/", "https://api.example.com/orders/"} {
			r := httptest.NewRequest(http.MethodGet, "https://api.example.com"+path, http.NoBody)
			r.Header.Set("DPoP", s.proof(t, nil, object{"htu": htu}))
			wantProof(t, htu+" for "+path, d.Check(r, boundToken, s.jkt(t)), auth.ReasonProof)
		}
	}
}

// TestDPoPRequestLine: what muxes take off the path does not matter.
func TestDPoPRequestLine(t *testing.T) {
	t.Parallel()
	s := signerFor("EdDSA")
	d := newDPoP(t, auth.DPoPConfig{Origin: "https://api.example.com"})
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := d.Check(r, boundToken, s.jkt(t)); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
		}
	})
	mux := http.NewServeMux()
	mux.Handle("/v1/", http.StripPrefix("/v1", h))
	mux.HandleFunc("/moved/", func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path, r.URL.RawPath = "/elsewhere", ""
		h(w, r)
	})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.RequestURI == "*" {
			h(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	srv.Config.DisableGeneralOptionsHandler = true
	srv.Start()
	defer srv.Close()
	send := func(line, htm, htu string) int {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_, err = fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: somebody.example\r\nConnection: close\r\nDPoP: %s\r\n\r\n", line, s.proof(t, nil, object{"htm": htm, "htu": htu}))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if err != nil {
			t.Fatal(err)
		}
		var status int
		if _, err := fmt.Sscanf(string(answer), "HTTP/1.1 %d", &status); err != nil {
			t.Fatalf("answer %q: %v", answer, err)
		}
		return status
	}
	for _, tt := range []struct {
		line, htu string
		want      int
	}{
		{"GET /v1/orders", "https://api.example.com/v1/orders", 200},
		{"GET /v1/orders", "https://api.example.com/orders", 401},
		{"GET /v1/orders?q=//x", "https://api.example.com/v1/orders", 200},
		{"GET http://somebody.example/v1/orders?q", "https://api.example.com/v1/orders", 200},
		{"GET http://somebody.example/v1/orders", "https://somebody.example/v1/orders", 401},
		{"GET /moved/orders", "https://api.example.com/moved/orders", 200},
		{"GET /moved/orders", "https://api.example.com/elsewhere", 401},
		{"GET /v1//evil.example/x", "https://api.example.com/v1//evil.example/x", 307}, // ServeMux redirects
		{"OPTIONS *", "https://api.example.com/", 401},
		{"OPTIONS *", "https://api.example.com/*", 401},
	} {
		htm, _, _ := strings.Cut(tt.line, " ")
		if got := send(tt.line, htm, tt.htu); got != tt.want {
			t.Errorf("%s with %s: status = %d, want %d", tt.line, tt.htu, got, tt.want)
		}
	}

	// A request that no server read has no request line.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.example.com/a%2Fb?c", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("DPoP", s.proof(t, nil, object{"htu": "https://api.example.com/a%2fb"}))
	wantProof(t, "no request line", d.Check(r, boundToken, s.jkt(t)), "")
	for _, line := range []string{"orders", "//evil.example/orders", "ftp://api.example.com/orders", "/orders#", "/orders%zz", "/%4", "/a b", "/caf\u00e9", ""} {
		for _, htu := range []string{resourceURL, "https://api.example.com" + line, line} {
			if line == "//evil.example/orders" && strings.HasPrefix(htu, "https") && htu != resourceURL {
				continue // which is the path that it asks for
			}
			r := withProofs(s.proof(t, nil, object{"htu": htu}))
			if r.RequestURI = line; line == "" {
				r.URL = nil
			}
			wantProof(t, line+" with "+htu, d.Check(r, boundToken, s.jkt(t)), auth.ReasonProof)
		}
	}
}

func TestDPoPOrigin(t *testing.T) {
	t.Parallel()
	s := signerFor("EdDSA")
	for _, tt := range []struct {
		origin, request, host, htu string
		want                       bool
	}{
		{"https://api.example.com", "http://10.0.0.7:8080/orders", "10.0.0.7:8080", "https://api.example.com/orders", true},
		{"https://API.example.com:443/", "http://10.0.0.7/orders", "10.0.0.7", "https://api.example.com/orders", true},
		{"https://api.example.com/v1", "http://10.0.0.7/orders", "10.0.0.7", "https://api.example.com/v1/orders", true},
		{"https://api.example.com/v1/", "http://10.0.0.7/orders", "10.0.0.7", "https://api.example.com/v1/orders", true},
		{"https://api.example.com/v1", "http://10.0.0.7/orders", "10.0.0.7", "https://api.example.com/orders", false},
		{"https://api.example.com", "https://evil.example/orders", "evil.example", "https://evil.example/orders", false},
		{"https://api.example.com", "https://api.example.com/orders", "evil.example", "https://api.example.com/orders", true},
		{"http://localhost:8080", "http://localhost:8080/orders", "localhost:8080", "http://localhost:8080/orders", true},
		{"", "https://api.example.com/orders", "evil.example", "https://api.example.com/orders", false},
	} {
		d := newDPoP(t, auth.DPoPConfig{Origin: tt.origin})
		r := httptest.NewRequest(http.MethodGet, tt.request, http.NoBody)
		r.Host = tt.host
		r.Header.Set("DPoP", s.proof(t, nil, object{"htu": tt.htu}))
		want := ""
		if !tt.want {
			want = auth.ReasonProof
		}
		wantProof(t, fmt.Sprintf("%q: %s for %s", tt.origin, tt.htu, tt.request), d.Check(r, boundToken, s.jkt(t)), want)
	}
}

// TestDPoPScheme: without Origin the connection says whether it was TLS, or a
// proxy that is trusted.
func TestDPoPScheme(t *testing.T) {
	t.Parallel()
	s := signerFor("EdDSA")
	trust, err := clientip.New(clientip.Config{Proxies: []string{"10.0.0.0/8"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, peer, proto string
		trust             *clientip.Trust
		htu               string
		want              bool
	}{
		{"proxy says https", "10.0.0.7:1", "https", trust, "https://api.example.com/orders", true},
		{"proxy says http", "10.0.0.7:1", "http", trust, "http://api.example.com/orders", true},
		{"proxy says http, htu https", "10.0.0.7:1", "http", trust, "https://api.example.com/orders", false},
		{"proxy says nothing", "10.0.0.7:1", "", trust, "http://api.example.com/orders", false},
		{"proxy says something else", "10.0.0.7:1", "wss", trust, "http://api.example.com/orders", false},
		{"a stranger says https", "192.0.2.1:1", "https", trust, "https://api.example.com/orders", false},
		{"nobody is trusted", "10.0.0.7:1", "https", nil, "https://api.example.com/orders", false},
		{"plain", "192.0.2.1:1", "", nil, "http://api.example.com/orders", true},
	} {
		d := newDPoP(t, auth.DPoPConfig{Trust: tt.trust})
		r := httptest.NewRequest(http.MethodGet, "http://api.example.com/orders", http.NoBody)
		r.RemoteAddr = tt.peer
		if tt.proto != "" {
			r.Header.Set("X-Forwarded-Proto", tt.proto)
		}
		r.Header.Set("DPoP", s.proof(t, nil, object{"htu": tt.htu}))
		want := ""
		if !tt.want {
			want = auth.ReasonProof
		}
		wantProof(t, tt.name, d.Check(r, boundToken, s.jkt(t)), want)
	}
}

func TestDPoPDate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().Unix()
		checkProofs(t, auth.DPoPConfig{}, []proofCase{
			{name: "89 s ago", claims: object{"iat": now - 89}},
			{name: "90 s ago", claims: object{"iat": now - 90}, want: auth.ReasonProof},
			{name: "a year ago", claims: object{"iat": now - 365*24*3600}, want: auth.ReasonProof},
			{name: "in 30 s", claims: object{"iat": now + 30}},
			{name: "in 31 s", claims: object{"iat": now + 31}, want: auth.ReasonProof},
			{name: "in a bit more than 30 s", claims: object{"iat": float64(now) + 30.5}, want: auth.ReasonProof},
			{name: "in the year 10000", claims: object{"iat": 253402300800}, want: auth.ReasonProof},
			{name: "never", claims: object{"iat": 1e300}, want: auth.ReasonProof},
			{name: "beyond a number", claims: object{"iat": json.RawMessage("1e999")}, want: auth.ReasonProof},
			{name: "negative", claims: object{"iat": -1}, want: auth.ReasonProof},
			{name: "text", claims: object{"iat": fmt.Sprint(now)}, want: auth.ReasonProof},
			{name: "null", claims: object{"iat": null}, want: auth.ReasonProof},
			{name: "none", claims: object{"iat": nil}, want: auth.ReasonProof},
			{name: "list", claims: object{"iat": []int64{now}}, want: auth.ReasonProof},
			{name: "exp to come", claims: object{"exp": now + 1, "nbf": now}},
			{name: "exp over", claims: object{"exp": now - 30}, want: auth.ReasonProof},
			{name: "exp is text", claims: object{"exp": "x"}, want: auth.ReasonProof},
			{name: "nbf to come", claims: object{"nbf": now + 31}, want: auth.ReasonProof},
			{name: "nbf beyond an int64", claims: object{"nbf": 1e300}, want: auth.ReasonProof},
			{name: "nbf is null", claims: object{"nbf": null}, want: auth.ReasonProof},
		})
		checkProofs(t, auth.DPoPConfig{MaxAge: 10 * time.Second, Leeway: time.Second}, []proofCase{
			{name: "short, 10 s ago", claims: object{"iat": now - 10}},
			{name: "short, 11 s ago", claims: object{"iat": now - 11}, want: auth.ReasonProof},
			{name: "short, in 1 s", claims: object{"iat": now + 1}},
			{name: "short, in 2 s", claims: object{"iat": now + 2}, want: auth.ReasonProof},
		})
	})
}

func TestDPoPID(t *testing.T) {
	t.Parallel()
	checkProofs(t, auth.DPoPConfig{}, []proofCase{
		{name: "short", claims: object{"jti": "1"}},
		{name: "long", claims: object{"jti": strings.Repeat("x", 256)}},
		{name: "too long", claims: object{"jti": strings.Repeat("x", 257)}, want: auth.ReasonProof},
		{name: "empty", claims: object{"jti": ""}, want: auth.ReasonProof},
		{name: "none", claims: object{"jti": nil}, want: auth.ReasonProof},
		{name: "null", claims: object{"jti": null}, want: auth.ReasonProof},
		{name: "number", claims: object{"jti": 1}, want: auth.ReasonProof},
	})
}

func TestDPoPTokenHash(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256([]byte("another.token"))
	good := proofClaims()["ath"].(string)
	checkProofs(t, auth.DPoPConfig{}, []proofCase{
		{name: "another token's", claims: object{"ath": b64(string(sum[:]))}, want: auth.ReasonProof},
		{name: "none", claims: object{"ath": nil}, want: auth.ReasonProof},
		{name: "empty", claims: object{"ath": ""}, want: auth.ReasonProof},
		{name: "null", claims: object{"ath": null}, want: auth.ReasonProof},
		{name: "padded", claims: object{"ath": good + "="}, want: auth.ReasonProof},
		{name: "trailing bits", claims: object{"ath": good[:42] + string(good[42]+1)}, want: auth.ReasonProof},
		{name: "the token itself", claims: object{"ath": boundToken}, want: auth.ReasonProof},
	})
}

// TestDPoPThumbprint: a right proof with another key than the token's.
func TestDPoPThumbprint(t *testing.T) {
	t.Parallel()
	s, d := signerFor("ES256"), newDPoP(t, auth.DPoPConfig{})
	for _, jkt := range []string{"", signerFor("EdDSA").jkt(t), s.jkt(t) + "=", s.jkt(t)[:42], strings.ToLower(s.jkt(t))} {
		wantProof(t, "jkt "+jkt, d.Check(withProofs(s.proof(t, nil, nil)), boundToken, jkt), auth.ReasonBinding)
	}
	wantProof(t, "the token's", prove(t, d, s, s.proof(t, nil, nil)), "")
}

// A replayStore counts its calls and answers as it is told.
type replayStore struct {
	calls int
	first bool
	err   error
	slow  time.Duration

	owner, id string
	until     time.Time
}

func (s *replayStore) Use(_ context.Context, owner, id string, until time.Time) (bool, error) {
	s.calls++
	s.owner, s.id, s.until = owner, id, until
	time.Sleep(s.slow)
	return s.first, s.err
}

// TestDPoPReplayLast: whoever holds no key, or holds one and asks for something
// else, makes the store remember nothing.
func TestDPoPReplayLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, store := signerFor("ES256"), &replayStore{first: true}
		d := newDPoP(t, auth.DPoPConfig{Replay: store, RequireNonce: true})
		nonce := object{"nonce": d.Nonce()}
		and := func(edits object) object {
			all := maps.Clone(nonce)
			maps.Copy(all, edits)
			return all
		}
		for _, tt := range []proofCase{
			{name: "typ", header: object{"typ": "JWT"}},
			{name: "htm", claims: object{"htm": "POST"}},
			{name: "htu", claims: object{"htu": "https://evil.example/"}},
			{name: "iat", claims: object{"iat": 0}},
			{name: "jti", claims: object{"jti": nil}},
			{name: "ath", claims: object{"ath": "x"}},
			{name: "nonce", claims: object{"nonce": nil}},
		} {
			if err := prove(t, d, s, s.proof(t, tt.header, and(tt.claims))); err == nil {
				t.Errorf("%s: admitted", tt.name)
			}
		}
		if err := d.Check(withProofs(s.proof(t, nil, nonce)), boundToken, signerFor("EdDSA").jkt(t)); err == nil {
			t.Error("thumbprint: admitted")
		}
		if store.calls != 0 {
			t.Errorf("the store was asked %d times for refused proofs", store.calls)
		}
		wantProof(t, "good", prove(t, d, s, s.proof(t, nil, nonce)), "")
		if store.calls != 1 || store.owner != s.jkt(t) || len(store.id) != 43 || strings.Contains(store.id, "proof-") {
			t.Errorf("the store was asked %d times, for %q of %q", store.calls, store.id, store.owner)
		}
		if left := time.Until(store.until); left != 90*time.Second {
			t.Errorf("to remember for %v, want 90 s", left)
		}
	})
}

// malleate returns the other signature (r, n-s) that an ES256 signature (r, s)
// makes for everybody.
func malleate(tb testing.TB, sig string) string {
	tb.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(sig)
	if err != nil || len(raw) != 64 {
		tb.Fatalf("no ES256 signature: %v", err)
	}
	s := new(big.Int).Sub(elliptic.P256().Params().N, new(big.Int).SetBytes(raw[32:]))
	s.FillBytes(raw[32:])
	return b64(string(raw))
}

// TestDPoPReplay: a proof is good once. Another key, another URL or another id
// make another proof.
func TestDPoPReplay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, d := signerFor("ES256"), newDPoP(t, auth.DPoPConfig{})
		proof := s.proof(t, nil, object{"jti": "one"})
		wantProof(t, "first", prove(t, d, s, proof), "")
		wantProof(t, "second", prove(t, d, s, proof), auth.ReasonReplay)
		wantProof(t, "same id, another proof", prove(t, d, s, s.proof(t, nil, object{"jti": "one", "x": 1})), auth.ReasonReplay)
		wantProof(t, "same id, URL spelled otherwise", prove(t, d, s, s.proof(t, nil, object{"jti": "one", "htu": "HTTPS://API.example.com:443/%6Frders?x"})), auth.ReasonReplay)
		// Anybody can give an ES256 proof another signature.
		parts := strings.Split(proof, ".")
		sig := malleate(t, parts[2])
		wantProof(t, "the other signature", prove(t, d, s, parts[0]+"."+parts[1]+"."+sig), auth.ReasonReplay)

		wantProof(t, "another id", prove(t, d, s, s.proof(t, nil, object{"jti": "two"})), "")
		ed := signerFor("EdDSA")
		wantProof(t, "another key", prove(t, d, ed, ed.proof(t, nil, object{"jti": "one"})), "")
		r := httptest.NewRequest(http.MethodGet, "https://api.example.com/items", http.NoBody)
		r.Header.Set("DPoP", s.proof(t, nil, object{"jti": "one", "htu": "https://api.example.com/items"}))
		wantProof(t, "another URL", d.Check(r, boundToken, s.jkt(t)), "")

		// It is remembered for as long as it could be used.
		time.Sleep(90*time.Second - 1)
		wantProof(t, "just before its end", prove(t, d, s, proof), auth.ReasonReplay)
		time.Sleep(time.Nanosecond)
		wantProof(t, "at its end", prove(t, d, s, proof), auth.ReasonProof)
		wantProof(t, "the id, later", prove(t, d, s, s.proof(t, nil, object{"jti": "one"})), "")
	})
}

func TestDPoPReplayAtOnce(t *testing.T) {
	t.Parallel()
	s, d := signerFor("EdDSA"), newDPoP(t, auth.DPoPConfig{})
	proof := s.proof(t, nil, nil)
	var admitted atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if prove(t, d, s, proof) == nil {
				admitted.Add(1)
			}
		})
	}
	wg.Wait()
	if got := admitted.Load(); got != 1 {
		t.Errorf("admitted %d times, want once", got)
	}
}

// foreignError is a store's error, whose text may hold anything.
type foreignError struct{}

func (*foreignError) Error() string { return "dial redis://:hunter2@10.0.0.9: refused" }

func TestDPoPReplayStoreFails(t *testing.T) {
	t.Parallel()
	s := signerFor("EdDSA")
	foreign := &foreignError{}
	for _, tt := range []struct {
		name   string
		err    error
		detail string
	}{
		{"foreign", foreign, "replay store: *auth_test.foreignError"},
		{"full", auth.ErrFull, "replay store: the store is full"},
		{"canceled", context.Canceled, "replay store: *errors.errorString"},
	} {
		d := newDPoP(t, auth.DPoPConfig{Replay: &replayStore{first: true, err: tt.err}})
		err := prove(t, d, s, s.proof(t, nil, nil))
		wantProof(t, tt.name, err, auth.ReasonUnavailable)
		if !errors.Is(err, tt.err) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v does not wrap the store's error, or tells it", tt.name, err)
		}
		if e, ok := errors.AsType[*auth.Error](err); ok {
			if got := report.Detail(e.Err); got != tt.detail {
				t.Errorf("%s: detail = %q, want %q", tt.name, got, tt.detail)
			}
		}
	}
}

// TestDPoPSlowStore: what a store answers after the proof's end says nothing.
func TestDPoPSlowStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := signerFor("EdDSA")
		d := newDPoP(t, auth.DPoPConfig{Replay: &replayStore{first: true, slow: 90 * time.Second}})
		wantProof(t, "slow", prove(t, d, s, s.proof(t, nil, nil)), auth.ReasonProof)
	})
}

// TestDPoPFlood: a client that asks too fast for the memory of its key is not
// let in without it, and nobody else notices.
func TestDPoPFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, ed, d := signerFor("ES256"), signerFor("EdDSA"), newDPoP(t, auth.DPoPConfig{})
		for i := range 1000 {
			if err := prove(t, d, ed, ed.proof(t, nil, nil)); err != nil {
				t.Fatalf("proof %d: %v", i, err)
			}
		}
		wantProof(t, "one too many", prove(t, d, ed, ed.proof(t, nil, nil)), auth.ReasonUnavailable)
		wantProof(t, "somebody else", prove(t, d, s, s.proof(t, nil, nil)), "")
		time.Sleep(90 * time.Second)
		wantProof(t, "later", prove(t, d, ed, ed.proof(t, nil, nil)), "")
	})
}

func TestDPoPNonce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := auth.DPoPConfig{RequireNonce: true, NonceKey: auth.Secret([]byte(secret64))}
		s, d, twin, stranger := signerFor("ES256"), newDPoP(t, cfg), newDPoP(t, cfg), newDPoP(t, auth.DPoPConfig{RequireNonce: true})
		zeros := newDPoP(t, auth.DPoPConfig{RequireNonce: true, NonceKey: auth.Secret([]byte(secret64[:32]))})
		nonce := d.Nonce()
		for _, tt := range []struct {
			name string
			want string
			with any
		}{
			{"none", auth.ReasonNonce, nil},
			{"null", auth.ReasonNonce, null},
			{"empty", auth.ReasonNonce, ""},
			{"number", auth.ReasonNonce, 1},
			{"made up", auth.ReasonNonce, b64(strings.Repeat("x", 24))},
			{"cut", auth.ReasonNonce, nonce[:len(nonce)-1]},
			{"longer", auth.ReasonNonce, nonce + "AAAA"},
			{"another tag", auth.ReasonNonce, nonce[:len(nonce)-4] + "AAAA"},
			{"another time", auth.ReasonNonce, nonce[:8] + "AAA" + nonce[11:]},
			{"a stranger's", auth.ReasonNonce, stranger.Nonce()},
			{"one with a key of zeros", auth.ReasonNonce, zeros.Nonce()},
			{"ours", "", nonce},
			{"ours again", "", nonce},
			{"another instance's", "", twin.Nonce()},
		} {
			wantProof(t, tt.name, prove(t, d, s, s.proof(t, nil, object{"nonce": tt.with})), tt.want)
		}
		time.Sleep(5*time.Minute - 1)
		wantProof(t, "old", prove(t, d, s, s.proof(t, nil, object{"nonce": nonce})), "")
		time.Sleep(time.Nanosecond)
		wantProof(t, "too old", prove(t, d, s, s.proof(t, nil, object{"nonce": nonce})), auth.ReasonNonce)
		if d.Nonce() == nonce {
			t.Error("Nonce returns the same after 5 minutes")
		}
		if newDPoP(t, auth.DPoPConfig{}).Nonce() != "" || (*auth.DPoP)(nil).Nonce() != "" {
			t.Error("a nonce where none is wanted")
		}
	})
}

// TestDPoPNonceOfTheFuture: another instance's clock may be ahead, but not far.
func TestDPoPNonceOfTheFuture(t *testing.T) {
	t.Parallel()
	cfg := auth.DPoPConfig{RequireNonce: true, NonceKey: auth.Secret([]byte(secret64))}
	var early, late string
	synctest.Test(t, func(t *testing.T) {
		d := newDPoP(t, cfg)
		time.Sleep(30 * time.Second)
		early = d.Nonce()
		time.Sleep(time.Second)
		late = d.Nonce()
	})
	synctest.Test(t, func(t *testing.T) {
		s, d := signerFor("ES256"), newDPoP(t, cfg)
		wantProof(t, "ahead by 30 s", prove(t, d, s, s.proof(t, nil, object{"nonce": early})), "")
		wantProof(t, "ahead by 31 s", prove(t, d, s, s.proof(t, nil, object{"nonce": late})), auth.ReasonNonce)
	})
}

func TestDPoPNextNonce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, d := signerFor("ES256"), newDPoP(t, auth.DPoPConfig{RequireNonce: true})
		good := withProofs(s.proof(t, nil, object{"nonce": d.Nonce()}))
		next := func(name string, r *http.Request, want bool) {
			t.Helper()
			if got := d.NextNonce(r); got != "" != want || want && got != d.Nonce() {
				t.Errorf("%s: NextNonce = %q, want a fresh one: %t", name, got, want)
			}
		}
		next("no proof", withProofs(), true)
		next("two proofs", withProofs(s.proof(t, nil, nil), s.proof(t, nil, nil)), true)
		next("garbage", withProofs("..."), true)
		next("no JSON", withProofs("AA.AA.AA"), true)
		next("no nonce", withProofs(s.proof(t, nil, nil)), true)
		next("fresh", good, false)
		time.Sleep(150*time.Second - 1)
		next("not yet half of its life", good, false)
		time.Sleep(time.Nanosecond)
		next("past half of its life", good, true)
		if got := newDPoP(t, auth.DPoPConfig{}).NextNonce(good) + (*auth.DPoP)(nil).NextNonce(good); got != "" {
			t.Errorf("NextNonce = %q where none is wanted", got)
		}
	})
}

func TestDPoPChallenge(t *testing.T) {
	t.Parallel()
	d := newDPoP(t, auth.DPoPConfig{Algorithms: []string{"ES256", "EdDSA"}})
	const algs = `algs="ES256 EdDSA Ed25519"`
	challenges := func(d *auth.DPoP, e *auth.Error) []string {
		j, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{issuerOf(signerFor("ES256"))}, DPoP: d})
		if err != nil {
			t.Fatal(err)
		}
		return j.Challenges(e)
	}
	for _, tt := range []struct {
		err  auth.Error
		want string
	}{
		{auth.Error{Kind: auth.Missing}, `DPoP ` + algs},
		{auth.Error{Kind: auth.Invalid, Reason: auth.ReasonExpired}, `DPoP error="invalid_token", ` + algs},
		{auth.Error{Kind: auth.Invalid, Reason: auth.ReasonBinding}, `DPoP error="invalid_token", ` + algs},
		{auth.Error{Kind: auth.Invalid, Reason: auth.ReasonProof}, `DPoP error="invalid_dpop_proof", ` + algs},
		{auth.Error{Kind: auth.Invalid, Reason: auth.ReasonReplay}, `DPoP error="invalid_dpop_proof", ` + algs},
		{auth.Error{Kind: auth.Invalid, Reason: auth.ReasonNonce}, `DPoP error="use_dpop_nonce", ` + algs},
		{auth.Error{Kind: auth.Malformed}, `DPoP error="invalid_request", ` + algs},
		{auth.Error{Kind: auth.InsufficientScope}, `DPoP error="insufficient_scope", ` + algs},
		{auth.Error{Kind: auth.InsufficientScope, Scopes: []string{"a", `b"`, "c"}}, `DPoP error="insufficient_scope", scope="a c", ` + algs},
		{auth.Error{Kind: auth.StaleAuthentication, ACR: []string{"mfa"}, MaxAge: time.Minute}, `DPoP error="insufficient_user_authentication", acr_values="mfa", max_age="60", ` + algs},
		{auth.Error{Kind: auth.Unavailable}, ``},
		{auth.Error{Kind: auth.Forbidden}, ``},
	} {
		got := challenges(d, &tt.err)
		want := []string{tt.want}
		switch {
		case tt.want == "":
			want = nil
		case !strings.Contains(tt.want, "dpop"): // a bearer token would do as well
			bearer := strings.TrimSuffix(strings.TrimSuffix(strings.Replace(tt.want, "DPoP", "Bearer", 1), algs), ", ")
			want = []string{strings.TrimSpace(bearer), tt.want}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v %s: %q, want %q", tt.err.Kind, tt.err.Reason, got, want)
		}
	}
	d = newDPoP(t, auth.DPoPConfig{Algorithms: []string{"ES256"}, Required: true})
	if got := challenges(d, &auth.Error{Kind: auth.Missing}); !slices.Equal(got, []string{`DPoP algs="ES256"`}) {
		t.Errorf("where DPoP is required: %q", got)
	}
	if got := challenges(nil, &auth.Error{Kind: auth.Invalid}); !slices.Equal(got, []string{`Bearer error="invalid_token"`}) {
		t.Errorf("without DPoP: %q", got)
	}
}

func TestNewDPoP(t *testing.T) {
	t.Parallel()
	short := auth.Secret([]byte("0123456789"))
	for _, tt := range []struct {
		name string
		cfg  auth.DPoPConfig
		want string
	}{
		{"zero", auth.DPoPConfig{}, ""},
		{"no https", auth.DPoPConfig{Origin: "http://api.example.com"}, `auth: Origin is "http://api.example.com", want https`},
		{"no URL", auth.DPoPConfig{Origin: "api.example.com"}, `auth: Origin is "api.example.com", want such as "https://api.example.com"`},
		{"query", auth.DPoPConfig{Origin: "https://api.example.com/?"}, `auth: Origin is "https://api.example.com/?", want such as "https://api.example.com"`},
		{"user", auth.DPoPConfig{Origin: "https://u@api.example.com"}, `auth: Origin is "https://u@api.example.com", want such as "https://api.example.com"`},
		{"dots", auth.DPoPConfig{Origin: "https://api.example.com/a/.."}, `auth: Origin is "https://api.example.com/a/..", want a path without dot segments`},
		{"loopback", auth.DPoPConfig{Origin: "http://127.0.0.1:8080"}, ""},
		{"loopback, IPv6", auth.DPoPConfig{Origin: "http://[::1]"}, ""},
		{"not loopback", auth.DPoPConfig{Origin: "http://localhost.example.com"}, `auth: Origin is "http://localhost.example.com", want https`},
		{"nonce key", auth.DPoPConfig{RequireNonce: true, NonceKey: short}, "auth: NonceKey: secret has 10 bytes, want at least 32 random ones"},
		{"empty nonce key", auth.DPoPConfig{RequireNonce: true, NonceKey: auth.Secret(nil)}, "auth: NonceKey: secret has 0 bytes, want at least 32 random ones"},
		{"nonce key alone", auth.DPoPConfig{NonceKey: short}, "auth: NonceKey is set without RequireNonce"},
		{"nil store", auth.DPoPConfig{Replay: (*auth.RedisReplay)(nil)}, "auth: Replay is a nil or empty *RedisReplay, want one that NewRedisReplay made"},
		{
			"all at once",
			auth.DPoPConfig{MaxAge: -1, Leeway: time.Hour, Algorithms: []string{"HS256", "ES256", "ES256", "none"}},
			"auth: MaxAge is -1ns, want 0 to 5m0s\nauth: Leeway is 1h0m0s, want 0 to 5m0s\n" +
				"auth: Algorithms has HS256, want algorithms with a public key\nauth: Algorithms has ES256 again, want each once\n" +
				`auth: Algorithms has "none", want names such as "ES256"`,
		},
		{"too old", auth.DPoPConfig{MaxAge: 6 * time.Minute, Leeway: -1}, "auth: MaxAge is 6m0s, want 0 to 5m0s\nauth: Leeway is -1ns, want 0 to 5m0s"},
	} {
		d, err := auth.NewDPoP(tt.cfg)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != tt.want || (d == nil) != (err != nil) {
			t.Errorf("%s: %v, %q; want %q", tt.name, d != nil, got, tt.want)
		}
	}
	if !newDPoP(t, auth.DPoPConfig{Required: true}).Required() || newDPoP(t, auth.DPoPConfig{}).Required() || (*auth.DPoP)(nil).Required() {
		t.Error("Required is not what Config says")
	}
}

func TestDPoPNil(t *testing.T) {
	t.Parallel()
	s := signerFor("ES256")
	wantProof(t, "nil", prove(t, nil, s, s.proof(t, nil, nil)), auth.ReasonBinding)
	wantProof(t, "zero", prove(t, new(auth.DPoP), s, s.proof(t, nil, nil)), auth.ReasonProof)
}

func TestDPoPPrintsNoSecret(t *testing.T) {
	t.Parallel()
	const secret = "k3yX93jd02lsPqW8eRt5yUiOaZxCvBnM"
	cfg := auth.DPoPConfig{RequireNonce: true, NonceKey: auth.Secret([]byte(secret))}
	d := newDPoP(t, cfg)
	var out bytes.Buffer
	for _, v := range []any{cfg, &cfg, d, *d, cfg.NonceKey} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		if doc, err := json.Marshal(v); err == nil {
			out.Write(doc)
		}
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
	}
	for _, form := range []string{"k3y", fmt.Sprintf("%x", secret), fmt.Sprintf("%d", []byte(secret))[1:20], b64(secret)[:10], fmt.Sprintf("%#v", []byte(secret))[7:30]} {
		if strings.Contains(out.String(), form) {
			t.Errorf("%q is printed:\n%s", form, out.String())
		}
	}
	if !strings.Contains(out.String(), "RequireNonce") {
		t.Error("nothing is redacted: the test looks at nothing")
	}
}

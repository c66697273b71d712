package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatehouse-go/gatehouse/auth"
)

// keyIn makes a public key of a JWK without this package.
func keyIn(jwk map[string]any) (crypto.PublicKey, error) {
	member := func(name string) []byte {
		s, _ := jwk[name].(string)
		b, _ := base64.RawURLEncoding.DecodeString(s)
		return b
	}
	for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		if _, ok := jwk[private]; ok {
			return nil, errors.New("a private key")
		}
	}
	switch jwk["kty"] {
	case "RSA":
		return &rsa.PublicKey{N: new(big.Int).SetBytes(member("n")), E: int(new(big.Int).SetBytes(member("e")).Int64())}, nil
	case "EC":
		for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
			if curve.Params().Name == jwk["crv"] {
				return ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, member("x"), member("y")))
			}
		}
	case "OKP":
		if x := member("x"); len(x) == ed25519.PublicKeySize && jwk["crv"] == "Ed25519" {
			return ed25519.PublicKey(x), nil
		}
	}
	return nil, errors.New("no key")
}

// admittedByGolangJWT returns why golang-jwt refuses a proof under the key in
// its own header, or reads something else in it.
func admittedByGolangJWT(proof string, now time.Time, want signer) error {
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{"ES256", "ES384", "ES512", "EdDSA", "PS256", "RS256", "Ed25519"}),
		jwt.WithStrictDecoding(), jwt.WithIssuedAt(), jwt.WithLeeway(30*time.Second), jwt.WithTimeFunc(func() time.Time { return now }),
	)
	claims := jwt.MapClaims{}
	token, parts, err := parser.ParseUnverified(proof, claims)
	if token != nil && token.Header["alg"] == "Ed25519" { // which golang-jwt does not know
		token.Method, err = jwt.SigningMethodEdDSA, nil
	}
	if err != nil {
		return err
	}
	header, _ := token.Header["jwk"].(map[string]any)
	key, err := keyIn(header)
	if err != nil {
		return err
	}
	if public, ok := key.(interface{ Equal(x crypto.PublicKey) bool }); !ok || !public.Equal(want.public) {
		return errors.New("the key is another")
	}
	sig, err := base64.RawURLEncoding.Strict().DecodeString(parts[2])
	if err != nil {
		return err
	}
	if token.Method.Alg() != "EdDSA" {
		if _, err := parser.Parse(proof, func(*jwt.Token) (any, error) { return key, nil }); err != nil {
			return err
		}
	}
	if err := token.Method.Verify(parts[0]+"."+parts[1], sig, key); err != nil {
		return err
	}
	if _, ok := token.Header["crit"]; ok {
		return errors.New("crit")
	}
	typ, _ := token.Header["typ"].(string)
	if !strings.EqualFold(strings.TrimPrefix(strings.ToLower(typ), "application/"), "dpop+jwt") {
		return fmt.Errorf("typ is %q", typ)
	}
	sum := sha256.Sum256([]byte(boundToken))
	htu, _ := claims["htu"].(string)
	u, err := url.Parse(htu)
	switch {
	case err != nil:
		return err
	case claims["htm"] != "GET", claims["ath"] != b64(string(sum[:])), claims["jti"] == "", claims["jti"] == nil, claims["iat"] == nil:
		return fmt.Errorf("claims %v", claims)
	case !strings.EqualFold(u.Hostname(), "api.example.com"), u.User != nil, path.Clean("/"+u.Path) != "/orders":
		return fmt.Errorf("htu is %q", htu)
	}
	return nil
}

// FuzzProof: whatever DPoP admits golang-jwt admits too, under the key in the
// proof, which is the token's, and reads the same in it. The proof is tried as
// it is, and header and payload under a right signature.
func FuzzProof(f *testing.F) {
	now := time.Unix(1_800_000_000, 0)
	algs := []string{"ES256", "EdDSA", "RS256", "ES384", "ES512", "PS256"}
	d, strict := newDPoP(f, auth.DPoPConfig{}), newDPoP(f, auth.DPoPConfig{RequireNonce: true})
	claims := proofClaims().with(object{"iat": now.Unix()})
	for i, alg := range algs {
		s := signerFor(alg)
		f.Add(uint8(i), encode(f, s, s.proofHeader(f).json(f), claims.json(f)), s.proofHeader(f).json(f), claims.json(f))
	}
	es, ed := signerFor("ES256"), signerFor("EdDSA")
	good := claims.json(f)
	f.Add(uint8(0), "..", es.proofHeader(f).with(object{"typ": "application/DPoP+jwt", "kid": "x"}).json(f), claims.with(object{"htu": "HTTPS://API.example.com:443/%6frders?q#f"}).json(f))
	f.Add(uint8(1), "", ed.proofHeader(f).with(object{"alg": "Ed25519"}).json(f), claims.with(object{"exp": now.Unix() + 1, "nbf": 1.5}).json(f))
	f.Add(uint8(1), "a.b.c", ed.proofHeader(f).with(object{"crit": []string{}}).json(f), `{"iat":1,`+good[1:])
	f.Add(uint8(0), "\r\n", es.proofHeader(f).with(object{"jwk": jwkOf(f, ed.public, nil)}).json(f), claims.with(object{"iat": 1e300}).json(f))
	f.Add(uint8(0), "", es.proofHeader(f).with(object{"jwk": jwkOf(f, es.public, object{"d": "AA"})}).json(f), claims.with(object{"htu": "https://api.example.com/x/../orders"}).json(f))
	f.Fuzz(func(t *testing.T, alg uint8, raw, header, payload string) {
		s := signerFor(algs[int(alg)%len(algs)])
		for _, proof := range []string{raw, encode(t, s, header, payload)} {
			r := withProofs(proof)
			err := auth.Prove(d, r, boundToken, s.jkt(t), now)
			if strict.NextNonce(r) == "" {
				t.Errorf("DPoP takes the nonce of %s for its own", proof)
			}
			if err != nil {
				if got := reason(err); got != auth.ReasonProof && got != auth.ReasonBinding {
					t.Errorf("reason = %q (%v), want the proof's fault", got, err)
				}
				continue
			}
			if err := admittedByGolangJWT(proof, now, s); err != nil {
				t.Errorf("DPoP admits what golang-jwt does not: %v\n%s", err, proof)
			}
			if err := auth.Prove(d, r, boundToken+"x", s.jkt(t), now); err == nil {
				t.Error("DPoP admits the proof for another token")
			}
			if err := auth.Prove(d, r, boundToken, s.jkt(t), now.Add(2*time.Minute)); err == nil {
				t.Error("DPoP admits the proof two minutes later")
			}
		}
	})
}

// FuzzBinding: a request with a proof or a certificate is admitted under a cnf
// that says no more and no less; one without is admitted under none.
func FuzzBinding(f *testing.F) {
	s, cert := signerFor("EdDSA"), certificate(f, "mine")
	jkt, x5t := s.jkt(f), x5t(cert)
	for _, seed := range []string{
		`{"jkt":"` + jkt + `"}`, `{"x5t#S256":"` + x5t + `"}`, `{"jkt":"` + jkt + `","x5t#S256":"` + x5t + `"}`, `{}`, `null`, ``,
		`{"jkt":"` + jkt + `","jkt":1}`, `{"JKT":"` + jkt + `"}`, `{"\u006akt":"` + jkt + `"}`, `{"jkt":"` + jkt + `","kid":"x"}`, `{"jwk":{}}`,
	} {
		f.Add([]byte(seed))
	}
	b := auth.Binding{DPoP: newDPoP(f, auth.DPoPConfig{Replay: &replayStore{first: true}})}
	f.Fuzz(func(t *testing.T, cnf []byte) {
		if cnf == nil {
			cnf = []byte{}
		}
		proof := s.proof(t, nil, nil)
		for _, scheme := range []string{"DPoP", "Bearer"} {
			naked := withProofs()
			if b.Check(naked, scheme, boundToken, cnf) == nil {
				t.Errorf("%s with %q is admitted without anything", scheme, cnf)
			}
			r := withProofs(proof)
			r.TLS.PeerCertificates = []*x509.Certificate{cert}
			if b.Check(r, scheme, boundToken, cnf) != nil {
				continue
			}
			var m map[string]string
			if err := json.Unmarshal(cnf, &m); err != nil {
				t.Fatalf("%s with %q is admitted: %v", scheme, cnf, err)
			}
			rest := maps.Clone(m)
			delete(rest, "jkt")
			delete(rest, "x5t#S256")
			if len(m) == 0 || len(rest) > 0 || (m["jkt"] == jkt) != (scheme == "DPoP") || m["x5t#S256"] != "" && m["x5t#S256"] != x5t {
				t.Errorf("%s with %q is admitted", scheme, cnf)
			}
		}
	})
}

// FuzzTarget: a URL and a request are the same to DPoP only if they have the
// same host and, decoded, the same path to net/url. What is normal stays as it
// is.
func FuzzTarget(f *testing.F) {
	for _, seed := range [][2]string{
		{"/orders", "https://api.example.com/orders"},
		{"/a%2Fb?c", "HTTPS://API.example.com:443/a%2fb#d"},
		{"/", "https://api.example.com"},
		{"/x", "https://u@api.example.com/x"},
		{"//x/y", "https://api.example.com//x/y"},
		{"/a/./b", "https://api.example.com/a/../a/b"},
		{"/%7e", "https://api.example.com/~"},
		{"https://api.example.com/x?y", "https://api.example.com:/x"},
		{"*", "https://[::1]:443/"},
		{"/a%00b", "https://api.example.com/a%00b"},
		{"/[]", "https://api.example.com/[]"},
		{"/a;b", "https://api.example.com/a;b"},
	} {
		f.Add(seed[0], seed[1])
	}
	d := newDPoP(f, auth.DPoPConfig{})
	f.Fuzz(func(t *testing.T, line, htu string) {
		got, ok := auth.HTU(htu)
		if ok {
			again, ok := auth.HTU(got[0] + "://" + got[1] + got[2])
			// A port may be hidden behind another.
			if trimmed := strings.HasSuffix(got[1], ":80") || strings.HasSuffix(got[1], ":443") || strings.HasSuffix(got[1], ":"); !trimmed && (!ok || again != got) {
				t.Errorf("%q is %q and, once more, %q, %t", htu, got, again, ok)
			}
		}
		r := httptest.NewRequest(http.MethodGet, resourceURL, http.NoBody)
		r.RequestURI = line
		want, err := auth.RequestTarget(d, r)
		if err != nil {
			return
		}
		if !ok || got != want {
			return
		}
		if strings.Contains(want[2]+"/", "/../") || strings.Contains(want[2]+"/", "/./") {
			t.Errorf("%q is the same as %q, with dot segments", htu, line)
		}
		u, err := url.Parse(htu)
		if err != nil {
			t.Fatalf("%q is the same as %q, and net/url refuses it: %v", htu, line, err)
		}
		asked, err := url.ParseRequestURI(line)
		if err != nil {
			t.Fatalf("%q is the same as %q, and net/url refuses that: %v", htu, line, err)
		}
		if !strings.EqualFold(u.Hostname(), "api.example.com") || u.User != nil || u.Port() != "" && u.Port() != "443" {
			t.Errorf("%q is the same as %q", htu, line)
		}
		same := func(p string) string { // no dots in it, but for what is no segment
			return strings.Trim(path.Clean("/"+p), "/")
		}
		if same(u.Path) != same(asked.Path) || !strings.EqualFold(u.Scheme, "https") {
			t.Errorf("%q is the same as %q, but the paths are %q and %q", htu, line, u.Path, asked.Path)
		}
	})
}

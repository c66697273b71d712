package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/internal/strictjson"
)

// A vector is one of the JOSE cookbook (RFC 7520, RFC 7797, RFC 8037). Its
// payload is no JSON, which is why it is verified below the claims.
type vector struct {
	Input struct {
		Payload string
		Key     json.RawMessage
		Alg     string
	}
	Output output
}

type output struct {
	Compact string
	JSON    json.RawMessage `json:"json"`
	Flat    json.RawMessage `json:"json_flat"`
}

func read[T any](t *testing.T, path string) T {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// keyOf is the key of a JWK, for alg. The key of a pair goes through the same
// parser as a JWKS, without its private members.
func keyOf(t *testing.T, doc json.RawMessage, alg string) key {
	t.Helper()
	jwk, err := strictjson.Members(doc)
	if err != nil {
		t.Fatal(err)
	}
	if string(jwk["kty"]) == `"oct"` {
		o := new(strictjson.Object)
		if err := o.Parse(doc); err != nil {
			t.Fatal(err)
		}
		secret, err := octets(o, "k")
		if err != nil {
			t.Fatal(err)
		}
		return newKey("", algorithms[alg], secret)
	}
	public := make(map[string]json.RawMessage)
	for name, value := range jwk {
		switch name {
		case "d", "p", "q", "dp", "dq", "qi":
		default:
			public[name] = value
		}
	}
	set, err := json.Marshal(map[string]any{"keys": []any{public}})
	if err != nil {
		t.Fatal(err)
	}
	keys, errs := StaticJWKS(set).keys([]string{alg})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	found := keys.unnamed
	for _, k := range keys.named {
		found = append(found, k)
	}
	private, err := json.Marshal(map[string]any{"keys": []any{doc}})
	if err != nil {
		t.Fatal(err)
	}
	if _, errs := StaticJWKS(private).keys([]string{alg}); errs == nil {
		t.Error("the private JWK was taken for a public one")
	}
	return *found[0]
}

func verifyCompact(compact string, k key) ([]byte, error) {
	payload, signature, c, err := parse(compact, k.alg)
	if err != nil {
		return nil, err
	}
	return payload, c.verify(&k, signature)
}

// parse takes a JWS apart as a JWT does, up to its claims.
func parse(text, alg string) (payload, signature []byte, c compact, err error) {
	if c, err = split(text); err != nil {
		return nil, nil, c, err
	}
	h, err := readTokenHeader(c.header)
	if err != nil {
		return nil, nil, c, err
	}
	if h.alg != alg {
		return nil, nil, c, refuseKey(errOtherAlgorithm)
	}
	payload, signature, err = c.decode()
	return payload, signature, c, err
}

func TestCookbook(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"jws/4_1.rsa_v15_signature.json", "jws/4_2.rsa-pss_signature.json", "jws/4_3.ecdsa_signature.json",
		"jws/4_4.hmac-sha2_integrity_protection.json", "curve25519/jws.json",
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			v := read[vector](t, "testdata/cookbook/"+path)
			k := keyOf(t, v.Input.Key, v.Input.Alg)
			payload, err := verifyCompact(v.Output.Compact, k)
			if err != nil || string(payload) != v.Input.Payload {
				t.Errorf("verify = %q, %v, want %q", payload, err, v.Input.Payload)
			}
			for i := range v.Output.Compact { // no byte of it may be another
				b := []byte(v.Output.Compact)
				if b[i] ^= 1; b[i] == '.' || i%7 != 0 {
					continue
				}
				if _, err := verifyCompact(string(b), k); err == nil {
					t.Errorf("verified with byte %d changed", i)
				}
			}
		})
	}
}

// RFC 8725 section 2.13: only the compact form is a token.
func TestCookbookInJSONIsRefused(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/cookbook/*/*.json")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, path := range paths {
		v := read[struct{ Output output }](t, path)
		for _, raw := range []json.RawMessage{v.Output.JSON, v.Output.Flat} {
			if raw == nil {
				continue
			}
			n++
			var short bytes.Buffer
			if err := json.Compact(&short, raw); err != nil {
				t.Fatal(err)
			}
			if _, _, _, err := parse(short.String(), ""); err == nil || !strings.Contains(err.Error(), ReasonMalformed) {
				t.Errorf("%s: parse = %v, want it malformed", path, err)
			}
		}
	}
	if n < 15 {
		t.Errorf("%d JSON serialisations were tried, want at least 15", n)
	}
}

// RFC 7515 appendix F: a payload that is elsewhere is not looked for.
func TestDetachedContentIsRefused(t *testing.T) {
	t.Parallel()
	v := read[vector](t, "testdata/cookbook/jws/4_5.signature_with_detached_content.json")
	if _, _, _, err := parse(v.Output.Compact, ""); err == nil || err.Error() != "auth: malformed: an empty part" {
		t.Errorf("parse = %v, want it malformed", err)
	}
}

// RFC 7797: golang-jwt knows no b64, so a token with it verifies over bytes
// that nobody signed, or not at all.
func TestUnencodedPayloadIsRefused(t *testing.T) {
	t.Parallel()
	v := read[vector](t, "testdata/cookbook/rfc7797/hmac-sha2_b64_false.json")
	if _, _, _, err := parse(v.Output.Compact, ""); err == nil || !strings.Contains(err.Error(), ReasonMalformed) {
		t.Errorf("parse = %v, want it malformed", err)
	}
	header, rest, _ := strings.Cut(v.Output.Compact, ".")
	signature := rest[strings.LastIndexByte(rest, '.')+1:]
	for _, payload := range []string{"VGhpcyBpcyB0aGUgcGF5bG9hZCBzdHJpbmch", "JC4wMg", "e30"} {
		if _, _, _, err := parse(header+"."+payload+"."+signature, ""); err == nil || !strings.Contains(err.Error(), ReasonCritical) {
			t.Errorf("parse = %v, want crit", err)
		}
	}
}

// RFC 7515 appendix A.1 verifies, and no service can use its key.
func TestRFC7515A1(t *testing.T) {
	t.Parallel()
	v := read[struct {
		JWK json.RawMessage
		JWS string
	}](t, "testdata/rfc7515_A1.json")
	k := keyOf(t, v.JWK, "HS256")
	payload, err := verifyCompact(v.JWS, k)
	if want := "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}"; err != nil || string(payload) != want {
		t.Errorf("verify = %q, %v, want %q", payload, err, want)
	}
	jwk := new(strictjson.Object)
	if err := jwk.Parse(v.JWK); err != nil {
		t.Fatal(err)
	}
	secret, err := octets(jwk, "k")
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwk.Text("k")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range [][]byte{secret, secret[:32], []byte(text)} {
		_, err := NewJWT(JWTConfig{Issuers: []Issuer{{URL: "joe", Audience: []string{"a"}, Keys: Secret(s)}}})
		if err == nil || !strings.Contains(err.Error(), "well-known sample") {
			t.Errorf("NewJWT = %v, want the sample secret refused", err)
		}
	}
}

func TestRFC8037A4(t *testing.T) {
	t.Parallel()
	v := read[struct {
		JWK     json.RawMessage
		JWS     string
		Payload string
	}](t, "testdata/rfc8037_A4.json")
	payload, err := verifyCompact(v.JWS, keyOf(t, v.JWK, "EdDSA"))
	if err != nil || string(payload) != v.Payload {
		t.Errorf("verify = %q, %v, want %q", payload, err, v.Payload)
	}
}

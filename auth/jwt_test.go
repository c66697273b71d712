package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/principal"
)

// reason is why err refused a token, "" if it did not.
func reason(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*auth.Error](err); ok {
		return e.Reason
	}
	return fmt.Sprintf("%T is no *Error", err)
}

// check asserts that a token gets the reason want, "" for admitted, and never
// a principal beside an error.
func check(t *testing.T, j *auth.JWT, token, want string) *principal.Principal {
	t.Helper()
	p, err := j.Verify(t.Context(), token)
	if got := reason(err); got != want || (p == nil) != (err != nil) {
		t.Errorf("Verify = %v, %v, want reason %q", p, err, want)
	}
	return p
}

func TestNewJWTReportsEveryMistake(t *testing.T) {
	t.Parallel()
	_, err := auth.NewJWT(auth.JWTConfig{
		Leeway: time.Hour,
		Issuers: []auth.Issuer{
			{RolesClaim: "a..b"},
			{URL: issuerURL, Audience: []string{""}, Keys: auth.Secret([]byte("short")), Algorithms: []string{"none"}},
			{URL: issuerURL, Audience: []string{service}, Keys: auth.Secret([]byte(secret64)), Algorithms: []string{"HS256", "RS256", "HS256"}},
		},
	})
	want := strings.Join([]string{
		`auth: Leeway is 1h0m0s, want 0 to 5m0s`,
		`auth: Issuers[0].URL is empty, want the exact value of iss`,
		`auth: Issuers[0].Audience is empty, want the names of this service`,
		`auth: Issuers[0].RolesClaim is "a..b", want the name of a claim or a path of names with dots between`,
		`auth: Issuers[1].Audience has an empty name`,
		`auth: Issuers[1].Algorithms has "none", want names such as "ES256"`,
		`auth: Issuers[1].Keys: secret has 5 bytes, want at least 32 random ones`,
		`auth: Issuers[2].Algorithms has RS256, which does not go with the kind of Keys`,
		`auth: Issuers[2].Algorithms has HS256 again, want each once`,
		`auth: Issuers[2].URL is "https://id.example.com" again, want each issuer once`,
	}, "\n")
	if err == nil || err.Error() != want {
		t.Errorf("NewJWT =\n%v\nwant\n%s", err, want)
	}
	if _, err := auth.NewJWT(auth.JWTConfig{Leeway: -1}); err == nil || !strings.Contains(err.Error(), "Issuers is empty") || !strings.Contains(err.Error(), "Leeway is -1ns") {
		t.Errorf("NewJWT without issuers = %v", err)
	}
}

func TestNewJWTCopiesItsConfig(t *testing.T) {
	t.Parallel()
	s := signerFor("HS256")
	audience := []string{service}
	j := newJWT(t, auth.Issuer{URL: issuerURL, Audience: audience, Keys: s.source()})
	audience[0] = "another"
	check(t, j, s.token(t, goodClaims()), "")
	check(t, j, s.token(t, goodClaims().with(object{"aud": "another"})), auth.ReasonAudience)
}

func TestEachAlgorithm(t *testing.T) {
	t.Parallel()
	algorithms := []string{
		"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
	}
	for _, alg := range algorithms {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			s := signerFor(alg)
			j := newJWT(t, issuerOf(s))
			good := s.token(t, goodClaims())
			if p := check(t, j, good, ""); p != nil && p.Subject != "alice" {
				t.Errorf("Subject = %q, want alice", p.Subject)
			}
			// The same key with every other algorithm, signed and merely named.
			payload := goodClaims().json(t)
			for _, other := range algorithms {
				if other == alg {
					continue
				}
				check(t, j, encode(t, s, object{"alg": other}.json(t), payload), auth.ReasonAlgorithm)
				if o := signerFor(other); reflect.TypeOf(o.private) == reflect.TypeOf(s.private) && o.private != nil {
					check(t, j, encode(t, o, object{"alg": other}.json(t), payload), auth.ReasonAlgorithm)
				}
			}
			// Another payload under the same signature.
			parts := strings.Split(good, ".")
			parts[1] = b64(goodClaims().with(object{"sub": "admin"}).json(t))
			check(t, j, strings.Join(parts, "."), auth.ReasonSignature)
		})
	}
}

func TestDefaultAlgorithms(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"HS256", "RS256", "ES256", "ES384", "ES512", "EdDSA"} {
		s := signerFor(alg)
		j := newJWT(t, auth.Issuer{URL: issuerURL, Audience: []string{service}, Keys: s.source()})
		check(t, j, s.token(t, goodClaims()), "")
	}
	for _, alg := range []string{"HS384", "RS512", "PS256"} {
		s := signerFor(alg)
		j := newJWT(t, auth.Issuer{URL: issuerURL, Audience: []string{service}, Keys: s.source()})
		check(t, j, s.token(t, goodClaims()), auth.ReasonAlgorithm)
	}
}

// RFC 9864 calls Ed25519 what RFC 8037 called EdDSA.
func TestEd25519ByItsNewName(t *testing.T) {
	t.Parallel()
	s := signerFor("EdDSA")
	iss := issuerOf(s)
	check(t, newJWT(t, iss), encode(t, s, `{"alg":"Ed25519"}`, goodClaims().json(t)), "")
	iss.Algorithms = []string{"Ed25519", "RS256"}
	check(t, newJWT(t, iss), encode(t, s, `{"alg":"EdDSA"}`, goodClaims().json(t)), "")
}

// golang-jwt's PS methods take a salt of any length (Wycheproof JWS 281-286).
func TestPSSSaltHasTheHashsLength(t *testing.T) {
	t.Parallel()
	s := signerFor("PS256")
	j := newJWT(t, issuerOf(s))
	for salt, want := range map[int]string{0: auth.ReasonSignature, 20: auth.ReasonSignature, 32: ""} {
		method := &jwt.SigningMethodRSAPSS{
			SigningMethodRSA: jwt.SigningMethodPS256.SigningMethodRSA,
			Options:          &rsa.PSSOptions{SaltLength: salt},
		}
		if salt == 0 { // 0 means auto to crypto/rsa; a salt that long fits no hash
			method.Options.SaltLength = 64
		}
		check(t, j, signer{method: method, private: s.private}.token(t, goodClaims()), want)
	}
}

// CVE-2015-2951, RFC 8725 section 3.1.
func TestAlgNone(t *testing.T) {
	t.Parallel()
	s := signerFor("HS256")
	j := newJWT(t, issuerOf(s))
	payload := goodClaims().json(t)
	good := s.token(t, goodClaims())
	for _, header := range []string{
		`{"alg":"none"}`, `{"alg":"None"}`, `{"alg":"NONE"}`, `{"alg":"nOnE"}`, `{"alg":" none"}`, `{"alg":"none "}`,
		`{"alg":""}`, `{"alg":null}`, `{"alg":["none"]}`, `{"alg":["HS256"]}`, `{"alg":0}`, `{"alg":true}`, `{"alg":{}}`, `{}`,
		`{"alg":"hs256"}`, `{"alg":"HS256\u0000"}`, `{"alg":"HS257"}`, `{"alg":"non\u0065"}`,
	} {
		for _, token := range []string{
			b64(header) + "." + b64(payload) + ".",
			b64(header) + "." + b64(payload) + good[strings.LastIndex(good, "."):],
			encode(t, s, header, payload),
		} {
			check(t, j, token, auth.ReasonAlgorithm)
		}
	}
	check(t, j, good[:strings.LastIndex(good, ".")+1], auth.ReasonSignature)
	check(t, j, b64(`{"alg":"none"}`)+"."+b64(payload), auth.ReasonMalformed)
}

// CVE-2016-10555, CVE-2026-33322: a public key taken for an HMAC secret.
func TestAlgorithmConfusion(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			s := signerFor(alg)
			der, err := x509.MarshalPKIXPublicKey(s.public)
			if err != nil {
				t.Fatal(err)
			}
			block := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
			jwk := jwkOf(t, s.public, nil)
			secrets := map[string][]byte{
				"PEM": block, "PEM without its last line break": block[:len(block)-1], "DER": der,
				"base64 of DER": []byte(base64.StdEncoding.EncodeToString(der)), "JWK": []byte(jwk.json(t)), "JWKS": jwks(t, jwk), "nothing": {},
			}
			switch k := s.public.(type) {
			case *rsa.PublicKey:
				secrets["PKCS #1"] = x509.MarshalPKCS1PublicKey(k)
				secrets["modulus"] = k.N.Bytes()
			case *ecdsa.PublicKey:
				if secrets["point"], err = k.Bytes(); err != nil {
					t.Fatal(err)
				}
			}
			for _, keys := range []auth.KeySource{s.source(), auth.PEM("k", block), auth.StaticJWKS(jwks(t, jwk.with(object{"alg": alg, "kid": "k"})))} {
				j := newJWT(t, auth.Issuer{URL: issuerURL, Audience: []string{service}, Keys: keys})
				for name, secret := range secrets {
					for _, method := range []*jwt.SigningMethodHMAC{jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512} {
						hs := signer{method: method, private: secret}
						for _, header := range []object{{"alg": method.Name}, {"alg": method.Name, "kid": "k"}} {
							forged := encode(t, hs, header.json(t), goodClaims().json(t))
							if p, err := j.Verify(t.Context(), forged); reason(err) != auth.ReasonAlgorithm && (reason(err) != auth.ReasonKey || header["kid"] == nil) {
								t.Errorf("%s as a secret for %s: Verify = %v, %v", name, method.Name, p, err)
							}
						}
					}
				}
			}
		})
	}
}

func TestKid(t *testing.T) {
	t.Parallel()
	ed, rs, es := signerFor("EdDSA"), signerFor("RS256"), signerFor("ES256")
	one := newJWT(t, auth.Issuer{URL: issuerURL, Audience: []string{service}, Keys: auth.PublicKeys(map[string]crypto.PublicKey{"a": ed.public})})
	two := newJWT(t, auth.Issuer{URL: issuerURL, Audience: []string{service}, Keys: auth.PublicKeys(map[string]crypto.PublicKey{"a": ed.public, "b": rs.public})})
	unnamed := newJWT(t, auth.Issuer{URL: issuerURL, Audience: []string{service}, Keys: auth.PublicKeys(map[string]crypto.PublicKey{"": es.public, "b": rs.public})})
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	twins := newJWT(t, auth.Issuer{URL: issuerURL, Audience: []string{service}, Keys: auth.PublicKeys(map[string]crypto.PublicKey{"a": es.public, "b": &other.PublicKey})})
	for _, tt := range []struct {
		name   string
		jwt    *auth.JWT
		signer signer
		kid    any
		want   string
	}{
		{"one key, its kid", one, ed, "a", ""},
		{"one key, no kid", one, ed, nil, ""},
		{"one key, another kid", one, ed, "b", auth.ReasonKey},
		{"one key, another case", one, ed, "A", auth.ReasonKey},
		{"one key, kid is a number", one, ed, 1, auth.ReasonMalformed},
		{"one key, kid is null", one, ed, null, auth.ReasonMalformed},
		{"one key, kid is a path", one, ed, "../../dev/null", auth.ReasonKey},
		{"two keys, first", two, ed, "a", ""},
		{"two keys, second", two, rs, "b", ""},
		{"two keys, no kid, one fits", two, rs, nil, ""},
		{"two keys, empty kid, one fits", two, rs, "", ""},
		{"two keys, no kid, none fits", two, es, nil, auth.ReasonKey},
		{"two keys, no kid, both fit", twins, es, nil, auth.ReasonKey},
		{"two keys that fit, by kid", twins, es, "a", ""},
		{"two keys that fit, by the other's kid", twins, es, "b", auth.ReasonSignature},
		{"two keys, the other's kid", two, rs, "a", auth.ReasonAlgorithm},
		{"unnamed key, no kid", unnamed, es, nil, ""},
		{"unnamed key, no kid, signed by the other", unnamed, rs, nil, auth.ReasonAlgorithm},
		{"unnamed key, the other's kid", unnamed, es, "b", auth.ReasonAlgorithm},
		{"unnamed key, any kid", unnamed, es, "c", auth.ReasonKey},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			header := object{"alg": tt.signer.method.Alg()}.with(object{"kid": tt.kid})
			check(t, tt.jwt, encode(t, tt.signer, header.json(t), goodClaims().json(t)), tt.want)
		})
	}
}

func TestHeader(t *testing.T) {
	t.Parallel()
	s, attacker := signerFor("EdDSA"), signerFor("ES256")
	j := newJWT(t, issuerOf(s))
	own := jwkOf(t, attacker.public, nil).json(t)
	for _, tt := range []struct {
		name, header, want string
	}{
		{"plain", `{"alg":"EdDSA"}`, ""},
		{"white space", " {\n \"alg\" :\t\"EdDSA\" } ", ""},
		{"escaped name", `{"\u0061lg":"EdDSA"}`, ""},
		{"escaped value", `{"alg":"\u0045dDSA"}`, ""},
		{"unknown parameter", `{"alg":"EdDSA","x":{"y":[1,{"z":null}]}}`, ""},

		{"typ JWT", `{"alg":"EdDSA","typ":"JWT"}`, ""},
		{"typ jwt", `{"alg":"EdDSA","typ":"jwt"}`, ""},
		{"typ at+jwt", `{"alg":"EdDSA","typ":"at+jwt"}`, ""},
		{"typ AT+JWT", `{"alg":"EdDSA","typ":"AT+JWT"}`, ""},
		{"typ application/at+jwt", `{"alg":"EdDSA","typ":"application/at+jwt"}`, ""},
		{"typ application/JWT", `{"alg":"EdDSA","typ":"application/JWT"}`, ""},
		{"typ dpop+jwt", `{"alg":"EdDSA","typ":"dpop+jwt"}`, auth.ReasonType},
		{"typ logout+jwt", `{"alg":"EdDSA","typ":"logout+jwt"}`, auth.ReasonType},
		{"typ secevent+jwt", `{"alg":"EdDSA","typ":"application/secevent+jwt"}`, auth.ReasonType},
		{"typ JOSE", `{"alg":"EdDSA","typ":"JOSE"}`, auth.ReasonType},
		{"typ empty", `{"alg":"EdDSA","typ":""}`, auth.ReasonType},
		{"typ application/", `{"alg":"EdDSA","typ":"application/"}`, auth.ReasonType},
		{"typ twice the prefix", `{"alg":"EdDSA","typ":"application/application/jwt"}`, auth.ReasonType},
		{"typ null", `{"alg":"EdDSA","typ":null}`, auth.ReasonType},
		{"typ list", `{"alg":"EdDSA","typ":["JWT"]}`, auth.ReasonType},

		{"crit empty", `{"alg":"EdDSA","crit":[]}`, auth.ReasonCritical},
		{"crit unknown", `{"alg":"EdDSA","crit":["x"],"x":1}`, auth.ReasonCritical},
		{"crit exp", `{"alg":"EdDSA","crit":["exp"],"exp":1}`, auth.ReasonCritical},
		{"crit alg", `{"alg":"EdDSA","crit":["alg"]}`, auth.ReasonCritical},
		{"crit null", `{"alg":"EdDSA","crit":null}`, auth.ReasonCritical},
		{"crit b64", `{"alg":"EdDSA","b64":false,"crit":["b64"]}`, auth.ReasonCritical},
		{"b64 false", `{"alg":"EdDSA","b64":false}`, auth.ReasonCritical},
		{"b64 true", `{"alg":"EdDSA","b64":true}`, auth.ReasonCritical},

		{"alg twice", `{"alg":"EdDSA","alg":"EdDSA"}`, auth.ReasonMalformed},
		{"alg twice, once escaped", `{"alg":"EdDSA","\u0061lg":"none"}`, auth.ReasonMalformed},
		{"ALG beside alg", `{"alg":"EdDSA","ALG":"none"}`, auth.ReasonMalformed},
		{"ALG instead of alg", `{"ALG":"EdDSA"}`, auth.ReasonMalformed},
		{"Crit", `{"alg":"EdDSA","Crit":["x"]}`, auth.ReasonMalformed},
		{"ſ for nothing", `{"alg":"EdDSA","ſ":1}`, ""},
		{"Kelvin sign in kid", `{"alg":"EdDSA","\u212aid":"a"}`, auth.ReasonMalformed},
		{"doubled deep inside", `{"alg":"EdDSA","x":[{"y":1,"y":2}]}`, auth.ReasonMalformed},
		{"half a surrogate pair", `{"alg":"EdDSA","x":"\ud800"}`, auth.ReasonMalformed},
		{"null", `null`, auth.ReasonMalformed},
		{"list", `[{"alg":"EdDSA"}]`, auth.ReasonMalformed},
		{"text", `"alg"`, auth.ReasonMalformed},
		{"not JSON", `{"alg":"EdDSA",}`, auth.ReasonMalformed},
		{"data behind", `{"alg":"EdDSA"}{}`, auth.ReasonMalformed},
		{"bracket behind", `{"alg":"EdDSA"}}`, auth.ReasonMalformed},
		{"byte order mark", "\ufeff" + `{"alg":"EdDSA"}`, auth.ReasonMalformed},
		{"UTF-16", "{\x00\"\x00a\x00l\x00g\x00", auth.ReasonMalformed},
		{"not UTF-8", "{\"alg\":\"EdDSA\",\"x\":\"\xff\"}", auth.ReasonMalformed},
		{"too deep", `{"alg":"EdDSA","x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, auth.ReasonMalformed},
		{"too deep in objects", `{"alg":"EdDSA","x":` + strings.Repeat(`{"y":`, 40) + "1" + strings.Repeat("}", 40) + `}`, auth.ReasonMalformed},

		// CVE-2018-0114: keys that the token brings along count for nothing.
		{"jwk", `{"alg":"EdDSA","jwk":` + own + `}`, ""},
		{"jwk and its algorithm", `{"alg":"ES256","jwk":` + own + `}`, auth.ReasonAlgorithm},
		{"jku and x5u", `{"alg":"EdDSA","jku":"http://127.0.0.1:1/","x5u":"http://127.0.0.1:1/","x5c":["AA=="]}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			check(t, j, encode(t, s, tt.header, goodClaims().json(t)), tt.want)
		})
	}
	// The attacker's own signature beside the attacker's own key.
	for _, header := range []string{`{"alg":"ES256","jwk":` + own + `}`, `{"alg":"EdDSA","jwk":` + own + `}`} {
		if p, err := j.Verify(t.Context(), encode(t, attacker, header, goodClaims().json(t))); err == nil {
			t.Errorf("admitted %v by the key in the header %s", p, header)
		}
	}
}

func TestClaims(t *testing.T) {
	t.Parallel()
	s := signerFor("HS256")
	j := newJWT(t, issuerOf(s))
	now := time.Now().Unix()
	raw := func(text string) json.RawMessage { return json.RawMessage(text) }
	for _, tt := range []struct {
		name  string
		edits object
		want  string
	}{
		{"good", nil, ""},
		{"the least", object{"jti": nil, "client_id": nil, "iat": nil, "nbf": nil, "scope": nil}, ""},
		{"unknown claims", object{"x": object{"y": []any{1, "z", nil}}}, ""},

		{"iss missing", object{"iss": nil}, auth.ReasonClaims},
		{"iss null", object{"iss": null}, auth.ReasonClaims},
		{"iss empty", object{"iss": ""}, auth.ReasonClaims},
		{"iss list", object{"iss": []string{issuerURL}}, auth.ReasonClaims},
		{"iss another", object{"iss": "https://evil.example"}, auth.ReasonIssuer},
		{"iss with a slash", object{"iss": issuerURL + "/"}, auth.ReasonIssuer},
		{"iss in another case", object{"iss": strings.ToUpper(issuerURL)}, auth.ReasonIssuer},
		{"iss with a prefix", object{"iss": issuerURL + ".evil.example"}, auth.ReasonIssuer},

		{"sub missing", object{"sub": nil}, auth.ReasonClaims},
		{"sub null", object{"sub": null}, auth.ReasonClaims},
		{"sub empty", object{"sub": ""}, auth.ReasonClaims},
		{"sub number", object{"sub": 7}, auth.ReasonClaims},
		{"sub half a surrogate pair", object{"sub": raw(`"\ud83d"`)}, auth.ReasonClaims},
		{"sub the other half", object{"sub": raw(`"\ude00\ud83d"`)}, auth.ReasonClaims},
		{"sub two first halves", object{"sub": raw(`"\ud83d\ud83d\ude00"`)}, auth.ReasonClaims},
		{"sub a whole pair", object{"sub": raw(`"\ud83d\ude00"`)}, ""},
		{"sub an escaped backslash", object{"sub": raw(`"\\ud83d"`)}, ""},

		// CVE-2020-26160
		{"aud missing", object{"aud": nil}, auth.ReasonAudience},
		{"aud null", object{"aud": null}, auth.ReasonClaims},
		{"aud empty", object{"aud": ""}, auth.ReasonAudience},
		{"aud empty list", object{"aud": []any{}}, auth.ReasonAudience},
		{"aud list of empty", object{"aud": []any{""}}, auth.ReasonAudience},
		{"aud another", object{"aud": "billing"}, auth.ReasonAudience},
		{"aud in another case", object{"aud": "Orders"}, auth.ReasonAudience},
		{"aud with a prefix", object{"aud": "orders2"}, auth.ReasonAudience},
		{"aud list with it", object{"aud": []any{"billing", service}}, ""},
		{"aud list without it", object{"aud": []any{"a", "b", "c", "d", "e"}}, auth.ReasonAudience},
		{"aud list of numbers", object{"aud": []any{1}}, auth.ReasonClaims},
		{"aud list of text and null", object{"aud": []any{service, nil}}, auth.ReasonClaims},
		{"aud nested list", object{"aud": []any{[]any{service}}}, auth.ReasonClaims},
		{"aud object", object{"aud": object{"orders": true}}, auth.ReasonClaims},
		{"aud number", object{"aud": 1}, auth.ReasonClaims},
		{"aud true", object{"aud": true}, auth.ReasonClaims},
		{"aud of many escapes", object{"aud": raw(`["\u006frders"]`)}, ""},

		{"exp missing", object{"exp": nil}, auth.ReasonClaims},
		{"exp null", object{"exp": null}, auth.ReasonClaims},
		{"exp text", object{"exp": fmt.Sprint(now + 3600)}, auth.ReasonClaims},
		{"exp true", object{"exp": true}, auth.ReasonClaims},
		{"exp list", object{"exp": []any{now + 3600}}, auth.ReasonClaims},
		{"exp zero", object{"exp": 0}, auth.ReasonExpired},
		{"exp minus zero", object{"exp": raw("-0")}, auth.ReasonExpired},
		{"exp past", object{"exp": now - 3600}, auth.ReasonExpired},
		{"exp negative", object{"exp": -1}, auth.ReasonClaims},
		{"exp 1e300", object{"exp": raw("1e300")}, auth.ReasonClaims},
		{"exp 1e400", object{"exp": raw("1e400")}, auth.ReasonClaims},
		{"exp in the year 10000", object{"exp": raw("253402300800")}, auth.ReasonClaims},
		{"exp at the end of the year 9999", object{"exp": raw("253402300799")}, ""},
		{"exp with a fraction", object{"exp": raw(fmt.Sprint(now+3600) + ".5")}, ""},
		{"exp with an exponent", object{"exp": raw("4.1e9")}, ""},

		{"nbf future", object{"nbf": now + 3600}, auth.ReasonNotYet},
		{"nbf text", object{"nbf": "0"}, auth.ReasonClaims},
		{"nbf null", object{"nbf": null}, auth.ReasonClaims},
		{"nbf 1e300", object{"nbf": raw("1e300")}, auth.ReasonClaims},
		{"nbf -1e300", object{"nbf": raw("-1e300")}, auth.ReasonClaims},
		{"iat future", object{"iat": now + 3600}, auth.ReasonNotYet},
		{"iat 1e300", object{"iat": raw("1e300")}, auth.ReasonClaims},
		{"auth_time text", object{"auth_time": "yesterday"}, auth.ReasonClaims},

		// "EXP" overrode "exp" in golang-jwt, and "SUB" set Subject.
		{"EXP instead of exp", object{"exp": nil, "EXP": now + 3600}, auth.ReasonClaims},
		{"EXP beside exp", object{"EXP": now + 1e6}, auth.ReasonClaims},
		{"SUB beside sub", object{"SUB": "admin"}, auth.ReasonClaims},
		{"Aud beside aud", object{"Aud": service, "aud": "billing"}, auth.ReasonClaims},
		{"long s in iss", object{"i\u017fs": issuerURL}, auth.ReasonClaims},
		{"CNF", object{"CNF": object{"jkt": "x"}}, auth.ReasonClaims},
		{"another name in upper case", object{"EMAIL": "a@example.com"}, ""},

		// RFC 9449 section 7.1, RFC 8705 section 3: a bound token alone is no proof.
		{"cnf jkt", object{"cnf": object{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}, auth.ReasonBinding},
		{"cnf x5t#S256", object{"cnf": object{"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}}, auth.ReasonBinding},
		{"cnf unknown", object{"cnf": object{"new": 1}}, auth.ReasonBinding},
		{"cnf empty", object{"cnf": object{}}, auth.ReasonBinding},
		{"cnf null", object{"cnf": null}, auth.ReasonBinding},

		{"jti number", object{"jti": 7}, auth.ReasonClaims},
		{"acr list", object{"acr": []any{"a"}}, auth.ReasonClaims},
		{"amr number", object{"amr": 7}, auth.ReasonClaims},
		{"scope number", object{"scope": 7}, auth.ReasonClaims},
		{"scope list of numbers", object{"scope": []any{7}}, auth.ReasonClaims},
		{"client_id number", object{"client_id": 7}, auth.ReasonClaims},
		{"act text", object{"act": "gateway"}, auth.ReasonClaims},
		{"act without sub", object{"act": object{"iss": "x"}}, auth.ReasonClaims},
		{"act with a number", object{"act": object{"sub": 1}}, auth.ReasonClaims},
		{"act with an empty iss", object{"act": object{"sub": "a", "iss": ""}}, auth.ReasonClaims},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			check(t, j, s.token(t, goodClaims().with(tt.edits)), tt.want)
		})
	}
}

func TestPayload(t *testing.T) {
	t.Parallel()
	s := signerFor("HS256")
	j := newJWT(t, issuerOf(s))
	good := goodClaims().json(t)
	for name, payload := range map[string]string{
		"null": "null", "list": "[]", "text": `"x"`, "number": "7", "nothing": " ", "empty object": "{}",
		"list around it": "[" + good + "]", "two": good + good, "bracket behind": good + "}", "comma": good[:len(good)-1] + ",}",
		"comment": "/**/" + good, "byte order mark": "\ufeff" + good, "not UTF-8": good[:len(good)-1] + ",\"x\":\"\xc3\x28\"}",
		"exp twice":               `{"exp":0,` + good[1:],
		"exp twice, once escaped": `{"\u0065xp":0,` + good[1:],
		"unknown twice":           `{"x":1,"x":1,` + good[1:],
		"twice deep inside":       `{"x":[{"y":{"z":1,"z":1}}],` + good[1:],
		"two broken names":        `{"\ud800":1,"\ud801":1,` + good[1:],
		"one broken name":         `{"\ud800":1,` + good[1:],
		"too deep":                `{"x":` + strings.Repeat("[", 3000) + strings.Repeat("]", 3000) + "," + good[1:],
		"JSON5":                   strings.ReplaceAll(good, `"`, "'"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, j, encode(t, s, `{"alg":"HS256"}`, payload), auth.ReasonClaims)
		})
	}
	check(t, j, encode(t, s, `{"alg":"HS256"}`, "\n"+strings.ReplaceAll(good, `,"`, " ,\r\n\t\"")+" "), "")
}

// One token has one spelling.
func TestSpelling(t *testing.T) {
	t.Parallel()
	s := signerFor("HS256") // 32 bytes: two trailing bits are free
	j := newJWT(t, issuerOf(s))
	good := s.token(t, goodClaims())
	parts := strings.Split(good, ".")
	last := good[len(good)-1]
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	trailing := alphabet[strings.IndexByte(alphabet, last)|1]
	if trailing == last {
		t.Fatal("the good token has trailing bits")
	}
	check(t, j, good, "")
	for name, token := range map[string]string{
		"padding":                  good + "=",
		"padding of the header":    parts[0] + "=." + parts[1] + "." + parts[2],
		"CR in the signature":      good[:len(good)-5] + "\r" + good[len(good)-5:],
		"LF in the signature":      good[:len(good)-5] + "\n" + good[len(good)-5:],
		"CRLF at the end":          good + "\r\n",
		"LF in the payload":        parts[0] + "." + parts[1][:4] + "\n" + parts[1][4:] + "." + parts[2],
		"space":                    good + " ",
		"leading space":            " " + good,
		"NUL":                      good + "\x00",
		"trailing bits":            good[:len(good)-1] + string(trailing),
		"standard alphabet":        good[:len(good)-1] + "/",
		"percent":                  strings.Replace(good, ".", "%2E", 1),
		"not ASCII":                good + "é",
		"one part":                 parts[0],
		"two parts":                parts[0] + "." + parts[1],
		"four parts":               good + ".",
		"five parts, as a JWE has": good + ".AAAA.AAAA",
		"no header":                "." + parts[1] + "." + parts[2],
		"no payload":               parts[0] + ".." + parts[2],
		"only dots":                "..",
		"one byte of base64":       parts[0] + "." + parts[1] + ".A",
		"one byte of payload":      parts[0] + ".A." + parts[2],
		"one byte of header":       "A." + parts[1] + "." + parts[2],
		"nothing":                  "",
		"JSON serialisation":       fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2]),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, j, token, auth.ReasonMalformed)
		})
	}
	for name, token := range map[string]string{
		"swapped":        parts[0] + "." + parts[2] + "." + parts[1],
		"cut short":      parts[0] + "." + parts[1] + "." + parts[2][:40],
		"longer":         good + "AAAA",
		"of another":     parts[0] + "." + parts[1] + "." + strings.Split(s.token(t, goodClaims().with(object{"sub": "bob"})), ".")[2],
		"with one bit":   parts[0] + "." + parts[1] + "." + string(alphabet[strings.IndexByte(alphabet, parts[2][0])^1]) + parts[2][1:],
		"header spelled": b64(`{"typ":"JWT","alg":"HS256"}`) + "." + parts[1] + "." + parts[2],
	} {
		t.Run("signature "+name, func(t *testing.T) {
			t.Parallel()
			check(t, j, token, auth.ReasonSignature)
		})
	}
}

// ES256 has signatures (r, s) and (r, n-s): the bytes of a token do not name
// it, and both are the same caller.
func TestECDSAMalleability(t *testing.T) {
	t.Parallel()
	s := signerFor("ES256")
	j := newJWT(t, issuerOf(s))
	good := s.token(t, goodClaims())
	i := strings.LastIndex(good, ".") + 1
	sig, err := base64.RawURLEncoding.DecodeString(good[i:])
	if err != nil {
		t.Fatal(err)
	}
	half := new(big.Int).SetBytes(sig[32:])
	half.Sub(p256Key().Params().N, half).FillBytes(sig[32:])
	p, other := check(t, j, good, ""), check(t, j, good[:i]+b64(string(sig)), "")
	if p.ID() != other.ID() || p.TokenID != other.TokenID {
		t.Errorf("the two are %s/%s and %s/%s, want the same caller and token", p.ID(), p.TokenID, other.ID(), other.TokenID)
	}
	for name, bad := range map[string][]byte{
		"zeros": make([]byte, 64), "short": sig[:63], "long": append(slices.Clone(sig), 0),
		"r+n": append(slices.Repeat([]byte{0xff}, 32), sig[32:]...), "ASN.1": {0x30, 0x06, 2, 1, 1, 2, 1, 1},
	} {
		if p, err := j.Verify(t.Context(), good[:i]+b64(string(bad))); reason(err) != auth.ReasonSignature {
			t.Errorf("%s: Verify = %v, %v", name, p, err)
		}
	}
}

// CVE-2025-30204, CVE-2025-27144: the cost of a token is bounded by us, not by
// its sender.
func TestOversizeAllocatesNothing(t *testing.T) {
	s := signerFor("HS256")
	j := newJWT(t, issuerOf(s))
	long := s.token(t, goodClaims().with(object{"x": strings.Repeat("x", 16<<10)}))
	check(t, j, long, auth.ReasonOversize)
	check(t, j, s.token(t, goodClaims().with(object{"x": strings.Repeat("x", 8<<10)})), "")
	for name, token := range map[string]string{
		"a megabyte of dots":    strings.Repeat(".", 1<<20),
		"a megabyte of letters": strings.Repeat("A", 1<<20),
		"16 KiB of dots":        strings.Repeat(".", 16<<10),
		"16 KiB of letters":     strings.Repeat("A", 16<<10),
	} {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Header.Set("Authorization", "Bearer "+token)
		const rounds = 50
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range rounds {
			if _, err := j.Authenticate(r); err == nil {
				t.Fatalf("%s was admitted", name)
			}
		}
		runtime.ReadMemStats(&after)
		if bytes := (after.TotalAlloc - before.TotalAlloc) / rounds; bytes > 1<<10 {
			t.Errorf("%s: %d bytes were allocated, want at most 1 KiB", name, bytes)
		}
	}
}

// CVE-2025-59936 and its kin: the key belongs to the issuer.
func TestTwoIssuersKeepTheirKeysApart(t *testing.T) {
	t.Parallel()
	const otherURL = "https://other.example"
	ed, es := signerFor("EdDSA"), signerFor("ES256")
	j := newJWT(
		t,
		auth.Issuer{URL: issuerURL, Audience: []string{service}, Keys: auth.PublicKeys(map[string]crypto.PublicKey{"k": ed.public}), RolesClaim: "roles"},
		auth.Issuer{URL: otherURL, Audience: []string{"other-api"}, Keys: auth.PublicKeys(map[string]crypto.PublicKey{"k": es.public})},
	)
	for _, tt := range []struct {
		name   string
		signer signer
		alg    string
		edits  object
		want   string
	}{
		{"first", ed, "EdDSA", nil, ""},
		{"second", es, "ES256", object{"iss": otherURL, "aud": "other-api"}, ""},
		{"first with the second's key", es, "ES256", nil, auth.ReasonAlgorithm},
		{"second with the first's key", ed, "EdDSA", object{"iss": otherURL, "aud": "other-api"}, auth.ReasonAlgorithm},
		{"first's algorithm named, second's key", es, "EdDSA", nil, auth.ReasonSignature},
		{"first for the second's audience", ed, "EdDSA", object{"aud": "other-api"}, auth.ReasonAudience},
		{"neither", ed, "EdDSA", object{"iss": "https://third.example"}, auth.ReasonIssuer},
		{"iss missing", ed, "EdDSA", object{"iss": nil}, auth.ReasonClaims},
		{"iss list", ed, "EdDSA", object{"iss": []any{issuerURL, otherURL}}, auth.ReasonClaims},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			header := object{"alg": tt.alg, "kid": "k"}.json(t)
			p := check(t, j, encode(t, tt.signer, header, goodClaims().with(object{"roles": []string{"admin"}}).with(tt.edits).json(t)), tt.want)
			if p != nil && p.HasRole("admin") != (p.Issuer == issuerURL) {
				t.Errorf("roles of %s = %q", p.Issuer, p.Roles)
			}
		})
	}
	check(t, j, encode(t, ed, `{"alg":"EdDSA","kid":"k"}`, `[]`), auth.ReasonClaims)
}

func TestRoles(t *testing.T) {
	t.Parallel()
	s := signerFor("HS256")
	for _, tt := range []struct {
		name, path string
		claims     object
		want       []string
		refused    bool
	}{
		{"none believed", "", object{"roles": []string{"admin"}}, nil, false},
		{"list", "roles", object{"roles": []string{"a", "b"}}, []string{"a", "b"}, false},
		{"text", "roles", object{"roles": "a b"}, []string{"a b"}, false},
		{"absent", "roles", object{"role": "a"}, nil, false},
		{"another case", "roles", object{"Roles": "a"}, nil, false},
		{"path", "realm_access.roles", object{"realm_access": object{"roles": []string{"a"}}}, []string{"a"}, false},
		{"longer path", "a.b.c", object{"a": object{"b": object{"c": "x"}}}, []string{"x"}, false},
		{"path that ends early", "a.b.c", object{"a": object{"c": "x"}}, nil, false},
		{"name with dots", "https://example.com/roles", object{"https://example.com/roles": []string{"a"}}, []string{"a"}, false},
		{"name with dots inside", "resource.my.app.roles", object{"resource": object{"my.app.roles": "a"}}, []string{"a"}, false},
		{"not an object on the way", "a.b", object{"a": []any{}}, nil, true},
		{"null on the way", "a.b", object{"a": null}, nil, true},
		{"object", "roles", object{"roles": object{"admin": true}}, nil, true},
		{"number", "roles", object{"roles": []any{1}}, nil, true},
		{"null", "roles", object{"roles": null}, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			iss := issuerOf(s)
			iss.RolesClaim = tt.path
			p, err := newJWT(t, iss).Verify(t.Context(), s.token(t, goodClaims().with(tt.claims)))
			if tt.refused {
				if reason(err) != auth.ReasonClaims {
					t.Errorf("Verify = %v, %v, want it refused", p, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(p.Roles, tt.want) {
				t.Errorf("Roles = %q, want %q", p.Roles, tt.want)
			}
		})
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	s := signerFor("HS256")
	j := newJWT(t, issuerOf(s))
	for _, tt := range []struct {
		name   string
		claims object
		want   []string
	}{
		{"none", object{}, nil},
		{"text", object{"scope": "a b"}, []string{"a", "b"}},
		{"spaces", object{"scope": "  a   b "}, []string{"a", "b"}},
		{"empty", object{"scope": ""}, nil},
		{"list", object{"scope": []string{"a", "b"}}, []string{"a", "b"}},
		{"scp list", object{"scp": []string{"a", "b"}}, []string{"a", "b"}},
		{"scp text", object{"scp": "a b"}, []string{"a", "b"}},
		{"scope before scp", object{"scope": "a", "scp": "admin"}, []string{"a"}},
		{"empty scope before scp", object{"scope": "", "scp": "admin"}, nil},
		{"an element with a space is one scope", object{"scp": []string{"a admin"}}, []string{"a admin"}},
		{"nothing but a space parts", object{"scope": "a\u00a0admin\tadmin\nadmin"}, []string{"a\u00a0admin\tadmin\nadmin"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := check(t, j, s.token(t, goodClaims().with(object{"scope": nil}).with(tt.claims)), "")
			if !slices.Equal(p.Scopes, tt.want) {
				t.Errorf("Scopes = %q, want %q", p.Scopes, tt.want)
			}
		})
	}
}

func TestPrincipal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := signerFor("HS256")
		j := newJWT(t, issuerOf(s))
		now := time.Now()
		p := check(t, j, s.token(t, goodClaims().with(object{
			"acr": "gold", "amr": []string{"pwd", "otp"}, "auth_time": now.Unix() - 60, "tier": "free",
			"act": object{"sub": "gateway", "act": object{"sub": "app", "iss": "https://app.example"}},
		})), "")
		claims, err := principal.Claims[struct{ Tier string }](p)
		if err != nil || claims.Tier != "free" {
			t.Errorf("Claims = %+v, %v, want the verified ones", claims, err)
		}
		want := (&principal.Principal{
			Issuer: issuerURL, Subject: "alice", Kind: principal.User, Scheme: "Bearer", ClientID: "web", TokenID: "token-1",
			Scopes: []string{"orders:read", "orders:write"}, AMR: []string{"pwd", "otp"}, ACR: "gold",
			AuthTime: now.Add(-time.Minute), IssuedAt: now, ExpiresAt: now.Add(time.Hour),
			Actor: &principal.Principal{Issuer: issuerURL, Subject: "gateway", Actor: &principal.Principal{Issuer: "https://app.example", Subject: "app"}},
		}).WithClaims(nil)
		if got := p.WithClaims(nil); !samePrincipal(got, want) {
			t.Errorf("principal = %+v, want %+v", got, want)
		}

		if p := check(t, j, s.token(t, goodClaims().with(object{"sub": "web"})), ""); p.Kind != principal.Client {
			t.Errorf("Kind = %v for a token that a client got for itself, want client", p.Kind)
		}
		if p := check(t, j, s.token(t, goodClaims().with(object{"client_id": nil, "azp": "spa"})), ""); p.ClientID != "spa" {
			t.Errorf("ClientID = %q, want azp", p.ClientID)
		}
	})
}

func samePrincipal(a, b *principal.Principal) bool {
	if a == nil || b == nil {
		return a == b
	}
	x, y := *a, *b
	same := x.AuthTime.Equal(y.AuthTime) && x.IssuedAt.Equal(y.IssuedAt) && x.ExpiresAt.Equal(y.ExpiresAt) && samePrincipal(x.Actor, y.Actor)
	for _, p := range []*principal.Principal{&x, &y} {
		p.AuthTime, p.IssuedAt, p.ExpiresAt, p.Actor = time.Time{}, time.Time{}, time.Time{}, nil
	}
	return same && reflect.DeepEqual(x, y)
}

func TestActorChainIsBounded(t *testing.T) {
	t.Parallel()
	s := signerFor("HS256")
	j := newJWT(t, issuerOf(s))
	chain := func(n int) object {
		var act object
		for range n {
			inner := act
			if act = (object{"sub": "actor"}); inner != nil {
				act["act"] = inner
			}
		}
		return object{"act": act}
	}
	check(t, j, s.token(t, goodClaims().with(chain(4))), "")
	check(t, j, s.token(t, goodClaims().with(chain(5))), auth.ReasonClaims)
}

// CVE-2024-51744: a forged token is forged, whatever else it is.
func TestForgedAndExpiredIsForged(t *testing.T) {
	t.Parallel()
	s := signerFor("ES256")
	j := newJWT(t, issuerOf(s))
	expired := s.token(t, goodClaims().with(object{"exp": 1, "nbf": time.Now().Unix() + 1e6, "aud": "another", "iss": "https://evil.example"}))
	check(t, j, expired, auth.ReasonIssuer)
	check(t, j, expired[:len(expired)-8]+"AAAAAAAA", auth.ReasonSignature)
}

func TestTimes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		leeway time.Duration
		is     time.Duration // what it is
	}{
		{"default", 0, 30 * time.Second},
		{"a second", time.Second, time.Second},
		{"at most", 5 * time.Minute, 5 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := signerFor("HS256")
				j, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{issuerOf(s)}, Leeway: tt.leeway})
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				at := func(d time.Duration) json.Number { // as a number of seconds with a fraction
					n := start.Add(d).UnixNano()
					return json.Number(fmt.Sprintf("%d.%09d", n/1e9, n%1e9))
				}
				exp := s.token(t, goodClaims().with(object{"exp": at(time.Hour)}))
				fraction := s.token(t, goodClaims().with(object{"exp": at(time.Hour + 900*time.Millisecond)}))
				nbf := s.token(t, goodClaims().with(object{"nbf": at(time.Hour), "exp": at(2 * time.Hour)}))
				nbfFraction := s.token(t, goodClaims().with(object{"nbf": at(time.Hour - 900*time.Millisecond), "exp": at(2 * time.Hour)}))
				iat := s.token(t, goodClaims().with(object{"iat": at(time.Hour), "nbf": nil, "exp": at(2 * time.Hour)}))
				for _, step := range []struct {
					at                              time.Duration
					exp, fraction, nbf, nbfFraction string
				}{
					{time.Hour - tt.is - 1, "", "", auth.ReasonNotYet, auth.ReasonNotYet},
					{time.Hour - tt.is, "", "", "", ""},
					{time.Hour, "", "", "", ""},
					{time.Hour + tt.is - 1, "", "", "", ""},
					{time.Hour + tt.is, auth.ReasonExpired, auth.ReasonExpired, "", ""},
				} {
					time.Sleep(step.at - time.Since(start))
					for _, c := range []struct{ name, token, want string }{
						{"exp", exp, step.exp},
						{"exp with a fraction", fraction, step.fraction},
						{"nbf", nbf, step.nbf},
						{"nbf with a fraction", nbfFraction, step.nbfFraction},
						{"iat", iat, step.nbf},
					} {
						if _, err := j.Verify(t.Context(), c.token); reason(err) != c.want {
							t.Errorf("%s at %v: reason %q, want %q", c.name, step.at, reason(err), c.want)
						}
					}
				}
			})
		})
	}
}

func TestBearer(t *testing.T) {
	t.Parallel()
	s := signerFor("HS256")
	good := s.token(t, goodClaims())
	j := newJWT(t, issuerOf(s))
	for _, tt := range []struct {
		name   string
		header []string
		status int // 0: admitted
		reason string
	}{
		{"Bearer", []string{"Bearer " + good}, 0, ""},
		{"bearer", []string{"bearer " + good}, 0, ""},
		{"BEARER", []string{"BEARER " + good}, 0, ""},
		{"nothing behind", []string{"Bearer"}, 400, auth.ReasonMalformed},
		{"a space behind", []string{"Bearer "}, 400, auth.ReasonMalformed},
		{"two spaces", []string{"Bearer  " + good}, 400, auth.ReasonMalformed},
		{"two tokens", []string{"Bearer " + good + " " + good}, 400, auth.ReasonMalformed},
		{"two in one header", []string{"Bearer " + good + ", Bearer " + good}, 400, auth.ReasonMalformed},
		{"two with a comma", []string{"Bearer " + good + "," + good}, 400, auth.ReasonMalformed},
		{"two headers", []string{"Bearer " + good, "Bearer " + good}, 400, auth.ReasonDuplicate},
		{"parameters", []string{"Bearer token=" + good}, 401, auth.ReasonMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
			r.Header["Authorization"] = tt.header
			_, err := j.Authenticate(r)
			if reason(err) != tt.reason {
				t.Errorf("reason = %q, want %q", reason(err), tt.reason)
			}
			if e, ok := errors.AsType[*auth.Error](err); ok && e.StatusCode() != tt.status {
				t.Errorf("status = %d, want %d", e.StatusCode(), tt.status)
			}
		})
	}
	for _, header := range []string{"", "Basic eDp5", "Bearer\t" + good, "BearerX " + good, good} {
		r := httptest.NewRequest(http.MethodGet, "/?access_token="+good, http.NoBody)
		r.AddCookie(&http.Cookie{Name: "access_token", Value: good})
		r.Header.Set("Authorization", header)
		if _, err := j.Authenticate(r); !errors.Is(err, auth.ErrNoCredentials) {
			t.Errorf("Authenticate with %.12q = %v, want ErrNoCredentials", header, err)
		}
	}
}

// RFC 6750 section 2: a client uses one way to send the token.
func TestTokenInTheQueryAsWell(t *testing.T) {
	t.Parallel()
	s := signerFor("HS256")
	good := s.token(t, goodClaims())
	h := newGate(t, auth.Config{Authenticators: []auth.Authenticator{newJWT(t, issuerOf(s))}}).Optional(whoami)
	for query, want := range map[string]int{
		"": 200, "token=x": 200, "q=%20": 200,
		"access_token=" + good: 400, "a=b&access_token=": 400, "access%5ftoke%6e=x": 400,
	} {
		r := httptest.NewRequest(http.MethodGet, "/?"+query, http.NoBody)
		r.Header.Set("Authorization", "Bearer "+good)
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != want {
			t.Errorf("status with ?%.20s = %d, want %d", query, w.Code, want)
		}
	}
}

// A token in a query or a cookie is no credential (RFC 9700 section 4.3.2).
func TestOnlyTheHeaderCounts(t *testing.T) {
	t.Parallel()
	s := signerFor("HS256")
	good := s.token(t, goodClaims())
	r := httptest.NewRequest(http.MethodPost, "/?access_token="+good, strings.NewReader("access_token="+good))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.AddCookie(&http.Cookie{Name: "jwt", Value: good})
	if _, err := newJWT(t, issuerOf(s)).Authenticate(r); !errors.Is(err, auth.ErrNoCredentials) {
		t.Errorf("Authenticate = %v, want ErrNoCredentials", err)
	}
}

func TestZeroJWTAdmitsNobody(t *testing.T) {
	t.Parallel()
	good := signerFor("HS256").token(t, goodClaims())
	var none *auth.JWT
	check(t, none, good, auth.ReasonUnavailable)
	check(t, new(auth.JWT), good, auth.ReasonIssuer)
}

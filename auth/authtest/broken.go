package authtest

import (
	"bytes"
	"cmp"
	"compress/flate"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatehouse-go/gatehouse/auth"
)

// A BrokenToken is a token that must not be admitted.
type BrokenToken struct {
	Name   string // says what is wrong, unique
	Token  string
	Reason string // that a Gate gives for the refusal: one of auth's
}

// Broken returns tokens each of which has one fault and is good otherwise, so
// that a service that admits it lacks the check for that fault: forged ones,
// ones whose form or JSON two readers understand differently, and ones for
// others or other times. The Reasons are those of an [auth.JWT] that has this
// Issuer, its Audience and its Algorithm.
//
// Some hold bytes that a client of net/http does not send, such as a line
// break: hand requests with them to the handler itself.
//
// If more than one key is published, there are two more tokens: such as do not
// name theirs.
func (i *Issuer) Broken() []BrokenToken {
	i.mu.Lock()
	b := &broken{issuer: i, key: i.current, keys: len(i.published)}
	i.mu.Unlock()
	b.attacker = i.attacker()
	b.payload = marshal(i.claims())
	b.algorithms()
	b.confusion()
	b.signatures()
	b.foreignKeys()
	b.kids()
	b.headers()
	b.spellings()
	b.payloads()
	b.claims()
	b.times()
	b.bindings()
	b.sizes()
	slices.SortFunc(b.tokens, func(x, y BrokenToken) int { return cmp.Compare(x.Name, y.Name) })
	return b.tokens
}

type broken struct {
	issuer        *Issuer
	key, attacker *keyPair
	keys          int
	payload       []byte
	tokens        []BrokenToken
}

func (b *broken) add(name, token, reason string) {
	b.tokens = append(b.tokens, BrokenToken{Name: name, Token: token, Reason: reason})
}

// null is JSON's null, where nil would remove the member.
var null = json.RawMessage("null") //nolint:gochecknoglobals // immutable

// with returns the header with one parameter changed.
func (b *broken) with(name string, value any) []byte {
	return marshal(edited(b.key.header(), map[string]any{name: value}))
}

// good is a token without a fault, in its parts.
func (b *broken) good() (header, payload, signature string) {
	parts := strings.Split(b.key.sign(marshal(b.key.header()), b.payload), ".")
	return parts[0], parts[1], parts[2]
}

// CVE-2015-2951, RFC 8725 section 3.1.
func (b *broken) algorithms() {
	for _, alg := range []any{
		"none", "None", "NONE", "nOnE", " none", "none ", "none\x00", "", nil, null,
		[]any{},
		[]string{"none"},
		[]string{b.key.alg},
		0, true,
		map[string]any{},
		map[string]any{b.key.alg: true},
		strings.ToLower(b.key.alg), b.key.alg + " ", b.key.alg + "\x00", "ES257", "HS1", "RS1", "A128GCM", "dir",
	} {
		name := "alg missing"
		if alg != nil {
			name = "alg " + string(marshal(alg))
		}
		header := b.with("alg", alg)
		b.add(name+", signed", b.key.sign(header, b.payload), auth.ReasonAlgorithm)
		b.add(name+", unsigned", encode(header)+"."+encode(b.payload)+".", auth.ReasonAlgorithm)
	}
	for _, alg := range append(Algorithms(), "HS256", "HS384", "HS512") {
		if alg == b.key.alg {
			continue
		}
		signed := encode(b.with("alg", alg)) + "." + encode(b.payload)
		b.add("alg "+alg+" named, the key's own used", b.key.signAs(b.key.alg, signed), auth.ReasonAlgorithm)
		if _, ok := b.key.public.(*rsa.PublicKey); ok && !strings.HasPrefix(alg, "HS") && alg != "EdDSA" && !strings.HasPrefix(alg, "ES") {
			b.add("alg "+alg+" named and used with the key of another", b.key.signAs(alg, signed), auth.ReasonAlgorithm)
		}
	}
}

// CVE-2016-10555, CVE-2026-33322: what everybody knows taken for a secret.
func (b *broken) confusion() {
	der, err := x509.MarshalPKIXPublicKey(b.key.public)
	if err != nil {
		panic(fmt.Sprintf("authtest: %v", err))
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	jwk := edited(b.key.jwk(), map[string]any{"kid": b.key.kid, "alg": b.key.alg, "use": "sig"})
	secrets := map[string][]byte{
		"the public key in PEM": block, "the public key in PEM without the last line break": bytes.TrimSpace(block),
		"the public key in DER": der, "the public key in base64 of DER": []byte(base64.StdEncoding.EncodeToString(der)),
		"the JWK": marshal(jwk), "the members of the JWK": marshal(b.key.jwk()), "the JWKS": b.issuer.JWKS(),
		"the kid": []byte(b.key.kid), "the issuer": []byte(b.issuer.url), "nothing": {},
	}
	switch k := b.key.public.(type) {
	case *rsa.PublicKey:
		secrets["the public key in PKCS #1"] = x509.MarshalPKCS1PublicKey(k)
		secrets["the modulus"] = k.N.Bytes()
	case *ecdsa.PublicKey:
		secrets["the point"], _ = k.Bytes()
	}
	for _, method := range []*jwt.SigningMethodHMAC{jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512} {
		signed := encode(b.with("alg", method.Name)) + "." + encode(b.payload)
		for name, secret := range secrets {
			mac, err := method.Sign(signed, secret)
			if err != nil {
				panic(fmt.Sprintf("authtest: %v", err))
			}
			b.add(method.Name+" with "+name+" as the secret", signed+"."+encode(mac), auth.ReasonAlgorithm)
		}
	}
}

func (b *broken) signatures() {
	header, payload, signature := b.good()
	add := func(name, token string) { b.add("signature "+name, token, auth.ReasonSignature) }
	raw, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		panic(fmt.Sprintf("authtest: %v", err))
	}
	forged := func(raw []byte) string { return header + "." + payload + "." + encode(raw) }
	flipped := slices.Clone(raw)
	flipped[0] ^= 1
	add("of another key", b.attacker.sign(marshal(b.key.header()), b.payload))
	add("missing", header+"."+payload+".")
	add("of another token", header+"."+encode(marshal(b.issuer.claims()))+"."+signature)
	add("over the header spelled otherwise", encode(append([]byte(" "), marshal(b.key.header())...))+"."+payload+"."+signature)
	add("and payload swapped", header+"."+signature+"."+payload)
	add("with one bit flipped", forged(flipped))
	add("cut short", forged(raw[:len(raw)-3]))
	add("longer", forged(append(slices.Clone(raw), 0, 0, 0)))
	add("of one byte", forged(raw[:1]))
	add("of zeros", forged(make([]byte, len(raw)))) // CVE-2022-21449
	add("of 0xFF", forged(bytes.Repeat([]byte{0xff}, len(raw))))
	switch b.key.public.(type) {
	case *ecdsa.PublicKey:
		if method, ok := jwt.GetSigningMethod(b.key.alg).(*jwt.SigningMethodECDSA); ok {
			h := method.Hash.New()
			_, _ = h.Write([]byte(header + "." + payload)) // never fails
			asn1, err := b.key.private().Sign(rand.Reader, h.Sum(nil), method.Hash)
			if err != nil {
				panic(fmt.Sprintf("authtest: %v", err))
			}
			add("in ASN.1", forged(asn1))
		}
	case *rsa.PublicKey:
		if method, ok := jwt.GetSigningMethod(b.key.alg).(*jwt.SigningMethodRSAPSS); ok {
			// golang-jwt's own methods take a salt of any length.
			short := &jwt.SigningMethodRSAPSS{SigningMethodRSA: method.SigningMethodRSA, Options: &rsa.PSSOptions{SaltLength: 20}}
			raw, err := short.Sign(header+"."+payload, b.key.private())
			if err != nil {
				panic(fmt.Sprintf("authtest: %v", err))
			}
			add("with a short salt", forged(raw))
		}
	}
	// CVE-2024-51744: a forged token is forged, whatever else it is.
	for name, edits := range map[string]map[string]any{
		"and the token expired":           {"exp": 1},
		"and the token is for another":    {"aud": "another"},
		"and the token not valid yet":     {"nbf": time.Now().Add(time.Hour).Unix()},
		"and claims of the wrong type":    {"sub": 7, "exp": "tomorrow"},
		"and the token bound to a key":    {"cnf": map[string]any{"jkt": b.attacker.thumbprint()}},
		"and the token of an admin again": {"sub": "admin", "roles": []string{"admin"}, "scope": "admin"},
	} {
		add("of another key, "+name, b.attacker.sign(marshal(b.key.header()), marshal(edited(b.issuer.claims(), edits))))
	}
}

// CVE-2018-0114: keys that a token brings along.
func (b *broken) foreignKeys() {
	certificate, err := certify(&x509.Certificate{Subject: pkix.Name{CommonName: "attacker"}}, nil, b.attacker)
	if err != nil {
		panic(fmt.Sprintf("authtest: %v", err))
	}
	own := b.attacker.jwk()
	for name, edits := range map[string]map[string]any{
		"jwk":           {"jwk": own},
		"jwk with kid":  {"jwk": edited(own, map[string]any{"kid": b.key.kid, "alg": b.key.alg, "use": "sig"})},
		"jku":           {"jku": "https://attacker.test/jwks"},
		"jku inside":    {"jku": "http://169.254.169.254/latest/meta-data/"},
		"x5u":           {"x5u": "https://attacker.test/cert.pem"},
		"x5c":           {"x5c": []string{base64.StdEncoding.EncodeToString(certificate)}},
		"x5t":           {"x5t": "AAAAAAAAAAAAAAAAAAAAAAAAAAA", "x5t#S256": encode(make([]byte, 32))},
		"all of them":   {"jwk": own, "jku": "https://attacker.test/jwks", "x5u": "https://attacker.test/cert.pem", "x5c": []string{base64.StdEncoding.EncodeToString(certificate)}},
		"jku of issuer": {"jku": b.issuer.url + "@attacker.test/jwks"},
	} {
		header := edited(b.key.header(), edits)
		b.add("the attacker's "+name, b.attacker.sign(marshal(header), b.payload), auth.ReasonSignature)
		header["kid"] = "attacker"
		b.add("the attacker's "+name+" and kid", b.attacker.sign(marshal(header), b.payload), auth.ReasonKey)
	}
}

func (b *broken) kids() {
	for _, kid := range []string{
		"unknown", strings.ToUpper(b.key.kid), b.key.kid + " ", b.key.kid + "\x00", "../../../../dev/null", "' OR '1'='1", "https://attacker.test/jwks",
		"0", strings.Repeat("k", 2048),
	} {
		b.add(fmt.Sprintf("kid %.32q", kid), b.key.sign(b.with("kid", kid), b.payload), auth.ReasonKey)
	}
	for _, kid := range []any{null, 1, true, []string{b.key.kid}, map[string]any{b.key.kid: true}} {
		b.add("kid "+string(marshal(kid)), b.key.sign(b.with("kid", kid), b.payload), auth.ReasonMalformed)
	}
	if b.keys > 1 {
		b.add("kid missing, with several keys", b.key.sign(b.with("kid", nil), b.payload), auth.ReasonKey)
		b.add("kid empty, with several keys", b.key.sign(b.with("kid", ""), b.payload), auth.ReasonKey)
	}
}

func (b *broken) headers() {
	// RFC 8725 section 3.11.
	for _, typ := range []any{
		"", "JOSE", "JWS", "dpop+jwt", "logout+jwt", "application/secevent+jwt", "oauth-authz-req+jwt", "token-introspection+jwt", "entity-statement+jwt",
		"application/", "application/application/jwt", "jwt ", "text/jwt", null, 1,
		[]string{"JWT"},
	} {
		b.add("typ "+string(marshal(typ)), b.key.sign(b.with("typ", typ), b.payload), auth.ReasonType)
	}
	// RFC 7515 section 4.1.11, RFC 7797.
	for name, edits := range map[string]map[string]any{
		"crit empty":              {"crit": []string{}},
		"crit unknown":            {"crit": []string{"x"}, "x": 1},
		"crit absent member":      {"crit": []string{"x"}},
		"crit exp":                {"crit": []string{"exp"}, "exp": time.Now().Add(time.Hour).Unix()},
		"crit alg":                {"crit": []string{"alg"}},
		"crit null":               {"crit": null},
		"crit text":               {"crit": "b64"},
		"b64 false":               {"b64": false},
		"b64 true":                {"b64": true},
		"b64 false and critical":  {"b64": false, "crit": []string{"b64"}},
		"b64 true and critical":   {"b64": true, "crit": []string{"b64"}},
		"b64 text and not a bool": {"b64": "false"},
	} {
		b.add(name, b.key.sign(marshal(edited(b.key.header(), edits)), b.payload), auth.ReasonCritical)
	}
	for name, header := range ambiguous(marshal(b.key.header()), "alg", b.key.alg, `"\u212aid"`) {
		b.add("header: "+name, b.key.sign([]byte(header), b.payload), auth.ReasonMalformed)
	}
}

func (b *broken) payloads() {
	inAnHour := time.Now().Add(time.Hour).Unix()
	for name, payload := range ambiguous(b.payload, "exp", inAnHour, `"i\u017fs"`) {
		b.add("claims: "+name, b.key.sign(marshal(b.key.header()), []byte(payload)), auth.ReasonClaims)
	}
	header, payload, signature := b.good()
	nested := marshal(edited(b.key.header(), map[string]any{"cty": "JWT"}))
	b.add("claims: another token", b.key.sign(nested, []byte(header+"."+payload+"."+signature)), auth.ReasonClaims)
	var small bytes.Buffer
	w, err := flate.NewWriter(&small, flate.BestCompression)
	if err != nil {
		panic(fmt.Sprintf("authtest: %v", err))
	}
	_, _ = w.Write(b.payload) // to memory
	_ = w.Close()
	b.add("claims: compressed", b.key.sign(b.with("zip", "DEF"), small.Bytes()), auth.ReasonClaims)
}

// ambiguous returns spellings of a good JSON object that are no JSON, or that
// two readers may take for two objects: name is a member of it, another what
// its value might be taken for, and folded is a name in quotes that differs
// from a member's in nothing but case.
func ambiguous(good []byte, name string, another any, folded string) map[string]string {
	object := string(good)
	open, other := object[:len(object)-1], string(marshal(another))
	upper := strings.ToUpper(name)
	escaped := fmt.Sprintf(`\u%04x`, name[0]) + name[1:]
	return map[string]string{
		name + " twice":                     open + `,"` + name + `":` + other + `}`,
		name + " twice, the other first":    `{"` + name + `":` + other + `,` + object[1:],
		name + " twice, once escaped":       open + `,"` + escaped + `":` + other + `}`,
		upper + " beside " + name:           open + `,"` + upper + `":` + other + `}`,
		"unknown member twice":              open + `,"x":1,"x":2}`,
		"member twice deep inside":          open + `,"x":[{"y":1,"y":2}]}`,
		"two names of half surrogate pairs": open + `,"\ud800":1,"\ud801":1}`,
		"value of half a surrogate pair":    open + `,"x":"\ud800"}`,
		"null":                              `null`,
		"array":                             `[]`,
		"array around it":                   `[` + object + `]`,
		"string":                            string(marshal(object)),
		"number":                            `7`,
		"white space":                       ` `,
		"two objects":                       object + object,
		"brace behind it":                   object + `}`,
		"NUL behind it":                     object + "\x00",
		"comma at the end":                  open + `,}`,
		"comment":                           open + `/**/}`,
		"single quotes":                     strings.ReplaceAll(object, `"`, `'`),
		"cut short":                         open,
		"line break in a string":            open + ",\"x\":\"\n\"}",
		"byte order mark":                   "\ufeff" + object,
		"UTF-16":                            utf16(object),
		"not UTF-8":                         open + ",\"x\":\"\xc3\x28\"}",
		"overlong UTF-8":                    open + ",\"x\":\"\xc0\xaf\"}",
		"NaN":                               open + `,"x":NaN}`,
		"number with a zero first":          open + `,"x":01}`,
		"nested too deeply":                 open + `,"x":` + strings.Repeat(`[`, 1000) + strings.Repeat(`]`, 1000) + `}`,
		"nested too deeply, in objects":     open + `,"x":` + strings.Repeat(`{"y":`, 500) + `1` + strings.Repeat(`}`, 500) + `}`,
		upper + " in place of " + name:      strings.Replace(object, `"`+name+`"`, `"`+upper+`"`, 1),
		"name in another case of Unicode":   open + `,` + folded + `:"x"}`,
	}
}

func utf16(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		b.Write([]byte{0, c})
	}
	return b.String()
}

// RFC 7515 section 2, RFC 8725bis section 3.14: one token has one spelling.
func (b *broken) spellings() {
	header, payload, signature := b.good()
	token := header + "." + payload + "." + signature
	add := func(name, token string) { b.add(name, token, auth.ReasonMalformed) }
	for name, token := range map[string]string{
		"empty":                          "",
		"only dots":                      "..",
		"one part":                       header,
		"two parts":                      header + "." + payload,
		"unsecured, two parts":           encode([]byte(`{"alg":"none"}`)) + "." + payload,
		"four parts":                     token + ".",
		"four parts, dot first":          "." + token,
		"five parts, as a JWE has":       token + "." + encode([]byte("ciphertext")) + "." + encode([]byte("tag")),
		"empty header":                   "." + payload + "." + signature,
		"empty payload":                  header + ".." + signature, // RFC 7515 appendix F
		"padding behind":                 token + "=",
		"two paddings behind":            token + "==",
		"padding of the header":          header + "=." + payload + "." + signature,
		"padding of the payload":         header + "." + payload + "=." + signature,
		"CR in the signature":            header + "." + payload + "." + signature[:5] + "\r" + signature[5:],
		"LF in the signature":            header + "." + payload + "." + signature[:5] + "\n" + signature[5:],
		"LF in the payload":              header + "." + payload[:4] + "\n" + payload[4:] + "." + signature,
		"CR LF in the header":            header[:4] + "\r\n" + header[4:] + "." + payload + "." + signature,
		"CR LF behind":                   token + "\r\n",
		"space behind":                   token + " ",
		"space before":                   " " + token,
		"space inside":                   header + ". " + payload + "." + signature,
		"tab behind":                     token + "\t",
		"NUL behind":                     token + "\x00",
		"quotes around":                  `"` + token + `"`,
		"comma and another":              token + "," + token,
		"space and another":              token + " " + token,
		"standard base64":                header + "." + payload + "." + signature[:5] + "+/" + signature[7:],
		"percent encoding":               header + "%2E" + payload + "." + signature,
		"not ASCII":                      token + "é",
		"full-width dot":                 header + "．" + payload + "." + signature,
		"one byte of signature":          header + "." + payload + ".A",
		"one byte of payload":            header + ".A." + signature,
		"one byte of header":             "A." + payload + "." + signature,
		"JSON serialisation":             fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, payload, header, signature),
		"flattened JSON":                 fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q}`, payload, header, signature),
		"flattened JSON without a space": fmt.Sprintf(`{"protected":%q,"header":{"alg":"none"},"payload":%q,"signature":%q}`, header, payload, signature),
	} {
		add(name, token)
	}
	// Bits that mean nothing, where the signature does not cover them.
	if len(signature)%4 != 0 {
		add("trailing bits of the signature", header+"."+payload+"."+trailing(signature))
	}
	// And where it does: the text is signed as it stands.
	sign := func(name, header, payload string) { add(name+", signed", b.key.signAs(b.key.alg, header+"."+payload)) }
	uneven := func(raw []byte) []byte { // with a space behind, so that there is something to pad
		for len(raw)%3 == 0 {
			raw = append(raw, ' ')
		}
		return raw
	}
	sign("trailing bits of the header", trailing(encode(uneven(marshal(b.key.header())))), payload)
	sign("trailing bits of the payload", header, trailing(encode(uneven(bytes.Clone(b.payload)))))
	sign("padding of the payload", header, base64.URLEncoding.EncodeToString(uneven(bytes.Clone(b.payload))))
	sign("LF in the payload", header, payload[:8]+"\n"+payload[8:])
	sign("raw JSON as the payload", header, string(b.payload))
	standard := ""
	for x := "?"; !strings.ContainsAny(standard, "+/"); x += "?" {
		standard = base64.RawStdEncoding.EncodeToString(marshal(edited(b.issuer.claims(), map[string]any{"x": x})))
	}
	sign("standard base64 of the payload", header, standard)
}

// trailing sets the last bit of base64 that stands for nothing.
func trailing(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return s[:len(s)-1] + string(alphabet[strings.IndexByte(alphabet, s[len(s)-1])|1])
}

// claims are of the wrong type, missing, or for somebody else.
func (b *broken) claims() {
	is := func(reason, claim string, values ...any) {
		for _, value := range values {
			name := claim + " missing"
			if value != nil {
				name = claim + " " + string(marshal(value))
			}
			b.edit(name, map[string]any{claim: value}, reason)
		}
	}
	url, aud := b.issuer.url, b.audience()
	is(auth.ReasonClaims, "iss", nil, null, "", 1, []string{url}, map[string]any{"url": url})
	is(
		auth.ReasonIssuer, "iss", "https://attacker.test", url+"/x", url+".attacker.test", url+"@attacker.test", " "+url, url+"\x00",
		strings.ToUpper(url), strings.Replace(url, "://", ":/", 1), "issuer.test",
	)
	is(auth.ReasonClaims, "sub", nil, null, "", 7, []string{"alice"}, map[string]any{"name": "alice"})
	// CVE-2020-26160.
	is(
		auth.ReasonAudience, "aud", nil, "", []string{}, []string{""}, "another", []string{"another", "third"}, aud+"2", aud+" another",
		" "+aud, aud+"\x00", aud+",another", `["`+aud+`"]`,
	)
	if upper := strings.ToUpper(aud); upper != aud {
		is(auth.ReasonAudience, "aud", upper)
	}
	is(auth.ReasonClaims, "aud", null, 1, true, map[string]any{aud: true}, []any{1}, []any{aud, nil}, []any{[]string{aud}}, []any{aud, map[string]any{}})
	for _, claim := range []string{"jti", "client_id", "acr"} {
		is(auth.ReasonClaims, claim, 7, []string{"a"}, null)
	}
	is(auth.ReasonClaims, "scope", 7, []any{7}, map[string]any{"orders:read": true}, null)
	is(auth.ReasonClaims, "amr", 7, []any{7}, null)
	is(
		auth.ReasonClaims, "act", "client", 7, null, []any{}, map[string]any{}, map[string]any{"sub": 7}, map[string]any{"sub": ""},
		map[string]any{"sub": "a", "act": "b"},
	)
	is(auth.ReasonClaims, "auth_time", "yesterday", null)
	for _, claim := range []string{"Iss", "SUB", "Aud", "EXP", "Nbf", "IAT", "CNF", "Scope", "Client_ID", "ACT"} {
		is(auth.ReasonClaims, claim, "admin") // beside the one in lower case
	}
}

// audience is one that the issuer's tokens have.
func (b *broken) audience() string {
	if list, ok := b.issuer.audience.([]string); ok {
		return list[0]
	}
	return b.issuer.audience.(string)
}

// edit adds a token that is signed as it should be, with other claims.
func (b *broken) edit(name string, edits map[string]any, reason string) {
	b.add(name, b.key.sign(marshal(b.key.header()), marshal(edited(b.issuer.claims(), edits))), reason)
}

// times are those of tokens that are not valid yet or any more, or that no
// clock shows.
func (b *broken) times() {
	now := time.Now()
	in := func(d time.Duration) int64 { return now.Add(d).Unix() }
	for _, claim := range []string{"exp", "nbf", "iat"} {
		for _, value := range []any{
			null, "", strconv.FormatInt(in(time.Hour), 10), now.Add(time.Hour).UTC().Format(time.RFC3339), true,
			[]int64{in(time.Hour)},
			map[string]any{},
			json.RawMessage("1e300"), json.RawMessage("-1e300"), json.RawMessage("1e400"), json.RawMessage("9223372036854775808"), -1,
		} {
			b.edit(claim+" "+string(marshal(value)), map[string]any{claim: value}, auth.ReasonClaims)
		}
	}
	b.edit("exp missing", map[string]any{"exp": nil}, auth.ReasonClaims)
	for name, exp := range map[string]int64{"an hour ago": in(-time.Hour), "six minutes ago": in(-6 * time.Minute), "at the epoch": 0, "a second after the epoch": 1} {
		b.edit("exp "+name, map[string]any{"iat": nil, "exp": exp}, auth.ReasonExpired)
	}
	// Milliseconds: a time in the year 50000 and more.
	b.edit("exp in milliseconds", map[string]any{"exp": now.Add(time.Hour).UnixMilli()}, auth.ReasonClaims)
	for name, d := range map[string]time.Duration{"in six minutes": 6 * time.Minute, "in an hour": time.Hour, "in ten years": 87600 * time.Hour} {
		times := map[string]any{"exp": in(d + time.Hour), "nbf": in(d)}
		b.edit("nbf "+name, times, auth.ReasonNotYet)
		b.edit("iat "+name, map[string]any{"exp": in(d + time.Hour), "iat": in(d)}, auth.ReasonNotYet)
	}
}

// bindings are to keys that a bearer of the token alone does not prove to hold
// (RFC 9449 section 7.1, RFC 8705 section 3), or of a kind that nobody knows.
func (b *broken) bindings() {
	thumbprint := b.attacker.thumbprint()
	for name, cnf := range map[string]any{
		"jkt": map[string]any{"jkt": thumbprint}, "x5t#S256": map[string]any{"x5t#S256": thumbprint},
		"both": map[string]any{"jkt": thumbprint, "x5t#S256": thumbprint},
		"jwk":  map[string]any{"jwk": b.attacker.jwk()}, "kid": map[string]any{"kid": "attacker"},
		"unknown": map[string]any{"new": 1}, "empty": map[string]any{}, "null": null, "text": thumbprint, "array": []string{thumbprint},
		"jkt empty": map[string]any{"jkt": ""}, "jkt null": map[string]any{"jkt": null},
	} {
		b.edit("cnf "+name, map[string]any{"cnf": cnf}, auth.ReasonBinding)
	}
}

// sizes are beyond any honest token (CVE-2025-30204, CVE-2025-27144).
func (b *broken) sizes() {
	const size = 64 << 10
	b.edit("oversize claims", map[string]any{"x": strings.Repeat("x", size)}, auth.ReasonOversize)
	b.add("oversize header", b.key.sign(b.with("x", strings.Repeat("x", size)), b.payload), auth.ReasonOversize)
	header, payload, signature := b.good()
	b.add("oversize signature", header+"."+payload+"."+signature+strings.Repeat("A", size), auth.ReasonOversize)
	b.add("oversize, of dots", strings.Repeat(".", size), auth.ReasonOversize)
	b.add("oversize, of letters", strings.Repeat("A", size), auth.ReasonOversize)
}

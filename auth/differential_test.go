package auth_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/principal"
)

// A rival is golang-jwt with every check that it has switched on.
type rival struct {
	signer signer
	parser *jwt.Parser
}

func newRival(s signer) rival {
	return rival{s, jwt.NewParser(
		jwt.WithValidMethods([]string{s.method.Alg()}), jwt.WithIssuer(issuerURL), jwt.WithAudience(service),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithStrictDecoding(), jwt.WithLeeway(30*time.Second),
	)}
}

// check returns why golang-jwt refuses the token, or tells another story about
// it than p. Both ways to hold claims must agree: one folds the case of names
// and the other does not.
func (r rival) check(token string, p *principal.Principal) error {
	key := func(*jwt.Token) (any, error) { return r.signer.verifyKey(), nil }
	registered, claims := new(jwt.RegisteredClaims), jwt.MapClaims{}
	_, err1 := r.parser.ParseWithClaims(token, registered, key)
	_, err2 := r.parser.ParseWithClaims(token, claims, key)
	if err := errors.Join(err1, err2); err != nil || p == nil {
		return err
	}
	for _, c := range []jwt.Claims{registered, claims} {
		iss, err1 := c.GetIssuer()
		sub, err2 := c.GetSubject()
		exp, err3 := c.GetExpirationTime()
		if err := errors.Join(err1, err2, err3); err != nil {
			return err
		}
		if iss != p.Issuer || sub != p.Subject || exp.Unix() != p.ExpiresAt.Unix() {
			return fmt.Errorf("golang-jwt read %q, %q, %v in %T", iss, sub, exp, c)
		}
	}
	return nil
}

// admits sends the token through the Gate as a request.
func admits(g *auth.Gate, token string) (*principal.Principal, error) {
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.Header["Authorization"] = []string{"Bearer " + token}
	return g.Authenticate(r)
}

// A mutator makes tokens that are wrong in one way or another, and some that
// are merely spelled in another way.
type mutator struct {
	*rand.Rand
	tb     testing.TB
	signer signer
	header object
	claims object
}

func pick[T any](m *mutator, of ...T) T { return of[m.IntN(len(of))] }

// sign signs JSON texts with the right key.
func (m *mutator) sign(header, payload string) string { return encode(m.tb, m.signer, header, payload) }

func (m *mutator) good() string { return m.sign(m.header.json(m.tb), m.claims.json(m.tb)) }

// value returns a JSON value that some claim or other may have.
func (m *mutator) value() any {
	now := time.Now().Unix()
	return pick[any](
		m, nil, null, "", "x", 0, -1, 1.5, 1e300, true, []any{}, []any{nil}, object{},
		issuerURL, service, []any{service}, []any{"x", service}, []any{service, 1}, object{service: 1},
		now, now+3600, now-3600, now+29, now+31, now-29, now-31, float64(now)+0.5, fmt.Sprint(now+3600),
		"none", "HS256", "RS256", "ES256", "EdDSA", "JWT", "at+jwt", "dpop+jwt", []any{"b64"}, json.Number("4.1e9"), json.Number("-0"),
	)
}

// respell puts escapes into a JSON text that mean the same, and white space.
func (m *mutator) respell(text string) string {
	var b strings.Builder
	quoted := false
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
			b.WriteByte(c)
		case quoted && c != '\\' && m.IntN(8) == 0:
			fmt.Fprintf(&b, pick(m, `\u%04x`, `\u%04X`), c)
		case !quoted && strings.IndexByte(",:{", c) >= 0:
			b.WriteByte(c)
			b.WriteString(pick(m, "", "", " ", "\n", "\t\r "))
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// scramble changes some bytes.
func (m *mutator) scramble(text string) string {
	b := []byte(text)
	for range 1 + m.IntN(2) {
		if len(b) == 0 {
			break
		}
		i := m.IntN(len(b))
		switch m.IntN(4) {
		case 0:
			b[i] ^= 1 << m.IntN(8)
		case 1:
			b = slices.Insert(b, i, pick[byte](m, '.', '=', '\r', '\n', ' ', 'A', '-', '/', '+', ',', '"', '}', '\\', 0, 0xff, byte(m.IntN(256))))
		case 2:
			b = slices.Delete(b, i, i+1)
		case 3:
			b[i] = byte(m.IntN(256))
		}
	}
	return string(b)
}

// double repeats a member of a JSON object with another value.
func (m *mutator) double(o object, name string) string {
	value, err := json.Marshal(m.value())
	if err != nil {
		m.tb.Fatal(err)
	}
	text := o.json(m.tb)
	more := fmt.Sprintf("%q:%s", name, value)
	if m.IntN(2) == 0 {
		more = strings.Replace(more, name[:1], fmt.Sprintf(`\u%04x`, name[0]), 1)
	}
	return pick(m, "{"+more+","+text[1:], text[:len(text)-1]+","+more+"}")
}

var (
	parameters = []string{"alg", "typ", "kid", "crit", "b64", "jwk", "cty", "x"}
	registered = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "cnf", "scope", "act", "x"}
)

// variant spells a name with other letters.
func (m *mutator) variant(name string) string {
	return pick(m, strings.ToUpper(name), strings.ToUpper(name[:1])+name[1:], strings.Replace(name, "s", "\u017f", 1), name+"\x00", name+" ", " "+name)
}

// The kinds of mutation. Each makes a token.
var mutations = []struct {
	name string
	make func(m *mutator) string
}{
	{"bytes", func(m *mutator) string { return m.scramble(m.good()) }},
	{"truncated", func(m *mutator) string { t := m.good(); return t[:m.IntN(len(t))] }},
	{"truncated in front", func(m *mutator) string { t := m.good(); return t[1+m.IntN(len(t)-1):] }},
	{"padded", func(m *mutator) string {
		p := strings.Split(m.good(), ".")
		p[m.IntN(3)] += pick(m, "=", "==", "A", " ", "\n", "\r\n", "\t", ".", "-")
		return strings.Join(p, ".")
	}},
	{"parts", func(m *mutator) string {
		p := strings.Split(m.good(), ".")
		switch i, j := m.IntN(3), m.IntN(3); m.IntN(4) {
		case 0:
			p[i], p[j] = p[j], p[i]
		case 1:
			p[i] = ""
		case 2:
			p = slices.Insert(p, i, p[j])
		case 3:
			p = slices.Delete(p, i, i+1)
		}
		return strings.Join(p, ".")
	}},
	{"part of another token", func(m *mutator) string {
		p, other := strings.Split(m.good(), "."), strings.Split(m.sign(`{"alg":"`+m.signer.method.Alg()+`","x":1}`, m.claims.with(object{"sub": "admin"}).json(m.tb)), ".")
		i := m.IntN(3)
		p[i] = other[i]
		return strings.Join(p, ".")
	}},
	{"header", func(m *mutator) string {
		return m.sign(m.header.with(object{pick(m, parameters...): m.value()}).json(m.tb), m.claims.json(m.tb))
	}},
	{"claims", func(m *mutator) string {
		return m.sign(m.header.json(m.tb), m.claims.with(object{pick(m, registered...): m.value()}).json(m.tb))
	}},
	{"many claims", func(m *mutator) string {
		c := m.claims
		for range 2 + m.IntN(3) {
			c = c.with(object{pick(m, registered...): m.value()})
		}
		return m.sign(m.header.json(m.tb), c.json(m.tb))
	}},
	{"unknown claims", func(m *mutator) string {
		return m.sign(m.header.json(m.tb), m.claims.with(object{"a": m.value(), "b": []any{m.value(), object{"c": m.value()}}}).json(m.tb))
	}},
	{"names in another case", func(m *mutator) string {
		name := pick(m, registered...)
		c := m.claims.with(object{m.variant(name): pick(m, m.claims[name], m.value())})
		if m.IntN(2) == 0 {
			c = c.with(object{name: nil})
		}
		return m.sign(m.header.json(m.tb), c.json(m.tb))
	}},
	{"parameters in another case", func(m *mutator) string {
		return m.sign(m.header.with(object{m.variant(pick(m, parameters...)): m.value()}).json(m.tb), m.claims.json(m.tb))
	}},
	{"doubled claim", func(m *mutator) string {
		return m.sign(m.header.json(m.tb), m.double(m.claims, pick(m, registered...)))
	}},
	{"doubled parameter", func(m *mutator) string {
		return m.sign(m.double(m.header, pick(m, parameters...)), m.claims.json(m.tb))
	}},
	{"spelled otherwise", func(m *mutator) string {
		return m.sign(m.respell(m.header.json(m.tb)), m.respell(m.claims.json(m.tb)))
	}},
	{"bytes of the payload", func(m *mutator) string {
		return m.sign(m.header.json(m.tb), m.scramble(m.claims.json(m.tb)))
	}},
	{"bytes of the header", func(m *mutator) string {
		return m.sign(m.scramble(m.header.json(m.tb)), m.claims.json(m.tb))
	}},
	{"data around", func(m *mutator) string {
		around := []string{"", " ", "\n", "{}", "}", "]", ",", "null", "\ufeff", "\x00", "//"}
		return m.sign(m.header.json(m.tb), pick(m, around...)+m.claims.json(m.tb)+pick(m, around...))
	}},
	{"algorithm named", func(m *mutator) string {
		alg := pick(m, "none", "None", "HS256", "HS384", "RS256", "RS512", "PS256", "ES256", "ES384", "EdDSA", "")
		return m.sign(m.header.with(object{"alg": alg}).json(m.tb), m.claims.json(m.tb))
	}},
	{"algorithm and key of another", func(m *mutator) string {
		other := signerFor(pick(m, "HS256", "RS256", "ES256", "EdDSA"))
		return encode(m.tb, other, m.header.with(object{"alg": pick(m, other.method.Alg(), m.signer.method.Alg())}).json(m.tb), m.claims.json(m.tb))
	}},
	{"public key as a secret", func(m *mutator) string {
		secret := []byte(secret64)[:32]
		if m.signer.public != nil {
			secret = pick(m, pemOf(m.tb, m.signer.public), []byte(jwkOf(m.tb, m.signer.public, nil).json(m.tb)))
		}
		hs := signer{method: jwt.SigningMethodHS256, private: secret}
		return encode(m.tb, hs, m.header.with(object{"alg": pick(m, "HS256", m.signer.method.Alg())}).json(m.tb), m.claims.json(m.tb))
	}},
}

// Whatever Gate admits, golang-jwt with every check switched on admits too, and
// reads the same caller in it.
func TestGateAdmitsNoMoreThanGolangJWT(t *testing.T) {
	t.Parallel()
	const rounds = 36 // of each mutation, for each algorithm
	synctest.Test(t, func(t *testing.T) {
		var total, admitted, refused, rivalAlone int
		kinds := make(map[string]int)
		for i, alg := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
			s := signerFor(alg)
			g := newGate(t, auth.Config{Authenticators: []auth.Authenticator{newJWT(t, issuerOf(s))}})
			r := newRival(s)
			m := &mutator{
				Rand: rand.New(rand.NewPCG(20, uint64(i))), tb: t, signer: s,
				header: object{"alg": alg, "typ": "JWT"}, claims: goodClaims(),
			}
			for _, mutation := range mutations {
				for range rounds {
					token := mutation.make(m)
					total++
					p, err := admits(g, token)
					if err != nil {
						refused++
						if r.check(token, nil) == nil {
							rivalAlone++
						}
						continue
					}
					admitted++
					kinds[mutation.name]++
					if err := r.check(token, p); err != nil {
						t.Errorf("%s, %s: Gate admits what golang-jwt does not: %v\n%s", alg, mutation.name, err, token)
					}
				}
			}
		}
		t.Logf("%d mutations: Gate admitted %d and refused %d, of which golang-jwt with every check admitted %d", total, admitted, refused, rivalAlone)
		t.Logf("admitted by kind: %v", kinds)
		if total < 2000 || admitted == 0 || refused == 0 {
			t.Errorf("%d mutations, %d admitted, %d refused: want at least 2000 and some of both", total, admitted, refused)
		}
		if kinds["spelled otherwise"] == 0 || kinds["unknown claims"] == 0 {
			t.Error("Gate refuses what is merely spelled otherwise, or says more")
		}
	})
}

package auth

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatehouse-go/gatehouse/internal/report"
	"github.com/gatehouse-go/gatehouse/internal/strictjson"
)

// A token is a JWS in compact form, taken apart and not yet verified.
type token struct {
	header    header
	signed    string // header.payload, as it was sent
	payload   []byte
	signature []byte
}

type header struct{ alg, kid string }

// strict refuses padding, line breaks and trailing bits, so that one token has
// one spelling.
var strict = base64.RawURLEncoding.Strict() //nolint:gochecknoglobals // immutable

// parse takes a token apart and refuses what no key could make good, the
// cheapest checks first (RFC 7515 section 5.2, RFC 8725 section 3).
func parse(s string) (*token, error) {
	if len(s) > maxToken {
		return nil, invalid(ReasonOversize, report.Causef("%d bytes, want at most %d", len(s), maxToken))
	}
	dots := [2]int{}
	n := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.':
			if n == len(dots) {
				return nil, invalid(ReasonMalformed, report.Cause("more than three parts"))
			}
			dots[n] = i
			n++
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return nil, invalid(ReasonMalformed, report.Cause("a byte that is not base64url"))
		}
	}
	if n != len(dots) {
		return nil, invalid(ReasonMalformed, report.Cause("fewer than three parts"))
	}
	h, p, sig := s[:dots[0]], s[dots[0]+1:dots[1]], s[dots[1]+1:]
	if h == "" || p == "" {
		return nil, invalid(ReasonMalformed, report.Cause("an empty part"))
	}
	t := &token{signed: s[:dots[1]]}
	raw, err := strict.DecodeString(h)
	if err != nil {
		return nil, invalid(ReasonMalformed, report.Cause("the header is not base64url"))
	}
	var reason string
	if t.header, reason, err = decodeHeader(raw); err != nil {
		return nil, invalid(reason, err)
	}
	if sig == "" {
		return nil, invalid(ReasonSignature, report.Cause("no signature"))
	}
	if t.payload, err = strict.DecodeString(p); err != nil {
		return nil, invalid(ReasonMalformed, report.Cause("the payload is not base64url"))
	}
	if t.signature, err = strict.DecodeString(sig); err != nil {
		return nil, invalid(ReasonMalformed, report.Cause("the signature is not base64url"))
	}
	return t, nil
}

// headerNames are the parameters that decodeHeader reads.
var headerNames = []string{"alg", "kid", "typ", "crit", "b64"} //nolint:gochecknoglobals // immutable

// types are what typ may say of an access token, as a media type with or
// without "application/" (RFC 7515 section 4.1.9, RFC 9068 section 2.1).
var types = []string{"JWT", "at+jwt", "application/jwt", "application/at+jwt"} //nolint:gochecknoglobals // immutable

func decodeHeader(raw []byte) (header, string, error) {
	var h header
	m, err := strictjson.Members(raw)
	if err != nil {
		return h, ReasonMalformed, err
	}
	if err := exact(m, headerNames); err != nil {
		return h, ReasonMalformed, err
	}
	if h.alg, err = text(m, "alg"); err != nil {
		return h, ReasonAlgorithm, err
	}
	if h.alg == "Ed25519" { // RFC 9864's name for the same algorithm
		h.alg = jwt.SigningMethodEdDSA.Alg()
	}
	if strings.EqualFold(h.alg, "none") {
		return h, ReasonAlgorithm, report.Cause("alg is none")
	}
	if _, ok := algorithms[h.alg]; !ok {
		return h, ReasonAlgorithm, report.Cause("alg is none of those that this package knows")
	}
	if h.kid, err = optionalText(m, "kid"); err != nil {
		return h, ReasonMalformed, err
	}
	if _, ok := m["typ"]; ok {
		typ, err := text(m, "typ")
		if err != nil {
			return h, ReasonType, err
		}
		if !slices.ContainsFunc(types, func(t string) bool { return strings.EqualFold(t, typ) }) {
			return h, ReasonType, report.Cause("typ is neither JWT nor at+jwt")
		}
	}
	for _, name := range [...]string{"crit", "b64"} {
		if _, ok := m[name]; ok {
			return h, ReasonCritical, report.Causef("%s is not understood", name)
		}
	}
	return h, "", nil
}

// verify checks the signature with the key's own algorithm.
func (t *token) verify(k *key) error {
	if err := k.verify(t.signed, t.signature); err != nil {
		return invalid(ReasonSignature, report.Cause("the signature does not match"))
	}
	return nil
}

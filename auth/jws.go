package auth

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatehouse-go/gatehouse/internal/report"
	"github.com/gatehouse-go/gatehouse/internal/strictjson"
)

// maxToken is the longest token that is looked at: net/http takes 1 MiB of
// headers by default, and no issuer's tokens come near 16 KiB.
const maxToken = 16 << 10

// maxHeader is the longest header of a token that is looked at. Those with a
// certificate in them, which is not read, take 2 KiB.
const maxHeader = 4 << 10

// A compact is a JWS in compact form (RFC 7515 section 7.1), taken apart and
// neither decoded nor verified.
type compact struct{ signed, header, payload, signature string }

// errShape is of a token that is no JWS in compact form. Another Authenticator
// may know what it is.
var errShape error = shapeError{}

type shapeError struct{}

func (shapeError) Error() string { return "not three parts with dots between" }
func (shapeError) Unwrap() []error {
	return []error{report.Cause("not three parts with dots between"), ErrNoCredentials}
}

// notBase64url is 1 for all bytes but those of base64url without padding, and the dot.
var notBase64url = func() (set [256]uint8) { //nolint:gochecknoglobals // immutable
	for i := range set {
		set[i] = 1
	}
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_." {
		set[c] = 0
	}
	return set
}()

// split takes a token apart and refuses, before anything is decoded, what has
// no place in one (RFC 8725 section 3, RFC 7515 section 2).
func split(s string) (c compact, err error) {
	if len(s) > maxToken {
		return c, invalid(ReasonOversize, report.Cause("longer than 16 KiB"))
	}
	head, rest, _ := strings.Cut(s, ".")
	payload, signature, ok := strings.Cut(rest, ".")
	if !ok || strings.IndexByte(signature, '.') >= 0 {
		return c, invalid(ReasonMalformed, errShape)
	}
	var bad uint8
	for i := range len(s) {
		bad |= notBase64url[s[i]]
	}
	if bad != 0 {
		return c, invalid(ReasonMalformed, report.Cause("a byte that is not base64url"))
	}
	c = compact{signed: s[:len(s)-len(signature)-1], header: head, payload: payload, signature: signature}
	if c.header == "" || c.payload == "" {
		return c, invalid(ReasonMalformed, report.Cause("an empty part"))
	}
	return c, nil
}

// strict refuses padding, line breaks and trailing bits, so that one token has
// one spelling.
var strict = base64.RawURLEncoding.Strict() //nolint:gochecknoglobals // immutable

// decode returns the payload and the signature, which share their memory. It
// knows nothing of claims: the payload may be anything.
func (c *compact) decode() (payload, signature []byte, err error) {
	if c.signature == "" {
		return nil, nil, invalid(ReasonSignature, report.Cause("no signature"))
	}
	n := strict.DecodedLen(len(c.payload))
	b := make([]byte, n+strict.DecodedLen(len(c.signature)))
	if _, err := strict.Decode(b[:n:n], []byte(c.payload)); err != nil {
		return nil, nil, invalid(ReasonMalformed, report.Cause("the payload is not base64url"))
	}
	if _, err := strict.Decode(b[n:], []byte(c.signature)); err != nil {
		return nil, nil, invalid(ReasonMalformed, report.Cause("the signature is not base64url"))
	}
	return b[:n:n], b[n:], nil
}

// verify checks the signature with the key's own algorithm.
func (c *compact) verify(k *key, signature []byte) error {
	if k.verify(c.signed, signature) != nil {
		return invalid(ReasonSignature, report.Cause("the signature does not match"))
	}
	return nil
}

// A header is what is read of a JOSE header (RFC 7515 section 4). jku, jwk, x5u
// and x5c are not: a key comes from its issuer.
type header struct {
	alg, kid string
	typ      mediaType
}

// A mediaType is what typ says of a token (RFC 7515 section 4.1.9): a media
// type, whose "application/" may be left out.
type mediaType uint8

const (
	typeAbsent mediaType = iota
	typeJWT
	typeAccessToken // RFC 9068 section 2.1
	typeProof       // RFC 9449 section 4.2
	typeOther
)

func mediaTypeOf(typ string) mediaType {
	if prefix := "application/"; len(typ) > len(prefix) && strings.EqualFold(typ[:len(prefix)], prefix) {
		typ = typ[len(prefix):]
	}
	switch {
	case strings.EqualFold(typ, "JWT"):
		return typeJWT
	case strings.EqualFold(typ, "at+jwt"):
		return typeAccessToken
	case strings.EqualFold(typ, "dpop+jwt"):
		return typeProof
	}
	return typeOther
}

// headerNames are the parameters that are read or must not be there.
var headerNames = []string{"alg", "kid", "typ", "crit", "b64"} //nolint:gochecknoglobals // immutable

// readHeader reads a header and refuses what no key could make good.
func readHeader(o *strictjson.Object) (h header, err error) {
	if err := o.Exact(headerNames); err != nil {
		return h, invalid(ReasonMalformed, err)
	}
	raw := o.Get("alg")
	name, ok := strictjson.Plain(raw)
	if !ok && raw != nil {
		var text string
		if text, ok = strictjson.Text(raw); ok {
			name = []byte(text)
		}
	}
	a := algorithms[string(name)]
	switch {
	case !ok:
		return h, invalid(ReasonAlgorithm, report.Cause("alg is missing or not a string"))
	case strings.EqualFold(string(name), "none"):
		return h, invalid(ReasonAlgorithm, report.Cause("alg is none"))
	case string(name) == "Ed25519": // RFC 9864's name for the same algorithm
		a = algorithms[jwt.SigningMethodEdDSA.Alg()]
	case a == nil:
		return h, invalid(ReasonAlgorithm, report.Cause("alg is none of those that this package knows"))
	}
	h.alg = a.name
	if h.kid, err = o.OptionalText("kid"); err != nil {
		return h, invalid(ReasonMalformed, err)
	}
	if o.Has("typ") {
		typ, err := o.OptionalText("typ")
		if err != nil {
			return h, invalid(ReasonType, err)
		}
		h.typ = mediaTypeOf(typ)
	}
	for _, name := range [...]string{"crit", "b64"} {
		if o.Has(name) {
			return h, invalid(ReasonCritical, report.Cause(name+" is not understood"))
		}
	}
	return h, nil
}

// mayBeObject are the first bytes of base64url that a JSON object, also one
// behind white space, can begin with.
const mayBeObject = "eCDI"

// readTokenHeader decodes the header of an access token.
func readTokenHeader(part string) (header, error) {
	if len(part) > maxHeader {
		return header{}, invalid(ReasonOversize, report.Cause("a header longer than 4 KiB"))
	}
	if strings.IndexByte(mayBeObject, part[0]) < 0 {
		return header{}, invalid(ReasonMalformed, report.Cause("the header is not a JSON object"))
	}
	raw, err := strict.DecodeString(part)
	if err != nil {
		return header{}, invalid(ReasonMalformed, report.Cause("the header is not base64url"))
	}
	var o strictjson.Object
	if err := o.Parse(raw); err != nil {
		return header{}, invalid(ReasonMalformed, err)
	}
	h, err := readHeader(&o)
	if err == nil && !slices.Contains([]mediaType{typeAbsent, typeJWT, typeAccessToken}, h.typ) {
		err = invalid(ReasonType, report.Cause("typ is neither JWT nor at+jwt"))
	}
	return h, err
}

// A headerCache knows what the headers of verified tokens say: an issuer's
// tokens have few different ones. What a header says hangs on nothing but its
// bytes, and only who can sign can put one in.
type headerCache struct {
	headers atomic.Pointer[map[string]header]

	mu      sync.Mutex
	emptied time.Time
}

const maxHeaders = 64

func (c *headerCache) get(part string) (header, bool) {
	if c == nil { // of a zero JWT
		return header{}, false
	}
	m := c.headers.Load()
	if m == nil {
		return header{}, false
	}
	h, ok := (*m)[part]
	return h, ok
}

// add copies the map, which is why it is not done for each token of an issuer
// whose headers all differ.
func (c *headerCache) add(part string, h header) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := make(map[string]header)
	if old := c.headers.Load(); old != nil && len(*old) < maxHeaders {
		maps.Copy(m, *old)
	} else if now := time.Now(); now.Sub(c.emptied) > time.Minute {
		c.emptied = now
	} else {
		return
	}
	m[strings.Clone(part)] = h
	c.headers.Store(&m)
}

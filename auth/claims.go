package auth

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-go/gatehouse/auth/principal"
)

const (
	maxJSONDepth  = 16
	maxActorDepth = 4
	maxDate       = 253402300799 // the last second of the year 9999
)

// members decodes a JSON object into its members. encoding/json alone would
// take the last of two equal names, fold their case and repair broken UTF-8;
// here any of these would let two readers of one token see two tokens.
func members(raw []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(raw) {
		return nil, cause("not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := unique(dec, 0); err != nil {
		return nil, err
	}
	if dec.More() {
		return nil, cause("data behind the JSON object")
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil || m == nil {
		return nil, cause("not a JSON object")
	}
	return m, nil
}

// unique reads one JSON value and refuses an object with two equal names at
// any depth.
func unique(dec *json.Decoder, depth int) error {
	if depth > maxJSONDepth {
		return cause("JSON nested too deeply")
	}
	tok, err := dec.Token()
	if err != nil {
		return cause("not JSON")
	}
	open, ok := tok.(json.Delim)
	if !ok {
		return nil
	}
	var names map[string]bool
	if open == '{' {
		names = make(map[string]bool)
	}
	for dec.More() {
		if names != nil {
			tok, err := dec.Token()
			if err != nil {
				return cause("not JSON")
			}
			name, _ := tok.(string)
			if names[name] {
				return causef("member %.64q twice", name)
			}
			names[name] = true
		}
		if err := unique(dec, depth+1); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return cause("not JSON")
	}
	return nil
}

// claims are the registered claims of RFC 7519, RFC 9068 and RFC 8693 that
// make a principal.
type claims struct {
	issuer, subject, clientID, tokenID string
	audience, scopes, roles, amr       []string
	acr                                string
	expires, notBefore, issued         time.Time
	authTime                           time.Time
	bound                              bool
	actor                              *principal.Principal
}

func decodeClaims(payload []byte, rolesClaim string) (*claims, error) {
	m, err := members(payload)
	if err != nil {
		return nil, err
	}
	c := new(claims)
	var errs [14]error
	c.issuer, errs[0] = text(m, "iss")
	c.subject, errs[1] = text(m, "sub")
	c.audience, errs[2] = list(m, "aud")
	c.expires, errs[3] = date(m, "exp", math.Floor)
	c.notBefore, errs[4] = date(m, "nbf", math.Ceil)
	c.issued, errs[5] = date(m, "iat", math.Ceil)
	c.authTime, errs[6] = date(m, "auth_time", math.Floor)
	c.tokenID, errs[7] = optionalText(m, "jti")
	c.acr, errs[8] = optionalText(m, "acr")
	c.amr, errs[9] = list(m, "amr")
	c.scopes, errs[10] = scopes(m)
	c.roles, errs[11] = roles(m, rolesClaim)
	c.clientID, errs[12] = firstText(m, "client_id", "azp")
	c.actor, errs[13] = actors(m, c.issuer, 1)
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	if _, ok := m["exp"]; !ok {
		return nil, cause("exp is missing")
	}
	_, c.bound = m["cnf"]
	return c, nil
}

func isNull(raw json.RawMessage) bool { return string(raw) == "null" }

// text returns a member that must be a string and not empty.
func text(m map[string]json.RawMessage, name string) (string, error) {
	if _, ok := m[name]; !ok {
		return "", causef("%s is missing", name)
	}
	s, err := optionalText(m, name)
	if err == nil && s == "" {
		err = causef("%s is empty", name)
	}
	return s, err
}

func optionalText(m map[string]json.RawMessage, name string) (string, error) {
	raw, ok := m[name]
	if !ok {
		return "", nil
	}
	var s string
	if isNull(raw) || json.Unmarshal(raw, &s) != nil {
		return "", causef("%s is not a string", name)
	}
	return s, nil
}

func firstText(m map[string]json.RawMessage, names ...string) (string, error) {
	for _, name := range names {
		if s, err := optionalText(m, name); s != "" || err != nil {
			return s, err
		}
	}
	return "", nil
}

// list returns a member that is a string or an array of strings.
func list(m map[string]json.RawMessage, name string) ([]string, error) {
	raw, ok := m[name]
	if !ok {
		return nil, nil
	}
	if len(raw) > 0 && raw[0] == '"' {
		s, err := optionalText(m, name)
		return []string{s}, err
	}
	var elements []*string
	if isNull(raw) || json.Unmarshal(raw, &elements) != nil {
		return nil, causef("%s is neither a string nor an array of strings", name)
	}
	values := make([]string, 0, len(elements))
	for _, e := range elements {
		if e == nil {
			return nil, causef("%s holds a null", name)
		}
		values = append(values, *e)
	}
	return values, nil
}

// scopes come as one string with spaces between (RFC 8693 section 4.2), or in
// the shapes that providers use instead.
func scopes(m map[string]json.RawMessage) ([]string, error) {
	name := "scope"
	if _, ok := m[name]; !ok {
		name = "scp"
	}
	values, err := list(m, name)
	if err != nil {
		return nil, err
	}
	return strings.Fields(strings.Join(values, " ")), nil
}

// roles reads the claim named path, or follows path from object to object.
func roles(m map[string]json.RawMessage, path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	for {
		if _, ok := m[path]; ok {
			return list(m, path)
		}
		name, rest, ok := strings.Cut(path, ".")
		raw, there := m[name]
		if !ok || !there {
			return nil, nil
		}
		inner, err := members(raw)
		if err != nil {
			return nil, causef("%s is not an object", name)
		}
		m, path = inner, rest
	}
}

// date returns a NumericDate (RFC 7519 section 2), the zero Time if absent.
// Fractions of a second are rounded so that the token is valid for less.
func date(m map[string]json.RawMessage, name string, round func(float64) float64) (time.Time, error) {
	raw, ok := m[name]
	if !ok {
		return time.Time{}, nil
	}
	var seconds float64
	if isNull(raw) || json.Unmarshal(raw, &seconds) != nil {
		return time.Time{}, causef("%s is not a number", name)
	}
	if seconds < 0 || seconds > maxDate {
		return time.Time{}, causef("%s is out of range", name)
	}
	return time.Unix(int64(round(seconds)), 0), nil
}

// actors returns the chain of the act claim (RFC 8693 section 4.1).
func actors(m map[string]json.RawMessage, issuer string, depth int) (*principal.Principal, error) {
	raw, ok := m["act"]
	if !ok {
		return nil, nil
	}
	if depth > maxActorDepth {
		return nil, cause("act is nested too deeply")
	}
	act, err := members(raw)
	if err != nil {
		return nil, cause("act is not an object")
	}
	p := &principal.Principal{Issuer: issuer}
	if p.Subject, err = text(act, "sub"); err != nil {
		return nil, causef("act: %v", err)
	}
	if _, ok := act["iss"]; ok {
		if p.Issuer, err = text(act, "iss"); err != nil {
			return nil, causef("act: %v", err)
		}
	}
	if p.Actor, err = actors(act, p.Issuer, depth+1); err != nil {
		return nil, err
	}
	return p, nil
}

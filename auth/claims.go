package auth

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-go/gatehouse/auth/principal"
	"github.com/gatehouse-go/gatehouse/internal/report"
	"github.com/gatehouse-go/gatehouse/internal/strictjson"
)

const (
	maxActorDepth = 4
	maxDate       = 253402300799 // the last second of the year 9999
)

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

// claimNames are the claims that decodeClaims reads.
var claimNames = []string{ //nolint:gochecknoglobals // immutable
	"iss", "sub", "aud", "exp", "nbf", "iat", "auth_time", "jti", "acr", "amr", "scope", "scp", "client_id", "azp", "act", "cnf",
}

func decodeClaims(m map[string]json.RawMessage, rolesClaim string) (*claims, error) {
	if err := exact(m, claimNames); err != nil {
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
		return nil, report.Cause("exp is missing")
	}
	_, c.bound = m["cnf"]
	return c, nil
}

// scopes come as one string with spaces between (RFC 8693 section 4.2), or as
// an array with a scope in each element. Nothing but a space parts two scopes
// (RFC 6749 section 3.3).
func scopes(m map[string]json.RawMessage) ([]string, error) {
	name := "scope"
	if _, ok := m[name]; !ok {
		name = "scp"
	}
	values, err := list(m, name)
	if err != nil {
		return nil, err
	}
	if raw, ok := m[name]; ok && raw[0] == '"' {
		values = strings.Split(values[0], " ")
	}
	return slices.DeleteFunc(values, func(s string) bool { return s == "" }), nil
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
		inner, err := strictjson.Members(raw)
		if err != nil {
			return nil, report.Causef("%s is not an object", name)
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
	if c := raw[0]; c != '-' && (c < '0' || c > '9') {
		return time.Time{}, report.Causef("%s is not a number", name)
	}
	seconds, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || seconds < 0 || seconds > maxDate {
		return time.Time{}, report.Causef("%s is out of range", name)
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
		return nil, report.Cause("act is nested too deeply")
	}
	act, err := strictjson.Members(raw)
	if err != nil {
		return nil, report.Cause("act is not an object")
	}
	p := &principal.Principal{Issuer: issuer}
	if p.Subject, err = text(act, "sub"); err != nil {
		return nil, report.Causef("act: %v", err)
	}
	if _, ok := act["iss"]; ok {
		if p.Issuer, err = text(act, "iss"); err != nil {
			return nil, report.Causef("act: %v", err)
		}
	}
	if p.Actor, err = actors(act, p.Issuer, depth+1); err != nil {
		return nil, err
	}
	return p, nil
}

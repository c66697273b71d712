// Package claims reads what a token, or an authorization server's word about
// one, says of its caller: the registered claims of RFC 7519, RFC 9068, RFC 7662
// and RFC 8693. It believes none of it: whoever asks has verified the document.
package claims

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-go/gatehouse/auth/principal"
	"github.com/gatehouse-go/gatehouse/internal/strictjson"
)

const (
	maxActorDepth = 4
	maxDate       = 253402300799 // the last second of the year 9999
)

// names are the claims that are read.
var names = []string{ //nolint:gochecknoglobals // immutable
	"iss", "sub", "aud", "exp", "nbf", "iat", "auth_time", "jti", "acr", "amr", "scope", "scp", "client_id", "azp", "act", "cnf",
}

// Exact refuses a document in which a name differs from that of a claim, or two
// names from each other, in nothing but case: users read claims with readers of
// their own.
func Exact(o *strictjson.Object) error {
	if o.Lower() { // as nearly all are
		return nil
	}
	if err := o.Exact(names); err != nil {
		return err
	}
	return o.Unfolded()
}

// Dates are the times of a document, the zero Time for an absent one.
// Fractions of a second are rounded so that it is valid for less.
type Dates struct{ Expires, NotBefore, Issued time.Time }

// ReadDates reads exp, nbf and iat. It allocates nothing but its error.
func ReadDates(o *strictjson.Object) (d Dates, err error) {
	if d.Expires, err = date(o, "exp", math.Floor); err != nil {
		return d, err
	}
	if d.NotBefore, err = date(o, "nbf", math.Ceil); err != nil {
		return d, err
	}
	d.Issued, err = date(o, "iat", math.Ceil)
	return d, err
}

// Is reports whether the member is the string want.
func Is(o *strictjson.Object, name, want string) bool {
	raw := o.Get(name)
	if plain, ok := strictjson.Plain(raw); ok {
		return string(plain) == want
	}
	text, ok := strictjson.Text(raw)
	return ok && text == want
}

// ForOne reports whether aud, a string or an array of strings, holds one of
// names exactly.
func ForOne(o *strictjson.Object, names []string) (bool, error) {
	raw := o.Get("aud")
	if plain, ok := strictjson.Plain(raw); ok {
		return slices.ContainsFunc(names, func(n string) bool { return string(plain) == n }), nil
	}
	audience, err := o.List("aud")
	return slices.ContainsFunc(audience, func(a string) bool { return slices.Contains(names, a) }), err
}

// IsAccess reports whether a document says of itself that it is an access
// token, or nothing, by the three members in which authorization servers tell:
// RFC 7662's, ORY Hydra's and Amazon Cognito's, and Keycloak's. It reports the
// member that says otherwise, and whether one says DPoP.
func IsAccess(o *strictjson.Object) (dpop bool, other string, err error) {
	for _, m := range [...]struct {
		name string
		good [5]string
	}{
		{"token_type", [5]string{"Bearer", "DPoP"}},
		{"token_use", [5]string{"access_token", "access"}},
		{"typ", [5]string{"Bearer", "DPoP", "JWT", "at+jwt", "application/at+jwt"}},
	} {
		if !o.Has(m.name) {
			continue
		}
		given, err := o.OptionalText(m.name)
		if err != nil {
			return false, "", err
		}
		if given == "" || !slices.ContainsFunc(m.good[:], func(g string) bool { return strings.EqualFold(g, given) }) {
			return false, m.name, nil
		}
		dpop = dpop || strings.EqualFold(given, "DPoP")
	}
	return dpop, "", nil
}

// A Set is what a document says of its caller, beside its dates.
type Set struct {
	Subject, ClientID, TokenID, ACR string
	Scopes, Roles, AMR              []string
	AuthTime                        time.Time
	Confirmation                    json.RawMessage // cnf, nil if absent
	Actor                           *principal.Principal
}

// Read reads the claims of an object by that issuer. The roles are where
// rolesPath says, none if it is "". An absent claim is for the caller to miss.
func Read(o *strictjson.Object, rolesPath, issuer string) (s Set, err error) {
	var errs [9]error
	s.Subject, errs[0] = o.OptionalText("sub")
	s.AuthTime, errs[1] = date(o, "auth_time", math.Floor)
	s.TokenID, errs[2] = o.OptionalText("jti")
	s.ACR, errs[3] = o.OptionalText("acr")
	s.AMR, errs[4] = o.List("amr")
	s.Scopes, errs[5] = scopes(o)
	s.Roles, errs[6] = roles(o, rolesPath)
	s.ClientID, errs[7] = firstText(o, "client_id", "azp")
	s.Actor, errs[8] = actors(o, issuer, 1)
	for _, err := range errs {
		if err != nil {
			return s, err
		}
	}
	if s.ClientID == "" { // Okta's; elsewhere cid may be anything
		s.ClientID, _ = strictjson.Text(o.Get("cid"))
	}
	s.Confirmation = o.Get("cnf")
	return s, nil
}

// BoundByProof reports whether cnf binds the token by DPoP (RFC 9449 section 6).
func (s *Set) BoundByProof() bool {
	var cnf strictjson.Object
	return s.Confirmation != nil && cnf.Parse(s.Confirmation) == nil && cnf.Has("jkt")
}

func firstText(o *strictjson.Object, names ...string) (string, error) {
	for _, name := range names {
		if s, err := o.OptionalText(name); s != "" || err != nil {
			return s, err
		}
	}
	return "", nil
}

// scopes come as one string with spaces between (RFC 8693 section 4.2), or as
// an array with a scope in each element. Nothing but a space parts two scopes
// (RFC 6749 section 3.3).
func scopes(o *strictjson.Object) ([]string, error) {
	name := "scope"
	if !o.Has(name) {
		name = "scp"
	}
	if text, ok := strictjson.Text(o.Get(name)); ok {
		values := make([]string, 0, 1+strings.Count(text, " "))
		for s := range strings.SplitSeq(text, " ") {
			if s != "" {
				values = append(values, s)
			}
		}
		return slices.Clip(values), nil // nobody's append may reach another request
	}
	values, err := o.List(name)
	return slices.Clip(slices.DeleteFunc(values, func(s string) bool { return s == "" })), err
}

// roles reads the claim named path, or follows path from object to object.
func roles(o *strictjson.Object, path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	for {
		if o.Has(path) {
			return o.List(path)
		}
		name, rest, ok := strings.Cut(path, ".")
		raw := o.Get(name)
		if !ok || raw == nil {
			return nil, nil
		}
		inner := new(strictjson.Object)
		if inner.Parse(raw) != nil {
			return nil, &strictjson.Error{Text: name + " is not an object"}
		}
		o, path = inner, rest
	}
}

// date returns a NumericDate (RFC 7519 section 2), the zero Time if absent.
func date(o *strictjson.Object, name string, round func(float64) float64) (time.Time, error) {
	raw := o.Get(name)
	if raw == nil {
		return time.Time{}, nil
	}
	if c := raw[0]; c != '-' && (c < '0' || c > '9') {
		return time.Time{}, &strictjson.Error{Text: name + " is not a number"}
	}
	if whole, err := strconv.ParseInt(string(raw), 10, 64); err == nil && whole >= 0 && whole <= maxDate {
		return time.Unix(whole, 0), nil
	}
	seconds, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || seconds < 0 || seconds > maxDate {
		return time.Time{}, &strictjson.Error{Text: name + " is out of range"}
	}
	return time.Unix(int64(round(seconds)), 0), nil
}

// actors returns the chain of the act claim (RFC 8693 section 4.1).
func actors(o *strictjson.Object, issuer string, depth int) (*principal.Principal, error) {
	raw := o.Get("act")
	if raw == nil {
		return nil, nil
	}
	if depth > maxActorDepth {
		return nil, &strictjson.Error{Text: "act is nested too deeply"}
	}
	var act strictjson.Object
	if act.Parse(raw) != nil {
		return nil, &strictjson.Error{Text: "act is not an object"}
	}
	p := &principal.Principal{Issuer: issuer}
	var err error
	if p.Subject, err = act.Text("sub"); err == nil && act.Has("iss") {
		p.Issuer, err = act.Text("iss")
	}
	if err == nil {
		p.ClientID, err = act.OptionalText("client_id")
	}
	if err != nil {
		return nil, &strictjson.Error{Text: "act: " + err.Error()}
	}
	p.Actor, err = actors(&act, p.Issuer, depth+1)
	return p, err
}

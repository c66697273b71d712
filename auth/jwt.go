package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-go/gatehouse/auth/principal"
	"github.com/gatehouse-go/gatehouse/internal/report"
	"github.com/gatehouse-go/gatehouse/internal/strictjson"
)

const (
	defaultLeeway = 30 * time.Second
	maxLeeway     = 5 * time.Minute

	// maxToken is the longest token that is looked at: net/http takes 1 MiB of
	// headers by default, and no issuer's tokens come near 16 KiB.
	maxToken = 16 << 10
)

// JWTConfig configures a [JWT]. Issuers is required.
type JWTConfig struct {
	_ [0]func() // keyed literals only

	// Issuers are those whose tokens are accepted.
	Issuers []Issuer

	// Leeway is how far clocks may be apart when a token's times are checked.
	// If zero, it is 30 s; at most 5 min.
	Leeway time.Duration
}

// An Issuer is somebody whose tokens are accepted. URL, Audience and Keys are
// required. A key of one Issuer never verifies a token of another.
type Issuer struct {
	_ [0]func() // keyed literals only

	// URL is the exact value of the iss claim.
	URL string

	// Audience are the names of this service, one of which must be exactly a
	// value of the aud claim.
	Audience []string

	// Algorithms are the JWS algorithms that its keys may have: RS256, RS384,
	// RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, and with Secret
	// HS256, HS384, HS512. If empty, they are RS256, ES256, ES384, ES512 and
	// EdDSA, or HS256 with Secret. Each key has one algorithm: its own, where
	// the key's document names one, and otherwise the one of Algorithms that
	// fits its type.
	Algorithms []string

	// Keys are the issuer's keys.
	Keys KeySource

	// RolesClaim is where the issuer puts roles: the name of a claim or a path
	// such as "realm_access.roles". If empty, no role in a token is believed.
	RolesClaim string
}

// A JWT is an [Authenticator] for signed bearer tokens.
//
// It admits a token in compact form (RFC 7515) if its algorithm is its key's,
// the key is its issuer's, the signature is right, iss, sub, aud and exp are
// there and right, nbf and iat are not in the future, typ is absent, JWT or
// at+jwt, and nothing is in it that would have to be understood and is not:
// crit, b64 or cnf. Names are exact, and no member may occur twice or beside a
// claim whose name differs in case alone.
//
// The [principal.Principal] has Issuer from iss, Subject from sub, ClientID
// from client_id or else azp, TokenID from jti, Scopes from scope or else scp
// (one string or an array), Roles from [Issuer.RolesClaim], Actor from act, and
// AMR, ACR, AuthTime, IssuedAt and ExpiresAt from amr, acr, auth_time, iat and
// exp. It is a Client if ClientID is Subject (RFC 9068 section 2.2). Tenant stays
// empty. All claims are there for [principal.Claims]. Tokens beyond 16 KiB are
// refused unread.
//
// It is immutable and safe for concurrent use.
type JWT struct {
	issuers []*issuer
	leeway  time.Duration
}

type issuer struct {
	url        string
	audience   []string
	keys       []key
	rolesClaim string
}

// NewJWT returns a JWT that behaves in accordance with cfg.
// The error, if any, joins every mistake found in cfg.
func NewJWT(cfg JWTConfig) (*JWT, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("auth: "+format, args...)) }
	j := &JWT{leeway: cfg.Leeway}
	switch {
	case cfg.Leeway == 0:
		j.leeway = defaultLeeway
	case cfg.Leeway < 0 || cfg.Leeway > maxLeeway:
		bad("Leeway is %v, want 0 to %v", cfg.Leeway, maxLeeway)
	}
	if len(cfg.Issuers) == 0 {
		bad("Issuers is empty, want at least one")
	}
	seen := make(map[string]bool)
	for i, c := range cfg.Issuers {
		field := fmt.Sprintf("Issuers[%d].", i)
		if c.URL == "" {
			bad("%sURL is empty, want the exact value of iss", field)
		} else if seen[c.URL] {
			bad("%sURL is %q again, want each issuer once", field, c.URL)
		}
		seen[c.URL] = true
		if len(c.Audience) == 0 {
			bad("%sAudience is empty, want the names of this service", field)
		} else if slices.Contains(c.Audience, "") {
			bad("%sAudience has an empty name", field)
		}
		if slices.Contains(strings.Split(c.RolesClaim, "."), "") && c.RolesClaim != "" {
			bad("%sRolesClaim is %q, want the name of a claim or a path of names with dots between", field, c.RolesClaim)
		}
		faults := c.Keys.checkAlgorithms(c.Algorithms)
		for _, err := range faults {
			bad("%sAlgorithms %w", field, err)
		}
		var keys []key
		switch {
		case c.Keys.src == nil:
			bad("%sKeys is empty, want PublicKeys, PEM, StaticJWKS or Secret", field)
			faults = nil
		case len(faults) > 0:
			_, faults = c.Keys.src.load()
		default:
			keys, faults = c.Keys.keys(c.Algorithms)
		}
		for _, err := range faults {
			bad("%sKeys: %w", field, err)
		}
		j.issuers = append(j.issuers, &issuer{c.URL, slices.Clone(c.Audience), keys, c.RolesClaim})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return j, nil
}

// Authenticate returns the caller that the bearer token of r speaks for.
func (j *JWT) Authenticate(r *http.Request) (*principal.Principal, error) {
	scheme, token, err := BearerToken(r)
	if err != nil {
		return nil, err
	}
	if scheme != "Bearer" {
		return nil, ErrNoCredentials
	}
	return j.Verify(token)
}

// Carries implements [Carrier].
func (j *JWT) Carries(r *http.Request) string {
	if _, _, err := BearerToken(r); errors.Is(err, ErrNoCredentials) {
		return ""
	}
	return "Authorization"
}

// Verify returns the principal of a token in compact form, for tokens that do
// not come in a request's header. Every error is an *Error.
func (j *JWT) Verify(token string) (*principal.Principal, error) {
	if j == nil {
		return nil, &Error{Kind: Unavailable, Reason: ReasonUnavailable, Err: report.Cause("nil *JWT")}
	}
	t, err := parse(token)
	if err != nil {
		return nil, err
	}
	iss, claims, err := j.issuer(t)
	if err != nil {
		return nil, err
	}
	k, err := iss.key(t.header)
	if err != nil {
		return nil, err
	}
	if err := t.verify(k); err != nil {
		return nil, err
	}
	if claims == nil {
		if claims, err = strictjson.Members(t.payload); err != nil {
			return nil, invalid(ReasonClaims, err)
		}
	}
	p, err := iss.principal(claims, time.Now(), j.leeway)
	if err != nil {
		return nil, err
	}
	return p.WithClaims(t.payload), nil
}

// Challenges returns the Bearer challenge for err (RFC 6750 section 3).
func (j *JWT) Challenges(err error) []string {
	e := classify(err)
	switch e.Kind {
	case Missing:
		return []string{"Bearer"}
	case Invalid:
		return []string{`Bearer error="invalid_token"`}
	case Malformed:
		return []string{`Bearer error="invalid_request"`}
	case InsufficientScope:
		// Scopes may be another Authenticator's: nothing may end the quotes.
		scopes := slices.DeleteFunc(slices.Clone(e.Scopes), func(s string) bool { return !isScopeToken(s) })
		if len(scopes) == 0 {
			return []string{`Bearer error="insufficient_scope"`}
		}
		return []string{`Bearer error="insufficient_scope", scope="` + strings.Join(scopes, " ") + `"`}
	case Unavailable:
	}
	return nil
}

// issuer finds who the token claims to be from, and returns its claims if it
// had to look at them. With one issuer nothing of the payload is looked at
// before the signature is verified.
func (j *JWT) issuer(t *token) (*issuer, map[string]json.RawMessage, error) {
	if len(j.issuers) == 1 {
		return j.issuers[0], nil, nil
	}
	claims, err := strictjson.Members(t.payload)
	if err != nil {
		return nil, nil, invalid(ReasonClaims, err)
	}
	url, err := text(claims, "iss")
	if err != nil {
		return nil, nil, invalid(ReasonClaims, err)
	}
	for _, iss := range j.issuers {
		if iss.url == url {
			return iss, claims, nil
		}
	}
	return nil, nil, invalid(ReasonIssuer, report.Cause("iss is none of the configured issuers"))
}

// key finds the one key that the header may mean.
func (iss *issuer) key(h header) (*key, error) {
	var found *key
	for i := range iss.keys {
		k := &iss.keys[i]
		if h.kid != "" && k.kid == h.kid {
			found = k
			break
		}
		if h.kid == "" && (k.kid == "" || len(iss.keys) == 1) {
			found = k
			break
		}
	}
	if found == nil {
		return nil, invalid(ReasonKey, report.Cause("the issuer has no key of that kid"))
	}
	if found.alg != h.alg {
		return nil, invalid(ReasonAlgorithm, report.Causef("alg is %s, the key's is %s", h.alg, found.alg))
	}
	return found, nil
}

// principal checks the claims of a token whose signature was verified, and
// makes the caller of them.
func (iss *issuer) principal(m map[string]json.RawMessage, now time.Time, leeway time.Duration) (*principal.Principal, error) {
	c, err := decodeClaims(m, iss.rolesClaim)
	if err != nil {
		return nil, invalid(ReasonClaims, err)
	}
	switch {
	case c.issuer != iss.url:
		return nil, invalid(ReasonIssuer, report.Cause("iss is not the configured issuer"))
	case !slices.ContainsFunc(c.audience, func(a string) bool { return slices.Contains(iss.audience, a) }):
		return nil, invalid(ReasonAudience, report.Cause("aud names none of this service's names"))
	case !now.Before(c.expires.Add(leeway)):
		return nil, invalid(ReasonExpired, report.Causef("expired %v ago", now.Sub(c.expires).Round(time.Second)))
	case c.notBefore.After(now.Add(leeway)):
		return nil, invalid(ReasonNotYet, report.Causef("valid in %v", c.notBefore.Sub(now).Round(time.Second)))
	case c.issued.After(now.Add(leeway)):
		return nil, invalid(ReasonNotYet, report.Causef("issued in %v", c.issued.Sub(now).Round(time.Second)))
	case c.bound:
		return nil, invalid(ReasonBinding, report.Cause("cnf binds the token to a key"))
	}
	p := &principal.Principal{
		Issuer: c.issuer, Subject: c.subject, Scheme: "Bearer",
		ClientID: c.clientID, TokenID: c.tokenID,
		Scopes: c.scopes, Roles: c.roles, AMR: c.amr, ACR: c.acr,
		AuthTime: c.authTime, IssuedAt: c.issued, ExpiresAt: c.expires,
		Actor: c.actor,
	}
	// A token that a client got for itself names the client as its subject
	// (RFC 9068 section 2.2).
	if c.clientID == c.subject {
		p.Kind = principal.Client
	}
	return p, nil
}

// invalid refuses a token. Its author is unknown until the signature is
// verified, so the error quotes nothing of it.
func invalid(reason string, err error) *Error {
	if e, ok := errors.AsType[*strictjson.Error](err); ok {
		err = report.Cause(e.Text)
	}
	return &Error{Kind: Invalid, Reason: reason, Err: err}
}

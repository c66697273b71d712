package introspect

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/principal"
	"github.com/gatehouse-go/gatehouse/internal/claims"
	"github.com/gatehouse-go/gatehouse/internal/report"
	"github.com/gatehouse-go/gatehouse/internal/strictjson"
)

// A verdict is what an answer of the endpoint comes to: a caller, or a refusal.
// It is about the token, whoever presents it.
type verdict struct {
	principal    *principal.Principal
	dates        claims.Dates
	confirmation json.RawMessage // cnf, nil if absent

	refusal *auth.Error // with it there is no principal
}

// names are the members that are read beside the claims.
var names = []string{"active", "token_type", "token_use", "typ"} //nolint:gochecknoglobals // immutable

// read makes a verdict of an answer with status 200 (RFC 7662 section 2.2). An
// error means that it is no answer: nobody knows whether the token is good.
func (i *Introspector) read(token string, body []byte) (*verdict, error) {
	var o strictjson.Object
	if err := o.Parse(body); err != nil {
		return nil, ours(err)
	}
	if err := o.Exact(names); err != nil {
		return nil, ours(err)
	}
	switch string(o.Get("active")) {
	case "true":
	case "false":
		return &verdict{refusal: invalid(ReasonInactive, report.Cause("the authorization server says that the token is not active"))}, nil
	case "":
		return nil, report.Cause("active is missing")
	default:
		return nil, report.Cause("active is neither true nor false")
	}
	v, err := i.judge(token, &o)
	if err != nil {
		refusal, ok := errors.AsType[*auth.Error](err)
		if !ok {
			refusal = invalid(auth.ReasonClaims, ours(err))
		}
		return &verdict{refusal: refusal}, nil
	}
	v.principal = v.principal.WithClaims(bytes.Clone(body)) // without what body has room for
	return v, nil
}

// judge checks what the answer says of a token that is active.
func (i *Introspector) judge(token string, o *strictjson.Object) (*verdict, error) {
	if err := claims.Exact(o); err != nil {
		return nil, err
	}
	dates, err := claims.ReadDates(o)
	if err != nil {
		return nil, err
	}
	if err := inTime(dates, time.Now(), i.leeway); err != nil {
		return nil, err
	}
	set, err := claims.Read(o, i.rolesClaim, i.issuer)
	if err == nil && set.Subject == "" {
		_, err = o.Text("sub")
	}
	if err != nil {
		return nil, err
	}
	if o.Has("iss") && !claims.Is(o, "iss", i.issuer) {
		if _, err := o.OptionalText("iss"); err != nil {
			return nil, err
		}
		return nil, invalid(auth.ReasonIssuer, report.Cause("iss is not the configured issuer"))
	}
	if err := i.addressed(o, set.ClientID); err != nil {
		return nil, err
	}
	dpop, other, err := claims.IsAccess(o)
	switch {
	case err != nil:
		return nil, err
	case other != "":
		return nil, invalid(auth.ReasonType, report.Cause(other+" is not that of an access token"))
	}
	proof := set.BoundByProof()
	if dpop && !proof {
		return nil, invalid(auth.ReasonBinding, report.Cause("the token is for DPoP, and no cnf says for which key"))
	}
	p := &principal.Principal{
		Issuer: i.issuer, Subject: set.Subject, Scheme: schemeBearer,
		ClientID: set.ClientID, TokenID: set.TokenID,
		Scopes: set.Scopes, Roles: set.Roles, AMR: set.AMR, ACR: set.ACR,
		AuthTime: set.AuthTime, IssuedAt: dates.Issued, ExpiresAt: dates.Expires,
		Actor: actor(set.Actor, i.issuer),
	}
	if p.ClientID == p.Subject {
		p.Kind = principal.Client
	}
	if p.TokenID == "" {
		p.TokenID = tokenID(token)
	}
	if proof {
		p.Scheme = schemeDPoP
	}
	return &verdict{principal: p, dates: dates, confirmation: set.Confirmation}, nil
}

// addressed checks whom the token is for.
func (i *Introspector) addressed(o *strictjson.Object, clientID string) error {
	if i.anyAudience {
		return nil
	}
	if !o.Has("aud") {
		if slices.Contains(i.clientIDs, clientID) {
			return nil
		}
		return invalid(auth.ReasonAudience, report.Cause("no aud, and a client that is none of ClientIDs"))
	}
	forUs, err := claims.ForOne(o, i.audience)
	if err != nil {
		return err
	}
	if !forUs {
		return invalid(auth.ReasonAudience, report.Cause("aud names none of this service's names"))
	}
	return nil
}

// actor fills in the issuer where the answer has none (RFC 8693 section 4.1).
func actor(p *principal.Principal, issuer string) *principal.Principal {
	for a := p; a != nil; a = a.Actor {
		if a.Issuer == "" {
			a.Issuer = issuer
		}
	}
	return p
}

// inTime checks the dates of a token, of which any may be absent.
func inTime(d claims.Dates, now time.Time, leeway time.Duration) error {
	switch {
	case !d.Expires.IsZero() && !now.Before(d.Expires.Add(leeway)):
		return invalid(auth.ReasonExpired, report.Causef("expired %v ago", now.Sub(d.Expires).Round(time.Second)))
	case d.NotBefore.After(now.Add(leeway)):
		return invalid(auth.ReasonNotYet, report.Causef("valid in %v", d.NotBefore.Sub(now).Round(time.Second)))
	case d.Issued.After(now.Add(leeway)):
		return invalid(auth.ReasonNotYet, report.Causef("issued in %v", d.Issued.Sub(now).Round(time.Second)))
	}
	return nil
}

// tokenID names a token without a jti. A token cannot be found from it: it is
// as long as a token must be hard to guess (RFC 6749 section 10.10), and it is
// not what the cache goes by.
func tokenID(token string) string {
	h := sha256.Sum256([]byte("gatehouse token id\x00" + token))
	return base64.RawURLEncoding.EncodeToString(h[:16])
}

// ours is the text of a fault in an answer, with nothing of it but a name.
func ours(err error) error {
	if e, ok := errors.AsType[*strictjson.Error](err); ok {
		return report.Cause(e.Error())
	}
	return err
}

func invalid(reason string, cause error) *auth.Error {
	return &auth.Error{Kind: auth.Invalid, Reason: reason, Err: cause}
}

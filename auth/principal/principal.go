// Package principal holds the caller of a request as every package of
// gatehouse sees it.
//
// Package auth writes it, and rbac, ratelimit and audit read it; nothing of a
// token format crosses this border. Users' handlers read it with
// [FromContext], users' tests set it with [NewContext].
package principal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"
)

// A Kind tells a person from a program.
type Kind uint8

// The kinds of principals.
const (
	User   Kind = iota // a person, possibly through an application
	Client             // an application on its own behalf (RFC 6749 section 4.4, API keys)
)

// String returns "user" or "client".
func (k Kind) String() string {
	if k == Client {
		return "client"
	}
	return "user"
}

// MarshalText implements [encoding.TextMarshaler].
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// A Principal is an authenticated caller.
// Issuer and Subject are required: identity is the pair, never Subject alone
// (OpenID Connect Core section 5.7, OWASP ASVS 6.8.1). A Principal that is
// stored in a context must not be modified.
type Principal struct {
	Issuer  string // who vouches for the caller
	Subject string // the caller's name with Issuer, unique there

	Kind     Kind
	Scheme   string // how the caller proved itself: "Bearer", "DPoP", "APIKey", "Session", "Basic" or "MTLS"
	ClientID string // the application that acts for the user
	Tenant   string // of a service or an issuer with several; "" for none
	TokenID  string // names the credential without being one: safe to log

	Scopes []string // what the credential was issued for
	Roles  []string // what the issuer says that the caller is

	AMR       []string  // authentication methods (RFC 8176)
	ACR       string    // authentication context class
	AuthTime  time.Time // when the user logged in; zero if unknown, as the others
	IssuedAt  time.Time // when the credential was issued
	ExpiresAt time.Time // when it ends

	// Actor is who acts for Subject (RFC 8693 section 4.1). It never widens
	// rights and is always recorded.
	Actor *Principal

	// claims is behind two pointers so that printing a Principal prints no
	// claim: fmt follows one, for verbs that fit no struct, such as %s.
	claims **claims
}

type claims struct{ raw json.RawMessage }

// ID returns issuer and subject in one string, with the issuer's length in
// front so that two different pairs never give the same string: a safe key for
// maps, quotas and records. It is "" for an empty identity.
func (p *Principal) ID() string {
	if !p.identified() {
		return ""
	}
	return strconv.Itoa(len(p.Issuer)) + ":" + p.Issuer + p.Subject
}

func (p *Principal) identified() bool {
	return p != nil && p.Issuer != "" && p.Subject != ""
}

// HasScope reports whether the credential carries the scope s.
func (p *Principal) HasScope(s string) bool {
	return p != nil && slices.Contains(p.Scopes, s)
}

// HasRole reports whether the issuer vouched for the role.
// What a role permits is for package rbac to say.
func (p *Principal) HasRole(role string) bool {
	return p != nil && slices.Contains(p.Roles, role)
}

// LogValue implements [slog.LogValuer]: the identity and how it was proved,
// without personal claims.
func (p *Principal) LogValue() slog.Value {
	if p == nil {
		return slog.StringValue("none")
	}
	return slog.GroupValue(
		slog.String("issuer", p.Issuer),
		slog.String("subject", p.Subject),
		slog.String("kind", p.Kind.String()),
		slog.String("scheme", p.Scheme),
	)
}

// WithClaims returns a copy of p that carries the verified claims of its
// credential, a JSON object, for [Claims]. It is for Authenticators; raw must
// not be modified afterwards.
func (p *Principal) WithClaims(raw json.RawMessage) *Principal {
	if p == nil {
		return nil
	}
	c := &claimed{Principal: *p, claims: claims{raw}}
	c.behind = &c.claims
	c.Principal.claims = &c.behind
	return &c.Principal
}

// claimed keeps a Principal and what it points to in one place of memory.
type claimed struct {
	Principal
	behind *claims
	claims claims
}

// ErrNoClaims is what [Claims] returns for a Principal without claims.
var ErrNoClaims = errors.New("principal: the credential carried no claims")

// Claims decodes the verified claims of p into a T, on demand: a request whose
// handler does not ask pays nothing.
func Claims[T any](p *Principal) (T, error) {
	var v T
	if p == nil || p.claims == nil {
		return v, ErrNoClaims
	}
	if err := json.Unmarshal((*p.claims).raw, &v); err != nil {
		return v, fmt.Errorf("principal: claims do not fit %T: %w", v, err)
	}
	return v, nil
}

type contextKey struct{}

// NewContext returns a context that carries p. It is also how users test
// handlers behind package auth; p needs Issuer and Subject, or it is nobody.
func NewContext(ctx context.Context, p *Principal) context.Context {
	return context.WithValue(ctx, contextKey{}, p)
}

// FromContext returns the caller in ctx. It returns false when there is none,
// and for a Principal without Issuer or Subject.
func FromContext(ctx context.Context) (*Principal, bool) {
	p, _ := ctx.Value(contextKey{}).(*Principal)
	if !p.identified() {
		return nil, false
	}
	return p, true
}

// Package auth answers one question: who is calling?
//
// A [Gate] asks its [Authenticator]s in order for the caller of each request
// and refuses the request unless one of them knows it. [JWT] is the
// Authenticator for bearer tokens (RFC 6750, RFC 7519, RFC 8725).
//
//	jwt, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{{
//		URL:      "https://id.example.com", // its metadata says where its keys are
//		Audience: []string{"orders"},
//	}}})
//	…
//	defer jwt.Close()
//	gate, err := auth.New(auth.Config{Authenticators: []auth.Authenticator{jwt}})
//	…
//	mux.Handle("GET /orders", gate.Handler(gate.RequireScope("orders:read")(http.HandlerFunc(list))))
//
// Handlers read the caller with [principal.FromContext]. What to set for
// Keycloak, Entra ID, Okta, Auth0, Cognito and Google is in
// testdata/providers/README.md.
//
// # The parts
//
//   - Keys: [Issuer.Keys] is discovery when it is zero; [JWKS] a fixed place;
//     [StaticJWKS], [PEM], [PublicKeys] and [Secret] are keys at hand. How keys
//     are fetched and kept up to date stands with [JWT].
//   - Tokens bound to a key: [DPoP] (RFC 9449), client certificates (RFC 8705).
//   - Tokens taken back: [Revocations] and [RedisRevocations].
//   - Step-up: [Gate.RequireScope] (RFC 6750), [Gate.RequireRecent] (RFC 9470).
//   - Metadata for clients: [Resource] (RFC 9728), which the Model Context
//     Protocol asks for.
//   - Other callers, each an Authenticator: auth/introspect for opaque tokens
//     (RFC 7662), auth/apikey, auth/basic and auth/mtls for services.
//   - Tests of your own: auth/authtest.
//
// # What it protects against
//
// Missing, doubled, malformed, expired, forged and foreign credentials, also two
// kinds of them in one request; algorithm confusion (each key has one algorithm,
// and the token's header chooses neither), tokens for another service or another
// purpose, claims that are doubled or differ in case alone, weak and malformed
// keys, tokens bound to a key that the caller did not prove to hold, keys that
// were withdrawn. Tokens cannot make it fetch what their sender likes, nor more
// often than a few times a minute. Every refusal is an answer by RFC 6750 that
// says no more than that RFC asks for; why it was refused is in the audit trail
// and the log, in a closed set of Reasons.
//
// # What it does not
//
// It does not decide what a caller may do (package rbac), does not slow down
// guessing (package ratelimit), and keeps no sessions. A bearer token in the
// wrong hands is a valid token: keep lifetimes short, bind tokens to keys, and
// keep them off plain HTTP (package tlsredirect). It issues no tokens. Encrypted
// tokens (JWE) and the JSON serializations of JWS are refused.
//
// # Where it stands
//
// Behind whatever needs no caller (audit, tlsredirect, the limit by address),
// before everything that does (the limit by principal, rbac). Mount it on
// routes or groups rather than exempting paths by name. CORS preflights carry
// no credentials: answer them outside, and so the metadata.
package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/auth/principal"
	"github.com/gatehouse-go/gatehouse/internal/pass"
	"github.com/gatehouse-go/gatehouse/internal/problem"
	"github.com/gatehouse-go/gatehouse/internal/report"
)

// An Authenticator knows one way for callers to prove who they are.
// It must be safe for concurrent use.
type Authenticator interface {
	// Authenticate returns the caller of r. If r carries no credentials of
	// this kind it returns ErrNoCredentials, and the next Authenticator is
	// asked. So it is for an *Error around ErrNoCredentials, which says that
	// the scheme is right and the form is another's; it is the answer if no
	// Authenticator takes the request. Any other error refuses it: an *Error,
	// an error whose StatusCode() int is 400, 401 or 403, or one that counts
	// as 503.
	Authenticate(r *http.Request) (*principal.Principal, error)

	// Challenges returns the values of WWW-Authenticate that answer err
	// (RFC 9110 section 11.6.1) for the statuses 400, 401 and 403; nil for
	// none. The Gate adds its realm to those without one.
	Challenges(err error) []string
}

// A RequestChallenger is an [Authenticator] that does not invite every caller
// to send credentials. A Gate calls ChallengesFor in place of Challenges.
type RequestChallenger interface {
	// ChallengesFor returns the values of WWW-Authenticate that answer err
	// and r.
	ChallengesFor(r *http.Request, err error) []string
}

// A Carrier is an [Authenticator] that can tell, without any check, whether a
// request carries credentials of its kind. A Gate refuses requests that carry
// them in more than one place: two readers might each believe another one
// (RFC 6750 section 2).
type Carrier interface {
	// Carries names the place in r where the credentials are, such as
	// "Authorization"; "" if there are none, or if they are the connection's.
	Carries(r *http.Request) string
}

// Config configures a [Gate]. Authenticators is required.
type Config struct {
	_ [0]func() // keyed literals only

	// Authenticators are asked in this order.
	Authenticators []Authenticator

	// Realm is put into every challenge that has none of its own. If empty,
	// nothing is.
	Realm string

	// Resource describes the service to OAuth clients: challenges then point to
	// the document that [Gate.Metadata] serves. If nil, there is none.
	Resource *Resource

	// OnDecision is called with each decision, also without an audit trail.
	OnDecision func(ctx context.Context, d decision.Decision)

	// ErrorHandler answers refused requests; err is an *Error, and the
	// challenge is already set. If nil, it is WriteError.
	ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)

	// Logger is told of each refusal: reason, status, rule, detail and, with
	// package audit around, request_id, under which the trail has the rest. If
	// nil, nothing is logged.
	Logger *slog.Logger
}

// A Gate lets requests through whose caller is known.
// It is safe for concurrent use.
type Gate struct {
	authenticators []Authenticator
	carriers       []Carrier
	realm          string
	resource       *resource // nil: none
	report         *report.Reporter
	onError        func(w http.ResponseWriter, r *http.Request, err error)
}

// New returns a Gate that behaves in accordance with cfg.
// The error, if any, joins every mistake found in cfg.
func New(cfg Config) (*Gate, error) {
	var errs []error
	if len(cfg.Authenticators) == 0 {
		errs = append(errs, errors.New("auth: Authenticators is empty, want at least one"))
	}
	for i, a := range cfg.Authenticators {
		if v := reflect.ValueOf(a); a == nil || v.Kind() == reflect.Pointer && v.IsNil() {
			errs = append(errs, fmt.Errorf("auth: Authenticators[%d] is nil, want an Authenticator", i))
		}
	}
	isJWT := func(a Authenticator) bool { _, ok := a.(*JWT); return ok }
	if i := slices.IndexFunc(cfg.Authenticators, isJWT); i >= 0 && slices.ContainsFunc(cfg.Authenticators[i+1:], isJWT) {
		errs = append(errs, errors.New("auth: Authenticators has more than one *JWT, want all Issuers in one: each would refuse the other's tokens"))
	}
	if strings.ContainsFunc(cfg.Realm, func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }) {
		errs = append(errs, fmt.Errorf("auth: Realm is %q, want printable ASCII without quotes and backslashes", cfg.Realm))
	}
	described, faults := newResource(cfg.Resource)
	errs = append(errs, faults...)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	g := &Gate{
		authenticators: slices.Clone(cfg.Authenticators),
		realm:          cfg.Realm,
		resource:       described,
		report:         report.New("auth", cfg.Logger, cfg.OnDecision),
	}
	for _, a := range g.authenticators {
		if c, ok := a.(Carrier); ok {
			g.carriers = append(g.carriers, c)
		}
	}
	if len(g.carriers) == 1 { // nobody to carry a second one
		g.carriers = nil
	}
	if g.onError = WriteError; cfg.ErrorHandler != nil {
		g.onError = problem.Unstored(cfg.ErrorHandler)
	}
	return g, nil
}

// An admission is what a Gate found out about a request.
type admission struct {
	principal *principal.Principal // nil: refused, or let through by Optional
	by        Authenticator        // nil: nobody took the request
	detail    string
}

// admissionKey is a key for each Gate: one Gate's word is not another's.
type admissionKey struct{ gate *Gate }

// An admitted is a context with what a Gate found out.
type admitted struct {
	context.Context //nolint:containedctx // it is one
	gate            *Gate
	admission       admission
}

// Value implements [context.Context].
func (a *admitted) Value(key any) any {
	if k, ok := key.(admissionKey); ok && k.gate == a.gate {
		return &a.admission
	}
	return a.Context.Value(key)
}

// Authenticate returns the caller of r. Every error is an *Error.
func (g *Gate) Authenticate(r *http.Request) (*principal.Principal, error) {
	a, err := g.authenticate(r)
	if err != nil {
		return nil, err
	}
	return a.principal, nil
}

func (g *Gate) authenticate(r *http.Request) (admission, *Error) {
	authorization := r.Header["Authorization"]
	if len(authorization) > 1 {
		return admission{}, &Error{Kind: Malformed, Reason: ReasonDuplicate, Err: report.Causef("%d Authorization headers", len(authorization))}
	}
	place, err := g.onePlace(r)
	if err != nil {
		return admission{}, err
	}
	var declined, passed *Error
	var decliner Authenticator
	for _, a := range g.authenticators {
		p, detail, err := ask(a, r)
		switch {
		case err != nil && errors.Is(err, ErrNoCredentials):
			e, ok := errors.AsType[*Error](err)
			if ok && (e == nil || e.Kind != Invalid && e.Kind != Missing) {
				return admission{by: a}, classify(err) // a check that failed, whatever its cause
			}
			if ok && declined == nil {
				declined, decliner = e, a
			}
			continue
		case err != nil:
			return admission{by: a}, classify(err)
		case p == nil || p.Issuer == "" || p.Subject == "":
			return admission{by: a}, &Error{Kind: Unavailable, Reason: ReasonUnavailable, Err: report.Causef("%T admitted a caller without issuer and subject", a)}
		}
		if c, ok := a.(Carrier); ok && place != "" && c.Carries(r) != place {
			// The credentials there are for another to judge, and decide.
			passed = &Error{Kind: Malformed, Reason: ReasonDuplicate, Err: report.Causef("credentials in %s that nobody takes, and others", place)}
			continue
		}
		return admission{p, a, detail}, nil
	}
	if declined != nil {
		return admission{by: decliner}, declined
	}
	if passed != nil {
		return admission{}, passed
	}
	if len(authorization) > 0 {
		return admission{}, &Error{Kind: Missing, Reason: ReasonScheme, Err: report.Cause("the Authorization scheme is not one of this service's")}
	}
	return admission{}, &Error{Kind: Missing, Reason: ReasonMissing, Err: ErrNoCredentials}
}

// ask also returns what the record should say of an admission.
func ask(a Authenticator, r *http.Request) (*principal.Principal, string, error) {
	if j, ok := a.(*JWT); ok {
		return j.authenticate(r)
	}
	p, err := a.Authenticate(r)
	return p, "", err
}

// onePlace returns the place that Carriers find credentials in, and refuses
// requests that have them in two.
func (g *Gate) onePlace(r *http.Request) (first string, _ *Error) {
	for _, c := range g.carriers {
		place := c.Carries(r)
		if first == "" {
			first = place
		}
		if place != "" && place != first {
			return "", &Error{Kind: Malformed, Reason: ReasonDuplicate, Err: report.Causef("credentials in %s and in %s", first, place)}
		}
	}
	return first, nil
}

// Handler lets only requests through whose caller is known, and puts the
// caller into their context. It panics if g is nil.
func (g *Gate) Handler(next http.Handler) http.Handler { return g.handler(next, false) }

// Optional also lets requests through that carry no credentials at all,
// without a principal. Bad credentials are still refused. It panics if g is
// nil.
func (g *Gate) Optional(next http.Handler) http.Handler { return g.handler(next, true) }

func (g *Gate) handler(next http.Handler, optional bool) http.Handler {
	if g == nil {
		panic("auth: Handler of a nil *Gate")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if a, ok := ctx.Value(admissionKey{g}).(*admission); ok {
			if a.principal == nil && !optional {
				g.refuse(w, r, nil, "", missing())
				return
			}
			pass.On(next, w, r)
			return
		}
		a, err := g.authenticate(r)
		d := decision.Decision{Effect: decision.Allow, Reason: "admitted", Detail: a.detail}
		switch {
		case err == nil:
			d.Rule = a.principal.Scheme
			if _, recorded := decision.FromContext(ctx); recorded {
				decision.SetActor(ctx, actor(a.principal))
			}
			ctx = principal.NewContext(ctx, a.principal)
			if a.principal.Scheme == schemeDPoP {
				offerNonce(w.Header(), r, a.by)
			}
		case optional && a.by == nil && err.Reason == ReasonMissing:
			d.Reason = "anonymous"
		default:
			g.refuse(w, r, a.by, "", err)
			return
		}
		g.report.Decision(ctx, d)
		pass.With(&admitted{ctx, g, a}, next, w, r) //nolint:contextcheck // admitted wraps ctx
	})
}

// wwwAuthenticate is the name in its canonical form.
const wwwAuthenticate = "Www-Authenticate"

func missing() *Error { return &Error{Kind: Missing, Reason: ReasonMissing, Err: ErrNoCredentials} }

// offerNonce puts the nonce of the next DPoP proof into an answer, where there
// are nonces (RFC 9449 section 8.2).
func offerNonce(h http.Header, r *http.Request, by Authenticator) {
	if n, ok := by.(interface{ DPoPNonce(r *http.Request) string }); ok {
		if nonce := n.DPoPNonce(r); nonce != "" {
			h.Set("DPoP-Nonce", nonce)
		}
	}
}

// RequireScope returns a middleware, to stand behind Handler, that lets only
// requests through whose credential carries all the scopes. Others get 403
// insufficient_scope, or 401 without a caller. It panics if g is nil, if there
// is no scope, and if one is not a scope-token (RFC 6749 section 3.3).
func (g *Gate) RequireScope(scopes ...string) func(http.Handler) http.Handler {
	if g == nil {
		panic("auth: RequireScope of a nil *Gate")
	}
	if len(scopes) == 0 {
		panic("auth: RequireScope without a scope")
	}
	for _, s := range scopes {
		if !isScopeToken(s) {
			panic(fmt.Sprintf("auth: RequireScope with %q, want a scope-token", s))
		}
	}
	scopes = slices.Clone(scopes)
	rule := strings.Join(scopes, " ")
	return g.require(rule, func(p *principal.Principal) *Error {
		for _, s := range scopes {
			if !p.HasScope(s) {
				return &Error{Kind: InsufficientScope, Reason: ReasonScope, Scopes: slices.Clone(scopes), Err: report.Causef("lacks %q", s)}
			}
		}
		return nil
	})
}

// RequireRecent returns a middleware, to stand behind Handler, that lets only
// requests through whose caller authenticated at most maxAge ago and, if acr is
// given, in one of these authentication contexts. Others get 401
// insufficient_user_authentication (RFC 9470), upon which a client lets its user
// log in again. With a maxAge of 0 no age is asked for. It panics if g is nil,
// if maxAge is negative, if nothing is asked for, and if an acr is empty or not
// printable ASCII without spaces, quotes and backslashes.
func (g *Gate) RequireRecent(maxAge time.Duration, acr ...string) func(http.Handler) http.Handler {
	switch {
	case g == nil:
		panic("auth: RequireRecent of a nil *Gate")
	case maxAge < 0:
		panic(fmt.Sprintf("auth: RequireRecent with %v, want 0 or more", maxAge))
	case maxAge == 0 && len(acr) == 0:
		panic("auth: RequireRecent without an age and an acr")
	}
	for _, s := range acr {
		if !isScopeToken(s) { // the same alphabet
			panic(fmt.Sprintf("auth: RequireRecent with the acr %q, want printable ASCII", s))
		}
	}
	acr = slices.Clone(acr)
	rule := strings.TrimSpace(fmt.Sprintf("max_age=%d %s", int64(maxAge/time.Second), strings.Join(acr, " ")))
	return g.require(rule, func(p *principal.Principal) *Error {
		var cause report.Cause
		switch age := time.Since(p.AuthTime); {
		case len(acr) > 0 && !slices.Contains(acr, p.ACR):
			cause = "acr is none of those that are wanted"
		case maxAge > 0 && p.AuthTime.IsZero():
			cause = "no auth_time"
		case maxAge > 0 && (age > maxAge || age < -maxLeeway):
			cause = report.Causef("authenticated %v ago", age.Round(time.Second))
		default:
			return nil
		}
		return &Error{Kind: StaleAuthentication, Reason: ReasonStale, ACR: slices.Clone(acr), MaxAge: maxAge, Err: cause}
	})
}

// require returns a middleware that lets callers through of whom check has
// nothing to say.
func (g *Gate) require(rule string, check func(*principal.Principal) *Error) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx := r.Context()
			var by Authenticator
			if a, admitted := ctx.Value(admissionKey{g}).(*admission); admitted {
				by = a.by
			}
			err := missing()
			if p, ok := principal.FromContext(ctx); ok {
				err = check(p)
			}
			if err != nil {
				g.refuse(w, r, by, rule, err)
				return
			}
			g.report.Decision(ctx, decision.Decision{Effect: decision.Allow, Rule: rule, Reason: "granted"})
			pass.On(next, w, r)
		})
	}
}

// isScopeToken reports whether s is a scope-token (RFC 6749 section 3.3).
func isScopeToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == '\\' })
}

// refuse answers r. The challenge is that of the Authenticator whose
// credentials they were; of all of them if it was nobody's.
func (g *Gate) refuse(w http.ResponseWriter, r *http.Request, by Authenticator, rule string, err *Error) {
	var challenges []string
	if by != nil {
		challenges = challengesOf(by, r, err)
	} else {
		for _, a := range g.authenticators {
			for _, c := range challengesOf(a, r, err) {
				if !slices.Contains(challenges, c) { // several may speak Bearer
					challenges = append(challenges, c)
				}
			}
		}
	}
	h := w.Header()
	if len(challenges) > 0 {
		values := make([]string, len(challenges)) // of this answer alone
		for i, c := range challenges {
			values[i] = g.complete(c)
		}
		h[wwwAuthenticate] = values
	} else {
		delete(h, wwwAuthenticate)
	}
	if err.Reason == ReasonNonce {
		offerNonce(h, r, by)
	}
	if err.Kind == Unavailable {
		h.Set("Retry-After", err.retryAfter())
	}
	g.report.Decision(r.Context(), decision.Decision{
		Effect: decision.Deny, Rule: rule, Reason: err.Reason, Detail: report.Detail(err.Err), Status: err.StatusCode(),
	})
	g.onError(w, r, err)
}

func challengesOf(a Authenticator, r *http.Request, err *Error) []string {
	if c, ok := a.(RequestChallenger); ok {
		return c.ChallengesFor(r, err)
	}
	return a.Challenges(err)
}

// complete adds to a challenge what is the Gate's to say: the realm before its
// parameters, and where the metadata is behind them (RFC 9728 section 5.1).
func (g *Gate) complete(challenge string) string {
	if g.realm == "" && g.resource == nil {
		return challenge
	}
	scheme, params, _ := strings.Cut(challenge, " ")
	var all []string
	if g.realm != "" && !hasRealm(params) {
		all = append(all, `realm="`+g.realm+`"`)
	}
	if params != "" {
		all = append(all, params)
	}
	if g.resource != nil && (scheme == schemeBearer || scheme == schemeDPoP) {
		all = append(all, `resource_metadata="`+g.resource.location+`"`)
	}
	if len(all) == 0 {
		return scheme
	}
	return scheme + " " + strings.Join(all, ", ")
}

// hasRealm reports whether a realm is among the parameters of a challenge, of
// which there may be one only (RFC 9110 section 11.2).
func hasRealm(params string) bool {
	name, quoted := 0, false
	for i := 0; i < len(params); i++ {
		switch c := params[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && c == ',':
			name = i + 1
		case c == '=' && strings.EqualFold(strings.Trim(params[name:i], " \t"), "realm"):
			return true
		}
	}
	return false
}

func actor(p *principal.Principal) decision.Actor {
	a := decision.Actor{
		Issuer: p.Issuer, Subject: p.Subject, Kind: p.Kind.String(), Scheme: p.Scheme,
		ClientID: p.ClientID, Tenant: p.Tenant, TokenID: p.TokenID,
	}
	if p.Actor != nil {
		behind := actor(p.Actor)
		// A token does not say what its actors are, but which client is one.
		if behind.Kind = ""; p.Actor.Subject == p.ClientID {
			behind.Kind = principal.Client.String()
		}
		a.Actor = &behind
	}
	return a
}

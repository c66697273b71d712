// Package introspect asks an authorization server about access tokens that say
// nothing by themselves (OAuth 2.0 Token Introspection, RFC 7662).
//
//	tokens, err := introspect.New(introspect.Config{
//		Endpoint:    "https://id.example.com/oauth2/introspect",
//		Issuer:      "https://id.example.com",
//		Audience:    []string{"orders"},
//		Credentials: introspect.ClientSecret("orders-api", secret),
//	})
//	…
//	gate, err := auth.New(auth.Config{Authenticators: []auth.Authenticator{jwt, tokens}})
//
// # What it protects against
//
// Tokens that are unknown, expired or revoked, for another service, of another
// issuer or for another purpose (a refresh token is active too), and tokens bound
// to a key that the caller did not prove to hold. The answer is held against the
// configuration claim by claim rather than believed for its "active": true. An
// answer that is missing, late, doubtful or not an answer admits nobody.
// Whoever sends tokens can neither fill the memory nor, beyond a bound, the
// endpoint, and nothing of a token is kept or logged.
//
// # What it does not
//
// A token that was revoked is admitted for as long as answers are remembered,
// 30 s unless Config says otherwise. Whoever can read what this service and the
// endpoint say to each other, or can answer in its place, is whoever they like:
// hence https alone.
//
// # Where it stands
//
// It is an [auth.Authenticator] for an [auth.Gate], beside or instead of an
// [auth.JWT], in any order: each leaves the other's tokens alone. Each token that
// is not known costs a question to the endpoint, so have a limit by address
// before it (package ratelimit).
package introspect

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/principal"
	"github.com/gatehouse-go/gatehouse/internal/outbound"
	"github.com/gatehouse-go/gatehouse/internal/report"
)

const (
	defaultLeeway = 30 * time.Second
	maxLeeway     = 5 * time.Minute
	defaultTTL    = 30 * time.Second
	maxTTL        = 5 * time.Minute
	defaultSize   = 10_000
	maxToken      = 16 << 10

	schemeBearer = "Bearer"
	schemeDPoP   = "DPoP"
)

// ReasonInactive is the Reason of an *auth.Error for a token that the
// authorization server does not vouch for: unknown, expired or revoked.
const ReasonInactive = "inactive"

// Config configures an [Introspector]. Endpoint, Issuer, Credentials and
// Audience are required; ClientIDs or AllowAnyAudience may stand for Audience.
type Config struct {
	_ [0]func() // keyed literals only

	// Endpoint is the URL of the introspection endpoint, https.
	Endpoint string

	// Issuer is whose tokens these are. It becomes the Issuer of the principal,
	// and an iss in an answer must be exactly it.
	Issuer string

	// Credentials are what the endpoint knows this service by.
	Credentials Credentials

	// Audience are the names of this service, one of which must be exactly a
	// value of aud.
	Audience []string

	// ClientIDs are the clients whose tokens are accepted without an aud, for
	// servers whose answers have none. One with an aud needs Audience all the
	// same.
	ClientIDs []string

	// AllowAnyAudience accepts every active token of the issuer, whatever it was
	// issued for: any service that is sent one can then use it here.
	AllowAnyAudience bool

	// RolesClaim is where answers have roles: the name of a member or a path
	// such as "realm_access.roles". If empty, no role is believed.
	RolesClaim string

	// AllTokens also asks about tokens that look like a JWT. Otherwise those are
	// left to another Authenticator, and refused if there is none.
	AllTokens bool

	// DPoP verifies the proofs of tokens that are bound to a key (RFC 9449). If
	// nil, such tokens are refused.
	DPoP *auth.DPoP

	// ClientCert returns the client's certificate, which a token may be bound to
	// (RFC 8705 section 3), nil for none. If nil, it is that of r.TLS. Behind a
	// proxy that ends TLS it reads what the proxy passes on, and must make sure
	// that it was the proxy.
	ClientCert func(r *http.Request) *x509.Certificate

	// Check has the last word on a caller, for each request. Its errors count as
	// those of an [auth.Authenticator]: one whose StatusCode is 401 or 403
	// refuses the caller, any other means that it could not be checked.
	Check func(ctx context.Context, p *principal.Principal) error

	// Leeway is how far clocks may be apart when times are checked. If zero, it
	// is 30 s; at most 5 min.
	Leeway time.Duration

	// CacheTTL is for how long a good token is remembered, at most until it
	// expires, and for how long it may outlive its revocation. If zero, it is
	// 30 s; at most 5 min. A refused token is remembered for 5 s, or CacheTTL if
	// that is less.
	CacheTTL time.Duration

	// CacheSize is how many good tokens, and how many refused ones, are
	// remembered. If zero, it is 10,000 of each. A good one takes about 1 KiB,
	// more with large answers.
	CacheSize int

	// NoCache asks for each request. Requests with the same token at the same
	// time still share one question.
	NoCache bool

	// HTTPClient asks the endpoint, for an authority, a client certificate or a
	// proxy of one's own. Its Transport must be nil or an *http.Transport; the
	// addresses that it connects to are checked as without it.
	HTTPClient *http.Client

	// AllowPrivate are networks in which the endpoint may be although they are
	// not public: otherwise nobody is asked at loopback, link-local or private
	// addresses.
	AllowPrivate []netip.Prefix

	// InsecureAllowLoopback lets the endpoint be on this machine, also over plain
	// HTTP, for development.
	InsecureAllowLoopback bool

	// Logger is told when the endpoint goes down and when it answers again. If
	// nil, nothing is logged.
	Logger *slog.Logger
}

// An Introspector is an [auth.Authenticator] for bearer tokens that an
// authorization server has to be asked about.
//
// It admits a token if the answer is active, iss is Issuer or absent, sub is
// there, aud names this service, exp, nbf and iat are right or absent, the type
// of the token, if the answer tells it, is that of an access token, and the
// caller proves to hold the key that cnf binds it to. Names are exact, and no
// member may occur twice or beside one whose name differs in case alone. Tokens
// beyond 16 KiB and answers beyond 64 KiB are refused.
//
// The [principal.Principal] has Issuer from Config, Subject from sub, ClientID
// from client_id or else azp or cid, TokenID from jti or else a hash of the
// token, Scopes from scope or else scp, Roles from [Config.RolesClaim], Actor
// from act, and AMR, ACR, AuthTime, IssuedAt and ExpiresAt from amr, acr,
// auth_time, iat and exp. Scheme is "DPoP" for a token bound by jkt and "Bearer"
// for others. It is a Client if ClientID is Subject. The whole answer is there
// for [principal.Claims].
//
// # The endpoint
//
// New asks nobody. A token that is not remembered, under its SHA-256, is asked
// about once, however many requests carry it meanwhile, and whether or not the
// first of them is still there. At most 32 questions are under way at a time; a
// further one waits for its turn for 2 s, and each has 3 s. So no request waits
// for more than 5 s, and if there is no answer by then it gets 503 with
// Retry-After. That is also the answer to 1024 at a time and more, to any status
// but 200, to a redirect, and to a body that is not one JSON object with a
// boolean "active". None of this is remembered as a refusal.
//
// The endpoint counts as down when it does not answer, or with 401, 429, 502, 503
// or 504, and no other question was answered in the meantime or in the 2 s
// before. Then it is not asked for 1 s, and thereafter about one token at a
// time, until it answers; requests with tokens that are not remembered get 503
// at once. Other statuses may be due to one token, and do not count.
//
// It is safe for concurrent use. Call Close when done.
type Introspector struct {
	issuer              string
	audience, clientIDs []string
	anyAudience         bool
	rolesClaim          string
	leeway              time.Duration
	allTokens           bool
	binding             auth.Binding
	check               func(ctx context.Context, p *principal.Principal) error

	client *outbound.Client
	asker  *asker
}

// New returns an Introspector that behaves in accordance with cfg. It asks no
// server. The error, if any, joins every mistake found in cfg. Call Close when
// done.
func New(cfg Config) (*Introspector, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("introspect: "+format, args...)) }
	client, err := outbound.New(outbound.Config{
		Client: cfg.HTTPClient, AllowPrivate: cfg.AllowPrivate, InsecureAllowLoopback: cfg.InsecureAllowLoopback,
		Timeout: timeout, MaxBytes: maxAnswer, MaxConns: maxQuestions,
	})
	for _, err := range outbound.Faults(err) {
		bad("%w", err)
	}
	if cfg.Endpoint == "" {
		bad("Endpoint is empty, want the URL of the introspection endpoint")
	} else if client != nil {
		if err := client.CheckURL(cfg.Endpoint); err != nil {
			bad("Endpoint %w", err)
		}
	}
	if cfg.Issuer == "" {
		bad("Issuer is empty, want the exact value of iss")
	}
	if c := cfg.Credentials.src; c == nil {
		bad("Credentials is empty, want ClientSecret or CredentialsFunc")
	} else if c.fault != nil {
		bad("Credentials %w", c.fault)
	}
	switch named := len(cfg.Audience) > 0 || len(cfg.ClientIDs) > 0; {
	case !named && !cfg.AllowAnyAudience:
		bad("Audience is empty, want the names of this service")
	case named && cfg.AllowAnyAudience:
		bad("AllowAnyAudience is true beside Audience or ClientIDs, want one of the two")
	}
	if slices.Contains(cfg.Audience, "") {
		bad("Audience has an empty name")
	}
	if slices.Contains(cfg.ClientIDs, "") {
		bad("ClientIDs has an empty name")
	}
	if cfg.RolesClaim != "" && slices.Contains(strings.Split(cfg.RolesClaim, "."), "") {
		bad("RolesClaim is %q, want the name of a member or a path of names with dots between", cfg.RolesClaim)
	}
	if cfg.Leeway < 0 || cfg.Leeway > maxLeeway {
		bad("Leeway is %v, want 0 to %v", cfg.Leeway, maxLeeway)
	}
	if cfg.CacheTTL < 0 || cfg.CacheTTL > maxTTL {
		bad("CacheTTL is %v, want 0 to %v", cfg.CacheTTL, maxTTL)
	}
	if cfg.CacheSize < 0 {
		bad("CacheSize is %d, want 0 or more", cfg.CacheSize)
	}
	if cfg.NoCache && (cfg.CacheTTL != 0 || cfg.CacheSize != 0) {
		bad("NoCache is true beside CacheTTL or CacheSize, want one of the two")
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	i := &Introspector{
		issuer: cfg.Issuer, audience: slices.Clone(cfg.Audience), clientIDs: slices.Clone(cfg.ClientIDs), anyAudience: cfg.AllowAnyAudience,
		rolesClaim: cfg.RolesClaim, leeway: cmp.Or(cfg.Leeway, defaultLeeway), allTokens: cfg.AllTokens,
		binding: auth.Binding{DPoP: cfg.DPoP, ClientCert: cfg.ClientCert}, check: cfg.Check, client: client,
	}
	i.asker = newAsker(i, cfg)
	return i, nil
}

func newAsker(i *Introspector, cfg Config) *asker {
	size := cmp.Or(cfg.CacheSize, defaultSize)
	a := &asker{
		// In a closure, since some have a key in the URL.
		post: func(ctx context.Context, form url.Values, header http.Header) (*outbound.Response, error) {
			return i.client.PostForm(ctx, cfg.Endpoint, form, header)
		},
		prove: cfg.Credentials.src.add, read: i.read,
		issuer: cfg.Issuer, log: cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler)),
		ttl:   cmp.Or(cfg.CacheTTL, defaultTTL),
		turns: make(chan struct{}, maxQuestions), flights: make(map[digest]*flight),
		known: newMemory(size), refused: newMemory(size),
	}
	if cfg.NoCache {
		a.ttl = 0
	}
	a.life, a.end = context.WithCancel(context.Background())
	return a
}

// Close ends the questions under way and closes connections; tokens that are
// remembered stay so for as long as they would have. It may be called more than
// once.
func (i *Introspector) Close() error {
	i.asker.close()
	i.client.Close()
	return nil
}

// Authenticate returns the caller that the token of r speaks for.
func (i *Introspector) Authenticate(r *http.Request) (*principal.Principal, error) {
	if i == nil {
		return nil, unavailable(report.Cause("nil *Introspector"), nil)
	}
	scheme, token, err := auth.BearerToken(r)
	switch {
	case err != nil:
		return nil, err
	case scheme == schemeDPoP && i.binding.DPoP == nil:
		return nil, auth.ErrNoCredentials
	}
	if err := i.acceptable(token); err != nil {
		return nil, err
	}
	v, err := i.asker.ask(r.Context(), token)
	if err != nil {
		return nil, err
	}
	if v.refusal != nil {
		refusal := *v.refusal // each caller may do with it what it likes
		return nil, &refusal
	}
	if err := i.admit(r, scheme, token, v); err != nil {
		return nil, err
	}
	return v.principal, nil
}

// acceptable refuses what is not asked about.
func (i *Introspector) acceptable(token string) error {
	switch {
	case !i.allTokens && isJWT(token):
		return invalid(auth.ReasonMalformed, errJWT)
	case len(token) > maxToken:
		return invalid(auth.ReasonOversize, report.Causef("%d bytes, want at most %d", len(token), maxToken))
	case !isToken68(token):
		return invalid(auth.ReasonMalformed, report.Cause("a byte that is in no bearer token"))
	}
	return nil
}

// admit checks, each time that a token is presented, who presents it and what
// may have changed since it was asked about.
func (i *Introspector) admit(r *http.Request, scheme, token string, v *verdict) error {
	// The clock of the memory stands still while a machine sleeps.
	if err := inTime(v.dates, time.Now(), i.leeway); err != nil {
		return err
	}
	if err := i.binding.Check(r, scheme, token, v.confirmation); err != nil {
		return err
	}
	if i.check == nil {
		return nil
	}
	err := i.check(r.Context(), v.principal)
	if errors.Is(err, auth.ErrNoCredentials) { // would ask the next Authenticator
		return unavailable(report.Cause("Check returned ErrNoCredentials, want an error with StatusCode 401 or 403"), nil)
	}
	return err
}

// Carries implements [auth.Carrier].
func (i *Introspector) Carries(r *http.Request) string {
	if _, _, err := auth.BearerToken(r); errors.Is(err, auth.ErrNoCredentials) {
		return ""
	}
	return "Authorization"
}

// Challenges returns the challenges for err, those of an [auth.JWT].
func (i *Introspector) Challenges(err error) []string {
	if i == nil {
		return auth.Binding{}.Challenges(err)
	}
	return i.binding.Challenges(err)
}

// DPoPNonce returns the nonce that the client of r should use next, "" if it
// needs none. A Gate puts it into its answers (RFC 9449 section 8).
func (i *Introspector) DPoPNonce(r *http.Request) string { return i.binding.DPoP.NextNonce(r) }

// errJWT declines a token without a word on whether it is good.
var errJWT = fmt.Errorf("%w: %w", report.Cause("a JWT, about which only AllTokens asks"), auth.ErrNoCredentials)

// isJWT reports whether s is for an [auth.JWT] to judge: three parts with dots
// between (RFC 7515 section 7.1).
func isJWT(s string) bool { return strings.Count(s, ".") == 2 }

// isToken68 reports whether s is what RFC 6750 section 2.1 lets a bearer token
// be.
func isToken68(s string) bool {
	s = strings.TrimRight(s, "=")
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("-._~+/", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

package auth

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-go/gatehouse/auth/principal"
	"github.com/gatehouse-go/gatehouse/internal/claims"
	"github.com/gatehouse-go/gatehouse/internal/outbound"
	"github.com/gatehouse-go/gatehouse/internal/report"
	"github.com/gatehouse-go/gatehouse/internal/strictjson"
)

const (
	defaultLeeway = 30 * time.Second
	maxLeeway     = 5 * time.Minute
)

// JWTConfig configures a [JWT]. Issuers is required.
type JWTConfig struct {
	_ [0]func() // keyed literals only

	// Issuers are those whose tokens are accepted.
	Issuers []Issuer

	// Leeway is how far clocks may be apart when a token's times are checked.
	// If zero, it is 30 s; at most 5 min.
	Leeway time.Duration

	// MaxLifetime is the longest time from iat to exp that is accepted. If
	// zero, there is no limit, and iat may be absent.
	MaxLifetime time.Duration

	// DPoP verifies the proofs of tokens that are bound to a key (RFC 9449). If
	// nil, such tokens are refused.
	DPoP *DPoP

	// ClientCert returns the client's certificate, which a token may be bound
	// to (RFC 8705 section 3), nil for none. If nil, it is that of r.TLS. Behind
	// a proxy that ends TLS it reads what the proxy passes on, and must make
	// sure that it was the proxy.
	ClientCert func(r *http.Request) *x509.Certificate

	// Cookie is the name of a cookie, beginning with "__Host-", in which
	// browsers may send a token instead of the header. Such a request must come
	// from a page of the same origin, and the token must not be bound to a key.
	// If empty, no cookie is looked at.
	Cookie string

	// Revoked knows tokens that were taken back before they expired. Every
	// token then needs a jti. An error is answered with 503. If nil, nothing is
	// asked.
	Revoked RevocationList

	// Check has the last word on a token that passed every other check. Its
	// errors count as those of an [Authenticator]: an *Error, whose Reason says
	// why in log and trail (Kind Forbidden for a caller whom no other token
	// would help), or one whose StatusCode is 401 or 403. Any other means that
	// it could not be checked, and the log has no more than its type.
	Check func(ctx context.Context, p *principal.Principal) error

	// Cache switches the memory for verified tokens on. If nil, each request
	// costs a signature check.
	Cache *TokenCache

	// HTTPClient fetches keys, for an authority or a proxy of one's own. Its
	// Transport must be nil or an *http.Transport; the addresses that it
	// connects to are checked as without it.
	HTTPClient *http.Client

	// AllowPrivate are networks in which issuers may be although they are not
	// public: otherwise nothing is fetched from loopback, link-local or private
	// addresses.
	AllowPrivate []netip.Prefix

	// InsecureAllowLoopback lets keys be fetched from this machine, also over
	// plain HTTP, for development.
	InsecureAllowLoopback bool

	// Logger is told of keys that could not be fetched or were left out. If
	// nil, nothing is logged.
	Logger *slog.Logger
}

// An Issuer is somebody whose tokens are accepted. URL is required, and
// Audience or ClientIDs. A key of one Issuer never verifies a token of another.
type Issuer struct {
	_ [0]func() // keyed literals only

	// URL is the exact value of the iss claim. With Tenants it has {tenantid}
	// in the place of the tenant.
	URL string

	// Audience are the names of this service, one of which must be exactly a
	// value of the aud claim. None should be the id of a client that logs users
	// in: its ID tokens have that aud, and not all issuers' say what they are.
	Audience []string

	// ClientIDs are the clients whose tokens are accepted without an aud, for
	// issuers that put none into access tokens. A token with an aud needs
	// Audience all the same.
	ClientIDs []string

	// Tenants are those of a multi-tenant issuer whose tokens are accepted.
	// Each is an issuer of its own; a tid claim must not name another.
	Tenants []string

	// Algorithms are the JWS algorithms that its keys may have: RS256, RS384,
	// RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, and with Secret
	// HS256, HS384, HS512. Each key has one algorithm: its own, where the key's
	// document names one, and otherwise the one of Algorithms that fits its
	// type. If empty, a key's own is accepted unless it is HMAC, and those that
	// fit are RS256, ES256, ES384, ES512 and EdDSA, or HS256 with Secret.
	Algorithms []string

	// Keys are the issuer's keys. If zero, they are discovered: the metadata
	// below URL says where they are.
	Keys KeySource

	// Profile is what tokens have to look like.
	Profile Profile

	// RolesClaim is where the issuer puts roles: the name of a claim or a path
	// such as "realm_access.roles". If empty, no role in a token is believed.
	RolesClaim string

	// Map sets further fields of a principal from the verified claims: roles,
	// tenant, kind, another name for the subject. It must not keep p. An error
	// refuses the token; where it is no *Error with a Reason, the log has no
	// more than its type. Issuer, Scheme and ExpiresAt stay what they are.
	Map func(raw json.RawMessage, p *principal.Principal) error
}

// A Profile is what an issuer's tokens have to look like.
type Profile uint8

const (
	// ProfileJWT admits typ JWT, at+jwt or none, and wants iss, sub and exp.
	ProfileJWT Profile = iota

	// ProfileRFC9068 is the profile for access tokens of RFC 9068: typ at+jwt,
	// and also aud, client_id, iat and jti.
	ProfileRFC9068
)

// A JWT is an [Authenticator] for signed bearer tokens.
//
// It admits a token in compact form (RFC 7515) if its algorithm is its key's,
// the key is its issuer's, the signature is right, iss, sub, aud and exp are
// there and right, nbf and iat are not in the future, typ is absent, JWT or
// at+jwt, the caller proves to hold the key that cnf binds it to, and nothing
// is in it that would have to be understood and is not: crit, b64, or another
// cnf. Names are exact, and no member may occur twice or beside a claim whose
// name differs in case alone. Tokens beyond 16 KiB are refused unread.
//
// The [principal.Principal] has Issuer from iss, Subject from sub, ClientID
// from client_id or else azp or cid, TokenID from jti, Scopes from scope or
// else scp (one string or an array), Roles from [Issuer.RolesClaim], Tenant
// from [Issuer.Tenants], Actor from act, and AMR, ACR, AuthTime, IssuedAt and
// ExpiresAt from amr, acr, auth_time, iat and exp. Scheme is "DPoP" for a token
// bound by jkt and "Bearer" for others. It is a Client if ClientID is Subject
// (RFC 9068 section 2.2). All claims are there for [principal.Claims].
//
// # Keys that are fetched
//
// NewJWT asks nobody. Keys are fetched when the first token needs them, after
// its header and its issuer were found acceptable, over https, from public
// addresses, at most 1 MiB and 100 keys, each answer in 5 s. A request waits
// for at most 2 s. They are fetched again when their max-age is over (5 min to
// 1 h; 15 min without one), for the next token that verifies or has no kid:
// shortly before that in the background, after it while the request waits. A
// token with an unknown kid makes them be fetched too, but not within 10 s of
// the last time, so that tokens with invented kids neither reach the issuer nor
// keep a new key away. One with a known kid and a wrong signature never does,
// which is why a key that takes over the kid of another is found late, after 24
// h if no other key's tokens come. All that want keys at a time share one
// fetch, and after one that failed there is a pause of 1 s, which doubles up to
// 30 s. Meanwhile the keys that are there stay in use, for 24 h; then, and for
// tokens whose kid is unknown, the answer is 503 with Retry-After. Keys that
// are of no use are left out and logged, and the others keep working. Where the
// keys are is read again with each refresh, and once an hour in any case.
// [JWT.Ready] is for readiness probes.
//
// Several issuers belong into one JWT: a Gate takes no two, since each refuses
// the other's tokens. It is safe for concurrent use. Call Close when done.
type JWT struct {
	issuers map[string]*issuer
	sole    *issuer // the only one, or nil
	remotes []*remote
	headers *headerCache
	client  *outbound.Client

	leeway, maxLifetime time.Duration
	binding             Binding
	cookie              string
	revoked             RevocationList
	check               func(ctx context.Context, p *principal.Principal) error
	cache               *cache
}

type issuer struct {
	url, tenant         string
	audience, clientIDs []string
	profile             Profile
	rolesClaim          string
	mapping             func(raw json.RawMessage, p *principal.Principal) error

	fixed  *keySet // nil: remote
	remote *remote
}

// current returns the keys of the issuer that are of use, nil for none.
func (iss *issuer) current(now time.Time) *keySet {
	if iss.remote == nil {
		return iss.fixed
	}
	return iss.remote.keys(now)
}

const tenantVariable = "{tenantid}"

// NewJWT returns a JWT that behaves in accordance with cfg. It asks no server.
// The error, if any, joins every mistake found in cfg. Call Close when done.
func NewJWT(cfg JWTConfig) (*JWT, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("auth: "+format, args...)) }
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	j := &JWT{
		issuers: make(map[string]*issuer), headers: new(headerCache), leeway: cfg.Leeway, maxLifetime: cfg.MaxLifetime,
		binding: Binding{DPoP: cfg.DPoP, ClientCert: cfg.ClientCert}, cookie: cfg.Cookie, revoked: cfg.Revoked, check: cfg.Check,
	}
	switch {
	case cfg.Leeway == 0:
		j.leeway = defaultLeeway
	case cfg.Leeway < 0 || cfg.Leeway > maxLeeway:
		bad("Leeway is %v, want 0 to %v", cfg.Leeway, maxLeeway)
	}
	if cfg.MaxLifetime < 0 {
		bad("MaxLifetime is %v, want 0 or more", cfg.MaxLifetime)
	}
	if cfg.DPoP != nil && cfg.DPoP.algorithms == nil {
		bad("DPoP is empty, want one that NewDPoP made")
	}
	switch v := cfg.Revoked.(type) {
	case *Revocations:
		if v == nil || v.revoked == nil {
			bad("Revoked is a nil or empty %T, want one that NewRevocations made", v)
		}
	case *RedisRevocations:
		if v == nil || v.store.do == nil {
			bad("Revoked is a nil or empty %T, want one that NewRedisRevocations made", v)
		}
	}
	if cfg.Cookie != "" && !isHostCookie(cfg.Cookie) {
		bad("Cookie is %q, want a name that begins with __Host-", cfg.Cookie)
	}
	if c := cfg.Cache; c != nil {
		if c.Size < 0 {
			bad("Cache.Size is %d, want 0 or more", c.Size)
		}
		if c.TTL < 0 || c.TTL > maxCacheTTL {
			bad("Cache.TTL is %v, want 0 to %v", c.TTL, maxCacheTTL)
		}
		j.cache = newCache(c)
	}
	client, err := outbound.New(outbound.Config{
		Client: cfg.HTTPClient, AllowPrivate: cfg.AllowPrivate, InsecureAllowLoopback: cfg.InsecureAllowLoopback,
	})
	for _, err := range outbound.Faults(err) {
		bad("%w", err)
	}
	j.client = client
	if len(cfg.Issuers) == 0 {
		bad("Issuers is empty, want at least one")
	}
	for i := range cfg.Issuers {
		for _, err := range j.add(&cfg.Issuers[i], log) {
			bad("Issuers[%d].%w", i, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if len(j.issuers) == 1 {
		for _, iss := range j.issuers {
			j.sole = iss
		}
	}
	return j, nil
}

// add adds an issuer, or one for each of its tenants, and returns what is wrong
// with it.
func (j *JWT) add(c *Issuer, log *slog.Logger) (errs []error) {
	named := *c
	c = &named
	c.Algorithms = canonical(c.Algorithms)
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.URL == "" {
		bad("URL is empty, want the exact value of iss")
	}
	tenants := c.Tenants
	switch {
	case strings.Count(c.URL, tenantVariable) == 1 && len(tenants) == 0:
		bad("Tenants is empty, want those whose tokens are accepted")
	case strings.Count(c.URL, tenantVariable) != 1 && len(tenants) > 0:
		bad("URL is %q, want %s in it once, for Tenants", c.URL, tenantVariable)
	case len(tenants) == 0:
		tenants = []string{""}
	}
	if len(c.Audience) == 0 && len(c.ClientIDs) == 0 {
		bad("Audience is empty, want the names of this service")
	}
	if slices.Contains(c.Audience, "") {
		bad("Audience has an empty name")
	}
	if slices.Contains(c.ClientIDs, "") {
		bad("ClientIDs has an empty name")
	}
	if c.Profile > ProfileRFC9068 {
		bad("Profile is %d, want one of the constants", c.Profile)
	}
	if slices.Contains(strings.Split(c.RolesClaim, "."), "") && c.RolesClaim != "" {
		bad("RolesClaim is %q, want the name of a claim or a path of names with dots between", c.RolesClaim)
	}
	fixed, shared, faults := j.source(c, log)
	errs = append(errs, faults...)
	for _, tenant := range tenants {
		iss := &issuer{
			url: strings.Replace(c.URL, tenantVariable, tenant, 1), tenant: tenant,
			audience: slices.Clone(c.Audience), clientIDs: slices.Clone(c.ClientIDs),
			profile: c.Profile, rolesClaim: c.RolesClaim, mapping: c.Map, fixed: fixed, remote: shared,
		}
		switch {
		case len(c.Tenants) > 0 && (tenant == "" || strings.ContainsAny(tenant, "/?#%{}")):
			bad("Tenants has %q, want the id of a tenant", tenant)
		case iss.url != "" && j.issuers[iss.url] != nil:
			bad("URL is %q again, want each issuer once", iss.url)
		case c.Keys.src == nil && iss.url != "" && j.client != nil:
			if err := j.checkIssuer(iss.url); err != nil {
				bad("URL %w, for Keys to be discovered; or set Keys", err)
			}
			iss.remote = newRemote(iss.url, nil, c.Algorithms, j.client, log)
			j.remotes = append(j.remotes, iss.remote)
		}
		j.issuers[iss.url] = iss
	}
	return errs
}

// source returns the keys of an issuer that are at hand, or the one remote that
// its tenants share, or neither, if keys are discovered.
func (j *JWT) source(c *Issuer, log *slog.Logger) (fixed *keySet, shared *remote, errs []error) {
	for _, err := range c.Keys.checkAlgorithms(c.Algorithms) {
		errs = append(errs, fmt.Errorf("%s %w", "Algorithms", err))
	}
	var faults []error
	switch {
	case c.Keys.src == nil || j.client == nil:
	case c.Keys.remote():
		if err := j.client.CheckURL(c.Keys.src.url); err != nil {
			faults = []error{fmt.Errorf("the URL %w", err)}
		}
		shared = newRemote(c.URL, c.Keys.src, c.Algorithms, j.client, log)
		j.remotes = append(j.remotes, shared)
	case len(errs) > 0:
		_, faults = c.Keys.src.load()
	default:
		fixed, faults = c.Keys.keys(c.Algorithms)
	}
	for _, err := range faults {
		errs = append(errs, fmt.Errorf("%s: %w", "Keys", err))
	}
	return fixed, shared, errs
}

// checkIssuer checks an identifier that metadata is looked for below (RFC 8414
// section 2).
func (j *JWT) checkIssuer(raw string) error {
	if err := j.client.CheckURL(raw); err != nil {
		return err
	}
	switch u, err := url.Parse(raw); {
	case err != nil || u.RawQuery != "" || u.ForceQuery:
		return errors.New("has a query, want none")
	case strings.Contains(u.Path, "/.well-known/"):
		return errors.New("is that of the metadata, want the issuer as it is in there")
	}
	return nil
}

// Ready reports whether the keys of every issuer are there, and fetches those
// that are not, for readiness probes. It waits for at most 2 s.
func (j *JWT) Ready(ctx context.Context) error {
	if j == nil {
		return errNilJWT
	}
	errs := make([]error, len(j.remotes))
	var all sync.WaitGroup
	for i, m := range j.remotes {
		all.Go(func() { errs[i] = m.ready(ctx) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// Close ends what is being fetched. It may be called more than once.
func (j *JWT) Close() error {
	if j == nil {
		return nil
	}
	for _, m := range j.remotes {
		m.close()
	}
	if j.client != nil {
		j.client.Close()
	}
	return nil
}

// Authenticate returns the caller that the token of r speaks for.
func (j *JWT) Authenticate(r *http.Request) (*principal.Principal, error) {
	p, _, err := j.authenticate(r)
	return p, err
}

// authenticate also returns what the record should say.
func (j *JWT) authenticate(r *http.Request) (*principal.Principal, string, error) {
	if j == nil {
		return nil, "", &Error{Kind: Unavailable, Reason: ReasonUnavailable, Err: errNilJWT}
	}
	scheme, token, err := j.credential(r)
	if err != nil {
		return nil, "", err
	}
	p, cached, err := j.verify(r.Context(), token)
	if err != nil {
		return nil, "", err
	}
	if err := j.admit(r, scheme, token, p, cached); err != nil {
		return nil, "", err
	}
	if cached {
		return p.principal, "cached", nil
	}
	return p.principal, "", nil
}

// credential returns the one token of r.
func (j *JWT) credential(r *http.Request) (scheme, token string, err error) {
	scheme, token, err = BearerToken(r)
	withCookie := j.cookie != "" && len(r.CookiesNamed(j.cookie)) > 0
	if withCookie && len(r.Header["Authorization"]) == 0 {
		token, err = cookieToken(r, j.cookie)
		return schemeCookie, token, err
	}
	switch {
	case err != nil && (!withCookie || !errors.Is(err, ErrNoCredentials)):
		return "", "", err
	case scheme == schemeDPoP && j.binding.DPoP == nil && !withCookie:
		return "", "", ErrNoCredentials
	case withCookie:
		return "", "", &Error{Kind: Malformed, Reason: ReasonDuplicate, Err: report.Cause("credentials in Authorization and in a cookie")}
	}
	return scheme, token, nil
}

// Carries implements [Carrier].
func (j *JWT) Carries(r *http.Request) string {
	if _, _, err := BearerToken(r); !errors.Is(err, ErrNoCredentials) {
		return "Authorization"
	}
	if j != nil && j.cookie != "" && len(r.CookiesNamed(j.cookie)) > 0 {
		return "the cookie " + j.cookie
	}
	return ""
}

// Verify returns the principal of a token in compact form, for tokens that do
// not come in a request's header. One that is bound to a key is refused, since
// nothing proves that its sender holds the key. Every error is an *Error.
func (j *JWT) Verify(ctx context.Context, token string) (*principal.Principal, error) {
	if j == nil {
		return nil, &Error{Kind: Unavailable, Reason: ReasonUnavailable, Err: errNilJWT}
	}
	p, cached, err := j.verify(ctx, token)
	if err != nil {
		return nil, err
	}
	switch {
	case p.confirmation != nil:
		return nil, invalid(ReasonBinding, report.Cause("cnf binds the token to a key"))
	case j.binding.DPoP.Required():
		return nil, invalid(ReasonBinding, report.Cause("no cnf, and DPoP is required"))
	}
	if err := j.still(ctx, p, cached); err != nil {
		return nil, err
	}
	return p.principal, nil
}

// A proven is a token that was verified, whoever presents it.
type proven struct {
	principal    *principal.Principal
	dates        claims.Dates
	confirmation json.RawMessage
	issuer       *issuer
	keys         *keySet // the generation that verified it
	at           time.Time
}

var errNilJWT error = report.Cause("nil *JWT")

var errUnproven error = report.Cause("the check of the token ended early")

// verify returns what a token proves, and whether it was remembered.
func (j *JWT) verify(ctx context.Context, token string) (*proven, bool, error) {
	c, err := split(token)
	if err != nil {
		return nil, false, err
	}
	h, known := j.headers.get(c.header)
	if !known {
		if h, err = readTokenHeader(c.header); err != nil {
			return nil, false, err
		}
	}
	prove := func() (*proven, error) {
		p, err := j.prove(ctx, c, h)
		if err == nil && !known {
			j.headers.add(c.header, h)
		}
		return p, err
	}
	if j.cache == nil {
		p, err := prove()
		return p, false, err
	}
	p, cached, err := j.cache.prove(ctx, token, prove)
	if cached && p.issuer.remote != nil {
		p.issuer.remote.freshen(ctx)
		if p.issuer.current(time.Now()) != p.keys {
			p, err = prove()
			return p, false, err
		}
	}
	return p, cached, err
}

// prove checks everything about a token that does not depend on who presents
// it: the cheapest first, claims after the signature.
func (j *JWT) prove(ctx context.Context, c compact, h header) (*proven, error) {
	payload, signature, err := c.decode()
	if err != nil {
		return nil, err
	}
	var o strictjson.Object
	iss := j.sole
	if iss == nil {
		if iss, err = j.issuerOf(&o, payload); err != nil {
			return nil, err
		}
	}
	if iss.profile == ProfileRFC9068 && h.typ != typeAccessToken {
		return nil, invalid(ReasonType, report.Cause("typ is not at+jwt"))
	}
	k, keys, err := j.key(ctx, iss, h, &o, payload)
	if err != nil {
		return nil, err
	}
	if err := iss.verify(&c, k, signature); err != nil {
		return nil, err
	}
	if o.Len() == 0 {
		if err := o.Parse(payload); err != nil {
			return nil, invalid(ReasonClaims, err)
		}
	}
	if err := iss.named(&o); err != nil {
		return nil, err
	}
	if iss.remote != nil && h.kid != "" { // key did it for one without
		iss.remote.freshen(ctx)
		if fresh := iss.current(time.Now()); fresh != keys && fresh != nil {
			if k, err = fresh.find(h); err != nil {
				return nil, refuseKey(err)
			}
			if err := iss.verify(&c, k, signature); err != nil {
				return nil, err
			}
			keys = fresh
		}
	}
	p, err := iss.prove(&o, payload, j.leeway, j.maxLifetime)
	if err != nil {
		return nil, err
	}
	p.keys = keys
	return p, nil
}

// issuerOf finds who a token claims to be from, before its signature can be
// verified. Nothing else of the payload is looked at.
func (j *JWT) issuerOf(o *strictjson.Object, payload []byte) (*issuer, error) {
	if err := o.Parse(payload); err != nil {
		return nil, invalid(ReasonClaims, err)
	}
	raw := o.Get("iss")
	if plain, ok := strictjson.Plain(raw); ok {
		if iss := j.issuers[string(plain)]; iss != nil {
			return iss, nil
		}
	} else if url, err := o.Text("iss"); err != nil {
		return nil, invalid(ReasonClaims, err)
	} else if iss := j.issuers[url]; iss != nil {
		return iss, nil
	}
	return nil, invalid(ReasonIssuer, report.Cause("iss is none of the configured issuers"))
}

// key finds the key that h means. Of one that has to be fetched the issuer is
// looked at first.
func (j *JWT) key(ctx context.Context, iss *issuer, h header, o *strictjson.Object, payload []byte) (*key, *keySet, error) {
	if iss.remote == nil {
		k, err := iss.fixed.find(h)
		if err != nil {
			return nil, nil, refuseKey(err)
		}
		return k, iss.fixed, nil
	}
	return iss.remote.key(ctx, h, func() error {
		if o.Len() > 0 {
			return nil // by issuerOf
		}
		if err := o.Parse(payload); err != nil {
			return invalid(ReasonClaims, err)
		}
		return iss.named(o)
	})
}

// verify checks a signature with a key of the issuer's own.
func (iss *issuer) verify(c *compact, k *key, signature []byte) error {
	if k.issuer != "" && k.issuer != iss.url {
		return invalid(ReasonKey, report.Cause("the key is another issuer's"))
	}
	return c.verify(k, signature)
}

// named refuses a token of another issuer.
func (iss *issuer) named(o *strictjson.Object) error {
	if claims.Is(o, "iss", iss.url) {
		return nil
	}
	if _, err := o.Text("iss"); err != nil {
		return invalid(ReasonClaims, err)
	}
	for _, other := range [...]string{iss.url + "/", strings.TrimSuffix(iss.url, "/")} {
		if other != iss.url && claims.Is(o, "iss", other) {
			return invalid(ReasonIssuer, report.Cause("iss is not the configured issuer: it differs by the slash at the end"))
		}
	}
	return invalid(ReasonIssuer, report.Cause("iss is not the configured issuer"))
}

// prove checks the claims of a token whose signature was verified.
func (iss *issuer) prove(o *strictjson.Object, payload []byte, leeway, maxLifetime time.Duration) (*proven, error) {
	if err := claims.Exact(o); err != nil {
		return nil, invalid(ReasonClaims, err)
	}
	dates, err := claims.ReadDates(o)
	if err != nil {
		return nil, invalid(ReasonClaims, err)
	}
	now := time.Now()
	switch {
	case dates.Expires.IsZero():
		return nil, invalid(ReasonClaims, report.Cause("exp is missing"))
	case maxLifetime > 0 && dates.Issued.IsZero():
		return nil, invalid(ReasonClaims, report.Cause("iat is missing"))
	case maxLifetime > 0 && dates.Expires.Sub(dates.Issued) > maxLifetime:
		return nil, invalid(ReasonLifetime, report.Cause("longer from iat to exp than MaxLifetime"))
	}
	if err := inTime(dates, now, leeway); err != nil {
		return nil, err
	}
	if err := iss.addressed(o); err != nil {
		return nil, err
	}
	switch _, other, err := claims.IsAccess(o); {
	case err != nil:
		return nil, invalid(ReasonClaims, err)
	case other != "":
		return nil, invalid(ReasonType, report.Cause(other+" is not that of an access token"))
	}
	set, err := claims.Read(o, iss.rolesClaim, iss.url)
	if err == nil && set.Subject == "" {
		_, err = o.Text("sub")
	}
	if err != nil {
		return nil, invalid(ReasonClaims, err)
	}
	if err := iss.conforms(o, &set, dates); err != nil {
		return nil, err
	}
	caller := principal.Principal{
		Issuer: iss.url, Subject: set.Subject, Scheme: schemeBearer, Tenant: iss.tenant,
		ClientID: set.ClientID, TokenID: set.TokenID,
		Scopes: set.Scopes, Roles: set.Roles, AMR: set.AMR, ACR: set.ACR,
		AuthTime: set.AuthTime, IssuedAt: dates.Issued, ExpiresAt: dates.Expires,
		Actor: set.Actor,
	}
	// A token that a client got for itself names the client as its subject
	// (RFC 9068 section 2.2).
	if set.ClientID == set.Subject {
		caller.Kind = principal.Client
	}
	if set.BoundByProof() {
		caller.Scheme = schemeDPoP
	}
	p := caller.WithClaims(payload)
	if iss.mapping != nil {
		scheme := p.Scheme
		if err := iss.mapping(payload, p); err != nil {
			if e, ok := errors.AsType[*Error](noDecline(err)); ok && e != nil {
				return nil, e
			}
			return nil, invalid(ReasonClaims, foreign("Map", err))
		}
		p.Issuer, p.Scheme, p.ExpiresAt = iss.url, scheme, dates.Expires
		if p.Subject == "" {
			return nil, invalid(ReasonClaims, report.Cause("Map left no subject"))
		}
	}
	return &proven{principal: p, dates: dates, confirmation: set.Confirmation, issuer: iss, at: now}, nil
}

// inTime checks the dates of a token.
func inTime(d claims.Dates, now time.Time, leeway time.Duration) error {
	switch {
	case !now.Before(d.Expires.Add(leeway)):
		return invalid(ReasonExpired, ago("expired", now.Sub(d.Expires)))
	case d.NotBefore.After(now.Add(leeway)):
		return invalid(ReasonNotYet, report.Causef("valid in %v", d.NotBefore.Sub(now).Round(time.Second)))
	case d.Issued.After(now.Add(leeway)):
		return invalid(ReasonNotYet, report.Causef("issued in %v", d.Issued.Sub(now).Round(time.Second)))
	}
	return nil
}

// addressed checks whom a token is for.
func (iss *issuer) addressed(o *strictjson.Object) error {
	if len(iss.clientIDs) > 0 && !o.Has("aud") {
		return nil // conforms checks the client
	}
	ours, err := claims.ForOne(o, iss.audience)
	switch {
	case err != nil:
		return invalid(ReasonClaims, err)
	case !ours:
		return invalid(ReasonAudience, report.Cause("aud names none of this service's names"))
	}
	return nil
}

// conforms checks what only some issuers' tokens need.
func (iss *issuer) conforms(o *strictjson.Object, set *claims.Set, dates claims.Dates) error {
	if !o.Has("aud") && !slices.Contains(iss.clientIDs, set.ClientID) {
		return invalid(ReasonAudience, report.Cause("no aud, and a client that is none of ClientIDs"))
	}
	if iss.tenant != "" && o.Has("tid") && !claims.Is(o, "tid", iss.tenant) {
		return invalid(ReasonIssuer, report.Cause("tid is not the tenant of iss"))
	}
	if iss.profile != ProfileRFC9068 {
		return nil
	}
	for _, name := range [...]string{"aud", "client_id", "jti"} {
		if !o.Has(name) {
			return invalid(ReasonClaims, report.Cause(name+" is missing"))
		}
	}
	if dates.Issued.IsZero() {
		return invalid(ReasonClaims, report.Cause("iat is missing"))
	}
	return nil
}

// admit checks who presents a token, each time that it is presented.
func (j *JWT) admit(r *http.Request, scheme, token string, p *proven, cached bool) error {
	if scheme == schemeCookie {
		if p.confirmation != nil {
			return invalid(ReasonBinding, report.Cause("a token in a cookie that is bound to a key"))
		}
		scheme = schemeBearer
	}
	if err := j.binding.Check(r, scheme, token, p.confirmation); err != nil {
		return err
	}
	return j.still(r.Context(), p, cached)
}

// still checks what may have changed since a token was verified.
func (j *JWT) still(ctx context.Context, p *proven, cached bool) error {
	if cached {
		if err := inTime(p.dates, time.Now(), j.leeway); err != nil {
			return err
		}
	}
	if j.revoked != nil {
		if p.principal.TokenID == "" {
			return invalid(ReasonClaims, report.Cause("no jti, without which it could not have been revoked"))
		}
		revoked, err := j.revoked.Revoked(ctx, p.principal)
		if err != nil {
			return &Error{Kind: Unavailable, Reason: ReasonUnavailable, Err: foreign("Revoked", err)}
		}
		if revoked {
			return invalid(ReasonRevoked, report.Cause("the token was revoked"))
		}
	}
	if j.check != nil {
		if err := j.check(ctx, p.principal); err != nil {
			return classify(foreign("Check", err))
		}
	}
	return nil
}

// A foreignError is what a user's function or store returned. Its text may
// hold anything, so of that only the type is told, and whose it is.
type foreignError struct {
	report.Cause
	err error
}

func (e *foreignError) Unwrap() []error { return []error{e.Cause, e.err} }

func foreign(whose string, err error) error {
	return &foreignError{report.Causef("%s: %s", whose, report.Detail(err)), noDecline(err)}
}

// noDecline keeps a user's function that returns ErrNoCredentials from handing
// a token that was found bad on to the next Authenticator.
func noDecline(err error) error {
	if errors.Is(err, ErrNoCredentials) {
		return report.Cause("ErrNoCredentials, which is not for this function to return")
	}
	return err
}

// Challenges returns the challenges for err (RFC 6750 section 3, RFC 9449
// section 7.1).
func (j *JWT) Challenges(err error) []string {
	if j == nil {
		return Binding{}.Challenges(err)
	}
	return j.binding.Challenges(err)
}

// DPoPNonce returns the nonce that the client of r should use next, "" if it
// needs none. A Gate puts it into its answers (RFC 9449 section 8).
func (j *JWT) DPoPNonce(r *http.Request) string {
	if j == nil {
		return ""
	}
	return j.binding.DPoP.NextNonce(r)
}

// invalid refuses a token. Its author is unknown until the signature is
// verified, so the error quotes nothing of it.
func invalid(reason string, err error) *Error {
	if e, ok := err.(*strictjson.Error); ok { //nolint:errorlint // never wrapped
		err = report.Cause(e.Text)
	}
	return &Error{Kind: Invalid, Reason: reason, Err: err}
}

// ago is a cause that costs little: tokens expire all the time.
func ago(what string, d time.Duration) report.Cause {
	b := append(make([]byte, 0, 32), what...)
	b = append(b, ' ')
	b = append(b, d.Round(time.Second).String()...)
	return report.Cause(append(b, " ago"...))
}

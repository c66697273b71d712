// Package authtest helps to test services that stand behind package auth.
//
// Handlers that only read the caller need no token:
//
//	r = authtest.WithPrincipal(r, &principal.Principal{Issuer: "https://issuer.test", Subject: "alice"})
//
// A service with its Gate needs somebody who issues tokens. [Issuer] does, with
// keys of its own, over a network that is in memory: nothing listens on a
// socket, no address check has to be loosened, and it works inside a
// [testing/synctest] bubble.
//
//	issuer, err := authtest.NewIssuer(authtest.Config{})
//	…
//	defer issuer.Close()
//	jwt, err := auth.NewJWT(auth.JWTConfig{
//		Issuers:    []auth.Issuer{{URL: issuer.URL(), Audience: []string{"api"}}},
//		HTTPClient: issuer.Client(),
//	})
//	…
//	r.Header.Set("Authorization", "Bearer "+issuer.Token(map[string]any{"scope": "orders:read"}))
//
// [Issuer.Broken] has the tokens that no service may admit, with the reason
// that a Gate gives for each: run them against yours. [Issuer.Rotate],
// [Issuer.Retire] and [Issuer.Intercept] make what goes wrong with keys and
// networks, and a [ProofKey] is a client that can prove to hold a key.
//
// # What it is not
//
// It is no identity provider: it issues a token to whoever calls its methods,
// keeps its keys in memory and forgets them. It takes no testing.TB, so that an
// example or a development server may use it too; nothing that people depend on
// should. Like net/http/httptest it panics where a test has made a mistake.
package authtest

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-go/gatehouse/auth/principal"
)

// lifetime is how long tokens are valid.
const lifetime = 5 * time.Minute

// Config configures an [Issuer]. Nothing in it is required.
type Config struct {
	_ [0]func() // keyed literals only

	// URL is the issuer: the iss of its tokens and where its documents are. It
	// may have a path. If empty, it is "https://issuer.test".
	URL string

	// Audience is the aud of the tokens. If empty, it is "api".
	Audience []string

	// Subject is whom tokens are for by default. If empty, it is "alice".
	Subject string

	// Algorithm is that of all its keys: RS256, RS384, RS512, PS256, PS384,
	// PS512, ES256, ES384, ES512 or EdDSA. If empty, it is ES256, whose keys are
	// generated fastest.
	Algorithm string

	// Clients are, by their client_id, those that get tokens for themselves
	// from the token endpoint.
	Clients map[string]Client

	// MaxAge is how long the JWKS may be kept, as its Cache-Control says. If
	// zero, it is 5 min; below zero, it says no-store.
	MaxAge time.Duration

	// Metadata are edits of the metadata documents: nil removes a member, any
	// other value sets it.
	Metadata map[string]any
}

// A Client is registered with an [Issuer]. Its secret is not printed.
type Client struct {
	_ [0]func() // keyed literals only

	Secret string
	Scopes []string // that it may have; all of them if it asks for none in particular
}

// Format implements [fmt.Formatter].
func (c Client) Format(s fmt.State, _ rune) { _, _ = fmt.Fprintf(s, "{Scopes:%q}", c.Scopes) }

// LogValue implements [slog.LogValuer].
func (c Client) LogValue() slog.Value { return slog.GroupValue(slog.Any("scopes", c.Scopes)) }

// MarshalText makes the secret unreadable as JSON, too.
func (c Client) MarshalText() ([]byte, error) { return fmt.Append(nil, c), nil }

// An Issuer issues access tokens and publishes the keys to verify them with.
// Make one with [NewIssuer]; call Close when done. It is safe for concurrent
// use.
type Issuer struct {
	url       string
	path      string // of url, without a slash at its end
	algorithm string
	audience  any // a string or a []string
	subject   string
	clients   map[string]*registered
	metadata  []byte
	maxAge    time.Duration

	handler         atomic.Pointer[http.Handler]
	discovery, jwks atomic.Int64
	network         *network
	attacker        func() *keyPair

	mu        sync.Mutex // guards what follows
	published []*keyPair
	current   *keyPair // signs
	made      int
}

// NewIssuer returns an Issuer that behaves in accordance with cfg, with one key
// and its endpoints served to [Issuer.Client]. The error, if any, joins every
// mistake found in cfg. For a synctest bubble, call it and Close inside.
func NewIssuer(cfg Config) (*Issuer, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("authtest: "+format, args...)) }
	i := &Issuer{
		url:       cmp.Or(cfg.URL, "https://issuer.test"),
		algorithm: cmp.Or(cfg.Algorithm, "ES256"),
		subject:   cmp.Or(cfg.Subject, "alice"),
		audience:  "api",
		clients:   make(map[string]*registered),
		maxAge:    cmp.Or(cfg.MaxAge, 5*time.Minute),
	}
	u, err := url.Parse(i.url)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		bad("URL is %q, want one such as %q", cfg.URL, "https://issuer.test")
	} else {
		i.path = strings.TrimSuffix(u.Path, "/")
	}
	if slices.Contains(cfg.Audience, "") {
		bad("Audience has an empty name")
	}
	switch len(cfg.Audience) {
	case 0:
	case 1:
		i.audience = cfg.Audience[0]
	default:
		i.audience = slices.Clone(cfg.Audience)
	}
	if _, ok := generators[i.algorithm]; !ok {
		bad("Algorithm is %q, want one of %q", cfg.Algorithm, Algorithms())
	}
	for _, id := range slices.Sorted(maps.Keys(cfg.Clients)) {
		c := cfg.Clients[id]
		if id == "" || c.Secret == "" {
			bad("Clients[%q] has an empty id or secret", id)
		}
		for _, s := range c.Scopes {
			if !isScope(s) {
				bad("Clients[%q].Scopes has %q, want a scope-token", id, s)
			}
		}
		i.clients[id] = register(c)
	}
	if i.metadata, err = i.describe(cfg); err != nil {
		bad("Metadata is not JSON: %w", err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	i.Rotate()
	i.attacker = sync.OnceValue(func() *keyPair { return generate(i.algorithm, "attacker") })
	i.Intercept(nil)
	if i.network, err = serve(u, i.Handler()); err != nil {
		return nil, fmt.Errorf("authtest: %w", err)
	}
	return i, nil
}

// Close ends the network of [Issuer.Client] and cuts off what is under way. The
// Issuer can still sign.
func (i *Issuer) Close() { i.network.close() }

// URL returns the iss of the tokens.
func (i *Issuer) URL() string { return i.url }

// Client returns a client whose every request arrives here, whatever host its
// URL names, by TLS with a certificate for that host for https. Its Transport
// is an [http.Transport]. To whoever looks, a connection leads to a public
// address, or to the one that the URL names.
func (i *Issuer) Client() *http.Client { return i.network.client }

// Token returns an access token (RFC 9068) that is valid for five minutes:
// iss, sub, aud, client_id, iat, exp and jti, with these edits; nil removes a
// claim, and json.RawMessage("null") makes it null.
func (i *Issuer) Token(edits map[string]any) string {
	return i.Sign(nil, edited(i.claims(), edits))
}

// Delegate returns a token with which a client acts for a user, as the user
// has allowed it: client_id and act name the client (RFC 8693 section 4.1). It
// does not ask whether the client is registered. It panics if a name is empty
// or a scope is not a scope-token.
func (i *Issuer) Delegate(subject, clientID string, scopes ...string) string {
	if subject == "" || clientID == "" {
		panic("authtest: Delegate without a subject or without a client")
	}
	for _, s := range scopes {
		if !isScope(s) {
			panic(fmt.Sprintf("authtest: Delegate with the scope %q, want a scope-token", s))
		}
	}
	edits := map[string]any{"sub": subject, "client_id": clientID, "act": map[string]any{"sub": clientID}}
	if len(scopes) > 0 {
		edits["scope"] = strings.Join(scopes, " ")
	}
	return i.Token(edits)
}

// claims are those of a good token.
func (i *Issuer) claims() map[string]any {
	now := time.Now()
	return map[string]any{
		"iss": i.url, "sub": i.subject, "aud": i.audience, "client_id": "web", "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(lifetime).Unix(),
	}
}

// WithPrincipal returns a request whose caller is p, to test handlers that
// stand behind a Gate without one. It panics if p has no Issuer or no Subject:
// that is nobody.
func WithPrincipal(r *http.Request, p *principal.Principal) *http.Request {
	if p == nil || p.Issuer == "" || p.Subject == "" {
		panic("authtest: WithPrincipal with a Principal that lacks Issuer or Subject")
	}
	return r.WithContext(principal.NewContext(r.Context(), p))
}

// edited returns a copy of m with these edits.
func edited(m, edits map[string]any) map[string]any {
	m = maps.Clone(m)
	for name, value := range edits {
		if m[name] = value; value == nil {
			delete(m, name)
		}
	}
	return m
}

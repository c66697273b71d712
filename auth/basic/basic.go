// Package basic knows services by name and secret, in HTTP's Basic scheme
// (RFC 7617).
//
// It is for programs that can send nothing better: exporters, webhooks, older
// clients. Their secrets are generated, never chosen, and only hashes of them
// are kept.
//
//	secret, hash := basic.Generate() // once; the secret goes to the client
//	…
//	clients, err := basic.New(basic.Config{
//		Issuer:  "https://api.example.com",
//		Clients: map[string]basic.Client{"billing": {Secrets: []basic.Hash{hash}, Scopes: []string{"orders:read"}}},
//	})
//	…
//	gate, err := auth.New(auth.Config{Authenticators: []auth.Authenticator{clients}})
//
// # What it protects against
//
// Credentials over plain HTTP, which are refused even if they are right, so
// that the mistake shows on the first day and nobody is invited to repeat it;
// malformed headers that two readers might read differently; guessing names by
// the time or the text of an answer; and secrets that a person made up, as far
// as these can be told from generated ones.
//
// # What it does not
//
// The secret travels with every request: whoever reads one has it until it is
// replaced. It does not slow down guessing (a limit by address belongs before
// it), and it is not for people: their passwords need a slow hash and a
// session. SHA-256, which is right for a secret of 128 random bits or more,
// would let a stolen list of passwords be guessed at billions a second.
// Browsers store these credentials and send them along with requests that
// other sites cause, so what a browser reaches needs protection from those.
//
// # Where it stands
//
// In the list of an auth.Gate, behind tlsredirect and the limit by address.
// Behind a proxy that ends TLS, it needs [Config.Trust].
package basic

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/principal"
	"github.com/gatehouse-go/gatehouse/internal/problem"
	"github.com/gatehouse-go/gatehouse/internal/report"
	"github.com/gatehouse-go/gatehouse/tlsredirect/clientip"
)

// The reasons of this package, beside those of package auth.
const (
	ReasonPlaintext = "plaintext" // credentials over plain HTTP
	ReasonClient    = "client"    // a name that no client has
	ReasonSecret    = "secret"    // not a secret of that client
)

const (
	maxName    = 128 // bytes
	maxSecrets = 4   // that are live at once
)

// Config configures an [Authenticator]. Issuer and one of Clients and Lookup
// are required.
type Config struct {
	_ [0]func() // keyed literals only

	// Issuer is who vouches for the clients' names: the issuer of their
	// principals.
	Issuer string

	// Realm is that of the challenge. If empty, it is Issuer.
	Realm string

	// Clients are those that are known, by name. A name is UTF-8 of 1 to 128
	// bytes without colons and control characters.
	Clients map[string]Client

	// Lookup finds a client in a store. It is called for whatever name a
	// request has, must compare names byte by byte (the default of some
	// databases does not tell cases apart), and returns a Client without
	// Secrets for a name that nobody has. An error means that the store could
	// not be asked: the request gets 503.
	Lookup func(ctx context.Context, name string) (Client, error)

	// Trust says which proxies may vouch that a request came over TLS. If nil,
	// none: TLS must end in this process.
	Trust *clientip.Trust
}

// A Client is a service that is known by its name.
type Client struct {
	_ [0]func() // keyed literals only

	// Secrets are the hashes of those secrets that are live: one, or up to 4
	// while a new one replaces an old one.
	Secrets []Hash

	// Scopes are those of the client.
	Scopes []string
}

// An Authenticator is an [auth.Authenticator] for the Basic scheme.
//
// It takes one Authorization header of the form RFC 7617 prescribes: the
// scheme, one space, canonical base64 with its padding, at most 512 characters
// of it, that hold UTF-8 without control characters: the name, a colon, and the
// secret, neither of them empty. All else is malformed.
//
// The [principal.Principal] has Issuer from Config, the client's name as
// Subject and ClientID, its Scopes, Kind Client and Scheme "Basic".
//
// It is immutable and safe for concurrent use.
type Authenticator struct {
	issuer    string
	challenge string
	clients   map[string]*client
	lookup    func(ctx context.Context, name string) (Client, error)
	trust     *clientip.Trust

	// trace, which tests alone set, is told of each hash and comparison.
	trace func(step string)
}

// A client has maxSecrets hashes, of which the first are its own, and the cause
// of its refusal is ready: how long an answer takes tells neither how many
// secrets there are nor whether there is a client at all.
type client struct {
	name   string
	hashes [maxSecrets]Hash
	live   bool // there is a hash of its own
	wrong  error
	scopes []string
}

var errNoClient error = report.Cause("no client of that name")

// New returns an Authenticator that behaves in accordance with cfg.
// The error, if any, joins every mistake found in cfg.
func New(cfg Config) (*Authenticator, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("basic: "+format, args...)) }
	if cfg.Issuer == "" {
		bad("Issuer is empty, want who vouches for the clients' names")
	}
	field, realm := "Realm", cfg.Realm
	if realm == "" {
		field, realm = "Issuer, in place of Realm,", cfg.Issuer
	}
	if strings.ContainsFunc(realm, func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }) {
		bad("%s is %q, want printable ASCII without quotes and backslashes", field, realm)
	}
	if (len(cfg.Clients) == 0) == (cfg.Lookup == nil) {
		bad("%d Clients and Lookup %t, want one of both", len(cfg.Clients), cfg.Lookup != nil)
	}
	a := &Authenticator{
		issuer:    cfg.Issuer,
		challenge: `Basic realm="` + realm + `", charset="UTF-8"`,
		lookup:    cfg.Lookup,
		trust:     cfg.Trust,
	}
	if len(cfg.Clients) > 0 {
		a.clients = make(map[string]*client, len(cfg.Clients))
	}
	owners := make(map[[sha256.Size]byte]string)
	for _, name := range slices.Sorted(maps.Keys(cfg.Clients)) {
		field := fmt.Sprintf("Clients[%.200q]", name)
		if len(name) > maxName || strings.Contains(name, ":") || !isText(name) {
			bad("%s is a bad name, want UTF-8 of 1 to %d bytes without colons and control characters", field, maxName)
		}
		c := cfg.Clients[name]
		for _, scope := range c.Scopes {
			if scope == "" || strings.ContainsFunc(scope, func(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == '\\' }) {
				bad("%s.Scopes has %q, want a scope-token", field, scope)
			}
		}
		if len(c.Secrets) == 0 {
			bad("%s.Secrets is empty, want the hash of a secret", field)
		}
		for i, h := range c.Secrets {
			if h.sum == nil {
				continue // which newClient reports
			}
			sum := h.sum()
			if owner, again := owners[sum]; again {
				bad("%s.Secrets[%d] is a secret of %q already, want each once", field, i, owner)
			}
			owners[sum] = name
			if isHashOfSample(sum, name) {
				bad("%s.Secrets[%d] is the hash of a well-known password or of the name, want that of a generated secret", field, i)
			}
		}
		known, err := newClient(name, c)
		if err != nil {
			bad("%s.Secrets %w", field, err)
		}
		a.clients[name] = known
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return a, nil
}

func newClient(name string, c Client) (*client, error) {
	if len(c.Secrets) > maxSecrets {
		return nil, fmt.Errorf("has %d hashes, want at most %d", len(c.Secrets), maxSecrets)
	}
	known := &client{
		name:   name,
		live:   len(c.Secrets) > 0,
		wrong:  report.Causef("not a live secret of %q", name),
		scopes: slices.Clone(c.Scopes),
	}
	for i := range known.hashes {
		known.hashes[i] = noHash
		if i < len(c.Secrets) {
			if c.Secrets[i].sum == nil {
				return nil, fmt.Errorf("has an empty Hash at %d, want what Generate, NewHash or ParseHash returned", i)
			}
			known.hashes[i] = c.Secrets[i]
		}
	}
	return known, nil
}

// Authenticate returns the client whose name and secret r carries.
//
// Over plain HTTP it refuses both with 400, whatever they are: a 401 would have
// to come with a challenge (RFC 9110 section 15.5.2), which asks for the secret
// once more, and would tell that it was wrong.
func (a *Authenticator) Authenticate(r *http.Request) (*principal.Principal, error) {
	values := r.Header["Authorization"]
	if len(values) == 0 {
		return nil, auth.ErrNoCredentials
	}
	given, token, ok := strings.Cut(values[0], " ")
	switch {
	case len(values) > 1:
		return nil, refused(auth.Malformed, auth.ReasonDuplicate, report.Causef("%d Authorization headers", len(values)))
	case !strings.EqualFold(given, scheme):
		return nil, auth.ErrNoCredentials
	case a == nil:
		return nil, refused(auth.Unavailable, auth.ReasonUnavailable, report.Cause("nil *basic.Authenticator"))
	case !a.secure(r):
		return nil, refused(auth.Malformed, ReasonPlaintext, report.Cause("over plain HTTP, as far as Trust tells: whoever listened has the secret"))
	case !ok:
		return nil, refused(auth.Malformed, auth.ReasonMalformed, report.Cause("nothing after the scheme"))
	}
	var buf [maxDecoded]byte
	name, secret, err := parse(&buf, token)
	if err != nil {
		return nil, err
	}
	if len(secret) < minSecret {
		return nil, refused(auth.Invalid, ReasonSecret, report.Causef("less than %d characters, which is no generated secret", minSecret))
	}
	known, err := a.find(r.Context(), name)
	if err != nil {
		return nil, err
	}
	match := known.matches(a.sum(secret), a.trace)
	switch {
	case !known.live:
		return nil, refused(auth.Invalid, ReasonClient, errNoClient)
	case !match:
		return nil, refused(auth.Invalid, ReasonSecret, known.wrong)
	}
	return &principal.Principal{
		Issuer: a.issuer, Subject: known.name, Kind: principal.Client, Scheme: scheme, ClientID: known.name,
		Scopes: slices.Clip(known.scopes), // one more does not go to the next request
	}, nil
}

// find returns the client of that name; nobody if there is none.
func (a *Authenticator) find(ctx context.Context, name []byte) (*client, error) {
	if a.lookup == nil {
		if known, ok := a.clients[string(name)]; ok {
			return known, nil
		}
		return nobody, nil
	}
	id := string(name)
	c, err := a.lookup(ctx, id)
	if err != nil {
		return nil, refused(auth.Unavailable, auth.ReasonUnavailable, err)
	}
	known, err := newClient(id, c)
	if err != nil {
		return nil, refused(auth.Unavailable, auth.ReasonUnavailable, report.Cause("Lookup: the client's Secrets "+err.Error()))
	}
	return known, nil
}

func (a *Authenticator) sum(secret []byte) [sha256.Size]byte {
	if a.trace != nil {
		a.trace("hash")
	}
	return sha256.Sum256(secret)
}

// matches reports, in constant time, whether sum is one of the live hashes.
func (c *client) matches(sum [sha256.Size]byte, trace func(step string)) bool {
	match := 0
	for i := range c.hashes {
		want := c.hashes[i].sum()
		if trace != nil {
			trace("compare")
		}
		match |= subtle.ConstantTimeCompare(sum[:], want[:])
	}
	return match == 1
}

// Carries implements [auth.Carrier].
func (a *Authenticator) Carries(r *http.Request) string {
	for _, value := range r.Header["Authorization"] {
		if given, _, _ := strings.Cut(value, " "); strings.EqualFold(given, scheme) {
			return "Authorization"
		}
	}
	return ""
}

// Challenges returns the Basic challenge where err is answered with 401.
func (a *Authenticator) Challenges(err error) []string {
	if a == nil {
		return nil
	}
	fallback := http.StatusServiceUnavailable
	if errors.Is(err, auth.ErrNoCredentials) {
		fallback = http.StatusUnauthorized
	}
	if problem.Status(err, fallback) != http.StatusUnauthorized {
		return nil
	}
	return []string{a.challenge}
}

// ChallengesFor is Challenges for a request over TLS. For any other there is
// none, although a 401 should have one: whoever obeyed it would send a secret in
// clear.
func (a *Authenticator) ChallengesFor(r *http.Request, err error) []string {
	if a == nil || !a.secure(r) {
		return nil
	}
	return a.Challenges(err)
}

func (a *Authenticator) secure(r *http.Request) bool {
	s, _ := a.trust.Scheme(r)
	return s == "https"
}

func refused(kind auth.Kind, reason string, err error) *auth.Error {
	return &auth.Error{Kind: kind, Reason: reason, Err: err}
}

// isText reports whether s is not empty, UTF-8, and free of control characters.
func isText(s string) bool {
	return s != "" && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

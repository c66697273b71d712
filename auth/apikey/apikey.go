// Package apikey knows programs by API keys.
//
// A key is generated, shown once, and kept as a hash; it belongs to an owner, has
// scopes and an expiry, and can be revoked.
//
//	store := new(apikey.MemoryStore) // or apikey.NewSQLStore
//	key, record, err := apikey.Generate(apikey.Grant{
//		Prefix: "orders", Owner: "billing", Scopes: []string{"orders:read"}, Lifetime: 90 * 24 * time.Hour,
//	})
//	…
//	err = store.Create(ctx, record) // and key.Reveal() goes to billing
//	…
//	keys, err := apikey.New(apikey.Config{Prefix: "orders", Issuer: "https://api.example.com", Store: store})
//	…
//	gate, err := auth.New(auth.Config{Authenticators: []auth.Authenticator{keys}})
//
// # Keys
//
// A key such as orders_wnkxkdbqvz7xh2ag_…_k3jq5pa is the prefix of the service,
// an id of 80 random bits, a secret of 256, and a checksum, in the lower-case
// base32 alphabet: one word for a double click, with one spelling, case
// included. The id names the key in logs and to its admin and is no secret. The
// checksum, CRC-32 (IEEE) of all before it, keeps nobody from making up a key;
// it lets typos be refused without a look into the store, and scanners tell
// real keys from text like them. For those, the pattern is
//
//	\bPREFIX_[a-z2-7]{16}_[a-z2-7]{51}[aq]_[a-z2-7]{7}\b
//
// To replace a key, generate a second one for its owner, and revoke the first
// when the owner uses the new one: both are good meanwhile, for one caller.
//
// # What it protects against
//
// A store that leaks: from SHA-256 of 256 random bits nothing leads back, and a
// slow hash would only slow this service down. The hash covers prefix, id and
// secret, so that one row's is of no use in another, nor under another
// service's prefix. Guessing which ids there are, by the answer or by the
// number of hashes and comparisons behind it. Keys in URLs, where every log
// has them: the query is not read. A store that fails or answers nonsense,
// which gets 503 and admits nobody. And harm to somebody else's key: knowing
// its id, one can neither lock it nor make it look used.
//
// # What it does not
//
// Whoever reads a key has it until it is revoked or expires: keep keys off
// plain HTTP (package tlsredirect). Keys are for programs, never for users, who
// need a login that can be taken back and a second factor. What a key may do is
// package rbac's to decide, how often package ratelimit's, and guessing 256
// bits needs no limit of its own.
//
// # Where it stands
//
// In the list of an auth.Gate. With Authorization as its header it may stand on
// either side of an auth.JWT, which leaves keys alone as it leaves JWTs alone,
// but before an introspect.Introspector, which would send the keys to its
// server.
package apikey

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/principal"
	"github.com/gatehouse-go/gatehouse/internal/problem"
	"github.com/gatehouse-go/gatehouse/internal/report"
)

// ReasonSecret is the Reason of an *auth.Error for a key whose id is known and
// whose secret is wrong. An unknown id has auth.ReasonKey.
const ReasonSecret = "secret"

const (
	scheme        = "APIKey"
	defaultHeader = "X-Api-Key"
	authorization = "Authorization"

	maxList = 1024 // bytes in which a list is looked for: what is longer is no key either

	defaultInterval = time.Minute
	minInterval     = time.Second
)

// Config configures an [Authenticator]. Prefix, Issuer and Store are required.
type Config struct {
	_ [0]func() // keyed literals only

	// Prefix begins every key of this service: a lower-case letter and 1 to 19
	// more, or digits. What does not begin with it is left to other
	// Authenticators.
	Prefix string

	// Issuer is who vouches for the owners' names: the issuer of their
	// principals.
	Issuer string

	// Store has the keys.
	Store Store

	// Header is where a key stands by itself. If empty, it is X-Api-Key. As
	// Authorization it is "Authorization: Bearer", and the key.
	Header string

	// LastUsedInterval is how often the last use of a key is written, at most.
	// If zero, it is 1 min; 1 s or more.
	LastUsedInterval time.Duration

	// Logger is told when last uses can no longer be written, and when they can
	// again. If nil, nothing is logged.
	Logger *slog.Logger
}

// An Authenticator is an [auth.Authenticator] for API keys.
//
// It takes one header with one key. Unknown ids, wrong secrets, typos, revoked
// and expired keys get 401 and the same answer; which it was is for operators,
// as the Reason: auth.ReasonKey, [ReasonSecret], auth.ReasonMalformed,
// auth.ReasonRevoked and auth.ReasonExpired. Whether a key was revoked or has
// expired is looked at when its secret was right. Two headers, and a header that
// is empty or a list, get 400; a Store that does not answer 503.
//
// The [principal.Principal] has Issuer from Config, the key's owner as Subject
// and ClientID, its id as TokenID, its Scopes, IssuedAt and ExpiresAt, Kind
// Client and Scheme "APIKey". ClientID is the owner rather than the id so that
// what is counted and granted by client stays what it is while a key is
// replaced.
//
// # Last use
//
// A request never waits for its key's last use to be written, nor fails for it.
// If the record from the Store says that the last use is older than
// [Config.LastUsedInterval], and this Authenticator did not try to write it
// within that time either, the use is put into a queue of 1024, from which one
// goroutine writes. If the queue is full the use is forgotten, and the next one
// gets its turn. So there is at most one write for each key and interval from
// each process, also if the writes fail, and processes that share a Store know
// of each other's. Close writes what is in the queue, for up to 5 s, and ends
// the goroutine.
//
// It is safe for concurrent use. Call Close when done.
type Authenticator struct {
	prefix    string // with its underscore
	issuer    string
	store     Store
	header    string // canonical
	challenge string // "": those of Bearer
	uses      *recorder

	// trace, which tests alone set, is told of each hash and comparison.
	trace func(step string)
}

// New returns an Authenticator that behaves in accordance with cfg. It does not
// ask the Store. The error, if any, joins every mistake found in cfg. Call Close
// when done.
func New(cfg Config) (*Authenticator, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("apikey: "+format, args...)) }
	if !isPrefix(cfg.Prefix) {
		bad("Prefix is %.80q, want %s", cfg.Prefix, wantPrefix)
	}
	if cfg.Issuer == "" {
		bad("Issuer is empty, want who vouches for the owners' names")
	}
	if isNil(cfg.Store) {
		bad("Store is nil, want where the keys are")
	}
	header := defaultHeader
	if cfg.Header != "" {
		header = http.CanonicalHeaderKey(cfg.Header)
	}
	switch {
	case !isToken(header):
		bad("Header is %.80q, want the name of a header", cfg.Header)
	case slices.Contains([]string{"Cookie", "Host", "Proxy-Authorization"}, header):
		// Which browsers send by themselves, net/http takes out, and proxies do.
		bad("Header is %q, want one that only the caller sets, for this service", cfg.Header)
	}
	interval := cfg.LastUsedInterval
	if interval == 0 {
		interval = defaultInterval
	}
	if interval < minInterval {
		bad("LastUsedInterval is %v, want 0, or %v or more", cfg.LastUsedInterval, minInterval)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	a := &Authenticator{
		prefix: cfg.Prefix + "_", issuer: cfg.Issuer, store: cfg.Store, header: header,
		uses: newRecorder(cfg.Store, interval, cfg.Logger),
	}
	if header != authorization {
		a.challenge = `ApiKey header="` + header + `"`
	}
	return a, nil
}

func isNil(s Store) bool {
	switch s := s.(type) {
	case nil:
		return true
	case *MemoryStore:
		return s == nil
	case *SQLStore:
		return s == nil
	}
	return false
}

// Close ends the writing of last uses. Keys are good as before, but their uses
// are no longer written. It may be called more than once.
func (a *Authenticator) Close() error {
	if a != nil {
		a.uses.close()
	}
	return nil
}

// Authenticate returns the caller whose key r carries.
func (a *Authenticator) Authenticate(r *http.Request) (*principal.Principal, error) {
	if a == nil {
		return nil, unavailable(report.Cause("nil *apikey.Authenticator"))
	}
	key, err := a.key(r)
	if err != nil {
		return nil, err
	}
	return a.Verify(r.Context(), key)
}

// key returns what stands in r where a key belongs.
func (a *Authenticator) key(r *http.Request) (string, error) {
	if a.header == authorization {
		given, token, err := auth.BearerToken(r)
		if err == nil && given != "Bearer" { // a key is bound to nothing that DPoP could prove
			err = auth.ErrNoCredentials
		}
		return token, err
	}
	switch values := r.Header[a.header]; {
	case len(values) == 0:
		return "", auth.ErrNoCredentials
	case len(values) > 1:
		return "", refused(auth.Malformed, auth.ReasonDuplicate, report.Causef("%d %s headers", len(values), a.header))
	case values[0] == "" || len(values[0]) <= maxList && strings.ContainsAny(values[0], " \t,"): // with a comma, two that a proxy made one
		return "", refused(auth.Malformed, auth.ReasonMalformed, report.Causef("want one key in %s", a.header))
	default:
		return values[0], nil
	}
}

// Verify returns the caller that a key is for, for keys that do not come in a
// request's header, such as those that a secret scanner reports: only a good key
// names the one to revoke, by its TokenID. Every error is an *auth.Error; around
// auth.ErrNoCredentials if key has not this service's prefix.
func (a *Authenticator) Verify(ctx context.Context, key string) (*principal.Principal, error) {
	if a == nil {
		return nil, unavailable(report.Cause("nil *apikey.Authenticator"))
	}
	id, err := parse(a.prefix, key)
	if err != nil {
		return nil, refused(auth.Invalid, auth.ReasonMalformed, err)
	}
	record, err := a.store.Lookup(ctx, id)
	known := err == nil
	switch {
	case known && !record.answers(id):
		return nil, unavailable(report.Causef("Store.Lookup of %s returned a record of another id, or one without Hash or Owner", id))
	case !known && !errors.Is(err, ErrNotFound):
		return nil, unavailable(lookupFailed(err))
	case !known:
		record.Hash = noHash // an unknown id costs what a known one does
	}
	match := a.equal(a.sum(key), record.Hash)
	now := time.Now()
	switch {
	case !known:
		return nil, refused(auth.Invalid, auth.ReasonKey, report.Causef("no key of the id %s", id))
	case !match:
		return nil, refused(auth.Invalid, ReasonSecret, report.Causef("not the secret of %s", id))
	case !record.RevokedAt.IsZero():
		return nil, refused(auth.Invalid, auth.ReasonRevoked, report.Causef("%s was revoked", id))
	case !now.Before(record.ExpiresAt):
		return nil, refused(auth.Invalid, auth.ReasonExpired, report.Causef("%s has expired", id))
	}
	a.uses.used(record.ID, record.LastUsedAt, now)
	return &principal.Principal{
		Issuer: a.issuer, Subject: record.Owner, Kind: principal.Client, Scheme: scheme,
		ClientID: record.Owner, TokenID: record.ID,
		Scopes:   slices.Clip(record.Scopes), // one more does not go to the next request
		IssuedAt: record.CreatedAt, ExpiresAt: record.ExpiresAt,
	}, nil
}

func (a *Authenticator) sum(key string) [sha256.Size]byte {
	if a.trace != nil {
		a.trace("hash")
	}
	return sum(key)
}

func (a *Authenticator) equal(got [sha256.Size]byte, h Hash) bool {
	if a.trace != nil {
		a.trace("compare")
	}
	want := h.sum()
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// Carries implements [auth.Carrier].
func (a *Authenticator) Carries(r *http.Request) string {
	switch {
	case a == nil:
		return ""
	case a.header == authorization:
		if _, _, err := auth.BearerToken(r); errors.Is(err, auth.ErrNoCredentials) {
			return ""
		}
	case len(r.Header[a.header]) == 0:
		return ""
	}
	return a.header
}

// Challenges returns the challenge for err. With Authorization as the header it
// is that of bearer tokens (RFC 6750 section 3), since such a key is one.
//
// With another header it is, for a 401 alone,
//
//	ApiKey header="X-Api-Key"
//
// A 401 must have a challenge (RFC 9110 section 15.5.2), and it should be one
// that applies: Bearer would ask for something in Authorization, where no key is
// read, and Basic would have browsers ask their users. HTTP has no scheme for
// keys in headers of their own, so this is one that nobody registered: clients
// leave alone what they do not know (section 11.6.1), and whoever reads it learns
// where a key belongs.
func (a *Authenticator) Challenges(err error) []string {
	switch {
	case a == nil:
		return nil
	case a.challenge == "":
		return auth.Binding{}.Challenges(err)
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

func refused(kind auth.Kind, reason string, err error) *auth.Error {
	return &auth.Error{Kind: kind, Reason: reason, Err: err}
}

func unavailable(err error) *auth.Error {
	return refused(auth.Unavailable, auth.ReasonUnavailable, err)
}

// lookupFailed tells operators what of err may be told, and errors.Is the rest:
// but a Store that says auth.ErrNoCredentials does not hand the key on to the
// next Authenticator.
func lookupFailed(err error) error {
	cause := report.Cause("Store.Lookup: " + report.Detail(err))
	if errors.Is(err, auth.ErrNoCredentials) {
		return cause
	}
	return fmt.Errorf("%w: %w", cause, err)
}

// isToken reports whether s is a token (RFC 9110 section 5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
	})
}

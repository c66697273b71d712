package auth

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatehouse-go/gatehouse/internal/report"
	"github.com/gatehouse-go/gatehouse/tlsredirect/clientip"
)

const (
	defaultProofAge    = time.Minute
	maxProofAge        = 5 * time.Minute
	defaultProofLeeway = 30 * time.Second
	maxProofLeeway     = 5 * time.Minute
)

// DPoPConfig configures a [DPoP]. Its zero value works for a single process
// that its clients reach under the name which they send as Host.
type DPoPConfig struct {
	_ [0]func() // keyed literals only

	// Required refuses tokens that are bound to no key. Those that are bound
	// to a client certificate (RFC 8705) stay welcome.
	Required bool

	// Origin is under what URL clients know this service, such as
	// "https://api.example.com" or, where a proxy takes a prefix off the path,
	// "https://api.example.com/v1". If empty it is the scheme and the Host of
	// each request: then something in front must refuse foreign hosts, as
	// package tlsredirect does, or a proof that was made for somebody else
	// passes here for whoever repeats that name in Host.
	Origin string

	// Trust knows the proxies that say whether a request came over TLS, for
	// an empty Origin. If nil, it is the connection.
	Trust *clientip.Trust

	// MaxAge is how long ago a proof may have been made. If zero, it is 1 min;
	// at most 5 min.
	MaxAge time.Duration

	// Leeway is how far the clients' clocks may be apart from ours. If zero,
	// it is 30 s; at most 5 min.
	Leeway time.Duration

	// Algorithms are those that proofs may be signed with: ES256, ES384, ES512,
	// EdDSA, PS256, PS384, PS512, RS256, RS384, RS512. If empty, they are
	// ES256, ES384, ES512, EdDSA, PS256 and RS256.
	Algorithms []string

	// RequireNonce refuses proofs without a nonce of ours that is less than
	// 5 min old, so that none can be made long before its use (RFC 9449
	// section 9).
	RequireNonce bool

	// NonceKey makes the nonces: a [Secret], the same in all instances of the
	// service. If zero it is random, and an instance knows none but its own.
	NonceKey KeySource

	// Replay remembers which proofs were used. If nil, that is this process,
	// which remembers 100,000 proofs and 1,000 of any one key, and refuses
	// with 503 what it could not remember: by the other defaults a key has
	// 11 requests a second, and who gets tokens for 100 keys can fill it. Put
	// a limit by address in front. Several instances, and clients that are
	// busier, want a shared store such as [RedisReplay]: else each instance
	// accepts a proof once.
	Replay ReplayStore
}

// A DPoP checks that the sender of a request holds the private key that its
// access token is bound to (RFC 9449). A stolen token alone is then worth
// nothing, and neither is a stolen request: its proof is good for one method,
// one URL, one token, one minute, and once.
//
// Every proof must be there exactly once, be signed by the key of the token
// with an algorithm that fits, and say the method, the URL, the token and when
// it was made. URLs are compared without query and fragment, after the
// normalization of RFC 3986 sections 6.2.2 and 6.2.3. The path is that of the
// request line, whatever muxes took off it since; one with dot segments, of
// which each router thinks its own, has no proof.
//
// Replays are looked for last, so that nobody but the holder of a key can make
// a store remember anything.
//
// It is safe for concurrent use. A nil DPoP refuses every bound token.
type DPoP struct {
	required   bool
	origin     *target
	trust      *clientip.Trust
	maxAge     time.Duration
	leeway     time.Duration
	algorithms map[string]*algorithm
	names      string // of the algorithms, as challenges have them
	nonces     *nonces
	replay     ReplayStore
}

// NewDPoP returns a DPoP that behaves in accordance with cfg.
// The error, if any, joins every mistake found in cfg.
func NewDPoP(cfg DPoPConfig) (*DPoP, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("auth: "+format, args...)) }
	d := &DPoP{
		required: cfg.Required, trust: cfg.Trust, maxAge: cfg.MaxAge, leeway: cfg.Leeway,
		algorithms: make(map[string]*algorithm), replay: cfg.Replay,
	}
	if cfg.Origin != "" {
		origin, err := parseOrigin(cfg.Origin)
		if err != nil {
			bad("Origin %w", err)
		}
		d.origin = &origin
	}
	switch {
	case cfg.MaxAge == 0:
		d.maxAge = defaultProofAge
	case cfg.MaxAge < 0 || cfg.MaxAge > maxProofAge:
		bad("MaxAge is %v, want 0 to %v", cfg.MaxAge, maxProofAge)
	}
	switch {
	case cfg.Leeway == 0:
		d.leeway = defaultProofLeeway
	case cfg.Leeway < 0 || cfg.Leeway > maxProofLeeway:
		bad("Leeway is %v, want 0 to %v", cfg.Leeway, maxProofLeeway)
	}
	names := canonical(cfg.Algorithms)
	if len(names) == 0 {
		names = []string{"ES256", "ES384", "ES512", "EdDSA", "PS256", "RS256"}
	}
	for _, name := range names {
		a := algorithms[name]
		if a == nil {
			bad("Algorithms has %.32q, want names such as %q", name, "ES256")
			continue
		}
		if _, ok := a.method.(*jwt.SigningMethodHMAC); ok {
			bad("Algorithms has %s, want algorithms with a public key", name)
		}
		if d.algorithms[name] != nil {
			bad("Algorithms has %s again, want each once", name)
		}
		d.algorithms[name] = a
	}
	if d.algorithms["EdDSA"] != nil {
		names = append(names, "Ed25519") // RFC 9864's name for the same
	}
	d.names = strings.Join(names, " ")
	switch {
	case cfg.NonceKey.src != nil && !cfg.RequireNonce:
		bad("NonceKey is set without RequireNonce")
	case cfg.RequireNonce:
		key, err := nonceKey(cfg.NonceKey)
		if err != nil {
			bad("NonceKey: %w", err)
		}
		d.nonces = newNonces(key)
	}
	if r, ok := cfg.Replay.(*RedisReplay); ok && (r == nil || r.store.do == nil) {
		bad("Replay is a nil or empty *RedisReplay, want one that NewRedisReplay made")
	}
	if cfg.Replay == nil {
		d.replay = newMemoryReplay(maxReplays, maxReplaysOfOwner)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return d, nil
}

// Required reports whether tokens that are bound to no key are refused.
func (d *DPoP) Required() bool { return d != nil && d.required }

// Check verifies the DPoP header of r for an access token, which the caller
// has verified, and the thumbprint that its cnf.jkt has. It uses the proof up:
// the same request is refused the second time. Every error is an *Error.
func (d *DPoP) Check(r *http.Request, accessToken, thumbprint string) error {
	if d == nil {
		return invalid(ReasonBinding, report.Cause("the token wants a DPoP proof, and DPoP is not configured"))
	}
	p, err := d.prove(r, accessToken, thumbprint, time.Now())
	if err != nil {
		return err
	}
	first, err := d.replay.Use(r.Context(), thumbprint, p.id, p.until)
	switch {
	case err != nil:
		return storeFailed("replay store", err)
	case !first:
		return invalid(ReasonReplay, report.Cause("the proof was used before"))
	case !time.Now().Before(p.until): // the store may have forgotten it meanwhile
		return invalid(ReasonProof, report.Cause("the proof is too old by now"))
	}
	return nil
}

func storeFailed(name string, err error) *Error {
	return &Error{Kind: Unavailable, Reason: ReasonUnavailable, Err: foreign(name, err)}
}

// Nonce returns a fresh nonce for the DPoP-Nonce header of a refusal; "" if
// none are required.
func (d *DPoP) Nonce() string {
	if d == nil || d.nonces == nil {
		return ""
	}
	return d.nonces.at(time.Now())
}

// NextNonce returns the nonce for the DPoP-Nonce header of the answer to r: a
// fresh one if that of its proof is past half of its life or none of ours, and
// otherwise "". It verifies nothing.
func (d *DPoP) NextNonce(r *http.Request) string {
	if d == nil || d.nonces == nil {
		return ""
	}
	now := time.Now()
	if nonce := claimedNonce(r); d.nonces.fresh(nonce, now, d.leeway) {
		if age, _ := d.nonces.age(nonce, now); age < nonceLifetime/2 {
			return ""
		}
	}
	return d.nonces.at(now)
}

// challenge is the DPoP challenge for e.
func (d *DPoP) challenge(e *Error) string { return e.challenge(schemeDPoP, `algs="`+d.names+`"`) }

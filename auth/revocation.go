package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-go/gatehouse/auth/principal"
	"github.com/gatehouse-go/gatehouse/internal/report"
)

// A RevocationList knows which tokens were taken back before their time. It
// must be safe for concurrent use.
type RevocationList interface {
	// Revoked reports whether the token that p came with was taken back. An
	// error means that it is not known. It must return when ctx is done.
	Revoked(ctx context.Context, p *principal.Principal) (bool, error)
}

const (
	defaultRevocations = 100_000
	maxRevocations     = 10_000_000

	// revokedFor is how long after its expiry a token stays revoked: no JWT
	// has a longer Leeway.
	revokedFor = 5 * time.Minute
)

// RevocationsConfig configures [Revocations].
type RevocationsConfig struct {
	_ [0]func() // keyed literals only

	// Capacity is how many tokens can be revoked at a time, for some 100 bytes
	// each. If zero, it is 100,000; at most 10,000,000.
	Capacity int
}

// Revocations is a [RevocationList] in the memory of one process; several
// instances want [RedisRevocations]. It starts empty with the process. It is
// safe for concurrent use.
//
// A token is known by its issuer and its id (the claims iss and jti), never by
// its bytes: the signature of an ES256 token can be rewritten by anybody, so
// that the same token has other bytes.
type Revocations struct{ revoked *ledger }

// NewRevocations returns Revocations that behave in accordance with cfg.
func NewRevocations(cfg RevocationsConfig) (*Revocations, error) {
	capacity := cfg.Capacity
	switch {
	case capacity == 0:
		capacity = defaultRevocations
	case capacity < 0 || capacity > maxRevocations:
		return nil, fmt.Errorf("auth: Capacity is %d, want 0 to %d", capacity, maxRevocations)
	}
	return &Revocations{newLedger(capacity, capacity)}, nil
}

// Revoke takes the token back that this issuer gave that id, and which expires
// at until. It is remembered for a little longer than that and never forgotten
// before: where there is no room for it the error is [ErrFull], and the token
// is not revoked.
func (v *Revocations) Revoke(_ context.Context, issuer, tokenID string, until time.Time) error {
	if v == nil || v.revoked == nil {
		return errNotMade
	}
	if err := checkRevocation(issuer, tokenID, until); err != nil {
		return err
	}
	_, err := v.revoked.add(digest{}, digestOf(issuer, tokenID), until.Add(revokedFor), time.Now())
	return err
}

// Revoked implements [RevocationList].
func (v *Revocations) Revoked(_ context.Context, p *principal.Principal) (bool, error) {
	if v == nil || v.revoked == nil {
		return false, errNotMade
	}
	if err := checkRevocable(p); err != nil {
		return false, err
	}
	return v.revoked.has(digestOf(p.Issuer, p.TokenID), time.Now()), nil
}

func checkRevocation(issuer, tokenID string, until time.Time) error {
	var errs []error
	if issuer == "" {
		errs = append(errs, errors.New("auth: issuer is empty, want that of the token"))
	}
	if tokenID == "" {
		errs = append(errs, errors.New("auth: tokenID is empty, want the jti of the token"))
	}
	if until.IsZero() {
		errs = append(errs, errors.New("auth: until is zero, want the token's expiry"))
	}
	return errors.Join(errs...)
}

// checkRevocable refuses to say of a token without a name that it was not
// revoked.
func checkRevocable(p *principal.Principal) error {
	if p == nil || p.Issuer == "" || p.TokenID == "" {
		return report.Cause("the token has no issuer and id to be revoked by")
	}
	return nil
}

// RedisRevocations is a [RevocationList] in Redis, for several instances of a
// service and whoever else writes to it: one round trip for each question, and
// a key of some 100 bytes until a token has expired. As in [Revocations], a
// token is known by its issuer and its id. It is safe for concurrent use.
type RedisRevocations struct{ store redisStore }

// NewRedisRevocations returns RedisRevocations that behave in accordance with
// cfg. The error, if any, joins every mistake found in cfg.
func NewRedisRevocations(cfg RedisConfig) (*RedisRevocations, error) {
	s, err := newRedisStore(cfg, "revoked")
	if err != nil {
		return nil, err
	}
	return &RedisRevocations{s}, nil
}

// A token that is revoked twice stays so for as long as either wants.
const revokeScript = "if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], '1', 'PX', ARGV[1]) end return 1"

// Revoke takes the token back that this issuer gave that id, and which expires
// at until. After an error it may be revoked or not: try again.
func (v *RedisRevocations) Revoke(ctx context.Context, issuer, tokenID string, until time.Time) error {
	if v == nil {
		return errNotMade
	}
	if err := checkRevocation(issuer, tokenID, until); err != nil {
		return err
	}
	done, err := v.store.flag(ctx, "EVAL", revokeScript, int64(1), v.store.key(issuer, tokenID), milliseconds(until.Add(revokedFor)))
	if err == nil && !done {
		err = report.Cause("Redis answered with 0, want 1")
	}
	return err
}

// Revoked implements [RevocationList].
func (v *RedisRevocations) Revoked(ctx context.Context, p *principal.Principal) (bool, error) {
	if v == nil {
		return false, errNotMade
	}
	if err := checkRevocable(p); err != nil {
		return false, err
	}
	return v.store.flag(ctx, "EXISTS", v.store.key(p.Issuer, p.TokenID))
}

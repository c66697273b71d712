package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

const (
	defaultCacheSize = 10_000
	maxCacheTTL      = time.Minute
)

// A TokenCache configures how tokens that were verified are remembered, so that
// the next request with the same token costs no signature check: worth it for
// callers that send one token over and over, signed with RSA, ECDSA or Ed25519.
// Its zero value is usable.
//
// What is remembered is the caller, under the SHA-256 of the whole token, for
// this JWT alone and until the token expires, the issuer's keys change, or TTL
// is over. Nothing is remembered of tokens that were refused. Expiry, DPoP proof
// or client certificate, Revoked and Check are asked again for each request.
type TokenCache struct {
	_ [0]func() // keyed literals only

	// Size is how many tokens are remembered. If zero, it is 10,000. A token
	// takes about 1 KiB.
	Size int

	// TTL is for how long. If zero, it is 1 min, which is also the most.
	TTL time.Duration
}

type tokenHash = [sha256.Size]byte

// A cache has two generations: when the new one is full it becomes the old
// one, and what is asked for moves into the new one. A flood of tokens that are
// used once cannot evict those in use, nor make it grow.
type cache struct {
	half int
	ttl  time.Duration

	mu       sync.Mutex
	new, old map[tokenHash]*proven
	flights  map[tokenHash]*proving
}

// A proving is a verification under way, and whoever waits for it.
type proving struct {
	done chan struct{}
	got  *proven
	err  error
}

func newCache(cfg *TokenCache) *cache {
	c := &cache{half: cfg.Size / 2, ttl: cfg.TTL, new: make(map[tokenHash]*proven), flights: make(map[tokenHash]*proving)}
	if cfg.Size == 0 {
		c.half = defaultCacheSize / 2
	}
	c.half = max(1, c.half)
	if c.ttl == 0 {
		c.ttl = maxCacheTTL
	}
	return c
}

// get returns what is remembered of a token and still holds.
func (c *cache) get(key tokenHash, now time.Time) *proven {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.new[key]
	if !ok {
		if p, ok = c.old[key]; !ok {
			return nil
		}
		c.put(key, p)
	}
	if now.Sub(p.at) >= c.ttl || p.issuer.current(now) != p.keys {
		delete(c.new, key)
		delete(c.old, key)
		return nil
	}
	return p
}

func (c *cache) put(key tokenHash, p *proven) {
	if len(c.new) >= c.half {
		c.old, c.new = c.new, make(map[tokenHash]*proven, c.half)
	}
	c.new[key] = p
}

// prove returns what is remembered of a token, and whether it was; otherwise
// it lets one caller at a time prove it, and the others wait for that.
func (c *cache) prove(ctx context.Context, token string, prove func() (*proven, error)) (*proven, bool, error) {
	key := sha256.Sum256([]byte(token))
	if p := c.get(key, time.Now()); p != nil {
		return p, true, nil
	}
	c.mu.Lock()
	if f := c.flights[key]; f != nil {
		c.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, false, &Error{Kind: Unavailable, Reason: ReasonUnavailable, Err: ctx.Err()}
		}
		// That it could not be checked may be the other request's fault. That
		// its keys are not there is not, and it was waited for.
		if errors.Is(f.err, context.Canceled) || errors.Is(f.err, context.DeadlineExceeded) || errors.Is(f.err, errUnproven) {
			p, err := prove()
			return p, false, err
		}
		return f.got, f.got != nil, f.err
	}
	f := &proving{done: make(chan struct{}), err: &Error{Kind: Unavailable, Reason: ReasonUnavailable, Err: errUnproven}}
	c.flights[key] = f
	c.mu.Unlock()
	defer func() { // also if a user's Map panics
		c.mu.Lock()
		delete(c.flights, key)
		if f.got != nil {
			c.put(key, f.got)
		}
		c.mu.Unlock()
		close(f.done)
	}()
	f.got, f.err = prove()
	return f.got, false, f.err
}

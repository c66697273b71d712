package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/report"
)

const (
	defaultRedisTimeout = 250 * time.Millisecond
	maxRedisTimeout     = 10 * time.Second
	defaultRedisPrefix  = "gatehouse:"
	maxRedisPrefix      = 64

	// sharedClocks is how much longer a shared store remembers, since the
	// clocks of its instances may be apart.
	sharedClocks = time.Minute
)

// RedisConfig configures the stores in Redis: [RedisReplay] and
// [RedisRevocations]. Do is required.
//
// Both keep one small key for each entry, with an expiry. Give them a Redis
// whose maxmemory-policy is noeviction: one that evicts forgets.
type RedisConfig struct {
	_ [0]func() // keyed literals only

	// Do sends one command, of strings and int64, and returns its reply, an
	// int64 or int for an integer. It must return when ctx is done, which
	// go-redis does with ContextTimeoutEnabled alone:
	//
	//	rdb := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
	//	do := func(ctx context.Context, args ...any) (any, error) { return rdb.Do(ctx, args...).Result() }
	Do func(ctx context.Context, args ...any) (any, error)

	// Prefix begins every key. If empty, it is "gatehouse:". Services that
	// share it share what they know.
	Prefix string

	// Timeout bounds each call. If zero, it is 250 ms; at most 10 s.
	Timeout time.Duration
}

// errNotMade is what a store says that no New… made: it remembers nothing.
var errNotMade error = report.Cause("a store that is nil or was not made by New")

// A redisStore asks Redis for integers about keys of one kind.
type redisStore struct {
	do      func(ctx context.Context, args ...any) (any, error)
	prefix  string
	timeout time.Duration
}

func newRedisStore(cfg RedisConfig, kind string) (redisStore, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("auth: "+format, args...)) }
	s := redisStore{cfg.Do, cfg.Prefix, cfg.Timeout}
	if cfg.Do == nil {
		bad("Do is nil, want a function that asks Redis")
	}
	switch {
	case cfg.Prefix == "":
		s.prefix = defaultRedisPrefix
	case len(cfg.Prefix) > maxRedisPrefix || strings.ContainsFunc(cfg.Prefix, func(c rune) bool { return c <= ' ' || c > '~' }):
		bad("Prefix is %.80q, want at most %d printable ASCII characters", cfg.Prefix, maxRedisPrefix)
	}
	switch {
	case cfg.Timeout == 0:
		s.timeout = defaultRedisTimeout
	case cfg.Timeout < 0 || cfg.Timeout > maxRedisTimeout:
		bad("Timeout is %v, want 0 to %v", cfg.Timeout, maxRedisTimeout)
	}
	s.prefix += kind + ":"
	return s, errors.Join(errs...)
}

// key is the key for these texts: nothing that a client sent is in it.
func (s redisStore) key(texts ...string) string {
	sum := hashOf(texts...)
	return s.prefix + strict.EncodeToString(sum[:])
}

// flag sends a command whose reply is 1 or 0.
func (s redisStore) flag(ctx context.Context, args ...any) (bool, error) {
	if s.do == nil {
		return false, errNotMade
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	reply, err := s.do(ctx, args...)
	if err != nil {
		return false, err
	}
	switch reply {
	case int64(1), int(1):
		return true, nil
	case int64(0), int(0):
		return false, nil
	}
	return false, report.Causef("Redis answered with a %T, want 0 or 1", reply)
}

// milliseconds is how long a key must live to be there until then.
func milliseconds(until time.Time) int64 {
	return max(1, time.Until(until).Milliseconds()+1+sharedClocks.Milliseconds()) // no Duration, which the year 9999 overflows
}

// RedisReplay is a [ReplayStore] in Redis, for several instances of a service:
// one round trip for each proof, and one key of some 100 bytes for as long as
// the proof could be used again. It is safe for concurrent use.
type RedisReplay struct{ store redisStore }

// NewRedisReplay returns a RedisReplay that behaves in accordance with cfg.
// The error, if any, joins every mistake found in cfg.
func NewRedisReplay(cfg RedisConfig) (*RedisReplay, error) {
	s, err := newRedisStore(cfg, "dpop")
	if err != nil {
		return nil, err
	}
	return &RedisReplay{s}, nil
}

// The reply is made an integer because clients pass the nil of SET NX on as an
// error.
const useScript = "return redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[1]) and 1 or 0"

// Use implements [ReplayStore].
func (s *RedisReplay) Use(ctx context.Context, owner, id string, until time.Time) (bool, error) {
	return s.store.flag(ctx, "EVAL", useScript, int64(1), s.store.key(owner, id), milliseconds(until))
}

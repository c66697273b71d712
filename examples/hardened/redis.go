package main

import (
	"context"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/loginguard"
	"github.com/gatehouse-go/gatehouse/ratelimit/redisstore"
)

// A shared is where the instances of the service count together. Each signs
// tokens of its own and has users of its own, unless they share a -db: what users
// share is the quota of those of an outside issuer.
type shared struct{ addr, secretFile string }

func (s *shared) register(flags *flag.FlagSet) {
	flags.StringVar(&s.addr, "redis", "", "address of a Redis in which all instances count; in each one if empty")
	flags.StringVar(&s.secretFile, "login-secret", "", "file with 32 random bytes in base64, the same for all instances: what names are hidden by in Redis")
}

// open returns what the limits count in and what the names of accounts are
// hidden by there; nothing without an address. close is never nil.
func (s *shared) open() (store ratelimit.Store, secret loginguard.Secret, closeRedis func() error, err error) {
	closeRedis = func() error { return nil }
	switch {
	case s.addr == "" && s.secretFile == "":
		return nil, secret, closeRedis, nil
	case s.addr == "" || s.secretFile == "":
		return nil, secret, closeRedis, errors.New("-redis and -login-secret belong together")
	}
	text, err := os.ReadFile(s.secretFile)
	if err != nil {
		return nil, secret, closeRedis, err
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, secret, closeRedis, fmt.Errorf("%s is not base64", s.secretFile)
	}
	// A command that is sent again after a timeout would count twice.
	rdb := redis.NewClient(&redis.Options{Addr: s.addr, ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1})
	counts, err := redisstore.New(redisstore.Config{
		Do: func(ctx context.Context, args ...any) (any, error) { return rdb.Do(ctx, args...).Result() },
	})
	if err != nil {
		return nil, secret, closeRedis, errors.Join(err, rdb.Close())
	}
	return counts, loginguard.NewSecret(key), rdb.Close, nil
}

package main

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/didip/tollbooth/v7"
	"github.com/go-chi/httprate"
	"github.com/sethvargo/go-limiter/httplimit"
	"github.com/sethvargo/go-limiter/memorystore"
	"github.com/throttled/throttled/v2"
	"github.com/throttled/throttled/v2/store/memstore"
	"github.com/ulule/limiter/v3"
	"github.com/ulule/limiter/v3/drivers/middleware/stdlib"
	"github.com/ulule/limiter/v3/drivers/store/memory"
	"golang.org/x/time/rate"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// A quota is one limit, all of it at once.
type quota struct {
	limit  int
	period time.Duration
}

// perSecond is for those that know no other period.
func (q quota) perSecond() float64 { return float64(q.limit) / q.period.Seconds() }

// How a refusal tells when to come back.
const (
	inSeconds = "Retry-After"
	asText    = "Retry-After that is neither seconds nor a date"
	never     = "no Retry-After"
)

// A contestant is a limiter in this process that counts by address.
type contestant struct {
	name, setup string
	peer        bool
	fields      bool   // every answer tells how much is left
	more        bool   // and tells it twice, which its time is not judged by
	retry       string // what a refusal tells
	// build puts one with an empty table before next, and hands atEnd what
	// is to be called when it is no longer needed.
	build func(q quota, next http.Handler, atEnd func(func())) (http.Handler, error)
}

var contestants = []*contestant{ //nolint:gochecknoglobals // immutable
	{
		name: "gatehouse", fields: true, retry: inSeconds, build: newGatehouse(ratelimit.Config{}),
		setup: "ratelimit.Limiter by address, as it is by default: RateLimit and RateLimit-Policy",
	},
	{
		name: "both fields", fields: true, more: true, retry: inSeconds, build: newGatehouse(ratelimit.Config{LegacyHeaders: true}),
		setup: "the same with X-RateLimit-* as well",
	},
	{
		name: "no fields", retry: inSeconds, build: newGatehouse(ratelimit.Config{HideHeaders: true}),
		setup: "the same with neither",
	},
	{
		name: "ulule", peer: true, fields: true, retry: never, build: newUlule,
		setup: "ulule/limiter/v3, stdlib middleware and memory store",
	},
	{
		name: "httprate", peer: true, fields: true, retry: inSeconds, build: newHTTPRate,
		setup: "go-chi/httprate, LimitBy",
	},
	{
		name: "throttled", peer: true, fields: true, retry: inSeconds, build: newThrottled(0),
		setup: "throttled/v2, HTTPRateLimiterCtx and memstore without a bound",
	},
	{
		name: "throttled LRU", peer: true, fields: true, retry: inSeconds, build: newThrottled(65536),
		setup: "the same with memstore of 65,536 keys as in its README: who is forgotten has a fresh quota",
	},
	{
		name: "sethvargo", peer: true, fields: true, retry: asText, build: newSethvargo,
		setup: "sethvargo/go-limiter, httplimit and memorystore",
	},
	{
		name: "tollbooth", peer: true, fields: true, retry: never, build: newTollbooth,
		setup: "didip/tollbooth/v7, LimitHandler by RemoteAddr, with SetIgnoreURL, without which each path has a quota of its own",
	},
	{
		name: "x/time map", peer: true, retry: never, build: newTimeMap,
		setup: "golang.org/x/time/rate, one Limiter for each address in a map with a mutex, which nobody cleans up",
	},
}

// host is the address without the port, the cheapest way to the key that all
// shall have: those with a choice get this one.
func host(r *http.Request) (string, error) {
	h, _, err := net.SplitHostPort(r.RemoteAddr)
	return h, err
}

func newGatehouse(cfg ratelimit.Config) func(quota, http.Handler, func(func())) (http.Handler, error) {
	return func(q quota, next http.Handler, _ func(func())) (http.Handler, error) {
		cfg.Policies = []ratelimit.Policy{{Limit: int64(q.limit), Period: q.period}}
		l, err := ratelimit.New(cfg)
		if err != nil {
			return nil, err
		}
		return l.Handler(next), nil
	}
}

func newUlule(q quota, next http.Handler, _ func(func())) (http.Handler, error) {
	l := limiter.New(memory.NewStore(), limiter.Rate{Limit: int64(q.limit), Period: q.period})
	key := stdlib.WithKeyGetter(func(r *http.Request) string { h, _ := host(r); return h }) // it has no errors
	return stdlib.NewMiddleware(l, key).Handler(next), nil
}

func newHTTPRate(q quota, next http.Handler, _ func(func())) (http.Handler, error) {
	return httprate.LimitBy(q.limit, q.period, host)(next), nil
}

type varyByHost struct{}

func (varyByHost) Key(r *http.Request) string { h, _ := host(r); return h } // it has no errors

func newThrottled(maxKeys int) func(quota, http.Handler, func(func())) (http.Handler, error) {
	return func(q quota, next http.Handler, _ func(func())) (http.Handler, error) {
		store, err := memstore.NewCtx(maxKeys)
		if err != nil {
			return nil, err
		}
		l, err := throttled.NewGCRARateLimiterCtx(store, throttled.RateQuota{
			MaxRate: throttled.PerDuration(q.limit, q.period), MaxBurst: q.limit - 1,
		})
		if err != nil {
			return nil, err
		}
		h := throttled.HTTPRateLimiterCtx{RateLimiter: l, VaryBy: varyByHost{}}
		return h.RateLimit(next), nil
	}
}

func newSethvargo(q quota, next http.Handler, atEnd func(func())) (http.Handler, error) {
	store, err := memorystore.New(&memorystore.Config{Tokens: uint64(q.limit), Interval: q.period}) //nolint:gosec // not negative
	if err != nil {
		return nil, err
	}
	atEnd(func() { _ = store.Close(context.Background()) }) // ends its goroutine; never fails
	m, err := httplimit.NewMiddleware(store, host)
	if err != nil {
		return nil, err
	}
	return m.Handle(next), nil
}

func newTollbooth(q quota, next http.Handler, _ func(func())) (http.Handler, error) {
	l := tollbooth.NewLimiter(q.perSecond(), nil)
	l.SetBurst(q.limit).SetIPLookups([]string{"RemoteAddr"}).SetIgnoreURL(true)
	return tollbooth.LimitHandler(l, next), nil
}

func newTimeMap(q quota, next http.Handler, _ func(func())) (http.Handler, error) {
	var mu sync.Mutex
	limiters := make(map[string]*rate.Limiter)
	allow := func(key string) bool {
		mu.Lock()
		l, ok := limiters[key]
		if !ok {
			l = rate.NewLimiter(rate.Limit(q.perSecond()), q.limit)
			limiters[key] = l
		}
		mu.Unlock()
		return l.Allow()
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, err := host(r)
		if err != nil {
			http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
			return
		}
		if !allow(key) {
			http.Error(w, http.StatusText(http.StatusTooManyRequests), http.StatusTooManyRequests)
			return
		}
		next.ServeHTTP(w, r)
	}), nil
}

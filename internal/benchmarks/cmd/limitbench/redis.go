package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
	"github.com/ulule/limiter/v3"
	"github.com/ulule/limiter/v3/drivers/middleware/stdlib"
	ulule "github.com/ulule/limiter/v3/drivers/store/redis"

	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/redisstore"
)

const (
	crowd     = 32   // clients at once, and connections
	redisKeys = 1000 // addresses that they come from

	// redisTurns are how many parts the time of a sharer in a round has, which
	// alternate with those of the others: whatever disturbs the machine disturbs
	// all of them. Of wall time with several processes the best turns of two
	// sharers say less of them than of their luck, so the goals are for what one
	// does beside the other in the median round.
	redisTurns = 10

	// hotRequests are what each client of the crowd sends from one address that
	// has used up its quota.
	hotRequests = 100

	ours, goalPeer = "gatehouse", "ulule"

	hotRow = "denied hot key"
	// hotTrips is how often ours may ask for each refusal of a hot key.
	hotTrips = 0.05
)

// A sharer is a limiter that counts in Redis. Of the contestant that it is, it
// has all but build.
type sharer struct {
	contestant
	// over puts one before next. The prefix begins every key in Redis.
	over func(rdb *redis.Client, prefix string, quotas []quota, next http.Handler) (http.Handler, error)
}

var sharers = []*sharer{ //nolint:gochecknoglobals // immutable
	{contestant{
		name: ours, fields: true, retry: inSeconds,
		setup: "ratelimit.Limiter with all limits over redisstore; it fails closed, lest something count that Redis was not asked for",
	}, overRedisstore},
	{contestant{
		name: goalPeer, peer: true, fields: true, retry: never,
		setup: "ulule/limiter/v3, stdlib middleware and Redis store, one behind the other for each limit, each with a Prefix of its own, without which they share a counter",
	}, overUlule},
	{contestant{
		name: "redis_rate", peer: true, retry: inSeconds,
		setup: "go-redis/redis_rate/v10, AllowN for each limit one after the other; it has no middleware, so this is the least that can be one",
	}, overRedisRate},
}

func overRedisstore(rdb *redis.Client, prefix string, quotas []quota, next http.Handler) (http.Handler, error) {
	store, err := redisstore.New(redisstore.Config{
		Do:      func(ctx context.Context, args ...any) (any, error) { return rdb.Do(ctx, args...).Result() },
		Prefix:  prefix,
		Timeout: 900 * time.Millisecond, // a busy machine's, not a service's
	})
	if err != nil {
		return nil, err
	}
	cfg := ratelimit.Config{Name: "api", Store: store, OnStoreFailure: ratelimit.FailClosed}
	for _, q := range quotas {
		cfg.Policies = append(cfg.Policies, ratelimit.Policy{Limit: int64(q.limit), Period: q.period})
	}
	l, err := ratelimit.New(cfg)
	if err != nil {
		return nil, err
	}
	return l.Handler(next), nil
}

func overUlule(rdb *redis.Client, prefix string, quotas []quota, next http.Handler) (http.Handler, error) {
	for i := range quotas {
		q := quotas[len(quotas)-1-i] // the first one is outermost
		store, err := ulule.NewStoreWithOptions(rdb, limiter.StoreOptions{Prefix: fmt.Sprintf("%s%v", prefix, q.period)})
		if err != nil {
			return nil, err
		}
		l := limiter.New(store, limiter.Rate{Limit: int64(q.limit), Period: q.period})
		key := stdlib.WithKeyGetter(func(r *http.Request) string { h, _ := host(r); return h }) // it has no errors
		next = stdlib.NewMiddleware(l, key).Handler(next)
	}
	return next, nil
}

func overRedisRate(rdb *redis.Client, prefix string, quotas []quota, next http.Handler) (http.Handler, error) {
	l := redis_rate.NewLimiter(rdb)
	prefixes := make([]string, len(quotas))
	limits := make([]redis_rate.Limit, len(quotas))
	for i, q := range quotas {
		prefixes[i] = fmt.Sprintf("%s%v:", prefix, q.period)
		limits[i] = redis_rate.Limit{Rate: q.limit, Burst: q.limit, Period: q.period}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, err := host(r)
		if err != nil {
			http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
			return
		}
		for i, limit := range limits {
			res, err := l.AllowN(r.Context(), prefixes[i]+key, limit, 1)
			if err != nil {
				http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
				return
			}
			if res.Allowed == 0 {
				w.Header().Set("Retry-After", strconv.Itoa(1+int(res.RetryAfter/time.Second)))
				http.Error(w, http.StatusText(http.StatusTooManyRequests), http.StatusTooManyRequests)
				return
			}
		}
		next.ServeHTTP(w, r)
	}), nil
}

// A redisRow is a situation that all sharers are measured in.
type redisRow struct {
	name   string
	limits int
	far    bool    // the Redis is 1 ms away
	times  float64 // as many requests as goalPeer ours must answer; 0: for information
}

const farAway = time.Millisecond

var redisRows = []*redisRow{ //nolint:gochecknoglobals // immutable
	{name: "3 limits", limits: 3, times: 2.5},
	{name: "3 limits +1 ms", limits: 3, far: true, times: 2.5},
	{name: "1 limit", limits: 1},
	{name: "1 limit +1 ms", limits: 1, far: true},
}

// What a service may have. All of it is more than the crowd asks for.
var redisQuotas = []quota{ //nolint:gochecknoglobals // immutable
	{10_000, time.Second}, {100_000, time.Minute}, {1_000_000, time.Hour},
}

// A pace is what a sharer does in a row.
type pace struct {
	perSecond float64 // requests answered, in its best turn
	trips     float64 // round trips for each request; 0 where they are not counted
	times     float64 // as many requests as goalPeer, in the median round
}

type paces map[key]pace

// A redisField is where sharers are measured.
type redisField struct {
	near, far *redis.Client
	proxy     *proxy
	prefix    string
	cells     map[key]*cell
	stop      func()
}

// A cell is one sharer in one row.
type cell struct {
	clients []*client
	addrs   []string
	status  int
}

// newRedisField prepares all cells on the Redis at addr, or on one that it
// starts. Call close when done.
func newRedisField(addr string) (f *redisField, err error) {
	f = &redisField{prefix: "limitbench:" + rand.Text() + ":", cells: make(map[key]*cell), stop: func() {}}
	defer func() {
		if err != nil {
			f.close()
			f = nil
		}
	}()
	if addr == "" {
		var stop func()
		if addr, stop, err = startRedis(); err != nil {
			return f, err
		}
		f.stop = stop
	}
	if f.proxy, err = newProxy(addr, farAway); err != nil {
		return f, err
	}
	f.near, f.far = newClientOf(addr), newClientOf(f.proxy.addr)
	if err := errors.Join(f.near.Ping(context.Background()).Err(), f.far.Ping(context.Background()).Err()); err != nil {
		return f, err
	}
	if err := f.check(); err != nil {
		return f, err
	}
	for _, s := range sharers {
		if err := f.addCells(s); err != nil {
			return f, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	// All have connections then, and scripts.
	for k, c := range f.cells {
		if _, _, err := c.send(func(n int) bool { return n < 10 }); err != nil {
			return f, fmt.Errorf("%s: %s %w", k.row, k.contestant, err)
		}
	}
	return f, nil
}

func (f *redisField) close() {
	for _, rdb := range []*redis.Client{f.near, f.far} {
		if rdb != nil {
			_ = rdb.Close() // nothing to do about it
		}
	}
	if f.proxy != nil {
		f.proxy.close()
	}
	f.stop()
}

// newClientOf is the same for all, and as the comment of redisstore.Config has
// it.
func newClientOf(addr string) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: addr, PoolSize: crowd, ContextTimeoutEnabled: true, MaxRetries: -1})
}

func (f *redisField) addCells(s *sharer) error {
	for _, r := range redisRows {
		rdb := f.near
		if r.far {
			rdb = f.far
		}
		addrs := make([]string, redisKeys)
		for i := range addrs {
			addrs[i] = address(i)
		}
		if err := f.addCell(s, r.name, rdb, redisQuotas[:r.limits], addrs, http.StatusOK); err != nil {
			return err
		}
	}
	quotas := append([]quota{{1, time.Hour}}, redisQuotas[:2]...)
	hot := []string{address(0)}
	if err := f.addCell(s, hotRow, f.far, quotas, hot, http.StatusTooManyRequests); err != nil {
		return err
	}
	f.cells[key{hotRow, s.name}].clients[0].send(hot[0]) // which uses the quota up
	return nil
}

func (f *redisField) addCell(s *sharer, row string, rdb *redis.Client, quotas []quota, addrs []string, status int) error {
	h, err := s.over(rdb, f.prefix+strings.ReplaceAll(s.name+":"+row+":", " ", "-"), quotas, ok)
	if err != nil {
		return err
	}
	c := &cell{make([]*client, crowd), addrs, status}
	for i := range c.clients {
		c.clients[i] = newClient(h)
	}
	f.cells[key{row, s.name}] = c
	return nil
}

// check asks every sharer whether it limits each address, with one limit and
// where that is the last of three.
func (f *redisField) check() error {
	for _, s := range sharers {
		for i, quotas := range [][]quota{
			{{2, time.Hour}},
			{{10, time.Second}, {10, time.Minute}, {2, time.Hour}},
		} {
			h, err := s.over(f.near, fmt.Sprintf("%scheck-%s-%d:", f.prefix, s.name, i), quotas, ok)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			if err := s.check(newClient(h)); err != nil {
				return fmt.Errorf("%s with %d limits %w", s.name, len(quotas), err)
			}
		}
	}
	return nil
}

// send has all clients send requests at once, each while more says so of those
// that it has sent. It returns how many there were, and how many per second: the
// sum of what each client got, since those that are done early do not count as
// waiting for the last.
func (c *cell) send(more func(sent int) bool) (requests int, perSecond float64, err error) {
	sent := make([]int, len(c.clients))
	each := make([]float64, len(c.clients))
	errs := make([]error, len(c.clients))
	var wg sync.WaitGroup
	start := time.Now()
	for i, client := range c.clients {
		wg.Go(func() {
			next := i * len(c.addrs) / len(c.clients)
			for n := 0; n == 0 || more(n); n++ {
				client.send(c.addrs[next])
				if got := client.writer.Status; got != c.status {
					errs[i] = fmt.Errorf("answered %d to %s, want %d", got, c.addrs[next], c.status)
					return
				}
				next = (next + 1) % len(c.addrs)
				sent[i]++
			}
			each[i] = float64(sent[i]) / time.Since(start).Seconds()
		})
	}
	wg.Wait()
	for i, n := range sent {
		requests += n
		perSecond += each[i]
	}
	return requests, perSecond, errors.Join(errs...)
}

// measure lets each sharer have that long in each row and round.
func (f *redisField) measure(rounds int, each time.Duration) (paces, error) {
	all := make(paces)
	requests, trips := make(map[key]int), make(map[key]int64)
	turn := func(k key, more func(int) bool) (perSecond float64, err error) {
		before := f.proxy.trips.Load()
		n, perSecond, err := f.cells[k].send(more)
		if err != nil {
			return 0, fmt.Errorf("%s: %s %w", k.row, k.contestant, err)
		}
		requests[k] += n
		trips[k] += f.proxy.trips.Load() - before
		all[k] = pace{perSecond: max(all[k].perSecond, perSecond), trips: float64(trips[k]) / float64(requests[k])}
		return perSecond, nil
	}
	times := make(map[string][]float64) // by row, in each round
	for round := range rounds {
		for _, r := range redisRows {
			runtime.GC() // nobody pays for what the last row left
			sums := make(map[string]float64)
			for i := range redisTurns * len(sharers) {
				s := sharers[(i+i/len(sharers)+round)%len(sharers)]
				end := time.Now().Add(each / redisTurns)
				perSecond, err := turn(key{r.name, s.name}, func(int) bool { return time.Now().Before(end) })
				if err != nil {
					return nil, err
				}
				sums[s.name] += perSecond
			}
			times[r.name] = append(times[r.name], sums[ours]/sums[goalPeer])
		}
		for _, s := range sharers {
			if _, err := turn(key{hotRow, s.name}, func(n int) bool { return n < hotRequests }); err != nil {
				return nil, err
			}
		}
	}
	for row, each := range times {
		p := all[key{row, ours}]
		p.times = median(each)
		all[key{row, ours}] = p
	}
	return all, nil
}

func median(all []float64) float64 {
	slices.Sort(all)
	return (all[len(all)/2] + all[(len(all)-1)/2]) / 2
}

// version is what the server says of itself. Valkey also says which Redis it is
// like.
func (f *redisField) version() (string, error) {
	info, err := f.near.Info(context.Background(), "server").Result()
	var versions []string
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "redis_version" || name == "valkey_version" {
			versions = append(versions, name+" "+value)
		}
	}
	return strings.Join(versions, ", "), err
}

// compare measures, and returns what is to be printed and what was lost.
func (f *redisField) compare(rounds int, each time.Duration) (*section, error) {
	version, err := f.version()
	if err != nil {
		return nil, err
	}
	all, err := f.measure(rounds, each)
	if err != nil {
		return nil, err
	}
	title := fmt.Sprintf("In Redis: %s, go-redis/v9, %d clients at once, %d connections, %d keys, GOMAXPROCS %d, wall time, %d rounds of %d turns of %v: the best turn, and how many times as much in the median round",
		version, crowd, crowd, redisKeys, runtime.GOMAXPROCS(0), rounds, redisTurns, each/redisTurns)
	return &section{title, all.table(), all.judge()}, nil
}

// table has all paces in cells that end with a tab.
func (all paces) table() string {
	var b strings.Builder
	b.WriteString("requests/s (round trips each)\t")
	for _, r := range redisRows {
		b.WriteString(r.name + "\t")
	}
	b.WriteString(hotRow + "\t\n")
	for _, s := range sharers {
		b.WriteString(s.name + "\t")
		for _, r := range redisRows {
			one := all[key{r.name, s.name}]
			fmt.Fprintf(&b, "%.0f", one.perSecond)
			if r.far {
				fmt.Fprintf(&b, " (%.2f)", one.trips)
			}
			b.WriteString("\t")
		}
		fmt.Fprintf(&b, "(%.4f)\t\n", all[key{hotRow, s.name}].trips)
		if s.peer {
			continue
		}
		b.WriteString("\t")
		for _, r := range redisRows {
			fmt.Fprintf(&b, "%.2f times %s\t", all[key{r.name, ours}].times, goalPeer)
		}
		b.WriteString("\t\n")
	}
	return b.String()
}

func redisGoals() (all []string) {
	for _, r := range redisRows {
		if r.times > 0 {
			all = append(all, fmt.Sprintf("Redis, %s: at least %.2f times the requests of %s", r.name, r.times, goalPeer))
		}
	}
	return append(all, fmt.Sprintf("Redis, %s: at most %.2f round trips for each request", hotRow, hotTrips))
}

func (all paces) judge() (lost []string) {
	for _, r := range redisRows {
		if times := all[key{r.name, ours}].times; times < r.times {
			lost = append(lost, fmt.Sprintf("Redis, %s: %s answers %.2f times as many requests as %s, want at least %.2f", r.name, ours, times, goalPeer, r.times))
		}
	}
	if trips := all[key{hotRow, ours}].trips; trips > hotTrips {
		lost = append(lost, fmt.Sprintf("Redis, %s: %s asks %.3f times for each request, want at most %.2f", hotRow, ours, trips, hotTrips))
	}
	return lost
}

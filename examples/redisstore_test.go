package examples_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-go/gatehouse/examples/internal/trial"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/redisstore"
)

// universalDo is redisDo for any of go-redis' clients.
func universalDo(rdb redis.UniversalClient) func(ctx context.Context, args ...any) (any, error) {
	return func(ctx context.Context, args ...any) (any, error) { return rdb.Do(ctx, args...).Result() }
}

func newLimitStore(t *testing.T, do func(ctx context.Context, args ...any) (any, error), prefix string) *redisstore.Store {
	t.Helper()
	s, err := redisstore.New(redisstore.Config{Do: do, Prefix: prefix, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newLimiter(t *testing.T, cfg ratelimit.Config) *ratelimit.Limiter {
	t.Helper()
	l, err := ratelimit.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// limitServers are what the tests run with, where they are.
var limitServers = []string{"redis-server", "valkey-server"}

// serverAddr is the address of a server that ends with the test.
func serverAddr(t *testing.T, name string, args ...string) string {
	t.Helper()
	addr, stop := trial.StartRedis(t, trial.RedisBinary(t, name), args...)
	t.Cleanup(stop)
	return addr
}

// reserved is the policies as a Store gets them.
func reserved(key string, cost int64, policies ...ratelimit.Policy) []ratelimit.Request {
	reqs := make([]ratelimit.Request, len(policies))
	for i, p := range policies {
		p.Burst = p.Limit
		reqs[i] = ratelimit.Request{Key: key, Policy: p, Cost: cost}
	}
	return reqs
}

// Faults: of 1000 on one key throttled's Redis store admitted 614 and failed
// for thousands; a limiter of windows admits twice the limit.
func TestRedisLimitHotKey(t *testing.T) {
	t.Parallel()
	for _, server := range limitServers {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			addr := serverAddr(t, server)
			rdb := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true, MaxRetries: -1})
			defer func() { _ = rdb.Close() }()
			var commands atomic.Int64
			do := func(ctx context.Context, args ...any) (any, error) {
				commands.Add(1)
				return rdb.Do(ctx, args...).Result()
			}
			policies := []ratelimit.Policy{
				{Name: "day", Limit: 1000, Period: 24 * time.Hour},
				{Name: "week", Limit: 2000, Period: 7 * 24 * time.Hour},
				{Name: "exact", Limit: 100, Period: time.Hour, Exact: true},
			}
			for _, tt := range []struct {
				name     string
				policies []ratelimit.Policy
				want     int64
			}{
				{"one", policies[:1], 1000},
				{"two", policies[:2], 1000},
				{"exact too", policies, 100},
			} {
				store := newLimitStore(t, do, "test-"+rand.Text()+":")
				if _, err := store.Take(t.Context(), nil, reserved("k", 0, tt.policies...)); err != nil { // the server may not know the script
					t.Fatal(err)
				}
				commands.Store(0)
				var admitted, failed atomic.Int64
				var wg sync.WaitGroup
				for range 100 {
					wg.Go(func() {
						for range 40 {
							results, err := store.Take(t.Context(), nil, reserved("k", 1, tt.policies...))
							ok := err == nil
							for _, r := range results {
								ok = ok && r.OK
							}
							if ok {
								admitted.Add(1)
							}
							if err != nil {
								failed.Add(1)
							}
						}
					})
				}
				wg.Wait()
				if admitted.Load() != tt.want || failed.Load() != 0 {
					t.Errorf("%s: %d of 4000 admitted and %d failed, want %d and 0", tt.name, admitted.Load(), failed.Load(), tt.want)
				}
				if got := commands.Load(); got != 4000 {
					t.Errorf("%s: %d round trips for 4000 requests", tt.name, got)
				}
			}
		})
	}
}

// One round trip for each Take, of 1 to 8 limits, as the server counts them.
func TestRedisLimitRoundTrips(t *testing.T) {
	t.Parallel()
	addr := serverAddr(t, "redis-server") // nobody else's, for its statistics
	rdb := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true, MaxRetries: -1})
	defer func() { _ = rdb.Close() }()
	processed := func() (n int) {
		info, err := rdb.Info(t.Context(), "commandstats").Result()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(info) { // those within scripts are no round trips
			var calls int
			if name, rest, ok := strings.Cut(line, ":calls="); ok && (name == "cmdstat_evalsha" || name == "cmdstat_eval") {
				if _, err := fmt.Sscan(strings.Replace(rest, ",", " ", 1), &calls); err != nil {
					t.Fatal(err)
				}
				n += calls
			}
		}
		return n
	}
	store := newLimitStore(t, redisDo(rdb), "")
	var policies []ratelimit.Policy
	for n := 1; n <= 8; n++ {
		policies = append(policies, ratelimit.Policy{Name: fmt.Sprint("p", n), Limit: 100, Period: time.Hour})
		if _, err := store.Take(t.Context(), nil, reserved("k", 1, policies...)); err != nil {
			t.Fatal(err)
		}
		before := processed()
		for range 50 {
			if _, err := store.Take(t.Context(), nil, reserved("k", 1, policies...)); err != nil {
				t.Fatal(err)
			}
		}
		if got := processed() - before; got != 50 {
			t.Errorf("%d limits: %d round trips for 50 requests", n, got)
		}
	}
	keys, err := rdb.Keys(t.Context(), "*").Result()
	if err != nil || len(keys) != 1 || keys[0] != "gatehouse:limit:{}k" {
		t.Errorf("keys = %q, %v, want one", keys, err)
	}
}

// Two instances of a service share one quota, and say the same of it.
func TestRedisLimitIsShared(t *testing.T) {
	t.Parallel()
	for _, server := range limitServers {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			addr := serverAddr(t, server)
			prefix := "test-" + rand.Text() + ":"
			instances := make([]http.Handler, 0, 2)
			for range 2 {
				rdb := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true, MaxRetries: -1})
				defer func() { _ = rdb.Close() }()
				l := newLimiter(t, ratelimit.Config{
					Name: "api", Limits: []string{"4 per hour; 100-D"}, Store: newLimitStore(t, redisDo(rdb), prefix), OnStoreFailure: ratelimit.FailClosed,
				})
				instances = append(instances, l.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })))
			}
			for i, want := range []string{`204 "api-hour";r=3`, `204 "api-hour";r=2`, `204 "api-hour";r=1`, `204 "api-hour";r=0`, `429 "api-hour";r=0`} {
				w := httptest.NewRecorder()
				instances[i%2].ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
				field, _, _ := strings.Cut(w.Header().Get("RateLimit"), ";t=")
				if got := fmt.Sprint(w.Code, " ", field); got != want {
					t.Errorf("request %d: %s, want %s", i, got, want)
				}
				if (i == 4) != (w.Header().Get("Retry-After") != "") {
					t.Errorf("request %d: Retry-After = %q", i, w.Header().Get("Retry-After"))
				}
			}
		})
	}
}

// Fault: other stores cannot be made while their Redis is down. When it is up,
// it counts.
func TestRedisLimitStartsWithRedisDown(t *testing.T) {
	t.Parallel()
	binary := trial.RedisBinary(t, "redis-server")
	addr := trial.FreeAddr(t)
	rdb := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true, MaxRetries: -1})
	defer func() { _ = rdb.Close() }()
	limiter := newLimiter(t, ratelimit.Config{Name: "api", Limits: []string{"3-D"}, Store: newLimitStore(t, redisDo(rdb), "")})
	r, err := limiter.Take(t.Context(), "k", 1)
	if err != nil || !r.OK || !r.Degraded {
		t.Errorf("down: Take = %+v, %v, want it admitted by this process", r, err)
	}
	stop := trial.StartRedisAt(t, binary, addr)
	if stop == nil {
		t.Skip("somebody took the port: not tested is a Redis that comes up later")
	}
	defer stop()
	for range 100 { // the limiter asks again after a while
		if r, err = limiter.Take(t.Context(), "k", 0); err == nil && !r.Degraded {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if r.Degraded || r.Remaining != 3 {
		t.Errorf("up: Take = %+v, want what Redis says", r)
	}
}

// Fault: a command that is sent again after a timeout counts twice. The answer
// is late here, and by then nobody waits for it.
func TestRedisLimitTimeoutIsNotRepeated(t *testing.T) {
	t.Parallel()
	addr := serverAddr(t, "redis-server")
	p := startProxy(t, addr)
	// The client gives up while the Store would still wait.
	rdb := redis.NewClient(&redis.Options{Addr: p.addr, ContextTimeoutEnabled: true, MaxRetries: -1, ReadTimeout: 500 * time.Millisecond})
	defer func() { _ = rdb.Close() }()
	direct := redis.NewClient(&redis.Options{Addr: addr})
	defer func() { _ = direct.Close() }()
	store := newLimitStore(t, redisDo(rdb), "")
	policy := ratelimit.Policy{Name: "day", Limit: 10, Period: 24 * time.Hour}
	if _, err := store.Take(t.Context(), nil, reserved("k", 1, policy)); err != nil {
		t.Fatal(err)
	}
	p.mute.Store(true) // commands still arrive
	if results, err := store.Take(t.Context(), nil, reserved("k", 1, policy)); !isTimeout(err) {
		t.Errorf("Take = %v, %v, want a timeout", results, err)
	}
	p.mute.Store(false)
	check := newLimitStore(t, redisDo(direct), "")
	var left int64
	eventually(t, "what was sent does not arrive", func() bool {
		results, err := check.Take(t.Context(), nil, reserved("k", 0, policy))
		if err != nil {
			t.Fatal(err)
		}
		left = results[0].Remaining
		return left < 9
	})
	if left != 8 {
		t.Errorf("after one answered and one timed out %d of 10 are left, want 8", left)
	}
	if got := p.commands.Load(); got != 3 { // EVALSHA, EVAL and one EVALSHA
		t.Errorf("%d commands, want 3", got)
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &ne) && ne.Timeout()
}

// A proxy passes a Redis on, and may keep the answers to scripts.
type proxy struct {
	addr     string
	mute     atomic.Bool
	commands atomic.Int64 // of scripts
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	p := &proxy{addr: l.Addr().String()}
	ctx := t.Context()
	go func() {
		for {
			down, err := l.Accept()
			if err != nil {
				return
			}
			up, err := (&net.Dialer{}).DialContext(ctx, "tcp", target)
			if err != nil {
				_ = down.Close()
				return
			}
			var asked atomic.Bool // no handshake
			go p.pass(up, down, func(b string) bool {
				if n := strings.Count(b, "EVAL"); n > 0 { // loopback keeps a command in one piece
					p.commands.Add(int64(n))
					asked.Store(true)
				}
				return true
			})
			go p.pass(down, up, func(string) bool { return !p.mute.Load() || !asked.Load() })
		}
	}()
	return p
}

func (p *proxy) pass(to, from net.Conn, allowed func(string) bool) {
	defer func() { _, _ = to.Close(), from.Close() }()
	b := make([]byte, 1<<16)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		if allowed(string(b[:n])) {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
	}
}

// A period of a millisecond is over after one, and leaves nothing behind.
func TestRedisLimitOfAMillisecond(t *testing.T) {
	t.Parallel()
	for _, server := range limitServers {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			addr := serverAddr(t, server)
			rdb := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true, MaxRetries: -1})
			defer func() { _ = rdb.Close() }()
			prefix := "test-" + rand.Text() + ":"
			store := newLimitStore(t, redisDo(rdb), prefix)
			for _, exact := range []bool{false, true} {
				policy := ratelimit.Policy{Name: "ms", Limit: 1, Period: time.Millisecond, Exact: exact}
				for i := range 50 {
					results, err := store.Take(t.Context(), nil, reserved("k", 1, policy))
					if err != nil {
						t.Fatal(err)
					}
					if i == 0 && !results[0].OK {
						t.Fatal("the first is refused")
					}
					if results[0].RetryAfter > time.Millisecond {
						t.Fatalf("RetryAfter = %v", results[0].RetryAfter)
					}
					if !results[0].OK {
						continue
					}
					time.Sleep(results[0].RetryAfter)
					if again, err := store.Take(t.Context(), nil, reserved("k", 1, policy)); err != nil || !again[0].OK {
						t.Fatalf("after RetryAfter: %+v, %v, want admitted", again, err)
					}
				}
				if ttl, err := rdb.PTTL(t.Context(), prefix+"limit:{}k").Result(); err != nil || ttl <= 0 || ttl > time.Second+2*time.Millisecond {
					t.Errorf("the key lives for %v, %v, want about a second", ttl, err)
				}
			}
		})
	}
}

// TestRedisLimitKillAndRestart: under load, while Redis ends and comes back,
// nothing fails but over to local limits, and the shared ones hold again.
func TestRedisLimitKillAndRestart(t *testing.T) {
	t.Parallel()
	binary := trial.RedisBinary(t, "redis-server")
	addr, stop := trial.StartRedis(t, binary)
	rdb := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true, MaxRetries: -1})
	defer func() { _ = rdb.Close() }()
	l := newLimiter(t, ratelimit.Config{Name: "api", Limits: []string{"50-D"}, Key: ratelimit.ByHeader("K"), Store: newLimitStore(t, redisDo(rdb), "")})
	h := l.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	get := func(key string) int {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Header.Set("K", key)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	done := make(chan struct{})
	var odd atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				if code := get(fmt.Sprint(i, n%10)); code != http.StatusNoContent && code != http.StatusTooManyRequests {
					odd.Add(1)
				}
			}
		})
	}
	time.Sleep(200 * time.Millisecond)
	stop()
	time.Sleep(300 * time.Millisecond)
	if stop = trial.StartRedisAt(t, binary, addr); stop == nil {
		close(done)
		wg.Wait()
		t.Skip("somebody took the port: not tested is a Redis that comes back")
	}
	defer stop()
	shared := false
	for range 200 {
		if r, err := l.Take(t.Context(), "fresh", 0); err == nil && !r.Degraded {
			shared = true
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	close(done)
	wg.Wait()
	if !shared {
		t.Error("the limits do not come back")
	}
	if n := odd.Load(); n != 0 {
		t.Errorf("%d answers were neither 204 nor 429", n)
	}
	admitted := 0
	for range 100 {
		if get("another") == http.StatusNoContent {
			admitted++
		}
	}
	if admitted != 50 {
		t.Errorf("%d admitted of a fresh client, want 50", admitted)
	}
}

// cli sends one command, whose reply is of no interest.
func cli(ctx context.Context, addr string, args ...any) error {
	rdb := redis.NewClient(&redis.Options{Addr: addr})
	defer func() { _ = rdb.Close() }()
	return rdb.Do(ctx, args...).Err()
}

// eventually calls f until it is true, and says what is not after 30 s.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for range 600 {
		if f() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal(what)
}

// TestRedisLimitCluster: three nodes, no replicas. Each client's key is on one
// of them, whatever its name.
func TestRedisLimitCluster(t *testing.T) {
	t.Parallel()
	addrs := make([]string, 0, 3)
	for range 3 {
		// The nodes speak to each other on another port, by default 10,000
		// above, which not every port has.
		_, bus, _ := strings.Cut(trial.FreeAddr(t), ":")
		addrs = append(addrs, serverAddr(t, "redis-server",
			"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "5000", "--cluster-port", bus))
	}
	for i, slots := range [][2]int{{0, 5460}, {5461, 10922}, {10923, 16383}} {
		if err := cli(t.Context(), addrs[i], "CLUSTER", "ADDSLOTSRANGE", slots[0], slots[1]); err != nil {
			t.Fatal(err)
		}
	}
	for _, addr := range addrs[1:] {
		info, err := clusterPort(t.Context(), addr)
		if err != nil {
			t.Fatal(err)
		}
		host, port, _ := strings.Cut(addr, ":")
		if err := cli(t.Context(), addrs[0], "CLUSTER", "MEET", host, port, info); err != nil {
			t.Fatal(err)
		}
	}
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, ContextTimeoutEnabled: true})
	defer func() { _ = rdb.Close() }()
	for _, addr := range addrs {
		eventually(t, "the cluster does not form", func() bool {
			node := redis.NewClient(&redis.Options{Addr: addr})
			defer func() { _ = node.Close() }()
			info, err := node.ClusterInfo(t.Context()).Result()
			return err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3")
		})
	}

	store := newLimitStore(t, universalDo(rdb), "")
	policies := []ratelimit.Policy{
		{Name: "hour", Limit: 5, Period: time.Hour},
		{Name: "exact", Limit: 3, Period: time.Hour, Exact: true},
		{Name: "guess", Limit: 4, Period: time.Hour, Backoff: 2 * time.Hour},
	}
	for i := range 60 { // {x} would be one hash tag for all
		key := fmt.Sprintf("api:{x}%d", i)
		for n := range 4 {
			results, err := store.Take(t.Context(), nil, reserved(key, 1, policies...))
			if err != nil {
				t.Fatal(err)
			}
			if ok := results[1].OK; ok != (n < 3) {
				t.Fatalf("%s: request %d: %+v", key, n, results)
			}
		}
	}
	for _, addr := range addrs {
		node := redis.NewClient(&redis.Options{Addr: addr})
		defer func() { _ = node.Close() }()
		keys, err := node.Keys(t.Context(), "*").Result()
		if err != nil || len(keys) < 5 {
			t.Errorf("%s has %d of 60 clients, %v: want them spread", addr, len(keys), err)
		}
		for _, key := range keys {
			if ttl, err := node.PTTL(t.Context(), key).Result(); err != nil || ttl <= 0 {
				t.Errorf("%s lives for %v, %v", key, ttl, err)
			}
		}
	}
	var admitted, failed atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 10 {
				results, err := store.Take(t.Context(), nil, reserved("hot", 1, ratelimit.Policy{Name: "day", Limit: 100, Period: 24 * time.Hour}))
				if err != nil {
					failed.Add(1)
				} else if results[0].OK {
					admitted.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if admitted.Load() != 100 || failed.Load() != 0 {
		t.Errorf("%d of 500 admitted and %d failed, want 100 and 0", admitted.Load(), failed.Load())
	}
}

// clusterPort is the port on which a node speaks to others.
func clusterPort(ctx context.Context, addr string) (string, error) {
	rdb := redis.NewClient(&redis.Options{Addr: addr})
	defer func() { _ = rdb.Close() }()
	conf, err := rdb.ConfigGet(ctx, "cluster-port").Result()
	if err == nil && conf["cluster-port"] == "" {
		err = io.ErrUnexpectedEOF
	}
	return conf["cluster-port"], err
}

// TestRedisLimitFailover: the master ends, its replica takes over, and limits
// go on, in between as OnStoreFailure says.
func TestRedisLimitFailover(t *testing.T) {
	t.Parallel()
	binary := trial.RedisBinary(t, "redis-server")
	master, kill := trial.StartRedis(t, binary)
	defer kill()
	host, port, _ := strings.Cut(master, ":")
	replica := serverAddr(t, "redis-server", "--replicaof", host+" "+port)
	eventually(t, "the replica does not follow", func() bool {
		rdb := redis.NewClient(&redis.Options{Addr: replica})
		defer func() { _ = rdb.Close() }()
		info, err := rdb.Info(t.Context(), "replication").Result()
		return err == nil && strings.Contains(info, "master_link_status:up")
	})
	sentinel := startSentinel(t, binary, master)
	rdb := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: "m", SentinelAddrs: []string{sentinel}, ContextTimeoutEnabled: true, MaxRetries: -1,
	})
	defer func() { _ = rdb.Close() }()
	store, err := redisstore.New(redisstore.Config{Do: universalDo(rdb), Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	l := newLimiter(t, ratelimit.Config{Name: "api", Limits: []string{"5-D"}, Store: store})
	take := func(key string, cost int64) ratelimit.Result {
		t.Helper()
		r, err := l.Take(t.Context(), key, cost)
		if err != nil {
			t.Fatalf("Take: %v: no error may get through", err)
		}
		return r
	}
	if r := take("k", 3); r.Remaining != 2 || r.Degraded {
		t.Fatalf("before: %+v, want 2 left", r)
	}
	if err := cli(t.Context(), master, "WAIT", 1, 5000); err != nil { // the replica has it
		t.Fatal(err)
	}
	kill()
	degraded := false
	eventually(t, "the replica does not take over", func() bool {
		r := take("k", 0)
		degraded = degraded || r.Degraded
		return !r.Degraded
	})
	if !degraded {
		t.Error("nobody noticed that the master was gone")
	}
	if r := take("k", 0); r.Remaining != 2 {
		t.Errorf("after: %+v, want 2 left as before", r)
	}
	take("k", 2)
	if r := take("k", 1); r.OK {
		t.Errorf("after: %+v, want it refused", r)
	}
}

func startSentinel(t *testing.T, binary, master string) string {
	t.Helper()
	host, port, _ := strings.Cut(master, ":")
	conf := t.TempDir() + "/sentinel.conf"
	if err := os.WriteFile(conf, fmt.Appendf(nil,
		"sentinel monitor m %s %s 1\nsentinel down-after-milliseconds m 500\nsentinel failover-timeout m 5000\n", host, port), 0o600); err != nil {
		t.Fatal(err)
	}
	addr, stop := trial.StartRedis(t, binary, conf, "--sentinel")
	t.Cleanup(stop)
	rdb := redis.NewSentinelClient(&redis.Options{Addr: addr})
	defer func() { _ = rdb.Close() }()
	eventually(t, "the sentinel does not know the replica", func() bool {
		replicas, err := rdb.Replicas(t.Context(), "m").Result()
		return err == nil && len(replicas) == 1
	})
	return addr
}

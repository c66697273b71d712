package redisstore_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/redisstore"
)

// A server is a Redis on a socket of its own, as tests speak to it: one command
// after the other. What clients make of it is tested in the examples module.
type server struct {
	mu   sync.Mutex
	conn net.Conn
	r    *bufio.Reader
}

// servers are what the tests run with, where they are.
var servers = []string{"redis-server", "valkey-server"}

func newServer(t *testing.T, name string) *server {
	t.Helper()
	binary, err := exec.LookPath(name)
	if err != nil {
		left := "no " + name + ": not tested is what it makes of the script"
		if os.Getenv("CI") == "true" {
			t.Fatal(left)
		}
		t.Skip(left)
	}
	dir, err := os.MkdirTemp("", "redis") //nolint:usetesting // its name is too long for a socket's
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // killed
	}()
	t.Cleanup(func() { cancel(); <-ended })
	for range 200 {
		var d net.Dialer
		if conn, err := d.DialContext(t.Context(), "unix", socket); err == nil {
			t.Cleanup(func() { _ = conn.Close() })
			return &server{conn: conn, r: bufio.NewReader(conn)}
		}
		select {
		case <-ended:
			t.Fatal(name + " does not start")
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Fatal(name + " does not answer")
	return nil
}

// do is what a Store takes.
func (s *server) do(ctx context.Context, args ...any) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	end, _ := ctx.Deadline()
	if err := s.conn.SetDeadline(end); err != nil {
		return nil, err
	}
	b := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, a := range args {
		text := fmt.Sprint(a)
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(text), text)
	}
	if _, err := s.conn.Write(b); err != nil {
		return nil, err
	}
	return s.reply()
}

func (s *server) reply() (any, error) {
	line, err := s.r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimSuffix(line, "\r\n")
	switch line[0] {
	case '+':
		return line[1:], nil
	case '-':
		return nil, errors.New(line[1:])
	}
	n, err := strconv.ParseInt(line[1:], 10, 64)
	if err != nil || line[0] == ':' || n < 0 {
		return n, err
	}
	if line[0] == '$' {
		b := make([]byte, n+2)
		_, err := io.ReadFull(s.r, b)
		return string(b[:n]), err
	}
	list := make([]any, n)
	for i := range list {
		if list[i], err = s.reply(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// must sends a command that cannot fail.
func (s *server) must(t *testing.T, args ...any) any {
	t.Helper()
	reply, err := s.do(t.Context(), args...)
	if err != nil {
		t.Fatalf("%.60v: %v", args, err)
	}
	return reply
}

// life is how long a key lives in ms; what Redis says of keys that are not
// there or live for ever is a failure.
func (s *server) life(t *testing.T, key string) int64 {
	t.Helper()
	ms, _ := s.must(t, "PTTL", key).(int64)
	if ms < 0 {
		t.Fatalf("PTTL %q = %d, want a key with an end", key, ms)
	}
	return ms
}

// A clock is the time of a server, set by a test. It begins in 2026.
type clock struct{ us int64 }

func newClock() *clock { return &clock{1_795_000_000_123_457} }

func (c *clock) pass(d time.Duration) { c.us += d.Microseconds() }

// lag keeps keys from ending by the server's own clock, in ms.
const lag = 1_000_000_000

// at returns a store with a clock of the test's: the script is the same but
// for where the time comes from, and how long the key lives.
func (s *server) at(t *testing.T, c *clock) *redisstore.Store {
	t.Helper()
	store := newStore(t, redisstore.Config{Timeout: 10 * time.Second, Do: func(ctx context.Context, args ...any) (any, error) {
		return s.do(ctx, append(args, c.us/1_000_000, c.us%1_000_000)...)
	}})
	store.Use(func(plain int, text string) string {
		ways := 0
		if plain > 0 {
			ways = 1
		}
		for _, r := range []struct {
			was, is string
			times   int
		}{
			{"redis.call('TIME')", "{ARGV[#ARGV - 1], ARGV[#ARGV]}", 1},
			{"math.ceil(", strconv.Itoa(lag) + " + math.ceil(", 2 + ways},
			{"ends - now > longest / 1000", "false", ways}, // the server's clock does not pass
		} {
			if got := strings.Count(text, r.was); got != r.times {
				t.Fatalf("%q is %d times in the script for %d, want %d", r.was, got, plain, r.times)
			}
			text = strings.ReplaceAll(text, r.was, r.is)
		}
		return text
	})
	return store
}

func newStore(tb testing.TB, cfg redisstore.Config) *redisstore.Store {
	tb.Helper()
	s, err := redisstore.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// requests asks the policies for the same cost. Bursts are filled in.
func requests(key string, cost int64, policies ...ratelimit.Policy) []ratelimit.Request {
	reqs := make([]ratelimit.Request, len(policies))
	for i, p := range policies {
		if p.Burst == 0 {
			p.Burst = p.Limit
		}
		reqs[i] = ratelimit.Request{Key: key, Policy: p, Cost: cost}
	}
	return reqs
}

// take is a Take that cannot fail.
func take(t *testing.T, s ratelimit.Store, key string, cost int64, policies ...ratelimit.Policy) []ratelimit.Result {
	t.Helper()
	results, err := s.Take(t.Context(), nil, requests(key, cost, policies...))
	if err != nil {
		t.Fatalf("Take(%q, %d): %v", key, cost, err)
	}
	return results
}

// fresh is a key that no other test has.
func fresh() string { return "test:" + rand.Text() }

// redisKey is where a Store with the default Prefix keeps a client.
func redisKey(key string) string { return "gatehouse:limit:{}" + key }

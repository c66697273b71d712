package trial

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// RedisAddr is the address of a Redis: the one that REDIS_ADDR names, or one
// that ends with the test.
func RedisAddr(t *testing.T) string {
	t.Helper()
	if addr := os.Getenv("REDIS_ADDR"); addr != "" {
		return addr
	}
	addr, stop := StartRedis(t, RedisBinary(t, "redis-server"))
	t.Cleanup(stop)
	return addr
}

// RedisBinary is where a server of that name is. Where there is none the test is
// skipped, and under CI it fails.
func RedisBinary(t *testing.T, name string) string {
	t.Helper()
	binary, err := exec.LookPath(name)
	if err != nil {
		left := "no " + name + ": not tested is what it makes of the stores' commands"
		if os.Getenv("CI") == "true" {
			t.Fatal(left)
		}
		t.Skip(left)
	}
	return binary
}

// StartRedis starts a server on a port that is free.
func StartRedis(t *testing.T, binary string, args ...string) (addr string, stop func()) {
	t.Helper()
	for range 3 { // somebody may take the port in between
		addr = FreeAddr(t)
		if stop = StartRedisAt(t, binary, addr, args...); stop != nil {
			return addr, stop
		}
	}
	t.Fatal(binary + " does not start")
	return "", nil
}

// FreeAddr is an address of this machine that nobody listens on.
func FreeAddr(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// StartRedisAt returns no stop if the server does not come up.
func StartRedisAt(t *testing.T, binary, addr string, args ...string) (stop func()) {
	t.Helper()
	_, port, _ := strings.Cut(addr, ":")
	ctx, cancel := context.WithCancel(context.Background())
	args = append(args, "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	cmd := exec.CommandContext(ctx, binary, args...) //nolint:gosec // a server that the test asked for
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // killed
	}()
	stop = func() { cancel(); <-ended }
	rdb := redis.NewClient(&redis.Options{Addr: addr})
	defer func() { _ = rdb.Close() }()
	for range 200 {
		if rdb.Ping(t.Context()).Err() == nil {
			return stop
		}
		select {
		case <-ended:
		case <-time.After(50 * time.Millisecond):
			continue
		}
		break
	}
	stop()
	return nil
}

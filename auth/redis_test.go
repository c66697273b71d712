package auth_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/principal"
)

// A fakeRedis does what the stores ask of Redis, by the form of the commands.
// What Redis itself makes of them is tested in examples/redis_test.go.
type fakeRedis struct {
	mu       sync.Mutex
	keys     map[string]time.Time
	commands [][]any
	deadline time.Duration // of the last call
}

func (f *fakeRedis) do(ctx context.Context, args ...any) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commands = append(f.commands, args)
	if d, ok := ctx.Deadline(); ok {
		f.deadline = time.Until(d)
	}
	if f.keys == nil {
		f.keys = make(map[string]time.Time)
	}
	there := func(key string) bool { return time.Now().Before(f.keys[key]) }
	flag := func(b bool) (any, error) {
		if b {
			return int64(1), nil
		}
		return int64(0), nil
	}
	if len(args) == 2 && args[0] == "EXISTS" {
		key, _ := args[1].(string)
		return flag(there(key))
	}
	script, key, end := "", "", time.Time{}
	if len(args) == 5 && args[0] == "EVAL" && args[2] == int64(1) {
		script, _ = args[1].(string)
		key, _ = args[3].(string)
		ms, _ := args[4].(int64)
		end = time.UnixMilli(time.Now().UnixMilli() + ms) // a Duration would overflow
	}
	switch {
	case strings.Contains(script, "'NX'"):
		first := !there(key)
		if first {
			f.keys[key] = end
		}
		return flag(first)
	case strings.Contains(script, "'PTTL'"):
		if f.keys[key].Before(end) {
			f.keys[key] = end
		}
		return flag(true)
	}
	return nil, fmt.Errorf("unknown command %v", args)
}

func newRedisReplay(tb testing.TB, cfg auth.RedisConfig) *auth.RedisReplay {
	tb.Helper()
	s, err := auth.NewRedisReplay(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func newRedisRevocations(tb testing.TB, cfg auth.RedisConfig) *auth.RedisRevocations {
	tb.Helper()
	v, err := auth.NewRedisRevocations(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// TestRedisReplay: two instances share what they know.
func TestRedisReplay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var redis fakeRedis
		s := signerFor("ES256")
		cfg := auth.DPoPConfig{Replay: newRedisReplay(t, auth.RedisConfig{Do: redis.do})}
		d, twin := newDPoP(t, cfg), newDPoP(t, cfg)
		proof := s.proof(t, nil, object{"jti": "secret-id"})
		wantProof(t, "first", prove(t, d, s, proof), "")
		wantProof(t, "at the other instance", prove(t, twin, s, proof), auth.ReasonReplay)
		if got := len(redis.commands); got != 2 {
			t.Errorf("%d commands, want one for each", got)
		}
		for key, end := range redis.keys {
			// the life of a proof, and a minute since clocks differ
			if got := time.Until(end); got < 150*time.Second || got > 151*time.Second {
				t.Errorf("the key stays for %v, want 150 s", got)
			}
			if !strings.HasPrefix(key, "gatehouse:dpop:") || len(key) != len("gatehouse:dpop:")+43 || strings.Contains(key, "secret") {
				t.Errorf("key = %q, want a prefix and a hash", key)
			}
		}
		if redis.deadline != 250*time.Millisecond {
			t.Errorf("deadline in %v, want 250 ms", redis.deadline)
		}
	})
}

func TestRedisRevocations(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var redis fakeRedis
		v := newRedisRevocations(t, auth.RedisConfig{Do: redis.do, Prefix: "shop:", Timeout: time.Second})
		revoke := func(tokenID string, until time.Time) {
			t.Helper()
			if err := v.Revoke(t.Context(), "a", tokenID, until); err != nil {
				t.Fatal(err)
			}
		}
		begin := time.Now()
		checkRevoked(t, "empty", v, "a", "1", false)
		revoke("1", begin.Add(time.Minute))
		revoke("2", begin.Add(time.Hour))
		revoke("2", begin.Add(time.Minute))
		revoke("9", time.Unix(253402300799, 0))
		checkRevoked(t, "revoked", v, "a", "1", true)
		checkRevoked(t, "another issuer", v, "b", "1", false)
		checkRevoked(t, "names joined otherwise", v, "a1:", "1", false)
		time.Sleep(6 * time.Minute)
		checkRevoked(t, "within a minute more", v, "a", "1", true)
		time.Sleep(time.Minute + time.Second)
		checkRevoked(t, "over", v, "a", "1", false)
		checkRevoked(t, "twice", v, "a", "2", true)
		time.Sleep(100 * 365 * 24 * time.Hour)
		checkRevoked(t, "until the year 9999", v, "a", "9", true)
		for key := range redis.keys {
			if !strings.HasPrefix(key, "shop:revoked:") {
				t.Errorf("key = %q, want the prefix", key)
			}
		}
		if redis.deadline != time.Second {
			t.Errorf("deadline in %v, want 1 s", redis.deadline)
		}
	})
}

// TestRedisReplies: what is not a plain 0 or 1 is no answer.
func TestRedisReplies(t *testing.T) {
	t.Parallel()
	named := &principal.Principal{Issuer: "a", Subject: "b", TokenID: "1"}
	failure := &foreignError{}
	for _, tt := range []struct {
		reply any
		err   error
		ok    bool
		want  bool
	}{
		{int64(1), nil, true, true},
		{int64(0), nil, true, false},
		{1, nil, true, true},
		{0, nil, true, false},
		{int64(2), nil, false, false},
		{int64(-1), nil, false, false},
		{uint64(1), nil, false, false},
		{float64(1), nil, false, false},
		{true, nil, false, false},
		{"1", nil, false, false},
		{"OK", nil, false, false},
		{[]byte("1"), nil, false, false},
		{[]any{int64(1)}, nil, false, false},
		{map[any]any{}, nil, false, false},
		{nil, nil, false, false},
		{errors.New("a reply"), nil, false, false},
		{int64(1), failure, false, false},
		{int64(0), context.DeadlineExceeded, false, false},
	} {
		cfg := auth.RedisConfig{Do: func(context.Context, ...any) (any, error) { return tt.reply, tt.err }}
		for name, ask := range map[string]func() (bool, error){
			"Use": func() (bool, error) {
				return newRedisReplay(t, cfg).Use(t.Context(), "owner", "id", time.Now().Add(time.Minute))
			},
			"Revoked": func() (bool, error) { return newRedisRevocations(t, cfg).Revoked(t.Context(), named) },
		} {
			got, err := ask()
			if got != tt.want || (err == nil) != tt.ok || tt.err != nil && !errors.Is(err, tt.err) {
				t.Errorf("%s after %T %v, %v: %t, %v; want %t, error: %t", name, tt.reply, tt.reply, tt.err, got, err, tt.want, !tt.ok)
			}
		}
		err := newRedisRevocations(t, cfg).Revoke(t.Context(), "a", "1", time.Now().Add(time.Minute))
		if (err == nil) != (tt.ok && tt.want) {
			t.Errorf("Revoke after %T %v, %v: %v", tt.reply, tt.reply, tt.err, err)
		}
	}
}

// TestRedisTimeout: a Redis that does not answer holds nobody up, and lets
// nobody in.
func TestRedisTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := func(ctx context.Context, _ ...any) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		s := signerFor("EdDSA")
		d := newDPoP(t, auth.DPoPConfig{Replay: newRedisReplay(t, auth.RedisConfig{Do: hang, Timeout: 2 * time.Second})})
		begin := time.Now()
		wantProof(t, "hanging", prove(t, d, s, s.proof(t, nil, nil)), auth.ReasonUnavailable)
		if got := time.Since(begin); got != 2*time.Second {
			t.Errorf("took %v, want the Timeout", got)
		}
	})
}

func TestRedisConfig(t *testing.T) {
	t.Parallel()
	do := new(fakeRedis).do
	for _, tt := range []struct {
		name string
		cfg  auth.RedisConfig
		want string
	}{
		{"good", auth.RedisConfig{Do: do, Prefix: strings.Repeat("x", 64), Timeout: 10 * time.Second}, ""},
		{
			"bad",
			auth.RedisConfig{Prefix: "a b", Timeout: -1},
			"auth: Do is nil, want a function that asks Redis\nauth: Prefix is \"a b\", want at most 64 printable ASCII characters\nauth: Timeout is -1ns, want 0 to 10s",
		},
		{
			"too much",
			auth.RedisConfig{Do: do, Prefix: strings.Repeat("x", 65), Timeout: 11 * time.Second},
			"auth: Prefix is \"" + strings.Repeat("x", 65) + "\", want at most 64 printable ASCII characters\nauth: Timeout is 11s, want 0 to 10s",
		},
	} {
		s, err1 := auth.NewRedisReplay(tt.cfg)
		v, err2 := auth.NewRedisRevocations(tt.cfg)
		for _, err := range []error{err1, err2} {
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
			}
		}
		if (s == nil) != (tt.want != "") || (v == nil) != (tt.want != "") {
			t.Errorf("%s: %v, %v beside the errors", tt.name, s, v)
		}
	}
}

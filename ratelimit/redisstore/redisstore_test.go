package redisstore_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/report"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/redisstore"
)

var perMinute = ratelimit.Policy{Name: "minute", Limit: 5, Period: time.Minute, Burst: 5}

// A fakeRedis answers each command with the next of its replies, or errors.
type fakeRedis struct {
	replies   []any
	commands  [][]any
	deadlines []time.Duration
}

func (f *fakeRedis) do(ctx context.Context, args ...any) (any, error) {
	f.commands = append(f.commands, args)
	end, _ := ctx.Deadline()
	f.deadlines = append(f.deadlines, time.Until(end))
	if len(f.replies) == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	r := f.replies[0]
	f.replies = f.replies[1:]
	if err, ok := r.(error); ok {
		return nil, err
	}
	return r, nil
}

// names are the commands that were sent.
func (f *fakeRedis) names() []any {
	all := make([]any, 0, len(f.commands))
	for _, c := range f.commands {
		all = append(all, c[0])
	}
	return all
}

// result is one result as the script writes it: a level, or what it says of an
// exact policy.
func result(ok byte, numbers ...float64) string {
	b := []byte{ok}
	for _, v := range numbers {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return string(b)
}

func TestNewNamesEveryMistake(t *testing.T) {
	t.Parallel()
	_, err := redisstore.New(redisstore.Config{Prefix: "a b", Timeout: -1})
	const want = `redisstore: Do is nil, want a function that asks Redis
redisstore: Prefix is "a b", want at most 64 printable ASCII characters
redisstore: Timeout is -1ns, want 0 to 10s`
	if fmt.Sprint(err) != want {
		t.Errorf("New: %v\nwant %s", err, want)
	}
	do := (&fakeRedis{}).do
	for _, tt := range []struct {
		name string
		cfg  redisstore.Config
		ok   bool
	}{
		{"zero", redisstore.Config{Do: do}, true},
		{"longest", redisstore.Config{Do: do, Prefix: strings.Repeat("p", 64), Timeout: 10 * time.Second}, true},
		{"prefix too long", redisstore.Config{Do: do, Prefix: strings.Repeat("p", 65)}, false},
		{"prefix not ASCII", redisstore.Config{Do: do, Prefix: "ü"}, false},
		{"line break", redisstore.Config{Do: do, Prefix: "a\r\n"}, false},
		{"timeout too long", redisstore.Config{Do: do, Timeout: 10*time.Second + 1}, false},
	} {
		if s, err := redisstore.New(tt.cfg); (err == nil) != tt.ok || (s != nil) != tt.ok {
			t.Errorf("%s: New = %v, %v", tt.name, s, err)
		}
	}
}

// Fault: other stores fail to start while their Redis is down.
func TestNewSendsNothing(t *testing.T) {
	t.Parallel()
	var f fakeRedis
	newStore(t, redisstore.Config{Do: f.do})
	if len(f.commands) != 0 {
		t.Errorf("New sent %v", f.commands)
	}
}

// One command for any number of policies, with the client's key as its one
// key: what a cluster needs to find the node.
func TestOneCommand(t *testing.T) {
	t.Parallel()
	var policies []ratelimit.Policy
	for n := 1; n <= 8; n++ {
		policies = append(policies, ratelimit.Policy{Name: strings.Repeat("n", n), Limit: int64(n), Period: time.Minute, Burst: int64(n)})
		f := fakeRedis{replies: []any{strings.Repeat(result(1, 1e9), n)}}
		s := newStore(t, redisstore.Config{Do: f.do, Prefix: "orders:"})
		results := take(t, s, "api:{a}b", 1, policies...)
		if len(f.commands) != 1 || len(results) != n {
			t.Fatalf("%d policies: %d commands, %d results", n, len(f.commands), len(results))
		}
		c := f.commands[0]
		if len(c) != 6 || c[0] != "EVALSHA" || c[2] != int64(1) || c[3] != "orders:limit:{}api:{a}b" {
			t.Errorf("%d policies: command = %q", n, c)
		}
		for i, a := range c {
			switch a.(type) {
			case string, int64:
			default:
				t.Errorf("argument %d is a %T, want a string or an int64", i, a)
			}
		}
	}
}

func TestResults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		reply any
	}{
		{"string", result(1, 12e9) + result(0, 60e9, 1500, 1) + result(0, 130e9)},
		{"bytes", []byte(result(1, 12e9) + result(0, 60e9, 1500, 1) + result(0, 130e9))},
	} {
		f := fakeRedis{replies: []any{tt.reply}}
		first := ratelimit.Result{Policy: "kept"}
		got, err := newStore(t, redisstore.Config{Do: f.do}).Take(t.Context(), []ratelimit.Result{first},
			requests("k", 1, perMinute, ratelimit.Policy{Name: "exact", Limit: 1, Period: time.Minute, Exact: true},
				ratelimit.Policy{Name: "guess", Limit: 1, Period: time.Minute, Backoff: time.Hour}))
		want := []ratelimit.Result{
			first,
			{OK: true, Remaining: 4, ResetAfter: 12 * time.Second},
			{RetryAfter: 2 * time.Microsecond, ResetAfter: time.Minute}, // no earlier than the server's clock says
			{RetryAfter: 130 * time.Second, ResetAfter: 130 * time.Second},
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: Take = %+v, %v, want %+v", tt.name, got, err, want)
		}
	}
}

// Faults: EVALSHA repeated after a timeout counts twice; EVAL sent each time
// costs the script's length.
func TestOnlyNOSCRIPTIsAnsweredWithTheScript(t *testing.T) {
	t.Parallel()
	good := result(1, 12e9)
	other := errors.New("ERR Error running script: NOSCRIPT")
	ended := fmt.Errorf("read: %w", context.DeadlineExceeded)
	for _, tt := range []struct {
		name    string
		replies []any
		want    []any
		err     error
	}{
		{"known", []any{good}, []any{"EVALSHA"}, nil},
		{"unknown", []any{errors.New("NOSCRIPT No matching script. Please use EVAL"), good}, []any{"EVALSHA", "EVAL"}, nil},
		{"unknown, then lost", []any{errors.New("NOSCRIPT No matching script"), ended}, []any{"EVALSHA", "EVAL"}, ended},
		{"timeout", []any{ended, good}, []any{"EVALSHA"}, ended},
		{"connection lost", []any{io.EOF, good}, []any{"EVALSHA"}, io.EOF},
		{"an error about another", []any{other, good}, []any{"EVALSHA"}, other},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := fakeRedis{replies: tt.replies}
			dst := make([]ratelimit.Result, 1, 4)
			results, err := newStore(t, redisstore.Config{Do: f.do}).Take(t.Context(), dst, requests("k", 1, perMinute))
			if !slices.Equal(f.names(), tt.want) {
				t.Errorf("commands = %v, want %v", f.names(), tt.want)
			}
			switch {
			case tt.err == nil:
				if err != nil || len(results) != 2 {
					t.Errorf("Take = %v, %v", results, err)
				}
			case len(results) != 1 || !errors.Is(err, tt.err):
				t.Errorf("Take = %v, %v, want %v", results, err, tt.err)
			}
			if len(f.commands) == 2 {
				a, b := f.commands[0], f.commands[1]
				if b[1] != redisstore.ScriptOfPlain(1) || !reflect.DeepEqual(a[2:], b[2:]) {
					t.Errorf("EVAL has other arguments than EVALSHA: %.80q", b)
				}
			}
		})
	}
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		deadline := func(cfg redisstore.Config, ctx context.Context) time.Duration {
			f := fakeRedis{replies: []any{errors.New("NOSCRIPT"), result(1, 12e9)}}
			cfg.Do = func(ctx context.Context, args ...any) (any, error) {
				time.Sleep(time.Millisecond)
				return f.do(ctx, args...)
			}
			if _, err := newStore(t, cfg).Take(ctx, nil, requests("k", 1, perMinute)); err != nil {
				t.Error(err)
			}
			if f.deadlines[1] != f.deadlines[0]-time.Millisecond {
				t.Errorf("EVAL has until %v, EVALSHA before it %v: want one Timeout for both", f.deadlines[1], f.deadlines[0])
			}
			return f.deadlines[0] + time.Millisecond
		}
		if got := deadline(redisstore.Config{}, t.Context()); got != 100*time.Millisecond {
			t.Errorf("default: %v, want 100 ms", got)
		}
		if got := deadline(redisstore.Config{Timeout: time.Second}, t.Context()); got != time.Second {
			t.Errorf("Timeout: %v, want 1 s", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if got := deadline(redisstore.Config{}, ctx); got != 20*time.Millisecond {
			t.Errorf("of the caller: %v, want 20 ms", got)
		}
		hangs := newStore(t, redisstore.Config{Do: func(ctx context.Context, _ ...any) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		start := time.Now()
		if _, err := hangs.Take(t.Context(), nil, requests("k", 1, perMinute)); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 100*time.Millisecond {
			t.Errorf("silent: %v after %v", err, time.Since(start))
		}
	})
}

// What answers need not be a Redis.
func TestNonsenseIsAnError(t *testing.T) {
	t.Parallel()
	type other struct{ _ []int }
	good := result(1, 12e9)
	for _, reply := range []any{
		nil, int64(1), 1, true, 1.5, "", "OK", "foreign",
		[]any{},
		[]any{int64(1), []any{nil, "x"}},
		[]any{good},
		map[any]any{"a": nil},
		other{},
		&other{},
		[]string{good},
		good + good, good[:len(good)-1], good + "x", (*string)(nil), []byte(nil),
		result(2, 12e9), result(1, -1), result(1, 61e9), result(1, math.NaN()), result(1, math.Inf(1)), result(1, 1e300),
		result(1, 12e9, 0, 1), good[1:],
	} {
		f := fakeRedis{replies: []any{reply}}
		dst := make([]ratelimit.Result, 1, 4)
		results, err := newStore(t, redisstore.Config{Do: f.do}).Take(t.Context(), dst, requests("k", 1, perMinute))
		if _, own := errors.AsType[report.Cause](err); !own || len(results) != 1 {
			t.Errorf("%#v: Take = %v, %v, want a cause", reply, results, err)
		}
	}
	exact := ratelimit.Policy{Name: "exact", Limit: 5, Period: time.Minute, Exact: true}
	for _, second := range []string{
		"", good, result(3, 12e9, 0, 1), result(1, 61e9, 0, 1), result(1, 12e9, 61e9, 1), result(1, 12e9, 0, 101),
		result(1, -1, 0, 1), result(1, 12e9, -1, 1), result(1, 12e9, 0, -1), result(1, 12e9, 0, math.NaN()),
	} {
		f := fakeRedis{replies: []any{good + second}}
		if results, err := newStore(t, redisstore.Config{Do: f.do}).Take(t.Context(), nil, requests("k", 1, perMinute, exact)); err == nil || len(results) != 0 {
			t.Errorf("%q is no result, but Take = %v, %v", second, results, err)
		}
	}
}

// Faults: a cost above the burst is told to come back for ever, a limit of 0
// is divided by. Nothing is sent for what package ratelimit would not ask.
func TestSpoiltRequestsAreErrors(t *testing.T) {
	t.Parallel()
	change := func(f func(r *ratelimit.Request)) []ratelimit.Request {
		reqs := requests("k", 1, perMinute)
		f(&reqs[0])
		return reqs
	}
	for name, reqs := range map[string][]ratelimit.Request{
		"no name":          change(func(r *ratelimit.Request) { r.Policy.Name = "" }),
		"long name":        change(func(r *ratelimit.Request) { r.Policy.Name = strings.Repeat("n", 65) }),
		"no limit":         change(func(r *ratelimit.Request) { r.Policy.Limit = 0 }),
		"negative limit":   change(func(r *ratelimit.Request) { r.Policy.Limit = -1 }),
		"no period":        change(func(r *ratelimit.Request) { r.Policy.Period = 0 }),
		"long period":      change(func(r *ratelimit.Request) { r.Policy.Period = 1<<63 - 1 }),
		"long and exact":   change(func(r *ratelimit.Request) { r.Policy.Period, r.Policy.Exact = 1<<63-1, true }),
		"no burst":         change(func(r *ratelimit.Request) { r.Policy.Burst = 0 }),
		"huge burst":       change(func(r *ratelimit.Request) { r.Policy.Burst = 1<<63 - 1 }),
		"cost above burst": change(func(r *ratelimit.Request) { r.Cost = 6 }),
		"negative backoff": change(func(r *ratelimit.Request) { r.Policy.Backoff = -1 }),
		"huge backoff":     change(func(r *ratelimit.Request) { r.Policy.Backoff = 1<<63 - 1 }),
		"exact, too many":  change(func(r *ratelimit.Request) { r.Policy.Limit, r.Policy.Burst, r.Policy.Exact = 101, 101, true }),
		"exact with burst": change(func(r *ratelimit.Request) { r.Policy.Burst, r.Policy.Exact = 4, true }),
		"two keys":         append(requests("k", 1, perMinute), requests("l", 1, ratelimit.Policy{Name: "other", Limit: 1, Period: time.Hour})...),
		"17 policies":      slices.Repeat(requests("k", 1, perMinute), 17),
	} {
		f := fakeRedis{replies: []any{strings.Repeat(result(1, 0), max(1, len(reqs)))}}
		results, err := newStore(t, redisstore.Config{Do: f.do}).Take(t.Context(), nil, reqs)
		if _, own := errors.AsType[report.Cause](err); !own || len(results) != 0 || len(f.commands) != 0 {
			t.Errorf("%s: Take = %v, %v with %d commands, want a cause and none", name, results, err, len(f.commands))
		}
	}
	var f fakeRedis
	if results, err := newStore(t, redisstore.Config{Do: f.do}).Take(t.Context(), nil, nil); err != nil || len(results) != 0 || len(f.commands) != 0 {
		t.Errorf("no requests: Take = %v, %v with %d commands, want nothing", results, err, len(f.commands))
	}
	for _, s := range []*redisstore.Store{nil, {}} {
		if results, err := s.Take(t.Context(), nil, requests("k", 1, perMinute)); err == nil || len(results) != 0 {
			t.Errorf("a Store that New did not make: Take = %v, %v, want an error", results, err)
		}
	}
}

// FuzzReply: whatever answers, Take neither panics nor tells what cannot be.
func FuzzReply(f *testing.F) {
	good := result(1, 12e9)
	f.Add([]byte(good), byte(0), byte(0))
	f.Add([]byte(good+good+result(0, 6e10, 6e10, 5)), byte(1), byte(2))
	f.Add([]byte("foreign"), byte(0), byte(1))
	f.Add([]byte(good), byte(2), byte(1))
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8}, byte(6), byte(1))
	f.Add([]byte("NOSCRIPT"), byte(7), byte(3))
	f.Fuzz(func(t *testing.T, data []byte, kind, n byte) {
		policies := make([]ratelimit.Policy, 0, 8)
		for i := range 1 + n%8 {
			policies = append(policies, ratelimit.Policy{Name: string('a' + i), Limit: 5, Period: time.Minute, Exact: i%3 == 2})
		}
		shapes := []any{
			string(data), data,
			[]any{string(data)},
			[]any{int64(len(data)), []any{data, nil}},
			map[any]any{string(data): data},
			int64(len(data)), len(data), errors.New(string(data)), nil,
		}
		fake := fakeRedis{replies: []any{shapes[int(kind)%len(shapes)], shapes[int(kind/16)%len(shapes)]}}
		results, err := newStore(t, redisstore.Config{Do: fake.do}).Take(t.Context(), nil, requests("k", 1, policies...))
		if err != nil {
			if len(results) != 0 {
				t.Errorf("Take = %v with %v", results, err)
			}
			return
		}
		if len(results) != len(policies) {
			t.Errorf("%d results for %d policies", len(results), len(policies))
		}
		for _, r := range results {
			if r.Remaining < 0 || r.Remaining > 5 || r.RetryAfter < 0 || r.ResetAfter < 0 || r.RetryAfter > time.Minute || r.ResetAfter > time.Minute {
				t.Errorf("result = %+v", r)
			}
		}
	})
}

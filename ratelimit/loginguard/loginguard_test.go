package loginguard_test

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ulule/limiter/v3/drivers/store/memory"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/loginguard"
)

var _ func(http.Handler) http.Handler = (*loginguard.Guard)(nil).Handler

var secret = loginguard.NewSecret([]byte("q8Zk2vR0x5Ld7Ty1Hs4Wc9Ne3Jb6Mg0f"))

func mustNew(tb testing.TB, cfg loginguard.Config) *loginguard.Guard {
	tb.Helper()
	g, err := loginguard.New(cfg)
	if err != nil {
		tb.Fatalf("New: %v", err)
	}
	return g
}

// A spy is a Store that tells what it was asked, and fails on demand.
type spy struct {
	ratelimit.Store
	mu    sync.Mutex
	calls []call
	fails func(c call) error // nil: never
}

type call struct {
	key, policy string
	cost        int64
	took        bool
}

func newSpy(tb testing.TB) *spy {
	tb.Helper()
	m, err := ratelimit.NewMemory(ratelimit.MemoryConfig{})
	if err != nil {
		tb.Fatal(err)
	}
	return &spy{Store: m}
}

func (s *spy) Take(ctx context.Context, dst []ratelimit.Result, reqs []ratelimit.Request) (results []ratelimit.Result, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := call{key: reqs[0].Key, policy: reqs[0].Policy.Name, cost: reqs[0].Cost}
	defer func() { s.calls = append(s.calls, c) }()
	if s.fails != nil {
		if err := s.fails(c); err != nil {
			return dst, err
		}
	}
	if ctx.Err() != nil { // as one would that is elsewhere
		return dst, ctx.Err()
	}
	results, err = s.Store.Take(ctx, dst, reqs)
	c.took = err == nil && results[len(dst)].OK
	return results, err
}

// asked returns the calls since the last time, as "policy cost".
func (s *spy) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	texts := make([]string, 0, len(s.calls))
	for _, c := range s.calls {
		texts = append(texts, c.policy+" "+strconv.FormatInt(c.cost, 10))
	}
	s.calls = nil
	return texts
}

func (s *spy) failing(fails func(c call) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = fails
}

var errDown = errors.New("canary: connection refused by 10.0.0.9")

func down(call) error { return errDown }

// home and away are two clients; nth are many.
var home, away = netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("198.51.100.9")

func nth(i int) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}) }

// guess begins an attempt that fails. It returns why not, "" if it was
// admitted, and for how long not.
func guess(t *testing.T, g *loginguard.Guard, account string, addr netip.Addr) (reason string, wait time.Duration) {
	t.Helper()
	a, err := g.Begin(t.Context(), account, addr)
	if err == nil {
		a.Fail()
		return "", 0
	}
	e, ok := errors.AsType[*loginguard.Error](err)
	if !ok || a != nil {
		t.Fatalf("Begin = %v, %v; want an *Error alone", a, err)
	}
	return e.Reason, e.RetryAfter
}

// succeed wants an attempt to be admitted, which then succeeds.
func succeed(t *testing.T, g *loginguard.Guard, account string, addr netip.Addr) {
	t.Helper()
	a, err := g.Begin(t.Context(), account, addr)
	if err != nil {
		t.Fatalf("%s from %v: %v", account, addr, err)
	}
	if err := a.Succeed(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// admitted counts how many of n guesses are.
func admitted(t *testing.T, g *loginguard.Guard, n int, guesser func(i int) (account string, addr netip.Addr)) (count int) {
	t.Helper()
	for i := range n {
		account, addr := guesser(i)
		if reason, _ := guess(t, g, account, addr); reason == "" {
			count++
		}
	}
	return count
}

func TestNewReportsEveryMistake(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		cfg  loginguard.Config
		want []string
	}{
		{"a store without a secret", loginguard.Config{Store: newSpy(t)}, []string{"Secret is empty, want"}},
		{"an empty secret", loginguard.Config{Secret: loginguard.NewSecret(nil)}, []string{"Secret has 0 bytes, want at least 32"}},
		{"a short secret", loginguard.Config{Secret: loginguard.NewSecret(make([]byte, 31)), Store: newSpy(t)}, []string{"Secret has 31 bytes, want at least 32"}},
		{"local limits without a store", loginguard.Config{AllowLocalLimits: true}, []string{"AllowLocalLimits is true, want a Store"}},
		{"no name", loginguard.Config{Name: "my login"}, []string{`Name is "my login", want`}},
		{"a nil memory", loginguard.Config{Store: (*ratelimit.Memory)(nil), Secret: secret}, []string{"Store is unfit, want"}},
		{"windows, which know no backoff", loginguard.Config{Store: ratelimit.FromLimiter(memory.NewStore()), Secret: secret}, []string{"Store is unfit, want"}},
		{"several", loginguard.Config{
			PerPair:    ratelimit.Policy{Limit: -1, Period: time.Nanosecond},
			PerAddress: ratelimit.Policy{Name: "ip", Limit: 5, Period: time.Minute, Backoff: time.Hour},
			PerAccount: ratelimit.Policy{Backoff: time.Hour},
			Name:       "ü", Store: newSpy(t), AllowLocalLimits: true,
		}, []string{
			"PerPair.Limit is -1, want", "PerPair.Period is 1ns, want", `PerAddress.Name is "ip", want none`,
			"PerAddress.Backoff is 1h0m0s, want 0", "PerAccount.Backoff is 1h0m0s, want 0", `Name is "ü", want`, "Secret is empty",
		}},
		{"half a policy", loginguard.Config{PerAccount: ratelimit.Policy{Limit: 5}}, []string{"PerAccount.Period is 0s, want"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g, err := loginguard.New(tt.cfg)
			if err == nil || g != nil {
				t.Fatalf("New = %v, %v; want an error only", g, err)
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(tt.want) {
				t.Errorf("%d mistakes, want %d:\n%v", len(lines), len(tt.want), err)
			}
			for i, want := range tt.want {
				if i < len(lines) && (!strings.HasPrefix(lines[i], "loginguard: ") || !strings.Contains(lines[i], want)) {
					t.Errorf("mistake %d = %q, want loginguard: …%s…", i, lines[i], want)
				}
			}
		})
	}
}

// Windows that start with a client's first guess will do where no wait has to
// double.
func TestWindows(t *testing.T) {
	t.Parallel()
	g := mustNew(t, loginguard.Config{
		PerPair: ratelimit.Policy{Limit: 3, Period: time.Hour},
		Store:   ratelimit.FromLimiter(memory.NewStore()), Secret: secret,
	})
	same := func(int) (string, netip.Addr) { return "ann", home }
	if got := admitted(t, g, 10, same); got != 3 {
		t.Errorf("%d guesses were admitted, want 3", got)
	}
	succeed(t, g, "ann", away)
	if got := admitted(t, g, 10, func(int) (string, netip.Addr) { return "ann", away }); got != 3 {
		t.Errorf("after a success %d guesses were admitted, want 3", got)
	}
}

// TestWaits: five guesses at once, then one each time that the wait has passed,
// which doubles up to an hour. The wait that is told is the one that holds.
func TestWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := mustNew(t, loginguard.Config{})
		same := func(int) (string, netip.Addr) { return "ann", home }
		if got := admitted(t, g, 20, same); got != 5 {
			t.Fatalf("%d guesses were admitted, want 5", got)
		}
		for i, minutes := range []time.Duration{3, 6, 12, 24, 48, 60, 60} {
			reason, wait := guess(t, g, "ann", home)
			// A Memory rounds the end of a wait up to 64 ns.
			if off := wait - minutes*time.Minute; reason != loginguard.ReasonPair || off < 0 || off > 64 {
				t.Errorf("wait %d = %v for %q, want %d minutes for the pair", i, wait, reason, minutes)
			}
			time.Sleep(wait - time.Nanosecond)
			if reason, _ := guess(t, g, "ann", home); reason != loginguard.ReasonPair {
				t.Errorf("before wait %d is over: %q, want it refused for the pair", i, reason)
			}
			time.Sleep(time.Nanosecond)
			if reason, _ := guess(t, g, "ann", home); reason != "" {
				t.Errorf("after wait %d: refused for %q", i, reason)
			}
		}
		// It is forgotten when the quota has been whole for an hour: 12 minutes
		// for four guesses, an hour's wait, and an hour.
		time.Sleep(132*time.Minute + time.Second)
		if got := admitted(t, g, 20, same); got != 5 {
			t.Errorf("when all is forgotten %d guesses were admitted, want 5", got)
		}
		if _, wait := guess(t, g, "ann", home); wait > 3*time.Minute+64 {
			t.Errorf("when all is forgotten the first wait is %v, want 3 minutes", wait)
		}
	})
}

// TestParallel: the count precedes the check, so a hundred at once get no
// further than one after the other.
func TestParallel(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]loginguard.Config{
		"own memory": {},
		"store":      {Store: newSpy(t), Secret: secret},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := mustNew(t, cfg)
			var mu sync.Mutex
			var attempts []*loginguard.Attempt
			var all sync.WaitGroup
			for range 100 {
				all.Go(func() {
					if a, err := g.Begin(t.Context(), "ann", home); err == nil {
						mu.Lock()
						defer mu.Unlock()
						attempts = append(attempts, a)
					}
				})
			}
			all.Wait()
			if got := len(attempts); got != 5 {
				t.Errorf("%d of 100 guesses at once were admitted, want 5", got)
			}
			// Those that were refused hold nothing of what others share.
			spray := func(i int) (string, netip.Addr) { return strconv.Itoa(i), home }
			if got := admitted(t, g, 100, spray); got != 55 {
				t.Errorf("then %d guesses at other accounts were admitted, want the other 55 of 60", got)
			}
		})
	}
}

// TestSpraying: one password for many accounts.
func TestSpraying(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := mustNew(t, loginguard.Config{})
		spray := func(i int) (string, netip.Addr) { return "user-" + strconv.Itoa(i), home }
		if got := admitted(t, g, 1000, spray); got != 60 {
			t.Errorf("%d guesses were admitted, want 60", got)
		}
		if reason, wait := guess(t, g, "other", home); reason != loginguard.ReasonAddress || wait != time.Minute {
			t.Errorf("refused for %q, %v; want a minute for the address", reason, wait)
		}
		if reason, _ := guess(t, g, "user-1", away); reason != "" {
			t.Errorf("from elsewhere: refused for %q", reason)
		}
		time.Sleep(time.Minute)
		if got := admitted(t, g, 10, func(i int) (string, netip.Addr) { return "next-" + strconv.Itoa(i), home }); got != 1 {
			t.Errorf("after a minute %d guesses were admitted, want 1", got)
		}
	})
}

// TestSuccessClearsPairOnly: who has an account does not buy guesses at others'
// by logging in (symfony's PR 65859).
func TestSuccessClearsPairOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := mustNew(t, loginguard.Config{})
		sprayed := 0
		for i := range 500 {
			if reason, _ := guess(t, g, "victim-"+strconv.Itoa(i), home); reason == "" {
				sprayed++
			}
			if a, err := g.Begin(t.Context(), "mallory", home); err == nil {
				if err := a.Succeed(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if sprayed != 60 {
			t.Errorf("with logins in between %d guesses were admitted, want 60", sprayed)
		}
		// Nor at one account by its owner's logins elsewhere.
		if got := admitted(t, g, 5, func(int) (string, netip.Addr) { return "ann", away }); got != 5 {
			t.Fatalf("%d guesses were admitted, want 5", got)
		}
		succeed(t, g, "ann", nth(1))
		if reason, _ := guess(t, g, "ann", away); reason != loginguard.ReasonPair {
			t.Errorf("after the owner's login elsewhere: %q, want it refused for the pair", reason)
		}
	})
}

// TestSuccessGivesBack: logging in right costs nothing, however often.
func TestSuccessGivesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := mustNew(t, loginguard.Config{})
		for range 4 {
			guess(t, g, "ann", home)
		}
		for range 300 {
			succeed(t, g, "ann", home)
		}
		if got := admitted(t, g, 20, func(int) (string, netip.Addr) { return "ann", home }); got != 5 {
			t.Errorf("after a success %d guesses were admitted, want 5", got)
		}
		if got := admitted(t, g, 100, func(i int) (string, netip.Addr) { return strconv.Itoa(i), home }); got != 51 {
			t.Errorf("the address has %d guesses left, want 51 of 60", got)
		}
	})
}

// TestDistributed: guessing at one account from everywhere is slowed, and
// locks neither the owner's address nor, for long, anybody else.
func TestDistributed(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]ratelimit.Store{"own memory": nil, "store": newSpy(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cfg := loginguard.Config{}
				if store != nil {
					// A Memory's clock is that of the bubble in which it began.
					cfg = loginguard.Config{Store: newSpy(t), Secret: secret}
				}
				g := mustNew(t, cfg)
				succeed(t, g, "ann", home)
				time.Sleep(29 * 24 * time.Hour)
				if got := admitted(t, g, 1000, func(i int) (string, netip.Addr) { return "ann", nth(i) }); got != 100 {
					t.Errorf("%d guesses from 1000 addresses were admitted, want 100", got)
				}
				if reason, wait := guess(t, g, "ann", nth(2000)); reason != loginguard.ReasonAccount || wait != 36*time.Second {
					t.Errorf("refused for %q, %v; want 36 seconds for the account", reason, wait)
				}
				for range 3 {
					succeed(t, g, "ann", home)
				}
				// Only so often, even there: it may be an attacker's address, too.
				if got := admitted(t, g, 20, func(int) (string, netip.Addr) { return "ann", home }); got != 5 {
					t.Errorf("from the known address %d guesses were admitted, want 5", got)
				}
				if reason, _ := guess(t, g, "bob", nth(2000)); reason != "" {
					t.Errorf("another account: refused for %q", reason)
				}
				time.Sleep(36 * time.Second)
				if reason, _ := guess(t, g, "ann", nth(2001)); reason != "" {
					t.Errorf("after the wait: refused for %q", reason)
				}
				if reason, _ := guess(t, g, "ann", nth(2002)); reason != loginguard.ReasonAccount {
					t.Errorf("the next: %q, want it refused for the account", reason)
				}
			})
		})
	}
}

// TestKnownFor: 30 days after the last success at least, 60 at most.
func TestKnownFor(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name string
		days []time.Duration // between successes
		then time.Duration
		want bool
	}{
		{"once, soon", []time.Duration{0}, 30*day - time.Minute, true},
		{"once, late", []time.Duration{0}, 30*day + time.Minute, false},
		{"twice, at the end", []time.Duration{0, 29 * day}, 30 * day, true},
		{"often", []time.Duration{0, 0, 0, 0, 0}, 60*day + time.Minute, false},
		{"often, over months", []time.Duration{0, 20 * day, 20 * day, 20 * day, 20 * day}, 30 * day, true},
		{"late, and never before", nil, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := mustNew(t, loginguard.Config{PerAccount: ratelimit.Policy{Limit: 1, Period: time.Hour}})
				for _, d := range tt.days {
					time.Sleep(d)
					succeed(t, g, "ann", home)
				}
				time.Sleep(tt.then)
				if reason, _ := guess(t, g, "ann", away); reason != "" {
					t.Fatalf("refused for %q", reason)
				}
				if reason, _ := guess(t, g, "ann", home); (reason == "") != tt.want {
					t.Errorf("refused for %q; want the address to be known: %t", reason, tt.want)
				}
			})
		})
	}
}

// TestKnownPlaces: an account does not fill the Store with its addresses, and
// those that it has stay known.
func TestKnownPlaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSpy(t)
		g := mustNew(t, loginguard.Config{Store: s, Secret: secret, PerAccount: ratelimit.Policy{Limit: 1, Period: time.Hour}})
		for range 3 {
			for i := range 100 {
				succeed(t, g, "mallory", nth(i))
			}
		}
		succeed(t, g, "ann", home)
		guess(t, g, "mallory", away)
		guess(t, g, "ann", away)
		isKnown := func(account string, addr netip.Addr) bool {
			reason, _ := guess(t, g, account, addr)
			return reason == ""
		}
		for i := range 100 {
			if got, want := isKnown("mallory", nth(i)), i < 30; got != want {
				t.Errorf("address %d is known: %t, want %t", i, got, want)
			}
		}
		if !isKnown("ann", home) {
			t.Error("another account's address is not known")
		}
	})
}

// TestCancel: a check that did not happen costs nothing, also where it was
// the one that used up the quota.
func TestCancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := mustNew(t, loginguard.Config{Store: newSpy(t), Secret: secret})
		cancelled := func(t *testing.T) {
			t.Helper()
			a, err := g.Begin(t.Context(), "ann", home)
			if err != nil {
				t.Fatal(err)
			}
			gone, leave := context.WithCancel(t.Context())
			leave()
			if err := a.Cancel(gone); err != nil {
				t.Fatal(err)
			}
		}
		for range 300 {
			cancelled(t)
		}
		same := func(int) (string, netip.Addr) { return "ann", home }
		if got := admitted(t, g, 4, same); got != 4 {
			t.Errorf("%d guesses were admitted, want 4", got)
		}
		cancelled(t)
		if got := admitted(t, g, 20, same); got != 1 {
			t.Errorf("after the fifth was cancelled %d guesses were admitted, want 1", got)
		}
		time.Sleep(3*time.Minute + 64)
		cancelled(t)
		if got := admitted(t, g, 20, same); got != 1 {
			t.Errorf("after the sixth was cancelled %d guesses were admitted, want 1", got)
		}
		if _, wait := guess(t, g, "ann", home); wait < 6*time.Minute || wait > 6*time.Minute+64 {
			t.Errorf("after the sixth was cancelled the wait is %v, want 6 minutes", wait)
		}
		if got := admitted(t, g, 100, func(i int) (string, netip.Addr) { return strconv.Itoa(i), home }); got != 57 {
			t.Errorf("the address has %d guesses left, want 57 of 60: 6 were made, and 3 came back with time", got)
		}
		if got := admitted(t, g, 200, func(i int) (string, netip.Addr) { return "ann", nth(i) }); got != 99 {
			t.Errorf("the account has %d guesses left, want 99 of 100: 6 were made, and 5 came back with time", got)
		}
	})
}

// TestOneOutcome: the first word counts, and none is a failure.
func TestOneOutcome(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		end  func(ctx context.Context, a *loginguard.Attempt) error
		want int // guesses that are left of 5
	}{
		{"fail", func(_ context.Context, a *loginguard.Attempt) error { a.Fail(); return nil }, 3},
		{"dropped", func(context.Context, *loginguard.Attempt) error { return nil }, 3},
		{"cancel", func(ctx context.Context, a *loginguard.Attempt) error { return a.Cancel(ctx) }, 4},
		{"succeed", func(ctx context.Context, a *loginguard.Attempt) error { return a.Succeed(ctx) }, 5},
		{"succeed, and the client is gone", func(ctx context.Context, a *loginguard.Attempt) error {
			ctx, leave := context.WithCancel(ctx)
			leave()
			return a.Succeed(ctx)
		}, 5},
		{"fail, then succeed", func(ctx context.Context, a *loginguard.Attempt) error { a.Fail(); return a.Succeed(ctx) }, 3},
		{"fail, then cancel", func(ctx context.Context, a *loginguard.Attempt) error { a.Fail(); return a.Cancel(ctx) }, 3},
		{"cancel twice", func(ctx context.Context, a *loginguard.Attempt) error {
			return errors.Join(a.Cancel(ctx), a.Cancel(ctx))
		}, 4},
		{"cancel, then succeed", func(ctx context.Context, a *loginguard.Attempt) error {
			return errors.Join(a.Cancel(ctx), a.Succeed(ctx))
		}, 4},
		{"cancel at once", func(ctx context.Context, a *loginguard.Attempt) error {
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() { _ = a.Cancel(ctx) })
			}
			all.Wait()
			return nil
		}, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := mustNew(t, loginguard.Config{Store: newSpy(t), Secret: secret})
			guess(t, g, "ann", home) // there is something that could be given back wrongly
			a, err := g.Begin(t.Context(), "ann", home)
			if err != nil {
				t.Fatal(err)
			}
			if err := tt.end(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			if got := admitted(t, g, 20, func(int) (string, netip.Addr) { return "ann", home }); got != tt.want {
				t.Errorf("%d guesses are left, want %d", got, tt.want)
			}
		})
	}
}

// TestWaitOfAll: who comes back when it is told to is not sent away again.
func TestWaitOfAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := mustNew(t, loginguard.Config{
			PerPair:    ratelimit.Policy{Limit: 2, Period: 2 * time.Second},
			PerAddress: ratelimit.Policy{Limit: 2, Period: 2 * time.Minute},
			PerAccount: ratelimit.Policy{Limit: 2, Period: 2 * time.Hour},
		})
		guess(t, g, "ann", home)
		guess(t, g, "ann", home)
		reason, wait := guess(t, g, "ann", home)
		if reason != loginguard.ReasonPair || wait != time.Hour {
			t.Errorf("refused for %q, %v; want the hour of the account, for the pair", reason, wait)
		}
		if reason, wait := guess(t, g, "bob", home); reason != loginguard.ReasonAddress || wait != time.Minute {
			t.Errorf("another account: refused for %q, %v; want a minute for the address", reason, wait)
		}
		time.Sleep(wait)
		if reason, _ := guess(t, g, "ann", home); reason != "" {
			t.Errorf("after the wait: refused for %q", reason)
		}
	})
}

// TestCalls: what the Store is asked does not depend on whether an account
// exists, which the guard does not know, and is little.
func TestCalls(t *testing.T) {
	t.Parallel()
	s := newSpy(t)
	g := mustNew(t, loginguard.Config{
		Store: s, Secret: secret,
		PerAddress: ratelimit.Policy{Limit: 6, Period: time.Hour},
		PerAccount: ratelimit.Policy{Limit: 6, Period: time.Hour},
	})
	want := func(what string, calls ...string) {
		t.Helper()
		if got := s.asked(); !slices.Equal(got, calls) {
			t.Errorf("%s asks %q, want %q", what, got, calls)
		}
	}
	guess(t, g, "ann", home)
	want("a wrong guess", "pair 1", "address 1", "account 1")
	succeed(t, g, "ann", home)
	want("the first right one", "pair 1", "address 1", "account 1", "pair -5", "address -1", "account -1", "known 1", "places 1")
	succeed(t, g, "ann", home)
	want("a right one", "pair 1", "address 1", "account 1", "pair -5", "address -1", "account -1", "known 1")
	for range 5 {
		guess(t, g, "ann", home)
	}
	s.asked()
	guess(t, g, "ann", home)
	want("one that the pair refuses", "pair 1", "address 0", "account 0", "known 0")
	guess(t, g, "bob", home)
	want("one that the address refuses", "pair 1", "address 1", "pair -1", "account 0")
	guess(t, g, "ann", away)
	want("one that the account refuses", "pair 1", "address 1", "account 1", "known 0", "pair -1", "address -1")
}

// decisions collects what a guard reports.
type decisions struct {
	mu  sync.Mutex
	all []decision.Decision
}

func (d *decisions) add(_ context.Context, x decision.Decision) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, x)
}

func (d *decisions) of(reason string) (found []decision.Decision) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, x := range d.all {
		if x.Reason == reason {
			found = append(found, x)
		}
	}
	return found
}

// TestBuckets: an IPv6 client has a /64, and an address its one meaning.
func TestBuckets(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, a, b string
		same       bool
	}{
		{"one /64", "2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true},
		{"two /64", "2001:db8::1", "2001:db8:0:1::1", false},
		{"mapped", "192.0.2.1", "::ffff:192.0.2.1", true},
		{"zone", "fe80::1", "fe80::1%eth0", true},
		{"two IPv4", "192.0.2.1", "192.0.2.2", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := mustNew(t, loginguard.Config{})
			a, b := netip.MustParseAddr(tt.a), netip.MustParseAddr(tt.b)
			admitted(t, g, 5, func(int) (string, netip.Addr) { return "ann", a })
			if reason, _ := guess(t, g, "ann", b); (reason != "") != tt.same {
				t.Errorf("refused for %q; want them to be one client: %t", reason, tt.same)
			}
		})
	}
}

// TestFlood: many accounts from many addresses, with more counters than there is
// room for, do not free a pair that is locked, nor make a known address unknown.
func TestFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := mustNew(t, loginguard.Config{})
		succeed(t, g, "ann", away)
		admitted(t, g, 10, func(int) (string, netip.Addr) { return "ann", home })
		for i := range 60_000 {
			addr := netip.AddrFrom4([4]byte{100, byte(i >> 16), byte(i >> 8), byte(i)})
			if a, err := g.Begin(t.Context(), "user-"+strconv.Itoa(i), addr); err == nil {
				a.Fail()
			}
		}
		if reason, _ := guess(t, g, "ann", home); reason != loginguard.ReasonPair {
			t.Errorf("after a flood: %q, want it refused for the pair", reason)
		}
		admitted(t, g, 200, func(i int) (string, netip.Addr) { return "ann", nth(i) })
		if reason, _ := guess(t, g, "ann", nth(300)); reason != loginguard.ReasonAccount {
			t.Fatalf("%q, want it refused for the account", reason)
		}
		succeed(t, g, "ann", away)
	})
}

// Attempts that are held for long and then not made are no way to save up.
func TestSlowAttemptsSaveNothingUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := mustNew(t, loginguard.Config{PerAddress: ratelimit.Policy{Limit: 2, Period: 2 * time.Second}})
		addr := netip.MustParseAddr("192.0.2.1")
		begin := func(account string) (*loginguard.Attempt, error) { return g.Begin(t.Context(), account, addr) }
		slow := make([]*loginguard.Attempt, 0, 6)
		for i := range 6 {
			a, err := begin("slow" + strconv.Itoa(i))
			if err != nil {
				t.Fatal(err)
			}
			slow = append(slow, a)
			time.Sleep(time.Second)
		}
		time.Sleep(2 * time.Second)
		admitted := 0
		for i := range 20 {
			if _, err := begin("victim" + strconv.Itoa(i)); err == nil {
				admitted++
			}
			if i < len(slow) {
				if err := slow[i].Cancel(t.Context()); err != nil {
					t.Error(err)
				}
			}
		}
		if admitted != 2 {
			t.Errorf("%d guesses at once, want 2", admitted)
		}
	})
}

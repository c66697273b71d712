package throttle_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/throttle"
)

func mustNew(tb testing.TB, cfg throttle.Config) *throttle.Throttle {
	tb.Helper()
	t, err := throttle.New(cfg)
	if err != nil {
		tb.Fatalf("New: %v", err)
	}
	return t
}

func mustAcquire(tb testing.TB, t *throttle.Throttle, key string, critical bool) *throttle.Permit {
	tb.Helper()
	p, err := t.Acquire(context.Background(), key, critical)
	if err != nil {
		tb.Fatalf("Acquire: %v", err)
	}
	return p
}

// reasonOf returns why Acquire refused, "" if it did not.
func reasonOf(tb testing.TB, t *throttle.Throttle, key string, critical bool) string {
	tb.Helper()
	p, err := t.Acquire(context.Background(), key, critical)
	p.Release()
	return reason(tb, err)
}

func reason(tb testing.TB, err error) string {
	tb.Helper()
	if err == nil {
		return ""
	}
	e, ok := errors.AsType[*throttle.Error](err)
	if !ok {
		tb.Fatalf("error is a %T, want *throttle.Error", err)
	}
	return e.Reason
}

// checkIdle checks that every permit came back.
func checkIdle(tb testing.TB, t *throttle.Throttle) {
	tb.Helper()
	if s := t.Stats(); s.InFlight != 0 || s.Waiting != 0 {
		tb.Errorf("%d in flight and %d waiting in the end, want none", s.InFlight, s.Waiting)
	}
	if used, _ := t.Keys(); used != 0 {
		tb.Errorf("%d clients remembered in the end, want none", used)
	}
}

var ok = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })

func from(addr string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = addr
	return r
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// block lets requests in and keeps them until release is closed.
func block(release <-chan struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		w.WriteHeader(http.StatusNoContent)
	})
}

func TestNewMistakes(t *testing.T) {
	t.Parallel()
	yes := func(*http.Request) bool { return true }
	for _, tt := range []struct {
		name string
		cfg  throttle.Config
		want []string
	}{
		{"zero", throttle.Config{}, []string{"throttle: Limit is 0, want 1 to 1048576"}},
		{"limit", throttle.Config{Limit: 1<<20 + 1}, []string{"throttle: Limit is 1048577, want 1 to 1048576"}},
		{"per key above limit", throttle.Config{Limit: 2, PerKey: 3}, []string{"throttle: PerKey is 3, want 0 to Limit"}},
		{"key alone", throttle.Config{Limit: 2, Key: ratelimit.ByPrincipal()}, []string{"throttle: PerKey is 0, want a limit for each Key"}},
		{"queue alone", throttle.Config{Limit: 2, Queue: 1}, []string{"throttle: MaxWait is 0s, want how long a request may wait in the Queue, up to 1m0s"}},
		{"wait alone", throttle.Config{Limit: 2, MaxWait: time.Second}, []string{"throttle: MaxWait is 1s, want 0s without a Queue"}},
		{"wait too long", throttle.Config{Limit: 2, Queue: 1, MaxWait: time.Hour}, []string{"throttle: MaxWait is 1h0m0s, want up to 1m0s"}},
		{"reserve of all", throttle.Config{Limit: 2, Reserve: 2, Critical: yes}, []string{"throttle: Reserve is 2, want 0 to less than Limit"}},
		{"reserve for nobody", throttle.Config{Limit: 2, Reserve: 1}, []string{"throttle: Critical is nil, want a function that says who gets the Reserve"}},
		{"critical alone", throttle.Config{Limit: 2, Critical: yes}, []string{"throttle: Reserve is 0, want the permits that only Critical requests get"}},
		{"min alone", throttle.Config{Limit: 2, Min: 1}, []string{"throttle: Min is 1, want 0 without Adaptive"}},
		{"adaptive alone", throttle.Config{Limit: 2, Adaptive: true}, []string{"throttle: Min is 0, want more than Reserve and at most Limit"}},
		{"min within reserve", throttle.Config{Limit: 4, Adaptive: true, Min: 2, Reserve: 2, Critical: yes}, []string{"throttle: Min is 2, want more than Reserve and at most Limit"}},
		{"retry", throttle.Config{Limit: 2, RetryAfter: 2 * time.Hour}, []string{"throttle: RetryAfter is 2h0m0s, want up to 1h0m0s"}},
		{"all negative", throttle.Config{Limit: -1, PerKey: -1, Queue: -1, MaxWait: -1, Reserve: -1, Adaptive: true, Min: -1, RetryAfter: -1}, []string{
			"throttle: Limit is -1, want 1 to 1048576",
			"throttle: PerKey is -1, want 0 to Limit",
			"throttle: Queue is -1, want 0 to 1048576",
			"throttle: MaxWait is -1ns, want up to 1m0s",
			"throttle: Reserve is -1, want 0 to less than Limit",
			"throttle: Min is -1, want more than Reserve and at most Limit",
			"throttle: RetryAfter is -1ns, want up to 1h0m0s",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := throttle.New(tt.cfg)
			if err == nil {
				t.Fatal("New returned no error")
			}
			if got, want := err.Error(), strings.Join(tt.want, "\n"); got != want {
				t.Errorf("New:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func TestNilReceivers(t *testing.T) {
	t.Parallel()
	defer func() {
		if got, want := fmt.Sprint(recover()), "throttle: Handler of a nil *Throttle"; got != want {
			t.Errorf("panic = %q, want %q", got, want)
		}
	}()
	(*throttle.Permit)(nil).Release()
	(*throttle.Throttle)(nil).Handler(ok)
}

func TestLimit(t *testing.T) {
	t.Parallel()
	for _, perKey := range []int{0, 3} { // with and without the quick path
		th := mustNew(t, throttle.Config{Limit: 3, PerKey: perKey})
		permits := make([]*throttle.Permit, 0, 3)
		for i := range 3 {
			permits = append(permits, mustAcquire(t, th, fmt.Sprint(i), false))
		}
		if got := reasonOf(t, th, "late", false); got != throttle.ReasonLimit {
			t.Errorf("PerKey %d: the fourth is refused for %q, want %q", perKey, got, throttle.ReasonLimit)
		}
		permits[0].Release()
		permits[0].Release() // does nothing
		permits[0] = mustAcquire(t, th, "late", false)
		if got := reasonOf(t, th, "later", false); got != throttle.ReasonLimit {
			t.Errorf("PerKey %d: after two releases of one permit the fourth is refused for %q, want %q", perKey, got, throttle.ReasonLimit)
		}
		for _, p := range permits {
			p.Release()
		}
		checkIdle(t, th)
	}
}

func TestPerKey(t *testing.T) {
	t.Parallel()
	th := mustNew(t, throttle.Config{Limit: 10, PerKey: 2})
	a1, a2 := mustAcquire(t, th, "a", false), mustAcquire(t, th, "a", false)
	if got := reasonOf(t, th, "a", true); got != throttle.ReasonKeyLimit {
		t.Errorf("the third of a key is refused for %q, want %q", got, throttle.ReasonKeyLimit)
	}
	b := mustAcquire(t, th, "b", false)
	if used, _ := th.Keys(); used != 2 {
		t.Errorf("%d clients remembered, want 2", used)
	}
	a1.Release()
	a3 := mustAcquire(t, th, "a", false)
	for _, p := range []*throttle.Permit{a2, a3, b} {
		p.Release()
	}
	if got := reasonOf(t, th, "", false); got != throttle.ReasonKey {
		t.Errorf("the empty key is refused for %q, want %q", got, throttle.ReasonKey)
	}
	checkIdle(t, th)
	if got := reasonOf(t, mustNew(t, throttle.Config{Limit: 1}), "", false); got != "" {
		t.Errorf("without PerKey the empty key is refused for %q", got)
	}
}

func TestKeysAreForgotten(t *testing.T) {
	t.Parallel()
	th := mustNew(t, throttle.Config{Limit: 4, PerKey: 1, Queue: 2, MaxWait: time.Second})
	for i := range 10_000 {
		mustAcquire(t, th, fmt.Sprint(i), false).Release()
	}
	for range 4 {
		defer mustAcquire(t, th, fmt.Sprintf("held %d", th.Stats().InFlight), false).Release()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 1000 { // all refused, and one after the other waits
		if _, err := th.Acquire(ctx, fmt.Sprint("late", i), false); reason(t, err) != throttle.ReasonCanceled {
			t.Fatalf("Acquire = %v, want canceled", err)
		}
	}
	if used, kept := th.Keys(); used != 4 || kept > 6 {
		t.Errorf("%d clients remembered in %d places, want 4 in at most 6", used, kept)
	}
}

func TestReserve(t *testing.T) {
	t.Parallel()
	th := mustNew(t, throttle.Config{Limit: 4, Reserve: 2, Critical: func(*http.Request) bool { return false }})
	critical := mustAcquire(t, th, "", true)
	o1, o2 := mustAcquire(t, th, "", false), mustAcquire(t, th, "", false)
	if got := reasonOf(t, th, "", false); got != throttle.ReasonLimit {
		t.Errorf("an ordinary request in the reserve is refused for %q, want %q", got, throttle.ReasonLimit)
	}
	more := mustAcquire(t, th, "", true)
	if got := reasonOf(t, th, "", true); got != throttle.ReasonLimit {
		t.Errorf("a critical request beyond the limit is refused for %q, want %q", got, throttle.ReasonLimit)
	}
	o1.Release()
	o3 := mustAcquire(t, th, "", true) // critical ones may have all
	o2.Release()
	o4 := mustAcquire(t, th, "", true)
	if got := reasonOf(t, th, "", false); got != throttle.ReasonLimit {
		t.Errorf("an ordinary request beside critical ones is refused for %q, want %q", got, throttle.ReasonLimit)
	}
	for _, p := range []*throttle.Permit{critical, more, o3, o4} {
		p.Release()
	}
	checkIdle(t, th)
}

// A crowd is goroutines that acquire, one after the other, within a synctest
// bubble.
type crowd struct {
	t     *testing.T
	th    *throttle.Throttle
	mu    sync.Mutex
	order []string                    // who was admitted
	held  map[string]*throttle.Permit // by name
	out   map[string]string           // why who was refused
}

func newCrowd(t *testing.T, cfg throttle.Config) *crowd {
	t.Helper()
	return &crowd{t: t, th: mustNew(t, cfg), held: map[string]*throttle.Permit{}, out: map[string]string{}}
}

// come lets name, of the key before the first digit, ask for a permit. Capitals
// are critical.
func (c *crowd) come(ctx context.Context, names ...string) {
	for _, name := range names {
		key := strings.ToLower(strings.TrimRight(name, "0123456789"))
		critical := name[0] <= 'Z'
		go func() {
			p, err := c.th.Acquire(ctx, key, critical)
			c.mu.Lock()
			defer c.mu.Unlock()
			if err != nil {
				c.out[name] = reason(c.t, err)
				return
			}
			c.order = append(c.order, name)
			c.held[name] = p
		}()
		synctest.Wait()
	}
}

func (c *crowd) leave(names ...string) {
	for _, name := range names {
		c.mu.Lock()
		p := c.held[name]
		delete(c.held, name)
		c.mu.Unlock()
		if p == nil {
			c.t.Errorf("%s has no permit", name)
		}
		p.Release()
		synctest.Wait()
	}
}

// all lets everybody leave who has a permit, and who gets one by that.
func (c *crowd) all() {
	for len(c.held) > 0 {
		for name := range maps.Clone(c.held) {
			c.leave(name)
		}
	}
	checkIdle(c.t, c.th)
}

func (c *crowd) want(order string) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if got := strings.Join(c.order, " "); got != order {
		c.t.Errorf("admitted: %s, want %s", got, order)
	}
}

func (c *crowd) wantRefused(name, why string) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if got := c.out[name]; got != why {
		c.t.Errorf("%s was refused for %q, want %q", name, got, why)
	}
}

func TestQueueIsFirstInFirstOut(t *testing.T) {
	t.Parallel()
	for _, perKey := range []int{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			c := newCrowd(t, throttle.Config{Limit: 1, PerKey: perKey, Queue: 4, MaxWait: time.Second})
			c.come(t.Context(), "a", "b", "c", "d", "e", "f")
			c.wantRefused("f", throttle.ReasonQueueFull)
			if s := c.th.Stats(); s.InFlight != 1 || s.Waiting != 4 || s.Refused[throttle.ReasonQueueFull] != 1 {
				t.Errorf("Stats = %+v, want 1 in flight, 4 waiting, 1 refused", s)
			}
			c.leave("a", "b", "c", "d")
			c.want("a b c d e")
			c.all()
		})
	}
}

func TestCriticalGoFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, throttle.Config{Limit: 2, Queue: 4, MaxWait: time.Second, Reserve: 1, Critical: func(*http.Request) bool { return false }})
		c.come(t.Context(), "a", "b", "c") // one goes, two wait
		c.want("a")
		c.come(t.Context(), "d") // half of the queue is for others
		c.wantRefused("d", throttle.ReasonQueueFull)
		c.come(t.Context(), "E") // passes those who wait for what it needs not wait for
		c.want("a E")
		c.come(t.Context(), "F", "G", "H")
		c.wantRefused("H", throttle.ReasonQueueFull)
		c.leave("a", "E")
		c.want("a E F G")
		c.leave("F") // and b may have it, since the reserve is G's
		c.leave("b")
		c.want("a E F G b c")
		c.all()
	})
}

func TestMaxWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, throttle.Config{Limit: 1, Queue: 2, MaxWait: 2 * time.Second})
		c.come(t.Context(), "a", "b")
		time.Sleep(1500 * time.Millisecond)
		c.come(t.Context(), "c")
		time.Sleep(499 * time.Millisecond)
		synctest.Wait()
		c.wantRefused("b", "")
		time.Sleep(time.Millisecond)
		synctest.Wait()
		c.wantRefused("b", throttle.ReasonWait)
		if got := c.th.Stats().Waiting; got != 1 {
			t.Errorf("%d wait, want 1", got)
		}
		c.leave("a")
		c.want("a c")
		c.all()
	})
}

func TestContextEndsWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := mustNew(t, throttle.Config{Limit: 1, Queue: 2, MaxWait: time.Minute})
		p := mustAcquire(t, th, "", false)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := th.Acquire(ctx, "", false)
		if got := reason(t, err); got != throttle.ReasonWait || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("at its deadline: %v, want %s", err, throttle.ReasonWait)
		}
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err = th.Acquire(ctx, "", false)
		if got := reason(t, err); got != throttle.ReasonCanceled || !errors.Is(err, context.Canceled) {
			t.Errorf("canceled: %v, want %s", err, throttle.ReasonCanceled)
		}
		p.Release()
		checkIdle(t, th)
	})
}

// A request whose client goes away in the moment in which it is admitted
// returns its permit to the next one in line, whichever comes first.
func TestCancelWhileAdmitted(t *testing.T) {
	t.Parallel()
	for _, perKey := range []int{0, 1} {
		for i := range 300 {
			synctest.Test(t, func(t *testing.T) {
				c := newCrowd(t, throttle.Config{Limit: 1, PerKey: perKey, Queue: 3, MaxWait: time.Minute})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				c.come(t.Context(), "a")
				c.come(ctx, "b")
				c.come(t.Context(), "c")
				first := c.held["a"]
				delete(c.held, "a")
				switch i % 3 { // nobody else runs between the two
				case 0:
					cancel()
					first.Release()
				case 1:
					first.Release()
					cancel()
				case 2:
					go cancel()
					first.Release()
				}
				synctest.Wait()
				if i%3 == 2 && c.held["b"] != nil { // it was in time
					c.leave("b")
					c.want("a b c")
				} else {
					c.wantRefused("b", throttle.ReasonCanceled)
					c.want("a c")
				}
				c.all()
			})
		}
	}
}

// The same with the end of the longest wait: who was admitted before may go.
func TestMaxWaitWhileAdmitted(t *testing.T) {
	t.Parallel()
	for range 300 {
		synctest.Test(t, func(t *testing.T) {
			c := newCrowd(t, throttle.Config{Limit: 1, Queue: 2, MaxWait: time.Second})
			c.come(t.Context(), "a", "b")
			time.Sleep(time.Second / 2)
			c.come(t.Context(), "c")
			time.Sleep(time.Second / 2)
			c.leave("a") // with b's timer
			c.mu.Lock()
			b := c.out["b"] == "" && c.held["b"] != nil
			c.mu.Unlock()
			if b {
				c.leave("b")
			}
			if c.held["c"] == nil {
				t.Errorf("c was not admitted after a and b were done; b admitted: %t", b)
			}
			c.all()
		})
	}
}

// Nobody stands behind a request that may not go, and no client fills the
// queue.
func TestQueueIsFairToKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, throttle.Config{Limit: 4, PerKey: 2, Queue: 10, MaxWait: time.Minute})
		c.come(t.Context(), "a1", "a2", "a3", "a4", "a5")
		c.want("a1 a2")
		c.wantRefused("a5", throttle.ReasonKeyLimit)
		c.come(t.Context(), "b1", "c1")
		c.want("a1 a2 b1 c1")
		c.come(t.Context(), "d1", "e1")
		c.leave("a1") // a3 is behind d1 and e1 now: it may go only since now
		c.want("a1 a2 b1 c1 d1")
		c.leave("b1", "c1")
		c.want("a1 a2 b1 c1 d1 e1 a3")
		c.leave("d1")
		c.leave("a2")
		c.want("a1 a2 b1 c1 d1 e1 a3 a4")
		c.all()
	})
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, throttle.Config{Limit: 8, PerKey: 8, Queue: 5, MaxWait: time.Minute})
		c.come(t.Context(), "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "a10", "a11", "a12")
		c.wantRefused("a11", "")
		c.wantRefused("a12", throttle.ReasonKeyLimit) // with 3 of 5
		c.come(t.Context(), "b1", "c1", "d1")
		c.wantRefused("c1", "")
		c.wantRefused("d1", throttle.ReasonQueueFull)
		c.all()
	})
}

// A blocked request gets in line when one of its client gives up there, and may
// give up itself.
func TestGiveUpOfAKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, throttle.Config{Limit: 2, PerKey: 2, Queue: 8, MaxWait: time.Minute})
		ctx, cancel := context.WithCancel(t.Context())
		ctx2, cancel2 := context.WithCancel(t.Context())
		defer cancel2()
		c.come(t.Context(), "x1", "a1") // in flight
		c.come(ctx, "a2")               // in line
		c.come(ctx2, "a3")              // blocked
		cancel()
		synctest.Wait()
		c.wantRefused("a2", throttle.ReasonCanceled)
		c.leave("x1")
		c.want("x1 a1 a3")
		c.come(ctx2, "a4") // blocked
		cancel2()
		synctest.Wait()
		c.wantRefused("a4", throttle.ReasonCanceled)
		c.all()
	})
	// A reserve without critical requests leaves room, but not for ordinary
	// ones: whoever gets in line where nobody is goes at once.
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, throttle.Config{Limit: 3, PerKey: 2, Reserve: 1, Critical: func(*http.Request) bool { return false }, Queue: 8, MaxWait: time.Minute})
		ctx, cancel := context.WithCancel(t.Context())
		c.come(t.Context(), "x1", "a1")
		c.come(ctx, "a2")         // in line, for there is no room for ordinary ones
		c.come(t.Context(), "A3") // blocked, although there is for critical ones
		c.want("x1 a1")
		cancel()
		synctest.Wait()
		c.want("x1 a1 A3")
		c.all()
	})
}

func TestPanics(t *testing.T) {
	t.Parallel()
	const limit = 5
	for name, end := range map[string]func(){
		"panic":    func() { panic("a fault") },
		"ErrAbort": func() { panic(http.ErrAbortHandler) },
		"Goexit":   runtime.Goexit,
	} {
		for _, cfg := range []throttle.Config{
			{Limit: limit},
			{Limit: limit, PerKey: limit},
			{Limit: limit, Adaptive: true, Min: 1},
		} {
			th := mustNew(t, cfg)
			broken := th.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { end() }))
			for range limit {
				done := make(chan struct{})
				go func() {
					defer close(done)
					defer func() { _ = recover() }()
					serve(broken, from("192.0.2.1:80"))
				}()
				<-done
			}
			if got := serve(th.Handler(ok), from("192.0.2.1:80")).Code; got != http.StatusNoContent {
				t.Errorf("%s: status after as many as the limit = %d, want 204", name, got)
			}
			checkIdle(t, th)
		}
	}
}

// A hook of the user may panic too.
func TestPanicOfHook(t *testing.T) {
	t.Parallel()
	th := mustNew(t, throttle.Config{Limit: 1, OnDecision: func(context.Context, decision.Decision) { panic("a fault") }})
	for range 2 {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); got != "a fault" {
					t.Errorf("panic = %v, want the hook's", got)
				}
			}()
			serve(th.Handler(ok), from("192.0.2.1:80"))
		}()
	}
	checkIdle(t, th)
}

func TestRefusal(t *testing.T) {
	t.Parallel()
	var decisions []decision.Decision
	var log strings.Builder
	th := mustNew(t, throttle.Config{
		Limit:      1,
		RetryAfter: 1200 * time.Millisecond,
		OnDecision: func(_ context.Context, d decision.Decision) { decisions = append(decisions, d) },
		Logger:     slog.New(slog.NewTextHandler(&log, nil)),
	})
	called := false
	h := th.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { called = true; w.WriteHeader(http.StatusNoContent) }))
	p := mustAcquire(t, th, "", false)
	record := decision.NewRecord("id-1")
	r := from("192.0.2.1:80")
	w := serve(h, r.WithContext(decision.NewContext(r.Context(), record)))
	if w.Code != http.StatusServiceUnavailable || called {
		t.Fatalf("status = %d, handler called: %t, want 503 and not", w.Code, called)
	}
	for name, want := range map[string]string{"Retry-After": "2", "Cache-Control": "no-store", "Content-Type": "application/problem+json"} {
		if got := w.Header().Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	var body map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"type":       "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
		"title":      "Request cannot be satisfied due to temporary server capacity constraints",
		"status":     503.0,
		"detail":     "Too many requests are being answered. Try again later.",
		"request_id": "id-1",
	}
	if !maps.Equal(body, want) {
		t.Errorf("body = %v, want %v", body, want)
	}
	p.Release()
	if got := serve(h, from("192.0.2.1:80")).Code; got != http.StatusNoContent {
		t.Errorf("status after the permit came back = %d, want 204", got)
	}

	refused := decision.Decision{Layer: "throttle", Effect: decision.Deny, Reason: throttle.ReasonLimit, Status: 503}
	if got := record.Summary().Decisions; len(got) != 1 || got[0] != refused {
		t.Errorf("record = %+v, want %+v", got, refused)
	}
	admitted := decision.Decision{Layer: "throttle", Effect: decision.Allow, Reason: "admitted"}
	if len(decisions) != 2 || decisions[0] != refused || decisions[1] != admitted {
		t.Errorf("decisions = %+v, want %+v and %+v", decisions, refused, admitted)
	}
	if got := log.String(); !strings.Contains(got, `level=ERROR msg="throttle: refused" reason=limit status=503 request_id=id-1`) {
		t.Errorf("log = %s", got)
	}
	if got := th.Stats(); got.Limit != 1 || got.Refused[throttle.ReasonLimit] != 1 || len(got.Refused) != 6 {
		t.Errorf("Stats = %+v, want one refusal among six reasons", got)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		cfg  throttle.Config
		want string
	}{
		{"nothing set", throttle.Config{Limit: 1}, "1"},
		{"by wait", throttle.Config{Limit: 1, Queue: 1, MaxWait: 2001 * time.Millisecond}, "3"},
		{"short wait", throttle.Config{Limit: 1, Queue: 1, MaxWait: time.Millisecond}, "1"},
		{"set", throttle.Config{Limit: 1, Queue: 1, MaxWait: time.Second, RetryAfter: time.Minute}, "60"},
		{"less than a second", throttle.Config{Limit: 1, RetryAfter: time.Nanosecond}, "1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var got string
				tt.cfg.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, err error) {
					got = w.Header().Get("Retry-After")
					if w.Header().Get("Cache-Control") != "no-store" {
						t.Error("Cache-Control is not set before the ErrorHandler")
					}
					if e, ok := errors.AsType[*throttle.Error](err); !ok || fmt.Sprintf("%.0f", e.RetryAfter.Seconds()) != tt.want {
						t.Errorf("error = %#v, want RetryAfter of %s s", err, tt.want)
					}
				}
				th := mustNew(t, tt.cfg)
				p := mustAcquire(t, th, "", false)
				serve(th.Handler(ok), from("192.0.2.1:80"))
				if got != tt.want {
					t.Errorf("Retry-After = %q, want %q", got, tt.want)
				}
				p.Release()
			})
		})
	}
}

// statusError is an error of a user's KeyFunc.
type statusError int

func (statusError) Error() string     { return "secret of the client" }
func (s statusError) StatusCode() int { return int(s) }

func TestKeys(t *testing.T) {
	t.Parallel()
	failing := func(err error) ratelimit.KeyFunc {
		return func(*http.Request) (string, error) { return "", err }
	}
	for _, tt := range []struct {
		name   string
		key    ratelimit.KeyFunc
		addr   string
		want   int
		detail string
	}{
		{"address", nil, "192.0.2.1:80", 204, ""},
		{"no address", nil, "@", 503, "no client address"},
		{"empty", failing(nil), "192.0.2.1:80", 503, "the key is empty"},
		{"foreign error", failing(errors.New("secret of the client")), "192.0.2.1:80", 503, "*errors.errorString"},
		{"bad request", failing(statusError(400)), "192.0.2.1:80", 400, "throttle_test.statusError"},
		{"a status that is no error", failing(statusError(200)), "192.0.2.1:80", 503, "throttle_test.statusError"},
		{"exempt", failing(fmt.Errorf("not that one: %w", ratelimit.ErrSkip)), "192.0.2.1:80", 204, ""},
		{"header", ratelimit.ByHeader("X-Client"), "192.0.2.1:80", 400, "no X-Client header"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got decision.Decision
			th := mustNew(t, throttle.Config{Limit: 1, PerKey: 1, Key: tt.key, OnDecision: func(_ context.Context, d decision.Decision) { got = d }})
			w := serve(th.Handler(ok), from(tt.addr))
			if w.Code != tt.want {
				t.Errorf("status = %d, want %d", w.Code, tt.want)
			}
			if got.Detail != tt.detail {
				t.Errorf("detail = %q, want %q", got.Detail, tt.detail)
			}
			if tt.want != 204 && (got.Reason != throttle.ReasonKey || got.Status != tt.want || th.Stats().Refused[throttle.ReasonKey] != 1) {
				t.Errorf("decision = %+v, want %s with %d", got, throttle.ReasonKey, tt.want)
			}
			if body := w.Body.String(); strings.Contains(body, "secret") || strings.Contains(body, "temporary-reduced") {
				t.Errorf("body = %s", body)
			}
			if got := w.Header().Get("Retry-After"); got != "" {
				t.Errorf("Retry-After = %q, want none", got)
			}
			checkIdle(t, th)
		})
	}
}

// By default clients are their addresses, those of IPv6 their /64. Who is
// exempt from PerKey is not from Limit.
func TestHandlerPerKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		th := mustNew(t, throttle.Config{Limit: 3, PerKey: 1, Key: ratelimit.FirstOf(func(r *http.Request) (string, error) {
			if r.Header.Get("X-Test") != "" {
				return "", ratelimit.ErrSkip
			}
			return "", ratelimit.ErrNoKey
		}, ratelimit.ByAddr())})
		h := th.Handler(block(release))
		go serve(h, from("[2001:db8::1]:80"))
		synctest.Wait()
		if got := serve(h, from("[2001:db8::2]:80")).Code; got != http.StatusServiceUnavailable {
			t.Errorf("status of the second of a /64 = %d, want 503", got)
		}
		go serve(h, from("[2001:db8:0:1::1]:80"))
		exempt := from("[2001:db8::1]:80")
		exempt.Header.Set("X-Test", "1")
		go serve(h, exempt)
		synctest.Wait()
		if got := th.Stats().InFlight; got != 3 {
			t.Errorf("%d in flight, want 3", got)
		}
		if got := serve(h, exempt).Code; got != http.StatusServiceUnavailable {
			t.Errorf("status of the fourth = %d, want 503", got)
		}
		close(release)
		synctest.Wait()
		checkIdle(t, th)
	})
}

func TestHandlerCritical(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		th := mustNew(t, throttle.Config{Limit: 2, Reserve: 1, Critical: func(r *http.Request) bool { return r.URL.Path == "/healthz" }})
		h := th.Handler(block(release))
		go serve(h, from("192.0.2.1:80"))
		synctest.Wait()
		if got := serve(h, from("192.0.2.1:80")).Code; got != http.StatusServiceUnavailable {
			t.Errorf("status of an ordinary request = %d, want 503", got)
		}
		critical := httptest.NewRequest(http.MethodGet, "/healthz", nil)
		go func() {
			if got := serve(h, critical).Code; got != http.StatusNoContent {
				t.Errorf("status of a critical request = %d, want 204", got)
			}
		}()
		synctest.Wait()
		close(release)
		synctest.Wait()
		checkIdle(t, th)
	})
}

// A client that has gone is recorded, and does not get the 200 that net/http
// writes for a handler that did nothing.
func TestHandlerCanceled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := mustNew(t, throttle.Config{Limit: 1, Queue: 1, MaxWait: time.Minute})
		p := mustAcquire(t, th, "", false)
		record := decision.NewRecord("id")
		ctx, cancel := context.WithCancel(decision.NewContext(t.Context(), record))
		time.AfterFunc(time.Second, cancel)
		h := th.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") }))
		if got := serve(h, from("192.0.2.1:80").WithContext(ctx)).Code; got != http.StatusServiceUnavailable {
			t.Errorf("status = %d, want 503", got)
		}
		want := decision.Decision{Layer: "throttle", Reason: throttle.ReasonCanceled, Status: 503}
		if got := record.Summary().Decisions; len(got) != 1 || got[0] != want {
			t.Errorf("record = %+v, want %+v", got, want)
		}
		p.Release()
		checkIdle(t, th)
	})
}

func TestWriteError(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	throttle.WriteError(w, from("192.0.2.1:80"), errors.New("a secret"))
	if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "secret") || strings.Contains(w.Body.String(), "reduced") {
		t.Errorf("an unknown error: %d %s", w.Code, w.Body)
	}
	for _, why := range []string{throttle.ReasonLimit, throttle.ReasonKeyLimit, throttle.ReasonQueueFull, throttle.ReasonWait, throttle.ReasonCanceled} {
		w := httptest.NewRecorder()
		throttle.WriteError(w, from("192.0.2.1:80"), &throttle.Error{Reason: why, Err: statusError(400)})
		if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "#temporary-reduced-capacity") || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: %d %s", why, w.Code, w.Body)
		}
	}
	err := &throttle.Error{Reason: throttle.ReasonKey, Err: ratelimit.ErrNoKey}
	if got, want := err.Error(), "throttle: key: no key"; got != want || !errors.Is(err, ratelimit.ErrNoKey) {
		t.Errorf("Error = %q, want %q that wraps ErrNoKey", got, want)
	}
}

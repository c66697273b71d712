package ratelimit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/ratelimit"
)

var _ func(http.Handler) http.Handler = (*ratelimit.Limiter)(nil).Handler

func mustNew(tb testing.TB, cfg ratelimit.Config) *ratelimit.Limiter {
	tb.Helper()
	l, err := ratelimit.New(cfg)
	if err != nil {
		tb.Fatalf("New: %v", err)
	}
	return l
}

var ok = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })

// from returns a request from a remote address.
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

// decisions collects what a limiter reports.
type decisions struct {
	mu  sync.Mutex
	all []decision.Decision
}

func (d *decisions) add(_ context.Context, x decision.Decision) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, x)
}

func (d *decisions) last(t *testing.T) decision.Decision {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.all) == 0 {
		t.Fatal("nothing was reported")
	}
	return d.all[len(d.all)-1]
}

func TestNewReportsEveryMistake(t *testing.T) {
	t.Parallel()
	tooMany := make([]ratelimit.Policy, 9)
	for i := range tooMany {
		tooMany[i] = ratelimit.Policy{Name: "p" + strconv.Itoa(i), Limit: 1, Period: time.Second}
	}
	for _, tt := range []struct {
		name string
		cfg  ratelimit.Config
		want []string
	}{
		{"zero", ratelimit.Config{}, []string{"Limits is empty"}},
		{"several", ratelimit.Config{Limits: []string{"0-M", "5 per fortnight"}, Name: "a b", MaxKeys: -1, OnStoreFailure: 7}, []string{
			`Limits[0] is "0-M", want`, `Limits[1] is "5 per fortnight", want`, `Name is "a b", want`, "OnStoreFailure is 7, want", "MaxKeys is -1, want",
		}},
		{"nothing in a string", ratelimit.Config{Limits: []string{""}}, []string{`Limits[0] is "", want`}},
		{"policy", ratelimit.Config{Policies: []ratelimit.Policy{{Name: "ü", Limit: 0, Period: time.Microsecond, Burst: -1}}}, []string{
			`Policies[0].Name is "ü"`, "Policies[0].Limit is 0", "Policies[0].Period is 1µs", "Policies[0].Burst is -1",
		}},
		{"too fast to count", ratelimit.Config{Policies: []ratelimit.Policy{{Limit: math.MaxInt64, Period: time.Second}}}, []string{"Policies[0].Limit is 9223372036854775807, want at most 10000000 in 1s"}},
		{"a burst of centuries", ratelimit.Config{Policies: []ratelimit.Policy{{Limit: 1, Period: time.Hour, Burst: math.MaxInt64}}}, []string{"Policies[0].Burst is 9223372036854775807, want at most 87840"}},
		{"too long", ratelimit.Config{Policies: []ratelimit.Policy{{Limit: 1, Period: math.MaxInt64}}}, []string{"Policies[0].Period is"}},
		{"same name", ratelimit.Config{Limits: []string{"5-M; 7 per minute"}}, []string{`two limits called "minute"`}},
		{"too many", ratelimit.Config{Policies: tooMany}, []string{"are 9 limits, want at most 8"}},
		{"a store and no name", ratelimit.Config{Limits: []string{"5-M"}, Store: &sharedStore{}}, []string{"Name is empty, want a name for this limiter's counters"}},
		{"no store in FromLimiter", ratelimit.Config{Limits: []string{"5-M"}, Name: "a", Store: ratelimit.FromLimiter(nil)}, []string{"FromLimiter(nil)"}},
		{"a burst in FromLimiter", ratelimit.Config{Policies: []ratelimit.Policy{{Limit: 5, Period: time.Minute, Burst: 2}}, Name: "a", Store: ratelimit.FromLimiter(ululeMemory())}, []string{`Policies has "minute" with a Burst`}},
		{"an exact one in FromLimiter", ratelimit.Config{Policies: []ratelimit.Policy{{Limit: 5, Period: time.Minute, Exact: true}}, Name: "a", Store: ratelimit.FromLimiter(ululeMemory())}, []string{`Policies has "minute" with a Burst, Exact`}},
		{"exact", ratelimit.Config{Policies: []ratelimit.Policy{{Limit: 101, Period: time.Minute, Burst: 2, Exact: true, Backoff: time.Hour}}}, []string{
			"Policies[0].Limit is 101, want at most 100 with Exact", "Policies[0].Burst is 2, want 0 with Exact", "Policies[0].Backoff is 1h0m0s, want 0 with Exact",
		}},
		{"a wait that is none", ratelimit.Config{Policies: []ratelimit.Policy{{Limit: 5, Period: 15 * time.Minute, Backoff: time.Minute}, {Name: "b", Limit: 1, Period: time.Second, Backoff: -1}}}, []string{
			"Policies[0].Backoff is 1m0s, want 3m0s, which is Period/Limit, to 366 days", "Policies[1].Backoff is -1ns",
		}},
		{"a cost above the burst", ratelimit.Config{Limits: []string{"5-M"}, MaxCost: 6, Cost: func(*http.Request) int64 { return 1 }}, []string{`have "minute", which never admits MaxCost, 6`}},
		{"a cost without an end", ratelimit.Config{Limits: []string{"5-M"}, Cost: func(*http.Request) int64 { return 1 }}, []string{"MaxCost is 0, want the highest Cost"}},
		{"the end of no cost", ratelimit.Config{Limits: []string{"5-M"}, MaxCost: 1}, []string{"MaxCost is 1 without a Cost"}},
		{"headers that are hidden and not", ratelimit.Config{Limits: []string{"5-M"}, HideHeaders: true, LegacyHeaders: true}, []string{"LegacyHeaders is set, want it unset"}},
		{"a dry run that tells", ratelimit.Config{Limits: []string{"5-M"}, DryRun: true, LegacyHeaders: true}, []string{"LegacyHeaders is set, want it unset"}},
		{"a nil Memory", ratelimit.Config{Limits: []string{"5-M"}, Name: "a", Store: (*ratelimit.Memory)(nil)}, []string{"Store is a nil or zero *ratelimit.Memory"}},
		{"a zero Memory", ratelimit.Config{Limits: []string{"5-M"}, Name: "a", Store: new(ratelimit.Memory)}, []string{"Store is a nil or zero *ratelimit.Memory"}},
		{"a nil Store", ratelimit.Config{Limits: []string{"5-M"}, Name: "a", Store: (*sharedStore)(nil)}, []string{"Store is a nil or zero *ratelimit_test.sharedStore"}},
		{"two sizes of a Memory", ratelimit.Config{Limits: []string{"5-M"}, Name: "a", Store: mustMemory(t), MaxKeys: 8}, []string{"MaxKeys is 8, want 0 with a Memory as the Store"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l, err := ratelimit.New(tt.cfg)
			if err == nil || l != nil {
				t.Fatalf("New = %v, %v; want an error only", l, err)
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(tt.want) {
				t.Errorf("%d mistakes, want %d:\n%v", len(lines), len(tt.want), err)
			}
			for i, want := range tt.want {
				if i < len(lines) && (!strings.HasPrefix(lines[i], "ratelimit: ") || !strings.Contains(lines[i], want)) {
					t.Errorf("mistake %d = %q, want ratelimit: …%s…", i, lines[i], want)
				}
			}
		})
	}
}

func TestHandlerAdmitsTheLimitThenRefuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen decisions
		l := mustNew(t, ratelimit.Config{Limits: []string{"3 per minute"}, OnDecision: seen.add})
		h := l.Handler(ok)
		for i, want := range []string{`"minute";r=2;t=20`, `"minute";r=1;t=40`, `"minute";r=0;t=20`} {
			w := serve(h, from("192.0.2.1:1000"))
			if w.Code != http.StatusNoContent {
				t.Fatalf("request %d: status = %d, want 204", i, w.Code)
			}
			if got := w.Header().Get("RateLimit"); got != want {
				t.Errorf("request %d: RateLimit = %s, want %s", i, got, want)
			}
			if got, want := w.Header().Get("RateLimit-Policy"), `"minute";q=3;w=60`; got != want {
				t.Errorf("request %d: RateLimit-Policy = %s, want %s", i, got, want)
			}
			if got := w.Header().Get("Retry-After"); got != "" {
				t.Errorf("request %d: Retry-After = %s on an admitted request", i, got)
			}
			if d := seen.last(t); d.Layer != "ratelimit" || d.Effect != decision.Allow || d.Rule != "minute" || d.Reason != "admitted" {
				t.Errorf("request %d: decision = %+v", i, d)
			}
		}
		time.Sleep(500 * time.Millisecond)
		w := serve(h, from("192.0.2.1:2000")) // the port is not the client
		if w.Code != http.StatusTooManyRequests {
			t.Fatalf("fourth request: status = %d, want 429", w.Code)
		}
		for name, want := range map[string]string{
			"Retry-After": "20", "RateLimit": `"minute";r=0;t=20`, "RateLimit-Policy": `"minute";q=3;w=60`,
			"Cache-Control": "no-store", "Content-Type": "application/problem+json",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s = %q, want %q", name, got, want)
			}
		}
		var body struct {
			Type, Title, Detail string
			Status              int
			Violated            []string `json:"violated-policies"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatal(err)
		}
		if body.Type != "https://iana.org/assignments/http-problem-types#quota-exceeded" || body.Status != 429 || body.Title == "" || !slices.Equal(body.Violated, []string{"minute"}) {
			t.Errorf("problem = %+v", body)
		}
		d := seen.last(t)
		if d.Effect != decision.Deny || d.Rule != "minute" || d.Reason != ratelimit.ReasonQuota || d.Status != 429 || d.Detail != "3 per minute" {
			t.Errorf("decision = %+v", d)
		}
		if w := serve(h, from("192.0.2.2:1000")); w.Code != http.StatusNoContent {
			t.Errorf("another client: status = %d, want 204", w.Code)
		}
	})
}

// A client that waits as long as Retry-After says is admitted; one nanosecond
// earlier than the limit allows it is not.
func TestRetryAfterIsTrue(t *testing.T) {
	t.Parallel()
	for _, limits := range []string{"3 per minute", "7-S", "1 per 250 milliseconds", "10/s; 11 per 7 minutes", "1/d"} {
		t.Run(limits, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := mustNew(t, ratelimit.Config{Limits: []string{limits}}).Handler(ok)
				l := mustNew(t, ratelimit.Config{Limits: []string{limits}})
				for range 5 {
					w := serve(h, from("192.0.2.1:1"))
					for w.Code == http.StatusNoContent {
						w = serve(h, from("192.0.2.1:1"))
					}
					after, err := strconv.Atoi(w.Header().Get("Retry-After"))
					if err != nil || after < 1 {
						t.Fatalf("Retry-After = %q, want whole seconds from 1", w.Header().Get("Retry-After"))
					}
					if got, want := w.Header().Get("RateLimit"), ";r=0;t="+strconv.Itoa(after); !strings.HasSuffix(got, want) {
						t.Errorf("RateLimit = %s, want …%s: Retry-After must not be earlier", got, want)
					}
					res := take(t, l, "k", 1)
					for res.OK {
						res = take(t, l, "k", 1)
					}
					start := time.Now()
					time.Sleep(res.RetryAfter - 1)
					if take(t, l, "k", 1).OK {
						t.Fatalf("admitted 1 ns before RetryAfter %v", res.RetryAfter)
					}
					time.Sleep(time.Nanosecond)
					if !take(t, l, "k", 1).OK {
						t.Fatalf("refused after RetryAfter %v", res.RetryAfter)
					}
					time.Sleep(time.Duration(after)*time.Second - time.Since(start))
					if w := serve(h, from("192.0.2.1:1")); w.Code != http.StatusNoContent {
						t.Fatalf("status = %d after Retry-After %d, want 204", w.Code, after)
					}
				}
			})
		})
	}
}

func take(t *testing.T, l *ratelimit.Limiter, key string, cost int64) ratelimit.Result {
	t.Helper()
	res, err := l.Take(t.Context(), key, cost)
	if err != nil {
		t.Fatalf("Take(%q, %d): %v", key, cost, err)
	}
	return res
}

func TestTakePeeksAndGivesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := mustNew(t, ratelimit.Config{Limits: []string{"5 per minute"}, Name: "api"})
		for _, step := range []struct {
			name string
			cost int64
			want ratelimit.Result
		}{
			{"peek at a fresh key", 0, ratelimit.Result{OK: true, Remaining: 5}},
			{"give back what was never taken", -3, ratelimit.Result{OK: true, Remaining: 5}},
			{"take", 3, ratelimit.Result{OK: true, Remaining: 2, ResetAfter: 36 * time.Second, RetryAfter: 12 * time.Second}},
			{"peek", 0, ratelimit.Result{OK: true, Remaining: 2, ResetAfter: 36 * time.Second}},
			{"too much for now", 3, ratelimit.Result{OK: false, Remaining: 2, ResetAfter: 36 * time.Second, RetryAfter: 12 * time.Second}},
			{"the rest", 2, ratelimit.Result{OK: true, Remaining: 0, ResetAfter: 60 * time.Second, RetryAfter: 24 * time.Second}},
			{"peek at nothing", 0, ratelimit.Result{OK: false, Remaining: 0, ResetAfter: 60 * time.Second, RetryAfter: 12 * time.Second}},
			{"give one back", -1, ratelimit.Result{OK: true, Remaining: 1, ResetAfter: 48 * time.Second}},
			{"give back far too much", math.MinInt64, ratelimit.Result{OK: true, Remaining: 5}},
			{"and no more than the limit is there", 5, ratelimit.Result{OK: true, Remaining: 0, ResetAfter: 60 * time.Second, RetryAfter: 60 * time.Second}},
		} {
			want := step.want
			want.Policy, want.Limit = "api-minute", 5
			if got := take(t, l, "k", step.cost); got != want {
				t.Errorf("%s: Take(%d) = %+v, want %+v", step.name, step.cost, got, want)
			}
		}
	})
}

// Fault: a cost beyond the burst answered with "retry in 200 ms" for ever.
func TestCostBeyondTheBurstIsAnError(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]ratelimit.Config{
		"in process": {Limits: []string{"5-M; 100-H"}},
		"in a store": {Limits: []string{"5-M; 100-H"}, Name: "a", Store: &sharedStore{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := mustNew(t, cfg)
			for _, cost := range []int64{6, math.MaxInt64} {
				res, err := l.Take(t.Context(), "k", cost)
				e, _ := errors.AsType[*ratelimit.Error](err)
				if e == nil || e.Reason != ratelimit.ReasonCost || e.StatusCode() != 429 || e.RetryAfter != 0 || res.OK {
					t.Errorf("Take(%d) = %+v, %v; want an *Error for the cost", cost, res, err)
				}
			}
			if got := take(t, l, "k", 0); got.Remaining != 5 {
				t.Errorf("remaining = %d, want 5: it must have taken nothing", got.Remaining)
			}
		})
	}
}

func TestTakeRefusesAnEmptyKey(t *testing.T) {
	t.Parallel()
	l := mustNew(t, ratelimit.Config{Limits: []string{"5-M"}})
	res, err := l.Take(t.Context(), "", 1)
	if e, _ := errors.AsType[*ratelimit.Error](err); e == nil || e.Reason != ratelimit.ReasonKey || e.StatusCode() != 503 || res.OK {
		t.Errorf("Take = %+v, %v; want an *Error for the key", res, err)
	}
	if !errors.Is(err, ratelimit.ErrNoKey) {
		t.Errorf("errors.Is(%v, ErrNoKey) = false", err)
	}
}

// All or nothing: whichever of two limits refuses, the other keeps its count.
func TestRefusedRequestsTakeNothing(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]func() ratelimit.Store{
		"in process": func() ratelimit.Store { return nil },
		"ulule":      func() ratelimit.Store { return ratelimit.FromLimiter(ululeMemory()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := mustNew(t, ratelimit.Config{Limits: []string{"2-S; 6-H"}, Name: "a", Store: store()})
				admitted := 0
				for range 3 { // seconds
					for range 50 {
						if take(t, l, "k", 1).OK {
							admitted++
						}
					}
					time.Sleep(2 * time.Second)
				}
				if admitted != 6 {
					t.Errorf("admitted = %d, want 6: requests refused by the second must not count against the hour", admitted)
				}
				for range 50 {
					if res := take(t, l, "k", 1); res.OK || res.Policy != "a-hour" {
						t.Fatalf("Take = %+v, want the hour to refuse", res)
					}
				}
				// Give the hour one back: if refused requests had counted
				// against the second, there would be no room in it.
				take(t, l, "k", -1)
				if res := take(t, l, "k", 1); !res.OK {
					t.Errorf("Take = %+v after giving one back, want it admitted", res)
				}
			})
		})
	}
}

// Fault: two ulule limiters on one store, with the same key, share one
// counter, and "10/s and 20/h" admit 5 of the first 10 requests.
func TestSeveralLimitsHaveCountersOfTheirOwn(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]func() ratelimit.Store{
		"in process": func() ratelimit.Store { return nil },
		"ulule":      func() ratelimit.Store { return ratelimit.FromLimiter(ululeMemory()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := mustNew(t, ratelimit.Config{Limits: []string{"10-S, 20-H"}, Name: "a", Store: store()})
				for i := range 10 {
					if !take(t, l, "k", 1).OK {
						t.Fatalf("request %d refused", i)
					}
				}
				if take(t, l, "k", 1).OK {
					t.Error("11th request in a second admitted")
				}
				admitted := 10
				for range 4 {
					time.Sleep(time.Second + time.Millisecond)
					for range 10 {
						if take(t, l, "k", 1).OK {
							admitted++
						}
					}
				}
				if admitted != 20 {
					t.Errorf("admitted %d within the hour, want 20", admitted)
				}
			})
		})
	}
}

func TestViolatedPoliciesAreNamed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := mustNew(t, ratelimit.Config{Limits: []string{"2/s; 2 per 5 minutes; 100-D"}, Name: "login"}).Handler(ok)
		serve(h, from("192.0.2.1:1"))
		serve(h, from("192.0.2.1:1"))
		w := serve(h, from("192.0.2.1:1"))
		if got, want := w.Header().Get("RateLimit-Policy"), `"login-second";q=2;w=1, "login-5-minutes";q=2;w=300, "login-day";q=100;w=86400`; got != want {
			t.Errorf("RateLimit-Policy = %s, want %s", got, want)
		}
		if got, want := w.Header().Get("RateLimit"), `"login-5-minutes";r=0;t=150`; got != want {
			t.Errorf("RateLimit = %s, want %s: the one that refuses longest", got, want)
		}
		if !strings.Contains(w.Body.String(), `"violated-policies":["login-second","login-5-minutes"]`) {
			t.Errorf("body = %s, want both limits that refused", w.Body)
		}
	})
}

func TestPoliciesWithBurst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := mustNew(t, ratelimit.Config{Policies: []ratelimit.Policy{
			{Name: "smooth", Limit: 100, Period: 10 * time.Second, Burst: 3},
			{Limit: 4, Period: 1500 * time.Millisecond, Burst: 8},
		}})
		h := l.Handler(ok)
		for range 3 {
			if w := serve(h, from("192.0.2.1:1")); w.Code != http.StatusNoContent {
				t.Fatalf("status = %d within the burst", w.Code)
			}
		}
		w := serve(h, from("192.0.2.1:1"))
		if w.Code != http.StatusTooManyRequests {
			t.Errorf("status = %d beyond the burst, want 429", w.Code)
		}
		// A window of a second and a half cannot be told in whole seconds.
		if got, want := w.Header().Get("RateLimit-Policy"), `"smooth";q=100;w=10, "1500-milliseconds";q=4`; got != want {
			t.Errorf("RateLimit-Policy = %s, want %s", got, want)
		}
		time.Sleep(100 * time.Millisecond)
		if w := serve(h, from("192.0.2.1:1")); w.Code != http.StatusNoContent {
			t.Errorf("status = %d after one unit, want 204", w.Code)
		}
	})
}

// Never tell a client of more than its quota, whatever the burst.
func TestRemainingIsNeverMoreThanTheQuota(t *testing.T) {
	t.Parallel()
	h := mustNew(t, ratelimit.Config{Policies: []ratelimit.Policy{{Limit: 5, Period: time.Hour, Burst: 50}}}).Handler(ok)
	if got := serve(h, from("192.0.2.1:1")).Header().Get("RateLimit"); !strings.HasPrefix(got, `"hour";r=5;`) {
		t.Errorf("RateLimit = %s, want r=5", got)
	}
}

func TestLimitersInOneChainFormOneList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		outer := mustNew(t, ratelimit.Config{Limits: []string{"10-M"}, Name: "addr"})
		inner := mustNew(t, ratelimit.Config{Limits: []string{"1-M"}, Name: "route"})
		h := outer.Handler(inner.Handler(ok))
		serve(h, from("192.0.2.1:1"))
		w := serve(h, from("192.0.2.1:1"))
		if w.Code != http.StatusTooManyRequests {
			t.Errorf("status = %d, want 429", w.Code)
		}
		for name, want := range map[string]string{
			"RateLimit-Policy": `"addr-minute";q=10;w=60, "route-minute";q=1;w=60`,
			"RateLimit":        `"addr-minute";r=8;t=12, "route-minute";r=0;t=60`,
			"Retry-After":      "60",
		} {
			if got := w.Result().Header[http.CanonicalHeaderKey(name)]; !slices.Equal(got, []string{want}) {
				t.Errorf("%s = %q, want one line %q", name, got, want)
			}
		}
	})
}

// Fault: with the path in the key, whoever varies the path is never limited.
func TestRotatingThePathDoesNotHelp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := mustNew(t, ratelimit.Config{Limits: []string{"5-M"}}).Handler(ok)
		admitted := 0
		for i := range 50 {
			r := httptest.NewRequest([]string{"GET", "POST", "HEAD", "OPTIONS"}[i%4], "/p"+strconv.Itoa(i)+"?q="+strconv.Itoa(i), nil)
			r.RemoteAddr = fmt.Sprintf("192.0.2.1:%d", 1000+i)
			if serve(h, r).Code == http.StatusNoContent {
				admitted++
			}
		}
		if admitted != 5 {
			t.Errorf("admitted = %d of 50, want 5", admitted)
		}
	})
}

func TestErrorHandlerFindsTheHeadersSet(t *testing.T) {
	t.Parallel()
	var got *ratelimit.Error
	h := mustNew(t, ratelimit.Config{Limits: []string{"1-D"}, ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
		got, _ = errors.AsType[*ratelimit.Error](err)
		for _, name := range []string{"RateLimit", "RateLimit-Policy", "Retry-After", "Cache-Control"} {
			if w.Header().Get(name) == "" {
				t.Errorf("%s is not set when the ErrorHandler runs", name)
			}
		}
		w.WriteHeader(http.StatusTeapot)
	}}).Handler(ok)
	serve(h, from("192.0.2.1:1"))
	if w := serve(h, from("192.0.2.1:1")); w.Code != http.StatusTeapot {
		t.Errorf("status = %d, want the ErrorHandler's", w.Code)
	}
	if got == nil || got.Reason != ratelimit.ReasonQuota || !slices.Equal(got.Violated, []string{"day"}) || got.RetryAfter <= 0 {
		t.Errorf("error = %+v, want quota, day and a time", got)
	}
	if got != nil && !strings.HasPrefix(got.Error(), "ratelimit: quota: 1 per day; the next in ") {
		t.Errorf("Error() = %q", got.Error())
	}
}

func TestHandlerPanicsOnANilLimiter(t *testing.T) {
	t.Parallel()
	defer func() {
		if got := recover(); got != "ratelimit: Handler of a nil *Limiter" {
			t.Errorf("panic = %v", got)
		}
	}()
	(*ratelimit.Limiter)(nil).Handler(ok)
}

func TestRecordAndRoute(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.Handle("GET /orders/{id}", ok)
	h := mustNew(t, ratelimit.Config{Limits: []string{"1-D"}, Name: "addr"}).Handler(mux)
	rec := decision.NewRecord("id-1")
	var w *httptest.ResponseRecorder
	for range 2 {
		r := httptest.NewRequest(http.MethodGet, "/orders/7", nil)
		w = serve(h, r.WithContext(decision.NewContext(r.Context(), rec)))
	}
	if !strings.Contains(w.Body.String(), `"request_id":"id-1"`) {
		t.Errorf("body = %s, want the request id", w.Body)
	}
	sum := rec.Seal()
	if sum.Route != "/orders/{id}" {
		t.Errorf("route = %q", sum.Route)
	}
	if len(sum.Decisions) != 2 || sum.Decisions[0].Effect != decision.Allow || sum.Decisions[1].Effect != decision.Deny || sum.Decisions[1].Rule != "addr-day" {
		t.Errorf("decisions = %+v", sum.Decisions)
	}
}

func TestWriteErrorOfForeignErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err    error
		status int
	}{
		{errors.New("canary"), 503},
		{&ratelimit.Error{Reason: ratelimit.ReasonStore, Err: errors.New("canary")}, 503},
		{&ratelimit.Error{Err: errors.New("canary")}, 503},
		{&ratelimit.Error{Reason: ratelimit.ReasonQuota, Violated: []string{"a"}, Err: errors.New("canary")}, 429},
		{&ratelimit.Error{Reason: ratelimit.ReasonCost, Err: errors.New("canary")}, 429},
		{&ratelimit.Error{Reason: ratelimit.ReasonKey, Err: statusError(401)}, 401},
		{&ratelimit.Error{Reason: ratelimit.ReasonKey, Err: statusError(400)}, 400},
		{&ratelimit.Error{Reason: ratelimit.ReasonKey, Err: statusError(200)}, 503},
	} {
		w := httptest.NewRecorder()
		ratelimit.WriteError(w, from("192.0.2.1:1"), tt.err)
		if w.Code != tt.status {
			t.Errorf("%v: status = %d, want %d", tt.err, w.Code, tt.status)
		}
		if !json.Valid(w.Body.Bytes()) || bytes.Contains(w.Body.Bytes(), []byte("canary")) {
			t.Errorf("%v: body = %s", tt.err, w.Body)
		}
	}
}

type statusError int

func (e statusError) Error() string   { return "canary" }
func (e statusError) StatusCode() int { return int(e) }

// Faults: X-RateLimit fields were added twice, and Retry-After was no number
// and no date.
func TestFieldsAreStructuredAndSetOnce(t *testing.T) {
	t.Parallel()
	item := regexp.MustCompile(`^"[A-Za-z0-9._-]+";r=[0-9]{1,15};t=[0-9]{1,15}$`)
	policy := regexp.MustCompile(`^"[A-Za-z0-9._-]+";q=[0-9]{1,15}(;w=[1-9][0-9]{0,14})?$`)
	for _, limits := range []string{"1-S", "10000000 per second", "3660000000 per 366 days", "1 per 366 days", "5 per 1500 ms"} {
		h := mustNew(t, ratelimit.Config{Limits: []string{limits}}).Handler(ok)
		for range 3 {
			w := serve(h, from("192.0.2.1:1"))
			if got := w.Result().Header["Ratelimit"]; len(got) != 1 || !item.MatchString(got[0]) {
				t.Errorf("%s: RateLimit = %q", limits, got)
			}
			if got := w.Result().Header["Ratelimit-Policy"]; len(got) != 1 || !policy.MatchString(got[0]) {
				t.Errorf("%s: RateLimit-Policy = %q", limits, got)
			}
			if _, err := strconv.ParseUint(w.Header().Get("Retry-After"), 10, 32); w.Code == 429 && err != nil {
				t.Errorf("%s: Retry-After = %q", limits, w.Header().Get("Retry-After"))
			}
		}
	}
}

func TestLogAndHints(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	h := mustNew(t, ratelimit.Config{Limits: []string{"1-D"}, Key: ratelimit.ByPrincipal(), Logger: logger}).Handler(ok)
	for range 3 {
		serve(h, from("192.0.2.1:1"))
	}
	if got := strings.Count(log.String(), "put the limiter behind auth's Gate.Handler"); got != 1 {
		t.Errorf("the hint stands %d times in the log, want once:\n%s", got, &log)
	}
	if got := strings.Count(log.String(), "reason=key status=503"); got != 3 {
		t.Errorf("%d refusals in the log, want 3:\n%s", got, &log)
	}

	log.Reset()
	h = mustNew(t, ratelimit.Config{Limits: []string{"1-D"}, MaxKeys: 1, Logger: logger}).Handler(ok)
	for i := range 20 {
		serve(h, from(fmt.Sprintf("192.0.2.%d:1", i)))
	}
	if got := strings.Count(log.String(), "more clients than MaxKeys"); got != 1 {
		t.Errorf("the hint stands %d times in the log, want once:\n%s", got, &log)
	}
}

func TestFailureString(t *testing.T) {
	t.Parallel()
	for f, want := range map[ratelimit.Failure]string{ratelimit.FailLocal: "local", ratelimit.FailClosed: "closed", ratelimit.FailOpen: "open", 9: "unknown"} {
		if got := f.String(); got != want {
			t.Errorf("Failure(%d) = %q, want %q", f, got, want)
		}
	}
}

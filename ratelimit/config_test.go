package ratelimit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ulule/limiter/v3"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/auth/principal"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/tlsredirect/clientip"
)

func by(r *http.Request, p principal.Principal) *http.Request {
	if p.Issuer == "" {
		p.Issuer = "https://id.example.com"
	}
	return r.WithContext(principal.NewContext(r.Context(), &p))
}

func statuses(h http.Handler, n int, r func() *http.Request) (codes []int) {
	for range n {
		codes = append(codes, serve(h, r()).Code)
	}
	return codes
}

func TestPlan(t *testing.T) {
	t.Parallel()
	gold := []ratelimit.Policy{{Name: "gold", Limit: 4, Period: time.Hour}}
	var seen decisions
	h := mustNew(t, ratelimit.Config{
		Limits: []string{"1-H"}, Name: "api", Key: ratelimit.ByPrincipal(), OnDecision: seen.add,
		Plan: func(r *http.Request) []ratelimit.Policy {
			switch p, _ := principal.FromContext(r.Context()); p.Subject {
			case "rich":
				return gold
			case "exact":
				return []ratelimit.Policy{{Name: "few", Limit: 2, Period: time.Hour, Exact: true}}
			case "nameless":
				return []ratelimit.Policy{{Limit: 3, Period: time.Hour}}
			case "doubled":
				return []ratelimit.Policy{{Name: "a", Limit: 1, Period: time.Hour}, {Name: "a", Limit: 2, Period: time.Hour}}
			case "broken":
				return []ratelimit.Policy{{Name: "a", Limit: 0, Period: time.Hour}, {Name: "b", Limit: 1}}
			}
			return nil
		},
	}).Handler(ok)
	for _, tt := range []struct {
		subject, policy string
		want            []int
	}{
		{"rich", `"api-gold";q=4;w=3600`, []int{204, 204, 204, 204, 429}},
		{"poor", `"api-hour";q=1;w=3600`, []int{204, 429, 429, 429, 429}},
		{"exact", `"api-few";q=2;w=3600`, []int{204, 204, 429, 429, 429}},
		{"nameless", "", []int{503, 503, 503, 503, 503}},
		{"doubled", "", []int{503, 503, 503, 503, 503}},
		{"broken", "", []int{503, 503, 503, 503, 503}},
	} {
		got := make([]int, 0, 5)
		for range 5 {
			w := serve(h, by(from("192.0.2.1:1"), principal.Principal{Subject: tt.subject}))
			got = append(got, w.Code)
			if field := w.Header().Get("RateLimit-Policy"); field != tt.policy {
				t.Errorf("%s: RateLimit-Policy = %s, want %s", tt.subject, field, tt.policy)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: statuses = %v, want %v", tt.subject, got, tt.want)
		}
	}
	plain := mustNew(t, ratelimit.Config{
		Limits: []string{"1-H"}, Name: "a", Store: ratelimit.FromLimiter(ululeMemory()),
		Plan: func(*http.Request) []ratelimit.Policy {
			return []ratelimit.Policy{{Name: "a", Limit: 2, Period: time.Hour, Burst: 1}}
		},
	}).Handler(ok)
	if got := serve(plain, from("192.0.2.1:1")).Code; got != http.StatusServiceUnavailable {
		t.Errorf("a plan that the Store cannot count: status = %d, want 503", got)
	}

	// Ever new plans are no way to make memory grow, nor past a limit.
	n := 0
	forever := mustNew(t, ratelimit.Config{
		Limits: []string{"1-H"}, Key: func(*http.Request) (string, error) { return "all", nil },
		Plan: func(*http.Request) []ratelimit.Policy {
			n++
			return []ratelimit.Policy{{Name: "p", Limit: 2 + int64(n%2), Period: time.Hour, Burst: 2}, {Name: "q" + strconv.Itoa(n/4), Limit: 2, Period: time.Hour}}
		},
	})
	if got := statuses(forever.Handler(ok), 2000, func() *http.Request { return from("192.0.2.1:1") }); slices.Index(got, 429) != 2 || slices.Contains(got[2:], 204) {
		t.Errorf("ever new plans: statuses = %v…, want 204 twice and then 429", got[:5])
	}
	if n := ratelimit.Plans(forever); n > 256 {
		t.Errorf("%d plans are remembered, want at most 256", n)
	}
	if d := seen.last(t); d.Reason != ratelimit.ReasonMisuse || !strings.Contains(d.Detail, "Limit is 0") || !strings.Contains(d.Detail, "Period is 0s") {
		t.Errorf("decision = %+v, want misuse with both faults", d)
	}
}

func TestCost(t *testing.T) {
	t.Parallel()
	var seen decisions
	h := mustNew(t, ratelimit.Config{
		Limits: []string{"10-H"}, MaxCost: 6, OnDecision: seen.add,
		Cost: func(r *http.Request) int64 {
			n, err := strconv.ParseInt(r.Header.Get("X-Items"), 10, 64)
			if err != nil {
				return 1
			}
			return n
		},
	}).Handler(ok)
	for i, tt := range []struct {
		items  string
		status int
		left   string
		reason string
	}{
		{"6", 204, `"hour";r=4;`, "admitted"},
		{"5", 429, `"hour";r=0;`, ratelimit.ReasonQuota}, // and takes nothing
		{"4", 204, `"hour";r=0;`, "admitted"},
		{"0", 204, "", "exempt"},
		{"7", 429, "", ratelimit.ReasonCost},
		{"-1", 503, "", ratelimit.ReasonMisuse},
		{"9223372036854775807", 429, "", ratelimit.ReasonCost},
		{"-9223372036854775808", 503, "", ratelimit.ReasonMisuse},
	} {
		r := from("192.0.2.1:1")
		r.Header.Set("X-Items", tt.items)
		w := serve(h, r)
		if got := w.Header().Get("RateLimit"); w.Code != tt.status || !strings.HasPrefix(got, tt.left) || tt.left == "" && got != "" {
			t.Errorf("%d: %s: status = %d, RateLimit = %s, want %d and %s", i, tt.items, w.Code, got, tt.status, tt.left)
		}
		if d := seen.last(t); d.Reason != tt.reason {
			t.Errorf("%d: %s: reason = %s, want %s", i, tt.items, d.Reason, tt.reason)
		}
	}
}

func TestExempt(t *testing.T) {
	t.Parallel()
	var seen decisions
	skip := func(r *http.Request) bool { return r.URL.Path == "/health" }
	for name, cfg := range map[string]ratelimit.Config{
		"Exempt": {Exempt: skip},
		"ErrSkip": {Key: func(r *http.Request) (string, error) {
			if skip(r) {
				return "", ratelimit.ErrSkip
			}
			return "all", nil
		}},
	} {
		cfg.Limits, cfg.OnDecision = []string{"1-H"}, seen.add
		h := mustNew(t, cfg).Handler(ok)
		health := func() *http.Request {
			r := httptest.NewRequest(http.MethodGet, "/health", nil)
			r.RemoteAddr = "" // nor is a key needed
			return r
		}
		if got := statuses(h, 3, health); !slices.Equal(got, []int{204, 204, 204}) {
			t.Errorf("%s: /health: statuses = %v, want 204", name, got)
		}
		if d := seen.last(t); d.Effect != decision.Allow || d.Reason != "exempt" {
			t.Errorf("%s: decision = %+v, want exempt", name, d)
		}
		if got := statuses(h, 2, func() *http.Request { return from("192.0.2.1:1") }); !slices.Equal(got, []int{204, 429}) {
			t.Errorf("%s: statuses = %v, want 204 and 429", name, got)
		}
	}
}

// Requests take when they come and give back after the answer, so that a flood
// of guesses at once gets no further than guesses one by one.
func TestCountIf(t *testing.T) {
	t.Parallel()
	failures := func(status int) bool { return status == http.StatusUnauthorized || status >= 500 }
	answer := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/panic":
			panic(http.ErrAbortHandler)
		case "/late":
			w.WriteHeader(http.StatusOK)
			panic(http.ErrAbortHandler)
		case "/nothing":
		default:
			code, _ := strconv.Atoi(r.URL.Path[1:])
			w.WriteHeader(code)
		}
	}
	for path, counts := range map[string]bool{"/401": true, "/503": true, "/panic": true, "/204": false, "/404": false, "/nothing": false, "/late": false} {
		shared := mustMemory(t)
		for name, store := range map[string]ratelimit.Store{"in process": nil, "Memory": mustMemory(t), "Store": storeFunc(
			func(ctx context.Context, dst []ratelimit.Result, reqs []ratelimit.Request) ([]ratelimit.Result, error) {
				if ctx.Err() != nil {
					return dst, ctx.Err()
				}
				return shared.Take(ctx, dst, reqs)
			})} {
			l := mustNew(t, ratelimit.Config{Name: "a", Limits: []string{"3-H"}, CountIf: failures, Store: store})
			var hangUp context.CancelFunc
			h := l.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				hangUp()
				answer(w, r)
			}))
			for range 5 {
				func() {
					defer func() { _ = recover() }()
					r := httptest.NewRequest(http.MethodPost, path, nil)
					r.RemoteAddr = "192.0.2.1:1"
					var ctx context.Context
					ctx, hangUp = context.WithCancel(r.Context())
					serve(h, r.WithContext(ctx))
				}()
			}
			want := int64(3)
			if counts {
				want = 0
			}
			if res := take(t, l, "addr:192.0.2.1/32", 0); res.Remaining != want {
				t.Errorf("%s %s: %d left of 3 after 5, want %d", name, path, res.Remaining, want)
			}
		}
	}

	// What became of a connection that was taken over is unknown.
	l := mustNew(t, ratelimit.Config{Limits: []string{"3-H"}, CountIf: func(int) bool { return false }, Key: func(*http.Request) (string, error) { return "all", nil }})
	server := httptest.NewServer(l.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			err = conn.Close()
		}
		if err != nil {
			t.Error(err)
		}
	})))
	if resp, err := server.Client().Get(server.URL); err == nil {
		_ = resp.Body.Close()
		t.Error("a connection that was taken over answered")
	}
	server.Close()
	if res := take(t, l, "all", 0); res.Remaining != 2 {
		t.Errorf("%d left of 3 after a connection was taken over, want 2", res.Remaining)
	}

	var inside, most atomic.Int32
	h := mustNew(t, ratelimit.Config{Limits: []string{"3-H"}, CountIf: failures}).Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		most.Store(max(most.Load(), inside.Add(1)))
		time.Sleep(time.Millisecond)
		inside.Add(-1)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	var wg sync.WaitGroup
	var refused atomic.Int32
	for range 50 {
		wg.Go(func() {
			if serve(h, from("192.0.2.1:1")).Code == http.StatusTooManyRequests {
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	if refused.Load() != 47 || most.Load() > 3 {
		t.Errorf("%d of 50 at once refused and up to %d let in, want 47 and 3", refused.Load(), most.Load())
	}
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	var seen decisions
	l := mustNew(t, ratelimit.Config{Limits: []string{"1-H"}, DryRun: true, OnDecision: seen.add})
	h := l.Handler(ok)
	for i := range 3 {
		w := serve(h, from("192.0.2.1:1"))
		if w.Code != http.StatusNoContent || len(w.Header()) != 0 {
			t.Errorf("request %d: status = %d, headers = %v, want 204 and none", i, w.Code, w.Header())
		}
	}
	if d := seen.last(t); d.Effect != decision.Observe || d.Reason != ratelimit.ReasonQuota || d.Rule != "hour" {
		t.Errorf("decision = %+v, want the refusal as an observation", d)
	}
	if got := l.Stats().Refused; got != 2 {
		t.Errorf("Stats().Refused = %d, want 2", got)
	}
	if w := serve(h, from("")); w.Code != http.StatusNoContent {
		t.Errorf("without an address: status = %d, want 204", w.Code)
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for name, tt := range map[string]struct {
			cfg             ratelimit.Config
			admitted, after http.Header
		}{
			"default": {
				ratelimit.Config{},
				http.Header{"Ratelimit-Policy": {`"minute";q=2;w=60`}, "Ratelimit": {`"minute";r=1;t=30`}},
				http.Header{"Ratelimit-Policy": {`"minute";q=2;w=60`}, "Ratelimit": {`"minute";r=0;t=30`}, "Retry-After": {"30"}},
			},
			"hidden": {ratelimit.Config{HideHeaders: true}, http.Header{}, http.Header{"Retry-After": {"30"}}},
			"legacy": {
				ratelimit.Config{LegacyHeaders: true},
				http.Header{
					"Ratelimit-Policy": {`"minute";q=2;w=60`}, "Ratelimit": {`"minute";r=1;t=30`},
					"X-Ratelimit-Limit": {"2"}, "X-Ratelimit-Remaining": {"1"}, "X-Ratelimit-Reset": {strconv.FormatInt(time.Now().Unix()+30, 10)},
				},
				http.Header{
					"Ratelimit-Policy": {`"minute";q=2;w=60`}, "Ratelimit": {`"minute";r=0;t=30`}, "Retry-After": {"30"},
					"X-Ratelimit-Limit": {"2"}, "X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {strconv.FormatInt(time.Now().Unix()+30, 10)},
				},
			},
		} {
			tt.cfg.Limits = []string{"2-M"}
			h := mustNew(t, tt.cfg).Handler(ok)
			for i, want := range []http.Header{tt.admitted, nil, tt.after} {
				w := serve(h, from("192.0.2.1:1"))
				if want == nil {
					continue
				}
				for _, of := range []string{"Content-Type", "Content-Length", "Cache-Control", "X-Content-Type-Options"} {
					w.Header().Del(of)
				}
				if got := w.Header(); len(got) != len(want) {
					t.Errorf("%s: request %d: headers = %v, want %v", name, i, got, want)
				}
				for field, values := range want {
					if got := w.Header()[field]; !slices.Equal(got, values) {
						t.Errorf("%s: request %d: %s = %q, want %q", name, i, field, got, values)
					}
				}
			}
		}
	})
}

// Clients that have as much left share the text of a field, and no others do.
func TestFieldsTellWhatIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := mustNew(t, ratelimit.Config{Limits: []string{"100000 per second"}}).Handler(ok)
		for i := range 300 {
			want := fmt.Sprintf(`"second";r=%d;t=1`, 99999-i)
			if got := serve(h, from("192.0.2.1:1")).Header().Get("RateLimit"); got != want {
				t.Fatalf("request %d: RateLimit = %s, want %s", i, got, want)
			}
		}
		h = mustNew(t, ratelimit.Config{Limits: []string{"1-D"}}).Handler(ok)
		serve(h, from("192.0.2.1:1"))
		for i := range 300 {
			w := serve(h, from("192.0.2.1:1"))
			left := strconv.Itoa(86400 - i)
			if got := w.Header().Get("RateLimit"); got != `"day";r=0;t=`+left || w.Header().Get("Retry-After") != left {
				t.Fatalf("after %d s: RateLimit = %s, Retry-After = %s, want %s s", i, got, w.Header().Get("Retry-After"), left)
			}
			time.Sleep(time.Second)
		}
	})
}

// Appending to one header of an answer must not change another one.
func TestHeadersShareNoRoom(t *testing.T) {
	t.Parallel()
	h := mustNew(t, ratelimit.Config{Limits: []string{"2-M"}, LegacyHeaders: true}).Handler(ok)
	w := serve(h, from("192.0.2.1:1"))
	before := w.Header().Clone()
	for name := range before {
		w.Header()[name] = append(w.Header()[name], "more")
		if got := w.Header()[name][0]; got != before[name][0] {
			t.Errorf("%s = %q after others were appended to, want %q", name, got, before[name][0])
		}
	}
}

func TestLimitersShareAMemory(t *testing.T) {
	t.Parallel()
	m := mustMemory(t)
	a := mustNew(t, ratelimit.Config{Limits: []string{"2-H"}, Name: "a", Store: m})
	again := mustNew(t, ratelimit.Config{Limits: []string{"2-H"}, Name: "a", Store: m})
	other := mustNew(t, ratelimit.Config{Limits: []string{"2-H"}, Name: "b", Store: m})
	take(t, a, "k", 1)
	if res := take(t, again, "k", 1); res.Remaining != 0 {
		t.Errorf("of one name: %d left, want 0", res.Remaining)
	}
	if res := take(t, other, "k", 1); res.Remaining != 1 {
		t.Errorf("of another name: %d left, want 1", res.Remaining)
	}
	if err := a.Reset(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if res := take(t, again, "k", 0); res.Remaining != 2 {
		t.Errorf("after Reset: %d left, want 2", res.Remaining)
	}
}

// A Memory serves ulule/limiter, too.
func TestMemoryIsAStoreOfUlule(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := mustMemory(t)
		rate := limiter.Rate{Limit: 3, Period: time.Minute}
		l := limiter.New(m, rate)
		for i, want := range []limiter.Context{
			{Limit: 3, Remaining: 2, Reset: time.Now().Unix() + 20},
			{Limit: 3, Remaining: 1, Reset: time.Now().Unix() + 40},
			{Limit: 3, Remaining: 0, Reset: time.Now().Unix() + 60},
			{Limit: 3, Remaining: 0, Reset: time.Now().Unix() + 60, Reached: true},
		} {
			if got, err := l.Get(t.Context(), "k"); got != want || err != nil {
				t.Errorf("Get %d = %+v, %v, want %+v", i, got, err, want)
			}
		}
		if got, err := l.Peek(t.Context(), "k"); got.Remaining != 0 || err != nil {
			t.Errorf("Peek = %+v, %v, want nothing left", got, err)
		}
		if got, err := l.Increment(t.Context(), "k", -1); got.Remaining != 1 || got.Reached || err != nil {
			t.Errorf("Increment by -1 = %+v, %v, want 1 left", got, err)
		}
		if got, err := l.Increment(t.Context(), "k", 4); !got.Reached || got.Remaining != 1 || err != nil {
			t.Errorf("Increment by 4 of 3 = %+v, %v, want it refused", got, err)
		}
		if got, err := l.Increment(t.Context(), "k", -1<<62); got.Remaining != 3 || err != nil {
			t.Errorf("giving back more than all = %+v, %v, want 3 left", got, err)
		}
		if got, err := l.Reset(t.Context(), "k"); got.Remaining != 3 || err != nil {
			t.Errorf("Reset = %+v, %v, want 3 left", got, err)
		}
		for _, rate := range []limiter.Rate{{}, {Limit: 1, Period: time.Microsecond}, {Limit: -1, Period: time.Second}, {Limit: 1 << 62, Period: time.Second}} {
			if _, err := m.Get(t.Context(), "k", rate); err == nil {
				t.Errorf("Get at %+v: no error", rate)
			}
		}
		if _, err := new(ratelimit.Memory).Get(t.Context(), "k", rate); err == nil {
			t.Error("Get of a zero Memory: no error")
		}
	})
}

func TestMemoryRefusesWhatItCannotCount(t *testing.T) {
	t.Parallel()
	good := ratelimit.Policy{Name: "a", Limit: 1, Period: time.Second, Burst: 1}
	for name, reqs := range map[string][]ratelimit.Request{
		"no limit":  {{Key: "k", Policy: ratelimit.Policy{Name: "a", Period: time.Second, Burst: 1}, Cost: 1}},
		"no period": {{Key: "k", Policy: ratelimit.Policy{Name: "a", Limit: 1, Burst: 1}, Cost: 1}},
		"no burst":  {{Key: "k", Policy: ratelimit.Policy{Name: "a", Limit: 1, Period: time.Second}, Cost: 1}},
		"cost":      {{Key: "k", Policy: good, Cost: 2}},
		"exact":     {{Key: "k", Policy: ratelimit.Policy{Name: "a", Limit: 101, Period: time.Second, Burst: 101, Exact: true}, Cost: 1}},
		"too many":  slices.Repeat([]ratelimit.Request{{Key: "k", Policy: good, Cost: 1}}, 9),
	} {
		if _, err := mustMemory(t).Take(t.Context(), nil, reqs); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := (*ratelimit.Memory)(nil).Take(t.Context(), nil, []ratelimit.Request{{Key: "k", Policy: good, Cost: 1}}); err == nil {
		t.Error("a nil Memory: no error")
	}
	if got, err := mustMemory(t).Take(t.Context(), nil, nil); len(got) != 0 || err != nil {
		t.Errorf("no requests = %v, %v, want nothing", got, err)
	}
	for _, n := range []int{-1, 1<<24 + 1} {
		if _, err := ratelimit.NewMemory(ratelimit.MemoryConfig{MaxKeys: n}); err == nil {
			t.Errorf("MaxKeys of %d: no error", n)
		}
	}
}

func TestFirstOfAndByRoute(t *testing.T) {
	t.Parallel()
	first := ratelimit.FirstOf(ratelimit.ByPrincipal(), ratelimit.ByAddr())
	known := by(from("192.0.2.1:1"), principal.Principal{Subject: "ann"})
	for name, tt := range map[string]struct {
		key  ratelimit.KeyFunc
		r    *http.Request
		want string
	}{
		"the first":          {first, known, "principal:22:https://id.example.comann"},
		"the second":         {first, from("192.0.2.1:1"), "addr:192.0.2.1/32"},
		"none":               {first, from(""), ""},
		"an empty key":       {ratelimit.FirstOf(func(*http.Request) (string, error) { return "", nil }, ratelimit.ByAddr()), known, ""},
		"another error":      {ratelimit.FirstOf(func(*http.Request) (string, error) { return "", errors.New("down") }, ratelimit.ByAddr()), known, ""},
		"no route":           {ratelimit.ByRoute(nil), known, ""},
		"a router's own":     {ratelimit.ByRoute(func(*http.Request) string { return "/orders/{id}" }), known, "route:/orders/{id}"},
		"a route and a name": {ratelimit.Join(ratelimit.ByRoute(func(*http.Request) string { return "/a" }), ratelimit.ByAddr()), known, "8:route:/a17:addr:192.0.2.1/32"},
	} {
		if got, err := tt.key(tt.r); got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%s: key = %q, %v, want %q", name, got, err, tt.want)
		}
	}

	// Behind a ServeMux each route has a quota of its own, whatever the path.
	l := mustNew(t, ratelimit.Config{Limits: []string{"2-H"}, Key: ratelimit.Join(ratelimit.ByRoute(nil), ratelimit.ByAddr())})
	mux := http.NewServeMux()
	mux.Handle("GET /orders/{id}", l.Handler(ok))
	mux.Handle("GET /users/{id}", l.Handler(ok))
	for i, tt := range []struct {
		path string
		want int
	}{
		{"/orders/1", 204}, {"/orders/2", 204}, {"/orders/3", 429}, {"/users/1", 204},
	} {
		r := httptest.NewRequest(http.MethodGet, tt.path, nil)
		r.RemoteAddr = "192.0.2.1:1"
		if got := serve(mux, r).Code; got != tt.want {
			t.Errorf("%d: %s: status = %d, want %d", i, tt.path, got, tt.want)
		}
	}
	for _, wrong := range []func(){
		func() { ratelimit.FirstOf() },
		func() { ratelimit.FirstOf(ratelimit.ByAddr(), nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("FirstOf of nothing: no panic")
				}
			}()
			wrong()
		}()
	}
}

// Fault: behind a proxy that nobody configured all users share one quota.
func TestForwardingHeadersOfStrangersAreRecorded(t *testing.T) {
	t.Parallel()
	trust, err := clientip.New(clientip.Config{Proxies: []string{"10.0.0.0/8"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]ratelimit.KeyFunc{
		"default": nil, "ByAddr": ratelimit.ByAddr(),
		"FirstOf": ratelimit.FirstOf(ratelimit.ByPrincipal(), ratelimit.ByAddr()),
		"Join":    ratelimit.Join(ratelimit.ByAddr(), ratelimit.ByAddr()),
	} {
		for _, header := range []string{"X-Forwarded-For", "Forwarded", "X-Real-Ip"} {
			var log bytes.Buffer
			var seen decisions
			h := trust.Handler(mustNew(t, ratelimit.Config{
				Limits: []string{"9-H"}, Key: key, OnDecision: seen.add, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			}).Handler(ok))
			for range 3 {
				r := from("192.0.2.1:1")
				r.Header.Set(header, "198.51.100.7\n\"forged\"")
				serve(h, r)
			}
			var told int
			for _, d := range seen.all {
				if d.Effect == decision.Observe && d.Reason == ratelimit.ReasonForwarded && d.Detail == header {
					told++
				}
			}
			if told != 3 {
				t.Errorf("%s: %s: recorded %d times, want 3", name, header, told)
			}
			if got := strings.Count(log.String(), "name it in clientip.Config.Proxies"); got != 1 || strings.Contains(log.String(), "forged") {
				t.Errorf("%s: %s: the hint stands %d times in the log, want once and nothing of the header:\n%s", name, header, got, &log)
			}
		}
		var seen decisions
		h := trust.Handler(mustNew(t, ratelimit.Config{Limits: []string{"9-H"}, Key: key, OnDecision: seen.add}).Handler(ok))
		r := from("10.0.0.1:1")
		r.Header.Set("X-Forwarded-For", "198.51.100.7")
		serve(h, r)
		serve(h, from("192.0.2.1:1"))
		for _, d := range seen.all {
			if d.Reason == ratelimit.ReasonForwarded {
				t.Errorf("%s: recorded for a trusted proxy, or without a header: %+v", name, d)
			}
		}
	}
	var seen decisions
	h := mustNew(t, ratelimit.Config{Limits: []string{"9-H"}, Key: ratelimit.ByPrincipal(), OnDecision: seen.add}).Handler(ok)
	r := by(from("192.0.2.1:1"), principal.Principal{Subject: "ann"})
	r.Header.Set("X-Forwarded-For", "198.51.100.7")
	serve(h, r)
	if len(seen.all) != 1 {
		t.Errorf("decisions = %+v, want no word of addresses where none counts", seen.all)
	}
}

package loginguard_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/loginguard"
	"github.com/gatehouse-go/gatehouse/tlsredirect/clientip"
)

// statusError is an error that knows its status.
type statusError int

func (statusError) Error() string     { return "canary: no such form" }
func (e statusError) StatusCode() int { return int(e) }

// byHeader takes the account from a header, for tests.
func byHeader(r *http.Request) (string, error) {
	switch account := r.Header.Get("Account"); account {
	case "error":
		return "", errDown
	case "teapot":
		return "", statusError(http.StatusTeapot)
	default:
		return account, nil
	}
}

// login is a request for account from remote, which carries a record.
func login(account, remote string) (*http.Request, *decision.Record) {
	record := decision.NewRecord("id-1")
	r := httptest.NewRequest(http.MethodPost, "/login", nil)
	r.RemoteAddr = remote
	r.Header.Set("Account", account)
	return r.WithContext(decision.NewContext(r.Context(), record)), record
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func status(code int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
}

// TestStatuses: what an answer means, seen by how many guesses of 5 are left
// after it and one more before.
func TestStatuses(t *testing.T) {
	t.Parallel()
	const cleared, givenBack, counted = 5, 4, 3
	for _, tt := range []struct {
		name string
		h    http.Handler
		want int
	}{
		{"200", status(200), cleared},
		{"204", status(204), cleared},
		{"303, as a router's own", status(303), counted},
		{"307, as a router's own", status(307), counted},
		{"400", status(400), counted},
		{"401", status(401), counted},
		{"403", status(403), counted},
		{"404", status(404), counted},
		{"422", status(422), counted},
		{"429", status(429), givenBack},
		{"499", status(499), counted},
		{"500", status(500), givenBack},
		{"503", status(503), givenBack},
		{"early hints, then 401", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusUnauthorized)
		}), counted},
		{"a body alone", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) }), cleared},
		{"nothing, which is 200", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), cleared},
		{"panic", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("test") }), counted},
		{"panic after 200", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusOK)
			panic("test")
		}), counted},
		{"200 that was a failure", settles(200, func(_ context.Context, a *loginguard.Attempt) { a.Fail() }), counted},
		{"303 that was a success", settles(303, func(ctx context.Context, a *loginguard.Attempt) { _ = a.Succeed(ctx) }), cleared},
		{"401 that was a success", settles(401, func(ctx context.Context, a *loginguard.Attempt) { _ = a.Succeed(ctx) }), cleared},
		{"403 that was no guess", settles(403, func(ctx context.Context, a *loginguard.Attempt) { _ = a.Cancel(ctx) }), givenBack},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := mustNew(t, loginguard.Config{Account: byHeader})
			guess(t, g, "ann", home)
			func() {
				defer func() { _ = recover() }()
				r, _ := login("ann", "192.0.2.7:1234")
				serve(g.Handler(tt.h), r)
			}()
			if got := admitted(t, g, 20, func(int) (string, netip.Addr) { return "ann", home }); got != tt.want {
				t.Errorf("%d guesses are left, want %d", got, tt.want)
			}
		})
	}
}

// settles answers with a status that means nothing.
func settles(code int, settle func(context.Context, *loginguard.Attempt)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, ok := loginguard.FromContext(r.Context())
		if !ok {
			panic("no attempt in the context")
		}
		settle(r.Context(), a)
		w.WriteHeader(code)
	})
}

func TestContext(t *testing.T) {
	t.Parallel()
	for name, ctx := range map[string]context.Context{"none": t.Context(), "nil": loginguard.NewContext(t.Context(), nil)} {
		if a, ok := loginguard.FromContext(ctx); ok || a != nil {
			t.Errorf("%s: FromContext = %v, %t", name, a, ok)
		}
	}
}

// TestRefusals: what clients, trail and log learn.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := newSpy(t)
	s.failing(down)
	limits := loginguard.Config{
		Account:    byHeader,
		PerPair:    ratelimit.Policy{Limit: 2, Period: 2 * time.Minute},
		PerAddress: ratelimit.Policy{Limit: 3, Period: 3 * time.Minute},
		PerAccount: ratelimit.Policy{Limit: 2, Period: 2 * time.Minute},
	}
	failing := loginguard.Config{Account: byHeader, Store: s, Secret: secret}
	const (
		abnormal = "https://iana.org/assignments/http-problem-types#abnormal-usage-detected"
		peer     = "192.0.2.7:1234"
	)
	for _, tt := range []struct {
		name    string
		cfg     loginguard.Config
		before  []string // accounts that were guessed at from peer
		account string
		remote  string
		status  int
		typ     string
		retry   bool
		reason  string
	}{
		{"pair", limits, []string{"zoe-adams", "zoe-adams"}, "zoe-adams", peer, 429, abnormal, true, "pair"},
		{"address", limits, []string{"a", "b", "c"}, "zoe-adams", peer, 429, abnormal, true, "address"},
		{"account", limits, []string{"zoe-adams", "zoe-adams"}, "zoe-adams", "[2001:db8::1]:1", 429, abnormal, true, "account"},
		{"store", failing, nil, "zoe-adams", peer, 503, "about:blank", true, "store"},
		{"no address", limits, nil, "zoe-adams", "@", 503, "about:blank", false, "no_address"},
		{"no account", limits, nil, "", peer, 400, "about:blank", false, "no_account"},
		{"blank account", limits, nil, " \t ", peer, 400, "about:blank", false, "no_account"},
		{"an error", limits, nil, "error", peer, 503, "about:blank", false, "no_account"},
		{"an error with a status", limits, nil, "teapot", peer, 418, "about:blank", false, "no_account"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got error
			tt.cfg.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
				got = err
				if cc := w.Header().Get("Cache-Control"); cc != "no-store" || (w.Header().Get("Retry-After") != "") != tt.retry {
					t.Errorf("before ErrorHandler the headers are %v", w.Header())
				}
				loginguard.WriteError(w, r, err)
			}
			g := mustNew(t, tt.cfg)
			for _, account := range tt.before {
				if reason, _ := guess(t, g, account, home); reason != "" {
					t.Fatalf("refused for %q", reason)
				}
			}
			r, record := login(tt.account, tt.remote)
			w := serve(g.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the login was reached") })), r)
			var problem map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &problem); err != nil || w.Code != tt.status || problem["type"] != tt.typ || problem["status"] != float64(tt.status) {
				t.Errorf("answer %d %v, want %d and %s", w.Code, problem, tt.status, tt.typ)
			}
			if got := slices.Sorted(maps.Keys(problem)); tt.status == 429 && !slices.Equal(got, []string{"detail", "request_id", "status", "title", "type"}) {
				t.Errorf("the problem has the members %q", got)
			}
			if after, err := strconv.Atoi(w.Header().Get("Retry-After")); tt.retry && (err != nil || after < 1 || after > 60) {
				t.Errorf("Retry-After = %q, want up to a minute", w.Header().Get("Retry-After"))
			}
			e, ok := errors.AsType[*loginguard.Error](got)
			if !ok || e.Reason != tt.reason {
				t.Errorf("error = %v, want %q", got, tt.reason)
			}
			decided := record.Seal().Decisions
			d := decided[len(decided)-1]
			if d.Layer != "loginguard" || d.Effect != decision.Deny || d.Reason != tt.reason || d.Status != tt.status {
				t.Errorf("the trail has %+v", d)
			}
			if text := fmt.Sprintf("%+v %v %v %+v", d, w.Body, w.Header(), decided); strings.Contains(text, "canary") || strings.Contains(text, "zoe-adams") {
				t.Errorf("a name or a foreign text got out: %s", text)
			}
		})
	}
}

// TestSameAnswer: which budget refused does not show, nor whether there is such
// an account.
func TestSameAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSpy(t)
		minute := ratelimit.Policy{Limit: 2, Period: 2 * time.Minute}
		g := mustNew(t, loginguard.Config{Account: byHeader, Store: s, Secret: secret, PerPair: minute, PerAddress: minute, PerAccount: minute})
		h := g.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusUnauthorized) // the same for all, as it must be
		}))
		answers := func(account, remote string) (texts, calls []string) {
			for range 4 {
				r, _ := login(account, remote)
				w := serve(h, r)
				texts = append(texts, fmt.Sprint(w.Code, w.Header(), w.Body))
				calls = append(calls, strings.Join(s.asked(), ","))
			}
			return texts, calls
		}
		succeed(t, g, "exists", away)
		s.asked()
		existing, calls := answers("exists", "203.0.113.1:1")
		missing, callsMissing := answers("missing", "203.0.113.2:1")
		if !slices.Equal(existing, missing) {
			t.Errorf("answers for an account that exists\n%q\nand for one that does not\n%q", existing, missing)
		}
		if !slices.Equal(calls, callsMissing) {
			t.Errorf("calls for an account that exists\n%q\nand for one that does not\n%q", calls, callsMissing)
		}
		byAccount, _ := answers("exists", "203.0.113.3:1")
		guess(t, g, "x", home)
		guess(t, g, "y", home)
		byAddress, _ := answers("z", "192.0.2.7:1")
		if last := existing[3]; byAccount[3] != last || byAddress[3] != last {
			t.Errorf("refused for the pair %q, for the account %q, for the address %q; want the same", last, byAccount[3], byAddress[3])
		}
	})
}

// TestDefaultErrorHandler: headers and all without one.
func TestDefaultErrorHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := mustNew(t, loginguard.Config{Account: byHeader, PerPair: ratelimit.Policy{Limit: 1, Period: 1500 * time.Millisecond}})
		h := g.Handler(status(http.StatusUnauthorized))
		var w *httptest.ResponseRecorder
		for range 2 {
			r, _ := login("ann", "192.0.2.7:1234")
			w = serve(h, r)
		}
		if got := w.Header().Get("Retry-After"); w.Code != 429 || got != "2" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("answer %d with %v, want 429 and 2 seconds, rounded up", w.Code, w.Header())
		}
		w = httptest.NewRecorder()
		_, err := g.Begin(t.Context(), "ann", home)
		loginguard.WriteError(w, httptest.NewRequest(http.MethodPost, "/", nil), err)
		if got := w.Header().Get("Retry-After"); w.Code != 429 || got != "2" {
			t.Errorf("WriteError alone answers %d with %v", w.Code, w.Header())
		}
	})
}

// The address is the one that clientip believes.
func TestBehindProxy(t *testing.T) {
	t.Parallel()
	trust, err := clientip.New(clientip.Config{Proxies: []string{"10.0.0.0/8"}})
	if err != nil {
		t.Fatal(err)
	}
	g := mustNew(t, loginguard.Config{Account: byHeader})
	h := trust.Handler(g.Handler(status(http.StatusUnauthorized)))
	send := func(forwarded string) int {
		r, _ := login("ann", "10.0.0.1:1")
		r.Header.Set("X-Forwarded-For", forwarded)
		return serve(h, r).Code
	}
	for i := range 5 {
		if got := send(fmt.Sprintf("6.6.6.%d, 192.0.2.7", i)); got != 401 {
			t.Errorf("guess %d: status = %d, want 401", i, got)
		}
	}
	if got := send("6.6.6.6, 192.0.2.7"); got != 429 {
		t.Errorf("status = %d, want 429 whatever the client claims", got)
	}
	if got := send("192.0.2.8"); got != 401 {
		t.Errorf("of another client: status = %d, want 401", got)
	}
	if got := send("nonsense"); got != 503 {
		t.Errorf("without an address: status = %d, want 503", got)
	}
}

func TestHandlerPanicsOnMisuse(t *testing.T) {
	t.Parallel()
	for name, g := range map[string]*loginguard.Guard{"nil": nil, "no Account": mustNew(t, loginguard.Config{})} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if recover() == nil {
					t.Error("Handler did not panic")
				}
			}()
			g.Handler(http.NotFoundHandler())
		})
	}
}

package rbac_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/auth/principal"
	"github.com/gatehouse-go/gatehouse/rbac"
)

var _ func(http.Handler) http.Handler = (*rbac.Policy)(nil).Handler

// orders is a small service: who may do what with orders.
type orders struct {
	policy              *rbac.Policy
	read, write, remove rbac.Perm
	mu                  sync.Mutex
	decisions           []decision.Decision
}

func newOrders(tb testing.TB, cfg rbac.Config) *orders {
	tb.Helper()
	var (
		perms rbac.Catalog
		o     orders
		err   error
	)
	o.read = perms.Define("orders:read", "Read an order")
	o.write = perms.Define("orders:write", "Change an order")
	o.remove = perms.Define("orders:remove", "Remove an order")
	cfg.Catalog = &perms
	cfg.Document = &rbac.Document{Version: "v7", Roles: map[string]rbac.Role{
		"nobody": {},
		"reader": {Allow: []string{"orders:read"}},
		"writer": {Allow: []string{"orders:write"}},
		"clerk":  {Inherits: []string{"reader", "writer"}},
		"admin":  {Allow: []string{"*"}},
	}}
	cfg.OnDecision = func(_ context.Context, d decision.Decision) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.decisions = append(o.decisions, d)
	}
	if o.policy, err = rbac.New(cfg); err != nil {
		tb.Fatal(err)
	}
	return &o
}

func (o *orders) decided() []decision.Decision {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.decisions)
}

// as returns a context with a caller of these roles.
func as(roles ...string) context.Context {
	return principal.NewContext(context.Background(), &principal.Principal{Issuer: "https://id.example.com", Subject: "ann", Roles: roles})
}

func serve(h http.Handler, ctx context.Context) *httptest.ResponseRecorder { //nolint:revive // the handler is what is tested
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "https://api.example.com/orders/7", nil))
	return w
}

func handler(body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) })
}

func TestRequire(t *testing.T) {
	t.Parallel()
	who := func(p *principal.Principal) context.Context {
		return principal.NewContext(context.Background(), p)
	}
	o := newOrders(t, rbac.Config{})
	var (
		read    = o.policy.Require(o.read)
		both    = o.policy.Require(o.read, o.write)
		one     = o.policy.RequireAny(o.remove, o.read)
		oneAny  = o.policy.RequireAny(o.read)
		noneAny = o.policy.RequireAny(o.remove, o.write)
	)
	for _, tt := range []struct {
		name string
		by   func(http.Handler) http.Handler
		ctx  context.Context
		want int
	}{
		{"no principal", read, context.Background(), 401},
		{"nil principal", read, who(nil), 401},
		{"empty principal", read, who(&principal.Principal{}), 401},
		{"roles without an identity", read, who(&principal.Principal{Roles: []string{"admin"}}), 401},
		{"roles without an issuer", read, who(&principal.Principal{Subject: "ann", Roles: []string{"admin"}}), 401},
		{"roles without a subject", read, who(&principal.Principal{Issuer: "https://id.example.com", Roles: []string{"admin"}}), 401},
		{"no principal for any", one, context.Background(), 401},
		{"no role", read, as(), 403},
		{"role without permissions", read, as("nobody"), 403},
		{"unknown role", read, as("root"), 403},
		{"role *", read, as("*"), 403},
		{"empty role", read, as(""), 403},
		{"role in another case", read, as("Reader"), 403},
		{"role with a space", read, as("reader "), 403},
		{"role with an invisible character", read, as("reader\u200b"), 403},
		{"roles in one string", read, as("nobody reader"), 403},
		{"permission as a role", read, as("orders:read"), 403},
		{"wildcard as a role", read, as("orders:*"), 403},
		{"scope is no role", read, who(&principal.Principal{Issuer: "i", Subject: "s", Scopes: []string{"reader", "orders:read"}}), 403},
		{"the actor's roles are not the caller's", read, who(&principal.Principal{Issuer: "i", Subject: "s", Actor: &principal.Principal{Issuer: "i", Subject: "a", Roles: []string{"admin"}}}), 403},
		{"role", read, as("reader"), 200},
		{"another role", read, as("writer"), 403},
		{"inherited", read, as("clerk"), 200},
		{"wildcard", read, as("admin"), 200},
		{"unknown roles beside", read, as("*", "", "root", "reader"), 200},
		{"all of: neither", both, as("nobody"), 403},
		{"all of: the first", both, as("reader"), 403},
		{"all of: the second", both, as("writer"), 403},
		{"all of: both by one role", both, as("clerk"), 200},
		{"all of: both by two roles", both, as("writer", "reader"), 200},
		{"any of: the second", one, as("reader"), 200},
		{"any of: another", one, as("writer"), 403},
		{"any of: both", one, as("admin"), 200},
		{"any of one", oneAny, as("reader"), 200},
		{"any of one, another", oneAny, as("writer"), 403},
		{"any of others", noneAny, as("reader"), 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := serve(tt.by(handler("order 7")), tt.ctx)
			if w.Code != tt.want {
				t.Errorf("status = %d, want %d", w.Code, tt.want)
			}
			if got, want := strings.Contains(w.Body.String(), "order 7"), tt.want == 200; got != want {
				t.Errorf("the handler ran: %t, want %t", got, want)
			}
			challenge := ""
			if tt.want == 401 {
				challenge = "Bearer"
			}
			if got := w.Header().Get("WWW-Authenticate"); got != challenge {
				t.Errorf("WWW-Authenticate = %q, want %q", got, challenge)
			}
			if tt.want == 200 {
				return
			}
			if got := w.Header().Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control = %q, want no-store", got)
			}
			if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("Content-Type = %q", got)
			}
			if got := w.Body.String(); strings.Contains(got, "orders:") || strings.Contains(got, "reader") {
				t.Errorf("the answer names permissions or roles: %s", got)
			}
		})
	}
}

// A request must never say itself who it is from (casbin's middlewares take
// the name of an unverified Authorization header).
func TestRequireReadsNoHeader(t *testing.T) {
	t.Parallel()
	o := newOrders(t, rbac.Config{})
	r := httptest.NewRequest(http.MethodGet, "/?role=admin&user=admin", nil)
	r.SetBasicAuth("admin", "admin")
	for _, name := range []string{"X-User", "X-Role", "X-Roles", "X-Forwarded-User", "Role", "Roles"} {
		r.Header.Set(name, "admin")
	}
	r.AddCookie(&http.Cookie{Name: "role", Value: "admin"})
	w := httptest.NewRecorder()
	o.policy.Require(o.read)(handler("order 7")).ServeHTTP(w, r)
	if w.Code != http.StatusUnauthorized {
		t.Errorf("status = %d, want 401", w.Code)
	}
}

func TestPublic(t *testing.T) {
	t.Parallel()
	record := decision.NewRecord("1")
	w := serve(rbac.Public("says that the process lives")(handler("alive")), decision.NewContext(context.Background(), record))
	if got := w.Body.String(); w.Code != 200 || got != "alive" {
		t.Errorf("answer = %d %q, want 200 alive", w.Code, got)
	}
	want := []decision.Decision{{Layer: "rbac", Effect: decision.Allow, Rule: "public", Reason: "public", Detail: "says that the process lives"}}
	if got := record.Summary().Decisions; !slices.Equal(got, want) {
		t.Errorf("decisions = %+v, want %+v", got, want)
	}
}

func TestWiringPanics(t *testing.T) {
	t.Parallel()
	o, other := newOrders(t, rbac.Config{}), newOrders(t, rbac.Config{})
	var none *rbac.Policy
	for _, tt := range []struct {
		name string
		wire func()
		want string
	}{
		{"Require of nil", func() { none.Require(o.read) }, "rbac: Require of a nil *Policy"},
		{"RequireAny of nil", func() { none.RequireAny(o.read) }, "rbac: RequireAny of a nil *Policy"},
		{"Handler of nil", func() { none.Handler(handler("")) }, "rbac: Handler of a nil *Policy"},
		{"zero Perm", func() { o.policy.Require(rbac.Perm{}) }, "rbac: Require of the zero Perm"},
		{"zero Perm behind another", func() { o.policy.RequireAny(o.read, rbac.Perm{}) }, "rbac: RequireAny of the zero Perm"},
		{"another Catalog's Perm", func() { o.policy.Require(other.read) }, "rbac: Require of orders:read, which is another Catalog's"},
		{"another Catalog's Perm behind", func() { o.policy.RequireAny(o.read, other.read) }, "rbac: RequireAny of orders:read, which is another Catalog's"},
		{"Public without a reason", func() { rbac.Public("") }, "rbac: Public without a reason"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if got := recover(); got != tt.want {
					t.Errorf("panic = %v, want %s", got, tt.want)
				}
			}()
			tt.wire()
		})
	}
}

func TestCan(t *testing.T) {
	t.Parallel()
	o, other := newOrders(t, rbac.Config{}), newOrders(t, rbac.Config{})
	for _, tt := range []struct {
		name   string
		policy *rbac.Policy
		ctx    context.Context
		perm   rbac.Perm
		want   bool
	}{
		{"has it", o.policy, as("reader"), o.read, true},
		{"has another", o.policy, as("reader"), o.write, false},
		{"no principal", o.policy, context.Background(), o.read, false},
		{"no identity", o.policy, principal.NewContext(context.Background(), &principal.Principal{Roles: []string{"admin"}}), o.read, false},
		{"zero Perm", o.policy, as("admin"), rbac.Perm{}, false},
		{"another Catalog's Perm", o.policy, as("admin"), other.read, false},
		{"nil Policy", nil, as("admin"), o.read, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.policy.Can(tt.ctx, tt.perm); got != tt.want {
				t.Errorf("Can = %t, want %t", got, tt.want)
			}
		})
	}
	if got := o.decided(); len(got) != 0 {
		t.Errorf("Can reported %+v, want nothing", got)
	}
}

func TestCanAllocatesNothing(t *testing.T) {
	o := newOrders(t, rbac.Config{})
	for name, ctx := range map[string]context.Context{"allowed": as("nobody", "reader"), "denied": as("writer", "unknown")} {
		if n := testing.AllocsPerRun(100, func() { o.policy.Can(ctx, o.read) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}

// Roles are a question of the moment: nothing remembers yesterday's answer.
func TestCanFollowsTheCaller(t *testing.T) {
	t.Parallel()
	o := newOrders(t, rbac.Config{})
	for range 3 {
		if !o.policy.Can(as("reader"), o.read) {
			t.Error("reader was refused")
		}
		if o.policy.Can(as("nobody"), o.read) {
			t.Error("the same subject is still allowed without the role")
		}
	}
}

func TestDecisions(t *testing.T) {
	t.Parallel()
	many := make([]string, 10_000)
	for i := range many {
		many[i] = strings.Repeat("\U0010ffff", 300)
	}
	for _, tt := range []struct {
		name string
		ctx  context.Context
		by   func(*orders) func(http.Handler) http.Handler
		want decision.Decision
	}{
		{
			"granted", as("reader"), func(o *orders) func(http.Handler) http.Handler { return o.policy.Require(o.read) },
			decision.Decision{Layer: "rbac", Effect: decision.Allow, Rule: "orders:read", Reason: "granted", Detail: "document v7"},
		},
		{
			"all of", as("reader"), func(o *orders) func(http.Handler) http.Handler { return o.policy.Require(o.read, o.write) },
			decision.Decision{Layer: "rbac", Effect: decision.Deny, Rule: "orders:read orders:write", Reason: rbac.ReasonPermission, Detail: `document v7; roles ["reader"]`, Status: 403},
		},
		{
			"any of", as(), func(o *orders) func(http.Handler) http.Handler { return o.policy.RequireAny(o.remove, o.write) },
			decision.Decision{Layer: "rbac", Effect: decision.Deny, Rule: "orders:remove | orders:write", Reason: rbac.ReasonPermission, Detail: `document v7; roles []`, Status: 403},
		},
		{
			"nobody", context.Background(), func(o *orders) func(http.Handler) http.Handler { return o.policy.Require(o.read) },
			decision.Decision{Layer: "rbac", Effect: decision.Deny, Rule: "orders:read", Reason: rbac.ReasonUnauthenticated, Status: 401},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			o := newOrders(t, rbac.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			record := decision.NewRecord("ID42")
			serve(tt.by(o)(handler("")), decision.NewContext(tt.ctx, record))
			if got := o.decided(); !slices.Equal(got, []decision.Decision{tt.want}) {
				t.Errorf("OnDecision got %+v, want %+v", got, tt.want)
			}
			if got := record.Summary().Decisions; !slices.Equal(got, []decision.Decision{tt.want}) {
				t.Errorf("record has %+v, want %+v", got, tt.want)
			}
			refused := "reason=" + tt.want.Reason
			if got, want := strings.Contains(log.String(), refused), tt.want.Effect == decision.Deny; got != want {
				t.Errorf("log says %q: %t, want %t\n%s", refused, got, want, &log)
			}
		})
	}
	t.Run("many roles", func(t *testing.T) {
		t.Parallel()
		var log bytes.Buffer
		o := newOrders(t, rbac.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		serve(o.policy.Require(o.read)(handler("")), as(many...))
		got := o.decided()[0].Detail
		if !strings.HasSuffix(got, "and 9992 more") {
			t.Errorf("detail ends %q, want the number of the other roles", got[max(0, len(got)-40):])
		}
		if log.Len() > 8<<10 {
			t.Errorf("the log line has %d bytes, want it bounded", log.Len())
		}
	})
}

// One hint is enough to find out that auth is missing, and none when it isn't.
func TestHint(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	o := newOrders(t, rbac.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	h := o.policy.Require(o.read)(handler(""))
	serve(h, as("nobody"))
	if strings.Contains(log.String(), "no principal with Issuer and Subject in the context") {
		t.Errorf("a hint for a caller who is known: %s", &log)
	}
	for range 3 {
		serve(h, context.Background())
	}
	if n := strings.Count(log.String(), "no principal with Issuer and Subject in the context"); n != 1 {
		t.Errorf("%d hints, want 1\n%s", n, &log)
	}
}

func TestErrorHandler(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		ctx    context.Context
		reason string
		status int
		header string
	}{
		{"401", context.Background(), rbac.ReasonUnauthenticated, 401, "Bearer"},
		{"403", as("nobody"), rbac.ReasonPermission, 403, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			calls := 0
			o := newOrders(t, rbac.Config{ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
				calls++
				if got := w.Header().Get("WWW-Authenticate"); got != tt.header {
					t.Errorf("challenge = %q before the ErrorHandler, want %q", got, tt.header)
				}
				if got := w.Header().Get("Cache-Control"); got != "no-store" {
					t.Errorf("Cache-Control = %q before the ErrorHandler, want no-store", got)
				}
				e, ok := errors.AsType[*rbac.Error](err)
				if !ok {
					t.Fatalf("error is a %T, want *rbac.Error", err)
				}
				if e.Reason != tt.reason || e.StatusCode() != tt.status || e.Error() != "rbac: "+tt.reason {
					t.Errorf("error = %q with %d, want %q with %d", e, e.StatusCode(), tt.reason, tt.status)
				}
				if want := []string{"orders:read", "orders:write"}; !slices.Equal(e.Permissions, want) {
					t.Errorf("Permissions = %q, want %q", e.Permissions, want)
				}
				e.Permissions[0] = "changed" // concerns this request alone
				w.WriteHeader(http.StatusTeapot)
			}})
			h := o.policy.Require(o.read, o.write)(handler(""))
			for range 2 {
				if got := serve(h, tt.ctx).Code; got != http.StatusTeapot {
					t.Errorf("status = %d, want the ErrorHandler's 418", got)
				}
			}
			if calls != 2 {
				t.Errorf("ErrorHandler was called %d times, want 2", calls)
			}
		})
	}
}

func TestWriteError(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err    error
		status int
		detail string
	}{
		{&rbac.Error{Reason: rbac.ReasonUnauthenticated}, 401, "This resource needs credentials."},
		{&rbac.Error{Reason: rbac.ReasonPermission, Permissions: []string{"orders:secret"}}, 403, "You may not do this."},
		{&rbac.Error{Reason: rbac.ReasonUndecided}, 500, "The service failed to decide about this request."},
		{errors.New("secret"), 500, "The service failed to decide about this request."},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		rbac.WriteError(w, r.WithContext(decision.NewContext(r.Context(), decision.NewRecord("ID42"))), tt.err)
		var got struct {
			Status            int
			Detail, RequestID string
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if w.Code != tt.status || got.Status != tt.status || got.Detail != tt.detail {
			t.Errorf("%v: %d %s, want %d %q", tt.err, w.Code, w.Body, tt.status, tt.detail)
		}
		if !strings.Contains(w.Body.String(), `"request_id":"ID42"`) || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%v: body = %s, want the request's id and no inner text", tt.err, w.Body)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	o := newOrders(t, rbac.Config{Logger: slog.New(slog.DiscardHandler)})
	h := o.policy.Handler(o.policy.Require(o.read)(handler("order 7")))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			role, want := "reader", 200
			if i%2 == 0 {
				role, want = "writer", 403
			}
			for range 200 {
				if got := serve(h, as(role)).Code; got != want {
					t.Errorf("status = %d for a %s, want %d", got, role, want)
				}
			}
		})
	}
	wg.Wait()
}

package rbac_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/audit"
	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/auth/principal"
	"github.com/gatehouse-go/gatehouse/rbac"
)

const secret = "canary-of-the-handler"

// leak sets what an undecided handler must not get out.
func leak(w http.ResponseWriter) {
	h := w.Header()
	h.Set("X-Secret", secret)
	h.Set("Set-Cookie", "session="+secret)
	h.Set("Location", "/"+secret)
	h.Set("Content-Type", "text/"+secret)
	h.Set("Content-Length", "7000000")
	h.Set("Trailer", "X-Declared")
}

// behaviours are ways to answer, without or after a decision.
var behaviours = []struct {
	name    string
	passes  bool // without a decision
	http1   bool // not on HTTP/2
	handler func(w http.ResponseWriter, r *http.Request)
}{
	{"200 and a body", false, false, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, secret)
	}},
	{"201", false, false, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) }},
	{"204", false, false, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }},
	{"302", false, false, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/"+secret, http.StatusFound) }},
	{"304", false, false, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) }},
	{"399", false, false, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(399) }},
	{"a body alone", false, false, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(secret)) }},
	{"an empty body", false, false, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(nil) }},
	{"a string", false, false, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, secret) }},
	{"nothing", false, false, func(http.ResponseWriter, *http.Request) {}},
	{"Flush", false, false, func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() }},
	{"ResponseController.Flush", false, false, func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
	}},
	{"ReadFrom", false, false, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(w, io.LimitReader(strings.NewReader(secret), 1000))
	}},
	{"ServeContent", false, false, func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(secret))
	}},
	{"Hijack", false, true, func(w http.ResponseWriter, _ *http.Request) {
		answerByHand(w.(http.Hijacker).Hijack())
	}},
	{"ResponseController.Hijack", false, true, func(w http.ResponseWriter, _ *http.Request) {
		answerByHand(http.NewResponseController(w).Hijack())
	}},
	{"early hints, then 200", false, false, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", secret)
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusOK)
	}},
	{"writing on and on", false, false, func(w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			w.Header().Set("X-Secret", secret)
			w.WriteHeader(http.StatusOK)
			_, _ = io.WriteString(w, secret)
			_ = http.NewResponseController(w).Flush()
		}
	}},
	{"200 and trailers", false, false, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, secret)
		w.Header().Set("X-Declared", secret)
		w.Header().Set(http.TrailerPrefix+"X-Undeclared", secret)
	}},
	{"400", true, false, failing(400)},
	{"404", true, false, failing(404)},
	{"405", true, false, failing(405)},
	{"500", true, false, failing(500)},
}

func failing(status int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "the handler's own", status) }
}

func answerByHand(conn net.Conn, _ *bufio.ReadWriter, err error) {
	if err != nil {
		return
	}
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(secret), secret)
	_ = conn.Close()
}

// wire is everything that a client sees of an answer.
type wire struct {
	status int
	header http.Header
	body   string
	all    string // with informational responses and trailers
}

func get(t *testing.T, srv *httptest.Server, path string) wire {
	t.Helper()
	var all strings.Builder
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			fmt.Fprintln(&all, code, h)
			return nil
		},
	})
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := srv.Client().Transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s: %v after %d %v %q", path, err, resp.StatusCode, resp.Header, body)
	}
	fmt.Fprintln(&all, resp.Status, resp.Header, string(body), resp.Trailer)
	return wire{resp.StatusCode, resp.Header, string(body), all.String()}
}

func start(t *testing.T, h http.Handler, http2 bool) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = http2
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv
}

func TestGuard(t *testing.T) {
	t.Parallel()
	stacks := []struct {
		name string
		wrap func(t *testing.T, guarded http.Handler) http.Handler
	}{
		{"alone", func(_ *testing.T, guarded http.Handler) http.Handler { return guarded }},
		{"inside audit", func(t *testing.T, guarded http.Handler) http.Handler {
			t.Helper()
			trail, err := audit.New(audit.Config{Sinks: []audit.Sink{audit.Writer(io.Discard)}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = trail.Close() })
			return trail.Handler(guarded)
		}},
		{"inside another's record", func(_ *testing.T, guarded http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ctx := decision.NewContext(r.Context(), decision.NewRecord("ID42"))
				decision.Add(ctx, decision.Decision{Layer: "auth", Effect: decision.Allow}) // not the one that is needed
				guarded.ServeHTTP(w, r.WithContext(ctx))
			})
		}},
	}
	for _, stack := range stacks {
		for _, http2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, HTTP/%d", stack.name, map[bool]int{false: 1, true: 2}[http2]), func(t *testing.T) {
				t.Parallel()
				o := newOrders(t, rbac.Config{})
				bare, routes := http.NewServeMux(), http.NewServeMux()
				for i, b := range behaviours {
					h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if !b.passes {
							leak(w)
						}
						b.handler(w, r)
					})
					free := http.HandlerFunc(b.handler)
					bare.Handle(fmt.Sprintf("/decided/%d", i), free)
					routes.Handle(fmt.Sprintf("/undecided/%d", i), h)
					routes.Handle(fmt.Sprintf("/decided/%d", i), rbac.Public("a test")(free))
				}
				outer := func(next http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						w.Header().Set("Strict-Transport-Security", "max-age=1")
						next.ServeHTTP(w, r)
					})
				}
				guarded := start(t, stack.wrap(t, outer(o.policy.Handler(routes))), http2)
				free := start(t, stack.wrap(t, outer(bare)), http2)
				for i, b := range behaviours {
					if b.http1 && http2 {
						continue
					}
					got := get(t, guarded, fmt.Sprintf("/undecided/%d", i))
					if b.passes {
						if want := got.body == "the handler's own\n" && got.status >= 400; !want {
							t.Errorf("%s, undecided: %s, want the handler's own answer", b.name, got.all)
						}
					} else {
						status := http.StatusInternalServerError
						if b.name == "302" {
							status = http.StatusNotFound // any scanner may cause a router's redirect
						}
						if got.status != status || got.header.Get("Content-Type") != "application/problem+json" {
							t.Errorf("%s, undecided: %s, want a problem %d", b.name, got.all, status)
						}
						if strings.Contains(got.all, secret) || len(got.header["Trailer"]) > 0 {
							t.Errorf("%s, undecided: the handler's headers or body got out: %s", b.name, got.all)
						}
						if got.header.Get("Strict-Transport-Security") == "" {
							t.Errorf("%s, undecided: the outer layer's header is gone: %s", b.name, got.all)
						}
						var p struct{ Status int }
						if err := json.Unmarshal([]byte(got.body), &p); err != nil || p.Status != status {
							t.Errorf("%s, undecided: body = %q, want one problem", b.name, got.body)
						}
					}
					got, want := get(t, guarded, fmt.Sprintf("/decided/%d", i)), get(t, free, fmt.Sprintf("/decided/%d", i))
					if g, w := comparable(got), comparable(want); g != w {
						t.Errorf("%s, decided:\ngot  %s\nwant %s", b.name, g, w)
					}
				}
			})
		}
	}
}

// comparable is what is the same in two answers at two times.
func comparable(w wire) string {
	for _, name := range []string{"Date", "X-Request-Id"} {
		if v := w.header.Get(name); v != "" {
			w.all = strings.ReplaceAll(w.all, v, name)
		}
	}
	return w.all
}

// Every way to decide lets an answer pass, a refusal is one as well.
func TestGuardDecided(t *testing.T) {
	t.Parallel()
	o := newOrders(t, rbac.Config{ErrorHandler: func(w http.ResponseWriter, r *http.Request, _ error) {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
	}})
	for _, tt := range []struct {
		name   string
		by     func(http.Handler) http.Handler
		ctx    context.Context
		status int
	}{
		{"Require", o.policy.Require(o.read), as("reader"), 200},
		{"RequireAny", o.policy.RequireAny(o.remove, o.read), as("reader"), 200},
		{"Public", rbac.Public("a test"), context.Background(), 200},
		{"refused, the user's own answer", o.policy.Require(o.read), as(), 303},
		{"unknown, the user's own answer", o.policy.Require(o.read), context.Background(), 303},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := serve(o.policy.Handler(tt.by(handler("order 7"))), tt.ctx)
			if w.Code != tt.status {
				t.Errorf("status = %d, want %d", w.Code, tt.status)
			}
		})
	}
}

// Without an outer record the guard makes one, so that the layers further in
// have somewhere to write, and the problem an id to be found by.
func TestGuardMakesARecord(t *testing.T) {
	t.Parallel()
	o := newOrders(t, rbac.Config{})
	var inner *decision.Record
	h := o.policy.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		inner, _ = decision.FromContext(r.Context())
		decision.Add(r.Context(), decision.Decision{Layer: "mine"})
	}))
	w := serve(h, context.Background())
	if inner == nil {
		t.Fatal("no record in the handler's context")
	}
	s := inner.Summary()
	if len(s.Decisions) != 2 || s.Decisions[0].Layer != "mine" || s.Decisions[1].Reason != rbac.ReasonUndecided {
		t.Errorf("decisions = %+v, want the handler's and the guard's", s.Decisions)
	}
	if s.RequestID == "" || !strings.Contains(w.Body.String(), s.RequestID) {
		t.Errorf("body = %s, want the request id %q", w.Body, s.RequestID)
	}
	inner.Add(decision.Decision{Layer: "late"})
	if got := len(inner.Summary().Decisions); got != 2 {
		t.Errorf("%d decisions after the end, want 2: the record is not sealed", got)
	}
}

func TestGuardReports(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	o := newOrders(t, rbac.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	record := decision.NewRecord("ID42")
	w := serve(o.policy.Handler(handler(secret)), decision.NewContext(context.Background(), record))
	if w.Code != 500 {
		t.Fatalf("status = %d, want 500", w.Code)
	}
	want := decision.Decision{
		Layer: "rbac", Effect: decision.Deny, Rule: "guard", Reason: rbac.ReasonUndecided, Status: 500,
		Detail: "a handler answered without Require, RequireAny or Public before it",
	}
	if got := o.decided(); !slices.Equal(got, []decision.Decision{want}) {
		t.Errorf("OnDecision got %+v, want %+v", got, want)
	}
	if got := record.Summary().Decisions; !slices.Equal(got, []decision.Decision{want}) {
		t.Errorf("record has %+v, want %+v", got, want)
	}
	if got := log.String(); !strings.Contains(got, "level=ERROR") || !strings.Contains(got, "request_id=ID42") || strings.Contains(got, secret) {
		t.Errorf("log = %s, want an error with the request's id", got)
	}
}

// The audit trail's line has the guard's word, and the status on the wire.
func TestGuardInTheTrail(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	trail, err := audit.New(audit.Config{Sinks: []audit.Sink{audit.Writer(&out)}})
	if err != nil {
		t.Fatal(err)
	}
	o := newOrders(t, rbac.Config{})
	mux := http.NewServeMux()
	mux.Handle("GET /orders/{id}", handler(secret))
	serve(trail.Handler(o.policy.Handler(mux)), as("reader"))
	if err := trail.Close(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"route":"/orders/{id}"`, `"status":500`, `"reason":"undecided"`, `"outcome":"error"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("line lacks %s: %s", want, &out)
		}
	}
}

// A panic of an undecided handler gets nothing out either.
func TestGuardPanic(t *testing.T) {
	t.Parallel()
	o := newOrders(t, rbac.Config{})
	h := o.policy.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, secret)
		panic("boom")
	}))
	w := httptest.NewRecorder()
	func() {
		defer func() {
			if got := recover(); got != "boom" {
				t.Errorf("recovered %v, want the handler's panic", got)
			}
		}()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	}()
	if w.Code != 500 || strings.Contains(w.Body.String(), secret) {
		t.Errorf("answer = %d %s, want a problem", w.Code, w.Body)
	}
}

// Tricks with paths and methods (casbin behind chi's CleanPath, Spring
// CVE-2023-20860, Shiro CVE-2020-1957, net/http CVE-2025-47910, ...). A
// permission belongs to a route: whatever way a request reaches a handler,
// the handler's own permission has decided.
func TestPathsAndMethods(t *testing.T) {
	t.Parallel()
	o := newOrders(t, rbac.Config{})
	route := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Route", name)
			_, _ = io.WriteString(w, name)
		})
	}
	mux := http.NewServeMux()
	mux.Handle("GET /public/{rest...}", rbac.Public("a test")(route("public")))
	mux.Handle("GET /admin/users", o.policy.Require(o.remove)(route("admin")))
	mux.Handle("GET /orders/{id}", o.policy.Require(o.read)(route("read")))
	mux.Handle("POST /orders/{id}", o.policy.Require(o.read)(route("post")))
	mux.Handle("DELETE /orders/{id}", o.policy.Require(o.remove)(route("delete")))
	mux.Handle("/any/", o.policy.Require(o.remove)(route("any")))
	mux.Handle("GET /forgotten", route("forgotten"))
	// A method override, as some frameworks have it, between guard and router.
	override := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if m := r.Header.Get("X-HTTP-Method-Override"); m != "" && r.Method == http.MethodPost {
			r.Method = m
		}
		mux.ServeHTTP(w, r)
	})
	reader := &principal.Principal{Issuer: "https://id.example.com", Subject: "ann", Roles: []string{"reader"}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.policy.Handler(override).ServeHTTP(w, r.WithContext(principal.NewContext(r.Context(), reader)))
	}))
	t.Cleanup(srv.Close)
	for _, tt := range []struct {
		line   string // method, target and perhaps a header
		status int
		route  string // the handler that ran
	}{
		{"GET /public/x", 200, "public"},
		{"GET /orders/7", 200, "read"},
		{"GET /admin/users", 403, ""},
		{"GET /forgotten", 500, ""},
		{"GET /nowhere", 404, ""},
		// Row 1: dirty paths. ServeMux redirects to the clean one, and a
		// redirect is an answer that nobody decided on.
		{"GET /public/../admin/users", 404, ""},
		{"GET /public/./../admin/users", 404, ""},
		{"GET /public//../admin/users", 404, ""},
		{"GET //admin/users", 404, ""},
		{"GET /public/..//admin/users", 404, ""},
		{"GET /./admin/users", 404, ""},
		{"GET http://api.example.com/public/../admin/users", 404, ""},
		{"GET *", 400, ""},
		{"GET admin/users", 400, ""},
		{"GET /public/..;/admin/users", 200, "public"},
		// Row 2: suffixes and encodings reach the handler whose route they
		// match, or none.
		{"GET /admin/users/", 404, ""},
		{"GET /admin/users;v=1", 404, ""},
		{"GET /admin/users%20", 404, ""},
		{"GET /admin/users%00", 404, ""},
		{"GET /admin/users%0a", 404, ""},
		{"GET /admin/users.json", 404, ""},
		{"GET /admin%2fusers", 404, ""},
		{"GET /admin%5cusers", 404, ""},
		{"GET /ADMIN/USERS", 404, ""},
		{"GET /%61dmin/users", 403, ""},
		{"GET /public/%2e%2e/admin/users", 200, "public"},
		{"GET /public/%2e%2e%2fadmin/users", 200, "public"},
		{"GET /public%2f..%2fadmin/users", 404, ""},
		{"GET /orders/7?/../../admin/users", 200, "read"},
		{"GET /orders/..%2fadmin%2fusers", 200, "read"},
		// Row 3: a pattern that ServeMux reports for its own redirects.
		{"GET /public", 404, ""},
		{"GET /any", 404, ""},
		{"CONNECT /any", 404, ""},
		// Row 4: methods.
		{"HEAD /orders/7", 200, "read"},
		{"HEAD /admin/users", 403, ""},
		{"get /admin/users", 405, ""},
		{"QUERY /admin/users", 405, ""},
		{"TRACE /admin/users", 405, ""},
		{"POST /admin/users", 405, ""},
		{"QUERY /any/thing", 403, ""},
		{"CONNECT /any/thing", 403, ""},
		{"DELETE /orders/7", 403, ""},
		// Row 5: the override changes the route, and with it the permission.
		{"POST /orders/7", 200, "post"},
		{"POST /orders/7 X-HTTP-Method-Override: DELETE", 403, ""},
		{"POST /admin/users X-HTTP-Method-Override: GET", 403, ""},
		// Row 6: no header has a say in it.
		{"GET /admin/users X-Forwarded-Uri: /public/x", 403, ""},
		{"GET /admin/users X-Original-URL: /public/x", 403, ""},
		{"GET /admin/users X-Rewrite-URL: /public/x", 403, ""},
		{"GET /public/x X-Original-URL: /admin/users", 200, "public"},
	} {
		t.Run(tt.line, func(t *testing.T) {
			t.Parallel()
			fields := strings.SplitN(tt.line, " ", 3)
			header := ""
			if len(fields) == 3 {
				header = fields[2] + "\r\n"
			}
			conn, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_, _ = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 0\r\n%sConnection: close\r\n\r\n", fields[0], fields[1], header)
			resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: fields[0]})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			if resp.StatusCode != tt.status || resp.Header.Get("X-Route") != tt.route {
				t.Errorf("status = %d from handler %q, want %d from %q", resp.StatusCode, resp.Header.Get("X-Route"), tt.status, tt.route)
			}
		})
	}
}

package audit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-go/gatehouse/audit"
	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/tlsredirect/clientip"
)

var (
	_ func(http.Handler) http.Handler = (*audit.Trail)(nil).Handler
	_ func(http.Handler) http.Handler = audit.Route
	_ func(http.Handler) http.Handler = audit.RouteFunc(func(*http.Request) string { return "" })
)

// A line is what a reader of the trail sees. Its members are the schema.
type line struct {
	Seq       uint64         `json:"seq"`
	Time      string         `json:"time"`
	Type      string         `json:"type"`
	RequestID string         `json:"request_id"`
	Client    string         `json:"client"`
	Principal *lineActor     `json:"principal"`
	Method    string         `json:"method"`
	Route     string         `json:"route"`
	Status    int            `json:"status"`
	Bytes     int64          `json:"bytes"`
	Duration  int64          `json:"duration_us"`
	Decisions []lineDecision `json:"decisions"`
	Dropped   int            `json:"decisions_dropped"`
	Panic     string         `json:"panic"`
	PanicAt   string         `json:"panic_at"`
	Outcome   audit.Outcome  `json:"outcome"`
	Lost      uint64         `json:"lost"`
	Attrs     map[string]string
}

type lineActor struct {
	Issuer, Subject, Kind, Scheme string
	ClientID                      string `json:"client_id"`
	Tenant                        string
	TokenID                       string     `json:"token_id"`
	Actor                         *lineActor `json:"actor"`
}

type lineDecision struct {
	Layer, Effect, Rule, Reason, Detail string
	Status                              int
}

// lines is a Sink that hands on what is written.
type lines chan line

func (l lines) Write(_ context.Context, b audit.Batch) error {
	for _, text := range b.Lines {
		var v line
		if err := json.Unmarshal(text, &v); err != nil {
			return err
		}
		l <- v
	}
	return nil
}

func (l lines) Close() error { close(l); return nil }

// newTrail returns a Trail and what it writes. cfg's sinks get it as well.
func newTrail(tb testing.TB, cfg audit.Config) (*audit.Trail, lines) {
	tb.Helper()
	out := make(lines, 1000)
	cfg.Sinks = append(cfg.Sinks, out)
	trail, err := audit.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := trail.Close(); err != nil {
			tb.Error(err)
		}
	})
	return trail, out
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func get(path string) *http.Request { return httptest.NewRequest(http.MethodGet, path, nil) }

func TestNewMistakes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		cfg  audit.Config
		want string
	}{
		{"nothing", audit.Config{}, "audit: Sinks is empty, want at least one"},
		{
			"all at once",
			audit.Config{Sinks: []audit.Sink{audit.Writer(io.Discard), nil, audit.Writer(nil), audit.Slog(nil)}, DrainTimeout: -1},
			"audit: Sinks[1] is nil, want a Sink\naudit: Sinks[2] is nil, want a Sink\naudit: Sinks[3] is nil, want a Sink\naudit: DrainTimeout is -1ns, want 0 or more",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			trail, err := audit.New(tt.cfg)
			if trail != nil || err == nil || err.Error() != tt.want {
				t.Errorf("New = %v, %v\nwant %s", trail, err, tt.want)
			}
		})
	}
}

func TestWiringPanics(t *testing.T) {
	t.Parallel()
	for want, wire := range map[string]func(){
		"audit: Handler of a nil *Trail": func() { (*audit.Trail)(nil).Handler(http.NotFoundHandler()) },
		"audit: RouteFunc of nil":        func() { audit.RouteFunc(nil) },
	} {
		func() {
			defer func() {
				if got := recover(); got != want {
					t.Errorf("panic = %v, want %s", got, want)
				}
			}()
			wire()
		}()
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	trail, out := newTrail(t, audit.Config{})
	var inHandler string
	h := trail.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { inHandler = audit.RequestID(r.Context()) }))
	seen := make(map[string]bool)
	for range 100 {
		r := get("/")
		r.Header.Set("X-Request-Id", "chosen-by-the-client")
		id := serve(h, r).Header().Get("X-Request-Id")
		if got := (<-out).RequestID; got != id || inHandler != id {
			t.Errorf("id = %q in the line, %q in the handler, %q in the answer", got, inHandler, id)
		}
		if len(id) < 26 || id == "chosen-by-the-client" || seen[id] {
			t.Errorf("id = %q, want a new one", id)
		}
		seen[id] = true
	}
	if got := audit.RequestID(context.Background()); got != "" {
		t.Errorf("id outside of a request = %q, want none", got)
	}
}

func TestClient(t *testing.T) {
	t.Parallel()
	direct, err := clientip.New(clientip.Config{})
	if err != nil {
		t.Fatal(err)
	}
	proxied, err := clientip.New(clientip.Config{Proxies: []string{"10.0.0.0/8"}})
	if err != nil {
		t.Fatal(err)
	}
	outside := func(trust *clientip.Trust) func(*audit.Trail, http.Handler) http.Handler {
		return func(t *audit.Trail, h http.Handler) http.Handler { return trust.Handler(t.Handler(h)) }
	}
	inside := func(trust *clientip.Trust) func(*audit.Trail, http.Handler) http.Handler {
		return func(t *audit.Trail, h http.Handler) http.Handler { return t.Handler(trust.Handler(h)) }
	}
	without := func(t *audit.Trail, h http.Handler) http.Handler { return t.Handler(h) }
	for _, tt := range []struct {
		name         string
		stack        func(*audit.Trail, http.Handler) http.Handler
		peer, header string
		want         string
	}{
		{"without clientip", without, "192.0.2.7:5000", "203.0.113.9", "192.0.2.7"},
		{"IPv6 with a zone", without, "[fe80::1%eth0]:5000", "", "fe80::1"},
		{"no address", without, "@", "", ""},
		{"outside, trusting none", outside(direct), "10.0.0.1:5000", "203.0.113.9", "10.0.0.1"},
		{"outside, by the proxy", outside(proxied), "10.0.0.1:5000", "203.0.113.9", "203.0.113.9"},
		{"outside, by a stranger", outside(proxied), "192.0.2.7:5000", "203.0.113.9", "192.0.2.7"},
		{"outside, garbage", outside(proxied), "10.0.0.1:5000", "garbage", ""},
		{"inside, by the proxy", inside(proxied), "10.0.0.1:5000", "203.0.113.9", "203.0.113.9"},
		{"inside, by a stranger", inside(proxied), "192.0.2.7:5000", "203.0.113.9", "192.0.2.7"},
		{"inside, garbage is not the proxy", inside(proxied), "10.0.0.1:5000", "garbage", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			trail, out := newTrail(t, audit.Config{})
			r := get("/")
			r.RemoteAddr = tt.peer
			r.Header.Set("X-Forwarded-For", tt.header)
			r.Header.Set("X-Real-Ip", "198.51.100.1")
			r.Header.Set("True-Client-Ip", "198.51.100.1")
			serve(tt.stack(trail, http.NotFoundHandler()), r)
			if got := (<-out).Client; got != tt.want {
				t.Errorf("client = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestPrincipalAndDecisions(t *testing.T) {
	t.Parallel()
	trail, out := newTrail(t, audit.Config{})
	h := trail.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		decision.SetActor(r.Context(), decision.Actor{
			Issuer: "https://id.example.com", Subject: "ann", Kind: "user", Scheme: "Bearer", ClientID: "app", Tenant: "acme", TokenID: "jti-1",
			Actor: &decision.Actor{Issuer: "https://id.example.com", Subject: "support"},
		})
		decision.Add(r.Context(), decision.Decision{Layer: "auth", Effect: decision.Allow, Rule: "Bearer", Reason: "admitted"})
		decision.Add(r.Context(), decision.Decision{Layer: "sanitize", Effect: decision.Modify})
		decision.Add(r.Context(), decision.Decision{Layer: "rbac", Effect: decision.Deny, Rule: "orders:read", Reason: "permission", Detail: "roles []", Status: 403})
		w.WriteHeader(http.StatusForbidden)
	}))
	serve(h, get("/"))
	got := <-out
	if got.Principal == nil || got.Principal.Actor == nil {
		t.Fatalf("principal = %+v, want ann by support", got.Principal)
	}
	actor := *got.Principal.Actor
	got.Principal.Actor = nil
	if want := (lineActor{Issuer: "https://id.example.com", Subject: "ann", Kind: "user", Scheme: "Bearer", ClientID: "app", Tenant: "acme", TokenID: "jti-1"}); *got.Principal != want {
		t.Errorf("principal = %+v, want %+v", *got.Principal, want)
	}
	if want := (lineActor{Issuer: "https://id.example.com", Subject: "support"}); actor != want {
		t.Errorf("actor = %+v, want %+v", actor, want)
	}
	if want := []lineDecision{
		{Layer: "auth", Effect: "allow", Rule: "Bearer", Reason: "admitted"},
		{Layer: "sanitize", Effect: "modify"},
		{Layer: "rbac", Effect: "deny", Rule: "orders:read", Reason: "permission", Detail: "roles []", Status: 403},
	}; !slices.Equal(got.Decisions, want) {
		t.Errorf("decisions = %+v, want %+v", got.Decisions, want)
	}
	if got.Outcome != audit.Denied || got.Status != 403 {
		t.Errorf("outcome = %s %d, want denied 403", got.Outcome, got.Status)
	}
}

func TestDecisionsAreBounded(t *testing.T) {
	t.Parallel()
	trail, out := newTrail(t, audit.Config{})
	serve(trail.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		for i := range 100 {
			decision.Add(r.Context(), decision.Decision{Layer: "mine", Detail: fmt.Sprint(i) + strings.Repeat("x", 1<<20)})
		}
	})), get("/"))
	got := <-out
	if len(got.Decisions) != decision.MaxDecisions || got.Dropped != 100-decision.MaxDecisions || len(got.Decisions[31].Detail) != decision.MaxText {
		t.Errorf("%d decisions of %d bytes, %d dropped", len(got.Decisions), len(got.Decisions[31].Detail), got.Dropped)
	}
}

// Goroutines that outlive their request change nothing in its line, and do
// not race with its writing (httplog's SetAttrs does).
func TestLateDecisions(t *testing.T) {
	t.Parallel()
	trail, out := newTrail(t, audit.Config{})
	var (
		wg      sync.WaitGroup
		release = make(chan struct{})
	)
	h := trail.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		for range 8 {
			wg.Go(func() {
				for i := range 200 {
					if i == 20 {
						<-release
					}
					decision.Add(ctx, decision.Decision{Layer: "early"})
					decision.SetActor(ctx, decision.Actor{Issuer: "i", Subject: "s"})
					decision.SetRoute(ctx, "/r")
					decision.SetClient(ctx, netip.MustParseAddr("192.0.2.1"))
				}
				decision.Add(ctx, decision.Decision{Layer: "late"})
			})
		}
	}))
	serve(h, get("/"))
	close(release)
	got := <-out
	wg.Wait()
	for _, d := range got.Decisions {
		if d.Layer != "early" {
			t.Errorf("a decision of %q is in the line", d.Layer)
		}
	}
}

// Whoever made the record is the one that seals it: an outer Trail still gets
// what is decided after an inner one is done.
func TestNested(t *testing.T) {
	t.Parallel()
	outer, outerLines := newTrail(t, audit.Config{})
	inner, innerLines := newTrail(t, audit.Config{})
	between := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r)
			decision.Add(r.Context(), decision.Decision{Layer: "between"})
		})
	}
	for _, tt := range []struct {
		name         string
		handler      http.HandlerFunc
		inner, outer audit.Outcome
	}{
		{"silent", func(http.ResponseWriter, *http.Request) {}, audit.OK, audit.OK},
		{"panic", func(http.ResponseWriter, *http.Request) { panic("boom") }, audit.Panicked, audit.Failed},
	} {
		w := serve(outer.Handler(between(inner.Handler(tt.handler))), get("/"))
		in, out := <-innerLines, <-outerLines
		if in.RequestID != out.RequestID || in.RequestID != w.Header().Get("X-Request-Id") {
			t.Errorf("%s: ids = %q and %q, want one", tt.name, in.RequestID, out.RequestID)
		}
		if in.Outcome != tt.inner || out.Outcome != tt.outer || in.Status != out.Status {
			t.Errorf("%s: outcomes = %s %d and %s %d, want %s and %s", tt.name, in.Outcome, in.Status, out.Outcome, out.Status, tt.inner, tt.outer)
		}
		if len(in.Decisions) != 0 || len(out.Decisions) != 1 {
			t.Errorf("%s: decisions = %v and %v, want the later one in the outer line", tt.name, in.Decisions, out.Decisions)
		}
	}
}

type carelessKey struct{}

func TestRoutes(t *testing.T) {
	t.Parallel()
	clone := func(next http.Handler) http.Handler { // as careless middlewares do
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), carelessKey{}, 0)))
		})
	}
	none := func(next http.Handler) http.Handler { return next }
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	boom := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") })
	abort := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	fixed := audit.RouteFunc(func(*http.Request) string { return "/by/{func}" })
	for _, tt := range []struct {
		name           string
		pattern        string
		between, route func(http.Handler) http.Handler
		handler        http.Handler
		method, target string
		want           string
		outcome        audit.Outcome
	}{
		{"plain", "GET /orders/{id}", none, none, ok, "GET", "/orders/7", "/orders/{id}", audit.OK},
		{"HEAD", "GET /orders/{id}", none, none, ok, "HEAD", "/orders/7", "/orders/{id}", audit.OK},
		{"with a host", "example.com/orders/{id}", none, none, ok, "GET", "/orders/7", "/orders/{id}", audit.OK},
		{"with method and host", "GET example.com/orders/{$}", none, none, ok, "GET", "/orders/", "/orders/", audit.OK},
		{"rest", "/files/{path...}", none, none, ok, "GET", "/files/a/b", "/files/{path...}", audit.OK},
		{"panic", "/orders/{id}", none, none, boom, "GET", "/orders/7", "/orders/{id}", audit.Panicked},
		{"clone between", "/orders/{id}", clone, none, ok, "GET", "/orders/7", "", audit.OK},
		{"clone between, Route inside", "/orders/{id}", clone, audit.Route, ok, "GET", "/orders/7", "/orders/{id}", audit.OK},
		{"clone between, Route inside, panic", "/orders/{id}", clone, audit.Route, boom, "GET", "/orders/7", "/orders/{id}", audit.Panicked},
		{"clone between, RouteFunc inside", "/orders/{id}", clone, fixed, ok, "GET", "/orders/7", "/by/{func}", audit.OK},
		{"clone between, RouteFunc inside, panic", "/orders/{id}", clone, fixed, boom, "GET", "/orders/7", "/by/{func}", audit.Panicked},
		{"the innermost word counts", "/orders/{id}", none, fixed, ok, "GET", "/orders/7", "/by/{func}", audit.OK},
		{"404", "/orders/{id}", none, audit.Route, ok, "GET", "/nowhere", "", audit.NotFound},
		{"405", "GET /orders/{id}", none, audit.Route, ok, "POST", "/orders/7", "", audit.NotFound},
		{"redirect", "/orders/", none, audit.Route, ok, "GET", "/orders", "/orders/", audit.OK},
		{"redirect to the clean path", "/orders/{id}", none, audit.Route, ok, "GET", "//orders/7", "/orders/{id}", audit.OK},
		{"CONNECT has the path for a pattern", "/orders/{id}/", none, audit.Route, ok, "CONNECT", "/orders/7", "", audit.OK},
		{"abort", "/orders/{id}", none, none, abort, "GET", "/orders/7", "/orders/{id}", audit.Aborted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			trail, out := newTrail(t, audit.Config{})
			mux := http.NewServeMux()
			mux.Handle(tt.pattern, tt.route(tt.handler))
			r := get(tt.target)
			r.Method = tt.method
			func() {
				defer func() {
					if v := recover(); v != nil && v != http.ErrAbortHandler { //nolint:errorlint // net/http compares it like this
						panic(v)
					}
				}()
				serve(trail.Handler(tt.between(mux)), r)
			}()
			got := <-out
			if got.Route != tt.want || got.Outcome != tt.outcome || got.Method != tt.method {
				t.Errorf("%s %q %s, want %s %q %s", got.Method, got.Route, got.Outcome, tt.method, tt.want, tt.outcome)
			}
		})
	}
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	trail, out := newTrail(t, audit.Config{})
	for _, tt := range []struct {
		status int
		effect decision.Effect
		want   audit.Outcome
	}{
		{200, decision.Allow, audit.OK},
		{204, decision.Allow, audit.OK},
		{303, decision.Allow, audit.OK},
		{400, decision.Deny, audit.Invalid},
		{401, decision.Allow, audit.Denied},
		{403, decision.Allow, audit.Denied},
		{404, decision.Allow, audit.NotFound},
		{404, decision.Deny, audit.Denied},
		{405, decision.Allow, audit.NotFound},
		{410, decision.Allow, audit.NotFound},
		{413, decision.Deny, audit.Invalid},
		{415, decision.Deny, audit.Invalid},
		{421, decision.Deny, audit.Denied},
		{422, decision.Deny, audit.Invalid},
		{429, decision.Deny, audit.Limited},
		{500, decision.Deny, audit.Failed},
		{503, decision.Deny, audit.Failed},
	} {
		serve(trail.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			decision.Add(r.Context(), decision.Decision{Layer: "mine", Effect: tt.effect})
			w.WriteHeader(tt.status)
		})), get("/"))
		if got := <-out; got.Outcome != tt.want || got.Status != tt.status {
			t.Errorf("outcome of %d after %s = %s %d, want %s", tt.status, tt.effect, got.Outcome, got.Status, tt.want)
		}
	}
}

// The method is the client's own word: cut, and a copy, since net/http's is a
// part of the whole request line, which would wait in the queue with it.
func TestMethod(t *testing.T) {
	t.Parallel()
	trail, out := newTrail(t, audit.Config{})
	for method, want := range map[string]string{
		"GET": "GET", "POST": "POST", "QUERY": "QUERY", "get": "get",
		strings.Repeat("M", 100):       strings.Repeat("M", 32),
		strings.Repeat("ü", 100):       strings.Repeat("ü", 16),
		"M" + strings.Repeat("ü", 100): "M" + strings.Repeat("ü", 15), // no half a character
		"":                             "",
	} {
		r := get("/")
		r.Method = method
		serve(trail.Handler(http.NotFoundHandler()), r)
		if got := (<-out).Method; got != want {
			t.Errorf("method = %q, want %q", got, want)
		}
	}
}

// What a client sends grows the queue by little, whatever its size. (A method
// that shares memory with its request line would keep all of that.)
func TestQueuedRequestsAreSmall(t *testing.T) {
	t.Parallel()
	events := make(chan *audit.Event, 1)
	trail, _ := newTrail(t, audit.Config{Sinks: []audit.Sink{sinkFunc(func(_ context.Context, b audit.Batch) error {
		events <- b.Events[0]
		return nil
	})}})
	requestLine := "PATCH /" + strings.Repeat("x", 1<<20)
	r := get("/")
	r.Method = requestLine[:5]
	serve(trail.Handler(http.NotFoundHandler()), r)
	if got := (<-events).Request.Method; got != "PATCH" || sameMemory(got, requestLine) {
		t.Errorf("method %q shares memory with the request line", got)
	}
}

func TestRecord(t *testing.T) {
	trail, out := newTrail(t, audit.Config{})
	t.Run("within a request", func(t *testing.T) {
		id := serve(trail.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			decision.SetActor(r.Context(), decision.Actor{Issuer: "i", Subject: "ann"})
			err := trail.Record(r.Context(), audit.Event{
				Type: "login", Outcome: audit.Denied, RequestID: "forged", Seq: 99, Lost: 5,
				Request: &audit.Request{Route: "forged"}, Attrs: map[string]string{"user": "ann", "seq": "0"},
			})
			if err != nil {
				t.Error(err)
			}
		})), get("/")).Header().Get("X-Request-Id")
		login, request := <-out, <-out
		if login.Type != "login" || login.RequestID != id || login.Client != "192.0.2.1" || login.Outcome != audit.Denied ||
			login.Principal == nil || login.Principal.Subject != "ann" || login.Route != "" || login.Lost != 0 || login.Time == "" {
			t.Errorf("event = %+v, want the request's facts and nothing forged", login)
		}
		if want := map[string]string{"user": "ann", "seq": "0"}; !maps.Equal(login.Attrs, want) {
			t.Errorf("attrs = %v, want %v", login.Attrs, want)
		}
		if login.Seq+1 != request.Seq || request.Type != audit.TypeRequest {
			t.Errorf("seq = %d, then %d", login.Seq, request.Seq)
		}
	})
	t.Run("without a request", func(t *testing.T) {
		err := trail.Record(context.Background(), audit.Event{Type: "start", Client: netip.MustParseAddr("::1%zone"), Principal: &decision.Actor{Subject: "root"}})
		if err != nil {
			t.Fatal(err)
		}
		if got := <-out; got.Type != "start" || got.Client != "::1" || got.Principal.Subject != "root" || got.Outcome != "" {
			t.Errorf("event = %+v", got)
		}
	})
	t.Run("reserved types", func(t *testing.T) {
		for _, name := range []string{"", audit.TypeRequest, audit.TypeGap} {
			if err := trail.Record(context.Background(), audit.Event{Type: name}); err == nil {
				t.Errorf("Record took an event of type %q", name)
			}
		}
	})
	t.Run("bounded", func(t *testing.T) {
		long := strings.Repeat("ü", 1<<14)
		attrs := make(map[string]string)
		for i := range 1000 {
			attrs[fmt.Sprintf("%04d", i)+long] = long
		}
		circle := &decision.Actor{Issuer: long, Subject: long}
		circle.Actor = circle
		err := trail.Record(context.Background(), audit.Event{Type: long, RequestID: long, Outcome: audit.Outcome(long), Principal: circle, Attrs: attrs})
		if err != nil {
			t.Fatal(err)
		}
		got := <-out
		depth := 0
		for a := got.Principal; a != nil; a = a.Actor {
			depth++
			if len(a.Subject) != decision.MaxText {
				t.Errorf("subject has %d bytes", len(a.Subject))
			}
		}
		if len(got.Attrs) != 32 || len(got.Type) != 1024 || len(got.RequestID) != decision.MaxText || len(got.Outcome) != 32 || depth != 4 {
			t.Errorf("%d attrs, type of %d bytes, id of %d, outcome of %d, %d actors", len(got.Attrs), len(got.Type), len(got.RequestID), len(got.Outcome), depth)
		}
		for k, v := range got.Attrs {
			if len(k) != 1024 || len(v) != 1024 || k[:2] != "00" {
				t.Errorf("attr %.8q has %d and %d bytes, want the first ones, cut to 1024", k, len(k), len(v))
			}
		}
	})
	t.Run("copied", func(t *testing.T) {
		who := &decision.Actor{Issuer: "i", Subject: "ann"}
		attrs := map[string]string{"a": "1"}
		if err := trail.Record(context.Background(), audit.Event{Type: "x", Principal: who, Attrs: attrs}); err != nil {
			t.Fatal(err)
		}
		who.Subject, attrs["a"] = "eve", "2" // a race, if the trail shares them
		if got := <-out; got.Principal.Subject != "ann" || got.Attrs["a"] != "1" {
			t.Errorf("event = %+v, want what was recorded", got)
		}
	})
	t.Run("names that broken UTF-8 makes equal", func(t *testing.T) {
		if err := trail.Record(context.Background(), audit.Event{Type: "x", Attrs: map[string]string{"\xff": "1", "\xfe": "2"}}); err != nil {
			t.Fatal(err)
		}
		if got := <-out; len(got.Attrs) != 1 {
			t.Errorf("attrs = %q, want no member twice", got.Attrs)
		}
	})
}

// Nothing that a client sent, and no text of a panic or of somebody's error,
// is anywhere but where the handler put it.
func TestNoLeaks(t *testing.T) {
	t.Parallel()
	var out, slogged, log, server buffer
	failing := sinkFunc(func(context.Context, audit.Batch) error {
		return fmt.Errorf("canary-error: %w", fmt.Errorf("canary-inner"))
	})
	panicking := sinkFunc(func(context.Context, audit.Batch) error { panic("canary-sink-panic") })
	trail, _ := newTrail(t, audit.Config{
		Sinks: []audit.Sink{
			audit.Writer(&out), audit.Slog(slog.NewJSONHandler(&slogged, &slog.HandlerOptions{Level: slog.LevelDebug})),
			audit.Slog(slog.NewTextHandler(&slogged, nil)), failing, panicking,
		},
		Logger:  slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		OnPanic: func(context.Context, any, []byte) { panic("canary-hook-panic") },
	})
	mux := http.NewServeMux()
	mux.HandleFunc("/ok/{x}", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/tree/{x}/", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/panic/{x}", func(_ http.ResponseWriter, r *http.Request) {
		panic(fmt.Errorf("canary-panic of %s", r.URL))
	})
	srv := httptest.NewUnstartedServer(trail.Handler(mux))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(&server, nil), slog.LevelError)
	srv.Start()
	defer srv.Close()
	client := srv.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, path := range []string{"/ok/", "/panic/", "/nowhere/"} {
		r, err := http.NewRequest(http.MethodPost, srv.URL+path+"canary-path?q=canary-query&canary-name=1", strings.NewReader("password=canary-body"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"Authorization", "Cookie", "X-Api-Key", "X-Request-Id", "User-Agent", "Referer", "X-Forwarded-For", "X-Forwarded-Host", "Origin", "Content-Type", "Traceparent"} {
			r.Header.Set(name, "canary-"+name)
		}
		r.Host = "canary-host"
		r.SetBasicAuth("canary-user", "canary-password")
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if answer := fmt.Sprint(resp.Header, string(body)); strings.Contains(answer, "canary") {
			t.Errorf("%s: the answer has a canary: %s", path, answer)
		}
	}
	r := get("/")
	r.Method, r.URL.Path = http.MethodConnect, "/tree/canary-connect" // ServeMux redirects
	serve(trail.Handler(mux), r)
	if err := trail.Close(); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"trail": out.String(), "slog": slogged.String(), "log": log.String(), "server's log": server.String()} {
		if strings.Contains(strings.ToLower(text), "canary") {
			t.Errorf("the %s has a canary: %s", name, text)
		}
	}
	if n := strings.Count(out.String(), "\n"); n != 4 {
		t.Errorf("%d lines, want 4: %s", n, &out)
	}
	for _, want := range []string{"a handler panicked", "OnPanic panicked", "a sink fails", "*errors.errorString", "panic with a string"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q: %s", want, &log)
		}
	}
}

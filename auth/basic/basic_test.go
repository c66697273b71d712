package basic_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/basic"
	"github.com/gatehouse-go/gatehouse/auth/principal"
	"github.com/gatehouse-go/gatehouse/tlsredirect/clientip"
)

var (
	_ auth.Authenticator     = new(basic.Authenticator)
	_ auth.Carrier           = new(basic.Authenticator)
	_ auth.RequestChallenger = new(basic.Authenticator)
)

const (
	issuer    = "https://api.example.com"
	billing   = "kU0vQm3tXzY8rWb2LdN6hJp4sGf7cEa9TiOx1BnMqRk" // the secret of billing
	old       = "Zp5wHs8eRj2uKv6yNb9mQc3xTf7gLa1dWo4iXk0zVtE" // its last one
	metrics   = "9f86b3c0d7e15a42688d1e0bf3c75a29"
	challenge = `Basic realm="https://api.example.com", charset="UTF-8"`
)

func hashOf(tb testing.TB, secret string) basic.Hash {
	tb.Helper()
	h, err := basic.NewHash(secret)
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

// rawHash is the hash of a secret that NewHash would not take.
func rawHash(tb testing.TB, secret string) basic.Hash {
	tb.Helper()
	sum := sha256.Sum256([]byte(secret))
	h, err := basic.ParseHash("sha256:" + hex.EncodeToString(sum[:]))
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

func clients(tb testing.TB) map[string]basic.Client {
	tb.Helper()
	return map[string]basic.Client{
		"billing": {Secrets: []basic.Hash{hashOf(tb, billing), hashOf(tb, old)}, Scopes: []string{"orders:read", "orders:write"}},
		"métrics": {Secrets: []basic.Hash{hashOf(tb, metrics)}},
	}
}

func newBasic(tb testing.TB, cfg basic.Config) *basic.Authenticator {
	tb.Helper()
	if cfg.Issuer == "" {
		cfg.Issuer = issuer
	}
	if cfg.Clients == nil && cfg.Lookup == nil {
		cfg.Clients = clients(tb)
	}
	a, err := basic.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

func newGate(tb testing.TB, cfg auth.Config, more ...auth.Authenticator) *auth.Gate {
	tb.Helper()
	cfg.Authenticators = append(cfg.Authenticators, more...)
	g, err := auth.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

func encode(credentials string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(credentials))
}

// request is a GET over TLS with these Authorization headers.
func request(authorization ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "https://api.example.com/orders", http.NoBody)
	for _, a := range authorization {
		r.Header.Add("Authorization", a)
	}
	return r
}

func plain(authorization ...string) *http.Request {
	r := request(authorization...)
	r.TLS = nil
	return r
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

var whoami = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	subject := "-"
	if p, ok := principal.FromContext(r.Context()); ok {
		subject = p.Subject
	}
	_, _ = w.Write([]byte(subject))
})

func reason(err error) string {
	if e, ok := errors.AsType[*auth.Error](err); ok {
		return e.Reason
	}
	return ""
}

// Every mistake is reported, and no name of a field is wrong.
func TestNewReportsEveryMistake(t *testing.T) {
	t.Parallel()
	lookup := func(context.Context, string) (basic.Client, error) { return basic.Client{}, nil }
	one := []basic.Hash{hashOf(t, billing)}
	for _, tt := range []struct {
		name string
		cfg  basic.Config
		want []string
	}{
		{"zero", basic.Config{}, []string{
			"basic: Issuer is empty, want who vouches for the clients' names",
			"basic: 0 Clients and Lookup false, want one of both",
		}},
		{"both", basic.Config{Issuer: "a", Lookup: lookup, Clients: map[string]basic.Client{"a": {Secrets: one}}}, []string{
			"basic: 1 Clients and Lookup true, want one of both",
		}},
		{"realm", basic.Config{Issuer: "a", Realm: `a"b`, Lookup: lookup}, []string{
			`basic: Realm is "a\"b", want printable ASCII without quotes and backslashes`,
		}},
		{"issuer as realm", basic.Config{Issuer: "a\r\nSet-Cookie: b", Lookup: lookup}, []string{
			`basic: Issuer, in place of Realm, is "a\r\nSet-Cookie: b", want printable ASCII without quotes and backslashes`,
		}},
		{"names", basic.Config{Issuer: "a", Clients: map[string]basic.Client{
			"": {Secrets: one}, "a:b": {Secrets: []basic.Hash{hashOf(t, old)}}, "a\n": {Secrets: []basic.Hash{hashOf(t, metrics)}},
			"\xff": {Secrets: []basic.Hash{rawHash(t, "1")}}, strings.Repeat("n", 129): {Secrets: []basic.Hash{rawHash(t, "2")}},
		}}, []string{
			`basic: Clients[""] is a bad name, want UTF-8 of 1 to 128 bytes without colons and control characters`,
			`basic: Clients["a\n"] is a bad name, want UTF-8 of 1 to 128 bytes without colons and control characters`,
			`basic: Clients["a:b"] is a bad name, want UTF-8 of 1 to 128 bytes without colons and control characters`,
			`basic: Clients["` + strings.Repeat("n", 129) + `"] is a bad name, want UTF-8 of 1 to 128 bytes without colons and control characters`,
			`basic: Clients["\xff"] is a bad name, want UTF-8 of 1 to 128 bytes without colons and control characters`,
		}},
		{"secrets", basic.Config{Issuer: "a", Clients: map[string]basic.Client{
			"a": {},
			"b": {Secrets: []basic.Hash{{}, rawHash(t, "1")}},
			"c": {Secrets: []basic.Hash{rawHash(t, "2"), rawHash(t, "3"), rawHash(t, "4"), rawHash(t, "5"), rawHash(t, "6")}},
			"d": {Secrets: []basic.Hash{rawHash(t, "7"), rawHash(t, "7")}},
			"e": {Secrets: []basic.Hash{rawHash(t, "1")}},
		}}, []string{
			`basic: Clients["a"].Secrets is empty, want the hash of a secret`,
			`basic: Clients["b"].Secrets has an empty Hash at 0, want what Generate, NewHash or ParseHash returned`,
			`basic: Clients["c"].Secrets has 5 hashes, want at most 4`,
			`basic: Clients["d"].Secrets[1] is a secret of "d" already, want each once`,
			`basic: Clients["e"].Secrets[0] is a secret of "b" already, want each once`,
		}},
		{"guessed", basic.Config{Issuer: "a", Clients: map[string]basic.Client{
			"a": {Secrets: []basic.Hash{rawHash(t, "")}},
			"b": {Secrets: []basic.Hash{rawHash(t, "b")}},
			"c": {Secrets: []basic.Hash{rawHash(t, "changeme")}},
		}}, []string{
			`basic: Clients["a"].Secrets[0] is the hash of a well-known password or of the name, want that of a generated secret`,
			`basic: Clients["b"].Secrets[0] is the hash of a well-known password or of the name, want that of a generated secret`,
			`basic: Clients["c"].Secrets[0] is the hash of a well-known password or of the name, want that of a generated secret`,
		}},
		{"scopes", basic.Config{Issuer: "a", Clients: map[string]basic.Client{"a": {Secrets: one, Scopes: []string{"a b", "", "ok"}}}}, []string{
			`basic: Clients["a"].Scopes has "a b", want a scope-token`,
			`basic: Clients["a"].Scopes has "", want a scope-token`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, err := basic.New(tt.cfg)
			if err == nil || a != nil {
				t.Fatalf("New = %v, %v, want an error alone", a, err)
			}
			if got := strings.Split(err.Error(), "\n"); !slices.Equal(got, tt.want) {
				t.Errorf("New = %q\nwant  %q", got, tt.want)
			}
		})
	}
}

// What goes in, and what comes of it.
func TestAuthenticate(t *testing.T) {
	t.Parallel()
	good := encode("billing:" + billing)
	token := strings.TrimPrefix(good, "Basic ")
	long := strings.Repeat("x", 400)
	for _, tt := range []struct {
		name   string
		header []string
		status int
		body   string // the subject, or the reason of the refusal
	}{
		{"admitted", []string{good}, 200, "billing"},
		{"the last secret, while both are live", []string{encode("billing:" + old)}, 200, "billing"},
		{"a name beyond ASCII", []string{encode("métrics:" + metrics)}, 200, "métrics"},
		{"lower case scheme", []string{"basic " + token}, 200, "billing"},
		{"upper case scheme", []string{"BASIC " + token}, 200, "billing"},

		{"none", nil, 401, "missing"},
		{"another scheme", []string{"Bearer " + token}, 401, "scheme"},
		{"a longer scheme", []string{"Basically " + token}, 401, "scheme"},
		{"no scheme", []string{token}, 401, "scheme"},
		{"empty", []string{""}, 401, "scheme"},

		{"unknown name", []string{encode("billing2:" + billing)}, 401, "client"},
		{"name in another case", []string{encode("Billing:" + billing)}, 401, "client"},
		{"name with a space", []string{encode("billing :" + billing)}, 401, "client"},
		{"name in another normal form", []string{encode("me\u0301trics:" + metrics)}, 401, "client"},
		{"wrong secret", []string{encode("billing:" + metrics)}, 401, "secret"},
		{"secret in another case", []string{encode("billing:" + strings.ToLower(billing))}, 401, "secret"},
		{"secret with a tail", []string{encode("billing:" + billing + "x")}, 401, "secret"},
		{"a part of the secret", []string{encode("billing:" + billing[:40])}, 401, "secret"},
		{"the hash as the secret", []string{encode("billing:" + hashOf(t, billing).Text())}, 401, "secret"},
		{"a colon before the secret", []string{encode("billing::" + billing)}, 401, "secret"},
		{"a short secret", []string{encode("billing:x")}, 401, "secret"},
		{"a short secret of nobody", []string{encode("nobody:x")}, 401, "secret"},

		{"scheme alone", []string{"Basic"}, 400, "malformed"},
		{"scheme and space", []string{"Basic "}, 400, "malformed"},
		{"two spaces", []string{"Basic  " + token}, 400, "malformed"},
		{"tab", []string{"Basic \t" + token}, 400, "malformed"},
		{"trailing space", []string{good + " "}, 400, "malformed"},
		{"two tokens", []string{good + " " + token}, 400, "malformed"},
		{"a list", []string{good + ", " + good}, 400, "malformed"},
		{"two headers", []string{good, good}, 400, "duplicate"},
		{"two schemes", []string{good, "Bearer x"}, 400, "duplicate"},
		{"no base64", []string{"Basic billing:" + billing}, 400, "malformed"},
		{"no padding", []string{strings.TrimRight(encode("billing:"+billing+"x"), "=")}, 400, "malformed"},
		{"too much padding", []string{good + "="}, 400, "malformed"},
		{"base64url", []string{"Basic " + base64.URLEncoding.EncodeToString([]byte("billing:"+billing+"~~~"))}, 400, "malformed"},
		{"trailing bits", []string{trailingBits(t, "billing:"+billing+"x")}, 400, "malformed"},
		{"line break in base64", []string{"Basic " + token[:8] + "\r\n" + token[8:]}, 400, "malformed"},
		{"line break behind base64", []string{good + "\n"}, 400, "malformed"},
		{"not UTF-8", []string{encode("billing:" + billing + "\xff")}, 400, "malformed"},
		{"Latin-1", []string{encode("m\xe9trics:" + metrics)}, 400, "malformed"},
		{"NUL in the name", []string{encode("billing\x00:" + billing)}, 400, "malformed"},
		{"NUL in the secret", []string{encode("billing:" + billing + "\x00")}, 400, "malformed"},
		{"line break in the name", []string{encode("bill\ning:" + billing)}, 400, "malformed"},
		{"DEL", []string{encode("billing:" + billing + "\x7f")}, 400, "malformed"},
		{"C1 control", []string{encode("billing:" + billing + "\u0085")}, 400, "malformed"},
		{"no colon", []string{encode("billing")}, 400, "malformed"},
		{"empty name", []string{encode(":" + billing)}, 400, "malformed"},
		{"empty secret", []string{encode("billing:")}, 400, "malformed"},
		{"colon alone", []string{encode(":")}, 400, "malformed"},
		{"too long", []string{encode("billing:" + long)}, 400, "oversize"},
		{"far too long", []string{"Basic " + strings.Repeat("A", 1<<20)}, 400, "oversize"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var refusal error
			g := newGate(t, auth.Config{ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
				refusal = err
				auth.WriteError(w, r, err)
			}}, newBasic(t, basic.Config{}))
			w := serve(g.Handler(whoami), request(tt.header...))
			got := w.Body.String()
			if w.Code != 200 {
				got = reason(refusal)
			}
			if w.Code != tt.status || got != tt.body {
				t.Errorf("got %d %q, want %d %q (%v)", w.Code, got, tt.status, tt.body, refusal)
			}
			var want []string
			if tt.status == 401 {
				want = []string{challenge}
			}
			if got := w.Header().Values("WWW-Authenticate"); !slices.Equal(got, want) {
				t.Errorf("WWW-Authenticate = %q, want %q", got, want)
			}
		})
	}
}

// trailingBits encodes s with other bits behind its last byte.
func trailingBits(t *testing.T, s string) string {
	t.Helper()
	encoded := []byte(encode(s))
	last := bytes.IndexByte(encoded, '=') - 1
	if last < 0 {
		t.Fatal("no padding, want some")
	}
	encoded[last]++
	if lax, err := base64.StdEncoding.DecodeString(string(encoded[len("Basic "):])); err != nil || string(lax) != s {
		t.Fatalf("a lax decoder reads %q, %v, want %q", lax, err, s)
	}
	return string(encoded)
}

func TestPrincipal(t *testing.T) {
	t.Parallel()
	a := newBasic(t, basic.Config{})
	got, err := a.Authenticate(request(encode("billing:" + billing)))
	want := &principal.Principal{
		Issuer: issuer, Subject: "billing", Kind: principal.Client, Scheme: "Basic", ClientID: "billing",
		Scopes: []string{"orders:read", "orders:write"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("Authenticate = %+v, %v, want %+v", got, err, want)
	}
}

// One request's principal is not the next one's.
func TestPrincipalIsNotShared(t *testing.T) {
	t.Parallel()
	known := clients(t)
	known["billing"] = basic.Client{Secrets: known["billing"].Secrets, Scopes: slices.Repeat([]string{"orders:read"}, 17)} // for 18 there is room
	a := newBasic(t, basic.Config{Clients: known})
	first, err := a.Authenticate(request(encode("billing:" + billing)))
	if err != nil {
		t.Fatal(err)
	}
	first.Tenant = "changed"
	_ = append(first.Scopes, "admin")
	second, err := a.Authenticate(request(encode("billing:" + billing)))
	if err != nil || second.Tenant != "" || slices.Contains(second.Scopes[:cap(second.Scopes)], "admin") {
		t.Errorf("the next request gets %+v, %v", second, err)
	}
}

// Without a Gate, two headers are refused all the same.
func TestTwoHeaders(t *testing.T) {
	t.Parallel()
	good := encode("billing:" + billing)
	if p, err := newBasic(t, basic.Config{}).Authenticate(request(good, good)); p != nil || reason(err) != auth.ReasonDuplicate {
		t.Errorf("Authenticate = %+v, %v, want %q", p, err, auth.ReasonDuplicate)
	}
}

func TestConfigIsCopied(t *testing.T) {
	t.Parallel()
	known := clients(t)
	a := newBasic(t, basic.Config{Clients: known})
	known["billing"].Scopes[0] = "admin"
	known["billing"].Secrets[0] = hashOf(t, metrics)
	delete(known, "métrics")
	for _, credentials := range []string{"billing:" + billing, "métrics:" + metrics} {
		if p, err := a.Authenticate(request(encode(credentials))); err != nil || p.HasScope("admin") {
			t.Errorf("Authenticate = %+v, %v, want it as it was configured", p, err)
		}
	}
}

// Over plain HTTP nothing tells right from wrong, and nothing invites.
func TestPlaintext(t *testing.T) {
	t.Parallel()
	trust, err := clientip.New(clientip.Config{Proxies: []string{"10.0.0.0/8"}})
	if err != nil {
		t.Fatal(err)
	}
	forwarded := func(r *http.Request, peer string, proto ...string) *http.Request {
		r.RemoteAddr = peer
		r.Header["X-Forwarded-Proto"] = proto
		return r
	}
	good := encode("billing:" + billing)
	const refusal = `{"type":"about:blank","title":"Bad Request","status":400,"detail":"The request must carry exactly one well-formed credential."}` + "\n"
	const proxy, client = "10.0.0.1:1", "192.0.2.1:1"
	for _, tt := range []struct {
		name   string
		trust  *clientip.Trust
		r      *http.Request
		status int
	}{
		{"right", nil, plain(good), 400},
		{"wrong secret", nil, plain(encode("billing:" + metrics)), 400},
		{"unknown name", nil, plain(encode("nobody:" + billing)), 400},
		{"malformed", nil, plain("Basic x"), 400},
		{"none", nil, plain(), 401},
		{"another scheme", nil, plain("Bearer x"), 401},
		{"a target that says https", nil, plain(good), 400},
		{"a header that says https, no proxy trusted", nil, forwarded(plain(good), proxy, "https"), 400},
		{"a header that says https, not from the proxy", trust, forwarded(plain(good), client, "https"), 400},
		{"the proxy says https", trust, forwarded(plain(good), proxy, "https"), 200},
		{"the proxy says http", trust, forwarded(plain(good), proxy, "http"), 400},
		{"the proxy says both", trust, forwarded(plain(good), proxy, "https", "http"), 400},
		{"the proxy says nothing", trust, forwarded(plain(good), proxy), 400},
		{"TLS to the proxy, plain to the client", trust, forwarded(request(good), proxy, "http"), 400},
		{"TLS without a proxy", trust, forwarded(request(good), client), 200},
		{"no credentials, the proxy says http", trust, forwarded(plain(), proxy, "http"), 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, auth.Config{Realm: "orders"}, newBasic(t, basic.Config{Trust: tt.trust}))
			w := serve(g.Handler(whoami), tt.r)
			if w.Code != tt.status {
				t.Errorf("status = %d, want %d", w.Code, tt.status)
			}
			if got := w.Header().Values("WWW-Authenticate"); len(got) > 0 {
				t.Errorf("WWW-Authenticate = %q, want no invitation", got)
			}
			if got := w.Body.String(); tt.status == 400 && got != refusal {
				t.Errorf("body = %s, want %s", got, refusal)
			}
		})
	}
	t.Run("reason", func(t *testing.T) {
		t.Parallel()
		_, err := newBasic(t, basic.Config{}).Authenticate(plain(good))
		if reason(err) != basic.ReasonPlaintext {
			t.Errorf("reason = %q, want %q", reason(err), basic.ReasonPlaintext)
		}
	})
	t.Run("Optional", func(t *testing.T) {
		t.Parallel()
		g := newGate(t, auth.Config{}, newBasic(t, basic.Config{}))
		if w := serve(g.Optional(whoami), plain()); w.Code != 200 || w.Body.String() != "-" {
			t.Errorf("got %d %q, want a stranger let through", w.Code, w.Body)
		}
		if w := serve(g.Optional(whoami), plain(good)); w.Code != 400 {
			t.Errorf("status = %d, want 400", w.Code)
		}
	})
}

// TestServer speaks to real servers, as net/http's client does it.
func TestServer(t *testing.T) {
	t.Parallel()
	g := newGate(t, auth.Config{}, newBasic(t, basic.Config{}))
	for _, tt := range []struct {
		name  string
		start func(http.Handler) *httptest.Server
		want  int
	}{
		{"TLS", httptest.NewTLSServer, 200},
		{"plain", httptest.NewServer, 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := tt.start(g.Handler(whoami))
			defer srv.Close()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			r.SetBasicAuth("billing", billing)
			resp, err := srv.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			if resp.StatusCode != tt.want {
				t.Errorf("status = %d, want %d", resp.StatusCode, tt.want)
			}
		})
	}
}

func TestRealm(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ own, gate, want string }{
		{"", "", challenge},
		{"", "gate", challenge},
		{"orders", "", `Basic realm="orders", charset="UTF-8"`},
		{"orders", "gate", `Basic realm="orders", charset="UTF-8"`},
	} {
		g := newGate(t, auth.Config{Realm: tt.gate}, newBasic(t, basic.Config{Realm: tt.own}))
		if got := serve(g.Handler(whoami), request()).Header().Values("WWW-Authenticate"); !slices.Equal(got, []string{tt.want}) {
			t.Errorf("WWW-Authenticate = %q, want %q", got, tt.want)
		}
	}
}

func TestChallenges(t *testing.T) {
	t.Parallel()
	a := newBasic(t, basic.Config{})
	for _, tt := range []struct {
		name string
		err  error
		want bool
	}{
		{"none", auth.ErrNoCredentials, true},
		{"missing", &auth.Error{Kind: auth.Missing}, true},
		{"invalid", &auth.Error{Kind: auth.Invalid}, true},
		{"stale", &auth.Error{Kind: auth.StaleAuthentication}, true},
		{"malformed", &auth.Error{Kind: auth.Malformed}, false},
		{"malformed around no credentials", &auth.Error{Kind: auth.Malformed, Err: auth.ErrNoCredentials}, false},
		{"scope", &auth.Error{Kind: auth.InsufficientScope}, false},
		{"forbidden", &auth.Error{Kind: auth.Forbidden}, false},
		{"unavailable", &auth.Error{Kind: auth.Unavailable}, false},
		{"foreign", errors.New("down"), false},
	} {
		var want []string
		if tt.want {
			want = []string{challenge}
		}
		if got := a.Challenges(tt.err); !slices.Equal(got, want) {
			t.Errorf("%s: Challenges = %q, want %q", tt.name, got, want)
		}
		if got := a.ChallengesFor(request(), tt.err); !slices.Equal(got, want) {
			t.Errorf("%s: ChallengesFor = %q, want %q", tt.name, got, want)
		}
		if got := a.ChallengesFor(plain(), tt.err); got != nil {
			t.Errorf("%s: ChallengesFor over plain HTTP = %q, want none", tt.name, got)
		}
	}
}

func TestCarries(t *testing.T) {
	t.Parallel()
	a := newBasic(t, basic.Config{})
	for _, tt := range []struct {
		header []string
		want   string
	}{
		{nil, ""},
		{[]string{"Bearer x"}, ""},
		{[]string{"Basically x"}, ""},
		{[]string{"Basic"}, "Authorization"},
		{[]string{"basic !"}, "Authorization"},
		{[]string{"Bearer x", "Basic x"}, "Authorization"},
	} {
		if got := a.Carries(request(tt.header...)); got != tt.want {
			t.Errorf("Carries with %q = %q, want %q", tt.header, got, tt.want)
		}
	}
}

// A name that nobody has costs as many hashes and comparisons as any other,
// however many secrets the others have.
func TestNobodyCostsTheSame(t *testing.T) {
	t.Parallel()
	full := basic.Client{}
	for i := range basic.MaxSecrets {
		full.Secrets = append(full.Secrets, rawHash(t, fmt.Sprintf("%d-%s", i, metrics)))
	}
	known := clients(t)
	known["full"] = full
	a := newBasic(t, basic.Config{Clients: known})
	looked := newBasic(t, basic.Config{Lookup: func(_ context.Context, name string) (basic.Client, error) { return known[name], nil }})
	want := []string{"hash", "compare", "compare", "compare", "compare"}
	for _, credentials := range []string{
		"billing:" + billing, "billing:" + old, "billing:" + metrics, "métrics:" + metrics, "métrics:" + old,
		"full:0-" + metrics, "full:3-" + metrics, "full:" + billing, "nobody:" + billing, strings.Repeat("n", 200) + ":" + billing,
	} {
		for name, a := range map[string]*basic.Authenticator{"Clients": a, "Lookup": looked} {
			var got []string
			a.Trace(func(step string) { got = append(got, step) })
			_, _ = a.Authenticate(request(encode(credentials)))
			if !slices.Equal(got, want) {
				t.Errorf("%s: %q costs %q, want %q", name, credentials, got, want)
			}
		}
	}
}

// Neither is the garbage of one refusal more than that of the other.
func TestNobodyAllocatesTheSame(t *testing.T) { // not parallel, for AllocsPerRun counts those of other tests
	a := newBasic(t, basic.Config{})
	allocs := func(credentials string) float64 {
		r := request(encode(credentials))
		return testing.AllocsPerRun(100, func() { _, _ = a.Authenticate(r) })
	}
	if nobody, known := allocs("nobody:"+billing), allocs("billing:"+metrics); nobody != known {
		t.Errorf("%v allocations for nobody, %v for a client", nobody, known)
	}
}

// A client whose last secret was withdrawn is nobody.
func TestNoSecretIsNobody(t *testing.T) {
	t.Parallel()
	a := newBasic(t, basic.Config{Lookup: func(context.Context, string) (basic.Client, error) {
		return basic.Client{Scopes: []string{"admin"}}, nil
	}})
	if p, err := a.Authenticate(request(encode("withdrawn:" + billing))); p != nil || reason(err) != basic.ReasonClient {
		t.Errorf("Authenticate = %+v, %v, want a refusal for its name", p, err)
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	down := errors.New("canary: db.internal refused " + billing)
	type contextKey struct{}
	lookup := func(ctx context.Context, name string) (basic.Client, error) {
		if ctx.Value(contextKey{}) != "request" {
			t.Error("Lookup did not get the request's context")
		}
		switch name {
		case "down":
			return basic.Client{Secrets: []basic.Hash{hashOf(t, billing)}}, down
		case "none":
			return basic.Client{}, auth.ErrNoCredentials
		case "many":
			return basic.Client{Secrets: slices.Repeat([]basic.Hash{hashOf(t, billing)}, 5)}, nil
		case "zero":
			return basic.Client{Secrets: []basic.Hash{hashOf(t, billing), {}}}, nil
		}
		return clients(t)[name], nil
	}
	for _, tt := range []struct {
		name        string
		credentials string
		status      int
		reason      string
	}{
		{"known", "billing:" + billing, 200, "admitted"},
		{"the last secret", "billing:" + old, 200, "admitted"},
		{"wrong secret", "billing:" + metrics, 401, "secret"},
		{"unknown", "nobody:" + billing, 401, "client"},
		{"store is down", "down:" + billing, 503, "unavailable"},
		{"store says it wrongly", "none:" + billing, 503, "unavailable"},
		{"too many secrets", "many:" + billing, 503, "unavailable"},
		{"an empty hash", "zero:" + billing, 503, "unavailable"},
		{"a short secret is not worth asking", "down:short", 401, "secret"},
		{"nor is a malformed one", "down:\x00", 400, "malformed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got decision.Decision
			g := newGate(t, auth.Config{OnDecision: func(_ context.Context, d decision.Decision) { got = d }},
				newBasic(t, basic.Config{Lookup: lookup}))
			r := request(encode(tt.credentials))
			r = r.WithContext(context.WithValue(r.Context(), contextKey{}, "request"))
			w := serve(g.Handler(whoami), r)
			if w.Code != tt.status || got.Reason != tt.reason {
				t.Errorf("got %d %q, want %d %q", w.Code, got.Reason, tt.status, tt.reason)
			}
			if strings.Contains(fmt.Sprint(got, w.Body, w.Header()), "canary") {
				t.Errorf("the store's text got out: %+v", got)
			}
		})
	}
	t.Run("cause", func(t *testing.T) {
		t.Parallel()
		a := newBasic(t, basic.Config{Lookup: func(context.Context, string) (basic.Client, error) { return basic.Client{}, down }})
		if _, err := a.Authenticate(request(encode("down:" + billing))); !errors.Is(err, down) {
			t.Errorf("err = %v, want it around the store's", err)
		}
	})
}

// A nil Authenticator admits nobody and does not panic.
func TestNil(t *testing.T) {
	t.Parallel()
	var none *basic.Authenticator
	for _, r := range []*http.Request{request(encode("billing:" + billing)), plain(encode("billing:" + billing))} {
		_, err := none.Authenticate(r)
		if e, ok := errors.AsType[*auth.Error](err); !ok || e.StatusCode() != http.StatusServiceUnavailable || none.ChallengesFor(r, err) != nil {
			t.Errorf("Authenticate = %v, want 503 without a challenge", err)
		}
	}
	if _, err := none.Authenticate(request()); !errors.Is(err, auth.ErrNoCredentials) {
		t.Errorf("Authenticate without credentials = %v", err)
	}
}

// Nothing of a credential is in an answer, the log, a decision, an error, or
// what prints a Config, an Authenticator or a Hash.
func TestNoSecretGetsOut(t *testing.T) {
	t.Parallel()
	const other = "canary8vQm3tXzY8rWb2LdN6hJp4sGf7cEa9TiOx1BnMqR"
	cfg := basic.Config{Issuer: issuer, Clients: clients(t)}
	a := newBasic(t, cfg)
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var out strings.Builder
	g := newGate(t, auth.Config{
		Logger:     logger,
		OnDecision: func(_ context.Context, d decision.Decision) { fmt.Fprintf(&out, "%+v\n", d) },
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			fmt.Fprintf(&out, "%v %+v %#v\n", err, err, err)
			auth.WriteError(w, r, err)
		},
	}, a)
	tokens := []string{
		encode("billing:" + billing), encode("billing:" + other), encode("canary-name:" + billing), encode(billing + ":canary"),
		encode("canary-no-colon"), encode("canary\x00:" + billing), encode("canary\xff:" + billing), encode(":canary"), encode("canary:"),
		"Basic canary!", "Basic  canary", "Basic " + strings.Repeat("canary", 100), "Basic canary\r\nlevel=INFO",
	}
	for _, authorization := range tokens {
		for _, r := range []*http.Request{request(authorization), plain(authorization)} {
			w := serve(g.Handler(http.NotFoundHandler()), r)
			fmt.Fprintln(&out, w.Header(), w.Body)
		}
	}
	for _, v := range []any{cfg, &cfg, a, cfg.Clients["billing"], cfg.Clients["billing"].Secrets[0], &cfg.Clients["billing"].Secrets[0]} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		logger.Info("printed", "v", v)
		if b, err := json.Marshal(v); err == nil {
			out.Write(b)
		}
	}
	if log.Len() == 0 {
		t.Fatal("nothing was logged")
	}
	out.WriteString(log.String())
	text := strings.ToLower(out.String())
	sum := sha256.Sum256([]byte(billing))
	forbidden := []string{
		"canary", billing, old, metrics, other, hex.EncodeToString(sum[:8]),
		strings.Trim(fmt.Sprintf("%d", sum[:4]), "[]"), strings.Trim(fmt.Sprintf("%#v", sum[:4]), "[]byte{}"),
	}
	for _, authorization := range tokens {
		if _, token, _ := strings.Cut(authorization, " "); len(token) > 6 {
			forbidden = append(forbidden, token)
		}
	}
	for _, s := range forbidden {
		if strings.Contains(text, strings.ToLower(s)) {
			t.Errorf("%q got out", s)
		}
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

// A known name is in the trail: whose secret somebody guesses at.
func TestDecisionNamesTheClient(t *testing.T) {
	t.Parallel()
	var got []decision.Decision
	g := newGate(t, auth.Config{OnDecision: func(_ context.Context, d decision.Decision) { got = append(got, d) }}, newBasic(t, basic.Config{}))
	for _, credentials := range []string{"billing:" + billing, "billing:" + metrics, "nobody:" + metrics} {
		serve(g.Handler(whoami), request(encode(credentials)))
	}
	want := []decision.Decision{
		{Layer: "auth", Effect: decision.Allow, Rule: "Basic", Reason: "admitted"},
		{Layer: "auth", Effect: decision.Deny, Reason: "secret", Detail: `not a live secret of "billing"`, Status: 401},
		{Layer: "auth", Effect: decision.Deny, Reason: "client", Detail: "no client of that name", Status: 401},
	}
	if !slices.Equal(got, want) {
		t.Errorf("decisions = %+v\nwant %+v", got, want)
	}
}

// The vectors of RFC 7617 section 2 and 2.1.
func TestVectors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ token, name, secret string }{
		{"QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame"},
		{"dGVzdDoxMjPCow==", "test", "123£"},
	} {
		if name, secret, err := basic.Parse(tt.token); name != tt.name || secret != tt.secret || err != nil {
			t.Errorf("Parse = %q, %q, %v, want %q, %q", name, secret, err, tt.name, tt.secret)
		}
	}
}

// TestConcurrent is for the race detector.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	a := newBasic(t, basic.Config{})
	done := make(chan error)
	for range 8 {
		go func() {
			_, err := a.Authenticate(request(encode("billing:" + billing)))
			done <- err
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

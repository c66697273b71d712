package auth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/principal"
)

var (
	_ func(http.Handler) http.Handler                   = new(auth.Gate).Handler
	_ func(http.Handler) http.Handler                   = new(auth.Gate).Optional
	_ func(...string) func(http.Handler) http.Handler   = new(auth.Gate).RequireScope
	_ func(http.ResponseWriter, *http.Request, error)   = auth.WriteError
	_ func(*http.Request) (*principal.Principal, error) = new(auth.Gate).Authenticate
	_ auth.Authenticator                                = new(auth.JWT)
	_ interface {
		StatusCode() int
		error
		Unwrap() error
	} = new(auth.Error)
)

var bob = &principal.Principal{Issuer: "test", Subject: "bob", Scheme: "Stub", Scopes: []string{"read"}}

// A stub is an Authenticator that says the same to everybody.
type stub struct {
	principal *principal.Principal
	err       error
	challenge []string
	calls     atomic.Int64
}

func (s *stub) Authenticate(*http.Request) (*principal.Principal, error) {
	s.calls.Add(1)
	return s.principal, s.err
}

func (s *stub) Challenges(error) []string { return s.challenge }

// A statusError is a foreign error that asks for a status.
type statusError int

func (e statusError) Error() string   { return "canary: the text of a foreign error" }
func (e statusError) StatusCode() int { return int(e) }

func TestNewReportsEveryMistake(t *testing.T) {
	t.Parallel()
	var nilJWT *auth.JWT
	_, err := auth.New(auth.Config{Authenticators: []auth.Authenticator{nil, &stub{}, nilJWT}, Realm: "a\"b"})
	for _, want := range []string{
		"auth: Authenticators[0] is nil, want an Authenticator",
		"auth: Authenticators[2] is nil, want an Authenticator",
		`auth: Realm is "a\"b", want printable ASCII without quotes and backslashes`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v, want %q in it", err, want)
		}
	}
	for _, realm := range []string{"a\r\nX-Injected: 1", `a\`, "é", "a\x00"} {
		if _, err := auth.New(auth.Config{Authenticators: []auth.Authenticator{&stub{}}, Realm: realm}); err == nil {
			t.Errorf("New with Realm %q = nil, want an error", realm)
		}
	}
	one := newJWT(t, issuerOf(signerFor("HS256")))
	if _, err := auth.New(auth.Config{Authenticators: []auth.Authenticator{one, &stub{}, one}}); err == nil || !strings.Contains(err.Error(), "more than one *JWT") {
		t.Errorf("New with two JWTs = %v", err)
	}
	if _, err := auth.New(auth.Config{}); err == nil || err.Error() != "auth: Authenticators is empty, want at least one" {
		t.Errorf("New of a zero Config = %v", err)
	}
}

func TestGateKeepsItsOwnAuthenticators(t *testing.T) {
	t.Parallel()
	list := []auth.Authenticator{&stub{err: statusError(401)}}
	g := newGate(t, auth.Config{Authenticators: list})
	list[0] = &stub{principal: bob}
	if got := serve(g.Handler(whoami)).Code; got != http.StatusUnauthorized {
		t.Errorf("status = %d after the caller's slice was changed, want 401", got)
	}
}

func TestGateChain(t *testing.T) {
	t.Parallel()
	var (
		absent   = func() *stub { return &stub{err: auth.ErrNoCredentials} }
		wrapped  = func() *stub { return &stub{err: fmt.Errorf("cookie: %w", auth.ErrNoCredentials)} }
		admits   = func() *stub { return &stub{principal: bob} }
		refuses  = func() *stub { return &stub{err: &auth.Error{Kind: auth.Invalid, Reason: auth.ReasonExpired}} }
		nilError = func() *stub { return &stub{err: (*auth.Error)(nil)} }
	)
	for _, tt := range []struct {
		name   string
		chain  []*stub
		want   int
		reason string
		asked  []int64
	}{
		{"first admits", []*stub{admits(), refuses()}, 200, "admitted", []int64{1, 0}},
		{"no credentials falls through", []*stub{absent(), admits()}, 200, "admitted", []int64{1, 1}},
		{"wrapped no credentials falls through", []*stub{wrapped(), admits()}, 200, "admitted", []int64{1, 1}},
		{"bad credentials stop", []*stub{refuses(), admits()}, 401, auth.ReasonExpired, []int64{1, 0}},
		{"nobody knows", []*stub{absent(), absent()}, 401, auth.ReasonMissing, []int64{1, 1}},
		{"foreign error", []*stub{{err: errors.New("canary: dial tcp 10.0.0.1")}, admits()}, 503, auth.ReasonUnavailable, []int64{1, 0}},
		{"foreign 400", []*stub{{err: statusError(400)}}, 400, auth.ReasonMalformed, []int64{1}},
		{"foreign 401", []*stub{{err: statusError(401)}}, 401, auth.ReasonRefused, []int64{1}},
		{"foreign 403", []*stub{{err: statusError(403)}}, 403, auth.ReasonScope, []int64{1}},
		{"foreign 200", []*stub{{err: statusError(200)}}, 503, auth.ReasonUnavailable, []int64{1}},
		{"foreign 500", []*stub{{err: statusError(500)}}, 503, auth.ReasonUnavailable, []int64{1}},
		{"context canceled", []*stub{{err: context.Canceled}}, 503, auth.ReasonUnavailable, []int64{1}},
		{"nil *Error", []*stub{nilError(), admits()}, 503, auth.ReasonUnavailable, []int64{1, 0}},
		{"neither caller nor error", []*stub{{}, admits()}, 503, auth.ReasonUnavailable, []int64{1, 0}},
		{"empty identity", []*stub{{principal: &principal.Principal{}}}, 503, auth.ReasonUnavailable, []int64{1}},
		{"no issuer", []*stub{{principal: &principal.Principal{Subject: "bob"}}}, 503, auth.ReasonUnavailable, []int64{1}},
		{"no subject", []*stub{{principal: &principal.Principal{Issuer: "test"}}}, 503, auth.ReasonUnavailable, []int64{1}},
		{"an error beside a caller", []*stub{{principal: bob, err: errors.New("canary")}}, 503, auth.ReasonUnavailable, []int64{1}},
		{"unknown kind", []*stub{{err: &auth.Error{Kind: 200, Reason: "odd"}}}, 503, "odd", []int64{1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			chain := make([]auth.Authenticator, 0, len(tt.chain))
			for _, s := range tt.chain {
				chain = append(chain, s)
			}
			var got []decision.Decision
			g := newGate(t, auth.Config{
				Authenticators: chain,
				OnDecision:     func(_ context.Context, d decision.Decision) { got = append(got, d) },
			})
			w := serve(g.Handler(whoami))
			if w.Code != tt.want {
				t.Errorf("status = %d, want %d", w.Code, tt.want)
			}
			if len(got) != 1 || got[0].Reason != tt.reason || got[0].Layer != "auth" {
				t.Errorf("decisions = %+v, want one of reason %q", got, tt.reason)
			}
			if text := fmt.Sprint(got, w.Body); strings.Contains(text, "canary") {
				t.Errorf("the text of a foreign error got out: %s", text)
			}
			for i, s := range tt.chain {
				if s.calls.Load() != tt.asked[i] {
					t.Errorf("Authenticator %d was asked %d times, want %d", i, s.calls.Load(), tt.asked[i])
				}
			}
		})
	}
}

// An apiKey is a stub whose credentials have a place of their own.
type apiKey struct{ stub }

func (*apiKey) Carries(r *http.Request) string {
	if r.Header.Get("X-Api-Key") != "" {
		return "X-Api-Key"
	}
	return ""
}

// Exactly one credential: another reader of the request might believe the other
// one (RFC 6750 section 2).
func TestCredentialsInTwoPlaces(t *testing.T) {
	t.Parallel()
	s := signerFor("HS256")
	good := "Bearer " + s.token(t, goodClaims())
	key := &apiKey{stub{principal: bob}}
	g := newGate(t, auth.Config{Authenticators: []auth.Authenticator{newJWT(t, issuerOf(s)), key}})
	for _, tt := range []struct {
		name   string
		header http.Header
		status int
	}{
		{"token", http.Header{"Authorization": {good}}, 200},
		{"both", http.Header{"Authorization": {good}, "X-Api-Key": {"k"}}, 400},
		{"bad token and key", http.Header{"Authorization": {"Bearer x"}, "X-Api-Key": {"k"}}, 400},
		{"malformed token and key", http.Header{"Authorization": {"Bearer"}, "X-Api-Key": {"k"}}, 400},
		{"another scheme and key", http.Header{"Authorization": {"Digest x"}, "X-Api-Key": {"k"}}, 200},
	} {
		for _, h := range []http.Handler{g.Handler(whoami), g.Optional(whoami)} {
			r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
			r.Header = tt.header.Clone()
			w := httptest.NewRecorder()
			if key.err = nil; tt.header.Get("X-Api-Key") == "" {
				key.err = auth.ErrNoCredentials
			}
			if h.ServeHTTP(w, r); w.Code != tt.status {
				t.Errorf("%s: status = %d, want %d", tt.name, w.Code, tt.status)
			}
		}
	}
}

// A connected is a stub whose credentials are the connection's, as a client
// certificate is.
type connected struct{ stub }

func (*connected) Carries(*http.Request) string { return "" }

// Credentials in a request are for who carries them to judge: what the
// connection proves does not stand in for bad ones.
func TestCredentialsBesideTheConnections(t *testing.T) {
	t.Parallel()
	s := signerFor("HS256")
	jwt := newJWT(t, issuerOf(s))
	for _, tt := range []struct {
		name    string
		request []string
		status  int
		body    string
	}{
		{"certificate alone", nil, 200, "bob"},
		{"with a good token", []string{"Bearer " + s.token(t, goodClaims())}, 200, "alice"},
		{"with a bad token", []string{"Bearer " + s.token(t, goodClaims().with(object{"exp": 1}))}, 401, ""},
		{"with junk", []string{"Bearer junk"}, 401, ""},
		{"with a scheme that is off", []string{"DPoP junk"}, 400, ""},
	} {
		for _, chain := range [][]auth.Authenticator{{jwt, &connected{stub{principal: bob}}}, {&connected{stub{principal: bob}}, jwt}} {
			w := serve(newGate(t, auth.Config{Authenticators: chain}).Handler(whoami), tt.request...)
			if w.Code != tt.status || tt.body != "" && w.Body.String() != tt.body {
				t.Errorf("%s: status = %d: %s, want %d", tt.name, w.Code, w.Body, tt.status)
			}
		}
	}
}

// A check that failed is no reason to ask the next, whatever its cause wraps.
func TestFailedChecksAreNotDeclined(t *testing.T) {
	t.Parallel()
	for _, kind := range []auth.Kind{auth.Unavailable, auth.Malformed, auth.InsufficientScope, auth.Forbidden, auth.StaleAuthentication} {
		failed := &stub{err: &auth.Error{Kind: kind, Reason: "r", Err: fmt.Errorf("lookup: %w", auth.ErrNoCredentials)}}
		g := newGate(t, auth.Config{Authenticators: []auth.Authenticator{failed, &stub{principal: bob}}})
		if w := serve(g.Handler(whoami)); w.Code < 400 {
			t.Errorf("kind %d: status = %d, and the next Authenticator was asked", kind, w.Code)
		}
	}
}

// A token that is no JWT is for the next that speaks Bearer, and the first one's
// refusal counts if nobody takes it.
func TestAnotherFormOfToken(t *testing.T) {
	t.Parallel()
	s := signerFor("HS256")
	jwt := newJWT(t, issuerOf(s))
	declines := &auth.Error{Kind: auth.Invalid, Reason: "second", Err: auth.ErrNoCredentials}
	for _, tt := range []struct {
		name, token string
		second      *stub
		status      int
		reason      string
	}{
		{"taken by the second", "opaque", &stub{principal: bob}, 200, "admitted"},
		{"a JWE, taken by the second", "a.b.c.d.e", &stub{principal: bob}, 200, "admitted"},
		{"refused by the second", "opaque", &stub{err: statusError(401)}, 401, auth.ReasonRefused},
		{"declined by both", "opaque", &stub{err: declines}, 401, auth.ReasonMalformed},
		{"declined by the first", "opaque", &stub{err: auth.ErrNoCredentials}, 401, auth.ReasonMalformed},
		{"a broken JWT", "a.b.c", &stub{principal: bob}, 401, auth.ReasonMalformed},
		{"a long one", strings.Repeat("x", 17<<10), &stub{principal: bob}, 401, auth.ReasonOversize},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got string
			g := newGate(t, auth.Config{Authenticators: []auth.Authenticator{jwt, tt.second}, OnDecision: reasons(&got)})
			for _, h := range []http.Handler{g.Handler(whoami), g.Optional(whoami)} {
				if w := serve(h, "Bearer "+tt.token); w.Code != tt.status || got != tt.reason {
					t.Errorf("status = %d, reason %q, want %d, %q", w.Code, got, tt.status, tt.reason)
				}
			}
		})
	}
}

func TestGateAuthenticate(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	g := newGate(t, auth.Config{Authenticators: []auth.Authenticator{&stub{principal: bob}}})
	if p, err := g.Authenticate(r); p != bob || err != nil {
		t.Errorf("Authenticate = %v, %v, want bob", p, err)
	}
	foreign := errors.New("store is down")
	g = newGate(t, auth.Config{Authenticators: []auth.Authenticator{&stub{err: foreign}}})
	p, err := g.Authenticate(r)
	if e, ok := errors.AsType[*auth.Error](err); !ok || e.Kind != auth.Unavailable || !errors.Is(err, foreign) || p != nil {
		t.Errorf("Authenticate = %v, %v, want an Unavailable *Error around the cause", p, err)
	}
	if got, want := err.Error(), "auth: unavailable: store is down"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
}

func TestGateChallenges(t *testing.T) {
	t.Parallel()
	jwt := newJWT(t, issuerOf(signerFor("HS256")))
	noBasic := &stub{err: auth.ErrNoCredentials, challenge: []string{`Basic charset="UTF-8"`}}
	good := "Bearer " + signerFor("HS256").token(t, goodClaims())
	for _, tt := range []struct {
		name    string
		realm   string
		request []string
		status  int
		want    []string
	}{
		{"none", "", nil, 401, []string{"Bearer", `Basic charset="UTF-8"`}},
		{"none, with a realm", "orders API", nil, 401, []string{`Bearer realm="orders API"`, `Basic realm="orders API", charset="UTF-8"`}},
		{"bad token", "", []string{"Bearer x"}, 401, []string{`Bearer error="invalid_token"`}},
		{"bad token, with a realm", "r", []string{"Bearer x"}, 401, []string{`Bearer realm="r", error="invalid_token"`}},
		{"malformed", "", []string{"Bearer a b"}, 400, []string{`Bearer error="invalid_request"`}},
		{"another scheme", "", []string{"Digest abc"}, 401, []string{"Bearer", `Basic charset="UTF-8"`}},
		{"doubled", "", []string{good, good}, 400, []string{`Bearer error="invalid_request"`, `Basic charset="UTF-8"`}},
		{"doubled, second of another scheme", "", []string{good, "Basic eDp5"}, 400, []string{`Bearer error="invalid_request"`, `Basic charset="UTF-8"`}},
		{"scope", "", []string{good}, 403, []string{`Bearer error="insufficient_scope", scope="orders:read admin"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, auth.Config{Authenticators: []auth.Authenticator{jwt, noBasic}, Realm: tt.realm})
			w := serve(g.Handler(g.RequireScope("orders:read", "admin")(whoami)), tt.request...)
			if w.Code != tt.status {
				t.Errorf("status = %d, want %d", w.Code, tt.status)
			}
			if got := w.Header().Values("WWW-Authenticate"); !slices.Equal(got, tt.want) {
				t.Errorf("WWW-Authenticate = %q, want %q", got, tt.want)
			}
			if got := w.Header().Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control = %q, want no-store", got)
			}
		})
	}
}

// A parameter may stand in a challenge once (RFC 9110 section 11.2).
func TestRealmIsNotDoubled(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ challenge, want string }{
		{`Basic realm="own", charset="UTF-8"`, `Basic realm="own", charset="UTF-8"`},
		{`Basic charset="UTF-8" , REALM = own`, `Basic charset="UTF-8" , REALM = own`},
		{`Stub a="\", b=\\", realm="own"`, `Stub a="\", b=\\", realm="own"`},
		{`Stub a=", realm=x"`, `Stub realm="r", a=", realm=x"`},
		{`Stub a="\", realm=x"`, `Stub realm="r", a="\", realm=x"`},
		{`Stub xrealm="x", a=realm`, `Stub realm="r", xrealm="x", a=realm`},
		{`Stub scope="realm"`, `Stub realm="r", scope="realm"`},
		{`Stub`, `Stub realm="r"`},
	} {
		g := newGate(t, auth.Config{Authenticators: []auth.Authenticator{&stub{err: auth.ErrNoCredentials, challenge: []string{tt.challenge}}}, Realm: "r"})
		if got := serve(g.Handler(whoami)).Header().Get("WWW-Authenticate"); got != tt.want {
			t.Errorf("WWW-Authenticate = %s, want %s", got, tt.want)
		}
	}
}

// A choosy stub challenges nobody who asks in a certain way.
type choosy struct{ stub }

func (c *choosy) ChallengesFor(r *http.Request, err error) []string {
	if r.Header.Get("Authorization") == "Other x" {
		return nil
	}
	return append(c.Challenges(err), "Choosy")
}

func TestChallengesDependOnTheRequest(t *testing.T) {
	t.Parallel()
	c := &choosy{stub{err: auth.ErrNoCredentials, challenge: []string{"Stub"}}}
	last := &stub{err: auth.ErrNoCredentials, challenge: []string{"Last"}}
	g := newGate(t, auth.Config{Authenticators: []auth.Authenticator{c, last}})
	for _, tt := range []struct {
		name    string
		request []string
		err     error
		want    []string
	}{
		{"nobody's credentials", nil, auth.ErrNoCredentials, []string{"Stub", "Choosy", "Last"}},
		{"not invited", []string{"Other x"}, auth.ErrNoCredentials, []string{"Last"}},
		{"its own credentials", nil, statusError(401), []string{"Stub", "Choosy"}},
		{"its own, not invited", []string{"Other x"}, statusError(401), nil},
	} {
		c.err = tt.err
		if got := serve(g.Handler(whoami), tt.request...).Header().Values("WWW-Authenticate"); !slices.Equal(got, tt.want) {
			t.Errorf("%s: WWW-Authenticate = %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestChallengeIsSetBeforeErrorHandler(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name               string
		err                error
		status             int
		challenge, retryIn string
	}{
		{"refused", statusError(401), 401, `Stub realm="r"`, ""},
		{"down", errors.New("down"), 503, "", "1"},
		{"down for a while", &auth.Error{Kind: auth.Unavailable, Reason: "down", RetryAfter: 1500 * time.Millisecond}, 503, "", "2"},
		{"down for ever", &auth.Error{Kind: auth.Unavailable, Reason: "down", RetryAfter: 1<<63 - 1}, 503, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &stub{err: tt.err}
			if tt.challenge != "" {
				s.challenge = []string{"Stub"}
			}
			g := newGate(t, auth.Config{
				Authenticators: []auth.Authenticator{s}, Realm: "r",
				ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
					h := w.Header()
					if h.Get("WWW-Authenticate") != tt.challenge || h.Get("Cache-Control") != "no-store" {
						t.Errorf("the handler saw %v", h)
					}
					if got := h.Get("Retry-After"); tt.status == 503 && (got == "" || strings.HasPrefix(got, "-") || tt.retryIn != "" && got != tt.retryIn) {
						t.Errorf("Retry-After = %q, want %q", got, tt.retryIn)
					} else if tt.status != 503 && got != "" {
						t.Errorf("Retry-After = %q, want none", got)
					}
					if e, ok := errors.AsType[*auth.Error](err); !ok || e.StatusCode() != tt.status {
						t.Errorf("err = %#v, want an *Error of status %d", err, tt.status)
					}
					w.WriteHeader(http.StatusTeapot)
				},
			})
			if got := serve(g.Handler(whoami)).Code; got != http.StatusTeapot {
				t.Errorf("status = %d, want that of the handler", got)
			}
		})
	}
}

func TestRefusalReplacesForeignChallenge(t *testing.T) {
	t.Parallel()
	g := newGate(t, auth.Config{Authenticators: []auth.Authenticator{newJWT(t, issuerOf(signerFor("HS256")))}})
	w := httptest.NewRecorder()
	w.Header().Set("WWW-Authenticate", "Negotiate")
	g.Handler(whoami).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	if got, want := w.Header().Values("WWW-Authenticate"), []string{"Bearer"}; !slices.Equal(got, want) {
		t.Errorf("WWW-Authenticate = %q, want %q", got, want)
	}
}

func TestOptional(t *testing.T) {
	t.Parallel()
	jwt := newJWT(t, issuerOf(signerFor("HS256")))
	good := "Bearer " + signerFor("HS256").token(t, goodClaims())
	for _, tt := range []struct {
		name          string
		extra         *stub
		authorization []string
		want          int
		body          string
	}{
		{"absent", nil, nil, 200, "-"},
		{"good", nil, []string{good}, 200, "alice"},
		{"bad", nil, []string{"Bearer x"}, 401, ""},
		{"malformed", nil, []string{"Bearer"}, 400, ""},
		{"doubled", nil, []string{good, good}, 400, ""},
		{"another scheme", nil, []string{"Basic eDp5"}, 401, ""},
		{"empty header", nil, []string{""}, 401, ""},
		{"store is down", &stub{err: errors.New("down")}, nil, 503, ""},
		{"refused with the reason of absence", &stub{err: &auth.Error{Kind: auth.Invalid, Reason: auth.ReasonMissing}}, nil, 401, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			chain := []auth.Authenticator{jwt}
			if tt.extra != nil {
				chain = append(chain, tt.extra)
			}
			g := newGate(t, auth.Config{Authenticators: chain})
			w := serve(g.Optional(whoami), tt.authorization...)
			if w.Code != tt.want || tt.want == 200 && w.Body.String() != tt.body {
				t.Errorf("got %d %q, want %d %q", w.Code, w.Body, tt.want, tt.body)
			}
		})
	}
}

func TestGateVerifiesOnce(t *testing.T) {
	t.Parallel()
	one, two := &stub{principal: bob}, &stub{principal: bob}
	g := newGate(t, auth.Config{Authenticators: []auth.Authenticator{one}})
	other := newGate(t, auth.Config{Authenticators: []auth.Authenticator{two}})
	h := g.Optional(g.Handler(g.Optional(g.Handler(other.Handler(g.RequireScope("read")(whoami))))))
	if w := serve(h); w.Code != 200 || w.Body.String() != "bob" {
		t.Fatalf("got %d %q, want 200 bob", w.Code, w.Body)
	}
	if got := one.calls.Load(); got != 1 {
		t.Errorf("verified %d times, want once", got)
	}
	if got := two.calls.Load(); got != 1 {
		t.Errorf("the other Gate verified %d times, want once: one Gate's word is not another's", got)
	}
}

func TestHandlerInsideOptionalStillNeedsCaller(t *testing.T) {
	t.Parallel()
	s := &stub{err: auth.ErrNoCredentials, challenge: []string{"Stub"}}
	var got []decision.Decision
	g := newGate(t, auth.Config{
		Authenticators: []auth.Authenticator{s},
		OnDecision:     func(_ context.Context, d decision.Decision) { got = append(got, d) },
	})
	w := serve(g.Optional(g.Optional(g.Handler(whoami))))
	if w.Code != 401 || w.Header().Get("WWW-Authenticate") != "Stub" {
		t.Errorf("got %d with challenge %q, want 401 with Stub", w.Code, w.Header().Get("WWW-Authenticate"))
	}
	if s.calls.Load() != 1 {
		t.Errorf("asked %d times, want once", s.calls.Load())
	}
	want := []decision.Decision{
		{Layer: "auth", Effect: decision.Allow, Reason: "anonymous"},
		{Layer: "auth", Effect: decision.Deny, Reason: auth.ReasonMissing, Detail: "no credentials", Status: 401},
	}
	if !slices.Equal(got, want) {
		t.Errorf("decisions = %+v, want %+v", got, want)
	}
}

func TestRequireScope(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		scopes []string
		need   []string
		want   int
	}{
		{"has it", []string{"a", "b"}, []string{"a"}, 200},
		{"has them all", []string{"a", "b"}, []string{"b", "a"}, 200},
		{"lacks one", []string{"a"}, []string{"a", "b"}, 403},
		{"has none", nil, []string{"a"}, 403},
		{"another case", []string{"A"}, []string{"a"}, 403},
		{"a prefix", []string{"orders:read"}, []string{"orders"}, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := &principal.Principal{Issuer: "test", Subject: "bob", Scopes: tt.scopes}
			g := newGate(t, auth.Config{Authenticators: []auth.Authenticator{&stub{principal: p}}})
			if got := serve(g.Handler(g.RequireScope(tt.need...)(whoami))).Code; got != tt.want {
				t.Errorf("status = %d, want %d", got, tt.want)
			}
		})
	}
}

func TestRequireScopeWithoutCallerIs401(t *testing.T) {
	t.Parallel()
	s := &stub{err: auth.ErrNoCredentials, challenge: []string{"Stub"}}
	g := newGate(t, auth.Config{Authenticators: []auth.Authenticator{s}})
	for name, h := range map[string]http.Handler{
		"without Handler":  g.RequireScope("a")(whoami),
		"behind Optional":  g.Optional(g.RequireScope("a")(whoami)),
		"empty identity":   withPrincipal(&principal.Principal{Scopes: []string{"a"}}, g.RequireScope("a")(whoami)),
		"nil in a context": withPrincipal(nil, g.RequireScope("a")(whoami)),
	} {
		if w := serve(h); w.Code != 401 || w.Header().Get("WWW-Authenticate") != "Stub" {
			t.Errorf("%s: got %d with challenge %q, want 401 with Stub", name, w.Code, w.Header().Get("WWW-Authenticate"))
		}
	}
	if got := serve(withPrincipal(bob, g.RequireScope("read")(whoami))).Code; got != 200 {
		t.Errorf("status = %d for a caller that a test put there, want 200", got)
	}
}

func withPrincipal(p *principal.Principal, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(principal.NewContext(r.Context(), p)))
	})
}

// RFC 6750 section 3.1 leaves the challenge to the scheme that was used.
func TestRequireScopeAsksTheAuthenticatorThatAdmitted(t *testing.T) {
	t.Parallel()
	first := &stub{err: auth.ErrNoCredentials, challenge: []string{"First"}}
	second := &stub{principal: bob, challenge: []string{"Second"}}
	g := newGate(t, auth.Config{Authenticators: []auth.Authenticator{first, second}})
	w := serve(g.Handler(g.RequireScope("write")(whoami)))
	if got, want := w.Header().Values("WWW-Authenticate"), []string{"Second"}; w.Code != 403 || !slices.Equal(got, want) {
		t.Errorf("got %d with challenges %q, want 403 with %q", w.Code, got, want)
	}
}

func TestChallengeQuotesNoForeignScope(t *testing.T) {
	t.Parallel()
	err := &auth.Error{Kind: auth.InsufficientScope, Scopes: []string{`a", evil="b`, "ok", "x\r\nSet-Cookie: a=b", ""}}
	want := []string{`Bearer error="insufficient_scope", scope="ok"`}
	if got := new(auth.JWT).Challenges(err); !slices.Equal(got, want) {
		t.Errorf("Challenges = %q, want %q", got, want)
	}
	err.Scopes = err.Scopes[:1]
	want = []string{`Bearer error="insufficient_scope"`}
	if got := new(auth.JWT).Challenges(err); !slices.Equal(got, want) {
		t.Errorf("Challenges = %q, want %q", got, want)
	}
	if got := new(auth.JWT).Challenges(errors.New("down")); got != nil {
		t.Errorf("Challenges of a foreign error = %q, want none", got)
	}
}

func TestWiringMistakesPanic(t *testing.T) {
	t.Parallel()
	var none *auth.Gate
	g := newGate(t, auth.Config{Authenticators: []auth.Authenticator{&stub{}}})
	for name, f := range map[string]func(){
		"nil Handler":       func() { none.Handler(whoami) },
		"nil Optional":      func() { none.Optional(whoami) },
		"nil RequireScope":  func() { none.RequireScope("a") },
		"no scope":          func() { g.RequireScope() },
		"empty scope":       func() { g.RequireScope("a", "") },
		"two in one string": func() { g.RequireScope("a b") },
		"quote":             func() { g.RequireScope(`a"`) },
		"backslash":         func() { g.RequireScope(`a\`) },
		"line break":        func() { g.RequireScope("a\n") },
		"not ASCII":         func() { g.RequireScope("é") },
	} {
		func() {
			defer func() {
				if text, ok := recover().(string); !ok || !strings.HasPrefix(text, "auth: ") {
					t.Errorf("%s: recovered %q, want a panic that begins with auth:", name, text)
				}
			}()
			f()
		}()
	}
}

func TestWriteError(t *testing.T) {
	t.Parallel()
	const canary = "canary: connection to db.internal refused"
	for _, tt := range []struct {
		name   string
		err    error
		method string
		status int
		body   string
	}{
		{
			"missing", &auth.Error{Kind: auth.Missing, Reason: canary, Err: errors.New(canary)}, http.MethodGet, 401,
			`{"type":"about:blank","title":"Unauthorized","status":401,"detail":"This resource needs credentials.","request_id":"req-1"}`,
		},
		{
			"invalid", &auth.Error{Kind: auth.Invalid, Reason: canary, Err: errors.New(canary)}, http.MethodGet, 401,
			`{"type":"about:blank","title":"Unauthorized","status":401,"detail":"The credentials were not accepted.","request_id":"req-1"}`,
		},
		{
			"malformed", &auth.Error{Kind: auth.Malformed, Err: errors.New(canary)}, http.MethodPost, 400,
			`{"type":"about:blank","title":"Bad Request","status":400,"detail":"The request must carry exactly one well-formed credential.","request_id":"req-1"}`,
		},
		{
			"scope", &auth.Error{Kind: auth.InsufficientScope, Scopes: []string{canary}}, http.MethodGet, 403,
			`{"type":"about:blank","title":"Forbidden","status":403,"detail":"The credentials do not reach far enough for this resource.","request_id":"req-1"}`,
		},
		{
			"unavailable", &auth.Error{Kind: auth.Unavailable, Err: errors.New(canary)}, http.MethodGet, 503,
			`{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"The credentials could not be checked. Try again later.","request_id":"req-1"}`,
		},
		{
			"foreign", errors.New(canary), http.MethodGet, 503,
			`{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"The credentials could not be checked. Try again later.","request_id":"req-1"}`,
		},
		{
			"foreign with a status", statusError(http.StatusTooManyRequests), http.MethodGet, 429,
			`{"type":"about:blank","title":"Too Many Requests","status":429,"request_id":"req-1"}`,
		},
		{"HEAD", &auth.Error{Kind: auth.Missing}, http.MethodHead, 401, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(tt.method, "/", http.NoBody)
			r = r.WithContext(decision.NewContext(r.Context(), decision.NewRecord("req-1")))
			w := httptest.NewRecorder()
			auth.WriteError(w, r, tt.err)
			if got := strings.TrimSuffix(w.Body.String(), "\n"); w.Code != tt.status || got != tt.body {
				t.Errorf("got %d\n%s\nwant %d\n%s", w.Code, got, tt.status, tt.body)
			}
			for name, want := range map[string]string{
				"Content-Type": "application/problem+json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
			} {
				if got := w.Header().Get(name); got != want {
					t.Errorf("%s = %q, want %q", name, got, want)
				}
			}
			if strings.Contains(fmt.Sprint(w.Header()), "canary") {
				t.Errorf("the header holds the text of an error: %v", w.Header())
			}
		})
	}
}

func TestGateReports(t *testing.T) {
	t.Parallel()
	s := signerFor("HS256")
	good := func() string {
		return "Bearer " + s.token(t, goodClaims().with(object{"act": object{"sub": "gateway"}}))
	}
	expired := func() string {
		return "Bearer " + s.token(t, goodClaims().with(object{"exp": time.Now().Add(-time.Hour).Unix()}))
	}
	basic := func() string { return "Basic eDp5" }
	alice := &decision.Actor{
		Issuer: issuerURL, Subject: "alice", Kind: "user", Scheme: "Bearer", ClientID: "web", TokenID: "token-1",
		Actor: &decision.Actor{Issuer: issuerURL, Subject: "gateway"},
	}
	for _, tt := range []struct {
		name  string
		auth  []func() string
		scope string
		want  []decision.Decision
		actor *decision.Actor
	}{
		{"admitted", []func() string{good}, "orders:read", []decision.Decision{
			{Layer: "auth", Effect: decision.Allow, Rule: "Bearer", Reason: "admitted"},
			{Layer: "auth", Effect: decision.Allow, Rule: "orders:read", Reason: "granted"},
		}, alice},
		{"scope", []func() string{good}, "admin", []decision.Decision{
			{Layer: "auth", Effect: decision.Allow, Rule: "Bearer", Reason: "admitted"},
			{Layer: "auth", Effect: decision.Deny, Rule: "admin", Reason: "scope", Detail: `lacks "admin"`, Status: 403},
		}, alice},
		{"missing", nil, "a", []decision.Decision{
			{Layer: "auth", Effect: decision.Deny, Reason: "missing", Detail: "no credentials", Status: 401},
		}, nil},
		{"expired", []func() string{expired}, "a", []decision.Decision{
			{Layer: "auth", Effect: decision.Deny, Reason: "expired", Detail: "expired 1h0m0s ago", Status: 401},
		}, nil},
		{"doubled", []func() string{good, good}, "a", []decision.Decision{
			{Layer: "auth", Effect: decision.Deny, Reason: "duplicate", Detail: "2 Authorization headers", Status: 400},
		}, nil},
		{"another scheme", []func() string{basic}, "a", []decision.Decision{
			{Layer: "auth", Effect: decision.Deny, Reason: "scheme", Detail: "the Authorization scheme is not one of this service's", Status: 401},
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				authorization := make([]string, 0, len(tt.auth))
				for _, mint := range tt.auth {
					authorization = append(authorization, mint())
				}
				var hooked []decision.Decision
				g := newGate(t, auth.Config{
					Authenticators: []auth.Authenticator{newJWT(t, issuerOf(s))},
					OnDecision:     func(_ context.Context, d decision.Decision) { hooked = append(hooked, d) },
				})
				record := decision.NewRecord("req-1")
				h := g.Handler(g.RequireScope(tt.scope)(whoami))
				serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					h.ServeHTTP(w, r.WithContext(decision.NewContext(r.Context(), record)))
				}), authorization...)
				sum := record.Seal()
				if !slices.Equal(sum.Decisions, tt.want) {
					t.Errorf("record = %+v, want %+v", sum.Decisions, tt.want)
				}
				if !slices.Equal(hooked, tt.want) {
					t.Errorf("hook = %+v, want %+v", hooked, tt.want)
				}
				if !reflect.DeepEqual(sum.Actor, tt.actor) {
					t.Errorf("actor = %+v, want %+v", sum.Actor, tt.actor)
				}
			})
		})
	}
}

// Canary: nothing of a credential is in the answer, the log, the record or
// what a handler is handed.
func TestNoCredentialGetsOut(t *testing.T) {
	t.Parallel()
	s := signerFor("HS256")
	now := time.Now().Unix()
	private := object{"email": "canary-email@example.com", "canary-name": "canary-value"}
	tokens := map[string]string{
		"good":       s.token(t, goodClaims().with(private)),
		"expired":    s.token(t, goodClaims().with(private).with(object{"exp": now - 3600})),
		"forged":     s.token(t, goodClaims().with(private)) + "AAAA",
		"not base64": "canary-not-base64-!!!!",
		"no token":   "canary-canary-canary",
		"claims":     s.token(t, private),
		"audience":   s.token(t, goodClaims().with(private).with(object{"aud": "another"})),
		"issuer":     s.token(t, goodClaims().with(private).with(object{"iss": "https://canary.example"})),
	}
	for name, token := range tokens {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			var decisions []decision.Decision
			var handed []error
			g := newGate(t, auth.Config{
				Authenticators: []auth.Authenticator{newJWT(t, issuerOf(s))},
				Logger:         slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
				OnDecision:     func(_ context.Context, d decision.Decision) { decisions = append(decisions, d) },
				ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
					handed = append(handed, err)
					auth.WriteError(w, r, err)
				},
			})
			w := serve(g.Handler(g.RequireScope("canary-free")(http.NotFoundHandler())), "Bearer "+token)
			if w.Code < 400 || log.Len() == 0 {
				t.Fatalf("status = %d, log = %q, want a refusal that is logged", w.Code, &log)
			}
			out := fmt.Sprintf("%s %v %s %+v %+v", w.Body, w.Header(), &log, decisions, handed)
			out = strings.ReplaceAll(out, "canary-free", "")
			for _, part := range append(strings.Split(token, "."), "canary", token) {
				if strings.Contains(out, part) {
					t.Errorf("%q got out:\n%s", part, out)
				}
			}
		})
	}
}

func TestLoggerSaysWhy(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	g := newGate(t, auth.Config{
		Authenticators: []auth.Authenticator{newJWT(t, issuerOf(signerFor("HS256")))},
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})),
	})
	forged := encode(t, signerFor("HS256"), `{"alg":"none"}`, `{}`)
	serve(g.Handler(whoami), "Bearer "+forged)
	want := `level=INFO msg="auth: refused" reason=algorithm status=401 detail="alg is none"` + "\n"
	if got := log.String(); got != want {
		t.Errorf("log = %s, want %s", got, want)
	}
}

func TestHandlerHandsPatternBack(t *testing.T) {
	t.Parallel()
	g := newGate(t, auth.Config{Authenticators: []auth.Authenticator{&stub{principal: bob}}})
	mux := http.NewServeMux()
	mux.Handle("GET /orders/{id}", whoami)
	record := decision.NewRecord("req-1")
	r := httptest.NewRequest(http.MethodGet, "/orders/7", http.NoBody)
	r = r.WithContext(decision.NewContext(r.Context(), record))
	g.Optional(g.Handler(mux)).ServeHTTP(httptest.NewRecorder(), r)
	if got, want := r.Pattern, "GET /orders/{id}"; got != want {
		t.Errorf("Pattern = %q, want %q", got, want)
	}
	if got, want := record.Seal().Route, "/orders/{id}"; got != want {
		t.Errorf("Route = %q, want %q", got, want)
	}
}

// Of an actor a token says no more than its name, unless it is the client.
func TestKindOfActors(t *testing.T) {
	t.Parallel()
	s := signerFor("ES256")
	h := newGate(t, auth.Config{Authenticators: []auth.Authenticator{newJWT(t, issuerOf(s))}}).Handler(whoami)
	for sub, want := range map[string]string{"web": "client", "gateway": ""} {
		record := decision.NewRecord("id")
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Header.Set("Authorization", "Bearer "+s.token(t, goodClaims().with(object{"act": object{"sub": sub}})))
		h.ServeHTTP(httptest.NewRecorder(), r.WithContext(decision.NewContext(r.Context(), record)))
		if a := record.Seal().Actor; a == nil || a.Actor == nil || a.Actor.Subject != sub || a.Actor.Kind != want {
			t.Errorf("actor = %+v, want %s of kind %q", a, sub, want)
		}
	}
}

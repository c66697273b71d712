package auth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/authtest"
)

const (
	oidc     = "/.well-known/openid-configuration"
	rfc8414  = "/.well-known/oauth-authorization-server"
	keysPath = "/jwks"
	forced   = keysPath + " no-cache"
)

// A conduct is how an issuer answers, in place of next.
type conduct = func(w http.ResponseWriter, r *http.Request, next http.Handler)

// A rig is a service that fetches keys, the issuer whose they are, and what
// that was asked for. It lives in a bubble.
type rig struct {
	*authtest.Issuer
	t       *testing.T
	jwt     *auth.JWT
	gate    *auth.Gate
	log     records
	conduct atomic.Pointer[conduct]

	mu   sync.Mutex
	seen []request
	said decision.Decision
}

// A request is what the issuer was asked for, and when.
type request struct {
	what string // host unless it is the issuer's, path, and no-cache
	at   time.Time
}

// records is a log.
type records struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (r *records) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(p)
}

// take returns the lines since the last call.
func (r *records) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := strings.Split(strings.TrimSuffix(r.buf.String(), "\n"), "\n")
	if lines[0] == "" {
		lines = nil
	}
	r.buf.Reset()
	return lines
}

func (r *records) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func newRig(t *testing.T, cfg authtest.Config, edits ...func(*auth.JWTConfig)) *rig {
	t.Helper()
	issuer, err := authtest.NewIssuer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(issuer.Close)
	g := &rig{Issuer: issuer, t: t}
	g.be(nil)
	issuer.Intercept(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			what := strings.TrimPrefix("https://"+r.Host+r.RequestURI, issuer.URL())
			if !strings.HasPrefix(what, "/") {
				what = "https://" + r.Host + r.RequestURI
			}
			if r.Header.Get("Cache-Control") == "no-cache" {
				what += " no-cache"
			}
			g.mu.Lock()
			g.seen = append(g.seen, request{what, time.Now()})
			g.mu.Unlock()
			if c := *g.conduct.Load(); c != nil {
				c(w, r, next)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	jc := auth.JWTConfig{
		Issuers:    []auth.Issuer{{URL: issuer.URL(), Audience: []string{"api"}}},
		HTTPClient: issuer.Client(),
		Logger:     g.log.logger(),
	}
	for _, edit := range edits {
		edit(&jc)
	}
	if g.jwt, err = auth.NewJWT(jc); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.jwt.Close() })
	g.gate = newGate(t, auth.Config{
		Authenticators: []auth.Authenticator{g.jwt},
		OnDecision: func(_ context.Context, d decision.Decision) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.said = d
		},
	})
	return g
}

// be is how the issuer behaves from now on, nil for well.
func (g *rig) be(c conduct) { g.conduct.Store(&c) }

// asked returns what the issuer was asked for since the last call, when all is
// still.
func (g *rig) asked() []request {
	synctest.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	all := g.seen
	g.seen = nil
	return all
}

// logged returns the lines of the log since the last call, when all is still.
func (g *rig) logged() []string {
	synctest.Wait()
	return g.log.take()
}

func (g *rig) wantAsked(want ...string) {
	g.t.Helper()
	got := make([]string, 0, len(want))
	for _, r := range g.asked() {
		got = append(got, r.what)
	}
	if !slices.Equal(got, want) {
		g.t.Errorf("asked for %q, want %q", got, want)
	}
}

// try sends a token through the gate, wants a reason, and returns the answer
// with the time that it took.
func (g *rig) try(token, want string) (*httptest.ResponseRecorder, time.Duration) {
	g.t.Helper()
	start := time.Now()
	w := serve(g.gate.Handler(whoami), "Bearer "+token)
	took := time.Since(start)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.said.Reason != want {
		g.t.Errorf("reason = %q (%q), want %q", g.said.Reason, g.said.Detail, want)
	}
	if status := map[string]int{"admitted": 200, auth.ReasonUnavailable: 503}[want]; status != 0 && w.Code != status {
		g.t.Errorf("status = %d, want %d", w.Code, status)
	}
	if after, err := strconv.Atoi(w.Header().Get("Retry-After")); (w.Code == 503) != (err == nil && 1 <= after && after <= 30) {
		g.t.Errorf("status = %d with Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	return w, took
}

// at once is try where nobody may wait.
func (g *rig) atOnce(token, want string) {
	g.t.Helper()
	if _, took := g.try(token, want); took != 0 {
		g.t.Errorf("the answer took %v, want no time", took)
	}
}

// lasting is a token that outlives the test.
func (g *rig) lasting() string {
	return g.Token(map[string]any{"exp": time.Now().AddDate(1, 0, 0).Unix()})
}

// renamed is a token with another kid: the gate has to look for the key before
// it can tell that the signature is wrong.
func renamed(token, kid string) string {
	_, rest, _ := strings.Cut(token, ".")
	return b64(`{"alg":"ES256","kid":"`+kid+`"}`) + "." + rest
}

// forged is a token with another signature.
func forged(token string) string {
	i := strings.LastIndexByte(token, '.') + 1
	flip := map[bool]string{true: "B", false: "A"}[token[i] == 'A']
	return token[:i] + flip + token[i+1:]
}

// Ways to behave.

// pause is a time.Sleep that ends when nobody waits any more: a bubble does not
// end before its goroutines.
func pause(r *http.Request, d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.Context().Done():
	}
}

func slow(d time.Duration) conduct {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		pause(r, d)
		next.ServeHTTP(w, r)
	}
}

func down(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }

// at makes a conduct that of the requests whose path ends so.
func at(suffix string, c conduct) conduct {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.HasSuffix(r.URL.Path, suffix) {
			c(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	}
}

func status(code int) conduct {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(code) }
}

func body(text string) conduct {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { _, _ = io.WriteString(w, text) }
}

func redirect(to string) conduct {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.Redirect(w, r, to, http.StatusFound)
	}
}

// OpenID Connect Discovery puts its path behind the issuer's, RFC 8414 between
// host and path, and both take a slash at the end away first.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	const origin = "https://id.example.com"
	other := origin + "/other"
	for _, tt := range []struct {
		name, url string
		conduct   conduct
		want      string
		asked     []string
	}{
		{"host", origin, nil, "admitted", []string{origin + oidc, origin + forced}},
		{"host with a slash", origin + "/", nil, "admitted", []string{origin + oidc, origin + forced}},
		{"port", origin + ":8443", nil, "admitted", []string{origin + ":8443" + oidc, origin + ":8443" + forced}},
		{"path", origin + "/realms/shop", nil, "admitted", []string{origin + "/realms/shop" + oidc, origin + "/realms/shop" + forced}},
		{"path with a slash", origin + "/realms/shop/", nil, "admitted", []string{origin + "/realms/shop" + oidc, origin + "/realms/shop" + forced}},

		{"RFC 8414, host", origin, at(oidc, status(404)), "admitted", []string{origin + oidc, origin + rfc8414, origin + forced}},
		{"RFC 8414, path", origin + "/a/b", at(oidc, status(404)), "admitted", []string{origin + "/a/b" + oidc, origin + rfc8414 + "/a/b", origin + "/a/b" + forced}},
		{"RFC 8414, path with a slash", origin + "/a/", at(oidc, status(401)), "admitted", []string{origin + "/a" + oidc, origin + rfc8414 + "/a", origin + "/a" + forced}},
		{"RFC 8414, behind what is gone", origin, at(oidc, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			w.WriteHeader(http.StatusGone)
			next.ServeHTTP(w, r)
		}), "admitted", []string{origin + oidc, origin + rfc8414, origin + forced}},
		{"behind a page for any path", origin, at(oidc, body("<!DOCTYPE html>")), "admitted", []string{origin + oidc, origin + rfc8414, origin + forced}},
		{"behind a login", origin, at(oidc, redirect("https://login.example.com/")), "admitted", []string{origin + oidc, origin + rfc8414, origin + forced}},
		{"behind a large page", origin, at(oidc, body(strings.Repeat(" ", 1<<20+1))), "admitted", []string{origin + oidc, origin + rfc8414, origin + forced}},
		{"behind another issuer's", origin, at(oidc, body(`{"issuer":"`+other+`","jwks_uri":"`+other+`/jwks"}`)), "admitted", []string{origin + oidc, origin + rfc8414, origin + forced}},

		{"nowhere", origin, status(404), auth.ReasonUnavailable, []string{origin + oidc, origin + rfc8414}},
		{"broken", origin, at(oidc, status(500)), auth.ReasonUnavailable, []string{origin + oidc}},
		{"overloaded", origin, at(oidc, status(429)), auth.ReasonUnavailable, []string{origin + oidc}},
		{"down", origin, at(oidc, down), auth.ReasonUnavailable, []string{origin + oidc}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, authtest.Config{URL: tt.url})
				g.be(tt.conduct)
				if g.wantAsked(); t.Failed() { // by NewJWT
					return
				}
				g.try(g.Token(nil), tt.want)
				var got []string
				for _, r := range g.asked() {
					if strings.HasPrefix(r.what, "/") {
						r.what = tt.url + r.what
					}
					got = append(got, r.what)
				}
				if !slices.Equal(got, tt.asked) {
					t.Errorf("asked for %q, want %q", got, tt.asked)
				}
			})
		})
	}
}

// The metadata must be the issuer's own (RFC 8414 section 3.3) and name an
// https URL in public: nothing else is asked for keys.
func TestDiscoveredMetadata(t *testing.T) {
	t.Parallel()
	const issuer = "https://id.example.com/a"
	for _, tt := range []struct {
		name     string
		metadata object
		asked    string // beyond the metadata; "": the metadata is refused
		cause    string
	}{
		{"as it should be", nil, forced, ""},
		{"keys elsewhere", object{"jwks_uri": "https://www.keys.example/v3/certs"}, "https://www.keys.example/v3/certs no-cache", ""},
		{"keys behind a query", object{"jwks_uri": "https://id.example.com/jwks?p=b2c"}, "https://id.example.com/jwks?p=b2c no-cache", ""},
		{"another port", object{"jwks_uri": "https://id.example.com:8443/jwks"}, "https://id.example.com:8443/jwks no-cache", ""},

		{"another issuer", object{"issuer": "https://evil.example"}, "", "another issuer"},
		{"a slash more", object{"issuer": issuer + "/"}, "", "another issuer"},
		{"another case", object{"issuer": "https://ID.example.com/a"}, "", "another issuer"},
		{"the default port", object{"issuer": "https://id.example.com:443/a"}, "", "another issuer"},
		{"a template", object{"issuer": "https://id.example.com/{tenantid}"}, "", "another issuer"},
		{"no issuer", object{"issuer": nil}, "", "another issuer"},
		{"issuer in another case", object{"issuer": nil, "Issuer": issuer}, "", "another issuer"},
		{"issuer null", object{"issuer": null}, "", "another issuer"},
		{"issuer array", object{"issuer": []string{issuer}}, "", "another issuer"},

		{"no jwks_uri", object{"jwks_uri": nil}, "", "no jwks_uri"},
		{"jwks_uri empty", object{"jwks_uri": ""}, "", "no jwks_uri"},
		{"jwks_uri array", object{"jwks_uri": []string{issuer}}, "", "no jwks_uri"},
		{"JWKS_URI", object{"jwks_uri": nil, "JWKS_URI": issuer + "/jwks"}, "", "no jwks_uri"},
		{"plain HTTP", object{"jwks_uri": "http://id.example.com/a/jwks"}, "", "jwks_uri has the scheme"},
		{"plain HTTP on this machine", object{"jwks_uri": "http://127.0.0.1/jwks"}, "", "jwks_uri has the scheme"},
		{"a file", object{"jwks_uri": "file:///etc/passwd"}, "", "jwks_uri is not an absolute URL"},
		{"relative", object{"jwks_uri": "/jwks"}, "", "jwks_uri is not an absolute URL"},
		{"scheme-relative", object{"jwks_uri": "//id.example.com/jwks"}, "", "jwks_uri has the scheme"},
		{"a password", object{"jwks_uri": "https://user:canary@id.example.com/jwks"}, "", "jwks_uri holds a user or a password"},
		{"a fragment", object{"jwks_uri": "https://id.example.com/jwks#x"}, "", "jwks_uri has a fragment"},
		{"this machine", object{"jwks_uri": "https://localhost/jwks"}, "", "jwks_uri is on this machine"},
		{"loopback", object{"jwks_uri": "https://127.0.0.1/jwks"}, "", "jwks_uri has the address 127.0.0.1"},
		{"private", object{"jwks_uri": "https://10.0.0.1/jwks"}, "", "jwks_uri has the address 10.0.0.1"},
		{"the cloud's metadata", object{"jwks_uri": "https://169.254.169.254/latest"}, "", "jwks_uri has the address 169.254.169.254"},
		{"IPv6", object{"jwks_uri": "https://[::1]/jwks"}, "", "jwks_uri has the address ::1"},
		{"line breaks", object{"jwks_uri": "https://id.example.com/\r\njwks"}, "", "jwks_uri is not a URL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, authtest.Config{URL: issuer, Metadata: tt.metadata})
				g.be(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
					if strings.Contains(r.URL.Path, "/.well-known/") {
						next.ServeHTTP(w, r)
						return
					}
					_, _ = w.Write(g.JWKS())
				})
				if tt.asked != "" {
					g.try(g.Token(nil), "admitted")
					g.wantAsked(oidc, tt.asked)
					return
				}
				g.try(g.Token(nil), auth.ReasonUnavailable)
				g.wantAsked(oidc, "https://id.example.com"+rfc8414+"/a")
				if !strings.Contains(g.said.Detail, tt.cause) {
					t.Errorf("detail = %q, want %q", g.said.Detail, tt.cause)
				}
				if lines := g.logged(); len(lines) != 1 || !strings.Contains(lines[0], tt.cause) {
					t.Errorf("log = %q, want one line with %q", lines, tt.cause)
				}
			})
		})
	}
}

// What is not one JSON object with each name once is not metadata: two readers
// might see two issuers in it.
func TestDiscoveredMetadataIsStrictJSON(t *testing.T) {
	t.Parallel()
	good := `"issuer":"https://issuer.test","jwks_uri":"https://issuer.test/jwks"`
	for _, tt := range []struct{ name, doc, want string }{
		{"plain", `{` + good + `}`, "admitted"},
		{"escapes", `{"issuer":"https:\/\/issuer.test","jwks\u005furi":"https:\/\/issuer.test\/jwks"}`, "admitted"},
		{"much else", ` {"x":{"issuer":"https://evil.example"},"scopes":["a"],` + good + "}\n", "admitted"},
		{"two issuers", `{"issuer":"https://evil.example",` + good + `}`, auth.ReasonUnavailable},
		{"two jwks_uri", `{` + good + `,"jwks_uri":"https://evil.example/jwks"}`, auth.ReasonUnavailable},
		{"two issuers, one escaped", `{` + good + `,"issue\u0072":"https://evil.example"}`, auth.ReasonUnavailable},
		{"two documents", `{` + good + `}{}`, auth.ReasonUnavailable},
		{"cut off", `{` + good, auth.ReasonUnavailable},
		{"an array", `[{` + good + `}]`, auth.ReasonUnavailable},
		{"nothing", ``, auth.ReasonUnavailable},
		{"a byte order mark", "\ufeff{" + good + `}`, auth.ReasonUnavailable},
		{"no Unicode", `{"x":"` + "\xff" + `",` + good + `}`, auth.ReasonUnavailable},
		{"deep", `{"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `,` + good + `}`, auth.ReasonUnavailable},
		{"too large", `{` + good + `}` + strings.Repeat(" ", 1<<20), auth.ReasonUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, authtest.Config{})
				g.be(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
					if r.URL.Path == keysPath {
						next.ServeHTTP(w, r)
						return
					}
					_, _ = io.WriteString(w, tt.doc)
				})
				g.try(g.Token(nil), tt.want)
				if asked := g.asked(); tt.want != "admitted" && slices.ContainsFunc(asked, func(r request) bool { return strings.Contains(r.what, keysPath) }) {
					t.Errorf("asked for %v, want no keys", asked)
				}
			})
		})
	}
}

// JWKS(url) is that place and no other, whatever the metadata says.
func TestJWKSAtAFixedPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, authtest.Config{URL: "https://id.example.com", MaxAge: 5 * time.Minute}, func(c *auth.JWTConfig) {
			c.Issuers[0].Keys = auth.JWKS("https://keys.example.com:8443/jwks?k=1")
		})
		g.wantAsked()
		g.try(g.Token(nil), "admitted")
		g.wantAsked("https://keys.example.com:8443/jwks?k=1 no-cache")
		time.Sleep(6 * time.Minute)
		g.try(g.Token(nil), "admitted")
		g.wantAsked("https://keys.example.com:8443/jwks?k=1")
		g.Rotate()
		time.Sleep(10 * time.Second)
		g.try(g.Token(nil), "admitted")
		g.wantAsked("https://keys.example.com:8443/jwks?k=1 no-cache")
		g.be(down)
		time.Sleep(time.Hour)
		g.try(g.Token(nil), "admitted")
		time.Sleep(time.Minute)
		g.try(g.Token(nil), "admitted")
		g.wantAsked("https://keys.example.com:8443/jwks?k=1", "https://keys.example.com:8443/jwks?k=1")
	})
}

// NewJWT says what is wrong with a URL, and asks nobody.
func TestURLsOfKeysAreChecked(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, issuer string
		keys         auth.KeySource
		want         string
	}{
		{"no https", "http://id.example.com", auth.KeySource{}, `auth: Issuers[0].URL has the scheme "http", want https, for Keys to be discovered; or set Keys`},
		{"no URL", "example", auth.KeySource{}, "auth: Issuers[0].URL is not an absolute URL, want https://…, for Keys to be discovered; or set Keys"},
		{"query", "https://id.example.com?x", auth.KeySource{}, "auth: Issuers[0].URL has a query, want none, for Keys to be discovered; or set Keys"},
		{"this machine", "https://127.0.0.1", auth.KeySource{}, "auth: Issuers[0].URL has the address 127.0.0.1, which is loopback, want its network in AllowPrivate, for Keys to be discovered; or set Keys"},
		{"a JWKS without https", issuerURL, auth.JWKS("http://id.example.com/jwks"), `auth: Issuers[0].Keys: the URL has the scheme "http", want https`},
		{"a JWKS nowhere", issuerURL, auth.JWKS(""), "auth: Issuers[0].Keys: the URL is not an absolute URL, want https://…"},
		{"a JWKS with a password", issuerURL, auth.JWKS("https://u:canary@id.example.com/jwks"), "auth: Issuers[0].Keys: the URL holds a user or a password, want neither in a URL"},
		{"a private JWKS", issuerURL, auth.JWKS("https://192.168.1.1/jwks"), "auth: Issuers[0].Keys: the URL has the address 192.168.1.1, which is private, want its network in AllowPrivate"},
		{"not a URL at all, with a JWKS", "urn:example:issuer", auth.JWKS("https://id.example.com/jwks"), ""},
	} {
		j, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{{URL: tt.issuer, Audience: []string{service}, Keys: tt.keys}}})
		if got := fmt.Sprint(err); got != tt.want && (tt.want != "" || err != nil) {
			t.Errorf("%s: NewJWT = %v, want %s", tt.name, err, tt.want)
		}
		if (j == nil) != (err != nil) {
			t.Errorf("%s: NewJWT = %v and %v", tt.name, j, err)
		}
	}
}

// What no key could make good makes nobody ask for keys.
func TestNothingIsFetchedForBadTokens(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*auth.JWTConfig){
		"one issuer": nil,
		"two issuers": func(c *auth.JWTConfig) {
			c.Issuers = append(c.Issuers, auth.Issuer{URL: "https://second.example", Audience: []string{"api"}})
		},
		"a cache":           func(c *auth.JWTConfig) { c.Cache = &auth.TokenCache{} },
		"a fixed place":     func(c *auth.JWTConfig) { c.Issuers[0].Keys = auth.JWKS("https://issuer.test/jwks") },
		"certain keys only": func(c *auth.JWTConfig) { c.Issuers[0].Algorithms = []string{"ES256", "PS256"} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var edits []func(*auth.JWTConfig)
				if edit != nil {
					edits = append(edits, edit)
				}
				g := newRig(t, authtest.Config{}, edits...)
				good := g.Token(nil)
				parts := strings.Split(good, ".")
				header := func(h string) string { return b64(h) + "." + parts[1] + "." + parts[2] }
				payload := func(p string) string { return parts[0] + "." + b64(p) + "." + parts[2] }
				for _, tt := range []struct{ name, token, want string }{
					{"alg none", header(`{"alg":"none"}`), auth.ReasonAlgorithm},
					{"alg none, without a signature", b64(`{"alg":"none"}`) + "." + parts[1] + ".", auth.ReasonAlgorithm},
					{"alg unknown", header(`{"alg":"ES256K"}`), auth.ReasonAlgorithm},
					{"alg missing", header(`{"kid":"key-1"}`), auth.ReasonAlgorithm},
					{"alg of a secret", header(`{"alg":"HS256","kid":"key-1"}`), auth.ReasonAlgorithm},
					{"typ of a proof", header(`{"alg":"ES256","typ":"dpop+jwt"}`), auth.ReasonType},
					{"typ of a logout", header(`{"alg":"ES256","typ":"logout+jwt"}`), auth.ReasonType},
					{"crit", header(`{"alg":"ES256","crit":["exp"]}`), auth.ReasonCritical},
					{"b64", header(`{"alg":"ES256","b64":false}`), auth.ReasonCritical},
					{"kid number", header(`{"alg":"ES256","kid":1}`), auth.ReasonMalformed},
					{"alg twice", header(`{"alg":"none","alg":"ES256"}`), auth.ReasonMalformed},
					{"another header", header(`[]`), auth.ReasonMalformed},
					{"unknown iss", g.Token(map[string]any{"iss": "https://evil.example"}), auth.ReasonIssuer},
					{"iss with a slash", g.Token(map[string]any{"iss": g.URL() + "/"}), auth.ReasonIssuer},
					{"iss empty", g.Token(map[string]any{"iss": ""}), "issuer|claims"},
					{"no iss", g.Token(map[string]any{"iss": nil}), auth.ReasonClaims},
					{"iss null", g.Token(map[string]any{"iss": null}), auth.ReasonClaims},
					{"iss array", g.Token(map[string]any{"iss": []string{g.URL()}}), auth.ReasonClaims},
					{"iss twice", payload(`{"iss":"https://evil.example","iss":"` + g.URL() + `"}`), auth.ReasonClaims},
					{"not JSON", payload(`{`), auth.ReasonClaims},
					{"not base64url", parts[0] + "." + parts[1] + "=." + parts[2], auth.ReasonMalformed},
					{"trailing bits", parts[0] + "." + parts[1] + "." + parts[2][:len(parts[2])-1] + "_", auth.ReasonMalformed},
					{"two parts", parts[0] + "." + parts[1], auth.ReasonMalformed},
					{"five parts", good + ".a.b", auth.ReasonMalformed},
					{"opaque", "0123456789abcdef", auth.ReasonMalformed},
					{"dots", strings.Repeat(".", 10000), auth.ReasonMalformed},
					{"oversized", good + strings.Repeat("A", 16<<10), auth.ReasonOversize},
				} {
					_, err := g.jwt.Verify(t.Context(), tt.token)
					if got := reason(err); !slices.Contains(strings.Split(tt.want, "|"), got) {
						t.Errorf("%s: reason = %q (%v), want %q", tt.name, got, err, tt.want)
					}
					if got := g.asked(); len(got) > 0 {
						t.Fatalf("%s: asked for %v", tt.name, got)
					}
				}
				if name == "certain keys only" {
					check(t, g.jwt, header(`{"alg":"RS256","kid":"key-9"}`), auth.ReasonAlgorithm)
					g.wantAsked()
				}
				g.try(good, "admitted")
				if len(g.asked()) == 0 {
					t.Error("asked for nothing, for a good token")
				}
			})
		})
	}
}

// An issuer's profile is looked at before its keys are.
func TestNothingIsFetchedForAnotherProfile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, authtest.Config{}, func(c *auth.JWTConfig) { c.Issuers[0].Profile = auth.ProfileRFC9068 })
		g.try(g.Sign(map[string]any{"typ": "JWT"}, map[string]any{"iss": g.URL()}), auth.ReasonType)
		g.wantAsked()
	})
}

// A new key works with the first token that names it, by one fetch of the keys
// past every cache. A key that was withdrawn is of no use after the next fetch
// (CVE-2025-22149).
func TestRotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, authtest.Config{MaxAge: 10 * time.Minute})
		first, old := g.KeyID(), g.lasting()
		g.try(old, "admitted")
		g.wantAsked(oidc, forced)
		time.Sleep(10 * time.Second)

		g.Rotate()
		g.atOnce(g.Token(nil), "admitted")
		g.wantAsked(forced)
		g.atOnce(old, "admitted")
		g.wantAsked()

		g.Retire(first)
		g.atOnce(old, "admitted") // nobody knows yet
		time.Sleep(10*time.Minute + 1)
		g.atOnce(old, auth.ReasonKey)
		g.wantAsked(oidc, keysPath)
		g.atOnce(old, auth.ReasonKey)
		g.atOnce(g.Token(nil), "admitted")
		g.wantAsked()

		// It is found out sooner if another new key is.
		second, old := g.KeyID(), g.lasting()
		g.Rotate()
		g.Retire(second)
		time.Sleep(10 * time.Second)
		g.atOnce(g.Token(nil), "admitted")
		g.wantAsked(forced)
		g.atOnce(old, auth.ReasonKey)
	})
}

// Every key may go at once.
func TestRotationOfAllKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, authtest.Config{})
		for range 5 {
			old, token := g.KeyID(), g.lasting()
			g.atOnce(token, "admitted")
			time.Sleep(10 * time.Second)
			g.Rotate()
			g.Retire(old)
			g.atOnce(g.Token(nil), "admitted")
			g.atOnce(token, auth.ReasonKey)
		}
	})
}

// Tokens with invented kids reach the issuer once in 10 s, leave nothing in
// memory, and are refused.
func TestInventedKids(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, authtest.Config{})
		good := g.lasting()
		g.try(good, "admitted")
		g.wantAsked(oidc, forced)
		for range 100 { // what is made once
			g.try(renamed(good, "junk"), auth.ReasonKey)
		}
		if got := g.asked(); len(got) > 0 {
			t.Fatalf("asked for %v, a moment after the keys came", got)
		}
		heap := func() uint64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := heap()
		const n = 10_000
		for i := range n {
			g.try(renamed(good, fmt.Sprintf("junk-%d-%s", i, strings.Repeat("x", 200))), auth.ReasonKey)
			time.Sleep(time.Minute / n)
		}
		after := heap()
		asked := g.asked()
		if len(asked) == 0 || len(asked) > 6 {
			t.Errorf("asked %d times in a minute, want 1 to 6", len(asked))
		}
		for i, r := range asked {
			if r.what != forced || i > 0 && r.at.Sub(asked[i-1].at) < 10*time.Second {
				t.Errorf("asked for %q, %v", r.what, asked)
			}
		}
		if after > before+1<<20 {
			t.Errorf("the heap grew from %d to %d bytes", before, after)
		}
		g.atOnce(good, "admitted")
	})
}

// A token with an invented kid just before a rotation keeps the new key away
// for 10 s and no longer, however many come.
func TestInventedKidsDoNotKeepNewKeysAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, authtest.Config{})
		good := g.lasting()
		g.try(good, "admitted")
		time.Sleep(time.Minute)
		g.try(renamed(good, "junk"), auth.ReasonKey)
		g.Rotate()
		fresh := g.lasting()
		for range 1000 {
			g.try(renamed(good, "junk"), auth.ReasonKey)
			g.atOnce(fresh, auth.ReasonKey)
			time.Sleep(10 * time.Millisecond)
		}
		g.atOnce(fresh, "admitted")
	})
}

// A token with a known kid never reaches the issuer if its signature, or its
// algorithm, is wrong: not even when the keys are due.
func TestForgedTokensFetchNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, authtest.Config{MaxAge: 10 * time.Minute})
		good := g.lasting()
		bad := forged(good)
		otherAlg := b64(`{"alg":"EdDSA","kid":"`+g.KeyID()+`"}`) + good[strings.IndexByte(good, '.'):]
		g.try(good, "admitted")
		g.wantAsked(oidc, forced)
		for _, tt := range []struct {
			name string
			age  time.Duration
		}{
			{"young", 30 * time.Second}, {"within the last tenth", 10*time.Minute - 1}, {"due", 11 * time.Minute}, {"long due", 23 * time.Hour},
		} {
			time.Sleep(tt.age)
			for range 10_000 / 4 {
				g.atOnce(bad, auth.ReasonSignature)
				g.atOnce(otherAlg, auth.ReasonAlgorithm)
			}
			if got := g.asked(); len(got) > 0 {
				t.Fatalf("%s: asked for %v", tt.name, got)
			}
			g.try(good, "admitted")
			if got := len(g.asked()); (got > 0) != (tt.age > time.Minute) {
				t.Errorf("%s: asked %d times by a good token", tt.name, got)
			}
		}
	})
}

// Of an issuer without kids the first token of a new key looks like a forged
// one. It gets its key when the old one is due, at the latest.
func TestTokensWithoutKid(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		keys int
		want string
	}{{"one key", 1, auth.ReasonSignature}, {"two keys", 2, auth.ReasonKey}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, authtest.Config{})
				token := func() string {
					return g.Sign(map[string]any{"kid": nil}, goodClaims().with(object{"iss": g.URL(), "aud": "api"}))
				}
				g.be(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
					if r.URL.Path != keysPath {
						next.ServeHTTP(w, r)
						return
					}
					w.Header().Set("Cache-Control", "max-age=600")
					var set struct{ Keys []object }
					if err := json.Unmarshal(g.JWKS(), &set); err != nil {
						t.Error(err)
					}
					for _, k := range set.Keys {
						delete(k, "kid")
					}
					_, _ = w.Write(jwks(t, set.Keys...))
				})
				g.try(token(), "admitted")
				if tt.keys == 2 { // an overlap, in which none is the one
					g.Rotate()
					time.Sleep(11 * time.Minute)
					g.try(token(), auth.ReasonKey)
				}
				old := g.KeyID()
				g.Rotate()
				for _, kid := range []string{"key-1", old} {
					func() {
						defer func() { _ = recover() }() // retired already
						g.Retire(kid)
					}()
				}
				g.asked()
				for range 100 {
					g.atOnce(token(), tt.want)
				}
				time.Sleep(9*time.Minute - 1)
				g.atOnce(token(), tt.want)
				g.wantAsked() // not before it is due
				time.Sleep(time.Minute + 1)
				g.be(func(w http.ResponseWriter, r *http.Request, next http.Handler) { // slow
					pause(r, 3*time.Second)
					w.Header().Set("Cache-Control", "max-age=600")
					if r.URL.Path == keysPath {
						_, _ = w.Write(bytes.ReplaceAll(g.JWKS(), []byte(`"kid"`), []byte(`"dik"`)))
						return
					}
					next.ServeHTTP(w, r)
				})
				// Nobody waits for longer than 2 s, whatever the token is.
				var all sync.WaitGroup
				for _, send := range []struct{ token, want string }{
					{token(), tt.want},
					{b64(`{"alg":"HS256"}`) + token()[strings.IndexByte(token(), '.'):], auth.ReasonAlgorithm},
					{b64(`{"alg":"EdDSA"}`) + token()[strings.IndexByte(token(), '.'):], auth.ReasonAlgorithm},
				} {
					all.Go(func() {
						start := time.Now()
						if _, err := g.jwt.Verify(t.Context(), send.token); reason(err) == "" {
							t.Errorf("admitted %s", send.token)
						}
						if took := time.Since(start); took > 2*time.Second {
							t.Errorf("it took %v, want 2s at most", took)
						}
					})
				}
				all.Wait()
				time.Sleep(10 * time.Second)
				g.atOnce(token(), "admitted")
				g.wantAsked(oidc, keysPath)
				g.atOnce(forged(token()), auth.ReasonSignature)
				g.wantAsked()
			})
		})
	}
}

// One that is right waits for the keys once, like any other.
func TestTokensWithoutKidWaitOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, authtest.Config{})
		token := func() string {
			return g.Sign(map[string]any{"kid": nil}, goodClaims().with(object{"iss": g.URL(), "aud": "api"}))
		}
		g.try(token(), "admitted")
		g.be(slow(4 * time.Second))
		time.Sleep(time.Hour)
		if _, took := g.try(token(), "admitted"); took != 2*time.Second {
			t.Errorf("it took %v, want 2s", took)
		}
	})
}

// A fetch that finds nothing new does not empty the cache of tokens: anybody
// can cause one.
func TestSameKeysKeepTheCache(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, authtest.Config{}, func(c *auth.JWTConfig) { c.Cache = &auth.TokenCache{} })
		token := g.lasting()
		want := func(detail string) {
			t.Helper()
			if g.try(token, "admitted"); g.said.Detail != detail {
				t.Errorf("detail = %q, want %q", g.said.Detail, detail)
			}
		}
		want("")
		want("cached")
		time.Sleep(10 * time.Second)
		g.asked()
		g.try(renamed(token, "junk"), auth.ReasonKey)
		g.wantAsked(forced)
		want("cached")
		g.Rotate()
		time.Sleep(10 * time.Second)
		g.try(g.Token(nil), "admitted")
		want("")
		want("cached")
	})
}

// All that want keys at a time share one fetch, and one that gives up does not
// take it along.
func TestColdRequestsShareAFetch(t *testing.T) {
	t.Parallel()
	for name, cache := range map[string]*auth.TokenCache{"without a cache": nil, "with a cache": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, authtest.Config{}, func(c *auth.JWTConfig) { c.Cache = cache })
				g.be(at(keysPath, slow(time.Second)))
				token := g.Token(nil)
				gaveUp, cancel := context.WithCancel(t.Context())
				var all sync.WaitGroup
				var admitted, refused atomic.Int64
				for i := range 100 {
					ctx := t.Context()
					if i%2 == 0 { // the first of all is among these
						ctx = gaveUp
					}
					all.Go(func() {
						start := time.Now()
						_, err := g.jwt.Verify(ctx, token)
						took := time.Since(start)
						switch {
						case err == nil && took == time.Second:
							admitted.Add(1)
						case reason(err) == auth.ReasonUnavailable && took == time.Second/2:
							refused.Add(1)
						default:
							t.Errorf("Verify = %v after %v", err, took)
						}
					})
					synctest.Wait()
				}
				time.Sleep(time.Second / 2)
				cancel()
				all.Wait()
				if admitted.Load() != 50 || refused.Load() != 50 {
					t.Errorf("%d were admitted and %d gave up, want 50 each", admitted.Load(), refused.Load())
				}
				g.wantAsked(oidc, forced)
			})
		})
	}
}

// Keys are kept for their max-age, within bounds, and fetched again: shortly
// before that in the background, after it while the request waits.
func TestRefresh(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		header string
		want   time.Duration
	}{
		{"", 15 * time.Minute},
		{"no-store", 15 * time.Minute},
		{"public", 15 * time.Minute},
		{"max-age", 15 * time.Minute},
		{"max-age=x", 15 * time.Minute},
		{"s-maxage=60", 15 * time.Minute},
		{"max-age=0", 5 * time.Minute},
		{"max-age=299", 5 * time.Minute},
		{"max-age=301", 301 * time.Second},
		{"public, MAX-AGE=1200 , must-revalidate", 20 * time.Minute},
		{`max-age="1800"`, 30 * time.Minute},
		{"max-age=3599", 3599 * time.Second},
		{"max-age=3601", time.Hour},
		{"max-age=31536000", time.Hour},
		{"max-age=2147483648", time.Hour},
		{"max-age=9223372036854775807", time.Hour},
		{"max-age=99999999999999999999999", time.Hour}, // RFC 9111 section 1.2.2
	} {
		t.Run(tt.header, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, authtest.Config{})
				wait := time.Duration(0)
				g.be(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
					if r.URL.Path != keysPath {
						next.ServeHTTP(w, r)
						return
					}
					pause(r, wait)
					w.Header()["Cache-Control"] = []string{tt.header}
					_, _ = w.Write(g.JWKS())
				})
				token := g.lasting()
				g.try(token, "admitted")
				g.wantAsked(oidc, forced)
				time.Sleep(tt.want - tt.want/10)
				g.atOnce(token, "admitted")
				g.wantAsked()
				wait = time.Second
				time.Sleep(tt.want/10 - 1)
				for range 100 {
					g.atOnce(token, "admitted") // in the background
				}
				g.wantAsked(oidc, keysPath)

				time.Sleep(time.Second + tt.want)
				if _, took := g.try(token, "admitted"); took != time.Second {
					t.Errorf("the answer took %v, want the second of the fetch", took)
				}
				g.wantAsked(oidc, keysPath)
				wait = 3 * time.Second
				time.Sleep(tt.want + 1)
				if _, took := g.try(token, "admitted"); took != 2*time.Second {
					t.Errorf("the answer took %v, want no more than 2s", took)
				}
				g.wantAsked(oidc, keysPath)
			})
		})
	}
}

// Instances that started together do not refresh together.
func TestRefreshIsSpread(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, authtest.Config{MaxAge: time.Hour})
		token := g.lasting()
		const n = 20
		instances := make([]*auth.JWT, n)
		for i := range instances {
			var err error
			if instances[i], err = auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{{URL: g.URL(), Audience: []string{"api"}}}, HTTPClient: g.Client()}); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = instances[i].Close() }()
			check(t, instances[i], token, "")
		}
		g.asked()
		start := time.Now()
		time.Sleep(53 * time.Minute)
		for time.Since(start) < time.Hour+20*time.Second {
			for _, j := range instances {
				check(t, j, token, "")
			}
			time.Sleep(10 * time.Second)
		}
		when := make(map[time.Time]bool)
		fetches := 0
		for _, r := range g.asked() {
			if r.what == keysPath {
				fetches++
				when[r.at] = true
				if d := r.at.Sub(start); d < 54*time.Minute || d > time.Hour+10*time.Second {
					t.Errorf("refreshed after %v", d)
				}
			}
		}
		if fetches != n || len(when) < n/2 {
			t.Errorf("%d fetches at %d times, want %d at %d times at least", fetches, len(when), n, n/2)
		}
	})
}

// Where the keys are is read again with each refresh, and once an hour also if
// tokens with unknown kids make the keys be fetched all the time: nobody may
// keep a URL in use that the issuer has given up.
func TestMetadataIsReadAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, authtest.Config{})
		good := g.lasting()
		g.try(good, "admitted")
		g.wantAsked(oidc, forced)
		moved := `{"issuer":"` + g.URL() + `","jwks_uri":"https://new.example/jwks"}`
		g.be(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if strings.HasPrefix(r.URL.Path, "/.well-known") {
				_, _ = io.WriteString(w, moved)
				return
			}
			next.ServeHTTP(w, r)
		})
		start := time.Now()
		for time.Since(start) < time.Hour+10*time.Second {
			time.Sleep(10 * time.Second)
			g.try(renamed(good, "junk"), auth.ReasonKey)
		}
		var old, found int
		for _, r := range g.asked() {
			switch r.what {
			case forced:
				old++
				if r.at.Sub(start) >= time.Hour {
					t.Errorf("asked at the old place after %v", r.at.Sub(start))
				}
			case "https://new.example/jwks no-cache":
				found++
			}
		}
		if old == 0 || found == 0 {
			t.Errorf("asked %d times at the old place and %d times at the new one", old, found)
		}

		// At once if there is nothing at the old place any more.
		g.asked()
		moved = `{"issuer":"` + g.URL() + `","jwks_uri":"https://newer.example/jwks"}`
		g.be(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			switch {
			case strings.HasPrefix(r.URL.Path, "/.well-known"):
				_, _ = io.WriteString(w, moved)
			case r.Host == "newer.example":
				next.ServeHTTP(w, r)
			default:
				w.WriteHeader(http.StatusNotFound)
			}
		})
		g.Rotate()
		time.Sleep(10 * time.Second)
		g.try(g.Token(nil), auth.ReasonUnavailable)
		time.Sleep(time.Second)
		g.try(g.Token(nil), "admitted")
		g.wantAsked("https://new.example/jwks no-cache", oidc, "https://newer.example/jwks no-cache")
	})
}

// What a Config holds is copied: Algorithms may be changed afterwards.
func TestAlgorithmsAreCopied(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		algorithms := []string{"ES256"}
		g := newRig(t, authtest.Config{}, func(c *auth.JWTConfig) { c.Issuers[0].Algorithms = algorithms })
		algorithms[0] = "RS256"
		g.try(g.Token(nil), "admitted")
	})
}

// Keys are fetched for whom they are wanted: each issuer has its own, also if
// two have the same kids, or the same place.
func TestIssuersDoNotShareKeys(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"https://second.example", "https://issuer.test/second"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				second, err := authtest.NewIssuer(authtest.Config{URL: host})
				if err != nil {
					t.Fatal(err)
				}
				defer second.Close()
				g := newRig(t, authtest.Config{}, func(c *auth.JWTConfig) {
					c.Issuers = append(c.Issuers, auth.Issuer{URL: second.URL(), Audience: []string{"api"}})
				})
				own := g.Issuer
				g.be(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
					if strings.HasPrefix("https://"+r.Host+r.URL.Path, host) {
						second.Handler().ServeHTTP(w, r)
						return
					}
					next.ServeHTTP(w, r)
				})
				if own.KeyID() != second.KeyID() {
					t.Fatalf("kids are %q and %q, want the same", own.KeyID(), second.KeyID())
				}
				as := func(by, iss *authtest.Issuer) string { return by.Token(map[string]any{"iss": iss.URL()}) }
				g.try(as(own, own), "admitted")
				g.wantAsked(oidc, forced)
				g.try(as(second, own), auth.ReasonSignature)
				g.wantAsked()
				g.try(as(own, second), auth.ReasonSignature)
				if got := g.asked(); len(got) != 2 {
					t.Errorf("asked for %v, want metadata and keys of the second", got)
				}
				g.try(as(second, second), "admitted")
				g.wantAsked()
				// A new key of one is none of the other.
				second.Rotate()
				time.Sleep(10 * time.Second)
				g.try(as(second, own), auth.ReasonKey)
				g.wantAsked(forced)
				g.try(as(second, second), "admitted")
				// One that is down does not take the other along.
				g.be(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
					if strings.HasPrefix("https://"+r.Host+r.URL.Path, host) {
						down(w, r, next)
					}
					next.ServeHTTP(w, r)
				})
				time.Sleep(10 * time.Second)
				g.try(renamed(as(second, second), "junk"), auth.ReasonUnavailable)
				own.Rotate()
				g.try(as(own, own), "admitted")
			})
		})
	}
}

// Two issuers may publish their keys at one URL: each fetches it for itself,
// and iss stays what tells their tokens apart.
func TestIssuersAtOneURL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, authtest.Config{}, func(c *auth.JWTConfig) {
			for i, url := range []string{"https://issuer.test", "https://second.example"} {
				iss := auth.Issuer{URL: url, Audience: []string{"api" + strconv.Itoa(i)}, Keys: auth.JWKS("https://issuer.test/jwks")}
				c.Issuers = append(c.Issuers[:i], iss)
			}
		})
		g.try(g.Token(map[string]any{"aud": "api0"}), "admitted")
		g.wantAsked(forced)
		g.try(g.Token(map[string]any{"iss": "https://second.example", "aud": "api1"}), "admitted")
		g.wantAsked(forced)
		g.try(g.Token(map[string]any{"iss": "https://second.example", "aud": "api0"}), auth.ReasonAudience)
		g.try(g.Token(map[string]any{"iss": "https://third.example", "aud": "api0"}), auth.ReasonIssuer)
	})
}

// Each tenant of an issuer has metadata and keys of its own, unless all have
// one JWKS.
func TestTenantsKeys(t *testing.T) {
	t.Parallel()
	const template = "https://login.example/{tenantid}/v2.0"
	url := func(tenant string) string { return strings.Replace(template, "{tenantid}", tenant, 1) }
	setup := func(t *testing.T, keys auth.KeySource) (*rig, map[string]*authtest.Issuer) {
		t.Helper()
		tenants := make(map[string]*authtest.Issuer)
		for _, tenant := range []string{"a1", "b2"} {
			iss, err := authtest.NewIssuer(authtest.Config{URL: url(tenant)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(iss.Close)
			tenants[tenant] = iss
		}
		g := newRig(t, authtest.Config{}, func(c *auth.JWTConfig) {
			c.Issuers = []auth.Issuer{{URL: template, Tenants: []string{"a1", "b2"}, Audience: []string{"api"}, Keys: keys}}
		})
		g.be(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			for tenant, iss := range tenants {
				if strings.HasPrefix(r.URL.Path, "/"+tenant+"/") {
					iss.Handler().ServeHTTP(w, r)
					return
				}
			}
			next.ServeHTTP(w, r)
		})
		return g, tenants
	}
	t.Run("discovered", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			g, tenants := setup(t, auth.KeySource{})
			g.try(g.Token(map[string]any{"iss": template}), auth.ReasonIssuer)
			g.try(g.Token(map[string]any{"iss": url("c3")}), auth.ReasonIssuer)
			g.wantAsked()
			g.try(tenants["a1"].Token(nil), "admitted")
			g.wantAsked(url("a1")+oidc, url("a1")+forced)
			g.try(tenants["a1"].Token(map[string]any{"iss": url("b2")}), auth.ReasonSignature)
			g.wantAsked(url("b2")+oidc, url("b2")+forced)
			g.try(tenants["b2"].Token(nil), "admitted")
			g.try(tenants["b2"].Token(map[string]any{"tid": "a1"}), auth.ReasonIssuer)
			if p, err := g.jwt.Verify(t.Context(), tenants["b2"].Token(nil)); err != nil || p.Tenant != "b2" {
				t.Errorf("Verify = %+v, %v, want tenant b2", p, err)
			}
			g.wantAsked()
		})
	})
	t.Run("one JWKS", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			g, _ := setup(t, auth.JWKS("https://login.example/common/keys"))
			g.be(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { _, _ = w.Write(g.JWKS()) })
			for range 2 {
				for _, tenant := range []string{"a1", "b2"} {
					p, err := g.jwt.Verify(t.Context(), g.Token(map[string]any{"iss": url(tenant)}))
					if err != nil || p.Tenant != tenant || p.Issuer != url(tenant) {
						t.Errorf("Verify = %+v, %v, want tenant %s", p, err, tenant)
					}
				}
			}
			g.try(g.Token(map[string]any{"iss": url("c3")}), auth.ReasonIssuer)
			g.wantAsked("https://login.example/common/keys no-cache")
		})
	})
}

// A new key under the kid of an old one is found late: with the next refresh
// that another key's token makes, or after 24 h.
func TestNewKeyUnderAnOldKid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, authtest.Config{})
		g.try(g.Token(nil), "admitted")
		loaded := time.Now()
		g.Retire(g.KeyID())
		second := g.Rotate()
		third := g.Rotate()
		g.be(at(keysPath, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			_, _ = w.Write(bytes.ReplaceAll(bytes.ReplaceAll(g.JWKS(), []byte(second), []byte("other")), []byte(third), []byte("key-1")))
		}))
		token := func() string {
			return g.Sign(map[string]any{"kid": "key-1"}, goodClaims().with(object{"iss": g.URL(), "aud": "api"}))
		}
		g.asked()
		for time.Since(loaded) < 24*time.Hour {
			g.atOnce(token(), auth.ReasonSignature)
			time.Sleep(time.Hour)
		}
		g.wantAsked()
		g.try(token(), "admitted")
		g.wantAsked(oidc, forced)
	})
}

// TestFetchedKeysCostNoMore: a token of a key that was fetched costs what one of
// a key in a file does, and one of an invented kid no more than another that is
// refused.
func TestFetchedKeysCostNoMore(t *testing.T) {
	issuer, err := authtest.NewIssuer(authtest.Config{Algorithm: "EdDSA"})
	if err != nil {
		t.Fatal(err)
	}
	defer issuer.Close()
	iss := auth.Issuer{URL: issuer.URL(), Audience: []string{"api"}, Keys: auth.StaticJWKS(issuer.JWKS())}
	fixed := newJWT(t, iss)
	iss.Keys = auth.KeySource{}
	remote, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{iss}, HTTPClient: issuer.Client()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = remote.Close() }()
	good := issuer.Token(nil)
	junk := b64(`{"alg":"EdDSA","kid":"junk"}`) + good[strings.IndexByte(good, '.'):]
	for _, token := range []string{good, junk} {
		want := reason(second(fixed.Verify(t.Context(), token)))
		verify := func(j *auth.JWT) float64 {
			check(t, j, token, want)
			return testing.AllocsPerRun(50, func() { _, _ = j.Verify(t.Context(), token) })
		}
		if got, most := verify(remote), verify(fixed); got > most {
			t.Errorf("reason %q: %v allocations, want %v at most", want, got, most)
		}
	}
}

func second[A, B any](_ A, b B) B { return b }

func BenchmarkFetchedKeys(b *testing.B) {
	issuer, err := authtest.NewIssuer(authtest.Config{Algorithm: "EdDSA"})
	if err != nil {
		b.Fatal(err)
	}
	defer issuer.Close()
	j, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{{URL: issuer.URL(), Audience: []string{"api"}}}, HTTPClient: issuer.Client()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	good := issuer.Token(nil)
	junk := b64(`{"alg":"EdDSA","kid":"junk"}`) + good[strings.IndexByte(good, '.'):]
	for _, bb := range []struct{ name, token, want string }{{"admitted", good, ""}, {"invented kid", junk, auth.ReasonKey}} {
		b.Run(bb.name, func(b *testing.B) {
			if got := reason(second(j.Verify(b.Context(), bb.token))); got != bb.want {
				b.Fatalf("reason = %q, want %q", got, bb.want)
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_, _ = j.Verify(b.Context(), bb.token)
				}
			})
		})
	}
}

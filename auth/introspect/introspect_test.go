package introspect_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/introspect"
	"github.com/gatehouse-go/gatehouse/auth/principal"
)

func TestNewFaults(t *testing.T) {
	t.Parallel()
	valid := introspect.Config{
		Endpoint: "https://id.example.com/introspect", Issuer: issuerURL, Audience: []string{service}, Credentials: introspect.ClientSecret("a", "b"),
	}
	for _, tt := range []struct {
		name string
		edit func(*introspect.Config)
		want []string
	}{
		{"valid", func(*introspect.Config) {}, nil},
		{"empty", func(c *introspect.Config) { *c = introspect.Config{} }, []string{
			"introspect: Endpoint is empty, want the URL of the introspection endpoint",
			"introspect: Issuer is empty, want the exact value of iss",
			"introspect: Credentials is empty, want ClientSecret or CredentialsFunc",
			"introspect: Audience is empty, want the names of this service",
		}},
		{"all wrong", func(c *introspect.Config) {
			c.Endpoint, c.Credentials = "http://id.example.com/introspect?key=hunter2", introspect.ClientSecret("", "b")
			c.Audience, c.ClientIDs, c.AllowAnyAudience = []string{""}, []string{"a", ""}, true
			c.RolesClaim, c.Leeway, c.CacheTTL, c.CacheSize, c.NoCache = "a..b", time.Hour, -1, -1, true
			c.HTTPClient = &http.Client{Transport: http.NewFileTransport(http.Dir("."))}
		}, []string{
			"introspect: HTTPClient.Transport is a http.fileTransport, want nil or an *http.Transport, whose connections can be checked",
			"introspect: Credentials has an empty client id",
			"introspect: AllowAnyAudience is true beside Audience or ClientIDs, want one of the two",
			"introspect: Audience has an empty name",
			"introspect: ClientIDs has an empty name",
			`introspect: RolesClaim is "a..b", want the name of a member or a path of names with dots between`,
			"introspect: Leeway is 1h0m0s, want 0 to 5m0s",
			"introspect: CacheTTL is -1ns, want 0 to 5m0s",
			"introspect: CacheSize is -1, want 0 or more",
			"introspect: NoCache is true beside CacheTTL or CacheSize, want one of the two",
		}},
		{"plain HTTP", func(c *introspect.Config) { c.Endpoint = "http://id.example.com/introspect?key=hunter2" }, []string{
			`introspect: Endpoint has the scheme "http", want https`,
		}},
		{"inside", func(c *introspect.Config) { c.Endpoint = "https://10.0.0.1/introspect" }, []string{
			"introspect: Endpoint has the address 10.0.0.1, which is private, want its network in AllowPrivate",
		}},
		{"no secret", func(c *introspect.Config) { c.Credentials = introspect.ClientSecret("a", "") }, []string{"introspect: Credentials has an empty client secret"}},
		{"no function", func(c *introspect.Config) { c.Credentials = introspect.CredentialsFunc(nil) }, []string{"introspect: Credentials has a nil function"}},
		{"a long memory", func(c *introspect.Config) { c.CacheTTL, c.Leeway = time.Hour, -1 }, []string{
			"introspect: Leeway is -1ns, want 0 to 5m0s", "introspect: CacheTTL is 1h0m0s, want 0 to 5m0s",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := valid
			tt.edit(&cfg)
			i, err := introspect.New(cfg)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if want := strings.Join(tt.want, "\n"); got != want {
				t.Errorf("error:\n%s\nwant:\n%s", got, want)
			}
			if (i == nil) != (err != nil) {
				t.Errorf("Introspector = %v with error %v", i, err)
			}
			if i != nil {
				_ = i.Close()
			}
		})
	}
}

// TestQuestion holds what is sent against RFC 7662 section 2.1 and RFC 6749
// section 2.3.1.
func TestQuestion(t *testing.T) {
	t.Parallel()
	static := func(add func(form url.Values, header http.Header)) introspect.Credentials {
		return introspect.CredentialsFunc(func(_ context.Context, form url.Values, header http.Header) error {
			add(form, header)
			return nil
		})
	}
	for _, tt := range []struct {
		name          string
		credentials   introspect.Credentials
		authorization string
		form          url.Values // beside token and token_type_hint
	}{
		{"RFC 6749 section 2.3.1", introspect.ClientSecret("s6BhdRkqt3", "7Fjfp0ZBr1KtDRbnfVdmIw"), "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3", nil},
		{
			"special characters", introspect.ClientSecret("a:b c", "p+q%&=/é\"\\"),
			"Basic " + base64.StdEncoding.EncodeToString([]byte("a%3Ab+c:p%2Bq%25%26%3D%2F%C3%A9%22%5C")), nil,
		},
		{"RFC 7662 section 2.1, bearer", static(func(_ url.Values, h http.Header) { h.Set("Authorization", "Bearer 23410913-abewfq.123483") }), "Bearer 23410913-abewfq.123483", nil},
		{
			"assertion", static(func(f url.Values, _ http.Header) {
				f.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
				f.Set("client_assertion", "a.b.c")
			}), "",
			url.Values{"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {"a.b.c"}},
		},
		{
			"what is not theirs to say", static(func(f url.Values, h http.Header) {
				f.Set("token", "other")
				f.Set("token_type_hint", "refresh_token")
				h.Set("Accept", "text/html")
				h.Set("Content-Type", "text/plain")
			}), "", nil,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := url.Values{"token": {opaque}, "token_type_hint": {"access_token"}}
			maps.Copy(want, tt.form)
			s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodPost || r.RequestURI != "/introspect" {
					t.Errorf("asked by %s %s", r.Method, r.RequestURI)
				}
				if got := r.Header.Get("Authorization"); got != tt.authorization {
					t.Errorf("Authorization = %q, want %q", got, tt.authorization)
				}
				if id, secret, ok := r.BasicAuth(); ok && tt.name == "special characters" {
					id, err1 := url.QueryUnescape(id)
					secret, err2 := url.QueryUnescape(secret)
					if id != "a:b c" || secret != "p+q%&=/é\"\\" || err1 != nil || err2 != nil {
						t.Errorf("the server reads %q and %q", id, secret)
					}
				}
				if got := r.Header["Content-Type"]; !slices.Equal(got, []string{"application/x-www-form-urlencoded"}) {
					t.Errorf("Content-Type = %q", got)
				}
				if got := r.Header["Accept"]; !slices.Equal(got, []string{"application/json"}) {
					t.Errorf("Accept = %q", got)
				}
				if _, ok := r.Header["Idempotency-Key"]; ok {
					t.Error("Idempotency-Key was sent")
				}
				if got := r.PostForm.Encode(); got != want.Encode() {
					t.Errorf("form = %s, want %s", got, want.Encode())
				}
				says(http.StatusOK, good().json())(w, r)
			})
			cfg := s.config()
			cfg.Credentials = tt.credentials
			if w := newHouse(t, newIntrospector(t, cfg)).get(opaque); w.Code != http.StatusOK {
				t.Errorf("status = %d, want 200", w.Code)
			}
		})
	}
}

// TestCredentialsFail: they may come from elsewhere, and be late or worse.
func TestCredentialsFail(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		add    func(ctx context.Context, form url.Values, header http.Header) error
		waits  time.Duration
		detail string
	}{
		{"error", func(context.Context, url.Values, http.Header) error { return errors.New("hunter2") }, 0, "the Credentials could not be had"},
		{"slow", func(ctx context.Context, _ url.Values, _ http.Header) error { <-ctx.Done(); return ctx.Err() }, 3 * time.Second, "the Credentials could not be had"},
		{"panic", func(context.Context, url.Values, http.Header) error { panic("hunter2") }, 0, "the Credentials panicked at "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, says(http.StatusOK, good().json()))
				cfg := s.config()
				cfg.Credentials = introspect.CredentialsFunc(tt.add)
				h := newHouse(t, newIntrospector(t, cfg))
				start := time.Now()
				if w := h.get(opaque); w.Code != http.StatusServiceUnavailable {
					t.Errorf("status = %d, want 503", w.Code)
				}
				if got := time.Since(start); got != tt.waits {
					t.Errorf("waited %v, want %v", got, tt.waits)
				}
				if got := h.detail(); !strings.HasPrefix(got, tt.detail) || strings.Contains(got, "hunter2") {
					t.Errorf("detail = %q, want %q…", got, tt.detail)
				}
				if h.get("another"); !strings.HasPrefix(h.detail(), "not asked") {
					t.Errorf("detail of the next = %q, want not asked", h.detail())
				}
				if n := s.count(""); n > 0 {
					t.Errorf("the endpoint was asked %d times without credentials", n)
				}
			})
		})
	}
}

// TestTokens: what is asked about and what is not.
func TestTokens(t *testing.T) {
	t.Parallel()
	s := newServer(t, says(http.StatusOK, good().json()))
	some := newHouse(t, newIntrospector(t, s.config()))
	cfg := s.config()
	cfg.AllTokens = true
	all := newHouse(t, newIntrospector(t, cfg))
	for _, tt := range []struct {
		name, authorization string
		some, all           int
		reason              string // of some, where it refuses
	}{
		{"opaque", "Bearer " + opaque, 200, 200, ""},
		{"every byte", "Bearer aZ09-._~+/==", 200, 200, ""},
		{"one dot", "Bearer a.b", 200, 200, ""},
		{"a JWE", "Bearer a.b.c.d.e", 200, 200, ""},
		{"a scheme in another case", "bEaReR " + opaque, 200, 200, ""},
		{"as long as may be", "Bearer " + strings.Repeat("a", 16<<10), 200, 200, ""},
		{"a JWT", "Bearer a.b.c", 401, 200, "malformed"},
		{"RFC 6750's example, which looks like a JWT", "Bearer mF_9.B5f-4.1JqM", 401, 200, "malformed"},
		{"too long", "Bearer " + strings.Repeat("a", 16<<10+1), 401, 401, "oversize"},
		{"a foreign byte", "Bearer a!b", 401, 401, "malformed"},
		{"not ASCII", "Bearer é", 401, 401, "malformed"},
		{"a line break", "Bearer a\nb", 401, 401, "malformed"},
		{"nothing but padding", "Bearer ==", 401, 401, "malformed"},
		{"padding within", "Bearer a=b", 401, 401, "malformed"},
		{"empty", "Bearer ", 400, 400, "malformed"},
		{"two", "Bearer a b", 400, 400, "malformed"},
		{"DPoP", "DPoP " + opaque, 401, 401, "scheme"},
		{"Basic", "Basic YTpi", 401, 401, "scheme"},
		{"none", "", 401, 401, "missing"},
	} {
		for _, h := range []struct {
			*house
			want int
		}{{some, tt.some}, {all, tt.all}} {
			before := s.count("")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, request(tt.authorization))
			if w.Code != h.want {
				t.Errorf("%s: status = %d, want %d", tt.name, w.Code, h.want)
			}
			if h.house == some && tt.reason != "" && h.reason() != tt.reason {
				t.Errorf("%s: reason = %q, want %q", tt.name, h.reason(), tt.reason)
			}
			if asked := s.count("") > before; h.want != 200 && asked {
				t.Errorf("%s: the endpoint was asked", tt.name)
			}
		}
	}
}

// TestChain: beside a JWT, in either order, each leaves the other's tokens
// alone, and answers for its own.
func TestChain(t *testing.T) {
	t.Parallel()
	private := ed25519.NewKeyFromSeed([]byte("0123456789abcdef0123456789abcdef"))
	signed := func(sub string, exp time.Time) string {
		token, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
			"iss": issuerURL, "sub": sub, "aud": service, "exp": exp.Unix(),
		}).SignedString(private)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	block := "-----BEGIN PUBLIC KEY-----\n" + base64.StdEncoding.EncodeToString(der) + "\n-----END PUBLIC KEY-----\n"
	verifier, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{{
		URL: issuerURL, Audience: []string{service}, Keys: auth.PEM("", []byte(block)), Algorithms: []string{"EdDSA"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, knows(map[string]object{opaque: good()}))
	opaques := newIntrospector(t, s.config())
	for name, h := range map[string]*house{"JWT first": newHouse(t, verifier, opaques), "JWT last": newHouse(t, opaques, verifier)} {
		for _, tt := range []struct {
			name, token, subject string
			want                 int
			reason               string
		}{
			{"opaque", opaque, "alice", 200, "admitted"},
			{"a JWT", signed("bob", time.Now().Add(time.Hour)), "bob", 200, "admitted"},
			{"unknown", "unknown", "", 401, introspect.ReasonInactive},
			{"an expired JWT", signed("bob", time.Now().Add(-time.Hour)), "", 401, "expired"},
			{"a forged JWT", signed("bob", time.Now().Add(time.Hour))[1:], "", 401, "malformed"},
			{"a JWE", "a.b.c.d.e", "", 401, introspect.ReasonInactive},
		} {
			h.caller = nil
			w := h.get(tt.token)
			if w.Code != tt.want || h.reason() != tt.reason {
				t.Errorf("%s: %s: status = %d, reason = %q, want %d, %q", name, tt.name, w.Code, h.reason(), tt.want, tt.reason)
			}
			if tt.subject != "" && (h.caller == nil || h.caller.Subject != tt.subject) {
				t.Errorf("%s: %s: caller = %+v, want %s", name, tt.name, h.caller, tt.subject)
			}
			if got := w.Header().Values("WWW-Authenticate"); w.Code == 401 && !slices.Equal(got, []string{`Bearer error="invalid_token"`}) {
				t.Errorf("%s: %s: challenges = %q", name, tt.name, got)
			}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request(""))
		if got := w.Header().Values("WWW-Authenticate"); w.Code != 401 || !slices.Equal(got, []string{"Bearer"}) {
			t.Errorf("%s: nothing: status = %d, challenges = %q", name, w.Code, got)
		}
	}
	for _, token := range []string{opaque, "a.b.c.d.e", "unknown"} {
		if s.count(token) != 1 {
			t.Errorf("%s was asked about %d times, want 1", token, s.count(token))
		}
	}
	if n := s.count(""); n != 3 {
		t.Errorf("%d questions, want 3: JWTs are nobody else's business", n)
	}
}

func TestCarries(t *testing.T) {
	t.Parallel()
	var carrier auth.Carrier = newIntrospector(t, newServer(t, says(200, "")).config())
	for authorization, want := range map[string]string{
		"": "", "Basic YTpi": "", "Bearer a": "Authorization", "Bearer a.b.c": "Authorization", "Bearer ": "Authorization", "DPoP a": "Authorization",
	} {
		if got := carrier.Carries(request(authorization)); got != want {
			t.Errorf("Carries(%q) = %q, want %q", authorization, got, want)
		}
	}
}

// TestBothAtOnce: a token in the header and one in the query are one too many.
func TestBothAtOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t, says(200, good().json()))
	h := newHouse(t, newIntrospector(t, s.config()))
	r := request("Bearer " + opaque)
	r.URL.RawQuery = "access_token=other"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusBadRequest || s.count("") > 0 {
		t.Errorf("status = %d after %d questions, want 400 after none", w.Code, s.count(""))
	}
}

type statusError int

func (e statusError) Error() string   { return "hunter2" }
func (e statusError) StatusCode() int { return int(e) }

func TestCheck(t *testing.T) {
	t.Parallel()
	var verdict error
	s := newServer(t, says(200, good().json()))
	cfg := s.config()
	checked := 0
	cfg.Check = func(_ context.Context, p *principal.Principal) error {
		checked++
		if p.Subject != "alice" {
			t.Errorf("Check got %+v", p)
		}
		return verdict
	}
	i := newIntrospector(t, cfg)
	other := authenticatorFunc(func(*http.Request) (*principal.Principal, error) {
		t.Error("the next Authenticator was asked")
		return nil, auth.ErrNoCredentials
	})
	h := newHouse(t, i, other)
	for _, tt := range []struct {
		err    error
		want   int
		reason string
	}{
		{nil, 200, "admitted"},
		{statusError(403), 403, "scope"},
		{statusError(401), 401, "refused"},
		{errors.New("hunter2"), 503, "unavailable"},
		{&auth.Error{Kind: auth.Invalid, Reason: auth.ReasonRevoked}, 401, "revoked"},
		{auth.ErrNoCredentials, 503, "unavailable"},
		{fmt.Errorf("%w: %w", statusError(401), auth.ErrNoCredentials), 503, "unavailable"},
	} {
		verdict = tt.err
		if w := h.get(opaque); w.Code != tt.want || h.reason() != tt.reason {
			t.Errorf("%v: status = %d, reason = %q, want %d, %q", tt.err, w.Code, h.reason(), tt.want, tt.reason)
		}
		if strings.Contains(h.detail(), "hunter2") {
			t.Errorf("detail = %q", h.detail())
		}
	}
	if checked != 7 || s.count("") != 1 {
		t.Errorf("checked %d times and asked %d times, want 7 and 1", checked, s.count(""))
	}
}

type authenticatorFunc func(*http.Request) (*principal.Principal, error)

func (f authenticatorFunc) Authenticate(r *http.Request) (*principal.Principal, error) { return f(r) }

func (f authenticatorFunc) Challenges(error) []string { return nil }

// TestErrorsAreTheCallers: what one request does with its error is not seen by
// another.
func TestErrorsAreTheCallers(t *testing.T) {
	t.Parallel()
	i := newIntrospector(t, newServer(t, says(200, `{"active":false}`)).config())
	for range 2 {
		_, err := i.Authenticate(request("Bearer " + opaque))
		e, ok := errors.AsType[*auth.Error](err)
		if !ok || e.Reason != introspect.ReasonInactive {
			t.Fatalf("error = %#v", err)
		}
		e.Reason = "changed"
	}
	synctest.Test(t, func(t *testing.T) {
		i := newIntrospector(t, newServer(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }).config())
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				_, err := i.Authenticate(request("Bearer " + opaque))
				if e, ok := errors.AsType[*auth.Error](err); !ok || e.Reason != auth.ReasonUnavailable {
					t.Errorf("error = %v", err)
				} else {
					e.Reason = "changed"
				}
			})
		}
		wg.Wait()
	})
}

func TestNil(t *testing.T) {
	t.Parallel()
	var i *introspect.Introspector
	_, err := i.Authenticate(httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	if e, ok := errors.AsType[*auth.Error](err); !ok || e.StatusCode() != http.StatusServiceUnavailable {
		t.Errorf("Authenticate = %v, want 503", err)
	}
}

// TestSecretsStayIn prints all that there is in all ways.
func TestSecretsStayIn(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := newServer(t, says(401, `{"error":"hunter2"}`))
	cfg := s.config()
	cfg.Endpoint, cfg.Credentials, cfg.Logger = endpoint+"?key="+secret, introspect.ClientSecret("id-"+secret, secret), log
	i := newIntrospector(t, cfg)
	h := newHouse(t, i)
	token := "token-" + secret
	for range 2 {
		fmt.Fprint(&out, h.get(token).Body.String(), h.detail())
	}
	s.set(says(200, good().with(object{"jti": nil}).json()))
	i2 := newIntrospector(t, cfg)
	if h := newHouse(t, i2); h.get(token).Code != 200 {
		t.Errorf("not admitted: %s", h.detail())
	} else {
		fmt.Fprintf(&out, "%+v %s", h.caller, h.caller.TokenID)
	}
	for _, i := range []*introspect.Introspector{i, i2} {
		if err := i.Close(); err != nil { // it is printed down to its locks
			t.Error(err)
		}
	}
	cfg.Endpoint = "" // the user's own
	encoded := base64.StdEncoding.EncodeToString([]byte("id-" + secret + ":" + secret))
	for _, v := range []any{i, i2, *i2, cfg, cfg.Credentials, &cfg.Credentials, introspect.ClientSecret("", secret)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb, v)
		}
		_ = json.NewEncoder(&out).Encode(v)
		log.Info("all", "value", v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("all", "value", v)
	}
	for _, never := range []string{secret, fmt.Sprintf("%x", secret), encoded, token} {
		if strings.Contains(out.String(), never) {
			t.Errorf("%q was printed: %s", never, around(out.String(), never))
		}
	}
	if !strings.Contains(out.String(), "introspect: the endpoint is down") {
		t.Errorf("nothing was logged: %s", out.String())
	}
}

func around(s, part string) string {
	at := strings.Index(s, part)
	return s[max(0, at-100):min(len(s), at+100)]
}

// TestTLS asks an endpoint over TLS whose authority only the user knows.
func TestTLS(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(says(http.StatusOK, good().json()))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	for name, tt := range map[string]struct {
		edit func(*introspect.Config)
		want int
	}{
		"known authority":   {func(*introspect.Config) {}, 200},
		"unknown authority": {func(c *introspect.Config) { c.HTTPClient = nil }, 503},
	} {
		cfg := introspect.Config{
			Endpoint: s.URL, Issuer: issuerURL, Audience: []string{service}, Credentials: introspect.ClientSecret("a", "b"), InsecureAllowLoopback: true,
			HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}},
		}
		tt.edit(&cfg)
		h := newHouse(t, newIntrospector(t, cfg))
		if w := h.get(opaque); w.Code != tt.want {
			t.Errorf("%s: status = %d, want %d: %s", name, w.Code, tt.want, h.detail())
		}
	}
}

// TestNowhereInside: an endpoint whose name leads inside is not asked.
func TestNowhereInside(t *testing.T) {
	t.Parallel()
	s := newServer(t, says(200, good().json()))
	cfg := s.config()
	cfg.Endpoint, cfg.InsecureAllowLoopback = "https://id.example.com/introspect", false // the pipe says that it leads to 127.0.0.1
	h := newHouse(t, newIntrospector(t, cfg))
	if w := h.get(opaque); w.Code != http.StatusServiceUnavailable || s.count("") > 0 {
		t.Errorf("status = %d after %d questions, want 503 after none", w.Code, s.count(""))
	}
	if want := "the introspection endpoint: the host has the address 127.0.0.1, which is loopback"; !strings.HasPrefix(h.detail(), want) {
		t.Errorf("detail = %q, want %q…", h.detail(), want)
	}
}

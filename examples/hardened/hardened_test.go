package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/golang-jwt/jwt/v5"

	"github.com/gatehouse-go/gatehouse/auth/authtest"
	"github.com/gatehouse-go/gatehouse/examples/internal/trial"
	"github.com/gatehouse-go/gatehouse/rbac"
)

// secret stands for whatever nobody may find in a log.
const secret = "canary-5f0b7c"

// TestMain lets this binary be the service: the tests run it as a process of
// its own, with its own standard error, and with routes that fail.
func TestMain(m *testing.M) {
	if os.Getenv("HARDENED_SERVE") == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr, func(s *service, r chi.Router) {
		public := r.With(rbac.Public("fails for a test"))
		public.Get("/panic", func(http.ResponseWriter, *http.Request) { panic("panic with " + secret) })
		public.Get("/error", func(w http.ResponseWriter, r *http.Request) { s.fail(w, r, errors.New("error with "+secret)) })
		public.Get("/expired", func(w http.ResponseWriter, r *http.Request) {
			token, err := s.token(user{id: "ann", role: "admin"}, time.Now().Add(-time.Hour))
			if err != nil {
				s.fail(w, r, err)
				return
			}
			writeJSON(w, http.StatusOK, map[string]string{"token": token})
		})
		public.Get("/slow", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			time.Sleep(500 * time.Millisecond)
			_, _ = io.WriteString(w, "done")
		})
		r.Get("/forgotten", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, secret) })
	})
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// A server is the service as a process.
type server struct {
	cmd          *exec.Cmd
	https, plain string
	ca           string
	client       *http.Client

	banner []string // complete when the service is ready

	mu    sync.Mutex
	trail []string
	log   bytes.Buffer
	ended chan struct{}
}

func start(t *testing.T, args ...string) *server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	s := &server{ended: make(chan struct{})}
	s.cmd = exec.CommandContext(ctx, os.Args[0], append([]string{"-https", "127.0.0.1:0", "-http", "127.0.0.1:0"}, args...)...)
	s.cmd.Env = append(os.Environ(), "HARDENED_SERVE=1")
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() { s.readOut(stdout, ready) })
	reading.Go(func() { s.readLog(stderr) })
	go func() { reading.Wait(); close(s.ended) }()
	t.Cleanup(func() { s.stop(t, syscall.SIGTERM) })
	<-ready
	if len(s.banner) == 0 {
		t.Fatalf("the service ended: %s", s.logged())
	}
	first := s.banner[0]
	urls := regexp.MustCompile(`(https?)://localhost:\d+`).FindAllString(first, -1)
	ca := regexp.MustCompile(`--cacert (\S+)`).FindStringSubmatch(strings.Join(s.banner, "\n"))
	if len(urls) != 2 || ca == nil {
		t.Fatalf("the first line is %q", first)
	}
	s.https, s.plain, s.ca = urls[0], urls[1], ca[1]
	pem, err := os.ReadFile(s.ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	s.client = &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       30 * time.Second,
	}
	t.Cleanup(s.client.CloseIdleConnections)
	return s
}

func (s *server) readOut(out io.Reader, ready chan<- struct{}) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		s.banner = append(s.banner, lines.Text())
		if strings.HasPrefix(lines.Text(), "Each request") {
			break
		}
	}
	close(ready)
	for lines.Scan() {
		if line := lines.Text(); line != "" {
			s.mu.Lock()
			s.trail = append(s.trail, line)
			s.mu.Unlock()
		}
	}
}

func (s *server) readLog(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		s.mu.Lock()
		s.log.WriteString(lines.Text() + "\n")
		s.mu.Unlock()
	}
}

func (s *server) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// stop ends the process with the signal and wants it to end well.
func (s *server) stop(t *testing.T, sig os.Signal) {
	t.Helper()
	if s.cmd.ProcessState != nil {
		return
	}
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Error(err)
	}
	<-s.ended
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("after %v the service ended with %v: %s", sig, err, s.logged())
	}
	if strings.Contains(s.logged(), "DATA RACE") {
		t.Error(s.logged())
	}
}

// A trailLine is what the tests look at in a line of the trail.
type trailLine struct {
	RequestID string `json:"request_id"`
	Client    string
	Route     string
	Status    int
	Outcome   string
	Principal *struct{ Issuer, Subject string }
	Decisions []struct {
		Layer, Effect, Reason string
		Status                int
	}
	Panic   string
	PanicAt string `json:"panic_at"`
}

// line waits for the trail's line about a request.
func (s *server) line(t *testing.T, requestID string) trailLine {
	t.Helper()
	if requestID == "" {
		t.Fatal("the response has no X-Request-Id")
	}
	for range 500 {
		s.mu.Lock()
		for _, raw := range s.trail {
			var l trailLine
			if err := json.Unmarshal([]byte(raw), &l); err != nil {
				t.Errorf("a line is no JSON: %v: %s", err, raw)
			}
			if l.RequestID == requestID {
				s.mu.Unlock()
				return l
			}
		}
		s.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("the trail has no line for %s", requestID)
	return trailLine{}
}

type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request. Headers are pairs; a body is JSON unless they say
// otherwise.
func (s *server) do(t *testing.T, method, url, body string, headers ...string) answer {
	t.Helper()
	if strings.HasPrefix(url, "/") {
		url = s.https + url
	}
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		switch headers[i] {
		case "Host":
			r.Host = headers[i+1]
		case "Content-Type":
			r.Header.Set("Content-Type", headers[i+1])
		default:
			r.Header.Add(headers[i], headers[i+1])
		}
	}
	resp, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	read, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	if got := resp.Header.Get("X-Content-Type-Options"); got != "nosniff" {
		t.Errorf("%s %s: X-Content-Type-Options = %q, want nosniff", method, url, got)
	}
	if bytes.ContainsAny(read, "<>&") {
		t.Errorf("%s %s: the answer has raw <, > or &: %s", method, url, read)
	}
	return answer{resp.StatusCode, resp.Header, string(read)}
}

// login returns the Authorization header of a demo user.
func (s *server) login(t *testing.T, name string) string {
	t.Helper()
	for _, u := range demoUsers {
		if u.name != name {
			continue
		}
		body, err := json.Marshal(map[string]string{"user": u.name, "password": u.password})
		if err != nil {
			t.Fatal(err)
		}
		return "Bearer " + s.token(t, s.do(t, http.MethodPost, "/login", string(body)))
	}
	t.Fatalf("no demo user %s", name)
	return ""
}

func (s *server) token(t *testing.T, a answer) string {
	t.Helper()
	var out struct{ Token string }
	if err := json.Unmarshal([]byte(a.body), &out); err != nil || out.Token == "" {
		t.Fatalf("status %d without a token: %s", a.status, a.body)
	}
	return out.Token
}

// TestRefusals sends what each layer is there to refuse, and wants the right
// status and a line in the trail that says who refused it, why and to whom.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := start(t)
	ann, eve := s.login(t, "ann"), s.login(t, "eve")
	expired := "Bearer " + s.token(t, s.do(t, http.MethodGet, "/expired", ""))
	_, foreignKey, err := newSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	forge := func(method jwt.SigningMethod, key any) string {
		token := jwt.NewWithClaims(method, jwt.MapClaims{
			"iss": issuerName, "aud": audience, "sub": "ann", "roles": []string{"admin"}, "exp": time.Now().Add(time.Hour).Unix(),
		})
		token.Header["kid"] = keyID
		signed, err := token.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return "Bearer " + signed
	}
	const order = `{"item":"tea","quantity":1,"note":""}`
	known := true // the trail knows the caller
	for _, tt := range []struct {
		name, method, url, body string
		headers                 []string
		status                  int
		layer, reason           string
		principal               bool
	}{
		{"missing token", "GET", "/orders", "", nil, 401, "auth", "missing", !known},
		{"expired token", "GET", "/orders", "", []string{"Authorization", expired}, 401, "auth", "expired", !known},
		{"unsigned token", "GET", "/orders", "", []string{"Authorization", forge(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType)}, 401, "auth", "algorithm", !known},
		{"foreign token", "GET", "/orders", "", []string{"Authorization", forge(jwt.SigningMethodEdDSA, foreignKey)}, 401, "auth", "signature", !known},
		{"malformed token", "GET", "/orders", "", []string{"Authorization", "Bearer nonsense"}, 401, "auth", "malformed", !known},
		{"doubled credentials", "GET", "/orders", "", []string{"Authorization", ann, "Authorization", eve}, 400, "auth", "duplicate", !known},
		{"another user's order, read", "GET", "/orders/bob-1", "", []string{"Authorization", ann}, 404, "orders", "owner", known},
		{"another user's order, change", "PUT", "/orders/bob-1", order, []string{"Authorization", ann}, 404, "orders", "owner", known},
		{"another user's order, change by an admin", "PUT", "/orders/bob-1", order, []string{"Authorization", eve}, 404, "orders", "owner", known},
		{"ordinary user on an admin route", "GET", "/admin/orders", "", []string{"Authorization", ann}, 403, "rbac", "permission", known},
		{"SQL in the path", "GET", "/orders/'%20OR%201=1--", "", []string{"Authorization", ann}, 404, "orders", "absent", known},
		{"SQL in the login", "POST", "/login", `{"user":"' OR 1=1--","password":"' OR 1=1--"}`, nil, 401, "login", "password", !known},
		{"broken JSON", "POST", "/orders", `{"item":"tea",`, []string{"Authorization", ann}, 400, "validate", "syntax", known},
		{"trailing data", "POST", "/orders", order + "{}", []string{"Authorization", ann}, 400, "validate", "trailing", known},
		{"unknown member", "POST", "/orders", `{"item":"tea","quantity":1,"note":"","price":0}`, []string{"Authorization", ann}, 422, "validate", "unknown", known},
		{"duplicate member", "POST", "/orders", `{"item":"tea","quantity":1,"quantity":2}`, []string{"Authorization", ann}, 422, "validate", "duplicate", known},
		{"wrong case", "POST", "/orders", `{"item":"tea","Quantity":1}`, []string{"Authorization", ann}, 422, "validate", "unknown", known},
		{"broken rule", "POST", "/orders", `{"item":"tea","quantity":101}`, []string{"Authorization", ann}, 422, "validate", "rule", known},
		{"too large", "POST", "/orders", `{"item":"` + strings.Repeat("x", 20<<10) + `"}`, []string{"Authorization", ann}, 413, "validate", "size", known},
		{"wrong type", "POST", "/orders", order, []string{"Authorization", ann, "Content-Type", "text/plain"}, 415, "validate", "media_type", known},
		{"compressed", "POST", "/orders", order, []string{"Authorization", ann, "Content-Encoding", "gzip"}, 415, "validate", "encoding", known},
		{"plain HTTP with credentials", "GET", s.plain + "/orders", "", []string{"Authorization", ann}, 403, "tlsredirect", "credentials", !known},
		{"plain HTTP without", "POST", s.plain + "/login", `{}`, nil, 403, "tlsredirect", "plaintext", !known},
		{"foreign host", "GET", "/orders", "", []string{"Host", "evil.example", "Authorization", ann}, 421, "tlsredirect", "host", !known},
		{"foreign host over plain HTTP", "GET", s.plain + "/", "", []string{"Host", "evil.example"}, 421, "tlsredirect", "host", !known},
		{"a route that nobody decided on", "GET", "/forgotten", "", nil, 500, "rbac", "undecided", !known},
		{"an error in a handler", "GET", "/error", "", nil, 500, "service", "error", !known},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := s.do(t, tt.method, tt.url, tt.body, tt.headers...)
			if a.status != tt.status {
				t.Errorf("status = %d, want %d: %s", a.status, tt.status, a.body)
			}
			if got := a.header.Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("Content-Type = %q, want a problem", got)
			}
			var problem struct {
				Status    int
				RequestID string `json:"request_id"`
			}
			if err := json.Unmarshal([]byte(a.body), &problem); err != nil || problem.Status != tt.status || problem.RequestID != a.header.Get("X-Request-Id") {
				t.Errorf("the problem does not tell status and request: %v %s", err, a.body)
			}
			if got := a.header.Get("WWW-Authenticate"); (got != "") != (tt.layer == "auth") || got != "" && !strings.HasPrefix(got, `Bearer realm="orders"`) {
				t.Errorf("WWW-Authenticate = %q", got)
			}
			if got := a.header.Get("Location"); got != "" {
				t.Errorf("Location = %q, want none", got)
			}
			l := s.line(t, a.header.Get("X-Request-Id"))
			last := l.Decisions[len(l.Decisions)-1]
			if last.Layer != tt.layer || last.Effect != "deny" || last.Reason != tt.reason || last.Status != tt.status || l.Status != tt.status {
				t.Errorf("the trail says %+v with status %d, want %s to deny for %s with %d", last, l.Status, tt.layer, tt.reason, tt.status)
			}
			if (l.Principal != nil) != tt.principal {
				t.Errorf("the trail's principal is %v, want one: %t", l.Principal, tt.principal)
			}
			if l.Client != "127.0.0.1" && l.Client != "::1" {
				t.Errorf("the trail's client is %q", l.Client)
			}
		})
	}
}

// TestPanic wants a 500 problem, a line that says where, and a process that
// lives.
func TestPanic(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.do(t, http.MethodGet, "/panic", "")
	if a.status != http.StatusInternalServerError || a.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("status = %d, %s, want a 500 problem", a.status, a.body)
	}
	l := s.line(t, a.header.Get("X-Request-Id"))
	if l.Outcome != "panic" || l.Status != 500 || l.Panic != "string" || !strings.Contains(l.PanicAt, "hardened_test.go") || l.Route != "/panic" {
		t.Errorf("the trail has %+v", l)
	}
	if a := s.do(t, http.MethodGet, "/healthz", ""); a.status != http.StatusOK {
		t.Errorf("status after the panic = %d, want 200", a.status)
	}
}

// TestGuesses wants the sixth guess refused, the right one included, by an
// answer that does not tell whether there is such an account, and nobody else
// locked out.
func TestGuesses(t *testing.T) {
	t.Parallel()
	s := start(t)
	wrong := s.do(t, http.MethodPost, "/login", `{"user":"ann","password":"guess"}`)
	unknown := s.do(t, http.MethodPost, "/login", `{"user":"nobody","password":"guess"}`)
	redacted := regexp.MustCompile(`"request_id":"[^"]*"`)
	if got, want := redacted.ReplaceAllString(unknown.body, ""), redacted.ReplaceAllString(wrong.body, ""); got != want || unknown.status != wrong.status {
		t.Errorf("an unknown name gets %d %s, a known one %d %s", unknown.status, got, wrong.status, want)
	}
	s.login(t, "ann") // a right password clears the count
	for i := 1; i <= 5; i++ {
		if a := s.do(t, http.MethodPost, "/login", `{"user":"ann","password":"guess"}`); a.status != http.StatusUnauthorized {
			t.Errorf("guess %d: status = %d, want 401", i, a.status)
		}
	}
	for _, password := range []string{"guess", `pa<ss>w&rd`} {
		a := s.do(t, http.MethodPost, "/login", `{"user":"ANN","password":"`+password+`"}`)
		if a.status != http.StatusTooManyRequests {
			t.Errorf("after five guesses %q: status = %d, want 429", password, a.status)
		}
		if seconds, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || seconds < 1 || seconds > 900 {
			t.Errorf("Retry-After = %q", a.header.Get("Retry-After"))
		}
		l := s.line(t, a.header.Get("X-Request-Id"))
		if last := l.Decisions[len(l.Decisions)-1]; last.Layer != "loginguard" || last.Reason != "pair" || last.Status != 429 || l.Outcome != "limited" {
			t.Errorf("the trail has %+v", l)
		}
	}
	known := s.do(t, http.MethodPost, "/login", `{"user":"ann","password":"guess"}`)
	for range 5 {
		unknown = s.do(t, http.MethodPost, "/login", `{"user":"nobody","password":"guess"}`)
	}
	if got, want := redacted.ReplaceAllString(unknown.body, ""), redacted.ReplaceAllString(known.body, ""); got != want || unknown.status != known.status {
		t.Errorf("guesses at an unknown name end with %d %s, at a known one with %d %s", unknown.status, got, known.status, want)
	}
	s.login(t, "bob")
}

// TestFlood wants 429 with Retry-After for one request too many.
func TestFlood(t *testing.T) {
	t.Parallel()
	s := start(t, "-per-address", "10 per minute")
	var a answer
	for range 11 {
		a = s.do(t, http.MethodGet, "/healthz", "")
	}
	if a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") == "" {
		t.Errorf("status = %d, Retry-After = %q, want 429 and a time", a.status, a.header.Get("Retry-After"))
	}
	l := s.line(t, a.header.Get("X-Request-Id"))
	if last := l.Decisions[len(l.Decisions)-1]; last.Layer != "ratelimit" || last.Reason != "quota" || last.Status != 429 {
		t.Errorf("the trail has %+v", l)
	}
}

// newTestService is the service without its listeners, with the demo users.
func newTestService(t *testing.T) *service {
	t.Helper()
	s, err := newService(t.Context(), config{
		database: ":memory:", trail: io.Discard, log: slog.New(slog.DiscardHandler),
		perAddress: "300-M", perUser: "120-M",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.addDemoUsers(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// tryLogin logs in from an address, and returns the status.
func (s *service) tryLogin(ctx context.Context, addr, user, password string) int {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "https://localhost/login", strings.NewReader(`{"user":"`+user+`","password":"`+password+`"}`))
	r.Header.Set("Content-Type", "application/json")
	r.RemoteAddr = addr + ":50000"
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w.Code
}

// TestGuessesFromEverywhere wants an account closed for a while to whom has
// many addresses to guess from, and not to its owner.
func TestGuessesFromEverywhere(t *testing.T) {
	t.Parallel()
	s := newTestService(t)
	const home, elsewhere, right = "192.0.2.1", "198.51.100.1", "pa<ss>w&rd"
	if got := s.tryLogin(t.Context(), home, "ann", right); got != http.StatusOK {
		t.Fatalf("status = %d, want 200", got)
	}
	for i := range 99 {
		if _, err := s.guard.Begin(t.Context(), "ann", netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})); err != nil {
			t.Fatal(err)
		}
	}
	for i, tt := range []struct {
		addr, user, password string
		want                 int
	}{
		{elsewhere, "Ann", "guess", http.StatusUnauthorized},
		{elsewhere, "Ann", "guess", http.StatusTooManyRequests},
		{elsewhere, "ann", right, http.StatusTooManyRequests},
		{home, "ann", right, http.StatusOK},
		{elsewhere, "bob", "horse battery staple", http.StatusOK},
	} {
		if got := s.tryLogin(t.Context(), tt.addr, tt.user, tt.password); got != tt.want {
			t.Errorf("try %d, after 99 guesses: status = %d, want %d", i+1, got, tt.want)
		}
	}
}

// TestSpraying wants an address closed for a while to whom tries one password
// on many accounts.
func TestSpraying(t *testing.T) {
	t.Parallel()
	s := newTestService(t)
	const from = "192.0.2.1"
	for i := range 59 {
		if _, err := s.guard.Begin(t.Context(), "user-"+strconv.Itoa(i), netip.MustParseAddr(from)); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []int{http.StatusUnauthorized, http.StatusTooManyRequests} {
		if got := s.tryLogin(t.Context(), from, "bob", "guess"); got != want {
			t.Errorf("guess %d: status = %d, want %d", 60+i, got, want)
		}
	}
}

// TestBusyLogin wants a login that was not answered for want of time not to
// count as a guess.
func TestBusyLogin(t *testing.T) {
	t.Parallel()
	s := newTestService(t)
	gone, leave := context.WithCancel(t.Context())
	leave()
	for range cap(s.passwords.slots) {
		s.passwords.slots <- struct{}{}
	}
	for range 6 {
		if got := s.tryLogin(gone, "192.0.2.1", "bob", "horse battery staple"); got != http.StatusServiceUnavailable {
			t.Errorf("status = %d, want 503", got)
		}
	}
	if got := s.tryLogin(t.Context(), "192.0.2.1", "bob", "horse battery staple"); got != http.StatusServiceUnavailable {
		t.Errorf("status after %v = %d, want 503", longestWait, got)
	}
	for range cap(s.passwords.slots) {
		<-s.passwords.slots
	}
	if got := s.tryLogin(t.Context(), "192.0.2.1", "bob", "horse battery staple"); got != http.StatusOK {
		t.Errorf("status when there is time = %d, want 200", got)
	}
}

// TestUserLimit wants the limit by user to hold, and its line to name the user.
func TestUserLimit(t *testing.T) {
	t.Parallel()
	s := start(t, "-per-user", "3 per minute")
	ann, bob := s.login(t, "ann"), s.login(t, "bob")
	var a answer
	for range 4 {
		a = s.do(t, http.MethodGet, "/orders", "", "Authorization", ann)
	}
	if a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") == "" {
		t.Errorf("status = %d, Retry-After = %q, want 429 and a time", a.status, a.header.Get("Retry-After"))
	}
	l := s.line(t, a.header.Get("X-Request-Id"))
	if last := l.Decisions[len(l.Decisions)-1]; last.Layer != "ratelimit" || last.Reason != "quota" || l.Principal == nil {
		t.Errorf("the trail has %+v", l)
	}
	if a := s.do(t, http.MethodGet, "/orders", "", "Authorization", bob); a.status != http.StatusOK {
		t.Errorf("another user: status = %d, want 200", a.status)
	}
}

// TestTokenLifetime wants a token that is good for 15 minutes.
func TestTokenLifetime(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, payload, _ := strings.Cut(s.login(t, "ann"), ".")
	payload, _, _ = strings.Cut(payload, ".")
	raw, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		t.Fatal(err)
	}
	var claims struct{ Iat, Exp int64 }
	if err := json.Unmarshal(raw, &claims); err != nil || claims.Exp-claims.Iat != 15*60 {
		t.Errorf("claims = %s, want exp 15 minutes after iat", raw)
	}
}

// TestOrders is the service's ordinary day: create, list, read, change, and
// what an admin sees.
func TestOrders(t *testing.T) {
	t.Parallel()
	s := start(t)
	ann, bob, eve := s.login(t, "ann"), s.login(t, "bob"), s.login(t, "eve")
	as := func(who string) []string { return []string{"Authorization", who} }

	created := s.do(t, http.MethodPost, "/orders", `{"item":"' OR 1=1--","quantity":2,"note":"hi <b>there</b><script>alert(1)</script> & <3"}`, as(ann)...)
	if created.status != http.StatusCreated {
		t.Fatalf("create: status = %d: %s", created.status, created.body)
	}
	place := created.header.Get("Location")
	var o order
	read := s.do(t, http.MethodGet, place, "", as(ann)...)
	if err := json.Unmarshal([]byte(read.body), &o); err != nil || read.status != http.StatusOK {
		t.Fatalf("read: status = %d, %v: %s", read.status, err, read.body)
	}
	if strings.Contains(o.Note, "script") || strings.Contains(o.Note, "<b>") || !strings.Contains(o.Note, "there") {
		t.Errorf("note = %q, want the words without the markup", o.Note)
	}
	if o.Item != "' OR 1=1--" {
		t.Errorf("item = %q, want what was sent", o.Item)
	}
	changed := s.do(t, http.MethodPut, place, `{"item":"tea","quantity":3,"note":"x<script>y</script>"}`, as(ann)...)
	if err := json.Unmarshal([]byte(changed.body), &o); err != nil || changed.status != http.StatusOK || o.Quantity != 3 || strings.Contains(o.Note, "script") {
		t.Errorf("change: status = %d, %v: %s", changed.status, err, changed.body)
	}

	count := func(who, path string) int {
		t.Helper()
		a := s.do(t, http.MethodGet, path, "", as(who)...)
		var orders []order
		if err := json.Unmarshal([]byte(a.body), &orders); err != nil || a.status != http.StatusOK {
			t.Fatalf("%s: status = %d, %v: %s", path, a.status, err, a.body)
		}
		return len(orders)
	}
	for _, tt := range []struct {
		who, path string
		want      int
	}{
		{ann, "/orders", 2},
		{bob, "/orders", 1},
		{bob, "/orders?item=tea", 1},
		{bob, "/orders?item=%27%20OR%201=1--", 0},
		{eve, "/orders", 0},
		{eve, "/admin/orders", 3},
	} {
		if got := count(tt.who, tt.path); got != tt.want {
			t.Errorf("%s lists %d orders, want %d", tt.path, got, tt.want)
		}
	}
	if a := s.do(t, http.MethodGet, place, "", as(eve)...); a.status != http.StatusOK {
		t.Errorf("an admin reads any order: status = %d, want 200", a.status)
	}
	if a := s.do(t, http.MethodGet, place, "", as(bob)...); a.status != http.StatusNotFound {
		t.Errorf("another user reads it: status = %d, want 404", a.status)
	}
	if a := s.do(t, http.MethodGet, place, "", as(ann)...); a.header.Get("Strict-Transport-Security") == "" {
		t.Error("no Strict-Transport-Security over TLS")
	}
}

// TestCanaries puts a secret everywhere a client or a program may have one and
// looks for it in all that the process says.
func TestCanaries(t *testing.T) {
	t.Parallel()
	s := start(t, "-v") // with each refusal and the trail in the log
	ann := s.login(t, "ann")
	_, foreignKey, err := newSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{"iss": secret, "aud": secret, "sub": secret, secret: secret})
	token.Header["kid"], token.Header["typ"], token.Header[secret] = secret, secret, secret
	foreign, err := token.SignedString(foreignKey)
	if err != nil {
		t.Fatal(err)
	}
	delete(token.Header, "typ")
	foreignKid, err := token.SignedString(foreignKey)
	if err != nil {
		t.Fatal(err)
	}
	odd := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"`+secret+`","`+secret+`":1,"`+secret+`":2}`)) + ".e30.AA"
	everywhere := []string{"Authorization", "Bearer " + secret, "Cookie", "session=" + secret, "X-Api-Key", secret, "Referer", "https://x/?t=" + secret}
	for _, send := range []struct {
		method, url, body string
		headers           []string
	}{
		{"GET", "/orders?token=" + secret, "", everywhere},
		{"GET", s.plain + "/orders?token=" + secret, "", everywhere},
		{"GET", "/orders?item=" + secret, "", []string{"Authorization", ann, "Cookie", secret}},
		{"GET", "/orders", "", []string{"Authorization", secret + " " + secret}},
		{"GET", "/orders", "", []string{"Authorization", "Bearer " + secret + "." + secret + "." + secret}},
		{"GET", "/orders", "", []string{"Authorization", "Bearer " + foreign}},
		{"GET", "/orders", "", []string{"Authorization", "Bearer " + foreignKid}},
		{"GET", "/orders", "", []string{"Authorization", "Bearer " + odd}},
		{"GET", "/orders", "", []string{"Host", secret + ".example"}},
		{"GET", "/nothing/" + secret, "", everywhere},
		{"POST", "/login", `{"user":"ann","password":"` + secret + `"}`, nil},
		{"POST", "/login", `{"user":"` + secret + `","password":"x"}`, nil},
		{"POST", "/login", `{"user":"ann","password":"` + secret + `",}`, nil},
		{"POST", "/login", `{"user":"ann","password":["` + secret + `"]}`, nil},
		{"POST", "/login", `{"user":"ann","password":"x","` + secret + `":1}`, nil},
		{"POST", "/login", `{"user":"ann","password":"` + strings.Repeat(secret, 20) + `"}`, nil},
		{"POST", "/login", `{"user":"ann","password":"x"}`, []string{"Content-Type", secret}},
		{"GET", "/panic?token=" + secret, "", everywhere},
		{"GET", "/error?token=" + secret, "", everywhere},
		{"GET", "/forgotten", "", everywhere},
	} {
		a := s.do(t, send.method, send.url, send.body, send.headers...)
		s.line(t, a.header.Get("X-Request-Id"))
		if a.status < 200 || strings.Contains(strings.ReplaceAll(a.body, `"pointer":"#/`+secret+`"`, ""), secret) {
			t.Errorf("%s %s: the answer %d shows the secret: %s", send.method, send.url, a.status, a.body)
		}
	}
	s.stop(t, syscall.SIGTERM)
	if all := strings.Join(s.trail, "\n"); strings.Contains(all, secret) {
		for _, l := range s.trail {
			if strings.Contains(l, secret) {
				t.Errorf("the trail shows the secret: %s", l)
			}
		}
	}
	if strings.Contains(s.logged(), secret) {
		t.Errorf("standard error shows the secret: %s", s.logged())
	}
	if !strings.Contains(s.logged(), "msg=audit") || !strings.Contains(s.logged(), "auth: refused") {
		t.Errorf("standard error lacks the trail or the refusals: %s", s.logged())
	}
	if !strings.Contains(s.logged(), "panicked") {
		t.Errorf("standard error does not tell of the panic: %s", s.logged())
	}
}

// TestPrintedLines runs each curl line that the service prints and wants the
// status that stands at its end.
func TestPrintedLines(t *testing.T) {
	t.Parallel()
	s := start(t)
	trial.Curl(t, strings.Join(s.banner, "\n"), 10)
}

// startIssuer serves an OpenID Connect issuer, and returns it with the file of
// its authority, for https.
func startIssuer(t *testing.T, scheme string) (*authtest.Issuer, string) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	issuer, err := authtest.NewIssuer(authtest.Config{URL: scheme + "://" + server.Listener.Addr().String(), Audience: []string{"shop-orders"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(issuer.Close)
	server.Config.Handler = issuer.Handler()
	t.Cleanup(server.Close)
	if scheme == "http" {
		server.Start()
		return issuer, ""
	}
	server.StartTLS()
	file := filepath.Join(t.TempDir(), "issuer.pem")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	return issuer, file
}

// TestOutsideIssuer wants tokens of an issuer that the flags name to count
// beside the service's own, each by their own keys, and an outage of the issuer
// to stop nobody else.
func TestOutsideIssuer(t *testing.T) {
	t.Parallel()
	issuer, ca := startIssuer(t, "https")
	issuer.Intercept(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	})
	s := start(
		t, "-oidc-issuer", issuer.URL(), "-oidc-audience", "shop-orders", "-oidc-roles", "realm_access.roles",
		"-oidc-ca", ca, "-oidc-allow-private", "10.1.0.0/16,127.0.0.1/32",
	)
	own := s.login(t, "ann")
	with := func(edits map[string]any) string {
		claims := map[string]any{"realm_access": map[string]any{"roles": []string{"offline_access", "customer"}}}
		maps.Copy(claims, edits)
		return "Bearer " + issuer.Token(claims)
	}

	// The issuer is down.
	a := s.do(t, http.MethodGet, "/orders", "", "Authorization", with(nil))
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("without keys: status = %d, Retry-After = %q, want 503 and a time", a.status, a.header.Get("Retry-After"))
	}
	l := s.line(t, a.header.Get("X-Request-Id"))
	if last := l.Decisions[len(l.Decisions)-1]; last.Layer != "auth" || last.Reason != "unavailable" || l.Principal != nil {
		t.Errorf("without keys the trail has %+v", l)
	}
	if a := s.do(t, http.MethodGet, "/readyz", ""); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("/readyz without keys: status = %d, Retry-After = %q, want 503 and a time", a.status, a.header.Get("Retry-After"))
	}
	if a := s.do(t, http.MethodGet, "/healthz", ""); a.status != http.StatusOK {
		t.Errorf("/healthz without keys: status = %d, want 200", a.status)
	}
	a = s.do(t, http.MethodGet, "/orders", "", "Authorization", own)
	if a.status != http.StatusOK {
		t.Errorf("a token of the service's own without the issuer's keys: status = %d, want 200", a.status)
	}
	ann := s.line(t, a.header.Get("X-Request-Id")).Principal.Subject

	// It is back.
	issuer.Intercept(nil)
	for tries := 0; s.do(t, http.MethodGet, "/readyz", "").status != http.StatusOK; tries++ {
		if tries == 100 {
			t.Fatal("/readyz does not get ready")
		}
		time.Sleep(300 * time.Millisecond)
	}
	const newOrder = `{"item":"tea","quantity":1}`
	if a = s.do(t, http.MethodPost, "/orders", newOrder, "Authorization", with(nil)); a.status != http.StatusCreated {
		t.Errorf("status = %d, want 201: %s", a.status, a.body)
	}
	if p := s.line(t, a.header.Get("X-Request-Id")).Principal; p == nil || p.Issuer != issuer.URL() || p.Subject != "alice" {
		t.Errorf("the trail has the principal %+v, want alice of %s", p, issuer.URL())
	}
	// The service's own ann is another than the issuer's, whatever both are called.
	if a := s.do(t, http.MethodGet, "/orders", "", "Authorization", with(map[string]any{"sub": ann})); a.status != http.StatusOK || strings.TrimSpace(a.body) != "[]" {
		t.Errorf("status = %d, want 200 and no order: %s", a.status, a.body)
	}

	good := with(nil)
	claims := map[string]any{"iss": issuerName, "aud": audience, "sub": ann, "roles": []string{"admin"}, "exp": time.Now().Add(time.Hour).Unix()}
	header, rest, _ := strings.Cut(good, ".")
	_, signature, _ := strings.Cut(rest, ".")
	admin := base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"` + issuer.URL() + `","aud":"shop-orders","sub":"alice","exp":9999999999,"realm_access":{"roles":["admin"]}}`))
	for _, tt := range []struct {
		name, path, token string
		status            int
		layer, reason     string
	}{
		{"for another service", "/orders", with(map[string]any{"aud": "shop-invoices"}), 401, "auth", "audience"},
		{"for this service by the name that its own tokens have", "/orders", with(map[string]any{"aud": audience}), 401, "auth", "audience"},
		{"tampered with", "/orders", header + "." + admin + "." + signature, 401, "auth", "signature"},
		{"expired", "/orders", with(map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}), 401, "auth", "expired"},
		{"of another issuer", "/orders", with(map[string]any{"iss": "https://id.example.com"}), 401, "auth", "issuer"},
		{"the service's own, by the issuer's key", "/orders", "Bearer " + issuer.Sign(nil, claims), 401, "auth", "key"},
		{"the service's own, by the issuer's key under its name", "/orders", "Bearer " + issuer.Sign(map[string]any{"kid": keyID}, claims), 401, "auth", "algorithm"},
		{"without a role", "/orders", with(map[string]any{"realm_access": nil}), 403, "rbac", "permission"},
		{"with a role where nobody looks", "/orders", with(map[string]any{"realm_access": nil, "roles": []string{"admin"}}), 403, "rbac", "permission"},
		{"on an admin route", "/admin/orders", good, 403, "rbac", "permission"},
	} {
		a := s.do(t, http.MethodGet, tt.path, "", "Authorization", tt.token)
		l := s.line(t, a.header.Get("X-Request-Id"))
		if last := l.Decisions[len(l.Decisions)-1]; a.status != tt.status || last.Layer != tt.layer || last.Effect != "deny" || last.Reason != tt.reason {
			t.Errorf("a token %s: status = %d, the trail says %+v, want %s to deny for %s with %d", tt.name, a.status, last, tt.layer, tt.reason, tt.status)
		}
	}
}

// TestOutsideIssuerNearby wants an issuer on this machine to do without a
// certificate, where the flag says so.
func TestOutsideIssuerNearby(t *testing.T) {
	t.Parallel()
	issuer, _ := startIssuer(t, "http")
	s := start(t, "-oidc-issuer", issuer.URL(), "-oidc-audience", "shop-orders", "-oidc-roles", "roles", "-oidc-insecure-loopback")
	token := "Bearer " + issuer.Token(map[string]any{"roles": []string{"customer"}})
	if a := s.do(t, http.MethodGet, "/orders", "", "Authorization", token); a.status != http.StatusOK {
		t.Errorf("status = %d, want 200: %s", a.status, a.body)
	}
}

// TestStop wants a process that ends well on either signal, with the request
// in flight answered, its line written and nothing left on disk.
func TestStop(t *testing.T) {
	t.Parallel()
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			s := start(t)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.https+"/slow", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := s.client.Do(r) // the header is there, the body is not
			if err != nil {
				t.Fatal(err)
			}
			s.stop(t, sig)
			body, err := io.ReadAll(resp.Body)
			if err = errors.Join(err, resp.Body.Close()); err != nil || string(body) != "done" {
				t.Errorf("the request in flight got %q, %v", body, err)
			}
			s.line(t, resp.Header.Get("X-Request-Id"))
			if _, err := os.Stat(s.ca); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is still there: %v", s.ca, err)
			}
		})
	}
}

// TestDatabase wants a second start with the same file to find what is there.
func TestDatabase(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "orders.db")
	for want := 2; want <= 3; want++ {
		s := start(t, "-db", file)
		ann := s.login(t, "ann")
		if a := s.do(t, http.MethodPost, "/orders", `{"item":"tea","quantity":1}`, "Authorization", ann); a.status != http.StatusCreated {
			t.Fatalf("status = %d: %s", a.status, a.body)
		}
		var orders []order
		a := s.do(t, http.MethodGet, "/orders", "", "Authorization", ann)
		if err := json.Unmarshal([]byte(a.body), &orders); err != nil || len(orders) != want {
			t.Errorf("%d orders, %v, want %d", len(orders), err, want)
		}
		s.stop(t, syscall.SIGTERM)
	}
}

// TestMistakes wants a start with wrong flags to end with what is wrong.
func TestMistakes(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	outside := func(args ...string) []string {
		return append([]string{"-oidc-issuer", "https://id.example.com", "-oidc-audience", "orders"}, args...)
	}
	for _, tt := range []struct {
		args []string
		want string // in the error
	}{
		{[]string{"-per-address", "many"}, "many"},
		{[]string{"-https", "nowhere"}, "nowhere"},
		{[]string{"-db", "/nonexistent/x"}, "unable to open"},
		{[]string{"-oidc-issuer", "https://id.example.com"}, "Audience is empty"},
		{[]string{"-oidc-audience", "orders"}, "URL is empty"},
		{[]string{"-oidc-issuer", "http://id.example.com", "-oidc-audience", "orders"}, "want https"},
		{[]string{"-oidc-issuer", "https://10.1.2.3", "-oidc-audience", "orders"}, "private"},
		{[]string{"-oidc-issuer", "https://10.1.2.3", "-oidc-audience", "orders", "-oidc-allow-private", "10.2.0.0/16"}, "private"},
		{[]string{"-oidc-issuer", "https://localhost", "-oidc-audience", "orders"}, "on this machine"},
		{[]string{"-oidc-issuer", "http://localhost", "-oidc-audience", "orders"}, "want https"},
		{outside("-oidc-allow-private", "here"), "-oidc-allow-private"},
		{outside("-oidc-roles", "realm_access..roles"), "RolesClaim"},
		{outside("-oidc-ca", "/nonexistent/ca.pem"), "-oidc-ca"},
		{outside("-oidc-ca", empty), "-oidc-ca: no certificate"},
		{[]string{"-redis", "127.0.0.1:1"}, "belong together"},
		{newLoginSecret(t), "belong together"},
		{[]string{"-redis", "127.0.0.1:1", "-login-secret", "/nonexistent/secret"}, "/nonexistent/secret"},
		{append(loginSecret(t, "!"), "-redis", "127.0.0.1:1"), "not base64"},
		{append(loginSecret(t, "c2hvcnQ="), "-redis", "127.0.0.1:1"), "Secret has 5 bytes"},
	} {
		args := append([]string{"-https", "127.0.0.1:0", "-http", "127.0.0.1:0"}, tt.args...)
		var out, errout bytes.Buffer
		if err := run(t.Context(), args, &out, &errout, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: error = %v, want one with %q", tt.args, err, tt.want)
		}
	}
}

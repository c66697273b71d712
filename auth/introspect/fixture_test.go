package introspect_test

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/introspect"
	"github.com/gatehouse-go/gatehouse/auth/principal"
)

const (
	issuerURL = "https://id.example.com"
	service   = "orders"
	endpoint  = "http://127.0.0.1/introspect"
	opaque    = "2YotnFZFEjr1zCsicMWpAA"
)

// object is a JSON object.
type object map[string]any

// with returns a copy of o with the members of edits; nil removes one.
func (o object) with(edits object) object {
	c := object{}
	for _, m := range []object{o, edits} {
		for name, value := range m {
			if c[name] = value; value == nil {
				delete(c, name)
			}
		}
	}
	return c
}

// in is a date, so many seconds from when it is encoded.
type in int

func (n in) MarshalJSON() ([]byte, error) { return json.Marshal(time.Now().Unix() + int64(n)) }

func (o object) json() string {
	b, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// good is what the endpoint says of a valid token, issued at that moment.
func good() object {
	return object{
		"active": true, "iss": issuerURL, "sub": "alice", "aud": service, "client_id": "web", "jti": "token-1",
		"iat": in(0), "nbf": in(0), "exp": in(3600), "scope": "orders:read orders:write", "token_type": "Bearer", "username": "al",
	}
}

// A server is an authorization server on a network in memory, of which nothing
// but the introspection endpoint is there. It works in bubbles of synctest.
type server struct {
	answer http.HandlerFunc

	mu     sync.Mutex
	asked  map[string]int // by token
	dialed int

	conns    chan net.Conn
	done     chan struct{}
	once     sync.Once
	handlers sync.WaitGroup
}

// newServer returns a server that answers every question with answer.
func newServer(tb testing.TB, answer http.HandlerFunc) *server {
	tb.Helper()
	s := &server{answer: answer, asked: make(map[string]int), conns: make(chan net.Conn), done: make(chan struct{})}
	h := &http.Server{Handler: s, ErrorLog: log.New(io.Discard, "", 0)}
	s.handlers.Go(func() { _ = h.Serve(s) })
	tb.Cleanup(func() {
		_ = h.Close()
		s.handlers.Wait()
	})
	return s
}

// says answers every question with the status and the body.
func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// saying answers every question with v, encoded at that moment.
func saying(v any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		says(http.StatusOK, string(b))(w, r)
	}
}

// knows answers as an authorization server does that knows these tokens.
func knows(tokens map[string]object) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		o, ok := tokens[r.PostFormValue("token")]
		if !ok {
			o = object{"active": false}
		}
		says(http.StatusOK, o.json())(w, r)
	}
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.handlers.Add(1)
	defer s.handlers.Done()
	token := r.PostFormValue("token")
	s.mu.Lock()
	s.asked[token]++
	answer := s.answer
	s.mu.Unlock()
	answer(w, r)
}

func (s *server) set(answer http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// count is how often the server was asked about a token, about any if it is "".
func (s *server) count(token string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if token != "" {
		return s.asked[token]
	}
	n := 0
	for _, times := range s.asked {
		n += times
	}
	return n
}

func (s *server) dials() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dialed
}

func (s *server) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.done:
		return nil, net.ErrClosed
	}
}

type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }

func (s *server) Addr() net.Addr { return address("127.0.0.1:80") }

func (s *server) Close() error {
	s.once.Do(func() { close(s.done) })
	return nil
}

type named struct{ net.Conn }

func (named) RemoteAddr() net.Addr { return address("127.0.0.1:80") }

// client reaches the server and nothing else.
func (s *server) client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		s.mu.Lock()
		s.dialed++
		s.mu.Unlock()
		near, far := net.Pipe()
		select {
		case s.conns <- far:
			return named{near}, nil
		case <-s.done:
			return nil, net.ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}}
}

// config is the usual Config for the server.
func (s *server) config() introspect.Config {
	return introspect.Config{
		Endpoint: endpoint, Issuer: issuerURL, Audience: []string{service},
		Credentials: introspect.ClientSecret("orders-api", "s3cr3t"),
		HTTPClient:  s.client(), InsecureAllowLoopback: true,
	}
}

func newIntrospector(tb testing.TB, cfg introspect.Config) *introspect.Introspector {
	tb.Helper()
	i, err := introspect.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := i.Close(); err != nil {
			tb.Error(err)
		}
	})
	return i
}

// A house is a handler behind a Gate, and what the Gate decided last.
type house struct {
	http.Handler

	mu     sync.Mutex
	last   decision.Decision
	caller *principal.Principal
}

func newHouse(tb testing.TB, authenticators ...auth.Authenticator) *house {
	tb.Helper()
	h := new(house)
	g, err := auth.New(auth.Config{
		Authenticators: authenticators,
		OnDecision: func(_ context.Context, d decision.Decision) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.last = d
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	h.Handler = g.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		p, _ := principal.FromContext(r.Context())
		h.mu.Lock()
		defer h.mu.Unlock()
		h.caller = p
	}))
	return h
}

func request(authorization string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "https://api.example.com/orders", http.NoBody)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return r
}

// get sends a request with a bearer token and returns the answer.
func (h *house) get(token string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request("Bearer "+token))
	return w
}

// reason is that of the last decision.
func (h *house) reason() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last.Reason
}

func (h *house) detail() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last.Detail
}

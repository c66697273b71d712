package audit_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/gatehouse-go/gatehouse/audit"
	"github.com/gatehouse-go/gatehouse/audit/decision"
)

// printed is a Sink that prints what is the same in every run of an example.
type printed struct{}

func (printed) Write(_ context.Context, b audit.Batch) error {
	for _, e := range b.Events {
		if r := e.Request; r != nil {
			fmt.Println(e.Seq, r.Method, r.Route, r.Status, e.Outcome)
		} else {
			fmt.Println(e.Seq, e.Type, e.Outcome, e.Attrs)
		}
	}
	return nil
}

func (printed) Close() error { return nil }

func Example() {
	trail, err := audit.New(audit.Config{Sinks: []audit.Sink{printed{}}}) // audit.Writer(file) in a service
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("order 7")) })
	mux.HandleFunc("GET /crash", func(http.ResponseWriter, *http.Request) { panic("a secret") })
	h := trail.Handler(mux)
	for _, path := range []string{"/orders/7", "/crash", "/nowhere"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	}
	if err := trail.Close(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 0 GET /orders/{id} 200 ok
	// 1 GET /crash 500 panic
	// 2 GET  404 not_found
}

// A line is one object on one line, whatever a client sent.
func ExampleWriter() {
	sink := audit.Writer(os.Stdout)
	_ = sink.Write(context.Background(), audit.Batch{Lines: [][]byte{audit.AppendLine(nil, &audit.Event{
		Time: time.Date(2026, 11, 22, 22, 4, 5, 0, time.UTC), Type: "login", Outcome: audit.Denied,
		Attrs: map[string]string{"user": "ann\n{\"type\":\"login\"}\u202e"},
	})}})
	// Output:
	// {"seq":0,"time":"2026-11-22T22:04:05.000000Z","type":"login","outcome":"denied","attrs":{"user":"ann\u000a{\"type\":\"login\"}\u202e"}}
}

// Record is for what the service itself knows: here, a login.
func ExampleTrail_Record() {
	trail, err := audit.New(audit.Config{Sinks: []audit.Sink{printed{}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	login := trail.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = trail.Record(r.Context(), audit.Event{Type: "login", Outcome: audit.Denied, Attrs: map[string]string{"user": "ann"}})
		w.WriteHeader(http.StatusUnauthorized)
	}))
	login.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/login", nil))
	if err := trail.Close(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 0 login denied map[user:ann]
	// 1 POST  401 denied
}

// RouteFunc is for routers that keep the pattern in their own place.
func ExampleRouteFunc() {
	trail, err := audit.New(audit.Config{Sinks: []audit.Sink{printed{}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	route := audit.RouteFunc(func(*http.Request) string { return "/orders/{id}" }) // mux.CurrentRoute(r).GetPathTemplate()
	h := trail.Handler(route(http.NotFoundHandler()))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/orders/7", nil))
	if err := trail.Close(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 0 GET /orders/{id} 404 not_found
}

// The trail is as clean as what it is told. A rejected password is nobody's
// business, and neither is somebody else's error: it may quote anything.
func ExampleTrail_Record_incorrect() {
	trail, err := audit.New(audit.Config{Sinks: []audit.Sink{printed{}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, parseErr := time.Parse(time.DateOnly, "hunter2")
	ctx := decision.NewContext(context.Background(), decision.NewRecord("ID42"))
	_ = trail.Record(ctx, audit.Event{Type: "input", Attrs: map[string]string{"error": parseErr.Error()}}) // incorrect
	_ = trail.Record(ctx, audit.Event{Type: "input", Attrs: map[string]string{"error": strings.TrimPrefix(fmt.Sprintf("%T", parseErr), "*")}})
	if err := trail.Close(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 0 input  map[error:parsing time "hunter2" as "2006-01-02": cannot parse "hunter2" as "2006"]
	// 1 input  map[error:time.ParseError]
}

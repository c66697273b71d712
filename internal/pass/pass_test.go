package pass_test

import (
	"bytes"
	"context"
	"errors"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/internal/pass"
)

type contextKey struct{}

// hand is how a middleware hands r on.
type hand = func(next http.Handler, w http.ResponseWriter, r *http.Request)

var hands = map[string]hand{
	"With": func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		pass.With(context.WithValue(r.Context(), contextKey{}, true), next, w, r)
	},
	"On": pass.On,
}

func recorded(method, target string) (*http.Request, *decision.Record) {
	r := httptest.NewRequest(method, target, nil)
	record := decision.NewRecord("id")
	return r.WithContext(decision.NewContext(r.Context(), record)), record
}

// TestPattern holds that an outer middleware sees the pattern that a ServeMux
// further in matched, which is lost when a middleware in between clones the
// request and does not copy it back.
func TestPattern(t *testing.T) {
	t.Parallel()
	for name, hand := range hands {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mux := http.NewServeMux()
			mux.HandleFunc("GET /orders/{id}", func(http.ResponseWriter, *http.Request) {})
			mux.HandleFunc("GET /panic/{id}", func(http.ResponseWriter, *http.Request) { panic("test") })
			for target, want := range map[string][2]string{
				"/orders/1": {"GET /orders/{id}", "/orders/{id}"},
				"/panic/1":  {"GET /panic/{id}", "/panic/{id}"},
				"/nowhere":  {"", ""},
			} {
				r, record := recorded(http.MethodGet, target)
				func() {
					defer func() { _ = recover() }()
					hand(mux, httptest.NewRecorder(), r)
				}()
				if r.Pattern != want[0] {
					t.Errorf("%s: Pattern = %q, want %q", target, r.Pattern, want[0])
				}
				if got := record.Seal().Route; got != want[1] {
					t.Errorf("%s: route = %q, want %q", target, got, want[1])
				}
			}
		})
	}
}

// TestPatternOfOuterRouter: a pattern that is there already is not erased by
// an inner handler that has none.
func TestPatternOfOuterRouter(t *testing.T) {
	t.Parallel()
	for name, hand := range hands {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, record := recorded(http.MethodGet, "/orders/1")
			r.Pattern = "/orders/{id}"
			hand(http.NotFoundHandler(), httptest.NewRecorder(), r)
			if got := record.Seal().Route; r.Pattern != "/orders/{id}" || got != "/orders/{id}" {
				t.Errorf("Pattern = %q, route %q; want both /orders/{id}", r.Pattern, got)
			}
		})
	}
}

// TestPanicPassesOn: handing on is not recovering.
func TestPanicPassesOn(t *testing.T) {
	t.Parallel()
	for name, hand := range hands {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
					t.Errorf("recovered %v, want ErrAbortHandler", err)
				}
			}()
			hand(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
				httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		})
	}
}

// TestMultipartForm: net/http removes the files of the form that it finds in
// the request which it made.
func TestMultipartForm(t *testing.T) {
	t.Parallel()
	var body bytes.Buffer
	mw := multipart.NewWriter(&body)
	if err := mw.WriteField("a", "1"); err != nil {
		t.Fatal(err)
	}
	if err := mw.Close(); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/", &body)
	r.Header.Set("Content-Type", mw.FormDataContentType())
	ctx := context.WithValue(r.Context(), contextKey{}, true)
	pass.With(ctx, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Context().Value(contextKey{}) != true {
			t.Error("the handler's request does not have the new context")
		}
		if err := r.ParseMultipartForm(1 << 10); err != nil {
			t.Error(err)
		}
	}), httptest.NewRecorder(), r)
	if r.MultipartForm == nil || len(r.MultipartForm.Value["a"]) != 1 {
		t.Errorf("MultipartForm = %+v, want the handler's", r.MultipartForm)
	}
	if r.Context() == ctx {
		t.Error("the outer request's context was changed")
	}
}

func BenchmarkOn(b *testing.B) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	w := httptest.NewRecorder()
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	b.ReportAllocs()
	for b.Loop() {
		pass.On(next, w, r)
	}
}

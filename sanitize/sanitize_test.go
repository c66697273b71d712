package sanitize_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/sanitize"
)

var _ func(http.Handler) http.Handler = (*sanitize.Sanitizer)(nil).Handler

func TestNew(t *testing.T) {
	t.Parallel()
	if _, err := sanitize.New(sanitize.Config{}); err != nil {
		t.Errorf("New of the zero Config: %v", err)
	}
	_, err := sanitize.New(sanitize.Config{
		Fields: map[string]sanitize.Policy{
			"note": sanitize.Plain, "/a~2": sanitize.Plain, "/b~": sanitize.Plain, "/c": nil, "/d/": sanitize.Plain, "": sanitize.UGC,
		},
		MaxBytes: -1,
	})
	want := `sanitize: Fields["/a~2"] is no JSON pointer, want one such as "/items/*/note"
sanitize: Fields["/b~"] is no JSON pointer, want one such as "/items/*/note"
sanitize: Fields["/c"] is nil, want a Policy
sanitize: Fields["note"] is no JSON pointer, want one such as "/items/*/note"
sanitize: MaxBytes is -1, want 0 or more`
	if err == nil || err.Error() != want {
		t.Errorf("New = %v, want\n%s", err, want)
	}
}

func TestNewCopiesFields(t *testing.T) {
	t.Parallel()
	fields := map[string]sanitize.Policy{"/note": sanitize.Plain}
	s := newSanitizer(t, sanitize.Config{Fields: fields})
	fields["/title"] = sanitize.Plain
	if err := s.CheckJSON([]byte(`{"title":"<b>"}`)); err == nil {
		t.Error("CheckJSON = nil, want an error: Fields was changed after New")
	}
}

func TestHandlerOfNil(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("Handler of nil did not panic")
		}
	}()
	(*sanitize.Sanitizer)(nil).Handler(http.NotFoundHandler())
}

// echo answers with the body that it got.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "broken", http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(b)
})

func post(s *sanitize.Sanitizer, contentType, body string, edit func(r *http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/orders", strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	if edit != nil {
		edit(r)
	}
	w := httptest.NewRecorder()
	s.Handler(echo).ServeHTTP(w, r)
	return w
}

func answered(tb testing.TB, w *httptest.ResponseRecorder) []sanitize.Fault {
	tb.Helper()
	var p struct {
		Errors []sanitize.Fault `json:"errors"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		tb.Fatalf("%v in %q", err, w.Body)
	}
	return p.Errors
}

func chunked(r *http.Request) { r.ContentLength = -1 }

func TestHandler(t *testing.T) {
	t.Parallel()
	s := newSanitizer(t, sanitize.Config{MaxBytes: 100, Fields: map[string]sanitize.Policy{"/password": sanitize.Plain}})
	json100 := `{"a":"` + strings.Repeat("x", 92) + `"}`
	for _, tt := range []struct {
		name        string
		contentType string
		body        string
		edit        func(r *http.Request)
		want        int
	}{
		{"clean", "application/json", `{"note":"hi"}`, nil, 200},
		{"clean, chunked", "application/json", `{"note":"hi"}`, chunked, 200},
		{"charset", `application/json; charset="UTF-8"`, `{}`, nil, 200},
		{"upper case", "Application/JSON", `{}`, nil, 200},
		{"suffix", "application/merge-patch+json", `{}`, nil, 200},
		{"password with markup", "application/json", `{"password":"pa<ss>w&rd"}`, nil, 200},
		{"identity", "application/json", `{}`, func(r *http.Request) { r.Header.Set("Content-Encoding", "identity") }, 200},
		{"GET with a body", "application/json", `{"a":"<b>"}`, func(r *http.Request) { r.Method = http.MethodGet }, 422},
		{"markup", "application/json", `{"note":"<b>"}`, nil, 422},
		{"markup, suffix", "application/problem+json", `{"note":"<b>"}`, nil, 422},
		{"twice", "application/json", `{"a":1,"a":1}`, nil, 422},
		{"cut off", "application/json", `{"a":`, nil, 400},
		{"blank", "application/json", ` `, nil, 400},
		{"too deep", "application/json", strings.Repeat("[", 70), nil, 400},
		{"as large as allowed", "application/json", json100, nil, 200},
		{"too large", "application/json", json100 + " ", nil, 413},
		{"as large as allowed, chunked", "application/json", json100, chunked, 200},
		{"too large, chunked", "application/json", json100 + " ", chunked, 413},
		{"no type", "", `{}`, func(r *http.Request) { r.Header.Del("Content-Type") }, 415},
		{"form", "application/x-www-form-urlencoded", `note=<b>`, nil, 415},
		{"text", "text/plain", `{"note":"<b>"}`, nil, 415},
		{"text, chunked", "text/plain", `{"note":"<b>"}`, chunked, 415},
		{"JSON lines", "application/x-ndjson", `{}`, nil, 415},
		{"other tree", "text/x+json", `{}`, nil, 415},
		{"suffix alone", "application/+json", `{}`, nil, 415},
		{"malformed type", "application/json; charset", `{}`, nil, 415},
		{"two types in one", "application/json, text/html", `{}`, nil, 415},
		{"two types", "application/json", `{}`, func(r *http.Request) { r.Header.Add("Content-Type", "text/html") }, 415},
		{"UTF-16", "application/json; charset=utf-16", `{}`, nil, 415},
		{"UTF-7", "application/json; charset=utf-7", `{"a":"+ADw-"}`, nil, 415},
		{"compressed", "application/json", `{}`, func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, 415},
		{"compressed among others", "application/json", `{}`, func(r *http.Request) { r.Header["Content-Encoding"] = []string{"identity", "br"} }, 415},
		{"no body", "", "", nil, 200},
		{"no body, of any type", "text/html", "", nil, 200},
		{"no body, chunked", "text/html", "", chunked, 200},
		{"no body, JSON, chunked", "application/json", "", chunked, 200},
		{"http.NoBody", "text/html", "", func(r *http.Request) { r.Body = http.NoBody; r.ContentLength = -1 }, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := post(s, tt.contentType, tt.body, tt.edit)
			if w.Code != tt.want {
				t.Fatalf("status = %d, want %d: %s", w.Code, tt.want, w.Body)
			}
			if tt.want == http.StatusOK {
				if got := w.Body.String(); got != tt.body {
					t.Errorf("the next handler read %q, want %q", got, tt.body)
				}
				return
			}
			if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("Content-Type = %q, want application/problem+json", got)
			}
			var p struct{ Status int }
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != tt.want {
				t.Errorf("the problem is %s, want status %d", w.Body, tt.want)
			}
		})
	}
}

var errBroken = errors.New("canary-7f3a")

type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, errBroken }
func (brokenBody) Close() error             { return nil }

func TestBodyThatCannotBeRead(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := newSanitizer(t, sanitize.Config{
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if !errors.Is(err, errBroken) {
				t.Errorf("ErrorHandler got %v, want the cause in it", err)
			}
			sanitize.WriteError(w, r, err)
		},
	})
	w := post(s, "application/json", "{}", func(r *http.Request) { r.Body = brokenBody{} })
	if w.Code != http.StatusBadRequest {
		t.Errorf("status = %d, want 400", w.Code)
	}
	if all := w.Body.String() + log.String(); strings.Contains(all, "canary") {
		t.Errorf("the error's text is told: %s", all)
	}
}

// TestBodyIsByteIdentical covers bodies that decoding and encoding would
// change: order, numbers, escapes, spaces. A signature over them still holds.
func TestBodyIsByteIdentical(t *testing.T) {
	t.Parallel()
	s := newSanitizer(t, sanitize.Config{Fields: map[string]sanitize.Policy{"/x": sanitize.UGC}})
	key := []byte("the key of the webhook")
	sign := func(b []byte) []byte {
		m := hmac.New(sha256.New, key)
		m.Write(b)
		return m.Sum(nil)
	}
	verify := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil || !hmac.Equal(sign(b), []byte(r.Header.Get("X-Signature"))) {
			w.WriteHeader(http.StatusForbidden)
		}
		if err := r.Body.Close(); err != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	for _, body := range []string{
		`{"z":1,"a":2}`,
		`{"n":[1e400,1E+2,-0,0.10,123456789012345678901234567890]}`,
		`{"s":"\u00e9\/\"\\ \ud83d\ude00 O'Reilly & <3"}`,
		" {\t\"a\" :\r\n[ ] } \n",
		"{\"x\":\"<b>a</b>\",\"y\":\"می\u200cخواهم\"}",
		`"` + strings.Repeat("long enough to come in pieces ", 10_000) + `"`,
	} {
		r := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Signature", string(sign([]byte(body))))
		w := httptest.NewRecorder()
		s.Handler(verify).ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Errorf("status = %d for %.80q, want 200", w.Code, body)
		}
	}
}

// TestRefusal shows that an answer names places and never values, and that it
// does the same in the log, the hook and the audit trail.
func TestRefusal(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	var hook []decision.Decision
	s := newSanitizer(t, sanitize.Config{
		Logger:     slog.New(slog.NewTextHandler(&log, nil)),
		OnDecision: func(_ context.Context, d decision.Decision) { hook = append(hook, d) },
	})
	const body = `{"note":"<b>canary-7f3a</b>","items":[{"note":"ok"},{"note":"\u202ecanary-7f3a"}]}`
	record := decision.NewRecord("r1")
	w := post(s, "application/json", body, func(r *http.Request) {
		*r = *r.WithContext(decision.NewContext(r.Context(), record))
	})
	want := `{"type":"about:blank","title":"Unprocessable Entity","status":422,` +
		`"detail":"The body holds what this resource does not accept.","request_id":"r1","errors":[` +
		`{"pointer":"#/note","code":"markup","detail":"Must not hold markup."},` +
		`{"pointer":"#/items/1/note","code":"control","detail":"Must not hold control characters or direction overrides."}]}` + "\n"
	if got := w.Body.String(); got != want {
		t.Errorf("answer = %s\nwant     %s", got, want)
	}
	d := decision.Decision{
		Layer: "sanitize", Effect: decision.Deny, Reason: sanitize.ReasonUnclean,
		Detail: "markup at #/* and 1 more", Status: http.StatusUnprocessableEntity,
	}
	if got := record.Seal().Decisions; !slices.Equal(got, []decision.Decision{d}) {
		t.Errorf("record = %+v, want %+v", got, d)
	}
	if !slices.Equal(hook, []decision.Decision{d}) {
		t.Errorf("hook = %+v, want %+v", hook, d)
	}
	for _, part := range []string{"reason=unclean", "status=422", "#/*", "set Fields"} {
		if !strings.Contains(log.String(), part) {
			t.Errorf("the log lacks %q: %s", part, &log)
		}
	}
	if strings.Contains(log.String(), "canary") {
		t.Errorf("the log tells a value: %s", &log)
	}
}

func TestDecisions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, contentType, body string
		edit                    func(r *http.Request)
		want                    decision.Decision
	}{
		{"clean", "application/json", `{}`, nil, decision.Decision{Effect: decision.Allow, Reason: "clean"}},
		{"no body", "", "", nil, decision.Decision{Effect: decision.Allow, Reason: "no_body"}},
		{"type", "text/csv", "a", nil, decision.Decision{Reason: "media_type", Detail: "Content-Type is not JSON", Status: 415}},
		{"charset", "application/json; charset=latin1", "{}", nil, decision.Decision{Reason: "media_type", Detail: "charset is not UTF-8", Status: 415}},
		{"encoding", "application/json", "{}", func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, decision.Decision{Reason: "encoding", Detail: "the body is compressed", Status: 415}},
		{"announced too large", "application/json", "[1,2,3,4,5,6,7]", nil, decision.Decision{Reason: "size", Detail: "15 bytes, limit is 11", Status: 413}},
		{"too large", "application/json", "[1,2,3,4,5,6,7]", chunked, decision.Decision{Reason: "size", Detail: "more than 11 bytes", Status: 413}},
		{"unreadable", "application/json", "{}", func(r *http.Request) { r.Body = brokenBody{} }, decision.Decision{Reason: "read", Detail: "*errors.errorString", Status: 400}},
		{"syntax", "application/json", `{"a":x}`, nil, decision.Decision{Reason: "syntax", Detail: "at byte 5", Status: 400}},
		{"duplicate", "application/json", `{"":1,"":`, nil, decision.Decision{Reason: "duplicate", Detail: "duplicate at #/*", Status: 422}},
		{"name, which is not told", "application/json", `{"<b>":1}`, nil, decision.Decision{Reason: "unclean", Detail: "name at #/*", Status: 422}},
		{"name further in", "application/json", `[{"<b>":1}]`, nil, decision.Decision{Reason: "unclean", Detail: "name at #/*/*", Status: 422}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []decision.Decision
			s := newSanitizer(t, sanitize.Config{MaxBytes: 11, OnDecision: func(_ context.Context, d decision.Decision) { got = append(got, d) }})
			post(s, tt.contentType, tt.body, tt.edit)
			tt.want.Layer = "sanitize"
			if !slices.Equal(got, []decision.Decision{tt.want}) {
				t.Errorf("decisions = %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestErrorHandler(t *testing.T) {
	t.Parallel()
	var got error
	var encoding, accept string
	s := newSanitizer(t, sanitize.Config{ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
		got = err
		encoding, accept = w.Header().Get("Accept-Encoding"), w.Header().Get("Accept")
		sanitize.WriteError(w, r, err)
	}})
	post(s, "application/json", "{}", func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") })
	if e, ok := errors.AsType[*sanitize.Error](got); !ok || e.Reason != sanitize.ReasonEncoding || encoding != "identity" {
		t.Errorf("ErrorHandler got %v with Accept-Encoding %q, want %s with identity", got, encoding, sanitize.ReasonEncoding)
	}
	post(s, "text/html", "{}", nil)
	if e, ok := errors.AsType[*sanitize.Error](got); !ok || e.Reason != sanitize.ReasonMediaType || accept != "application/json" {
		t.Errorf("ErrorHandler got %v with Accept %q, want %s with application/json", got, accept, sanitize.ReasonMediaType)
	}
	if got, want := got.Error(), "sanitize: media_type: Content-Type is not JSON"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
}

func TestWriteErrorOfOthers(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	sanitize.WriteError(w, httptest.NewRequest(http.MethodGet, "/", nil), errors.New("canary-7f3a"))
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "canary") {
		t.Errorf("answer = %d %s, want 500 without the error's text", w.Code, w.Body)
	}
}

// TestRouteGetsOut shows that layers further out learn the route that a mux
// further in has chosen.
func TestRouteGetsOut(t *testing.T) {
	t.Parallel()
	s := newSanitizer(t, sanitize.Config{})
	mux := http.NewServeMux()
	mux.Handle("POST /orders", echo)
	record := decision.NewRecord("r1")
	r := httptest.NewRequest(http.MethodPost, "/orders", strings.NewReader("{}"))
	r = r.WithContext(decision.NewContext(r.Context(), record))
	r.Header.Set("Content-Type", "application/json")
	s.Handler(mux).ServeHTTP(httptest.NewRecorder(), r)
	if got := record.Seal().Route; got != "/orders" {
		t.Errorf("route = %q, want /orders", got)
	}
}

// TestOverTheWire closes the connection on a body that is too large, as
// net/http does only if the limit is set on its own writer.
func TestOverTheWire(t *testing.T) {
	t.Parallel()
	s := newSanitizer(t, sanitize.Config{MaxBytes: 1000})
	inner := s.Handler(echo)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(wrapped{w}, r)
	}))
	defer srv.Close()
	for _, tt := range []struct {
		name  string
		body  string
		want  int
		close bool
	}{
		{"fits", `"` + strings.Repeat("x", 900) + `"`, http.StatusOK, false},
		{"too large", `"` + strings.Repeat("x", 2000) + `"`, http.StatusRequestEntityTooLarge, true},
	} {
		req, err := http.NewRequest(http.MethodPost, srv.URL, io.MultiReader(strings.NewReader(tt.body)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != tt.want || res.Close != tt.close {
			t.Errorf("%s: status %d, close %v, want %d, %v", tt.name, res.StatusCode, res.Close, tt.want, tt.close)
		}
	}
}

type wrapped struct{ http.ResponseWriter }

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

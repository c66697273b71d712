package validate_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/validate"
)

var _ func(http.Handler) http.Handler = (*validate.Validator)(nil).Handler

type item struct {
	SKU string `json:"sku" validate:"required,min=3"`
	Qty int8   `json:"qty" validate:"min=1,max=100"`
}

type order struct {
	Customer string            `json:"customer" validate:"required,min=3,max=50"`
	Email    string            `json:"email" validate:"omitempty,email"`
	Items    []item            `json:"items" validate:"min=1,max=50,dive"`
	Labels   map[string]string `json:"labels" validate:"dive,keys,min=2,endkeys,max=10"`
	Notes    any               `json:"notes"`
}

const validOrder = `{"customer":"alice","email":"a@example.com","items":[{"sku":"abc","qty":2}],"labels":{"eu":"yes"}}`

func newValidator(tb testing.TB, cfg validate.Config) *validate.Validator {
	tb.Helper()
	v, err := validate.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func request(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/orders", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func noContent(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

type answer struct {
	Status    int              `json:"status"`
	Detail    string           `json:"detail"`
	Errors    []validate.Fault `json:"errors"`
	Truncated bool             `json:"truncated"`
}

// parse reads a problem and checks what every one of them must be.
func parse(tb testing.TB, w *httptest.ResponseRecorder) answer {
	tb.Helper()
	if n := w.Body.Len(); n > 16<<10 {
		tb.Errorf("answer has %d bytes, want at most 16 KiB", n)
	}
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		tb.Errorf("Content-Type = %q", got)
	}
	var a answer
	dec := json.NewDecoder(bytes.NewReader(w.Body.Bytes()))
	if err := dec.Decode(&a); err != nil {
		tb.Fatalf("answer %.200q: %v", w.Body, err)
	}
	if a.Status != w.Code {
		tb.Errorf("status member = %d, want %d", a.Status, w.Code)
	}
	return a
}

// faults renders what an answer lists as "pointer code".
func faults(a answer) []string {
	list := make([]string, 0, len(a.Errors))
	for _, f := range a.Errors {
		list = append(list, f.Pointer+" "+f.Code)
	}
	return list
}

// TestBehaviour is the table of bodies on which Go's decoders differ. Each
// must get one answer, from Body over HTTP.
func TestBehaviour(t *testing.T) {
	t.Parallel()
	v := newValidator(t, validate.Config{})
	server := httptest.NewServer(validate.Body[order](v)(http.HandlerFunc(noContent)))
	t.Cleanup(server.Close)
	const canary = "c4n4ry"
	for _, tt := range []struct {
		name string
		body string
		want int
		list string
	}{
		{"valid", validOrder, 204, ""},
		{"whitespace around", " \r\n\t" + validOrder + "\n", 204, ""},
		{"null is as good as absent", `{"customer":"alice","email":null,"items":[{"sku":"abc","qty":2}],"labels":null}`, 204, ""},

		{"unknown member", `{"customer":"alice","items":[{"sku":"abc","qty":2}],"admin":"` + canary + `"}`, 422, "#/admin unknown"},
		{"unknown member, deep", `{"customer":"alice","items":[{"sku":"abc","qty":2,"price":1}]}`, 422, "#/items/0/price unknown"},
		{"duplicate member", `{"customer":"alice","customer":"` + canary + `","items":[{"sku":"abc","qty":2}]}`, 422, "#/customer duplicate"},
		{"duplicate member, escaped", `{"customer":"alice","\u0063ustomer":"mallory","items":[{"sku":"abc","qty":2}]}`, 422, "#/customer duplicate"},
		{"duplicate member of a map", `{"customer":"alice","items":[{"sku":"abc","qty":2}],"labels":{"eu":"a","eu":"b","eu":"c"}}`, 422, "#/labels/eu duplicate"},
		{"duplicate member in an any", `{"customer":"alice","items":[{"sku":"abc","qty":2}],"notes":[{"x":{"a":1,"a":2}}]}`, 422, "#/notes/0/x/a duplicate"},
		{"wrong case", `{"Customer":"alice","items":[{"sku":"abc","qty":2}]}`, 422, "#/Customer unknown|#/customer required"},
		{"wrong case beside the right one", `{"customer":"alice","items":[{"sku":"abc","qty":2,"QTY":99}]}`, 422, "#/items/0/QTY unknown"},
		{"wrong type", `{"customer":7,"items":[{"sku":"abc","qty":2}]}`, 422, "#/customer type"},
		{"no coercion", `{"customer":"alice","items":[{"sku":"abc","qty":"2"}]}`, 422, "#/items/0/qty type"},
		{"fraction for a whole number", `{"customer":"alice","items":[{"sku":"abc","qty":2.5}]}`, 422, "#/items/0/qty type"},
		{"exponent for a whole number", `{"customer":"alice","items":[{"sku":"abc","qty":1e0}]}`, 422, "#/items/0/qty type"},
		{"overflow", `{"customer":"alice","items":[{"sku":"abc","qty":300}]}`, 422, "#/items/0/qty type"},
		{"object for an array", `{"customer":"alice","items":{}}`, 422, "#/items type"},
		{"missing", `{"customer":"alice"}`, 422, "#/items min"},
		{"missing number with a minimum", `{"customer":"alice","items":[{"sku":"abc"}]}`, 422, "#/items/0/qty min"},
		{"null where required", `{"customer":null,"items":[{"sku":"abc","qty":2}]}`, 422, "#/customer required"},
		{"null element", `{"customer":"alice","items":[null]}`, 422, "#/items/0/qty min|#/items/0/sku required"},
		{"null body", `null`, 422, "# type"},
		{"array body", `[` + validOrder + `]`, 422, "# type"},
		{"string body", `"` + canary + `"`, 422, "# type"},
		{"name of a map's member", `{"customer":"alice","items":[{"sku":"abc","qty":2}],"labels":{"e":"y"}}`, 422, "#/labels/e min"},
		{
			"every fault at once", `{"customer":"al","customer":1,"items":[{"sku":"` + canary + `","qty":101},{"sku":[],"qty":0,"x":{}}],"email":"` + canary + `","Email":""}`, 422,
			"#/customer duplicate|#/items/1/sku type|#/items/1/x unknown|#/Email unknown|#/customer min|#/email email|#/items/0/qty max|#/items/1/qty min",
		},

		{"empty", ``, 400, ""},
		{"blank", " \n", 400, ""},
		{"trailing garbage", validOrder + ` x`, 400, "# trailing"},
		{"two values", validOrder + validOrder, 400, "# trailing"},
		{"trailing comma", `{"customer":"alice",}`, 400, "# syntax"},
		{"cut off", `{"customer":"ali`, 400, "#/customer syntax"},
		{"comment", `{"customer":"alice"/**/}`, 400, "# syntax"},
		{"single quotes", `{'customer':'alice'}`, 400, "# syntax"},
		{"not a number", `{"notes":NaN}`, 400, "#/notes syntax"},
		{"leading zero", `{"notes":01}`, 400, "# syntax"},
		{"control character", "{\"customer\":\"a\x01ice\"}", 400, "#/customer syntax"},
		{"invalid UTF-8", "{\"customer\":\"\xff\"}", 400, "# utf8"},
		{"lone surrogate", `{"customer":"\ud800"}`, 400, "#/customer syntax"},
		{"byte order mark", "\ufeff" + validOrder, 400, "# syntax"},
		{"broken behind an unknown member", `{"admin":1,"items":[}`, 400, "#/items/0 syntax"},
		{"depth 32", `{"customer":"alice","items":[{"sku":"abc","qty":2}],"notes":` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + `}`, 204, ""},
		{"depth 33", `{"notes":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`, 400, "# depth"},
		{"depth 10,000", strings.Repeat("[", 10_000), 400, "# depth"},
		{"10,000 values", `{"customer":"alice","items":[{"sku":"abc","qty":2}],"notes":[` + strings.TrimSuffix(strings.Repeat("0,", 9_994), ",") + `]}`, 204, ""},
		{"10,001 values", `{"customer":"alice","items":[{"sku":"abc","qty":2}],"notes":[` + strings.TrimSuffix(strings.Repeat("0,", 9_995), ",") + `]}`, 400, "# values"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			res, err := server.Client().Post(server.URL, "application/json", strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close() //nolint:errcheck // read below
			w := httptest.NewRecorder()
			w.Code = res.StatusCode
			w.Header().Set("Content-Type", res.Header.Get("Content-Type"))
			if _, err := io.Copy(w.Body, res.Body); err != nil {
				t.Fatal(err)
			}
			if w.Code != tt.want {
				t.Fatalf("status = %d, want %d: %s", w.Code, tt.want, w.Body)
			}
			if tt.want == http.StatusNoContent {
				return
			}
			if strings.Contains(w.Body.String(), canary) {
				t.Errorf("answer holds what was sent: %s", w.Body)
			}
			if got := strings.Join(faults(parse(t, w)), "|"); got != tt.list {
				t.Errorf("faults = %s, want %s", got, tt.list)
			}
		})
	}
}

// Two bodies that pass huma's rules by one spelling and reach its handler by
// another.
func TestCaseFoldingBypass(t *testing.T) {
	t.Parallel()
	type person struct {
		Name string `json:"name"`
		Age  int    `json:"age" validate:"max=150"`
		Role string `json:"role" validate:"omitempty,oneof=user guest"`
	}
	h := validate.Body[person](newValidator(t, validate.Config{}))(http.HandlerFunc(noContent))
	for _, tt := range []struct{ body, want string }{
		{`{"name":"a","age":1,"AGE":9999}`, "#/AGE unknown"},
		{`{"role":"user","ROLE":"admin"}`, "#/ROLE unknown"},
	} {
		w := serve(h, request(tt.body))
		if got := strings.Join(faults(parse(t, w)), "|"); w.Code != http.StatusUnprocessableEntity || got != tt.want {
			t.Errorf("%s: %d %s, want 422 %s", tt.body, w.Code, got, tt.want)
		}
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	v := newValidator(t, validate.Config{})
	for _, layer := range []struct {
		name string
		h    http.Handler
	}{
		{"Handler", v.Handler(http.HandlerFunc(noContent))},
		{"Body", validate.Body[order](v)(http.HandlerFunc(noContent))},
	} {
		for _, tt := range []struct {
			name   string
			header http.Header
			want   int
		}{
			{"application/json", http.Header{"Content-Type": {"application/json"}}, 204},
			{"charset", http.Header{"Content-Type": {"application/json; charset=utf-8"}}, 204},
			{"charset in capitals", http.Header{"Content-Type": {`Application/JSON;charset="UTF-8"`}}, 204},
			{"other parameter", http.Header{"Content-Type": {"application/json; profile=x"}}, 204},
			{"suffix", http.Header{"Content-Type": {"application/merge-patch+json"}}, 204},
			{"identity", http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"identity"}}, 204},

			{"no type", http.Header{}, 415},
			{"empty type", http.Header{"Content-Type": {""}}, 415},
			{"two types", http.Header{"Content-Type": {"application/json", "text/plain"}}, 415},
			{"text/plain", http.Header{"Content-Type": {"text/plain"}}, 415},
			{"form", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, 415},
			{"text/json", http.Header{"Content-Type": {"text/json"}}, 415},
			{"list", http.Header{"Content-Type": {"application/json, text/plain"}}, 415},
			{"bare suffix", http.Header{"Content-Type": {"application/+json"}}, 415},
			{"suffix elsewhere", http.Header{"Content-Type": {"text/x+json"}}, 415},
			{"json sequence", http.Header{"Content-Type": {"application/json-seq"}}, 415},
			{"utf-16", http.Header{"Content-Type": {"application/json; charset=utf-16"}}, 415},
			{"latin-1", http.Header{"Content-Type": {"application/json; charset=iso-8859-1"}}, 415},
			{"two charsets", http.Header{"Content-Type": {"application/json; charset=utf-8; charset=utf-16"}}, 415},
			{"gzip", http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}, 415},
			{"gzip after identity", http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"identity", "gzip"}}, 415},
			{"list of codings", http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"identity, br"}}, 415},
		} {
			t.Run(layer.name+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				r := request(validOrder)
				r.Header = tt.header
				read := &countingBody{Reader: strings.NewReader(validOrder)}
				r.Body = read
				w := serve(layer.h, r)
				if w.Code != tt.want {
					t.Fatalf("status = %d, want %d: %s", w.Code, tt.want, w.Body)
				}
				if tt.want != 415 {
					return
				}
				if read.n > 0 {
					t.Errorf("%d bytes were read of a body that its headers refuse", read.n)
				}
				want := "Accept"
				if len(tt.header["Content-Encoding"]) > 0 {
					want = "Accept-Encoding"
				}
				if w.Header().Get(want) == "" {
					t.Errorf("answer lacks %s", want)
				}
			})
		}
	}
}

type countingBody struct {
	io.Reader
	n int
}

func (b *countingBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.n += n
	return n, err
}

func (*countingBody) Close() error { return nil }

func TestSize(t *testing.T) {
	t.Parallel()
	const limit = 64
	v := newValidator(t, validate.Config{MaxBytes: limit})
	mux := http.NewServeMux()
	mux.Handle("/handler", v.Handler(http.HandlerFunc(noContent)))
	mux.Handle("/body", validate.Body[map[string]string](v)(http.HandlerFunc(noContent)))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	for _, path := range []string{"/handler", "/body"} {
		for _, chunked := range []bool{false, true} {
			for _, tt := range []struct{ size, want int }{
				{limit - 1, 204}, {limit, 204}, {limit + 1, 413}, {100 * limit, 413},
			} {
				t.Run(fmt.Sprintf("%s/chunked=%v/%d", path[1:], chunked, tt.size), func(t *testing.T) {
					t.Parallel()
					body := `{"a":"` + strings.Repeat("x", tt.size-8) + `"}`
					var src io.Reader = strings.NewReader(body)
					if chunked {
						src = struct{ io.Reader }{src}
					}
					r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+path, src)
					if err != nil {
						t.Fatal(err)
					}
					r.Header.Set("Content-Type", "application/json")
					res, err := server.Client().Do(r)
					if err != nil {
						t.Fatal(err)
					}
					b, _ := io.ReadAll(res.Body)
					_ = res.Body.Close()
					if res.StatusCode != tt.want {
						t.Errorf("status = %d, want %d: %s", res.StatusCode, tt.want, b)
					}
					if tt.want == 413 && !bytes.Contains(b, []byte(`"param":"64"`)) {
						t.Errorf("answer does not tell the limit: %s", b)
					}
				})
			}
		}
	}
}

// A Content-Length is refused before a byte is read, and believed for no more
// memory than a small buffer.
func TestContentLength(t *testing.T) { // not parallel: it measures memory
	h := validate.Body[order](newValidator(t, validate.Config{}))(http.HandlerFunc(noContent))
	r := request(validOrder)
	body := &countingBody{Reader: strings.NewReader(validOrder)}
	r.Body, r.ContentLength = body, 1<<40
	if w := serve(h, r); w.Code != http.StatusRequestEntityTooLarge || body.n > 0 {
		t.Errorf("status = %d after %d bytes, want 413 after 0", w.Code, body.n)
	}
	allocated := allocatedBy(func() {
		r := request("")
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader("")), 1<<20
		serve(h, r)
	})
	if allocated > 64<<10 {
		t.Errorf("a claimed mebibyte allocates %d bytes, want less than 64 KiB", allocated)
	}
}

// allocatedBy returns how many bytes f allocates.
func allocatedBy(f func()) uint64 {
	f() // what is made once is not counted
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	h := validate.Body[order](newValidator(t, validate.Config{}))(http.HandlerFunc(noContent))
	r := request("")
	r.Body, r.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader(`{"a`), failing{})), 100
	w := serve(h, r)
	if a := parse(t, w); w.Code != http.StatusBadRequest || strings.Contains(a.Detail, "s3cret") {
		t.Errorf("got %d %q", w.Code, a.Detail)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("s3cret") }

func TestWithoutBody(t *testing.T) {
	t.Parallel()
	v := newValidator(t, validate.Config{})
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodDelete, http.MethodPost} {
		for _, body := range []io.Reader{nil, http.NoBody, struct{ io.Reader }{strings.NewReader("")}} {
			r := httptest.NewRequest(method, "/", body)
			if body != nil && body != http.NoBody { // chunked, and of a type
				r.Header.Set("Content-Type", "application/json")
			}
			if w := serve(v.Handler(http.HandlerFunc(noContent)), r.Clone(t.Context())); w.Code != http.StatusNoContent {
				t.Errorf("Handler: %s with %T = %d, want 204", method, body, w.Code)
			}
			w := serve(validate.Body[order](v)(http.HandlerFunc(noContent)), r)
			if w.Code != http.StatusBadRequest {
				t.Errorf("Body: %s with %T = %d, want 400", method, body, w.Code)
			}
			if method != http.MethodHead && parse(t, w).Detail != "This resource needs a JSON body." {
				t.Errorf("Body: %s with %T says %s", method, body, w.Body)
			}
		}
	}
}

func TestHandler(t *testing.T) {
	t.Parallel()
	h := newValidator(t, validate.Config{MaxErrors: 2}).Handler(http.HandlerFunc(noContent))
	for _, tt := range []struct {
		body string
		want int
		list string
	}{
		{`{"anything":[1,"x",null]}`, 204, ""},
		{`7`, 204, ""},
		{`{"a":1,"a":2}`, 422, "#/a duplicate"},
		{`[{"a":1,"a":2},{"b":{"c":0,"c":0}}]`, 422, "#/0/a duplicate|#/1/b/c duplicate"},
		{`{"a":1,"a":2,"b":1,"b":2,"c":1,"c":2}`, 422, "#/a duplicate|#/b duplicate"},
		{`{"a":1,"a":2`, 400, "# syntax"},
		{`{"a":1} {}`, 400, "# trailing"},
		{strings.Repeat("[", 33) + strings.Repeat("]", 33), 400, "# depth"},
		{"[" + strings.Repeat("0,", 10_000) + "0]", 400, "# values"},
		{"\"\xc3\x28\"", 400, "# utf8"},
	} {
		w := serve(h, request(tt.body))
		if w.Code != tt.want {
			t.Errorf("%.40q = %d, want %d", tt.body, w.Code, tt.want)
			continue
		}
		if tt.want != 204 {
			if got := strings.Join(faults(parse(t, w)), "|"); got != tt.list {
				t.Errorf("%.40q has the faults %s, want %s", tt.body, got, tt.list)
			}
		}
	}
}

// Webhooks sign the bytes: whoever reads the body behind these layers must see
// each of them.
func TestBodyStaysReadable(t *testing.T) {
	t.Parallel()
	v := newValidator(t, validate.Config{})
	body := " {\"customer\" : \"al\\u0069ce\",\n\"items\":[{\"qty\":1.0e1, \"sku\":\"\\/bc\"}] }\r\n"
	body = strings.Replace(body, "1.0e1", "10", 1)
	sign := func(b []byte) []byte {
		m := hmac.New(sha256.New, []byte("key"))
		m.Write(b)
		return m.Sum(nil)
	}
	for _, tt := range []struct {
		name string
		wrap func(http.Handler) http.Handler
	}{
		{"Handler", v.Handler},
		{"Body", validate.Body[order](v)},
		{"Handler and Body", func(next http.Handler) http.Handler { return v.Handler(validate.Body[order](v)(next)) }},
		{"Body twice", func(next http.Handler) http.Handler {
			return validate.Body[order](v)(validate.Body[map[string]any](v)(next))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			network := &countingBody{Reader: strings.NewReader(body)}
			r := request(body)
			r.Body = network
			w := serve(tt.wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				if string(got) != body {
					t.Errorf("body = %q, want %q", got, body)
				}
				if !hmac.Equal(sign(got), sign([]byte(body))) {
					t.Error("signature differs")
				}
				if err := r.Body.Close(); err != nil {
					t.Error(err)
				}
			})), r)
			if w.Code != http.StatusOK {
				t.Fatalf("status = %d: %s", w.Code, w.Body)
			}
			if network.n != len(body) {
				t.Errorf("%d bytes were read, want %d: once", network.n, len(body))
			}
			if r.Body != io.ReadCloser(network) {
				t.Error("the caller's request was changed")
			}
		})
	}
}

// A layer behind another has its own limits, and reads what is left of a body
// that somebody began to read.
func TestLayersAgree(t *testing.T) {
	t.Parallel()
	wide, narrow := newValidator(t, validate.Config{}), newValidator(t, validate.Config{MaxBytes: 16, MaxDepth: 1})
	if w := serve(wide.Handler(narrow.Handler(http.HandlerFunc(noContent))), request(validOrder)); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("too long for the second = %d, want 413", w.Code)
	}
	r := struct{ io.Reader }{strings.NewReader(validOrder)} // of unknown length
	chunked := httptest.NewRequest(http.MethodPost, "/", r)
	chunked.Header.Set("Content-Type", "application/json")
	if w := serve(wide.Handler(narrow.Handler(http.HandlerFunc(noContent))), chunked); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("too long for the second, chunked = %d, want 413", w.Code)
	}
	if w := serve(wide.Handler(narrow.Handler(http.HandlerFunc(noContent))), request(`{"a":[1]}`)); w.Code != http.StatusBadRequest {
		t.Errorf("too deep for the second = %d, want 400", w.Code)
	}
	greedy := wide.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = r.Body.Read(make([]byte, 1))
		wide.Handler(http.HandlerFunc(noContent)).ServeHTTP(w, r)
	}))
	if w := serve(greedy, request(`{"a":1}`)); w.Code != http.StatusBadRequest {
		t.Errorf("half of a document = %d, want 400", w.Code)
	}
}

func TestValueOfHandler(t *testing.T) {
	t.Parallel()
	var got *order
	h := validate.Body[order](newValidator(t, validate.Config{}))(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got, _ = validate.FromContext[order](r.Context())
		if _, ok := validate.FromContext[item](r.Context()); ok {
			t.Error("an item was found where an order was stored")
		}
	}))
	serve(h, request(validOrder))
	if got == nil || got.Customer != "alice" || len(got.Items) != 1 || got.Items[0] != (item{"abc", 2}) {
		t.Errorf("FromContext = %+v", got)
	}
}

func TestContext(t *testing.T) {
	t.Parallel()
	want := &item{SKU: "abc"}
	ctx := validate.NewContext(t.Context(), want)
	if got, ok := validate.FromContext[item](ctx); got != want || !ok {
		t.Errorf("FromContext = %v, %v", got, ok)
	}
	if _, ok := validate.FromContext[order](ctx); ok {
		t.Error("FromContext of another type is true")
	}
	if _, ok := validate.FromContext[item](validate.NewContext[item](t.Context(), nil)); ok {
		t.Error("FromContext of nil is true")
	}
}

func TestAllowUnknown(t *testing.T) {
	t.Parallel()
	h := validate.Body[item](newValidator(t, validate.Config{AllowUnknown: true}))(http.HandlerFunc(noContent))
	for _, tt := range []struct {
		body string
		want string
	}{
		{`{"sku":"abc","qty":1,"new":{"x":[1]}}`, ""},
		{`{"sku":"abc","qty":1,"QTY":200}`, ""}, // ignored: the case is not the name's
		{`{"sku":"abc","qty":1,"new":1,"new":2}`, "#/new duplicate"},
		{`{"sku":"abc","qty":1,"new":{"x":1,"x":2}}`, "#/new/x duplicate"},
	} {
		w := serve(h, request(tt.body))
		if tt.want == "" {
			if w.Code != http.StatusNoContent {
				t.Errorf("%s = %d, want 204: %s", tt.body, w.Code, w.Body)
			}
			continue
		}
		if got := strings.Join(faults(parse(t, w)), "|"); got != tt.want {
			t.Errorf("%s has the faults %s, want %s", tt.body, got, tt.want)
		}
	}
}

type teapot struct{}

func (teapot) Error() string   { return "s3cret" }
func (teapot) StatusCode() int { return http.StatusConflict }

func TestAfterDecode(t *testing.T) {
	t.Parallel()
	type note struct {
		Text string `json:"text" validate:"max=5"`
		Kind string `json:"kind"`
	}
	v := newValidator(t, validate.Config{AfterDecode: func(_ context.Context, v any) error {
		n, ok := v.(*note)
		if !ok {
			t.Errorf("AfterDecode got a %T", v)
			return nil
		}
		switch n.Kind {
		case "status":
			return fmt.Errorf("wrapped: %w", teapot{})
		case "foreign":
			return errors.New("s3cret")
		case "own":
			return &validate.Error{Reason: validate.ReasonRule, Faults: []validate.Fault{{Pointer: "#/kind", Code: "mine", Detail: "is odd"}}}
		case "panic":
			panic("s3cret")
		}
		n.Text = strings.TrimSpace(n.Text)
		return nil
	}})
	var got note
	h := validate.Body[note](v)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := validate.FromContext[note](r.Context())
		got = *n
		w.WriteHeader(http.StatusNoContent)
	}))
	for _, tt := range []struct {
		body string
		want int
		list string
	}{
		{`{"text":"   hello   "}`, 204, ""}, // cleaned before the rule sees it
		{`{"text":"hello, world"}`, 422, "#/text max"},
		{`{"kind":"status"}`, 409, ""},
		{`{"kind":"foreign"}`, 500, ""},
		{`{"kind":"own"}`, 422, "#/kind mine"},
		{`{"kind":"panic"}`, 500, ""},
		// What decoding finds is told, with the rules of the cleaned rest.
		{`{"text":"   hello   ","x":1}`, 422, "#/x unknown"},
		{`{"text":"hello, world","x":1}`, 422, "#/x unknown|#/text max"},
		{`{"kind":"panic","x":1}`, 422, "#/x unknown"},
		{`{"kind":"status","x":1}`, 422, "#/x unknown"},
	} {
		w := serve(h, request(tt.body))
		if w.Code != tt.want {
			t.Errorf("%s = %d, want %d: %s", tt.body, w.Code, tt.want, w.Body)
			continue
		}
		if w.Code == http.StatusNoContent {
			continue
		}
		if strings.Contains(w.Body.String(), "s3cret") {
			t.Errorf("%s: the answer holds a foreign text: %s", tt.body, w.Body)
		}
		if got := strings.Join(faults(parse(t, w)), "|"); got != tt.list {
			t.Errorf("%s has the faults %s, want %s", tt.body, got, tt.list)
		}
	}
	if got.Text != "hello" {
		t.Errorf("the handler got %q, want what AfterDecode made", got.Text)
	}
}

type explosive struct{ S string }

func (e *explosive) UnmarshalJSON(b []byte) error {
	if bytes.Contains(b, []byte("boom")) {
		panic(string(b))
	}
	return json.Unmarshal(b, &e.S)
}

// Whatever panics in the code of others is one answer and one record.
func TestPanics(t *testing.T) {
	t.Parallel()
	type bomb struct {
		A explosive `json:"a"`
		B string    `json:"b" validate:"fuse"`
	}
	var log bytes.Buffer
	var decisions []decision.Decision
	v := newValidator(t, validate.Config{
		Register:   registerFuse,
		Logger:     slog.New(slog.NewJSONHandler(&log, nil)),
		OnDecision: func(_ context.Context, d decision.Decision) { decisions = append(decisions, d) },
	})
	h := validate.Body[bomb](v)(http.HandlerFunc(noContent))
	for _, tt := range []struct{ body, stage, file string }{
		{`{"a":"boom s3cret"}`, "decoding", ").UnmarshalJSON validate_test.go"},
		{`{"a":"boom s3cret","x":1}`, "decoding", ").UnmarshalJSON validate_test.go"},
		{`{"b":"boom s3cret"}`, "a rule", " rules_test.go"},
	} {
		decisions = nil
		w := serve(h, request(tt.body))
		if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "s3cret") {
			t.Errorf("%s = %d %s, want 500 without s3cret", tt.body, w.Code, w.Body)
		}
		if len(decisions) != 1 {
			t.Fatalf("%s: decisions = %v, want one", tt.body, decisions)
		}
		d := decisions[0]
		if d.Layer != "validate" || d.Effect != decision.Deny || d.Reason != validate.ReasonPanic || d.Status != 500 ||
			!strings.HasPrefix(d.Detail, tt.stage+" panicked with string at ") || !strings.Contains(d.Detail, tt.file+":") {
			t.Errorf("%s: decision = %+v", tt.body, d)
		}
	}
	if strings.Contains(log.String(), "s3cret") || !strings.Contains(log.String(), `"reason":"panic"`) {
		t.Errorf("log = %s", log.String())
	}
}

func TestErrorHandler(t *testing.T) {
	t.Parallel()
	v := newValidator(t, validate.Config{ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
		e, ok := errors.AsType[*validate.Error](err)
		if !ok || e.StatusCode() != http.StatusUnprocessableEntity || e.Reason != validate.ReasonUnknown || len(e.Faults) != 1 {
			t.Errorf("err = %#v", err)
		}
		if e.Error() != "validate: unknown: unknown #/*" {
			t.Errorf("Error() = %q", e.Error())
		}
		w.WriteHeader(http.StatusTeapot)
	}})
	if w := serve(validate.Body[item](v)(http.HandlerFunc(noContent)), request(`{"sku":"abc","qty":1,"x":1}`)); w.Code != http.StatusTeapot {
		t.Errorf("status = %d, want 418", w.Code)
	}
}

// WriteError also answers errors that are not this package's.
func TestWriteError(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want int
	}{
		{errors.New("s3cret"), 500},
		{teapot{}, 409},
		{nil, 500},
		{&validate.Error{Reason: validate.ReasonAfterDecode, Err: teapot{}}, 409},
		{&validate.Error{}, 500},
	} {
		w := httptest.NewRecorder()
		validate.WriteError(w, request(""), tt.err)
		if w.Code != tt.want || strings.Contains(w.Body.String(), "s3cret") {
			t.Errorf("%v = %d %s, want %d", tt.err, w.Code, w.Body, tt.want)
		}
	}
	if err := (&validate.Error{Err: teapot{}}); !errors.As(err, new(teapot)) {
		t.Error("the cause is not found")
	}
}

// The trail says where and which rule, and nothing that the client chose.
func TestDecisions(t *testing.T) {
	t.Parallel()
	var got []decision.Decision
	v := newValidator(t, validate.Config{OnDecision: func(_ context.Context, d decision.Decision) { got = append(got, d) }})
	body, handler := validate.Body[order](v)(http.HandlerFunc(noContent)), v.Handler(http.HandlerFunc(noContent))
	const rule = "validate_test.order"
	for _, tt := range []struct {
		h    http.Handler
		body string
		want decision.Decision
	}{
		{body, validOrder, decision.Decision{Effect: decision.Allow, Rule: rule, Reason: "valid"}},
		{body, ``, decision.Decision{Rule: rule, Reason: "empty", Status: 400}},
		{body, `{"s3cret":1,"customer":"s3","items":[{"sku":"s3cret","qty":0}],"labels":{"s":"s3cret s3cret"}}`, decision.Decision{
			Rule: rule, Reason: "unknown", Status: 422, Detail: "unknown #/*, min #/customer, min #/items/0/qty, min #/labels/*, max #/labels/*",
		}},
		{handler, `{}`, decision.Decision{Effect: decision.Allow, Rule: "json", Reason: "valid"}},
		{handler, ``, decision.Decision{Effect: decision.Allow, Rule: "json", Reason: "empty"}},
		{handler, `{"s3cret":}`, decision.Decision{Rule: "json", Reason: "syntax", Status: 400, Detail: "syntax #/*"}},
	} {
		got = nil
		tt.want.Layer = "validate"
		r := request(tt.body)
		record := decision.NewRecord("id")
		serve(tt.h, r.WithContext(decision.NewContext(r.Context(), record)))
		if !slices.Equal(got, []decision.Decision{tt.want}) {
			t.Errorf("%s: decisions = %+v, want %+v", tt.body, got, tt.want)
		}
		if sealed := record.Seal().Decisions; !slices.Equal(sealed, []decision.Decision{tt.want}) {
			t.Errorf("%s: record = %+v, want %+v", tt.body, sealed, tt.want)
		}
	}
}

// A route below and a form parsed there reach the request of the caller.
func TestPatternGetsOut(t *testing.T) {
	t.Parallel()
	v := newValidator(t, validate.Config{})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", noContent)
	for _, h := range []http.Handler{v.Handler(mux), validate.Body[order](v)(mux)} {
		r := request(validOrder)
		serve(h, r)
		if r.Pattern != "POST /orders" {
			t.Errorf("Pattern = %q", r.Pattern)
		}
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	v := newValidator(t, validate.Config{MaxBytes: 200})
	var o order
	if err := v.Decode(t.Context(), []byte(validOrder), &o); err != nil || o.Customer != "alice" {
		t.Errorf("Decode = %v, %+v", err, o)
	}
	for _, tt := range []struct {
		doc  string
		want int
	}{
		{``, 400}, {`{}`, 422}, {`"` + strings.Repeat("x", 200) + `"`, 413},
	} {
		e, ok := errors.AsType[*validate.Error](v.Decode(t.Context(), []byte(tt.doc), new(order)))
		if !ok || e.StatusCode() != tt.want {
			t.Errorf("Decode(%.10q) = %v, want %d", tt.doc, e, tt.want)
		}
	}
	for _, target := range []any{nil, order{}, (*order)(nil), new(*order), new(chan int)} {
		err := v.Decode(t.Context(), []byte(validOrder), target)
		if _, ok := errors.AsType[*validate.Error](err); err == nil || ok {
			t.Errorf("Decode into a %T = %v, want a mistake", target, err)
		}
	}
	if err := v.Check([]byte(validOrder)); err != nil {
		t.Errorf("Check = %v", err)
	}
	for doc, want := range map[string]string{``: "empty", `{"a":1,"a":1}`: "duplicate", `"` + strings.Repeat("x", 200) + `"`: "size"} {
		if e, ok := errors.AsType[*validate.Error](v.Check([]byte(doc))); !ok || e.Reason != want {
			t.Errorf("Check(%.10q) = %v, want %s", doc, e, want)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	_, err := validate.New(validate.Config{MaxBytes: -1, MaxDepth: validate.DepthCeiling + 1, MaxValues: -1, MaxErrors: -1, Register: registerBadly})
	if err == nil {
		t.Fatal("New did not fail")
	}
	for _, want := range []string{
		"validate: MaxBytes is -1, want 0 or more", "validate: MaxDepth is 257, want 0 to 256",
		"validate: MaxValues is -1, want 0 or more", "validate: MaxErrors is -1, want 0 to 100",
		"validate: Register failed: no",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("New = %q, lacks %q", err, want)
		}
	}
	v := newValidator(t, validate.Config{MaxDepth: validate.DepthCeiling})
	deep := strings.Repeat("[", validate.DepthCeiling) + strings.Repeat("]", validate.DepthCeiling)
	if err := v.Check([]byte(deep)); err != nil {
		t.Errorf("at the ceiling: %v", err)
	}
	if err := v.Check([]byte("[" + deep + "]")); err == nil {
		t.Error("beyond the ceiling: no error")
	}
}

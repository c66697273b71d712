package sanitize_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/microcosm-cc/bluemonday"
	"golang.org/x/net/html"

	"github.com/gatehouse-go/gatehouse/sanitize"
)

// FuzzClean holds each policy to its promises: what it returns is UTF-8 without
// controls, stays as it is when it is cleaned again, and has no more markup
// than the policy allows when a browser's parser reads it.
func FuzzClean(f *testing.F) {
	s := newSanitizer(f, sanitize.Config{})
	for _, v := range vectors {
		f.Add(v)
	}
	strict := bluemonday.StrictPolicy()
	f.Fuzz(func(t *testing.T, in string) {
		for _, p := range policies {
			got := s.Clean(p.policy, in)
			if strings.Count(got, "<") < 200 { // the parser refuses what nests too deeply
				if err := judge(p.name, got); err != nil {
					t.Errorf("Clean(%s, %q) = %q: %v", p.name, in, got, err)
				}
			}
			if again := s.Clean(p.policy, got); again != got {
				t.Errorf("Clean(%s, %q) = %q, and of that %q", p.name, in, got, again)
			}
		}

		plain := s.Clean(sanitize.Plain, in)
		if utf8.ValidString(in) && strings.IndexFunc(in, removed) < 0 && plain != in {
			t.Errorf("Clean(Plain, %q) = %q, want it unchanged", in, plain)
		}
		if text := s.Clean(sanitize.Text, plain); !hasMarkup(plain) && text != plain {
			t.Errorf("Clean(Text, %q) = %q, want it unchanged", plain, text)
		}
		if !strings.ContainsAny(plain, "\r\"&'<>") && strict.Sanitize(plain) != plain {
			t.Errorf("bluemonday changes %q, which Strip passes by", plain)
		}
	})
}

// hasMarkup reports whether the tokenizer finds anything but text in s, or a
// tag without an end.
func hasMarkup(s string) bool {
	z := html.NewTokenizer(strings.NewReader(s))
	n := 0
	for {
		switch z.Next() {
		case html.TextToken:
			n += len(z.Raw())
		case html.ErrorToken:
			return n != len(s) || strings.HasSuffix(s, "</")
		default:
			return true
		}
	}
}

// FuzzHandler lets a body through only if a decoder finds nothing unclean in
// it, and then as it came. Its quick way through a document is compared with
// the thorough one, which an escape anywhere forces.
func FuzzHandler(f *testing.F) {
	fields := map[string]sanitize.Policy{"/p": sanitize.Plain, "/h/*": sanitize.UGC}
	s := newSanitizer(f, sanitize.Config{Fields: fields})
	wrappedFields := map[string]sanitize.Policy{"/1/p": sanitize.Plain, "/1/h/*": sanitize.UGC}
	wrapped := newSanitizer(f, sanitize.Config{Fields: wrappedFields})
	for _, doc := range []string{
		`{"p":"<b>","h":["<b>a</b>",{"h":"x"}],"x":1}`, `{"p":"a\u0000"}`, `{"h":{"a":"b & c"}}`, `{"a":1,"a":2}`,
		`["<b","\u003cb>",null]`, `{"<b>":1}`, "[\"\u202e\"]", "\"\u200c\"", `[[[]]]`, `{}x`, ` "a" `, `"`, "[\"\xff\"]", "[\"\xe2",
		`{"h":["it's"]}`, "\"\x7f\"", strings.Repeat("[", 64) + strings.Repeat("]", 64),
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		err := s.CheckJSON(doc)

		var got []byte
		called := false
		h := s.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			called = true
			got, _ = io.ReadAll(r.Body)
		}))
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(doc))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if want := err == nil || len(doc) == 0; called != want {
			t.Fatalf("the next handler was called: %v, want %v (%v)", called, want, err)
		}
		if called && !bytes.Equal(got, doc) {
			t.Fatalf("the next handler read %q, want %q", got, doc)
		}
		if !called && (w.Code < 400 || w.Code > 499) {
			t.Fatalf("status = %d, want 4xx", w.Code)
		}

		// The same inside of a document with an escape, one level deeper.
		inside := wrapped.CheckJSON([]byte(`["\u0061",` + string(doc) + `]`))
		if (err == nil) != (inside == nil) && reason(inside) != sanitize.ReasonDepth && json.Valid(doc) {
			t.Fatalf("CheckJSON(%q) = %v, and inside of another %v", doc, err, inside)
		}

		e, _ := errors.AsType[*sanitize.Error](err)
		if e != nil {
			for _, fault := range e.Faults {
				if json.Valid(doc) { // a pointer can go into what is twice, or comes before a mistake
					if _, err := resolve(doc, fault.Pointer); err != nil && e.Reason == sanitize.ReasonUnclean {
						t.Error(err)
					}
				}
			}
			return
		}
		var v any
		dec := json.NewDecoder(bytes.NewReader(doc))
		dec.UseNumber() // a float64 does not hold every number
		if err := dec.Decode(&v); err != nil {
			t.Fatalf("CheckJSON(%q) = nil, and encoding/json: %v", doc, err)
		}
		unclean(t, s, v, nil)
	})
}

func reason(err error) string {
	e, _ := errors.AsType[*sanitize.Error](err)
	if e == nil {
		return ""
	}
	return e.Reason
}

// unclean fails for each string in v, found at path, that its policy changes.
func unclean(t *testing.T, s *sanitize.Sanitizer, v any, path []string) {
	t.Helper()
	switch v := v.(type) {
	case string:
		p := sanitize.Policy(sanitize.Text)
		switch {
		case len(path) == 1 && path[0] == "p":
			p = sanitize.Plain
		case len(path) == 2 && path[0] == "h":
			p = sanitize.UGC
		}
		if got := s.Clean(p, v); got != v {
			t.Errorf("%q at %q went through, Clean(%v) = %q", v, path, p, got)
		}
	case []any:
		for _, e := range v {
			unclean(t, s, e, append(path, "-"))
		}
	case map[string]any:
		for name, e := range v {
			if got := s.Clean(sanitize.Text, name); got != name {
				t.Errorf("name %q at %q went through", name, path)
			}
			unclean(t, s, e, append(path, name))
		}
	}
}

// FuzzCleanStruct compares the cleaning of a decoded document with the cleaning
// of each of its strings.
func FuzzCleanStruct(f *testing.F) {
	s := newSanitizer(f, sanitize.Config{})
	f.Add([]byte(`{"a":"<b>x</b>","b":["\u0000",{"c":[1,null,"&"]}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		type target struct {
			V any `sanitize:"text"`
		}
		var got, want target
		if json.Unmarshal(doc, &got.V) != nil || json.Unmarshal(doc, &want.V) != nil {
			return
		}
		err := s.CleanStruct(t.Context(), &got)
		if reason(err) == sanitize.ReasonDepth {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		want.V = each(want.V, func(v string) string { return s.Clean(sanitize.Text, v) })
		if !reflect.DeepEqual(got, want) {
			t.Errorf("CleanStruct = %q, want %q", got, want)
		}
	})
}

func each(v any, f func(string) string) any {
	switch v := v.(type) {
	case string:
		return f(v)
	case []any:
		for i := range v {
			v[i] = each(v[i], f)
		}
	case map[string]any:
		for k := range v {
			v[k] = each(v[k], f)
		}
	}
	return v
}

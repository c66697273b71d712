package sanitize_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/microcosm-cc/bluemonday"

	"github.com/gatehouse-go/gatehouse/sanitize"
)

func TestCheckJSON(t *testing.T) {
	t.Parallel()
	s := newSanitizer(t, sanitize.Config{Fields: map[string]sanitize.Policy{
		"/password":     sanitize.Plain,
		"/article":      sanitize.UGC,
		"/items/*/note": sanitize.Plain,
		"/items/1/note": sanitize.Text,
		"/items/*/*":    sanitize.Plain,
		"/a~1b~0/*":     sanitize.Plain,
		"/bold":         sanitize.Custom(bluemonday.NewPolicy().AllowElements("b")),
		"/rows/*/*/0":   sanitize.Plain,
	}})
	for _, tt := range []struct {
		name, doc, reason string
		faults            []string // pointer and code
	}{
		{"clean", `{"note":"ring twice","n":[1,2.5e3,true,null,-0]}`, "", nil},
		{"clean, spread out", "\t{\r\n \"note\" : \"ring\\ntwice\" , \"n\" : [ ] }\n", "", nil},
		{"scalar", `"hello"`, "", nil},
		{"no markup", `{"note":"O'Reilly & \"x\" <3, a < b"}`, "", nil},
		{"languages", "{\"note\":\"می\u200cخواهم \u200f❤\ufe0f\"}", "", nil},
		{"languages in escapes", `{"note":"می\u200cخواهم \u200f❤\ufe0f"}`, "", nil},

		{"tag", `{"note":"<b>x</b>"}`, "unclean", []string{"#/note markup"}},
		{"tag in escapes", `{"note":"\u003cb\u003ex"}`, "unclean", []string{"#/note markup"}},
		{"tag that never ends", `{"note":"x <b"}`, "unclean", []string{"#/note markup"}},
		{"scalar with a tag", `"<b>"`, "unclean", []string{"# markup"}},
		{"control in an escape", `{"note":"a\u0000b"}`, "unclean", []string{"#/note control"}},
		{"escaped surrogates are one character", `{"note":"\ud83d\ude00"}`, "", nil},
		{"DEL", "{\"note\":\"a\x7fb\"}", "unclean", []string{"#/note control"}},
		{"C1", "{\"note\":\"a\u0085b\"}", "unclean", []string{"#/note control"}},
		{"override", "{\"note\":\"a\u202eb\"}", "unclean", []string{"#/note control"}},
		{"isolate in an escape", `{"note":"a\u2066b"}`, "unclean", []string{"#/note control"}},
		{"every fault, in order", `{"b":"<i>","a":["x","<i>",{"c":"\u0007"}]}`, "unclean", []string{"#/b markup", "#/a/1 markup", "#/a/2/c control"}},

		{"name with a control", `{"a\u0000b":1}`, "unclean", []string{"#/a%00b name"}},
		{"name with an override", "{\"x\":{\"a\u202eb\":1}}", "unclean", []string{"#/x/a%E2%80%AEb name"}},
		{"name with markup", `{"<img src=x>":1}`, "unclean", []string{"#/%3Cimg%20src=x%3E name"}},
		{"name that a pointer escapes", `{"a/b":{"~":"<b>"}}`, "unclean", []string{"#/a~1b/~0 markup"}},
		{"name with an ampersand", `{"a&b":"<b>"}`, "unclean", []string{"#/a%26b markup"}},

		{"field with Plain", `{"password":"pa<ss>w&rd"}`, "", nil},
		{"field with Plain, control", `{"password":"pa\u0000"}`, "unclean", []string{"#/password control"}},
		{"policy is not for what is beneath", `{"password":{"x":"<b>"}}`, "unclean", []string{"#/password/x markup"}},
		{"same name elsewhere", `{"x":{"password":"<b>"}}`, "unclean", []string{"#/x/password markup"}},
		{"exact beats any", `{"items":[{"note":"<b>"},{"note":"<b>"},{"note":"<b>"}]}`, "unclean", []string{"#/items/1/note markup"}},
		{"any name", `{"items":{"x":{"y":"<b>"}}}`, "", nil},
		{"escaped in the pattern", `{"a/b~":["<b>"]}`, "", nil},
		{"escaped in the document", `{"\u0070assword":"<b>"}`, "", nil},
		{"behind closed containers", `{"items":[[["<b>"]],[]],"password":"<b>","x":"<b>"}`, "unclean", []string{"#/items/0/0/0 markup", "#/x markup"}},
		{"index in an index", `{"rows":[[["<b>","<b>"]]]}`, "unclean", []string{"#/rows/0/0/1 markup"}},
		{"field with UGC, clean", `{"article":"<b>a</b> &amp; b"}`, "", nil},
		{"field with UGC, plain words", `{"article":"words"}`, "", nil},
		{"field with UGC, unclean", `{"article":"<b onclick=x>a</b>"}`, "unclean", []string{"#/article markup"}},
		{"field with UGC, not as stored", `{"article":"a & b"}`, "unclean", []string{"#/article markup"}},
		{"field with UGC, control", `{"article":"a\u0001"}`, "unclean", []string{"#/article control"}},
		{"field with a policy of one's own", `{"bold":"<b>a</b>"}`, "", nil},
		{"field with a policy of one's own, unclean", `{"bold":"<i>a</i>"}`, "unclean", []string{"#/bold markup"}},

		{"twice", `{"a":1,"a":2}`, "duplicate", []string{"#/a duplicate"}},
		{"twice, escaped", `{"x":{"ab":1,"a\u0062":2}}`, "duplicate", []string{"#/x/ab duplicate"}},
		{"empty", ``, "syntax", nil},
		{"blank", " \n", "syntax", nil},
		{"cut off", `{"a":`, "syntax", nil},
		{"cut off in a string", `{"a":"\`, "syntax", nil},
		{"two values", `{} {}`, "syntax", nil},
		{"two values, the second a string", `"a" "b"`, "syntax", nil},
		{"rest", `{}x`, "syntax", nil},
		{"closed too often", `{}}`, "syntax", nil},
		{"trailing comma", `[1,]`, "syntax", nil},
		{"comment", `{/*<b>*/}`, "syntax", nil},
		{"single quotes", `{'a':1}`, "syntax", nil},
		{"byte order mark", "\ufeff{}", "syntax", nil},
		{"raw control in a string", "{\"a\":\"\x01\"}", "syntax", nil},
		{"raw control between values", "{\x0b}", "syntax", nil},
		{"not UTF-8", "{\"a\":\"\xff\"}", "syntax", nil},
		{"sequence cut off", "{\"a\":\"\xe2\x80", "syntax", nil},
		{"sequence cut off earlier", "\xc2", "syntax", nil},
		{"UTF-16", "\xff\xfe{\x00}\x00", "syntax", nil},
		{"half a surrogate", `{"a":"\ud800"}`, "syntax", nil},
		{"syntax before faults", `{"a":"<b>","b":}`, "syntax", nil},
		{"64 levels", strings.Repeat("[", 64) + strings.Repeat("]", 64), "", nil},
		{"65 levels", strings.Repeat("[", 65) + strings.Repeat("]", 65), "depth", nil},
		{"65 levels, with an escape", `["\n",` + strings.Repeat("[", 64) + strings.Repeat("]", 65), "depth", nil},
		{"brackets in strings", `["` + strings.Repeat("[{", 100) + `"]`, "", nil},
		{"brackets side by side", `[` + strings.Repeat("[],{},", 100) + `[]]`, "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := s.CheckJSON([]byte(tt.doc))
			var reason string
			var faults []string
			if e, ok := errors.AsType[*sanitize.Error](err); ok {
				reason = e.Reason
				for _, f := range e.Faults {
					faults = append(faults, f.Pointer+" "+f.Code)
				}
			} else if err != nil {
				t.Fatalf("CheckJSON(%q) = %T, want *sanitize.Error", tt.doc, err)
			}
			if reason != tt.reason || !slices.Equal(faults, tt.faults) {
				t.Errorf("CheckJSON(%q) = %q %q, want %q %q", tt.doc, reason, faults, tt.reason, tt.faults)
			}
		})
	}
}

func TestFieldsOfTheWholeDocument(t *testing.T) {
	t.Parallel()
	s := newSanitizer(t, sanitize.Config{Fields: map[string]sanitize.Policy{"": sanitize.Plain}})
	if err := s.CheckJSON([]byte(`"<b>"`)); err != nil {
		t.Errorf("CheckJSON of the string = %v, want nil", err)
	}
	if err := s.CheckJSON([]byte(`["<b>"]`)); err == nil {
		t.Error("CheckJSON of a string in an array = nil, want an error")
	}
}

// TestPointersResolve finds each fault by its pointer alone, in documents whose
// names have what pointers and fragments escape.
func TestPointersResolve(t *testing.T) {
	t.Parallel()
	s := newSanitizer(t, sanitize.Config{})
	names := []string{"", "a", "a/b", "~", "~1", "a b", "%41", "#", "?", "&", `"`, `\`, "'", "^", "é", "\u2028", "0", "-", "日本", "\u200c"}
	doc := map[string]any{}
	for i, name := range names {
		doc[name] = []any{"fine", map[string]any{names[len(names)-1-i]: "<b>" + strconv.Itoa(i)}}
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	e, ok := errors.AsType[*sanitize.Error](s.CheckJSON(raw))
	if !ok || len(e.Faults) != len(names) {
		t.Fatalf("CheckJSON = %v, want %d faults", e, len(names))
	}
	for _, f := range e.Faults {
		v, err := resolve(raw, f.Pointer)
		if err != nil {
			t.Error(err)
			continue
		}
		if text, ok := v.(string); !ok || !strings.HasPrefix(text, "<b>") {
			t.Errorf("%s is %v, want a string with <b>", f.Pointer, v)
		}
	}
}

// resolve follows a JSON pointer in fragment form (RFC 6901 sections 4 and 6).
func resolve(doc []byte, fragment string) (any, error) {
	pointer, ok := strings.CutPrefix(fragment, "#")
	if !ok {
		return nil, fmt.Errorf("%q is no fragment", fragment)
	}
	pointer, err := url.PathUnescape(pointer)
	if err != nil {
		return nil, err
	}
	var v any
	if err := json.Unmarshal(doc, &v); err != nil || pointer == "" {
		return v, err
	}
	for token := range strings.SplitSeq(pointer[1:], "/") {
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		switch at := v.(type) {
		case map[string]any:
			if v, ok = at[token]; !ok {
				return nil, fmt.Errorf("%s: no member %q", fragment, token)
			}
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(at) {
				return nil, fmt.Errorf("%s: no element %q", fragment, token)
			}
			v = at[i]
		default:
			return nil, fmt.Errorf("%s: %T has no %q", fragment, at, token)
		}
	}
	return v, nil
}

// TestAnswerIsBounded sends bodies that are nothing but faults.
func TestAnswerIsBounded(t *testing.T) {
	t.Parallel()
	s := newSanitizer(t, sanitize.Config{})
	for _, tt := range []struct{ name, doc string }{
		{"many faults", "[" + strings.Repeat(`"<b>",`, 100_000) + `"<b>"]`},
		{"long names", `{"` + strings.Repeat("n", 300_000) + `":[` + strings.Repeat(`"<b>",`, 50_000) + `1]}`},
		{"names that grow when escaped", `{"` + strings.Repeat("&", 199) + `":[` + strings.Repeat(`"<b>",`, 30) + `1]}`},
		{"names of controls", `{"` + strings.Repeat(`\u0001`, 190) + `":[` + strings.Repeat(`"<b>",`, 30) + `1]}`},
		{"names of quotes", `{"` + strings.Repeat(`\"`, 199) + `":[` + strings.Repeat(`"<b>",`, 30) + `1]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := post(s, "application/json", tt.doc, nil)
			if w.Code != http.StatusUnprocessableEntity {
				t.Fatalf("status = %d, want 422", w.Code)
			}
			if n := w.Body.Len(); n > 16<<10 {
				t.Errorf("the answer has %d bytes, want at most %d", n, 16<<10)
			}
			if !strings.Contains(w.Body.String(), `"truncated":true`) {
				t.Error("the answer does not tell that there are more faults")
			}
			faults := answered(t, w)
			if len(faults) == 0 || len(faults) > 20 {
				t.Errorf("%d faults, want 1 to 20", len(faults))
			}
			for _, f := range faults {
				if _, err := resolve([]byte(tt.doc), f.Pointer); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestManyNamesManyFields holds the tracking of Fields to a cost that does not
// multiply with the length of names above.
func TestManyNamesManyFields(t *testing.T) {
	s := newSanitizer(t, sanitize.Config{Fields: map[string]sanitize.Policy{"/*/*/x": sanitize.Plain, "/*/*/*": sanitize.UGC}})
	doc := func(n int) []byte {
		return []byte(`{"` + strings.Repeat("n", n) + `":[[` + strings.Repeat(`"it's \n",`, n/10) + `1]]}`)
	}
	small, large := doc(10_000), doc(40_000)
	a := allocated(func() { _ = s.CheckJSON(small) })
	b := allocated(func() { _ = s.CheckJSON(large) })
	if limit := 6*a + 64<<10; b > limit {
		t.Errorf("%d bytes for %d and %d for %d, want at most %d", a, len(small), b, len(large), limit)
	}
}

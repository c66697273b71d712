package sanitize_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/sanitize"
)

// dirty shows by what is left of it which policy has cleaned it.
const (
	dirty     = "\u202e<b>a</b> & <script>x</script>"
	asPlain   = "<b>a</b> & <script>x</script>"
	asText    = "a & "
	asUGC     = "<b>a</b> &amp; "
	asStrip   = "a &amp; "
	untouched = dirty
)

type name string

type inner struct {
	Plain string
	Text  string `sanitize:"text"`
}

type Base struct {
	FromBase string `sanitize:"text"`
}

type lower struct {
	FromLower string `sanitize:"text"`
}

type lowerPointer struct {
	FromPointer string `sanitize:"text"`
}

type everything struct {
	Base
	lower
	*lowerPointer

	Untagged string
	Plain    string `sanitize:"plain"`
	Text     string `sanitize:"text"`
	UGC      string `sanitize:"ugc"`
	Strip    string `sanitize:"strip"`
	Password string `sanitize:"-"`
	Name     name   `sanitize:"text"`

	Pointer *string   `sanitize:"text"`
	Nil     *string   `sanitize:"text"`
	Twice   **string  `sanitize:"text"`
	Slice   []string  `sanitize:"text"`
	Array   [2]string `sanitize:"text"`

	Map        map[string]string            `sanitize:"text"`
	MapOfLists map[string][]string          `sanitize:"text"`
	MapOfMaps  map[int]map[string]*string   `sanitize:"text"`
	MapOfPairs map[string][2]string         `sanitize:"text"`
	MapOfInner map[string]inner             //
	Lists      [][]map[string]any           `sanitize:"text"`
	Skipped    map[string]map[string]*inner `sanitize:"-"`

	Inner        inner
	InnerPointer *inner
	Inners       []inner
	InnerArray   [1]inner

	Any       any `sanitize:"text"`
	AnyPlain  any
	AnyMap    any `sanitize:"text"`
	AnyList   any `sanitize:"text"`
	AnyInner  any `sanitize:"text"`
	AnyPtr    any `sanitize:"text"`
	AnyName   any `sanitize:"text"`
	AnyNumber any `sanitize:"text"`
	AnyNil    any `sanitize:"text"`

	Bytes   []byte
	Raw     json.RawMessage
	Time    time.Time
	Number  int
	Flags   []bool
	Channel chan string
	Func    func(string) string

	private string
}

func fill(s string) *everything {
	p := &s
	return &everything{
		Base: Base{s}, lower: lower{s}, lowerPointer: &lowerPointer{s},
		Untagged: s, Plain: s, Text: s, UGC: s, Strip: s, Password: s, Name: name(s),
		Pointer: new(s), Twice: &p, Slice: []string{s, "ok", s}, Array: [2]string{"ok", s},
		Map:        map[string]string{s: s, "ok": "ok"},
		MapOfLists: map[string][]string{"a": {s}},
		MapOfMaps:  map[int]map[string]*string{1: {"a": new(s), "nil": nil}, 2: nil},
		MapOfPairs: map[string][2]string{"a": {s, "ok"}},
		MapOfInner: map[string]inner{"a": {s, s}},
		Lists:      [][]map[string]any{{{"a": s, "n": 1.5, "nil": nil}}},
		Skipped:    map[string]map[string]*inner{"a": {"b": {s, s}}},
		Inner:      inner{s, s}, InnerPointer: &inner{s, s}, Inners: []inner{{s, s}}, InnerArray: [1]inner{{s, s}},
		Any: s, AnyPlain: s, AnyMap: map[string]any{"a": s, "b": []any{s, true}}, AnyList: []string{s},
		AnyInner: inner{s, s}, AnyPtr: &inner{s, s}, AnyName: name(s), AnyNumber: 3,
		Bytes: []byte(s), Raw: json.RawMessage(s), Time: time.Unix(0, 0), Number: 3, Flags: []bool{true},
		private: s,
	}
}

func cleaned() *everything {
	want := fill(asText)
	want.Untagged, want.Plain, want.AnyPlain = asPlain, asPlain, asPlain
	want.UGC, want.Strip, want.Password = asUGC, asStrip, untouched
	want.Map = map[string]string{dirty: asText, "ok": "ok"}
	in := inner{asPlain, asText}
	want.MapOfInner = map[string]inner{"a": in}
	want.Skipped = map[string]map[string]*inner{"a": {"b": {untouched, untouched}}}
	want.Inner, want.InnerPointer, want.Inners, want.InnerArray = in, &in, []inner{in}, [1]inner{in}
	want.AnyInner, want.AnyPtr = in, &in
	want.Bytes, want.Raw, want.private = []byte(untouched), json.RawMessage(untouched), untouched
	return want
}

func TestCleanStruct(t *testing.T) {
	t.Parallel()
	s := newSanitizer(t, sanitize.Config{})
	got := fill(dirty)
	if err := s.CleanStruct(t.Context(), got); err != nil {
		t.Fatal(err)
	}
	compareFields(t, got, cleaned())
	if err := s.CleanStruct(t.Context(), got); err != nil {
		t.Fatal(err)
	}
	compareFields(t, got, cleaned())
}

func compareFields(tb testing.TB, got, want *everything) {
	tb.Helper()
	g, w := reflect.ValueOf(got).Elem(), reflect.ValueOf(want).Elem()
	for i := range g.NumField() {
		f := g.Type().Field(i)
		if f.IsExported() && !reflect.DeepEqual(g.Field(i).Interface(), w.Field(i).Interface()) {
			tb.Errorf("%s = %+q, want %+q", f.Name, g.Field(i).Interface(), w.Field(i).Interface())
		}
	}
	if got.lower != want.lower || *got.lowerPointer != *want.lowerPointer || got.private != want.private {
		tb.Errorf("unexported = %+q %+q %+q, want %+q %+q %+q", got.lower, *got.lowerPointer, got.private, want.lower, *want.lowerPointer, want.private)
	}
}

// TestCleanStructLeavesPointersShared shows that cleaning changes values where
// they are and does not replace what holds them.
func TestCleanStructLeavesPointersShared(t *testing.T) {
	t.Parallel()
	s := newSanitizer(t, sanitize.Config{})
	v := fill(dirty)
	p, list, m := v.Pointer, v.Slice, v.Map
	if err := s.CleanStruct(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	if v.Pointer != p || &v.Slice[0] != &list[0] || m[dirty] != asText {
		t.Error("CleanStruct has replaced a pointer, slice or map")
	}
}

func TestCleanStructOfOtherPointers(t *testing.T) {
	t.Parallel()
	s := newSanitizer(t, sanitize.Config{})
	text, list, m := dirty, []string{dirty}, map[string]any{"a": []any{dirty}}
	var anything any = dirty
	for _, v := range []any{&text, &list, &m, &anything} {
		if err := s.CleanStruct(t.Context(), v); err != nil {
			t.Errorf("CleanStruct(%T) = %v, want nil", v, err)
		}
	}
	if text != asPlain || list[0] != asPlain || m["a"].([]any)[0] != asPlain || anything != asPlain {
		t.Errorf("got %+q %+q %+q %+q, want %+q in each", text, list, m, anything, asPlain)
	}
}

type node struct {
	Note     string `sanitize:"text"`
	Next     *node
	Children []node
	ByName   map[string]*node
	Any      any
}

type (
	listOfItself []listOfItself
	mapOfItself  map[string]mapOfItself
	pointer      *pointer
)

func TestTypesThatContainThemselves(t *testing.T) {
	t.Parallel()
	s := newSanitizer(t, sanitize.Config{})
	v := &node{Note: dirty, Next: &node{Note: dirty}, Children: []node{{Note: dirty, Any: &node{Note: dirty}}}, ByName: map[string]*node{"a": {Note: dirty}}}
	if err := s.CleanStruct(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	for i, got := range []string{v.Note, v.Next.Note, v.Children[0].Note, v.Children[0].Any.(*node).Note, v.ByName["a"].Note} {
		if got != asText {
			t.Errorf("note %d = %+q, want %+q", i, got, asText)
		}
	}
	var p pointer
	for _, v := range []any{&listOfItself{{}, {{}}}, &mapOfItself{"a": {"b": nil}}, &p, &struct{ L listOfItself }{}} {
		if err := s.CleanStruct(t.Context(), v); err != nil {
			t.Errorf("CleanStruct(%T) = %v, want nil", v, err)
		}
	}
	if err := sanitize.CheckTags[node](); err != nil {
		t.Errorf("CheckTags[node] = %v, want nil", err)
	}
}

// TestValuesThatContainThemselves ends although the value does not.
func TestValuesThatContainThemselves(t *testing.T) {
	t.Parallel()
	s := newSanitizer(t, sanitize.Config{})
	ring := &node{}
	ring.Next, ring.Children = ring, make([]node, 100)
	list := make([]any, 2)
	list[0], list[1] = list, list
	m := map[string]any{}
	m["a"], m["b"] = m, m
	for _, v := range []any{ring, &list, &m} {
		err := s.CleanStruct(t.Context(), v)
		if e, ok := errors.AsType[*sanitize.Error](err); !ok || e.Reason != sanitize.ReasonDepth || e.StatusCode() != http.StatusBadRequest {
			t.Errorf("CleanStruct(%T) = %v, want %s", v, err, sanitize.ReasonDepth)
		}
	}
}

type misspelt struct {
	Title string `sanitize:"txet"`
	Empty string `sanitize:""`
	In    struct {
		Age   int             `sanitize:"text"`
		Raw   json.RawMessage `sanitize:"text"`
		Sub   []inner         `sanitize:"ugc"`
		Self  listOfItself    `sanitize:"text"`
		token string          `sanitize:"text"`
	}
	Fine  int    `sanitize:"-"`
	Spare string `sanitize:"text"`
}

func TestTags(t *testing.T) {
	t.Parallel()
	if err := sanitize.CheckTags[everything](); err != nil {
		t.Errorf("CheckTags[everything] = %v, want nil", err)
	}
	if err := sanitize.CheckTags[*[]map[string]everything](); err != nil {
		t.Errorf("CheckTags of a container = %v, want nil", err)
	}
	v := misspelt{Title: dirty}
	v.In.token = "" // read nowhere else
	err := sanitize.CheckTags[map[string]*misspelt]()
	if err == nil {
		t.Fatal("CheckTags[misspelt] = nil, want an error")
	}
	raw := reflect.TypeFor[json.RawMessage]().String() // Go 1.27 has another name for it
	in := `struct { Age int "sanitize:\"text\""; Raw ` + raw + ` "sanitize:\"text\""; Sub []sanitize_test.inner "sanitize:\"ugc\""; ` +
		`Self sanitize_test.listOfItself "sanitize:\"text\""; token string "sanitize:\"text\"" }`
	want := []string{
		`sanitize: sanitize_test.misspelt.Title has the tag "txet", want plain, text, ugc, strip or -`,
		`sanitize: sanitize_test.misspelt.Empty has the tag "", want plain, text, ugc, strip or -`,
		`sanitize: ` + in + `.Age is int, want the tag at fields that hold strings`,
		`sanitize: ` + in + `.Raw is ` + raw + `, want the tag at fields that hold strings`,
		`sanitize: ` + in + `.Sub is []sanitize_test.inner, want the tag at fields that hold strings`,
		`sanitize: ` + in + `.Self is sanitize_test.listOfItself, want the tag at fields that hold strings`,
		`sanitize: ` + in + `.token is not exported, want no tag`,
	}
	if got := strings.Split(err.Error(), "\n"); !slices.Equal(got, want) {
		t.Errorf("CheckTags[misspelt] =\n%s\nwant\n%s", err, strings.Join(want, "\n"))
	}

	s := newSanitizer(t, sanitize.Config{})
	for _, v := range []any{&v, &struct{ Any any }{misspelt{Title: dirty}}} {
		e, ok := errors.AsType[*sanitize.Error](s.CleanStruct(t.Context(), v))
		if !ok || e.Reason != sanitize.ReasonTag || e.StatusCode() != http.StatusInternalServerError {
			t.Errorf("CleanStruct(%T) = %v, want %s", v, e, sanitize.ReasonTag)
		}
	}
	if v.Title != dirty {
		t.Errorf("Title = %q, want it as it was", v.Title)
	}
}

func TestTargets(t *testing.T) {
	t.Parallel()
	s := newSanitizer(t, sanitize.Config{})
	for _, v := range []any{nil, inner{}, "text", (*inner)(nil), map[string]string{}} {
		e, ok := errors.AsType[*sanitize.Error](s.CleanStruct(t.Context(), v))
		if !ok || e.Reason != sanitize.ReasonTarget || e.StatusCode() != http.StatusInternalServerError {
			t.Errorf("CleanStruct(%T) = %v, want %s", v, e, sanitize.ReasonTarget)
		}
	}
}

func TestCleanStructReports(t *testing.T) {
	t.Parallel()
	var got []decision.Decision
	s := newSanitizer(t, sanitize.Config{OnDecision: func(_ context.Context, d decision.Decision) { got = append(got, d) }})
	record := decision.NewRecord("r1")
	ctx := decision.NewContext(t.Context(), record)
	v := inner{Text: "canary<b>"}
	_ = s.CleanStruct(ctx, &v)
	_ = s.CleanStruct(ctx, &v)
	_ = s.CleanStruct(ctx, v)
	want := []decision.Decision{
		{Layer: "sanitize", Effect: decision.Modify, Rule: "sanitize_test.inner", Reason: "cleaned"},
		{Layer: "sanitize", Effect: decision.Allow, Rule: "sanitize_test.inner", Reason: "clean"},
		{Layer: "sanitize", Effect: decision.Deny, Rule: "sanitize_test.inner", Reason: "target", Detail: "CleanStruct wants a pointer that is not nil"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("hook = %+v, want %+v", got, want)
	}
	if got := record.Seal().Decisions; !slices.Equal(got, want) {
		t.Errorf("record = %+v, want %+v", got, want)
	}
}

func TestCleanStructConcurrently(t *testing.T) {
	t.Parallel()
	s := newSanitizer(t, sanitize.Config{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			got := fill(dirty)
			if err := s.CleanStruct(context.Background(), got); err != nil {
				t.Error(err)
				return
			}
			compareFields(t, got, cleaned())
		})
	}
	wg.Wait()
}

// TestDecodedJSON cleans what a JSON decoder makes of a document without a type.
func TestDecodedJSON(t *testing.T) {
	t.Parallel()
	s := newSanitizer(t, sanitize.Config{})
	var v struct {
		Extra map[string]any `sanitize:"text"`
	}
	const doc = `{"Extra":{"<i>":"<b>a</b>","b":[{"c":"x<script>y</script>"},1,null,true,"z\u0000"]}}`
	if err := json.Unmarshal([]byte(doc), &v); err != nil {
		t.Fatal(err)
	}
	if err := s.CleanStruct(t.Context(), &v); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"<i>": "a", "b": []any{map[string]any{"c": "x"}, 1.0, nil, true, "z"}}
	if !reflect.DeepEqual(v.Extra, want) {
		t.Errorf("got %q, want %q", v.Extra, want)
	}
}

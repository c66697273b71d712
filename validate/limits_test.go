package validate_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/validate"
)

// The largest bodies that a client can think of get an answer of 16 KiB, with
// as many faults as fit, however large MaxErrors is.
func TestAmplification(t *testing.T) {
	t.Parallel()
	type labelled struct {
		Labels map[string]item   `json:"labels" validate:"dive"`
		Words  map[string]string `json:"words" validate:"dive,max=1"`
		Any    any               `json:"any"`
	}
	long := strings.Repeat("n", 100_000)
	many := func(format string, n int) string {
		var b strings.Builder
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	for _, maxErrors := range []int{0, 1, 100} {
		v := newValidator(t, validate.Config{MaxErrors: maxErrors})
		h := validate.Body[labelled](v)(http.HandlerFunc(noContent))
		for _, tt := range []struct{ name, body string }{
			{"unknown members", `{` + many(`"x%d":0`, 9_000) + `}`},
			{"unknown members with long names", `{` + many(`"`+long+`%d":0`, 9) + `}`},
			{"names that JSON must escape", `{` + many(`"`+strings.Repeat(`\u0001<>&\u2028`, 40)+`%d":0`, 1_000) + `}`},
			{"duplicate members", `{"any":{` + many(`"x%[1]d":0,"x%[1]d":0`, 4_900) + `}}`},
			{"types", `{"labels":{` + many(`"x%d":0`, 9_000) + `}}`},
			{"rules", `{"words":{` + many(`"x%d":"long"`, 9_000) + `}}`},
			{"rules below", `{"labels":{` + many(`"x%d":{}`, 9_000) + `}}`},
			{"rules with names that are escaped", `{"words":{` + many(`"`+strings.Repeat("é", 300)+`%d":"long"`, 1_000) + `}}`},
			{"long name", `{"words":{"` + long + `":"long"}}`},
			{"long name of garbage", `{"` + long + `":}`},
			{"deep", strings.Repeat(`{"any":`, 9_000)},
		} {
			w := serve(h, request(tt.body))
			a := parse(t, w) // at most 16 KiB
			if w.Code != http.StatusUnprocessableEntity && w.Code != http.StatusBadRequest {
				t.Errorf("%s: status = %d", tt.name, w.Code)
			}
			if limit := max(maxErrors, 1); maxErrors > 0 && len(a.Errors) > limit || maxErrors == 0 && len(a.Errors) > 20 {
				t.Errorf("%s: %d faults with MaxErrors %d", tt.name, len(a.Errors), maxErrors)
			}
			if strings.HasPrefix(tt.body, `{"labels"`) && (!a.Truncated || !strings.HasSuffix(a.Detail, "It has more faults than are listed.")) {
				t.Errorf("%s: the answer does not tell that it is cut: %v %q", tt.name, a.Truncated, a.Detail)
			}
		}
	}
}

// Exactly as many faults as are listed are all of them.
func TestMaxErrors(t *testing.T) {
	t.Parallel()
	h := validate.Body[[]item](newValidator(t, validate.Config{MaxErrors: 3}))(http.HandlerFunc(noContent))
	for _, tt := range []struct {
		body      string
		faults    int
		truncated bool
	}{
		{`[{"sku":"abc","qty":0},{"sku":"abc","x":1,"qty":1},{"sku":"abc","qty":0}]`, 3, false},
		{`[{"sku":"abc","qty":0},{"sku":"abc","x":1,"qty":0},{"sku":"abc","qty":0}]`, 3, true},
		{`[{"a":1,"b":2,"c":3,"sku":"abc","qty":1}]`, 3, false},
		{`[{"a":1,"b":2,"c":3,"d":4,"sku":"abc","qty":1}]`, 3, true},
	} {
		a := parse(t, serve(h, request(tt.body)))
		if len(a.Errors) != tt.faults || a.Truncated != tt.truncated {
			t.Errorf("%s: %d faults, truncated %v, want %d, %v", tt.body, len(a.Errors), a.Truncated, tt.faults, tt.truncated)
		}
	}
}

// A path too long to show is cut behind a whole name: what is left resolves.
func TestLongPointer(t *testing.T) {
	t.Parallel()
	type T struct {
		M map[string]map[string]leaf `json:"m" validate:"dive,dive"`
	}
	h := validate.Body[T](newValidator(t, validate.Config{}))(http.HandlerFunc(noContent))
	name := strings.Repeat("n", 150)
	a := parse(t, serve(h, request(`{"m":{"`+name+`":{"`+name+`":{"qty":77}}}}`)))
	if len(a.Errors) != 1 || a.Errors[0].Pointer != "#/m/"+name || a.Errors[0].Detail != "holds a value, too long to point at, that must be at most 9" {
		t.Errorf("faults = %+v", a.Errors)
	}
}

// The engine spells out the way to each value that breaks a rule: one long key
// in front of many values would cost gigabytes.
func TestPathsAreBounded(t *testing.T) { // not parallel: it measures memory
	type T struct {
		M map[string][]leaf `json:"m" validate:"dive,dive"`
		L []leaf            `json:"l" validate:"dive"`
		A any               `json:"a"`
	}
	v := newValidator(t, validate.Config{})
	h := validate.Body[T](v)(http.HandlerFunc(noContent))
	body := func(n int) string {
		return `{"m":{"` + strings.Repeat("n", n) + `":[` + strings.TrimSuffix(strings.Repeat(`{"qty":77},`, 4_900), ",") + `]}}`
	}
	for _, tt := range []struct {
		n, status int
		code      string
	}{
		{validate.MaxPath - len("m"+"qty"), 422, "max"},
		{validate.MaxPath - len("m"+"qty") + 1, 400, "path"},
		{900_000, 400, "path"},
	} {
		a := parse(t, serve(h, request(body(tt.n))))
		if a.Status != tt.status || a.Errors[0].Code != tt.code {
			t.Errorf("name of %d bytes: %d %s, want %d %s", tt.n, a.Status, a.Errors[0].Code, tt.status, tt.code)
		}
	}
	worst := allocatedBy(func() { serve(h, request(body(validate.MaxPath-4))) })
	if worst > 100<<20 {
		t.Errorf("the worst body allocates %d bytes, want less than 100 MiB", worst)
	}
	// Where no rule stands behind a key, names may be as long as they like.
	free := validate.Body[map[string]any](v)(http.HandlerFunc(noContent))
	if w := serve(free, request(`{"`+strings.Repeat("n", 900_000)+`":[{}]}`)); w.Code != http.StatusNoContent {
		t.Errorf("long name without rules = %d, want 204", w.Code)
	}
}

func TestScan(t *testing.T) { // not parallel: it counts allocations
	for _, tt := range []struct {
		doc                 string
		depth, values, path int
	}{
		{`1`, 0, 0, 0},
		{`"[[[,,,"`, 0, 0, 0},
		{`[]`, 1, 0, 0},
		{`[ ]`, 1, 0, 0},
		{`[0]`, 1, 1, 0},
		{`[[],[]]`, 2, 2, 0},
		{`{"a":{"bc":[1,2]},"d":"x\",\\"}`, 3, 5, 3},
		{`{"":""}`, 1, 1, 0},
		{`{"\"":{"\\":{"\\\"":1}}}`, 3, 3, 8},
	} {
		depth, values, path, exceeded := validate.Scan([]byte(tt.doc), 256, 1000)
		if depth != tt.depth || values != tt.values || path != tt.path || exceeded != "" {
			t.Errorf("%s: %d deep, %d values, %d path, %q; want %d, %d, %d", tt.doc, depth, values, path, exceeded, tt.depth, tt.values, tt.path)
		}
	}
	for doc, want := range map[string]string{
		"[[[": "depth", "[1,2,3,4,": "values", "[1,2,3,4]": "values", "[1,2,3]": "", "]]]]": "", `"`: "", `"\`: "", ``: "", "[[]": "",
	} {
		if _, _, _, got := validate.Scan([]byte(doc), 2, 3); got != want {
			t.Errorf("%s: %q, want %q", doc, got, want)
		}
	}
	doc := []byte(strings.Repeat(`{"a":[1,"\\\"x",{}],"b":`, 30) + strings.Repeat("}", 30))
	if n := testing.AllocsPerRun(10, func() { validate.Scan(doc, 256, 1000) }); n != 0 {
		t.Errorf("scan allocates %v times", n)
	}
}

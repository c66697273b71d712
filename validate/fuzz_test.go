package validate_test

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/gatehouse-go/gatehouse/validate"
)

type fuzzed struct {
	Name   string             `json:"name" validate:"omitempty,min=2,max=20"`
	Email  *string            `json:"email" validate:"omitempty,email"`
	Count  int16              `json:"count" validate:"max=99"`
	Ratio  float64            `json:"ratio"`
	On     bool               `json:"on"`
	When   *time.Time         `json:"when"`
	Raw    []byte             `json:"raw"`
	Items  []*item            `json:"items" validate:"dive"`
	Map    map[string]leaf    `json:"map" validate:"dive,keys,max=9,endkeys"`
	Ints   map[int8][]string  `json:"ints" validate:"dive,dive,max=3"`
	Kids   []fuzzed           `json:"kids" validate:"dive"`
	Any    any                `json:"any"`
	Struct struct{ A, B int } `json:"struct"`
}

// FuzzBody: whatever is admitted, strict encoding/json decodes to the same
// value, and the handler can read the same bytes. Whatever is refused gets a
// bounded problem whose pointers are well-formed. Nothing panics.
func FuzzBody(f *testing.F) {
	for _, s := range []string{
		validOrder, `{}`, `null`, `[]`, ``, `{"name":"ab","count":7,"items":[{"sku":"abc","qty":1}],"map":{"a/b":{"qty":1}},"ints":{"1":["a"]}}`,
		`{"name":"a","NAME":"b","count":1e3,"email":"x","items":[null,{"qty":-1}],"map":{"a][b":{"qty":99}},"ints":{"-0":["long"],"0":[]}}`,
		`{"kids":[{"kids":[{"kids":[{"name":"x"}]}]}],"any":{"a":{"a":[1,{"b":1,"b":2}]}}}`, `{"when":"2026-11-22T10:00:00Z","raw":"AAAA"}`,
		`{"name":"\ud83d\ude00\u0000"}`, `{"name":"\ud800"}`, "{\"name\":\"\xff\"}", `{"a":1,"a":2} x`, `{"struct":{"A":1,"b":2}}`, "[[[[[[[[[[",
		`{"ints":{"0":["0000"],"0":[]}}`,
	} {
		f.Add([]byte(s))
	}
	v := newValidator(f, validate.Config{MaxBytes: 1 << 16})
	f.Fuzz(func(t *testing.T, body []byte) {
		var got *fuzzed
		h := validate.Body[fuzzed](v)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			again, err := io.ReadAll(r.Body)
			if err != nil || !bytes.Equal(again, body) {
				t.Errorf("body = %q (%v), want %q", again, err, body)
			}
			got, _ = validate.FromContext[fuzzed](r.Context())
			w.WriteHeader(http.StatusNoContent)
		}))
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := serve(h, r)
		switch w.Code {
		case http.StatusNoContent:
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
			parse(t, w)
			return
		case http.StatusUnprocessableEntity:
			a := parse(t, w)
			if len(a.Errors) == 0 {
				t.Errorf("no fault is told: %s", w.Body)
			}
			var sent any
			if err := stdjson.Unmarshal(body, &sent); err != nil {
				t.Errorf("422 for what is not JSON: %v", err)
			}
			for _, fault := range a.Errors {
				if slices.ContainsFunc(a.Errors, func(d validate.Fault) bool {
					return d.Code == "duplicate" && strings.HasPrefix(fault.Pointer, d.Pointer+"/")
				}) {
					continue // beneath a name that stands for two values
				}
				_, err := resolve(sent, fault.Pointer)
				if err != nil && fault.Code != "required" && fault.Code != "min" { // those may be absent
					t.Errorf("%s %s: %v", fault.Pointer, fault.Code, err)
				}
			}
			return
		default:
			t.Fatalf("status = %d: %s", w.Code, w.Body)
		}
		var want fuzzed
		dec := stdjson.NewDecoder(bytes.NewReader(body))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&want); err != nil {
			t.Fatalf("admitted, but encoding/json says %v", err)
		}
		if _, err := dec.Token(); !errors.Is(err, io.EOF) {
			t.Errorf("admitted, but there is data behind it: %v", err)
		}
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("value = %+v, want %+v", *got, want)
		}
	})
}

// FuzzScan: of valid JSON the scan finds what the tokens say, and the limits
// are exact. Of anything else it says something without panicking.
func FuzzScan(f *testing.F) {
	for _, s := range []string{validOrder, `[[],{},[0,[1]],{"a":{"b":"\\\""}}]`, `"`, `"\`, `]`, `{"a":`, `[1,]`, ` [ ] `, `"a":1`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		depth, values, path, _ := validate.Scan(doc, validate.DepthCeiling, 1<<30)
		d, n, p, ok := measure(doc)
		if !ok {
			return
		}
		if d > validate.DepthCeiling {
			return
		}
		if depth != d || values != n || path != p {
			t.Fatalf("scan = %d deep, %d values, %d path, want %d, %d, %d", depth, values, path, d, n, p)
		}
		for _, tt := range []struct {
			maxDepth, maxValues int
			want                string
		}{
			{d, n, ""},
			{d - 1, n, "depth"},
			{d, n - 1, "values"},
		} {
			if tt.maxDepth < 0 || tt.maxValues < 0 {
				continue
			}
			if _, _, _, got := validate.Scan(doc, tt.maxDepth, tt.maxValues); got != tt.want {
				t.Errorf("limits %d, %d: %q, want %q", tt.maxDepth, tt.maxValues, got, tt.want)
			}
		}
	})
}

// measure is scan by way of a real tokenizer.
func measure(doc []byte) (depth, values, path int, ok bool) {
	dec := jsontext.NewDecoder(bytes.NewReader(doc), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	var names []int // bytes of the name at each depth
	for {
		before := dec.StackDepth()
		kind, length := dec.StackIndex(before)
		isName := kind == '{' && length%2 == 0
		k := dec.PeekKind()
		if isName && k == '"' {
			raw, err := dec.ReadValue()
			if err != nil {
				return 0, 0, 0, false
			}
			names[before-1] = len(raw) - 2
			sum := 0
			for _, n := range names {
				sum += n
			}
			path = max(path, sum)
			continue
		}
		token, err := dec.ReadToken()
		if errors.Is(err, io.EOF) {
			return depth, values, path, depth > 0 || dec.InputOffset() > 0
		}
		if err != nil {
			return 0, 0, 0, false
		}
		switch token.Kind() {
		case '}', ']':
			names = names[:len(names)-1]
			continue
		case '{', '[':
			names = append(names, 0)
		}
		depth = max(depth, dec.StackDepth())
		if before > 0 {
			values++
		} else if dec.StackDepth() == 0 || len(names) == 1 {
			if rest := bytes.TrimSpace(doc[dec.InputOffset():]); dec.StackDepth() == 0 && len(rest) > 0 {
				return 0, 0, 0, false // a stream of documents
			}
		}
	}
}

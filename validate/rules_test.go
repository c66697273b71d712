package validate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-playground/validator/v10"

	"github.com/gatehouse-go/gatehouse/validate"
)

func registerFuse(v *validator.Validate) error {
	return v.RegisterValidation("fuse", func(fl validator.FieldLevel) bool {
		if strings.HasPrefix(fl.Field().String(), "boom") {
			panic(fl.Field().String())
		}
		return fl.Field().String() != "bad"
	})
}

func registerBadly(*validator.Validate) error { return errors.New("no") }

// recovered returns what wiring panics with.
func recovered(f func()) (text string) {
	defer func() {
		if p := recover(); p != nil {
			text = fmt.Sprint(p)
		}
	}()
	f()
	return ""
}

// Every mistake in a T shows when the route is built, also in branches that no
// request may ever reach.
func TestWiring(t *testing.T) {
	t.Parallel()
	v := newValidator(t, validate.Config{Register: registerFuse})
	type inner struct {
		N int `validate:"min=1"`
	}
	type unexported struct{ A string }
	type cyclic struct {
		Next []*struct {
			X []inner
		} `validate:"dive"`
	}
	for _, tt := range []struct {
		name string
		wire func()
		want string
	}{
		{"nil Validator", func() { validate.Body[order](nil) }, "nil *Validator"},
		{"nil Handler", func() { (*validate.Validator)(nil).Handler(nil) }, "nil *Validator"},
		{"pointer", func() { validate.Body[*order](v) }, "T is *validate_test.order, want validate_test.order"},
		{"channel", func() { validate.Body[chan int](v) }, "want a type that JSON decodes into"},
		{"function in a field", func() { validate.Body[struct{ F func() }](v) }, ".F is a func()"},
		{"interface", func() { validate.Body[struct{ F fmt.Stringer }](v) }, ".F is a fmt.Stringer"},
		{"duration", func() { validate.Body[struct{ D []time.Duration }](v) }, "no form in JSON"},
		{"map keys", func() { validate.Body[map[bool]int](v) }, "keys are strings or numbers"},
		{"two fields of one name", func() {
			validate.Body[struct {
				A int `json:"B"`
				B int
			}](v)
		}, `.B is the second field for the member "B"`},
		{"case-insensitive", func() {
			validate.Body[struct {
				A int `json:"a,case:ignore"`
			}](v)
		}, "names are case-sensitive"},
		{"members of any name", func() {
			validate.Body[struct {
				A map[string]any `json:",embed"`
			}](v)
		}, "AllowUnknown"},
		{"embedded pointer to unexported", func() { validate.Body[struct{ *unexported }](v) }, "cannot be decoded into"},
		{"decoder's last word", func() {
			validate.Body[struct {
				A struct{} `json:",embed,omitzero"`
			}](v)
		}, "cannot be decoded"},
		{"quoted value that is no number", func() {
			// vet knows this one, so the type is made here
			t := reflect.StructOf([]reflect.StructField{{Name: "A", Type: reflect.TypeFor[[]int](), Tag: `json:"a,string"`}})
			panic(v.Decode(context.Background(), []byte(`{}`), reflect.New(t).Interface()))
		}, "which is for numbers"},
		{"quoted name", func() {
			validate.Body[struct {
				A int `json:"'a'"`
			}](v)
		}, "want a plain name"},

		{"unknown rule", func() {
			validate.Body[struct {
				A string `validate:"required,nope"`
			}](v)
		}, `.A has the tag "required,nope", which does not parse: Undefined validation function 'nope'`},
		{"rule in a nil pointer", func() {
			validate.Body[struct {
				P *struct {
					B bool `validate:"min=3"`
				}
			}](v)
		}, `.B has the rule "min=3", which is not for a bool`},
		{"rule in an empty slice", func() {
			validate.Body[struct {
				S []struct {
					M map[string]struct {
						B bool `validate:"max=3"`
					} `validate:"dive"`
				} `validate:"dive"`
			}](v)
		}, `which is not for a bool`},
		{"rule behind a rule", func() {
			validate.Body[struct {
				S []bool `validate:"max=3,dive,required,len=2"`
			}](v)
		}, `"len=2", which is not for a bool`},
		{"rule for keys", func() {
			validate.Body[struct {
				M map[string]int `validate:"dive,keys,latitude,image,endkeys,email"`
			}](v)
		}, "look at the server's files"},
		{"alternatives", func() {
			validate.Body[struct {
				N int `validate:"eq=1|uuid"`
			}](v)
		}, `"uuid", which is not for a int`},
		{"string rule on a number", func() {
			validate.Body[struct {
				N int `validate:"email"`
			}](v)
		}, `"email", which is not for a int`},
		{"string rule on a struct", func() {
			validate.Body[struct {
				N inner `validate:"email"`
			}](newValidator(t, validate.Config{}))
		}, `"email", which is not for a validate_test.inner`},
		{"parameter of another type", func() {
			validate.Body[struct {
				N int `validate:"max=ten"`
			}](v)
		}, `"max=ten", which is not for a int`},
		{"rule on any", func() {
			validate.Body[struct {
				A any `validate:"min=3"`
			}](v)
		}, "can be of any type"},
		{"dive into a string", func() {
			validate.Body[struct {
				A string `validate:"dive,required"`
			}](v)
		}, "has a dive into a string"},
		{"no dive", func() { validate.Body[struct{ L []inner }](v) }, ".L is a []validate_test.inner with rules beneath it, want dive"},
		{"no dive in a map", func() {
			validate.Body[struct {
				L map[string]*inner `validate:"required"`
			}](v)
		}, "want dive"},
		{"one dive of two", func() {
			validate.Body[struct {
				L [][]inner `validate:"dive,max=3"`
			}](v)
		}, "want dive"},
		{"no dive far below", func() { validate.Body[cyclic](v) }, ".X is a []validate_test.inner with rules"},
		{"no such field", func() {
			validate.Body[struct {
				A string `validate:"eqfield=B"`
			}](v)
		}, `has no field "B"`},
		{"no such field in a condition", func() {
			validate.Body[struct {
				A string `validate:"required_if=B x"`
			}](v)
		}, `has no field "B"`},
		{"file", func() {
			validate.Body[struct {
				A string `validate:"omitempty,file"`
			}](v)
		}, `"file", which would look at the server's files`},
		{"unknown rule on any", func() {
			validate.Body[struct {
				A any `validate:"nope"`
			}](v)
		}, "does not parse"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := recovered(tt.wire); !strings.Contains(got, tt.want) || got == "" {
				t.Errorf("panic = %q, want %q in it", got, tt.want)
			}
		})
	}
	for _, rule := range []string{"file", "filepath", "dir", "dirpath", "image", "mimetype", "uds_exists"} {
		if got := recovered(func() { wireRule(t, rule) }); !strings.Contains(got, "files") {
			t.Errorf("%s: panic = %q", rule, got)
		}
	}
}

// wireRule builds a route for a string with the rule.
func wireRule(t *testing.T, rule string) {
	t.Helper()
	v := newValidator(t, validate.Config{})
	switch rule {
	case "file":
		validate.Body[struct {
			A string `validate:"file"`
		}](v)
	case "filepath":
		validate.Body[struct {
			A string `validate:"filepath"`
		}](v)
	case "dir":
		validate.Body[struct {
			A string `validate:"dir"`
		}](v)
	case "dirpath":
		validate.Body[struct {
			A string `validate:"dirpath"`
		}](v)
	case "image":
		validate.Body[struct {
			A string `validate:"image"`
		}](v)
	case "mimetype":
		validate.Body[struct {
			A string `validate:"mimetype=image/png"`
		}](v)
	case "uds_exists":
		validate.Body[struct {
			A string `validate:"uds_exists"`
		}](v)
	}
}

// All mistakes of a T are told at once.
func TestWiringTellsAll(t *testing.T) {
	t.Parallel()
	v := newValidator(t, validate.Config{})
	got := recovered(func() {
		validate.Body[struct {
			A bool `validate:"min=3"`
			B int  `validate:"email"`
			C func()
		}](v)
	})
	for _, want := range []string{".A has", ".B has", ".C is"} {
		if !strings.Contains(got, want) {
			t.Errorf("panic = %q, lacks %q", got, want)
		}
	}
}

type base struct {
	ID string `json:"id" validate:"required"`
}

type Version struct {
	Tag string `json:"tag" validate:"required"`
}

type level string

type tree struct {
	base
	*Version `validate:"required"`
	Level    level               `json:"level" validate:"omitempty,oneof=low high"`
	When     *time.Time          `json:"when" validate:"omitempty,lt"`
	Pair     [2]int8             `json:"pair" validate:"dive,max=9"`
	Raw      []byte              `json:"raw" validate:"max=4"`
	Big      int64               `json:"big,string" validate:"max=5"`
	Odd      map[string]leaf     `json:"odd.name[0]" validate:"dive"`
	Deep     map[string]*branch  `json:"deep" validate:"dive,required"`
	Numbers  map[int]leaf        `json:"numbers" validate:"dive"`
	Addrs    map[netip.Addr]leaf `json:"addrs" validate:"dive"`
	Kids     []tree              `json:"kids" validate:"dive"`
	hidden   string
	Ignored  string `json:"-"`
}

type (
	branch struct {
		Leaves []*leaf `json:"leaves" validate:"dive"`
	}
	leaf struct {
		Qty int `json:"qty" validate:"max=9"`
	}
)

// resolve follows a Pointer in doc, by RFC 6901 sections 4 and 6.
func resolve(doc any, pointer string) (any, error) {
	fragment, ok := strings.CutPrefix(pointer, "#")
	if !ok {
		return nil, errors.New("no fragment")
	}
	fragment, err := url.PathUnescape(fragment)
	if err != nil || fragment == "" {
		return doc, err
	}
	for token := range strings.SplitSeq(fragment[1:], "/") {
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		switch at := doc.(type) {
		case map[string]any:
			if doc, ok = at[token]; !ok {
				return nil, fmt.Errorf("no member %q", token)
			}
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i >= len(at) {
				return nil, fmt.Errorf("no element %q", token)
			}
			doc = at[i]
		default:
			return nil, fmt.Errorf("%T at %q", at, token)
		}
	}
	return doc, nil
}

// Pointers lead to the faulty value, whatever the client called its members.
func TestPointersResolve(t *testing.T) {
	t.Parallel()
	type nested struct {
		Nest map[string]map[string]leaf `json:"nest" validate:"dive,dive"`
		Odd  map[string]leaf            `json:"odd.name[0]" validate:"dive"`
		Deep map[string]*branch         `json:"deep" validate:"dive,required"`
		Num  map[int]leaf               `json:"num" validate:"dive"`
		Addr map[netip.Addr]leaf        `json:"addr" validate:"dive"`
	}
	h := validate.Body[nested](newValidator(t, validate.Config{MaxErrors: 100}))(http.HandlerFunc(noContent))
	keys := []string{"", " ", "a", "a/b", "m~n", "~1", "~0", "x.y", "x].qty", "].[", "[0]", "a][b", "0", "%41", "\"", "\x00", "ü", "日本", "\u2028", "<&>", ".", "qty", "a b#c?d"}
	good, bad := map[string]any{"qty": 1}, map[string]any{"qty": 77}
	for i, key := range keys {
		// One faulty value under the key; all the others are as they must be.
		odd, deep := map[string]any{}, map[string]any{}
		for j, k := range keys {
			value := good
			if i == j {
				value = bad
			}
			odd[k] = value
			deep[k] = map[string]any{"leaves": []any{good, nil, value}}
		}
		doc := map[string]any{"odd.name[0]": odd, "deep": deep}
		body, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		w := serve(h, request(string(body)))
		a := parse(t, w)
		if len(a.Errors) != 2 {
			t.Errorf("key %q: faults = %v, want 2", key, a.Errors)
		}
		var sent any
		if err := json.Unmarshal(body, &sent); err != nil {
			t.Fatal(err)
		}
		for _, f := range a.Errors {
			if got, err := resolve(sent, f.Pointer); err != nil || got != 77.0 {
				t.Errorf("key %q: %s leads to %v (%v), want the faulty value", key, f.Pointer, got, err)
			}
			for _, c := range []byte(f.Pointer) {
				if c <= ' ' || c > '~' || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
					t.Errorf("key %q: %q is no URI fragment", key, f.Pointer)
				}
			}
		}
	}
	for _, tt := range []struct{ body, want string }{
		// The engine has one name for both places.
		{`{"nest":{"a][b":{"c":{"qty":77}},"a":{"b][c":{"qty":1}}}}`, "#/nest/a%5D%5Bb/c/qty max"},
		{`{"nest":{"a][b":{"c":{"qty":1}},"a":{"b][c":{"qty":77}}}}`, "#/nest/a/b%5D%5Bc/qty max"},
		// The name is as it was sent, not as Go prints the key.
		{`{"num":{"-0":{"qty":77}}}`, "#/num/-0/qty max"},
		{`{"num":{"7":{"qty":77}}}`, "#/num/7/qty max"},
		{`{"num":{"0":{"qty":1},"-0":{"qty":1}}}`, "#/num/-0 duplicate"},
		{`{"num":{"x":{"qty":1}}}`, "#/num/x type"},
		{`{"addr":{"2001:DB8::1":{"qty":77}}}`, "#/addr/2001:DB8::1/qty max"},
		{`{"addr":{"2001:DB8::1":{"qty":1},"2001:db8::1":{}}}`, "#/addr/2001:db8::1 duplicate"},
		{`{"deep":{"a":null}}`, "#/deep/a required"},
	} {
		if got := strings.Join(faults(parse(t, serve(h, request(tt.body)))), "|"); got != tt.want {
			t.Errorf("%s has the faults %s, want %s", tt.body, got, tt.want)
		}
	}
}

func TestShapes(t *testing.T) {
	t.Parallel()
	_ = tree{}.hidden
	v := newValidator(t, validate.Config{})
	h := validate.Body[tree](v)(http.HandlerFunc(noContent))
	for _, tt := range []struct{ body, want string }{
		{`{"id":"1","tag":"v1"}`, ""},
		{`{"id":"1","tag":"v1","kids":[{"id":"2","tag":"v2"}]}`, ""},
		{`{"tag":"v1"}`, "#/id required"},
		{`{"id":"1"}`, "# required"}, // nothing of the embedded pointer was sent
		{`{"id":"1","tag":""}`, "#/tag required"},
		{`{"id":"1","tag":7}`, "#/tag type"},
		{`{"id":7,"tag":"v1"}`, "#/id type"},
		{`{"id":"1","tag":"v1","version":{}}`, "#/version unknown"},
		{`{"id":"1","tag":"v1","hidden":"x"}`, "#/hidden unknown"},
		{`{"id":"1","tag":"v1","Ignored":"x"}`, "#/Ignored unknown"},
		{`{"id":"1","tag":"v1","level":"mid"}`, "#/level oneof"},
		{`{"id":"1","tag":"v1","when":"tomorrow"}`, "#/when type"},
		{`{"id":"1","tag":"v1","when":"9999-01-01T00:00:00Z"}`, "#/when lt"},
		{`{"id":"1","tag":"v1","pair":[1,10]}`, "#/pair/1 max"},
		{`{"id":"1","tag":"v1","pair":[1]}`, "#/pair type"},
		{`{"id":"1","tag":"v1","pair":[1,2,3]}`, "#/pair type"},
		{`{"id":"1","tag":"v1","raw":"AAAAAAAA"}`, "#/raw max"},
		{`{"id":"1","tag":"v1","raw":"?"}`, "#/raw type"},
		{`{"id":"1","tag":"v1","big":5}`, "#/big type"},
		{`{"id":"1","tag":"v1","big":"6"}`, "#/big max"},
		{`{"id":"1","tag":"v1","kids":[{"id":"2"},7,{"tag":"t","x":0}]}`, "#/kids/1 type|#/kids/2/x unknown|#/kids/0 required|#/kids/2/id required"},
		{`{"id":"1","tag":"v1","deep":{"a":{"leaves":[{"qty":1},{"qty":"1"},null,{"qty":10}]}}}`, "#/deep/a/leaves/1/qty type|#/deep/a/leaves/3/qty max"},
	} {
		w := serve(h, request(tt.body))
		if tt.want == "" {
			if w.Code != http.StatusNoContent {
				t.Errorf("%s = %d, want 204: %s", tt.body, w.Code, w.Body)
			}
			continue
		}
		if got := strings.Join(faults(parse(t, w)), "|"); got != tt.want {
			t.Errorf("%s has the faults\n%s, want\n%s", tt.body, got, tt.want)
		}
	}
}

// A T need not be a struct.
func TestOtherRoots(t *testing.T) {
	t.Parallel()
	v := newValidator(t, validate.Config{})
	for _, tt := range []struct {
		h    http.Handler
		body string
		want string
	}{
		{validate.Body[[]item](v)(http.HandlerFunc(noContent)), `[{"sku":"abc","qty":1},{"sku":"abc","qty":0}]`, "#/1/qty min"},
		{validate.Body[[]item](v)(http.HandlerFunc(noContent)), `null`, "# type"},
		{validate.Body[[]*item](v)(http.HandlerFunc(noContent)), `[{"sku":"abc","qty":1}]`, ""},
		{validate.Body[map[string][]item](v)(http.HandlerFunc(noContent)), `{"a.b":[{"sku":"abc","qty":0}]}`, "#/a.b/0/qty min"},
		{validate.Body[map[string]int](v)(http.HandlerFunc(noContent)), `{"a":1,"b":"2"}`, "#/b type"},
		{validate.Body[any](v)(http.HandlerFunc(noContent)), `null`, ""},
		{validate.Body[any](v)(http.HandlerFunc(noContent)), `{"a":{"b":1,"b":2}}`, "#/a/b duplicate"},
		{validate.Body[string](v)(http.HandlerFunc(noContent)), `7`, "# type"},
		{validate.Body[time.Time](v)(http.HandlerFunc(noContent)), `"2026-11-22T00:00:00Z"`, ""},
		{validate.Body[struct{}](v)(http.HandlerFunc(noContent)), `{"a":1}`, "#/a unknown"},
	} {
		w := serve(tt.h, request(tt.body))
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

// Types that decode themselves may name an inner place and must be strict too.
func TestCustomDecoding(t *testing.T) {
	t.Parallel()
	type outer struct {
		E explosive  `json:"e"`
		A netip.Addr `json:"a"`
	}
	h := validate.Body[outer](newValidator(t, validate.Config{}))(http.HandlerFunc(noContent))
	for _, tt := range []struct{ body, want string }{
		{`{"e":"x","a":"192.0.2.1"}`, ""},
		{`{"e":7,"a":"nowhere"}`, "#/e type|#/a type"},
		{`{"e":{"x":1,"x":2}}`, "#/e/x duplicate"},
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

func TestMessages(t *testing.T) {
	t.Parallel()
	type words struct {
		Min      string         `json:"min" validate:"min=3"`
		One      string         `json:"one" validate:"min=1"`
		Max      string         `json:"max" validate:"max=2"`
		Len      string         `json:"len" validate:"len=2"`
		Eq       string         `json:"eq" validate:"eq=yes"`
		Number   float64        `json:"number" validate:"gt=2.5"`
		Length   int            `json:"length" validate:"len=4"`
		List     []int          `json:"list" validate:"gt=1"`
		Fixed    []int          `json:"fixed" validate:"eq=2"`
		Not      []int          `json:"not" validate:"ne=0"`
		Map      map[string]int `json:"map" validate:"min=2"`
		When     time.Time      `json:"when" validate:"gt"`
		Password string         `json:"password" validate:"required_with=Repeat"`
		Repeat   string         `json:"repeat" validate:"eqfield=Password"`
		OneOf    string         `json:"one_of" validate:"oneof=a b"`
		Email    string         `json:"email" validate:"email"`
		Begin    string         `json:"begin" validate:"startswith=ab0x2C"`
		Or       string         `json:"or" validate:"len=2|uuid"`
		Colour   string         `json:"colour" validate:"iscolor"`
		Rare     string         `json:"rare" validate:"issn"`
		Own      string         `json:"own" validate:"fuse"`
		Default  int            `json:"default" validate:"isdefault"`
		None     string         `json:"none" validate:"noneof=x y"`
	}
	v := newValidator(t, validate.Config{Register: registerFuse, MaxErrors: 100})
	h := validate.Body[words](v)(http.HandlerFunc(noContent))
	w := serve(h, request(`{"max":"abc","repeat":"x","one_of":"c","own":"bad","default":1,"none":"x"}`))
	want := map[string]string{
		"min": "must be at least 3 characters long", "one": "must be at least 1 character long",
		"max": "must be at most 2 characters long", "len": "must be exactly 2 characters long",
		"eq": "must be equal to yes", "number": "must be more than 2.5", "length": "must be equal to 4",
		"list": "must have more than 1 element", "fixed": "must have exactly 2 elements",
		"not": "must not have exactly 0 elements", "map": "must have at least 2 members",
		"when": "must be in the future", "password": "is required here", "repeat": "must be the same as password",
		"one_of": "must be one of: a, b", "email": "must be an e-mail address", "begin": "must begin with ab,",
		"or": `does not satisfy the rule "len=2|uuid"`, "colour": "must be a colour", "rare": `does not satisfy the rule "issn"`,
		"own": `does not satisfy the rule "fuse"`, "default": "is not allowed here", "none": "must be none of: x, y",
	}
	got := make(map[string]string)
	for _, f := range parse(t, w).Errors {
		got[strings.TrimPrefix(f.Pointer, "#/")] = f.Detail
	}
	for name, detail := range want {
		if got[name] != detail {
			t.Errorf("%s: %q, want %q", name, got[name], detail)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d faults, want %d", len(got), len(want))
	}
}

// Struct-level rules may report by either name of a field, and cross-struct
// rules see the whole T.
func TestRegister(t *testing.T) {
	t.Parallel()
	type span struct {
		From int `json:"from"`
		To   int `json:"to" validate:"gtecsfield=From"`
	}
	type plan struct {
		Spans []span `json:"spans" validate:"dive"`
		Price int    `json:"price" validate:"dear"`
	}
	v := newValidator(t, validate.Config{Register: func(v *validator.Validate) error {
		v.SetTagName("binding") // stays validate
		v.RegisterAlias("dear", "gt=100")
		v.RegisterStructValidation(func(sl validator.StructLevel) {
			s, _ := reflect.TypeAssert[span](sl.Current())
			if s.From == 13 {
				sl.ReportError(s.From, "from", "From", "unlucky", "")
			}
			if s.From == 14 {
				sl.ReportError(s.From, "From", "From", "unlucky", "")
			}
			if s.From == 15 {
				sl.ReportError(s.From, "elsewhere", "Elsewhere", "unlucky", "")
			}
		}, span{})
		return nil
	}})
	h := validate.Body[plan](v)(http.HandlerFunc(noContent))
	for _, tt := range []struct{ body, want string }{
		{`{"price":101,"spans":[{"from":1,"to":2},{"from":13,"to":20}]}`, "#/spans/1/from unlucky"},
		{`{"price":101,"spans":[{"from":14,"to":20}]}`, "#/spans/0/from unlucky"},
		{`{"price":101,"spans":[{"from":15,"to":20}]}`, "# unlucky"},
		{`{"price":1}`, "#/price dear"},
	} {
		if got := strings.Join(faults(parse(t, serve(h, request(tt.body)))), "|"); got != tt.want {
			t.Errorf("%s has the faults %s, want %s", tt.body, got, tt.want)
		}
	}
	if _, err := validate.New(validate.Config{Register: func(v *validator.Validate) error {
		return v.RegisterValidation("dive", func(validator.FieldLevel) bool { return true })
	}}); err == nil || !strings.Contains(err.Error(), "Register panicked") {
		t.Errorf("New = %v, want what Register panicked with", err)
	}
}

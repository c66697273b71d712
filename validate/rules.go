package validate

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-playground/validator/v10"
)

const tagName = "validate"

// newEngine returns the engine with the user's tags.
func newEngine(register func(*validator.Validate) error) (engine *validator.Validate, err error) {
	defer func() {
		if thrown := recover(); thrown != nil {
			err = fmt.Errorf("panicked: %v", thrown)
		}
	}()
	engine = validator.New(validator.WithRequiredStructEnabled(), validator.WithTagNameFuncBlankOmit())
	if register != nil {
		if err := register(engine); err != nil {
			return nil, fmt.Errorf("failed: %w", err)
		}
	}
	engine.SetTagName(tagName)
	engine.RegisterTagNameFunc(fieldName)
	return engine, nil
}

// A ruleCheck finds the tags in a type that do not do what they say. The
// engine itself panics over them, but only in the request that gets there.
type ruleCheck struct {
	v     *Validator
	shape *shape
	plain *validator.Validate // without the user's tags
	seen  map[reflect.Type]bool
	errs  *[]error
}

func newRuleCheck(v *Validator, s *shape, errs *[]error) *ruleCheck {
	return &ruleCheck{v, s, validator.New(), make(map[reflect.Type]bool), errs}
}

func (c *ruleCheck) bad(where, format string, args ...any) {
	*c.errs = append(*c.errs, fmt.Errorf("validate: %s %s", where, fmt.Sprintf(format, args...)))
}

// check checks the tags of t and of all types beneath it.
func (c *ruleCheck) check(t reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		c.check(t.Elem())
	case reflect.Map:
		if hasRules(t.Elem(), nil) {
			c.shape.maps = true
		}
		c.check(t.Elem())
	case reflect.Struct:
		if c.seen[t] || isTime(t) {
			return
		}
		c.seen[t] = true
		for sf := range t.Fields() {
			if sf.IsExported() || sf.Anonymous {
				c.field(t, sf)
			}
		}
	}
}

func (c *ruleCheck) field(parent reflect.Type, sf reflect.StructField) {
	where := parent.String() + "." + sf.Name
	tag := sf.Tag.Get(tagName)
	if tag == "-" {
		return
	}
	t := sf.Type
	if tag != "" {
		// A nil is refused without asking any rule: this only parses.
		if text := thrown(func() { _ = c.v.engine.Var(nil, tag) }); text != "" {
			c.bad(where, "has the tag %q, which does not parse: %s", tag, strings.TrimSuffix(text, " on field ''"))
			return
		}
		var ok bool
		if t, ok = c.tag(parent, where, t, strings.Split(tag, ",")); !ok {
			return
		}
	}
	if e := indirect(t); isCollection(e) && hasRules(e, nil) {
		c.bad(where, "is a %v with rules beneath it, want dive in its validate tag", sf.Type)
	}
	c.check(t)
}

// tag checks the rules of one tag against the type t that they are for, and
// returns the type that the dives lead to.
func (c *ruleCheck) tag(parent reflect.Type, where string, t reflect.Type, rules []string) (reflect.Type, bool) {
	for i := 0; i < len(rules); i++ {
		t = indirect(t)
		switch rule := rules[i]; rule {
		case "omitempty", "omitnil", "omitzero":
		case "structonly", "nostructlevel": // nothing beneath is checked
			return t, false
		case "dive":
			if !isCollection(t) {
				c.bad(where, "has a dive into a %v, want a slice, an array or a map", t)
				return t, false
			}
			if t.Kind() == reflect.Map {
				c.shape.maps = true
				if i+1 < len(rules) && rules[i+1] == "keys" {
					end := i + 2
					for end < len(rules) && rules[end] != "endkeys" {
						end++
					}
					c.tag(parent, where, t.Key(), rules[i+2:end])
					i = end
				}
			}
			t = t.Elem()
		default:
			for r := range strings.SplitSeq(rule, "|") {
				c.rule(parent, where, t, r)
			}
		}
	}
	return t, true
}

// rule checks that one rule fits values of t.
func (c *ruleCheck) rule(parent reflect.Type, where string, t reflect.Type, rule string) {
	name, param, _ := strings.Cut(rule, "=")
	if looksAtFiles[name] {
		c.bad(where, "has the rule %q, which would look at the server's files", name)
		return
	}
	if thrown(func() { _ = c.plain.Var(nil, name) }) != "" {
		return // the user's own: asking it may do anything
	}
	for _, other := range otherFields(name, param) {
		if _, ok := parent.FieldByName(other); !ok {
			c.bad(where, "has the rule %q, but %v has no field %q", rule, parent, other)
			return
		}
	}
	kind := t.Kind()
	switch {
	case isPresence(name) || isValuer(t) || c.v.customTypes && kind == reflect.Struct:
		return
	case kind == reflect.Interface:
		c.bad(where, "has the rule %q, but its value can be of any type", rule)
		return
	case kind != reflect.String && !anyKind[name] || kind == reflect.Struct && !isTime(t):
		c.bad(where, "has the rule %q, which is not for a %v", rule, t)
		return
	}
	for _, sample := range samples(t) {
		text := thrown(func() {
			_ = c.plain.VarWithValue(sample.Interface(), reflect.New(parent).Elem().Interface(), rule)
		})
		if text != "" {
			c.bad(where, "has the rule %q, which is not for a %v: %s", rule, t, text)
			return
		}
	}
}

// thrown returns what f panics with as text, "" if it does not.
func thrown(f func()) (text string) {
	defer func() {
		if p := recover(); p != nil {
			text = fmt.Sprint(p)
		}
	}()
	f()
	return ""
}

// samples are values of t on which a rule that does not fit shows it.
func samples(t reflect.Type) []reflect.Value {
	zero, filled := reflect.New(t).Elem(), reflect.New(t).Elem()
	elem := func(t reflect.Type) reflect.Value {
		if t.Kind() == reflect.Pointer {
			return reflect.New(t.Elem())
		}
		return reflect.Zero(t)
	}
	switch t.Kind() {
	case reflect.String:
		filled.SetString("x")
	case reflect.Slice:
		filled.Set(reflect.Append(zero, elem(t.Elem())))
	case reflect.Map:
		filled.Set(reflect.MakeMap(t))
		filled.SetMapIndex(reflect.Zero(t.Key()), elem(t.Elem()))
	}
	return []reflect.Value{zero, filled}
}

// hasRules reports whether there are rules in the structs of t or beneath.
func hasRules(t reflect.Type, seen []reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return hasRules(t.Elem(), seen)
	case reflect.Struct:
		if slices.Contains(seen, t) {
			return false
		}
		seen = append(seen, t)
		for sf := range t.Fields() {
			if !sf.IsExported() && !sf.Anonymous {
				continue
			}
			tag := sf.Tag.Get(tagName)
			if tag != "-" && (tag != "" || hasRules(sf.Type, seen)) {
				return true
			}
		}
	}
	return false
}

func indirect(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

func isCollection(t reflect.Type) bool {
	return t.Kind() == reflect.Slice || t.Kind() == reflect.Array || t.Kind() == reflect.Map
}

func isTime(t reflect.Type) bool { return t.ConvertibleTo(reflect.TypeFor[time.Time]()) }

// isValuer reports whether t itself says what the rules see of it.
func isValuer(t reflect.Type) bool {
	valuer := reflect.TypeFor[validator.Valuer]()
	return t.Implements(valuer) || reflect.PointerTo(t).Implements(valuer)
}

// isPresence reports whether the rule only asks whether there is a value.
func isPresence(rule string) bool {
	return strings.HasPrefix(rule, "required") || strings.HasPrefix(rule, "excluded_") ||
		rule == "skip_unless" || rule == "isdefault" || rule == "validateFn"
}

// otherFields returns the fields of the same struct that a rule refers to.
func otherFields(rule, param string) (names []string) {
	words := strings.Fields(param)
	switch {
	case strings.HasSuffix(rule, "_if"), strings.HasSuffix(rule, "_unless"): // names and values in turn
		for i := 0; i < len(words); i += 2 {
			names = append(names, words[i])
		}
	case strings.HasPrefix(rule, "required_with"), strings.HasPrefix(rule, "excluded_with"):
		names = words
	case fieldRules[rule] != "" && param != "":
		names = []string{param}
	}
	for i, n := range names {
		if end := strings.IndexAny(n, ".["); end >= 0 { // a path into another struct
			names[i] = n[:end]
		}
	}
	return names
}

// looksAtFiles are the rules that ask the file system about their value.
var looksAtFiles = map[string]bool{ //nolint:gochecknoglobals // immutable
	"file": true, "filepath": true, "dir": true, "dirpath": true, "image": true, "mimetype": true, "uds_exists": true,
}

// anyKind are the engine's rules that are not for strings only; which kinds
// they are for, they show by panicking.
var anyKind = map[string]bool{ //nolint:gochecknoglobals // immutable
	"len": true, "min": true, "max": true, "eq": true, "ne": true, "lt": true, "lte": true, "gt": true, "gte": true,
	"eqfield": true, "nefield": true, "gtfield": true, "gtefield": true, "ltfield": true, "ltefield": true,
	"eqcsfield": true, "necsfield": true, "gtcsfield": true, "gtecsfield": true, "ltcsfield": true, "ltecsfield": true,
	"unique": true, "oneof": true, "noneof": true, "boolean": true, "number": true, "numeric": true, "port": true, "json": true,
	"latitude": true, "longitude": true, "luhn_checksum": true,
	"iso3166_1_alpha_numeric": true, "iso3166_1_alpha_numeric_eu": true, "iso4217_numeric": true,
	"country_code": true, "eu_country_code": true,
}

// fieldRules are the rules whose parameter is another field, with what they
// say about it.
var fieldRules = map[string]string{ //nolint:gochecknoglobals // immutable
	"eqfield": "must be the same as", "nefield": "must not be the same as",
	"gtfield": "must be greater than", "gtefield": "must not be less than",
	"ltfield": "must be less than", "ltefield": "must not be greater than",
	"fieldcontains": "must contain", "fieldexcludes": "must not contain",
	"postcode_iso3166_alpha2_field": "must be a postcode of",
}

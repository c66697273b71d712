package validate

import (
	"cmp"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-playground/validator/v10"
)

// rules adds the rules that are broken, except where the value did not decode:
// that one is told already.
func (d *diagnosis) rules(s *shape, target reflect.Value, broken validator.ValidationErrors) {
	if s.maps { // the engine walks maps in random order, and the list may be cut
		slices.SortStableFunc(broken, func(a, b validator.FieldError) int {
			return cmp.Compare(a.Namespace(), b.Namespace())
		})
	}
	for _, b := range broken {
		if d.truncated {
			return
		}
		p := d.find(s, target, b)
		if slices.ContainsFunc(d.failed, p.at.has) {
			continue
		}
		code, param, detail := message(b, p.parent)
		if p.key {
			detail = "has a name that " + detail
		}
		d.addRule(p.at, ReasonRule, code, param, detail)
	}
}

// A place is where a rule may have been broken.
type place struct {
	at     trace
	value  reflect.Value
	parent reflect.Type // the struct that the rule stands in
	key    bool         // the rule is about the key
}

// find returns where b happened. The engine tells that as a text such as
// Order.items[0].qty, which keys with dots and brackets make ambiguous: so it
// is not taken apart, but compared with what there is in the value; where two
// places have the same text, the one that holds the faulty value counts.
func (d *diagnosis) find(s *shape, target reflect.Value, b validator.FieldError) place {
	text := b.Namespace()
	if name := s.root.typ.Name(); name != "" && s.root.typ.Kind() == reflect.Struct {
		text = strings.TrimPrefix(strings.TrimPrefix(text, name), ".")
	}
	f := finder{names: d.names, broken: b}
	f.search(place{value: target}, "", text)
	for _, p := range f.found {
		if p.value.CanInterface() && reflect.DeepEqual(p.value.Interface(), b.Value()) {
			return p
		}
	}
	if len(f.found) > 0 {
		return f.found[0]
	}
	return place{parent: s.root.typ}
}

type finder struct {
	names  map[string]string
	broken validator.FieldError
	found  []place
}

// search looks in p, a value whose field has the validate tag, for the places
// that text leads to.
func (f *finder) search(p place, tag, text string) {
	for p.value.Kind() == reflect.Pointer || p.value.Kind() == reflect.Interface {
		if p.value.IsNil() {
			break
		}
		p.value = p.value.Elem()
	}
	if text == "" {
		p.at = slices.Clone(p.at)
		f.found = append(f.found, p)
		return
	}
	switch p.value.Kind() {
	case reflect.Struct:
		f.fields(p, strings.TrimPrefix(text, "."))
	case reflect.Slice, reflect.Array:
		digits, rest, ok := strings.Cut(strings.TrimPrefix(text, "["), "]")
		i, err := strconv.Atoi(digits)
		if !ok || err != nil || i < 0 || i >= p.value.Len() {
			return
		}
		p.at, p.value = slices.Clip(p.at).element(i), p.value.Index(i)
		f.search(p, tag, rest)
	case reflect.Map:
		f.entries(p, tag, strings.TrimPrefix(text, "["))
	}
}

// entries looks in the map p for keys that text begins with, behind a bracket.
func (f *finder) entries(p place, tag, text string) {
	t := p.value.Type().Key()
	if t != reflect.TypeFor[string]() {
		for _, key := range p.value.MapKeys() {
			if rest, ok := strings.CutPrefix(text, keyText(key)+"]"); ok {
				f.entry(p, tag, key, rest)
			}
		}
		return
	}
	for end := range len(text) { // there may be thousands of keys
		if text[end] != ']' {
			continue
		}
		if key := reflect.ValueOf(text[:end]); p.value.MapIndex(key).IsValid() {
			f.entry(p, tag, key, text[end+1:])
		}
	}
}

func (f *finder) entry(p place, tag string, key reflect.Value, text string) {
	name := keyText(key)
	if sent, ok := f.names[nameKey(p.at, name)]; ok {
		name = sent
	}
	value := p.value.MapIndex(key)
	p.at = slices.Clip(p.at).member(name, true)
	if text == "" && isKeyRule(tag, f.broken.Tag()) {
		p.value, p.key = key, true
		f.search(p, tag, text)
	}
	p.value, p.key = value, false
	f.search(p, tag, text)
}

// fields looks in the struct p for fields that text begins with.
func (f *finder) fields(p place, text string) {
	t := p.value.Type()
	p.parent = t
	for i := range t.NumField() {
		sf := t.Field(i)
		in := p
		in.value = p.value.Field(i)
		name := fieldName(sf)
		if name == "" { // embedded
			f.search(in, "", text)
			continue
		}
		rest, ok := strings.CutPrefix(text, name)
		if !ok { // struct-level rules may report by the name in Go
			rest, ok = strings.CutPrefix(text, sf.Name)
		}
		if !ok || rest != "" && rest[0] != '.' && rest[0] != '[' {
			continue
		}
		if !parseJSONTag(sf).skip {
			in.at = slices.Clip(p.at).member(name, false)
		}
		f.search(in, sf.Tag.Get(tagName), rest)
	}
}

// isKeyRule reports whether the rule is one for keys in the tag.
func isKeyRule(tag, rule string) bool {
	_, keys, _ := strings.Cut(tag, ",keys,")
	keys, _, _ = strings.Cut(keys, ",endkeys")
	for r := range strings.SplitSeq(keys, ",") {
		if name, _, _ := strings.Cut(r, "="); name == rule || r == rule {
			return true
		}
	}
	return false
}

// fieldName is what the engine calls a field: its name in JSON, and nothing for
// an embedded struct, which JSON does not show.
func fieldName(sf reflect.StructField) string {
	switch tag := parseJSONTag(sf); {
	case tag.skip:
		return sf.Name
	case tag.embed:
		return ""
	default:
		return tag.name
	}
}

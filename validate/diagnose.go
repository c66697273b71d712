package validate

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	unknown    = "is not a member that is known here"
	unexpected = "is not in the form that is expected here"
)

// A diagnosis finds the faults of a document that is valid JSON, after the
// decoder or the engine refused it.
type diagnosis struct {
	v         *Validator
	dec       *jsontext.Decoder
	faults    []Fault
	reasons   []string // of each fault
	failed    []trace  // to what did not decode
	truncated bool
	names     map[string]string // name of a member by way and key, where it is not the key
}

func (d *diagnosis) error() *Error {
	e := &Error{Reason: ReasonRule, Faults: d.faults, Truncated: d.truncated}
	if len(d.reasons) > 0 {
		e.Reason = d.reasons[0]
	}
	return e
}

// add notes a fault, unless there are enough.
func (d *diagnosis) add(at trace, reason, detail string) {
	d.addRule(at, reason, reason, "", detail)
}

func (d *diagnosis) addRule(at trace, reason, code, param, detail string) {
	if len(d.faults) >= d.v.maxErrors {
		d.truncated = true
		return
	}
	d.faults = append(d.faults, at.fault(code, param, detail))
	d.reasons = append(d.reasons, reason)
}

// fail notes that what at leads to did not decode.
func (d *diagnosis) fail(at trace, n *node, quoted bool) {
	d.failed = append(d.failed, slices.Clone(at))
	d.add(at, ReasonType, want(n.typ, quoted))
}

// document decodes what it can of doc into dst, by n, and notes what it cannot.
// Without n it only looks for members that occur twice.
func (d *diagnosis) document(doc []byte, n *node, dst reflect.Value) {
	d.dec = jsontext.NewDecoder(bytes.NewBuffer(doc), jsontext.AllowDuplicateNames(true))
	d.value(n, dst, nil, false)
}

// value reads the next value. Once the faults are enough it stops reading, and
// so does everything that called it.
func (d *diagnosis) value(n *node, dst reflect.Value, at trace, quoted bool) {
	if d.truncated {
		return
	}
	var k jsontext.Kind
	if n == nil || n.kind != scalar {
		k = d.dec.PeekKind()
	}
	switch {
	case n == nil && k == '{', n != nil && n.kind == structure && k == '{', n != nil && n.kind == mapping && k == '{':
		d.members(n, dst, at)
	case n == nil && k == '[', n != nil && n.kind == list && k == '[':
		d.elements(n, dst, at)
	case n == nil:
		d.skip()
	case n.kind == scalar:
		d.scalar(n, dst, at, quoted)
	case k == 'n' && len(at) > 0: // the zero value
		d.skip()
	case n.kind == pointer:
		p := reflect.New(n.elem.typ)
		d.value(n.elem, p.Elem(), at, quoted)
		dst.Set(p)
	default:
		d.fail(at, n, quoted)
		d.skip()
	}
}

func (d *diagnosis) skip() { d.done(d.dec.SkipValue()) }

// done stops the reading at an error, which valid JSON does not give.
func (d *diagnosis) done(err error) bool {
	if err != nil {
		d.truncated = true
	}
	return d.truncated
}

func (d *diagnosis) members(n *node, dst reflect.Value, at trace) {
	if _, err := d.dec.ReadToken(); d.done(err) {
		return
	}
	if n != nil && n.kind == mapping {
		dst.Set(reflect.MakeMap(n.typ))
	}
	seen := make(map[string]int)
	for d.dec.PeekKind() != '}' {
		token, err := d.dec.ReadToken()
		if d.done(err) {
			return
		}
		name := token.String()
		if seen[name]++; seen[name] > 1 {
			if seen[name] == 2 {
				d.add(at.member(name, n == nil || n.fields[name] == nil), ReasonDuplicate, "occurs more than once")
			}
			d.skip()
			continue
		}
		switch {
		case n == nil:
			d.value(nil, dst, at.member(name, true), false)
		case n.kind == mapping:
			d.entry(n, dst, at, name)
		default:
			d.field(n, dst, at, name)
		}
	}
	_, err := d.dec.ReadToken()
	d.done(err)
}

func (d *diagnosis) field(n *node, dst reflect.Value, at trace, name string) {
	if f := n.fields[name]; f != nil {
		for i, x := range f.index {
			if i > 0 && dst.Kind() == reflect.Pointer {
				if dst.IsNil() {
					dst.Set(reflect.New(dst.Type().Elem()))
				}
				dst = dst.Elem()
			}
			dst = dst.Field(x)
		}
		d.value(f.node, dst, at.member(name, false), f.quoted)
		return
	}
	at = at.member(name, true)
	if d.v.allowUnknown {
		d.value(nil, dst, at, false)
		return
	}
	detail := unknown
	for known := range n.fields {
		if strings.EqualFold(known, name) {
			detail = unknown + "; names are case-sensitive"
		}
	}
	d.add(at, ReasonUnknown, detail)
	d.skip()
}

func (d *diagnosis) entry(n *node, dst reflect.Value, parent trace, name string) {
	at := parent.member(name, true)
	key := reflect.New(n.typ.Key()).Elem()
	if n.plain {
		key.SetString(name)
	} else {
		// A map of one member shows what the decoder makes of the name.
		one := reflect.New(reflect.MapOf(n.typ.Key(), reflect.TypeFor[any]()))
		quoted, _ := jsontext.AppendQuote([]byte{'{'}, name)
		if json.Unmarshal(append(quoted, ":null}"...), one.Interface()) != nil || one.Elem().Len() != 1 {
			d.failed = append(d.failed, slices.Clone(at))
			d.add(at, ReasonType, "has a name that is not of the form that is expected here")
			d.skip()
			return
		}
		key = one.Elem().MapKeys()[0]
		if text := keyText(key); text != name {
			if d.names == nil {
				d.names = make(map[string]string)
			}
			d.names[nameKey(parent, text)] = name
		}
		if dst.MapIndex(key).IsValid() {
			d.add(at, ReasonDuplicate, "has a name that means the same as another")
			d.skip()
			return
		}
	}
	elem := reflect.New(n.elem.typ).Elem()
	d.value(n.elem, elem, at, false)
	dst.SetMapIndex(key, elem)
}

func (d *diagnosis) elements(n *node, dst reflect.Value, at trace) {
	if _, err := d.dec.ReadToken(); d.done(err) {
		return
	}
	i := 0
	for ; d.dec.PeekKind() != ']' && !d.truncated; i++ {
		switch {
		case n == nil:
			d.value(nil, dst, at.element(i), false)
		case n.typ.Kind() == reflect.Slice:
			elem := reflect.New(n.elem.typ).Elem()
			d.value(n.elem, elem, at.element(i), false)
			dst.Set(reflect.Append(dst, elem))
		case i < n.typ.Len():
			d.value(n.elem, dst.Index(i), at.element(i), false)
		default:
			d.skip()
		}
	}
	if d.truncated {
		return
	}
	if n != nil && n.typ.Kind() == reflect.Array && i != n.typ.Len() {
		d.fail(at, n, false)
	}
	_, err := d.dec.ReadToken()
	d.done(err)
}

func (d *diagnosis) scalar(n *node, dst reflect.Value, at trace, quoted bool) {
	raw, err := d.dec.ReadValue()
	if d.done(err) {
		return
	}
	value := reflect.New(n.typ)
	err = json.Unmarshal(raw, value.Interface(), d.v.strict, json.StringifyNumbers(quoted))
	switch {
	case err == nil:
		dst.Set(value.Elem())
	case errors.Is(err, jsontext.ErrDuplicateName) && d.duplicates(raw, at):
	default:
		if serr, ok := errors.AsType[*json.SemanticError](err); ok {
			at = within(at, serr.JSONPointer)
			if errors.Is(serr.Err, json.ErrUnknownName) {
				d.failed = append(d.failed, slices.Clone(at))
				d.add(at, ReasonUnknown, unknown)
				return
			}
		}
		d.fail(at, n, quoted)
	}
}

// duplicates looks for members that occur twice in a value that decodes in one
// piece.
func (d *diagnosis) duplicates(raw []byte, at trace) bool {
	dec, before := d.dec, len(d.faults)
	d.dec = jsontext.NewDecoder(bytes.NewBuffer(raw), jsontext.AllowDuplicateNames(true))
	d.value(nil, reflect.Value{}, at, false)
	d.dec = dec
	d.failed = append(d.failed, slices.Clone(at))
	return d.truncated || len(d.faults) > before
}

// nameKey is where the name of a member is kept, by the way to its object and
// the key as text.
func nameKey(parent trace, text string) string {
	b := make([]byte, 0, 64)
	for _, s := range parent {
		b = strconv.AppendInt(b, int64(s.index), 10)
		b = append(strconv.AppendQuote(b, s.name), '/')
	}
	return string(append(b, text...))
}

// keyText is what the engine calls a key.
func keyText(key reflect.Value) string {
	if key.Type() == reflect.TypeFor[string]() {
		return key.String()
	}
	return fmt.Sprintf("%v", key)
}

// want says what a value of t must look like.
func want(t reflect.Type, quoted bool) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if quoted {
		return "must be a string that holds a number"
	}
	if t == reflect.TypeFor[time.Time]() {
		return "must be a date and time such as 2006-01-02T15:04:05Z"
	}
	if decodesItself(t) {
		return unexpected
	}
	switch k := t.Kind(); k {
	case reflect.Bool:
		return "must be true or false"
	case reflect.String:
		return "must be a string"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if t.Bits() == 64 { // limits that would only confuse
			return "must be a whole number"
		}
		top := int64(1)<<(t.Bits()-1) - 1
		return fmt.Sprintf("must be a whole number from %d to %d", -top-1, top)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		if t.Bits() == 64 {
			return "must be a whole number from 0 on"
		}
		return fmt.Sprintf("must be a whole number from 0 to %d", uint64(1)<<t.Bits()-1)
	case reflect.Float32, reflect.Float64:
		return "must be a number"
	case reflect.Struct, reflect.Map:
		return "must be an object"
	case reflect.Slice, reflect.Array:
		if t.Elem() == reflect.TypeFor[byte]() {
			return "must be a string of Base64"
		}
		if k == reflect.Array {
			return "must be an array of exactly " + strconv.Itoa(t.Len()) + " elements"
		}
		return "must be an array"
	}
	return unexpected
}

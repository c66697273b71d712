package sanitize

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/internal/report"
)

// maxNesting bounds how deep a value may reach through pointers, containers
// and structs. What a decoder makes of a request stays far below; a value that
// contains itself does not.
const maxNesting = 1000

// CleanStruct cleans the strings that v points to, in place: those of the
// exported fields of structs, and through pointers, interfaces, slices, arrays
// and the values of maps. v is a pointer, to a struct as a rule. It fits the
// AfterDecode of package validate.
//
// The tag sanitize:"plain", "text", "ugc" or "strip" names a field's policy,
// and holds for all strings that the field reaches without passing another
// struct's field. Untagged strings are Plain: a cleaner must not eat a
// password. A field tagged "-" and all that is beneath it stay as they are, as
// do unexported fields, the names of maps and []byte.
//
// A tag that names no policy, or stands where no string can be, is an error of
// every call: see [CheckTags]. Every error is an *Error, and v may have been
// cleaned in part.
func (s *Sanitizer) CleanStruct(ctx context.Context, v any) error {
	rv := reflect.ValueOf(v)
	changed, err := s.cleanStruct(rv)
	d := decision.Decision{Effect: decision.Allow, Reason: "clean"}
	if rv.IsValid() {
		d.Rule = strings.TrimLeft(rv.Type().String(), "*")
	}
	if changed {
		d.Effect, d.Reason = decision.Modify, "cleaned"
	}
	if err != nil {
		d.Effect, d.Reason, d.Detail = decision.Deny, err.Reason, report.Detail(err.Err)
	}
	s.report.Decision(ctx, d)
	if err != nil {
		return err
	}
	return nil
}

func (s *Sanitizer) cleanStruct(v reflect.Value) (changed bool, err *Error) {
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return false, &Error{Reason: ReasonTarget, Err: report.Cause("CleanStruct wants a pointer that is not nil")}
	}
	p, err := s.plans.of(v.Type(), Plain)
	if err != nil {
		return false, err
	}
	c := cleaning{s: s}
	changed = c.clean(p, v)
	return changed, c.err
}

// CheckTags returns what is wrong with the sanitize tags of T and of all types
// that it reaches, nil if nothing is. Call it at start-up, so that CleanStruct
// cannot fail for a tag later. What an interface will hold it cannot know.
func CheckTags[T any]() error {
	var c compiler
	c.compile(reflect.TypeFor[T](), Plain)
	errs := make([]error, len(c.faults))
	for i, fault := range c.faults {
		errs[i] = errors.New("sanitize: " + fault)
	}
	return errors.Join(errs...)
}

// A plan is how to clean values of one type. Nil has nothing to do.
type plan struct {
	kind   reflect.Kind
	policy Policy      // of the strings that are reached without another tag
	elem   *plan       // of a pointer, slice, array and map
	fields []fieldPlan // of a struct
}

type fieldPlan struct {
	index int
	plan  *plan
}

// A planKey is what a plan depends on. There are as many as the program has
// types and policies.
type planKey struct {
	t      reflect.Type
	policy Policy
}

// plans are the plans that were made so far.
type plans struct {
	mu   sync.RWMutex
	made map[planKey]*plan
}

func (ps *plans) of(t reflect.Type, p Policy) (*plan, *Error) {
	key := planKey{t, p}
	ps.mu.RLock()
	made, ok := ps.made[key]
	ps.mu.RUnlock()
	if ok {
		return made, nil
	}
	var c compiler
	made = c.compile(t, p)
	if len(c.faults) > 0 {
		return nil, &Error{Reason: ReasonTag, Err: report.Cause(c.faults[0])}
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.made == nil {
		ps.made = make(map[planKey]*plan)
	}
	ps.made[key] = made
	return made, nil
}

// A compiler makes the plan of a type and of all types that it reaches.
type compiler struct {
	plans  map[planKey]*plan // also those under way: types may contain themselves
	faults []string
}

// compile returns the plan for t, nil if no string can be in it.
func (c *compiler) compile(t reflect.Type, policy Policy) *plan {
	key := planKey{t, policy}
	if p, ok := c.plans[key]; ok {
		return p
	}
	if c.plans == nil {
		c.plans = make(map[planKey]*plan)
	}
	p := &plan{kind: t.Kind(), policy: policy}
	c.plans[key] = p
	switch t.Kind() {
	case reflect.String, reflect.Interface:
		return p
	case reflect.Struct:
		for i := range t.NumField() {
			if f := c.field(t, t.Field(i)); f != nil {
				p.fields = append(p.fields, fieldPlan{i, f})
			}
		}
		if p.fields != nil {
			return p
		}
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		if p.elem = c.compile(t.Elem(), policy); p.elem != nil {
			return p
		}
	default: // holds no strings
	}
	c.plans[key] = nil
	return nil
}

func (c *compiler) field(t reflect.Type, f reflect.StructField) *plan {
	tag, tagged := f.Tag.Lookup("sanitize")
	if !f.IsExported() && !promotes(f) {
		if tagged {
			c.fault(t, f, "is not exported, want no tag")
		}
		return nil
	}
	if !tagged {
		return c.compile(f.Type, Plain)
	}
	if tag == "-" {
		return nil
	}
	for _, p := range [...]builtin{Plain, Text, UGC, Strip} {
		if p.String() != tag {
			continue
		}
		if !takesPolicy(f.Type) {
			c.fault(t, f, fmt.Sprintf("is %v, want the tag at fields that hold strings", f.Type))
		}
		return c.compile(f.Type, p)
	}
	c.fault(t, f, fmt.Sprintf("has the tag %q, want plain, text, ugc, strip or -", tag))
	return nil
}

func (c *compiler) fault(t reflect.Type, f reflect.StructField, what string) {
	c.faults = append(c.faults, fmt.Sprintf("%v.%s %s", t, f.Name, what))
}

// takesPolicy reports whether a policy at a field of type t would clean
// anything: a struct goes by its own fields' tags.
func takesPolicy(t reflect.Type) bool {
	for range maxNesting { // type T []T has no end
		switch t.Kind() {
		case reflect.String, reflect.Interface:
			return true
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
			t = t.Elem()
		default:
			return false
		}
	}
	return false
}

// promotes reports whether f is embedded and may have exported fields although
// its own type is not exported.
func promotes(f reflect.StructField) bool {
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return f.Anonymous && t.Kind() == reflect.Struct
}

// A cleaning is one call of CleanStruct.
type cleaning struct {
	s     *Sanitizer
	depth int
	err   *Error // ends it
}

// clean cleans v in place and reports whether it changed v or anything beneath.
func (c *cleaning) clean(p *plan, v reflect.Value) (changed bool) {
	if p == nil || c.err != nil {
		return false
	}
	if c.depth == maxNesting {
		c.err = &Error{Reason: ReasonDepth, Err: report.Causef("nested deeper than %d levels", maxNesting)}
		return false
	}
	c.depth++
	switch p.kind {
	case reflect.String:
		old := v.String()
		if cleaned := c.s.Clean(p.policy, old); cleaned != old {
			v.SetString(cleaned)
			changed = true
		}
	case reflect.Pointer:
		if !v.IsNil() {
			changed = c.clean(p.elem, v.Elem())
		}
	case reflect.Struct:
		for _, f := range p.fields {
			changed = c.clean(f.plan, v.Field(f.index)) || changed
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			changed = c.clean(p.elem, v.Index(i)) || changed
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			changed = c.replace(p.elem, it.Value(), func(fresh reflect.Value) { v.SetMapIndex(it.Key(), fresh) }) || changed
		}
	case reflect.Interface:
		if !v.IsNil() {
			dynamic, err := c.s.plans.of(v.Elem().Type(), p.policy)
			c.err = err
			changed = c.replace(dynamic, v.Elem(), v.Set)
		}
	default: // has no plan
	}
	c.depth--
	return changed
}

// replace cleans a value that cannot be changed where it is: it cleans a copy,
// and sets that if there was anything to clean.
func (c *cleaning) replace(p *plan, v reflect.Value, set func(reflect.Value)) (changed bool) {
	if p == nil || c.err != nil {
		return false
	}
	fresh := reflect.New(v.Type()).Elem()
	fresh.Set(v)
	if changed = c.clean(p, fresh); changed {
		set(fresh)
	}
	return changed
}

package validate

import (
	"encoding"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// A shape is what is known about a T before any request.
type shape struct {
	root    *node
	dive    string // the tag by which the engine reaches the rules of a T that is no struct
	maps    bool   // there are rules behind the keys of a map
	renamed bool   // there are maps whose keys may read differently than they were sent
}

// A node is how values of a Go type are decoded, as far as telling every fault
// in them needs it.
type node struct {
	kind   kind
	typ    reflect.Type
	fields map[string]*field // of a structure
	elem   *node             // of a pointer, list or mapping
	plain  bool              // a mapping whose keys are strings as they were sent
}

type kind uint8

const (
	scalar kind = iota // decoded in one piece, whatever it is
	structure
	mapping
	list // a slice or an array
	pointer
)

type field struct {
	index  []int
	node   *node
	quoted bool // has the option string
}

// shape returns what is known about t. The error joins every mistake in it.
func (v *Validator) shape(t reflect.Type) (*shape, error) {
	if s, ok := v.shapes.Load(t); ok {
		return s.(*shape), nil
	}
	if t.Kind() == reflect.Pointer {
		return nil, fmt.Errorf("validate: T is %v, want %v", t, t.Elem())
	}
	s := &shape{}
	c := compiler{shape: s, nodes: make(map[reflect.Type]*node)}
	s.root = c.node(t, t.String())
	s.dive = diveTo(t)
	rules := newRuleCheck(v, s, &c.errs)
	rules.check(t)
	if err := errors.Join(c.errs...); err != nil {
		return nil, err
	}
	v.shapes.Store(t, s)
	return s, nil
}

// diveTo returns the tag that leads to the structs in a t that is a slice or a
// map.
func diveTo(t reflect.Type) string {
	var dives []string
	for {
		switch t.Kind() {
		case reflect.Slice, reflect.Array, reflect.Map:
			dives = append(dives, "dive")
			t = t.Elem()
		case reflect.Pointer:
			t = t.Elem()
		default:
			return strings.Join(dives, ",")
		}
	}
}

// A compiler makes nodes and collects what keeps a type from being decoded.
type compiler struct {
	shape *shape
	nodes map[reflect.Type]*node
	errs  []error
}

func (c *compiler) bad(where, format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("validate: %s %s", where, fmt.Sprintf(format, args...)))
}

func (c *compiler) node(t reflect.Type, where string) *node {
	if n, ok := c.nodes[t]; ok {
		return n
	}
	n := &node{typ: t}
	c.nodes[t] = n
	if decodesItself(t) {
		return n
	}
	switch t.Kind() {
	case reflect.Pointer:
		n.kind, n.elem = pointer, c.node(t.Elem(), where)
	case reflect.Struct:
		n.kind = structure
		c.fields(n, where)
	case reflect.Map:
		n.kind = mapping
		n.plain = t.Key().Kind() == reflect.String && !decodesItself(t.Key())
		c.shape.renamed = c.shape.renamed || !n.plain
		if !n.plain && !decodesItself(t.Key()) && !isNumber(t.Key().Kind()) {
			c.bad(where, "is a %v, want a map whose keys are strings or numbers", t)
		}
		n.elem = c.node(t.Elem(), where)
	case reflect.Slice, reflect.Array:
		if t.Elem() == reflect.TypeFor[byte]() {
			break // Base64
		}
		n.kind, n.elem = list, c.node(t.Elem(), where)
	case reflect.Interface:
		if t.NumMethod() > 0 {
			c.bad(where, "is a %v, want a type that JSON decodes into", t)
		}
	case reflect.Bool, reflect.String:
	default:
		if t == reflect.TypeFor[time.Duration]() {
			c.bad(where, "is a %v, which has no form in JSON; want a string or a number", t)
		} else if !isNumber(t.Kind()) {
			c.bad(where, "is a %v, want a type that JSON decodes into", t)
		}
	}
	return n
}

// fields collects the members of a struct as the decoder does: breadth first,
// and of two with one name the one that is less deeply embedded counts.
func (c *compiler) fields(n *node, where string) {
	n.fields = make(map[string]*field)
	type embedded struct {
		typ   reflect.Type
		index []int
	}
	seen := map[reflect.Type]bool{n.typ: true}
	for level := []embedded{{n.typ, nil}}; len(level) > 0; {
		var next []embedded
		found := make(map[string]*field)
		for _, e := range level {
			for i := range e.typ.NumField() {
				sf := e.typ.Field(i)
				tag := parseJSONTag(sf)
				at := where + "." + sf.Name
				index := append(slices.Clone(e.index), i)
				switch {
				case tag.skip:
				case tag.err != "":
					c.bad(at, "%s", tag.err)
				case tag.embed:
					t := sf.Type
					if t.Kind() == reflect.Pointer {
						t = t.Elem()
						if !sf.IsExported() {
							c.bad(at, "is an embedded pointer to an unexported type, which cannot be decoded into")
						}
					}
					if t.Kind() != reflect.Struct {
						c.bad(at, "takes members of any name; use AllowUnknown to ignore them")
					} else if !seen[t] {
						seen[t] = true
						next = append(next, embedded{t, index})
					}
				case tag.quoted && !isNumber(indirect(sf.Type).Kind()) && !decodesItself(sf.Type):
					c.bad(at, "has the json option string, which is for numbers, but is a %v", sf.Type)
				case found[tag.name] != nil:
					c.bad(at, "is the second field for the member %q", tag.name)
				case n.fields[tag.name] == nil:
					found[tag.name] = &field{index: index, quoted: tag.quoted, node: c.node(sf.Type, at)}
				}
			}
		}
		maps.Copy(n.fields, found)
		level = next
	}
	// The decoder has the last word on the tags.
	if len(c.errs) == 0 {
		if err := json.Unmarshal([]byte("{}"), reflect.New(n.typ).Interface()); err != nil {
			c.bad(where, "cannot be decoded: %v", err)
		}
	}
}

// A jsonTag is what a field's json tag says about decoding.
type jsonTag struct {
	name   string
	skip   bool // not a member
	embed  bool // its members are those of the struct around it
	quoted bool
	err    string
}

func parseJSONTag(sf reflect.StructField) jsonTag {
	tag := sf.Tag.Get("json")
	if tag == "-" || !sf.IsExported() && !sf.Anonymous {
		return jsonTag{skip: true}
	}
	name, options, _ := strings.Cut(tag, ",")
	t := jsonTag{name: name}
	if strings.ContainsAny(tag, "'\"`\\") {
		t.err = "has a json tag with quotes, want a plain name"
	}
	for option := range strings.SplitSeq(options, ",") {
		switch {
		case option == "string":
			t.quoted = true
		case option == "embed":
			t.embed = true
		case strings.HasPrefix(option, "case:") && option != "case:strict":
			t.err = "has the json option " + option + ", but names are case-sensitive"
		}
	}
	if name == "" {
		t.name = sf.Name
		t.embed = t.embed || sf.Anonymous
	} else if !sf.IsExported() {
		t.err = "is not exported, but has a json name"
	}
	return t
}

// decodesItself reports whether values of t are decoded by a method.
func decodesItself(t reflect.Type) bool {
	for _, i := range [...]reflect.Type{
		reflect.TypeFor[json.UnmarshalerFrom](), reflect.TypeFor[json.Unmarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
	} {
		if t.Implements(i) || t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(i) {
			return true
		}
	}
	return false
}

func isNumber(k reflect.Kind) bool { return reflect.Int <= k && k <= reflect.Float64 }

package strictjson

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxDepth = 32
	inline   = 24 // members for which an Object has room in itself
)

// An Object is a JSON object taken apart into its members, by their exact
// names. Its zero value is an empty object. Parsing into an Object on the stack
// allocates nothing for up to 24 members without escapes in their names.
type Object struct {
	n     int
	marks [inline]uint16 // of the names of few, so that most are told apart without a look at them
	few   [inline]member
	more  []member
}

type member struct {
	name  []byte // decoded
	value json.RawMessage
}

func (o *Object) at(i int) *member {
	if i < inline {
		return &o.few[i]
	}
	return &o.more[i-inline]
}

func (o *Object) add(m member) {
	if o.n < inline {
		o.marks[o.n], o.few[o.n] = mark(m.name), m
	} else {
		o.more = append(o.more, m)
	}
	o.n++
}

// mark tells names apart by their ends and their length, most of the time.
func mark[T string | []byte](name T) uint16 {
	if len(name) == 0 {
		return 0
	}
	return uint16(name[0])<<8 | uint16(name[len(name)-1]^byte(len(name))) //nolint:gosec // the low bits will do
}

// Parse takes raw apart, of which o keeps parts. The error, if any, is an
// *Error, and o is then of no use.
func (o *Object) Parse(raw []byte) error {
	o.n, o.more = 0, nil
	if !utf8.Valid(raw) {
		return &Error{Text: "not UTF-8"}
	}
	q := quick{raw: raw}
	if q.object(0, o) && q.at == len(raw) {
		return nil
	}
	o.n = 0
	if !json.Valid(raw) {
		return &Error{Text: "not JSON", raw: raw}
	}
	s := scan{raw: raw}
	s.space()
	if raw[s.at] != '{' {
		return &Error{Text: "not a JSON object"}
	}
	return s.object(0, o)
}

// Get returns the value of a member, nil if there is none of that name.
func (o *Object) Get(name string) json.RawMessage {
	want := mark(name)
	for i := range min(o.n, inline) {
		if o.marks[i] == want && string(o.few[i].name) == name {
			return o.few[i].value
		}
	}
	for i := range o.more {
		if m := &o.more[i]; string(m.name) == name {
			return m.value
		}
	}
	return nil
}

// again reports whether name is that of one of the first members.
func (o *Object) again(name []byte) bool {
	want := mark(name)
	for i := range min(o.n, inline) {
		if o.marks[i] == want && bytes.Equal(o.few[i].name, name) {
			return true
		}
	}
	return false
}

// Has reports whether there is a member of that name.
func (o *Object) Has(name string) bool { return o.Get(name) != nil }

// Text returns a member that must be a string and not empty.
func (o *Object) Text(name string) (string, error) {
	if !o.Has(name) {
		return "", &Error{Text: name + " is missing"}
	}
	s, err := o.OptionalText(name)
	if err == nil && s == "" {
		err = &Error{Text: name + " is empty"}
	}
	return s, err
}

// OptionalText returns a member that must be a string, "" if it is absent.
func (o *Object) OptionalText(name string) (string, error) {
	raw := o.Get(name)
	if raw == nil {
		return "", nil
	}
	s, ok := Text(raw)
	if !ok {
		return "", &Error{Text: name + " is not a string"}
	}
	return s, nil
}

// List returns a member that must be a string or an array of strings.
func (o *Object) List(name string) ([]string, error) {
	raw := o.Get(name)
	if raw == nil {
		return nil, nil
	}
	if s, ok := Text(raw); ok {
		return []string{s}, nil
	}
	values, ok := Texts(raw)
	if !ok {
		return nil, &Error{Text: name + " is neither a string nor an array of strings"}
	}
	return values, nil
}

// Foreign returns the name of the first member that is none of names; false if
// there is none.
func (o *Object) Foreign(names ...string) (string, bool) {
	for i := range o.n {
		if name := string(o.at(i).name); !slices.Contains(names, name) {
			return name, true
		}
	}
	return "", false
}

// Len returns the number of members.
func (o *Object) Len() int { return o.n }

// Exact refuses members whose name differs from one of names in nothing but
// case: a reader that folds case would take them for it.
func (o *Object) Exact(names []string) error {
	for i := range o.n {
		have := o.at(i).name
		if !slices.ContainsFunc(have, func(c byte) bool { return 'A' <= c && c <= 'Z' || c >= utf8.RuneSelf }) {
			continue
		}
		for _, name := range names {
			if strings.EqualFold(name, string(have)) && name != string(have) {
				return &Error{Text: name + " is written in another case"}
			}
		}
	}
	return nil
}

// Lower reports whether all names are of ASCII without capitals, which no other
// name differs from in case alone.
func (o *Object) Lower() bool {
	for i := range o.n {
		for _, c := range o.at(i).name {
			if 'A' <= c && c <= 'Z' || c >= utf8.RuneSelf {
				return false
			}
		}
	}
	return true
}

// Unfolded refuses members whose names differ from each other in nothing but
// case: a reader that folds case would take one for the other.
func (o *Object) Unfolded() error {
	for i := range o.n {
		have := o.at(i).name
		if !slices.ContainsFunc(have, func(c byte) bool { return 'A' <= c && c <= 'Z' || c >= utf8.RuneSelf }) {
			continue
		}
		for k := range o.n {
			if k != i && strings.EqualFold(string(o.at(k).name), string(have)) {
				return &Error{Text: "two members differ in case alone"}
			}
		}
	}
	return nil
}

// Plain returns what is between the quotes of a JSON string without escapes,
// which is its value; false for any other value, which encoding/json has to
// decode.
func Plain(raw json.RawMessage) ([]byte, bool) {
	if len(raw) < 2 || raw[0] != '"' || bytes.IndexByte(raw, '\\') >= 0 {
		return nil, false
	}
	return raw[1 : len(raw)-1], true
}

// A scan goes through a text that encoding/json has found to be JSON, which is
// why it looks only for what encoding/json lets pass.
type scan struct {
	raw []byte
	at  int
}

func (s *scan) space() {
	for s.at < len(s.raw) {
		switch s.raw[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

// next steps over white space, and over one comma or colon within it.
func (s *scan) next() {
	s.space()
	if c := s.raw[s.at]; c == ',' || c == ':' {
		s.at++
		s.space()
	}
}

// value steps over one value, at that depth.
func (s *scan) value(depth int) error {
	switch s.raw[s.at] {
	case '{':
		return s.inner(depth)
	case '[':
		return s.array(depth)
	case '"':
		_, err := s.text(false)
		return err
	}
	for ; s.at < len(s.raw); s.at++ {
		switch s.raw[s.at] {
		case ',', ']', '}', ' ', '\t', '\r', '\n':
			return nil
		}
	}
	return nil
}

// object steps over an object whose names differ, and collects its members.
// Few names are compared with each other, many are hashed.
func (s *scan) object(depth int, o *Object) error {
	if depth > maxDepth {
		return &Error{Text: "JSON nested too deeply"}
	}
	var many map[string]bool
	for s.at++; ; {
		s.next()
		if s.raw[s.at] == '}' {
			s.at++
			return nil
		}
		name, err := s.text(true)
		if err != nil {
			return err
		}
		again := many[string(name)]
		if many == nil {
			again = o.again(name)
		}
		if again {
			return &Error{Text: "a member occurs twice", Name: string(name)}
		}
		s.next()
		from := s.at
		if err := s.value(depth + 1); err != nil {
			return err
		}
		o.add(member{name, json.RawMessage(s.raw[from:s.at])})
		switch {
		case many != nil:
			many[string(name)] = true
		case o.n == inline:
			many = make(map[string]bool, 2*inline)
			for i := range o.n {
				many[string(o.few[i].name)] = true
			}
		}
	}
}

func (s *scan) array(depth int) error {
	if depth > maxDepth {
		return &Error{Text: "JSON nested too deeply"}
	}
	for s.at++; ; {
		s.next()
		if s.raw[s.at] == ']' {
			s.at++
			return nil
		}
		if err := s.value(depth + 1); err != nil {
			return err
		}
	}
}

// inner steps over an object within another. One without members costs nothing.
func (s *scan) inner(depth int) error {
	from := s.at
	s.at++
	if s.space(); s.raw[s.at] == '}' && depth <= maxDepth {
		s.at++
		return nil
	}
	s.at = from
	var o Object
	return s.object(depth, &o)
}

// text steps over a string, and returns its value if that is wanted or is there
// to be had.
func (s *scan) text(wanted bool) ([]byte, error) {
	from := s.at + 1
	for i := from; ; i++ {
		switch s.raw[i] {
		case '"':
			s.at = i + 1
			return s.raw[from:i], nil
		case '\\':
			return s.escaped(wanted)
		}
	}
}

// escaped is text where there are escapes. A surrogate that is not half of a
// pair stands for no character (RFC 7493 section 2.1): encoding/json would put
// U+FFFD in the place of any, and make one name of two.
func (s *scan) escaped(wanted bool) ([]byte, error) {
	from := s.at
	for s.at++; s.raw[s.at] != '"'; s.at++ {
		if s.raw[s.at] != '\\' {
			continue
		}
		s.at++
		if s.raw[s.at] != 'u' {
			continue
		}
		switch code := s.hex(s.at + 1); {
		case code&^0x3FF == 0xD800 && bytes.HasPrefix(s.raw[s.at+5:], []byte(`\u`)) && s.hex(s.at+7)&^0x3FF == 0xDC00:
			s.at += 10
		case code&^0x7FF == 0xD800:
			return nil, &Error{Text: "half of a surrogate pair, which is no character"}
		default:
			s.at += 4
		}
	}
	s.at++
	if !wanted {
		return nil, nil
	}
	var value string
	if json.Unmarshal(s.raw[from:s.at], &value) != nil {
		return nil, &Error{Text: "not JSON"}
	}
	return []byte(value), nil
}

// hex returns the value of the four hexadecimal digits at i.
func (s *scan) hex(i int) uint64 {
	code, _ := strconv.ParseUint(string(s.raw[i:i+4]), 16, 16) // encoding/json saw them
	return code
}

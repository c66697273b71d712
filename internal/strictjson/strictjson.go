// Package strictjson reads JSON objects that decide about access.
//
// encoding/json takes the last of two equal names, folds the case of names and
// repairs broken Unicode. Where security hangs on what a document says, any of
// these lets two readers see two documents, so here each is an error.
// encoding/json decides what a document says; the scanner beside it can only
// refuse what encoding/json admits.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

const maxDepth = 32

// An Error says what is wrong with a document.
type Error struct {
	Text string // never holds a part of the document
	Name string // the member that it is about, "" for none
}

// Error returns the text with the name, cut short.
func (e *Error) Error() string {
	if e.Name == "" {
		return e.Text
	}
	name := e.Name
	if len(name) > 64 {
		name = name[:64]
	}
	return e.Text + ": " + strconv.Quote(name)
}

// Members decodes a JSON object into its members, by their exact names.
func Members(raw []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(raw) {
		return nil, &Error{Text: "not UTF-8"}
	}
	if bytes.HasPrefix(raw, []byte("\ufeff")) {
		return nil, &Error{Text: "not JSON but a byte order mark first"}
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			return nil, &Error{Text: "not JSON from byte " + strconv.FormatInt(syntax.Offset, 10) + " on"}
		}
		return nil, &Error{Text: "not a JSON object"}
	}
	if m == nil { // null
		return nil, &Error{Text: "not a JSON object"}
	}
	s := scan{raw: string(raw)}
	s.space()
	if err := s.value(0); err != nil {
		return nil, err
	}
	return m, nil
}

// Text decodes a JSON string out of Members; false if it is another value.
func Text(raw json.RawMessage) (string, bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}

// Texts decodes an array of strings out of Members; false if it is another
// value.
func Texts(raw json.RawMessage) ([]string, bool) {
	if len(raw) == 0 || raw[0] != '[' {
		return nil, false
	}
	var elements []*string // a null would leave a string as it is
	if json.Unmarshal(raw, &elements) != nil {
		return nil, false
	}
	texts := make([]string, len(elements))
	for i, e := range elements {
		if e == nil {
			return nil, false
		}
		texts[i] = *e
	}
	return texts, true
}

// A scan goes through a text that encoding/json has found to be JSON, which is
// why it looks only for what encoding/json lets pass.
type scan struct {
	raw string
	at  int
}

func (s *scan) space() {
	for s.at < len(s.raw) && strings.IndexByte(" \t\r\n", s.raw[s.at]) >= 0 {
		s.at++
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
		return s.object(depth)
	case '[':
		return s.array(depth)
	case '"':
		_, err := s.text()
		return err
	}
	for s.at < len(s.raw) && strings.IndexByte(",]} \t\r\n", s.raw[s.at]) < 0 {
		s.at++
	}
	return nil
}

// object steps over an object whose names differ. Few names are compared with
// each other, many are hashed.
func (s *scan) object(depth int) error {
	if depth > maxDepth {
		return &Error{Text: "JSON nested too deeply"}
	}
	var inline [16]string
	few := inline[:0]
	var many map[string]bool
	for s.at++; ; {
		s.next()
		if s.raw[s.at] == '}' {
			s.at++
			return nil
		}
		name, err := s.text()
		if err != nil {
			return err
		}
		again := many[name]
		for _, n := range few {
			again = again || n == name
		}
		if again {
			return &Error{Text: "a member occurs twice", Name: name}
		}
		switch {
		case many != nil:
			many[name] = true
		case len(few) < len(inline):
			few = append(few, name)
		default:
			many = map[string]bool{name: true}
		}
		s.next()
		if err := s.value(depth + 1); err != nil {
			return err
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

// text steps over a string and returns it. A surrogate that is not half of a
// pair stands for no character (RFC 7493 section 2.1): encoding/json would put
// U+FFFD in the place of any, and make one name of two.
func (s *scan) text() (string, error) {
	from, escaped := s.at, false
	for s.at++; s.raw[s.at] != '"'; s.at++ {
		if s.raw[s.at] != '\\' {
			continue
		}
		escaped = true
		s.at++
		if s.raw[s.at] != 'u' {
			continue
		}
		switch code := s.hex(s.at + 1); {
		case code&^0x3FF == 0xD800 && strings.HasPrefix(s.raw[s.at+5:], `\u`) && s.hex(s.at+7)&^0x3FF == 0xDC00:
			s.at += 10
		case code&^0x7FF == 0xD800:
			return "", &Error{Text: "half of a surrogate pair, which is no character"}
		default:
			s.at += 4
		}
	}
	s.at++
	quoted := s.raw[from:s.at]
	if !escaped {
		return quoted[1 : len(quoted)-1], nil
	}
	name, ok := Text(json.RawMessage(quoted))
	if !ok {
		return "", &Error{Text: "not JSON"}
	}
	return name, nil
}

// hex returns the value of the four hexadecimal digits at i.
func (s *scan) hex(i int) uint64 {
	code, _ := strconv.ParseUint(s.raw[i:i+4], 16, 16) // encoding/json saw them
	return code
}

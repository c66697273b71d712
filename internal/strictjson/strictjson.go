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
)

// An Error says what is wrong with a document.
type Error struct {
	Text string // never holds a part of the document
	Name string // the member that it is about, "" for none

	raw []byte // what is not JSON: where, is found out when somebody asks
}

// Error returns the text with the place, or the name, cut short.
func (e *Error) Error() string {
	if e.raw != nil {
		return e.Text + place(e.raw)
	}
	if e.Name == "" {
		return e.Text
	}
	name := e.Name
	if len(name) > 64 {
		name = name[:64]
	}
	return e.Text + ": " + strconv.Quote(name)
}

// place says where raw ceases to be JSON.
func place(raw []byte) string {
	if bytes.HasPrefix(raw, []byte("\ufeff")) {
		return " but a byte order mark first"
	}
	var v json.RawMessage
	if e, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(raw, &v)); ok {
		return " from byte " + strconv.FormatInt(e.Offset, 10) + " on"
	}
	return ""
}

// Members decodes a JSON object into its members, by their exact names.
func Members(raw []byte) (map[string]json.RawMessage, error) {
	var o Object
	if err := o.Parse(raw); err != nil {
		return nil, err
	}
	m := make(map[string]json.RawMessage, o.n)
	for i := range o.n {
		m[string(o.at(i).name)] = o.at(i).value
	}
	return m, nil
}

// Text decodes a JSON string out of Members; false if it is another value.
// Where a string has no escape, its bytes are its value.
func Text(raw json.RawMessage) (string, bool) {
	if plain, ok := Plain(raw); ok {
		return string(plain), true
	}
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

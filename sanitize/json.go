package sanitize

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/gatehouse-go/gatehouse/internal/report"
)

const (
	// maxDepth is deeper than honest documents nest.
	maxDepth = 64

	maxFaults = 20

	// maxPointer is the length of the longest pointer that is told, before it
	// is escaped: 20 of them stay below 16 KiB.
	maxPointer = 200
)

// CheckJSON is what Handler goes by: it returns nil if doc is one JSON value
// in which no string would be changed by its policy, and no object name by
// Text. Otherwise it returns an *Error with the places, in the order of the
// document. A document that nests deeper than 64 levels or has a name twice in
// an object is refused as well, since others may read it differently.
func (s *Sanitizer) CheckJSON(doc []byte) error {
	if err := s.checkJSON(doc); err != nil {
		return err
	}
	return nil
}

func (s *Sanitizer) checkJSON(doc []byte) *Error {
	if s.nothingToClean(doc) && shallow(doc) && jsontext.Value(doc).IsValid() {
		return nil
	}
	w := walk{s: s, dec: jsontext.NewDecoder(bytes.NewBuffer(doc))}
	if s.fields != nil {
		w.track = &track{here: []*rule{s.fields}}
	}
	return w.run()
}

// nothingToClean reports whether no string in doc can be changed by its
// policy, judged by the bytes alone. It may be false for clean documents: the
// escapes of JSON are not looked into.
func (s *Sanitizer) nothingToClean(doc []byte) bool {
	return bytes.IndexByte(doc, '\\') < 0 &&
		bytes.IndexByte(doc, '<') < 0 &&
		(!s.richFields || !bytes.ContainsAny(doc, "&'>")) && // the other encoded bytes need an escape
		controlIndex(doc) < 0
}

// shallow reports whether doc, which has no escapes, keeps to maxDepth.
func shallow(doc []byte) bool {
	depth, quoted := 0, false
	for _, c := range doc {
		switch c {
		case '"':
			quoted = !quoted
		case '{', '[':
			if !quoted {
				depth++
			}
			if depth > maxDepth {
				return false
			}
		case '}', ']':
			if !quoted {
				depth--
			}
		}
	}
	return true
}

// A walk goes through a document once.
type walk struct {
	s       *Sanitizer
	dec     *jsontext.Decoder
	track   *track
	scratch []byte // the string at hand, where it had to be unescaped
	faults  []Fault
	dropped int
}

func (w *walk) run() *Error {
	for {
		container, n := w.dec.StackIndex(w.dec.StackDepth())
		kind := w.dec.PeekKind()
		name := kind == '"' && container == '{' && n%2 == 0
		value := !name && kind != '}' && kind != ']' && kind != jsontext.KindInvalid
		if value && container == '[' && w.track != nil {
			w.scratch = strconv.AppendInt(w.scratch[:0], n, 10)
			w.track.step(w.scratch)
		}
		if value && container == jsontext.KindInvalid && n > 0 {
			return &Error{Reason: ReasonSyntax, Err: report.Cause("more than one value")}
		}
		if kind == '"' {
			if err := w.text(name); err != nil {
				return w.failed(err)
			}
			continue
		}
		switch _, err := w.dec.ReadToken(); {
		case errors.Is(err, io.EOF) && container == jsontext.KindInvalid && n > 0:
			return w.result()
		case err != nil:
			return w.failed(err)
		}
		switch kind {
		case '{', '[':
			if w.dec.StackDepth() > maxDepth {
				return &Error{Reason: ReasonDepth, Err: report.Causef("nested deeper than %d levels", maxDepth)}
			}
			w.track.open()
		case '}', ']':
			w.track.close()
		}
	}
}

// text reads a string, a name or a value, and judges it.
func (w *walk) text(name bool) error {
	raw, err := w.dec.ReadValue()
	if err != nil {
		return err
	}
	s := []byte(raw[1 : len(raw)-1])
	if bytes.IndexByte(s, '\\') >= 0 {
		if w.scratch, err = jsontext.AppendUnquote(w.scratch[:0], raw); err != nil {
			return err
		}
		s = w.scratch
	}
	p := Policy(Text)
	if name {
		w.track.step(s)
	} else {
		p = w.track.policy()
	}
	switch code := w.s.judge(p, s); {
	case code == "":
	case name:
		w.fault(CodeName, "A name must not hold control characters, direction overrides or markup.")
	case code == CodeControl:
		w.fault(code, "Must not hold control characters or direction overrides.")
	case p == Text:
		w.fault(code, "Must not hold markup.")
	default:
		w.fault(code, "Must be HTML as this resource would store it.")
	}
	return nil
}

// judge returns what p would remove from s, which is valid UTF-8; "" if nothing.
func (s *Sanitizer) judge(p Policy, b []byte) string {
	if controlIndex(b) >= 0 {
		return CodeControl
	}
	var dirty bool
	switch p {
	case Plain:
	case Text:
		dirty = bytes.IndexByte(b, '<') >= 0 && markupIndex(b) >= 0
	default:
		dirty = bytes.ContainsAny(b, encoded) && s.Clean(p, string(b)) != string(b)
	}
	if dirty {
		return CodeMarkup
	}
	return ""
}

// fault notes the value that was read last.
func (w *walk) fault(code, detail string) {
	if len(w.faults) == maxFaults {
		w.dropped++
		return
	}
	w.faults = append(w.faults, Fault{fragment(w.dec.StackPointer()), code, detail})
}

func (w *walk) result() *Error {
	if len(w.faults) == 0 {
		return nil
	}
	detail := w.faults[0].Code + " at " + place(w.faults[0].Pointer)
	if more := len(w.faults) - 1 + w.dropped; more > 0 {
		detail += fmt.Sprintf(" and %d more", more)
	}
	return &Error{Reason: ReasonUnclean, Faults: w.faults, Truncated: w.dropped > 0, Err: report.Cause(detail)}
}

// failed says why the decoder gave up. Its own texts quote the document.
func (w *walk) failed(err error) *Error {
	e, _ := errors.AsType[*jsontext.SyntacticError](err)
	if e != nil && errors.Is(err, jsontext.ErrDuplicateName) {
		f := Fault{fragment(e.JSONPointer), CodeDuplicate, "Must not be there twice."}
		return &Error{Reason: ReasonDuplicate, Faults: []Fault{f}, Err: report.Cause("duplicate at " + place(f.Pointer))}
	}
	if e == nil {
		return &Error{Reason: ReasonSyntax, Err: report.Cause("no value")}
	}
	return &Error{Reason: ReasonSyntax, Err: report.Causef("at byte %d", e.ByteOffset)}
}

// place is a pointer for the trail: how deep, with * for every name and index,
// since the client chose the names, and may have put anything there.
func place(pointer string) string {
	return "#" + strings.Repeat("/*", strings.Count(pointer, "/"))
}

// fragment is p as a URI fragment, in printable ASCII whatever the names hold.
func fragment(p jsontext.Pointer) string {
	for len(p) > maxPointer {
		p = p.Parent()
	}
	u := url.URL{Fragment: string(p)}
	return "#" + strings.ReplaceAll(u.EscapedFragment(), "&", "%26") // JSON writes & as \u0026
}

package validate

import (
	"bytes"
	"context"
	"errors"
	"io"
	"reflect"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/go-playground/validator/v10"
)

// limits refuses a document that is empty or goes beyond a limit.
func (v *Validator) limits(doc []byte, bounded bool) *Error {
	m := scan(doc, v.maxDepth, v.maxValues)
	if m.exceeded == "" && bounded && m.path > maxPath {
		m.exceeded = ReasonPath
	}
	var param, detail string
	switch m.exceeded {
	case "":
		return nil
	case ReasonDepth:
		param = strconv.Itoa(v.maxDepth)
		detail = "must not be nested deeper than " + param + " levels, as it is from byte " + strconv.Itoa(m.offset) + " on"
	case ReasonValues:
		param = strconv.Itoa(v.maxValues)
		detail = "must not have more than " + param + " members and elements"
	case ReasonPath:
		param = strconv.Itoa(maxPath)
		detail = "must not have names that are longer than " + param + " bytes together on the way to a value"
	}
	return &Error{Reason: m.exceeded, Faults: []Fault{trace(nil).fault(m.exceeded, param, detail)}}
}

// check is Check.
func (v *Validator) check(doc []byte) *Error {
	if isBlank(doc) {
		return &Error{Reason: ReasonEmpty}
	}
	if err := v.limits(doc, false); err != nil {
		return err
	}
	if jsontext.Value(doc).IsValid() {
		return nil
	}
	if err := syntax(doc); err != nil {
		return err
	}
	d := diagnosis{v: v}
	d.document(doc, nil, reflect.Value{})
	return d.error()
}

// decode is Decode, for a document of a length that is known to be allowed.
func (v *Validator) decode(ctx context.Context, s *shape, doc []byte, scanned bool, target any) (err *Error) {
	if isBlank(doc) {
		return &Error{Reason: ReasonEmpty}
	}
	if !scanned || s.maps {
		if err := v.limits(doc, s.maps); err != nil {
			return err
		}
	}
	stage := "decoding"
	defer func() {
		if thrown := recover(); thrown != nil {
			err = panicked(stage, thrown)
		}
	}()
	if json.Unmarshal(doc, target, v.strict) != nil || s.root.kind != scalar && isNull(doc) {
		return v.diagnose(ctx, s, doc)
	}
	if v.afterDecode != nil {
		stage = "AfterDecode"
		if err := v.afterDecode(ctx, target); err != nil {
			if own, ok := errors.AsType[*Error](err); ok {
				return own
			}
			return &Error{Reason: ReasonAfterDecode, Err: err}
		}
	}
	stage = "a rule"
	if broken := v.broken(ctx, s, target); len(broken) > 0 {
		d := diagnosis{v: v}
		if s.renamed { // learn the names that the client used
			d.document(doc, s.root, reflect.New(s.root.typ).Elem())
			d = diagnosis{v: v, names: d.names}
		}
		d.rules(s, reflect.ValueOf(target), broken)
		return d.error()
	}
	return nil
}

// diagnose tells every fault of a document that did not decode. Whatever it
// finds, it refuses.
func (v *Validator) diagnose(ctx context.Context, s *shape, doc []byte) *Error {
	if err := syntax(doc); err != nil {
		return err
	}
	d := diagnosis{v: v}
	target := reflect.New(s.root.typ)
	d.document(doc, s.root, target.Elem())
	if len(d.faults) == 0 { // the decoder knows better
		d.add(trace(nil), ReasonType, unexpected)
	}
	if !d.truncated {
		// The code that runs here may not be made for a T that is incomplete:
		// when it fails, what is known already is the answer.
		func() {
			defer func() { _ = recover() }()
			if v.afterDecode == nil || v.afterDecode(ctx, target.Interface()) == nil {
				d.rules(s, target, v.broken(ctx, s, target.Interface()))
			}
		}()
	}
	return d.error()
}

// broken asks the engine which rules are broken.
func (v *Validator) broken(ctx context.Context, s *shape, target any) validator.ValidationErrors {
	var err error
	switch {
	case s.root.typ.Kind() == reflect.Struct:
		err = v.engine.StructCtx(ctx, target)
	case s.dive != "":
		err = v.engine.VarCtx(ctx, reflect.ValueOf(target).Elem().Interface(), s.dive)
	}
	broken, _ := errors.AsType[validator.ValidationErrors](err)
	return broken
}

// syntax refuses what is not exactly one JSON document. Members that occur
// twice are a matter of meaning, not of syntax.
func syntax(doc []byte) *Error {
	dec := jsontext.NewDecoder(bytes.NewBuffer(doc), jsontext.AllowDuplicateNames(true))
	err := dec.SkipValue()
	if err == nil {
		end := int(dec.InputOffset())
		rest := bytes.TrimLeft(doc[end:], " \t\r\n")
		if len(rest) == 0 {
			return nil
		}
		return syntaxError(ReasonTrailing, nil, "must end where its one JSON value ends, but goes on from byte ", len(doc)-len(rest))
	}
	offset, at := len(doc), trace(nil)
	if serr, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			offset = int(serr.ByteOffset)
		}
		at = within(nil, serr.JSONPointer)
	}
	if !utf8.Valid(doc) {
		valid := 0
		for valid < len(doc) {
			r, size := utf8.DecodeRune(doc[valid:])
			if r == utf8.RuneError && size == 1 {
				break
			}
			valid += size
		}
		return syntaxError(ReasonUTF8, nil, "is not UTF-8 at byte ", valid)
	}
	return syntaxError(ReasonSyntax, at, "is not valid JSON at byte ", offset)
}

func syntaxError(reason string, at trace, detail string, offset int) *Error {
	return &Error{Reason: reason, Faults: []Fault{at.fault(reason, "", detail+strconv.Itoa(offset))}}
}

// within returns the way to what p points at, beneath at.
func within(at trace, p jsontext.Pointer) trace {
	for token := range p.Tokens() {
		at = at.member(token, true)
	}
	return at
}

func isBlank(doc []byte) bool { return len(bytes.TrimLeft(doc, " \t\r\n")) == 0 }

func isNull(doc []byte) bool { return string(bytes.Trim(doc, " \t\r\n")) == "null" }

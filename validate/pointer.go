package validate

import (
	"strconv"
	"strings"
)

// maxPointer is the most bytes of a Pointer; further steps are left off.
const maxPointer = 256

// A step leads from an object or array to one of its values.
type step struct {
	name    string
	index   int  // -1: a member
	foreign bool // the name is not one of T's
}

// A trace is the way from the document to one of its values.
type trace []step

func (t trace) member(name string, foreign bool) trace { return append(t, step{name, -1, foreign}) }
func (t trace) element(i int) trace                    { return append(t, step{index: i}) }

// pointers returns the way as Fault.Pointer and as Fault.place. A way too long
// to show is cut behind a whole name, so that it still leads somewhere: to what
// holds the value.
func (t trace) pointers() (pointer, place string, cut bool) {
	p, q := []byte{'#'}, []byte{'#'}
	for _, s := range t {
		n := len(p)
		p, q = append(p, '/'), append(q, '/')
		switch {
		case s.index >= 0:
			p, q = strconv.AppendInt(p, int64(s.index), 10), strconv.AppendInt(q, int64(s.index), 10)
		case s.foreign:
			p, q = appendToken(p, s.name), append(q, '*')
		default:
			p, q = appendToken(p, s.name), appendToken(q, s.name)
		}
		if len(p) > maxPointer {
			return string(p[:n]), string(q), true
		}
	}
	return string(p), string(q), false
}

// appendToken appends a reference token: escaped (RFC 6901 section 3), then
// percent-encoded (section 6, RFC 3986 section 3.5). More is encoded than must
// be: what JSON would write as \u0026 stays short.
func appendToken(b []byte, name string) []byte {
	const hexadecimal = "0123456789ABCDEF"
	for i := 0; i < len(name) && len(b) <= maxPointer; i++ {
		switch c := name[i]; {
		case c == '~':
			b = append(b, '~', '0')
		case c == '/':
			b = append(b, '~', '1')
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._!$()*+,;=:@", c) >= 0:
			b = append(b, c)
		default:
			b = append(b, '%', hexadecimal[c>>4], hexadecimal[c&15])
		}
	}
	return b
}

func (t trace) fault(code, param, detail string) Fault {
	pointer, place, cut := t.pointers()
	if cut {
		detail = "holds a value, too long to point at, that " + detail
	}
	return Fault{Pointer: pointer, Code: code, Param: param, Detail: detail, place: place}
}

// has reports whether t leads through or to what other leads to.
func (t trace) has(other trace) bool {
	if len(t) < len(other) {
		return false
	}
	for i, s := range other {
		if t[i].index != s.index || t[i].name != s.name {
			return false
		}
	}
	return true
}

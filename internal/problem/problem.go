// Package problem writes the error answers of every package: problem details
// for HTTP APIs (RFC 9457).
package problem

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/gatehouse-go/gatehouse/audit/decision"
)

// A Problem is what a client is told. Detail must be safe to show: never the
// text of somebody else's error.
type Problem struct {
	Status int
	Type   string // "" is about:blank
	Title  string // "" is the status text
	Detail string
	// Extensions are further members, in this order.
	Extensions []Extension
}

// An Extension is a member beside the registered ones (RFC 9457 section 3.2).
type Extension struct {
	Name  string
	Value any // must marshal; a *[]string costs the least
}

// Write answers r with p. Headers that describe another body are removed, the
// others, such as challenges, stay.
func Write(w http.ResponseWriter, r *http.Request, p Problem) {
	body := bodies.Get().(*[]byte) //nolint:forcetypeassert // nothing else is in it
	b := p.appendTail(appendID(p.appendHead((*body)[:0]), decision.RequestID(r.Context())))
	write(w, r, p.Status, 0, strconv.Itoa(len(b)), b, make([]string, 0, Headers))
	free(body, b)
}

// Unstored is an ErrorHandler of a user's behind which no cache keeps the answer,
// which Write sees to itself.
func Unstored(custom func(http.ResponseWriter, *http.Request, error)) func(http.ResponseWriter, *http.Request, error) {
	return func(w http.ResponseWriter, r *http.Request, err error) {
		w.Header()["Cache-Control"] = []string{"no-store"}
		custom(w, r, err)
	}
}

// Headers is how many headers an answer gets.
const Headers = 4

// write writes the answer with the body b, whose headers stand behind values in
// one array. If no more than the known headers are set, which describe no other
// body, none that does is looked for.
func write(w http.ResponseWriter, r *http.Request, status, known int, length string, b []byte, values []string) {
	h := w.Header()
	if len(h) > known {
		for name := range h { // in canonical form
			switch name {
			case "Content-Encoding", "Content-Range", "Content-Language", "Content-Disposition", "Etag", "Last-Modified", "Trailer", "Accept-Ranges", "Expires":
				delete(h, name)
			}
		}
	}
	n := len(values)
	values = append(values, "application/problem+json", length, "no-store", "nosniff")
	for i, name := range [Headers]string{"Content-Type", "Content-Length", "Cache-Control", "X-Content-Type-Options"} {
		h[name] = values[n+i : n+i+1 : n+i+1]
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(b) // the client is gone: nobody to tell
	}
}

// A Rendered problem is encoded already, but for the request's id.
type Rendered struct {
	status     int
	head, tail string
	length     string // without an id
}

// Render encodes p.
func Render(p Problem) *Rendered {
	head, tail := p.appendHead(nil), p.appendTail(nil)
	return &Rendered{p.Status, string(head), string(tail), strconv.Itoa(len(head) + len(tail))}
}

// Write is the function Write for the problem that was rendered. known is how
// many headers the caller has set that describe no other body, 0 if there may be
// others. Its own stand behind values, values of this answer alone that may have
// room for them.
func (p *Rendered) Write(w http.ResponseWriter, r *http.Request, known int, values []string) {
	body := bodies.Get().(*[]byte) //nolint:forcetypeassert // nothing else is in it
	b := (*body)[:0]
	b = append(b, p.head...)
	length := p.length
	if id := decision.RequestID(r.Context()); id == "" {
		b = append(b, p.tail...)
	} else {
		b = append(appendID(b, id), p.tail...)
		length = strconv.Itoa(len(b))
	}
	write(w, r, p.status, known, length, b, values)
	free(body, b)
}

func free(body *[]byte, b []byte) {
	if cap(b) <= maxPooled {
		*body = b
		bodies.Put(body)
	}
}

const maxPooled = 4 << 10

// bodies are memory for bodies, which an [io.Writer] must not keep.
var bodies = sync.Pool{New: func() any { b := make([]byte, 0, 256); return &b }} //nolint:gochecknoglobals // a pool

// appendHead appends the registered members in the order of RFC 9457 section
// 3.1.
func (p *Problem) appendHead(b []byte) []byte {
	if p.Type == "" {
		b = append(b, `{"type":"about:blank"`...)
	} else {
		b = appendText(append(b, `{"type":`...), p.Type)
	}
	b = append(b, `,"title":`...)
	b = appendText(b, cmp.Or(p.Title, http.StatusText(p.Status)))
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(p.Status), 10)
	if p.Detail != "" {
		b = appendText(append(b, `,"detail":`...), p.Detail)
	}
	return b
}

// appendID appends the request's id, if there is one.
func appendID(b []byte, id string) []byte {
	if id == "" {
		return b
	}
	return appendText(append(b, `,"request_id":`...), id)
}

// appendTail appends the extensions and the end.
func (p *Problem) appendTail(b []byte) []byte {
	for _, e := range p.Extensions {
		if texts, ok := e.Value.(*[]string); ok && texts != nil && *texts != nil {
			b = append(appendText(append(b, ','), e.Name), ":["...)
			for i, text := range *texts {
				if i > 0 {
					b = append(b, ',')
				}
				b = appendText(b, text)
			}
			b = append(b, ']')
			continue
		}
		value, err := json.Marshal(e.Value)
		if err != nil {
			continue
		}
		b = appendText(append(b, ','), e.Name)
		b = append(append(b, ':'), value...)
	}
	return append(b, '}', '\n')
}

// plain are the bytes that stand for themselves in JSON, also within HTML.
var plain = func() (set [256]bool) { //nolint:gochecknoglobals // immutable
	for c := ' '; c <= '~'; c++ {
		set[c] = !strings.ContainsRune(`"\<>&`, c)
	}
	return set
}()

// appendText appends s as JSON. Texts of ours hold nothing that would have to
// be escaped; for all others there is encoding/json.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if !plain[s[i]] {
			text, err := json.Marshal(s)
			if err != nil { // strings always marshal
				return append(b, `""`...)
			}
			return append(b, text...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// Status returns the status that err asks for with StatusCode() int, or
// fallback if it asks for none that is an error.
func Status(err error, fallback int) int {
	if s, ok := errors.AsType[interface {
		error
		StatusCode() int
	}](err); ok {
		if code := s.StatusCode(); code >= 400 && code <= 599 {
			return code
		}
	}
	return fallback
}

// Package problem writes the error answers of every package: problem details
// for HTTP APIs (RFC 9457).
package problem

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

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
	Value any // must marshal
}

// Write answers r with p. Headers that describe another body are removed, the
// others, such as challenges, stay.
func Write(w http.ResponseWriter, r *http.Request, p Problem) {
	b := p.encode(decision.RequestID(r.Context()))
	h := w.Header()
	for _, name := range [...]string{"Content-Encoding", "Content-Range", "Content-Language", "Content-Disposition", "Etag", "Last-Modified", "Trailer", "Accept-Ranges", "Expires"} {
		delete(h, name) // in canonical form
	}
	values := [...]string{"application/problem+json", strconv.Itoa(len(b)), "no-store", "nosniff"} // of this answer alone
	for i, name := range [...]string{"Content-Type", "Content-Length", "Cache-Control", "X-Content-Type-Options"} {
		h[name] = values[i : i+1 : i+1]
	}
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(b) // the client is gone: nobody to tell
	}
}

// encode has the registered members in the order of RFC 9457 section 3.1.
func (p *Problem) encode(requestID string) []byte {
	b := make([]byte, 0, 256)
	b = append(b, `{"type":`...)
	b = appendText(b, cmp.Or(p.Type, "about:blank"))
	b = append(b, `,"title":`...)
	b = appendText(b, cmp.Or(p.Title, http.StatusText(p.Status)))
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(p.Status), 10)
	for _, m := range [...]struct{ name, text string }{{`,"detail":`, p.Detail}, {`,"request_id":`, requestID}} {
		if m.text != "" {
			b = appendText(append(b, m.name...), m.text)
		}
	}
	for _, e := range p.Extensions {
		value, err := json.Marshal(e.Value)
		if err != nil {
			continue
		}
		b = appendText(append(b, ','), e.Name)
		b = append(append(b, ':'), value...)
	}
	return append(b, '}', '\n')
}

// appendText appends s as JSON. Texts of ours hold nothing that would have to
// be escaped; for all others there is encoding/json.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
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

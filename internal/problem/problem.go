// Package problem writes the error answers of every package: problem details
// for HTTP APIs (RFC 9457).
package problem

import (
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

// body has the members in the order of RFC 9457 section 3.1.
type body struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail,omitempty"`
	RequestID string `json:"request_id,omitempty"`
}

// Write answers r with p. Headers that describe another body are removed, the
// others, such as challenges, stay.
func Write(w http.ResponseWriter, r *http.Request, p Problem) {
	b := p.encode(decision.RequestID(r.Context()))
	h := w.Header()
	for _, name := range []string{"Content-Encoding", "Content-Range", "Content-Language", "Content-Disposition", "Etag", "Last-Modified", "Trailer", "Accept-Ranges", "Expires"} {
		h.Del(name)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(b) // the client is gone: nobody to tell
	}
}

func (p Problem) encode(requestID string) []byte {
	out := body{p.Type, p.Title, p.Status, p.Detail, requestID}
	if out.Type == "" {
		out.Type = "about:blank"
	}
	if out.Title == "" {
		out.Title = http.StatusText(p.Status)
	}
	b, err := json.Marshal(out)
	if err != nil { // strings and an int always marshal
		return []byte("{}\n")
	}
	for _, e := range p.Extensions {
		value, err := json.Marshal(e.Value)
		if err != nil {
			continue
		}
		name, err := json.Marshal(e.Name)
		if err != nil {
			continue
		}
		b = append(b[:len(b)-1], ',')
		b = append(append(append(b, name...), ':'), value...)
		b = append(b, '}')
	}
	return append(b, '\n')
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

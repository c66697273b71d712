package ratelimit

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The fields of draft-ietf-httpapi-ratelimit-headers, in the canonical form
// of package textproto. Both are lists of structured fields (RFC 9651).
const (
	fieldLimit  = "Ratelimit"
	fieldPolicy = "Ratelimit-Policy"
)

// policyField returns the RateLimit-Policy field for the policies. A window
// that is not of whole seconds cannot be told.
func policyField(names []string, policies []Policy) string {
	var b []byte
	for i, p := range policies {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(b, '"')
		b = append(b, names[i]...)
		b = append(b, `";q=`...)
		b = strconv.AppendInt(b, p.Limit, 10)
		if p.Period%time.Second == 0 {
			b = append(b, ";w="...)
			b = strconv.AppendInt(b, int64(p.Period/time.Second), 10)
		}
	}
	return string(b)
}

// setFields sets both fields. What a limiter further out has set stays.
func (l *Limiter) setFields(h http.Header, r *Result) {
	setItem(h, fieldPolicy, l.policyHeader)
	// t is when there will be more. Told the time of the next request while
	// some remain, clients would send all of them in that time.
	left, after := min(r.Remaining, r.Limit), r.ResetAfter
	if left == 0 || !r.OK {
		left, after = 0, max(r.RetryAfter, 1)
	}
	b := make([]byte, 0, 192)
	b = append(b, '"')
	b = append(b, r.Policy...)
	b = append(b, `";r=`...)
	b = strconv.AppendInt(b, left, 10)
	b = append(b, ";t="...)
	b = strconv.AppendInt(b, seconds(after), 10)
	setItem(h, fieldLimit, string(b))
}

func setItem(h http.Header, name, item string) {
	if outer := h[name]; len(outer) > 0 {
		item = strings.Join(outer, ", ") + ", " + item
	}
	h.Set(name, item)
}

// seconds rounds up: nobody may be told to come back too early.
func seconds(d time.Duration) int64 {
	s := int64(d / time.Second)
	if d%time.Second > 0 {
		s++
	}
	return s
}

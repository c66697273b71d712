package ratelimit

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The fields of draft-ietf-httpapi-ratelimit-headers, both of them lists of
// structured fields (RFC 9651), and those that were used before, in the
// canonical form of package textproto.
const (
	fieldLimit      = "Ratelimit"
	fieldPolicy     = "Ratelimit-Policy"
	fieldRetry      = "Retry-After"
	legacyLimit     = "X-Ratelimit-Limit"
	legacyRemaining = "X-Ratelimit-Remaining"
	legacyReset     = "X-Ratelimit-Reset"
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

// setFields sets what a client is told of its quota. RateLimit fields that a
// limiter further out has set stay, as the first ones of a list. All values are
// parts of one string and all slices of one array, both of this answer alone.
func (l *Limiter) setFields(h http.Header, p *plan, r *Result) {
	if l.hidden && r.OK {
		return
	}
	var buf [192]byte
	b := buf[:0]
	var ends [4]int
	if !l.hidden {
		// t is when there will be more. Told the time of the next request while
		// some remain, clients would send all of them in that time.
		left, after := min(r.Remaining, r.Limit), r.ResetAfter
		if left == 0 || !r.OK {
			left, after = 0, max(r.RetryAfter, 1)
		}
		b = append(b, '"')
		b = append(b, r.Policy...)
		b = append(b, `";r=`...)
		b = strconv.AppendInt(b, left, 10)
		b = append(b, ";t="...)
		b = strconv.AppendInt(b, seconds(after), 10)
		ends[0] = len(b)
		if l.legacy {
			b = strconv.AppendInt(b, left, 10)
			ends[1] = len(b)
			b = strconv.AppendInt(b, time.Now().Unix()+seconds(after), 10)
		}
	}
	ends[2] = len(b)
	if !r.OK {
		b = strconv.AppendInt(b, seconds(max(r.RetryAfter, 1)), 10)
	}
	text := string(b)
	var values []string // of this answer alone
	if l.legacy {
		values = make([]string, 0, 6)
	} else {
		values = make([]string, 0, 3)
	}
	if !l.hidden {
		policy, limit := p.field, text[:ends[0]]
		if len(h) > 0 {
			policy, limit = listed(h[fieldPolicy], policy), listed(h[fieldLimit], limit)
		}
		values = put(h, values, fieldPolicy, policy)
		values = put(h, values, fieldLimit, limit)
		if l.legacy {
			values = put(h, values, legacyLimit, p.limits[p.index(r)])
			values = put(h, values, legacyRemaining, text[ends[0]:ends[1]])
			values = put(h, values, legacyReset, text[ends[1]:ends[2]])
		}
	}
	if !r.OK {
		put(h, values, fieldRetry, text[ends[2]:])
	}
}

// countFields returns how many of the fields that setFields sets are in h.
func countFields(h http.Header) (n int) {
	for _, name := range [...]string{fieldLimit, fieldPolicy, fieldRetry} {
		if len(h[name]) > 0 {
			n++
		}
	}
	return n
}

// put sets a header to a value that is behind values, all in one array.
func put(h http.Header, values []string, name, value string) []string {
	values = append(values, value)
	h[name] = values[len(values)-1 : len(values) : len(values)]
	return values
}

// listed returns item behind those of outer.
func listed(outer []string, item string) string {
	if len(outer) == 0 {
		return item
	}
	return strings.Join(outer, ", ") + ", " + item
}

// seconds rounds up: nobody may be told to come back too early.
func seconds(d time.Duration) int64 {
	s := int64(d / time.Second)
	if d%time.Second > 0 {
		s++
	}
	return s
}

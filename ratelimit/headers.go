package ratelimit

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
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

// A field is a RateLimit field, as all who have as much left are told it.
type field struct {
	left, after         int64 // seconds
	text                string
	leftText, afterText string // the digits
}

// fields are those that were told last.
type fields [64]atomic.Pointer[field]

// field returns the RateLimit field for r, a result of the limit i. Its t is
// when there will be more: told the time of the next request while some remain,
// clients would send all of them in that time.
func (p *plan) field(i int, r *Result) *field {
	left, after := min(r.Remaining, p.policies[i].Limit), r.ResetAfter
	if left == 0 || !r.OK {
		left, after = 0, max(r.RetryAfter, 1)
	}
	wait := seconds(after)
	told := &p.fields[i][uint64(31*left+wait)%uint64(len(p.fields[i]))] //nolint:gosec // any of them
	if f := told.Load(); f != nil && f.left == left && f.after == wait {
		return f
	}
	f := newField(p.shown[i], left, wait)
	told.Store(f)
	return f
}

func newField(name string, left, after int64) *field {
	var buf [192]byte
	b := append(append(append(buf[:0], '"'), name...), `";r=`...)
	r := len(b)
	b = strconv.AppendInt(b, left, 10)
	end := len(b)
	b = append(b, ";t="...)
	t := len(b)
	text := string(strconv.AppendInt(b, after, 10))
	return &field{left, after, text, text[r:end], text[t:]}
}

// setFields sets what a client is told of its quota, r of the limit i. RateLimit
// fields that a limiter further out has set stay, as the first ones of a list.
// values is an empty slice with room for those that setFields sets; they are of
// this answer alone. It returns how many there were.
func (l *Limiter) setFields(h http.Header, p *plan, i int, r *Result, values []string) int {
	if l.hidden && r.OK {
		return 0
	}
	f := p.field(i, r)
	if !l.hidden {
		policy, limit := p.policyField, f.text
		if len(h) > 0 {
			policy, limit = listed(h[fieldPolicy], policy), listed(h[fieldLimit], limit)
		}
		values = put(h, values, fieldPolicy, policy)
		values = put(h, values, fieldLimit, limit)
		if l.legacy {
			values = put(h, values, legacyLimit, p.limits[i])
			values = put(h, values, legacyRemaining, f.leftText)
			values = put(h, values, legacyReset, strconv.FormatInt(time.Now().Unix()+f.after, 10))
		}
	}
	if !r.OK {
		values = put(h, values, fieldRetry, f.afterText)
	}
	return len(values)
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

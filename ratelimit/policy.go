package ratelimit

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Policy is one limit: Limit requests in each Period, Burst of them at once.
// Limit and Period are required.
type Policy struct {
	_ [0]func() // keyed literals only

	// Name is what clients and the audit trail call the limit. If empty, it is
	// made of the period: "minute", "5-minutes". It is part of the key in a
	// Store, so that changing Limit keeps the counters.
	Name string

	// Limit is how many requests, or how much of whatever the cost counts, are
	// admitted in a Period in the long run: at most 10 million a second.
	Limit int64

	// Period is 1 ms to 366 days.
	Period time.Duration

	// Burst is how many are admitted at once after a pause. If zero, it is
	// Limit. Any Period sees at most Limit+Burst-1.
	Burst int64

	// Exact admits at most Limit in every Period, wherever that begins, and
	// never refuses a client that keeps to the rate. It costs the memory for
	// the times of the last Limit requests of each client, and Limit is at most
	// 100. Burst and Backoff must be zero.
	Exact bool

	// Backoff is for what a client should not do often, such as guess. If not
	// zero, each time that the quota is used up the wait for the next request
	// is twice as long as the time before, from Period/Limit up to Backoff. That
	// is forgotten when the quota has been whole for as long as Backoff.
	Backoff time.Duration
}

const (
	minPeriod = time.Millisecond
	maxPeriod = 366 * 24 * time.Hour
	maxExact  = 100

	// minUnit is the shortest time between two requests. Units are whole
	// nanoseconds, rounded up; from here on that costs less than 1 %.
	minUnit = 100 * time.Nanosecond

	// maxSpan bounds how long a bucket takes to fill, far from overflow.
	maxSpan = 10 * maxPeriod
)

// unit is the time in which one request comes back, rounded up so that a limit
// is never exceeded.
func (p *Policy) unit() time.Duration {
	u := p.Period / time.Duration(p.Limit)
	if p.Period%time.Duration(p.Limit) != 0 {
		u++
	}
	return u
}

// Complete returns p as a [Request] wants it, with a name and a burst. The
// error, if any, joins every mistake found in p, each beginning with the name of
// the field.
func (p Policy) Complete() (Policy, error) {
	p, errs := p.complete()
	return p, errors.Join(errs...)
}

func (p Policy) complete() (Policy, []error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if p.Name != "" && !validName(p.Name) {
		bad("Name is %q, want at most 64 letters, digits, '-', '_' and '.'", p.Name)
	}
	if p.Limit < 1 {
		bad("Limit is %d, want 1 or more", p.Limit)
	}
	if p.Period < minPeriod || p.Period > maxPeriod {
		bad("Period is %v, want 1ms to 366 days", p.Period)
	}
	if p.Burst < 0 {
		bad("Burst is %d, want 0 or more", p.Burst)
	}
	if p.Exact && p.Limit > maxExact {
		bad("Limit is %d, want at most %d with Exact", p.Limit, maxExact)
	}
	if p.Exact && p.Burst != 0 {
		bad("Burst is %d, want 0 with Exact", p.Burst)
	}
	if p.Exact && p.Backoff != 0 {
		bad("Backoff is %v, want 0 with Exact", p.Backoff)
	}
	if len(errs) > 0 {
		return p, errs
	}
	if p.Backoff != 0 && (p.Backoff < p.unit() || p.Backoff > maxPeriod) {
		bad("Backoff is %v, want %v, which is Period/Limit, to 366 days", p.Backoff, p.unit())
	}
	if most := int64(p.Period / minUnit); p.Limit > most {
		bad("Limit is %d, want at most %d in %v", p.Limit, most, p.Period)
		return p, errs
	}
	if most := int64(maxSpan / p.unit()); p.Burst > most {
		bad("Burst is %d, want at most %d", p.Burst, most)
	}
	if p.Burst == 0 {
		p.Burst = p.Limit
	}
	if p.Name == "" {
		if n, unit := inUnits(p.Period); unit == "" {
			p.Name = p.Period.String()
		} else if n == 1 {
			p.Name = unit
		} else {
			p.Name = strconv.FormatInt(n, 10) + "-" + unit + "s"
		}
	}
	return p, errs
}

// String returns the limit in the notation of Config.Limits: "5 per minute",
// "100 per 5 minutes".
func (p Policy) String() string {
	s := strconv.FormatInt(p.Limit, 10) + " per "
	if n, unit := inUnits(p.Period); unit == "" {
		s += p.Period.String()
	} else if n == 1 {
		s += unit
	} else {
		s += strconv.FormatInt(n, 10) + " " + unit + "s"
	}
	if p.Burst != 0 && p.Burst != p.Limit {
		s += " (burst " + strconv.FormatInt(p.Burst, 10) + ")"
	}
	if p.Exact {
		s += " (exact)"
	}
	if p.Backoff != 0 {
		s += " (backoff " + p.Backoff.String() + ")"
	}
	return s
}

// inUnits returns d in the largest unit of which it is a multiple; "" if it is
// not one of any.
func inUnits(d time.Duration) (n int64, unit string) {
	for _, u := range [...]struct {
		size time.Duration
		name string
	}{
		{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}, {time.Millisecond, "millisecond"},
	} {
		if d%u.size == 0 {
			return int64(d / u.size), u.name
		}
	}
	return 0, ""
}

// validName reports whether s may stand in a header, in a key before a colon
// and in a log without quoting.
func validName(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.'
	})
}

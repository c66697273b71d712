package ratelimit

import "time"

// ParseLimits is the parser of Config.Limits.
var ParseLimits = parseLimits

// A Table is the in-process table under a clock of the test's.
type Table struct{ t *table }

// NewTable returns a Table for policies, which must be valid.
func NewTable(slots int, policies ...Policy) Table {
	for i, p := range policies {
		complete, errs := p.complete()
		if len(errs) > 0 {
			panic(errs[0])
		}
		policies[i] = complete
	}
	return Table{newTable(slots, policies)}
}

// Slots returns the number of rows.
func (t Table) Slots() int { return t.t.slots() }

// TakeAt takes at the time now.
func (t Table) TakeAt(now time.Duration, key string, cost int64) (results []Result, ok, crowded bool) {
	results, crowded = t.t.takeAt(int64(now), nil, key, cost)
	ok = true
	for _, r := range results {
		ok = ok && r.OK
	}
	return results, ok, crowded
}

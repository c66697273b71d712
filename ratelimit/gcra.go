package ratelimit

import "time"

// A quota is a policy as the generic cell rate algorithm counts it (ITU-T
// I.371): what a client has used is the time that it takes to come back, its
// level. A request raises the level by its cost in units, time lowers it, and
// it never rises above the span. All are nanoseconds.
type quota struct {
	unit  int64 // what a cost of 1 adds
	span  int64 // a whole burst
	burst int64
}

func (p *Policy) quota() quota {
	u := int64(p.unit())
	return quota{unit: u, span: u * p.Burst, burst: p.Burst}
}

// fits reports whether cost, at most the burst, may be added to level. Peeking
// asks whether 1 may, giving back always fits.
func (q quota) fits(level, cost int64) bool {
	if cost == 0 {
		cost = 1
	}
	return cost < 0 || level <= q.span-cost*q.unit
}

// after returns the level after cost was taken or given back.
func (q quota) after(level, cost int64) int64 {
	if cost < -q.burst {
		return 0
	}
	return max(0, level+cost*q.unit)
}

// result describes level to somebody who wants to take cost.
func (q quota) result(level, cost int64, ok bool) Result {
	return Result{
		OK:         ok,
		Remaining:  max(0, q.span-level) / q.unit,
		RetryAfter: time.Duration(max(0, level+max(1, cost)*q.unit-q.span)),
		ResetAfter: time.Duration(level),
	}
}

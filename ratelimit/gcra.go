package ratelimit

import "time"

// A quota is a policy as this process counts it. What a client has used is the
// time that it takes to come back, its level (GCRA, ITU-T I.371). All times are
// nanoseconds.
type quota struct {
	shelf   *shelf
	salt    uint64 // tells the counters of one client apart
	unit    int64  // what a cost of 1 adds to the level
	span    int64  // a whole burst
	burst   int64
	period  int64
	backoff int64
	exact   bool
}

// A state is what a row of a [Memory] says of a client at a time.
type state struct {
	level int64
	waits int64   // how often the quota was used up, with a Backoff
	times []int64 // of an exact policy: the newest first, 0 for none
	young int64   // how many of these are younger than the period
}

// The number of waits shares a word with the end of a row. It is enough for
// waits to double from 100 ns to the longest period.
const (
	waitBits = 6
	waitMask = 1<<waitBits - 1
)

// read returns what a row says at the time now. A row that is not there has
// no words.
func (q *quota) read(row []int64, now int64) state {
	var s state
	switch {
	case row == nil:
	case q.exact:
		s.times = row[rowHead : rowHead+q.burst]
		for s.young < q.burst && s.times[s.young] > now-q.period {
			s.young++
		}
	case q.backoff != 0:
		end := row[rowEnd] &^ waitMask
		if end > now {
			s.waits = row[rowEnd] & waitMask
		}
		s.level = max(0, end-q.backoff-now)
	default:
		s.level = max(0, row[rowEnd]-now)
	}
	return s
}

// fits reports whether cost, at most the burst, may be taken. Peeking asks
// whether 1 may, giving back always fits.
func (q *quota) fits(s *state, cost int64) bool {
	switch {
	case cost < 0:
		return true
	case cost == 0:
		cost = 1
	}
	if q.exact {
		return s.young+cost <= q.burst
	}
	return s.level <= q.span-cost*q.unit
}

// after changes s by a cost that fits.
func (q *quota) after(s *state, cost int64) {
	switch {
	case cost <= -q.burst:
		s.level, s.waits, s.young = 0, 0, 0
	case q.exact && cost < 0:
		s.young = max(0, s.young+cost) // the oldest: who gave back may have come later
	case q.exact:
		s.young += cost
	case cost < 0:
		q.giveBack(s, -cost*q.unit)
	default:
		s.level += cost * q.unit
		if q.backoff != 0 && s.level > q.span-q.unit {
			s.level = q.span - q.unit + q.wait(s.waits)
			s.waits = min(s.waits+1, waitMask)
		}
	}
}

// giveBack lowers the level, which a Backoff may have raised.
func (q *quota) giveBack(s *state, amount int64) {
	if s.waits > 0 && s.level > q.span-q.unit {
		s.waits--
	}
	s.level = max(0, min(s.level, q.span)-amount)
}

// wait is how long the quota stays used up for the n-th time.
func (q *quota) wait(n int64) int64 {
	if n >= waitMask || q.unit > q.backoff>>n {
		return q.backoff
	}
	return q.unit << n
}

// write puts s into its row, to which cost was the change.
func (q *quota) write(row []int64, s *state, cost, now int64) {
	switch {
	case q.exact:
		times := row[rowHead : rowHead+q.burst]
		if cost > 0 {
			now = max(now, times[0]) // requests that run at once may be read out of order
			copy(times[cost:], times)
			for i := range cost {
				times[i] = now
			}
		}
		clear(row[rowHead+s.young:]) // also what another client or limit left
		// How soon it gives way goes by how much is used up, as with others.
		row[rowEnd] = now + s.young*q.unit
	case q.backoff != 0 && (s.level > 0 || s.waits > 0):
		end := now + s.level + q.backoff
		if cost < 0 { // what is remembered is not remembered for longer
			end = min(end, row[rowEnd]&^waitMask)
		}
		row[rowEnd] = (end+waitMask)&^waitMask | s.waits
	default:
		row[rowEnd] = now + s.level
	}
}

// result describes s, after cost was taken if it was, to somebody who wants to
// take cost.
func (q *quota) result(s *state, cost, now int64, ok bool) Result {
	cost = max(1, cost)
	if !q.exact {
		return Result{
			OK:         ok,
			Remaining:  max(0, q.span-s.level) / q.unit,
			RetryAfter: time.Duration(max(0, s.level+cost*q.unit-q.span)),
			ResetAfter: time.Duration(s.level),
		}
	}
	r := Result{OK: ok, Remaining: q.burst - s.young}
	if s.young > 0 {
		r.ResetAfter = time.Duration(s.times[0] + q.period - now)
	}
	if s.young+cost > q.burst {
		r.RetryAfter = time.Duration(s.times[q.burst-cost] + q.period - now)
	}
	return r
}

// stated is the state behind a result of another store.
func (q *quota) stated(r *Result, now int64) state {
	if q.backoff != 0 {
		return state{level: int64(r.ResetAfter)}
	}
	if !q.exact { // a store of windows is whole again later than what is left says
		return state{level: min(int64(r.ResetAfter), (q.burst-min(r.Remaining, q.burst))*q.unit)}
	}
	s := state{young: q.burst - min(r.Remaining, q.burst)}
	if s.young == 0 {
		return s
	}
	// When the newest was is known, and of a full quota the oldest; between
	// them is as late as can be.
	newest := min(now, now+int64(r.ResetAfter)-q.period)
	s.times = make([]int64, s.young)
	for i := range s.times {
		s.times[i] = newest
	}
	if r.Remaining == 0 && r.RetryAfter > 0 {
		s.times[s.young-1] = min(newest, now+int64(r.RetryAfter)-q.period)
	}
	return s
}

// rewrite puts s into its row, whatever was there.
func (q *quota) rewrite(row []int64, s *state, now int64) {
	if q.exact {
		clear(row[rowHead:])
		copy(row[rowHead:], s.times)
	}
	q.write(row, s, 0, now)
}

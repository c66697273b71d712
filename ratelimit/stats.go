package ratelimit

import "sync/atomic"

// Stats are what a [Limiter] has counted since it was made.
type Stats struct {
	Refused       uint64 // requests refused, or in a dry run those that would have been
	Degraded      uint64 // decisions without the Store
	StoreFailures uint64 // calls of the Store that failed
	Forgotten     uint64 // clients whose counters made room for others before their time
}

type counters struct{ refused, degraded, failures atomic.Uint64 }

// Stats returns what was counted so far. Forgotten is that of the Memory, which
// limiters may share.
func (l *Limiter) Stats() Stats {
	return Stats{l.stats.refused.Load(), l.stats.degraded.Load(), l.stats.failures.Load(), l.memory.forgotten.Load()}
}

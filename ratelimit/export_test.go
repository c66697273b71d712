package ratelimit

import "time"

// ParseLimits is the parser of Config.Limits.
var ParseLimits = parseLimits

// A Clocked is a Memory under a clock of the test's, asked about policies.
type Clocked struct {
	*Memory
	quotas []quota
}

// NewClocked returns a Clocked for policies, which must be valid.
func NewClocked(maxKeys int, policies ...Policy) Clocked {
	m, err := NewMemory(MemoryConfig{MaxKeys: maxKeys})
	if err != nil {
		panic(err)
	}
	return Clocked{Memory: m}.With(policies...)
}

// Rows returns how many clients there is room for under the first policy, and
// the bytes that they take.
func (c Clocked) Rows() (rows, bytes int) {
	s := c.quotas[0].shelf
	return len(s.words) / s.width, 8 * len(s.words)
}

// Shelves returns how many limits have rows of their own.
func (c Clocked) Shelves() int { return len(*c.shelves.Load()) }

// TakeAt takes at the time now.
func (c Clocked) TakeAt(now time.Duration, key string, cost int64) (results []Result, ok, crowded bool) {
	results, crowded = c.take(epoch+int64(now), nil, c.client(key), c.quotas, cost)
	ok = true
	for _, r := range results {
		ok = ok && r.OK
	}
	return results, ok, crowded
}

// With is the same Memory, asked about other policies.
func (c Clocked) With(policies ...Policy) Clocked {
	c.quotas = nil
	for _, p := range policies {
		complete, err := p.Complete()
		if err != nil {
			panic(err)
		}
		c.quotas = append(c.quotas, c.quota(&complete, "test"))
	}
	return c
}

// Plans returns how many plans of requests l remembers.
func Plans(l *Limiter) int { return len(*l.plans.known.Load()) }

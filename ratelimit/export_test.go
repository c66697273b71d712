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
	c := Clocked{Memory: m}
	for i, p := range policies {
		complete, errs := p.complete()
		if len(errs) > 0 {
			panic(errs[0])
		}
		policies[i] = complete
		c.quotas = append(c.quotas, complete.quota(m.salt(complete.Name)))
	}
	return c
}

// Rows returns how many counters there is room for.
func (c Clocked) Rows() int { return len(c.levels.words) / c.levels.width }

// TakeAt takes at the time now.
func (c Clocked) TakeAt(now time.Duration, key string, cost int64) (results []Result, ok, crowded bool) {
	results, crowded = c.take(epoch+int64(now), nil, c.client(key), c.quotas, cost)
	ok = true
	for _, r := range results {
		ok = ok && r.OK
	}
	return results, ok, crowded
}

package introspect

import (
	"crypto/sha256"
	"time"
)

// A digest stands for a token: of the token itself nothing is kept.
type digest = [sha256.Size]byte

// A memory holds at most size verdicts in two generations: when the young one is
// full it becomes the old one, and what is asked for moves into the young one. A
// flood of tokens that are used once neither makes it grow nor evicts those that
// are in use. It is not safe for concurrent use.
type memory struct {
	half       int
	young, old map[digest]remembered
}

type remembered struct {
	verdict *verdict
	until   time.Time
}

func newMemory(size int) *memory {
	return &memory{half: max(1, size/2), young: make(map[digest]remembered)}
}

func (m *memory) get(key digest, now time.Time) *verdict {
	r, ok := m.young[key]
	if !ok {
		if r, ok = m.old[key]; !ok {
			return nil
		}
		m.put(key, r)
	}
	if !now.Before(r.until) {
		delete(m.young, key)
		delete(m.old, key)
		return nil
	}
	return r.verdict
}

func (m *memory) put(key digest, r remembered) {
	if _, ok := m.young[key]; !ok && len(m.young) >= m.half {
		m.old, m.young = m.young, make(map[digest]remembered)
	}
	m.young[key] = r
}

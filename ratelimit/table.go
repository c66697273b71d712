package ratelimit

import (
	"hash/maphash"
	"math/bits"
	"sync"
	"time"
)

// A table counts in a fixed amount of memory. A client's row holds the hash of
// its key and, for each policy, the time at which its level will be zero. A
// row whose times have all passed says nothing and is free; no cleaner is
// needed. Nothing in the table is a pointer, so the garbage collector never
// walks it, and nothing of a key is kept.
//
// A hash belongs to one set of rows. When all of them are in use, the row that
// would be free soonest gives way: flooding the table with fresh clients
// replaces fresh clients. The seed is secret, so nobody can aim at a set.
type table struct {
	seed   maphash.Seed
	start  time.Time
	quotas []quota
	row    int // words in a row: the hash and a time for each policy
	mask   uint64
	words  []int64
	locks  []lock // for set i the lock i modulo their number
}

// A lock fills a cache line, so that neighbours do not slow each other down.
type lock struct {
	sync.Mutex
	_ [56]byte
}

const (
	ways     = 8 // rows in a set
	maxLocks = 64
)

func newTable(slots int, policies []Policy) *table {
	sets := 1
	if slots > ways {
		sets = 1 << bits.Len(uint((slots-1)/ways))
	}
	t := &table{
		seed:  maphash.MakeSeed(),
		start: time.Now(),
		row:   1 + len(policies),
		mask:  uint64(sets - 1),
		locks: make([]lock, min(sets, maxLocks)),
	}
	t.words = make([]int64, sets*ways*t.row)
	for i := range policies {
		t.quotas = append(t.quotas, policies[i].quota())
	}
	return t
}

func (t *table) slots() int { return len(t.words) / t.row }

// take is Store.Take for all policies of one key. It also reports whether a
// client had to be forgotten.
func (t *table) take(dst []Result, key string, cost int64) ([]Result, bool) {
	return t.takeAt(int64(time.Since(t.start)), dst, key, cost) // by the monotonic clock
}

// takeAt may be called with times that run backwards, as those of concurrent
// requests do: to an earlier one the levels seem higher.
func (t *table) takeAt(now int64, dst []Result, key string, cost int64) ([]Result, bool) {
	h := maphash.String(t.seed, key)
	hash := int64(h) //nolint:gosec // the bits count, not the number
	set := int(h & t.mask)
	rows := t.words[set*ways*t.row:][:ways*t.row]
	var levels [maxPolicies]int64

	lock := &t.locks[set%len(t.locks)]
	lock.Lock()
	defer lock.Unlock()
	row, known, free := t.find(rows, hash, now)
	fits := [maxPolicies]bool{}
	all := true
	for i, q := range t.quotas {
		if known {
			levels[i] = max(0, row[1+i]-now)
		}
		fits[i] = q.fits(levels[i], cost)
		all = all && fits[i]
	}
	taken := all && cost != 0
	for i, q := range t.quotas {
		if taken {
			levels[i] = q.after(levels[i], cost)
		}
		dst = append(dst, q.result(levels[i], cost, fits[i]))
	}
	if !taken || !known && cost < 0 {
		return dst, false
	}
	row[0] = hash
	for i := range t.quotas {
		row[1+i] = now + levels[i]
	}
	return dst, !known && !free
}

// find returns the row of hash, or the one that gives way to it.
func (t *table) find(rows []int64, hash, now int64) (row []int64, known, free bool) {
	var soonest int64
	for ; len(rows) > 0; rows = rows[t.row:] {
		r := rows[:t.row]
		if r[0] == hash {
			return r, true, false
		}
		end := r[1]
		for _, tat := range r[2:] {
			end = max(end, tat)
		}
		if row == nil || end < soonest {
			row, soonest = r, end
		}
	}
	return row, false, soonest <= now
}

package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"math/bits"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// MemoryConfig configures a [Memory].
type MemoryConfig struct {
	_ [0]func() // keyed literals only

	// MaxKeys is how many clients are remembered under each limit, rounded up to
	// a power of two. If zero, it is 131,072. A client takes 16 bytes, and under
	// an Exact limit 8 more for each of its Limit, of which there are fewer where
	// they would take more than 16 MiB.
	MaxKeys int
}

// A Memory counts in a fixed amount of memory of this process. It is a [Store],
// and a limiter.Store of ulule/limiter, too. It owns no goroutine and needs no
// Close. It is safe for concurrent use.
//
// A counter holds the hash of its key and the time at which its level will be
// zero. One whose time has passed says nothing and is free; no cleaner is
// needed. Nothing in it is a pointer, so the garbage collector never walks it,
// and nothing of a key is kept.
//
// Each limit has rows of its own, and a hash belongs to one set of them. When
// all of them are in use, the one that would be free soonest gives way: flooding
// the memory with fresh clients replaces fresh clients. The seed is secret, so
// nobody can aim at a set.
type Memory struct {
	seed      maphash.Seed
	start     time.Time
	maxKeys   int
	shelves   atomic.Pointer[map[shelfKey]*shelf]
	making    sync.Mutex
	locks     [maxLocks]lock
	forgotten atomic.Uint64
}

// A shelfKey names the counters of a limit: policies of one name but different
// kinds are different ones, for what is kept of one means nothing to another.
type shelfKey struct {
	salt  uint64
	kind  byte
	width int
}

// A shelf is the rows of a limit, in sets.
type shelf struct {
	width int
	mask  uint64
	words []int64
}

// A lock fills a cache line, so that neighbours do not slow each other down.
// The lock of a set has its number, modulo how many there are.
type lock struct {
	sync.Mutex
	_ [56]byte
}

const (
	ways     = 8 // rows in a set
	maxLocks = 64

	defaultMaxKeys = 1 << 17
	maxMaxKeys     = 1 << 24
	maxTimes       = 16 << 20 // bytes of a shelf for exact policies

	rowHash, rowEnd, rowHead = 0, 1, 2

	// maxShelves is how many limits have rows of their own. Those of others are
	// among them.
	maxShelves = 64

	// epoch is the time at which a Memory begins, so that 0 is long ago.
	epoch = int64(2 * maxPeriod)
)

var errSpoilt = errors.New("ratelimit: want a Memory that NewMemory made, and requests with complete policies")

// NewMemory returns a Memory that behaves in accordance with cfg.
func NewMemory(cfg MemoryConfig) (*Memory, error) {
	if cfg.MaxKeys < 0 || cfg.MaxKeys > maxMaxKeys {
		return nil, fmt.Errorf("ratelimit: MaxKeys is %d, want 0 to %d", cfg.MaxKeys, maxMaxKeys)
	}
	if cfg.MaxKeys == 0 {
		cfg.MaxKeys = defaultMaxKeys
	}
	m := &Memory{seed: maphash.MakeSeed(), start: time.Now(), maxKeys: cfg.MaxKeys}
	m.shelves.Store(&map[shelfKey]*shelf{})
	return m, nil
}

func newShelf(rows, width int) *shelf {
	sets := 1
	if rows > ways {
		sets = 1 << bits.Len(uint((rows-1)/ways))
	}
	return &shelf{width, uint64(sets - 1), make([]int64, sets*ways*width)}
}

func (m *Memory) now() int64 { return epoch + int64(time.Since(m.start)) } // by the monotonic clock

// client is what stands for a key, never 0.
func (m *Memory) client(key string) uint64 { return max(1, maphash.String(m.seed, key)) }

// clientAt is what stands for an address, never 0.
func (m *Memory) clientAt(bucket netip.Prefix) uint64 {
	return max(1, maphash.Comparable(m.seed, bucket.Addr()))
}

// quota returns p as it is counted here, for the limiter or whatever else is
// called owner.
func (m *Memory) quota(p *Policy, owner string) quota {
	u := int64(p.unit())
	q := quota{
		salt: maphash.String(m.seed, owner+":"+p.Name), unit: u, span: u * p.Burst, burst: p.Burst,
		period: int64(p.Period), backoff: int64(p.Backoff), exact: p.Exact,
	}
	key := shelfKey{q.salt, 'g', rowHead}
	switch {
	case q.exact:
		key.kind, key.width = 'e', rowHead+int(p.Burst)
	case q.backoff != 0:
		key.kind = 'b'
	}
	q.shelf = m.shelf(key)
	return q
}

// shelf returns the rows of that key, and makes them if they are not there.
func (m *Memory) shelf(key shelfKey) *shelf {
	if s := (*m.shelves.Load())[key]; s != nil {
		return s
	}
	m.making.Lock()
	defer m.making.Unlock()
	known := *m.shelves.Load()
	if s := known[key]; s != nil {
		return s
	}
	if len(known) >= maxShelves {
		for other, s := range known {
			if other.kind == key.kind && other.width == key.width {
				return s
			}
		}
	}
	rows := m.maxKeys
	for rows > ways && rows*key.width*8 > maxTimes {
		rows /= 2
	}
	next := maps.Clone(known)
	next[key] = newShelf(rows, key.width)
	m.shelves.Store(&next)
	return next[key]
}

// Take implements [Store].
func (m *Memory) Take(_ context.Context, dst []Result, reqs []Request) ([]Result, error) {
	if m == nil || m.start.IsZero() || len(reqs) > maxPolicies {
		return dst, errSpoilt
	}
	if len(reqs) == 0 {
		return dst, nil
	}
	var buf [maxPolicies]quota
	quotas := buf[:0]
	for i := range reqs {
		p := &reqs[i].Policy
		if p.Limit < 1 || p.Period < minPeriod || p.Burst < 1 || reqs[i].Cost > p.Burst || p.Exact && p.Burst > maxExact {
			return dst, errSpoilt
		}
		quotas = append(quotas, m.quota(p, "Store"))
	}
	now, client, cost := m.now(), m.client(reqs[0].Key), reqs[0].Cost
	if cost >= 0 {
		dst, _ = m.take(now, dst, client, quotas, cost)
		return dst, nil
	}
	for i := range reqs {
		dst = append(dst, m.giveBack(now, client, &quotas[i], cost, reqs[i].Within))
	}
	return dst, nil
}

// giveBack is take for one policy and a negative cost, of which within is the
// bound unless it is 0.
func (m *Memory) giveBack(now int64, client uint64, q *quota, cost int64, within time.Duration) Result {
	p := placeOf(q, client)
	l := &m.locks[p.set%maxLocks]
	l.Lock()
	defer l.Unlock()
	if p.look(q, now, cost); p.row != nil {
		if cost = max(cost, -q.burst); within > 0 && !q.exact && int64(within) < -cost*q.unit {
			q.giveBack(&p.state, int64(within))
		} else {
			q.after(&p.state, cost)
		}
		q.write(p.row, &p.state, cost, now)
	}
	return q.result(&p.state, cost, now, true)
}

// weigh says what take would, and takes nothing.
func (m *Memory) weigh(now int64, dst []Result, client uint64, quotas []quota, cost int64) []Result {
	for i := range quotas {
		p := placeOf(&quotas[i], client)
		l := &m.locks[p.set%maxLocks]
		l.Lock()
		p.look(&quotas[i], now, cost)
		dst = append(dst, quotas[i].result(&p.state, cost, now, p.fits))
		l.Unlock()
	}
	return dst
}

// mirror notes what another store says of a client. Where that is less than is
// known here it counts only if exactly is set.
func (m *Memory) mirror(now int64, client uint64, quotas []quota, results []Result, exactly bool) {
	for i := range quotas {
		q := &quotas[i]
		s := q.stated(&results[i], now)
		p := placeOf(q, client)
		l := &m.locks[p.set%maxLocks]
		l.Lock()
		p.look(q, now, 0)
		if s.waits = p.state.waits; exactly || s.level > p.state.level || s.young > p.state.young {
			if p.row == nil {
				m.forgot(p.claim(now))
			}
			q.rewrite(p.row, &s, now)
		}
		l.Unlock()
	}
}

// marks are the rows of clients of whom something is noted that ends.
func (m *Memory) marks() *shelf { return m.shelf(shelfKey{0, 'm', rowHead}) }

// mark notes something about a client that ends at that time.
func (m *Memory) mark(client uint64, end, now int64) {
	p := place{shelf: m.marks(), hash: int64(client)} //nolint:gosec // the bits count, not the number
	p.set = int(client & p.shelf.mask)                //nolint:gosec // the bits count, not the number
	l := &m.locks[p.set%maxLocks]
	l.Lock()
	defer l.Unlock()
	if p.row, _ = p.shelf.find(p.set, p.hash); p.row == nil {
		p.claim(now)
	}
	p.row[rowEnd] = end
}

// marked reports whether there is a mark that has not ended.
func (m *Memory) marked(client uint64, now int64) bool {
	s := m.marks()
	set := int(client & s.mask) //nolint:gosec // the bits count, not the number
	l := &m.locks[set%maxLocks]
	l.Lock()
	defer l.Unlock()
	row, _ := s.find(set, int64(client)) //nolint:gosec // the bits count, not the number
	return row != nil && row[rowEnd] > now
}

// forgot counts a client that was forgotten.
func (m *Memory) forgot(did bool) {
	if did {
		m.forgotten.Add(1)
	}
}

// A place is where a client's counter for a quota is.
type place struct {
	shelf *shelf
	hash  int64
	set   int
	row   []int64 // nil: not known
	state state
	fits  bool
}

func placeOf(q *quota, client uint64) place {
	s := q.shelf
	h := mix(client ^ q.salt)
	return place{shelf: s, hash: int64(h), set: int(h & s.mask)} //nolint:gosec // the bits count, not the number
}

// mix spreads the bits of two hashes that were combined (the finalizer of
// MurmurHash3).
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// take is Store.Take for the client of that hash. It also reports whether
// another one had to be forgotten. It may be called with times that run
// backwards, as those of concurrent requests do: to an earlier one the levels
// seem higher.
func (m *Memory) take(now int64, dst []Result, client uint64, quotas []quota, cost int64) ([]Result, bool) {
	if q := &quotas[0]; len(quotas) == 1 && !q.exact && q.backoff == 0 && cost > 0 { // nearly always
		r, forgot := m.takeOne(now, client, q, cost)
		return append(dst, r), forgot
	}
	var places [maxPolicies]place
	var locks uint64 // a bit for each
	for i := range quotas {
		places[i] = placeOf(&quotas[i], client)
		locks |= 1 << (places[i].set % maxLocks)
	}
	for held := locks; held != 0; held &= held - 1 { // always in the same order
		m.locks[bits.TrailingZeros64(held)].Lock()
	}
	fit := true
	for i := range quotas {
		places[i].look(&quotas[i], now, cost)
		fit = fit && places[i].fits
	}
	forgot := false
	for i := range quotas {
		p := &places[i]
		if fit && cost != 0 {
			forgot = p.commit(&quotas[i], now, cost) || forgot
		}
		dst = append(dst, quotas[i].result(&p.state, cost, now, p.fits))
	}
	for held := locks; held != 0; held &= held - 1 {
		m.locks[bits.TrailingZeros64(held)].Unlock()
	}
	m.forgot(forgot)
	return dst, forgot
}

// takeOne is take for one policy that is neither exact nor has a Backoff, and a
// cost that is taken.
func (m *Memory) takeOne(now int64, client uint64, q *quota, cost int64) (Result, bool) {
	h := mix(client ^ q.salt)
	set := int(h & q.shelf.mask) //nolint:gosec // the bits count, not the number
	rows := q.shelf.words[set*ways*rowHead:][: ways*rowHead : ways*rowHead]
	hash, need := int64(h), cost*q.unit //nolint:gosec // the bits count, not the number
	lock := &m.locks[set%maxLocks]
	lock.Lock()
	at, level := -1, int64(0)
	for i := 0; i < len(rows); i += rowHead {
		if rows[i] == hash {
			at, level = i, max(0, rows[i+rowEnd]-now)
			break
		}
	}
	forgot := false
	fits := level <= q.span-need
	if fits {
		if at < 0 { // the one that would be free soonest gives way
			at = 0
			for i := rowHead; i < len(rows); i += rowHead {
				if rows[i+rowEnd] < rows[at+rowEnd] {
					at = i
				}
			}
			forgot = rows[at+rowEnd] > now
			rows[at] = hash
		}
		level += need
		rows[at+rowEnd] = now + level
	}
	lock.Unlock()
	m.forgot(forgot)
	s := state{level: level}
	return q.result(&s, cost, now, fits), forgot
}

// look reads the counter, and whether cost fits.
func (p *place) look(q *quota, now, cost int64) {
	p.row, _ = p.shelf.find(p.set, p.hash)
	p.state = q.read(p.row, now)
	p.fits = q.fits(&p.state, cost)
}

// commit changes the counter by a cost that fits. It reports whether another
// one had to be forgotten.
func (p *place) commit(q *quota, now, cost int64) (forgot bool) {
	q.after(&p.state, cost)
	if p.row != nil && p.row[rowHash] != p.hash { // where limits share a shelf
		p.row = nil
	}
	if p.row == nil {
		if cost < 0 {
			return false
		}
		forgot = p.claim(now)
	}
	q.write(p.row, &p.state, cost, now)
	if q.exact {
		p.state.times = p.row[rowHead:]
	}
	return forgot
}

// claim makes a row the client's own. It reports whether it was another's.
func (p *place) claim(now int64) (forgot bool) {
	_, p.row = p.shelf.find(p.set, p.hash)
	forgot = p.row[rowEnd] > now
	p.row[rowHash] = p.hash
	return forgot
}

// find returns the row of hash, or nil and the one that gives way to it.
func (s *shelf) find(set int, hash int64) (row, victim []int64) {
	rows := s.words[set*ways*s.width:][:ways*s.width]
	for ; len(rows) > 0; rows = rows[s.width:] {
		r := rows[:s.width:s.width]
		if r[rowHash] == hash {
			return r, nil
		}
		if victim == nil || r[rowEnd] < victim[rowEnd] {
			victim = r
		}
	}
	return nil, victim
}

package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math/bits"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// MemoryConfig configures a [Memory].
type MemoryConfig struct {
	_ [0]func() // keyed literals only

	// MaxKeys is how many counters are remembered, rounded up to a power of
	// two: one for each client and limit. If zero, it is 131,072. A counter
	// takes 16 bytes, and those of Exact policies are in memory of their own:
	// 16 bytes and 8 more for each of their Limit, rounded up to a power of two,
	// 16 MiB at most for each such size.
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
// A hash belongs to one set of rows. When all of them are in use, the one that
// would be free soonest gives way: flooding the memory with fresh clients
// replaces fresh clients. The seed is secret, so nobody can aim at a set.
type Memory struct {
	seed      maphash.Seed
	start     time.Time
	maxKeys   int
	levels    shelf
	times     [timeShelves]atomic.Pointer[shelf] // made when they are needed
	making    sync.Mutex
	locks     [maxLocks]lock
	forgotten atomic.Uint64
}

// A shelf is rows of one width, in sets.
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

	timeShelves = 8 // for 1, 2, 4 … 128 times

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
	return &Memory{
		seed: maphash.MakeSeed(), start: time.Now(), maxKeys: cfg.MaxKeys,
		levels: newShelf(cfg.MaxKeys, rowHead),
	}, nil
}

func newShelf(rows, width int) shelf {
	sets := 1
	if rows > ways {
		sets = 1 << bits.Len(uint((rows-1)/ways))
	}
	return shelf{width, uint64(sets - 1), make([]int64, sets*ways*width)}
}

func (m *Memory) now() int64 { return epoch + int64(time.Since(m.start)) } // by the monotonic clock

// client is what stands for a key, never 0.
func (m *Memory) client(key string) uint64 { return max(1, maphash.String(m.seed, key)) }

// clientAt is what stands for an address, never 0.
func (m *Memory) clientAt(bucket netip.Prefix) uint64 {
	return max(1, maphash.Comparable(m.seed, bucket.Addr()))
}

// salt is what tells a policy's counters from those of others.
func (m *Memory) salt(name string) uint64 { return maphash.String(m.seed, name) }

// shelf returns where the counters of a quota are.
func (m *Memory) shelf(q *quota) *shelf {
	if !q.exact {
		return &m.levels
	}
	class := bits.Len64(uint64(q.burst - 1)) //nolint:gosec // positive
	if s := m.times[class].Load(); s != nil {
		return s
	}
	m.making.Lock()
	defer m.making.Unlock()
	if s := m.times[class].Load(); s != nil {
		return s
	}
	width := rowHead + 1<<class
	rows := m.maxKeys
	for rows > ways && rows*width*8 > maxTimes {
		rows /= 2
	}
	s := newShelf(rows, width)
	m.times[class].Store(&s)
	return &s
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
		quotas = append(quotas, p.quota(m.salt(p.Name)))
	}
	dst, _ = m.take(m.now(), dst, m.client(reqs[0].Key), quotas, reqs[0].Cost)
	return dst, nil
}

// weigh says what take would, and takes nothing.
func (m *Memory) weigh(now int64, dst []Result, client uint64, quotas []quota, cost int64) []Result {
	for i := range quotas {
		p := m.place(&quotas[i], client)
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
		p := m.place(q, client)
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

// mark notes something about a client that ends at that time.
func (m *Memory) mark(client uint64, end, now int64) {
	p := place{shelf: &m.levels, hash: int64(client), set: int(client & m.levels.mask)} //nolint:gosec // the bits count, not the number
	l := &m.locks[p.set%maxLocks]
	l.Lock()
	defer l.Unlock()
	var victim []int64
	if p.row, victim = m.levels.find(p.set, p.hash); p.row == nil {
		if victim[rowEnd] > now {
			return // a mark is worth less than a count
		}
		p.row = victim
		p.row[rowHash] = p.hash
	}
	p.row[rowEnd] = end
}

// marked reports whether there is a mark that has not ended.
func (m *Memory) marked(client uint64, now int64) bool {
	set := int(client & m.levels.mask) //nolint:gosec // the bits count, not the number
	l := &m.locks[set%maxLocks]
	l.Lock()
	defer l.Unlock()
	row, _ := m.levels.find(set, int64(client)) //nolint:gosec // the bits count, not the number
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

func (m *Memory) place(q *quota, client uint64) place {
	s := m.shelf(q)
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
		places[i] = m.place(&quotas[i], client)
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
	set := int(h & m.levels.mask) //nolint:gosec // the bits count, not the number
	rows := m.levels.words[set*ways*rowHead:][: ways*rowHead : ways*rowHead]
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
	if p.row == nil {
		if cost < 0 {
			return false
		}
		forgot = p.claim(now) // not sooner: another policy of the client may have
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

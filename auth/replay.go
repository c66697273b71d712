package auth

import (
	"container/heap"
	"context"
	"crypto/sha256"
	"strconv"
	"sync"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/report"
)

// A ReplayStore remembers which DPoP proofs were used (RFC 9449 section 11.1).
// It must be safe for concurrent use.
type ReplayStore interface {
	// Use reports whether this is the first use of the proof id by the owner
	// of a key, and remembers it until then; a store that several instances
	// share, for as much longer as their clocks may be apart. Of several calls
	// at once exactly one is the first. Both names are printable ASCII of 43
	// bytes that give nothing away. An error means that it is not known, and
	// that includes a store that is full: nothing may be forgotten early. Use
	// must return when ctx is done.
	Use(ctx context.Context, owner, id string, until time.Time) (first bool, err error)
}

const (
	maxReplays        = 100_000
	maxReplaysOfOwner = 1_000
)

// ErrFull is what the stores in memory return rather than to forget what they
// have to remember.
var ErrFull error = report.Cause("the store is full")

// memoryReplay is the ReplayStore of one process.
type memoryReplay struct{ used *ledger }

func newMemoryReplay(capacity, ofOwner int) memoryReplay {
	return memoryReplay{newLedger(capacity, ofOwner)}
}

// Use implements [ReplayStore].
func (m memoryReplay) Use(_ context.Context, owner, id string, until time.Time) (bool, error) {
	return m.used.add(digestOf(owner), digestOf(owner, id), until, time.Now())
}

// A digest stands for texts of any length. Who finds two texts with the same
// one, in 2^64 tries, gets one of his own requests refused.
type digest [16]byte

func digestOf(texts ...string) digest {
	sum := hashOf(texts...)
	return digest(sum[:len(digest{})])
}

// hashOf is the SHA-256 of the texts, each with its length in front, so that no
// other texts have the same.
func hashOf(texts ...string) [sha256.Size]byte {
	var buf [256]byte
	b := buf[:0]
	for _, t := range texts {
		b = strconv.AppendInt(b, int64(len(t)), 10)
		b = append(b, ':')
		b = append(b, t...)
	}
	return sha256.Sum256(b)
}

// A ledger remembers digests until their time has come: at most capacity, and
// of one owner at most ofOwner. It forgets nothing before, and needs no
// cleaner: what is over goes when something is added. It holds no pointers for
// the garbage collector to follow.
type ledger struct {
	capacity, ofOwner int

	mu     sync.RWMutex
	until  map[digest]int64 // in microseconds, which last beyond the year 9999
	owners map[digest]int
	queue  expiries
}

func newLedger(capacity, ofOwner int) *ledger {
	return &ledger{capacity: capacity, ofOwner: ofOwner, until: make(map[digest]int64), owners: make(map[digest]int)}
}

// add remembers id, and reports whether it was not there. If it was, it stays
// for as long as either wants.
func (l *ledger) add(owner, id digest, until, now time.Time) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(now.UnixMicro())
	end := until.Add(time.Microsecond - 1).UnixMicro() // no part of one earlier
	if have, ok := l.until[id]; ok {
		l.until[id] = max(have, end)
		return false, nil
	}
	if len(l.until) >= l.capacity || l.owners[owner] >= l.ofOwner {
		return false, ErrFull
	}
	l.until[id] = end
	l.owners[owner]++
	heap.Push(&l.queue, expiry{end, id, owner})
	return true, nil
}

func (l *ledger) forget(now int64) {
	for len(l.queue) > 0 && l.queue[0].until <= now {
		first := &l.queue[0]
		if until := l.until[first.id]; until > first.until { // it was added again
			first.until = until
			heap.Fix(&l.queue, 0)
			continue
		}
		delete(l.until, first.id)
		if l.owners[first.owner]--; l.owners[first.owner] == 0 {
			delete(l.owners, first.owner)
		}
		heap.Pop(&l.queue)
	}
}

// has reports whether id is remembered.
func (l *ledger) has(id digest, now time.Time) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	until, ok := l.until[id]
	return ok && now.UnixMicro() < until
}

// An expiry is when an id can be forgotten.
type expiry struct {
	until     int64
	id, owner digest
}

// expiries is a heap, the soonest first.
type expiries []expiry

func (e expiries) Len() int           { return len(e) }
func (e expiries) Less(i, j int) bool { return e[i].until < e[j].until }
func (e expiries) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }

func (e *expiries) Push(x any) { *e = append(*e, x.(expiry)) }

func (e *expiries) Pop() any {
	last := len(*e) - 1
	*e = (*e)[:last]
	return nil // nobody wants it
}

package throttle

import (
	"context"
	"errors"
	"hash/maphash"
	"sync/atomic"
	"time"
)

// counts are how many requests hold a permit, how many of these are ordinary,
// and how many wait. They share a word, so that whoever finds no room and
// begins to wait does so in the same instant: a permit that comes back later
// comes back to somebody who waits.
type counts int64

const (
	bits = 21 // of each; maxLimit fits

	criticalUnit counts = 1 << bits
	ordinaryUnit counts = 1<<bits | 1
	waitingUnit  counts = 1 << (2 * bits)
)

func (c counts) ordinary() int64 { return int64(c & (1<<bits - 1)) }
func (c counts) inFlight() int64 { return int64(c >> bits & (1<<bits - 1)) }
func (c counts) waiting() int64  { return int64(c >> (2 * bits)) }

// room reports whether there is a permit for a request of that unit.
func (t *Throttle) room(c, unit counts) bool {
	limit := t.limit.Load()
	return c.inFlight() < limit && (unit == criticalUnit || c.ordinary() < limit-t.reserve)
}

func (t *Throttle) swap(from, to counts) bool {
	return t.counts.CompareAndSwap(int64(from), int64(to))
}

func (t *Throttle) add(c counts) counts { return counts(t.counts.Add(int64(c))) }

// A permit is what an admitted request holds.
type permit struct {
	unit  counts
	key   *keyed // nil if it counts for no client
	began int64  // on the clock of now; 0 if it is no matter how long it takes
}

// A Permit lets its holder work until Release.
type Permit struct {
	t        *Throttle
	p        permit
	released atomic.Bool
}

// Release gives the permit back; what it does the second time is nothing, and
// so with nil. It is safe for concurrent use.
func (p *Permit) Release() {
	if p != nil && !p.released.Swap(true) {
		p.t.release(p.p)
	}
}

// Acquire returns a permit for one request of key, or for any other work that
// is to share the limit with requests; it waits where a request would. The key
// is what the KeyFunc returns, and does not matter where PerKey is not set. Call
// Release when done, best by defer.
//
// An error is always an *Error and means that the work must not be done. It
// wraps the context's error if that ended the wait.
func (t *Throttle) Acquire(ctx context.Context, key string, critical bool) (*Permit, error) {
	var client uint64
	if t.perKey > 0 {
		if key == "" {
			return nil, t.refusal(keyless, errEmptyKey)
		}
		client = t.client(key)
	}
	unit := ordinaryUnit
	if critical {
		unit = criticalUnit
	}
	p, err := t.acquire(ctx, client, unit)
	if err != nil {
		return nil, err
	}
	return &Permit{t: t, p: p}, nil
}

// client returns what is kept of a key; never 0, which is nobody.
func (t *Throttle) client(key string) uint64 { return max(1, maphash.String(t.seed, key)) }

// quick takes a permit without a lock if there is one and nobody waits. It is
// not for clients that count.
func (t *Throttle) quick(unit counts) bool {
	for {
		c := counts(t.counts.Load())
		if c.waiting() > 0 || !t.room(c, unit) {
			return false
		}
		if t.swap(c, c+unit) {
			return true
		}
	}
}

func (t *Throttle) acquire(ctx context.Context, client uint64, unit counts) (permit, *Error) {
	if t.perKey == 0 {
		if t.quick(unit) {
			return t.begun(permit{unit: unit}), nil
		}
		if t.queue == 0 {
			return permit{}, t.refusal(overLimit, nil)
		}
	}
	p, w, why := t.queueUp(client, unit)
	switch {
	case why != none:
		return permit{}, t.refusal(why, nil)
	case w == nil:
		return t.begun(p), nil
	}
	return t.wait(ctx, w)
}

// wait waits until w is admitted, unless MaxWait or ctx ends before.
func (t *Throttle) wait(ctx context.Context, w *waiter) (permit, *Error) {
	timer := time.NewTimer(t.maxWait)
	defer timer.Stop()
	var admitted bool
	select {
	case <-w.admitted:
		admitted = true
	case <-timer.C:
		admitted = t.giveUp(w)
	case <-ctx.Done():
		admitted = t.giveUp(w)
	}
	err := ctx.Err()
	switch {
	case admitted && err == nil:
		return t.begun(w.permit), nil
	case admitted: // too late to be of use, and now it is ours to give back
		t.release(w.permit)
	}
	if errors.Is(err, context.Canceled) {
		return permit{}, t.refusal(canceled, err)
	}
	return permit{}, t.refusal(waited, err)
}

// begun starts the clock of a permit that is going to be used.
func (t *Throttle) begun(p permit) permit {
	if t.adaptive != nil {
		p.began = t.now()
	}
	return p
}

// now is the monotonic time since some moment before New returned; never 0.
func (t *Throttle) now() int64 { return int64(time.Since(t.start)) + 1 }

// giveBack is release for a permit that counts for no client and whose time
// does not matter.
func (t *Throttle) giveBack(unit counts) {
	if t.add(-unit).waiting() > 0 {
		t.mu.Lock()
		t.handOut()
		t.mu.Unlock()
	}
}

// release gives p back. It runs no code but this package's, so nothing can
// keep it from doing so.
func (t *Throttle) release(p permit) {
	if p.key == nil && p.began == 0 {
		t.giveBack(p.unit)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	inFlight := t.add(-p.unit).inFlight() + 1
	if p.began != 0 {
		now := t.now()
		if t.adaptive.add(now, now-p.began, inFlight) {
			t.limit.Store(int64(t.adaptive.limit))
		}
	}
	if p.key != nil {
		t.leave(p.key)
	}
	t.handOut()
}

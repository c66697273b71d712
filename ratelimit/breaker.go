package ratelimit

import (
	"sync/atomic"
	"time"
)

// A breaker keeps requests from waiting for a Store that does not answer. After
// some failures in a row nobody asks for a while, then one request at a time
// does. It owns no goroutine.
type breaker struct {
	failures atomic.Int32
	until    atomic.Int64 // nobody asks before; 0: closed
	probing  atomic.Bool
}

const (
	breakAfter = 3
	breakFor   = int64(250 * time.Millisecond)
)

// A turn is leave to ask the Store. One that is a probe decides alone what
// becomes of a breaker that is open.
type turn struct{ granted, probe bool }

// ask asks for leave. What is granted must end with one of succeeded, failed and
// abandoned.
func (b *breaker) ask(now int64) turn {
	until := b.until.Load()
	if until == 0 {
		return turn{granted: true}
	}
	probe := now >= until && b.probing.CompareAndSwap(false, true)
	return turn{probe, probe}
}

// succeeded reports whether the breaker was open before.
func (b *breaker) succeeded(t turn) (recovered bool) {
	if b.failures.Load() != 0 && (t.probe || b.until.Load() == 0) { // hardly ever: this is on every request's way
		b.failures.Store(0)
	}
	if t.probe {
		b.until.Store(0)
		b.probing.Store(false)
	}
	return t.probe
}

// failed reports whether the breaker was closed before and is open now.
func (b *breaker) failed(t turn, now int64) (opened bool) {
	switch n := b.failures.Add(1); {
	case t.probe:
		b.until.Store(now + breakFor)
	case n >= breakAfter:
		opened = b.until.CompareAndSwap(0, now+breakFor)
	}
	b.abandoned(t)
	return opened
}

// abandoned is said when it is not the Store's fault that there is no answer.
func (b *breaker) abandoned(t turn) {
	if t.probe {
		b.probing.Store(false)
	}
}

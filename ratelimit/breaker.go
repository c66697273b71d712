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

// ask reports whether the Store may be asked. If so, one of succeeded, failed
// and abandoned must follow.
func (b *breaker) ask(now int64) bool {
	until := b.until.Load()
	return until == 0 || now >= until && b.probing.CompareAndSwap(false, true)
}

func (b *breaker) succeeded() {
	if b.failures.Load() != 0 { // hardly ever: this is on every request's way
		b.failures.Store(0)
	}
	if b.until.Load() != 0 {
		b.until.Store(0)
		b.probing.Store(false)
	}
}

func (b *breaker) failed(now int64) {
	if b.failures.Add(1) >= breakAfter {
		b.until.Store(now + breakFor)
	}
	b.probing.Store(false)
}

// abandoned is said when it is not the Store's fault that there is no answer.
func (b *breaker) abandoned() { b.probing.Store(false) }

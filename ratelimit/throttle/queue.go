package throttle

// A waiter is a request that waits, either in one of the lines for a permit or,
// because its client has as many as it may, among that client's blocked ones.
// A client's requests that hold a permit or are in line are at most PerKey, so
// everybody in line may go as soon as there is a permit.
type waiter struct {
	permit   permit        // what it gets
	admitted chan struct{} // closed when it has it

	in         *line // nil if it does not wait any more
	prev, next *waiter
}

// A line is a list of waiters, the oldest first.
type line struct{ head, tail *waiter }

func (l *line) push(w *waiter) {
	w.in, w.prev = l, l.tail
	if l.tail == nil {
		l.head = w
	} else {
		l.tail.next = w
	}
	l.tail = w
}

func (w *waiter) remove() {
	l := w.in
	if w.prev == nil {
		l.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		l.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.in, w.prev, w.next = nil, nil, nil
}

type lines struct{ critical, ordinary line }

func (l *lines) of(unit counts) *line {
	if unit == criticalUnit {
		return &l.critical
	}
	return &l.ordinary
}

// A keyed is a client with requests in flight or waiting.
type keyed struct {
	client  uint64
	taken   int64 // its requests that hold a permit or are in line
	waiting int64 // in line or blocked
	blocked line
	free    *keyed // the next one that is nobody's
}

// queueUp takes a permit if there is one and nobody is before it, and otherwise
// begins to wait.
func (t *Throttle) queueUp(client uint64, unit counts) (permit, *waiter, reason) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := permit{unit: unit, key: t.keyed(client)}
	for {
		if w, why, settled := t.settle(counts(t.counts.Load()), p); settled {
			t.forget(p.key)
			return p, w, why
		}
	}
}

// settle does what queueUp does if c are the counts. It is not settled if they
// have changed meanwhile: whoever began to wait by old ones might wait for a
// permit that has come back before.
func (t *Throttle) settle(c counts, p permit) (w *waiter, why reason, settled bool) {
	k := p.key
	blocked := k != nil && k.taken >= t.perKey
	first := t.lines.critical.head == nil && (p.unit == criticalUnit || t.lines.ordinary.head == nil)
	if !blocked && first && t.room(c, p.unit) {
		if !t.swap(c, c+p.unit) {
			return nil, none, false
		}
		if k != nil {
			k.taken++
		}
		return nil, none, true
	}
	if why := t.mayWait(c, k, p.unit, blocked); why != none {
		return nil, why, true
	}
	if !t.swap(c, c+waitingUnit) {
		return nil, none, false
	}
	w = &waiter{permit: p, admitted: make(chan struct{})}
	t.waits(w, 1)
	if blocked {
		k.blocked.push(w)
		return w, none, true
	}
	if k != nil {
		k.taken++
	}
	t.lines.of(p.unit).push(w)
	return w, none, true
}

// mayWait returns why another request of k must not wait.
func (t *Throttle) mayWait(c counts, k *keyed, unit counts, blocked bool) reason {
	switch {
	case blocked && t.queue == 0:
		return overKeyLimit
	case t.queue == 0:
		return overLimit
	case k != nil && k.waiting >= t.keyQ:
		return overKeyLimit
	case c.waiting() >= t.queue, unit == ordinaryUnit && t.waitingOrdinary >= t.ordinaryQ:
		return queueFull
	}
	return none
}

// waits counts a waiter that came, or one that goes.
func (t *Throttle) waits(w *waiter, n int64) {
	if w.permit.unit == ordinaryUnit {
		t.waitingOrdinary += n
	}
	if k := w.permit.key; k != nil {
		k.waiting += n
	}
}

// handOut gives permits to those in line while there are any, the critical
// ones first.
func (t *Throttle) handOut() {
	for {
		w := t.lines.critical.head
		if w == nil {
			w = t.lines.ordinary.head
		}
		c := counts(t.counts.Load())
		if w == nil || !t.room(c, w.permit.unit) {
			return
		}
		if t.swap(c, c+w.permit.unit-waitingUnit) {
			w.remove()
			t.waits(w, -1)
			close(w.admitted)
		}
	}
}

// giveUp ends the wait of w. It reports whether w has been admitted before:
// then its permit has to be used or released.
func (t *Throttle) giveUp(w *waiter) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.in == nil {
		return true
	}
	k := w.permit.key
	inLine := k == nil || w.in != &k.blocked
	w.remove()
	t.waits(w, -1)
	t.add(-waitingUnit)
	if inLine && k != nil {
		t.leave(k)
		t.handOut() // to one that was blocked
	}
	return false
}

// leave ends the count of a request of k that held a permit or was in line.
// The oldest one that was blocked gets in line.
func (t *Throttle) leave(k *keyed) {
	k.taken--
	if w := k.blocked.head; w != nil {
		w.remove()
		k.taken++
		t.lines.of(w.permit.unit).push(w)
	}
	t.forget(k)
}

// keyed returns the client's counts, nil for nobody.
func (t *Throttle) keyed(client uint64) *keyed {
	if client == 0 {
		return nil
	}
	k := t.keys[client]
	if k == nil {
		if k = t.free; k != nil {
			t.free = k.free
		} else {
			k = new(keyed)
		}
		*k = keyed{client: client}
		t.keys[client] = k
	}
	return k
}

// forget keeps k to be somebody else's if it has no requests. There are never
// more of them than requests have been in flight and waiting at once.
func (t *Throttle) forget(k *keyed) {
	if k != nil && k.taken == 0 {
		delete(t.keys, k.client)
		k.free, t.free = t.free, k
	}
}

package throttle

// Keys returns how many clients t remembers, and how many places it keeps for
// them.
func (t *Throttle) Keys() (used, kept int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	kept = len(t.keys)
	for k := t.free; k != nil; k = k.free {
		kept++
	}
	return len(t.keys), kept
}

// SettleAfter runs f between the moment in which a request sees the counts and
// that in which it decides by them. It reports whether it did.
func (t *Throttle) SettleAfter(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := counts(t.counts.Load())
	f()
	_, _, settled := t.settle(c, permit{unit: ordinaryUnit})
	return settled
}

// Locked runs f while nobody gets in line and nobody is handed a permit.
func (t *Throttle) Locked(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
}

// Quick takes a permit if the quick path does.
func (t *Throttle) Quick() bool { return t.quick(ordinaryUnit) }

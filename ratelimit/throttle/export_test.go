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

// Locked runs f while nobody gets in line and nobody is handed a permit.
func (t *Throttle) Locked(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
}

// Quick takes a permit if the quick path does.
func (t *Throttle) Quick() bool { return t.quick(ordinaryUnit) }

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

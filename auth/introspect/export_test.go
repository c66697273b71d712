package introspect

// Read is what comes of an answer with status 200: a Reason with true for a
// refusal, "" with true for a caller, false for what is no answer.
func (i *Introspector) Read(token string, body []byte) (subject, reason string, ok bool) {
	v, err := i.read(token, body)
	switch {
	case err != nil:
		return "", "", false
	case v.refusal != nil:
		return "", v.refusal.Reason, true
	}
	return v.principal.Subject, "", true
}

// Remembered counts good and refused tokens, and questions under way.
func (i *Introspector) Remembered() (known, refused, flights int) {
	a := i.asker
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.known.young) + len(a.known.old), len(a.refused.young) + len(a.refused.old), len(a.flights)
}

package apikey

// Trace has f called for each hash and each comparison.
func (a *Authenticator) Trace(f func(step string)) { a.trace = f }

// Tries is how many keys there are of which a write of the last use is
// remembered.
func (a *Authenticator) Tries() int {
	a.uses.mu.Lock()
	defer a.uses.mu.Unlock()
	return len(a.uses.recent) + len(a.uses.older)
}

// MaxUses is how many last uses wait to be written.
const MaxUses = maxUses

// Parse is the parser of keys, for a prefix without its underscore.
func Parse(prefix, key string) (id string, err error) { return parse(prefix+"_", key) }

// Compose is the key of this id and this secret.
func Compose(prefix string, id [idBytes]byte, secret [secretBytes]byte) string {
	return compose(prefix, id, secret)
}

// Checksum is that of a key without it.
func Checksum(s string) string { text := checksum(s); return string(text[:]) }

// HashOf is the hash of a key.
func HashOf(key string) Hash { return newHash(sum(key)) }

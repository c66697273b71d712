package apikey

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

const hashPrefix = "sha256:"

// A Hash is the SHA-256 of a key without its checksum: what is kept of its
// secret. It prints nothing of itself; [Hash.Text] is what to store.
type Hash struct {
	// sum is a func because nothing can print what is inside, and because it
	// keeps two Hashes from being compared with ==.
	sum func() [sha256.Size]byte
}

func newHash(sum [sha256.Size]byte) Hash {
	return Hash{func() [sha256.Size]byte { return sum }}
}

// noHash, of which no preimage is known, is the Hash of an id that no key has.
var noHash = newHash([sha256.Size]byte{}) //nolint:gochecknoglobals // immutable

// ParseHash reads what Text wrote: "sha256:" and 64 hexadecimal digits in lower
// case.
func ParseHash(text string) (Hash, error) {
	digits, ok := strings.CutPrefix(text, hashPrefix)
	sum, err := hex.DecodeString(digits)
	if !ok || err != nil || len(sum) != sha256.Size || strings.ToLower(digits) != digits {
		return Hash{}, fmt.Errorf("apikey: hash has %d characters, want %q and %d hexadecimal digits in lower case", len(text), hashPrefix, 2*sha256.Size)
	}
	return newHash([sha256.Size]byte(sum)), nil
}

// Text returns the hash as ParseHash reads it; "" for a zero Hash.
func (h Hash) Text() string {
	if h.sum == nil {
		return ""
	}
	sum := h.sum()
	return hashPrefix + hex.EncodeToString(sum[:])
}

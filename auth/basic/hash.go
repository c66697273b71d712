package basic

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

const (
	minBits   = 128
	minSecret = 22 // characters that 128 bits need in base64
	maxSecret = maxDecoded - maxName - 1

	hashPrefix = "sha256:"
)

// A Hash is the SHA-256 of a generated secret: what is kept of it. It prints
// nothing of itself; [Hash.Text] is what to store.
type Hash struct {
	// sum is a func because nothing can print what is inside, and because it
	// keeps two Hashes from being compared with ==.
	sum func() [sha256.Size]byte
}

func newHash(sum [sha256.Size]byte) Hash {
	return Hash{func() [sha256.Size]byte { return sum }}
}

// noHash, of which no preimage is known, stands where a client has no further
// secret, and nobody for a client that does not exist.
var (
	noHash    = newHash([sha256.Size]byte{}) //nolint:gochecknoglobals // immutable
	nobody, _ = newClient("", Client{})      //nolint:gochecknoglobals // immutable
)

// Generate returns a new secret, 256 random bits in 43 characters of base64url,
// and its hash.
func Generate() (secret string, h Hash) {
	var b [32]byte
	_, _ = rand.Read(b[:]) // ends the program rather than fail
	secret = base64.RawURLEncoding.EncodeToString(b[:])
	return secret, newHash(sha256.Sum256([]byte(secret)))
}

// NewHash returns the hash of a secret that was generated elsewhere. It needs
// at least 128 random bits, in 22 to 255 characters of ASCII without spaces,
// such as 32 hexadecimal digits. How random they are cannot be seen, but
// NewHash refuses what has no room for so many bits, what repeats itself, and
// what contains words of well-known passwords.
func NewHash(secret string) (Hash, error) {
	switch {
	case len(secret) < minSecret || len(secret) > maxSecret:
		return Hash{}, fmt.Errorf("basic: secret has %d characters, want %d to %d", len(secret), minSecret, maxSecret)
	case strings.ContainsFunc(secret, func(c rune) bool { return c <= ' ' || c > '~' }):
		return Hash{}, errors.New("basic: secret has spaces or characters beyond ASCII, want it generated")
	case room(secret) < minBits:
		return Hash{}, fmt.Errorf("basic: secret has room for %.0f bits, want at least %d random ones", room(secret), minBits)
	case repetitive(secret):
		return Hash{}, errors.New("basic: secret repeats itself, want it generated")
	case slices.ContainsFunc(samples(), func(s string) bool { return strings.Contains(strings.ToLower(secret), s) }):
		return Hash{}, errors.New("basic: secret contains a well-known password, want it generated")
	}
	return newHash(sha256.Sum256([]byte(secret))), nil
}

// ParseHash reads what Text wrote: "sha256:" and 64 hexadecimal digits in lower
// case, as sha256sum prints them. It cannot see whether the secret was
// generated; an [Authenticator] refuses secrets of less than 22 characters
// whatever their hash.
func ParseHash(text string) (Hash, error) {
	digits, ok := strings.CutPrefix(text, hashPrefix)
	sum, err := hex.DecodeString(digits)
	if !ok || err != nil || len(sum) != sha256.Size || strings.ToLower(digits) != digits {
		return Hash{}, fmt.Errorf("basic: hash has %d characters, want %q and %d hexadecimal digits in lower case", len(text), hashPrefix, 2*sha256.Size)
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

// room returns how many bits a secret of that length holds if each character
// was drawn from the kinds of characters that are in it.
func room(secret string) float64 {
	const digits, lower, upper = "0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	only := func(set string) bool { return strings.Trim(secret, set) == "" }
	size := 0
	switch {
	case only(digits):
		size = len(digits)
	case only(digits + lower[:6]), only(digits + upper[:6]):
		size = 16
	default:
		for _, set := range []string{digits, lower, upper} {
			if strings.ContainsAny(secret, set) {
				size += len(set)
			}
		}
		if !only(digits + lower + upper) {
			size += 32
		}
	}
	return float64(len(secret)) * math.Log2(float64(size))
}

// repetitive reports whether s has few different characters, counts, or is some
// shorter string over and over. 22 random characters of base64 have 19 different
// ones on average, and 32 random hexadecimal digits 14 of 16.
func repetitive(s string) bool {
	distinct := make(map[byte]bool)
	counts := true
	for i := range len(s) {
		distinct[s[i]] = true
		counts = counts && (i == 0 || s[i]-s[i-1] == s[1]-s[0])
	}
	if len(distinct) < 8 || counts {
		return true
	}
	for p := 1; p <= len(s)/2; p++ {
		if s[p:] == s[:len(s)-p] {
			return true
		}
	}
	return false
}

// samples are what people write in place of a secret, in lower case, and long
// enough not to stand in a random one.
func samples() []string {
	return []string{
		"password", "passw0rd", "changeme", "change-me", "change_me", "changethis", "change-this", "replaceme", "replace-me",
		"secret", "s3cret", "letmein", "qwerty", "welcome", "example", "insecure", "default", "iloveyou", "monkey", "dragon",
		"12345678", "87654321", "abcdefg", "0123456789abcdef", "deadbeef", "correcthorse", "loremipsum",
	}
}

// isHashOfSample reports whether sum is that of a well-known password, of
// nothing, or of the client's own name.
func isHashOfSample(sum [sha256.Size]byte, name string) bool {
	for _, s := range append(samples(), "", name, "123456", "1234567", "123456789", "1234567890", "1234", "12345", "admin", "root", "test", "user", "guest", "pass") {
		if sum == sha256.Sum256([]byte(s)) {
			return true
		}
	}
	return false
}

package loginguard

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
)

// A Secret keys digests. It prints nothing of itself.
type Secret struct {
	// key is a func because nothing can print what is inside.
	key func() []byte
}

// NewSecret returns a Secret of at least 32 random bytes. Whoever has it can
// tell from a Store which accounts were guessed at, and from where.
func NewSecret(key []byte) Secret {
	key = bytes.Clone(key)
	return Secret{func() []byte { return key }}
}

func (s Secret) reveal() []byte {
	if s.key == nil {
		return nil
	}
	return s.key()
}

const minSecret = 32

// newDigest returns a function that maps a kind and its parts to 43 characters
// of base64url, no two to the same. Without a key it takes a random one.
func newDigest(key []byte) func(kind string, parts ...string) string {
	if key == nil {
		key = make([]byte, minSecret)
		_, _ = rand.Read(key) // never fails
	}
	return func(kind string, parts ...string) string {
		b := make([]byte, 0, 128)
		b = appendPart(appendPart(b, "gatehouse loginguard"), kind)
		for _, p := range parts {
			b = appendPart(b, p)
		}
		mac := hmac.New(sha256.New, key)
		_, _ = mac.Write(b) // never fails
		return base64.RawURLEncoding.EncodeToString(mac.Sum(b[:0]))
	}
}

// appendPart appends s with its length in front, so that no part can pass for
// two.
func appendPart(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint64(b, uint64(len(s))), s...)
}

// keys returns the keys of an attempt's counters. What belongs to the same
// client has the same one, since the policies' names tell them apart.
func (g *Guard) keys(account, bucket string) (keys [counters]string) {
	prefix := g.name + ":"
	keys[pair] = prefix + g.digest("pair", account, bucket)
	keys[address] = prefix + g.digest("address", bucket)
	keys[wide] = prefix + g.digest("account", account)
	keys[known] = keys[pair]
	keys[places] = keys[wide]
	return keys
}

// fold ignores case and surrounding white space. To upper case and back again
// also meets letters that have a case in one direction only, such as the
// Kelvin sign and the long s.
func fold(account string) string {
	return strings.ToLower(strings.ToUpper(strings.TrimSpace(account)))
}

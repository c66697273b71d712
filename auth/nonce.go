package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"
)

const (
	nonceLifetime = 5 * time.Minute

	nonceTag  = 16 // bytes of the MAC
	nonceSize = 8 + nonceTag
)

// nonces makes nonces that need no memory: the second in which they were made,
// and a MAC over it. All clients of that second get the same one, which is as
// good (RFC 9449 section 8.2); that a proof is used once is the jti's part.
type nonces struct {
	mac func(message []byte) []byte // hides the key
}

// nonceKey returns the key in src, or a random one.
func nonceKey(src KeySource) ([]byte, error) {
	if src.src == nil {
		key := make([]byte, sha256.Size)
		_, _ = rand.Read(key) // never fails
		return key, nil
	}
	if !src.src.secret {
		return nil, errors.New("is no Secret")
	}
	raws, errs := src.src.load()
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	key, _ := raws[0].value.([]byte)
	return key, nil
}

func newNonces(key []byte) *nonces {
	return &nonces{func(message []byte) []byte {
		h := hmac.New(sha256.New, key)
		_, _ = h.Write([]byte("gatehouse DPoP nonce\x00"))
		_, _ = h.Write(message)
		return h.Sum(nil)[:nonceTag]
	}}
}

// at returns the nonce of that time.
func (n *nonces) at(now time.Time) string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, nonceSize), uint64(now.Unix())) //nolint:gosec // the bits come back in age
	return strict.EncodeToString(append(b, n.mac(b)...))
}

// age returns how long ago the nonce was made; false if it was not made here.
func (n *nonces) age(nonce string, now time.Time) (time.Duration, bool) {
	b, err := strict.DecodeString(nonce)
	if err != nil || len(b) != nonceSize || !hmac.Equal(b[8:], n.mac(b[:8])) {
		return 0, false
	}
	return now.Sub(time.Unix(int64(binary.BigEndian.Uint64(b)), 0)), true //nolint:gosec // at wrote them
}

// fresh reports whether the nonce was made here and within its lifetime. One
// from the future is another instance's, whose clock is ahead by the leeway at
// most.
func (n *nonces) fresh(nonce string, now time.Time, leeway time.Duration) bool {
	age, ok := n.age(nonce, now)
	return ok && -leeway <= age && age < nonceLifetime
}

package auth

import (
	"net/http"
	"time"
)

// Prove is [DPoP.Check] but for replays, under a clock of the test's.
func Prove(d *DPoP, r *http.Request, accessToken, thumbprint string, now time.Time) error {
	_, err := d.prove(r, accessToken, thumbprint, now)
	return err
}

// Thumbprint is the thumbprint of a key.
var Thumbprint = thumbprintOf

// ThumbprintOfJWK is the thumbprint of a key in a document.
func ThumbprintOfJWK(doc []byte) (string, error) {
	k, err := parseJWK(doc)
	return thumbprintOf(k.value), err
}

// NewMemoryReplay is the store in process, of another size.
func NewMemoryReplay(capacity, ofOwner int) ReplayStore { return newMemoryReplay(capacity, ofOwner) }

// HTU returns what is compared of a URL: scheme, host and path.
func HTU(s string) (parts [3]string, ok bool) {
	t, ok := parseTarget(s)
	return [3]string{t.scheme, t.host, t.path}, ok
}

// RequestTarget is HTU for a request.
func RequestTarget(d *DPoP, r *http.Request) (parts [3]string, err error) {
	t, err := d.target(r)
	return [3]string{t.scheme, t.host, t.path}, err
}

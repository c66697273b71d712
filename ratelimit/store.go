package ratelimit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
)

// A Store counts for limiters: [Memory] in this process, package redisstore for
// several. It must be safe for concurrent use.
type Store interface {
	// Take takes the cost of every request, or of none: if one does not fit,
	// nothing is taken. It appends a Result for each request to dst, in their
	// order, and returns that.
	//
	// All requests of a call have the same Key and the same Cost, which is at
	// most the Burst of each Policy; their policies have different names. A Cost
	// of 0 takes nothing, and OK and RetryAfter are those of a cost of 1. A
	// negative Cost gives back; it is always OK, and never leaves more than if
	// nothing had been taken. One of -Burst or below forgets the client, also
	// how long it had to wait.
	//
	// [Policy] says how to count. The algorithm is GCRA: with unit =
	// Period/Limit, rounded up, and span = unit*Burst, the level of a client
	// falls with time to 0, a request raises it by Cost*unit, and fits if it
	// does not rise above the span. After a request that leaves less than one
	// unit below the span, a Policy with a Backoff raises the level to
	// span - unit + min(unit<<k, Backoff), where k is how often that happened
	// since the level had been 0 for as long as Backoff. Giving back what began
	// such a wait ends it, and it does not count. An Exact Policy keeps
	// the times at which requests fitted, of which at most Limit are younger
	// than Period; giving back forgets the oldest of these.
	//
	// An error means that it is not known whether the requests fit. Take must
	// return when ctx is done, and must keep neither dst nor reqs. A limiter
	// lets ctx end after a second, unless the Store has a method Timeout() that
	// returns a time.Duration of less, by when its Take returns by itself.
	Take(ctx context.Context, dst []Result, reqs []Request) ([]Result, error)
}

// A Request asks a [Store] for one policy.
type Request struct {
	// Key is the limiter's Name, a colon and the client: at most 256 bytes.
	// The counter belongs to the pair of Key and Policy.Name.
	Key string

	// Policy is complete: it has a Name and a Burst.
	Policy Policy

	Cost int64

	// Within bounds what a negative Cost gives back, unless it is 0: of the
	// level no more than that. It is the part of the Result's ResetAfter, when
	// that was taken, that is still to come. What has come back with time must
	// not come back twice.
	Within time.Duration
}

// A Result is what one limit says to a client.
type Result struct {
	// OK reports whether this limit admits the request. If any limit of the
	// request does not, nothing was taken from this one either.
	OK bool

	// Policy is the limit's name as clients see it, and Limit its number.
	// Stores leave both empty.
	Policy string
	Limit  int64

	// Remaining is how much may be taken at once now.
	Remaining int64

	// RetryAfter is when the same cost, or 1 after peeking and giving back,
	// can be taken the next time: 0 if now.
	RetryAfter time.Duration

	// ResetAfter is when the whole quota will be there again.
	ResetAfter time.Duration

	// Degraded says that the Store failed and OnStoreFailure decided. Stores
	// leave it false.
	Degraded bool
}

// tighter reports whether a client should rather go by r than by other.
func (r *Result) tighter(other *Result) bool {
	switch {
	case r.OK != other.OK:
		return !r.OK
	case !r.OK:
		return r.RetryAfter > other.RetryAfter
	case r.Remaining != other.Remaining:
		return r.Remaining < other.Remaining
	}
	return r.ResetAfter > other.ResetAfter
}

// storeKey is the key of a limiter's client in a Store. No client decides how
// much room its key takes there: long ones are replaced by their digest, and
// so are those that look like one.
func storeKey(name, key string) string {
	const digest = "sha256:"
	if len(key) > 128 || strings.HasPrefix(key, digest) {
		sum := sha256.Sum256([]byte(key))
		key = digest + hex.EncodeToString(sum[:])
	}
	return name + ":" + key
}

// Package redisstore counts for limiters in Redis or Valkey, so that all
// instances of a service share one quota.
//
//	rdb := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1})
//	store, err := redisstore.New(redisstore.Config{
//		Do: func(ctx context.Context, args ...any) (any, error) { return rdb.Do(ctx, args...).Result() },
//	})
//	…
//	perIP, err := ratelimit.New(ratelimit.Config{Name: "api", Limits: []string{"10/s; 1000/h"}, Store: store})
//
// # How it counts
//
// As [ratelimit.Store] says, in one round trip for all limits of a client. One
// key holds what is known of the client under all of them, and one script
// reads, decides and writes it: nothing comes in between, and a Redis Cluster
// needs no hash tags. The clock is the server's, so those of the instances may
// differ. Limits may be added, removed, reordered and changed between two
// versions of a service that run side by side; each keeps its count by its
// name, also where only the other version asks for it, up to 16 for a client.
// Only one that becomes exact, or gets or loses its Backoff, begins anew.
//
// The script runs on Redis 6 or newer and on Valkey. A key lives for a second
// longer than it says something, and none lives without an end. The script is
// sent by its digest, and in full only when the server says that it does not
// have it. Nothing is sent by [New]: a service starts while its Redis is down.
//
// # What it protects against
//
// Clients that spread their requests over the instances of a service, or wait
// for one to be restarted. What a client sends can steer neither the command
// nor the node that its key is on.
//
// # What it does not
//
// It does not decide what happens while Redis is down: an error is an error,
// and ratelimit.Config.OnStoreFailure says what follows. It cannot count what
// Redis forgets: give it one whose maxmemory-policy is noeviction, and know
// that a replica that takes over lacks what had not reached it. When the clock
// of the server jumps ahead, as at such a change it may, quotas come back as
// much earlier; when it jumps back, they wait for no longer than if it had
// stood still.
//
// A key that holds what this package did not write is an error and stays as it
// is, for it may be somebody else's: choose a Prefix that is not. To a limiter
// that is a failure like any other, and three in a row are one for all clients.
//
// # Where it stands
//
// It is the Store of a [ratelimit.Config]. One serves any number of limiters;
// their Names tell them apart.
package redisstore

import (
	"context"
	"crypto/sha1" //nolint:gosec // how Redis names scripts
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/report"
	"github.com/gatehouse-go/gatehouse/ratelimit"
)

const (
	defaultTimeout = 100 * time.Millisecond
	maxTimeout     = 10 * time.Second
	defaultPrefix  = "gatehouse:"
	maxPrefix      = 64

	// kind follows the Prefix. Its {} keeps the braces of a client's key from
	// being a hash tag, with which clients could gather on one node.
	kind = "limit:{}"
)

// Config configures a [Store]. Do is required.
type Config struct {
	_ [0]func() // keyed literals only

	// Do sends one command, of strings and int64, and returns its reply, a
	// string or []byte for a string, or the server's error with its text as it
	// is. It must return when ctx is done, which go-redis does with
	// ContextTimeoutEnabled alone. With go-redis, set MaxRetries to -1, too: a
	// command whose answer was lost may have been carried out, and a client
	// whose request is counted twice is refused early. DialerRetries of 1, where
	// there is that field, says at once that nobody listens.
	//
	//	rdb := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1})
	//	do := func(ctx context.Context, args ...any) (any, error) { return rdb.Do(ctx, args...).Result() }
	Do func(ctx context.Context, args ...any) (any, error)

	// Prefix begins every key: at most 64 printable ASCII characters. If empty,
	// it is "gatehouse:". Services that
	// share it share the quotas of limiters of the same Name.
	Prefix string

	// Timeout bounds each Take. If zero, it is 100 ms; at most 10 s.
	Timeout time.Duration
}

// A Store is a [ratelimit.Store] in Redis. It is safe for concurrent use.
type Store struct {
	do      func(ctx context.Context, args ...any) (any, error)
	prefix  string
	timeout time.Duration
	scripts [1 + maxRequests]string // by how many plain policies, 0 for any others
	shas    [1 + maxRequests]any    // strings, boxed once
	asked   atomic.Pointer[[]*asked]
}

var _ ratelimit.Store = (*Store)(nil)

//go:embed take.lua
var script string

// New returns a Store that behaves in accordance with cfg.
// The error, if any, joins every mistake found in cfg.
func New(cfg Config) (*Store, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("redisstore: "+format, args...)) }
	s := &Store{do: cfg.Do, prefix: cfg.Prefix, timeout: cfg.Timeout}
	if cfg.Do == nil {
		bad("Do is nil, want a function that asks Redis")
	}
	switch {
	case cfg.Prefix == "":
		s.prefix = defaultPrefix
	case len(cfg.Prefix) > maxPrefix || strings.ContainsFunc(cfg.Prefix, func(c rune) bool { return c <= ' ' || c > '~' }):
		bad("Prefix is %.80q, want at most %d printable ASCII characters", cfg.Prefix, maxPrefix)
	}
	switch {
	case cfg.Timeout == 0:
		s.timeout = defaultTimeout
	case cfg.Timeout < 0 || cfg.Timeout > maxTimeout:
		bad("Timeout is %v, want 0 to %v", cfg.Timeout, maxTimeout)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s.prefix += kind
	s.use(scripts(script))
	return s, nil
}

func (s *Store) use(scripts [1 + maxRequests]string) {
	s.scripts = scripts
	for i, text := range s.scripts {
		sum := sha1.Sum([]byte(text)) //nolint:gosec // how Redis names scripts
		s.shas[i] = hex.EncodeToString(sum[:])
	}
}

// Take implements [ratelimit.Store].
func (s *Store) Take(ctx context.Context, dst []ratelimit.Result, reqs []ratelimit.Request) ([]ratelimit.Result, error) {
	if s == nil || s.do == nil {
		return dst, errNotMade
	}
	switch {
	case len(reqs) == 0:
		return dst, nil
	case len(reqs) > maxRequests:
		return dst, errRequests
	}
	for i := range reqs[1:] {
		if reqs[1+i].Key != reqs[0].Key {
			return dst, errKeys
		}
	}
	a, err := s.asking(reqs)
	if err != nil {
		return dst, err
	}
	key := s.prefix + reqs[0].Key

	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var args [6]any
	args[1], args[2], args[3] = s.shas[a.plain], oneKey, key
	sent := append(args[:4], a.argv...)
	sent[0] = evalsha
	reply, err := s.do(ctx, sent...)
	// No other error says that nothing was counted.
	if err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") {
		sent = append([]any{"EVAL", s.scripts[a.plain]}, sent[2:]...)
		reply, err = s.do(ctx, sent...)
	}
	if err != nil {
		return dst, err
	}
	return a.appendResults(dst, reply)
}

// Timeout returns when Take has ended at the latest, as [ratelimit.Store] has it.
func (s *Store) Timeout() time.Duration { return s.timeout }

var evalsha, oneKey any = "EVALSHA", int64(1) //nolint:gochecknoglobals // boxed once

// An asked is what the script is told of the policies of a Take, beside the
// client's key.
type asked struct {
	policies  []ratelimit.Policy
	cost      int64
	questions []question
	plain     int   // how many there are, if all are plain
	argv      []any // strings, boxed once
}

func (a *asked) of(reqs []ratelimit.Request) bool {
	if len(a.policies) != len(reqs) || a.cost != reqs[0].Cost {
		return false
	}
	for i := range reqs {
		p, q := &a.policies[i], &reqs[i].Policy
		if p.Name != q.Name || p.Limit != q.Limit || p.Period != q.Period || p.Burst != q.Burst || p.Exact != q.Exact || p.Backoff != q.Backoff || reqs[i].Cost != a.cost || reqs[i].Within != 0 {
			return false
		}
	}
	return true
}

// maxAsked is how many different questions are remembered: a service has few
// limiters, and they ask the same again and again.
const maxAsked = 32

// asking returns what to tell the script.
func (s *Store) asking(reqs []ratelimit.Request) (*asked, error) {
	known := s.asked.Load()
	if known != nil {
		for _, a := range *known {
			if a.of(reqs) {
				return a, nil
			}
		}
	}
	a := &asked{cost: reqs[0].Cost}
	plain := true
	for i := range reqs {
		q, ok := questionOf(&reqs[i])
		if !ok {
			return nil, report.Causef("policy %q is not complete, or a cost of %d above its burst", reqs[i].Policy.Name, reqs[i].Cost)
		}
		a.policies, a.questions = append(a.policies, reqs[i].Policy), append(a.questions, q)
		plain = plain && q.kind == 'g'
	}
	if plain {
		a.plain = len(reqs)
		a.argv = []any{a.tags(), a.numbers()}
	} else {
		a.argv = []any{a.general()}
	}
	if reqs[0].Within != 0 { // never the same again
		return a, nil
	}
	var next []*asked
	if known != nil && len(*known) < maxAsked {
		next = append(next, *known...)
	}
	next = append(next, a)
	s.asked.Store(&next)
	return a, nil
}

const (
	errNotMade  report.Cause = "a Store that is nil or was not made by New"
	errRequests report.Cause = "more than 16 requests in one Take"
	errKeys     report.Cause = "requests with different keys in one Take"
	errForeign  report.Cause = "the client's key in Redis holds what this package did not write"
	errNoResult report.Cause = "Redis answered with what is no result"
)

const (
	maxRequests = 16
	maxExact    = 100

	// maxSpan is how long a bucket takes to fill at most, with package ratelimit.
	maxSpan = 10 * 366 * 24 * time.Hour
)

// A question is what the script is asked of one policy. It counts nanoseconds,
// or times if the policy is exact.
type question struct {
	kind byte
	unit int64 // what a cost of 1 adds
	span int64 // the most that fits
	cost int64 // -span or below forgets the client
	more int64 // the Backoff, or minus the Period if exact
}

// questionOf fails for policies that package ratelimit did not complete: what
// follows divides and multiplies without looking.
func questionOf(r *ratelimit.Request) (q question, ok bool) {
	p := &r.Policy
	if p.Name == "" || len(p.Name) > 64 || p.Limit < 1 || p.Period < 1 || p.Period > maxSpan || p.Burst < 1 || r.Cost > p.Burst || p.Backoff < 0 || p.Backoff > maxSpan {
		return question{}, false
	}
	if p.Exact {
		q = question{kind: 'e', unit: 1, more: -int64(p.Period)}
		ok = p.Limit <= maxExact && p.Burst == p.Limit && p.Backoff == 0
	} else {
		q = question{kind: 'g', unit: int64((p.Period-1)/time.Duration(p.Limit) + 1), more: int64(p.Backoff)}
		if q.more > 0 {
			q.kind = 'b'
		}
		ok = p.Burst <= int64(maxSpan)/q.unit
	}
	q.span = q.unit * p.Burst
	q.cost = q.unit * max(r.Cost, -p.Burst)
	if r.Cost < 0 && r.Within > 0 && !p.Exact {
		q.cost = max(q.cost, -int64(r.Within))
	}
	return q, ok
}

// appendTag appends what names q and its policy to the script. Policies of one
// name but different kinds are different ones: what is kept of one means nothing
// to another.
func (q *question) appendTag(b []byte, name string) []byte {
	b = append(b, byte(1+len(name)), q.kind) //nolint:gosec // at most 64
	return append(b, name...)
}

func appendNumbers(b []byte, numbers ...int64) []byte {
	for _, v := range numbers {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(float64(v)))
	}
	return b
}

// general is what the script reads of policies that are not all plain.
func (a *asked) general() string {
	b := []byte{byte(len(a.questions))} //nolint:gosec // at most maxRequests
	for i := range a.questions {
		q := &a.questions[i]
		b = appendNumbers(q.appendTag(b, a.policies[i].Name), q.cost, q.unit, q.span, q.more)
	}
	return string(b)
}

// tags and numbers are what it reads of plain ones.
func (a *asked) tags() string {
	var b []byte
	for i := range a.questions {
		b = a.questions[i].appendTag(b, a.policies[i].Name)
	}
	return string(b)
}

func (a *asked) numbers() string {
	var b []byte
	for i := range a.questions {
		q := &a.questions[i]
		need := q.cost
		if need == 0 {
			need = q.unit
		}
		b = appendNumbers(b, q.cost, need, q.span)
	}
	return string(b)
}

// appendResults believes nothing of what a server, or something that is not
// one, answers.
func (a *asked) appendResults(dst []ratelimit.Result, reply any) ([]ratelimit.Result, error) {
	var text string
	switch v := reply.(type) {
	case string:
		text = v
	case []byte:
		text = string(v)
	default:
		return dst, report.Causef("Redis answered with a %T, want a string", reply)
	}
	if text == "foreign" {
		return dst, errForeign
	}
	first := len(dst)
	for i := range a.questions {
		r, rest, ok := a.questions[i].result(text)
		if !ok {
			return dst[:first], errNoResult
		}
		dst, text = append(dst, r), rest
	}
	if text != "" {
		return dst[:first], errNoResult
	}
	return dst, nil
}

// result reads a result from the beginning of text: whether the cost fits, and
// the level; or, of an exact policy, when all is back, when the cost fits, and
// how many times count.
func (q *question) result(text string) (r ratelimit.Result, rest string, ok bool) {
	size := 1 + 8
	if q.kind == 'e' {
		size = 1 + 3*8
	}
	if len(text) < size || text[0] > 1 {
		return r, "", false
	}
	r.OK = text[0] == 1
	if q.kind == 'e' {
		reset, ok1 := number(text[1:], -q.more)
		retry, ok2 := number(text[9:], -q.more)
		used, ok3 := number(text[17:], maxExact)
		r.Remaining, r.RetryAfter, r.ResetAfter = max(0, q.span-used), whole(retry), whole(reset)
		return r, text[size:], ok1 && ok2 && ok3
	}
	most := q.span
	if q.kind == 'b' {
		most += q.more - q.unit
	}
	level, ok := number(text[1:], most)
	r.Remaining = max(0, q.span-level) / q.unit
	r.RetryAfter, r.ResetAfter = whole(max(0, level+max(q.cost, q.unit)-q.span)), whole(level)
	return r, text[size:], ok
}

// number returns the double that text begins with, which must be 0 to most.
func number(text string, most int64) (int64, bool) {
	var bits uint64
	for i := range 8 {
		bits |= uint64(text[i]) << (8 * i)
	}
	v := math.Float64frombits(bits)
	// The script rounds sums of doubles otherwise than most was rounded.
	if !(v >= 0 && v <= float64(most)*(1+1e-15)) { // NaN is neither
		return 0, false
	}
	return min(int64(math.Ceil(v)), most), true
}

// whole rounds up to a microsecond, since the server's clock rounds down:
// whoever waits that long finds that it has passed there, too.
func whole(ns int64) time.Duration { return time.Duration((ns + 999) / 1000 * 1000) }

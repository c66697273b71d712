// Package ratelimit answers one question: how often?
//
// A [Limiter] counts the requests of each client against one or more limits
// and refuses those beyond with 429 and a Retry-After that is true.
//
//	perIP, err := ratelimit.New(ratelimit.Config{Limits: []string{"100 per minute", "2000-H"}})
//	…
//	http.ListenAndServe(addr, perIP.Handler(mux))
//
// In any stretch of one Period, wherever it begins, a limit admits at most
// Limit+Burst-1 requests, where [Policy.Burst] is Limit if nothing else is said;
// an Exact policy admits at most Limit. Counters with fixed windows let 2·Limit
// through within an instant.
//
// Limits are written as in ulule/limiter ("100-M": S, M, H or D) or in words
// ("100 per minute", "10/s", "500 per 5 minutes"), with ms, s, sec, second, m,
// min, minute, h, hour, d and day for units, and one string may hold several
// ("10/s; 1000/h"). A request passes if every limit admits it; one
// that is refused takes nothing from any.
//
// # How it counts
//
// By GCRA, a leaky bucket without a leaking goroutine: a client that was idle
// may send a Burst of requests at once, and gets one back every Period/Limit.
// Choose a smaller Burst for a tighter bound, Exact where none but the tightest
// will do, and Backoff where asking again and again shall take ever longer.
//
// Counts live in a [Memory] of fixed size in this process, 2 MiB for each limit
// by default, or in a [Store] that several processes share: package redisstore. When the
// Memory is full of clients it forgets the one that would be done soonest, so
// that a flood of fresh addresses does not pardon those that have used up their
// quota, unless each of them uses up its own, too.
//
// # When the Store fails
//
// Each answer of a Store is mirrored in this process. A client that the Store
// refused is refused here, for a second at most, without asking again. When the
// Store fails, by an error or by not answering within a second, the mirror goes
// on counting (FailLocal): each of N processes admits the limits by itself, so
// that clients may get N times as much, and every such decision says Degraded.
// After three failures in a row nobody waits for the Store any more but one
// request each 250 ms, until it answers.
//
// # What clients are told
//
// Every answer to a request that was counted has RateLimit-Policy, the limits
// (q requests in w seconds, if these are whole ones), and RateLimit, the tightest of them: r requests may follow at once, and all of
// the quota is back after t seconds, or, where r is 0, a request that costs as
// much is admitted after t (draft-ietf-httpapi-ratelimit-headers). A refusal for a quota
// has Retry-After, too, the problem type quota-exceeded and the names of the limits
// in violated-policies. A request costs 1 unless Config.Cost says more; to take
// or give back at other times, call [Limiter.Take] with the key that the KeyFunc
// returns.
//
// # What it protects against
//
// Clients that ask too often: by accident, to guess, to scrape, to exhaust.
// IPv6 clients count by /64, and addresses come from package clientip, so no
// forwarding header is believed that no trusted proxy wrote. A request that
// cannot be attributed is refused, never let through uncounted.
//
// # What it does not
//
// It does not stop an attacker with many addresses or accounts, does not bound
// how many requests run at once (package throttle does), and does not replace
// the size and time limits of the server. Failed logins need more than the limit
// by address, since guessing may come from anywhere: package loginguard. When each of many clients
// in a flood uses up its whole quota, the table keeps the latest of them.
//
// # Where it stands
//
// The limit by address before whatever costs work (router, authentication),
// the limit by principal right behind authentication. Several limiters may
// stand in one chain; give each a Name, and the RateLimit fields of their
// answers form one list.
package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/internal/problem"
	"github.com/gatehouse-go/gatehouse/internal/report"
	"github.com/gatehouse-go/gatehouse/tlsredirect/clientip"
)

// Config configures a [Limiter]. One of Limits and Policies is required.
type Config struct {
	_ [0]func() // keyed literals only

	// Limits are those that a request must keep, all of them: "100 per
	// minute", "10/s; 1000/h", "100-M".
	Limits []string

	// Policies are further limits, for those that need what Limits cannot say:
	// a name, a burst, an odd period, exactness. There may be up to 8 limits in
	// all.
	Policies []Policy

	// Plan returns the limits of r where they are not Limits and Policies: those
	// that its principal has paid for. Where it returns none, Limits and
	// Policies count. Each needs a name that no other plan has for another
	// limit; policies that New would refuse are answered with 503.
	Plan func(r *http.Request) []Policy

	// Name tells this limiter from others. It stands before the names of its
	// limits in the RateLimit fields and in the audit trail, and in every key
	// in the Store: limiters that share a Store and a Name share their
	// counters, all others do not. It is required with a Store, and consists
	// of at most 64 letters, digits, '-', '_' and '.'.
	Name string

	// Key says whose request it is. If nil, it is ByAddr().
	Key KeyFunc

	// Exempt reports whether r is not counted, as a Key that returns ErrSkip
	// does. If nil, every request is.
	Exempt func(r *http.Request) bool

	// Cost is what r takes from the quota; with 0 it is not counted. More than
	// MaxCost is refused, for it would never fit. If nil, it is 1.
	Cost func(r *http.Request) int64

	// MaxCost is the highest Cost, at most the Burst of each limit. It is
	// required with Cost.
	MaxCost int64

	// CountIf reports whether a request that was answered with status counts.
	// Each one takes from the quota when it comes, and gives back after the
	// answer if it does not count, as far as that has not come back with time:
	// a flood of requests at once gets no further than others, nor do slow ones.
	// A panic counts as 500. If nil, all count.
	CountIf func(status int) bool

	// DryRun admits every request and only records what would have been
	// refused; clients are told nothing.
	DryRun bool

	// HideHeaders leaves out the RateLimit fields. Refusals have Retry-After
	// all the same.
	HideHeaders bool

	// LegacyHeaders also sets X-RateLimit-Limit, X-RateLimit-Remaining and
	// X-RateLimit-Reset, of the same limit as RateLimit: when all of its quota is
	// back, or where nothing is left the next request is admitted, in Unix
	// seconds. It does not go with HideHeaders and not with DryRun.
	LegacyHeaders bool

	// Store counts. If nil, the limiter counts by itself, in this process.
	Store Store

	// OnStoreFailure says what happens when the Store fails. If zero, limits
	// are counted in this process until the Store answers again.
	OnStoreFailure Failure

	// MaxKeys is how many clients are remembered in this process under each
	// limit, as in MemoryConfig. It must be 0 if Store is a Memory, which has
	// its own.
	MaxKeys int

	// OnDecision is called with each decision, also without an audit trail.
	OnDecision func(ctx context.Context, d decision.Decision)

	// ErrorHandler answers refused requests; err is an *Error. RateLimit,
	// RateLimit-Policy and Retry-After are already set where the request was
	// counted. If nil, it is WriteError.
	ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)

	// Logger is told of each refusal, and when the Store has failed three times
	// in a row and answers again. Of its error it is told the type, as of all
	// that are foreign. If nil, nothing is logged.
	Logger *slog.Logger
}

// A Failure is what a Limiter does while its Store fails.
type Failure uint8

// The failure policies. What is decided without the Store is recorded as
// degraded.
const (
	FailLocal  Failure = iota // count in this process: each process admits the limits by itself
	FailClosed                // refuse with 503
	FailOpen                  // admit without counting
)

// String returns "local", "closed" or "open".
func (f Failure) String() string {
	switch f {
	case FailLocal:
		return "local"
	case FailClosed:
		return "closed"
	case FailOpen:
		return "open"
	}
	return "unknown"
}

const (
	maxPolicies  = 8
	storeTimeout = time.Second
)

// A Limiter admits each client's requests as often as its limits say.
// It owns no goroutine and needs no Close. It is safe for concurrent use.
type Limiter struct {
	name       string
	base       *plan
	plan       func(r *http.Request) []Policy
	plans      plans
	key        KeyFunc // nil: by address
	exempt     func(r *http.Request) bool
	cost       func(r *http.Request) int64
	maxCost    int64
	countIf    func(status int) bool
	dryRun     bool
	hidden     bool
	legacy     bool
	memory     *Memory // counts, or mirrors the Store
	store      Store   // nil: memory counts
	plainStore bool    // knows nothing but limits
	bounded    bool    // the Store's Take ends by itself
	failure    Failure
	breaker    breaker
	stats      counters
	report     *report.Reporter
	onError    func(w http.ResponseWriter, r *http.Request, err error) // nil: WriteError
}

// New returns a Limiter that behaves in accordance with cfg.
// The error, if any, joins every mistake found in cfg.
func New(cfg Config) (*Limiter, error) {
	policies, errs := cfg.policies()
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("ratelimit: "+format, args...)) }
	if cfg.Name != "" && !validName(cfg.Name) {
		bad("Name is %q, want at most 64 letters, digits, '-', '_' and '.'", cfg.Name)
	}
	if cfg.Store != nil && cfg.Name == "" {
		bad("Name is empty, want a name for this limiter's counters in the Store")
	}
	switch {
	case cfg.Cost == nil && cfg.MaxCost != 0:
		bad("MaxCost is %d without a Cost, want 0", cfg.MaxCost)
	case cfg.Cost != nil && cfg.MaxCost < 1:
		bad("MaxCost is %d, want the highest Cost", cfg.MaxCost)
	}
	if cfg.DryRun && cfg.LegacyHeaders || cfg.HideHeaders && cfg.LegacyHeaders {
		bad("LegacyHeaders is set, want it unset with HideHeaders or DryRun")
	}
	own, shared := cfg.Store.(*Memory)
	if v := reflect.ValueOf(cfg.Store); cfg.Store != nil && v.Kind() == reflect.Pointer && v.IsNil() || shared && own != nil && own.start.IsZero() {
		bad("Store is a nil or zero %T, want one that its constructor made", cfg.Store)
	}
	plain, isPlain := cfg.Store.(*limiterStore)
	if isPlain && plain != nil {
		if plain.store == nil {
			bad("Store is FromLimiter(nil), want a limiter.Store")
		}
		for _, p := range policies {
			if p.Burst != 0 && !p.plain() {
				bad("Policies has %q with a Burst, Exact or Backoff, want none with FromLimiter, whose stores know only a limit", p.Name)
			}
		}
	}
	if cfg.OnStoreFailure > FailOpen {
		bad("OnStoreFailure is %d, want FailLocal, FailClosed or FailOpen", cfg.OnStoreFailure)
	}
	memory := own
	if !shared {
		var err error
		if memory, err = NewMemory(MemoryConfig{MaxKeys: cfg.MaxKeys}); err != nil {
			errs = append(errs, err)
		}
	} else if cfg.MaxKeys != 0 {
		bad("MaxKeys is %d, want 0 with a Memory as the Store", cfg.MaxKeys)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	l := &Limiter{
		name: cfg.Name, base: newPlan(cfg.Name, policies, memory), plan: cfg.Plan,
		key: cfg.Key, exempt: cfg.Exempt, cost: cfg.Cost, maxCost: cfg.MaxCost, countIf: cfg.CountIf,
		dryRun: cfg.DryRun, hidden: cfg.HideHeaders || cfg.DryRun, legacy: cfg.LegacyHeaders,
		memory: memory, plainStore: isPlain, failure: cfg.OnStoreFailure,
		report: report.New("ratelimit", cfg.Logger, cfg.OnDecision),
	}
	if !shared {
		l.store = cfg.Store
		timeout, ok := cfg.Store.(interface{ Timeout() time.Duration })
		l.bounded = ok && timeout.Timeout() > 0 && timeout.Timeout() <= storeTimeout
	}
	if cfg.ErrorHandler != nil {
		l.onError = problem.Unstored(cfg.ErrorHandler) // RFC 6585 section 4
	}
	return l, nil
}

// policies returns all limits of the configuration, complete.
func (cfg *Config) policies() (policies []Policy, errs []error) {
	for i, s := range cfg.Limits {
		parsed, err := parseLimits(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("ratelimit: Limits[%d] is %q, want %w", i, s, err))
		}
		policies = append(policies, parsed...)
	}
	complete, faults := checkPolicies(cfg.Policies)
	for _, err := range faults {
		errs = append(errs, fmt.Errorf("ratelimit: Policies%w", err))
	}
	policies = append(policies, complete...)
	if len(policies) == 0 && len(errs) == 0 {
		errs = append(errs, errors.New(`ratelimit: Limits is empty, want a limit such as "100 per minute"`))
	}
	for _, err := range checkSet(policies, cfg.MaxCost) {
		errs = append(errs, fmt.Errorf("ratelimit: Limits and Policies %w", err))
	}
	return policies, errs
}

// Take takes cost from the quota of key if every limit has that much left, and
// nothing otherwise. It returns the state of the limit that matters most: of
// the one that refuses longest, or else of the one with the least left. Limits
// are those of Config; Plan is not asked.
//
// A cost of 0 takes nothing: the Result says whether 1 could be taken. A
// negative cost gives back what was taken before, and never more than that; what
// was taken long ago has come back with time, and is not to be given back.
//
// An error is always an *Error and means that the request must not pass: the
// key is empty, the cost is more than a limit ever admits, ctx ended before the
// Store answered, or the Store failed and OnStoreFailure is FailClosed. That a
// quota is used up is no error.
//
// It reports nothing, to neither log, trail nor Stats.Refused, and knows no
// DryRun: what follows is the caller's.
func (l *Limiter) Take(ctx context.Context, key string, cost int64) (Result, error) {
	var buf [maxPolicies]Result
	results, how, err := l.take(ctx, buf[:0], l.base, l.client(key), cost)
	switch {
	case err != nil:
		return Result{}, err
	case len(results) == 0:
		return Result{OK: true, Degraded: how.degraded != ""}, nil
	}
	i := tightest(results)
	r := results[i]
	r.Policy, r.Limit, r.Degraded = l.base.shown[i], l.base.policies[i].Limit, how.degraded != ""
	return r, nil
}

// Reset forgets what key has used of the limits of Config, and how long it had
// to wait. Another process that shares the Store may refuse it for a second
// more. Its errors are those of Take.
func (l *Limiter) Reset(ctx context.Context, key string) error {
	var most int64
	for i := range l.base.policies {
		most = max(most, l.base.policies[i].Burst)
	}
	_, err := l.Take(ctx, key, -most)
	return err
}

// A client is whose quota it is.
type client struct {
	hash uint64 // 0: nobody's
	key  string // in the Store, "" if there is none
}

func (l *Limiter) client(key string) client {
	if key == "" {
		return client{}
	}
	who := client{hash: l.memory.client(key)}
	if addr, ok := strings.CutPrefix(key, addrKey); ok { // of ByAddr, or like it
		if bucket, err := netip.ParsePrefix(addr); err == nil && keyOf(clientip.Bucket(bucket.Addr())) == key {
			who.hash = l.memory.clientAt(bucket)
		}
	}
	if l.store != nil {
		who.key = storeKey(l.name, key)
	}
	return who
}

// A course is how a decision came about. It is no part of the results, which
// stay on the stack for that.
type course struct {
	degraded string // what the Store failed with, "" if it did not
	crowded  bool   // a client was forgotten to make room
}

// take asks all limits and appends their results to dst; none if FailOpen
// admits without counting.
func (l *Limiter) take(ctx context.Context, dst []Result, p *plan, who client, cost int64) (results []Result, how course, refusal *Error) {
	if who.hash == 0 {
		return nil, how, &Error{Reason: ReasonKey, Err: errEmptyKey}
	}
	for i := range p.policies {
		if cost > p.policies[i].Burst {
			return nil, how, &Error{
				Reason: ReasonCost, Violated: []string{p.shown[i]},
				Err: report.Causef("a cost of %d, and %q never admits more than %d", cost, p.shown[i], p.policies[i].Burst),
			}
		}
	}
	if l.store != nil {
		if results, how, refusal = l.ask(ctx, dst, p, who, cost); refusal != nil || how.degraded == "" || l.failure == FailOpen {
			return results, how, refusal
		}
	}
	dst, how.crowded = l.memory.take(l.memory.now(), dst, who.hash, p.quotas, cost)
	return dst, how, nil
}

// tightest returns which result a client should go by. It is not OK if any is
// not.
func tightest(results []Result) (t int) {
	for i := 1; i < len(results); i++ {
		if results[i].tighter(&results[t]) {
			t = i
		}
	}
	return t
}

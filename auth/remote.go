package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/outbound"
	"github.com/gatehouse-go/gatehouse/internal/report"
	"github.com/gatehouse-go/gatehouse/internal/strictjson"
)

// The policy for keys that have to be fetched. It keeps a service running
// through a rotation of keys and through an outage of the issuer, and lets
// nobody who sends tokens make it ask the issuer more often than this.
const (
	minRefresh     = 5 * time.Minute // of a set, whatever max-age it came with
	maxRefresh     = time.Hour
	defaultRefresh = 15 * time.Minute // without a max-age
	maxStale       = 24 * time.Hour   // a set is of use, when it can't be refreshed
	fetchInterval  = 10 * time.Second // at least, between fetches for unknown keys
	maxWait        = 2 * time.Second  // of a request for a fetch
	minBackoff     = time.Second      // after a fetch that failed, then doubled
	maxBackoff     = 30 * time.Second
)

// A remote is the keys of one issuer that are fetched when they are needed.
type remote struct {
	issuer  string // whose metadata says where the keys are; with url "" only
	url     string
	allowed []string
	client  *outbound.Client
	log     *slog.Logger

	current atomic.Pointer[fetchedSet]

	mu       sync.Mutex
	flight   *flight
	fetches  sync.WaitGroup
	failures int
	retryAt  time.Time
	failed   error
	closed   bool

	life context.Context // ends with close
	end  context.CancelFunc

	told [sha256.Size]byte // digest of the set whose faults were logged last; of the flight
}

var errNoAlgorithm error = report.Cause("alg is none that the issuer's keys may have")

// A fetchedSet is a key set and how fresh it is.
type fetchedSet struct {
	keys      *keySet
	digest    [sha256.Size]byte
	at        time.Time
	refreshAt time.Time // from here on in the background
	dueAt     time.Time // from here on a request waits for it

	url   string    // where it was
	urlAt time.Time // when the metadata said so
}

func (s *fetchedSet) usable(now time.Time) bool { return s != nil && now.Sub(s.at) < maxStale }

// A flight is one fetch, whoever waits for it.
type flight struct {
	done chan struct{}
	err  error // once done is closed
}

func newRemote(issuer string, src *source, allowed []string, client *outbound.Client, log *slog.Logger) *remote {
	m := &remote{issuer: issuer, allowed: slices.Clone(allowed), client: client, log: log}
	if src != nil {
		m.url = src.url
	}
	m.life, m.end = context.WithCancel(context.Background())
	return m
}

// keys returns the set if it is of use.
func (m *remote) keys(now time.Time) *keySet {
	if s := m.current.Load(); s.usable(now) {
		return s.keys
	}
	return nil
}

// key returns the key that h means, and the set that it is from. passed is asked
// before anything is fetched for the token.
func (m *remote) key(ctx context.Context, h header, passed func() error) (*key, *keySet, error) {
	now := time.Now()
	if s := m.current.Load(); s.usable(now) {
		k, err := s.keys.find(h)
		// Without a kid nothing tells the first token of a new key from a forged
		// one, so that one does not have to be verified first.
		if h.kid == "" && !errors.Is(err, errNoKey) && !now.Before(s.refreshAt) {
			if err := m.worth(h, passed); err != nil {
				return nil, nil, err
			}
			m.freshen(ctx)
			s = m.current.Load()
			k, err = s.keys.find(h)
		}
		if err == nil {
			return k, s.keys, nil
		}
		if !errors.Is(err, errNoKey) {
			return nil, nil, refuseKey(err)
		}
	}
	if err := m.worth(h, passed); err != nil {
		return nil, nil, err
	}
	if err := m.await(ctx); err != nil {
		return nil, nil, err
	}
	set := m.current.Load().keys
	k, err := set.find(h)
	if err != nil {
		return nil, nil, refuseKey(err)
	}
	return k, set, nil
}

// worth refuses a token for which nothing need be fetched.
func (m *remote) worth(h header, passed func() error) error {
	if isHMAC(algorithms[h.alg]) || len(m.allowed) > 0 && !slices.Contains(m.allowed, h.alg) {
		return invalid(ReasonAlgorithm, errNoAlgorithm)
	}
	return passed()
}

// freshen sees to it, for a token that was verified or has no kid, that the set
// is fetched again in time: in the background at first, and once it is due
// while the caller waits, unless the issuer is known to be down.
func (m *remote) freshen(ctx context.Context) {
	s, now := m.current.Load(), time.Now()
	if s == nil || now.Before(s.refreshAt) {
		return
	}
	m.mu.Lock()
	wait := m.failures == 0 && !now.Before(s.dueAt)
	var f *flight
	if m.current.Load() == s { // nobody was faster
		f = m.start(now, false)
	}
	m.mu.Unlock()
	if f != nil && wait {
		_ = m.join(ctx, f) // what there is stays of use
	}
}

// await waits for a set that is newer than what the caller saw, or reports why
// there is none. It returns nil at once if the set is too young for another
// fetch.
func (m *remote) await(ctx context.Context) error {
	m.mu.Lock()
	now := time.Now()
	if s := m.current.Load(); m.flight == nil && s.usable(now) && now.Sub(s.at) < fetchInterval {
		m.mu.Unlock()
		return nil
	}
	f := m.start(now, true)
	err := m.failed
	m.mu.Unlock()
	if f != nil {
		err = m.join(ctx, f)
	}
	if err == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return &Error{Kind: Unavailable, Reason: ReasonUnavailable, RetryAfter: max(minBackoff, time.Until(m.retryAt)), Err: noDecline(err)}
}

// join waits for f, but not for long.
func (m *remote) join(ctx context.Context, f *flight) error {
	limit := time.NewTimer(maxWait)
	defer limit.Stop()
	select {
	case <-f.done:
		return f.err
	case <-limit.C:
		return report.Cause("the issuer's keys are not there yet")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// start returns the fetch under way, or a new one; nil if the last one failed a
// moment ago, or m is closed. m.mu is held.
func (m *remote) start(now time.Time, forced bool) *flight {
	switch {
	case m.flight != nil:
		return m.flight
	case m.closed:
		m.failed = report.Cause("the JWT is closed")
		return nil
	case now.Before(m.retryAt):
		return nil
	}
	f := &flight{done: make(chan struct{})}
	m.flight = f
	old, down := m.current.Load(), m.failures > 0
	m.fetches.Go(func() {
		s, err := m.fetch(m.life, old, forced, down)
		m.settle(f, s, err)
	})
	return f
}

// settle takes the result of a fetch.
func (m *remote) settle(f *flight, s *fetchedSet, err error) {
	m.mu.Lock()
	before := m.failures
	backoff := min(maxBackoff, minBackoff<<min(before, 10))
	if err != nil {
		m.failures++
		m.failed, m.retryAt = err, time.Now().Add(backoff)
	} else {
		m.failures, m.failed, m.retryAt = 0, nil, time.Time{}
		m.current.Store(s)
	}
	f.err = err
	m.flight = nil
	close(f.done)
	m.mu.Unlock()
	defer func() { _ = recover() }() // of a Logger: no request is there to end
	switch {
	case err != nil && m.life.Err() == nil:
		m.log.LogAttrs(m.life, slog.LevelError, "auth: keys could not be fetched",
			slog.String("issuer", m.issuer), slog.String("detail", report.Detail(err)), slog.Duration("retry_after", backoff))
	case err == nil && before > 0:
		m.log.LogAttrs(m.life, slog.LevelInfo, "auth: keys were fetched again", slog.String("issuer", m.issuer))
	}
}

// close ends fetches. What was fetched stays of use as long as it would have.
func (m *remote) close() {
	m.mu.Lock()
	m.closed = true
	m.end()
	m.mu.Unlock()
	m.fetches.Wait()
}

// ready waits for a set that is of use.
func (m *remote) ready(ctx context.Context) error {
	if m.keys(time.Now()) != nil {
		return nil
	}
	err := m.await(ctx)
	if err != nil {
		return fmt.Errorf("auth: keys of %q: %w", m.issuer, err)
	}
	return nil
}

// fetch gets the set where it is known to be, or where the metadata says it is.
// That is read again with each refresh, after a failure, and when it is an hour
// old: a URL that was given up must not stay in use for as long as tokens with
// unknown kids come in.
func (m *remote) fetch(ctx context.Context, old *fetchedSet, forced, down bool) (s *fetchedSet, err error) {
	defer func() {
		if recover() != nil { // of a user's function: no request is there to end
			err = report.Cause("the HTTPClient or the Logger panicked at " + report.PanicSite())
		}
	}()
	s = &fetchedSet{url: m.url, urlAt: time.Now()}
	switch {
	case m.url != "":
	case old != nil && forced && !down && s.urlAt.Sub(old.urlAt) < maxRefresh:
		s.url, s.urlAt = old.url, old.urlAt
	default:
		if s.url, err = m.discover(ctx); err != nil {
			return nil, err
		}
	}
	header := http.Header{"Accept": {"application/jwk-set+json, application/json"}}
	if forced {
		header.Set("Cache-Control", "no-cache") // a copy on the way may lack the new key
	}
	resp, err := m.client.Get(ctx, s.url, header)
	if err != nil {
		return nil, err
	}
	if resp.Status != http.StatusOK {
		return nil, report.Causef("status %d instead of keys", resp.Status)
	}
	interval := maxAge(resp.Header)
	s.digest, s.at = sha256.Sum256(resp.Body), time.Now()
	s.dueAt = s.at.Add(interval)
	// In the last tenth, each instance at another time.
	s.refreshAt = s.dueAt.Add(-rand.N(interval / 10)) //nolint:gosec // no secret
	if old != nil && old.digest == s.digest {
		s.keys = old.keys // the same generation
		return s, nil
	}
	s.keys, err = m.parse(resp.Body, s.digest != m.told)
	m.told = s.digest
	return s, err
}

// parse makes a set of a document. Keys that are of no use are left out and
// told of: the others keep working.
func (m *remote) parse(document []byte, tell bool) (*keySet, error) {
	keys, err := parseJWKS(document)
	if err != nil {
		if e, ok := errors.AsType[*strictjson.Error](err); ok {
			return nil, report.Cause("JWKS: " + e.Text)
		}
		return nil, report.Cause(err.Error()) // a text of parseJWKS's own
	}
	leftOut := func(level slog.Level, err error) {
		if tell {
			m.log.LogAttrs(m.life, level, "auth: a key was left out",
				slog.String("issuer", m.issuer), slog.String("detail", report.Printable(err.Error())))
		}
	}
	var raws []rawKey
	for _, k := range keys {
		switch {
		case k.err == nil:
			raws = append(raws, k.rawKey)
		case k.foreign:
			leftOut(slog.LevelDebug, k.err)
		default:
			leftOut(slog.LevelWarn, k.err)
		}
	}
	set, faults := newKeySet(raws, m.allowed)
	for _, err := range faults {
		leftOut(slog.LevelWarn, err)
	}
	if set.size() == 0 {
		return nil, report.Cause("the JWKS has no key to verify with")
	}
	return set, nil
}

// wellKnown are the places of an issuer's metadata: by OpenID Connect Discovery
// section 4.1 behind the issuer's path, and by RFC 8414 section 3.1 before it.
func wellKnown(issuer string) []string {
	origin, path := issuer, ""
	if i := strings.Index(issuer, "://"); i >= 0 {
		if j := strings.IndexByte(issuer[i+3:], '/'); j >= 0 {
			origin, path = issuer[:i+3+j], strings.TrimSuffix(issuer[i+3+j:], "/")
		}
	}
	return []string{
		origin + path + "/.well-known/openid-configuration",
		origin + "/.well-known/oauth-authorization-server" + path,
	}
}

// discover reads the issuer's metadata and returns where its keys are. What
// answers at one place may be a page for any path, and the metadata at the
// other.
func (m *remote) discover(ctx context.Context) (string, error) {
	var faults []any
	for _, place := range wellKnown(m.issuer) {
		resp, err := m.client.Get(ctx, place, http.Header{"Accept": {"application/json"}})
		switch {
		case err != nil && !errors.Is(err, outbound.ErrRedirect) && !errors.Is(err, outbound.ErrTooLarge):
			return "", err
		case err != nil:
		case resp.Status == http.StatusTooManyRequests || resp.Status >= 500:
			return "", report.Causef("status %d instead of metadata", resp.Status)
		case resp.Status != http.StatusOK:
			err = report.Causef("status %d instead of metadata", resp.Status)
		default:
			var url string
			if url, err = m.jwksURI(resp.Body); err == nil {
				return url, nil
			}
		}
		faults = append(faults, err)
	}
	return "", report.Causef("OpenID Connect: %v; RFC 8414: %v", faults...)
}

func (m *remote) jwksURI(document []byte) (string, error) {
	o := new(strictjson.Object)
	if err := o.Parse(document); err != nil {
		return "", report.Cause("the metadata is not a JSON object with each name once")
	}
	issuer, err := o.Text("issuer")
	if err == nil && strings.TrimSuffix(issuer, "/") == strings.TrimSuffix(m.issuer, "/") && issuer != m.issuer {
		return "", report.Cause("the metadata is of another issuer: it differs by the slash at the end")
	}
	if err != nil || issuer != m.issuer { // RFC 8414 section 3.3
		return "", report.Cause("the metadata is of another issuer")
	}
	url, err := o.Text("jwks_uri")
	if err != nil {
		return "", report.Cause("the metadata has no jwks_uri")
	}
	if err := m.client.CheckURL(url); err != nil {
		return "", report.Causef("jwks_uri %v", err)
	}
	return url, nil
}

// maxAge is for how long an answer may be kept (RFC 9111 section 5.2.2.1),
// within the bounds of the policy.
func maxAge(h http.Header) time.Duration {
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		if !strings.EqualFold(name, "max-age") {
			continue
		}
		// Beyond 64 bits n is the largest there is (section 1.2.2).
		if n, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
			return max(minRefresh, time.Duration(min(n, uint64(maxRefresh/time.Second)))*time.Second)
		}
	}
	return defaultRefresh
}

package ratelimit

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/auth/principal"
	"github.com/gatehouse-go/gatehouse/internal/report"
	"github.com/gatehouse-go/gatehouse/tlsredirect/clientip"
)

// A KeyFunc returns whose quota a request draws on. An error refuses the
// request, with the status of its StatusCode() int or else 503, and so does an
// empty key: a request that cannot be attributed is never let through. ErrSkip
// lets it through uncounted.
// Log and trail tell no more than the type of a foreign error.
// A KeyFunc must be safe for concurrent use.
//
// Make keys of what was verified, or of what the client cannot choose: whoever
// chooses the key chooses the quota. Paths are no keys for that reason; give a
// route a Limiter of its own instead.
type KeyFunc func(r *http.Request) (string, error)

// A keyError says why a request has no key.
type keyError struct {
	status int
	text   report.Cause
	hint   string // for the operator, if something is wired wrong
}

func (e *keyError) Error() string   { return string(e.text) }
func (e *keyError) StatusCode() int { return e.status }
func (e *keyError) Unwrap() []error { return []error{e.text, ErrNoKey} }

var errEmptyKey error = &keyError{http.StatusServiceUnavailable, "the key is empty", "the KeyFunc returned an empty key, want an error or a key"}

// ByAddr counts by the client's address as package clientip knows it: an IPv4
// address, or the /64 of an IPv6 one. A request without an address is refused
// with 503: the proxy in front sends no address or garbage, or the listener
// has none, as Unix sockets do.
//
// Whoever tells of another address in a header that no trusted proxy wrote is
// counted by its own, which is recorded (ReasonForwarded) and logged once: behind
// a proxy that clientip.Config does not name all clients share one quota.
func ByAddr() KeyFunc {
	return func(r *http.Request) (string, error) {
		bucket, ok := addrOf(r)
		if !ok {
			return "", errNoAddr
		}
		return keyOf(bucket), nil
	}
}

var errNoAddr error = &keyError{
	http.StatusServiceUnavailable, "no client address",
	"the client's address is unknown: behind a proxy make sure that it sends the header which clientip.Trust reads, and elsewhere set RemoteAddr",
}

// addrKey begins the keys of addresses.
const addrKey = "addr:"

// addrOf returns the address that r counts by.
func addrOf(r *http.Request) (netip.Prefix, bool) {
	addr, ok := clientip.FromRequest(r)
	return clientip.Bucket(addr), ok
}

func keyOf(bucket netip.Prefix) string {
	return string(bucket.AppendTo(append(make([]byte, 0, 64), addrKey...)))
}

// who returns whose quota r draws on.
func (l *Limiter) who(r *http.Request, listening bool) (client, error) {
	if l.key == nil {
		bucket, ok := addrOf(r)
		if !ok {
			return client{}, errNoAddr
		}
		who := client{hash: l.memory.clientAt(bucket)}
		if l.store != nil {
			b := append(append(make([]byte, 0, 160), l.name...), ':')
			who.key = string(bucket.AppendTo(append(b, addrKey...))) // as of storeKey
		}
		if listening {
			l.disbelieve(r, keyOf(bucket))
		}
		return who, nil
	}
	key, err := l.key(r)
	if err != nil {
		return client{}, err
	}
	if key == "" {
		return client{}, errEmptyKey
	}
	if listening {
		l.disbelieve(r, key)
	}
	return l.client(key), nil
}

// forwardedBy returns the name of a header of r that tells of another address,
// "" if there is none.
func forwardedBy(r *http.Request) string {
	for _, name := range [...]string{"X-Forwarded-For", "Forwarded", "X-Real-Ip"} {
		if len(r.Header[name]) > 0 {
			return name
		}
	}
	return ""
}

// disbelieve records that r is counted by the address of the peer although a
// header tells of another one.
func (l *Limiter) disbelieve(r *http.Request, key string) {
	header := forwardedBy(r)
	if header == "" {
		return
	}
	addr, ok := clientip.FromRequest(r)
	if peer, known := clientip.Peer(r); !ok || !known || addr != peer {
		return
	}
	if !strings.Contains(key, keyOf(clientip.Bucket(addr))) {
		return
	}
	ctx := r.Context()
	l.report.Decision(ctx, decision.Decision{Effect: decision.Observe, Reason: ReasonForwarded, Detail: header})
	l.report.Hint(ctx, "forwarded", "a client address in a header of a peer that is not trusted: if that is a proxy of yours, name it in clientip.Config.Proxies, for all its clients share one quota", slog.String("header", header))
}

// ByPrincipal counts by the authenticated caller. A request without one is
// refused with 503, since something is wired wrong: the limiter stands behind
// the Gate of package auth. Where anonymous callers are wanted, put ByAddr
// behind it with [FirstOf].
func ByPrincipal() KeyFunc {
	return byPrincipal("principal", (*principal.Principal).ID)
}

// ByClient counts by the application that acts for the caller: the caller's
// ClientID, or the caller itself if it is an application without one. A
// request without either is refused with 503.
func ByClient() KeyFunc {
	return byPrincipal("client", func(p *principal.Principal) string {
		if p.ClientID == "" && p.Kind == principal.Client {
			return within(p.Issuer, p.Subject)
		}
		return within(p.Issuer, p.ClientID)
	})
}

// ByTenant counts by the caller's tenant, as its issuer names it. A request
// without one is refused with 503. auth.JWT names none; an Authenticator of
// your own may.
func ByTenant() KeyFunc {
	return byPrincipal("tenant", func(p *principal.Principal) string { return within(p.Issuer, p.Tenant) })
}

func byPrincipal(kind string, id func(*principal.Principal) string) KeyFunc {
	nobody := &keyError{
		http.StatusServiceUnavailable, report.Cause("no principal to find the " + kind + " of"),
		"requests are counted by " + kind + " and have no principal: put the limiter behind auth's Gate.Handler",
	}
	missing := &keyError{
		http.StatusServiceUnavailable, report.Cause("the principal has no " + kind),
		"requests are counted by " + kind + ", and there are principals without one: count these by principal",
	}
	return func(r *http.Request) (string, error) {
		p, ok := principal.FromContext(r.Context())
		if !ok {
			return "", nobody
		}
		s := id(p)
		if s == "" {
			return "", missing
		}
		return kind + ":" + s, nil
	}
}

// within returns a name that an issuer gave, so that no other issuer can give
// the same; "" for an empty one.
func within(issuer, name string) string {
	if name == "" {
		return ""
	}
	return strconv.Itoa(len(issuer)) + ":" + issuer + name
}

// ByHeader counts by the value of a request header, of which only a digest is
// kept. A request that has none, an empty one or more than one is refused with
// 400. Use it only behind something that verified the header: otherwise each
// request may bring another value, and each gets a fresh quota.
// It panics if name is not the name of a header.
func ByHeader(name string) KeyFunc {
	if name == "" || strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c) }) {
		panic(fmt.Sprintf("ratelimit: ByHeader of %q, want the name of a header", name))
	}
	name = textproto.CanonicalMIMEHeaderKey(name)
	missing := &keyError{status: http.StatusBadRequest, text: report.Cause("no " + name + " header")}
	doubled := &keyError{status: http.StatusBadRequest, text: report.Cause("more than one " + name + " header")}
	return func(r *http.Request) (string, error) {
		values := r.Header[name]
		switch {
		case len(values) > 1:
			return "", doubled
		case len(values) == 0 || values[0] == "":
			return "", missing
		}
		sum := sha256.Sum256([]byte(values[0]))
		return "header:" + hex.EncodeToString(sum[:16]), nil
	}
}

// ByRoute counts by the pattern of the route that matched, so that several
// routes may stand behind one limiter; join it with another key, for alone it
// lets all clients share one quota. route returns the pattern; if nil, it is
// r.Pattern, which net/http.ServeMux sets for the handlers behind it, and chi,
// too. A request without a route is refused with 503: the limiter stands before
// the router. On chi it stands behind it with With, route by route: what Use
// adds runs while no route, or no more than its beginning, is known.
func ByRoute(route func(r *http.Request) string) KeyFunc {
	if route == nil {
		route = func(r *http.Request) string { return r.Pattern }
	}
	missing := &keyError{
		http.StatusServiceUnavailable, "no route",
		"requests are counted by route and none has matched: put the limiter behind the router",
	}
	return func(r *http.Request) (string, error) {
		pattern := route(r)
		if pattern == "" {
			return "", missing
		}
		return "route:" + pattern, nil
	}
}

// FirstOf counts by the first of keys that r has: ByPrincipal and where there is
// none ByAddr. An error that does not wrap ErrNoKey ends the search.
// It panics if there is no KeyFunc, and if one is nil.
func FirstOf(keys ...KeyFunc) KeyFunc {
	keys = checked("FirstOf", keys)
	return func(r *http.Request) (key string, err error) {
		for _, k := range keys {
			key, err = k(r)
			if err == nil && key == "" {
				return "", errEmptyKey
			}
			if err == nil || !errors.Is(err, ErrNoKey) {
				return key, err
			}
		}
		return "", err
	}
}

// Join counts by all keys together, such as caller and address. The first
// error counts. It panics if there is no KeyFunc, and if one is nil.
func Join(keys ...KeyFunc) KeyFunc {
	keys = checked("Join", keys)
	return func(r *http.Request) (string, error) {
		var b []byte
		for _, k := range keys {
			part, err := k(r)
			if err != nil {
				return "", err
			}
			if part == "" {
				return "", errEmptyKey
			}
			// With its length in front no part can pass for two.
			b = strconv.AppendInt(b, int64(len(part)), 10)
			b = append(b, ':')
			b = append(b, part...)
		}
		return string(b), nil
	}
}

func checked(caller string, keys []KeyFunc) []KeyFunc {
	if len(keys) == 0 {
		panic("ratelimit: " + caller + " of no KeyFunc")
	}
	for _, k := range keys {
		if k == nil {
			panic("ratelimit: " + caller + " of a nil KeyFunc")
		}
	}
	return append([]KeyFunc(nil), keys...)
}

// Package clientip says where a request came from.
//
// A service that is reached directly trusts nothing but the TCP connection.
// One behind proxies names their addresses in [Config.Proxies]; only then, and
// only for connections from these, is a forwarding header believed, and it is
// read from right to left: each proxy appends what it saw, so the first entry
// from the right that is not one of yours is the client, and whatever stands
// further left is what the client claims.
//
//	trust, err := clientip.New(clientip.Config{Proxies: []string{"10.0.0.0/8"}})
//	…
//	http.ListenAndServe(addr, trust.Handler(trail.Handler(mux)))
//
// [Trust.Handler] is the outermost layer. It stores the address once; every
// other package asks [FromRequest]. It never touches RemoteAddr, and no header
// of any kind changes host or path of a request.
//
// When a proxy of yours sends no forwarding header, or garbage in it, there is
// no address rather than the proxy's: all clients would share the proxy's
// quota, or pass as an internal address.
package clientip

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/internal/pass"
)

// Config configures a [Trust]. Its zero value trusts no proxy.
type Config struct {
	_ [0]func() // keyed literals only

	// Proxies are the addresses ("192.0.2.1", "10.0.0.0/8") of the proxies in
	// front of the service.
	Proxies []string

	// Header is the one header in which the proxies pass on the client's
	// address. If empty, it is X-Forwarded-For, a list. Any other, such as
	// CF-Connecting-IP, must hold a single address. It needs Proxies.
	Header string
}

const xForwardedFor = "X-Forwarded-For"

// A Trust knows which proxies may speak for a client. A nil Trust trusts none.
// It is immutable and safe for concurrent use.
type Trust struct {
	proxies []netip.Prefix
	header  string // canonical
}

// New returns a Trust that behaves in accordance with cfg.
// The error, if any, joins every mistake found in cfg.
func New(cfg Config) (*Trust, error) {
	var errs []error
	t := &Trust{header: xForwardedFor}
	for _, s := range cfg.Proxies {
		p, err := parsePrefix(s)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		t.proxies = append(t.proxies, p)
	}
	if cfg.Header != "" {
		t.header = textproto.CanonicalMIMEHeaderKey(cfg.Header)
		switch {
		case len(cfg.Proxies) == 0:
			errs = append(errs, errors.New("clientip: Header is set without Proxies, want the addresses that may send it"))
		case strings.ContainsAny(cfg.Header, " \t\r\n:,;"):
			errs = append(errs, fmt.Errorf("clientip: Header is %q, want the name of a header", cfg.Header))
		case t.header == "Forwarded":
			errs = append(errs, errors.New("clientip: Header is Forwarded, want X-Forwarded-For or a header with a single address"))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return t, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	bad := func(want string) (netip.Prefix, error) {
		return netip.Prefix{}, fmt.Errorf("clientip: Proxies has %q, want %s", s, want)
	}
	if addr, err := netip.ParseAddr(s); err == nil {
		addr = addr.Unmap()
		if addr.Zone() != "" {
			return bad("an address without a zone")
		}
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return bad("an address or a CIDR prefix")
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return bad("an IPv4 prefix in IPv4 notation")
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p != p.Masked() {
		return bad(p.Masked().String() + ", the prefix without host bits")
	}
	// The widest private networks are 10.0.0.0/8 and fc00::/7.
	if p.Addr().Is4() && p.Bits() < 8 || p.Bits() < 7 {
		return bad("the proxies' own addresses, not everybody's")
	}
	return p, nil
}

type contextKey struct{}

type stored struct {
	addr netip.Addr
	ok   bool
}

// Handler stores the client's address for [FromRequest].
func (t *Trust) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		addr, ok := t.Addr(r)
		ctx := r.Context()
		decision.SetClient(ctx, addr) // or none, whatever an outer layer took for it
		pass.With(context.WithValue(ctx, contextKey{}, stored{addr, ok}), next, w, r)
	})
}

// FromRequest returns the address that [Trust.Handler] stored: false if there
// was none that could be believed. Without that Handler it is the TCP peer.
func FromRequest(r *http.Request) (netip.Addr, bool) {
	if s, ok := r.Context().Value(contextKey{}).(stored); ok {
		return s.addr, s.ok
	}
	return (*Trust)(nil).Addr(r)
}

// Addr returns the address of the client, without zone and with IPv4-mapped
// addresses unmapped.
func (t *Trust) Addr(r *http.Request) (netip.Addr, bool) {
	peer, ok := Peer(r)
	if !ok || !t.trusts(peer) {
		return peer, ok
	}
	lines := r.Header[t.header]
	if t.header != xForwardedFor {
		if len(lines) != 1 {
			return netip.Addr{}, false
		}
		return parseAddr(strings.Trim(lines[0], " \t"))
	}
	var addr netip.Addr
	for _, line := range slices.Backward(lines) {
		for more := true; more; {
			entry := line
			if i := strings.LastIndexByte(line, ','); i >= 0 {
				line, entry = line[:i], line[i+1:]
			} else {
				more = false
			}
			if addr, ok = parseAddr(strings.Trim(entry, " \t")); !ok {
				return netip.Addr{}, false
			}
			if !t.trusts(addr) {
				return addr, true
			}
		}
	}
	// All hops are ours: the leftmost is where it began.
	return addr, addr.IsValid()
}

// Scheme returns "http" or "https": what the client spoke. For a connection
// from a trusted proxy that is what X-Forwarded-Proto says, if it says one
// thing; false means that the proxy said nothing or something else, and that
// the connection itself was plain.
func (t *Trust) Scheme(r *http.Request) (string, bool) {
	if peer, ok := Peer(r); ok && t.trusts(peer) {
		if lines := r.Header["X-Forwarded-Proto"]; len(lines) == 1 {
			switch {
			case strings.EqualFold(lines[0], "https"):
				return "https", true
			case strings.EqualFold(lines[0], "http"):
				return "http", true
			}
			return "http", false
		} else if len(lines) > 1 || r.TLS == nil {
			return "http", false
		}
	}
	if r.TLS != nil {
		return "https", true
	}
	return "http", true
}

// Trusted reports whether the request's connection is from a proxy of ours.
func (t *Trust) Trusted(r *http.Request) bool {
	peer, ok := Peer(r)
	return ok && t.trusts(peer)
}

func (t *Trust) trusts(addr netip.Addr) bool {
	if t == nil {
		return false
	}
	for _, p := range t.proxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// Peer returns the address at the other end of the TCP connection.
func Peer(r *http.Request) (netip.Addr, bool) { return parseAddr(r.RemoteAddr) }

// Bucket returns the network that counts as one client: a single IPv4 address,
// but 64 bits of an IPv6 one, since every subscriber has that many addresses.
func Bucket(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // the zero Prefix for the zero Addr
	return p
}

// parseAddr accepts "192.0.2.1", "192.0.2.1:80", "2001:db8::1" and
// "[2001:db8::1]:80", with or without port.
func parseAddr(s string) (netip.Addr, bool) {
	if s == "" || len(s) > 64 {
		return netip.Addr{}, false
	}
	var addr netip.Addr
	var err error
	switch {
	case s[0] == '[' && s[len(s)-1] == ']':
		addr, err = netip.ParseAddr(s[1 : len(s)-1])
		if addr.Is4() {
			return netip.Addr{}, false
		}
	case s[0] == '[':
		var ap netip.AddrPort
		ap, err = netip.ParseAddrPort(s)
		addr = ap.Addr()
	default:
		// A port is looked at in passing, which netip takes longer for.
		host, port, ok := strings.Cut(s, ":")
		if ok && strings.IndexByte(port, ':') < 0 {
			if !isPort(port) {
				return netip.Addr{}, false
			}
			s = host
		}
		addr, err = netip.ParseAddr(s)
	}
	if err != nil {
		return netip.Addr{}, false
	}
	return addr.Unmap().WithZone(""), true
}

// isPort reports whether s is a port as netip.ParseAddrPort takes it.
func isPort(s string) bool {
	n := 0
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			return false
		}
		if n = 10*n + int(c-'0'); n > 1<<16-1 {
			return false
		}
	}
	return s != ""
}

package tlsredirect

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// hosts is the allow-list of names and addresses that a service answers for.
type hosts struct {
	exact    map[string]struct{}
	wildcard map[string]struct{} // "*.example.com" without its "*."
}

func newHosts(names []string) (*hosts, []error) {
	h := &hosts{exact: make(map[string]struct{}), wildcard: make(map[string]struct{})}
	var errs []error
	if len(names) == 0 {
		errs = append(errs, errors.New("tlsredirect: Hosts is empty, want the names and addresses of this service"))
	}
	for _, name := range names {
		set := h.exact
		host, wild := strings.CutPrefix(name, "*.")
		if wild {
			set = h.wildcard
		} else if addr, err := netip.ParseAddr(name); err == nil && addr.Is6() {
			host = "[" + name + "]" // an IPv6 address needs no brackets here
		}
		clean, port, ok := splitHost(host)
		switch {
		case !ok || port != "":
			errs = append(errs, fmt.Errorf("tlsredirect: Hosts has %q, want a host without scheme, port and path, such as api.example.com, *.example.com or 192.0.2.1", name))
		case wild && (isAddr(clean) || !strings.Contains(clean, ".") && clean != "localhost"):
			errs = append(errs, fmt.Errorf("tlsredirect: Hosts has %q, want a wildcard below a domain of your own", name))
		default:
			set[clean] = struct{}{}
		}
	}
	return h, errs
}

// allows reports whether the host, in the form that parseHost returns, is on
// the list. A wildcard stands for one label, as it does in certificates
// (RFC 9525 section 6.3).
func (h *hosts) allows(host string) bool {
	if _, ok := h.exact[host]; ok {
		return true
	}
	_, parent, _ := strings.Cut(host, ".")
	_, ok := h.wildcard[parent]
	return ok
}

// parseHost returns the host of a Host header in the one form in which hosts
// are compared and put into URLs: lower case, without port and trailing dot,
// an IPv6 address in brackets and in the form of RFC 5952.
func parseHost(s string) (string, bool) {
	host, _, ok := splitHost(s)
	return host, ok
}

// splitHost is strict: what no browser, no client and no certificate uses is
// refused rather than repaired, for the next one to look at it may repair it
// differently.
func splitHost(s string) (host, port string, ok bool) {
	host = s
	if strings.HasPrefix(s, "[") {
		i := strings.IndexByte(s, ']')
		if i < 0 {
			return "", "", false
		}
		host, port = s[:i+1], s[i+1:]
	} else if i := strings.IndexByte(s, ':'); i >= 0 {
		host, port = s[:i], s[i:]
	}
	if port != "" {
		n, err := strconv.ParseUint(port[1:], 10, 16)
		if err != nil || n == 0 || port[0] != ':' {
			return "", "", false
		}
	}
	if strings.HasPrefix(host, "[") {
		addr, err := netip.ParseAddr(host[1 : len(host)-1])
		if err != nil || !addr.Is6() || addr.Zone() != "" {
			return "", "", false
		}
		if addr.Is4In6() {
			return addr.Unmap().String(), port, true
		}
		return "[" + addr.String() + "]", port, true
	}
	host = strings.TrimSuffix(host, ".")
	if isName(host) {
		return strings.ToLower(host), port, true
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is4() {
		return host, port, true
	}
	return "", "", false
}

// isName reports whether s is a DNS name in ASCII. A last label that is a
// number makes it an IPv4 address for browsers, in forms such as 127.1 and
// 0x7f.1 (WHATWG URL section 3.5), and never a name.
func isName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if !isAlnum(c) && c != '-' && c != '_' {
				return false
			}
		}
	}
	last := strings.ToLower(s[strings.LastIndexByte(s, '.')+1:])
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") != ""
	}
	return strings.Trim(last, "0123456789") != ""
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func isAddr(host string) bool {
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}

// isLoopback reports whether the host, in the form that parseHost returns,
// never leaves the machine (RFC 6761 section 6.3).
func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.IsLoopback()
}

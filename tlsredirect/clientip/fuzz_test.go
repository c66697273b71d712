package clientip_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/tlsredirect/clientip"
)

// slowAddr says the same as Trust.Addr the long way: all lines joined and split,
// every entry looked at in order.
func slowAddr(lines []string, trusted func(netip.Addr) bool) (netip.Addr, bool) {
	if len(lines) == 0 {
		return netip.Addr{}, false
	}
	entries := strings.Split(strings.Join(lines, ","), ",")
	var addr netip.Addr
	for len(entries) > 0 {
		entry := strings.Trim(entries[len(entries)-1], " \t")
		entries = entries[:len(entries)-1]
		parsed, err := netip.ParseAddr(entry)
		if err != nil {
			var ap netip.AddrPort
			ap, err = netip.ParseAddrPort(entry)
			parsed = ap.Addr()
		}
		if inner, ok := strings.CutPrefix(entry, "["); err != nil && ok && strings.HasSuffix(inner, "]") {
			parsed, err = netip.ParseAddr(strings.TrimSuffix(inner, "]"))
			if parsed.Is4() {
				return netip.Addr{}, false
			}
		}
		if err != nil || len(entry) > 64 {
			return netip.Addr{}, false
		}
		if addr = parsed.Unmap().WithZone(""); !trusted(addr) {
			return addr, true
		}
	}
	return addr, true
}

func FuzzAddr(f *testing.F) {
	for _, lines := range [][2]string{
		{"203.0.113.9", ""},
		{"1.1.1.1, 203.0.113.9", "10.1.1.1"},
		{"10.1.1.1:80,[2001:db8::7]:443", "::ffff:10.0.0.1"},
		{"fe80::1%eth0", " 10.1.1.1\t"},
		{",,", ","},
		{"[10.1.1.1]", "["},
		{"", "unknown"},
	} {
		f.Add(lines[0], lines[1])
	}
	prefix := netip.MustParsePrefix("10.0.0.0/8")
	trust := newTrust(f, clientip.Config{Proxies: []string{prefix.String()}})
	f.Fuzz(func(t *testing.T, first, second string) {
		lines := []string{first, second}
		trusted := &http.Request{RemoteAddr: "10.0.0.1:1", Header: http.Header{"X-Forwarded-For": lines}}
		got, ok := trust.Addr(trusted)
		want, wantOK := slowAddr(lines, prefix.Contains)
		if got != want || ok != wantOK {
			t.Errorf("%q: %v, %v; want %v, %v", lines, got, ok, want, wantOK)
		}
		if ok != got.IsValid() || got.Zone() != "" || got.Is4In6() {
			t.Errorf("%q: %v, %v is not an address in its one form", lines, got, ok)
		}
		// From anybody else it is the peer.
		direct := &http.Request{RemoteAddr: "198.51.100.7:1", Header: trusted.Header}
		if got, _ := trust.Addr(direct); got != netip.MustParseAddr("198.51.100.7") {
			t.Errorf("%q from an untrusted peer: %v", lines, got)
		}
	})
}

// FuzzScheme: "https" is only ever what one line says, and only a proxy's.
func FuzzScheme(f *testing.F) {
	f.Add("https", "")
	f.Add("HTTP", "https")
	f.Add("https, http", "")
	f.Add(" https", "\x00")
	trust := newTrust(f, clientip.Config{Proxies: []string{"10.0.0.0/8"}})
	f.Fuzz(func(t *testing.T, first, second string) {
		for _, lines := range [][]string{{first}, {first, second}} {
			header := http.Header{"X-Forwarded-Proto": lines}
			got, ok := trust.Scheme(&http.Request{RemoteAddr: "10.0.0.1:1", Header: header})
			single := len(lines) == 1
			if want := single && strings.EqualFold(first, "https"); (got == "https") != want || want && !ok {
				t.Errorf("%q: %s, %v; want https %v", lines, got, ok, want)
			}
			if want := single && (strings.EqualFold(first, "https") || strings.EqualFold(first, "http")); ok != want {
				t.Errorf("%q: ok = %v, want %v", lines, ok, want)
			}
			if got, ok := trust.Scheme(&http.Request{RemoteAddr: "198.51.100.7:1", Header: header}); got != "http" || !ok {
				t.Errorf("%q from an untrusted peer: %s, %v", lines, got, ok)
			}
		}
	})
}

package outbound_test

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/internal/outbound"
)

// FuzzCheckURL: whatever is admitted is HTTPS to a public address or a name,
// and a request can be made for it.
func FuzzCheckURL(f *testing.F) {
	for _, s := range []string{
		"https://id.example.com/keys?a=b", "https://[::ffff:127.0.0.1]:443/", "https://user@id.example.com", "http://localhost",
		"https://[fe80::1%25eth0]/", "https://127.1/", "https://0x7f000001/", "https://id.example.com\\@evil.example/", "https://a#b",
	} {
		f.Add(s)
	}
	c := newClient(f, outbound.Config{})
	f.Fuzz(func(t *testing.T, raw string) {
		if c.CheckURL(raw) != nil {
			return
		}
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Fragment != "" || u.Hostname() == "" {
			t.Fatalf("admitted %q: %v", raw, err)
		}
		if strings.ContainsAny(u.Host, "@\\/%? \t") {
			t.Errorf("admitted the host %q", u.Host)
		}
		if a, err := netip.ParseAddr(u.Hostname()); err == nil && !public(a) {
			t.Errorf("admitted the address %v", a)
		}
		if _, err := http.NewRequest(http.MethodGet, raw, nil); err != nil {
			t.Errorf("admitted %q: %v", raw, err)
		}
	})
}

// public is what the standard library says.
func public(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsGlobalUnicast() && !a.IsPrivate() && a.Zone() == ""
}

// FuzzAddress: whatever is admitted is public to the standard library, in each
// of its forms.
func FuzzAddress(f *testing.F) {
	for _, tt := range addresses {
		b := netip.MustParseAddr(tt.addr).As16()
		f.Add(b[:])
	}
	c := newClient(f, outbound.Config{})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		admitted := c.Unreachable(a) == ""
		if admitted && !public(a) {
			t.Errorf("admitted %v", a)
		}
		if a = a.Unmap(); a.Is4() {
			four := a.As4()
			for _, prefix := range []string{"::ffff:0:0", "64:ff9b::"} {
				six := netip.MustParseAddr(prefix).As16()
				copy(six[12:], four[:])
				if got := c.Unreachable(netip.AddrFrom16(six)) == ""; got != admitted {
					t.Errorf("%v admitted = %t, want %t as %v", netip.AddrFrom16(six), got, admitted, a)
				}
			}
		}
	})
}

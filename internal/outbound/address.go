package outbound

import (
	"net"
	"net/netip"
	"strings"

	"github.com/gatehouse-go/gatehouse/internal/report"
)

// A network is one that no server of the public internet has its address in.
type network struct {
	prefix netip.Prefix
	what   string
}

// Of IPv4 everything is reachable but for these (IANA IPv4 Special-Purpose
// Address Registry).
var reserved4 = []network{ //nolint:gochecknoglobals // immutable
	{netip.MustParsePrefix("0.0.0.0/8"), "this network"}, // Linux takes 0.0.0.0 for loopback
	{netip.MustParsePrefix("10.0.0.0/8"), "private"},
	{netip.MustParsePrefix("100.64.0.0/10"), "shared (carrier-grade NAT)"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("168.63.129.16/32"), "a cloud's host"}, // Azure's, at a public address
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},       // where clouds keep their metadata
	{netip.MustParsePrefix("172.16.0.0/12"), "private"},
	{netip.MustParsePrefix("192.0.0.0/24"), "for protocols"},
	{netip.MustParsePrefix("192.0.2.0/24"), "for documentation"},
	{netip.MustParsePrefix("192.88.99.0/24"), "a 6to4 relay"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private"},
	{netip.MustParsePrefix("198.18.0.0/15"), "for benchmarks"},
	{netip.MustParsePrefix("198.51.100.0/24"), "for documentation"},
	{netip.MustParsePrefix("203.0.113.0/24"), "for documentation"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved or broadcast"},
}

// Of IPv6 nothing is reachable but what is global unicast, and of that not
// these, some of which lead on to an IPv4 address that would be hidden in them
// (IANA IPv6 Special-Purpose Address Registry).
var (
	global6   = netip.MustParsePrefix("2000::/3") //nolint:gochecknoglobals // immutable
	reserved6 = []network{                        //nolint:gochecknoglobals // immutable
		{netip.MustParsePrefix("2001::/23"), "for protocols (Teredo)"},
		{netip.MustParsePrefix("2001:db8::/32"), "for documentation"},
		{netip.MustParsePrefix("2002::/16"), "6to4"},
		{netip.MustParsePrefix("3fff::/20"), "for documentation"},
	}
	nat64     = netip.MustParsePrefix("64:ff9b::/96")  //nolint:gochecknoglobals // immutable
	loopback4 = netip.AddrFrom4([4]byte{127, 0, 0, 1}) //nolint:gochecknoglobals // immutable
)

// unreachable says what addr is if it must not be reached, "" if it may.
func (c *Client) unreachable(addr netip.Addr) string {
	addr = addr.WithZone("").Unmap()
	switch {
	case !addr.IsValid():
		return "no IP address"
	case c.allowed(addr):
		return ""
	case addr.Is4():
		return within(reserved4, addr)
	case nat64.Contains(addr): // RFC 6052: a gateway turns it into the IPv4 address at its end
		b := addr.As16()
		return c.unreachable(netip.AddrFrom4([4]byte(b[12:])))
	case addr.IsLoopback():
		return "loopback"
	case addr.IsLinkLocalUnicast():
		return "link-local"
	case addr.IsPrivate():
		return "private"
	case addr.IsMulticast():
		return "multicast"
	case !global6.Contains(addr):
		return "not global"
	}
	return within(reserved6, addr)
}

func within(networks []network, addr netip.Addr) string {
	for _, n := range networks {
		if n.prefix.Contains(addr) {
			return n.what
		}
	}
	return ""
}

func (c *Client) allowed(addr netip.Addr) bool {
	if c.loopback && addr.IsLoopback() {
		return true
	}
	for _, p := range c.allow {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// checkAddr refuses the address of a connection to host.
func (c *Client) checkAddr(host string, addr netip.Addr) error {
	if what := c.unreachable(addr); what != "" {
		return fail(ErrAddress, report.Causef("the host has the address %v, which is %s; AllowPrivate names those that may be reached", addr, what), nil)
	}
	// What is sent in clear to localhost must stay there.
	if isLoopback(host) && !addr.Unmap().IsLoopback() {
		return fail(ErrAddress, report.Causef("localhost has the address %v, which is not loopback", addr), nil)
	}
	return nil
}

// checkConn refuses a connection that somebody else's dialler made to address.
func (c *Client) checkConn(address string, conn net.Conn) error {
	remote := conn.RemoteAddr()
	if remote == nil {
		return fail(ErrAddress, "a connection without an address", nil)
	}
	ap, err := netip.ParseAddrPort(remote.String())
	if err != nil {
		return fail(ErrAddress, "a connection to what is no IP address", nil)
	}
	return c.checkAddr(hostOf(address), ap.Addr())
}

// isLoopback reports whether host is a name or a literal for this machine
// (RFC 6761 section 6.3).
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}

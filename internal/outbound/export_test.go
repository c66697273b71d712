package outbound

import (
	"context"
	"net"
	"net/http"
	"net/netip"
)

// Resolve makes c ask the DNS server that dial connects to.
func (c *Client) Resolve(dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	c.dialer.Resolver = &net.Resolver{PreferGo: true, Dial: dial}
}

// Transport is what c sends with.
func (c *Client) Transport() *http.Transport { return c.http.Transport.(*http.Transport) }

// Unreachable is what c says of addr.
func (c *Client) Unreachable(addr netip.Addr) string { return c.unreachable(addr) }

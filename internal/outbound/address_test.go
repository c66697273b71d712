//lint:file-ignore SA1019 users may still set Dial and DialTLS

package outbound_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gatehouse-go/gatehouse/internal/outbound"
)

// addresses are addresses and whether they may be reached.
var addresses = []struct {
	addr string
	want bool
}{
	// Loopback, and all ways to write it into IPv6.
	{"127.0.0.1", false},
	{"127.255.255.254", false},
	{"::1", false},
	{"::ffff:127.0.0.1", false},
	{"::ffff:0:127.0.0.1", false}, // IPv4-translated, RFC 2765
	{"::127.0.0.1", false},
	{"64:ff9b::127.0.0.1", false},
	{"64:ff9b:1::127.0.0.1", false},
	{"2002:7f00:1::", false},
	{"2002:7f00:1::1", false},
	{"2001:0:4136:e378:8000:63bf:80ff:fffe", false}, // Teredo, the client is 127.0.0.1
	{"2001:0:7f00:1::", false},                      // Teredo, the server is 127.0.0.1
	{"126.255.255.255", true},
	{"128.0.0.1", true},

	{"0.0.0.0", false},
	{"0.255.255.255", false},
	{"1.0.0.0", true},
	{"::", false},
	{"::ffff:0.0.0.0", false},
	{"64:ff9b::", false},

	{"10.0.0.0", false},
	{"10.255.255.255", false},
	{"9.255.255.255", true},
	{"11.0.0.0", true},
	{"172.16.0.0", false},
	{"172.31.255.255", false},
	{"172.15.255.255", true},
	{"172.32.0.0", true},
	{"192.168.0.0", false},
	{"192.168.255.255", false},
	{"192.167.255.255", true},
	{"192.169.0.0", true},
	{"fc00::1", false},
	{"fdff:ffff::1", false},
	{"fd00:ec2::254", false}, // EC2's metadata
	{"fec0::1", false},       // site-local
	{"::ffff:10.1.2.3", false},
	{"::10.1.2.3", false},
	{"64:ff9b::10.1.2.3", false},
	{"64:ff9b::192.168.1.1", false},
	{"64:ff9b:1::10.1.2.3", false},
	{"2002:a01:203::1", false},

	{"169.254.169.254", false},
	{"169.254.0.0", false},
	{"169.254.255.255", false},
	{"169.253.255.255", true},
	{"169.255.0.0", true},
	{"fe80::1", false},
	{"fe80::1%eth0", false},
	{"febf::1", false},
	{"::ffff:169.254.169.254", false},
	{"::169.254.169.254", false},
	{"64:ff9b::169.254.169.254", false},
	{"2002:a9fe:a9fe::", false},
	{"168.63.129.16", false},
	{"168.63.129.15", true},

	{"100.64.0.0", false},
	{"100.100.100.200", false}, // Alibaba's metadata
	{"100.127.255.255", false},
	{"100.63.255.255", true},
	{"100.128.0.0", true},
	{"192.0.0.0", false},
	{"192.0.0.192", false}, // Oracle's metadata
	{"192.0.0.255", false},
	{"192.0.1.0", true},
	{"198.18.0.0", false},
	{"198.19.255.255", false},
	{"198.17.255.255", true},
	{"198.20.0.0", true},
	{"192.88.99.1", false},

	{"192.0.2.1", false},
	{"198.51.100.1", false},
	{"203.0.113.1", false},
	{"2001:db8::1", false},
	{"3fff::1", false},
	{"3fff:1000::1", true},
	{"2001:2::1", false},
	{"2001:200::1", true},

	{"224.0.0.1", false},
	{"239.255.255.255", false},
	{"240.0.0.1", false},
	{"255.255.255.255", false},
	{"223.255.255.255", true},
	{"ff02::1", false},
	{"ff0e::1", false},
	{"100::1", false},
	{"5f00::1", false},
	{"4000::1", false},

	{"1.1.1.1", true},
	{"8.8.8.8", true},
	{"::ffff:8.8.8.8", true},
	{"64:ff9b::8.8.8.8", true},
	{"2606:4700:4700::1111", true},
	{"2a00:1450:4001:80b::200e", true},
}

// TestAddresses holds each address against both places where one is looked at:
// a literal in a URL, and a connection that was made.
func TestAddresses(t *testing.T) {
	t.Parallel()
	for _, tt := range addresses {
		t.Run(tt.addr, func(t *testing.T) {
			t.Parallel()
			remote := net.JoinHostPort(tt.addr, "443")
			w := newWire(address(remote))
			c := newClient(t, outbound.Config{Client: dialing(w)})
			if got := c.CheckURL("https://"+strings.ReplaceAll(remote, "%", "%25")) == nil; got != tt.want {
				t.Errorf("URL admitted = %t, want %t", got, tt.want)
			}
			_, err := c.Get(t.Context(), "https://id.example.com/keys", nil)
			if got := !errors.Is(err, outbound.ErrAddress); got != tt.want {
				t.Errorf("connection admitted = %t, want %t: %v", got, tt.want, err)
			}
			sent, closed := w.state()
			if got := sent > 0; got != tt.want {
				t.Errorf("%d bytes were sent, want some: %t", sent, tt.want)
			}
			if !closed {
				t.Error("the connection was left open")
			}
		})
	}
}

// TestNoAddress refuses connections of which nobody knows where they lead.
func TestNoAddress(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		addr net.Addr
	}{
		{"none", nil},
		{"pipe", address("pipe")},
		{"Unix socket", &net.UnixAddr{Name: "/run/keys.sock", Net: "unix"}},
		{"name", address("id.example.com:443")},
		{"no port", address("1.1.1.1")},
		{"empty", address("")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWire(tt.addr)
			c := newClient(t, outbound.Config{Client: dialing(w)})
			if _, err := c.Get(t.Context(), "https://id.example.com", nil); !errors.Is(err, outbound.ErrAddress) {
				t.Errorf("error = %v, want ErrAddress", err)
			}
			if sent, closed := w.state(); sent > 0 || !closed {
				t.Errorf("%d bytes were sent, closed = %t", sent, closed)
			}
		})
	}
	c := newClient(t, outbound.Config{Client: dialing(nil)})
	if _, err := c.Get(t.Context(), "https://id.example.com", nil); !errors.Is(err, outbound.ErrAddress) {
		t.Errorf("no connection: error = %v, want ErrAddress", err)
	}
}

func TestAllow(t *testing.T) {
	t.Parallel()
	private := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/32"), netip.MustParsePrefix("64:ff9b:1::/48")}
	for _, tt := range []struct {
		name string
		cfg  outbound.Config
		addr string
		want bool
	}{
		{"in the network", outbound.Config{AllowPrivate: private}, "10.1.2.3", true},
		{"mapped into IPv6", outbound.Config{AllowPrivate: private}, "::ffff:10.1.2.3", true},
		{"through NAT64", outbound.Config{AllowPrivate: private}, "64:ff9b::10.1.2.3", true},
		{"through the network's own NAT64", outbound.Config{AllowPrivate: private}, "64:ff9b:1::10.1.2.3", true},
		{"6to4 is not unpacked", outbound.Config{AllowPrivate: private}, "2002:a01:203::1", false},
		{"IPv6", outbound.Config{AllowPrivate: private}, "fd00:1::1", true},
		{"link-local, with its zone", outbound.Config{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("fe80::/64")}}, "fe80::1%eth0", true},
		{"beside the network", outbound.Config{AllowPrivate: private}, "10.2.0.1", false},
		{"beside the IPv6 network", outbound.Config{AllowPrivate: private}, "fd00:2::1", false},
		{"loopback is not private", outbound.Config{AllowPrivate: private}, "127.0.0.1", false},
		{"loopback", outbound.Config{InsecureAllowLoopback: true}, "127.0.0.2", true},
		{"loopback, mapped", outbound.Config{InsecureAllowLoopback: true}, "::ffff:127.0.0.1", true},
		{"loopback, IPv6", outbound.Config{InsecureAllowLoopback: true}, "::1", true},
		{"loopback alone", outbound.Config{InsecureAllowLoopback: true}, "10.1.2.3", false},
		{"loopback is not 0.0.0.0", outbound.Config{InsecureAllowLoopback: true}, "0.0.0.0", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, tt.cfg)
			what := c.Unreachable(netip.MustParseAddr(tt.addr))
			if got := what == ""; got != tt.want {
				t.Errorf("admitted = %t, want %t: %q", got, tt.want, what)
			}
		})
	}
}

// TestRebinding has a name whose address changes between two requests, and one
// with several addresses: each connection is held against the networks.
func TestRebinding(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		hits.Add(1)
		w.Header().Set("Connection", "close")
	})
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	var names dns
	// Plain HTTP is for loopback hosts alone, so what is looked at is whether
	// the TLS handshake was begun.
	reached := func(c *outbound.Client) error {
		_, err := c.Get(t.Context(), "https://rebind.test:"+port, nil)
		return err
	}
	c := newClient(t, outbound.Config{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	c.Resolve(names.dial)

	if err := reached(c); err == nil || errors.Is(err, outbound.ErrAddress) {
		t.Errorf("unknown name: error = %v, want another than ErrAddress", err)
	}
	names.set("127.0.0.1")
	if err := reached(c); err == nil || errors.Is(err, outbound.ErrAddress) {
		t.Errorf("allowed address: error = %v, want another than ErrAddress", err)
	}
	names.set("127.0.0.2")
	if err := reached(c); !errors.Is(err, outbound.ErrAddress) {
		t.Errorf("after rebinding: error = %v, want ErrAddress", err)
	}
	for _, addrs := range [][]string{{"10.0.0.1"}, {"169.254.169.254"}, {"::1"}, {"::ffff:127.0.0.2"}, {"fd00::1"}, {"10.0.0.1", "192.168.0.1"}} {
		names.set(addrs...)
		if err := reached(c); !errors.Is(err, outbound.ErrAddress) {
			t.Errorf("%v: error = %v, want ErrAddress", addrs, err)
		}
	}
	names.set("10.0.0.1", "127.0.0.1") // the second may be reached
	if err := reached(c); err == nil || errors.Is(err, outbound.ErrAddress) {
		t.Errorf("one address of two: error = %v, want another than ErrAddress", err)
	}
	strict := newClient(t, outbound.Config{})
	strict.Resolve(names.dial)
	names.set("127.0.0.1")
	if err := reached(strict); !errors.Is(err, outbound.ErrAddress) {
		t.Errorf("strict: error = %v, want ErrAddress", err)
	}
	if hits.Load() > 0 {
		t.Errorf("%d requests arrived in clear", hits.Load())
	}
}

// TestLocalhostStaysHere: what is sent in clear to localhost must not leave the
// machine, whatever the name leads to.
func TestLocalhostStaysHere(t *testing.T) {
	t.Parallel()
	w := newWire(address("1.1.1.1:80"))
	c := newClient(t, outbound.Config{Client: dialing(w), InsecureAllowLoopback: true})
	for _, url := range []string{"http://localhost", "http://127.0.0.1", "http://[::1]", "https://LOCALHOST"} {
		if _, err := c.Get(t.Context(), url, nil); !errors.Is(err, outbound.ErrAddress) {
			t.Errorf("%s: error = %v, want ErrAddress", url, err)
		}
	}
	if sent, _ := w.state(); sent > 0 {
		t.Errorf("%d bytes were sent", sent)
	}
}

// TestEveryDialler: a Transport may bring its own in four ways.
func TestEveryDialler(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		transport func(conn net.Conn) *http.Transport
	}{
		{"DialContext", func(conn net.Conn) *http.Transport {
			return &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}
		}},
		{"Dial", func(conn net.Conn) *http.Transport {
			return &http.Transport{Dial: func(string, string) (net.Conn, error) { return conn, nil }} //nolint:staticcheck // still there
		}},
		{"DialTLSContext", func(conn net.Conn) *http.Transport {
			return &http.Transport{DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}
		}},
		{"DialTLS", func(conn net.Conn) *http.Transport {
			return &http.Transport{DialTLS: func(string, string) (net.Conn, error) { return conn, nil }} //nolint:staticcheck // still there
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for addr, want := range map[string]bool{"10.0.0.1:443": false, "1.1.1.1:443": true} {
				w := newWire(address(addr))
				c := newClient(t, outbound.Config{Client: &http.Client{Transport: tt.transport(w)}})
				_, err := c.Get(t.Context(), "https://id.example.com", nil)
				if got := !errors.Is(err, outbound.ErrAddress); got != want {
					t.Errorf("%s admitted = %t, want %t: %v", addr, got, want, err)
				}
				if sent, _ := w.state(); (sent > 0) != want {
					t.Errorf("%s: %d bytes were sent", addr, sent)
				}
			}
		})
	}
}

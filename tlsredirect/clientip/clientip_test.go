package clientip_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/tlsredirect/clientip"
)

func newTrust(tb testing.TB, cfg clientip.Config) *clientip.Trust {
	tb.Helper()
	trust, err := clientip.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return trust
}

// from is a request from peer with the header lines "Name: value".
func from(peer string, lines ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = peer
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	return r
}

// text is the address, "none" for none.
func text(addr netip.Addr, ok bool) string {
	if !ok {
		return "none"
	}
	return addr.String()
}

func TestAddr(t *testing.T) {
	t.Parallel()
	proxies := clientip.Config{Proxies: []string{"10.0.0.0/8", "192.168.1.1", "2001:db8:ffff::/48"}}
	const proxy, client = "10.0.0.1:40000", "198.51.100.7:50000"
	for _, tt := range []struct {
		name string
		r    *http.Request
		want string
	}{
		// Reached directly: nothing that a client sends counts.
		{"direct", from(client), "198.51.100.7"},
		{"direct, IPv6", from("[2001:db8::7]:50000"), "2001:db8::7"},
		{"direct with a forged address", from(client, "X-Forwarded-For: 203.0.113.9"), "198.51.100.7"},
		{"direct with a forged trusted hop", from(client, "X-Forwarded-For: 203.0.113.9, 10.0.0.1"), "198.51.100.7"},
		{"direct with every other header", from(client, "X-Real-Ip: 203.0.113.9", "True-Client-Ip: 203.0.113.9", "Forwarded: for=203.0.113.9", "Cf-Connecting-Ip: 203.0.113.9"), "198.51.100.7"},
		{"mapped peer", from("[::ffff:198.51.100.7]:50000"), "198.51.100.7"},
		{"peer with a zone", from("[fe80::1%eth0]:50000"), "fe80::1"},
		{"peer without port", from("198.51.100.7"), "198.51.100.7"},
		{"no peer", from(""), "none"},
		{"unix socket", from("@"), "none"},
		{"pipe", from("pipe"), "none"},

		// Behind one proxy.
		{"one hop", from(proxy, "X-Forwarded-For: 203.0.113.9"), "203.0.113.9"},
		{"single proxy address", from("192.168.1.1:1", "X-Forwarded-For: 203.0.113.9"), "203.0.113.9"},
		{"neighbour of the single address", from("192.168.1.2:1", "X-Forwarded-For: 203.0.113.9"), "192.168.1.2"},
		{"IPv6 proxy", from("[2001:db8:ffff::1]:1", "X-Forwarded-For: 203.0.113.9"), "203.0.113.9"},
		{"mapped proxy", from("[::ffff:10.0.0.1]:1", "X-Forwarded-For: 203.0.113.9"), "203.0.113.9"},
		{"spoofed prefix", from(proxy, "X-Forwarded-For: 127.0.0.1, 203.0.113.9"), "203.0.113.9"},
		{"spoofed prefix of garbage", from(proxy, "X-Forwarded-For: <script>,,unknown, 203.0.113.9"), "203.0.113.9"},
		{"spoofed first line", from(proxy, "X-Forwarded-For: 127.0.0.1", "X-Forwarded-For: 203.0.113.9"), "203.0.113.9"},
		{"no space", from(proxy, "X-Forwarded-For: 127.0.0.1,203.0.113.9"), "203.0.113.9"},
		{"tabs and spaces", from(proxy, "X-Forwarded-For: 127.0.0.1,\t 203.0.113.9 \t"), "203.0.113.9"},
		{"lower-case line", from(proxy, "x-forwarded-for: 203.0.113.9"), "203.0.113.9"},

		// Behind several.
		{"two hops", from(proxy, "X-Forwarded-For: 203.0.113.9, 10.1.1.1"), "203.0.113.9"},
		{"two hops in two lines", from(proxy, "X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: 10.1.1.1"), "203.0.113.9"},
		{"two hops, spoofed", from(proxy, "X-Forwarded-For: 1.1.1.1, 203.0.113.9, 10.1.1.1"), "203.0.113.9"},
		{"mapped hop", from(proxy, "X-Forwarded-For: 203.0.113.9, ::ffff:10.1.1.1"), "203.0.113.9"},
		{"mapped client", from(proxy, "X-Forwarded-For: ::ffff:203.0.113.9"), "203.0.113.9"},
		{"all hops are ours", from(proxy, "X-Forwarded-For: 10.3.3.3, 10.2.2.2, 10.1.1.1"), "10.3.3.3"},
		{"all hops are ours in lines", from(proxy, "X-Forwarded-For: 10.3.3.3, 10.2.2.2", "X-Forwarded-For: 10.1.1.1"), "10.3.3.3"},

		// Forms of addresses.
		{"port", from(proxy, "X-Forwarded-For: 203.0.113.9:1234"), "203.0.113.9"},
		{"IPv6", from(proxy, "X-Forwarded-For: 2001:db8::7"), "2001:db8::7"},
		{"IPv6 in brackets", from(proxy, "X-Forwarded-For: [2001:db8::7]"), "2001:db8::7"},
		{"IPv6 with port", from(proxy, "X-Forwarded-For: [2001:db8::7]:1234"), "2001:db8::7"},
		{"IPv6 in another form", from(proxy, "X-Forwarded-For: 2001:0DB8:0:0::0007"), "2001:db8::7"},
		{"zone", from(proxy, "X-Forwarded-For: fe80::1%eth0"), "fe80::1"},

		// Garbage where the client's address should be: none, and never the
		// proxy's, nor what stands further left.
		{"no header", from(proxy), "none"},
		{"only another header", from(proxy, "X-Real-Ip: 203.0.113.9", "Forwarded: for=203.0.113.9"), "none"},
		{"underscores", from(proxy, "X_Forwarded_For: 203.0.113.9"), "none"},
		{"empty header", from(proxy, "X-Forwarded-For: "), "none"},
		{"empty last line", from(proxy, "X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: "), "none"},
		{"empty middle line", from(proxy, "X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: ", "X-Forwarded-For: 10.1.1.1"), "none"},
		{"empty first line", from(proxy, "X-Forwarded-For: ", "X-Forwarded-For: 10.1.1.1"), "none"},
		{"empty last entry", from(proxy, "X-Forwarded-For: 203.0.113.9,"), "none"},
		{"empty first entry", from(proxy, "X-Forwarded-For: ,10.1.1.1"), "none"},
		{"only commas", from(proxy, "X-Forwarded-For: ,,"), "none"},
		{"garbage in the middle", from(proxy, "X-Forwarded-For: 203.0.113.9, garbage, 10.1.1.1"), "none"},
		{"unknown", from(proxy, "X-Forwarded-For: unknown"), "none"},
		{"obfuscated", from(proxy, "X-Forwarded-For: _hidden"), "none"},
		{"a name", from(proxy, "X-Forwarded-For: client.example.com"), "none"},
		{"leading zeros", from(proxy, "X-Forwarded-For: 203.0.113.009"), "none"},
		{"three numbers", from(proxy, "X-Forwarded-For: 203.0.113"), "none"},
		{"a number", from(proxy, "X-Forwarded-For: 3405803785"), "none"},
		{"IPv4 in brackets", from(proxy, "X-Forwarded-For: [203.0.113.9]"), "none"},
		{"IPv4 in brackets with port", from(proxy, "X-Forwarded-For: [203.0.113.9]:80"), "none"},
		{"bad port", from(proxy, "X-Forwarded-For: 203.0.113.9:http"), "none"},
		{"huge port", from(proxy, "X-Forwarded-For: 203.0.113.9:65536"), "none"},
		{"half a bracket", from(proxy, "X-Forwarded-For: [2001:db8::7"), "none"},
		{"one bracket", from(proxy, "X-Forwarded-For: ["), "none"},
		{"quotes", from(proxy, `X-Forwarded-For: "203.0.113.9"`), "none"},
		{"too long", from(proxy, "X-Forwarded-For: fe80::1%"+strings.Repeat("x", 64)), "none"},
		{"prefix", from(proxy, "X-Forwarded-For: 203.0.113.0/24"), "none"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			trust := newTrust(t, proxies)
			remote := tt.r.RemoteAddr
			if got := text(trust.Addr(tt.r)); got != tt.want {
				t.Errorf("Addr = %s, want %s", got, tt.want)
			}
			var got string
			trust.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				got = text(clientip.FromRequest(r))
				if r.RemoteAddr != remote {
					t.Errorf("RemoteAddr = %s, want it untouched", r.RemoteAddr)
				}
			})).ServeHTTP(httptest.NewRecorder(), tt.r)
			if got != tt.want {
				t.Errorf("FromRequest = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestSingleAddressHeader(t *testing.T) {
	t.Parallel()
	trust := newTrust(t, clientip.Config{Proxies: []string{"10.0.0.0/8"}, Header: "cf-connecting-ip"})
	const proxy = "10.0.0.1:1"
	for _, tt := range []struct {
		name string
		r    *http.Request
		want string
	}{
		{"set", from(proxy, "CF-Connecting-IP: 203.0.113.9"), "203.0.113.9"},
		{"beside X-Forwarded-For", from(proxy, "CF-Connecting-IP: 203.0.113.9", "X-Forwarded-For: 1.1.1.1"), "203.0.113.9"},
		{"missing, as after Connection: cf-connecting-ip", from(proxy, "X-Forwarded-For: 1.1.1.1"), "none"},
		{"twice", from(proxy, "CF-Connecting-IP: 203.0.113.9", "CF-Connecting-IP: 203.0.113.9"), "none"},
		{"a list", from(proxy, "CF-Connecting-IP: 1.1.1.1, 203.0.113.9"), "none"},
		{"garbage", from(proxy, "CF-Connecting-IP: x"), "none"},
		{"forged", from("198.51.100.7:1", "CF-Connecting-IP: 203.0.113.9"), "198.51.100.7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := text(trust.Addr(tt.r)); got != tt.want {
				t.Errorf("Addr = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestScheme(t *testing.T) {
	t.Parallel()
	const proxy, client = "10.0.0.1:1", "198.51.100.7:1"
	overTLS := func(r *http.Request) *http.Request {
		r.TLS = &tls.ConnectionState{}
		return r
	}
	absolute := from(client)
	absolute.URL.Scheme = "https"
	for _, tt := range []struct {
		name string
		r    *http.Request
		want string
		ok   bool
	}{
		{"plain", from(client), "http", true},
		{"TLS", overTLS(from(client)), "https", true},
		{"the target says https", absolute, "http", true},
		{"spoofed", from(client, "X-Forwarded-Proto: https"), "http", true},
		{"spoofed over TLS", overTLS(from(client, "X-Forwarded-Proto: http")), "https", true},
		{"no peer", from("", "X-Forwarded-Proto: https"), "http", true},

		{"proxy says https", from(proxy, "X-Forwarded-Proto: https"), "https", true},
		{"proxy says HTTPS", from(proxy, "X-Forwarded-Proto: HTTPS"), "https", true},
		{"proxy says http", from(proxy, "X-Forwarded-Proto: http"), "http", true},
		{"proxy says http over TLS", overTLS(from(proxy, "X-Forwarded-Proto: http")), "http", true},
		{"proxy says nothing", from(proxy), "http", false},
		{"proxy says nothing over TLS", overTLS(from(proxy)), "https", true},
		{"proxy says nothing readable", from(proxy, "X-Forwarded-Proto: "), "http", false},
		{"proxy says wss", from(proxy, "X-Forwarded-Proto: wss"), "http", false},
		{"proxy says something else over TLS", overTLS(from(proxy, "X-Forwarded-Proto: x")), "http", false},
		{"list", from(proxy, "X-Forwarded-Proto: https, http"), "http", false},
		{"list of one kind", from(proxy, "X-Forwarded-Proto: https,https"), "http", false},
		{"two lines", from(proxy, "X-Forwarded-Proto: https", "X-Forwarded-Proto: https"), "http", false},
		{"two lines over TLS", overTLS(from(proxy, "X-Forwarded-Proto: https", "X-Forwarded-Proto: http")), "http", false},
		{"another header", from(proxy, "X-Forwarded-Ssl: on", "X-Url-Scheme: https", "Forwarded: proto=https", "X_Forwarded_Proto: https"), "http", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			trust := newTrust(t, clientip.Config{Proxies: []string{"10.0.0.0/8"}})
			if got, ok := trust.Scheme(tt.r); got != tt.want || ok != tt.ok {
				t.Errorf("Scheme = %s, %v; want %s, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}

// TestNil: a nil Trust, and the zero Config, trust nobody.
func TestNil(t *testing.T) {
	t.Parallel()
	for name, trust := range map[string]*clientip.Trust{"nil": nil, "zero Config": newTrust(t, clientip.Config{})} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := from("127.0.0.1:1", "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https")
			if got := text(trust.Addr(r)); got != "127.0.0.1" {
				t.Errorf("Addr = %s, want the peer", got)
			}
			if got, ok := trust.Scheme(r); got != "http" || !ok {
				t.Errorf("Scheme = %s, %v; want http", got, ok)
			}
			if trust.Trusted(r) {
				t.Error("it trusts the peer")
			}
			called := false
			trust.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				called = text(clientip.FromRequest(r)) == "127.0.0.1"
			})).ServeHTTP(httptest.NewRecorder(), r)
			if !called {
				t.Error("Handler did not hand on the peer's address")
			}
		})
	}
}

var _ func(http.Handler) http.Handler = (*clientip.Trust)(nil).Handler

func TestHandler(t *testing.T) {
	t.Parallel()
	trust := newTrust(t, clientip.Config{Proxies: []string{"10.0.0.0/8"}})
	for _, tt := range []struct{ name, header, want string }{
		{"address", "X-Forwarded-For: 203.0.113.9", "203.0.113.9"},
		{"garbage", "X-Forwarded-For: x", "invalid IP"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			mux := http.NewServeMux()
			mux.HandleFunc("GET /{$}", func(http.ResponseWriter, *http.Request) {})
			record := decision.NewRecord("id")
			r := from("10.0.0.1:1", tt.header)
			r = r.WithContext(decision.NewContext(r.Context(), record))
			trust.Handler(mux).ServeHTTP(httptest.NewRecorder(), r)
			if got := record.Seal().Client.String(); got != tt.want {
				t.Errorf("the record's client = %s, want %s", got, tt.want)
			}
			if r.Pattern != "GET /{$}" {
				t.Errorf("Pattern = %q, want the inner mux's", r.Pattern)
			}
		})
	}
}

// TestFromRequestWithoutHandler is the TCP peer, whatever the headers say.
func TestFromRequestWithoutHandler(t *testing.T) {
	t.Parallel()
	r := from("10.0.0.1:1", "X-Forwarded-For: 203.0.113.9")
	if got := text(clientip.FromRequest(r)); got != "10.0.0.1" {
		t.Errorf("FromRequest = %s, want the peer", got)
	}
}

func TestNewMistakes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		cfg  clientip.Config
		want string
	}{
		{"a name", clientip.Config{Proxies: []string{"proxy.example.com"}}, `clientip: Proxies has "proxy.example.com", want an address or a CIDR prefix`},
		{"empty", clientip.Config{Proxies: []string{""}}, `clientip: Proxies has "", want an address or a CIDR prefix`},
		{"host bits", clientip.Config{Proxies: []string{"10.0.0.1/8"}}, `clientip: Proxies has "10.0.0.1/8", want 10.0.0.0/8, the prefix without host bits`},
		{"everybody", clientip.Config{Proxies: []string{"0.0.0.0/0"}}, `clientip: Proxies has "0.0.0.0/0", want the proxies' own addresses, not everybody's`},
		{"everybody, IPv6", clientip.Config{Proxies: []string{"::/0"}}, `clientip: Proxies has "::/0", want the proxies' own addresses, not everybody's`},
		{"everybody, mapped", clientip.Config{Proxies: []string{"::ffff:0.0.0.0/96"}}, `clientip: Proxies has "::ffff:0.0.0.0/96", want the proxies' own addresses, not everybody's`},
		{"a wide mapped prefix", clientip.Config{Proxies: []string{"::ffff:0.0.0.0/90"}}, `clientip: Proxies has "::ffff:0.0.0.0/90", want an IPv4 prefix in IPv4 notation`},
		{"zone", clientip.Config{Proxies: []string{"fe80::1%eth0"}}, `clientip: Proxies has "fe80::1%eth0", want an address without a zone`},
		{"Header without Proxies", clientip.Config{Header: "X-Real-Ip"}, `clientip: Header is set without Proxies, want the addresses that may send it`},
		{"Header is no name", clientip.Config{Proxies: []string{"10.0.0.0/8"}, Header: "X-Real-IP, X-Forwarded-For"}, `clientip: Header is "X-Real-IP, X-Forwarded-For", want the name of a header`},
		{"Forwarded", clientip.Config{Proxies: []string{"10.0.0.0/8"}, Header: "forwarded"}, `clientip: Header is Forwarded, want X-Forwarded-For or a header with a single address`},
		{"all at once", clientip.Config{Proxies: []string{"a", "10.0.0.1/8"}, Header: "Forwarded"}, `clientip: Proxies has "a", want an address or a CIDR prefix
clientip: Proxies has "10.0.0.1/8", want 10.0.0.0/8, the prefix without host bits
clientip: Header is Forwarded, want X-Forwarded-For or a header with a single address`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			trust, err := clientip.New(tt.cfg)
			if trust != nil || err == nil || err.Error() != tt.want {
				t.Errorf("New = %v, %v\nwant %s", trust, err, tt.want)
			}
		})
	}
}

// TestMappedPrefix: an IPv4 prefix means the same in IPv6 notation.
func TestMappedPrefix(t *testing.T) {
	t.Parallel()
	trust := newTrust(t, clientip.Config{Proxies: []string{"::ffff:10.0.0.0/104", "::ffff:192.0.2.1"}})
	for peer, want := range map[string]bool{"10.9.9.9:1": true, "[::ffff:10.9.9.9]:1": true, "192.0.2.1:1": true, "11.0.0.1:1": false, "[::1]:1": false} {
		if got := trust.Trusted(from(peer)); got != want {
			t.Errorf("Trusted(%s) = %v, want %v", peer, got, want)
		}
	}
}

func TestBucket(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"192.0.2.1":                "192.0.2.1/32",
		"::ffff:192.0.2.1":         "192.0.2.1/32",
		"2001:db8:1:2:3:4:5:6":     "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::":      "2001:db8:1:2::/64",
		"fe80::1%eth0":             "fe80::/64",
		"::ffff:0:0":               "0.0.0.0/32",
		"2001:db8:1:3::":           "2001:db8:1:3::/64",
		"::":                       "::/64",
		"255.255.255.255":          "255.255.255.255/32",
		"2001:db8:1:2:3:4:5:6%lo0": "2001:db8:1:2::/64",
	} {
		if got := clientip.Bucket(netip.MustParseAddr(addr)).String(); got != want {
			t.Errorf("Bucket(%s) = %s, want %s", addr, got, want)
		}
	}
	if got := clientip.Bucket(netip.Addr{}); got.IsValid() {
		t.Errorf("Bucket of no address = %v, want an invalid prefix", got)
	}
}

func TestAddrAllocatesNothing(t *testing.T) {
	trust := newTrust(t, clientip.Config{Proxies: []string{"10.0.0.0/8", "192.168.0.0/16", "2001:db8:ffff::/48", "172.16.0.0/12"}})
	r := from("10.0.0.1:1", "X-Forwarded-For: 1.1.1.1, 2001:db8::7", "X-Forwarded-For: 10.2.2.2, 10.1.1.1", "X-Forwarded-Proto: https")
	if got := testing.AllocsPerRun(100, func() {
		trust.Addr(r)
		trust.Scheme(r)
		clientip.FromRequest(r)
	}); got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}

package ratelimit_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/auth/principal"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/tlsredirect/clientip"
)

// Faults: one shared key for all that have no address, a bucket for each of
// the 2^64 addresses of an IPv6 client, one bucket for all mapped addresses.
func TestByAddr(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, remote, want string // "" is an error
	}{
		{"IPv4", "192.0.2.1:1000", "addr:192.0.2.1/32"},
		{"mapped", "[::ffff:192.0.2.1]:1000", "addr:192.0.2.1/32"},
		{"mapped in hexadecimal", "[::ffff:c000:201]:1000", "addr:192.0.2.1/32"},
		{"another mapped", "[::ffff:192.0.2.2]:1000", "addr:192.0.2.2/32"},
		{"IPv6", "[2001:db8:0:1::1]:1000", "addr:2001:db8:0:1::/64"},
		{"same network", "[2001:db8:0:1:ffff::2]:1000", "addr:2001:db8:0:1::/64"},
		{"next network", "[2001:db8:0:2::1]:1000", "addr:2001:db8:0:2::/64"},
		{"zone", "[fe80::1%eth0]:80", "addr:fe80::/64"},
		{"without port", "192.0.2.1", "addr:192.0.2.1/32"},
		{"none", "", ""},
		{"Unix socket", "@", ""},
		{"garbage", "<nil>", ""},
		{"name", "localhost:80", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			key, err := ratelimit.ByAddr()(from(tt.remote))
			if key != tt.want || (err != nil) != (tt.want == "") {
				t.Errorf("ByAddr(%q) = %q, %v; want %q", tt.remote, key, err, tt.want)
			}
			if tt.want == "" && !errors.Is(err, ratelimit.ErrNoKey) {
				t.Errorf("errors.Is(%v, ErrNoKey) = false", err)
			}
		})
	}
}

func TestRequestsWithoutAddressAreRefused(t *testing.T) {
	t.Parallel()
	var seen decisions
	h := mustNew(t, ratelimit.Config{Limits: []string{"5-M"}, OnDecision: seen.add}).Handler(ok)
	w := serve(h, from("@"))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("status = %d, Cache-Control = %q; want 503, no-store", w.Code, w.Header().Get("Cache-Control"))
	}
	if d := seen.last(t); d.Reason != ratelimit.ReasonKey || d.Status != 503 || d.Detail != "no client address" {
		t.Errorf("decision = %+v", d)
	}
}

// Fault: the leftmost X-Forwarded-For entry is whatever the client likes.
func TestForwardingHeadersAreBelievedOfTrustedProxiesOnly(t *testing.T) {
	t.Parallel()
	trust, err := clientip.New(clientip.Config{Proxies: []string{"10.0.0.0/8"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, remote string
		forwarded    []string
		want         int
	}{
		{"spoofed by a stranger", "192.0.2.1:1", []string{"6.6.6.6"}, 429},
		{"spoofed to the left", "10.0.0.7:1", []string{"6.6.6.6, 192.0.2.1"}, 429},
		{"spoofed in a line before", "10.0.0.7:1", []string{"6.6.6.6", "192.0.2.1"}, 429},
		{"mapped", "10.0.0.7:1", []string{"::ffff:192.0.2.1"}, 429},
		{"two proxies", "10.0.0.7:1", []string{"192.0.2.1, 10.1.1.1"}, 429},
		{"garbage to the right", "10.0.0.7:1", []string{"192.0.2.1, x"}, 503},
		{"no header", "10.0.0.7:1", nil, 503},
		{"another client", "10.0.0.7:1", []string{"192.0.2.9"}, 204},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := trust.Handler(mustNew(t, ratelimit.Config{Limits: []string{"1-D"}}).Handler(ok))
			if w := serve(h, from("192.0.2.1:1")); w.Code != http.StatusNoContent {
				t.Fatalf("first request: status = %d", w.Code)
			}
			r := from(tt.remote)
			r.Header["X-Forwarded-For"] = tt.forwarded
			if got := serve(h, r).Code; got != tt.want {
				t.Errorf("status = %d, want %d", got, tt.want)
			}
		})
	}
}

func as(p *principal.Principal) *http.Request {
	r := from("192.0.2.1:1")
	return r.WithContext(principal.NewContext(r.Context(), p))
}

func TestKeysOfPrincipals(t *testing.T) {
	t.Parallel()
	user := &principal.Principal{Issuer: "https://a", Subject: "u", ClientID: "app", Tenant: "t"}
	for _, tt := range []struct {
		name string
		key  ratelimit.KeyFunc
		p    *principal.Principal
		want string // "" is an error
	}{
		{"principal", ratelimit.ByPrincipal(), user, "principal:9:https://au"},
		{"client", ratelimit.ByClient(), user, "client:9:https://aapp"},
		{"tenant", ratelimit.ByTenant(), user, "tenant:9:https://at"},
		{"a client is its own", ratelimit.ByClient(), &principal.Principal{Issuer: "i", Subject: "svc", Kind: principal.Client}, "client:1:isvc"},
		{"no client", ratelimit.ByClient(), &principal.Principal{Issuer: "i", Subject: "u"}, ""},
		{"no tenant", ratelimit.ByTenant(), &principal.Principal{Issuer: "i", Subject: "u"}, ""},
		{"no subject", ratelimit.ByPrincipal(), &principal.Principal{Issuer: "i"}, ""},
		{"nobody", ratelimit.ByPrincipal(), nil, ""},
		{"nobody's client", ratelimit.ByClient(), nil, ""},
		{"nobody's tenant", ratelimit.ByTenant(), nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			key, err := tt.key(as(tt.p))
			if key != tt.want || (err != nil) != (tt.want == "") {
				t.Fatalf("key = %q, %v; want %q", key, err, tt.want)
			}
			want := http.StatusNoContent
			if tt.want == "" {
				want = http.StatusServiceUnavailable
			}
			h := mustNew(t, ratelimit.Config{Limits: []string{"5-M"}, Key: tt.key}).Handler(ok)
			if got := serve(h, as(tt.p)).Code; got != want {
				t.Errorf("status = %d, want %d", got, want)
			}
		})
	}
}

// Two pairs whose texts run together are two identities.
func TestIssuersDoNotShareNames(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]ratelimit.KeyFunc{"principal": ratelimit.ByPrincipal(), "client": ratelimit.ByClient(), "tenant": ratelimit.ByTenant()} {
		a, errA := key(as(&principal.Principal{Issuer: "https://a", Subject: "bc", ClientID: "bc", Tenant: "bc"}))
		b, errB := key(as(&principal.Principal{Issuer: "https://ab", Subject: "c", ClientID: "c", Tenant: "c"}))
		if a == b || errA != nil || errB != nil {
			t.Errorf("%s: both are %q (%v, %v)", name, a, errA, errB)
		}
	}
}

// Fault: without the header there was no limit, or one that all shared.
func TestByHeader(t *testing.T) {
	t.Parallel()
	key := ratelimit.ByHeader("x-api-key")
	h := mustNew(t, ratelimit.Config{Limits: []string{"1-D"}, Key: key}).Handler(ok)
	for _, tt := range []struct {
		name   string
		values []string
		want   int
	}{
		{"first", []string{"canary-1"}, 204},
		{"again", []string{"canary-1"}, 429},
		{"another", []string{"canary-2"}, 204},
		{"long", []string{strings.Repeat("x", 1<<16)}, 204},
		{"absent", nil, 400},
		{"absent again", nil, 400},
		{"empty", []string{""}, 400},
		{"twice", []string{"canary-3", "canary-4"}, 400},
		{"twice the same", []string{"canary-3", "canary-3"}, 400},
	} {
		r := from("192.0.2.1:1")
		r.Header["X-Api-Key"] = tt.values
		if got := serve(h, r).Code; got != tt.want {
			t.Errorf("%s: status = %d, want %d", tt.name, got, tt.want)
		}
		if k, err := key(r); strings.Contains(k, "canary") || len(k) > 64 || (err != nil) != (tt.want == 400) {
			t.Errorf("%s: key = %q, %v; want a digest", tt.name, k, err)
		}
	}
}

func TestByHeaderPanicsOnABadName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "X Api", "X-Api:", "ü", "a\r\nb"} {
		if !panics(func() { ratelimit.ByHeader(name) }) {
			t.Errorf("ByHeader(%q) did not panic", name)
		}
	}
}

func TestJoin(t *testing.T) {
	t.Parallel()
	fixed := func(s string) ratelimit.KeyFunc {
		return func(*http.Request) (string, error) { return s, nil }
	}
	seen := map[string]bool{}
	for _, keys := range [][]ratelimit.KeyFunc{
		{fixed("a"), fixed("bc")},
		{fixed("ab"), fixed("c")},
		{fixed("abc")},
		{fixed("a1:bc")},
		{fixed("a"), fixed("b"), fixed("c")},
		{fixed("1:a"), fixed("bc")},
		{fixed("bc"), fixed("a")},
	} {
		key, err := ratelimit.Join(keys...)(from(""))
		if err != nil || seen[key] {
			t.Errorf("key = %q, %v; want one that no other join gives", key, err)
		}
		seen[key] = true
	}
	if key, err := ratelimit.Join(fixed("a"), ratelimit.ByPrincipal())(from("192.0.2.1:1")); err == nil {
		t.Errorf("key = %q, want the error of the second", key)
	}
	if key, err := ratelimit.Join(fixed("a"), fixed(""))(from("192.0.2.1:1")); err == nil {
		t.Errorf("key = %q, want an error for an empty part", key)
	}
	for _, keys := range [][]ratelimit.KeyFunc{nil, {fixed("a"), nil}} {
		if !panics(func() { ratelimit.Join(keys...) }) {
			t.Errorf("Join of %d keys did not panic", len(keys))
		}
	}
}

func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return false
}

// An empty key is never "unlimited", and a foreign error says its type only.
func TestForeignKeyFuncs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		key    ratelimit.KeyFunc
		status int
		detail string
	}{
		{"empty key", func(*http.Request) (string, error) { return "", nil }, 503, "the key is empty"},
		{"error", func(*http.Request) (string, error) { return "k", errors.New("canary") }, 503, "*errors.errorString"},
		{"error with a status", func(*http.Request) (string, error) { return "", statusError(401) }, 401, "ratelimit_test.statusError"},
		{"ErrNoKey", func(*http.Request) (string, error) { return "", ratelimit.ErrNoKey }, 503, "no key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var seen decisions
			h := mustNew(t, ratelimit.Config{Limits: []string{"5-M"}, Key: tt.key, OnDecision: seen.add}).Handler(ok)
			w := serve(h, from("192.0.2.1:1"))
			if w.Code != tt.status || strings.Contains(w.Body.String(), "canary") {
				t.Errorf("answer = %d %s, want %d", w.Code, w.Body, tt.status)
			}
			if d := seen.last(t); d.Reason != ratelimit.ReasonKey || d.Detail != tt.detail {
				t.Errorf("decision = %+v, want detail %q", d, tt.detail)
			}
		})
	}
}

package ratelimit_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ulule/limiter/v3"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// What parses, formats and parses to the same; it is within the bounds; and
// for the notation of ulule it is what ulule understands by it.
func FuzzParseLimits(f *testing.F) {
	for _, s := range []string{
		"5-M", "5 per minute", "100 per 5 minutes", "10/s; 1000/h", "10-S, 20-H", "1/250ms", "1 per 366 days", "0-M", "+5-M", "5-ſ",
		"9223372036854775807-S", "9223372036854775807 per 9223372036854775807 days", "; ,", "5 per  10 Secs",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		policies, err := ratelimit.ParseLimits(s)
		if err != nil {
			if policies != nil {
				t.Fatalf("%q: %v beside the error %v", s, policies, err)
			}
			return
		}
		if len(policies) == 0 {
			t.Fatalf("%q parses to nothing", s)
		}
		texts := make([]string, len(policies))
		for i, p := range policies {
			if p.Limit < 1 || p.Period < time.Millisecond || p.Period > 366*24*time.Hour || p.Burst != p.Limit || p.Name == "" {
				t.Fatalf("%q: %+v is out of bounds", s, p)
			}
			if p.Limit > int64(p.Period/(100*time.Nanosecond)) {
				t.Fatalf("%q: %+v is too fast", s, p)
			}
			texts[i] = p.String()
		}
		again, err := ratelimit.ParseLimits(strings.Join(texts, "; "))
		if err != nil || len(again) != len(policies) {
			t.Fatalf("%q formats to %q, which parses to %v, %v", s, texts, again, err)
		}
		for i, p := range policies {
			if q := again[i]; p.Limit != q.Limit || p.Period != q.Period || p.Name != q.Name || q.String() != texts[i] {
				t.Fatalf("%q: %+v formats to %q, which parses to %+v", s, p, texts[i], q)
			}
		}
		if strings.Contains(s, "-") && len(policies) == 1 {
			rate, err := limiter.NewRateFromFormatted(strings.Trim(s, " \t"))
			if err != nil || rate.Limit != policies[0].Limit || rate.Period != policies[0].Period {
				t.Fatalf("%q: ulule says %+v, %v; we say %+v", s, rate, err, policies[0])
			}
		}
	})
}

// Whatever the address and the forwarding headers are, there is an error or
// the key of a network of the right size that holds the address.
func FuzzByAddr(f *testing.F) {
	for _, s := range []string{"192.0.2.1:80", "[2001:db8::1]:80", "[fe80::1%eth0]:80", "::ffff:1.2.3.4", "@", "", "<nil>"} {
		f.Add(s, "6.6.6.6")
	}
	key := ratelimit.ByAddr()
	f.Fuzz(func(t *testing.T, remote, forwarded string) {
		r := &http.Request{RemoteAddr: remote, Header: http.Header{"X-Forwarded-For": {forwarded}, "X-Real-Ip": {forwarded}, "Forwarded": {forwarded}}}
		got, err := key(r)
		if err != nil {
			if got != "" {
				t.Fatalf("%q: key %q beside the error %v", remote, got, err)
			}
			return
		}
		text, isAddr := strings.CutPrefix(got, "addr:")
		p, err := netip.ParsePrefix(text)
		if !isAddr || err != nil || p != p.Masked() || p.Addr().Is4In6() {
			t.Fatalf("%q: key %q: %v", remote, got, err)
		}
		if want := map[bool]int{true: 32, false: 64}[p.Addr().Is4()]; p.Bits() != want {
			t.Fatalf("%q: key %q, want %d bits", remote, got, want)
		}
	})
}

// No two lists of parts join to the same key.
func FuzzJoin(f *testing.F) {
	f.Add("a", "bc", "ab", "c")
	f.Add("1:a", "b", "1", "a1:b")
	f.Fuzz(func(t *testing.T, a, b, c, d string) {
		fixed := func(s string) ratelimit.KeyFunc { return func(*http.Request) (string, error) { return s, nil } }
		first, err1 := ratelimit.Join(fixed(a), fixed(b))(nil)
		second, err2 := ratelimit.Join(fixed(c), fixed(d))(nil)
		if (err1 != nil) != (a == "" || b == "") || (err2 != nil) != (c == "" || d == "") {
			t.Fatalf("errors %v, %v", err1, err2)
		}
		if err1 == nil && err2 == nil && (first == second) != (a == c && b == d) {
			t.Fatalf("%q, %q join to %q and %q, %q to %q", a, b, first, c, d, second)
		}
	})
}

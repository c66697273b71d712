package loginguard_test

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/ratelimit/loginguard"
	"github.com/gatehouse-go/gatehouse/tlsredirect/clientip"
)

var keyShape = regexp.MustCompile(`^login:[A-Za-z0-9_-]{43}$`)

// FuzzKeys: two guesses share a counter if and only if their accounts fold to
// the same, or their addresses are one client, or both; and no key shows a name.
func FuzzKeys(f *testing.F) {
	four, six := []byte{192, 0, 2, 7}, netip.MustParseAddr("2001:db8::1").AsSlice()
	f.Add("ann", four, "ANN ", four)
	f.Add("ann", four, "ann192.0.2.7/32", four)
	f.Add("a", four, "a1", []byte{92, 0, 2, 7}) // the same text, one after the other
	f.Add("a", six, "a\x00", six)
	f.Add("\xff", six, "\xfe", four)
	f.Add("Straße", six, "STRASSE", six)
	f.Add("İ", four, "i", four)
	f.Add("", four, "\u2003", six)
	f.Fuzz(func(t *testing.T, account1 string, raw1 []byte, account2 string, raw2 []byte) {
		addr1, ok1 := netip.AddrFromSlice(raw1)
		addr2, ok2 := netip.AddrFromSlice(raw2)
		fold1, fold2 := loginguard.Fold(account1), loginguard.Fold(account2)
		if loginguard.Fold(fold1) != fold1 || loginguard.Fold(strings.ToLower(account1)) != fold1 || loginguard.Fold(strings.ToUpper(account1)) != fold1 {
			t.Errorf("%q folds to %q, which another spelling does not", account1, fold1)
		}
		if !ok1 || !ok2 || fold1 == "" || fold2 == "" {
			return
		}
		cfg := loginguard.Config{Secret: secret}
		a, b := keysOf(t, cfg, account1, addr1), keysOf(t, cfg, account2, addr2)
		sameAccount, sameAddress := fold1 == fold2, clientip.Bucket(addr1) == clientip.Bucket(addr2)
		for policy, want := range map[string]bool{
			"pair": sameAccount && sameAddress, "known": sameAccount && sameAddress,
			"address": sameAddress, "account": sameAccount, "places": sameAccount,
		} {
			if got := a[policy] == b[policy]; got != want {
				t.Errorf("%q from %v and %q from %v share the key for %s: %t, want %t", account1, addr1, account2, addr2, policy, got, want)
			}
			if !keyShape.MatchString(a[policy]) || len(fold1) > 7 && strings.Contains(strings.ToLower(a[policy]), fold1) {
				t.Errorf("the key for %s of %q is %q", policy, account1, a[policy])
			}
		}
	})
}

//go:build !race

package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"math/big"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/auth"
)

// cost returns the allocations and bytes of one call.
func cost(f func()) (allocs float64, bytes uint64) {
	const rounds = 50
	f()
	var before, after runtime.MemStats
	allocs = testing.AllocsPerRun(rounds, f)
	runtime.ReadMemStats(&before)
	for range rounds {
		f()
	}
	runtime.ReadMemStats(&after)
	return allocs, (after.TotalAlloc - before.TotalAlloc) / rounds
}

// The race detector makes pools forget, which is why this is not for it.

// TestRefusalsAreCheap: what anybody can send costs at most 6 allocations and
// 1 KiB. Where a signature has to be checked, that of RSA and ECDSA takes more
// than that in the standard library already, and counts for itself.
func TestRefusalsAreCheap(t *testing.T) {
	for _, alg := range []string{"EdDSA", "HS256", "RS256", "ES256"} {
		s := signerFor(alg)
		other := signerFor("RS512")
		iss := issuerOf(s)
		second := issuerOf(s)
		second.URL = "https://second.example"
		one, two := newJWT(t, iss), newJWT(t, iss, second)
		good := s.token(t, goodClaims())
		last := strings.LastIndexByte(good, '.')
		signed, sig := good[:last], good[last+1:]
		bareAllocs, bareBytes := bareCost(t, s, signed, decoded(t, sig))
		check(t, one, good, "") // its header is known from here on
		check(t, two, good, "")
		for _, tt := range []struct {
			name, token, want string
			jwt               *auth.JWT
			verifies          bool // a signature is checked
		}{
			{"malformed", good[:len(good)-3] + "=.x", auth.ReasonMalformed, one, false},
			{"malformed, bad byte", good + "=", auth.ReasonMalformed, one, false},
			{"malformed, not JSON", b64("{") + good[strings.IndexByte(good, '.'):], auth.ReasonMalformed, one, false},
			{"a header of escapes", b64(`{"alg":"none","a":["`+strings.Repeat(`\n","`, 120)+`"]}`) + good[strings.IndexByte(good, '.'):], auth.ReasonAlgorithm, one, false},
			{"a header of objects", b64(`{"alg":"none","a":[`+strings.Repeat(`{},`, 250)+`{}]}`) + good[strings.IndexByte(good, '.'):], auth.ReasonAlgorithm, one, false},
			{"a header that is too long", b64(`{"alg":"none","a":"`+strings.Repeat("a", 4<<10)+`"}`) + good[strings.IndexByte(good, '.'):], auth.ReasonOversize, one, false},
			{"wrong algorithm", other.token(t, goodClaims()), auth.ReasonAlgorithm, one, false},
			{"no algorithm", b64(`{"alg":"none"}`) + good[strings.IndexByte(good, '.'):], auth.ReasonAlgorithm, one, false},
			{"unknown issuer of two", s.token(t, goodClaims().with(object{"iss": "https://third.example"})), auth.ReasonIssuer, two, false},
			{"unknown issuer", s.token(t, goodClaims().with(object{"iss": "https://third.example"})), auth.ReasonIssuer, one, true},
			{"expired", s.token(t, goodClaims().with(object{"exp": time.Now().Unix() - 3600})), auth.ReasonExpired, one, true},
			{"forged", signed + "." + strings.Repeat("A", len(sig)), auth.ReasonSignature, one, true},
		} {
			r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
			r.Header.Set("Authorization", "Bearer "+tt.token)
			allocs, bytes := cost(func() {
				if _, err := tt.jwt.Authenticate(r); reason(err) != tt.want {
					t.Fatalf("%s, %s: %v, want %s", alg, tt.name, err, tt.want)
				}
			})
			t.Logf("%s, %s: %v allocations, %d bytes (bare %v, %d)", alg, tt.name, allocs, bytes, bareAllocs, bareBytes)
			if tt.verifies && (alg == "RS256" || alg == "ES256") {
				allocs, bytes = allocs-bareAllocs, bytes-min(bytes, bareBytes)
			}
			if allocs > 6 || bytes > 1<<10 {
				t.Errorf("%s, %s: %v allocations and %d bytes, want at most 6 and 1 KiB", alg, tt.name, allocs, bytes)
			}
		}
	}
}

func decoded(tb testing.TB, part string) []byte {
	tb.Helper()
	b, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// bareCost is that of the standard library alone.
func bareCost(tb testing.TB, s signer, signed string, sig []byte) (allocs float64, bytes uint64) {
	tb.Helper()
	sum := sha256.Sum256([]byte(signed))
	switch k := s.public.(type) {
	case *rsa.PublicKey:
		return cost(func() {
			if rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], sig) != nil {
				tb.Fatal("not verified")
			}
		})
	case *ecdsa.PublicKey:
		der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])})
		if err != nil {
			tb.Fatal(err)
		}
		return cost(func() {
			if !ecdsa.VerifyASN1(k, sum[:], der) {
				tb.Fatal("not verified")
			}
		})
	}
	return 0, 0
}

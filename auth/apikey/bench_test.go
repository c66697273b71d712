package apikey_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/apikey"
)

// A discard is a ResponseWriter that costs nothing.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// BenchmarkAuthenticate is the Authenticator alone, with the store in memory.
func BenchmarkAuthenticate(b *testing.B) {
	store := new(apikey.MemoryStore)
	key, _ := issue(b, store, "billing", "orders:read", "orders:write")
	revoked, gone := issue(b, store, "billing")
	if err := store.Revoke(b.Context(), gone.ID); err != nil {
		b.Fatal(err)
	}
	for _, bb := range []struct {
		name string
		r    *http.Request
		want string
	}{
		{"admitted", withKey(key), ""},
		{"admitted as Bearer", bearer(key), ""},
		{"wrong secret", withKey(otherSecret(key)), "secret"},
		{"unknown", withKey(unknownID(key)), "key"},
		{"revoked", withKey(revoked), "revoked"},
		{"typo", withKey(typo(key)), "malformed"},
		{"foreign", bearer(anotherToken), "malformed"},
		{"hostile", withKey(prefix + strings.Repeat("_", 1<<20)), "malformed"},
	} {
		header := "X-Api-Key"
		if bb.r.Header.Get(header) == "" {
			header = "Authorization"
		}
		a := newKeys(b, apikey.Config{Store: store, Header: header})
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.Authenticate(bb.r); (err != nil) != (bb.want != "") || reason(err) != bb.want {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkParallel is the same from all processors at once: no lock is shared.
func BenchmarkParallel(b *testing.B) {
	store := new(apikey.MemoryStore)
	key, _ := issue(b, store, "billing")
	a := newKeys(b, apikey.Config{Store: store})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := withKey(key)
		for pb.Next() {
			if _, err := a.Authenticate(r); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkGate is a request from end to end.
func BenchmarkGate(b *testing.B) {
	store := new(apikey.MemoryStore)
	key, _ := issue(b, store, "billing")
	h := newGate(b, auth.Config{}, newKeys(b, apikey.Config{Store: store})).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, bb := range []struct {
		name string
		r    *http.Request
		want int
	}{
		{"admitted", withKey(key), 200},
		{"wrong secret", withKey(otherSecret(key)), 401},
		{"two headers", request("X-Api-Key", key, "X-Api-Key", key), 400},
	} {
		if got := serve(h, bb.r).Code; got != bb.want {
			b.Fatalf("%s: status = %d, want %d", bb.name, got, bb.want)
		}
		b.Run(bb.name, func(b *testing.B) {
			w := discard{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, bb.r)
			}
		})
	}
}

package auth_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/principal"
)

// BenchmarkDPoP is a proof check from header to store, beside the signature
// alone.
func BenchmarkDPoP(b *testing.B) {
	for _, alg := range []string{"ES256", "EdDSA", "RS256"} {
		s := signerFor(alg)
		// The store forgets at once, so that one proof serves all rounds.
		d := newDPoP(b, auth.DPoPConfig{Replay: forgetful{auth.NewMemoryReplay(100_000, 1_000)}})
		jkt := s.jkt(b)
		check := func(name string, r *http.Request, want bool) {
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := d.Check(r, boundToken, jkt); (err == nil) != want {
						b.Fatal(err)
					}
				}
			})
		}
		claims := object{"iat": time.Now().Add(25 * time.Second).Unix()} // benchmarks take their time
		good := s.proof(b, nil, claims)
		check("admitted/"+alg, withProofs(good), true)
		b.Run("signature/"+alg, func(b *testing.B) {
			parser := jwt.NewParser()
			token, parts, err := parser.ParseUnverified(good, jwt.MapClaims{})
			if err != nil {
				b.Fatal(err)
			}
			sig, err := parser.DecodeSegment(parts[2])
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := token.Method.Verify(parts[0]+"."+parts[1], sig, s.public); err != nil {
					b.Fatal(err)
				}
			}
		})
		if alg == "ES256" {
			check("refused/URL", withProofs(s.proof(b, nil, claims.with(object{"htu": "https://evil.example/"}))), false)
			check("refused/forged", withProofs(good[:len(good)-4]+"AAAA"), false)
			check("refused/another key", withProofs(signerFor("EdDSA").proof(b, nil, claims)), false)
			check("refused/malformed", withProofs("not.a proof"), false)
		}
	}
}

// forgetful remembers nothing for longer than the moment.
type forgetful struct{ auth.ReplayStore }

func (f forgetful) Use(ctx context.Context, owner, id string, _ time.Time) (bool, error) {
	return f.ReplayStore.Use(ctx, owner, id, time.Now())
}

func BenchmarkReplayStore(b *testing.B) {
	s := auth.NewMemoryReplay(100_000, 1_000)
	names := make([]string, 1<<17)
	for i := range names {
		names[i] = fmt.Sprint(i)
	}
	ctx := b.Context()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		_, _ = s.Use(ctx, names[i&0xfff], names[i&(len(names)-1)], time.Now().Add(50*time.Millisecond))
	}
}

func BenchmarkRevoked(b *testing.B) {
	v := newRevocations(b, auth.RevocationsConfig{})
	for i := range 100_000 {
		if err := v.Revoke(b.Context(), issuerURL, fmt.Sprint(i), time.Now().Add(time.Hour)); err != nil {
			b.Fatal(err)
		}
	}
	for name, tokenID := range map[string]string{"revoked": "4711", "not revoked": "a1b2c3d4-e5f6-7890-abcd-ef0123456789"} {
		p := &principal.Principal{Issuer: issuerURL, Subject: "alice", TokenID: tokenID}
		ctx := b.Context()
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Revoked(ctx, p); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+", in parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := v.Revoked(ctx, p); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

package auth_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/principal"
)

func newRevocations(tb testing.TB, cfg auth.RevocationsConfig) *auth.Revocations {
	tb.Helper()
	v, err := auth.NewRevocations(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// revocations is what both lists have.
type revocations interface {
	auth.RevocationList
	Revoke(ctx context.Context, issuer, tokenID string, until time.Time) error
}

func checkRevoked(t *testing.T, name string, v revocations, issuer, tokenID string, want bool) {
	t.Helper()
	got, err := v.Revoked(t.Context(), &principal.Principal{Issuer: issuer, Subject: "alice", TokenID: tokenID})
	if got != want || err != nil {
		t.Errorf("%s: Revoked(%s, %s) = %t, %v, want %t", name, issuer, tokenID, got, err, want)
	}
}

func TestRevocations(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v := newRevocations(t, auth.RevocationsConfig{})
		revoke := func(tokenID string, life time.Duration) {
			t.Helper()
			if err := v.Revoke(t.Context(), "a", tokenID, time.Now().Add(life)); err != nil {
				t.Fatal(err)
			}
		}
		checkRevoked(t, "empty", v, "a", "1", false)
		revoke("1", time.Minute)
		revoke("2", time.Hour)
		revoke("2", time.Minute) // does not end it earlier
		revoke("3", time.Minute)
		revoke("3", time.Hour)
		checkRevoked(t, "revoked", v, "a", "1", true)
		checkRevoked(t, "another id", v, "a", "11", false)
		checkRevoked(t, "another issuer", v, "b", "1", false)
		checkRevoked(t, "names joined otherwise", v, "a1:", "1", false)
		time.Sleep(6*time.Minute - 1) // its minute, and the leeway of a JWT
		revoke("4", time.Minute)
		checkRevoked(t, "within the leeway", v, "a", "1", true)
		time.Sleep(time.Nanosecond)
		checkRevoked(t, "over", v, "a", "1", false)
		revoke("5", time.Minute)
		for _, id := range []string{"2", "3", "4", "5"} {
			checkRevoked(t, "not over", v, "a", id, true)
		}
		time.Sleep(59*time.Minute - 1)
		revoke("6", time.Minute)
		checkRevoked(t, "twice", v, "a", "2", true)
		checkRevoked(t, "twice", v, "a", "3", true)
		time.Sleep(time.Nanosecond)
		checkRevoked(t, "twice, over", v, "a", "2", false)
		checkRevoked(t, "twice, over", v, "a", "3", false)
		if err := v.Revoke(t.Context(), "a", "forever", time.Unix(253402300799, 0)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * 365 * 24 * time.Hour)
		revoke("7", time.Minute)
		checkRevoked(t, "until the year 9999", v, "a", "forever", true)
	})
}

// TestRevocationsFull: nothing is forgotten to make room.
func TestRevocationsFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v := newRevocations(t, auth.RevocationsConfig{Capacity: 3})
		until := time.Now().Add(time.Minute)
		for i := range 3 {
			if err := v.Revoke(t.Context(), "a", fmt.Sprint(i), until); err != nil {
				t.Fatal(err)
			}
		}
		if err := v.Revoke(t.Context(), "a", "3", until); !errors.Is(err, auth.ErrFull) {
			t.Errorf("Revoke = %v, want ErrFull", err)
		}
		if err := v.Revoke(t.Context(), "a", "2", until.Add(time.Minute)); err != nil {
			t.Errorf("Revoke of what is revoked = %v", err)
		}
		for i := range 4 {
			checkRevoked(t, "full", v, "a", fmt.Sprint(i), i < 3)
		}
		time.Sleep(6 * time.Minute)
		for _, id := range []string{"3", "4"} {
			if err := v.Revoke(t.Context(), "a", id, time.Now().Add(time.Minute)); err != nil {
				t.Errorf("Revoke where there is room: %v", err)
			}
		}
		if err := v.Revoke(t.Context(), "a", "5", time.Now()); !errors.Is(err, auth.ErrFull) {
			t.Errorf("Revoke = %v, want ErrFull", err)
		}
	})
}

// TestRevocationsMistakes: both lists say what is missing, rather than to
// remember or to admit what has no name.
func TestRevocationsMistakes(t *testing.T) {
	t.Parallel()
	redis, err := auth.NewRedisRevocations(auth.RedisConfig{Do: func(context.Context, ...any) (any, error) {
		t.Error("Redis was asked")
		return int64(1), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]revocations{"memory": newRevocations(t, auth.RevocationsConfig{}), "redis": redis} {
		for _, tt := range []struct {
			issuer, tokenID string
			until           time.Time
			want            string
		}{
			{"", "1", time.Now(), "auth: issuer is empty, want that of the token"},
			{"a", "", time.Now(), "auth: tokenID is empty, want the jti of the token"},
			{"a", "1", time.Time{}, "auth: until is zero, want the token's expiry"},
		} {
			if err := v.Revoke(t.Context(), tt.issuer, tt.tokenID, tt.until); err == nil || err.Error() != tt.want {
				t.Errorf("%s: Revoke = %v, want %s", name, err, tt.want)
			}
		}
		for _, p := range []*principal.Principal{nil, {}, {Issuer: "a", Subject: "b"}, {TokenID: "1"}} {
			if revoked, err := v.Revoked(t.Context(), p); revoked || err == nil {
				t.Errorf("%s: Revoked(%+v) = %t, %v, want an error", name, p, revoked, err)
			}
		}
	}
	named := &principal.Principal{Issuer: "a", Subject: "b", TokenID: "1"}
	for name, v := range map[string]revocations{
		"nil": (*auth.Revocations)(nil), "zero": new(auth.Revocations),
		"nil, redis": (*auth.RedisRevocations)(nil), "zero, redis": new(auth.RedisRevocations),
	} {
		if err := v.Revoke(t.Context(), "a", "1", time.Now()); err == nil {
			t.Errorf("%s: Revoke says nothing", name)
		}
		if revoked, err := v.Revoked(t.Context(), named); revoked || err == nil {
			t.Errorf("%s: Revoked = %t, %v, want an error", name, revoked, err)
		}
	}
	for capacity, want := range map[int]string{-1: "auth: Capacity is -1, want 0 to 10000000", 10_000_001: "auth: Capacity is 10000001, want 0 to 10000000"} {
		if v, err := auth.NewRevocations(auth.RevocationsConfig{Capacity: capacity}); v != nil || err == nil || err.Error() != want {
			t.Errorf("NewRevocations = %v, %v, want %s", v, err, want)
		}
	}
}

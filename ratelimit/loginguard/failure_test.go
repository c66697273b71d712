package loginguard_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/loginguard"
)

// TestStoreFails: closed, and with nothing held of what was counted before.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	for _, failing := range []string{"pair", "address", "account", "known"} {
		t.Run(failing, func(t *testing.T) {
			t.Parallel()
			s := newSpy(t)
			g := mustNew(t, loginguard.Config{Store: s, Secret: secret, PerAccount: ratelimit.Policy{Limit: 1, Period: time.Hour}})
			guess(t, g, "ann", away) // so that known is asked
			s.asked()
			s.failing(func(c call) error {
				if c.policy == failing {
					return errDown
				}
				return nil
			})
			_, err := g.Begin(t.Context(), "ann", home)
			e, ok := errors.AsType[*loginguard.Error](err)
			if !ok || e.Reason != loginguard.ReasonStore || e.StatusCode() != 503 || e.RetryAfter <= 0 || !errors.Is(err, errDown) {
				t.Fatalf("Begin = %v, want the Store's 503", err)
			}
			balance := make(map[string]int64)
			for _, c := range s.calls {
				if c.took {
					balance[c.policy] += c.cost
				}
			}
			for policy, n := range balance {
				if n != 0 {
					t.Errorf("%d of the %s's budget is still held", n, policy)
				}
			}
		})
	}
}

// TestStoreHangs: nobody waits for long.
func TestStoreHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSpy(t)
		g := mustNew(t, loginguard.Config{Store: hanging{s}, Secret: secret})
		start := time.Now()
		if reason, _ := guess(t, g, "ann", home); reason != loginguard.ReasonStore || time.Since(start) > time.Second {
			t.Errorf("after %v: %q, want the Store's refusal within a second", time.Since(start), reason)
		}
		// That a client is gone is no reason to count it elsewhere.
		g = mustNew(t, loginguard.Config{Store: hanging{s}, Secret: secret, AllowLocalLimits: true})
		gone, leave := context.WithTimeout(t.Context(), time.Millisecond)
		defer leave()
		_, err := g.Begin(gone, "ann", home)
		if e, ok := errors.AsType[*loginguard.Error](err); !ok || e.Reason != loginguard.ReasonStore || e.RetryAfter != 0 {
			t.Errorf("of a client that is gone: %v", err)
		}
	})
}

type hanging struct{ ratelimit.Store }

func (hanging) Take(ctx context.Context, dst []ratelimit.Result, _ []ratelimit.Request) ([]ratelimit.Result, error) {
	<-ctx.Done()
	return dst, ctx.Err()
}

// A Store that answers nonsense is one that fails.
func TestStoreSaysNothing(t *testing.T) {
	t.Parallel()
	g := mustNew(t, loginguard.Config{Store: silent{newSpy(t)}, Secret: secret})
	if reason, _ := guess(t, g, "ann", home); reason != loginguard.ReasonStore {
		t.Errorf("%q, want the Store's refusal", reason)
	}
}

type silent struct{ ratelimit.Store }

func (silent) Take(_ context.Context, dst []ratelimit.Result, _ []ratelimit.Request) ([]ratelimit.Result, error) {
	return dst, nil
}

// TestLocalLimits: while the Store fails this process counts, no less
// strictly, and says so.
func TestLocalLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSpy(t)
		var told decisions
		g := mustNew(t, loginguard.Config{Store: s, Secret: secret, AllowLocalLimits: true, OnDecision: told.add})
		same := func(int) (string, netip.Addr) { return "ann", home }
		before, err := g.Begin(t.Context(), "ann", home)
		if err != nil {
			t.Fatal(err)
		}
		s.failing(down)
		if got := admitted(t, g, 20, same); got != 5 {
			t.Errorf("without the Store %d guesses were admitted, want 5", got)
		}
		if reason, wait := guess(t, g, "ann", home); reason != loginguard.ReasonPair || wait < 3*time.Minute {
			t.Errorf("refused for %q, %v; want 3 minutes for the pair", reason, wait)
		}
		if got := told.of(loginguard.ReasonDegraded); len(got) != 21 || got[0].Effect != decision.Observe || got[0].Detail != "*errors.errorString" {
			t.Errorf("reported %d times as degraded, want 21: %+v", len(got), got)
		}
		// What began with the Store does not end here.
		if err := before.Succeed(t.Context()); err == nil {
			t.Error("Succeed = nil, want the Store's error")
		}
		if reason, _ := guess(t, g, "ann", home); reason != loginguard.ReasonPair {
			t.Errorf("after a success that the Store did not learn of: %q, want it refused for the pair", reason)
		}
		time.Sleep(3*time.Minute + 64)
		succeed(t, g, "ann", home)
		if got := admitted(t, g, 20, same); got != 5 {
			t.Errorf("after a success %d guesses were admitted, want 5", got)
		}
		s.failing(nil)
		if got := admitted(t, g, 20, same); got != 5 {
			t.Errorf("with the Store again %d guesses were admitted, want 5", got)
		}
	})
}

// TestSettleFails: the caller learns that the guess stays counted, and so does
// the operator.
func TestSettleFails(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*loginguard.Attempt, context.Context) error{
		"succeed": (*loginguard.Attempt).Succeed, "cancel": (*loginguard.Attempt).Cancel,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSpy(t)
			var told decisions
			g := mustNew(t, loginguard.Config{Store: s, Secret: secret, OnDecision: told.add})
			a, err := g.Begin(t.Context(), "ann", home)
			if err != nil {
				t.Fatal(err)
			}
			s.failing(down)
			err = end(a, t.Context())
			if e, ok := errors.AsType[*loginguard.Error](err); !ok || e.Reason != loginguard.ReasonStore || !errors.Is(err, errDown) {
				t.Errorf("error = %v, want the Store's", err)
			}
			if got := told.of(loginguard.ReasonStore); len(got) != 1 || got[0].Effect != decision.Observe {
				t.Errorf("reported %+v, want it observed once", got)
			}
			s.failing(nil)
			if got := admitted(t, g, 20, func(int) (string, netip.Addr) { return "ann", home }); got != 4 {
				t.Errorf("%d guesses are left, want 4", got)
			}
		})
	}
}

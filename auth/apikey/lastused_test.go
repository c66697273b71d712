package apikey_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-go/gatehouse/auth/apikey"
)

// open returns an Authenticator in a bubble, which must not be left before close.
func open(t *testing.T, cfg apikey.Config) *apikey.Authenticator {
	t.Helper()
	cfg.Prefix, cfg.Issuer = prefix, issuer
	a, err := apikey.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// stop closes a and returns how long that took.
func stop(t *testing.T, a *apikey.Authenticator) time.Duration {
	t.Helper()
	start := time.Now()
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	return time.Since(start)
}

func admit(t *testing.T, a *apikey.Authenticator, key string) {
	t.Helper()
	start := time.Now()
	if _, err := a.Authenticate(withKey(key)); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d != 0 {
		t.Fatalf("the request took %v, want it not to wait", d)
	}
}

// There is one write for each key and interval, however many requests, whether
// the writes get through or not.
func TestLastUsed(t *testing.T) {
	t.Parallel()
	down := errors.New("read-only")
	for _, tt := range []struct {
		name     string
		interval time.Duration
		spy      *spy
	}{
		{"written", 0, &spy{}},
		{"another interval", 10 * time.Second, &spy{}},
		{"every write fails", 0, &spy{touch: func(context.Context, string, time.Time) error { return down }}},
		{"lookups lag behind", 0, &spy{touch: func(context.Context, string, time.Time) error { return nil }}},
		{"every write panics", 0, &spy{touch: func(context.Context, string, time.Time) error { panic("down") }}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := tt.spy
				store.Store = new(apikey.MemoryStore)
				one, first := issue(t, store, "billing")
				two, second := issue(t, store, "billing")
				a := open(t, apikey.Config{Store: store, LastUsedInterval: tt.interval})
				interval := tt.interval
				if interval == 0 {
					interval = time.Minute
				}
				const intervals = 5
				time.Sleep(interval / 2) // not in step with what is remembered
				for i := range intervals {
					for range 100 {
						admit(t, a, one)
						synctest.Wait()
						time.Sleep(interval / 100)
					}
					if i == 2 {
						admit(t, a, two)
						synctest.Wait()
					}
				}
				if got := store.touches(first.ID); got < intervals-1 || got > intervals {
					t.Errorf("%d writes in %d intervals", got, intervals)
				}
				if got := store.touches(second.ID); got != 1 {
					t.Errorf("%d writes of the other key, want 1", got)
				}
				for i := 1; i < len(store.touched[first.ID]); i++ {
					if d := store.touched[first.ID][i].Sub(store.touched[first.ID][i-1]); d < interval {
						t.Errorf("two writes within %v, want %v at least", d, interval)
					}
				}
				stop(t, a)
			})
		})
	}
}

func TestLastUsedIsStored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for name, store := range stores(t) {
			key, record := issue(t, store, "billing")
			a := open(t, apikey.Config{Store: store})
			time.Sleep(time.Hour)
			at := time.Now()
			admit(t, a, key)
			stop(t, a)
			if r, err := store.Lookup(t.Context(), record.ID); err != nil || !r.LastUsedAt.Equal(at) {
				t.Errorf("%s: LastUsedAt = %v, %v, want %v", name, r.LastUsedAt, err, at)
			}
		}
	})
}

// Only a good key was used: others must not be able to keep an idle one looking
// alive.
func TestRefusedIsNotUsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &spy{Store: new(apikey.MemoryStore)}
		key, _ := issue(t, store, "billing")
		revoked, gone := issue(t, store, "billing")
		if err := store.Revoke(t.Context(), gone.ID); err != nil {
			t.Fatal(err)
		}
		expired, _ := issueFor(t, store, apikey.Grant{Prefix: prefix, Owner: "billing", Lifetime: time.Second})
		time.Sleep(time.Second)
		a := open(t, apikey.Config{Store: store})
		for _, key := range []string{otherSecret(key), unknownID(key), typo(key), revoked, expired} {
			if _, err := a.Authenticate(withKey(key)); err == nil {
				t.Errorf("%q is admitted", key)
			}
		}
		stop(t, a)
		if got := store.touches(""); got != 0 {
			t.Errorf("%d writes, want none", got)
		}
	})
}

// What another process wrote a moment ago is not written again.
func TestLastUsedElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &spy{Store: new(apikey.MemoryStore)}
		key, record := issue(t, store, "billing")
		one, two := open(t, apikey.Config{Store: store}), open(t, apikey.Config{Store: store})
		for range 100 {
			for _, a := range []*apikey.Authenticator{one, two} {
				admit(t, a, key)
				synctest.Wait()
			}
			time.Sleep(time.Second / 2)
		}
		stop(t, one)
		stop(t, two)
		if got := store.touches(record.ID); got != 1 {
			t.Errorf("%d writes in 50s by two, want 1", got)
		}
	})
}

// A store that hangs delays no request, is not waited for for ever by Close, and
// does not fill the memory.
func TestLastUsedHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &spy{Store: new(apikey.MemoryStore), touch: func(ctx context.Context, _ string, _ time.Time) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		a := open(t, apikey.Config{Store: store})
		const keys = apikey.MaxUses + 500
		for i := range keys {
			key, _ := issue(t, store, "billing")
			admit(t, a, key)
			if i == 0 {
				synctest.Wait() // the writer has it
			}
		}
		if got, most := a.Tries(), apikey.MaxUses+1; got != most {
			t.Errorf("%d uses are remembered, want %d: the others get another turn", got, most)
		}
		if d := stop(t, a); d != 5*time.Second {
			t.Errorf("Close took %v, want 5s", d)
		}
		if got := store.touches(""); got > apikey.MaxUses+1 {
			t.Errorf("%d writes were tried, want at most %d", got, apikey.MaxUses+1)
		}
	})
}

// What was forgotten for want of room is written at the next use.
func TestLastUsedQueueIsFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		store := &spy{Store: new(apikey.MemoryStore), touch: func(context.Context, string, time.Time) error { <-release; return nil }}
		a := open(t, apikey.Config{Store: store})
		var key string
		var record apikey.Record
		for i := range apikey.MaxUses + 2 {
			key, record = issue(t, store, "billing")
			admit(t, a, key)
			if i == 0 {
				synctest.Wait()
			}
		}
		close(release)
		synctest.Wait()
		if got := store.touches(record.ID); got != 0 {
			t.Errorf("%d writes of the last key, want it forgotten", got)
		}
		admit(t, a, key)
		synctest.Wait()
		if got := store.touches(record.ID); got != 1 {
			t.Errorf("%d writes of the last key, want 1", got)
		}
		stop(t, a)
	})
}

// Tries are forgotten after two intervals.
func TestTriesAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &spy{Store: new(apikey.MemoryStore)}
		a := open(t, apikey.Config{Store: store})
		for range 10 {
			for range 50 {
				key, _ := issue(t, store, "billing")
				admit(t, a, key)
			}
			time.Sleep(time.Minute)
		}
		if got := a.Tries(); got > 100 {
			t.Errorf("%d tries are remembered, want those of two intervals, 100", got)
		}
		stop(t, a)
	})
}

// Close writes what waits, and ends; the keys stay good.
func TestClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // it fails if a goroutine is left
		store := &spy{Store: new(apikey.MemoryStore), touch: func(context.Context, string, time.Time) error {
			time.Sleep(time.Millisecond)
			return nil
		}}
		a := open(t, apikey.Config{Store: store})
		var last string
		for range 100 {
			last, _ = issue(t, store, "billing")
			admit(t, a, last)
		}
		if d := stop(t, a); d != 100*time.Millisecond {
			t.Errorf("Close took %v, want it to write all, for 100ms", d)
		}
		if got := store.touches(""); got != 100 {
			t.Errorf("%d writes, want 100", got)
		}
		if d := stop(t, a); d != 0 {
			t.Errorf("the second Close took %v", d)
		}
		time.Sleep(time.Hour)
		admit(t, a, last)
		synctest.Wait()
		if got := store.touches(""); got != 100 {
			t.Errorf("%d writes after Close, want 100 as before", got)
		}
	})
}

// Operators read once that writes fail, once that they get through, and nothing
// of the error's text.
func TestLastUsedLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var fault error
		var thrown any
		store := &spy{Store: new(apikey.MemoryStore), touch: func(context.Context, string, time.Time) error {
			if thrown != nil {
				panic(thrown)
			}
			return fault
		}}
		a := open(t, apikey.Config{Store: store, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			},
		}))})
		key, _ := issue(t, store, "billing")
		for _, step := range []struct {
			fault  error
			thrown any
		}{
			{nil, nil}, {errors.New("canary"), nil}, {errors.New("canary"), nil}, {nil, nil}, {nil, nil}, {nil, "canary"},
		} {
			fault, thrown = step.fault, step.thrown
			admit(t, a, key)
			synctest.Wait()
			time.Sleep(time.Minute)
		}
		stop(t, a)
		lines := strings.Split(log.String(), "\n")
		const failed, again = `level=WARN msg="apikey: last uses cannot be written" detail=`, `level=INFO msg="apikey: last uses are written again"`
		if len(lines) != 4 || lines[0] != failed+"*errors.errorString" || lines[1] != again || !strings.HasPrefix(lines[2], failed) ||
			!strings.Contains(lines[2], "Store.Touch panicked at") || strings.Contains(log.String(), "canary") {
			t.Errorf("logged:\n%s", log.String())
		}
	})
}

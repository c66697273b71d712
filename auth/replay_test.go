package auth_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-go/gatehouse/auth"
)

func use(t *testing.T, s auth.ReplayStore, owner, id string, until time.Time) string {
	t.Helper()
	first, err := s.Use(t.Context(), owner, id, until)
	switch {
	case errors.Is(err, auth.ErrFull):
		return "full"
	case err != nil:
		t.Fatal(err)
	case first:
		return "first"
	}
	return "again"
}

// TestReplayBounds: a store of five, two for each owner.
func TestReplayBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, begin := auth.NewMemoryReplay(5, 2), time.Now()
		for i, step := range []struct {
			at        time.Duration
			owner, id string
			life      time.Duration
			want      string
		}{
			{0, "a", "1", 10, "first"},
			{0, "a", "1", 10, "again"},
			{0, "a", "2", 20, "first"},
			{0, "a", "3", 10, "full"}, // this owner's part
			{0, "a", "1", 10, "again"},
			{0, "b", "1", 30, "first"},
			{0, "b", "2", 5, "first"},
			{0, "c", "1", 10, "first"},
			{0, "d", "1", 10, "full"},
			{0, "c", "1", 10, "again"}, // also a full store knows what it knows
			{5, "d", "1", 10, "first"}, // in the place of b 2
			{5, "b", "2", 10, "full"},
			{9, "a", "1", 10, "again"}, // and now until 19
			{10, "a", "1", 1, "again"},
			{10, "c", "1", 5, "first"}, // forgotten, and remembered again
			{10, "b", "2", 9, "full"},
			{19, "a", "1", 5, "first"},
			{19, "e", "1", 5, "first"},
			{100, "a", "2", 1, "first"},
		} {
			time.Sleep(time.Until(begin.Add(step.at * time.Second)))
			if got := use(t, s, step.owner, step.id, time.Now().Add(step.life*time.Second)); got != step.want {
				t.Errorf("step %d: %s %s at %d s: %s, want %s", i, step.owner, step.id, step.at, got, step.want)
			}
		}
	})
}

// TestReplayNames: no two pairs of names are one.
func TestReplayNames(t *testing.T) {
	t.Parallel()
	s, until := auth.NewMemoryReplay(100, 100), time.Now().Add(time.Hour)
	for _, pair := range [][2]string{{"a", "bc"}, {"ab", "c"}, {"abc", ""}, {"", "abc"}, {"a", "1:b"}, {"a1:b", ""}} {
		if got := use(t, s, pair[0], pair[1], until); got != "first" {
			t.Errorf("%q: %s, want first", pair, got)
		}
	}
}

// TestReplayAgainstMap is the store beside a plain map, over a day of random
// uses.
func TestReplayAgainstMap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const capacity, ofOwner = 40, 7
		s, r := auth.NewMemoryReplay(capacity, ofOwner), rand.New(rand.NewPCG(1, 2))
		type name struct{ owner, id string }
		known := make(map[name]time.Time)
		count := make(map[string]int)
		for i := range 20_000 {
			time.Sleep(time.Duration(r.Int64N(int64(8 * time.Second))))
			now := time.Now()
			ofOne := 0
			n := name{fmt.Sprint(r.IntN(9)), fmt.Sprint(r.IntN(12))}
			for k, until := range known {
				if !now.Before(until) {
					delete(known, k)
				} else if k.owner == n.owner {
					ofOne++
				}
			}
			until := now.Add(time.Duration(r.Int64N(int64(8 * time.Minute))))
			have, again := known[n]
			want := "first"
			switch {
			case again:
				want = "again"
			case len(known) >= capacity || ofOne >= ofOwner:
				want = "full"
			}
			got := use(t, s, n.owner, n.id, until)
			if got != want {
				t.Fatalf("use %d of %v: %s, want %s", i, n, got, want)
			}
			if count[got]++; got != "full" && until.After(have) {
				known[n] = until
			}
		}
		if count["first"] < 1000 || count["again"] < 1000 || count["full"] < 100 {
			t.Errorf("too few of some kind: %v", count)
		}
	})
}

// TestReplayFlood: the store of a process holds its bound whoever fills it, and
// recovers.
func TestReplayFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, until := auth.NewMemoryReplay(100_000, 1_000), time.Now().Add(time.Minute)
		count := make(map[string]int)
		for i := range 101_500 {
			count[use(t, s, fmt.Sprint(i%105), fmt.Sprint(i), until)]++
		}
		if count["first"] != 100_000 || count["full"] != 1_500 {
			t.Errorf("%v, want 100000 first and 1500 full", count)
		}
		if got := use(t, s, "somebody else", "1", until); got != "full" {
			t.Errorf("somebody else: %s, want full", got)
		}
		if got := use(t, s, "0", "0", until); got != "again" {
			t.Errorf("what was first: %s, want again", got)
		}
		time.Sleep(time.Minute)
		if got := use(t, s, "somebody else", "1", time.Now().Add(time.Minute)); got != "first" {
			t.Errorf("a minute later: %s, want first", got)
		}
	})
}

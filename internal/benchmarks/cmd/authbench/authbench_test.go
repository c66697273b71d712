package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestAnswers holds that every contestant answers as it is said to, in every
// row, before anything is measured.
func TestAnswers(t *testing.T) {
	t.Parallel()
	f, err := newField()
	if err != nil {
		t.Fatal(err)
	}
	differences, err := f.check()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"auth0: 400 to no token", "jwtauth: 200 to a token without exp", "auth0: 200 to a token without exp"}
	if !slices.Equal(differences, want) {
		t.Errorf("differences = %q, want %q", differences, want)
	}
	// One that admits what it should refuse ends it, and one that is asked for
	// a difference which is not there.
	f.handlers[entry{"HS256", "auth0"}], f.handlers[entry{"HS256", "keyfunc"}] = f.handlers[entry{"HS256", "keyfunc"}], f.handlers[entry{"HS256", "auth0"}]
	if _, err := f.check(); err == nil || !strings.Contains(err.Error(), "no token HS256") && !strings.Contains(err.Error(), "without exp HS256") {
		t.Errorf("check = %v for exchanged handlers", err)
	}
	f.handlers[entry{"HS256", "auth0"}], f.handlers[entry{"HS256", "keyfunc"}] = f.handlers[entry{"HS256", "keyfunc"}], f.handlers[entry{"HS256", "auth0"}]
	f.algs[1].tokens[forged] = f.algs[1].tokens[admitted]
	if _, err := f.check(); err == nil || !strings.Contains(err.Error(), "gatehouse answers 200 to forged RS256, want 401") {
		t.Errorf("check = %v for a good token in the place of a forged one", err)
	}
}

// TestBareSeesForgery holds that what the others are compared with is a check.
func TestBareSeesForgery(t *testing.T) {
	t.Parallel()
	for _, name := range algNames {
		alg, err := newAlgorithm(name)
		if err != nil {
			t.Fatal(err)
		}
		if !alg.bare() {
			t.Errorf("%s: bare refuses the good token", name)
		}
		alg.tokens[admitted] = alg.tokens[forged]
		if err := alg.setBare(); err != nil {
			t.Fatal(err)
		}
		if alg.bare() {
			t.Errorf("%s: bare admits the forged token", name)
		}
	}
}

// won are results that reach every goal.
func won() results {
	res := make(results)
	for _, row := range rows {
		for _, alg := range algNames {
			for _, c := range contestants {
				res[key{row, alg, c.name}] = result{50 * time.Microsecond, 60}
			}
			res[key{row, alg, ownName}] = result{45 * time.Microsecond, 30}
			res[key{row, alg, cachedName}] = result{2 * time.Microsecond, 5}
		}
	}
	for _, alg := range algNames {
		res[key{admitted, alg, bareName}] = result{40 * time.Microsecond, 10}
	}
	return res
}

func TestJudge(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		key  key
		to   result
		want []string
	}{
		{"all reached", key{admitted, "ES256", ownName}, result{46 * time.Microsecond, 30}, nil},
		{"cache is slow for HS256", key{admitted, "HS256", cachedName}, result{10 * time.Microsecond, 5}, nil},
		{
			"too slow over bare",
			key{admitted, "ES256", ownName},
			result{46*time.Microsecond + 10, 30},
			[]string{"ES256: 6.01 us over bare, 0.150 of bare RS256, want at most 0.15"},
		},
		{
			"too many allocations",
			key{admitted, "HS256", ownName},
			result{45 * time.Microsecond, 31},
			[]string{"HS256: 21 allocations over bare, want at most 20"},
		},
		{
			"a peer is as fast",
			key{forged, "EdDSA", "auth0"},
			result{45 * time.Microsecond, 60},
			[]string{"forged EdDSA: gatehouse takes 45.00 us, auth0 takes 45.00 us"},
		},
		{
			"a peer is faster than the cache",
			key{expired, "RS256", cachedName},
			result{60 * time.Microsecond, 60},
			[]string{"expired RS256: with cache takes 60.00 us, keyfunc takes 50.00 us"},
		},
		{
			"cache is slow",
			key{admitted, "EdDSA", cachedName},
			result{2600 * time.Nanosecond, 5},
			[]string{"EdDSA: with cache 19.2 times as fast as the best peer, want at least 20"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			res := won()
			res[tt.key] = tt.to
			if got := judge(res); !slices.Equal(got, tt.want) {
				t.Errorf("judge = %q, want %q", got, tt.want)
			}
		})
	}
}

// TestRun holds that the program measures and prints every row. Who wins is not
// for a test.
func TestRun(t *testing.T) {
	var out bytes.Buffer
	lost, err := run([]string{"-rounds", "1", "-time", "1us"}, &out)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		for _, alg := range algNames {
			if !strings.Contains(out.String(), row+" "+alg+"  ") {
				t.Errorf("no row %s %s in\n%s", row, alg, out.String())
			}
		}
	}
	if got, want := strings.Count(out.String(), "LOST: "), len(lost); got != want {
		t.Errorf("%d lines of losses, want %d", got, want)
	}
	for _, args := range [][]string{{"-rounds", "0"}, {"-time", "0"}, {"x"}, {"-x"}} {
		if _, err := run(args, new(bytes.Buffer)); err == nil {
			t.Errorf("run(%q) = nil, want an error", args)
		}
	}
}

// BenchmarkAuth is each row for each contestant.
func BenchmarkAuth(b *testing.B) {
	f, err := newField()
	if err != nil {
		b.Fatal(err)
	}
	if _, err := f.check(); err != nil {
		b.Fatal(err)
	}
	for _, row := range rows {
		for _, alg := range f.algs {
			for _, c := range f.row(row, alg).Cells {
				b.Run(strings.ReplaceAll(strings.Join([]string{row, alg.name, c.Key.contestant}, "/"), " ", "-"), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						c.Once()
					}
					if err := c.Verify(); err != nil {
						b.Fatal(err)
					}
				})
			}
		}
	}
}

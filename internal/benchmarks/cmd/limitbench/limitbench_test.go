package main

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/internal/benchmarks/internal/contest"
)

// TestAnswers holds that every contestant limits each address before anything
// is measured, and that one which does not is noticed.
func TestAnswers(t *testing.T) {
	t.Parallel()
	got, err := check()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"ulule: no Retry-After", "sethvargo: Retry-After that is neither seconds nor a date",
		"tollbooth: no Retry-After", "x/time map: no Retry-After",
	}
	if !slices.Equal(got, want) {
		t.Errorf("differences = %q, want %q", got, want)
	}
	refusal := func(w http.ResponseWriter) {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "", http.StatusTooManyRequests)
	}
	field := func(w http.ResponseWriter) { w.Header().Set("X-Ratelimit-Limit", "2") }
	for _, tt := range []struct {
		name    string
		handler func(n map[string]int, w http.ResponseWriter, addr string)
		want    string
	}{
		{"admits all", func(_ map[string]int, w http.ResponseWriter, _ string) {
			field(w)
			w.WriteHeader(http.StatusOK)
		}, "answers 200 to 192.0.2.1:40002, want 429"},
		{"counts by port", func(n map[string]int, w http.ResponseWriter, addr string) {
			field(w)
			if n[addr]++; n[addr] > 2 {
				refusal(w)
				return
			}
			w.WriteHeader(http.StatusOK)
		}, "answers 200 to 192.0.2.1:40002, want 429"},
		{"counts all together", func(n map[string]int, w http.ResponseWriter, _ string) {
			field(w)
			if n[""]++; n[""] > 2 {
				refusal(w)
				return
			}
			w.WriteHeader(http.StatusOK)
		}, "answers 429 to 192.0.2.2:40000, want 200"},
		{"no fields", func(_ map[string]int, w http.ResponseWriter, _ string) {
			w.WriteHeader(http.StatusOK)
		}, "admits with map[], want fields: true"},
		{"no body", func(n map[string]int, w http.ResponseWriter, _ string) {
			field(w)
			if n[""]++; n[""] > 2 {
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			w.WriteHeader(http.StatusOK)
		}, "refuses 192.0.2.1:40002 without a body"},
		{"no Retry-After", func(n map[string]int, w http.ResponseWriter, _ string) {
			field(w)
			if n[""]++; n[""] > 2 {
				http.Error(w, "", http.StatusTooManyRequests)
				return
			}
			w.WriteHeader(http.StatusOK)
		}, "refuses with no Retry-After, want Retry-After"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			counts := make(map[string]int)
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { tt.handler(counts, w, r.RemoteAddr) })
			c := contestant{fields: true, retry: inSeconds}
			if err := c.check(newClient(h)); err == nil || err.Error() != tt.want {
				t.Errorf("check = %v, want %s", err, tt.want)
			}
		})
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	for field, want := range map[string]string{
		"":                              never,
		"7":                             inSeconds,
		"0":                             asText,
		"-1":                            asText,
		"Fri, 27 Nov 2026 12:00:00 GMT": inSeconds,
		"Fri, 27 Nov 2026 12:00:00 UTC": asText,
	} {
		if got := retry(field); got != want {
			t.Errorf("retry(%q) = %q, want %q", field, got, want)
		}
	}
}

// TestAddresses holds that no two clients share a key.
func TestAddresses(t *testing.T) {
	t.Parallel()
	hosts := make(map[string]bool)
	const n = 200_000
	for i := range n {
		r := http.Request{RemoteAddr: address(i)}
		h, err := host(&r)
		if err != nil {
			t.Fatal(err)
		}
		hosts[h] = true
	}
	if len(hosts) != n {
		t.Errorf("%d hosts of %d addresses", len(hosts), n)
	}
	many := rows[1]
	seen := make(map[string]bool)
	for _, addr := range many.visits() {
		seen[addr] = true
	}
	if len(seen) < many.keys*9/10 || len(seen) > many.keys {
		t.Errorf("visits by %d addresses, want nearly %d", len(seen), many.keys)
	}
}

// won are results that reach every goal.
func won() results {
	res := make(results)
	for _, r := range rows {
		for _, c := range contestants {
			res[key{r.name, c.name}] = contest.Result{Time: 1000, Allocs: 10}
			if !c.peer {
				res[key{r.name, c.name}] = contest.Result{Time: 400, Allocs: 1}
			}
		}
		res[key{r.name, "x/time map"}] = contest.Result{Time: 100}
		res[key{r.name, "no fields"}] = contest.Result{Time: 60}
	}
	return res
}

func TestJudge(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		key  key
		to   contest.Result
		want []string
	}{
		{"all reached", key{"one key", "gatehouse"}, contest.Result{Time: 450, Allocs: 2}, nil},
		{
			"too slow",
			key{"one key", "gatehouse"},
			contest.Result{Time: 460, Allocs: 2},
			[]string{"one key: gatehouse takes 460 ns, 0.46 of the 1000 ns of ulule, want at most 0.45"},
		},
		{
			"a faster peer",
			key{"100,000 keys", "sethvargo"},
			contest.Result{Time: 500, Allocs: 9},
			[]string{
				"100,000 keys: gatehouse takes 400 ns, 0.80 of the 500 ns of sethvargo, want at most 0.70",
			},
		},
		{
			"too many allocations",
			key{"one key", "gatehouse"},
			contest.Result{Time: 400, Allocs: 3},
			[]string{"one key: gatehouse allocates 3 times, want at most 2"},
		},
		{
			"both fields, whose time does not matter",
			key{"one key", "both fields"},
			contest.Result{Time: 2000, Allocs: 3},
			[]string{"one key: both fields allocates 3 times, want at most 2"},
		},
		{
			"an allocation without fields, where the time does not matter",
			key{"one key", "no fields"},
			contest.Result{Time: 1000, Allocs: 1},
			[]string{"one key: no fields allocates 1 times, want at most 0"},
		},
		{"a peer without fields is another class", key{"denied", "x/time map"}, contest.Result{Time: 1}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			res := won()
			res[tt.key] = tt.to
			if got := res.judge(); !slices.Equal(got, tt.want) {
				t.Errorf("judge = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestJudgeMemory(t *testing.T) {
	t.Parallel()
	if got := judgeMemory(map[string]int64{"gatehouse": capBytes + spareBytes, "ulule": 1 << 30}); len(got) > 0 {
		t.Errorf("judgeMemory = %q, want nothing", got)
	}
	want := []string{"memory: gatehouse keeps 4.62 MB, want at most 3.62"}
	if got := judgeMemory(map[string]int64{"gatehouse": capBytes + 2*spareBytes}); !slices.Equal(got, want) {
		t.Errorf("judgeMemory = %q, want %q", got, want)
	}
}

// TestFlood holds that what a contestant keeps is seen. It is not parallel to
// others, whose garbage would be weighed, too.
func TestFlood(t *testing.T) {
	var leak [][]byte
	c := contestant{build: func(quota, http.Handler, func(func())) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			leak = append(leak, make([]byte, 1<<16))
			w.WriteHeader(http.StatusOK)
		}), nil
	}}
	got, err := c.flood(1000)
	if err != nil || got < 1000<<16 {
		t.Errorf("flood = %d, %v; want at least %d", got, err, 1000<<16)
	}
	if len(leak) != 1000 {
		t.Errorf("%d requests, want 1000", len(leak))
	}
}

// TestRun holds that the program measures and prints every row that is not
// counted in Redis. Who wins is not for a test.
func TestRun(t *testing.T) {
	var out bytes.Buffer
	lost, err := run([]string{"-rounds", "1", "-time", "1us", "-keys", "1000", "-no-redis"}, &out)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if !strings.Contains(out.String(), r.name+"  ") {
			t.Errorf("no %s in\n%s", r.name, out.String())
		}
	}
	for _, c := range contestants {
		if !strings.Contains(out.String(), " "+c.name+"  ") {
			t.Errorf("no %s in\n%s", c.name, out.String())
		}
	}
	for _, c := range throttlers {
		if !strings.Contains(out.String(), " "+c.name+"  ") {
			t.Errorf("no %s in\n%s", c.name, out.String())
		}
	}
	if want := "Left out is what is counted in Redis: -no-redis\n"; !strings.Contains(out.String(), want) {
		t.Errorf("no %q in\n%s", want, out.String())
	}
	if slices.ContainsFunc(lost, func(l string) bool { return strings.HasPrefix(l, "Redis") }) {
		t.Errorf("lost = %q, want nothing of Redis, which was left out", lost)
	}
	if got, want := strings.Count(out.String(), "LOST: "), len(lost); got != want {
		t.Errorf("%d lines of losses, want %d", got, want)
	}
	for _, args := range [][]string{{"-rounds", "0"}, {"-time", "0"}, {"-keys", "0"}, {"-keys", "16777217"}, {"-redis", "127.0.0.1:1", "-no-redis"}, {"-redis-time", "0"}, {"x"}, {"-x"}} {
		if _, err := run(args, new(bytes.Buffer)); err == nil {
			t.Errorf("run(%q) = nil, want an error", args)
		}
	}
}

// BenchmarkLimit is each row for each contestant.
func BenchmarkLimit(b *testing.B) {
	if _, err := check(); err != nil {
		b.Fatal(err)
	}
	plain := strings.NewReplacer(" ", "-", "/", "-")
	for _, r := range rows {
		line, err := r.cells(b.Cleanup)
		if err != nil {
			b.Fatal(err)
		}
		for _, c := range line.Cells {
			b.Run(plain.Replace(r.name)+"/"+plain.Replace(c.Key.contestant), func(b *testing.B) {
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

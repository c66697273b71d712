package main

import (
	"bytes"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// needRedis skips a test that cannot do without a redis-server, but not in CI.
func needRedis(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		const left = "no redis-server: not tested are the rows in Redis"
		if os.Getenv("CI") == "true" {
			t.Fatal(left)
		}
		t.Skip(left)
	}
}

// TestRunRedis holds that the program measures and prints every row in Redis,
// each with as many round trips as there have to be.
func TestRunRedis(t *testing.T) {
	needRedis(t)
	f, err := newRedisField("") // which asks whether all limit each address
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	all, err := f.measure(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range redisRows {
		for _, s := range sharers {
			want := 0.0
			if r.far {
				want = float64(r.limits)
				if !s.peer {
					want = 1
				}
			}
			got := all[key{r.name, s.name}]
			if got.perSecond <= 0 || got.trips != want || (got.times > 0) == s.peer {
				t.Errorf("%s: %s: %+v, want some requests with %v round trips each", r.name, s.name, got, want)
			}
		}
	}
	for _, s := range sharers {
		got := all[key{hotRow, s.name}].trips
		if s.peer && got != 1 || !s.peer && got > hotTrips {
			t.Errorf("%s: %s: %v round trips", hotRow, s.name, got)
		}
	}
	got, err := f.compare(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	text := got.title + "\n" + got.table
	for _, want := range []string{"redis_version ", "3 limits\t", "3 limits +1 ms\t", "1 limit\t", "denied hot key\t", "\ngatehouse\t", "\nulule\t", "\nredis_rate\t"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// TestRunWithoutRedis holds that it is a loss when there is none.
func TestRunWithoutRedis(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	var out bytes.Buffer
	lost, err := run([]string{"-rounds", "1", "-time", "1us", "-keys", "1"}, &out)
	if err != nil {
		t.Fatal(err)
	}
	if want := "Left out is what is counted in Redis: there is no redis-server in the PATH\n"; !strings.Contains(out.String(), want) {
		t.Errorf("no %q in\n%s", want, out.String())
	}
	if !slices.ContainsFunc(lost, func(l string) bool { return strings.HasPrefix(l, "Redis: ") }) {
		t.Errorf("lost = %q, want Redis among them", lost)
	}
}

// TestSend holds that all clients of a cell send, that all requests are counted,
// and that a wrong answer is noticed.
func TestSend(t *testing.T) {
	t.Parallel()
	var got atomic.Int64
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got.Add(1)
		if r.RemoteAddr == "bad" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
	c := cell{clients: []*client{newClient(h), newClient(h), newClient(h)}, addrs: []string{"a", "b"}, status: http.StatusOK}
	n, perSecond, err := c.send(func(sent int) bool { return sent < 5 })
	if err != nil || n != 15 || got.Load() != 15 || perSecond <= 0 {
		t.Errorf("send = %d, %v, %v with %d requests, want 15", n, perSecond, err, got.Load())
	}
	if n, _, err = c.send(func(int) bool { return false }); err != nil || n != 3 {
		t.Errorf("send = %d, %v, want one request of each client", n, err)
	}
	c.addrs[1] = "bad"
	if _, _, err := c.send(func(sent int) bool { return sent < 5 }); err == nil || !strings.Contains(err.Error(), "answered 503 to bad, want 200") {
		t.Errorf("send = %v, want to know of the 503", err)
	}
}

func TestJudgeRedis(t *testing.T) {
	t.Parallel()
	won := paces{
		key{"3 limits", "gatehouse"}:       {times: 2.5},
		key{"3 limits +1 ms", "gatehouse"}: {times: 2.5, trips: 1},
		key{"1 limit", "gatehouse"}:        {times: 0.1},
		key{"1 limit +1 ms", "gatehouse"}:  {times: 0.1, trips: 1},
		key{hotRow, "gatehouse"}:           {trips: 0.05},
	}
	for _, tt := range []struct {
		name string
		key  key
		to   pace
		want []string
	}{
		{"all reached", key{"3 limits", "gatehouse"}, pace{times: 2.5}, nil},
		{
			"too slow",
			key{"3 limits", "gatehouse"},
			pace{times: 2.4},
			[]string{"Redis, 3 limits: gatehouse answers 2.40 times as many requests as ulule, want at least 2.50"},
		},
		{
			"too slow from afar",
			key{"3 limits +1 ms", "gatehouse"},
			pace{times: 1.25},
			[]string{"Redis, 3 limits +1 ms: gatehouse answers 1.25 times as many requests as ulule, want at least 2.50"},
		},
		{
			"asks too often",
			key{hotRow, "gatehouse"},
			pace{trips: 0.06},
			[]string{"Redis, denied hot key: gatehouse asks 0.060 times for each request, want at most 0.05"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			all := maps.Clone(won)
			all[tt.key] = tt.to
			if got := all.judge(); !slices.Equal(got, tt.want) {
				t.Errorf("judge = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		of   []float64
		want float64
	}{
		{[]float64{2}, 2},
		{[]float64{9, 1, 2}, 2},
		{[]float64{9, 1, 2, 3}, 2.5},
	} {
		if got := median(slices.Clone(tt.of)); got != tt.want {
			t.Errorf("median(%v) = %v, want %v", tt.of, got, tt.want)
		}
	}
}

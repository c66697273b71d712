package main

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"testing"
	"time"
)

// A key names a result.
type key struct{ row, alg, contestant string }

// A result is what one request costs.
type result struct {
	time   time.Duration
	allocs float64
}

type results map[key]result

// An entry is a contestant for an algorithm.
type entry struct{ alg, contestant string }

// A field is every contestant for every algorithm.
type field struct {
	algs     []*algorithm
	handlers map[entry]http.Handler
}

func newField() (*field, error) {
	f := &field{handlers: make(map[entry]http.Handler)}
	for _, name := range algNames {
		alg, err := newAlgorithm(name)
		if err != nil {
			return nil, err
		}
		f.algs = append(f.algs, alg)
		for _, c := range contestants {
			h, err := c.build(alg)
			if err != nil {
				return nil, fmt.Errorf("%s for %s: %w", c.name, name, err)
			}
			f.handlers[entry{name, c.name}] = h
		}
	}
	return f, nil
}

// check asks every contestant everything once. It returns where they differ by
// what is known of them, and an error where they differ otherwise.
func (f *field) check() (differences []string, err error) {
	for _, alg := range f.algs {
		if !alg.bare() {
			return nil, fmt.Errorf("bare %s refuses a good signature", alg.name)
		}
		for _, row := range slices.Concat(rows, unmeasured) {
			for _, c := range contestants {
				w := newWriter()
				f.handlers[entry{alg.name, c.name}].ServeHTTP(w, alg.request(row))
				if want := c.answer(row); w.status != want {
					return nil, fmt.Errorf("%s answers %d to %s %s, want %d", c.name, w.status, row, alg.name, want)
				}
				if c.differs[row] != 0 && alg == f.algs[0] {
					differences = append(differences, fmt.Sprintf("%s: %d to %s", c.name, w.status, row))
				}
			}
		}
	}
	return differences, nil
}

// A cell is what is measured together.
type cell struct {
	key    key
	once   func()
	verify func() error
	n      int // how often in a burst
}

func (f *field) row(row string, alg *algorithm) []*cell {
	var cells []*cell
	if row == admitted {
		cells = append(cells, &cell{
			key: key{row, alg.name, bareName}, once: func() { alg.bare() }, verify: func() error { return nil },
		})
	}
	for _, c := range contestants {
		h, r, w := f.handlers[entry{alg.name, c.name}], alg.request(row), newWriter()
		want := c.answer(row)
		cells = append(cells, &cell{
			key: key{row, alg.name, c.name},
			once: func() {
				w.status = 0
				clear(w.header) // net/http makes a new one
				h.ServeHTTP(w, r)
			},
			verify: func() error {
				if w.status != want {
					return fmt.Errorf("%s answered %d to %s %s in the end, want %d", c.name, w.status, row, alg.name, want)
				}
				return nil
			},
		})
	}
	return cells
}

// bursts are how many parts the time of a contestant in a round has. They
// alternate with those of the others, and the shortest counts: what disturbs a
// machine is often shorter than a round.
const bursts = 25

// A difference between two figures of a row that is admitted is a goal, small
// beside either: these rows get more.
const turnsAdmitted = 3

// measure also returns how many times as long the slowest round took as the
// fastest one, in the median of all contestants and rows.
func (f *field) measure(rounds int, each time.Duration) (res results, noise float64, err error) {
	table := make([][]*cell, 0, len(rows)*len(f.algs))
	res = make(results)
	for _, row := range rows {
		for _, alg := range f.algs {
			cells := f.row(row, alg)
			table = append(table, cells)
			for _, c := range cells {
				const tries = 64
				c.n = max(1, int(each/bursts/max(1, elapsed(tries, c.once)/tries)))
				res[c.key] = result{math.MaxInt64, testing.AllocsPerRun(100, c.once)}
			}
		}
	}
	slowest := make(map[key]time.Duration)
	for round := range rounds {
		for _, cells := range table {
			for k, least := range alternate(cells, round) {
				res[k] = result{min(res[k].time, least), res[k].allocs}
				slowest[k] = max(slowest[k], least)
			}
			for _, c := range cells {
				if err := c.verify(); err != nil {
					return nil, 0, err
				}
			}
		}
	}
	ratios := make([]float64, 0, len(res))
	for k, r := range res {
		ratios = append(ratios, float64(slowest[k])/float64(r.time))
	}
	slices.Sort(ratios)
	return res, ratios[len(ratios)/2], nil
}

// alternate measures the cells of a row for one round.
func alternate(cells []*cell, round int) map[key]time.Duration {
	least := make(map[key]time.Duration)
	runtime.GC() // nobody pays for what the last row left
	turns := bursts
	if cells[0].key.row == admitted {
		turns *= turnsAdmitted
	}
	for burst := range turns {
		for i := range cells {
			c := cells[(i+burst+round)%len(cells)]
			d := elapsed(c.n, c.once) / time.Duration(c.n)
			if before, ok := least[c.key]; !ok || d < before {
				least[c.key] = d
			}
		}
	}
	return least
}

// elapsed returns how long f takes n times.
func elapsed(n int, f func()) time.Duration {
	start := clock()
	for range n {
		f()
	}
	return clock() - start
}

// request returns a request of that row, in a context such as a server's.
func (alg *algorithm) request(row string) *http.Request {
	ctx := context.WithValue(context.Background(), http.ServerContextKey, &http.Server{ReadHeaderTimeout: time.Second})
	ctx = context.WithValue(ctx, http.LocalAddrContextKey, &net.TCPAddr{Port: 443})
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "https://api.example.com/orders?page=2", http.NoBody)
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Accept-Encoding", "gzip")
	r.Header.Set("User-Agent", "orders-client/1.4")
	if token := alg.tokens[row]; token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

// A writer keeps the status alone and costs nothing.
type writer struct {
	header http.Header
	status int
}

func newWriter() *writer { return &writer{header: make(http.Header)} }

func (w *writer) Header() http.Header         { return w.header }
func (w *writer) WriteHeader(status int)      { w.status = status }
func (w *writer) Write(b []byte) (int, error) { return len(b), nil }

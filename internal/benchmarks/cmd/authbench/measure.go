package main

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/benchmarks/internal/contest"
)

// A key names a result.
type key struct{ row, alg, contestant string }

// A result is what one request costs.
type result contest.Result

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
				w := contest.NewWriter()
				f.handlers[entry{alg.name, c.name}].ServeHTTP(w, alg.request(row))
				if want := c.answer(row); w.Status != want {
					return nil, fmt.Errorf("%s answers %d to %s %s, want %d", c.name, w.Status, row, alg.name, want)
				}
				if c.differs[row] != 0 && alg == f.algs[0] {
					differences = append(differences, fmt.Sprintf("%s: %d to %s", c.name, w.Status, row))
				}
			}
		}
	}
	return differences, nil
}

func (f *field) row(row string, alg *algorithm) contest.Row[key] {
	r := contest.Row[key]{Turns: 1}
	if row == admitted {
		r.Turns = turnsAdmitted
		r.Cells = append(r.Cells, &contest.Cell[key]{
			Key: key{row, alg.name, bareName}, Once: func() { alg.bare() }, Verify: func() error { return nil },
		})
	}
	for _, c := range contestants {
		h, req, w := f.handlers[entry{alg.name, c.name}], alg.request(row), contest.NewWriter()
		want := c.answer(row)
		r.Cells = append(r.Cells, &contest.Cell[key]{
			Key: key{row, alg.name, c.name},
			Once: func() {
				w.Reset()
				h.ServeHTTP(w, req)
			},
			Verify: func() error {
				if w.Status != want {
					return fmt.Errorf("%s answered %d to %s %s in the end, want %d", c.name, w.Status, row, alg.name, want)
				}
				return nil
			},
		})
	}
	return r
}

// A difference between two figures of a row that is admitted is a goal, small
// beside either: these rows get more.
const turnsAdmitted = 3

// measure also returns how many times as long the slowest round took as the
// fastest one, in the median of all contestants and rows.
func (f *field) measure(rounds int, each time.Duration) (res results, noise float64, err error) {
	table := make([]contest.Row[key], 0, len(rows)*len(f.algs))
	for _, row := range rows {
		for _, alg := range f.algs {
			table = append(table, f.row(row, alg))
		}
	}
	measured, noise, err := contest.Measure(table, rounds, each)
	res = make(results, len(measured))
	for k, r := range measured {
		res[k] = result(r)
	}
	return res, noise, err
}

// request returns a request of that row.
func (alg *algorithm) request(row string) *http.Request {
	r := contest.NewRequest(contest.ServerContext())
	if token := alg.tokens[row]; token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

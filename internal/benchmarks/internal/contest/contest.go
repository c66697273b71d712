// Package contest measures contestants side by side, for the programs that
// compare this library with its peers. What counts is CPU time, the least of
// all rounds; in a round the contestants of a row take turns, each time in
// another order.
package contest

import (
	"math"
	"runtime"
	"slices"
	"testing"
	"time"
)

// A Result is what one run of a [Cell] costs.
type Result struct {
	Time   time.Duration
	Allocs float64
}

// A Cell is one contestant in one row.
type Cell[K comparable] struct {
	Key    K
	Once   func()
	Verify func() error // looks at the last run

	n int // how often in a burst
}

// A Row is what is measured together. Where a difference between two figures
// counts that is small beside either, it gets more than one turn.
type Row[K comparable] struct {
	Cells []*Cell[K]
	Turns int
}

// bursts are how many parts the time of a contestant in a round has. They
// alternate with those of the others, and the shortest counts: what disturbs a
// machine is often shorter than a round.
const bursts = 25

// Measure runs each cell for that long in each round. It also returns how many
// times as long the slowest round took as the fastest one, in the median of all
// cells.
func Measure[K comparable](rows []Row[K], rounds int, each time.Duration) (res map[K]Result, noise float64, err error) {
	res = make(map[K]Result)
	for _, row := range rows {
		for _, c := range row.Cells {
			const tries = 64
			c.n = max(1, int(each/bursts/max(1, elapsed(tries, c.Once)/tries)))
			res[c.Key] = Result{math.MaxInt64, testing.AllocsPerRun(100, c.Once)}
		}
	}
	slowest := make(map[K]time.Duration)
	for round := range rounds {
		for _, row := range rows {
			for k, least := range row.alternate(round) {
				res[k] = Result{min(res[k].Time, least), res[k].Allocs}
				slowest[k] = max(slowest[k], least)
			}
			for _, c := range row.Cells {
				if err := c.Verify(); err != nil {
					return nil, 0, err
				}
			}
		}
	}
	ratios := make([]float64, 0, len(res))
	for k, r := range res {
		ratios = append(ratios, float64(slowest[k])/float64(r.Time))
	}
	slices.Sort(ratios)
	return res, ratios[len(ratios)/2], nil
}

// alternate measures the cells of a row for one round.
func (row Row[K]) alternate(round int) map[K]time.Duration {
	least := make(map[K]time.Duration)
	runtime.GC() // nobody pays for what the last row left
	for burst := range bursts * row.Turns {
		for i := range row.Cells {
			c := row.Cells[(i+burst+round)%len(row.Cells)]
			d := elapsed(c.n, c.Once) / time.Duration(c.n)
			if before, ok := least[c.Key]; !ok || d < before {
				least[c.Key] = d
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

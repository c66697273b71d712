package main

import (
	"fmt"
	"time"
)

const (
	maxOverhead = 0.15 // of bare RS256
	maxAllocs   = 20
	minSpeedup  = 20
)

var goals = []string{ //nolint:gochecknoglobals // immutable
	fmt.Sprintf("over bare: at most %.2f of bare RS256, and %d allocations", maxOverhead, maxAllocs),
	"faster than every peer in every row, with and without cache",
	fmt.Sprintf("with cache at least %d times as fast as the best peer, but for HS256", minSpeedup),
}

// judge returns the goals that were missed, by row.
func judge(res results) (lost []string) {
	miss := func(format string, args ...any) { lost = append(lost, fmt.Sprintf(format, args...)) }
	for _, alg := range algNames {
		o := res.overhead(alg)
		if o.ofRS256 > maxOverhead {
			miss("%s: %s us over bare, %.3f of bare RS256, want at most %.2f", alg, us(o.time), o.ofRS256, maxOverhead)
		}
		if o.allocs > maxAllocs {
			miss("%s: %.0f allocations over bare, want at most %d", alg, o.allocs, maxAllocs)
		}
		if s := res.speedup(alg); alg != "HS256" && s < minSpeedup {
			miss("%s: with cache %.1f times as fast as the best peer, want at least %d", alg, s, minSpeedup)
		}
	}
	for _, row := range rows {
		for _, alg := range algNames {
			for _, c := range contestants {
				own, ok := res[key{row, alg, c.name}]
				if c.peer || !ok {
					continue
				}
				if peer, name := res.best(row, alg); own.Time >= peer {
					miss("%s %s: %s takes %s us, %s takes %s us", row, alg, c.name, us(own.Time), name, us(peer))
				}
			}
		}
	}
	return lost
}

// best returns the fastest peer of a row.
func (res results) best(row, alg string) (best time.Duration, name string) {
	for _, c := range contestants {
		if r, ok := res[key{row, alg, c.name}]; c.peer && ok && (name == "" || r.Time < best) {
			best, name = r.Time, c.name
		}
	}
	return best, name
}

// An overhead is what a gate costs beyond the signature check.
type overhead struct {
	time    time.Duration
	ofRS256 float64
	allocs  float64
}

func (res results) overhead(alg string) overhead {
	bare, own := res[key{admitted, alg, bareName}], res[key{admitted, alg, ownName}]
	d := own.Time - bare.Time
	return overhead{d, float64(d) / float64(res[key{admitted, "RS256", bareName}].Time), own.Allocs - bare.Allocs}
}

// speedup returns how many times as fast as the best peer the cache is.
func (res results) speedup(alg string) float64 {
	peer, _ := res.best(admitted, alg)
	return float64(peer) / float64(res[key{admitted, alg, cachedName}].Time)
}

package main

import (
	"fmt"
	"strings"
)

// goals lists what is to be reached.
func goals() (all []string) {
	for _, r := range rows {
		for _, class := range []struct {
			name string
			b    bound
		}{{"", r.fields}, {", without fields", r.bare}} {
			if class.b == (bound{}) {
				continue
			}
			var parts []string
			if class.b.share != anyTime {
				parts = append(parts, fmt.Sprintf("%.2f of the best peer's time", class.b.share))
			}
			if class.b.allocs != anyAllocs {
				parts = append(parts, fmt.Sprintf("%.0f allocations", class.b.allocs))
			}
			text := fmt.Sprintf("%s%s: at most %s", r.name, class.name, strings.Join(parts, ", and "))
			if class.b.share == anyTime {
				text += "; the time beside the best peer's is for information"
			}
			all = append(all, text)
		}
	}
	all = append(all, "both fields: the time is for information, since peers send half as many fields; the same allocations")
	all = append(all, redisGoals()...)
	all = append(all, fmt.Sprintf("throttle: at most %.2f of the best peer's time, with a queue and without", throttleShare))
	return append(all, fmt.Sprintf("memory: at most %s MB whatever comes, %s MB for the table and 1 MB for all else", mb(capBytes+spareBytes), mb(capBytes)))
}

// judge returns the goals that were missed in CPU time and allocations.
func (res results) judge() (lost []string) {
	for _, r := range rows {
		for _, c := range contestants {
			b := r.bound(c)
			if c.peer || b == (bound{}) {
				continue
			}
			own := res[key{r.name, c.name}]
			peer, name := res.best(r.name, c.fields)
			if share := float64(own.Time) / float64(peer); b.share != anyTime && share > b.share {
				lost = append(lost, fmt.Sprintf("%s: %s takes %d ns, %.2f of the %d ns of %s, want at most %.2f", r.name, c.name, own.Time, share, peer, name, b.share))
			}
			if b.allocs != anyAllocs && own.Allocs > b.allocs {
				lost = append(lost, fmt.Sprintf("%s: %s allocates %.0f times, want at most %.0f", r.name, c.name, own.Allocs, b.allocs))
			}
		}
	}
	return lost
}

// bound is what a contestant is measured by.
func (r *row) bound(c *contestant) bound {
	if !c.fields {
		return r.bare
	}
	b := r.fields
	if c.more {
		b.share = anyTime
	}
	return b
}

// judgeMemory returns who keeps too much.
func judgeMemory(kept map[string]int64) (lost []string) {
	for _, c := range contestants {
		if n := kept[c.name]; !c.peer && n > capBytes+spareBytes {
			lost = append(lost, fmt.Sprintf("memory: %s keeps %s MB, want at most %s", c.name, mb(n), mb(capBytes+spareBytes)))
		}
	}
	return lost
}

func mb(bytes int64) string { return fmt.Sprintf("%.2f", float64(bytes)/1e6) }

// share compares ours with the best peer's; "" where there is no goal.
func (res results) share(r *row, c *contestant) string {
	b := r.bound(c)
	if c.peer || b == (bound{}) {
		return ""
	}
	peer, name := res.best(r.name, c.fields)
	return fmt.Sprintf("%.2f of %s", float64(res[key{r.name, c.name}].Time)/float64(peer), name)
}

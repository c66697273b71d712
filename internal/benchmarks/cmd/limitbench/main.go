// Limitbench compares package ratelimit with its peers, side by side in one
// run:
//
//	go run -C internal/benchmarks ./cmd/limitbench
//
// Each contestant is an http.Handler from end to end, set up as its README says
// and, where that leaves a choice, in the cheapest way. All count by the
// client's address and get the same requests, and nothing is measured unless
// they admit and refuse the same; where their answers differ otherwise is
// listed in the output. What counts is CPU time on one processor, the least of
// all rounds; in a round the contestants of a row take turns, each time in
// another order. Then each is flooded with addresses, and what it keeps of
// them is weighed. It exits with 1 if one of the goals is missed.
package main

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"text/tabwriter"

	"github.com/gatehouse-go/gatehouse/internal/benchmarks/internal/contest"
)

func main() { contest.Main("limitbench", run) }

// run measures, prints, and returns what was lost.
func run(args []string, out io.Writer) (lost []string, err error) {
	flags := contest.NewFlags("limitbench", out)
	keys := flags.Int("keys", 1_000_000, "from how many addresses each contestant is flooded")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if *keys < 1 || *keys > 1<<24 {
		return nil, errors.New("want -keys of 1 to 16777216")
	}
	runtime.GOMAXPROCS(1)
	differences, err := check()
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(out, "%s\n\n", flags.Conditions()); err != nil {
		return nil, err
	}
	kept, err := flood(*keys)
	if err != nil {
		return nil, err
	}
	res, noise, err := measure(flags.Rounds, flags.Each)
	if err != nil {
		return nil, err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	if _, err := io.WriteString(table, res.table(kept, *keys)); err != nil {
		return nil, err
	}
	if err := table.Flush(); err != nil {
		return nil, err
	}
	lost = append(res.judge(), judgeMemory(kept)...)
	_, err = io.WriteString(out, remarks(noise, differences)+contest.Verdict(goals(), lost))
	return lost, err
}

// table has all results in cells that end with a tab, and below those of ours
// what they are beside the best peer's.
func (res results) table(kept map[string]int64, keys int) string {
	var b strings.Builder
	b.WriteString("ns (allocations)\t")
	for _, r := range rows {
		b.WriteString(r.name + "\t")
	}
	fmt.Fprintf(&b, "MB after %d addresses\t", keys)
	for _, fields := range []bool{true, false} {
		for _, c := range contestants {
			if c.fields != fields {
				continue
			}
			fmt.Fprintf(&b, "\n%s\t", c.name)
			for _, r := range rows {
				one := res[key{r.name, c.name}]
				fmt.Fprintf(&b, "%d (%.0f)\t", one.Time, one.Allocs)
			}
			b.WriteString(mb(kept[c.name]) + "\t")
			if c.peer {
				continue
			}
			b.WriteString("\n\t")
			for _, r := range rows {
				b.WriteString(res.share(r, c) + "\t")
			}
			b.WriteString("\t")
		}
	}
	return b.String() + "\n"
}

func remarks(noise float64, differences []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nThe slowest round took %.2f times as long as the fastest one, in the median.\n", noise)
	b.WriteString("\nHow they are set up:\n")
	for _, c := range contestants {
		fmt.Fprintf(&b, "  %s: %s\n", c.name, c.setup)
	}
	fmt.Fprintf(&b, "\nRefusals that differ:\n  %s\n", strings.Join(differences, "\n  "))
	return b.String()
}

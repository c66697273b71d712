// Authbench compares the bearer gate of package auth with its peers, side by
// side in one run, and with the signature check alone that none can do without:
//
//	go run -C internal/benchmarks ./cmd/authbench
//
// Each contestant is an http.Handler from end to end, set up as its README says
// and, where that leaves a choice, in the cheapest way. All get the same
// requests, and nothing is measured unless they give the same answers, or others
// that are listed in the output. What counts is CPU time on one processor, the
// least of all rounds; in a round the contestants of a row take turns, each time
// in another order. It exits with 1 if one of the goals in goals.go is missed.
package main

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/benchmarks/internal/contest"
)

func main() { contest.Main("authbench", run) }

// run measures, prints, and returns what was lost.
func run(args []string, out io.Writer) ([]string, error) {
	flags := contest.NewFlags("authbench", out)
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	runtime.GOMAXPROCS(1)
	field, err := newField()
	if err != nil {
		return nil, err
	}
	differences, err := field.check()
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(out, "%s\n\n", flags.Conditions()); err != nil {
		return nil, err
	}
	res, noise, err := field.measure(flags.Rounds, flags.Each)
	if err != nil {
		return nil, err
	}
	lost := judge(res)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	if _, err := io.WriteString(table, res.table()); err != nil {
		return nil, err
	}
	if err := table.Flush(); err != nil {
		return nil, err
	}
	_, err = io.WriteString(out, remarks(noise, differences, lost))
	return lost, err
}

// table has all results, and what is to be compared with the goals, in cells
// that end with a tab.
func (res results) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "us (allocations)\t%s\t", bareName)
	for _, c := range contestants {
		b.WriteString(c.name + "\t")
	}
	for _, row := range rows {
		for _, alg := range algNames {
			fmt.Fprintf(&b, "\n%s %s\t%s\t", row, alg, res[key{row, alg, bareName}])
			for _, c := range contestants {
				fmt.Fprintf(&b, "%s\t", res[key{row, alg, c.name}])
			}
		}
	}
	b.WriteString("\n\t\nover bare\tus\tof bare RS256\tallocations\tbest peer / cached\t\n")
	for _, alg := range algNames {
		o := res.overhead(alg)
		fmt.Fprintf(&b, "%s\t%s\t%.3f\t%.0f\t%.1f\t\n", alg, us(o.time), o.ofRS256, o.allocs, res.speedup(alg))
	}
	return b.String()
}

func remarks(noise float64, differences, lost []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nThe slowest round took %.2f times as long as the fastest one, in the median.\n", noise)
	b.WriteString("\nHow they are set up:\n")
	for _, c := range contestants {
		fmt.Fprintf(&b, "  %s: %s\n", c.name, c.setup)
	}
	fmt.Fprintf(&b, "\nAnswers that differ:\n  %s\n", strings.Join(differences, "\n  "))
	b.WriteString(contest.Verdict(goals, lost))
	return b.String()
}

// String is empty for what was not measured.
func (r result) String() string {
	if r.Time == 0 {
		return ""
	}
	return fmt.Sprintf("%s (%.0f)", us(r.Time), r.Allocs)
}

func us(d time.Duration) string {
	return fmt.Sprintf("%.2f", float64(d)/float64(time.Microsecond))
}

// Authbench compares the bearer gate of package auth with its peers, side by
// side in one run, and with the signature check alone that none can do without:
//
//	go run -C internal/benchmarks ./cmd/authbench
//
// Each contestant is an http.Handler from end to end, set up as its README says
// and, where that leaves a choice, in the cheapest way. All get the same
// requests, and nothing is measured unless they give the same answers, or others
// that are listed in the output. In each round every contestant is measured
// once, in another order each time, by the CPU time of the process on one
// processor; the least of the rounds counts. It exits with 1 if one of the goals
// in goals.go is missed.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

func main() {
	lost, err := run(os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "authbench:", err)
		os.Exit(2) //nolint:forbidigo // a command
	case len(lost) > 0:
		os.Exit(1) //nolint:forbidigo // a command
	}
}

// run measures, prints, and returns what was lost.
func run(args []string, out io.Writer) ([]string, error) {
	flags := flag.NewFlagSet("authbench", flag.ContinueOnError)
	flags.SetOutput(out)
	rounds := flags.Int("rounds", 10, "how often each contestant is measured")
	each := flags.Duration("time", 50*time.Millisecond, "for how long each time")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if *rounds < 1 || *each <= 0 || flags.NArg() > 0 {
		return nil, errors.New("want -rounds of 1 or more, -time above 0 and no arguments")
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
	fmt.Fprintf(out, "%s %s/%s, %s, the least of %d rounds of %v\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, clockName, *rounds, *each)
	res, noise, err := field.measure(*rounds, *each)
	if err != nil {
		return nil, err
	}
	res.print(out)
	fmt.Fprintf(out, "\nThe slowest round took %.2f times as long as the fastest one, in the median.\n", noise)
	fmt.Fprintf(out, "\nHow they are set up:\n")
	for _, c := range contestants {
		fmt.Fprintf(out, "  %s: %s\n", c.name, c.setup)
	}
	fmt.Fprintf(out, "\nAnswers that differ:\n")
	for _, d := range differences {
		fmt.Fprintf(out, "  %s\n", d)
	}
	lost := judge(res)
	fmt.Fprintf(out, "\nGoals:\n")
	for _, g := range goals {
		fmt.Fprintf(out, "  %s\n", g)
	}
	if len(lost) == 0 {
		fmt.Fprintf(out, "All reached.\n")
	}
	for _, l := range lost {
		fmt.Fprintf(out, "LOST: %s\n", l)
	}
	return lost, nil
}

// print prints a table of all results, and one of what is to be compared with
// the goals.
func (res results) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	columns := []string{bareName}
	for _, c := range contestants {
		columns = append(columns, c.name)
	}
	fmt.Fprintf(w, "us (allocations)\t%s\t\n", strings.Join(columns, "\t"))
	for _, row := range rows {
		for _, alg := range algNames {
			fmt.Fprintf(w, "%s %s\t", row, alg)
			for _, c := range columns {
				if r, ok := res[key{row, alg, c}]; ok {
					fmt.Fprintf(w, "%s (%.0f)", us(r.time), r.allocs)
				}
				fmt.Fprint(w, "\t")
			}
			fmt.Fprintln(w)
		}
	}
	fmt.Fprintf(w, "\t\nover bare\tus\tof bare RS256\tallocations\tbest peer / cached\t\n")
	for _, alg := range algNames {
		o := res.overhead(alg)
		fmt.Fprintf(w, "%s\t%s\t%.3f\t%.0f\t%.1f\t\n", alg, us(o.time), o.ofRS256, o.allocs, res.speedup(alg))
	}
	_ = w.Flush()
}

func us(d time.Duration) string {
	return fmt.Sprintf("%.2f", float64(d)/float64(time.Microsecond))
}

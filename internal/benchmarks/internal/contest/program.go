package contest

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

// Main runs a program of that name. It exits with 1 if something was lost, and
// with 2 if it could not be found out.
func Main(name string, run func(args []string, out io.Writer) (lost []string, err error)) {
	lost, err := run(os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(2) //nolint:forbidigo // a command
	case len(lost) > 0:
		os.Exit(1) //nolint:forbidigo // a command
	}
}

// Flags are what every program of this kind can be told.
type Flags struct {
	*flag.FlagSet

	Rounds int
	Each   time.Duration
}

// NewFlags returns the flags of the program of that name, to which it may add
// its own.
func NewFlags(name string, out io.Writer) *Flags {
	f := &Flags{FlagSet: flag.NewFlagSet(name, flag.ContinueOnError)}
	f.SetOutput(out)
	f.IntVar(&f.Rounds, "rounds", 10, "how many times everything is measured")
	f.DurationVar(&f.Each, "time", 30*time.Millisecond, "for how long a contestant is measured in a round")
	return f
}

// Parse parses args and checks them.
func (f *Flags) Parse(args []string) error {
	if err := f.FlagSet.Parse(args); err != nil {
		return err
	}
	if f.Rounds < 1 || f.Each <= 0 || f.NArg() > 0 {
		return errors.New("want -rounds of 1 or more, -time above 0 and no arguments")
	}
	return nil
}

// Conditions says how it is measured.
func (f *Flags) Conditions() string {
	return fmt.Sprintf("%s %s/%s, %s, the least of %d rounds of %v", runtime.Version(), runtime.GOOS, runtime.GOARCH, ClockName, f.Rounds, f.Each)
}

// Verdict lists the goals, and those that were lost.
func Verdict(goals, lost []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nGoals:\n  %s\n", strings.Join(goals, "\n  "))
	if len(lost) == 0 {
		b.WriteString("All reached.\n")
	}
	for _, l := range lost {
		fmt.Fprintf(&b, "LOST: %s\n", l)
	}
	return b.String()
}

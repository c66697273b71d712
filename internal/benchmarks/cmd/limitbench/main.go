// Limitbench compares packages ratelimit, redisstore and throttle with their
// peers, side by side in one run of about two minutes:
//
//	go run -C internal/benchmarks ./cmd/limitbench
//
// Each contestant is an http.Handler from end to end, set up as its README says
// and, where that leaves a choice, in the cheapest way. All count by the
// client's address and get the same requests, and nothing is measured unless
// they admit and refuse the same; where their answers differ otherwise is
// listed in the output. It exits with 1 if one of the goals is missed.
//
// # Rows of CPU time
//
// What counts is CPU time on one processor, the least of all rounds; in a round
// the contestants of a row take turns, each time in another order. Ours may take
// that much of the time of the best peer of its kind, with fields that tell how
// much is left or without:
//
//   - one key: admitted, with fields: 0.45, and 2 allocations. Without fields it
//     may allocate nothing; its time beside that of a map of x/time Limiters,
//     which tell nothing either, is for information.
//   - 100,000 keys: admitted, of addresses at random, with fields: 0.7.
//   - denied: 429 to an address that has used up its quota, with fields: 0.55.
//   - throttle: admitted by a throttle that nobody else uses, with a queue and
//     without: 0.25 of chi's.
//
// # Memory
//
// Each limiter is flooded with addresses, and what it keeps of them is weighed:
// at most the 20 bytes of each of 131,072 slots, and 1 MB.
//
// # Rows in Redis
//
// What counts is how many requests 32 clients at once get answered per second of
// wall time, with 32 connections of go-redis and as many processors as there
// are. Contestants take short turns. The table has the best turn of each; the
// goals are for all turns of a round together, in the median round. All requests
// are admitted, and come from 1000 addresses.
//
//   - 3 limits: 2.5 times as many as ulule's.
//   - 3 limits +1 ms: the same where each reply is 1 ms late: 2.5 times as many.
//   - 1 limit, 1 limit +1 ms: for information.
//   - denied hot key: of 3200 requests in each round from one address that has
//     used up the first of 3 limits, asks for 0.05 round trips each; the peers'
//     are for information.
//
// The program starts a redis-server that keeps nothing on disk, if -redis does
// not name one that runs. Without either it exits with 1, unless -no-redis
// leaves these rows out.
package main

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/benchmarks/internal/contest"
)

func main() { contest.Main("limitbench", run) }

// run measures, prints, and returns what was lost.
func run(args []string, out io.Writer) (lost []string, err error) {
	flags := contest.NewFlags("limitbench", out)
	keys := flags.Int("keys", 1_000_000, "from how many addresses each contestant is flooded")
	redisAddr := flags.String("redis", "", "the `address` of a Redis that runs (default: one that is started); what is written there ends within an hour")
	noRedis := flags.Bool("no-redis", false, "leave out what is counted in Redis")
	redisTime := flags.Duration("redis-time", 200*time.Millisecond, "for how long a contestant that counts in Redis is measured in a round")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case *keys < 1 || *keys > 1<<24:
		return nil, errors.New("want -keys of 1 to 16777216")
	case *redisTime <= 0:
		return nil, errors.New("want -redis-time above 0")
	case *noRedis && *redisAddr != "":
		return nil, errors.New("want -redis or -no-redis, not both")
	}
	var redis *redisField
	leftOut := "-no-redis"
	if !*noRedis {
		redis, err = newRedisField(*redisAddr)
		switch {
		case err == nil:
			defer redis.close()
		case errors.Is(err, errNoBinary):
			leftOut = err.Error()
			lost = []string{"Redis: " + err.Error() + ": name one that runs with -redis, or do without by -no-redis"}
		default:
			return nil, fmt.Errorf("in Redis: %w", err)
		}
	}
	differences, err := check()
	if err != nil {
		return nil, err
	}
	if err := checkThrottlers(); err != nil {
		return nil, err
	}
	processors := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(processors)
	kept, err := flood(*keys)
	if err != nil {
		return nil, err
	}
	res, noise, err := measure(flags.Rounds, flags.Each)
	if err != nil {
		return nil, err
	}
	sections := []*section{
		{flags.Conditions(), res.table(kept, *keys), append(res.judge(), judgeMemory(kept)...)},
		{"Throttles, in the same way", res.throttleTable(), res.judgeThrottle()},
		{"Left out is what is counted in Redis: " + leftOut, "", lost},
	}
	if redis != nil {
		runtime.GOMAXPROCS(processors)
		if sections[2], err = redis.compare(flags.Rounds, *redisTime); err != nil {
			return nil, fmt.Errorf("in Redis: %w", err)
		}
	}
	lost = nil
	for _, s := range sections {
		if err := s.print(out); err != nil {
			return nil, err
		}
		lost = append(lost, s.lost...)
	}
	_, err = io.WriteString(out, remarks(noise, differences)+contest.Verdict(goals(), lost))
	return lost, err
}

// A section is one table, with cells that end with a tab.
type section struct {
	title, table string
	lost         []string
}

func (s *section) print(out io.Writer) error {
	if _, err := fmt.Fprintf(out, "%s\n\n", s.title); err != nil || s.table == "" {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	if _, err := io.WriteString(table, s.table); err != nil {
		return err
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(out, "\n")
	return err
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
	fmt.Fprintf(&b, "The slowest round took %.2f times as long as the fastest one, in the median of what took CPU time.\n", noise)
	b.WriteString("\nHow they are set up:\n")
	for _, c := range contestants {
		fmt.Fprintf(&b, "  %s: %s\n", c.name, c.setup)
	}
	for _, t := range throttlers {
		fmt.Fprintf(&b, "  %s: %s\n", t.name, t.setup)
	}
	b.WriteString("In Redis:\n")
	for _, s := range sharers {
		fmt.Fprintf(&b, "  %s: %s\n", s.name, s.setup)
	}
	fmt.Fprintf(&b, "\nRefusals that differ:\n  %s\n", strings.Join(differences, "\n  "))
	return b.String()
}

package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5/middleware"

	"github.com/gatehouse-go/gatehouse/internal/benchmarks/internal/contest"
	"github.com/gatehouse-go/gatehouse/ratelimit/throttle"
)

const (
	throttleRow = "throttle"
	// throttleShare is what ours may take of the time of the best peer.
	throttleShare = 0.25
)

// A throttler bounds how many requests are in flight.
type throttler struct {
	name, setup string
	peer        bool
	refusal     int // the status
	build       func(limit int) (func(http.Handler) http.Handler, error)
}

// briefly is for how long one waits who may.
const briefly = time.Millisecond

var throttlers = []*throttler{ //nolint:gochecknoglobals // immutable
	{
		name: "throttle", refusal: http.StatusServiceUnavailable, setup: "throttle.Config{Limit: n}",
		build: func(limit int) (func(http.Handler) http.Handler, error) {
			return newThrottle(throttle.Config{Limit: limit})
		},
	},
	{
		name: "throttle with a queue", refusal: http.StatusServiceUnavailable, setup: "the same with a Queue of n",
		build: func(limit int) (func(http.Handler) http.Handler, error) {
			return newThrottle(throttle.Config{Limit: limit, Queue: limit, MaxWait: briefly})
		},
	},
	{
		name: "chi Throttle", peer: true, refusal: http.StatusTooManyRequests, setup: "go-chi/chi/v5, middleware.Throttle(n)",
		build: func(limit int) (func(http.Handler) http.Handler, error) { return middleware.Throttle(limit), nil },
	},
	{
		name: "chi ThrottleBacklog", peer: true, refusal: http.StatusTooManyRequests, setup: "the same with a backlog of n",
		build: func(limit int) (func(http.Handler) http.Handler, error) {
			return middleware.ThrottleBacklog(limit, limit, briefly), nil
		},
	},
}

func newThrottle(cfg throttle.Config) (func(http.Handler) http.Handler, error) {
	t, err := throttle.New(cfg)
	if err != nil {
		return nil, err
	}
	return t.Handler, nil
}

// throttleCells is the row of requests that have a throttle for themselves.
func throttleCells() (contest.Row[key], error) {
	line := contest.Row[key]{Turns: 1}
	for _, t := range throttlers {
		bound, err := t.build(100)
		if err != nil {
			return line, fmt.Errorf("%s: %w", t.name, err)
		}
		client := newClient(bound(ok))
		addr := address(0)
		line.Cells = append(line.Cells, &contest.Cell[key]{
			Key:  key{throttleRow, t.name},
			Once: func() { client.send(addr) },
			Verify: func() error {
				if got := client.writer.Status; got != http.StatusOK {
					return fmt.Errorf("%s answered %d in the end, want 200", t.name, got)
				}
				return nil
			},
		})
	}
	return line, nil
}

func checkThrottlers() error {
	for _, t := range throttlers {
		if err := t.check(); err != nil {
			return fmt.Errorf("%s %w", t.name, err)
		}
	}
	return nil
}

// check sends one request while another one is in flight, and one after them.
func (t *throttler) check() error {
	bound, err := t.build(1)
	if err != nil {
		return err
	}
	first, second := newClient(nil), newClient(nil)
	inner, depth := 0, 0
	h := bound(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if depth++; depth == 1 {
			second.send(address(1))
			inner = second.writer.Status
		}
		w.WriteHeader(http.StatusOK)
	}))
	first.handler, second.handler = h, h
	for range 2 {
		first.send(address(0))
		if got := first.writer.Status; got != http.StatusOK {
			return fmt.Errorf("answers %d to one request at a time, want 200", got)
		}
	}
	if inner != t.refusal {
		return fmt.Errorf("answers %d to a second request at once, want %d", inner, t.refusal)
	}
	if depth != 2 {
		return errors.New("lets in whom it refuses")
	}
	return nil
}

// bestThrottler returns the fastest peer.
func (res results) bestThrottler() (best time.Duration, name string) {
	for _, t := range throttlers {
		if d := res[key{throttleRow, t.name}].Time; t.peer && (name == "" || d < best) {
			best, name = d, t.name
		}
	}
	return best, name
}

func (res results) judgeThrottle() (lost []string) {
	best, name := res.bestThrottler()
	for _, t := range throttlers {
		own := res[key{throttleRow, t.name}].Time
		if share := float64(own) / float64(best); !t.peer && share > throttleShare {
			lost = append(lost, fmt.Sprintf("throttle: %s takes %d ns, %.2f of the %d ns of %s, want at most %.2f", t.name, own, share, best, name, throttleShare))
		}
	}
	return lost
}

// throttleTable is as results.table, with a contestant in a line.
func (res results) throttleTable() string {
	best, name := res.bestThrottler()
	var b strings.Builder
	b.WriteString("ns (allocations)\tadmitted alone\t\t\n")
	for _, t := range throttlers {
		one := res[key{throttleRow, t.name}]
		fmt.Fprintf(&b, "%s\t%d (%.0f)\t", t.name, one.Time, one.Allocs)
		if !t.peer {
			fmt.Fprintf(&b, "%.2f of %s", float64(one.Time)/float64(best), name)
		}
		b.WriteString("\t\n")
	}
	return b.String()
}

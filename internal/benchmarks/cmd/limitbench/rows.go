package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/benchmarks/internal/contest"
)

// A row is a situation that all contestants are measured in.
type row struct {
	name   string
	quota  quota
	keys   int
	status int

	// What a contestant of ours must reach, with and without fields.
	fields, bare bound
}

// A bound is a goal. The zero value is none.
type bound struct {
	share  float64 // of the best peer's time; anyTime: however long
	allocs float64 // anyAllocs: as many as it likes
}

const (
	anyTime   = -1
	anyAllocs = -1
)

// generous admits whatever comes in the time of a run, and is as much as
// gatehouse takes.
var generous = quota{600_000_000, time.Minute} //nolint:gochecknoglobals // immutable

var rows = []*row{ //nolint:gochecknoglobals // immutable
	{
		name: "one key", quota: generous, keys: 1, status: http.StatusOK,
		fields: bound{0.45, 2}, bare: bound{anyTime, 0},
	},
	{name: "100,000 keys", quota: generous, keys: 100_000, status: http.StatusOK, fields: bound{0.7, anyAllocs}},
	{name: "denied", quota: quota{1, 24 * time.Hour}, keys: 1, status: http.StatusTooManyRequests, fields: bound{0.55, anyAllocs}},
}

// A key names a result.
type key struct{ row, contestant string }

type results map[key]contest.Result

// ok is the handler behind every limiter.
var ok = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { //nolint:gochecknoglobals // immutable
	w.WriteHeader(http.StatusOK)
})

// A client sends requests to one handler.
type client struct {
	handler http.Handler
	request *http.Request
	writer  *contest.Writer
}

func newClient(h http.Handler) *client {
	// A server's context can be canceled with the connection and with the
	// request, and whoever looks something up walks through both.
	connection, cancel := context.WithCancel(contest.ServerContext()) //nolint:gosec // nothing waits for it
	ctx, cancelRequest := context.WithCancel(connection)              //nolint:gosec // nothing waits for it
	_, _ = cancel, cancelRequest
	return &client{h, contest.NewRequest(ctx), contest.NewWriter()}
}

func (c *client) send(addr string) {
	c.request.RemoteAddr = addr
	c.writer.Reset()
	c.handler.ServeHTTP(c.writer, c.request)
}

// address returns the i-th address of up to 1<<24, from a port like that of
// any client. Neighbours are far apart.
func address(i int) string {
	n := uint32(i) * 10_368_889 & (1<<24 - 1) //nolint:gosec // an odd factor: no two are the same
	b := make([]byte, 0, len("10.255.255.255:65535"))
	b = append(b, "10."...)
	for shift := 16; shift >= 0; shift -= 8 {
		b = strconv.AppendUint(b, uint64(n>>shift&255), 10)
		b = append(b, '.')
	}
	b[len(b)-1] = ':'
	return string(strconv.AppendUint(b, uint64(1024+n%60_000), 10))
}

// visits are addresses at random, one behind the other in memory: a server,
// too, has just read the address, and a limiter alone knows the key that it
// belongs to.
func (r *row) visits() []string {
	if r.keys == 1 {
		return []string{address(0)}
	}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same for all
	var all strings.Builder
	ends := make([]int, 4*r.keys)
	for i := range ends {
		all.WriteString(address(random.IntN(r.keys)))
		ends[i] = all.Len()
	}
	visits := make([]string, len(ends))
	start := 0
	for i, end := range ends {
		visits[i] = all.String()[start:end]
		start = end
	}
	return visits
}

// cells returns the contestants of the row; each knows all its clients already.
func (r *row) cells(atEnd func(func())) (contest.Row[key], error) {
	visits := r.visits()
	line := contest.Row[key]{Turns: 1}
	for _, c := range contestants {
		h, err := c.build(r.quota, ok, atEnd)
		if err != nil {
			return line, fmt.Errorf("%s: %w", c.name, err)
		}
		client := newClient(h)
		for i := range r.keys {
			client.send(address(i))
		}
		next := 0
		line.Cells = append(line.Cells, &contest.Cell[key]{
			Key: key{r.name, c.name},
			Once: func() {
				client.send(visits[next])
				if next++; next == len(visits) {
					next = 0
				}
			},
			Verify: func() error {
				if client.writer.Status != r.status {
					return fmt.Errorf("%s answered %d to %s in the end, want %d", c.name, client.writer.Status, r.name, r.status)
				}
				return nil
			},
		})
	}
	return line, nil
}

// measure also returns how many times as long the slowest round took as the
// fastest one, in the median.
func measure(rounds int, each time.Duration) (res results, noise float64, err error) {
	var ends []func()
	defer func() {
		for _, end := range ends {
			end()
		}
	}()
	table := make([]contest.Row[key], 0, len(rows))
	for _, r := range rows {
		line, err := r.cells(func(end func()) { ends = append(ends, end) })
		if err != nil {
			return nil, 0, err
		}
		table = append(table, line)
	}
	line, err := throttleCells()
	if err != nil {
		return nil, 0, err
	}
	table = append(table, line)
	return contest.Measure(table, rounds, each)
}

// check asks every contestant whether it limits each address, and returns how
// they differ by what is known of them, or an error where they differ
// otherwise.
func check() (differences []string, err error) {
	for _, c := range contestants {
		var ends []func()
		h, err := c.build(quota{2, 24 * time.Hour}, ok, func(end func()) { ends = append(ends, end) })
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		err = c.check(newClient(h))
		for _, end := range ends {
			end()
		}
		if err != nil {
			return nil, fmt.Errorf("%s %w", c.name, err)
		}
		if c.retry != inSeconds {
			differences = append(differences, c.name+": "+c.retry)
		}
	}
	return differences, nil
}

func (c *contestant) check(client *client) error {
	for _, step := range []struct {
		addr   string
		status int
	}{
		{"192.0.2.1:40000", http.StatusOK},
		{"192.0.2.1:40001", http.StatusOK},
		{"192.0.2.1:40002", http.StatusTooManyRequests},
		{"192.0.2.2:40000", http.StatusOK},
		{"192.0.2.1:40003", http.StatusTooManyRequests},
	} {
		client.send(step.addr)
		if got := client.writer.Status; got != step.status {
			return fmt.Errorf("answers %d to %s, want %d", got, step.addr, step.status)
		}
		h := client.writer.Header()
		if fields := len(h) > 0; step.status == http.StatusOK && fields != c.fields {
			return fmt.Errorf("admits with %v, want fields: %t", h, c.fields)
		}
		if step.status == http.StatusOK {
			continue
		}
		if client.writer.Size == 0 {
			return fmt.Errorf("refuses %s without a body", step.addr)
		}
		if got := retry(h.Get("Retry-After")); got != c.retry {
			return fmt.Errorf("refuses with %s, want %s", got, c.retry)
		}
	}
	return nil
}

// retry tells what a client makes of a Retry-After field (RFC 9110 section 10.2.3).
func retry(field string) string {
	if field == "" {
		return never
	}
	if n, err := strconv.Atoi(field); err == nil && n > 0 {
		return inSeconds
	}
	if _, err := http.ParseTime(field); err == nil {
		return inSeconds
	}
	return asText
}

// best returns the fastest peer in a row of those with fields, or without.
func (res results) best(row string, fields bool) (best time.Duration, name string) {
	peers := slices.Clone(contestants)
	peers = slices.DeleteFunc(peers, func(c *contestant) bool { return !c.peer || c.fields != fields })
	c := slices.MinFunc(peers, func(a, b *contestant) int {
		return cmp.Compare(res[key{row, a.name}].Time, res[key{row, b.name}].Time)
	})
	return res[key{row, c.name}].Time, c.name
}

package apikey_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-go/gatehouse/auth/apikey"
)

// A fake is a database of one table that knows the statements of SQLStore and no
// others. SQLite, which knows them all, is in the examples.
type fake struct {
	numbered bool                                 // placeholders are $1, $2, …
	fold     func(string) string                  // how texts are compared; nil: exactly
	before   func(context.Context) error          // each statement
	answer   func(driver.Value, int) driver.Value // what a row has in a column

	mu         sync.Mutex
	table      string
	rows       []map[string]driver.Value
	statements []string
}

var columns = []string{"id", "hash", "owner", "scopes", "created_at", "expires_at", "revoked_at", "last_used_at"}

func newSQL(tb testing.TB, f *fake, cfg apikey.SQLConfig) *apikey.SQLStore {
	tb.Helper()
	cfg.DB = sql.OpenDB(f)
	tb.Cleanup(func() { _ = cfg.DB.Close() })
	cfg.NumberedPlaceholders = f.numbered
	s, err := apikey.NewSQLStore(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func (f *fake) Connect(context.Context) (driver.Conn, error) { return conn{f}, nil }
func (f *fake) Driver() driver.Driver                        { return nil }

type conn struct{ *fake }

func (conn) Prepare(string) (driver.Stmt, error) { return nil, errors.New("not prepared") }
func (conn) Begin() (driver.Tx, error)           { return nil, errors.New("no transactions") }
func (conn) Close() error                        { return nil }

var (
	insertInto = regexp.MustCompile(`^INSERT INTO (\S+) \((.+)\) VALUES \(\?, \?, \?, \?, \?, \?, \?, \?\)$`)
	selectFrom = regexp.MustCompile(`^SELECT (.+) FROM (\S+) WHERE (id|owner) = \?( ORDER BY created_at, id)?$`)
	update     = regexp.MustCompile(`^UPDATE (\S+) SET (revoked_at|last_used_at) = \? WHERE id = \? AND (?:(revoked_at) = 0|(last_used_at) < \?)$`)
)

// run reads a statement, which must have a placeholder for each argument, in the
// one style.
func (f *fake) run(ctx context.Context, query string, args []driver.NamedValue) (string, []driver.Value, error) {
	if f.before != nil {
		if err := f.before(ctx); err != nil {
			return "", nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.statements = append(f.statements, query)
	values := make([]driver.Value, 0, len(args))
	for i, a := range args {
		if f.numbered {
			query = strings.Replace(query, "$"+strconv.Itoa(i+1), "?", 1)
		}
		values = append(values, a.Value)
	}
	if strings.Count(query, "?") != len(args) || strings.Contains(query, "$") {
		return "", nil, fmt.Errorf("fake: %q with %d arguments", query, len(args))
	}
	return query, values, nil
}

func (f *fake) same(a, b driver.Value) bool {
	if f.fold == nil {
		return a == b
	}
	return f.fold(fmt.Sprint(a)) == f.fold(fmt.Sprint(b))
}

func (c conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	query, values, err := c.run(ctx, query, args)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := insertInto.FindStringSubmatch(query); m != nil && m[2] == strings.Join(columns, ", ") {
		row := make(map[string]driver.Value)
		for i, name := range columns {
			row[name] = values[i]
		}
		for _, other := range c.rows {
			if c.same(other["id"], row["id"]) {
				return nil, errors.New("fake: UNIQUE constraint failed")
			}
		}
		c.table = m[1]
		c.rows = append(c.rows, row)
		return driver.RowsAffected(1), nil
	}
	m := update.FindStringSubmatch(query)
	if m == nil || m[2] != m[3]+m[4] {
		return nil, fmt.Errorf("fake: cannot read %q", query)
	}
	if m[1] != c.table {
		return driver.RowsAffected(0), nil
	}
	changed := 0
	for _, row := range c.rows {
		limit := int64(1)
		if len(values) == 3 {
			limit, _ = values[2].(int64)
		}
		if last, _ := row[m[2]].(int64); c.same(row["id"], values[1]) && last < limit {
			row[m[2]] = values[0]
			changed++
		}
	}
	return driver.RowsAffected(changed), nil
}

func (c conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	query, values, err := c.run(ctx, query, args)
	if err != nil {
		return nil, err
	}
	m := selectFrom.FindStringSubmatch(query)
	if m == nil || m[1] != strings.Join(columns, ", ") {
		return nil, fmt.Errorf("fake: cannot read %q", query)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	found := &found{}
	for _, row := range c.rows {
		if m[2] != c.table || !c.same(row[m[3]], values[0]) {
			continue
		}
		var line []driver.Value
		for i, name := range columns {
			v := row[name]
			if c.answer != nil {
				v = c.answer(v, i)
			}
			line = append(line, v)
		}
		found.lines = append(found.lines, line)
	}
	if m[4] != "" {
		slices.SortStableFunc(found.lines, func(a, b []driver.Value) int {
			return strings.Compare(fmt.Sprintf("%012d %s", a[4], a[0]), fmt.Sprintf("%012d %s", b[4], b[0]))
		})
	}
	return found, nil
}

type found struct{ lines [][]driver.Value }

func (*found) Columns() []string { return columns }
func (*found) Close() error      { return nil }

func (r *found) Next(dest []driver.Value) error {
	if len(r.lines) == 0 {
		return io.EOF
	}
	copy(dest, r.lines[0])
	r.lines = r.lines[1:]
	return nil
}

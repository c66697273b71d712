package apikey

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/report"
)

const (
	defaultTable   = "api_keys"
	defaultTimeout = 2 * time.Second
	maxTimeout     = 30 * time.Second
)

// SQLConfig configures a [SQLStore]. DB is required.
type SQLConfig struct {
	_ [0]func() // keyed literals only

	// DB is the database: PostgreSQL, MySQL, MariaDB, SQLite or another that
	// takes the statement of [SQLStore.Schema].
	DB *sql.DB

	// Table is where the keys are: ASCII letters, digits and underscores, with
	// a schema and a dot before if need be. If empty, it is api_keys.
	Table string

	// NumberedPlaceholders writes $1, $2, … in place of ?, as PostgreSQL's
	// drivers want it.
	NumberedPlaceholders bool

	// Timeout bounds each statement. If zero, it is 2 s; at most 30 s.
	Timeout time.Duration
}

// SQLStore is a [Store] in a table of a database: one SELECT by primary key for
// each request. A revoked key is refused from the next request on. It is safe
// for concurrent use.
//
// Values reach the database as arguments only, and the schema holds whatever
// collation the database compares texts with: ids are of one case, and owners
// are compared once more.
type SQLStore struct {
	db                                  *sql.DB
	timeout                             time.Duration
	schema                              string
	insert, lookup, list, revoke, touch string
}

var tableName = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]{0,62}\.)?[A-Za-z_][A-Za-z0-9_]{0,62}$`)

// NewSQLStore returns a SQLStore that behaves in accordance with cfg. It does not
// ask the database. The error, if any, joins every mistake found in cfg.
func NewSQLStore(cfg SQLConfig) (*SQLStore, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("apikey: "+format, args...)) }
	if cfg.DB == nil {
		bad("DB is nil, want a database")
	}
	table := cfg.Table
	if table == "" {
		table = defaultTable
	}
	if !tableName.MatchString(table) {
		bad("Table is %.80q, want ASCII letters, digits and underscores, with a schema and a dot before if need be", cfg.Table)
	}
	timeout := cfg.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	if timeout < 0 || timeout > maxTimeout {
		bad("Timeout is %v, want 0 to %v", cfg.Timeout, maxTimeout)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	const columns = "id, hash, owner, scopes, created_at, expires_at, revoked_at, last_used_at"
	s := &SQLStore{db: cfg.DB, timeout: timeout}
	for _, statement := range []struct {
		to   *string
		text string
	}{
		{&s.insert, "INSERT INTO " + table + " (" + columns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?)"},
		{&s.lookup, "SELECT " + columns + " FROM " + table + " WHERE id = ?"},
		{&s.list, "SELECT " + columns + " FROM " + table + " WHERE owner = ? ORDER BY created_at, id"},
		{&s.revoke, "UPDATE " + table + " SET revoked_at = ? WHERE id = ? AND revoked_at = 0"},
		{&s.touch, "UPDATE " + table + " SET last_used_at = ? WHERE id = ? AND last_used_at < ?"},
	} {
		*statement.to = statement.text
		if cfg.NumberedPlaceholders {
			*statement.to = number(statement.text)
		}
	}
	s.schema = "CREATE TABLE IF NOT EXISTS " + table + ` (
	id           VARCHAR(16)  NOT NULL PRIMARY KEY,
	hash         VARCHAR(71)  NOT NULL,
	owner        VARCHAR(255) NOT NULL,
	scopes       TEXT         NOT NULL,
	created_at   BIGINT       NOT NULL,
	expires_at   BIGINT       NOT NULL,
	revoked_at   BIGINT       NOT NULL,
	last_used_at BIGINT       NOT NULL,
	UNIQUE (owner, id)
)`
	return s, nil
}

// number writes $1, $2, … for the question marks of a statement of ours.
func number(statement string) string {
	var b strings.Builder
	for i, part := range strings.Split(statement, "?") {
		if i > 0 {
			b.WriteString("$" + strconv.Itoa(i))
		}
		b.WriteString(part)
	}
	return b.String()
}

// Schema returns the statement that creates the table, for the service's
// migrations. Times are in seconds since 1970, 0 for none; the UNIQUE constraint
// is the index by owner, in a form that databases have in common.
func (s *SQLStore) Schema() string {
	if s == nil {
		return ""
	}
	return s.schema
}

// bounded is ctx until the timeout; the error is that of a store without a
// database.
func (s *SQLStore) bounded(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if s == nil || s.db == nil {
		return nil, nil, errNotMade
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	return ctx, cancel, nil
}

// Create implements [Store].
func (s *SQLStore) Create(ctx context.Context, r Record) error {
	ctx, cancel, err := s.bounded(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	if err := r.check(); err != nil {
		return err
	}
	_, err = s.db.ExecContext(ctx, s.insert, r.ID, r.Hash.Text(), r.Owner, strings.Join(r.Scopes, " "),
		seconds(r.CreatedAt), seconds(r.ExpiresAt), seconds(r.RevokedAt), seconds(r.LastUsedAt))
	return err
}

// Lookup implements [Store].
func (s *SQLStore) Lookup(ctx context.Context, id string) (Record, error) {
	ctx, cancel, err := s.bounded(ctx)
	if err != nil {
		return Record{}, err
	}
	defer cancel()
	r, err := scan(s.db.QueryRowContext(ctx, s.lookup, id)) //nolint:gosec // id is an argument, no text of the statement
	if errors.Is(err, sql.ErrNoRows) {
		return Record{}, ErrNotFound
	}
	return r, err
}

// List implements [Store].
func (s *SQLStore) List(ctx context.Context, owner string) ([]Record, error) {
	ctx, cancel, err := s.bounded(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	rows, err := s.db.QueryContext(ctx, s.list, owner)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var all []Record
	for rows.Next() {
		r, err := scan(rows)
		if err != nil {
			return nil, err
		}
		if r.Owner == owner { // also where the database does not tell cases apart
			all = append(all, r)
		}
	}
	return all, rows.Err()
}

// Revoke implements [Store].
func (s *SQLStore) Revoke(ctx context.Context, id string) error {
	bounded, cancel, err := s.bounded(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	result, err := s.db.ExecContext(bounded, s.revoke, time.Now().Unix(), id)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err == nil && n > 0 {
		return nil
	}
	switch r, err := s.Lookup(ctx, id); {
	case err != nil:
		return err
	case r.RevokedAt.IsZero(): // never report as revoked what is not
		return report.Causef("the database did not revoke %.80q", id)
	}
	return nil
}

// Touch implements [Store].
func (s *SQLStore) Touch(ctx context.Context, id string, at time.Time) error {
	ctx, cancel, err := s.bounded(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	_, err = s.db.ExecContext(ctx, s.touch, at.Unix(), id, at.Unix())
	return err
}

// scan reads a row.
func scan(row interface{ Scan(dest ...any) error }) (Record, error) {
	var r Record
	var hash, scopes string
	var created, expires, revoked, used int64
	if err := row.Scan(&r.ID, &hash, &r.Owner, &scopes, &created, &expires, &revoked, &used); err != nil {
		return Record{}, err
	}
	var err error
	if r.Hash, err = ParseHash(hash); err != nil {
		return Record{}, report.Causef("the row of %.80q has no hash that can be read", r.ID)
	}
	r.Scopes = strings.Fields(scopes)
	r.CreatedAt, r.ExpiresAt, r.RevokedAt, r.LastUsedAt = date(created), date(expires), date(revoked), date(used)
	return r, nil
}

func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func date(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"time"

	_ "modernc.org/sqlite" // the driver, in Go
)

// errAbsent is what the store returns for an order that is not there.
var errAbsent = errors.New("no such order")

// A store keeps users and orders. Every value reaches SQL as a placeholder's
// argument, never as text of a statement.
type store struct{ db *sql.DB }

type user struct {
	id, name, role string
	salt, hash     []byte
}

type order struct {
	ID       string    `json:"id"`
	Owner    string    `json:"-"`
	Item     string    `json:"item"`
	Quantity int       `json:"quantity"`
	Note     string    `json:"note"`
	Created  time.Time `json:"created"`
}

func openStore(ctx context.Context, path string) (*store, error) {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // each connection to :memory: is a database of its own
	_, err = db.ExecContext(ctx, `
		CREATE TABLE IF NOT EXISTS users (
			id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, role TEXT NOT NULL, salt BLOB NOT NULL, hash BLOB NOT NULL);
		CREATE TABLE IF NOT EXISTS orders (
			id TEXT PRIMARY KEY, owner TEXT NOT NULL, item TEXT NOT NULL, quantity INTEGER NOT NULL, note TEXT NOT NULL, created INTEGER NOT NULL);
		CREATE INDEX IF NOT EXISTS orders_by_owner ON orders (owner, created)`)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &store{db}, nil
}

func (s *store) close() error { return s.db.Close() }

func (s *store) addUser(ctx context.Context, u user) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO users (id, name, role, salt, hash) VALUES (?, ?, ?, ?, ?)`,
		u.id, u.name, u.role, u.salt, u.hash)
	return err
}

// user returns the user of that name; false if there is none.
func (s *store) user(ctx context.Context, name string) (user, bool, error) {
	u := user{name: name}
	err := s.db.QueryRowContext(ctx, `SELECT id, role, salt, hash FROM users WHERE name = ?`, name).
		Scan(&u.id, &u.role, &u.salt, &u.hash)
	if errors.Is(err, sql.ErrNoRows) {
		return user{}, false, nil
	}
	return u, err == nil, err
}

// add stores o under a new id, unless it has one.
func (s *store) add(ctx context.Context, o order) (order, error) {
	if o.ID == "" {
		o.ID = rand.Text()
	}
	o.Created = time.Now().UTC().Truncate(time.Second)
	_, err := s.db.ExecContext(ctx, `INSERT INTO orders (id, owner, item, quantity, note, created) VALUES (?, ?, ?, ?, ?, ?)`,
		o.ID, o.Owner, o.Item, o.Quantity, o.Note, o.Created.Unix())
	return o, err
}

const columns = `SELECT id, owner, item, quantity, note, created FROM orders `

func (s *store) order(ctx context.Context, id string) (order, error) {
	found, err := s.query(ctx, columns+`WHERE id = ?`, id)
	if err == nil && len(found) == 0 {
		err = errAbsent
	}
	if err != nil {
		return order{}, err
	}
	return found[0], nil
}

// ordersOf lists what the owner ordered, of one item or, for "", of all.
func (s *store) ordersOf(ctx context.Context, owner, item string) ([]order, error) {
	return s.query(ctx, columns+`WHERE owner = ? AND (? = '' OR item = ?) ORDER BY created DESC, id LIMIT 100`, owner, item, item)
}

func (s *store) allOrders(ctx context.Context) ([]order, error) {
	return s.query(ctx, columns+`ORDER BY created DESC, id LIMIT 100`)
}

// change updates an order of the owner's. Ownership is part of the statement:
// nothing can come between the check and the change.
func (s *store) change(ctx context.Context, o order) error {
	res, err := s.db.ExecContext(ctx, `UPDATE orders SET item = ?, quantity = ?, note = ? WHERE id = ? AND owner = ?`,
		o.Item, o.Quantity, o.Note, o.ID, o.Owner)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		err = errAbsent
	}
	return err
}

func (s *store) query(ctx context.Context, statement string, args ...any) ([]order, error) {
	rows, err := s.db.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	orders := []order{}
	for rows.Next() {
		var o order
		var created int64
		if err := rows.Scan(&o.ID, &o.Owner, &o.Item, &o.Quantity, &o.Note, &created); err != nil {
			return nil, err
		}
		o.Created = time.Unix(created, 0).UTC()
		orders = append(orders, o)
	}
	return orders, rows.Err()
}

package apikey_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/apikey"
)

// stores are one of each kind, empty.
func stores(tb testing.TB) map[string]apikey.Store {
	tb.Helper()
	return map[string]apikey.Store{
		"memory":                new(apikey.MemoryStore),
		"SQL":                   newSQL(tb, new(fake), apikey.SQLConfig{}),
		"SQL with $n":           newSQL(tb, &fake{numbered: true}, apikey.SQLConfig{Table: "app.keys"}),
		"SQL, case-insensitive": newSQL(tb, &fake{fold: strings.ToLower}, apikey.SQLConfig{}),
	}
}

// plain is a record in a form that can be compared.
func plain(r apikey.Record) any {
	return []any{
		r.ID, r.Hash.Text(), r.Owner, strings.Join(r.Scopes, " "),
		r.CreatedAt.Format(time.RFC3339Nano), r.ExpiresAt.Format(time.RFC3339Nano), r.RevokedAt.Format(time.RFC3339Nano), r.LastUsedAt.Format(time.RFC3339Nano),
	}
}

func check(t *testing.T, what string, got, want apikey.Record) {
	t.Helper()
	if !reflect.DeepEqual(plain(got), plain(want)) {
		t.Errorf("%s is %v, want %v", what, plain(got), plain(want))
	}
}

// What each store does.
func TestStores(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for name, s := range stores(t) {
			ctx := t.Context()
			_, first := issue(t, s, "billing", "orders:read", "orders:write")
			time.Sleep(time.Second)
			_, second := issue(t, s, "billing")
			_, other := issue(t, s, "Billing")
			injected := `'; DROP TABLE api_keys; --"%_\`
			_, odd := issue(t, s, injected)

			lookup := func(id string) apikey.Record {
				t.Helper()
				r, err := s.Lookup(ctx, id)
				if err != nil {
					t.Errorf("%s: Lookup = %v", name, err)
				}
				return r
			}
			for _, want := range []apikey.Record{first, second, other, odd} {
				check(t, name+": Lookup", lookup(want.ID), want)
			}
			for _, id := range []string{"", "a", "aaaaaaaaaaaaaaaa", first.ID + " ", first.ID[1:], "%", first.ID + "' OR '1'='1", "?", "$1"} {
				if r, err := s.Lookup(ctx, id); !errors.Is(err, apikey.ErrNotFound) || r.ID != "" {
					t.Errorf("%s: Lookup(%q) = %+v, %v, want ErrNotFound", name, id, r, err)
				}
				if err := s.Revoke(ctx, id); !errors.Is(err, apikey.ErrNotFound) {
					t.Errorf("%s: Revoke(%q) = %v, want ErrNotFound", name, id, err)
				}
				if err := s.Touch(ctx, id, time.Now()); err != nil {
					t.Errorf("%s: Touch(%q) = %v, want nil", name, id, err)
				}
			}

			if err := s.Create(ctx, first); err == nil {
				t.Errorf("%s: Create takes an id twice", name)
			}
			stolen := other
			stolen.ID = first.ID
			if err := s.Create(ctx, stolen); err == nil {
				t.Errorf("%s: Create overwrites", name)
			}
			check(t, name+": after Create of the same id", lookup(first.ID), first)

			for owner, want := range map[string][]apikey.Record{"billing": {first, second}, "Billing": {other}, injected: {odd}, "": nil, "bill": nil, "%": nil} {
				got, err := s.List(ctx, owner)
				if err != nil || len(got) != len(want) {
					t.Fatalf("%s: List(%q) has %d records, want %d (%v)", name, owner, len(got), len(want), err)
				}
				for i := range got {
					check(t, name+": List", got[i], want[i])
				}
			}

			at := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
			for _, touch := range []time.Time{at.Add(-time.Minute), at, at.Add(-time.Second), {}} {
				if err := s.Touch(ctx, first.ID, touch); err != nil {
					t.Errorf("%s: Touch = %v", name, err)
				}
			}
			first.LastUsedAt = at
			check(t, name+": after Touch", lookup(first.ID), first)

			time.Sleep(time.Minute)
			first.RevokedAt = time.Now().UTC().Truncate(time.Second)
			for range 2 {
				if err := s.Revoke(ctx, first.ID); err != nil {
					t.Errorf("%s: Revoke = %v", name, err)
				}
				time.Sleep(time.Minute) // the time of the first stays
			}
			check(t, name+": after Revoke", lookup(first.ID), first)
			for _, want := range []apikey.Record{second, other, odd} {
				check(t, name+": after Revoke and Touch of another", lookup(want.ID), want)
			}
		}
	})
}

// What Create does not take, in both stores.
func TestCreateChecks(t *testing.T) {
	t.Parallel()
	_, good := generate(t, apikey.Grant{Prefix: prefix, Owner: "billing", Lifetime: month})
	for name, s := range stores(t) {
		for what, edit := range map[string]func(r *apikey.Record){
			"ID is":        func(r *apikey.Record) { r.ID = "" },
			"ID has 16":    func(r *apikey.Record) { r.ID = strings.ToUpper(r.ID) },
			"ID has 17":    func(r *apikey.Record) { r.ID += " " },
			"Hash is":      func(r *apikey.Record) { r.Hash = apikey.Hash{} },
			"Owner is":     func(r *apikey.Record) { r.Owner = "" },
			"Scopes has":   func(r *apikey.Record) { r.Scopes = []string{"a b"} },
			"CreatedAt is": func(r *apikey.Record) { r.CreatedAt = time.Time{} },
			"ExpiresAt 0":  func(r *apikey.Record) { r.ExpiresAt = time.Time{} },
			"a time is":    func(r *apikey.Record) { r.RevokedAt = time.Unix(0, 0) },
		} {
			r := good
			edit(&r)
			err := s.Create(t.Context(), r)
			if err == nil {
				t.Errorf("%s: Create takes a record with a bad %q", name, what)
			}
			if _, err := s.Lookup(t.Context(), r.ID); !errors.Is(err, apikey.ErrNotFound) {
				t.Errorf("%s: %q: Lookup = %v, want it not stored", name, what, err)
			}
		}
		all := good
		all.ID, all.Hash, all.Owner, all.Scopes, all.CreatedAt = "x", apikey.Hash{}, "", []string{""}, time.Time{}
		if err := s.Create(t.Context(), all); err == nil || strings.Count(err.Error(), "\n") != 4 {
			t.Errorf("%s: Create = %v, want 5 mistakes", name, err)
		}
	}
}

// What goes in is copied, and what List returns is the caller's.
func TestMemoryStoreCopies(t *testing.T) {
	t.Parallel()
	s := new(apikey.MemoryStore)
	_, record := issue(t, s, "billing", "orders:read")
	record.Scopes[0] = "admin"
	listed, err := s.List(t.Context(), "billing")
	if err != nil || listed[0].Scopes[0] != "orders:read" {
		t.Fatalf("List = %+v, %v, want the scope as it was", listed, err)
	}
	listed[0].Scopes[0] = "admin"
	if r, err := s.Lookup(t.Context(), record.ID); err != nil || r.Scopes[0] != "orders:read" {
		t.Errorf("Lookup = %+v, %v, want the scope as it was", r, err)
	}
}

// Stores that are nil or were not made say so.
func TestNoStore(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]apikey.Store{"memory": (*apikey.MemoryStore)(nil), "SQL": (*apikey.SQLStore)(nil), "zero SQL": new(apikey.SQLStore)} {
		_, record := generate(t, apikey.Grant{Prefix: prefix, Owner: "billing", Lifetime: month})
		_, errLookup := s.Lookup(t.Context(), record.ID)
		_, errList := s.List(t.Context(), "billing")
		for method, err := range map[string]error{
			"Create": s.Create(t.Context(), record), "Lookup": errLookup, "List": errList,
			"Revoke": s.Revoke(t.Context(), record.ID), "Touch": s.Touch(t.Context(), record.ID, time.Now()),
		} {
			if err == nil || errors.Is(err, apikey.ErrNotFound) {
				t.Errorf("%s: %s = %v, want an error that is not ErrNotFound", name, method, err)
			}
		}
	}
	if (*apikey.SQLStore)(nil).Schema() != "" {
		t.Error("a nil SQLStore has a schema")
	}
}

func TestNewSQLStore(t *testing.T) {
	t.Parallel()
	db := sql.OpenDB(new(fake))
	t.Cleanup(func() { _ = db.Close() })
	_, err := apikey.NewSQLStore(apikey.SQLConfig{Table: "keys; DROP TABLE users", Timeout: -1})
	want := []string{
		"apikey: DB is nil, want a database",
		`apikey: Table is "keys; DROP TABLE users", want ASCII letters, digits and underscores, with a schema and a dot before if need be`,
		"apikey: Timeout is -1ns, want 0 to 30s",
	}
	if err == nil || !slices.Equal(strings.Split(err.Error(), "\n"), want) {
		t.Errorf("NewSQLStore = %v, want %q", err, want)
	}
	for _, table := range []string{
		" ", "a b", "a\n", "a-b", "1a", "a.b.c", ".a", "a.", "a;b", `"a"`, "`a`", "[a]", "a'b", "a--", "a/*", "ä", "a?", "a$1", "a(b)", "a\x00", strings.Repeat("a", 64),
	} {
		if _, err := apikey.NewSQLStore(apikey.SQLConfig{DB: db, Table: table}); err == nil {
			t.Errorf("the table %q is accepted", table)
		}
	}
	for _, table := range []string{"", "a", "_a", "API_Keys2", "app.api_keys", strings.Repeat("a", 63)} {
		s, err := apikey.NewSQLStore(apikey.SQLConfig{DB: db, Table: table, Timeout: 30 * time.Second})
		if err != nil {
			t.Errorf("the table %q: %v", table, err)
			continue
		}
		if table == "" {
			table = "api_keys"
		}
		if !strings.HasPrefix(s.Schema(), "CREATE TABLE IF NOT EXISTS "+table+" (") {
			t.Errorf("Schema = %q, want it for %q", s.Schema(), table)
		}
	}
	if _, err := apikey.NewSQLStore(apikey.SQLConfig{DB: db, Timeout: 31 * time.Second}); err == nil {
		t.Error("a Timeout of 31s is accepted")
	}
}

// The statements, letter by letter, in both styles: no value is in them.
func TestSQLStatements(t *testing.T) {
	t.Parallel()
	for numbered, want := range map[bool][]string{
		false: {
			"INSERT INTO t (id, hash, owner, scopes, created_at, expires_at, revoked_at, last_used_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
			"SELECT id, hash, owner, scopes, created_at, expires_at, revoked_at, last_used_at FROM t WHERE id = ?",
			"SELECT id, hash, owner, scopes, created_at, expires_at, revoked_at, last_used_at FROM t WHERE owner = ? ORDER BY created_at, id",
			"UPDATE t SET last_used_at = ? WHERE id = ? AND last_used_at < ?",
			"UPDATE t SET revoked_at = ? WHERE id = ? AND revoked_at = 0",
		},
		true: {
			"INSERT INTO t (id, hash, owner, scopes, created_at, expires_at, revoked_at, last_used_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
			"SELECT id, hash, owner, scopes, created_at, expires_at, revoked_at, last_used_at FROM t WHERE id = $1",
			"SELECT id, hash, owner, scopes, created_at, expires_at, revoked_at, last_used_at FROM t WHERE owner = $1 ORDER BY created_at, id",
			"UPDATE t SET last_used_at = $1 WHERE id = $2 AND last_used_at < $3",
			"UPDATE t SET revoked_at = $1 WHERE id = $2 AND revoked_at = 0",
		},
	} {
		f := &fake{numbered: numbered}
		s := newSQL(t, f, apikey.SQLConfig{Table: "t"})
		_, record := issue(t, s, "billing' OR ''='")
		_, err1 := s.Lookup(t.Context(), record.ID)
		_, err2 := s.List(t.Context(), record.Owner)
		if err := errors.Join(err1, err2, s.Touch(t.Context(), record.ID, time.Now()), s.Revoke(t.Context(), record.ID)); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(f.statements, want) {
			t.Errorf("statements = %q\nwant %q", f.statements, want)
		}
	}
}

// A database that hangs is given up after the timeout, or when the request is.
func TestSQLTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{before: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
		key, record := generate(t, apikey.Grant{Prefix: prefix, Owner: "billing", Lifetime: month})
		for timeout, want := range map[time.Duration]time.Duration{0: 2 * time.Second, 7 * time.Second: 7 * time.Second} {
			s := newSQL(t, f, apikey.SQLConfig{Timeout: timeout})
			for method, call := range map[string]func(context.Context) error{
				"Create": func(ctx context.Context) error { return s.Create(ctx, record) },
				"Lookup": func(ctx context.Context) error { _, err := s.Lookup(ctx, record.ID); return err },
				"List":   func(ctx context.Context) error { _, err := s.List(ctx, "billing"); return err },
				"Revoke": func(ctx context.Context) error { return s.Revoke(ctx, record.ID) },
				"Touch":  func(ctx context.Context) error { return s.Touch(ctx, record.ID, time.Now()) },
			} {
				start := time.Now()
				if err := call(t.Context()); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != want {
					t.Errorf("%s = %v after %v, want the deadline after %v", method, err, time.Since(start), want)
				}
				ctx, cancel := context.WithCancel(t.Context())
				start = time.Now()
				time.AfterFunc(time.Second, cancel)
				if err := call(ctx); !errors.Is(err, context.Canceled) || time.Since(start) != time.Second {
					t.Errorf("%s = %v after %v, want it cancelled after 1s", method, err, time.Since(start))
				}
				cancel()
			}
		}
		a := newKeys(t, apikey.Config{Store: newSQL(t, f, apikey.SQLConfig{})})
		g := newGate(t, auth.Config{}, a)
		start := time.Now()
		if w := serve(g.Handler(whoami), withKey(key)); w.Code != 503 || time.Since(start) != 2*time.Second {
			t.Errorf("status = %d after %v, want 503 after 2s", w.Code, time.Since(start))
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Errors of the database, and rows that cannot be read, admit nobody and are no
// ErrNotFound.
func TestSQLFails(t *testing.T) {
	t.Parallel()
	down := errors.New("canary")
	for _, tt := range []struct {
		name string
		edit func(*fake)
	}{
		{"down", func(f *fake) { f.before = func(context.Context) error { return down } }},
		{"no hash", func(f *fake) { f.answer = put(1, "") }},
		{"a hash in upper case", func(f *fake) {
			f.answer = func(v driver.Value, i int) driver.Value {
				if s, ok := v.(string); ok && i == 1 {
					return strings.ToUpper(s)
				}
				return v
			}
		}},
		{"a secret in place of the hash", func(f *fake) { f.answer = put(1, "canary") }},
		{"hash NULL", func(f *fake) { f.answer = put(1, nil) }},
		{"owner NULL", func(f *fake) { f.answer = put(2, nil) }},
		{"owner empty", func(f *fake) { f.answer = put(2, "") }},
		{"expiry NULL", func(f *fake) { f.answer = put(5, nil) }},
		{"expiry a text", func(f *fake) { f.answer = put(5, "never") }},
		{"revocation NULL", func(f *fake) { f.answer = put(6, nil) }},
		{"another id", func(f *fake) { f.answer = put(0, "aaaaaaaaaaaaaaaa") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := new(fake)
			s := newSQL(t, f, apikey.SQLConfig{})
			key, record := issue(t, s, "billing")
			if p, err := newKeys(t, apikey.Config{Store: s}).Verify(t.Context(), key); err != nil || p.Subject != "billing" {
				t.Fatalf("before: Verify = %+v, %v", p, err)
			}
			tt.edit(f)
			p, err := newKeys(t, apikey.Config{Store: s}).Verify(t.Context(), key)
			if p != nil || reason(err) != auth.ReasonUnavailable {
				t.Errorf("Verify = %+v, %v, want %q", p, err, auth.ReasonUnavailable)
			}
			if _, err := s.Lookup(t.Context(), record.ID); errors.Is(err, apikey.ErrNotFound) {
				t.Errorf("Lookup = %v, want another error", err)
			}
		})
	}
	t.Run("no hash, to admins", func(t *testing.T) {
		t.Parallel()
		s := newSQL(t, &fake{answer: put(1, "canary")}, apikey.SQLConfig{})
		_, record := issue(t, s, "billing")
		want := fmt.Sprintf("the row of %q has no hash that can be read", record.ID)
		if _, err := s.Lookup(t.Context(), record.ID); err == nil || err.Error() != want {
			t.Errorf("Lookup = %v, want %q", err, want)
		}
		if _, err := s.List(t.Context(), "billing"); err == nil || err.Error() != want {
			t.Errorf("List = %v, want %q", err, want)
		}
	})
	t.Run("expiry 0", func(t *testing.T) {
		t.Parallel()
		f := &fake{answer: put(5, int64(0))}
		s := newSQL(t, f, apikey.SQLConfig{})
		key, _ := issue(t, s, "billing")
		if p, err := newKeys(t, apikey.Config{Store: s}).Verify(t.Context(), key); p != nil || reason(err) != auth.ReasonExpired {
			t.Errorf("Verify = %+v, %v, want %q", p, err, auth.ReasonExpired)
		}
	})
	t.Run("a database that revokes nothing", func(t *testing.T) {
		t.Parallel()
		f := &fake{answer: put(6, int64(0))}
		s := newSQL(t, f, apikey.SQLConfig{})
		_, record := issue(t, s, "billing")
		if err := s.Revoke(t.Context(), record.ID); err != nil {
			t.Fatal(err)
		}
		if err := s.Revoke(t.Context(), record.ID); err == nil || errors.Is(err, apikey.ErrNotFound) {
			t.Errorf("Revoke = %v, want an error for a key that is not revoked", err)
		}
	})
}

// put has every row answer with v in that column.
func put(column int, v driver.Value) func(driver.Value, int) driver.Value {
	return func(own driver.Value, i int) driver.Value {
		if i == column {
			return v
		}
		return own
	}
}

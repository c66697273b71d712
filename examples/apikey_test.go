package examples_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/apikey"
	"github.com/gatehouse-go/gatehouse/auth/principal"

	_ "modernc.org/sqlite" // the driver, in Go
)

// openKeys opens the database at path and the store in it.
func openKeys(t *testing.T, path, table string) (*sql.DB, *apikey.SQLStore) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	store, err := apikey.NewSQLStore(apikey.SQLConfig{DB: db, Table: table, Timeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a migration may run again
		if _, err := db.ExecContext(t.Context(), store.Schema()); err != nil {
			t.Fatal(err)
		}
	}
	return db, store
}

func issueKey(t *testing.T, store apikey.Store, owner string, scopes ...string) (string, apikey.Record) {
	t.Helper()
	key, record, err := apikey.Generate(apikey.Grant{Prefix: "orders", Owner: owner, Scopes: scopes, Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Create(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	return key.Reveal(), record
}

func describe(r apikey.Record) string {
	return fmt.Sprint(r.ID, r.Hash.Text(), r.Owner, r.Scopes, r.CreatedAt, r.ExpiresAt, r.RevokedAt, r.LastUsedAt)
}

// serveKeys returns a function that sends a key and returns status and body.
func serveKeys(t *testing.T, store apikey.Store) (func(ctx context.Context, key string) (int, string), *apikey.Authenticator) {
	t.Helper()
	keys, err := apikey.New(apikey.Config{Prefix: "orders", Issuer: "https://api.example.com", Store: store})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keys.Close() })
	gate, err := auth.New(auth.Config{Authenticators: []auth.Authenticator{keys}})
	if err != nil {
		t.Fatal(err)
	}
	h := gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := principal.FromContext(r.Context())
		_, _ = fmt.Fprint(w, p.Subject, p.Scopes)
	}))
	return func(ctx context.Context, key string) (int, string) {
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/orders", http.NoBody)
		r.Header.Set("X-Api-Key", key)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}, keys
}

// TestKeysInSQLite runs a key's life against a real database, closed and opened
// again in between.
func TestKeysInSQLite(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.db")
	db, store := openKeys(t, path, "")
	odd := `bobby'); DROP TABLE api_keys; --"%_?$1`
	key, record := issueKey(t, store, odd, "orders:read", "orders:write")
	second, other := issueKey(t, store, odd)
	stranger, _ := issueKey(t, store, strings.ToUpper(odd))

	send, keys := serveKeys(t, store)
	for _, tt := range []struct {
		key, body string
	}{
		{key, odd + "[orders:read orders:write]"}, {second, odd + "[]"}, {stranger, strings.ToUpper(odd) + "[]"},
	} {
		if status, body := send(t.Context(), tt.key); status != 200 || body != tt.body {
			t.Errorf("got %d %q, want 200 %q", status, body, tt.body)
		}
	}
	if err := store.Create(t.Context(), record); err == nil {
		t.Error("an id is taken twice")
	}
	if err := keys.Close(); err != nil { // last uses are written
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if status, body := send(t.Context(), key); status != 503 {
		t.Errorf("without a database: got %d %s, want 503", status, body)
	}

	_, store = openKeys(t, path, "")
	send, _ = serveKeys(t, store)
	all, err := store.List(t.Context(), odd)
	if err != nil || len(all) != 2 {
		t.Fatalf("List has %d records, want 2 (%v)", len(all), err)
	}
	for _, r := range all {
		want := record
		if r.ID == other.ID {
			want = other
		}
		if r.LastUsedAt.Before(want.CreatedAt) || r.LastUsedAt.After(time.Now()) {
			t.Errorf("LastUsedAt = %v, want the time of the request", r.LastUsedAt)
		}
		want.LastUsedAt = r.LastUsedAt
		if describe(r) != describe(want) {
			t.Errorf("the record is %s, want %s", describe(r), describe(want))
		}
	}
	for range 2 {
		if err := store.Revoke(t.Context(), record.ID); err != nil {
			t.Error(err)
		}
	}
	for key, want := range map[string]int{key: 401, second: 200, stranger: 200} {
		if status, body := send(t.Context(), key); status != want {
			t.Errorf("after Revoke: got %d %s, want %d", status, body, want)
		}
	}
	if r, err := store.Lookup(t.Context(), record.ID); err != nil || r.RevokedAt.IsZero() {
		t.Errorf("Lookup = %s, %v, want it revoked", describe(r), err)
	}
	for _, id := range []string{"", "aaaaaaaaaaaaaaaa", record.ID + " ", strings.ToUpper(record.ID), "%", record.ID + "' OR '1'='1"} {
		if _, err := store.Lookup(t.Context(), id); !errors.Is(err, apikey.ErrNotFound) {
			t.Errorf("Lookup(%q) = %v, want ErrNotFound", id, err)
		}
		if err := store.Revoke(t.Context(), id); !errors.Is(err, apikey.ErrNotFound) {
			t.Errorf("Revoke(%q) = %v, want ErrNotFound", id, err)
		}
	}
	at := time.Now().Add(time.Minute).UTC().Truncate(time.Second)
	for _, touch := range []time.Time{at, at.Add(-time.Second)} {
		if err := store.Touch(t.Context(), other.ID, touch); err != nil {
			t.Error(err)
		}
	}
	if r, err := store.Lookup(t.Context(), other.ID); err != nil || !r.LastUsedAt.Equal(at) {
		t.Errorf("LastUsedAt = %v, %v, want %v", r.LastUsedAt, err, at)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if status, body := send(ctx, second); status != 503 {
		t.Errorf("with a request given up: got %d %s, want 503", status, body)
	}
}

// A database that does not tell cases apart, nor spaces at the end, admits no
// neighbour and lists none.
func TestKeysInCaseInsensitiveTable(t *testing.T) {
	t.Parallel()
	db, store := openKeys(t, filepath.Join(t.TempDir(), "keys.db"), "main.lax_keys")
	if _, err := db.ExecContext(t.Context(), "DROP TABLE lax_keys"); err != nil {
		t.Fatal(err)
	}
	lax := strings.NewReplacer("VARCHAR(16)", "TEXT COLLATE NOCASE", "VARCHAR(255)", "TEXT COLLATE NOCASE").Replace(store.Schema())
	if _, err := db.ExecContext(t.Context(), lax); err != nil {
		t.Fatal(err)
	}
	key, record := issueKey(t, store, "billing")
	issueKey(t, store, "Billing")
	if all, err := store.List(t.Context(), "billing"); err != nil || len(all) != 1 || all[0].ID != record.ID {
		t.Errorf("List has %d records, want 1 (%v)", len(all), err)
	}
	send, _ := serveKeys(t, store)
	if status, _ := send(t.Context(), key); status != 200 {
		t.Errorf("status = %d, want 200", status)
	}
	if _, err := db.ExecContext(t.Context(), "UPDATE lax_keys SET id = upper(id), owner = 'admin'"); err != nil {
		t.Fatal(err)
	}
	if status, body := send(t.Context(), key); status != 503 {
		t.Errorf("a row of another spelling: got %d %s, want 503", status, body)
	}
}

// Requests look a key up in an index, and so do admins their owner's.
func TestKeysAreIndexed(t *testing.T) {
	t.Parallel()
	db, _ := openKeys(t, filepath.Join(t.TempDir(), "keys.db"), "")
	for condition, want := range map[string]string{"id = 'a'": "(id=?)", "owner = 'a'": "(owner=?)"} {
		var id, parent, unused int
		var plan string
		if err := db.QueryRowContext(t.Context(), "EXPLAIN QUERY PLAN SELECT * FROM api_keys WHERE "+condition).Scan(&id, &parent, &unused, &plan); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(plan, "SEARCH ") || !strings.HasSuffix(plan, want) {
			t.Errorf("where %s the plan is %q, want a search by %s", condition, plan, want)
		}
	}
}

// Many at once: every request is answered, and the one revocation holds.
func TestKeysConcurrently(t *testing.T) {
	t.Parallel()
	_, store := openKeys(t, filepath.Join(t.TempDir(), "keys.db"), "")
	key, record := issueKey(t, store, "billing")
	send, _ := serveKeys(t, store)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 25 {
				if status, body := send(t.Context(), key); status != 200 {
					t.Errorf("got %d %s, want 200", status, body)
				}
				if err := store.Touch(t.Context(), record.ID, time.Now()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for range 4 {
		all.Go(func() {
			if err := store.Revoke(t.Context(), record.ID); err != nil {
				t.Error(err)
			}
			if status, _ := send(t.Context(), key); status != 401 {
				t.Errorf("after Revoke: status = %d, want 401", status)
			}
		})
	}
	all.Wait()
}

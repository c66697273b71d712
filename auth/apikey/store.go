package apikey

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-go/gatehouse/internal/report"
)

const (
	maxOwner  = 255  // bytes
	maxScopes = 4096 // bytes, with a space between

	wantOwner = "UTF-8 of 1 to 255 bytes without control characters"
)

// ErrNotFound is what a [Store] returns for an id that no key has.
var ErrNotFound error = report.Cause("no key of that id")

// errNotMade is what a store says that is nil or that no New… made.
var errNotMade error = report.Cause("a store that is nil or was not made by New")

// A Record is what is kept of a key: all but its secret. Times are whole
// seconds.
type Record struct {
	_ [0]func() // keyed literals only

	ID     string
	Hash   Hash
	Owner  string
	Scopes []string

	CreatedAt  time.Time
	ExpiresAt  time.Time // zero: it has
	RevokedAt  time.Time // zero: it is not revoked
	LastUsedAt time.Time // zero: never, as far as is known
}

// answers reports whether r may be what the store has of that id.
func (r Record) answers(id string) bool { return r.ID == id && r.Hash.sum != nil && r.Owner != "" }

// A Store keeps records. It must be safe for concurrent use, and its methods
// must return when ctx is done.
type Store interface {
	// Create adds a record. It fails for an id that there is already.
	Create(ctx context.Context, r Record) error

	// Lookup returns the record of the key whose id is exactly this one,
	// ErrNotFound if there is none, and another error if that is not known. It
	// is called for each request with a well-formed key, and for whatever id
	// that has. The caller does not modify Scopes.
	Lookup(ctx context.Context, id string) (Record, error)

	// List returns the records of exactly this owner, oldest first, also of keys
	// that are revoked or have expired.
	List(ctx context.Context, owner string) ([]Record, error)

	// Revoke revokes a key from now on. It returns ErrNotFound if there is no
	// such key and nil if it is revoked already.
	Revoke(ctx context.Context, id string) error

	// Touch moves LastUsedAt forward to at. No such key is no error.
	Touch(ctx context.Context, id string, at time.Time) error
}

// MemoryStore is a [Store] in the memory of one process, for tests and for keys
// that a service knows from its configuration: it starts empty. It is safe for
// concurrent use.
type MemoryStore struct {
	records sync.Map // id → *Record, which is never modified
}

// Create implements [Store].
func (s *MemoryStore) Create(_ context.Context, r Record) error {
	if s == nil {
		return errNotMade
	}
	if err := r.check(); err != nil {
		return err
	}
	r.Scopes = slices.Clone(r.Scopes)
	if _, again := s.records.LoadOrStore(r.ID, &r); again {
		return fmt.Errorf("apikey: there is a key of the id %s already", r.ID)
	}
	return nil
}

// Lookup implements [Store].
func (s *MemoryStore) Lookup(_ context.Context, id string) (Record, error) {
	if s == nil {
		return Record{}, errNotMade
	}
	r, ok := s.records.Load(id)
	if !ok {
		return Record{}, ErrNotFound
	}
	return *r.(*Record), nil
}

// List implements [Store].
func (s *MemoryStore) List(_ context.Context, owner string) ([]Record, error) {
	if s == nil {
		return nil, errNotMade
	}
	var all []Record
	for _, v := range s.records.Range {
		if r := *v.(*Record); r.Owner == owner {
			r.Scopes = slices.Clone(r.Scopes)
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b Record) int { return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID)) })
	return all, nil
}

// Revoke implements [Store].
func (s *MemoryStore) Revoke(_ context.Context, id string) error {
	if s == nil {
		return errNotMade
	}
	return s.change(id, func(r *Record) {
		if r.RevokedAt.IsZero() {
			r.RevokedAt = time.Now().UTC().Truncate(time.Second)
		}
	})
}

// Touch implements [Store].
func (s *MemoryStore) Touch(_ context.Context, id string, at time.Time) error {
	if s == nil {
		return errNotMade
	}
	err := s.change(id, func(r *Record) {
		if at := at.UTC().Truncate(time.Second); at.After(r.LastUsedAt) {
			r.LastUsedAt = at
		}
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// change puts a changed copy in the record's place.
func (s *MemoryStore) change(id string, f func(*Record)) error {
	for {
		old, ok := s.records.Load(id)
		if !ok {
			return ErrNotFound
		}
		r := *old.(*Record)
		f(&r)
		if s.records.CompareAndSwap(id, old, &r) {
			return nil
		}
	}
}

// check returns every mistake in a record that is to be stored.
func (r Record) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("apikey: "+format, args...)) }
	if len(r.ID) != idLen || !isBase32(r.ID) {
		bad("ID has %d characters, want %d of %s", len(r.ID), idLen, alphabet)
	}
	if r.Hash.sum == nil {
		bad("Hash is empty, want what Generate or ParseHash returned")
	}
	if !isOwner(r.Owner) {
		bad("Owner is %.80q, want %s", r.Owner, wantOwner)
	}
	if err := checkScopes(r.Scopes); err != nil {
		errs = append(errs, err)
	}
	if r.CreatedAt.IsZero() || r.ExpiresAt.IsZero() {
		bad("CreatedAt is %v and ExpiresAt %v, want both", r.CreatedAt, r.ExpiresAt)
	}
	for _, t := range []time.Time{r.CreatedAt, r.ExpiresAt, r.RevokedAt, r.LastUsedAt} {
		if !t.IsZero() && t.Unix() < 1 { // 0 is none, in SQL
			bad("a time is %v, want it after 1970", t)
		}
	}
	return errors.Join(errs...)
}

func isOwner(s string) bool {
	return s != "" && len(s) <= maxOwner && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

func checkScopes(scopes []string) error {
	var errs []error
	size := 0
	for _, s := range scopes {
		size += len(s) + 1
		if s == "" || strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == '\\' }) {
			errs = append(errs, fmt.Errorf("apikey: Scopes has %.80q, want scope-tokens", s))
		}
	}
	if size > maxScopes {
		errs = append(errs, fmt.Errorf("apikey: Scopes has %d bytes, want at most %d", size, maxScopes))
	}
	return errors.Join(errs...)
}

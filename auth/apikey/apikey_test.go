package apikey_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/apikey"
	"github.com/gatehouse-go/gatehouse/auth/principal"
)

// Every mistake is reported, and no name of a field is wrong.
func TestNewReportsEveryMistake(t *testing.T) {
	t.Parallel()
	store := new(apikey.MemoryStore)
	for _, tt := range []struct {
		name string
		cfg  apikey.Config
		want []string
	}{
		{"zero", apikey.Config{}, []string{
			`apikey: Prefix is "", want a lower-case letter and 1 to 19 more, or digits`,
			"apikey: Issuer is empty, want who vouches for the owners' names",
			"apikey: Store is nil, want where the keys are",
		}},
		{"nil stores", apikey.Config{Prefix: prefix, Issuer: issuer, Store: (*apikey.MemoryStore)(nil)}, []string{
			"apikey: Store is nil, want where the keys are",
		}},
		{"nil SQL store", apikey.Config{Prefix: prefix, Issuer: issuer, Store: (*apikey.SQLStore)(nil)}, []string{
			"apikey: Store is nil, want where the keys are",
		}},
		{"underscore, header, interval", apikey.Config{Prefix: "sk_live", Issuer: issuer, Store: store, Header: "X Api Key", LastUsedInterval: time.Millisecond}, []string{
			`apikey: Prefix is "sk_live", want a lower-case letter and 1 to 19 more, or digits`,
			`apikey: Header is "X Api Key", want the name of a header`,
			"apikey: LastUsedInterval is 1ms, want 0, or 1s or more",
		}},
		{"negative interval", apikey.Config{Prefix: prefix, Issuer: issuer, Store: store, LastUsedInterval: -time.Minute}, []string{
			"apikey: LastUsedInterval is -1m0s, want 0, or 1s or more",
		}},
		{"cookie", apikey.Config{Prefix: prefix, Issuer: issuer, Store: store, Header: "cookie"}, []string{
			`apikey: Header is "cookie", want one that only the caller sets, for this service`,
		}},
		{"host", apikey.Config{Prefix: prefix, Issuer: issuer, Store: store, Header: "host"}, []string{
			`apikey: Header is "host", want one that only the caller sets, for this service`,
		}},
		{"line break", apikey.Config{Prefix: prefix, Issuer: issuer, Store: store, Header: "A\r\nB"}, []string{
			`apikey: Header is "A\r\nB", want the name of a header`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, err := apikey.New(tt.cfg)
			if err == nil || a != nil {
				t.Fatalf("New = %v, %v, want an error alone", a, err)
			}
			if got := strings.Split(err.Error(), "\n"); !slices.Equal(got, tt.want) {
				t.Errorf("New = %q\nwant  %q", got, tt.want)
			}
		})
	}
	for _, p := range []string{"a", "A", "Orders", "1a", "a-b", "a.b", "ä1", "a ", "a\n", strings.Repeat("a", 21)} {
		if _, err := apikey.New(apikey.Config{Prefix: p, Issuer: issuer, Store: store}); err == nil {
			t.Errorf("the prefix %q is accepted", p)
		}
	}
	for _, p := range []string{"a1", "ab", strings.Repeat("a", 20)} {
		newKeys(t, apikey.Config{Prefix: p})
	}
}

// What goes in, and what comes of it, in either place.
func TestAuthenticate(t *testing.T) {
	t.Parallel()
	store := new(apikey.MemoryStore)
	key, record := issue(t, store, "billing", "orders:read")
	other, _ := issue(t, store, "métrics")
	revoked, gone := issue(t, store, "billing")
	if err := store.Revoke(t.Context(), gone.ID); err != nil {
		t.Fatal(err)
	}
	foreign, _ := issueFor(t, store, apikey.Grant{Prefix: "stock", Owner: "billing", Lifetime: month})
	id, check := key[:len(prefix)+17], key[len(key)-8:]

	type row struct {
		name   string
		value  string
		status int
		body   string // the subject, or the reason of the refusal
	}
	both := []row{ // wherever the key stands
		{"admitted", key, 200, "billing"},
		{"another owner", other, 200, "métrics"},

		{"unknown id", unknownID(key), 401, "key"},
		{"wrong secret", otherSecret(key), 401, "secret"},
		{"the secret of another key", edit(id+other[len(id):], 0, 'o'), 401, "secret"},
		{"revoked", revoked, 401, "revoked"},
		{"wrong secret of a revoked key", otherSecret(revoked), 401, "secret"},

		{"typo", typo(key), 401, "malformed"},
		{"wrong checksum", key[:len(key)-1] + "2", 401, "malformed"},
		{"the checksum of another key", key[:len(key)-7] + other[len(other)-7:], 401, "malformed"},
		{"no checksum", strings.TrimSuffix(key, check), 401, "malformed"},
		{"cut", key[:len(key)-1], 401, "malformed"},
		{"a tail", key + "a", 401, "malformed"},
		{"upper case", prefix + "_" + strings.ToUpper(key[len(prefix)+1:]), 401, "malformed"},
		{"prefix alone", prefix + "_", 401, "malformed"},
		{"id alone", id, 401, "malformed"},
		{"the hash as the secret", prefix + "_" + record.ID + "_" + record.Hash.Text(), 401, "malformed"},
		{"far too long", key + strings.Repeat("a", 1<<20), 401, "malformed"},

		{"no prefix", key[len(prefix)+1:], 401, "malformed"},
		{"prefix in upper case", strings.ToUpper(prefix) + key[len(prefix):], 401, "malformed"},
		{"a longer prefix", "x" + key, 401, "malformed"},
		{"a shorter prefix", key[1:], 401, "malformed"},
		{"another service's", foreign, 401, "malformed"},
		{"another kind of token", anotherToken, 401, "malformed"},

		{"empty", "", 400, "malformed"},
		{"two keys", key + " " + other, 400, "malformed"},
		{"a list", key + ", " + other, 400, "malformed"},
		{"a list without a space", key + "," + other, 400, "malformed"},
		{"one twice", key + "," + key, 400, "malformed"},
		{"leading space", " " + key, 400, "malformed"},
		{"trailing space", key + " ", 400, "malformed"},
		{"trailing tab", key + "\t", 400, "malformed"},
	}
	run := func(t *testing.T, header string, r *http.Request, status int, body string) {
		t.Helper()
		var refusal error
		g := newGate(t, auth.Config{Realm: "orders", ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			refusal = err
			auth.WriteError(w, r, err)
		}}, newKeys(t, apikey.Config{Store: store, Header: header}))
		w := serve(g.Handler(whoami), r)
		got := w.Body.String()
		if w.Code != 200 {
			got = reason(refusal)
		}
		if w.Code != status || got != body {
			t.Errorf("got %d %q, want %d %q (%v)", w.Code, got, status, body, refusal)
		}
		var want []string
		switch {
		case header != "Authorization" && status == 401:
			want = []string{`ApiKey realm="orders", header="` + http.CanonicalHeaderKey(header) + `"`}
		case header != "Authorization":
		case status == 401 && (body == "missing" || body == "scheme"):
			want = []string{`Bearer realm="orders"`}
		case status == 401:
			want = []string{`Bearer realm="orders", error="invalid_token"`}
		case status == 400 && body == "duplicate": // by the Gate, before anybody is asked
			want = []string{`Bearer realm="orders", error="invalid_request"`}
		case status == 400:
			want = []string{`Bearer realm="orders", error="invalid_request"`}
		}
		if got := w.Header().Values("WWW-Authenticate"); !slices.Equal(got, want) {
			t.Errorf("WWW-Authenticate = %q, want %q", got, want)
		}
	}
	for _, tt := range both {
		t.Run("own header/"+tt.name, func(t *testing.T) {
			t.Parallel()
			run(t, "x-api-key", request("X-Api-Key", tt.value), tt.status, tt.body)
		})
		t.Run("Authorization/"+tt.name, func(t *testing.T) {
			t.Parallel()
			run(t, "Authorization", request("Authorization", "Bearer "+tt.value), tt.status, tt.body)
		})
	}
	for _, tt := range []struct {
		name   string
		header string // Config's
		sent   []string
		status int
		body   string
	}{
		{"none", "X-Api-Key", nil, 401, "missing"},
		{"two", "X-Api-Key", []string{"X-Api-Key", key, "X-Api-Key", key}, 400, "duplicate"},
		{"two, one of them empty", "X-Api-Key", []string{"X-Api-Key", "", "X-Api-Key", key}, 400, "duplicate"},
		{"in Authorization", "X-Api-Key", []string{"Authorization", "Bearer " + key}, 401, "scheme"},
		{"in another header", "X-Api-Key", []string{"X-Apikey", key}, 401, "missing"},
		{"with a scheme", "X-Api-Key", []string{"X-Api-Key", "Bearer " + key}, 400, "malformed"},
		{"in a header of one's own", "Orders-Key", []string{"orders-key", key}, 200, "billing"},
		{"in a cookie", "X-Api-Key", []string{"Cookie", "X-Api-Key=" + key}, 401, "missing"},

		{"none", "Authorization", nil, 401, "missing"},
		{"two", "Authorization", []string{"Authorization", "Bearer " + key, "Authorization", "Bearer " + key}, 400, "duplicate"},
		{"lower-case scheme", "authorization", []string{"Authorization", "bearer " + key}, 200, "billing"},
		{"without a scheme", "Authorization", []string{"Authorization", key}, 401, "scheme"},
		{"as DPoP", "Authorization", []string{"Authorization", "DPoP " + key}, 401, "scheme"},
		{"as Basic", "Authorization", []string{"Authorization", "Basic " + key}, 401, "scheme"},
		{"in X-Api-Key", "Authorization", []string{"X-Api-Key", key}, 401, "missing"},
	} {
		t.Run(tt.header+"/"+tt.name, func(t *testing.T) {
			t.Parallel()
			r := request()
			for i := 0; i < len(tt.sent); i += 2 {
				r.Header.Add(tt.sent[i], tt.sent[i+1])
			}
			run(t, http.CanonicalHeaderKey(tt.header), r, tt.status, tt.body)
		})
	}
}

// Without a Gate, two headers are refused all the same.
func TestTwoHeaders(t *testing.T) {
	t.Parallel()
	store := new(apikey.MemoryStore)
	key, _ := issue(t, store, "billing")
	for header, value := range map[string]string{"X-Api-Key": key, "Authorization": "Bearer " + key} {
		p, err := newKeys(t, apikey.Config{Store: store, Header: header}).Authenticate(request(header, value, header, value))
		if p != nil || reason(err) != auth.ReasonDuplicate {
			t.Errorf("%s: Authenticate = %+v, %v, want %q", header, p, err, auth.ReasonDuplicate)
		}
	}
}

// Logs have the URL of every request: no key is read there.
func TestQueryIsNotRead(t *testing.T) {
	t.Parallel()
	store := new(apikey.MemoryStore)
	key, _ := issue(t, store, "billing")
	for _, header := range []string{"X-Api-Key", "Authorization"} {
		g := newGate(t, auth.Config{}, newKeys(t, apikey.Config{Store: store, Header: header}))
		for _, name := range []string{"X-Api-Key", "x-api-key", "api_key", "apikey", "key", "access_token", "token", "Authorization"} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				r := httptest.NewRequest(method, "https://api.example.com/orders?"+name+"="+key, strings.NewReader(name+"="+key))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				if w := serve(g.Handler(whoami), r); w.Code != 401 {
					t.Errorf("%s: %s with %s in the query: status = %d, want 401", header, method, name, w.Code)
				}
			}
		}
	}
}

func TestPrincipal(t *testing.T) {
	t.Parallel()
	store := new(apikey.MemoryStore)
	key, record := issue(t, store, "billing", "orders:read", "orders:write")
	for header, r := range map[string]*http.Request{"X-Api-Key": withKey(key), "Authorization": bearer(key)} {
		got, err := newKeys(t, apikey.Config{Store: store, Header: header}).Authenticate(r)
		want := &principal.Principal{
			Issuer: issuer, Subject: "billing", Kind: principal.Client, Scheme: "APIKey", ClientID: "billing", TokenID: record.ID,
			Scopes: []string{"orders:read", "orders:write"}, IssuedAt: record.CreatedAt, ExpiresAt: record.CreatedAt.Add(month),
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: Authenticate = %+v, %v, want %+v", header, got, err, want)
		}
	}
}

// One request's principal is not the next one's.
func TestPrincipalIsNotShared(t *testing.T) {
	t.Parallel()
	scopes := slices.Grow(slices.Repeat([]string{"orders:read"}, 17), 100)
	store := &spy{lookup: func(context.Context, string) (apikey.Record, error) { return apikey.Record{}, nil }}
	key, record := generate(t, apikey.Grant{Prefix: prefix, Owner: "billing", Lifetime: month})
	record.Scopes, record.LastUsedAt = scopes, time.Now()
	store.lookup = func(context.Context, string) (apikey.Record, error) { return record, nil }
	a := newKeys(t, apikey.Config{Store: store})
	first, err := a.Authenticate(withKey(key))
	if err != nil {
		t.Fatal(err)
	}
	first.Tenant = "changed"
	_ = append(first.Scopes, "admin")
	second, err := a.Authenticate(withKey(key))
	if err != nil || second.Tenant != "" || slices.Contains(scopes[:cap(scopes)], "admin") {
		t.Errorf("the next request gets %+v, %v", second, err)
	}
}

// Whatever was wrong with a key, the client reads the same, byte for byte;
// operators read what it was, and of which key.
func TestRefusals(t *testing.T) {
	t.Parallel()
	store := new(apikey.MemoryStore)
	key, record := issue(t, store, "billing")
	revoked, gone := issue(t, store, "billing")
	if err := store.Revoke(t.Context(), gone.ID); err != nil {
		t.Fatal(err)
	}
	expired, old := generate(t, apikey.Grant{Prefix: prefix, Owner: "billing", Lifetime: time.Second})
	old.CreatedAt, old.ExpiresAt = old.CreatedAt.Add(-2*month), old.ExpiresAt.Add(-month)
	both, last := generate(t, apikey.Grant{Prefix: prefix, Owner: "billing", Lifetime: time.Second})
	last.CreatedAt, last.ExpiresAt, last.RevokedAt = old.CreatedAt, old.ExpiresAt, old.ExpiresAt
	for _, r := range []apikey.Record{old, last} {
		if err := store.Create(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	strange := unknownID(key)
	strangeID, err := apikey.Parse(prefix, strange)
	if err != nil {
		t.Fatal(err)
	}
	for header, challenge := range map[string]string{"X-Api-Key": ownHeader, "Authorization": `Bearer error="invalid_token"`} {
		var got decision.Decision
		g := newGate(t, auth.Config{OnDecision: func(_ context.Context, d decision.Decision) { got = d }},
			newKeys(t, apikey.Config{Store: store, Header: header}))
		var first *httptest.ResponseRecorder
		for _, tt := range []struct{ name, key, reason, detail string }{
			{"unknown", strange, auth.ReasonKey, "no key of the id " + strangeID},
			{"wrong secret", otherSecret(key), apikey.ReasonSecret, "not the secret of " + record.ID},
			{"revoked", revoked, auth.ReasonRevoked, gone.ID + " was revoked"},
			{"expired", expired, auth.ReasonExpired, old.ID + " has expired"},
			{"revoked, then expired", both, auth.ReasonRevoked, last.ID + " was revoked"},
			{"wrong secret of an expired key", otherSecret(expired), apikey.ReasonSecret, "not the secret of " + old.ID},
			{"typo", typo(key), auth.ReasonMalformed, "the checksum is wrong: mistyped, cut or made up"},
		} {
			r := withKey(tt.key)
			if header == "Authorization" {
				r = bearer(tt.key)
			}
			w := serve(g.Handler(whoami), r)
			if want := (decision.Decision{Layer: "auth", Effect: decision.Deny, Reason: tt.reason, Detail: tt.detail, Status: 401}); got != want {
				t.Errorf("%s: decision = %+v, want %+v", tt.name, got, want)
			}
			if first == nil {
				first = w
			}
			if w.Code != 401 || w.Body.String() != notAccepted || !reflect.DeepEqual(w.Header(), first.Header()) {
				t.Errorf("%s: %s: answer = %d %v %s, want that to all others, %v", header, tt.name, w.Code, w.Header(), w.Body, first.Header())
			}
			if got := w.Header().Values("WWW-Authenticate"); !slices.Equal(got, []string{challenge}) {
				t.Errorf("%s: %s: WWW-Authenticate = %q, want %q", header, tt.name, got, challenge)
			}
		}
	}
}

// An id that nobody has costs as many lookups, hashes and comparisons as any
// other.
func TestUnknownCostsTheSame(t *testing.T) {
	t.Parallel()
	store := &spy{Store: new(apikey.MemoryStore)}
	key, _ := issue(t, store, "billing")
	revoked, gone := issue(t, store, "billing")
	if err := store.Revoke(t.Context(), gone.ID); err != nil {
		t.Fatal(err)
	}
	a := newKeys(t, apikey.Config{Store: store})
	for _, tt := range []struct {
		key    string
		reason string
	}{
		{key, ""},
		{otherSecret(key), "secret"},
		{unknownID(key), "key"},
		{unknownID(otherSecret(key)), "key"},
		{revoked, "revoked"},
		{otherSecret(revoked), "secret"},
	} {
		var got []string
		a.Trace(func(step string) { got = append(got, step) })
		store.lookups = 0
		_, err := a.Authenticate(withKey(tt.key))
		if reason(err) != tt.reason {
			t.Errorf("reason = %q, want %q", reason(err), tt.reason)
		}
		if want := []string{"hash", "compare"}; !slices.Equal(got, want) || store.lookups != 1 {
			t.Errorf("%q costs %d lookups and %q, want 1 and %q", tt.reason, store.lookups, got, want)
		}
	}
	store.lookups = 0
	a.Trace(func(step string) { t.Errorf("a typo costs a %s", step) })
	if _, err := a.Authenticate(withKey(typo(key))); reason(err) != auth.ReasonMalformed || store.lookups != 0 {
		t.Errorf("a typo: got %v after %d lookups, want none", err, store.lookups)
	}
}

// Neither is the garbage of one refusal more than that of the other.
func TestUnknownAllocatesTheSame(t *testing.T) { // not parallel, for AllocsPerRun counts those of other tests
	store := new(apikey.MemoryStore)
	key, _ := issue(t, store, "billing")
	a := newKeys(t, apikey.Config{Store: store})
	allocs := func(key string) float64 {
		r := withKey(key)
		return testing.AllocsPerRun(100, func() { _, _ = a.Authenticate(r) })
	}
	if unknown, known := allocs(unknownID(key)), allocs(otherSecret(key)); unknown != known {
		t.Errorf("%v allocations for an unknown id, %v for a known one", unknown, known)
	}
}

// A hash is that of one id under one prefix, and no row is another's.
func TestRowsOfOthers(t *testing.T) {
	t.Parallel()
	store := new(apikey.MemoryStore)
	key, record := issue(t, store, "billing")
	_, other := issue(t, store, "admin")

	t.Run("the row of another id", func(t *testing.T) {
		t.Parallel()
		for name, answer := range map[string]apikey.Record{
			"another's": other,
			"one's own hash under another id": {
				ID: other.ID, Hash: record.Hash, Owner: "admin", CreatedAt: record.CreatedAt, ExpiresAt: record.ExpiresAt,
			},
			"an id with a space": {
				ID: record.ID + " ", Hash: record.Hash, Owner: "admin", CreatedAt: record.CreatedAt, ExpiresAt: record.ExpiresAt,
			},
			"an id in another case": {
				ID: strings.ToUpper(record.ID), Hash: record.Hash, Owner: "admin", CreatedAt: record.CreatedAt, ExpiresAt: record.ExpiresAt,
			},
			"no id": {Hash: record.Hash, Owner: "admin", CreatedAt: record.CreatedAt, ExpiresAt: record.ExpiresAt},
		} {
			store := &spy{lookup: func(context.Context, string) (apikey.Record, error) { return answer, nil }}
			g := newGate(t, auth.Config{}, newKeys(t, apikey.Config{Store: store}))
			if w := serve(g.Handler(whoami), withKey(key)); w.Code != 503 {
				t.Errorf("%s: got %d %s, want 503", name, w.Code, w.Body)
			}
		}
	})
	t.Run("the hash of another id", func(t *testing.T) {
		t.Parallel()
		// Whoever may write one column has his own key's hash in the admin's row.
		stolen := other
		stolen.Hash = record.Hash
		store := &spy{lookup: func(context.Context, string) (apikey.Record, error) { return stolen, nil }}
		own := strings.TrimSuffix(strings.Replace(key, record.ID, other.ID, 1), key[len(key)-8:])
		forged := own + "_" + apikey.Checksum(own)
		if p, err := newKeys(t, apikey.Config{Store: store}).Verify(t.Context(), forged); p != nil || reason(err) != apikey.ReasonSecret {
			t.Errorf("Verify = %+v, %v, want %q", p, err, apikey.ReasonSecret)
		}
	})
	t.Run("another prefix", func(t *testing.T) {
		t.Parallel()
		// Two services, or two environments, in one table.
		a := newKeys(t, apikey.Config{Store: store, Prefix: "live"})
		moved := "live" + strings.TrimSuffix(strings.TrimPrefix(key, prefix), key[len(key)-8:])
		if p, err := a.Verify(t.Context(), moved+"_"+apikey.Checksum(moved)); p != nil || reason(err) != apikey.ReasonSecret {
			t.Errorf("Verify = %+v, %v, want %q", p, err, apikey.ReasonSecret)
		}
	})
}

// A key is good until the second in which it expires, not in it.
func TestExpiry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := new(apikey.MemoryStore)
		key, _ := issueFor(t, store, apikey.Grant{Prefix: prefix, Owner: "billing", Lifetime: time.Hour})
		a, err := apikey.New(apikey.Config{Prefix: prefix, Issuer: issuer, Store: store})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close() //nolint:errcheck // always nil
		time.Sleep(time.Hour - time.Nanosecond)
		if _, err := a.Authenticate(withKey(key)); err != nil {
			t.Errorf("just before: %v, want the key admitted", err)
		}
		time.Sleep(time.Nanosecond)
		if _, err := a.Authenticate(withKey(key)); reason(err) != auth.ReasonExpired {
			t.Errorf("at its end: %v, want %q", err, auth.ReasonExpired)
		}
		time.Sleep(time.Hour)
		if _, err := a.Authenticate(withKey(key)); reason(err) != auth.ReasonExpired {
			t.Errorf("after its end: %v, want %q", err, auth.ReasonExpired)
		}
	})
}

// What a store leaves out does not make a key good.
func TestIncompleteRecords(t *testing.T) {
	t.Parallel()
	key, good := generate(t, apikey.Grant{Prefix: prefix, Owner: "billing", Lifetime: month})
	for _, tt := range []struct {
		name   string
		edit   func(r *apikey.Record)
		status int
		reason string
	}{
		{"complete", func(*apikey.Record) {}, 200, "admitted"},
		{"no expiry", func(r *apikey.Record) { r.ExpiresAt = time.Time{} }, 401, "expired"},
		{"revoked in the future", func(r *apikey.Record) { r.RevokedAt = time.Now().Add(month) }, 401, "revoked"},
		{"no hash", func(r *apikey.Record) { r.Hash = apikey.Hash{} }, 503, "unavailable"},
		{"no owner", func(r *apikey.Record) { r.Owner = "" }, 503, "unavailable"},
		{"nothing", func(r *apikey.Record) { *r = apikey.Record{} }, 503, "unavailable"},
	} {
		record := good
		tt.edit(&record)
		var got decision.Decision
		store := &spy{Store: new(apikey.MemoryStore), lookup: func(context.Context, string) (apikey.Record, error) { return record, nil }}
		g := newGate(t, auth.Config{OnDecision: func(_ context.Context, d decision.Decision) { got = d }}, newKeys(t, apikey.Config{Store: store}))
		if w := serve(g.Handler(whoami), withKey(key)); w.Code != tt.status || got.Reason != tt.reason {
			t.Errorf("%s: got %d %q, want %d %q", tt.name, w.Code, got.Reason, tt.status, tt.reason)
		}
	}
}

// A store that fails is no reason to admit or refuse anybody, nor to ask the
// next Authenticator.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	down := errors.New("canary: db.internal refused")
	key, record := generate(t, apikey.Grant{Prefix: prefix, Owner: "billing", Lifetime: month})
	for _, tt := range []struct {
		name   string
		err    error
		detail string
	}{
		{"down", down, "Store.Lookup: *errors.errorString"},
		{"down, with a record", down, "Store.Lookup: *errors.errorString"},
		{"says it wrongly", fmt.Errorf("canary: %w", auth.ErrNoCredentials), "Store.Lookup: no credentials"},
		{"says another kind", &auth.Error{Kind: auth.Invalid, Reason: "canary", Err: down}, "Store.Lookup: *auth.Error"},
		{"gave up", context.DeadlineExceeded, "Store.Lookup: context.deadlineExceededError"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			store := &spy{lookup: func(context.Context, string) (apikey.Record, error) { return record, tt.err }}
			for _, header := range []string{"X-Api-Key", "Authorization"} {
				var got decision.Decision
				next := new(askedNever)
				g := newGate(t, auth.Config{OnDecision: func(_ context.Context, d decision.Decision) { got = d }},
					newKeys(t, apikey.Config{Store: store, Header: header}), next)
				r := withKey(key)
				if header == "Authorization" {
					r = bearer(key)
				}
				for name, h := range map[string]http.Handler{"Handler": g.Handler(whoami), "Optional": g.Optional(whoami)} {
					w := serve(h, r)
					if w.Code != 503 || got.Reason != auth.ReasonUnavailable || got.Detail != tt.detail {
						t.Errorf("%s: got %d %+v, want 503 and %q", name, w.Code, got, tt.detail)
					}
					if w.Header().Get("WWW-Authenticate") != "" || w.Header().Get("Retry-After") == "" {
						t.Errorf("%s: headers = %v, want Retry-After and no challenge", name, w.Header())
					}
					if strings.Contains(fmt.Sprint(got, w.Body, w.Header()), "canary") {
						t.Errorf("%s: the store's text got out: %+v %s", name, got, w.Body)
					}
				}
				if next.asked {
					t.Error("the next Authenticator was asked")
				}
			}
		})
	}
	t.Run("cause", func(t *testing.T) {
		t.Parallel()
		a := newKeys(t, apikey.Config{Store: &spy{lookup: func(context.Context, string) (apikey.Record, error) { return apikey.Record{}, down }}})
		if _, err := a.Authenticate(withKey(key)); !errors.Is(err, down) {
			t.Errorf("err = %v, want it around the store's", err)
		}
	})
	t.Run("context", func(t *testing.T) {
		t.Parallel()
		type contextKey struct{}
		a := newKeys(t, apikey.Config{Store: &spy{Store: new(apikey.MemoryStore), lookup: func(ctx context.Context, _ string) (apikey.Record, error) {
			if ctx.Value(contextKey{}) != "request" {
				t.Error("Lookup did not get the request's context")
			}
			return record, nil
		}}})
		r := withKey(key)
		if _, err := a.Authenticate(r.WithContext(context.WithValue(r.Context(), contextKey{}, "request"))); err != nil {
			t.Error(err)
		}
	})
	t.Run("not found, wrapped", func(t *testing.T) {
		t.Parallel()
		a := newKeys(t, apikey.Config{Store: &spy{lookup: func(context.Context, string) (apikey.Record, error) {
			return record, fmt.Errorf("redis: %w", apikey.ErrNotFound)
		}}})
		if p, err := a.Authenticate(withKey(key)); p != nil || reason(err) != auth.ReasonKey {
			t.Errorf("Authenticate = %+v, %v, want %q", p, err, auth.ReasonKey)
		}
	})
}

// askedNever tells whether it was.
type askedNever struct{ asked bool }

func (a *askedNever) Authenticate(*http.Request) (*principal.Principal, error) {
	a.asked = true
	return &principal.Principal{Issuer: issuer, Subject: "anybody"}, nil
}

func (a *askedNever) Challenges(error) []string { return nil }

// Keys, JWTs and the keys of another service share Authorization, in any order.
func TestChain(t *testing.T) {
	t.Parallel()
	store := new(apikey.MemoryStore)
	key, _ := issue(t, store, "billing")
	stock, _ := issueFor(t, store, apikey.Grant{Prefix: "stock", Owner: "warehouse", Lifetime: month})
	jwt, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{{
		URL: "https://id.example.com", Audience: []string{"orders"},
		Keys: auth.Secret([]byte("kX93jd02lsPqW8eRt5yUiOaZxCvBnM71-Tg6Yh4Jq0Lw2Fd8Sv5Bz3Nc9Xm7Kp1R")),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = jwt.Close() })
	for _, header := range []string{"Authorization", "X-Api-Key"} {
		orders := newKeys(t, apikey.Config{Store: store, Header: header})
		stocks := newKeys(t, apikey.Config{Store: store, Header: header, Prefix: "stock"})
		opaque := opaqueTokens{}
		for _, order := range [][]auth.Authenticator{{orders, stocks, jwt, opaque}, {jwt, stocks, orders, opaque}, {stocks, jwt, orders, opaque}} {
			g := newGate(t, auth.Config{}, order...)
			send := func(key string) *http.Request {
				if header == "Authorization" {
					return bearer(key)
				}
				return withKey(key)
			}
			for _, tt := range []struct {
				name   string
				r      *http.Request
				status int
				body   string
			}{
				{"key", send(key), 200, "billing"},
				{"key of the other service", send(stock), 200, "warehouse"},
				{"wrong key", send(otherSecret(key)), 401, ""},
				{"opaque token", bearer(anotherToken), 200, "opaque"},
				{"a JWT of somebody", bearer("eyJhbGciOiJIUzI1NiJ9.e30.AAAA"), 401, ""},
			} {
				w := serve(g.Handler(whoami), tt.r)
				if w.Code != tt.status || tt.body != "" && w.Body.String() != tt.body {
					t.Errorf("%s: %s: got %d %q, want %d %q", header, tt.name, w.Code, w.Body, tt.status, tt.body)
				}
			}
		}
	}
}

// opaqueTokens stands for an introspector: it takes the one token, and refuses
// keys, which must not get to it.
type opaqueTokens struct{}

func (opaqueTokens) Authenticate(r *http.Request) (*principal.Principal, error) {
	_, token, err := auth.BearerToken(r)
	switch {
	case err != nil:
		return nil, err
	case token == anotherToken:
		return &principal.Principal{Issuer: "https://id.example.com", Subject: "opaque"}, nil
	}
	return nil, &auth.Error{Kind: auth.Unavailable, Reason: "asked"}
}

func (opaqueTokens) Challenges(error) []string { return []string{"Bearer"} }

// A key in one place and a token in another: two readers might each believe
// another one.
func TestTwoPlaces(t *testing.T) {
	t.Parallel()
	store := new(apikey.MemoryStore)
	key, _ := issue(t, store, "billing")
	own, shared := newKeys(t, apikey.Config{Store: store}), newKeys(t, apikey.Config{Store: store, Header: "Authorization"})
	g := newGate(t, auth.Config{}, own, shared)
	for _, r := range []*http.Request{withKey(key), bearer(key)} {
		if w := serve(g.Handler(whoami), r); w.Code != 200 {
			t.Errorf("one place: status = %d, want 200", w.Code)
		}
	}
	if w := serve(g.Handler(whoami), request("X-Api-Key", key, "Authorization", "Bearer "+key)); w.Code != 400 {
		t.Errorf("two places: status = %d, want 400", w.Code)
	}
}

func TestCarries(t *testing.T) {
	t.Parallel()
	own, shared := newKeys(t, apikey.Config{}), newKeys(t, apikey.Config{Header: "authorization"})
	for _, tt := range []struct {
		header      []string
		own, shared string
	}{
		{nil, "", ""},
		{[]string{"X-Api-Key", "x"}, "X-Api-Key", ""},
		{[]string{"X-Api-Key", ""}, "X-Api-Key", ""},
		{[]string{"X-Api-Key", "x", "X-Api-Key", "y"}, "X-Api-Key", ""},
		{[]string{"Authorization", "Bearer x"}, "", "Authorization"},
		{[]string{"Authorization", "Bearer"}, "", "Authorization"},
		{[]string{"Authorization", "Basic x"}, "", ""},
		{[]string{"Authorization", "Bearer x", "Authorization", "Basic x"}, "", "Authorization"},
		{[]string{"X-Api-Key", "x", "Authorization", "Bearer x"}, "X-Api-Key", "Authorization"},
	} {
		r := request(tt.header...)
		if got := own.Carries(r); got != tt.own {
			t.Errorf("Carries with %q = %q, want %q", tt.header, got, tt.own)
		}
		if got := shared.Carries(r); got != tt.shared {
			t.Errorf("Carries of Authorization with %q = %q, want %q", tt.header, got, tt.shared)
		}
	}
}

func TestChallenges(t *testing.T) {
	t.Parallel()
	own, shared := newKeys(t, apikey.Config{}), newKeys(t, apikey.Config{Header: "Authorization"})
	for _, tt := range []struct {
		name   string
		err    error
		own    bool
		shared []string
	}{
		{"none", auth.ErrNoCredentials, true, []string{"Bearer"}},
		{"missing", &auth.Error{Kind: auth.Missing}, true, []string{"Bearer"}},
		{"invalid", &auth.Error{Kind: auth.Invalid}, true, []string{`Bearer error="invalid_token"`}},
		{"declined", &auth.Error{Kind: auth.Invalid, Err: auth.ErrNoCredentials}, true, []string{`Bearer error="invalid_token"`}},
		{"stale", &auth.Error{Kind: auth.StaleAuthentication}, true, []string{`Bearer error="insufficient_user_authentication"`}},
		{"malformed", &auth.Error{Kind: auth.Malformed}, false, []string{`Bearer error="invalid_request"`}},
		{"scope", &auth.Error{Kind: auth.InsufficientScope, Scopes: []string{"a"}}, false, []string{`Bearer error="insufficient_scope", scope="a"`}},
		{"forbidden", &auth.Error{Kind: auth.Forbidden}, false, nil},
		{"unavailable", &auth.Error{Kind: auth.Unavailable}, false, nil},
		{"foreign", errors.New("down"), false, nil},
	} {
		var want []string
		if tt.own {
			want = []string{ownHeader}
		}
		if got := own.Challenges(tt.err); !slices.Equal(got, want) {
			t.Errorf("%s: Challenges = %q, want %q", tt.name, got, want)
		}
		if got := shared.Challenges(tt.err); !slices.Equal(got, tt.shared) {
			t.Errorf("%s: Challenges of Authorization = %q, want %q", tt.name, got, tt.shared)
		}
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	store := new(apikey.MemoryStore)
	reader, _ := issue(t, store, "reader", "orders:read")
	writer, _ := issue(t, store, "writer", "orders:read", "orders:write")
	for header, want := range map[string][]string{"X-Api-Key": nil, "Authorization": {`Bearer error="insufficient_scope", scope="orders:write"`}} {
		g := newGate(t, auth.Config{}, newKeys(t, apikey.Config{Store: store, Header: header}))
		h := g.Handler(g.RequireScope("orders:write")(whoami))
		for key, status := range map[string]int{reader: 403, writer: 200} {
			r := withKey(key)
			if header == "Authorization" {
				r = bearer(key)
			}
			w := serve(h, r)
			if w.Code != status {
				t.Errorf("%s: status = %d, want %d", header, w.Code, status)
			}
			if got := w.Header().Values("WWW-Authenticate"); status == 403 && !slices.Equal(got, want) {
				t.Errorf("%s: WWW-Authenticate = %q, want %q", header, got, want)
			}
		}
	}
}

// Two keys of one owner are good at once, and are one caller.
func TestRotation(t *testing.T) {
	t.Parallel()
	for name, store := range stores(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newKeys(t, apikey.Config{Store: store})
			old, first := issue(t, store, "billing", "orders:read")
			fresh, second := issue(t, store, "billing", "orders:read")
			before, err := a.Authenticate(withKey(old))
			if err != nil {
				t.Fatal(err)
			}
			after, err := a.Authenticate(withKey(fresh))
			if err != nil {
				t.Fatal(err)
			}
			if before.ID() != after.ID() || before.ClientID != after.ClientID || before.TokenID != first.ID || after.TokenID != second.ID {
				t.Errorf("the callers are %+v and %+v, want one with two keys", before, after)
			}
			if err := store.Revoke(t.Context(), first.ID); err != nil {
				t.Fatal(err)
			}
			if _, err := a.Authenticate(withKey(old)); reason(err) != auth.ReasonRevoked {
				t.Errorf("the old key: %v, want %q", err, auth.ReasonRevoked)
			}
			if _, err := a.Authenticate(withKey(fresh)); err != nil {
				t.Errorf("the new key: %v, want it admitted", err)
			}
		})
	}
}

// A scanner that found a key gets it revoked; who merely knows the id does not.
func TestVerify(t *testing.T) {
	t.Parallel()
	store := new(apikey.MemoryStore)
	key, record := issue(t, store, "billing")
	a := newKeys(t, apikey.Config{Store: store})
	if p, err := a.Verify(t.Context(), key); err != nil || p.TokenID != record.ID {
		t.Errorf("Verify = %+v, %v, want the key's id", p, err)
	}
	for key, want := range map[string]string{
		otherSecret(key): apikey.ReasonSecret, unknownID(key): auth.ReasonKey, "": auth.ReasonMalformed, anotherToken: auth.ReasonMalformed,
		key + "\n": auth.ReasonMalformed, " " + key: auth.ReasonMalformed,
	} {
		if p, err := a.Verify(t.Context(), key); p != nil || reason(err) != want {
			t.Errorf("Verify(%q) = %+v, %v, want %q", key, p, err, want)
		}
	}
	if _, err := a.Verify(t.Context(), anotherToken); !errors.Is(err, auth.ErrNoCredentials) {
		t.Errorf("Verify of a foreign token = %v, want it around ErrNoCredentials", err)
	}
	if _, err := a.Verify(t.Context(), typo(key)); errors.Is(err, auth.ErrNoCredentials) {
		t.Errorf("Verify of a typo = %v, want it refused", err)
	}
}

// A nil Authenticator admits nobody and does not panic.
func TestNil(t *testing.T) {
	t.Parallel()
	var none *apikey.Authenticator
	for _, r := range []*http.Request{request(), withKey("x"), bearer("x")} {
		if p, err := none.Authenticate(r); p != nil || reason(err) != auth.ReasonUnavailable {
			t.Errorf("Authenticate = %+v, %v, want %q", p, err, auth.ReasonUnavailable)
		}
	}
	if p, err := none.Verify(t.Context(), "x"); p != nil || reason(err) != auth.ReasonUnavailable {
		t.Errorf("Verify = %+v, %v, want %q", p, err, auth.ReasonUnavailable)
	}
	if none.Close() != nil || none.Carries(withKey("x")) != "" || none.Challenges(auth.ErrNoCredentials) != nil {
		t.Error("a nil Authenticator does something")
	}
}

// Nothing of a key's secret is in an answer, the log, a decision, an error, or
// what prints a Config, an Authenticator, a store, a Record or a Key.
func TestNoSecretGetsOut(t *testing.T) {
	t.Parallel()
	store := new(apikey.MemoryStore)
	generated, record, err := apikey.Generate(apikey.Grant{Prefix: prefix, Owner: "billing", Lifetime: month})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Create(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	key := generated.Reveal()
	revoked, gone := issue(t, store, "billing")
	if err := store.Revoke(t.Context(), gone.ID); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	sqlStore := newSQL(t, new(fake), apikey.SQLConfig{})
	if err := sqlStore.Create(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	printed := append(make([]any, 0, 14), generated, &generated, record, &record, record.Hash, &record.Hash, store, sqlStore)
	for _, header := range []string{"X-Api-Key", "Authorization"} {
		cfg := apikey.Config{Prefix: prefix, Issuer: issuer, Store: store, Header: header}
		a := newKeys(t, cfg)
		printed = append(printed, cfg, &cfg, a)
		g := newGate(t, auth.Config{
			Logger:     logger,
			OnDecision: func(_ context.Context, d decision.Decision) { fmt.Fprintf(&out, "%+v\n", d) },
			ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
				fmt.Fprintf(&out, "%v %+v %#v\n", err, err, err)
				auth.WriteError(w, r, err)
			},
		}, a)
		for _, sent := range []string{
			key, revoked, otherSecret(key), unknownID(key), typo(key), key + "x", strings.ToUpper(key), key + " x", key + "," + key,
			"canary", prefix + "_canary", prefix + "_canary\r\nlevel=INFO",
		} {
			r := withKey(sent)
			if header == "Authorization" {
				r = bearer(sent)
			}
			w := serve(g.Handler(http.NotFoundHandler()), r)
			fmt.Fprintln(&out, w.Header(), w.Body)
		}
	}
	for _, v := range printed {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		logger.Info("printed", "v", v)
		if b, err := json.Marshal(v); err == nil {
			out.Write(b)
		}
	}
	if log.Len() == 0 {
		t.Fatal("nothing was logged")
	}
	out.WriteString(log.String())
	text := strings.ToLower(out.String())
	digits := strings.TrimPrefix(record.Hash.Text(), "sha256:")
	for _, forbidden := range []string{
		"canary", secretOf(key), secretOf(key)[:12], secretOf(revoked), secretOf(otherSecret(key)), secretOf(typo(key)),
		key[len(key)-8:], digits, digits[:12],
	} {
		if strings.Contains(text, forbidden) {
			t.Errorf("%q got out", forbidden)
		}
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

func secretOf(key string) string { return key[len(prefix)+18 : len(prefix)+18+52] }

// TestServer speaks to a real server, as net/http's client does it.
func TestServer(t *testing.T) {
	t.Parallel()
	store := new(apikey.MemoryStore)
	key, _ := issue(t, store, "billing")
	srv := httptest.NewTLSServer(newGate(t, auth.Config{}, newKeys(t, apikey.Config{Store: store})).Handler(whoami))
	t.Cleanup(srv.Close)
	for _, tt := range []struct {
		name   string
		header http.Header
		want   int
	}{
		{"key", http.Header{"X-Api-Key": {key}}, 200},
		{"header in lower case", http.Header{"x-api-key": {key}}, 200},
		{"spaces around, which HTTP takes off", http.Header{"X-Api-Key": {" " + key + " "}}, 200},
		{"two", http.Header{"X-Api-Key": {key, key}}, 400},
		{"two in two spellings", http.Header{"X-Api-Key": {key}, "x-api-key": {key}}, 400},
		{"none", nil, 401},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = tt.header
		resp, err := srv.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != tt.want {
			t.Errorf("%s: status = %d, want %d", tt.name, resp.StatusCode, tt.want)
		}
	}
}

// TestConcurrent is for the race detector.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	for name, store := range stores(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newKeys(t, apikey.Config{Store: store, LastUsedInterval: time.Second})
			key, record := issue(t, store, "billing")
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					for range 20 {
						if _, err := a.Authenticate(withKey(key)); err != nil {
							t.Error(err)
						}
						if err := store.Touch(t.Context(), record.ID, time.Now()); err != nil {
							t.Error(err)
						}
						if _, err := store.List(t.Context(), "billing"); err != nil {
							t.Error(err)
						}
						issue(t, store, "another")
					}
				})
			}
			all.Wait()
			for range 4 {
				all.Go(func() {
					if err := store.Revoke(t.Context(), record.ID); err != nil {
						t.Error(err)
					}
					if _, err := a.Authenticate(withKey(key)); reason(err) != auth.ReasonRevoked {
						t.Errorf("after Revoke: %v", err)
					}
				})
			}
			all.Wait()
		})
	}
}

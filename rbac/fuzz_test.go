package rbac_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/gatehouse-go/gatehouse/rbac"
)

// Whatever parses is the same document when it is written and read again, an
// ordinary reader of JSON reads the same in it, and New never panics on it.
func FuzzParseDocument(f *testing.F) {
	for _, seed := range []string{
		`{"version":"7","roles":{"a":{"inherits":["b"],"allow":["orders:*","orders:read"]},"b":{"allow":["*"]}}}`,
		`{"roles":{"a":{"inherits":["a"]}}}`,
		`{"roles":{"a":{"inherits":["b"]},"b":{"inherits":["a","c"]}}}`,
		`{"roles":{"a\u200b":{"allow":["\ud83d\ude00"]}}}`,
		`{"roles":{"a":{},"a":{}}}`,
		`{"Roles":{}}`,
		`{"roles":{"\ud800":{}}}`,
		`null`, `{}`, `[]`, "\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := rbac.ParseDocument(data)
		if err != nil {
			if doc != nil {
				t.Fatalf("both a document and the error %v", err)
			}
			return
		}
		first, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		again, err := rbac.ParseDocument(first)
		if err != nil {
			t.Fatalf("%s: %v", first, err)
		}
		second, err := json.Marshal(again)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first, second) {
			t.Errorf("documents differ:\n%s\n%s", first, second)
		}
		plain := rbac.Document{Roles: map[string]rbac.Role{}}
		if err := json.Unmarshal(data, &plain); err != nil {
			t.Fatalf("encoding/json refuses what ParseDocument admits: %v", err)
		}
		if third, err := json.Marshal(plain); err != nil || !bytes.Equal(first, third) {
			t.Errorf("encoding/json reads another document: %v\n%s\n%s", err, first, third)
		}
		var perms rbac.Catalog
		read := perms.Define("orders:read", "Read an order")
		policy, err := rbac.New(rbac.Config{Catalog: &perms, Document: doc})
		if err != nil {
			return
		}
		for role := range doc.Roles {
			policy.Can(as(role), read)
		}
		if policy.Can(as(), read) || policy.Can(as("", "*"), read) {
			t.Errorf("somebody without a role may read: %s", first)
		}
	})
}

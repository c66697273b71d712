package rbac_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-go/gatehouse/rbac"
)

func TestDefine(t *testing.T) {
	t.Parallel()
	var perms rbac.Catalog
	for _, name := range []string{"a", "orders:read", "orders:read:own", "a-b_c:0", strings.Repeat("x", 128)} {
		p := perms.Define(name, "What "+name+" permits")
		if got := p.String(); got != name {
			t.Errorf("String = %q, want %q", got, name)
		}
		if got, want := p.Description(), "What "+name+" permits"; got != want {
			t.Errorf("Description = %q, want %q", got, want)
		}
	}
	var zero rbac.Perm
	if zero.String() != "none" || zero.Description() != "" {
		t.Errorf("zero Perm is %q %q, want none", zero.String(), zero.Description())
	}
}

func TestDefinePanics(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, description string
		want              string
	}{
		{"", "x", `rbac: Define of "", want words such as orders:read`},
		{"*", "x", `rbac: Define of "*", want words such as orders:read`},
		{"orders:*", "x", `rbac: Define of "orders:*", want words such as orders:read`},
		{"Orders:read", "x", `rbac: Define of "Orders:read", want words such as orders:read`},
		{"orders read", "x", `rbac: Define of "orders read", want words such as orders:read`},
		{"orders|read", "x", `rbac: Define of "orders|read", want words such as orders:read`},
		{"orders::read", "x", `rbac: Define of "orders::read", want words such as orders:read`},
		{":read", "x", `rbac: Define of ":read", want words such as orders:read`},
		{"orders:", "x", `rbac: Define of "orders:", want words such as orders:read`},
		{"órders", "x", `rbac: Define of "órders", want words such as orders:read`},
		{"a\x00", "x", `rbac: Define of "a\x00", want words such as orders:read`},
		{"orders:read", "", `rbac: Define of "orders:read" without a description`},
		{"taken", "x", `rbac: Define of "taken" again`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var perms rbac.Catalog
			perms.Define("taken", "x")
			defer func() {
				if got := recover(); got != tt.want {
					t.Errorf("panic = %v, want %s", got, tt.want)
				}
			}()
			perms.Define(tt.name, tt.description)
		})
	}
	t.Run("too long", func(t *testing.T) {
		t.Parallel()
		defer func() {
			if recover() == nil {
				t.Error("a name of 129 bytes did not panic")
			}
		}()
		new(rbac.Catalog).Define(strings.Repeat("x", 129), "x")
	})
}

// A permission that a Policy does not know of could never be granted.
func TestDefineAfterNew(t *testing.T) {
	t.Parallel()
	var perms rbac.Catalog
	perms.Define("a", "A")
	if _, err := rbac.New(rbac.Config{Catalog: &perms, Document: &rbac.Document{Roles: map[string]rbac.Role{"r": {}}}}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if got, want := recover(), `rbac: Define of "b" after New`; got != want {
			t.Errorf("panic = %v, want %s", got, want)
		}
	}()
	perms.Define("b", "B")
}

// Two policies may share a Catalog: a permission is the same one in both.
func TestSharedCatalog(t *testing.T) {
	t.Parallel()
	var perms rbac.Catalog
	a := perms.Define("a", "A")
	for role, want := range map[string]bool{"r": true, "s": false} {
		p, err := rbac.New(rbac.Config{Catalog: &perms, Document: &rbac.Document{Roles: map[string]rbac.Role{role: {Allow: []string{"a"}}}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Can(as("r"), a); got != want {
			t.Errorf("Can by the policy for %s = %t, want %t", role, got, want)
		}
	}
}

func TestDefineConcurrently(t *testing.T) {
	t.Parallel()
	var (
		perms rbac.Catalog
		wg    sync.WaitGroup
	)
	for i := range 8 {
		wg.Go(func() {
			name := fmt.Sprintf("p%d", i)
			if got := perms.Define(name, name).String(); got != name {
				t.Errorf("String = %q, want %q", got, name)
			}
		})
	}
	wg.Wait()
}

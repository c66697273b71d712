package rbac

import (
	"fmt"
	"strings"
	"sync"
)

// A Catalog is the list of all permissions of a service. Its zero value is
// empty and ready to use; it is meant to be a package-level variable, with the
// permissions beside it.
//
//	var perms rbac.Catalog
//
//	var (
//		OrdersRead  = perms.Define("orders:read", "Read an order")
//		OrdersWrite = perms.Define("orders:write", "Create and change orders")
//	)
//
// The first [New] freezes it.
type Catalog struct {
	mu     sync.Mutex
	frozen bool
	perms  []definition
	byName map[string]int
}

type definition struct{ name, description string }

// A Perm is a permission of one Catalog. It cannot be made from a string, and
// nobody has the zero Perm.
type Perm struct {
	catalog *Catalog
	index   int
}

// Define adds a permission. Its name is lower-case words of letters, digits,
// '-' and '_' with colons between, such as "orders:read".
// It panics if the name is malformed or taken, if the description is empty,
// and if a Policy was already made from the Catalog.
func (c *Catalog) Define(name, description string) Perm {
	if !validPermission(name) {
		panic(fmt.Sprintf("rbac: Define of %q, want words such as orders:read", name))
	}
	if description == "" {
		panic(fmt.Sprintf("rbac: Define of %q without a description", name))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, taken := c.byName[name]; taken {
		panic(fmt.Sprintf("rbac: Define of %q again", name))
	}
	if c.frozen {
		panic(fmt.Sprintf("rbac: Define of %q after New", name))
	}
	if c.byName == nil {
		c.byName = make(map[string]int)
	}
	c.byName[name] = len(c.perms)
	c.perms = append(c.perms, definition{name, description})
	return Perm{c, len(c.perms) - 1}
}

// String returns the permission's name, "none" for the zero Perm.
func (p Perm) String() string {
	if p.catalog == nil {
		return "none"
	}
	p.catalog.mu.Lock()
	defer p.catalog.mu.Unlock()
	return p.catalog.perms[p.index].name
}

// Description returns what the permission was defined with.
func (p Perm) Description() string {
	if p.catalog == nil {
		return ""
	}
	p.catalog.mu.Lock()
	defer p.catalog.mu.Unlock()
	return p.catalog.perms[p.index].description
}

// freeze ends the time of definitions and returns the names in their order.
func (c *Catalog) freeze() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = true
	names := make([]string, len(c.perms))
	for i, d := range c.perms {
		names[i] = d.name
	}
	return names
}

func validPermission(name string) bool {
	for word := range strings.SplitSeq(name, ":") {
		if word == "" {
			return false
		}
		for _, c := range []byte(word) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return len(name) <= 128
}

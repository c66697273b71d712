package rbac

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-go/gatehouse/internal/strictjson"
)

// A Document says which role has which permissions.
type Document struct {
	// Version names the document in decisions, for operators. It may be empty.
	Version string `json:"version,omitempty"`

	// Roles are the roles by name.
	Roles map[string]Role `json:"roles"`
}

// A Role is a set of permissions.
type Role struct {
	// Inherits are roles whose permissions this one has too.
	Inherits []string `json:"inherits,omitempty"`

	// Allow are names of permissions. "orders:*" is every permission that
	// begins with "orders:", and "*" is every one there is. Wildcards are
	// expanded when the Policy is made.
	Allow []string `json:"allow,omitempty"`
}

// ParseDocument decodes a Document in JSON:
//
//	{
//	  "version": "2026-11-22",
//	  "roles": {
//	    "customer": {"allow": ["orders:read", "orders:write"]},
//	    "admin":    {"inherits": ["customer"], "allow": ["orders:*"]}
//	  }
//	}
//
// It is strict: unknown members, doubled members and names in another case are
// errors. Whether the roles and permissions exist is for [New] to say.
func ParseDocument(data []byte) (*Document, error) {
	top, err := strictjson.Members(data)
	if err != nil {
		return nil, fmt.Errorf("rbac: document: %w", err)
	}
	doc := &Document{Roles: make(map[string]Role)}
	var errs []error
	fault := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("rbac: document: "+format, args...))
	}
	for _, name := range slices.Sorted(maps.Keys(top)) {
		switch name {
		case "version":
			var ok bool
			if doc.Version, ok = strictjson.Text(top[name]); !ok {
				fault("version is not a string")
			}
		case "roles":
			roles, err := strictjson.Members(top[name])
			if err != nil {
				fault("roles: %w", err)
			}
			for _, role := range slices.Sorted(maps.Keys(roles)) {
				r, err := parseRole(roles[role])
				if err != nil {
					fault("role %.64q: %w", role, err)
					continue
				}
				doc.Roles[role] = r
			}
		default:
			fault("member %.64q is unknown, want version or roles", name)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return doc, nil
}

func parseRole(raw json.RawMessage) (Role, error) {
	var r Role
	members, err := strictjson.Members(raw)
	if err != nil {
		return r, err
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(members)) {
		var into *[]string
		switch name {
		case "inherits":
			into = &r.Inherits
		case "allow":
			into = &r.Allow
		default:
			errs = append(errs, fmt.Errorf("member %.64q is unknown, want inherits or allow", name))
			continue
		}
		list, ok := strictjson.Texts(members[name])
		if !ok {
			errs = append(errs, fmt.Errorf("%s is not an array of strings", name))
		}
		*into = list
	}
	return r, errors.Join(errs...)
}

// A bitset has a bit for each permission of a catalog.
type bitset []uint64

func newBitset(n int) bitset    { return make(bitset, (n+63)/64) }
func (b bitset) set(i int)      { b[i/64] |= 1 << (i % 64) }
func (b bitset) has(i int) bool { return b[i/64]&(1<<(i%64)) != 0 }
func (b bitset) union(o bitset) {
	for i := range b {
		b[i] |= o[i]
	}
}

// compiled is a Document ready for questions. It is immutable.
type compiled struct {
	name  string // for decisions
	roles map[string]bitset
}

// detail adds the document's name to what else there is to say.
func (c *compiled) detail(more string) string {
	if c.name == "" || more == "" {
		return c.name + more
	}
	return c.name + "; " + more
}

// A compiler makes a Document ready for questions.
type compiler struct {
	names     []string
	index     map[string]int
	doc       *Document
	sets      map[string]bitset // of the roles that were met
	open      map[string]int    // those whose inheritance is being followed, and their depth
	wildcards map[string]bitset // those that were expanded; nil for what is none
	steps     int               // in hierarchies: each role and each inheritance is one
	errs      []error
}

func newCompiler(names []string, doc *Document) *compiler {
	c := &compiler{
		names:     names,
		index:     make(map[string]int, len(names)),
		doc:       doc,
		sets:      make(map[string]bitset, len(doc.Roles)),
		open:      make(map[string]int),
		wildcards: make(map[string]bitset),
	}
	for i, name := range names {
		c.index[name] = i
	}
	return c
}

// compile resolves names, wildcards and inheritance, and finds every mistake
// in the document.
func (c *compiler) compile() (*compiled, []error) {
	for _, role := range slices.Sorted(maps.Keys(c.doc.Roles)) {
		if !validRole(role) {
			c.fault("role %.64q is malformed, want printable characters without * and spaces around", role)
		}
		c.resolve(role)
	}
	name := c.doc.Version
	if name != "" {
		name = "document " + name
	}
	return &compiled{name, c.sets}, c.errs
}

func (c *compiler) fault(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("rbac: Document: "+format, args...))
}

// resolve finds out what the role has, inherited permissions included. It
// follows each inheritance once, whatever the shape of the hierarchy, and
// without recursion, whatever its depth.
func (c *compiler) resolve(role string) {
	var path []frame
	enter := func(role string) {
		c.open[role] = len(path)
		path = append(path, frame{role: role})
		c.sets[role] = c.own(role)
	}
	if _, ok := c.sets[role]; ok {
		return
	}
	enter(role)
	for len(path) > 0 {
		c.steps++
		top := &path[len(path)-1]
		inherits := c.doc.Roles[top.role].Inherits
		if top.next == len(inherits) {
			delete(c.open, top.role)
			path = path[:len(path)-1]
			continue
		}
		parent := inherits[top.next]
		if _, ok := c.doc.Roles[parent]; !ok {
			c.fault("role %.64q inherits %.64q, which is no role", top.role, parent)
			top.next++
		} else if depth, ok := c.open[parent]; ok {
			c.fault("role %.64q inherits itself: %s", parent, cycle(path[depth:]))
			top.next++
		} else if set, ok := c.sets[parent]; ok {
			c.sets[top.role].union(set)
			top.next++
		} else {
			enter(parent) // its set is taken when it is complete
		}
	}
}

// A frame is a role whose inheritance is being followed.
type frame struct {
	role string
	next int // index in Inherits
}

// cycle names the roles along a path that ends where it begins, without the
// middle of a long one: a document may have as many cycles as roles.
func cycle(path []frame) string {
	const ends = 8
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if skipped := len(path) + 1 - 2*ends; i == ends && skipped > 0 {
			fmt.Fprintf(&b, "… %d more … → ", skipped)
			i += skipped
		}
		fmt.Fprintf(&b, "%.64q → ", path[i].role)
	}
	fmt.Fprintf(&b, "%.64q", path[0].role)
	return b.String()
}

// own returns what the role itself allows.
func (c *compiler) own(role string) bitset {
	set := newBitset(len(c.names))
	for _, allow := range c.doc.Roles[role].Allow {
		if i, ok := c.index[allow]; ok {
			set.set(i)
		} else if matches := c.wildcard(allow); matches != nil {
			set.union(matches)
		} else {
			c.fault("role %.64q allows %.64q, which is no permission of the Catalog", role, allow)
		}
	}
	return set
}

// wildcard returns what a pattern stands for, nil if that is nothing.
func (c *compiler) wildcard(pattern string) bitset {
	if set, ok := c.wildcards[pattern]; ok {
		return set
	}
	var set bitset
	prefix, ok := strings.CutSuffix(pattern, "*")
	if ok && (prefix == "" || strings.HasSuffix(prefix, ":")) {
		for i, name := range c.names {
			if strings.HasPrefix(name, prefix) {
				if set == nil {
					set = newBitset(len(c.names))
				}
				set.set(i)
			}
		}
	}
	c.wildcards[pattern] = set
	return set
}

func validRole(name string) bool {
	return name != "" && len(name) <= 128 && strings.TrimSpace(name) == name && !strings.Contains(name, "*") &&
		!strings.ContainsFunc(name, func(c rune) bool { return c == utf8.RuneError || !unicode.IsPrint(c) })
}

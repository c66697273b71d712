package rbac_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/rbac"
)

// can lists what a caller with that role may do, of the permissions named.
func can(tb testing.TB, doc *rbac.Document, role string, names ...string) []string {
	tb.Helper()
	var perms rbac.Catalog
	all := make([]rbac.Perm, len(names))
	for i, name := range names {
		all[i] = perms.Define(name, name)
	}
	p, err := rbac.New(rbac.Config{Catalog: &perms, Document: doc})
	if err != nil {
		tb.Fatal(err)
	}
	var may []string
	for _, perm := range all {
		if p.Can(as(role), perm) {
			may = append(may, perm.String())
		}
	}
	return may
}

func TestDocument(t *testing.T) {
	t.Parallel()
	names := make([]string, 0, 76)
	names = append(names, "orders", "orders:read", "orders:write", "orders:read:own", "ordersx:read", "users:read")
	for i := range 70 { // more than a word of bits
		names = append(names, fmt.Sprintf("bulk:%d", i))
	}
	doc := &rbac.Document{Roles: map[string]rbac.Role{
		"exact":    {Allow: []string{"orders:read"}},
		"prefix":   {Allow: []string{"orders:*"}},
		"deeper":   {Allow: []string{"orders:read:*"}},
		"all":      {Allow: []string{"*"}},
		"last":     {Allow: []string{"bulk:69"}},
		"twice":    {Allow: []string{"orders:read", "orders:*", "orders:read"}},
		"child":    {Inherits: []string{"exact"}, Allow: []string{"users:read"}},
		"grand":    {Inherits: []string{"child", "last"}},
		"left":     {Inherits: []string{"exact"}},
		"right":    {Inherits: []string{"exact"}, Allow: []string{"orders:write"}},
		"diamond":  {Inherits: []string{"left", "right", "left"}},
		"nothing":  {},
		"a role/ü": {Allow: []string{"users:read"}},
	}}
	for _, tt := range []struct {
		role string
		want []string
	}{
		{"exact", []string{"orders:read"}},
		{"prefix", []string{"orders:read", "orders:write", "orders:read:own"}},
		{"deeper", []string{"orders:read:own"}},
		{"all", names},
		{"last", []string{"bulk:69"}},
		{"twice", []string{"orders:read", "orders:write", "orders:read:own"}},
		{"child", []string{"orders:read", "users:read"}},
		{"grand", []string{"orders:read", "users:read", "bulk:69"}},
		{"left", []string{"orders:read"}},
		{"diamond", []string{"orders:read", "orders:write"}},
		{"nothing", nil},
		{"a role/ü", []string{"users:read"}},
		{"unknown", nil},
	} {
		t.Run(tt.role, func(t *testing.T) {
			t.Parallel()
			if got := can(t, doc, tt.role, names...); !slices.Equal(got, tt.want) {
				t.Errorf("may %q, want %q", got, tt.want)
			}
		})
	}
}

// What the caller does with a Document after New changes no decision.
func TestDocumentIsCopied(t *testing.T) {
	t.Parallel()
	var perms rbac.Catalog
	a, b := perms.Define("a", "A"), perms.Define("b", "B")
	doc := &rbac.Document{Roles: map[string]rbac.Role{"r": {Allow: []string{"a"}}}}
	p, err := rbac.New(rbac.Config{Catalog: &perms, Document: doc})
	if err != nil {
		t.Fatal(err)
	}
	doc.Roles["r"].Allow[0] = "b"
	doc.Roles["s"] = rbac.Role{Allow: []string{"*"}}
	if !p.Can(as("r"), a) || p.Can(as("r"), b) || p.Can(as("s"), a) {
		t.Error("the Policy follows its Document")
	}
}

// New finds every mistake at once, and an unknown name is always one.
func TestNewMistakes(t *testing.T) {
	t.Parallel()
	var perms rbac.Catalog
	perms.Define("orders:read", "Read")
	perms.Define("orders:write", "Write")
	role := func(name string, r rbac.Role) *rbac.Document {
		return &rbac.Document{Roles: map[string]rbac.Role{name: r}}
	}
	for _, tt := range []struct {
		name string
		cfg  rbac.Config
		want []string
	}{
		{"nothing", rbac.Config{}, []string{
			"rbac: Catalog is nil, want the service's permissions",
			"rbac: Document is nil, want the roles",
		}},
		{"no Catalog", rbac.Config{Document: role("r", rbac.Role{})}, []string{"rbac: Catalog is nil, want the service's permissions"}},
		{"empty", rbac.Config{Catalog: new(rbac.Catalog), Document: new(rbac.Document)}, []string{
			"rbac: Catalog is empty, want at least one permission",
			"rbac: Document has no roles, want at least one",
		}},
		{"nothing to allow", rbac.Config{Catalog: new(rbac.Catalog), Document: role("r", rbac.Role{Allow: []string{"*"}})}, []string{
			"rbac: Catalog is empty, want at least one permission",
			`rbac: Document: role "r" allows "*", which is no permission of the Catalog`,
		}},
		{"all at once", rbac.Config{Catalog: &perms, Document: &rbac.Document{Roles: map[string]rbac.Role{
			"a":       {Allow: []string{"orders:raed", "users:*", "ord*", "orders:*:own", "**", "", "Orders:read", "orders"}},
			"b":       {Inherits: []string{"x", "", "B", "*"}},
			"*":       {},
			"":        {},
			"c\u00a0": {},
		}}}, []string{
			`rbac: Document: role "" is malformed, want printable characters without * and spaces around`,
			`rbac: Document: role "*" is malformed, want printable characters without * and spaces around`,
			`rbac: Document: role "a" allows "orders:raed", which is no permission of the Catalog`,
			`rbac: Document: role "a" allows "users:*", which is no permission of the Catalog`,
			`rbac: Document: role "a" allows "ord*", which is no permission of the Catalog`,
			`rbac: Document: role "a" allows "orders:*:own", which is no permission of the Catalog`,
			`rbac: Document: role "a" allows "**", which is no permission of the Catalog`,
			`rbac: Document: role "a" allows "", which is no permission of the Catalog`,
			`rbac: Document: role "a" allows "Orders:read", which is no permission of the Catalog`,
			`rbac: Document: role "a" allows "orders", which is no permission of the Catalog`,
			`rbac: Document: role "b" inherits "x", which is no role`,
			`rbac: Document: role "b" inherits "B", which is no role`,
			`rbac: Document: role "c\u00a0" is malformed, want printable characters without * and spaces around`,
		}},
		{"cycle of one", rbac.Config{Catalog: &perms, Document: role("a", rbac.Role{Inherits: []string{"a"}})}, []string{
			`rbac: Document: role "a" inherits itself: "a" → "a"`,
		}},
		{"cycle behind a tail", rbac.Config{Catalog: &perms, Document: &rbac.Document{Roles: map[string]rbac.Role{
			"a": {Inherits: []string{"b"}}, "b": {Inherits: []string{"c"}}, "c": {Inherits: []string{"d"}}, "d": {Inherits: []string{"b"}},
		}}}, []string{
			`rbac: Document: role "b" inherits itself: "b" → "c" → "d" → "b"`,
		}},
		{"two cycles", rbac.Config{Catalog: &perms, Document: &rbac.Document{Roles: map[string]rbac.Role{
			"a": {Inherits: []string{"b"}}, "b": {Inherits: []string{"a"}}, "c": {Inherits: []string{"d", "a"}}, "d": {Inherits: []string{"c"}},
		}}}, []string{
			`rbac: Document: role "a" inherits itself: "a" → "b" → "a"`,
			`rbac: Document: role "c" inherits itself: "c" → "d" → "c"`,
		}},
		{"names that would forge a line", rbac.Config{Catalog: &perms, Document: role("a\n\u202eb", rbac.Role{Inherits: []string{"a\n\u202eb"}})}, []string{
			`rbac: Document: role "a\n\u202eb" is malformed, want printable characters without * and spaces around`,
			`rbac: Document: role "a\n\u202eb" inherits itself: "a\n\u202eb" → "a\n\u202eb"`,
		}},
		{"broken UTF-8", rbac.Config{Catalog: &perms, Document: role("a\xff", rbac.Role{})}, []string{
			`rbac: Document: role "a\xff" is malformed, want printable characters without * and spaces around`,
		}},
		{"what stands for broken UTF-8", rbac.Config{Catalog: &perms, Document: role("a\ufffd", rbac.Role{})}, []string{
			`rbac: Document: role "a` + "\ufffd" + `" is malformed, want printable characters without * and spaces around`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := rbac.New(tt.cfg)
			if err == nil || p != nil {
				t.Fatalf("New = %v, %v, want an error alone", p, err)
			}
			if got := strings.Split(err.Error(), "\n"); !slices.Equal(got, tt.want) {
				t.Errorf("mistakes:\ngot  %s\nwant %s", strings.Join(got, "\n     "), strings.Join(tt.want, "\n     "))
			}
		})
	}
	t.Run("long role", func(t *testing.T) {
		t.Parallel()
		if _, err := rbac.New(rbac.Config{Catalog: &perms, Document: role(strings.Repeat("r", 129), rbac.Role{})}); err == nil || len(err.Error()) > 300 {
			t.Errorf("New = %v, want a short error", err)
		}
	})
	t.Run("long cycle", func(t *testing.T) {
		t.Parallel()
		roles := make(map[string]rbac.Role)
		for i := range 1000 {
			roles[fmt.Sprintf("r%03d", i)] = rbac.Role{Inherits: []string{fmt.Sprintf("r%03d", (i+1)%1000)}}
		}
		_, err := rbac.New(rbac.Config{Catalog: &perms, Document: &rbac.Document{Roles: roles}})
		want := `rbac: Document: role "r000" inherits itself: "r000" → "r001" → "r002" → "r003" → "r004" → "r005" → "r006" → "r007" → … 985 more … → ` +
			`"r993" → "r994" → "r995" → "r996" → "r997" → "r998" → "r999" → "r000"`
		if err == nil || err.Error() != want {
			t.Errorf("New = %v\nwant  %s", err, want)
		}
	})
}

// A ladder of diamonds has 2^n paths (gorbac follows each of them: 22 rungs
// take seconds), and a chain is as deep as it is long. Both take one step for
// each role and one for each inheritance, and so much memory. It runs alone,
// since it measures that.
func TestCompileIsLinear(t *testing.T) {
	ladder := func(rungs int) map[string]rbac.Role {
		roles := map[string]rbac.Role{"top": {Allow: []string{"p"}}}
		below := []string{"top"}
		for i := range rungs {
			l, r := fmt.Sprintf("l%06d", i), fmt.Sprintf("r%06d", i)
			roles[l], roles[r] = rbac.Role{Inherits: below}, rbac.Role{Inherits: below}
			below = []string{l, r}
		}
		roles["bottom"] = rbac.Role{Inherits: below}
		return roles
	}
	chain := func(n int) map[string]rbac.Role {
		roles := map[string]rbac.Role{"bottom": {Inherits: []string{"0"}}}
		for i := range n {
			roles[fmt.Sprint(i)] = rbac.Role{Inherits: []string{fmt.Sprint(i + 1)}}
		}
		roles[fmt.Sprint(n)] = rbac.Role{Allow: []string{"p"}}
		return roles
	}
	// Every role of a chain also inherits its first one: a cycle each.
	cycles := chain(50_000)
	for name, r := range cycles {
		cycles[name] = rbac.Role{Inherits: append(slices.Clone(r.Inherits), "0"), Allow: r.Allow}
	}
	for _, tt := range []struct {
		name   string
		roles  map[string]rbac.Role
		edges  int // at least
		faults int
	}{
		{"ladder", ladder(25_000), 99_000, 0},
		{"chain", chain(100_000), 100_000, 0},
		{"chain of cycles", cycles, 100_000, len(cycles) - 1}, // bottom is on none
	} {
		t.Run(tt.name, func(t *testing.T) {
			edges := 0
			for r := range maps.Values(tt.roles) {
				edges += len(r.Inherits)
			}
			if edges < tt.edges {
				t.Fatalf("%d edges, want %d", edges, tt.edges)
			}
			doc := &rbac.Document{Roles: tt.roles}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			steps, faults := rbac.CompileSteps([]string{"p"}, doc)
			runtime.ReadMemStats(&after)
			if each := int(after.TotalAlloc-before.TotalAlloc) / (len(tt.roles) + edges); each > 4<<10 {
				t.Errorf("%d bytes for each role and inheritance, want a few hundred", each)
			}
			// A role that is entered takes one step more: back to the heir.
			if most := 2*len(tt.roles) + edges; steps > most {
				t.Errorf("%d steps for %d roles and %d inheritances, want at most %d", steps, len(tt.roles), edges, most)
			}
			if faults != tt.faults {
				t.Errorf("%d mistakes, want %d", faults, tt.faults)
			}
			if tt.faults == 0 {
				if got := can(t, doc, "bottom", "p"); !slices.Equal(got, []string{"p"}) {
					t.Errorf("bottom may %q, want what the top allows", got)
				}
			}
		})
	}
}

func TestParseDocument(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, json string
		want       *rbac.Document
	}{
		{"empty", `{}`, &rbac.Document{Roles: map[string]rbac.Role{}}},
		{"no roles", ` { "roles" : { } } `, &rbac.Document{Roles: map[string]rbac.Role{}}},
		{
			"everything", `{"version":"7","roles":{"a":{"inherits":["b"],"allow":["x:*","y"]},"b":{},"c":{"allow":[]}}}`,
			&rbac.Document{Version: "7", Roles: map[string]rbac.Role{
				"a": {Inherits: []string{"b"}, Allow: []string{"x:*", "y"}}, "b": {}, "c": {Allow: []string{}},
			}},
		},
		{"escapes", `{"\u0072oles":{"a\u00fc\ud83d\ude00":{"allow":["\\u\"\/"]}}}`, &rbac.Document{Roles: map[string]rbac.Role{"aü😀": {Allow: []string{`\u"/`}}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := rbac.ParseDocument([]byte(tt.json))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("document = %+v, want %+v", got, tt.want)
			}
		})
	}
}

// Whatever two readers might read differently, or an author might not have
// meant, is an error.
func TestParseDocumentIsStrict(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`[`, 40) + strings.Repeat(`]`, 40)
	abyss := strings.Repeat(`{"roles":`, 200_000)
	for _, tt := range []struct{ name, json, want string }{
		{"nothing", ``, "rbac: document: not JSON from byte 0 on"},
		{"null", `null`, "rbac: document: not a JSON object"},
		{"array", `[]`, "rbac: document: not a JSON object"},
		{"string", `"roles"`, "rbac: document: not a JSON object"},
		{"number", `1`, "rbac: document: not a JSON object"},
		{"truncated", `{"roles":{`, "rbac: document: not JSON from byte 10 on"},
		{"trailing comma", `{"roles":{},}`, "rbac: document: not JSON from byte 13 on"},
		{"comment", `{} // all`, "rbac: document: not JSON from byte 4 on"},
		{"trailing data", `{"roles":{}}{"roles":{}}`, "rbac: document: not JSON from byte 13 on"},
		{"byte order mark", "\ufeff{}", "rbac: document: not JSON but a byte order mark first"},
		{"NUL behind", "{}\x00", "rbac: document: not JSON from byte 3 on"},
		{"single quotes", `{'roles':{}}`, "rbac: document: not JSON from byte 2 on"},
		{"broken UTF-8 in a value", "{\"version\":\"\xff\"}", "rbac: document: not UTF-8"},
		{"broken UTF-8 in a name", "{\"roles\":{\"\xed\xa0\x80\":{}}}", "rbac: document: not UTF-8"},
		{"half a surrogate pair", `{"roles":{"a\ud800":{}}}`, "rbac: document: half of a surrogate pair, which is no character"},
		{"two wrong halves", `{"roles":{"a\ude00\ud83d":{}}}`, "rbac: document: half of a surrogate pair, which is no character"},
		{"deep", `{"version":` + deep + `}`, "rbac: document: JSON nested too deeply"},
		{"abyss", abyss, "rbac: document: not JSON from byte 90001 on"},

		{"unknown member", `{"role":{}}`, `rbac: document: member "role" is unknown, want version or roles`},
		{"unknown member of a role", `{"roles":{"a":{"deny":["x"]}}}`, `rbac: document: role "a": member "deny" is unknown, want inherits or allow`},
		{"case of roles", `{"Roles":{}}`, `rbac: document: member "Roles" is unknown, want version or roles`},
		{"case of version", `{"VERSION":"1"}`, `rbac: document: member "VERSION" is unknown, want version or roles`},
		{"case of allow", `{"roles":{"a":{"Allow":["x"]}}}`, `rbac: document: role "a": member "Allow" is unknown, want inherits or allow`},
		{"case of inherits, Kelvin and long s", `{"roles":{"a":{"inheritſ":["x"]}}}`, `rbac: document: role "a": member "inheritſ" is unknown, want inherits or allow`},
		{"invisible in a name", `{"ro\u200bles":{}}`, `rbac: document: member "ro\u200bles" is unknown, want version or roles`},

		{"roles twice", `{"roles":{},"roles":{}}`, `rbac: document: a member occurs twice: "roles"`},
		{"roles twice, one escaped", `{"roles":{},"r\u006fles":{}}`, `rbac: document: a member occurs twice: "roles"`},
		{"a role twice", `{"roles":{"a":{},"a":{"allow":["*"]}}}`, `rbac: document: a member occurs twice: "a"`},
		{"allow twice", `{"roles":{"a":{"allow":[],"allow":["*"]}}}`, `rbac: document: a member occurs twice: "allow"`},
		{"twice within what is wrong anyway", `{"version":[{"x":1,"x":2}]}`, `rbac: document: a member occurs twice: "x"`},

		{"version null", `{"version":null}`, "rbac: document: version is not a string"},
		{"version number", `{"version":7}`, "rbac: document: version is not a string"},
		{"roles null", `{"roles":null}`, "rbac: document: roles: not a JSON object"},
		{"roles array", `{"roles":[]}`, "rbac: document: roles: not a JSON object"},
		{"role null", `{"roles":{"a":null}}`, `rbac: document: role "a": not a JSON object`},
		{"role array", `{"roles":{"a":["orders:read"]}}`, `rbac: document: role "a": not a JSON object`},
		{"allow null", `{"roles":{"a":{"allow":null}}}`, `rbac: document: role "a": allow is not an array of strings`},
		{"allow string", `{"roles":{"a":{"allow":"*"}}}`, `rbac: document: role "a": allow is not an array of strings`},
		{"allow object", `{"roles":{"a":{"allow":{"x":true}}}}`, `rbac: document: role "a": allow is not an array of strings`},
		{"null in allow", `{"roles":{"a":{"allow":["x",null]}}}`, `rbac: document: role "a": allow is not an array of strings`},
		{"number in inherits", `{"roles":{"a":{"inherits":["b",1]}}}`, `rbac: document: role "a": inherits is not an array of strings`},
		{"array in inherits", `{"roles":{"a":{"inherits":[["b"]]}}}`, `rbac: document: role "a": inherits is not an array of strings`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			doc, err := rbac.ParseDocument([]byte(tt.json))
			if err == nil || doc != nil {
				t.Fatalf("ParseDocument = %+v, %v, want an error alone", doc, err)
			}
			if got := err.Error(); got != tt.want {
				t.Errorf("error = %q, want %q", got, tt.want)
			}
		})
	}
	t.Run("all at once", func(t *testing.T) {
		t.Parallel()
		_, err := rbac.ParseDocument([]byte(`{"x":1,"version":2,"roles":{"a":{"y":1,"allow":2},"b":3}}`))
		want := strings.Join([]string{
			`rbac: document: role "a": allow is not an array of strings`,
			`member "y" is unknown, want inherits or allow`,
			`rbac: document: role "b": not a JSON object`,
			`rbac: document: version is not a string`,
			`rbac: document: member "x" is unknown, want version or roles`,
		}, "\n")
		if err == nil || err.Error() != want {
			t.Errorf("error = %v\nwant %s", err, want)
		}
	})
	t.Run("long names", func(t *testing.T) {
		t.Parallel()
		name := strings.Repeat("x", 1<<20)
		for _, text := range []string{`{"` + name + `":1}`, `{"roles":{"` + name + `":1}}`, `{"` + name + `":1,"` + name + `":1}`} {
			if _, err := rbac.ParseDocument([]byte(text)); err == nil || len(err.Error()) > 300 {
				t.Errorf("want a short error")
			}
		}
	})
}

// A Document written in Go and one in JSON are the same.
func TestDocumentRoundTrip(t *testing.T) {
	t.Parallel()
	doc := &rbac.Document{Version: "<7>", Roles: map[string]rbac.Role{
		"a": {Inherits: []string{"b"}, Allow: []string{"orders:*"}}, "b": {Allow: []string{"*"}},
	}}
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	got, err := rbac.ParseDocument(text)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, doc) {
		t.Errorf("document = %+v, want %+v", got, doc)
	}
}

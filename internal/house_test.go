// Package internal_test holds the rules that all packages keep.
package internal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/audit"
	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/loginguard"
	"github.com/gatehouse-go/gatehouse/ratelimit/throttle"
	"github.com/gatehouse-go/gatehouse/rbac"
	"github.com/gatehouse-go/gatehouse/sanitize"
	"github.com/gatehouse-go/gatehouse/tlsredirect"
	"github.com/gatehouse-go/gatehouse/tlsredirect/clientip"
	"github.com/gatehouse-go/gatehouse/validate"
)

const module = "github.com/gatehouse-go/gatehouse"

// modules are what each package may bring into a program beside the standard
// library. Packages that are not named bring nothing.
var modules = map[string][]string{
	"auth": {"github.com/golang-jwt/jwt/v5"},
	"ratelimit": {
		"github.com/ulule/limiter/v3",
		"github.com/pkg/errors", // ulule's
	},
	"validate": {
		"github.com/go-playground/validator/v10",
		"github.com/gabriel-vasile/mimetype", "github.com/go-playground/locales", "github.com/go-playground/universal-translator",
		"github.com/leodido/go-urn", "golang.org/x/crypto", "golang.org/x/sys", "golang.org/x/text", // validator's
		"github.com/go-json-experiment/json",
	},
	"sanitize": {
		"github.com/microcosm-cc/bluemonday",
		"github.com/aymerick/douceur", "github.com/gorilla/css", "golang.org/x/net", // bluemonday's
		"github.com/go-json-experiment/json",
	},
}

// shared is the vocabulary that packages of different folders have in common.
var shared = []string{"auth/principal", "tlsredirect/clientip", "audit/decision"}

type listed struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
	Module     *struct{ Path string }
}

// list runs go list with every dependency and returns what it tells by import
// path.
func list(t *testing.T) map[string]listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Standard,Imports,Deps,Module", "./...")
	cmd.Dir = ".."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := make(map[string]listed)
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p
	}
}

func ours(importPath string) (string, bool) { return strings.CutPrefix(importPath, module+"/") }

func top(name string) string { folder, _, _ := strings.Cut(name, "/"); return folder }

// TestImports holds each package against the modules that it may bring along,
// and each folder against the folders that it may know.
func TestImports(t *testing.T) {
	t.Parallel()
	packages := list(t)
	seen := make(map[string]bool)
	for importPath, p := range packages {
		name, ok := ours(importPath)
		if !ok {
			continue
		}
		seen[name] = true
		allowed := modules[top(name)]
		if slices.Contains(shared, name) {
			allowed = nil
		}
		for _, dep := range p.Deps {
			d := packages[dep]
			if d.Standard || d.Module == nil || d.Module.Path == module {
				continue
			}
			if !slices.Contains(allowed, d.Module.Path) {
				t.Errorf("%s brings %s, of which nobody knew", name, dep)
			}
		}
		for _, imported := range p.Imports {
			i, ok := ours(imported)
			if ok && top(i) != top(name) && top(i) != "internal" && !slices.Contains(shared, i) {
				t.Errorf("%s imports %s across a wall", name, i)
			}
		}
	}
	parts := []string{"ratelimit/redisstore", "ratelimit/throttle", "ratelimit/loginguard"}
	for _, name := range slices.Concat([]string{"auth", "rbac", "ratelimit", "validate", "sanitize", "tlsredirect", "audit"}, parts, shared) {
		if !seen[name] {
			t.Errorf("package %s is missing", name)
		}
	}
}

// TestWeights holds the table in the README against what an importer of each
// package gets.
func TestWeights(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	packages := list(t)
	for _, name := range []string{"auth", "rbac", "ratelimit", "validate", "sanitize", "tlsredirect", "audit"} {
		brought := make(map[string]bool)
		for _, dep := range packages[path.Join(module, name)].Deps {
			if d := packages[dep]; !d.Standard && d.Module != nil && d.Module.Path != module {
				brought[d.Module.Path] = true
			}
		}
		short := make([]string, 0, len(brought))
		for m := range brought {
			short = append(short, strings.TrimPrefix(m, "github.com/"))
		}
		slices.Sort(short)
		row := "| `" + name + "` | " + strings.Join(short, ", ") + " |"
		if len(short) == 0 {
			row = "| `" + name + "` | – |"
		}
		if !strings.Contains(string(readme), "\n"+row+"\n") {
			t.Errorf("README lacks the row\n%s", row)
		}
	}
}

// TestCoreRequirements keeps what only examples and comparisons need out of
// every importer's module graph.
func TestCoreRequirements(t *testing.T) {
	t.Parallel()
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for _, banned := range []string{"go-chi", "gorilla/mux", "redis/go-redis", "sqlite", "pgx", "yaml", "prometheus", "casbin", "testify"} {
		if strings.Contains(string(mod), banned) {
			t.Errorf("go.mod requires %s", banned)
		}
	}
	if !strings.Contains(string(mod), "\ngo 1.26.0\n") {
		t.Error("go.mod does not say go 1.26.0: another version raises every importer's")
	}
}

// TestShape checks that a reader who knows one Config knows seven.
func TestShape(t *testing.T) {
	t.Parallel()
	var (
		onDecision   = reflect.TypeFor[func(context.Context, decision.Decision)]()
		errorHandler = reflect.TypeFor[func(http.ResponseWriter, *http.Request, error)]()
		logger       = reflect.TypeFor[*slog.Logger]()
	)
	for name, config := range map[string]reflect.Type{
		"auth": reflect.TypeFor[auth.Config](), "rbac": reflect.TypeFor[rbac.Config](),
		"ratelimit": reflect.TypeFor[ratelimit.Config](), "validate": reflect.TypeFor[validate.Config](),
		"sanitize": reflect.TypeFor[sanitize.Config](), "tlsredirect": reflect.TypeFor[tlsredirect.Config](),
		"audit": reflect.TypeFor[audit.Config](), "clientip": reflect.TypeFor[clientip.Config](),
		"throttle": reflect.TypeFor[throttle.Config](), "loginguard": reflect.TypeFor[loginguard.Config](),
	} {
		if f := config.Field(0); f.Name != "_" || f.Type != reflect.TypeFor[[0]func()]() {
			t.Errorf("%s.Config begins with %s %v, want _ [0]func()", name, f.Name, f.Type)
		}
		want := map[string]reflect.Type{"Logger": logger, "OnDecision": onDecision, "ErrorHandler": errorHandler}
		switch name {
		case "audit":
			want = map[string]reflect.Type{"Logger": logger}
		case "clientip":
			want = nil
		}
		for field, typ := range want {
			if f, ok := config.FieldByName(field); !ok || f.Type != typ {
				t.Errorf("%s.Config has no %s %v", name, field, typ)
			}
		}
	}
	for name, writeError := range map[string]func(http.ResponseWriter, *http.Request, error){
		"auth": auth.WriteError, "rbac": rbac.WriteError, "ratelimit": ratelimit.WriteError,
		"validate": validate.WriteError, "sanitize": sanitize.WriteError, "tlsredirect": tlsredirect.WriteError,
		"throttle": throttle.WriteError, "loginguard": loginguard.WriteError,
	} {
		w := httptest.NewRecorder()
		writeError(w, httptest.NewRequest(http.MethodGet, "/", nil), io.ErrUnexpectedEOF)
		if w.Code < 500 {
			t.Errorf("%s.WriteError answers an unknown error with %d, want 5xx", name, w.Code)
		}
		if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
			t.Errorf("%s.WriteError answers with %q", name, got)
		}
		if strings.Contains(w.Body.String(), io.ErrUnexpectedEOF.Error()) {
			t.Errorf("%s.WriteError shows the error's text: %s", name, w.Body)
		}
	}
}

// TestHandlers stacks the seven Handlers as what routers take.
func TestHandlers(t *testing.T) {
	t.Parallel()
	var perms rbac.Catalog
	perms.Define("orders:read", "Read an order")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	trail, err := audit.New(audit.Config{Sinks: []audit.Sink{audit.Writer(&out)}})
	must(err)
	redirect, err := tlsredirect.New(tlsredirect.Config{Hosts: []string{"example.com"}})
	must(err)
	limiter, err := ratelimit.New(ratelimit.Config{Limits: []string{"100-M"}})
	must(err)
	inFlight, err := throttle.New(throttle.Config{Limit: 10})
	must(err)
	policy, err := rbac.New(rbac.Config{Catalog: &perms, Document: &rbac.Document{Roles: map[string]rbac.Role{"clerk": {Allow: []string{"*"}}}}})
	must(err)
	jwt, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{{
		URL: "https://id.example.com", Audience: []string{"orders"}, Keys: auth.Secret([]byte("k\x00\xfeq4\x81zL\x13\x9a\xc2vB\x07\xd8n3\xe1\x5fP\xaa\x1c\x90t\x02\xbbY\x66\xf0\x2d\x38\xce")),
	}}})
	must(err)
	gate, err := auth.New(auth.Config{Authenticators: []auth.Authenticator{jwt}})
	must(err)
	input, err := validate.New(validate.Config{})
	must(err)
	cleaner, err := sanitize.New(sanitize.Config{})
	must(err)

	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	h = rbac.Public("a test")(h)
	for _, middleware := range []func(http.Handler) http.Handler{
		cleaner.Handler, input.Handler, gate.Optional, policy.Handler, inFlight.Handler, limiter.Handler, redirect.Handler, trail.Handler,
	} {
		h = middleware(h)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "https://example.com/", nil))
	if w.Code != http.StatusNoContent {
		t.Errorf("status = %d, want 204: %s", w.Code, w.Body)
	}
	w = httptest.NewRecorder()
	gate.Handler(h).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "https://example.com/", nil))
	if w.Code != http.StatusUnauthorized {
		t.Errorf("status without credentials = %d, want 401", w.Code)
	}
	must(trail.Close())
	if got := strings.Count(out.String(), "\n"); got != 1 {
		t.Errorf("the trail has %d lines, want 1:\n%s", got, out.String())
	}
}

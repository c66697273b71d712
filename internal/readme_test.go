package internal_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadme compiles the README's program and checks that what the README
// points to is there.
func TestReadme(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	readme := string(raw)
	_, rest, _ := strings.Cut(readme, "\n```go\n")
	program, _, ok := strings.Cut(rest, "\n```\n")
	if !ok || !strings.Contains(program, "func main()") {
		t.Fatal("README has no program")
	}
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(program+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"vet", file}, {"build", "-o", os.DevNull, file}} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = ".."
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("go %s: %v\n%s", args[0], err, out)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "gofmt", "-l", file).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("gofmt would change the README's program: %s %v", out, err)
	}
	prose := strings.Replace(readme, program, "", 1)
	for _, m := range regexp.MustCompile(`\]\(([^)#]+)\)`).FindAllStringSubmatch(prose, -1) {
		if strings.Contains(m[1], "://") {
			continue
		}
		if _, err := os.Stat(filepath.Join("..", m[1])); err != nil {
			t.Errorf("README links to %s: %v", m[1], err)
		}
	}
	for _, command := range []string{"go run -C examples ./hardened", "go test ./... && go test -C examples ./..."} {
		if !strings.Contains(readme, command) {
			t.Errorf("README lacks %q", command)
		}
	}
}

package internal_test

import (
	"bytes"
	"net"
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
	tryReadme(t, readme, program)
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

// tryReadme runs the program, on a free port, and the README's commands for it:
// each curl line must give the status that stands at its end.
func tryReadme(t *testing.T, readme, program string) {
	t.Helper()
	for _, name := range []string{"sh", "curl", "openssl"} {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Logf("the README's commands were not tried: %v", err)
			return
		}
	}
	_, rest, _ := strings.Cut(readme, "\n```sh\n")
	commands, _, ok := strings.Cut(rest, "\n```\n")
	if !ok {
		t.Fatal("README has no commands")
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, "program")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(program, "127.0.0.1:8080", addr)), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, file)
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	server := exec.CommandContext(t.Context(), binary)
	server.Env = append(os.Environ(), "JWT_SECRET=f1d2c3b4a5968778695a4b3c2d1e0f00e1d2c3b4a5968778f9e8d7c6b5a49382")
	var trail bytes.Buffer
	server.Stdout = &trail
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	want := ""
	for _, m := range regexp.MustCompile(`(?m)^curl .*# (\d+)$`).FindAllStringSubmatch(commands, -1) {
		want += m[1]
	}
	script := strings.ReplaceAll(commands, "127.0.0.1:8080", addr)
	script = strings.ReplaceAll(script, "curl -i", "curl -s --retry 20 --retry-connrefused --retry-delay 1 -o /dev/null -w '%{http_code}'")
	try := exec.CommandContext(t.Context(), "sh", "-c", script)
	try.Env = server.Env
	if out, err := try.CombinedOutput(); err != nil || string(out) != want {
		t.Errorf("the README's commands print %q, %v, want %q", out, err, want)
	}
	if err := server.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := server.Wait(); err != nil {
		t.Errorf("the README's program ends with %v", err)
	}
	if got := strings.Count(trail.String(), "\n"); got != len(want)/3 {
		t.Errorf("the trail has %d lines, want %d:\n%s", got, len(want)/3, &trail)
	}
}

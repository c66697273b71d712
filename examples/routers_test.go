// Package examples_test runs the small programs side by side.
package examples_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A program is a running example.
type program struct {
	url, token string
	lines      chan map[string]any // of its trail
}

func start(t *testing.T, binary string) *program {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	cmd := exec.CommandContext(ctx, binary, "-addr", "127.0.0.1:0")
	cmd.Stderr = io.Discard
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &program{lines: make(chan map[string]any, 100)}
	scanner := bufio.NewScanner(out)
	if !scanner.Scan() {
		t.Fatal("the program printed nothing")
	}
	ready := regexp.MustCompile(`Bearer (\S+)' (http://\S+)/orders`).FindStringSubmatch(scanner.Text())
	if ready == nil {
		t.Fatalf("the first line is %q", scanner.Text())
	}
	p.token, p.url = ready[1], ready[2]
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(p.lines)
		for scanner.Scan() {
			var line map[string]any
			if json.Unmarshal(scanner.Bytes(), &line) == nil {
				p.lines <- line
			}
		}
	})
	t.Cleanup(func() {
		defer cancel()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		reading.Wait()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the program ended with %v", err)
		}
	})
	return p
}

// TestRouters sends the same requests to the three programs and wants the same
// answers, and the same words in their trails.
func TestRouters(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", dir, "./chi", "./gorilla", "./servemux")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		t.Fatal(err)
	}
	for _, router := range []string{"chi", "gorilla", "servemux"} {
		t.Run(router, func(t *testing.T) {
			t.Parallel()
			p := start(t, filepath.Join(dir, router))
			for _, tt := range []struct {
				name, method, path, body string
				anonymous                bool
				status                   int
				answer                   string // part of it
				route, outcome           string
			}{
				{name: "list", method: "GET", path: "/orders", status: 200, answer: `"ann"`, route: "/orders", outcome: "ok"},
				{name: "show", method: "GET", path: "/orders/7", status: 200, answer: `"7"`, route: "/orders/{id}", outcome: "ok"},
				{name: "create", method: "POST", path: "/orders", body: `{"item":"tea","note":"hi<script>x</script>"}`, status: 201, answer: `"note":"hi`, route: "/orders", outcome: "ok"},
				{name: "no token", method: "GET", path: "/orders", anonymous: true, status: 401, answer: `"request_id"`, route: "/orders", outcome: "denied"},
				{name: "no permission", method: "DELETE", path: "/orders/7", status: 403, answer: "You may not", route: "/orders/{id}", outcome: "denied"},
				{name: "broken rule", method: "POST", path: "/orders", body: `{"item":""}`, status: 422, answer: `#/item`, route: "/orders", outcome: "invalid"},
				{name: "panic", method: "GET", path: "/crash", status: 500, answer: `"status":500`, route: "/crash", outcome: "panic"},
				{name: "no route", method: "GET", path: "/nothing", status: 404, route: "", outcome: "not_found"},
				{name: "no method", method: "PATCH", path: "/orders", status: 405, route: "", outcome: "not_found"},
			} {
				r, err := http.NewRequestWithContext(t.Context(), tt.method, p.url+tt.path, strings.NewReader(tt.body))
				if err != nil {
					t.Fatal(err)
				}
				if !tt.anonymous {
					r.Header.Set("Authorization", "Bearer "+p.token)
				}
				r.Header.Set("Content-Type", "application/json")
				resp, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatalf("%s: %v", tt.name, err)
				}
				body, err := io.ReadAll(resp.Body)
				if err = errors.Join(err, resp.Body.Close()); err != nil {
					t.Fatal(err)
				}
				if resp.StatusCode != tt.status || !strings.Contains(string(body), tt.answer) {
					t.Errorf("%s: status = %d, want %d with %q: %s", tt.name, resp.StatusCode, tt.status, tt.answer, body)
				}
				line := <-p.lines
				if line["route"] != tt.route || line["outcome"] != tt.outcome || line["status"] != float64(tt.status) || line["method"] != tt.method {
					t.Errorf("%s: the trail has %v, want route %q, outcome %q, status %d", tt.name, line, tt.route, tt.outcome, tt.status)
				}
			}
		})
	}
}

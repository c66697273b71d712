// Package trial tries the programs in their tests.
package trial

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Program is a running one.
type Program struct {
	Banner string       // what it printed before the first request
	Client *http.Client // trusts its authority

	output *output
}

// Start runs a program until the test ends, which wants it to end well. It
// returns when the last line of the banner is there, "Each request …".
func Start(t *testing.T, run func(ctx context.Context, args []string, out, errout io.Writer) error, args ...string) *Program {
	t.Helper()
	p := &Program{output: &output{ready: make(chan struct{})}}
	ctx, stop := context.WithCancel(context.Background()) // t.Context ends before the cleanup, which waits
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, args, p.output, io.Discard) }()
	select {
	case <-p.output.ready:
	case err := <-ended:
		stop()
		t.Fatalf("the program ended: %v", err)
	}
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the program ended with %v", err)
		}
	})
	p.Banner = p.output.text()
	ca := regexp.MustCompile(`--cacert (\S+)`).FindStringSubmatch(p.Banner)
	if ca == nil {
		t.Fatalf("the program printed %q", p.Banner)
	}
	pem, err := os.ReadFile(ca[1])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	p.Client = &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
		Timeout:   30 * time.Second,
	}
	t.Cleanup(p.Client.CloseIdleConnections)
	return p
}

// An Answer is a response that was read.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Do sends r.
func (p *Program) Do(t *testing.T, r *http.Request) Answer {
	t.Helper()
	resp, err := p.Client.Do(r) //nolint:gosec // where the test sends it
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return Answer{resp.StatusCode, resp.Header, string(body)}
}

// Line waits for the trail's line about the request that got a, and decodes it
// into v.
func (p *Program) Line(t *testing.T, a Answer, v any) {
	t.Helper()
	id := a.Header.Get("X-Request-Id")
	if id == "" {
		t.Fatal("the answer has no X-Request-Id")
	}
	for range 500 {
		for line := range strings.Lines(p.output.text()) {
			if !strings.Contains(line, `"request_id":"`+id+`"`) {
				continue
			}
			if err := json.Unmarshal([]byte(line), v); err != nil {
				t.Fatalf("a line is no JSON: %v: %s", err, line)
			}
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("the trail has no line for %s", id)
}

// Curl runs each curl line of a banner and wants the status that stands at its
// end. There must be atLeast so many.
func Curl(t *testing.T, banner string, atLeast int) {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("there is no curl to run the printed lines with")
	}
	n := 0
	for line := range strings.Lines(banner) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "curl ") {
			continue
		}
		n++
		want := line[strings.LastIndex(line, "# ")+2:]
		script := strings.Replace(line, "curl ", "curl -s -o /dev/null -w '%{http_code}' ", 1)
		out, err := exec.CommandContext(t.Context(), "sh", "-c", script).CombinedOutput() //nolint:gosec // the program's own line
		if got := string(out); err != nil || !strings.HasSuffix(got, want) {
			t.Errorf("%s\nprinted %.300s, %v", line, got, err)
		}
	}
	if n < atLeast {
		t.Errorf("%d curl lines were printed", n)
	}
}

// An output keeps what a program prints.
type output struct {
	mu    sync.Mutex
	b     strings.Builder
	ready chan struct{} // closed once the banner is there
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := strings.Contains(o.b.String(), "\nEach request")
	n, err := o.b.Write(p)
	if !before && strings.Contains(o.b.String(), "\nEach request") {
		close(o.ready)
	}
	return n, err
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

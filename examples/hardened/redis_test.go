package main

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/examples/internal/trial"
)

// loginSecret is the flag for a file with a secret.
func loginSecret(t *testing.T, content string) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "login-secret")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"-login-secret", file}
}

func newLoginSecret(t *testing.T) []string {
	t.Helper()
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	return loginSecret(t, base64.StdEncoding.EncodeToString(key)+"\n")
}

// Two instances with one Redis share the quota of an address, of a user, and of
// who guesses; and when the Redis goes, requests are still counted and nobody
// logs in.
func TestInstancesShareOneRedis(t *testing.T) {
	t.Parallel()
	addr, stop := trial.StartRedis(t, trial.RedisBinary(t, "redis-server"))
	defer stop()
	issuer, _ := startIssuer(t, "http")
	args := append(newLoginSecret(t),
		"-redis", addr, "-per-address", "40 per hour", "-per-user", "5 per hour",
		"-oidc-issuer", issuer.URL(), "-oidc-audience", "shop-orders", "-oidc-roles", "realm_access.roles", "-oidc-insecure-loopback",
	)
	instances := []*server{start(t, args...), start(t, args...)}
	asked := 0
	ask := func(method, path, body string, headers ...string) int {
		t.Helper()
		s := instances[asked%len(instances)]
		asked++
		return s.do(t, method, path, body, headers...).status
	}

	// A right password counts until it is known to be right, and then no more.
	guess := func(password string) int {
		return ask(http.MethodPost, "/login", `{"user":"ann","password":"`+password+`"}`)
	}
	if got := guess(strings.ReplaceAll(demoUsers[0].password, `"`, `\"`)); got != http.StatusOK {
		t.Errorf("the right password: status = %d, want 200", got)
	}
	for i, want := range []int{401, 401, 401, 401, 401, 429, 429} {
		if got := guess("wrong"); got != want {
			t.Errorf("guess %d: status = %d, want %d", i, got, want)
		}
	}

	token := issuer.Token(map[string]any{"realm_access": map[string]any{"roles": []string{"customer"}}})
	for i, want := range []int{200, 200, 200, 200, 200, 429, 429} {
		if got := ask(http.MethodGet, "/orders", "", "Authorization", "Bearer "+token); got != want {
			t.Errorf("request %d of a user: status = %d, want %d", i, got, want)
		}
	}

	for asked < 40 {
		if got := ask(http.MethodGet, "/healthz", ""); got != http.StatusOK {
			t.Errorf("request %d from one address: status = %d, want 200", asked, got)
		}
	}
	for range 4 {
		if got := ask(http.MethodGet, "/healthz", ""); got != http.StatusTooManyRequests {
			t.Errorf("request %d from one address: status = %d, want 429", asked, got)
		}
	}
}

func TestWithoutItsRedisNobodyLogsIn(t *testing.T) {
	t.Parallel()
	addr, stop := trial.StartRedis(t, trial.RedisBinary(t, "redis-server"))
	s := start(t, append(newLoginSecret(t), "-redis", addr, "-per-address", "10 per hour")...)
	s.login(t, "ann")
	stop()
	for i := range 3 {
		if got := s.do(t, http.MethodPost, "/login", `{"user":"ann","password":"wrong"}`).status; got != http.StatusServiceUnavailable {
			t.Errorf("login %d without Redis: status = %d, want 503", i, got)
		}
	}
	var ok, refused int
	for range 10 {
		switch got := s.do(t, http.MethodGet, "/healthz", "").status; got {
		case http.StatusOK:
			ok++
		case http.StatusTooManyRequests:
			refused++
		default:
			t.Errorf("without Redis: status = %d, want 200 or 429", got)
		}
	}
	if ok != 6 || refused != 4 { // 10 in all, of which 4 were logins
		t.Errorf("without Redis: %d admitted and %d refused, want 6 and 4", ok, refused)
	}
}

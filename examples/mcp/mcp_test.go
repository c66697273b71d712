package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/examples/internal/trial"
)

// A client knows the URL of a server and its own name and secret.
type client struct {
	*trial.Program
	server, secret string
}

func startClient(t *testing.T) client {
	t.Helper()
	p := trial.Start(t, run, "-addr", "127.0.0.1:0", "-issuer", "127.0.0.1:0")
	return client{p, find(t, p.Banner, `ready on (\S+)\.`), find(t, p.Banner, `-u agent:(\S+)`)}
}

func find(t *testing.T, in, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(in)
	if m == nil {
		t.Fatalf("no %s in %s", pattern, in)
	}
	return m[1]
}

const (
	list = `{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"list_notes","arguments":{},"_meta":{"progressToken":1}}}`
	add  = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"add_note","arguments":{"text":"buy <script>x</script>tea"}}}`
)

// send sends a message. Headers are pairs.
func (c client) send(t *testing.T, message, token string, headers ...string) trial.Answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.server, strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return c.Do(t, r)
}

// get fetches a document.
func get[T any](t *testing.T, c client, from string) (T, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, from, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", "https://client.example") // a client in a browser
	a := c.Do(t, r)
	var v T
	if err := json.Unmarshal([]byte(a.Body), &v); err != nil || a.Status != http.StatusOK {
		t.Fatalf("%s: status = %d, %v: %s", from, a.Status, err, a.Body)
	}
	return v, a.Header
}

// tokenEndpoint finds out where to get a token, from an answer of 401.
func (c client) tokenEndpoint(t *testing.T, refused trial.Answer) (endpoint string, scopes []string) {
	t.Helper()
	// RFC 9728 section 5.1.
	resource, header := get[struct {
		Resource             string
		AuthorizationServers []string `json:"authorization_servers"`
		Scopes               []string `json:"scopes_supported"`
	}](t, c, find(t, refused.Header.Get("WWW-Authenticate"), `^Bearer .*resource_metadata="([^"]+)"`))
	// Section 3.3: another's metadata must not be used.
	if resource.Resource != c.server || len(resource.AuthorizationServers) != 1 {
		t.Fatalf("the metadata is %+v, want that of %s with one authorization server", resource, c.server)
	}
	if got := header.Get("Access-Control-Allow-Origin"); got != "*" {
		t.Errorf("Access-Control-Allow-Origin = %q, want *", got)
	}
	// RFC 8414 section 3.
	issuer := resource.AuthorizationServers[0]
	server, _ := get[struct {
		Issuer        string
		TokenEndpoint string `json:"token_endpoint"`
	}](t, c, issuer+"/.well-known/oauth-authorization-server")
	if server.Issuer != issuer {
		t.Fatalf("the metadata of %s is of %s", issuer, server.Issuer)
	}
	return server.TokenEndpoint, resource.Scopes
}

func (c client) token(t *testing.T, endpoint string, scopes ...string) string {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {strings.Join(scopes, " ")}, "resource": {c.server}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(clientID, c.secret)
	a := c.Do(t, r)
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(a.Body), &answer); err != nil || answer.AccessToken == "" {
		t.Fatalf("no token: %v: %s", err, a.Body)
	}
	return answer.AccessToken
}

// A line is what the tests look at in a line of the trail.
type line struct {
	Route     string
	Principal *struct{ Issuer, Subject, Kind string }
	Decisions []struct{ Layer, Effect, Rule, Reason string }
}

// TestDiscovery goes the way of a client that knows nothing but the server's
// URL: from 401 over both metadata documents to a token and to 200, and from
// 403 to a token that reaches further.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	c := startClient(t)
	a := c.send(t, list, "")
	if a.Status != http.StatusUnauthorized {
		t.Fatalf("without a token: status = %d, want 401: %s", a.Status, a.Body)
	}
	endpoint, scopes := c.tokenEndpoint(t, a)
	if want := []string{"notes:read", "notes:write"}; !slices.Equal(scopes, want) {
		t.Errorf("scopes_supported = %q, want %q", scopes, want)
	}

	token := c.token(t, endpoint, "notes:read")
	a = c.send(t, list, token)
	if a.Status != http.StatusOK || strings.TrimSpace(a.Body) != `{"id":"a","jsonrpc":"2.0","result":{"content":[{"text":"","type":"text"}]}}` {
		t.Errorf("list_notes: status = %d: %s", a.Status, a.Body)
	}
	var l line
	c.Line(t, a, &l)
	if p := l.Principal; p == nil || p.Issuer+"/token" != endpoint || p.Subject != clientID || p.Kind != "client" || l.Route != "/mcp" {
		t.Errorf("the trail has %+v", l)
	}

	a = c.send(t, add, token)
	challenge := a.Header.Get("WWW-Authenticate")
	if a.Status != http.StatusForbidden || !strings.HasPrefix(challenge, `Bearer error="insufficient_scope"`) {
		t.Fatalf("add_note without its scope: status = %d with %q: %s", a.Status, challenge, a.Body)
	}
	needed := find(t, challenge, `scope="([^"]+)"`)
	endpoint, _ = c.tokenEndpoint(t, a)
	more := c.token(t, endpoint, append([]string{"notes:read"}, strings.Fields(needed)...)...)
	if a = c.send(t, add, more); a.Status != http.StatusOK || !strings.Contains(a.Body, `"Noted."`) {
		t.Errorf("add_note: status = %d: %s", a.Status, a.Body)
	}
	if a = c.send(t, list, token); a.Status != http.StatusOK || !strings.Contains(a.Body, `"text":"buy tea"`) {
		t.Errorf("list_notes: status = %d: %s", a.Status, a.Body)
	}
}

// TestProtocol wants the answers that a client of the protocol waits for.
func TestProtocol(t *testing.T) {
	t.Parallel()
	c := startClient(t)
	a := c.send(t, list, "")
	endpoint, _ := c.tokenEndpoint(t, a)
	token := c.token(t, endpoint, "notes:read", "notes:write")
	for _, tt := range []struct {
		method, params string
		status         int
		want           string // in the answer
	}{
		{"initialize", `{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"test"}}`, 200, `"protocolVersion":"2025-11-25"`},
		{"ping", `{}`, 200, `"result":{}`},
		{"tools/list", `{}`, 200, `"name":"add_note"`},
		{"tools/call", `{"name":"add_note","arguments":{}}`, 200, `"code":-32602`},
		{"tools/call", `{"name":"drop_notes"}`, 200, `"code":-32602`},
		{"resources/list", `{}`, 200, `"code":-32601`},
		{"", `{}`, 422, `#/method`},
		{"tools/call", `{"name":"add_note","name":"list_notes"}`, 422, `#/params/name`},
		{"tools/call", `{"name":"add_note","arguments":{"text":"` + strings.Repeat("x", 501) + `"}}`, 422, `#/params/arguments/text`},
	} {
		a := c.send(t, fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":%s}`, tt.method, tt.params), token)
		if a.Status != tt.status || !strings.Contains(a.Body, tt.want) {
			t.Errorf("%s %s: status = %d, want %d with %q: %s", tt.method, tt.params, a.Status, tt.status, tt.want, a.Body)
		}
	}
	a = c.send(t, `{"jsonrpc":"2.0","method":"notifications/initialized"}`, token)
	if a.Status != http.StatusAccepted || a.Body != "" {
		t.Errorf("a notification: status = %d, want 202: %s", a.Status, a.Body)
	}
}

// TestRefusals wants tokens refused that are for others or do not suffice, and
// what browsers send for pages of somebody else's.
func TestRefusals(t *testing.T) {
	t.Parallel()
	c := startClient(t)
	a := c.send(t, list, "")
	endpoint, _ := c.tokenEndpoint(t, a)
	good := c.token(t, endpoint, "notes:read")
	metadata := `resource_metadata="` + strings.TrimSuffix(c.server, "/mcp") + `/.well-known/oauth-protected-resource/mcp"`
	for _, tt := range []struct {
		name, token   string
		headers       []string
		status        int
		challenge     string
		layer, reason string
	}{
		{"no token", "", nil, 401, `Bearer ` + metadata, "auth", "missing"},
		{"a token for another server", find(t, c.Banner, `Bearer (eyJ\S+)'`), nil, 401, `Bearer error="invalid_token", ` + metadata, "auth", "audience"},
		{"a token that was tampered with", good[:len(good)-8] + "AAAAAAAA", nil, 401, `Bearer error="invalid_token", ` + metadata, "auth", "signature"},
		{"a token without the scope", c.token(t, endpoint, "notes:write"), nil, 403, `Bearer error="insufficient_scope", scope="notes:read", ` + metadata, "auth", "scope"},
		{"a page of somebody else's", good, []string{"Origin", "https://evil.example"}, 403, "", "origin", "foreign"},
	} {
		a := c.send(t, list, tt.token, tt.headers...)
		if got := a.Header.Get("WWW-Authenticate"); a.Status != tt.status || got != tt.challenge {
			t.Errorf("%s: status = %d with %q, want %d with %q: %s", tt.name, a.Status, got, tt.status, tt.challenge, a.Body)
		}
		var l line
		c.Line(t, a, &l)
		if last := l.Decisions[len(l.Decisions)-1]; last.Layer != tt.layer || last.Reason != tt.reason {
			t.Errorf("%s: the trail says %+v, want %s for %s", tt.name, last, tt.layer, tt.reason)
		}
	}
}

// TestPreflight wants a client in a browser to be let to the metadata.
func TestPreflight(t *testing.T) {
	t.Parallel()
	c := startClient(t)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, strings.TrimSuffix(c.server, "/mcp")+"/.well-known/oauth-protected-resource/mcp", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Origin": "https://client.example", "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "mcp-protocol-version",
	} {
		r.Header.Set(name, value)
	}
	a := c.Do(t, r)
	if a.Status != http.StatusNoContent || a.Header.Get("Access-Control-Allow-Origin") != "*" || a.Header.Get("Access-Control-Allow-Headers") != "*" {
		t.Errorf("status = %d, %v: %s", a.Status, a.Header, a.Body)
	}
}

// TestPrintedLines runs each curl line that the server prints.
func TestPrintedLines(t *testing.T) {
	t.Parallel()
	trial.Curl(t, trial.Start(t, run, "-addr", "127.0.0.1:0", "-issuer", "127.0.0.1:0").Banner, 12)
}

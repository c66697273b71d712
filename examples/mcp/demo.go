package main

import (
	"fmt"
	"io"
	"strings"
)

const clientID = "agent" // at the authorization server

// A demo is what the printed lines depend on.
type demo struct {
	ca, base, issuer string
	secret, foreign  string // the client's, and a token for somebody else
}

// print prints lines for a shell, in the order in which a client sends such
// requests, each with the status that it gives.
func (d demo) print(w io.Writer) error {
	var b strings.Builder
	line := func(status int, args string) { fmt.Fprintf(&b, "  curl --cacert %s %s # %d\n", d.ca, args, status) }
	token := func(scope string) string {
		return fmt.Sprintf("-u %s:%s -d grant_type=client_credentials -d scope=%s -d resource=%s/mcp %s/token", clientID, d.secret, scope, d.base, d.issuer)
	}
	call := func(message string) string {
		return fmt.Sprintf("-H 'Content-Type: application/json' -d '%s' %s/mcp", message, d.base)
	}
	as := func(scope, message string) string {
		return fmt.Sprintf(`-H "Authorization: Bearer $(curl -s --cacert %s %s | cut -d'"' -f4)" `, d.ca, token(scope)) + call(message)
	}
	const (
		tools = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
		list  = `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"list_notes","arguments":{}}}`
		add   = `{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"add_note","arguments":{"text":"buy tea"}}}`
	)

	fmt.Fprintf(&b, "mcp is ready on %s/mcp.\n\nEach line for a shell ends in the status that it gives; add -i to see it.\n", d.base)
	b.WriteString("\nFind out where to get a token:\n")
	line(401, call(tools))
	line(200, d.base+"/.well-known/oauth-protected-resource/mcp")
	line(200, d.issuer+"/.well-known/oauth-authorization-server")
	line(200, token("notes:read"))
	b.WriteString("\nUse it, and ask for more where it does not suffice:\n")
	line(200, as("notes:read", tools))
	line(403, as("notes:read", add))
	line(200, as("notes:read+notes:write", add))
	line(200, as("notes:read", list))
	b.WriteString("\nAttack it:\n")
	line(401, fmt.Sprintf("-H 'Authorization: Bearer %s' ", d.foreign)+call(list))
	line(403, as("notes:write", list))
	line(403, "-H 'Origin: https://evil.example' "+as("notes:read", list))
	line(421, "-H 'Host: evil.example' "+as("notes:read", list))
	line(405, d.base+"/mcp")
	b.WriteString("\nEach request leaves a line below, with what every layer decided. Stop with Ctrl-C.\n\n")
	_, err := io.WriteString(w, b.String())
	return err
}

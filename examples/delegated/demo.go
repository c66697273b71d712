package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/gatehouse-go/gatehouse/auth/authtest"
)

// printDemo prints lines for a shell, each with the status that it gives.
func printDemo(w io.Writer, issuer *authtest.Issuer, ca string, port int) error {
	const (
		read, write = "orders:read", "orders:write"
		newOrder    = `-H 'Content-Type: application/json' -d '{"item":"tea"}' `
	)
	var b strings.Builder
	fmt.Fprintf(&b, "delegated is ready on https://localhost:%d. ann is a clerk and bob an auditor; shipper and till are applications.\n", port)
	b.WriteString("\nEach line for a shell ends in the status that it gives; add -i to see it. The tokens are good for five minutes.\n")
	line := func(title string, status int, token, args string) {
		if token != "" {
			token = "-H 'Authorization: Bearer " + token + "' "
		}
		fmt.Fprintf(&b, "\n%s:\n  curl --cacert %s %s%shttps://localhost:%d/orders # %d\n", title, ca, token, args, port, status)
	}
	line("Nobody", 401, "", "")
	line("shipper for ann, who let it read, reads", 200, issuer.Delegate("ann", "shipper", read), "")
	line("shipper for ann orders, for which it lacks the scope", 403, issuer.Delegate("ann", "shipper", read), newOrder)
	line("till for ann orders", 201, issuer.Delegate("ann", "till", read, write), newOrder)
	line("till for bob orders, for which he lacks the role", 403, issuer.Delegate("bob", "till", read, write), newOrder)
	line("till for itself reads, for which it has no role, not even by the name of a user", 403,
		issuer.Token(map[string]any{"sub": "ann", "client_id": "ann", "scope": read}), "")
	b.WriteString("\nEach request leaves a line below, with what every layer decided. Stop with Ctrl-C.\n\n")
	_, err := io.WriteString(w, b.String())
	return err
}

package main

import (
	"fmt"
	"io"
	"strings"
)

// A demo is what the printed lines depend on.
type demo struct {
	ca                   string
	httpsPort, plainPort int
}

func (d demo) https(path string) string {
	return fmt.Sprintf("https://localhost:%d%s", d.httpsPort, path)
}

func (d demo) curl(args string) string { return "curl --cacert " + d.ca + " " + args }

func (d demo) login(name, password string) string {
	return d.https("/login") + post(fmt.Sprintf(`{"user":"%s","password":"%s"}`, name, password))
}

func post(body string) string { return ` -H 'Content-Type: application/json' -d '` + body + "'" }

// as logs in on the way: the token is in the login's answer.
func (d demo) as(u demoUser) string {
	return fmt.Sprintf(`-H "Authorization: Bearer $(curl -s --cacert %s %s | cut -d'"' -f4)" `, d.ca, d.login(u.name, u.password))
}

// printDemo prints the ready line, the users and lines for a shell, each with
// the status that it gives.
func printDemo(w io.Writer, d demo) error {
	ann, bob, eve := demoUsers[0], demoUsers[1], demoUsers[2]
	var b strings.Builder
	fmt.Fprintf(&b, "hardened is ready on %s, and on http://localhost:%d to refuse plain HTTP.\n\n", d.https(""), d.plainPort)
	fmt.Fprintln(&b, "Users:")
	for _, u := range demoUsers {
		fmt.Fprintf(&b, "  %-4s %-9s %s\n", u.name, u.role, u.password)
	}
	section := func(title string, lines ...string) {
		fmt.Fprintf(&b, "\n%s\n", title)
		for _, l := range lines {
			fmt.Fprintln(&b, "  "+l)
		}
	}
	line := func(status int, args string) string { return fmt.Sprintf("%s # %d", d.curl(args), status) }

	b.WriteString("\nEach line for a shell ends in the status that it gives; add -i to see it.\n")
	section("Log in, order, read:",
		line(200, d.login(ann.name, ann.password)),
		line(200, d.as(ann)+d.https("/orders")),
		line(201, d.as(ann)+d.https("/orders")+post(`{"item":"tea","quantity":2,"note":"hi<script>alert(1)</script>"}`)),
		line(200, d.as(eve)+d.https("/admin/orders")),
		line(200, d.https("/readyz")),
	)
	section("Attack it:",
		line(401, d.https("/orders")),
		line(401, `-H "Authorization: Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ." `+d.https("/orders")),
		line(404, d.as(ann)+d.https("/orders/"+bob.orderID)),
		line(403, d.as(ann)+d.https("/admin/orders")),
		line(200, d.as(ann)+"-G --data-urlencode \"item=' OR 1=1--\" "+d.https("/orders")),
		line(400, d.as(ann)+d.https("/orders")+post(`{"item":`)),
		line(422, d.as(ann)+d.https("/orders")+post(`{"item":"tea","quantity":0,"Note":"","price":1}`)),
		line(415, d.as(ann)+d.https("/orders")+` -H 'Content-Type: text/plain' -d '{"item":"tea","quantity":1}'`),
		line(421, `-H 'Host: evil.example' `+d.https("/orders")),
		fmt.Sprintf(`curl -H 'Authorization: Bearer secret' http://localhost:%d/orders # 403`, d.plainPort),
		line(429, "'"+d.https("/login?[1-6]")+"'"+post(`{"user":"bob","password":"guess"}`)),
		line(429, "'"+d.https("/healthz?[1-400]")+"'"),
	)
	b.WriteString("\nEach request leaves a line below, with what every layer decided. Stop with Ctrl-C.\n\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// Command mcp is a server for clients of the Model Context Protocol, which know
// no more of it than its URL and find out by themselves where to get a token:
//
//	go run -C examples ./mcp
//
// A request without a token is told where the server's metadata is (RFC 9728),
// the metadata names the authorization server, and tokens of that one are
// accepted that are for this server alone (RFC 8707). A tool that needs a scope
// which the token lacks is answered with the scope to ask for.
//
// service.go is the wiring; notes.go has two tools and as much of the protocol
// as they need. The authorization server that is started beside it is for
// trying it out: it knows one client, which gets tokens for itself, where others
// let users log in.
package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/gatehouse-go/gatehouse/auth/authtest"
	"github.com/gatehouse-go/gatehouse/examples/internal/local"
	"github.com/gatehouse-go/gatehouse/tlsredirect"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "mcp:", err)
		os.Exit(1)
	}
}

// run serves until ctx is done. The trail goes to out, the log to errout.
func run(ctx context.Context, args []string, out, errout io.Writer) (err error) {
	flags := flag.NewFlagSet("mcp", flag.ContinueOnError)
	flags.SetOutput(errout)
	addr := flags.String("addr", "127.0.0.1:8443", "address of the server")
	issuerAddr := flags.String("issuer", "127.0.0.1:9443", "address of the authorization server")
	if err := flags.Parse(args); err != nil {
		return err
	}
	host, err := local.NewHost("mcp")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, host.Close()) }()
	listener, err := local.Listen(ctx, *addr)
	if err != nil {
		return err
	}
	issuerListener, err := local.Listen(ctx, *issuerAddr)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	d := demo{
		ca: host.CAFile, secret: rand.Text(),
		base:   fmt.Sprintf("https://localhost:%d", local.Port(listener)),
		issuer: fmt.Sprintf("https://localhost:%d", local.Port(issuerListener)),
	}

	// In place of the authorization server, which a real service has elsewhere.
	issuer, err := authtest.NewIssuer(authtest.Config{
		URL: d.issuer, Audience: []string{d.base + "/mcp"},
		Clients: map[string]authtest.Client{clientID: {Secret: d.secret, Scopes: []string{notesRead.String(), notesWrite.String()}}},
	})
	if err != nil {
		return err
	}
	defer issuer.Close()
	d.foreign = issuer.Token(map[string]any{"aud": "https://other.example/mcp", "scope": notesRead.String()})

	log := slog.New(slog.NewTextHandler(errout, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := newService(config{
		resource: d.base + "/mcp", issuer: d.issuer, loopback: true, trail: out, log: log,
		client: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: host.Roots, MinVersion: tls.VersionTLS12}}},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := d.print(out); err != nil {
		return err
	}
	settings := tlsredirect.TLSConfig(tlsredirect.Intermediate)
	settings.Certificates = []tls.Certificate{host.Certificate}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		defer stop() // neither serves without the other
		ended <- tlsredirect.Run(ctx, tlsredirect.Server{Handler: issuer.Handler(), Listener: issuerListener, TLS: settings, Logger: log})
	}()
	err = tlsredirect.Run(ctx, tlsredirect.Server{Handler: s.handler, Listener: listener, TLS: settings, Logger: log})
	stop()
	return errors.Join(err, <-ended)
}

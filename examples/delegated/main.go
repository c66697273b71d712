// Command delegated is an order service that applications of others use on
// behalf of its users:
//
//	go run -C examples ./delegated
//
// A request may do what both of them may: the application by the scopes that
// the user allowed it, and the user by the role that this service knows. The
// trail names both, the user as the principal and the application as its client
// and its actor (RFC 8693 section 4.1).
//
// service.go is the wiring, orders.go has the handlers. Where users would log in
// and say what the application may do, an issuer in memory has its tokens
// printed.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
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
		fmt.Fprintln(os.Stderr, "delegated:", err)
		os.Exit(1)
	}
}

// run serves until ctx is done. The trail goes to out, the log to errout.
func run(ctx context.Context, args []string, out, errout io.Writer) (err error) {
	flags := flag.NewFlagSet("delegated", flag.ContinueOnError)
	flags.SetOutput(errout)
	addr := flags.String("addr", "127.0.0.1:8443", "address to listen on")
	if err := flags.Parse(args); err != nil {
		return err
	}
	issuer, err := newIssuer()
	if err != nil {
		return err
	}
	defer issuer.Close()
	log := slog.New(slog.NewTextHandler(errout, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := newService(config{issuer: issuer.URL(), client: issuer.Client(), trail: out, log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	host, err := local.NewHost("delegated")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, host.Close()) }()
	listener, err := local.Listen(ctx, *addr)
	if err != nil {
		return err
	}
	if err := printDemo(out, issuer, host.CAFile, local.Port(listener)); err != nil {
		return errors.Join(err, listener.Close())
	}
	settings := tlsredirect.TLSConfig(tlsredirect.Intermediate)
	settings.Certificates = []tls.Certificate{host.Certificate}
	return tlsredirect.Run(ctx, tlsredirect.Server{Handler: s.handler, Listener: listener, TLS: settings, Logger: log})
}

// newIssuer is in place of the authorization server, which a real service has
// elsewhere.
func newIssuer() (*authtest.Issuer, error) {
	return authtest.NewIssuer(authtest.Config{URL: "https://id.example.com", Audience: []string{audience}})
}

// Command hardened is an order service behind all of gatehouse: a program to
// run, to attack with curl and to copy from.
//
//	go run -C examples ./hardened
//
// It needs nothing but Go: it makes its own certificate, keeps its data in
// SQLite's memory and its limits in the process, and prints what to try. Users
// log in with a password, get a short-lived token and create, list, read and
// change their own orders; an admin sees everybody's. service.go is the
// wiring, orders.go and login.go are the handlers, store.go is the SQL.
//
// Beside its own tokens it accepts those of an OpenID Connect issuer, whose
// users need a role that policy.json knows (oidc.go):
//
//	go run -C examples ./hardened -oidc-issuer https://id.example.com/realms/shop \
//		-oidc-audience orders -oidc-roles realm_access.roles
//
// Several instances keep one count of requests and guesses in a Redis (redis.go):
//
//	head -c 32 /dev/urandom | base64 > /tmp/login-secret
//	go run -C examples ./hardened -redis 127.0.0.1:6379 -login-secret /tmp/login-secret
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

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-go/gatehouse/examples/internal/local"
	"github.com/gatehouse-go/gatehouse/tlsredirect"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr, nil)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "hardened:", err)
		os.Exit(1)
	}
}

// run serves until ctx is done. The trail goes to out, the log to errout; more,
// if not nil, adds routes.
func run(ctx context.Context, args []string, out, errout io.Writer, more func(*service, chi.Router)) (err error) {
	flags := flag.NewFlagSet("hardened", flag.ContinueOnError)
	flags.SetOutput(errout)
	httpsAddr := flags.String("https", "127.0.0.1:8443", "address of the HTTPS listener")
	plainAddr := flags.String("http", "127.0.0.1:8080", "address of the plain listener, which refuses and redirects")
	database := flags.String("db", ":memory:", "path of the SQLite database")
	perAddress := flags.String("per-address", "300 per minute", "requests from one address")
	perUser := flags.String("per-user", "120 per minute", "requests of one user")
	var oidc outside
	oidc.register(flags)
	var together shared
	together.register(flags)
	verbose := flags.Bool("v", false, "log each refusal, and the trail too")
	if err := flags.Parse(args); err != nil {
		return err
	}

	https, err := local.Listen(ctx, *httpsAddr)
	if err != nil {
		return err
	}
	plain, err := local.Listen(ctx, *plainAddr)
	if err != nil {
		return errors.Join(err, https.Close())
	}
	host, err := local.NewHost("hardened")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, host.Close()) }()

	// The trail has the refusals already; the log has what needs somebody.
	level := slog.LevelWarn
	if *verbose {
		level = slog.LevelInfo
	}
	log := slog.New(slog.NewTextHandler(errout, &slog.HandlerOptions{Level: level}))
	port := local.Port(https)
	counts, secret, closeRedis, err := together.open()
	if err != nil {
		return errors.Join(err, https.Close(), plain.Close())
	}
	defer func() { err = errors.Join(err, closeRedis()) }()
	s, err := newService(ctx, config{
		database: *database, httpsPort: port, trail: out, log: log,
		perAddress: *perAddress, perUser: *perUser, counts: counts, secret: secret, oidc: oidc, verbose: *verbose,
		more: more,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.addDemoUsers(ctx); err != nil {
		return err
	}

	if err := printDemo(out, demo{ca: host.CAFile, httpsPort: port, plainPort: local.Port(plain)}); err != nil {
		return err
	}
	settings := tlsredirect.TLSConfig(tlsredirect.Intermediate)
	settings.Certificates = []tls.Certificate{host.Certificate}
	return tlsredirect.Run(ctx, tlsredirect.Server{
		Handler: s.handler, Listener: https, TLS: settings,
		PlainHandler: s.plain, PlainListener: plain,
		Logger: log,
	})
}

package tlsredirect

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"
)

// Server is what [Run] serves. Handler, TLS and one of Addr and Listener are
// required, unless plain HTTP is all that is served, behind a proxy; any other
// zero field means the default. Timeouts cannot be switched off: a handler that
// streams moves its own deadlines with [http.ResponseController].
type Server struct {
	_ [0]func() // keyed literals only

	// Handler answers requests over TLS.
	Handler http.Handler

	// TLS is what [TLSConfig] returns, with certificates.
	TLS *tls.Config

	// Addr is the TCP address to serve HTTPS on, such as ":443".
	Addr string

	// Listener serves instead of Addr. It accepts TCP connections; Run puts TLS
	// on top.
	Listener net.Listener

	// PlainHandler answers requests over plain HTTP: beside HTTPS it is
	// [Redirector.PlainHandler] behind whatever records requests, and behind a
	// proxy that ends TLS it is the application behind [Redirector.Handler],
	// with the proxy in [Config.Trust].
	PlainHandler http.Handler

	// PlainAddr is the TCP address to serve plain HTTP on, such as ":80". If
	// it is empty and PlainListener is nil, plain HTTP is not served.
	PlainAddr string

	// PlainListener serves instead of PlainAddr.
	PlainListener net.Listener

	// OnReady, if not nil, is called once connections are accepted, with the
	// addresses; nil for the one that is not served.
	OnReady func(https, plain net.Addr)

	// ReadHeaderTimeout, ReadTimeout, WriteTimeout and IdleTimeout are those
	// of [http.Server]. If zero, they are 5 s, 30 s, 60 s and 120 s.
	ReadHeaderTimeout, ReadTimeout, WriteTimeout, IdleTimeout time.Duration

	// MaxHeaderBytes limits the request line and headers. If zero, it is
	// 32 KiB.
	MaxHeaderBytes int

	// ShutdownTimeout is how long requests in flight may take to finish when
	// the context is done. If zero, it is 25 s, of the 30 s that orchestrators
	// commonly give.
	ShutdownTimeout time.Duration

	// Logger is told what [http.Server] has to say, such as failed handshakes;
	// of panics the stack, but not the value. If nil, nothing is logged.
	Logger *slog.Logger
}

// check returns s with its defaults, or every mistake found in it.
func (s Server) check() (Server, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("tlsredirect: "+format, args...)) }
	if s.secure() && s.Handler == nil {
		bad("Server.Handler is nil, want the application")
	}
	switch {
	case !s.secure():
	case s.TLS == nil:
		bad("Server.TLS is nil, want TLSConfig with certificates")
	case len(s.TLS.Certificates) == 0 && s.TLS.GetCertificate == nil && s.TLS.GetConfigForClient == nil:
		bad("Server.TLS has no certificates, want Certificates or GetCertificate")
	case s.TLS.MinVersion != 0 && s.TLS.MinVersion < tls.VersionTLS12:
		bad("Server.TLS.MinVersion is %s, want TLS 1.2 or later", tls.VersionName(s.TLS.MinVersion))
	}
	if s.secure() && (s.Addr == "") == (s.Listener == nil) {
		bad("Server.Addr is %q and Listener is %T, want one of the two", s.Addr, s.Listener)
	}
	plain := s.PlainAddr != "" || s.PlainListener != nil
	if s.PlainAddr != "" && s.PlainListener != nil {
		bad("Server.PlainAddr is %q beside a PlainListener, want one of the two", s.PlainAddr)
	}
	if plain != (s.PlainHandler != nil) {
		bad("Server.PlainHandler is %T, PlainAddr is %q and PlainListener is %T, want a handler and where to serve it, or none of them", s.PlainHandler, s.PlainAddr, s.PlainListener)
	}
	for _, d := range []struct {
		name  string
		value *time.Duration
		zero  time.Duration
	}{
		{"ReadHeaderTimeout", &s.ReadHeaderTimeout, 5 * time.Second},
		{"ReadTimeout", &s.ReadTimeout, 30 * time.Second},
		{"WriteTimeout", &s.WriteTimeout, time.Minute},
		{"IdleTimeout", &s.IdleTimeout, 2 * time.Minute},
		{"ShutdownTimeout", &s.ShutdownTimeout, 25 * time.Second},
	} {
		if *d.value < 0 {
			bad("Server.%s is %v, want more than 0, 0 for %v", d.name, *d.value, d.zero)
		}
		if *d.value == 0 {
			*d.value = d.zero
		}
	}
	if s.MaxHeaderBytes < 0 {
		bad("Server.MaxHeaderBytes is %d, want more than 0, 0 for 32 KiB", s.MaxHeaderBytes)
	}
	if s.MaxHeaderBytes == 0 {
		s.MaxHeaderBytes = 32 << 10
	}
	return s, errors.Join(errs...)
}

// secure reports whether HTTPS is to be served: unless all there is is for
// plain HTTP.
func (s Server) secure() bool {
	return s.Handler != nil || s.TLS != nil || s.Addr != "" || s.Listener != nil ||
		s.PlainHandler == nil && s.PlainAddr == "" && s.PlainListener == nil
}

func (s Server) server(h http.Handler) *http.Server {
	handler := slog.DiscardHandler
	if s.Logger != nil {
		handler = s.Logger.Handler()
	}
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: s.ReadHeaderTimeout,
		ReadTimeout:       s.ReadTimeout,
		WriteTimeout:      s.WriteTimeout,
		IdleTimeout:       s.IdleTimeout,
		MaxHeaderBytes:    s.MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(errorLog{handler}, slog.LevelWarn),
		// Otherwise net/http answers OPTIONS * itself, around every layer.
		DisableGeneralOptionsHandler: true,
	}
}

// listen opens both listeners or none. It also closes those it was given if it
// fails: they are Run's.
func (s Server) listen(ctx context.Context) (https, plain net.Listener, err error) {
	https, plain = s.Listener, s.PlainListener
	var lc net.ListenConfig
	if https == nil && s.Addr != "" {
		if https, err = lc.Listen(ctx, "tcp", s.Addr); err != nil {
			if plain != nil {
				_ = plain.Close()
			}
			return nil, nil, fmt.Errorf("tlsredirect: HTTPS: %w", err)
		}
	}
	if plain == nil && s.PlainAddr != "" {
		if plain, err = lc.Listen(ctx, "tcp", s.PlainAddr); err != nil {
			if https != nil {
				_ = https.Close()
			}
			return nil, nil, fmt.Errorf("tlsredirect: plain HTTP: %w", err)
		}
	}
	return https, plain, nil
}

// Run serves HTTPS, plain HTTP, or most often both, until ctx is done or one of
// the two fails, which ends the other. Then no connection is accepted any more,
// requests in flight may finish, and those that take longer than
// ShutdownTimeout are cut off, which is an error.
//
// Run returns nil if ctx is done and every request finished. All mistakes in s
// are reported at once, before anything is served. Run closes the listeners.
// It does not wait for connections that handlers took over.
func Run(ctx context.Context, s Server) error {
	s, err := s.check()
	if err != nil {
		return err
	}
	https, plain, err := s.listen(ctx)
	if err != nil {
		return err
	}
	var servers []*http.Server
	var httpsAddr, plainAddr net.Addr
	ended := make(chan error, 2)
	if https != nil {
		defer func() { _ = https.Close() }() // most often again
		httpsAddr = https.Addr()
		server := s.server(s.Handler)
		server.TLSConfig = s.TLS.Clone()
		servers = append(servers, server)
		go func() { ended <- named("HTTPS", server.ServeTLS(https, "", "")) }()
	}
	if plain != nil {
		defer func() { _ = plain.Close() }()
		plainAddr = plain.Addr()
		server := s.server(s.PlainHandler)
		servers = append(servers, server)
		go func() { ended <- named("plain HTTP", server.Serve(plain)) }()
	}
	if s.OnReady != nil {
		s.OnReady(httpsAddr, plainAddr)
	}

	var errs []error
	running := len(servers)
	select {
	case <-ctx.Done():
	case err := <-ended:
		errs, running = append(errs, err), running-1
	}
	errs = append(errs, s.shutdown(ctx, servers))
	for range running {
		errs = append(errs, <-ended)
	}
	return errors.Join(errs...)
}

// shutdown ends all servers within one ShutdownTimeout.
func (s Server) shutdown(ctx context.Context, servers []*http.Server) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.ShutdownTimeout)
	defer cancel()
	done := make(chan error, len(servers))
	for _, server := range servers {
		go func() {
			err := server.Shutdown(ctx)
			if err != nil {
				_ = server.Close() // what is left is cut off
			}
			done <- err
		}()
	}
	var err error
	for range servers {
		err = errors.Join(err, <-done)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("tlsredirect: requests were cut off after %v: %w", s.ShutdownTimeout, err)
	case err != nil:
		return fmt.Errorf("tlsredirect: shutdown: %w", err)
	}
	return nil
}

// named is nil for the error with which every server ends that was told to.
func named(name string, err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("tlsredirect: %s: %w", name, err)
}

// errorLog takes the values of panics out of net/http's lines, for they may
// hold anything.
type errorLog struct{ slog.Handler }

func (h errorLog) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time, r.Level, r.Message, 0)
	if before, rest, ok := strings.Cut(r.Message, "panic serving "); ok {
		clean.Message = "tlsredirect: " + before + "panic serving a request"
		if i := strings.LastIndex(rest, "\ngoroutine "); i >= 0 {
			clean.AddAttrs(slog.String("stack", rest[i+1:]))
		}
	} else {
		clean.Message = "tlsredirect: " + r.Message
	}
	return h.Handler.Handle(ctx, clean)
}

package main

import (
	"context"
	"crypto"
	"crypto/ed25519"
	_ "embed"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-go/gatehouse/audit"
	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/rbac"
	"github.com/gatehouse-go/gatehouse/sanitize"
	"github.com/gatehouse-go/gatehouse/tlsredirect"
	"github.com/gatehouse-go/gatehouse/tlsredirect/clientip"
	"github.com/gatehouse-go/gatehouse/validate"
)

//go:embed policy.json
var policyDocument []byte

// A config is what differs from one run to the next.
type config struct {
	database  string // path, or ":memory:"
	httpsPort int
	trail     io.Writer
	log       *slog.Logger

	// Limits in ratelimit's notation.
	perAddress, perUser []string

	// verbose has the trail and each refusal in the log, too.
	verbose bool

	// more, if not nil, adds routes.
	more func(*service, chi.Router)
}

// A service is the whole of it: state, gatehouse's seven packages, routes.
type service struct {
	log        *slog.Logger
	store      *store
	passwords  passwords
	nobody     user // whom unknown names are checked against
	signingKey ed25519.PrivateKey
	guesses    *ratelimit.Limiter // at a password, from one address
	allGuesses *ratelimit.Limiter // and from anywhere
	policy     *rbac.Policy
	trail      *audit.Trail

	handler http.Handler // for the HTTPS listener
	plain   http.Handler // for the plain one
}

func newService(ctx context.Context, cfg config) (_ *service, err error) {
	s := &service{log: cfg.log, passwords: newPasswords(), nobody: user{salt: newSalt()}}
	if s.nobody.hash, err = s.passwords.hash(ctx, "", newSalt()); err != nil {
		return nil, err
	}
	publicKey, signingKey, err := newSigningKey()
	if err != nil {
		return nil, err
	}
	s.signingKey = signingKey
	doc, err := rbac.ParseDocument(policyDocument)
	if err != nil {
		return nil, err
	}

	// From where: no proxy stands before this service, so no header may claim
	// another address than the connection's.
	var err6, err7 error
	trust, err1 := clientip.New(clientip.Config{})

	// What happened: one line of JSON for each request.
	sinks := []audit.Sink{audit.Writer(cfg.trail)}
	if cfg.verbose {
		sinks = append(sinks, audit.Slog(cfg.log.Handler()))
	}
	s.trail, err = audit.New(audit.Config{Sinks: sinks, Logger: cfg.log})

	// Over what: plain HTTP with credentials is refused, not redirected, since
	// the credentials are already lost; only these hosts are served.
	redirect, err2 := tlsredirect.New(tlsredirect.Config{
		Hosts: []string{"localhost", "127.0.0.1"}, HTTPSPort: cfg.httpsPort, Trust: trust,
		Health: []string{"/healthz"}, Logger: cfg.log,
	})

	// How often, by address, before anything is computed for a stranger; by
	// user, once it is known who asks; and for passwords, which cost a lot to
	// check and are worth guessing, by address, by account and address, and by
	// account.
	perAddress, err3 := ratelimit.New(ratelimit.Config{Name: "address", Limits: cfg.perAddress, Logger: cfg.log})
	perUser, err4 := ratelimit.New(ratelimit.Config{Name: "user", Limits: cfg.perUser, Key: ratelimit.ByPrincipal(), Logger: cfg.log})
	logins, err5 := ratelimit.New(ratelimit.Config{Name: "logins", Limits: []string{"60 per minute"}, Logger: cfg.log})
	s.guesses, err6 = ratelimit.New(ratelimit.Config{Name: "guesses", Limits: []string{"5 per 15 minutes"}, Key: byAccountAndAddr(), Logger: cfg.log})
	s.allGuesses, err7 = ratelimit.New(ratelimit.Config{Name: "all-guesses", Limits: []string{"100 per hour"}, Key: byAccount, Logger: cfg.log})

	// Who is calling: whoever holds a token that this service signed.
	jwt, err8 := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{{
		URL: issuerName, Audience: []string{audience}, RolesClaim: "roles",
		Keys: auth.PublicKeys(map[string]crypto.PublicKey{keyID: publicKey}),
	}}})
	gate, err9 := auth.New(auth.Config{Authenticators: []auth.Authenticator{jwt}, Realm: "orders", Logger: cfg.log})

	// May they: roles from the token, what a role may do from policy.json.
	policy, err10 := rbac.New(rbac.Config{Catalog: &perms, Document: doc, Logger: cfg.log})
	s.policy = policy

	// Is it harmless, and what we expect: decoded strictly, cleaned by struct
	// tag, then checked by struct tag.
	cleaner, err11 := sanitize.New(sanitize.Config{Logger: cfg.log})
	input, err12 := validate.New(validate.Config{MaxBytes: 16 << 10, AfterDecode: cleaner.CleanStruct, Logger: cfg.log})

	err = errors.Join(err, err1, err2, err3, err4, err5, err6, err7, err8, err9, err10, err11, err12,
		sanitize.CheckTags[credentials](), sanitize.CheckTags[orderInput]())
	if err != nil {
		return nil, err
	}
	if s.store, err = openStore(ctx, cfg.database); err != nil {
		return nil, errors.Join(err, s.trail.Close())
	}

	r := chi.NewRouter()
	r.Use(audit.Route) // puts chi's pattern into the trail
	r.NotFound(func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, r, http.StatusNotFound, "There is nothing here.")
	})
	r.With(rbac.Public("says that the process lives")).Get("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	r.With(rbac.Public("who logs in has no token yet"), logins.Handler, validate.Body[credentials](input), s.guesses.Handler, s.allGuesses.Handler).
		Post("/login", s.login)
	r.Group(func(r chi.Router) {
		r.Use(gate.Handler, perUser.Handler)
		r.With(policy.Require(ordersRead)).Get("/orders", s.list)
		r.With(policy.Require(ordersWrite), validate.Body[orderInput](input)).Post("/orders", s.create)
		r.With(policy.Require(ordersRead)).Get("/orders/{id}", s.show)
		r.With(policy.Require(ordersWrite), validate.Body[orderInput](input)).Put("/orders/{id}", s.change)
		r.With(policy.Require(ordersReadAll)).Get("/admin/orders", s.listAll)
	})
	if cfg.more != nil {
		cfg.more(s, r)
	}

	// The order of the stack. policy.Handler lets no route answer that nobody
	// decided on.
	s.handler = trust.Handler(s.trail.Handler(headers(redirect.Handler(perAddress.Handler(policy.Handler(r))))))
	s.plain = trust.Handler(s.trail.Handler(headers(perAddress.Handler(redirect.PlainHandler()))))
	return s, nil
}

// close ends the service after its listeners, so that the trail has the last
// request.
func (s *service) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return errors.Join(s.trail.Shutdown(ctx), s.store.close())
}

// headers are for every answer, refusals included.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

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
	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/loginguard"
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

	// Limits, in ratelimit's notation.
	perAddress, perUser string

	// counts is where requests and guesses are counted, the names of accounts
	// hidden by the secret; nil: in this process. When it fails, requests are
	// counted in this process, and nobody logs in.
	counts ratelimit.Store
	secret loginguard.Secret

	// oidc is an issuer whose tokens are accepted beside the service's own.
	oidc outside

	// verbose has the trail and each refusal in the log, too.
	verbose bool

	// more, if not nil, adds routes.
	more func(*service, chi.Router)
}

// A service is the whole of it: state, gatehouse's parts, routes.
type service struct {
	log        *slog.Logger
	store      *store
	passwords  passwords
	nobody     user // whom unknown names are checked against
	signingKey ed25519.PrivateKey

	trust    *clientip.Trust
	trail    *audit.Trail
	redirect *tlsredirect.Redirector

	perAddress, perUser *ratelimit.Limiter
	logins              *ratelimit.Limiter // tries at /login from one address
	guard               *loginguard.Guard  // wrong passwords

	jwt    *auth.JWT
	gate   *auth.Gate
	policy *rbac.Policy
	input  *validate.Validator

	handler http.Handler // for the HTTPS listener
	plain   http.Handler // for the plain one
}

func newService(ctx context.Context, cfg config) (_ *service, err error) {
	s := &service{log: cfg.log, passwords: newPasswords(), nobody: user{salt: newSalt()}}
	if s.nobody.hash, err = s.passwords.hash(ctx, "", newSalt()); err != nil {
		return nil, err
	}
	// All mistakes of all parts at once.
	if err := errors.Join(s.makeEdge(cfg), s.makeLimits(cfg), s.makeAccess(cfg), s.makeInput()); err != nil {
		return nil, err
	}
	if s.trail, err = newTrail(cfg); err != nil {
		return nil, errors.Join(err, s.jwt.Close())
	}
	if s.store, err = openStore(ctx, cfg.database); err != nil {
		return nil, errors.Join(err, s.trail.Close(), s.jwt.Close())
	}
	router := s.routes()
	if cfg.more != nil {
		cfg.more(s, router)
	}

	// The order of the stack, from the outside in. policy.Handler lets no route
	// answer that nobody decided on.
	s.handler = s.trust.Handler(s.trail.Handler(headers(s.redirect.Handler(s.perAddress.Handler(s.policy.Handler(router))))))
	s.plain = s.trust.Handler(s.trail.Handler(headers(s.perAddress.Handler(s.redirect.PlainHandler()))))
	return s, nil
}

// newTrail: what happened? One line of JSON for each request.
func newTrail(cfg config) (*audit.Trail, error) {
	sinks := []audit.Sink{audit.Writer(cfg.trail)}
	if cfg.verbose {
		sinks = append(sinks, audit.Slog(cfg.log.Handler()))
	}
	return audit.New(audit.Config{Sinks: sinks, Logger: cfg.log})
}

// makeEdge: over what channel, and from where? No proxy stands before this
// service, so no header may claim another address than the connection's. Plain
// HTTP with credentials is refused, not redirected, since the credentials are
// already lost; and only these hosts are served.
func (s *service) makeEdge(cfg config) (err error) {
	if s.trust, err = clientip.New(clientip.Config{}); err != nil {
		return err
	}
	s.redirect, err = tlsredirect.New(tlsredirect.Config{
		Hosts: []string{"localhost", "127.0.0.1"}, HTTPSPort: cfg.httpsPort, Trust: s.trust,
		Health: []string{"/healthz"}, Logger: s.log,
	})
	return err
}

// makeLimits: how often? By address, before anything is computed for a
// stranger; by user, once it is known who asks; and for passwords, which cost a
// lot to check and are worth guessing, tries by address, and wrong ones by
// account and address, by address, and by account.
func (s *service) makeLimits(cfg config) (err error) {
	for _, l := range []struct {
		limiter **ratelimit.Limiter
		name    string
		limit   string
		key     ratelimit.KeyFunc
	}{
		{&s.perAddress, "address", cfg.perAddress, ratelimit.ByAddr()},
		{&s.perUser, "user", cfg.perUser, ratelimit.ByPrincipal()},
		{&s.logins, "logins", "60 per minute", ratelimit.ByAddr()},
	} {
		limiter, mistakes := ratelimit.New(ratelimit.Config{Name: l.name, Limits: []string{l.limit}, Key: l.key, Store: cfg.counts, Logger: s.log})
		*l.limiter, err = limiter, errors.Join(err, mistakes)
	}
	guard, mistakes := loginguard.New(loginguard.Config{Account: account, Store: cfg.counts, Secret: cfg.secret, Logger: s.log})
	s.guard = guard
	return errors.Join(err, mistakes)
}

// makeAccess: who is calling, and may they? Whoever holds a token that this
// service signed, or the outside issuer; what the role in it may do is in
// policy.json.
func (s *service) makeAccess(cfg config) error {
	publicKey, signingKey, err := newSigningKey()
	if err != nil {
		return err
	}
	s.signingKey = signingKey
	tokens := auth.JWTConfig{Logger: s.log, Issuers: []auth.Issuer{{
		URL: issuerName, Audience: []string{audience}, RolesClaim: "roles",
		Keys: auth.PublicKeys(map[string]crypto.PublicKey{keyID: publicKey}),
	}}}
	if err := cfg.oidc.addTo(&tokens); err != nil {
		return err
	}
	if s.jwt, err = auth.NewJWT(tokens); err != nil {
		return err
	}
	if s.gate, err = auth.New(auth.Config{Authenticators: []auth.Authenticator{s.jwt}, Realm: "orders", Logger: s.log}); err != nil {
		return err
	}
	doc, err := rbac.ParseDocument(policyDocument)
	if err != nil {
		return err
	}
	s.policy, err = rbac.New(rbac.Config{Catalog: &perms, Document: doc, Logger: s.log})
	return err
}

// makeInput: is it harmless, and what we expect? Decoded strictly, cleaned by
// struct tag, then checked by struct tag.
func (s *service) makeInput() error {
	cleaner, err := sanitize.New(sanitize.Config{Logger: s.log})
	if err = errors.Join(err, sanitize.CheckTags[credentials](), sanitize.CheckTags[orderInput]()); err != nil {
		return err
	}
	s.input, err = validate.New(validate.Config{MaxBytes: 16 << 10, AfterDecode: cleaner.CleanStruct, Logger: s.log})
	return err
}

func (s *service) routes() chi.Router {
	r := chi.NewRouter()
	r.Use(audit.Route) // puts chi's pattern into the trail
	r.NotFound(func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, r, http.StatusNotFound, "There is nothing here.")
	})
	r.With(rbac.Public("says that the process lives")).Get("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	r.With(rbac.Public("says whether the process can do its work")).Get("/readyz", s.ready)
	// The guard needs the account's name, which is in the body.
	r.With(rbac.Public("who logs in has no token yet"), s.logins.Handler, validate.Body[credentials](s.input), s.guard.Handler).
		Post("/login", s.login)
	r.Group(func(r chi.Router) {
		r.Use(s.gate.Handler, s.perUser.Handler)
		order := validate.Body[orderInput](s.input)
		r.With(s.policy.Require(ordersRead)).Get("/orders", s.list)
		r.With(s.policy.Require(ordersWrite), order).Post("/orders", s.create)
		r.With(s.policy.Require(ordersRead)).Get("/orders/{id}", s.show)
		r.With(s.policy.Require(ordersWrite), order).Put("/orders/{id}", s.change)
		r.With(s.policy.Require(ordersReadAll)).Get("/admin/orders", s.listAll)
	})
	return r
}

// ready is for load balancers: traffic should wait for the keys of the outside
// issuer. Without them its tokens are answered with 503 while the service's own
// work; once fetched, they stay of use for a day without the issuer. The log
// says why they are not there.
func (s *service) ready(w http.ResponseWriter, r *http.Request) {
	if err := s.jwt.Ready(r.Context()); err != nil {
		w.Header().Set("Retry-After", "5")
		s.deny(w, r, decision.Decision{Layer: "service", Reason: "unready", Status: http.StatusServiceUnavailable}, "The keys of an issuer are not there yet.")
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}

// close ends the service after its listeners, so that the trail has the last
// request.
func (s *service) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return errors.Join(s.trail.Shutdown(ctx), s.store.close(), s.jwt.Close())
}

// headers are for every answer, refusals included.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

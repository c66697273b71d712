package main

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"

	"github.com/gatehouse-go/gatehouse/audit"
	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/principal"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/rbac"
	"github.com/gatehouse-go/gatehouse/sanitize"
	"github.com/gatehouse-go/gatehouse/tlsredirect"
	"github.com/gatehouse-go/gatehouse/tlsredirect/clientip"
	"github.com/gatehouse-go/gatehouse/validate"
)

const audience = "orders" // this service, at the issuer

var perms rbac.Catalog

// Each permission of a user is also the scope that an application needs.
var (
	ordersRead  = perms.Define("orders:read", "Read one's own orders")
	ordersWrite = perms.Define("orders:write", "Create orders")
)

// A config is what differs from one run to the next.
type config struct {
	issuer string       // URL of the authorization server
	client *http.Client // that reaches it; nil for one on the internet
	trail  io.Writer
	log    *slog.Logger
}

// A service is the orders behind gatehouse's parts.
type service struct {
	jwt     *auth.JWT
	trail   *audit.Trail
	orders  orders
	handler http.Handler
}

func newService(cfg config) (*service, error) {
	s := new(service)

	// From where? No proxy stands before this service.
	trust, err1 := clientip.New(clientip.Config{})

	// Over what channel? TLS, and for these hosts only.
	redirect, err2 := tlsredirect.New(tlsredirect.Config{Hosts: []string{"localhost", "127.0.0.1"}, Trust: trust, Logger: cfg.log})

	// How often? By address before anything is computed for a stranger. Then by
	// user and application: one cannot use up what the user has for the others.
	perAddress, err3 := ratelimit.New(ratelimit.Config{Name: "address", Limits: []string{"300 per minute"}, Logger: cfg.log})
	perUse, err4 := ratelimit.New(ratelimit.Config{
		Name: "use", Limits: []string{"60 per minute"}, Key: ratelimit.Join(ratelimit.ByPrincipal(), ratelimit.ByClient()), Logger: cfg.log,
	})

	// Who is calling, and for whom? The issuer says both; its keys are found by
	// its metadata. Roles are this service's to know.
	jwt, err5 := auth.NewJWT(auth.JWTConfig{
		Issuers:    []auth.Issuer{{URL: cfg.issuer, Audience: []string{audience}, Profile: auth.ProfileRFC9068, Map: addRole}},
		HTTPClient: cfg.client, Logger: cfg.log,
	})

	// May the user? What a role permits, and no route that nobody thought of.
	policy, err6 := rbac.New(rbac.Config{Catalog: &perms, Logger: cfg.log, Document: &rbac.Document{Roles: map[string]rbac.Role{
		"clerk":   {Allow: []string{"orders:*"}},
		"auditor": {Allow: []string{"orders:read"}},
	}}})

	// Is it harmless, and what we expect?
	cleaner, err7 := sanitize.New(sanitize.Config{Logger: cfg.log})
	err8 := sanitize.CheckTags[newOrder]()
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7, err8); err != nil {
		return nil, err
	}
	s.jwt = jwt
	input, err9 := validate.New(validate.Config{MaxBytes: 16 << 10, AfterDecode: cleaner.CleanStruct, Logger: cfg.log})
	gate, err10 := auth.New(auth.Config{Authenticators: []auth.Authenticator{jwt}, Logger: cfg.log})

	// What happened? One line of JSON for each request.
	trail, err11 := audit.New(audit.Config{Sinks: []audit.Sink{audit.Writer(cfg.trail)}, Logger: cfg.log})
	if err := errors.Join(err9, err10, err11); err != nil {
		return nil, errors.Join(err, jwt.Close())
	}
	s.trail = trail

	// The scope is the application's and the permission the user's: both must
	// reach as far as the route needs.
	both := func(p rbac.Perm, next http.Handler) http.Handler {
		return gate.Handler(perUse.Handler(gate.RequireScope(p.String())(policy.Require(p)(next))))
	}
	mux := http.NewServeMux()
	mux.Handle("GET /orders", both(ordersRead, http.HandlerFunc(s.list)))
	mux.Handle("POST /orders", both(ordersWrite, validate.Body[newOrder](input)(http.HandlerFunc(s.create))))

	// The order of the stack, from the outside in.
	s.handler = trust.Handler(trail.Handler(redirect.Handler(perAddress.Handler(policy.Handler(mux)))))
	return s, nil
}

// roles are what this service knows of its users, by their subject at the
// issuer.
var roles = map[string]string{"ann": "clerk", "bob": "auditor"}

// addRole gives users their role. An application on its own behalf has none,
// also if the issuer knows it by the name of a user.
func addRole(_ json.RawMessage, p *principal.Principal) error {
	if role, known := roles[p.Subject]; known && p.Kind == principal.User {
		p.Roles = []string{role}
	}
	return nil
}

func (s *service) close() error { return errors.Join(s.trail.Close(), s.jwt.Close()) }

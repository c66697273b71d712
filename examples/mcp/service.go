package main

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"

	"github.com/gatehouse-go/gatehouse/audit"
	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/principal"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/rbac"
	"github.com/gatehouse-go/gatehouse/sanitize"
	"github.com/gatehouse-go/gatehouse/tlsredirect"
	"github.com/gatehouse-go/gatehouse/tlsredirect/clientip"
	"github.com/gatehouse-go/gatehouse/validate"
)

var perms rbac.Catalog

// Each permission is also the scope that a client asks for.
var (
	notesRead  = perms.Define("notes:read", "Read one's own notes")
	notesWrite = perms.Define("notes:write", "Take notes")
)

// A config is what differs from one run to the next.
type config struct {
	resource string       // URL of the server, exactly as clients have it
	issuer   string       // URL of the authorization server
	client   *http.Client // that trusts its certificate; nil for one on the internet
	loopback bool         // it is on this machine
	trail    io.Writer
	log      *slog.Logger
}

// A service is the notes behind gatehouse's parts.
type service struct {
	jwt     *auth.JWT
	trail   *audit.Trail
	notes   notes
	handler http.Handler
}

func newService(cfg config) (*service, error) {
	s := new(service)

	// From where? No proxy stands before this service.
	trust, err1 := clientip.New(clientip.Config{})

	// Over what channel? TLS, and for these hosts only: a page whose name was
	// made to lead here (DNS rebinding) has another.
	redirect, err2 := tlsredirect.New(tlsredirect.Config{Hosts: []string{"localhost", "127.0.0.1"}, Trust: trust, Logger: cfg.log})

	// From a page of somebody else's? The protocol wants Origin checked.
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(foreignPage))

	// How often? By address before anything is computed for a stranger, then by
	// caller.
	perAddress, err3 := ratelimit.New(ratelimit.Config{Name: "address", Limits: []string{"300 per minute"}, Logger: cfg.log})
	perCaller, err4 := ratelimit.New(ratelimit.Config{
		Name: "caller", Limits: []string{"120 per minute"}, Key: ratelimit.ByPrincipal(), Logger: cfg.log,
	})

	// Who is calling? Whoever has an access token of the authorization server
	// for this server and no other. Its keys are found by its metadata.
	jwt, err5 := auth.NewJWT(auth.JWTConfig{
		Issuers: []auth.Issuer{{
			URL: cfg.issuer, Audience: []string{cfg.resource}, Profile: auth.ProfileRFC9068, Map: scopesAreRoles,
		}},
		HTTPClient: cfg.client, InsecureAllowLoopback: cfg.loopback, Logger: cfg.log,
	})

	// May they? What a scope permits, and no route that nobody thought of.
	policy, err6 := rbac.New(rbac.Config{Catalog: &perms, Logger: cfg.log, Document: &rbac.Document{Roles: map[string]rbac.Role{
		"notes:read":  {Allow: []string{"notes:read"}},
		"notes:write": {Allow: []string{"notes:write"}},
	}}})

	// Is it harmless, and what we expect? Clients may send members that this
	// server does not know: the protocol grows.
	cleaner, err7 := sanitize.New(sanitize.Config{Logger: cfg.log})
	err8 := sanitize.CheckTags[message]()
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7, err8); err != nil {
		return nil, err
	}
	s.jwt = jwt
	input, err9 := validate.New(validate.Config{MaxBytes: 16 << 10, AllowUnknown: true, AfterDecode: cleaner.CleanStruct, Logger: cfg.log})

	// Challenges point to the metadata, which says where to get a token.
	gate, err10 := auth.New(auth.Config{
		Authenticators: []auth.Authenticator{jwt},
		Resource: &auth.Resource{
			Identifier: cfg.resource, AuthorizationServers: []string{cfg.issuer}, Name: "Notes",
			Scopes: []string{notesRead.String(), notesWrite.String()},
		},
		Logger: cfg.log,
	})

	// What happened? One line of JSON for each request.
	trail, err11 := audit.New(audit.Config{Sinks: []audit.Sink{audit.Writer(cfg.trail)}, Logger: cfg.log})
	if err := errors.Join(err9, err10, err11); err != nil {
		return nil, errors.Join(err, jwt.Close())
	}
	s.trail = trail

	// The scope comes first: a client that lacks it learns which to ask for.
	may := func(p rbac.Perm) func(http.Handler) http.Handler {
		scope, permission := gate.RequireScope(p.String()), policy.Require(p)
		return func(next http.Handler) http.Handler { return scope(permission(next)) }
	}
	tools := map[string]http.Handler{ // all may read; some need more
		"list_notes": http.HandlerFunc(s.list),
		"add_note":   may(notesWrite)(http.HandlerFunc(s.add)),
	}
	mux := http.NewServeMux()
	mux.Handle(gate.MetadataPath(), rbac.Public("says where to get a token")(gate.Metadata()))
	mux.Handle("POST /mcp", gate.Handler(perCaller.Handler(may(notesRead)(validate.Body[message](input)(dispatch(tools))))))

	// The order of the stack, from the outside in.
	s.handler = trust.Handler(trail.Handler(redirect.Handler(perAddress.Handler(origin.Handler(policy.Handler(mux))))))
	return s, nil
}

// scopesAreRoles has the policy go by what the user allowed the client, and by
// nothing else. Where users have rights of their own, see examples/delegated.
func scopesAreRoles(_ json.RawMessage, p *principal.Principal) error {
	p.Roles = p.Scopes
	return nil
}

// foreignPage refuses what a browser sends for a page of another origin.
func foreignPage(w http.ResponseWriter, r *http.Request) {
	decision.Add(r.Context(), decision.Decision{Layer: "origin", Effect: decision.Deny, Reason: "foreign", Status: http.StatusForbidden})
	http.Error(w, "Pages of other origins may not do this.", http.StatusForbidden)
}

func (s *service) close() error { return errors.Join(s.trail.Close(), s.jwt.Close()) }

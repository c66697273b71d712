// Package rbac answers one question: may the caller do this?
//
// Permissions are Go values, defined once in a [Catalog] and bound to routes
// where these are registered. Which role has which permission is a [Document],
// compiled into bit sets when the [Policy] is made: asking costs some
// nanoseconds and no allocation, and there is nothing to cache, so nothing can
// be stale.
//
//	var perms rbac.Catalog
//
//	var (
//		OrdersRead  = perms.Define("orders:read", "Read an order")
//		OrdersWrite = perms.Define("orders:write", "Create and change orders")
//	)
//
//	policy, err := rbac.New(rbac.Config{Catalog: &perms, Document: &rbac.Document{
//		Roles: map[string]rbac.Role{"customer": {Allow: []string{"orders:*"}}},
//	}})
//	…
//	mux.Handle("GET /orders", gate.Handler(policy.Require(OrdersRead)(http.HandlerFunc(list))))
//	http.ListenAndServe(addr, policy.Handler(mux))
//
// # What it protects against
//
// Routes that nobody thought of: [Policy.Handler] around the router lets no
// handler answer with success before [Policy.Require], [Policy.RequireAny] or
// [Public] decided. Typing errors: a permission is a variable, a role or
// permission that a Document misspells is an error of [New], and a permission
// of another Catalog panics at registration. Tricks with paths and methods:
// permissions belong to routes, so whatever way a request reaches a handler,
// the handler's own permission decides.
//
// # What it does not
//
// It asks no header who the caller is: that is [principal.FromContext], which
// package auth fills. It does not know who owns an object; compare the
// caller's [principal.Principal.ID] with the owner in the query that loads it,
// and answer 404 for what is not theirs. The guard keeps data from leaving; what
// an undecided handler did before it answered is done.
//
// # Where it stands
//
// [Policy.Handler] around the router, [Policy.Require] on each route, behind
// auth and the limit by principal, before validation.
package rbac

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/auth/principal"
	"github.com/gatehouse-go/gatehouse/internal/pass"
	"github.com/gatehouse-go/gatehouse/internal/report"
	"github.com/gatehouse-go/gatehouse/internal/respwriter"
)

// layer is this package's name in decisions.
const layer = "rbac"

// Config configures a [Policy]. Catalog and Document are required.
type Config struct {
	_ [0]func() // keyed literals only

	// Catalog has the permissions. It takes no further ones from now on.
	Catalog *Catalog

	// Document says which role has which of them.
	Document *Document

	// OnDecision is called with each decision, also without an audit trail.
	OnDecision func(ctx context.Context, d decision.Decision)

	// ErrorHandler answers refused requests; err is an *Error. If nil, it is
	// WriteError.
	ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)

	// Logger is told of each refusal. If nil, nothing is logged.
	Logger *slog.Logger
}

// A Policy knows what each role may do. It is safe for concurrent use.
type Policy struct {
	catalog *Catalog
	names   []string
	rules   *compiled
	report  *report.Reporter
	onError func(w http.ResponseWriter, r *http.Request, err error)
}

// New returns a Policy that behaves in accordance with cfg.
// The error, if any, joins every mistake found in cfg.
func New(cfg Config) (*Policy, error) {
	var errs []error
	if cfg.Catalog == nil {
		errs = append(errs, errors.New("rbac: Catalog is nil, want the service's permissions"))
	}
	if cfg.Document == nil {
		errs = append(errs, errors.New("rbac: Document is nil, want the roles"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	p := &Policy{
		catalog: cfg.Catalog,
		names:   cfg.Catalog.freeze(),
		report:  report.New(layer, cfg.Logger, cfg.OnDecision),
		onError: cfg.ErrorHandler,
	}
	if len(p.names) == 0 {
		errs = append(errs, errors.New("rbac: Catalog is empty, want at least one permission"))
	}
	if len(cfg.Document.Roles) == 0 {
		errs = append(errs, errors.New("rbac: Document has no roles, want at least one"))
	}
	rules, faults := newCompiler(p.names, cfg.Document).compile()
	if err := errors.Join(append(errs, faults...)...); err != nil {
		return nil, err
	}
	p.rules = rules
	if p.onError == nil {
		p.onError = WriteError
	}
	return p, nil
}

// Can reports whether the caller in ctx has the permission: false without a
// caller, for the zero Perm and for one of another Catalog. It decides, and
// reports nothing.
func (p *Policy) Can(ctx context.Context, perm Perm) bool {
	who, ok := principal.FromContext(ctx)
	return ok && p.can(who, perm)
}

func (p *Policy) can(who *principal.Principal, perm Perm) bool {
	if p == nil || perm.catalog == nil || perm.catalog != p.catalog {
		return false
	}
	for _, role := range who.Roles {
		if set, ok := p.rules.roles[role]; ok && set.has(perm.index) {
			return true
		}
	}
	return false
}

// Require returns a middleware that lets only callers through who have all of
// the permissions. Others get 403, and 401 if nobody knows who they are.
// It panics if p is nil and if a permission is not of p's Catalog.
func (p *Policy) Require(perm Perm, more ...Perm) func(http.Handler) http.Handler {
	perms := p.own("Require", perm, more)
	return p.require(names(perms), " ", func(who *principal.Principal) bool {
		for _, perm := range perms {
			if !p.can(who, perm) {
				return false
			}
		}
		return true
	})
}

// RequireAny returns a middleware that lets only callers through who have at
// least one of the permissions. Others get 403, and 401 if nobody knows who
// they are. It panics if p is nil and if a permission is not of p's Catalog.
func (p *Policy) RequireAny(perm Perm, more ...Perm) func(http.Handler) http.Handler {
	perms := p.own("RequireAny", perm, more)
	return p.require(names(perms), " | ", func(who *principal.Principal) bool {
		for _, perm := range perms {
			if p.can(who, perm) {
				return true
			}
		}
		return false
	})
}

func (p *Policy) require(perms []string, join string, may func(*principal.Principal) bool) func(http.Handler) http.Handler {
	rule := strings.Join(perms, join)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			who, ok := principal.FromContext(r.Context())
			if !ok {
				// RFC 9110 section 15.5.2 wants a challenge; which scheme the
				// service speaks is not known here.
				w.Header().Set("WWW-Authenticate", "Bearer")
				p.report.Hint(r.Context(), ReasonUnauthenticated, "no principal with Issuer and Subject in the context: put auth's Gate.Handler before Require")
				p.refuse(w, r, &Error{ReasonUnauthenticated, slices.Clone(perms)}, rule, "")
				return
			}
			if !may(who) {
				p.refuse(w, r, &Error{ReasonPermission, slices.Clone(perms)}, rule, p.rules.detail(roles(who)))
				return
			}
			p.report.Decision(r.Context(), decision.Decision{Effect: decision.Allow, Rule: rule, Reason: "granted", Detail: p.rules.detail("")})
			pass.On(next, w, r)
		})
	}
}

// Public returns a middleware for routes that need no permission, and says
// why: the reason stands in the audit trail. It panics if reason is empty.
func Public(reason string) func(http.Handler) http.Handler {
	if reason == "" {
		panic("rbac: Public without a reason")
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			decision.Add(r.Context(), decision.Decision{Layer: layer, Effect: decision.Allow, Rule: "public", Reason: "public", Detail: reason})
			pass.On(next, w, r)
		})
	}
}

// Handler is the guard around a router: no response with a status below 400
// starts before Require, RequireAny or Public decided. A handler that answers
// without one gets its answer replaced by 500. Errors, such as the router's
// own 404 and 405, pass.
//
// A redirect is an answer, too, also the one that a router makes up itself,
// from //orders to /orders, or from /dir to /dir/ where only the latter is
// registered (ServeMux, gorilla/mux with StrictSlash). Nobody decided that the
// client may know of the place that it names, so the client gets 404: register
// both /dir and /dir/ where clients use both. It panics if p is nil.
func (p *Policy) Handler(next http.Handler) http.Handler {
	if p == nil {
		panic("rbac: Handler of a nil *Policy")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		record, ok := decision.FromContext(ctx)
		if !ok {
			record = decision.NewRecord(rand.Text())
			ctx = decision.NewContext(ctx, record)
			defer record.Seal()
		}
		before := maps.Clone(w.Header())
		// The headers of the answer that is not given go with it.
		restore := func() {
			h := w.Header()
			clear(h)
			maps.Copy(h, before)
		}
		undecided := func(status int) bool {
			if record.Has(layer) {
				return false
			}
			restore()
			err, detail := &Error{Reason: ReasonUndecided}, "a handler answered without Require, RequireAny or Public before it"
			switch status {
			case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
				err, detail = &Error{Reason: ReasonRedirect}, "a redirect without Require, RequireAny or Public before it, such as a router's own"
			}
			p.refuse(w, r.WithContext(ctx), err, "guard", detail)
			return true
		}
		inner, rec := respwriter.Wrap(w, r, respwriter.Options{
			Before:        func(status int) bool { return status >= http.StatusBadRequest || !undecided(status) },
			Informational: func() bool { return record.Has(layer) },
		})
		pass.With(ctx, next, inner, r)
		switch {
		case rec.Blocked():
			restore() // or HTTP/2 sends what was set since as trailers
		case rec.Status() == 0: // a silent 200
			undecided(http.StatusOK)
		}
	})
}

func (p *Policy) refuse(w http.ResponseWriter, r *http.Request, err *Error, rule, detail string) {
	w.Header().Set("Cache-Control", "no-store")
	p.report.Decision(r.Context(), decision.Decision{
		Effect: decision.Deny, Rule: rule, Reason: err.Reason, Detail: detail, Status: err.StatusCode(),
	})
	p.onError(w, r, err)
}

// roles names some of the caller's roles: a token may have very many.
func roles(who *principal.Principal) string {
	const most = 8
	if n := len(who.Roles) - most; n > 0 {
		return fmt.Sprintf("roles %.32q and %d more", who.Roles[:most], n)
	}
	return fmt.Sprintf("roles %.32q", who.Roles)
}

// own returns the permissions in one slice after checking that they are ours.
func (p *Policy) own(method string, perm Perm, more []Perm) []Perm {
	if p == nil {
		panic("rbac: " + method + " of a nil *Policy")
	}
	perms := append([]Perm{perm}, more...)
	for _, perm := range perms {
		switch perm.catalog {
		case nil:
			panic("rbac: " + method + " of the zero Perm")
		case p.catalog:
		default:
			panic("rbac: " + method + " of " + perm.String() + ", which is another Catalog's")
		}
	}
	return perms
}

func names(perms []Perm) []string {
	s := make([]string, len(perms))
	for i, p := range perms {
		s[i] = p.String()
	}
	return s
}

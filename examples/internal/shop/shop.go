// Package shop is what the small router examples have in common: gatehouse's
// seven parts with one configuration each, three handlers, and a token to try
// them with. The programs differ in how their router mounts these.
package shop

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/golang-jwt/jwt/v5"

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

var perms rbac.Catalog

// The permissions that the programs bind to their routes.
var (
	Read   = perms.Define("orders:read", "Read orders")
	Write  = perms.Define("orders:write", "Create orders")
	Delete = perms.Define("orders:delete", "Delete orders")
)

// NewOrder is the body of POST /orders.
type NewOrder struct {
	Item string `json:"item" validate:"required,max=64"`
	Note string `json:"note" validate:"max=500" sanitize:"text"`
}

// A Shop is the seven parts.
type Shop struct {
	Trust    *clientip.Trust
	Trail    *audit.Trail
	Redirect *tlsredirect.Redirector
	Limit    *ratelimit.Limiter
	Gate     *auth.Gate
	Policy   *rbac.Policy
	Input    *validate.Validator

	// Token is ann's. She may read and write, not delete.
	Token string
}

// New returns a Shop whose trail goes to out.
func New(out io.Writer, log *slog.Logger) (*Shop, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"iss": "shop", "aud": "orders", "sub": "ann", "roles": []string{"clerk"},
		"exp": time.Now().Add(time.Hour).Unix(),
	}).SignedString(private)
	if err != nil {
		return nil, err
	}
	s := &Shop{Token: token}
	var errs [9]error
	var bearer *auth.JWT
	var cleaner *sanitize.Sanitizer
	s.Trust, errs[0] = clientip.New(clientip.Config{})
	s.Trail, errs[1] = audit.New(audit.Config{Sinks: []audit.Sink{audit.Writer(out)}, Logger: log})
	s.Redirect, errs[2] = tlsredirect.New(tlsredirect.Config{
		Hosts: []string{"localhost", "127.0.0.1"}, InsecureAllowLoopback: true, Logger: log,
	})
	s.Limit, errs[3] = ratelimit.New(ratelimit.Config{Limits: []string{"100-M"}, Logger: log})
	bearer, errs[4] = auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{{
		URL: "shop", Audience: []string{"orders"}, RolesClaim: "roles",
		Keys: auth.PublicKeys(map[string]crypto.PublicKey{"": public}),
	}}})
	s.Gate, errs[5] = auth.New(auth.Config{Authenticators: []auth.Authenticator{bearer}, Logger: log})
	s.Policy, errs[6] = rbac.New(rbac.Config{Catalog: &perms, Logger: log, Document: &rbac.Document{
		Roles: map[string]rbac.Role{"clerk": {Allow: []string{"orders:read", "orders:write"}}},
	}})
	cleaner, errs[7] = sanitize.New(sanitize.Config{})
	s.Input, errs[8] = validate.New(validate.Config{AfterDecode: cleaner.CleanStruct, Logger: log})
	return s, errors.Join(errs[:]...)
}

// Around puts the layers around a router that every request passes, whether a
// route matches or not.
func (s *Shop) Around(router http.Handler) http.Handler {
	return s.Trust.Handler(s.Trail.Handler(s.Redirect.Handler(s.Limit.Handler(s.Policy.Handler(router)))))
}

// List answers GET /orders.
func List(w http.ResponseWriter, r *http.Request) {
	who, _ := principal.FromContext(r.Context())
	answer(w, http.StatusOK, map[string]string{"orders of": who.Subject})
}

// Create answers POST /orders.
func Create(w http.ResponseWriter, r *http.Request) {
	in, _ := validate.FromContext[NewOrder](r.Context())
	answer(w, http.StatusCreated, in)
}

// Show answers GET /orders/{id}.
func Show(id func(*http.Request) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, map[string]string{"order": id(r)})
	}
}

// Crash answers GET /crash, or rather does not.
func Crash(http.ResponseWriter, *http.Request) { panic("crash") }

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone: nobody to tell
}

// Main runs a program: it serves what route makes of a router, on loopback,
// until it is interrupted.
func Main(route func(*Shop) http.Handler) {
	addr := flag.String("addr", "127.0.0.1:8080", "address to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := serve(ctx, *addr, route)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, addr string, route func(*Shop) http.Handler) error {
	s, err := New(os.Stdout, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return errors.Join(err, s.Trail.Close())
	}
	fmt.Printf("ready: curl -H 'Authorization: Bearer %s' http://%s/orders\n", s.Token, l.Addr())
	server := &http.Server{
		Handler: s.Around(route(s)), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second,
		DisableGeneralOptionsHandler: true, // or net/http answers OPTIONS * around every layer
	}
	drained := make(chan error, 1)
	go func() {
		<-ctx.Done()
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		drained <- server.Shutdown(bounded)
	}()
	err = server.Serve(l)
	if errors.Is(err, http.ErrServerClosed) {
		err = <-drained
	}
	return errors.Join(err, s.Trail.Close())
}

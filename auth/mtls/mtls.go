// Package mtls knows services by their client certificates.
//
//	callers, err := mtls.New(mtls.Config{
//		Issuer:   "https://ca.example.com",
//		Identify: mtls.SPIFFE,
//		Callers:  map[string]mtls.Caller{"spiffe://example.com/billing": {Scopes: []string{"orders:read"}}},
//	})
//	…
//	gate, err := auth.New(auth.Config{Authenticators: []auth.Authenticator{callers}})
//	…
//	server.TLSConfig = &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool}
//
// [Config.Identify] says what in a certificate is the caller's name, and
// [Config.Callers] which names are admitted and what each of them gets: a CA
// says who somebody is, not what they may do here. The terms are those of
// RFC 8705 section 2.
//
// # What it protects against
//
// Certificates that nobody verified, because the server only asks for them;
// that have expired since the connection was made; that were issued for another
// purpose, or are a CA's; that have no name of the chosen kind, or several; and
// headers that claim a certificate. A common name is not an identity.
//
// # What it does not
//
// It asks no list of revoked certificates and no OCSP responder: keep
// certificates short-lived, and take a name off Callers to lock it out. Each CA
// is believed for every name, so do not put those of different trust domains
// together, nor those of the system, of which anybody gets a certificate.
// Browsers send certificates along with requests that other sites cause, so what
// a browser reaches needs protection from those.
//
// # Where it stands
//
// In the list of an auth.Gate. A certificate that is not admitted ends the
// request, so an Authenticator of tokens that clients with certificates send as
// well (RFC 8705 section 3) belongs before it. There is no challenge for
// certificates: they are asked for by TLS alone.
package mtls

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/principal"
	"github.com/gatehouse-go/gatehouse/internal/report"
)

// The reasons of this package, beside those of package auth.
const (
	ReasonUnverified = "unverified" // a certificate that nobody verified
	ReasonChain      = "chain"      // no valid chain to a CA that is believed
	ReasonCA         = "ca"         // the certificate of a CA
	ReasonUsage      = "usage"      // not issued to authenticate clients
	ReasonIdentity   = "identity"   // no name of the kind that counts, or more than one
	ReasonUnlisted   = "unlisted"   // a name that is none of Callers
)

// maxCertificates is how many a client may send for a chain to Roots, its own
// included. Paths through many are sought at the server's cost.
const maxCertificates = 6

// Config configures an [Authenticator]. Issuer, Identify and Callers are
// required.
type Config struct {
	_ [0]func() // keyed literals only

	// Issuer is who vouches for the callers' names: the issuer of their
	// principals.
	Issuer string

	// Identify says what in a certificate is the caller's name.
	Identify Identity

	// Callers are those that are admitted, by name. The form of a name is that
	// of [Identity.Of].
	Callers map[string]Caller

	// Roots are the CAs to one of which each certificate must chain, at the
	// time of each request, whatever TLS verified. It is for servers that only
	// ask for a certificate (tls.RequestClientCert, tls.RequireAnyClientCert),
	// and to narrow ClientCAs. If nil, TLS must have verified it
	// (tls.VerifyClientCertIfGiven, tls.RequireAndVerifyClientCert). What it
	// costs, a signature for each link, is spent on each request.
	Roots *x509.CertPool

	// ClientCert returns the client's certificate from where a proxy that ends
	// TLS put it; nil if the client has none. If ClientCert is nil, it is the
	// certificate of the connection, and no header counts.
	//
	// A certificate is not a secret. That the client holds its key, nobody but
	// the proxy knows, and that the proxy says so, ClientCert must make sure
	// of: that the request came over a connection from the proxy
	// (clientip.Trust.Trusted, or better the proxy's own client certificate);
	// that the proxy verified the certificate and did not only ask for it
	// (nginx: $ssl_client_verify is SUCCESS); and that there is exactly one
	// header with exactly one certificate. The proxy must remove the header
	// from what clients send, in each spelling that it passes on. Names, usage
	// and dates are checked as for any other certificate, and so is its chain
	// if there are Roots, which then must hold the CA that issued it: proxies
	// pass on no intermediate ones.
	//
	// An error refuses the request as that of an [auth.Authenticator] would.
	ClientCert func(r *http.Request) (*x509.Certificate, error)
}

// A Caller is what somebody gets who is admitted.
type Caller struct {
	_ [0]func() // keyed literals only

	Scopes []string
	Tenant string
}

// An Authenticator is an [auth.Authenticator] for client certificates.
//
// It admits a certificate if TLS or the proxy verified it, or a chain leads to
// Roots; if now is within its dates and, where the chain is known, those of the
// chain; if it is for client authentication by name (a certificate without
// extended key usage is not) and not a CA's; and if its name is one of Callers.
//
// The [principal.Principal] has Issuer from Config, the name as Subject and
// ClientID, Scopes and Tenant of its Caller, the certificate's x5t#S256 as
// TokenID (RFC 8705 section 3.1), its end as ExpiresAt, Kind Client and Scheme
// "MTLS".
//
// It is immutable and safe for concurrent use.
type Authenticator struct {
	issuer     string
	identify   Identity
	callers    map[string]Caller
	roots      *x509.CertPool
	clientCert func(r *http.Request) (*x509.Certificate, error)
}

// New returns an Authenticator that behaves in accordance with cfg.
// The error, if any, joins every mistake found in cfg.
func New(cfg Config) (*Authenticator, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("mtls: "+format, args...)) }
	if cfg.Issuer == "" {
		bad("Issuer is empty, want who vouches for the callers' names")
	}
	known := cfg.Identify >= SPIFFE && cfg.Identify <= Thumbprint
	if !known {
		bad("Identify is %d, want SPIFFE, DNS, Email, Subject or Thumbprint", cfg.Identify)
	}
	if len(cfg.Callers) == 0 {
		bad("Callers is empty, want who is admitted")
	}
	a := &Authenticator{
		issuer:     cfg.Issuer,
		identify:   cfg.Identify,
		callers:    make(map[string]Caller, len(cfg.Callers)),
		clientCert: cfg.ClientCert,
	}
	if cfg.Roots != nil {
		if a.roots = cfg.Roots.Clone(); a.roots.Equal(x509.NewCertPool()) {
			bad("Roots is a pool without a certificate, want the CAs that are believed")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Callers)) {
		if known {
			if want := cfg.Identify.fault(name); want != "" {
				bad("Callers[%.200q] is no %v, want %s", name, cfg.Identify, want)
			}
		}
		c := cfg.Callers[name]
		for _, scope := range c.Scopes {
			if scope == "" || strings.ContainsFunc(scope, func(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == '\\' }) {
				bad("Callers[%.200q].Scopes has %q, want a scope-token", name, scope)
			}
		}
		a.callers[name] = Caller{Scopes: slices.Clip(slices.Clone(c.Scopes)), Tenant: c.Tenant} // one scope more does not go to the next request
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return a, nil
}

// Authenticate returns the caller whose certificate came with r.
func (a *Authenticator) Authenticate(r *http.Request) (*principal.Principal, error) {
	if a == nil {
		return nil, &auth.Error{Kind: auth.Unavailable, Reason: auth.ReasonUnavailable, Err: report.Cause("nil *mtls.Authenticator")}
	}
	cert, err := a.certificate(r)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if err := check(cert, now); err != nil {
		return nil, err
	}
	if err := a.verify(r, cert, now); err != nil {
		return nil, err
	}
	name, err := a.name(cert)
	if err != nil {
		return nil, err
	}
	c := a.callers[name]
	return &principal.Principal{
		Issuer: a.issuer, Subject: name, Kind: principal.Client, Scheme: "MTLS", ClientID: name, Tenant: c.Tenant,
		TokenID: thumbprint(cert), Scopes: c.Scopes, ExpiresAt: cert.NotAfter,
	}, nil
}

// Carries implements [auth.Carrier]. A certificate is the connection's: a token
// beside it is the request's credential, and this one is not asked for.
func (*Authenticator) Carries(*http.Request) string { return "" }

// Challenges returns nil: no scheme asks for a certificate.
func (a *Authenticator) Challenges(error) []string { return nil }

// certificate returns the client's, which nobody looked at yet.
func (a *Authenticator) certificate(r *http.Request) (*x509.Certificate, error) {
	if a.clientCert == nil {
		if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
			return nil, auth.ErrNoCredentials
		}
		return r.TLS.PeerCertificates[0], nil
	}
	cert, err := a.clientCert(r)
	switch {
	case err != nil:
		return nil, err
	case cert == nil:
		return nil, auth.ErrNoCredentials
	case len(cert.Raw) == 0:
		return nil, &auth.Error{Kind: auth.Unavailable, Reason: auth.ReasonUnavailable, Err: report.Cause("ClientCert returned a certificate that x509 did not parse")}
	}
	return cert, nil
}

// check refuses certificates that are for another time or another purpose.
func check(cert *x509.Certificate, now time.Time) error {
	switch {
	case now.After(cert.NotAfter):
		return invalid(auth.ReasonExpired, report.Causef("expired %v ago", now.Sub(cert.NotAfter).Round(time.Second)))
	case now.Before(cert.NotBefore):
		return invalid(auth.ReasonNotYet, report.Causef("valid in %v", cert.NotBefore.Sub(now).Round(time.Second)))
	case cert.IsCA || cert.KeyUsage&x509.KeyUsageCertSign != 0:
		return invalid(ReasonCA, report.Cause("the certificate is a CA's"))
	case cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageDigitalSignature == 0: // RFC 5280 section 4.2.1.3
		return invalid(ReasonUsage, report.Cause("its key usage lacks digitalSignature"))
	case !slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageClientAuth):
		return invalid(ReasonUsage, report.Cause("its extended key usage lacks clientAuth"))
	case len(cert.UnhandledCriticalExtensions) > 0:
		return invalid(auth.ReasonCritical, report.Causef("the extension %v", cert.UnhandledCriticalExtensions[0]))
	}
	return nil
}

// verify refuses certificates for which nobody vouches.
func (a *Authenticator) verify(r *http.Request, cert *x509.Certificate, now time.Time) error {
	switch {
	case a.roots != nil:
		opts := x509.VerifyOptions{Roots: a.roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
		if a.clientCert == nil && len(r.TLS.PeerCertificates) > 1 {
			if n := len(r.TLS.PeerCertificates); n > maxCertificates {
				return invalid(ReasonChain, report.Causef("%d certificates, want at most %d", n, maxCertificates))
			}
			opts.Intermediates = x509.NewCertPool()
			for _, c := range r.TLS.PeerCertificates[1:] {
				opts.Intermediates.AddCert(c)
			}
		}
		if _, err := cert.Verify(opts); err != nil {
			return invalid(ReasonChain, err)
		}
	case a.clientCert != nil: // it vouches
	case len(r.TLS.VerifiedChains) == 0:
		return invalid(ReasonUnverified, report.Cause("TLS did not verify it: set Roots, or ClientAuth of tls.Config to VerifyClientCertIfGiven"))
	case !slices.ContainsFunc(r.TLS.VerifiedChains, func(chain []*x509.Certificate) bool { return current(chain, cert, now) }):
		return invalid(ReasonChain, report.Cause("the chain that TLS verified is valid no more"))
	}
	return nil
}

// current reports whether chain is that of cert and still valid: a connection,
// and a session that is resumed, may outlive it.
func current(chain []*x509.Certificate, cert *x509.Certificate, now time.Time) bool {
	return len(chain) > 0 && chain[0].Equal(cert) &&
		!slices.ContainsFunc(chain, func(c *x509.Certificate) bool { return now.After(c.NotAfter) || now.Before(c.NotBefore) })
}

// name returns the one name of cert that is listed.
func (a *Authenticator) name(cert *x509.Certificate) (string, error) {
	names, err := a.identify.Of(cert)
	if err != nil {
		return "", invalid(ReasonIdentity, report.Cause(err.Error()))
	}
	found := ""
	for _, name := range names {
		if _, ok := a.callers[name]; !ok || name == found {
			continue
		}
		if found != "" {
			return "", invalid(ReasonIdentity, report.Causef("it is %.200q and %.200q, want one of Callers", found, name))
		}
		found = name
	}
	if found == "" {
		return "", invalid(ReasonUnlisted, report.Causef("%.200q is not one of Callers", names[0]))
	}
	return found, nil
}

func invalid(reason string, err error) *auth.Error {
	return &auth.Error{Kind: auth.Invalid, Reason: reason, Err: err}
}

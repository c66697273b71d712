package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"strings"

	"github.com/gatehouse-go/gatehouse/auth"
)

// An outside is an OpenID Connect issuer whose tokens are accepted beside the
// service's own. Its zero value is none.
type outside struct {
	issuer, audience, roles string
	ca                      string // file with the authority that certifies the issuer
	private                 string // networks
	loopback                bool
}

func (o *outside) register(flags *flag.FlagSet) {
	flags.StringVar(&o.issuer, "oidc-issuer", "", "URL of an OpenID Connect issuer whose tokens are accepted, too; its keys are discovered")
	flags.StringVar(&o.audience, "oidc-audience", "", "name of this service at the issuer: aud of its tokens")
	flags.StringVar(&o.roles, "oidc-roles", "", "claim with the roles that policy.json knows, such as realm_access.roles; if empty, the issuer's users have none")
	flags.StringVar(&o.ca, "oidc-ca", "", "file with the issuer's authority in PEM, if it is not a public one")
	flags.StringVar(&o.private, "oidc-allow-private", "", "networks that the issuer may be in although they are not public, such as 10.1.0.0/16,fd00:1::/32")
	flags.BoolVar(&o.loopback, "oidc-insecure-loopback", false, "let the issuer be on this machine, also over plain HTTP")
}

// addTo adds the issuer to those of cfg. Its keys verify its own tokens only:
// it cannot speak for the service's users, nor the service for its.
func (o outside) addTo(cfg *auth.JWTConfig) error {
	if o == (outside{}) {
		return nil
	}
	issuer := auth.Issuer{URL: o.issuer, RolesClaim: o.roles} // zero Keys: discovered
	if o.audience != "" {
		issuer.Audience = []string{o.audience}
	}
	cfg.Issuers = append(cfg.Issuers, issuer)
	cfg.InsecureAllowLoopback = o.loopback
	for network := range strings.SplitSeq(o.private, ",") {
		if network == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(network)
		if err != nil {
			return fmt.Errorf("-oidc-allow-private: %w", err)
		}
		cfg.AllowPrivate = append(cfg.AllowPrivate, prefix)
	}
	if o.ca == "" {
		return nil
	}
	pem, err := os.ReadFile(o.ca)
	if err != nil {
		return fmt.Errorf("-oidc-ca: %w", err)
	}
	roots := x509.NewCertPool() // this authority and no other
	if !roots.AppendCertsFromPEM(pem) {
		return errors.New("-oidc-ca: no certificate in the file")
	}
	cfg.HTTPClient = &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}}
	return nil
}

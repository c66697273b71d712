package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/json"
	"net/http"

	"github.com/gatehouse-go/gatehouse/internal/report"
	"github.com/gatehouse-go/gatehouse/internal/strictjson"
)

// A Binding is how callers prove that they hold the key which their token is
// bound to (RFC 7800): by a DPoP proof (RFC 9449), by the client certificate of
// their connection (RFC 8705), or by both. Its zero value knows the certificate
// alone. Whatever else a token is bound to, its caller is refused.
type Binding struct {
	_ [0]func() // keyed literals only

	// DPoP checks proofs. If nil, tokens that want one are refused.
	DPoP *DPoP

	// ClientCert returns the certificate whose key the client of r proved to
	// hold, nil for none. If nil it is the first of r.TLS.PeerCertificates.
	// Behind a proxy that ends TLS it must believe nobody but that proxy.
	ClientCert func(r *http.Request) *x509.Certificate
}

// Check refuses r if its token, which came under that scheme ("Bearer" or
// "DPoP") and has this cnf claim (nil for none), is bound to a key that the
// caller did not prove to hold; if it came under the scheme DPoP and is bound
// to none; and if it is bound to none where DPoP is required. The caller has
// verified the token. Every error is an *Error.
func (b Binding) Check(r *http.Request, scheme, token string, cnf json.RawMessage) error {
	if cnf == nil {
		switch {
		case scheme == schemeDPoP:
			return notBound("the scheme is DPoP, and the token is bound to no key")
		case b.DPoP.Required():
			return notBound("the token is bound to no key, and it has to be")
		}
		return nil
	}
	m, err := strictjson.Members(cnf)
	if err != nil {
		return notBound("cnf is not an object")
	}
	jkt, byProof := m["jkt"]
	x5t, byCert := m["x5t#S256"]
	known := 0
	for _, there := range [...]bool{byProof, byCert} {
		if there {
			known++
		}
	}
	switch {
	case len(m) == 0:
		return notBound("cnf is empty")
	case known != len(m):
		return notBound("cnf has a member that is not understood")
	case byProof && b.DPoP == nil:
		return notBound("the token wants a DPoP proof, and DPoP is not configured")
	case byProof && scheme != schemeDPoP:
		return notBound("the token wants a DPoP proof, and the scheme is not DPoP")
	case !byProof && scheme == schemeDPoP:
		return notBound("the scheme is DPoP, and the token is not bound to a key for it")
	}
	if byCert { // first, since it uses no proof up
		if err := b.checkCert(r, x5t); err != nil {
			return err
		}
	}
	if !byProof {
		return nil
	}
	thumbprint, ok := strictjson.Text(jkt)
	if !ok {
		return notBound("cnf.jkt is not a thumbprint")
	}
	return b.DPoP.Check(r, token, thumbprint)
}

// Challenges returns the challenges for err of an Authenticator of tokens: for
// Bearer, for DPoP where there is one, and for DPoP alone where it is required
// or its proof was at fault (RFC 6750 section 3, RFC 9449 section 7.1).
func (b Binding) Challenges(err error) []string {
	e := classify(err)
	switch {
	case e.Kind == Forbidden || e.Kind == Unavailable:
		return nil
	case b.DPoP == nil:
		return []string{e.challenge(schemeBearer)}
	case b.DPoP.Required() || e.proofFault() != "":
		return []string{b.DPoP.challenge(e)}
	}
	return []string{e.challenge(schemeBearer), b.DPoP.challenge(e)}
}

func (b Binding) checkCert(r *http.Request, x5t json.RawMessage) error {
	thumbprint, ok := strictjson.Text(x5t)
	if !ok {
		return notBound("cnf.x5t#S256 is not a thumbprint")
	}
	var cert *x509.Certificate
	switch {
	case b.ClientCert != nil:
		cert = b.ClientCert(r)
	case r.TLS != nil && len(r.TLS.PeerCertificates) > 0:
		cert = r.TLS.PeerCertificates[0]
	}
	if cert == nil || len(cert.Raw) == 0 {
		return notBound("the token is bound to a certificate, and the client has none")
	}
	sum := sha256.Sum256(cert.Raw)
	if subtle.ConstantTimeCompare([]byte(strict.EncodeToString(sum[:])), []byte(thumbprint)) != 1 {
		return notBound("the client's certificate is not the one that the token is bound to")
	}
	return nil
}

func notBound(text report.Cause) *Error { return invalid(ReasonBinding, text) }

package mtls_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/mtls"
	"github.com/gatehouse-go/gatehouse/auth/principal"
)

const (
	issuer  = "https://ca.example.com"
	billing = "spiffe://example.com/billing"
)

// tryToSign returns nil where x509 refuses the template.
func tryToSign(template *x509.Certificate, by *authority) *x509.Certificate {
	template.SerialNumber = big.NewInt(1)
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, &by.key.PublicKey, by.key)
	if err != nil {
		return nil
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil
	}
	return cert
}

// An authority is a CA, a root or below another one.
type authority struct {
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	above []*x509.Certificate // the way to the root, itself included, the root not
}

type edit = func(*x509.Certificate)

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// sign makes a certificate for key; it is self-signed if by is nil.
func sign(tb testing.TB, template *x509.Certificate, key *ecdsa.PrivateKey, by *authority) *x509.Certificate {
	tb.Helper()
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		tb.Fatal(err)
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return cert
}

func newCA(tb testing.TB, name string, by *authority, edits ...edit) *authority {
	tb.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:  x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	for _, edit := range edits {
		edit(template)
	}
	ca := &authority{key: newKey(tb)}
	ca.cert = sign(tb, template, ca.key, by)
	if by != nil {
		ca.above = append([]*x509.Certificate{ca.cert}, by.above...)
	}
	return ca
}

func (ca *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

func parseURIs(uris ...string) []*url.URL {
	parsed := make([]*url.URL, 0, len(uris))
	for _, u := range uris {
		p, err := url.Parse(u)
		if err != nil {
			panic(err)
		}
		parsed = append(parsed, p)
	}
	return parsed
}

// clientTemplate is what a good certificate says.
func clientTemplate(edits ...edit) *x509.Certificate {
	template := &x509.Certificate{
		Subject:        pkix.Name{CommonName: "billing", Organization: []string{"Example"}},
		URIs:           parseURIs(billing),
		DNSNames:       []string{"billing.example.com"},
		EmailAddresses: []string{"billing@example.com"},
		KeyUsage:       x509.KeyUsageDigitalSignature,
		ExtKeyUsage:    []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		NotBefore:      time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	for _, edit := range edits {
		edit(template)
	}
	return template
}

// issue makes a client's certificate, with its chain and key; ca nil: signed by
// itself.
func (ca *authority) issue(tb testing.TB, edits ...edit) *tls.Certificate {
	tb.Helper()
	key := newKey(tb)
	leaf := sign(tb, clientTemplate(edits...), key, ca)
	c := &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
	if ca != nil {
		for _, above := range ca.above {
			c.Certificate = append(c.Certificate, above.Raw)
		}
	}
	return c
}

// asClient is a CA's own certificate in the hands of a client.
func (ca *authority) asClient() *tls.Certificate {
	c := &tls.Certificate{Certificate: [][]byte{ca.cert.Raw}, PrivateKey: ca.key, Leaf: ca.cert}
	for _, above := range ca.above[1:] {
		c.Certificate = append(c.Certificate, above.Raw)
	}
	return c
}

func newMTLS(tb testing.TB, cfg mtls.Config) *mtls.Authenticator {
	tb.Helper()
	if cfg.Issuer == "" {
		cfg.Issuer = issuer
	}
	if cfg.Identify == 0 {
		cfg.Identify = mtls.SPIFFE
	}
	if cfg.Callers == nil {
		cfg.Callers = map[string]mtls.Caller{billing: {Scopes: []string{"orders:read"}, Tenant: "example"}}
	}
	a, err := mtls.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

var whoami = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	subject := "-"
	if p, ok := principal.FromContext(r.Context()); ok {
		subject = p.Subject
	}
	_, _ = w.Write([]byte(subject))
})

// handler answers with the caller, or with the reason of the refusal.
func handler(tb testing.TB, a auth.Authenticator) http.Handler {
	tb.Helper()
	g, err := auth.New(auth.Config{
		Authenticators: []auth.Authenticator{a},
		OnDecision: func(_ context.Context, d decision.Decision) {
			if d.Effect == decision.Deny && d.Detail == "" {
				tb.Error("a refusal without a detail")
			}
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if got := w.Header().Values("WWW-Authenticate"); len(got) > 0 {
				tb.Errorf("WWW-Authenticate = %q, want none", got)
			}
			w.Header().Set("Reason", reason(err))
			auth.WriteError(w, r, err)
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return g.Handler(whoami)
}

func reason(err error) string {
	if e, ok := errors.AsType[*auth.Error](err); ok {
		return e.Reason
	}
	return ""
}

// newServer is a TLS server that asks for certificates in that way.
func newServer(tb testing.TB, h http.Handler, ask tls.ClientAuthType, cas *x509.CertPool) *httptest.Server {
	tb.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.TLS = &tls.Config{ClientAuth: ask, ClientCAs: cas}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	tb.Cleanup(srv.Close)
	return srv
}

// clientWith is a client of srv that sends cert whatever the server asks for;
// nil: none.
func clientWith(tb testing.TB, srv *httptest.Server, cert *tls.Certificate) *http.Client {
	tb.Helper()
	transport := srv.Client().Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if cert == nil {
			return new(tls.Certificate), nil
		}
		return cert, nil
	}
	tb.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// get returns the status and who the caller is, or the reason of the refusal.
func get(tb testing.TB, c *http.Client, target string, header http.Header) (int, string) {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, target, http.NoBody)
	if err != nil {
		tb.Fatal(err)
	}
	maps.Copy(r.Header, header)
	resp, err := c.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		tb.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode, resp.Header.Get("Reason")
	}
	return resp.StatusCode, string(body)
}

// A pipeListener hands out the server's ends of pipes, which tests under a
// clock of their own can wait for.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{make(chan net.Conn), make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.done); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// rawSAN is an extension of alternative names with these URIs, byte by byte.
func rawSAN(tb testing.TB, uris ...string) pkix.Extension {
	tb.Helper()
	return rawNames(tb, 6, uris...)
}

func rawNames(tb testing.TB, tag int, names ...string) pkix.Extension {
	tb.Helper()
	values := make([]asn1.RawValue, 0, len(names))
	for _, n := range names {
		values = append(values, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, Bytes: []byte(n)})
	}
	der, err := asn1.Marshal(values)
	if err != nil {
		tb.Fatal(err)
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: der}
}

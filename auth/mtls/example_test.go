package mtls_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/mtls"
	"github.com/gatehouse-go/gatehouse/auth/principal"
	"github.com/gatehouse-go/gatehouse/tlsredirect/clientip"
)

var errClientCert = errors.New("not one certificate in Client-Cert")

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// An exampleCA stands for the CA of the company.
type exampleCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newExampleCA() exampleCA {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))
	return exampleCA{must(x509.ParseCertificate(der)), key}
}

func (ca exampleCA) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

func (ca exampleCA) issue(uri string) tls.Certificate {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		URIs: []*url.URL{must(url.Parse(uri))}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
	}
	der := must(x509.CreateCertificate(rand.Reader, template, ca.cert, &key.PublicKey, ca.key))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func hello(w http.ResponseWriter, r *http.Request) {
	if p, ok := principal.FromContext(r.Context()); ok {
		_, _ = fmt.Fprintf(w, "hello %s %v", p.Subject, p.Scopes)
	}
}

func exampleGate(cfg mtls.Config) *auth.Gate {
	return must(auth.New(auth.Config{Authenticators: []auth.Authenticator{must(mtls.New(cfg))}}))
}

func Example() {
	gate := exampleGate(mtls.Config{
		Issuer:   "https://ca.example.com",
		Identify: mtls.SPIFFE,
		Callers: map[string]mtls.Caller{
			"spiffe://example.com/billing": {Scopes: []string{"orders:read"}},
		},
	})

	ca := newExampleCA()
	srv := httptest.NewUnstartedServer(gate.Handler(http.HandlerFunc(hello)))
	srv.TLS = &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: ca.pool()}
	srv.StartTLS()
	defer srv.Close()

	get := func(certificates ...tls.Certificate) {
		transport := srv.Client().Transport.(*http.Transport).Clone()
		transport.TLSClientConfig.Certificates = certificates
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Get(srv.URL)
		if err != nil {
			panic(err)
		}
		body := must(io.ReadAll(resp.Body))
		_ = resp.Body.Close()
		fmt.Println(resp.StatusCode, strings.TrimSpace(string(body)))
	}
	get(ca.issue("spiffe://example.com/billing"))
	get(ca.issue("spiffe://example.com/intern")) // of the same CA, but not listed
	get()
	// Output:
	// 200 hello spiffe://example.com/billing [orders:read]
	// 401 {"type":"about:blank","title":"Unauthorized","status":401,"detail":"The credentials were not accepted."}
	// 401 {"type":"about:blank","title":"Unauthorized","status":401,"detail":"This resource needs credentials."}
}

// A proxy ends TLS, verifies the client's certificate, and passes it on as
// RFC 9440 says.
func ExampleConfig_clientCert() {
	trust := must(clientip.New(clientip.Config{Proxies: []string{"10.0.0.7"}}))
	fromProxy := func(r *http.Request) (*x509.Certificate, error) {
		lines := r.Header["Client-Cert"]
		if !trust.Trusted(r) || len(lines) == 0 {
			return nil, nil // whoever sent it
		}
		malformed := &auth.Error{Kind: auth.Malformed, Reason: auth.ReasonMalformed, Err: errClientCert}
		text, begins := strings.CutPrefix(lines[0], ":")
		text, ends := strings.CutSuffix(text, ":")
		if len(lines) > 1 || !begins || !ends {
			return nil, malformed
		}
		der, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil {
			return nil, malformed
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, malformed
		}
		return cert, nil
	}
	ca := newExampleCA()
	gate := exampleGate(mtls.Config{
		Issuer:     "https://ca.example.com",
		Identify:   mtls.SPIFFE,
		Callers:    map[string]mtls.Caller{"spiffe://example.com/billing": {Scopes: []string{"orders:read"}}},
		Roots:      ca.pool(),
		ClientCert: fromProxy,
	})
	h := gate.Handler(http.HandlerFunc(hello))

	cert := ca.issue("spiffe://example.com/billing")
	for _, peer := range []string{"10.0.0.7:4711", "192.0.2.1:4711"} {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.RemoteAddr = peer
		r.Header.Set("Client-Cert", ":"+base64.StdEncoding.EncodeToString(cert.Certificate[0])+":")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Println(w.Code, strings.TrimSpace(w.Body.String()))
	}
	// Output:
	// 200 hello spiffe://example.com/billing [orders:read]
	// 401 {"type":"about:blank","title":"Unauthorized","status":401,"detail":"This resource needs credentials."}
}

// What stands in a certificate is found out once, and written down.
func ExampleIdentity_Of() {
	ca := newExampleCA()
	cert := must(x509.ParseCertificate(ca.issue("spiffe://example.com/billing").Certificate[0]))
	fmt.Println(mtls.SPIFFE.Of(cert))
	fmt.Println(mtls.DNS.Of(cert))
	// Output:
	// [spiffe://example.com/billing] <nil>
	// [] no DNS name in the certificate
}

// A common name is what the CA let stand there, and nobody's identity.
func ExampleNew_incorrect() {
	_, err := mtls.New(mtls.Config{
		Issuer:   "https://ca.example.com",
		Identify: mtls.Subject,
		Callers:  map[string]mtls.Caller{"CN=billing": {}},
	})
	fmt.Println(err)
	// Output:
	// mtls: Callers["CN=billing"] is no subject, want more than a common name
}

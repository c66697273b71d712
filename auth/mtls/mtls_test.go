package mtls_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/mtls"
	"github.com/gatehouse-go/gatehouse/auth/principal"
)

var _ auth.Authenticator = new(mtls.Authenticator)

// A certificate is the connection's: it does not count where a Gate looks for
// two credentials.
func TestCarriesNothing(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.Header.Set("Authorization", "Bearer x")
	if got := new(mtls.Authenticator).Carries(r); got != "" {
		t.Errorf("Carries = %q, want nothing", got)
	}
}

func TestNewReportsEveryMistake(t *testing.T) {
	t.Parallel()
	list := func(names ...string) map[string]mtls.Caller {
		m := make(map[string]mtls.Caller)
		for _, n := range names {
			m[n] = mtls.Caller{}
		}
		return m
	}
	for _, tt := range []struct {
		name string
		cfg  mtls.Config
		want []string
	}{
		{"zero", mtls.Config{}, []string{
			"mtls: Issuer is empty, want who vouches for the callers' names",
			"mtls: Identify is 0, want SPIFFE, DNS, Email, Subject or Thumbprint",
			"mtls: Callers is empty, want who is admitted",
		}},
		{"out of range", mtls.Config{Issuer: "a", Identify: 6, Callers: list("a")}, []string{
			"mtls: Identify is 6, want SPIFFE, DNS, Email, Subject or Thumbprint",
		}},
		{"empty pool", mtls.Config{Issuer: "a", Identify: mtls.DNS, Callers: list("a.example.com"), Roots: x509.NewCertPool()}, []string{
			"mtls: Roots is a pool without a certificate, want the CAs that are believed",
		}},
		{"scopes", mtls.Config{Issuer: "a", Identify: mtls.DNS, Callers: map[string]mtls.Caller{"a.example.com": {Scopes: []string{"", "a b", "ok"}}}}, []string{
			`mtls: Callers["a.example.com"].Scopes has "", want a scope-token`,
			`mtls: Callers["a.example.com"].Scopes has "a b", want a scope-token`,
		}},
		{"SPIFFE", mtls.Config{Issuer: "a", Identify: mtls.SPIFFE, Callers: list("", "billing", billing, "spiffe://example.com")}, []string{
			`mtls: Callers[""] is no SPIFFE ID, want spiffe://trust-domain/path`,
			`mtls: Callers["billing"] is no SPIFFE ID, want spiffe://trust-domain/path`,
			`mtls: Callers["spiffe://example.com"] is no SPIFFE ID, want spiffe://trust-domain/path`,
		}},
		{"DNS", mtls.Config{Issuer: "a", Identify: mtls.DNS, Callers: list("", "*.example.com", "A.example.com", "a..b", "a.example.com.", "a b", "ok", strings.Repeat("a", 64))}, []string{
			`mtls: Callers[""] is no DNS name, want a host's full name in lower case, without a wildcard`,
			`mtls: Callers["*.example.com"] is no DNS name, want a host's full name in lower case, without a wildcard`,
			`mtls: Callers["A.example.com"] is no DNS name, want a host's full name in lower case, without a wildcard`,
			`mtls: Callers["a b"] is no DNS name, want a host's full name in lower case, without a wildcard`,
			`mtls: Callers["a..b"] is no DNS name, want a host's full name in lower case, without a wildcard`,
			`mtls: Callers["a.example.com."] is no DNS name, want a host's full name in lower case, without a wildcard`,
			`mtls: Callers["` + strings.Repeat("a", 64) + `"] is no DNS name, want a host's full name in lower case, without a wildcard`,
		}},
		{"Email", mtls.Config{Issuer: "a", Identify: mtls.Email, Callers: list("a", "@b", "a@", "a@b@c", "a@B", "a b@c", "A@b")}, []string{
			`mtls: Callers["@b"] is no email address, want local@domain, the domain in lower case`,
			`mtls: Callers["a"] is no email address, want local@domain, the domain in lower case`,
			`mtls: Callers["a b@c"] is no email address, want local@domain, the domain in lower case`,
			`mtls: Callers["a@"] is no email address, want local@domain, the domain in lower case`,
			`mtls: Callers["a@B"] is no email address, want local@domain, the domain in lower case`,
			`mtls: Callers["a@b@c"] is no email address, want local@domain, the domain in lower case`,
		}},
		{"Subject", mtls.Config{Issuer: "a", Identify: mtls.Subject, Callers: list(
			"", "billing", "/C=DE/O=Example", "CN=a, O=b", "CN = a", "cn=a,O=b", "=a", "CN=a\n,O=b", "CN=billing", `CN=a\,O=b`, "CN=a,CN=b", "CN=a+CN=b",
			"O=a", "CN=a,O=b", `CN=a+SERIALNUMBER=1`, `CN=a,O=Example\, Inc.`, `OU=a\\,O=b`,
		)}, []string{
			`mtls: Callers[""] is no subject, want what Subject.Of returns, such as "CN=billing,O=Example"`,
			`mtls: Callers["/C=DE/O=Example"] is no subject, want what Subject.Of returns, such as "CN=billing,O=Example"`,
			`mtls: Callers["=a"] is no subject, want what Subject.Of returns, such as "CN=billing,O=Example"`,
			`mtls: Callers["CN = a"] is no subject, want what Subject.Of returns, such as "CN=billing,O=Example"`,
			`mtls: Callers["CN=a\n,O=b"] is no subject, want what Subject.Of returns, such as "CN=billing,O=Example"`,
			`mtls: Callers["CN=a+CN=b"] is no subject, want more than a common name`,
			`mtls: Callers["CN=a, O=b"] is no subject, want what Subject.Of returns, such as "CN=billing,O=Example" (without a space behind the comma)`,
			`mtls: Callers["CN=a,CN=b"] is no subject, want more than a common name`,
			`mtls: Callers["CN=a\\,O=b"] is no subject, want more than a common name`,
			`mtls: Callers["CN=billing"] is no subject, want more than a common name`,
			`mtls: Callers["billing"] is no subject, want what Subject.Of returns, such as "CN=billing,O=Example"`,
			`mtls: Callers["cn=a,O=b"] is no subject, want what Subject.Of returns, such as "CN=billing,O=Example"`,
		}},
		{"Thumbprint", mtls.Config{Issuer: "a", Identify: mtls.Thumbprint, Callers: list(
			"AA", strings.Repeat("ab:", 32), strings.Repeat("A", 42)+"B", strings.Repeat("A", 20)+"\n"+strings.Repeat("A", 23), strings.Repeat("A", 43),
		)}, []string{
			`mtls: Callers["AA"] is no thumbprint, want the SHA-256 of a certificate in base64url, 43 characters`,
			`mtls: Callers["` + strings.Repeat("A", 20) + `\n` + strings.Repeat("A", 23) + `"] is no thumbprint, want the SHA-256 of a certificate in base64url, 43 characters`,
			`mtls: Callers["` + strings.Repeat("A", 42) + `B"] is no thumbprint, want the SHA-256 of a certificate in base64url, 43 characters`,
			`mtls: Callers["` + strings.Repeat("ab:", 32) + `"] is no thumbprint, want the SHA-256 of a certificate in base64url, 43 characters`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, err := mtls.New(tt.cfg)
			if err == nil || a != nil {
				t.Fatalf("New = %v, %v, want an error alone", a, err)
			}
			if got := strings.Split(err.Error(), "\n"); !slices.Equal(got, tt.want) {
				t.Errorf("New = %q\nwant  %q", got, tt.want)
			}
		})
	}
}

// A world is CAs and certificates of all kinds.
type world struct {
	root, between, other *authority
	certs                map[string]*tls.Certificate
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	w := &world{root: newCA(tb, "root", nil), other: newCA(tb, "root", nil)}
	w.between = newCA(tb, "between", w.root, func(c *x509.Certificate) { c.URIs = parseURIs(billing) })
	constrained := newCA(tb, "constrained", w.root, func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical = true
		c.PermittedURIDomains = []string{"other.example"}
	})
	serversOnly := newCA(tb, "servers only", w.root, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	leaf := w.root.issue(tb)
	signer := &authority{cert: leaf.Leaf, key: leaf.PrivateKey.(*ecdsa.PrivateKey), above: []*x509.Certificate{leaf.Leaf}}
	deep := w.root
	for i := range 6 {
		deep = newCA(tb, fmt.Sprint("deep ", i), deep)
	}
	root := w.root
	w.certs = map[string]*tls.Certificate{
		"none":                        nil,
		"good":                        root.issue(tb),
		"good, from below":            w.between.issue(tb),
		"good, other names beside it": root.issue(tb, func(c *x509.Certificate) { c.DNSNames = []string{"a.example.com", "b.example.com"} }),
		"good, no key usage":          root.issue(tb, func(c *x509.Certificate) { c.KeyUsage = 0 }),
		"good, for servers as well":   root.issue(tb, func(c *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) }),
		"self-signed":                 (*authority)(nil).issue(tb),
		"other CA of that name":       w.other.issue(tb),
		"signed by a leaf":            signer.issue(tb),
		"expired":                     root.issue(tb, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }),
		"not yet":                     root.issue(tb, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }),
		"for servers":                 root.issue(tb, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }),
		"no usage":                    root.issue(tb, func(c *x509.Certificate) { c.ExtKeyUsage = nil }),
		"any usage":                   root.issue(tb, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }),
		"no signatures":               root.issue(tb, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }),
		"may sign certificates":       root.issue(tb, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }),
		"a CA's":                      root.issue(tb, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }),
		"the intermediate itself":     w.between.asClient(),
		"from below a constraint":     constrained.issue(tb),
		"from a CA for servers":       serversOnly.issue(tb),
		"from too far below":          deep.issue(tb),
		"common name alone":           root.issue(tb, func(c *x509.Certificate) { c.Subject.CommonName, c.URIs = billing, nil }),
		"two URIs":                    root.issue(tb, func(c *x509.Certificate) { c.URIs = parseURIs(billing, "spiffe://example.com/orders") }),
		"the same URI twice":          root.issue(tb, func(c *x509.Certificate) { c.URIs = parseURIs(billing, billing) }),
		"two URIs, one not SPIFFE":    root.issue(tb, func(c *x509.Certificate) { c.URIs = parseURIs("https://example.com/", billing) }),
		"no SPIFFE ID":                root.issue(tb, func(c *x509.Certificate) { c.URIs = parseURIs("https://example.com/billing") }),
		"unlisted":                    root.issue(tb, func(c *x509.Certificate) { c.URIs = parseURIs("spiffe://example.com/billing2") }),
		"unlisted, by case":           root.issue(tb, func(c *x509.Certificate) { c.URIs = parseURIs("spiffe://example.com/Billing") }),
		"a path below":                root.issue(tb, func(c *x509.Certificate) { c.URIs = parseURIs(billing + "/x") }),
		"upper case trust domain":     root.issue(tb, func(c *x509.Certificate) { c.URIs = parseURIs("spiffe://Example.com/billing") }),
		"upper case scheme": root.issue(tb, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{rawSAN(tb, "SPIFFE://example.com/billing")}
		}),
		"empty fragment": root.issue(tb, func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{rawSAN(tb, billing+"#")} }),
		"empty query":    root.issue(tb, func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{rawSAN(tb, billing+"?")} }),
		"escaped": root.issue(tb, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{rawSAN(tb, "spiffe://example.com/%62illing")}
		}),
		"port":             root.issue(tb, func(c *x509.Certificate) { c.URIs = parseURIs("spiffe://example.com:443/billing") }),
		"user":             root.issue(tb, func(c *x509.Certificate) { c.URIs = parseURIs("spiffe://u@example.com/billing") }),
		"dots":             root.issue(tb, func(c *x509.Certificate) { c.URIs = parseURIs("spiffe://example.com/x/../billing") }),
		"slash at the end": root.issue(tb, func(c *x509.Certificate) { c.URIs = parseURIs(billing + "/") }),
		"an extension that nobody has": root.issue(tb, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		}),
	}
	orphan := *w.between.issue(tb)
	orphan.Certificate = orphan.Certificate[:1]
	w.certs["from below, without the way up"] = &orphan
	return w
}

// TestServers holds what servers of each kind make of each certificate. "TLS"
// is a handshake that fails: the request never arrives.
func TestServers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	servers := map[string]*httptest.Server{
		"asks":     newServer(t, handler(t, newMTLS(t, mtls.Config{Roots: w.root.pool()})), tls.RequestClientCert, nil),
		"verifies": newServer(t, handler(t, newMTLS(t, mtls.Config{})), tls.VerifyClientCertIfGiven, w.root.pool()),
		"requires": newServer(t, handler(t, newMTLS(t, mtls.Config{Roots: w.root.pool()})), tls.RequireAnyClientCert, nil),
		"both":     newServer(t, handler(t, newMTLS(t, mtls.Config{Roots: w.root.pool()})), tls.RequireAndVerifyClientCert, w.root.pool()),
	}
	const failed = "TLS"
	seen := make(map[string]bool)
	for _, tt := range []struct {
		name                              string
		asks, verifies, requires, andBoth string // the caller, or the reason; "" is that of asks
	}{
		{"none", "missing", "", failed, failed},
		{"good", billing, "", "", ""},
		{"good, from below", billing, "", "", ""},
		{"good, other names beside it", billing, "", "", ""},
		{"good, no key usage", billing, "", "", ""},
		{"good, for servers as well", billing, "", "", ""},
		{"self-signed", "chain", failed, "", failed},
		{"other CA of that name", "chain", failed, "", failed},
		{"signed by a leaf", "chain", failed, "", failed},
		{"from below, without the way up", "chain", failed, "", failed},
		{"from below a constraint", "chain", failed, "", failed},
		{"from a CA for servers", "chain", failed, "", failed},
		{"from too far below", "chain", billing, "", "chain"},
		{"expired", "expired", failed, "", failed},
		{"not yet", "not_yet", failed, "", failed},
		{"for servers", "usage", failed, "", failed},
		{"no usage", "usage", "", "", ""},
		{"any usage", "usage", "", "", ""},
		{"no signatures", "usage", "", "", ""},
		{"may sign certificates", "ca", "", "", ""},
		{"a CA's", "ca", "", "", ""},
		{"the intermediate itself", "ca", "", "", ""},
		{"an extension that nobody has", "crit", failed, "", failed},
		{"common name alone", "identity", "", "", ""},
		{"two URIs", "identity", "", "", ""},
		{"the same URI twice", "identity", "", "", ""},
		{"two URIs, one not SPIFFE", "identity", "", "", ""},
		{"no SPIFFE ID", "identity", "", "", ""},
		{"upper case trust domain", "identity", "", "", ""},
		{"upper case scheme", "identity", "", "", ""},
		{"empty fragment", "identity", "", "", ""},
		{"empty query", "identity", "", "", ""},
		{"escaped", "identity", "", "", ""},
		{"port", "identity", "", "", ""},
		{"user", "identity", "", "", ""},
		{"dots", "identity", "", "", ""},
		{"slash at the end", "identity", "", "", ""},
		{"unlisted", "unlisted", "", "", ""},
		{"unlisted, by case", "unlisted", "", "", ""},
		{"a path below", "unlisted", "", "", ""},
	} {
		cert, ok := w.certs[tt.name]
		if !ok {
			t.Fatalf("no certificate %q", tt.name)
		}
		seen[tt.name] = true
		for server, want := range map[string]string{"asks": tt.asks, "verifies": tt.verifies, "requires": tt.requires, "both": tt.andBoth} {
			if want == "" {
				want = tt.asks
			}
			t.Run(tt.name+"/"+server, func(t *testing.T) {
				t.Parallel()
				status, got := get(t, clientWith(t, servers[server], cert), servers[server].URL, nil)
				wantStatus := http.StatusUnauthorized
				switch want {
				case billing:
					wantStatus = http.StatusOK
				case failed:
					if wantStatus = 0; status == 0 {
						got = failed
					}
				}
				if status != wantStatus || got != want {
					t.Errorf("got %d %q, want %d %q", status, got, wantStatus, want)
				}
			})
		}
	}
	for name := range w.certs {
		if !seen[name] {
			t.Errorf("the certificate %q is not tried", name)
		}
	}
}

// A server that only asks for certificates has verified none.
func TestUnverified(t *testing.T) {
	t.Parallel()
	root := newCA(t, "root", nil)
	for name, ask := range map[string]tls.ClientAuthType{"asks": tls.RequestClientCert, "requires": tls.RequireAnyClientCert} {
		srv := newServer(t, handler(t, newMTLS(t, mtls.Config{})), ask, root.pool())
		if status, got := get(t, clientWith(t, srv, root.issue(t)), srv.URL, nil); status != 401 || got != mtls.ReasonUnverified {
			t.Errorf("%s: got %d %q, want 401 %q", name, status, got, mtls.ReasonUnverified)
		}
	}
	// Nor is a chain of somebody else's a chain.
	leaf, other := root.issue(t).Leaf, root.issue(t).Leaf
	for name, chains := range map[string][][]*x509.Certificate{"another's": {{other, root.cert}}, "empty": {{}}} {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: chains}
		if _, err := newMTLS(t, mtls.Config{}).Authenticate(r); reason(err) != mtls.ReasonChain {
			t.Errorf("%s: reason = %q, want %q", name, reason(err), mtls.ReasonChain)
		}
	}
}

// Without ClientCert no header is a certificate.
func TestHeadersDoNotCount(t *testing.T) {
	t.Parallel()
	root := newCA(t, "root", nil)
	cert := root.issue(t).Leaf
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
	header := http.Header{}
	for _, name := range []string{"Client-Cert", "X-Client-Cert", "X-Ssl-Cert", "X-Ssl-Client-Cert", "Ssl-Client-Cert", "X-Forwarded-Tls-Client-Cert", "X-Amzn-Mtls-Clientcert", "X-Arr-Clientcert"} {
		header.Set(name, url.PathEscape(text))
	}
	header.Set("Client-Cert", ":"+base64.StdEncoding.EncodeToString(cert.Raw)+":")
	header.Set("X-Forwarded-Client-Cert", "By=spiffe://example.com/proxy;URI="+billing+`;Cert="`+url.PathEscape(text)+`"`)
	header.Set("X-Ssl-Client-Verify", "SUCCESS")
	for name, a := range map[string]*mtls.Authenticator{"TLS": newMTLS(t, mtls.Config{}), "Roots": newMTLS(t, mtls.Config{Roots: root.pool()})} {
		h := handler(t, a)
		secure, plain := newServer(t, h, tls.VerifyClientCertIfGiven, root.pool()), httptest.NewServer(h)
		defer plain.Close()
		for _, srv := range []*httptest.Server{secure, plain} {
			if status, got := get(t, srv.Client(), srv.URL, header); status != 401 || got != auth.ReasonMissing {
				t.Errorf("%s, %s: got %d %q, want 401 %q", name, srv.URL, status, got, auth.ReasonMissing)
			}
		}
	}
}

func TestClientCert(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	down := errors.New("canary: the proxy's text")
	proxy := w.root.issue(t) // a caller in its own right, but not the client
	leaf := func(name string) func() (*x509.Certificate, error) {
		return func() (*x509.Certificate, error) { return w.certs[name].Leaf, nil }
	}
	fails := func(err error) func() (*x509.Certificate, error) {
		return func() (*x509.Certificate, error) { return w.certs["good"].Leaf, err }
	}
	for _, tt := range []struct {
		name   string
		hook   func() (*x509.Certificate, error)
		roots  *authority
		status int
		want   string
	}{
		{"good", leaf("good"), nil, 200, billing},
		{"good, by Roots", leaf("good"), w.root, 200, billing},
		{"nil", func() (*x509.Certificate, error) { return nil, nil }, nil, 401, "missing"},
		{"nil, by Roots", func() (*x509.Certificate, error) { return nil, nil }, w.root, 401, "missing"},
		{"not parsed", func() (*x509.Certificate, error) { return clientTemplate(), nil }, nil, 503, "unavailable"},
		{"no credentials", fails(auth.ErrNoCredentials), nil, 401, "missing"},
		{"malformed", fails(&auth.Error{Kind: auth.Malformed, Reason: "header", Err: down}), nil, 400, "header"},
		{"foreign error", fails(down), nil, 503, "unavailable"},
		{"other CA, by Roots", leaf("other CA of that name"), w.root, 401, "chain"},
		{"from below, by Roots", leaf("good, from below"), w.root, 401, "chain"},
		{"from below, by the CA below", leaf("good, from below"), w.between, 200, billing},
		{"expired", leaf("expired"), nil, 401, "expired"},
		{"not yet", leaf("not yet"), nil, 401, "not_yet"},
		{"for servers", leaf("for servers"), nil, 401, "usage"},
		{"no usage", leaf("no usage"), nil, 401, "usage"},
		{"a CA's", leaf("a CA's"), nil, 401, "ca"},
		{"an extension that nobody has", leaf("an extension that nobody has"), nil, 401, "crit"},
		{"common name alone", leaf("common name alone"), nil, 401, "identity"},
		{"unlisted", leaf("unlisted"), nil, 401, "unlisted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := mtls.Config{ClientCert: func(*http.Request) (*x509.Certificate, error) { return tt.hook() }}
			if tt.roots != nil {
				cfg.Roots = tt.roots.pool()
			}
			srv := newServer(t, handler(t, newMTLS(t, cfg)), tls.VerifyClientCertIfGiven, w.root.pool())
			for name, cert := range map[string]*tls.Certificate{"no certificate of the proxy's": nil, "one of the proxy's": proxy} {
				if status, got := get(t, clientWith(t, srv, cert), srv.URL, nil); status != tt.status || got != tt.want {
					t.Errorf("%s: got %d %q, want %d %q", name, status, got, tt.status, tt.want)
				}
			}
		})
	}
	t.Run("plain HTTP from the proxy", func(t *testing.T) {
		t.Parallel()
		a := newMTLS(t, mtls.Config{Roots: w.root.pool(), ClientCert: func(*http.Request) (*x509.Certificate, error) { return w.certs["good"].Leaf, nil }})
		if p, err := a.Authenticate(httptest.NewRequest(http.MethodGet, "/", http.NoBody)); err != nil || p.Subject != billing {
			t.Errorf("Authenticate = %+v, %v, want %s", p, err, billing)
		}
	})
}

// TestOutlived: a connection outlives the client's certificate, and one of its
// chain.
func TestOutlived(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		roots bool
		leaf  time.Duration // from now
		ca    time.Duration
		want  string
	}{
		{"leaf, verified by TLS", false, time.Minute, time.Hour, auth.ReasonExpired},
		{"leaf, verified by Roots", true, time.Minute, time.Hour, auth.ReasonExpired},
		{"chain, verified by TLS", false, time.Hour, time.Minute, mtls.ReasonChain},
		{"chain, verified by Roots", true, time.Hour, time.Minute, mtls.ReasonChain},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				root := newCA(t, "root", nil)
				between := newCA(t, "between", root, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(tt.ca) })
				cert := between.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(tt.leaf) })
				server := root.issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
				cfg, ask := mtls.Config{}, tls.RequireAndVerifyClientCert
				if tt.roots {
					cfg.Roots, ask = root.pool(), tls.RequireAnyClientCert
				}
				connections := 0
				srv := &http.Server{
					Handler:           handler(t, newMTLS(t, cfg)),
					TLSConfig:         &tls.Config{Certificates: []tls.Certificate{*server}, ClientAuth: ask, ClientCAs: root.pool()},
					ReadHeaderTimeout: time.Hour, IdleTimeout: time.Hour,
					ErrorLog: log.New(io.Discard, "", 0),
				}
				l := newPipeListener()
				go func() { _ = srv.ServeTLS(l, "", "") }()
				transport := &http.Transport{
					DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
						connections++
						return l.dial(ctx, network, addr)
					},
					TLSClientConfig: &tls.Config{RootCAs: root.pool(), ServerName: "billing.example.com", Certificates: []tls.Certificate{*cert}},
				}
				client := &http.Client{Transport: transport}
				// Valid up to and with its last second, as crypto/x509 has it.
				for _, step := range []struct {
					wait   time.Duration
					status int
					want   string
				}{{0, 200, billing}, {time.Minute, 200, billing}, {time.Second, 401, tt.want}} {
					time.Sleep(step.wait)
					if status, got := get(t, client, "https://billing.example.com/", nil); status != step.status || got != step.want {
						t.Errorf("after %v: got %d %q, want %d %q", step.wait, status, got, step.status, step.want)
					}
				}
				if connections != 1 {
					t.Errorf("%d connections, want all in one", connections)
				}
				transport.CloseIdleConnections()
				_ = srv.Close()
			})
		})
	}
}

// TestResumed: a session that is resumed carries the certificate on.
func TestResumed(t *testing.T) {
	t.Parallel()
	root := newCA(t, "root", nil)
	resumed := make(chan bool, 1)
	h := handler(t, newMTLS(t, mtls.Config{}))
	srv := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resumed <- r.TLS.DidResume
		h.ServeHTTP(w, r)
	}), tls.VerifyClientCertIfGiven, root.pool())
	client := clientWith(t, srv, root.issue(t))
	client.Transport.(*http.Transport).TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for i := range 2 {
		status, got := get(t, client, srv.URL, nil)
		if did := <-resumed; status != 200 || got != billing || did != (i == 1) {
			t.Errorf("connection %d: got %d %q, resumed %t, want 200 %q, resumed %t", i, status, got, did, billing, i == 1)
		}
		client.CloseIdleConnections()
	}
}

func TestPrincipal(t *testing.T) {
	t.Parallel()
	root := newCA(t, "root", nil)
	cert := root.issue(t).Leaf
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert, root.cert}}}
	callers := map[string]mtls.Caller{billing: {Scopes: slices.Repeat([]string{"orders:read"}, 17), Tenant: "example"}}
	a := newMTLS(t, mtls.Config{Callers: callers})
	callers[billing].Scopes[0] = "admin"
	callers["spiffe://example.com/late"] = mtls.Caller{}

	sum := sha256.Sum256(cert.Raw)
	want := &principal.Principal{
		Issuer: issuer, Subject: billing, Kind: principal.Client, Scheme: "MTLS", ClientID: billing, Tenant: "example",
		TokenID: base64.RawURLEncoding.EncodeToString(sum[:]), Scopes: slices.Repeat([]string{"orders:read"}, 17), ExpiresAt: cert.NotAfter,
	}
	got, err := a.Authenticate(r)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("Authenticate = %+v, %v, want %+v", got, err, want)
	}
	// One request's principal is not the next one's.
	got.Tenant = "changed"
	_ = append(got.Scopes, "admin")
	again, err := a.Authenticate(r)
	if err != nil || !reflect.DeepEqual(again, want) || slices.Contains(again.Scopes[:cap(again.Scopes)], "admin") {
		t.Errorf("the next request gets %+v, %v", again, err)
	}
}

// Roots that are extended later are not believed.
func TestRootsAreCopied(t *testing.T) {
	t.Parallel()
	root, late := newCA(t, "root", nil), newCA(t, "late", nil)
	pool := root.pool()
	a := newMTLS(t, mtls.Config{Roots: pool})
	pool.AddCert(late.cert)
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{late.issue(t).Leaf}}
	if _, err := a.Authenticate(r); reason(err) != mtls.ReasonChain {
		t.Errorf("reason = %q, want %q", reason(err), mtls.ReasonChain)
	}
}

func TestNil(t *testing.T) {
	t.Parallel()
	var none *mtls.Authenticator
	_, err := none.Authenticate(httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	if e, ok := errors.AsType[*auth.Error](err); !ok || e.StatusCode() != http.StatusServiceUnavailable {
		t.Errorf("Authenticate = %v, want 503", err)
	}
}

// What the trail says: names out of verified certificates, the types of foreign
// errors, and no text of theirs.
func TestDecisions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, tt := range []struct {
		cert   string
		status int
		want   decision.Decision
	}{
		{"good", 200, decision.Decision{Layer: "auth", Effect: decision.Allow, Rule: "MTLS", Reason: "admitted"}},
		{"unlisted", 401, decision.Decision{Layer: "auth", Effect: decision.Deny, Reason: "unlisted", Detail: `"spiffe://example.com/billing2" is not one of Callers`, Status: 401}},
		{"two URIs", 401, decision.Decision{Layer: "auth", Effect: decision.Deny, Reason: "identity", Detail: "2 URIs in the certificate, want exactly one", Status: 401}},
		{"self-signed", 401, decision.Decision{Layer: "auth", Effect: decision.Deny, Reason: "chain", Detail: "x509.UnknownAuthorityError", Status: 401}},
		{"from too far below", 401, decision.Decision{Layer: "auth", Effect: decision.Deny, Reason: "chain", Detail: "7 certificates, want at most 6", Status: 401}},
	} {
		var got decision.Decision
		g, err := auth.New(auth.Config{
			Authenticators: []auth.Authenticator{newMTLS(t, mtls.Config{Roots: w.root.pool()})},
			OnDecision:     func(_ context.Context, d decision.Decision) { got = d },
		})
		if err != nil {
			t.Fatal(err)
		}
		srv := newServer(t, g.Handler(whoami), tls.RequestClientCert, nil)
		status, _ := get(t, clientWith(t, srv, w.certs[tt.cert]), srv.URL, nil)
		if srv.Close(); status != tt.status || got != tt.want {
			t.Errorf("%s: got %d %+v\nwant %d %+v", tt.cert, status, got, tt.status, tt.want)
		}
	}
}

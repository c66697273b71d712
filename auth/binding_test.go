package auth_test

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/principal"
)

// certificate is a client certificate that signed itself.
func certificate(tb testing.TB, name string) *x509.Certificate {
	tb.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, edKey.Public(), edKey)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return cert
}

func x5t(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return b64(string(sum[:]))
}

func TestBinding(t *testing.T) {
	t.Parallel()
	s := signerFor("ES256")
	jkt, other := s.jkt(t), signerFor("EdDSA").jkt(t)
	mine, foreign := certificate(t, "mine"), certificate(t, "foreign")
	plain, proving := auth.Binding{}, auth.Binding{DPoP: newDPoP(t, auth.DPoPConfig{})}
	required := auth.Binding{DPoP: newDPoP(t, auth.DPoPConfig{Required: true})}
	behindProxy := auth.Binding{ClientCert: func(r *http.Request) *x509.Certificate {
		if r.Header.Get("X-Cert") == "mine" {
			return mine
		}
		return nil
	}}
	careless := auth.Binding{ClientCert: func(*http.Request) *x509.Certificate { return new(x509.Certificate) }}

	for _, tt := range []struct {
		name    string
		binding auth.Binding
		scheme  string
		cnf     string // "-": none
		cert    *x509.Certificate
		proof   bool
		want    string
	}{
		{"unbound", plain, "Bearer", "-", nil, false, ""},
		{"unbound, DPoP is known", proving, "Bearer", "-", nil, false, ""},
		{"unbound, with a proof", proving, "Bearer", "-", nil, true, ""},
		{"unbound, DPoP is required", required, "Bearer", "-", nil, false, auth.ReasonBinding},
		{"unbound, DPoP is required, with a proof", required, "Bearer", "-", nil, true, auth.ReasonBinding},
		{"unbound under DPoP", proving, "DPoP", "-", nil, true, auth.ReasonBinding},
		{"unbound under DPoP, nothing configured", plain, "DPoP", "-", nil, true, auth.ReasonBinding},

		{"null", proving, "Bearer", `null`, nil, true, auth.ReasonBinding},
		{"nothing", proving, "Bearer", ``, nil, true, auth.ReasonBinding},
		{"empty", proving, "Bearer", `{}`, nil, true, auth.ReasonBinding},
		{"empty under DPoP", proving, "DPoP", `{}`, nil, true, auth.ReasonBinding},
		{"text", proving, "DPoP", `"` + jkt + `"`, nil, true, auth.ReasonBinding},
		{"list", proving, "DPoP", `[{"jkt":"` + jkt + `"}]`, nil, true, auth.ReasonBinding},
		{"no JSON", proving, "DPoP", `{"jkt":`, nil, true, auth.ReasonBinding},
		{"doubled", proving, "DPoP", `{"jkt":"` + other + `","jkt":"` + jkt + `"}`, nil, true, auth.ReasonBinding},
		{"unknown member", proving, "Bearer", `{"jwk":{}}`, nil, true, auth.ReasonBinding},
		{"unknown member beside", proving, "DPoP", `{"jkt":"` + jkt + `","kid":"1"}`, nil, true, auth.ReasonBinding},
		{"unknown member beside the certificate", plain, "Bearer", `{"x5t#S256":"` + x5t(mine) + `","x":1}`, mine, false, auth.ReasonBinding},
		{"SHA-1", plain, "Bearer", `{"x5t":"` + x5t(mine) + `"}`, mine, false, auth.ReasonBinding},

		{"proof", proving, "DPoP", `{"jkt":"` + jkt + `"}`, nil, true, ""},
		{"proof, DPoP is required", required, "DPoP", `{"jkt":"` + jkt + `"}`, nil, true, ""},
		{"proof as Bearer", proving, "Bearer", `{"jkt":"` + jkt + `"}`, nil, true, auth.ReasonBinding},
		{"proof of a cookie's token", proving, "Cookie", `{"jkt":"` + jkt + `"}`, nil, true, auth.ReasonBinding},
		{"no proof", proving, "DPoP", `{"jkt":"` + jkt + `"}`, nil, false, auth.ReasonProof},
		{"another key's", proving, "DPoP", `{"jkt":"` + other + `"}`, nil, true, auth.ReasonBinding},
		{"no DPoP configured", plain, "DPoP", `{"jkt":"` + jkt + `"}`, nil, true, auth.ReasonBinding},
		{"jkt is null", proving, "DPoP", `{"jkt":null}`, nil, true, auth.ReasonBinding},
		{"jkt is empty", proving, "DPoP", `{"jkt":""}`, nil, true, auth.ReasonBinding},
		{"jkt is short", proving, "DPoP", `{"jkt":"AAAA"}`, nil, true, auth.ReasonBinding},

		{"certificate", plain, "Bearer", `{"x5t#S256":"` + x5t(mine) + `"}`, mine, false, ""},
		{"certificate, DPoP is required", required, "Bearer", `{"x5t#S256":"` + x5t(mine) + `"}`, mine, false, ""},
		{"certificate under DPoP", proving, "DPoP", `{"x5t#S256":"` + x5t(mine) + `"}`, mine, true, auth.ReasonBinding},
		{"another certificate", plain, "Bearer", `{"x5t#S256":"` + x5t(mine) + `"}`, foreign, false, auth.ReasonBinding},
		{"no certificate", plain, "Bearer", `{"x5t#S256":"` + x5t(mine) + `"}`, nil, false, auth.ReasonBinding},
		{"certificate is null", plain, "Bearer", `{"x5t#S256":null}`, mine, false, auth.ReasonBinding},
		{"certificate in another encoding", plain, "Bearer", `{"x5t#S256":"` + x5t(mine) + `="}`, mine, false, auth.ReasonBinding},
		{"the hash of nothing", careless, "Bearer", `{"x5t#S256":"` + x5t(new(x509.Certificate)) + `"}`, nil, false, auth.ReasonBinding},
		{"a proxy's word counts for the connection's", behindProxy, "Bearer", `{"x5t#S256":"` + x5t(foreign) + `"}`, foreign, false, auth.ReasonBinding},

		{"both", proving, "DPoP", `{"jkt":"` + jkt + `","x5t#S256":"` + x5t(mine) + `"}`, mine, true, ""},
		{"both, no proof", proving, "DPoP", `{"jkt":"` + jkt + `","x5t#S256":"` + x5t(mine) + `"}`, mine, false, auth.ReasonProof},
		{"both, another certificate", proving, "DPoP", `{"jkt":"` + jkt + `","x5t#S256":"` + x5t(mine) + `"}`, foreign, true, auth.ReasonBinding},
		{"both as Bearer", proving, "Bearer", `{"jkt":"` + jkt + `","x5t#S256":"` + x5t(mine) + `"}`, mine, true, auth.ReasonBinding},
	} {
		r := withProofs()
		if tt.proof {
			r = withProofs(s.proof(t, nil, nil))
		}
		if r.TLS.PeerCertificates = nil; tt.cert != nil {
			r.TLS.PeerCertificates = []*x509.Certificate{tt.cert, certificate(t, "intermediate")}
		}
		cnf := json.RawMessage(tt.cnf)
		if tt.cnf == "-" {
			cnf = nil
		}
		wantProof(t, tt.name, tt.binding.Check(r, tt.scheme, boundToken, cnf), tt.want)
	}

	r := httptest.NewRequest(http.MethodGet, "http://api.example.com/", http.NoBody)
	cnf := json.RawMessage(`{"x5t#S256":"` + x5t(mine) + `"}`)
	wantProof(t, "no TLS", plain.Check(r, "Bearer", boundToken, cnf), auth.ReasonBinding)
	wantProof(t, "proxy says nothing", behindProxy.Check(r, "Bearer", boundToken, cnf), auth.ReasonBinding)
	r.Header.Set("X-Cert", "mine")
	wantProof(t, "proxy says so", behindProxy.Check(r, "Bearer", boundToken, cnf), "")
}

// TestBindingUsesNoProofUp: a request that is refused for its certificate can
// be sent again with the right one.
func TestBindingUsesNoProofUp(t *testing.T) {
	t.Parallel()
	s, cert := signerFor("ES256"), certificate(t, "mine")
	b := auth.Binding{DPoP: newDPoP(t, auth.DPoPConfig{})}
	cnf := json.RawMessage(`{"jkt":"` + s.jkt(t) + `","x5t#S256":"` + x5t(cert) + `"}`)
	r := withProofs(s.proof(t, nil, nil))
	wantProof(t, "no certificate", b.Check(r, "DPoP", boundToken, cnf), auth.ReasonBinding)
	r.TLS.PeerCertificates = []*x509.Certificate{cert}
	wantProof(t, "certificate", b.Check(r, "DPoP", boundToken, cnf), "")
}

// boundTokens is an Authenticator of one token, which is bound by cnf.
type boundTokens struct {
	binding auth.Binding
	cnf     json.RawMessage
}

func (a boundTokens) Authenticate(r *http.Request) (*principal.Principal, error) {
	scheme, token, err := auth.BearerToken(r)
	if err != nil {
		return nil, err
	}
	if err := a.binding.Check(r, scheme, token, a.cnf); err != nil {
		return nil, err
	}
	return &principal.Principal{Issuer: issuerURL, Subject: "alice", Scheme: scheme}, nil
}

func (a boundTokens) Challenges(err error) []string { return a.binding.Challenges(err) }

// TestBindingBehindGate: over TLS, with a certificate that the client holds the
// key of, and a proof.
func TestBindingBehindGate(t *testing.T) {
	t.Parallel()
	s := signerFor("ES256")
	cert := certificate(t, "client")
	var d *auth.DPoP
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		newGate(t, auth.Config{Authenticators: []auth.Authenticator{boundTokens{
			auth.Binding{DPoP: d}, json.RawMessage(`{"jkt":"` + s.jkt(t) + `","x5t#S256":"` + x5t(cert) + `"}`),
		}}}).Handler(whoami).ServeHTTP(w, r)
	}))
	srv.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS13}
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	d = newDPoP(t, auth.DPoPConfig{}) // the name is that of the server's socket
	client := srv.Client()
	transport, ok := client.Transport.(*http.Transport)
	if !ok {
		t.Fatal("no Transport")
	}
	send := func(authorization, proof string, certs ...tls.Certificate) (int, string) {
		transport.CloseIdleConnections()
		transport.TLSClientConfig.Certificates = certs
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/orders?page=2", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", authorization)
		if proof != "" {
			r.Header.Set("DPoP", proof)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		return resp.StatusCode, resp.Header.Get("WWW-Authenticate")
	}
	mine := tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: edKey}
	proof := func() string { return s.proof(t, nil, object{"htu": srv.URL + "/orders"}) }
	used := proof()
	for _, tt := range []struct {
		name, authorization, proof string
		certs                      []tls.Certificate
		status                     int
		challenge                  string
	}{
		{"all there", "DPoP " + boundToken, used, []tls.Certificate{mine}, 200, ""},
		{"again", "DPoP " + boundToken, used, []tls.Certificate{mine}, 401, `error="invalid_dpop_proof"`},
		{"another proof", "dpop " + boundToken, proof(), []tls.Certificate{mine}, 200, ""},
		{"no proof", "DPoP " + boundToken, "", []tls.Certificate{mine}, 401, `error="invalid_dpop_proof"`},
		{"no certificate", "DPoP " + boundToken, proof(), nil, 401, `error="invalid_token"`},
		{"as Bearer", "Bearer " + boundToken, proof(), []tls.Certificate{mine}, 401, `error="invalid_token"`},
		{"another token", "DPoP x" + boundToken, proof(), []tls.Certificate{mine}, 401, `error="invalid_dpop_proof"`},
	} {
		status, challenge := send(tt.authorization, tt.proof, tt.certs...)
		if status != tt.status || !strings.Contains(challenge, tt.challenge) {
			t.Errorf("%s: %d %s, want %d with %q", tt.name, status, challenge, tt.status, tt.challenge)
		}
	}
}

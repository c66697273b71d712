package auth_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/authtest"
)

const orders = "https://api.example.com/orders"

// A bound is a service for tokens that are bound to keys and certificates.
type bound struct {
	*authtest.Issuer
	key  *authtest.ProofKey
	cert *x509.Certificate
	gate *auth.Gate
	why  string
}

func newBound(tb testing.TB, cfg auth.JWTConfig, dpop *auth.DPoPConfig) *bound {
	tb.Helper()
	issuer, err := authtest.NewIssuer(authtest.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(issuer.Close)
	if dpop != nil {
		if cfg.DPoP, err = auth.NewDPoP(*dpop); err != nil {
			tb.Fatal(err)
		}
	}
	cfg.Issuers = []auth.Issuer{{URL: issuer.URL(), Audience: []string{"api"}, Keys: auth.StaticJWKS(issuer.JWKS())}}
	j, err := auth.NewJWT(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	b := &bound{Issuer: issuer, key: authtest.NewProofKey("ES256"), cert: certificate(tb, "client")}
	b.gate = newGate(tb, auth.Config{Authenticators: []auth.Authenticator{j}, OnDecision: reasons(&b.why)})
	return b
}

// send sends a GET for the orders, with a client certificate if cert is set.
func (b *bound) send(header http.Header, cert *x509.Certificate) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, orders, http.NoBody)
	r.Header = header.Clone()
	if cert != nil {
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}
	}
	w := httptest.NewRecorder()
	b.gate.Handler(whoami).ServeHTTP(w, r)
	return w
}

// A bound token alone is worth nothing, however it comes; and where bound
// tokens are required no way around leads in.
func TestBoundTokens(t *testing.T) { //nolint:tparallel // the subtests share what the Gates said last
	t.Parallel()
	const cookie = "__Host-token"
	lax := newBound(t, auth.JWTConfig{Cookie: cookie}, &auth.DPoPConfig{})
	strict := newBound(t, auth.JWTConfig{Cookie: cookie}, &auth.DPoPConfig{Required: true})
	none := newBound(t, auth.JWTConfig{Cookie: cookie}, nil)
	type request func(b *bound) (http.Header, *x509.Certificate)
	bearer := func(b *bound, cnf map[string]any) http.Header {
		return http.Header{"Authorization": {"Bearer " + b.Token(claims("cnf", cnf))}}
	}
	proven := func(b *bound, cnf map[string]any) http.Header {
		token := b.Token(claims("cnf", cnf))
		return http.Header{"Authorization": {"DPoP " + token}, "Dpop": {b.key.Proof(http.MethodGet, orders, token, nil)}}
	}
	inCookie := func(b *bound, cnf map[string]any) http.Header {
		token := b.Token(claims("cnf", cnf))
		return http.Header{"Cookie": {cookie + "=" + token}, "Sec-Fetch-Site": {"same-origin"}, "Dpop": {b.key.Proof(http.MethodGet, orders, token, nil)}}
	}
	both := func(b *bound) map[string]any {
		return merge(b.key.Confirmation(), authtest.CertificateConfirmation(b.cert))
	}
	for _, tt := range []struct {
		name              string
		request           request
		lax, strict, none string
	}{
		{"unbound", func(b *bound) (http.Header, *x509.Certificate) { return bearer(b, nil), nil }, "admitted", auth.ReasonBinding, "admitted"},
		{"unbound in a cookie", func(b *bound) (http.Header, *x509.Certificate) { return inCookie(b, nil), nil }, "admitted", auth.ReasonBinding, "admitted"},
		{"unbound under DPoP", func(b *bound) (http.Header, *x509.Certificate) { return proven(b, nil), nil }, auth.ReasonBinding, auth.ReasonBinding, auth.ReasonScheme},
		{"bound, with its proof", func(b *bound) (http.Header, *x509.Certificate) { return proven(b, b.key.Confirmation()), nil }, "admitted", "admitted", auth.ReasonScheme},
		{"bound, as Bearer", func(b *bound) (http.Header, *x509.Certificate) { return bearer(b, b.key.Confirmation()), nil }, auth.ReasonBinding, auth.ReasonBinding, auth.ReasonBinding},
		{"bound, as Bearer with a proof", func(b *bound) (http.Header, *x509.Certificate) {
			h := proven(b, b.key.Confirmation())
			h["Authorization"][0] = "Bearer" + h["Authorization"][0][len("DPoP"):]
			return h, nil
		}, auth.ReasonBinding, auth.ReasonBinding, auth.ReasonBinding},
		{"bound, in a cookie with a proof", func(b *bound) (http.Header, *x509.Certificate) { return inCookie(b, b.key.Confirmation()), nil }, auth.ReasonBinding, auth.ReasonBinding, auth.ReasonBinding},
		{"bound, without a proof", func(b *bound) (http.Header, *x509.Certificate) {
			h := proven(b, b.key.Confirmation())
			delete(h, "Dpop")
			return h, nil
		}, auth.ReasonProof, auth.ReasonProof, auth.ReasonScheme},
		{"to a certificate", func(b *bound) (http.Header, *x509.Certificate) {
			return bearer(b, authtest.CertificateConfirmation(b.cert)), b.cert
		}, "admitted", "admitted", "admitted"},
		{"to a certificate, without one", func(b *bound) (http.Header, *x509.Certificate) {
			return bearer(b, authtest.CertificateConfirmation(b.cert)), nil
		}, auth.ReasonBinding, auth.ReasonBinding, auth.ReasonBinding},
		{"to a certificate, with another", func(b *bound) (http.Header, *x509.Certificate) {
			return bearer(b, authtest.CertificateConfirmation(b.cert)), certificate(t, "other")
		}, auth.ReasonBinding, auth.ReasonBinding, auth.ReasonBinding},
		{"to both", func(b *bound) (http.Header, *x509.Certificate) { return proven(b, both(b)), b.cert }, "admitted", "admitted", auth.ReasonScheme},
		{"to both, with the proof alone", func(b *bound) (http.Header, *x509.Certificate) { return proven(b, both(b)), nil }, auth.ReasonBinding, auth.ReasonBinding, auth.ReasonScheme},
		{"to a certificate, in a cookie", func(b *bound) (http.Header, *x509.Certificate) {
			return inCookie(b, authtest.CertificateConfirmation(b.cert)), b.cert
		}, auth.ReasonBinding, auth.ReasonBinding, auth.ReasonBinding},
		{"to something new", func(b *bound) (http.Header, *x509.Certificate) {
			return proven(b, merge(b.key.Confirmation(), map[string]any{"new": "x"})), b.cert
		}, auth.ReasonBinding, auth.ReasonBinding, auth.ReasonScheme},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for b, want := range map[*bound]string{lax: tt.lax, strict: tt.strict, none: tt.none} {
				header, cert := tt.request(b)
				w := b.send(header, cert)
				if status := map[bool]int{true: 200, false: 401}[want == "admitted"]; w.Code != status || b.why != want {
					t.Errorf("DPoP %t, required %t: status %d, reason %q, want %d, %q", b != none, b == strict, w.Code, b.why, status, want)
				}
			}
		})
	}
}

func claims(name string, value map[string]any) map[string]any {
	if value == nil {
		return nil
	}
	return map[string]any{name: value}
}

func merge(a, b map[string]any) map[string]any {
	return object(a).with(b)
}

// A principal says how its caller proved itself.
func TestSchemeOfBoundTokens(t *testing.T) {
	t.Parallel()
	b := newBound(t, auth.JWTConfig{}, &auth.DPoPConfig{})
	token := b.Token(map[string]any{"cnf": b.key.Confirmation()})
	r := httptest.NewRequest(http.MethodGet, orders, http.NoBody)
	r.Header.Set("Authorization", "dpop "+token)
	r.Header.Set("DPoP", b.key.Proof(http.MethodGet, orders, token, nil))
	if p, err := b.gate.Authenticate(r); err != nil || p.Scheme != "DPoP" {
		t.Errorf("Authenticate = %+v, %v, want scheme DPoP", p, err)
	}
	r = httptest.NewRequest(http.MethodGet, orders, http.NoBody)
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{b.cert}}
	r.Header.Set("Authorization", "Bearer "+b.Token(map[string]any{"cnf": authtest.CertificateConfirmation(b.cert)}))
	if p, err := b.gate.Authenticate(r); err != nil || p.Scheme != "Bearer" {
		t.Errorf("Authenticate = %+v, %v, want scheme Bearer", p, err)
	}
}

// The client's certificate may come from a proxy, if somebody says how.
func TestClientCert(t *testing.T) {
	t.Parallel()
	var passedOn *x509.Certificate
	b := newBound(t, auth.JWTConfig{ClientCert: func(*http.Request) *x509.Certificate { return passedOn }}, nil)
	header := http.Header{"Authorization": {"Bearer " + b.Token(map[string]any{"cnf": authtest.CertificateConfirmation(b.cert)})}}
	if w := b.send(header, b.cert); w.Code != http.StatusUnauthorized {
		t.Errorf("the connection's certificate: status = %d, want 401: it is the proxy's", w.Code)
	}
	passedOn = b.cert
	if w := b.send(header, nil); w.Code != http.StatusOK {
		t.Errorf("the one that was passed on: status = %d, want 200", w.Code)
	}
}

// RFC 9449 section 8: a client learns the nonce from a refusal, and the next
// one from an answer.
func TestNonces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBound(t, auth.JWTConfig{}, &auth.DPoPConfig{RequireNonce: true, Algorithms: []string{"ES256"}})
		send := func(nonce any) *httptest.ResponseRecorder {
			token := b.Token(map[string]any{"cnf": b.key.Confirmation()})
			proof := b.key.Proof(http.MethodGet, orders, token, map[string]any{"nonce": nonce})
			return b.send(http.Header{"Authorization": {"DPoP " + token}, "Dpop": {proof}}, nil)
		}
		w := send(nil)
		nonce := w.Header().Get("DPoP-Nonce")
		if got := w.Header().Values("WWW-Authenticate"); w.Code != http.StatusUnauthorized || nonce == "" || !slices.Equal(got, []string{`DPoP error="use_dpop_nonce", algs="ES256"`}) {
			t.Fatalf("without a nonce: status = %d, %v", w.Code, w.Header())
		}
		if w := send(nonce); w.Code != http.StatusOK || w.Header().Get("DPoP-Nonce") != "" {
			t.Errorf("with it: status = %d, %v", w.Code, w.Header())
		}
		time.Sleep(3 * time.Minute)
		w = send(nonce)
		next := w.Header().Get("DPoP-Nonce")
		if w.Code != http.StatusOK || next == "" || next == nonce {
			t.Errorf("after a while: status = %d, %v, want the next nonce", w.Code, w.Header())
		}
		time.Sleep(3 * time.Minute)
		if w := send(nonce); w.Code != http.StatusUnauthorized || b.why != auth.ReasonNonce || w.Header().Get("DPoP-Nonce") == "" {
			t.Errorf("too late: status = %d, reason %q, %v", w.Code, b.why, w.Header())
		}
		if w := send(next); w.Code != http.StatusOK {
			t.Errorf("with the next: status = %d", w.Code)
		}
	})
}

// What does not come with a request cannot prove anything.
func TestVerifyOfBoundTokens(t *testing.T) {
	t.Parallel()
	b := newBound(t, auth.JWTConfig{}, nil)
	d, err := auth.NewDPoP(auth.DPoPConfig{Required: true})
	if err != nil {
		t.Fatal(err)
	}
	issuer := auth.Issuer{URL: b.URL(), Audience: []string{"api"}, Keys: auth.StaticJWKS(b.JWKS())}
	strict, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{issuer}, DPoP: d})
	if err != nil {
		t.Fatal(err)
	}
	check(t, newJWT(t, issuer), b.Token(map[string]any{"cnf": b.key.Confirmation()}), auth.ReasonBinding)
	check(t, newJWT(t, issuer), b.Token(map[string]any{"cnf": authtest.CertificateConfirmation(b.cert)}), auth.ReasonBinding)
	check(t, strict, b.Token(nil), auth.ReasonBinding)
}

package authtest_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/authtest"
)

// publicKey is the first key of the issuer's JWKS, made by hand for ES256.
func publicKey(tb testing.TB, i *authtest.Issuer) *ecdsa.PublicKey {
	tb.Helper()
	set, _ := fetch(tb, i.Client(), i.JWKSURL())
	jwk := set["keys"].([]any)[0].(map[string]any)
	var point [2][]byte
	for n, name := range []string{"x", "y"} {
		var err error
		if point[n], err = base64.RawURLEncoding.DecodeString(jwk[name].(string)); err != nil {
			tb.Fatal(err)
		}
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, point[0], point[1]))
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// The client arrives at the issuer whatever its URL names, by TLS that holds
// against a strict client, and sees an address that fits the name.
func TestClientReachesTheIssuerByAnyName(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, authtest.Config{URL: "https://id.example.com/tenant"})
	for url, want := range map[string]struct {
		addr   string
		public bool
	}{
		"https://id.example.com/tenant/jwks":      {"93.184.215.14:443", true},
		"https://id.example.com:8443/tenant/jwks": {"93.184.215.14:8443", true},
		"https://another.test/tenant/jwks":        {"93.184.215.14:443", true},
		"http://id.example.com/tenant/jwks":       {"93.184.215.14:80", true},
		"https://127.0.0.1/tenant/jwks":           {"127.0.0.1:443", false},
		"https://169.254.169.254/tenant/jwks":     {"169.254.169.254:443", false},
		"https://[::1]:9443/tenant/jwks":          {"[::1]:9443", false},
		"https://localhost/tenant/jwks":           {"127.0.0.1:443", false},
	} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			var got string
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				GotConn: func(info httptrace.GotConnInfo) { got = info.Conn.RemoteAddr().String() },
			})
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			w, err := i.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = w.Body.Close() }()
			if w.StatusCode != http.StatusOK {
				t.Errorf("status = %d, want 200", w.StatusCode)
			}
			if (w.TLS != nil) != strings.HasPrefix(url, "https:") {
				t.Errorf("TLS = %v", w.TLS)
			}
			if got != want.addr {
				t.Errorf("RemoteAddr = %s, want %s", got, want.addr)
			}
			ap, err := netip.ParseAddrPort(got)
			if err != nil {
				t.Fatal(err)
			}
			if public := ap.Addr().IsGlobalUnicast() && !ap.Addr().IsPrivate(); public != want.public {
				t.Errorf("public = %v, want %v", public, want.public)
			}
		})
	}
}

func TestIssuerWithoutTLS(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, authtest.Config{URL: "http://127.0.0.1:8080"})
	doc, _ := fetch(t, i.Client(), "http://127.0.0.1:8080/.well-known/openid-configuration")
	if doc["issuer"] != "http://127.0.0.1:8080" {
		t.Errorf("issuer = %v", doc["issuer"])
	}
}

// Another client does not trust the certificates, and says so at once: neither
// end waits for the other.
func TestCertificatesAreOfTheIssuer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i, other := newIssuer(t, authtest.Config{}), newIssuer(t, authtest.Config{})
		transport := other.Client().Transport.(*http.Transport).Clone()
		transport.DialContext = i.Client().Transport.(*http.Transport).DialContext
		defer transport.CloseIdleConnections()
		start := time.Now()
		r, err := (&http.Client{Transport: transport}).Get(i.JWKSURL())
		if err == nil {
			_ = r.Body.Close()
		}
		if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
			t.Errorf("Get by a client that trusts another issuer = %v, want a certificate error", err)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("it took %v, want no time", d)
		}
	})
}

func TestClose(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, authtest.Config{})
	arrived := make(chan struct{})
	i.Intercept(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(arrived)
			<-r.Context().Done()
		})
	})
	cut := make(chan error, 1)
	go func() {
		r, err := i.Client().Get(i.JWKSURL())
		if err == nil {
			_ = r.Body.Close()
		}
		cut <- err
	}()
	<-arrived
	i.Close()
	i.Close()
	if err := <-cut; err == nil {
		t.Error("a request survived Close")
	}
	r, err := i.Client().Get(i.JWKSURL())
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("Get after Close = %v, want connection refused", err)
	}
	if err == nil {
		_ = r.Body.Close()
	}
	if i.Token(nil) == "" {
		t.Error("the issuer does not sign after Close")
	}
}

func TestInterceptAndFetches(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, authtest.Config{})
	get := func(ctx context.Context, url string) (int, string, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		w, err := i.Client().Do(r)
		if err != nil {
			return 0, "", err
		}
		defer func() { _ = w.Body.Close() }()
		body, err := io.ReadAll(w.Body)
		return w.StatusCode, string(body), err
	}
	fetches := func(wantDiscovery, wantJWKS int) {
		t.Helper()
		if d, k := i.Fetches(); d != wantDiscovery || k != wantJWKS {
			t.Errorf("Fetches = %d, %d, want %d, %d", d, k, wantDiscovery, wantJWKS)
		}
	}
	discovery := i.URL() + "/.well-known/openid-configuration"
	_, _, _ = get(t.Context(), discovery)
	_, _, _ = get(t.Context(), i.JWKSURL())
	_, _, _ = get(t.Context(), i.URL()+"/other")
	fetches(1, 1)

	// Down, oversized, and passed on.
	i.Intercept(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Query().Get("be") {
			case "down":
				w.WriteHeader(http.StatusServiceUnavailable)
			case "large":
				_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
			case "cut":
				_, _ = io.WriteString(w, "{")
				panic(http.ErrAbortHandler)
			case "redirect":
				http.Redirect(w, r, "https://elsewhere.test/jwks", http.StatusFound)
			default:
				next.ServeHTTP(w, r)
			}
		})
	})
	if status, _, _ := get(t.Context(), i.JWKSURL()+"?be=down"); status != http.StatusServiceUnavailable {
		t.Errorf("status = %d, want 503", status)
	}
	fetches(1, 2)
	if _, body, _ := get(t.Context(), i.JWKSURL()+"?be=large"); len(body) != 1<<20 {
		t.Errorf("%d bytes arrived, want 1 MiB", len(body))
	}
	fetches(1, 3)
	if _, _, err := get(t.Context(), i.JWKSURL()+"?be=cut"); err == nil {
		t.Error("an answer that was cut off looks whole")
	}
	fetches(1, 3)
	if status, _, _ := get(t.Context(), i.JWKSURL()+"?be=redirect"); status != http.StatusOK {
		t.Errorf("status behind a redirect = %d, want 200", status)
	}
	fetches(1, 5)
	if status, _, _ := get(t.Context(), i.JWKSURL()); status != http.StatusOK {
		t.Errorf("status = %d, want 200", status)
	}

	i.Intercept(nil)
	if status, _, _ := get(t.Context(), i.JWKSURL()+"?be=down"); status != http.StatusOK {
		t.Errorf("status without an interceptor = %d, want 200", status)
	}
	fetches(1, 7)
}

// Nothing of the network keeps a bubble from ending or its clock from moving.
func TestBubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t, authtest.Config{MaxAge: time.Hour})
		start := time.Now()
		i.Intercept(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(3 * time.Second) // slow
				next.ServeHTTP(w, r)
			})
		})
		_, header := fetch(t, i.Client(), i.JWKSURL())
		if got := time.Since(start); got != 3*time.Second {
			t.Errorf("the fetch took %v of the bubble's time, want 3s", got)
		}
		if got := header.Get("Cache-Control"); got != "public, max-age=3600" {
			t.Errorf("Cache-Control = %q", got)
		}

		// Nobody waits for the answer: it is not one.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, i.JWKSURL(), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if w, err := i.Client().Do(r); err == nil {
			_ = w.Body.Close()
			t.Error("an answer came before its time")
		}
		time.Sleep(time.Minute)
		if _, n := i.Fetches(); n != 1 {
			t.Errorf("%d fetches, want 1", n)
		}

		token := i.Token(nil)
		j := verifier(t, i)
		if _, err := j.Verify(t.Context(), token); err != nil {
			t.Error(err)
		}
		time.Sleep(6 * time.Minute)
		if e, ok := errors.AsType[*auth.Error](second(j.Verify(t.Context(), token))); !ok || e.Reason != auth.ReasonExpired {
			t.Errorf("six minutes later: %v, want %s", e, auth.ReasonExpired)
		}
		time.Sleep(30 * 365 * 24 * time.Hour)
		i.Intercept(nil)
		if _, err := discoverer(t, i).Verify(t.Context(), i.Token(nil)); err != nil {
			t.Errorf("30 years later: %v", err)
		}
	})
}

func second[A, B any](_ A, b B) B { return b }

// Keys come and go while tokens are signed and the JWKS is read: no token is
// signed with a key that was not published before.
func TestRotateUnderLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t, authtest.Config{})
		done := make(chan struct{})
		var readers sync.WaitGroup
		for range 4 {
			readers.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
					}
					token := i.Token(nil)
					for _, j := range []*auth.JWT{verifier(t, i), discoverer(t, i)} {
						if _, err := j.Verify(t.Context(), token); err != nil {
							t.Errorf("Verify with the keys of a moment later = %v", err)
							return
						}
					}
					i.Fetches()
				}
			})
		}
		for n := range 20 {
			if got := i.Rotate(); got != i.KeyID() {
				t.Errorf("Rotate = %q, KeyID = %q", got, i.KeyID())
			}
			i.Intercept(func(next http.Handler) http.Handler { return next })
			if n == 10 {
				i.Broken()
			}
		}
		close(done)
		readers.Wait()
		set, _ := fetch(t, i.Client(), i.JWKSURL())
		if got := len(set["keys"].([]any)); got != 21 {
			t.Errorf("%d keys are published, want 21", got)
		}
	})
}

func TestRotateAndRetire(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, authtest.Config{})
	old := i.Token(nil)
	first := i.KeyID()
	next := i.Rotate()
	if first == next {
		t.Errorf("both keys are called %q", first)
	}
	both := verifier(t, i)
	for _, token := range []string{old, i.Token(nil)} {
		if _, err := both.Verify(t.Context(), token); err != nil {
			t.Errorf("Verify with both keys = %v", err)
		}
	}
	i.Retire(first)
	fresh := verifier(t, i)
	if e, ok := errors.AsType[*auth.Error](second(fresh.Verify(t.Context(), old))); !ok || e.Reason != auth.ReasonKey {
		t.Errorf("Verify of a token by a retired key = %v, want %s", e, auth.ReasonKey)
	}
	if _, err := fresh.Verify(t.Context(), i.Token(nil)); err != nil {
		t.Errorf("Verify = %v", err)
	}
	i.Retire(next) // goes on signing
	if i.KeyID() != next {
		t.Errorf("KeyID = %q, want %q", i.KeyID(), next)
	}
	if got := string(i.JWKS()); got != `{"keys":[]}` {
		t.Errorf("JWKS = %s, want none", got)
	}
	if third := i.Rotate(); third == first || third == next {
		t.Errorf("a kid is used again: %q", third)
	}
}

// The handler is the same, served by whom one likes.
func TestHandler(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, authtest.Config{})
	server := httptest.NewServer(i.Handler())
	defer server.Close()
	doc, _ := fetch(t, server.Client(), server.URL+"/jwks")
	if len(doc["keys"].([]any)) != 1 {
		t.Errorf("JWKS = %v", doc)
	}
	if _, n := i.Fetches(); n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
}

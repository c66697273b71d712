package mtls_test

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/auth/mtls"
)

func TestIsSPIFFE(t *testing.T) {
	t.Parallel()
	for _, id := range []string{
		billing, "spiffe://a/b", "spiffe://example.com/ns/prod/sa/billing", "spiffe://example.com/A-b_c.d/..e/...",
		"spiffe://1.2.3.4/x", "spiffe://a_b-c.d/x", "spiffe://-/x",
		"spiffe://" + strings.Repeat("a", 255) + "/b", "spiffe://a/" + strings.Repeat("b", 2048-11),
	} {
		if !mtls.IsSPIFFE(id) {
			t.Errorf("IsSPIFFE(%.80q) = false, want true", id)
		}
	}
	for _, id := range []string{
		"", "spiffe:", "spiffe://", "spiffe:///x", "spiffe://a", "spiffe://a/", "spiffe://a//", "spiffe://a//b", "spiffe://a/b/", "/spiffe://a/b",
		"Spiffe://a/b", "http://a/b", "spiffe:/a/b", " spiffe://a/b", "spiffe://a/b ", "spiffe://a/b\n", "spiffe://a/b\x00",
		"spiffe://A/b", "spiffe://a:1/b", "spiffe://u@a/b", "spiffe://@a/b", "spiffe://[::1]/b", "spiffe://é/b", "spiffe://a%62/b",
		"spiffe://a/.", "spiffe://a/..", "spiffe://a/b/../c", "spiffe://a/./b", "spiffe://a/b%2f", "spiffe://a/é", "spiffe://a/b?", "spiffe://a/b?c=d", "spiffe://a/b#", "spiffe://a/b#c",
		"spiffe://a/b c", `spiffe://a/b\c`, "spiffe://a/b:c", "spiffe://a/b@c", "spiffe://a/*",
		"spiffe://" + strings.Repeat("a", 256) + "/b", "spiffe://a/" + strings.Repeat("b", 2049-11),
	} {
		if mtls.IsSPIFFE(id) {
			t.Errorf("IsSPIFFE(%.80q) = true, want false", id)
		}
	}
}

// verified is a request over TLS that verified cert.
func verified(cert *x509.Certificate) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert}}}
	return r
}

// relative has the parts of a name in their order, several in one.
func relative(parts ...[]pkix.AttributeTypeAndValue) pkix.RDNSequence {
	seq := make(pkix.RDNSequence, 0, len(parts))
	for _, p := range parts {
		seq = append(seq, p)
	}
	return seq
}

func part(value any, id ...int) pkix.AttributeTypeAndValue {
	return pkix.AttributeTypeAndValue{Type: append(asn1.ObjectIdentifier{2, 5, 4}, id...), Value: value}
}

func TestIdentities(t *testing.T) {
	t.Parallel()
	root := newCA(t, "root", nil)
	pinned := root.issue(t)
	sum := sha256.Sum256(pinned.Leaf.Raw)
	pin := base64.RawURLEncoding.EncodeToString(sum[:])
	dns := func(names ...string) edit { return func(c *x509.Certificate) { c.DNSNames = names } }
	email := func(names ...string) edit { return func(c *x509.Certificate) { c.EmailAddresses = names } }
	subject := func(seq pkix.RDNSequence) edit {
		return func(c *x509.Certificate) {
			raw, err := asn1.Marshal(seq)
			if err != nil {
				t.Fatal(err)
			}
			c.RawSubject = raw
		}
	}
	type parts = []pkix.AttributeTypeAndValue
	const cn, o, ou = 3, 10, 11
	for _, tt := range []struct {
		name     string
		identify mtls.Identity
		listed   []string
		cert     *x509.Certificate
		want     string // the caller, or the reason
	}{
		{"DNS", mtls.DNS, []string{"billing.example.com"}, root.issue(t).Leaf, "billing.example.com"},
		{"DNS in upper case", mtls.DNS, []string{"billing.example.com"}, root.issue(t, dns("Billing.Example.COM")).Leaf, "billing.example.com"},
		{"DNS, second name", mtls.DNS, []string{"billing.example.com"}, root.issue(t, dns("a.example.com", "billing.example.com")).Leaf, "billing.example.com"},
		{"DNS, the same twice", mtls.DNS, []string{"a.example.com", "b.example.com"}, root.issue(t, dns("a.example.com", "A.example.com")).Leaf, "a.example.com"},
		{"DNS, two of the listed", mtls.DNS, []string{"a.example.com", "b.example.com"}, root.issue(t, dns("a.example.com", "b.example.com")).Leaf, "identity"},
		{"DNS, wildcard", mtls.DNS, []string{"billing.example.com"}, root.issue(t, dns("*.example.com")).Leaf, "unlisted"},
		{"DNS, a part", mtls.DNS, []string{"example.com"}, root.issue(t).Leaf, "unlisted"},
		{"DNS, dot at the end", mtls.DNS, []string{"billing.example.com"}, root.issue(t, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{rawNames(t, 2, "billing.example.com.")}
		}).Leaf, "unlisted"},
		{"DNS, NUL", mtls.DNS, []string{"billing.example.com"}, root.issue(t, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{rawNames(t, 2, "billing.example.com\x00.evil.example")}
		}).Leaf, "unlisted"},
		{"DNS, common name alone", mtls.DNS, []string{"billing.example.com"}, root.issue(t, dns(), func(c *x509.Certificate) { c.Subject.CommonName = "billing.example.com" }).Leaf, "identity"},
		{"DNS, in another kind of name", mtls.DNS, []string{"billing.example.com"}, root.issue(t, dns(), email("billing.example.com")).Leaf, "identity"},

		{"email", mtls.Email, []string{"billing@example.com"}, root.issue(t).Leaf, "billing@example.com"},
		{"email, domain in upper case", mtls.Email, []string{"billing@example.com"}, root.issue(t, email("billing@EXAMPLE.com")).Leaf, "billing@example.com"},
		{"email, name in upper case", mtls.Email, []string{"billing@example.com"}, root.issue(t, email("Billing@example.com")).Leaf, "unlisted"},
		{"email, two of the listed", mtls.Email, []string{"a@b", "c@d"}, root.issue(t, email("a@b", "c@d")).Leaf, "identity"},
		{"email, none", mtls.Email, []string{"billing@example.com"}, root.issue(t, email()).Leaf, "identity"},
		{"email, in the subject", mtls.Email, []string{"a@b"}, root.issue(t, email(), subject(relative(parts{{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, Value: "a@b"}}))).Leaf, "identity"},

		{"subject", mtls.Subject, []string{"CN=billing,O=Example"}, root.issue(t).Leaf, "CN=billing,O=Example"},
		{"subject, another part", mtls.Subject, []string{"CN=billing,O=Example"}, root.issue(t, func(c *x509.Certificate) { c.Subject.Country = []string{"DE"} }).Leaf, "unlisted"},
		{"subject, another order", mtls.Subject, []string{"CN=billing,O=Example"}, root.issue(t, subject(relative(parts{part("billing", cn)}, parts{part("Example", o)}))).Leaf, "unlisted"},
		{"subject, one part of several", mtls.Subject, []string{"CN=billing,O=Example"}, root.issue(t, subject(relative(parts{part("Example", o), part("billing", cn)}))).Leaf, "unlisted"},
		{"subject, several parts", mtls.Subject, []string{"CN=billing,O=Example"}, root.issue(t, subject(relative(parts{part("Example", o)}, parts{part("billing", cn)}))).Leaf, "CN=billing,O=Example"},
		{"subject, a comma in the name", mtls.Subject, []string{"CN=billing,O=Example"}, root.issue(t, subject(relative(parts{part("billing,O=Example", cn)}))).Leaf, "unlisted"},
		{"subject, a comma in a part", mtls.Subject, []string{`CN=billing,O=Example\, Inc.`}, root.issue(t, subject(relative(parts{part("Example, Inc.", o)}, parts{part("billing", cn)}))).Leaf, `CN=billing,O=Example\, Inc.`},
		{"subject, in another case", mtls.Subject, []string{"CN=billing,O=Example"}, root.issue(t, func(c *x509.Certificate) { c.Subject.CommonName = "Billing" }).Leaf, "unlisted"},
		{"subject, common name alone", mtls.Subject, []string{"CN=billing,O=Example"}, root.issue(t, func(c *x509.Certificate) { c.Subject.Organization = nil }).Leaf, "unlisted"},
		{"subject, empty", mtls.Subject, []string{"CN=billing,O=Example"}, root.issue(t, subject(relative())).Leaf, "identity"},

		{"thumbprint", mtls.Thumbprint, []string{pin}, pinned.Leaf, pin},
		{"thumbprint of another", mtls.Thumbprint, []string{pin}, root.issue(t).Leaf, "unlisted"},
		{"SPIFFE", mtls.SPIFFE, []string{billing}, pinned.Leaf, billing},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			callers := make(map[string]mtls.Caller)
			for _, name := range tt.listed {
				callers[name] = mtls.Caller{}
			}
			p, err := newMTLS(t, mtls.Config{Identify: tt.identify, Callers: callers}).Authenticate(verified(tt.cert))
			got := reason(err)
			if err == nil {
				got = p.Subject
			}
			if got != tt.want {
				t.Errorf("got %q, want %q (%v)", got, tt.want, err)
			}
			if names, err := tt.identify.Of(tt.cert); slices.Contains(tt.listed, tt.want) && !slices.Contains(names, tt.want) {
				t.Errorf("Of = %q, %v, want %q among them", names, err, tt.want)
			}
		})
	}
}

// A pinned certificate that signed itself is believed if it is in the pool.
func TestSelfSigned(t *testing.T) {
	t.Parallel()
	self, other := (*authority)(nil).issue(t), (*authority)(nil).issue(t)
	pool := x509.NewCertPool()
	pool.AddCert(self.Leaf)
	callers := make(map[string]mtls.Caller)
	for _, c := range []*tls.Certificate{self, other} {
		names, err := mtls.Thumbprint.Of(c.Leaf)
		if err != nil {
			t.Fatal(err)
		}
		callers[names[0]] = mtls.Caller{}
	}
	a := newMTLS(t, mtls.Config{Identify: mtls.Thumbprint, Callers: callers, Roots: pool})
	srv := newServer(t, handler(t, a), tls.RequireAnyClientCert, nil)
	if status, got := get(t, clientWith(t, srv, self), srv.URL, nil); status != 200 {
		t.Errorf("got %d %q, want 200", status, got)
	}
	// Listed, but not believed.
	if status, got := get(t, clientWith(t, srv, other), srv.URL, nil); status != 401 || got != mtls.ReasonChain {
		t.Errorf("got %d %q, want 401 %q", status, got, mtls.ReasonChain)
	}
}

func TestIdentityString(t *testing.T) {
	t.Parallel()
	for i, want := range map[mtls.Identity]string{
		mtls.SPIFFE: "SPIFFE ID", mtls.DNS: "DNS name", mtls.Email: "email address", mtls.Subject: "subject",
		mtls.Thumbprint: "thumbprint", 0: "Identity(0)", 9: "Identity(9)",
	} {
		if got := i.String(); got != want {
			t.Errorf("String = %q, want %q", got, want)
		}
	}
	for _, i := range []mtls.Identity{0, 9} {
		if names, err := i.Of(newCA(t, "a", nil).issue(t).Leaf); err == nil {
			t.Errorf("%v.Of = %q, want an error", i, names)
		}
	}
}

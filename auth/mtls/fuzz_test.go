package mtls_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/auth/mtls"
)

var (
	spiffeID  = regexp.MustCompile(`\Aspiffe://[a-z0-9._-]{1,255}(/[A-Za-z0-9._-]+)+\z`)
	dotInPath = regexp.MustCompile(`/\.\.?(/|\z)`)
)

// FuzzSPIFFE: an ID is one if the grammar of the standard says so, and then it
// has one reading: what net/url reads is what stands there.
func FuzzSPIFFE(f *testing.F) {
	for _, id := range []string{
		billing, "spiffe://a/b/", "spiffe://a/./b", "spiffe://A/b", "spiffe://a:1/b", "spiffe://u@a/b", "spiffe://a/b?c#d", "spiffe://a/%62",
		"SPIFFE://a/b", "spiffe://a", "spiffe:///b", "spiffe://a//b", "spiffe://a/b\n", "spiffe://\xff/b", "spiffe://./b", strings.Repeat(billing, 100),
	} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		got := mtls.IsSPIFFE(id)
		if want := len(id) <= 2048 && spiffeID.MatchString(id) && !dotInPath.MatchString(strings.TrimPrefix(id, "spiffe://")); got != want {
			t.Fatalf("IsSPIFFE(%q) = %t, want %t", id, got, want)
		}
		if !got {
			return
		}
		u, err := url.Parse(id)
		if err != nil {
			t.Fatalf("net/url cannot read %q: %v", id, err)
		}
		if read := "spiffe://" + u.Host + u.Path; read != id || u.JoinPath().String() != id || u.User != nil || u.Port() != "" {
			t.Errorf("net/url reads %q as %q", id, read)
		}
		if _, err := mtls.New(mtls.Config{Issuer: "a", Identify: mtls.SPIFFE, Callers: map[string]mtls.Caller{id: {}}}); err != nil {
			t.Errorf("cannot be listed: %v", err)
		}
	})
}

// FuzzCertificate: the name of a certificate is the one URI that stands in it,
// byte by byte, and only if that is a SPIFFE ID.
func FuzzCertificate(f *testing.F) {
	root := newCA(f, "root", nil)
	f.Add(billing, "", "billing")
	f.Add(billing, billing, "billing")
	f.Add(billing+"#", "", billing)
	f.Add("SPIFFE://example.com/billing", "", "")
	f.Add("https://example.com/", billing, "")
	f.Add("", "", billing)
	f.Fuzz(func(t *testing.T, first, second, commonName string) {
		uris := []string{first}
		if second != "" {
			uris = append(uris, second)
		}
		template := clientTemplate(func(c *x509.Certificate) {
			c.Subject.CommonName = commonName
			c.ExtraExtensions = []pkix.Extension{rawSAN(t, uris...)}
		})
		cert := tryToSign(template, root)
		if cert == nil {
			return // x509 does not read it either
		}
		names, err := mtls.SPIFFE.Of(cert)
		if want := second == "" && mtls.IsSPIFFE(first); (err == nil) != want {
			t.Fatalf("Of %q = %q, %v, want a name: %t", uris, names, err, want)
		}
		if err == nil && (len(names) != 1 || names[0] != first) {
			t.Errorf("Of %q = %q", uris, names)
		}
	})
}

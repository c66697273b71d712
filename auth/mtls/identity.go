package mtls

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// An Identity says what in a certificate is its owner's name. There is none for
// the common name, in which a CA may let stand anything.
type Identity uint8

// The identities, with their name in RFC 8705 section 2.1.2.
const (
	_ Identity = iota

	// SPIFFE is the one URI among the certificate's alternative names, which
	// must be a SPIFFE ID with a path: "spiffe://example.com/billing"
	// (tls_client_auth_san_uri).
	SPIFFE

	// DNS is a DNS name among the alternative names, in lower case:
	// "billing.example.com" (tls_client_auth_san_dns). Wildcards name nobody.
	DNS

	// Email is an address among the alternative names, its domain in lower
	// case: "billing@example.com" (tls_client_auth_san_email).
	Email

	// Subject is the whole distinguished name, as RFC 4514 writes it:
	// "CN=billing,O=Example,C=DE" (tls_client_auth_subject_dn). One that has
	// nothing but a common name cannot be listed.
	Subject

	// Thumbprint is the certificate itself: the SHA-256 of it in base64url
	// (RFC 8705 section 3.1, x5t#S256). It must be verified all the same. One
	// that signed itself belongs into the pool of CAs, but must not be a CA's:
	// openssl req -x509 makes it one unless told basicConstraints=CA:FALSE.
	Thumbprint
)

// String returns the kind of name.
func (i Identity) String() string {
	switch i {
	case SPIFFE:
		return "SPIFFE ID"
	case DNS:
		return "DNS name"
	case Email:
		return "email address"
	case Subject:
		return "subject"
	case Thumbprint:
		return "thumbprint"
	}
	return fmt.Sprintf("Identity(%d)", uint8(i))
}

// Of returns the names that cert has, in the form that [Config.Callers] wants.
// There is at least one if the error is nil. It verifies nothing.
func (i Identity) Of(cert *x509.Certificate) ([]string, error) {
	var names []string
	switch i {
	case SPIFFE:
		id, err := spiffeID(cert)
		if err != nil {
			return nil, err
		}
		return []string{id}, nil
	case DNS:
		for _, name := range cert.DNSNames {
			names = append(names, strings.ToLower(name))
		}
	case Email:
		for _, address := range cert.EmailAddresses {
			at := strings.LastIndexByte(address, '@') + 1 // RFC 5280 section 7.5
			names = append(names, address[:at]+strings.ToLower(address[at:]))
		}
	case Subject:
		dn, err := distinguishedName(cert)
		if err != nil {
			return nil, err
		}
		return []string{dn}, nil
	case Thumbprint:
		return []string{thumbprint(cert)}, nil
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no %v in the certificate", i)
	}
	return names, nil
}

// fault tells what a listed name should be; "" if it is.
func (i Identity) fault(name string) string {
	switch i {
	case SPIFFE:
		if !isSPIFFE(name) {
			return "spiffe://trust-domain/path"
		}
	case DNS:
		if !isHostname(name) {
			return "a host's full name in lower case, without a wildcard"
		}
	case Email:
		local, domain, _ := strings.Cut(name, "@")
		if local == "" || !isHostname(domain) || strings.ContainsFunc(local, func(c rune) bool { return c <= ' ' || c > '~' }) {
			return "local@domain, the domain in lower case"
		}
	case Subject:
		return subjectFault(name)
	case Thumbprint:
		if sum, err := base64.RawURLEncoding.Strict().DecodeString(name); err != nil || len(sum) != sha256.Size || len(name) != 43 {
			return "the SHA-256 of a certificate in base64url, 43 characters"
		}
	}
	return ""
}

func thumbprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// spiffeID returns the name of an X.509-SVID, which has exactly one URI.
func spiffeID(cert *x509.Certificate) (string, error) {
	switch len(cert.URIs) {
	case 0:
		return "", errors.New("no SPIFFE ID in the certificate")
	case 1:
	default:
		return "", fmt.Errorf("%d URIs in the certificate, want exactly one", len(cert.URIs))
	}
	id, err := rawURI(cert)
	if err != nil {
		return "", err
	}
	if !isSPIFFE(id) {
		return "", errors.New("the URI is no SPIFFE ID with a path")
	}
	return id, nil
}

// rawURI returns the first URI of cert as it stands there: a [url.URL] no longer
// knows of the case of the scheme, nor of an empty fragment.
func rawURI(cert *x509.Certificate) (string, error) {
	const uniformResourceIdentifier = 6 // RFC 5280 section 4.2.1.6
	for _, e := range cert.Extensions {
		if !e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			continue
		}
		var names []asn1.RawValue
		if _, err := asn1.Unmarshal(e.Value, &names); err != nil {
			return "", errors.New("the alternative names cannot be read")
		}
		for _, n := range names {
			if n.Class == asn1.ClassContextSpecific && n.Tag == uniformResourceIdentifier {
				return string(n.Bytes), nil
			}
		}
	}
	return "", errors.New("no SPIFFE ID in the certificate")
}

// isSPIFFE reports whether id is the SPIFFE ID of a workload
// (SPIFFE-ID section 2).
func isSPIFFE(id string) bool {
	rest, ok := strings.CutPrefix(id, "spiffe://")
	if !ok || len(id) > 2048 {
		return false
	}
	domain, path, ok := strings.Cut(rest, "/")
	if !ok || domain == "" || len(domain) > 255 || strings.Trim(domain, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" {
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." || !isSegment(segment) {
			return false
		}
	}
	return true
}

func isSegment(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_'
	})
}

func isHostname(name string) bool {
	if len(name) > 253 || strings.ToLower(name) != name {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || !isSegment(label) {
			return false
		}
	}
	return true
}

// distinguishedName writes the subject as RFC 4514 does, from its bytes:
// [pkix.Name] no longer knows the order of its parts.
func distinguishedName(cert *x509.Certificate) (string, error) {
	var dn pkix.RDNSequence
	if _, err := asn1.Unmarshal(cert.RawSubject, &dn); err != nil {
		return "", errors.New("the subject cannot be read")
	}
	if len(dn) == 0 {
		return "", errors.New("the subject is empty")
	}
	return dn.String(), nil
}

// subjectFault tells what a listed subject should be; "" if it is.
func subjectFault(dn string) string {
	kind, _, ok := strings.Cut(dn, "=")
	if !ok || kind == "" || strings.ToUpper(kind) != kind || strings.ContainsAny(kind, " /") || !utf8.ValidString(dn) || strings.ContainsFunc(dn, unicode.IsControl) {
		return `what Subject.Of returns, such as "CN=billing,O=Example"`
	}
	commonName := []byte("CN=")
	more := kind != "CN"
	for b := []byte(dn); len(b) > 0; b = b[1:] {
		switch {
		case b[0] == '\\' && len(b) > 1:
			b = b[1:]
		case bytes.HasPrefix(b, []byte(", ")):
			return `what Subject.Of returns, such as "CN=billing,O=Example" (without a space behind the comma)`
		case b[0] == ',' || b[0] == '+':
			more = more || !bytes.HasPrefix(b[1:], commonName)
		}
	}
	if !more {
		return "more than a common name"
	}
	return ""
}

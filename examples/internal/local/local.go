// Package local is what the programs need to be tried on one machine: a
// certificate for localhost by an authority of their own, and a free port. A
// real service has its certificate from a real authority instead.
package local

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// A Host is this machine, as a server that its own clients trust.
type Host struct {
	Certificate tls.Certificate
	Roots       *x509.CertPool // for clients in Go
	CAFile      string         // for curl --cacert: all that goes to disk

	dir string
}

// NewHost makes an authority and a certificate by it. Call Close when done.
func NewHost(name string) (*Host, error) {
	certificate, ca, err := newCertificate(name)
	if err != nil {
		return nil, err
	}
	h := &Host{Certificate: certificate, Roots: x509.NewCertPool()}
	h.Roots.AppendCertsFromPEM(ca)
	if h.dir, err = os.MkdirTemp("", name+"-"); err != nil {
		return nil, err
	}
	h.CAFile = filepath.Join(h.dir, "ca.pem")
	if err := os.WriteFile(h.CAFile, ca, 0o600); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// Close removes CAFile.
func (h *Host) Close() error { return os.RemoveAll(h.dir) }

// newCertificate also returns the authority in PEM.
func newCertificate(name string) (tls.Certificate, []byte, error) {
	now := time.Now()
	authority := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name + " example CA"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(7 * 24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: "localhost"},
		NotBefore:    authority.NotBefore,
		NotAfter:     authority.NotAfter,
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	serverKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	authorityDER, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	serverDER, err := x509.CreateCertificate(rand.Reader, server, authority, serverKey.Public(), authorityKey)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authorityDER})
	return tls.Certificate{Certificate: [][]byte{serverDER}, PrivateKey: serverKey}, ca, nil
}

// Listen takes a free port where the wanted one is taken: what to try is
// printed with the port that it became.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err == nil || !errors.Is(err, syscall.EADDRINUSE) {
		return l, err
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	return lc.Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
}

// Port returns the port of a TCP listener.
func Port(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

package authtest

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"syscall"
	"time"
)

// A network leads every connection of its client to one server.
type network struct {
	client    *http.Client
	transport *http.Transport
	server    *http.Server
	served    sync.WaitGroup

	secure, plain *listener
	clearPort     string // of a URL without TLS; 80 is one anyway
}

func serve(issuer *url.URL, h http.Handler) (*network, error) {
	ca, err := newAuthority()
	if err != nil {
		return nil, err
	}
	n := &network{secure: newListener(), plain: newListener(), clearPort: "80"}
	if issuer.Scheme == "http" && issuer.Port() != "" {
		n.clearPort = issuer.Port()
	}
	n.transport = &http.Transport{
		DialContext:     n.dial,
		TLSClientConfig: &tls.Config{RootCAs: ca.pool(), MinVersion: tls.VersionTLS12},
	}
	n.client = &http.Client{Transport: n.transport}
	n.server = &http.Server{
		Handler:           h,
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	secure := tls.NewListener(n.secure, &tls.Config{GetCertificate: ca.certificate, MinVersion: tls.VersionTLS12})
	for _, l := range []net.Listener{secure, n.plain} {
		n.served.Go(func() { _ = n.server.Serve(l) }) // http.ErrServerClosed
	}
	return n, nil
}

func (n *network) close() {
	n.secure.shut()
	n.plain.shut()
	_ = n.server.Close()
	n.transport.CloseIdleConnections()
	n.served.Wait()
}

func (n *network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	l := n.secure
	if port == "80" || port == n.clearPort {
		l = n.plain
	}
	remote, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(addressOf(host).String(), port))
	if err != nil {
		return nil, err
	}
	here, there := pipe(clientAddr, remote)
	there.host = host
	select {
	case l.conns <- there:
		return here, nil
	case <-l.done:
		err = syscall.ECONNREFUSED
	case <-ctx.Done():
		err = ctx.Err()
	}
	return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: remote, Err: err}
}

// addressOf is what a name resolves to, as far as anybody can see: example.com's
// public address of long standing, to which nothing is sent.
func addressOf(host string) netip.Addr {
	if host == "localhost" {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr
	}
	return netip.AddrFrom4([4]byte{93, 184, 215, 14})
}

// clientAddr is whom a handler sees, as in a request of httptest.
var clientAddr = net.TCPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:1234")) //nolint:gochecknoglobals // immutable

// A listener accepts what is dialled in the same process.
type listener struct {
	conns chan *conn
	done  chan struct{}
	shut  func()
}

func newListener() *listener {
	l := &listener{conns: make(chan *conn), done: make(chan struct{})}
	l.shut = sync.OnceFunc(func() { close(l.done) })
	return l
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.shut()
	return nil
}

func (l *listener) Addr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(addressOf(""), 443))
}

// An authority certifies any host.
type authority struct {
	cert *x509.Certificate
	key  *keyPair // of the authority and of every certificate
}

func newAuthority() (*authority, error) {
	a := &authority{key: generate("ES256", "")}
	der, err := certify(&x509.Certificate{
		Subject: pkix.Name{CommonName: "authtest"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, a.key)
	if err != nil {
		return nil, err
	}
	a.cert, err = x509.ParseCertificate(der)
	return a, err
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

func (a *authority) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	host := hello.ServerName
	if c, ok := hello.Conn.(*conn); ok && host == "" { // an IP address
		host = c.host
	}
	template := &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := certify(template, a.cert, a.key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.key.private()}, nil
}

// certify returns the certificate of the key, by parent or by itself. It is
// valid at any time, as bubbles of synctest begin in the year 2000.
func certify(template, parent *x509.Certificate, key *keyPair) ([]byte, error) {
	template.SerialNumber = big.NewInt(1)
	template.NotBefore = time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)
	template.NotAfter = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.public, key.private())
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return der, nil
}

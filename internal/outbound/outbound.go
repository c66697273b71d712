// Package outbound is the one way in which package auth asks other servers:
// for keys, for an issuer's metadata, about a token.
//
// What is asked is in part what others wrote: a metadata document names the
// URL of its keys, DNS says where a name leads. A [Client] therefore holds the
// address of each connection against the networks that are not public when the
// connection is made, after the name was resolved, so that no name that changes
// its address in between leads inside (server-side request forgery, CWE-918).
// It speaks TLS 1.2 or better, follows at most three redirects and those to the
// same origin, keeps no cookies, and reads bounded answers in bounded time.
//
// It cannot know a NAT64 gateway with a prefix of the network's own (RFC 6052
// section 2.2), nor what a proxy does: with a Proxy in the user's Transport it
// is the proxy's address that is checked.
package outbound

//lint:file-ignore SA1019 users may still set Dial and DialTLS

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/report"
)

const (
	defaultTimeout  = 5 * time.Second
	maxTimeout      = time.Minute
	defaultMaxBytes = 1 << 20
	maxMaxBytes     = 64 << 20
	maxHeaderBytes  = 64 << 10
	defaultMaxConns = 4
	maxMaxConns     = 256
	maxRedirects    = 3
)

// Config configures a [Client]. Its zero value is the strictest.
type Config struct {
	_ [0]func() // keyed literals only

	// Client brings a Transport, nil or an *http.Transport; nothing else of it
	// is used. The Transport is cloned. Its own dial functions are called, and
	// the connections that they return are checked before anything of a request
	// is sent; DialTLS and DialTLSContext have shaken hands by then.
	Client *http.Client

	// AllowPrivate are networks that may be reached although they are not
	// public.
	AllowPrivate []netip.Prefix

	// InsecureAllowLoopback admits loopback addresses, and plain HTTP to them.
	InsecureAllowLoopback bool

	// Timeout limits the whole exchange. If zero, it is 5 s; at most 1 min.
	Timeout time.Duration

	// MaxBytes limits a body, after decompression. If zero, it is 1 MiB; at
	// most 64 MiB.
	MaxBytes int64

	// MaxConns limits the connections to one host. If zero, it is 4; at most
	// 256.
	MaxConns int
}

// A Client asks other servers. It is safe for concurrent use.
type Client struct {
	http     *http.Client
	dialer   *net.Dialer
	allow    []netip.Prefix
	loopback bool
	timeout  time.Duration
	maxBytes int64
}

// New returns a Client that behaves in accordance with cfg. The error, if any,
// joins every mistake found in cfg, without a package's name before it: see
// [Faults]. Call Close when done.
func New(cfg Config) (*Client, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	c := &Client{
		loopback: cfg.InsecureAllowLoopback,
		timeout:  cmp.Or(cfg.Timeout, defaultTimeout),
		maxBytes: cmp.Or(cfg.MaxBytes, defaultMaxBytes),
	}
	if cfg.Timeout < 0 || cfg.Timeout > maxTimeout {
		bad("Timeout is %v, want 0 to %v", cfg.Timeout, maxTimeout)
	}
	if cfg.MaxBytes < 0 || cfg.MaxBytes > maxMaxBytes {
		bad("MaxBytes is %d, want 0 to %d", cfg.MaxBytes, maxMaxBytes)
	}
	if cfg.MaxConns < 0 || cfg.MaxConns > maxMaxConns {
		bad("MaxConns is %d, want 0 to %d", cfg.MaxConns, maxMaxConns)
	}
	for i, p := range cfg.AllowPrivate {
		if !p.IsValid() || p.Addr().Is4In6() || p != p.Masked() {
			bad("AllowPrivate[%d] is %v, want a network such as 10.0.0.0/8", i, p)
		}
		c.allow = append(c.allow, p)
	}
	transport := new(http.Transport)
	if cfg.Client != nil && cfg.Client.Transport != nil {
		t, ok := cfg.Client.Transport.(*http.Transport)
		switch {
		case !ok:
			bad("HTTPClient.Transport is a %T, want nil or an *http.Transport, whose connections can be checked", cfg.Client.Transport)
		case t == nil:
			bad("HTTPClient.Transport is a nil *http.Transport, want nil or one that is not")
		case t.TLSClientConfig != nil && t.TLSClientConfig.InsecureSkipVerify && t.TLSClientConfig.VerifyConnection == nil:
			bad("HTTPClient.Transport.TLSClientConfig.InsecureSkipVerify is true, want RootCAs with the server's authority")
		default:
			transport = t.Clone()
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	c.dialer = &net.Dialer{Timeout: c.timeout}
	c.harden(transport, cmp.Or(cfg.MaxConns, defaultMaxConns))
	c.http = &http.Client{Transport: transport, CheckRedirect: c.checkRedirect}
	return c, nil
}

// Faults are the errors that New joined, for callers that put their name before
// each.
func Faults(err error) []error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// harden makes every connection of t pass the check, and bounds what a server
// can make us hold.
func (c *Client) harden(t *http.Transport, maxConns int) {
	switch dial := t.Dial; { //nolint:staticcheck // users may still set it
	case t.DialContext != nil:
		t.DialContext = c.checked(t.DialContext)
	case dial != nil:
		t.DialContext = c.checked(func(_ context.Context, network, address string) (net.Conn, error) { return dial(network, address) })
	default:
		t.DialContext = c.dial
	}
	switch dial := t.DialTLS; { //nolint:staticcheck // users may still set it
	case t.DialTLSContext != nil:
		t.DialTLSContext = atLeastTLS12(c.checked(t.DialTLSContext))
	case dial != nil:
		t.DialTLSContext = atLeastTLS12(c.checked(func(_ context.Context, network, address string) (net.Conn, error) { return dial(network, address) }))
	}
	t.Dial, t.DialTLS = nil, nil //nolint:staticcheck // see above
	// net/http's own HTTP/2, unless the user switched it off with an empty map:
	// that of golang.org/x/net may hand out a connection of the user's Transport,
	// which was not checked, in place of ours.
	if len(t.TLSNextProto) > 0 {
		t.TLSNextProto = nil
	}
	t.ForceAttemptHTTP2 = true
	if proxy := t.Proxy; proxy != nil {
		t.Proxy = func(r *http.Request) (*url.URL, error) {
			if r.URL.Scheme == "http" { // in clear, to this machine: not over the network
				return nil, nil
			}
			return proxy(r)
		}
	}
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	t.TLSClientConfig.MinVersion = max(t.TLSClientConfig.MinVersion, tls.VersionTLS12)
	t.TLSHandshakeTimeout = bound(t.TLSHandshakeTimeout, c.timeout)
	t.ResponseHeaderTimeout = bound(t.ResponseHeaderTimeout, c.timeout)
	t.MaxResponseHeaderBytes = bound(t.MaxResponseHeaderBytes, maxHeaderBytes)
	t.MaxConnsPerHost = bound(t.MaxConnsPerHost, maxConns)
	t.MaxIdleConns = bound(t.MaxIdleConns, 2*maxConns)
	t.MaxIdleConnsPerHost = bound(t.MaxIdleConnsPerHost, maxConns)
	t.IdleConnTimeout = bound(t.IdleConnTimeout, 90*time.Second)
}

// bound takes a limit for most where none or a wider one is set.
func bound[T int | int64 | time.Duration](limit, most T) T {
	if limit <= 0 || limit > most {
		return most
	}
	return limit
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// dial connects to an address that may be reached.
func (c *Client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := *c.dialer
	host := hostOf(address)
	d.Control = func(_, resolved string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(resolved)
		if err != nil {
			return fail(ErrAddress, "the host's name leads to no IP address", err)
		}
		return c.checkAddr(host, ap.Addr())
	}
	return d.DialContext(ctx, network, address)
}

// checked returns dial without the connections that must not be made.
func (c *Client) checked(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if conn == nil {
			return nil, fail(ErrAddress, "the dialler returned no connection", nil)
		}
		if err := c.checkConn(address, conn); err != nil {
			_ = conn.Close() // nothing was sent
			return nil, err
		}
		return conn, nil
	}
}

// atLeastTLS12 returns dial without the connections of older versions, as far
// as they are of crypto/tls.
func atLeastTLS12(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if t, ok := conn.(*tls.Conn); ok {
			if err := t.HandshakeContext(ctx); err != nil {
				_ = conn.Close() // of no use
				return nil, err
			}
			if t.ConnectionState().Version < tls.VersionTLS12 {
				_ = conn.Close() // nothing of the request was sent
				return nil, fail(nil, "the server speaks a version of TLS older than 1.2", nil)
			}
		}
		return conn, nil
	}
}

// CheckURL reports why raw is not a URL that may be asked, as far as that can
// be known beforehand. Whether it may have a query is for the caller to say.
// The error's text stands behind the name of a field, and nothing of raw but
// its scheme and host is in it.
func (c *Client) CheckURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return fail(ErrURL, "is not a URL, want https://…", err)
	}
	return c.checkURL(u, raw)
}

func (c *Client) checkURL(u *url.URL, raw string) error {
	bad := func(format string, args ...any) error { return fail(ErrURL, report.Causef(format, args...), nil) }
	host := u.Hostname()
	switch {
	case u.Opaque != "" || host == "" || strings.HasSuffix(u.Host, ":"):
		return bad("is not an absolute URL, want https://…")
	case u.User != nil:
		return bad("holds a user or a password, want neither in a URL")
	case strings.Contains(raw, "#"):
		return bad("has a fragment, want none")
	case u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(host)):
		return bad("has the scheme %.16q, want https", u.Scheme)
	case u.Scheme == "http" && !c.loopback:
		return bad("has the scheme \"http\", want https, or InsecureAllowLoopback for tests")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return bad("has the port %.16q, want 1 to 65535", p)
		}
	}
	if strings.EqualFold(host, "localhost") && c.unreachable(loopback4) != "" && c.unreachable(netip.IPv6Loopback()) != "" {
		return bad("is on this machine, want InsecureAllowLoopback for tests")
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Zone() != "" {
			return bad("has an address with a zone, want none")
		}
		if what := c.unreachable(addr); what != "" {
			return bad("has the address %v, which is %s, want its network in AllowPrivate", addr, what)
		}
	} else if strings.ContainsFunc(host, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '.' && r != '_'
	}) {
		return bad("has a host that is no name of ASCII letters, digits, dots and hyphens")
	}
	return nil
}

// checkRedirect admits redirects of a GET within one origin.
func (c *Client) checkRedirect(r *http.Request, via []*http.Request) error {
	switch first := via[0]; {
	case first.Method != http.MethodGet:
		return fail(ErrRedirect, "the answer to a POST is a redirect, which is not followed", nil)
	case origin(r.URL) != origin(first.URL):
		return fail(ErrRedirect, "a redirect to another origin, which is not followed", nil)
	case len(via) > maxRedirects:
		return fail(ErrRedirect, report.Causef("more than %d redirects", maxRedirects), nil)
	}
	if err := c.checkURL(r.URL, r.URL.String()); err != nil {
		return fail(ErrRedirect, "a redirect to a URL that may not be asked", err)
	}
	return nil
}

func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

// A Response is an answer, read to its end.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Get asks for url. A Response comes with any status but that of a redirect
// that was followed.
func (c *Client) Get(ctx context.Context, url string, header http.Header) (*Response, error) {
	return c.do(ctx, http.MethodGet, url, nil, header)
}

// PostForm sends form to url.
func (c *Client) PostForm(ctx context.Context, url string, form url.Values, header http.Header) (*Response, error) {
	header = header.Clone()
	if header == nil {
		header = make(http.Header)
	}
	header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.do(ctx, http.MethodPost, url, []byte(form.Encode()), header)
}

func (c *Client) do(parent context.Context, method, rawURL string, body []byte, header http.Header) (*Response, error) {
	if err := c.CheckURL(rawURL); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(parent, c.timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, rawURL, bytes.NewReader(body))
	if err != nil {
		return nil, fail(ErrURL, "is not a URL that a request can be made for", err)
	}
	if header != nil {
		r.Header = header.Clone()
	}
	resp, err := c.http.Do(r)
	if err != nil {
		if resp != nil { // of the redirect that was refused; already closed
			_ = resp.Body.Close()
		}
		return nil, describe(parent, err)
	}
	defer func() { _ = resp.Body.Close() }() // was read, or is given up
	if resp.ContentLength > c.maxBytes {
		return nil, fail(ErrTooLarge, report.Causef("the answer is larger than %d bytes", c.maxBytes), nil)
	}
	read, err := io.ReadAll(io.LimitReader(resp.Body, c.maxBytes+1))
	if int64(len(read)) > c.maxBytes {
		return nil, fail(ErrTooLarge, report.Causef("the answer is larger than %d bytes", c.maxBytes), nil)
	}
	if err != nil {
		return nil, describe(parent, err)
	}
	return &Response{resp.StatusCode, resp.Header, read}, nil
}

// Close closes the connections that are idle.
func (c *Client) Close() { c.http.CloseIdleConnections() }

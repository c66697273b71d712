// Package tlsredirect answers the question: over what, and for which host?
//
// A [Redirector] lets requests through that came over TLS for one of the
// service's own hosts, and sends HSTS with their answers. Over plain HTTP it
// redirects browsers that come for a page and refuses everything else.
//
//	redirect, err := tlsredirect.New(tlsredirect.Config{Hosts: []string{"api.example.com"}})
//	…
//	handler := redirect.Handler(mux)
//
// # What it protects against
//
// API calls over plain HTTP: redirecting them works, so nobody notices that
// credentials and bodies travel in clear with each call (OWASP ASVS 5.0
// 4.1.2). They are refused with 403, the connection is closed before the rest
// of the body is read, and [Config.OnPlaintext] learns which credentials to
// revoke. Hosts of other people: they get 421, and no redirect ever names
// them. Downgrades of browsers (HSTS). Clients that claim TLS: what counts is
// the connection, or the word of a proxy in [Config.Trust], never the scheme
// in a request's target. Replayed TLS early data behind such a proxy
// (RFC 8470).
//
// # What it does not
//
// A request that was refused has still been sent: only clients can keep
// secrets off plain HTTP. It manages no certificates, and it does not see what
// [net/http.Server] answers on its own, such as 400 to a request that is not
// HTTP.
//
// # Where it stands
//
// Inside clientip and audit, outside of everything that reads credentials.
//
// # Serving
//
// [Run] serves HTTPS, and plain HTTP beside it, until its context is done:
//
//	cert, err := tls.LoadX509KeyPair("cert.pem", "key.pem")
//	…
//	config := tlsredirect.TLSConfig(tlsredirect.Intermediate)
//	config.Certificates = []tls.Certificate{cert}
//	err = tlsredirect.Run(ctx, tlsredirect.Server{
//		Addr: ":443", TLS: config, Handler: trust.Handler(trail.Handler(redirect.Handler(mux))),
//		PlainAddr: ":80", PlainHandler: trust.Handler(trail.Handler(redirect.PlainHandler())),
//	})
//
// Behind a proxy that ends TLS, serve plain HTTP alone, with the proxy's
// addresses in [clientip.Config.Proxies] and the result in [Config.Trust]; it
// must set X-Forwarded-For and X-Forwarded-Proto:
//
//	err = tlsredirect.Run(ctx, tlsredirect.Server{
//		PlainAddr: ":8080", PlainHandler: trust.Handler(trail.Handler(redirect.Handler(mux))),
//	})
//
// With certificates by ACME, give the client's handler to [Config.ACME] (with
// autocert: m.HTTPHandler(nil)) and its GetCertificate to the configuration.
//
// # Testing behind it
//
// A request counts as TLS when its TLS field is set, and
// [net/http/httptest.NewRequest] sets that, and the host, for an https URL:
//
//	r := httptest.NewRequest(http.MethodGet, "https://api.example.com/orders", nil)
//
// For tests with [net/http/httptest.NewTLSServer] add 127.0.0.1 to Hosts. To
// run a service without TLS on your own machine see
// [Config.InsecureAllowLoopback].
package tlsredirect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/internal/pass"
	"github.com/gatehouse-go/gatehouse/internal/report"
	"github.com/gatehouse-go/gatehouse/tlsredirect/clientip"
)

// Config configures a [Redirector]. Hosts is required; any other zero field
// means the strictest behaviour.
type Config struct {
	_ [0]func() // keyed literals only

	// Hosts are the names and addresses that the service answers for:
	// "api.example.com", "192.0.2.1", "::1", or "*.example.com" for the names
	// one label below example.com. Case, port and trailing dot of a request's
	// host do not matter.
	Hosts []string

	// HTTPSPort is the port that redirects lead to. If zero, it is 443.
	HTTPSPort int

	// Plaintext is what becomes of requests over plain HTTP.
	Plaintext Plaintext

	// HSTS is the Strict-Transport-Security header. If zero, it is
	// "max-age=63072000; includeSubDomains".
	HSTS HSTS

	// Trust knows the proxies that may say, by X-Forwarded-Proto, that a
	// client used TLS. If nil, only TLS connections to this process count.
	Trust *clientip.Trust

	// Health are paths that GET and HEAD without credentials reach over plain
	// HTTP and with any Host, as load balancers ask for them. A path is exact.
	// PlainHandler answers them all with 200, so none should be one that tells
	// whether the service is ready.
	Health []string

	// ACME answers http-01 challenges (RFC 8555 section 8.3) over plain HTTP.
	// If nil, these are requests like any other.
	ACME http.Handler

	// InsecureAllowLoopback lets plain HTTP through if it cannot have left the
	// machine: the other end and the Host are loopback, and nothing in the
	// request or in Trust says that a proxy is in between.
	InsecureAllowLoopback bool

	// OnPlaintext is called once for each request over plain HTTP that is
	// refused. It is the place to revoke the credentials that were sent.
	OnPlaintext func(r *http.Request, e PlaintextEvent)

	// OnDecision is called with each decision, also without an audit trail.
	OnDecision func(ctx context.Context, d decision.Decision)

	// ErrorHandler answers refused requests; err is an *Error. If nil, it is
	// WriteError.
	ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)

	// Logger is told of each refusal. If nil, nothing is logged.
	Logger *slog.Logger
}

// A Redirector tells requests over TLS from those over plain HTTP.
// It is immutable and safe for concurrent use.
type Redirector struct {
	hosts         *hosts
	port          string // ":8443", "" for 443
	plaintext     Plaintext
	hsts          string
	trust         *clientip.Trust
	health        map[string]struct{}
	acme          http.Handler
	allowLoopback bool
	onPlaintext   func(r *http.Request, e PlaintextEvent)
	onError       func(w http.ResponseWriter, r *http.Request, err error)
	report        *report.Reporter
}

// New returns a Redirector that behaves in accordance with cfg.
// The error, if any, joins every mistake found in cfg.
func New(cfg Config) (*Redirector, error) {
	hosts, errs := newHosts(cfg.Hosts)
	hsts, faults := cfg.HSTS.value()
	errs = append(errs, faults...)
	rd := &Redirector{
		hosts:         hosts,
		plaintext:     cfg.Plaintext,
		hsts:          hsts,
		trust:         cfg.Trust,
		health:        make(map[string]struct{}, len(cfg.Health)),
		acme:          cfg.ACME,
		allowLoopback: cfg.InsecureAllowLoopback,
		onPlaintext:   cfg.OnPlaintext,
		onError:       cfg.ErrorHandler,
		report:        report.New("tlsredirect", cfg.Logger, cfg.OnDecision),
	}
	switch {
	case cfg.HTTPSPort < 0 || cfg.HTTPSPort > 65535:
		errs = append(errs, fmt.Errorf("tlsredirect: HTTPSPort is %d, want 1 to 65535, 0 for 443", cfg.HTTPSPort))
	case cfg.HTTPSPort != 0 && cfg.HTTPSPort != 443:
		rd.port = ":" + strconv.Itoa(cfg.HTTPSPort)
	}
	if cfg.Plaintext > RefuseAll {
		errs = append(errs, fmt.Errorf("tlsredirect: Plaintext is %d, want RefuseAPI, RedirectSafe or RefuseAll", cfg.Plaintext))
	}
	for _, p := range cfg.Health {
		if len(p) < 2 || p != path.Clean(p) || p[0] != '/' || strings.ContainsAny(p, "*{}?#% ") {
			errs = append(errs, fmt.Errorf("tlsredirect: Health has %q, want an exact path such as /healthz", p))
		}
		rd.health[p] = struct{}{}
	}
	if rd.onError == nil {
		rd.onError = WriteError
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return rd, nil
}

// A Verdict is what becomes of a request that is not refused.
type Verdict struct {
	// Secure reports whether the client is connected over TLS. It is also
	// right beside an error.
	Secure bool

	// Location is where to send the client, with status 308. If empty, the
	// request passes.
	Location string

	// Reason is why: ReasonTLS, ReasonForwarded, ReasonHealth, ReasonACME,
	// ReasonLoopback or ReasonRedirect.
	Reason string
}

// Check decides about r, and does nothing else. Every error is an *Error.
func (rd *Redirector) Check(r *http.Request) (Verdict, error) {
	v, err := rd.check(r, false)
	if err != nil {
		return v, err
	}
	return v, nil
}

// check decides about r. Nothing comes to the application where plain is all
// that is served, so nothing is let through to it for being on loopback.
func (rd *Redirector) check(r *http.Request, plainOnly bool) (Verdict, *Error) {
	scheme, told := rd.trust.Scheme(r) // never r.URL.Scheme, which the client writes
	v := Verdict{Secure: told && scheme == "https"}
	safe := r.Method == http.MethodGet || r.Method == http.MethodHead
	// Who asks for the health of a service needs no credentials: a request that
	// carries them in clear is one like any other.
	if _, ok := rd.health[r.URL.Path]; ok && safe && r.URL.RawPath == "" && (v.Secure || len(credentials(r)) == 0) {
		v.Reason = ReasonHealth
		return v, nil
	}
	host, ok := parseHost(r.Host)
	if ok && rd.allowLoopback && !plainOnly && !v.Secure && isLoopback(host) && rd.stayedHere(r) {
		v.Reason = ReasonLoopback
		return v, nil
	}
	switch {
	case !ok:
		return v, rd.exposed(r, v, &Error{Reason: ReasonHost, detail: "Host is not a host"})
	case !rd.hosts.allows(host):
		return v, rd.exposed(r, v, &Error{Reason: ReasonHost, detail: "not one of Hosts"})
	case v.Secure && plainOnly:
		return v, &Error{Reason: ReasonMisdirected}
	case v.Secure:
		if len(r.Header["Early-Data"]) > 0 && !safe && r.Method != http.MethodOptions {
			return v, &Error{Reason: ReasonEarlyData}
		}
		v.Reason = ReasonTLS
		if r.TLS == nil {
			v.Reason = ReasonForwarded
		}
		return v, nil
	case rd.acme != nil && safe && isChallenge(r.URL.Path):
		v.Reason = ReasonACME
		return v, nil
	case !told:
		// A redirect would lead the client here again, and again.
		return v, rd.exposed(r, v, &Error{Reason: ReasonProto, detail: "want one X-Forwarded-Proto, http or https, from the trusted proxy"})
	}
	location, err := rd.plain(r, host)
	if err != nil {
		if rd.allowLoopback && !plainOnly && isLoopback(host) {
			err.detail += "; another machine or a forwarding header rules InsecureAllowLoopback out"
		}
		return v, err
	}
	v.Location, v.Reason = location, ReasonRedirect
	return v, nil
}

// exposed notes in err the credentials that a plain request carried.
func (rd *Redirector) exposed(r *http.Request, v Verdict, err *Error) *Error {
	if !v.Secure {
		err.Credentials = credentials(r)
	}
	return err
}

// stayedHere reports whether a request without TLS cannot have come from
// another machine: a proxy on this one would be the peer of all the world.
func (rd *Redirector) stayedHere(r *http.Request) bool {
	peer, ok := clientip.Peer(r)
	if !ok || !peer.IsLoopback() || rd.trust.Trusted(r) {
		return false
	}
	for name := range r.Header {
		name = strings.ToLower(name)
		switch name {
		case "via", "x-real-ip", "x-client-ip", "client-ip", "true-client-ip", "cf-connecting-ip", "fly-client-ip":
			return false
		}
		if strings.Contains(name, "forwarded") {
			return false
		}
	}
	return true
}

// isChallenge reports whether the path is that of an ACME http-01 challenge,
// whose token is base64url (RFC 8555 section 8.3).
func isChallenge(p string) bool {
	token, ok := strings.CutPrefix(p, "/.well-known/acme-challenge/")
	for _, c := range []byte(token) {
		ok = ok && (isAlnum(c) || c == '-' || c == '_')
	}
	return ok && token != ""
}

// Handler lets requests through to next that came over TLS for one of the
// hosts, and answers the others. It panics if rd is nil.
func (rd *Redirector) Handler(next http.Handler) http.Handler {
	if rd == nil {
		panic("tlsredirect: Handler of a nil *Redirector")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, err := rd.check(r, false)
		rd.obey(w, r, v, err, next)
	})
}

// PlainHandler answers requests on a listener of its own for plain HTTP. There
// is no application behind it that could be served by mistake; Health is
// answered with 200. It panics if rd is nil.
func (rd *Redirector) PlainHandler() http.Handler {
	if rd == nil {
		panic("tlsredirect: PlainHandler of a nil *Redirector")
	}
	healthy := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = io.WriteString(w, "ok\n") // the client is gone: nobody to tell
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, err := rd.check(r, true)
		rd.obey(w, r, v, err, healthy)
	})
}

func (rd *Redirector) obey(w http.ResponseWriter, r *http.Request, v Verdict, err *Error, next http.Handler) {
	ctx := r.Context()
	if v.Secure && rd.hsts != "" && (err == nil || err.Reason != ReasonHost) {
		w.Header().Set("Strict-Transport-Security", rd.hsts)
	}
	switch {
	case err != nil:
		rd.refuse(w, r, v, err)
	case v.Location != "":
		rd.report.Decision(ctx, decision.Decision{
			Effect: decision.Deny, Rule: rd.plaintext.String(), Reason: v.Reason, Status: http.StatusPermanentRedirect,
		})
		rd.hintTrust(r, v)
		// A shared cache would give it to clients that are to be refused.
		values := [...]string{v.Location, "private"}
		h := w.Header()
		h["Location"], h["Cache-Control"] = values[0:1:1], values[1:2:2]
		w.WriteHeader(http.StatusPermanentRedirect)
	default:
		rd.report.Decision(ctx, decision.Decision{Effect: decision.Allow, Reason: v.Reason})
		if v.Reason == ReasonACME {
			next = rd.acme
		}
		pass.On(next, w, r)
	}
}

func (rd *Redirector) refuse(w http.ResponseWriter, r *http.Request, v Verdict, err *Error) {
	ctx := r.Context()
	d := decision.Decision{Effect: decision.Deny, Reason: err.Reason, Detail: err.detail, Status: err.StatusCode()}
	w.Header().Set("Cache-Control", "no-store")
	if !v.Secure {
		d.Rule = rd.plaintext.String()
		w.Header().Set("Connection", "close")
	}
	rd.report.Decision(ctx, d)
	rd.hint(r, v, err)
	if !v.Secure && rd.onPlaintext != nil {
		rd.onPlaintext(r, PlaintextEvent{Reason: err.Reason, Status: d.Status, Credentials: err.Credentials})
	}
	if !v.Secure && r.ContentLength != 0 && r.ProtoMajor == 1 {
		// Behind the answer net/http would read up to 256 KiB of the body,
		// and keep the client sending. Other writers have no deadlines.
		_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0))
	}
	rd.onError(w, r, err)
}

// hint says what to set where a refusal looks like a mistake in the wiring.
func (rd *Redirector) hint(r *http.Request, v Verdict, err *Error) {
	switch {
	case err.Reason == ReasonProto:
		rd.report.Hint(r.Context(), "proto", "no usable X-Forwarded-Proto from trusted "+peer(r)+": let it set http or https")
	case rd.hintTrust(r, v):
	case err.Reason == ReasonHost:
		rd.report.Hint(r.Context(), "host", "a request for another host: if it was meant for this service, add its name or address to Hosts, or its path to Health")
	}
}

// hintTrust tells of a proxy that was forgotten: its clients are refused, or
// redirected to where they are already.
func (rd *Redirector) hintTrust(r *http.Request, v Verdict) bool {
	if v.Secure || len(r.Header["X-Forwarded-Proto"]) == 0 || rd.trust.Trusted(r) {
		return false
	}
	rd.report.Hint(r.Context(), "trust", "X-Forwarded-Proto from untrusted "+peer(r)+": if it is a proxy of yours, set Trust, and Proxies in it")
	return true
}

func peer(r *http.Request) string {
	if addr, ok := clientip.Peer(r); ok {
		return addr.String()
	}
	return "an address that is none"
}

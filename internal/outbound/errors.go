package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"syscall"

	"github.com/gatehouse-go/gatehouse/internal/report"
)

// The kinds of failures that callers tell apart. Every other error says that
// the server could not be asked. The texts are ours: nothing that the server
// sent and no URL is in them, so they may be logged.
var (
	ErrURL      error = report.Cause("not a URL that may be asked")
	ErrAddress  error = report.Cause("not an address that may be reached")
	ErrRedirect error = report.Cause("a redirect that is not followed")
	ErrTooLarge error = report.Cause("the answer is too large")
	ErrTimeout  error = report.Cause("no answer in time")
)

// A failure has a text that may be logged, and wraps its kind and its cause,
// whose text may hold anything.
type failure struct {
	text        report.Cause
	kind, cause error
}

func fail(kind error, text report.Cause, cause error) error {
	return &failure{text: text, kind: kind, cause: cause}
}

// Error returns the text.
func (f *failure) Error() string { return string(f.text) }

// Unwrap returns what is wrapped; the text first, for report.Detail.
func (f *failure) Unwrap() []error {
	all := []error{f.text}
	for _, err := range []error{f.kind, f.cause} {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}

// describe gives an error of net/http a text that may be logged. parent is the
// caller's context.
func describe(parent context.Context, err error) error {
	if own, ok := errors.AsType[*failure](err); ok {
		return own
	}
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(parent.Err(), context.Canceled):
		return fail(parent.Err(), "the caller gave up", err)
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return fail(ErrTimeout, "no answer in time", err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fail(nil, "the connection was refused", err)
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return fail(nil, "the host's name was not found", err)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fail(nil, certificate(err), err)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return fail(nil, "no connection", err)
	}
	return fail(nil, "the exchange failed", err)
}

func certificate(err error) report.Cause {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the server's certificate is of an unknown authority"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the server's certificate is for another host"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return "the server's certificate is expired or not valid yet"
	}
	return "the server's certificate is not valid"
}

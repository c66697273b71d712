package introspect

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
)

// Credentials are how this service proves itself to the introspection endpoint,
// which must not answer strangers (RFC 7662 section 2.1). The zero value is an
// error in New. They print no secret.
type Credentials struct{ src *credentials }

// credentials are behind a pointer and in a closure: package fmt follows one
// pointer.
type credentials struct {
	add   func(ctx context.Context, form url.Values, header http.Header) error
	fault error
}

// ClientSecret are the id and the secret of an OAuth client that this service
// is registered as, sent by HTTP Basic authentication (client_secret_basic,
// RFC 6749 section 2.3.1).
func ClientSecret(id, secret string) Credentials {
	c := &credentials{}
	switch {
	case id == "":
		c.fault = errors.New("has an empty client id")
	case secret == "":
		c.fault = errors.New("has an empty client secret")
	}
	// The section asks for both to be form-encoded first, so that a colon in the
	// id does not end it.
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
	c.add = func(_ context.Context, _ url.Values, header http.Header) error {
		header.Set("Authorization", basic)
		return nil
	}
	return Credentials{c}
}

// CredentialsFunc are any other credentials: add puts them into the form or the
// header of a request, for each anew. It is for a bearer token, a
// client_assertion (RFC 7523 section 2.2), a secret that changes, or the
// client_id that goes with a TLS client certificate in the HTTPClient (RFC 8705
// section 2). An error is answered with 503; a request waits for add as it waits
// for the endpoint, so add should heed ctx. It must be safe for concurrent use.
func CredentialsFunc(add func(ctx context.Context, form url.Values, header http.Header) error) Credentials {
	c := &credentials{add: add}
	if add == nil {
		c.fault = errors.New("has a nil function")
	}
	return Credentials{c}
}

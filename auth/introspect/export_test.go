package introspect

import (
	"context"
	"net/http"
	"net/url"

	"github.com/gatehouse-go/gatehouse/internal/outbound"
)

// Answer puts a function in the place of the endpoint.
func (i *Introspector) Answer(answer func(token string) string) {
	i.asker.post = func(_ context.Context, form url.Values, _ http.Header) (*outbound.Response, error) {
		return &outbound.Response{Status: http.StatusOK, Body: []byte(answer(form.Get("token")))}, nil
	}
}

// Read is what comes of an answer with status 200: a Reason with true for a
// refusal, "" with true for a caller, false for what is no answer.
func (i *Introspector) Read(token string, body []byte) (subject, reason string, ok bool) {
	v, err := i.read(token, body)
	switch {
	case err != nil:
		return "", "", false
	case v.refusal != nil:
		return "", v.refusal.Reason, true
	}
	return v.principal.Subject, "", true
}

// Remembered counts good and refused tokens, and questions under way.
func (i *Introspector) Remembered() (known, refused, flights int) {
	a := i.asker
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.known.young) + len(a.known.old), len(a.refused.young) + len(a.refused.old), len(a.flights)
}

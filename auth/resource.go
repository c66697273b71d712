package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// wellKnownResource is where the metadata of a resource is (RFC 9728 section 3).
const wellKnownResource = "/.well-known/oauth-protected-resource"

// A Resource describes the service to OAuth clients that know nothing of it but
// its URL (RFC 9728 section 2), as those of the Model Context Protocol do: the
// challenge of a refusal names the document, and the document names the
// authorization servers. Identifier and AuthorizationServers are required.
type Resource struct {
	_ [0]func() // keyed literals only

	// Identifier is the service's URL, exactly as clients have it: https,
	// without query and fragment. It is also what they ask a token for
	// (RFC 8707), and so a value for the Audience of an Issuer.
	Identifier string

	// AuthorizationServers are the issuers at which clients get tokens.
	AuthorizationServers []string

	// Scopes are those that clients may ask for.
	Scopes []string

	// Name is for people, and Documentation the URL of a page for developers.
	Name, Documentation string

	// SigningAlgorithms are the DPoP algorithms, and DPoPRequired says that
	// tokens must be bound to a key by it.
	SigningAlgorithms []string
	DPoPRequired      bool

	// CertificateBound says that tokens must be bound to a client certificate
	// (RFC 8705).
	CertificateBound bool
}

// document has the names of RFC 9728 section 2. What is empty is left out.
type document struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers"`
	Scopes               []string `json:"scopes_supported,omitempty"`
	Methods              []string `json:"bearer_methods_supported"`
	Name                 string   `json:"resource_name,omitempty"`
	Documentation        string   `json:"resource_documentation,omitempty"`
	SigningAlgorithms    []string `json:"dpop_signing_alg_values_supported,omitempty"`
	DPoPRequired         bool     `json:"dpop_bound_access_tokens_required,omitempty"`
	CertificateBound     bool     `json:"tls_client_certificate_bound_access_tokens,omitempty"`
}

// A resource is a Resource, rendered.
type resource struct {
	location string // URL of the document
	path     string // of it
	body     []byte
}

func newResource(cfg *Resource) (*resource, []error) {
	if cfg == nil {
		return nil, nil
	}
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("auth: Resource."+format, args...)) }
	u, err := identifier(cfg.Identifier)
	if err != nil {
		bad("Identifier is %q, %w", cfg.Identifier, err)
	}
	if len(cfg.AuthorizationServers) == 0 {
		bad("AuthorizationServers is empty, want the issuers of tokens")
	}
	for _, s := range cfg.AuthorizationServers {
		if _, err := identifier(s); err != nil {
			bad("AuthorizationServers has %q, %w", s, err)
		}
	}
	for _, s := range cfg.Scopes {
		if !isScopeToken(s) {
			bad("Scopes has %q, want a scope-token", s)
		}
	}
	for _, name := range cfg.SigningAlgorithms {
		if a := algorithms[canonical([]string{name})[0]]; a == nil || isHMAC(a) {
			bad("SigningAlgorithms has %.32q, want names such as %q", name, "ES256")
		}
	}
	if cfg.Documentation != "" {
		if d, err := url.Parse(cfg.Documentation); err != nil || d.Scheme != "https" && d.Scheme != "http" || d.Host == "" {
			bad("Documentation is %q, want a URL", cfg.Documentation)
		}
	}
	if len(errs) > 0 {
		return nil, errs
	}
	body, err := json.Marshal(document{
		Resource: cfg.Identifier, AuthorizationServers: cfg.AuthorizationServers, Scopes: cfg.Scopes, Methods: []string{"header"},
		Name: cfg.Name, Documentation: cfg.Documentation,
		SigningAlgorithms: cfg.SigningAlgorithms, DPoPRequired: cfg.DPoPRequired, CertificateBound: cfg.CertificateBound,
	})
	if err != nil { // strings and booleans always marshal
		return nil, []error{fmt.Errorf("auth: Resource: %w", err)}
	}
	// Between host and path (RFC 9728 section 3.1).
	path := wellKnownResource
	if u.EscapedPath() != "/" { // only the slash behind the host goes
		path += u.EscapedPath()
	}
	return &resource{location: "https://" + u.Host + path, path: path, body: append(body, '\n')}, nil
}

// identifier parses the URL of a resource or an issuer (RFC 9728 section 1.2,
// RFC 8414 section 2).
func identifier(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Opaque != "":
		return nil, errors.New("want an https URL")
	case strings.ContainsAny(raw, "?#"):
		return nil, errors.New("want no query and no fragment")
	case strings.ContainsFunc(raw, func(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == '\\' }):
		return nil, errors.New("want printable ASCII")
	}
	return u, nil
}

// MetadataPath is the path at which clients look for the document that Metadata
// serves, "" without a [Resource].
func (g *Gate) MetadataPath() string {
	if g.resource == nil {
		return ""
	}
	return g.resource.path
}

// Metadata serves the metadata of the [Resource] to everybody, also to pages of
// other origins: there is nothing in it but what Config says. Mount it, outside
// of Handler, at MetadataPath; elsewhere it answers 404. Without a Resource it
// answers 404 everywhere.
func (g *Gate) Metadata() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.resource == nil || r.URL.EscapedPath() != g.resource.path {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			h.Set("Content-Type", "application/json")
			h.Set("Content-Length", strconv.Itoa(len(g.resource.body)))
			h.Set("Cache-Control", "public, max-age=3600")
			h.Set("X-Content-Type-Options", "nosniff")
			if r.Method == http.MethodGet {
				_, _ = w.Write(g.resource.body) // the client is gone: nobody to tell
			}
		case http.MethodOptions:
			h.Set("Access-Control-Allow-Methods", "GET, HEAD")
			if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
				h.Set("Access-Control-Allow-Headers", "*")
			}
			w.WriteHeader(http.StatusNoContent)
		default:
			h.Set("Allow", "GET, HEAD, OPTIONS")
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
	})
}

package authtest

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// JWKSURL returns where the keys are.
func (i *Issuer) JWKSURL() string { return strings.TrimSuffix(i.url, "/") + "/jwks" }

// TokenURL returns where clients get tokens for themselves.
func (i *Issuer) TokenURL() string { return strings.TrimSuffix(i.url, "/") + "/token" }

func (i *Issuer) discoveryPaths() []string {
	return []string{
		i.path + "/.well-known/openid-configuration",       // OpenID Connect Discovery section 4
		"/.well-known/oauth-authorization-server" + i.path, // RFC 8414 section 3.1
	}
}

// describe returns the metadata document. There is no authorization endpoint,
// hence no response type but none.
func (i *Issuer) describe(cfg Config) ([]byte, error) {
	var scopes []string
	for _, c := range cfg.Clients {
		scopes = append(scopes, c.Scopes...)
	}
	slices.Sort(scopes)
	m := map[string]any{
		"issuer":                                i.url,
		"jwks_uri":                              i.JWKSURL(),
		"token_endpoint":                        i.TokenURL(),
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"},
		"grant_types_supported":                 []string{"client_credentials"},
		"response_types_supported":              []string{"none"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{i.algorithm},
	}
	if len(scopes) > 0 {
		m["scopes_supported"] = slices.Compact(scopes)
	}
	return json.Marshal(edited(m, cfg.Metadata))
}

// Handler returns the endpoints that [Issuer.Client] reaches, to serve them
// elsewhere: the metadata of OpenID Connect Discovery and of RFC 8414, the
// JWKS, and a token endpoint for the grant client_credentials (RFC 6749 section
// 4.4).
func (i *Issuer) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.Path
		(*i.handler.Load()).ServeHTTP(w, r)
		switch {
		case r.Context().Err() != nil: // nobody waited for it
		case slices.Contains(i.discoveryPaths(), path):
			i.discovery.Add(1)
		case path == i.path+"/jwks":
			i.jwks.Add(1)
		}
	})
}

// Intercept puts a middleware in front of all endpoints, in place of the one
// before, to be slow, down or wrong: it may answer itself, wait, write more or
// something else, or panic with [http.ErrAbortHandler]. Nil ends it. It panics
// if the middleware returns nil.
func (i *Issuer) Intercept(middleware func(next http.Handler) http.Handler) {
	var h http.Handler = http.HandlerFunc(i.endpoints)
	if middleware != nil {
		if h = middleware(h); h == nil {
			panic("authtest: Intercept with a middleware that returns nil")
		}
	}
	i.handler.Store(&h)
}

// Fetches returns how often the metadata and the JWKS were asked for and got an
// answer, of whatever kind, to its end.
func (i *Issuer) Fetches() (discovery, jwks int) {
	return int(i.discovery.Load()), int(i.jwks.Load())
}

func (i *Issuer) endpoints(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	get := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch path := r.URL.Path; {
	case slices.Contains(i.discoveryPaths(), path) && get:
		_, _ = w.Write(i.metadata)
	case path == i.path+"/jwks" && get:
		if i.maxAge >= 0 {
			h.Set("Cache-Control", fmt.Sprintf("public, max-age=%d", i.maxAge/time.Second))
		}
		_, _ = w.Write(i.JWKS())
	case path == i.path+"/token" && r.Method == http.MethodPost:
		i.grant(w, r)
	case path == i.path+"/token":
		h.Set("Allow", http.MethodPost)
		w.WriteHeader(http.StatusMethodNotAllowed)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// A registered client keeps the digest of its secret, inside of a function.
type registered struct {
	is     func(secret string) bool
	scopes []string
}

func register(c Client) *registered {
	want := sha256.Sum256([]byte(c.Secret))
	return &registered{
		is: func(secret string) bool {
			got := sha256.Sum256([]byte(secret))
			return subtle.ConstantTimeCompare(got[:], want[:]) == 1
		},
		scopes: slices.Clone(c.Scopes),
	}
}

// grant answers a token request (RFC 6749 sections 3.2, 4.4 and 5).
func (i *Issuer) grant(w http.ResponseWriter, r *http.Request) {
	fail := func(status int, code string) {
		w.WriteHeader(status)
		_, _ = w.Write(marshal(map[string]string{"error": code}))
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		fail(http.StatusBadRequest, "invalid_request")
		return
	}
	for _, values := range r.PostForm {
		if len(values) > 1 {
			fail(http.StatusBadRequest, "invalid_request")
			return
		}
	}
	id, c, err := i.authenticate(r)
	switch {
	case errors.Is(err, errTwice):
		fail(http.StatusBadRequest, "invalid_request")
		return
	case err != nil:
		w.Header().Set("WWW-Authenticate", "Basic")
		fail(http.StatusUnauthorized, "invalid_client")
		return
	}
	switch r.PostForm.Get("grant_type") {
	case "client_credentials":
	case "":
		fail(http.StatusBadRequest, "invalid_request")
		return
	default:
		fail(http.StatusBadRequest, "unsupported_grant_type")
		return
	}
	scopes := c.scopes
	if r.PostForm.Has("scope") {
		scopes = strings.Split(r.PostForm.Get("scope"), " ")
		for _, s := range scopes {
			if !slices.Contains(c.scopes, s) {
				fail(http.StatusBadRequest, "invalid_scope")
				return
			}
		}
	}
	edits := map[string]any{"sub": id, "client_id": id}
	answer := map[string]any{"token_type": "Bearer", "expires_in": int(lifetime / time.Second)}
	if len(scopes) > 0 {
		edits["scope"] = strings.Join(scopes, " ")
		answer["scope"] = edits["scope"]
	}
	answer["access_token"] = i.Token(edits)
	_, _ = w.Write(marshal(answer))
}

var (
	errTwice  = errors.New("authtest: a client that authenticates in two ways")
	errClient = errors.New("authtest: no such client")
)

// authenticate finds the client by its Authorization header, whose parts are
// encoded as in a form, or by its form (RFC 6749 section 2.3.1).
func (i *Issuer) authenticate(r *http.Request) (string, *registered, error) {
	id, secret := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	if user, password, ok := r.BasicAuth(); ok {
		if r.PostForm.Has("client_secret") {
			return "", nil, errTwice
		}
		var errs [2]error
		user, errs[0] = url.QueryUnescape(user)
		secret, errs[1] = url.QueryUnescape(password)
		if errs != [2]error{} || id != "" && id != user {
			return "", nil, errClient
		}
		id = user
	}
	c, ok := i.clients[id]
	if !ok || !c.is(secret) {
		return "", nil, errClient
	}
	return id, c, nil
}

// isScope reports whether s is a scope-token (RFC 6749 section 3.3).
func isScope(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == '\\' })
}

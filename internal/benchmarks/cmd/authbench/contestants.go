package main

import (
	"context"
	"net/http"
	"strings"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	jwtmiddleware "github.com/auth0/go-jwt-middleware/v2"
	"github.com/auth0/go-jwt-middleware/v2/validator"
	"github.com/go-chi/jwtauth/v5"
	"github.com/golang-jwt/jwt/v5"
	jwx "github.com/lestrrat-go/jwx/v2/jwt"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/principal"
)

const (
	bareName   = "bare" // no contestant: it only checks the signature
	ownName    = "gatehouse"
	cachedName = "with cache"
)

// A contestant is a gate before a handler that reads the caller's subject.
type contestant struct {
	name, setup string
	peer        bool
	build       func(alg *algorithm) (http.Handler, error)
	differs     map[string]int // status by row, where it is not that of the others
}

// answer returns the status that the contestant gives in a row.
func (c *contestant) answer(row string) int {
	switch status := c.differs[row]; {
	case status != 0:
		return status
	case row == admitted:
		return http.StatusOK
	}
	return http.StatusUnauthorized
}

var contestants = []*contestant{ //nolint:gochecknoglobals // immutable
	{
		name: ownName, build: func(alg *algorithm) (http.Handler, error) { return newGate(alg, nil) },
		setup: "auth.Gate with one auth.JWT, keys from the JWK Set, HS256 from auth.Secret; each request is verified",
	},
	{
		name: cachedName, build: func(alg *algorithm) (http.Handler, error) { return newGate(alg, &auth.TokenCache{}) },
		setup: "the same with auth.TokenCache; verified tokens are remembered for a minute",
	},
	{
		name: "keyfunc", peer: true, build: newKeyfunc,
		setup: "golang-jwt/jwt/v5 and MicahParks/keyfunc/v3 in a middleware of our own, since they have none, which is handed the claims " +
			"that it needs and no others; keys from the JWK Set, HS256 from a given key, since a JWK Set is public",
	},
	{
		name: "jwtauth", peer: true, build: newJWTAuth, differs: map[string]int{withoutExp: http.StatusOK},
		setup: "go-chi/jwtauth/v5, Verifier and Authenticator, with options for iss and aud; one key, whatever the kid",
	},
	{
		name: "auth0", peer: true, build: newAuth0, differs: map[string]int{noToken: http.StatusBadRequest, withoutExp: http.StatusOK},
		setup: "auth0/go-jwt-middleware/v2, CheckJWT with validator.New and a function that returns the key, whatever the kid; no claims of one's own",
	},
}

// answer is what the handler does behind each gate.
func answer(w http.ResponseWriter, subject string) {
	if subject != caller {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusOK)
}

func newGate(alg *algorithm, cache *auth.TokenCache) (http.Handler, error) {
	keys := auth.StaticJWKS(alg.jwks)
	if alg.public == nil {
		keys = auth.Secret(alg.secret)
	}
	bearer, err := auth.NewJWT(auth.JWTConfig{
		Issuers: []auth.Issuer{{URL: issuer, Audience: []string{service}, Keys: keys, Algorithms: []string{alg.name}}},
		Cache:   cache,
	})
	if err != nil {
		return nil, err
	}
	gate, err := auth.New(auth.Config{Authenticators: []auth.Authenticator{bearer}})
	if err != nil {
		return nil, err
	}
	return gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, ok := principal.FromContext(r.Context())
		if !ok {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		answer(w, p.Subject)
	})), nil
}

type claimsKey struct{}

func newKeyfunc(alg *algorithm) (http.Handler, error) {
	keys, err := keyfunc.NewJWKSetJSON(alg.jwks)
	if alg.public == nil {
		keys, err = givenKey(alg.secret)
	}
	if err != nil {
		return nil, err
	}
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{alg.name}), jwt.WithIssuer(issuer), jwt.WithAudience(service), jwt.WithExpirationRequired(),
	)
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, ok := r.Context().Value(claimsKey{}).(*jwt.RegisteredClaims)
		if !ok {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		answer(w, claims.Subject)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			http.Error(w, "no token", http.StatusUnauthorized)
			return
		}
		claims := new(jwt.RegisteredClaims)
		if _, err := parser.ParseWithClaims(token, claims, keys.Keyfunc); err != nil {
			http.Error(w, "invalid token", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), claimsKey{}, claims)))
	}), nil
}

// givenKey is from keyfunc's examples/hmac.
func givenKey(secret []byte) (keyfunc.Keyfunc, error) {
	jwk, err := jwkset.NewJWKFromKey(secret, jwkset.JWKOptions{
		Marshal:  jwkset.JWKMarshalOptions{Private: true},
		Metadata: jwkset.JWKMetadataOptions{ALG: jwkset.AlgHS256, KID: kid, USE: jwkset.UseSig},
	})
	if err != nil {
		return nil, err
	}
	store := jwkset.NewMemoryStorage()
	if err := store.KeyWrite(context.Background(), jwk); err != nil {
		return nil, err
	}
	return keyfunc.New(keyfunc.Options{Storage: store})
}

func newJWTAuth(alg *algorithm) (http.Handler, error) {
	options := []jwx.ValidateOption{jwx.WithIssuer(issuer), jwx.WithAudience(service)}
	bearer := jwtauth.New(alg.name, nil, alg.public, options...)
	if alg.public == nil {
		bearer = jwtauth.New(alg.name, alg.secret, nil, options...)
	}
	return jwtauth.Verifier(bearer)(jwtauth.Authenticator(bearer)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, claims, _ := jwtauth.FromContext(r.Context())
		subject, _ := claims["sub"].(string)
		answer(w, subject)
	}))), nil
}

func newAuth0(alg *algorithm) (http.Handler, error) {
	keyFunc := func(context.Context) (any, error) { return alg.public, nil }
	if alg.public == nil {
		keyFunc = func(context.Context) (any, error) { return alg.secret, nil }
	}
	v, err := validator.New(keyFunc, validator.SignatureAlgorithm(alg.name), issuer, []string{service})
	if err != nil {
		return nil, err
	}
	return jwtmiddleware.New(v.ValidateToken).CheckJWT(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, ok := r.Context().Value(jwtmiddleware.ContextKey{}).(*validator.ValidatedClaims)
		if !ok {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		answer(w, claims.RegisteredClaims.Subject)
	})), nil
}

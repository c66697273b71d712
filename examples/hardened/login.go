package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/crypto/argon2"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/auth/principal"
	"github.com/gatehouse-go/gatehouse/validate"
)

const (
	issuerName    = "hardened"
	audience      = "orders"
	keyID         = "2026-11"
	tokenLifetime = 15 * time.Minute
)

// credentials are the body of POST /login.
type credentials struct {
	User string `json:"user" validate:"required,max=64"`
	// A password is whatever its owner typed: no cleaner may touch it.
	Password string `json:"password" validate:"required,max=128" sanitize:"-"`
}

// passwords hashes with argon2id (RFC 9106). Each hash takes 46 MiB, so no more
// than a few are computed at a time, and nobody waits for long: who floods the
// login must not keep connections.
type passwords struct{ slots chan struct{} }

func newPasswords() passwords { return passwords{make(chan struct{}, 2)} }

const longestWait = 3 * time.Second

var errBusy = errors.New("too many passwords to check")

func (p passwords) hash(ctx context.Context, password string, salt []byte) ([]byte, error) {
	wait := time.NewTimer(longestWait)
	defer wait.Stop()
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-wait.C:
		return nil, errBusy
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return argon2.IDKey([]byte(password), salt, 1, 46<<10, 1, 32), nil
}

func newSalt() []byte {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails
	return salt
}

// login trades a password for a token. A name that nobody has costs the same
// work and gets the same answer as a wrong password.
//
// The guard stands before this handler and has counted the guess. The status
// tells it what became of that: 200 gives the count back, 401 does not, and
// where no password was checked there was no guess.
func (s *service) login(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	in, ok := validate.FromContext[credentials](ctx)
	if !ok {
		s.fail(w, r, errNotDecoded)
		return
	}
	u, right, err := s.check(ctx, in)
	switch {
	case err != nil:
		s.fail(w, r, err)
		return
	case !right:
		// Names are told if they are somebody's: others may be a password that
		// was typed into the wrong field.
		d := decision.Decision{Layer: "login", Reason: "password", Status: http.StatusUnauthorized}
		if u.id != "" {
			d.Detail = "user " + u.id
		}
		s.deny(w, r, d, "User or password is wrong.")
		return
	}
	decision.SetActor(ctx, decision.Actor{Issuer: issuerName, Subject: u.id, Kind: "user", Scheme: "Password"})
	decision.Add(ctx, decision.Decision{Layer: "login", Effect: decision.Allow, Reason: "password"})
	token, err := s.token(u, time.Now())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, struct {
		Token     string `json:"token"`
		ExpiresIn int    `json:"expires_in"`
	}{token, int(tokenLifetime / time.Second)})
}

// check reports whose name it is, if anybody's, and whether the password is
// right.
func (s *service) check(ctx context.Context, in *credentials) (u user, right bool, err error) {
	u, known, err := s.store.user(ctx, in.User)
	if err != nil {
		return user{}, false, err
	}
	if !known {
		u = s.nobody
	}
	hash, err := s.passwords.hash(ctx, in.Password, u.salt)
	if err != nil {
		return user{}, false, err
	}
	return u, subtle.ConstantTimeCompare(hash, u.hash) == 1 && known, nil
}

// account is whose password a request tries.
func account(r *http.Request) (string, error) {
	in, ok := validate.FromContext[credentials](r.Context())
	if !ok {
		return "", errNotDecoded
	}
	return in.User, nil
}

// token signs an access token (RFC 9068) for u.
func (s *service) token(u user, now time.Time) (string, error) {
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"iss":   issuerName,
		"sub":   u.id,
		"aud":   audience,
		"iat":   now.Unix(),
		"exp":   now.Add(tokenLifetime).Unix(),
		"jti":   rand.Text(),
		"roles": []string{u.role},
	})
	t.Header["typ"] = "at+jwt"
	t.Header["kid"] = keyID
	return t.SignedString(s.signingKey)
}

// ownerID is how orders name the user: issuer and subject, never the subject
// alone.
func (u user) ownerID() string {
	return (&principal.Principal{Issuer: issuerName, Subject: u.id}).ID()
}

// A demoUser is one whose password is printed at the start.
type demoUser struct{ name, password, role, orderID string }

// demoUsers are made where the database lacks them.
var demoUsers = []demoUser{
	{"ann", "pa<ss>w&rd", "customer", "ann-1"},
	{"bob", "horse battery staple", "customer", "bob-1"},
	{"eve", "everybody reads orders", "admin", ""},
}

func (s *service) addDemoUsers(ctx context.Context) error {
	for _, d := range demoUsers {
		if _, known, err := s.store.user(ctx, d.name); known || err != nil {
			if err != nil {
				return err
			}
			continue // in a database that was here before
		}
		u := user{id: rand.Text(), name: d.name, role: d.role, salt: newSalt()}
		var err error
		if u.hash, err = s.passwords.hash(ctx, d.password, u.salt); err != nil {
			return err
		}
		if err := s.store.addUser(ctx, u); err != nil {
			return err
		}
		if d.orderID == "" {
			continue
		}
		if _, err := s.store.add(ctx, order{ID: d.orderID, Owner: u.ownerID(), Item: "tea", Quantity: 1, Note: "from " + d.name}); err != nil {
			return err
		}
	}
	return nil
}

func newSigningKey() (ed25519.PublicKey, ed25519.PrivateKey, error) {
	return ed25519.GenerateKey(rand.Reader)
}

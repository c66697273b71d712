package authtest_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/authtest"
)

func TestProof(t *testing.T) {
	t.Parallel()
	for _, alg := range authtest.Algorithms() {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			k := authtest.NewProofKey(alg)
			before := time.Now().Unix()
			proof := k.Proof("POST", "https://api.test/orders?x=1#y", "the-token", map[string]any{"nonce": "n"})
			header, claims := part(t, proof, 0), part(t, proof, 1)
			if header["typ"] != "dpop+jwt" || header["alg"] != alg || !reflect.DeepEqual(header["jwk"], k.JWK()) {
				t.Errorf("header = %v", header)
			}
			sum := sha256.Sum256([]byte("the-token"))
			for name, want := range map[string]any{
				"htm": "POST", "htu": "https://api.test/orders", "ath": base64.RawURLEncoding.EncodeToString(sum[:]), "nonce": "n",
			} {
				if claims[name] != want {
					t.Errorf("%s = %v, want %v", name, claims[name], want)
				}
			}
			if iat, _ := claims["iat"].(float64); int64(iat) < before || int64(iat) > time.Now().Unix() {
				t.Errorf("iat = %v", claims["iat"])
			}
			if claims["jti"] == nil || claims["jti"] == part(t, k.Proof("GET", "https://api.test/", "", nil), 1)["jti"] {
				t.Errorf("jti = %v, want another each time", claims["jti"])
			}
			if _, ok := part(t, k.Proof("GET", "https://api.test/", "", nil), 1)["ath"]; ok {
				t.Error("ath without a token")
			}

			// The signature is by the key in the header.
			jwks, err := json.Marshal(map[string]any{"keys": []any{k.JWK()}})
			if err != nil {
				t.Fatal(err)
			}
			j := newJWT(t, auth.JWTConfig{}, auth.Issuer{
				URL: "https://issuer.test", Audience: []string{"api"}, Algorithms: []string{alg}, Keys: auth.StaticJWKS(jwks),
			})
			exact := k.Sign(map[string]any{"typ": "JWT", "jwk": nil}, map[string]any{
				"iss": "https://issuer.test", "sub": "alice", "aud": "api", "exp": before + 60,
			})
			if _, err := j.Verify(t.Context(), exact); err != nil {
				t.Errorf("Verify with the proof's key = %v", err)
			}
			if e, ok := errors.AsType[*auth.Error](second(j.Verify(t.Context(), proof))); !ok || e.Reason != auth.ReasonType {
				t.Errorf("a proof as a token: %v, want %s", e, auth.ReasonType)
			}
		})
	}
}

func TestConfirmation(t *testing.T) {
	t.Parallel()
	i, k := newIssuer(t, authtest.Config{}), authtest.NewProofKey("")
	token := i.Token(map[string]any{"cnf": k.Confirmation()})
	if got, want := part(t, token, 1)["cnf"], (map[string]any{"jkt": k.Thumbprint()}); !reflect.DeepEqual(got, want) {
		t.Errorf("cnf = %v, want %v", got, want)
	}
	// As a bearer token it is worth nothing.
	if e, ok := errors.AsType[*auth.Error](second(verifier(t, i).Verify(t.Context(), token))); !ok || e.Reason != auth.ReasonBinding {
		t.Errorf("Verify = %v, want %s", e, auth.ReasonBinding)
	}
	if other := authtest.NewProofKey(""); other.Thumbprint() == k.Thumbprint() {
		t.Error("two keys have one thumbprint")
	}
	cert := &x509.Certificate{Raw: []byte("certificate")}
	sum := sha256.Sum256(cert.Raw)
	if got := authtest.CertificateConfirmation(cert)["x5t#S256"]; got != base64.RawURLEncoding.EncodeToString(sum[:]) {
		t.Errorf("x5t#S256 = %v", got)
	}
}

package introspect_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/auth/introspect"
)

// FuzzAnswer: whoever is admitted is the one that a plain reading of the answer
// names too, with each name once, active, ours and in time.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		rfc7662, rfc8705, rfc9449, good().json(), `{"active":false}`, `{"active":true,"sub":"a","aud":["orders"]}`,
		`{"active":true,"active":false}`, `{"active":true,"Active":true}`, `{"active":"true"}`, `null`, `[]`, "\ufeff{}",
		`{"active":true,"sub":"a","aud":"orders","exp":4102444800.5,"cnf":{"jkt":"a"},"token_type":"DPoP"}`,
		`{"active":true,"sub":"a","aud":"orders","iss":"https://id.example.com","act":{"sub":"b","act":{"sub":"c"}}}`,
		`{"active":true,"sub":"a","aud":"orders","token_use":"refresh_token","typ":"Refresh"}`,
	} {
		f.Add([]byte(s))
	}
	i, err := introspect.New(introspect.Config{
		Endpoint: "https://id.example.com/introspect", Issuer: issuerURL, Audience: []string{service},
		Credentials: introspect.ClientSecret("a", "b"), RolesClaim: "realm_access.roles",
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = i.Close() })
	f.Fuzz(func(t *testing.T, body []byte) {
		subject, reason, ok := i.Read(opaque, bytes.Clone(body))
		var plain struct {
			Active    bool            `json:"active"`
			Sub       string          `json:"sub"`
			Iss       *string         `json:"iss"`
			Aud       json.RawMessage `json:"aud"`
			Exp       *float64        `json:"exp"`
			TokenType string          `json:"token_type"`
			TokenUse  string          `json:"token_use"`
		}
		err := json.Unmarshal(body, &plain)
		if !ok {
			return
		}
		names := topNames(body)
		for n, name := range names {
			if slices.ContainsFunc(names[:n], func(other string) bool { return name == other }) {
				t.Errorf("%q occurs twice", name)
			}
		}
		if reason == introspect.ReasonInactive && plain.Active && err == nil {
			t.Error("an active token counts as inactive")
		}
		if reason != "" {
			return
		}
		switch {
		case err != nil:
			t.Fatalf("a plain reading fails: %v", err)
		case !plain.Active || subject == "" || plain.Sub != subject:
			t.Errorf("admitted %q, want %q, active %t", subject, plain.Sub, plain.Active)
		case plain.Iss != nil && *plain.Iss != issuerURL:
			t.Errorf("admitted a token of %q", *plain.Iss)
		case plain.Exp != nil && *plain.Exp < float64(time.Now().Add(-31*time.Second).Unix()):
			t.Errorf("admitted a token that expired at %v", *plain.Exp)
		case strings.Contains(strings.ToLower(plain.TokenType+plain.TokenUse), "refresh"):
			t.Error("admitted a refresh token")
		}
		var one string
		var many []string
		if json.Unmarshal(plain.Aud, &one) != nil {
			_ = json.Unmarshal(plain.Aud, &many)
		}
		if one != service && !slices.Contains(many, service) {
			t.Errorf("admitted a token for %s", plain.Aud)
		}
	})
}

// topNames are the names in an object, in order.
func topNames(body []byte) (names []string) {
	dec := json.NewDecoder(bytes.NewReader(body))
	if _, err := dec.Token(); err != nil {
		return nil
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return names
		}
		s, _ := name.(string)
		names = append(names, s)
		var skip json.RawMessage
		if dec.Decode(&skip) != nil {
			return names
		}
	}
	return names
}

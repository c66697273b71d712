package principal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/auth/principal"
)

func TestID(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		p    *principal.Principal
		want string
	}{
		{"nil", nil, ""},
		{"zero", &principal.Principal{}, ""},
		{"no issuer", &principal.Principal{Subject: "alice"}, ""},
		{"no subject", &principal.Principal{Issuer: "https://id.example.com"}, ""},
		{"both", &principal.Principal{Issuer: "abc", Subject: "alice"}, "3:abcalice"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.p.ID(); got != tt.want {
				t.Errorf("ID = %q, want %q", got, tt.want)
			}
			got, ok := principal.FromContext(principal.NewContext(t.Context(), tt.p))
			if wantOK := tt.want != ""; ok != wantOK || ok != (got != nil) {
				t.Errorf("FromContext = %v, %v; want ok %v", got, ok, wantOK)
			}
		})
	}
	if _, ok := principal.FromContext(t.Context()); ok {
		t.Error("FromContext finds a caller where none is")
	}
}

// FuzzID: two different pairs never give the same string, whatever separators
// and digits an issuer chooses for its subjects.
func FuzzID(f *testing.F) {
	f.Add("a", "b", "ab", "")
	f.Add("1:a", "b", "1", ":ab")
	f.Add("a", "1:ab", "a1", ":ab")
	f.Fuzz(func(t *testing.T, iss1, sub1, iss2, sub2 string) {
		p := &principal.Principal{Issuer: iss1, Subject: sub1}
		q := &principal.Principal{Issuer: iss2, Subject: sub2}
		if p.ID() == "" || q.ID() == "" {
			return
		}
		if (p.ID() == q.ID()) != (iss1 == iss2 && sub1 == sub2) {
			t.Errorf("%q %q and %q %q: IDs %q and %q", iss1, sub1, iss2, sub2, p.ID(), q.ID())
		}
	})
}

func TestScopesAndRoles(t *testing.T) {
	t.Parallel()
	p := &principal.Principal{Scopes: []string{"orders:read"}, Roles: []string{"admin"}}
	if !p.HasScope("orders:read") || p.HasScope("orders") || p.HasScope("") || p.HasScope("admin") {
		t.Error("HasScope is wrong")
	}
	if !p.HasRole("admin") || p.HasRole("adm") || p.HasRole("") || p.HasRole("orders:read") {
		t.Error("HasRole is wrong")
	}
	// What acts for the caller never widens its rights.
	p.Actor = &principal.Principal{Scopes: []string{"orders:write"}, Roles: []string{"root"}}
	if p.HasScope("orders:write") || p.HasRole("root") {
		t.Error("the actor's rights became the caller's")
	}
	var none *principal.Principal
	if none.HasScope("orders:read") || none.HasRole("admin") || none.WithClaims(nil) != nil {
		t.Error("a nil Principal has rights")
	}
}

func TestClaims(t *testing.T) {
	t.Parallel()
	p := &principal.Principal{Issuer: "i", Subject: "s"}
	type claims struct {
		Email string `json:"email"`
	}
	if _, err := principal.Claims[claims](p); !errors.Is(err, principal.ErrNoClaims) {
		t.Errorf("without claims: %v, want ErrNoClaims", err)
	}
	if _, err := principal.Claims[claims](nil); !errors.Is(err, principal.ErrNoClaims) {
		t.Errorf("nil: %v, want ErrNoClaims", err)
	}
	q := p.WithClaims(json.RawMessage(`{"email":"a@example.com"}`))
	if got, err := principal.Claims[claims](q); err != nil || got.Email != "a@example.com" {
		t.Errorf("Claims = %+v, %v", got, err)
	}
	if _, err := principal.Claims[[]string](q); err == nil || errors.Is(err, principal.ErrNoClaims) {
		t.Errorf("claims that do not fit: %v, want an error of its own", err)
	}
	if _, err := principal.Claims[claims](p); !errors.Is(err, principal.ErrNoClaims) {
		t.Error("WithClaims changed its receiver")
	}
}

// TestPrintsNoClaim: whichever way a Principal is printed, its claims are not.
func TestPrintsNoClaim(t *testing.T) {
	t.Parallel()
	const canary = "canary" // in decimal 99 97 110 97 114 121
	p := (&principal.Principal{Issuer: "i", Subject: "alice", Scheme: "Bearer"}).WithClaims(json.RawMessage(`{"email":"` + canary + `"}`))
	var buf bytes.Buffer
	for _, v := range []any{p, *p} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			fmt.Fprintf(&buf, verb, v)
		}
		slog.New(slog.NewJSONHandler(&buf, nil)).Info("x", "p", v)
		slog.New(slog.NewTextHandler(&buf, nil)).Info("x", "p", v)
		if err := json.NewEncoder(&buf).Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	out := buf.String()
	if strings.Contains(out, canary) || strings.Contains(out, "99 97 110 97 114 121") {
		t.Errorf("a claim was printed: %s", out)
	}
	if !strings.Contains(out, "alice") {
		t.Error("nothing was printed")
	}
}

func TestLogValue(t *testing.T) {
	t.Parallel()
	var none *principal.Principal
	for _, tt := range []struct {
		p    *principal.Principal
		want string
	}{
		{none, "none"},
		{&principal.Principal{Issuer: "i", Subject: "s", Kind: principal.Client, Scheme: "APIKey", ACR: "x"}, "[issuer=i subject=s kind=client scheme=APIKey]"},
	} {
		if got := tt.p.LogValue().String(); got != tt.want {
			t.Errorf("LogValue = %s, want %s", got, tt.want)
		}
	}
}

func TestKind(t *testing.T) {
	t.Parallel()
	for kind, want := range map[principal.Kind]string{principal.User: "user", principal.Client: "client"} {
		b, err := json.Marshal(kind)
		if got := string(b); err != nil || got != `"`+want+`"` {
			t.Errorf("kind %d = %s, %v; want %q", kind, got, err, want)
		}
	}
}

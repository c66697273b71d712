package introspect_test

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-go/gatehouse/auth/introspect"
	"github.com/gatehouse-go/gatehouse/auth/principal"
)

// The examples of the RFCs, at their time.
const (
	rfc7662 = `{
      "active": true,
      "client_id": "l238j323ds-23ij4",
      "username": "jdoe",
      "scope": "read write dolphin",
      "sub": "Z5O3upPC88QrAjx00dis",
      "aud": "https://protected.example.net/resource",
      "iss": "https://server.example.com/",
      "exp": 1419356238,
      "iat": 1419350238,
      "extension_field": "twenty-seven"
     }`
	rfc8705 = `{
       "active": true,
       "iss": "https://server.example.com",
       "sub": "ty.webb@example.com",
       "exp": 1493726400,
       "nbf": 1493722800,
       "cnf":{
         "x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"
       }
     }`
	rfc9449 = `{
     "active": true,
     "sub": "someone@example.com",
     "iss": "https://server.example.com",
     "nbf": 1562262611,
     "exp": 1562266216,
     "cnf":
     {
       "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
     }
    }`
)

func TestRFCExamples(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, answer, issuer, audience string
		at                             int64
		reason                         string
		want                           *principal.Principal
	}{
		{
			"RFC 7662 section 2.2", rfc7662, "https://server.example.com/", "https://protected.example.net/resource", 1419350248, "admitted",
			&principal.Principal{
				Issuer: "https://server.example.com/", Subject: "Z5O3upPC88QrAjx00dis", Scheme: "Bearer", ClientID: "l238j323ds-23ij4",
				Scopes:   []string{"read", "write", "dolphin"},
				IssuedAt: time.Unix(1419350238, 0), ExpiresAt: time.Unix(1419356238, 0),
			},
		},
		{"RFC 7662 section 2.2, another resource", rfc7662, "https://server.example.com/", "https://other.example.net/", 1419350248, "audience", nil},
		{"RFC 7662 section 2.2, another server", rfc7662, "https://server.example.com", "https://protected.example.net/resource", 1419350248, "issuer", nil},
		{"RFC 7662 section 2.2, later", rfc7662, "https://server.example.com/", "https://protected.example.net/resource", 1419356238 + 30, "expired", nil},
		{"RFC 7662 section 2.2, earlier", rfc7662, "https://server.example.com/", "https://protected.example.net/resource", 1419350238 - 31, "not_yet", nil},
		{"RFC 7662 section 2.2, inactive", `{"active": false}`, "https://server.example.com/", "https://protected.example.net/resource", 1419350248, introspect.ReasonInactive, nil},
		{"RFC 8705 section 3.2", rfc8705, "https://server.example.com", "", 1493722900, "binding", nil},
		{"RFC 9449 section 6.2", rfc9449, "https://server.example.com", "", 1562262700, "binding", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(time.Unix(tt.at, 0)))
				s := newServer(t, says(http.StatusOK, tt.answer))
				cfg := s.config()
				cfg.Issuer = tt.issuer
				if cfg.Audience = []string{tt.audience}; tt.audience == "" {
					cfg.Audience, cfg.AllowAnyAudience = nil, true
				}
				h := newHouse(t, newIntrospector(t, cfg))
				h.get(opaque)
				if got := h.reason(); got != tt.reason {
					t.Errorf("reason = %q, want %q", got, tt.reason)
				}
				if tt.want == nil {
					if h.caller != nil {
						t.Errorf("admitted %+v", h.caller)
					}
					return
				}
				if h.caller == nil {
					t.Fatal("not admitted")
				}
				all, err := principal.Claims[map[string]any](h.caller)
				if err != nil || all["extension_field"] != "twenty-seven" {
					t.Errorf("claims = %v, %v", all, err)
				}
				got := *h.caller
				for at := range len(opaque) - 4 {
					if part := opaque[at : at+5]; got.TokenID == "" || strings.Contains(got.TokenID, part) {
						t.Errorf("TokenID = %q, want one without %q", got.TokenID, part)
					}
				}
				got.TokenID = ""
				if want := *tt.want; !reflect.DeepEqual(got, *want.WithClaims([]byte(tt.answer))) {
					t.Errorf("principal = %+v, want %+v", got, want)
				}
			})
		})
	}
}

func TestAdmits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		edits object
		cfg   func(*introspect.Config)
		check func(p *principal.Principal) any
		want  any
	}{
		{
			"usual", nil, nil, func(p *principal.Principal) any {
				return []any{p.Issuer, p.Subject, p.Scheme, p.ClientID, p.TokenID, p.Kind}
			},
			[]any{issuerURL, "alice", "Bearer", "web", "token-1", principal.User},
		},
		{"no iss", object{"iss": nil}, nil, func(p *principal.Principal) any { return p.Issuer }, issuerURL},
		{"no dates", object{"iat": nil, "nbf": nil, "exp": nil}, nil, func(p *principal.Principal) any { return p.ExpiresAt.IsZero() }, true},
		{"aud among others", object{"aud": []string{"a", service}}, nil, nil, nil},
		{"a client for itself", object{"client_id": "alice"}, nil, func(p *principal.Principal) any { return p.Kind }, principal.Client},
		{"scp", object{"scope": nil, "scp": []string{"a", "b"}}, nil, func(p *principal.Principal) any { return p.Scopes }, []string{"a", "b"}},
		{"no token_type", object{"token_type": nil}, nil, nil, nil},
		{"bearer", object{"token_type": "bearer"}, nil, nil, nil},
		{"Hydra's access token", object{"token_use": "access_token"}, nil, nil, nil},
		{"Keycloak's access token", object{"typ": "Bearer"}, nil, nil, nil},
		{"roles nobody asked for", object{"roles": []string{"admin"}}, nil, func(p *principal.Principal) any { return len(p.Roles) }, 0},
		{
			"roles",
			object{"realm_access": object{"roles": []string{"clerk"}}},
			func(c *introspect.Config) { c.RolesClaim = "realm_access.roles" },
			func(p *principal.Principal) any { return p.Roles },
			[]string{"clerk"},
		},
		{"actor", object{"act": object{"sub": "bot"}}, nil, func(p *principal.Principal) any { return p.Actor.ID() }, "22:https://id.example.combot"},
		{
			"actor without iss",
			object{"iss": nil, "act": object{"sub": "bot", "act": object{"sub": "deeper"}}},
			nil,
			func(p *principal.Principal) any { return p.Actor.Actor.ID() }, "22:https://id.example.comdeeper",
		},
		{"no aud, and the client is ours", object{"aud": nil}, func(c *introspect.Config) { c.Audience, c.ClientIDs = nil, []string{"web"} }, nil, nil},
		{"aud, and the client is ours", nil, func(c *introspect.Config) { c.ClientIDs = []string{"web"} }, nil, nil},
		{"any audience", object{"aud": "other"}, func(c *introspect.Config) { c.Audience, c.AllowAnyAudience = nil, true }, nil, nil},
		{"any audience, none", object{"aud": nil}, func(c *introspect.Config) { c.Audience, c.AllowAnyAudience = nil, true }, nil, nil},
		{"expired within the leeway", object{"exp": in(-20)}, nil, nil, nil},
		{
			"from tomorrow within the leeway",
			object{"nbf": in(250), "iat": in(250)},
			func(c *introspect.Config) { c.Leeway = 5 * time.Minute }, nil, nil,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, saying(good().with(tt.edits)))
			cfg := s.config()
			if tt.cfg != nil {
				tt.cfg(&cfg)
			}
			h := newHouse(t, newIntrospector(t, cfg))
			if w := h.get(opaque); w.Code != http.StatusOK {
				t.Fatalf("status = %d: %s: %s", w.Code, h.reason(), h.detail())
			}
			if tt.check == nil {
				return
			}
			if got := tt.check(h.caller); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		answer any
		cfg    func(*introspect.Config)
		reason string
	}{
		{"inactive", json.RawMessage(`{"active":false}`), nil, introspect.ReasonInactive},
		{"inactive, with claims", good().with(object{"active": false}), nil, introspect.ReasonInactive},
		{"inactive, with claims that are wrong", json.RawMessage(`{"active":false,"exp":"never"}`), nil, introspect.ReasonInactive},
		{"expired", good().with(object{"exp": in(-31)}), nil, "expired"},
		{"expired long ago", good().with(object{"exp": 0}), nil, "expired"},
		{"from the future", good().with(object{"nbf": in(3600)}), nil, "not_yet"},
		{"issued in the future", good().with(object{"iat": in(3600)}), nil, "not_yet"},
		{"of another issuer", good().with(object{"iss": "https://evil.example"}), nil, "issuer"},
		{"of an issuer with a slash", good().with(object{"iss": issuerURL + "/"}), nil, "issuer"},
		{"of an empty issuer", good().with(object{"iss": ""}), nil, "issuer"},
		{"iss is no string", good().with(object{"iss": []string{issuerURL}}), nil, "claims"},
		{"for another service", good().with(object{"aud": "billing"}), nil, "audience"},
		{"for other services", good().with(object{"aud": []string{"billing", "ORDERS", "orders "}}), nil, "audience"},
		{"for nobody", good().with(object{"aud": []string{}}), nil, "audience"},
		{"no aud", good().with(object{"aud": nil}), nil, "audience"},
		{"aud is no string", good().with(object{"aud": 1}), nil, "claims"},
		{"no aud, and a client of others", good().with(object{"aud": nil}), func(c *introspect.Config) { c.ClientIDs = []string{"mobile"} }, "audience"},
		{"no aud, no client", good().with(object{"aud": nil, "client_id": nil}), func(c *introspect.Config) { c.ClientIDs = []string{"mobile"} }, "audience"},
		{"aud of others, and the client is ours", good().with(object{"aud": "billing"}), func(c *introspect.Config) { c.ClientIDs = []string{"web"} }, "audience"},
		{"aud, where clients count", good(), func(c *introspect.Config) { c.Audience, c.ClientIDs = nil, []string{"web"} }, "audience"},
		{"no sub", good().with(object{"sub": nil}), nil, "claims"},
		{"an empty sub", good().with(object{"sub": ""}), nil, "claims"},
		{"sub is no string", good().with(object{"sub": 7}), nil, "claims"},
		{"exp is no number", good().with(object{"exp": "9999999999"}), nil, "claims"},
		{"exp is beyond all numbers", json.RawMessage(`{"active":true,"sub":"a","aud":"orders","exp":1e999}`), nil, "claims"},
		{"scope is no string", good().with(object{"scope": object{}}), nil, "claims"},
		{"a claim in another case", good().with(object{"Sub": "bob"}), nil, "claims"},
		{"bound to a certificate", good().with(object{"cnf": object{"x5t#S256": "a"}}), nil, "binding"},
		{"bound to a key", good().with(object{"cnf": object{"jkt": "a"}}), nil, "binding"},
		{"bound to what nobody knows", good().with(object{"cnf": object{"new": "a"}}), nil, "binding"},
		{"bound to nothing", good().with(object{"cnf": object{}}), nil, "binding"},
		{"bound to null", json.RawMessage(`{"active":true,"sub":"a","aud":"orders","cnf":null}`), nil, "binding"},
		{"DPoP without a key", good().with(object{"token_type": "DPoP"}), nil, "binding"},
		{"a MAC token", good().with(object{"token_type": "mac"}), nil, "typ"},
		{"Hydra's refresh token", good().with(object{"token_use": "refresh_token"}), nil, "typ"},
		{"Hydra's refresh token, older", good().with(object{"token_type": "refresh_token"}), nil, "typ"},
		{"Keycloak's refresh token", good().with(object{"typ": "Refresh"}), nil, "typ"},
		{"Keycloak's ID token", good().with(object{"typ": "ID"}), nil, "typ"},
		{"token_type is no string", good().with(object{"token_type": 1}), nil, "claims"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, saying(tt.answer))
			cfg := s.config()
			if tt.cfg != nil {
				tt.cfg(&cfg)
			}
			h := newHouse(t, newIntrospector(t, cfg))
			for range 2 {
				w := h.get(opaque)
				if w.Code != http.StatusUnauthorized || h.reason() != tt.reason {
					t.Errorf("status = %d, reason = %q, want 401, %q: %s", w.Code, h.reason(), tt.reason, h.detail())
				}
				if got, want := w.Header().Get("WWW-Authenticate"), `Bearer error="invalid_token"`; got != want {
					t.Errorf("challenge = %q, want %q", got, want)
				}
			}
			if got, want := s.count(""), 1; tt.reason != "binding" && got != want {
				t.Errorf("asked %d times, want %d: refusals are remembered", got, want)
			}
		})
	}
}

// TestNoAnswer: whatever is not one answer admits nobody, accuses nobody, and is
// not remembered.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	ok := good().json()
	redirect := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", status) }
	}
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		detail string
	}{
		{"empty", says(200, ``), "the introspection endpoint's answer: not JSON from byte 0 on"},
		{"null", says(200, `null`), "the introspection endpoint's answer: not a JSON object"},
		{"true", says(200, `true`), "the introspection endpoint's answer: not a JSON object"},
		{"array", says(200, `[{"active":true}]`), "the introspection endpoint's answer: not a JSON object"},
		{"HTML", says(200, `<html>log in</html>`), "the introspection endpoint's answer: not JSON from byte 1 on"},
		{"two answers", says(200, ok+ok), ""},
		{"half an answer", says(200, ok[:40]), ""},
		{"not UTF-8", says(200, "{\"active\":true,\"sub\":\"\xff\"}"), "the introspection endpoint's answer: not UTF-8"},
		{"active twice", says(200, `{"active":false,"active":true,"sub":"a","aud":"orders"}`), `the introspection endpoint's answer: a member occurs twice: "active"`},
		{"sub twice", says(200, `{"active":true,"sub":"a","sub":"b","aud":"orders"}`), `the introspection endpoint's answer: a member occurs twice: "sub"`},
		{"active in two cases", says(200, `{"active":true,"Active":false,"sub":"a","aud":"orders"}`), "the introspection endpoint's answer: active is written in another case"},
		{"active in another case", says(200, `{"ACTIVE":true,"sub":"a","aud":"orders"}`), "the introspection endpoint's answer: active is written in another case"},
		{"no active", says(200, `{"sub":"a","aud":"orders"}`), "the introspection endpoint's answer: active is missing"},
		{"active is a string", says(200, `{"active":"true","sub":"a","aud":"orders"}`), "the introspection endpoint's answer: active is neither true nor false"},
		{"active is a number", says(200, `{"active":1,"sub":"a","aud":"orders"}`), "the introspection endpoint's answer: active is neither true nor false"},
		{"active is null", says(200, `{"active":null,"sub":"a","aud":"orders"}`), "the introspection endpoint's answer: active is neither true nor false"},
		{"too large", says(200, `{"active":true,"pad":"`+strings.Repeat("a", 64<<10)+`"}`), "the introspection endpoint: the answer is larger than 65536 bytes"},
		{"201", says(201, ok), "the introspection endpoint answered with status 201"},
		{"204", says(204, ""), "the introspection endpoint answered with status 204"},
		{"400", says(400, ok), "the introspection endpoint answered with status 400"},
		{"400 with an error", says(400, `{"error":"invalid_request","secret":"hunter2"}`), "the introspection endpoint answered with status 400"},
		{"401", says(401, ok), "the introspection endpoint does not take this service's Credentials: status 401"},
		{"403", says(403, ok), "the introspection endpoint answered with status 403; do its Credentials permit this service to ask?"},
		{"404", says(404, ok), "the introspection endpoint answered with status 404"},
		{"429", says(429, ok), "the introspection endpoint answered with status 429"},
		{"500", says(500, ok), "the introspection endpoint answered with status 500"},
		{"503", says(503, ok), "the introspection endpoint answered with status 503"},
		{"302", redirect(302), "the introspection endpoint: the answer to a POST is a redirect, which is not followed"},
		{"307", redirect(307), "the introspection endpoint: the answer to a POST is a redirect, which is not followed"},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(ok))
		}, "the introspection endpoint: the exchange failed"},
		{"hung up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "the introspection endpoint: the exchange failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, tt.answer)
				h := newHouse(t, newIntrospector(t, s.config()))
				w := h.get(opaque)
				if w.Code != http.StatusServiceUnavailable || h.reason() != "unavailable" {
					t.Errorf("status = %d, reason = %q, want 503, unavailable", w.Code, h.reason())
				}
				if tt.detail != "" && h.detail() != tt.detail {
					t.Errorf("detail = %q, want %q", h.detail(), tt.detail)
				}
				if got := w.Header().Get("Retry-After"); got != "1" {
					t.Errorf("Retry-After = %q, want 1", got)
				}
				if got := w.Header().Values("WWW-Authenticate"); len(got) > 0 {
					t.Errorf("challenge = %q, want none", got)
				}
				if strings.Contains(w.Body.String()+h.detail(), "hunter2") {
					t.Error("the answer's text was passed on")
				}
				s.set(says(http.StatusOK, good().json()))
				time.Sleep(time.Second)
				if w := h.get(opaque); w.Code != http.StatusOK {
					t.Errorf("status once it answers = %d, want 200: %s", w.Code, h.detail())
				}
			})
		})
	}
}

package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/principal"
)

// RFC 8725 section 3.11, RFC 9068 section 2.1: typ is a media type, whose
// "application/" may be left out, in any case.
func TestType(t *testing.T) {
	t.Parallel()
	s := signerFor("EdDSA")
	lax, strict := issuerOf(s), issuerOf(s)
	strict.Profile = auth.ProfileRFC9068
	for _, tt := range []struct {
		typ         any
		lax, strict string
	}{
		{nil, "", auth.ReasonType},
		{"JWT", "", auth.ReasonType},
		{"jwt", "", auth.ReasonType},
		{"application/jwt", "", auth.ReasonType},
		{"at+jwt", "", ""},
		{"AT+JWT", "", ""},
		{"application/at+jwt", "", ""},
		{"Application/AT+JWT", "", ""},
		{"dpop+jwt", auth.ReasonType, auth.ReasonType},
		{"logout+jwt", auth.ReasonType, auth.ReasonType},
		{"secevent+jwt", auth.ReasonType, auth.ReasonType},
		{"application/", auth.ReasonType, auth.ReasonType},
		{"application/application/jwt", auth.ReasonType, auth.ReasonType},
		{"text/jwt", auth.ReasonType, auth.ReasonType},
		{"JWT ", auth.ReasonType, auth.ReasonType},
		{"", auth.ReasonType, auth.ReasonType},
		{null, auth.ReasonType, auth.ReasonType},
		{1, auth.ReasonType, auth.ReasonType},
		{[]string{"JWT"}, auth.ReasonType, auth.ReasonType},
	} {
		token := encode(t, s, object{"alg": "EdDSA"}.with(object{"typ": tt.typ}).json(t), goodClaims().json(t))
		check(t, newJWT(t, lax), token, tt.lax)
		check(t, newJWT(t, strict), token, tt.strict)
	}
}

// What a token says of itself that it is not: a token for access.
func TestPurpose(t *testing.T) {
	t.Parallel()
	s := signerFor("ES256")
	j := newJWT(t, issuerOf(s))
	for _, tt := range []struct {
		claims object
		want   string
	}{
		{object{"typ": "Bearer"}, ""}, // Keycloak
		{object{"typ": "DPoP"}, ""},
		{object{"typ": "JWT", "token_use": "access"}, ""}, // Cognito
		{object{"token_use": "access_token"}, ""},
		{object{"typ": "ID"}, auth.ReasonType},
		{object{"typ": "Refresh"}, auth.ReasonType},
		{object{"typ": "Offline"}, auth.ReasonType},
		{object{"typ": "Logout"}, auth.ReasonType},
		{object{"typ": ""}, auth.ReasonType},
		{object{"token_use": "id"}, auth.ReasonType},
		{object{"token_use": "refresh_token"}, auth.ReasonType},
		{object{"token_type": "N_A"}, auth.ReasonType},
		{object{"typ": 1}, auth.ReasonClaims},
	} {
		check(t, j, s.token(t, goodClaims().with(tt.claims)), tt.want)
	}
}

// RFC 9068 section 2.2.
func TestProfileRFC9068WantsItsClaims(t *testing.T) {
	t.Parallel()
	s := signerFor("ES256")
	iss := issuerOf(s)
	iss.Profile = auth.ProfileRFC9068
	iss.ClientIDs = []string{"web"}
	j := newJWT(t, iss)
	token := func(edits object) string {
		return encode(t, s, `{"alg":"ES256","typ":"at+jwt"}`, goodClaims().with(edits).json(t))
	}
	check(t, j, token(nil), "")
	for _, name := range []string{"iss", "exp", "aud", "sub", "client_id", "iat", "jti"} {
		check(t, j, token(object{name: nil, "azp": "web"}), auth.ReasonClaims)
	}
}

func TestUnknownProfile(t *testing.T) {
	t.Parallel()
	iss := issuerOf(signerFor("ES256"))
	iss.Profile = 7
	if _, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{iss}}); err == nil || err.Error() != "auth: Issuers[0].Profile is 7, want one of the constants" {
		t.Errorf("NewJWT = %v", err)
	}
}

// Amazon Cognito puts no aud into access tokens, but the client.
func TestClientIDs(t *testing.T) {
	t.Parallel()
	s := signerFor("RS256")
	iss := issuerOf(s)
	iss.Audience, iss.ClientIDs = nil, []string{"app", "web"}
	alone := newJWT(t, iss)
	iss.Audience = []string{service}
	both := newJWT(t, iss)
	for _, tt := range []struct {
		name        string
		edits       object
		alone, both string
	}{
		{"a client of ours", object{"aud": nil}, "", ""},
		{"a client of ours by azp", object{"aud": nil, "client_id": nil, "azp": "app"}, "", ""},
		{"another client", object{"aud": nil, "client_id": "evil"}, auth.ReasonAudience, auth.ReasonAudience},
		{"no client", object{"aud": nil, "client_id": nil}, auth.ReasonAudience, auth.ReasonAudience},
		{"an audience", nil, auth.ReasonAudience, ""},
		{"another audience", object{"aud": "billing"}, auth.ReasonAudience, auth.ReasonAudience},
		{"an empty audience", object{"aud": []string{}}, auth.ReasonAudience, auth.ReasonAudience},
		{"the client as audience, as of an ID token", object{"aud": "web"}, auth.ReasonAudience, auth.ReasonAudience},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			token := s.token(t, goodClaims().with(tt.edits))
			check(t, alone, token, tt.alone)
			check(t, both, token, tt.both)
		})
	}
}

// Each tenant of an issuer is an issuer of its own.
func TestTenants(t *testing.T) {
	t.Parallel()
	s := signerFor("ES256")
	iss := issuerOf(s)
	iss.URL, iss.Tenants = "https://login.example/{tenantid}/v2.0", []string{"a1", "b2"}
	j := newJWT(t, iss)
	for _, tt := range []struct {
		name   string
		edits  object
		want   string
		tenant string
	}{
		{"first", object{"iss": "https://login.example/a1/v2.0", "tid": "a1"}, "", "a1"},
		{"second, without tid", object{"iss": "https://login.example/b2/v2.0"}, "", "b2"},
		{"tid of another", object{"iss": "https://login.example/a1/v2.0", "tid": "b2"}, auth.ReasonIssuer, ""},
		{"tid number", object{"iss": "https://login.example/a1/v2.0", "tid": 1}, auth.ReasonIssuer, ""},
		{"another tenant", object{"iss": "https://login.example/c3/v2.0", "tid": "c3"}, auth.ReasonIssuer, ""},
		{"the template itself", object{"iss": "https://login.example/{tenantid}/v2.0"}, auth.ReasonIssuer, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if p := check(t, j, s.token(t, goodClaims().with(tt.edits)), tt.want); p != nil && p.Tenant != tt.tenant {
				t.Errorf("Tenant = %q, want %q", p.Tenant, tt.tenant)
			}
		})
	}
	for _, tt := range []struct {
		url     string
		tenants []string
		want    string
	}{
		{"https://login.example/{tenantid}/v2.0", nil, "auth: Issuers[0].Tenants is empty, want those whose tokens are accepted"},
		{"https://login.example/v2.0", []string{"a"}, `auth: Issuers[0].URL is "https://login.example/v2.0", want {tenantid} in it once, for Tenants`},
		{"https://login.example/{tenantid}", []string{""}, `auth: Issuers[0].Tenants has "", want the id of a tenant`},
		{"https://login.example/{tenantid}", []string{"a/b"}, `auth: Issuers[0].Tenants has "a/b", want the id of a tenant`},
		{"https://login.example/{tenantid}", []string{"a", "a"}, `auth: Issuers[0].URL is "https://login.example/a" again, want each issuer once`},
	} {
		iss.URL, iss.Tenants = tt.url, tt.tenants
		if _, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{iss}}); err == nil || err.Error() != tt.want {
			t.Errorf("NewJWT = %v, want %s", err, tt.want)
		}
	}
}

func TestMap(t *testing.T) {
	t.Parallel()
	s := signerFor("ES256")
	iss := issuerOf(s)
	iss.Map = func(raw json.RawMessage, p *principal.Principal) error {
		var c struct {
			OID   string `json:"oid"`
			Fault bool   `json:"fault"`
		}
		if err := json.Unmarshal(raw, &c); err != nil {
			return err
		}
		if c.Fault {
			return errors.New("canary")
		}
		p.Subject, p.Roles = c.OID, []string{"mapped"}
		p.Issuer, p.Scheme, p.ExpiresAt = "https://evil.example", "Session", time.Now().AddDate(100, 0, 0)
		return nil
	}
	j := newJWT(t, iss)
	p := check(t, j, s.token(t, goodClaims().with(object{"oid": "o-1"})), "")
	if p.Subject != "o-1" || !p.HasRole("mapped") || p.Issuer != issuerURL || p.Scheme != "Bearer" || time.Until(p.ExpiresAt) > 2*time.Hour {
		t.Errorf("principal = %+v, want the mapped subject and role, and the rest as it was", p)
	}
	if c, err := principal.Claims[struct{ OID string }](p); err != nil || c.OID != "o-1" {
		t.Errorf("Claims = %+v, %v", c, err)
	}
	check(t, j, s.token(t, goodClaims()), auth.ReasonClaims)
	check(t, j, s.token(t, goodClaims().with(object{"oid": "o-1", "fault": true})), auth.ReasonClaims)
}

func TestMaxLifetime(t *testing.T) {
	t.Parallel()
	s := signerFor("ES256")
	j, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{issuerOf(s)}, MaxLifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	for _, tt := range []struct {
		name  string
		edits object
		want  string
	}{
		{"as long as may be", object{"iat": now, "exp": now + 3600}, ""},
		{"a second longer", object{"iat": now, "exp": now + 3601}, auth.ReasonLifetime},
		{"long, and old", object{"iat": now - 86400, "exp": now + 60}, auth.ReasonLifetime},
		{"no iat", object{"iat": nil}, auth.ReasonClaims},
	} {
		check(t, j, s.token(t, goodClaims().with(tt.edits)), tt.want)
	}
	if _, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{issuerOf(s)}, MaxLifetime: -1}); err == nil || err.Error() != "auth: MaxLifetime is -1ns, want 0 or more" {
		t.Errorf("NewJWT = %v", err)
	}
}

func TestCheckHasTheLastWord(t *testing.T) {
	t.Parallel()
	s := signerFor("ES256")
	for _, tt := range []struct {
		name   string
		err    error
		status int
		reason string
	}{
		{"nothing to say", nil, 200, "admitted"},
		{"refused", statusError(401), 401, auth.ReasonRefused},
		{"forbidden", statusError(403), 403, auth.ReasonScope},
		{"cannot say", errors.New("canary"), 503, auth.ReasonUnavailable},
		{"own words", &auth.Error{Kind: auth.Invalid, Reason: "suspended"}, 401, "suspended"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			calls := 0
			j, err := auth.NewJWT(auth.JWTConfig{
				Issuers: []auth.Issuer{issuerOf(s)},
				Check: func(_ context.Context, p *principal.Principal) error {
					calls++
					if p.Subject != "alice" {
						t.Errorf("Check of %q", p.Subject)
					}
					return tt.err
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			var got string
			g := newGate(t, auth.Config{Authenticators: []auth.Authenticator{j}, OnDecision: reasons(&got)})
			if w := serve(g.Handler(whoami), "Bearer "+s.token(t, goodClaims())); w.Code != tt.status || got != tt.reason || strings.Contains(w.Body.String(), "canary") {
				t.Errorf("status = %d, reason %q: %s, want %d, %q", w.Code, got, w.Body, tt.status, tt.reason)
			}
			serve(g.Handler(whoami), "Bearer "+s.token(t, goodClaims().with(object{"exp": 1})))
			if calls != 1 {
				t.Errorf("Check was called %d times, want once, for the good token", calls)
			}
		})
	}
}

// A list that says what a test wants.
type list struct {
	revoked bool
	err     error
	asked   []string
}

func (l *list) Revoked(_ context.Context, p *principal.Principal) (bool, error) {
	l.asked = append(l.asked, p.Issuer+" "+p.TokenID)
	return l.revoked, l.err
}

func TestRevoked(t *testing.T) {
	t.Parallel()
	s := signerFor("ES256")
	l := new(list)
	j, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{issuerOf(s)}, Revoked: l})
	if err != nil {
		t.Fatal(err)
	}
	good := s.token(t, goodClaims())
	check(t, j, good, "")
	l.revoked = true
	check(t, j, good, auth.ReasonRevoked)
	l.revoked, l.err = false, errors.New("canary: store is down")
	check(t, j, good, auth.ReasonUnavailable)
	g := newGate(t, auth.Config{Authenticators: []auth.Authenticator{j}})
	if w := serve(g.Handler(whoami), "Bearer "+good); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "canary") {
		t.Errorf("status = %d, %v: %s, want 503 with Retry-After", w.Code, w.Header(), w.Body)
	}
	l.err = nil
	check(t, j, s.token(t, goodClaims().with(object{"jti": nil})), auth.ReasonClaims)
	check(t, j, s.token(t, goodClaims().with(object{"exp": 1})), auth.ReasonExpired)
	if want := slices.Repeat([]string{issuerURL + " token-1"}, 4); !slices.Equal(l.asked, want) {
		t.Errorf("asked %q, want %q", l.asked, want)
	}
}

// What was not made by its New is told of at once.
func TestNewJWTWantsWhatWasMade(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]auth.JWTConfig{
		"DPoP is empty": {DPoP: new(auth.DPoP)},
		"Revoked is a nil or empty *auth.Revocations":      {Revoked: new(auth.Revocations)},
		"Revoked is a nil or empty *auth.RedisRevocations": {Revoked: (*auth.RedisRevocations)(nil)},
	} {
		cfg.Issuers = []auth.Issuer{issuerOf(signerFor("ES256"))}
		if _, err := auth.NewJWT(cfg); err == nil || !strings.HasPrefix(err.Error(), "auth: "+want) {
			t.Errorf("NewJWT = %v, want %s", err, want)
		}
	}
	var none *auth.JWT
	if none.Close() != nil || none.Ready(t.Context()) == nil || none.Carries(httptest.NewRequest(http.MethodGet, "/", http.NoBody)) != "" {
		t.Error("a nil JWT is ready, or carries credentials")
	}
}

// What a user's function returns never hands a token on to the next.
func TestNoFunctionDeclines(t *testing.T) {
	t.Parallel()
	s := signerFor("ES256")
	sentinel := fmt.Errorf("mine: %w", auth.ErrNoCredentials)
	mapped := issuerOf(s)
	mapped.Map = func(json.RawMessage, *principal.Principal) error { return sentinel }
	for name, cfg := range map[string]auth.JWTConfig{
		"Check":   {Issuers: []auth.Issuer{issuerOf(s)}, Check: func(context.Context, *principal.Principal) error { return sentinel }},
		"Revoked": {Issuers: []auth.Issuer{issuerOf(s)}, Revoked: &list{err: sentinel}},
		"Map":     {Issuers: []auth.Issuer{mapped}},
	} {
		j, err := auth.NewJWT(cfg)
		if err != nil {
			t.Fatal(err)
		}
		g := newGate(t, auth.Config{Authenticators: []auth.Authenticator{j, &stub{principal: bob}}})
		if w := serve(g.Handler(whoami), "Bearer "+s.token(t, goodClaims())); w.Code < 400 {
			t.Errorf("%s: status = %d, and the next Authenticator was asked", name, w.Code)
		}
	}
}

// RFC 9470 section 3.
func TestRequireRecent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := signerFor("ES256")
		var why string
		g := newGate(t, auth.Config{Authenticators: []auth.Authenticator{newJWT(t, issuerOf(s))}, OnDecision: reasons(&why)})
		now := time.Now().Unix()
		for _, tt := range []struct {
			name      string
			maxAge    time.Duration
			acr       []string
			edits     object
			status    int
			challenge string
		}{
			{"recent", time.Minute, nil, object{"auth_time": now - 60}, 200, ""},
			{"too old", time.Minute, nil, object{"auth_time": now - 61}, 401, `Bearer error="insufficient_user_authentication", max_age="60"`},
			{"from the future", time.Minute, nil, object{"auth_time": now + 3600}, 401, `Bearer error="insufficient_user_authentication", max_age="60"`},
			{"no auth_time", time.Minute, nil, nil, 401, `Bearer error="insufficient_user_authentication", max_age="60"`},
			{"acr", 0, []string{"gold", "silver"}, object{"acr": "silver"}, 200, ""},
			{"another acr", 0, []string{"gold", "silver"}, object{"acr": "bronze"}, 401, `Bearer error="insufficient_user_authentication", acr_values="gold silver"`},
			{"no acr", 0, []string{"gold"}, nil, 401, `Bearer error="insufficient_user_authentication", acr_values="gold"`},
			{"both", time.Hour, []string{"gold"}, object{"acr": "gold", "auth_time": now - 10}, 200, ""},
			{"acr but too old", time.Minute, []string{"gold"}, object{"acr": "gold", "auth_time": now - 61}, 401, `Bearer error="insufficient_user_authentication", acr_values="gold", max_age="60"`},
		} {
			h := g.Handler(g.RequireRecent(tt.maxAge, tt.acr...)(whoami))
			w := serve(h, "Bearer "+s.token(t, goodClaims().with(tt.edits)))
			if got := w.Header().Get("WWW-Authenticate"); w.Code != tt.status || got != tt.challenge {
				t.Errorf("%s: status = %d, challenge %s, want %d, %s", tt.name, w.Code, got, tt.status, tt.challenge)
			}
			if want := map[int]string{200: "granted", 401: auth.ReasonStale}[tt.status]; why != want {
				t.Errorf("%s: reason = %q, want %q", tt.name, why, want)
			}
		}
		if w := serve(g.RequireRecent(time.Minute)(whoami)); w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("without a caller: status = %d, %v", w.Code, w.Header())
		}
	})
	g := newGate(t, auth.Config{Authenticators: []auth.Authenticator{&stub{}}})
	for name, wire := range map[string]func(){
		"nil Gate": func() { (*auth.Gate)(nil).RequireRecent(time.Minute) },
		"negative": func() { g.RequireRecent(-1) },
		"nothing":  func() { g.RequireRecent(0) },
		"quote":    func() { g.RequireRecent(0, `a"b`) },
		"empty":    func() { g.RequireRecent(0, "") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			wire()
		}()
	}
}

// The token may come in a cookie, and then only from a page of our own.
func TestCookie(t *testing.T) {
	t.Parallel()
	s := signerFor("ES256")
	const name = "__Host-token"
	j, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{issuerOf(s)}, Cookie: name})
	if err != nil {
		t.Fatal(err)
	}
	good := s.token(t, goodClaims())
	type headers = http.Header
	for _, tt := range []struct {
		name   string
		method string
		header headers
		status int
		reason string
	}{
		{"page of ours", "GET", headers{"Sec-Fetch-Site": {"same-origin"}}, 200, "admitted"},
		{"page of ours, POST", "POST", headers{"Sec-Fetch-Site": {"same-origin"}}, 200, "admitted"},
		{"typed", "GET", headers{"Sec-Fetch-Site": {"none"}}, 200, "admitted"},
		{"typed, POST", "POST", headers{"Sec-Fetch-Site": {"none"}}, 403, auth.ReasonOrigin},
		{"subdomain", "GET", headers{"Sec-Fetch-Site": {"same-site"}}, 403, auth.ReasonOrigin},
		{"another site", "GET", headers{"Sec-Fetch-Site": {"cross-site"}}, 403, auth.ReasonOrigin},
		{"another site with our Origin", "POST", headers{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://api.example.com"}}, 403, auth.ReasonOrigin},
		{"said twice", "GET", headers{"Sec-Fetch-Site": {"same-origin", "cross-site"}}, 403, auth.ReasonOrigin},
		{"Origin", "POST", headers{"Origin": {"https://api.example.com"}}, 200, "admitted"},
		{"Origin of another", "POST", headers{"Origin": {"https://evil.example"}}, 403, auth.ReasonOrigin},
		{"Origin over HTTP", "POST", headers{"Origin": {"http://api.example.com"}}, 403, auth.ReasonOrigin},
		{"Origin on another port", "POST", headers{"Origin": {"https://api.example.com:8443"}}, 403, auth.ReasonOrigin},
		{"Origin null", "POST", headers{"Origin": {"null"}}, 403, auth.ReasonOrigin},
		{"nothing", "GET", nil, 403, auth.ReasonOrigin},
		{"header too", "GET", headers{"Sec-Fetch-Site": {"same-origin"}, "Authorization": {"Bearer " + good}}, 400, auth.ReasonDuplicate},
		{"another cookie too", "GET", headers{"Sec-Fetch-Site": {"same-origin"}, "Cookie": {name + "=" + good + "; " + name + "=" + good}}, 400, auth.ReasonDuplicate},
		{"empty", "GET", headers{"Sec-Fetch-Site": {"same-origin"}, "Cookie": {name + "="}}, 400, auth.ReasonMalformed},
		{"not a token", "GET", headers{"Sec-Fetch-Site": {"same-origin"}, "Cookie": {name + "=x"}}, 401, auth.ReasonMalformed},
		{"another scheme too", "GET", headers{"Sec-Fetch-Site": {"same-origin"}, "Authorization": {"Basic eDp5"}}, 400, auth.ReasonDuplicate},
		{"no scheme too", "GET", headers{"Sec-Fetch-Site": {"same-origin"}, "Authorization": {"Bearer\t" + good}}, 400, auth.ReasonDuplicate},
		{"bound to a certificate", "GET", headers{"Sec-Fetch-Site": {"same-origin"}, "Cookie": {name + "=" + s.token(t, goodClaims().with(object{"cnf": object{"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}}))}}, 401, auth.ReasonBinding},
		{"another name", "GET", headers{"Sec-Fetch-Site": {"same-origin"}, "Cookie": {"token=" + good}}, 401, auth.ReasonMissing},
		{"bound to a key", "GET", headers{"Sec-Fetch-Site": {"same-origin"}, "Cookie": {name + "=" + s.token(t, goodClaims().with(object{"cnf": object{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}))}}, 401, auth.ReasonBinding},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got string
			h := newGate(t, auth.Config{Authenticators: []auth.Authenticator{j}, OnDecision: reasons(&got)}).Handler(whoami)
			r := httptest.NewRequest(tt.method, "https://api.example.com/orders", http.NoBody)
			r.Header.Set("Cookie", name+"="+good)
			maps.Copy(r.Header, tt.header)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.status || got != tt.reason {
				t.Errorf("status = %d, reason %q, want %d, %q", w.Code, got, tt.status, tt.reason)
			}
			if tt.status == http.StatusForbidden && w.Header().Get("WWW-Authenticate") != "" {
				t.Errorf("challenge = %q, want none: no other credential would help", w.Header().Get("WWW-Authenticate"))
			}
		})
	}
	for _, bad := range []string{"token", "__Secure-token", "__host-token", "__Host-", "__Host-a b", "__Host-a;b", "__Host-a=b"} {
		if _, err := auth.NewJWT(auth.JWTConfig{Issuers: []auth.Issuer{issuerOf(s)}, Cookie: bad}); err == nil || !strings.Contains(err.Error(), "__Host-") {
			t.Errorf("NewJWT with Cookie %q = %v", bad, err)
		}
	}
}

// reasons returns an OnDecision that keeps the last reason.
func reasons(last *string) func(context.Context, decision.Decision) {
	return func(_ context.Context, d decision.Decision) { *last = d.Reason }
}

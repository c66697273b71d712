package introspect_test

import (
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/authtest"
)

// TestBound: a token that is bound to a key or a certificate is of no use
// without it, also when it is remembered.
func TestBound(t *testing.T) {
	t.Parallel()
	key := authtest.NewProofKey("")
	mine, others := &x509.Certificate{Raw: []byte("mine")}, &x509.Certificate{Raw: []byte("others")}
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		answer := good()
		switch r.PostFormValue("token") {
		case "to-a-key":
			answer = answer.with(object{"cnf": key.Confirmation(), "token_type": "DPoP"})
		case "to-a-certificate":
			answer = answer.with(object{"cnf": authtest.CertificateConfirmation(mine)})
		}
		saying(answer)(w, r)
	})
	dpop := func(required bool) *auth.DPoP {
		d, err := auth.NewDPoP(auth.DPoPConfig{Origin: "https://api.example.com", Required: required})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	cfg := s.config()
	cfg.DPoP = dpop(false)
	var cert *x509.Certificate
	cfg.ClientCert = func(*http.Request) *x509.Certificate { return cert }
	some := newHouse(t, newIntrospector(t, cfg))
	cfg.DPoP = dpop(true)
	all := newHouse(t, newIntrospector(t, cfg))
	proof := func(token string) string {
		return key.Proof(http.MethodGet, "https://api.example.com/orders", token, nil)
	}
	used := proof("to-a-key")
	for _, tt := range []struct {
		name, authorization, proof string
		cert                       *x509.Certificate
		reason                     string // "": admitted
		scheme                     string
		required                   string // reason where DPoP is required
	}{
		{"bound to a key", "DPoP to-a-key", used, nil, "", "DPoP", ""},
		{"with a proof that was used", "DPoP to-a-key", used, nil, "dpop_replay", "", "dpop_replay"},
		{"with another proof", "DPoP to-a-key", "new", nil, "", "DPoP", ""},
		{"without a proof", "DPoP to-a-key", "", nil, "dpop", "", "dpop"},
		{"as Bearer", "Bearer to-a-key", "new", nil, "binding", "", "binding"},
		{"with the proof of another token", "DPoP to-a-key", proof("another"), nil, "dpop", "", "dpop"},
		{"bound to nothing, as DPoP", "DPoP unbound", "new", nil, "binding", "", "binding"},
		{"bound to nothing", "Bearer unbound", "", nil, "", "Bearer", "binding"},
		{"bound to a certificate", "Bearer to-a-certificate", "", mine, "", "Bearer", ""},
		{"with another certificate", "Bearer to-a-certificate", "", others, "binding", "", "binding"},
		{"without a certificate", "Bearer to-a-certificate", "", nil, "binding", "", "binding"},
	} {
		for _, h := range []struct {
			*house
			want string
		}{{some, tt.reason}, {all, tt.required}} {
			r := request(tt.authorization)
			switch tt.proof {
			case "":
			case "new":
				_, token, _ := strings.Cut(tt.authorization, " ")
				r.Header.Set("DPoP", proof(token))
			default:
				r.Header.Set("DPoP", tt.proof)
			}
			cert, h.caller = tt.cert, nil
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			switch {
			case h.want == "":
				if w.Code != 200 || h.caller == nil || h.caller.Scheme != tt.scheme {
					t.Errorf("%s: status = %d, %s, caller = %+v, want 200 and scheme %s", tt.name, w.Code, h.reason(), h.caller, tt.scheme)
				}
			case w.Code != 401 || h.reason() != h.want:
				t.Errorf("%s: status = %d, reason = %q, want 401, %q", tt.name, w.Code, h.reason(), h.want)
			default:
				challenges := w.Header().Values("WWW-Authenticate")
				if !slices.ContainsFunc(challenges, func(c string) bool { return strings.HasPrefix(c, "DPoP ") && strings.Contains(c, "algs=") }) {
					t.Errorf("%s: challenges = %q, want one for DPoP", tt.name, challenges)
				}
			}
		}
	}
	for _, token := range []string{"to-a-key", "to-a-certificate", "unbound"} {
		if n := s.count(token); n != 2 {
			t.Errorf("%s was asked about %d times, want once by each", token, n)
		}
	}
}

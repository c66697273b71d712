package auth_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/auth/authtest"
)

type writer func(p []byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func hang(_ http.ResponseWriter, r *http.Request, _ http.Handler) { <-r.Context().Done() }

// Nobody waits for longer than 2 s for a slow issuer. What it then says is of
// use to those who come later.
func TestSlowIssuer(t *testing.T) {
	t.Parallel()
	for name, cache := range map[string]*auth.TokenCache{"without a cache": nil, "with a cache": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, authtest.Config{}, func(c *auth.JWTConfig) { c.Cache = cache })
				g.be(at(keysPath, slow(3500*time.Millisecond)))
				token := g.Token(nil)
				var all sync.WaitGroup
				for range 10 { // with one token: a cache has the others wait for the first
					all.Go(func() {
						w, took := g.try(token, auth.ReasonUnavailable)
						if took != 2*time.Second || w.Header().Get("Retry-After") != "1" {
							t.Errorf("%d with Retry-After %s after %v, want 503 with 1 after 2s", w.Code, w.Header().Get("Retry-After"), took)
						}
					})
				}
				all.Wait()
				if _, took := g.try(token, "admitted"); took != 1500*time.Millisecond {
					t.Errorf("admitted after %v, want 1.5s: by the fetch that began 2s ago", took)
				}
				g.wantAsked(oidc, forced)
				g.atOnce(g.Token(nil), "admitted")
				g.wantAsked()
			})
		})
	}
}

// A request that gives up learns that, whatever the issuer does.
func TestCallerGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, authtest.Config{})
		g.be(hang)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		_, err := g.jwt.Verify(ctx, g.Token(nil))
		if reason(err) != auth.ReasonUnavailable || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Verify = %v, want unavailable, and the context's error", err)
		}
	})
}

// An issuer that is down from the start is asked after 1, 2, 4, 8, 16 and from
// there on 30 s, however many requests come, and all of these are answered with
// 503 and when to come back.
func TestDownFromTheStart(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		conduct conduct
	}{
		{"cut off", down},
		{"overloaded", status(503)},
		{"broken", status(500)},
		{"gone", status(404)},
		{"keys missing", at(keysPath, status(404))},
		{"no keys", at(keysPath, body(`{"keys":[]}`))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, authtest.Config{})
				g.be(tt.conduct)
				token := g.lasting()
				start := time.Now()
				var want []time.Duration
				at, pause := time.Duration(0), time.Second
				for at < 3*time.Minute {
					want = append(want, at)
					at += pause
					pause = min(2*pause, 30*time.Second)
				}
				next := 1
				for time.Since(start) < 3*time.Minute {
					for next < len(want) && want[next] <= time.Since(start) {
						next++
					}
					for range 3 {
						w, took := g.try(token, auth.ReasonUnavailable)
						left := at
						if next < len(want) {
							left = want[next]
						}
						left -= time.Since(start)
						if got, want := w.Header().Get("Retry-After"), fmt.Sprint(int64((max(left, time.Second)+time.Second-1)/time.Second)); got != want || took != 0 {
							t.Errorf("after %v: Retry-After = %s after %v, want %s at once", time.Since(start), got, took, want)
						}
					}
					time.Sleep(time.Second / 2)
				}
				var got []time.Duration
				for _, r := range g.asked() {
					if r.what == oidc {
						got = append(got, r.at.Sub(start))
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("asked after %v, want %v", got, want)
				}
				if lines := g.logged(); len(lines) != len(want) {
					t.Errorf("%d lines were logged, want one for each of %d fetches: %s", len(lines), len(want), lines)
				}

				g.be(nil)
				time.Sleep(30 * time.Second)
				g.atOnce(token, "admitted")
				if lines := g.logged(); len(lines) != 1 || !strings.Contains(lines[0], "keys were fetched again") {
					t.Errorf("log = %q, want that it is over", lines)
				}
				// The next failure counts from one again.
				g.be(down)
				time.Sleep(10 * time.Second)
				w, _ := g.try(renamed(token, "junk"), auth.ReasonUnavailable)
				if got := w.Header().Get("Retry-After"); got != "1" {
					t.Errorf("Retry-After = %s, want 1", got)
				}
			})
		})
	}
}

// An issuer that does not answer at all costs nobody more than 2 s, and only
// while a fetch is under way.
func TestBlackhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, authtest.Config{})
		g.be(hang)
		token := g.lasting()
		start := time.Now()
		for time.Since(start) < time.Minute {
			if _, took := g.try(token, auth.ReasonUnavailable); took > 2*time.Second {
				t.Errorf("it took %v", took)
			}
			time.Sleep(time.Second / 10)
		}
		want := []time.Duration{0, 6, 13, 22, 35, 56} // 5 s each, and the pause
		asked := g.asked()
		if len(asked) != len(want) {
			t.Fatalf("asked %d times, want %d times", len(asked), len(want))
		}
		for i, r := range asked {
			if got := r.at.Sub(start); got < want[i]*time.Second || got > (want[i]+2)*time.Second {
				t.Errorf("asked after %v, want about %v", got, want[i]*time.Second)
			}
		}
	})
}

// The keys that are there stay in use for 24 h, and nobody waits for others.
// Then, and for tokens of unknown keys, there is nothing but 503.
func TestDownAfterALoad(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		conduct conduct
	}{{"cut off", down}, {"broken", status(500)}, {"does not answer", hang}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, authtest.Config{})
				token := g.lasting()
				g.try(token, "admitted")
				start := time.Now()
				g.asked()
				g.be(tt.conduct)
				time.Sleep(5*time.Minute - 1)
				g.atOnce(token, "admitted") // refreshed in the background
				time.Sleep(7 * time.Second)
				for i := 0; time.Since(start) < 24*time.Hour-10*time.Minute; i++ {
					time.Sleep(min(time.Duration(i)*time.Second, 10*time.Minute))
					g.atOnce(token, "admitted")
				}
				if got := len(g.asked()); got < 100 {
					t.Errorf("asked %d times in a day, want it tried again and again", got)
				}
				g.try(renamed(token, "junk"), auth.ReasonUnavailable)
				g.try(forged(token), auth.ReasonSignature)
				time.Sleep(time.Until(start.Add(24*time.Hour - 1)))
				g.atOnce(token, "admitted")
				time.Sleep(7 * time.Second)
				g.try(token, auth.ReasonUnavailable)
				g.try(forged(token), auth.ReasonUnavailable) // who could tell?
				g.be(nil)
				time.Sleep(time.Minute)
				g.try(token, "admitted")
				g.Rotate()
				time.Sleep(10 * time.Second)
				g.atOnce(g.Token(nil), "admitted")
			})
		})
	}
}

// A service that nobody called for a day has no keys of use either.
func TestKeysOfYesterday(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, authtest.Config{})
		old, token := g.KeyID(), g.lasting()
		g.try(token, "admitted")
		g.Rotate()
		g.Retire(old)
		time.Sleep(24 * time.Hour)
		g.be(hang)
		if _, took := g.try(token, auth.ReasonUnavailable); took != 2*time.Second {
			t.Errorf("it took %v, want 2s", took)
		}
		g.be(nil)
		time.Sleep(time.Minute)
		g.try(token, auth.ReasonKey)
		g.try(g.Token(nil), "admitted")
	})
}

// Whatever an issuer sends in place of keys, those that are there stay in use,
// and when it is itself again so are the new ones.
func TestBadDocuments(t *testing.T) {
	t.Parallel()
	hundred := func(n int) string {
		keys := make([]object, n)
		for i := range keys {
			keys[i] = jwkOf(t, &p256Key().PublicKey, object{"kid": fmt.Sprint("k", i)})
		}
		return string(jwks(t, keys...))
	}
	good := func(i *authtest.Issuer) string { return string(i.JWKS()) }
	for _, tt := range []struct {
		name   string
		answer func(i *authtest.Issuer) conduct
		cause  string // "": it is good
	}{
		{"as large as may be", func(i *authtest.Issuer) conduct {
			return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
				set := good(i)
				_, _ = io.WriteString(w, set+strings.Repeat(" ", 1<<20-len(set)))
			}
		}, ""},
		{"100 keys", func(i *authtest.Issuer) conduct {
			return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
				ours := strings.TrimSuffix(strings.TrimPrefix(good(i), `{"keys":[`), `]}`)
				n := 100 - strings.Count(ours, `"kty"`)
				_, _ = io.WriteString(w, strings.Replace(hundred(n), `{"keys":[`, `{"keys":[`+ours+",", 1))
			}
		}, ""},
		{"redirect within the origin", func(*authtest.Issuer) conduct {
			return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if r.URL.RawQuery == "" {
					http.Redirect(w, r, keysPath+"?again", http.StatusFound)
					return
				}
				next.ServeHTTP(w, r)
			}
		}, ""},

		{"too large", func(i *authtest.Issuer) conduct {
			return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
				set := good(i)
				_, _ = io.WriteString(w, set+strings.Repeat(" ", 1<<20+1-len(set)))
			}
		}, "larger than 1048576 bytes"},
		{"101 keys", func(*authtest.Issuer) conduct { return body(hundred(101)) }, "JWKS has 101 keys"},
		{"garbage", func(*authtest.Issuer) conduct { return body("\x00\xff{") }, "JWKS: not UTF-8"},
		{"HTML", func(*authtest.Issuer) conduct { return body("<!DOCTYPE html><p>canary") }, "JWKS: not JSON"},
		{"nothing", func(*authtest.Issuer) conduct { return body("") }, "JWKS: not JSON"},
		{"an array", func(*authtest.Issuer) conduct { return body("[]") }, "JWKS: not a JSON object"},
		{"null", func(*authtest.Issuer) conduct { return body("null") }, "JWKS: not a JSON object"},
		{"no keys member", func(*authtest.Issuer) conduct { return body("{}") }, "JWKS has no array"},
		{"keys twice", func(i *authtest.Issuer) conduct { return body(`{"keys":[],` + good(i)[1:]) }, "a member occurs twice"},
		{"empty set", func(*authtest.Issuer) conduct { return body(`{"keys":[]}`) }, "no key to verify with"},
		{"keys for nothing", func(*authtest.Issuer) conduct { return body(`{"keys":[{"kty":"oct","k":"AA"},{"kty":"new"}]}`) }, "no key to verify with"},
		{"cut off", func(i *authtest.Issuer) conduct {
			return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
				_, _ = io.WriteString(w, good(i)[:40])
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}
		}, "the exchange failed"},
		{"404", func(*authtest.Issuer) conduct { return status(404) }, "status 404"},
		{"401", func(*authtest.Issuer) conduct { return status(401) }, "status 401"},
		{"500", func(*authtest.Issuer) conduct { return status(500) }, "status 500"},
		{"204", func(*authtest.Issuer) conduct { return status(204) }, "status 204"},
		{"304", func(*authtest.Issuer) conduct { return status(304) }, "status 304"},
		{"redirect to another host", func(*authtest.Issuer) conduct { return redirect("https://evil.example/jwks") }, "another origin"},
		{"redirect to plain HTTP", func(*authtest.Issuer) conduct { return redirect("http://issuer.test/jwks") }, "another origin"},
		{"redirect inside", func(*authtest.Issuer) conduct { return redirect("https://169.254.169.254/jwks") }, "another origin"},
		{"redirect without end", func(*authtest.Issuer) conduct { return redirect(keysPath) }, "more than 3 redirects"},
		{"redirect to nowhere", func(*authtest.Issuer) conduct { return status(302) }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, authtest.Config{})
				old := g.lasting()
				g.try(old, "admitted")
				g.logged()
				c := tt.answer(g.Issuer)
				g.be(at(keysPath, c))
				g.Rotate()
				time.Sleep(10 * time.Second)
				fresh := g.lasting()
				bad := tt.cause != "" || tt.name == "redirect to nowhere"
				if !bad {
					g.try(fresh, "admitted")
					g.try(old, "admitted")
					return
				}
				g.try(fresh, auth.ReasonUnavailable)
				g.atOnce(old, "admitted")
				lines := slices.DeleteFunc(g.logged(), func(s string) bool { return strings.Contains(s, "left out") })
				if len(lines) != 1 || !strings.Contains(lines[0], tt.cause) || strings.Contains(lines[0], "canary") {
					t.Errorf("log = %q, want one line with %q", lines, tt.cause)
				}
				if slices.ContainsFunc(g.asked(), func(r request) bool { return !strings.HasPrefix(r.what, "/") }) {
					t.Error("another host was asked")
				}
				time.Sleep(time.Hour) // when the keys are due
				g.atOnce(old, "admitted")
				g.try(fresh, auth.ReasonUnavailable)
				g.be(nil)
				time.Sleep(30 * time.Second)
				g.atOnce(fresh, "admitted")
				g.atOnce(old, "admitted")
			})
		})
	}
}

// A key that is of no use is left out and told of, and the others work. It is
// told of when it comes, not with each fetch.
func TestBadKeysAreLeftOut(t *testing.T) {
	t.Parallel()
	p224 := object{"kty": "EC", "crv": "P-224", "x": b64(strings.Repeat("x", 28)), "y": b64(strings.Repeat("y", 28))}
	ec := jwkOf(t, &p256Key().PublicKey, nil)
	ed := jwkOf(t, edKey.Public(), nil)
	rs := jwkOf(t, &rsaKey().PublicKey, nil)
	for _, tt := range []struct {
		name string
		keys []object
		told []string // at level WARN
	}{
		{"symmetric", []object{{"kty": "oct", "k": b64(secret64)}}, []string{"JWKS key 1 is symmetric"}},
		{"private", []object{ec.with(object{"d": b64("canary")})}, []string{"JWKS key 1 has private members"}},
		{"another use", []object{ec.with(object{"use": "tls"})}, []string{`JWKS key 1 has use \"tls\"`}},
		{"not to verify", []object{ec.with(object{"key_ops": []string{"sign"}})}, []string{"JWKS key 1 has key_ops"}},
		{"short", []object{rs.with(object{"n": b64("\xff" + strings.Repeat("\x01", 127))})}, []string{"JWKS key 1 has 1024 bits"}},
		{"long", []object{rs.with(object{"n": b64("\xff" + strings.Repeat("\x01", 1024))})}, []string{"JWKS key 1 has 8200 bits"}},
		{"even modulus", []object{rs.with(object{"n": b64("\xff" + strings.Repeat("\x02", 255))})}, []string{"JWKS key 1 has a modulus that is even"}},
		{"even exponent", []object{rs.with(object{"e": "AQAA"})}, []string{"JWKS key 1 has the exponent 65536"}},
		{"exponent 1", []object{rs.with(object{"e": "AQ"})}, []string{"JWKS key 1 has the exponent 1"}},
		{"huge exponent", []object{rs.with(object{"e": b64(strings.Repeat("\x01", 300))})}, []string{"JWKS key 1 has an exponent beyond"}},
		{"off its curve", []object{ec.with(object{"y": ec["x"]})}, []string{"JWKS key 1 is not a point"}},
		{"another curve's size", []object{ec.with(object{"crv": "P-384"})}, []string{"JWKS key 1 has coordinates of 32 and 32 bytes"}},
		{"a point of small order", []object{jwkOf(t, ed25519.PublicKey(make([]byte, 32)), nil)}, []string{"JWKS key 1 is"}},
		{"alg of another type", []object{ec.with(object{"alg": "RS256", "kid": "odd"})}, []string{`key \"odd\" is for \"RS256\"`}},
		{"alg of a secret", []object{ec.with(object{"alg": "HS256", "kid": "odd"})}, []string{`key \"odd\" is for \"HS256\"`}},
		{"no base64url", []object{ec.with(object{"x": "+"})}, []string{"JWKS key 1 has a x that is not base64url"}},
		{"half", []object{ec.with(object{"y": nil})}, []string{"JWKS key 1 y is missing"}},
		{"kid number", []object{ec.with(object{"kid": 1})}, []string{"JWKS key 1 kid is not a string"}},
		{"kid with line breaks", []object{ec.with(object{"kid": "a\r\n\x1b[31mb", "alg": "RS256"})}, []string{`key \"a\\r\\n\\x1b[31mb\" is for`}},
		{"kid that looks like another", []object{ec.with(object{"kid": "a\ufe0f", "alg": "RS256"})}, []string{`key \"a` + "\ufffd" + `\" is for`}},
		{"long kid", []object{ec.with(object{"kid": strings.Repeat("k", 100_000), "alg": "RS256"})}, []string{`key \"` + strings.Repeat("k", 64) + `\" is for`}},
		{"kid twice", []object{ec.with(object{"kid": "twice"}), ed.with(object{"kid": "twice"})}, []string{`JWKS has kid \"twice\" twice`}},
		{"kid twice, once of no use", []object{ec.with(object{"kid": "twice"}), {"kty": "oct", "k": "AA", "kid": "twice"}}, []string{`JWKS has kid \"twice\" twice`}},
		{"kid many times", slices.Repeat([]object{ed.with(object{"kid": "twice"})}, 99), []string{`JWKS has kid \"twice\" twice`}},
		{"for encryption", []object{rs.with(object{"use": "enc", "alg": "RSA-OAEP"})}, nil},
		{"unknown type", []object{{"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"}}, nil},
		{"unknown curves", []object{p224, {"kty": "OKP", "crv": "X25519", "x": b64(strings.Repeat("x", 32))}}, nil},
		{"several", []object{{"kty": "oct", "k": "AA"}, {"kty": "new"}, ec.with(object{"use": "x"})}, []string{"JWKS key 1 is symmetric", `JWKS key 3 has use \"x\"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, authtest.Config{})
				g.be(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
					if r.URL.Path != keysPath {
						next.ServeHTTP(w, r)
						return
					}
					var set struct{ Keys []object }
					if err := json.Unmarshal(g.JWKS(), &set); err != nil {
						t.Error(err)
					}
					_, _ = w.Write(jwks(t, append(set.Keys, tt.keys...)...))
				})
				good := g.lasting()
				g.try(good, "admitted")
				var told []string
				for _, line := range g.logged() {
					if strings.Contains(line, `"level":"WARN"`) {
						told = append(told, line)
					}
				}
				if len(told) != len(tt.told) {
					t.Fatalf("told %q, want %q", told, tt.told)
				}
				for i, want := range tt.told {
					if !strings.Contains(told[i], want) || !strings.Contains(told[i], `"issuer":"https://issuer.test"`) || len(told[i]) > 500 || strings.Contains(told[i], "canary") {
						t.Errorf("told %.1000s, want %s", told[i], want)
					}
				}
				time.Sleep(11 * time.Second)
				g.asked()
				g.try(renamed(good, "junk"), auth.ReasonKey)
				g.wantAsked(forced)
				for _, kid := range []string{"twice", "odd"} { // neither key has that name now
					for _, alg := range []string{"ES256", "EdDSA"} {
						s := signerFor(alg)
						check(t, g.jwt, encode(t, s, object{"alg": alg, "kid": kid}.json(t), goodClaims().with(object{"iss": g.URL(), "aud": "api"}).json(t)), auth.ReasonKey)
					}
				}
				if lines := g.logged(); len(lines) > 0 {
					t.Errorf("told of it again: %q", lines)
				}
			})
		})
	}
}

// A set of nothing but bad keys is told of once, not each time that it is
// fetched in vain.
func TestBadKeysAreToldOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, authtest.Config{})
		keys := slices.Repeat([]object{{"kty": "oct", "k": "AA"}}, 50)
		g.be(at(keysPath, body(string(jwks(t, keys...)))))
		for range 10 {
			g.try(g.Token(nil), auth.ReasonUnavailable)
			time.Sleep(30 * time.Second)
		}
		if lines := g.logged(); len(lines) != 50+10 {
			t.Errorf("%d lines, want 50 for the keys and 10 for the fetches", len(lines))
		}
		keys[0] = object{"kty": "oct", "k": "BB"}
		g.be(at(keysPath, body(string(jwks(t, keys...)))))
		g.try(g.Token(nil), auth.ReasonUnavailable)
		if lines := g.logged(); len(lines) != 51 {
			t.Errorf("%d lines for another set, want 51", len(lines))
		}
	})
}

// A flood during an outage is not a flood of log lines, and no line has a
// token, a secret of a URL, or a text of somebody else's in it. Errors say no
// more.
func TestLogsOfFetches(t *testing.T) {
	t.Parallel()
	const secret, foreign = "url-canary", "foreign-canary"
	fetch := func(t *testing.T, g *rig) {
		t.Helper()
		token := g.lasting()
		start := time.Now()
		for time.Since(start) < 2*time.Minute {
			_, err := g.jwt.Verify(t.Context(), token)
			for _, text := range []string{fmt.Sprint(err), fmt.Sprintf("%+v %#v", err, err), g.said.Detail} {
				if strings.Contains(text, secret) || strings.Contains(text, foreign) || strings.Contains(text, token[len(token)-20:]) {
					t.Fatalf("error = %s", text)
				}
			}
			time.Sleep(time.Second / 10)
		}
		lines := g.logged()
		if len(lines) == 0 || len(lines) > 8 {
			t.Errorf("%d lines in 2 minutes, want 1 to 8", len(lines))
		}
		for _, line := range lines {
			for _, not := range []string{secret, foreign, token, token[len(token)-20:], "goroutine"} {
				if strings.Contains(line, not) {
					t.Errorf("line has %s: %s", not, line)
				}
			}
			if !strings.Contains(line, `"issuer":"https://issuer.test"`) || !strings.Contains(line, `"retry_after"`) || len(line) > 400 {
				t.Errorf("line = %s, want the issuer and when it is asked again", line)
			}
		}
	}
	for name, answer := range map[string]conduct{
		"refused": func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, foreign)
		},
		"a text": body(foreign),
		"cut off": func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			_, _ = io.WriteString(w, foreign)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
		"redirect": redirect("https://" + foreign + ".example/" + foreign),
		"a member": body(`{"` + foreign + `":1,"` + foreign + `":2}`),
		"no keys":  body(`{"keys":{"` + foreign + `":1}}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, authtest.Config{}, func(c *auth.JWTConfig) {
					c.Issuers[0].Keys = auth.JWKS("https://keys.example/jwks?key=" + secret)
				})
				g.be(answer)
				fetch(t, g)
			})
		})
		t.Run(name+", discovered", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, authtest.Config{Metadata: map[string]any{"jwks_uri": "https://issuer.test/jwks?key=" + secret}})
				g.be(at(keysPath, answer))
				fetch(t, g)
				if name != "cut off" { // then the other place is not asked
					g.be(at(oidc, answer))
					time.Sleep(time.Minute)
					g.try(g.Token(nil), "admitted")
				}
			})
		})
	}
	t.Run("an error of the user's dialler", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			broken := fmt.Errorf("%w: %w", errors.New(foreign), auth.ErrNoCredentials)
			g := newRig(t, authtest.Config{}, func(c *auth.JWTConfig) {
				c.HTTPClient = &http.Client{Transport: &http.Transport{
					DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, broken },
				}}
			})
			if _, err := g.jwt.Verify(t.Context(), g.Token(nil)); errors.Is(err, auth.ErrNoCredentials) {
				t.Errorf("Verify = %v, which hands the request on", err)
			}
			time.Sleep(time.Minute)
			g.logged()
			fetch(t, g)
		})
	})
}

// A user's function that panics where a fetch is made is an issuer that can't
// be asked, not the end of the process.
func TestFetchSurvivesAPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var healthy atomic.Bool
		g := newRig(t, authtest.Config{}, func(c *auth.JWTConfig) {
			transport := c.HTTPClient.Transport.(*http.Transport).Clone()
			transport.Proxy = func(*http.Request) (*url.URL, error) {
				if !healthy.Load() {
					panic("canary")
				}
				return nil, nil
			}
			c.HTTPClient = &http.Client{Transport: transport}
		})
		g.try(g.Token(nil), auth.ReasonUnavailable)
		if lines := g.logged(); len(lines) != 1 || !strings.Contains(lines[0], "panicked at github.com/gatehouse-go/gatehouse/auth_test.TestFetchSurvivesAPanic") || strings.Contains(lines[0], "canary") {
			t.Errorf("log = %q, want one line that says where", lines)
		}
		healthy.Store(true)
		time.Sleep(time.Second)
		g.try(g.Token(nil), "admitted")
	})
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, authtest.Config{}, func(c *auth.JWTConfig) {
			c.Logger = slog.New(slog.NewTextHandler(writer(func([]byte) (int, error) { panic("canary") }), nil))
		})
		g.be(status(500))
		g.try(g.Token(nil), auth.ReasonUnavailable)
		g.be(at(keysPath, body(string(jwks(t, object{"kty": "oct"}, jwkOf(t, edKey.Public(), nil))))))
		time.Sleep(time.Second)
		g.try(g.Token(nil), auth.ReasonUnavailable) // a key is told of
		g.be(nil)
		time.Sleep(2 * time.Second)
		g.try(g.Token(nil), "admitted")
	})
}

// Ready is nil when the keys of each issuer are there. It fetches those that
// are not, all at a time, and says whose are missing.
func TestReady(t *testing.T) {
	t.Parallel()
	second := func(c *auth.JWTConfig) {
		c.Issuers = append(c.Issuers,
			auth.Issuer{URL: "https://issuer.test/second", Audience: []string{"api"}, Keys: auth.JWKS("https://issuer.test/second/jwks")},
			auth.Issuer{URL: "https://issuer.test/third", Audience: []string{"api"}, Keys: auth.JWKS("https://issuer.test/third/jwks")},
			auth.Issuer{URL: "https://issuer.test/fixed", Audience: []string{"api"}, Keys: signerFor("ES256").source()},
		)
	}
	only := func(prefix string, c conduct) conduct {
		return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if strings.HasPrefix(r.URL.Path, prefix) {
				c(w, r, next)
				return
			}
			r.URL.Path = strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/second"), "/third")
			next.ServeHTTP(w, r)
		}
	}
	for _, tt := range []struct {
		name    string
		conduct conduct
		missing []string // "": none
		took    time.Duration
	}{
		{"all", only("-", nil), nil, 0},
		{"all, slowly", only("/s", slow(time.Second)), []string{"https://issuer.test/second"}, time.Second},
		{"one is down", only("/second", down), []string{"https://issuer.test/second"}, 0},
		{"two do not answer", only("/", hang), []string{"https://issuer.test", "https://issuer.test/second", "https://issuer.test/third"}, 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, authtest.Config{}, second)
				g.be(tt.conduct)
				start := time.Now()
				err := g.jwt.Ready(t.Context())
				if took := time.Since(start); took != tt.took {
					t.Errorf("Ready took %v, want %v", took, tt.took)
				}
				if tt.missing == nil {
					if err != nil {
						t.Errorf("Ready = %v", err)
					}
					g.asked()
					g.atOnce(g.Token(nil), "admitted")
					if err := g.jwt.Ready(t.Context()); err != nil {
						t.Errorf("Ready = %v", err)
					}
					g.wantAsked()
					// An outage is none while the keys are of use.
					g.be(down)
					time.Sleep(24*time.Hour - 1)
					if err := g.jwt.Ready(t.Context()); err != nil {
						t.Errorf("Ready = %v", err)
					}
					time.Sleep(time.Nanosecond)
					if err := g.jwt.Ready(t.Context()); reason(err) != auth.ReasonUnavailable {
						t.Errorf("Ready a day later = %v, want unavailable", err)
					}
					return
				}
				if reason(err) != auth.ReasonUnavailable {
					t.Fatalf("Ready = %v, want unavailable", err)
				}
				for _, issuer := range []string{g.URL(), "https://issuer.test/second", "https://issuer.test/third", "https://issuer.test/fixed"} {
					if got, want := strings.Contains(err.Error(), `keys of "`+issuer+`"`), slices.Contains(tt.missing, issuer); got != want {
						t.Errorf("Ready = %v, names %s: %t, want %t", err, issuer, got, want)
					}
				}
				g.be(only("-", nil))
				time.Sleep(10 * time.Second)
				if err := g.jwt.Ready(t.Context()); err != nil {
					t.Errorf("Ready afterwards = %v", err)
				}
			})
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			g := newRig(t, authtest.Config{})
			g.be(hang)
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			start := time.Now()
			if err := g.jwt.Ready(ctx); !errors.Is(err, context.Canceled) || time.Since(start) != time.Second {
				t.Errorf("Ready = %v after %v, want canceled after 1s", err, time.Since(start))
			}
			if err := g.jwt.Ready(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("Ready = %v, want canceled", err)
			}
		})
	})
	t.Run("nothing to fetch", func(t *testing.T) {
		t.Parallel()
		j := newJWT(t, issuerOf(signerFor("ES256")))
		for range 2 {
			if err := errors.Join(j.Ready(t.Context()), j.Close()); err != nil {
				t.Error(err)
			}
		}
	})
}

// Close ends the fetch under way with all who wait for it, and there is none
// after it. The keys that are there verify on. No goroutine is left, or the
// bubble would not end.
func TestCloseEndsFetches(t *testing.T) {
	t.Parallel()
	t.Run("under way", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			g := newRig(t, authtest.Config{})
			cut := make(chan struct{})
			g.be(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
				<-r.Context().Done()
				close(cut)
			})
			var all sync.WaitGroup
			for range 10 {
				all.Go(func() {
					if _, took := g.try(g.Token(nil), auth.ReasonUnavailable); took != time.Second {
						t.Errorf("it took %v, want until Close", took)
					}
				})
			}
			time.Sleep(time.Second)
			start := time.Now()
			for range 3 {
				all.Go(func() {
					if err := g.jwt.Close(); err != nil {
						t.Errorf("Close = %v", err)
					}
				})
			}
			all.Wait()
			<-cut
			if took := time.Since(start); took != 0 {
				t.Errorf("Close took %v", took)
			}
			if lines := g.logged(); len(lines) > 0 {
				t.Errorf("log = %q, want nothing of what Close did", lines)
			}
			g.wantAsked(oidc)
			for range 5 {
				time.Sleep(time.Minute)
				g.atOnce(g.Token(nil), auth.ReasonUnavailable)
			}
			if err := g.jwt.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "closed") {
				t.Errorf("Ready = %v, want that it is closed", err)
			}
			g.wantAsked()
		})
	})
	t.Run("with keys", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			g := newRig(t, authtest.Config{})
			token := g.lasting()
			g.try(token, "admitted")
			g.asked()
			if err := errors.Join(g.jwt.Close(), g.jwt.Close()); err != nil {
				t.Errorf("Close = %v", err)
			}
			g.atOnce(token, "admitted")
			g.atOnce(renamed(token, "junk"), auth.ReasonKey) // it is a moment ago that there was none
			time.Sleep(time.Hour)
			g.atOnce(token, "admitted")
			g.atOnce(renamed(token, "junk"), auth.ReasonUnavailable)
			g.atOnce(forged(token), auth.ReasonSignature)
			if err := g.jwt.Ready(t.Context()); err != nil {
				t.Errorf("Ready = %v", err)
			}
			time.Sleep(23 * time.Hour)
			g.atOnce(token, auth.ReasonUnavailable)
			g.wantAsked()
		})
	})
	t.Run("while it is told of", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var lines atomic.Int64
			g := newRig(t, authtest.Config{}, func(c *auth.JWTConfig) {
				c.Logger = slog.New(slog.NewTextHandler(writer(func(p []byte) (int, error) {
					time.Sleep(time.Second)
					lines.Add(1)
					return len(p), nil
				}), nil))
			})
			g.be(at(keysPath, body(string(jwks(t, object{"kty": "oct"}, jwkOf(t, edKey.Public(), nil))))))
			go g.try(g.Token(nil), auth.ReasonKey)
			time.Sleep(time.Second / 2)
			_ = g.jwt.Close()
			told := lines.Load()
			time.Sleep(time.Minute)
			if got := lines.Load(); told != 1 || got != told {
				t.Errorf("%d lines at Close and %d later, want 1", told, got)
			}
		})
	})
	t.Run("the background", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			g := newRig(t, authtest.Config{})
			token := g.lasting()
			g.try(token, "admitted")
			g.be(hang)
			time.Sleep(5*time.Minute - 1)
			g.atOnce(token, "admitted")
			g.wantAsked(oidc, forced, oidc)
			if err := g.jwt.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
			g.atOnce(token, "admitted")
			g.wantAsked()
		})
	})
}

// Keys come and go under load, and every token of a key that is published gets
// in, once that key was found.
func TestRotationUnderLoad(t *testing.T) {
	t.Parallel()
	for name, cache := range map[string]*auth.TokenCache{"without a cache": nil, "with a cache": {Size: 10}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, authtest.Config{Algorithm: "EdDSA"}, func(c *auth.JWTConfig) { c.Cache = cache })
				g.be(slow(50 * time.Millisecond))
				g.try(g.Token(nil), "admitted")
				var admitted, unknown atomic.Int64
				end := time.Now().Add(30 * time.Minute)
				var all sync.WaitGroup
				for range 50 {
					all.Go(func() {
						for time.Now().Before(end) {
							token := g.Token(nil)
							for range 3 {
								_, err := g.jwt.Verify(t.Context(), token)
								switch reason(err) {
								case "":
									admitted.Add(1)
								case auth.ReasonKey:
									unknown.Add(1)
								default:
									t.Errorf("Verify = %v", err)
								}
							}
							time.Sleep(rand.N(time.Minute))
						}
					})
				}
				all.Go(func() {
					for time.Now().Before(end) {
						old := g.KeyID()
						time.Sleep(2 * time.Minute)
						g.Rotate()
						time.Sleep(time.Minute)
						g.Retire(old)
					}
				})
				all.Wait()
				if a, u := admitted.Load(), unknown.Load(); a < 1000 || u > a/20 {
					t.Errorf("%d admitted, %d without a key", a, u)
				}
			})
		})
	}
}

// The address of a connection is looked at when it is made: a name in public,
// of the issuer or in its metadata, leads nobody inside.
func TestKeysAreNotFetchedFromInside(t *testing.T) {
	t.Parallel()
	issuer, err := authtest.NewIssuer(authtest.Config{URL: "https://id.example.com", Metadata: map[string]any{"jwks_uri": "https://keys.example.com/jwks"}})
	if err != nil {
		t.Fatal(err)
	}
	defer issuer.Close()
	var hits atomic.Int64
	inside := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		issuer.Handler().ServeHTTP(w, r)
	}))
	inside.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // connections that are given up
	inside.StartTLS()
	defer inside.Close()
	// leads returns a client for whom these names lead to the server on this
	// machine, and all others to the issuer in public.
	leads := func(names ...string) *http.Client {
		public := issuer.Client().Transport.(*http.Transport)
		transport := public.Clone()
		transport.TLSClientConfig.RootCAs.AddCert(inside.Certificate())
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			host, _, _ := net.SplitHostPort(address)
			if slices.Contains(names, host) {
				return new(net.Dialer).DialContext(ctx, network, inside.Listener.Addr().String())
			}
			return public.DialContext(ctx, network, address)
		}
		return &http.Client{Transport: transport}
	}
	here := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for _, tt := range []struct {
		name string
		keys auth.KeySource
		cfg  auth.JWTConfig
		want bool
		hits bool
	}{
		{"in public", auth.KeySource{}, auth.JWTConfig{HTTPClient: leads()}, true, false},
		{"an issuer inside", auth.KeySource{}, auth.JWTConfig{HTTPClient: leads("id.example.com", "keys.example.com")}, false, false},
		{"keys inside", auth.KeySource{}, auth.JWTConfig{HTTPClient: leads("keys.example.com")}, false, false},
		{"keys inside at a fixed place", auth.JWKS("https://keys.example.com/jwks"), auth.JWTConfig{HTTPClient: leads("keys.example.com")}, false, false},
		{"another network is allowed", auth.KeySource{}, auth.JWTConfig{HTTPClient: leads("keys.example.com"), AllowPrivate: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, false, false},
		{"AllowPrivate", auth.KeySource{}, auth.JWTConfig{HTTPClient: leads("keys.example.com"), AllowPrivate: here}, true, true},
		{"InsecureAllowLoopback", auth.KeySource{}, auth.JWTConfig{HTTPClient: leads("id.example.com", "keys.example.com"), InsecureAllowLoopback: true}, true, true},
		{"a fixed place, InsecureAllowLoopback", auth.JWKS("https://keys.example.com/jwks"), auth.JWTConfig{HTTPClient: leads("keys.example.com"), InsecureAllowLoopback: true}, true, true},
		{"by its address", auth.JWKS(inside.URL + "/jwks"), auth.JWTConfig{HTTPClient: leads(), InsecureAllowLoopback: true}, true, true},
	} {
		hits.Store(0)
		if tt.name == "by its address" {
			tt.cfg.HTTPClient = inside.Client()
		}
		tt.cfg.Issuers = []auth.Issuer{{URL: issuer.URL(), Audience: []string{"api"}, Keys: tt.keys}}
		j, err := auth.NewJWT(tt.cfg)
		if err != nil {
			t.Errorf("%s: NewJWT = %v", tt.name, err)
			continue
		}
		var said decision.Decision
		gate := newGate(t, auth.Config{Authenticators: []auth.Authenticator{j}, OnDecision: func(_ context.Context, d decision.Decision) { said = d }})
		w := serve(gate.Handler(whoami), "Bearer "+issuer.Token(nil))
		if want := map[bool]int{true: 200, false: 503}[tt.want]; w.Code != want {
			t.Errorf("%s: status = %d (%s), want %d", tt.name, w.Code, said.Detail, want)
		}
		if !tt.want && !strings.Contains(said.Detail, "127.0.0.1") && !strings.Contains(said.Detail, "loopback") {
			t.Errorf("%s: detail = %q, want what is wrong with the address", tt.name, said.Detail)
		}
		if got := hits.Load() > 0; got != tt.hits {
			t.Errorf("%s: asked inside = %t, want %t", tt.name, got, tt.hits)
		}
		_ = j.Close()
	}
	// A URL with the address in it is refused at once.
	for _, cfg := range []auth.JWTConfig{{}, {AllowPrivate: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}} {
		cfg.Issuers = []auth.Issuer{{URL: issuer.URL(), Audience: []string{"api"}, Keys: auth.JWKS(inside.URL + "/jwks")}}
		if _, err := auth.NewJWT(cfg); err == nil || !strings.Contains(err.Error(), "has the address 127.0.0.1, which is loopback") {
			t.Errorf("NewJWT = %v, want the address refused", err)
		}
	}
}

package tlsredirect_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/tlsredirect"
	"github.com/gatehouse-go/gatehouse/tlsredirect/clientip"
)

var _ func(http.Handler) http.Handler = (*tlsredirect.Redirector)(nil).Handler

const html = "Accept: text/html,application/xhtml+xml,*/*;q=0.8"

func newRedirector(tb testing.TB, cfg tlsredirect.Config) *tlsredirect.Redirector {
	tb.Helper()
	if cfg.Hosts == nil {
		cfg.Hosts = []string{"api.example.com"}
	}
	rd, err := tlsredirect.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return rd
}

func newTrust(tb testing.TB, proxies ...string) *clientip.Trust {
	tb.Helper()
	trust, err := clientip.New(clientip.Config{Proxies: proxies})
	if err != nil {
		tb.Fatal(err)
	}
	return trust
}

// request is a request with the header lines "Name: value".
func request(method, target string, lines ...string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	return r
}

// application answers 200 "app".
var application = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "app") })

// outcome is what Check says in one word and a bit: "pass tls",
// "308 https://…", "403 plaintext".
func outcome(v tlsredirect.Verdict, err error) string {
	if err != nil {
		e, ok := errors.AsType[*tlsredirect.Error](err)
		if !ok {
			return fmt.Sprintf("%T", err)
		}
		return fmt.Sprint(e.StatusCode(), " ", e.Reason)
	}
	if v.Location != "" {
		if v.Reason != tlsredirect.ReasonRedirect {
			return "redirect for the reason " + v.Reason
		}
		return "308 " + v.Location
	}
	return "pass " + v.Reason
}

// TestPolicies is the three policies over the requests that differ in them.
func TestPolicies(t *testing.T) {
	t.Parallel()
	const (
		root  = "308 https://api.example.com/"
		page  = "308 https://api.example.com/page?q=1"
		plain = "403 plaintext"
		creds = "403 credentials"
	)
	for _, tt := range []struct {
		name                            string
		r                               *http.Request
		refuseAPI, redirectSafe, refuse string
	}{
		{"browser", request("GET", "http://api.example.com/page?q=1", html), page, page, plain},
		{"HEAD", request("HEAD", "http://api.example.com/page?q=1", html), page, page, plain},
		{"root without Accept, as hstspreload.org asks", request("GET", "http://api.example.com/"), root, root, plain},
		{"root with a query", request("GET", "http://api.example.com/?q=1"), root + "?q=1", root + "?q=1", plain},
		{"no Accept", request("GET", "http://api.example.com/page?q=1"), plain, page, plain},
		{"anything", request("GET", "http://api.example.com/page?q=1", "Accept: */*"), plain, page, plain},
		{"JSON", request("GET", "http://api.example.com/page?q=1", "Accept: application/json"), plain, page, plain},
		{"JSON of that name", request("GET", "http://api.example.com/page?q=1", "Accept: application/json;x=text/html"), plain, page, plain},
		{"second line", request("GET", "http://api.example.com/page?q=1", "Accept: application/json", "Accept: Text/HTML"), page, page, plain},
		{"weight", request("GET", "http://api.example.com/page?q=1", "Accept: text/html; q=0.1"), page, page, plain},
		{"anything but HTML", request("GET", "http://api.example.com/page?q=1", "Accept: text/html; q=0.0, */*"), plain, page, plain},
		{"POST", request("POST", "http://api.example.com/page", html), plain, plain, plain},
		{"POST to the root", request("POST", "http://api.example.com/", html), plain, plain, plain},
		{"PUT", request("PUT", "http://api.example.com/page", html), plain, plain, plain},
		{"PATCH", request("PATCH", "http://api.example.com/page", html), plain, plain, plain},
		{"DELETE", request("DELETE", "http://api.example.com/page", html), plain, plain, plain},
		{"OPTIONS", request("OPTIONS", "http://api.example.com/page", html), plain, plain, plain},
		{"lower-case method", request("get", "http://api.example.com/page", html), plain, plain, plain},
		{"GET with a body", withBody(request("GET", "http://api.example.com/page", html)), plain, plain, plain},
		{"Authorization", request("GET", "http://api.example.com/", html, "Authorization: Bearer x"), creds, creds, creds},
		{"Proxy-Authorization", request("GET", "http://api.example.com/", html, "Proxy-Authorization: Basic x"), creds, creds, creds},
		{"Cookie", request("GET", "http://api.example.com/", html, "Cookie: a=b"), creds, creds, creds},
		{"API key", request("GET", "http://api.example.com/", html, "x-api-key: x"), creds, creds, creds},
		{"empty API key", request("GET", "http://api.example.com/", html, "X-Api-Key: "), creds, creds, creds},
		{"behind a semicolon", request("GET", "http://api.example.com/?a=b;access_token=x", html), creds, creds, creds},
		{"access_token", request("GET", "http://api.example.com/?a=b&access_token=x", html), creds, creds, creds},
		{"api_key", request("GET", "http://api.example.com/?API_Key=x", html), creds, creds, creds},
		{"token, encoded", request("GET", "http://api.example.com/?%74oken=x", html), creds, creds, creds},
		{"user and password", request("GET", "http://u:p@api.example.com/", html), creds, creds, creds},
		{"a parameter of a similar name", request("GET", "http://api.example.com/page?tokens=1", html), "308 https://api.example.com/page?tokens=1", "308 https://api.example.com/page?tokens=1", plain},
		{"credentials with POST", request("POST", "http://api.example.com/", "Authorization: Bearer x"), creds, creds, creds},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for policy, want := range map[tlsredirect.Plaintext]string{
				tlsredirect.RefuseAPI: tt.refuseAPI, tlsredirect.RedirectSafe: tt.redirectSafe, tlsredirect.RefuseAll: tt.refuse,
			} {
				rd := newRedirector(t, tlsredirect.Config{Plaintext: policy})
				if got := outcome(rd.Check(tt.r)); got != want {
					t.Errorf("%v: %s, want %s", policy, got, want)
				}
			}
		})
	}
}

func withBody(r *http.Request) *http.Request {
	r.ContentLength = -1
	r.Body = io.NopCloser(strings.NewReader("secret"))
	return r
}

func TestHosts(t *testing.T) {
	t.Parallel()
	rd := newRedirector(t, tlsredirect.Config{Hosts: []string{
		"Example.COM.", "*.wild.example.com", "192.0.2.1", "2001:db8::1", "[2001:DB8:0::2]", "*.localhost", "my_service", "xn--bcher-kva.example",
	}})
	for _, tt := range []struct {
		host string
		want string // "" for 421
	}{
		{"example.com", "example.com"},
		{"EXAMPLE.com", "example.com"},
		{"example.com.", "example.com"},
		{"example.com:8080", "example.com"},
		{"example.com.:80", "example.com"},
		{"a.wild.example.com", "a.wild.example.com"},
		{"A.Wild.Example.Com.:1", "a.wild.example.com"},
		{"192.0.2.1", "192.0.2.1"},
		{"192.0.2.1.", "192.0.2.1"},
		{"192.0.2.1:80", "192.0.2.1"},
		{"[::ffff:192.0.2.1]", "192.0.2.1"},
		{"[2001:db8::1]", "[2001:db8::1]"},
		{"[2001:db8::1]:8080", "[2001:db8::1]"},
		{"[2001:0DB8:0:0:0:0:0:2]", "[2001:db8::2]"},
		{"a.localhost", "a.localhost"},
		{"my_service", "my_service"},
		{"xn--bcher-kva.example", "xn--bcher-kva.example"},

		{"evil.com", ""},
		{"evil.com:443", ""},
		{"example.com.evil.com", ""},
		{"notexample.com", ""},
		{"www.example.com", ""},
		{"wild.example.com", ""},
		{"a.b.wild.example.com", ""},
		{".wild.example.com", ""},
		{"-a.wild.example.com", ""},
		{"a-.wild.example.com", ""},
		{"awild.example.com", ""},
		{"*.wild.example.com", ""},
		{"localhost", ""},
		{"192.0.2.2", ""},
		{"192.0.2.001", ""},
		{"3221225985", ""}, // 192.0.2.1
		{"0xc0000201", ""},
		{"192.0.513", ""},
		{"[2001:db8::3]", ""},
		{"2001:db8::1", ""},

		{"", ""},
		{".", ""},
		{"..", ""},
		{"0..", ""},
		{":443", ""},
		{"example.com..", ""},
		{"example..com", ""},
		{"example.com:", ""},
		{"example.com:0", ""},
		{"example.com:65536", ""},
		{"example.com:99999", ""},
		{"example.com:http", ""},
		{"example.com:80:443", ""},
		{"example.com,evil.com", ""},
		{"example.com evil.com", ""},
		{"example.com%0d%0aevil", ""},
		{"example.com\r\nX: y", ""},
		{"example.com/evil", ""},
		{`example.com\evil`, ""},
		{"example.com@evil.com", ""},
		{"user@example.com", ""},
		{"example.com#", ""},
		{"example.com?", ""},
		{"exam\x00ple.com", ""},
		{"exämple.com", ""},
		{"ｅxample.com", ""},
		{"[2001:db8::1", ""},
		{"2001:db8::1]", ""},
		{"[2001:db8::1]x", ""},
		{"[2001:db8::1]:", ""},
		{"[2001:db8::1%25eth0]", ""},
		{"[192.0.2.1]", ""},
		{"[]", ""},
		{"[", ""},
		{strings.Repeat("a.", 126) + "example.com", ""},
		{strings.Repeat("a", 64) + ".wild.example.com", ""},
	} {
		t.Run(tt.host, func(t *testing.T) {
			t.Parallel()
			plain, secure := request("GET", "http://example.com/x", html), request("GET", "https://example.com/x")
			plain.Host, secure.Host = tt.host, tt.host
			wantPlain, wantSecure := "308 https://"+tt.want+"/x", "pass tls"
			if tt.want == "" {
				wantPlain, wantSecure = "421 host", "421 host"
			}
			if got := outcome(rd.Check(plain)); got != wantPlain {
				t.Errorf("plain: %s, want %s", got, wantPlain)
			}
			if got := outcome(rd.Check(secure)); got != wantSecure {
				t.Errorf("TLS: %s, want %s", got, wantSecure)
			}
		})
	}
}

// TestTarget holds that a Location asks for what the client asked for, byte
// for byte, or is not given.
func TestTarget(t *testing.T) {
	t.Parallel()
	rd := newRedirector(t, tlsredirect.Config{Plaintext: tlsredirect.RedirectSafe})
	for _, tt := range []struct{ uri, want string }{
		{"/", "/"},
		{"/a/b?c=d&e", "/a/b?c=d&e"},
		{"/a%2Fb%2f?x=%20+%C3%A9", "/a%2Fb%2f?x=%20+%C3%A9"},
		{"/a//b/../c/.", "/a//b/../c/."},
		{"//evil.com/", "//evil.com/"}, // behind the host it is a path
		{"/%0d%0aSet-Cookie:x", "/%0d%0aSet-Cookie:x"},
		{"/?", "/?"},
		{"/?a?b", "/?a?b"},
		{"/a;b=c", "/a;b=c"},
		{"/~!$'()*,:@[]|^{}`", "/~!$'()*,:@[]|^{}`"},
		{"http://api.example.com/p?q", "/p?q"},
		{"https://api.example.com/p", "/p"},
		{"http://api.example.com", "/"},
		{"http://api.example.com?q", "/?q"},
		{"HTTP://API.example.com:80/p", "/p"},

		{`/\evil.com`, ""},
		{`/a\b`, ""},
		{"/a b", ""},
		{"/a\tb", ""},
		{"/a\r\nb", ""},
		{"/a\x00b", ""},
		{"/a\x7fb", ""},
		{"/é", ""},
		{"/a#b", ""},
		{`/"`, ""},
		{"/<script>", ""},
		{"*", ""},
		{"api.example.com:443", ""},
		{"p", ""},
	} {
		t.Run(tt.uri, func(t *testing.T) {
			t.Parallel()
			r := request("GET", "http://api.example.com/somewhere")
			r.RequestURI = tt.uri
			want := "308 https://api.example.com" + tt.want
			if tt.want == "" {
				want = "403 target"
			}
			if got := outcome(rd.Check(r)); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://api.example.com/a%2fb?c", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := outcome(rd.Check(r)), "308 https://api.example.com/a%2fb?c"; got != want {
		t.Errorf("a request without RequestURI: %s, want %s", got, want)
	}
}

func TestHTTPSPort(t *testing.T) {
	t.Parallel()
	for port, want := range map[int]string{
		0: "https://api.example.com/", 443: "https://api.example.com/", 8443: "https://api.example.com:8443/", 65535: "https://api.example.com:65535/",
	} {
		rd := newRedirector(t, tlsredirect.Config{HTTPSPort: port})
		v, err := rd.Check(request("GET", "http://api.example.com:8080/"))
		if err != nil || v.Location != want {
			t.Errorf("port %d: %q, %v; want %q", port, v.Location, err, want)
		}
	}
}

// TestProxies: a proxy's word counts, and only a proxy's.
func TestProxies(t *testing.T) {
	t.Parallel()
	const proxy, client = "10.0.0.1:1", "198.51.100.7:1"
	overTLS := func(r *http.Request) *http.Request {
		r.TLS = &tls.ConnectionState{}
		return r
	}
	for _, tt := range []struct {
		name  string
		r     *http.Request
		peer  string
		trust bool
		want  string
	}{
		{"https by proxy", request("POST", "/x", "X-Forwarded-Proto: https"), proxy, true, "pass forwarded"},
		{"https by proxy over TLS", overTLS(request("POST", "/x", "X-Forwarded-Proto: https")), proxy, true, "pass tls"},
		{"http by proxy", request("POST", "/x", "X-Forwarded-Proto: http"), proxy, true, "403 plaintext"},
		{"http by proxy, a browser", request("GET", "/x", "X-Forwarded-Proto: http", html), proxy, true, "308 https://api.example.com/x"},
		{"http by proxy over TLS", overTLS(request("POST", "/x", "X-Forwarded-Proto: http")), proxy, true, "403 plaintext"},
		{"no word", request("GET", "/", html), proxy, true, "403 proto"},
		{"no word over TLS", overTLS(request("GET", "/")), proxy, true, "pass tls"},
		{"two words", request("GET", "/", html, "X-Forwarded-Proto: https,http"), proxy, true, "403 proto"},
		{"two lines", request("GET", "/", html, "X-Forwarded-Proto: https", "X-Forwarded-Proto: https"), proxy, true, "403 proto"},
		{"two lines over TLS", overTLS(request("GET", "/", "X-Forwarded-Proto: https", "X-Forwarded-Proto: http")), proxy, true, "403 proto"},
		{"spoofed", request("POST", "/x", "X-Forwarded-Proto: https"), client, true, "403 plaintext"},
		{"spoofed, nobody trusted", request("POST", "/x", "X-Forwarded-Proto: https"), proxy, false, "403 plaintext"},
		{"spoofed, other headers", request("POST", "/x", "X-Forwarded-Ssl: on", "Front-End-Https: on", "X-Url-Scheme: https", "Forwarded: proto=https"), client, true, "403 plaintext"},
		{"host by proxy", request("GET", "/", "X-Forwarded-Proto: http", "X-Forwarded-Host: evil.com", html), proxy, true, "308 https://api.example.com/"},
		{"host, port and prefix", request("GET", "/", "X-Forwarded-Host: evil.com", "X-Forwarded-Port: 1", "X-Forwarded-Prefix: //evil.com", html), client, true, "308 https://api.example.com/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var trust *clientip.Trust
			if tt.trust {
				trust = newTrust(t, "10.0.0.0/8")
			}
			tt.r.Host, tt.r.RemoteAddr = "api.example.com", tt.peer
			if got := outcome(newRedirector(t, tlsredirect.Config{Trust: trust}).Check(tt.r)); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestEarlyData(t *testing.T) {
	t.Parallel()
	rd := newRedirector(t, tlsredirect.Config{})
	for method, want := range map[string]string{
		"GET": "pass tls", "HEAD": "pass tls", "OPTIONS": "pass tls", "POST": "425 early_data", "DELETE": "425 early_data", "get": "425 early_data",
	} {
		for _, value := range []string{"1", "1, 1", "x"} {
			if got := outcome(rd.Check(request(method, "https://api.example.com/", "Early-Data: "+value))); got != want {
				t.Errorf("%s with Early-Data: %s: %s, want %s", method, value, got, want)
			}
		}
		if got := outcome(rd.Check(request(method, "https://api.example.com/"))); got != "pass tls" {
			t.Errorf("%s without Early-Data: %s, want it to pass", method, got)
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	rd := newRedirector(t, tlsredirect.Config{Health: []string{"/healthz"}, Trust: newTrust(t, "10.0.0.0/8")})
	for _, tt := range []struct {
		name string
		r    *http.Request
		want string
	}{
		{"plain", request("GET", "http://api.example.com/healthz"), "pass health"},
		{"HEAD", request("HEAD", "http://api.example.com/healthz"), "pass health"},
		{"by address, as load balancers ask", request("GET", "http://10.0.0.9:8080/healthz"), "pass health"},
		{"any host over TLS", request("GET", "https://10.0.0.9/healthz"), "pass health"},
		{"query", request("GET", "http://api.example.com/healthz?verbose"), "pass health"},
		{"POST", request("POST", "http://api.example.com/healthz"), "403 plaintext"},
		{"credentials in clear", request("GET", "http://api.example.com/healthz", "Authorization: Bearer x"), "403 credentials"},
		{"credentials over TLS", request("GET", "https://10.0.0.9/healthz", "Authorization: Bearer x"), "pass health"},
		{"below", request("GET", "http://api.example.com/healthz/x"), "403 plaintext"},
		{"slash", request("GET", "http://api.example.com/healthz/"), "403 plaintext"},
		{"above", request("GET", "http://api.example.com/health"), "403 plaintext"},
		{"behind", request("GET", "http://api.example.com/x/healthz"), "403 plaintext"},
		{"suffix", request("GET", "http://api.example.com/healthz.json"), "403 plaintext"},
		{"dots", request("GET", "http://api.example.com/x/../healthz"), "403 plaintext"},
		{"encoded slash", request("GET", "http://api.example.com/%2fhealthz"), "403 plaintext"},
		{"encoded", request("GET", "http://api.example.com/health%7a"), "403 plaintext"},
		{"case", request("GET", "http://api.example.com/Healthz"), "403 plaintext"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := outcome(rd.Check(tt.r)); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
	r := request("GET", "http://api.example.com/healthz")
	r.RemoteAddr = "10.0.0.1:1"
	if got := outcome(rd.Check(r)); got != "pass health" {
		t.Errorf("a proxy that checks health itself: %s, want it to pass", got)
	}
}

func TestACME(t *testing.T) {
	t.Parallel()
	acme := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "acme") })
	rd := newRedirector(t, tlsredirect.Config{ACME: acme})
	const challenge = "api.example.com/.well-known/acme-challenge/"
	for _, tt := range []struct{ name, method, url, want string }{
		{"challenge", "GET", "http://" + challenge + "aZ09-_", "pass acme"},
		{"over TLS it is the application's", "GET", "https://" + challenge + "aZ09-_", "pass tls"},
		{"no token", "GET", "http://" + challenge, "403 plaintext"},
		{"two segments", "GET", "http://" + challenge + "a/b", "403 plaintext"},
		{"dots", "GET", "http://" + challenge + "..", "403 plaintext"},
		{"encoded slash", "GET", "http://" + challenge + "a%2fb", "403 plaintext"},
		{"POST", "POST", "http://" + challenge + "a", "403 plaintext"},
		{"another host", "GET", "http://evil.com/.well-known/acme-challenge/a", "421 host"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := request(tt.method, tt.url)
			got := outcome(rd.Check(r))
			if got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			for name, h := range map[string]http.Handler{"Handler": rd.Handler(application), "PlainHandler": rd.PlainHandler()} {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if answered := w.Body.String() == "acme"; answered != (got == "pass acme") {
					t.Errorf("%s answered %q", name, w.Body)
				}
			}
		})
	}
	if got := outcome(newRedirector(t, tlsredirect.Config{}).Check(request("GET", "http://"+challenge+"a"))); got != "403 plaintext" {
		t.Errorf("without ACME: %s, want 403", got)
	}
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		peer   string
		host   string
		header string
		pass   bool
	}{
		{"localhost", "127.0.0.1:1", "localhost:8080", "", true},
		{"IPv4", "127.0.0.1:1", "127.0.0.1:8080", "", true},
		{"IPv6", "[::1]:1", "[::1]:8080", "", true},
		{"mapped peer", "[::ffff:127.0.0.1]:1", "localhost", "", true},
		{"all of 127/8", "127.9.9.9:1", "127.8.8.8", "", true},
		{"below localhost", "127.0.0.1:1", "app.localhost", "", true},
		{"peer outside", "192.0.2.7:1", "localhost", "", false},
		{"peer in the network", "10.0.0.7:1", "127.0.0.1", "", false},
		{"no peer", "", "localhost", "", false},
		{"host of the service", "127.0.0.1:1", "api.example.com", "", false},
		{"rebound name", "127.0.0.1:1", "evil.com", "", false},
		{"name that begins like it", "127.0.0.1:1", "localhost.evil.com", "", false},
		{"name that ends like it", "127.0.0.1:1", "evillocalhost", "", false},
		{"no host", "127.0.0.1:1", "", "", false},
		{"wide address", "127.0.0.1:1", "0.0.0.0", "", false},
		{"short address", "127.0.0.1:1", "127.1", "", false},
		{"Forwarded", "127.0.0.1:1", "localhost", "Forwarded: for=192.0.2.7", false},
		{"X-Forwarded-For", "127.0.0.1:1", "localhost", "X-Forwarded-For: 127.0.0.1", false},
		{"X-Forwarded-Proto", "127.0.0.1:1", "localhost", "X-Forwarded-Proto: https", false},
		{"X-Forwarded-Host", "127.0.0.1:1", "localhost", "X-Forwarded-Host: x", false},
		{"X_Forwarded_For", "127.0.0.1:1", "localhost", "X_Forwarded_For: x", false},
		{"X-Real-Ip", "127.0.0.1:1", "localhost", "X-Real-Ip: 192.0.2.7", false},
		{"Via", "127.0.0.1:1", "localhost", "Via: 1.1 proxy", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			allowed := newRedirector(t, tlsredirect.Config{InsecureAllowLoopback: true})
			strict := newRedirector(t, tlsredirect.Config{Hosts: []string{"api.example.com", "localhost", "127.0.0.1"}})
			behind := newRedirector(t, tlsredirect.Config{InsecureAllowLoopback: true, Trust: newTrust(t, "127.0.0.0/8", "::1")})
			r := request("POST", "http://localhost/orders", "Authorization: Bearer x")
			if tt.header != "" {
				name, value, _ := strings.Cut(tt.header, ": ")
				r.Header[name] = []string{value}
			}
			r.RemoteAddr, r.Host = tt.peer, tt.host
			if got := outcome(allowed.Check(r)); (got == "pass loopback") != tt.pass {
				t.Errorf("%s, want it to pass: %v", got, tt.pass)
			}
			for name, rd := range map[string]*tlsredirect.Redirector{"without the option": strict, "behind a trusted proxy": behind} {
				if v, err := rd.Check(r); err == nil {
					t.Errorf("%s: %s, want a refusal", name, outcome(v, err))
				}
			}
			w := httptest.NewRecorder()
			allowed.PlainHandler().ServeHTTP(w, r)
			if w.Code < 400 {
				t.Errorf("PlainHandler: status %d, want a refusal", w.Code)
			}
		})
	}
}

// TestAnswers is what Handler makes of the verdicts.
func TestAnswers(t *testing.T) {
	t.Parallel()
	const hsts = "max-age=63072000; includeSubDomains"
	for _, tt := range []struct {
		name   string
		r      *http.Request
		status int
		header map[string]string // "" for none
		detail string
	}{
		{
			"pass", request("GET", "https://api.example.com/"), 200,
			map[string]string{"Strict-Transport-Security": hsts, "Connection": "", "Cache-Control": "", "Location": ""},
			"",
		},
		{
			"redirect", request("GET", "http://api.example.com/"), 308,
			map[string]string{"Location": "https://api.example.com/", "Strict-Transport-Security": "", "Connection": "", "Cache-Control": "private"},
			"",
		},
		{
			"refused", request("POST", "http://api.example.com/"), 403,
			map[string]string{"Connection": "close", "Cache-Control": "no-store", "Strict-Transport-Security": "", "Location": "", "Content-Type": "application/problem+json"},
			"This service is reached over HTTPS only. The request was not processed.",
		},
		{
			"credentials", request("GET", "http://api.example.com/", "Cookie: a=b"), 403,
			map[string]string{"Connection": "close", "Cache-Control": "no-store", "Location": ""},
			"This service is reached over HTTPS only. The request was not processed, but its credentials travelled in clear: replace them.",
		},
		{
			"foreign host", request("GET", "http://evil.com/"), 421,
			map[string]string{"Connection": "close", "Cache-Control": "no-store", "Location": "", "Strict-Transport-Security": ""},
			"This service does not answer for the host that was asked for.",
		},
		{
			"foreign host over TLS", request("GET", "https://evil.com/"), 421,
			map[string]string{"Connection": "", "Cache-Control": "no-store", "Location": "", "Strict-Transport-Security": ""},
			"This service does not answer for the host that was asked for.",
		},
		{
			"early data", request("POST", "https://api.example.com/", "Early-Data: 1"), 425,
			map[string]string{"Connection": "", "Cache-Control": "no-store", "Strict-Transport-Security": hsts},
			"The request came as TLS early data, which may be replayed. Send it again.",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			called := false
			newRedirector(t, tlsredirect.Config{}).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true })).ServeHTTP(w, tt.r)
			if w.Code != tt.status {
				t.Errorf("status = %d, want %d", w.Code, tt.status)
			}
			if called != (tt.status == 200) {
				t.Errorf("the application was called: %v", called)
			}
			for name, want := range tt.header {
				if got := w.Header().Get(name); got != want {
					t.Errorf("%s = %q, want %q", name, got, want)
				}
			}
			if tt.detail != "" {
				var problem struct {
					Detail string
					Status int
				}
				if err := json.Unmarshal(w.Body.Bytes(), &problem); err != nil || problem.Detail != tt.detail || problem.Status != tt.status {
					t.Errorf("problem = %+v, %v; want %d %q", problem, err, tt.status, tt.detail)
				}
			}
		})
	}
}

// TestErrorHandlerHeaders: what belongs to the answer is set before the
// ErrorHandler runs, and every error is an *Error.
func TestErrorHandlerHeaders(t *testing.T) {
	t.Parallel()
	rd := newRedirector(t, tlsredirect.Config{ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
		e, ok := errors.AsType[*tlsredirect.Error](err)
		if !ok || e.StatusCode() != 403 || e.Reason != tlsredirect.ReasonCredentials || !reflect.DeepEqual(e.Credentials, []string{"Cookie"}) {
			t.Errorf("err = %#v", err)
		}
		if w.Header().Get("Connection") != "close" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("headers = %v, want Connection and Cache-Control", w.Header())
		}
		w.WriteHeader(http.StatusTeapot)
	}})
	w := httptest.NewRecorder()
	rd.Handler(application).ServeHTTP(w, request("GET", "http://api.example.com/", "Cookie: a=b"))
	if w.Code != http.StatusTeapot {
		t.Errorf("status = %d, want the ErrorHandler's", w.Code)
	}
}

// TestWriteError: the answers, also for errors that are not this package's.
func TestWriteError(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err    error
		status int
	}{
		{&tlsredirect.Error{Reason: tlsredirect.ReasonProto}, 403},
		{&tlsredirect.Error{Reason: tlsredirect.ReasonMisdirected}, 421},
		{fmt.Errorf("wrapped: %w", &tlsredirect.Error{Reason: tlsredirect.ReasonEarlyData}), 425},
		{errors.New("secret"), 500},
	} {
		w := httptest.NewRecorder()
		tlsredirect.WriteError(w, request("GET", "/"), tt.err)
		if w.Code != tt.status || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%v: %d %s, want %d", tt.err, w.Code, w.Body, tt.status)
		}
	}
}

// TestPlainHandler serves no application, whatever comes.
func TestPlainHandler(t *testing.T) {
	t.Parallel()
	rd := newRedirector(t, tlsredirect.Config{Health: []string{"/healthz"}, Trust: newTrust(t, "10.0.0.0/8")})
	forwarded := request("GET", "/x", "X-Forwarded-Proto: https")
	forwarded.RemoteAddr, forwarded.Host = "10.0.0.1:1", "api.example.com"
	for _, tt := range []struct {
		name   string
		r      *http.Request
		status int
	}{
		{"root", request("GET", "http://api.example.com/"), 308},
		{"API", request("GET", "http://api.example.com/x"), 403},
		{"foreign host", request("GET", "http://evil.com/"), 421},
		{"health", request("GET", "http://192.0.2.1/healthz"), 200},
		{"TLS by mistake", request("GET", "https://api.example.com/x"), 421},
		{"TLS up to a proxy", forwarded, 421},
		{"foreign host over TLS", request("GET", "https://evil.com/x"), 421},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			rd.PlainHandler().ServeHTTP(w, tt.r)
			if w.Code != tt.status {
				t.Errorf("status = %d, want %d", w.Code, tt.status)
			}
		})
	}
}

// TestReported: each decision once, to the record and to the hook, with the
// names of credentials and nothing of what the client sent.
func TestReported(t *testing.T) {
	t.Parallel()
	type decisions = []decision.Decision
	deny := func(reason, detail string, status int) decisions {
		return decisions{{Layer: "tlsredirect", Effect: decision.Deny, Rule: "RefuseAPI", Reason: reason, Detail: detail, Status: status}}
	}
	for _, tt := range []struct {
		name  string
		r     *http.Request
		want  decisions
		event *tlsredirect.PlaintextEvent
	}{
		{
			"pass", request("GET", "https://api.example.com/"),
			decisions{{Layer: "tlsredirect", Effect: decision.Allow, Reason: "tls"}},
			nil,
		},
		{"redirect", request("GET", "http://api.example.com/"), deny("redirect", "", 308), nil},
		{
			"POST", request("POST", "http://api.example.com/canary"),
			deny("plaintext", "neither GET nor HEAD", 403),
			&tlsredirect.PlaintextEvent{Reason: "plaintext", Status: 403},
		},
		{
			"credentials", request("POST", "http://canary:canary@api.example.com/?token=canary&token=canary&access_token=canary&x=canary", "Authorization: canary", "Cookie: canary", "X-Api-Key: canary", "X-Other: canary"),
			deny("credentials", "carried Authorization, Cookie, X-Api-Key, userinfo, ?token, ?access_token", 403),
			&tlsredirect.PlaintextEvent{Reason: "credentials", Status: 403, Credentials: []string{"Authorization", "Cookie", "X-Api-Key", "userinfo", "?token", "?access_token"}},
		},
		{
			"credentials for a foreign host", request("GET", "http://canary.example/", "Authorization: canary"),
			deny("host", "not one of Hosts", 421),
			&tlsredirect.PlaintextEvent{Reason: "host", Status: 421, Credentials: []string{"Authorization"}},
		},
		{
			"foreign host over TLS", request("GET", "https://canary.example/", "Authorization: canary"),
			decisions{{Layer: "tlsredirect", Effect: decision.Deny, Reason: "host", Detail: "not one of Hosts", Status: 421}},
			nil,
		},
		{
			"early data", request("POST", "https://api.example.com/", "Early-Data: canary", "Authorization: canary"),
			decisions{{Layer: "tlsredirect", Effect: decision.Deny, Reason: "early_data", Status: 425}},
			nil,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			var hooked decisions
			var events []tlsredirect.PlaintextEvent
			rd := newRedirector(t, tlsredirect.Config{
				Logger:     slog.New(slog.NewJSONHandler(&log, nil)),
				OnDecision: func(_ context.Context, d decision.Decision) { hooked = append(hooked, d) },
				OnPlaintext: func(r *http.Request, e tlsredirect.PlaintextEvent) {
					if r.Header.Get("Authorization") != tt.r.Header.Get("Authorization") {
						t.Error("the hook does not get the request")
					}
					events = append(events, e)
				},
			})
			record := decision.NewRecord("id")
			w := httptest.NewRecorder()
			rd.Handler(application).ServeHTTP(w, tt.r.WithContext(decision.NewContext(t.Context(), record)))
			if got := record.Seal().Decisions; !reflect.DeepEqual(got, tt.want) {
				t.Errorf("recorded %+v, want %+v", got, tt.want)
			}
			if !reflect.DeepEqual(hooked, tt.want) {
				t.Errorf("hook got %+v, want %+v", hooked, tt.want)
			}
			var want []tlsredirect.PlaintextEvent
			if tt.event != nil {
				want = append(want, *tt.event)
			}
			if !reflect.DeepEqual(events, want) {
				t.Errorf("OnPlaintext got %+v, want %+v", events, want)
			}
			if out := log.String() + w.Body.String() + fmt.Sprint(w.Header(), hooked, events); strings.Contains(out, "canary") {
				t.Errorf("what the client sent was told: %s", out)
			}
			if logged := log.Len() > 0; logged != (tt.want[0].Effect == decision.Deny) {
				t.Errorf("logged %q", log.String())
			}
		})
	}
}

// TestHints: the log says what to set, once for each cause.
func TestHints(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	rd := newRedirector(t, tlsredirect.Config{
		Trust: newTrust(t, "192.0.2.0/24"),
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})),
	})
	h := rd.Handler(application)
	for range 3 {
		untrusted := request("POST", "http://api.example.com/", "X-Forwarded-Proto: https")
		untrusted.RemoteAddr = "10.0.0.7:1"
		for _, r := range []*http.Request{
			untrusted,
			request("GET", "http://api.example.com/"), // from 192.0.2.1
			request("GET", "https://canary.example/"),
		} {
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
	}
	want := `level=WARN msg="tlsredirect: X-Forwarded-Proto from untrusted 10.0.0.7: if it is a proxy of yours, set Trust, and Proxies in it"
level=WARN msg="tlsredirect: no usable X-Forwarded-Proto from trusted 192.0.2.1: let it set http or https"
level=WARN msg="tlsredirect: a request for another host: if it was meant for this service, add its name or address to Hosts, or its path to Health"
`
	if got := log.String(); got != want {
		t.Errorf("logged\n%swant\n%s", got, want)
	}
}

// TestHandlersLastWordOnHSTS: an application can take its policy back.
func TestHandlersLastWordOnHSTS(t *testing.T) {
	t.Parallel()
	h := newRedirector(t, tlsredirect.Config{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=0")
	}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request("GET", "https://api.example.com/"))
	if got := w.Header().Values("Strict-Transport-Security"); !reflect.DeepEqual(got, []string{"max-age=0"}) {
		t.Errorf("HSTS = %q, want one of max-age=0", got)
	}
}

func TestHSTSValues(t *testing.T) {
	t.Parallel()
	const year = 365 * 24 * time.Hour
	for _, tt := range []struct {
		hsts tlsredirect.HSTS
		want string
	}{
		{tlsredirect.HSTS{}, "max-age=63072000; includeSubDomains"},
		{tlsredirect.HSTS{MaxAge: 5 * time.Minute}, "max-age=300; includeSubDomains"},
		{tlsredirect.HSTS{InsecureExcludeSubDomains: true}, "max-age=63072000"},
		{tlsredirect.HSTS{Preload: true}, "max-age=63072000; includeSubDomains; preload"},
		{tlsredirect.HSTS{Preload: true, MaxAge: year}, "max-age=31536000; includeSubDomains; preload"},
		{tlsredirect.HSTS{InsecureOff: true}, ""},
	} {
		w := httptest.NewRecorder()
		newRedirector(t, tlsredirect.Config{HSTS: tt.hsts}).Handler(application).ServeHTTP(w, request("GET", "https://api.example.com/"))
		if got := w.Header().Get("Strict-Transport-Security"); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.hsts, got, tt.want)
		}
	}
}

// TestSharedSlices: what a handler does to its response's headers does not
// show in the next response.
func TestSharedSlices(t *testing.T) {
	t.Parallel()
	rd := newRedirector(t, tlsredirect.Config{})
	h := rd.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Strict-Transport-Security"][0] = "mine"
	}))
	h.ServeHTTP(httptest.NewRecorder(), request("GET", "https://api.example.com/"))
	w := httptest.NewRecorder()
	rd.Handler(application).ServeHTTP(w, request("GET", "https://api.example.com/"))
	if got := w.Header().Get("Strict-Transport-Security"); got != "max-age=63072000; includeSubDomains" {
		t.Errorf("HSTS of the next response = %q", got)
	}
	w = httptest.NewRecorder()
	rd.Handler(application).ServeHTTP(w, request("GET", "http://api.example.com/"))
	_ = append(w.Header()["Location"], "more")
	if got := w.Header().Get("Cache-Control"); got != "private" {
		t.Errorf("appending to Location changed Cache-Control to %q", got)
	}
}

func TestNewMistakes(t *testing.T) {
	t.Parallel()
	hosts := []string{"api.example.com"}
	wantHost := func(name string) string {
		return fmt.Sprintf("tlsredirect: Hosts has %q, want a host without scheme, port and path, such as api.example.com, *.example.com or 192.0.2.1", name)
	}
	wantWildcard := func(name string) string {
		return fmt.Sprintf("tlsredirect: Hosts has %q, want a wildcard below a domain of your own", name)
	}
	wantHealth := func(p string) string {
		return fmt.Sprintf("tlsredirect: Health has %q, want an exact path such as /healthz", p)
	}
	for _, tt := range []struct {
		cfg  tlsredirect.Config
		want []string
	}{
		{tlsredirect.Config{}, []string{"tlsredirect: Hosts is empty, want the names and addresses of this service"}},
		{
			tlsredirect.Config{Hosts: []string{"", "*", "https://example.com", "example.com:443", "example.com/x", "[::1]:443", "a..b", "*.", "*.*.com", "a.*.com", "127.1"}},
			[]string{
				wantHost(""), wantHost("*"), wantHost("https://example.com"), wantHost("example.com:443"), wantHost("example.com/x"), wantHost("[::1]:443"),
				wantHost("a..b"), wantHost("*."), wantHost("*.*.com"), wantHost("a.*.com"), wantHost("127.1"),
			},
		},
		{tlsredirect.Config{Hosts: []string{"*.com", "*.192.0.2.1", "*.[::1]"}}, []string{wantWildcard("*.com"), wantWildcard("*.192.0.2.1"), wantWildcard("*.[::1]")}},
		{tlsredirect.Config{Hosts: hosts, HTTPSPort: -1}, []string{"tlsredirect: HTTPSPort is -1, want 1 to 65535, 0 for 443"}},
		{tlsredirect.Config{Hosts: hosts, HTTPSPort: 65536}, []string{"tlsredirect: HTTPSPort is 65536, want 1 to 65535, 0 for 443"}},
		{tlsredirect.Config{Hosts: hosts, Plaintext: 3}, []string{"tlsredirect: Plaintext is 3, want RefuseAPI, RedirectSafe or RefuseAll"}},
		{
			tlsredirect.Config{Hosts: hosts, Health: []string{"", "/", "healthz", "/a/../b", "/a/", "/*", "/{x}", "/a?b", "/a b"}},
			[]string{wantHealth(""), wantHealth("/"), wantHealth("healthz"), wantHealth("/a/../b"), wantHealth("/a/"), wantHealth("/*"), wantHealth("/{x}"), wantHealth("/a?b"), wantHealth("/a b")},
		},
		{tlsredirect.Config{Hosts: hosts, HSTS: tlsredirect.HSTS{MaxAge: -time.Second}}, []string{"tlsredirect: HSTS.MaxAge is -1s, want whole seconds, 0 for two years"}},
		{tlsredirect.Config{Hosts: hosts, HSTS: tlsredirect.HSTS{MaxAge: 1500 * time.Millisecond}}, []string{"tlsredirect: HSTS.MaxAge is 1.5s, want whole seconds, 0 for two years"}},
		{
			tlsredirect.Config{Hosts: hosts, HSTS: tlsredirect.HSTS{MaxAge: time.Hour, Preload: true, InsecureExcludeSubDomains: true}},
			[]string{
				"tlsredirect: HSTS.MaxAge is 1h0m0s with Preload, want at least a year (8760h0m0s)",
				"tlsredirect: HSTS.InsecureExcludeSubDomains is set with Preload, want all subdomains",
			},
		},
		{
			tlsredirect.Config{Hosts: hosts, HSTS: tlsredirect.HSTS{InsecureOff: true, MaxAge: time.Hour}},
			[]string{"tlsredirect: HSTS.InsecureOff is set beside other fields, want one or the other"},
		},
		{
			tlsredirect.Config{HTTPSPort: -1, Plaintext: 9, Health: []string{"x"}, HSTS: tlsredirect.HSTS{MaxAge: -time.Second}},
			[]string{
				"tlsredirect: Hosts is empty, want the names and addresses of this service",
				"tlsredirect: HSTS.MaxAge is -1s, want whole seconds, 0 for two years",
				"tlsredirect: HTTPSPort is -1, want 1 to 65535, 0 for 443",
				"tlsredirect: Plaintext is 9, want RefuseAPI, RedirectSafe or RefuseAll",
				wantHealth("x"),
			},
		},
	} {
		rd, err := tlsredirect.New(tt.cfg)
		if rd != nil || err == nil {
			t.Errorf("New = %v, %v; want %q", rd, err, tt.want)
			continue
		}
		if got, want := err.Error(), strings.Join(tt.want, "\n"); got != want {
			t.Errorf("New:\n%s\nwant\n%s", got, want)
		}
	}
}

// TestConfigIsCopied: changing the slices of a Config afterwards changes nothing.
func TestConfigIsCopied(t *testing.T) {
	t.Parallel()
	cfg := tlsredirect.Config{Hosts: []string{"api.example.com"}, Health: []string{"/healthz"}}
	rd := newRedirector(t, cfg)
	cfg.Hosts[0], cfg.Health[0] = "evil.com", "/orders"
	if got := outcome(rd.Check(request("GET", "http://evil.com/"))); got != "421 host" {
		t.Errorf("%s, want 421", got)
	}
	if got := outcome(rd.Check(request("GET", "http://api.example.com/orders"))); got != "403 plaintext" {
		t.Errorf("%s, want 403", got)
	}
}

func TestWiringPanics(t *testing.T) {
	t.Parallel()
	var none *tlsredirect.Redirector
	for name, wire := range map[string]func(){
		"Handler":      func() { none.Handler(application) },
		"PlainHandler": func() { none.PlainHandler() },
		"TLSConfig":    func() { tlsredirect.TLSConfig(99) },
	} {
		func() {
			defer func() {
				if got, _ := recover().(string); !strings.HasPrefix(got, "tlsredirect: "+name) {
					t.Errorf("%s panicked with %q", name, got)
				}
			}()
			wire()
		}()
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	_, err := newRedirector(t, tlsredirect.Config{}).Check(request("GET", "http://canary.example/canary?token=canary"))
	if got, want := err.Error(), "tlsredirect: host: not one of Hosts"; got != want {
		t.Errorf("Error = %q, want %q", got, want)
	}
	if got, want := (&tlsredirect.Error{Reason: "early_data"}).Error(), "tlsredirect: early_data"; got != want {
		t.Errorf("Error = %q, want %q", got, want)
	}
	for p, want := range map[tlsredirect.Plaintext]string{tlsredirect.RefuseAPI: "RefuseAPI", tlsredirect.RedirectSafe: "RedirectSafe", tlsredirect.RefuseAll: "RefuseAll", 9: "unknown"} {
		if got := p.String(); got != want {
			t.Errorf("Plaintext = %q, want %q", got, want)
		}
	}
}

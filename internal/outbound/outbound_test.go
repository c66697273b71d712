package outbound_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/outbound"
	"github.com/gatehouse-go/gatehouse/internal/report"
)

func TestGetAndPost(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("X-Seen", r.Header.Get("X-Given"))
		w.WriteHeader(http.StatusTeapot)
		_, _ = fmt.Fprintf(w, "%s %s %q %q", r.Method, r.RequestURI, r.Header.Get("Content-Type"), body)
	})
	c := local(t)
	header := http.Header{"X-Given": {"a"}}
	for _, tt := range []struct {
		name string
		ask  func() (*outbound.Response, error)
		want string
	}{
		{"GET", func() (*outbound.Response, error) { return c.Get(t.Context(), s.URL+"/k?a=b", header) }, `GET /k?a=b "" ""`},
		{"POST", func() (*outbound.Response, error) {
			return c.PostForm(t.Context(), s.URL, url.Values{"token": {"a b&c"}}, header)
		}, `POST / "application/x-www-form-urlencoded" "token=a+b%26c"`},
	} {
		got, err := tt.ask()
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got.Status != http.StatusTeapot || string(got.Body) != tt.want || got.Header.Get("X-Seen") != "a" {
			t.Errorf("%s = %d %s %v, want %s", tt.name, got.Status, got.Body, got.Header, tt.want)
		}
	}
	if len(header) != 1 {
		t.Errorf("the caller's header is now %v", header)
	}
}

func TestNewFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		cfg  outbound.Config
		want []string
	}{
		{"zero", outbound.Config{}, nil},
		{"client without transport", outbound.Config{Client: &http.Client{}}, nil},
		{"default transport", outbound.Config{Client: &http.Client{Transport: http.DefaultTransport}}, nil},
		{"all", outbound.Config{
			Client:       &http.Client{Transport: http.NewFileTransport(http.Dir("."))},
			AllowPrivate: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), {}, netip.MustParsePrefix("10.1.0.0/8"), netip.MustParsePrefix("::ffff:10.0.0.0/104")},
			Timeout:      -1, MaxBytes: -1, MaxConns: -1,
		}, []string{
			"Timeout is -1ns, want 0 to 1m0s",
			"MaxBytes is -1, want 0 to 67108864",
			"MaxConns is -1, want 0 to 256",
			"AllowPrivate[1] is invalid Prefix, want a network such as 10.0.0.0/8",
			"AllowPrivate[2] is 10.1.0.0/8, want a network such as 10.0.0.0/8",
			"AllowPrivate[3] is ::ffff:10.0.0.0/104, want a network such as 10.0.0.0/8",
			"HTTPClient.Transport is a http.fileTransport, want nil or an *http.Transport, whose connections can be checked",
		}},
		{"too long, too large", outbound.Config{Timeout: time.Hour, MaxBytes: 1 << 40}, []string{
			"Timeout is 1h0m0s, want 0 to 1m0s", "MaxBytes is 1099511627776, want 0 to 67108864",
		}},
		{"nil transport", outbound.Config{Client: &http.Client{Transport: (*http.Transport)(nil)}}, []string{
			"HTTPClient.Transport is a nil *http.Transport, want nil or one that is not",
		}},
		{"unverified", outbound.Config{Client: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}}, []string{
			"HTTPClient.Transport.TLSClientConfig.InsecureSkipVerify is true, want RootCAs with the server's authority",
		}},
		{"verified by the user", outbound.Config{Client: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
			InsecureSkipVerify: true, VerifyConnection: func(tls.ConnectionState) error { return nil },
		}}}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := outbound.New(tt.cfg)
			var got []string
			for _, f := range outbound.Faults(err) {
				got = append(got, f.Error())
			}
			if strings.Join(got, "\n") != strings.Join(tt.want, "\n") {
				t.Errorf("faults:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
			if (c == nil) != (err != nil) {
				t.Errorf("Client = %v with error %v", c, err)
			}
		})
	}
	if got := outbound.Faults(io.EOF); len(got) != 1 || got[0] != io.EOF { //nolint:errorlint // the very one
		t.Errorf("Faults of one error = %v", got)
	}
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		url            string
		strict, allows string // "": admitted, otherwise the text
	}{
		{"https://id.example.com", "", ""},
		{"https://id.example.com:8443/a/b?c=d", "", ""},
		{"HTTPS://ID.example.com./", "", ""},
		{"https://xn--bcher-kva.example/", "", ""},
		{"https://[2606:4700::1111]:443/", "", ""},
		{"https://1.1.1.1/", "", ""},
		{"", "is not an absolute URL, want https://…", "same"},
		{"id.example.com", "is not an absolute URL, want https://…", "same"},
		{"https://", "is not an absolute URL, want https://…", "same"},
		{"https:///keys", "is not an absolute URL, want https://…", "same"},
		{"https://:443/", "is not an absolute URL, want https://…", "same"},
		{"https:id.example.com", "is not an absolute URL, want https://…", "same"},
		{"https://id.example.com:/", "is not an absolute URL, want https://…", "same"},
		{"https://id.example.com:x/", "is not a URL, want https://…", "same"},
		{"https://id.example.com\n/", "is not a URL, want https://…", "same"},
		{"https://id.ex%61mple.com/", "is not a URL, want https://…", "same"},
		{"https://id.example.com:0/", `has the port "0", want 1 to 65535`, "same"},
		{"https://id.example.com:65536/", `has the port "65536", want 1 to 65535`, "same"},
		{"https://user:hunter2@id.example.com/", "holds a user or a password, want neither in a URL", "same"},
		{"https://@id.example.com/", "holds a user or a password, want neither in a URL", "same"},
		{"https://id.example.com/#", "has a fragment, want none", "same"},
		{"https://id.example.com/#a", "has a fragment, want none", "same"},
		{"https://bücher.example/", "has a host that is no name of ASCII letters, digits, dots and hyphens", "same"},
		{"https://id.example.com,evil.example/", "has a host that is no name of ASCII letters, digits, dots and hyphens", "same"},
		{"http://id.example.com/", `has the scheme "http", want https`, "same"},
		{"ftp://id.example.com/", `has the scheme "ftp", want https`, "same"},
		{"file:///etc/passwd", "is not an absolute URL, want https://…", "same"},
		{"http://10.0.0.1/", `has the scheme "http", want https`, "same"},
		{"http://127.0.0.1:8080/", `has the scheme "http", want https, or InsecureAllowLoopback for tests`, ""},
		{"http://[::1]:8080/", `has the scheme "http", want https, or InsecureAllowLoopback for tests`, ""},
		{"http://localhost/", `has the scheme "http", want https, or InsecureAllowLoopback for tests`, ""},
		{"http://localhost.evil.example/", `has the scheme "http", want https`, "same"},
		{"https://localhost/", "is on this machine, want InsecureAllowLoopback for tests", ""},
		{"https://127.0.0.1/", "has the address 127.0.0.1, which is loopback, want its network in AllowPrivate", ""},
		{"https://10.0.0.1/", "has the address 10.0.0.1, which is private, want its network in AllowPrivate", "same"},
		{"https://[::ffff:169.254.169.254]/", "has the address ::ffff:169.254.169.254, which is link-local, want its network in AllowPrivate", "same"},
	} {
		t.Run(tt.url, func(t *testing.T) {
			t.Parallel()
			if tt.allows == "same" {
				tt.allows = tt.strict
			}
			for _, c := range []struct {
				client *outbound.Client
				want   string
			}{{newClient(t, outbound.Config{}), tt.strict}, {local(t), tt.allows}} {
				err := c.client.CheckURL(tt.url)
				if got := text(err); got != c.want {
					t.Errorf("CheckURL = %q, want %q", got, c.want)
				}
				if err != nil && !errors.Is(err, outbound.ErrURL) {
					t.Errorf("%v is not ErrURL", err)
				}
				if err == nil {
					continue
				}
				if _, again := c.client.Get(t.Context(), tt.url, nil); !errors.Is(again, outbound.ErrURL) {
					t.Errorf("Get = %v, want ErrURL", again)
				}
				if _, again := c.client.PostForm(t.Context(), tt.url, nil, nil); !errors.Is(again, outbound.ErrURL) {
					t.Errorf("PostForm = %v, want ErrURL", again)
				}
			}
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	var elsewhere, arrived atomic.Int64
	other := serve(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		arrived.Add(1)
		q := r.URL.Query()
		if to := q.Get("to"); to != "" {
			w.Header().Set("Location", to)
			status := http.StatusFound
			if q.Has("307") {
				status = http.StatusTemporaryRedirect
			}
			w.WriteHeader(status)
			return
		}
		_, _ = w.Write([]byte(r.Header.Get("X-Given")))
	})
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	to := func(target string) string { return s.URL + "/?to=" + url.QueryEscape(target) }
	chain := func(n int) string {
		u := "/end"
		for range n {
			u = "/?to=" + url.QueryEscape(u)
		}
		return s.URL + u
	}
	c := local(t)
	get := func(u string) error {
		r, err := c.Get(t.Context(), u, http.Header{"X-Given": {"a"}})
		if err == nil && (r.Status != http.StatusOK || string(r.Body) != "a") {
			t.Errorf("%s = %d %q", u, r.Status, r.Body)
		}
		return err
	}
	post := func(u string) error {
		_, err := c.PostForm(t.Context(), u, url.Values{"token": {"secret"}}, nil)
		return err
	}
	for _, tt := range []struct {
		name string
		ask  func(string) error
		url  string
		want error
	}{
		{"to the same origin", get, to("/end"), nil},
		{"three", get, chain(3), nil},
		{"four", get, chain(4), outbound.ErrRedirect},
		{"to another port", get, to(other.URL), outbound.ErrRedirect},
		{"to another name of the host", get, to("http://localhost:" + port), outbound.ErrRedirect},
		{"to another scheme", get, to("https://127.0.0.1:" + port), outbound.ErrRedirect},
		{"to the default port", get, to("http://127.0.0.1/"), outbound.ErrRedirect},
		{"inside, by name", get, to("http://metadata.internal/"), outbound.ErrRedirect},
		{"inside, by address", get, to("http://169.254.169.254/"), outbound.ErrRedirect},
		{"with a password", get, to("http://a:b@127.0.0.1:" + port), outbound.ErrRedirect},
		{"with a fragment", get, to("/end#a"), outbound.ErrRedirect},
		{"to a file", get, to("file:///etc/passwd"), outbound.ErrRedirect},
		{"of a POST", post, to("/end"), outbound.ErrRedirect},
		{"of a POST, as a POST", post, to("/end") + "&307", outbound.ErrRedirect},
		{"of a POST, elsewhere", post, to(other.URL) + "&307", outbound.ErrRedirect},
	} {
		before := arrived.Load()
		err := tt.ask(tt.url)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: error = %v, want %v", tt.name, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("%s: the error tells the target: %v", tt.name, err)
		}
		if n := arrived.Load() - before; strings.HasPrefix(tt.name, "of a POST") && n != 1 {
			t.Errorf("%s: %d requests arrived, want 1", tt.name, n)
		}
	}
	if n := elsewhere.Load(); n > 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
}

// TestSameOriginByDefaultPort: a port that is written out is no other origin.
func TestSameOriginByDefaultPort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/" {
				http.Redirect(w, r, "http://LOCALHOST:80/end", http.StatusFound)
			}
		})
		c := newClient(t, outbound.Config{Client: p.client(), InsecureAllowLoopback: true})
		if r, err := c.Get(t.Context(), "http://localhost/", nil); err != nil || r.Status != http.StatusOK {
			t.Errorf("Get = %v, %v", r, err)
		}
	})
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	zipped := func(n int) []byte {
		var buf bytes.Buffer
		z := gzip.NewWriter(&buf)
		_, _ = z.Write(make([]byte, n))
		_ = z.Close()
		return buf.Bytes()
	}
	const limit = 1000
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		want   error
	}{
		{"as large as may be", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, limit)) }, nil},
		{"one byte more", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, limit+1)) }, outbound.ErrTooLarge},
		{"announced", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "1099511627776") }, outbound.ErrTooLarge},
		{"endless", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		}, outbound.ErrTooLarge},
		{"compressed, as large as may be", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(zipped(limit))
		}, nil},
		{"a bomb", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(zipped(1 << 20)[:900]) // less than the limit on the wire
		}, outbound.ErrTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, tt.answer)
			c := newClient(t, outbound.Config{InsecureAllowLoopback: true, MaxBytes: limit})
			r, err := c.Get(t.Context(), s.URL, nil)
			if !errors.Is(err, tt.want) {
				t.Errorf("error = %v, want %v", err, tt.want)
			}
			if err == nil && len(r.Body) != limit {
				t.Errorf("%d bytes, want %d", len(r.Body), limit)
			}
		})
	}
}

func TestLargeHeader(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Large", strings.Repeat("a", 100<<10)) })
	if _, err := local(t).Get(t.Context(), s.URL, nil); err == nil {
		t.Error("a header of 100 KiB was taken")
	}
}

func TestTruncated(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = w.Write([]byte("{}"))
	})
	if r, err := local(t).Get(t.Context(), s.URL, nil); err == nil {
		t.Errorf("half an answer was taken for a whole one: %q", r.Body)
	}
}

// TestSlow: no server makes a caller wait for longer than Timeout.
func TestSlow(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
	}{
		{"headers", func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-time.After(time.Hour):
			}
		}},
		{"body", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte(" "))
				_ = http.NewResponseController(w).Flush()
				time.Sleep(time.Second)
			}
		}},
		{"early hints", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				w.WriteHeader(http.StatusEarlyHints)
				time.Sleep(time.Second)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, timeout := range []time.Duration{0, 2 * time.Second} {
				synctest.Test(t, func(t *testing.T) {
					p := newPipe(t, tt.answer)
					c := newClient(t, outbound.Config{Client: p.client(), InsecureAllowLoopback: true, Timeout: timeout})
					start := time.Now()
					_, err := c.Get(t.Context(), "http://127.0.0.1", nil)
					if !errors.Is(err, outbound.ErrTimeout) {
						t.Errorf("error = %v, want ErrTimeout", err)
					}
					want := timeout
					if want == 0 {
						want = 5 * time.Second
					}
					if got := time.Since(start); got != want {
						t.Errorf("waited %v, want %v", got, want)
					}
				})
			}
		})
	}
}

// TestCallerGivesUp: the caller's own context ends the exchange, and the error
// says which of the two it was.
func TestCallerGivesUp(t *testing.T) {
	t.Parallel()
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, hang)
		c := newClient(t, outbound.Config{Client: p.client(), InsecureAllowLoopback: true})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := c.Get(ctx, "http://127.0.0.1", nil)
		if !errors.Is(err, context.Canceled) || errors.Is(err, outbound.ErrTimeout) || text(err) != "the caller gave up" {
			t.Errorf("error = %v, want context.Canceled", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = c.Get(ctx, "http://127.0.0.1", nil)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, outbound.ErrTimeout) {
			t.Errorf("error = %v, want context.DeadlineExceeded", err)
		}
	})
}

func secure(t *testing.T, version uint16) (*httptest.Server, *x509.CertPool) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.Proto)) }))
	s.Config.ErrorLog = discard()
	s.EnableHTTP2 = version == 0 // it is not for older versions of TLS
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: version}
	s.StartTLS()
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return s, pool
}

func TestTLS(t *testing.T) {
	t.Parallel()
	s, pool := secure(t, 0)
	old, oldPool := secure(t, tls.VersionTLS11)
	to := func(s *httptest.Server) func(ctx context.Context, network, address string) (net.Conn, error) {
		return func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
		}
	}
	shake := func(version uint16) func(ctx context.Context, network, address string) (net.Conn, error) {
		return func(ctx context.Context, network, address string) (net.Conn, error) {
			d := tls.Dialer{Config: &tls.Config{RootCAs: oldPool, ServerName: "example.com", MinVersion: version}}
			return d.DialContext(ctx, network, old.Listener.Addr().String())
		}
	}
	for _, tt := range []struct {
		name      string
		url       string
		transport *http.Transport
		want      string // the text of the error
	}{
		{"known authority", s.URL, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}, ""},
		{"by name", "https://example.com", &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DialContext: to(s)}, ""},
		{"unknown authority", s.URL, nil, "the server's certificate is of an unknown authority"},
		{"another host", "https://other.test", &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DialContext: to(s)}, "the server's certificate is for another host"},
		{"expired", "https://example.com", &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Time: func() time.Time { return time.Now().AddDate(200, 0, 0) }}, DialContext: to(s)}, "the server's certificate is expired or not valid yet"},
		{"TLS 1.1", old.URL, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: oldPool}}, "the exchange failed"},
		{"TLS 1.1, which the user would take", old.URL, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: oldPool, MinVersion: tls.VersionTLS10}}, "the exchange failed"},
		{"TLS 1.1, whose hands the user shook", "https://example.com", &http.Transport{DialTLSContext: shake(tls.VersionTLS10)}, "the server speaks a version of TLS older than 1.2"},
		{"TLS 1.2, with a dialler that fails", "https://example.com", &http.Transport{DialTLSContext: shake(tls.VersionTLS12)}, "the exchange failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := outbound.Config{InsecureAllowLoopback: true}
			if tt.transport != nil {
				cfg.Client = &http.Client{Transport: tt.transport}
			}
			_, err := newClient(t, cfg).Get(t.Context(), tt.url, nil)
			if got := text(err); got != tt.want {
				t.Errorf("error = %q, want %q", got, tt.want)
			}
		})
	}
}

// TestHTTP2 also holds on a Transport that has HTTP/2 from elsewhere, which may
// have connections of its own.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	s, pool := secure(t, 0)
	foreign := func(string, *tls.Conn) http.RoundTripper {
		t.Error("the connection was handed to somebody else")
		return http.NewFileTransport(http.Dir("."))
	}
	used := &http.Transport{}
	used.Clone() // sets up its HTTP/2, as the first request does
	c := newClient(t, outbound.Config{InsecureAllowLoopback: true, Client: &http.Client{Transport: used}})
	c.Transport().TLSClientConfig.RootCAs = pool
	if r, err := c.Get(t.Context(), s.URL, nil); err != nil || string(r.Body) != "HTTP/2.0" {
		t.Errorf("a Transport that was used: %v, %v", r, err)
	}
	for _, tt := range []struct {
		name string
		next map[string]func(string, *tls.Conn) http.RoundTripper
		want string
	}{
		{"of net/http", nil, "HTTP/2.0"},
		{"from elsewhere", map[string]func(string, *tls.Conn) http.RoundTripper{"h2": foreign}, "HTTP/2.0"},
		{"switched off", map[string]func(string, *tls.Conn) http.RoundTripper{}, "HTTP/1.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, TLSNextProto: tt.next, ForceAttemptHTTP2: true}
			c := newClient(t, outbound.Config{InsecureAllowLoopback: true, Client: &http.Client{Transport: transport}})
			r, err := c.Get(t.Context(), s.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(r.Body); got != tt.want {
				t.Errorf("protocol = %s, want %s", got, tt.want)
			}
		})
	}
}

// TestProxy: without a Transport of the user's there is none, and with one it
// is the proxy's address that counts.
func TestProxy(t *testing.T) {
	t.Parallel()
	if newClient(t, outbound.Config{}).Transport().Proxy != nil {
		t.Error("our own Transport has a proxy")
	}
	var asked atomic.Int64
	proxy := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Method != http.MethodConnect || r.Host != "id.example.com:443" {
			t.Errorf("the proxy got %s %s", r.Method, r.Host)
		}
		w.WriteHeader(http.StatusForbidden)
	})
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(at)}}
	strict := newClient(t, outbound.Config{Client: client})
	if _, err := strict.Get(t.Context(), "https://id.example.com", nil); !errors.Is(err, outbound.ErrAddress) {
		t.Errorf("error = %v, want ErrAddress", err)
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the proxy was asked %d times, want 0", n)
	}
	allows := newClient(t, outbound.Config{Client: client, InsecureAllowLoopback: true})
	if _, err := allows.Get(t.Context(), "https://id.example.com", nil); err == nil || errors.Is(err, outbound.ErrAddress) {
		t.Errorf("error = %v, want the proxy's refusal", err)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the proxy was asked %d times, want 1", n)
	}
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	if _, err := allows.Get(t.Context(), s.URL, nil); err != nil {
		t.Errorf("in clear to this machine: %v", err)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("what is in clear went to the proxy")
	}
}

// TestClientIsNotTheUsers: of an http.Client nothing but the Transport is
// taken, and of that a copy.
func TestClientIsNotTheUsers(t *testing.T) {
	t.Parallel()
	transport := &http.Transport{MaxConnsPerHost: 2, ResponseHeaderTimeout: time.Hour}
	c := newClient(t, outbound.Config{Client: &http.Client{Transport: transport}})
	if got := c.Transport(); got == transport || got.MaxConnsPerHost != 2 || got.ResponseHeaderTimeout != 5*time.Second {
		t.Errorf("Transport = %+v", got)
	}
	if transport.DialContext != nil || transport.ResponseHeaderTimeout != time.Hour {
		t.Errorf("the user's Transport is now %+v", transport)
	}
}

func TestNoCookies(t *testing.T) {
	t.Parallel()
	var seen atomic.Int64
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen.Add(int64(len(r.Cookies())))
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
	})
	c := local(t)
	for range 2 {
		if _, err := c.Get(t.Context(), s.URL, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := seen.Load(); n > 0 {
		t.Errorf("%d cookies came back", n)
	}
}

// TestErrorTexts: what goes to a log holds nothing of the URL's query or of
// what the server sent.
func TestErrorTexts(t *testing.T) {
	t.Parallel()
	raw := func(answer string) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					_, _ = conn.Read(make([]byte, 4096))
					_, _ = io.WriteString(conn, answer)
					_ = conn.Close()
				}()
			}
		}()
		return "http://" + l.Addr().String()
	}
	closed := serve(t, func(http.ResponseWriter, *http.Request) {})
	closed.Close()
	for _, tt := range []struct {
		name, url, want string
	}{
		{"no HTTP", raw("hunter2"), "the exchange failed"},
		{"no status", raw("HTTP/1.1 hunter2\r\n\r\n"), "the exchange failed"},
		{"no header", raw("HTTP/1.1 200 OK\r\nhunter2\r\n\r\n"), "the exchange failed"},
		{"no chunk", raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhunter2\r\n"), "the exchange failed"},
		{"no gzip", raw("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 7\r\n\r\nhunter2"), "the exchange failed"},
		{"a redirect to no URL", raw("HTTP/1.1 302 Found\r\nLocation: http://[hunter2\r\nContent-Length: 0\r\n\r\n"), "the exchange failed"},
		{"nobody there", closed.URL, "the connection was refused"},
		{"no such host", "https://nowhere.invalid", "the host's name was not found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := local(t)
			c.Resolve(new(dns).dial)
			_, err := c.Get(t.Context(), tt.url+"/?secret=hunter2", nil)
			if err == nil {
				t.Fatal("no error")
			}
			if got := err.Error(); got != tt.want {
				t.Errorf("error = %q, want %q", got, tt.want)
			}
			if got := report.Detail(fmt.Errorf("wrapped: %w", err)); got != tt.want {
				t.Errorf("Detail = %q, want %q", got, tt.want)
			}
			if ue, ok := errors.AsType[*url.Error](err); !ok && tt.name != "no chunk" && tt.name != "no gzip" {
				t.Errorf("the cause is lost: %v", ue)
			}
		})
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	c := local(t)
	if _, err := c.Get(t.Context(), s.URL, nil); err != nil {
		t.Fatal(err)
	}
	c.Close()
	c.Close()
}

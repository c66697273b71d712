package tlsredirect_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"

	"github.com/gatehouse-go/gatehouse/tlsredirect"
)

func Example() {
	redirect, err := tlsredirect.New(tlsredirect.Config{
		Hosts: []string{"api.example.com"},
		OnPlaintext: func(_ *http.Request, e tlsredirect.PlaintextEvent) {
			if len(e.Credentials) > 0 {
				fmt.Println("to be revoked:", e.Credentials)
			}
		},
	})
	if err != nil {
		panic(err)
	}
	handler := redirect.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, "orders")
	}))

	serve := func(r *http.Request) {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Printf("%d %q\n", w.Code, w.Header().Get("Location"))
	}
	serve(httptest.NewRequest(http.MethodGet, "https://api.example.com/orders", nil))
	serve(httptest.NewRequest(http.MethodGet, "http://api.example.com/", nil))
	serve(httptest.NewRequest(http.MethodGet, "http://evil.example/", nil))
	call := httptest.NewRequest(http.MethodGet, "http://api.example.com/orders", nil)
	call.Header.Set("Authorization", "Bearer …")
	serve(call)
	// Output:
	// 200 ""
	// 308 "https://api.example.com/"
	// 421 ""
	// to be revoked: [Authorization]
	// 403 ""
}

func ExampleRedirector_Check() {
	redirect, err := tlsredirect.New(tlsredirect.Config{Hosts: []string{"api.example.com"}, HTTPSPort: 8443})
	if err != nil {
		panic(err)
	}
	verdict, err := redirect.Check(httptest.NewRequest(http.MethodGet, "http://api.example.com/", nil))
	fmt.Println(verdict.Location, err)
	_, err = redirect.Check(httptest.NewRequest(http.MethodPost, "http://api.example.com/", nil))
	fmt.Println(err)
	// Output:
	// https://api.example.com:8443/ <nil>
	// tlsredirect: plaintext: neither GET nor HEAD
}

func ExampleRun() {
	redirect, err := tlsredirect.New(tlsredirect.Config{Hosts: []string{"localhost", "127.0.0.1"}})
	if err != nil {
		panic(err)
	}
	config := tlsredirect.TLSConfig(tlsredirect.Intermediate)
	config.Certificates = []tls.Certificate{exampleCertificate()}

	// In a service: signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, stop := context.WithCancel(context.Background())
	err = tlsredirect.Run(ctx, tlsredirect.Server{
		Addr: "127.0.0.1:0", TLS: config, Handler: redirect.Handler(http.NotFoundHandler()),
		PlainAddr: "127.0.0.1:0", PlainHandler: redirect.PlainHandler(),
		OnReady: func(https, plain net.Addr) {
			fmt.Println("ready", https.Network(), plain.Network())
			stop()
		},
	})
	fmt.Println(err)
	// Output:
	// ready tcp tcp
	// <nil>
}

// A test that forgets the scheme tests the refusal of plain HTTP.
func ExampleRedirector_Handler_incorrect() {
	redirect, err := tlsredirect.New(tlsredirect.Config{Hosts: []string{"example.com"}})
	if err != nil {
		panic(err)
	}
	w := httptest.NewRecorder()
	redirect.Handler(application).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/orders", nil))
	fmt.Println(w.Code)
	// Output: 403
}

func exampleCertificate() tls.Certificate {
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	return srv.TLS.Certificates[0]
}

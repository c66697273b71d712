package clientip_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gatehouse-go/gatehouse/tlsredirect/clientip"
)

func Example() {
	trust, err := clientip.New(clientip.Config{Proxies: []string{"10.0.0.0/8"}})
	if err != nil {
		panic(err)
	}
	handler := trust.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		addr, ok := clientip.FromRequest(r)
		fmt.Println(addr, ok)
	}))

	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "10.0.0.1:40000"                           // our proxy
	r.Header.Set("X-Forwarded-For", "127.0.0.1, 203.0.113.9") // the client wrote the first of these
	handler.ServeHTTP(httptest.NewRecorder(), r)
	// Output: 203.0.113.9 true
}

// The leftmost entry is whatever the client likes to be.
func Example_incorrect() {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("X-Forwarded-For", "127.0.0.1, 203.0.113.9")
	claimed, _, _ := strings.Cut(r.Header.Get("X-Forwarded-For"), ",")
	fmt.Println(claimed)
	// Output: 127.0.0.1
}

package loginguard_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"

	"github.com/gatehouse-go/gatehouse/ratelimit/loginguard"
)

func Example() {
	guard, err := loginguard.New(loginguard.Config{Account: func(r *http.Request) (string, error) {
		return r.PostFormValue("user"), nil
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	login := guard.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("password") != "correct" { // the same for unknown users
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	try := func(user, password, from string) {
		form := url.Values{"user": {user}, "password": {password}}
		r := httptest.NewRequest(http.MethodPost, "/login", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.RemoteAddr = from
		w := httptest.NewRecorder()
		login.ServeHTTP(w, r)
		fmt.Printf("%d %q\n", w.Code, w.Header().Get("Retry-After"))
	}
	for range 5 {
		try("ann", "guess", "198.51.100.9:1234")
	}
	try("Ann", "correct", "198.51.100.9:1234")
	try("ann", "correct", "192.0.2.7:1234")
	// Output:
	// 401 ""
	// 401 ""
	// 401 ""
	// 401 ""
	// 401 ""
	// 429 "180"
	// 204 ""
}

// Where a login is no HTTP handler, or does more than check a password.
func ExampleGuard_Begin() {
	guard, err := loginguard.New(loginguard.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	databaseDown := errors.New("database is down")
	check := func(password string) (bool, error) {
		if password == "" {
			return false, databaseDown
		}
		return password == "correct", nil
	}
	login := func(ctx context.Context, user, password string, addr netip.Addr) error {
		attempt, err := guard.Begin(ctx, user, addr)
		if err != nil {
			return err // loginguard.WriteError answers it
		}
		right, err := check(password)
		switch {
		case err != nil:
			return errors.Join(err, attempt.Cancel(ctx))
		case !right:
			attempt.Fail()
			return errors.New("user or password is wrong")
		}
		return attempt.Succeed(ctx)
	}
	addr := netip.MustParseAddr("192.0.2.7")
	for _, password := range []string{"", "guess", "correct"} {
		fmt.Println(login(context.Background(), "ann", password, addr))
	}
	// Output:
	// database is down
	// user or password is wrong
	// <nil>
}

// A login that shows its form again with 200 looks like one that succeeded: by
// its statuses alone, every guess would clear the count. It has to say so.
func ExampleFromContext() {
	guard, err := loginguard.New(loginguard.Config{Account: func(r *http.Request) (string, error) {
		return r.FormValue("user"), nil
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	login := guard.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("password") != "correct" {
			if attempt, ok := loginguard.FromContext(r.Context()); ok {
				attempt.Fail()
			}
			_, _ = io.WriteString(w, "Wrong. <form>…</form>")
			return
		}
		http.Redirect(w, r, "/home", http.StatusSeeOther)
	}))
	for range 6 {
		w := httptest.NewRecorder()
		login.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/login?user=ann&password=guess", nil))
		fmt.Print(w.Code, " ")
	}
	// Output: 200 200 200 200 200 429
}

func ExampleNew_mistakes() {
	_, err := loginguard.New(loginguard.Config{
		Name:             "my login",
		Secret:           loginguard.NewSecret([]byte("hunter2")),
		AllowLocalLimits: true,
	})
	fmt.Println(err)
	// Output:
	// loginguard: Name is "my login", want at most 64 letters, digits, '-', '_' and '.'
	// loginguard: AllowLocalLimits is true, want a Store that may fail
	// loginguard: Secret has 7 bytes, want at least 32 random ones
}

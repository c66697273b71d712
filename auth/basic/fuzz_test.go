package basic_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-go/gatehouse/auth/basic"
)

// FuzzAuthorization: what is admitted is what net/http reads in the header, in
// the one form that it has; and whoever says name and secret in that form is
// understood.
func FuzzAuthorization(f *testing.F) {
	good := encode("billing:" + billing)
	f.Add(good, "billing", billing)
	f.Add(strings.ToLower(good), "a:b", "c:d")
	f.Add(good+"\r\n", "a\x00", "b\u0085")
	f.Add(strings.Replace(good, " ", "  ", 1), "", "x")
	f.Add("Basic "+base64.RawStdEncoding.EncodeToString([]byte("a:"+metrics)), "métrics", "123£")
	f.Add("Basic QWxhZGRpbjpvcGVuIHNlc2FtZR==", "\xff", "")
	f.Add("Basic "+strings.Repeat("QQ==", 200), strings.Repeat("n", 300), strings.Repeat("s", 83))
	f.Fuzz(func(t *testing.T, header, name, secret string) {
		r := &http.Request{Header: http.Header{"Authorization": {header}}}
		wantName, wantSecret, _ := r.BasicAuth()
		a := newBasic(t, basic.Config{Lookup: func(_ context.Context, name string) (basic.Client, error) {
			if name != wantName {
				t.Fatalf("%q is looked up, net/http reads %q", name, wantName)
			}
			return basic.Client{Secrets: []basic.Hash{rawHash(t, wantSecret)}}, nil
		}})
		if p, err := a.Authenticate(request(header)); err == nil {
			if p.Subject != wantName {
				t.Errorf("Subject = %q, net/http reads %q", p.Subject, wantName)
			}
			if scheme, token, _ := strings.Cut(header, " "); !strings.EqualFold(scheme, "Basic") || encode(wantName+":"+wantSecret) != "Basic "+token {
				t.Errorf("admitted %q, which is not the form of %q", header, encode(wantName+":"+wantSecret))
			}
			if !clean(wantName) || !clean(wantSecret) || len(wantSecret) < 22 {
				t.Errorf("admitted %q with %q", wantName, wantSecret)
			}
		} else if reason(err) == basic.ReasonSecret && len(wantSecret) >= 22 {
			t.Errorf("refused the secret that net/http reads: %v", err)
		}

		fits := clean(name) && !strings.Contains(name, ":") && clean(secret) && len(name)+len(secret) < basic.MaxEncoded/4*3
		gotName, gotSecret, err := basic.Parse(strings.TrimPrefix(encode(name+":"+secret), "Basic "))
		switch {
		case fits && (gotName != name || gotSecret != secret || err != nil):
			t.Errorf("Parse = %q, %q, %v, want %q, %q", gotName, gotSecret, err, name, secret)
		case err == nil && gotName+":"+gotSecret != name+":"+secret:
			t.Errorf("Parse = %q, %q, which is not %q", gotName, gotSecret, name+":"+secret)
		}
	})
}

func clean(s string) bool {
	return s != "" && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// FuzzParseHash: a hash has one text.
func FuzzParseHash(f *testing.F) {
	f.Add(rawHash(f, "a").Text())
	f.Add("sha256:")
	f.Fuzz(func(t *testing.T, text string) {
		if h, err := basic.ParseHash(text); err == nil && h.Text() != text {
			t.Errorf("ParseHash(%q).Text() = %q", text, h.Text())
		}
	})
}

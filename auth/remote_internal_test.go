package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gatehouse-go/gatehouse/internal/outbound"
	"github.com/gatehouse-go/gatehouse/internal/report"
)

const remoteIssuer = "https://id.example.com/a"

func newTestRemote(tb testing.TB, log slog.Handler) *remote {
	tb.Helper()
	client, err := outbound.New(outbound.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	m := newRemote(remoteIssuer, nil, nil, client, slog.New(log))
	tb.Cleanup(func() { m.close(); client.Close() })
	return m
}

// FuzzMetadata: a URL comes only out of a document in which encoding/json sees
// the issuer and that URL, and it is https and not inside. What is told of any
// other is short and has nothing of the document but the scheme and the host of
// jwks_uri, as they may be printed.
func FuzzMetadata(f *testing.F) {
	good := `{"issuer":"` + remoteIssuer + `","jwks_uri":"https://keys.example.com/jwks?p=1"`
	for _, doc := range []string{
		good + `}`, good + `,"scopes_supported":["a"]}`, good + `,"issuer":"https://evil.example"}`, good + `,"Issuer":"x","JWKS_URI":"y"}`,
		`{"issuer":"https:\/\/id.example.com\/a","jwks\u005furi":"https:\/\/keys.example.com"}`,
		`{"issuer":"` + remoteIssuer + `","jwks_uri":"http://keys.example.com"}`,
		`{"issuer":"` + remoteIssuer + `","jwks_uri":"https://127.0.0.1/"}`,
		`{"issuer":"` + remoteIssuer + `","jwks_uri":"https://[::ffff:10.0.0.1]/"}`,
		`{"issuer":"` + remoteIssuer + `","jwks_uri":"https://u:p@keys.example.com/#f"}`,
		`{"issuer":["` + remoteIssuer + `"],"jwks_uri":null}`,
		`<!DOCTYPE html>`, `[]`, `{}`, `null`, ``, "\ufeff" + good + `}`,
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		m := newTestRemote(t, slog.DiscardHandler)
		got, err := m.jwksURI(doc)
		if err != nil {
			if text := report.Detail(err); got != "" || len(text) > 1000 || !utf8.ValidString(text) || text != report.Printable(text) {
				t.Errorf("jwksURI = %q, %q", got, text)
			}
			return
		}
		var seen map[string]json.RawMessage
		if err := json.Unmarshal(doc, &seen); err != nil {
			t.Fatalf("accepted what is no object: %v", err)
		}
		for name, want := range map[string]string{"issuer": remoteIssuer, "jwks_uri": got} {
			var value string
			if err := json.Unmarshal(seen[name], &value); err != nil || value != want {
				t.Errorf("%s is %s, want %q", name, seen[name], want)
			}
		}
		u, err := url.Parse(got)
		if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
			t.Errorf("accepted %q", got)
		}
		if addr, err := netip.ParseAddr(u.Hostname()); err == nil && (addr.Unmap().IsPrivate() || addr.Unmap().IsLoopback() || addr.Unmap().IsLinkLocalUnicast()) {
			t.Errorf("accepted %q", got)
		}
	})
}

// FuzzRemoteKeys: of a set that is fetched exactly those keys are kept that
// would be accepted alone from a file, whose kid no other has, and that are not
// there for another algorithm too. Each verifies by an algorithm with a public
// key, and nothing makes it panic.
func FuzzRemoteKeys(f *testing.F) {
	ed := `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"`
	ec := `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"`
	rs := `{"kty":"RSA","e":"AQAB","n":"` + base64.RawURLEncoding.EncodeToString([]byte("\xff"+strings.Repeat("\x03", 255))) + `"`
	for _, keys := range []string{
		ed + `}`, ed + `,"kid":"a"},` + ec + `,"kid":"b"},` + rs + `,"kid":"c","alg":"PS256"}`,
		ed + `,"kid":"a"},` + ec + `,"kid":"a"}`, ed + `,"kid":""},` + ed + `}`,
		ed + `,"kid":"a","use":"enc"},` + ec + `,"kid":"b","key_ops":["verify"]}`,
		`{"kty":"oct","k":"AA","kid":"a"},` + ec + `,"kid":"a"}`,
		`1,null,"x",[],{},` + ec + `,"kid":"b"}`, ed + `,"d":"AA"},` + ec + `,"alg":"RS256"}`, ``,
		ec + `,"kid":1},` + ec + `,"kid":"\u0061"},` + ed + `,"kid":"a"}`,
		rs + `,"kid":"a","alg":"RS256"},` + rs + `,"kid":"b","alg":"PS256"},` + ec + `}`, rs + `,"alg":"RS256"},` + rs + `,"alg":"RS256"}`,
		ed + `,"kid":"a","kid":"b"}`, ed + `,"KID":"a","alg":"Ed25519"}`,
	} {
		f.Add([]byte(`{"keys":[` + keys + `]}`))
	}
	f.Add([]byte(`{"keys":{}}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		var log bytes.Buffer
		m := newTestRemote(t, slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		set, err := m.parse(doc, true)
		for line := range strings.Lines(log.String()) {
			if len(line) > 4000 {
				t.Errorf("a line of %d bytes: %s", len(line), line)
			}
		}
		if (set == nil) != (err != nil) {
			t.Fatalf("parse = %v, %v", set, err)
		}
		var seen struct{ Keys []json.RawMessage }
		if json.Unmarshal(doc, &seen) != nil || len(seen.Keys) > maxJWKSKeys {
			if err == nil {
				t.Fatal("accepted what is no JWKS of up to 100 keys")
			}
			return
		}
		if err != nil && err.Error() != "the JWKS has no key to verify with" {
			return // malformed
		}
		type candidate struct{ kid, alg, thumbprint string }
		var candidates []candidate
		kids := make(map[string]int)
		for _, raw := range seen.Keys {
			var jwk map[string]json.RawMessage
			var kid string
			_ = json.Unmarshal(raw, &jwk)
			_ = json.Unmarshal(jwk["kid"], &kid)
			kids[kid]++
			one, errs := StaticJWKS(fmt.Appendf(nil, `{"keys":[%s]}`, raw)).keys(nil)
			if len(errs) > 0 {
				continue
			}
			k := one.named[kid]
			if k == nil {
				k = one.unnamed[0]
			}
			parsed, err := parseJWK(raw)
			if err != nil {
				t.Errorf("accepted alone, and refused by parseJWK: %v", err)
			}
			candidates = append(candidates, candidate{kid, k.alg, thumbprintOf(parsed.value)})
		}
		candidates = slices.DeleteFunc(candidates, func(c candidate) bool { return c.kid != "" && kids[c.kid] > 1 })
		want := 0
		for _, c := range candidates {
			if slices.ContainsFunc(candidates, func(o candidate) bool { return o.thumbprint == c.thumbprint && o.alg != c.alg }) {
				continue
			}
			want++
			if set == nil || c.kid != "" && (set.named[c.kid] == nil || set.named[c.kid].alg != c.alg) {
				t.Errorf("key %q was left out", c.kid)
			}
		}
		if set == nil {
			return
		}
		if set.size() != want {
			t.Errorf("%d keys were kept, want %d", set.size(), want)
		}
		all := set.unnamed
		for _, k := range set.named {
			all = append(all, k)
		}
		for _, k := range all {
			if a := algorithms[k.alg]; a == nil || isHMAC(a) {
				t.Errorf("key %q is for %q", k.kid, k.alg)
			}
			for _, signature := range []string{"", strings.Repeat("\x01", 64), strings.Repeat("\xff", 256)} {
				if k.verify("a.b", []byte(signature)) == nil {
					t.Errorf("key %q verifies anything", k.kid)
				}
			}
		}
	})
}

// TestDocumentsCostWhatTheyWeigh: the documents that are dearest to read take
// memory in proportion to their size, and are not copied into the log.
func TestDocumentsCostWhatTheyWeigh(t *testing.T) {
	var log bytes.Buffer
	m := newTestRemote(t, slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cost := func(f func()) uint64 {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	members := func(n int) string { // of an object, all different
		var b strings.Builder
		for i := 0; b.Len() < n; i++ {
			fmt.Fprintf(&b, `"%d":0,`, i)
		}
		return b.String()
	}
	for _, tt := range []struct {
		name string
		doc  func(n int) string
	}{
		{"members", func(n int) string { return "{" + members(n) + `"keys":[]}` }},
		{"escaped members", func(n int) string { return "{" + strings.ReplaceAll(members(n/2), `"1`, `"\u0031`) + `"keys":[]}` }},
		{"members of a key", func(n int) string { return `{"keys":[{` + members(n) + `"kty":"RSA"}]}` }},
		{"keys", func(n int) string { return `{"keys":[` + strings.Repeat("0,", n/2) + `0]}` }},
		{"empty keys", func(n int) string { return `{"keys":[` + strings.Repeat("{},", n/3) + `{}]}` }},
		{"one kid", func(n int) string {
			kid := strings.Repeat("k", n/100-20)
			return `{"keys":[` + strings.Repeat(`{"kid":"`+kid+`"},`, 99) + `{}]}`
		}},
		{"RSA", func(n int) string {
			return `{"keys":[{"kty":"RSA","e":"AQAB","n":"` + strings.Repeat("A", n/4*4) + `"}]}`
		}},
		{"exponent", func(n int) string {
			return `{"keys":[{"kty":"RSA","n":"AQAB","e":"` + strings.Repeat("A", n/4*4) + `"}]}`
		}},
		{"key_ops", func(n int) string { return `{"keys":[{"kty":"RSA","key_ops":[` + strings.Repeat(`"",`, n/3) + `""]}]}` }},
		{"nested", func(n int) string { return `{"keys":` + strings.Repeat("[", n/2) + strings.Repeat("]", n/2) + `}` }},
	} {
		half, whole := []byte(tt.doc(1<<17)), []byte(tt.doc(1<<18))
		parse := func(doc []byte) func() {
			return func() {
				_, _ = m.parse(doc, true)
				_, _ = m.jwksURI(doc)
			}
		}
		one, two := cost(parse(half)), cost(parse(whole))
		if two > 2*one+one/4+1<<20 || two > 128*uint64(len(whole)) {
			t.Errorf("%s: %d KiB for a document of %d KiB, %d KiB for %d KiB", tt.name, one>>10, len(half)>>10, two>>10, len(whole)>>10)
		}
		if log.Len() > 2*maxJWKSKeys*1000 {
			t.Errorf("%s: %d bytes were logged", tt.name, log.Len())
		}
		log.Reset()
	}
}

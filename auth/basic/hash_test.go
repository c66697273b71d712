package basic_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/auth/basic"
)

func TestNewHash(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		secret string
		want   string // the error; "" for none
	}{
		{"base64url of 32 bytes", billing, ""},
		{"32 hexadecimal digits", metrics, ""},
		{"32 hexadecimal digits, upper case", strings.ToUpper(metrics), ""},
		{"rand.Text", "4PJK7SXWQ2YCM5RVNB6DHTZGLA", ""},
		{"22 characters of base64", "mQ3zT8kXw5Rj0LbVy7Nc1g", ""},
		{"39 digits", "604739182560398127450961372859104736285", ""},
		{"with colons", "kU0v:Qm3t:XzY8:rWb2:LdN6:hJp4", ""},

		{"empty", "", "basic: secret has 0 characters, want 22 to 255"},
		{"short", "mQ3zT8kXw5Rj0LbVy7Nc1", "basic: secret has 21 characters, want 22 to 255"},
		{"too long to be sent", strings.Repeat(billing, 6), "basic: secret has 258 characters, want 22 to 255"},
		{"a passphrase", "blue staple horse lantern cup", "basic: secret has spaces or characters beyond ASCII, want it generated"},
		{"a line break behind it", metrics + "\n", "basic: secret has spaces or characters beyond ASCII, want it generated"},
		{"beyond ASCII", metrics + "é", "basic: secret has spaces or characters beyond ASCII, want it generated"},
		{"31 hexadecimal digits", metrics[1:], "basic: secret has room for 124 bits, want at least 128 random ones"},
		{"31 hexadecimal digits, upper case", strings.ToUpper(metrics[1:]), "basic: secret has room for 124 bits, want at least 128 random ones"},
		{"38 digits", "60473918256039812745096137285910473628", "basic: secret has room for 126 bits, want at least 128 random ones"},
		{"words in lower case", "bluestaplehorselanterncups", "basic: secret has room for 122 bits, want at least 128 random ones"},
		{"one character", strings.Repeat("a", 64), "basic: secret repeats itself, want it generated"},
		{"few characters", "aabbccaacbcbbacabcbacbabcacbcabbcabcacba", "basic: secret repeats itself, want it generated"},
		{"one word again and again", "Tr0ub4dor&3xTr0ub4dor&3x", "basic: secret repeats itself, want it generated"},
		{"the alphabet", "ABCDEFGHIJKLMNOPQRSTUVWXYZ[]", "basic: secret contains a well-known password, want it generated"},
		{"counted", "@ABCDEFGHIJKLMNOPQRSTUVWXYZ[", "basic: secret repeats itself, want it generated"},
		{"a password in it", "MyPassword-for-billing-2026!", "basic: secret contains a well-known password, want it generated"},
		{"a sample", "changeme-changethis-please-1", "basic: secret contains a well-known password, want it generated"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := ""
			h, err := basic.NewHash(tt.secret)
			if err != nil {
				got = err.Error()
			}
			if got != tt.want || (h.Text() == "") != (err != nil) {
				t.Errorf("NewHash = %q, %q, want %q", h.Text(), got, tt.want)
			}
			if len(tt.secret) > 8 && strings.Contains(got, tt.secret[:8]) {
				t.Errorf("the error shows the secret: %s", got)
			}
		})
	}
}

func TestGenerate(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for range 1000 {
		secret, h := basic.Generate()
		if b, err := base64.RawURLEncoding.DecodeString(secret); err != nil || len(b) != 32 || seen[secret] {
			t.Fatalf("Generate = %q, want 32 fresh bytes in base64url", secret)
		}
		seen[secret] = true
		again, err := basic.NewHash(secret)
		if err != nil || again.Text() != h.Text() {
			t.Fatalf("NewHash = %q, %v, want %q", again.Text(), err, h.Text())
		}
	}
}

func TestParseHash(t *testing.T) {
	t.Parallel()
	const text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // of "abc" (FIPS 180-2 appendix B.1)
	if h, err := basic.ParseHash(text); err != nil || h.Text() != text {
		t.Errorf("ParseHash = %q, %v, want it back", h.Text(), err)
	}
	if rawHash(t, "abc").Text() != text {
		t.Errorf("the hash of abc is %q, want %q", rawHash(t, "abc").Text(), text)
	}
	for name, bad := range map[string]string{
		"empty": "", "no prefix": text[7:], "upper case": strings.ToUpper(text), "upper case digits": "sha256:" + strings.ToUpper(text[7:]),
		"another hash": "sha512:" + text[7:], "short": text[:len(text)-2], "long": text + "00", "space": text + " ", "line break": text + "\n",
		"prefix alone": "sha256:", "odd": text[:len(text)-1], "no digits": "sha256:" + strings.Repeat("g", 64), "a secret": billing,
	} {
		h, err := basic.ParseHash(bad)
		if err == nil || h.Text() != "" {
			t.Errorf("%s: ParseHash = %q, %v, want an error", name, h.Text(), err)
		} else if len(bad) > 8 && strings.Contains(err.Error(), bad[8:]) {
			t.Errorf("%s: the error shows what was to be a hash: %v", name, err)
		}
	}
}

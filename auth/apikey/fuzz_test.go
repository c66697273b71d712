package apikey_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/auth/apikey"
)

// FuzzParse: what parses is, byte for byte, the key of its id and its secret;
// what is generated parses as itself; and whatever it is, it costs nothing.
func FuzzParse(f *testing.F) {
	key := apikey.Compose(prefix, [10]byte{1, 2, 3}, [32]byte{4, 5, 6})
	f.Add(key, []byte("0123456789"), []byte("0123456789abcdef0123456789abcdef"), 20)
	f.Add(strings.ToUpper(key), []byte{}, []byte{0xff}, 7)
	f.Add(key+"\n", []byte{0xff}, []byte{}, 84)
	f.Add(edit(key, 74, 'b'), []byte{}, []byte{}, 0) // bits behind the secret's last
	f.Add(edit(key, 7, '1'), []byte{}, []byte{}, 22)
	f.Add(edit(key, 22, 'A'), []byte{}, []byte{}, 23)
	f.Add(key+strings.Repeat("_", 1000), []byte{}, []byte{}, 1000)
	f.Add("orders_", []byte{}, []byte{}, -1)
	f.Fuzz(func(t *testing.T, text string, idBytes, secretBytes []byte, at int) {
		if id, err := apikey.Parse(prefix, text); err == nil {
			rawID, err1 := lower.DecodeString(id)
			secret, err2 := lower.DecodeString(secretOf(text))
			if err1 != nil || err2 != nil || len(rawID) != 10 || len(secret) != 32 {
				t.Fatalf("%q parses, with the id %q", text, id)
			}
			if want := apikey.Compose(prefix, [10]byte(rawID), [32]byte(secret)); text != want {
				t.Errorf("%q parses, which is not the spelling %q", text, want)
			}
		} else if id != "" {
			t.Errorf("Parse(%q) = %q with the error %v", text, id, err)
		}
		if allocs := testing.AllocsPerRun(1, func() { _, _ = apikey.Parse(prefix, text) }); allocs != 0 {
			t.Errorf("%q costs %v allocations", text, allocs)
		}

		var id [10]byte
		var secret [32]byte
		copy(id[:], idBytes)
		copy(secret[:], secretBytes)
		key := apikey.Compose(prefix, id, secret)
		if got, err := apikey.Parse(prefix, key); err != nil || got != lower.EncodeToString(id[:]) || len(key) != len(prefix)+78 {
			t.Fatalf("Parse(%q) = %q, %v, want %q", key, got, err, lower.EncodeToString(id[:]))
		}
		if at >= 0 && at < len(key) && text != "" && text[:1] != key[at:at+1] {
			if got, err := apikey.Parse(prefix, key[:at]+text[:1]+key[at+1:]); err == nil {
				t.Errorf("%q with %q at %d is the key of %q", key, text[:1], at, got)
			}
		}
	})
}

// FuzzParseHash: a hash has one text.
func FuzzParseHash(f *testing.F) {
	f.Add("sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
	f.Add("sha256:")
	f.Fuzz(func(t *testing.T, text string) {
		if h, err := apikey.ParseHash(text); err == nil && h.Text() != text {
			t.Errorf("ParseHash(%q).Text() = %q", text, h.Text())
		}
	})
}

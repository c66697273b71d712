package apikey_test

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/auth/apikey"
)

var lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func TestGenerate(t *testing.T) {
	t.Parallel()
	pattern := regexp.MustCompile(`^orders_[a-z2-7]{16}_[a-z2-7]{51}[aq]_[a-z2-7]{7}$`) // the package comment's
	ids, secrets := make(map[string]bool), make(map[string]bool)
	for range 1000 {
		before := time.Now()
		key, record := generate(t, apikey.Grant{Prefix: prefix, Owner: "billing", Scopes: []string{"a", "b"}, Lifetime: month})
		if !pattern.MatchString(key) {
			t.Fatalf("Generate = %q, want %v", key, pattern)
		}
		if id, err := apikey.Parse(prefix, key); err != nil || id != record.ID {
			t.Fatalf("Parse(%q) = %q, %v, want %q", key, id, err, record.ID)
		}
		if ids[record.ID] || secrets[secretOf(key)] {
			t.Fatal("Generate repeats itself")
		}
		ids[record.ID], secrets[secretOf(key)] = true, true
		if secret, err := lower.DecodeString(secretOf(key)); err != nil || len(secret) != 32 {
			t.Fatalf("the secret has %d bytes, want 32 (%v)", len(secret), err)
		}
		covered := key[:len(key)-8]
		digest := sha256.Sum256([]byte(covered))
		if got, want := record.Hash.Text(), "sha256:"+hex.EncodeToString(digest[:]); got != want {
			t.Fatalf("Hash = %s, want the SHA-256 %s", got, want)
		}
		check := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(covered)))
		if got, want := key[len(key)-7:], lower.EncodeToString(check); got != want {
			t.Fatalf("checksum = %s, want %s", got, want)
		}
		if record.Owner != "billing" || !slices.Equal(record.Scopes, []string{"a", "b"}) || !record.RevokedAt.IsZero() || !record.LastUsedAt.IsZero() ||
			record.CreatedAt.Before(before.Truncate(time.Second)) || record.CreatedAt.After(time.Now()) || record.CreatedAt.Nanosecond() != 0 ||
			!record.ExpiresAt.Equal(record.CreatedAt.Add(month)) {
			t.Fatalf("record = %+v", record)
		}
	}
}

// A vector, so that what was generated once stays good.
func TestVector(t *testing.T) {
	t.Parallel()
	var id [10]byte
	var secret [32]byte
	for i := range secret {
		secret[i] = byte(i)
	}
	copy(id[:], "0123456789")
	// As Python's base64.b32encode, zlib.crc32 and hashlib.sha256 have it.
	const (
		want     = "orders_gaytemzugu3doobz_aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypq_uqsd4pi"
		wantHash = "sha256:4be37696d04557bf634a008ac1fc1128c60aaa67e623fcf22f57450287c45b21"
	)
	got := apikey.Compose(prefix, id, secret)
	if hash := apikey.HashOf(got).Text(); got != want || hash != wantHash {
		t.Errorf("Compose = %q of the hash %q, want %q of %q", got, hash, want, wantHash)
	}
}

// The Grant's slice is not the Record's.
func TestGrantIsCopied(t *testing.T) {
	t.Parallel()
	scopes := []string{"orders:read"}
	_, record := generate(t, apikey.Grant{Prefix: prefix, Owner: "billing", Scopes: scopes, Lifetime: month})
	scopes[0] = "admin"
	if record.Scopes[0] != "orders:read" {
		t.Errorf("Scopes = %q, want them as they were granted", record.Scopes)
	}
}

func TestGenerateReportsEveryMistake(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		grant apikey.Grant
		want  []string
	}{
		{"zero", apikey.Grant{}, []string{
			`apikey: Prefix is "", want a lower-case letter and 1 to 19 more, or digits`,
			`apikey: Owner is "", want UTF-8 of 1 to 255 bytes without control characters`,
			"apikey: Lifetime is 0s, want 1s or more",
		}},
		{"bad", apikey.Grant{Prefix: "a_b", Owner: "a\nb", Scopes: []string{"a b", "", "c\"", "ok"}, Lifetime: -month}, []string{
			`apikey: Prefix is "a_b", want a lower-case letter and 1 to 19 more, or digits`,
			`apikey: Owner is "a\nb", want UTF-8 of 1 to 255 bytes without control characters`,
			`apikey: Scopes has "a b", want scope-tokens`,
			`apikey: Scopes has "", want scope-tokens`,
			`apikey: Scopes has "c\"", want scope-tokens`,
			"apikey: Lifetime is -720h0m0s, want 1s or more",
		}},
		{"not UTF-8", apikey.Grant{Prefix: prefix, Owner: "\xff", Lifetime: month}, []string{
			`apikey: Owner is "\xff", want UTF-8 of 1 to 255 bytes without control characters`,
		}},
		{"long", apikey.Grant{Prefix: prefix, Owner: strings.Repeat("n", 256), Scopes: []string{strings.Repeat("s", 4096)}, Lifetime: 999 * time.Millisecond}, []string{
			`apikey: Owner is "` + strings.Repeat("n", 80) + `", want UTF-8 of 1 to 255 bytes without control characters`,
			"apikey: Scopes has 4097 bytes, want at most 4096",
			"apikey: Lifetime is 999ms, want 1s or more",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			key, record, err := apikey.Generate(tt.grant)
			if err == nil || key.Reveal() != "" || record.ID != "" {
				t.Fatalf("Generate = %q, %+v, %v, want an error alone", key.Reveal(), record, err)
			}
			if got := strings.Split(err.Error(), "\n"); !slices.Equal(got, tt.want) {
				t.Errorf("Generate = %q\nwant      %q", got, tt.want)
			}
		})
	}
}

// Nothing but the one spelling is a key: no edit of one or two characters, with
// or without the checksum that goes with it, parses as the same id and secret.
func TestOneSpelling(t *testing.T) {
	t.Parallel()
	key, record := generate(t, apikey.Grant{Prefix: prefix, Owner: "billing", Lifetime: month})
	for i := range len(key) {
		for c := range 256 {
			if byte(c) == key[i] {
				continue
			}
			b := []byte(key)
			b[i] = byte(c)
			if id, err := apikey.Parse(prefix, string(b)); err == nil {
				t.Errorf("with %q at %d Parse = %q", rune(c), i, id)
			}
			if i >= len(key)-8 {
				continue
			}
			mended := edit(key, i, byte(c))
			if _, err := apikey.Parse(prefix, mended); err == nil {
				if secret, err := lower.DecodeString(secretOf(mended)); err != nil || lower.EncodeToString(secret) != secretOf(mended) {
					t.Errorf("with %q at %d the secret has two spellings", rune(c), i)
				}
				if i < len(prefix)+1 || i == len(prefix)+17 {
					t.Errorf("with %q at %d it is a key", rune(c), i)
				}
			}
		}
		if _, err := apikey.Parse(prefix, key[:i]); err == nil {
			t.Errorf("cut at %d it is a key", i)
		}
		for _, inserted := range []string{"a", "_", "\n", "=", "\x00", "é"} {
			if _, err := apikey.Parse(prefix, key[:i]+inserted+key[i:]); err == nil {
				t.Errorf("with %q inserted at %d it is a key", inserted, i)
			}
		}
	}
	longer := key[:len(key)-7] + "more"
	for name, s := range map[string]string{
		"a part more, with its checksum": longer + "_" + apikey.Checksum(longer),
		"empty":                          "", "prefix": prefix, "prefix and underscore": prefix + "_", "id": record.ID, "line break behind": key + "\n",
		"twice": key + key, "upper case": strings.ToUpper(key), "padding": key + "=", "NUL": key + "\x00",
		"full-width": strings.Replace(key, "_", "＿", 1), "dashes": strings.ReplaceAll(key, "_", "-"),
		"Kelvin sign": strings.Replace(key, key[8:9], "K", 1),
	} {
		if id, err := apikey.Parse(prefix, s); err == nil {
			t.Errorf("%s: Parse = %q, want an error", name, id)
		}
	}
}

// What is no key costs the same however long it is: nothing.
func TestParseAllocatesNothing(t *testing.T) { // not parallel, for AllocsPerRun counts those of other tests
	key, _ := generate(t, apikey.Grant{Prefix: prefix, Owner: "billing", Lifetime: month})
	for name, s := range map[string]string{
		"key": key, "typo": typo(key), "foreign": anotherToken, "short": prefix + "_",
		"long": key + strings.Repeat("a", 10<<20), "long and foreign": strings.Repeat("a", 10<<20),
		"underscores": prefix + strings.Repeat("_", 1<<20), "of the right length": prefix + "_" + strings.Repeat("_", len(key)-7),
	} {
		if got := testing.AllocsPerRun(10, func() { _, _ = apikey.Parse(prefix, s) }); got != 0 {
			t.Errorf("%s: %v allocations, want 0", name, got)
		}
	}
}

func TestParseHash(t *testing.T) {
	t.Parallel()
	const text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // of "abc" (FIPS 180-2 appendix B.1)
	if h, err := apikey.ParseHash(text); err != nil || h.Text() != text {
		t.Errorf("ParseHash = %q, %v, want it back", h.Text(), err)
	}
	for name, bad := range map[string]string{
		"empty": "", "no prefix": text[7:], "upper case": strings.ToUpper(text), "upper case digits": "sha256:" + strings.ToUpper(text[7:]),
		"another hash": "sha512:" + text[7:], "short": text[:len(text)-2], "long": text + "00", "space": text + " ", "line break": text + "\n",
		"prefix alone": "sha256:", "odd": text[:len(text)-1], "no digits": "sha256:" + strings.Repeat("g", 64),
	} {
		h, err := apikey.ParseHash(bad)
		if err == nil || h.Text() != "" {
			t.Errorf("%s: ParseHash = %q, %v, want an error", name, h.Text(), err)
		} else if len(bad) > 20 && strings.Contains(err.Error(), bad[8:20]) {
			t.Errorf("%s: the error shows what was to be a hash: %v", name, err)
		}
	}
}

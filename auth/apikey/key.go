package apikey

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/internal/report"
)

// A key is prefix_id_secret_checksum.
const (
	idBytes     = 10
	secretBytes = 32

	idLen     = 16 // characters of base32
	secretLen = 52 // the last has one bit
	checkLen  = 7
	maxPrefix = 20

	behindPrefix = idLen + 1 + secretLen + 1 + checkLen
	maxHashed    = maxPrefix + 1 + idLen + 1 + secretLen

	alphabet   = "abcdefghijklmnopqrstuvwxyz234567"
	wantPrefix = "a lower-case letter and 1 to 19 more, or digits"
)

var base32Lower = base32.NewEncoding(alphabet).WithPadding(base32.NoPadding) //nolint:gochecknoglobals // immutable

// A Grant is what [Generate] makes a key for. All but Scopes is required.
type Grant struct {
	_ [0]func() // keyed literals only

	// Prefix is that of [Config].
	Prefix string

	// Owner is the program that the key is for, the Subject of its principal:
	// UTF-8 of 1 to 255 bytes without control characters.
	Owner string

	// Scopes are those of the key: scope-tokens (RFC 6749 section 3.3).
	Scopes []string

	// Lifetime is for how long the key is good, 1 s or more. There are no keys
	// without an end.
	Lifetime time.Duration
}

// A Key is a new API key. It prints nothing of itself.
type Key struct {
	// text is a func because nothing can print what is inside.
	text func() string
}

// Reveal returns the key for its owner; "" for a zero Key. It is not kept
// anywhere: what was not shown now is lost.
func (k Key) Reveal() string {
	if k.text == nil {
		return ""
	}
	return k.text()
}

// Generate returns a new key and its record, which is to be given to
// [Store].Create. The error, if any, joins every mistake found in g.
func Generate(g Grant) (Key, Record, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("apikey: "+format, args...)) }
	if !isPrefix(g.Prefix) {
		bad("Prefix is %.80q, want %s", g.Prefix, wantPrefix)
	}
	if !isOwner(g.Owner) {
		bad("Owner is %.80q, want %s", g.Owner, wantOwner)
	}
	if err := checkScopes(g.Scopes); err != nil {
		errs = append(errs, err)
	}
	if g.Lifetime < time.Second {
		bad("Lifetime is %v, want 1s or more", g.Lifetime)
	}
	if err := errors.Join(errs...); err != nil {
		return Key{}, Record{}, err
	}
	var id [idBytes]byte
	var secret [secretBytes]byte
	_, _ = rand.Read(id[:]) // ends the program rather than fail
	_, _ = rand.Read(secret[:])
	text := compose(g.Prefix, id, secret)
	now := time.Now().UTC().Truncate(time.Second) // what every store can keep
	return Key{func() string { return text }}, Record{
		ID: base32Lower.EncodeToString(id[:]), Hash: newHash(sum(text)), Owner: g.Owner,
		Scopes: append([]string(nil), g.Scopes...), CreatedAt: now, ExpiresAt: now.Add(g.Lifetime).Truncate(time.Second),
	}, nil
}

func compose(prefix string, id [idBytes]byte, secret [secretBytes]byte) string {
	key := prefix + "_" + base32Lower.EncodeToString(id[:]) + "_" + base32Lower.EncodeToString(secret[:])
	check := checksum(key)
	return key + "_" + string(check[:])
}

var (
	errPrefix = fmt.Errorf("%w: %w", report.Cause("without the prefix of these keys"), auth.ErrNoCredentials)
	errLength = error(report.Cause("not as long as a key"))
	errForm   = error(report.Cause("not the form of a key"))
	errTypo   = error(report.Cause("the checksum is wrong: mistyped, cut or made up"))
)

// parse returns the id of a key. The prefix has its underscore. There is one
// spelling of each key, so nothing has to be decoded to compare them; and what
// is no key is refused for next to nothing, however long it is.
func parse(prefix, key string) (id string, err error) {
	rest, ours := strings.CutPrefix(key, prefix)
	switch {
	case !ours:
		return "", errPrefix
	case len(rest) != behindPrefix:
		return "", errLength
	}
	id, rest = rest[:idLen], rest[idLen:]
	secret := rest[1 : 1+secretLen]
	last := secret[secretLen-1] // of whose five bits four are no part of the secret
	if rest[0] != '_' || rest[1+secretLen] != '_' || !isBase32(id) || !isBase32(secret) || last != 'a' && last != 'q' {
		return "", errForm
	}
	if check := checksum(hashed(key)); key[len(key)-checkLen:] != string(check[:]) {
		return "", errTypo
	}
	return id, nil
}

// hashed is the part of a key that its hash and its checksum cover.
func hashed(key string) string { return key[:len(key)-checkLen-1] }

// sum is the SHA-256 of a key that was composed or parsed.
func sum(key string) [sha256.Size]byte {
	var buf [maxHashed]byte
	return sha256.Sum256(buf[:copy(buf[:], hashed(key))])
}

// checksum is crc32.ChecksumIEEE, which would have s copied to the heap.
func checksum(s string) (text [checkLen]byte) {
	crc := ^uint32(0)
	for i := range len(s) {
		crc = crc32.IEEETable[byte(crc&0xff)^s[i]] ^ crc>>8
	}
	var sum [4]byte
	binary.BigEndian.PutUint32(sum[:], ^crc)
	base32Lower.Encode(text[:], sum[:])
	return text
}

func isBase32(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}

// isPrefix keeps underscores out: with them, one service's prefix could begin
// with another's and its underscore.
func isPrefix(s string) bool {
	if len(s) < 2 || len(s) > maxPrefix || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

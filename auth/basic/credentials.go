package basic

import (
	"bytes"
	"encoding/base64"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-go/gatehouse/auth"
	"github.com/gatehouse-go/gatehouse/internal/report"
)

const (
	scheme = "Basic"

	maxEncoded = 512
	maxDecoded = maxEncoded / 4 * 3
)

// strict refuses bits behind the last byte, but skips line breaks.
var strict = base64.StdEncoding.Strict() //nolint:gochecknoglobals // immutable

// parse returns what the token behind the scheme holds (RFC 7617 section 2),
// in buf. Its errors quote nothing of it: who mistypes a header may well have
// put a secret where a name belongs.
func parse(buf *[maxDecoded]byte, token string) (name, secret []byte, err error) {
	malformed := func(cause report.Cause) ([]byte, []byte, error) {
		return nil, nil, refused(auth.Malformed, auth.ReasonMalformed, cause)
	}
	if len(token) > maxEncoded {
		return nil, nil, refused(auth.Malformed, auth.ReasonOversize, report.Cause("more than 512 characters of base64"))
	}
	if strings.ContainsAny(token, "\r\n") {
		return malformed("a line break in base64")
	}
	var encoded [maxEncoded]byte
	n, err := strict.Decode(buf[:], encoded[:copy(encoded[:], token)])
	if err != nil {
		return malformed("not canonical base64 after one space")
	}
	decoded := buf[:n]
	if !utf8.Valid(decoded) {
		return malformed("not UTF-8")
	}
	if bytes.ContainsFunc(decoded, unicode.IsControl) {
		return malformed("a control character")
	}
	name, secret, _ = bytes.Cut(decoded, []byte(":"))
	if len(name) == 0 || len(secret) == 0 {
		return malformed("no name, no colon or no secret")
	}
	return name, secret, nil
}

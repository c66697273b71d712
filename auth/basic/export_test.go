package basic

// The limits of what is parsed and kept.
const (
	MaxEncoded = maxEncoded
	MaxSecrets = maxSecrets
)

// Parse is the parser of what stands behind the scheme.
func Parse(token string) (name, secret string, err error) {
	var buf [maxDecoded]byte
	n, s, err := parse(&buf, token)
	return string(n), string(s), err
}

// Trace has f called for each hash and each comparison.
func (a *Authenticator) Trace(f func(step string)) { a.trace = f }

package tlsredirect

import (
	"crypto/tls"
	"fmt"
)

// A Profile is a choice of TLS versions and cipher suites.
type Profile uint8

// Intermediate is TLS 1.3, and TLS 1.2 with the six suites that have forward
// secrecy and authenticated encryption: every client that is still maintained.
const Intermediate Profile = iota

// TLSConfig returns a new configuration that follows p, to which certificates
// are still to be added. It names no curves, so that the key exchanges are
// those of the Go version, post-quantum ones included. It panics if p is not
// one of the Profile constants.
func TLSConfig(p Profile) *tls.Config {
	if p != Intermediate {
		panic(fmt.Sprintf("tlsredirect: TLSConfig of Profile %d, want one of the constants", p))
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{ // of TLS 1.2; those of 1.3 are not configurable
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
	}
}

package tlsredirect

import (
	"fmt"
	"strconv"
	"time"
)

const (
	defaultMaxAge = 2 * 365 * 24 * time.Hour
	preloadMaxAge = 365 * 24 * time.Hour // hstspreload.org asks for at least that
)

// HSTS is the Strict-Transport-Security header (RFC 6797), which tells
// browsers never to speak plain HTTP to a host again. The zero value is
// "max-age=63072000; includeSubDomains". It is sent over TLS only. To take a
// policy back, set "max-age=0" in a handler behind this layer: the last word
// is the handler's.
type HSTS struct {
	_ [0]func() // keyed literals only

	// MaxAge is how long browsers remember, in whole seconds. If zero, it is
	// two years. Begin with minutes if you are not sure of your subdomains.
	MaxAge time.Duration

	// Preload asks for a place in the list that browsers are shipped with. It
	// needs a MaxAge of at least a year and all subdomains, and it can hardly
	// be undone.
	Preload bool

	// InsecureExcludeSubDomains leaves the subdomains out.
	InsecureExcludeSubDomains bool

	// InsecureOff sends no header, for services whose proxy sends it.
	InsecureOff bool
}

// value returns the header's value, "" for none.
func (h HSTS) value() (string, []error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("tlsredirect: "+format, args...)) }
	age := h.MaxAge
	if age == 0 {
		age = defaultMaxAge
	}
	if age < 0 || age%time.Second != 0 {
		bad("HSTS.MaxAge is %v, want whole seconds, 0 for two years", age)
	}
	if h.Preload && age < preloadMaxAge {
		bad("HSTS.MaxAge is %v with Preload, want at least a year (%v)", age, preloadMaxAge)
	}
	if h.Preload && h.InsecureExcludeSubDomains {
		bad("HSTS.InsecureExcludeSubDomains is set with Preload, want all subdomains")
	}
	if h.InsecureOff {
		if h.MaxAge != 0 || h.Preload || h.InsecureExcludeSubDomains {
			bad("HSTS.InsecureOff is set beside other fields, want one or the other")
		}
		return "", errs
	}
	value := "max-age=" + strconv.FormatInt(int64(age/time.Second), 10)
	if !h.InsecureExcludeSubDomains {
		value += "; includeSubDomains"
	}
	if h.Preload {
		value += "; preload"
	}
	return value, errs
}

package tlsredirect

import "net/http"

// ParseHost and RequestTarget are fuzzed on their own.
var ParseHost = parseHost

func RequestTarget(r *http.Request) (string, bool) { return requestTarget(r) }

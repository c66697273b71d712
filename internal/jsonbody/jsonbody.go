// Package jsonbody says, from a request's headers alone, whether its body is
// JSON in UTF-8 that can be read as it is: one rule for all who read bodies.
package jsonbody

import (
	"mime"
	"net/http"
	"strings"

	"github.com/gatehouse-go/gatehouse/internal/report"
)

// Coded reports whether the body is compressed or otherwise coded. Nothing is
// unpacked here, for a small archive may hold a large document.
func Coded(h http.Header) bool {
	for _, coding := range h["Content-Encoding"] {
		if coding != "" && !strings.EqualFold(coding, "identity") {
			return true
		}
	}
	return false
}

// CheckType returns nil if the one Content-Type is JSON in UTF-8, and else a
// [report.Cause].
func CheckType(h http.Header) error {
	types := h["Content-Type"]
	if len(types) != 1 {
		return report.Causef("%d Content-Type headers", len(types))
	}
	switch types[0] {
	case "application/json", "application/json; charset=utf-8":
		return nil
	}
	media, params, err := mime.ParseMediaType(types[0])
	if err != nil {
		return report.Cause("Content-Type is malformed")
	}
	subtype, ok := strings.CutPrefix(media, "application/")
	if !ok || subtype != "json" && (!strings.HasSuffix(subtype, "+json") || subtype == "+json") {
		return report.Cause("Content-Type is not JSON")
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return report.Cause("charset is not UTF-8")
	}
	return nil
}

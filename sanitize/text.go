package sanitize

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
)

func plain(s string) string {
	if utf8.ValidString(s) && controlIndex(s) < 0 {
		return s
	}
	return strings.Map(func(c rune) rune {
		if control(c) {
			return -1
		}
		return c
	}, strings.ToValidUTF8(s, ""))
}

// control reports whether Plain removes c.
func control(c rune) bool {
	switch {
	case c < 0x20:
		return c != '\t' && c != '\n' && c != '\r'
	case c >= 0x7f && c <= 0x9f, c >= 0x202a && c <= 0x202e, c >= 0x2066 && c <= 0x2069:
		return true
	}
	return false
}

// controlIndex returns where the first control of s is, -1 if there is none. In
// valid UTF-8 the bytes of a sequence occur in no other place; for other
// strings the answer means nothing.
func controlIndex[S ~string | ~[]byte](s S) int {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 0x20 && c < 0x7f:
		case c < 0x20:
			if c != '\t' && c != '\n' && c != '\r' {
				return i
			}
		case c == 0x7f:
			return i
		case c == 0xc2: // U+0080–BF
			if i+1 < len(s) && s[i+1] <= 0x9f {
				return i
			}
		case c == 0xe2: // U+2000–2FFF
			if i+2 < len(s) && (s[i+1] == 0x80 && s[i+2] >= 0xaa && s[i+2] <= 0xae ||
				s[i+1] == 0x81 && s[i+2] >= 0xa6 && s[i+2] <= 0xa9) {
				return i
			}
		}
	}
	return -1
}

// markupIndex returns where the first < of s is that HTML does not take as
// text, -1 if there is none: only behind such a one does its tokenizer leave
// the data state (HTML standard, section 13.2.5.6).
func markupIndex[S ~string | ~[]byte](s S) int {
	for i := range len(s) - 1 {
		if s[i] != '<' {
			continue
		}
		switch c := s[i+1]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '/', c == '!', c == '?':
			return i
		}
	}
	return -1
}

// text removes the markup that the tokenizer finds, and takes apart what is
// left or has come together: with that no < opens anything, whatever the
// tokenizer may have missed, and a second run finds nothing to do.
func text(s string) string {
	s = plain(s)
	if strings.IndexByte(s, '<') < 0 || markupIndex(s) < 0 {
		return s
	}
	var kept strings.Builder
	kept.Grow(len(s))
	z := html.NewTokenizer(strings.NewReader(s))
	code := false // the next token is what a script or style element holds
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			break
		}
		n := len(z.Raw()) // the tokens partition s
		switch kind {
		case html.TextToken:
			if !code {
				kept.WriteString(s[:n])
			}
			code = false
		case html.StartTagToken, html.SelfClosingTagToken:
			name, _ := z.TagName()
			code = string(name) == "script" || string(name) == "style"
			if !code {
				z.NextIsNotRawText() // what a title holds are words
			}
		default:
			code = false
		}
		s = s[n:]
	}
	kept.WriteString(s) // a tag that never ends
	return disarm(kept.String())
}

// disarm puts a space behind every < that is not text.
func disarm(s string) string {
	i := markupIndex(s)
	if i < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	for ; i >= 0; i = markupIndex(s) {
		b.WriteString(s[:i+1])
		b.WriteByte(' ')
		s = s[i+1:]
	}
	b.WriteString(s)
	return b.String()
}

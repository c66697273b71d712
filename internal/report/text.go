package report

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Cause is an error text of this library's own, without anything that a
// client sent beyond names.
type Cause string //nolint:errname // what an error says, not a kind of error

// Error returns the text.
func (c Cause) Error() string { return string(c) }

// Causef returns a formatted Cause.
func Causef(format string, args ...any) Cause { return Cause(fmt.Sprintf(format, args...)) }

// Detail is what of err may be recorded. The text of a foreign error may hold
// anything, so of that only the type is told.
func Detail(err error) string {
	if err == nil {
		return ""
	}
	if own, ok := errors.AsType[Cause](err); ok {
		return string(own)
	}
	return fmt.Sprintf("%T", err)
}

// PanicSite names the function and line that panicked, from within a deferred
// function: the first frame below the runtime's own. It is "" if nothing did.
func PanicSite() string {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs[:])])
	panicking := false
	for {
		f, more := frames.Next()
		switch {
		case f.Function == "runtime.gopanic":
			panicking = true
		case panicking && !strings.HasPrefix(f.Function, "runtime."):
			return fmt.Sprintf("%s %s:%d", f.Function, filepath.Base(f.File), f.Line)
		}
		if !more {
			return ""
		}
	}
}

// Printable replaces what a log's handler may pass on raw and a terminal may
// obey, or show as nothing.
func Printable(s string) string {
	for _, c := range s {
		if !Visible(c) {
			return strings.Map(func(c rune) rune {
				if !Visible(c) {
					return utf8.RuneError
				}
				return c
			}, s)
		}
	}
	return s
}

// Visible reports whether a reader sees c as what it is. U+FFFD, in whose
// place anything may have stood, is not.
func Visible(c rune) bool {
	if c < utf8.RuneSelf {
		return ' ' <= c && c <= '~'
	}
	return unicode.IsPrint(c) && c != utf8.RuneError &&
		!unicode.In(c, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

package sanitize

import (
	"regexp"
	"strings"

	"github.com/microcosm-cc/bluemonday"
)

// A Policy is what is removed from a string: Plain, Text, UGC, Strip, or what
// [Custom] returns.
//
// Every Policy removes what Plain removes. All but those of Custom are
// idempotent, and take time and memory proportional to the string.
type Policy interface {
	clean(s *Sanitizer, v string) string
}

// The policies. Each is the value of the struct tag of its name in lower case.
const (
	// Plain removes control characters other than tab, line feed and carriage
	// return (U+0000–1F, U+007F–9F), the direction overrides and isolates
	// (U+202A–2E, U+2066–69) and bytes that are not UTF-8. Everything else
	// stays: the joiners of Persian and Hindi, the variation selectors and
	// joiners of emoji, the direction marks of Hebrew and Arabic.
	Plain builtin = iota

	// Text also removes HTML markup: what an HTML tokenizer takes for a tag, a
	// comment, a doctype or a processing instruction, and what is between the
	// tags of script and style. A tag that never ends is taken apart with a
	// space and its words stay. A string without markup is not touched:
	//
	//	O'Reilly & "x" <3     stays
	//	a < b && c > d        stays
	//	&lt;script&gt;        stays: it is text
	//	<b>hi</b>             hi
	//	List<String>          List
	//	if a <b               if a < b
	//
	// What it returns is text, not HTML: in HTML it must be encoded like any
	// other. Should that be forgotten, no element begins in it, for no < is
	// followed by a letter, /, ! or ?.
	Text

	// UGC is for strings that are HTML, written by users in an editor. It lets
	// headings, paragraphs, lists, tables, quotes, links and the marking of
	// words pass, and returns HTML: & comes back as &amp;. There are no
	// scripts, styles, classes, ids, forms, frames and no SVG; no images
	// either, for loading one tells another who reads, and one's own address
	// can be any GET of the service. Links go to http, https, mailto or a
	// relative address, with rel="nofollow noreferrer"; to another host also
	// with noopener, in a tab of their own.
	//
	// Tags are not balanced: </div></div> passes. Put what it returns where
	// that harms nothing, such as the end of a page or a frame.
	UGC

	// Strip is for sinks that print strings into HTML without encoding them,
	// and cannot be changed. It removes all elements and returns HTML:
	// O'Reilly comes back as O&#39;Reilly.
	Strip
)

type builtin uint8

// String returns the policy's name, as in struct tags.
func (p builtin) String() string {
	switch p {
	case Plain:
		return "plain"
	case UGC:
		return "ugc"
	case Strip:
		return "strip"
	case Text:
	}
	return "text"
}

func (p builtin) clean(s *Sanitizer, v string) string {
	switch p {
	case Plain:
		return plain(v)
	case UGC:
		return rich(s.ugc, v)
	case Strip:
		return rich(s.strip, v)
	case Text:
	}
	return text(v)
}

// Custom returns the Policy that is p behind Plain. p must not be changed any
// more. It is p that makes it safe: AllowUnsafe is not, and AllowStyles with
// "font" takes time exponential in the string. It panics if p is nil.
func Custom(p *bluemonday.Policy) Policy {
	if p == nil {
		panic("sanitize: Custom of a nil *bluemonday.Policy")
	}
	p.Sanitize("<>") // a Policy that was not made by NewPolicy sets itself up on first use
	return custom{p}
}

type custom struct{ policy *bluemonday.Policy }

func (c custom) clean(_ *Sanitizer, v string) string { return rich(c.policy, v) }

// encoded are the bytes that bluemonday changes outside of tags. A string
// without them has no tag and comes back as it is, whatever the policy.
const encoded = "\r\"&'<>"

func rich(p *bluemonday.Policy, v string) string {
	v = plain(v)
	if !holdsEncoded(v) {
		return v
	}
	v = p.Sanitize(v)
	// Character references were decoded, so that &#x202e; is an override now.
	if c := plain(v); c != v {
		v = p.Sanitize(c)
	}
	return v
}

func holdsEncoded(v string) bool {
	for i := range len(encoded) { // each a fast scan: quicker together than ContainsAny
		if strings.IndexByte(v, encoded[i]) >= 0 {
			return true
		}
	}
	return false
}

// newUGC is bluemonday's UGCPolicy, which cannot be narrowed, without ids,
// images, image maps and bdo, which turns text around as an override does.
func newUGC() *bluemonday.Policy {
	p := bluemonday.NewPolicy()

	p.AllowElements(
		"article", "aside", "section", "div", "p", "br", "hr", "pre", "span", "wbr",
		"h1", "h2", "h3", "h4", "h5", "h6", "hgroup", "figure", "figcaption", "summary",
		"abbr", "acronym", "b", "cite", "code", "dfn", "em", "i", "kbd", "mark", "s", "samp",
		"small", "strike", "strong", "sub", "sup", "tt", "u", "var", "rp", "rt", "ruby",
	)
	p.AllowLists()
	p.AllowTables()

	p.AllowAttrs("dir").Matching(bluemonday.Direction).Globally()
	p.AllowAttrs("lang").Matching(regexp.MustCompile(`^[a-zA-Z]{2,8}(-[a-zA-Z0-9]{1,8})*$`)).Globally()
	p.AllowAttrs("title").Matching(bluemonday.Paragraph).Globally()
	p.AllowAttrs("open").Matching(regexp.MustCompile(`^(open)?$`)).OnElements("details")
	p.AllowAttrs("dir").Matching(bluemonday.Direction).OnElements("bdi")
	p.AllowAttrs("datetime").Matching(bluemonday.ISO8601).OnElements("time", "del", "ins")

	p.RequireParseableURLs(true)
	p.AllowRelativeURLs(true)
	p.AllowURLSchemes("mailto", "http", "https")
	p.AllowAttrs("href").OnElements("a")
	p.AllowAttrs("cite").OnElements("blockquote", "q", "del", "ins")
	p.RequireNoFollowOnLinks(true)
	p.RequireNoReferrerOnLinks(true)
	p.AddTargetBlankToFullyQualifiedLinks(true) // brings noopener along
	return p
}

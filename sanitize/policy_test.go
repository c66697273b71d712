package sanitize_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/microcosm-cc/bluemonday"
	"golang.org/x/net/html"

	"github.com/gatehouse-go/gatehouse/sanitize"
)

func newSanitizer(tb testing.TB, cfg sanitize.Config) *sanitize.Sanitizer {
	tb.Helper()
	s, err := sanitize.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

var policies = []struct {
	name   string
	policy sanitize.Policy
}{
	{"plain", sanitize.Plain},
	{"text", sanitize.Text},
	{"ugc", sanitize.UGC},
	{"strip", sanitize.Strip},
	{"custom", sanitize.Custom(bluemonday.NewPolicy().AllowElements("b", "i"))},
}

func TestPlain(t *testing.T) {
	t.Parallel()
	s := newSanitizer(t, sanitize.Config{})
	for _, tt := range []struct {
		name, in, want string
	}{
		{"empty", "", ""},
		{"tab, line feed and carriage return", "a\tb\nc\r\n", "a\tb\nc\r\n"},
		{"NUL", "a\x00b", "ab"},
		{"escape sequence of a terminal", "\x1b[31mred\x1b[0m", "[31mred[0m"},
		{"DEL", "a\x7fb", "ab"},
		{"C1", "a\u0080\u0085\u009fb", "ab"},
		{"next to C1", "\u00a0\u00bf", "\u00a0\u00bf"},
		{"overrides", "a\u202a\u202b\u202c\u202d\u202eb", "ab"},
		{"isolates", "a\u2066\u2067\u2068\u2069b", "ab"},
		{"next to both", "\u2029\u202f\u2065\u206a", "\u2029\u202f\u2065\u206a"},
		{"trojan source", "access\u202e\u2066// check\u2069\u2066", "access// check"},
		{"bytes that are not UTF-8", "a\xffb\xc2", "ab"},
		{"half a sequence before a letter", "\xe2\x80a", "a"},
		{"surrogate in UTF-8", "a\xed\xa0\x80b", "ab"},
		{"overlong <", "a\xc0\xbcb", "ab"},
		{"replacement character", "a\ufffdb", "a\ufffdb"},
		{"markup and quotes", `pa<ss>w&rd ' OR 1=1--`, `pa<ss>w&rd ' OR 1=1--`},
		{"generics", "List<String>", "List<String>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := s.Clean(sanitize.Plain, tt.in); got != tt.want {
				t.Errorf("Clean(Plain, %q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

// TestKeepsLanguages holds text of real languages, which need invisible
// characters to be written right.
func TestKeepsLanguages(t *testing.T) {
	t.Parallel()
	s := newSanitizer(t, sanitize.Config{})
	for _, tt := range []struct{ name, text string }{
		{"Persian with ZWNJ", "می\u200cخواهم کتاب\u200cها را بخوانم"},
		{"Hindi with ZWJ", "क्\u200dष और श्\u200dर"},
		{"Hebrew with RLM", "שלום!\u200f (C++)\u200f"},
		{"Arabic with LRM", "سعر: 100\u200e$"},
		{"emoji with ZWJ", "👨\u200d👩\u200d👧 🏳\ufe0f\u200d🌈"},
		{"emoji with VS16", "❤\ufe0f ☎\ufe0e"},
		{"emoji with tags", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"},
		{"Japanese with variation selector", "葛\U000e0100飾区"},
		{"Vietnamese in decomposed form", "tie\u0302\u0301ng Vie\u0323\u0302t"},
		{"byte order mark", "\ufeffhello\u2060world"},
		{"soft hyphen and no-break space", "Donau\u00addampf\u00a0schiff"},
		{"Mongolian vowel separator", "ᠨ\u180eᠠ"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, p := range policies {
				if got := s.Clean(p.policy, tt.text); got != tt.text {
					t.Errorf("Clean(%s, %+q) = %+q, want it unchanged", p.name, tt.text, got)
				}
			}
		})
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	s := newSanitizer(t, sanitize.Config{})
	for _, tt := range []struct {
		name, in, want string
	}{
		{"quotes, ampersand, heart", `O'Reilly & "x" <3`, `O'Reilly & "x" <3`},
		{"comparison", "a < b && c > d", "a < b && c > d"},
		{"comparison without spaces", "1<2 & 3>2", "1<2 & 3>2"},
		{"arrows", "<- -> <= => <>", "<- -> <= => <>"},
		{"line endings and spaces", " a\r\n\tb ", " a\r\n\tb "},
		{"character references", "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#60;b&#62;", "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#60;b&#62;"},
		{"lone <", "a <", "a <"},
		{"non-ASCII behind <", "<é> <\ufeffscript>", "<é> <\ufeffscript>"},
		{"line endings beside a tag", "a\r\n<b>b</b>\r", "a\r\nb\r"},
		{"tag", "<b>hi</b> & <i>you</i>", "hi & you"},
		{"tag in upper case", "<B>hi</B>", "hi"},
		{"tag with attributes", `x<a href="https://e.example/?a=1&b=2" title='>'>y</a>z`, "xyz"},
		{"unknown tag", "List<String> x", "List x"},
		{"mail address", "Bob <bob@example.com>", "Bob "},
		{"end tag", "a</b>b", "ab"},
		{"empty end tag", "a</>b", "ab"},
		{"comment", "a<!-- b -->c", "ac"},
		{"comment that never ends", "a<!-- b", "a"},
		{"bogus comment", "a</ b>c", "ac"},
		{"doctype", "<!DOCTYPE html>a", "a"},
		{"CDATA", "a<![CDATA[b]]>c", "ac"},
		{"processing instruction", "a<?xml version='1.0'?>b", "ab"},
		{"script", "a<script>alert(1)</script>b", "ab"},
		{"script of two", "a<script src=x></script>b<script>1<2</script>c", "abc"},
		{"script that never ends", "a<script>alert(1)", "a"},
		{"script in itself", "<scr<script>ipt>alert(1)</scr</script>ipt>", "ipt>alert(1)ipt>"},
		{"style", "a<style>p{}</style>b", "ab"},
		{"empty script", "a<script></script>b", "ab"},
		{"self-closing script", "a<script/>alert(1)</script>b", "ab"},
		{"title keeps its words", "a<title>b<i>c</i></title>d", "abcd"},
		{"textarea hides no script", "<textarea><script>alert(1)</script></textarea>", ""},
		{"iframe", "<iframe src=x>a</iframe>b", "ab"},
		{"plaintext", "<plaintext>a<b>b</b>", "ab"},
		{"tag that never ends", "if a <b", "if a < b"},
		{"tag that never ends, with an attribute", "<img src=x onerror=alert(1) ", "< img src=x onerror=alert(1) "},
		{"tag that never ends, with tags in it", `a<b title="<script>x</script>`, `a< b title="< script>x< /script>`},
		{"end tag that never ends", "a</b", "a< /b"},
		{"end of nothing", "a</", "a< /"},
		{"tag put together by removal", "<<b>script>alert(1)<<b>/script>", "< script>alert(1)< /script>"},
		{"tag put together by removal of a comment", "<<!-- -->img src=x onerror=alert(1)>", "< img src=x onerror=alert(1)>"},
		{"tag put together by removal of a control", "<\x00script>alert(1)</script>", ""},
		{"tag put together by removal of an override", "<\u202escript>alert(1)</script>", ""},
		{"tag put together by removal of a broken byte", "<\xffscript>alert(1)</script>", ""},
		{"NUL in a tag's name", "<scr\x00ipt>alert(1)</script>", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := s.Clean(sanitize.Text, tt.in); got != tt.want {
				t.Errorf("Clean(Text, %q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

func TestUGC(t *testing.T) {
	t.Parallel()
	s := newSanitizer(t, sanitize.Config{})
	for _, tt := range []struct {
		name, in, want string
	}{
		{"no HTML", "hello, world", "hello, world"},
		{"structure", "<h2>a</h2><p>b <b>c</b><br><em>d</em></p>", "<h2>a</h2><p>b <b>c</b><br><em>d</em></p>"},
		{"list", `<ol type="a"><li value="3">a</li></ol>`, `<ol type="a"><li value="3">a</li></ol>`},
		{"table", `<table><tr><td colspan="2" align="left">a</td></tr></table>`, `<table><tr><td colspan="2" align="left">a</td></tr></table>`},
		{"language and direction", `<p lang="ar" dir="rtl">a</p>`, `<p lang="ar" dir="rtl">a</p>`},
		{"ampersand", "Ben & Jerry's", "Ben &amp; Jerry&#39;s"},
		{"script", "a<script>alert(1)</script>b", "ab"},
		{"event", `<b onclick="alert(1)">a</b>`, "<b>a</b>"},
		{"style attribute", `<b style="position:fixed">a</b>`, "<b>a</b>"},
		{"class", `<b class="admin">a</b>`, "<b>a</b>"},
		{"id, for DOM clobbering", `<b id="cookie">a</b>`, "<b>a</b>"},
		{"name, for DOM clobbering", `<a name="cookie">a</a>`, "a"},
		{"image", `a<img src="https://t.example/p.gif">b`, "ab"},
		{"image map", `<map name="x"><area href="https://t.example/"></map>`, ""},
		{"override as element", `<bdo dir="rtl">abc</bdo>`, "abc"},
		{"override as reference", "<b>a&#x202e;b&#1;</b>", "<b>ab</b>"},
		{"form", `<form action="https://t.example/"><input name=p><button>go</button></form>`, "go"},
		{"base, meta, link", `<base href="//t.example"><meta http-equiv=refresh content="0;url=//t.example"><link rel=stylesheet href="//t.example">`, ""},
		{"link", `<a href="https://e.example/?a=1&amp;b=2">a</a>`, `<a href="https://e.example/?a=1&amp;b=2" rel="nofollow noreferrer noopener" target="_blank">a</a>`},
		{"link to another host without scheme", `<a href="//e.example">a</a>`, `<a href="//e.example" rel="nofollow noreferrer noopener" target="_blank">a</a>`},
		{"relative link", `<a href="/a">a</a>`, `<a href="/a" rel="nofollow noreferrer">a</a>`},
		{"link with another rel", `<a href="/a" rel="opener" target="x">a</a>`, `<a href="/a" rel="nofollow noreferrer">a</a>`},
		{"mail", `<a href="mailto:a@e.example">a</a>`, `<a href="mailto:a@e.example" rel="nofollow noreferrer">a</a>`},
		{"script link", `<a href="javascript:alert(1)">a</a>`, "a"},
		{"script link with a tab", "<a href=\"java\tscript:alert(1)\">a</a>", "a"},
		{"script link with a reference", `<a href="java&#9;script&colon;alert(1)">a</a>`, "a"},
		{"script link with a control reference", `<a href="&#1;javascript:alert(1)">a</a>`, "a"},
		{"data link", `<a href="data:text/html;base64,PHNjcmlwdD4=">a</a>`, "a"},
		{"script citation", `<q cite="javascript:alert(1)">a</q>`, "<q>a</q>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := s.Clean(sanitize.UGC, tt.in); got != tt.want {
				t.Errorf("Clean(UGC, %q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

func TestStripAndCustom(t *testing.T) {
	t.Parallel()
	s := newSanitizer(t, sanitize.Config{})
	bold := sanitize.Custom(new(bluemonday.Policy).AllowElements("b").AllowNoAttrs().OnElements("b"))
	for _, tt := range []struct {
		name   string
		policy sanitize.Policy
		in     string
		want   string
	}{
		{"strip encodes", sanitize.Strip, "O'Reilly & <b>Sons</b>", "O&#39;Reilly &amp; Sons"},
		{"strip drops controls", sanitize.Strip, "a\x00<b>&#8238;b</b>", "ab"},
		{"custom keeps its own", bold, "<b>a</b><i>b</i>", "<b>a</b>b"},
		{"custom drops controls", bold, "a\x00&#x2066;b", "ab"},
		{"nil is Text", nil, "<b>a</b> & b\x00", "a & b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := s.Clean(tt.policy, tt.in); got != tt.want {
				t.Errorf("Clean(%q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

func TestCustomOfNil(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("Custom(nil) did not panic")
		}
	}()
	sanitize.Custom(nil)
}

// vectors are one or more of each class of public cross-site scripting attack.
var vectors = []string{
	// Elements that run or load.
	`<script>alert(1)</script>`,
	`<SCRIPT SRC=//t.example/x.js></SCRIPT>`,
	`<script/src=data:,alert(1)>`,
	`<script x>alert(1)</script x>`,
	`<script>alert(1)//`,
	`<script>alert(1)<!--`,
	`<<script>alert(1)//<</script>`,
	`<svg><script>alert(1)</script></svg>`,
	`<svg><script href="data:,alert(1)" /></svg>`,
	`<iframe src="javascript:alert(1)"></iframe>`,
	`<iframe srcdoc="<script>alert(1)</script>"></iframe>`,
	`<object data="javascript:alert(1)"></object>`,
	`<embed src="javascript:alert(1)">`,
	`<applet code=x></applet>`,
	`<base href="javascript:/a/-alert(1)///////">`,
	`<meta http-equiv="refresh" content="0;url=javascript:alert(1)">`,
	`<link rel=import href="data:text/html,<script>alert(1)</script>">`,
	`<form action="javascript:alert(1)"><input type=submit>`,
	`<button formaction="javascript:alert(1)">x`,
	`<isindex action="javascript:alert(1)" type=image>`,
	`<marquee onstart=alert(1)>`,
	`<frameset onload=alert(1)>`,
	`<portal src="https://t.example">`,

	// Events.
	`<img src=x onerror=alert(1)>`,
	`<img src=x onerror=alert(1)//`,
	`<img src=x onerror=alert(1) `,
	`<img/src='x'onerror=alert(1)>`,
	"<img\tsrc=x\nonerror\r=\x0calert(1)>",
	`<img """><img src=x onerror=alert(1)>">`,
	`<svg onload=alert(1)>`,
	`<svg/onload=alert(1)//`,
	`<body onpageshow=alert(1)>`,
	`<input autofocus onfocus=alert(1)>`,
	`<details open ontoggle=alert(1)><summary>x</summary></details>`,
	`<video><source onerror=alert(1)></video>`,
	`<x onclick=alert(1) tabindex=1>x</x>`,
	`<b onmouseover="alert(1)" title="x">x</b>`,
	`<a href=x onpointerenter=alert(1)>x</a>`,
	`<div style="animation-name:x" onanimationstart=alert(1)>`,

	// Addresses.
	`<a href="javascript:alert(1)">x</a>`,
	`<a href=" &#14; javascript:alert(1)">x</a>`,
	"<a href=\"\x01javascript:alert(1)\">x</a>",
	`<a href="jav&#x09;ascript:alert(1)">x</a>`,
	`<a href="jav&NewLine;ascript&colon;alert(1)">x</a>`,
	`<a href="&#106;&#97;&#118;&#97;&#115;&#99;&#114;&#105;&#112;&#116;&#58;alert(1)">x</a>`,
	`<a href="JaVaScRiPt:alert(1)">x</a>`,
	`<a href="javascript&#00058;alert(1)">x</a>`,
	`<a href="vbscript:msgbox(1)">x</a>`,
	`<a href="data:text/html,<script>alert(1)</script>">x</a>`,
	`<a href="feed:javascript:alert(1)">x</a>`,
	`<a href="view-source:javascript:alert(1)">x</a>`,
	`<a href="https://e.example/&quot; onclick=&quot;alert(1)">x</a>`,
	`<a href='https://e.example/"onclick="alert(1)'>x</a>`,
	`<q cite="javascript:alert(1)">x</q><del cite=javascript:alert(1)>x</del>`,
	`<math><a xlink:href="javascript:alert(1)">x</a></math>`,
	`<svg><a xlink:href="javascript:alert(1)"><text y=20>x</text></a></svg>`,
	`<svg><animate href=#a attributeName=href values=javascript:alert(1) /><a id=a><text y=20>x</text></a></svg>`,
	`<svg><set attributeName=href to=javascript:alert(1)></svg>`,

	// Styles.
	`<style>@import 'javascript:alert(1)';</style>`,
	`<div style="background:url(javascript:alert(1))">x</div>`,
	`<div style="width:expression(alert(1))">x</div>`,
	`<style><img src="</style><img src=x onerror=alert(1)>">`,

	// Raw text, and text that changes its meaning when it is parsed again.
	`<title><a title="</title><img src=x onerror=alert(1)>"></title>`,
	`<textarea><img title="</textarea><img src=x onerror=alert(1)>"></textarea>`,
	`<noscript><p title="</noscript><img src=x onerror=alert(1)>"></noscript>`,
	`<p title="</noscript><img src=x onerror=alert(1)>">x</p>`,
	`<noembed><img title="</noembed><img src=x onerror=alert(1)>"></noembed>`,
	`<xmp><p title="</xmp><img src=x onerror=alert(1)>"></xmp>`,
	`<plaintext><img src=x onerror=alert(1)>`,
	`<!--><img src=x onerror=alert(1)>-->`,
	`<!--<img src="--><img src=x onerror=alert(1)//">`,
	`<!--!><img src=x onerror=alert(1)>--!>`,
	`<!-- --!><img src=x onerror=alert(1)>`,
	`<?xml-stylesheet ><img src=x onerror=alert(1)> ?>`,
	`<![CDATA[<img src=x onerror=alert(1)>]]>`,
	`<!DOCTYPE x[<!ENTITY y "<img src=x onerror=alert(1)>">]>&y;`,
	`<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">`,
	`<svg></p><style><a id="</style><img src=x onerror=alert(1)>">`,
	`<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>`,
	`<table><a href="x"><td title="</td></table><img src=x onerror=alert(1)>">`,
	"<template><img src=x onerror=alert(1)></template>",
	"`${alert(1)}`<b title=`onmouseover=alert(1)`>x</b>",

	// Names and bytes that others read otherwise.
	"<\u017fcript>alert(1)</\u017fcript>",
	"<scr\u0130pt>alert(1)</scr\u0130pt>",
	"<\u0455cript>alert(1)</\u0455cript>",
	"<\x00script>alert(1)</script>",
	"<script\x00>alert(1)</script>",
	"<\xc0script>alert(1)</script>",
	"\xc0\xbcscript\xc0\xbealert(1)\xc0\xbc/script\xc0\xbe",
	"\uff1cscript\uff1ealert(1)\uff1c/script\uff1e",
	"+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
	"\u2028<img src=x onerror=alert(1)>\u2029",

	// Parts that only removal puts together.
	`<scr<script>ipt>alert(1)</scr</script>ipt>`,
	`<<b>script>alert(1)<<b>/script>`,
	`<<!-- -->img src=x onerror=alert(1)>`,
	`<im<b></b>g src=x onerror=alert(1)>`,
	strings.Repeat("<", 50) + "b>" + strings.Repeat("b>", 50) + `img src=x onerror=alert(1)>`,
	`&lt;script&gt;alert(1)&lt;/script&gt;`,
	`&amp;lt;img src=x onerror=alert(1)&amp;gt;`,
	`&#60;img src=x onerror=alert(1)&#62;`,
	`&<b>lt;img src=x onerror=alert(1)>`,
	`"><img src=x onerror=alert(1)>`,
	`'-alert(1)-'`,
	`</div></div><img src=x onerror=alert(1)>`,
	`</textarea></title></script></style><img src=x onerror=alert(1)>`,
}

// TestVectors parses what is left of each attack as a browser would.
func TestVectors(t *testing.T) {
	t.Parallel()
	s := newSanitizer(t, sanitize.Config{})
	harmful := 0
	for _, v := range vectors {
		if judge("ugc", v) != nil {
			harmful++
		}
		for _, p := range policies {
			got := s.Clean(p.policy, v)
			if err := judge(p.name, got); err != nil {
				t.Errorf("Clean(%s, %q) = %q: %v", p.name, v, got, err)
			}
			if again := s.Clean(p.policy, got); again != got {
				t.Errorf("Clean(%s, %q) = %q, and of that %q", p.name, v, got, again)
			}
		}
	}
	if want := len(vectors) * 4 / 5; harmful < want {
		t.Errorf("%d of %d vectors are harmful as they are, want at least %d", harmful, len(vectors), want)
	}
}

// judge says what is wrong with cleaned, the result of the named policy.
func judge(policy, cleaned string) error {
	if !utf8.ValidString(cleaned) {
		return fmt.Errorf("not UTF-8")
	}
	if i := strings.IndexFunc(cleaned, removed); i >= 0 {
		return fmt.Errorf("holds a control at %d", i)
	}
	var elements, attributes []string
	switch policy {
	case "plain":
		return nil
	case "text", "strip":
	case "custom":
		elements = []string{"b", "i"}
	case "ugc":
		elements = strings.Fields(`article aside section div p br hr pre span wbr h1 h2 h3 h4 h5 h6 hgroup figure figcaption
			summary details abbr acronym b cite code dfn em i kbd mark s samp small strike strong sub sup tt u var rp rt ruby
			ul ol li dl dt dd table caption col colgroup thead tbody tfoot tr td th bdi time del ins blockquote q a`)
		attributes = strings.Fields(`dir lang title open datetime href cite rel target type value height width summary align
			span valign abbr colspan rowspan headers scope nowrap`)
	}
	// In the body with scripts off and on, and in two places that hold raw text.
	for _, page := range []string{"<body>%s", "<body><noscript>%s</noscript>", "<table><td>%s", "<textarea>%s</textarea>"} {
		for _, scripts := range []bool{false, true} {
			own := map[*html.Node]bool{}
			doc, err := html.ParseWithOptions(strings.NewReader(strings.ReplaceAll(page, "%s", "")), html.ParseOptionEnableScripting(scripts))
			if err != nil {
				return err
			}
			frame := 0
			for n := range doc.Descendants() {
				if n.Type == html.ElementNode {
					frame++
				}
			}
			if doc, err = html.ParseWithOptions(strings.NewReader(strings.ReplaceAll(page, "%s", cleaned)), html.ParseOptionEnableScripting(scripts)); err != nil {
				return err
			}
			for n := range doc.Descendants() {
				if n.Type == html.CommentNode || n.Type == html.DoctypeNode {
					return fmt.Errorf("in %s: a comment or doctype", page)
				}
				if n.Type != html.ElementNode {
					continue
				}
				if len(own) < frame && len(n.Attr) == 0 && slices.Contains([]string{"html", "head", "body", "noscript", "table", "tbody", "tr", "td", "textarea"}, n.Data) {
					own[n] = true
					continue
				}
				if n.Namespace != "" || !slices.Contains(elements, n.Data) {
					return fmt.Errorf("in %s: element %s", page, n.Data)
				}
				for _, a := range n.Attr {
					if !slices.Contains(attributes, a.Key) {
						return fmt.Errorf("in %s: attribute %s of %s", page, a.Key, n.Data)
					}
					if (a.Key == "href" || a.Key == "cite") && !harmless(a.Val) {
						return fmt.Errorf("in %s: %s=%q", page, a.Key, a.Val)
					}
				}
			}
		}
	}
	return nil
}

// harmless reports whether a browser opens the address without running it.
func harmless(address string) bool {
	address = strings.Map(func(c rune) rune {
		if c <= ' ' || c == 0x7f {
			return -1
		}
		return unicode.ToLower(c)
	}, address)
	scheme, _, ok := strings.Cut(address, ":")
	if !ok || strings.ContainsAny(scheme, "/?#") {
		return true
	}
	return slices.Contains([]string{"http", "https", "mailto"}, scheme)
}

// removed reports whether every policy must remove c. It is written out, as
// the contract has it, to be compared with the code.
func removed(c rune) bool {
	return c <= 0x1f && c != '\t' && c != '\n' && c != '\r' ||
		c >= 0x7f && c <= 0x9f || c >= 0x202a && c <= 0x202e || c >= 0x2066 && c <= 0x2069
}

func TestPlainRemovesNothingElse(t *testing.T) {
	t.Parallel()
	s := newSanitizer(t, sanitize.Config{})
	for c := range rune(unicode.MaxRune + 1) {
		if !utf8.ValidRune(c) {
			continue
		}
		in := "a" + string(c) + "b"
		want := in
		if removed(c) {
			want = "ab"
		}
		if got := s.Clean(sanitize.Plain, in); got != want {
			t.Fatalf("Clean(Plain, %+q) = %+q, want %+q", in, got, want)
		}
	}
}

// TestEveryASCIIByteAlone shows which bytes the policies for HTML change where
// there is no tag, which their way around bluemonday depends on.
func TestEveryASCIIByteAlone(t *testing.T) {
	t.Parallel()
	s := newSanitizer(t, sanitize.Config{})
	strict := bluemonday.StrictPolicy()
	for c := range byte(0x80) {
		in := "a" + string(rune(c)) + "b"
		want := strict.Sanitize(s.Clean(sanitize.Plain, in))
		for _, p := range []sanitize.Policy{sanitize.UGC, sanitize.Strip} {
			if got := s.Clean(p, in); got != want {
				t.Errorf("Clean(%v, %q) = %q, want %q", p, in, got, want)
			}
		}
	}
}

// TestTokenizer fails with a tokenizer that takes src=x/> for the end of the
// element (CVE-2025-22872).
func TestTokenizer(t *testing.T) {
	t.Parallel()
	s := newSanitizer(t, sanitize.Config{})
	for _, p := range []sanitize.Policy{sanitize.Strip, sanitize.UGC} {
		if got, want := s.Clean(p, `<iframe src=x/>hidden</iframe>after`), "after"; got != want {
			t.Errorf("Clean(%v) = %q, want %q: golang.org/x/net is older than 0.38", p, got, want)
		}
	}
}

// TestKnownBypasses has the payloads by which other sanitizers were bypassed.
func TestKnownBypasses(t *testing.T) {
	t.Parallel()
	s := newSanitizer(t, sanitize.Config{})
	for _, tt := range []struct{ name, in string }{
		{"CVE-2021-29272 long s in a name", "<\u017fcript>alert(1)</\u017fcript><scr\u0131pt>alert(1)</scr\u0131pt>"},
		{"CVE-2021-42576 select, option, style", `<select><option><style></option></select><img src=x onerror=alert(1)></style>`},
		{"CVE-2024-47875 nesting", strings.Repeat("<div>", 600) + `<svg><style><a id="</style><img src=x onerror=alert(1)>">`},
		{"CVE-2025-26791 template literal", "<style>${</style><b title=\"}</style><img src=x onerror=alert(1)>\">x"},
		{"CVE-2026-0540 raw text in an attribute", `<p title="</noscript></xmp></noembed></noframes></iframe><img src=x onerror=alert(1)>">x</p>`},
		{"CVE-2025-66021 noscript and style", `<noscript><style></noscript><script>alert(1)</script>`},
		{"RUSTSEC-2025-0071 svg annotation", `<math><annotation-xml encoding="text/html"><style><img src=x onerror=alert(1)></style></annotation-xml></math>`},
		{"svg set", `<svg><a><set attributeName="href" to="javascript:alert(1)"/><text>x</text></a></svg>`},
		{"bluemonday 196 svg link", `<svg><a xlink:href="javascript:alert(1)">x</a></svg>`},
		{"unescaped afterwards", `&lt;img src=x onerror=alert(1)&gt;`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, p := range policies {
				got := s.Clean(p.policy, tt.in)
				if len(got) > 2000 {
					got = got[:len("<div>")] + strings.ReplaceAll(got, "<div>", "") // the parser has a limit too
				}
				if err := judge(p.name, got); err != nil {
					t.Errorf("Clean(%s) = %q: %v", p.name, got, err)
				}
			}
		})
	}
}

// TestStripInAttribute puts what Strip returns between double quotes.
func TestStripInAttribute(t *testing.T) {
	t.Parallel()
	s := newSanitizer(t, sanitize.Config{})
	for _, v := range vectors {
		page := `<p title="` + s.Clean(sanitize.Strip, v) + `">x</p>`
		doc, err := html.Parse(strings.NewReader(page))
		if err != nil {
			t.Fatal(err)
		}
		for n := range doc.Descendants() {
			switch n.Data {
			case "html", "head", "body", "x":
			case "p":
				if len(n.Attr) != 1 {
					t.Errorf("%q has %d attributes, want 1", page, len(n.Attr))
				}
			default:
				t.Errorf("%q holds %s", page, n.Data)
			}
		}
	}
}

// TestCostIsLinear compares what is allocated for hostile strings of n and of
// 4 n bytes: to clean in passes, or from each tag to the end, would show. It counts what
// all goroutines allocate, so it is not parallel.
func TestCostIsLinear(t *testing.T) {
	s := newSanitizer(t, sanitize.Config{})
	for _, tt := range []struct {
		name string
		text func(n int) string
	}{
		{"put together by removal", func(n int) string { return strings.Repeat("<", n/3) + "b>" + strings.Repeat("b>", n/3) }},
		{"never ending tags", func(n int) string { return strings.Repeat(`<a `, n/3) }},
		{"never ending quotes", func(n int) string { return strings.Repeat(`<a "<a '`, n/8) }},
		{"never ending comments", func(n int) string { return strings.Repeat(`<!--`, n/4) }},
		{"one tag, many attributes", func(n int) string { return "<a " + strings.Repeat("b=c ", n/4) + ">" }},
		{"raw text in raw text", func(n int) string { return strings.Repeat("<title><textarea>", n/17) }},
		{"scripts that never end", func(n int) string { return strings.Repeat("<script><!--", n/12) }},
		{"elements in elements", func(n int) string { return strings.Repeat("<b><a>", n/6) }},
		{"end tags", func(n int) string { return strings.Repeat("</b></a>", n/8) }},
		{"references", func(n int) string { return strings.Repeat("&#x202e;&", n/9) }},
		{"controls", func(n int) string { return strings.Repeat("\x00\xff", n/2) }},
		{"fonts", func(n int) string { return `<b style="font:` + strings.Repeat(" ", n) + `">` }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, p := range policies {
				once, more := tt.text(16<<10), tt.text(64<<10)
				a := allocated(func() { s.Clean(p.policy, once) })
				b := allocated(func() { s.Clean(p.policy, more) })
				if limit := 6*a + 64<<10; b > limit {
					t.Errorf("%s: %d bytes for 16 KiB and %d for 64 KiB, want at most %d", p.name, a, b, limit)
				}
			}
		})
	}
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestCleanTextAllocatesNothing(t *testing.T) {
	s := newSanitizer(t, sanitize.Config{})
	for _, p := range policies {
		if got := testing.AllocsPerRun(100, func() { s.Clean(p.policy, "please ring twice, thank you") }); got != 0 {
			t.Errorf("%s: %v allocations, want 0", p.name, got)
		}
	}
}

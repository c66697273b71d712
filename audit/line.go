package audit

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/internal/report"
)

// appendLine appends e as one line of JSON. Members are only ever added to its
// schema, and equal events have equal bytes. Whatever stands in its strings,
// the line has no character but visible ones and the space: no control, no
// change of direction, nothing of width zero, no broken UTF-8.
func (e *Event) appendLine(dst []byte) []byte {
	o := object{append(dst, '{')}
	o.number("seq", e.Seq)
	o.name("time")
	o.b = e.Time.UTC().AppendFormat(o.b, `"2006-01-02T15:04:05.000000Z"`)
	o.text("type", e.Type)
	o.some("request_id", e.RequestID)
	if e.Client.IsValid() {
		o.name("client")
		o.b = append(e.Client.WithZone("").AppendTo(append(o.b, '"')), '"')
	}
	o.actor("principal", e.Principal)
	if r := e.Request; r != nil {
		o.text("method", r.Method)
		o.text("route", r.Route)
		o.number("status", uint64(max(r.Status, 0)))
		o.number("bytes", uint64(max(r.Bytes, 0)))
		o.number("duration_us", uint64(max(r.Duration.Microseconds(), 0)))
		o.decisions(r.Decisions)
		if r.Dropped > 0 {
			o.number("decisions_dropped", uint64(r.Dropped))
		}
		o.some("panic", r.Panic)
		o.some("panic_at", r.PanicAt)
	}
	o.some("outcome", string(e.Outcome))
	if e.Lost > 0 {
		o.number("lost", e.Lost)
	}
	if len(e.Attrs) > 0 {
		o.open("attrs")
		for _, k := range slices.Sorted(maps.Keys(e.Attrs)) {
			o.next()
			o.b = appendText(append(appendText(o.b, k), ':'), e.Attrs[k])
		}
		o.b = append(o.b, '}')
	}
	return append(o.b, '}', '\n')
}

// An object is JSON under construction: an object that is still open.
type object struct{ b []byte }

func (o *object) next() {
	if o.b[len(o.b)-1] != '{' {
		o.b = append(o.b, ',')
	}
}

// name begins a member. The name must need no escaping.
func (o *object) name(name string) {
	o.next()
	o.b = append(append(append(o.b, '"'), name...), '"', ':')
}

func (o *object) open(name string) {
	o.name(name)
	o.b = append(o.b, '{')
}

func (o *object) text(name, value string) {
	o.name(name)
	o.b = appendText(o.b, value)
}

func (o *object) some(name, value string) {
	if value != "" {
		o.text(name, value)
	}
}

func (o *object) number(name string, value uint64) {
	o.name(name)
	o.b = strconv.AppendUint(o.b, value, 10)
}

func (o *object) actor(name string, a *decision.Actor) {
	if a == nil {
		return
	}
	o.open(name)
	o.text("issuer", a.Issuer)
	o.text("subject", a.Subject)
	o.some("kind", a.Kind)
	o.some("scheme", a.Scheme)
	o.some("client_id", a.ClientID)
	o.some("tenant", a.Tenant)
	o.some("token_id", a.TokenID)
	o.actor("actor", a.Actor)
	o.b = append(o.b, '}')
}

func (o *object) decisions(decisions []decision.Decision) {
	o.name("decisions")
	o.b = append(o.b, '[')
	for i := range decisions {
		d := &decisions[i]
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = append(o.b, '{')
		o.text("layer", d.Layer)
		o.text("effect", d.Effect.String())
		o.some("rule", d.Rule)
		o.some("reason", d.Reason)
		o.some("detail", d.Detail)
		if d.Status > 0 {
			o.number("status", uint64(d.Status))
		}
		o.b = append(o.b, '}')
	}
	o.b = append(o.b, ']')
}

// appendText appends s as a JSON string. As in json.Marshal, <, > and & are
// escaped for viewers that are browsers, and U+FFFD stands for broken UTF-8.
func appendText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	kept := 0 // up to where s is in dst
	for i := 0; i < len(s); {
		c, n := rune(s[i]), 1
		if c < utf8.RuneSelf {
			if plain[c] {
				i++
				continue
			}
		} else if c, n = utf8.DecodeRuneInString(s[i:]); report.Visible(c) {
			i += n
			continue
		}
		dst = append(dst, s[kept:i]...)
		if c == '"' || c == '\\' {
			dst = append(dst, '\\', byte(c))
		} else {
			dst = appendEscaped(dst, c)
		}
		i += n
		kept = i
	}
	return append(append(dst, s[kept:]...), '"')
}

// plain are the ASCII characters that stand for themselves in a line.
var plain = func() (t [utf8.RuneSelf]bool) { //nolint:gochecknoglobals // immutable
	for c := rune(' '); c <= '~'; c++ {
		t[c] = !strings.ContainsRune(`"\<>&`, c)
	}
	return t
}()

func appendEscaped(dst []byte, c rune) []byte {
	const hex = "0123456789abcdef"
	if c > 0xffff {
		c -= 0x10000
		return appendEscaped(appendEscaped(dst, 0xd800+c>>10), 0xdc00+c&0x3ff)
	}
	return append(dst, '\\', 'u', hex[c>>12&15], hex[c>>8&15], hex[c>>4&15], hex[c&15])
}

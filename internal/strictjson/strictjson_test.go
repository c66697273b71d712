package strictjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gatehouse-go/gatehouse/internal/strictjson"
)

func TestMembers(t *testing.T) {
	t.Parallel()
	deep := func(n int) string { return `{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}` }
	for _, tt := range []struct {
		name, json string
		want       string // the members, or the error behind "!"
	}{
		{"empty", `{}`, ``},
		{"spaces", " \t\r\n{ } ", ``},
		{"members", `{"b":[1, 2],"a":{"c":null}}`, `a={"c":null} b=[1, 2]`},
		{"case", `{"a":1,"A":2}`, `A=2 a=1`},
		{"escaped name", `{"\u0061":1}`, `a=1`},
		{"empty name", `{"":1}`, `=1`},
		{"large number", `{"a":1e99999}`, `a=1e99999`},
		{"surrogate pair", `{"\ud83d\ude00":"\uD83D\uDE00"}`, `😀="\uD83D\uDE00"`},
		{"no escape", `{"a":"\\ud800"}`, `a="\\ud800"`},
		{"backslash before an escape", `{"a":"\\\u0041"}`, `a="\\\u0041"`},
		{"U+FFFD itself", "{\"a\":\"\ufffd\\ufffd\"}", "a=\"\ufffd\\ufffd\""},
		{"as deep as may be", deep(32), `a=` + strings.Repeat("[", 32) + strings.Repeat("]", 32)},

		{"byte order mark", "\ufeff{}", `!not JSON but a byte order mark first`},
		{"nothing", ``, `!not JSON from byte 0 on`},
		{"null", `null`, `!not a JSON object`},
		{"array", `[]`, `!not a JSON object`},
		{"string", `""`, `!not a JSON object`},
		{"not JSON", `{"a":1,}`, `!not JSON from byte 8 on`},
		{"control character", "{\"a\":\"\n\"}", `!not JSON from byte 7 on`},
		{"more behind", `{}{}`, `!not JSON from byte 3 on`},
		{"twice", `{"a":1,"a":1}`, `!a member occurs twice: "a"`},
		{"twice, escaped", `{"a":1,"\u0061":1}`, `!a member occurs twice: "a"`},
		{"twice, further in", `{"a":[{"b":{"c":1,"c":2}}]}`, `!a member occurs twice: "c"`},
		{"not UTF-8", "{\"a\":\"\xff\"}", `!not UTF-8`},
		{"surrogate in UTF-8", "{\"a\":\"\xed\xa0\x80\"}", `!not UTF-8`},
		{"high half", `{"a":"\ud800"}`, `!half of a surrogate pair, which is no character`},
		{"high half before a letter", `{"a":"\ud800\u0041"}`, `!half of a surrogate pair, which is no character`},
		{"high half before an escape", `{"a":"\ud800\n"}`, `!half of a surrogate pair, which is no character`},
		{"low half", `{"\udc00":1}`, `!half of a surrogate pair, which is no character`},
		{"low before high", `{"a":"\udc00\ud800"}`, `!half of a surrogate pair, which is no character`},
		{"pair, then a half", `{"a":"\ud83d\ude00\ude00"}`, `!half of a surrogate pair, which is no character`},
		{"too deep", deep(33), `!JSON nested too deeply`},
		{"far too deep", `{"a":` + strings.Repeat("[", 1_000_000), `!not JSON from byte 10005 on`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m, err := strictjson.Members([]byte(tt.json))
			got := make([]string, 0, len(m))
			for _, name := range slices.Sorted(maps.Keys(m)) {
				got = append(got, name+"="+string(m[name]))
			}
			text := strings.Join(got, " ")
			if err != nil {
				if _, ok := errors.AsType[*strictjson.Error](err); !ok || m != nil {
					t.Errorf("Members = %v, %T, want an Error alone", m, err)
				}
				text = "!" + err.Error()
			}
			if text != tt.want {
				t.Errorf("Members = %s, want %s", text, tt.want)
			}
		})
	}
}

// slowMembers tells by way of encoding/json's own tokens what Members may
// admit, but for surrogates.
func slowMembers(raw []byte) error {
	if !utf8.Valid(raw) {
		return errors.New("not UTF-8")
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil || m == nil {
		return errors.New("not a JSON object")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	return unique(dec, 0)
}

func unique(dec *json.Decoder, depth int) error {
	tok, err := dec.Token()
	if err != nil {
		return err
	}
	open, ok := tok.(json.Delim)
	if !ok {
		return nil
	}
	if depth > 32 {
		return errors.New("too deep")
	}
	names := make(map[string]bool)
	for dec.More() {
		if open == '{' {
			tok, err := dec.Token()
			if err != nil {
				return err
			}
			name, _ := tok.(string)
			if names[name] {
				return errors.New("twice")
			}
			names[name] = true
		}
		if err := unique(dec, depth+1); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}

func TestTexts(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string][]string{
		`["a","b"]`: {"a", "b"}, `[]`: {}, `["a",null]`: nil, `["a",1]`: nil, `"a"`: nil, `null`: nil, ``: nil, `{}`: nil,
	} {
		got, ok := strictjson.Texts(json.RawMessage(raw))
		if ok != (want != nil) || ok && !slices.Equal(got, want) {
			t.Errorf("Texts(%s) = %q, %t, want %q", raw, got, ok, want)
		}
	}
	for raw, want := range map[string]string{`"a"`: "a", `""`: "", `null`: "!", `1`: "!", ``: "!", `["a"]`: "!"} {
		got, ok := strictjson.Text(json.RawMessage(raw))
		if ok != (want != "!") || ok && got != want {
			t.Errorf("Text(%s) = %q, %t, want %q", raw, got, ok, want)
		}
	}
}

// Members admits what the slow way admits, but for half surrogate pairs. What
// is admitted means one thing: its strings hold no U+FFFD that was
// not written, and each object has as many members as names were written.
func FuzzMembers(f *testing.F) {
	for _, seed := range []string{
		`{"a":[{"b":1}]}`, `{"a":1,"\u0061":2}`, `{"a":"\ud800"}`, `{"\ud83d\ude00":"\\ud800"}`, `null`, `{"a":1}}`, "\xff",
		` {"a" : 1 , "b":[1,{"c":null}],"d":"x\"\\y"} `, `{"1":0,"2":0,"3":0,"4":0,"5":0,"6":0,"7":0,"8":0,"9":0,"10":0,"11":0,"12":0,"13":0,"14":0,"15":0,"16":0,"17":0,"18":0,"1":0}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := strictjson.Members(raw)
		slow := slowMembers(raw)
		if err != nil {
			if slow == nil && !strings.HasPrefix(err.Error(), "half of a surrogate pair") {
				t.Fatalf("Members refuses with %v what is right", err)
			}
			return
		}
		if slow != nil {
			t.Fatalf("Members admits what is wrong: %v", slow)
		}
		var plain map[string]any
		if err := json.Unmarshal(raw, &plain); err != nil {
			if _, number := errors.AsType[*json.UnmarshalTypeError](err); !number { // 1e999
				t.Fatalf("encoding/json refuses it: %v", err)
			}
			return
		}
		var values map[string]json.RawMessage
		if err := json.Unmarshal(raw, &values); err != nil || !maps.EqualFunc(values, m, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
			t.Errorf("Members = %q, encoding/json has %q", m, values)
		}
		if len(plain) != len(m) {
			t.Errorf("%d members, encoding/json has %d", len(m), len(plain))
		}
		for name := range plain {
			if _, ok := m[name]; !ok {
				t.Errorf("member %q is missing", name)
			}
		}
		written := strings.Count(string(raw), "\ufffd") + strings.Count(strings.ToLower(string(raw)), `\ufffd`)
		if got := replaced(plain); got > written {
			t.Errorf("%d times U+FFFD, %d were written: %s", got, written, raw)
		}
	})
}

func replaced(v any) (n int) {
	switch v := v.(type) {
	case string:
		n = strings.Count(v, "\ufffd")
	case []any:
		for _, e := range v {
			n += replaced(e)
		}
	case map[string]any:
		for name, e := range v {
			n += replaced(name) + replaced(e)
		}
	}
	return n
}

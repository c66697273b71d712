package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-go/gatehouse/audit"
	"github.com/gatehouse-go/gatehouse/audit/decision"
)

// vectors are the strings of testdata/injection-vectors.txt: what stands there
// in quotes, and every character of its ranges.
func vectors(tb testing.TB) []string {
	tb.Helper()
	text, err := os.ReadFile("testdata/injection-vectors.txt")
	if err != nil {
		tb.Fatal(err)
	}
	var (
		all    []string
		quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
		ranges = regexp.MustCompile(`U\+([0-9A-F]+)(?:\.\.([0-9A-F]+))?`)
	)
	for row := range strings.Lines(string(text)) {
		if strings.HasPrefix(row, "#") {
			continue
		}
		vector, _, _ := strings.Cut(row, "->")
		for _, q := range quoted.FindAllString(vector, -1) {
			s, err := strconv.Unquote(q)
			if err != nil {
				tb.Fatalf("%s: %v", q, err)
			}
			all = append(all, s)
			if decoded, err := url.PathUnescape(s); err == nil && decoded != s {
				all = append(all, decoded)
			}
		}
		for _, m := range ranges.FindAllStringSubmatch(vector, -1) {
			from, err := strconv.ParseInt(m[1], 16, 32)
			if err != nil {
				tb.Fatal(err)
			}
			to := from
			if m[2] != "" {
				if to, err = strconv.ParseInt(m[2], 16, 32); err != nil {
					tb.Fatal(err)
				}
			}
			for c := from; c <= to; c++ {
				all = append(all, "a"+string(rune(c))+"b")
			}
		}
	}
	if len(all) < 160 {
		tb.Fatalf("%d vectors, want the file's 164 or so", len(all))
	}
	for c := range 0x100 { // each byte, and each character of Latin-1
		all = append(all, "a"+string([]byte{byte(c)})+"b", "a"+string(rune(c))+"b")
	}
	return append(all, "\u034f", "\u115f", "\u3164", "\ufe0f", "\U000e0100", "\ue000", "\U0010ffff", `","outcome":"ok","x":"`, `\u0000`, `\`, "\ufffd")
}

// printable reports what in text is not a visible character, a space, or the
// newline at its end.
func unprintable(text []byte) (string, bool) {
	text = bytes.TrimSuffix(text, []byte("\n"))
	if !utf8.Valid(text) {
		return "broken UTF-8", true
	}
	for _, c := range string(text) {
		if !unicode.IsPrint(c) || unicode.In(c, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector, unicode.Bidi_Control, unicode.Cf, unicode.Cc) {
			return strconv.QuoteRuneToASCII(c), true
		}
	}
	return "", false
}

// TestInjection sends each vector through every field that a client, a token
// or a caller of the Trail can fill, and through both sinks.
func TestInjection(t *testing.T) {
	t.Parallel()
	var out, text, js buffer
	trail, err := audit.New(audit.Config{Sinks: []audit.Sink{
		audit.Writer(&out), audit.Slog(slog.NewTextHandler(&text, nil)), audit.Slog(slog.NewJSONHandler(&js, nil)),
	}})
	if err != nil {
		t.Fatal(err)
	}
	all := vectors(t)
	for _, v := range all {
		who := decision.Actor{Issuer: v, Subject: v, Kind: v, Scheme: v, ClientID: v, Tenant: v, TokenID: v, Actor: &decision.Actor{Issuer: v, Subject: v}}
		r := get("/")
		r.Method = v
		r = r.WithContext(decision.NewContext(r.Context(), decision.NewRecord(v)))
		serve(trail.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			decision.SetActor(r.Context(), who)
			decision.SetRoute(r.Context(), v)
			decision.Add(r.Context(), decision.Decision{Layer: v, Rule: v, Reason: v, Detail: v})
		})), r)
		if err := trail.Record(context.Background(), audit.Event{
			Type: "x" + v, RequestID: v, Outcome: audit.Outcome(v), Principal: &who, Attrs: map[string]string{v: v, "seq": v},
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := trail.Close(); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{"Writer": out.String(), "Slog, text": text.String(), "Slog, JSON": js.String()} {
		n := 0
		for l := range strings.Lines(got) {
			n++
			if c, bad := unprintable([]byte(l)); bad {
				t.Errorf("%s: %s in %q", name, c, l)
			}
			if name != "Slog, text" && !json.Valid([]byte(l)) {
				t.Errorf("%s: not JSON: %q", name, l)
			}
		}
		if n != 2*len(all) {
			t.Errorf("%s: %d lines for %d events", name, n, 2*len(all))
		}
	}
	for l := range strings.Lines(out.String()) {
		if strings.ContainsAny(l, "<>&") {
			t.Errorf("a browser may take %q for markup", l)
		}
		dec := json.NewDecoder(strings.NewReader(l))
		if names := topLevel(t, dec); len(names) != len(slices.Compact(slices.Sorted(slices.Values(names)))) {
			t.Errorf("a member twice in %q", l)
		}
	}
}

func topLevel(t *testing.T, dec *json.Decoder) (names []string) {
	t.Helper()
	if _, err := dec.Token(); err != nil {
		t.Fatal(err)
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name.(string))
		var skip json.RawMessage
		if err := dec.Decode(&skip); err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// The schema, by encoding/json: what a line must say.
type (
	wantLine struct {
		Seq       uint64     `json:"seq"`
		Time      string     `json:"time"`
		Type      string     `json:"type"`
		RequestID string     `json:"request_id,omitempty"`
		Client    string     `json:"client,omitempty"`
		Principal *wantActor `json:"principal,omitempty"`
		*wantRequest
		Outcome audit.Outcome     `json:"outcome,omitempty"`
		Lost    uint64            `json:"lost,omitempty"`
		Attrs   map[string]string `json:"attrs,omitempty"`
	}
	wantActor struct {
		Issuer   string     `json:"issuer"`
		Subject  string     `json:"subject"`
		Kind     string     `json:"kind,omitempty"`
		Scheme   string     `json:"scheme,omitempty"`
		ClientID string     `json:"client_id,omitempty"`
		Tenant   string     `json:"tenant,omitempty"`
		TokenID  string     `json:"token_id,omitempty"`
		Actor    *wantActor `json:"actor,omitempty"`
	}
	wantRequest struct {
		Method     string         `json:"method"`
		Route      string         `json:"route"`
		Status     int            `json:"status"`
		Bytes      int64          `json:"bytes"`
		DurationUS int64          `json:"duration_us"`
		Decisions  []wantDecision `json:"decisions"`
		Dropped    int            `json:"decisions_dropped,omitempty"`
		Panic      string         `json:"panic,omitempty"`
		PanicAt    string         `json:"panic_at,omitempty"`
	}
	wantDecision struct {
		Layer  string          `json:"layer"`
		Effect decision.Effect `json:"effect"`
		Rule   string          `json:"rule,omitempty"`
		Reason string          `json:"reason,omitempty"`
		Detail string          `json:"detail,omitempty"`
		Status int             `json:"status,omitempty"`
	}
)

func byJSON(tb testing.TB, e *audit.Event) []byte {
	tb.Helper()
	actor := func(a *decision.Actor) *wantActor { return nil }
	actor = func(a *decision.Actor) *wantActor {
		if a == nil {
			return nil
		}
		return &wantActor{a.Issuer, a.Subject, a.Kind, a.Scheme, a.ClientID, a.Tenant, a.TokenID, actor(a.Actor)}
	}
	l := wantLine{
		Seq: e.Seq, Time: e.Time.UTC().Format("2006-01-02T15:04:05.000000Z"), Type: e.Type, RequestID: e.RequestID,
		Principal: actor(e.Principal), Outcome: e.Outcome, Lost: e.Lost, Attrs: e.Attrs,
	}
	if e.Client.IsValid() {
		l.Client = e.Client.WithZone("").String()
	}
	if r := e.Request; r != nil {
		l.wantRequest = &wantRequest{
			r.Method, r.Route, r.Status, r.Bytes, r.Duration.Microseconds(), make([]wantDecision, len(r.Decisions)), r.Dropped, r.Panic, r.PanicAt,
		}
		for i, d := range r.Decisions {
			l.Decisions[i] = wantDecision(d)
		}
	}
	b, err := json.Marshal(l)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// full is an event with every field set.
func full(s string, n int) *audit.Event {
	return &audit.Event{
		Seq: uint64(max(n, 0)), Time: time.Date(2026, 11, 22, 22, 4, 5, 6789, time.FixedZone("", 3600)), Type: "x" + s, RequestID: s,
		Client:    netip.MustParseAddr("2001:db8::7%zone"),
		Principal: &decision.Actor{Issuer: s, Subject: s, Kind: s, Scheme: s, ClientID: s, Tenant: s, TokenID: s, Actor: &decision.Actor{Subject: s}},
		Outcome:   audit.Outcome(s), Lost: uint64(max(n, 0)), Attrs: map[string]string{"k" + s: s, "seq": s, "": s},
		Request: &audit.Request{
			Method: s, Route: s, Status: max(n, 0), Bytes: int64(max(n, 0)), Duration: time.Duration(max(n, 0)),
			Decisions: []decision.Decision{
				{Layer: s, Effect: decision.Allow, Rule: s, Reason: s, Detail: s, Status: max(n, 0)},
				{},
				{Layer: "b", Effect: decision.Modify},
				{Layer: "c", Effect: decision.Observe},
			},
			Dropped: max(n, 0), Panic: s, PanicAt: s,
		},
	}
}

// checkLine holds a line to its properties: one line, JSON, printable, and the
// same in it as encoding/json would have written, member by member.
func checkLine(t *testing.T, e *audit.Event) {
	t.Helper()
	prefix := []byte("before")
	got := audit.AppendLine(prefix, e)
	if !bytes.HasPrefix(got, prefix) {
		t.Fatalf("what was in front is gone: %q", got)
	}
	got = got[len(prefix):]
	if bytes.Count(got, []byte("\n")) != 1 || got[len(got)-1] != '\n' {
		t.Fatalf("not one line: %q", got)
	}
	if c, bad := unprintable(got); bad {
		t.Fatalf("%s in %q", c, got)
	}
	want := byJSON(t, e)
	var g, w any
	if err := json.Unmarshal(got, &g); err != nil {
		t.Fatalf("%v in %q", err, got)
	}
	if err := json.Unmarshal(want, &w); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(g, w) {
		t.Fatalf("line differs:\ngot  %s\nwant %s", got, want)
	}
	if again := audit.AppendLine(nil, e); !bytes.Equal(got, again) {
		t.Fatalf("equal events, different lines:\n%s%s", got, again)
	}
}

func TestLine(t *testing.T) {
	t.Parallel()
	for _, e := range []*audit.Event{
		{},
		{Type: audit.TypeGap, Seq: 1<<64 - 1, Lost: 1<<64 - 1},
		{Request: &audit.Request{}},
		{Principal: &decision.Actor{}},
		{Attrs: map[string]string{}},
		full("", 0), full("plain", 1), full(`"\<>&`+"\n\t\x00", 1<<31-1),
	} {
		checkLine(t, e)
	}
	for _, v := range vectors(t) {
		checkLine(t, full(v, 7))
	}
	// The order of members is the schema's: canonical bytes.
	e := full("s", 7)
	e.Attrs = map[string]string{"b": "2", "a": "1"}
	want := `{"seq":7,"time":"2026-11-22T21:04:05.000006Z","type":"xs","request_id":"s","client":"2001:db8::7",` +
		`"principal":{"issuer":"s","subject":"s","kind":"s","scheme":"s","client_id":"s","tenant":"s","token_id":"s","actor":{"issuer":"","subject":"s"}},` +
		`"method":"s","route":"s","status":7,"bytes":7,"duration_us":0,` +
		`"decisions":[{"layer":"s","effect":"allow","rule":"s","reason":"s","detail":"s","status":7},{"layer":"","effect":"deny"},{"layer":"b","effect":"modify"},{"layer":"c","effect":"observe"}],` +
		`"decisions_dropped":7,"panic":"s","panic_at":"s","outcome":"s","lost":7,"attrs":{"a":"1","b":"2"}}` + "\n"
	if got := string(audit.AppendLine(nil, e)); got != want {
		t.Errorf("line:\ngot  %swant %s", got, want)
	}
}

// Numbers that make no sense do not make a line that is not JSON.
func TestLineNumbers(t *testing.T) {
	t.Parallel()
	e := full("s", 0)
	e.Request.Status, e.Request.Bytes, e.Request.Duration, e.Request.Dropped = -1, -1, -time.Hour, -1
	e.Time = time.Date(12345, 1, 1, 0, 0, 0, 0, time.UTC)
	if got := audit.AppendLine(nil, e); !json.Valid(got) || bytes.Contains(got, []byte(":-")) {
		t.Errorf("line = %s", got)
	}
}

func FuzzLine(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v, "GET", 200)
	}
	f.Fuzz(func(t *testing.T, a, b string, n int) {
		e := full(a, n)
		e.Request.Method, e.Request.Route, e.RequestID = b, b+a, a+b
		e.Attrs = map[string]string{"fixed": b + a}
		if utf8.ValidString(b) { // Record makes names valid; two broken ones would be the same
			e.Attrs[b] = a
		}
		checkLine(t, e)
		e.Request = nil
		checkLine(t, e)
	})
}

// The Slog sink has the members of the line, at a level for alerts.
func TestSlog(t *testing.T) {
	t.Parallel()
	var js, text buffer
	trail, err := audit.New(audit.Config{Sinks: []audit.Sink{
		audit.Slog(slog.NewJSONHandler(&js, nil)), audit.Slog(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		decision.SetActor(r.Context(), decision.Actor{Issuer: "i", Subject: "ann", Kind: "user", Tenant: "acme", TokenID: "j", Actor: &decision.Actor{Issuer: "i", Subject: "support"}})
		decision.Add(r.Context(), decision.Decision{Layer: "ratelimit", Effect: decision.Allow})
		decision.Add(r.Context(), decision.Decision{Layer: "ratelimit", Effect: decision.Deny, Rule: "5-M", Reason: "quota", Detail: "of 5", Status: 429})
		w.WriteHeader(http.StatusTooManyRequests)
	})
	serve(trail.Handler(mux), get("/orders/7"))
	for _, o := range []audit.Outcome{audit.OK, audit.NotFound, audit.Hijacked, "", audit.Denied, audit.Limited, audit.Invalid, audit.Aborted, audit.ClientGone, audit.Failed, audit.Panicked} {
		if err := trail.Record(context.Background(), audit.Event{Type: "own", Outcome: o, Attrs: map[string]string{"b": "2", "a": "1"}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := trail.Close(); err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSpace(js.String()), "\n")
	levels := make([]string, 0, len(rows))
	for _, row := range rows {
		var v struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(row), &v); err != nil {
			t.Fatal(err)
		}
		if v.Msg != "audit" {
			t.Errorf("msg = %q, want audit", v.Msg)
		}
		levels = append(levels, v.Level)
	}
	if got, want := strings.Join(levels, " "), "WARN INFO INFO INFO INFO WARN WARN WARN WARN WARN ERROR ERROR"; got != want {
		t.Errorf("levels = %s, want %s", got, want)
	}
	for _, want := range []string{
		`"seq":0`, `"type":"request"`, `"client":"192.0.2.1"`,
		`"principal":{"issuer":"i","subject":"ann","kind":"user","tenant":"acme","token_id":"j","actor":{"issuer":"i","subject":"support"}}`,
		`"method":"GET","route":"/orders/{id}","status":429,"bytes":0,"duration_us":`,
		`"decisions":[{"layer":"ratelimit","effect":"allow"},{"layer":"ratelimit","effect":"deny","rule":"5-M","reason":"quota","detail":"of 5","status":429}]`,
		`"outcome":"limited"`,
	} {
		if !strings.Contains(rows[0], want) {
			t.Errorf("record lacks %s: %s", want, rows[0])
		}
	}
	if want := `"attrs":{"a":"1","b":"2"}`; !strings.Contains(rows[1], want) {
		t.Errorf("record lacks %s: %s", want, rows[1])
	}
	if got := strings.Count(text.String(), "\n"); got != 8 || !strings.Contains(text.String(), "Reason:quota") {
		t.Errorf("the text handler, which wants warnings, has %d lines, want 8:\n%s", got, &text)
	}
}

// What no ordinary request brings along is there as well.
func TestSlogRare(t *testing.T) {
	t.Parallel()
	var js buffer
	err := audit.Slog(slog.NewJSONHandler(&js, nil)).Write(context.Background(), audit.Batch{Events: []*audit.Event{
		{Type: audit.TypeGap, Lost: 7},
		{Type: audit.TypeRequest, Outcome: audit.Panicked, Request: &audit.Request{Dropped: 3, Panic: "string", PanicAt: "f f.go:1"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"level":"ERROR"`, `"lost":7`, `"decisions_dropped":3`, `"panic":"string","panic_at":"f f.go:1"`} {
		if !strings.Contains(js.String(), want) {
			t.Errorf("records lack %s: %s", want, &js)
		}
	}
	if n := strings.Count(js.String(), `"level":"ERROR"`); n != 2 {
		t.Errorf("%d errors, want both: %s", n, &js)
	}
}

// One record that the handler refuses does not cost the others.
func TestSlogErrors(t *testing.T) {
	t.Parallel()
	handler := &fussy{}
	trail, err := audit.New(audit.Config{Sinks: []audit.Sink{audit.Slog(handler)}})
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if err := trail.Record(context.Background(), audit.Event{Type: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := trail.Close(); err != nil {
		t.Fatal(err)
	}
	if handler.n != 5 || trail.Stats().Failed == 0 {
		t.Errorf("the handler saw %d records, want 5; Stats = %+v, want failures", handler.n, trail.Stats())
	}
}

type fussy struct {
	slog.Handler
	n int
}

func (f *fussy) Enabled(context.Context, slog.Level) bool { return true }
func (f *fussy) Handle(context.Context, slog.Record) error {
	f.n++
	return os.ErrClosed
}

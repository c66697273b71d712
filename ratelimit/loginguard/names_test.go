package loginguard_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"unicode"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/loginguard"
)

// keysOf returns the keys under which a guess is counted, by policy.
func keysOf(tb testing.TB, cfg loginguard.Config, account string, addr netip.Addr) map[string]string {
	tb.Helper()
	few, err := ratelimit.NewMemory(ratelimit.MemoryConfig{MaxKeys: 8})
	if err != nil {
		tb.Fatal(err)
	}
	s := &spy{Store: few}
	cfg.Store = s
	a, err := mustNew(tb, cfg).Begin(context.Background(), account, addr)
	if err != nil {
		tb.Fatal(err)
	}
	if err := a.Succeed(context.Background()); err != nil {
		tb.Fatal(err)
	}
	keys := make(map[string]string)
	for _, c := range s.calls {
		if before, ok := keys[c.policy]; ok && before != c.key {
			tb.Errorf("%s has the keys %q and %q", c.policy, before, c.key)
		}
		keys[c.policy] = c.key
	}
	return keys
}

// TestFold: spellings that a service may take for one name are one, those that
// it may not are two.
func TestFold(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"ann", "ANN", true},
		{"ann", " Ann\t\n", true},
		{"ann", "\u00a0ann\u3000", true},
		{"kim", "\u212aim", true}, // Kelvin sign
		{"sue", "\u017fue", true}, // long s
		{"Ωmega", "ωMEGA", true},
		{"ann", "an n", false},
		{"ann", "anne", false},
		{"ann", "änn", false}, // for a service's own Fold
		{"ann@example.com", "ann@example.org", false},
	} {
		cfg := loginguard.Config{Secret: secret}
		a, b := keysOf(t, cfg, tt.a, home), keysOf(t, cfg, tt.b, home)
		for _, policy := range []string{"pair", "account", "known", "places"} {
			if got := a[policy] == b[policy]; got != tt.same {
				t.Errorf("%q and %q have one key for %s: %t, want %t", tt.a, tt.b, policy, got, tt.same)
			}
		}
		if a["address"] != b["address"] {
			t.Errorf("%q and %q have two keys for the address", tt.a, tt.b)
		}
	}
}

// TestFoldEveryLetter: no letter has a second budget in its other case.
func TestFoldEveryLetter(t *testing.T) {
	t.Parallel()
	for r := range rune(unicode.MaxRune + 1) {
		for _, other := range [...]rune{unicode.ToLower(r), unicode.ToUpper(r), unicode.ToTitle(r)} {
			if other != r && loginguard.Fold(string(r)) != loginguard.Fold(string(other)) {
				t.Errorf("%U and %U are two", r, other)
			}
		}
	}
}

func TestCustomFold(t *testing.T) {
	t.Parallel()
	cfg := loginguard.Config{Secret: secret, Fold: func(account string) string {
		local, domain, _ := strings.Cut(account, "@")
		return strings.ReplaceAll(local, ".", "") + "@" + domain
	}}
	if a, b := keysOf(t, cfg, "a.nn@example.com", home), keysOf(t, cfg, "ann@example.com", home); a["pair"] != b["pair"] {
		t.Error("Fold was not asked")
	}
	if a, b := keysOf(t, cfg, "Ann@example.com", home), keysOf(t, cfg, "ann@example.com", home); a["pair"] == b["pair"] {
		t.Error("the default folds, too")
	}
}

// TestKeys: what keys depend on, and what shows in them.
func TestKeys(t *testing.T) {
	t.Parallel()
	base := keysOf(t, loginguard.Config{Secret: secret}, "ann@example.com", home)
	again := keysOf(t, loginguard.Config{Secret: secret}, "ann@example.com", home)
	other := keysOf(t, loginguard.Config{Secret: loginguard.NewSecret(bytes.Repeat([]byte("0123456789"), 4))}, "ann@example.com", home)
	named := keysOf(t, loginguard.Config{Secret: secret, Name: "totp"}, "ann@example.com", home)
	for policy, key := range base {
		if again[policy] != key {
			t.Errorf("another instance has another key for %s", policy)
		}
		if other[policy] == key || named[policy] == key {
			t.Errorf("another guard has the same key for %s", policy)
		}
		if !strings.HasPrefix(key, "login:") || len(key) != len("login:")+43 || !strings.HasPrefix(named[policy], "totp:") {
			t.Errorf("the keys for %s are %q and %q", policy, key, named[policy])
		}
	}
	if len(base) != 5 {
		t.Errorf("keys = %v, want those of 5 policies", base)
	}
	if base["pair"] == base["account"] || base["pair"] == base["address"] || base["account"] == base["address"] {
		t.Errorf("budgets share keys: %v", base)
	}
}

// TestSecretIsCopied: what New took stays.
func TestSecretIsCopied(t *testing.T) {
	t.Parallel()
	key := []byte(strings.Repeat("k", 40))
	cfg := loginguard.Config{Secret: loginguard.NewSecret(key)}
	before := keysOf(t, cfg, "ann", home)
	clear(key)
	if after := keysOf(t, cfg, "ann", home); before["pair"] != after["pair"] {
		t.Error("the keys changed with the caller's slice")
	}
}

// TestRandomSecret: without one nobody can compute what two guards keep.
func TestRandomSecret(t *testing.T) {
	t.Parallel()
	detail := func() string {
		var told decisions
		g := mustNew(t, loginguard.Config{OnDecision: told.add})
		admitted(t, g, 6, func(int) (string, netip.Addr) { return "ann", home })
		refused := told.of(loginguard.ReasonPair)
		if len(refused) != 1 {
			t.Fatalf("reported %+v, want one refusal", refused)
		}
		return refused[0].Detail
	}
	a, b := detail(), detail()
	_, digest, ok := strings.Cut(a, "; account ")
	if !ok || len(digest) != 12 || a == b {
		t.Errorf("details are %q and %q, want each with a digest of its own", a, b)
	}
}

// TestNothingGetsOut: neither the secret nor a name is in what prints anything
// of this package.
func TestNothingGetsOut(t *testing.T) {
	t.Parallel()
	key := []byte("canary-secret-0123456789-0123456789")
	var log, out bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := newSpy(t)
	var attempt *loginguard.Attempt
	cfg := loginguard.Config{
		Account: byHeader, Secret: loginguard.NewSecret(key), Store: s, AllowLocalLimits: true, Logger: logger,
		OnDecision: func(_ context.Context, d decision.Decision) { fmt.Fprintf(&out, "%+v\n", d) },
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			fmt.Fprintf(&out, "%v %+v %#v\n", err, err, err)
			loginguard.WriteError(w, r, err)
		},
	}
	g := mustNew(t, cfg)
	h := g.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		attempt, _ = loginguard.FromContext(r.Context())
		w.WriteHeader(http.StatusUnauthorized)
	}))
	for _, fails := range []func(call) error{nil, down} {
		s.failing(fails)
		for range 7 {
			r, record := login("canary@example.com\r\nlevel=INFO", "192.0.2.7:1")
			w := serve(h, r)
			fmt.Fprintf(&out, "%v %v %+v\n", w.Header(), w.Body, record.Seal())
		}
	}
	if err := attempt.Succeed(t.Context()); err != nil {
		t.Errorf("the last attempt was counted in this process: %v", err)
	}
	for _, v := range []any{cfg, &cfg, cfg.Secret, &cfg.Secret, g, attempt, &loginguard.Error{Reason: "pair"}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		logger.Info("printed", "v", v)
		if b, err := json.Marshal(v); err == nil {
			out.Write(b)
		}
	}
	for _, c := range s.calls {
		fmt.Fprintln(&out, c)
	}
	if !strings.Contains(log.String(), `"loginguard: refused","reason":"pair"`) {
		t.Errorf("the log has no refusal: %s", &log)
	}
	text := strings.ToLower(out.String() + log.String())
	for _, forbidden := range []string{"canary", hex.EncodeToString(key)[:16], "99 97 110 97 114 121", "0x63, 0x61, 0x6e"} {
		if strings.Contains(text, forbidden) {
			t.Errorf("%q got out", forbidden)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

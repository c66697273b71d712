package ratelimit_test

import (
	"slices"
	"testing"
	"time"

	"github.com/ulule/limiter/v3"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

func TestNotation(t *testing.T) {
	t.Parallel()
	for s, want := range map[string][]string{
		"5-M":                          {"5 per minute"},
		"5-s":                          {"5 per second"},
		"1000-H":                       {"1000 per hour"},
		"7-D":                          {"7 per day"},
		"5 per minute":                 {"5 per minute"},
		"5 PER Minute":                 {"5 per minute"},
		"5  per  minutes ":             {"5 per minute"},
		"100 per 5 minutes":            {"100 per 5 minutes"},
		"100 per 5min":                 {"100 per 5 minutes"},
		"100/5m":                       {"100 per 5 minutes"},
		"100 / 5 m":                    {"100 per 5 minutes"},
		"1 per 60 seconds":             {"1 per minute"},
		"1 per 250 ms":                 {"1 per 250 milliseconds"},
		"1 per 1 millisecond":          {"1 per millisecond"},
		"10/s; 1000/h":                 {"10 per second", "1000 per hour"},
		"10-S, 1000-H,5 per 2 days":    {"10 per second", "1000 per hour", "5 per 2 days"},
		"1 per 366 days":               {"1 per 366 days"},
		"10000000 per second":          {"10000000 per second"},
		"1 per 527040 minutes; 1 /sec": {"1 per 366 days", "1 per second"},
	} {
		policies, err := ratelimit.ParseLimits(s)
		got := make([]string, 0, len(want))
		for _, p := range policies {
			got = append(got, p.String())
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q = %q, %v; want %q", s, got, err, want)
		}
	}
}

func TestNotationRefuses(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", " ", ";", "5-M;", ",5-M", "5", "M", "-M", "5-", "5M", "5-X", "5-MM", "5-M-M", "5 - M",
		"0 per minute", "-5 per minute", "05/m", "5 per 0 minutes", "5 per 05 minutes", "5per minute", "5 perminute",
		"5 per", "5 per 5", "5 per minute per hour", "5//m", "5/m/m", "5/-m", "1.5/m", "5 per 1.5 minutes", "1e3/m", "1_000/m", "٥/m",
		"5 per ſ", "5 per µs", "1 per 367 days", "1 per 9223372036854775807 days", "5 per 288230376151712744 ms", "99999999999999999999 per day", "10000001 per second",
		"5\nper minute", "5 per\tminute",
	} {
		if got, err := ratelimit.ParseLimits(s); err == nil {
			t.Errorf("%q = %v, want an error", s, got)
		}
	}
}

// Faults: what limiter.NewRateFromFormatted lets through.
func TestNotationChecksWhatUluleLetsThrough(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"0-M", "+5-M", "005-M", "5-ſ", "9223372036854775807-S"} {
		if _, err := limiter.NewRateFromFormatted(s); err != nil {
			t.Errorf("ulule refuses %q by itself: %v", s, err)
		}
		if got, err := ratelimit.ParseLimits(s); err == nil {
			t.Errorf("%q = %v, want an error", s, got)
		}
	}
}

func TestDefaultNames(t *testing.T) {
	t.Parallel()
	policies, err := ratelimit.ParseLimits("1/s; 1/m; 1/h; 1/d; 9 per 5 minutes; 9 per 90 s; 9 per 250 ms")
	if err != nil {
		t.Fatal(err)
	}
	got := make([]string, 0, len(policies))
	for _, p := range policies {
		got = append(got, p.Name)
		if p.Burst != p.Limit || p.Period < time.Millisecond {
			t.Errorf("%+v: want a burst of the limit", p)
		}
	}
	if want := []string{"second", "minute", "hour", "day", "5-minutes", "90-seconds", "250-milliseconds"}; !slices.Equal(got, want) {
		t.Errorf("names = %q, want %q", got, want)
	}
}

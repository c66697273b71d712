package ratelimit

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/ulule/limiter/v3"
)

var errNotation = errors.New(`"100 per minute", "10/s", "500 per 5 minutes" or "100-M", with numbers of 1 or more`)

// parseLimits parses limits separated by ';' or ','. The error says what was
// wanted instead.
func parseLimits(s string) ([]Policy, error) {
	var policies []Policy
	for term := range strings.SplitSeq(strings.ReplaceAll(s, ",", ";"), ";") {
		p, ok := parseLimit(strings.Trim(term, " \t"))
		if !ok {
			return nil, errNotation
		}
		p, errs := p.complete()
		if len(errs) > 0 {
			return nil, errors.New("1 to 10 million a second, in 1 millisecond to 366 days")
		}
		policies = append(policies, p)
	}
	return policies, nil
}

func parseLimit(s string) (Policy, bool) {
	if strings.Contains(s, "-") {
		return parseFormatted(s)
	}
	limit, s, ok := cutNumber(s)
	if !ok {
		return Policy{}, false
	}
	if rest, slash := strings.CutPrefix(strings.TrimLeft(s, " "), "/"); slash {
		s = rest
	} else if s, ok = strings.CutPrefix(s, " "); !ok {
		return Policy{}, false
	} else if word, rest, spaced := strings.Cut(strings.TrimLeft(s, " "), " "); spaced && strings.EqualFold(word, "per") {
		s = rest
	} else {
		return Policy{}, false
	}
	s = strings.TrimLeft(s, " ")
	count := int64(1)
	if n, rest, counted := cutNumber(s); counted {
		count, s = n, strings.TrimLeft(rest, " ")
	}
	unit := unitOf(s)
	if unit == 0 || count > int64(maxPeriod/unit) {
		return Policy{}, false
	}
	return Policy{Limit: limit, Period: time.Duration(count) * unit}, true
}

// parseFormatted parses the notation of ulule/limiter, which also lets signs,
// leading zeros and letters through that only look like an S.
func parseFormatted(s string) (Policy, bool) {
	if _, rest, ok := cutNumber(s); !ok || len(rest) != len("-M") {
		return Policy{}, false
	}
	rate, err := limiter.NewRateFromFormatted(s)
	if err != nil {
		return Policy{}, false
	}
	return Policy{Limit: rate.Limit, Period: rate.Period}, true
}

// cutNumber cuts a number without sign and leading zeros off s.
func cutNumber(s string) (n int64, rest string, ok bool) {
	i := 0
	for i < len(s) && '0' <= s[i] && s[i] <= '9' {
		i++
	}
	if i == 0 || s[0] == '0' {
		return 0, s, false
	}
	n, err := strconv.ParseInt(s[:i], 10, 64)
	return n, s[i:], err == nil
}

func unitOf(s string) time.Duration {
	switch strings.ToLower(s) {
	case "ms", "millisecond", "milliseconds":
		return time.Millisecond
	case "s", "sec", "second", "seconds":
		return time.Second
	case "m", "min", "minute", "minutes":
		return time.Minute
	case "h", "hour", "hours":
		return time.Hour
	case "d", "day", "days":
		return 24 * time.Hour
	}
	return 0
}

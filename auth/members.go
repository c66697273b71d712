package auth

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-go/gatehouse/internal/report"
	"github.com/gatehouse-go/gatehouse/internal/strictjson"
)

// exact refuses members whose name differs from one of the names in nothing
// but case: a reader that folds case would take them for it.
func exact(m map[string]json.RawMessage, names []string) error {
	for have := range m {
		if !strings.ContainsFunc(have, func(c rune) bool { return 'A' <= c && c <= 'Z' || c >= utf8.RuneSelf }) {
			continue
		}
		if i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, have) }); i >= 0 {
			return report.Causef("%s is written in another case", names[i])
		}
	}
	return nil
}

// text returns a member that must be a string and not empty.
func text(m map[string]json.RawMessage, name string) (string, error) {
	if _, ok := m[name]; !ok {
		return "", report.Causef("%s is missing", name)
	}
	s, err := optionalText(m, name)
	if err == nil && s == "" {
		err = report.Causef("%s is empty", name)
	}
	return s, err
}

func optionalText(m map[string]json.RawMessage, name string) (string, error) {
	raw, ok := m[name]
	if !ok {
		return "", nil
	}
	s, ok := strictjson.Text(raw)
	if !ok {
		return "", report.Causef("%s is not a string", name)
	}
	return s, nil
}

func firstText(m map[string]json.RawMessage, names ...string) (string, error) {
	for _, name := range names {
		if s, err := optionalText(m, name); s != "" || err != nil {
			return s, err
		}
	}
	return "", nil
}

// list returns a member that is a string or an array of strings.
func list(m map[string]json.RawMessage, name string) ([]string, error) {
	raw, ok := m[name]
	if !ok {
		return nil, nil
	}
	if s, ok := strictjson.Text(raw); ok {
		return []string{s}, nil
	}
	values, ok := strictjson.Texts(raw)
	if !ok {
		return nil, report.Causef("%s is neither a string nor an array of strings", name)
	}
	return values, nil
}

package jsonbody_test

import (
	"net/http"
	"testing"

	"github.com/gatehouse-go/gatehouse/internal/jsonbody"
)

func TestCheckType(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		types []string
		want  string
	}{
		{[]string{"application/json"}, ""},
		{[]string{"application/json; charset=utf-8"}, ""},
		{[]string{`Application/JSON;charset="UTF-8"`}, ""},
		{[]string{"application/merge-patch+json"}, ""},
		{nil, "0 Content-Type headers"},
		{[]string{"application/json", "application/json"}, "2 Content-Type headers"},
		{[]string{"application/json;;"}, "Content-Type is malformed"},
		{[]string{"text/json"}, "Content-Type is not JSON"},
		{[]string{"application/+json"}, "Content-Type is not JSON"},
		{[]string{"application/jsonp"}, "Content-Type is not JSON"},
		{[]string{"application/json; charset=utf-16"}, "charset is not UTF-8"},
		{[]string{"application/json; charset="}, "Content-Type is malformed"},
	} {
		got := ""
		if err := jsonbody.CheckType(http.Header{"Content-Type": tt.types}); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("CheckType(%q) = %q, want %q", tt.types, got, tt.want)
		}
	}
}

func TestCoded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		codings []string
		want    bool
	}{
		{nil, false},
		{[]string{""}, false},
		{[]string{"Identity"}, false},
		{[]string{"gzip"}, true},
		{[]string{"identity", "br"}, true},
		{[]string{"identity, gzip"}, true},
	} {
		if got := jsonbody.Coded(http.Header{"Content-Encoding": tt.codings}); got != tt.want {
			t.Errorf("Coded(%q) = %t, want %t", tt.codings, got, tt.want)
		}
	}
}

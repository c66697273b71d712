package problem_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/internal/problem"
)

func write(method string, p problem.Problem) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	problem.Write(rec, httptest.NewRequest(method, "/", nil), p)
	return rec
}

func TestBody(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		p    problem.Problem
		want string
	}{
		{
			"defaults",
			problem.Problem{Status: http.StatusForbidden},
			`{"type":"about:blank","title":"Forbidden","status":403}`,
		},
		{
			"all members",
			problem.Problem{Status: http.StatusTeapot, Type: "https://example.com/tea", Title: "Short and stout", Detail: "No coffee."},
			`{"type":"https://example.com/tea","title":"Short and stout","status":418,"detail":"No coffee."}`,
		},
		{
			"extensions keep their order",
			problem.Problem{Status: http.StatusTooManyRequests, Extensions: []problem.Extension{{Name: "b", Value: 1}, {Name: "a", Value: []string{"x"}}}},
			`{"type":"about:blank","title":"Too Many Requests","status":429,"b":1,"a":["x"]}`,
		},
		{
			"texts as an extension",
			problem.Problem{Status: http.StatusTooManyRequests, Extensions: []problem.Extension{
				{Name: "none", Value: &[]string{}}, {Name: "two", Value: &[]string{"x", "<y>"}}, {Name: "nil", Value: (*[]string)(nil)},
			}},
			`{"type":"about:blank","title":"Too Many Requests","status":429,"none":[],"two":["x","\u003cy\u003e"],"nil":null}`,
		},
		{
			"an extension that does not marshal is left out",
			problem.Problem{Status: http.StatusTooManyRequests, Extensions: []problem.Extension{{Name: "f", Value: func() {}}, {Name: "a", Value: 1}}},
			`{"type":"about:blank","title":"Too Many Requests","status":429,"a":1}`,
		},
		{
			"markup, quotes and bytes that are not UTF-8",
			problem.Problem{Status: http.StatusBadRequest, Detail: "<b>\"&\xff", Extensions: []problem.Extension{{Name: `"`, Value: "<"}}},
			`{"type":"about:blank","title":"Bad Request","status":400,"detail":"\u003cb\u003e\"\u0026\ufffd","\"":"\u003c"}`,
		},
		{
			"status without a text",
			problem.Problem{Status: 499},
			`{"type":"about:blank","title":"","status":499}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			resp := write(http.MethodGet, tt.p)
			body := resp.Body.Bytes()
			// Go 1.27 no longer escapes U+FFFD.
			if got := strings.ReplaceAll(string(body), "\ufffd", `\ufffd`); got != tt.want+"\n" {
				t.Errorf("body = %s, want %s", got, tt.want)
			}
			if !json.Valid(body) {
				t.Error("body is not JSON")
			}
			if resp.Code != tt.p.Status {
				t.Errorf("status = %d, want %d", resp.Code, tt.p.Status)
			}
			if got, want := resp.Header().Get("Content-Length"), strconv.Itoa(len(body)); got != want {
				t.Errorf("Content-Length = %q, want %q", got, want)
			}
			for _, id := range []string{"", "01J", `"\n`} {
				r := httptest.NewRequest(http.MethodGet, "/", nil)
				if id != "" {
					r = r.WithContext(decision.NewContext(r.Context(), decision.NewRecord(id)))
				}
				plain, rendered := httptest.NewRecorder(), httptest.NewRecorder()
				problem.Write(plain, r, tt.p)
				problem.Render(tt.p).Write(rendered, r, 0, nil)
				if got, want := rendered.Body.String(), plain.Body.String(); got != want || rendered.Code != plain.Code || !maps.EqualFunc(rendered.Header(), plain.Header(), slices.Equal) {
					t.Errorf("rendered: %d %v %s, want as written: %d %v %s", rendered.Code, rendered.Header(), got, plain.Code, plain.Header(), want)
				}
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	rec := httptest.NewRecorder()
	h := rec.Header()
	gone := []string{"Content-Encoding", "Content-Range", "Content-Language", "Content-Disposition", "Etag", "Last-Modified", "Trailer", "Accept-Ranges", "Expires"}
	for _, name := range gone {
		h.Set(name, "of another body")
	}
	h.Set("WWW-Authenticate", "Bearer")
	h.Set("Cache-Control", "max-age=60")
	h.Set("Content-Type", "text/html")
	problem.Write(rec, httptest.NewRequest(http.MethodGet, "/", nil), problem.Problem{Status: http.StatusUnauthorized})
	got := rec.Header()
	for _, name := range gone {
		if v, ok := got[name]; ok {
			t.Errorf("%s = %q, want none", name, v)
		}
	}
	for name, want := range map[string]string{
		"WWW-Authenticate":       "Bearer",
		"Cache-Control":          "no-store",
		"Content-Type":           "application/problem+json",
		"X-Content-Type-Options": "nosniff",
	} {
		if v := got.Get(name); v != want {
			t.Errorf("%s = %q, want %q", name, v, want)
		}
	}
}

func TestHeadHasNoBody(t *testing.T) {
	t.Parallel()
	get, head := write(http.MethodGet, problem.Problem{Status: 404}), write(http.MethodHead, problem.Problem{Status: 404})
	if head.Body.Len() > 0 {
		t.Errorf("body = %q, want none", head.Body)
	}
	if got, want := head.Header().Get("Content-Length"), get.Header().Get("Content-Length"); got != want {
		t.Errorf("Content-Length = %q, want that of GET, %q", got, want)
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r = r.WithContext(decision.NewContext(r.Context(), decision.NewRecord("abc")))
	rec := httptest.NewRecorder()
	problem.Write(rec, r, problem.Problem{Status: 404})
	var got struct {
		RequestID string `json:"request_id"`
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || got.RequestID != "abc" {
		t.Errorf("request_id = %q, %v; want abc", got.RequestID, err)
	}
}

type statusError int

func (e statusError) Error() string   { return "secret" }
func (e statusError) StatusCode() int { return int(e) }

func TestStatus(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		err  error
		want int
	}{
		{"no status", errors.New("x"), 503},
		{"nil", nil, 503},
		{"status", statusError(422), 422},
		{"wrapped", fmt.Errorf("x: %w", statusError(404)), 404},
		{"joined", errors.Join(errors.New("x"), statusError(409)), 409},
		{"a success is not an error", statusError(200), 503},
		{"a redirect is not an error", statusError(302), 503},
		{"not a status", statusError(600), 503},
		{"zero", statusError(0), 503},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := problem.Status(tt.err, 503); got != tt.want {
				t.Errorf("Status = %d, want %d", got, tt.want)
			}
		})
	}
}

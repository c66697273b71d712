package problem_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/internal/problem"
)

// FuzzBody: the body is what encoding/json makes of the same members.
func FuzzBody(f *testing.F) {
	f.Add("", "", "", "", 403)
	f.Add("https://example.com/tea", "Short <and> stout", "say \"no\"\n", "id-1", 418)
	f.Add("\xff", "\u2028", "\x7f\\", "\x00", 599)
	f.Fuzz(func(t *testing.T, typ, title, detail, requestID string, status int) {
		if status < 400 || status > 599 || requestID == "" || typ == "" || title == "" || detail == "" {
			return
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		ctx := decision.NewContext(r.Context(), decision.NewRecord(requestID))
		w := httptest.NewRecorder()
		problem.Write(w, r.WithContext(ctx), problem.Problem{Status: status, Type: typ, Title: title, Detail: detail})
		want, err := json.Marshal(struct {
			Type      string `json:"type"`
			Title     string `json:"title"`
			Status    int    `json:"status"`
			Detail    string `json:"detail"`
			RequestID string `json:"request_id"`
		}{typ, title, status, detail, decision.RequestID(ctx)})
		if err != nil {
			t.Fatal(err)
		}
		if got := bytes.TrimSuffix(w.Body.Bytes(), []byte("\n")); !bytes.Equal(got, want) {
			t.Errorf("body = %s, want %s", got, want)
		}
	})
}

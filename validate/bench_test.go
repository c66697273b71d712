package validate_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/validate"
)

type (
	address struct {
		Street  string `json:"street" validate:"required,max=100"`
		City    string `json:"city" validate:"required,max=100"`
		Zip     string `json:"zip" validate:"required,min=4,max=10"`
		Country string `json:"country" validate:"required,len=2,uppercase"`
	}
	line struct {
		SKU      string  `json:"sku" validate:"required,min=3,max=40"`
		Name     string  `json:"name" validate:"required,max=200"`
		Qty      int     `json:"qty" validate:"min=1,max=1000"`
		Price    float64 `json:"price" validate:"gt=0"`
		Currency string  `json:"currency" validate:"oneof=EUR USD"`
		Note     string  `json:"note" validate:"max=500"`
	}
	purchase struct {
		ID       string   `json:"id" validate:"required,uuid"`
		Email    string   `json:"email" validate:"required,email"`
		Phone    string   `json:"phone" validate:"omitempty,e164"`
		Billing  address  `json:"billing"`
		Shipping address  `json:"shipping"`
		Lines    []line   `json:"lines" validate:"min=1,max=50,dive"`
		Tags     []string `json:"tags" validate:"max=10,dive,max=30"`
		Priority int      `json:"priority" validate:"min=0,max=9"`
	}
)

const purchaseLine = `{"sku":"SKU-12345","name":"A thing of a certain use","qty":3,"price":19.99,"currency":"EUR","note":"please wrap it in paper"}`

const validPurchase = `{"id":"7f1e9c1e-6b0a-4b57-9c6f-0c0b6d5b8a11","email":"alice@example.com","phone":"+4930123456",` +
	`"billing":{"street":"Long Street 17","city":"Berlin","zip":"10115","country":"DE"},` +
	`"shipping":{"street":"Other Street 4, 3rd floor left","city":"Berlin","zip":"10117","country":"DE"},` +
	`"lines":[` + purchaseLine + `,` + purchaseLine + `,` + purchaseLine + `],"tags":["gift","express","repeat customer"],"priority":5}`

func BenchmarkBody(b *testing.B) {
	v := newValidator(b, validate.Config{})
	purchases := validate.Body[purchase](v)(http.HandlerFunc(noContent))
	broken := strings.NewReplacer(
		`alice@example.com`, `alice`, `"zip":"10115"`, `"zip":"1"`, `"zip":"10117"`, `"zip":7`,
		`"priority":5`, `"priority":10,"admin":true`, `"tags":["gift"`, `"tags":["`+strings.Repeat("x", 31)+`"`,
	).Replace(validPurchase)
	for _, bb := range []struct {
		name string
		h    http.Handler
		body string
		want int
	}{
		{"valid 1 KB", purchases, validPurchase, 204},
		{"six faults", purchases, broken, 422},
		{"not JSON", purchases, validPurchase[:500], 400},
		{"deep", purchases, strings.Repeat("[", 30_000), 400},
		{"many values", purchases, "[" + strings.Repeat("0,", 30_000) + "0]", 400},
		{"10,000 faults", validate.Body[[]int8](v)(http.HandlerFunc(noContent)), "[" + strings.Repeat("999,", 9_998) + "9]", 422},
		{"Handler 1 KB", v.Handler(http.HandlerFunc(noContent)), validPurchase, 204},
	} {
		b.Run(bb.name, func(b *testing.B) {
			run(b, bb.h, bb.body, int64(len(bb.body)), bb.want)
		})
	}
	b.Run("oversize, told", func(b *testing.B) { run(b, purchases, validPurchase, 2<<20, 413) })
	b.Run("oversize, chunked", func(b *testing.B) { run(b, purchases, strings.Repeat(" ", 2<<20), -1, 413) })
}

func run(b *testing.B, h http.Handler, body string, length int64, want int) {
	b.Helper()
	reader := strings.NewReader(body)
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.Header.Set("Content-Type", "application/json")
	r.ContentLength = length
	b.ReportAllocs()
	for b.Loop() {
		reader.Reset(body)
		r.Body = readCloser{reader}
		w := sink{header: make(http.Header, 8)}
		h.ServeHTTP(&w, r)
		if w.status != want {
			b.Fatalf("status = %d, want %d", w.status, want)
		}
	}
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) WriteHeader(status int)      { s.status = status }

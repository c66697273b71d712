package sanitize_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/sanitize"
)

const prose = "Please ring twice and leave the parcel with the neighbours on the second floor, thank you. "

func BenchmarkClean(b *testing.B) {
	s := newSanitizer(b, sanitize.Config{})
	for _, in := range []struct{ name, text string }{
		{"clean_9B", "second fl"},
		{"clean_1KB", strings.Repeat(prose, 12)[:1024]},
		{"clean_1KB_persian", strings.Repeat("می\u200cخواهم کتاب\u200cها را ", 26)},
		{"dirty_1KB", strings.Repeat(`Please <b onclick="x()">ring</b> <script>x</script> & leave it `, 17)[:1024]},
		{"hostile_1KB", strings.Repeat("<", 341) + strings.Repeat("b>", 341)},
	} {
		for _, p := range policies[:3] {
			b.Run(in.name+"/"+p.name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(in.text)))
				for b.Loop() {
					s.Clean(p.policy, in.text)
				}
			})
		}
	}
}

func orders(note string) string {
	var doc strings.Builder
	doc.WriteString(`{"items":[`)
	for doc.Len() < 10<<10 {
		doc.WriteString(`{"sku":"AB-1234","qty":3,"price":12.5,"note":"` + note + `","tags":["red","blue"],"gift":true},`)
	}
	doc.WriteString(`null]}`)
	return doc.String()
}

func BenchmarkJSON(b *testing.B) {
	s := newSanitizer(b, sanitize.Config{})
	fields := newSanitizer(b, sanitize.Config{Fields: map[string]sanitize.Policy{"/items/*/note": sanitize.Plain}})
	for _, in := range []struct {
		name string
		s    *sanitize.Sanitizer
		doc  string
	}{
		{"clean_10KB", s, orders(prose)},
		{"clean_10KB_escapes", s, orders(`it's \"fine\" <3\n`)},
		{"clean_10KB_fields", fields, orders(`<b>\n`)},
		{"dirty_10KB", s, orders(`<b>x</b>`)},
		{"hostile_10KB", s, strings.Repeat("[", 10<<10)},
	} {
		doc := []byte(in.doc)
		b.Run(in.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(doc)))
			for b.Loop() {
				_ = in.s.CheckJSON(doc)
			}
		})
	}
}

func BenchmarkHandler(b *testing.B) {
	s := newSanitizer(b, sanitize.Config{})
	h := s.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, in := range []struct{ name, contentType, doc string }{
		{"admitted_10KB", "application/json", orders(prose)},
		{"refused_10KB", "application/json", orders("<b>")},
		{"refused_type", "text/html", orders(prose)},
	} {
		b.Run(in.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(in.doc))
				r.Header.Set("Content-Type", in.contentType)
				h.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}

func BenchmarkCleanStruct(b *testing.B) {
	s := newSanitizer(b, sanitize.Config{})
	v := fill("second floor")
	b.ReportAllocs()
	for b.Loop() {
		if err := s.CleanStruct(b.Context(), v); err != nil {
			b.Fatal(err)
		}
	}
}

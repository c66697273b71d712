package sanitize_test

import (
	"context"
	"fmt"
	"html"
	"html/template"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/microcosm-cc/bluemonday"

	"github.com/gatehouse-go/gatehouse/sanitize"
)

type NewOrder struct {
	Item     string
	Note     string `sanitize:"text"`
	Review   string `sanitize:"ugc"`
	Password string `sanitize:"-"`
}

func ExampleSanitizer_CleanStruct() {
	cleaner, err := sanitize.New(sanitize.Config{})
	if err != nil {
		panic(err)
	}
	order := NewOrder{
		Item:     "List<String>\x00",
		Note:     `<script>alert(1)</script>Ring twice & say "hi" <3`,
		Review:   `<b onclick="alert(1)">good</b>`,
		Password: "pa<ss>w&rd",
	}
	if err := cleaner.CleanStruct(context.Background(), &order); err != nil {
		panic(err)
	}
	fmt.Println(order.Item)
	fmt.Println(order.Note)
	fmt.Println(order.Review)
	fmt.Println(order.Password)
	// Output:
	// List<String>
	// Ring twice & say "hi" <3
	// <b>good</b>
	// pa<ss>w&rd
}

func ExampleSanitizer_Handler() {
	cleaner, err := sanitize.New(sanitize.Config{
		Fields: map[string]sanitize.Policy{"/password": sanitize.Plain},
	})
	if err != nil {
		panic(err)
	}
	h := cleaner.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}))
	for _, body := range []string{
		`{"note":"Ring twice & say \"hi\" <3","password":"pa<ss>w&rd"}`,
		`{"note":"<script>alert(1)</script>","password":"pa<ss>w&rd"}`,
	} {
		r := httptest.NewRequest(http.MethodPost, "/orders", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Println(strings.TrimSpace(fmt.Sprint(w.Code, w.Body)))
	}
	// Output:
	// 204
	// 422 {"type":"about:blank","title":"Unprocessable Entity","status":422,"detail":"The body holds what this resource does not accept.","errors":[{"pointer":"#/note","code":"markup","detail":"Must not hold markup."}]}
}

func ExampleSanitizer_Clean() {
	cleaner, err := sanitize.New(sanitize.Config{})
	if err != nil {
		panic(err)
	}
	const in = `<script>alert(1)</script><b>Ben</b> & Jerry's`
	fmt.Println(cleaner.Clean(sanitize.Plain, in))
	fmt.Println(cleaner.Clean(sanitize.Text, in))
	fmt.Println(cleaner.Clean(sanitize.UGC, in))
	// Output:
	// <script>alert(1)</script><b>Ben</b> & Jerry's
	// Ben & Jerry's
	// <b>Ben</b> &amp; Jerry&#39;s
}

// What was cleaned is put into a page like any other text: html/template
// encodes it for the place where it stands.
func ExampleSanitizer_Clean_output() {
	cleaner, err := sanitize.New(sanitize.Config{})
	if err != nil {
		panic(err)
	}
	page := template.Must(template.New("page").Parse("<a title={{.}} href={{.}}>{{.}}</a>\n"))
	note := cleaner.Clean(sanitize.Text, `javascript:alert(1) onclick=alert(1) <b>x</b>`)
	if err := page.Execute(os.Stdout, note); err != nil {
		panic(err)
	}
	// Output:
	// <a title=javascript:alert(1)&#32;onclick&#61;alert(1)&#32;x href=#ZgotmplZ>javascript:alert(1) onclick=alert(1) x</a>
}

// Decoding what was cleaned brings back what was removed. Text does not encode
// in the first place, so there is nothing to decode.
func ExampleSanitizer_Clean_incorrect() {
	cleaner, err := sanitize.New(sanitize.Config{})
	if err != nil {
		panic(err)
	}
	const in = `&lt;img src=x onerror=alert(1)&gt;`
	fmt.Println("wrong:", html.UnescapeString(cleaner.Clean(sanitize.Strip, in)))
	fmt.Println("right:", cleaner.Clean(sanitize.Text, in))
	// Output:
	// wrong: <img src=x onerror=alert(1)>
	// right: &lt;img src=x onerror=alert(1)&gt;
}

// No policy makes a string fit for a statement. With a placeholder every
// string is fit for it.
func ExampleSanitizer_Clean_incorrectSQL() {
	cleaner, err := sanitize.New(sanitize.Config{})
	if err != nil {
		panic(err)
	}
	owner := cleaner.Clean(sanitize.Text, `' OR 1=1--`)
	fmt.Println("wrong:", "SELECT * FROM orders WHERE owner = '"+owner+"'")
	fmt.Println("right:", "SELECT * FROM orders WHERE owner = ?", []any{owner})
	// Output:
	// wrong: SELECT * FROM orders WHERE owner = '' OR 1=1--'
	// right: SELECT * FROM orders WHERE owner = ? [' OR 1=1--]
}

func ExampleCheckTags() {
	type Comment struct {
		Body string `sanitize:"html"`
	}
	fmt.Println(sanitize.CheckTags[Comment]())
	// Output:
	// sanitize: sanitize_test.Comment.Body has the tag "html", want plain, text, ugc, strip or -
}

func ExampleCustom() {
	cleaner, err := sanitize.New(sanitize.Config{})
	if err != nil {
		panic(err)
	}
	emphasis := sanitize.Custom(bluemonday.NewPolicy().AllowElements("b", "i"))
	fmt.Println(cleaner.Clean(emphasis, `<b>a</b> <u>b</u>`))
	// Output:
	// <b>a</b> b
}

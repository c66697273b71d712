package validate_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/go-playground/validator/v10"

	"github.com/gatehouse-go/gatehouse/validate"
)

type NewOrder struct {
	Customer string `json:"customer" validate:"required,min=3"`
	Items    []Item `json:"items" validate:"min=1,max=100,dive"`
}

type Item struct {
	SKU string `json:"sku" validate:"required"`
	Qty int    `json:"qty" validate:"min=1,max=100"`
}

func send(h http.Handler, body string) {
	r := httptest.NewRequest(http.MethodPost, "/orders", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Print(w.Code, " ", w.Body)
}

func ExampleBody() {
	input, err := validate.New(validate.Config{})
	if err != nil {
		panic(err)
	}
	create := func(w http.ResponseWriter, r *http.Request) {
		order, ok := validate.FromContext[NewOrder](r.Context())
		if !ok { // this route was built without Body
			http.Error(w, "no order", http.StatusInternalServerError)
			return
		}
		_, _ = fmt.Fprintf(w, "%s orders %d\n", order.Customer, order.Items[0].Qty)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /orders", validate.Body[NewOrder](input)(http.HandlerFunc(create)))

	send(mux, `{"customer":"alice","items":[{"sku":"A-1","qty":2}]}`)
	send(mux, `{"customer":"al","items":[{"sku":"A-1","qty":"2"}],"admin":true}`)
	// Output:
	// 200 alice orders 2
	// 422 {"type":"about:blank","title":"Unprocessable Entity","status":422,"detail":"The body does not have the form that this resource expects.","errors":[{"pointer":"#/items/0/qty","code":"type","detail":"must be a whole number"},{"pointer":"#/admin","code":"unknown","detail":"is not a member that is known here"},{"pointer":"#/customer","code":"min","param":"3","detail":"must be at least 3 characters long"}]}
}

// Routes without a dive to the rules of their elements would check nothing, so
// they cannot be built.
func ExampleBody_incorrect() {
	input, err := validate.New(validate.Config{})
	if err != nil {
		panic(err)
	}
	defer func() { fmt.Println(recover()) }()
	validate.Body[struct {
		Items []Item `json:"items" validate:"required"`
	}](input)
	// Output:
	// validate: struct { Items []validate_test.Item "json:\"items\" validate:\"required\"" }.Items is a []validate_test.Item with rules beneath it, want dive in its validate tag
}

func ExampleValidator_Handler() {
	input, err := validate.New(validate.Config{MaxBytes: 64})
	if err != nil {
		panic(err)
	}
	ok := func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") }
	h := input.Handler(http.HandlerFunc(ok))

	send(h, `{"event":"paid"}`)
	send(h, `{"event":"paid","event":"refunded"}`)
	// Output:
	// 200 ok
	// 422 {"type":"about:blank","title":"Unprocessable Entity","status":422,"detail":"The body does not have the form that this resource expects.","errors":[{"pointer":"#/event","code":"duplicate","detail":"occurs more than once"}]}
}

func ExampleNew_afterDecode() {
	input, err := validate.New(validate.Config{
		AfterDecode: func(_ context.Context, v any) error {
			if o, ok := v.(*NewOrder); ok {
				o.Customer = strings.TrimSpace(o.Customer)
			}
			return nil
		},
	})
	if err != nil {
		panic(err)
	}
	var order NewOrder
	err = input.Decode(context.Background(), []byte(`{"customer":"  al  ","items":[{"sku":"A-1","qty":2}]}`), &order)
	fmt.Println(err)
	// Output: validate: rule: min #/customer
}

func ExampleNew_register() {
	input, err := validate.New(validate.Config{
		Register: func(v *validator.Validate) error {
			return v.RegisterValidation("even", func(fl validator.FieldLevel) bool { return fl.Field().Int()%2 == 0 })
		},
	})
	if err != nil {
		panic(err)
	}
	var pair struct {
		Count int `json:"count" validate:"even"`
	}
	err = input.Decode(context.Background(), []byte(`{"count":3}`), &pair)
	if e, ok := errors.AsType[*validate.Error](err); ok {
		fmt.Println(e.StatusCode(), e.Faults[0].Pointer, e.Faults[0].Detail)
	}
	// Output: 422 #/count does not satisfy the rule "even"
}

// Handlers behind Body are tested with the value that they would get.
func ExampleNewContext() {
	r := httptest.NewRequest(http.MethodPost, "/orders", nil)
	r = r.WithContext(validate.NewContext(r.Context(), &NewOrder{Customer: "alice"}))
	order, ok := validate.FromContext[NewOrder](r.Context())
	fmt.Println(order.Customer, ok)
	// Output: alice true
}

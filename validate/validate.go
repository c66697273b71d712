// Package validate answers one question: is the input what we expect?
//
// A [Validator] refuses request bodies that are not what a route expects
// before the route's handler runs. [Body] decodes a JSON body into a T, once
// and strictly, checks the rules of the T's validate tags, and hands the T on:
//
//	type NewOrder struct {
//		Customer string `json:"customer" validate:"required,min=3"`
//		Items    []Item `json:"items" validate:"min=1,max=100,dive"`
//	}
//
//	input, err := validate.New(validate.Config{AfterDecode: cleaner.CleanStruct})
//	…
//	mux.Handle("POST /orders", validate.Body[NewOrder](input)(http.HandlerFunc(create)))
//
//	func create(w http.ResponseWriter, r *http.Request) {
//		order, ok := validate.FromContext[NewOrder](r.Context())
//		…
//
// The tags are those of github.com/go-playground/validator/v10; the decoder is
// github.com/go-json-experiment/json, the mirror of encoding/json/v2. Unlike
// encoding/json it takes names as they are written: a field without a json tag
// is the member with the field's own name, capital included. It has no form for
// a time.Duration, which is therefore refused when the route is built.
//
// # What it protects against
//
// Bodies that two parsers read differently: the value that was checked is the
// value that the handler gets, and member names that are unknown, that occur
// twice or that differ in case, invalid UTF-8 and data behind the document are
// refused. Bodies that cost too much: each has a limit of bytes, of depth and
// of values, and so has the answer that describes its faults. Tags that do not
// do what they say: those that do not parse, do not fit their Go type, or stand
// where no dive leads to, are refused when the route is built; so are rules
// that would look at the server's own files.
//
// # What is answered
//
// A problem (RFC 9457) that lists every fault at once, with the place, a code
// and an English sentence, and never a value that was sent:
//
//	{"type":"about:blank","title":"Unprocessable Entity","status":422,
//	 "detail":"The body does not have the form that this resource expects.",
//	 "errors":[{"pointer":"#/items/0/qty","code":"max","param":"100","detail":"must be at most 100"}]}
//
// Places are JSON Pointers (RFC 6901) as URI fragments (its section 6, and the
// example in RFC 9457 section 3): #/a%20b is the member "a b". They name what
// the client sent; a path too long to show is cut after the last whole name
// that fits. The status is 400 for a body that is missing, is not JSON or goes
// beyond a limit of its structure, 413 for one with too many bytes, 415 for one
// of another type, charset or coding, and 422 for JSON with the wrong members,
// types or values.
//
// # What it does not
//
// It does not make text harmless (package sanitize), and no rule replaces SQL
// parameters or output encoding. It reads bodies, not paths, queries, headers
// or forms. A null is as good as an absent member: either leaves the zero
// value, and required refuses both, as it refuses 0, false and "" (use a
// pointer where those are meant). A null element of a []*T is a nil pointer
// unless the tag says dive,required.
//
// # Where it stands
//
// Last before the handler, behind authentication and authorization: a body is
// read only for those who may send it. Handlers, and further layers, may read
// the body again: it is there byte for byte, as for signatures it must be.
package validate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-playground/validator/v10"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/internal/pass"
	"github.com/gatehouse-go/gatehouse/internal/report"
)

const (
	defaultMaxBytes  = 1 << 20
	defaultMaxDepth  = 32
	defaultMaxValues = 10_000
	defaultMaxErrors = 20

	// depthCeiling is the highest MaxDepth: the scan keeps a number for each
	// level, and the decoder a stack frame or three.
	depthCeiling = 256

	// errorsCeiling is the highest MaxErrors: an answer has no room for more.
	errorsCeiling = 100

	// maxPath is the most bytes that the member names on the way to one value
	// may have together, where rules stand behind the keys of a map. The engine
	// spells out the whole way for each value that breaks a rule: without a
	// bound, one long key in front of many values costs gigabytes.
	maxPath = 2 << 10
)

// Config configures a [Validator]. Nothing is required; a zero field means the
// strictest behaviour.
type Config struct {
	_ [0]func() // keyed literals only

	// MaxBytes limits the body. If zero, it is 1 MiB.
	MaxBytes int64

	// MaxDepth limits how deep objects and arrays are nested, 256 at most. If
	// zero, it is 32.
	MaxDepth int

	// MaxValues limits how many members and elements there are altogether. If
	// zero, it is 10,000.
	MaxValues int

	// MaxErrors limits how many faults an answer lists, 100 at most. If zero, it
	// is 20. However many they are, an answer of WriteError has at most 16 KiB.
	MaxErrors int

	// AllowUnknown ignores members that T does not have, instead of refusing
	// them. A handler never sees them, but whoever reads the body again does.
	AllowUnknown bool

	// AfterDecode is called with a pointer to each decoded T, before the rules
	// are checked: to clean it, for instance. Its error refuses the request,
	// with the status of its StatusCode() int, otherwise with 500.
	//
	// It also sees the T of a body that is refused anyway, whose faulty members
	// are left at their zero value, so that the rules' faults are told together
	// with the others; its error is not looked at then. It should have no effect
	// but on the T.
	AfterDecode func(ctx context.Context, v any) error

	// Register is called once by New, to register further tags, aliases and
	// struct-level rules. The tag's name stays validate, and names of fields
	// stay those of JSON, whatever it sets. A rule must not stop working when it
	// gets any value of its type; one that panics is answered with 500.
	Register func(v *validator.Validate) error

	// OnDecision is called with each decision, also without an audit trail.
	OnDecision func(ctx context.Context, d decision.Decision)

	// ErrorHandler answers refused requests; err is an *Error. If nil, it is
	// WriteError.
	ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)

	// Logger is told of each refusal. If nil, nothing is logged.
	Logger *slog.Logger
}

// A Validator checks request bodies. It is safe for concurrent use.
type Validator struct {
	maxBytes     int64
	maxDepth     int
	maxValues    int
	maxErrors    int
	allowUnknown bool
	afterDecode  func(ctx context.Context, v any) error
	engine       *validator.Validate
	strict       json.Options // of the decoder
	customTypes  bool         // Register may have given types a meaning for string rules
	shapes       sync.Map     // reflect.Type → *shape, for the types of Body and Decode
	report       *report.Reporter
	onError      func(w http.ResponseWriter, r *http.Request, err error)
}

// New returns a Validator that behaves in accordance with cfg.
// The error, if any, joins every mistake found in cfg.
func New(cfg Config) (*Validator, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("validate: "+format, args...)) }
	if cfg.MaxBytes < 0 {
		bad("MaxBytes is %d, want 0 or more", cfg.MaxBytes)
	}
	if cfg.MaxDepth < 0 || cfg.MaxDepth > depthCeiling {
		bad("MaxDepth is %d, want 0 to %d", cfg.MaxDepth, depthCeiling)
	}
	if cfg.MaxValues < 0 {
		bad("MaxValues is %d, want 0 or more", cfg.MaxValues)
	}
	if cfg.MaxErrors < 0 || cfg.MaxErrors > errorsCeiling {
		bad("MaxErrors is %d, want 0 to %d", cfg.MaxErrors, errorsCeiling)
	}
	engine, err := newEngine(cfg.Register)
	if err != nil {
		bad("Register %w", err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	v := &Validator{
		maxBytes:     orDefault(cfg.MaxBytes, defaultMaxBytes),
		maxDepth:     orDefault(cfg.MaxDepth, defaultMaxDepth),
		maxValues:    orDefault(cfg.MaxValues, defaultMaxValues),
		maxErrors:    orDefault(cfg.MaxErrors, defaultMaxErrors),
		allowUnknown: cfg.AllowUnknown,
		afterDecode:  cfg.AfterDecode,
		engine:       engine,
		strict:       json.RejectUnknownMembers(!cfg.AllowUnknown),
		customTypes:  cfg.Register != nil,
		report:       report.New("validate", cfg.Logger, cfg.OnDecision),
		onError:      cfg.ErrorHandler,
	}
	if v.onError == nil {
		v.onError = WriteError
	}
	return v, nil
}

func orDefault[N int | int64](n, fallback N) N {
	if n == 0 {
		return fallback
	}
	return n
}

// Handler lets only requests through whose body, if they have one, is a JSON
// document within the limits, without members that occur twice. It is for
// routes that decode for themselves; those behind [Body] do not need it. It
// panics if v is nil.
func (v *Validator) Handler(next http.Handler) http.Handler {
	if v == nil {
		panic("validate: Handler of a nil *Validator")
	}
	const rule = "json"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		doc, err := v.read(w, r)
		if err != nil && err.Reason == ReasonEmpty {
			v.report.Decision(ctx, decision.Decision{Effect: decision.Allow, Rule: rule, Reason: ReasonEmpty})
			v.pass(ctx, next, w, r, doc)
			return
		}
		if err == nil {
			err = v.check(doc.bytes)
		}
		if err != nil {
			v.refuse(w, r, rule, err)
			return
		}
		doc.scannedBy = v
		v.report.Decision(ctx, decision.Decision{Effect: decision.Allow, Rule: rule, Reason: reasonValid})
		v.pass(ctx, next, w, r, doc)
	})
}

// Body returns a middleware that lets only requests through whose body is a
// JSON document that decodes into a T and keeps its rules, and puts the T into
// their context for [FromContext]. It panics if v is nil, if T is a pointer or
// cannot be decoded, if a validate tag in T does not parse or does not fit its
// field, and if rules stand beneath a slice or map without a dive to them.
func Body[T any](v *Validator) func(http.Handler) http.Handler {
	if v == nil {
		panic("validate: Body with a nil *Validator")
	}
	s, err := v.shape(reflect.TypeFor[T]())
	if err != nil {
		panic(err.Error())
	}
	rule := s.root.typ.String()
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx := r.Context()
			value := new(T)
			doc, err := v.read(w, r)
			if err == nil {
				err = v.decode(ctx, s, doc.bytes, doc.scannedBy == v, value)
			}
			if err != nil {
				v.refuse(w, r, rule, err)
				return
			}
			v.report.Decision(ctx, decision.Decision{Effect: decision.Allow, Rule: rule, Reason: reasonValid})
			v.pass(NewContext(ctx, value), next, w, r, doc)
		})
	}
}

// Check tells whether the document is one that Handler lets through. The error
// is an *Error.
func (v *Validator) Check(doc []byte) error {
	if int64(len(doc)) > v.maxBytes {
		return v.tooLarge()
	}
	if err := v.check(doc); err != nil {
		return err
	}
	return nil
}

// Decode decodes, cleans and checks a document as Body does, for those that do
// not come as a request's body. The target is a non-nil pointer to a zero T;
// what it points to must not be used if there is an error. The error is an
// *Error, unless the T is one with which Body panics.
func (v *Validator) Decode(ctx context.Context, doc []byte, target any) error {
	t := reflect.TypeOf(target)
	if t == nil || t.Kind() != reflect.Pointer || reflect.ValueOf(target).IsNil() {
		return fmt.Errorf("validate: Decode into a %T, want a pointer that is not nil", target)
	}
	s, err := v.shape(t.Elem())
	if err != nil {
		return err
	}
	if int64(len(doc)) > v.maxBytes {
		return v.tooLarge()
	}
	if err := v.decode(ctx, s, doc, false, target); err != nil {
		return err
	}
	return nil
}

func (v *Validator) refuse(w http.ResponseWriter, r *http.Request, rule string, err *Error) {
	h := w.Header()
	switch err.Reason {
	case ReasonMediaType:
		h.Set("Accept", "application/json") // RFC 9110 section 15.5.16
	case ReasonEncoding:
		h.Set("Accept-Encoding", "identity")
	}
	v.report.Decision(r.Context(), decision.Decision{
		Effect: decision.Deny, Rule: rule, Reason: err.Reason, Detail: err.detail(), Status: err.StatusCode(),
	})
	v.onError(w, r, err)
}

// pass hands r on with its body put back. The request of the caller keeps the
// body that it has, as middleware must not change it.
func (v *Validator) pass(ctx context.Context, next http.Handler, w http.ResponseWriter, r *http.Request, doc *document) {
	inner := r.WithContext(ctx)
	if doc != nil {
		inner.Body = doc.body()
	}
	defer func() {
		if inner.Pattern != "" {
			r.Pattern = inner.Pattern
		}
		if inner.MultipartForm != nil {
			r.MultipartForm = inner.MultipartForm
		}
	}()
	pass.On(next, w, inner)
}

// contextKey is a key for each T, so that layers with different types on one
// route do not hide each other's.
type contextKey[T any] struct{}

// NewContext returns a context that carries value. It is also how users test
// handlers behind Body.
func NewContext[T any](ctx context.Context, value *T) context.Context {
	return context.WithValue(ctx, contextKey[T]{}, value)
}

// FromContext returns the T that Body decoded. It returns false when there is
// none, which means that no Body[T] stands before the handler.
func FromContext[T any](ctx context.Context) (*T, bool) {
	value, _ := ctx.Value(contextKey[T]{}).(*T)
	return value, value != nil
}

// Package sanitize removes from text what it has no business to hold. It
// cannot make text safe to put anywhere.
//
// # What cleaning cannot do
//
// Whether a string is harmful depends on where it is put, and only the code
// that puts it there knows. Cleaned or not:
//
//   - Into HTML it goes through [html/template], which encodes for the place it
//     stands in.
//   - Into SQL it goes as a placeholder's argument, never by concatenation: no
//     policy here touches ' OR 1=1--, which is also how some people write.
//   - Into a URL, a shell, a log, a CSV cell, a mail header it goes through
//     that place's own encoder.
//
// 4,499 known attack strings, each put into a page in a real browser
// (Chromium 156), ran their script as follows:
//
//	nothing done, HTML body                               1,131 of 4,499
//	bluemonday's strict policy, HTML body                     0
//	bluemonday's strict policy, unquoted attribute           17
//	bluemonday's strict policy, href="…"                     49
//	the same with html.UnescapeString afterwards             14, in the HTML body
//	html.EscapeString, unquoted attribute                   213
//	html/template with the raw strings, seven contexts        0
//
// (The policies are bluemonday's own, not those of this package: Text and UGC
// here are tested with a parser and not with a browser.)
//
// So cleaning holds in the one place it was made for and fails in the next,
// cleaning undone is worse than it looks, and encoding at the place itself
// holds everywhere, also for what was never cleaned. Clean so that stored text
// is what people meant to write; encode so that it can do no harm.
//
// # What it is for
//
// A [Sanitizer] cleans by [Policy]: [Plain] for any string, [Text] for text
// that people read, [UGC] for the HTML of an editor. It cleans decoded input by
// struct tag, and it refuses raw JSON that would need cleaning:
//
//	type NewOrder struct {
//		Item     string // untagged: Plain
//		Note     string `sanitize:"text"`
//		Password string `sanitize:"-"`
//	}
//	…
//	cleaner, err := sanitize.New(sanitize.Config{})
//	…
//	err = sanitize.CheckTags[NewOrder]() // at start-up
//	…
//	input, err := validate.New(validate.Config{AfterDecode: cleaner.CleanStruct})
//
// It protects against stored markup, against controls that forge lines and
// drive terminals, and against direction overrides that make text read other
// than it is. Two things undo that: changing text after it was cleaned
// (normalise before: NFKC makes < of the full-width U+FF1C), and decoding it
// once more (&lt;script&gt; is text, and remains so until somebody decodes it).
//
// # What it does not
//
// It does not tell letters apart that look alike, and does not judge what
// people say. It reads JSON only, and strings only: []byte, and with it
// [encoding/json.RawMessage], stay as they are.
//
// # Where it stands
//
// CleanStruct stands between decoding and validation, so that rules judge what
// is stored. Handler stands behind authentication, on routes that take JSON
// and decode it themselves, or that pass it on; what it lets through is
// byte-identical, so a signature over the body still holds.
package sanitize

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"

	"github.com/microcosm-cc/bluemonday"

	"github.com/gatehouse-go/gatehouse/audit/decision"
	"github.com/gatehouse-go/gatehouse/internal/jsonbody"
	"github.com/gatehouse-go/gatehouse/internal/pass"
	"github.com/gatehouse-go/gatehouse/internal/report"
	"github.com/gatehouse-go/gatehouse/internal/respwriter"
)

const (
	defaultMaxBytes = 1 << 20

	// firstRead is the most that is allocated on a client's word alone, before
	// the bytes that it announced have come.
	firstRead = 64 << 10
)

// Config configures a [Sanitizer]. Every field may be zero, which means the
// strictest behaviour.
type Config struct {
	_ [0]func() // keyed literals only

	// Fields are the policies of single strings in JSON bodies; all others
	// have Text. A key is a JSON pointer (RFC 6901) in which the token * stands
	// for any name and any index: "/note", "/items/*/note". A policy is for the
	// value at that place, not for what is beneath it. Where two keys fit, the
	// one that is exact further to the left counts.
	Fields map[string]Policy

	// MaxBytes limits the body. If zero, it is 1 MiB.
	MaxBytes int64

	// OnDecision is called with each decision, also without an audit trail.
	OnDecision func(ctx context.Context, d decision.Decision)

	// ErrorHandler answers refused requests; err is an *Error. If nil, it is
	// WriteError.
	ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)

	// Logger is told of each refusal. If nil, nothing is logged.
	Logger *slog.Logger
}

// A Sanitizer cleans strings, structs and JSON bodies.
// It is safe for concurrent use.
type Sanitizer struct {
	ugc, strip *bluemonday.Policy
	fields     *rule // nil without Fields
	richFields bool  // some of Fields is neither Plain nor Text
	maxBytes   int64
	plans      plans
	report     *report.Reporter
	onError    func(w http.ResponseWriter, r *http.Request, err error)
}

// New returns a Sanitizer that behaves in accordance with cfg.
// The error, if any, joins every mistake found in cfg.
func New(cfg Config) (*Sanitizer, error) {
	var errs []error
	s := &Sanitizer{
		ugc:      newUGC(),
		strip:    bluemonday.StrictPolicy(),
		maxBytes: cfg.MaxBytes,
		report:   report.New("sanitize", cfg.Logger, cfg.OnDecision),
		onError:  cfg.ErrorHandler,
	}
	for _, pattern := range slices.Sorted(maps.Keys(cfg.Fields)) {
		p := cfg.Fields[pattern]
		if p == nil {
			errs = append(errs, fmt.Errorf("sanitize: Fields[%q] is nil, want a Policy", pattern))
			continue
		}
		if s.fields == nil {
			s.fields = new(rule)
		}
		if err := s.fields.add(pattern, p); err != nil {
			errs = append(errs, err)
		}
		s.richFields = s.richFields || p != Plain && p != Text
	}
	switch {
	case cfg.MaxBytes == 0:
		s.maxBytes = defaultMaxBytes
	case cfg.MaxBytes < 0:
		errs = append(errs, fmt.Errorf("sanitize: MaxBytes is %d, want 0 or more", cfg.MaxBytes))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if s.onError == nil {
		s.onError = WriteError
	}
	return s, nil
}

// Clean returns v without what p removes. A nil Policy is Text.
func (s *Sanitizer) Clean(p Policy, v string) string {
	if p == nil {
		p = Text
	}
	return p.clean(s, v)
}

// Handler lets only requests through whose body needs no cleaning, with that
// very body. It reads the whole body and refuses
//
//   - with 422 what holds a string that its policy would change, or an object
//     name that Text would change; see CheckJSON,
//   - with 415 what it cannot read: another type than application/json and
//     application/*+json, another charset than UTF-8, a compressed body,
//   - with 413 what is larger than MaxBytes, and with 400 what is not JSON.
//
// Requests without a body pass. It panics if s is nil.
func (s *Sanitizer) Handler(next http.Handler) http.Handler {
	if s == nil {
		panic("sanitize: Handler of a nil *Sanitizer")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		doc, err := s.read(w, r)
		if err == nil && len(doc) > 0 {
			err = s.checkJSON(doc)
		}
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		d := decision.Decision{Effect: decision.Allow, Reason: "clean"}
		if len(doc) == 0 {
			d.Reason = "no_body"
		}
		s.report.Decision(r.Context(), d)
		pass.On(next, w, r)
	})
}

// read returns the body of r and leaves it in r to be read again. Without a
// body it returns nil.
func (s *Sanitizer) read(w http.ResponseWriter, r *http.Request) ([]byte, *Error) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil, nil
	}
	limit := s.maxBytes
	refusal := readable(r.Header)
	if refusal != nil {
		if r.ContentLength > 0 {
			return nil, refusal
		}
		limit = 0 // of unknown length, which may yet be none
	}
	if r.ContentLength > limit {
		return nil, &Error{Reason: ReasonSize, Err: report.Causef("%d bytes, limit is %d", r.ContentLength, limit)}
	}
	var buf bytes.Buffer
	buf.Grow(int(min(max(r.ContentLength, 0), firstRead)) + bytes.MinRead)
	_, err := buf.ReadFrom(http.MaxBytesReader(respwriter.Base(w), r.Body, limit))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		if refusal != nil {
			return nil, refusal
		}
		return nil, &Error{Reason: ReasonSize, Err: report.Causef("more than %d bytes", limit)}
	}
	if err != nil {
		return nil, &Error{Reason: ReasonRead, Err: err}
	}
	r.Body = &body{*bytes.NewReader(buf.Bytes()), r.Body}
	return buf.Bytes(), nil
}

// A body is read again by the next handler.
type body struct {
	bytes.Reader
	io.Closer
}

// readable says whether a body with these headers is JSON as CheckJSON reads
// it. What cannot be read cannot be vouched for.
func readable(h http.Header) *Error {
	if jsonbody.Coded(h) {
		return &Error{Reason: ReasonEncoding, Err: report.Cause("the body is compressed")}
	}
	if err := jsonbody.CheckType(h); err != nil {
		return &Error{Reason: ReasonMediaType, Err: err}
	}
	return nil
}

func (s *Sanitizer) refuse(w http.ResponseWriter, r *http.Request, err *Error) {
	ctx := r.Context()
	switch err.Reason {
	case ReasonEncoding:
		w.Header().Set("Accept-Encoding", "identity") // RFC 9110 section 12.5.3
	case ReasonMediaType:
		w.Header().Set("Accept", "application/json") // RFC 9110 section 12.5.1
		s.report.Hint(ctx, err.Reason, "refused a body that is not JSON: mount Handler on routes that take JSON")
	case ReasonUnclean:
		s.report.Hint(ctx, err.Reason, "refused a body that Text would change: set Fields for strings that may hold such text")
	}
	s.report.Decision(ctx, decision.Decision{
		Effect: decision.Deny, Reason: err.Reason, Detail: report.Detail(err.Err), Status: err.StatusCode(),
	})
	s.onError(w, r, err)
}

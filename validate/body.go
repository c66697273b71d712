package validate

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/gatehouse-go/gatehouse/internal/jsonbody"
	"github.com/gatehouse-go/gatehouse/internal/respwriter"
)

// firstRead is how much memory a request gets before it has sent anything: a
// Content-Length is only a claim.
const firstRead = 16 << 10

// A document is a body that was read.
type document struct {
	bytes     []byte
	scannedBy *Validator // whose limits it is known to keep
}

// A rereader is the body of a request that was read already.
type rereader struct {
	*bytes.Reader
	document *document
}

func (rereader) Close() error { return nil }

func (d *document) body() io.ReadCloser { return rereader{bytes.NewReader(d.bytes), d} }

// read reads the body of r, unless its headers already refuse it.
func (v *Validator) read(w http.ResponseWriter, r *http.Request) (*document, *Error) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil, &Error{Reason: ReasonEmpty}
	}
	if jsonbody.Coded(r.Header) {
		return nil, &Error{Reason: ReasonEncoding}
	}
	if jsonbody.CheckType(r.Header) != nil {
		return nil, &Error{Reason: ReasonMediaType}
	}
	if r.ContentLength > v.maxBytes {
		return nil, v.tooLarge()
	}
	if again, ok := r.Body.(rereader); ok && again.Len() == len(again.document.bytes) {
		if int64(again.Len()) > v.maxBytes {
			return nil, v.tooLarge()
		}
		return again.document, nil
	}
	b, err := readAll(http.MaxBytesReader(respwriter.Base(w), r.Body, v.maxBytes), r.ContentLength)
	switch {
	case err == nil && len(b) == 0:
		return &document{}, &Error{Reason: ReasonEmpty}
	case err == nil:
		return &document{bytes: b}, nil
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, v.tooLarge()
	}
	return nil, &Error{Reason: ReasonRead, Err: err}
}

func (v *Validator) tooLarge() *Error {
	limit := strconv.FormatInt(v.maxBytes, 10)
	return &Error{Reason: ReasonSize, Faults: []Fault{{
		Pointer: "#", Code: ReasonSize, Param: limit, Detail: "must be at most " + limit + " bytes long", place: "#",
	}}}
}

// readAll is io.ReadAll with a buffer that fits in the common case.
func readAll(r io.Reader, claimed int64) ([]byte, error) {
	size := int64(512)
	if claimed >= 0 {
		size = min(claimed+1, firstRead) // the one more is for reading io.EOF
	}
	b := make([]byte, 0, size)
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

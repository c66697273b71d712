package audit_test

import (
	"bytes"
	"context"
	"sync"
	"unsafe"

	"github.com/gatehouse-go/gatehouse/audit"
)

// sinkFunc is a Sink that is one function.
type sinkFunc func(ctx context.Context, b audit.Batch) error

func (f sinkFunc) Write(ctx context.Context, b audit.Batch) error { return f(ctx, b) }
func (f sinkFunc) Close() error                                   { return nil }

// buffer is a buffer for several goroutines.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// sameMemory reports whether part is a part of whole.
func sameMemory(part, whole string) bool {
	p, w := uintptr(unsafe.Pointer(unsafe.StringData(part))), uintptr(unsafe.Pointer(unsafe.StringData(whole)))
	return p >= w && p < w+uintptr(len(whole))
}

package authtest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func TestPipe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe(nil, nil)
		want := bytes.Repeat([]byte("0123456789"), pipeBuffer/2) // five times what fits
		go func() {
			if n, err := a.Write(want); n != len(want) || err != nil {
				t.Errorf("Write = %d, %v, want %d", n, err, len(want))
			}
			_ = a.Close()
		}()
		synctest.Wait() // the buffer is full
		if n := len(b.in.data); n != pipeBuffer {
			t.Errorf("%d bytes wait, want %d", n, pipeBuffer)
		}
		got, err := io.ReadAll(b)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("ReadAll = %d bytes, %v, want what was written", len(got), err)
		}
		if _, err := b.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("Write to who has closed = %v, want %v", err, io.ErrClosedPipe)
		}
	})
}

func TestPipeDeadlines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe(nil, nil)
		start := time.Now()
		after := func(want time.Duration, err error) {
			t.Helper()
			if got := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || got != want {
				t.Errorf("%v after %v, want %v after %v", err, got, os.ErrDeadlineExceeded, want)
			}
		}
		_ = b.SetDeadline(start.Add(time.Second))
		_, err := b.Read(make([]byte, 1))
		after(time.Second, err)
		_, err = b.Write([]byte("x"))
		after(time.Second, err)

		// A deadline that comes while somebody waits, as http.Server sets it.
		_ = b.SetDeadline(time.Time{})
		time.AfterFunc(time.Second, func() { _ = b.SetReadDeadline(time.Unix(1, 0)) })
		_, err = b.Read(make([]byte, 1))
		after(2*time.Second, err)

		_ = a.SetWriteDeadline(start.Add(4 * time.Second))
		n, err := a.Write(make([]byte, pipeBuffer+1))
		if n != pipeBuffer {
			t.Errorf("%d bytes were written, want %d", n, pipeBuffer)
		}
		after(4*time.Second, err)
	})
}

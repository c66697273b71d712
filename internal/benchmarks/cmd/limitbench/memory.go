package main

import (
	"fmt"
	"net/http"
	"runtime"
	"time"
)

const (
	// capBytes is what the table of gatehouse takes by default: 131,072 slots
	// of at most 20 bytes.
	capBytes = 131_072 * 20
	// spareBytes are for all else that it allocates.
	spareBytes = 1_000_000
)

// flood returns how many bytes each contestant keeps when that many addresses
// have sent one request each.
func flood(keys int) (map[string]int64, error) {
	kept := make(map[string]int64)
	for _, c := range contestants {
		n, err := c.flood(keys)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		kept[c.name] = n
	}
	return kept, nil
}

func (c *contestant) flood(keys int) (kept int64, err error) {
	before := heap()
	var ends []func()
	h, err := c.build(quota{100, time.Hour}, ok, func(end func()) { ends = append(ends, end) })
	if err != nil {
		return 0, err
	}
	client := newClient(h)
	for i := range keys {
		client.send(address(i)) // of its own, as net/http makes one for each connection
		if got := client.writer.Status; got != http.StatusOK {
			return 0, fmt.Errorf("answers %d to address %d, want 200", got, i)
		}
	}
	kept = heap() - before
	runtime.KeepAlive(h)
	for _, end := range ends {
		end()
	}
	return kept, nil
}

// heap returns how many bytes are in use. What has a finalizer is free after
// the second collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // fits
}

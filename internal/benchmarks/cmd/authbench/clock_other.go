//go:build !unix

package main

import "time"

const clockName = "wall time"

var start = time.Now() //nolint:gochecknoglobals // immutable

func clock() time.Duration { return time.Since(start) }

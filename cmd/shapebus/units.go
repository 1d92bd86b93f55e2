package main

import (
	"fmt"
	"math"

	"github.com/dustin/go-humanize"
)

// byteSize is a number of bytes on the command line: 1048576, 256KiB, 8GB; -1 where that means no limit.
type byteSize int64

// UnmarshalText reads a size; KiB, MiB and GiB are powers of 1024, kB, MB and GB of 1000.
func (b *byteSize) UnmarshalText(text []byte) error {
	if string(text) == "-1" {
		*b = -1
		return nil
	}
	n, err := humanize.ParseBytes(string(text))
	if err != nil || n > math.MaxInt64/2 {
		return fmt.Errorf("size %q: want a number of bytes, or one with KiB, MiB or GiB", text)
	}
	*b = byteSize(n)
	return nil
}

package gateway

import (
	"strconv"
	"strings"
)

// compressLeast is the size from which a body is worth compressing.
const compressLeast = 1 << 10

// encoding chooses how to compress for a client.
func encoding(accept string) string {
	best := ""
	for part := range strings.SplitSeq(accept, ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		if weight, ok := strings.CutPrefix(strings.ToLower(strings.ReplaceAll(q, " ", "")), "q="); ok {
			if w, err := strconv.ParseFloat(weight, 64); err != nil || w <= 0 {
				continue
			}
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "zstd":
			return "zstd"
		case "gzip":
			best = "gzip"
		}
	}
	return best
}

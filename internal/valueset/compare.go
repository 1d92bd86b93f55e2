package valueset

import (
	"bytes"
	"encoding/binary"
)

// MayEqual reports whether two values are equal in every component that is
// not NULL in either: whether SQL's = is TRUE or unknown of them.
func MayEqual(a, b []byte) bool {
	for len(a) > 0 && len(b) > 0 {
		x, restA, okA := cut(a)
		y, restB, okB := cut(b)
		if okA && okB && !bytes.Equal(x, y) {
			return false
		}
		a, b = restA, restB
	}
	return bytes.Equal(a, b)
}

// cut takes the first component off a key; ok is false if it is NULL. What is
// not a key ends there.
func cut(key []byte) (text, rest []byte, ok bool) {
	var n uint64
	for i := 0; i < len(key) && i < binary.MaxVarintLen64; i++ {
		n |= uint64(key[i]&0x7f) << (7 * i)
		if key[i] >= 0x80 {
			continue
		}
		rest = key[i+1:]
		switch {
		case n == 0:
			return nil, rest, false
		case n-1 <= uint64(len(rest)):
			return rest[:n-1], rest[n-1:], true
		}
		break
	}
	return key, nil, true
}

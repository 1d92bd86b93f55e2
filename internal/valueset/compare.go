package valueset

import "encoding/binary"

// MayEqual reports whether two values are equal in every component that is
// not NULL in either: whether SQL's = is TRUE or unknown of them.
func MayEqual(a, b string) bool {
	for a != "" && b != "" {
		x, restA, okA := cut(a)
		y, restB, okB := cut(b)
		if okA && okB && x != y {
			return false
		}
		a, b = restA, restB
	}
	return a == b
}

// cut takes the first component off a key; ok is false if it is NULL. What is
// not a key ends there.
func cut(key string) (text, rest string, ok bool) {
	var n uint64
	for i := 0; i < len(key) && i < binary.MaxVarintLen64; i++ {
		n |= uint64(key[i]&0x7f) << (7 * i)
		if key[i] >= 0x80 {
			continue
		}
		rest = key[i+1:]
		switch {
		case n == 0:
			return "", rest, false
		case n-1 <= uint64(len(rest)):
			return rest[:n-1], rest[n-1:], true
		}
		break
	}
	return key, "", true
}

package predicate

import (
	"encoding/binary"
	"math"
)

// appendValue adds the order-preserving form of a value.
func appendValue(dst []byte, d domain, v *value) []byte {
	switch d {
	case domainInt:
		return binary.BigEndian.AppendUint64(dst, uint64(v.i)^1<<63)
	case domainFloat:
		return binary.BigEndian.AppendUint64(dst, floatKey(v.f))
	case domainDecimal:
		return appendDecimal(dst, &v.d)
	default: // domainBytes
		return append(dst, v.b...)
	}
}

func floatKey(f float64) uint64 {
	if f != f {
		return math.MaxUint64 // above everything, and all of them one value
	}
	if f == 0 {
		f = 0 // -0 is the same
	}
	bits := math.Float64bits(f)
	if bits>>63 == 1 {
		return ^bits
	}
	return bits | 1<<63
}

// appendDecimal writes the class, and of a value with digits the exponent and the digits; below zero both are inverted
// and closed by the highest byte, so that of two the longer one is the smaller.
func appendDecimal(dst []byte, d *decimal) []byte {
	dst = append(dst, byte(d.class-decNegInf))
	if d.class != decPositive && d.class != decNegative {
		return dst
	}
	begin := len(dst)
	dst = binary.BigEndian.AppendUint64(dst, uint64(int64(d.exp))^1<<63)
	dst = append(append(dst, d.head...), d.tail...)
	if d.class == decNegative {
		for i := begin; i < len(dst); i++ {
			dst[i] = ^dst[i]
		}
		dst = append(dst, 0xff)
	}
	return dst
}

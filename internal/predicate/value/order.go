package value

import (
	"encoding/binary"
	"math"
)

// AppendOrdered adds the order-preserving form of a value.
func AppendOrdered(dst []byte, d Domain, v *Operand) []byte {
	switch d {
	case DomainInt:
		return binary.BigEndian.AppendUint64(dst, uint64(v.Int)^1<<63)
	case DomainFloat:
		return binary.BigEndian.AppendUint64(dst, floatKey(v.Float))
	case DomainDecimal:
		return appendDecimal(dst, &v.Decimal)
	default: // DomainBytes
		return append(dst, v.Bytes...)
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
func appendDecimal(dst []byte, d *Decimal) []byte {
	dst = append(dst, byte(d.Class-NegInf))
	if d.Class != Positive && d.Class != Negative {
		return dst
	}
	begin := len(dst)
	dst = binary.BigEndian.AppendUint64(dst, uint64(int64(d.Exp))^1<<63)
	dst = append(append(dst, d.Head...), d.Tail...)
	if d.Class == Negative {
		for i := begin; i < len(dst); i++ {
			dst[i] = ^dst[i]
		}
		dst = append(dst, 0xff)
	}
	return dst
}

package predicate

import "bytes"

// comparator compares values of two kinds that have the same representation.
func comparator(l, r kind) func(a, b *datum) int {
	switch {
	case l == kindNumeric:
		return compareNumeric
	case l.isFloat():
		return func(a, b *datum) int { return compareFloat(a.f, b.f) }
	case l == kindBpchar:
		return func(a, b *datum) int { return bytes.Compare(trimBlanks(a.b), trimBlanks(b.b)) }
	case l.isText() || l == kindUUID || l == kindEnum:
		return compareBytes
	case l == kindInterval:
		return compareInterval
	case l == kindDate && r == kindTimestamp:
		return func(a, b *datum) int { return compareInt(dayToMicros(a.i), b.i) }
	case l == kindTimestamp && r == kindDate:
		return func(a, b *datum) int { return compareInt(a.i, dayToMicros(b.i)) }
	default: // what is an integer inside
		return func(a, b *datum) int { return compareInt(a.i, b.i) }
	}
}

func compareBytes(a, b *datum) int { return bytes.Compare(a.b, b.b) }

func compareNumeric(a, b *datum) int {
	var x, y decimal
	parseDecimal(a.b, &x)
	parseDecimal(b.b, &y)
	return compareDecimal(&x, &y)
}

func compareInt(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

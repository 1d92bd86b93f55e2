package value

import "bytes"

// Comparator compares values of two kinds that have the same representation.
func Comparator(l, r Kind) func(a, b *Datum) int {
	switch {
	case l == Numeric:
		return compareNumeric
	case l.IsFloat():
		return func(a, b *Datum) int { return compareFloat(a.Float, b.Float) }
	case l == Bpchar:
		return func(a, b *Datum) int { return bytes.Compare(TrimBlanks(a.Bytes), TrimBlanks(b.Bytes)) }
	case l.IsText() || l == Enum || l == Name || l.isBytes():
		return CompareBytes
	case l.IsNetwork():
		return func(a, b *Datum) int { return bytes.Compare(hostText(a.Bytes), hostText(b.Bytes)) }
	case l.IsRange():
		return compareRanges(l)
	case l == Interval:
		return compareInterval
	case l == Date && r == Timestamp:
		return func(a, b *Datum) int { return compareInt(dayToMicros(a.Int), b.Int) }
	case l == Timestamp && r == Date:
		return func(a, b *Datum) int { return compareInt(a.Int, dayToMicros(b.Int)) }
	default: // what is an integer inside
		return func(a, b *Datum) int { return compareInt(a.Int, b.Int) }
	}
}

// CompareBytes compares texts by their bytes.
func CompareBytes(a, b *Datum) int { return bytes.Compare(a.Bytes, b.Bytes) }

func compareNumeric(a, b *Datum) int {
	var x, y Decimal
	ParseDecimal(a.Bytes, &x)
	ParseDecimal(b.Bytes, &y)
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

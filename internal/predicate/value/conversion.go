package value

import (
	"bytes"
	"math"
	"math/bits"
	"strconv"
)

// Conversion is Postgres' cast between two kinds, where it has one that cannot fail and depends on no setting. A nil
// function with ok means that the value stays as it is.
func Conversion(from, to Kind) (convert func(Datum) Datum, ok bool) {
	if from.IsArray() && to.IsArray() {
		return arrayConversion(from.Element(), to.Element())
	}
	switch {
	case from == to:
		return nil, true
	case from.IsInt():
		return fromInt(from, to)
	case from == Numeric && to.IsFloat():
		return func(d Datum) Datum { return Datum{Float: FloatOf(to, d.Bytes)} }, true
	case from == Float4 && to == Float8:
		return nil, true
	case from.IsFloat() && to == Numeric:
		return func(d Datum) Datum { return Datum{Bytes: floatToNumeric(from, d.Float)} }, true
	case from == OID && to.IsText():
		return func(d Datum) Datum { return Datum{Bytes: strconv.AppendInt(nil, d.Int, 10)} }, true
	case from == Cidr && to == Inet:
		return func(d Datum) Datum { return Datum{Bytes: hostText(d.Bytes)} }, true
	case from.IsNetwork() && to.IsText():
		return func(d Datum) Datum { return Datum{Bytes: networkText(d.Bytes)} }, true
	case from.IsText() && to.IsText():
		if from == Bpchar {
			return func(d Datum) Datum { return Datum{Bytes: TrimBlanks(d.Bytes)} }, true
		}
		return nil, true
	case to.IsText():
		return toText(from)
	case from == Bool && to == Int4:
		return nil, true
	case from == Date && to == Timestamp:
		return func(d Datum) Datum { return Datum{Int: dayToMicros(d.Int)} }, true
	case from == Timestamp && to == Date:
		return func(d Datum) Datum { return Datum{Int: dayOfMicros(d.Int)} }, true
	case from == Time && to == Interval:
		return nil, true
	}
	return nil, false
}

func fromInt(from, to Kind) (func(Datum) Datum, bool) {
	switch {
	case to.IsInt():
		return nil, to > from
	case to == Numeric, to.IsText():
		return func(d Datum) Datum { return Datum{Bytes: strconv.AppendInt(nil, d.Int, 10)} }, true
	case to == Float8:
		return func(d Datum) Datum { return Datum{Float: float64(d.Int)} }, true
	case to == Float4:
		return func(d Datum) Datum { return Datum{Float: float64(float32(d.Int))} }, true
	case to == Bool && from == Int4:
		return func(d Datum) Datum {
			if d.Int != 0 {
				d.Int = 1
			}
			return d
		}, true
	}
	return nil, false
}

// CastsAsItIs tells the kinds beside text whose cast to text is what Postgres prints for a column, with one text for each value, or as
// many as there are values.
func (k Kind) CastsAsItIs() bool {
	return k == UUID || k == Enum || k == JSONB || k == Name || k == Quoted || k.isBytes() || k.IsRange()
}

func toText(from Kind) (func(Datum) Datum, bool) {
	if from == Numeric || from.CastsAsItIs() {
		return nil, true
	}
	switch from {
	case Float4, Float8:
		return func(d Datum) Datum { return Datum{Bytes: printFloat(from, d.Float)} }, true
	case Bool:
		return func(d Datum) Datum { return Datum{Bytes: strconv.AppendBool(nil, d.Int != 0)} }, true
	case Date, Timestamp, Time, Interval:
		return func(d Datum) Datum { return Datum{Bytes: temporalText(from, &d)} }, true
	default: // a timestamptz has no text without a time zone
		return nil, false
	}
}

// FloatOf reads a number as a float of the kind.
func FloatOf(k Kind, text []byte) float64 {
	f, _ := strconv.ParseFloat(string(text), FloatBits(k))
	return f
}

// printFloat is float8out and float4out with extra_float_digits >= 1: the shortest digits that read back.
func printFloat(k Kind, f float64) []byte {
	switch {
	case math.IsInf(f, 1):
		return []byte("Infinity")
	case math.IsInf(f, -1):
		return []byte("-Infinity")
	case f == 0 || f != f:
		if math.Signbit(f) && f == 0 {
			return []byte("-0")
		}
		return strconv.AppendFloat(nil, f, 'g', -1, 64)
	}
	digits := 15
	if k == Float4 {
		digits = 6
	}
	out := strconv.AppendFloat(nil, f, 'e', -1, FloatBits(k))
	prec := -1
	if significant(out) > digits || math.Abs(f) >= float64(int(1)<<mantissaBits(k)) {
		if prec = precisionOf(k, f, out); prec >= 0 {
			out = strconv.AppendFloat(out[:0], f, 'e', prec, FloatBits(k))
		}
	}
	exp, _ := strconv.Atoi(string(out[bytes.IndexByte(out, 'e')+1:]))
	if exp >= -4 && exp < digits {
		if prec >= 0 {
			prec -= exp
		}
		return strconv.AppendFloat(nil, f, 'f', prec, FloatBits(k))
	}
	return out
}

// mantissaBits is how many bits a float of the kind has before its exponent.
func mantissaBits(k Kind) int {
	if k == Float4 {
		return 24
	}
	return 53
}

// significant is the number of digits before an exponent.
func significant(text []byte) int {
	text = bytes.TrimPrefix(text[:bytes.IndexByte(text, 'e')], []byte("-"))
	if len(text) > 1 {
		return len(text) - 1 // but the point
	}
	return len(text)
}

// precisionOf is the number of digits behind the point where Postgres and strconv differ, which has printed shortest; else -1. Of two texts
// that are as near Postgres prints the even one, and none that is midway between two floats, though it may read back.
func precisionOf(k Kind, f float64, shortest []byte) int {
	first := significant(shortest) - 1
	for prec := first; ; prec++ {
		near := strconv.AppendFloat(nil, f, 'e', prec, FloatBits(k))
		if FloatOf(k, near) == f && !isMidway(near, mantissaBits(k)) {
			return prec
		}
		if prec == first && !isMidway(shortest, mantissaBits(k)) { // next to a power of two what is nearest may not read back
			return -1
		}
	}
}

// isMidway reports whether what reads back as a float is midway between two: then it is an integer with one bit more than they have.
func isMidway(text []byte, bitsOfFloat int) bool {
	e := bytes.IndexByte(text, 'e')
	exp, _ := strconv.Atoi(string(text[e+1:]))
	var n uint64
	for i, c := range text[:e] {
		switch {
		case c < '0': // the sign, or the point
			continue
		case n >= 1<<60:
			return false // more digits than a float needs
		}
		n = n*10 + uint64(c-'0')
		if bytes.IndexByte(text[:i], '.') >= 0 {
			exp--
		}
	}
	for ; n > 0 && n%10 == 0; n /= 10 {
		exp++
	}
	n >>= bits.TrailingZeros64(n)
	for ; exp > 0 && bits.Len64(n) <= bitsOfFloat+1; exp-- {
		n *= 5
	}
	return exp == 0 && bits.Len64(n) == bitsOfFloat+1
}

// floatToNumeric keeps the digits that any float of the kind keeps.
func floatToNumeric(k Kind, f float64) []byte {
	switch {
	case f != f:
		return []byte("NaN")
	case math.IsInf(f, 0):
		return printFloat(k, f)
	}
	digits := 15
	if k == Float4 {
		digits = 6
	}
	return PlainNumeric(strconv.AppendFloat(nil, f, 'g', digits, 64))
}

// arrayConversion converts element by element.
func arrayConversion(from, to Kind) (func(Datum) Datum, bool) {
	convert, ok := Conversion(from, to)
	switch {
	case !ok, from == Numeric && to.IsFloat(), from == Date && to == Timestamp, from.IsArray(), to.IsArray():
		return nil, false
	case convert == nil:
		return nil, true
	}
	return func(d Datum) Datum {
		out := &Array{Dims: d.Array.Dims, Elements: make([]Datum, len(d.Array.Elements))}
		for i, e := range d.Array.Elements {
			if !e.Null {
				e = convert(e)
			}
			out.Elements[i] = e
		}
		return Datum{Array: out}
	}, true
}

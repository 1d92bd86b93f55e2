package predicate

import (
	"bytes"
	"math"
	"strconv"
)

// conversion is Postgres' cast between two kinds, where it has one that cannot fail and depends on no setting. A nil
// function with ok means that the value stays as it is.
func conversion(from, to kind) (convert func(datum) datum, ok bool) {
	if from.isArray() && to.isArray() {
		return arrayConversion(from.element(), to.element())
	}
	switch {
	case from == to:
		return nil, true
	case from.isInt():
		return fromInt(from, to)
	case from == kindNumeric && to.isFloat():
		return func(d datum) datum { return datum{f: floatOf(to, d.b)} }, true
	case from == kindFloat4 && to == kindFloat8:
		return nil, true
	case from.isFloat() && to == kindNumeric:
		return func(d datum) datum { return datum{b: floatToNumeric(from, d.f)} }, true
	case from.isText() && to.isText():
		if from == kindBpchar {
			return func(d datum) datum { return datum{b: trimBlanks(d.b)} }, true
		}
		return nil, true
	case to.isText():
		return toText(from)
	case from == kindBool && to == kindInt4:
		return nil, true
	case from == kindDate && to == kindTimestamp:
		return func(d datum) datum { return datum{i: dayToMicros(d.i)} }, true
	case from == kindTimestamp && to == kindDate:
		return func(d datum) datum { return datum{i: dayOfMicros(d.i)} }, true
	case from == kindTime && to == kindInterval:
		return nil, true
	}
	return nil, false
}

func fromInt(from, to kind) (func(datum) datum, bool) {
	switch {
	case to.isInt():
		return nil, to > from
	case to == kindNumeric, to.isText():
		return func(d datum) datum { return datum{b: strconv.AppendInt(nil, d.i, 10)} }, true
	case to == kindFloat8:
		return func(d datum) datum { return datum{f: float64(d.i)} }, true
	case to == kindFloat4:
		return func(d datum) datum { return datum{f: float64(float32(d.i))} }, true
	case to == kindBool && from == kindInt4:
		return func(d datum) datum {
			if d.i != 0 {
				d.i = 1
			}
			return d
		}, true
	}
	return nil, false
}

func toText(from kind) (func(datum) datum, bool) {
	switch from {
	case kindNumeric, kindUUID, kindEnum, kindJSONB:
		return nil, true
	case kindFloat4, kindFloat8:
		return func(d datum) datum { return datum{b: printFloat(from, d.f)} }, true
	case kindBool:
		return func(d datum) datum { return datum{b: strconv.AppendBool(nil, d.i != 0)} }, true
	case kindDate, kindTimestamp, kindTime, kindInterval:
		return func(d datum) datum { return datum{b: temporalText(from, &d)} }, true
	default: // a timestamptz has no text without a time zone
		return nil, false
	}
}

func floatOf(k kind, text []byte) float64 {
	f, _ := strconv.ParseFloat(string(text), floatBits(k))
	return f
}

// printFloat is float8out and float4out with extra_float_digits >= 1: the shortest digits that read back.
func printFloat(k kind, f float64) []byte {
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
	if k == kindFloat4 {
		digits = 6
	}
	out := strconv.AppendFloat(nil, f, 'e', -1, floatBits(k))
	exp, _ := strconv.Atoi(string(out[bytes.IndexByte(out, 'e')+1:]))
	if exp >= -4 && exp < digits {
		return strconv.AppendFloat(nil, f, 'f', -1, floatBits(k))
	}
	return out
}

// floatToNumeric keeps the digits that any float of the kind keeps.
func floatToNumeric(k kind, f float64) []byte {
	switch {
	case f != f:
		return []byte("NaN")
	case math.IsInf(f, 0):
		return printFloat(k, f)
	}
	digits := 15
	if k == kindFloat4 {
		digits = 6
	}
	return plainNumeric(strconv.AppendFloat(nil, f, 'g', digits, 64))
}

// arrayConversion converts element by element.
func arrayConversion(from, to kind) (func(datum) datum, bool) {
	convert, ok := conversion(from, to)
	switch {
	case !ok, from == kindNumeric && to.isFloat(), from == kindDate && to == kindTimestamp, from.isArray(), to.isArray():
		return nil, false
	case convert == nil:
		return nil, true
	}
	return func(d datum) datum {
		out := &array{dims: d.a.dims, elements: make([]datum, len(d.a.elements))}
		for i, e := range d.a.elements {
			if !e.null {
				e = convert(e)
			}
			out.elements[i] = e
		}
		return datum{a: out}
	}, true
}

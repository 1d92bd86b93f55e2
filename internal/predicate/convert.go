package predicate

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
)

// castExpr converts a value to another kind; convert never fails.
type castExpr struct {
	arg     scalar
	to      kind
	convert func(d datum) datum
}

func (e *castExpr) eval(row [][]byte) datum {
	d := e.arg.eval(row)
	if d.null {
		return d
	}
	return e.convert(d)
}

func (e *castExpr) columns(add func(int)) { e.arg.columns(add) }

func (e *castExpr) print(p *printer) {
	p.expr(e.arg)
	p.WriteString("::")
	p.WriteString(e.to.String())
}

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

// convert gives an expression another kind, as an implicit cast or an explicit one that needs no guard would.
func (s scalar) convert(to kind, pos int) (scalar, *Error) {
	if s.k == to {
		return s, nil
	}
	fail := &Error{Pos: pos, Message: fmt.Sprintf("unknown cast from type %s to type %s", s.typeName(), to)}
	if c, ok := s.expr.(*constExpr); ok {
		if c.c.null {
			return newConst(constant{k: to, null: true}), nil
		}
		if out, err := castConstant(c.c, to); err == nil {
			return newConst(out), nil
		}
	}
	convert, ok := conversion(s.k, to)
	if !ok {
		return scalar{}, fail
	}
	out := scalar{k: to, bounds: s.bounds}
	switch {
	case s.k == kindNumeric && to.isFloat():
		if s.bounds.hi > maxBits(to) || s.bounds.lo < -maxBits(to) {
			return scalar{}, tooWide(pos)
		}
	case s.k.isInt() && to.isInt(), !to.isNumber() && !to.isTemporal():
	case s.k == kindTimestamp, s.k == kindDate:
		s = s.guarded()
		out.bounds = s.bounds
	}
	if convert == nil {
		convert = func(d datum) datum { return d }
	}
	e := &castExpr{arg: s, to: to, convert: convert}
	if c, ok := folded(e); ok {
		return newConst(c), nil
	}
	out.expr = e
	return out, nil
}

// folded evaluates the cast of a constant, so that it is one again.
func folded(e *castExpr) (constant, bool) {
	if _, ok := e.arg.expr.(*constExpr); !ok {
		return constant{}, false
	}
	d := e.eval(nil)
	switch {
	case d.null:
		return constant{k: e.to, null: true}, true
	case e.to.isArray():
		return constant{k: e.to, text: arrayText(e.to.element(), d.a)}, true
	}
	c, err := parseConstant(e.to, string(datumText(e.to, &d)))
	return c, err == nil
}

func maxBits(k kind) int {
	switch k {
	case kindFloat4:
		return maxFloat4Bits
	case kindFloat8:
		return maxFloat8Bits
	default: // numeric
		return maxNumericBits
	}
}

func tooWide(pos int) *Error {
	return &Error{
		Pos: pos, Message: "the result can be out of the range of its type",
		Hint: "Postgres would raise an error for such rows; use columns with a declared precision, or numeric instead of double precision",
	}
}

func (s scalar) typeName() string {
	if s.enum != nil {
		return s.enum.name
	}
	return s.k.String()
}

package predicate

import (
	"github.com/shapebus/shapebus/internal/predicate/value"
)

// convert gives an expression another kind, as an implicit cast or an explicit one that needs no guard would.
func (s scalar) convert(to value.Kind, pos int) (scalar, *Error) {
	if s.k == to {
		return s, nil
	}
	fail := refusedCast(s.typeName(), to.String(), pos)
	if c, ok := s.expr.(*constExpr); ok {
		if c.c.Null {
			return newConst(value.Constant{Kind: to, Null: true}), nil
		}
		if out, err := value.CastConstant(c.c, to); err == nil {
			if growsLong(out) {
				return scalar{}, tooLong(pos)
			}
			return newConst(out), nil
		}
	}
	convert, ok := value.Conversion(s.k, to)
	if !ok {
		return scalar{}, fail
	}
	out := scalar{k: to, bounds: s.bounds}
	switch {
	case s.k == value.Numeric && to.IsFloat():
		if s.bounds.hi > maxBits(to) || s.bounds.lo < -maxBits(to) {
			return scalar{}, tooWide(pos)
		}
	case s.k.IsInt() && to.IsInt(), !to.IsNumber() && !to.IsTemporal():
	case s.k == value.Timestamp, s.k == value.Date:
		s = s.guarded()
		out.bounds = s.bounds
	}
	if convert == nil {
		convert = func(d value.Datum) value.Datum { return d }
	}
	e := &castExpr{arg: s, to: to, convert: convert}
	if c, ok := folded(e); ok {
		return newConst(c), nil
	}
	out.expr = e
	return out, nil
}

// folded evaluates the cast of a constant, so that it is one again.
func folded(e *castExpr) (value.Constant, bool) {
	if _, ok := e.arg.expr.(*constExpr); !ok {
		return value.Constant{}, false
	}
	d := e.eval(nil)
	switch {
	case d.Null:
		return value.Constant{Kind: e.to, Null: true}, true
	case e.to.IsArray():
		return value.Constant{Kind: e.to, Text: value.ArrayText(e.to.Element(), d.Array)}, true
	}
	c, err := value.ParseConstant(e.to, string(value.TextOf(e.to, &d)))
	return c, err == nil
}

func maxBits(k value.Kind) int {
	switch k {
	case value.Float4:
		return maxFloat4Bits
	case value.Float8:
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

package predicate

import (
	"fmt"
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

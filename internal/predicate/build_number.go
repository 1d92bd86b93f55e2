package predicate

import (
	"strconv"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// arithmetic builds left op right on numbers.
func (b *builder) arithmetic(op byte, left, right term, pos int) (term, *Error) {
	l, r := b.scalar(left), b.scalar(right)
	logical := commonNumber(left.k, right.k)
	if op == '^' {
		return b.power(left, right, logical, pos)
	}
	k := commonNumber(l.k, r.k)
	bits := op == '&' || op == '|' || op == '#'
	switch {
	case bits && !logical.IsInt(), logical.IsFloat() && op == '%':
		return term{}, b.noOperator(string(rune(op)), left, right, pos)
	case bits:
		k = value.Int8
		l, r = wholeBits(l), wholeBits(r)
	case logical.IsInt():
		out := arithBounds(op, value.Int8, l.bounds, r.bounds)
		k = value.Int8
		if out.hi > 62 || l.k == value.Numeric || r.k == value.Numeric {
			k = value.Numeric
			if op == '/' {
				op = 'd'
			}
		}
	case logical.IsFloat():
		k = logical
	}
	var err *Error
	l, r = l.guarded(), r.guarded()
	if l, err = l.convert(k, left.pos); err != nil {
		return term{}, err
	}
	if r, err = r.convert(k, right.pos); err != nil {
		return term{}, err
	}
	if op == '/' || op == '%' || op == 'd' {
		r = notZero(r)
	}
	out := scalar{expr: &arithExpr{op, k, l, r}, k: k, bounds: arithBounds(op, k, l.bounds, r.bounds)}
	if out.bounds.hi > maxBits(k) || k.IsFloat() && out.bounds.lo < -maxBits(k) {
		return term{}, tooWide(pos)
	}
	out.bounds.lo = max(out.bounds.lo, -bitsOfDigits(value.NumericScale))
	t := exprTerm(out, pos)
	t.k = logical
	return t, nil
}

// wholeBits brings an integer of any width to a bigint; what does not fit is NULL.
func wholeBits(s scalar) scalar {
	if s.k == value.Numeric {
		return narrowToType(s, value.Int8)
	}
	return s
}

// notZero makes a zero divisor NULL. Constants that are not zero pass.
func notZero(s scalar) scalar {
	if n, ok := s.expr.(*nullifExpr); ok && isZeroConst(n.right) {
		return s
	}
	if _, ok := s.expr.(*constExpr); ok && !isZeroConst(s) {
		return s
	}
	zero := newConst(value.Constant{Kind: s.k, Text: "0"})
	return scalar{expr: &nullifExpr{relation{left: s, right: zero, compare: value.Comparator(s.k, s.k), ordered: true}}, k: s.k, bounds: s.bounds}
}

func isZeroConst(s scalar) bool {
	c, ok := s.expr.(*constExpr)
	return ok && !c.c.Null && c.c.Text == "0"
}

// power multiplies: the last digits of pow() depend on the machine's library.
func (b *builder) power(left, right term, logical value.Kind, pos int) (term, *Error) {
	const most = 8
	n, err := strconv.Atoi(right.c.Text)
	if right.form != formConst || right.c.Null || err != nil || n < 1 || n > most {
		return term{}, &Error{
			Pos: pos, Message: "operator ^ is supported with the constant exponents 1 to 8 only",
			Hint: "the last digits of other powers depend on the machine",
		}
	}
	if logical.IsInt() {
		logical = value.Float8
	}
	base, cerr := b.scalar(left).guarded().convert(logical, left.pos)
	if cerr != nil {
		return term{}, cerr
	}
	t := exprTerm(base, pos)
	out := t
	for range n - 1 {
		if out, cerr = b.arithmetic('*', out, t, pos); cerr != nil {
			return term{}, cerr
		}
	}
	return out, nil
}

// powerFunction is another name of ^.
func (b *builder) powerFunction(c call) (term, *Error) {
	return b.binary("^", c.args[0], c.args[1], c.pos)
}

// unary builds - @ ~ and |/.
func (b *builder) unary(op string, arg term, pos int) (term, *Error) {
	s := b.scalar(arg).guarded()
	if !arg.k.IsNumber() || op == "~" && !arg.k.IsInt() {
		return term{}, &Error{Pos: pos, Message: "operator does not exist: " + op + " " + arg.typeName(b)}
	}
	var err *Error
	k := s.k
	switch op {
	case "+":
		return arg, nil
	case "|/":
		if s, err = s.convert(value.Float8, pos); err != nil {
			return term{}, err
		}
		root := scalar{expr: &sqrtExpr{s}, k: value.Float8, bounds: bounds{s.bounds.hi, min(s.bounds.lo, 0)}}
		return exprTerm(root, pos), nil
	case "~":
		s, k = wholeBits(s), value.Int8
	default: // - and @
		if k.IsInt() {
			if k = value.Int8; s.bounds.hi > 62 {
				k = value.Numeric
			}
		}
	}
	if s, err = s.convert(k, pos); err != nil {
		return term{}, err
	}
	t := exprTerm(scalar{expr: &unaryExpr{op[0], k, s}, k: k, bounds: s.bounds}, pos)
	t.k = arg.k
	return t, nil
}

func (b *builder) numberFunction(c call) (term, *Error) {
	for i := range c.args {
		k := value.Float8
		if c.name == "div" || c.name == "mod" {
			k = value.Numeric
			if other := c.args[len(c.args)-1-i].k; c.name == "mod" && other != value.Unknown {
				k = other
			}
		}
		var err *Error
		if c.args[i], err = b.resolve(c.args[i], k); err != nil {
			return term{}, err
		}
		if !c.args[i].k.IsNumber() || len(c.args) == 2 && c.args[i].k.IsFloat() {
			return term{}, b.noFunction(c)
		}
	}
	switch c.name {
	case "abs":
		return b.unary("@", c.args[0], c.pos)
	case "sqrt":
		if c.args[0].k == value.Numeric {
			return term{}, b.noFunction(c).withHint("cast to double precision")
		}
		return b.unary("|/", c.args[0], c.pos)
	case "mod":
		return b.arithmetic('%', c.args[0], c.args[1], c.pos)
	}
	for i := range c.args {
		s, err := b.scalar(c.args[i]).guarded().convert(value.Numeric, c.args[i].pos)
		if err != nil {
			return term{}, err
		}
		c.args[i] = exprTerm(s, c.args[i].pos)
	}
	return b.arithmetic('d', c.args[0], c.args[1], c.pos)
}

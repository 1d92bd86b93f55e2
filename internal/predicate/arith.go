package predicate

import (
	"math"
	"strconv"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

type (
	// arithExpr is left op right, both of the kind k: bigint, numeric, real or double precision. The divisor of / and %
	// is never zero: the builder wraps it in NULLIF.
	arithExpr struct {
		op          byte // + - * / %, d for div(), & | # on integers
		k           value.Kind
		left, right scalar
	}

	// unaryExpr is - (negation), @ (magnitude) and ~ (all bits).
	unaryExpr struct {
		op  byte
		k   value.Kind
		arg scalar
	}

	// sqrtExpr is the square root of a double precision value, NULL of a negative one.
	sqrtExpr struct{ arg scalar }

	// nullifExpr is NULLIF: NULL where both sides are equal, else the left one.
	nullifExpr struct{ relation }
)

func (e *arithExpr) eval(row [][]byte) value.Datum {
	l := e.left.eval(row)
	if l.Null {
		return l
	}
	r := e.right.eval(row)
	if r.Null {
		return r
	}
	switch e.k {
	case value.Numeric:
		return value.Datum{Bytes: value.ParseBignum(l.Bytes).Arithmetic(e.op, value.ParseBignum(r.Bytes)).Text()}
	case value.Float4:
		return value.Datum{Float: float64(float32(floatArithmetic(e.op, l.Float, r.Float)))}
	case value.Float8:
		return value.Datum{Float: floatArithmetic(e.op, l.Float, r.Float)}
	default: // integers, within bounds that rule out an overflow
		return value.Datum{Int: intArithmetic(e.op, l.Int, r.Int)}
	}
}

func intArithmetic(op byte, l, r int64) int64 {
	switch op {
	case '+':
		return l + r
	case '-':
		return l - r
	case '*':
		return l * r
	case '/':
		return l / r
	case '%':
		return l % r
	case '&':
		return l & r
	case '|':
		return l | r
	default: // '#'
		return l ^ r
	}
}

// floatArithmetic rounds once; a real's result is rounded to a real once more, which for these operations is the same as
// computing with reals.
func floatArithmetic(op byte, l, r float64) float64 {
	switch op {
	case '+':
		return l + r
	case '-':
		return l - r
	case '*':
		return l * r
	default: // '/'
		return l / r
	}
}

func (e *unaryExpr) eval(row [][]byte) value.Datum {
	d := e.arg.eval(row)
	switch {
	case d.Null:
	case e.k == value.Numeric:
		x := value.ParseBignum(d.Bytes)
		if e.op == '-' || x.Class != value.NaN && x.Sign() < 0 {
			x = x.Negated()
		}
		d.Bytes = x.Text()
	case e.k.IsFloat() && e.op == '@':
		d.Float = math.Abs(d.Float)
	case e.k.IsFloat():
		d.Float = -d.Float
	case e.op == '~':
		d.Int = ^d.Int
	case e.op == '-' || d.Int < 0:
		d.Int = -d.Int
	}
	return d
}

func (e *sqrtExpr) eval(row [][]byte) value.Datum {
	d := e.arg.eval(row)
	if d.Null || d.Float < 0 {
		return value.Null
	}
	return value.Datum{Float: math.Sqrt(d.Float)}
}

func (e *nullifExpr) eval(row [][]byte) value.Datum {
	l := e.left.eval(row)
	if l.Null {
		return l
	}
	if r := e.right.eval(row); !r.Null && e.compare(&l, &r) == 0 {
		return value.Null
	}
	return l
}

func (e *arithExpr) columns(add func(int)) {
	e.left.columns(add)
	e.right.columns(add)
}
func (e *unaryExpr) columns(add func(int)) { e.arg.columns(add) }
func (e *sqrtExpr) columns(add func(int))  { e.arg.columns(add) }

func (e *arithExpr) print(p *printer) {
	if e.op == 'd' {
		p.call("div", e.left, e.right)
		return
	}
	p.WriteByte('(')
	p.expr(e.left)
	p.WriteString(" " + string(rune(e.op)) + " ")
	p.expr(e.right)
	p.WriteByte(')')
}

func (e *unaryExpr) print(p *printer) {
	p.WriteString("(" + string(rune(e.op)) + " ")
	p.expr(e.arg)
	p.WriteByte(')')
}

func (e *sqrtExpr) print(p *printer) {
	p.WriteString("CASE WHEN ")
	p.expr(e.arg)
	p.WriteString(" >= '0'::double precision THEN (|/ ")
	p.expr(e.arg)
	p.WriteString(") END")
}

func (e *nullifExpr) print(p *printer) {
	p.WriteString("NULLIF(")
	p.collated(e.left)
	p.WriteString(", ")
	p.expr(e.right)
	p.WriteByte(')')
}

func (p *printer) call(name string, args ...scalar) {
	p.WriteString(name)
	p.WriteByte('(')
	for i, a := range args {
		if i > 0 {
			p.WriteString(", ")
		}
		p.expr(a)
	}
	p.WriteByte(')')
}

// arithBounds bounds the result of l op r.
func arithBounds(op byte, k value.Kind, l, r bounds) bounds {
	switch op {
	case '+', '-':
		out := bounds{max(l.hi, r.hi) + 1, min(l.lo, r.lo)}
		if k.IsFloat() {
			out.lo -= 54 // what cancellation leaves is a multiple of the last place
		}
		return out
	case '*':
		return bounds{l.hi + r.hi, l.lo + r.lo}
	case '/':
		if k.IsInt() {
			return bounds{hi: l.hi}
		}
		return bounds{l.hi - r.lo, min(l.lo-r.hi, -bitsOfDigits(16))}
	case 'd':
		return bounds{hi: l.hi - r.lo}
	case '%':
		return bounds{max(l.hi, r.hi), min(l.lo, r.lo)}
	default: // bits
		return bounds{hi: max(l.hi, r.hi)}
	}
}

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
	return scalar{expr: &nullifExpr{relation{s, zero, value.Comparator(s.k, s.k), true}}, k: s.k, bounds: s.bounds}
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

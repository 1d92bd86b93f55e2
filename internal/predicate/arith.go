package predicate

import (
	"math"
	"strconv"
)

type (
	// arithExpr is left op right, both of the kind k: bigint, numeric, real or double precision. The divisor of / and %
	// is never zero: the builder wraps it in NULLIF.
	arithExpr struct {
		op          byte // + - * / %, d for div(), & | # on integers
		k           kind
		left, right scalar
	}

	// unaryExpr is - (negation), @ (magnitude) and ~ (all bits).
	unaryExpr struct {
		op  byte
		k   kind
		arg scalar
	}

	// sqrtExpr is the square root of a double precision value, NULL of a negative one.
	sqrtExpr struct{ arg scalar }

	// nullifExpr is NULLIF: NULL where both sides are equal, else the left one.
	nullifExpr struct{ relation }
)

func (e *arithExpr) eval(row [][]byte) datum {
	l := e.left.eval(row)
	if l.null {
		return l
	}
	r := e.right.eval(row)
	if r.null {
		return r
	}
	switch e.k {
	case kindNumeric:
		return datum{b: parseBignum(l.b).arithmetic(e.op, parseBignum(r.b)).text()}
	case kindFloat4:
		return datum{f: float64(float32(floatArithmetic(e.op, l.f, r.f)))}
	case kindFloat8:
		return datum{f: floatArithmetic(e.op, l.f, r.f)}
	default: // integers, within bounds that rule out an overflow
		return datum{i: intArithmetic(e.op, l.i, r.i)}
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

func (e *unaryExpr) eval(row [][]byte) datum {
	d := e.arg.eval(row)
	switch {
	case d.null:
	case e.k == kindNumeric:
		x := parseBignum(d.b)
		if e.op == '-' || x.class != decNaN && x.sign() < 0 {
			x = x.negated()
		}
		d.b = x.text()
	case e.k.isFloat() && e.op == '@':
		d.f = math.Abs(d.f)
	case e.k.isFloat():
		d.f = -d.f
	case e.op == '~':
		d.i = ^d.i
	case e.op == '-' || d.i < 0:
		d.i = -d.i
	}
	return d
}

func (e *sqrtExpr) eval(row [][]byte) datum {
	d := e.arg.eval(row)
	if d.null || d.f < 0 {
		return nullDatum
	}
	return datum{f: math.Sqrt(d.f)}
}

func (e *nullifExpr) eval(row [][]byte) datum {
	l := e.left.eval(row)
	if l.null {
		return l
	}
	if r := e.right.eval(row); !r.null && e.compare(&l, &r) == 0 {
		return nullDatum
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
func arithBounds(op byte, k kind, l, r bounds) bounds {
	switch op {
	case '+', '-':
		out := bounds{max(l.hi, r.hi) + 1, min(l.lo, r.lo)}
		if k.isFloat() {
			out.lo -= 54 // what cancellation leaves is a multiple of the last place
		}
		return out
	case '*':
		return bounds{l.hi + r.hi, l.lo + r.lo}
	case '/':
		if k.isInt() {
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
	case bits && !logical.isInt(), logical.isFloat() && op == '%':
		return term{}, b.noOperator(string(rune(op)), left, right, pos)
	case bits:
		k = kindInt8
		l, r = wholeBits(l), wholeBits(r)
	case logical.isInt():
		out := arithBounds(op, kindInt8, l.bounds, r.bounds)
		k = kindInt8
		if out.hi > 62 || l.k == kindNumeric || r.k == kindNumeric {
			k = kindNumeric
			if op == '/' {
				op = 'd'
			}
		}
	case logical.isFloat():
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
	if out.bounds.hi > maxBits(k) || k.isFloat() && out.bounds.lo < -maxBits(k) {
		return term{}, tooWide(pos)
	}
	out.bounds.lo = max(out.bounds.lo, -bitsOfDigits(numericScale))
	t := exprTerm(out, pos)
	t.k = logical
	return t, nil
}

// wholeBits brings an integer of any width to a bigint; what does not fit is NULL.
func wholeBits(s scalar) scalar {
	if s.k == kindNumeric {
		return narrowToType(s, kindInt8)
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
	zero := newConst(constant{k: s.k, text: "0"})
	return scalar{expr: &nullifExpr{relation{s, zero, comparator(s.k, s.k), true}}, k: s.k, bounds: s.bounds}
}

func isZeroConst(s scalar) bool {
	c, ok := s.expr.(*constExpr)
	return ok && !c.c.null && c.c.text == "0"
}

// power multiplies: the last digits of pow() depend on the machine's library.
func (b *builder) power(left, right term, logical kind, pos int) (term, *Error) {
	const most = 8
	n, err := strconv.Atoi(right.c.text)
	if right.form != formConst || right.c.null || err != nil || n < 1 || n > most {
		return term{}, &Error{
			Pos: pos, Message: "operator ^ is supported with the constant exponents 1 to 8 only",
			Hint: "the last digits of other powers depend on the machine",
		}
	}
	if logical.isInt() {
		logical = kindFloat8
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
	if !arg.k.isNumber() || op == "~" && !arg.k.isInt() {
		return term{}, &Error{Pos: pos, Message: "operator does not exist: " + op + " " + arg.typeName(b)}
	}
	var err *Error
	k := s.k
	switch op {
	case "+":
		return arg, nil
	case "|/":
		if s, err = s.convert(kindFloat8, pos); err != nil {
			return term{}, err
		}
		root := scalar{expr: &sqrtExpr{s}, k: kindFloat8, bounds: bounds{s.bounds.hi, min(s.bounds.lo, 0)}}
		return exprTerm(root, pos), nil
	case "~":
		s, k = wholeBits(s), kindInt8
	default: // - and @
		if k.isInt() {
			if k = kindInt8; s.bounds.hi > 62 {
				k = kindNumeric
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

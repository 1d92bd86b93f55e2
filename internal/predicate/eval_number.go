package predicate

import (
	"math"

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

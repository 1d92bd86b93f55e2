package predicate

import (
	"fmt"
	"math"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// maxScale bounds the digits of a rounded number.
const maxScale = 1000

// roundings are the functions that round: of numerics, and of double precision.
var roundings = map[string]struct {
	how   byte
	float func(float64) float64
}{
	"round": {value.RoundHalf, math.RoundToEven}, "trunc": {value.RoundZero, math.Trunc},
	"floor": {value.RoundDown, math.Floor}, "ceil": {value.RoundUp, math.Ceil}, "ceiling": {value.RoundUp, math.Ceil},
}

// rounded builds round(x), round(x, digits) and their like. As in Postgres integers become double precision if nothing
// says how many digits are wanted.
func (b *builder) rounded(c call) (term, *Error) {
	s, err := b.roundedArg(c)
	if err != nil {
		return term{}, err
	}
	r := roundings[c.name]
	if c.name == "ceiling" {
		c.name = "ceil"
	}
	e := &callExpr{name: c.name, args: []scalar{s}, cost: callCost{perByte: perRead, times: 1, bytes: 8}}
	out := scalar{expr: e, k: s.k, bounds: bounds{hi: max(s.bounds.hi, 0) + 1}}
	if s.k == value.Float8 {
		e.apply = func(a []value.Datum) value.Datum { return value.Datum{Float: r.float(a[0].Float)} }
		return exprTerm(out, c.pos), nil
	}
	e.cost.perSquare = perSquare
	scale := 0
	if len(c.args) == 2 {
		digits, err := b.countArg(c, 1, -maxScale)
		if err != nil {
			return term{}, err
		}
		n, ok := digits.expr.(*constExpr)
		if !ok || n.value.Int > maxScale {
			return term{}, &Error{Pos: c.args[1].pos, Message: fmt.Sprintf("the digits of %s must be a constant, at most %d", c.name, maxScale)}
		}
		scale = int(n.value.Int)
		e.args = append(e.args, digits)
		out.bounds.lo = -bitsOfDigits(max(scale, 0))
		e.cost.perByte, e.cost.bytes = 2*perRead, float64(max(scale, 0))+2
	}
	e.apply = func(a []value.Datum) value.Datum {
		return value.Datum{Bytes: value.ParseBignum(a[0].Bytes).Round(r.how, scale).Text()}
	}
	return exprTerm(out, c.pos), nil
}

// roundedArg is the number, numeric or double precision.
func (b *builder) roundedArg(c call) (scalar, *Error) {
	k := value.Float8
	if len(c.args) == 2 || c.args[0].k == value.Numeric {
		k = value.Numeric
	}
	t, err := b.resolve(c.args[0], k)
	if err != nil {
		return scalar{}, err
	}
	if c.args[0] = t; !t.k.IsNumber() || t.k.IsFloat() && k == value.Numeric {
		return scalar{}, b.noFunction(c).withHint("cast double precision to numeric")
	}
	return b.scalar(t).guarded().convert(k, t.pos)
}

// sign is -1, 0 or 1; of NaN 0 as a double precision, and NaN as a numeric.
func (b *builder) sign(c call) (term, *Error) {
	s, err := b.roundedArg(c)
	if err != nil {
		return term{}, err
	}
	e := &callExpr{name: c.name, args: []scalar{s}, cost: callCost{perByte: perRead, bytes: 8}}
	if s.k == value.Numeric {
		e.cost.perSquare = perSquare
	}
	e.apply = func(a []value.Datum) value.Datum {
		switch x := a[0].Float; {
		case s.k == value.Numeric:
			return value.Datum{Bytes: value.ParseBignum(a[0].Bytes).SignText()}
		case x > 0:
			return value.Datum{Float: 1}
		case x < 0:
			return value.Datum{Float: -1}
		default: // zero, or NaN
			return value.Datum{}
		}
	}
	return exprTerm(scalar{expr: e, k: s.k, bounds: bounds{hi: 1}}, c.pos), nil
}

package predicate

import (
	"fmt"
	"strconv"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// bounds limits an expression's values, so that nothing has to overflow. For numbers hi and lo are the binary logarithms
// of the largest and the smallest magnitude that is not zero; for dates and times hi is how many years a value may have
// moved away from the years that guarded columns are held to.
type bounds struct{ hi, lo int }

// newConst makes an expression of a typed constant.
func newConst(c value.Constant) scalar {
	e := &constExpr{c: c, value: value.Null}
	s := scalar{expr: e, k: c.Kind, bounds: boundsOfKind(c.Kind)}
	if c.Null {
		s.bounds = bounds{}
		return s
	}
	e.value, _ = value.ReadDatum(c.Kind, []byte(c.Text)) // the text is canonical
	switch {
	case c.Kind.IsNumber():
		s.bounds = boundsOfNumber(c)
		if c.Kind == value.Numeric && !growsLong(c) {
			e.value.Bytes = value.PlainNumeric(e.value.Bytes)
		}
	case c.Kind.IsTemporal() && !withinGuard(c.Kind, &e.value):
		s.bounds.hi = maxReach + 1
	case c.Kind == value.Interval:
		s.bounds.hi = value.ReachOf(&e.value)
	}
	return s
}

// growsLong reports whether a numeric constant is much longer written out than it is in the clause.
func growsLong(c value.Constant) bool {
	var d value.Decimal
	if c.Kind != value.Numeric || c.Null || !value.ParseDecimal([]byte(c.Text), &d) {
		return false
	}
	return max(d.Exp, 0)+max(len(d.Head)+len(d.Tail)-d.Exp, 0) > guardDigits+len(c.Text)
}

// tooLong refuses a constant that growsLong in an expression where it is written out; it is compared as it is.
func tooLong(pos int) *Error {
	return &Error{Pos: pos, Message: fmt.Sprintf("the number has more than %d digits", guardDigits), Hint: "such a number can be compared with, and nothing else"}
}

// boundsOfNumber are those of one number.
func boundsOfNumber(c value.Constant) bounds {
	var d value.Decimal
	if !value.ParseDecimal([]byte(c.Text), &d) || d.Class != value.Positive && d.Class != value.Negative {
		return bounds{}
	}
	// 10^(exp-1) <= |value| < 10^exp, and no digit is below 10^(exp-digits).
	if c.Kind.IsInt() {
		n, _ := strconv.ParseInt(c.Text, 10, 64)
		hi := 0
		for v := value.Magnitude(n); v > 1<<hi && hi < 63; hi++ {
		}
		return bounds{hi: hi}
	}
	return bounds{hi: bitsOfDigits(max(d.Exp, 0)), lo: -bitsOfDigits(max(len(d.Head)+len(d.Tail)-d.Exp, 0))}
}

// bitsOfDigits bounds 10^digits by a power of two.
func bitsOfDigits(digits int) int { return digits*10/3 + 1 }

func boundsOfKind(k value.Kind) bounds {
	switch k {
	case value.Int2:
		return bounds{hi: 15}
	case value.Int4:
		return bounds{hi: 31}
	case value.Int8:
		return bounds{hi: 63}
	case value.Float4:
		return bounds{hi: 128, lo: -149}
	case value.Float8:
		return bounds{hi: 1024, lo: -1074}
	case value.Numeric:
		return bounds{hi: bitsOfDigits(value.NumericWholeDigits), lo: -bitsOfDigits(value.NumericScale)}
	default: // not a number
		return bounds{}
	}
}

// joint bounds one of several values.
func joint(args []scalar) bounds {
	out := args[0].bounds
	for _, a := range args[1:] {
		out = bounds{max(out.hi, a.bounds.hi), min(out.lo, a.bounds.lo)}
	}
	return out
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

package predicate

import (
	"strconv"
	"unicode/utf8"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// expr is a typed scalar expression: the general form beside the nodes that are specialised for columns and constants.
// Expressions are immutable and safe for concurrent use; eval must not keep the row. It has a value, or NULL, for every
// row, also where Postgres would raise an error for the user's text: print then writes SQL that does not.
type expr interface {
	eval(row [][]byte) value.Datum
	print(p *printer)
	columns(add func(column int))
}

// scalar is an expression with what is known of its values.
type scalar struct {
	expr

	k      value.Kind // as Postgres types what print writes; arithmetic on integers is wider than it is in the user's text
	bounds bounds
	enum   *enumType
}

// bounds limits an expression's values, so that nothing has to overflow. For numbers hi and lo are the binary logarithms
// of the largest and the smallest magnitude that is not zero; for dates and times hi is how many years a value may have
// moved away from the years that guarded columns are held to.
type bounds struct{ hi, lo int }

// enumType identifies an enum and knows its labels in their order.
type enumType struct {
	oid    uint32
	name   string
	labels []string
}

type (
	// columnExpr is a column. Guarded ones read values that arithmetic could not cope with as NULL; see guard.go.
	columnExpr struct {
		column  column
		guarded bool
	}

	constExpr struct {
		c     value.Constant
		value value.Datum
	}

	// conditionExpr is a boolean expression as a value.
	conditionExpr struct{ arg node }

	// exprCondition is a scalar expression of type boolean as a condition.
	exprCondition struct{ arg expr }

	nullExprNode struct {
		arg scalar
		not bool
	}
)

func (e *columnExpr) eval(row [][]byte) value.Datum {
	text := cell(row, e.column.index)
	if text == nil {
		return value.Null
	}
	d, ok := value.ReadDatum(e.column.k, text)
	if !ok || e.guarded && !withinGuard(e.column.k, &d) {
		return value.Null
	}
	return d
}

func (e *constExpr) eval([][]byte) value.Datum { return e.value }

func (e *conditionExpr) eval(row [][]byte) value.Datum {
	switch e.arg.eval(row) {
	case isTrue:
		return value.Datum{Int: 1}
	case isFalse:
		return value.Datum{}
	default: // unknown
		return value.Null
	}
}

func (n *exprCondition) eval(row [][]byte) truth {
	d := n.arg.eval(row)
	if d.Null {
		return isUnknown
	}
	return truthOf(d.Int != 0)
}

func (n *nullExprNode) eval(row [][]byte) truth {
	d := n.arg.eval(row)
	return truthOf(d.Null != n.not)
}

func (e *columnExpr) columns(add func(int))    { add(e.column.index) }
func (e *constExpr) columns(func(int))         {}
func (e *conditionExpr) columns(add func(int)) { e.arg.columns(add) }
func (n *exprCondition) columns(add func(int)) { n.arg.columns(add) }
func (n *nullExprNode) columns(add func(int))  { n.arg.columns(add) }

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
		if c.Kind == value.Numeric {
			e.value.Bytes = value.PlainNumeric(e.value.Bytes)
		}
	case c.Kind.IsTemporal() && !withinGuard(c.Kind, &e.value):
		s.bounds.hi = maxReach + 1
	case c.Kind == value.Interval:
		s.bounds.hi = value.ReachOf(&e.value)
	}
	return s
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

func characters(s []byte) int64 { return int64(utf8.RuneCount(s)) }

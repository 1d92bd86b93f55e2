package predicate

import (
	"strconv"
	"unicode/utf8"
)

// expr is a typed scalar expression: the general form beside the nodes that are specialised for columns and constants.
// Expressions are immutable and safe for concurrent use; eval must not keep the row. It has a value, or NULL, for every
// row, also where Postgres would raise an error for the user's text: print then writes SQL that does not.
type expr interface {
	eval(row [][]byte) datum
	print(p *printer)
	columns(add func(column int))
}

// scalar is an expression with what is known of its values.
type scalar struct {
	expr

	k      kind // as Postgres types what print writes; arithmetic on integers is wider than it is in the user's text
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
		c     constant
		value datum
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

func (e *columnExpr) eval(row [][]byte) datum {
	text := cell(row, e.column.index)
	if text == nil {
		return nullDatum
	}
	d, ok := readDatum(e.column.k, text)
	if !ok || e.guarded && !withinGuard(e.column.k, &d) {
		return nullDatum
	}
	return d
}

func (e *constExpr) eval([][]byte) datum { return e.value }

func (e *conditionExpr) eval(row [][]byte) datum {
	switch e.arg.eval(row) {
	case isTrue:
		return datum{i: 1}
	case isFalse:
		return datum{}
	default: // unknown
		return nullDatum
	}
}

func (n *exprCondition) eval(row [][]byte) truth {
	d := n.arg.eval(row)
	if d.null {
		return isUnknown
	}
	return truthOf(d.i != 0)
}

func (n *nullExprNode) eval(row [][]byte) truth {
	d := n.arg.eval(row)
	return truthOf(d.null != n.not)
}

func (e *columnExpr) columns(add func(int))    { add(e.column.index) }
func (e *constExpr) columns(func(int))         {}
func (e *conditionExpr) columns(add func(int)) { e.arg.columns(add) }
func (n *exprCondition) columns(add func(int)) { n.arg.columns(add) }
func (n *nullExprNode) columns(add func(int))  { n.arg.columns(add) }

// newConst makes an expression of a typed constant.
func newConst(c constant) scalar {
	e := &constExpr{c: c, value: nullDatum}
	s := scalar{expr: e, k: c.k, bounds: boundsOfKind(c.k)}
	if c.null {
		s.bounds = bounds{}
		return s
	}
	e.value, _ = readDatum(c.k, []byte(c.text)) // the text is canonical
	switch {
	case c.k.isNumber():
		s.bounds = boundsOfNumber(c)
		if c.k == kindNumeric {
			e.value.b = plainNumeric(e.value.b)
		}
	case c.k.isTemporal() && !withinGuard(c.k, &e.value):
		s.bounds.hi = maxReach + 1
	case c.k == kindInterval:
		s.bounds.hi = reachOf(&e.value)
	}
	return s
}

// boundsOfNumber are those of one number.
func boundsOfNumber(c constant) bounds {
	var d decimal
	if !parseDecimal([]byte(c.text), &d) || d.class != decPositive && d.class != decNegative {
		return bounds{}
	}
	// 10^(exp-1) <= |value| < 10^exp, and no digit is below 10^(exp-digits).
	if c.k.isInt() {
		n, _ := strconv.ParseInt(c.text, 10, 64)
		hi := 0
		for v := magnitude(n); v > 1<<hi && hi < 63; hi++ {
		}
		return bounds{hi: hi}
	}
	return bounds{hi: bitsOfDigits(max(d.exp, 0)), lo: -bitsOfDigits(max(len(d.head)+len(d.tail)-d.exp, 0))}
}

// bitsOfDigits bounds 10^digits by a power of two.
func bitsOfDigits(digits int) int { return digits*10/3 + 1 }

func boundsOfKind(k kind) bounds {
	switch k {
	case kindInt2:
		return bounds{hi: 15}
	case kindInt4:
		return bounds{hi: 31}
	case kindInt8:
		return bounds{hi: 63}
	case kindFloat4:
		return bounds{hi: 128, lo: -149}
	case kindFloat8:
		return bounds{hi: 1024, lo: -1074}
	case kindNumeric:
		return bounds{hi: bitsOfDigits(numericWholeDigits), lo: -bitsOfDigits(numericScale)}
	default: // not a number
		return bounds{}
	}
}

func characters(s []byte) int64 { return int64(utf8.RuneCount(s)) }

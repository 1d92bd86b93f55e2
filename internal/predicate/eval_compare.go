package predicate

import (
	"github.com/shapebus/shapebus/internal/predicate/value"
)

// compareConstNode compares a column with a constant, column first.
type compareConstNode struct {
	op     operator
	byText bool // equality of column and constant is that of their texts
	read   value.Reading
	column column
	c      value.Constant
	value  *value.Operand // the constant's; nil if byText, as there are many such nodes and it is large
}

// operand is the constant to compare with.
func (n *compareConstNode) operand() value.Operand {
	if n.value != nil {
		return *n.value
	}
	var v value.Operand
	_ = n.c.Read(&v, value.Reading{Kind: n.c.Kind, Domain: n.read.Domain}) // it has been read once
	return v
}

func (n *compareConstNode) eval(row [][]byte) truth {
	text := cell(row, n.column.index)
	if text == nil {
		return isUnknown
	}
	if n.byText {
		return truthOf((string(text) == n.c.Text) == (n.op == opEqual)) // allocates nothing
	}
	var v value.Operand
	if !n.read.Read(text, &v) {
		return isUnknown
	}
	return truthOf(n.op.holds(n.read.Domain.Compare(&v, n.value)))
}

// compareColumnsNode compares two columns.
type compareColumnsNode struct {
	op                  operator
	left, right         column
	readLeft, readRight value.Reading
}

func (n *compareColumnsNode) eval(row [][]byte) truth {
	l, r := cell(row, n.left.index), cell(row, n.right.index)
	if l == nil || r == nil {
		return isUnknown
	}
	var lv, rv value.Operand
	if !n.readLeft.Read(l, &lv) || !n.readRight.Read(r, &rv) {
		return isUnknown
	}
	return truthOf(n.op.holds(n.readLeft.Domain.Compare(&lv, &rv)))
}

func (n *compareConstNode) columns(add func(int)) { add(n.column.index) }

func (n *compareColumnsNode) columns(add func(int)) {
	add(n.left.index)
	add(n.right.index)
}

type (
	// compareExprNode is left op right.
	compareExprNode struct {
		relation

		op operator
	}

	// distinctNode is left IS [NOT] DISTINCT FROM right.
	distinctNode struct {
		relation

		not bool
	}
)

func (n *compareExprNode) eval(row [][]byte) truth {
	l := n.left.eval(row)
	if l.Null {
		return isUnknown
	}
	r := n.right.eval(row)
	if r.Null {
		return isUnknown
	}
	return truthOf(n.op.holds(n.compare(&l, &r)))
}

func (n *distinctNode) eval(row [][]byte) truth {
	l, r := n.left.eval(row), n.right.eval(row)
	distinct := l.Null != r.Null
	if !l.Null && !r.Null {
		distinct = n.compare(&l, &r) != 0
	}
	return truthOf(distinct != n.not)
}

func (r *relation) columns(add func(int)) {
	r.left.columns(add)
	r.right.columns(add)
}

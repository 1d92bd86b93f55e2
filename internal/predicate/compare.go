package predicate

import (
	"bytes"
)

// operator is a comparison.
type operator uint8

const (
	opEqual operator = iota
	opNotEqual
	opLess
	opLessEqual
	opGreater
	opGreaterEqual
)

func operatorOf(name string) (operator, bool) {
	switch name {
	case "=":
		return opEqual, true
	case "<>":
		return opNotEqual, true
	case "<":
		return opLess, true
	case "<=":
		return opLessEqual, true
	case ">":
		return opGreater, true
	case ">=":
		return opGreaterEqual, true
	}
	return 0, false
}

func (o operator) String() string {
	return [...]string{"=", "<>", "<", "<=", ">", ">="}[o]
}

func (o operator) isEquality() bool { return o == opEqual || o == opNotEqual }

// holds tells whether the operator is true of two values that compare as c (< 0, 0, > 0).
func (o operator) holds(c int) bool {
	switch o {
	case opEqual:
		return c == 0
	case opNotEqual:
		return c != 0
	case opLess:
		return c < 0
	case opLessEqual:
		return c <= 0
	case opGreater:
		return c > 0
	default: // opGreaterEqual
		return c >= 0
	}
}

// compareConstNode compares a column with a constant, column first.
type compareConstNode struct {
	op     operator
	column column
	read   reading
	c      constant
	value  value
	// sameText: equality may compare the column's bytes with the constant's text.
	sameText []byte
}

func (n *compareConstNode) eval(row [][]byte) truth {
	text := cell(row, n.column.index)
	if text == nil {
		return isUnknown
	}
	if n.sameText != nil {
		return truthOf(bytes.Equal(text, n.sameText) == (n.op == opEqual))
	}
	var v value
	if !n.read.read(text, &v) {
		return isUnknown
	}
	return truthOf(n.op.holds(n.read.domain.compare(&v, &n.value)))
}

// compareColumnsNode compares two columns.
type compareColumnsNode struct {
	op                  operator
	left, right         column
	readLeft, readRight reading
}

func (n *compareColumnsNode) eval(row [][]byte) truth {
	l, r := cell(row, n.left.index), cell(row, n.right.index)
	if l == nil || r == nil {
		return isUnknown
	}
	var lv, rv value
	if !n.readLeft.read(l, &lv) || !n.readRight.read(r, &rv) {
		return isUnknown
	}
	return truthOf(n.op.holds(n.readLeft.domain.compare(&lv, &rv)))
}

// likeNode is column [I]LIKE pattern; NOT LIKE is a notNode around it.
type likeNode struct {
	column  column
	pattern string
	match   likePattern
	buffers foldBuffers
}

func (n *likeNode) eval(row [][]byte) truth {
	text := cell(row, n.column.index)
	if text == nil {
		return isUnknown
	}
	return truthOf(n.match.match(text, &n.buffers))
}

func (n *compareConstNode) columns(add func(int)) { add(n.column.index) }
func (n *likeNode) columns(add func(int))         { add(n.column.index) }

func (n *compareColumnsNode) columns(add func(int)) {
	add(n.left.index)
	add(n.right.index)
}

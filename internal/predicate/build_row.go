package predicate

import (
	"fmt"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// maxRow bounds the members of a row, as those before a subquery are bounded.
const maxRow = maxTuple

// isRow tells (a, b) from (a).
func isRow(n *pg_query.Node) bool { return n.GetRowExpr() != nil }

// rowComparison builds (a, b) op (c, d) of its members, which means the same: rows are equal if all members are, and the
// first that differ decide their order. What is unknown of a member is unknown of the rows, unless another decides.
func (b *builder) rowComparison(op operator, left, right *pg_query.Node, pos, depth int) (node, *Error) {
	l, r, err := b.rows(left, right, pos)
	if err != nil {
		return nil, err
	}
	if op.isEquality() {
		return b.rowEquality(op, l, r, pos, depth)
	}
	strict := map[operator]operator{opLess: opLess, opLessEqual: opLess, opGreater: opGreater, opGreaterEqual: opGreater}[op]
	last := len(l) - 1
	differ, same := make([]node, len(l)), make([]node, last)
	for i := range l { // in this order, since the first use of a parameter decides its type
		if i == last {
			strict = op
		}
		if differ[i], err = b.compareNodes(strict, l[i], r[i], pos, depth); err != nil {
			return nil, err
		}
		if i == last {
			break
		}
		if same[i], err = b.compareNodes(opEqual, l[i], r[i], pos, depth); err != nil {
			return nil, err
		}
	}
	out := differ[last]
	for i, equal := range slices.Backward(same) {
		out = b.disjunction(differ[i], b.conjunction(equal, out))
	}
	return out, nil
}

func (b *builder) rowEquality(op operator, l, r []*pg_query.Node, pos, depth int) (node, *Error) {
	args := make([]node, len(l))
	for i := range l {
		var err *Error
		if args[i], err = b.compareNodes(op, l[i], r[i], pos, depth); err != nil {
			return nil, err
		}
	}
	if op == opNotEqual {
		return b.disjunction(args...), nil
	}
	return b.conjunction(args...), nil
}

// rowIn builds (a, b) [NOT] IN ((1, 2), …).
func (b *builder) rowIn(left *pg_query.Node, items []*pg_query.Node, not bool, pos, depth int) (node, *Error) {
	if len(items)*len(left.GetRowExpr().GetArgs()) > maxList {
		return nil, &Error{Pos: pos, Message: fmt.Sprintf("the IN list has %d rows, at most %d values are allowed in all of them", len(items), maxList)}
	}
	args := make([]node, len(items))
	for i, item := range items {
		l, r, err := b.rows(left, item, pos)
		if err != nil {
			return nil, err
		}
		if args[i], err = b.rowEquality(opEqual, l, r, pos, depth); err != nil {
			return nil, err
		}
	}
	out := b.disjunction(args...)
	if not {
		out = &notNode{out}
	}
	return out, nil
}

func (b *builder) rows(left, right *pg_query.Node, pos int) (l, r []*pg_query.Node, err *Error) {
	for _, side := range []*pg_query.Node{left, right} {
		if !isRow(side) {
			if at := b.position(side); at > 0 {
				pos = at
			}
			return nil, nil, &Error{Pos: pos, Message: "a row is compared with rows only", Hint: "write (a, b) = (1, 2) or (a, b) IN ((1, 2), (3, 4))"}
		}
	}
	l, r = left.GetRowExpr().Args, right.GetRowExpr().Args
	switch {
	case len(l) != len(r):
		return nil, nil, &Error{Pos: pos, Message: "unequal number of entries in row expressions"}
	case len(l) == 0:
		return nil, nil, &Error{Pos: pos, Message: "cannot compare rows of zero length"}
	case len(l) > maxRow:
		return nil, nil, &Error{Pos: pos, Message: fmt.Sprintf("rows of %d members, at most %d are allowed", len(l), maxRow)}
	}
	return l, r, nil
}

func (b *builder) compareNodes(op operator, left, right *pg_query.Node, pos, depth int) (node, *Error) {
	l, r, err := b.rememberedPair(left, right, depth+1)
	if err != nil {
		return nil, err
	}
	return b.compare(op, l, r, pos)
}

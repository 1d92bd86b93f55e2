package predicate

import (
	"slices"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// containRanges builds @> <@ && with ranges: of one type, or of a range and a value of the type of its bounds.
func (b *builder) containRanges(name string, left, right term, pos int) (term, *Error) {
	if !slices.Contains([]string{"@>", "<@", "&&"}, name) {
		if name == "?" || name == "?|" || name == "?&" {
			return term{}, b.noOperator(name, left, right, pos)
		}
		return term{}, refusedOperator(name, pos)
	}
	l, r, err := b.unify(left, right)
	if err != nil {
		return term{}, err
	}
	if name == "<@" {
		l, r = r, l
	}
	n := &rangeNode{overlap: name == "&&", k: l.k, left: b.scalar(l), right: b.scalar(r)}
	switch {
	case l.k.IsRange() && r.k == l.k:
	case l.k.IsRange() && !n.overlap && r.k == l.k.RangeElement():
		if n.element = true; r.k.IsInt() && n.right.k != r.k { // wider than it is in the user's text
			n.right = narrowToType(n.right, r.k)
		}
	default:
		return term{}, b.noOperator(name, left, right, pos)
	}
	if isNullConst(n.left) || isNullConst(n.right) {
		return conditionTerm(&literalNode{isUnknown}, pos), nil
	}
	n.leftRange, n.rightRange = constRange(n.left), constRange(n.right)
	if n.element && n.leftRange != nil && r.form == formColumn {
		if within, ok, err := b.withinRange(n.leftRange, l, r, pos); ok || err != nil {
			return conditionTerm(within, pos), err
		}
	}
	return conditionTerm(n, pos), nil
}

// constRange reads a constant once; nil for other expressions.
func constRange(s scalar) *value.Range {
	c, ok := s.expr.(*constExpr)
	if !ok || !s.k.IsRange() {
		return nil
	}
	r := &value.Range{}
	value.RangeFromText(s.k, []byte(c.c.Text), r) // the text is canonical
	return r
}

// withinRange is column <@ range as comparisons with the bounds, which an index serves. ok is false if there are none.
func (b *builder) withinRange(r *value.Range, constant, column term, pos int) (n node, ok bool, err *Error) {
	if r.Empty || r.Lower.Open && r.Upper.Open {
		return nil, false, nil
	}
	var args []node
	for _, bound := range []struct {
		value.RangeBound

		ops [2]operator // without the bound, and with it
	}{{r.Lower, [2]operator{opGreater, opGreaterEqual}}, {r.Upper, [2]operator{opLess, opLessEqual}}} {
		if bound.Open {
			continue
		}
		op := bound.ops[0]
		if bound.Inclusive {
			op = bound.ops[1]
		}
		k := column.k
		c, perr := value.ParseConstant(k, string(value.TextOf(k, &bound.Value)))
		if perr != nil {
			return nil, false, inputAt(perr, constant.pos, constant.param)
		}
		n, err := b.compare(op, column, exprTermConst(c, constant.pos), pos)
		if err != nil {
			return nil, false, err
		}
		args = append(args, n)
	}
	return b.conjunction(args...), true, nil
}

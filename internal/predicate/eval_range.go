package predicate

import "github.com/shapebus/shapebus/internal/predicate/value"

// rangeNode is left @> right, or && (overlap), on ranges of a kind. <@ is @> the other way round.
type rangeNode struct {
	overlap     bool
	element     bool // the right side is no range, but a value of its bounds' type
	k           value.Kind
	left, right scalar

	leftRange, rightRange *value.Range // constants
}

func (n *rangeNode) eval(row [][]byte) truth {
	l, r := n.left.eval(row), n.right.eval(row)
	if l.Null || r.Null {
		return isUnknown
	}
	var left, right value.Range
	if !rangeOf(n.k, n.leftRange, &l, &left) {
		return isUnknown
	}
	if n.element {
		return truthOf(left.HasElement(n.k, &r))
	}
	if !rangeOf(n.k, n.rightRange, &r, &right) {
		return isUnknown
	}
	if n.overlap {
		return truthOf(left.Overlaps(n.k, &right))
	}
	return truthOf(left.Contains(n.k, &right))
}

func rangeOf(k value.Kind, constant *value.Range, d *value.Datum, out *value.Range) bool {
	if constant != nil {
		*out = *constant
		return true
	}
	return value.RangeFromText(k, d.Bytes, out)
}

func (n *rangeNode) columns(add func(int)) {
	n.left.columns(add)
	n.right.columns(add)
}

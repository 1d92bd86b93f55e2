package predicate

import (
	"github.com/shapebus/shapebus/internal/predicate/value"
)

// relation is two expressions brought to types that can be compared, and how.
type relation struct {
	left, right scalar
	compare     func(a, b *value.Datum) int
	ordered     bool    // < and > exist too
	scan        float64 // what compare takes besides what the values' sizes tell, in steps
}

// relate types a comparison of general expressions as Postgres does, or says that there is no such operator.
func (b *builder) relate(op string, left, right term, pos int) (relation, *Error) {
	left, right, err := b.unify(left, right)
	if err != nil {
		return relation{}, err
	}
	r := relation{left: b.compared(left), right: b.compared(right), ordered: true}
	l, k := r.left.k, r.right.k
	var target value.Kind
	switch {
	case l.IsNumber() && k.IsNumber():
		target = commonNumber(l, k)
	case l.IsText() && k.IsText():
		target = value.Text
		if (l == value.Bpchar || k == value.Bpchar) && l != value.Text && k != value.Text {
			target = value.Bpchar
		}
	case l.IsArray() && k.IsArray():
		return b.relateArrays(op, r, left, right, pos)
	case l == value.Name && k.IsText() || l.IsText() && k == value.Name:
		target = value.Text
	case l.IsNetwork() && k.IsNetwork():
		r.compare, r.ordered = value.Comparator(l, k), false
		return r, nil
	case l == value.Enum && k == value.Enum:
		if r.left.enum.oid != r.right.enum.oid {
			return relation{}, b.noOperator(op, left, right, pos)
		}
		r.compare = value.CompareBytes // what is equal; for what is less see orderEnum
		return r, nil
	case l == value.JSONB && k == value.JSONB:
		r.compare, r.ordered = value.CompareJSON, false
		return r, nil
	case l == k && !l.IsOpaque() && !l.IsArray() || k == value.Timestamp && l == value.Date || l == value.Timestamp && k == value.Date:
		r.compare, r.ordered = value.Comparator(l, k), l.IsOrdered()
		return r, nil
	default:
		return relation{}, b.noOperator(op, left, right, pos)
	}
	if r.left, err = r.left.convert(target, left.pos); err != nil {
		return relation{}, err
	}
	r.right, err = r.right.convert(target, right.pos)
	r.compare = value.Comparator(target, target)
	return r, err
}

// compared is an expression that is only compared: then a long number is not written out.
func (b *builder) compared(t term) scalar {
	before := b.refused
	s := b.scalar(t)
	b.refused = before
	return s
}

// commonNumber is the type in which two numbers are compared and computed; integers of any width stay integers.
func commonNumber(l, r value.Kind) value.Kind {
	switch {
	case l == r:
		return l
	case l.IsFloat() || r.IsFloat():
		return value.Float8
	default:
		return max(l, r)
	}
}

package predicate

import (
	"slices"
	"strings"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// inExprNode is left IN (constants) for a general expression. NOT IN is a notNode around it.
type inExprNode struct {
	left    scalar
	members []scalar // constants, sorted, without repeats and NULLs
	values  []value.Datum
	hasNull bool
	sorted  bool // values are in the order of compare
	compare func(a, b *value.Datum) int
}

// inExpr builds the set, whose members have one type.
func (b *builder) inExpr(left term, members []term) (node, *Error) {
	n := &inExprNode{}
	for _, t := range members {
		if t.c.Null {
			n.hasNull = true
			continue
		}
		r, err := b.relate("=", left, t, t.pos)
		if err != nil {
			return nil, err
		}
		if _, ok := r.right.expr.(*constExpr); !ok {
			return nil, nil // compared one by one
		}
		n.left, n.compare = r.left, r.compare
		n.members = append(n.members, r.right)
	}
	if len(n.members) == 0 {
		return &literalNode{isUnknown}, nil
	}
	text := func(s scalar) string { return s.expr.(*constExpr).c.Text } //nolint:forcetypeassert,errcheck // all are constants
	slices.SortFunc(n.members, func(a, b scalar) int { return strings.Compare(text(a), text(b)) })
	n.members = slices.CompactFunc(n.members, func(a, b scalar) bool { return text(a) == text(b) })
	if len(n.members) == 1 && !n.hasNull {
		return &compareExprNode{relation{n.left, n.members[0], n.compare, true}, opEqual}, nil
	}
	for _, m := range n.members {
		n.values = append(n.values, m.eval(nil))
	}
	if k := n.left.k; !k.IsArray() && k != value.JSONB {
		n.sorted = true
		slices.SortFunc(n.values, func(a, b value.Datum) int { return n.compare(&a, &b) })
	}
	return n, nil
}

func (n *inExprNode) has(d *value.Datum) bool {
	if n.sorted {
		_, found := slices.BinarySearchFunc(n.values, d, func(v value.Datum, d *value.Datum) int { return n.compare(&v, d) })
		return found
	}
	return slices.ContainsFunc(n.values, func(v value.Datum) bool { return n.compare(&v, d) == 0 })
}

func (n *inExprNode) eval(row [][]byte) truth {
	d := n.left.eval(row)
	if d.Null {
		return isUnknown
	}
	if n.has(&d) {
		return isTrue
	}
	if n.hasNull {
		return isUnknown
	}
	return isFalse
}

func (n *inExprNode) columns(add func(int)) { n.left.columns(add) }

func (n *inExprNode) print(p *printer) {
	p.collated(n.left)
	p.WriteString(" IN (")
	for i, m := range n.members {
		if i > 0 {
			p.WriteString(", ")
		}
		p.expr(m)
	}
	if n.hasNull {
		p.WriteString(", NULL")
		if n.left.k != value.Enum {
			p.WriteString("::" + n.left.k.String())
		}
	}
	p.WriteByte(')')
}

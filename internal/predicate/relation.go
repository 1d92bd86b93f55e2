package predicate

import (
	"fmt"
)

// relation is two expressions brought to types that can be compared, and how.
type relation struct {
	left, right scalar
	compare     func(a, b *datum) int
	ordered     bool // < and > exist too
}

// relate types a comparison of general expressions as Postgres does, or says that there is no such operator.
func (b *builder) relate(op string, left, right term, pos int) (relation, *Error) {
	left, right, err := b.unify(left, right)
	if err != nil {
		return relation{}, err
	}
	r := relation{left: b.scalar(left), right: b.scalar(right), ordered: true}
	l, k := r.left.k, r.right.k
	var target kind
	switch {
	case l.isNumber() && k.isNumber():
		target = commonNumber(l, k)
	case l.isText() && k.isText():
		target = kindText
		if (l == kindBpchar || k == kindBpchar) && l != kindText && k != kindText {
			target = kindBpchar
		}
	case l.isArray() && k.isArray():
		return b.relateArrays(op, r, left, right, pos)
	case l == kindEnum && k == kindEnum:
		if r.left.enum.oid != r.right.enum.oid {
			return relation{}, b.noOperator(op, left, right, pos)
		}
		r.compare, r.ordered = compareBytes, false
		return r, nil
	case l == kindJSONB && k == kindJSONB:
		r.compare, r.ordered = compareJSON, false
		return r, nil
	case l == k && l != kindOpaque && !l.isArray() || k == kindTimestamp && l == kindDate || l == kindTimestamp && k == kindDate:
		r.compare = comparator(l, k)
		return r, nil
	default:
		return relation{}, b.noOperator(op, left, right, pos)
	}
	if r.left, err = r.left.convert(target, left.pos); err != nil {
		return relation{}, err
	}
	r.right, err = r.right.convert(target, right.pos)
	r.compare = comparator(target, target)
	return r, err
}

// commonNumber is the type in which two numbers are compared and computed; integers of any width stay integers.
func commonNumber(l, r kind) kind {
	switch {
	case l == r:
		return l
	case l.isFloat() || r.isFloat():
		return kindFloat8
	default:
		return max(l, r)
	}
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
	if l.null {
		return isUnknown
	}
	r := n.right.eval(row)
	if r.null {
		return isUnknown
	}
	return truthOf(n.op.holds(n.compare(&l, &r)))
}

func (n *distinctNode) eval(row [][]byte) truth {
	l, r := n.left.eval(row), n.right.eval(row)
	distinct := l.null != r.null
	if !l.null && !r.null {
		distinct = n.compare(&l, &r) != 0
	}
	return truthOf(distinct != n.not)
}

func (r *relation) columns(add func(int)) {
	r.left.columns(add)
	r.right.columns(add)
}

func (n *compareExprNode) print(p *printer) {
	if n.op.isEquality() {
		p.equated(n.left, n.right)
	} else {
		p.collated(n.left)
	}
	p.operator(n.op)
	p.expr(n.right)
}

func (n *distinctNode) print(p *printer) {
	p.equated(n.left, n.right)
	p.WriteString(" IS ")
	if n.not {
		p.WriteString("NOT ")
	}
	p.WriteString("DISTINCT FROM ")
	p.expr(n.right)
}

// collated prints the operand that decides the collation.
func (p *printer) collated(s scalar) {
	p.expr(s)
	if s.k.element().isText() {
		p.WriteString(byteOrder)
	}
}

// equated prints the left side of what looks for equal values. Beside a constant a column keeps its own collation where
// that changes nothing, so that indexes serve it.
func (p *printer) equated(left, right scalar) {
	column, other := left, right
	if _, ok := left.expr.(*constExpr); ok {
		column, other = right, left
	}
	c, isColumn := column.expr.(*columnExpr)
	if _, isConst := other.expr.(*constExpr); isColumn && isConst && !c.column.nonDeterministic {
		p.expr(left)
		return
	}
	p.collated(left)
}

// compareExprs builds left op right for operands that the specialised nodes do not serve.
func (b *builder) compareExprs(op operator, left, right term, pos int) (node, *Error) {
	r, err := b.relate(op.String(), left, right, pos)
	if err != nil {
		return nil, err
	}
	if !r.ordered && !op.isEquality() {
		return nil, &Error{Pos: pos, Message: fmt.Sprintf("operator %s is not supported on %s", op, r.left.typeName()), Hint: "only = and <> are"}
	}
	if isNullConst(r.left) || isNullConst(r.right) {
		return &literalNode{isUnknown}, nil
	}
	return &compareExprNode{r, op}, nil
}

func isNullConst(s scalar) bool {
	c, ok := s.expr.(*constExpr)
	return ok && c.c.null
}

// distinct builds IS [NOT] DISTINCT FROM.
func (b *builder) distinct(left, right term, not bool, pos int) (node, *Error) {
	if left.form == formBool || right.form == formBool || left.k == kindBool || right.k == kindBool {
		var err *Error
		if left, err = b.resolve(left, kindBool); err != nil {
			return nil, err
		}
		if right, err = b.resolve(right, kindBool); err != nil {
			return nil, err
		}
	}
	for _, side := range [][2]*term{{&left, &right}, {&right, &left}} {
		if err := b.nullOf(side[1], side[0]); err != nil {
			return nil, err
		}
	}
	for _, side := range [][2]term{{left, right}, {right, left}} {
		if side[1].form == formConst && side[1].c.null && side[0].k != kindUnknown {
			return b.isNull(side[0], !not)
		}
	}
	r, err := b.relate("=", left, right, pos)
	if err != nil {
		return nil, err
	}
	return &distinctNode{r, not}, nil
}

// nullOf makes a parameter that is NULL a NULL of the type of what it is compared with.
func (b *builder) nullOf(t, other *term) (err *Error) {
	if t.form != formParam || t.k != kindUnknown || b.params[t.param-1] != nil || other.k == kindUnknown {
		return nil
	}
	if other.enum != nil {
		*t, err = b.resolveEnum(*t, other.enum)
	} else {
		*t, err = b.resolve(*t, other.k)
	}
	return err
}

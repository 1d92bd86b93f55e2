package predicate

import (
	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// quantified builds left op ANY (array) and ALL.
func (b *builder) quantified(e *pg_query.A_Expr, pos, depth int) (node, *Error) {
	name, all := operatorName(e), e.Kind == pg_query.A_Expr_Kind_AEXPR_OP_ALL
	left, right, err := b.pair(e.Lexpr, e.Rexpr, depth)
	if err != nil {
		return nil, err
	}
	if right.k == value.Unknown {
		k := left.k
		if k == value.Unknown || k == value.Varchar {
			k = value.Text
		}
		if _, ok := arrayTypes[k]; !ok {
			return nil, &Error{Pos: right.pos, Message: "arrays of type " + left.typeName(b) + " are not supported"}
		}
		if right, err = b.resolve(right, k|value.ArrayOf); err != nil {
			return nil, err
		}
	}
	if !right.k.IsArray() {
		return nil, &Error{Pos: right.pos, Message: "argument of ANY must be an array"}
	}
	if left, err = b.resolve(left, right.k.Element()); err != nil {
		return nil, err
	}
	if name == "~~" || name == "!~~" || name == "~~*" || name == "!~~*" {
		return b.likeQuantified(name, all, left, right)
	}
	op, ok := operatorOf(name)
	if !ok {
		return nil, &Error{Pos: pos, Message: "operator " + name + " is not supported with ANY and ALL"}
	}
	if n, err := b.quantifiedConst(op, all, left, right, pos); n != nil || err != nil {
		return n, err
	}
	a := b.scalar(right)
	element := scalar{expr: &subscriptExpr{}, k: a.k.Element(), bounds: boundsOfKind(a.k.Element())}
	r, err := b.relate(name, left, exprTerm(element, right.pos), pos)
	switch {
	case err != nil:
		return nil, err
	case !r.ordered && !op.isEquality():
		return nil, b.noOperator(name, left, right, pos)
	case r.right.k != element.k:
		if a, err = a.convert(r.right.k|value.ArrayOf, right.pos); err != nil {
			return nil, err
		}
		if c, ok := a.expr.(*constExpr); ok { // a constant of the other type is the list that it prints as
			if n, err := b.quantifiedConst(op, all, left, exprTermConst(c.c, right.pos), pos); n != nil || err != nil {
				return n, err
			}
		}
	}
	compare := r.compare
	return &quantifiedNode{name: name, all: all, left: r.left, array: a, test: func(l, e *value.Datum) bool { return op.holds(compare(l, e)) }}, nil
}

// quantifiedConst makes lists of = ANY and <> ALL of array constants, as IN and NOT IN would be.
func (b *builder) quantifiedConst(op operator, all bool, left, right term, pos int) (node, *Error) {
	k := right.k.Element()
	if right.form != formConst || right.c.Null || left.form != formColumn || left.k != k || op != opEqual && op != opNotEqual || (op == opNotEqual) != all {
		return nil, nil
	}
	a, ok := value.ArrayFromText(k, []byte(right.c.Text))
	if !ok || len(a.Elements) == 0 {
		return nil, nil
	}
	var members []term
	for i := range a.Elements {
		c := value.Constant{Kind: k, Null: a.Elements[i].Null}
		if !c.Null {
			var err error
			if c, err = value.ParseConstant(k, string(value.TextOf(k, &a.Elements[i]))); err != nil {
				return nil, inputAt(err, right.pos, right.param)
			}
		}
		members = append(members, exprTermConst(c, right.pos))
	}
	return b.inTerms(left, members, op == opNotEqual, pos)
}

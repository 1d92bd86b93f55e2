package predicate

import (
	"fmt"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// quantified builds left op ANY (array) and ALL.
func (b *builder) quantified(e *pg_query.A_Expr, pos, depth int) (node, *Error) {
	name, all := operatorName(e), e.Kind == pg_query.A_Expr_Kind_AEXPR_OP_ALL
	array := e.Rexpr
	cast := array.GetTypeCast()
	enums := cast != nil && b.isEnumArray(cast.TypeName)
	if enums {
		array = cast.Arg // typed by the left side
	}
	left, right, err := b.pair(e.Lexpr, array, depth)
	if err != nil {
		return nil, err
	}
	if left.k == value.Enum {
		return b.quantifiedEnum(name, all, left, right, pos)
	}
	if enums {
		return nil, (&Error{Pos: pos, Message: "of an array of an enum, ANY and ALL compare values of the enum only"}).withHint("write column %s ANY ('{a,b}'), or cast the left side to the enum", name)
	}
	if right.k == value.Unknown {
		k := left.k
		switch k {
		case value.Unknown, value.Varchar:
			k = value.Text
		case value.Cidr:
			k = value.Inet
		default: // its own
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
	sameKind := left.k == k || left.k.IsNetwork() && k.IsNetwork()
	if right.form != formConst || right.c.Null || left.form != formColumn || !sameKind || op != opEqual && op != opNotEqual || (op == opNotEqual) != all {
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

// quantifiedEnum builds = ANY (labels) and <> ALL (labels), which are lists, and other operators, which are comparisons with each.
func (b *builder) quantifiedEnum(name string, all bool, left, right term, pos int) (node, *Error) {
	op, ok := operatorOf(name)
	if right.k != value.Unknown || !ok {
		return nil, &Error{
			Pos: pos, Message: "of enums only comparisons with ANY and ALL of an array constant are supported",
			Hint: "write column = ANY ('{a,b}') or column IN ('a', 'b')",
		}
	}
	labels, err := b.resolve(right, value.Text|value.ArrayOf)
	if err != nil {
		return nil, err
	}
	if labels.c.Null {
		return &literalNode{isUnknown}, nil
	}
	a, _ := value.ArrayFromText(value.Text, []byte(labels.c.Text)) // the text is canonical
	if len(a.Elements) == 0 {
		return &literalNode{truthOf(all)}, nil
	}
	members := make([]term, len(a.Elements))
	for i, e := range a.Elements {
		members[i] = term{form: formConst, c: value.Constant{Text: string(e.Bytes), Null: e.Null}, pos: right.pos}
	}
	if op == opEqual && !all || op == opNotEqual && all {
		return b.inTerms(left, members, all, pos)
	}
	if len(members) > maxComparedLabels {
		return nil, &Error{Pos: right.pos, Message: fmt.Sprintf("%d labels, at most %d can be compared with %s", len(members), maxComparedLabels, name)}
	}
	each := make([]node, len(members))
	for i, m := range members {
		if each[i], err = b.compare(op, left, m, pos); err != nil {
			return nil, err
		}
	}
	if all {
		return b.conjunction(each...), nil
	}
	return b.disjunction(each...), nil
}

// maxComparedLabels is how many labels the array of a comparison may have that is no list.
const maxComparedLabels = 100

// isEnumArray tells an array type of an enum that a column has.
func (b *builder) isEnumArray(name *pg_query.TypeName) bool {
	if len(name.ArrayBounds) != 1 {
		return false
	}
	element := proto.Clone(name).(*pg_query.TypeName) //nolint:forcetypeassert,errcheck // a clone is of its type
	element.ArrayBounds = nil
	return b.enumOfName(element) != nil
}

package predicate

import (
	"fmt"
	"slices"

	"github.com/shapebus/shapebus/internal/predicate/value"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// builder turns the grammar's tree into ours. It walks in the order Postgres does, because the first use of a
// parameter decides its type.
type builder struct {
	where     string
	table     *Table
	params    []*string // nil for NULL
	paramKind []value.Kind
	paramUsed []bool
	sub       subqueryBuilder
	joins     int // texts joined so far
	printed   int // bytes printed on the way, to order operands and to read guards
}

// condition builds an expression that must be boolean; what names the place for the message.
func (b *builder) condition(n *pg_query.Node, what string, depth int) (node, *Error) {
	t, err := b.term(n, depth)
	if err != nil {
		return nil, err
	}
	return b.asCondition(t, what)
}

func (b *builder) asCondition(t term, what string) (node, *Error) {
	if t.k == value.Unknown {
		var err *Error
		if t, err = b.resolve(t, value.Bool); err != nil {
			return nil, err
		}
	}
	if t.k != value.Bool {
		return nil, &Error{Pos: t.pos, Message: fmt.Sprintf("argument of %s must be type boolean, not type %s", what, t.typeName(b))}
	}
	switch t.form {
	case formBool:
		return t.bool, nil
	case formExpr:
		return &exprCondition{t.x}, nil
	case formColumn:
		return &boolColumnNode{t.column}, nil
	default: // a constant: resolve has made one of a parameter
		if t.c.Null {
			return &literalNode{isUnknown}, nil
		}
		return &literalNode{truthOf(t.c.Text == "t")}, nil
	}
}

// typeName is the term's type for messages.
func (t *term) typeName(b *builder) string {
	if t.enum != nil {
		return t.enum.name
	}
	if t.k == value.Opaque {
		return b.table.Columns[t.column.index].typeName()
	}
	return t.k.String()
}

// boolean builds the node types that are boolean by themselves.
func (b *builder) boolean(n *pg_query.Node, depth int) (node, *Error) {
	switch n := n.GetNode().(type) {
	case *pg_query.Node_BoolExpr:
		return b.boolExpr(n.BoolExpr, depth)
	case *pg_query.Node_AExpr:
		return b.expression(n.AExpr, depth)
	case *pg_query.Node_NullTest:
		return b.nullTest(n.NullTest, depth)
	case *pg_query.Node_BooleanTest:
		return b.booleanTest(n.BooleanTest, depth)
	case *pg_query.Node_SubLink:
		return b.subLink(n.SubLink, depth)
	}
	return nil, b.unsupported(n)
}

func (b *builder) boolExpr(e *pg_query.BoolExpr, depth int) (node, *Error) {
	var name string
	switch e.Boolop {
	case pg_query.BoolExprType_AND_EXPR:
		name = "AND"
	case pg_query.BoolExprType_OR_EXPR:
		name = "OR"
	default:
		name = "NOT"
	}
	args := make([]node, 0, len(e.Args))
	for _, a := range e.Args {
		arg, err := b.condition(a, name, depth+1)
		if err != nil {
			return nil, err
		}
		args = append(args, arg)
	}
	switch name {
	case "AND":
		return b.conjunction(args...), nil
	case "OR":
		return b.disjunction(args...), nil
	}
	return &notNode{args[0]}, nil
}

func (b *builder) nullTest(e *pg_query.NullTest, depth int) (node, *Error) {
	t, err := b.term(e.Arg, depth+1)
	if err != nil {
		return nil, err
	}
	return b.isNull(t, e.Nulltesttype == pg_query.NullTestType_IS_NOT_NULL)
}

func (b *builder) undetermined(t term) *Error {
	return &Error{
		Pos: t.pos, Message: fmt.Sprintf("could not determine the type of parameter $%d", t.param),
		Hint: fmt.Sprintf("cast it: $%d::text", t.param),
	}
}

func (b *builder) booleanTest(e *pg_query.BooleanTest, depth int) (node, *Error) {
	n := &isNode{}
	var name string
	switch e.Booltesttype {
	case pg_query.BoolTestType_IS_TRUE:
		n.want, name = isTrue, "IS TRUE"
	case pg_query.BoolTestType_IS_NOT_TRUE:
		n.want, n.not, name = isTrue, true, "IS NOT TRUE"
	case pg_query.BoolTestType_IS_FALSE:
		n.want, name = isFalse, "IS FALSE"
	case pg_query.BoolTestType_IS_NOT_FALSE:
		n.want, n.not, name = isFalse, true, "IS NOT FALSE"
	case pg_query.BoolTestType_IS_UNKNOWN:
		n.want, name = isUnknown, "IS UNKNOWN"
	default:
		n.want, n.not, name = isUnknown, true, "IS NOT UNKNOWN"
	}
	var err *Error
	n.arg, err = b.condition(e.Arg, name, depth+1)
	return n, err
}

// checkParams refuses parameters that the clause does not use: one that is left over is a mistake in numbering.
func (b *builder) checkParams() *Error {
	if i := slices.Index(b.paramUsed, false); i >= 0 {
		return &Error{Message: fmt.Sprintf("parameter $%d is not used", i+1), Hint: "each parameter must appear in the clause"}
	}
	return nil
}

// at turns a location of the grammar's tree into a position in bytes; root makes it one in characters.
func (b *builder) at(location int32) int {
	return max(int(location)-len(prefix)+1, 0)
}

package predicate

import (
	"fmt"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/shapebus/shapebus/internal/predicate/value"
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
	joins     int    // texts joined so far
	regexes   int    // sizes of regular expressions so far
	refused   *Error // what is wrong with a constant, found where no error can be told
	printed   int    // bytes printed on the way, to order operands and to read guards

	ordered []orderedColumn
	built   map[*pg_query.Node]builtTerm // what may be asked for again
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
	if t.k.IsOpaque() {
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

func (b *builder) undetermined(t term) *Error {
	return &Error{
		Pos: t.pos, Message: fmt.Sprintf("could not determine the type of parameter $%d", t.param),
		Hint: fmt.Sprintf("cast it: $%d::text", t.param),
	}
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

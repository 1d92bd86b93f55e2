package predicate

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

const existsForms = "write EXISTS (SELECT 1 FROM table WHERE table.column = outer.column AND …)"

// correlation takes the clause of EXISTS apart; b is inside of it. EXISTS (… WHERE inner = outer AND rest) is TRUE exactly
// when outer IN (SELECT inner … WHERE rest) is, and FALSE otherwise.
func (b *builder) correlation(s *pg_query.SelectStmt, pos int) (left []*pg_query.Node, selected []term, rest *pg_query.Node, err *Error) {
	if err := b.selectsRows(s, pos); err != nil {
		return nil, nil, nil, err
	}
	var others []*pg_query.Node
	for _, c := range conjunctsOf(s.WhereClause, nil) {
		mine, outer := b.correlatedBy(c)
		if mine == nil {
			others = append(others, c)
			continue
		}
		t, err := b.columnTerm(mine, b.position(c))
		if err != nil {
			return nil, nil, nil, err
		}
		selected, left = append(selected, t), append(left, outer)
	}
	if len(left) == 0 {
		return nil, nil, nil, &Error{Pos: pos, Message: "EXISTS does not say which rows belong together", Hint: existsForms}
	}
	switch len(others) {
	case 0:
	case 1:
		rest = others[0]
	default:
		rest = &pg_query.Node{Node: &pg_query.Node_BoolExpr{BoolExpr: &pg_query.BoolExpr{Boolop: pg_query.BoolExprType_AND_EXPR, Args: others}}}
	}
	return left, selected, rest, nil
}

// selectsRows refuses select lists that could make rows where the table has none, as aggregates do.
func (b *builder) selectsRows(s *pg_query.SelectStmt, pos int) *Error {
	for _, n := range s.TargetList {
		val := n.GetResTarget().GetVal()
		ref := val.GetColumnRef()
		if val.GetAConst() != nil || ref != nil && slices.ContainsFunc(ref.Fields, func(f *pg_query.Node) bool { return f.GetAStar() != nil }) {
			continue
		}
		if ref == nil {
			return &Error{Pos: max(b.position(n), pos), Message: "expressions are not supported in the select list of EXISTS", Hint: existsForms}
		}
		if _, err := b.columnTerm(ref, max(b.position(n), pos)); err != nil {
			return err
		}
	}
	return nil
}

// conjunctsOf appends what AND joins, in any brackets.
func conjunctsOf(n *pg_query.Node, out []*pg_query.Node) []*pg_query.Node {
	if e := n.GetBoolExpr(); e != nil && e.Boolop == pg_query.BoolExprType_AND_EXPR {
		for _, a := range e.Args {
			out = conjunctsOf(a, out)
		}
		return out
	}
	if n == nil {
		return out
	}
	return append(out, n)
}

// correlatedBy takes an equality of a column of the subquery's table with one of the table outside apart; nil if the
// condition is none.
func (b *builder) correlatedBy(n *pg_query.Node) (mine *pg_query.ColumnRef, outer *pg_query.Node) {
	e := n.GetAExpr()
	if e == nil || e.Kind != pg_query.A_Expr_Kind_AEXPR_OP || operatorName(e) != "=" {
		return nil, nil
	}
	for _, side := range [][2]*pg_query.Node{{e.Lexpr, e.Rexpr}, {e.Rexpr, e.Lexpr}} {
		mine, other := bareColumn(side[0]), bareColumn(side[1])
		if b.finds(mine) && !b.finds(other) && b.sub.outer.finds(other) {
			return mine, side[1]
		}
	}
	return nil, nil
}

// finds reports whether a reference is to a column of the builder's own table.
func (b *builder) finds(ref *pg_query.ColumnRef) bool {
	if ref == nil {
		return false
	}
	names := make([]string, 0, len(ref.Fields))
	for _, f := range ref.Fields {
		names = append(names, f.GetString_().GetSval())
	}
	_, err := b.findColumn(names, 0)
	return err == nil
}

// findColumn resolves a reference to the builder's own table, which has no other name than its alias if it has one.
func (b *builder) findColumn(names []string, pos int) (int, *Error) {
	switch alias := b.sub.alias; {
	case alias == "" || len(names) == 1:
		return b.table.column(names, pos)
	case len(names) == 2 && names[0] == alias:
		return b.table.column(names[1:], pos)
	default:
		return 0, missingTable(names[len(names)-2], b.table, pos).withHint("in this subquery the table is called %s", quoteIdent(alias))
	}
}

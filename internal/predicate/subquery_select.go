package predicate

import (
	"fmt"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

const subqueryForms = "write column IN (SELECT column FROM table WHERE …)"

// linkForm is how a subquery is used.
type linkForm uint8

const (
	linkIn     linkForm = iota // IN, = ANY
	linkNotIn                  // <> ALL
	linkExists                 // EXISTS
)

// subLinkForm refuses every use of a subquery that means no membership.
func subLinkForm(s *pg_query.SubLink, pos int) (linkForm, *Error) {
	err := &Error{Pos: pos, Hint: subqueryForms}
	switch s.SubLinkType {
	case pg_query.SubLinkType_ANY_SUBLINK:
		if len(s.OperName) == 0 || lastName(s.OperName) == "=" {
			return linkIn, nil
		}
		err.Message = lastName(s.OperName) + " ANY (SELECT …) is not supported"
	case pg_query.SubLinkType_ALL_SUBLINK:
		if lastName(s.OperName) == "<>" {
			return linkNotIn, nil
		}
		err.Message = lastName(s.OperName) + " ALL (SELECT …) is not supported"
	case pg_query.SubLinkType_EXISTS_SUBLINK:
		return linkExists, nil
	case pg_query.SubLinkType_ARRAY_SUBLINK:
		err.Message = "ARRAY (SELECT …) is not supported"
	default:
		err.Message = "a subquery as a value is not supported"
	}
	return linkIn, err
}

// fromTable checks everything of a subquery but its select list and its clause, and returns the table's name.
func (b *builder) fromTable(s *pg_query.SelectStmt, pos int) (*pg_query.RangeVar, *Error) {
	if s == nil {
		return nil, &Error{Pos: pos, Message: "the subquery is not a SELECT", Hint: subqueryForms}
	}
	for _, c := range []struct {
		present bool
		name    string
		part    *pg_query.Node
	}{
		{s.Op != pg_query.SetOperation_SETOP_NONE, "UNION, INTERSECT or EXCEPT", nil},
		{s.WithClause != nil, "WITH", nil},
		{len(s.ValuesLists) > 0, "VALUES", nil},
		// DISTINCT alone changes no membership; DISTINCT ON chooses rows.
		{first(s.DistinctClause).GetNode() != nil, "DISTINCT ON", first(s.DistinctClause)},
		{s.IntoClause != nil, "INTO", nil},
		{len(s.GroupClause) > 0, "GROUP BY", first(s.GroupClause)},
		{s.HavingClause != nil, "HAVING", s.HavingClause},
		{len(s.WindowClause) > 0, "WINDOW", first(s.WindowClause)},
		{len(s.SortClause) > 0, "ORDER BY", first(s.SortClause)},
		{s.LimitCount != nil, "LIMIT", s.LimitCount},
		{s.LimitOffset != nil, "OFFSET", s.LimitOffset},
		{len(s.LockingClause) > 0, "FOR UPDATE or FOR SHARE", nil},
	} {
		if c.present {
			if at := b.position(c.part); at > 0 {
				pos = at
			}
			return nil, &Error{Pos: pos, Message: c.name + " is not supported in a subquery", Hint: subqueryForms}
		}
	}
	if len(s.FromClause) == 0 {
		return nil, &Error{Pos: pos, Message: "the subquery selects from no table", Hint: subqueryForms}
	}
	if len(s.FromClause) > 1 || s.FromClause[0].GetJoinExpr() != nil {
		return nil, &Error{
			Pos: max(b.position(s.FromClause[len(s.FromClause)-1]), pos), Message: "joins are not supported in a subquery",
			Hint: "use a subquery inside the subquery: … WHERE column IN (SELECT …)",
		}
	}
	t := s.FromClause[0].GetRangeVar()
	if t == nil {
		return nil, &Error{Pos: max(b.position(s.FromClause[0]), pos), Message: "a subquery must select from a table", Hint: subqueryForms}
	}
	err := &Error{Pos: b.at(t.Location)}
	switch {
	case t.Catalogname != "":
		err.Message = "the table of a subquery is written as table or schema.table"
	case !t.Inh:
		err.Message = "ONLY is not supported in a subquery"
	case t.Alias != nil && len(t.Alias.Colnames) > 0:
		err.Message = fmt.Sprintf("other names for the columns of %q are not supported", t.Relname)
	default:
		return t, nil
	}
	return nil, err
}

func first(nodes []*pg_query.Node) *pg_query.Node {
	if len(nodes) == 0 {
		return nil
	}
	return nodes[0]
}

// selectList reads the columns that the subquery selects; b is inside of it.
func (b *builder) selectList(s *pg_query.SelectStmt, pos int) ([]term, *Error) {
	if len(s.TargetList) == 0 {
		return nil, &Error{Pos: pos, Message: "the subquery selects nothing", Hint: subqueryForms}
	}
	out := make([]term, 0, len(s.TargetList))
	for _, n := range s.TargetList {
		target := n.GetResTarget()
		ref := target.GetVal().GetColumnRef()
		at := max(b.position(n), pos)
		switch {
		case ref == nil && target.GetVal().GetFuncCall() != nil:
			return nil, &Error{Pos: at, Message: "aggregates and functions are not supported in the select list of a subquery", Hint: subqueryForms}
		case ref == nil:
			return nil, &Error{Pos: at, Message: "expressions are not supported in the select list of a subquery", Hint: subqueryForms}
		case ref.Fields[len(ref.Fields)-1].GetAStar() != nil:
			return nil, &Error{Pos: at, Message: "* is not supported in the select list of a subquery", Hint: "name the column"}
		}
		t, err := b.columnTerm(ref, at)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

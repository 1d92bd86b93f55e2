package predicate

import (
	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// subLink builds a condition with a subquery: every SELECT inside a clause comes here.
func (b *builder) subLink(_ *pg_query.SubLink, pos, _ int) (node, *Error) {
	return nil, &Error{Pos: pos, Message: "subqueries are not supported yet"}
}

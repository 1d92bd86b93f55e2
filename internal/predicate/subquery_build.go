package predicate

import (
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// Limits of subqueries, far above what people write: each is a shape of its own to keep.
const (
	maxSubqueries    = 32 // of a clause, all levels together
	maxSubqueryDepth = 8  // levels
	maxTuple         = 16 // columns of one left side
)

// subqueryBuilder is what a builder knows of subqueries; there is one builder for each level.
type subqueryBuilder struct {
	lookup *lookup // nil: subqueries are refused
	outer  *builder
	depth  int
	nodes  []*memberNode
	alias  string // the only name of the table in this subquery, if it has one
}

// lookup asks the catalog once for each table, for all levels.
type lookup struct {
	catalog Catalog
	tables  map[[2]string]*Table
	err     error // of the catalog, to be passed on
	used    int   // subqueries so far
}

// again is for compiling what was compiled once more: the tables are known.
func (l *lookup) again() *lookup {
	if l == nil {
		return nil
	}
	return &lookup{catalog: l.catalog, tables: l.tables}
}

func (b *builder) subLink(s *pg_query.SubLink, depth int) (node, *Error) {
	pos := b.at(s.Location)
	if b.sub.lookup == nil {
		return nil, &Error{Pos: pos, Message: "subqueries are not supported yet"}
	}
	form, err := subLinkForm(s, pos)
	if err != nil {
		return nil, err
	}
	switch l := b.sub.lookup; {
	case b.sub.depth == maxSubqueryDepth:
		return nil, &Error{Pos: pos, Message: fmt.Sprintf("subqueries are nested too deeply: at most %d levels are allowed", maxSubqueryDepth)}
	case l.used == maxSubqueries:
		return nil, &Error{Pos: pos, Message: fmt.Sprintf("too many subqueries: at most %d are allowed", maxSubqueries)}
	default:
		l.used++
	}
	statement := s.Subselect.GetSelectStmt()
	from, err := b.fromTable(statement, pos)
	if err != nil {
		return nil, err
	}
	table, err := b.findTable(from)
	if err != nil {
		return nil, err
	}
	q := &Subquery{Schema: table.Schema, Table: table.Name, table: table}
	inner := b.inside(table)
	inner.sub.alias = from.GetAlias().GetAliasname()
	typed := slices.Clone(b.paramKind) // before the inner clause types its own
	var selected []term
	left, where := leftParts(s.Testexpr), statement.WhereClause
	if form == linkExists {
		left, selected, where, err = inner.correlation(statement, pos)
	} else {
		selected, err = inner.selectList(statement, pos)
	}
	if err != nil {
		return nil, err
	}
	var root node = &literalNode{isTrue}
	if where != nil {
		if root, err = inner.condition(where, "WHERE", depth+1); err != nil {
			return nil, err
		}
	}
	b.joins, b.regexes, b.printed = inner.joins, inner.regexes, inner.printed
	if q.Inner, err = inner.finish(root); err != nil {
		return nil, err
	}
	switch {
	case where == nil:
	case inner.sub.alias == "" && asWritten(where.ProtoReflect()):
		if q.Where, q.Params, err = b.standalone(where, typed, pos); err != nil {
			return nil, err
		}
	default:
		q.Where = q.Inner.SQL()
	}
	if err := b.leftSide(q, left, selected, pos); err != nil {
		return nil, err
	}
	n := &memberNode{subquery: q}
	b.sub.nodes = append(b.sub.nodes, n)
	switch form {
	case linkNotIn:
		return &notNode{n}, nil
	case linkExists: // which is never unknown
		return &isNode{arg: n, want: isTrue}, nil
	default: // IN
		return n, nil
	}
}

// leftParts are the operands before IN.
func leftParts(n *pg_query.Node) []*pg_query.Node {
	if row := n.GetRowExpr(); row != nil {
		return row.Args
	}
	return []*pg_query.Node{n}
}

// inside returns a builder for the clause of a subquery on the table. It shares the parameters.
func (b *builder) inside(table *Table) *builder {
	inner := *b
	inner.table, inner.ordered = table, nil
	inner.sub = subqueryBuilder{lookup: b.sub.lookup, outer: b, depth: b.sub.depth + 1}
	return &inner
}

// findTable asks the catalog.
func (b *builder) findTable(from *pg_query.RangeVar) (*Table, *Error) {
	schema := from.Schemaname
	if schema == "" {
		schema = "public" // as for a shape's own table
	}
	l, key := b.sub.lookup, [2]string{schema, from.Relname}
	t, ok := l.tables[key]
	if !ok {
		var err error
		if t, err = l.catalog(schema, from.Relname); err != nil {
			l.err = err
			return nil, &Error{Pos: b.at(from.Location), Message: err.Error()}
		}
		l.tables[key] = t
	}
	if t == nil {
		return nil, &Error{Pos: b.at(from.Location), Message: fmt.Sprintf("table %s.%s does not exist", schema, from.Relname)}
	}
	return t, nil
}

// leftSide checks the columns before IN against the selected ones.
func (b *builder) leftSide(q *Subquery, parts []*pg_query.Node, selected []term, pos int) *Error {
	if len(parts) != len(selected) {
		return &Error{Pos: pos, Message: fmt.Sprintf("the subquery selects %s, for %d before IN", countOf(len(selected), "column"), len(parts))}
	}
	if len(parts) > maxTuple {
		return &Error{Pos: pos, Message: fmt.Sprintf("%d columns before IN (SELECT …), at most %d are allowed", len(parts), maxTuple)}
	}
	columns := make([]Column, len(parts))
	for i, part := range parts {
		at := b.position(part)
		ref := bareColumn(part)
		if ref == nil {
			return &Error{Pos: at, Message: "only columns may stand before IN (SELECT …)", Hint: "write column IN (SELECT …) or (column, column) IN (SELECT …)"}
		}
		l, err := b.columnTerm(ref, at)
		if err != nil {
			return err
		}
		outer, inner := &b.table.Columns[l.column.index], &q.table.Columns[selected[i].column.index]
		if outer.TypeOID != inner.TypeOID && !sameTexts(l.k, selected[i].k) {
			return &Error{
				Pos: at, Message: fmt.Sprintf("column %q is of type %s, and %q of %s.%s of type %s", outer.Name, l.typeName(b), inner.Name, q.Schema, q.Table, selected[i].typeName(b.inside(q.table))),
				Hint: "columns must have the same type to be looked up in a subquery, or both be integers, or both text or varchar",
			}
		}
		if _, err := NewKeyer([]Column{*outer}); err != nil {
			return &Error{Pos: at, Message: fmt.Sprintf("column %q cannot be looked up in a subquery: values of type %s have no text to compare them by", outer.Name, l.typeName(b))}
		}
		columns[i] = *outer
		q.Columns = append(q.Columns, l.column.index)
		q.left = append(q.left, l.column)
		q.touched = append(q.touched, max(l.k, selected[i].k))
		q.Select = append(q.Select, inner.Name)
	}
	var err error
	if q.Keyer, err = NewKeyer(columns); err != nil {
		return &Error{Pos: pos, Message: err.Error()}
	}
	var out printer
	q.print(&out)
	q.sql = out.String()
	return nil
}

// sameTexts tells of two types whether their values are equal exactly when their texts are.
func sameTexts(l, r value.Kind) bool {
	return l.IsInt() && r.IsInt() || (l == value.Text || l == value.Varchar) && (r == value.Text || r == value.Varchar)
}

// bareColumn returns a column's reference, nil if n is something else. COLLATE "C" around it is how it prints, and how it
// is compared anyway.
func bareColumn(n *pg_query.Node) *pg_query.ColumnRef {
	if c := n.GetCollateClause(); c != nil && len(c.Collname) == 1 && lastName(c.Collname) == "C" {
		n = c.Arg
	}
	return n.GetColumnRef()
}

func countOf(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// correlated says what is wrong with a column that was not found, when it is one of a clause further out.
func (b *builder) correlated(err *Error, names []string, pos int) *Error {
	for outer := b.sub.outer; outer != nil; outer = outer.sub.outer {
		if _, notThere := outer.findColumn(names, pos); notThere == nil {
			return &Error{
				Pos: pos, Message: fmt.Sprintf("correlated subqueries are not supported: %q is a column of %s.%s, outside of the subquery", strings.Join(names, "."), outer.table.Schema, outer.table.Name),
				Hint: fmt.Sprintf("the subquery may only name columns of %s.%s", b.table.Schema, b.table.Name),
			}
		}
	}
	return err
}

// finish makes a Predicate of the checked tree of a level.
func (b *builder) finish(root node) (*Predicate, *Error) {
	p := &Predicate{root: root, ordered: orderingOf(b.ordered)}
	p.members = b.members(root)
	var out printer
	root.print(&out)
	p.sql = out.String()
	if out.full || out.Len() > maxPrinted {
		return nil, tooComplex()
	}
	if err := p.checkCost(b.table); err != nil {
		return nil, err
	}
	return p, nil
}

// members gives every test its cell, and finds out how each is used. It is nil if there are none.
func (b *builder) members(root node) *members {
	if len(b.sub.nodes) == 0 {
		return nil
	}
	m := &members{width: len(b.table.Columns)}
	slices.SortStableFunc(b.sub.nodes, func(x, y *memberNode) int { return strings.Compare(x.subquery.sql, y.subquery.sql) })
	for _, n := range b.sub.nodes {
		if k := len(m.subqueries); k == 0 || m.subqueries[k-1].sql != n.subquery.sql {
			n.subquery.Monotone = true
			m.subqueries = append(m.subqueries, n.subquery)
		}
		n.subquery = m.subqueries[len(m.subqueries)-1]
		n.number = len(m.subqueries) - 1
		n.cell = m.width + n.number
	}
	m.findMonotone(root)
	conjuncts := []node{root}
	if and, ok := root.(*andNode); ok {
		conjuncts = and.args
	}
	var fixed, rest []node
	for _, n := range conjuncts {
		if m.dependsOn(n, func(*Subquery) {}) {
			rest = append(rest, n)
		} else {
			fixed = append(fixed, n)
		}
	}
	m.fixed, m.rest = &literalNode{isTrue}, allOf(rest)
	if len(fixed) > 0 {
		m.fixed = allOf(fixed)
	}
	return m
}

// allOf joins conjuncts, of which there is at least one, as they are.
func allOf(nodes []node) node {
	if len(nodes) == 1 {
		return nodes[0]
	}
	return &andNode{nodes}
}

// findMonotone clears the mark of the tests that something else than AND, OR and IS TRUE stands above.
func (m *members) findMonotone(n node) {
	switch n := n.(type) {
	case *andNode:
		for _, a := range n.args {
			m.findMonotone(a)
		}
	case *orNode:
		for _, a := range n.args {
			m.findMonotone(a)
		}
	case *isNode:
		if n.want != isTrue || n.not {
			m.dependsOn(n, func(q *Subquery) { q.Monotone = false })
			return
		}
		m.findMonotone(n.arg)
	case *memberNode:
	default:
		m.dependsOn(n, func(q *Subquery) { q.Monotone = false })
	}
}

// dependsOn calls f with the subqueries of a part of the tree and reports whether there are any.
func (m *members) dependsOn(n node, f func(*Subquery)) bool {
	found := false
	n.columns(func(column int) {
		if column >= m.width {
			found = true
			f(m.subqueries[column-m.width])
		}
	})
	return found
}

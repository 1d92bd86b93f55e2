package predicate

import (
	"github.com/shapebus/shapebus/internal/predicate/value"
	"github.com/shapebus/shapebus/internal/valueset"
)

// Catalog finds the table that a subquery selects from. Its error is passed on as it is; no table and no error mean that
// there is no such table.
type Catalog func(schema, name string) (*Table, error)

// Subquery is a membership test of a clause: columns IN (SELECT columns FROM table WHERE …). It is immutable and safe
// for concurrent use.
type Subquery struct {
	Columns []int // the left side: indexes of columns of the outer table

	Schema, Table string
	Select        []string // columns of Table, as many as Columns and of types whose values have the same texts

	// Where and Params are the inner clause as it would be asked for by itself: compiled alone, it has the identity of
	// Inner. Params holds only the parameters that it uses.
	Where  string
	Params []*string

	Inner *Predicate // over Table; may have subqueries of its own

	// Monotone: in every use of the test only TRUE matters, since nothing but AND, OR and IS TRUE stands above it. Whether it is
	// FALSE or unknown changes no result, and so neither do NULLs in the set, nor its being empty.
	Monotone bool

	// Keyer makes the keys of the set's values, from the selected cells in the order of Select.
	Keyer *Keyer

	table   *Table
	left    []column
	touched []value.Kind // types that hold the left side's values and the set's
	sql     string       // identity among the subqueries of one clause
}

// AppendKey appends the key of an outer row's left side, by which a Set knows its values.
func (q *Subquery) AppendKey(key []byte, row [][]byte) []byte {
	for i, c := range q.Columns {
		key = valueset.AppendComponent(key, value.CanonicalText(q.Keyer.kinds[i], cell(row, c)))
	}
	return key
}

// Subqueries returns the subqueries of the clause itself, not those inside of them: each once, however often it is
// used, in an order that depends on what they are and not on where they stand. The caller must not change it.
func (p *Predicate) Subqueries() []*Subquery {
	if p.members == nil {
		return nil
	}
	return p.members.subqueries
}

// FixedSQL returns what the clause requires whatever the subqueries select: its top-level conjuncts without subqueries,
// as an expression like SQL's; "true" if there are none.
func (p *Predicate) FixedSQL() string {
	if p.members == nil {
		return p.sql
	}
	var out printer
	p.members.fixed.print(&out)
	return out.String()
}

// members is the part of a Predicate that deals with its subqueries.
type members struct {
	subqueries []*Subquery
	width      int // columns of the table; the truth of subquery i is cell width+i of a row

	// The clause is fixed AND rest; nothing in fixed has a subquery.
	fixed, rest node
}

// memberNode is a subquery's test. Its truth is computed before the tree is walked and stands in a cell behind the
// row's own, as if it were a boolean column.
type memberNode struct {
	cell     int
	number   int // of the subquery, in Predicate.Subqueries
	subquery *Subquery
}

func (n *memberNode) eval(row [][]byte) truth {
	v := cell(row, n.cell)
	if v == nil {
		return isUnknown
	}
	return truthOf(v[0] == 't')
}

// columns also names the cell behind the row's own: that tells which subqueries a part of the tree depends on.
func (n *memberNode) columns(add func(int)) {
	for _, c := range n.subquery.Columns {
		add(c)
	}
	add(n.cell)
}

func (n *memberNode) print(p *printer) { n.subquery.print(p) }

// print names the inner table's columns in full. Otherwise a column that the inner table has lost could turn into one
// of the outer table's.
func (q *Subquery) print(p *printer) {
	if len(q.left) > 1 {
		p.WriteByte('(')
	}
	for i, c := range q.left {
		if i > 0 {
			p.WriteString(", ")
		}
		p.column(c)
		if c.k.IsText() {
			p.WriteString(byteOrder) // the two columns may have different collations
		}
	}
	if len(q.left) > 1 {
		p.WriteByte(')')
	}
	p.WriteString(" IN (SELECT ")
	table := quoteIdent(q.Schema) + "." + quoteIdent(q.Table)
	outer := p.qualifier
	p.qualifier = table + "."
	defer func() { p.qualifier = outer }()
	for i, name := range q.Select {
		if i > 0 {
			p.WriteString(", ")
		}
		p.WriteString(p.qualifier + quoteIdent(name))
	}
	p.WriteString(" FROM " + table)
	if l, ok := q.Inner.root.(*literalNode); !ok || l.value != isTrue {
		p.WriteString(" WHERE ")
		q.Inner.root.print(p)
	}
	p.WriteByte(')')
}

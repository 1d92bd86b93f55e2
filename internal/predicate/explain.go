package predicate

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Truth is what a condition comes to for a row, in words.
type Truth string

// The three truths of SQL.
const (
	True    Truth = "true"
	False   Truth = "false"
	Unknown Truth = "unknown" // a NULL stands in the way
)

// words are the truths of the evaluation.
var words = [...]Truth{isFalse: False, isUnknown: Unknown, isTrue: True}

// Term is a part of a clause, and what it comes to for one row.
type Term struct {
	// Join is AND, OR, NOT or a test such as IS TRUE for what Args are joined by; "" for a term
	// without parts.
	Join  string
	Args  []Term
	Truth Truth

	// Of a term without parts: its SQL, the columns that it names, and the number of the subquery
	// that it is the test of, in the order of Subqueries, or -1.
	SQL      string
	Columns  []int
	Subquery int
}

// Explain says what each part of the clause comes to for a row, whose form is that of Match.
// members has the truth of each subquery's test, in the order of Subqueries; "" counts as Unknown.
func (p *Predicate) Explain(row [][]byte, members []Truth) Term {
	m := p.members
	if m == nil {
		return explain(p.root, row, math.MaxInt)
	}
	row = slices.Clone(row[:min(len(row), m.width)])
	for len(row) < m.width {
		row = append(row, nil)
	}
	for i := range m.subqueries {
		var cell []byte
		switch {
		case i >= len(members):
		case members[i] == True:
			cell = []byte("t")
		case members[i] == False:
			cell = []byte("f")
		}
		row = append(row, cell)
	}
	return explain(p.root, row, m.width)
}

func explain(n node, row [][]byte, width int) Term {
	t := Term{Truth: words[n.eval(row)], Subquery: -1}
	var args []node
	switch n := n.(type) {
	case *andNode:
		t.Join, args = "AND", n.args
	case *orNode:
		t.Join, args = "OR", n.args
	case *notNode:
		t.Join, args = "NOT", []node{n.arg}
	case *isNode:
		t.Join, args = "IS "+[...]string{"FALSE", "UNKNOWN", "TRUE"}[n.want], []node{n.arg}
		if n.not {
			t.Join = strings.Replace(t.Join, "IS", "IS NOT", 1)
		}
	}
	for _, a := range args {
		t.Args = append(t.Args, explain(a, row, width))
	}
	if args != nil {
		return t
	}
	var sql printer
	n.print(&sql)
	t.SQL = sql.String()
	n.columns(func(column int) {
		if column < width {
			t.Columns = append(t.Columns, column)
		}
	})
	slices.Sort(t.Columns)
	t.Columns = slices.Compact(t.Columns)
	if member, ok := n.(*memberNode); ok {
		t.Subquery = member.number
	}
	return t
}

// TestSQL returns a query of one row and one column, whether the row passes the subquery's test:
// true, false or NULL. Postgres answers it for one value, by an index if there is one, unless more
// than that it is TRUE matters.
func (q *Subquery) TestSQL(row [][]byte) string {
	if !q.Monotone {
		left := make([]string, len(q.Columns))
		for i, c := range q.Columns {
			left[i] = q.literal(i, cell(row, c))
		}
		return "SELECT (" + strings.Join(left, ", ") + ") IN (SELECT " + strings.Join(q.selected(), ", ") + " FROM " + q.from() + " WHERE " + q.Inner.SQL() + ")"
	}
	return "SELECT EXISTS (SELECT 1 FROM " + q.from() + " WHERE " + q.equals(row) + " AND " + q.Inner.SQL() + ")"
}

// CandidatesSQL returns a query for rows of the subquery's table that have the row's value, whether
// or not they pass its clause: at most limit of them, with these columns, without those whose text
// has more than size bytes.
func (q *Subquery) CandidatesSQL(row [][]byte, columns []string, limit, size int) string {
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = quoteIdent(c)
	}
	return fmt.Sprintf("SELECT %s FROM (SELECT * FROM %s WHERE %s LIMIT %d) AS candidate WHERE octet_length((candidate.*)::text) <= %d",
		strings.Join(quoted, ", "), q.from(), q.equals(row), limit, size)
}

func (q *Subquery) from() string { return quoteIdent(q.Schema) + "." + quoteIdent(q.Table) }

// literal leaves it to Postgres to read the text of a value as one of the column that it is compared with: both have one
// type, but for texts and integers.
func (q *Subquery) literal(i int, text []byte) string {
	if text == nil {
		return "NULL"
	}
	switch k := q.left[i].k; {
	case k.IsText():
		return quoteLiteral(string(text)) + "::" + k.String() + byteOrder
	case k.IsInt():
		return quoteLiteral(string(text)) + "::" + k.String()
	}
	return quoteLiteral(string(text))
}

func (q *Subquery) selected() []string {
	out := make([]string, len(q.Select))
	for i, c := range q.Select {
		out[i] = quoteIdent(c)
	}
	return out
}

// equals is the condition that a row of the subquery's table has the value of a row of the outer
// table. An index serves the first comparison of a column, the second one narrows it to equal
// bytes.
func (q *Subquery) equals(row [][]byte) string {
	var out strings.Builder
	for i, c := range q.selected() {
		text := cell(row, q.Columns[i])
		if text == nil {
			return "false"
		}
		if i > 0 {
			out.WriteString(" AND ")
		}
		if q.left[i].k.IsText() {
			out.WriteString(c + " = " + quoteLiteral(string(text)) + " AND ")
		}
		out.WriteString(c + " = " + q.literal(i, text))
	}
	return out.String()
}

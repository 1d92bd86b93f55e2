package predicate

import (
	"strings"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// Predicate is a checked where clause of one table. It is immutable and safe for concurrent use.
type Predicate struct {
	root    node
	sql     string
	members *members  // nil without subqueries
	ordered *ordering // nil for nearly all

	carefree int
}

// Compile parses a where clause and checks it against the table. An empty clause (blanks only) matches every row.
// params[0] is $1, nil for NULL; each parameter must be used, and takes its type from its first use, as in Postgres.
// Subqueries select from tables that catalog finds; without a catalog they are refused. An error that is no *Error is
// the catalog's.
func Compile(where string, params []*string, table Table, catalog Catalog) (*Predicate, error) {
	var l *lookup
	if catalog != nil {
		l = &lookup{catalog: catalog, tables: make(map[[2]string]*Table)}
	}
	p, err := compileClause(where, params, &table, l)
	if err == nil {
		err = checkStandalone(p, l)
	}
	switch {
	case l != nil && l.err != nil:
		return nil, l.err
	case err != nil:
		return nil, err
	}
	return p, nil
}

func compileClause(where string, params []*string, table *Table, l *lookup) (*Predicate, *Error) {
	p, err := compileOnce(where, params, table, l)
	if err != nil {
		return nil, err
	}
	// The SQL is a clause of its own. Only nesting can be in the way of that, since guards add to it.
	if depth := strings.Count(p.sql, "CASE WHEN") + strings.Count(where, "("); depth > deepSQL && p.sql != where {
		if again, err := compileOnce(p.sql, nil, table, l.again()); err != nil || again.sql != p.sql {
			return nil, &Error{Message: "the clause is nested too deeply"}
		}
	}
	return p, nil
}

// deepSQL is from how many levels on SQL is compiled again as a test.
const deepSQL = 16

func compileOnce(where string, params []*string, table *Table, l *lookup) (*Predicate, *Error) {
	if err := checkSize(where, params); err != nil {
		return nil, err
	}
	b := &builder{
		where: where, table: table, params: params,
		paramKind: make([]value.Kind, len(params)), paramUsed: make([]bool, len(params)), sub: subqueryBuilder{lookup: l},
	}
	root, err := b.root()
	if err != nil {
		return nil, err
	}
	if err := b.checkParams(); err != nil {
		return nil, err
	}
	if b.printed > maxWork {
		return nil, tooComplex()
	}
	p, err := b.finish(root)
	if err == nil && len(where) > maxClause && p.sql != where {
		return nil, clauseTooLong(len(where))
	}
	return p, err
}

func tooComplex() *Error {
	return &Error{Message: "the clause is too complex: written out for Postgres it is too long"}
}

func (b *builder) root() (node, *Error) {
	if isBlank(b.where) {
		return &literalNode{isTrue}, nil
	}
	expression, err := parse(b.where)
	if err != nil {
		return nil, err
	}
	root, err := b.condition(expression, "WHERE", 0)
	if err == nil {
		err = b.refused
	}
	if err != nil && err.Pos > 0 {
		err.Pos = characterAt(b.where, err.Pos-1)
	}
	return root, err
}

func isBlank(s string) bool {
	for i := range len(s) {
		switch s[i] {
		case ' ', '\t', '\n', '\r', '\f', '\v':
		default:
			return false
		}
	}
	return true
}

// Match reports whether the clause is TRUE of a row: Postgres' text output for each column of the table, in the order
// of Table.Columns; nil is NULL, empty and not nil is the empty string. It keeps nothing of the row, allocates nothing, and reads a
// value that is not of its column's type (from a session with other settings than the package asks for) as NULL. Of a
// clause with subqueries it takes each of them as unknown: MatchIn is for these.
func (p *Predicate) Match(row [][]byte) bool { return p.root.eval(row) == isTrue }

// SQL returns the clause as a self-contained boolean expression over the table's columns, "true" for an empty clause.
// It is itself a clause, which prints as it is, and is printed from the checked tree: constants are typed literals, columns are quoted, there are no parameters.
func (p *Predicate) SQL() string { return p.sql }

// Canonical returns the identity of the clause: equal for clauses on one table that differ only in spacing, the case of
// keywords, redundant parentheses, the spelling of a constant, parameters instead of literals, or in the order and number
// of equal operands of AND, OR and IN. Equal identities match the same rows; the reverse does not hold.
func (p *Predicate) Canonical() string { return p.sql }

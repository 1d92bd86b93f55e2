package protocol

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	pgquery "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Narrow adds a condition to the clause: rows must match both. The clause comes from a client and the condition
// from who may limit it, so the clause must be whole by itself: it must not be able to close the parentheses around it.
func (d *Definition) Narrow(condition string, values []string) error {
	if d.Where != "" {
		if err := whole(d.Where); err != nil {
			return err
		}
	}
	given := numbered{}
	for i, v := range values {
		given[i+1] = v
	}
	text, bound, err := bind(condition, given)
	if err != nil {
		return err
	}
	if d.Where == "" {
		d.Where, d.Params = text, bound
		return nil
	}
	shifted := shift(text, len(d.Params))
	d.Where = "(" + d.Where + "\n) AND (" + shifted + "\n)"
	d.Params = append(slices.Clip(d.Params), bound...)
	return nil
}

// shift adds to the numbers of a clause's parameters.
func shift(where string, by int) string {
	var b strings.Builder
	at := 0
	for _, r := range references(where) {
		b.WriteString(where[at:r.from])
		fmt.Fprintf(&b, "$%d", r.number+by)
		at = r.to
	}
	b.WriteString(where[at:])
	return b.String()
}

// Inner returns the tables that the clause's subqueries select from, as schema and name. It fails if the clause cannot be parsed.
func (d *Definition) Inner() (tables [][2]string, err error) {
	if d.Where == "" {
		return nil, nil
	}
	if err := whole(d.Where); err != nil {
		return nil, err
	}
	tree, err := pgquery.Parse("SELECT 1 WHERE " + d.Where)
	if err != nil {
		return nil, fmt.Errorf("syntax error: %w", err)
	}
	err = protorange.Range(tree.ProtoReflect(), func(p protopath.Values) error {
		if m, ok := p.Index(-1).Value.Interface().(protoreflect.Message); ok {
			if t, ok := m.Interface().(*pgquery.RangeVar); ok {
				schema := t.GetSchemaname()
				if schema == "" {
					schema = "public" // as for the shape's own table
				}
				tables = append(tables, [2]string{schema, t.GetRelname()})
			}
		}
		return nil
	})
	return tables, err
}

// errClause is the text for a clause that is none.
var errClause = errors.New("unescaped \";\" causing statement split, or clauses behind the condition")

// whole checks that a clause is one condition, and nothing besides.
func whole(where string) error {
	tree, err := pgquery.Parse("SELECT 1 WHERE " + where)
	if err != nil {
		return fmt.Errorf("syntax error: %w", err)
	}
	if len(tree.GetStmts()) != 1 {
		return errClause
	}
	s := tree.GetStmts()[0].GetStmt().GetSelectStmt()
	switch {
	case s == nil, s.GetWhereClause() == nil, s.GetOp() != pgquery.SetOperation_SETOP_NONE,
		len(s.GetGroupClause())+len(s.GetWindowClause())+len(s.GetSortClause())+len(s.GetLockingClause())+len(s.GetFromClause()) > 0,
		s.GetHavingClause() != nil, s.GetLimitCount() != nil, s.GetLimitOffset() != nil, s.GetWithClause() != nil:
		return errClause
	}
	return nil
}

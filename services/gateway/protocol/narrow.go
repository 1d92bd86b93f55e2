package protocol

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/shapebus/shapebus/internal/predicate"
)

// Narrow adds a condition to the clause: rows must match both. The clause comes from a client and the condition
// from who may limit it, so the clause must be whole by itself: it must not be able to close the parentheses around it.
func (d *Definition) Narrow(condition string, values []string) error {
	if d.Where != "" {
		if _, err := predicate.Tables(d.Where); err != nil {
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
func (d *Definition) Inner() ([][2]string, error) {
	if d.Where == "" {
		return nil, nil
	}
	tables, err := predicate.Tables(d.Where)
	for i := range tables {
		tables[i][0] = cmp.Or(tables[i][0], "public") // as for the shape's own table
	}
	return tables, err
}

package protocol

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/shapebus/shapebus/internal/predicate"
)

// Narrow adds a condition to the clause: rows must match both. The clause comes from a client and the condition
// from who may limit it, so the clause must be whole by itself: it must not be able to close the parentheses around it.
func (d *Definition) Narrow(known *Clauses, condition string, values []string) error {
	if d.Where != "" {
		if _, err := known.tables(d.Where); err != nil {
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

// Inner returns the tables that the clause's subqueries select from, as schema and name, which must not be changed. It fails if the
// clause cannot be parsed.
func (d *Definition) Inner(known *Clauses) ([][2]string, error) {
	if d.Where == "" {
		return nil, nil
	}
	return known.tables(d.Where)
}

// Clauses remembers what was found out about clauses: a client says its own again with each request, and to take it apart costs more
// than all else of a long poll. The zero value is ready. Safe for concurrent use.
type Clauses struct {
	mu    sync.Mutex
	inner map[string][][2]string // tables that subqueries select from, by clause
	size  int
}

// Bounds of the clauses that are remembered: of one, and of all.
const (
	clauseBytes  = 8 << 10
	clausesBytes = 1 << 20
)

func (c *Clauses) tables(where string) ([][2]string, error) {
	c.mu.Lock()
	tables, ok := c.inner[where]
	c.mu.Unlock()
	if ok {
		return tables, nil
	}
	tables, err := predicate.Tables(where)
	if err != nil {
		return nil, err
	}
	for i := range tables {
		tables[i][0] = cmp.Or(tables[i][0], "public") // as for the shape's own table
	}
	c.remember(where, tables)
	return tables, nil
}

// remember forgets all others when there is no room: what is still asked for comes again.
func (c *Clauses) remember(where string, tables [][2]string) {
	size := 2*len(where) + 64 // a subquery's table is named in it
	if len(where) > clauseBytes {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil || c.size+size > clausesBytes {
		c.inner, c.size = map[string][][2]string{}, 0
	}
	if _, ok := c.inner[where]; ok {
		return
	}
	c.inner[strings.Clone(where)] = tables
	c.size += size
}

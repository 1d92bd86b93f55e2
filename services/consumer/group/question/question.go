// Package question finds the rows whose membership in shapes a unit may have changed. Pure.
package question

import (
	"maps"
	"slices"
	"strings"

	"github.com/shapebus/shapebus/internal/predicate"
)

// fixedMost is how many different fixed parts of clauses narrow down a query.
const fixedMost = 16

// Question finds every row whose membership may have changed for some shape of a table.
type Question struct {
	every   bool            // any row may have
	touched map[string]look // by what is compared with which set
	fixed   []string        // the fixed parts of the clauses of the shapes; none if there is no shape
}

// look is a comparison of columns with the values of a set that changed.
type look struct {
	query  *predicate.Subquery
	values func(yield func(key []byte) bool)
}

// New asks for no shape.
func New() *Question { return &Question{touched: map[string]look{}} }

// Shape asks for one more shape. fixed is the part of its clause that no set decides.
func (q *Question) Shape(fixed string) {
	if len(q.fixed) <= fixedMost && !slices.Contains(q.fixed, fixed) {
		q.fixed = append(q.fixed, fixed)
	}
}

// Touched says which values of a set have changed, which a shape's subquery compares columns with; all says that any may have. Two
// with one name are the same.
func (q *Question) Touched(name string, query *predicate.Subquery, values func(yield func(key []byte) bool), all bool) {
	q.every = q.every || all
	q.touched[name] = look{query, values}
}

// Empty reports whether no shape is asked for.
func (q *Question) Empty() bool { return len(q.fixed) == 0 }

// Pages calls f with the conditions that find the rows, of which none names more than about so many bytes of values.
func (q *Question) Pages(most int, f func(where string) error) error {
	if q.every {
		return f(q.narrow("true"))
	}
	var full []*predicate.Touch // of the page
	size := 0
	send := func() error {
		parts := make([]string, 0, len(full))
		for _, t := range full {
			if t.Bytes() > 0 {
				parts = append(parts, t.SQL())
			}
		}
		full, size = full[:0], 0
		return f(q.narrow(strings.Join(parts, " OR ")))
	}
	for _, name := range slices.Sorted(maps.Keys(q.touched)) {
		look := q.touched[name]
		t := look.query.NewTouch()
		full = append(full, t)
		for key := range look.values {
			before := t.Bytes()
			if err := t.Add(key); err != nil {
				return err
			}
			if size += t.Bytes() - before; size < most {
				continue
			}
			if err := send(); err != nil {
				return err
			}
			t.Reset()
			full = append(full, t)
		}
	}
	if size == 0 {
		return nil
	}
	return send()
}

// narrow adds to a condition what the rows of any member have in common with their clauses.
func (q *Question) narrow(where string) string {
	if len(q.fixed) <= fixedMost && !slices.Contains(q.fixed, "true") {
		return "(" + where + ") AND ((" + strings.Join(q.fixed, ") OR (") + "))"
	}
	return where
}

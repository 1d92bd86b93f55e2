package group

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/live"
)

// pageBytes is how long the values are that one query asks by. The text of a query is copied several times on its
// way, and Postgres may read the whole table for each: so a page is small beside the process, and pages are few.
const pageBytes = 512 << 10

// reread reads the rows in question, once for all members, and writes what
// becomes of them in each. end is the unit's place; its End counts on.
func (st *stage) reread(ctx context.Context, u *unit, end *change.Fragment) error {
	q := st.inQuestion()
	if len(q.fixed) == 0 {
		return nil
	}
	err := q.pages(pageBytes, func(where string) error { return st.rereadPage(ctx, u, end, where) })
	if err != nil {
		return err
	}
	return st.flush(ctx)
}

// rereadPage reads the rows that a condition finds again. Those of two pages are read twice: it is the same
// snapshot and the same sets, so the second time writes what stands there, or takes away what has gone.
func (st *stage) rereadPage(ctx context.Context, u *unit, end *change.Fragment, where string) error {
	table := st.anyMember().Table
	columns := make([]string, 0, len(table.Relation.Columns))
	for _, c := range table.Relation.Columns {
		columns = append(columns, c.Name)
	}
	rows, err := u.snap.CopyRows(ctx, table, columns, where, func(row change.Row) error {
		st.router.Matching(st.table, row, func(f *follow.Follower) {
			if kind, ok := f.Outer.Member.Reread(row); ok {
				f.Emit(end, end.End, kind, row)
			}
		})
		end.End += change.OpStep
		st.g.s.Cfg.Failpoint(failpoint.UnitRow)
		if st.router.Size() > st.pendingBytes() {
			return st.flush(ctx)
		}
		return nil
	})
	st.g.s.Stats.Reread.Add(rows)
	if err != nil {
		return live.FinalIfPermanent(fmt.Errorf("read the rows whose membership changed: %w", err))
	}
	return nil
}

// fixedMost is how many different fixed parts of clauses narrow down a query.
const fixedMost = 16

// question finds every row whose membership may have changed for some member.
type question struct {
	every   bool            // any row may have
	touched map[string]look // by what is compared with which set
	fixed   []string        // the fixed parts of the clauses of members that are concerned; none if there is no such member
}

// look is a comparison of columns with the values of a set that changed.
type look struct {
	query  *predicate.Subquery
	values func(yield func(key []byte) bool)
}

// inQuestion puts together what the members ask.
func (st *stage) inQuestion() question {
	out := question{touched: map[string]look{}}
	for _, f := range st.members {
		if !f.Outer.Member.Concerned() {
			continue
		}
		if sql := f.Pred.FixedSQL(); len(out.fixed) <= fixedMost && !slices.Contains(out.fixed, sql) {
			out.fixed = append(out.fixed, sql)
		}
		for i, q := range f.Pred.Subqueries() {
			values, all := f.Outer.Member.Changed(i)
			out.every = out.every || all
			out.touched[fmt.Sprint(q.Columns, f.Outer.Subqueries[i].ValueSet())] = look{q, values}
		}
	}
	return out
}

// pages calls f with the conditions that find the rows, of which none names more than about so many bytes of values.
func (q *question) pages(most int, f func(where string) error) error {
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
func (q *question) narrow(where string) string {
	if len(q.fixed) <= fixedMost && !slices.Contains(q.fixed, "true") {
		return "(" + where + ") AND ((" + strings.Join(q.fixed, ") OR (") + "))"
	}
	return where
}

package group

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/group/question"
	"github.com/shapebus/shapebus/services/consumer/group/rows"
	"github.com/shapebus/shapebus/services/consumer/group/unit"
	"github.com/shapebus/shapebus/services/consumer/live"
)

// pageBytes is how long the values are that one query asks by. The text of a query is copied several times on its
// way, and Postgres may read the whole table for each: so a page is small beside the process, and pages are few.
const pageBytes = 512 << 10

// reread reads the rows in question, once for all members, and writes what
// becomes of them in each. end is the unit's place; its End counts on.
func (st *stage) reread(ctx context.Context, u *unit.Unit, end *change.Fragment) error {
	q := st.inQuestion()
	var err error
	if !q.Empty() {
		err = q.Pages(pageBytes, func(where string) error { return st.rereadPage(ctx, u, end, where) })
	}
	ended := slices.DeleteFunc(slices.Collect(maps.Values(st.members)), func(f *follow.Follower) bool { return f.Ended == "" })
	if err := cmp.Or(st.lets(ended), err); err != nil || q.Empty() {
		return err
	}
	return st.flush(ctx)
}

// rereadPage reads the rows that a condition finds again. Those of two pages are read twice: it is the same
// snapshot and the same sets, so the second time writes what stands there, or takes away what has gone.
func (st *stage) rereadPage(ctx context.Context, u *unit.Unit, end *change.Fragment, where string) error {
	table := st.anyMember().Table
	read, err := u.Snapshot.CopyRows(ctx, table, rows.Columns(table), where, func(row change.Row) error {
		st.router.Matching(st.table, row, func(f *follow.Follower) {
			if reason := f.Unordered(row); reason != "" {
				f.Ended = reason
				return
			}
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
	st.g.s.Stats.Reread.Add(read)
	if err != nil {
		return live.FinalIfPermanent(fmt.Errorf("read the rows whose membership changed: %w", err))
	}
	return nil
}

// inQuestion puts together what the members ask.
func (st *stage) inQuestion() *question.Question {
	out := question.New()
	for _, f := range st.members {
		if !f.Outer.Member.Concerned() {
			continue
		}
		out.Shape(f.Pred.FixedSQL())
		for i, q := range f.Pred.Subqueries() {
			values, all := f.Outer.Member.Changed(i)
			out.Touched(fmt.Sprint(q.Columns, f.Outer.Subqueries[i].ValueSet()), q, values, all)
		}
	}
	return out
}

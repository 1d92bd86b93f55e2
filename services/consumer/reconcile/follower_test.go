package reconcile_test

import (
	"fmt"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/internal/valueset"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
)

// follower is a shape, with what a reader of its log holds.
type follower struct {
	rule   *reconcile.Shape
	clause *clause
	rows   map[string]string
	whole  map[string]change.Row // the rows with all columns
	last   change.Offset

	// In a unit: the shape, and as one that is told nothing of the sets' changes.
	member, mutant *reconcile.Member
}

func newFollower(t *rapid.T, n int) *follower {
	rule, c := newShape(t, n)
	return &follower{rule: rule, clause: c, rows: map[string]string{}, whole: map[string]change.Row{}}
}

// views gives the sets in the order of the shape's subqueries.
func (s *follower) views(views []*valueset.View) (out []reconcile.Members) {
	for _, q := range s.rule.Subqueries {
		out = append(out, views[q.Set])
	}
	return out
}

func (s *follower) running(group []*reconcile.Set) (out []reconcile.Members) {
	for _, q := range s.rule.Subqueries {
		out = append(out, group[q.Set].Running())
	}
	return out
}

func (s *follower) text(row change.Row) string { return fmt.Sprintf("%q", pick(row, s.rule.Columns)) }

// op is the write as the change log has it, the i-th of its transaction.
func (w write) op(i int) *change.Op {
	op := &change.Op{Index: uint64(i * change.OpStep), Old: w.old, New: w.new}
	switch {
	case w.truncate:
		op.Kind = change.Truncate
	case w.old == nil:
		op.Kind = change.Insert
	case w.new == nil:
		op.Kind = change.Delete
	default:
		op.Kind = change.Update
	}
	return op
}

// writer takes ops of a transaction, and checks them, while the sets are these.
func (h *history) writer(s *follower, t reconcile.Txn, sets []reconcile.Members) reconcile.Emit {
	return func(index uint64, kind change.Kind, row change.Row) {
		s.move(h, h.Locate(t.LSN, index))
		written := kind == change.Insert || kind == change.Update || kind == change.Upsert
		if written && !s.clause.Match(row, sets) {
			h.fail("%v: row %q was written, which the sets keep out", s.clause.root, row)
		}
		s.write(h, kind, row)
	}
}

// move puts an op or a marker at an offset.
func (s *follower) move(h *history, to change.Offset) {
	if !s.last.Before(to) {
		h.fail("%v: offset %v comes after %v", s.clause.root, to, s.last)
	}
	s.last = to
}

// write applies an op as a reader of the log does.
func (s *follower) write(h *history, kind change.Kind, row change.Row) {
	if kind == change.Truncate {
		clear(s.rows)
		clear(s.whole)
		return
	}
	key := string(row[colKey])
	_, held := s.rows[key]
	if kind == change.Insert && held {
		h.fail("%v: insert of row %q, which the shape holds", s.clause.root, row)
	}
	if (kind == change.Update || kind == change.Delete) && !held {
		h.fail("%v: %v of row %q, which the shape does not hold", s.clause.root, kind, row)
	}
	switch kind {
	case change.Delete, change.Discard:
		delete(s.rows, key)
		delete(s.whole, key)
	default:
		s.rows[key], s.whole[key] = s.text(row), row
	}
}

// of is the rows of a table that belong to the shape. inner is the shape that the set behind those of the workload selects from.
func (s *follower) of(w *world, table int, inner *follower) map[string]change.Row {
	values := func(set int) [][][]byte {
		if set < sets {
			return w.values(set)
		}
		var out [][][]byte
		for _, row := range inner.of(w, outer, nil) {
			out = append(out, selected(row))
		}
		return out
	}
	rows := map[string]change.Row{}
	for key, row := range w[table] {
		if s.clause.root.eval(row, func(e *expr) truth {
			return memberOf(values(s.rule.Subqueries[e.sub].Set), pick(row, e.columns))
		}) == yes {
			rows[key] = row
		}
	}
	return rows
}

// selected is the value that a row of an inner shape has in its set.
func selected(row change.Row) [][]byte { return row[colA : colA+1] }

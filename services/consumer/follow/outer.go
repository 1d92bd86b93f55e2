package follow

import (
	"fmt"

	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/valueset"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
)

// Outer is what a follower has when its clause has subqueries: the value sets
// by which it judges rows, and its part in a unit. Owned as the follower is.
type Outer struct {
	pred       *predicate.Predicate
	Subqueries []registry.Subquery // in the order of pred.Subqueries
	Depth      int                 // 1, or 1 more than the deepest of its inner shapes'

	Rule     reconcile.Shape
	sets     []predicate.Set   // by subquery, outside of units
	Member   *reconcile.Member // in a unit; nil outside
	Deferred string            // for the tail: transactions before its commit marker that it does not have
	scratch  predicate.Scratch // for pred.MatchIn
	at       *change.Fragment  // of the op being applied, for emit
	emit     reconcile.Emit    // writes to the follower's log
}

// newOuter prepares the part of a follower that deals with subqueries; nil if
// its clause has none.
func newOuter(f *Follower, rec *registry.Shape) (*Outer, error) {
	queries := f.Pred.Subqueries()
	if len(queries) != len(rec.Subqueries) {
		return nil, fmt.Errorf("shape %s: its clause has %d subqueries, its record names %d inner shapes", rec.Handle, len(queries), len(rec.Subqueries))
	}
	if len(queries) == 0 {
		return nil, nil
	}
	o := &Outer{pred: f.Pred, Subqueries: rec.Subqueries, Depth: Depth(f.Pred)}
	o.Rule = reconcile.Shape{Clause: o, Key: f.key, Columns: f.Project}
	for i, q := range queries {
		o.Rule.Subqueries = append(o.Rule.Subqueries, reconcile.Subquery{Set: i, Monotone: q.Monotone, Tuple: len(q.Columns) > 1})
	}
	o.emit = func(index uint64, kind change.Kind, row change.Row) { f.Emit(o.at, index, kind, row) }
	return o, nil
}

// Match and Key make outer a reconcile.Clause.
func (o *Outer) Match(row change.Row, sets []predicate.Set) bool {
	return o.pred.MatchIn(row, sets, &o.scratch)
}

// Key appends the key of what the row looks up in the i-th subquery's set.
func (o *Outer) Key(i int, key []byte, row change.Row) []byte {
	return o.pred.Subqueries()[i].AppendKey(key, row)
}

// Look makes the follower judge rows by these views from now on.
func (o *Outer) Look(view func(set string) *valueset.View) {
	o.sets = o.sets[:0]
	for _, q := range o.Subqueries {
		o.sets = append(o.sets, view(q.ValueSet()))
	}
}

// Nested reports whether an inner shape has subqueries itself.
func (o *Outer) Nested() bool {
	for _, q := range o.Subqueries {
		if q.Unit {
			return true
		}
	}
	return false
}

// applyOuter offers an op of f, which the shape does not skip, to a shape with
// subqueries.
func (s *Follower) applyOuter(f *change.Fragment, op *change.Op) {
	if (op.Kind == change.Update || op.Kind == change.Delete) && !s.complete(op) {
		return
	}
	s.Outer.at = f
	if s.Outer.Member != nil {
		s.Outer.Member.Op(op, s.Outer.emit)
	} else {
		s.Outer.Rule.Op(op, s.Outer.sets, s.Outer.emit)
	}
}

// CommitUnit gathers the commit marker of a unit: f has its place and its transaction. Logs that the
// unit did not write to get no marker unless forced is set.
func (s *Follower) CommitUnit(f *change.Fragment, forced bool) {
	if s.Tail.Open() || forced {
		s.commitAt(f)
	}
}

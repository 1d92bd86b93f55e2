package consumer

import (
	"fmt"

	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/valueset"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
)

// outer is what a follower has when its clause has subqueries: the value sets
// by which it judges rows, and its part in a unit. Owned as the follower is.
type outer struct {
	pred       *predicate.Predicate
	subqueries []registry.Subquery // in the order of pred.Subqueries
	depth      int                 // 1, or 1 more than the deepest of its inner shapes'

	rule    reconcile.Shape
	sets    []predicate.Set   // by subquery, outside of units
	member  *reconcile.Member // in a unit; nil outside
	aside   string            // for the tail: transactions before its commit marker that it does not have
	scratch predicate.Scratch // for pred.MatchIn
	at      *change.Fragment  // of the op being applied, for emit
	emit    reconcile.Emit    // writes to the follower's log
}

// newOuter prepares the part of a follower that deals with subqueries; nil if
// its clause has none.
func newOuter(f *follower, rec *registry.Shape) (*outer, error) {
	queries := f.pred.Subqueries()
	if len(queries) != len(rec.Subqueries) {
		return nil, fmt.Errorf("shape %s: its clause has %d subqueries, its record names %d inner shapes", rec.Handle, len(queries), len(rec.Subqueries))
	}
	if len(queries) == 0 {
		return nil, nil
	}
	o := &outer{pred: f.pred, subqueries: rec.Subqueries, depth: follow.Depth(f.pred)}
	o.rule = reconcile.Shape{Clause: o, Key: f.key, Columns: f.project}
	for i, q := range queries {
		o.rule.Subqueries = append(o.rule.Subqueries, reconcile.Subquery{Set: i, Monotone: q.Monotone, Tuple: len(q.Columns) > 1})
	}
	o.emit = func(index uint64, kind change.Kind, row change.Row) { f.emit(o.at, index, kind, row) }
	return o, nil
}

// Match and Key make outer a reconcile.Clause.
func (o *outer) Match(row change.Row, sets []predicate.Set) bool {
	return o.pred.MatchIn(row, sets, &o.scratch)
}

// Key appends the key of what the row looks up in the i-th subquery's set.
func (o *outer) Key(i int, key []byte, row change.Row) []byte {
	return o.pred.Subqueries()[i].AppendKey(key, row)
}

// look makes the follower judge rows by these views from now on.
func (o *outer) look(view func(set string) *valueset.View) {
	o.sets = o.sets[:0]
	for _, q := range o.subqueries {
		o.sets = append(o.sets, view(q.ValueSet()))
	}
}

// nested reports whether an inner shape has subqueries itself.
func (o *outer) nested() bool {
	for _, q := range o.subqueries {
		if q.Unit {
			return true
		}
	}
	return false
}

// applyOuter offers an op of f, which the shape does not skip, to a shape with
// subqueries.
func (s *follower) applyOuter(f *change.Fragment, op *change.Op) {
	if (op.Kind == change.Update || op.Kind == change.Delete) && !s.complete(op) {
		return
	}
	s.outer.at = f
	if s.outer.member != nil {
		s.outer.member.Op(op, s.outer.emit)
	} else {
		s.outer.rule.Op(op, s.outer.sets, s.outer.emit)
	}
}

// commitUnit gathers the commit marker of a unit: f has its place and its
// transaction. A shape whose log the unit left alone gets none, unless forced.
func (s *follower) commitUnit(f *change.Fragment, forced bool) {
	if s.Tail.Open() || forced {
		s.commitAt(f)
	}
}

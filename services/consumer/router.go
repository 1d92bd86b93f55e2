package consumer

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/shapebus/shapebus/pkg/change"
)

// router finds the shapes that an op concerns. A shape whose clause says
// `column = constant` is found by the column's value, so the cost of an op
// follows the shapes that may match; the others are tried one by one. Owned by
// the main loop.
type router struct {
	tables map[uint32]*table // by oid

	dirty   []*follower // gathered something since the last take
	pending int         // bytes they gathered
	ended   []*follower // cannot go on, since the last fragment
	// deferred are shapes with subqueries whose commit markers wait for the end
	// of the transaction: what its other tables' ops do to the sets is not known
	// before. settled says that it is.
	deferred []*follower
	settled  bool
	ops      int64
}

// table holds the shapes of one table.
type table struct {
	shapes  []*follower
	indexes []valueIndex
	rest    []*follower // without a usable equality
	open    []*follower // their logs stand inside a transaction
	checked string      // fingerprint of the schema that all shapes were last compared with
}

// valueIndex finds the shapes with `column = constant` by the constant.
type valueIndex struct {
	column int
	shapes map[string][]*follower
}

func newRouter() *router { return &router{tables: map[uint32]*table{}} }

func (r *router) add(s *follower) {
	t := r.tables[s.relation.OID]
	if t == nil {
		t = &table{}
		r.tables[s.relation.OID] = t
	}
	t.shapes = append(t.shapes, s)
	t.checked = ""
	if s.tail.Open() {
		t.open = append(t.open, s)
	}
	terms := s.pred.EqualityTerms()
	if len(terms) == 0 {
		t.rest = append(t.rest, s)
		return
	}
	x := t.index(terms[0].Column)
	v := string(terms[0].Value)
	x.shapes[v] = append(x.shapes[v], s)
}

func (t *table) index(column int) *valueIndex {
	for i := range t.indexes {
		if t.indexes[i].column == column {
			return &t.indexes[i]
		}
	}
	t.indexes = append(t.indexes, valueIndex{column: column, shapes: map[string][]*follower{}})
	return &t.indexes[len(t.indexes)-1]
}

func (r *router) remove(s *follower) {
	t := r.tables[s.relation.OID]
	if t == nil {
		return
	}
	without := func(list []*follower) []*follower {
		return slices.DeleteFunc(list, func(o *follower) bool { return o == s })
	}
	t.shapes, t.rest, t.open = without(t.shapes), without(t.rest), without(t.open)
	r.dirty, r.deferred = without(r.dirty), without(r.deferred)
	if terms := s.pred.EqualityTerms(); len(terms) > 0 {
		x, v := t.index(terms[0].Column), string(terms[0].Value)
		if x.shapes[v] = without(x.shapes[v]); len(x.shapes[v]) == 0 {
			delete(x.shapes, v)
		}
	}
	if len(t.shapes) == 0 {
		delete(r.tables, s.relation.OID)
	}
}

// fragment offers a fragment to the shapes of its table. flush is called
// when they have gathered more than limit bytes. It returns the shapes that
// cannot go on.
func (r *router) fragment(rel *change.Relation, f *change.Fragment, limit int, flush func() error) (ended []*follower, err error) {
	t := r.tables[rel.OID]
	if t == nil {
		return nil, nil
	}
	r.ended = nil
	if t.checked != f.Relation {
		passed := false
		for _, s := range t.shapes {
			if s.checkRelation(rel, f) {
				r.ended = append(r.ended, s)
			} else if s.finger != f.Relation {
				passed = true // over by a shape that has the transaction already
			}
		}
		if len(r.ended) > 0 {
			return r.ended, nil // the caller removes them and offers the fragment again
		}
		if !passed {
			t.checked = f.Relation
		}
	}
	r.ops += int64(len(f.Ops))
	for i := range f.Ops {
		t.candidates(&f.Ops[i], func(s *follower) { r.offer(t, s, f, &f.Ops[i]) })
		if r.pending > limit {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	if f.Last {
		r.commit(t, f)
	}
	return r.ended, nil
}

func (r *router) offer(t *table, s *follower, f *change.Fragment, op *change.Op) {
	if s.ended != "" || s.skips(f) {
		return
	}
	open, before := s.tail.Open(), s.pending()
	s.apply(f, op)
	if s.ended != "" {
		r.ended = append(r.ended, s)
	}
	if s.out == nil {
		return
	}
	if !open && s.tail.Open() {
		t.open = append(t.open, s)
	}
	r.gathered(s, before)
}

func (r *router) gathered(s *follower, before int) {
	if before == 0 && s.pending() > 0 {
		r.dirty = append(r.dirty, s)
	}
	r.pending += s.pending() - before
}

// commit writes the marker of the transaction to the logs that stand inside it.
func (r *router) commit(t *table, f *change.Fragment) {
	t.open = slices.DeleteFunc(t.open, func(s *follower) bool {
		if s.outer != nil && !r.settled {
			r.deferred = append(r.deferred, s)
			return true
		}
		before := s.pending()
		s.commit(f)
		r.gathered(s, before)
		return !s.tail.Open()
	})
}

// commitDeferred writes the markers that waited for the transaction's end, of
// which f is the last fragment.
func (r *router) commitDeferred(f *change.Fragment) {
	for _, s := range r.deferred {
		before := s.pending()
		s.commit(f)
		r.gathered(s, before)
	}
	r.deferred = r.deferred[:0]
}

// reopen finds out anew which logs stand inside a transaction.
func (r *router) reopen() {
	r.deferred = r.deferred[:0]
	for _, t := range r.tables {
		t.open = t.open[:0]
		for _, s := range t.shapes {
			if s.tail.Open() {
				t.open = append(t.open, s)
			}
		}
	}
}

// row calls f with the shapes that a row of a table may concern, and counts
// what they gather.
func (r *router) row(table uint32, row change.Row, f func(*follower)) {
	t := r.tables[table]
	if t == nil {
		return
	}
	op := &change.Op{Kind: change.Insert, New: row}
	t.candidates(op, func(s *follower) {
		before := s.pending()
		f(s)
		r.gathered(s, before)
	})
}

// take returns the shapes that gathered something since the last take.
func (r *router) take() []*follower {
	d := r.dirty
	r.dirty, r.pending = nil, 0
	return d
}

// candidates calls f once with each shape that the op may concern.
func (t *table) candidates(op *change.Op, f func(*follower)) {
	if op.Kind == change.Truncate {
		for _, s := range t.shapes {
			f(s)
		}
		return
	}
	for i := range t.indexes {
		x := &t.indexes[i]
		var before []byte
		if op.Old != nil {
			if before = op.Old[x.column]; before != nil {
				for _, s := range x.shapes[string(before)] {
					f(s)
				}
			}
		}
		if op.New != nil {
			// The same value leads to the same shapes, a different one to others.
			if after := op.New[x.column]; after != nil && (before == nil || !bytes.Equal(before, after)) {
				for _, s := range x.shapes[string(after)] {
					f(s)
				}
			}
		}
	}
	for _, s := range t.rest {
		f(s)
	}
}

// checkRelation reports whether the shape ends because its table is not what
// it was, and notes why.
func (s *follower) checkRelation(rel *change.Relation, f *change.Fragment) bool {
	if f.Relation == s.finger || s.skips(f) {
		return false
	}
	s.ended = s.relation.Diff(rel)
	if s.ended == "" {
		s.ended = fmt.Sprintf("table %s.%s changed", s.relation.Schema, s.relation.Name)
	}
	return true
}

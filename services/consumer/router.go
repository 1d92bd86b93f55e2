package consumer

import (
	"fmt"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/filter"
)

// router finds the shapes that an op concerns, through a filter index, so that
// the cost of an op follows the shapes that may match. Owned by the main loop.
type router struct {
	tables map[uint32]*table // by oid

	dirty   roster      // gathered something since the last take
	pending int         // bytes they gathered
	ended   []*follower // cannot go on, since the last fragment
	// deferred are shapes with subqueries whose commit markers wait for the end
	// of the transaction: what its other tables' ops do to the sets is not known
	// before. settled says that it is.
	deferred roster
	settled  bool
	ops      int64
}

// table holds the shapes of one table.
type table struct {
	oid     uint32
	sets    int // value sets that are in the index
	shapes  roster
	index   *filter.Index[*follower]
	open    roster // their logs stand inside a transaction
	checked string // fingerprint of the schema that all shapes were last compared with
}

func newRouter() *router {
	return &router{tables: map[uint32]*table{}, dirty: roster{slot: inDirty}, deferred: roster{slot: inDeferred}}
}

func (r *router) add(s *follower) {
	t := r.tables[s.relation.OID]
	if t == nil {
		t = &table{oid: s.relation.OID, shapes: roster{slot: inTable}, open: roster{slot: inOpen}, index: filter.New[*follower]()}
		r.tables[s.relation.OID] = t
	}
	t.shapes.add(s)
	if t.checked != s.finger {
		t.checked = ""
	}
	if s.Tail.Open() {
		t.open.add(s)
	}
	var members []*filter.Set[*follower]
	if s.outer != nil && !r.settled {
		members = s.sets.memberSets(s, t)
	}
	s.entry = t.index.Add(s, s.pred.Access(), members...)
}

// remove takes a shape out that is in the router. What it gathered is not
// flushed. The cost does not follow the number of shapes.
func (r *router) remove(s *follower) {
	t := r.tables[s.relation.OID]
	if t == nil || s.entry == nil {
		return
	}
	t.index.Remove(s.entry)
	s.entry = nil
	t.shapes.remove(s)
	t.open.remove(s)
	r.dirty.remove(s)
	r.deferred.remove(s)
	r.dropIfIdle(t)
}

// dropIfIdle forgets a table without shapes. Its index is kept while it holds
// value sets whose shapes are away.
func (r *router) dropIfIdle(t *table) {
	if len(t.shapes.items) == 0 && t.sets == 0 {
		delete(r.tables, t.oid)
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
		for _, s := range t.shapes.items {
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
		for _, s := range t.candidates(&f.Ops[i]) {
			r.offer(t, s, f, &f.Ops[i])
		}
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
	open, before := s.Tail.Open(), s.Gathered()
	s.apply(f, op)
	if s.ended != "" {
		r.ended = append(r.ended, s)
	}
	if s.Gathered() == 0 {
		return
	}
	if !open && s.Tail.Open() {
		t.open.add(s)
	}
	r.gathered(s, before)
}

func (r *router) gathered(s *follower, before int) {
	if before == 0 && s.Gathered() > 0 {
		r.dirty.add(s)
	}
	r.pending += s.Gathered() - before
}

// commit writes the marker of the transaction to the logs that stand inside it.
func (r *router) commit(t *table, f *change.Fragment) {
	for i := 0; i < len(t.open.items); {
		s := t.open.items[i]
		if s.outer != nil && !r.settled {
			t.open.remove(s)
			r.deferred.add(s)
			continue
		}
		before := s.Gathered()
		s.commit(f)
		r.gathered(s, before)
		if s.Tail.Open() {
			i++
		} else {
			t.open.remove(s) // and another is here now
		}
	}
}

// commitDeferred writes the markers that waited for the transaction's end, of
// which f is the last fragment.
func (r *router) commitDeferred(f *change.Fragment) {
	for _, s := range r.deferred.take() {
		before := s.Gathered()
		s.commit(f)
		r.gathered(s, before)
	}
}

// reopen finds out anew which logs stand inside a transaction.
func (r *router) reopen() {
	r.deferred.take()
	for _, t := range r.tables {
		t.open.take()
		for _, s := range t.shapes.items {
			if s.Tail.Open() {
				t.open.add(s)
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
	for _, s := range t.index.Find(nil, row) {
		before := s.Gathered()
		f(s)
		r.gathered(s, before)
	}
}

// take returns the shapes that gathered something since the last take.
func (r *router) take() []*follower {
	r.pending = 0
	return r.dirty.take()
}

// candidates returns the shapes that the op may concern, each once. The list
// is valid until the next call. An op without the whole old row concerns all:
// nobody can tell which of them it leaves.
func (t *table) candidates(op *change.Op) []*follower {
	if op.Kind == change.Truncate || op.Kind != change.Insert && (op.Old == nil || op.KeyOnly) {
		return t.shapes.items
	}
	return t.index.Find(op.Old, op.New)
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

package follow

import (
	"iter"
	"slices"

	"github.com/shapebus/shapebus/internal/predicate/access"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/filter"
)

// Router finds the shapes that an op concerns, through a filter index, so that
// the cost of an op follows the shapes that may match. Owned by the main loop.
type Router struct {
	tables map[uint32]*Table // by oid

	dirty   roster      // gathered something since the last take
	pending int         // bytes they gathered
	ended   []*Follower // cannot go on, since the last fragment
	// deferred are shapes with subqueries whose commit markers wait for the end
	// of the transaction: what its other tables' ops do to the sets is not known
	// before. settled says that it is.
	deferred roster
	settled  bool
	ops      int64
	members  func(*Follower, *Table) []*filter.Set[*Follower]
}

// Table holds the shapes of one table.
type Table struct {
	oid     uint32
	sets    int // value sets that are in the index
	shapes  roster
	index   *filter.Index[*Follower]
	open    roster // their logs stand inside a transaction
	checked string // fingerprint of the schema that all shapes were last compared with
}

// NewRouter makes a router. members tells which of the sets in a table's index belong to the
// subqueries of a shape, nil for those that are not there; it may be nil.
func NewRouter(members func(*Follower, *Table) []*filter.Set[*Follower]) *Router {
	return &Router{tables: map[uint32]*Table{}, dirty: roster{slot: inDirty}, deferred: roster{slot: inDeferred}, members: members}
}

// NewSettledRouter makes a router for those who know what a transaction does to the sets before they
// offer its ops.
func NewSettledRouter() *Router {
	r := NewRouter(nil)
	r.settled = true
	return r
}

// All gives the shapes by the oids of their tables.
func (r *Router) All() iter.Seq2[uint32, []*Follower] {
	return func(yield func(uint32, []*Follower) bool) {
		for oid, t := range r.tables {
			if !yield(oid, slices.Clone(t.shapes.items)) {
				return
			}
		}
	}
}

// On are the shapes of a table.
func (r *Router) On(oid uint32) []*Follower {
	if t := r.tables[oid]; t != nil {
		return slices.Clone(t.shapes.items)
	}
	return nil
}

// Size is how many bytes the shapes have gathered since the last take.
func (r *Router) Size() int { return r.pending }

// TakeOps is how many ops were offered since it was asked last.
func (r *Router) TakeOps() int64 {
	n := r.ops
	r.ops = 0
	return n
}

// NewSet puts a value set into the index of the table; see filter.Index.NewSet.
func (t *Table) NewSet(outer, inner []access.Key) *filter.Set[*Follower] {
	t.sets++
	return t.index.NewSet(outer, inner)
}

// DropSet takes a value set out that no shape is attached to any more.
func (r *Router) DropSet(t *Table, set *filter.Set[*Follower]) {
	set.Clear()
	t.sets--
	r.dropIfIdle(t)
}

// Add takes a shape in that is in no router.
func (r *Router) Add(s *Follower) {
	t := r.tables[s.Relation.OID]
	if t == nil {
		t = &Table{oid: s.Relation.OID, shapes: roster{slot: inTable}, open: roster{slot: inOpen}, index: filter.New[*Follower]()}
		r.tables[s.Relation.OID] = t
	}
	t.shapes.add(s)
	if t.checked != s.Fingerprint {
		t.checked = ""
	}
	if s.Tail.Open() {
		t.open.add(s)
	}
	var members []*filter.Set[*Follower]
	if s.Outer != nil && r.members != nil {
		members = r.members(s, t)
	}
	s.entry = t.index.Add(s, s.Pred.Access(), members...)
}

// Remove takes a shape out that is in the router. What it gathered is not
// flushed. The cost does not follow the number of shapes.
func (r *Router) Remove(s *Follower) {
	t := r.tables[s.Relation.OID]
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

// Detach makes a shape forget the router that it is in, which is not used any more.
func (s *Follower) Detach() { s.entry, s.places = nil, places{} }

// dropIfIdle forgets a table without shapes. Its index is kept while it holds
// value sets whose shapes are away.
func (r *Router) dropIfIdle(t *Table) {
	if len(t.shapes.items) == 0 && t.sets == 0 {
		delete(r.tables, t.oid)
	}
}

// Fragment offers a fragment to the shapes of its table. flush is called
// when they have gathered more than limit bytes. It returns the shapes that
// cannot go on.
func (r *Router) Fragment(rel *change.Relation, f *change.Fragment, limit int, flush func() error) (ended []*Follower, err error) {
	t := r.tables[rel.OID]
	if t == nil {
		return nil, nil
	}
	r.ended = nil
	if t.checked != f.Relation {
		passed := false
		for _, s := range t.shapes.items {
			if s.CheckRelation(rel, f) {
				r.ended = append(r.ended, s)
			} else if s.Fingerprint != f.Relation {
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

// Offer is Fragment for those who let the shapes that cannot go on end one by one: end is called with
// each of them and takes it out of the router. When they end because their table is not what it was, the
// fragment is offered to the others then.
func (r *Router) Offer(rel *change.Relation, f *change.Fragment, limit int, flush func() error, end func(*Follower) error) error {
	for {
		ended, err := r.Fragment(rel, f, limit, flush)
		if err != nil {
			return err
		}
		again := false
		for _, s := range ended {
			again = again || s.Fingerprint != f.Relation
			if err := end(s); err != nil {
				return err
			}
		}
		if !again {
			return nil
		}
	}
}

func (r *Router) offer(t *Table, s *Follower, f *change.Fragment, op *change.Op) {
	if s.Ended != "" || s.skips(f) {
		return
	}
	open, before := s.Tail.Open(), s.Gathered()
	s.apply(f, op)
	if s.Ended != "" {
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

func (r *Router) gathered(s *Follower, before int) {
	if before == 0 && s.Gathered() > 0 {
		r.dirty.add(s)
	}
	r.pending += s.Gathered() - before
}

// commit writes the marker of the transaction to the logs that stand inside it.
func (r *Router) commit(t *Table, f *change.Fragment) {
	for i := 0; i < len(t.open.items); {
		s := t.open.items[i]
		if s.Outer != nil && !r.settled {
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

// CommitDeferred writes the markers that waited for the transaction's end, of
// which f is the last fragment.
func (r *Router) CommitDeferred(f *change.Fragment) {
	for _, s := range r.deferred.take() {
		before := s.Gathered()
		s.commit(f)
		r.gathered(s, before)
	}
}

// Reopen finds out again which logs stand inside a transaction.
func (r *Router) Reopen() {
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

// Matching calls f with the shapes that a row of a table may concern, and counts
// what they gather.
func (r *Router) Matching(table uint32, row change.Row, f func(*Follower)) {
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

// Take returns the shapes that gathered something since the last take.
func (r *Router) Take() []*Follower {
	r.pending = 0
	return r.dirty.take()
}

// candidates returns the shapes that the op may concern, each once. The list
// is valid until the next call. An op without the whole old row concerns all:
// nobody can tell which of them it leaves.
func (t *Table) candidates(op *change.Op) []*Follower {
	if op.Kind == change.Truncate || op.Kind != change.Insert && (op.Old == nil || op.KeyOnly) {
		return t.shapes.items
	}
	return t.index.Find(op.Old, op.New)
}

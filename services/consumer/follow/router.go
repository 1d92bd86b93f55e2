package follow

import (
	"iter"
	"slices"

	"github.com/shapebus/shapebus/internal/predicate/access"
	"github.com/shapebus/shapebus/services/consumer/filter"
)

// Router finds the shapes that an op concerns, through a filter index, so that
// the cost of an op follows the shapes that may match. Owned by the main loop.
type Router struct {
	tables map[uint32]*Table // by oid

	dirty   roster      // gathered something since the last take
	pending int         // bytes they gathered
	ended   []*Follower // cannot go on, since the last fragment
	// owed are shapes with subqueries whose commit markers wait for the end
	// of the transaction: what its other tables' ops do to the sets is not known
	// before. settled says that it is.
	owed    roster
	settled bool
	ops     int64
	meter   *Meter // nil for none
	members func(*Follower, *Table) []*filter.Set[*Follower]
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
	return &Router{tables: map[uint32]*Table{}, dirty: roster{slot: inDirty}, owed: roster{slot: inOwed}, members: members}
}

// NewSettledRouter makes a router for those who know what a transaction does to the sets before they
// offer its ops.
func NewSettledRouter() *Router {
	r := NewRouter(nil)
	r.settled = true
	return r
}

// Measure has what the shapes cost told.
func (r *Router) Measure(m *Meter) *Router {
	r.meter = m
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

// Unindexed is how many shapes of a table every change of it is offered to, as no index finds them by
// their clauses.
func (r *Router) Unindexed(oid uint32) int {
	if t := r.tables[oid]; t != nil {
		return t.index.Unindexed()
	}
	return 0
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
	if t.checked != s.Fingerprint.Value() {
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
	r.owed.remove(s)
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

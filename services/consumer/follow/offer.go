package follow

import "github.com/shapebus/shapebus/pkg/change"

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
			} else if s.Fingerprint.Value() != f.Relation {
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
		op := &f.Ops[i]
		size := -1 // not known yet
		for _, s := range t.candidates(op) {
			if size < 0 {
				size = sizeOf(op)
			}
			r.offer(t, s, f, op, size)
		}
		if r.pending > limit {
			if err := flush(); err != nil {
				return r.ended, err
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
			again = again || s.Fingerprint.Value() != f.Relation
			if err := end(s); err != nil {
				return err
			}
		}
		if !again {
			return nil
		}
	}
}

func (r *Router) offer(t *Table, s *Follower, f *change.Fragment, op *change.Op, size int) {
	if s.Ended != "" || s.skips(f) {
		return
	}
	open, before := s.Tail.Open(), s.Gathered()
	weight, began := r.meter.begin(size > s.Pred.Carefree())
	if s.affords(op, size) && s.ordered(op) {
		s.apply(f, op)
		s.checkRows()
	}
	r.meter.end(s.Handle, weight, began)
	if s.Ended != "" {
		r.ended = append(r.ended, s)
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
			r.owed.add(s)
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

// CommitOwed writes the markers that waited for the transaction's end, of
// which f is the last fragment.
func (r *Router) CommitOwed(f *change.Fragment) {
	for _, s := range r.owed.take() {
		before := s.Gathered()
		s.commit(f)
		r.gathered(s, before)
	}
}

// Reopen finds out again which logs stand inside a transaction.
func (r *Router) Reopen() {
	r.owed.take()
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

package reconcile_test

import (
	"bytes"
	"fmt"
	"iter"
	"maps"
	"slices"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/internal/valueset"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
)

// mutation is a mistake to make, to see that the property notices it.
type mutation int

const (
	correct mutation = iota
	// The unit's snapshot sees the transaction that opened it, but perhaps not
	// all that was applied.
	seesOnlyOpener
	// Rows in question are evaluated under the frozen sets alone.
	frozenAlone
	// What was aside does not count as passed, so the next of it has the same place.
	asideStays
)

// history plays transactions through a group of shapes on the same value sets,
// and remembers the first thing that is wrong.
type history struct {
	t        *rapid.T
	mutation mutation
	txns     []*txn
	shapes   []*follower
	views    []*valueset.View
	applied  []change.XID
	now      int             // moment
	at       change.LSN      // the shapes have everything up to here
	aside    []reconcile.Txn // but these
	last     uint64          // see reconcile.Place
	wrong    string

	units, asides int
}

// play runs one history.
func play(t *rapid.T, m mutation) *history {
	h := &history{t: t, mutation: m, txns: workload(t)}
	for range rapid.IntRange(1, 3).Draw(t, "shapes") {
		h.shapes = append(h.shapes, newFollower(t))
	}
	for range sets {
		h.views = append(h.views, valueset.NewView(&valueset.Set{}))
	}
	queue := make([]reconcile.Txn, len(h.txns))
	for i, x := range h.txns {
		queue[i] = reconcile.Txn{XID: xidOf(i), LSN: lsnAt(x.wal), First: uint64(i)}
	}
	for (len(h.aside) > 0 || len(queue) > 0) && h.wrong == "" {
		queue = h.next(queue)
	}
	return h
}

func lsnAt(moment int) change.LSN { return change.LSN(10 * (moment + 1)) }

func xidOf(i int) change.XID { return change.XID(i + 1) }

func (h *history) txn(t reconcile.Txn) *txn { return h.txns[t.First] }

func (h *history) fail(format string, args ...any) {
	if h.wrong == "" {
		h.wrong = fmt.Sprintf(format, args...)
	}
}

// next processes the first transaction that was deferred, or else the first of
// the queue, with all that its unit takes in, and returns what is left of the queue.
func (h *history) next(queue []reconcile.Txn) []reconcile.Txn {
	wasAside := len(h.aside) > 0
	var opener reconcile.Txn
	if wasAside {
		opener = h.aside[0]
	} else {
		opener, queue = queue[0], queue[1:]
	}
	x := h.txn(opener)
	h.now = max(h.now, x.wal)
	if !h.steady(x) {
		return h.unit(opener, queue)
	}
	for _, s := range h.shapes {
		views := s.views(h.views)
		for i := range x.writes {
			if x.writes[i].table == outer {
				s.rule.Op(x.writes[i].op(i), views, h.writer(s, opener, views))
			}
		}
		s.move(h, reconcile.Place(h.at, h.last, opener.LSN, x.end()))
	}
	h.passed(opener)
	if wasAside {
		h.aside = h.aside[1:]
	} else {
		h.at = opener.LSN
	}
	h.check(h.applied, "after transaction "+opener.LSN.String())
	return queue
}

// passed notes that the shapes have a transaction.
func (h *history) passed(t reconcile.Txn) {
	h.applied = append(h.applied, t.XID)
	if h.mutation == asideStays {
		return
	}
	h.last = reconcile.Passed(h.at, h.last, t.LSN, h.txn(t).end())
}

// end is the index of the transaction's marker in the change log.
func (x *txn) end() uint64 { return uint64(len(x.writes) * change.OpStep) }

// steady brings the sets past a transaction if no shape needs a unit for it;
// else it leaves them as they are.
func (h *history) steady(x *txn) bool {
	quiet := true
	for i := range sets {
		quiet = quiet && !reconcile.Changes(h.views[i], x.deltas(i).All)
	}
	if quiet {
		for i := range sets {
			reconcile.Shift(h.views[i], x.deltas(i).All)
		}
		return true
	}
	group := freeze(h.views)
	for i, s := range group {
		s.Add(x.deltas(i).All)
	}
	for _, s := range h.shapes {
		if s.rule.Join(group).Concerned() {
			return false
		}
	}
	h.adopt(group)
	return true
}

func freeze(views []*valueset.View) []*reconcile.Set {
	var group []*reconcile.Set
	for _, v := range views {
		group = append(group, reconcile.Freeze(v))
	}
	return group
}

func (h *history) adopt(group []*reconcile.Set) {
	for i, s := range group {
		h.views[i] = s.Settle()
		if rapid.Bool().Draw(h.t, "fold") {
			h.views[i].Fold()
		}
	}
}

// snapshot takes a snapshot that a unit may use which opener opens, and writes
// the barrier.
func (h *history) snapshot(opener reconcile.Txn) (q change.Snapshot, barrier change.LSN) {
	for q = h.snapshotAt(h.now); !reconcile.Usable(q, opener, h.at, h.aside, h.read()); q = h.snapshotAt(h.now) {
		h.now++
	}
	h.now += rapid.IntRange(0, 4).Draw(h.t, "later")
	return h.snapshotAt(h.now), lsnAt(h.now) + 5
}

// read is every transaction that is in the WAL, as the change log's reader
// knows them.
func (h *history) read() iter.Seq2[change.XID, change.LSN] {
	return func(yield func(change.XID, change.LSN) bool) {
		for i, x := range h.txns {
			if h.mutation == seesOnlyOpener || x.wal > h.now || !yield(xidOf(i), lsnAt(x.wal)) {
				return
			}
		}
	}
}

func (h *history) snapshotAt(moment int) change.Snapshot {
	q := change.Snapshot{Xmin: 1, Xmax: 1, LSN: lsnAt(moment) + 1}
	for i, x := range h.txns {
		if x.wal <= moment {
			q.Xmax = change.FullXID(xidOf(i) + 1)
		}
		if x.seen > moment {
			q.Xip = append(q.Xip, change.FullXID(xidOf(i)))
		}
	}
	return q
}

// unit processes what is aside and the queue up to the barrier.
func (h *history) unit(opener reconcile.Txn, queue []reconcile.Txn) []reconcile.Txn {
	h.units++
	q, barrier := h.snapshot(opener)
	group, untouched := freeze(h.views), freeze(h.views)
	for _, s := range h.shapes {
		s.member, s.mutant = s.rule.Join(group), s.rule.Join(untouched)
	}
	before := h.aside
	if len(before) == 0 {
		before = []reconcile.Txn{opener}
	}
	for len(queue) > 0 && queue[0].LSN < barrier {
		before, queue = append(before, queue[0]), queue[1:]
	}
	var backlog reconcile.Backlog
	for _, x := range before {
		if reconcile.Aside(q, x.XID) {
			backlog.Put(x)
			h.asides++
		} else {
			h.inside(x, group)
		}
	}
	var visible []change.XID
	for i, x := range h.txns {
		if x.wal <= h.now && q.Sees(xidOf(i)) {
			visible = append(visible, xidOf(i))
		}
	}
	read := h.after(visible)
	for _, s := range h.shapes {
		h.reread(s, read)
		s.move(h, change.Offset{LSN: barrier})
	}
	h.adopt(group)
	h.at, h.last, h.aside = barrier, 0, backlog.Take()
	h.check(visible, "after the unit that ends at "+barrier.String())
	return queue
}

// inside processes a transaction that the unit's snapshot sees.
func (h *history) inside(t reconcile.Txn, group []*reconcile.Set) {
	x := h.txn(t)
	for i, s := range group {
		s.Add(x.deltas(i).All)
	}
	for _, s := range h.shapes {
		running := s.running(group)
		write := h.writer(s, t, running)
		for i := range x.writes {
			if x.writes[i].table != outer {
				continue
			}
			op := x.writes[i].op(i)
			if h.mutation == frozenAlone {
				s.mutant.Op(op, func(index uint64, kind change.Kind, row change.Row) { write(index, idempotent(kind), row) })
				continue
			}
			s.member.Op(op, write)
		}
	}
	h.passed(t)
}

func idempotent(k change.Kind) change.Kind {
	switch k {
	case change.Insert, change.Update:
		return change.Upsert
	case change.Delete:
		return change.Discard
	default:
		return k
	}
}

// reread offers the rows that a unit reads back: those that Changed speaks
// of, and sometimes others.
func (h *history) reread(s *follower, w *world) {
	for _, key := range slices.Sorted(maps.Keys(w[outer])) {
		row := w[outer][key]
		asked := false
		for i := range s.rule.Subqueries {
			values, every := s.member.Changed(i)
			asked = asked || every
			for v := range values {
				asked = asked || bytes.Equal(v, s.clause.Key(i, nil, row))
			}
		}
		kind, ok := s.member.Reread(row)
		if ok && !asked {
			h.fail("%v: row %q is reread, but no query asks for it", s.clause.root, row)
		}
		if asked && ok {
			s.write(h, kind, row)
		}
		if asked && ok && rapid.Bool().Draw(h.t, "found twice") {
			s.write(h, kind, row)
		}
	}
}

// after is the tables after some transactions.
func (h *history) after(txns []change.XID) *world {
	w := newWorld()
	for _, x := range slices.Sorted(slices.Values(txns)) {
		w.apply(h.txns[x-1])
	}
	return w
}

// check compares every shape with its clause's definition after some transactions.
func (h *history) check(txns []change.XID, when string) {
	w := h.after(txns)
	for _, s := range h.shapes {
		want := map[string]string{}
		for key, row := range w[outer] {
			if s.clause.root.eval(row, func(e *expr) truth {
				return memberOf(w.values(s.rule.Subqueries[e.sub].Set), pick(row, e.columns))
			}) == yes {
				want[key] = s.text(row)
			}
		}
		if !maps.Equal(s.rows, want) {
			h.fail("%s the shape %v holds %q, want %q", when, s.clause.root, s.rows, want)
		}
	}
}

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
	// What was deferred does not count as passed, so the next of it has the same place.
	deferredStays
)

// history plays transactions through a group of shapes on the same value sets,
// and remembers the first thing that is wrong.
type history struct {
	reconcile.Stage

	t        *rapid.T
	mutation mutation
	txns     []*txn
	table    int       // of the shapes
	inner    *follower // the shape that the set behind those of the workload selects from; nil if there is none
	shapes   []*follower
	applied  []change.XID
	now      int // moment
	wrong    string

	units, deferrals int
}

// play runs one history.
func play(t *rapid.T, m mutation) *history {
	h := &history{t: t, mutation: m, txns: workload(t, 0, 1, pairSet, outer, outer, outer), table: outer}
	for range rapid.IntRange(1, 3).Draw(t, "shapes") {
		h.shapes = append(h.shapes, newFollower(t, sets))
	}
	for range sets {
		h.Views = append(h.Views, valueset.NewView(&valueset.Set{}))
	}
	queue := make([]reconcile.Txn, len(h.txns))
	for i, x := range h.txns {
		queue[i] = reconcile.Txn{XID: xidOf(i), LSN: lsnAt(x.wal), First: uint64(i)}
	}
	for (len(h.Deferred) > 0 || len(queue) > 0) && h.wrong == "" {
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
	wasDeferred := len(h.Deferred) > 0
	var opener reconcile.Txn
	if wasDeferred {
		opener = h.Deferred[0]
	} else {
		opener, queue = queue[0], queue[1:]
	}
	x := h.txn(opener)
	h.now = max(h.now, x.wal)
	h.Again()
	h.Begin(opener)
	if h.Bring(opener, x.verdicts()) {
		return h.unit(opener, queue)
	}
	h.plain(opener)
	if wasDeferred {
		h.Deferred = h.Deferred[1:]
	} else {
		h.At = opener.LSN
	}
	h.check(h.applied, "after transaction "+opener.LSN.String())
	return queue
}

// plain writes a transaction outside of units.
func (h *history) plain(t reconcile.Txn) {
	x := h.txn(t)
	for _, s := range h.shapes {
		views := s.views(h.Views)
		for i := range x.writes {
			if x.writes[i].table == h.table {
				s.rule.Op(x.writes[i].op(i), views, h.writer(s, t, views))
			}
		}
		s.move(h, h.Locate(t.LSN, x.end()))
	}
	h.passed(t)
}

// passed notes that the shapes have a transaction.
func (h *history) passed(t reconcile.Txn) {
	h.applied = append(h.applied, t.XID)
	if h.mutation == deferredStays {
		return
	}
	h.Whole(t.LSN, h.txn(t).end())
}

// end is the index of the transaction's marker in the change log.
func (x *txn) end() uint64 { return uint64(len(x.writes) * change.OpStep) }

// snapshot takes a snapshot that a unit may use which opener opens, and writes
// the barrier.
func (h *history) snapshot(opener reconcile.Txn) (q change.Snapshot, barrier change.LSN) {
	for q = h.snapshotAt(h.now); !reconcile.Usable(q, opener, h.Standing, h.read()); q = h.snapshotAt(h.now) {
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

// unit processes what is deferred and the queue up to the barrier.
func (h *history) unit(opener reconcile.Txn, queue []reconcile.Txn) []reconcile.Txn {
	h.units++
	q, barrier := h.snapshot(opener)
	h.join(q)
	before := h.Deferred
	if len(before) == 0 {
		before = []reconcile.Txn{opener}
	}
	for len(queue) > 0 && queue[0].LSN < barrier {
		before, queue = append(before, queue[0]), queue[1:]
	}
	for _, t := range before {
		h.take(t, h.txn(t).verdicts())
	}
	visible := h.visible(q, h.now)
	read := h.after(visible)
	for _, s := range h.shapes {
		h.reread(s, read)
		s.move(h, change.Offset{LSN: barrier})
	}
	h.close(barrier)
	h.deferrals += len(h.Deferred)
	h.check(visible, "after the unit that ends at "+barrier.String())
	return queue
}

// join begins a unit with a snapshot.
func (h *history) join(q change.Snapshot) {
	untouched := freeze(h.Views)
	h.Open(q)
	for _, s := range h.shapes {
		s.member, s.mutant = s.rule.Join(h.Unit.Sets), s.rule.Join(untouched)
	}
}

func freeze(views []*valueset.View) []*reconcile.Set {
	var group []*reconcile.Set
	for _, v := range views {
		group = append(group, reconcile.Freeze(v))
	}
	return group
}

// close ends a unit.
func (h *history) close(barrier change.LSN) {
	h.Close(barrier, 0)
	for _, v := range h.Views {
		if h.inner == nil && rapid.Bool().Draw(h.t, "fold") { // a chain's views share their bases
			v.Fold()
		}
	}
}

// take processes a transaction of a unit, unless that defers it. verdicts are those on each set.
func (h *history) take(t reconcile.Txn, verdicts [][]reconcile.Deltas) {
	h.Again() // it may be the one before, deferred
	if !h.Begin(t) {
		return
	}
	h.Bring(t, verdicts)
	x := h.txn(t)
	for _, s := range h.shapes {
		running := s.running(h.Unit.Sets)
		write := h.writer(s, t, running)
		for i := range x.writes {
			if x.writes[i].table != h.table {
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

// visible is what a snapshot of a moment sees.
func (h *history) visible(q change.Snapshot, moment int) (all []change.XID) {
	for i, x := range h.txns {
		if x.wal <= moment && q.Sees(xidOf(i)) {
			all = append(all, xidOf(i))
		}
	}
	return all
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
	for _, key := range slices.Sorted(maps.Keys(w[h.table])) {
		row := w[h.table][key]
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
		for key, row := range s.of(w, h.table, h.inner) {
			want[key] = s.text(row)
		}
		if !maps.Equal(s.rows, want) {
			h.fail("%s the shape %v holds %q, want %q", when, s.clause.root, s.rows, want)
		}
	}
}

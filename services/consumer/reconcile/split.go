package reconcile

import (
	"slices"

	"github.com/shapebus/shapebus/pkg/change"
)

// Txn is a transaction's place in the change log.
type Txn struct {
	XID   change.XID
	LSN   change.LSN // of the commit
	First uint64     // sequence of its first message
}

// SeesAll reports whether a snapshot sees all of these transactions, which
// have committed. A unit's snapshot must see everything that its shapes have
// applied: a row it reads back would undo what it does not see.
func SeesAll(q change.Snapshot, applied []change.XID) bool {
	return !slices.ContainsFunc(applied, func(x change.XID) bool { return !q.Sees(x) })
}

// Side says where a transaction stands to a unit.
type Side int

// The sides. A transaction aside is committed before the barrier and not seen
// by the snapshot; one behind comes after the barrier.
const (
	Inside Side = iota
	Aside
	Behind
)

// Split sorts the transactions from the one that opened the unit on.
type Split struct {
	Snapshot change.Snapshot
	// Barrier is the LSN of the message that was written after the snapshot was
	// taken: all that the snapshot sees committed before it.
	Barrier change.LSN
}

// Side says where a transaction stands, by any of its fragments.
func (s Split) Side(x change.XID, lsn change.LSN) Side {
	switch {
	case lsn > s.Barrier:
		return Behind
	case s.Snapshot.Sees(x):
		return Inside
	}
	return Aside
}

// Backlog holds what was put aside, in the order of commits. The first of it
// comes next after a unit's end; when it opens a unit, the unit takes the others
// (Take) and then what is behind the last barrier, and sorts both.
type Backlog struct{ txns []Txn }

// Put adds a transaction, at each of its fragments.
func (b *Backlog) Put(t Txn) {
	if n := len(b.txns); n == 0 || b.txns[n-1].LSN < t.LSN {
		b.txns = append(b.txns, t)
	}
}

// Next removes and returns the first one.
func (b *Backlog) Next() (t Txn, ok bool) {
	if len(b.txns) == 0 {
		return Txn{}, false
	}
	t, b.txns = b.txns[0], b.txns[1:]
	return t, true
}

// Take removes and returns all of them.
func (b *Backlog) Take() []Txn {
	t := b.txns
	b.txns = nil
	return t
}

// LSNs lists what is in it, as wire.FormatAside wants it.
func (b *Backlog) LSNs() []change.LSN {
	lsns := make([]change.LSN, 0, len(b.txns))
	for _, t := range b.txns {
		lsns = append(lsns, t.LSN)
	}
	return lsns
}

// Place is where an op stands in a shape's log: at its own offset, unless the
// log is past that because the transaction was aside; then behind what
// the log held when the transaction began. before is the tail's Last at that
// moment; a transaction outside of units begins behind a commit marker.
func Place(before change.Offset, lsn change.LSN, index uint64) change.Offset {
	if lsn > before.LSN {
		return change.Offset{LSN: lsn, Op: index}
	}
	return change.Offset{LSN: before.LSN, Op: before.Op + change.OpStep + index}
}

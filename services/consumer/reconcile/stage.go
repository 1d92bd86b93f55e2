package reconcile

import (
	"iter"

	"github.com/shapebus/shapebus/internal/valueset"
	"github.com/shapebus/shapebus/pkg/change"
)

// Deltas is what one verdict says: by how much it changes the count of which value.
type Deltas = iter.Seq2[[]byte, int64]

// Stage is the state of shapes that go through the change log together: where they stand, what their sets are there, and
// in a unit what that has brought. It decides what becomes of a transaction; its owner, one goroutine, reads, waits and writes.
//
// A transaction is told of by Begin, then Bring, then its ops at the places that Locate says, then Whole. Between Open and
// Close it is a unit's.
type Stage struct {
	Standing

	Views []*valueset.View // by set: behind everything up to At but Deferred
	Unit  *Part            // nil outside of units

	last    uint64     // see place
	begun   change.LSN // the last transaction that Begin was told of
	defers  bool       // it is deferred
	brought change.LSN // the last transaction that is in the views
}

// Part is what a unit has brought to a stage.
type Part struct {
	Sets []*Set // as the stage's views

	snapshot change.Snapshot
	deferred []Txn // what the snapshot does not see, ascending: it comes after the unit
}

// Forget leaves the stage without views and outside of units, where it stands.
func (s *Stage) Forget() {
	s.Views, s.Unit, s.brought = nil, nil, 0
	s.Again()
}

// Resume goes on from where the stage stands, last being the last op that any of the logs has there. It reports whether the
// views are as of there: else they have to be looked up again.
func (s *Stage) Resume(last uint64) (viewed bool) {
	s.last = last
	s.Again()
	return s.brought <= s.At
}

// Again says that transactions may come again which Begin has been told of.
func (s *Stage) Again() { s.begun, s.defers = 0, false }

// Begin is told that a transaction comes, before anything is done with it, and again for each part of it. It reports whether
// what the transaction does to the sets has to be found out, for Bring.
func (s *Stage) Begin(t Txn) (ask bool) {
	if t.LSN == s.begun {
		return false
	}
	s.begun, s.defers = t.LSN, s.Unit != nil && !s.Unit.snapshot.Sees(t.XID)
	if s.defers {
		s.Unit.postpone(t)
	}
	return !s.defers
}

// Defers reports whether the transaction that Begin was told of last is deferred: its ops are not written.
func (s *Stage) Defers() bool { return s.defers }

// Bring takes the verdicts on each set that a transaction brings. Outside of units it takes them only if they change no
// membership: else it returns true, a unit has to begin with the transaction, and nothing is taken. A second verdict on one
// set at one commit is a unit's matter, since each may undo what the other does.
func (s *Stage) Bring(t Txn, verdicts [][]Deltas) (open bool) {
	if s.Unit == nil {
		for i, of := range verdicts {
			if len(of) > 1 || len(of) == 1 && changes(s.Views[i], of[0]) {
				return true
			}
		}
	}
	s.brought = t.LSN
	for i, of := range verdicts {
		for _, deltas := range of {
			if s.Unit != nil {
				s.Unit.Sets[i].Add(deltas)
			} else {
				shift(s.Views[i], deltas)
			}
		}
	}
	return false
}

// Locate is where an op of a transaction stands in the logs.
func (s *Stage) Locate(lsn change.LSN, index uint64) change.Offset {
	return place(s.At, s.last, lsn, index)
}

// Whole is told that all ops of the transaction that Begin was told of have come. end is the index of its marker in the
// change log.
func (s *Stage) Whole(lsn change.LSN, end uint64) {
	if !s.defers {
		s.last = passed(s.At, s.last, lsn, end)
	}
}

// Open begins the stage's part of a unit, with the snapshot that this reads rows in.
func (s *Stage) Open(q change.Snapshot) {
	s.Unit = &Part{snapshot: q}
	for _, v := range s.Views {
		s.Unit.Sets = append(s.Unit.Sets, Freeze(v))
	}
}

// postpone adds a transaction, once.
func (p *Part) postpone(t Txn) {
	if n := len(p.deferred); n == 0 || p.deferred[n-1].LSN < t.LSN {
		p.deferred = append(p.deferred, t)
	}
}

// Deferred is what the unit defers, ascending.
func (p *Part) Deferred() []Txn { return p.deferred }

// Close ends the stage's part of a unit, at the op last of the unit's place, but for what is deferred.
func (s *Stage) Close(at change.LSN, last uint64) {
	for i, set := range s.Unit.Sets {
		s.Views[i] = set.Accept()
	}
	s.Standing = Standing{At: at, Deferred: s.Unit.Deferred()}
	s.last, s.Unit = last, nil
}

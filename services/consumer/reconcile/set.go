package reconcile

import (
	"iter"

	"github.com/shapebus/shapebus/internal/valueset"
)

// Set is one value set in a unit: as it was when the unit began, as it runs
// along with the transactions, and where the two differed at any moment.
// Shapes on the same value set may share one. It is owned by one goroutine.
type Set struct {
	frozen  *valueset.View
	running *valueset.Draft // the values without NULLs are marked whose membership differed at any moment
	partial bool            // a value with a NULL differed at any moment
	toggled bool            // NULL came or went, or the set became empty or non-empty, at any moment
}

// Freeze begins a unit of the value set. v must not change until the unit is
// over.
func Freeze(v *valueset.View) *Set { return &Set{frozen: v, running: v.Draft()} }

// Add adds what one transaction, or one unit of an inner shape, changed in
// the set. The deltas are netted: what came and went within the transaction
// never was.
func (s *Set) Add(deltas Deltas) {
	for key, n := range deltas {
		switch {
		case !s.running.Add(key, n):
		case valueset.HasNull(key):
			s.partial = true
		default:
			s.running.Mark(key)
		}
	}
	if s.running.Empty() != s.frozen.Empty() || s.running.HasNull() != s.frozen.HasNull() {
		s.toggled = true
	}
}

// Values gives the values without NULLs whose membership differed at any moment, each valid until
// the next is asked for.
func (s *Set) Values() iter.Seq[[]byte] { return s.running.EachMarked }

// Len is how many values Values gives.
func (s *Set) Len() int { return s.running.Marks() }

// Running is the set after everything added.
func (s *Set) Running() Members { return s.running }

// Accept ends the unit: the view that was frozen becomes the set after everything added, and is
// returned. There are no Values any more.
func (s *Set) Accept() *valueset.View { return s.running.Accept() }

// changes reports whether deltas change the membership of some value: then they are a unit's matter.
func changes(v *valueset.View, deltas Deltas) bool {
	for key, n := range deltas {
		if v.Changes(key, n) {
			return true
		}
	}
	return false
}

// shift adds deltas to v that change the membership of no value.
func shift(v *valueset.View, deltas Deltas) {
	for key, n := range deltas {
		v.Add(key, n)
	}
}

// every reports whether the membership of every row is in question.
func (q Subquery) every(s *Set) bool {
	switch {
	case q.Monotone:
		return false
	case q.Tuple:
		return s.partial || s.Len() > 0
	}
	return s.toggled
}

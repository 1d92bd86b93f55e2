package reconcile

import (
	"iter"
	"maps"

	"github.com/shapebus/shapebus/internal/valueset"
)

// Set is one value set in a unit: as it was when the unit began, as it runs
// along with the transactions, and where the two differed at any moment.
// Shapes on the same value set may share one. It is owned by one goroutine.
type Set struct {
	frozen, running *valueset.View
	values          map[string]struct{} // without NULLs, whose membership differed at any moment
	partial         bool                // a value with a NULL differed at any moment
	toggled         bool                // NULL came or went, or the set became empty or non-empty, at any moment
}

// Freeze begins a unit of the value set. v must not change until the unit is
// over.
func Freeze(v *valueset.View) *Set {
	return &Set{frozen: v, running: v.Clone(), values: map[string]struct{}{}}
}

// Add adds what one transaction, or one unit of an inner shape, changed in
// the set. The deltas are netted: what came and went within the transaction
// never was.
func (s *Set) Add(deltas iter.Seq2[string, int64]) {
	for key, n := range deltas {
		s.running.Add(key, n)
		k := []byte(key)
		switch {
		case s.running.Has(k) == s.frozen.Has(k):
		case valueset.HasNull(key):
			s.partial = true
		default:
			s.values[key] = struct{}{}
		}
	}
	if s.running.Empty() != s.frozen.Empty() || s.running.HasNull() != s.frozen.HasNull() {
		s.toggled = true
	}
}

// Values are the values without NULLs whose membership differed at any moment.
func (s *Set) Values() iter.Seq[string] { return maps.Keys(s.values) }

// Len is how many values Values gives.
func (s *Set) Len() int { return len(s.values) }

// Running is the set after everything added; with the unit's end, the one
// that counts.
func (s *Set) Running() *valueset.View { return s.running }

// Shift adds deltas to v, unless that changes the membership of some value:
// then v is left as it was, and what to do is a unit's matter.
func Shift(v *valueset.View, deltas iter.Seq2[string, int64]) bool {
	// To add first and take back would leave a map behind that has grown.
	for key, n := range deltas {
		if v.Changes(key, n) {
			return false
		}
	}
	for key, n := range deltas {
		v.Add(key, n)
	}
	return true
}

// every reports whether the membership of every row is in question.
func (q Subquery) every(s *Set) bool {
	switch {
	case q.Monotone:
		return false
	case q.Tuple:
		return s.partial || len(s.values) > 0
	}
	return s.toggled
}

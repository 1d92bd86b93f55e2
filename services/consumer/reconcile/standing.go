package reconcile

import (
	"slices"

	"github.com/shapebus/shapebus/pkg/change"
)

// Standing is how far shapes are that go through the change log together: everything up to a commit is in their logs, but
// what is deferred.
type Standing struct {
	At       change.LSN
	Deferred []Txn // ascending
}

func (s Standing) isDeferred(lsn change.LSN) bool {
	return slices.ContainsFunc(s.Deferred, func(t Txn) bool { return t.LSN == lsn })
}

// Apart reports whether shapes that select from one another have to go through a unit before anything else, all of them from
// where they stand: they stand at different places, or something is deferred, so that no transaction can be written by itself.
func Apart(stages []Standing) bool {
	if len(stages) < 2 {
		return false
	}
	for _, s := range stages {
		if s.At != stages[0].At || len(s.Deferred) > 0 {
			return true
		}
	}
	return false
}

// Furthest stands for everything that any of the shapes has.
func Furthest(stages []Standing) (t Txn) {
	for _, s := range stages {
		t.LSN = max(t.LSN, s.At)
	}
	return t
}

// FirstDeferred is the first transaction that any of the shapes has deferred.
func FirstDeferred(stages []Standing) (first Txn, ok bool) {
	for _, s := range stages {
		if len(s.Deferred) > 0 && (!ok || s.Deferred[0].LSN < first.LSN) {
			first, ok = s.Deferred[0], true
		}
	}
	return first, ok
}

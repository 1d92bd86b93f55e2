package follow

import (
	"fmt"

	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/pkg/change"
)

// affords reports whether judging an op of that many bytes costs the shape no more than an op may: what a clause costs is
// known from the sizes of a row's columns. If it does, the shape ends with the reason before anybody has waited for it.
func (s *Follower) affords(op *change.Op, size int) bool {
	if size <= s.Pred.Carefree() {
		return true
	}
	steps := s.Pred.Steps(op.Old) + s.Pred.Steps(op.New)
	if steps <= predicate.MaxSteps {
		return true
	}
	s.Costly = true
	s.Ended = fmt.Sprintf("a change of %d bytes on table %s.%s is too much work for the shape's clause: about %.0f ms, at most %d are allowed, so that others do not wait; "+
		"create it again with a clause that asks for less", size, s.Relation.Schema, s.Relation.Name, steps/1e6, predicate.MaxSteps/1_000_000)
	return false
}

// sizeOf is how many bytes the rows of an op have.
func sizeOf(op *change.Op) int {
	n := 0
	for _, cell := range op.Old {
		n += len(cell)
	}
	for _, cell := range op.New {
		n += len(cell)
	}
	return n
}

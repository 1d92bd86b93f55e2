package follow

import (
	"fmt"

	"github.com/shapebus/shapebus/pkg/change"
)

// A clause that asks for the order of an enum's labels knows those that the table had when the shape was made. A row may
// have one that was added since, before anybody has looked at the catalog: then the shape ends, as it would at the look.

// ordered reports whether the clause knows the order of the labels in an op's rows, if it asks for that; if not the
// shape ends.
func (s *Follower) ordered(op *change.Op) bool {
	if !s.Pred.Ordered() {
		return true
	}
	for _, row := range []change.Row{op.Old, op.New} {
		if s.Ended = s.Unordered(row); s.Ended != "" {
			return false
		}
	}
	return true
}

// Unordered says why the clause must not be asked about a row: it has a label of which the clause does not know
// where it stands among the others. It is "" otherwise.
func (s *Follower) Unordered(row change.Row) string {
	label, column, found := s.Pred.Unordered(row)
	if !found {
		return ""
	}
	return fmt.Sprintf("a row has the label '%s' in column %s of %s, which was added, or renamed, after the shape was made: "+
		"where it stands in the order that the clause asks for is not known; create the shape again", label, column, s.Table)
}

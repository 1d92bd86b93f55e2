package shapes

import (
	"math"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/gateway/protocol"
)

// Place is where in a shape's log somebody goes on: behind an entry, or at the end, which has no offset.
type Place struct {
	change.Offset

	Now bool
}

// PlaceOf is where in the log a client's offset is. Index 0 is what clients make of an LSN, up to which they have everything: the
// first entry under it is still to come. No answer ends at one (see protocol.Behind and piece).
func PlaceOf(o protocol.Offset) Place {
	switch {
	case o.Now:
		return Place{Now: true}
	case o.LSN == 0:
		return Place{}
	case o.Op == 0:
		return Place{Offset: change.Offset{LSN: o.LSN - 1, Op: math.MaxUint64}}
	}
	return Place{Offset: o.Offset}
}

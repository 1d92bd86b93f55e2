package shapes

import (
	"testing"

	"github.com/shapebus/shapebus/pkg/change"
)

// Another gateway may be ahead of this one, and clients make places of LSNs, one further than the last: none of these is out of bounds.
func TestPlacesThatAreKnownAreInBounds(t *testing.T) {
	s := &Shape{tail: change.Offset{LSN: 80, Op: 2}}
	at := func(lsn change.LSN) Place { return Place{Offset: change.Offset{LSN: lsn, Op: 4}} }
	for _, c := range []struct {
		saw, lsn change.LSN
		in       bool
	}{{0, 80, true}, {0, 81, true}, {0, 82, false}, {120, 120, true}, {90, 121, true}, {0, 122, false}, {0, 1<<64 - 1, false}, {0, 0, true}} {
		s.seen = max(s.seen, c.saw)
		if got := s.saw(at(c.lsn)); got != c.in {
			t.Errorf("behind %d, after %d was seen: in bounds is %v", c.lsn, c.saw, got)
		}
	}
}

package shapes

import (
	"testing"
	"time"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/gateway/protocol"
)

// That there is nothing may only be said of the place that was asked for: what comes while the answer is made would be passed over.
func TestNothingIsSaidOfAPlaceBeforeTheTail(t *testing.T) {
	s := &Shape{tail: change.Offset{LSN: 80, Op: 2}, asked: time.Now().Add(time.Hour), changed: make(chan struct{})}
	at := func(lsn change.LSN, op uint64) protocol.Offset {
		return protocol.Offset{Offset: change.Offset{LSN: lsn, Op: op}}
	}
	for _, c := range []struct {
		from           protocol.Offset
		nothing, ahead bool
	}{
		{at(80, 2), true, false},
		{at(81, 0), true, false},
		{at(80, 0), false, false},
		{at(72, 9), false, false},
		{at(0, 0), false, false},
		{protocol.Offset{Now: true}, true, false},
		{at(80, 4), false, true},
		{at(88, 2), false, true}, // another gateway's, which is ahead
	} {
		b, err := s.Empty(t.Context(), PlaceOf(c.from))
		if (err != nil) != c.ahead || (b != nil) != c.nothing {
			t.Errorf("behind %s: %+v %v", c.from, b, err)
		}
	}
}

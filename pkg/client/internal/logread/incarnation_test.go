package logread

import (
	"testing"
	"time"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

func TestALogIsJudgedByItsNewestMessage(t *testing.T) {
	at := func(seq uint64, second int64, lsn uint64) head {
		o := change.Offset{LSN: change.LSN(lsn)}
		return head{seq: seq, at: time.Unix(second, 0), tail: wire.Tail{Last: o, Committed: o, Began: true}}
	}
	end := at(3, 90, 50)
	end.tail.Ended = true
	read := at(10, 60, 100)
	for name, c := range map[string]struct {
		newest head
		found  bool
		want   standing
	}{
		"the message that was read": {read, true, standsAsRead},
		"a later one":               {at(11, 61, 101), true, standsAsRead},
		"none":                      {head{}, false, standsShort},
		"one before it, as a replica that lags behind has":     {at(9, 59, 99), true, standsShort},
		"a later one that commits less":                        {at(40, 90, 99), true, standsShort},
		"one with an earlier place and more committed":         {at(9, 90, 101), true, standsMoved},
		"another in its place":                                 {at(10, 90, 101), true, standsMoved},
		"another in its place, which says the same":            {at(10, 90, 100), true, standsMoved},
		"another in its place, which commits less":             {at(10, 90, 99), true, standsShort},
		"an end at an earlier place, whatever that commits":    {end, true, standsMoved},
		"the message that was read, whose time was not told":   {head{seq: 10, tail: read.tail}, true, standsAsRead},
		"another in its place, whose time was not told either": {head{seq: 10, tail: at(10, 0, 101).tail}, true, standsMoved},
	} {
		if got := compare(read, read.tail.Committed, c.newest, c.found); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	if got := compare(head{}, change.Offset{LSN: 100}, at(3, 90, 101), true); got != standsAsRead {
		t.Errorf("when nothing was read: %d", got)
	}
}

package shapelog

import (
	"testing"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// A log stands where its entries end, and what it has already it does not take again.
func TestALogStandsWhereItsEntriesEnd(t *testing.T) {
	partition := NewPartition(&Config{Builders: NewBuilders()}, 0)
	first := &change.Fragment{XID: 1, LSN: 10, Last: true, End: 8}
	unit := &change.Fragment{XID: 2, LSN: 20, Last: true, End: 8}
	row := change.Row{[]byte("1")}
	began := wire.Tail{Began: true}
	committed := wire.Tail{Began: true, Last: first.Marker(), Committed: first.Marker(), Rows: 1, CommittedRows: 1}
	for _, tt := range []struct {
		name    string
		from    wire.Tail
		do      func(*Log)
		want    wire.Tail
		entries int
	}{
		{
			"it begins with its snapshot",
			wire.Tail{},
			func(l *Log) { l.Begin(change.Snapshot{}, Copied{Segment: 1, messages: 2, Rows: 3}) },
			wire.Tail{Began: true, Rows: 3, CommittedRows: 3},
			1,
		},
		{
			"an op opens a transaction", began, func(l *Log) { l.Op(first, 4, change.Insert, row, []int{0}) },
			wire.Tail{Began: true, Last: change.Offset{LSN: 10, Op: 4}, Rows: 1},
			1,
		},
		{"its marker closes it", began, func(l *Log) { l.Op(first, 4, change.Insert, row, []int{0}); l.Mark(first, "") }, committed, 1},
		{"an op that it has is passed over", committed, func(l *Log) { l.Op(first, 4, change.Delete, row, []int{0}) }, committed, 0},
		{
			"a truncation leaves no rows", committed, func(l *Log) { l.Op(unit, 0, change.Truncate, nil, nil) },
			wire.Tail{Began: true, Last: change.Offset{LSN: 20}, Committed: first.Marker(), CommittedRows: 1},
			1,
		},
		{"nobody knows the rows behind an upsert", committed, func(l *Log) {
			l.Op(unit, 0, change.Upsert, row, []int{0})
			l.Op(unit, 2, change.Insert, row, []int{0})
			l.Mark(unit, "0/5")
		}, wire.Tail{Began: true, Last: unit.Marker(), Committed: unit.Marker(), Rows: rowsUnknown, CommittedRows: rowsUnknown, Deferred: "0/5"}, 1},
		{"what is aborted was never there", committed, func(l *Log) { l.Op(unit, 0, change.Upsert, row, []int{0}); l.Abort() }, committed, 2},
		{"what is forgotten neither", committed, func(l *Log) { l.Op(unit, 0, change.Insert, row, []int{0}); l.Forget() }, committed, 0},
		{
			"its last word stands behind what was appended", committed, func(l *Log) { l.Op(unit, 0, change.Insert, row, []int{0}); l.End("why") },
			func() wire.Tail { t := committed; t.Ended = true; return t }(), 1,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := partition.NewLog("h", nil, tt.from)
			tt.do(&l)
			if l.Tail != tt.want {
				t.Errorf("it stands at %+v, want %+v", l.Tail, tt.want)
			}
			entries := 0
			var d wire.LogDecoder
			if data := l.Finish(); len(data) > 0 {
				if err := d.Decode(data, func(*wire.Entry) error { entries++; return nil }); err != nil {
					t.Fatal(err)
				}
			}
			if entries != tt.entries {
				t.Errorf("%d entries, want %d", entries, tt.entries)
			}
			if l.Release(); l.Gathered() != 0 {
				t.Error("it holds on to what it gathered")
			}
		})
	}
}

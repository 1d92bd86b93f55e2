package shapelog

import (
	"testing"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// TestRowsAreCountedAgain has rows that a unit has left uncounted counted by a fold, which comes to know later how many there were at the
// unit's marker.
func TestRowsAreCountedAgain(t *testing.T) {
	partition := NewPartition(&Config{Builders: NewBuilders()}, 0)
	unit, next, open := &change.Fragment{LSN: 10, End: 8}, &change.Fragment{LSN: 20, End: 8}, &change.Fragment{LSN: 30, End: 8}
	row, all := change.Row{[]byte("1")}, []int{0}
	const were = 100
	for _, tt := range []struct {
		name            string
		since           func(*Log)
		rows, committed int64
	}{
		{"nothing since", func(*Log) {}, were, were},
		{"rows that came and went", func(l *Log) {
			l.Op(next, 0, change.Insert, row, all)
			l.Op(next, 2, change.Update, row, all)
			l.Op(next, 4, change.Insert, row, all)
			l.Op(next, 6, change.Delete, row, all)
			l.Mark(next, "")
		}, were + 1, were + 1},
		{"an open transaction", func(l *Log) {
			l.Op(next, 0, change.Insert, row, all)
			l.Mark(next, "")
			l.Op(open, 0, change.Insert, row, all)
		}, were + 2, were + 1},
		{"one that was aborted", func(l *Log) { l.Op(next, 0, change.Insert, row, all); l.Abort() }, were, were},
		{"another unit", func(l *Log) { l.Op(next, 0, change.Upsert, row, all); l.Mark(next, "") }, rowsUnknown, rowsUnknown},
		{"a truncation, behind which rows are counted", func(l *Log) {
			l.Op(next, 0, change.Truncate, nil, nil)
			l.Op(next, 2, change.Insert, row, all)
			l.Mark(next, "")
		}, 1, 1},
		{"something that was forgotten", func(l *Log) { l.Op(next, 0, change.Insert, row, all); l.Forget() }, rowsUnknown, rowsUnknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := partition.NewLog("h", nil, wire.Tail{Began: true, Last: unit.Marker(), Committed: unit.Marker(), Rows: rowsUnknown, CommittedRows: rowsUnknown})
			l.Recount()
			if tt.since(&l); l.Gathered() > 0 {
				before := l.Tail
				if l.Counted(were); l.Tail != before {
					t.Errorf("it is counted while something is gathered: %+v", l.Tail)
				}
				l.Release()
				l.Appended = l.Tail
			}
			l.Counted(were)
			if l.Tail != l.Appended || l.Tail.Rows != tt.rows || l.Tail.CommittedRows != tt.committed {
				t.Errorf("it stands at %+v and was appended at %+v, want %d and %d rows", l.Tail, l.Appended, tt.rows, tt.committed)
			}
		})
	}
}

package fold

import (
	"testing"
	"time"

	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

func TestWhenALogIsFolded(t *testing.T) {
	const mib = 1 << 20
	usual := Limits{Factor: 4, Least: 8 * mib}
	begins := func(rows uint64, size, bytes int64) *shapelog.Beginning {
		return &shapelog.Beginning{Generation: wire.Generation{Rows: rows, Size: size, Bytes: bytes}}
	}
	at := func(bytes, rows int64) wire.Tail { return wire.Tail{Bytes: bytes, CommittedRows: rows} }
	for _, tt := range []struct {
		name   string
		limits Limits
		begins *shapelog.Beginning
		tail   wire.Tail
		want   bool
	}{
		{"a small log", usual, begins(10, 1000, 0), at(8*mib, 10), false},
		{"a large log of few rows", usual, begins(10, 1000, 0), at(8*mib+1, 10), true},
		{"a large log of many rows", usual, begins(1000, 10*mib, 0), at(40*mib, 1000), false},
		{"a larger one", usual, begins(1000, 10*mib, 0), at(40*mib+1, 1000), true},
		{"since the last fold it has not grown as much", usual, begins(1000, 10*mib, 30*mib), at(70*mib, 1000), false},
		{"it has since", usual, begins(1000, 10*mib, 30*mib), at(70*mib+1, 1000), true},
		{"the shape has grown too", usual, begins(1000, 10*mib, 0), at(50*mib, 2000), false},
		{"the shape has shrunk", usual, begins(1000, 10*mib, 0), at(10*mib, 100), true},
		{"it began empty", usual, begins(0, 0, 0), at(9*mib, 1000), true},
		{"rows that nobody has counted", usual, begins(1000, 10*mib, 0), at(41*mib, -1), true},
		{"folding is off", Limits{Factor: -1, Least: 1}, begins(10, 1000, 0), at(1000*mib, 10), false},
	} {
		if got := tt.limits.Due(tt.begins, tt.tail); got != tt.want {
			t.Errorf("%s: due %t", tt.name, got)
		}
	}
}

// The grace counts from when readers could begin with a generation, not from when it was made: its maker may have stood still.
func TestTheGraceCountsFromWhenAGenerationIsStored(t *testing.T) {
	made := time.Unix(1000, 0)
	b := &shapelog.Beginning{Generation: wire.Generation{At: made.UnixMicro()}, Stored: made.Add(time.Hour)}
	for after, want := range map[time.Duration]bool{time.Minute: false, time.Hour + time.Minute: false, time.Hour + 2*time.Minute + 1: true} {
		if got := Gone(b, made.Add(after), 2*time.Minute); got != want {
			t.Errorf("%s after it was made: %t, want %t", after, got, want)
		}
	}
}

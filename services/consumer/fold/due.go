package fold

import (
	"time"

	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// Limits say when a log is folded.
type Limits struct {
	Factor float64 // the log is so many times as large as the shape's rows; negative: never
	Least  int64   // and larger than this
}

// Since is how large the log is from a beginning on.
func Since(b *shapelog.Beginning, tail wire.Tail) int64 { return tail.Bytes - b.Bytes }

// Due reports whether the log that begins with b and stands at tail is worth a fold.
func (l Limits) Due(b *shapelog.Beginning, tail wire.Tail) bool {
	since := Since(b, tail)
	return l.Factor >= 0 && since > l.Least && float64(since) > l.Factor*Size(b, tail)
}

// Size is about how large the shape's rows are by now, in a segment: as large each as they were when they were last read.
// Of rows that nobody has read it is 0.
func Size(b *shapelog.Beginning, tail wire.Tail) float64 {
	if b.Rows == 0 || tail.CommittedRows < 0 {
		return float64(b.Size)
	}
	return float64(b.Size) / float64(b.Rows) * float64(tail.CommittedRows)
}

// Gone reports whether what a generation replaces may go: readers could begin with the generation for so long. A process that
// stood still before it stored the generation does not make that shorter.
func Gone(b *shapelog.Beginning, now time.Time, grace time.Duration) bool {
	return now.Sub(b.Stored) > grace
}

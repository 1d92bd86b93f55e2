package shapelog

import (
	"sync"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// Log is the writing end of one shape's log: where the log stands, and what has been gathered
// for it and not yet appended. It is owned by whoever owns the shape.
type Log struct {
	Handle    string
	Partition int
	Writer    *Writer   // of the partition; nil when it was down
	Tail      wire.Tail // with what is gathered
	Appended  wire.Tail // as of the last message appended
	Unit      bool      // what is gathered from now on counts only with a unit's marker
	Shadow    bool      // another process writes the log: the tail goes on, and nothing is gathered

	// Since Recount, while nobody knows how many rows there were then: how many more there are, with what is gathered and as of the last commit.
	counting            bool
	more, moreCommitted int64

	out      *wire.LogBuilder // entries gathered and not yet appended; nil without any
	builders *sync.Pool       // of *wire.LogBuilder, where out comes from
}

// Op gathers an op of f, unless the log has it already. Of the row it takes the given columns.
func (l *Log) Op(f *change.Fragment, index uint64, kind change.Kind, row change.Row, columns []int) {
	at := change.Offset{LSN: f.LSN, Op: index}
	if !l.Tail.Last.Before(at) {
		return
	}
	switch kind {
	case change.Insert:
		l.count(1)
	case change.Delete:
		l.count(-1)
	case change.Truncate:
		l.Tail.Rows, l.counting = 0, false
	case change.Upsert, change.Discard:
		l.Tail.Rows, l.counting = rowsUnknown, false
	case change.Update:
	}
	if l.Tail.Last = at; l.Shadow {
		return
	}
	l.builder().Op(f, index, kind, row, columns)
}

// rowsUnknown is a tail's count of rows after idempotent ops.
const rowsUnknown = -1

func (l *Log) count(n int64) {
	l.more += n
	if l.Tail.Rows != rowsUnknown {
		l.Tail.Rows += n
	}
}

// Recount begins to count by how much the number of rows changes from the commit marker on at which the log stands.
func (l *Log) Recount() { l.counting, l.more, l.moreCommitted = true, 0, 0 }

// Counted is told how many rows there were when Recount was called. It has no effect if what came since does not tell how many
// there are now, or something is gathered that is not yet appended.
func (l *Log) Counted(rows int64) {
	if !l.counting || l.Gathered() > 0 {
		return
	}
	l.counting = false
	l.Tail.Rows, l.Tail.CommittedRows = rows+l.more, rows+l.moreCommitted
	l.Appended.Rows, l.Appended.CommittedRows = l.Tail.Rows, l.Tail.CommittedRows
}

// Mark gathers a commit marker at the place of f. deferred names the transactions before it that the
// log does not have.
func (l *Log) Mark(f *change.Fragment, deferred string) {
	if !l.Shadow {
		l.builder().Commit(f)
	}
	l.Tail.Last = f.Marker()
	l.Tail.Committed = l.Tail.Last
	l.Tail.CommittedRows, l.moreCommitted = l.Tail.Rows, l.more
	l.Tail.Deferred = deferred
}

// Abort gathers the entry that aborts what stands behind the last commit marker.
func (l *Log) Abort() {
	l.builder().Abort()
	l.Tail.Last, l.Tail.Rows, l.more = l.Tail.Committed, l.Tail.CommittedRows, l.moreCommitted
}

// Begin gathers the log's first entry, which refers to the snapshot's rows.
func (l *Log) Begin(snap change.Snapshot, rows Copied) {
	l.builder().Segment(rows.Segment, rows.messages, rows.Rows, snap)
	l.Tail = wire.Tail{Began: true, Rows: int64(rows.Rows), CommittedRows: int64(rows.Rows)}
}

// End drops what was gathered and gathers the log's last word.
func (l *Log) End(reason string) {
	l.Forget()
	l.Tail.Ended = true
	l.builder().End(reason)
}

// Forget drops what was gathered and not yet appended.
func (l *Log) Forget() {
	if l.out != nil {
		l.out.Reset()
	}
	l.Tail, l.counting = l.Appended, false
}

// Gathered is the size of what is not yet appended.
func (l *Log) Gathered() int {
	if l.out == nil {
		return 0
	}
	return l.out.Len()
}

func (l *Log) builder() *wire.LogBuilder {
	if l.out == nil {
		l.out = l.builders.Get().(*wire.LogBuilder) //nolint:forcetypeassert,errcheck // the pool holds nothing else
	}
	l.out.Unit = l.Unit
	return l.out
}

// Finish returns what was gathered in the form in which it is appended; empty if there is nothing.
// It is valid until release.
func (l *Log) Finish() []byte {
	if l.out == nil {
		return nil
	}
	return l.out.Finish()
}

// Release gives the memory back in which entries are gathered.
func (l *Log) Release() {
	if l.out != nil {
		l.out.Reset()
		l.builders.Put(l.out)
		l.out = nil
	}
}

package materializer

import (
	"errors"
	"fmt"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// replica is a value set at a place in its inner shape's log. It decides and does
// nothing else: no I/O, no clock. One goroutine owns it at a time.
type replica struct {
	state

	began bool          // the snapshot is in it
	done  change.Offset // of the last commit marker in it; ops up to there are passed over
	open  bool          // ops of a transaction behind done are in it
	ended bool          // the log came to its end

	seq   uint64 // stream sequence of the last log message that is in it
	bytes int64  // wire.Tail.Bytes of that message
}

func newReplica(l *layout) *replica { return &replica{state: state{layout: l}} }

// marker is a commit marker that a replica has come to, and what its
// transaction changed.
type marker struct {
	verdict wire.Verdict
	// weight is about what the verdict takes in the stream.
	weight       int64
	inconsistent int64 // ops that did not fit what was there
}

// verdictWeight is what a verdict without deltas takes in the stream, about, with subject and headers.
const verdictWeight = 120

// rowWeight is what a row takes in a base besides its key and value.
const rowWeight = 4

// Entry applies an entry of the log. At a commit marker it returns what is to be
// published; m stays nil at other entries. segment reads the rows that an
// entry refers to.
func (r *replica) Entry(e *wire.Entry, segment func(e *wire.Entry, row func(change.Row) error) error) (m *marker, err error) {
	switch e.Kind {
	case wire.EntryOps, wire.EntryUnit:
		return r.ops(e)
	case wire.EntrySegment:
		if r.began {
			if r.seq == 0 {
				return nil, nil //nolint:nilnil // it came with the base; no marker is no error
			}
			return nil, errors.New("a segment behind the log's beginning")
		}
		head := *e
		if err := segment(&head, r.Load); err != nil {
			return nil, err
		}
		r.began = true
	case wire.EntryAbort:
		r.Abort()
		r.open = false
	case wire.EntryEnd:
		r.ended = true
	default:
		return nil, fmt.Errorf("an entry of kind %d, which this program does not know; upgrade it", e.Kind)
	}
	return nil, nil //nolint:nilnil // no marker is no error
}

func (r *replica) ops(e *wire.Entry) (*marker, error) {
	if !r.began {
		return nil, errors.New("ops before the snapshot")
	}
	for i := range e.Ops {
		op := &e.Ops[i]
		if !r.done.Before(change.Offset{LSN: e.LSN, Op: op.Index}) {
			continue
		}
		if err := r.Apply(op.Kind, op.Row); err != nil {
			return nil, fmt.Errorf("op %d_%d: %w", e.LSN, op.Index, err)
		}
		r.open = true
	}
	at := change.Offset{LSN: e.LSN, Op: e.End}
	if !e.Last || !r.done.Before(at) {
		return nil, nil //nolint:nilnil // no marker is no error
	}
	m := &marker{verdict: wire.Verdict{Offset: at, XID: e.XID, Unit: e.Kind == wire.EntryUnit, Deltas: r.Deltas()}, inconsistent: r.inconsistent}
	m.weight = verdictWeight + int64(m.verdict.Deltas.Bytes())
	r.Commit()
	r.done, r.open = at, false
	return m, nil
}

// Follows reports whether a log message comes next: all the log's messages up to
// it are as large as those in the replica and it together.
func (r *replica) Follows(t wire.Tail, size int) bool { return t.Bytes == r.bytes+int64(size) }

// Weight is about what a base takes in the stream.
func (r *replica) Weight() int64 { return int64(r.values.Bytes() + r.rows.Bytes()) }

// baseDue reports whether a new base is worth its while: the verdicts since the
// last one weigh more than it would, and enough for anybody to mind.
func baseDue(verdicts, base, least int64) bool { return verdicts > max(base, least) }

package wire

import (
	"fmt"
	"slices"

	"github.com/shapebus/shapebus/pkg/change"
)

// EntryKind tells what an entry of a shape log is.
type EntryKind uint64

// The entries of a shape log, as they are stored.
const (
	// EntryOps is a run of ops of one transaction:
	// [1, xid, commit LSN, commit time, last, end, [[index, kind, row] …]].
	// Insert and update rows hold the shape's columns in their order, delete
	// rows the key's columns only.
	EntryOps EntryKind = 1
	// EntrySegment refers to rows under their own subject, to be read as
	// inserts: [2, segment, messages, rows, snapshot, LSN]. It is a whole
	// transaction with its own commit marker.
	EntrySegment EntryKind = 2
	// EntryEnd ends the shape: [3, reason]. An open transaction before it is
	// invalid; readers must fetch the shape again under a new handle.
	EntryEnd EntryKind = 3
	// EntryUnit is EntryOps within a unit: several transactions, and what a
	// reconcile adds to them, that count together. Only the last of its entries
	// has the commit marker, which is the unit's.
	EntryUnit EntryKind = 4
	// EntryAbort says that everything since the last commit marker is aborted: it does not count: [5].
	// Its writer begins again behind it, with offsets from after that marker.
	EntryAbort EntryKind = 5
)

const (
	opsFields     = 7
	logOpFields   = 3
	segmentFields = 6
	endFields     = 2
	abortFields   = 1
)

// Entry is one entry of a shape log.
type Entry struct {
	Kind EntryKind

	// EntryOps and EntryUnit
	XID        change.XID
	LSN        change.LSN
	CommitTime int64 // microseconds since 1970-01-01 UTC
	Last       bool  // the commit marker: the transaction's ops end here
	End        uint64
	Ops        []LogOp

	// EntrySegment
	Segment  uint64
	Messages uint64 // number of messages under the segment's subject
	Rows     uint64
	Snapshot string // as change.Snapshot prints it; LSN holds its position

	// EntryEnd
	Reason string
}

// LogOp is one op of a shape log.
type LogOp struct {
	Index uint64
	Kind  change.Kind
	Row   change.Row // the shape's columns; for Delete and Discard, its key columns; nil for Truncate
}

// LogBuilder gathers entries into one shape log message. Not safe for
// concurrent use.
type LogBuilder struct {
	// Unit makes the entries that follow EntryUnit rather than EntryOps. Reset
	// clears it. It is set between entries only.
	Unit bool

	body writer
	ops  writer
	n    int // ops in the open part
	open bool
	head Entry

	trace   string // of all entries so far; "" if they have none, or several
	entries int
}

// NewLogBuilder returns an empty builder.
func NewLogBuilder() *LogBuilder { return &LogBuilder{} }

func (b *LogBuilder) start() {
	if len(b.body.b) == 0 {
		b.body.uint(Version)
	}
}

// Op adds an op of the transaction f, keeping of row the columns listed in
// project, in that order.
func (b *LogBuilder) Op(f *change.Fragment, index uint64, kind change.Kind, row change.Row, project []int) {
	b.begin(f)
	b.ops.array(logOpFields)
	b.ops.uint(index)
	b.ops.uint(uint64(kind))
	if row == nil {
		b.ops.nil()
	} else {
		b.ops.array(len(project))
		for _, c := range project {
			b.ops.value(row[c])
		}
	}
	b.n++
}

func (b *LogBuilder) begin(f *change.Fragment) {
	if b.open && b.head.LSN == f.LSN && b.head.XID == f.XID {
		return
	}
	b.close(false)
	b.open = true
	b.note(f.Trace)
	kind := EntryOps
	if b.Unit {
		kind = EntryUnit
	}
	b.head = Entry{Kind: kind, XID: f.XID, LSN: f.LSN, CommitTime: f.CommitTime, End: f.End}
}

// Commit adds the transaction's commit marker. f is a fragment with Last.
func (b *LogBuilder) Commit(f *change.Fragment) {
	b.begin(f)
	b.head.End = f.End
	b.close(true)
}

// note notes whose trace an entry belongs to.
func (b *LogBuilder) note(trace string) {
	if b.entries++; b.entries == 1 {
		b.trace = trace
	} else if b.trace != trace {
		b.trace = ""
	}
}

// Trace is the context of the trace that all entries so far belong to, "" where there is no such one.
func (b *LogBuilder) Trace() string { return b.trace }

func (b *LogBuilder) close(last bool) {
	if !b.open {
		return
	}
	b.open = false
	b.start()
	w := &b.body
	w.array(opsFields)
	w.uint(uint64(b.head.Kind))
	w.uint(uint64(b.head.XID))
	w.uint(uint64(b.head.LSN))
	w.int(b.head.CommitTime)
	w.bool(last)
	w.uint(b.head.End)
	w.array(b.n)
	w.b = append(w.b, b.ops.b...)
	b.n = 0
	b.ops.reset()
}

// Segment adds a reference to a segment.
func (b *LogBuilder) Segment(segment, messages, rows uint64, snap change.Snapshot) {
	b.close(false)
	b.note("")
	b.start()
	w := &b.body
	w.array(segmentFields)
	w.uint(uint64(EntrySegment))
	w.uint(segment)
	w.uint(messages)
	w.uint(rows)
	w.str(snap.String())
	w.uint(uint64(snap.LSN))
}

// Abort adds the entry that aborts what follows the last commit marker.
func (b *LogBuilder) Abort() {
	b.close(false)
	b.note("")
	b.start()
	b.body.array(abortFields)
	b.body.uint(uint64(EntryAbort))
}

// End adds the entry that ends the shape.
func (b *LogBuilder) End(reason string) {
	b.close(false)
	b.note("")
	b.start()
	b.body.array(endFields)
	b.body.uint(uint64(EntryEnd))
	b.body.str(reason)
}

// Len is the size so far in bytes.
func (b *LogBuilder) Len() int { return len(b.body.b) + len(b.ops.b) }

// Finish closes the message and returns it, valid until Reset.
func (b *LogBuilder) Finish() []byte {
	b.close(false)
	return b.body.b
}

// Reset empties the builder and keeps its memory.
func (b *LogBuilder) Reset() {
	b.body.reset()
	b.ops.reset()
	b.n, b.open, b.Unit = 0, false, false
	b.trace, b.entries = "", 0
}

// LogDecoder decodes shape log messages, reusing its memory from one to the
// next. Not safe for concurrent use.
type LogDecoder struct {
	entry Entry
	ops   []LogOp
	rows  values
}

// Decode calls f with each entry in turn. The entry and everything it points
// to are valid until f returns. Errors of f are returned as they are; others
// wrap ErrCorrupt, unless a newer program wrote the message.
func (d *LogDecoder) Decode(data []byte, f func(*Entry) error) error {
	r := &reader{b: data}
	r.version()
	for r.more() {
		d.rows.reset()
		n := r.array()
		e := &d.entry
		*e = Entry{Kind: EntryKind(r.uint())}
		var want int
		switch e.Kind {
		case EntryOps, EntryUnit:
			want = opsFields
			d.readOps(r, e)
		case EntrySegment:
			want = segmentFields
			e.Segment, e.Messages, e.Rows = r.uint(), r.uint(), r.uint()
			e.Snapshot, e.LSN = string(r.bytes()), change.LSN(r.uint())
		case EntryEnd:
			want = endFields
			e.Reason = string(r.bytes())
		case EntryAbort:
			want = abortFields
		default:
			if r.err == nil {
				return fmt.Errorf("shape log entry of kind %d: this program knows none; upgrade it", e.Kind)
			}
		}
		if r.err != nil {
			return r.err
		}
		if n != want {
			return corrupt("entry of kind %d has %d elements, want %d", e.Kind, n, want)
		}
		if err := f(e); err != nil {
			return err
		}
	}
	return r.err
}

func (d *LogDecoder) readOps(r *reader, e *Entry) {
	e.XID, e.LSN, e.CommitTime = change.XID(r.uint()), change.LSN(r.uint()), r.int()
	e.Last, e.End = r.bool(), r.uint()
	n := r.arrayOf(1 + logOpFields)
	d.ops = slices.Grow(d.ops[:0], n)[:n]
	for i := range d.ops {
		if r.err != nil {
			return
		}
		r.tuple(logOpFields, "op")
		op := &d.ops[i]
		op.Index, op.Kind = r.uint(), change.Kind(r.uint())
		op.Row = d.rows.row(r)
	}
	e.Ops = d.ops
}

package logread

import (
	"errors"
	"fmt"
	"time"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client/event"
	"github.com/shapebus/shapebus/pkg/wire"
)

// errPause is the cursor's own: the message goes on with what does not count yet.
var errPause = errors.New("not committed yet")

// cursor turns a log's messages into events, in order, up to where the log
// counts. It does no I/O but through the functions it is given.
type cursor struct {
	place // of the last message taken

	handle string
	layout *event.Layout
	emit   func(event.Event) error                                // hands out an event
	rows   func(e wire.Entry, f func(row change.Row) error) error // reads a segment

	began  bool             // what comes before the first op is done with: the snapshot was handed out or is not wanted
	pos    change.Offset    // everything up to it is done with
	base   change.Offset    // of the last Commit, or where reading began: what an abort entry goes back to
	mark   head             // the last message taken
	seen   bool             // an entry was seen
	bottom bool             // the first entry to be seen is the log's first
	marked bool             // base is the offset of a Commit that was handed out
	unmet  bool             // what stands at pos, from where reading began, was not met in the log yet
	origin string           // the log's snapshot, which tells its incarnations apart; empty if not known
	opened bool             // the snapshot's Begin was handed out
	over   bool             // the end was met
	gen    *wire.Generation // reading begins with it, and its marker has not been met; else nil

	open    transaction // whose Begin was handed out and whose Commit was not
	changes uint64      // handed out since that Begin

	parts    stream.Assembler
	gathered int64 // bytes of the parts that wait for the rest
	dec      wire.LogDecoder
	held     []byte    // a message that was taken and is not through
	tail     wire.Tail // where the log stands after it
	trace    string    // of all that is in it; "" for none
	done     int       // entries of it that are done with
}

// transaction is what goes between a Begin and its Commit: a transaction, or a
// unit of several.
type transaction struct {
	on   bool
	unit bool
	lsn  change.LSN // of a unit's first entry
	xid  change.XID
}

// holds reports whether an entry belongs to the transaction.
func (t transaction) holds(e *wire.Entry) bool {
	if t.unit || e.Kind == wire.EntryUnit {
		return t.unit && e.Kind == wire.EntryUnit
	}
	return t.lsn == e.LSN && t.xid == e.XID // a transaction that was deferred has its unit's LSN
}

// due reports whether the log holds something to hand out, its end included.
func (c *cursor) due(t wire.Tail) bool {
	return t.Ended || t.Began && !c.began || c.base.Before(t.Committed)
}

// holding reports whether a message taken before has more to give.
func (c *cursor) holding() bool { return c.held != nil }

// take takes the next message of the log. That it is the next, the log's size tells.
func (c *cursor) take(m raw) error {
	c.fed, c.at = m.seq, m.at
	tail, err := headTail(m)
	if err != nil {
		return c.undecodable(fmt.Sprintf("message %d", m.seq), err)
	}
	if index, _, err := stream.Part(m.header); err == nil && index == 0 {
		c.gathered = 0
	}
	c.gathered += int64(len(m.data))
	whole, ok, err := c.parts.Add("", m.header, m.data)
	if err != nil {
		return c.broken(c.pos, "message %d: %v", m.seq, err)
	}
	if ok {
		if before := tail.Bytes - c.gathered; c.sized && before != c.bytes {
			return c.broken(c.pos, "message %d stands behind %d bytes of the log, but %d bytes come before it", m.seq, before, c.bytes)
		}
		c.held, c.done, c.tail, c.bytes, c.sized = whole, 0, tail, tail.Bytes, true
		c.trace = stream.Trace(m.header)
	}
	c.mark = head{seq: m.seq, at: m.at, tail: tail}
	return nil
}

// advance hands out what the held message has up to t.Committed, and lets go
// of it if that was all.
func (c *cursor) advance(t wire.Tail) error {
	var ours error
	var marker *change.Offset // the message's last
	n := 0
	err := c.dec.Decode(c.held, func(e *wire.Entry) error {
		if n++; n > c.done { // else this message is gone through again
			if ours = c.entry(e, t); ours != nil {
				return ours
			}
			c.done = n
		}
		if e.Last {
			marker = &change.Offset{LSN: e.LSN, Op: e.End}
		}
		return nil
	})
	switch {
	case errors.Is(ours, errPause):
		return nil
	case ours != nil:
		return ours
	case err != nil:
		return c.undecodable(fmt.Sprintf("message %d", c.fed), err)
	case marker != nil && *marker != c.tail.Committed:
		return c.broken(*marker, "message %d commits up to %s, its tail says %q", c.fed, *marker, c.tail)
	}
	c.held = nil
	return nil
}

// rewind goes back to the last commit, to read on from another place in the log.
func (c *cursor) rewind() error {
	c.restart()
	return c.abort()
}

// restart forgets what was read of the log and not handed out.
func (c *cursor) restart() {
	c.place, c.mark = place{}, head{}
	c.seen, c.bottom, c.unmet, c.over = false, true, false, false
	c.parts, c.gathered, c.held, c.done = stream.Assembler{}, 0, nil, 0
}

func (c *cursor) entry(e *wire.Entry, t wire.Tail) error {
	first := !c.seen
	c.seen = true
	if c.gen != nil && e.Kind != wire.EntryEnd {
		return c.inGeneration(e)
	}
	switch e.Kind {
	case wire.EntryEnd:
		c.over = true
		return &event.MustRefetchError{Handle: c.handle, Reason: e.Reason}
	case wire.EntrySegment:
		if first {
			c.origin = origin(e)
		}
		if c.began && first {
			return nil // reading starts behind the snapshot
		}
		if c.began {
			return c.broken(c.pos, "a segment behind the log's first entry, which this version of the client does not know")
		}
		return c.segment(e)
	case wire.EntryOps, wire.EntryUnit, wire.EntryAbort:
		if first && c.bottom {
			return &event.MustRefetchError{Handle: c.handle, Reason: "its log does not reach back that far any more", Again: true}
		}
		if e.Kind == wire.EntryAbort {
			return c.abort()
		}
		return c.ops(e, t)
	}
	return c.broken(c.pos, "an entry of kind %d", e.Kind)
}

// origin is what tells one snapshot of a shape from another.
func origin(e *wire.Entry) string {
	return fmt.Sprintf("%d %s %s %d", e.Segment, e.Snapshot, e.LSN, e.Rows)
}

func (c *cursor) segment(e *wire.Entry) error {
	head := *e // rows may take minutes; the decoder's memory is not used by then
	c.opened = true
	if err := c.emit(event.Begin{LSN: e.LSN, Snapshot: true, Rows: e.Rows}); err != nil {
		return err
	}
	rows, err := c.segmentRows(head)
	if err != nil {
		return err
	}
	c.began = true
	return c.emit(event.Commit{Handle: c.handle, LSN: head.LSN, Snapshot: true, Changes: rows})
}

// segmentRows hands out the rows of a segment, and returns how many there are.
func (c *cursor) segmentRows(e wire.Entry) (rows uint64, err error) {
	err = c.rows(e, func(row change.Row) error {
		if len(row) != len(c.layout.Columns) {
			return c.broken(change.Offset{}, "a snapshot row of %d values for %d columns", len(row), len(c.layout.Columns))
		}
		rows++
		return c.emit(event.Change{Kind: change.Insert, Row: event.NewRow(c.layout, row, false)})
	})
	if err == nil && rows != e.Rows {
		err = c.broken(change.Offset{}, "the snapshot holds %d rows, its entry says %d", rows, e.Rows)
	}
	return rows, err
}

func (c *cursor) ops(e *wire.Entry, t wire.Tail) error {
	for i := range e.Ops {
		op := &e.Ops[i]
		at := change.Offset{LSN: e.LSN, Op: op.Index}
		if !c.marked {
			c.meet(at)
		}
		skip, err := c.skip(at, t)
		if err != nil {
			return err
		}
		if skip {
			continue
		}
		if err := c.begin(e); err != nil {
			return err
		}
		row, err := c.row(op, at)
		if err != nil {
			return err
		}
		c.pos = at
		c.changes++
		if err := c.emit(event.Change{Kind: op.Kind, Offset: at, XID: e.XID, Row: row}); err != nil {
			return err
		}
	}
	if !e.Last {
		return nil
	}
	at := change.Offset{LSN: e.LSN, Op: e.End}
	c.meet(at)
	switch skip, err := c.skip(at, t); {
	case err != nil:
		return err
	case skip && c.pos.Before(at) && !t.Ended:
		return c.broken(at, "a commit marker beyond that of its newest message, %s", t.Committed)
	case skip:
		return nil
	}
	if c.unmet {
		return &event.MustRefetchError{Handle: c.handle, Reason: fmt.Sprintf("its log does not have offset %s, from which to go on; it was replaced or restored", c.base), Again: true}
	}
	if err := c.begin(e); err != nil {
		return err
	}
	commit := event.Commit{Handle: c.handle, Offset: at, LSN: e.LSN, XID: e.XID, Time: time.UnixMicro(e.CommitTime), Unit: c.open.unit, Changes: c.changes, Passed: c.passed(at), Trace: c.trace}
	c.pos, c.base, c.marked, c.open = at, at, true, transaction{}
	return c.emit(commit)
}

// meet notes that what reading began behind stands in this log too.
func (c *cursor) meet(at change.Offset) {
	if at == c.base {
		c.unmet = false
	}
}

// skip reports whether what stands at an offset is done with or aborted, and
// pauses before what does not count yet.
func (c *cursor) skip(at change.Offset, t wire.Tail) (bool, error) {
	switch {
	case at.Compare(c.pos) <= 0:
		return true, nil
	case !t.Committed.Before(at):
		return false, nil
	case t.Ended, c.base.Before(t.Committed):
		// The shape ended inside this transaction; or an abort entry stands
		// between here and the marker that is still to come.
		return true, nil
	}
	return false, errPause
}

func (c *cursor) begin(e *wire.Entry) error {
	switch {
	case c.open.on && c.open.holds(e):
		return nil
	case c.open.on:
		return c.broken(c.pos, "the transaction at %s has no commit marker before the one at %s", c.open.lsn, e.LSN)
	case !c.began:
		return c.broken(c.pos, "an op before the snapshot")
	}
	c.open, c.changes = transaction{on: true, unit: e.Kind == wire.EntryUnit, lsn: e.LSN, xid: e.XID}, 0
	return c.emit(event.Begin{LSN: e.LSN, XID: e.XID, Time: time.UnixMicro(e.CommitTime), Unit: c.open.unit, Trace: c.trace})
}

// abort goes back to the last commit: offsets may come again.
func (c *cursor) abort() error {
	began := c.open.on
	c.pos, c.open = c.base, transaction{}
	if !began {
		return nil
	}
	return c.emit(event.Abort{Offset: c.base})
}

// passed is the LSN up to which nothing is missing before the commit marker at
// an offset. What is deferred, only the last marker of a message tells.
func (c *cursor) passed(at change.Offset) change.LSN {
	if c.tail.Committed != at {
		return 0
	}
	deferred, err := wire.ParseDeferred(c.tail.Deferred)
	if err != nil || len(deferred) == 0 {
		return at.LSN // the tail was parsed, so there is no error
	}
	return min(deferred[0]-1, at.LSN)
}

func (c *cursor) row(op *wire.LogOp, at change.Offset) (event.Row, error) {
	key, want := false, len(c.layout.Columns)
	switch op.Kind {
	case change.Insert, change.Update, change.Upsert:
	case change.Delete, change.Discard:
		key, want = true, len(c.layout.Keys)
	case change.Truncate:
		want = 0
	default:
		return event.Row{}, c.broken(at, "an op of %s", op.Kind)
	}
	if len(op.Row) != want {
		return event.Row{}, c.broken(at, "%s with a row of %d values, want %d", op.Kind, len(op.Row), want)
	}
	return event.NewRow(c.layout, op.Row, key), nil
}

// undecodable is the error of a body that cannot be decoded: a broken one, or
// one of a newer version.
func (c *cursor) undecodable(what string, err error) error {
	if errors.Is(err, wire.ErrCorrupt) {
		return c.broken(c.pos, "%s: %v", what, err)
	}
	return &event.PermanentError{Doing: "read shape " + c.handle + ", " + what, Err: err, Remedy: "upgrade this program"}
}

func (c *cursor) broken(at change.Offset, format string, args ...any) error {
	return &event.BrokenLogError{Handle: c.handle, Offset: at, What: fmt.Sprintf(format, args...)}
}

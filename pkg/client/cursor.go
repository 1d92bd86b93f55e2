package client

import (
	"errors"
	"fmt"
	"time"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/stream"
	"github.com/shapebus/shapebus/pkg/wire"
)

// errPause is the cursor's own: the message goes on with what does not count yet.
var errPause = errors.New("not committed yet")

// cursor turns a log's messages into events, in order, up to where the log
// counts. It does no I/O but through the functions it is given.
type cursor struct {
	handle string
	layout *layout
	emit   func(Event) error                                      // hands out an event
	rows   func(e wire.Entry, f func(row change.Row) error) error // reads a segment

	began  bool          // what comes before the first op is done with: the snapshot was handed out or is not wanted
	pos    change.Offset // everything up to it is done with
	fed    uint64        // sequence of the last message taken
	first  uint64        // sequence of the message with the first entry that was seen, 0 before that
	bottom bool          // the first entry to be seen is the log's first

	open    change.LSN // of the transaction whose Begin was handed out and whose Commit was not
	changes uint64     // handed out since that Begin

	parts stream.Assembler
	dec   wire.LogDecoder
	held  []byte // a message that was taken and is not through
}

// due reports whether the log holds something to hand out, its end included.
func (c *cursor) due(t wire.Tail) bool {
	return t.Ended || t.Began && !c.began || c.pos.Before(t.Committed)
}

// holding reports whether a message taken before has more to give.
func (c *cursor) holding() bool { return c.held != nil }

// take takes the next message of the log.
func (c *cursor) take(m raw) error {
	c.fed = m.seq
	whole, ok, err := c.parts.Add("", m.header, m.data)
	if err != nil {
		return c.broken(c.pos, "message %d: %v", m.seq, err)
	}
	if ok {
		c.held = whole
	}
	return nil
}

// advance hands out what the held message has up to t.Committed, and lets go
// of it if that was all.
func (c *cursor) advance(t wire.Tail) error {
	var ours error
	err := c.dec.Decode(c.held, func(e *wire.Entry) error {
		ours = c.entry(e, t)
		return ours
	})
	switch {
	case errors.Is(ours, errPause):
		return nil
	case ours != nil:
		return ours
	case err != nil:
		return c.undecodable(fmt.Sprintf("message %d", c.fed), err)
	}
	c.held = nil
	return nil
}

func (c *cursor) entry(e *wire.Entry, t wire.Tail) error {
	first := c.first == 0
	if first {
		c.first = c.fed
	}
	switch e.Kind {
	case wire.EntryEnd:
		return &MustRefetchError{Handle: c.handle, Reason: e.Reason}
	case wire.EntrySegment:
		if c.began && c.first == c.fed {
			return nil // reading starts behind the snapshot, or this message is gone through again
		}
		if c.began {
			return c.broken(c.pos, "a segment behind the log's first entry, which this version of the client does not know")
		}
		return c.segment(e)
	case wire.EntryOps:
		if first && c.bottom {
			return &MustRefetchError{Handle: c.handle, Reason: "its log does not reach back that far any more"}
		}
		return c.ops(e, t)
	}
	return c.broken(c.pos, "an entry of kind %d", e.Kind)
}

func (c *cursor) segment(e *wire.Entry) error {
	head := *e // rows may take minutes; the decoder's memory is not used by then
	if err := c.emit(Begin{LSN: e.LSN, Snapshot: true, Rows: e.Rows}); err != nil {
		return err
	}
	var rows uint64
	err := c.rows(head, func(row change.Row) error {
		if len(row) != len(c.layout.columns) {
			return c.broken(change.Offset{}, "a snapshot row of %d values for %d columns", len(row), len(c.layout.columns))
		}
		rows++
		return c.emit(Change{Kind: change.Insert, Row: Row{layout: c.layout, values: row}})
	})
	if err != nil {
		return err
	}
	if rows != head.Rows {
		return c.broken(change.Offset{}, "the snapshot holds %d rows, its entry says %d", rows, head.Rows)
	}
	c.began = true
	return c.emit(Commit{LSN: head.LSN, Snapshot: true, Changes: rows})
}

func (c *cursor) ops(e *wire.Entry, t wire.Tail) error {
	for i := range e.Ops {
		op := &e.Ops[i]
		at := change.Offset{LSN: e.LSN, Op: op.Index}
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
		if err := c.emit(Change{Kind: op.Kind, Offset: at, Row: row}); err != nil {
			return err
		}
	}
	if !e.Last {
		return nil
	}
	at := change.Offset{LSN: e.LSN, Op: e.End}
	if skip, err := c.skip(at, t); skip || err != nil {
		return err
	}
	if err := c.begin(e); err != nil {
		return err
	}
	c.pos, c.open = at, 0
	return c.emit(Commit{Offset: at, LSN: e.LSN, XID: e.XID, Time: time.UnixMicro(e.CommitTime), Changes: c.changes})
}

// skip reports whether what stands at an offset is done with or void, and
// pauses before what does not count yet.
func (c *cursor) skip(at change.Offset, t wire.Tail) (bool, error) {
	switch {
	case at.Compare(c.pos) <= 0:
		return true, nil
	case !t.Committed.Before(at):
		return false, nil
	case t.Ended:
		return true, nil // the shape ended inside this transaction
	}
	return false, errPause
}

func (c *cursor) begin(e *wire.Entry) error {
	if c.open == e.LSN {
		return nil
	}
	if c.open != 0 {
		return c.broken(c.pos, "the transaction at %s has no commit marker before the one at %s", c.open, e.LSN)
	}
	if !c.began {
		return c.broken(c.pos, "an op before the snapshot")
	}
	c.open, c.changes = e.LSN, 0
	return c.emit(Begin{LSN: e.LSN, XID: e.XID, Time: time.UnixMicro(e.CommitTime)})
}

func (c *cursor) row(op *wire.LogOp, at change.Offset) (Row, error) {
	r := Row{layout: c.layout, values: op.Row}
	want := len(c.layout.columns)
	switch op.Kind {
	case change.Insert, change.Update:
	case change.Delete:
		r.key, want = true, len(c.layout.keys)
	case change.Truncate:
		want = 0
	default:
		return Row{}, c.broken(at, "an op of %s", op.Kind)
	}
	if len(op.Row) != want {
		return Row{}, c.broken(at, "%s with a row of %d values, want %d", op.Kind, len(op.Row), want)
	}
	return r, nil
}

// undecodable is the error of a body that cannot be decoded: a broken one, or
// one of a newer version.
func (c *cursor) undecodable(what string, err error) error {
	if errors.Is(err, wire.ErrCorrupt) {
		return c.broken(c.pos, "%s: %v", what, err)
	}
	return fmt.Errorf("read shape %s, %s: %w", c.handle, what, err)
}

func (c *cursor) broken(at change.Offset, format string, args ...any) error {
	return &BrokenLogError{Handle: c.handle, Offset: at, What: fmt.Sprintf(format, args...)}
}

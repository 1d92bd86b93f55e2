package logread

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client/event"
	"github.com/shapebus/shapebus/pkg/wire"
)

// A log that was folded begins with its newest generation: the rows of a snapshot, and what the log says from some size on
// up to a marker, but for what is in the rows already. To the app that is the snapshot, one transaction.

// generation reads a shape's newest generation; nil if its log was never folded.
func (f *fetcher) generation(ctx context.Context, handle string) (g *wire.Generation, err error) {
	subject := f.link.source.GenerationSubject(f.partition, handle)
	st, err := f.link.stream(ctx, f.partition)
	if err != nil {
		return nil, err
	}
	var msg *jetstream.RawStreamMsg
	err = f.direct(ctx, "."+subject, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, AnswerTimeout)
		defer cancel()
		msg, err = st.GetLastMsgForSubject(ctx, subject)
		return err
	})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil //nolint:nilnil // no generation is no error
	}
	if err == nil {
		g, err = wire.DecodeGeneration(msg.Data)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", subject, err)
	}
	return g, nil
}

// behind finds where to read behind a size of the log. newest is the log's last message and h what it says.
func (f *fetcher) behind(ctx context.Context, subject string, bytes int64, newest raw, h head) (start, error) {
	beyond := func(h head) bool { return h.tail.Bytes > bytes }
	if !beyond(h) {
		if h.tail.Bytes < bytes {
			return start{}, fmt.Errorf("the log is not as large yet as its generation says: %d bytes of %d", h.tail.Bytes, bytes)
		}
		fed, err := whole(newest)
		return start{fed: fed}, err
	}
	bottom, _, err := f.at(ctx, subject, 1)
	if err != nil {
		return start{}, err
	}
	first, below, err := f.search(ctx, subject, bottom.seq, newest.seq, beyond)
	if err != nil {
		return start{}, err
	}
	m, _, err := f.at(ctx, subject, first)
	if err != nil {
		return start{}, err
	}
	fed, err := before(m)
	if below.seq > fed { // a part of the message
		below = head{}
	}
	return start{fed: fed, after: below}, err
}

// whole is the sequence behind which nothing has to be read if nothing behind a message that may be a part is whole.
func whole(m raw) (uint64, error) {
	index, count, err := stream.Part(m.header)
	if err != nil || index == count-1 {
		return m.seq, err
	}
	return before(m)
}

// locateBeginning finds out whether the log begins with a generation, and where to read then.
func (r *Reader) locateBeginning(ctx context.Context) error {
	g, err := r.fetch.generation(ctx, r.shape.Info.Handle)
	if errors.Is(err, wire.ErrCorrupt) {
		return r.cursor.broken(change.Offset{}, "%v", err)
	}
	if err != nil || g == nil {
		if err != nil {
			return err
		}
		return r.look(ctx, true)
	}
	m, h, found, err := r.fetch.newest(ctx, r.subject)
	switch {
	case err != nil:
		return err
	case !found:
		return r.look(ctx, true) // decides what that means
	case h.tail.Ended:
		return r.ended(m)
	}
	at, err := r.fetch.behind(ctx, r.subject, g.Bytes, m, h)
	if err != nil {
		return err
	}
	c := &r.cursor
	c.gen, c.bottom, c.unmet = g, false, false
	c.place = place{fed: at.fed, bytes: g.Bytes, sized: true}
	c.mark = at.after
	r.suspect = time.Time{}
	r.live.note(h)
	return nil
}

// generation hands out the rows of the generation with which reading begins.
func (c *cursor) generation() error {
	g := c.gen
	c.opened = true
	if err := c.emit(event.Begin{LSN: g.Commit(), Snapshot: true, Rows: g.Rows}); err != nil {
		return err
	}
	rows, err := c.segmentRows(wire.Entry{Kind: wire.EntrySegment, Segment: g.Segment, Messages: g.Messages, Rows: g.Rows})
	if err != nil {
		return err
	}
	c.changes = rows
	if g.Bytes == g.Through {
		return c.endGeneration()
	}
	return nil
}

// inGeneration hands out what an entry up to the generation's marker adds to its rows.
func (c *cursor) inGeneration(e *wire.Entry) error {
	g := c.gen
	switch e.Kind {
	case wire.EntryOps, wire.EntryUnit:
	case wire.EntrySegment, wire.EntryAbort:
		return nil // what it is about is in the rows, as is all that came before
	default:
		return c.broken(c.pos, "an entry of kind %d before the marker of generation %d", e.Kind, g.Number)
	}
	for i := range e.Ops {
		op := &e.Ops[i]
		at := change.Offset{LSN: e.LSN, Op: op.Index}
		if g.Holds(e.LSN) || !c.pos.Before(at) {
			continue
		}
		if g.Offset().Before(at) {
			return c.broken(at, "an op behind the marker of generation %d, %s, before that", g.Number, g.Offset())
		}
		row, err := c.row(op, at)
		if err != nil {
			return err
		}
		c.pos = at
		c.changes++
		if err := c.emit(event.Change{Kind: op.Kind, Offset: at, Row: row}); err != nil {
			return err
		}
	}
	if e.Last && (change.Offset{LSN: e.LSN, Op: e.End}) == g.Offset() {
		return c.endGeneration()
	}
	return nil
}

// endGeneration hands out the commit with which the generation is the shape.
func (c *cursor) endGeneration() error {
	g, at := c.gen, c.gen.Offset()
	c.gen, c.began, c.seen = nil, true, true
	c.pos, c.base, c.marked = at, at, true
	passed := g.Commit()
	if g.Bytes == g.Through { // it may be a unit's, which defers what comes behind it
		passed = 0
	}
	return c.emit(event.Commit{Handle: c.handle, Offset: at, LSN: g.Commit(), Snapshot: true, Changes: c.changes, Passed: passed})
}

// errFolded is the reader's own: the generation that is being read is gone, and the log begins with another one.
var errFolded = errors.New("the log begins with another generation")

// again begins with the newest generation, when the one that was read has gone under the reader.
func (r *Reader) again(ctx context.Context) error {
	if r.restarts++; r.restarts > mostRestarts {
		return &event.MustRefetchError{Handle: r.shape.Info.Handle, Reason: "its log was folded again each time before its rows were read"}
	}
	c := &r.cursor
	r.log.WarnContext(ctx, "the generation of a shape that was being read is gone, reading the one that follows")
	opened := c.opened
	c.restart()
	c.gen, c.opened, c.pos, c.changes = nil, false, change.Offset{}, 0
	r.batch = nil
	r.live.reset()
	if opened {
		if err := c.emit(event.Abort{}); err != nil {
			return err
		}
	}
	return r.retry(ctx, "find the place in the log", r.locate)
}

// mostRestarts bounds how often reading begins with another generation.
const mostRestarts = 5

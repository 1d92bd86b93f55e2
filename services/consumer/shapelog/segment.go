package shapelog

import (
	"context"
	"time"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// Copied is a segment that was written.
type Copied struct {
	Segment, messages, Rows uint64
	Bytes                   int64 // of the messages' bodies
}

// SegmentWriter appends rows of a shape's segment in messages of some size.
type SegmentWriter struct {
	Copied

	p      *Partition
	w      *Writer
	handle string
	b      *wire.SegmentBuilder
	tell   func(ctx context.Context, rows uint64) error
	told   time.Time
	single bool
}

// progressEvery is how often the number of rows read is told.
const progressEvery = time.Second

// NewSegment begins a segment with a number of its own. tell is told from time to time how many rows it has.
func (p *Partition) NewSegment(w *Writer, handle string, tell func(ctx context.Context, rows uint64) error) *SegmentWriter {
	now := time.Now()
	return &SegmentWriter{p: p, w: w, handle: handle, b: wire.NewSegmentBuilder(), tell: tell, told: now, Copied: Copied{Segment: uint64(now.UnixMicro())}}
}

// Add adds a row, which is copied.
func (w *SegmentWriter) Add(ctx context.Context, row change.Row) error {
	w.b.Add(row)
	if w.b.Len() < w.p.cfg.SegmentBytes {
		return nil
	}
	return w.Send(ctx)
}

// Send appends the rows gathered, if any.
func (w *SegmentWriter) Send(ctx context.Context) error {
	if w.b.Rows() == 0 {
		return nil
	}
	w.messages++
	w.Rows += uint64(w.b.Rows())
	w.Bytes += int64(w.b.Len())
	if err := w.append(ctx, w.b.Bytes()); err != nil {
		return err
	}
	w.b.Reset()
	w.p.cfg.Failpoint(failpoint.MidSnapshot)
	if time.Since(w.told) < progressEvery {
		return nil
	}
	w.told = time.Now()
	return w.tell(ctx, w.Rows)
}

// Single has each message wait until the one before is stored, so that logs of the same partition wait for no more than one.
func (w *SegmentWriter) Single() { w.single = true }

func (w *SegmentWriter) append(ctx context.Context, rows []byte) error {
	if !w.single {
		return w.p.appendSegment(ctx, w.w, w.handle, w.Segment, rows, nil)
	}
	stored := make(chan struct{})
	if err := w.p.appendSegment(ctx, w.w, w.handle, w.Segment, rows, func(uint64) { close(stored) }); err != nil {
		return err
	}
	select {
	case <-stored:
		return nil
	case <-w.w.Done():
		return w.w.Flush(ctx) // which says what ended it
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

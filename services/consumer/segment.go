package consumer

import (
	"context"
	"time"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// copied is a segment that was written.
type copied struct{ segment, messages, rows uint64 }

// segmentWriter appends rows of a shape's segment in messages of some size.
type segmentWriter struct {
	copied

	s    *session
	rec  *registry.Shape
	life *life // of the shape's follower
	b    *wire.SegmentBuilder
	told time.Time // when the number of rows was last stored
}

// progressEvery is how often the number of rows read is stored.
const progressEvery = time.Second

// newSegment begins a segment with a number of its own.
func (s *session) newSegment(rec *registry.Shape, l *life) *segmentWriter {
	now := time.Now()
	return &segmentWriter{s: s, rec: rec, life: l, b: wire.NewSegmentBuilder(), copied: copied{segment: uint64(now.UnixMicro())}, told: now}
}

// add adds a row, which is copied.
func (w *segmentWriter) add(ctx context.Context, row change.Row) error {
	w.b.Add(row)
	if w.b.Len() < w.s.c.cfg.SnapshotBytes {
		return nil
	}
	return w.send(ctx)
}

// send appends the rows gathered, if any.
func (w *segmentWriter) send(ctx context.Context) error {
	if w.b.Rows() == 0 {
		return nil
	}
	w.messages++
	w.rows += uint64(w.b.Rows())
	if err := w.s.parts[w.rec.Partition].appendSegment(ctx, w.life, w.rec.Handle, w.segment, w.b.Bytes()); err != nil {
		return err
	}
	w.b.Reset()
	w.s.c.cfg.Failpoint(failpoint.MidSnapshot)
	if time.Since(w.told) < progressEvery {
		return nil
	}
	w.told = time.Now()
	n := int64(w.rows)
	return w.s.state(ctx, w.rec.ID, w.rec.Handle, func(r *registry.Shape) { r.SnapshotRows = n })
}

package logread

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client/event"
	"github.com/shapebus/shapebus/pkg/wire"
)

// segment reads the rows that a log entry refers to, a batch at a time.
func (r *Reader) segment(ctx context.Context, e wire.Entry, f func(change.Row) error) error {
	subject := r.shape.Link.source.SegmentSubject(r.shape.Info.Partition, r.shape.Info.Handle, e.Segment)
	var parts stream.Assembler
	var batch []raw
	var seq, whole, batches uint64
	for whole < e.Messages {
		if len(batch) == 0 {
			var err error
			if batch, err = r.segmentBatch(ctx, subject, seq+1); err != nil {
				return err
			}
			batches++
		}
		m := batch[0]
		batch[0], batch = raw{}, batch[1:]
		seq = m.seq
		data, ok, err := parts.Add(subject, m.header, m.data)
		if err != nil {
			return r.cursor.broken(change.Offset{}, "segment %d, message %d: %v", e.Segment, seq, err)
		}
		if !ok {
			continue
		}
		whole++
		var ours error
		err = wire.DecodeSegment(data, func(row change.Row) error {
			ours = f(row)
			return ours
		})
		if ours != nil {
			return ours
		}
		if err != nil {
			return r.cursor.undecodable(fmt.Sprintf("segment %d, message %d", e.Segment, seq), err)
		}
	}
	if batches < 2 {
		return nil
	}
	// Rows of two snapshots under one name must not be taken for one.
	var moved bool
	err := r.retry(ctx, "make sure of the snapshot", func(ctx context.Context) (err error) {
		moved, err = r.moved(ctx)
		return err
	})
	if err == nil && moved {
		err = errMoved
	}
	return err
}

// segmentBatch waits for a segment's messages from a sequence on. They were
// stored before the entry that refers to them, so when they stay away they
// were removed, and the shape with them.
func (r *Reader) segmentBatch(ctx context.Context, subject string, from uint64) ([]raw, error) {
	var batch []raw
	var since time.Time
	err := r.retry(ctx, "read the snapshot", func(ctx context.Context) error {
		var err error
		batch, err = r.fetch.batch(ctx, subject, from)
		if err != nil || len(batch) > 0 {
			return err
		}
		newest, h, found, err := r.fetch.newest(ctx, r.subject)
		switch {
		case err != nil:
			return err
		case !found:
			return errors.Join(r.lost(ctx, newest, h, found), errors.New("the log is gone"))
		case h.tail.Ended:
			return r.ended(newest)
		case since.IsZero():
			since = time.Now()
		case time.Since(since) > r.opts.Patience && r.cursor.gen != nil:
			return errFolded
		case time.Since(since) > r.opts.Patience:
			return &event.MustRefetchError{Handle: r.shape.Info.Handle, Reason: "the rows of its snapshot were removed"}
		}
		return fmt.Errorf("the snapshot's rows from message %d on are not there yet", from)
	})
	return batch, err
}

package live

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// StoreRecord changes a record that was read before, and reads it again only if somebody else has changed
// it since. It returns the record as it is now, nil if that belongs to another life.
func (s *Loop) StoreRecord(ctx context.Context, rec *registry.Shape, f func(*registry.Shape)) (now *registry.Shape, err error) {
	next := *rec
	f(&next)
	next.Changed = time.Now().UTC()
	err = s.Shapes.Put(ctx, &next)
	if err == nil {
		return &next, nil
	}
	if !errors.Is(err, registry.ErrConflict) {
		return nil, err
	}
	err = s.ChangeRecord(ctx, rec.ID, rec.Handle, func(r *registry.Shape) {
		f(r)
		now = r
	})
	return now, err
}

// MarkLive says in a shape's record that a checkpoint covers it.
func (s *Loop) MarkLive(ctx context.Context, rec *registry.Shape) error {
	s.Log.InfoContext(ctx, "shape is live", slog.String("shape", rec.Handle), slog.Int64("snapshot_rows", rec.SnapshotRows))
	_, err := s.StoreRecord(ctx, rec, func(r *registry.Shape) {
		if r.State == control.StateCreating {
			r.State, r.Reason = control.StateLive, ""
		}
	})
	return err
}

// CoverAndMarkLive writes a checkpoint, and when that is stored says in a
// shape's record that it is live.
func (s *Loop) CoverAndMarkLive(ctx context.Context, rec *registry.Shape) error {
	covered := make(chan struct{})
	l := s.Parts[rec.Partition].Writer.Load()
	s.Tasks.Go(func() error {
		select {
		case <-l.Done(): // whoever takes the shape in again marks it
			return nil
		case <-covered:
			return service.IgnoreEnd(ctx, s.MarkLive(ctx, rec))
		case <-ctx.Done():
			return nil
		}
	})
	return s.Checkpoint(ctx, func(partition int) {
		if partition == rec.Partition {
			close(covered)
		}
	})
}

// ChangeRecord changes a shape's record, unless the shape has been re-created meanwhile.
func (s *Loop) ChangeRecord(ctx context.Context, id, handle string, f func(*registry.Shape)) error {
	_, err := s.Shapes.Change(ctx, id, func(r *registry.Shape) bool {
		if r.Handle != handle || r.State == control.StateEnded {
			return false
		}
		f(r)
		return true
	})
	if errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	return err
}

// NewSegment begins a segment of a shape, whose record tells how many rows it has.
func (s *Loop) NewSegment(rec *registry.Shape, w *shapelog.Writer) *shapelog.SegmentWriter {
	return s.Parts[rec.Partition].NewSegment(w, rec.Handle, func(ctx context.Context, rows uint64) error {
		return s.ChangeRecord(ctx, rec.ID, rec.Handle, func(r *registry.Shape) { r.SnapshotRows = int64(rows) })
	})
}

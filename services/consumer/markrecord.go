package consumer

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/control"
)

// store changes a record that was read before, and reads it again only if somebody else has changed
// it since. It returns the record as it is now, nil if that belongs to another life.
func (s *mainLoop) store(ctx context.Context, rec *registry.Shape, f func(*registry.Shape)) (now *registry.Shape, err error) {
	next := *rec
	f(&next)
	next.Changed = time.Now().UTC()
	err = s.shapes.Put(ctx, &next)
	if err == nil {
		return &next, nil
	}
	if !errors.Is(err, registry.ErrConflict) {
		return nil, err
	}
	err = s.state(ctx, rec.ID, rec.Handle, func(r *registry.Shape) {
		f(r)
		now = r
	})
	return now, err
}

// markLive says in a shape's record that a checkpoint covers it.
func (s *mainLoop) markLive(ctx context.Context, rec *registry.Shape) error {
	s.log.InfoContext(ctx, "shape is live", slog.String("shape", rec.Handle), slog.Int64("snapshot_rows", rec.SnapshotRows))
	_, err := s.store(ctx, rec, func(r *registry.Shape) {
		if r.State == control.StateCreating {
			r.State, r.Reason = control.StateLive, ""
		}
	})
	return err
}

// coverAndMarkLive writes a checkpoint, and when that is stored says in a
// shape's record that it is live.
func (s *mainLoop) coverAndMarkLive(ctx context.Context, rec *registry.Shape) error {
	covered := make(chan struct{})
	l := s.parts[rec.Partition].writer.Load()
	s.tasks.Go(func() error {
		select {
		case <-l.Done(): // whoever takes the shape in again marks it
			return nil
		case <-covered:
			return service.IgnoreEnd(ctx, s.markLive(ctx, rec))
		case <-ctx.Done():
			return nil
		}
	})
	return s.checkpoint(ctx, func(partition int) {
		if partition == rec.Partition {
			close(covered)
		}
	})
}

package live

import (
	"context"
	"errors"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// Follow prepares a shape from its record, for the log that stands at tail.
func (s *Loop) Follow(rec *registry.Shape, tail wire.Tail) (*follow.Follower, error) {
	if rec.Table != nil {
		shared, _ := s.infos.LoadOrStore(rec.Structure+rec.Table.Files(), rec.Table)
		rec.Table = shared.(*pg.TableInfo) //nolint:forcetypeassert,errcheck // the map holds nothing else
	}
	return follow.NewFollower(rec, s.LogOf(rec.Partition, rec.Handle, tail), s.Sets.Note)
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

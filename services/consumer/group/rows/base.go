package rows

import (
	"context"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/snapshots"
	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// Base is a shape with subqueries at a commit marker of its log with which a unit has ended: there the shape is what its
// clause selects in the unit's snapshot, by the sets as they stand there. Whoever folds the log reads the rows in it, for as long as
// that takes, and the shape goes on. Owned by one goroutine.
type Base struct {
	Snapshot *snapshots.Snapshot // open, on the connection that the unit was given
	Tail     wire.Tail           // of the log up to the marker

	views   []predicate.Set // by subquery
	release func()          // gives these back
}

// NewBase makes the base of a shape by its views, by subquery, until it is released.
func NewBase(snap *snapshots.Snapshot, tail wire.Tail, views []predicate.Set, release func()) *Base {
	return &Base{Snapshot: snap, Tail: tail, views: views, release: release}
}

// Release gives back what the base holds but the snapshot. Again it does nothing.
func (b *Base) Release() {
	if b.release != nil {
		b.release()
	}
	b.release, b.views = nil, nil
}

// CopyRows streams the shape's rows, as CopyRows of the snapshot does, with the shape's columns. rec is the shape's record, table its table as
// it was right before the snapshot.
func (b *Base) CopyRows(ctx context.Context, rec *registry.Shape, table *pg.TableInfo, add func(row change.Row) error) error {
	f, err := follow.NewFollower(rec, shapelog.Log{}, nil) // the shape's own judges rows elsewhere meanwhile
	if err != nil {
		return err
	}
	where, err := Where(ctx, b.Snapshot, f, rec)
	if err != nil {
		return err
	}
	return Copy(ctx, b.Snapshot, f, table, where, b.views, add)
}

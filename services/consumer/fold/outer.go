package fold

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// makeOuter makes the generation of a shape with subqueries. What these select changes in units only, so the shape goes through
// one: at its marker the log is what the clause selects in the unit's snapshot. The rows are read from that while the shape goes on, and
// all that stands behind the marker comes on top of them, whatever the snapshot sees of it.
func (j *job) makeOuter(ctx context.Context, rec *registry.Shape, conn *pgx.Conn, table *pg.TableInfo) (copied shapelog.Copied, err error) {
	base, err := j.s.groups.Rebase(ctx, j.f, conn)
	if err != nil {
		return copied, err
	}
	defer base.Release()
	j.s.Cfg.Failpoint(failpoint.FoldBegun)
	copied, err = j.copyRows(ctx, func(add func(row change.Row) error) error { return base.CopyRows(ctx, rec, table, add) })
	if err != nil {
		return copied, err
	}
	if err := base.Snapshot.Close(ctx); err != nil {
		return copied, fmt.Errorf("close the snapshot: %w", err)
	}
	if err := j.writer.Flush(ctx); err != nil { // the marker too
		return copied, err
	}
	j.s.Cfg.Failpoint(failpoint.FoldCopied)
	g := copied.NewGeneration()
	g.Snapshot, g.SnapshotLSN = base.Snapshot.String(), uint64(base.Snapshot.LSN)
	g.LSN, g.Op = uint64(base.Tail.Committed.LSN), base.Tail.Committed.Op
	g.Bytes, g.Through = base.Tail.Bytes, base.Tail.Bytes
	if err := j.store(ctx, g); err != nil {
		return copied, err
	}
	return copied, j.s.onMain(ctx, nil, func() {
		if j.s.Live[j.f.ID] == j.f { // else it is in a unit again, which makes the number unknown
			j.f.Counted(int64(g.Rows))
		}
	})
}

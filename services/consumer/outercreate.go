package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
)

// creation is a shape with subqueries that is being created, as a group of its
// own. Its beginning is a unit with nothing frozen: a snapshot, a barrier, the
// sets as they stand in the snapshot, and then all its rows.
type creation struct {
	rec     *registry.Shape
	f       *follower
	segment uint64        // of its first rows
	table   *pg.TableInfo // as it was right before the snapshot
}

// create opens the unit in which the shape begins. What is left is done when
// its barrier comes.
func (g *group) create(ctx context.Context) error {
	conn, err := g.connect(ctx)
	if err != nil {
		return err
	}
	table, err := g.s.fence(ctx, conn.conn(), g.creating.rec.Definition.Schema, g.creating.rec.Definition.Table)
	if err == nil && table.Structure() != g.creating.rec.Structure {
		err = &final{errors.New(tableChanged(g.creating.f.table, table))}
	}
	var start place
	if err == nil {
		start, err = g.start(ctx, conn.conn())
	}
	var now change.Snapshot
	if err == nil {
		now, err = pg.CurrentSnapshot(ctx, conn.conn())
	}
	conn.close()
	if err == nil {
		err = g.s.onMain(ctx, func(context.Context) error {
			g.creating.table, g.creating.f.files, g.creating.f.filesAt = table, table, now.LSN
			return nil
		})
	}
	if err != nil {
		return err
	}
	// Everything before start is visible to whatever snapshot comes now.
	if err := g.load(ctx); err != nil {
		return err
	}
	u, err := g.snapshot(ctx, reconcile.Txn{LSN: g.at.lsn})
	if err != nil {
		return err
	}
	u.first = true
	g.unit = u
	for _, v := range g.views {
		u.sets = append(u.sets, reconcile.Freeze(v))
	}
	g.cursor.begin(start.lsn-1, start.seq)
	return g.await(ctx, u)
}

// start finds where the shape starts to read: at the oldest commit that a
// snapshot taken from now on may not see, as far as the sets are known back to there.
func (g *group) start(ctx context.Context, conn *pgx.Conn) (place, error) {
	for look := firstLook; ; look = min(2*look, lastLook) {
		start, err := g.pin(ctx, conn)
		if err != nil {
			return place{}, err
		}
		short := slices.IndexFunc(g.sets, func(set *valueSet) bool { return !g.s.sets.holds(set, start.lsn-1) })
		if short < 0 {
			return start, nil
		}
		if err := g.loadAgain(ctx, g.sets[short]); err != nil {
			return place{}, err
		}
		service.WaitFor(ctx, look) // Postgres does not tell when a transaction becomes visible
		if ctx.Err() != nil {
			return place{}, context.Cause(ctx)
		}
	}
}

// pin finds where the shape starts to read, as parked.pin does, and keeps the
// change log from being trimmed there.
func (g *group) pin(ctx context.Context, conn *pgx.Conn) (start place, err error) {
	now, err := pg.CurrentSnapshot(ctx, conn)
	if err != nil {
		return place{}, err
	}
	err = g.s.onMain(ctx, func(context.Context) error {
		g.s.visibility.prune(now)
		start = g.s.start()
		g.mu.Lock()
		g.at = place{start.lsn - 1, start.seq - 1}
		g.mu.Unlock()
		return nil
	})
	return start, err
}

// firstRows reads the shape's rows into its first segment and begins the log.
func (g *group) firstRows(ctx context.Context, u *unit, end *change.Fragment) error {
	f, rec := g.creating.f, g.creating.rec
	table := f.table
	columns := make([]string, 0, len(table.Relation.Columns))
	for _, c := range table.Relation.Columns {
		columns = append(columns, c.Name)
	}
	where, err := u.selects(ctx, f, rec)
	if err != nil {
		return err
	}
	sets := u.running(g, f.outer)
	w := g.s.newSegment(rec, f.life)
	picked := make(change.Row, len(f.project))
	_, err = u.snap.CopyRows(ctx, table, columns, where, func(row change.Row) error {
		if !f.outer.Match(row, sets) {
			return nil
		}
		for i, c := range f.project {
			picked[i] = row[c]
		}
		return w.add(ctx, picked)
	})
	if err == nil {
		err = w.send(ctx)
	}
	if err != nil {
		return finalIfPermanent(fmt.Errorf("snapshot of shape %s: %w", rec.Handle, err))
	}
	g.s.c.cfg.Failpoint(failpoint.AfterSnapshotRows)
	err = g.s.state(ctx, rec.ID, rec.Handle, func(r *registry.Shape) {
		r.Snapshot, r.SnapshotLSN = u.snap.String(), u.snap.LSN
		r.StartLSN, r.StartSeq, r.History = end.LSN, 0, g.s.history.ID
		r.SnapshotRows, r.Reason, r.Table = int64(w.rows), "", g.creating.table
		g.creating.rec = r
	})
	if err != nil {
		return err
	}
	f.begin(u.snap.Snapshot, w.segment, w.messages, w.rows)
	g.creating.segment = w.segment
	return nil
}

// selects is the condition for the first rows of a shape with subqueries. The
// sets decide on each row, so it may be true of more rows than the clause, but
// not of fewer.
//
// Postgres evaluates the subqueries as of the snapshot, which is what the sets
// are as well; but sets of inner shapes with subqueries of their own may lag.
// And an inner table may have been truncated since the snapshot was opened, or be
// locked: then its subquery is not asked, and all rows that it decides on are read.
func (u *unit) selects(ctx context.Context, f *follower, rec *registry.Shape) (string, error) {
	if f.outer.nested() {
		return f.pred.FixedSQL(), nil
	}
	for _, t := range rec.InnerTables {
		err := u.snap.Guard(ctx, t)
		_, locked := errors.AsType[*pg.LockedError](err)
		switch {
		case err == nil:
		case locked, errors.Is(err, pg.ErrSnapshotStale), pg.Permanent(err):
			return f.pred.FixedSQL(), nil
		default:
			return "", err
		}
	}
	return f.pred.SQL(), nil
}

// sweepSegments removes what earlier attempts left, once the log has its beginning.
func (g *group) sweepSegments(ctx context.Context) error {
	f := g.creating.f
	if err := f.life.flush(ctx); err != nil {
		return err
	}
	return g.s.purgeSegments(ctx, f.partition, f.handle, g.creating.segment)
}

// park starts the creation of a shape with subqueries, or goes on with it.
func (s *session) parkOuter(ctx context.Context, rec *registry.Shape, tail wire.Tail) error {
	f, err := s.follow(rec, tail)
	if err != nil {
		return s.endRecord(ctx, rec, tail, err.Error())
	}
	if reason := s.missing(rec); reason != "" {
		return s.endRecord(ctx, rec, tail, reason)
	}
	for _, q := range rec.Subqueries {
		s.watchSet(ctx, q, nil)
	}
	g := s.newGroup([]*follower{f}, place{}, nil)
	g.creating = &creation{rec: rec, f: f}
	g.began = false
	s.startGroup(ctx, g)
	return nil
}

// loadAgain loads a set that does not reach back to where the group stands.
func (g *group) loadAgain(ctx context.Context, set *valueSet) error {
	g.s.sets.unload(set)
	return g.awaitBase(ctx, set)
}

// awaitBase waits until the materializer has written a first base of the set.
func (g *group) awaitBase(ctx context.Context, set *valueSet) error {
	told := false
	for look := firstLook; ; look = min(2*look, lastLook) {
		err := g.s.loadSet(ctx, set)
		if !errors.Is(err, errNoBase) {
			return err
		}
		if !told && look == lastLook {
			told = true
			g.reason(ctx, err.Error())
			g.log.InfoContext(ctx, "shapes with subqueries wait", slog.Any("for", err))
		}
		service.WaitFor(ctx, look)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

package group

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/snapshots"
	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
	"github.com/shapebus/shapebus/services/consumer/valuesets"
)

// creation is a shape with subqueries that is being created, which begins as a stage of its
// own. Its beginning is a unit with nothing frozen: a snapshot, a barrier, the
// sets as they stand in the snapshot, and then all its rows.
type creation struct {
	rec     *registry.Shape
	f       *follow.Follower
	segment uint64        // of its first rows
	table   *pg.TableInfo // as it was right before the snapshot
}

// creation is that of the only member of a stage that begins.
func (st *stage) creation() (c *creation) {
	for _, c = range st.creating {
	}
	return c
}

// create takes the shape of a stage through the unit in which it begins.
func (g *group) create(ctx context.Context, st *stage) error {
	if err := st.prepare(ctx); err != nil {
		return err
	}
	conn, err := g.connect(ctx)
	if err != nil {
		return err
	}
	err = st.choose(ctx, conn.Conn())
	if err == nil && g.together { // the others would wait for that, too
		err = g.s.awaitSeen(ctx, conn.Conn())
	}
	if err == nil && g.together {
		defer g.keep(ctx, conn)()
		err = g.gatherBeginning(ctx)
	} else {
		conn.Close()
	}
	if err != nil {
		return err
	}
	// Everything before start is visible to whatever snapshot comes now.
	if err := st.load(ctx); err != nil {
		return g.endsOnly(st, err)
	}
	if err := g.openUnit(ctx, reconcile.Furthest(g.standings())); err != nil {
		return err
	}
	for _, other := range g.stages {
		if other == st {
			continue
		}
		if err := other.rewind(ctx); err != nil {
			return err
		}
		other.join()
	}
	st.join()
	if err := g.await(ctx, g.unit); err != nil {
		return err
	}
	if err := g.passUnit(ctx); err != nil {
		return err
	}
	if st.nested {
		return g.gatherLater(ctx)
	}
	return nil
}

// choose puts the stage of a shape that begins where it starts to read, and finds the table as it is right before the snapshot.
func (st *stage) choose(ctx context.Context, conn *pgx.Conn) error {
	g := st.g
	c := st.creation()
	table, err := g.s.Fence(ctx, conn, c.rec.Definition.Schema, c.rec.Definition.Table)
	if err == nil && table.Structure() != c.rec.Structure {
		err = &live.FinalError{Err: errors.New(live.TableChanged(c.f.Table, table))}
	}
	if err == nil {
		err = st.start(ctx, conn)
	}
	var now change.Snapshot
	if err == nil {
		now, err = snapshots.Current(ctx, conn)
	}
	if err == nil {
		err = g.s.OnMain(ctx, func(context.Context) error {
			c.table, c.f.Files, c.f.FilesAt = table, table, now.LSN
			return nil
		})
	}
	return err
}

// gatherLater ends the attempt if the shape, which is a part of the chain now, has to come to where the others are: these are in
// other groups, or have been through units while its rows were read.
func (g *group) gatherLater(ctx context.Context) error {
	return g.s.OnMain(ctx, func(context.Context) error {
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, st := range g.stages {
			for _, set := range st.sets {
				st.behind = st.behind || g.s.Sets.Spanned(set, st.At)
			}
		}
		if g.into != nil || g.s.ask(g) || g.leftBehind() {
			return errRegroup
		}
		return nil
	})
}

// start puts the stage where the shape starts to read: before the oldest commit that a
// snapshot taken from now on may not see, as far as the sets are known back to there.
func (st *stage) start(ctx context.Context, conn *pgx.Conn) error {
	for look := firstLook; ; look = min(2*look, lastLook) {
		if err := st.pin(ctx, conn); err != nil {
			return err
		}
		short := slices.IndexFunc(st.sets, func(set *valuesets.Set) bool { return !st.g.s.Sets.Holds(set, st.At) })
		if short < 0 {
			return nil
		}
		if err := st.loadAgain(ctx, st.sets[short]); err != nil {
			return err
		}
		service.WaitFor(ctx, look) // Postgres does not tell when a transaction becomes visible
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// pin puts the stage where the shape starts to read, and keeps the
// change log from being trimmed there.
func (st *stage) pin(ctx context.Context, conn *pgx.Conn) error {
	return st.g.s.Begin(ctx, conn, func(start changelog.Place) {
		st.g.mu.Lock()
		st.stand(changelog.Place{LSN: start.LSN - 1, Seq: start.Seq - 1}, nil)
		st.g.mu.Unlock()
	})
}

// errUnsettled says that a shape must be begun again: where its snapshot stands an inner shape with subqueries is in a
// unit, so that nobody knows what it selects there. If that is so again and again the inner shape is taken along; see together.go.
var errUnsettled = errors.New("what a subquery selects that has subqueries itself changes right now")

// firstRows reads the shape's rows into its first segment and begins the log. aside are the transactions that it leaves out.
func (st *stage) firstRows(ctx context.Context, u *unit, end *change.Fragment, aside []change.LSN) error {
	g := st.g
	for i, set := range st.sets {
		if !st.whole[i] && !g.s.Sets.Settled(set, end.LSN, aside) {
			return errUnsettled
		}
	}
	c := st.creation()
	f, rec := c.f, c.rec
	where, err := selects(ctx, u.snap, f, rec)
	if err != nil {
		return err
	}
	w := g.s.NewSegment(rec, f.Writer)
	err = copyRows(ctx, u.snap, f, f.Table, where, st.running(f.Outer), func(row change.Row) error { return w.Add(ctx, row) })
	if err == nil {
		err = w.Send(ctx)
	}
	if err != nil {
		return live.FinalIfPermanent(fmt.Errorf("snapshot of shape %s: %w", rec.Handle, err))
	}
	g.s.Cfg.Failpoint(failpoint.AfterSnapshotRows)
	err = g.s.ChangeRecord(ctx, rec.ID, rec.Handle, func(r *registry.Shape) {
		r.Snapshot, r.SnapshotLSN = u.snap.String(), u.snap.LSN
		r.StartLSN, r.StartSeq, r.History = end.LSN, 0, g.s.Changes.HistoryID()
		r.SnapshotRows, r.Reason, r.Table = int64(w.Rows), "", c.table
		c.rec = r
	})
	if err != nil {
		return err
	}
	f.Begin(u.snap.Snapshot, w.Copied)
	c.segment = w.Segment
	return nil
}

// copyRows gives the shape's columns of those rows that it has by its sets, of those that a condition finds in the snapshot. A row
// is valid until add returns.
func copyRows(ctx context.Context, snap *snapshots.Snapshot, f *follow.Follower, table *pg.TableInfo, where string, sets []predicate.Set, add func(change.Row) error) error {
	columns := make([]string, 0, len(table.Relation.Columns))
	for _, c := range table.Relation.Columns {
		columns = append(columns, c.Name)
	}
	picked := make(change.Row, len(f.Project))
	_, err := snap.CopyRows(ctx, table, columns, where, func(row change.Row) error {
		if !f.Outer.Match(row, sets) {
			return nil
		}
		for i, c := range f.Project {
			picked[i] = row[c]
		}
		return add(picked)
	})
	return err
}

// selects is the condition for the first rows of a shape with subqueries. The
// sets decide on each row, so it may be true of more rows than the clause, but
// not of fewer.
//
// Postgres evaluates the subqueries as of the snapshot, which is what the sets
// are as well; but sets of inner shapes with subqueries of their own may lag.
// And an inner table may have been truncated since the snapshot was opened, or be
// locked: then its subquery is not asked, and all rows that it decides on are read.
func selects(ctx context.Context, snap *snapshots.Snapshot, f *follow.Follower, rec *registry.Shape) (string, error) {
	if f.Outer.Nested() {
		return f.Pred.FixedSQL(), nil
	}
	for _, t := range rec.InnerTables {
		err := snap.Guard(ctx, t)
		_, locked := errors.AsType[*pg.LockedError](err)
		switch {
		case err == nil:
		case locked, errors.Is(err, pg.ErrSnapshotStale), pg.Permanent(err):
			return f.Pred.FixedSQL(), nil
		default:
			return "", err
		}
	}
	return f.Pred.SQL(), nil
}

// sweepSegments removes what earlier attempts left, once the log has its beginning.
func (st *stage) sweepSegments(ctx context.Context) error {
	c := st.creation()
	f := c.f
	if err := f.Writer.Flush(ctx); err != nil {
		return err
	}
	return st.g.s.Parts[f.Partition].PurgeSegments(ctx, f.Handle, c.segment)
}

// ParkOuter starts the creation of a shape with subqueries, or goes on with it.
func (s *Groups) ParkOuter(ctx context.Context, rec *registry.Shape, tail wire.Tail) error {
	f, err := s.Follow(rec, tail)
	if err != nil {
		return s.EndRecord(ctx, rec, tail, err.Error())
	}
	if reason, err := s.Missing(ctx, rec); err != nil {
		return err
	} else if reason != "" {
		return s.EndRecord(ctx, rec, tail, reason)
	}
	for _, q := range rec.Subqueries {
		s.WatchSet(ctx, q, nil)
	}
	g := s.newGroup()
	st := g.addStage([]*follow.Follower{f}, changelog.Place{}, nil)
	st.creating[rec.ID] = &creation{rec: rec, f: f}
	st.began = false
	s.startGroup(ctx, g)
	return nil
}

// awaitBase waits until the materializer has written a first base of the set.
func (st *stage) awaitBase(ctx context.Context, set *valuesets.Set) error {
	told := false
	for look := firstLook; ; look = min(2*look, lastLook) {
		err := st.g.s.Sets.Load(ctx, set)
		if p, ok := errors.AsType[*valuesets.PoisonedError](err); ok {
			return &live.FinalError{Err: p}
		}
		if !errors.Is(err, valuesets.ErrNoBase) {
			return err
		}
		if !told && look == lastLook {
			told = true
			st.g.reason(ctx, err.Error())
			st.g.log.InfoContext(ctx, "shapes with subqueries wait", slog.Any("for", err))
		}
		service.WaitFor(ctx, look)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

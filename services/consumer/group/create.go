package group

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/snapshots"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/group/rows"
	"github.com/shapebus/shapebus/services/consumer/group/unit"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
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
		err = unit.AwaitSeen(ctx, g.s.Loop, conn.Conn())
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
	if st.sets.Nested() {
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
			st.behind = st.behind || st.sets.Spanned(st.At)
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
	for poll := (service.Poll{}); ; { // Postgres does not tell when a transaction becomes visible
		if err := st.pin(ctx, conn); err != nil {
			return err
		}
		short := st.sets.Short(st.At)
		if short == nil {
			return nil
		}
		if err := st.sets.LoadAgain(ctx, short); err != nil {
			return err
		}
		if err := poll.Wait(ctx); err != nil {
			return err
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

// firstRows reads the shape's rows into its first segment and begins the log. deferred are the transactions that it leaves out.
func (st *stage) firstRows(ctx context.Context, u *unit.Unit, end *change.Fragment, deferred []change.LSN) error {
	g := st.g
	if settled, err := st.sets.Settled(ctx, end.LSN, deferred); err != nil {
		return err
	} else if !settled {
		return errUnsettled
	}
	c := st.creation()
	f, rec := c.f, c.rec
	where, err := rows.Where(ctx, u.Snapshot, f, rec)
	if err != nil {
		return err
	}
	w := g.s.NewSegment(rec, f.Writer)
	err = rows.Copy(ctx, u.Snapshot, f, f.Table, where, st.running(f.Outer), func(row change.Row) error { return w.Add(ctx, row) })
	if err == nil {
		err = w.Send(ctx)
	}
	if err != nil {
		return live.FinalIfPermanent(fmt.Errorf("snapshot of shape %s: %w", rec.Handle, err))
	}
	g.s.Cfg.Failpoint(failpoint.AfterSnapshotRows)
	err = g.s.ChangeRecord(ctx, rec.ID, rec.Handle, func(r *registry.Shape) {
		r.Snapshot, r.SnapshotLSN = u.Snapshot.String(), u.Snapshot.LSN
		r.StartLSN, r.StartSeq, r.History = end.LSN, 0, g.s.Changes.HistoryID()
		r.SnapshotRows, r.Reason, r.Table = int64(w.Rows), "", c.table
		c.rec = r
	})
	if err != nil {
		return err
	}
	f.Begin(u.Snapshot.Snapshot, w.Copied)
	c.segment = w.Segment
	return nil
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

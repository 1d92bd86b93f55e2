package group

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/pg/snapshots"
	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// unit is a group's open unit: from the transaction whose verdict changed a
// set's members to the barrier that was written after its snapshot. What the members
// write meanwhile counts only with the unit's marker; see package reconcile.
type unit struct {
	id    string          // the barrier's payload
	proof changelog.Proof // of the snapshot
	conn  *unitConn
	snap  *snapshots.Snapshot
	sets  []*reconcile.Set // as the group's
	aside reconcile.Backlog
	began time.Time
	// first is the unit in which a shape begins: nothing is frozen and no op
	// applied, the snapshot gives all rows.
	first bool
}

// idle reports whether ops are left to the snapshot. u may be nil.
func (u *unit) idle() bool { return u != nil && u.first }

// close gives the snapshot back.
func (u *unit) close(ctx context.Context) {
	if err := u.snap.Close(ctx); err != nil {
		u.conn.conn().Close(ctx) // it is broken, and the pool makes another
	}
	u.conn.close()
}

const (
	firstLook = time.Millisecond
	lastLook  = 100 * time.Millisecond
)

// openUnit opens a unit at t, which every member has everything before: a
// snapshot that sees t and all they have, and then a barrier.
func (g *group) openUnit(ctx context.Context, t reconcile.Txn) error {
	u, err := g.snapshot(ctx, t)
	if err != nil {
		return err
	}
	g.unit = u
	for _, v := range g.views {
		u.sets = append(u.sets, reconcile.Freeze(v))
	}
	for _, f := range g.members {
		o := f.Outer
		own := make([]*reconcile.Set, len(o.Subqueries))
		for i, q := range o.Subqueries {
			own[i] = u.sets[g.set(q.ValueSet())]
		}
		o.Member = o.Rule.Join(own)
	}
	g.s.Stats.Units.Add(1)
	g.s.Cfg.Failpoint(failpoint.UnitOpen)
	return g.await(ctx, u)
}

// set is the place of a set among the group's.
func (g *group) set(name string) int { return g.places[name] }

// snapshot opens a snapshot that sees t and everything the members have.
func (g *group) snapshot(ctx context.Context, t reconcile.Txn) (*unit, error) {
	g.units++
	u := &unit{id: fmt.Sprintf("%s/%d", g.id, g.units), began: time.Now()}
	for look, n := firstLook, 1; ; look, n = min(2*look, lastLook), n+1 {
		usable, err := g.look(ctx, u, t, n)
		if err == nil && usable {
			return u, nil
		}
		if u.snap != nil {
			u.close(context.WithoutCancel(ctx))
			u.snap = nil
		}
		if err != nil {
			return nil, err
		}
		service.WaitFor(ctx, look) // Postgres does not tell when a transaction becomes visible
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// look opens a snapshot, the n-th for the unit, and reports whether the unit can use it.
func (g *group) look(ctx context.Context, u *unit, t reconcile.Txn, n int) (usable bool, err error) {
	if u.conn, err = g.connect(ctx); err != nil {
		return false, err
	}
	v := &g.s.Visibility
	look := v.Look()
	defer look.Close()
	u.proof.ID = fmt.Sprintf("%s/snapshot/%d", u.id, n)
	if u.snap, err = snapshots.OpenMarked(ctx, u.conn.conn(), topology.BarrierPrefix, u.proof.ID); err != nil {
		u.conn.close()
		return false, err
	}
	u.proof.LSN = u.snap.Mark
	g.s.Cfg.Failpoint(failpoint.SnapshotOpen)
	err = g.s.OnMain(ctx, func(context.Context) error {
		v.Prune(u.snap.Snapshot)
		unseen, complete := v.Unseen(look)
		usable = complete && reconcile.Usable(u.snap.Snapshot, t, g.at.LSN, g.aside, unseen)
		return nil
	})
	return usable, err
}

// await marks the place in the change log behind all that the unit's snapshot sees, where the
// unit ends. It stands behind the message that proves the snapshot.
func (g *group) await(ctx context.Context, u *unit) error {
	if err := g.s.Barrier(ctx, u.id); err != nil {
		return err
	}
	g.s.Cfg.Failpoint(failpoint.UnitWaits)
	return nil
}

// unproven gives up the unit: its snapshot must not be used.
func (g *group) unproven() error {
	g.s.Postgres.Reconnect()
	return changelog.ErrUnproven
}

// closeUnit rereads the rows in question and commits the unit at its barrier.
func (g *group) closeUnit(ctx context.Context, m stream.Received, c wire.Control) error {
	u := g.unit
	if !u.proof.Shown { // it would stand before the barrier, which was written later
		return g.unproven()
	}
	end := &change.Fragment{XID: change.XID(c.XID), LSN: change.LSN(c.LSN), CommitTime: time.Now().UnixMicro(), Last: true}
	if !u.first {
		if err := g.reread(ctx, u, end); err != nil {
			return err
		}
	} else if err := g.firstRows(ctx, u, end); err != nil {
		return err
	}
	g.s.Cfg.Failpoint(failpoint.UnitReread)
	aside := u.aside.Take()
	g.setAside(aside)
	for _, f := range g.members {
		f.CommitUnit(end, u.first)
		f.Outer.Member = nil
		// All members come to the same place, but for those whose partition is lost: they leave.
		if err := shapelog.IgnoreLost(g.s.Parts[f.Partition].Append(context.WithoutCancel(ctx), &f.Log)); err != nil {
			return err
		}
	}
	g.router.Take()
	g.router.Reopen()
	g.s.Cfg.Failpoint(failpoint.UnitMarked)
	for i, set := range u.sets {
		g.touch(i, set)
		g.views[i] = set.Settle()
	}
	g.unit = nil
	u.close(context.WithoutCancel(ctx))
	g.show()
	g.shift = end.End
	g.advance(changelog.Place{LSN: end.LSN, Seq: m.Seq}, aside)
	if u.first {
		if err := g.sweepSegments(ctx); err != nil {
			return err
		}
	}
	g.log.DebugContext(ctx, "unit committed", slog.String("lsn", end.LSN.String()), slog.Duration("took", time.Since(u.began)), slog.Int("aside", len(aside)))
	return g.backlog(ctx)
}

// touch remembers which values of the i-th set a unit has changed, for the
// filter index; beyond what an index holds it is rebuilt.
func (g *group) touch(i int, set *reconcile.Set) {
	if g.since[i] == 0 {
		return
	}
	if len(g.touched[i])+set.Len() > live.Indexed {
		g.since[i], g.touched[i] = 0, nil
		return
	}
	for key := range set.Values() {
		g.touched[i][string(key)] = struct{}{}
	}
}

func (g *group) anyMember() *follow.Follower {
	for _, f := range g.members {
		return f
	}
	return nil
}

// running are the sets of a member as they stand in the unit now.
func (u *unit) running(g *group, o *follow.Outer) []predicate.Set {
	sets := make([]predicate.Set, len(o.Subqueries))
	for i, q := range o.Subqueries {
		sets[i] = u.sets[g.set(q.ValueSet())].Running()
	}
	return sets
}

package group

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
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
	"github.com/shapebus/shapebus/services/consumer/group/conns"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// unit is a group's open unit: from the transaction whose verdict changed a
// set's members to the barrier that was written after its snapshot. What the members
// write meanwhile counts only with the unit's marker; see package reconcile.
type unit struct {
	id    string          // the barrier's payload
	proof changelog.Proof // of the snapshot
	conn  *conns.Conn
	snap  *snapshots.Snapshot
	began time.Time
	trace string // context of the trace of the transaction that it began with
}

// idle reports whether ops are left to the snapshot: the unit is the one in which the shape begins. Nothing is frozen there and no
// op applied, the snapshot gives all rows.
func (st *stage) idle() bool { return st.Unit != nil && !st.began }

// close gives the snapshot back.
func (u *unit) close(ctx context.Context) {
	if err := u.snap.Close(ctx); err != nil {
		u.conn.Conn().Close(ctx) // it is broken, and the pool makes another
	}
	u.conn.Close()
}

// connect waits until the group may have a connection.
func (g *group) connect(ctx context.Context) (*conns.Conn, error) {
	if g.rebase != nil {
		return conns.Borrowed(g.rebase.conn), nil
	}
	if g.kept != nil {
		return conns.Borrowed(g.kept.Conn()), nil
	}
	return g.s.conns.Take(ctx, g.stages[0].depth, !g.stages[0].began)
}

// keep makes a connection that of the next unit. done ends that unit and gives the connection back.
func (g *group) keep(ctx context.Context, conn *conns.Conn) (done func()) {
	g.kept = conn
	return func() {
		if g.unit != nil {
			g.unit.close(context.WithoutCancel(ctx))
			g.unit = nil
		}
		g.kept = nil
		conn.Close()
	}
}

const (
	firstLook = time.Millisecond
	lastLook  = 100 * time.Millisecond
)

// runUnit takes all stages through a unit: a snapshot that sees t and all they have, and then a barrier. trace is the
// context of the trace of t.
func (g *group) runUnit(ctx context.Context, t reconcile.Txn, trace string) error {
	if err := g.closes(true); err != nil {
		return err
	}
	if err := g.openUnit(ctx, t); err != nil {
		return err
	}
	g.unit.trace = trace
	for _, st := range g.stages {
		if err := st.rewind(ctx); err != nil {
			return err
		}
		st.join()
	}
	g.s.Stats.Units.Add(1)
	g.s.Cfg.Failpoint(failpoint.UnitOpen)
	if err := g.await(ctx, g.unit); err != nil {
		return err
	}
	if err := g.passUnit(ctx); err != nil {
		return err
	}
	return g.closes(false)
}

// openUnit opens a unit at t.
func (g *group) openUnit(ctx context.Context, t reconcile.Txn) (err error) {
	if g.beginning() == nil {
		g.takeAsk()
	}
	g.unit, err = g.snapshot(ctx, t)
	return err
}

// join makes the members part of the unit.
func (st *stage) join() {
	st.Open(st.g.unit.snap.Snapshot)
	if st.idle() {
		return
	}
	for _, f := range st.members {
		o := f.Outer
		own := make([]*reconcile.Set, len(o.Subqueries))
		for i, q := range o.Subqueries {
			own[i] = st.Unit.Sets[st.set(q.ValueSet())]
		}
		o.Member = o.Rule.Join(own)
	}
}

// passUnit goes through the unit, and ends it: the less nested stages first, those of one depth together. A shape that begins
// comes last: the others do not wait for its rows.
func (g *group) passUnit(ctx context.Context) error {
	first := g.beginning()
	left := slices.DeleteFunc(slices.Clone(g.stages), func(st *stage) bool { return st == first })
	for len(left) > 0 {
		abreast := len(left)
		if deeper := slices.IndexFunc(left, func(st *stage) bool { return st.depth > left[0].depth }); deeper > 0 {
			abreast = deeper
		}
		for _, st := range left[:abreast] {
			if err := st.meet(ctx); err != nil {
				return err
			}
		}
		if err := g.readOn(ctx, left[:abreast]); err != nil {
			return err
		}
		left = left[abreast:]
	}
	if first != nil {
		if err := first.meet(ctx); err != nil {
			return g.endsOnly(first, err)
		}
		if err := g.part(ctx); err != nil {
			return err
		}
		if g.together {
			g.s.Cfg.Failpoint(failpoint.ChainParted)
		}
		if err := g.readOn(ctx, []*stage{first}); err != nil {
			return err
		}
	}
	return g.endUnit(ctx)
}

// meet learns what the stages before select at the unit's end, where they are: it is known as a whole.
func (st *stage) meet(ctx context.Context) error {
	g := st.g
	for i, f := range st.own {
		if f == nil {
			continue
		}
		st.whole[i] = true
		verdicts, err := g.s.Sets.Between(ctx, st.sets[i], st.At, reconcile.LSNs(st.Aside), f.Tail.Committed)
		if err != nil {
			return err
		}
		for _, v := range verdicts {
			st.Unit.Sets[i].Add(v.Deltas.All())
		}
	}
	return nil
}

// snapshot opens a snapshot that sees t and everything the members have.
func (g *group) snapshot(ctx context.Context, t reconcile.Txn) (*unit, error) {
	g.units++
	u := &unit{id: fmt.Sprintf("%s/%d", g.id, g.units), began: time.Now()}
	for look, n := firstLook, 1; ; look, n = min(2*look, lastLook), n+1 {
		usable, err := g.open(ctx, u, t, n)
		if err == nil && usable {
			return u, nil
		}
		if u.snap != nil {
			u.close(context.WithoutCancel(ctx))
			u.snap = nil
		}
		if err == nil && (g.spare || g.together) && time.Since(u.began) > seenWait {
			err = errUnseen
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

// open opens a snapshot, the n-th for the unit, and reports whether the unit can use it.
func (g *group) open(ctx context.Context, u *unit, t reconcile.Txn, n int) (usable bool, err error) {
	if u.conn, err = g.connect(ctx); err != nil {
		return false, err
	}
	v := &g.s.Visibility
	look := v.Look()
	defer look.Close()
	u.proof.ID = fmt.Sprintf("%s/snapshot/%d", u.id, n)
	if u.snap, err = snapshots.OpenMarked(ctx, u.conn.Conn(), topology.BarrierPrefix, u.proof.ID); err != nil {
		u.conn.Close()
		return false, err
	}
	u.proof.LSN = u.snap.Mark
	g.s.Cfg.Failpoint(failpoint.SnapshotOpen)
	err = g.s.OnMain(ctx, func(context.Context) error {
		v.Prune(u.snap.Snapshot)
		unseen, complete := v.Unseen(look)
		usable = complete
		for _, st := range g.stages {
			usable = usable && reconcile.Usable(u.snap.Snapshot, t, st.Standing, unseen)
		}
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

// closePart rereads the rows in question and commits the stage's part of the unit at the barrier.
func (st *stage) closePart(ctx context.Context, m stream.Received, c wire.Control) error {
	g, p, u := st.g, st.Unit, st.g.unit
	if !u.proof.Shown { // it would stand before the barrier, which was written later
		return g.unproven()
	}
	end := &change.Fragment{XID: change.XID(c.XID), LSN: change.LSN(c.LSN), CommitTime: time.Now().UnixMicro(), Last: true, Trace: u.trace}
	aside := p.Left()
	first := st.idle()
	var err error
	if first {
		err = st.firstRows(ctx, u, end, reconcile.LSNs(aside))
	} else {
		err = st.reread(ctx, u, end)
	}
	if err != nil {
		return g.endsOnly(st, err)
	}
	g.s.Cfg.Failpoint(failpoint.UnitReread)
	st.setAside(aside)
	for _, f := range st.members {
		f.CommitUnit(end, first || g.rebase.of(f.ID))
		f.Outer.Member = nil
		if g.rebase.of(f.ID) {
			f.Recount()
		}
		// All members come to the same place, but for those whose partition is lost: they leave.
		if err := shapelog.IgnoreLost(g.s.Parts[f.Partition].Append(context.WithoutCancel(ctx), &f.Log)); err != nil {
			return err
		}
	}
	st.router.Take()
	st.router.Reopen()
	g.s.Cfg.Failpoint(failpoint.UnitMarked)
	for i, set := range p.Sets {
		st.touched[i].Note(set.Len(), set.Values())
	}
	st.span(st.At, end.LSN)
	g.mu.Lock()
	st.Close(end.LSN, end.End)
	st.seq, st.began = m.Seq, true
	st.behind, st.shared = false, g.chained() && len(aside) > 0
	clear(st.whole)
	st.noteTails()
	g.mu.Unlock()
	st.show()
	st.tellPlace()
	if first {
		if err := st.sweepSegments(ctx); err != nil {
			return err
		}
	}
	g.log.DebugContext(ctx, "unit committed", slog.String("table", st.anyMember().Table.String()), slog.String("lsn", end.LSN.String()),
		slog.Duration("took", time.Since(u.began)), slog.Int("aside", len(aside)))
	return nil
}

// span says of members that others select from that no commit between two places shows in their logs by itself.
func (st *stage) span(from, to change.LSN) {
	for _, f := range st.members {
		if f.Inner.Load() {
			st.g.s.Sets.Span(f.Handle, from, to)
		}
	}
}

// running are the sets of a member as they stand in the unit now.
func (st *stage) running(o *follow.Outer) []predicate.Set {
	sets := make([]predicate.Set, len(o.Subqueries))
	for i, q := range o.Subqueries {
		sets[i] = st.Unit.Sets[st.set(q.ValueSet())].Running()
	}
	return sets
}

package group

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/group/conns"
	"github.com/shapebus/shapebus/services/consumer/group/unit"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// idle reports whether ops are left to the snapshot: the unit is the one in which the shape begins. Nothing is frozen there and no
// op applied, the snapshot gives all rows.
func (st *stage) idle() bool { return st.Unit != nil && !st.began }

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
			g.unit.Close(context.WithoutCancel(ctx))
			g.unit = nil
		}
		g.kept = nil
		conn.Close()
	}
}

// runUnit takes all stages through a unit: a snapshot that sees t and all they have, and then a barrier. trace is the context of the trace of t.
func (g *group) runUnit(ctx context.Context, t reconcile.Txn, trace string) error {
	if err := g.closes(true); err != nil {
		return err
	}
	if err := g.openUnit(ctx, t); err != nil {
		return err
	}
	g.unit.Trace = trace
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
	g.units++
	g.unit, err = unit.Open(ctx, g.s.Loop, unit.Asked{
		ID: fmt.Sprintf("%s/%d", g.id, g.units), Txn: t, Standings: g.standings(), Connect: g.connect, Soon: g.spare || g.together,
	})
	return err
}

// join makes the members part of the unit.
func (st *stage) join() {
	st.Open(st.g.unit.Snapshot.Snapshot)
	if st.idle() {
		return
	}
	for _, f := range st.members {
		o := f.Outer
		own := make([]*reconcile.Set, len(o.Subqueries))
		for i, q := range o.Subqueries {
			own[i] = st.Unit.Sets[st.sets.Index(q.ValueSet())]
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
			if err := st.sets.Meet(ctx, st.Standing, st.Unit); err != nil {
				return err
			}
		}
		if err := g.readOn(ctx, left[:abreast]); err != nil {
			return err
		}
		left = left[abreast:]
	}
	if first != nil {
		if err := first.sets.Meet(ctx, first.Standing, first.Unit); err != nil {
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

// await marks the place in the change log behind all that the unit's snapshot sees, where the
// unit ends. It stands behind the message that proves the snapshot.
func (g *group) await(ctx context.Context, u *unit.Unit) error {
	if err := g.s.Barrier(ctx, u.ID); err != nil {
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
	if !u.Proof.Shown { // it would stand before the barrier, which was written later
		return g.unproven()
	}
	end := &change.Fragment{XID: change.XID(c.XID), LSN: change.LSN(c.LSN), CommitTime: time.Now().UnixMicro(), Last: true, Trace: u.Trace}
	deferred := p.Deferred()
	first := st.idle()
	var err error
	if first {
		err = st.firstRows(ctx, u, end, reconcile.LSNs(deferred))
	} else {
		err = st.reread(ctx, u, end)
	}
	if err != nil {
		return g.endsOnly(st, err)
	}
	g.s.Cfg.Failpoint(failpoint.UnitReread)
	st.setDeferred(deferred)
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
	st.sets.NoteTouched(p)
	st.span(st.At, end.LSN)
	g.mu.Lock()
	st.Close(end.LSN, end.End)
	st.seq, st.began = m.Seq, true
	st.behind, st.shared = false, g.chained() && len(deferred) > 0
	st.sets.UnitOver()
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
		slog.Duration("took", time.Since(u.Began)), slog.Int("deferred", len(deferred)))
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
		sets[i] = st.Unit.Sets[st.sets.Index(q.ValueSet())].Running()
	}
	return sets
}

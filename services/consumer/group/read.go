package group

import (
	"context"
	"errors"
	"fmt"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
)

// backlog processes what was deferred. When one of these opens a unit, the
// others are sorted by its snapshot, and it goes on behind the last barrier.
func (g *group) backlog(ctx context.Context) error {
	for len(g.aside) > 0 {
		rest := g.aside[1:]
		g.setAside(rest)
		if err := g.again(ctx, g.aside[0]); err != nil {
			return err
		}
		if g.unit != nil {
			for _, t := range rest {
				if err := g.again(ctx, t); err != nil {
					return err
				}
			}
			return nil
		}
		g.mu.Lock()
		g.aside = rest
		g.mu.Unlock()
		g.tellPlace()
	}
	return nil
}

// setAside says what the next commit markers leave aside.
func (g *group) setAside(txns []reconcile.Txn) {
	aside := wire.FormatAside(reconcile.LSNs(txns))
	for _, f := range g.members {
		f.Outer.Aside = aside
	}
}

// again reads one transaction that was deferred.
func (g *group) again(ctx context.Context, t reconcile.Txn) error {
	c := changelog.NewCursor(g.s.Changes, g.s.Recent)
	c.Begin(t.LSN-1, t.First)
	defer c.Close() //nolint:contextcheck // as in stream.Reader.Close
	g.begun = 0     // it may be the one that was begun last, when it was deferred
	fd := changelog.NewFeed(g.s.Cfg.Source, g.s.Relations)
	for done, waited := false, false; !done; {
		m, ok, err := c.Read(ctx)
		if errors.Is(err, stream.ErrGap) {
			return &live.FinalError{Err: errors.New(live.ReasonDiscarded)}
		}
		if err != nil {
			return err
		}
		if !ok && !waited { // the main loop began further behind
			waited = true
			if err := c.Wait(ctx, g.s.Cfg.Nudge, nil); err != nil {
				return err
			}
			continue
		}
		if !ok {
			return fmt.Errorf("the transaction at %s, which was deferred, is not in the change log at message %d", t.LSN, t.First)
		}
		waited = false
		lsn, err := fd.Read(ctx, m,
			func(ctl wire.Control) error {
				if change.LSN(ctl.LSN) != t.LSN || ctl.Kind != wire.ControlBarrier {
					return nil
				}
				done = true
				return g.begin(ctx, reconcile.Txn{XID: change.XID(ctl.XID), LSN: t.LSN, First: fd.First(t.LSN)})
			},
			func(rel *change.Relation, fr *change.Fragment) error {
				if fr.LSN != t.LSN {
					return nil
				}
				err := g.fragment(ctx, fd.First(fr.LSN), rel, fr)
				done = done || g.txn == 0
				return err
			})
		if e, ok := errors.AsType[*changelog.PoisonError](err); ok { // the transaction cannot be had whole
			return &live.FinalError{Err: errors.New(e.Reason())}
		}
		if err != nil {
			return err
		}
		if err := g.flush(ctx); err != nil {
			return err
		}
		if lsn > t.LSN && !done {
			return fmt.Errorf("the transaction at %s, which was deferred, is not whole in the change log", t.LSN)
		}
	}
	return nil
}

// message takes the next message of the change log.
func (g *group) message(ctx context.Context, m stream.Received) error {
	if g.unit != nil {
		if at, err := stream.LSN(m.Header); err == nil && g.unit.proof.Lost(at) { // else the feed says so
			return g.unproven()
		}
	}
	lsn, err := g.feed.Read(ctx, m,
		func(c wire.Control) error { return g.control(ctx, m, c) },
		func(rel *change.Relation, fr *change.Fragment) error {
			if fr.LSN <= g.at.LSN {
				return nil
			}
			return g.fragment(ctx, g.feed.First(fr.LSN), rel, fr)
		})
	if _, ok := errors.AsType[*changelog.PoisonError](err); ok {
		if err := g.spare(err); err != nil {
			return err
		}
		return g.flush(ctx)
	}
	if err != nil {
		return err
	}
	if err := g.flush(ctx); err != nil {
		return err
	}
	// What is told of a table may stand before the ops of a transaction: more of it follows.
	if g.txn == 0 && !g.feed.More && g.unit == nil && lsn >= g.at.LSN {
		g.advance(changelog.Place{LSN: lsn, Seq: m.Seq}, nil)
	}
	return nil
}

// advance says that everything up to a place is in the logs, but what is aside. So these have begun.
func (g *group) advance(at changelog.Place, aside []reconcile.Txn) {
	g.mu.Lock()
	g.at, g.aside, g.began = at, aside, true
	g.mu.Unlock()
	g.tellPlace()
}

// tellPlace tells those who depend on members how far these are.
func (g *group) tellPlace() {
	for _, f := range g.members {
		if f.Inner.Load() {
			g.s.Sets.Place(f.Handle, false, g.known())
		}
	}
}

// fragment takes a fragment of a transaction that the logs do not have. first is where the transaction begins.
func (g *group) fragment(ctx context.Context, first uint64, rel *change.Relation, fr *change.Fragment) error {
	if g.txn != fr.LSN {
		if err := g.begin(ctx, reconcile.Txn{XID: fr.XID, LSN: fr.LSN, First: first}); err != nil {
			return err
		}
		g.txn = fr.LSN
	}
	lsn, end := fr.LSN, fr.End // as they are in the change log
	if !g.skip && rel.OID == g.table && !g.unit.idle() {
		g.relocate(fr)
		if err := g.offer(ctx, rel, fr); err != nil {
			return err
		}
	}
	if changelog.Completes(rel.OID, fr) {
		g.txn = 0
		if !g.skip {
			g.shift = reconcile.Passed(g.at.LSN, g.shift, lsn, end)
		}
	}
	g.s.Cfg.Failpoint(failpoint.GroupFragment)
	return nil
}

// relocate gives what was aside a place behind the last commit marker.
func (g *group) relocate(fr *change.Fragment) {
	if fr.LSN > g.at.LSN {
		return
	}
	for i := range fr.Ops {
		fr.Ops[i].Index = reconcile.Place(g.at.LSN, g.shift, fr.LSN, fr.Ops[i].Index).Op
	}
	if fr.Last {
		fr.End = reconcile.Place(g.at.LSN, g.shift, fr.LSN, fr.End).Op
	}
	fr.LSN = g.at.LSN
}

// offer offers a fragment to the members.
func (g *group) offer(ctx context.Context, rel *change.Relation, fr *change.Fragment) error {
	ended, err := g.router.Fragment(rel, fr, g.pendingBytes(), func() error { return g.flush(ctx) })
	if err != nil {
		return err
	}
	if len(ended) > 0 {
		g.mu.Lock()
		for _, f := range ended {
			g.ending = append(g.ending, ending{f.ID, f.Ended, true})
		}
		g.mu.Unlock()
		g.gone = append(g.gone, ended...)
		return errRegroup
	}
	return nil
}

// pendingMost is the output that a group holds before it is appended. A group keeps nobody waiting: what it
// would gain by holding as much as the main loop is less than the memory, since there may be many groups.
const pendingMost = 512 << 10

func (g *group) pendingBytes() int { return min(pendingMost, g.s.Cfg.PendingBytes) }

// flush appends what the members gathered.
func (g *group) flush(ctx context.Context) error {
	if err := g.s.AppendGathered(ctx, g.router, func(err error) error { return err }); err != nil {
		return err
	}
	g.s.Stats.Ops.Add(g.router.TakeOps())
	return nil
}

// control takes a control entry.
func (g *group) control(ctx context.Context, m stream.Received, c wire.Control) error {
	lsn := change.LSN(c.LSN)
	if lsn <= g.at.LSN {
		return nil
	}
	if g.unit.idle() && c.Kind != wire.ControlBarrier && lsn <= g.unit.snap.LSN {
		return nil // it was before the shape began
	}
	switch c.Kind {
	case wire.ControlReset:
		return &live.FinalError{Err: errors.New(c.Reason)}
	case wire.ControlRelation:
		if c.OID != g.table {
			return nil
		}
		rel, err := g.s.Relations.Get(ctx, c.Relation)
		if err != nil {
			return err
		}
		return g.offer(ctx, rel, &change.Fragment{LSN: lsn, Relation: c.Relation})
	case wire.ControlBarrier:
		if g.unit != nil {
			g.unit.proof.Take(c)
		}
		if g.unit != nil && c.Payload == g.unit.id {
			return g.closeUnit(ctx, m, c)
		}
		if g.nested && c.XID != 0 { // units end at no others
			return g.begin(ctx, reconcile.Txn{XID: change.XID(c.XID), LSN: lsn, First: g.feed.First(lsn)})
		}
	}
	return nil
}

// begin learns what a commit does to the sets before its ops are looked at:
// it waits for the verdicts, puts the transaction aside, or opens a unit.
func (g *group) begin(ctx context.Context, t reconcile.Txn) error {
	if t.LSN == g.begun { // a barrier and ops in one transaction
		return nil
	}
	g.begun = t.LSN
	g.skip = g.unit != nil && reconcile.Aside(g.unit.snap.Snapshot, t.XID)
	if g.skip {
		// What it does to the sets is not known yet, and not asked.
		g.unit.aside.Put(t)
		return g.s.Sets.AwaitScan(ctx, t.LSN)
	}
	for i, set := range g.sets {
		verdicts, err := g.s.Sets.Verdicts(ctx, set, t.LSN)
		if err != nil {
			return err
		}
		for _, v := range verdicts {
			if err := g.change(ctx, t, i, v); err != nil {
				return err
			}
		}
	}
	return g.s.Sets.AwaitScan(ctx, t.LSN)
}

// change takes a verdict on the i-th set.
func (g *group) change(ctx context.Context, t reconcile.Txn, i int, v *wire.Verdict) error {
	if g.unit == nil {
		if reconcile.Shift(g.views[i], v.Deltas.All()) {
			return nil
		}
		if err := g.openUnit(ctx, t); err != nil {
			return err
		}
	}
	g.unit.sets[i].Add(v.Deltas.All())
	return nil
}

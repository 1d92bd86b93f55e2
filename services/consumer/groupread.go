package consumer

import (
	"context"
	"errors"
	"fmt"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
)

// backlog processes what was put aside. When one of these opens a unit, the
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
		f.outer.aside = aside
	}
}

// again reads one transaction that was put aside.
func (g *group) again(ctx context.Context, t reconcile.Txn) error {
	c := &cursor{s: g.s}
	c.begin(t.LSN-1, t.First)
	defer c.close() //nolint:contextcheck // as in stream.Reader.Close
	g.begun = 0     // it may be the one that was begun last, when it was put aside
	fd := &feed{source: g.s.c.cfg.Source, relations: g.s.relations}
	for done := false; !done; {
		m, ok, err := c.read(ctx)
		if errors.Is(err, stream.ErrGap) {
			return &final{errors.New(reasonDiscarded)}
		}
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("the transaction at %s, which was put aside, is not in the change log at message %d", t.LSN, t.First)
		}
		lsn, err := fd.read(ctx, m,
			func(ctl wire.Control) error {
				if change.LSN(ctl.LSN) != t.LSN || ctl.Kind != wire.ControlBarrier {
					return nil
				}
				done = true
				return g.begin(ctx, reconcile.Txn{XID: change.XID(ctl.XID), LSN: t.LSN, First: fd.first(t.LSN)})
			},
			func(rel *change.Relation, fr *change.Fragment) error {
				if fr.LSN != t.LSN {
					return nil
				}
				err := g.fragment(ctx, fd.first(fr.LSN), rel, fr)
				done = done || g.txn.lsn == 0
				return err
			})
		if e, ok := errors.AsType[*poisonError](err); ok { // the transaction cannot be had whole
			return &final{errors.New(e.reason())}
		}
		if err != nil {
			return err
		}
		if err := g.flush(ctx); err != nil {
			return err
		}
		if lsn > t.LSN && !done {
			return fmt.Errorf("the transaction at %s, which was put aside, is not whole in the change log", t.LSN)
		}
	}
	return nil
}

// message takes the next message of the change log.
func (g *group) message(ctx context.Context, m stream.Received) error {
	if g.unit != nil {
		if at, err := stream.LSN(m.Header); err == nil && g.unit.proof.lost(at) { // else the feed says so
			return g.unproven()
		}
	}
	lsn, err := g.feed.read(ctx, m,
		func(c wire.Control) error { return g.control(ctx, m, c) },
		func(rel *change.Relation, fr *change.Fragment) error {
			if fr.LSN <= g.at.lsn {
				return nil
			}
			return g.fragment(ctx, g.feed.first(fr.LSN), rel, fr)
		})
	if _, ok := errors.AsType[*poisonError](err); ok {
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
	if g.txn.lsn == 0 && !g.feed.more && g.unit == nil && lsn >= g.at.lsn {
		g.advance(place{lsn, m.Seq}, nil)
	}
	return nil
}

// advance says that everything up to a place is in the logs, but what is aside. So these have begun.
func (g *group) advance(at place, aside []reconcile.Txn) {
	g.mu.Lock()
	g.at, g.aside, g.began = at, aside, true
	g.mu.Unlock()
	g.tellPlace()
}

// tellPlace tells those who depend on members how far these are.
func (g *group) tellPlace() {
	for _, f := range g.members {
		if f.inner.Load() {
			g.s.sets.place(f.handle, false, g.known())
		}
	}
}

// fragment takes a fragment of a transaction that the logs do not have. first is where the transaction begins.
func (g *group) fragment(ctx context.Context, first uint64, rel *change.Relation, fr *change.Fragment) error {
	if g.txn.lsn != fr.LSN {
		if err := g.begin(ctx, reconcile.Txn{XID: fr.XID, LSN: fr.LSN, First: first}); err != nil {
			return err
		}
		g.txn = openTxn{lsn: fr.LSN}
	}
	lsn, end := fr.LSN, fr.End // as they are in the change log
	if !g.skip && rel.OID == g.table && !g.unit.idle() {
		g.relocate(fr)
		if err := g.offer(ctx, rel, fr); err != nil {
			return err
		}
	}
	if completes(rel.OID, fr) {
		g.txn = openTxn{}
		if !g.skip {
			g.shift = reconcile.Passed(g.at.lsn, g.shift, lsn, end)
		}
	}
	g.s.c.cfg.Failpoint(failpoint.GroupFragment)
	return nil
}

// relocate gives what was aside a place behind the last commit marker.
func (g *group) relocate(fr *change.Fragment) {
	if fr.LSN > g.at.lsn {
		return
	}
	for i := range fr.Ops {
		fr.Ops[i].Index = reconcile.Place(g.at.lsn, g.shift, fr.LSN, fr.Ops[i].Index).Op
	}
	if fr.Last {
		fr.End = reconcile.Place(g.at.lsn, g.shift, fr.LSN, fr.End).Op
	}
	fr.LSN = g.at.lsn
}

// offer offers a fragment to the members.
func (g *group) offer(ctx context.Context, rel *change.Relation, fr *change.Fragment) error {
	ended, err := g.router.fragment(rel, fr, g.s.c.cfg.PendingBytes, func() error { return g.flush(ctx) })
	if err != nil {
		return err
	}
	if len(ended) > 0 {
		g.mu.Lock()
		for _, f := range ended {
			g.ending = append(g.ending, ending{f.id, f.ended, true})
		}
		g.mu.Unlock()
		g.gone = append(g.gone, ended...)
		return errRegroup
	}
	return nil
}

// flush appends what the members gathered.
func (g *group) flush(ctx context.Context) error {
	for _, f := range g.router.take() {
		if err := g.s.parts[f.partition].appendLog(ctx, f); err != nil {
			return err
		}
	}
	g.s.c.stats.Ops.Add(g.router.ops)
	g.router.ops = 0
	return nil
}

// control takes a control entry.
func (g *group) control(ctx context.Context, m stream.Received, c wire.Control) error {
	lsn := change.LSN(c.LSN)
	if lsn <= g.at.lsn {
		return nil
	}
	if g.unit.idle() && c.Kind != wire.ControlBarrier && lsn <= g.unit.snap.LSN {
		return nil // it was before the shape began
	}
	switch c.Kind {
	case wire.ControlReset:
		return &final{errors.New(c.Reason)}
	case wire.ControlRelation:
		if c.OID != g.table {
			return nil
		}
		rel, err := g.s.relations.Get(ctx, c.Relation)
		if err != nil {
			return err
		}
		return g.offer(ctx, rel, &change.Fragment{LSN: lsn, Relation: c.Relation})
	case wire.ControlBarrier:
		if g.unit != nil {
			g.unit.proof.take(c)
		}
		if g.unit != nil && c.Payload == g.unit.id {
			return g.closeUnit(ctx, m, c)
		}
		if g.nested && c.XID != 0 { // units end at no others
			return g.begin(ctx, reconcile.Txn{XID: change.XID(c.XID), LSN: lsn, First: g.feed.first(lsn)})
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
		return g.s.sets.wait(ctx, func() bool { return g.s.sets.scanned >= t.LSN })
	}
	for i, set := range g.sets {
		verdicts, err := g.s.sets.verdicts(ctx, set, t.LSN)
		if err != nil {
			return err
		}
		for _, v := range verdicts {
			if err := g.change(ctx, t, i, v); err != nil {
				return err
			}
		}
	}
	return g.s.sets.wait(ctx, func() bool { return g.s.sets.scanned >= t.LSN })
}

// change takes a verdict on the i-th set.
func (g *group) change(ctx context.Context, t reconcile.Txn, i int, v *wire.Verdict) error {
	if g.unit == nil {
		if reconcile.Shift(g.views[i], v.All()) {
			return nil
		}
		if err := g.openUnit(ctx, t); err != nil {
			return err
		}
	}
	g.unit.sets[i].Add(v.All())
	return nil
}

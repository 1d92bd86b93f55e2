package group

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// backlog processes what was deferred. When one of these opens a unit, that takes the others, sorts all by its
// snapshot, and goes on behind the last barrier. A chain, and what has parted from one, leaves all of them to units: what each of its stages has of
// a set would be hard to say while some of what was deferred is in one stage's logs and not yet in another's.
func (g *group) backlog(ctx context.Context) error {
	if g.chained() || slices.ContainsFunc(g.stages, func(st *stage) bool { return st.shared }) {
		if first, ok := reconcile.FirstDeferred(g.standings()); ok {
			return &needsUnitError{txn: first}
		}
	}
	for _, st := range g.stages {
		if err := st.backlog(ctx); err != nil {
			return g.endsOnly(st, err)
		}
	}
	return nil
}

func (st *stage) backlog(ctx context.Context) error {
	for len(st.Deferred) > 0 {
		t, rest := st.Deferred[0], st.Deferred[1:]
		st.setDeferred(rest)
		whole, err := st.again(ctx, t)
		if whole {
			st.span(t.LSN-1, st.At)
			st.advance(st.place(), rest)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// setDeferred says what the next commit markers defer.
func (st *stage) setDeferred(txns []reconcile.Txn) {
	deferred := wire.FormatDeferred(reconcile.LSNs(txns))
	for _, f := range st.members {
		f.Outer.Deferred = deferred
	}
}

// again reads one transaction that was deferred. whole says that all logs have it, but those of a lost partition: it stands behind
// whatever they had, so who has it must not be given it again.
func (st *stage) again(ctx context.Context, t reconcile.Txn) (whole bool, err error) {
	c := changelog.NewCursor(st.g.s.Changes, st.g.s.Recent)
	c.Begin(t.LSN-1, t.First)
	defer c.Close() //nolint:contextcheck // as in stream.Reader.Close
	st.Again()
	fd := changelog.NewFeed(st.g.s.Cfg.Source, st.g.s.Relations, &st.g.decoder)
	for done, waited := false, false; !done; {
		m, ok, err := c.Read(ctx)
		switch {
		case errors.Is(err, stream.ErrGap):
			return false, &live.FinalError{Err: errors.New(live.ReasonDiscarded)}
		case err != nil:
			return false, err
		case !ok && !waited: // the main loop began further behind
			waited = true
			if err := c.Wait(ctx, st.g.s.Cfg.Nudge, nil); err != nil {
				return false, err
			}
			continue
		case !ok:
			return false, fmt.Errorf("the transaction at %s, which was deferred, is not in the change log at message %d", t.LSN, t.First)
		}
		waited = false
		lsn, err := fd.Read(ctx, m,
			func(ctl wire.Control) error {
				if change.LSN(ctl.LSN) != t.LSN || ctl.Kind != wire.ControlBarrier {
					return nil
				}
				done = true
				return st.learn(ctx, reconcile.Txn{XID: change.XID(ctl.XID), LSN: t.LSN, First: fd.First(t.LSN)}, "")
			},
			func(rel *change.Relation, fr *change.Fragment) error {
				if fr.LSN != t.LSN {
					return nil
				}
				err := st.fragment(ctx, fd.First(fr.LSN), rel, fr)
				done = done || st.txn == 0
				return err
			})
		if e, ok := errors.AsType[*changelog.PoisonError](err); ok { // the transaction cannot be had whole
			return false, &live.FinalError{Err: errors.New(e.Reason())}
		}
		if err != nil {
			return false, err
		}
		if err := st.flush(ctx); err != nil {
			return done && shapelog.IsLost(err), err
		}
		if lsn > t.LSN && !done {
			return false, fmt.Errorf("the transaction at %s, which was deferred, is not whole in the change log", t.LSN)
		}
	}
	return true, nil
}

// message takes the next message of the change log for stages that read it together.
func (g *group) message(ctx context.Context, feed *changelog.Feed, m stream.Received, stages []*stage) error {
	inUnit := stages[0].Unit != nil // which the message may end
	if inUnit {
		if at, err := stream.LSN(m.Header); err == nil && g.unit.Proof.Lost(at) { // else the feed says so
			return g.unproven()
		}
	}
	lsn, err := feed.Read(ctx, m,
		func(c wire.Control) error {
			var regroup error // behind those whose members end the others come as far
			for _, st := range stages {
				switch err := st.control(ctx, feed, m, c); {
				case errors.Is(err, errRegroup):
					regroup = err
				case err != nil:
					return err
				}
			}
			return regroup
		},
		func(rel *change.Relation, fr *change.Fragment) error {
			for _, st := range stages {
				if fr.LSN <= st.At {
					continue
				}
				if err := st.fragment(ctx, feed.First(fr.LSN), rel, fr); err != nil {
					return err
				}
			}
			return nil
		})
	_, poison := errors.AsType[*changelog.PoisonError](err)
	if err != nil && !poison {
		return err
	}
	if poison {
		var failed error
		for _, st := range stages {
			if err := st.spare(err); err != nil {
				failed = g.endsOnly(st, err)
			}
		}
		if failed != nil {
			return failed
		}
	}
	for _, st := range stages {
		if err := st.flush(ctx); err != nil {
			return err
		}
		// What is told of a table may stand before the ops of a transaction: more of it follows.
		if !poison && !inUnit && st.txn == 0 && !feed.More && lsn >= st.At {
			st.advance(changelog.Place{LSN: lsn, Seq: m.Seq}, nil)
		}
	}
	return nil
}

// advance says that everything up to a place is in the logs, but what is deferred. So these have begun.
func (st *stage) advance(at changelog.Place, deferred []reconcile.Txn) {
	st.g.mu.Lock()
	st.stand(at, deferred)
	st.began = true
	st.g.mu.Unlock()
	st.tellPlace()
}

// tellPlace tells those who depend on members how far these are.
func (st *stage) tellPlace() {
	for _, f := range st.members {
		if f.Inner.Load() {
			st.g.s.Sets.Place(f.Handle, false, st.known())
		}
	}
}

// fragment takes a fragment of a transaction that the logs do not have. first is where the transaction begins.
func (st *stage) fragment(ctx context.Context, first uint64, rel *change.Relation, fr *change.Fragment) error {
	if st.txn != fr.LSN {
		if err := st.learn(ctx, reconcile.Txn{XID: fr.XID, LSN: fr.LSN, First: first}, fr.Trace); err != nil {
			return err
		}
		st.txn = fr.LSN
	}
	if st.Unit != nil {
		fr.Trace = st.g.unit.Trace // to readers a unit is one transaction
	}
	lsn, end := fr.LSN, fr.End // as they are in the change log
	if !st.Defers() && rel.OID == st.table && !st.idle() {
		st.relocate(fr)
		if err := st.offer(ctx, rel, fr); err != nil {
			return err
		}
	}
	if changelog.Completes(rel.OID, fr) {
		st.txn = 0
		st.Whole(lsn, end)
	}
	st.g.s.Cfg.Failpoint(failpoint.GroupFragment)
	return nil
}

// relocate gives what was deferred a place behind the last commit marker.
func (st *stage) relocate(fr *change.Fragment) {
	if fr.LSN > st.At {
		return
	}
	for i := range fr.Ops {
		fr.Ops[i].Index = st.Locate(fr.LSN, fr.Ops[i].Index).Op
	}
	if fr.Last {
		fr.End = st.Locate(fr.LSN, fr.End).Op
	}
	fr.LSN = st.At
}

// offer offers a fragment to the members.
func (st *stage) offer(ctx context.Context, rel *change.Relation, fr *change.Fragment) error {
	ended, err := st.router.Fragment(rel, fr, st.pendingBytes(), func() error { return st.flush(ctx) })
	return cmp.Or(st.lets(ended), err)
}

// lets has members end that cannot go on. It fails with errRegroup if there are any.
func (st *stage) lets(ended []*follow.Follower) error {
	if len(ended) == 0 {
		return nil
	}
	st.g.mu.Lock()
	for _, f := range ended {
		st.g.ending = append(st.g.ending, ending{f.ID, f.Ended, true})
	}
	st.g.mu.Unlock()
	st.gone = true
	return errRegroup
}

// pendingMost is the output that a group holds before it is appended. A group keeps nobody waiting: what it
// would gain by holding as much as the main loop is less than the memory, since there may be many groups.
const pendingMost = 512 << 10

func (st *stage) pendingBytes() int { return min(pendingMost, st.g.s.Cfg.PendingBytes) }

// flush appends what the members gathered: all of it, though the attempt ends meanwhile, or a partition is lost, which is the error then.
func (st *stage) flush(ctx context.Context) error {
	var lost error
	err := st.g.s.AppendGathered(context.WithoutCancel(ctx), st.router, func(err error) error {
		lost = cmp.Or(lost, err)
		return shapelog.IgnoreLost(err)
	})
	st.g.s.Stats.Ops.Add(st.router.TakeOps())
	return cmp.Or(err, lost)
}

// control takes a control entry.
func (st *stage) control(ctx context.Context, feed *changelog.Feed, m stream.Received, c wire.Control) error {
	lsn := change.LSN(c.LSN)
	if lsn <= st.At {
		return nil
	}
	if st.idle() && c.Kind != wire.ControlBarrier && lsn <= st.g.unit.Snapshot.LSN {
		return nil // it was before the shape began
	}
	switch c.Kind {
	case wire.ControlReset:
		return st.g.endsOnly(st, &live.FinalError{Err: errors.New(c.Reason)})
	case wire.ControlRelation:
		if c.OID != st.table {
			return nil
		}
		rel, err := st.g.s.Relations.Get(ctx, c.Relation)
		if errors.Is(err, registry.ErrUnreadable) {
			return st.g.endsOnly(st, &live.FinalError{Err: err})
		}
		if err != nil {
			return err
		}
		return st.offer(ctx, rel, &change.Fragment{LSN: lsn, Relation: c.Relation})
	case wire.ControlBarrier:
		if st.Unit != nil {
			st.g.unit.Proof.Take(c)
			if c.Payload == st.g.unit.ID {
				return st.closePart(ctx, m, c)
			}
		}
		if st.sets.Nested() && c.XID != 0 { // units end at no others
			return st.learn(ctx, reconcile.Txn{XID: change.XID(c.XID), LSN: lsn, First: feed.First(lsn)}, "")
		}
	}
	return nil
}

// learn finds out what a commit does to the sets before its ops are looked at: it waits for the verdicts, leaves the
// transaction deferred, or says that a unit has to begin with it.
func (st *stage) learn(ctx context.Context, t reconcile.Txn, trace string) error {
	if !st.Begin(t) {
		// What one that is deferred does to the sets is not known yet, and not asked.
		return st.g.s.Sets.AwaitScan(ctx, t.LSN)
	}
	brought, err := st.sets.Brought(ctx, t.LSN)
	if err != nil {
		return err
	}
	if st.Bring(t, brought) {
		return &needsUnitError{t, trace}
	}
	return st.g.s.Sets.AwaitScan(ctx, t.LSN)
}

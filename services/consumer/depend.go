package consumer

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/registry"
	"github.com/shapebus/shapebus/pkg/stream"
	"github.com/shapebus/shapebus/pkg/valueset"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
)

// The main loop's side of shapes with subqueries: they leave it when a commit
// may change a set that they depend on, and come back when their group has caught
// up. All of it runs on the main loop unless it says otherwise.

// watchSet makes a value set known. committed is where the inner shape's log
// stands if that is known already, as after a restart.
func (s *session) watchSet(ctx context.Context, q registry.Subquery, committed *change.Offset) {
	since := max(s.open.lsn, s.read.lsn)
	if committed != nil {
		since = committed.LSN
	} else if f := s.live[q.ID]; f != nil && f.handle == q.Handle {
		since = max(since, f.after)
	}
	if _, added := s.sets.set(q, since); !added {
		return
	}
	if !s.verdictsOf[q.Partition] {
		s.verdictsOf[q.Partition] = true
		s.group.Go(func() error { return s.readVerdicts(ctx, q.Partition) })
	}
	if f := s.live[q.ID]; f != nil && f.handle == q.Handle {
		f.inner.Store(true)
		s.sets.place(q.Handle, true, 0)
	} else if g := s.grouped[q.ID]; g != nil {
		g.mu.Lock()
		if f := g.members[q.ID]; f != nil && f.handle == q.Handle {
			f.inner.Store(true)
		}
		g.mu.Unlock()
	}
	if committed != nil {
		s.sets.settle(q.Handle, *committed)
		return
	}
	s.group.Go(func() error { return ignoreEnd(ctx, s.settle(ctx, q, since)) })
}

// settle finds the last commit marker of an inner shape's log that may be from
// before it was watched. Not on the main loop.
func (s *session) settle(ctx context.Context, q registry.Subquery, since change.LSN) error {
	gone := false
	err := s.sets.wait(ctx, func() bool {
		l := s.sets.inner[q.Handle]
		gone = l == nil
		return gone || l.reaches(since, s.sets.scanned)
	})
	if err != nil || gone {
		return err
	}
	if err := s.parts[q.Partition].out.Flush(ctx); err != nil {
		return err
	}
	tails, err := readTails(ctx, s.js, s.c.cfg.Source, []*registry.Shape{{Handle: q.Handle, Partition: q.Partition}})
	if err != nil {
		return err
	}
	s.sets.settle(q.Handle, tails[q.Handle].Committed)
	return nil
}

// missing says which inner shape of a record is not there, "" if all are.
func (s *session) missing(rec *registry.Shape) string {
	for _, q := range rec.Subqueries {
		if s.records[q.ID].handle != q.Handle || s.finished[q.Handle] {
			return reasonInner
		}
	}
	return ""
}

// reasonInner ends shapes whose inner shape has ended.
const reasonInner = "the shape that its subquery selects from has ended"

// dirty makes the shapes that depend on inner shapes whose logs have just
// changed leave the main loop, before they see any more of the transaction.
func (s *session) dirty(ctx context.Context) {
	queue := s.sets.takeFresh()
	if len(queue) == 0 {
		return
	}
	var leave []*follower
	seen := map[string]bool{}
	for len(queue) > 0 {
		handle := queue[0]
		queue = queue[1:]
		if seen[handle] {
			continue
		}
		seen[handle] = true
		for f := range s.dependents[handle] {
			if !slices.Contains(leave, f) {
				leave = append(leave, f)
				queue = append(queue, f.handle) // who depends on it waits for it
			}
		}
	}
	s.regroup(ctx, leave)
}

// regroup makes live shapes leave the main loop, in groups that share a table
// and a depth: an inner shape must not wait for the shapes that depend on it.
func (s *session) regroup(ctx context.Context, leave []*follower) {
	if len(leave) == 0 {
		return
	}
	type kind struct {
		table uint32
		depth int
	}
	groups := map[kind][]*follower{}
	for _, f := range leave {
		s.removeLive(f)
		k := kind{f.relation.OID, f.outer.depth}
		groups[k] = append(groups[k], f)
	}
	for _, members := range groups {
		g := s.newGroup(members, s.applied, nil)
		for i, set := range g.sets {
			g.since[i] = set.version
		}
		s.startGroup(ctx, g)
	}
}

// startGroup runs a group.
func (s *session) startGroup(ctx context.Context, g *group) {
	s.group.Go(func() error { return g.run(ctx) })
}

// addLive gives a shape to the main loop.
func (s *session) addLive(f *follower) {
	s.live[f.id] = f
	watched := s.sets.watched(f.handle)
	if watched && !f.inner.Load() && f.outer == nil {
		s.sets.begin(f.handle, f.after, f.tail.Committed) // its catching up was not noted
	}
	f.inner.Store(watched)
	if f.outer != nil {
		f.outer.look(func(name string) *valueset.View { return s.sets.get(name).main })
		for _, q := range f.outer.subqueries {
			if s.dependents[q.Handle] == nil {
				s.dependents[q.Handle] = map[*follower]bool{}
			}
			s.dependents[q.Handle][f] = true
		}
	}
	s.router.add(f)
	s.sets.place(f.handle, true, 0)
	s.c.stats.Live.Store(int64(len(s.live)))
}

// removeLive takes a shape from the main loop. Sets that no live shape
// depends on any more are not kept up to date there.
func (s *session) removeLive(f *follower) {
	s.router.remove(f)
	delete(s.live, f.id)
	s.c.stats.Live.Store(int64(len(s.live)))
	s.sets.place(f.handle, false, s.applied.lsn)
	if f.outer == nil {
		return
	}
	for _, q := range f.outer.subqueries {
		delete(s.dependents[q.Handle], f)
	}
	for _, q := range f.outer.subqueries {
		used := false
		for o := range s.dependents[q.Handle] {
			used = used || slices.ContainsFunc(o.outer.subqueries, func(p registry.Subquery) bool { return p.ValueSet() == q.ValueSet() })
		}
		if !used {
			s.sets.get(q.ValueSet()).main = nil
		}
		if len(s.dependents[q.Handle]) == 0 {
			delete(s.dependents, q.Handle)
		}
	}
}

// countParked keeps the figure of shapes that are not with the main loop.
func (s *session) countParked() {
	s.c.stats.Parked.Store(int64(len(s.parked) + len(s.grouped)))
}

// disband forgets a group without members.
func (s *session) disband(g *group) {
	delete(s.groups, g)
	s.countParked()
}

// join hands the members to the main loop if the group has come to its place
// and nothing is known that the sets' values wait for. Not on the main loop.
func (g *group) join(ctx context.Context) error {
	if g.unit != nil || g.txn.lsn != 0 {
		return nil
	}
	s := g.s
	return s.onMain(ctx, func(ctx context.Context) error {
		g.mu.Lock()
		blocked := len(g.ending) > 0
		g.mu.Unlock()
		if blocked || s.again != nil || s.open.lsn != 0 || s.read.seq >= g.cursor.next || !g.current() {
			return nil
		}
		if g.creating != nil && s.applied.lsn < g.creating.rec.SnapshotLSN {
			return nil
		}
		for i, set := range g.sets {
			if set.main == nil {
				set.arrive(g.views[i], g.since[i], g.touched[i])
			}
			s.sets.release(set)
		}
		g.views = nil
		members := make([]*follower, 0, len(g.members))
		g.mu.Lock()
		for _, f := range g.members {
			members = append(members, f)
			delete(s.grouped, f.id)
		}
		clear(g.members)
		g.mu.Unlock()
		s.disband(g)
		for _, f := range members {
			g.router.remove(f)
			f.after = s.applied.lsn
			s.addLive(f)
		}
		if g.creating == nil {
			return nil
		}
		return s.coverAndMarkLive(ctx, g.creating.rec)
	})
}

// coverAndMarkLive writes a checkpoint, and when that is stored says in a
// shape's record that it is live.
func (s *session) coverAndMarkLive(ctx context.Context, rec *registry.Shape) error {
	covered := make(chan struct{})
	s.group.Go(func() error {
		select {
		case <-covered:
			p := &parked{s: s, id: rec.ID, handle: rec.Handle, log: s.log.With(slog.String("shape", rec.Handle)), rec: rec}
			return ignoreEnd(ctx, p.markLive(ctx))
		case <-ctx.Done():
			return nil
		}
	})
	return s.checkpoint(ctx, func(partition int) {
		if partition == rec.Partition {
			close(covered)
		}
	})
}

// current reports whether every inner shape is with the main loop and no
// commit behind the group's place has changed one. Runs on the main loop.
func (g *group) current() bool {
	for _, set := range g.sets {
		if !g.s.sets.isLive(set) || g.s.sets.changesAfter(set, g.at.lsn) {
			return false
		}
	}
	return true
}

// idle waits at the main loop's place until there may be something to do.
func (g *group) idle(ctx context.Context) error {
	live := true
	for _, set := range g.sets {
		live = live && g.s.sets.isLive(set)
	}
	if !live {
		return g.s.sets.wait(ctx, func() bool {
			return g.s.sets.scanned > g.at.lsn || !slices.ContainsFunc(g.sets, func(set *valueSet) bool {
				l := g.s.sets.inner[set.from.Handle]
				return l == nil || !l.live
			})
		})
	}
	if !g.moved {
		g.moved = true // an idle database would leave the main loop where it is for ever
		if err := g.nudge(ctx); err != nil {
			return err
		}
	}
	return g.cursor.wait(ctx)
}

// nudge writes something into the change log.
func (g *group) nudge(ctx context.Context) error {
	return g.barrier(ctx, &unit{id: g.id})
}

// groupsAt lists the places of the groups for a checkpoint.
func (s *session) groupsAt() []wire.ParkedAt {
	var all []wire.ParkedAt
	for g := range s.groups {
		g.mu.Lock()
		if g.began {
			at := wire.ParkedAt{LSN: uint64(g.at.lsn)}
			lsns := make([]change.LSN, 0, len(g.aside))
			for _, t := range g.aside {
				lsns = append(lsns, t.LSN)
			}
			at.Aside = wire.FormatAside(lsns)
			for _, f := range g.members {
				at.Handles = append(at.Handles, f.handle)
			}
			slices.Sort(at.Handles)
			all = append(all, at)
		}
		g.mu.Unlock()
	}
	slices.SortFunc(all, func(a, b wire.ParkedAt) int { return strings.Compare(fmt.Sprint(a.Handles), fmt.Sprint(b.Handles)) })
	return all
}

// floorOf is where a group starts to read the change log.
func (g *group) floorOf() place {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.aside) > 0 {
		return place{g.aside[0].LSN, g.aside[0].First}
	}
	return place{g.at.lsn + 1, g.at.seq + 1}
}

// recovered is an outer shape and where its log stands after a restart.
type recovered struct {
	f     *follower
	rec   *registry.Shape
	at    change.LSN
	aside string
}

// placeOf finds where an outer shape's log stands: by its last commit marker,
// or by a checkpoint that says more. ok is false when nothing tells.
func placeOf(rec *registry.Shape, live bool, tail wire.Tail, cp wire.Checkpoint) (at change.LSN, aside string, ok bool) {
	at, aside, ok = tail.Committed.LSN, tail.Aside, tail.Committed.LSN != 0
	for _, p := range cp.Parked {
		if slices.Contains(p.Handles, rec.Handle) {
			if change.LSN(p.LSN) > at || change.LSN(p.LSN) == at && len(p.Aside) < len(aside) {
				at, aside, ok = change.LSN(p.LSN), p.Aside, true
			}
			return at, aside, ok
		}
	}
	if live && change.LSN(cp.LSN) >= at {
		at, aside, ok = change.LSN(cp.LSN), "", true
	}
	return at, aside, ok
}

// resume puts outer shapes that stand at the same place in groups. They join
// the main loop once that has passed what it has to read again.
func (s *session) resume(ctx context.Context, all []recovered) error {
	type kind struct {
		at    change.LSN
		aside string
		table uint32
		depth int
		id    string // of a shape that is being created: it is alone
	}
	groups := map[kind][]recovered{}
	for _, r := range all {
		if reason := s.missing(r.rec); reason != "" { // its inner shape ended just now
			if err := s.endFollower(ctx, r.f, reason, true); err != nil {
				return err
			}
			continue
		}
		k := kind{r.at, r.aside, r.f.relation.OID, r.f.outer.depth, ""}
		if r.rec.State == control.StateCreating {
			k.id = r.f.id
		}
		groups[k] = append(groups[k], r)
	}
	for k, members := range groups {
		lsns, err := wire.ParseAside(k.aside)
		if err != nil {
			return err
		}
		seq, err := stream.Seek(ctx, s.changes, k.at+1, 0)
		if err != nil {
			return err
		}
		var aside []reconcile.Txn
		for _, lsn := range lsns {
			first, err := stream.Seek(ctx, s.changes, lsn, 0)
			if err != nil {
				return err
			}
			aside = append(aside, reconcile.Txn{LSN: lsn, First: first})
		}
		followers := make([]*follower, 0, len(members))
		for _, m := range members {
			followers = append(followers, m.f)
		}
		g := s.newGroup(followers, place{k.at, seq - 1}, aside)
		if rec := members[0].rec; k.id != "" {
			g.creating = &creation{rec: rec, f: members[0].f}
		}
		s.startGroup(ctx, g)
	}
	return nil
}

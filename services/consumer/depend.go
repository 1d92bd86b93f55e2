package consumer

import (
	"context"
	"slices"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/registry"
	"github.com/shapebus/shapebus/pkg/valueset"
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
	for {
		err := s.parts[q.Partition].life.Load().flush(ctx)
		if err == nil {
			break
		}
		if !isLost(err) {
			return err
		}
		waitFor(ctx, lastLook) // the partition may come back
		if ctx.Err() != nil {
			return nil
		}
	}
	tail, err := readTail(ctx, s.js, s.c.cfg.Source, q.Partition, q.Handle)
	if err != nil {
		return err
	}
	s.sets.settle(q.Handle, tail.Committed)
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

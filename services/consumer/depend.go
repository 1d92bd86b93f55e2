package consumer

import (
	"context"
	"time"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// The main loop's side of shapes with subqueries: they leave it when a commit
// may change a set that they depend on, and come back when their group has caught
// up. All of it runs on the main loop unless it says otherwise.

// watchSet makes a value set known, and has the commit markers of its inner shape
// noted. committed is the last one so far if the shape does not run yet, as
// after a restart.
func (s *mainLoop) watchSet(ctx context.Context, q registry.Subquery, committed *change.Offset) {
	following := s.verdictsOf[q.Partition]
	if following == nil {
		following = make(chan struct{})
		s.verdictsOf[q.Partition] = following
		s.tasks.Go(func() error { return service.IgnoreEnd(ctx, s.sets.ReadVerdicts(ctx, q.Partition, following)) })
	}
	if _, added := s.sets.Add(q, following); !added {
		return
	}
	if committed != nil {
		s.sets.Anchor(q.Handle, *committed)
		return
	}
	if f := s.live[q.ID]; f != nil && f.Handle == q.Handle {
		f.Inner.Store(true)
		s.sets.Anchor(q.Handle, f.Tail.Committed)
		s.sets.Place(q.Handle, true, 0)
		return
	}
	if o := s.elsewhere[q.ID]; o != nil && o.Watch(q.ID, q.Handle) { // else addLive does it, or whoever takes it
		since := max(s.open, s.read.LSN)
		s.tasks.Go(func() error { return service.IgnoreEnd(ctx, s.anchor(ctx, q, since)) })
	}
}

// anchor finds the last commit marker of the log of a group's member that may not
// have been noted: when the group is at since, what it had gathered before is appended. Not
// on the main loop.
func (s *mainLoop) anchor(ctx context.Context, q registry.Subquery, since change.LSN) error {
	gone, err := s.sets.AwaitLog(ctx, q.Handle, since)
	if err != nil || gone {
		return err
	}
	for {
		err := s.parts[q.Partition].writer.Load().Flush(ctx)
		if err == nil {
			break
		}
		if !shapelog.IsLost(err) {
			return err
		}
		service.WaitFor(ctx, partitionPause) // the partition may come back
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	tail, err := shapelog.ReadTail(ctx, s.js, s.cfg.Source, q.Partition, q.Handle)
	if err != nil {
		return err
	}
	s.sets.Anchor(q.Handle, tail.Committed)
	return nil
}

// partitionPause is the pause before the next look whether a partition is back.
const partitionPause = 100 * time.Millisecond

// missing says which inner shape of a record is not there, "" if all are.
func (s *mainLoop) missing(rec *registry.Shape) string {
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
func (s *mainLoop) dirty(ctx context.Context) {
	if fresh := s.sets.TakeFresh(); len(fresh) > 0 {
		s.above.Leave(ctx, s.downstream(fresh))
	}
}

// downstream are the live shapes that depend on inner ones, at any depth, each once.
func (s *mainLoop) downstream(inner []string) []*follow.Follower {
	var all []*follow.Follower
	taken, seen := map[*follow.Follower]bool{}, map[string]bool{}
	for queue := inner; len(queue) > 0; queue = queue[1:] {
		handle := queue[0]
		if seen[handle] {
			continue
		}
		seen[handle] = true
		for f := range s.dependents[handle] {
			if !taken[f] {
				taken[f] = true
				all = append(all, f)
				queue = append(queue, f.Handle) // who depends on it waits for it
			}
		}
	}
	return all
}

// noteMarkers has the commit markers of a shape noted from now on if others depend
// on it. It must not run: what it wrote so far is anchored.
func (s *mainLoop) noteMarkers(f *follow.Follower) {
	watched := s.sets.Watched(f.Handle)
	if before := f.Inner.Swap(watched); watched && !before {
		s.sets.Anchor(f.Handle, f.Tail.Committed)
	}
}

// addLive gives a shape to the main loop.
func (s *mainLoop) addLive(f *follow.Follower) {
	s.live[f.ID] = f
	s.noteMarkers(f)
	if f.Outer != nil {
		f.Outer.Look(s.liveSets.view)
		for _, q := range f.Outer.Subqueries {
			if s.dependents[q.Handle] == nil {
				s.dependents[q.Handle] = map[*follow.Follower]bool{}
			}
			s.dependents[q.Handle][f] = true
			s.liveSets.of(q.ValueSet()).selectors++
		}
	}
	s.router.Add(f)
	s.sets.Place(f.Handle, true, f.After)
	s.stats.Live.Store(int64(len(s.live)))
}

// removeLive takes a shape from the main loop, and reports whether it was there. Sets that no
// live shape selects by any more are not kept up to date there. The cost does not follow the
// number of shapes: thousands may leave with one commit.
func (s *mainLoop) removeLive(f *follow.Follower) bool {
	if s.live[f.ID] != f {
		return false
	}
	s.router.Remove(f)
	delete(s.live, f.ID)
	s.stats.Live.Store(int64(len(s.live)))
	s.sets.Place(f.Handle, false, s.applied.LSN)
	if f.Outer == nil {
		return true
	}
	for _, q := range f.Outer.Subqueries {
		if delete(s.dependents[q.Handle], f); len(s.dependents[q.Handle]) == 0 {
			delete(s.dependents, q.Handle)
		}
		s.liveSets.leave(q.ValueSet())
	}
	return true
}

// countParked keeps the figure of shapes that are not with the main loop.
func (s *mainLoop) countParked() {
	s.stats.Parked.Store(int64(len(s.elsewhere)))
}

package live

import (
	"context"
	"errors"
	"time"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// The main loop's side of shapes with subqueries: they leave it when a commit
// may change a set that they depend on, and come back when their group has caught
// up. All of it runs on the main loop unless it says otherwise.

// WatchSet makes a value set known, and has the commit markers of its inner shape
// noted. committed is the last one so far if the shape does not run yet, as
// after a restart.
func (s *Loop) WatchSet(ctx context.Context, q registry.Subquery, committed *change.Offset) {
	following := s.verdictsOf[q.Partition]
	if following == nil {
		following = make(chan struct{})
		s.verdictsOf[q.Partition] = following
		s.Tasks.Go(func() error { return service.IgnoreEnd(ctx, s.Sets.ReadVerdicts(ctx, q.Partition, following)) })
	}
	if _, added := s.Sets.Add(q, following); !added {
		return
	}
	if committed != nil {
		s.Sets.Anchor(q.Handle, *committed)
		return
	}
	if f := s.Live[q.ID]; f != nil && f.Handle == q.Handle {
		f.Inner.Store(true)
		s.Sets.Anchor(q.Handle, f.Tail.Committed)
		s.Sets.Place(q.Handle, true, 0)
		return
	}
	if !s.Parts[q.Partition].Mine() {
		s.Shadow(ctx, q)
		return
	}
	if o := s.elsewhere[q.ID]; o != nil && o.Watch(q.ID, q.Handle) { // else addLive does it, or whoever takes it
		since := max(s.Open, s.Read.LSN)
		s.Tasks.Go(func() error { return service.IgnoreEnd(ctx, s.anchor(ctx, q, since)) })
	}
}

// anchor finds the last commit marker of the log of a group's member that may not
// have been noted: when the group is at since, what it had gathered before is appended. Not
// on the main loop.
func (s *Loop) anchor(ctx context.Context, q registry.Subquery, since change.LSN) error {
	gone, err := s.Sets.AwaitLog(ctx, q.Handle, since)
	if err != nil || gone {
		return err
	}
	for {
		err := s.Parts[q.Partition].Writer.Load().Flush(ctx)
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
	tail, err := shapelog.ReadTail(ctx, s.JS, s.Cfg.Source, q.Partition, q.Handle)
	if err != nil {
		return err
	}
	s.Sets.Anchor(q.Handle, tail.Committed)
	return nil
}

// partitionPause is the pause before the next look whether a partition is back.
const partitionPause = 100 * time.Millisecond

// Missing says which inner shape of a record is not there, "" if all are. Runs on the main loop, which may not have been told of
// an inner shape yet: records of a partition that is taken over are read by themselves, and may be newer than what it knows.
func (s *Loop) Missing(ctx context.Context, rec *registry.Shape) (string, error) {
	for _, q := range rec.Subqueries {
		if s.Finished[q.Handle] {
			return reasonInner, nil
		}
		if q.Unit && q.Partition != rec.Partition { // whoever holds one of the two could not follow the other
			return reasonApart, nil
		}
		if s.Records[q.ID].Handle == q.Handle {
			continue
		}
		inner, err := s.Shapes.Get(ctx, q.ID)
		switch {
		case errors.Is(err, registry.ErrNotFound), errors.Is(err, registry.ErrUnreadable), err == nil && (inner.Handle != q.Handle || inner.State == control.StateEnded):
			return reasonInner, nil
		case err != nil:
			return "", err
		}
	}
	return "", nil
}

// reasonApart ends shapes that older versions made.
const reasonApart = "the shape that its subquery selects from has subqueries itself and is in another partition, as an older version made it; create it again"

// reasonInner ends shapes whose inner shape has ended.
const reasonInner = "the shape that its subquery selects from has ended"

// dirty makes the shapes that depend on inner shapes whose logs have just
// changed leave the main loop, before they see any more of the transaction.
func (s *Loop) dirty(ctx context.Context) {
	if fresh := s.Sets.TakeFresh(); len(fresh) > 0 {
		s.Above.Leave(ctx, s.Downstream(fresh))
	}
}

// Downstream are the live shapes that depend on inner ones, at any depth, each once.
func (s *Loop) Downstream(inner []string) []*follow.Follower {
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

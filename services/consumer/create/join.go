package create

import (
	"context"
	"errors"
	"slices"

	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/services/consumer/changelog"
)

// join hands the members to the main loop, if they are past what their
// snapshots hold and the main loop has not gone too far beyond. If they are
// further, they wait for the main loop to come: a checkpoint that covers a
// shape must cover all that its snapshot held.
func (q *CatchUp) join(ctx context.Context, at changelog.Place) (joined bool, err error) {
	s := q.s
	if !s.Recent.Holds(at.Seq + 1) {
		return false, nil // far from the main loop, which is not asked for each message on the way
	}
	for _, p := range q.Members {
		if p.f.Held != nil {
			return false, nil
		}
	}
	for {
		if err := q.sweep(ctx); err != nil || len(q.Members) == 0 {
			return true, err
		}
		var wait <-chan struct{}
		err := s.OnMain(ctx, func(ctx context.Context) error {
			if !q.whole() {
				return nil
			}
			if wait = s.Recent.Wait(at.Seq, 0); wait != nil {
				return nil
			}
			if s.Again != nil { // the main loop does not know yet what the shapes would be part of
				return nil
			}
			for _, p := range q.Members {
				if s.Applied.LSN < p.holds() { // inside the first transaction after the snapshot
					return nil
				}
			}
			var err error
			joined, err = s.meet(ctx, q, at)
			return err
		})
		if wait == nil || err != nil {
			return joined, err
		}
		if err := q.await(ctx, wait); err != nil {
			return false, err
		}
	}
}

// joinNear joins without a reader, which costs a hundred shapes, if the main
// loop still holds all that the members have to read once it has passed their
// snapshot. Where it does not, what they have read of it they pass over when they read it again.
func (q *CatchUp) joinNear(ctx context.Context) (joined bool, err error) {
	s, first := q.s, q.Members[0].rec
	for {
		if err := q.sweep(ctx); err != nil || len(q.Members) == 0 {
			return true, err
		}
		var wait <-chan struct{}
		err := s.OnMain(ctx, func(ctx context.Context) error {
			if !s.Recent.Holds(first.StartSeq) || s.Again != nil {
				return nil
			}
			if !q.whole() {
				return nil
			}
			if s.Applied.LSN < first.SnapshotLSN {
				wait = s.Recent.Wait(0, first.SnapshotLSN)
				return nil
			}
			var err error
			joined, err = s.meet(ctx, q, changelog.Place{LSN: first.StartLSN, Seq: first.StartSeq - 1})
			return err
		})
		if wait == nil || err != nil {
			return joined, err
		}
		if err := q.await(ctx, wait); err != nil {
			return false, err
		}
	}
}

// await waits until the main loop has come there, or until a member is stopped, which then does not wait for it.
func (q *CatchUp) await(ctx context.Context, arrived <-chan struct{}) error {
	all, cancel := whileAll(ctx, q.Members)
	defer cancel()
	select {
	case <-arrived:
	case <-all.Done():
	}
	return context.Cause(ctx)
}

// meet brings parked shapes from where they are to where the main loop is, and
// makes them live. Runs on the main loop.
func (s *Creator) meet(ctx context.Context, q *CatchUp, at changelog.Place) (bool, error) {
	messages, ok := s.Recent.From(at.Seq+1, nil)
	if !ok {
		return false, nil
	}
	for _, m := range messages {
		if _, err := q.replay(ctx, m); err != nil {
			return false, err
		}
		if slices.ContainsFunc(q.Members, func(p *Parked) bool { return p.f.Ended != "" }) {
			return false, nil
		}
	}
	if slices.ContainsFunc(q.Members, func(p *Parked) bool { return p.f.Held != nil }) {
		return false, nil // what is held here begins behind their snapshot
	}
	covered := make([][]*Parked, len(s.Parts))
	for _, p := range q.Members {
		q.router.Remove(p.f)
		p.f.After = max(p.f.After, s.Applied.LSN) // it may be further: another process wrote it before
		s.LetGo(p.ID, p)
		s.AddLive(p.f)
		if p.behind {
			p.cancel(nil)
		} else {
			covered[p.partition] = append(covered[p.partition], p)
		}
	}
	if q.back != nil {
		if err := q.back(ctx); err != nil {
			return true, err
		}
	}
	stored := make([]chan struct{}, len(s.Parts))
	for n, members := range covered {
		stored[n] = make(chan struct{})
		if len(members) == 0 {
			continue
		}
		s.Tasks.Go(func() error {
			select {
			case <-stored[n]:
				return service.IgnoreEnd(ctx, markAll(ctx, members))
			case <-members[0].writer.Done(): // whoever takes the shapes in again marks them
				return nil
			case <-ctx.Done():
				return nil
			}
		})
	}
	return true, s.Checkpoint(ctx, func(partition int) { close(stored[partition]) })
}

// markAll says in the members' records that a checkpoint covers them.
func markAll(ctx context.Context, members []*Parked) error {
	var failed error
	for _, p := range members {
		failed = errors.Join(failed, p.markLive(ctx))
		p.cancel(nil)
	}
	return failed
}

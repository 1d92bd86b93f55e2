package consumer

import (
	"context"

	"github.com/shapebus/shapebus/services/consumer/follow"
)

// join hands the members to the main loop if the group has come to its place
// and nothing is known that the sets' values wait for. Not on the main loop.
func (g *group) join(ctx context.Context) error {
	if g.unit != nil || g.txn != 0 {
		return nil
	}
	s := g.s
	return s.onMain(ctx, func(ctx context.Context) error {
		g.mu.Lock()
		blocked := len(g.ending) > 0 || g.hasLost()
		g.mu.Unlock()
		if blocked || s.again != nil || s.open != 0 || s.read.Seq >= g.cursor.Next || !g.current() {
			return nil
		}
		if g.creating != nil && s.applied.LSN < g.creating.rec.SnapshotLSN {
			return nil
		}
		for i, set := range g.sets {
			if live := s.liveSets.of(set.Name()); live.main == nil {
				live.arrive(g.views[i], g.since[i], g.touched[i])
			}
			s.sets.Release(set)
		}
		g.views = nil
		g.handOver()
		if g.creating == nil {
			return nil
		}
		return s.coverAndMarkLive(ctx, g.creating.rec)
	})
}

// handOver gives all members to the main loop, whose place is theirs. Runs there.
func (g *group) handOver() {
	s := g.s
	members := make([]*follow.Follower, 0, len(g.members))
	g.mu.Lock()
	for _, f := range g.members {
		members = append(members, f)
		delete(s.elsewhere, f.ID)
	}
	clear(g.members)
	g.listed = nil
	g.mu.Unlock()
	s.disband(g)
	for _, f := range members {
		f.Detach()
		f.After = s.applied.LSN
		s.addLive(f)
	}
}

// current reports whether every inner shape is with the main loop and no
// commit behind the group's place has changed one. Runs on the main loop.
func (g *group) current() bool {
	for _, set := range g.sets {
		if !g.s.sets.IsLive(set) || g.s.sets.Behind(set, g.at.LSN) {
			return false
		}
	}
	return true
}

// idle waits at the main loop's place until there may be something to do.
func (g *group) idle(ctx context.Context) error {
	if g.unit != nil { // its barrier comes, whatever the sets are at
		return g.cursor.Wait(ctx, g.s.cfg.Nudge, func() { g.s.nudge(ctx, g.unit.id) })
	}
	live := true
	for _, set := range g.sets {
		live = live && g.s.sets.IsLive(set)
	}
	if !live {
		return g.s.sets.AwaitLive(ctx, g.sets, g.at.LSN)
	}
	if !g.moved {
		g.moved = true // an idle database would leave the main loop where it is for ever
		if err := g.s.barrier(ctx, g.id); err != nil {
			return err
		}
	}
	return g.cursor.Wait(ctx, g.s.cfg.Nudge, nil)
}

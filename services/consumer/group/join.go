package group

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
	return s.OnMain(ctx, func(ctx context.Context) error {
		g.mu.Lock()
		blocked := len(g.ending) > 0 || g.hasLost()
		g.mu.Unlock()
		if blocked || s.Again != nil || s.Open != 0 || s.Read.Seq >= g.cursor.Next || !g.current() {
			return nil
		}
		if g.creating != nil && s.Applied.LSN < g.creating.rec.SnapshotLSN {
			return nil
		}
		for i, set := range g.sets {
			if live := s.Selections.Of(set.Name()); live.Main == nil {
				live.Arrive(g.views[i], g.since[i], g.touched[i])
			}
			s.Sets.Release(set)
		}
		g.views = nil
		g.handOver()
		if g.creating == nil {
			return nil
		}
		return s.CoverAndMarkLive(ctx, g.creating.rec)
	})
}

// handOver gives all members to the main loop, whose place is theirs. Runs there.
func (g *group) handOver() {
	s := g.s
	members := make([]*follow.Follower, 0, len(g.members))
	g.mu.Lock()
	for _, f := range g.members {
		members = append(members, f)
		s.LetGo(f.ID, g)
	}
	clear(g.members)
	g.listed = nil
	g.mu.Unlock()
	s.disband(g)
	for _, f := range members {
		f.Detach()
		f.After = s.Applied.LSN
		s.AddLive(f)
	}
}

// current reports whether every inner shape is with the main loop and no
// commit behind the group's place has changed one. Runs on the main loop.
func (g *group) current() bool {
	for _, set := range g.sets {
		if !g.s.Sets.IsLive(set) || g.s.Sets.Behind(set, g.at.LSN) {
			return false
		}
	}
	return true
}

// idle waits at the main loop's place until there may be something to do.
func (g *group) idle(ctx context.Context) error {
	if g.unit != nil { // its barrier comes, whatever the sets are at
		return g.cursor.Wait(ctx, g.s.Cfg.Nudge, func() { g.s.Nudge(ctx, g.unit.id) })
	}
	live := true
	for _, set := range g.sets {
		live = live && g.s.Sets.IsLive(set)
	}
	if !live {
		return g.s.Sets.AwaitLive(ctx, g.sets, g.at.LSN)
	}
	if !g.moved {
		g.moved = true // an idle database would leave the main loop where it is for ever
		if err := g.s.Barrier(ctx, g.id); err != nil {
			return err
		}
	}
	return g.cursor.Wait(ctx, g.s.Cfg.Nudge, nil)
}

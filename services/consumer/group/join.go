package group

import (
	"context"

	"github.com/shapebus/shapebus/services/consumer/follow"
)

// join hands the members to the main loop if all stages have come to its place
// and nothing is known that the sets' values wait for. Not on the main loop.
func (g *group) join(ctx context.Context) error {
	for _, st := range g.stages {
		if st.txn != 0 {
			return nil
		}
	}
	s := g.s
	return s.OnMain(ctx, func(ctx context.Context) error {
		g.mu.Lock()
		blocked := len(g.ending) > 0 || g.into != nil || g.hasLost()
		g.mu.Unlock()
		if blocked || s.Again != nil || s.Open != 0 {
			return nil
		}
		var begun []*creation
		for _, st := range g.stages {
			if s.Read.Seq >= st.cursor.Next || !st.sets.Current(st.At) {
				return nil
			}
			for _, c := range st.creating {
				if s.Applied.LSN < c.rec.SnapshotLSN {
					return nil
				}
				begun = append(begun, c)
			}
		}
		for _, st := range g.stages {
			st.arrive()
		}
		g.handOver() //nolint:contextcheck // as in stream.Reader.Close
		for _, c := range begun {
			if err := s.CoverAndMarkLive(ctx, c.rec); err != nil {
				return err
			}
		}
		return nil
	})
}

// arrive gives the views to the main loop. Runs there.
func (st *stage) arrive() {
	s := st.g.s
	for i, set := range st.sets.All {
		if live := s.Selections.Of(set.Name()); live.Main == nil {
			live.Arrive(st.Views[i], st.sets.Touched[i])
		}
		s.Sets.Release(set)
	}
	st.Views = nil
}

// handOver gives all members to the main loop, whose place is theirs. Runs there.
func (g *group) handOver() {
	s := g.s
	var members []*follow.Follower
	g.mu.Lock()
	for f := range g.each() {
		members = append(members, f)
		s.LetGo(f.ID, g)
	}
	for _, st := range g.stages {
		st.cursor.Close()
	}
	g.stages = nil
	g.mu.Unlock()
	s.disband(g)
	for _, f := range members {
		f.Detach()
		f.After = s.Applied.LSN
		s.AddLive(f)
	}
}

// idle waits at the main loop's place until there may be something to do.
func (g *group) idle(ctx context.Context) error {
	for _, st := range g.stages {
		if others, live := st.sets.Others(); !live {
			return g.s.Sets.AwaitLive(ctx, others, st.At)
		}
	}
	if !g.moved {
		g.moved = true // an idle database would leave the main loop where it is for ever
		if err := g.s.Barrier(ctx, g.id); err != nil {
			return err
		}
	}
	return g.stages[0].cursor.Wait(ctx, g.s.Cfg.Nudge, nil)
}

package group

import (
	"context"
	"maps"
	"slices"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
)

// Leave makes live shapes leave the main loop, in groups.
func (s *Groups) Leave(ctx context.Context, leave []*follow.Follower) {
	for _, g := range s.gather(leave) {
		s.startGroup(ctx, g)
	}
}

// gather takes live shapes from the main loop and makes groups of them: of each chain with one of them, whole, and of the
// others that share a table and a depth. The groups do not run yet.
// Thousands of shapes may leave with one commit, so the cost must follow their number.
func (s *Groups) gather(leave []*follow.Follower) []*group {
	type kind struct {
		table uint32
		depth int
		chain string // one of its shapes; "" for shapes that are in none
	}
	kinds := map[kind][]*follow.Follower{}
	chained := map[string]bool{}
	take := func(f *follow.Follower, chain string) {
		if s.RemoveLive(f) {
			k := kind{f.Relation.OID, f.Outer.Depth, chain}
			kinds[k] = append(kinds[k], f)
		}
	}
	for _, f := range leave {
		if chained[f.ID] {
			continue
		}
		chain := s.chain(f.ID)
		if len(chain) == 1 {
			take(f, "")
			continue
		}
		for id := range chain {
			chained[id] = true
			if member := s.Live[id]; member != nil {
				take(member, f.ID)
			}
		}
	}
	var groups []*group
	of := map[string]*group{} // by chain
	for k, members := range kinds {
		g := of[k.chain]
		if k.chain == "" || g == nil {
			g = s.newGroup()
			groups = append(groups, g)
		}
		if k.chain != "" {
			of[k.chain] = g
		}
		st := g.addStage(members, s.Applied, nil)
		for i, set := range st.sets.All {
			st.sets.Touched[i] = s.Selections.Of(set.Name()).Leave()
		}
	}
	return groups
}

// startGroup runs a group.
func (s *Groups) startGroup(ctx context.Context, g *group) {
	s.Tasks.Go(func() error { return g.run(ctx) })
}

// disband forgets a group without members. Whoever waits for them looks again. Runs on the main loop.
func (s *Groups) disband(g *group) {
	delete(s.All, g)
	if g.into != nil {
		g.into.look()
	}
}

// GoOn runs a group of shapes that stand at a place.
func (s *Groups) GoOn(ctx context.Context, members []*follow.Follower, at changelog.Place, deferred []reconcile.Txn) {
	g := s.newGroup()
	g.addStage(members, at, deferred)
	s.startGroup(ctx, g)
}

// GoOnCreating goes on with the creation of a shape whose log has its beginning.
func (s *Groups) GoOnCreating(ctx context.Context, rec *registry.Shape, f *follow.Follower, at changelog.Place, deferred []reconcile.Txn) {
	g := s.newGroup()
	g.addStage([]*follow.Follower{f}, at, deferred).creating[rec.ID] = &creation{rec: rec, f: f}
	s.startGroup(ctx, g)
}

// Members are the shapes in groups by the oids of their tables, or those of one table unless it is 0.
func (s *Groups) Members(only uint32) map[uint32][]*follow.Follower {
	all := map[uint32][]*follow.Follower{}
	for g := range s.All {
		g.mu.Lock()
		for st := range g.all() {
			if only == 0 || st.table == only {
				all[st.table] = slices.AppendSeq(all[st.table], maps.Values(st.members))
			}
		}
		g.mu.Unlock()
	}
	return all
}

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

// gather takes live shapes from the main loop and makes groups of those that share a table and a
// depth: an inner shape must not wait for the shapes that depend on it. The groups do not run yet.
// Thousands of shapes may leave with one commit, so the cost must follow their number.
func (s *Groups) gather(leave []*follow.Follower) []*group {
	type kind struct {
		table uint32
		depth int
	}
	kinds := map[kind][]*follow.Follower{}
	for _, f := range leave {
		s.RemoveLive(f)
		k := kind{f.Relation.OID, f.Outer.Depth}
		kinds[k] = append(kinds[k], f)
	}
	groups := make([]*group, 0, len(kinds))
	for _, members := range kinds {
		g := s.newGroup(members, s.Applied, nil)
		for i, set := range g.sets {
			g.since[i] = s.Selections.Of(set.Name()).Version
		}
		groups = append(groups, g)
	}
	return groups
}

// startGroup runs a group.
func (s *Groups) startGroup(ctx context.Context, g *group) {
	s.Tasks.Go(func() error { return g.run(ctx) })
}

// disband forgets a group without members.
func (s *Groups) disband(g *group) { delete(s.All, g) }

// GoOn runs a group of shapes that stand at a place.
func (s *Groups) GoOn(ctx context.Context, members []*follow.Follower, at changelog.Place, aside []reconcile.Txn) {
	s.startGroup(ctx, s.newGroup(members, at, aside))
}

// GoOnCreating goes on with the creation of a shape whose log has its beginning.
func (s *Groups) GoOnCreating(ctx context.Context, rec *registry.Shape, f *follow.Follower, at changelog.Place, aside []reconcile.Txn) {
	g := s.newGroup([]*follow.Follower{f}, at, aside)
	g.creating = &creation{rec: rec, f: f}
	s.startGroup(ctx, g)
}

// Members are the shapes in groups by the oids of their tables, or those of one table unless it is 0.
func (s *Groups) Members(only uint32) map[uint32][]*follow.Follower {
	all := map[uint32][]*follow.Follower{}
	for g := range s.All {
		if only != 0 && g.table != only {
			continue
		}
		g.mu.Lock()
		all[g.table] = slices.AppendSeq(all[g.table], maps.Values(g.members))
		g.mu.Unlock()
	}
	return all
}

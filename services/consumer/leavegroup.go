package consumer

import (
	"context"
	"maps"
	"slices"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
)

// leave makes live shapes leave the main loop, in groups.
func (s *groupSet) leave(ctx context.Context, leave []*follow.Follower) {
	for _, g := range s.gather(leave) {
		s.startGroup(ctx, g)
	}
}

// gather takes live shapes from the main loop and makes groups of those that share a table and a
// depth: an inner shape must not wait for the shapes that depend on it. The groups do not run yet.
// Thousands of shapes may leave with one commit, so the cost must follow their number.
func (s *groupSet) gather(leave []*follow.Follower) []*group {
	type kind struct {
		table uint32
		depth int
	}
	kinds := map[kind][]*follow.Follower{}
	for _, f := range leave {
		s.removeLive(f)
		k := kind{f.Relation.OID, f.Outer.Depth}
		kinds[k] = append(kinds[k], f)
	}
	groups := make([]*group, 0, len(kinds))
	for _, members := range kinds {
		g := s.newGroup(members, s.applied, nil)
		for i, set := range g.sets {
			g.since[i] = s.liveSets.of(set.Name()).version
		}
		groups = append(groups, g)
	}
	return groups
}

// startGroup runs a group.
func (s *groupSet) startGroup(ctx context.Context, g *group) {
	s.tasks.Go(func() error { return g.run(ctx) })
}

// disband forgets a group without members.
func (s *groupSet) disband(g *group) {
	delete(s.all, g)
	s.countParked()
}

// goOn runs a group of shapes that stand at a place.
func (s *groupSet) goOn(ctx context.Context, members []*follow.Follower, at changelog.Place, aside []reconcile.Txn) {
	s.startGroup(ctx, s.newGroup(members, at, aside))
}

// goOnCreating goes on with the creation of a shape whose log has its beginning.
func (s *groupSet) goOnCreating(ctx context.Context, rec *registry.Shape, f *follow.Follower, at changelog.Place, aside []reconcile.Txn) {
	g := s.newGroup([]*follow.Follower{f}, at, aside)
	g.creating = &creation{rec: rec, f: f}
	s.startGroup(ctx, g)
}

// members are the shapes in groups by the oids of their tables, or those of one table unless it is 0.
func (s *groupSet) members(only uint32) map[uint32][]*follow.Follower {
	all := map[uint32][]*follow.Follower{}
	for g := range s.all {
		if only != 0 && g.table != only {
			continue
		}
		g.mu.Lock()
		all[g.table] = slices.AppendSeq(all[g.table], maps.Values(g.members))
		g.mu.Unlock()
	}
	return all
}

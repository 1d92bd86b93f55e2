package group

import (
	"context"
	"maps"

	"github.com/shapebus/shapebus/services/consumer/follow"
)

// lose makes a group give up its members in a partition, and returns them. Its
// goroutine goes on with the others. Runs on the main loop.
func (g *group) lose(partition int) (lost []*follow.Follower) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for st := range g.all() {
		for _, f := range st.members {
			if f.Partition == partition {
				lost = append(lost, f)
			}
		}
		st.listed = nil
	}
	if len(lost) > 0 && g.cancel != nil {
		g.cancel(errRegroup)
	}
	return lost
}

// findMixed makes groups part in which some members depend on shapes of
// partitions that are down and others do not: these would wait with them. A chain waits as a whole. Runs on the main loop.
func (s *Groups) findMixed() {
	for g := range s.All {
		g.mu.Lock()
		if len(g.stages) == 1 {
			st := g.stages[0]
			stuck := 0
			for _, f := range st.members {
				if s.Stuck(f.Outer.Subqueries) {
					stuck++
				}
			}
			if g.mixed = stuck > 0 && stuck < len(st.members) && !st.linked(); g.mixed && g.cancel != nil {
				g.cancel(errRegroup)
			}
		}
		g.mu.Unlock()
	}
}

// linked reports whether some member is part of a chain.
func (st *stage) linked() bool {
	for _, f := range st.members {
		if f.Outer.Nested() || f.Inner.Load() {
			return true
		}
	}
	return false
}

// split puts the members of a group in two new ones that stand where it stands.
// Runs on the main loop, while the group's goroutine waits for it.
func (s *Groups) split(ctx context.Context, g *group) {
	g.mu.Lock()
	g.mixed = false
	g.mu.Unlock()
	parted := map[bool][]*follow.Follower{}
	for f := range g.each() {
		stuck := s.Stuck(f.Outer.Subqueries)
		parted[stuck] = append(parted[stuck], f)
	}
	if len(parted) < 2 || g.chained() {
		return // the partition has come back
	}
	for _, members := range parted {
		to := s.newGroup()
		s.move(g, g.stages[0], members, to)
		s.startGroup(ctx, to)
	}
}

// move puts members of a stage in another group, where they stand.
func (s *Groups) move(g *group, st *stage, members []*follow.Follower, to *group) {
	creating := maps.Clone(st.creating)
	for _, f := range members {
		g.drop(f.ID)
	}
	to.addStage(members, st.place(), st.Deferred).inherit([]*stage{st}, creating)
}

// inherit gives a new stage what is known of the stages from which its members come, at the same place. creating are those among them that are
// being created. Runs on the main loop.
func (st *stage) inherit(from []*stage, creating map[string]*creation) {
	st.g.mu.Lock()
	for _, o := range from {
		st.shared, st.behind = st.shared || o.shared, st.behind || o.behind
	}
	for id, c := range creating {
		if st.members[id] != nil {
			st.creating[id] = c
		}
	}
	st.g.mu.Unlock()
	st.tellAll()
}

// hasLost reports whether some member's partition has been lost. Called by the
// group's goroutine, or on the main loop while that waits for it.
func (g *group) hasLost() bool {
	for f := range g.each() {
		if f.Writer.Over() {
			return true
		}
	}
	return false
}

// Lost makes the groups give up their members in a partition that cannot be written, and counts them. Runs on the main loop.
func (s *Groups) Lost(partition int) (shapes int) {
	for g := range s.All {
		for _, f := range g.lose(partition) {
			s.LetGo(f.ID, g)
			shapes++
		}
	}
	s.findMixed()
	return shapes
}

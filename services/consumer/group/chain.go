package group

import (
	"context"
	"slices"

	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
)

// A shape whose inner shape has subqueries itself is exact only together with it: the inner shape stands still
// through each of its units, so what it selects in the middle of one is known at no commit. So the shapes that
// are connected by such subqueries are a chain. A chain is in one partition. It leaves the main loop as a whole and is one
// group then, of several stages; and when what any subquery of it selects changes, all stages go through one unit: one
// snapshot, one barrier, the less nested stages first. At the barrier's place each stage knows what the ones before it select.
//
// Between units each stage writes transactions one by one, and no stage is ahead of one that it depends on. Where
// a crash has left the stages at different places, or others have joined the group, nobody knows whether there was a unit in
// between; so a unit takes all of them to one place first, each from its own.

// chained reports whether the group's stages go through units together.
func (g *group) chained() bool { return len(g.stages) > 1 }

// standings are where the stages stand.
func (g *group) standings() (all []reconcile.Standing) {
	for _, st := range g.stages {
		all = append(all, st.Standing)
	}
	return all
}

// member returns the member with a handle, nil if there is none.
func (g *group) member(handle string) *follow.Follower {
	for _, st := range g.stages {
		for _, f := range st.members {
			if f.Handle == handle {
				return f
			}
		}
	}
	return nil
}

// chain returns the ids of the shapes of a chain, given one of them. Runs on the main loop.
func (s *Groups) chain(id string) map[string]bool {
	all := map[string]bool{id: true}
	for queue := []string{id}; len(queue) > 0; queue = queue[1:] {
		r := s.Records[queue[0]]
		for _, q := range r.Subqueries {
			if q.Unit && !all[q.ID] && s.Records[q.ID].Handle == q.Handle {
				all[q.ID] = true
				queue = append(queue, q.ID)
			}
		}
		if len(r.Subqueries) == 0 {
			continue // shapes that depend on it only by this are no chain
		}
		for dependent := range s.DependsOn[r.Handle] {
			if !all[dependent] {
				all[dependent] = true
				queue = append(queue, dependent)
			}
		}
	}
	return all
}

// gatherChain takes in the other groups with shapes of the same chain, and waits until they have come. Not on the main loop.
func (g *group) gatherChain(ctx context.Context) error {
	for {
		wait := false
		err := g.s.OnMain(ctx, func(context.Context) error {
			g.mu.Lock()
			defer g.mu.Unlock()
			if g.into != nil || len(g.ending) > 0 {
				return errRegroup
			}
			g.stages, g.coming = inOrder(append(g.stages, g.coming...)), nil
			if g.chained() {
				for _, st := range g.stages {
					st.shared = st.shared || len(st.Deferred) > 0
					st.tellAll()
				}
			}
			wait = g.s.ask(g)
			return nil
		})
		if err != nil || !wait {
			return err
		}
		select {
		case <-g.arrived:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// ask asks the other groups with shapes of g's chains to hand these over to g, and reports whether there are any to wait for. A shape
// that begins finishes that first; who begins with it comes when the two part. Called on the main loop, with g.mu held.
func (s *Groups) ask(g *group) (asked bool) {
	if !g.begun() && !g.together {
		return false
	}
	seen := map[string]bool{}
	for f := range g.each() {
		if seen[f.ID] || !f.Outer.Nested() && !f.Inner.Load() {
			continue
		}
		for id := range s.chain(f.ID) {
			seen[id] = true
			o, ok := s.OwnerOf(id).(*group)
			if ok && o != g && s.All[o] && o.askedBy(g) {
				asked = true
			}
		}
	}
	return asked
}

// askedBy makes the group hand its members over, and reports whether some will come.
func (g *group) askedBy(o *group) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.begun() {
		return len(g.stages)+len(g.coming) > 1
	}
	if g.into == nil {
		g.into = o
		if g.cancel != nil && !g.closed {
			g.cancel(errRegroup)
		}
	}
	return true
}

// closes says that the group goes through a unit now, or has done so, and looks who has asked for it meanwhile. A chain that is
// there as a whole waits for none of its shapes, so nobody takes it out of its unit: else those that begin one after the other
// would keep it from ever coming to the end of one.
func (g *group) closes(unit bool) error {
	whole := !slices.ContainsFunc(g.stages, func(st *stage) bool { return !st.sets.Complete() })
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed = unit && whole; g.into != nil && !g.closed {
		return errRegroup
	}
	return nil
}

// begun reports whether the logs of all members have a beginning. Called with mu held.
func (g *group) begun() bool {
	for st := range g.all() {
		if !st.began {
			return false
		}
	}
	return true
}

// giveStages gives all stages to the group that has asked for them, and reports whether it could. Runs on the main loop, while
// the group's goroutine waits for it.
func (s *Groups) giveStages(g *group) bool {
	g.mu.Lock()
	to := g.into
	g.into = nil
	g.mu.Unlock()
	for to != nil && to.into != nil {
		to = to.into
	}
	if to == nil || to == g || !s.All[to] {
		return false
	}
	g.mu.Lock()
	stages := slices.Collect(g.all())
	g.stages, g.coming = nil, nil
	g.mu.Unlock()
	to.mu.Lock()
	for _, st := range stages {
		st.goTo(to)
	}
	to.coming = append(to.coming, stages...)
	to.mu.Unlock()
	to.look()
	return true
}

// look makes the group look again which others of its chain there are.
func (g *group) look() {
	select {
	case g.arrived <- struct{}{}:
	default:
	}
}

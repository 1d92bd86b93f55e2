package group

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/group/unit"
	"github.com/shapebus/shapebus/services/consumer/live"
)

// A shape whose inner shape has subqueries begins alone: with a snapshot of its own, if the inner shape is in no unit there. Where
// what that selects changes all the time it always is in one. Then the two begin together: the chain comes into the
// group of the shape that begins and goes through a unit with it, and the shape begins with what the others are at its end.
// These go on in a group of their own then, while its rows are read. What the unit has deferred they leave to their
// next unit, as a chain does, so that the new shape finds it behind the place where it begins.

// aloneMost is how often a shape tries to begin alone.
const aloneMost = 3

// beginning is the stage of the shape that is being created, nil if that has a beginning or there is none.
func (g *group) beginning() *stage {
	for _, st := range g.stages {
		if !st.began {
			return st
		}
	}
	return nil
}

// leftBehind reports whether inner shapes have been through units without members that stand before those. Called by the
// group's goroutine, or on the main loop.
func (g *group) leftBehind() bool {
	return slices.ContainsFunc(g.stages, func(st *stage) bool { return st.behind })
}

// gatherBeginning takes in all of the chain of the shape that begins. Its stage has chosen where it starts to read.
func (g *group) gatherBeginning(ctx context.Context) error {
	// Two such groups may each have what the other waits for.
	soon, cancel := context.WithTimeoutCause(ctx, unit.SeenWait, errUngathered)
	defer cancel()
	if err := g.gatherAll(soon); err != nil {
		return err
	}
	for _, st := range g.stages {
		if !st.began {
			st.sets.FindOwn(g.member)
			continue
		}
		if err := st.prepare(ctx); err != nil {
			return g.endsOnly(st, err)
		}
	}
	return nil
}

// errUngathered says that a shape begins alone again, as others of its chain do not come.
var errUngathered = fmt.Errorf("%w: others of its chain begin too", unit.ErrNone)

// gatherAll is gatherChain, and takes those shapes of the chain in as well that are live.
func (g *group) gatherAll(ctx context.Context) error {
	for poll := (service.Poll{}); ; {
		taken := false
		err := g.s.OnMain(ctx, func(context.Context) error {
			taken = g.s.takeLive(g)
			return nil
		})
		if err != nil {
			return err
		}
		if err := g.gatherChain(ctx); err != nil || taken {
			return err
		}
		if err := poll.Wait(ctx); err != nil { // the main loop is in the middle of a transaction
			return err
		}
	}
}

// takeLive gives a group those shapes of its chain that are live, and reports whether it could. Runs on the main loop.
func (s *Groups) takeLive(g *group) bool {
	if s.Open != 0 || s.Again != nil {
		return false
	}
	var members []*follow.Follower
	for f := range g.each() {
		for id := range s.chain(f.ID) {
			if l := s.Live[id]; l != nil {
				members = append(members, l)
			}
		}
	}
	for _, from := range s.gather(members) {
		from.into = g
		s.giveStages(from)
		s.disband(from)
	}
	return true
}

// part gives all stages but that of a shape that begins to a group of their own, where they stand, and asks nobody any more to come.
func (g *group) part(ctx context.Context) error {
	first := g.beginning()
	if first == nil || !g.together {
		return nil
	}
	return g.s.OnMain(ctx, func(context.Context) error {
		for other := range g.s.All {
			other.notInto(g)
			other.look() // it may wait for what is here
		}
		g.mu.Lock()
		others := slices.DeleteFunc(slices.Collect(g.all()), func(st *stage) bool { return st == first })
		g.stages, g.coming = []*stage{first}, nil
		theirs := slices.DeleteFunc(slices.Clone(g.ending), func(e ending) bool { return first.members[e.id] != nil })
		g.ending = slices.DeleteFunc(g.ending, func(e ending) bool { return first.members[e.id] == nil })
		g.mu.Unlock()
		first.sets.Disown()
		if len(others) == 0 {
			return nil
		}
		to := g.s.newGroup()
		for _, st := range others {
			st.reset() //nolint:contextcheck // as in stream.Reader.Close
			st.shared = st.shared || len(st.Deferred) > 0
			st.goTo(to)
		}
		to.mu.Lock()
		to.stages, to.ending = others, theirs
		to.mu.Unlock()
		g.s.startGroup(g.s.Ctx, to) //nolint:contextcheck // it outlives the attempt
		return nil
	})
}

// notInto has the group keep its members if they were to go to another.
func (g *group) notInto(o *group) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.into == o {
		g.into = nil
	}
}

// endsOnly has the members of a stage end for what is wrong with them for good; it is no matter of the others.
func (g *group) endsOnly(st *stage, err error) error {
	final, ok := errors.AsType[*live.FinalError](err)
	if !ok || !g.chained() {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for id := range st.members {
		g.ending = append(g.ending, ending{id, final.Error(), true})
	}
	return errRegroup
}

package group

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/services/consumer/follow"
)

// ending is a member that must end, and why.
type ending struct {
	id, reason string
	keepRecord bool
}

// errRegroup ends an attempt because members must end.
var errRegroup = errors.New("some shapes of the group end")

// End asks for the end of a member; the group's goroutine does the rest. Runs on the main loop.
func (g *group) End(_ context.Context, id, reason string, keepRecord bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ending = append(g.ending, ending{id, reason, keepRecord})
	if g.cancel != nil {
		g.cancel(errRegroup)
	}
	return nil
}

func (g *group) endAll(reason string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for f := range g.each() {
		g.ending = append(g.ending, ending{f.ID, reason, true})
	}
}

// endSome ends the members that must end, and leaves out those whose partition
// is lost. It reports whether any are left.
func (g *group) endSome(ctx context.Context) (left bool, err error) {
	err = g.s.OnMain(ctx, func(ctx context.Context) error {
		for asked := g.ends(); len(asked) > 0; asked = g.ends() { // an end brings those of who selects from the shape
			for _, e := range asked {
				f := g.drop(e.id)
				if f == nil {
					continue // somebody asked before
				}
				// Without mu: it may end members of other groups.
				if err := g.s.EndFollower(ctx, f, e.reason, e.keepRecord); err != nil {
					return err
				}
			}
		}
		for _, f := range slices.Collect(g.each()) {
			if f.Writer.Over() {
				g.drop(f.ID)
			}
		}
		g.clear()
		switch {
		case len(g.stages) == 0 && len(g.coming) == 0:
		case g.into != nil && g.s.giveStages(g):
		case g.mixed:
			g.s.split(ctx, g)
		}
		g.clear()
		left = len(g.stages) > 0 || len(g.coming) > 0
		if !left {
			g.s.disband(g)
		}
		return nil
	})
	if errors.Is(err, service.ErrOver) {
		return false, nil
	}
	return left, err
}

// ends takes the ends that have been asked for.
func (g *group) ends() []ending {
	g.mu.Lock()
	defer g.mu.Unlock()
	asked := g.ending
	g.ending = nil
	return asked
}

// clear forgets the stages without members. Runs on the main loop, while the group's goroutine waits for it.
func (g *group) clear() {
	g.mu.Lock()
	defer g.mu.Unlock()
	empty := func(st *stage) bool { return len(st.members) == 0 }
	g.stages, g.coming = slices.DeleteFunc(g.stages, empty), slices.DeleteFunc(g.coming, empty)
}

// drop removes a member, and returns it; nil if there is none with that id. Runs on the main loop.
func (g *group) drop(id string) *follow.Follower {
	for st := range g.all() {
		f := st.members[id]
		if f == nil {
			continue
		}
		g.mu.Lock()
		delete(st.members, id)
		delete(st.creating, id)
		st.listed = nil
		for _, q := range f.Outer.Subqueries {
			st.sets.Drop(q)
		}
		g.mu.Unlock()
		if st.filled {
			st.router.Remove(f)
		}
		g.s.LetGo(id, g)
		return f
	}
	return nil
}

// find returns the stage of a member, and the member; nil if there is none with that id. Called with mu held.
func (g *group) find(id string) (*stage, *follow.Follower) {
	for st := range g.all() {
		if f := st.members[id]; f != nil {
			return st, f
		}
	}
	return nil, nil
}

// reason tells those who ask for shapes that are being created what they wait for.
func (g *group) reason(ctx context.Context, reason string) {
	for _, st := range g.stages {
		for _, c := range st.creating {
			if err := g.s.ChangeRecord(ctx, c.rec.ID, c.rec.Handle, func(r *registry.Shape) { r.Reason = reason }); err != nil {
				g.log.WarnContext(ctx, "state of the shape not stored", slog.Any("error", err))
			}
		}
	}
}

// Handle is the handle of a member, "" if there is none with that id.
func (g *group) Handle(id string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, f := g.find(id); f != nil {
		return f.Handle
	}
	return ""
}

// State is StateCreating for a shape that is being created.
func (g *group) State(id string) control.State {
	g.mu.Lock()
	defer g.mu.Unlock()
	if st, _ := g.find(id); st != nil && st.creating[id] != nil {
		return control.StateCreating
	}
	return control.StateLive
}

// Selecting are the handles of the inner shapes from whose sets the groups read.
func (s *Groups) Selecting() map[string]bool {
	all := map[string]bool{}
	for g := range s.All {
		for st := range g.all() {
			for _, set := range st.sets.All {
				all[set.Handle()] = true
			}
		}
	}
	return all
}

// Watch has the changes of a member's log noted, and reports whether there is that member.
func (g *group) Watch(id, handle string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, f := g.find(id)
	if f == nil || f.Handle != handle {
		return false
	}
	f.Inner.Store(true)
	return true
}

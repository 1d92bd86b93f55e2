package group

import (
	"context"
	"errors"
	"log/slog"

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
	for id := range g.members {
		g.ending = append(g.ending, ending{id, reason, true})
	}
}

// endSome ends the members that must end, and leaves out those whose partition
// is lost. It reports whether any are left.
func (g *group) endSome(ctx context.Context) (left bool, err error) {
	err = g.s.OnMain(ctx, func(ctx context.Context) error {
		g.mu.Lock()
		asked := g.ending
		g.ending = nil
		g.mu.Unlock()
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
		for id, f := range g.members {
			if f.Writer.Over() {
				g.drop(id)
			}
		}
		g.mu.Lock()
		mixed := g.mixed
		g.mu.Unlock()
		if mixed {
			g.s.split(ctx, g)
		}
		g.mu.Lock()
		left = len(g.members) > 0
		g.mu.Unlock()
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

// drop removes a member, and returns it; nil if there is none with that id. Runs on the main loop.
func (g *group) drop(id string) *follow.Follower {
	g.mu.Lock()
	f := g.members[id]
	delete(g.members, id)
	g.listed = nil
	g.mu.Unlock()
	if f != nil {
		g.router.Remove(f)
		g.s.LetGo(id, g)
	}
	return f
}

// reason tells those who ask for a shape that is being created what it waits for.
func (g *group) reason(ctx context.Context, reason string) {
	if g.creating == nil {
		return
	}
	if err := g.s.ChangeRecord(ctx, g.creating.rec.ID, g.creating.rec.Handle, func(r *registry.Shape) { r.Reason = reason }); err != nil {
		g.log.WarnContext(ctx, "state of the shape not stored", slog.Any("error", err))
	}
}

// Handle is the handle of a member, "" if there is none with that id.
func (g *group) Handle(id string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := g.members[id]; f != nil {
		return f.Handle
	}
	return ""
}

// State is StateCreating for a group that is a shape being created.
func (g *group) State(string) control.State {
	if g.creating != nil {
		return control.StateCreating
	}
	return control.StateLive
}

// Selecting are the handles of the inner shapes from whose sets the groups read.
func (s *Groups) Selecting() map[string]bool {
	all := map[string]bool{}
	for g := range s.All {
		for _, set := range g.sets {
			all[set.Handle()] = true
		}
	}
	return all
}

// Watch has the changes of a member's log noted, and reports whether there is that member.
func (g *group) Watch(id, handle string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.members[id]
	if f == nil || f.Handle != handle {
		return false
	}
	f.Inner.Store(true)
	return true
}

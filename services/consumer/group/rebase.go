package group

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/group/rows"
	"github.com/shapebus/shapebus/services/consumer/group/unit"
)

// rebase asks a group for the base of a member, which the group's next unit gives.
type rebase struct {
	id   string
	conn *pgx.Conn
	done chan struct{}
	base *rows.Base
	err  error // why there is none
}

// of reports whether it is a member's. r may be nil.
func (r *rebase) of(id string) bool { return r != nil && r.id == id }

// unitWait is how long a base waits for the next unit of a shape that is behind the main loop.
const unitWait = 30 * time.Second

// Rebase returns the base of a shape. One that is live it takes through a unit for that, with the chain that it is in, though
// nothing may have changed in what they select; one that is behind the main loop is about to go through one. The unit's snapshot is
// opened on conn, which nobody else uses meanwhile. Not on the main loop.
func (s *Groups) Rebase(ctx context.Context, f *follow.Follower, conn *pgx.Conn) (*rows.Base, error) {
	if err := unit.AwaitSeen(ctx, s.Loop, conn); err != nil {
		return nil, err
	}
	r := &rebase{id: f.ID, conn: conn, done: make(chan struct{})}
	for poll := (service.Poll{}); ; {
		var asked *group
		over := false
		err := s.OnMain(ctx, func(context.Context) error {
			if over = !s.GoesOn(f); !over {
				asked = s.askBase(r, f)
			}
			return nil
		})
		switch {
		case err != nil:
			return nil, err
		case over:
			return nil, unit.ErrNone
		case asked != nil:
			select {
			case <-r.done: // which comes with the end of the group, that is of the session, at the latest
			case <-time.After(unitWait):
				if asked.withdraw(r) {
					return nil, unit.ErrNone
				}
				<-r.done
			}
			return r.base, r.err
		}
		if err := poll.Wait(ctx); err != nil {
			return nil, err
		}
	}
}

// askBase asks the group of a shape, for which a live one leaves the main loop; nil if that cannot be at the moment. Runs on the main loop.
func (s *Groups) askBase(r *rebase, f *follow.Follower) (asked *group) {
	if g, ok := s.OwnerOf(f.ID).(*group); ok {
		if g.ask(r) {
			return g
		}
		return nil
	}
	if s.Live[f.ID] != f || s.Open != 0 || s.Again != nil {
		return nil
	}
	for _, g := range s.gather([]*follow.Follower{f}) {
		if g.member(f.Handle) == f {
			g.asked, g.forced, asked = r, true, g
		}
		s.startGroup(s.Ctx, g)
	}
	return asked
}

// ask notes that a base is asked for, and reports whether the group can give one.
func (g *group) ask(r *rebase) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.asked != nil || g.into != nil || !g.begun() {
		return false
	}
	g.asked = r
	return true
}

// withdraw takes back what ask has noted, and reports whether no unit has begun with it.
func (g *group) withdraw(r *rebase) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.asked != r {
		return false
	}
	g.asked, g.forced = nil, false
	return true
}

// takeAsk has the unit that begins give the base that is asked for, if there is one.
func (g *group) takeAsk() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.asked != nil {
		g.rebase, g.asked, g.forced = g.asked, nil, false
	}
}

// unitForced reports whether the group goes through a unit before anything else.
func (g *group) unitForced() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.forced
}

// Away gives the shapes that were live and are in groups, with the tails of their logs, as of a moment ago. Runs on the main loop.
func (s *Groups) Away(f func(f *follow.Follower, tail wire.Tail)) {
	for g := range s.All {
		g.mu.Lock()
		for st := range g.all() {
			for _, member := range st.members {
				if st.creating[member.ID] == nil {
					f(member, st.tails[member.ID])
				}
			}
		}
		g.mu.Unlock()
	}
}

// endUnit ends the unit, through which all stages are, and hands its snapshot over to whoever asked for a base.
func (g *group) endUnit(ctx context.Context) error {
	u, r := g.unit, g.rebase
	g.unit = nil
	if r == nil {
		u.Close(context.WithoutCancel(ctx))
		return nil
	}
	base, err := g.base(ctx, r.id, u)
	if err != nil {
		u.Close(context.WithoutCancel(ctx))
		g.noBase(err)
		return context.Cause(ctx)
	}
	g.rebase, r.base = nil, base
	close(r.done)
	return nil
}

// noBase tells the one for whose base the unit was, if it was for one, that there is none. What the unit had open is closed.
func (g *group) noBase(err error) {
	if r := g.rebase; r != nil {
		if !errors.Is(err, unit.ErrNone) {
			err = errors.Join(unit.ErrNone, err)
		}
		g.rebase, r.err = nil, err
		close(r.done)
	}
}

// base is that of a member where its stage stands, with a unit that ends.
func (g *group) base(ctx context.Context, id string, u *unit.Unit) (*rows.Base, error) {
	st, f := g.find(id)
	switch {
	case f == nil:
		return nil, errors.New("it has left the group")
	case f.Appended.Open() || f.Appended.Committed.LSN != st.At:
		return nil, fmt.Errorf("its log has no marker at %s", st.At)
	}
	views, release, err := st.sets.Hold(ctx, st.Standing)
	if err != nil {
		return nil, err
	}
	bySubquery := make([]predicate.Set, len(f.Outer.Subqueries))
	for i, q := range f.Outer.Subqueries {
		bySubquery[i] = views[st.sets.Index(q.ValueSet())]
	}
	return rows.NewBase(u.Snapshot, f.Appended, bySubquery, release), nil
}

// noteTails notes where the members' logs stand. Called with the group's mu held, or before anybody knows the stage.
func (st *stage) noteTails() {
	for id, f := range st.members {
		st.tails[id] = f.Appended
	}
}

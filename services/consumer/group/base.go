package group

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/snapshots"
	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
	"github.com/shapebus/shapebus/services/consumer/valuesets"
)

// Base is a shape with subqueries at a commit marker of its log with which a unit has ended: there the shape is what its
// clause selects in the unit's snapshot, by the sets as they stand there. Whoever folds the log reads the rows in it, for as long as
// that takes, and the shape goes on. Owned by one goroutine.
type Base struct {
	Snapshot *snapshots.Snapshot // open, on the connection that the unit was given
	Tail     wire.Tail           // of the log up to the marker

	sets   *valuesets.Sets
	viewed []*valuesets.Set
	views  []predicate.Set // by subquery
}

// Release gives back what the base holds but the snapshot.
func (b *Base) Release() {
	for _, set := range b.viewed {
		b.sets.Release(set)
	}
	b.viewed, b.views = nil, nil
}

// CopyRows streams the shape's rows, as CopyRows of the snapshot does, with the shape's columns. rec is the shape's record, table its table as
// it was right before the snapshot.
func (b *Base) CopyRows(ctx context.Context, rec *registry.Shape, table *pg.TableInfo, add func(row change.Row) error) error {
	f, err := follow.NewFollower(rec, shapelog.Log{}, nil) // the shape's own judges rows elsewhere meanwhile
	if err != nil {
		return err
	}
	where, err := selects(ctx, b.Snapshot, f, rec)
	if err != nil {
		return err
	}
	return copyRows(ctx, b.Snapshot, f, table, where, b.views, add)
}

// rebase asks a group for the base of a member, which the group's next unit gives.
type rebase struct {
	id   string
	conn *pgx.Conn
	done chan struct{}
	base *Base
	err  error // why there is none
}

// of reports whether it is a member's. r may be nil.
func (r *rebase) of(id string) bool { return r != nil && r.id == id }

// ErrNoUnit is why there is no base of a shape that has other things to do first. The next attempt may give one.
var ErrNoUnit = errors.New("the shape has not come to the end of a unit for its fold")

// errUnseen says that there is no snapshot yet which could be that of a unit.
var errUnseen = fmt.Errorf("%w: a commit is in its log that no snapshot sees yet", ErrNoUnit)

// seenWait is how long a unit that only a fold needs waits for a snapshot. A commit may stay unseen for hours, where a standby is away, and
// the shape would stand still for as long.
const seenWait = time.Second

// awaitSeen waits until snapshots see all that the main loop has read by now.
func (s *Groups) awaitSeen(ctx context.Context, conn *pgx.Conn) error {
	var upTo change.LSN
	for began, look := time.Now(), firstLook; ; look = min(2*look, lastLook) {
		seen := false
		err := s.Begin(ctx, conn, func(changelog.Place) {
			if upTo == 0 {
				upTo = s.Applied.LSN
			}
			oldest, some := s.Visibility.Floor()
			seen = !some || oldest.LSN > upTo
		})
		switch {
		case err != nil || seen:
			return err
		case time.Since(began) > seenWait:
			return errUnseen
		}
		service.WaitFor(ctx, look)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// unitWait is how long a base waits for the next unit of a shape that is behind the main loop.
const unitWait = 30 * time.Second

// Rebase returns the base of a shape. One that is live it takes through a unit for that, with the chain that it is in, though
// nothing may have changed in what they select; one that is behind the main loop is about to go through one. The unit's snapshot is
// opened on conn, which nobody else uses meanwhile. Not on the main loop.
func (s *Groups) Rebase(ctx context.Context, f *follow.Follower, conn *pgx.Conn) (*Base, error) {
	if err := s.awaitSeen(ctx, conn); err != nil {
		return nil, err
	}
	r := &rebase{id: f.ID, conn: conn, done: make(chan struct{})}
	for look := firstLook; ; look = min(2*look, lastLook) {
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
			return nil, ErrNoUnit
		case asked != nil:
			select {
			case <-r.done: // which comes with the end of the group, that is of the session, at the latest
			case <-time.After(unitWait):
				if asked.withdraw(r) {
					return nil, ErrNoUnit
				}
				<-r.done
			}
			return r.base, r.err
		}
		service.WaitFor(ctx, look)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// askBase asks the group of a shape, for which a live one leaves the main loop; nil if that cannot be at the moment. Runs on the
// main loop.
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
		u.close(context.WithoutCancel(ctx))
		return nil
	}
	base, err := g.base(ctx, r.id)
	if err != nil {
		u.close(context.WithoutCancel(ctx))
		g.noBase(err)
		return context.Cause(ctx)
	}
	base.Snapshot = u.snap
	g.rebase, r.base = nil, base
	close(r.done)
	return nil
}

// noBase tells the one for whose base the unit was, if it was for one, that there is none. What the unit had open is closed.
func (g *group) noBase(err error) {
	if r := g.rebase; r != nil {
		if !errors.Is(err, ErrNoUnit) {
			err = errors.Join(ErrNoUnit, err)
		}
		g.rebase, r.err = nil, err
		close(r.done)
	}
}

// base is that of a member where its stage stands.
func (g *group) base(ctx context.Context, id string) (*Base, error) {
	st, f := g.find(id)
	switch {
	case f == nil:
		return nil, errors.New("it has left the group")
	case f.Appended.Open() || f.Appended.Committed.LSN != st.At:
		return nil, fmt.Errorf("its log has no marker at %s", st.At)
	}
	b := &Base{Tail: f.Appended, sets: g.s.Sets}
	views := make([]predicate.Set, len(st.sets))
	for i, set := range st.sets {
		v, err := st.view(ctx, i)
		if err != nil {
			b.Release()
			return nil, err
		}
		views[i] = v
		b.viewed = append(b.viewed, set)
	}
	for _, q := range f.Outer.Subqueries {
		b.views = append(b.views, views[st.set(q.ValueSet())])
	}
	return b, nil
}

// noteTails notes where the members' logs stand. Called with the group's mu held, or before anybody knows the stage.
func (st *stage) noteTails() {
	for id, f := range st.members {
		st.tails[id] = f.Appended
	}
}

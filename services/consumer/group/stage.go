package group

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/internal/valueset"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/group/selected"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
)

// stage is the members of a group that share a table, a depth and a place in the change log. What becomes of a
// transaction package reconcile decides. Where the stage stands is also for others to look at, with the group's mu held.
type stage struct {
	reconcile.Stage

	g        *group
	table    uint32
	depth    int
	router   *follow.Router
	filled   bool // the router has the members
	sets     *selected.Sets
	creating map[string]*creation // by id: members that are not live yet. Changed with the group's mu held

	// State of an attempt.
	cursor *changelog.Cursor
	feed   *changelog.Feed
	txn    change.LSN // of the transaction being read; 0 between transactions
	gone   bool       // members must end

	// With the group's mu held, for what others look at.
	members map[string]*follow.Follower
	listed  map[int][]string     // their handles; see handles
	tails   map[string]wire.Tail // of members' logs, at the last unit's end or when they came
	seq     uint64               // of the last message that is in the logs: At's
	began   bool                 // the logs have a beginning
	behind  bool                 // inner shapes have been through units since the place where the stage stands
	shared  bool                 // others were told that the logs have all up to the place, so what is deferred there waits for a unit
}

// addStage makes a stage of followers at a place.
func (g *group) addStage(members []*follow.Follower, at changelog.Place, deferred []reconcile.Txn) *stage {
	s := g.s
	st := &stage{
		g: g, table: members[0].Relation.OID, depth: members[0].Outer.Depth, router: follow.NewSettledRouter().Measure(s.Stats.NewMeter()),
		members: map[string]*follow.Follower{}, creating: map[string]*creation{}, tails: map[string]wire.Tail{}, began: true,
	}
	st.sets = selected.New(s.Sets, st.waits)
	st.stand(at, deferred)
	for _, f := range members {
		f.After, f.Held = 0, nil
		s.NoteMarkers(f)
		st.members[f.ID] = f
		for _, q := range f.Outer.Subqueries {
			st.sets.Add(q)
		}
		s.Hold(f.ID, g)
	}
	st.noteTails()
	g.mu.Lock()
	g.stages = inOrder(append(g.stages, st))
	g.mu.Unlock()
	st.tellAll()
	return st
}

// goTo gives the stage to another group. Who has lost its partition is let go already, and may be another's. Runs on the main loop.
func (st *stage) goTo(g *group) {
	st.g = g
	for id, f := range st.members {
		if !f.Writer.Over() {
			g.s.Hold(id, g)
		}
	}
}

// inOrder sorts stages, the less nested ones first: nobody depends on one that comes behind.
func inOrder(stages []*stage) []*stage {
	slices.SortStableFunc(stages, func(a, b *stage) int { return a.depth - b.depth })
	return stages
}

// tellAll tells where the members are, whether others depend on them or not.
func (st *stage) tellAll() {
	for _, f := range st.members {
		st.g.s.Sets.Place(f.Handle, false, st.known())
	}
}

// known is up to where the logs of members that are inner shapes are complete.
func (st *stage) known() change.LSN {
	if len(st.Deferred) > 0 && !st.shared {
		return st.At - 1 // what was deferred is written at st.At
	}
	return st.At
}

// fill gives the members to the stage's router. Not on the main loop, which has no time for it:
// all shapes stand still while some leave.
func (st *stage) fill() {
	if st.filled {
		return
	}
	st.filled = true
	for _, f := range st.members {
		st.router.Add(f)
	}
}

// stand puts the stage at a place. Called with the group's mu held, or before anybody knows the stage.
func (st *stage) stand(at changelog.Place, deferred []reconcile.Txn) {
	st.Standing, st.seq = reconcile.Standing{At: at.LSN, Deferred: deferred}, at.Seq
}

// place is where the stage stands. Everything up to there is in the logs, but what is deferred.
func (st *stage) place() changelog.Place { return changelog.Place{LSN: st.At, Seq: st.seq} }

func (st *stage) anyMember() *follow.Follower {
	for _, f := range st.members {
		return f
	}
	return nil
}

// prepare begins an attempt. The sets of the stage have bases behind it.
func (st *stage) prepare(ctx context.Context) error {
	st.fill()
	st.read() //nolint:contextcheck // as in stream.Reader.Close
	st.sets.FindOwn(st.g.member)
	if err := st.sets.AwaitBases(ctx); err != nil {
		return err
	}
	if !st.began {
		return nil // what it begins with is chosen first
	}
	return st.load(ctx)
}

// read begins to read the change log, from wherever the cursor is put.
func (st *stage) read() {
	s := st.g.s
	if st.cursor != nil {
		st.cursor.Close()
	}
	st.cursor = changelog.NewCursor(s.Changes, s.Recent)
	st.feed = changelog.NewFeed(s.Cfg.Source, s.Relations, &st.g.decoder)
}

// reset forgets the state of an attempt.
func (st *stage) reset() {
	if st.cursor != nil {
		st.cursor.Close()
	}
	st.unload()
	st.cursor, st.feed = nil, nil
	st.txn, st.gone = 0, false
	if !st.began { // the next attempt chooses another place
		st.g.mu.Lock()
		st.stand(changelog.Place{}, nil)
		st.g.mu.Unlock()
	}
}

// unload gives the views back.
func (st *stage) unload() {
	st.sets.Release(len(st.Views))
	st.Forget()
}

// load looks up the sets as they stand at the stage's place.
func (st *stage) load(ctx context.Context) (err error) {
	st.Views, err = st.sets.Load(ctx, st.Standing, st.began)
	return err
}

// waits tells what shapes that begin wait for.
func (st *stage) waits(ctx context.Context, err error) {
	st.g.reason(ctx, err.Error())
	st.g.log.InfoContext(ctx, "shapes with subqueries wait", slog.Any("for", err))
}

// show makes the members judge rows by the stage's views.
func (st *stage) show() {
	for _, f := range st.members {
		f.Outer.Look(func(name string) *valueset.View { return st.Views[st.sets.Index(name)] })
		f.Outer.Member = nil
	}
}

// rewind goes back to the place that counts: what stands behind the last commit marker of each log is aborted, and the
// change log is read from there.
func (st *stage) rewind(ctx context.Context) error {
	if err := st.abortOpen(ctx); err != nil {
		return err
	}
	return st.goOn(ctx)
}

// goOn reads on from where the stage stands, behind which nothing is in the logs.
func (st *stage) goOn(ctx context.Context) error {
	last := uint64(0) // op that any of the logs has there
	for _, f := range st.members {
		if f.Tail.Last.LSN == st.At {
			last = max(last, f.Tail.Last.Op)
		}
	}
	if !st.Resume(last) {
		st.unload()
		if err := st.load(ctx); err != nil {
			return err
		}
	}
	st.show()
	st.txn = 0
	st.readFrom() //nolint:contextcheck // as in stream.Reader.Close
	st.setDeferred(st.Deferred)
	return nil
}

// readFrom begins to read the change log from where the stage stands.
func (st *stage) readFrom() {
	st.read()
	st.cursor.Begin(st.At, st.seq+1)
}

// abortOpen aborts what stands behind the last commit marker of each log.
func (st *stage) abortOpen(ctx context.Context) error {
	s := st.g.s
	st.router.Take()
	for _, f := range st.members {
		f.Forget()
		if f.Tail.Open() {
			f.Abort()
			s.Stats.Aborts.Add(1)
			if err := s.Parts[f.Partition].Append(ctx, &f.Log); err != nil {
				return err
			}
		}
		if f.Inner.Load() { // what was noted of that does not count
			s.Sets.Rewind(f.Handle, st.At, f.Tail.Committed)
			if st.At < f.Tail.Committed.LSN {
				s.Sets.Anchor(f.Handle, f.Tail.Committed)
			}
		}
	}
	st.router.Reopen()
	return nil
}

// mayRead reports whether the stage may read its next message: what it depends on has been written as far.
func (st *stage) mayRead(before []*stage) bool {
	for _, b := range before {
		if b.depth < st.depth && st.cursor.Next > b.seq {
			return false
		}
	}
	return true
}

// next reads the next message. ok is false at the main loop's place.
func (st *stage) next(ctx context.Context) (m stream.Received, ok bool, err error) {
	m, ok, err = st.cursor.Read(ctx)
	if errors.Is(err, stream.ErrGap) {
		err = &live.FinalError{Err: errors.New(live.ReasonDiscarded)}
	}
	return m, ok, err
}

package group

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/internal/valueset"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
	"github.com/shapebus/shapebus/services/consumer/valuesets"
)

// group is some outer shapes of one table that stand at one place of the
// change log, behind the main loop: because a value set they depend on may have
// changed, because they are being created, or after a restart. Its goroutine reads the
// change log from there, waits for verdicts, runs units, and hands the shapes to
// the main loop once it has caught up with it.
//
// Until then it owns its followers. Whatever goes wrong, or comes in between,
// ends an attempt; the next one starts from the last place that counts, with what was
// written behind it aborted.
type group struct {
	s      *Groups
	id     string
	log    *slog.Logger
	table  uint32
	router *follow.Router
	sets   []*valuesets.Set
	places map[string]int // in sets, by name
	// since is the version of each set's main view when the members left the
	// main loop, 0 if they did not; touched are the values that units have changed
	// since then.
	since   []uint64
	touched []map[string]struct{}
	units   int  // opened so far; names them
	nested  bool // an inner shape has subqueries itself, so that its log changes at barriers

	// State of an attempt.
	views  []*valueset.View // by set: as of at
	cursor *changelog.Cursor
	feed   *changelog.Feed
	txn    change.LSN // of the transaction being read; 0 between transactions
	begun  change.LSN // the last commit whose verdicts were taken
	skip   bool       // it is deferred
	unit   *unit      // nil outside of units
	shift  uint64     // op index at which what was aside goes on behind the last marker
	gone   []*follow.Follower
	moved  bool // the change log has been moved on

	creating *creation // nil unless the group is a shape being created

	mu      sync.Mutex // for what others look at
	members map[string]*follow.Follower
	listed  map[int][]string // their handles; see handles
	at      changelog.Place  // everything up to here is in the logs
	aside   []reconcile.Txn  // but these
	ending  []ending         // members that must end
	cancel  context.CancelCauseFunc
	began   bool // the logs have a beginning
	mixed   bool // some members wait for a partition that is down, and others need not
}

// newGroup makes a group of followers at a place. It does not run yet.
func (s *Groups) newGroup(members []*follow.Follower, at changelog.Place, aside []reconcile.Txn) *group {
	s.last++
	g := &group{
		s: s, id: fmt.Sprintf("%s/%d/%d", s.Cfg.Name, s.Began, s.last), table: members[0].Relation.OID, router: follow.NewSettledRouter(),
		members: map[string]*follow.Follower{}, places: map[string]int{}, at: at, aside: aside, began: true,
	}
	g.log = s.Log.With(slog.String("group", g.id), slog.String("table", members[0].Table.String()))
	for _, f := range members {
		f.After, f.Held = 0, nil
		s.NoteMarkers(f)
		g.members[f.ID] = f
		for _, q := range f.Outer.Subqueries {
			name := q.ValueSet()
			if _, known := g.places[name]; !known {
				g.places[name] = len(g.sets)
				g.sets = append(g.sets, s.Sets.Get(name))
				g.since = append(g.since, 0)
				g.touched = append(g.touched, map[string]struct{}{})
			}
			g.nested = g.nested || q.Unit
		}
		s.Hold(f.ID, g)
		s.Sets.Place(f.Handle, false, g.known())
	}
	s.All[g] = true
	return g
}

// known is up to where the logs of members that are inner shapes are complete.
func (g *group) known() change.LSN {
	if len(g.aside) > 0 {
		return g.at.LSN - 1 // what was aside is written at g.at
	}
	return g.at.LSN
}

// run goes on until every member has joined the main loop or ended. It fails
// when the session does.
func (g *group) run(ctx context.Context) error {
	g.fill()
	var pause service.Backoff
	forgotten := false // the attempt before ended because a set had to be loaded again
	for {
		attempt, cancel := context.WithCancelCause(ctx)
		g.mu.Lock()
		g.cancel = cancel
		interrupted := len(g.ending) > 0 || g.mixed || g.hasLost()
		g.mu.Unlock()
		err := errRegroup
		if !interrupted {
			err = g.attempt(attempt)
		}
		g.reset(ctx)
		if ctx.Err() != nil || err == nil {
			cancel(nil)
			return service.IgnoreEnd(ctx, err)
		}
		var fin *live.FinalError
		again := forgotten
		forgotten = errors.Is(err, valuesets.ErrGone)
		switch {
		case forgotten && !again: // another group needed the set as it was further behind, so it was loaded again
		case errors.As(err, &fin):
			g.endAll(fin.Error())
		case errors.Is(err, errRegroup), errors.Is(context.Cause(attempt), errRegroup):
		case g.over() != nil:
			cancel(nil)
			return g.over()
		case shapelog.IsLost(err): // the others go on without those of the lost partition
		default:
			g.s.Stats.Retries.Add(1)
			g.s.Stats.LastError.Store(err.Error())
			g.log.WarnContext(ctx, "shapes with subqueries are retried", slog.Any("error", err))
			g.reason(ctx, err.Error())
			pause.Wait(attempt) // a member that must end does not wait for it
		}
		cancel(nil)
		if left, err := g.endSome(ctx); err != nil || !left {
			return service.IgnoreEnd(ctx, err)
		}
	}
}

// fill gives the members to the group's router. Not on the main loop, which has no time for it:
// all shapes stand still while some leave.
func (g *group) fill() {
	for _, f := range g.members {
		g.router.Add(f)
	}
}

// over is why the session is over, if what ended a member's partition ends all.
func (g *group) over() error {
	for _, f := range g.members {
		if err := shapelog.IgnoreLost(f.Writer.Err()); err != nil {
			return err
		}
	}
	return nil
}

// reset forgets the state of an attempt.
func (g *group) reset(ctx context.Context) {
	if g.unit != nil {
		g.unit.close(context.WithoutCancel(ctx))
		g.unit = nil
	}
	if g.cursor != nil {
		g.cursor.Close() //nolint:contextcheck // as in stream.Reader.Close
	}
	for i := range g.views {
		g.s.Sets.Release(g.sets[i])
	}
	g.views, g.cursor, g.skip, g.txn, g.begun = nil, nil, false, 0, 0
	g.gone = nil
	if !g.began { // the next attempt chooses another place
		g.mu.Lock()
		g.at = changelog.Place{}
		g.mu.Unlock()
	}
}

// attempt processes the change log from the place that counts. It returns nil
// when all members have joined the main loop.
func (g *group) attempt(ctx context.Context) error {
	g.cursor = changelog.NewCursor(g.s.Changes, g.s.Recent)
	g.feed = changelog.NewFeed(g.s.Cfg.Source, g.s.Relations)
	for _, set := range g.sets {
		if err := g.awaitBase(ctx, set); err != nil {
			return err
		}
	}
	if !g.began {
		if err := g.create(ctx); err != nil {
			return err
		}
	} else {
		if err := g.load(ctx); err != nil {
			return err
		}
		g.show()
		if err := g.abortOpen(ctx); err != nil {
			return err
		}
		g.cursor.Begin(g.at.LSN, g.at.Seq+1)
		g.setAside(g.aside)
		if err := g.backlog(ctx); err != nil {
			return err
		}
	}
	for {
		m, ok, err := g.cursor.Read(ctx)
		if errors.Is(err, stream.ErrGap) {
			return &live.FinalError{Err: errors.New(live.ReasonDiscarded)}
		}
		if err != nil {
			return err
		}
		if ok {
			err = g.message(ctx, m)
		} else if err = g.join(ctx); err == nil {
			if len(g.members) == 0 {
				return nil
			}
			err = g.idle(ctx)
		}
		if err != nil {
			return err
		}
		if len(g.gone) > 0 {
			return errRegroup
		}
	}
}

// reasonForgotten ends shapes whose sets cannot be known any more as they were
// where the shapes stand: streams were restored, or trimmed by somebody else.
const reasonForgotten = "the values that its subquery selected where the shape stands are not stored any more"

// load reads the sets as they stand at the group's place.
func (g *group) load(ctx context.Context) error {
	aside := reconcile.LSNs(g.aside)
	for _, set := range g.sets {
		v, err := g.s.Sets.View(ctx, set, g.at.LSN, aside)
		if errors.Is(err, valuesets.ErrGone) { // what is stored may reach further back than what is held
			if err = g.loadAgain(ctx, set); err != nil {
				return err
			}
			v, err = g.s.Sets.View(ctx, set, g.at.LSN, aside)
		}
		if errors.Is(err, valuesets.ErrGone) && g.began {
			return &live.FinalError{Err: errors.New(reasonForgotten)}
		}
		if err != nil {
			return err
		}
		g.views = append(g.views, v)
	}
	return nil
}

// show makes the members judge rows by the group's views.
func (g *group) show() {
	for _, f := range g.members {
		f.Outer.Look(func(name string) *valueset.View { return g.views[g.set(name)] })
		f.Outer.Member = nil
	}
}

// abortOpen aborts what stands behind the last commit marker of each log.
func (g *group) abortOpen(ctx context.Context) error {
	g.router.Take()
	g.shift = 0
	for _, f := range g.members {
		f.Forget()
		if f.Tail.Open() {
			f.Abort()
			g.s.Stats.Aborts.Add(1)
			if err := g.s.Parts[f.Partition].Append(ctx, &f.Log); err != nil {
				return err
			}
		}
		if f.Tail.Last.LSN == g.at.LSN {
			g.shift = max(g.shift, f.Tail.Last.Op)
		}
	}
	g.router.Reopen()
	return nil
}

package group

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"

	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/group/conns"
	"github.com/shapebus/shapebus/services/consumer/group/unit"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
	"github.com/shapebus/shapebus/services/consumer/valuesets"
)

// group is some outer shapes behind the main loop: because a value set they depend on may have changed,
// because they are being created, or after a restart. Its goroutine reads the change log from where they
// stand, waits for verdicts, runs units, and hands the shapes to the main loop once it has caught up with it.
//
// Those of one table that stand at one place are a stage. Most groups have one. A chain has several: nested
// shapes and those that they select from go through units together, see chain.go.
//
// Until it hands them over the group owns its followers. Whatever goes wrong, or comes in between, ends an attempt; the next
// one starts from the last place that counts, with what was written behind it aborted.
type group struct {
	s     *Groups
	id    string
	log   *slog.Logger
	units int // opened so far; names them

	decoder wire.ChangeDecoder // of all stages, of which one reads at a time

	// State of an attempt.
	unit   *unit.Unit // nil outside of units
	moved  bool       // the change log has been moved on
	rebase *rebase    // whose base the unit gives; nil for nobody
	spare  bool       // the unit is for that only
	// together is set for an attempt in which a shape begins with all of its chain.
	together bool
	kept     *conns.Conn // for such an attempt: others do not wait for one; else nil

	mu      sync.Mutex // for what others look at
	stages  []*stage   // less nested ones first; the group's goroutine changes it on the main loop only
	ending  []ending   // members that must end
	cancel  context.CancelCauseFunc
	mixed   bool          // some members wait for a partition that is down, and others need not
	asked   *rebase       // whose base the next unit gives; nil for nobody
	forced  bool          // there is a next unit in any case
	into    *group        // the group of the same chain that takes the members over
	closed  bool          // but not before the end of the unit
	arrived chan struct{} // gets a token when stages have come from another group
	coming  []*stage      // these
}

// newGroup makes a group without members. It does not run yet.
func (s *Groups) newGroup() *group {
	s.last++
	g := &group{s: s, id: fmt.Sprintf("%s/%d/%d", s.Cfg.Name, s.Began, s.last), arrived: make(chan struct{}, 1)}
	g.log = s.Log.With(slog.String("group", g.id))
	s.All[g] = true
	return g
}

// all are the stages, also those that have just come. Called with mu held, or on the main loop.
func (g *group) all() iter.Seq[*stage] {
	return func(yield func(*stage) bool) {
		for _, stages := range [][]*stage{g.stages, g.coming} {
			for _, st := range stages {
				if !yield(st) {
					return
				}
			}
		}
	}
}

// each are the members, also those that have just come. Called as all is.
func (g *group) each() iter.Seq[*follow.Follower] {
	return func(yield func(*follow.Follower) bool) {
		for st := range g.all() {
			for _, f := range st.members {
				if !yield(f) {
					return
				}
			}
		}
	}
}

// run goes on until every member has joined the main loop or ended. It fails when the session does.
func (g *group) run(ctx context.Context) error {
	defer func() {
		g.takeAsk()
		g.noBase(nil)
	}()
	var pause service.Backoff
	forgotten := false // the attempt before ended because a set had to be loaded again
	unsettled := 0     // attempts that have ended with errUnsettled
	for {
		attempt, cancel := context.WithCancelCause(ctx)
		g.mu.Lock()
		g.cancel = cancel
		interrupted := len(g.ending) > 0 || g.mixed || g.into != nil || g.hasLost()
		g.mu.Unlock()
		g.together = unsettled >= aloneMost
		err := errRegroup
		if !interrupted {
			err = g.attempt(attempt)
		}
		g.reset(ctx)
		g.noBase(err) // whoever asked asks again; the next attempt goes on without
		if ctx.Err() == nil {
			err = errors.Join(err, g.part(ctx))
		}
		g.together = false
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
		case errors.Is(err, unit.ErrNone):
			unsettled = 0 // the others are not taken along again at once
		case g.over() != nil:
			cancel(nil)
			return g.over()
		case shapelog.IsLost(err): // the others go on without those of the lost partition
		case errors.Is(err, errUnsettled):
			g.log.DebugContext(ctx, "a shape is begun again", slog.Any("error", err))
			unsettled++
			pause.Wait(attempt)
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

// over is why the session is over, if what ended a member's partition ends all.
func (g *group) over() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for f := range g.each() {
		if err := shapelog.IgnoreLost(f.Writer.Err()); err != nil {
			return err
		}
	}
	return nil
}

// reset forgets the state of an attempt.
func (g *group) reset(ctx context.Context) {
	if g.unit != nil {
		g.unit.Close(context.WithoutCancel(ctx))
		g.unit = nil
	}
	g.mu.Lock()
	g.closed = false
	g.mu.Unlock()
	g.spare = false
	for _, st := range g.stages {
		st.reset() //nolint:contextcheck // as in stream.Reader.Close
	}
}

// attempt processes the change log from the place that counts. It returns nil
// when all members have joined the main loop.
func (g *group) attempt(ctx context.Context) error {
	err := g.start(ctx)
	for {
		if open, ok := errors.AsType[*needsUnitError](err); ok {
			err = g.runUnit(ctx, open.txn, open.trace)
			continue
		}
		if err != nil {
			return err
		}
		if err = g.backlog(ctx); err != nil {
			continue
		}
		var some bool
		if some, err = g.read(ctx); err != nil || some {
			continue
		}
		if err = g.join(ctx); err != nil {
			continue
		}
		if len(g.stages) == 0 {
			return nil
		}
		err = g.idle(ctx)
	}
}

// start brings all stages to where the attempt reads on.
func (g *group) start(ctx context.Context) error {
	if st := g.beginning(); st != nil {
		return g.create(ctx, st)
	}
	behind := g.leftBehind()
	gather := g.gatherChain
	if behind {
		gather = g.gatherAll
	}
	if err := gather(ctx); err != nil {
		return err
	}
	for _, st := range g.stages {
		if err := st.prepare(ctx); err != nil {
			return g.endsOnly(st, err)
		}
	}
	if behind || g.unitForced() || reconcile.Apart(g.standings()) {
		return g.firstUnit(ctx, behind)
	}
	return g.rewind(ctx)
}

// firstUnit takes all stages through a unit before anything else. Unless one is behind or they are apart only a fold needs it.
func (g *group) firstUnit(ctx context.Context, behind bool) error {
	g.spare = !behind && !reconcile.Apart(g.standings())
	defer func() { g.spare = false }()
	if err := g.runUnit(ctx, reconcile.Furthest(g.standings()), ""); err != nil {
		return err
	}
	united, err := g.unite(ctx)
	if err != nil {
		return err
	}
	for _, st := range united {
		if err := st.prepare(ctx); err != nil {
			return g.endsOnly(st, err)
		}
		if err := st.goOn(ctx); err != nil {
			return err
		}
	}
	return nil
}

// needsUnitError says that a transaction changes what the group's subqueries select, so that a unit begins with it.
type needsUnitError struct {
	txn   reconcile.Txn
	trace string // context of its trace
}

func (e *needsUnitError) Error() string {
	return fmt.Sprintf("the transaction at %s changes what subqueries select", e.txn.LSN)
}

// rewind puts every stage where it stands.
func (g *group) rewind(ctx context.Context) error {
	for _, st := range g.stages {
		if err := st.rewind(ctx); err != nil {
			return err
		}
	}
	return nil
}

// burst is how many messages a stage reads before the stages that depend on it are looked at.
const burst = 256

// read reads on, the less nested stages first: those that depend on them come no further than they are. It reports whether there was anything to read.
func (g *group) read(ctx context.Context) (some bool, err error) {
	for i, st := range g.stages {
		for range burst {
			if !st.mayRead(g.stages[:i]) {
				break
			}
			m, ok, err := st.next(ctx)
			if err != nil {
				return some, g.endsOnly(st, err)
			}
			if !ok {
				break
			}
			some = true
			if err := g.message(ctx, st.feed, m, g.stages[i:i+1]); err != nil {
				return some, err
			}
		}
	}
	return some, nil
}

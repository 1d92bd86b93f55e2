package fold

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/group"
	"github.com/shapebus/shapebus/services/consumer/group/unit"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// Config says when logs are folded. All are set.
type Config struct {
	Limits

	AtOnce int           // folds of this process
	Grace  time.Duration // how long what a fold replaces is kept for those who read it
	Sync   time.Duration // by which JetStream has written to disk what it acknowledged
	Every  time.Duration // between looks at the live shapes
}

// Folder folds the logs of live shapes, on behalf of a main loop that owns what is here.
type Folder struct {
	*live.Loop

	cfg     Config
	groups  *group.Groups
	known   map[string]*known // by handle
	running int               // folds
	purging int               // logs from which something is being removed
}

// known is what is known of a log that may have to be folded. Owned by the main loop.
type known struct {
	f      *follow.Follower     // whose log it is: another one may have been folded elsewhere meanwhile
	begins *shapelog.Beginning  // nil while it is not known
	busy   bool                 // a goroutine has it
	told   bool                 // that the fold which was asked for waits is in the record
	purged bool                 // what its generation replaces is removed
	based  map[string]time.Time // by value set, since when it has a base at the generation or behind it
	after  time.Time            // of the next attempt
	pause  service.Backoff
}

// purgesAtOnce bounds how many logs have something removed from them at once.
const purgesAtOnce = 4

// longestPause is the longest between attempts to fold a log.
const longestPause = 5 * time.Minute

// NewFolder makes a folder of the live shapes of a main loop, of which those with subqueries go through units in groups.
func NewFolder(l *live.Loop, groups *group.Groups, cfg Config) *Folder {
	return &Folder{Loop: l, groups: groups, cfg: cfg, known: map[string]*known{}}
}

// Run folds until ctx ends.
func (s *Folder) Run(ctx context.Context) error {
	for service.WaitFor(ctx, s.cfg.Every) {
		err := s.OnMain(ctx, func(context.Context) error { s.look(time.Now()); return nil }) //nolint:contextcheck // tasks last as long as the session
		if err != nil {
			return service.IgnoreOver(ctx, err)
		}
	}
	return nil
}

// look begins what is to be done. Most shapes have small logs, which costs them a comparison. Runs on the main loop.
func (s *Folder) look(now time.Time) {
	for handle, k := range s.known {
		if !k.busy && !s.GoesOn(k.f) {
			delete(s.known, handle)
		}
	}
	for _, f := range s.Live {
		s.lookAt(now, f, f.Appended)
	}
	s.groups.Away(func(f *follow.Follower, tail wire.Tail) { s.lookAt(now, f, tail) })
}

// lookAt begins what is to be done for one log, which stands at tail.
func (s *Folder) lookAt(now time.Time, f *follow.Follower, tail wire.Tail) {
	if tail.Bytes <= s.cfg.Least && !s.FoldAsked[f.ID] && !s.Folded[f.ID] || s.Parts[f.Partition].Phase != live.Up {
		return
	}
	k := s.known[f.Handle]
	if k == nil || k.f != f && !k.busy {
		k = &known{f: f, based: map[string]time.Time{}, pause: service.Backoff{Most: longestPause}}
		s.known[f.Handle] = k
	}
	if !k.busy && !now.Before(k.after) {
		s.next(now, f, tail, k)
	}
}

// next begins what comes next for a log.
func (s *Folder) next(now time.Time, f *follow.Follower, tail wire.Tail, k *known) {
	switch b := k.begins; {
	case b == nil:
		s.task(f, k, func(ctx context.Context, j *job) error { return j.begin(ctx) })
	case s.Again != nil:
	case !k.purged:
		if s.purging < purgesAtOnce && Gone(b, now, max(s.cfg.Grace, s.cfg.Sync)) {
			s.purging++
			sets, tell := s.setsOf(f.Handle), s.FoldAsked[f.ID] && !k.told
			k.told = k.told || tell
			s.task(f, k, func(ctx context.Context, j *job) error {
				err := j.purge(ctx, sets)
				if tell && errors.Is(err, errNeeded) {
					err = errors.Join(err, j.say(ctx, errNeeded.Error()))
				}
				return s.onMain(ctx, err, func() { s.purging--; k.purged = err == nil })
			})
		}
	case s.FoldAsked[f.ID] && tail.Committed.IsZero(): // it is its snapshot
		s.task(f, k, func(ctx context.Context, j *job) error { return j.tell(ctx, func(r *registry.Shape) { r.Fold = nil }) })
	case s.running < s.cfg.AtOnce && (s.FoldAsked[f.ID] || s.cfg.Due(b, tail) && !tail.Committed.IsZero()):
		s.running++
		s.Stats.Folding.Add(1)
		s.task(f, k, func(ctx context.Context, j *job) error {
			err := j.fold(ctx)
			s.Stats.Folding.Add(-1)
			return s.onMain(ctx, err, func() { s.running-- })
		})
	}
}

// onMain runs f on the main loop after something that may have failed, and returns how that went.
func (s *Folder) onMain(ctx context.Context, failed error, f func()) error {
	if err := s.OnMain(ctx, func(context.Context) error { f(); return nil }); err != nil {
		return err
	}
	return failed
}

// task lets a goroutine do something for a log. What fails is tried again, after a while.
func (s *Folder) task(f *follow.Follower, k *known, do func(context.Context, *job) error) {
	j := &job{s: s, f: f, k: k, begins: k.begins, part: s.Parts[f.Partition], writer: f.Writer}
	j.log = s.Log.With(slog.String("shape", f.Handle))
	k.busy = true
	s.Tasks.Go(func() error {
		ctx := s.Ctx
		err := do(ctx, j)
		return service.IgnoreOver(ctx, s.OnMain(ctx, func(context.Context) error {
			if k.busy = false; errors.Is(err, errNeeded) || errors.Is(err, unit.ErrNone) {
				k.after = time.Now().Add(laterLooks * s.cfg.Every) // nothing has gone wrong
			} else if err != nil {
				j.failed(ctx, err)
				k.after = time.Now().Add(k.pause.Next())
				k.begins = nil // somebody else may have folded it
			} else {
				k.pause.Reset()
			}
			return nil
		}))
	})
}

// failed counts and tells of an attempt that failed, unless it had to wait or the shape is not here any more. Runs on the main loop.
func (j *job) failed(ctx context.Context, err error) {
	switch {
	case errors.Is(err, errNoRoom), ctx.Err() != nil, !j.s.GoesOn(j.f), j.s.Gone(ctx) != nil:
	case errors.Is(err, unit.ErrNone):
		j.log.DebugContext(ctx, "the shape's log is not folded yet", slog.Any("error", err))
	default:
		j.s.Stats.FoldFail.Add(1)
		j.log.WarnContext(ctx, "the shape's log is not folded; it is tried again, and the shape goes on", slog.Any("error", err))
	}
}

// laterLooks is how many looks later it is tried again what has only to wait: for the sets of others, or for a unit.
const laterLooks = 10

// say notes in the shape's record why the fold that was asked for is not done yet.
func (j *job) say(ctx context.Context, reason string) error {
	return j.tell(ctx, func(r *registry.Shape) {
		if r.Fold != nil {
			r.Fold = &registry.Fold{Asked: r.Fold.Asked, Error: reason}
		}
	})
}

// tell notes in the shape's record how a fold goes on; nil for no more.
func (j *job) tell(ctx context.Context, change func(*registry.Shape)) error {
	return j.s.ChangeRecord(ctx, j.f.ID, j.f.Handle, change)
}

package live

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// The inner shape of a subquery may be in a partition that another process holds. Which commits change it
// this process finds out by itself, with a shadow of the shape that follows the change log as the shape does and writes
// nothing. What they change comes as verdicts, as always. So while all goes on nothing is asked of the other process.
//
// Only where a shadow begins it is: the shadow knows of the commits behind its beginning, and those up to there
// are all in the shape's log once that is known to have come as far. Its last marker then is the anchor, see valuesets.Markers.

// shadow is the shadow of an inner shape. Owned by the main loop.
type shadow struct {
	q        registry.Subquery
	f        *follow.Follower // nil until the shape is live
	anchored bool             // the sets know of all commits that it has not seen
	stop     context.CancelFunc
}

const (
	firstShadowLook = 10 * time.Millisecond
	lastShadowLook  = 500 * time.Millisecond
)

// Shadow begins to follow an inner shape that another process writes, if it is not followed yet. What one comes to that has
// subqueries itself, its writer decides; those who depend on it are in its partition. Runs on the main loop.
func (s *Loop) Shadow(ctx context.Context, q registry.Subquery) {
	if q.Unit || s.shadows[q.Handle] != nil {
		return
	}
	ctx, stop := context.WithCancel(ctx)
	sh := &shadow{q: q, stop: stop}
	s.shadows[q.Handle] = sh
	s.Tasks.Go(func() error {
		defer stop()
		s.beginShadow(ctx, sh)
		return nil
	})
}

// beginShadow waits until the shape is live, has its shadow in the main loop, and then waits until the shape's log has
// come to where the shadow begins. It gives up when the shape ends; that is told of by its record. Not on the main loop.
func (s *Loop) beginShadow(ctx context.Context, sh *shadow) {
	var from change.LSN
	said := false
	for look := firstShadowLook; ctx.Err() == nil; look = min(2*look, lastShadowLook) {
		rec, err := s.Shapes.Get(ctx, sh.q.ID)
		switch {
		case errors.Is(err, registry.ErrNotFound), err == nil && (rec.Handle != sh.q.Handle || rec.State == control.StateEnded):
			return
		case err == nil && rec.State == control.StateLive:
			if from == 0 {
				from, err = s.addShadow(ctx, sh, rec)
			}
			var known bool
			if err == nil {
				known, err = s.anchorShadow(ctx, sh, from)
			}
			if known {
				return
			}
		}
		if err != nil && ctx.Err() == nil && !said {
			said = true
			s.Log.WarnContext(ctx, "an inner shape that another process writes cannot be followed yet; shapes that depend on it wait", slog.String("shape", sh.q.Handle), slog.Any("error", err))
			s.Stats.LastError.Store(err.Error())
		}
		service.WaitFor(ctx, look)
	}
}

// addShadow gives the shadow to the main loop, and returns the LSN up to which it says nothing.
func (s *Loop) addShadow(ctx context.Context, sh *shadow, rec *registry.Shape) (from change.LSN, err error) {
	f, err := follow.NewShadow(rec, 0, s.Sets.Note)
	if err != nil {
		return 0, err
	}
	err = s.OnMain(ctx, func(context.Context) error {
		if s.shadows[sh.q.Handle] != sh {
			return service.ErrOver
		}
		// What the shape's snapshot holds may be committed behind where the main loop is.
		from = max(s.Open, s.Read.LSN, s.From, rec.SnapshotLSN, 1)
		f.After = from
		sh.f = f
		s.Router.Add(f)
		return nil
	})
	return from, err
}

// anchorShadow looks whether the shape's log has come to where its shadow begins, and if so tells the sets.
func (s *Loop) anchorShadow(ctx context.Context, sh *shadow, from change.LSN) (known bool, err error) {
	// In this order: what the checkpoint covers is in the log when its tail is read.
	cp, _, err := registry.ReadCheckpoint(ctx, s.JS, s.Cfg.Source, sh.q.Partition, s.Changes.HistoryID())
	if err != nil {
		return false, err
	}
	tail, err := shapelog.ReadTail(ctx, s.JS, s.Cfg.Source, sh.q.Partition, sh.q.Handle)
	if err != nil {
		return false, err
	}
	through := max(tail.Committed.LSN, change.LSN(cp.LSN))
	if !tail.Began || through < from {
		return false, nil
	}
	return true, s.OnMain(ctx, func(context.Context) error {
		if s.shadows[sh.q.Handle] == sh {
			sh.anchored = true
			s.Sets.Anchor(sh.q.Handle, tail.Committed)
			s.Sets.Place(sh.q.Handle, true, from)
		}
		return nil
	})
}

// shadowFrom goes on with the shadow of a shape that the main loop followed, and another process writes from now on.
// Runs on the main loop.
func (s *Loop) shadowFrom(q registry.Subquery, f *follow.Follower) {
	s.dropShadow(q.Handle)
	sh := &shadow{q: q, f: follow.ShadowOf(f), anchored: true, stop: func() {}}
	s.shadows[q.Handle] = sh
	s.Router.Add(sh.f)
	s.Sets.Place(q.Handle, true, s.Applied.LSN)
}

// dropShadow ends a shadow, if there is one. Runs on the main loop.
func (s *Loop) dropShadow(handle string) {
	sh := s.shadows[handle]
	if sh == nil {
		return
	}
	sh.stop()
	delete(s.shadows, handle)
	if sh.f != nil {
		s.Router.Remove(sh.f)
	}
	if sh.anchored {
		s.Sets.Place(handle, false, s.Applied.LSN)
	}
}

// reshadow begins shadows again, of which some commits may have gone by unseen. Runs on the main loop.
func (s *Loop) reshadow(ctx context.Context, missed func(*follow.Follower) bool) {
	for handle, sh := range s.shadows {
		if sh.f != nil && missed(sh.f) {
			s.dropShadow(handle)
			s.Shadow(ctx, sh.q)
		}
	}
}

// EndShadow is told that an inner shape has ended that another process writes, and ends the shapes that depend on it
// here. Runs on the main loop.
func (s *Loop) EndShadow(ctx context.Context, handle, reason string) error {
	s.dropShadow(handle)
	s.Finished[handle] = true
	return s.endDependents(ctx, handle, reason)
}

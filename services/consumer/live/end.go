package live

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// ReasonDeleted ends shapes that nobody wants any more.
const ReasonDeleted = "the shape was deleted"

// endsAtOnce bounds the ended shapes that are cleared away at once. A dropped
// table can end thousands together, and as many requests to NATS would time out.
const endsAtOnce = 8

// endLive ends a shape that the main loop knows as live: its readers are told why, its log and
// segments go, and its record says so. The shape may have left since: then its group ends it, or
// it has ended already, with a shape that it depends on. Runs on the main loop.
func (s *Loop) endLive(ctx context.Context, f *follow.Follower, reason string) error {
	if f.Shadow {
		return s.EndShadow(ctx, f.Handle, reason)
	}
	if s.RemoveLive(f) {
		return s.EndFollower(ctx, f, reason, true)
	}
	if o := s.elsewhere[f.ID]; o != nil && o.Handle(f.ID) == f.Handle {
		return o.End(ctx, f.ID, reason, true)
	}
	return nil
}

// EndRunning ends the life of a shape that is live or parked. Runs on the main loop.
func (s *Loop) EndRunning(ctx context.Context, id, reason string, keepRecord bool) error {
	if f := s.Live[id]; f != nil {
		s.RemoveLive(f)
		return s.EndFollower(ctx, f, reason, keepRecord)
	}
	if o := s.elsewhere[id]; o != nil {
		return o.End(ctx, id, reason, keepRecord)
	}
	return nil
}

// EndRecord ends a shape that nobody runs. tail is where its log stands; if that has its last word,
// the record says the same.
func (s *Loop) EndRecord(ctx context.Context, rec *registry.Shape, tail wire.Tail, reason string) error {
	if tail.Ended {
		word, err := shapelog.LastWord(ctx, s.JS, s.Cfg.Source, rec)
		if err != nil {
			return err
		}
		reason = cmp.Or(word, reason)
	}
	l := s.LogOf(rec.Partition, rec.Handle, tail)
	return s.EndLog(ctx, &l, reason, true)
}

// LogOf is the log of a shape that nobody runs.
func (s *Loop) LogOf(partition int, handle string, tail wire.Tail) shapelog.Log {
	p := s.Parts[partition]
	return p.NewLog(handle, p.Writer.Load(), tail)
}

// EndFollower ends a shape that somebody ran.
func (s *Loop) EndFollower(ctx context.Context, f *follow.Follower, reason string, keepRecord bool) error {
	f.Ended = reason
	if f.Costly {
		s.Stats.Costly.Add(f.Handle)
	}
	return s.EndLog(ctx, &f.Log, reason, keepRecord)
}

// ForgetFinished forgets the ends of shapes whose records say the same, or are gone: the watch brings nothing of them
// any more that could be taken for a beginning. Runs on the main loop.
func (s *Loop) ForgetFinished() {
	for handle := range s.Finished {
		if s.Records[shapelog.IDOf(handle)].Handle != handle {
			delete(s.Finished, handle)
		}
	}
}

// EndLog appends a log's last word, once, and ends those that depend on it. The rest is
// done aside: what is left undone by a crash is done by the next start. When the shape's partition
// is lost nothing is done: whoever takes that in again comes upon the reason again.
func (s *Loop) EndLog(ctx context.Context, l *shapelog.Log, reason string, keepRecord bool) error {
	first := !s.Finished[l.Handle]
	if first && !l.Appended.Ended {
		l.End(reason)
		if err := s.Parts[l.Partition].Append(ctx, l); err != nil {
			return s.noteLost(err)
		}
	}
	s.Finished[l.Handle] = true
	s.Log.InfoContext(ctx, "shape ended", slog.String("shape", l.Handle), slog.String("reason", reason))
	s.Tasks.Go(func() error {
		select {
		case s.enders <- struct{}{}:
			defer func() { <-s.enders }()
		case <-ctx.Done():
			return nil
		}
		if err := l.Writer.Flush(ctx); err != nil {
			return service.IgnoreEnd(ctx, shapelog.IgnoreLost(err))
		}
		if err := s.Parts[l.Partition].Purge(ctx, l.Handle); err != nil {
			if s.Gone(ctx) != nil {
				return service.IgnoreEnd(ctx, err)
			}
			l.Writer.Kill(fmt.Errorf("purge log of shape %s: %w", l.Handle, err)) // and when the partition is back this is made up for
			return nil
		}
		if !keepRecord {
			return nil
		}
		return service.IgnoreEnd(ctx, s.closeRecord(ctx, shapelog.IDOf(l.Handle), l.Handle, reason))
	})
	if !first {
		return nil
	}
	return s.endDependents(ctx, l.Handle, reason)
}

// closeRecord removes the record of a shape that was asked to go, and marks
// that of any other as ended.
func (s *Loop) closeRecord(ctx context.Context, id, handle, reason string) error {
	for {
		rec, err := s.Shapes.Get(ctx, id)
		switch {
		case errors.Is(err, registry.ErrNotFound), errors.Is(err, registry.ErrUnreadable):
			return nil
		case err != nil:
			return err
		case rec.Handle != handle || rec.State == control.StateEnded:
			return nil
		case rec.State == control.StateDeleting:
			err = s.Shapes.Delete(ctx, rec)
		default:
			rec.State, rec.Reason, rec.Changed = control.StateEnded, reason, time.Now().UTC()
			err = s.Shapes.Put(ctx, rec)
		}
		if !errors.Is(err, registry.ErrConflict) {
			return err
		}
	}
}

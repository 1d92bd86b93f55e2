package consumer

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

const reasonDeleted = "the shape was deleted"

// endsAtOnce bounds the ended shapes that are cleared away at once. A dropped
// table can end thousands together, and as many requests to NATS would time out.
const endsAtOnce = 8

// endLive ends a shape that the main loop knows as live: its readers are told why, its log and
// segments go, and its record says so. The shape may have left since: then its group ends it, or
// it has ended already, with a shape that it depends on. Runs on the main loop.
func (s *mainLoop) endLive(ctx context.Context, f *follow.Follower, reason string) error {
	if s.removeLive(f) {
		return s.endFollower(ctx, f, reason, true)
	}
	if o := s.elsewhere[f.ID]; o != nil && o.Handle(f.ID) == f.Handle {
		return o.End(ctx, f.ID, reason, true)
	}
	return nil
}

// endRunning ends the life of a shape that is live or parked. Runs on the main loop.
func (s *mainLoop) endRunning(ctx context.Context, id, reason string, keepRecord bool) error {
	if f := s.live[id]; f != nil {
		s.removeLive(f)
		return s.endFollower(ctx, f, reason, keepRecord)
	}
	if o := s.elsewhere[id]; o != nil {
		return o.End(ctx, id, reason, keepRecord)
	}
	return nil
}

// endRecord ends a shape that nobody runs. tail is where its log stands; if that has its last word,
// the record says the same.
func (s *mainLoop) endRecord(ctx context.Context, rec *registry.Shape, tail wire.Tail, reason string) error {
	if tail.Ended {
		word, err := shapelog.LastWord(ctx, s.js, s.cfg.Source, rec)
		if err != nil {
			return err
		}
		reason = cmp.Or(word, reason)
	}
	l := s.logOf(rec.Partition, rec.Handle, tail)
	return s.endLog(ctx, &l, reason, true)
}

// logOf is the log of a shape that nobody runs.
func (s *mainLoop) logOf(partition int, handle string, tail wire.Tail) shapelog.Log {
	p := s.parts[partition]
	return p.NewLog(handle, p.writer.Load(), tail)
}

// endFollower ends a shape that somebody ran.
func (s *mainLoop) endFollower(ctx context.Context, f *follow.Follower, reason string, keepRecord bool) error {
	f.Ended = reason
	return s.endLog(ctx, &f.Log, reason, keepRecord)
}

// endLog appends a log's last word, once, and ends those that depend on it. The rest is
// done aside: what is left undone by a crash is done by the next start. When the shape's partition
// is lost nothing is done: whoever takes that in again comes upon the reason again.
func (s *mainLoop) endLog(ctx context.Context, l *shapelog.Log, reason string, keepRecord bool) error {
	first := !s.finished[l.Handle]
	if first && !l.Appended.Ended {
		l.End(reason)
		if err := s.parts[l.Partition].Append(ctx, l); err != nil {
			return s.noteLost(err)
		}
	}
	s.finished[l.Handle] = true
	s.log.InfoContext(ctx, "shape ended", slog.String("shape", l.Handle), slog.String("reason", reason))
	s.tasks.Go(func() error {
		select {
		case s.enders <- struct{}{}:
			defer func() { <-s.enders }()
		case <-ctx.Done():
			return nil
		}
		if err := l.Writer.Flush(ctx); err != nil {
			return service.IgnoreEnd(ctx, shapelog.IgnoreLost(err))
		}
		if err := s.parts[l.Partition].Purge(ctx, l.Handle, 1); err != nil {
			if s.gone(ctx) != nil {
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
func (s *mainLoop) closeRecord(ctx context.Context, id, handle, reason string) error {
	for {
		rec, err := s.shapes.Get(ctx, id)
		switch {
		case errors.Is(err, registry.ErrNotFound), errors.Is(err, registry.ErrUnreadable):
			return nil
		case err != nil:
			return err
		case rec.Handle != handle || rec.State == control.StateEnded:
			return nil
		case rec.State == control.StateDeleting:
			err = s.shapes.Delete(ctx, rec)
		default:
			rec.State, rec.Reason, rec.Changed = control.StateEnded, reason, time.Now().UTC()
			err = s.shapes.Put(ctx, rec)
		}
		if !errors.Is(err, registry.ErrConflict) {
			return err
		}
	}
}

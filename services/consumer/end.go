package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

const reasonDeleted = "the shape was deleted"

// endsAtOnce bounds the ended shapes that are cleared away at once. A dropped
// table can end thousands together, and as many requests to NATS would time out.
const endsAtOnce = 8

// endLive ends a shape that the main loop knows as live: its readers are told why, its log and
// segments go, and its record says so. The shape may have left since: then its group ends it, or
// it has ended already, with a shape that it depends on. Runs on the main loop.
func (s *session) endLive(ctx context.Context, f *follower, reason string) error {
	if s.removeLive(f) {
		return s.endFollower(ctx, f, reason, true)
	}
	if g := s.grouped[f.id]; g != nil && g.handleOf(f.id) == f.handle {
		g.end(f.id, reason, true) // its goroutine does the rest
	}
	return nil
}

// endRunning ends the life of a shape that is live or parked. Runs on the main loop.
func (s *session) endRunning(ctx context.Context, id, reason string, keepRecord bool) error {
	if f := s.live[id]; f != nil {
		s.removeLive(f)
		return s.endFollower(ctx, f, reason, keepRecord)
	}
	if g := s.grouped[id]; g != nil {
		g.end(id, reason, keepRecord) // its goroutine does the rest
	}
	if p := s.parked[id]; p != nil {
		return s.stop(ctx, p, reason, keepRecord)
	}
	return nil
}

// endRecord ends a shape that nobody runs. tail is where its log stands; if that has its last word,
// the record says the same.
func (s *session) endRecord(ctx context.Context, rec *registry.Shape, tail wire.Tail, reason string) error {
	if tail.Ended {
		word, err := shapelog.LastWord(ctx, s.js, s.c.cfg.Source, rec)
		if err != nil {
			return err
		}
		reason = cmp.Or(word, reason)
	}
	f := &follower{id: rec.ID, handle: rec.Handle, partition: rec.Partition, life: s.parts[rec.Partition].life.Load(), tail: tail, appended: tail, builders: s.builders}
	return s.endFollower(ctx, f, reason, true)
}

// endFollower appends the shape's last word, once, and ends those that depend on it. The rest is
// done aside: what is left undone by a crash is done by the next start. When the shape's partition
// is lost nothing is done: whoever takes that in again comes upon the reason again.
func (s *session) endFollower(ctx context.Context, f *follower, reason string, keepRecord bool) error {
	first := !s.finished[f.handle]
	if first && !f.appended.Ended {
		f.end(reason)
		if err := s.parts[f.partition].appendLog(ctx, f); err != nil {
			return s.noteLost(err)
		}
	}
	s.finished[f.handle] = true
	s.log.InfoContext(ctx, "shape ended", slog.String("shape", f.handle), slog.String("reason", reason))
	s.group.Go(func() error {
		select {
		case s.enders <- struct{}{}:
			defer func() { <-s.enders }()
		case <-ctx.Done():
			return nil
		}
		if err := f.life.flush(ctx); err != nil {
			return ignoreEnd(ctx, ignoreLost(err))
		}
		if err := s.purge(ctx, f.partition, f.handle, 1); err != nil {
			if s.gone(ctx) != nil {
				return ignoreEnd(ctx, err)
			}
			f.life.kill(fmt.Errorf("purge log of shape %s: %w", f.handle, err)) // and when the partition is back this is made up for
			return nil
		}
		if !keepRecord {
			return nil
		}
		return ignoreEnd(ctx, s.closeRecord(ctx, f.id, f.handle, reason))
	})
	if !first {
		return nil
	}
	return s.endDependents(ctx, f.handle, reason)
}

// closeRecord removes the record of a shape that was asked to go, and marks
// that of any other as ended.
func (s *session) closeRecord(ctx context.Context, id, handle, reason string) error {
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

// purge removes a shape's log but for the last keep messages, and its segments: in this order, so
// that no log refers to rows that are gone.
func (s *session) purge(ctx context.Context, partition int, handle string, keep uint64) error {
	st, err := s.js.Stream(ctx, s.c.cfg.Source.ShapeStream(partition))
	if err != nil {
		return err
	}
	if err := st.Purge(ctx, jetstream.WithPurgeSubject(s.c.cfg.Source.LogSubject(partition, handle)), jetstream.WithPurgeKeep(keep)); err != nil {
		return err
	}
	return s.purgeSegments(ctx, partition, handle, 0)
}

// purgeSegments removes a shape's segments but for one.
func (s *session) purgeSegments(ctx context.Context, partition int, handle string, keep uint64) error {
	src := s.c.cfg.Source
	st, err := s.js.Stream(ctx, src.ShapeStream(partition))
	if err != nil {
		return err
	}
	info, err := st.Info(ctx, jetstream.WithSubjectFilter(src.SegmentSubjects(partition, handle)))
	if err != nil {
		return err
	}
	for subject := range info.State.Subjects {
		if subject == src.SegmentSubject(partition, handle, keep) {
			continue
		}
		if err := st.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
			return err
		}
	}
	return nil
}

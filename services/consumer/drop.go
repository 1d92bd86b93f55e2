package consumer

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// A partition whose stream takes nothing more, or does not answer, leaves the
// session. Its shapes stop where they are and nobody is told that they end: they
// are taken in again when the stream can be written (comeback.go). Shapes of other
// partitions go on, but for those that depend on one of its shapes: they leave the
// main loop and wait, as they do for any inner shape that is behind.

// noteLost drops an error that concerns one partition only, and notes that it
// must be dropped before the main loop does anything else. Runs on the main loop.
func (s *mainLoop) noteLost(err error) error {
	if shapelog.IsLost(err) {
		s.lost = true
		return nil
	}
	return err
}

// dropLost drops the partitions whose writer has failed, if one is known to
// have. Runs on the main loop, when that is not in the middle of a message.
func (s *mainLoop) dropLost(ctx context.Context) {
	if !s.lost {
		return
	}
	s.lost = false
	for _, p := range s.parts {
		if err := p.writer.Load().Err(); p.phase != down && shapelog.IsLost(err) {
			s.drop(ctx, p, err)
		}
	}
}

// watchWriter waits for the end of a partition's life.
func (s *mainLoop) watchWriter(ctx context.Context, p *partition, l *shapelog.Writer) {
	s.tasks.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-l.Done():
		}
		if err := l.Err(); !shapelog.IsLost(err) {
			return service.IgnoreEnd(ctx, err)
		}
		return service.IgnoreOver(ctx, s.onMain(ctx, func(ctx context.Context) error {
			if p.writer.Load() == l {
				s.drop(ctx, p, l.Err())
			}
			return nil
		}))
	})
}

// drop goes on without a partition. Runs on the main loop.
func (s *mainLoop) drop(ctx context.Context, p *partition, why error) {
	l := p.writer.Load()
	l.Close()
	p.writer.Store(nil)
	if s.ctx.Err() != nil { // the session leaves, and what was on its way with it
		p.phase = down
		return
	}
	p.pause.Lasted(l.Age())
	was := p.phase
	p.enter(down, why)
	s.stats.Drops.Add(1)
	s.stats.LastError.Store(why.Error())
	shapes := 0
	for _, f := range s.live {
		if f.Partition == p.N {
			s.removeLive(f)
			s.sets.Stop(f.Handle)
			shapes++
		}
	}
	shapes += s.above.Lost(p.N, why)
	s.countParked()
	for handle := range s.dependents {
		s.sets.Recheck(handle)
	}
	s.dirty(ctx)
	level := slog.LevelError
	if was == catching {
		level = slog.LevelDebug // it has been said when it went down first
	}
	s.log.Log(ctx, level, "a partition cannot be written; its shapes wait, all others go on", slog.Int("partition", p.N), slog.Int("shapes", shapes), slog.Any("error", why))
	s.above.Down(ctx, p)
}

// enter changes the partition's phase. Runs on the main loop.
func (p *partition) enter(to phase, why error) {
	if to == down && p.phase != down && p.why != nil {
		p.phase, p.why = to, why // since the first time: it has not been up in between
		return
	}
	p.phase, p.why, p.since = to, why, time.Now()
}

// stuck reports whether one of these inner shapes, or one that it depends on
// itself, is in a partition that is not up. Runs on the main loop.
func (s *mainLoop) stuck(subqueries []registry.Subquery) bool {
	return slices.ContainsFunc(subqueries, func(q registry.Subquery) bool {
		return s.parts[q.Partition].phase != up || s.stuck(s.records[q.ID].subqueries)
	})
}

// gone is nil unless no partition at all can be used.
func (s *mainLoop) gone(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if !s.cfg.NATS.IsConnected() {
		return stream.ErrDisconnected
	}
	return nil
}

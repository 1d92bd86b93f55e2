package live

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
// are taken in again when the stream can be written. Shapes of other
// partitions go on, but for those that depend on one of its shapes: they leave the
// main loop and wait, as they do for any inner shape that is behind.

// noteLost drops an error that concerns one partition only, and notes that it
// must be dropped before the main loop does anything else. Runs on the main loop.
func (s *Loop) noteLost(err error) error {
	if shapelog.IsLost(err) {
		s.lost = true
		return nil
	}
	return err
}

// dropLost drops the partitions whose writer has failed, if one is known to
// have. Runs on the main loop, when that is not in the middle of a message.
func (s *Loop) dropLost(ctx context.Context) {
	if !s.lost {
		return
	}
	s.lost = false
	for _, p := range s.Parts {
		if err := p.Writer.Load().Err(); p.Phase > Down && shapelog.IsLost(err) {
			s.drop(ctx, p, err)
		}
	}
}

// WatchWriter waits for the end of a partition's writer, and drops the partition then.
func (s *Loop) WatchWriter(ctx context.Context, p *Partition, l *shapelog.Writer) {
	s.Tasks.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-l.Done():
		}
		if err := l.Err(); !shapelog.IsLost(err) {
			return service.IgnoreEnd(ctx, err)
		}
		return service.IgnoreOver(ctx, s.OnMain(ctx, func(ctx context.Context) error {
			if p.Writer.Load() == l {
				s.drop(ctx, p, l.Err())
			}
			return nil
		}))
	})
}

// drop goes on without a partition. Runs on the main loop.
func (s *Loop) drop(ctx context.Context, p *Partition, why error) {
	l := p.Writer.Load()
	l.Close()
	p.Writer.Store(nil)
	if s.Ctx.Err() != nil { // the session leaves, and what was on its way with it
		p.Phase = Down
		return
	}
	p.Pause.Lasted(l.Age())
	was := p.Phase
	p.enter(Down, why)
	s.Stats.Drops.Add(1)
	s.Stats.LastError.Store(why.Error())
	shapes := 0
	for _, f := range s.Live {
		if f.Partition == p.N {
			s.RemoveLive(f)
			s.Sets.Stop(f.Handle)
			shapes++
		}
	}
	shapes += s.Above.Lost(p.N, why)
	for handle := range s.dependents {
		s.Sets.Recheck(handle)
	}
	s.dirty(ctx)
	level := slog.LevelError
	if was == Catching {
		level = slog.LevelDebug // it has been said when it went down first
	}
	s.Log.Log(ctx, level, "a partition cannot be written; its shapes wait, all others go on", slog.Int("partition", p.N), slog.Int("shapes", shapes), slog.Any("error", why))
	s.Above.Down(ctx, p)
}

// GiveAway goes on without a partition that another process goes on with, and returns how many shapes it has here. The
// inner shapes among them are followed as shadows, until nobody here selects from them. Runs on the main loop.
func (s *Loop) GiveAway(ctx context.Context, p *Partition, why error) (shapes int) {
	if l := p.Writer.Swap(nil); l != nil {
		l.Kill(why)
	}
	p.Phase, p.Why, p.Missed = Elsewhere, nil, nil
	p.Floor.Store(nil)
	inner := s.Sets.Inner()
	for _, f := range s.Live {
		if f.Partition != p.N {
			continue
		}
		s.RemoveLive(f)
		shapes++
		if q, ok := inner[f.Handle]; ok && f.Outer == nil {
			s.shadowFrom(q, f)
		}
	}
	shapes += s.Above.Lost(p.N, why)
	for _, q := range inner {
		if q.Partition == p.N {
			s.Shadow(ctx, q)
		}
	}
	return shapes
}

// ForgetUnwanted forgets the sets by which no shape of this process' partitions selects any more. Runs on the main loop.
func (s *Loop) ForgetUnwanted() {
	wanted, used := s.wantedInner(), s.Above.Selecting()
	for handle := range s.Sets.Inner() {
		if !wanted[handle] && !used[handle] {
			s.dropShadow(handle)
			s.forgetSets(handle)
		}
	}
}

// wantedInner are the handles of the inner shapes from which shapes of this process' partitions select.
func (s *Loop) wantedInner() map[string]bool {
	all := map[string]bool{}
	for _, r := range s.Records {
		if s.Parts[r.Partition].Mine() {
			for _, q := range r.Subqueries {
				all[q.Handle] = true
			}
		}
	}
	return all
}

// enter changes the partition's phase. Runs on the main loop.
func (p *Partition) enter(to Phase, why error) {
	if to == Down && p.Phase != Down && p.Why != nil {
		p.Phase, p.Why = to, why // since the first time: it has not been up in between
		return
	}
	p.Phase, p.Why, p.Since = to, why, time.Now()
}

// Stuck reports whether one of these inner shapes, or one that it depends on
// itself, is in a partition that is not up. Runs on the main loop.
func (s *Loop) Stuck(subqueries []registry.Subquery) bool {
	return slices.ContainsFunc(subqueries, func(q registry.Subquery) bool {
		phase := s.Parts[q.Partition].Phase
		return phase == Down || phase == Catching || s.Stuck(s.Records[q.ID].Subqueries)
	})
}

// Gone is nil unless no partition at all can be used.
func (s *Loop) Gone(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if !s.Cfg.NATS.IsConnected() {
		return stream.ErrDisconnected
	}
	return nil
}

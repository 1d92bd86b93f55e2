package consumer

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// A partition whose stream takes nothing more, or does not answer, leaves the
// session. Its shapes stop where they are and nobody is told that they end: they
// are taken in again when the stream can be written (comeback.go). Shapes of other
// partitions go on, but for those that depend on one of its shapes: they leave the
// main loop and wait, as they do for any inner shape that is behind.

// noteLost drops an error that concerns one partition only, and notes that it
// must be dropped before the main loop does anything else. Runs on the main loop.
func (s *session) noteLost(err error) error {
	if shapelog.IsLost(err) {
		s.lost = true
		return nil
	}
	return err
}

// dropLost drops the partitions whose writer has failed, if one is known to
// have. Runs on the main loop, when that is not in the middle of a message.
func (s *session) dropLost(ctx context.Context) {
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
func (s *session) watchWriter(ctx context.Context, p *partition, l *shapelog.Writer) {
	s.group.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-l.Done():
		}
		if err := l.Err(); !shapelog.IsLost(err) {
			return ignoreEnd(ctx, err)
		}
		return ignoreOver(ctx, s.onMain(ctx, func(ctx context.Context) error {
			if p.writer.Load() == l {
				s.drop(ctx, p, l.Err())
			}
			return nil
		}))
	})
}

// drop goes on without a partition. Runs on the main loop.
func (s *session) drop(ctx context.Context, p *partition, why error) {
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
	s.c.stats.Drops.Add(1)
	s.c.stats.LastError.Store(why.Error())
	shapes := 0
	for _, f := range s.live {
		if f.Partition == p.N {
			s.removeLive(f)
			s.sets.Stop(f.Handle)
			shapes++
		}
	}
	s.waiting = slices.DeleteFunc(s.waiting, func(k *parked) bool { return k.partition == p.N })
	for id, k := range s.parked {
		if k.partition == p.N {
			k.cancel(why)
			s.unpark(id)
			shapes++
		}
	}
	for g := range s.groups {
		for _, f := range g.lose(p.N) {
			if s.grouped[f.ID] == g {
				delete(s.grouped, f.ID)
			}
			shapes++
		}
	}
	s.countParked()
	s.findMixed()
	for handle := range s.dependents {
		s.sets.Recheck(handle)
	}
	s.dirty(ctx)
	level := slog.LevelError
	if was == catching {
		level = slog.LevelDebug // it has been said when it went down first
	}
	s.log.Log(ctx, level, "a partition cannot be written; its shapes wait, all others go on", slog.Int("partition", p.N), slog.Int("shapes", shapes), slog.Any("error", why))
	s.tellDown(ctx)
	s.group.Go(func() error { return s.bringBack(ctx, p) })
}

// enter changes the partition's phase. Runs on the main loop.
func (p *partition) enter(to phase, why error) {
	if to == down && p.phase != down && p.why != nil {
		p.phase, p.why = to, why // since the first time: it has not been up in between
		return
	}
	p.phase, p.why, p.since = to, why, time.Now()
}

// lose makes a group give up its members in a partition, and returns them. Its
// goroutine goes on with the others. Runs on the main loop.
func (g *group) lose(partition int) (lost []*follow.Follower) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, f := range g.members {
		if f.Partition == partition {
			lost = append(lost, f)
		}
	}
	g.listed = nil
	if len(lost) > 0 && g.cancel != nil {
		g.cancel(errRegroup)
	}
	return lost
}

// findMixed makes groups part in which some members depend on shapes of
// partitions that are down and others do not: these would wait with them. Runs on
// the main loop.
func (s *session) findMixed() {
	for g := range s.groups {
		g.mu.Lock()
		stuck := 0
		for _, f := range g.members {
			if s.stuck(f.Outer.Subqueries) {
				stuck++
			}
		}
		if g.mixed = stuck > 0 && stuck < len(g.members); g.mixed && g.cancel != nil {
			g.cancel(errRegroup)
		}
		g.mu.Unlock()
	}
}

// stuck reports whether one of these inner shapes, or one that it depends on
// itself, is in a partition that is not up. Runs on the main loop.
func (s *session) stuck(subqueries []registry.Subquery) bool {
	return slices.ContainsFunc(subqueries, func(q registry.Subquery) bool {
		return s.parts[q.Partition].phase != up || s.stuck(s.records[q.ID].subqueries)
	})
}

// split puts the members of a group in two new ones that stand where it stands.
// Runs on the main loop, while the group's goroutine waits for it.
func (s *session) split(ctx context.Context, g *group) {
	g.mu.Lock()
	g.mixed = false
	g.mu.Unlock()
	parted := map[bool][]*follow.Follower{}
	for _, f := range g.members {
		stuck := s.stuck(f.Outer.Subqueries)
		parted[stuck] = append(parted[stuck], f)
	}
	if len(parted) < 2 {
		return // the partition has come back
	}
	for _, members := range parted {
		for _, f := range members {
			g.drop(f.ID)
		}
		s.startGroup(ctx, s.newGroup(members, g.at, g.aside))
	}
}

// hasLost reports whether some member's partition has been lost. Called by the
// group's goroutine, or on the main loop while that waits for it.
func (g *group) hasLost() bool {
	for _, f := range g.members {
		if f.Writer.Over() {
			return true
		}
	}
	return false
}

package live

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/follow"
)

// A stored message that cannot be understood stays so, however often it is read.
// It must stop what it concerns and nothing else; docs/OPERATIONS.md has the table.

// MayMiss reports whether a shape may miss something by a change log message.
func MayMiss(e *changelog.PoisonError, source topology.Source, f *follow.Follower) bool {
	if !e.Control && source.ChangeSubject(f.Relation.Schema, f.Relation.Name) != e.Subject {
		return false
	}
	return e.LSN == 0 || f.Concerns(e.LSN)
}

// poisoned lets the live shapes end that a change log message concerns. What
// else the message's transaction brings is not known to be whole, so shapes with
// subqueries read it again, outside of the main loop. Runs there.
func (s *Loop) poisoned(ctx context.Context, e *changelog.PoisonError) error {
	s.Log.ErrorContext(ctx, "a change log message cannot be read; the shapes that it concerns end", slog.String("subject", e.Subject), slog.Uint64("message", e.Seq), slog.Any("error", e.Err))
	s.Stats.Poison.Add(1)
	if e.LSN == 0 {
		e.LSN = s.Read.LSN + 1
	}
	for _, f := range s.followers() {
		if MayMiss(e, s.Cfg.Source, f) {
			if err := s.endLive(ctx, f, e.Reason()); err != nil {
				return err
			}
		}
	}
	s.reshadow(ctx, func(f *follow.Follower) bool { return MayMiss(e, s.Cfg.Source, f) })
	var leave []*follow.Follower
	for _, f := range s.Live {
		if f.Outer != nil {
			leave = append(leave, f)
		}
	}
	s.dirty(ctx)
	s.Above.Leave(ctx, leave)
	s.Open = 0
	return nil
}

// PoisonedSet lets the shapes end that select by a set of which a verdict cannot
// be read. Not on the main loop.
func (s *Loop) PoisonedSet(ctx context.Context, name string, poison error) error {
	s.Log.ErrorContext(ctx, "a verdict cannot be read; the shapes that depend on it end", slog.String("set", name), slog.Any("error", poison))
	s.Stats.Poison.Add(1)
	return service.IgnoreOver(ctx, s.OnMain(ctx, func(ctx context.Context) error {
		for id, r := range s.Records {
			for _, q := range r.Subqueries {
				if q.ValueSet() != name {
					continue
				}
				if err := s.EndRunning(ctx, id, fmt.Sprintf("a verdict on what its subquery selects cannot be read (%v); create it again", poison), true); err != nil {
					return err
				}
				break
			}
		}
		return nil
	}))
}

package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// A stored message that cannot be understood stays so, however often it is read.
// It must stop what it concerns and nothing else; docs/OPERATIONS.md has the table.

// mayMiss reports whether a shape may miss something by a change log message.
func mayMiss(e *changelog.PoisonError, source topology.Source, f *follow.Follower) bool {
	if !e.Control && source.ChangeSubject(f.Relation.Schema, f.Relation.Name) != e.Subject {
		return false
	}
	return e.LSN == 0 || f.Concerns(e.LSN)
}

// poisoned lets the live shapes end that a change log message concerns. What
// else the message's transaction brings is not known to be whole, so shapes with
// subqueries read it again, outside of the main loop. Runs there.
func (s *session) poisoned(ctx context.Context, e *changelog.PoisonError) error {
	s.log.ErrorContext(ctx, "a change log message cannot be read; the shapes that it concerns end", slog.String("subject", e.Subject), slog.Uint64("message", e.Seq), slog.Any("error", e.Err))
	s.c.stats.Poison.Add(1)
	if e.LSN == 0 {
		e.LSN = s.read.LSN + 1
	}
	for _, f := range s.followers() {
		if mayMiss(e, s.c.cfg.Source, f) {
			if err := s.endLive(ctx, f, e.Reason()); err != nil {
				return err
			}
		}
	}
	var leave []*follow.Follower
	for _, f := range s.live {
		if f.Outer != nil {
			leave = append(leave, f)
		}
	}
	s.dirty(ctx)
	s.regroup(ctx, leave)
	s.open = openTxn{}
	return nil
}

// spare drops the error of a change log message that does not concern a group's
// table, and makes that of one that does the end of its shapes.
func (g *group) spare(err error) error {
	e, ok := errors.AsType[*changelog.PoisonError](err)
	if !ok {
		return err
	}
	for _, f := range g.members {
		if e.Control || g.s.c.cfg.Source.ChangeSubject(f.Relation.Schema, f.Relation.Name) == e.Subject {
			return &final{errors.New(e.Reason())}
		}
	}
	return nil
}

// spare lets the members end that a change log message concerns which cannot be read.
func (q *pursuit) spare(err error) error {
	e, ok := errors.AsType[*changelog.PoisonError](err)
	if !ok {
		return err
	}
	for _, p := range q.members {
		if p.f.Ended == "" && mayMiss(e, q.s.c.cfg.Source, p.f) {
			p.f.Ended = e.Reason()
			q.router.Remove(p.f)
		}
	}
	return nil
}

// poisonedSet lets the shapes end that select by a set of which a verdict cannot
// be read. Not on the main loop.
func (s *session) poisonedSet(ctx context.Context, name string, poison error) error {
	s.log.ErrorContext(ctx, "a verdict cannot be read; the shapes that depend on it end", slog.String("set", name), slog.Any("error", poison))
	s.c.stats.Poison.Add(1)
	return ignoreOver(ctx, s.onMain(ctx, func(ctx context.Context) error {
		for id, r := range s.records {
			for _, q := range r.subqueries {
				if q.ValueSet() != name {
					continue
				}
				if err := s.endRunning(ctx, id, fmt.Sprintf("a verdict on what its subquery selects cannot be read (%v); create it again", poison), true); err != nil {
					return err
				}
				break
			}
		}
		return nil
	}))
}

// poisonedRecord ends the running shape whose record cannot be read: the next
// session would not know of it. Runs on the main loop.
func (s *session) poisonedRecord(ctx context.Context, e registry.Event) error {
	s.sayUnreadable(ctx, e)
	s.noteRecord(e.ID, nil)
	return s.endRunning(ctx, e.ID, fmt.Sprintf("%v; create it again once the record is removed", e.Err), false)
}

// sayUnreadable says that a record cannot be read, and what to do about it.
func (s *session) sayUnreadable(ctx context.Context, e registry.Event) {
	s.log.ErrorContext(ctx, "a shape's record cannot be read; the shape ends", slog.String("shape", e.ID), slog.Any("error", e.Err),
		slog.String("fix", fmt.Sprintf("nats kv del %s %s", s.c.cfg.Source.ShapeBucket(), e.ID)))
	s.c.stats.Poison.Add(1)
}

// endUnreadable gives their last word to the logs of shapes whose records cannot
// be read: nobody follows them. Runs on the main loop, or before it.
func (s *session) endUnreadable(ctx context.Context, parts []*partition, bad map[string]error) error {
	if len(bad) == 0 {
		return nil
	}
	src := s.c.cfg.Source
	for _, p := range parts {
		if p.phase != up {
			continue
		}
		subjects, err := p.Logs(ctx)
		if err != nil {
			return err
		}
		for _, subject := range subjects {
			handle := topology.HandleOfLog(subject)
			reason := bad[shapelog.IDOf(handle)]
			if reason == nil {
				continue
			}
			tail, err := shapelog.ReadTail(ctx, s.js, src, p.N, handle)
			if err != nil || tail.Ended {
				continue // one without a readable end has no readers that could be told
			}
			l := s.logOf(p.N, handle, tail)
			if err := s.endLog(ctx, &l, reason.Error()+"; create it again once the record is removed", false); err != nil {
				return err
			}
		}
	}
	return nil
}

package consumer

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// poisonedRecord ends the running shape whose record cannot be read: the next
// session would not know of it. Runs on the main loop.
func (s *session) poisonedRecord(ctx context.Context, e registry.Event) error {
	s.sayUnreadable(ctx, e)
	was := s.Records[e.ID]
	s.NoteRecord(e.ID, nil)
	if was.Handle != "" && !s.runs(e.ID) { // who runs it ends it, and the record says nothing more to those who depend on it here
		return s.EndShadow(ctx, was.Handle, e.Err.Error())
	}
	return s.EndRunning(ctx, e.ID, fmt.Sprintf("%v; create it again once the record is removed", e.Err), false)
}

// sayUnreadable says that a record cannot be read, and what to do about it.
func (s *session) sayUnreadable(ctx context.Context, e registry.Event) {
	s.Log.ErrorContext(ctx, "a shape's record cannot be read; the shape ends", slog.String("shape", e.ID), slog.Any("error", e.Err),
		slog.String("fix", fmt.Sprintf("nats kv del %s %s", s.c.cfg.Source.ShapeBucket(), e.ID)))
	s.Stats.Poison.Add(1)
}

// endUnreadable gives their last word to the logs of shapes whose records cannot
// be read: nobody follows them. Runs on the main loop, or before it.
func (s *session) endUnreadable(ctx context.Context, parts []*live.Partition, bad map[string]error) error {
	if len(bad) == 0 {
		return nil
	}
	src := s.c.cfg.Source
	for _, p := range parts {
		if p.Phase != live.Up {
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
			tail, err := shapelog.ReadTail(ctx, s.JS, src, p.N, handle)
			if err != nil || tail.Ended {
				continue // one without a readable end has no readers that could be told
			}
			l := s.LogOf(p.N, handle, tail)
			if err := s.EndLog(ctx, &l, reason.Error()+"; create it again once the record is removed", false); err != nil {
				return err
			}
		}
	}
	return nil
}

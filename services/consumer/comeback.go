package consumer

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/course"
	"github.com/shapebus/shapebus/services/consumer/create"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// A partition that was lost comes back in two steps. First its plain shapes
// that were live catch up from its last checkpoint to the main loop, all together,
// and meanwhile no checkpoint is written. Once they have joined, its other shapes
// go on as they do after a restart, and the partition is up.

// bringBack tries until a partition can be written that was lost, or is new to the session, or it is another process'. It
// belongs to a turn: when the partition has been given away and gained again meanwhile, somebody else does it. now
// says that the first attempt is not to wait.
func (s *session) bringBack(ctx context.Context, p *live.Partition, turn int, now bool) error {
	for now || p.Pause.Wait(ctx) {
		now = false
		t, failed := s.lookAt(ctx, p, turn)
		if failed != nil && s.Gone(ctx) != nil {
			return service.IgnoreEnd(ctx, failed)
		}
		over := false
		err := s.OnMain(ctx, func(ctx context.Context) error {
			if over = !s.isTurn(p, turn) || p.Phase != live.Down; over {
				return errHandedOver
			}
			if failed == nil {
				return s.takeIn(ctx, t)
			}
			p.Why, p.Missed = failed, nil
			s.tellDown(ctx)
			return nil
		})
		if err != nil && t != nil {
			t.writer.Close()
		}
		if over {
			return nil
		}
		if err != nil || failed == nil {
			return service.IgnoreOver(ctx, err)
		}
		s.Log.DebugContext(ctx, "the partition is not back yet", slog.Int("partition", p.N), slog.Any("error", failed))
	}
	return nil
}

// isTurn reports whether a partition is this process' since a turn began. Runs on the main loop.
func (s *session) isTurn(p *live.Partition, turn int) bool {
	return p.Mine() && p.Turn == turn && !s.leaving[p.N]
}

// maxReturn is the longest pause between two attempts to take a partition in.
const maxReturn = 5 * time.Second

// takeIn begins to take a partition in. Runs on the main loop.
func (s *session) takeIn(ctx context.Context, t *takeover) error {
	p := t.p
	p.Writer.Store(t.writer)
	p.Phase = live.Catching
	s.WatchWriter(ctx, p, t.writer)
	s.watchSets(ctx, t.records, t.tails)
	q := s.creator.NewCatchUp(func(ctx context.Context) error { return s.raise(ctx, t) })
	for _, e := range t.entrants {
		delete(s.Finished, e.Record.Handle)
		if e.f == nil {
			continue
		}
		e.f.Writer = t.writer
		if e.Course == course.Group {
			from := e.At
			if len(e.put) > 0 {
				from-- // what is deferred is written at e.At
			}
			s.Sets.Rewind(e.f.Handle, from, e.Tail.Committed)
			continue
		}
		if s.superseded(e) {
			continue
		}
		s.NoteMarkers(e.f) // what it catches up with is noted again, as far as it was before
		q.TakeBack(ctx, e.Record, e.Tail, e.f, changelog.Place{LSN: e.f.After + 1, Seq: t.cp.Seq + 1})
	}
	s.Tasks.Go(func() error { return service.IgnoreEnd(ctx, s.comeBack(ctx, t, q)) })
	return nil
}

// superseded reports whether a shape has got another life, or none, since its
// record was read. What that means is in the partition's missed records. Runs on the main loop.
func (s *session) superseded(e *entrant) bool {
	if s.Live[e.Record.ID] != nil || s.OwnerOf(e.Record.ID) != nil {
		return true
	}
	return e.Course != course.End && s.Records[e.Record.ID].Handle != e.Record.Handle
}

// comeBack takes a partition's plain shapes to the main loop, and the others
// behind them. Not on the main loop.
func (s *session) comeBack(ctx context.Context, t *takeover, q *create.CatchUp) error {
	// Whoever wrote the partition before may have been further than the main loop is, and its checkpoint says so.
	if err := s.Sets.AwaitScan(ctx, change.LSN(t.cp.LSN)); err != nil {
		return err
	}
	if len(q.Members) > 0 {
		err := q.Run(ctx, false)
		if _, ok := errors.AsType[*live.FinalError](err); ok { // no shape can go on
			err = q.Conclude(ctx, err)
		}
		switch {
		case ctx.Err() != nil || shapelog.IsLost(err) || t.writer.Over():
			return shapelog.IgnoreLost(err)
		case err != nil && s.Gone(ctx) != nil:
			return err
		case err != nil:
			t.writer.Kill(err) // and the next attempt begins from the start
			return nil
		}
	}
	return service.IgnoreOver(ctx, s.OnMain(ctx, func(ctx context.Context) error {
		if t.done || t.p.Writer.Load() != t.writer {
			return nil
		}
		return s.raise(ctx, t)
	}))
}

// raise makes a partition up, once its plain shapes are with the main loop.
// Runs on the main loop.
func (s *session) raise(ctx context.Context, t *takeover) error {
	p := t.p
	t.done = true
	missed := p.Missed
	waited := time.Since(p.Since)
	p.Phase, p.Why, p.Since, p.Missed = live.Up, nil, time.Now(), nil
	var outers []*entrant
	for _, e := range t.entrants {
		if e.Course == course.Follow || s.superseded(e) {
			continue
		}
		if err := s.admit(ctx, e, &outers); err != nil {
			return err
		}
	}
	if err := s.resume(ctx, outers); err != nil {
		return err
	}
	if err := s.endUnreadable(ctx, []*live.Partition{p}, t.bad); err != nil {
		return err
	}
	for _, e := range missed {
		if err := s.recordChanged(ctx, e); err != nil {
			return err
		}
	}
	s.CheckpointSoon()
	s.Log.InfoContext(ctx, "the partition is back", slog.Int("partition", p.N), slog.Int("shapes", len(t.records)), slog.Duration("after", waited))
	s.tellDown(ctx)
	return nil
}

// missedBy reports whether a record's change must wait because the shape's
// partition is not up. handle is that of the life that runs, if any. Runs on the main loop.
func (s *session) missedBy(e registry.Event, handle string) bool {
	if e.Shape == nil {
		for _, p := range s.Parts {
			if p.Missed != nil {
				p.Missed[e.ID] = e
			}
		}
		return false
	}
	p := s.Parts[e.Shape.Partition]
	if !p.Mine() {
		return true
	}
	if p.Phase == live.Up || handle != "" {
		return false
	}
	if p.Missed != nil {
		p.Missed[e.ID] = e
	}
	return true
}

// openParts begins to write the streams of those partitions that this process holds and that can be written.
// It fails if there is none.
func (s *session) openParts(ctx context.Context) error {
	var open sync.WaitGroup
	for n, h := range s.held {
		p := s.Parts[n]
		p.Phase = live.Down
		open.Go(func() {
			var l *shapelog.Writer
			if l, p.Why = p.Open(ctx); p.Why == nil {
				p.Why = h.Verify(ctx)
				p.Writer.Store(l)
			}
			if p.Why != nil && l != nil {
				s.leaveOut(p, p.Why)
			}
		})
	}
	open.Wait()
	var failed error
	opened := 0
	for n := range s.held {
		if s.Parts[n].Why == nil {
			opened++
		} else {
			failed = s.Parts[n].Why
		}
	}
	if opened == 0 {
		return failed
	}
	return s.Gone(ctx)
}

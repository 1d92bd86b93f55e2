package consumer

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/create"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// A partition that was lost comes back in two steps. First its plain shapes
// that were live catch up from its last checkpoint to the main loop, all together,
// and meanwhile no checkpoint is written. Once they have joined, its other shapes
// go on as they do after a restart, and the partition is up.

// takeover is what is known of a partition that can be written again.
type takeover struct {
	p        *live.Partition
	writer   *shapelog.Writer
	cp       wire.Checkpoint
	records  []*registry.Shape
	tails    shapelog.Tails
	entrants []*entrant
	bad      map[string]error // records that cannot be read, by id
	done     bool             // the partition is up
}

// probeStall is how long an attempt waits for a stream that does not answer.
// Nobody waits for it, so it may be busy.
const probeStall = 10 * time.Second

// lookTime bounds one attempt to take a partition in.
const lookTime = time.Minute

// bringBack tries until a lost partition can be written again.
func (s *session) bringBack(ctx context.Context, p *live.Partition) error {
	for p.Pause.Wait(ctx) {
		t, failed := s.lookAt(ctx, p)
		if failed != nil && (errors.Is(failed, registry.ErrLeaseLost) || s.Gone(ctx) != nil) {
			return service.IgnoreEnd(ctx, failed)
		}
		err := s.OnMain(ctx, func(ctx context.Context) error {
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
		if err != nil || failed == nil {
			return service.IgnoreOver(ctx, err)
		}
		s.Log.DebugContext(ctx, "the partition is not back yet", slog.Int("partition", p.N), slog.Any("error", failed))
	}
	return nil
}

// maxReturn is the longest pause between two attempts to take a partition in.
const maxReturn = 5 * time.Second

// lookAt begins to write a lost partition and reads where it and its shapes
// stand. Until takeIn, nobody else knows of it.
func (s *session) lookAt(ctx context.Context, p *live.Partition) (t *takeover, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	l, err := p.Open(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if err = s.c.cfg.Source.EnsureShapeLog(ctx, s.JS, p.N, s.c.cfg.ShapeLogs); err == nil {
			l, err = p.Open(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	// A process that slept past its lease must not write behind its successor:
	// the writer goes on from where the stream ended, and after that the lease was still ours.
	if err := s.lease.Verify(ctx); err != nil {
		return nil, err
	}
	t = &takeover{p: p, writer: l}
	if t.cp, _, err = registry.ReadCheckpoint(ctx, s.JS, s.c.cfg.Source, p.N); err != nil {
		return nil, err
	}
	l.SetStall(probeStall)
	// This shows that the stream can be written, and behind its fence nothing
	// comes any more that an earlier writer had on its way: what is read now is the end.
	if err := p.Checkpoint(ctx, l, t.cp, nil); err != nil {
		return nil, err
	}
	if err := l.Flush(ctx); err != nil {
		return nil, err
	}
	l.SetStall(s.c.cfg.Stall)
	p.Floor.Store(live.FloorIn(t.cp))
	err = s.OnMain(ctx, func(context.Context) error {
		p.Missed = map[string]registry.Event{}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if t.records, t.bad, err = s.recordsOf(ctx, p.N); err != nil {
		return nil, err
	}
	t.tails = shapelog.NewTails()
	if err := shapelog.ReadTails(ctx, s.JS, s.c.cfg.Source, t.records, &t.tails); err != nil {
		return nil, err
	}
	t.tails.Partitions[p.N] = true
	if err := s.OnMain(ctx, func(ctx context.Context) error { return s.keepNeeded(ctx, t.records, t.tails) }); err != nil {
		return nil, err
	}
	if t.entrants, err = s.entrants(ctx, t.records, t.tails, map[int]wire.Checkpoint{p.N: t.cp}); err != nil {
		return nil, err
	}
	return t, nil
}

// recordsOf returns the records of a partition's shapes, and why records of any
// partition cannot be read, by id.
func (s *session) recordsOf(ctx context.Context, partition int) ([]*registry.Shape, map[string]error, error) {
	watch, enough := context.WithCancel(ctx)
	defer enough()
	byID := map[string]*registry.Shape{}
	bad := map[string]error{}
	loaded := false
	err := s.Shapes.Watch(watch, func(e registry.Event) {
		e = registry.Within(e, len(s.Parts))
		delete(bad, e.ID)
		switch {
		case loaded:
		case e.Err != nil:
			bad[e.ID] = e.Err
			delete(byID, e.ID)
		case e.Shape != nil && e.Shape.Partition == partition:
			byID[e.ID] = e.Shape
		default:
			delete(byID, e.ID)
		}
	}, func() { loaded = true; enough() })
	if err != nil {
		return nil, nil, err
	}
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	records := make([]*registry.Shape, 0, len(byID))
	for _, rec := range byID {
		records = append(records, rec)
	}
	return records, bad, nil
}

// takeIn begins to take a partition in. Runs on the main loop.
func (s *session) takeIn(ctx context.Context, t *takeover) error {
	p := t.p
	p.Writer.Store(t.writer)
	p.Phase = live.Catching
	s.WatchWriter(ctx, p, t.writer)
	s.watchSets(ctx, t.records, t.tails)
	q := s.creator.NewCatchUp(func(ctx context.Context) error { return s.raise(ctx, t) })
	for _, e := range t.entrants {
		delete(s.Finished, e.rec.Handle)
		if e.f == nil {
			continue
		}
		e.f.Writer = t.writer
		if e.course == courseGroup {
			from := e.at
			if len(e.put) > 0 {
				from-- // what is aside is written at e.at
			}
			s.Sets.Rewind(e.f.Handle, from, e.tail.Committed)
			continue
		}
		if s.superseded(e) {
			continue
		}
		s.NoteMarkers(e.f) // what it catches up with is noted again, as far as it was before
		q.TakeBack(ctx, e.rec, e.tail, e.f, changelog.Place{LSN: e.f.After + 1, Seq: t.cp.Seq + 1})
	}
	s.Tasks.Go(func() error { return service.IgnoreEnd(ctx, s.comeBack(ctx, t, q)) })
	return nil
}

// superseded reports whether a shape has got another life, or none, since its
// record was read. What that means is in the partition's missed records. Runs on the main loop.
func (s *session) superseded(e *entrant) bool {
	if s.Live[e.rec.ID] != nil || s.OwnerOf(e.rec.ID) != nil {
		return true
	}
	return e.course != courseEnd && s.Records[e.rec.ID].Handle != e.rec.Handle
}

// comeBack takes a partition's plain shapes to the main loop, and the others
// behind them. Not on the main loop.
func (s *session) comeBack(ctx context.Context, t *takeover, q *create.CatchUp) error {
	if len(q.Members) > 0 {
		err := q.Run(ctx, false)
		if _, ok := errors.AsType[*live.FinalError](err); ok { // no shape can go on
			err = q.Settle(ctx, err)
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
		if e.course == courseFollow || s.superseded(e) {
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
	s.Saved = [2]changelog.Place{} // so that a checkpoint is written soon
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
	if p.Phase == live.Up || handle != "" {
		return false
	}
	if p.Missed != nil {
		p.Missed[e.ID] = e
	}
	return true
}

// openParts begins to write the streams of all partitions that can be written.
// It fails if there is none.
func (s *session) openParts(ctx context.Context) error {
	errs := make([]error, len(s.Parts))
	done := make(chan struct{})
	for i, p := range s.Parts {
		go func() {
			defer func() { done <- struct{}{} }()
			var l *shapelog.Writer
			if l, errs[i] = p.Open(ctx); errs[i] == nil {
				p.Writer.Store(l)
			}
		}()
	}
	for range s.Parts {
		<-done
	}
	opened := 0
	for i, p := range s.Parts {
		if p.Why = errs[i]; p.Why == nil {
			opened++
		}
	}
	if opened == 0 {
		return errs[0]
	}
	return s.Gone(ctx)
}

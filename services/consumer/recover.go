package consumer

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// recover is the start path, after a crash or not: it reads where every
// partition and every log stands, and returns where to read the change log from. A
// partition that cannot be read is left out; it comes back as one that is lost later.
func (s *session) recover(ctx context.Context) (changelog.Place, error) {
	checkpoints, start, err := s.readCheckpoints(ctx)
	if err != nil {
		return changelog.Place{}, err
	}
	records, unreadable, err := s.watchShapes(ctx)
	if err != nil {
		return changelog.Place{}, err
	}
	for _, rec := range records {
		s.NoteRecord(rec.ID, rec)
	}
	tails, err := s.readTailsAtStart(ctx, records)
	if err != nil {
		return changelog.Place{}, err
	}
	records = slices.DeleteFunc(records, func(rec *registry.Shape) bool { return !tails.Partitions[rec.Partition] })
	if err := s.keepNeeded(ctx, records, tails); err != nil {
		return changelog.Place{}, err
	}
	s.From = start.LSN
	s.Sets.Advance(max(start.LSN, 1) - 1) // on an idle database no message says so, and partitions that are taken in wait for it
	s.watchSets(ctx, records, tails)
	entrants, err := s.entrants(ctx, records, tails, checkpoints)
	if err != nil {
		return changelog.Place{}, err
	}
	for _, p := range s.Parts {
		if tails.Partitions[p.N] {
			p.Phase, p.Since = live.Up, time.Now()
			s.WatchWriter(ctx, p, p.Writer.Load())
		}
	}
	var outers []*entrant
	for _, e := range entrants {
		if err := s.admit(ctx, e, &outers); err != nil {
			return changelog.Place{}, err
		}
	}
	if err := s.endUnreadable(ctx, s.Parts, unreadable); err != nil {
		return changelog.Place{}, err
	}
	// Stored sequences are hints: the stream may not be the one it was. Whether
	// it has what the shapes need, the first message tells that comes.
	start.Seq, err = s.Changes.Seek(ctx, start.LSN, start.Seq)
	if err != nil {
		return changelog.Place{}, err
	}
	if s.Applied.Seq = start.Seq - 1; start.LSN <= s.Applied.LSN {
		s.Again = &start
	}
	if err := s.resume(ctx, outers); err != nil {
		return changelog.Place{}, err
	}
	up := 0
	for _, p := range s.Parts {
		if p.Phase == live.Up {
			up++
		}
		if p.Phase == live.Down && p.Why != nil {
			s.Log.ErrorContext(ctx, "a partition cannot be used; its shapes wait, all others go on", slog.Int("partition", p.N), slog.Any("error", p.Why))
			s.Tasks.Go(func() error { return s.bringBack(ctx, p, 0, false) })
		}
	}
	s.tellDown(ctx)
	s.Log.InfoContext(ctx, "partitions taken over", slog.Int("partitions", up), slog.Int("live_shapes", len(s.Live)), slog.Int64("parked_shapes", s.Stats.Parked.Load()),
		slog.String("from_lsn", start.LSN.String()), slog.Uint64("from_seq", start.Seq))
	return start, nil
}

// leaveOut says that a partition is not part of the start.
func (s *session) leaveOut(p *live.Partition, why error) {
	if l := p.Writer.Swap(nil); l != nil {
		l.Close()
	}
	p.Why = why
}

// readTailsAtStart reads the ends of the logs of all partitions that can be read.
func (s *session) readTailsAtStart(ctx context.Context, records []*registry.Shape) (shapelog.Tails, error) {
	all := shapelog.NewTails()
	of := map[int][]*registry.Shape{}
	for _, rec := range records {
		of[rec.Partition] = append(of[rec.Partition], rec)
	}
	for _, p := range s.Parts {
		if p.Writer.Load() == nil {
			continue
		}
		err := shapelog.ReadTails(ctx, s.JS, s.Cfg.Source, of[p.N], &all)
		switch {
		case err == nil:
			all.Partitions[p.N] = true
		case s.Gone(ctx) != nil:
			return all, err
		default:
			s.leaveOut(p, err)
		}
	}
	return all, nil
}

// uncover says in the record that no checkpoint covers the shape.
func (s *session) uncover(ctx context.Context, rec *registry.Shape) error {
	return s.ChangeRecord(ctx, rec.ID, rec.Handle, func(r *registry.Shape) {
		if r.State == control.StateLive {
			r.State = control.StateCreating
		}
	})
}

// readCheckpoints returns the checkpoints of the partitions that can be read,
// and the lowest floor.
func (s *session) readCheckpoints(ctx context.Context) (map[int]wire.Checkpoint, changelog.Place, error) {
	all := make(map[int]wire.Checkpoint, len(s.Parts))
	var start changelog.Place
	for _, p := range s.Parts {
		if p.Writer.Load() == nil {
			continue
		}
		c, _, err := registry.ReadCheckpoint(ctx, s.JS, s.Cfg.Source, p.N, s.Changes.HistoryID())
		if err != nil {
			if s.Gone(ctx) != nil {
				return nil, changelog.Place{}, err
			}
			s.leaveOut(p, err)
			continue
		}
		all[p.N] = c
		// Without a checkpoint the partition's shapes may need all there is.
		p.Floor.Store(live.FloorIn(c))
		if len(all) == 1 || change.LSN(c.FloorLSN) < start.LSN {
			start = changelog.Place{LSN: change.LSN(c.FloorLSN), Seq: c.FloorSeq}
		}
		if change.LSN(c.LSN) > s.Applied.LSN {
			s.Applied = changelog.Place{LSN: change.LSN(c.LSN), Seq: c.Seq}
		}
	}
	s.Stats.Applied.Store(uint64(s.Applied.LSN))
	return all, start, nil
}

// watchShapes returns all records, and why others cannot be read, by id. It goes on telling the main loop of changes.
func (s *session) watchShapes(ctx context.Context) ([]*registry.Shape, map[string]error, error) {
	first := map[string]*registry.Shape{} // by id, as one that changes meanwhile comes twice
	unreadable := map[string]error{}
	loaded := make(chan struct{})
	isLoaded := false
	s.Tasks.Go(func() error {
		return s.Shapes.Watch(ctx, func(e registry.Event) {
			e = s.Shapes.Within(ctx, e, s.c.partitions.Load())
			if !isLoaded {
				if delete(unreadable, e.ID); e.Err != nil {
					unreadable[e.ID] = e.Err
					s.sayUnreadable(ctx, e)
				}
				if first[e.ID] = e.Shape; e.Shape == nil {
					delete(first, e.ID)
				}
				return
			}
			_ = s.Calls.Send(ctx, func(ctx context.Context) error { return s.recordChanged(ctx, e) }) // else the session is over
		}, func() { isLoaded = true; close(loaded) })
	})
	select {
	case <-loaded:
		records := slices.Collect(maps.Values(first))
		first = nil // the watch goes on and would keep them
		return records, unreadable, nil
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
}

// recordChanged acts on a change of a shape's record.
func (s *session) recordChanged(ctx context.Context, e registry.Event) error {
	if e.Err != nil {
		return s.poisonedRecord(ctx, e)
	}
	handle := ""
	was := s.Records[e.ID]
	if e.Shape != nil && e.Shape.Handle == was.Handle && e.Shape.Partition != was.Partition {
		e.Err = fmt.Errorf("shape %s: %w: it names partition %d, and the shape is in %d", e.ID, registry.ErrUnreadable, e.Shape.Partition, was.Partition)
		return s.poisonedRecord(ctx, e)
	}
	s.NoteRecord(e.ID, e.Shape)
	if was.Handle != "" && !s.runs(e.ID) {
		if err := s.endedElsewhere(ctx, was, e.Shape); err != nil {
			return err
		}
	}
	if f := s.Live[e.ID]; f != nil {
		handle = f.Handle
	} else if o := s.OwnerOf(e.ID); o != nil {
		handle = o.Handle(e.ID)
	}
	rec := e.Shape
	if rec != nil && rec.State == control.StateDeleting && len(s.DependsOn[rec.Handle]) > 0 {
		return s.KeepInner(ctx, rec)
	}
	if handle != "" && (rec == nil || rec.Handle != handle || rec.State == control.StateDeleting) {
		if err := s.EndRunning(ctx, e.ID, live.ReasonDeleted, rec != nil && rec.Handle == handle); err != nil {
			return err
		}
		if rec != nil && rec.Handle == handle {
			return nil
		}
		handle = ""
	}
	if s.missedBy(e, handle) {
		return nil
	}
	switch {
	case rec == nil || handle != "":
	case rec.State == control.StateCreating && !s.Finished[rec.Handle] && len(rec.Subqueries) > 0:
		return s.groups.ParkOuter(ctx, rec, wire.Tail{})
	case rec.State == control.StateCreating && !s.Finished[rec.Handle]: // else an echo of this session's own writes
		s.creator.Park(ctx, rec, wire.Tail{}, true)
	case rec.State == control.StateDeleting:
		tail, err := shapelog.ReadTail(ctx, s.JS, s.Cfg.Source, rec.Partition, rec.Handle)
		if err != nil && s.Gone(ctx) != nil {
			return err
		}
		if err != nil { // whoever takes the partition over ends the shape
			s.Parts[rec.Partition].Writer.Load().Kill(err)
			return nil
		}
		return s.EndRecord(ctx, rec, tail, live.ReasonDeleted)
	}
	return nil
}

// runs reports whether this process follows a shape. Whose partition it has, or gets, says nothing of that: it may be about to
// take in what another process has just ended.
func (s *session) runs(id string) bool { return s.Live[id] != nil || s.OwnerOf(id) != nil }

// endedElsewhere ends the shapes here that depend on one that another process wrote, when its record says that its life is over.
func (s *session) endedElsewhere(ctx context.Context, was live.Record, now *registry.Shape) error {
	switch {
	case now == nil || now.Handle != was.Handle:
		return s.EndShadow(ctx, was.Handle, live.ReasonDeleted)
	case now.State == control.StateEnded:
		return s.EndShadow(ctx, was.Handle, now.Reason)
	}
	return nil
}

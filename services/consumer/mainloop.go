package consumer

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

func (s *mainLoop) closeParts() {
	for _, p := range s.parts {
		if l := p.writer.Load(); l != nil {
			l.Close()
		}
	}
}

// serve is the main loop: it takes the messages of the change log and what others have it do.
func (s *mainLoop) serve(ctx context.Context, messages <-chan stream.Change) error {
	s.stats.Owner.Store(true)
	defer s.stats.Owner.Store(false)
	tick := time.NewTicker(s.cfg.Checkpoint)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return s.leave(ctx)
		case m := <-messages:
			if err := s.message(ctx, m); err != nil {
				return err
			}
		case f := <-s.calls.Calls():
			if err := f(ctx); err != nil {
				return err
			}
		case <-tick.C:
			if s.moved() {
				if err := s.checkpoint(ctx, nil); err != nil {
					return err
				}
			}
		}
	}
}

// leave writes a last checkpoint, so that the successor has little to read again.
func (s *mainLoop) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if !s.moved() || s.checkpoint(ctx, nil) != nil {
		return nil
	}
	for _, p := range s.parts {
		if p.phase != up {
			continue
		}
		if err := p.writer.Load().Flush(ctx); err != nil {
			s.log.WarnContext(ctx, "last checkpoint not stored; the next start reads some of the change log again", slog.Any("error", err))
			return nil
		}
	}
	return nil
}

// onMain runs f on the main loop and waits for it. When ctx or the session
// ends before f has begun, it does not run.
func (s *mainLoop) onMain(ctx context.Context, f func(context.Context) error) error {
	return s.calls.Do(ctx, f)
}

// message takes one message of the change log.
func (s *mainLoop) message(ctx context.Context, m stream.Change) error {
	if m.Lost != 0 {
		if err := s.discarded(ctx, &m); err != nil {
			return err
		}
	}
	s.recent.Add(m.Received)
	s.proofs.LookFor(m.Step.LSN)
	lsn, err := s.feed.Read(ctx, m.Received,
		func(c wire.Control) error { return s.control(ctx, c) },
		func(rel *change.Relation, f *change.Fragment) error { return s.fragment(ctx, rel, f) })
	poison, poisoned := errors.AsType[*changelog.PoisonError](err)
	if poisoned {
		err = s.poisoned(ctx, poison)
	}
	if err != nil {
		return err
	}
	if err := s.flush(ctx); err != nil {
		return err
	}
	defer s.dropLost(ctx)
	if poisoned { // the place of what comes next is as far as anything is known to be whole
		s.read = changelog.Place{LSN: max(s.read.LSN, lsn), Seq: m.Seq}
		s.recent.Arrive(m.Seq, s.applied.LSN)
		return nil
	}
	if s.open == 0 && lsn >= s.applied.LSN {
		s.applied, s.again = changelog.Place{LSN: lsn, Seq: m.Seq}, nil
		s.stats.Applied.Store(uint64(lsn))
	}
	s.read = changelog.Place{LSN: lsn, Seq: m.Seq}
	if s.open == 0 {
		s.sets.Advance(lsn)
	}
	s.recent.Arrive(m.Seq, s.applied.LSN)
	s.stats.Messages.Add(1)
	s.stats.Unread.Store(m.Pending)
	s.stats.Ops.Add(s.router.TakeOps())
	if s.visibility.Crowded() {
		s.prune(ctx)
	}
	return nil
}

func (s *mainLoop) fragment(ctx context.Context, rel *change.Relation, f *change.Fragment) error {
	s.visibility.See(f.XID, f.LSN, s.feed.First(f.LSN))
	s.above.Fragment(rel.OID, f)
	if s.open != f.LSN {
		s.open = f.LSN
	}
	for {
		ended, err := s.router.Fragment(rel, f, s.cfg.PendingBytes, func() error { return s.flush(ctx) })
		if err != nil {
			return err
		}
		changed := false
		for _, e := range ended {
			changed = changed || f.Relation != e.Fingerprint
			if err := s.endLive(ctx, e, e.Ended); err != nil {
				return err
			}
		}
		s.dirty(ctx)
		if !changed {
			break
		}
	}
	if changelog.Completes(rel.OID, f) {
		s.router.CommitDeferred(f)
		s.open = 0
	}
	s.cfg.Failpoint("after_fragment")
	return nil
}

// flush appends what the shapes gathered.
func (s *mainLoop) flush(ctx context.Context) error {
	for _, f := range s.router.Take() {
		if f.Ended != "" {
			continue
		}
		if err := s.noteLost(s.parts[f.Partition].Append(ctx, &f.Log)); err != nil {
			return err
		}
	}
	return nil
}

// control acts on a control entry.
func (s *mainLoop) control(ctx context.Context, c wire.Control) error {
	switch c.Kind {
	case wire.ControlReset:
		s.open = 0 // what was open before a gap stays unfinished
		for _, f := range s.followers() {
			if f.Concerns(change.LSN(c.LSN)) {
				if err := s.endLive(ctx, f, c.Reason); err != nil {
					return err
				}
			}
		}
	case wire.ControlRelation:
		rel, err := s.relations.Get(ctx, c.Relation)
		if err != nil {
			return err
		}
		s.above.Described()
		at := &change.Fragment{LSN: change.LSN(c.LSN), Relation: c.Relation}
		if s.open != at.LSN { // it stands before the ops that need it
			s.open = at.LSN
		}
		for _, f := range s.router.On(c.OID) {
			if f.Concerns(at.LSN) && f.CheckRelation(rel, at) {
				if err := s.endLive(ctx, f, f.Ended); err != nil {
					return err
				}
			}
		}
	case wire.ControlBarrier:
		s.proofs.Show(c)
		if change.LSN(c.LSN) > s.open {
			s.open = 0 // what began before it and is not complete has lost its beginning
		}
		return s.above.Barrier(ctx, c)
	}
	return nil
}

func (s *mainLoop) followers() []*follow.Follower {
	all := make([]*follow.Follower, 0, len(s.live))
	for _, f := range s.live {
		all = append(all, f)
	}
	return all
}

// checkpoint appends a checkpoint to every partition that is up. stored, if not
// nil, is called once for each, unless the partition is lost before.
func (s *mainLoop) checkpoint(ctx context.Context, stored func(partition int)) error {
	floor := s.floor()
	c := wire.Checkpoint{
		LSN: uint64(s.applied.LSN), Seq: s.applied.Seq,
		FloorLSN: uint64(floor.LSN), FloorSeq: floor.Seq, History: s.changes.HistoryID(), At: time.Now().UnixMicro(),
	}
	defer s.dropLost(ctx)
	parked := s.above.Places()
	for _, p := range s.parts {
		if p.phase != up {
			continue
		}
		c.Parked = parked[p.N]
		s.cfg.Failpoint("before_checkpoint")
		err := p.save(ctx, c, func(uint64) {
			if stored != nil {
				stored(p.N)
			}
		})
		if err := s.noteLost(err); err != nil {
			return err
		}
	}
	s.saved, s.savedParked = [2]changelog.Place{s.applied, floor}, len(parked) > 0
	s.stats.Values.Store(s.sets.Trim(floor.LSN, s.applied.LSN, s.liveSets.view))
	return nil
}

// moved reports whether a checkpoint would say anything new, and true.
func (s *mainLoop) moved() bool {
	return s.again == nil && (s.saved != [2]changelog.Place{s.applied, s.floor()} || s.above.Behind() || s.savedParked)
}

// start is where a shape must begin to read whose snapshot is taken from now on.
func (s *mainLoop) start() changelog.Place {
	start := changelog.Place{LSN: s.applied.LSN + 1, Seq: s.applied.Seq + 1}
	if s.again != nil && s.again.LSN < start.LSN {
		return changelog.Place{LSN: max(s.again.LSN, 1), Seq: max(s.again.Seq, 1)} // what is before a start is a place, too
	}
	if p, ok := s.visibility.Floor(); ok && p.LSN < start.LSN {
		start = p
	}
	return start
}

// floor is the place below which the change log is not needed any more.
func (s *mainLoop) floor() changelog.Place {
	floor := s.start()
	// Ingest goes on from the last transaction, so that stays.
	if p, ok := s.visibility.Last(); ok && p.LSN < floor.LSN {
		floor = p
	}
	for _, p := range s.pins {
		if p.LSN < floor.LSN {
			floor = p
		}
	}
	for p := range s.above.Floors() {
		if p.LSN < floor.LSN {
			floor = p
		}
	}
	for _, part := range s.parts {
		if p := part.floor.Load(); part.phase != up && p != nil && p.LSN < floor.LSN {
			floor = *p
		}
	}
	return floor
}

// prune asks Postgres which transactions every new snapshot sees by now.
func (s *mainLoop) prune(ctx context.Context) {
	if s.pruning || s.visibility.Empty() {
		return
	}
	s.pruning = true
	s.tasks.Go(func() error {
		snap, err := s.pg.currentSnapshot(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "cannot ask Postgres for a snapshot; the change log is trimmed later", slog.Any("error", err))
		}
		return service.IgnoreEnd(ctx, s.onMain(ctx, func(context.Context) error {
			s.pruning = false
			if err == nil {
				s.visibility.Prune(snap)
			}
			return nil
		}))
	})
}

// follow prepares a shape from its record, for the log that stands at tail.
func (s *mainLoop) follow(rec *registry.Shape, tail wire.Tail) (*follow.Follower, error) {
	if rec.Table != nil {
		shared, _ := s.infos.LoadOrStore(rec.Structure+rec.Table.Files(), rec.Table)
		rec.Table = shared.(*pg.TableInfo) //nolint:forcetypeassert,errcheck // the map holds nothing else
	}
	return follow.NewFollower(rec, s.logOf(rec.Partition, rec.Handle, tail), s.sets.Note)
}

// state changes a shape's record, unless it belongs to another life by now.
func (s *mainLoop) state(ctx context.Context, id, handle string, f func(*registry.Shape)) error {
	_, err := s.shapes.Change(ctx, id, func(r *registry.Shape) bool {
		if r.Handle != handle || r.State == control.StateEnded {
			return false
		}
		f(r)
		return true
	})
	if errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	return err
}

// newSegment begins a segment of a shape, whose record tells how many rows it has.
func (s *mainLoop) newSegment(rec *registry.Shape, w *shapelog.Writer) *shapelog.SegmentWriter {
	return s.parts[rec.Partition].NewSegment(w, rec.Handle, func(ctx context.Context, rows uint64) error {
		return s.state(ctx, rec.ID, rec.Handle, func(r *registry.Shape) { r.SnapshotRows = int64(rows) })
	})
}

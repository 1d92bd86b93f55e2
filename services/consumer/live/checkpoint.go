package live

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/pg/snapshots"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/changelog"
)

// Checkpoint appends a checkpoint to every partition that is up. stored, if not
// nil, is called once for each, unless the partition is lost before.
func (s *Loop) Checkpoint(ctx context.Context, stored func(partition int)) error {
	c, floor := s.place()
	defer s.dropLost(ctx)
	parked := s.Above.Places()
	for _, p := range s.Parts {
		if p.Phase != Up {
			continue
		}
		c.Parked = parked[p.N]
		s.Cfg.Failpoint(failpoint.BeforeCheckpoint)
		err := p.save(ctx, c, func(uint64) {
			if stored != nil {
				stored(p.N)
			}
		})
		if err := s.noteLost(err); err != nil {
			return err
		}
	}
	s.saved, s.savedParked = [2]changelog.Place{s.Applied, floor}, len(parked) > 0
	s.Stats.Values.Store(s.Sets.Trim(floor.LSN, s.Applied.LSN, s.Selections.View))
	return nil
}

// place is what a checkpoint says of the main loop, and the floor in it.
func (s *Loop) place() (c wire.Checkpoint, floor changelog.Place) {
	floor = s.Floor()
	return wire.Checkpoint{
		LSN: uint64(s.Applied.LSN), Seq: s.Applied.Seq,
		FloorLSN: uint64(floor.LSN), FloorSeq: floor.Seq, History: s.Changes.HistoryID(), At: time.Now().UnixMicro(),
	}, floor
}

// CheckpointOf appends a checkpoint to one partition. Who cannot write it is noticed as always.
func (s *Loop) CheckpointOf(ctx context.Context, p *Partition) {
	if s.Again != nil { // the last one tells more
		return
	}
	c, _ := s.place()
	c.Parked = s.Above.Places()[p.N]
	s.Cfg.Failpoint(failpoint.BeforeCheckpoint)
	_ = s.noteLost(p.save(ctx, c, nil)) // else the session is about to end
}

// moved reports whether a checkpoint would say anything new, and true.
func (s *Loop) moved() bool {
	return s.Again == nil && (s.saved != [2]changelog.Place{s.Applied, s.Floor()} || s.Above.Behind() || s.savedParked)
}

// start is where a shape must begin to read whose snapshot is taken from now on.
func (s *Loop) start() changelog.Place {
	start := changelog.Place{LSN: s.Applied.LSN + 1, Seq: s.Applied.Seq + 1}
	if s.Again != nil && s.Again.LSN < start.LSN {
		return changelog.Place{LSN: max(s.Again.LSN, 1), Seq: max(s.Again.Seq, 1)} // what is before a start is a place, too
	}
	if p, ok := s.Visibility.Floor(); ok && p.LSN < start.LSN {
		start = p
	}
	return start
}

// Begin finds out where a shape must begin to read whose snapshot is taken from now on: at the oldest
// transaction that such a snapshot may not see. pin is called with that on the main loop, and sees to
// it that the change log is not trimmed there.
func (s *Loop) Begin(ctx context.Context, conn *pgx.Conn, pin func(start changelog.Place)) error {
	now, err := snapshots.Current(ctx, conn)
	if err != nil {
		return err
	}
	return s.OnMain(ctx, func(context.Context) error {
		s.Visibility.Prune(now)
		pin(s.start())
		return nil
	})
}

// Floor is the place below which the change log is not needed any more.
func (s *Loop) Floor() changelog.Place {
	floor := s.start()
	// Ingest goes on from the last transaction, so that stays.
	if p, ok := s.Visibility.Last(); ok && p.LSN < floor.LSN {
		floor = p
	}
	for _, p := range s.pins {
		if p.LSN < floor.LSN {
			floor = p
		}
	}
	for p := range s.Above.Floors() {
		if p.LSN < floor.LSN {
			floor = p
		}
	}
	for _, part := range s.Parts {
		if p := part.Floor.Load(); part.Mine() && part.Phase != Up && p != nil && p.LSN < floor.LSN {
			floor = *p
		}
	}
	return floor
}

// prune asks Postgres which transactions every new snapshot sees.
func (s *Loop) prune(ctx context.Context) {
	if s.pruning || s.Visibility.Empty() {
		return
	}
	s.pruning = true
	s.Tasks.Go(func() error {
		snap, err := s.Postgres.currentSnapshot(ctx)
		return service.IgnoreEnd(ctx, s.OnMain(ctx, func(ctx context.Context) error {
			s.pruning = false
			if err == nil {
				s.Visibility.Prune(snap)
			} else if !s.unpruned {
				s.Log.WarnContext(ctx, "cannot ask Postgres for a snapshot; until that works a restart reads more of the change log again, and it is trimmed later", slog.Any("error", err))
			}
			s.unpruned = err != nil
			return nil
		}))
	})
}

// CheckpointSoon has the next checkpoint written even if nothing has moved.
func (s *Loop) CheckpointSoon() { s.saved = [2]changelog.Place{} }

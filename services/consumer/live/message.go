package live

import (
	"context"
	"errors"
	"log/slog"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/follow"
)

// message takes one message of the change log.
func (s *Loop) message(ctx context.Context, m stream.Change) error {
	if m.Lost != 0 {
		if err := s.discarded(ctx, &m); err != nil {
			return err
		}
	}
	s.Recent.Add(m.Received)
	s.proofs.LookFor(m.Step.LSN)
	lsn, err := s.Feed.Read(ctx, m.Received,
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
		s.Read = changelog.Place{LSN: max(s.Read.LSN, lsn), Seq: m.Seq}
		s.Recent.Arrive(m.Seq, s.Applied.LSN)
		return nil
	}
	if s.Open == 0 && lsn >= s.Applied.LSN {
		s.Applied, s.Again = changelog.Place{LSN: lsn, Seq: m.Seq}, nil
		s.Stats.Applied.Store(uint64(lsn))
	}
	s.Read = changelog.Place{LSN: lsn, Seq: m.Seq}
	if s.Open == 0 {
		s.Sets.Advance(lsn)
	}
	s.Recent.Arrive(m.Seq, s.Applied.LSN)
	s.Stats.Messages.Add(1)
	s.Stats.Heard.Now()
	s.Stats.Unread.Store(m.Pending)
	s.Stats.Ops.Add(s.Router.TakeOps())
	if s.Visibility.Crowded() {
		s.prune(ctx)
	}
	return nil
}

func (s *Loop) fragment(ctx context.Context, rel *change.Relation, f *change.Fragment) error {
	s.Stats.Committed.Store(f.CommitTime)
	s.Visibility.See(f.XID, f.LSN, s.Feed.First(f.LSN))
	s.Above.Fragment(rel.OID, f)
	if s.Open != f.LSN {
		s.Open = f.LSN
	}
	err := s.Router.Offer(rel, f, s.Cfg.PendingBytes, func() error { return s.flush(ctx) },
		func(e *follow.Follower) error { return s.endLive(ctx, e, e.Ended) })
	if err != nil {
		return err
	}
	s.dirty(ctx)
	if changelog.Completes(rel.OID, f) {
		s.Router.CommitOwed(f)
		s.Open = 0
	}
	s.Cfg.Failpoint(failpoint.AfterFragment)
	return nil
}

// flush appends what the live shapes gathered.
func (s *Loop) flush(ctx context.Context) error {
	return s.AppendGathered(ctx, s.Router, s.noteLost)
}

// AppendGathered appends what the shapes of a router have gathered, but for those that cannot go on. spare
// drops the errors that do not concern all of them.
func (s *Loop) AppendGathered(ctx context.Context, r *follow.Router, spare func(error) error) error {
	for _, f := range r.Take() {
		if f.Ended != "" {
			continue
		}
		if err := spare(s.Parts[f.Partition].Append(ctx, &f.Log)); err != nil {
			return err
		}
	}
	return nil
}

// control acts on a control entry.
func (s *Loop) control(ctx context.Context, c wire.Control) error {
	switch c.Kind {
	case wire.ControlReset:
		s.Open = 0 // what was open before a gap stays unfinished
		for _, f := range s.followers() {
			if f.Concerns(change.LSN(c.LSN)) {
				if err := s.endLive(ctx, f, c.Reason); err != nil {
					return err
				}
			}
		}
	case wire.ControlRelation:
		rel, err := s.Relations.Get(ctx, c.Relation)
		if errors.Is(err, registry.ErrUnreadable) { // whether the table is what it was nobody can tell
			for _, f := range s.Router.On(c.OID) {
				if f.Concerns(change.LSN(c.LSN)) {
					if err := s.endLive(ctx, f, err.Error()); err != nil {
						return err
					}
				}
			}
			return nil
		}
		if err != nil {
			return err
		}
		s.Above.Described()
		at := &change.Fragment{LSN: change.LSN(c.LSN), Relation: c.Relation}
		if s.Open != at.LSN { // it stands before the ops that need it
			s.Open = at.LSN
		}
		for _, f := range s.Router.On(c.OID) {
			if f.Concerns(at.LSN) && f.CheckRelation(rel, at) {
				if err := s.endLive(ctx, f, f.Ended); err != nil {
					return err
				}
			}
		}
	case wire.ControlBarrier:
		s.proofs.Show(c)
		if change.LSN(c.LSN) > s.Open {
			s.Open = 0 // what began before it and is not complete has lost its beginning
		}
		return s.Above.BarrierRead(ctx, c)
	}
	return nil
}

func (s *Loop) followers() []*follow.Follower {
	all := make([]*follow.Follower, 0, len(s.Live))
	for _, f := range s.Live {
		all = append(all, f)
	}
	return all
}

// ReasonDiscarded ends shapes that the change log left behind.
const ReasonDiscarded = "the change log discarded changes that this shape had not read yet; a larger --change-log-max-bytes keeps them longer"

// discarded ends the live shapes that needed what the main loop has lost: all that
// lay between its place and m. Those that have it already, from before a restart, go on.
func (s *Loop) discarded(ctx context.Context, m *stream.Change) error {
	s.Open = 0
	s.Recent.Clear()
	ended := 0
	for _, f := range s.followers() {
		if max(f.Has(), m.From.Whole()) >= m.Lost || f.Ended != "" {
			continue
		}
		ended++
		if err := s.endLive(ctx, f, ReasonDiscarded); err != nil {
			return err
		}
	}
	s.Log.WarnContext(ctx, "the change log has discarded changes that were not read; shapes that needed them end", slog.Int("shapes", ended),
		slog.String("from_lsn", m.From.LSN.String()), slog.String("to_lsn", m.Lost.String()))
	s.reshadow(ctx, func(f *follow.Follower) bool { return max(f.Has(), m.From.Whole()) < m.Lost })
	// Nobody who is left looks back, and what begins now begins behind it.
	behind := changelog.Place{LSN: m.Lost + 1, Seq: m.First}
	if s.Again != nil && s.Again.LSN < behind.LSN {
		s.Again = &behind
	}
	if s.Applied.LSN < m.Lost {
		s.Applied = changelog.Place{LSN: m.Lost, Seq: m.First - 1}
	}
	return nil
}

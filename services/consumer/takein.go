package consumer

import (
	"context"
	"fmt"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/course"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// entrant is a shape whose partition is being taken over.
type entrant struct {
	course.Standing
	course.Route

	f     *follow.Follower // of course.Follow and course.Group
	place changelog.Place  // of course.Group, in the change log
	put   []reconcile.Txn  // what is deferred
}

// entrants finds out how shapes go on. It looks up places in the change log,
// and does nothing else that others could see. Not on the main loop of a session
// that runs.
func (s *session) entrants(ctx context.Context, records []*registry.Shape, tails shapelog.Tails, checkpoints map[int]wire.Checkpoint) ([]*entrant, error) {
	all := make([]*entrant, 0, len(records))
	type spot struct {
		at       change.LSN
		deferred string
	}
	parked := map[int]shapelog.Parked{}
	for p, cp := range checkpoints {
		parked[p] = shapelog.ParkedIn(&cp)
	}
	spots := map[spot]*entrant{} // shapes often stand at the same place
	for _, rec := range records {
		e := &entrant{Standing: course.Standing{
			Record: rec, Tail: tails.Of[rec.Handle], Checkpoint: checkpoints[rec.Partition], Parked: parked[rec.Partition], Bad: tails.Bad[rec.Handle],
		}}
		e.Other = s.foreign(rec, e.Checkpoint)
		e.Route = course.Of(e.Standing)
		all = append(all, e)
		if e.Course != course.Follow && e.Course != course.Group {
			continue
		}
		var err error
		if e.f, err = s.Follow(rec, e.Tail); err != nil { // it is the shape's end, not the session's
			e.Route = course.Route{Course: course.End, Reason: err.Error()}
			continue
		}
		if e.Course == course.Follow {
			e.f.After = change.LSN(e.Checkpoint.LSN)
			continue
		}
		at := spot{e.At, e.Deferred}
		if o := spots[at]; o != nil {
			e.place, e.put = o.place, o.put
			continue
		}
		if err := s.locate(ctx, e); err != nil {
			return nil, err
		}
		spots[at] = e
	}
	return all, nil
}

// locate finds an entrant's place in the change log.
func (s *session) locate(ctx context.Context, e *entrant) error {
	lsns, err := wire.ParseDeferred(e.Deferred)
	if err != nil {
		return fmt.Errorf("shape %s: %w", e.Record.Handle, err)
	}
	seq, err := s.Changes.Seek(ctx, e.At+1, 0)
	if err != nil {
		return err
	}
	e.place = changelog.Place{LSN: e.At, Seq: seq - 1}
	for _, lsn := range lsns {
		first, err := s.Changes.Seek(ctx, lsn, 0)
		if err != nil {
			return err
		}
		e.put = append(e.put, reconcile.Txn{LSN: lsn, First: first})
	}
	return nil
}

// keepNeeded takes back the deletion of shapes that others depend on. Runs on
// the main loop.
func (s *session) keepNeeded(ctx context.Context, records []*registry.Shape, tails shapelog.Tails) error {
	for _, rec := range records {
		if rec.State != control.StateDeleting || len(s.DependsOn[rec.Handle]) == 0 {
			continue
		}
		if err := s.KeepInner(ctx, rec); err != nil {
			return err
		}
		rec.State = control.StateCreating // until it has been looked at more closely
		if tails.Of[rec.Handle].Began {
			rec.State = control.StateLive
		}
	}
	return nil
}

// watchSets makes the value sets known that entrants select from. Of an inner
// shape that is not among those whose tails were read, the end is found out later.
// Runs on the main loop.
func (s *session) watchSets(ctx context.Context, records []*registry.Shape, tails shapelog.Tails) {
	for _, rec := range records {
		if rec.State != control.StateLive && rec.State != control.StateCreating {
			continue
		}
		for _, q := range rec.Subqueries {
			switch {
			case !tails.Partitions[q.Partition]:
				s.WatchSet(ctx, q, nil)
			case tails.Of[rec.Handle].Began || tails.Of[q.Handle].Began:
				committed := tails.Of[q.Handle].Committed
				s.WatchSet(ctx, q, &committed)
			}
		}
	}
}

// admit gives a shape to whoever goes on with it, or adds it to outers. Runs on
// the main loop.
func (s *session) admit(ctx context.Context, e *entrant, outers *[]*entrant) error {
	switch e.Course {
	case course.None:
	case course.End:
		return s.EndRecord(ctx, e.Record, e.Tail, e.Reason)
	case course.Uncover:
		if err := s.uncover(ctx, e.Record); err != nil {
			return err
		}
		s.creator.Park(ctx, e.Record, e.Tail, false)
	case course.Create:
		s.creator.Park(ctx, e.Record, e.Tail, false)
	case course.Follow:
		s.AddLive(e.f)
	case course.Begin:
		return s.groups.ParkOuter(ctx, e.Record, e.Tail)
	case course.Group:
		if reason, err := s.Missing(ctx, e.Record); err != nil {
			return err
		} else if reason != "" {
			return s.EndRecord(ctx, e.Record, e.Tail, reason)
		}
		*outers = append(*outers, e)
	}
	return nil
}

// resume puts outer shapes that stand at the same place in groups. They join
// the main loop once that has passed what it has to read again.
func (s *session) resume(ctx context.Context, all []*entrant) error {
	type kind struct {
		at       change.LSN
		deferred string
		table    uint32
		depth    int
		id       string // of a shape that is being created: it is alone
		stuck    bool
	}
	groups := map[kind][]*entrant{}
	for _, e := range all {
		reason, err := s.Missing(ctx, e.Record)
		if err == nil && reason != "" { // its inner shape ended just now
			err = s.EndFollower(ctx, e.f, reason, true)
		}
		if err != nil {
			return err
		}
		if reason != "" {
			continue
		}
		k := kind{e.At, e.Deferred, e.f.Relation.OID, e.f.Outer.Depth, "", s.Stuck(e.Record.Subqueries)}
		if e.Record.State == control.StateCreating {
			k.id = e.f.ID
		}
		groups[k] = append(groups[k], e)
	}
	for k, members := range groups {
		followers := make([]*follow.Follower, 0, len(members))
		for _, m := range members {
			followers = append(followers, m.f)
		}
		if k.id != "" {
			s.groups.GoOnCreating(ctx, members[0].Record, members[0].f, members[0].place, members[0].put)
			continue
		}
		s.groups.GoOn(ctx, followers, members[0].place, members[0].put)
	}
	return nil
}

package create

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// CatchUp is parked shapes on their way from where they begin to read the
// change log to where the main loop is. They read it together: each passes over what its log
// or its snapshot holds. A goroutine owns it, and the main loop
// while the goroutine waits for that.
type CatchUp struct {
	s       *Creator
	Members []*Parked
	feed    *changelog.Feed
	router  *follow.Router
	back    func(context.Context) error // raises the partition with which the members come back; else nil
}

// catchUp takes members whose logs have their beginning to the main loop.
// known says that what their snapshots hold is noted already.
func (s *Creator) catchUp(ctx context.Context, members []*Parked, known bool) error {
	members, err := each(ctx, members, func(p *Parked) error {
		if known {
			return nil
		}
		held, err := shapelog.ReadSnapshot(p.ctx, s.JS, s.Cfg.Source, p.partition, p.handle)
		if _, ok := errors.AsType[*shapelog.BeginningError](err); ok {
			return &live.FinalError{Err: err}
		}
		if err != nil {
			return err
		}
		if p.rec.Snapshot == "" { // the record was written before the log's first entry, but only the latter reached the disk
			return &live.FinalError{Err: errors.New("the shape was being created when the server lost its last writes; create it again")}
		}
		p.f.Held = held
		return nil
	})
	if err != nil || len(members) == 0 {
		return err
	}
	q := s.NewCatchUp(nil)
	q.Members = members
	for _, p := range members {
		q.router.Add(p.f)
	}
	err = q.Run(ctx, known)
	if err == nil {
		return nil
	}
	return q.Conclude(ctx, err)
}

// NewCatchUp makes one without members. back raises the partition with which they come back, once
// they are with the main loop; nil if they do not.
func (s *Creator) NewCatchUp(back func(context.Context) error) *CatchUp {
	return &CatchUp{s: s, back: back, feed: changelog.NewFeed(s.Cfg.Source, s.Relations, new(wire.ChangeDecoder)), router: follow.NewRouter(nil).Measure(s.Stats.NewMeter())}
}

// TakeBack adds a shape that was live and catches up from a place. Runs on the main loop.
func (q *CatchUp) TakeBack(ctx context.Context, rec *registry.Shape, tail wire.Tail, f *follow.Follower, from changelog.Place) {
	p := q.s.newParked(ctx, rec, tail)
	p.behind, p.from, p.f = true, from, f
	q.s.Hold(p.ID, p)
	q.Members = append(q.Members, p)
	q.router.Add(f)
}

// Conclude concludes all members with one error.
func (q *CatchUp) Conclude(ctx context.Context, err error) error {
	for _, p := range q.Members {
		q.router.Remove(p.f)
	}
	return concludeAll(ctx, q.Members, err)
}

// Run concludes those members that end on the way. An error is the others'.
// known says that the members come from one snapshot of this session.
func (q *CatchUp) Run(ctx context.Context, known bool) error {
	s := q.s
	// The change log passes the snapshot's LSN soon, however idle the database is. It has
	// passed it where that is known.
	if !known {
		if err := s.Barrier(ctx, q.Members[0].handle); err != nil && q.back == nil {
			return err
		}
	}
	if q.back != nil {
		if at, ok, err := q.atMain(ctx); ok || err != nil {
			if err == nil {
				ok, err = q.join(ctx, at)
			}
			if ok || err != nil {
				return err
			}
		}
	}
	if known {
		if joined, err := q.joinNear(ctx); joined || err != nil {
			return err
		}
	}
	first := slices.MinFunc(q.Members, func(a, b *Parked) int { return cmp.Compare(a.begins().LSN, b.begins().LSN) }).begins()
	seq, err := s.Changes.Seek(ctx, first.LSN, first.Seq)
	if err != nil {
		return err
	}
	r, err := s.Changes.Open(ctx, stream.Place{LSN: max(first.LSN, 1) - 1}, seq)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:contextcheck // it has to work after ctx has ended
	anyLeft, stop := whileAny(ctx, q.Members)
	defer func() { stop() }()
	for of := len(q.Members); ; {
		if len(q.Members) != of { // some have left, and are not to be waited for
			stop()
			anyLeft, stop = whileAny(ctx, q.Members) //nolint:fatcontext // not in the one before
			of = len(q.Members)
		}
		m, err := r.Next(anyLeft)
		if err != nil {
			return err
		}
		if m.Lost != 0 {
			if err := q.lost(ctx, &m); err != nil || len(q.Members) == 0 {
				return err
			}
		}
		lsn, err := q.replay(ctx, m.Received)
		if err != nil {
			return err
		}
		joined, err := q.join(ctx, changelog.Place{LSN: lsn, Seq: m.Seq})
		if joined || err != nil {
			return err
		}
		if err := q.sweep(ctx); err != nil || len(q.Members) == 0 {
			return err
		}
	}
}

// atMain is the main loop's place, if the members have all that it has read. The
// sequence that their checkpoint names may be that of another stream.
func (q *CatchUp) atMain(ctx context.Context) (at changelog.Place, ok bool, err error) {
	err = q.s.OnMain(ctx, func(context.Context) error {
		at, ok = q.s.Read, q.s.Open == 0
		for _, p := range q.Members {
			ok = ok && p.begins().LSN > at.LSN
		}
		return nil
	})
	return at, ok, err
}

// lost lets those members end that needed what the change log has lost between
// the reader's place and m.
func (q *CatchUp) lost(ctx context.Context, m *stream.Change) error {
	for _, p := range slices.Clone(q.Members) {
		if max(p.has(), m.From.Whole()) >= m.Lost {
			continue
		}
		if err := q.leave(ctx, p, &live.FinalError{Err: errors.New(live.ReasonDiscarded)}); err != nil {
			return err
		}
	}
	return nil
}

// has is an LSN up to which the shape needs nothing of the change log any more:
// its snapshot or its log holds it.
func (p *Parked) has() change.LSN { return max(p.rec.StartLSN, 1, p.f.Has()+1) - 1 }

// leave concludes a member that does not go on.
func (q *CatchUp) leave(ctx context.Context, p *Parked, err error) error {
	q.router.Remove(p.f)
	q.Members = slices.DeleteFunc(q.Members, func(o *Parked) bool { return o == p })
	return p.conclude(ctx, err)
}

// sweep lets those members leave that have ended or were stopped.
func (q *CatchUp) sweep(ctx context.Context) error {
	for _, p := range slices.Clone(q.Members) {
		var err error
		switch {
		case p.f.Ended != "":
			err = q.leave(ctx, p, &live.FinalError{Err: errors.New(p.f.Ended)})
		case p.cause() != nil:
			err = q.leave(ctx, p, p.cause())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// whole reports whether all members still go on. Runs on the main loop.
func (q *CatchUp) whole() bool {
	return !slices.ContainsFunc(q.Members, func(p *Parked) bool {
		return !q.s.HeldBy(p.ID, p) || p.f.Ended != "" || p.cause() != nil
	})
}

// replay offers one message to the members, and appends what comes of it. The
// ended of those who cannot go on is set.
func (q *CatchUp) replay(ctx context.Context, m stream.Received) (change.LSN, error) {
	lsn, err := q.feed.Read(ctx, m,
		func(c wire.Control) error {
			for _, p := range q.Members {
				if c.Kind == wire.ControlReset && p.f.Ended == "" && p.f.Concerns(change.LSN(c.LSN)) {
					p.f.Ended = c.Reason
					q.router.Remove(p.f)
				}
			}
			return nil
		},
		func(rel *change.Relation, f *change.Fragment) error {
			return q.router.Offer(rel, f, q.s.Cfg.PendingBytes, func() error { return q.flush(ctx) },
				func(s *follow.Follower) error { q.router.Remove(s); return nil })
		})
	err = q.spare(err)
	if err != nil {
		return 0, err
	}
	if err := q.flush(ctx); err != nil {
		return 0, err
	}
	for _, p := range q.Members {
		p.f.Pass(lsn)
	}
	return lsn, nil
}

// flush appends what the members gathered. Those of a partition that is lost are about to be stopped.
func (q *CatchUp) flush(ctx context.Context) error {
	return q.s.AppendGathered(ctx, q.router, shapelog.IgnoreLost)
}

package create

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// Shapes are created in batches: those of one table that wait together share a
// connection, a look at the catalog, a snapshot, a barrier and a reader of the
// change log, which together cost a hundred times what one small shape does. A shape that
// comes alone begins at once; those that come while a batch is under way are the next one. Only
// if that takes long, another worker does not wait for it.

const (
	// maxBatch bounds a batch, so that its first shape does not wait long for the last one's rows.
	maxBatch = 64
	// nearby is how many messages of the change log apart shapes may begin to read that go on in one batch after a restart: one that
	// has less to read waits for as long as these take, a tenth of a second where nothing else is to be done.
	nearby = 20_000
	// overtake is how long a shape waits for a batch under way before another worker takes it.
	overtake = 100 * time.Millisecond
	// together is how many requests to NATS a batch has under way at once.
	together = 16
)

// batch is shapes that are created together. It belongs to its worker's goroutine.
type batch struct {
	s       *Creator
	members []*Parked
	conn    *pgx.Conn // kept for the worker's next batch; nil before the first
}

// line is shapes that wait for a batch, and their batches under way: those that begin, or those with rows that go on after a
// restart. How long these read does not hold up the others, who need Postgres and not much of the change log.
type line struct {
	waiting []*Parked // the longest first
	workers int
	looking bool // somebody will look whether what waits needs another worker
}

// lineOf is where a shape waits.
func (s *Creator) lineOf(p *Parked) *line {
	if p.tail.Began {
		return &s.goesOn
	}
	return &s.begins
}

// startBatches starts workers for what waits in a line: one if there is none, and others if it has
// waited long and not all are busy. Runs on the main loop.
func (s *Creator) startBatches(l *line) {
	for {
		members, later := l.nextWorker(s.Cfg.Snapshots)
		if later {
			s.lookAgain(l)
		}
		if len(members) == 0 {
			return
		}
		s.Tasks.Go(func() error { return s.work(s.Ctx, l, members) })
	}
}

// nextWorker takes out what another worker begins with, of at most so many; nobody if there is to be none, and later says
// that this may be so in a while.
func (l *line) nextWorker(most int) (members []*Parked, later bool) {
	switch {
	case len(l.waiting) == 0 || l.workers >= most:
		return nil, false
	case l.workers > 0 && time.Since(l.waiting[0].since) < overtake:
		return nil, true
	}
	l.workers++
	return l.nextBatch(), false
}

// lookAgain calls startBatches in a while. Runs on the main loop.
func (s *Creator) lookAgain(l *line) {
	if l.looking {
		return
	}
	l.looking = true
	s.Tasks.Go(func() error {
		service.WaitFor(s.Ctx, overtake)
		return service.IgnoreOver(s.Ctx, s.OnMain(s.Ctx, func(context.Context) error {
			l.looking = false
			s.startBatches(l)
			return nil
		}))
	})
}

// nextBatch takes out the shape that has waited longest and those that can be
// created with it. Runs on the main loop.
func (l *line) nextBatch() []*Parked {
	if len(l.waiting) == 0 {
		return nil
	}
	first := l.waiting[0]
	var members []*Parked
	l.waiting = slices.DeleteFunc(l.waiting, func(p *Parked) bool {
		if p != first && (len(members) == maxBatch || first.alone || p.alone || !first.goesWith(p)) {
			return false
		}
		p.waiting = false
		members = append(members, p)
		return true
	})
	return members
}

// goesWith reports whether another one of the line can be created with it.
func (p *Parked) goesWith(o *Parked) bool {
	if p.tail.Began {
		return max(p.rec.StartSeq, o.rec.StartSeq)-min(p.rec.StartSeq, o.rec.StartSeq) <= nearby
	}
	return p.rec.Definition.Schema == o.rec.Definition.Schema && p.rec.Definition.Table == o.rec.Definition.Table
}

// work creates batch after batch of a line while there are any.
func (s *Creator) work(ctx context.Context, l *line, members []*Parked) error {
	b := &batch{s: s}
	defer b.disconnect(ctx)
	for len(members) > 0 {
		b.members = members
		if err := b.create(ctx); err != nil {
			return service.IgnoreEnd(ctx, err)
		}
		err := s.OnMain(ctx, func(context.Context) error {
			if members = l.nextBatch(); len(members) == 0 {
				l.workers--
			}
			return nil
		})
		if err != nil {
			return service.IgnoreOver(ctx, err)
		}
	}
	return nil
}

func (b *batch) disconnect(ctx context.Context) {
	if b.conn != nil {
		_ = b.conn.Close(context.WithoutCancel(ctx)) // its transaction is over, or ends with it
		b.conn = nil
	}
}

// create brings all members to their end: live, ended, or waiting again.
func (b *batch) create(ctx context.Context) error {
	var begun, ready []*Parked
	for _, p := range b.members {
		f, err := b.s.Follow(p.rec, p.tail)
		if f != nil {
			f.Writer = p.writer
		}
		switch {
		case err != nil:
			if err := p.conclude(ctx, &live.FinalError{Err: err}); err != nil {
				return err
			}
			continue
		case p.tail.Began:
			begun = append(begun, p)
		default:
			ready = append(ready, p)
		}
		p.f = f
	}
	// What ends the session ends the reading of rows, however long that would take.
	var group errgroup.Group
	run := func(f func() error) {
		group.Go(func() error {
			err := f()
			if err != nil {
				for _, p := range b.members {
					p.cancel(err)
				}
			}
			return err
		})
	}
	catchUp := func(members []*Parked, known bool) {
		run(func() error { return b.s.catchUp(ctx, members, known) })
	}
	if len(begun) > 0 {
		catchUp(begun, false)
	}
	if len(ready) > 0 {
		run(func() error { return b.snapshot(ctx, ready, func(done []*Parked) { catchUp(done, true) }) })
	}
	return group.Wait()
}

// concludeAll concludes members with one error.
func concludeAll(ctx context.Context, members []*Parked, err error) error {
	for _, p := range members {
		if err := p.conclude(ctx, err); err != nil {
			return err
		}
	}
	return nil
}

// each runs f for every member, some at a time, concludes those for whom it fails, and returns the others.
func each(ctx context.Context, members []*Parked, f func(*Parked) error) (good []*Parked, err error) {
	errs := make([]error, len(members))
	var group errgroup.Group
	group.SetLimit(together)
	for i, p := range members {
		group.Go(func() error {
			errs[i] = f(p)
			return nil
		})
	}
	_ = group.Wait() // they are in errs
	for i, p := range members {
		if errs[i] == nil && p.ctx.Err() == nil {
			good = append(good, p)
		} else if err := p.conclude(ctx, errors.Join(errs[i], p.cause())); err != nil {
			return nil, err
		}
	}
	return good, nil
}

// begin writes the beginning of the logs of members whose rows are in their
// segments, and returns those for whom it did.
func (b *batch) begin(ctx context.Context, members []*Parked, snap *snapshotOf) ([]*Parked, error) {
	members, err := each(ctx, members, func(p *Parked) error {
		b.s.Cfg.Failpoint(failpoint.AfterSnapshotRows)
		return p.store(p.ctx, func(r *registry.Shape) {
			r.Snapshot, r.SnapshotLSN = snap.held.String(), snap.held.LSN
			r.StartLSN, r.StartSeq, r.History = snap.start.LSN, snap.start.Seq, b.s.Changes.HistoryID()
			r.SnapshotRows, r.Reason = int64(p.copied.Rows), ""
			r.Table = snap.table
		})
	})
	if err != nil {
		return nil, err
	}
	lives := map[*shapelog.Writer]bool{}
	for _, p := range members {
		p.f.Begin(snap.held, p.copied)
		if err := shapelog.IgnoreLost(b.s.Parts[p.partition].Append(ctx, &p.f.Log)); err != nil {
			return nil, err // the session is over
		}
		b.s.Cfg.Failpoint(failpoint.AfterSnapshotEntry)
		lives[p.writer] = true
	}
	for l := range lives {
		if err := shapelog.IgnoreLost(l.Flush(ctx)); err != nil {
			return nil, err
		}
	}
	// The logs have their beginning, so the shapes are ours; what others left is not needed.
	return each(ctx, members, func(p *Parked) error {
		if p.fresh || p.writer.Over() {
			return p.writer.Err()
		}
		return b.s.Parts[p.partition].PurgeSegments(p.ctx, p.handle, p.copied.Segment)
	})
}

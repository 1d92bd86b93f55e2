package consumer

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

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
	"github.com/shapebus/shapebus/services/consumer/tables"
	"github.com/shapebus/shapebus/services/consumer/valuesets"
)

// session is the time during which this process holds the lease. Whatever goes
// wrong ends it; the next one starts from what JetStream holds.
type session struct {
	c         *Consumer
	log       *slog.Logger
	js        jetstream.JetStream
	changes   *changelog.Log
	shapes    *registry.Shapes
	relations *registry.Relations
	parts     []*partition
	lost      bool // a partition's writer has failed and the partition has not been dropped yet; the main loop's
	lease     *registry.Lease
	tables    sync.Map      // structure and files → *pg.TableInfo, one for all shapes of the table
	look      chan struct{} // asks for a look at the catalog before its time
	keeper    *tables.Keeper
	group     *errgroup.Group
	ctx       context.Context //nolint:containedctx // ends with the session; for work that outlives what started it
	enders    chan struct{}   // one token per ended shape that may be cleared away

	loop *service.Loop // runs functions on the main loop, which owns everything below

	sets       *valuesets.Sets
	verdictsOf map[int]chan struct{}                // closed when the verdicts of a partition are followed
	dependents map[string]map[*follow.Follower]bool // live outer shapes, by the handle of an inner one
	liveSets   liveSets
	groups     map[*group]bool
	grouped    map[string]*group // by id of the member
	lastGroup  int
	began      int64                      // when the session did; makes the names of its groups differ from those of others
	records    map[string]record          // by id, of shapes that have not ended
	shapesOn   map[uint32]int             // how many of records are on a table, by its oid
	dependsOn  map[string]map[string]bool // ids of shapes, by the handle of an inner one
	ended      map[string]time.Time       // when the shapes ended whose records are kept, by id

	router     *follow.Router
	feed       *changelog.Feed
	live       map[string]*follow.Follower // by id
	parked     map[string]*parked          // by id
	waiting    []*parked                   // those of them that wait for a batch, the longest first
	workers    int                         // batches being created
	looking    bool                        // somebody will look whether what waits needs another worker
	pins       map[string]changelog.Place  // where parked shapes start to read
	visibility changelog.Visibility
	recent     *changelog.Recent
	finished   map[string]bool // handles that ended in this session

	seen        change.Snapshot // what all tables of shapes were looked at behind
	blind       time.Time       // when the main loop could not look at a table
	truncations truncations
	judging     bool                     // files of leaves are being judged
	barriers    map[string]chan struct{} // barriers, by payload; closed when they are read
	lastBarrier int

	proofs    changelog.Proofs
	snapshots int             // whose proofs were looked for so far; names them
	read      changelog.Place // the last message
	applied   changelog.Place // the end of the last whole transaction, and the message that held it
	// again is where reading began, until it has passed the furthest
	// checkpoint. Till then applied is ahead of what was read, and says nothing
	// of shapes that had no part in that checkpoint; so none is written.
	again *changelog.Place
	open  openTxn
	saved [2]changelog.Place // applied and floor of the last checkpoint
	// savedParked says that the last checkpoint named groups. One more has to
	// tell that there are none any more, however idle the database is.
	savedParked bool
	pruning     bool
	unpruned    bool // the last attempt to prune failed, which has been said
}

// openTxn is the transaction being read; zero between transactions.
type openTxn struct {
	lsn change.LSN
}

// completes reports whether a fragment is the last one of its transaction: the
// tables' last fragments come in the order of their ids. They are not counted, as the log may
// repeat some.
func completes(table uint32, f *change.Fragment) bool {
	return f.Last && (len(f.Tables) == 0 || table == f.Tables[len(f.Tables)-1])
}

// run holds the partitions until ctx ends or something fails.
func (s *session) run(ctx context.Context) error {
	s.group, ctx = errgroup.WithContext(ctx)
	s.ctx, s.loop = ctx, service.NewLoop(ctx)
	s.group.Go(func() error { return s.main(ctx) })
	err := s.group.Wait()
	s.closeParts()
	return err
}

func (s *session) closeParts() {
	for _, p := range s.parts {
		if l := p.writer.Load(); l != nil {
			l.Close()
		}
	}
}

// main is the main loop.
func (s *session) main(ctx context.Context) error {
	start, err := s.recover(ctx)
	if err != nil {
		return err
	}
	messages := make(chan stream.Change, 1)
	s.group.Go(func() error { return s.changes.Feed(ctx, start, messages) })
	s.group.Go(func() error { return s.watchCatalog(ctx) })
	s.group.Go(func() error { return s.keeper.Watch(ctx) })
	s.group.Go(func() error { return s.keeper.WatchHarm(ctx) })
	s.group.Go(func() error { return s.trim(ctx) })
	s.group.Go(func() error {
		return s.keepMoving(ctx, func(ctx context.Context) { s.nudge(ctx, "nudge") })
	})
	for _, p := range s.parts {
		s.group.Go(func() error { return p.PurgeCheckpoints(ctx, s.log) })
	}
	s.c.stats.Owner.Store(true)
	defer s.c.stats.Owner.Store(false)

	tick := time.NewTicker(s.c.cfg.Checkpoint)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return s.leave(ctx)
		case m := <-messages:
			if err := s.message(ctx, m); err != nil {
				return err
			}
		case f := <-s.loop.Calls():
			if err := f(ctx); err != nil {
				return err
			}
		case <-tick.C:
			s.prune(ctx)
			if s.moved() {
				if err := s.checkpoint(ctx, nil); err != nil {
					return err
				}
			}
		}
	}
}

// leave writes a last checkpoint, so that the successor has little to read again.
func (s *session) leave(ctx context.Context) error {
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

// errOver says that the main loop does not run any more.
var errOver = service.ErrOver

// onMain runs f on the main loop and waits for it. When ctx or the session
// ends before f has begun, it does not run.
func (s *session) onMain(ctx context.Context, f func(context.Context) error) error {
	return s.loop.Do(ctx, f)
}

// message takes one message of the change log.
func (s *session) message(ctx context.Context, m stream.Change) error {
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
	if s.open.lsn == 0 && lsn >= s.applied.LSN {
		s.applied, s.again = changelog.Place{LSN: lsn, Seq: m.Seq}, nil
		s.c.stats.Applied.Store(uint64(lsn))
	}
	s.read = changelog.Place{LSN: lsn, Seq: m.Seq}
	if s.open.lsn == 0 {
		s.sets.Advance(lsn)
	}
	s.recent.Arrive(m.Seq, s.applied.LSN)
	s.c.stats.Messages.Add(1)
	s.c.stats.Unread.Store(m.Pending)
	s.c.stats.Ops.Add(s.router.TakeOps())
	if s.visibility.Crowded() {
		s.prune(ctx)
	}
	return nil
}

func (s *session) fragment(ctx context.Context, rel *change.Relation, f *change.Fragment) error {
	s.visibility.See(f.XID, f.LSN, s.feed.First(f.LSN))
	if s.truncations.read(rel.OID, f) {
		s.lookSoon()
	}
	if s.open.lsn != f.LSN {
		s.open = openTxn{lsn: f.LSN}
	}
	for {
		ended, err := s.router.Fragment(rel, f, s.c.cfg.PendingBytes, func() error { return s.flush(ctx) })
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
	if completes(rel.OID, f) {
		s.router.CommitDeferred(f)
		s.open = openTxn{}
	}
	s.c.cfg.Failpoint("after_fragment")
	return nil
}

// flush appends what the shapes gathered.
func (s *session) flush(ctx context.Context) error {
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
func (s *session) control(ctx context.Context, c wire.Control) error {
	switch c.Kind {
	case wire.ControlReset:
		s.open = openTxn{} // what was open before a gap stays unfinished
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
		s.keeper.Suspect()
		at := &change.Fragment{LSN: change.LSN(c.LSN), Relation: c.Relation}
		if s.open.lsn != at.LSN { // it stands before the ops that need it
			s.open = openTxn{lsn: at.LSN}
		}
		for _, f := range s.router.On(c.OID) {
			if f.Concerns(at.LSN) && f.CheckRelation(rel, at) {
				if err := s.endLive(ctx, f, f.Ended); err != nil {
					return err
				}
			}
		}
	case wire.ControlBarrier:
		s.barrierRead(c.Payload)
		s.proofs.Show(c)
		if change.LSN(c.LSN) > s.open.lsn {
			s.open = openTxn{} // what began before it and is not complete has lost its beginning
		}
		if c.OID != 0 {
			return s.describedAgain(ctx, c)
		}
	}
	return nil
}

func (s *session) followers() []*follow.Follower {
	all := make([]*follow.Follower, 0, len(s.live))
	for _, f := range s.live {
		all = append(all, f)
	}
	return all
}

// checkpoint appends a checkpoint to every partition that is up. stored, if not
// nil, is called once for each, unless the partition is lost before.
func (s *session) checkpoint(ctx context.Context, stored func(partition int)) error {
	floor := s.floor()
	c := wire.Checkpoint{
		LSN: uint64(s.applied.LSN), Seq: s.applied.Seq,
		FloorLSN: uint64(floor.LSN), FloorSeq: floor.Seq, History: s.changes.HistoryID(), At: time.Now().UnixMicro(),
	}
	defer s.dropLost(ctx)
	parked := s.groupsAt()
	for _, p := range s.parts {
		if p.phase != up {
			continue
		}
		c.Parked = parked[p.N]
		s.c.cfg.Failpoint("before_checkpoint")
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
	s.c.stats.Values.Store(s.sets.Trim(floor.LSN, s.applied.LSN, s.liveSets.view))
	return nil
}

// moved reports whether a checkpoint would say anything new, and true.
func (s *session) moved() bool {
	return s.again == nil && (s.saved != [2]changelog.Place{s.applied, s.floor()} || len(s.groups) > 0 || s.savedParked)
}

// start is where a shape must begin to read whose snapshot is taken from now on.
func (s *session) start() changelog.Place {
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
func (s *session) floor() changelog.Place {
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
	for g := range s.groups {
		if p, ok := g.floorOf(); ok && p.LSN < floor.LSN {
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
func (s *session) prune(ctx context.Context) {
	if s.pruning || s.visibility.Empty() {
		return
	}
	s.pruning = true
	s.group.Go(func() error {
		snap, err := s.c.currentSnapshot(ctx)
		return ignoreEnd(ctx, s.onMain(ctx, func(ctx context.Context) error {
			s.pruning = false
			if err == nil {
				s.visibility.Prune(snap)
			} else if !s.unpruned {
				s.log.WarnContext(ctx, "cannot ask Postgres for a snapshot; until that works a restart reads more of the change log again, and it is trimmed later", slog.Any("error", err))
			}
			s.unpruned = err != nil
			return nil
		}))
	})
}

// ignoreEnd drops an error that only says that ctx ended.
func ignoreEnd(ctx context.Context, err error) error { return service.IgnoreEnd(ctx, err) }

// follow prepares a shape from its record, for the log that stands at tail.
func (s *session) follow(rec *registry.Shape, tail wire.Tail) (*follow.Follower, error) {
	if rec.Table != nil {
		shared, _ := s.tables.LoadOrStore(rec.Structure+rec.Table.Files(), rec.Table)
		rec.Table = shared.(*pg.TableInfo) //nolint:forcetypeassert,errcheck // the map holds nothing else
	}
	return follow.NewFollower(rec, s.logOf(rec.Partition, rec.Handle, tail), s.sets.Note)
}

// state changes a shape's record, unless it belongs to another life by now.
func (s *session) state(ctx context.Context, id, handle string, f func(*registry.Shape)) error {
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
func (s *session) newSegment(rec *registry.Shape, w *shapelog.Writer) *shapelog.SegmentWriter {
	return s.parts[rec.Partition].NewSegment(w, rec.Handle, func(ctx context.Context, rows uint64) error {
		return s.state(ctx, rec.ID, rec.Handle, func(r *registry.Shape) { r.SnapshotRows = int64(rows) })
	})
}

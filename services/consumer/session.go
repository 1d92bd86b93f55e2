package consumer

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// session is the time during which this process holds the lease. Whatever goes
// wrong ends it; the next one starts from what JetStream holds.
type session struct {
	c         *Consumer
	log       *slog.Logger
	js        jetstream.JetStream
	changes   jetstream.Stream
	epoch     stream.Epoch     // of the change log that this session reads
	history   topology.History // and which history it tells
	shapes    *registry.Shapes
	relations *registry.Relations
	parts     []*partition
	lost      bool // a partition's writer has failed and the partition has not been dropped yet; the main loop's
	lease     *registry.Lease
	builders  *sync.Pool
	aheads    stream.Aheads // of the cursors; the main loop's reader has its own
	tables    sync.Map      // structure and files → *pg.TableInfo, one for all shapes of the table
	look      chan struct{} // asks for a look at the catalog before its time
	prepared  preparedTables
	suspect   chan struct{} // one signal: some table may do harm
	group     *errgroup.Group
	ctx       context.Context //nolint:containedctx // ends with the session; for work that outlives what started it
	enders    chan struct{}   // one token per ended shape that may be cleared away

	loop *service.Loop // runs functions on the main loop, which owns everything below

	sets       *sets
	verdictsOf map[int]chan struct{}         // closed when the verdicts of a partition are followed
	dependents map[string]map[*follower]bool // live outer shapes, by the handle of an inner one
	selectors  map[string]int                // by value set: subqueries of live shapes that select it
	groups     map[*group]bool
	grouped    map[string]*group // by id of the member
	lastGroup  int
	began      int64                      // when the session did; makes the names of its groups differ from those of others
	records    map[string]record          // by id, of shapes that have not ended
	shapesOn   map[uint32]int             // how many of records are on a table, by its oid
	dependsOn  map[string]map[string]bool // ids of shapes, by the handle of an inner one
	ended      map[string]time.Time       // when the shapes ended whose records are kept, by id

	router     *router
	feed       *feed
	live       map[string]*follower // by id
	parked     map[string]*parked   // by id
	waiting    []*parked            // those of them that wait for a batch, the longest first
	workers    int                  // batches being created
	looking    bool                 // somebody will look whether what waits needs another worker
	pins       map[string]place     // where parked shapes start to read
	visibility visibility
	recent     window
	finished   map[string]bool // handles that ended in this session

	seen        change.Snapshot // what all tables of shapes were looked at behind
	blind       time.Time       // when the main loop could not look at a table
	truncations truncations
	judging     bool                     // files of leaves are being judged
	barriers    map[string]chan struct{} // barriers, by payload; closed when they are read
	lastBarrier int

	arrivals  []arrival
	proofs    map[*awaited]bool
	snapshots int   // whose proofs were looked for so far; names them
	read      place // the last message
	applied   place // the end of the last whole transaction, and the message that held it
	// again is where reading began, until it has passed the furthest
	// checkpoint. Till then applied is ahead of what was read, and says nothing
	// of shapes that had no part in that checkpoint; so none is written.
	again *place
	open  openTxn
	saved [2]place // applied and floor of the last checkpoint
	// savedParked says that the last checkpoint named groups. One more has to
	// tell that there are none any more, however idle the database is.
	savedParked bool
	pruning     bool
}

// place is a place in the change log.
type place struct {
	lsn change.LSN
	seq uint64 // a hint; the LSN decides
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
		if l := p.life.Load(); l != nil {
			l.out.Close()
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
	s.group.Go(func() error { return s.readChanges(ctx, start, messages) })
	s.group.Go(func() error { return s.watchCatalog(ctx) })
	s.group.Go(func() error { return s.watchPrepared(ctx) })
	s.group.Go(func() error { return s.watchHarm(ctx) })
	s.group.Go(func() error { return s.trim(ctx) })
	s.group.Go(func() error {
		return s.keepMoving(ctx, func(ctx context.Context) { s.nudge(ctx, "nudge") })
	})
	for _, p := range s.parts {
		s.group.Go(func() error { return p.purgeCheckpoints(ctx, s.js, s.log) })
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
		if err := p.life.Load().flush(ctx); err != nil {
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
	s.recent.add(m.Received)
	s.lookFor(m.Step.LSN)
	lsn, err := s.feed.read(ctx, m.Received,
		func(c wire.Control) error { return s.control(ctx, c) },
		func(rel *change.Relation, f *change.Fragment) error { return s.fragment(ctx, rel, f) })
	poison, poisoned := errors.AsType[*poisonError](err)
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
		s.read = place{max(s.read.lsn, lsn), m.Seq}
		s.arrived()
		return nil
	}
	if s.open.lsn == 0 && lsn >= s.applied.lsn {
		s.applied, s.again = place{lsn, m.Seq}, nil
		s.c.stats.Applied.Store(uint64(lsn))
	}
	s.read = place{lsn, m.Seq}
	if s.open.lsn == 0 {
		s.sets.advance(lsn)
	}
	s.arrived()
	s.c.stats.Messages.Add(1)
	s.c.stats.Unread.Store(m.Pending)
	s.c.stats.Ops.Add(s.router.ops)
	s.router.ops = 0
	if s.visibility.crowded() {
		s.prune(ctx)
	}
	return nil
}

func (s *session) fragment(ctx context.Context, rel *change.Relation, f *change.Fragment) error {
	s.visibility.see(f.XID, f.LSN, s.feed.first(f.LSN))
	if s.truncations.read(rel.OID, f) {
		s.lookSoon()
	}
	if s.open.lsn != f.LSN {
		s.open = openTxn{lsn: f.LSN}
	}
	for {
		ended, err := s.router.fragment(rel, f, s.c.cfg.PendingBytes, func() error { return s.flush(ctx) })
		if err != nil {
			return err
		}
		changed := false
		for _, e := range ended {
			changed = changed || f.Relation != e.finger
			if err := s.endLive(ctx, e, e.ended); err != nil {
				return err
			}
		}
		s.dirty(ctx)
		if !changed {
			break
		}
	}
	if completes(rel.OID, f) {
		s.router.commitDeferred(f)
		s.open = openTxn{}
	}
	s.c.cfg.Failpoint(failpoint.AfterFragment)
	return nil
}

// flush appends what the shapes gathered.
func (s *session) flush(ctx context.Context) error {
	for _, f := range s.router.take() {
		if f.ended != "" {
			continue
		}
		if err := s.noteLost(s.parts[f.partition].appendLog(ctx, f)); err != nil {
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
			if f.concerns(change.LSN(c.LSN)) {
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
		s.suspectHarm()
		at := &change.Fragment{LSN: change.LSN(c.LSN), Relation: c.Relation}
		if s.open.lsn != at.LSN { // it stands before the ops that need it
			s.open = openTxn{lsn: at.LSN}
		}
		if t := s.router.tables[c.OID]; t != nil {
			for _, f := range append([]*follower(nil), t.shapes.items...) {
				if f.concerns(at.LSN) && f.checkRelation(rel, at) {
					if err := s.endLive(ctx, f, f.ended); err != nil {
						return err
					}
				}
			}
		}
	case wire.ControlBarrier:
		s.barrierRead(c.Payload)
		s.show(c)
		if change.LSN(c.LSN) > s.open.lsn {
			s.open = openTxn{} // what began before it and is not complete has lost its beginning
		}
		if c.OID != 0 {
			return s.describedAgain(ctx, c)
		}
	}
	return nil
}

func (s *session) followers() []*follower {
	all := make([]*follower, 0, len(s.live))
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
		LSN: uint64(s.applied.lsn), Seq: s.applied.seq,
		FloorLSN: uint64(floor.lsn), FloorSeq: floor.seq, History: s.history.ID, At: time.Now().UnixMicro(),
	}
	defer s.dropLost(ctx)
	parked := s.groupsAt()
	for _, p := range s.parts {
		if p.phase != up {
			continue
		}
		c.Parked = parked[p.n]
		s.c.cfg.Failpoint(failpoint.BeforeCheckpoint)
		err := p.checkpoint(ctx, c, func(uint64) {
			if stored != nil {
				stored(p.n)
			}
		})
		if err := s.noteLost(err); err != nil {
			return err
		}
	}
	s.saved, s.savedParked = [2]place{s.applied, floor}, len(parked) > 0
	s.c.stats.Values.Store(s.sets.trim(floor.lsn, s.applied.lsn))
	return nil
}

// moved reports whether a checkpoint would say anything new, and true.
func (s *session) moved() bool {
	return s.again == nil && (s.saved != [2]place{s.applied, s.floor()} || len(s.groups) > 0 || s.savedParked)
}

// start is where a shape must begin to read whose snapshot is taken from now on.
func (s *session) start() place {
	start := place{s.applied.lsn + 1, s.applied.seq + 1}
	if s.again != nil && s.again.lsn < start.lsn {
		return place{max(s.again.lsn, 1), max(s.again.seq, 1)} // what is before a start is a place, too
	}
	if lsn, seq, ok := s.visibility.floor(); ok && lsn < start.lsn {
		start = place{lsn, seq}
	}
	return start
}

// floor is the place below which the change log is not needed any more.
func (s *session) floor() place {
	floor := s.start()
	// Ingest goes on from the last transaction, so that stays.
	if t := s.visibility.newest; t.lsn != 0 && t.lsn < floor.lsn {
		floor = place{t.lsn, t.first}
	}
	for _, p := range s.pins {
		if p.lsn < floor.lsn {
			floor = p
		}
	}
	for g := range s.groups {
		if p, ok := g.floorOf(); ok && p.lsn < floor.lsn {
			floor = p
		}
	}
	for _, part := range s.parts {
		if p := part.floor.Load(); part.phase != up && p != nil && p.lsn < floor.lsn {
			floor = *p
		}
	}
	return floor
}

// prune asks Postgres which transactions every new snapshot sees by now.
func (s *session) prune(ctx context.Context) {
	if s.pruning || len(s.visibility.seen) == 0 {
		return
	}
	s.pruning = true
	s.group.Go(func() error {
		snap, err := s.c.currentSnapshot(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "cannot ask Postgres for a snapshot; the change log is trimmed later", slog.Any("error", err))
		}
		return ignoreEnd(ctx, s.onMain(ctx, func(context.Context) error {
			s.pruning = false
			if err == nil {
				s.visibility.prune(snap)
			}
			return nil
		}))
	})
}

// ignoreEnd drops an error that only says that ctx ended.
func ignoreEnd(ctx context.Context, err error) error { return service.IgnoreEnd(ctx, err) }

// follow prepares a shape from its record, for the log that stands at tail.
func (s *session) follow(rec *registry.Shape, tail wire.Tail) (*follower, error) {
	if rec.Table != nil {
		shared, _ := s.tables.LoadOrStore(rec.Structure+rec.Table.Files(), rec.Table)
		rec.Table = shared.(*pg.TableInfo) //nolint:forcetypeassert,errcheck // the map holds nothing else
	}
	f, err := newFollower(rec, s.sets, s.builders)
	if err != nil {
		return nil, err
	}
	f.tail, f.appended = tail, tail
	f.life = s.parts[rec.Partition].life.Load()
	return f, nil
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

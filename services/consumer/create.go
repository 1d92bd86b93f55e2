package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/pg"
	"github.com/shapebus/shapebus/pkg/registry"
	"github.com/shapebus/shapebus/pkg/stream"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// parked is a shape that is being created: it is not fed by the main loop but
// reads the change log by itself until it meets the main loop. Its goroutine
// owns rec, f and feed; the rest does not change.
type parked struct {
	s         *session
	id        string
	handle    string
	partition int
	cancel    context.CancelCauseFunc
	log       *slog.Logger

	rec  *registry.Shape
	f    *follower
	feed *feed
}

// stopped cancels a parked shape's goroutine.
type stopped struct {
	reason     string
	keepRecord bool
}

func (e *stopped) Error() string { return e.reason }

// final is an error that no repetition cures: the shape ends with it.
type final struct{ err error }

func (e *final) Error() string { return e.err.Error() }
func (e *final) Unwrap() error { return e.err }

// park starts the creation of a shape, or goes on with it after a restart.
// Runs on the main loop.
func (s *session) park(ctx context.Context, rec *registry.Shape, tail wire.Tail) {
	ctx, cancel := context.WithCancelCause(ctx)
	p := &parked{
		s: s, id: rec.ID, handle: rec.Handle, partition: rec.Partition, cancel: cancel,
		log: s.log.With(slog.String("shape", rec.Handle)),
		rec: rec, feed: &feed{source: s.c.cfg.Source, relations: s.relations},
	}
	s.parked[rec.ID] = p
	s.countParked()
	if tail.Began { // the change log must not be trimmed before the goroutine runs
		s.pins[rec.ID] = place{rec.StartLSN, rec.StartSeq}
	}
	s.group.Go(func() error { return p.run(ctx, tail) })
}

func (p *parked) stop(reason string, keepRecord bool) { p.cancel(&stopped{reason, keepRecord}) }

// run creates the shape, again and again while the trouble may pass.
func (p *parked) run(ctx context.Context, tail wire.Tail) error {
	defer p.cancel(nil)
	var pause backoff
	for {
		err := p.create(ctx, tail)
		var stop *stopped
		var fin *final
		switch {
		case err == nil:
			return nil
		case errors.As(context.Cause(ctx), &stop):
			return p.end(context.WithoutCancel(ctx), stop.reason, stop.keepRecord)
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &fin):
			return p.end(ctx, fin.Error(), true)
		case p.s.parts[p.partition].out.Err() != nil:
			return err // the session is over; the next one goes on
		}
		p.log.WarnContext(ctx, "creation of the shape is retried", slog.Any("error", err))
		p.s.c.stats.LastError.Store(err.Error())
		p.reason(ctx, err.Error())
		if p.f != nil {
			tail = p.f.appended
		}
		pause.wait(ctx)
	}
}

// reason tells those who ask for the shape what its creation waits for.
func (p *parked) reason(ctx context.Context, reason string) {
	if err := p.s.state(ctx, p.id, p.handle, func(r *registry.Shape) { r.Reason = reason }); err != nil {
		p.log.WarnContext(ctx, "state of the shape not stored", slog.Any("error", err))
	}
}

// end leaves the parked shapes and ends the shape.
func (p *parked) end(ctx context.Context, reason string, keepRecord bool) error {
	err := p.s.onMain(ctx, func(ctx context.Context) error {
		if p.s.parked[p.id] == p {
			p.s.unpark(p.id)
		}
		f := p.f
		if f == nil {
			f = &follower{id: p.id, handle: p.handle, partition: p.partition, builders: p.s.builders}
		}
		return p.s.endFollower(ctx, f, reason, keepRecord)
	})
	if errors.Is(err, errOver) {
		return nil // the next session comes to the same end
	}
	return ignoreEnd(ctx, err)
}

func (s *session) unpark(id string) {
	delete(s.parked, id)
	delete(s.pins, id)
	s.countParked()
}

func (p *parked) create(ctx context.Context, tail wire.Tail) error {
	f, err := p.s.follow(p.rec, tail)
	if err != nil {
		return &final{err}
	}
	p.f = f
	select { // snapshots and readers are dear, so only some run at a time
	case p.s.slots <- struct{}{}:
		defer func() { <-p.s.slots }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if !tail.Began {
		if err := p.snapshot(ctx); err != nil {
			return err
		}
	}
	return p.catchUp(ctx)
}

// snapshot reads the shape's rows into its first segment and begins the log.
func (p *parked) snapshot(ctx context.Context) error {
	conn, err := pg.Connect(ctx, p.s.c.pgConfig)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	table, err := p.fence(ctx, conn)
	if err != nil {
		return err
	}
	start, err := p.pin(ctx, conn)
	if err != nil {
		return err
	}
	snap, err := pg.OpenSnapshot(ctx, conn)
	if err != nil {
		return err
	}
	defer snap.Close(context.WithoutCancel(ctx))
	// Every attempt has a segment of its own: a process that slept through the
	// end of its lease must not spoil its successor's.
	segment := uint64(time.Now().UnixMicro())
	messages, rows, err := p.copyRows(ctx, snap, table, segment)
	if err != nil {
		return err
	}
	p.s.c.cfg.Failpoint("after_snapshot_rows")
	err = p.s.state(ctx, p.id, p.handle, func(r *registry.Shape) {
		r.Snapshot, r.SnapshotLSN = snap.String(), snap.LSN
		r.StartLSN, r.StartSeq = start.lsn, start.seq
		r.SnapshotRows, r.Reason = int64(rows), ""
		r.Table = p.rec.Table
		p.rec = r
	})
	if err != nil {
		return err
	}
	p.f.begin(snap.Snapshot, segment, messages, rows)
	out := p.s.parts[p.partition]
	if err := out.appendLog(ctx, p.f); err != nil {
		return err
	}
	p.s.c.cfg.Failpoint("after_snapshot_entry")
	if err := out.out.Flush(ctx); err != nil {
		return err
	}
	// The log has its beginning, so the shape is ours; what others left is not needed.
	return p.s.purgeSegments(ctx, p.partition, p.handle, segment)
}

// fence makes sure that the stream carries the table whole, and that it is
// still the table that the shape was made for.
func (p *parked) fence(ctx context.Context, conn *pgx.Conn) (*pg.TableInfo, error) {
	cfg := &p.s.c.cfg
	d := p.rec.Definition
	table, err := pg.LookupTable(ctx, conn, d.Schema, d.Table, cfg.Publication)
	if err != nil {
		return nil, finalIfCatalog(err)
	}
	changed, err := pg.EnsureTable(ctx, conn, cfg.Publication, table, cfg.LockTimeout)
	if err != nil {
		return nil, finalIfCatalog(err)
	}
	if changed {
		if table, err = pg.LookupTable(ctx, conn, d.Schema, d.Table, cfg.Publication); err != nil {
			return nil, finalIfCatalog(err)
		}
	}
	if table.Structure() != p.rec.Structure {
		return nil, &final{errors.New(tableChanged(p.f.table, table))}
	}
	return table, nil
}

// finalIfCatalog marks errors that only a person can cure.
func finalIfCatalog(err error) error {
	var needs *pg.NeedsError
	var notFound *pg.NotFoundError
	var unsupported *pg.UnsupportedError
	if errors.As(err, &needs) || errors.As(err, &notFound) || errors.As(err, &unsupported) {
		return &final{err}
	}
	return err
}

// pin finds where the shape starts to read the change log: at the oldest
// transaction that a snapshot taken from now on may not see. It keeps the
// change log from being trimmed there.
func (p *parked) pin(ctx context.Context, conn *pgx.Conn) (place, error) {
	now, err := pg.CurrentSnapshot(ctx, conn)
	if err != nil {
		return place{}, err
	}
	var start place
	err = p.s.onMain(ctx, func(context.Context) error {
		p.s.visibility.prune(now)
		start = p.s.start()
		if p.s.parked[p.id] == p { // else its id has a new life by now
			p.s.pins[p.id] = start
		}
		return nil
	})
	return start, err
}

// progressEvery is how often the number of rows read is stored.
const progressEvery = time.Second

func (p *parked) copyRows(ctx context.Context, snap *pg.Snapshot, table *pg.TableInfo, segment uint64) (messages, rows uint64, err error) {
	out := p.s.parts[p.partition]
	b := wire.NewSegmentBuilder()
	told := time.Now()
	send := func() error {
		messages++
		rows += uint64(b.Rows())
		if err := out.appendSegment(ctx, p.handle, segment, b.Bytes()); err != nil {
			return err
		}
		b.Reset()
		p.s.c.cfg.Failpoint("mid_snapshot")
		if time.Since(told) > progressEvery {
			told = time.Now()
			n := int64(rows)
			return p.s.state(ctx, p.id, p.handle, func(r *registry.Shape) { r.SnapshotRows = n })
		}
		return nil
	}
	_, err = snap.CopyRows(ctx, table, p.rec.Definition.Columns, p.f.pred.SQL(), func(row change.Row) error {
		b.Add(row)
		if b.Len() < p.s.c.cfg.SnapshotBytes {
			return nil
		}
		return send()
	})
	if err == nil && b.Rows() > 0 {
		err = send()
	}
	if err != nil {
		return 0, 0, fmt.Errorf("snapshot of shape %s: %w", p.handle, err)
	}
	return messages, rows, nil
}

// catchUp reads the change log from where the shape starts until it meets the
// main loop.
func (p *parked) catchUp(ctx context.Context) error {
	held, err := p.s.readSnapshot(ctx, p.partition, p.handle)
	if err != nil {
		return err
	}
	if p.rec.Snapshot == "" { // the record was written before the log's first entry, but only the latter reached the disk
		return &final{errors.New("the shape was being created when the server lost its last writes; create it again")}
	}
	p.f.held = held
	// The change log passes the snapshot's LSN soon, however idle the database is.
	if err := p.barrier(ctx); err != nil {
		return err
	}
	st, err := p.s.changes.Info(ctx)
	if err != nil {
		return err
	}
	if p.rec.StartSeq < st.State.FirstSeq {
		return &final{errors.New(reasonDiscarded)}
	}
	seq, err := stream.Seek(ctx, p.s.changes, p.rec.StartLSN, p.rec.StartSeq)
	if err != nil {
		return err
	}
	r, err := stream.OpenReader(ctx, p.s.js, p.s.c.cfg.Source.ChangeStream(), seq)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:contextcheck // it has to work after ctx has ended
	for {
		m, err := r.Next(ctx)
		if errors.Is(err, stream.ErrGap) {
			return &final{errors.New(reasonDiscarded)}
		}
		if err != nil {
			return err
		}
		lsn, err := p.s.replay(ctx, p.feed, p.f, m)
		if err != nil {
			return err
		}
		if p.f.ended != "" {
			return &final{errors.New(p.f.ended)}
		}
		if p.f.held != nil {
			continue
		}
		joined, err := p.join(ctx, place{lsn, m.Seq})
		switch {
		case joined || err != nil:
			return err
		case p.f.ended != "":
			return &final{errors.New(p.f.ended)}
		}
	}
}

func (p *parked) barrier(ctx context.Context) error {
	conn, err := p.s.c.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect to Postgres: %w", err)
	}
	defer conn.Release()
	_, err = pg.EmitBarrier(ctx, conn.Conn(), topology.BarrierPrefix, p.handle)
	return err
}

// join hands the shape to the main loop, if that has not gone too far beyond.
// If the shape is further, it waits for the main loop to come: a checkpoint
// that covers the shape must cover all that its snapshot held.
func (p *parked) join(ctx context.Context, at place) (joined bool, err error) {
	s := p.s
	for {
		var wait chan struct{}
		stopped := func() bool { return ctx.Err() != nil }
		err := s.onMain(ctx, func(ctx context.Context) error {
			if s.parked[p.id] != p || p.f.ended != "" || stopped() {
				return nil
			}
			if at.seq > s.read.seq {
				wait = make(chan struct{})
				s.arrivals = append(s.arrivals, arrival{at.seq, wait})
				return nil
			}
			if s.again != nil { // the main loop does not know yet what the shape would be part of
				return nil
			}
			if s.applied.lsn < p.rec.SnapshotLSN { // inside the first transaction after the snapshot
				return nil
			}
			var err error
			joined, err = s.meet(ctx, p, at)
			return err
		})
		if wait == nil || err != nil {
			return joined, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}

// arrival is closed when the main loop has read a message.
type arrival struct {
	seq uint64
	ch  chan struct{}
}

// arrived wakes those who wait for the main loop to come to where it is.
func (s *session) arrived() {
	s.arrivals = slices.DeleteFunc(s.arrivals, func(a arrival) bool {
		if a.seq > s.read.seq {
			return false
		}
		close(a.ch)
		return true
	})
}

// meet brings a parked shape from where it is to where the main loop is, and
// makes it live. Runs on the main loop.
func (s *session) meet(ctx context.Context, p *parked, at place) (bool, error) {
	messages, ok := s.recent.from(at.seq + 1)
	if !ok {
		return false, nil
	}
	for _, m := range messages {
		if _, err := s.replay(ctx, s.feed, p.f, m); err != nil {
			return false, err
		}
		if p.f.ended != "" {
			return false, nil
		}
	}
	p.f.after = s.applied.lsn
	s.unpark(p.id)
	s.addLive(p.f)
	return true, s.coverAndMarkLive(ctx, p.rec)
}

// coverAndMarkLive writes a checkpoint, and when that is stored says in a
// shape's record that it is live.
func (s *session) coverAndMarkLive(ctx context.Context, rec *registry.Shape) error {
	covered := make(chan struct{})
	s.group.Go(func() error {
		select {
		case <-covered:
			return ignoreEnd(ctx, s.markLive(ctx, rec))
		case <-ctx.Done():
			return nil
		}
	})
	return s.checkpoint(ctx, func(partition int) {
		if partition == rec.Partition {
			close(covered)
		}
	})
}

// markLive says in the record that a checkpoint covers the shape.
func (s *session) markLive(ctx context.Context, rec *registry.Shape) error {
	s.log.InfoContext(ctx, "shape is live", slog.String("shape", rec.Handle), slog.Int64("snapshot_rows", rec.SnapshotRows))
	return s.state(ctx, rec.ID, rec.Handle, func(r *registry.Shape) {
		if r.State == control.StateCreating {
			r.State, r.Reason = control.StateLive, ""
		}
	})
}

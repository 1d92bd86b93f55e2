package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// reasonLost ends shapes whose log is gone while their record is not: NATS
// lost power before the log was on disk. A new snapshot needs a new handle,
// because readers of the old one would go on behind it.
const reasonLost = "the shape's log was lost with data that JetStream had not yet written to disk"

// recover is the start path, after a crash or not: it reads where every
// partition and every log stands, and returns where to read the change log from. A
// partition that cannot be read is left out; it comes back as one that is lost later.
func (s *session) recover(ctx context.Context) (place, error) {
	checkpoints, start, err := s.readCheckpoints(ctx)
	if err != nil {
		return place{}, err
	}
	records, unreadable, err := s.watchShapes(ctx)
	if err != nil {
		return place{}, err
	}
	for _, rec := range records {
		s.noteRecord(rec.ID, rec)
	}
	tails, err := s.readTailsAtStart(ctx, records)
	if err != nil {
		return place{}, err
	}
	records = slices.DeleteFunc(records, func(rec *registry.Shape) bool { return !tails.partitions[rec.Partition] })
	if err := s.keepNeeded(ctx, records, tails); err != nil {
		return place{}, err
	}
	s.watchSets(ctx, records, tails)
	entrants, err := s.entrants(ctx, records, tails, checkpoints)
	if err != nil {
		return place{}, err
	}
	for _, p := range s.parts {
		if tails.partitions[p.n] {
			p.phase, p.since = up, time.Now()
			s.watchLife(ctx, p, p.life.Load())
		}
	}
	var outers []*entrant
	for _, e := range entrants {
		if err := s.admit(ctx, e, &outers); err != nil {
			return place{}, err
		}
	}
	if err := s.endUnreadable(ctx, s.parts, unreadable); err != nil {
		return place{}, err
	}
	// Stored sequences are hints: the stream may not be the one it was. Whether
	// it has what the shapes need, the first message tells that comes.
	start.seq, err = s.seek(ctx, start.lsn, start.seq)
	if err != nil {
		return place{}, err
	}
	if s.applied.seq = start.seq - 1; start.lsn <= s.applied.lsn {
		s.again = &start
	}
	if err := s.resume(ctx, outers); err != nil {
		return place{}, err
	}
	for _, p := range s.parts {
		if p.phase == down {
			s.log.ErrorContext(ctx, "a partition cannot be used; its shapes wait, all others go on", slog.Int("partition", p.n), slog.Any("error", p.why))
			s.group.Go(func() error { return s.bringBack(ctx, p) })
		}
	}
	s.tellDown(ctx)
	s.log.InfoContext(ctx, "partitions taken over", slog.Int("live_shapes", len(s.live)), slog.Int("parked_shapes", len(s.parked)),
		slog.String("from_lsn", start.lsn.String()), slog.Uint64("from_seq", start.seq))
	return start, nil
}

// leaveOut says that a partition is not part of the start.
func (s *session) leaveOut(p *partition, why error) {
	if l := p.life.Swap(nil); l != nil {
		l.out.Close()
	}
	p.why = why
}

// readTailsAtStart reads the ends of the logs of all partitions that can be read.
func (s *session) readTailsAtStart(ctx context.Context, records []*registry.Shape) (tails, error) {
	all := newTails()
	of := map[int][]*registry.Shape{}
	for _, rec := range records {
		of[rec.Partition] = append(of[rec.Partition], rec)
	}
	for _, p := range s.parts {
		if p.life.Load() == nil {
			continue
		}
		err := readTails(ctx, s.js, s.c.cfg.Source, of[p.n], &all)
		switch {
		case err == nil:
			all.partitions[p.n] = true
		case s.gone(ctx) != nil:
			return all, err
		default:
			s.leaveOut(p, err)
		}
	}
	return all, nil
}

// gone is nil unless no partition at all can be used.
func (s *session) gone(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if !s.c.cfg.NATS.IsConnected() {
		return stream.ErrDisconnected
	}
	return nil
}

// uncover says in the record that no checkpoint covers the shape.
func (s *session) uncover(ctx context.Context, rec *registry.Shape) error {
	return s.state(ctx, rec.ID, rec.Handle, func(r *registry.Shape) {
		if r.State == control.StateLive {
			r.State = control.StateCreating
		}
	})
}

func reasonOf(rec *registry.Shape) string {
	if rec.State == control.StateDeleting {
		return reasonDeleted
	}
	return "the shape had ended before a restart"
}

// readCheckpoints returns the checkpoints of the partitions that can be read,
// and the lowest floor.
func (s *session) readCheckpoints(ctx context.Context) (map[int]wire.Checkpoint, place, error) {
	all := make(map[int]wire.Checkpoint, len(s.parts))
	var start place
	for _, p := range s.parts {
		if p.life.Load() == nil {
			continue
		}
		c, _, err := registry.ReadCheckpoint(ctx, s.js, s.c.cfg.Source, p.n)
		if err != nil {
			if s.gone(ctx) != nil {
				return nil, place{}, err
			}
			s.leaveOut(p, err)
			continue
		}
		all[p.n] = c
		if s.foreign(c.History) {
			c = wire.Checkpoint{}
		}
		// Without a checkpoint the partition's shapes may need all there is.
		p.floor.Store(floorIn(c))
		if len(all) == 1 || change.LSN(c.FloorLSN) < start.lsn {
			start = place{change.LSN(c.FloorLSN), c.FloorSeq}
		}
		if change.LSN(c.LSN) > s.applied.lsn {
			s.applied = place{change.LSN(c.LSN), c.Seq}
		}
	}
	s.c.stats.Applied.Store(uint64(s.applied.lsn))
	return all, start, nil
}

// tails are the ends of logs.
type tails struct {
	of  map[string]wire.Tail // by handle; logs that are empty are missing
	bad map[string]error     // logs whose end cannot be understood
	// partitions are those in which all logs were looked at.
	partitions map[int]bool
}

func newTails() tails {
	return tails{of: map[string]wire.Tail{}, bad: map[string]error{}, partitions: map[int]bool{}}
}

// readTails reads where the logs of shapes stand.
func readTails(ctx context.Context, js jetstream.JetStream, source topology.Source, records []*registry.Shape, into *tails) error {
	subjects := map[int][]string{}
	for _, r := range records {
		subjects[r.Partition] = append(subjects[r.Partition], source.LogSubject(r.Partition, r.Handle))
	}
	for p, of := range subjects {
		err := stream.Last(ctx, js, source.ShapeStream(p), of, func(m *jetstream.RawStreamMsg) error {
			handle := topology.HandleOfLog(m.Subject)
			t, err := wire.ParseTail(m.Header.Get(topology.HeaderTail))
			if err != nil {
				into.bad[handle] = fmt.Errorf("message %d of subject %s: %w", m.Sequence, m.Subject, err)
			} else {
				into.of[handle] = t
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read logs of partition %d: %w", p, err)
		}
	}
	return nil
}

// readTail reads where one shape's log stands.
func readTail(ctx context.Context, js jetstream.JetStream, source topology.Source, partition int, handle string) (wire.Tail, error) {
	all := newTails()
	if err := readTails(ctx, js, source, []*registry.Shape{{Handle: handle, Partition: partition}}, &all); err != nil {
		return wire.Tail{}, err
	}
	return all.of[handle], all.bad[handle]
}

// watchShapes returns all records, and why others cannot be read, by id. It goes on telling the main loop of changes.
func (s *session) watchShapes(ctx context.Context) ([]*registry.Shape, map[string]error, error) {
	first := map[string]*registry.Shape{} // by id, as one that changes meanwhile comes twice
	unreadable := map[string]error{}
	loaded := make(chan struct{})
	isLoaded := false
	s.group.Go(func() error {
		return s.shapes.Watch(ctx, func(e registry.Event) {
			e = within(e, len(s.parts))
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
			_ = s.loop.Send(ctx, func(ctx context.Context) error { return s.recordChanged(ctx, e) }) // else the session is over
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

// within makes a record that describes no table, or speaks of partitions which the
// source does not have, one that cannot be read.
func within(e registry.Event, partitions int) registry.Event {
	if e.Shape == nil {
		return e
	}
	if e.Shape.Table == nil {
		return registry.Event{ID: e.ID, Err: fmt.Errorf("shape %s: %w: it describes no table", e.ID, registry.ErrUnreadable)}
	}
	all := []int{e.Shape.Partition}
	for _, q := range e.Shape.Subqueries {
		all = append(all, q.Partition)
	}
	for _, p := range all {
		if p < 0 || p >= partitions {
			return registry.Event{ID: e.ID, Err: fmt.Errorf("shape %s: %w: it names partition %d of %d", e.ID, registry.ErrUnreadable, p, partitions)}
		}
	}
	return e
}

// recordChanged acts on a change of a shape's record.
func (s *session) recordChanged(ctx context.Context, e registry.Event) error {
	if e.Err != nil {
		return s.poisonedRecord(ctx, e)
	}
	handle := ""
	s.noteRecord(e.ID, e.Shape)
	if f := s.live[e.ID]; f != nil {
		handle = f.handle
	} else if g := s.grouped[e.ID]; g != nil {
		handle = g.handleOf(e.ID)
	} else if p := s.parked[e.ID]; p != nil {
		handle = p.handle
	}
	rec := e.Shape
	if rec != nil && rec.State == control.StateDeleting && len(s.dependsOn[rec.Handle]) > 0 {
		return s.keepInner(ctx, rec)
	}
	if handle != "" && (rec == nil || rec.Handle != handle || rec.State == control.StateDeleting) {
		if err := s.endRunning(ctx, e.ID, reasonDeleted, rec != nil && rec.Handle == handle); err != nil {
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
	case rec.State == control.StateCreating && !s.finished[rec.Handle] && len(rec.Subqueries) > 0:
		return s.parkOuter(ctx, rec, wire.Tail{})
	case rec.State == control.StateCreating && !s.finished[rec.Handle]: // else an echo of this session's own writes
		s.park(ctx, rec, wire.Tail{}, true)
	case rec.State == control.StateDeleting:
		tail, err := readTail(ctx, s.js, s.c.cfg.Source, rec.Partition, rec.Handle)
		if err != nil && s.gone(ctx) != nil {
			return err
		}
		if err != nil { // whoever takes the partition over ends the shape
			s.parts[rec.Partition].life.Load().kill(err)
			return nil
		}
		return s.endRecord(ctx, rec, tail, reasonDeleted)
	}
	return nil
}

// readSnapshot reads what a shape's snapshot held from the log's first entry.
// The record says it too, but somebody who slept past the end of its lease may
// have written there since; nobody but the owner writes the log.
func (s *session) readSnapshot(ctx context.Context, partition int, handle string) (*change.Snapshot, error) {
	subject := s.c.cfg.Source.LogSubject(partition, handle)
	st, err := s.js.Stream(ctx, s.c.cfg.Source.ShapeStream(partition))
	if err != nil {
		return nil, fmt.Errorf("read the beginning of log %s: %w", subject, err)
	}
	m, err := st.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(subject))
	if err != nil {
		return nil, fmt.Errorf("read the beginning of log %s: %w", subject, err)
	}
	var held *change.Snapshot
	var d wire.LogDecoder
	err = d.Decode(m.Data, func(e *wire.Entry) error {
		if e.Kind != wire.EntrySegment || held != nil {
			return nil
		}
		snap, err := change.ParseSnapshot(e.Snapshot)
		snap.LSN = e.LSN
		held = &snap
		return err
	})
	if err == nil && held == nil {
		err = errors.New("it does not begin with a snapshot")
	}
	if err != nil {
		return nil, &final{fmt.Errorf("the beginning of log %s cannot be read: %w; create the shape again", subject, err)}
	}
	return held, nil
}

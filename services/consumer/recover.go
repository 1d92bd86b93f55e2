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
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/registry"
	"github.com/shapebus/shapebus/pkg/stream"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// reasonDiscarded ends shapes that the change log left behind.
const reasonDiscarded = "the change log discarded changes that this shape had not read yet; a larger --change-max-bytes keeps them longer"

// reasonLost ends shapes whose log is gone while their record is not: NATS
// lost power before the log was on disk. A new snapshot needs a new handle,
// because readers of the old one would go on behind it.
const reasonLost = "the shape's log was lost with data that JetStream had not yet written to disk"

// recover is the start path, after a crash or not: it reads where every
// partition and every log stands, and returns where to read the change log from.
func (s *session) recover(ctx context.Context) (place, error) {
	info, err := s.changes.Info(ctx)
	if err != nil {
		return place{}, fmt.Errorf("read the change log's state: %w", err)
	}
	checkpoints, start, err := s.readCheckpoints(ctx)
	if err != nil {
		return place{}, err
	}
	records, err := s.watchShapes(ctx)
	if err != nil {
		return place{}, err
	}
	tails, err := readTails(ctx, s.js, s.c.cfg.Source, records)
	if err != nil {
		return place{}, err
	}
	for _, rec := range records {
		s.noteRecord(rec.ID, rec)
	}
	for _, rec := range records {
		if rec.State == control.StateDeleting && len(s.dependsOn[rec.Handle]) > 0 {
			if err := s.keepInner(ctx, rec); err != nil {
				return place{}, err
			}
			rec.State = control.StateCreating // until it has been looked at more closely
			if tails[rec.Handle].Began {
				rec.State = control.StateLive
			}
		}
	}
	for _, rec := range records {
		if rec.State == control.StateLive || rec.State == control.StateCreating {
			for _, q := range rec.Subqueries {
				if !tails[rec.Handle].Began && !tails[q.Handle].Began {
					continue
				}
				s.watchSet(ctx, q, &change.Offset{LSN: tails[q.Handle].Committed.LSN, Op: tails[q.Handle].Committed.Op})
			}
		}
	}
	parked := make([]parkedPlaces, len(checkpoints))
	for n := range checkpoints {
		parked[n] = placesIn(&checkpoints[n])
	}
	var outers []recovered
	for _, rec := range records {
		tail := tails[rec.Handle]
		cp := checkpoints[rec.Partition]
		switch {
		case rec.State == control.StateEnded && tail.Ended:
		case rec.State == control.StateEnded: // the record reached the disk, the log's last word did not
			if err := s.endRecord(ctx, rec, tail, rec.Reason); err != nil {
				return place{}, err
			}
		case tail.Ended || rec.State == control.StateDeleting:
			if err := s.endRecord(ctx, rec, tail, reasonOf(rec)); err != nil {
				return place{}, err
			}
		case len(rec.Subqueries) > 0 && (tail.Began || rec.State == control.StateCreating):
			r, reason, err := s.recoverOuter(ctx, rec, tail, cp, parked[rec.Partition], info.State.FirstSeq)
			if reason != "" {
				err = s.endRecord(ctx, rec, tail, reason)
			} else if r != nil {
				outers = append(outers, *r)
			}
			if err != nil {
				return place{}, err
			}
		case rec.State == control.StateCreating:
			s.park(ctx, rec, tail, false)
		case !tail.Began:
			if err := s.endRecord(ctx, rec, tail, reasonLost); err != nil {
				return place{}, err
			}
		case change.LSN(cp.LSN) < rec.SnapshotLSN:
			// The checkpoint that covered the shape was lost. It goes on from
			// where its creation began to read.
			if err := s.uncover(ctx, rec); err != nil {
				return place{}, err
			}
			s.park(ctx, rec, tail, false)
		case info.State.FirstSeq > cp.Seq+1:
			if err := s.endRecord(ctx, rec, tail, reasonDiscarded); err != nil {
				return place{}, err
			}
		default:
			f, err := s.follow(rec, tail)
			if err != nil {
				if err := s.endRecord(ctx, rec, tail, err.Error()); err != nil {
					return place{}, err
				}
				continue
			}
			f.after = change.LSN(cp.LSN)
			s.addLive(f)
		}
	}
	if first := info.State.FirstSeq; first > s.applied.seq+1 {
		// The shapes that missed what was discarded have just ended; nobody
		// else looks back.
		s.applied = place{s.applied.lsn, first - 1}
	}
	start.seq, err = stream.Seek(ctx, s.changes, start.lsn, start.seq)
	if err != nil {
		return place{}, err
	}
	if start.lsn <= s.applied.lsn {
		s.again = &start
	}
	if err := s.resume(ctx, outers); err != nil {
		return place{}, err
	}
	s.log.InfoContext(ctx, "partitions taken over", slog.Int("live_shapes", len(s.live)), slog.Int("parked_shapes", len(s.parked)),
		slog.String("from_lsn", start.lsn.String()), slog.Uint64("from_seq", start.seq))
	return start, nil
}

// recoverOuter finds out how a shape with subqueries goes on: from a place in
// the change log, or, if there is a reason, not at all. One whose snapshot was not
// finished begins anew.
func (s *session) recoverOuter(ctx context.Context, rec *registry.Shape, tail wire.Tail, cp wire.Checkpoint, parked parkedPlaces, first uint64) (r *recovered, reason string, err error) {
	if reason := s.missing(rec); reason != "" {
		return nil, reason, nil
	}
	if !tail.Began {
		return nil, "", s.parkOuter(ctx, rec, tail)
	}
	f, broken := s.follow(rec, tail)
	if broken != nil {
		return nil, broken.Error(), nil //nolint:nilerr // it is the shape's end, not the session's
	}
	r = &recovered{f: f, rec: rec}
	var ok bool
	r.at, r.aside, ok = placeOf(rec, rec.State == control.StateLive, tail, change.LSN(cp.LSN), parked)
	switch {
	case !ok:
		return nil, reasonLost, nil
	case first > max(cp.FloorSeq, 1):
		return nil, reasonDiscarded, nil
	}
	return r, "", nil
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

// readCheckpoints returns the checkpoint of each partition and the lowest floor.
func (s *session) readCheckpoints(ctx context.Context) ([]wire.Checkpoint, place, error) {
	all := make([]wire.Checkpoint, len(s.parts))
	var start place
	for _, p := range s.parts {
		c, _, err := registry.ReadCheckpoint(ctx, s.js, s.c.cfg.Source, p.n)
		if err != nil {
			return nil, place{}, err
		}
		// Without a checkpoint the partition's shapes may need all there is.
		all[p.n] = c
		if p.n == 0 || change.LSN(c.FloorLSN) < start.lsn {
			start = place{change.LSN(c.FloorLSN), c.FloorSeq}
		}
		if change.LSN(c.LSN) > s.applied.lsn {
			s.applied = place{change.LSN(c.LSN), c.Seq}
		}
	}
	s.c.stats.Applied.Store(uint64(s.applied.lsn))
	return all, start, nil
}

// tailPage is how many logs are asked for their last message at once; the
// server refuses more than 1,024.
const tailPage = 500

// tailPageTime bounds the reading of a page; a busy server has to seek each log.
const tailPageTime = time.Minute

// readTails reads where the logs of shapes stand, by handle. Shapes whose logs
// are empty are missing.
func readTails(ctx context.Context, js jetstream.JetStream, source topology.Source, records []*registry.Shape) (map[string]wire.Tail, error) {
	subjects := map[int][]string{}
	for _, r := range records {
		subjects[r.Partition] = append(subjects[r.Partition], source.LogSubject(r.Partition, r.Handle))
	}
	tails := make(map[string]wire.Tail, len(records))
	for p, all := range subjects {
		for len(all) > 0 {
			page := all[:min(tailPage, len(all), fitting(js.Conn().MaxPayload(), len(all[0])))]
			all = all[len(page):]
			if err := readTailPage(ctx, js, source.ShapeStream(p), page, tails); err != nil {
				return nil, fmt.Errorf("read logs of partition %d: %w", p, err)
			}
		}
	}
	return tails, nil
}

// fitting is how many subjects of a length fit into a request.
func fitting(maxPayload int64, length int) int {
	const around, each = 512, 4 // the rest of the request; quotes, a comma, and a handle may be a digit longer
	return max(1, (int(maxPayload)-around)/(length+each))
}

// readTailPage adds the tails of the logs that have one. An answer may end
// early without saying so: the server stops at a number of bytes, the client
// library after some seconds. A log taken for empty would be written anew, so
// the logs not yet seen are asked for until the server says that they have nothing.
func readTailPage(ctx context.Context, js jetstream.JetStream, streamName string, subjects []string, tails map[string]wire.Tail) error {
	ctx, cancel := context.WithTimeout(ctx, tailPageTime)
	defer cancel()
	for len(subjects) > 0 {
		answer, err := jetstreamext.GetLastMsgsFor(ctx, js, streamName, subjects)
		if err != nil {
			return err
		}
		seen, none := map[string]bool{}, false
		for m, err := range answer {
			if errors.Is(err, jetstreamext.ErrNoMessages) {
				none = true
				break
			}
			if err != nil {
				return err
			}
			t, err := wire.ParseTail(m.Header.Get(topology.HeaderTail))
			if err != nil {
				return fmt.Errorf("log %s: %w", m.Subject, err)
			}
			tails[topology.HandleOfLog(m.Subject)] = t
			seen[m.Subject] = true
		}
		if len(seen) == 0 {
			if none {
				return nil
			}
			return fmt.Errorf("the server did not answer for %d logs", len(subjects))
		}
		var rest []string
		for _, subject := range subjects {
			if !seen[subject] {
				rest = append(rest, subject)
			}
		}
		subjects = rest
	}
	return nil
}

// watchShapes returns all records and goes on telling the main loop of changes.
func (s *session) watchShapes(ctx context.Context) ([]*registry.Shape, error) {
	first := map[string]*registry.Shape{} // by id, as one that changes meanwhile comes twice
	loaded := make(chan struct{})
	isLoaded := false
	s.group.Go(func() error {
		return s.shapes.Watch(ctx, func(e registry.Event) {
			if e.Err != nil {
				s.log.ErrorContext(ctx, "a shape's record is passed over", slog.String("shape", e.ID), slog.Any("error", e.Err))
				return
			}
			if !isLoaded {
				if first[e.ID] = e.Shape; e.Shape == nil {
					delete(first, e.ID)
				}
				return
			}
			select {
			case s.do <- func(ctx context.Context) error { return s.recordChanged(ctx, e) }:
			case <-ctx.Done():
			}
		}, func() { isLoaded = true; close(loaded) })
	})
	select {
	case <-loaded:
		records := slices.Collect(maps.Values(first))
		first = nil // the watch goes on and would keep them
		return records, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// recordChanged acts on a change of a shape's record.
func (s *session) recordChanged(ctx context.Context, e registry.Event) error {
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
	switch {
	case rec == nil || handle != "":
	case rec.State == control.StateCreating && !s.finished[rec.Handle] && len(rec.Subqueries) > 0:
		return s.parkOuter(ctx, rec, wire.Tail{})
	case rec.State == control.StateCreating && !s.finished[rec.Handle]: // else an echo of this session's own writes
		s.park(ctx, rec, wire.Tail{}, true)
	case rec.State == control.StateDeleting:
		tails, err := readTails(ctx, s.js, s.c.cfg.Source, []*registry.Shape{rec})
		if err != nil {
			return err
		}
		return s.endRecord(ctx, rec, tails[rec.Handle], reasonDeleted)
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
		return nil, fmt.Errorf("read the beginning of log %s: %w", subject, err)
	}
	return held, nil
}

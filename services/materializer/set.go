package materializer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// stage is who owns a set's replica.
type stage int

const (
	waiting stage = iota // nobody: the inner shape's log is empty yet
	parked               // the set's goroutine, which builds it and catches up
	live                 // the main loop
)

// set is a value set that is followed. The main loop owns it, its replica and
// what is below that belong to the set's goroutine while it is parked.
type set struct {
	registry.Subquery

	name    string
	handle  string
	stage   stage
	seen    uint64 // sequence of the last message of the log that the durable delivered
	dropped bool   // nobody wants it any more
	// folded is where the newest generation stands that the durable delivered.
	folded change.Offset

	// Of the goroutine while it is parked: ends it; closed when it has ended;
	// closed when that of the set of the same name before has.
	stop  context.CancelFunc
	done  chan struct{}
	after chan struct{}

	replica *replica // nil until it is built
	verdict change.Offset
	base    wire.Base
	based   bool
	weight  int64         // of the verdicts since the base
	needed  change.Offset // what stands before this in the log goes when a base has come as far
	leap    bool          // the verdicts that are stored end before the base, which has come from a generation
}

var (
	// errEmpty says that the inner shape's log has not begun, as far as can be seen.
	errEmpty = errors.New("the log is empty")
	// errEnded says that the inner shape's life is over.
	errEnded = errors.New("the inner shape has ended")
)

// tend builds a set if need be and follows the log until the main loop can take
// over. It runs in the set's goroutine.
func (s *session) tend(ctx context.Context, f *set) error {
	if f.after != nil {
		<-f.after // its context has ended
		f.after = nil
	}
	var pause service.Backoff
	for {
		err := s.catchUp(ctx, f)
		switch {
		case ctx.Err() != nil:
			return service.IgnoreEnd(ctx, err)
		case err == nil:
			joined := false
			if err := s.loop.Do(ctx, func(context.Context) error { joined = s.join(f); return nil }); err != nil || joined {
				return service.IgnoreEnd(ctx, err)
			}
			service.WaitFor(ctx, joinPause) // what the durable delivered is not seen by direct gets yet
		case errors.Is(err, errEmpty):
			return service.IgnoreEnd(ctx, s.loop.Do(ctx, func(ctx context.Context) error { s.wait(ctx, f); return nil }))
		case errors.Is(err, errEnded):
			return service.IgnoreEnd(ctx, s.loop.Do(ctx, func(context.Context) error { s.forget(f); return nil }))
		case s.store.out.Err() != nil:
			return s.store.out.Err()
		default:
			f.replica = nil // whatever it is, begin again with what is stored
			s.log.WarnContext(ctx, "a value set is built anew", slog.String("set", f.name), slog.Any("error", err))
			s.m.stats.Note(err)
			if err := s.loop.Do(ctx, func(context.Context) error { s.release(f); return nil }); err != nil {
				return service.IgnoreEnd(ctx, err)
			}
			pause.Wait(ctx)
		}
	}
}

// joinPause is between attempts of a set to join the main loop.
const joinPause = 5 * time.Millisecond

// catchUp reads the log to its end, building the replica first if there is none.
func (s *session) catchUp(ctx context.Context, f *set) error {
	if f.replica == nil {
		// Building takes memory and requests; so many at once.
		select {
		case s.m.builds <- struct{}{}:
			defer func() { <-s.m.builds }()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	var from uint64
	if f.replica != nil {
		from = f.replica.seq + 1
	} else {
		var err error
		if from, err = s.build(ctx, f); err != nil {
			return err
		}
	}
	if err := s.renewBase(ctx, f); err != nil {
		return err
	}
	if f.leap {
		f.leap = false
		if err := s.store.Leap(ctx, f.name, f.base.Offset()); err != nil {
			return err
		}
	}
	log := s.source.LogSubject(s.p, f.handle)
	r := stream.NewSubjectReader(s.js, s.source.ShapeStream(s.p), log, from)
	var dec wire.LogDecoder
	for {
		m, ok, err := r.Next(ctx)
		if err != nil || !ok {
			return err
		}
		tail, err := parseTail(m.Header)
		if err != nil {
			return err
		}
		switch {
		case f.replica.seq > 0 && !f.replica.Follows(tail, len(m.Data)):
			if err := s.missing(ctx, log, f); err != nil {
				return fmt.Errorf("log %s at %d: %w", log, m.Seq, err)
			}
		case f.replica.seq == 0 && f.replica.began: // what stands between the base and this message may have gone since it was looked for
			if err := s.stillGoesOn(ctx, log, f.replica.done); err != nil {
				return fmt.Errorf("log %s at %d: %w", log, m.Seq, err)
			}
		}
		if err := dec.Decode(m.Data, func(e *wire.Entry) error { return s.entry(ctx, f, e, nil) }); err != nil {
			return fmt.Errorf("log %s at %d: %w", log, m.Seq, err)
		}
		if f.replica.ended {
			return errEnded
		}
		f.replica.seq, f.replica.bytes = m.Seq, tail.Bytes
		if err := s.renewBase(ctx, f); err != nil {
			return err
		}
	}
}

// build makes the replica from the last base, or leaves it empty where there is
// none. It returns the sequence from which the log is to be read.
func (s *session) build(ctx context.Context, f *set) (from uint64, err error) {
	rec, err := s.shapes.Get(ctx, f.ID)
	if errors.Is(err, registry.ErrNotFound) || err == nil && rec.Handle != f.handle {
		return 0, errEmpty // of an older life, whose dependents end with it; or not seen yet by the server asked
	}
	if err != nil {
		return 0, err
	}
	l, err := newLayout(rec, f.Columns, f.Unit)
	if err != nil {
		return 0, fmt.Errorf("value set %s: %w", f.name, err)
	}
	logs, err := s.js.Stream(ctx, s.source.ShapeStream(s.p))
	if err != nil {
		return 0, fmt.Errorf("open stream %s: %w", s.source.ShapeStream(s.p), topology.Explain(err))
	}
	log := s.source.LogSubject(s.p, f.handle)
	newest, err := logs.GetLastMsgForSubject(ctx, log)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, errEmpty
	}
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", log, topology.Explain(err))
	}
	tail, err := parseTail(newest.Header)
	switch {
	case err != nil:
		return 0, err
	case tail.Ended:
		return 0, errEnded
	case !tail.Began:
		return 0, errEmpty // some parts of its first message
	}
	r, err := s.load(ctx, f, l)
	if err != nil {
		return 0, err
	}
	g, err := s.generation(ctx, logs, f)
	if err != nil {
		return 0, err
	}
	there := g == nil
	if !there && r.began {
		if there, err = s.goesOn(ctx, logs, log, r.done); err != nil {
			return 0, err
		}
	}
	if !there {
		f.based, r = false, newReplica(l)
		if err := s.begin(ctx, logs, f, r, g); err != nil {
			return 0, err
		}
	}
	if g != nil {
		if f.needed.Before(g.Offset()) {
			f.needed = g.Offset()
		}
		// Those who have older verdicts only have to learn that there is another base.
		last, err := s.store.LastVerdict(ctx, f.name)
		if err != nil {
			return 0, err
		}
		f.leap = last.Before(r.done)
		if f.verdict.Before(r.done) {
			f.verdict = r.done // a base says what they would have
		}
	}
	if from = 1; r.began {
		if tail.Committed.Before(r.done) {
			return 0, fmt.Errorf("log %s ends at %s, before base %d of %s at %s", log, tail.Committed, f.base.Number, f.name, r.done)
		}
		from, err = stream.SeekSubject(ctx, logs, log, func(h nats.Header) (bool, error) {
			t, err := parseTail(h)
			return t.Began && !t.Committed.Before(r.done), err
		})
		if err != nil {
			return 0, err
		}
	}
	f.replica = r
	s.log.DebugContext(ctx, "value set built", slog.String("set", f.name), slog.String("at", r.done.String()), slog.Int("values", r.values.Len()))
	return from, nil
}

// load returns a replica with the last base, or an empty one, and notes what is
// stored about the set.
func (s *session) load(ctx context.Context, f *set, l *layout) (*replica, error) {
	// Verdicts of this set's life before may be on their way.
	if err := s.store.out.Flush(ctx); err != nil {
		return nil, err
	}
	verdict, err := s.store.LastVerdict(ctx, f.name)
	if err != nil {
		return nil, err
	}
	f.verdict, f.weight = verdict, 0
	if f.base, f.based, err = s.store.LastBase(ctx, f.name); err != nil {
		return nil, err
	}
	r := newReplica(l)
	if !f.based {
		return r, nil
	}
	switch err := s.store.Load(ctx, f.name, f.base, r); {
	case errors.Is(err, errIncomplete):
		// Power was lost before it was on disk, or it was written for another layout.
		s.log.WarnContext(ctx, "a base is passed over", slog.String("set", f.name), slog.Any("error", err))
		f.based = false
		return newReplica(l), nil
	case err != nil:
		return nil, err
	}
	if f.verdict.Before(r.done) {
		f.verdict = r.done // the verdicts up to it were trimmed
	}
	return r, nil
}

// entry applies an entry of the log and publishes what comes of it. sent, if not
// nil, is called for each verdict once it is stored.
func (s *session) entry(ctx context.Context, f *set, e *wire.Entry, sent func(*set) func(uint64)) error {
	m, err := f.replica.Entry(e, func(e *wire.Entry, row func(change.Row) error) error { return s.segment(ctx, f, e, row) })
	if err != nil {
		return err
	}
	if e.Kind == wire.EntrySegment && !f.based {
		// Before the first verdict: from here on the set can be used.
		if err := s.writeBase(ctx, f); err != nil {
			return err
		}
	}
	if m == nil {
		return nil
	}
	if m.inconsistent > 0 {
		s.m.stats.Inconsistent.Add(m.inconsistent)
		s.log.ErrorContext(ctx, "row changes do not fit the rows known; delete the inner shape if its log is damaged",
			slog.String("set", f.name), slog.String("at", m.verdict.Offset.String()), slog.Int64("changes", m.inconsistent))
	}
	f.weight += m.weight
	if !f.verdict.Before(m.verdict.Offset) {
		return nil
	}
	var stored func(uint64)
	if sent != nil {
		stored = sent(f)
	}
	if err := s.store.Verdict(ctx, f.name, f.verdict, &m.verdict, stored); err != nil {
		return err
	}
	f.verdict = m.verdict.Offset
	return nil
}

// segment reads the rows of a segment.
func (s *session) segment(ctx context.Context, f *set, e *wire.Entry, row func(change.Row) error) error {
	subject := s.source.SegmentSubject(s.p, f.handle, e.Segment)
	r := stream.NewSubjectReader(s.js, s.source.ShapeStream(s.p), subject, 1)
	var rows uint64
	for range e.Messages {
		m, ok, err := r.Next(ctx)
		if err == nil && !ok {
			err = fmt.Errorf("segment %s is not complete", subject)
		}
		if err == nil {
			err = wire.DecodeSegment(m.Data, func(cells change.Row) error { rows++; return row(cells) })
		}
		if err != nil {
			return err
		}
	}
	if rows != e.Rows {
		return fmt.Errorf("segment %s has %d rows, its entry says %d", subject, rows, e.Rows)
	}
	return nil
}

// renewBase writes a base if one is due and the log stands at a marker.
func (s *session) renewBase(ctx context.Context, f *set) error {
	if !f.replica.began || f.replica.open || f.based && !f.awaited() && !baseDue(f.weight, f.replica.Weight(), s.m.cfg.BaseLeast) {
		return nil
	}
	return s.writeBase(ctx, f)
}

// need tells the set's goroutine what generation there is. Called on the main loop, while that does not run or waits.
func (f *set) need() {
	if f.needed.Before(f.folded) {
		f.needed = f.folded
	}
}

// awaited reports whether the log was folded where the replica is or before that, and behind the base.
func (f *set) awaited() bool {
	return f.base.Offset().Before(f.needed) && !f.replica.done.Before(f.needed)
}

func (s *session) writeBase(ctx context.Context, f *set) error {
	b, err := s.store.WriteBase(ctx, f.name, f.replica)
	if err != nil {
		return err
	}
	f.base, f.based, f.weight = b, true, 0
	if f.verdict.Before(b.Offset()) {
		f.verdict = b.Offset()
	}
	s.log.DebugContext(ctx, "base written", slog.String("set", f.name), slog.String("at", b.Offset().String()), slog.Uint64("values", b.Values))
	return s.store.Clear(ctx, f.name, b)
}

func parseTail(h nats.Header) (wire.Tail, error) {
	return wire.ParseTail(h.Get(topology.HeaderTail))
}

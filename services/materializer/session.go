package materializer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/shapebus/shapebus/internal/health"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/internal/tracing"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// session is a time during which this process follows a partition that it holds. Whatever goes wrong ends it; the next one starts from what JetStream holds.
type session struct {
	m      *Materializer
	log    *slog.Logger
	js     jetstream.JetStream
	source topology.Source
	p      int
	shapes *registry.Shapes
	wants  *wants
	store  *store
	group  *errgroup.Group
	stored atomic.Uint64 // verdicts of the main loop that JetStream has

	loop *service.Loop // runs functions on the main loop, which owns everything below

	sets      map[string]*set          // by name
	handles   map[string][]*set        // by handle
	open      map[*set]struct{}        // those that the durable must not leave behind: inside a transaction, or parked
	lingering map[string]time.Time     // sets that nobody wants, since when
	ending    map[string]chan struct{} // closed when the goroutine of a forgotten set has ended
	reading   bool                     // the durable is being read
	floor     floor
	parts     stream.Assembler
	dec       wire.LogDecoder
	last      uint64       // sequence of the last message
	ackLast   func() error // acknowledges it
	trace     string       // context of the trace of the message being applied; "" for none
	acked     uint64       // how far the durable was acknowledged
	shown     shown
}

// shown is what this session has added to the process' gauges.
type shown struct{ live, parked, values, unread int64 }

// own follows a partition, which is this process', until something ends that.
func (m *Materializer) own(ctx context.Context, js jetstream.JetStream, watch *health.Watch, p int, shapes *registry.Shapes, w *wants) error {
	m.stats.Partitions.Add(1)
	defer m.stats.Partitions.Add(-1)

	out, err := m.openStore(ctx, js, p)
	if err != nil {
		return err
	}
	defer out.out.Close()
	defer watch.Needs(m.cfg.Source.VerdictStream(p))()
	s := &session{
		m: m, log: m.log.With(slog.Int("partition", p)), js: js, source: m.cfg.Source, p: p, shapes: shapes, wants: w, store: out,
		sets: map[string]*set{}, handles: map[string][]*set{},
		open: map[*set]struct{}{}, lingering: map[string]time.Time{}, ending: map[string]chan struct{}{},
	}
	if err := s.run(ctx); err != nil {
		return err
	}
	return context.Cause(ctx)
}

func (s *session) run(ctx context.Context) error {
	s.group, ctx = errgroup.WithContext(ctx)
	s.loop = service.NewLoop(ctx)
	s.group.Go(func() error { return s.main(ctx) })
	s.group.Go(func() error { return s.trim(ctx) })
	s.group.Go(func() error { return s.store.Watch(ctx) })
	s.group.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-s.store.out.Done():
			return s.store.out.Err()
		}
	})
	defer s.show(shown{})
	return s.group.Wait()
}

// main is the main loop.
func (s *session) main(ctx context.Context) error {
	wake, stop := s.wants.Wake(s.p)
	defer stop()
	wanted := s.wants.Of(s.p)
	stored, err := s.store.Stored(ctx, func(set string) bool { _, ok := wanted[set]; return !ok })
	if err != nil {
		return service.IgnoreEnd(ctx, err)
	}
	s.lingering = stored
	messages := make(chan *stream.Delivery, 1)
	if err := s.want(ctx, messages); err != nil {
		return service.IgnoreEnd(ctx, err)
	}
	s.m.facts.part(s.p, nil)
	s.log.InfoContext(ctx, "partition taken over", slog.Int("sets", len(s.sets)))
	ack, look := time.NewTicker(s.m.cfg.AckInterval), time.NewTicker(lookEvery)
	defer ack.Stop()
	defer look.Stop()
	loop := s.m.stats.Loops.Begin()
	defer loop.End()
	for {
		loop.Turn()
		var err error
		select {
		case <-ctx.Done():
			return s.leave(ctx)
		case <-wake:
			err = s.want(ctx, messages)
		case m := <-messages:
			err = s.message(ctx, m)
		case f := <-s.loop.Calls():
			err = f(ctx)
		case <-ack.C:
			err = s.ack()
			s.show(s.figures())
		case <-look.C:
			for _, f := range s.sets {
				if f.stage == waiting { // the shape may have been deleted before its log began
					s.park(ctx, f)
				}
			}
		}
		if err != nil {
			return service.IgnoreEnd(ctx, err)
		}
	}
}

// lookEvery is how often sets whose logs are empty are looked after.
const lookEvery = 5 * time.Second

// leave acknowledges what is settled, so that the successor is sent little again.
func (s *session) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if s.store.out.Flush(ctx) == nil && s.ack() == nil {
		_ = s.js.Conn().FlushWithContext(ctx) // the acknowledgement is a hint
	}
	return nil
}

// want follows the sets that shapes depend on, and no others.
func (s *session) want(ctx context.Context, messages chan<- *stream.Delivery) error {
	wanted := s.wants.Of(s.p)
	for name, f := range s.sets {
		if _, ok := wanted[name]; !ok {
			s.forget(f)
			delete(s.sets, name)
		}
	}
	if len(wanted) > 0 && !s.reading {
		// Before the logs are read: what is stored later is delivered.
		if err := s.read(ctx, messages); err != nil {
			return err
		}
	}
	for name, q := range wanted {
		if s.sets[name] != nil {
			continue
		}
		f := &set{Subquery: q, name: name, handle: q.Handle, after: s.ending[name]}
		delete(s.ending, name)
		s.sets[name] = f
		s.handles[f.handle] = append(s.handles[f.handle], f)
		delete(s.lingering, name)
		s.park(ctx, f)
	}
	return nil
}

// forget ends a set's being followed. What is stored about it stays for a
// while. It stays among the sets, so that it is not begun again while shapes still
// depend on it: those of an inner shape that has ended are about to end, too.
func (s *session) forget(f *set) {
	if f.dropped {
		return
	}
	f.dropped = true
	s.release(f)
	s.handles[f.handle] = slices.DeleteFunc(s.handles[f.handle], func(o *set) bool { return o == f })
	if len(s.handles[f.handle]) == 0 {
		delete(s.handles, f.handle)
	}
	s.lingering[f.name] = time.Now()
	if f.stage == parked {
		f.stop()
		s.ending[f.name] = f.done
		return
	}
	f.replica = nil
}

// park hands a set to a goroutine of its own.
func (s *session) park(ctx context.Context, f *set) {
	f.stage = parked
	f.need()
	s.open[f] = struct{}{} // the durable must not be left behind by a set that has not caught up with it
	own, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	f.stop, f.done = stop, done
	s.group.Go(func() error {
		defer close(done)
		defer stop()
		return s.tend(own, f)
	})
}

// wait keeps a set until its log begins.
func (s *session) wait(ctx context.Context, f *set) {
	if f.dropped {
		return
	}
	f.stage = waiting
	s.release(f)
	if f.seen > 0 { // it has begun meanwhile
		f.seen = 0
		s.park(ctx, f)
	}
}

// join hands a parked set to the main loop, unless the durable is ahead of it.
func (s *session) join(f *set) bool {
	if f.dropped {
		return true
	}
	if f.replica.seq < f.seen {
		return false
	}
	f.need()
	if !f.replica.open && f.awaited() {
		return false // its goroutine writes the base
	}
	f.stage = live
	if f.replica.open {
		s.open[f] = struct{}{}
	} else {
		s.release(f)
	}
	return true
}

// release lets the durable be acknowledged in spite of a set.
func (s *session) release(f *set) {
	delete(s.open, f)
	s.quiet()
}

// quiet notes the last message as a place to acknowledge, if it is one.
func (s *session) quiet() {
	if s.ackLast != nil && len(s.open) == 0 && !s.parts.Pending() {
		s.floor.Quiet(s.last, s.ackLast)
	}
}

// message takes one message that the durable delivers.
func (s *session) message(ctx context.Context, m *stream.Delivery) error {
	seq := m.Seq
	if seq <= s.last || m.Count > 1 {
		return fmt.Errorf("read stream %s: message %d comes again behind %d", s.source.ShapeStream(s.p), seq, s.last)
	}
	s.last, s.ackLast = seq, m.Ack
	s.m.stats.Messages.Add(1)
	s.m.stats.Heard.Now()
	s.shown.unread = s.show1(&s.m.stats.Unread, s.shown.unread, int64(m.Pending))
	if handle := topology.HandleOfLog(m.Subject); len(s.handles[handle]) > 0 {
		if err := s.logMessage(ctx, handle, seq, m); err != nil {
			return err
		}
	} else {
		s.parts = stream.Assembler{} // parts follow one another, so nothing comes of those before
		if handle := topology.HandleOfGeneration(m.Subject); len(s.handles[handle]) > 0 {
			s.folds(ctx, handle, m)
		}
	}
	s.quiet()
	return nil
}

// folds takes a new generation of an inner shape. What it replaces goes when the sets have bases that stand behind it, which may
// take for ever where nothing changes of what they select. One that cannot be read concerns those who are built from it.
func (s *session) folds(ctx context.Context, handle string, m *stream.Delivery) {
	g, err := wire.DecodeGeneration(m.Data)
	if err != nil {
		s.unreadable(ctx, handle, m.Seq, err)
		return
	}
	for _, f := range s.handles[handle] {
		f.folded = g.Offset()
		if f.stage != live {
			continue
		}
		if f.need(); !f.replica.open && f.awaited() {
			s.park(ctx, f)
		}
	}
}

// unreadable notes a message of a shape that nobody can read. It holds up no other shape's sets.
func (s *session) unreadable(ctx context.Context, handle string, seq uint64, err error) {
	err = fmt.Errorf("read stream %s at %d: %w", s.source.ShapeStream(s.p), seq, err)
	s.log.ErrorContext(ctx, "a message of a shape cannot be read", slog.String("shape", handle), slog.Any("error", err))
	s.m.stats.Note(err)
}

// rebuild has the sets of a log that has a message which cannot be read say so themselves, until the shape ends or is folded.
func (s *session) rebuild(ctx context.Context, handle string, seq uint64, err error) {
	s.unreadable(ctx, handle, seq, err)
	s.parts = stream.Assembler{}
	for _, f := range s.handles[handle] {
		if f.seen = seq; f.stage == live {
			f.replica = nil
			s.park(ctx, f)
		}
	}
}

// logMessage offers a log's message, or a part of one, to the sets of its handle.
func (s *session) logMessage(ctx context.Context, handle string, seq uint64, m *stream.Delivery) error {
	index, _, err := stream.Part(m.Header)
	if err == nil && index > 0 && !s.parts.Pending() {
		return nil // the rest of a message that began before the durable did
	}
	data, whole, err := s.parts.Add(m.Subject, m.Header, m.Data)
	var tail wire.Tail
	if err == nil && whole {
		tail, err = parseTail(m.Header)
	}
	if err != nil {
		s.rebuild(ctx, handle, seq, err)
		return nil
	}
	if !whole {
		return nil
	}
	var take []*set
	for _, f := range s.handles[handle] {
		f.seen = seq
		switch {
		case f.stage == waiting:
			s.park(ctx, f)
		case f.stage != live || seq <= f.replica.seq:
		case !f.replica.Follows(tail, len(data)):
			s.park(ctx, f) // something was missed; its goroutine reads from where it stands
		default:
			take = append(take, f)
		}
	}
	if len(take) == 0 {
		return nil
	}
	s.trace = stream.Trace(m.Header)
	return s.apply(ctx, take, data, seq, tail)
}

// apply applies a log message to live sets.
func (s *session) apply(ctx context.Context, sets []*set, data []byte, seq uint64, tail wire.Tail) error {
	failed := map[*set]error{}
	err := s.dec.Decode(data, func(e *wire.Entry) error {
		for _, f := range sets {
			if failed[f] == nil {
				failed[f] = s.entry(ctx, f, e, s.sent)
			}
		}
		return s.store.out.Err()
	})
	if s.store.out.Err() != nil {
		return s.store.out.Err()
	}
	for _, f := range sets {
		if e := errors.Join(err, failed[f]); e != nil {
			s.log.WarnContext(ctx, "a value set is built anew", slog.String("set", f.name), slog.Any("error", e))
			f.replica = nil
			s.park(ctx, f)
			continue
		}
		r := f.replica
		r.seq, r.bytes = seq, tail.Bytes
		switch {
		case r.ended:
			s.log.InfoContext(ctx, "the inner shape has ended", slog.String("set", f.name))
			s.forget(f)
			continue
		case r.open:
			s.open[f] = struct{}{}
		default:
			s.release(f)
		}
		if !r.open && (f.awaited() || baseDue(f.weight, r.Weight(), s.m.cfg.BaseLeast)) {
			s.park(ctx, f) // a large base must not hold up the other sets
		}
	}
	return nil
}

// sent notes a verdict on a set that is about to be sent.
func (s *session) sent(f *set) func(uint64) {
	s.floor.Sent()
	if span := s.m.cfg.Tracer.Span(s.trace, "verdict", tracing.Producer, f.handle, time.Now()); span != nil {
		return func(uint64) { s.stored.Add(1); span.End(nil) }
	}
	return func(uint64) { s.stored.Add(1) }
}

// ack acknowledges what is settled.
func (s *session) ack() error {
	q, ok := s.floor.Take(s.stored.Load())
	if !ok || q.seq <= s.acked {
		return nil
	}
	s.acked = q.seq
	if err := q.ack(); err != nil {
		return fmt.Errorf("acknowledge up to message %d of stream %s: %w", q.seq, s.source.ShapeStream(s.p), err)
	}
	return nil
}

func (s *session) figures() shown {
	var now shown
	now.unread = s.shown.unread
	for _, f := range s.sets {
		switch {
		case f.dropped:
		case f.stage == live:
			now.live++
			now.values += int64(f.replica.values.Len())
		default:
			now.parked++
		}
	}
	return now
}

// show replaces what this session adds to the process' gauges.
func (s *session) show(now shown) {
	st := &s.m.stats
	s.shown = shown{
		live: s.show1(&st.Live, s.shown.live, now.live), parked: s.show1(&st.Parked, s.shown.parked, now.parked),
		values: s.show1(&st.Values, s.shown.values, now.values), unread: s.show1(&st.Unread, s.shown.unread, now.unread),
	}
}

func (s *session) show1(gauge *atomic.Int64, before, now int64) int64 {
	gauge.Add(now - before)
	return now
}

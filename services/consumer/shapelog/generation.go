package shapelog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// NewGeneration is the generation whose rows were copied.
func (c Copied) NewGeneration() *wire.Generation {
	return &wire.Generation{Segment: c.Segment, Messages: c.messages, Rows: c.Rows, Size: c.Bytes}
}

// Beginning is with what a log begins: its newest generation, or the snapshot that it was made with.
type Beginning struct {
	wire.Generation // number 0: of a snapshot, of which only the segment, its messages and rows, and about its size are known

	// Stored is when a generation was in the stream, so that readers could begin with it. That may be long after
	// Generation.At, for a process that stood still between.
	Stored time.Time
}

// ReadBeginning reads with what a shape's log begins.
func (p *Partition) ReadBeginning(ctx context.Context, handle string) (*Beginning, error) {
	if b, err := p.newest(ctx, handle); b != nil || err != nil {
		return b, err
	}
	subject := p.cfg.Source.LogSubject(p.N, handle)
	st, err := p.stream(ctx)
	if err != nil {
		return nil, err
	}
	m, err := st.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(subject))
	if err != nil {
		return nil, fmt.Errorf("read the beginning of log %s: %w", subject, err)
	}
	var b *Beginning
	var d wire.LogDecoder
	err = d.Decode(m.Data, func(e *wire.Entry) error {
		if e.Kind == wire.EntrySegment && b == nil {
			b = &Beginning{Generation: wire.Generation{Segment: e.Segment, Messages: e.Messages, Rows: e.Rows}}
		}
		return nil
	})
	if err == nil && b == nil {
		err = errors.New("it begins with neither a snapshot nor a generation")
	}
	if err != nil {
		return nil, &BeginningError{subject, err}
	}
	return b, p.size(ctx, st, handle, b)
}

// size finds out about how large the rows are with which a log began: but for the last, all messages are of one size.
func (p *Partition) size(ctx context.Context, st jetstream.Stream, handle string, b *Beginning) error {
	if b.Messages == 0 {
		return nil
	}
	last, err := st.GetLastMsgForSubject(ctx, p.cfg.Source.SegmentSubject(p.N, handle, b.Segment))
	if err != nil {
		return fmt.Errorf("read the end of segment %d of shape %s: %w", b.Segment, handle, err)
	}
	b.Size = int64(b.Messages-1)*int64(p.cfg.SegmentBytes) + int64(len(last.Data))
	return nil
}

// ReadGenerations reads the newest generations of shapes, by handle, as any copy of the streams knows them. Those that were
// never folded have none, and one that cannot be read is an error.
func ReadGenerations(ctx context.Context, js jetstream.JetStream, source topology.Source, records []*registry.Shape) (map[string]*Beginning, error) {
	all := map[string]*Beginning{}
	subjects, handles := map[int][]string{}, map[string]string{}
	for _, r := range records {
		subject := source.GenerationSubject(r.Partition, r.Handle)
		subjects[r.Partition] = append(subjects[r.Partition], subject)
		handles[subject] = r.Handle
	}
	for p, of := range subjects {
		err := stream.Last(ctx, js, source.ShapeStream(p), of, func(m *jetstream.RawStreamMsg) error {
			b, err := generationOf(m)
			all[handles[m.Subject]] = b
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read generations of partition %d: %w", p, err)
		}
	}
	return all, nil
}

// newest reads a shape's newest generation from the stream's leader, nil if it has none.
func (p *Partition) newest(ctx context.Context, handle string) (*Beginning, error) {
	m, err := stream.LastFromLeader(ctx, p.cfg.JS, p.cfg.Source.ShapeStream(p.N), p.cfg.Source.GenerationSubject(p.N, handle))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the newest generation of shape %s: %w", handle, err)
	}
	return generationOf(m)
}

// generationOf reads a message of a generation's subject.
func generationOf(m *jetstream.RawStreamMsg) (*Beginning, error) {
	g, err := wire.DecodeGeneration(m.Data)
	if err != nil {
		return nil, fmt.Errorf("message %d of subject %s: %w", m.Sequence, m.Subject, err)
	}
	return &Beginning{Generation: *g, Stored: m.Time}, nil
}

// StillBegins returns an error unless a shape's log begins with what was read of it: another process may have given it another beginning.
func (p *Partition) StillBegins(ctx context.Context, handle string, with *Beginning) error {
	b, err := p.newest(ctx, handle)
	if err != nil {
		return err
	}
	var number uint64
	if b != nil {
		number = b.Number
	}
	if number != with.Number {
		return fmt.Errorf("the log of shape %s begins with generation %d, not %d", handle, number, with.Number)
	}
	return nil
}

// AppendGeneration appends a shape's newest generation. It stands behind its rows and behind all of the log that it speaks of, if these
// were appended before. The one before stays until PurgeLog: it counts if the server loses this one before it is on disk.
func (p *Partition) AppendGeneration(ctx context.Context, w *Writer, handle string, g *wire.Generation) error {
	data, err := wire.EncodeGeneration(g)
	if err != nil {
		return err
	}
	return w.append(ctx, stream.Message{
		Subject: p.cfg.Source.GenerationSubject(p.N, handle), Data: data,
	}, nil)
}

// LookThrough reads back the end of a log, and completes a generation by what of it the snapshot does not see. start is an LSN
// below which it sees all; tail is where the log stands, with all of that stored.
func (p *Partition) LookThrough(ctx context.Context, handle string, start change.LSN, held change.Snapshot, tail wire.Tail, g *wire.Generation) error {
	subject := p.cfg.Source.LogSubject(p.N, handle)
	st, err := p.stream(ctx)
	if err != nil {
		return err
	}
	inside := false  // something is in the window
	var stored int64 // in a replica that lags it may be less than there is
	from, err := stream.SeekSubject(ctx, st, subject, func(h nats.Header) (bool, error) {
		t, err := wire.ParseTail(h.Get(topology.HeaderTail))
		stored = max(stored, t.Bytes)
		inside = inside || t.Last.LSN >= start
		return t.Last.LSN >= start, err
	})
	if err == nil && stored < tail.Bytes {
		err = fmt.Errorf("it has %d bytes of %d", stored, tail.Bytes)
	}
	if err != nil {
		return fmt.Errorf("read back %s: %w", subject, err)
	}
	w := NewWindow(held, tail.Committed)
	r := stream.NewSubjectReader(p.cfg.JS, p.cfg.Source.ShapeStream(p.N), subject, from)
	var d wire.LogDecoder
	for at := int64(0); !w.Done() && at < tail.Bytes; {
		m, ok, err := r.Next(ctx)
		if err != nil {
			return err
		}
		if !ok && inside { // another one has answered the seek
			return fmt.Errorf("read back %s: the copy that was read ends at %d bytes, before %d", subject, at, tail.Bytes)
		}
		if !ok {
			break
		}
		t, err := wire.ParseTail(m.Header.Get(topology.HeaderTail))
		if err != nil {
			return fmt.Errorf("message %d of subject %s: %w", m.Seq, subject, err)
		}
		before := t.Bytes - int64(len(m.Data))
		if at > 0 && before != at {
			return fmt.Errorf("read back %s: message %d stands behind %d bytes, but %d come before it", subject, m.Seq, before, at)
		}
		at = t.Bytes
		w.Begin(before)
		if err := d.Decode(m.Data, func(e *wire.Entry) error { w.Entry(e, before, t.Bytes); return nil }); err != nil {
			return fmt.Errorf("message %d of subject %s: %w", m.Seq, subject, err)
		}
	}
	w.Generation(g, tail.Bytes)
	return nil
}

// Segments lists the subjects of a shape's segments.
func (p *Partition) Segments(ctx context.Context, handle string) ([]string, error) {
	st, err := p.stream(ctx)
	if err != nil {
		return nil, err
	}
	info, err := st.Info(ctx, jetstream.WithSubjectFilter(p.cfg.Source.SegmentSubjects(p.N, handle)))
	if err != nil {
		return nil, fmt.Errorf("list the segments of shape %s: %w", handle, err)
	}
	all := make([]string, 0, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		all = append(all, subject)
	}
	return all, nil
}

// PurgeSubjects removes what subjects hold, but for some of a shape's segments.
func (p *Partition) PurgeSubjects(ctx context.Context, subjects []string, handle string, keep ...uint64) error {
	st, err := p.stream(ctx)
	if err != nil {
		return err
	}
	kept := map[string]bool{}
	for _, n := range keep {
		kept[p.cfg.Source.SegmentSubject(p.N, handle, n)] = true
	}
	for _, subject := range subjects {
		if kept[subject] {
			continue
		}
		if err := stream.Purge(ctx, st, subject, 0); err != nil {
			return fmt.Errorf("purge %s: %w", subject, err)
		}
	}
	return nil
}

// PurgeSegment removes one segment of a shape.
func (p *Partition) PurgeSegment(ctx context.Context, handle string, n uint64) error {
	return p.PurgeSubjects(ctx, []string{p.cfg.Source.SegmentSubject(p.N, handle, n)}, handle)
}

// PurgeLog removes what stands in a log before its newest generation, but for the message that ends there: it tells
// where the log stands if nothing follows, and what goes on at its end is not lost for those who kept that place.
func (p *Partition) PurgeLog(ctx context.Context, handle string, g *wire.Generation) error {
	subject := p.cfg.Source.LogSubject(p.N, handle)
	st, err := p.stream(ctx)
	if err != nil {
		return err
	}
	ended, stored := false, int64(0)
	from, err := stream.SeekSubject(ctx, st, subject, func(h nats.Header) (bool, error) {
		t, err := wire.ParseTail(h.Get(topology.HeaderTail))
		ended, stored = ended || t.Ended, max(stored, t.Bytes)
		return t.Bytes >= g.Bytes, err
	})
	switch {
	case err != nil || ended:
		return err
	case stored < g.Bytes: // a replica that lags does not show where to stop
		return fmt.Errorf("purge %s: it has %d bytes, and its generation begins behind %d", subject, stored, g.Bytes)
	}
	if err := stream.Purge(ctx, st, subject, from); err != nil {
		return fmt.Errorf("purge %s below %d: %w", subject, from, err)
	}
	return nil
}

// PurgeGenerations removes the generations of a shape but for the newest.
func (p *Partition) PurgeGenerations(ctx context.Context, handle string) error {
	st, err := p.stream(ctx)
	if err != nil {
		return err
	}
	subject := p.cfg.Source.GenerationSubject(p.N, handle)
	if err := st.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeKeep(1)); err != nil {
		return fmt.Errorf("purge %s: %w", subject, err)
	}
	return nil
}

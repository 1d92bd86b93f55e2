package materializer

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// The log of a shape that was folded begins with a generation: what stands before that may be gone. While others select from the
// shape it goes only when the bases of its sets have come as far. A set whose base is older, or that has none, is built from the
// generation.

// generation reads with what the log of a set's inner shape begins; nil if it was never folded.
func (s *session) generation(ctx context.Context, logs jetstream.Stream, f *set) (*wire.Generation, error) {
	subject := s.source.GenerationSubject(s.p, f.handle)
	m, err := logs.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil //nolint:nilnil // no generation is no error
	}
	var g *wire.Generation
	if err == nil {
		g, err = wire.DecodeGeneration(m.Data)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", subject, err)
	}
	return g, nil
}

// goesOn reports whether a log that was folded still holds all that stands behind a marker.
func (s *session) goesOn(ctx context.Context, logs jetstream.Stream, log string, at change.Offset) (bool, error) {
	m, err := logs.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(log))
	if err != nil {
		return false, fmt.Errorf("read the beginning of %s: %w", log, err)
	}
	tail, err := parseTail(m.Header)
	if err != nil {
		return false, err
	}
	index, parts, err := stream.Part(m.Header)
	switch {
	case err != nil || index > 0: // the parts before it may be what stands behind the marker
		return false, err
	case !at.Before(tail.Committed):
		return true, nil
	case parts > 1:
		return false, nil
	}
	whole, first := false, true
	var dec wire.LogDecoder
	err = dec.Decode(m.Data, func(e *wire.Entry) error {
		whole = whole || first && e.Kind == wire.EntrySegment
		first = false
		return nil
	})
	return whole, err
}

// begin puts a generation into an empty replica.
func (s *session) begin(ctx context.Context, logs jetstream.Stream, f *set, r *replica, g *wire.Generation) error {
	log := s.source.LogSubject(s.p, f.handle)
	rows := wire.Entry{Kind: wire.EntrySegment, Segment: g.Segment, Messages: g.Messages, Rows: g.Rows}
	if err := s.segment(ctx, f, &rows, r.Load); err != nil {
		return err
	}
	from, err := stream.SeekSubject(ctx, logs, log, func(h nats.Header) (bool, error) {
		t, err := parseTail(h)
		return t.Bytes > g.Bytes, err
	})
	if err != nil {
		return err
	}
	read := stream.NewSubjectReader(s.js, s.source.ShapeStream(s.p), log, from)
	var dec wire.LogDecoder
	for at := g.Bytes; at < g.Through; {
		m, ok, err := read.Next(ctx)
		if err == nil && !ok {
			err = errors.New("its end is not there")
		}
		var t wire.Tail
		if err == nil {
			t, err = parseTail(m.Header)
		}
		if err == nil && t.Bytes-int64(len(m.Data)) != at {
			err = fmt.Errorf("message %d ends at %d bytes of the log and stands behind %d", m.Seq, t.Bytes, at)
		}
		if err == nil {
			at = t.Bytes
			err = dec.Decode(m.Data, func(e *wire.Entry) error { return r.Add(g, e) })
		}
		if err != nil {
			return fmt.Errorf("generation %d of log %s: %w", g.Number, log, err)
		}
	}
	r.Complete(g)
	return nil
}

// Add applies what an entry of the log up to a generation's marker adds to its rows.
func (r *replica) Add(g *wire.Generation, e *wire.Entry) error {
	if e.Kind != wire.EntryOps || g.Holds(e.LSN) {
		return nil
	}
	for i := range e.Ops {
		op := &e.Ops[i]
		if at := (change.Offset{LSN: e.LSN, Op: op.Index}); g.Offset().Before(at) {
			continue // behind the marker
		}
		if err := r.Apply(op.Kind, op.Row); err != nil {
			return fmt.Errorf("op %d_%d: %w", e.LSN, op.Index, err)
		}
	}
	if e.Last {
		r.Commit()
	}
	return nil
}

// Complete says that the replica is the generation whole.
func (r *replica) Complete(g *wire.Generation) {
	r.Commit()
	r.began, r.open, r.done = true, false, g.Offset()
}

// missing fails if something may be missing before a message that does not follow: the log was folded beyond where the replica is, or it has
// ended and is being removed, the oldest messages first.
func (s *session) missing(ctx context.Context, log string, f *set) error {
	logs, err := s.js.Stream(ctx, s.source.ShapeStream(s.p))
	if err != nil {
		return err
	}
	newest, err := logs.GetLastMsgForSubject(ctx, log)
	if err != nil {
		return err
	}
	if tail, err := parseTail(newest.Header); err != nil || tail.Ended {
		return cmp.Or(err, errEnded)
	}
	g, err := s.generation(ctx, logs, f)
	if err == nil && g != nil && f.replica.done.Before(g.Offset()) {
		err = fmt.Errorf("it was folded, and generation %d is at %s", g.Number, g.Offset())
	}
	return err
}

// errCut says that a log was folded, or has ended, while the place of a set in it was looked for.
var errCut = errors.New("what stands behind the set's base has gone meanwhile")

// stillGoesOn fails if a log does not hold any more all that stands behind a marker.
func (s *session) stillGoesOn(ctx context.Context, log string, at change.Offset) error {
	logs, err := s.js.Stream(ctx, s.source.ShapeStream(s.p))
	if err != nil {
		return err
	}
	there, err := s.goesOn(ctx, logs, log, at)
	if err == nil && !there {
		err = errCut
	}
	return err
}

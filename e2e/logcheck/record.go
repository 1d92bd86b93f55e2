package logcheck

import (
	"bytes"
	"context"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// Log is a shape's log, read and kept, so that it can be judged when the shape
// is gone. It can be written as JSON.
type Log struct {
	Shape    control.Shape
	Messages []Message
	Segments map[uint64][][]byte // their messages, by number
}

// Message is one message of a log.
type Message struct {
	Tail string // its header
	Data []byte
}

// Read keeps the log of a shape as it is now.
func Read(ctx context.Context, js jetstream.JetStream, source topology.Source, shape control.Shape) (*Log, error) {
	l := &Log{Shape: shape, Segments: map[uint64][][]byte{}}
	streamName := source.ShapeStream(shape.Partition)
	var d wire.LogDecoder
	var segments []uint64
	err := messages(ctx, js, streamName, source.LogSubject(shape.Partition, shape.Handle), func(tail string, data []byte) error {
		l.Messages = append(l.Messages, Message{Tail: tail, Data: bytes.Clone(data)})
		return d.Decode(data, func(e *wire.Entry) error {
			if e.Kind == wire.EntrySegment {
				segments = append(segments, e.Segment)
			}
			return nil
		})
	})
	for i := 0; i < len(segments) && err == nil; i++ {
		n := segments[i]
		err = messages(ctx, js, streamName, source.SegmentSubject(shape.Partition, shape.Handle, n), func(_ string, data []byte) error {
			l.Segments[n] = append(l.Segments[n], bytes.Clone(data))
			return nil
		})
	}
	if err != nil {
		return nil, newReplay(shape, nil).fault(err)
	}
	return l, nil
}

// Play replays the log and calls onMarker at every commit marker. What the
// marker holds is valid until onMarker returns, whose errors are passed on.
func (l *Log) Play(onMarker func(*Marker) error) (*State, error) {
	r := newReplay(l.Shape, func(n uint64, f func([]byte) error) error {
		for _, data := range l.Segments[n] {
			if err := f(data); err != nil {
				return err
			}
		}
		return nil
	})
	r.onMarker = onMarker
	for _, m := range l.Messages {
		if err := r.message(m.Tail, m.Data); err != nil {
			return nil, r.fault(err)
		}
	}
	return r.state(), nil
}

// Edit returns a copy of the log with other entries, for tests of tests. f is
// called with each entry and says whether it stays; it may change it.
func (l *Log) Edit(f func(*wire.Entry) bool) (*Log, error) {
	out := &Log{Shape: l.Shape, Segments: l.Segments}
	for _, m := range l.Messages {
		var d wire.LogDecoder
		b := wire.NewLogBuilder()
		err := d.Decode(m.Data, func(e *wire.Entry) error {
			if f(e) {
				rebuild(b, e)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		out.Messages = append(out.Messages, Message{Tail: m.Tail, Data: bytes.Clone(b.Finish())})
	}
	return out, nil
}

// rebuild adds an entry as it was read.
func rebuild(b *wire.LogBuilder, e *wire.Entry) {
	switch e.Kind {
	case wire.EntrySegment:
		snap, err := change.ParseSnapshot(e.Snapshot)
		if err != nil {
			panic(err) // it was printed by change.Snapshot
		}
		snap.LSN = e.LSN
		b.Segment(e.Segment, e.Messages, e.Rows, snap)
	case wire.EntryEnd:
		b.End(e.Reason)
	case wire.EntryVoid:
		b.Void()
	case wire.EntryOps, wire.EntryUnit:
		b.Unit = e.Kind == wire.EntryUnit
		f := change.Fragment{XID: e.XID, LSN: e.LSN, CommitTime: e.CommitTime, End: e.End}
		for _, op := range e.Ops {
			all := make([]int, len(op.Row))
			for i := range all {
				all[i] = i
			}
			b.Op(&f, op.Index, op.Kind, op.Row, all)
		}
		if e.Last {
			b.Commit(&f)
		}
	}
}

package logcheck

import (
	"bytes"
	"context"
	"fmt"

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

	Generations []*wire.Generation `json:",omitempty"` // if somebody put them here
}

// Message is one message of a log.
type Message struct {
	Tail string // its header
	Data []byte
}

// Marker is a commit marker, and the shape as it is there.
type Marker struct {
	Place

	Snapshot change.Snapshot // what the rows are from; of the log's first marker only
	Tail     wire.Tail       // of the message that holds it
	Behind   []Place         // of the markers behind it in that message

	rows map[string][]string
}

// Place is where a marker stands, and whose it is.
type Place struct {
	Offset change.Offset
	Unit   bool       // that of a unit
	XID    change.XID // of the transaction; of a unit, whatever its last entry says
}

// Rows are the shape's rows as Select gives them.
func (m *Marker) Rows() map[string]int { return counted(m.rows) }

// watch tells somebody of every marker.
type watch struct {
	onMarker func(*Marker) error
	tail     wire.Tail
	entry    *wire.Entry // at hand
	behind   []Place     // the markers of the message at hand, those to come
}

// begin prepares for a message.
func (w *watch) begin(d *wire.LogDecoder, m Message) (err error) {
	if w.tail, err = wire.ParseTail(m.Tail); err != nil {
		return err
	}
	w.behind = nil
	return d.Decode(m.Data, func(e *wire.Entry) error {
		if p, ok := place(e); ok {
			w.behind = append(w.behind, p)
		}
		return nil
	})
}

// place is that of the commit marker that an entry carries, if it does.
func place(e *wire.Entry) (Place, bool) {
	switch e.Kind {
	case wire.EntryOps, wire.EntryUnit:
		return Place{change.Offset{LSN: e.LSN, Op: e.End}, e.Kind == wire.EntryUnit, e.XID}, e.Last
	case wire.EntrySegment:
		return Place{}, true
	case wire.EntryEnd, wire.EntryAbort:
	}
	return Place{}, false
}

// mark is called at every marker, when the replay has applied it.
func (w *watch) mark(r *replay) error {
	if w == nil {
		return nil
	}
	m := &Marker{Place: w.behind[0], Tail: w.tail, Behind: w.behind[1:], rows: r.rows}
	w.behind = w.behind[1:]
	if w.entry.Kind == wire.EntrySegment {
		var err error
		if m.Snapshot, err = change.ParseSnapshot(w.entry.Snapshot); err != nil {
			return err
		}
		m.Snapshot.LSN = w.entry.LSN
	}
	return w.onMarker(m)
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
		return nil, fmt.Errorf("log of shape %s: %w", shape.Handle, err)
	}
	return l, nil
}

// Play replays the log and calls onMarker at every commit marker. What the
// marker holds is valid until onMarker returns, whose errors are passed on.
func (l *Log) Play(onMarker func(*Marker) error) (*State, error) {
	r := newReplay(l.Shape)
	r.segment = func(n uint64, f func(string, []byte) error) error {
		for _, data := range l.Segments[n] {
			if err := f("", data); err != nil {
				return err
			}
		}
		return nil
	}
	if onMarker != nil {
		r.watch = &watch{onMarker: onMarker}
	}
	for _, m := range l.Messages {
		if err := l.play(r, m); err != nil {
			return nil, fmt.Errorf("log of shape %s: %w", l.Shape.Handle, err)
		}
	}
	r.Rows = counted(r.rows)
	return &r.State, nil
}

func (l *Log) play(r *replay, m Message) error {
	var d wire.LogDecoder
	tail, err := wire.ParseTail(m.Tail)
	if err == nil && r.watch != nil {
		err = r.watch.begin(&d, m)
	}
	if err != nil {
		return err
	}
	return r.message(&d, tail, m.Data, func(e *wire.Entry) error {
		if r.watch != nil {
			r.watch.entry = e
		}
		return r.entry(context.Background(), nil, "", e) // its segments are here
	})
}

// Fold returns the rows that a generation of the log amounts to at its marker.
func (l *Log) Fold(g *wire.Generation) (map[string]int, error) {
	r := newReplay(l.Shape)
	r.began = true
	var rows uint64
	for _, data := range l.Segments[g.Segment] {
		if err := wire.DecodeSegment(data, func(row change.Row) error { rows++; return r.gather(change.Insert, row) }); err != nil {
			return nil, err
		}
	}
	if n := uint64(len(l.Segments[g.Segment])); n != g.Messages || rows != g.Rows {
		return nil, fmt.Errorf("its segment has %d rows in %d messages, want %d in %d", rows, n, g.Rows, g.Messages)
	}
	if err := r.mark(); err != nil {
		return nil, err
	}
	var d wire.LogDecoder
	for _, m := range l.Messages {
		tail, err := wire.ParseTail(m.Tail)
		if err != nil {
			return nil, err
		}
		if tail.Bytes <= g.Bytes || tail.Bytes > g.Through {
			continue
		}
		err = d.Decode(m.Data, func(e *wire.Entry) error {
			if e.Kind != wire.EntryOps || g.Holds(e.LSN) || g.LSN < uint64(e.LSN) {
				return nil
			}
			return r.ops(e)
		})
		if err != nil {
			return nil, err
		}
	}
	return counted(r.rows), nil
}

// Edit returns a copy of the log with other entries, for tests of tests. f is
// called with each entry and says whether it stays; it may change it.
func (l *Log) Edit(f func(*wire.Entry) bool) (*Log, error) {
	out := &Log{Shape: l.Shape, Segments: l.Segments, Generations: l.Generations}
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
	case wire.EntryAbort:
		b.Abort()
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

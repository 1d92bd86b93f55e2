package logcheck

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// Generation reads the newest generation of a shape; nil if its log was never folded.
func Generation(ctx context.Context, js jetstream.JetStream, source topology.Source, shape control.Shape) (*wire.Generation, error) {
	st, err := js.Stream(ctx, source.ShapeStream(shape.Partition))
	if err != nil {
		return nil, err
	}
	m, err := st.GetLastMsgForSubject(ctx, source.GenerationSubject(shape.Partition, shape.Handle))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil //nolint:nilnil // no generation is no error
	}
	if err != nil {
		return nil, err
	}
	return wire.DecodeGeneration(m.Data)
}

// errPurged says that the log begins behind its snapshot, or that the rows of that are gone.
var errPurged = errors.New("the log does not begin with a snapshot")

// folded judges a log that was folded: read from its newest generation on it is lawful, and if it can still be read from its
// first message, what it amounts to at the generation's marker is the generation.
func folded(ctx context.Context, js jetstream.JetStream, source topology.Source, shape control.Shape, g *wire.Generation) (*State, error) {
	r := newReplay(shape)
	at, err := r.fromGeneration(ctx, js, source, g)
	if err != nil {
		return nil, fmt.Errorf("log of shape %s from generation %d on: %w", shape.Handle, g.Number, err)
	}
	whole := newReplay(shape)
	met := false
	whole.atMarker = func(r *replay) error {
		if r.Last != g.Offset() {
			return nil
		}
		met = true
		if d := Diff(at, counted(r.rows)); d != "" {
			return fmt.Errorf("generation %d is not what the log is at %s: %s", g.Number, r.Last, d)
		}
		return nil
	}
	err = whole.read(ctx, js, source)
	switch {
	case errors.Is(err, errPurged):
	case err != nil:
		return nil, fmt.Errorf("log of shape %s: %w", shape.Handle, err)
	case !met:
		return nil, fmt.Errorf("log of shape %s has no marker at %s, where generation %d begins", shape.Handle, g.Offset(), g.Number)
	default:
		r = whole
	}
	r.Rows, r.Generation = counted(r.rows), g
	return &r.State, nil
}

// fromGeneration reads a log from a generation on, and returns the rows at its marker.
func (r *replay) fromGeneration(ctx context.Context, js jetstream.JetStream, source topology.Source, g *wire.Generation) (at map[string]int, err error) {
	streamName := source.ShapeStream(r.shape.Partition)
	r.began, r.uncertain = true, len(r.shape.Subqueries) > 0 // a unit before it may have left the number of rows unknown
	var n, rows uint64
	err = messages(ctx, js, streamName, source.SegmentSubject(r.shape.Partition, r.shape.Handle, g.Segment), func(_ string, data []byte) error {
		n++
		return wire.DecodeSegment(data, func(row change.Row) error { rows++; return r.gather(change.Insert, row) })
	})
	if err == nil && (n != g.Messages || rows != g.Rows) {
		err = fmt.Errorf("its segment has %d rows in %d messages, want %d in %d", rows, n, g.Rows, g.Messages)
	}
	if err == nil {
		err = r.mark()
	}
	if err != nil {
		return nil, err
	}
	if g.Bytes == g.Through {
		r.last, r.Last, at = g.Offset(), g.Offset(), counted(r.rows)
	}
	var d wire.LogDecoder
	size := int64(-1)
	err = messages(ctx, js, streamName, source.LogSubject(r.shape.Partition, r.shape.Handle), func(header string, data []byte) error {
		tail, err := wire.ParseTail(header)
		if err != nil {
			return err
		}
		if before := tail.Bytes - int64(len(data)); size < 0 && before > g.Bytes {
			return fmt.Errorf("its first message stands behind %d bytes, and the generation begins at %d", before, g.Bytes)
		} else if size >= 0 && before != size {
			return fmt.Errorf("a message stands behind %d bytes, the one before ends at %d", before, size)
		}
		if size = tail.Bytes; size <= g.Bytes {
			return nil
		}
		r.Messages++
		err = d.Decode(data, func(e *wire.Entry) error {
			switch o := (change.Offset{LSN: e.LSN, Op: e.End}); {
			case at != nil && e.Kind == wire.EntryOps && !g.Offset().Before(o) && e.Last:
				return nil // before the marker, in the message that holds it
			case at != nil:
				return r.entry(ctx, js, source, e)
			case e.Kind != wire.EntryOps || g.Holds(e.LSN):
				if e.Last && o == g.Offset() {
					r.last, r.Last, at = o, o, counted(r.rows)
				}
				return nil
			default:
				if err := r.entry(ctx, js, source, e); err != nil {
					return err
				}
				if r.Last == g.Offset() {
					at = counted(r.rows)
				}
				return nil
			}
		})
		if r.Tail = tail; err == nil && at != nil {
			err = r.checkTail()
		}
		return err
	})
	if err == nil && at == nil {
		err = fmt.Errorf("there is no marker at %s", g.Offset())
	}
	return maps.Clone(at), err
}

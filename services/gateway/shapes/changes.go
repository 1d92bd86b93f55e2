package shapes

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/client/event"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// A generation's rows are those of a snapshot, and a part of the log adds to them what makes them the shape at a marker, see wire.Generation.
// To clients that is part of the snapshot: chunks follow the rows, so that every place that has an LSN is behind the marker, and all who are
// there go on with the same bytes, whatever they began with.

// errChunkDone ends the reading of a chunk.
var errChunkDone = errors.New("the chunk is complete")

// changes reads a chunk of what the log adds to a generation's rows.
func (s *Shape) changes(ctx context.Context, from *Beginning, start chunkStart) (*Body, chunkStart, bool, error) {
	g, seq := from.gen, start.seq+1
	if start.seq == 0 {
		st, err := s.keeper.js.Stream(ctx, s.stream)
		if err == nil {
			seq, err = stream.SeekSubject(ctx, st, s.subject(), func(h nats.Header) (bool, error) {
				t, err := wire.ParseTail(h.Get(topology.HeaderTail))
				return t.Bytes > g.Bytes, err
			})
		}
		if err != nil {
			return nil, chunkStart{}, false, err
		}
	}
	c := changesChunk{gen: g, layout: event.NewLayout(s.shape.Columns()), build: builder{encoder: s.encoder}, limit: s.keeper.cfg.ChunkBytes, skip: start.skip}
	read := stream.NewSubjectReader(s.keeper.js, s.stream, s.subject(), seq)
	for bytes := start.bytes; bytes < g.Through; {
		m, ok, err := read.Next(ctx)
		var t wire.Tail
		if err == nil && ok {
			t, err = wire.ParseTail(m.Header.Get(topology.HeaderTail))
		}
		switch {
		case err != nil:
			return nil, chunkStart{}, false, err
		case !ok || t.Bytes-int64(len(m.Data)) != bytes:
			return nil, chunkStart{}, false, fmt.Errorf("read %s behind %d bytes: %w", s.subject(), bytes, errNothing)
		}
		switch err := c.message(m.Data); {
		case errors.Is(err, errChunkDone):
			return c.body(), chunkStart{log: true, seq: m.First - 1, bytes: bytes, skip: c.taken}, true, nil
		case err != nil:
			return nil, chunkStart{}, false, fmt.Errorf("message %d of %s: %w", m.Seq, s.subject(), err)
		}
		bytes, c.skip = t.Bytes, 0
	}
	c.build.close(true)
	return c.body(), chunkStart{}, false, nil
}

// changesChunk gathers a chunk.
type changesChunk struct {
	gen    *wire.Generation
	layout *event.Layout
	build  builder
	limit  int
	skip   int // so many changes of the message belong to the chunk before
	taken  int // of the message
}

func (c *changesChunk) message(data []byte) error {
	var dec wire.LogDecoder
	c.taken = 0
	var ours error
	err := dec.Decode(data, func(e *wire.Entry) error {
		if e.Kind != wire.EntryOps || c.gen.Holds(e.LSN) {
			return nil
		}
		for i := range e.Ops {
			if ours = c.op(e, &e.Ops[i]); ours != nil {
				return ours
			}
		}
		return nil
	})
	if ours != nil {
		return ours
	}
	return err
}

func (c *changesChunk) op(e *wire.Entry, op *wire.LogOp) error {
	at := change.Offset{LSN: e.LSN, Op: op.Index}
	if c.gen.Offset().Before(at) {
		return nil // behind the marker
	}
	if c.taken < c.skip {
		c.taken++
		return nil
	}
	if n := len(c.build.places); n > 0 && len(c.build.messages) >= c.limit {
		c.build.close(c.build.places[n-1].LSN != at.LSN)
		return errChunkDone
	}
	key, want := false, len(c.layout.Columns)
	switch op.Kind {
	case change.Truncate:
		return errTruncated
	case change.Delete, change.Discard:
		key, want = true, len(c.layout.Keys)
	case change.Insert, change.Update, change.Upsert:
	}
	if len(op.Row) != want {
		return fmt.Errorf("%w: %s with a row of %d values, want %d", wire.ErrCorrupt, op.Kind, len(op.Row), want)
	}
	c.taken++
	c.build.add(client.Change{Kind: op.Kind, Offset: at, XID: e.XID, Row: event.NewRow(c.layout, op.Row, key)})
	return nil
}

func (c *changesChunk) body() *Body {
	return &Body{Entries: len(c.build.ends), messages: c.build.messages, ends: c.build.ends}
}

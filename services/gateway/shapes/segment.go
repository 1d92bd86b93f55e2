package shapes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/gateway/protocol"
)

// getTimeout is how long the get of one message may take.
const getTimeout = 5 * time.Second

// errNothing says that a direct get found nothing.
var errNothing = errors.New("there is nothing")

// origin is what a log's beginning says of its rows.
type origin struct {
	segment  uint64
	messages uint64
	snapshot change.Snapshot
}

// chunkStart is where a chunk of the snapshot begins.
type chunkStart struct {
	seq   uint64 // behind this message of the segment
	whole uint64 // so many whole messages come before
	skip  int    // so many rows, or changes, of the next message belong to the chunk before
	log   bool   // it is of the changes that make of a generation's rows what the shape was: seq is of the log, 0 for its first message
	bytes int64  // then the size of the log up to there
}

// segmentReader reads rows of a snapshot in order.
type segmentReader struct {
	js      jetstream.JetStream
	stream  string
	subject string
	at      chunkStart
	batch   []*jetstream.RawStreamMsg
	parts   stream.Assembler
	fed     uint64 // the last message taken
	rows    int    // of the full chunk before, 0 for the first one
}

// room makes room for a chunk. One that follows a full one is mostly full too: to grow into that size costs more than to write it.
func (r *segmentReader) room(limit int) *Body {
	if r.rows == 0 {
		return &Body{}
	}
	return &Body{messages: make([]byte, 0, limit+limit/64), ends: make([]int, 0, r.rows+r.rows/16)}
}

// fit gives back what a chunk has not filled.
func fit(b *Body) {
	if len(b.messages) < cap(b.messages)/4*3 {
		b.messages, b.ends = bytes.Clone(b.messages), slices.Clone(b.ends)
	}
}

// chunk reads rows up to a limit in bytes, and returns where the next chunk begins; false if there is none.
func (r *segmentReader) chunk(ctx context.Context, e *protocol.Encoder, messages uint64, columns, limit int) (*Body, chunkStart, bool, error) {
	b := r.room(limit)
	defer func() { fit(b) }()
	for r.at.whole < messages {
		if len(r.batch) == 0 {
			if err := r.fill(ctx); err != nil {
				return nil, chunkStart{}, false, err
			}
		}
		m := r.batch[0]
		data, ok, err := r.parts.Add(r.subject, m.Header, m.Data)
		if err != nil {
			return nil, chunkStart{}, false, err
		}
		if !ok {
			r.fed, r.batch = m.Sequence, r.batch[1:]
			continue
		}
		n, full := 0, false
		err = wire.DecodeSegment(data, func(row change.Row) error {
			if n++; n <= r.at.skip || full {
				return nil
			}
			if len(row) != columns {
				return fmt.Errorf("%w: a row of %d values for %d columns", wire.ErrCorrupt, len(row), columns)
			}
			if len(b.messages) > 0 {
				b.messages = append(b.messages, ',')
			}
			b.messages = e.Snapshot(b.messages, Row(row))
			b.ends = append(b.ends, len(b.messages))
			b.Entries++
			if len(b.messages) >= limit {
				full, r.at.skip = true, n
			}
			return nil
		})
		if err != nil {
			return nil, chunkStart{}, false, fmt.Errorf("%s at %d: %w", r.subject, m.Sequence, err)
		}
		if full && r.at.skip < n { // the rest of the message is the next chunk's
			b.Full, r.rows = true, b.Entries
			if r.fed != r.at.seq { // it came in parts, which are to be read again
				r.fed, r.batch, r.parts = r.at.seq, nil, stream.Assembler{}
			}
			return b, r.at, true, nil
		}
		r.fed, r.batch = m.Sequence, r.batch[1:]
		r.at = chunkStart{seq: m.Sequence, whole: r.at.whole + 1}
		if full {
			b.Full, r.rows = true, b.Entries
			return b, r.at, r.at.whole < messages, nil
		}
	}
	return b, r.at, false, nil
}

// Row is a row with all of a shape's columns.
type Row change.Row

// Len is the number of values.
func (r Row) Len() int { return len(r) }

// At returns a value, nil for NULL.
func (r Row) At(i int) []byte { return r[i] }

// Unchanged reports whether a value is one that was left alone and not sent.
func (r Row) Unchanged(i int) bool { return change.IsUnchanged(r[i]) }

// IsKey reports whether the row has the key's columns only.
func (r Row) IsKey() bool { return false }

// fill gets the next messages. That there are none is an error: whoever asks knows that there are.
func (r *segmentReader) fill(ctx context.Context) (err error) {
	r.batch, err = stream.GetBatch(ctx, r.js, r.stream, r.subject, r.fed+1, nil)
	if err == nil && len(r.batch) == 0 {
		err = fmt.Errorf("read %s from %d: %w", r.subject, r.fed+1, errNothing)
	}
	return err
}

// readTail reads where a log stands.
func readTail(ctx context.Context, js jetstream.JetStream, streamName, subject string) (wire.Tail, error) {
	ctx, cancel := context.WithTimeout(ctx, getTimeout)
	defer cancel()
	var m *jetstream.RawStreamMsg
	st, err := js.Stream(ctx, streamName)
	if err == nil {
		m, err = getMessage(ctx, st, subject, 0)
	}
	if err != nil {
		return wire.Tail{}, fmt.Errorf("read the end of %s: %w", subject, err)
	}
	t, err := wire.ParseTail(m.Header.Get(topology.HeaderTail))
	if err != nil {
		return wire.Tail{}, fmt.Errorf("read the end of %s: %w", subject, err)
	}
	return t, nil
}

// getMessage gets a subject's first message at or behind a sequence, its last one with 0. It is errNothing if there is none.
func getMessage(ctx context.Context, st jetstream.Stream, subject string, seq uint64) (m *jetstream.RawStreamMsg, err error) {
	if seq == 0 {
		m, err = st.GetLastMsgForSubject(ctx, subject)
	} else {
		m, err = st.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject))
	}
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, errNothing
	case errors.Is(err, nats.ErrNoResponders):
		return nil, fmt.Errorf("nobody answers: %w", err)
	}
	return m, err
}

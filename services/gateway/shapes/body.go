package shapes

import (
	"bytes"
	"io"
	"iter"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/gateway/protocol"
)

// Body is a run of messages of a shape. Many answers share one, so it must not be changed.
type Body struct {
	Next     protocol.Offset // the place behind it
	UpToDate bool            // nothing was behind it; the last message says so
	Full     bool            // it is as large as it may be, so it never changes
	Entries  int             // messages in it, without control messages
	LSN      change.LSN      // with UpToDate, the LSN up to which nothing is missing

	messages []byte // with commas between
	ends     []int  // where each of them ends
	xids     []change.XID

	json    once // if it is small
	events  once // if it is small
	gzip    once
	zstd    once
	holders int // answers that are being sent; guarded by the room's mutex
}

// once is a form of a body that is made when it is first asked for.
type once struct {
	sync.Once

	data []byte
}

func (o *once) get(f func() []byte) []byte {
	o.Do(func() { o.data = f() })
	return o.data
}

// smallBody is the size up to which a body's forms are made once for all who send it. It is below what a room counts.
const smallBody = 16 << 10

func (b *Body) small() bool { return len(b.messages) < smallBody }

// JSON is the body as an array, in parts that follow each other: what is large is not copied.
func (b *Body) JSON() [][]byte {
	if b.small() {
		return [][]byte{b.json.get(func() []byte { return bytes.Join(b.parts(), nil) })}
	}
	return b.parts()
}

func (b *Body) parts() [][]byte {
	var end []byte
	if b.UpToDate {
		if len(b.messages) > 0 {
			end = append(end, ',')
		}
		end = protocol.UpToDate(end, b.LSN, b.xids)
	}
	return [][]byte{{'['}, b.messages, append(end, ']')}
}

// Gzip is JSON, compressed.
func (b *Body) Gzip() []byte {
	return b.gzip.get(func() []byte {
		var out writer
		w, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
		if err != nil || b.compress(w) != nil {
			return nil // a buffer in memory does not fail
		}
		return out
	})
}

// Zstd is JSON, compressed.
func (b *Body) Zstd() []byte {
	return b.zstd.get(func() []byte {
		w, ok := encoders.Get().(*zstd.Encoder)
		if !ok {
			return nil // the pool holds nothing else
		}
		defer encoders.Put(w)
		var out writer
		if w.Reset(&out); b.compress(w) != nil {
			return nil
		}
		return out
	})
}

func (b *Body) compress(w io.WriteCloser) error {
	for _, part := range b.parts() {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return w.Close()
}

// encoders are kept because making one costs much memory.
var encoders = sync.Pool{New: func() any {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	if err != nil {
		panic(err) // the options are constants
	}
	return w
}}

// writer is a buffer that gives away what was written.
type writer []byte

func (w *writer) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}

// eventsAtOnce is the size from which events are handed on.
const eventsAtOnce = 64 << 10

// Events is the body as server-sent events, one for each message, in parts that are valid until the next one. A client goes on from the
// LSN in the last one, at index 0. So that is the LSN behind that of the entries; a transaction that has it comes behind that place,
// see place.
func (b *Body) Events() iter.Seq[[]byte] {
	if !b.small() {
		return b.eventParts
	}
	return func(yield func([]byte) bool) {
		yield(b.events.get(func() (all []byte) {
			for part := range b.eventParts {
				all = append(all, part...)
			}
			return all
		}))
	}
}

func (b *Body) eventParts(yield func([]byte) bool) {
	out := make([]byte, 0, min(len(b.messages)+len(b.ends)*8+256, eventsAtOnce*2))
	from := 0
	for _, end := range b.ends {
		out = append(out, "data: "...)
		out = append(out, b.messages[from:end]...)
		out = append(out, "\n\n"...)
		from = end + 1 // the comma
		if len(out) >= eventsAtOnce {
			if !yield(out) {
				return
			}
			out = out[:0]
		}
	}
	if b.UpToDate {
		out = append(out, "data: "...)
		out = protocol.UpToDate(out, b.LSN+1, b.xids)
		out = append(out, "\n\n"...)
	}
	if len(out) > 0 {
		yield(out)
	}
}

// size is about what the body takes in memory, with its compressed forms.
func (b *Body) size() int { return len(b.messages)*3/2 + len(b.ends)*8 + 512 }

package shapes

import (
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

	whole  once // the JSON array
	gzip   once
	zstd   once
	events once
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

// JSON is the body as an array.
func (b *Body) JSON() []byte {
	return b.whole.get(func() []byte {
		out := make([]byte, 0, len(b.messages)+128)
		out = append(out, '[')
		out = append(out, b.messages...)
		if b.UpToDate {
			if len(b.messages) > 0 {
				out = append(out, ',')
			}
			out = protocol.UpToDate(out, b.LSN, b.xids)
		}
		return append(out, ']')
	})
}

// Gzip is JSON, compressed.
func (b *Body) Gzip() []byte {
	return b.gzip.get(func() []byte {
		var out writer
		w, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
		if err == nil {
			if _, err = w.Write(b.JSON()); err == nil {
				err = w.Close()
			}
		}
		if err != nil {
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
		return w.EncodeAll(b.JSON(), nil)
	})
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

// Events is the body as server-sent events, one for each message. A client goes on from the LSN in the last one, at index 0. So that is
// the LSN behind that of the entries; a transaction that has it comes behind that place, see place.
func (b *Body) Events() []byte {
	return b.events.get(func() []byte {
		out := make([]byte, 0, len(b.messages)+len(b.ends)*8+128)
		from := 0
		for _, end := range b.ends {
			out = append(out, "data: "...)
			out = append(out, b.messages[from:end]...)
			out = append(out, "\n\n"...)
			from = end + 1 // the comma
		}
		if b.UpToDate {
			out = append(out, "data: "...)
			out = protocol.UpToDate(out, b.LSN+1, b.xids)
			out = append(out, "\n\n"...)
		}
		return out
	})
}

// size is about what the body takes in memory.
func (b *Body) size() int { return len(b.messages)*5/4*2 + len(b.ends)*8 + 512 }

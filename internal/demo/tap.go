package demo

import (
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// tap looks at a shape's log while it travels, below what the client shows: fragments come as they are written, long before
// the client hands out any of their transaction. Safe for concurrent use.
type tap struct {
	mu    sync.Mutex // guards what follows
	parts stream.Assembler
	dec   wire.LogDecoder
	now   wireFigures
	of    map[change.XID]int // fragments of each transaction
	err   error
}

// wireFigures are what there is to show.
type wireFigures struct {
	fragments int
	messages  int
	open      int // changes that came without their commit marker yet
}

// newTap starts to look. It ends with the connection.
func newTap(nc *nats.Conn, shape control.Shape) (*tap, error) {
	w := &tap{of: map[change.XID]int{}}
	subject := topology.Source(sourceName).LiveSubject(shape.Partition, shape.Handle)
	sub, err := nc.Subscribe(subject, w.take)
	if err == nil {
		err = sub.SetPendingLimits(-1, -1) // a message that is dropped would be missing in the count
	}
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	return w, nil
}

func (w *tap) take(m *nats.Msg) {
	w.mu.Lock()
	defer w.mu.Unlock()
	data, whole, err := w.parts.Add("", m.Header, m.Data)
	if err == nil && whole {
		w.now.messages++
		err = w.dec.Decode(data, func(e *wire.Entry) error { w.entry(e); return nil })
	}
	if err != nil && w.err == nil {
		w.err = err
	}
}

func (w *tap) entry(e *wire.Entry) {
	switch e.Kind {
	case wire.EntryOps, wire.EntryUnit:
	case wire.EntryAbort:
		w.now.open = 0
		return
	case wire.EntrySegment, wire.EntryEnd:
		return
	}
	w.now.fragments++
	w.of[e.XID]++
	w.now.open += len(e.Ops)
	if e.Last {
		w.now.open = 0
	}
}

// figures returns what was seen so far, and what could not be read.
func (w *tap) figures() (wireFigures, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now, w.err
}

// fragmentsOf is how many fragments of a transaction came.
func (w *tap) fragmentsOf(xid change.XID) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.of[xid]
}

package crash

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// tail is where the n-th shape's log stands.
func (w *world) tail(n int) wire.Tail {
	w.tb.Helper()
	var tail wire.Tail
	until(w.tb, "JetStream answers", func() (_ bool, err error) {
		tail, err = w.readTail(w.tb.Context(), n)
		return err == nil, err
	})
	return tail
}

// readTail is tail for other goroutines than the test's. An empty log has the zero tail.
func (w *world) readTail(ctx context.Context, n int) (wire.Tail, error) {
	info := w.shapes[n].Info()
	st, err := w.nats.js.Stream(ctx, w.source.ShapeStream(info.Partition))
	if err != nil {
		return wire.Tail{}, err
	}
	m, err := st.GetLastMsgForSubject(ctx, w.source.LogSubject(info.Partition, info.Handle))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return wire.Tail{}, nil
	}
	if err != nil {
		return wire.Tail{}, err
	}
	return wire.ParseTail(m.Header.Get(topology.HeaderTail))
}

// changes is the state of the change log's stream.
func (w *world) changes() jetstream.StreamState {
	w.tb.Helper()
	var state jetstream.StreamState
	until(w.tb, "JetStream answers", func() (bool, error) {
		st, err := w.nats.js.Stream(w.tb.Context(), w.source.ChangeStream())
		if err != nil {
			return false, err
		}
		state = st.CachedInfo().State
		return true, nil
	})
	return state
}

// checkpoint is the consumer's, as the first partition has it.
func (w *world) checkpoint() wire.Checkpoint {
	w.tb.Helper()
	c, ok, err := registry.ReadCheckpoint(w.tb.Context(), w.nats.js, w.source, 0, "")
	if err != nil || !ok {
		w.tb.Fatalf("no checkpoint: %v", err)
	}
	return c
}

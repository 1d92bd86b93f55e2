package crash

import (
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// tail is where the n-th shape's log stands.
func (w *world) tail(n int) wire.Tail {
	w.tb.Helper()
	info := w.shapes[n].Info()
	var tail wire.Tail
	until(w.tb, "JetStream answers", func() (bool, error) {
		st, err := w.nats.js.Stream(w.tb.Context(), w.source.ShapeStream(info.Partition))
		if err != nil {
			return false, err
		}
		m, err := st.GetLastMsgForSubject(w.tb.Context(), w.source.LogSubject(info.Partition, info.Handle))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		tail, err = wire.ParseTail(m.Header.Get(topology.HeaderTail))
		return err == nil, err
	})
	return tail
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
	st, err := w.nats.js.Stream(w.tb.Context(), w.source.ShapeStream(0))
	if err != nil {
		w.tb.Fatal(err)
	}
	m, err := st.GetLastMsgForSubject(w.tb.Context(), w.source.CheckpointSubject(0))
	if err != nil {
		w.tb.Fatal(err)
	}
	c, err := wire.DecodeCheckpoint(m.Data)
	if err != nil {
		w.tb.Fatal(err)
	}
	return c
}

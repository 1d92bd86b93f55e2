package shapelog

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// LastWord reads from the log of a shape that has ended why it did; "" if the log has been removed
// since, or cannot be read: that the shape has ended its header says.
func LastWord(ctx context.Context, js jetstream.JetStream, source topology.Source, rec *registry.Shape) (reason string, err error) {
	st, err := js.Stream(ctx, source.ShapeStream(rec.Partition))
	if err != nil {
		return "", fmt.Errorf("read the end of log %s: %w", rec.Handle, err)
	}
	m, err := st.GetLastMsgForSubject(ctx, source.LogSubject(rec.Partition, rec.Handle))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the end of log %s: %w", rec.Handle, err)
	}
	var d wire.LogDecoder
	broken := d.Decode(m.Data, func(e *wire.Entry) error {
		if e.Kind == wire.EntryEnd {
			reason = e.Reason
		}
		return nil
	})
	if broken != nil {
		reason = ""
	}
	return reason, nil
}

package changelog

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/topology"
)

// Head is the end of the change log, the zero place when it is empty, and the id of the history that it tells.
func Head(ctx context.Context, js jetstream.JetStream, source topology.Source) (Place, string, error) {
	st, err := js.Stream(ctx, source.ChangeStream())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return Place{}, "", nil
	}
	if err != nil {
		return Place{}, "", fmt.Errorf("read the change log's state: %w", err)
	}
	history := topology.HistoryOf(st.CachedInfo().Config).ID
	last := st.CachedInfo().State.LastSeq
	m, err := st.GetMsg(ctx, last)
	if errors.Is(err, jetstream.ErrMsgNotFound) || last == 0 {
		return Place{Seq: last}, history, nil
	}
	if err != nil {
		return Place{}, "", fmt.Errorf("read the change log's end: %w", err)
	}
	lsn, err := stream.LSN(m.Header)
	if err != nil {
		return Place{Seq: last}, history, nil //nolint:nilerr // a message that cannot be read; what follows tells again
	}
	return Place{lsn, last}, history, nil
}

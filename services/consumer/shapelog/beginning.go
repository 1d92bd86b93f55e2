package shapelog

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// BeginningError says that the first entry of a log cannot be understood.
type BeginningError struct {
	subject string
	err     error
}

func (e *BeginningError) Error() string {
	return fmt.Sprintf("the beginning of log %s cannot be read: %v; create the shape again", e.subject, e.err)
}
func (e *BeginningError) Unwrap() error { return e.err }

// ReadSnapshot reads what a shape's snapshot held from the log's first entry.
// The record says it too, but somebody who slept past the end of its lease may
// have written there since; nobody but the owner writes the log. What cannot be understood
// gives a beginningError, however often it is read.
func ReadSnapshot(ctx context.Context, js jetstream.JetStream, source topology.Source, partition int, handle string) (*change.Snapshot, error) {
	subject := source.LogSubject(partition, handle)
	st, err := js.Stream(ctx, source.ShapeStream(partition))
	if err != nil {
		return nil, fmt.Errorf("read the beginning of log %s: %w", subject, err)
	}
	m, err := st.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(subject))
	if err != nil {
		return nil, fmt.Errorf("read the beginning of log %s: %w", subject, err)
	}
	var held *change.Snapshot
	var d wire.LogDecoder
	err = d.Decode(m.Data, func(e *wire.Entry) error {
		if e.Kind != wire.EntrySegment || held != nil {
			return nil
		}
		snap, err := change.ParseSnapshot(e.Snapshot)
		snap.LSN = e.LSN
		held = &snap
		return err
	})
	if err == nil && held == nil {
		err = errors.New("it does not begin with a snapshot")
	}
	if err != nil {
		return nil, &BeginningError{subject, err}
	}
	return held, nil
}

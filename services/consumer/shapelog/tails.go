package shapelog

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// Tails are the ends of logs.
type Tails struct {
	Of  map[string]wire.Tail // by handle; logs that are empty are missing
	Bad map[string]error     // logs whose end cannot be understood
	// Partitions are those in which all logs were looked at.
	Partitions map[int]bool
}

// NewTails are those of no logs yet.
func NewTails() Tails {
	return Tails{Of: map[string]wire.Tail{}, Bad: map[string]error{}, Partitions: map[int]bool{}}
}

// ReadTails reads where the logs of shapes stand, with all that was stored in them before it was called: whoever goes on
// from there, or takes for known what a log says, must not be told by a copy of the stream that lags.
func ReadTails(ctx context.Context, js jetstream.JetStream, source topology.Source, records []*registry.Shape, into *Tails) error {
	return readTails(ctx, js, source, records, into, stream.Newest)
}

// GlanceAtTails is ReadTails as any copy of the streams knows it.
func GlanceAtTails(ctx context.Context, js jetstream.JetStream, source topology.Source, records []*registry.Shape, into *Tails) error {
	return readTails(ctx, js, source, records, into, stream.Last)
}

type lastReader func(ctx context.Context, js jetstream.JetStream, streamName string, subjects []string, f func(*jetstream.RawStreamMsg) error) error

func readTails(ctx context.Context, js jetstream.JetStream, source topology.Source, records []*registry.Shape, into *Tails, last lastReader) error {
	subjects := map[int][]string{}
	for _, r := range records {
		subjects[r.Partition] = append(subjects[r.Partition], source.LogSubject(r.Partition, r.Handle))
	}
	for p, of := range subjects {
		err := last(ctx, js, source.ShapeStream(p), of, func(m *jetstream.RawStreamMsg) error {
			handle := topology.HandleOfLog(m.Subject)
			t, err := wire.ParseTail(m.Header.Get(topology.HeaderTail))
			if err != nil {
				into.Bad[handle] = fmt.Errorf("message %d of subject %s: %w", m.Sequence, m.Subject, err)
			} else {
				into.Of[handle] = t
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read logs of partition %d: %w", p, err)
		}
	}
	return nil
}

// ReadTail is ReadTails of one shape.
func ReadTail(ctx context.Context, js jetstream.JetStream, source topology.Source, partition int, handle string) (wire.Tail, error) {
	all := NewTails()
	if err := ReadTails(ctx, js, source, []*registry.Shape{{Handle: handle, Partition: partition}}, &all); err != nil {
		return wire.Tail{}, err
	}
	return all.Of[handle], all.Bad[handle]
}

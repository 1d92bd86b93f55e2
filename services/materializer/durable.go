package materializer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/topology"
)

// ackWait is how long the server waits for an acknowledgement before it
// delivers again. A transaction is acknowledged at its end only, however long it takes.
const ackWait = 24 * time.Hour

// read begins to read the partition's shape logs through its durable, from
// where it was acknowledged.
func (s *session) read(ctx context.Context, messages chan<- jetstream.Msg) error {
	name := s.source.ShapeStream(s.p)
	c, err := s.js.CreateOrUpdateConsumer(ctx, name, jetstream.ConsumerConfig{
		Durable:     topology.MaterializerDurable,
		Description: "Shapebus materializer: reads logs of inner shapes; acknowledged where no transaction is open",
		// What is stored before the durable is there is read with direct gets.
		DeliverPolicy: jetstream.DeliverNewPolicy,
		AckPolicy:     jetstream.AckAllPolicy,
		AckWait:       ackWait,
		MaxAckPending: -1, // the default stalls within a larger transaction
		MaxDeliver:    -1,
	})
	if err != nil {
		return fmt.Errorf("create durable %s on %s: %w", topology.MaterializerDurable, name, topology.Explain(err))
	}
	// What a predecessor was sent and did not acknowledge would come after ackWait only.
	if _, err := s.js.ResetConsumer(ctx, name, topology.MaterializerDurable); err != nil {
		return fmt.Errorf("reset durable %s on %s: %w", topology.MaterializerDurable, name, topology.Explain(err))
	}
	it, err := c.Messages(jetstream.PullMaxBytes(s.m.cfg.ReadBytes))
	if err != nil {
		return fmt.Errorf("read stream %s: %w", name, topology.Explain(err))
	}
	s.reading = true
	s.group.Go(func() error {
		defer it.Stop()
		expected := uint64(1) // deliveries are numbered: one that was lost would not come again before ackWait
		for {
			m, err := it.Next(jetstream.NextContext(ctx))
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return fmt.Errorf("read stream %s: %w", name, err)
			}
			md, err := m.Metadata()
			if err == nil && md.Sequence.Consumer != expected {
				err = errors.New("a delivery was lost, or somebody else reads the durable")
			}
			if err != nil {
				return fmt.Errorf("read stream %s: %w", name, err)
			}
			expected++
			select {
			case messages <- m:
			case <-ctx.Done():
				return nil
			}
		}
	})
	return nil
}

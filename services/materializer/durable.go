package materializer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/topology"
)

// ackWait is how long the server waits for an acknowledgement before it
// delivers again. A transaction is acknowledged at its end only, however long it takes.
const ackWait = 24 * time.Hour

// pullExpiry is how long a request for messages stands at the server. Less than a
// lease lasts: the request of a process that has fallen asleep must not take messages from its successor.
const pullExpiry = topology.MemberTTL / 2

// read begins to read the partition's shape logs through its durable, from
// where it was acknowledged. Another stream under the name ends the session.
func (s *session) read(ctx context.Context, messages chan<- *stream.Delivery) error {
	name := s.source.ShapeStream(s.p)
	if err := s.durable(ctx, name); err != nil {
		return topology.Explain(err)
	}
	in, err := stream.OpenDurable(ctx, s.js, name, topology.MaterializerDurable, s.m.cfg.ReadBytes, pullExpiry)
	if err != nil {
		return topology.Explain(err)
	}
	s.reading = true
	s.group.Go(func() error {
		defer in.Close()
		for {
			m, err := in.Next(ctx)
			if err != nil {
				return service.IgnoreEnd(ctx, err)
			}
			select {
			case messages <- m:
			case <-ctx.Done():
				return nil
			}
		}
	})
	return nil
}

// durable prepares the durable, which delivers from behind the last
// acknowledgement on. What a predecessor was sent and did not acknowledge would
// otherwise come after ackWait only, and what is behind that before it.
func (s *session) durable(ctx context.Context, name string) error {
	cfg := jetstream.ConsumerConfig{
		Durable:     topology.MaterializerDurable,
		Description: "Shapebus materializer: reads logs of inner shapes; acknowledged where no transaction is open",
		// What is stored before the durable is there is read with direct gets.
		DeliverPolicy: jetstream.DeliverNewPolicy,
		AckPolicy:     jetstream.AckAllPolicy,
		AckWait:       ackWait,
		MaxAckPending: -1, // the default stalls within a larger transaction
		MaxDeliver:    -1,
	}
	c, err := s.js.Consumer(ctx, name, topology.MaterializerDurable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		_, err = s.js.CreateConsumer(ctx, name, cfg)
		return wrap(err, "create durable %s on %s", topology.MaterializerDurable, name)
	}
	if err != nil {
		return fmt.Errorf("open durable %s on %s: %w", topology.MaterializerDurable, name, err)
	}
	if canReset(s.js.Conn().ConnectedServerVersion()) {
		_, err = s.js.ResetConsumer(ctx, name, topology.MaterializerDurable)
		return wrap(err, "reset durable %s on %s", topology.MaterializerDurable, name)
	}
	// A new one from the same place does as well.
	cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, c.CachedInfo().AckFloor.Stream+1
	if err := s.js.DeleteConsumer(ctx, name, topology.MaterializerDurable); err != nil {
		return fmt.Errorf("make durable %s on %s anew: %w", topology.MaterializerDurable, name, err)
	}
	_, err = s.js.CreateConsumer(ctx, name, cfg)
	return wrap(err, "make durable %s on %s anew", topology.MaterializerDurable, name)
}

// canReset reports whether a server of a version knows how to reset a durable.
// One that does not leaves the request unanswered.
func canReset(version string) bool {
	var major, minor int
	if n, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil || n != 2 {
		return false
	}
	return major > 2 || major == 2 && minor >= 14
}

// wrap adds to an error, if there is one, what failed.
func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}

package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// readAgain is how often a checkpoint in parts is read that changes meanwhile.
const readAgain = 5

// copyPause is what a copy of a stream that lags is given to catch up.
const copyPause = 200 * time.Millisecond

// UnreadableCheckpointError says that what is stored as a partition's checkpoint is none.
type UnreadableCheckpointError struct {
	Partition int
	Since     time.Time // when it was stored
	stream    string
	seq       uint64
	err       error
}

// Error says what to do.
func (e *UnreadableCheckpointError) Error() string {
	return fmt.Sprintf("the checkpoint of partition %d cannot be read: %v; with `nats stream rmm %s %d -f` its shapes go on without it, and those end whose beginning the change log does not have any more",
		e.Partition, e.err, e.stream, e.seq)
}

// Unwrap returns what is wrong with it.
func (e *UnreadableCheckpointError) Unwrap() error { return e.err }

// ReadCheckpoint reads a partition's last checkpoint; ok is false before the first. Its error is an
// *UnreadableCheckpointError if what is stored is none. history is the id of the one in which the caller
// reads LSNs, as topology.History says; of a checkpoint of another one nothing is told but its own and when it was written.
//
// One that fits into a message replaces those before it as it is stored. A larger one is stored in
// parts behind the one before, which is removed once all parts are there. So the last whole one
// counts, whatever of a newer one a crash left behind it.
func ReadCheckpoint(ctx context.Context, js jetstream.JetStream, source topology.Source, p int, history string) (c wire.Checkpoint, ok bool, err error) {
	c, ok, err = readCheckpoint(ctx, js, source, p)
	if topology.Foreign(c.History, history) {
		c = wire.Checkpoint{History: c.History, At: c.At}
	}
	if _, unreadable := errors.AsType[*UnreadableCheckpointError](err); err != nil && !unreadable {
		err = fmt.Errorf("read checkpoint of partition %d: %w", p, topology.Explain(err))
	}
	return c, ok, err
}

func readCheckpoint(ctx context.Context, js jetstream.JetStream, source topology.Source, p int) (c wire.Checkpoint, ok bool, err error) {
	// From the leader: who takes a partition over writes it again.
	m, err := stream.LastFromLeader(ctx, js, source.ShapeStream(p), source.CheckpointSubject(p))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return c, false, nil
	}
	if err != nil {
		return c, false, err
	}
	unreadable := func(why error) error {
		return &UnreadableCheckpointError{Partition: p, Since: m.Time, stream: source.ShapeStream(p), seq: m.Sequence, err: why}
	}
	_, parts, err := stream.Part(m.Header)
	if err != nil {
		return c, false, unreadable(err)
	}
	data := m.Data
	if parts > 1 {
		if data, ok, err = lastWhole(ctx, js, source.ShapeStream(p), source.CheckpointSubject(p), m.Sequence); err != nil || !ok {
			return c, false, err
		}
	}
	if c, err = wire.DecodeCheckpoint(data); err != nil {
		return c, false, unreadable(err)
	}
	return c, true, nil
}

// lastWhole returns the last message of a subject of which all parts are there. Messages are
// removed at the front and added at the end while it reads. least is the sequence of one that the copy which answers must have.
func lastWhole(ctx context.Context, js jetstream.JetStream, streamName, subject string, least uint64) (data []byte, ok bool, err error) {
	for range readAgain {
		r := stream.NewSubjectReader(js, streamName, subject, 1)
		for {
			var m stream.Received
			var more bool
			if m, more, err = r.Next(ctx); err != nil || !more {
				break
			}
			data, ok = m.Data, true
		}
		if err == nil && r.Through() < least {
			err = fmt.Errorf("the copy of stream %s that was asked does not have message %d yet", streamName, least)
			select {
			case <-time.After(copyPause):
			case <-ctx.Done():
			}
		}
		if err == nil || ctx.Err() != nil {
			return data, ok, err
		}
		data, ok = nil, false
	}
	return nil, false, err
}

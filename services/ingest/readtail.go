package ingest

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/stream"
	"github.com/shapebus/shapebus/pkg/topology"
)

// readTail finds where the change log ends, reading backwards from its message
// number last. It reads the last group of the last transaction and one message
// more. The zero tail says that there is no message, and where the slot stands
// decides: they may have been discarded by age, or the machine lost power before
// they were on disk. A log that begins again there repeats nothing that is in it,
// and readers pass over what they had before.
func readTail(ctx context.Context, log jetstream.Stream, source topology.Source, last uint64) (*tail, error) {
	r := newTailReader(source)
	for seq := last; seq > 0; seq-- {
		m, err := log.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			gone, infoErr := discarded(ctx, log, seq)
			if infoErr != nil {
				return nil, infoErr
			}
			if gone {
				break
			}
		}
		if err != nil {
			return nil, fmt.Errorf("read the end of the change log, message %d: %w", seq, err)
		}
		if count, fence := stream.Fence(m.Header); fence {
			seq -= min(count, seq) - 1 // the loop takes the last one
			continue
		}
		done, err := r.add(storedMessage{subject: m.Subject, header: m.Header, data: m.Data})
		if err != nil {
			return nil, err
		}
		if done {
			break
		}
	}
	return &r.tail, nil
}

// discarded tells a message that is gone from one that the replica asked does
// not have yet.
func discarded(ctx context.Context, log jetstream.Stream, seq uint64) (bool, error) {
	info, err := log.Info(ctx)
	if err != nil {
		return false, fmt.Errorf("read the end of the change log: %w", err)
	}
	return seq < info.State.FirstSeq || info.State.Msgs == 0, nil
}
